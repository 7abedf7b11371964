//! What to do with the rows as a set, and why.

use super::{Finding, Ledger, Setback, Verb};
use crate::domain::migration::RowState;
use crate::domain::name::MigrationName;
use crate::text::Clean;

impl Ledger {
    /// What to do with the set of rows, most urgent first, each with its reason. Empty when no row
    /// is newer than the target and none needs a hand.
    pub fn counsel(&self) -> Vec<Clean> {
        let mut counsel = Vec::new();
        match self.rows.iter().filter(|row| row.state == RowState::Failed).count() {
            0 => {}
            1 => counsel.push(Clean::ours("clear the failed row first: nothing is applied before that (P3009)")),
            more => counsel.push(say!("clear the {} failed rows first: nothing is applied before that (P3009)", more)),
        }
        match self.stale().count() {
            0 => {}
            1 => counsel.push(Clean::ours("delete 1 row: what it made is gone, and the row keeps it gone")),
            more => counsel.push(say!("delete {} rows: what they made is gone, and the rows keep it gone", more)),
        }
        let to_look_at = |row: &&Finding| matches!(row.advice.verb, Verb::Investigate | Verb::Restore);
        match self.rows.iter().filter(to_look_at).count() {
            0 => {}
            1 => counsel.push(Clean::ours("look into 1 row first: running it again does not mend it")),
            more => counsel.push(say!("look into {} rows first: running them again does not mend them", more)),
        }
        match self.ahead().filter(|row| row.advice.verb == Verb::Keep).count() {
            0 => {}
            1 => counsel.push(Clean::ours("keep the newer row: it disturbs no older version")),
            more => counsel.push(say!("keep the {} newer rows: they disturb no older version", more)),
        }
        counsel.extend(self.all_deleted_sentence());
        counsel
    }

    /// What deleting every row that the target does not know leads to. `None` when there is none.
    pub fn all_deleted_sentence(&self) -> Option<Clean> {
        let ahead = self.ahead().count();
        let Setback { stops, may_stop } = &self.all_deleted;
        let course = match (stops, one_of(may_stop)) {
            (Some((name, stop)), None) => say!("stops at {}, statement {}: {}", name, stop.statement, stop.why()),
            (Some((name, stop)), Some(before)) => {
                say!("stops at {}: {}, if not before at {}", name, stop.why(), before)
            }
            (None, Some(names)) => say!("runs them all again, and may stop at {}", names),
            (None, None) => Clean::ours("runs them all again, as far as names tell"),
        };
        (ahead > 0).then(|| say!("were all {} newer rows deleted, the next upgrade {}", ahead, course))
    }
}

/// `a, b or c`; of many, the first three.
fn one_of(names: &[MigrationName]) -> Option<Clean> {
    let (first, rest) = names.split_first()?;
    let (named, more) = rest.split_at(rest.len().min(2));
    let last = (more.is_empty()).then(|| named.last()).flatten();
    let commas = named.iter().take(named.len() - usize::from(last.is_some()));
    let listed = commas.fold(say!("{}", first), |all, name| say!("{}, {}", all, name));
    Some(match (last, more.len()) {
        (Some(last), _) => say!("{} or {}", listed, last),
        (None, 0) => listed,
        (None, more) => say!("{} or {} others", listed, more),
    })
}
