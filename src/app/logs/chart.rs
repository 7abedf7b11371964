//! How often a signature matched of late, and what went out meanwhile: it shows whether an error
//! began with the rollout, and whether it stopped with the revert.

use jiff::{SignedDuration, Timestamp};

use crate::app::state::State;
use crate::domain::name::Uid;

/// What is shown as a rule; longer where the last rollout would not be in it.
const USUAL: SignedDuration = SignedDuration::from_mins(15);
/// The longest: the tally keeps an hour of seconds.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// What went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A revision that was new then.
    Rollout,
    /// A change of the console's own: a revert, an image, a variable, a restart.
    Change,
}

impl Event {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Event::Rollout => "rollout",
            Event::Change => "change",
        }
    }
}

/// Counts of one signature over all pods, in steps of the same length that end now.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// How far it goes back.
    pub span: SignedDuration,
    /// Matching lines of each step, oldest first.
    pub counts: Vec<u64>,
    /// What went out: before which step, what, and when; oldest first.
    pub events: Vec<(usize, Event, Timestamp)>,
    /// Pods with matching lines, those with most of them first.
    pub pods: Vec<(Uid, u64)>,
}

impl Chart {
    /// All matching lines.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The chart of a signature, in this many steps. `None` when no line matched of late.
pub fn chart(state: &State, signature: u16, steps: usize) -> Option<Chart> {
    let events = events(state);
    let last = events.last().map(|(_, at)| state.now.duration_since(*at));
    let span = if last.is_some_and(|ago| ago > USUAL && ago < LONGEST) { LONGEST } else { USUAL };
    let steps = i64::try_from(steps).ok().filter(|steps| *steps > 0)?;
    let step = (span.as_secs() + steps - 1) / steps;
    // Steps begin at multiples of their length, so that the chart stands still between them.
    let first = (state.now.as_second().div_euclid(step) + 1 - steps) * step;
    let place = |second: i64| usize::try_from((second - first).div_euclid(step)).ok();
    let mut counts = vec![0; usize::try_from(steps).ok()?];
    let mut pods = Vec::new();
    for (uid, seconds) in state.logs.tally().seconds(signature, first) {
        let mut of_pod = 0;
        for (second, count) in seconds {
            // A clock that is ahead of ours counts as now.
            let at = place(second)?.min(counts.len() - 1);
            counts[at] += u64::from(count);
            of_pod += u64::from(count);
        }
        if of_pod > 0 {
            pods.push((uid.clone(), of_pod));
        }
    }
    pods.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let events = events.into_iter().filter_map(|(event, at)| {
        let place = place(at.as_second()).filter(|place| *place < counts.len())?;
        Some((place, event, at))
    });
    let events = events.collect();
    (!pods.is_empty()).then_some(Chart { span, counts, events, pods })
}

/// What went out, oldest first.
fn events(state: &State) -> Vec<(Event, Timestamp)> {
    let workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    let rollouts =
        workloads.flat_map(|workload| &workload.revisions).map(|revision| (Event::Rollout, revision.created));
    let changes = state.incident.acts.values().filter(|act| act.done() && act.kind.workload().is_some());
    let mut events: Vec<_> = rollouts.chain(changes.map(|act| (Event::Change, act.started_at))).collect();
    events.retain(|(_, at)| *at <= state.now);
    events.sort_by_key(|(_, at)| *at);
    events
}
