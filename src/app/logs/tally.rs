//! How often each signature matched in each pod, by second.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::name::Uid;

/// How often each signature matched in each pod, by second. Never evicted: a check that asks
/// "since the revert" must not depend on how much was logged meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<(Uid, u16), BTreeMap<i64, u32>>);

impl Tally {
    pub(super) fn add(&mut self, pod: &Uid, signature: u16, at: Timestamp) {
        let seconds = self.0.entry((pod.clone(), signature)).or_default();
        *seconds.entry(at.as_second()).or_default() += 1;
        // An hour of seconds a pod and signature; older ones are added up in the first of them.
        while seconds.len() > 3_600 {
            let Some((_, count)) = seconds.pop_first() else { break };
            if let Some(mut first) = seconds.first_entry() {
                *first.get_mut() = first.get().saturating_add(count);
            }
        }
    }

    /// What was seen in one pod since a time: signature, count, last time.
    pub fn of_pod(&self, pod: &Uid, since: Timestamp) -> Vec<(u16, u64, Timestamp)> {
        let of = self.0.range((pod.clone(), 0)..=(pod.clone(), u16::MAX));
        of.filter_map(|((_, signature), seconds)| {
            let (count, last) = count_since(seconds, since)?;
            Some((*signature, count, last))
        })
        .collect()
    }

    /// What was seen of one signature in each pod from a second on: seconds and counts.
    pub fn seconds(&self, signature: u16, from: i64) -> impl Iterator<Item = (&Uid, impl Iterator<Item = (i64, u32)>)> {
        let of = self.0.iter().filter(move |((_, own), _)| *own == signature);
        of.map(move |((uid, _), seconds)| (uid, seconds.range(from..).map(|(second, count)| (*second, *count))))
    }

    /// What was seen in all pods since a time: how often each signature matched.
    pub fn counts(&self, since: Timestamp) -> BTreeMap<u16, u64> {
        let mut counts = BTreeMap::new();
        for ((_, signature), seconds) in &self.0 {
            if let Some((count, _)) = count_since(seconds, since) {
                *counts.entry(*signature).or_default() += count;
            }
        }
        counts
    }
}

fn count_since(seconds: &BTreeMap<i64, u32>, since: Timestamp) -> Option<(u64, Timestamp)> {
    // The lines of the second in which something was changed belong to before it.
    let from = if since.subsec_nanosecond() > 0 { since.as_second() + 1 } else { since.as_second() };
    let range = seconds.range(from..);
    let last = range.clone().next_back().map(|(second, _)| *second)?;
    Some((range.map(|(_, count)| u64::from(*count)).sum(), Timestamp::from_second(last).ok()?))
}
