//! Knowledge with an age: what was last seen, when, and whether it can still be trusted.

use jiff::Timestamp;

use crate::domain::trouble::Trouble;

/// A fact from outside. A pane can say "12 s old" or "lost 40 s ago" without asking anyone, and
/// a lost connection keeps the last value instead of replacing it.
#[derive(Clone, Debug, PartialEq)]
pub enum Live<T> {
    /// Nobody has been asked: this environment has no such part, and why.
    Absent(Trouble),
    /// Asked, not answered yet.
    Waiting,
    /// The last answer and when it came.
    Seen {
        /// The value.
        value: T,
        /// When it was true.
        at: Timestamp,
    },
    /// The connection is lost: the last value, if there was one, since when, and why.
    Lost {
        /// The last value and when it was true.
        last: Option<(T, Timestamp)>,
        /// When it was lost.
        since: Timestamp,
        /// Why.
        why: Trouble,
    },
}

impl<T> Live<T> {
    /// The value, fresh or stale.
    pub fn last(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } | Self::Lost { last: Some((value, _)), .. } => Some(value),
            _ => None,
        }
    }

    /// The value to change in place, fresh or stale.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Seen { value, .. } | Self::Lost { last: Some((value, _)), .. } => Some(value),
            _ => None,
        }
    }

    /// The value only while it is fresh. Decisions use this one.
    pub fn fresh(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } => Some(value),
            _ => None,
        }
    }

    /// When the value was last true.
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Seen { at, .. } | Self::Lost { last: Some((_, at)), .. } => Some(*at),
            _ => None,
        }
    }

    /// A new answer.
    pub fn see(&mut self, value: T, at: Timestamp) {
        *self = Self::Seen { value, at };
    }

    /// The connection is lost. Keeps the value, and the moment of the first loss.
    pub fn lose(&mut self, why: Trouble, now: Timestamp) {
        *self = match std::mem::replace(self, Self::Waiting) {
            Self::Seen { value, at } => Self::Lost { last: Some((value, at)), since: now, why },
            Self::Lost { last, since, .. } => Self::Lost { last, since, why },
            _ => Self::Lost { last: None, since: now, why },
        };
    }
}
