//! Which revision of a release was the last good one: every older revision, ranked, with the
//! reasons, and those that are refused.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::domain::cluster::WorkloadRef;
use crate::domain::forecast::{Facts, forecast};
use crate::domain::release::{History, Release, ReleaseRevision, ReleaseRow};
use crate::domain::settings::SchemaSwitch;
use crate::domain::span;
use crate::text::Clean;

/// A revision that was replaced sooner than this was not good for long.
const SHORT_LIVED: SignedDuration = SignedDuration::from_mins(30);
/// One that stood longer than this has proved itself.
const LONG_LIVED: SignedDuration = SignedDuration::from_hours(24);

/// An older revision as a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseCandidate {
    /// Its number.
    pub revision: ReleaseRevision,
    /// Why it can not be gone back to; the rank of such a one means nothing.
    pub refused: Option<Clean>,
    /// Higher is better.
    pub score: i32,
    /// What speaks for it.
    pub reasons: Vec<Clean>,
    /// What speaks against it.
    pub warnings: Vec<Clean>,
}

/// Every older revision, the best first, those that are refused last. Never *the one before*: as
/// Helm's own rollback on failure, only superseded and deployed ones count. Records that are not
/// read yet are judged by their labels alone. `switch` tells what the configuration file that the
/// pods of a revision find says about the schema.
pub fn rank(
    history: &History,
    records: &BTreeMap<ReleaseRevision, Release>,
    workload: &WorkloadRef,
    forecasting: &Facts<'_>,
    switch: impl Fn(ReleaseRevision) -> SchemaSwitch,
    now: Timestamp,
) -> Vec<ReleaseCandidate> {
    let rows: Vec<&ReleaseRow> = history.rows().collect();
    let each = rows.windows(2).map(|pair| {
        let mut candidate = judge(pair[1], pair[0], records, now);
        if let Some(record) = records.get(&pair[1].revision) {
            of_record(record, workload, forecasting, switch(record.revision), &mut candidate);
        }
        candidate
    });
    let mut ranked: Vec<ReleaseCandidate> = each.collect();
    ranked.sort_by_key(|candidate| {
        (candidate.refused.is_some(), std::cmp::Reverse((candidate.score, candidate.revision)))
    });
    ranked
}

fn judge(
    row: &ReleaseRow,
    next: &ReleaseRow,
    records: &BTreeMap<ReleaseRevision, Release>,
    now: Timestamp,
) -> ReleaseCandidate {
    let mut candidate = ReleaseCandidate {
        revision: row.revision,
        refused: (!row.status.was_good()).then(|| say!("it is {}", row.status.word())),
        score: 0,
        reasons: Vec::new(),
        warnings: Vec::new(),
    };
    if candidate.refused.is_none() {
        candidate.reasons.push(say!("it was rolled out to its end and is {}", row.status.word()));
    }
    if let Some(created) = row.created {
        let lived = next.created.unwrap_or(now).duration_since(created);
        if lived < SHORT_LIVED {
            candidate.score -= 30;
            candidate.warnings.push(say!("it was replaced after {}", span::short(lived)));
        } else {
            candidate.score += if lived >= LONG_LIVED { 30 } else { 15 };
            candidate.reasons.push(say!("it stood for {}", span::short(lived)));
        }
    }
    let left = records.get(&next.revision).is_some_and(|next| next.description.as_str().starts_with("Rollback to "));
    if left {
        candidate.score -= 60;
        candidate.warnings.push(Clean::ours("somebody rolled back away from it"));
    }
    candidate
}

/// Why a revision is none to go back to, though its status says that it was superseded.
pub(super) fn never(record: &Release) -> Clean {
    say!("it is {}, and it never came through: {}", record.status.word(), record.description)
}

fn of_record(
    record: &Release,
    workload: &WorkloadRef,
    forecasting: &Facts<'_>,
    switch: SchemaSwitch,
    candidate: &mut ReleaseCandidate,
) {
    let template = record.deployment(workload).and_then(|object| object.template.as_ref());
    let Some(template) = template else {
        candidate.refused = Some(say!("it has no {}", workload));
        return;
    };
    if record.never_came_through() && candidate.refused.is_none() {
        candidate.refused = Some(never(record));
    }
    if let Some(image) = template.main().map(|container| &container.image) {
        candidate.reasons.push(say!("image {}", image));
        if image.floats() {
            candidate.score -= 20;
            candidate.warnings.push(Clean::ours("its tag can point to another image now"));
        }
    }
    let forecast = forecast(&template.clone().with_switch(switch), forecasting);
    // Helm cannot set a variable on the way: the guard stops it.
    if forecast.stopped().is_some() {
        candidate.score -= 100;
        candidate.warnings.push(say!("its pods: {}", forecast.sentence()));
    }
    for hook in record.hooks.iter().filter(|hook| hook.at_rollback()) {
        candidate.warnings.push(say!("its hook {}/{} runs at the rollback", hook.kind, hook.name));
    }
    for job in record.jobs() {
        candidate.warnings.push(say!("{} is an ordinary object of it", job.key));
    }
}
