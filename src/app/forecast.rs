//! The facts of a forecast, as the console knows them now, and what is forecast for each workload.

use serde::Serialize;

use crate::app::state::State;
use crate::app::{change, releases};
use crate::domain::cluster::WorkloadRef;
use crate::domain::coupled;
use crate::domain::forecast::{Facts, Forecast, Way, forecast, forecast_job};
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::release::pods_way;
use crate::domain::settings::SchemaSwitch;
use crate::domain::workload::{Revision, Template, Workload};
use crate::text::{Clean, Many};

/// What is known now, for whatever judges a change: everything is worked out anew. What is not fresh
/// is not known.
pub fn facts(state: &State) -> Facts<'_> {
    Facts {
        newest: change::newest(state),
        catalog: &state.setting.catalog,
        rows: fresh(&state.migrations, "the migration table"),
        live: fresh(&state.schema, "what the database holds").and_then(|live| match live.unreadable {
            0 => Ok(&live.objects),
            hidden => Err(say!("the database has {} with a name that cannot be shown", Many(hidden, "object"))),
        }),
        newer: state.newer.last().map(Vec::as_slice).unwrap_or_default(),
        memo: None,
    }
}

/// The same for what is only shown: the screen asks for the same answers many times a second, and
/// takes those that were worked out before.
pub fn shown(state: &State) -> Facts<'_> {
    Facts { memo: Some(&state.forecasts), ..facts(state) }
}

fn fresh<'a, T>(live: &'a Live<T>, what: &'static str) -> Result<&'a T, Clean> {
    match live {
        Live::Seen { value, .. } => Ok(value),
        Live::Waiting => Err(say!("{} is not known yet", what)),
        Live::Lost { why, .. } | Live::Absent(why) => Err(say!("{} is not known: {}", what, why.what)),
    }
}

/// What of the database a forecast still waits for. Nothing is waited for where there is no
/// database, or where it said no.
pub fn waits(state: &State) -> Option<Clean> {
    if state.setting.missing.database.is_some() {
        return None;
    }
    if matches!(state.migrations, Live::Waiting) {
        return Some(Clean::ours("the migration table to be read"));
    }
    matches!(state.schema, Live::Waiting).then(|| Clean::ours("what the database holds to be read"))
}

/// What pods of the live template would do.
pub fn of(state: &State, template: &Template) -> Forecast {
    forecast(template, &shown(state))
}

/// What pods of a revision would do, with the configuration file that they would find now.
pub fn of_revision(state: &State, workload: &WorkloadRef, revision: &Revision) -> Forecast {
    of_goal(state, workload, &Goal::Template(revision.uid.clone()), &revision.template)
}

/// What pods of a target's template would do, with the configuration file that they would find.
pub fn of_goal(state: &State, workload: &WorkloadRef, goal: &Goal, template: &Template) -> Forecast {
    of(state, &template.clone().with_switch(switch(state, workload, goal)))
}

/// What the configuration file that the pods of a target find says about the schema.
pub fn switch(state: &State, workload: &WorkloadRef, goal: &Goal) -> SchemaSwitch {
    match state.coupling.about(workload, goal).map(|about| &about.coupled) {
        Some(Live::Seen { value, .. }) => coupled::switch(&value.settings),
        Some(Live::Lost { why, .. } | Live::Absent(why)) => SchemaSwitch::Unknown(why.what.clone()),
        // The guard reads it before anything is changed.
        Some(Live::Waiting) | None => SchemaSwitch::Unset,
    }
}

/// What a migration Job beside a workload would do, each with its name.
pub fn of_jobs(state: &State, workload: &Workload) -> Vec<(Clean, Forecast)> {
    let facts = shown(state);
    let jobs = workload.jobs.iter().flatten();
    jobs.filter_map(|job| Some((say!("{}", job.name), forecast_job(job.image.as_ref()?, &facts)))).collect()
}

/// What to do about a forecast that stops a workload's change. A Helm release is not patched, and
/// a rollback of it cannot set a variable, so there it is an upgrade.
pub fn remedy(state: &State, workload: &Workload, goal: &Goal, way: &Way) -> Clean {
    let facts = shown(state);
    match goal {
        Goal::Release(_, to) => match releases::facts(state, workload, *to, &facts) {
            Ok(facts) => pods_way(&facts, way),
            Err(why) => why,
        },
        Goal::Template(_) => way.remedy.clone(),
    }
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
