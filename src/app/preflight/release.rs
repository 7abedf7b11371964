//! The Helm releases that own workloads: their histories, the program, an operation in flight, and
//! what stands against the revision to go back to.

use crate::app::preflight::{Finding, Severity};
use crate::app::releases::{self, Known};
use crate::app::state::State;
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::release::{Concern, Gravity, ReleaseRevision};
use crate::domain::step::StepKind;
use crate::domain::workload::Workload;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    let workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    let owned: Vec<&Workload> = workloads.filter(|workload| releases::release_of(workload).is_some()).collect();
    if owned.is_empty() {
        return;
    }
    found.push(program(state));
    for workload in owned {
        match releases::known(state, workload) {
            Some(known) => release(state, workload, known, found),
            None => found.push(match &state.setting.missing.releases {
                Some(why) => Finding::trouble("release", StepKind::Revert, why),
                None => {
                    Finding::waiting("release", say!("the Helm release of {} is not known yet", workload.reference))
                }
            }),
        }
    }
}

fn program(state: &State) -> Finding {
    match &state.releases.program {
        Live::Seen { value, .. } => Finding::fine("helm", say!("helm {} ({})", value.version, value.path)),
        Live::Lost { why, .. } | Live::Absent(why) => Finding::trouble("helm", StepKind::Revert, why),
        Live::Waiting => Finding::waiting("helm", Clean::ours("the program helm is looked for")),
    }
}

fn release(state: &State, workload: &Workload, known: &Known, found: &mut Vec<Finding>) {
    let history = match &known.history {
        Live::Waiting => {
            found.push(Finding::waiting("release", say!("the history of Helm release {} is read", known.release)));
            return;
        }
        Live::Lost { why, .. } | Live::Absent(why) => {
            found.push(Finding::trouble("release", StepKind::Revert, why));
            return;
        }
        Live::Seen { value, .. } => value,
    };
    let current = &history.current;
    let driver = history.storage.driver();
    found.push(
        Finding::fine(
            "release",
            say!("Helm release {} is at revision {}, {}", known.release, current.revision, current.status.word()),
        )
        .because(say!("{} records of HELM_DRIVER={}", history.rows().count(), driver)),
    );
    if releases::reading(state, workload) {
        found.push(Finding::waiting("target", say!("the records of Helm release {} are read", known.release)));
        return;
    }
    let chosen = match state.incident.targets.get(&workload.reference).map(|target| &target.goal) {
        Some(Goal::Release(_, revision)) => Some(*revision),
        Some(Goal::Template(_)) | None => None,
    };
    match chosen.or_else(|| releases::best(state, workload)) {
        None => found.push(Finding::blocks(
            "target",
            StepKind::Revert,
            say!("Helm release {} has no older revision that was rolled out to its end", known.release),
            say!("see `helm history {}`; a pending-install alone is uninstalled by hand", known.release),
        )),
        Some(to) => target(state, workload, known, (to, chosen.is_some()), found),
    }
}

fn target(
    state: &State,
    workload: &Workload,
    known: &Known,
    (to, chosen): (ReleaseRevision, bool),
    found: &mut Vec<Finding>,
) {
    let ranked = releases::ranked(state, workload);
    let candidate = ranked.into_iter().find(|candidate| candidate.revision == to);
    let reasons = candidate.map(|candidate| candidate.reasons).unwrap_or_default();
    let because = reasons.into_iter().reduce(|all, words| say!("{}; {}", all, words)).unwrap_or_default();
    let what = if chosen {
        say!("Helm release {} goes back to revision {}", known.release, to)
    } else {
        say!("best candidate of Helm release {}: revision {}", known.release, to)
    };
    found.push(Finding::fine("target", what).because(because));
    match releases::against(state, workload, to) {
        Ok(concerns) => found.extend(concerns.into_iter().map(concern)),
        Err(why) => {
            found.push(Finding::blocks("target", StepKind::Revert, why, Clean::ours("choose another revision")))
        }
    }
}

fn concern(concern: Concern) -> Finding {
    let Concern { id, gravity, what, consequence, remedy } = concern;
    let (severity, blocks) = match gravity {
        Gravity::Refuses | Gravity::Typed => (Severity::Blocks, Some(StepKind::Revert)),
        Gravity::Warns => (Severity::Warns, None),
    };
    Finding { consequence, remedy, blocks, ..Finding::new(id, severity, what) }
}
