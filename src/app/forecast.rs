//! The facts of a forecast, as the console knows them now, and what is forecast for each workload.

use serde::Serialize;

use crate::app::change;
use crate::app::state::State;
use crate::domain::cluster::WorkloadRef;
use crate::domain::coupled;
use crate::domain::forecast::{DISABLE_SCHEMA_UPDATE, Facts, Forecast, Way, forecast, forecast_job};
use crate::domain::image::Image;
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::settings::SchemaSwitch;
use crate::domain::workload::{Owner, Revision, Template, Workload};
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
    forecast(template, &facts(state))
}

/// What pods of a revision would do, with the configuration file that they would find now.
pub fn of_revision(state: &State, workload: &WorkloadRef, revision: &Revision) -> Forecast {
    of_goal(state, workload, &Goal::Template(revision.uid.clone()), &revision.template)
}

/// What pods of a target's template would do, with the configuration file that they would find.
pub fn of_goal(state: &State, workload: &WorkloadRef, goal: &Goal, template: &Template) -> Forecast {
    let switch = match state.coupling.about(workload, goal).map(|about| &about.coupled) {
        Some(Live::Seen { value, .. }) => coupled::switch(&value.settings),
        Some(Live::Lost { why, .. } | Live::Absent(why)) => SchemaSwitch::Unknown(why.what.clone()),
        // The guard reads it before anything is changed.
        Some(Live::Waiting) | None => SchemaSwitch::Unset,
    };
    of(state, &template.clone().with_switch(switch))
}

/// What a migration Job beside a workload would do, each with its name.
pub fn of_jobs(state: &State, workload: &Workload) -> Vec<(Clean, Forecast)> {
    let facts = facts(state);
    let jobs = workload.jobs.iter().flatten();
    jobs.filter_map(|job| Some((say!("{}", job.name), forecast_job(job.image.as_ref()?, &facts)))).collect()
}

/// What to do about a forecast that stops a workload's change. A Helm release is not patched, and
/// a rollback of it cannot set a variable, so there it is an upgrade to the old image with the
/// value; the names of the values are those of LiteLLM's own chart (`helm/litellm-helm`,
/// `values.yaml`). Its migration Job ignores the variable and must not run.
pub fn remedy(workload: &Workload, template: &Template, way: &Way) -> Clean {
    let tag = template.main().and_then(|container| tag(&container.image));
    match (&workload.owner, tag) {
        (Owner::Helm { release }, Some(tag)) if way.protect_helps => {
            say!(
                "not `helm rollback`, but the old image with the variable: helm -n {} upgrade {} CHART --version VERSION --reuse-values --set image.tag={} --set-string envVars.{}=true --set migrationJob.enabled=false (CHART and VERSION as the release has them)",
                workload.reference.namespace,
                release,
                tag,
                DISABLE_SCHEMA_UPDATE
            )
        }
        _ => way.remedy.clone(),
    }
}

fn tag(image: &Image) -> Option<Clean> {
    let start = image.repository().len() + 1;
    say!("{}", image).slice(start..start + image.tag()?.len())
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
