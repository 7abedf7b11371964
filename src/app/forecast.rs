//! The facts of a forecast, as the console knows them now, and what is forecast for each workload.

use serde::Serialize;

use crate::app::change;
use crate::app::state::State;
use crate::domain::cluster::WorkloadRef;
use crate::domain::forecast::{Facts, Forecast, forecast, forecast_job};
use crate::domain::live::Live;
use crate::domain::workload::{Template, Workload};
use crate::text::Clean;

/// What is known now. What is not fresh is not known.
pub fn facts(state: &State) -> Facts<'_> {
    Facts {
        newest: change::newest(state),
        catalog: &state.setting.catalog,
        rows: fresh(&state.migrations, "the migration table"),
        live: fresh(&state.schema, "what the database holds").and_then(|live| match live.unreadable {
            0 => Ok(&live.objects),
            hidden => Err(say!("{} objects of the database have names that cannot be shown", hidden)),
        }),
        newer: state.newer.last().map(Vec::as_slice).unwrap_or_default(),
    }
}

fn fresh<'a, T>(live: &'a Live<T>, what: &'static str) -> Result<&'a T, Clean> {
    match live {
        Live::Seen { value, .. } => Ok(value),
        Live::Waiting => Err(say!("{} is not known yet", what)),
        Live::Lost { why, .. } | Live::Absent(why) => Err(say!("{} is not known: {}", what, why.what)),
    }
}

/// What pods of a template would do.
pub fn of(state: &State, template: &Template) -> Forecast {
    forecast(template, &facts(state))
}

/// What a migration Job beside a workload would do, each with its name.
pub fn of_jobs(state: &State, workload: &Workload) -> Vec<(Clean, Forecast)> {
    let facts = facts(state);
    let jobs = workload.jobs.iter().flatten();
    jobs.filter_map(|job| Some((say!("{}", job.name), forecast_job(job.image.as_ref()?, &facts)))).collect()
}

/// A forecast of a plan, for programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Foreseen {
    /// Whose pods.
    pub workload: WorkloadRef,
    /// What they do when they start as the target's template has it.
    #[serde(flatten)]
    pub forecast: Forecast,
}
