//! What only the preflight looks at: the server with its programs, and dry runs of what is planned.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::app::action::Pane;
use crate::app::effect::{Effect, Look, LookId};
use crate::app::state::State;
use crate::app::{change, forecast, preflight, releases};
use crate::domain::change::{Change, ChangeKind, Preview};
use crate::domain::cluster::WorkloadRef;
use crate::domain::forecast::{Forecast, Newest};
use crate::domain::live::Live;
use crate::domain::step::StepKind;
use crate::domain::trouble::Trouble;
use crate::domain::workload::Workload;

/// How often a server that answered is asked again: it changes with an upgrade, the programs with
/// an installation.
const SERVER_AGAIN: SignedDuration = SignedDuration::from_secs(300);
/// How long after a failure something is tried again that may have passed.
const RETRY: SignedDuration = SignedDuration::from_secs(15);

/// A dry run of what is planned for a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct DryRun {
    /// What is planned.
    pub change: Change,
    /// What the API server said.
    pub outcome: Live<Preview>,
    look: LookId,
}

/// What was looked at for the preflight alone.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    server: Option<Timestamp>,
    dry_runs: BTreeMap<WorkloadRef, DryRun>,
}

impl Looks {
    /// The dry run of what is planned for a workload.
    pub fn dry_run(&self, workload: &WorkloadRef) -> Option<&DryRun> {
        self.dry_runs.get(workload)
    }
}

/// The looks that are due.
pub fn due(state: &mut State) -> Vec<Effect> {
    let mut effects: Vec<Effect> = server_when_due(state).into_iter().collect();
    for reference in state.setting.workloads.clone() {
        effects.extend(dry_run_when_due(state, &reference));
    }
    effects
}

fn server_when_due(state: &mut State) -> Option<Effect> {
    let every = match &state.server {
        Live::Absent(_) => return None,
        Live::Seen { .. } => SERVER_AGAIN,
        Live::Waiting | Live::Lost { .. } => RETRY,
    };
    let recent = |at: Timestamp| state.now.duration_since(at).abs() < every;
    if state.preflight.server.is_some_and(recent) || state.looking(&Look::Server) {
        return None;
    }
    state.preflight.server = Some(state.now);
    Some(state.look(Look::Server))
}

/// What is going to be sent to a workload, where that can be known: a revert to its target, with
/// the protection that the schema guard asks for.
fn planned(state: &State, workload: &Workload) -> Option<Change> {
    let reference = &workload.reference;
    let wanted = state.step() == Some(StepKind::Preflight)
        || state.view.focus == Pane::Preflight
        || state.incident.targets.contains_key(reference);
    let may = state.setting.missing.workloads.is_none() && change::may_touch(state, workload).is_ok();
    // The protection depends on what is known of every image and of the schema.
    let unseen = matches!(change::newest(state), Newest::Unseen(_)) || matches!(state.schema, Live::Waiting);
    if !wanted || !may || unseen || releases::release_of(workload).is_some() || state.incident.closed.is_some() {
        return None;
    }
    let (revision, _) = preflight::target(state, workload)?;
    if revision.current() {
        return None;
    }
    let forecast = forecast::of_revision(state, reference, revision);
    let protect = Forecast::stopped(&forecast).is_some_and(|way| way.protect_helps);
    let kind = ChangeKind::Revert { to: revision.uid.clone(), revision: revision.number };
    Some(Change::on(workload, kind, protect))
}

fn dry_run_when_due(state: &mut State, reference: &WorkloadRef) -> Option<Effect> {
    let workload = state.watched.get(reference)?.workload.fresh()?;
    // While something runs, the object that is planned on changes.
    let change = planned(state, workload).filter(|_| state.running.is_empty())?;
    if let Some(known) = state.preflight.dry_runs.get(reference).filter(|known| known.change == change) {
        let again = match &known.outcome {
            Live::Lost { since, why, .. } => why.kind.passing() && state.now.duration_since(*since).abs() >= RETRY,
            _ => false,
        };
        if !again || state.looks.contains_key(&known.look) {
            return None;
        }
    }
    let (look, effect) = state.look_numbered(Look::Preview(Box::new(change.clone())));
    state.preflight.dry_runs.insert(reference.clone(), DryRun { change, outcome: Live::Waiting, look });
    Some(effect)
}

/// A dry run came back. False when it was not one of ours.
pub fn dry_run_seen(state: &mut State, look: LookId, result: &Result<Box<Preview>, Trouble>) -> bool {
    let now = state.now;
    let Some(known) = state.preflight.dry_runs.values_mut().find(|known| known.look == look) else { return false };
    match result {
        Ok(preview) => known.outcome.see((**preview).clone(), now),
        Err(why) => known.outcome.lose(why.clone(), now),
    }
    true
}
