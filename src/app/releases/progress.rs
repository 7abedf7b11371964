//! How far the rollback of a release has come, and what it leaves behind.

use super::known;
use crate::app::runbook::Progress;
use crate::app::state::State;
use crate::domain::cluster::WorkloadRef;
use crate::domain::incident::ActRecord;
use crate::domain::name::ReleaseName;
use crate::domain::record::{ActId, ActKind, End, Made};
use crate::domain::release::{Extra, ReleaseRevision, disagreements, extras};
use crate::domain::rollback::{Outcome, outcome};
use crate::domain::workload::{Rollout, Workload};
use crate::text::Clean;

/// The last rollback of a release in this incident. A release may own several workloads: one
/// rollback is theirs all.
fn last_rollback<'a>(state: &'a State, place: &WorkloadRef, release: &ReleaseName) -> Option<(ActId, &'a ActRecord)> {
    let of = |act: &ActRecord| {
        matches!(&act.kind, ActKind::Rollback { workload, release: other, .. }
            if other == release && workload.namespace == place.namespace)
    };
    let acts = state.incident.acts.iter().rev();
    let mut acts = acts.filter(|(_, act)| of(act) && !matches!(act.end, Some((End::Failed, ..))));
    acts.next().map(|(id, act)| (*id, act))
}

/// How far the rollback of a workload's release has come: done when the record, the rollout and
/// the live template agree with the target.
pub fn progress(state: &State, reference: &WorkloadRef, release: &ReleaseName, to: ReleaseRevision) -> Progress {
    let next = || Progress::Next(reference.clone());
    let rolling = |why: Clean| Progress::Rolling(reference.clone(), why);
    let Some((id, act)) = last_rollback(state, reference, release) else { return next() };
    let ActKind::Rollback { from, to: went, .. } = &act.kind else { return next() };
    if *went != to {
        return next();
    }
    if state.running.contains_key(&id) {
        return Progress::Acting;
    }
    if !act.done() {
        return next();
    }
    let made = match act.made {
        Some(Made::RolledBack { revision }) => revision,
        _ => from.next(),
    };
    let seen = state.watched.get(reference).and_then(|watched| watched.workload.fresh());
    let Some(workload) = seen else { return rolling(Clean::ours("the connection to the cluster is lost")) };
    let Some(known) = known(state, workload) else { return rolling(Clean::ours("the release is not seen yet")) };
    let Some(history) = known.history.fresh() else { return rolling(Clean::ours("the history is not seen right now")) };
    if history.current.revision < made {
        return rolling(say!("the record of revision {} is not seen yet", made));
    }
    // Somebody upgraded or rolled back again since.
    if history.current.revision > made {
        return next();
    }
    let Some(record) = known.records.get(&made).filter(|record| record.status == history.current.status) else {
        return rolling(say!("the record of revision {} is being read", made));
    };
    match outcome(to, Some((&record.status, &record.description))) {
        Outcome::Done => {}
        Outcome::Running => return rolling(say!("revision {} is still pending-rollback", made)),
        Outcome::NotBegun => return next(),
        Outcome::Failed(why) | Outcome::Another(why) => return Progress::Failed(reference.clone(), why),
    }
    match workload.numbers.status() {
        Rollout::Waiting(why) => return rolling(why),
        Rollout::Failed(why) => return Progress::Failed(reference.clone(), why),
        Rollout::Done => {}
    }
    let manifest = record.deployment(reference).and_then(|object| object.template.as_ref());
    let Some(manifest) = manifest else { return rolling(say!("revision {} is being read", made)) };
    let left: Vec<Clean> = extras(&workload.template, manifest).iter().map(Extra::words).collect();
    let mut differs = disagreements(&workload.template, manifest);
    // What only the live template has was there before, and Helm leaves it: a debt, no failure.
    differs.retain(|words| !left.contains(words));
    match differs.first() {
        None => Progress::Done,
        Some(first) => Progress::Failed(
            reference.clone(),
            say!("helm calls it a success, and {} things are not as revision {} says: {}", differs.len(), to, first),
        ),
    }
}

/// What a rollback has left behind in a live template that no manifest of the release knows, and
/// how a person takes it away. `None` where nothing is.
pub fn debt(state: &State, workload: &Workload, to: ReleaseRevision) -> Option<Clean> {
    let manifest = known(state, workload)?.records.get(&to)?.deployment(&workload.reference)?.template.as_ref()?;
    let each = extras(&workload.template, manifest);
    let words = each.iter().map(|extra| say!("{} ({})", extra.words(), extra.remedy(&workload.reference)));
    words.reduce(|all, one| say!("{}; {}", all, one))
}

/// What can be seen now of a rollback whose outcome is unknown.
pub fn fact_about(state: &State, workload: &WorkloadRef, from: ReleaseRevision, to: ReleaseRevision) -> Clean {
    let Some(known) = state.releases.known.get(workload) else {
        return Clean::ours("the records of the release are not seen right now");
    };
    let Some(history) = known.history.fresh() else {
        return say!("the records of {} are not seen right now", known.release);
    };
    let made = from.next();
    let record = known.records.get(&made);
    match (history.row(made), record) {
        (None, _) => say!("{} has no revision {}: it has not begun", known.release, made),
        (Some(row), None) => say!("revision {} is {}", made, row.status.word()),
        (Some(row), Some(record)) => match outcome(to, Some((&row.status, &record.description))) {
            Outcome::Done => say!("revision {} is deployed, {}: it happened", made, record.description),
            Outcome::Running => {
                say!("revision {} is pending-rollback: helm still works on it, or was ended on the way", made)
            }
            _ => say!("revision {} is {}: {}", made, row.status.word(), record.description),
        },
    }
}
