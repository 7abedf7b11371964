//! Whether the API server lets the planned patch through: its own dry run, with its admission.

use crate::app::preflight::Finding;
use crate::app::releases;
use crate::app::state::State;
use crate::domain::live::Live;
use crate::domain::step::StepKind;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        if let Some(release) = state.workload(reference).and_then(releases::release_of) {
            found.push(Finding::unknown(
                "dry-run",
                say!("a rollback of Helm release {} is not tried beforehand", release),
                Clean::ours("what admission of the cluster refuses shows only when helm sends it"),
                Clean::ours("the record, the rollout and the live objects are compared with the target afterwards"),
            ));
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
