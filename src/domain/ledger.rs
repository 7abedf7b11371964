//! The migration table against what the database really holds: which rows tell the truth, what
//! else a version would run, and what to do with each row.
//!
//! Names are compared as sets and never by their dates: LiteLLM has published names with spaces and
//! short dates, and new ones that sort before old ones. A checksum that differs is a hint about the
//! release that wrote the row, because contents change between releases and Prisma ignores that.

mod advice;
mod counsel;
mod history;
mod trial;

use std::collections::BTreeSet;

use serde::Serialize;

pub use advice::{Advice, Verb};
pub use trial::{Course, Stop, Trial};

use crate::domain::catalog::{Catalog, Checksum, Edition, Known, Listing, Package, PackageVersion};
use crate::domain::effects::{Effect, Weight, weight};
use crate::domain::image::Version;
use crate::domain::migration::{MigrationTable, Row, RowState};
use crate::domain::name::{MigrationId, MigrationName, SqlName};
use crate::domain::schema::{LiveSchema, Object};
use crate::text::Clean;

use history::History;

/// What the ledger is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The migration table.
    pub table: &'a MigrationTable,
    /// What the database holds. `None` while nobody knows.
    pub live: Option<&'a LiveSchema>,
    /// What is known of LiteLLM's releases.
    pub catalog: &'a Catalog,
    /// The version that will run next: the target of the rollback, or the one that runs.
    pub target: Option<&'a Version>,
    /// What the image of that version holds, where a pod of it told.
    pub image: Option<&'a Listing>,
}

/// How a row and the database agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Reality {
    /// Everything that it made, and that no later row took away, is there.
    There,
    /// It made nothing that should still be there.
    Nothing,
    /// A part of it is missing.
    Partly {
        /// What is missing.
        missing: Vec<Object>,
        /// What is there.
        there: Vec<Object>,
    },
    /// All of it is missing.
    Gone {
        /// What is missing.
        missing: Vec<Object>,
    },
    /// What it took away is still there, or there again.
    Remains {
        /// What.
        there: Vec<Object>,
    },
    /// Nobody can tell.
    Unknown {
        /// Why.
        why: Clean,
    },
}

impl Reality {
    /// What is missing of what the row made.
    pub fn missing(&self) -> &[Object] {
        match self {
            Reality::Partly { missing, .. } | Reality::Gone { missing } => missing,
            _ => &[],
        }
    }

    /// In one sentence.
    pub fn sentence(&self) -> Clean {
        match self {
            Reality::There => Clean::ours("what it made is there"),
            Reality::Nothing => Clean::ours("it made nothing that should still be there"),
            Reality::Partly { missing, there } => {
                say!("{}; still there: {}", trial::missing(missing), trial::listed(there))
            }
            Reality::Gone { missing } => trial::missing(missing),
            Reality::Remains { there } => say!("{} is there, which it took away", trial::listed(there)),
            Reality::Unknown { why } => why.clone(),
        }
    }

    /// Whether the row and the database contradict each other.
    pub fn contradicts(&self) -> bool {
        !matches!(self, Reality::There | Reality::Nothing | Reality::Unknown { .. })
    }
}

/// What there is to say about one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its id.
    pub id: MigrationId,
    /// The migration.
    pub name: MigrationName,
    /// How it stands.
    pub state: RowState,
    /// The oldest version of LiteLLM that brings it; `None`: no published one does.
    pub brought_by: Option<Version>,
    /// The packages with exactly this content: what wrote the row, oldest and newest. `None`: the
    /// content was never published, or was not read.
    pub written_by: Option<(PackageVersion, PackageVersion)>,
    /// Whether the target's version knows it. `None`: nobody can tell.
    pub target_knows: Option<bool>,
    /// How dangerous it is.
    pub weight: Weight,
    /// What it does, statement by statement.
    pub effects: Vec<Effect>,
    /// Its row says finished, and no step was run: it was written by hand or by a baseline.
    pub baselined: bool,
    /// How many rows have its name, when there are several.
    pub twins: Option<usize>,
    /// How it and the database agree.
    pub reality: Reality,
    /// What the next upgrade does when this row alone is deleted.
    pub deleted: Course,
    /// What to do with it.
    pub advice: Advice,
}

