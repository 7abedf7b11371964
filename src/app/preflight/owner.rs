//! Who owns the Deployments besides us: an owner reverts or breaks what is patched behind its back.

use crate::app::preflight::Finding;
use crate::app::state::State;
use crate::domain::live::Live;
use crate::domain::step::StepKind;
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
        match workload.owner.forbids_patch() {
            Some((why, remedy)) => {
                found.push(Finding::blocks("owner", StepKind::Revert, say!("{}: {}", reference, why), remedy))
            }
            None => found.push(Finding::fine("owner", say!("{} is owned by nobody else", reference))),
        }
        if workload.paused {
            let remedy = say!("kubectl -n {} rollout resume {}", reference.namespace, reference);
            found.push(Finding::blocks("paused", StepKind::Revert, say!("{} is paused", reference), remedy));
        }
    }
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
