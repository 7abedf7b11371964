//! The schema guard: which changes may be sent, and what must be typed before one that may lose data.

use serde::Serialize;

use super::{Change, Preview};
use crate::domain::acceptance::{Acceptance, Undertaking};
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::Confirmed;
use crate::domain::encrypted::{self, Newer, Reads};
use crate::domain::forecast::{DISABLE_SCHEMA_UPDATE, Facts, Forecast, Stake, forecast};
use crate::domain::workload::{MigrationJob, Template};
use crate::text::Clean;

/// Why a gate refused, and the steps that would make it pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    /// What was refused and why.
    pub what: Clean,
    /// What to do now.
    pub remedy: Clean,
    /// True when the same change with [`Change::protect`] would pass.
    pub protect_helps: bool,
    /// What must be typed to go on all the same; `None` where nothing that could be typed would do.
    #[serde(skip)]
    pub acceptance: Option<Box<Acceptance>>,
}

/// A change that the guard let through, with the template that it was judged on. The only key
/// to [`crate::world::Workloads::apply`], which sends no other template than this one. Only
/// [`clear`] makes one.
///
/// ```
/// # use lastgood::domain::change::{Change, Cleared};
/// fn planned(cleared: &Cleared) -> &Change { cleared.change() }
/// ```
/// ```compile_fail,E0451
/// # use lastgood::domain::change::{Change, Cleared};
/// # use lastgood::domain::workload::Template;
/// # use lastgood::text::Clean;
/// fn forged(change: Change, template: Template, why: Clean) -> Cleared { Cleared { change, template, why, accepted: None } }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Cleared {
    change: Change,
    template: Template,
    why: Clean,
    accepted: Option<Acceptance>,
}

impl Cleared {
    /// The change.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// The template that was judged.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Why it was let through: goes into the journal.
    pub fn why(&self) -> &Clean {
        &self.why
    }

    /// What may be lost by it, as of now, every object accepted by typing: goes into the journal.
    pub fn accepted(&self) -> Option<&Acceptance> {
        self.accepted.as_ref()
    }
}

/// Lets a change through when no migration Job runs beside it, when the pods of the template that
/// results lose no table and no column, and when they can read what is stored; or when the loss of
/// each object was accepted by typing, for exactly this change. An acceptance covers what was
/// shown: one object more, and it is refused.
pub fn clear(
    preview: &Preview,
    facts: &Facts<'_>,
    accepted: Option<&Confirmed<Acceptance>>,
) -> Result<Cleared, Refusal> {
    let (change, workload) = (&preview.change, &preview.change.workload);
    migration_job_refusal(workload, preview.jobs.as_deref())?;
    let forecast = forecast(&preview.template, facts);
    if let Forecast::Unknown { why, way } = &forecast {
        return Err(Refusal {
            what: say!("{} was not changed: {}; when it starts it may drop newer columns and tables", workload, why),
            remedy: offered(&way.remedy, way.protect_helps),
            protect_helps: way.protect_helps && !change.protect,
            acceptance: None,
        });
    }
    let (stake, way) = match &forecast {
        Forecast::MayDrop { stake, way, .. } => (stake.clone(), Some(way)),
        _ => (Stake::default(), None),
    };
    let lost = Acceptance { of: Undertaking::Change(change.clone()), stake, unreadable: unreadable(preview, facts) };
    let cleared = |accepted| Cleared {
        change: change.clone(),
        template: preview.template.clone(),
        why: forecast.sentence(),
        accepted,
    };
    if lost.is_empty() {
        return Ok(cleared(None));
    }
    let fresh = match accepted.map(|proof| proof.subject().covers(&lost)) {
        Some(Ok(())) => return Ok(cleared(Some(lost))),
        Some(Err(object)) => say!("; {} was not shown when the loss was accepted", object),
        None => Clean::default(),
    };
    let protect_helps = way.is_some_and(|way| way.protect_helps) && !change.protect;
    let remedy = match way {
        Some(way) => offered(&way.remedy, way.protect_helps),
        None => unreadable_remedy(),
    };
    let what = match way {
        Some(_) => say!("{} was not changed: {}{}", workload, forecast.sentence(), fresh),
        None => say!("{} was not changed: {}{}", workload, unreadable_words(preview, &lost.unreadable), fresh),
    };
    Err(Refusal { what, remedy, protect_helps, acceptance: Some(Box::new(lost)) })
}

fn offered(remedy: &Clean, protect_helps: bool) -> Clean {
    if protect_helps { say!("let this change {}", remedy) } else { remedy.clone() }
}

/// Stored values that the target cannot read, or nobody knows whether it can. The image that runs
/// already reads them as well as it will.
fn unreadable(preview: &Preview, facts: &Facts<'_>) -> Vec<Newer> {
    let image = preview.template.main().map(|container| &container.image);
    match image {
        Some(image) if Some(image) != preview.change.from_image.as_ref() && encrypted::reads(image) != Reads::Yes => {
            facts.newer.to_vec()
        }
        _ => Vec::new(),
    }
}

fn unreadable_words(preview: &Preview, unreadable: &[Newer]) -> Clean {
    let places = unreadable.iter().map(Newer::words).reduce(|all, each| say!("{}, {}", all, each)).unwrap_or_default();
    let image = preview.template.main().map(|container| &container.image);
    match image.map(encrypted::reads) {
        Some(Reads::Unknown(why)) => say!(
            "values are encrypted as {} ({}), and whether the target reads that is not known: {}",
            Clean::ours(encrypted::MARK),
            places,
            why
        ),
        _ => {
            say!("values are encrypted as {} ({}), which the target cannot read", Clean::ours(encrypted::MARK), places)
        }
    }
}

/// What to do about values that the target cannot read.
pub fn unreadable_remedy() -> Clean {
    Clean::ours(
        "choose a target from 1.92.0 on, or take encryption_algorithm out of config.yaml and save these values again before going back",
    )
}

fn migration_job_refusal(workload: &WorkloadRef, jobs: Option<&[MigrationJob]>) -> Result<(), Refusal> {
    let refusal = |what, remedy| Err(Refusal { what, remedy, protect_helps: false, acceptance: None });
    let Some(jobs) = jobs else {
        return refusal(
            say!(
                "{} was not changed: migration Jobs could not be listed, so nobody knows whether one would run",
                workload
            ),
            Clean::ours("ask for the permission `list jobs.batch` in this namespace"),
        );
    };
    match jobs.iter().find(|job| job.active) {
        None => Ok(()),
        Some(job) => refusal(
            say!(
                "{} was not changed: the migration Job {} is running, and a Job ignores {}",
                workload,
                job.name,
                DISABLE_SCHEMA_UPDATE
            ),
            say!(
                "wait for it, or suspend it: kubectl -n {} patch job/{} -p '{{\"spec\":{{\"suspend\":true}}}}'",
                workload.namespace,
                job.name
            ),
        ),
    }
}

#[cfg(test)]
mod tests;
