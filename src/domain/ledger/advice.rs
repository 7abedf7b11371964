//! What to do with each row, and why.
//!
//! The rules were proved with Prisma's own engine on LiteLLM's own migrations (`tests/prisma.rs`):
//! a cleanly applied row is kept while what it made is there, and deleted when that is gone. Rows
//! of a schema that was not rolled back and that are deleted all the same stop the next upgrade
//! at its first statement that does not ask first.

use serde::Serialize;

use super::trial::{listed, missing as gap};
use super::{Comparison, Course, Reality, Trial};
use crate::domain::migration::RowState;
use crate::domain::schema::Object;
use crate::text::Clean;

/// What to do with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Leave it alone.
    Keep,
    /// Delete it, so that the next start runs it again.
    Delete,
    /// Mark it as rolled back, so that the next start runs it again. Deleting it does the same.
    Resolve,
    /// Mark it as applied, with Prisma's own command.
    MarkApplied,
    /// Bring the data back from a backup, or make what is missing by hand.
    Restore,
    /// Find out more first.
    Investigate,
    /// A migration runs: wait.
    Wait,
}

impl Verb {
    /// The word for the table.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Keep => "keep",
            Verb::Delete => "delete",
            Verb::Resolve => "resolve",
            Verb::MarkApplied => "mark applied",
            Verb::Restore => "restore",
            Verb::Investigate => "investigate",
            Verb::Wait => "wait",
        }
    }
}

/// What to do with a row, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What.
    pub verb: Verb,
    /// Why, in one sentence.
    pub why: Clean,
}

impl Advice {
    fn new(verb: Verb, why: Clean) -> Self {
        Self { verb, why }
    }
}

/// One for each row. Rows whose objects are gone are judged together: the next upgrade runs all
/// of them, in the order of their names.
pub(super) fn advise(comparison: &Comparison<'_>, realities: &[Reality]) -> Vec<Advice> {
    let rows = 0..realities.len();
    let mut advices: Vec<_> = rows.clone().map(|at| alone(comparison, at, &realities[at])).collect();
    let Some(live) = comparison.sources.live else { return advices };
    let mut broken: Vec<usize> = rows
        .filter(|at| comparison.row(*at).state == RowState::Applied && !realities[*at].missing().is_empty())
        .collect();
    broken.sort_by_key(|at| &comparison.row(*at).name);
    let mut trial = Trial::on(&live.objects);
    let run = |at: &usize| comparison.effects(*at).map_or(Course::Untold, |effects| trial.run(effects));
    let courses: Vec<_> = broken.iter().map(run).collect();
    for (at, course) in broken.into_iter().zip(courses) {
        // Judged at the end: what one makes, a later one may rename.
        let again = realities[at].missing().iter().all(|object| trial.has(object));
        advices[at] = broken_row(comparison, at, &realities[at], (&course, again));
    }
    advices
}

/// A row that says applied and whose objects are gone, all or in part; what its second run comes
/// to, and whether everything is there afterwards.
fn broken_row(comparison: &Comparison<'_>, at: usize, reality: &Reality, (course, again): (&Course, bool)) -> Advice {
    let missing = reality.missing();
    if let Some(later) = comparison.history.doubt(at) {
        let later = &comparison.row(later).name;
        let why = say!("applied, but {}; {} ran later, and what it does is not known", gap(missing), later);
        return Advice::new(Verb::Investigate, why);
    }
    let lost = if missing.iter().any(Object::holds_data) { "; what it held comes back only from a backup" } else { "" };
    match (course, reality) {
        (Course::Runs { drops, .. }, _) if !drops.is_empty() => {
            let why = say!("applied, but {}; running it again drops {}", gap(missing), listed(drops));
            Advice::new(Verb::Investigate, why)
        }
        (Course::Runs { lacks, .. }, Reality::Gone { .. }) if again && lacks.is_empty() => Advice::new(
            Verb::Delete,
            say!("applied, but {}: the next upgrade makes it only without this row{}", gap(missing), lost),
        ),
        (Course::Runs { lacks, rewrites, .. }, _) if again && lacks.is_empty() && rewrites.is_empty() => Advice::new(
            Verb::Delete,
            say!("applied, but {}; the rest of it may run again without harm{}", gap(missing), lost),
        ),
        _ => {
            let verb = if lost.is_empty() { Verb::Investigate } else { Verb::Restore };
            let course = match course {
                Course::Runs { lacks, .. } if lacks.is_empty() => Clean::ours("and does not make it"),
                course => course.sentence(),
            };
            Advice::new(verb, say!("applied, but {}; deleted, it runs again {}", gap(missing), course))
        }
    }
}

