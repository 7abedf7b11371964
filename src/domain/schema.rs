//! What a database holds, by name: the common measure of the live database, of what a version of
//! LiteLLM knows, and of what a migration does.

pub mod prisma;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::effects::Effect;
use crate::domain::name::SqlName;
use crate::text::{Clean, Safe};

/// One object of the schema that LiteLLM's tables live in. The order is the order of lists: what
/// holds data comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// A table.
    Table(SqlName),
    /// A column: its table, then its name.
    Column(SqlName, SqlName),
    /// An index, whose name is unique in its schema.
    Index(SqlName),
    /// A constraint (a foreign key, a check): its table, then its name.
    Constraint(SqlName, SqlName),
    /// An enumerated type.
    Type(SqlName),
    /// A function.
    Function(SqlName),
    /// A trigger: its table, then its name.
    Trigger(SqlName, SqlName),
}

impl Object {
    /// The table that it belongs to, where it belongs to one by name.
    pub fn table(&self) -> Option<&SqlName> {
        match self {
            Object::Table(table)
            | Object::Column(table, _)
            | Object::Constraint(table, _)
            | Object::Trigger(table, _) => Some(table),
            Object::Index(_) | Object::Type(_) | Object::Function(_) => None,
        }
    }

    /// Whether another object goes when this one is dropped, as far as names tell: a table takes
    /// along what belongs to it, and a key its index.
    fn takes(&self, other: &Object) -> bool {
        match (self, other) {
            (Object::Table(table), other) => other.table() == Some(table),
            (Object::Constraint(_, key), Object::Index(index)) => key == index,
            _ => self == other,
        }
    }

    /// The same object after `of` was renamed.
    fn renamed(self, of: &Object, to: &SqlName) -> Object {
        let moved = |table: SqlName| match of {
            Object::Table(from) if *from == table => to.clone(),
            _ => table,
        };
        let named = |same: bool, name: SqlName| if same { to.clone() } else { name };
        let same = self == *of;
        match self {
            Object::Table(table) => Object::Table(moved(table)),
            Object::Column(table, column) => Object::Column(moved(table), named(same, column)),
            // Renaming the index of a key renames the constraint.
            Object::Constraint(table, name) => {
                let key = *of == Object::Index(name.clone());
                Object::Constraint(moved(table), named(same || key, name))
            }
            Object::Trigger(table, name) => Object::Trigger(moved(table), named(same, name)),
            Object::Index(name) => Object::Index(named(same, name)),
            Object::Type(name) => Object::Type(named(same, name)),
            Object::Function(name) => Object::Function(named(same, name)),
        }
    }

    /// Whether rows are lost when it is dropped.
    pub fn holds_data(&self) -> bool {
        matches!(self, Object::Table(_) | Object::Column(..))
    }
}

/// As a person reads and types it: `LiteLLM_TeamTable`, `LiteLLM_TeamTable.soft_budget`,
/// `index LiteLLM_TeamTable_idx`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Table(table) => write!(f, "{table}"),
            Object::Column(table, column) => write!(f, "{table}.{column}"),
            Object::Index(index) => write!(f, "index {index}"),
            Object::Constraint(table, constraint) => write!(f, "constraint {constraint} of {table}"),
            Object::Type(name) => write!(f, "type {name}"),
            Object::Function(name) => write!(f, "function {name}"),
            Object::Trigger(table, trigger) => write!(f, "trigger {trigger} of {table}"),
        }
    }
}

impl Safe for Object {}

/// The objects of one schema of a database, or of what a version knows. `_prisma_migrations` is
/// never among them: Prisma leaves it alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    objects: BTreeSet<Object>,
}

impl Schema {
    /// Whether an object of this kind and name is there.
    pub fn has(&self, object: &Object) -> bool {
        self.objects.contains(object)
    }

    /// Every object, tables and columns first.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// Whether it holds nothing at all.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// What it is after a statement. A change of a column or of rows changes no name.
    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Create { object, .. } => drop(self.objects.insert(object.clone())),
            Effect::Drop { object, .. } => self.objects.retain(|own| !object.takes(own)),
            Effect::Rename { object, to, .. } => {
                let objects = std::mem::take(&mut self.objects);
                self.objects = objects.into_iter().map(|own| own.renamed(object, to)).collect();
            }
            Effect::Alter { .. } | Effect::Data { .. } | Effect::Nothing | Effect::Unread => {}
        }
    }

    /// What this one has and the other does not. Columns of a table that is missing altogether
    /// are left out: the table says it.
    pub fn beyond<'a>(&'a self, other: &'a Schema) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| match object {
            _ if other.has(object) => false,
            Object::Column(table, _) => other.has(&Object::Table(table.clone())),
            _ => true,
        })
    }
}

impl FromIterator<Object> for Schema {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        Self { objects: objects.into_iter().collect() }
    }
}

/// What a live database holds, as its catalogue told it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LiveSchema {
    /// The PostgreSQL schema that was looked into.
    pub schema: Clean,
    /// Everything that is there, invalid indexes too. Views and what belongs to an extension are
    /// left out: no migration of LiteLLM makes any. An index of a primary key or a unique
    /// constraint is there as both.
    pub objects: Schema,
    /// Indexes that are there and serve nobody: a `CREATE INDEX CONCURRENTLY` that failed leaves
    /// one behind (PostgreSQL, CREATE INDEX).
    pub invalid: BTreeSet<SqlName>,
    /// How many objects could not be read, because their name has characters that no screen shows.
    pub unreadable: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(raw: &str) -> SqlName {
        raw.parse().unwrap()
    }

    #[test]
    fn a_missing_table_speaks_for_its_columns() {
        let column = |table: &str, column: &str| Object::Column(name(table), name(column));
        let live: Schema =
            [Object::Table(name("a")), column("a", "x"), column("a", "y"), Object::Table(name("b")), column("b", "x")]
                .into_iter()
                .collect();
        let known: Schema = [Object::Table(name("a")), column("a", "x")].into_iter().collect();
        let beyond: Vec<String> = live.beyond(&known).map(Object::to_string).collect();
        assert_eq!(beyond, ["b", "a.y"]);
        assert_eq!(known.beyond(&live).count(), 0);
    }
}
