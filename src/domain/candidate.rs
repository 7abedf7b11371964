//! Which revision was the last good one: candidates ranked, with reasons that a person can check.

use jiff::{SignedDuration, Timestamp};

use crate::domain::forecast::{Facts, Forecast, ahead, forecast};
use crate::domain::name::Uid;
use crate::domain::workload::{Revision, Workload};
use crate::text::{Clean, Many};

/// A revision as a possible target.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// UID of its ReplicaSet.
    pub uid: Uid,
    /// Its number.
    pub number: u64,
    /// Higher is better; only its order means something.
    pub score: i32,
    /// What speaks for it.
    pub reasons: Vec<Clean>,
    /// What speaks against it or must be done with it.
    pub warnings: Vec<Clean>,
}

impl Candidate {
    /// Something speaks against it, worth this much.
    pub fn warn(&mut self, weight: i32, why: Clean) {
        self.score -= weight;
        self.warnings.push(why);
    }
}

/// A revision that was replaced sooner than this was hardly good.
const SHORT_LIVED: SignedDuration = SignedDuration::from_mins(15);
/// A revision that stood this long proved something.
const LONG_LIVED: SignedDuration = SignedDuration::from_hours(24);

/// Every revision but the current one, best first. Older revisions lose against newer ones of
/// the same merit.
pub fn rank(workload: &Workload, facts: &Facts<'_>, now: Timestamp) -> Vec<Candidate> {
    let mut by_age: Vec<&Revision> = workload.revisions.iter().collect();
    by_age.sort_by_key(|revision| revision.number);
    let mut candidates: Vec<Candidate> = by_age
        .iter()
        .enumerate()
        .filter(|(_, revision)| !revision.current())
        .map(|(i, revision)| {
            let next = by_age.get(i + 1);
            let replaced_at = next.map_or(now, |next| next.created.max(revision.created));
            let mut candidate = judge(revision, workload, replaced_at, facts);
            if next.is_some_and(|next| left_by_revert(next)) {
                candidate.score -= 60;
                candidate.warnings.push(Clean::ours("somebody reverted away from it"));
            }
            candidate
        })
        .collect();
    candidates.sort_by_key(|candidate| std::cmp::Reverse((candidate.score, candidate.number)));
    candidates
}

/// Whether a revision came from one of our own reverts, by the change cause that they write: the
/// one before it was the bad one.
fn left_by_revert(revision: &Revision) -> bool {
    revision.change_cause.as_ref().is_some_and(|cause| cause.as_str().starts_with("lastgood: revert "))
}

fn judge(revision: &Revision, workload: &Workload, replaced_at: Timestamp, facts: &Facts<'_>) -> Candidate {
    let mut score = 0;
    let (mut reasons, mut warnings) = (Vec::new(), Vec::new());
    let lived = replaced_at.duration_since(revision.created);
    if revision.ready > 0 {
        score += 40;
        reasons.push(say!("{} of its pods are ready right now", revision.ready));
    }
    if lived < SHORT_LIVED {
        score -= 30;
        warnings.push(say!("it was replaced after {}", crate::domain::span::short(lived)));
    } else {
        score += if lived >= LONG_LIVED { 30 } else { 15 };
        reasons.push(say!("it stood for {}", crate::domain::span::short(lived)));
    }
    judge_image(revision, workload, &mut score, &mut reasons, &mut warnings);
    if let Some(cause) = &revision.change_cause {
        reasons.push(say!("change cause: {}", cause));
    }
    match revision.image().and_then(|image| ahead(image, facts)) {
        Some(0) => reasons.push(Clean::ours("it knows every migration that the database has")),
        Some(rows) => reasons.push(say!(
            "the database has {} that it does not know; rows alone disturb no older version",
            Many(rows, "migration")
        )),
        None => {}
    }
    let forecast = forecast(&revision.template, facts);
    match (&forecast, forecast.stopped()) {
        (_, Some(way)) => warnings.push(say!("forecast: {}; {}", forecast.sentence(), way.remedy)),
        (Forecast::MayWrite { .. }, None) => warnings.push(say!("forecast: {}", forecast.sentence())),
        (_, None) => reasons.push(say!("forecast: {}", forecast.sentence())),
    }
    Candidate { uid: revision.uid.clone(), number: revision.number, score, reasons, warnings }
}

fn judge_image(
    revision: &Revision,
    workload: &Workload,
    score: &mut i32,
    reasons: &mut Vec<Clean>,
    warnings: &mut Vec<Clean>,
) {
    let live = workload.template.main().map(|container| &container.image);
    let Some(image) = revision.image() else {
        *score -= 50;
        warnings.push(Clean::ours("its template has no container"));
        return;
    };
    if Some(image) == live {
        reasons.push(Clean::ours("same image as the live one: only its settings differ"));
    } else {
        *score += 10;
        reasons.push(say!("image {}", image));
    }
    match image.tag() {
        _ if image.floats() => {
            *score -= 20;
            warnings.push(Clean::ours("its tag can point to another image now"));
        }
        Some(tag) if tag.contains("nightly") || tag.contains("rc") || tag.contains("dev") => {
            *score -= 10;
            warnings.push(Clean::ours("not a stable tag"));
        }
        _ => *score += 5,
    }
}
