//! How the schema stands to the target: which image is the newest, and who keeps its hands off.

use crate::app::change;
use crate::app::forecast;
use crate::app::preflight::{self, Finding};
use crate::app::state::State;
use crate::domain::change::unreadable_remedy;
use crate::domain::cluster::{Field, WorkloadRef};
use crate::domain::encrypted::{self, Newer};
use crate::domain::forecast::{DISABLE_SCHEMA_UPDATE, Forecast, Newest, unordered};
use crate::domain::live::Live;
use crate::domain::step::StepKind;
use crate::domain::workload::EnvValue;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    let newest = change::newest(state);
    match &newest {
        Newest::Known(image) => found.push(Finding::fine("newest", say!("newest image on record: {}", image))),
        Newest::Untold(image) => found.push(Finding::warns(
            "newest",
            say!("the age of {} cannot be told from its tag", image),
            say!("where the catalog cannot speak, a change needs {}=true in its template", DISABLE_SCHEMA_UPDATE),
            Clean::ours("pin versioned tags"),
        )),
        Newest::Unordered(one, other) => found.push(Finding::warns(
            "newest",
            unordered(one, other),
            say!("where the catalog cannot speak, a change needs {}=true in its template", DISABLE_SCHEMA_UPDATE),
            Clean::ours(
                "tag builds of your own by the version that they are built on and a number: v1.81.0-stable.patch.2",
            ),
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
        if let Some((aim, _)) = preflight::aim(state, workload) {
            let forecast = forecast::of_goal(state, reference, &aim.goal, aim.template);
            let remedy = forecast.stopped().map(|way| forecast::remedy(state, workload, &aim.goal, way));
            found.push(foreseen(&say!("pods of revision {} of {}", aim.number, reference), &forecast, remedy));
        }
        for (job, forecast) in forecast::of_jobs(state, workload) {
            let remedy = forecast.stopped().map(|way| way.remedy.clone());
            found.push(foreseen(&say!("the migration Job {}", job), &forecast, remedy));
        }
    }
    found.extend(stored(state));
}

/// A forecast as a finding, with the first few objects at stake.
fn foreseen(who: &Clean, forecast: &Forecast, remedy: Option<Clean>) -> Finding {
    let remedy = remedy.unwrap_or_default();
    let what = say!("{}: {}", who, forecast.word());
    let why = forecast.why().clone();
    let stake = forecast.stake();
    let at_stake = || say!("at stake: {} ({})", stake.counted(), stake.first(5));
    let finding = match (forecast, forecast.stopped()) {
        (Forecast::NotWrite { .. }, _) => Finding::fine("forecast", what),
        (Forecast::MayWrite { .. }, _) => {
            let consequence = if stake.is_empty() { Clean::ours("no table and no column is lost") } else { at_stake() };
            Finding { consequence, ..Finding::fine("forecast", what) }
        }
        (Forecast::MayDrop { .. }, Some(way)) if way.protect_helps => {
            Finding::warns("forecast", what, at_stake(), remedy)
        }
        (_, Some(way)) if way.protect_helps => {
            let consequence = Clean::ours("newer columns and tables may be lost, and nobody can name them");
            Finding::warns("forecast", what, consequence, remedy)
        }
        _ => {
            let consequence = if stake.is_empty() { Clean::default() } else { at_stake() };
            Finding { consequence, ..Finding::blocks("forecast", StepKind::Revert, what, remedy) }
        }
    };
    finding.because(why)
}

/// Stored values that only newer versions can read.
fn stored(state: &State) -> Option<Finding> {
    let newer = state.newer.last()?;
    let places = newer.iter().map(Newer::words).reduce(|all, words| say!("{}, {}", all, words));
    Some(match places {
        None => Finding::fine("encrypted", say!("no stored value is encrypted as {}", Clean::ours(encrypted::MARK))),
        Some(places) => Finding::warns(
            "encrypted",
            say!("values are encrypted as {}: {}", Clean::ours(encrypted::MARK), places),
            Clean::ours(
                "versions up to 1.91.0 cannot read them: models lose their keys, and the gateway stays healthy",
            ),
            unreadable_remedy(),
        ),
    })
}

fn is_lost(state: &State, reference: &WorkloadRef) -> bool {
    state.watched.get(reference).is_some_and(|watched| matches!(watched.workload, Live::Lost { .. }))
}
