//! What the applied rows promise: their statements replayed in the order in which they ran.

use std::collections::{BTreeMap, BTreeSet};

use super::trial::{goes_with, moved, renamed};
use crate::domain::effects::Effect;
use crate::domain::schema::Object;

/// Number of a row in the table.
pub(super) type At = usize;

/// What should be there after all applied rows, and who made it.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    made: BTreeMap<Object, BTreeSet<At>>,
    removed: BTreeMap<Object, At>,
    /// Rows whose statements nobody knows, with how many rows ran before each.
    unknown: Vec<(usize, At)>,
    last: BTreeMap<At, usize>,
}

impl History {
    /// Replays one more row. `None`: nobody knows what it does.
    pub(super) fn ran(&mut self, row: At, effects: Option<&[Effect]>) {
        let turn = self.last.len();
        self.last.insert(row, turn);
        let Some(effects) = effects else {
            self.unknown.push((turn, row));
            return;
        };
        for effect in effects {
            self.did(row, effect);
        }
        if effects.contains(&Effect::Unread) {
            self.unknown.push((turn, row));
        }
    }

    fn did(&mut self, row: At, effect: &Effect) {
        match effect {
            Effect::Create { object, .. } => {
                self.removed.remove(object);
                self.made.entry(object.clone()).or_default().insert(row);
            }
            Effect::Drop { object, .. } => {
                for gone in self.with_parts(object) {
                    self.made.remove(&gone);
                    self.removed.insert(gone, row);
                }
            }
            Effect::Rename { object, to, .. } => {
                let new = renamed(object, to);
                for part in self.with_parts(object) {
                    let to = moved(&part, &new);
                    let Some(makers) = self.made.remove(&part) else { continue };
                    self.removed.insert(part, row);
                    self.removed.remove(&to);
                    self.made.entry(to).or_default().extend(makers);
                }
                // Whoever renamed it answers for the new name too.
                self.made.entry(new).or_default().insert(row);
            }
            Effect::Alter { .. } | Effect::Data { .. } | Effect::Nothing | Effect::Unread => {}
        }
    }

    fn with_parts(&self, object: &Object) -> Vec<Object> {
        let parts = self.made.keys().filter(|other| goes_with(other, object) && *other != object).cloned();
        std::iter::once(object.clone()).chain(parts).collect()
    }

    /// What each row made that no later row took away again.
    pub(super) fn made(&self) -> BTreeMap<At, Vec<&Object>> {
        let mut by = BTreeMap::<At, Vec<&Object>>::new();
        for (object, makers) in &self.made {
            for maker in makers {
                by.entry(*maker).or_default().push(object);
            }
        }
        by
    }

    /// What a row took away that no later row brought back.
    pub(super) fn removed_by(&self, row: At) -> impl Iterator<Item = &Object> {
        self.removed.iter().filter(move |(_, by)| **by == row).map(|(object, _)| object)
    }

    /// Whether an applied row promises it.
    pub(super) fn promises(&self, object: &Object) -> bool {
        self.made.contains_key(object)
    }

    /// A later row that nobody can read, and that may have taken away what this row made.
    pub(super) fn doubt(&self, row: At) -> Option<At> {
        let turn = self.last.get(&row)?;
        self.unknown.iter().find(|(later, _)| later > turn).map(|(_, by)| *by)
    }
}
