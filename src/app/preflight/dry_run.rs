//! Whether the API server lets the planned patch through: its own dry run, with its admission.

use crate::app::preflight::{self, Finding};
use crate::app::releases;
use crate::app::state::State;
use crate::domain::cluster::WorkloadRef;
use crate::domain::live::Live;
use crate::domain::name::ReleaseName;
use crate::domain::release::{Tried, Verdict};
use crate::domain::step::StepKind;
use crate::text::Clean;

/// The rollback of a release as the API server tried it. What it stops is told with what else stands
/// against the target.
fn rollback(state: &State, reference: &WorkloadRef, release: &ReleaseName) -> Option<Finding> {
    let (aim, _) = preflight::aim(state, state.workload(reference)?)?;
    let about = state.coupling.about(reference, &aim.goal)?;
    let Some((rollback, trial)) = &about.tried else { return None };
    match trial {
        Live::Waiting | Live::Absent(_) => {
            Some(Finding::waiting("dry-run", say!("the API server tries the rollback of Helm release {}", release)))
        }
        Live::Lost { .. } => None,
        Live::Seen { value, .. } => {
            let passes = |tried: &&Tried| tried.verdict == Verdict::Passes && !tried.foreign;
            let evidence =
                say!("{} objects sent as helm {} would, with dryRun=All", value.tried.len(), value.helm.version);
            value.tried.iter().all(|tried| passes(&tried)).then(|| {
                Finding::fine("dry-run", say!("the API server's dry run passes: {}", rollback.sentence()))
                    .because(evidence)
            })
        }
    }
}

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        if let Some(release) = state.workload(reference).and_then(releases::release_of) {
            found.extend(rollback(state, reference, &release));
            continue;
        }
        let Some(dry_run) = state.preflight.dry_run(reference) else { continue };
        let change = dry_run.change.sentence();
        found.push(match &dry_run.outcome {
            Live::Absent(_) | Live::Waiting => {
                Finding::waiting("dry-run", say!("the dry run is under way: {}", change))
            }
            Live::Lost { why, .. } => Finding::blocks(
                "dry-run",
                StepKind::Revert,
                say!("the API server's dry run fails: {}", change),
                if why.remedy.is_empty() { Clean::ours("ask whoever runs the cluster") } else { why.remedy.clone() },
            )
            .because(why.what.clone()),
            Live::Seen { value, .. } => {
                let passed = say!("the API server's dry run passes: {}", change);
                let evidence = say!("patch with dryRun=All, {} fields differ from the live template", value.diff.len());
                let warnings = value.warnings.iter().cloned().reduce(|all, words| say!("{}; {}", all, words));
                match warnings {
                    None => Finding::fine("dry-run", passed),
                    Some(warnings) => Finding::warns(
                        "dry-run",
                        passed,
                        say!("the API server warns: {}", warnings),
                        Clean::ours("read the warnings before it is sent"),
                    ),
                }
                .because(evidence)
            }
        });
    }
}
