//! Logs that nobody listens to for a while: a pod may fall out of the limit and come back, and
//! neither loses a line by that nor repeats one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Follower, State};
use crate::domain::log::{LogItem, LogSource};

/// How many logs that may go on are kept; the ones that left first are forgotten first.
const GOING_ON: usize = 100;
/// How many logs that were read to their end are kept. They take next to no memory.
const OVER: usize = 2_000;

/// The followers that wait until somebody listens again.
#[derive(Default)]
pub(in crate::world::kubernetes) struct Parking(Mutex<Places>);

#[derive(Default)]
struct Places {
    going_on: VecDeque<Follower>,
    over: VecDeque<Follower>,
}

impl Parking {
    /// The follower that was left, if it is still here.
    pub(super) fn take(&self, source: &LogSource) -> Option<Follower> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Places { going_on, over } = &mut *places;
        [going_on, over].into_iter().find_map(|place| {
            let at = place.iter().position(|follower| *follower.source == *source)?;
            place.remove(at)
        })
    }

    fn put(&self, mut follower: Follower) {
        follower.park();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = matches!(follower.state, State::Over);
        let (place, most) = if over {
            follower.resume.restarted();
            (&mut places.over, OVER)
        } else {
            (&mut places.going_on, GOING_ON)
        };
        place.push_back(follower);
        place.drain(..place.len().saturating_sub(most));
    }
}

/// A follower that somebody listens to. It is parked when nobody does any more.
pub(super) struct Seat {
    follower: Option<Follower>,
    parking: Arc<Parking>,
}

impl Seat {
    pub(super) fn new(follower: Follower, parking: &Arc<Parking>) -> Self {
        Self { follower: Some(follower), parking: Arc::clone(parking) }
    }

    pub(super) async fn next(&mut self) -> Option<LogItem> {
        self.follower.as_mut()?.next().await
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.take() {
            self.parking.put(follower);
        }
    }
}
