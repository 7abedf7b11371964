//! Trying the statements of a migration on a schema by name: whether they run, and what they change.
//!
//! Prisma sends a file as one simple query, which PostgreSQL runs in one implicit transaction: a
//! file that stops leaves nothing behind (PostgreSQL, "Multiple Statements in a Simple Query").

use std::collections::BTreeSet;

use serde::Serialize;

use crate::domain::effects::Effect;
use crate::domain::name::SqlName;
use crate::domain::schema::{Object, Schema};
use crate::text::Clean;

/// What running a file would come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// It runs to its end.
    Runs {
        /// What is there afterwards and was not before.
        adds: Vec<Object>,
        /// What was there before and is not afterwards, with what it held.
        drops: Vec<Object>,
        /// Tables whose rows it changes, that were there before: by name alone nobody can tell
        /// whether that succeeds.
        rewrites: Vec<SqlName>,
        /// Columns that it counts on and does not make: `CREATE TABLE IF NOT EXISTS` adds none to
        /// a table that is there. What follows in the file may stop for want of them.
        lacks: Vec<Object>,
    },
    /// It stops, and leaves nothing behind.
    Stops(Stop),
    /// A statement could not be read.
    Untold,
}

/// Where a file stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// Number of the statement in the file, from 1.
    pub statement: usize,
    /// The object that it stumbles over.
    pub object: Object,
    /// Whether it is there and must not be, or is not there and must be.
    pub there: bool,
}

impl Stop {
    /// Why, in words: `LiteLLM_Lens is already there`.
    pub fn why(&self) -> Clean {
        match self.there {
            true => say!("{} is already there", self.object),
            false => say!("{} is not there", self.object),
        }
    }
}

impl Course {
    /// Runs for certain, loses nothing, and changes no rows that were there before.
    pub fn harmless(&self) -> bool {
        matches!(self, Course::Runs { drops, rewrites, lacks, .. } if drops.is_empty() && rewrites.is_empty() && lacks.is_empty())
    }

    /// In words, after "the next upgrade runs it again": `and stops at its statement 2: …`.
    pub fn sentence(&self) -> Clean {
        match self {
            Course::Stops(stop) => say!("and stops at its statement {}: {}", stop.statement, stop.why()),
            Course::Untold => Clean::ours("and nobody can tell what that comes to"),
            Course::Runs { lacks, .. } if !lacks.is_empty() => {
                say!("and may stop: it counts on {}, which is not there", listed(lacks))
            }
            Course::Runs { drops, .. } if !drops.is_empty() => say!("and drops {}", listed(drops)),
            Course::Runs { rewrites, .. } if !rewrites.is_empty() => {
                say!("and changes rows of {}, which may stop it", rewrites[0])
            }
            Course::Runs { adds, .. } if !adds.is_empty() => say!("and adds {}", listed(adds)),
            Course::Runs { .. } => Clean::ours("and changes nothing"),
        }
    }
}

/// The first of several objects, and how many more there are.
pub(super) fn listed(objects: &[Object]) -> Clean {
    match objects {
        [] => Clean::ours("nothing"),
        [one] => say!("{}", one),
        [one, two] => say!("{} and {}", one, two),
        [one, rest @ ..] => say!("{} and {} more", one, rest.len()),
    }
}

/// That they are missing: `t.a is missing`, `t.a and t.b are missing`.
pub(super) fn missing(objects: &[Object]) -> Clean {
    say!("{} {} missing", listed(objects), if objects.len() == 1 { "is" } else { "are" })
}

/// A schema that files are tried on, one after the other. The schema itself stays as it is.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    base: &'a Schema,
    added: BTreeSet<Object>,
    removed: BTreeSet<Object>,
}

impl<'a> Trial<'a> {
    /// Begins with what is there.
    pub fn on(base: &'a Schema) -> Self {
        Self { base, added: BTreeSet::new(), removed: BTreeSet::new() }
    }

    /// Whether it is there by now.
    pub fn has(&self, object: &Object) -> bool {
        self.added.contains(object) || (self.base.has(object) && !self.removed.contains(object))
    }

    /// Tries one file. When it stops or cannot be told, everything is as before.
    pub fn run(&mut self, effects: &[Effect]) -> Course {
        let before = (self.added.clone(), self.removed.clone());
        match self.statements(effects, &before) {
            course @ Course::Runs { .. } => course,
            course => {
                (self.added, self.removed) = before;
                course
            }
        }
    }

    fn statements(&mut self, effects: &[Effect], before: &(BTreeSet<Object>, BTreeSet<Object>)) -> Course {
        let mut rewrites = Vec::new();
        let (mut skipped, mut lacks) = (BTreeSet::new(), Vec::new());
        for (index, effect) in effects.iter().enumerate() {
            let stop = |object: Object, there| Course::Stops(Stop { statement: index + 1, object, there });
            match effect {
                Effect::Unread => return Course::Untold,
                Effect::Data { table } => {
                    let whole = Object::Table(table.clone());
                    if !self.has(&whole) {
                        return stop(whole, false);
                    }
                    if !self.added.contains(&whole) {
                        rewrites.push(table.clone());
                    }
                }
                other => {
                    if let Err((object, there)) = self.step(other, &mut skipped, &mut lacks) {
                        return stop(object, there);
                    }
                }
            }
        }
        let adds = self.added.difference(&before.0).cloned().collect();
        let drops = self.removed.difference(&before.1).filter(|object| object.holds_data()).cloned().collect();
        lacks.retain(|object| !self.has(object));
        Course::Runs { adds, drops, rewrites, lacks }
    }

