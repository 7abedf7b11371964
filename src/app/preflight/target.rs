//! Whether the target is there, is known to have been good, and can still be pulled.

use crate::app::coupling;
use crate::app::preflight::{self, Finding};
use crate::app::releases;
use crate::app::state::State;
use crate::domain::step::StepKind;
use crate::domain::workload::Revision;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        // The release's own findings say where it goes back to.
        if releases::release_of(workload).is_some() {
            continue;
        }
        if let Some(target) = state.incident.targets.get(reference)
            && preflight::target(state, workload).is_none()
        {
            found.push(Finding::blocks(
                "target",
                StepKind::Revert,
                say!("revision {} of {} is gone", target.revision, reference),
                Clean::ours("choose another target"),
            ));
            continue;
        }
        let Some((revision, chosen)) = preflight::target(state, workload) else {
            found.push(Finding::blocks(
                "target",
                StepKind::Revert,
                say!("{} has no older revision to go back to", reference),
                Clean::ours("set an image by hand (i in the revisions pane); check revisionHistoryLimit"),
            ));
            continue;
        };
        let what = if chosen {
            let image = revision.image().map_or(Clean::default(), |image| say!("{}", image));
            say!("{} goes back to revision {} ({})", reference, revision.number, image)
        } else {
            say!("best candidate of {}: revision {}", reference, revision.number)
        };
        let ranked = coupling::ranked(state, workload);
        let candidate = ranked.into_iter().find(|candidate| candidate.uid == revision.uid);
        let (reasons, warnings) = candidate.map(|found| (found.reasons, found.warnings)).unwrap_or_default();
        let because = reasons.into_iter().reduce(|all, words| say!("{}; {}", all, words)).unwrap_or_default();
        found.push(match warnings.into_iter().reduce(|all, words| say!("{}; {}", all, words)) {
            None => Finding::fine("target", what).because(because),
            Some(doubts) => Finding::warns(
                "target",
                what,
                doubts,
                Clean::ours("`lastgood plan` and the revisions pane rank the other candidates"),
            )
            .because(because),
        });
        found.push(image(revision));
    }
}

/// Whether the image can still be had. Only a pod that runs it proves it without a pull.
fn image(revision: &Revision) -> Finding {
    match &revision.digest {
        Some(digest) => Finding::fine("target-image", say!("revision {} ran as {}", revision.number, digest)),
        None => Finding::unknown(
            "target-image",
            say!("whether the image of revision {} can still be pulled is not known", revision.number),
            Clean::ours("an image that is gone from its registry leaves the new pods in ImagePullBackOff"),
            Clean::ours("ask the registry for it before the revert"),
        )
        .because(Clean::ours("no pod of that revision was seen, and registries are not asked")),
    }
}
