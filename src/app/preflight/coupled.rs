//! What a rollback of the template does not bring back: keys, configuration, autoscalers, tags.

use crate::app::preflight::{self, Finding};
use crate::app::state::State;
use crate::domain::workload::{Template, Workload};
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        salt_key(state, workload, found);
    }
}

/// The salt key decides whether stored credentials can be read. Compared, never shown.
fn salt_key(state: &State, workload: &Workload, found: &mut Vec<Finding>) {
    let Some((target, _)) = preflight::target(state, workload) else { return };
    let of =
        |template: &Template| template.main().and_then(|container| container.variable("LITELLM_SALT_KEY").cloned());
    let (live, then) = (of(&workload.template), of(&target.template));
    found.push(if live == then {
        let words = if live.is_none() { "neither template sets LITELLM_SALT_KEY" } else { "same" };
        Finding::fine(
            "salt-key",
            say!("LITELLM_SALT_KEY of the live template and of revision {}: {}", target.number, words),
        )
    } else {
        Finding::warns(
            "salt-key",
            say!("LITELLM_SALT_KEY of the live template and of revision {}: different", target.number),
            Clean::ours("credentials that were stored under one key cannot be read under the other"),
            Clean::ours("make sure that the target's key is the one that the stored credentials were written with"),
        )
    });
}
