//! How the schema stands to the target: which image is the newest, and who keeps its hands off.

use crate::app::change;
use crate::app::preflight::Finding;
use crate::app::state::State;
use crate::domain::cluster::{Field, WorkloadRef};
use crate::domain::forecast::{DISABLE_SCHEMA_UPDATE, Newest};
use crate::domain::live::Live;
use crate::domain::workload::EnvValue;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    let newest = change::newest(state);
    match &newest {
        Newest::Known(image) => found.push(Finding::fine("newest", say!("newest image on record: {}", image))),
        Newest::Untold(image) => found.push(Finding::warns(
            "newest",
            say!("the age of {} cannot be told from its tag", image),
            say!("every change needs {}=true in its template", DISABLE_SCHEMA_UPDATE),
            Clean::ours("pin versioned tags"),
        )),
        // The workload's own finding says what is in the way.
        Newest::Unseen(workload) if is_lost(state, workload) => {}
        Newest::Unseen(workload) => found.push(Finding::waiting("newest", say!("{} is not seen yet", workload))),
        Newest::Nothing if state.setting.missing.cluster.is_some() || state.setting.workloads.is_empty() => {}
        Newest::Nothing => found.push(Finding::waiting("newest", Clean::ours("no image is on record yet"))),
    }
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        let set = workload.template.main().and_then(|container| container.variable(DISABLE_SCHEMA_UPDATE));
        let what = match set {
            None => say!("{} does not set {}", reference, DISABLE_SCHEMA_UPDATE),
            Some(EnvValue::From(from)) => say!("{} takes {} from {}", reference, DISABLE_SCHEMA_UPDATE, from),
            Some(EnvValue::Literal(Field::Shown(value))) => {
                say!("{} sets {}={}", reference, DISABLE_SCHEMA_UPDATE, value)
            }
            Some(EnvValue::Literal(_)) => say!("{} sets {}", reference, DISABLE_SCHEMA_UPDATE),
        };
        found.push(Finding::fine("schema-update", what));
    }
}

fn is_lost(state: &State, reference: &WorkloadRef) -> bool {
    state.watched.get(reference).is_some_and(|watched| matches!(watched.workload, Live::Lost { .. }))
}
