//! A node's clock beside this machine's: how late a line is can be told only by one of them.

use jiff::{SignedDuration, Timestamp};

/// What the lines of one container tell of its node's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// The shortest time that a line seemed to be under way: the way itself, and how far the node's
    /// clock is behind. `None` while no line came as it was written; the clocks count as equal then.
    behind: Option<SignedDuration>,
}

impl Clock {
    /// A line of this time came now, as it was written.
    pub(super) fn heard(&mut self, at: Timestamp, now: Timestamp) {
        let behind = now.duration_since(at);
        self.behind = Some(self.behind.map_or(behind, |least| least.min(behind)));
    }

    /// How long before a moment of this machine's clock a line was written.
    pub(super) fn before(self, moment: Timestamp, at: Timestamp) -> SignedDuration {
        moment.duration_since(at).saturating_sub(self.behind.unwrap_or_default())
    }
}