impl Finding {
    /// What its statements do, in one line: its weight, and the first of them.
    pub fn does(&self) -> Clean {
        let said = self.effects.iter().filter(|effect| effect.weight() == self.weight);
        let mut said = said.map(Effect::sentence);
        match (said.next(), said.count(), self.effects.is_empty()) {
            (Some(first), 0, _) if self.weight > Weight::Inert => say!("{}: {}", self.weight.word(), first),
            (Some(first), more, _) if self.weight > Weight::Inert => {
                say!("{}: {}, and {} more", self.weight.word(), first, more)
            }
            _ => Clean::ours(self.weight.word()),
        }
    }

    /// Where it comes from, in one line.
    pub fn origin(&self, target: Option<&Version>) -> Clean {
        let brought = match &self.brought_by {
            Some(version) => say!("came with {}", version),
            None => Clean::ours("of no published version"),
        };
        let known = match (self.target_knows, target) {
            (Some(true), Some(target)) => say!("{} knows it", target),
            (Some(false), Some(target)) => say!("{} does not know it", target),
            (None, Some(target)) => say!("whether {} knows it is unknown", target),
            (_, None) => Clean::ours("the target's version is unknown"),
        };
        let written = match &self.written_by {
            Some((first, last)) if first == last => say!("; written by package {}", first),
            Some((first, last)) => say!("; written by package {} to {}", first, last),
            None => Clean::default(),
        };
        let baselined = if self.baselined { "; baselined, no step was run" } else { "" };
        say!("{}; {}{}{}", brought, known, written, baselined)
    }

    /// Whether a person should look at it.
    pub fn attention(&self) -> bool {
        self.reality.contradicts() || !matches!(self.advice.verb, Verb::Keep)
    }
}

/// A migration that the target's version knows and that no row says was applied: its next start
/// runs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The migration.
    pub name: MigrationName,
    /// The oldest version of LiteLLM that brings it.
    pub brought_by: Option<Version>,
    /// What it makes that is there already, though no applied row made it.
    pub there: Vec<Object>,
    /// What running it comes to, after the ones before it.
    pub course: Course,
}

impl Pending {
    /// Whether a person should look at it before the target starts.
    pub fn attention(&self) -> bool {
        !self.there.is_empty() || !self.course.harmless()
    }

    /// In one sentence.
    pub fn sentence(&self) -> Clean {
        match self.there.as_slice() {
            [] => say!("not applied: the target runs it {}", self.course.sentence()),
            there => {
                say!("not applied, but {} exists; the target runs it {}", trial::listed(there), self.course.sentence())
            }
        }
    }
}

/// The whole comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// One for each row, in the order of the table.
    pub rows: Vec<Finding>,
    /// What the target would run, in the order of their names.
    pub pending: Vec<Pending>,
    /// The version that will run next, as far as it is known.
    #[serde(skip)]
    pub target: Option<Version>,
    /// The digest of the image that told what that version brings, where a pod of it was asked.
    #[serde(skip)]
    pub image: Option<Clean>,
    /// What deleting every applied row that the target does not know leads to.
    pub all_deleted: Setback,
}

impl Ledger {
    /// Compares.
    pub fn compare(sources: Sources<'_>) -> Self {
        Comparison::new(sources).ledger()
    }

    /// What is said about a row.
    pub fn of(&self, id: &MigrationId) -> Option<&Finding> {
        self.rows.iter().find(|finding| &finding.id == id)
    }

    /// Applied rows that the target's version does not know.
    pub fn ahead(&self) -> impl Iterator<Item = &Finding> {
        self.rows.iter().filter(|row| row.state == RowState::Applied && row.target_knows == Some(false))
    }

    /// Applied rows whose objects are gone, in part or all.
    pub fn without_object(&self) -> impl Iterator<Item = &Finding> {
        self.rows.iter().filter(|row| row.state == RowState::Applied && !row.reality.missing().is_empty())
    }

    /// Those of them that are to be deleted, so that they run again.
    pub fn stale(&self) -> impl Iterator<Item = &Finding> {
        self.without_object().filter(|row| row.advice.verb == Verb::Delete)
    }

    /// Objects that are there without a row.
    pub fn object_without_row(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().filter(|pending| !pending.there.is_empty())
    }
}

/// Where an upgrade stops that runs again what was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Setback {
    /// The migration that stops it for certain, if nothing stopped it before, and where.
    pub stops: Option<(MigrationName, Stop)>,
    /// Migrations before that one that may stop it: names alone do not tell.
    pub may_stop: Vec<MigrationName>,
}