    /// One statement about one object; what it stumbles over otherwise, and whether that is there.
    fn step(
        &mut self,
        effect: &Effect,
        skipped: &mut BTreeSet<SqlName>,
        lacks: &mut Vec<Object>,
    ) -> Result<(), (Object, bool)> {
        match effect {
            Effect::Create { object, guarded } => {
                if self.has(object) {
                    if let Object::Table(table) = object {
                        skipped.insert(table.clone());
                    }
                    return if *guarded { Ok(()) } else { Err((object.clone(), true)) };
                }
                self.table_of(object)?;
                // `CREATE TABLE IF NOT EXISTS` adds no column to a table that is there.
                let left_out = matches!(object, Object::Column(table, _) if skipped.contains(table));
                if left_out {
                    lacks.push(object.clone());
                } else {
                    self.add(object.clone());
                }
            }
            Effect::Drop { object, guarded } => {
                if !self.has(object) {
                    return if *guarded { Ok(()) } else { Err((object.clone(), false)) };
                }
                self.remove(object);
            }
            Effect::Rename { object, to, guarded } => {
                let new = renamed(object, to);
                match (self.has(object), self.has(&new)) {
                    (true, false) => self.rename(object, &new),
                    // What asks first asks for the old name.
                    (true, true) => return Err((new, true)),
                    (false, _) if *guarded => {}
                    (false, _) => return Err((object.clone(), false)),
                }
            }
            Effect::Alter { object, .. } if !self.has(object) => return Err((object.clone(), false)),
            Effect::Alter { .. } | Effect::Data { .. } | Effect::Nothing | Effect::Unread => {}
        }
        Ok(())
    }

    fn table_of(&self, object: &Object) -> Result<(), (Object, bool)> {
        match object {
            Object::Table(_) => Ok(()),
            other => match other.table().map(|table| Object::Table(table.clone())) {
                Some(table) if !self.has(&table) => Err((table, false)),
                _ => Ok(()),
            },
        }
    }

    fn add(&mut self, object: Object) {
        self.removed.remove(&object);
        if !self.base.has(&object) {
            self.added.insert(object);
        }
    }

    fn remove(&mut self, object: &Object) {
        for gone in self.with_parts(object) {
            self.added.remove(&gone);
            if self.base.has(&gone) {
                self.removed.insert(gone);
            }
        }
    }

    fn rename(&mut self, old: &Object, new: &Object) {
        let parts = self.with_parts(old);
        self.remove(old);
        for part in parts {
            self.add(moved(&part, new));
        }
    }

    fn with_parts(&self, object: &Object) -> Vec<Object> {
        let there = self.base.objects().filter(|part| !self.removed.contains(part)).chain(&self.added);
        there.filter(|other| goes_with(other, object)).cloned().collect()
    }
}

/// An object under a new name.
pub(super) fn renamed(object: &Object, to: &SqlName) -> Object {
    let to = to.clone();
    match object {
        Object::Table(_) => Object::Table(to),
        Object::Column(table, _) => Object::Column(table.clone(), to),
        Object::Index(_) => Object::Index(to),
        Object::Constraint(table, _) => Object::Constraint(table.clone(), to),
        Object::Type(_) => Object::Type(to),
        Object::Function(_) => Object::Function(to),
        Object::Trigger(table, _) => Object::Trigger(table.clone(), to),
    }
}

/// Whether `other` is `object`, or is dropped and renamed together with it: the parts of a table,
/// and the index and the constraint of one key.
pub(super) fn goes_with(other: &Object, object: &Object) -> bool {
    other == object
        || match (object, other) {
            (Object::Table(table), other) => other.table() == Some(table),
            (Object::Index(one), Object::Constraint(_, two)) | (Object::Constraint(_, one), Object::Index(two)) => {
                one == two
            }
            _ => false,
        }
}

/// What becomes of `other`, which goes with `old`, when that is renamed to `new`.
pub(super) fn moved(other: &Object, new: &Object) -> Object {
    match (other.clone(), new.clone()) {
        (Object::Column(_, name), Object::Table(table)) => Object::Column(table, name),
        (Object::Constraint(_, name), Object::Table(table)) => Object::Constraint(table, name),
        (Object::Trigger(_, name), Object::Table(table)) => Object::Trigger(table, name),
        (Object::Constraint(table, _), Object::Index(name)) => Object::Constraint(table, name),
        (Object::Index(_), Object::Constraint(_, name)) => Object::Index(name),
        (_, new) => new,
    }
}
