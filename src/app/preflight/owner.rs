//! Who owns the Deployments besides us: an owner reverts or breaks what is patched behind its back.

use crate::app::preflight::Finding;
use crate::app::releases;
use crate::app::state::State;
use crate::domain::live::Live;
use crate::domain::step::StepKind;
use crate::domain::workload::Workload;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else {
            if state.setting.missing.cluster.is_none() {
                let lost = state.watched.get(reference).map(|watched| &watched.workload);
                found.push(match lost {
                    Some(Live::Lost { why, .. }) => Finding::trouble("workload", StepKind::Revert, why),
                    _ => Finding::waiting("workload", say!("{} is not known yet", reference)),
                });
            }
            continue;
        };
        if let Some(release) = releases::release_of(workload) {
            found.push(Finding::fine(
                "owner",
                say!("{} belongs to Helm release {}: the revert is a rollback of the release", reference, release),
            ));
        } else {
            found.push(owner(workload));
        }
        if workload.paused {
            let remedy = say!("kubectl -n {} rollout resume {}", reference.namespace, reference);
            found.push(Finding::blocks("paused", StepKind::Revert, say!("{} is paused", reference), remedy));
        }
    }
    no_workload(state, found);
}

fn owner(workload: &Workload) -> Finding {
    let reference = &workload.reference;
    match workload.owner.forbids_patch() {
        Some((why, remedy)) => Finding::blocks("owner", StepKind::Revert, say!("{}: {}", reference, why), remedy),
        None => Finding::fine("owner", say!("{} is owned by nobody else", reference)),
    }
}

fn no_workload(state: &State, found: &mut Vec<Finding>) {
    if state.setting.workloads.is_empty() {
        found.push(match &state.found {
            Live::Waiting => Finding::waiting("workload", state.no_workload()),
            Live::Lost { why, .. } => Finding::trouble("workload", StepKind::Revert, why),
            // Without a cluster the identity says so already.
            Live::Absent(_) => return,
            Live::Seen { .. } => Finding::blocks(
                "workload",
                StepKind::Revert,
                Clean::ours("no workload is configured, and none was found"),
                Clean::ours("name them in lastgood.toml: workloads = [\"…\"]"),
            ),
        });
    }
}
