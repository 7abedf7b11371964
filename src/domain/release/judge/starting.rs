//! What starts at a rollback beside Helm itself, and what it does to the schema: the target's pods,
//! the Jobs of its manifest, its hooks, and a Job that runs already.

use super::upgrade::{pods_way, upgrade_or_wait};
use super::{Concern, Facts, Gravity, refuses, warns};
use crate::domain::acceptance::{Acceptance, Undertaking};
use crate::domain::change::unreadable_remedy;
use crate::domain::encrypted::{self, Newer, Reads};
use crate::domain::forecast::{self, DISABLE_SCHEMA_UPDATE, Forecast, Stake, forecast, forecast_job};
use crate::domain::image::Image;
use crate::domain::release::{Hook, ManifestObject};
use crate::domain::rollback::plan;
use crate::domain::workload::Template;
use crate::text::Clean;

pub(super) fn concerns(facts: &Facts<'_>) -> Vec<Concern> {
    let hooks = facts.target.hooks.iter().filter(|hook| hook.at_rollback());
    running_job(facts)
        .into_iter()
        .chain(pods(facts))
        .chain(unreadable(facts))
        .chain(facts.target.jobs().filter_map(|job| of_job(facts, job)))
        .chain(hooks.map(|hook| of_hook(facts, hook)))
        .collect()
}

/// What is lost when the target starts as it is: by its pods, by the Jobs that run, by its hooks.
pub fn lost(facts: &Facts<'_>) -> Acceptance {
    let jobs = facts.target.jobs().filter(|job| !matches!(stands(facts, job), Stands::Same));
    let hooks = facts.target.hooks.iter().filter(|hook| hook.at_rollback());
    let jobs = jobs.filter_map(|job| job.template.as_ref()).chain(hooks.filter_map(|hook| hook.template.as_ref()));
    let jobs = jobs.filter_map(|template| job_stopped(template, facts));
    let pods = facts.pods().map(|template| forecast(&template, facts.forecast));
    let mut stake = Stake::default();
    for forecast in pods.into_iter().chain(jobs) {
        if let Forecast::MayDrop { stake: more, .. } = forecast {
            stake.extend(more);
        }
    }
    let unreadable = if reads_what_is_stored(facts) { Vec::new() } else { facts.forecast.newer.to_vec() };
    Acceptance { of: Undertaking::Rollback(plan(facts)), stake, unreadable }
}

/// How much a forecast that the guard stops weighs: what can be named can be accepted by its name.
fn weigh(forecast: &Forecast) -> Gravity {
    if matches!(forecast, Forecast::MayDrop { .. }) { Gravity::Typed } else { Gravity::Refuses }
}

/// The pods that may drop columns when they start.
fn pods(facts: &Facts<'_>) -> Option<Concern> {
    let forecast = forecast(&facts.pods()?, facts.forecast);
    let way = forecast.stopped()?;
    let concern = refuses(
        "schema",
        say!("the pods of revision {}: {}", facts.target.revision, forecast.sentence()),
        Clean::ours("Helm copies the old manifest as it is: nothing can be added to it"),
        pods_way(facts, way),
    );
    Some(Concern { gravity: weigh(&forecast), ..concern })
}

/// A migration Job that runs beside the rollback, or may.
fn running_job(facts: &Facts<'_>) -> Option<Concern> {
    let ignores = || say!("a Job ignores {}", DISABLE_SCHEMA_UPDATE);
    let Some(jobs) = &facts.workload.jobs else {
        return Some(refuses(
            "jobs",
            Clean::ours("migration Jobs could not be listed"),
            ignores(),
            Clean::ours("ask for the permission `list jobs.batch` in this namespace"),
        ));
    };
    let job = jobs.iter().find(|job| job.active)?;
    Some(refuses(
        "jobs",
        say!("the migration Job {} is running", job.name),
        ignores(),
        Clean::ours("wait for it, or suspend it"),
    ))
}

/// The image that runs already reads what is stored as well as it will.
fn reads_what_is_stored(facts: &Facts<'_>) -> bool {
    let Some(image) = facts.target.image(&facts.workload.reference) else { return true };
    let live = facts.workload.template.main().map(|container| &container.image);
    live == Some(image) || encrypted::reads(image) == Reads::Yes
}

