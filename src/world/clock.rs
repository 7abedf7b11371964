//! The time of day for everything outside the core, which is told the time and never asks.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A clock: the wall's in live mode; in a drill one that moves with tokio's, so that a test or an
/// automatic drill can let an hour pass at once.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Option<(Timestamp, Instant)>);

impl Clock {
    /// The wall clock.
    pub fn wall() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` now and moves with tokio's. Call it inside a runtime.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Some((start, Instant::now())))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            None => Timestamp::now(),
            Some((start, origin)) => {
                let passed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::ZERO);
                start.checked_add(passed).unwrap_or(start)
            }
        }
    }
}