/// One comparison under way.
struct Comparison<'a> {
    sources: Sources<'a>,
    /// What the target's version knows: one package, several for a range, none when unknown.
    packages: Vec<&'a Package>,
    history: History,
    /// The content of each row, where it is known.
    editions: Vec<Option<&'a Edition>>,
}

impl<'a> Comparison<'a> {
    fn new(sources: Sources<'a>) -> Self {
        let release = sources.target.map(|version| sources.catalog.release(version));
        let packages = match release {
            Some(Known::Exactly(release)) => sources.catalog.packages_of(release.pin).collect(),
            _ => Vec::new(),
        };
        let rows = &sources.table.rows;
        let editions: Vec<_> = rows.iter().map(|row| edition(sources.catalog, row)).collect();
        let mut applied: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].state == RowState::Applied).collect();
        applied.sort_by_key(|at| (rows[*at].started_at, &rows[*at].name));
        let mut history = History::default();
        for at in applied {
            history.ran(at, editions[at].map(|edition| edition.effects.as_slice()));
        }
        Self { sources, packages, history, editions }
    }

    fn ledger(&self) -> Ledger {
        let made = self.history.made();
        let made = |at| made.get(&at).map_or(&[][..], Vec::as_slice);
        let realities: Vec<_> = (0..self.sources.table.rows.len()).map(|at| self.reality(at, made(at))).collect();
        let advices = advice::advise(self, &realities);
        let findings = realities.into_iter().zip(advices).enumerate();
        let rows: Vec<_> = findings.map(|(at, (reality, advice))| self.finding(at, reality, advice)).collect();
        let ahead = rows.iter().enumerate().filter(|(_, row)| row.target_knows == Some(false));
        let all_deleted = self.all_deleted(ahead.filter(|(_, row)| row.state == RowState::Applied).map(|(at, _)| at));
        let image = self.sources.image.and_then(|listing| listing.digest.clone());
        Ledger { rows, pending: self.pending(), target: self.sources.target.cloned(), image, all_deleted }
    }

    fn row(&self, at: usize) -> &'a Row {
        &self.sources.table.rows[at]
    }

    fn effects(&self, at: usize) -> Option<&'a [Effect]> {
        self.editions[at].map(|edition| edition.effects.as_slice())
    }

    fn has(&self, object: &Object) -> bool {
        self.sources.live.is_some_and(|live| live.objects.has(object))
    }

    /// What running one file now comes to.
    fn course(&self, at: usize) -> Course {
        match (self.sources.live, self.effects(at)) {
            (Some(live), Some(effects)) => Trial::on(&live.objects).run(effects),
            _ => Course::Untold,
        }
    }

    fn finding(&self, at: usize, reality: Reality, advice: Advice) -> Finding {
        let row = self.row(at);
        let exact = self.sources.catalog.edition(&row.name, row.checksum.as_str());
        let effects = self.effects(at);
        let twins = self.sources.table.of_name(&row.name);
        Finding {
            id: row.id.clone(),
            name: row.name.clone(),
            state: row.state,
            brought_by: self.sources.catalog.brought_by(&row.name).map(|release| release.version.clone()),
            written_by: exact.map(|edition| (edition.first, edition.last)),
            target_knows: self.knows(&row.name),
            weight: effects.map_or(Weight::Unknown, weight),
            effects: effects.unwrap_or_default().to_vec(),
            baselined: row.state == RowState::Applied && row.steps == 0,
            twins: (twins > 1).then_some(twins),
            reality,
            deleted: self.course(at),
            advice,
        }
    }

    fn knows(&self, name: &MigrationName) -> Option<bool> {
        if let Some(image) = self.sources.image {
            return Some(image.found.migrations.contains_key(name));
        }
        let mut told = self.packages.iter().map(|package| package.migrations.contains_key(name));
        let first = told.next()?;
        told.all(|other| other == first).then_some(first)
    }

    fn reality(&self, at: usize, made: &[&Object]) -> Reality {
        let row = self.row(at);
        let unknown = |why: &'static str| Reality::Unknown { why: Clean::ours(why) };
        if self.sources.live.is_none() {
            return unknown("what the database holds is not known");
        }
        let Some(effects) = self.effects(at) else {
            return unknown("no published release has this migration, so what it makes is not known");
        };
        if row.state != RowState::Applied {
            // What it would make, as its file names it.
            let made: Vec<_> = effects.iter().filter_map(made_by).collect();
            return self.split(made.iter());
        }
        match self.split(made.iter().copied()) {
            Reality::Nothing | Reality::There if effects.contains(&Effect::Unread) => {
                unknown("a statement of it could not be read")
            }
            Reality::Nothing => {
                let there: Vec<_> = self.history.removed_by(at).filter(|object| self.has(object)).cloned().collect();
                if there.is_empty() { Reality::Nothing } else { Reality::Remains { there } }
            }
            other => other,
        }
    }

    fn split<'o>(&self, objects: impl Iterator<Item = &'o Object>) -> Reality {
        let objects: BTreeSet<&Object> = objects.collect();
        let (there, missing): (Vec<Object>, Vec<Object>) =
            objects.into_iter().cloned().partition(|object| self.has(object));
        match (missing.is_empty(), there.is_empty()) {
            (true, true) => Reality::Nothing,
            (true, false) => Reality::There,
            (false, true) => Reality::Gone { missing },
            (false, false) => Reality::Partly { missing, there },
        }
    }

    fn pending(&self) -> Vec<Pending> {
        let Some(live) = self.sources.live.filter(|_| self.sources.table.exists) else { return Vec::new() };
        let rows = &self.sources.table.rows;
        let counts =
            |name: &MigrationName| rows.iter().any(|row| &row.name == name && row.state != RowState::RolledBack);
        let mut trial = Trial::on(&live.objects);
        let missing = self.brought().into_iter().filter(|(name, _)| !counts(name));
        let pending = missing.map(|(name, effects)| {
            let there = effects.unwrap_or_default().iter().filter_map(|effect| match effect {
                Effect::Create { object, .. } if self.has(object) && !self.history.promises(object) => Some(object),
                _ => None,
            });
            let there = there.collect::<BTreeSet<_>>().into_iter().cloned().collect();
            let brought_by = self.sources.catalog.brought_by(name).map(|release| release.version.clone());
            let course = effects.map_or(Course::Untold, |effects| trial.run(effects));
            Pending { name: name.clone(), brought_by, there, course }
        });
        pending.collect()
    }

    /// The migrations that the target brings, in the order of their names, each with what it does
    /// where that is known: those of its image, where a pod told them, else those of its package.
    fn brought(&self) -> Vec<(&'a MigrationName, Option<&'a [Effect]>)> {
        let catalog = self.sources.catalog;
        if let Some(image) = self.sources.image {
            let edition = |(name, checksum): (&'a MigrationName, &'a Checksum)| {
                (name, catalog.edition(name, checksum.as_str()).map(|edition| edition.effects.as_slice()))
            };
            return image.found.migrations.iter().map(edition).collect();
        }
        let edition = |(name, number): (&'a MigrationName, &'a usize)| {
            (name, catalog.editions(name).get(*number).map(|edition| edition.effects.as_slice()))
        };
        self.packages.last().into_iter().flat_map(|package| package.migrations.iter().map(edition)).collect()
    }

    /// Where the next upgrade stops when these rows are deleted.
    fn all_deleted(&self, rows: impl Iterator<Item = usize>) -> Setback {
        let mut setback = Setback::default();
        let Some(live) = self.sources.live else { return setback };
        let mut trial = Trial::on(&live.objects);
        let mut rows: Vec<usize> = rows.collect();
        rows.sort_by_key(|at| &self.row(*at).name);
        for at in rows {
            let name = || self.row(at).name.clone();
            match self.effects(at).map_or(Course::Untold, |effects| trial.run(effects)) {
                Course::Stops(stop) => {
                    setback.stops = Some((name(), stop));
                    break;
                }
                Course::Runs { lacks, rewrites, .. } if lacks.is_empty() && rewrites.is_empty() => {}
                Course::Runs { .. } | Course::Untold => setback.may_stop.push(name()),
            }
        }
        setback
    }
}

/// What is there after a statement under that name, and was not before.
fn made_by(effect: &Effect) -> Option<Object> {
    match effect {
        Effect::Create { object, .. } => Some(object.clone()),
        Effect::Rename { object, to, .. } => Some(trial::renamed(object, to)),
        _ => None,
    }
}

/// The index that a statement makes.
fn index_made(effect: &Effect) -> Option<&SqlName> {
    match effect {
        Effect::Create { object: Object::Index(index), .. } => Some(index),
        _ => None,
    }
}

/// The content of a row: the one with its checksum, or else the newest of its name.
fn edition<'a>(catalog: &'a Catalog, row: &Row) -> Option<&'a Edition> {
    catalog.edition(&row.name, row.checksum.as_str()).or_else(|| catalog.editions(&row.name).last())
}

#[cfg(test)]
mod tests;