/// Stored values that the target's image cannot read.
fn unreadable(facts: &Facts<'_>) -> Option<Concern> {
    let image = facts.target.image(&facts.workload.reference).filter(|_| !reads_what_is_stored(facts))?;
    let places = facts.forecast.newer.iter().map(Newer::words).reduce(|all, each| say!("{}, {}", all, each))?;
    let concern = refuses(
        "unreadable",
        say!("values are encrypted as {} ({})", Clean::ours(encrypted::MARK), places),
        say!("{} cannot read them, or nobody knows whether it can", image),
        unreadable_remedy(),
    );
    Some(Concern { gravity: Gravity::Typed, ..concern })
}

/// What a Job with this template may do, when the guard stops that: nothing in its environment
/// counts. A Job without the gateway's image does nothing to its schema.
fn job_stopped(template: &Template, facts: &Facts<'_>) -> Option<Forecast> {
    Some(forecast_job(gateway_image(template)?, facts.forecast)).filter(|forecast| forecast.stopped().is_some())
}

fn gateway_image(template: &Template) -> Option<&Image> {
    forecast::gateway_containers(template).next().map(|container| &container.image)
}

/// A Job that is no hook, as the migration Job of LiteLLM's chart is by default: it collides with
/// the one that is there (`field is immutable`, BerriAI/litellm#8593), or runs again with the old
/// image. It sets `DISABLE_SCHEMA_UPDATE=false` for itself.
fn of_job(facts: &Facts<'_>, job: &ManifestObject) -> Option<Concern> {
    let revision = facts.target.revision;
    match (stands(facts, job), job_stopped(job.template.as_ref()?, facts)) {
        (Stands::Same, _) => None,
        (Stands::Differs, _) => Some(refuses(
            "migration-job",
            say!("{} of revision {} differs from the Job that is there", job.key, revision),
            Clean::ours("Kubernetes answers `field is immutable`, and the rollback fails half way"),
            upgrade_or_wait(facts),
        )),
        (Stands::Gone, Some(forecast)) => {
            let concern = refuses(
                "migration-job",
                say!("Helm creates {} of revision {} again: {}", job.key, revision, forecast.sentence()),
                say!("a Job of the chart forces {}=false", DISABLE_SCHEMA_UPDATE),
                upgrade_or_wait(facts),
            );
            Some(Concern { gravity: weigh(&forecast), ..concern })
        }
        (Stands::Gone, None) => Some(warns(
            "migration-job",
            say!("Helm creates {} of revision {} again, with its image", job.key, revision),
            Clean::ours("it migrates the database beside the pods"),
            Clean::ours("watch its log"),
        )),
    }
}

/// How a Job of the target's manifest stands to what is there.
enum Stands {
    /// The very same is there: nothing runs.
    Same,
    /// Another one of its name is there.
    Differs,
    /// None is there, or nobody knows.
    Gone,
}

fn stands(facts: &Facts<'_>, job: &ManifestObject) -> Stands {
    let there = facts.workload.jobs.iter().flatten().any(|live| live.name.as_str() == job.key.name.as_str());
    let before = facts.current.jobs().find(|other| other.key == job.key);
    match before.is_some_and(|other| other.template == job.template) {
        _ if !there => Stands::Gone,
        true => Stands::Same,
        false => Stands::Differs,
    }
}

/// A hook of the target: it runs with the old image and knows nothing of newer migrations.
fn of_hook(facts: &Facts<'_>, hook: &Hook) -> Concern {
    let events = hook.events.iter().cloned().reduce(|all, event| say!("{}, {}", all, event)).unwrap_or_default();
    let image = hook.template.as_ref().and_then(Template::main).map(|container| &container.image);
    let with = image.map_or(Clean::default(), |image| say!(" with {}", image));
    let what = say!(
        "{}/{} of revision {} runs at the rollback{} ({})",
        hook.kind,
        hook.name,
        facts.target.revision,
        with,
        events
    );
    match hook.template.as_ref().and_then(|template| job_stopped(template, facts)) {
        Some(forecast) => {
            let concern = refuses("hooks", what, forecast.sentence(), upgrade_or_wait(facts));
            Concern { gravity: weigh(&forecast), ..concern }
        }
        None => warns(
            "hooks",
            what,
            Clean::ours("when it fails, Helm stops and the release stays pending-rollback"),
            Clean::ours("read what it does before you send the rollback"),
        ),
    }
}