/// A row by itself.
fn alone(comparison: &Comparison<'_>, at: usize, reality: &Reality) -> Advice {
    match comparison.row(at).state {
        RowState::Running => Advice::new(Verb::Wait, Clean::ours("somebody holds the migration lock")),
        RowState::RolledBack => Advice::new(Verb::Keep, Clean::ours("history only: it counts as not applied")),
        RowState::Failed => failed(comparison, at, reality),
        RowState::Applied => applied(comparison, at, reality),
    }
}

fn applied(comparison: &Comparison<'_>, at: usize, reality: &Reality) -> Advice {
    let course = comparison.course(at);
    let keep = |why| Advice::new(Verb::Keep, why);
    match reality {
        Reality::There => match course {
            Course::Stops(_) => keep(say!("what it made is there; deleted, it runs again {}", course.sentence())),
            _ => keep(Clean::ours("what it made is there")),
        },
        Reality::Nothing => keep(Clean::ours("it made nothing that should still be there")),
        Reality::Unknown { why } => keep(why.clone()),
        Reality::Remains { there } => Advice::new(
            Verb::Investigate,
            say!(
                "applied, but {} is there, which it took away: an older version may have written the schema",
                listed(there)
            ),
        ),
        // Judged together with the others.
        Reality::Partly { missing, .. } | Reality::Gone { missing } => {
            Advice::new(Verb::Investigate, say!("applied, but {}", gap(missing)))
        }
    }
}

/// A failed row stops every deploy (P3009), whatever its name.
fn failed(comparison: &Comparison<'_>, at: usize, reality: &Reality) -> Advice {
    let row = comparison.row(at);
    let course = comparison.course(at);
    let invalid = comparison.sources.live.and_then(|live| {
        let there = match reality {
            Reality::There => comparison.effects(at)?.iter(),
            _ => return None,
        };
        there.filter_map(super::index_made).find(|index| live.invalid.contains(*index))
    });
    if let Some(index) = invalid {
        let why = say!("it left the invalid index {} behind: drop that index, then mark the row as rolled back", index);
        return Advice::new(Verb::Investigate, why);
    }
    // Prisma counts the step when the file's transaction is committed, and writes the end after it.
    let committed = row.steps > 0;
    match (&course, reality) {
        (_, Reality::There) if committed => Advice::new(
            Verb::MarkApplied,
            Clean::ours("its SQL was committed and what it makes is there; only the end of its row is missing"),
        ),
        (Course::Runs { drops, .. }, _) if !drops.is_empty() => {
            Advice::new(Verb::Investigate, say!("the next start runs it again and drops {}", listed(drops)))
        }
        (Course::Stops(stop), Reality::There) if stop.there => Advice::new(
            Verb::MarkApplied,
            say!("everything that it makes is there, and running it again stops: {}", stop.why()),
        ),
        (Course::Stops(stop), _) => Advice::new(
            Verb::Investigate,
            say!("running it again stops at statement {}: {}", stop.statement, stop.why()),
        ),
        (Course::Runs { .. }, Reality::There) => {
            Advice::new(Verb::Resolve, Clean::ours("what it makes is there, and running it again does no harm"))
        }
        (Course::Runs { .. }, _) => Advice::new(
            Verb::Resolve,
            Clean::ours("a file that fails leaves nothing behind: the next start runs it again"),
        ),
        (Course::Untold, _) => Advice::new(
            Verb::Resolve,
            Clean::ours("it stops every start until it is resolved or deleted; what it makes is not known"),
        ),
    }
}
