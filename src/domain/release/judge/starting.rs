//! What starts at a rollback beside Helm itself, and what it does to the schema: the target's pods,
//! the Jobs of its manifest, its hooks, and a Job that runs already.

use super::upgrade::{pods_way, upgrade_or_wait};
use super::{Concern, Facts, refuses, warns};
use crate::domain::change::unreadable_remedy;
use crate::domain::encrypted::{self, Newer, Reads};
use crate::domain::forecast::{self, DISABLE_SCHEMA_UPDATE, Forecast, forecast, forecast_job};
use crate::domain::image::Image;
use crate::domain::release::{Hook, ManifestObject};
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

/// The pods that may drop columns when they start.
fn pods(facts: &Facts<'_>) -> Option<Concern> {
    let forecast = forecast(&facts.pods()?, facts.forecast);
    let way = forecast.stopped()?;
    Some(refuses(
        "schema",
        say!("the pods of revision {}: {}", facts.target.revision, forecast.sentence()),
        Clean::ours("Helm copies the old manifest as it is: nothing can be added to it"),
        pods_way(facts, way),
    ))
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

/// Stored values that the target's image cannot read.
fn unreadable(facts: &Facts<'_>) -> Option<Concern> {
    let image = facts.target.image(&facts.workload.reference)?;
    let live = facts.workload.template.main().map(|container| &container.image);
    if live == Some(image) || encrypted::reads(image) == Reads::Yes {
        return None;
    }
    let places = facts.forecast.newer.iter().map(Newer::words).reduce(|all, each| say!("{}, {}", all, each))?;
    Some(refuses(
        "unreadable",
        say!("values are encrypted as {} ({})", Clean::ours(encrypted::MARK), places),
        say!("{} cannot read them, or nobody knows whether it can", image),
        unreadable_remedy(),
    ))
}

/// What the guard stops, in one sentence.
fn stopped(forecast: &Forecast) -> Option<Clean> {
    forecast.stopped().map(|_| forecast.sentence())
}

/// What a Job with this template may do: nothing in its environment counts. A Job without the
/// gateway's image does nothing to its schema.
fn job_stopped(template: &Template, facts: &Facts<'_>) -> Option<Clean> {
    stopped(&forecast_job(gateway_image(template)?, facts.forecast))
}

fn gateway_image(template: &Template) -> Option<&Image> {
    forecast::gateway_containers(template).next().map(|container| &container.image)
}

/// A Job that is no hook, as the migration Job of LiteLLM's chart is by default: it collides with
/// the one that is there (`field is immutable`, BerriAI/litellm#8593), or runs again with the old
/// image. It sets `DISABLE_SCHEMA_UPDATE=false` for itself.
fn of_job(facts: &Facts<'_>, job: &ManifestObject) -> Option<Concern> {
    let template = job.template.as_ref()?;
    let revision = facts.target.revision;
    let jobs = facts.workload.jobs.as_ref();
    let there = jobs.map(|jobs| jobs.iter().any(|live| live.name.as_str() == job.key.name.as_str()));
    let before = facts.current.jobs().find(|other| other.key == job.key);
    let same = before.is_some_and(|other| other.template == job.template);
    match (there, job_stopped(template, facts)) {
        (Some(true), _) if same => None,
        (Some(true), _) => Some(refuses(
            "migration-job",
            say!("{} of revision {} differs from the Job that is there", job.key, revision),
            Clean::ours("Kubernetes answers `field is immutable`, and the rollback fails half way"),
            upgrade_or_wait(facts),
        )),
        (_, Some(why)) => Some(refuses(
            "migration-job",
            say!("Helm creates {} of revision {} again: {}", job.key, revision, why),
            say!("a Job of the chart forces {}=false", DISABLE_SCHEMA_UPDATE),
            upgrade_or_wait(facts),
        )),
        (_, None) => Some(warns(
            "migration-job",
            say!("Helm creates {} of revision {} again, with its image", job.key, revision),
            Clean::ours("it migrates the database beside the pods"),
            Clean::ours("watch its log"),
        )),
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
        Some(why) => refuses("hooks", what, why, upgrade_or_wait(facts)),
        None => warns(
            "hooks",
            what,
            Clean::ours("when it fails, Helm stops and the release stays pending-rollback"),
            Clean::ours("read what it does before you send the rollback"),
        ),
    }
}
