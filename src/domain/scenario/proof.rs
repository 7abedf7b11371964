//! What must hold between the parts of a scenario: it refers to nothing unknown.

use std::collections::BTreeSet;

use crate::domain::catalog::Catalog;
use crate::domain::document::Fields;
use crate::domain::name::MigrationName;
use crate::domain::release::ReleaseStatus;
use crate::domain::scenario::{Condition, Scenario};
use crate::text::Clean;

/// What must hold between the parts of a scenario.
pub(super) fn prove(top: &Fields<'_, '_>, scenario: &Scenario) {
    let fault = |what: Clean, remedy: &'static str| top.fault(None, what, Clean::ours(remedy));
    if scenario.revisions.len() < 2 {
        fault(Clean::ours("there is nothing to go back to"), "write at least two `[[revision]]`, oldest first");
    }
    if !scenario.revisions.is_sorted_by(|a, b| a.number < b.number && a.age > b.age) {
        fault(Clean::ours("revisions are out of order"), "write the oldest first, each with a higher number");
    }
    for revision in &scenario.revisions {
        if scenario.image(&revision.image).is_none() {
            fault(
                say!("revision {} runs {}, which no image describes", revision.number, revision.image),
                "add an `[[image]]` of that name",
            );
        }
    }
    if scenario.place.replicas == 0 || scenario.place.replicas > 50 {
        fault(Clean::ours("`replicas` is out of range"), "write 1 to 50");
    }
    if scenario.place.workload.as_str().len() > 63 {
        fault(Clean::ours("`workload` is too long"), "write at most 63 characters, so that pods can be named after it");
    }
    if scenario.gateway.models.is_empty() {
        fault(Clean::ours("the gateway has no model"), "name at least one in `models`");
    }
    let mut ids = BTreeSet::new();
    for row in &scenario.rows {
        if !ids.insert(&row.id) {
            fault(say!("two rows have the id {}", row.id), "give each row an id of its own");
        }
    }
    let brought: BTreeSet<_> = scenario
        .images
        .iter()
        .flat_map(|image| &image.brings)
        .chain(scenario.rows.iter().map(|row| &row.name))
        .collect();
    for clash in scenario.images.iter().filter_map(|image| image.clash.as_ref()) {
        if !brought.contains(&clash.with) {
            fault(
                say!("an image clashes with {}, which nobody applies", clash.with),
                "name a migration of a row or of an image's `brings`",
            );
        }
    }
    database(top, scenario);
    sources(top, scenario);
    helm(top, scenario);
    well(top, scenario);
}

fn database(top: &Fields<'_, '_>, scenario: &Scenario) {
    let fault = |what: Clean, remedy: &'static str| top.fault(None, what, Clean::ours(remedy));
    let catalog = Catalog::embedded();
    let database = &scenario.database;
    let package = database.built_by.and_then(|version| catalog.package(version));
    let built = package.map(|package| catalog.built(package)).unwrap_or_default();
    for object in database.gone.iter().filter(|object| !built.has(object)) {
        fault(say!("{} is gone and never was there", object), "name a table or a column of the package in `built_by`");
    }
    let known = |name: &MigrationName| package.is_some_and(|package| package.migrations.contains_key(name));
    for name in database.unrecorded.iter().filter(|name| !known(name)) {
        fault(say!("{} is unrecorded and never ran", name), "name a migration of the package in `built_by`");
    }
}

fn sources(top: &Fields<'_, '_>, scenario: &Scenario) {
    let fault = |what: Clean, remedy: &'static str| top.fault(None, what, Clean::ours(remedy));
    for plan in scenario.sources.iter().filter_map(|plan| plan.breaks.as_ref().map(|(image, _)| (plan, image))) {
        if scenario.image(plan.1).is_none() {
            fault(say!("{} breaks an image that is not there", plan.0.source), "name the image of an `[[image]]`");
        }
    }
    for (revision, name) in scenario.revisions.iter().flat_map(|r| r.leans.iter().map(move |name| (r, name))) {
        if scenario.sources.iter().all(|plan| plan.source.name != *name) {
            fault(
                say!("revision {} leans on {}, which is not there", revision.number, name),
                "name a `[[source]]` in `leans`",
            );
        }
    }
}

fn helm(top: &Fields<'_, '_>, scenario: &Scenario) {
    let fault = |what: Clean, remedy: &'static str| top.fault(None, what, Clean::ours(remedy));
    let Some(helm) = &scenario.helm else { return };
    if helm.revisions.is_empty() {
        fault(Clean::ours("the Helm release has no revision"), "write at least one `[[helm.revision]]`, oldest first");
    }
    if !helm.revisions.is_sorted_by(|a, b| a.number < b.number && a.age > b.age) {
        fault(
            Clean::ours("revisions of the Helm release are out of order"),
            "write the oldest first, each with a higher number",
        );
    }
    for record in &helm.revisions {
        if scenario.revisions.iter().all(|revision| revision.number != record.template) {
            fault(
                say!(
                    "revision {} of the Helm release holds template {}, which is not there",
                    record.number,
                    record.template
                ),
                "name the number of a `[[revision]]`",
            );
        }
        if matches!(record.status, ReleaseStatus::Unknown(_)) {
            fault(
                say!("`{}` is no status of Helm", record.status.word()),
                "write deployed, superseded, failed or pending-upgrade, say",
            );
        }
    }
}

/// Whether a row of this migration is there when the drill begins.
fn has_row(scenario: &Scenario, name: &MigrationName) -> bool {
    let built_by = scenario.database.built_by.and_then(|version| Catalog::embedded().package(version));
    let built = built_by.is_some_and(|package| package.migrations.contains_key(name));
    scenario.rows.iter().any(|row| row.name == *name) || built && !scenario.database.unrecorded.contains(name)
}

fn well(top: &Fields<'_, '_>, scenario: &Scenario) {
    let fault = |what: Clean, remedy: &'static str| top.fault(None, what, Clean::ours(remedy));
    if scenario.well.is_empty() {
        fault(Clean::ours("nothing makes it well"), "write what does in `[[well]]`, in order");
    }
    for condition in &scenario.well {
        match condition {
            Condition::RevertedTo(number) if scenario.revisions.iter().all(|r| r.number != *number) => fault(
                say!("revision {} makes it well, and there is no such revision", number),
                "name the number of a `[[revision]]`",
            ),
            Condition::RolledBackTo(number)
                if scenario.helm.iter().flat_map(|helm| &helm.revisions).all(|record| record.number != *number) =>
            {
                fault(
                    say!("revision {} of the Helm release makes it well, and there is no such revision", number),
                    "name the number of a `[[helm.revision]]`",
                );
            }
            Condition::PutBack(name)
                if !scenario.sources.iter().any(|plan| plan.source.name == *name && plan.before.is_some()) =>
            {
                fault(
                    say!("putting {} back makes it well, and nobody knows what it held", name),
                    "name a `[[source]]` with a `[source.before]`",
                );
            }
            Condition::Deleted(name) if !has_row(scenario, name) => fault(
                say!("deleting {} makes it well, and there is no such row", name),
                "name the migration of a `[[row]]`, or of the package in `built_by`",
            ),
            _ => {}
        }
    }
}
