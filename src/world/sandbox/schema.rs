//! What a sandbox's database holds, and what a start of LiteLLM makes of it: what is pending is
//! run, statement by statement as far as names tell, and some versions then make the database
//! equal to what they know themselves.

use super::model::Model;
use super::parts::{Millis, Plan, StoredRow, hash, uid};
use crate::domain::catalog::{Catalog, Known, Package, Startup};
use crate::domain::effects::Effect;
use crate::domain::ledger::{Course, Stop, Trial};
use crate::domain::name::MigrationName;
use crate::domain::scenario::{ImagePlan, Scenario};
use crate::domain::schema::{Object, Schema};

/// What the database holds once its package built it; `None` where the scenario does not say it.
pub(super) fn held(scenario: &Scenario) -> Option<Schema> {
    let package = Catalog::embedded().package(scenario.database.built_by?)?;
    Some(Catalog::embedded().built(package))
}

/// What somebody did to the database behind everybody's back, before the drill begins.
pub(super) fn tamper(model: &mut Model) {
    let database = &model.scenario.database;
    for object in &database.gone {
        model.held.iter_mut().for_each(|held| held.apply(&Effect::Drop { object: object.clone(), guarded: true }));
    }
    model.rows.retain(|row| !database.unrecorded.contains(&row.migration_name));
}

/// What a template's version brings, and what its code does when it starts.
fn own(plan: &Plan) -> Option<(&'static Package, Startup)> {
    let catalog = Catalog::embedded();
    let Known::Exactly(release) = catalog.release(&plan.image.version()?) else { return None };
    Some((catalog.packages_of(release.pin).next()?, release.pods))
}

impl Model {
    /// The start of a pod that may change the schema.
    pub(super) fn migrate(&mut self, plan: &Plan, image: &ImagePlan, at: Millis) {
        let Some((package, startup)) = own(plan).filter(|_| self.held.is_some()) else {
            for name in &image.brings {
                self.run(name, &[], at);
            }
            return;
        };
        let mut ran = 0;
        if startup != Startup::Pushes {
            for name in package.migrations.keys() {
                let edition = Catalog::embedded().edition_of(package, name);
                ran += usize::from(self.run(name, edition.map_or(&[], |edition| &edition.effects), at));
                if self.failed_row().is_some() {
                    return;
                }
            }
        }
        let synchronises = match startup {
            Startup::Pushes | Startup::DeploysThenSyncs => true,
            Startup::DeploysThenSyncsIfPending => ran > 0,
            Startup::Deploys => false,
        };
        if synchronises {
            self.synchronise(package);
        }
    }

    /// `prisma migrate deploy` for one migration: runs it when it has no row, or only rows that were
    /// rolled back. Whether it ran to its end.
    fn run(&mut self, name: &MigrationName, effects: &[Effect], at: Millis) -> bool {
        if self.rows.iter().any(|row| row.migration_name == *name && row.rolled_back_at.is_none()) {
            return false;
        }
        let course = self.held.as_ref().map(|held| Trial::on(held).run(effects));
        let stop = match course {
            Some(Course::Stops(stop)) => Some(stop),
            Some(Course::Runs { lacks, .. }) => {
                self.change(effects, &lacks, at);
                None
            }
            Some(Course::Untold) => {
                self.change(effects, &[], at);
                None
            }
            None => None,
        };
        let Ok(id) = uid(hash(&format!("{name} {at}"))).as_str().parse() else { return false };
        let time = self.time(at);
        self.rows.push(StoredRow {
            id,
            migration_name: name.clone(),
            checksum: self.checksum(name),
            started_at: time,
            finished_at: stop.is_none().then_some(time),
            rolled_back_at: None,
            applied_steps_count: i32::from(stop.is_none()),
            logs: stop.as_ref().map(|stop| failure(name, stop)),
        });
        if stop.is_none() {
            self.schema.entry(name.clone()).or_insert(at);
        }
        stop.is_none()
    }

    /// Statements that ran to their end; `lacks`: columns that they skipped with their table.
    fn change(&mut self, effects: &[Effect], lacks: &[Object], at: Millis) {
        let Some(held) = &mut self.held else { return };
        let before = held.clone();
        effects.iter().for_each(|effect| held.apply(effect));
        let made = held.objects().filter(|object| !before.has(object) && !lacks.contains(object)).cloned();
        let made: Vec<_> = made.collect();
        *held = held.objects().filter(|object| !lacks.contains(object)).cloned().collect();
        self.came.extend(made.into_iter().map(|object| (object, at)));
    }

    /// Makes the database equal to what a package's `schema.prisma` says. What its migrations make
    /// beside that (indexes on expressions, functions, triggers) Prisma does not see.
    fn synchronise(&mut self, package: &Package) {
        let Some(held) = &mut self.held else { return };
        let own = Catalog::embedded().built(package);
        let unseen = held.objects().filter(|object| own.has(object));
        *held = package.schema.objects().chain(unseen).cloned().collect();
    }

    /// Until when an object was missing; `None`: it was there all the time.
    pub(super) fn missing_until(&self, object: &Object) -> Option<Millis> {
        match &self.held {
            Some(held) if !held.has(object) => Some(Millis::MAX),
            _ => self.came.get(object).copied(),
        }
    }

    /// Whether the image does not find what it asks for.
    pub(super) fn lacks(&self, plan: &Plan) -> Option<&Object> {
        let need = self.scenario.image(&plan.image)?.need.as_ref()?;
        (self.missing_until(&need.object) == Some(Millis::MAX)).then_some(&need.object)
    }

    /// The checksum of a migration's file.
    fn checksum(&self, name: &MigrationName) -> String {
        let told = self.scenario.rows.iter().find(|row| row.name == *name).map(|row| row.checksum.to_string());
        let published = || Catalog::embedded().editions(name).last().map(|edition| edition.checksum.clone());
        told.or_else(published).unwrap_or_else(|| format!("{:016x}", hash(name.as_str())).repeat(4))
    }
}

/// What Prisma writes into the row of a file that failed.
fn failure(name: &MigrationName, stop: &Stop) -> String {
    let (code, what) = if stop.there { ("42P07", "already exists") } else { ("42704", "does not exist") };
    format!(
        "A migration failed to apply. New migrations cannot be applied before the error is recovered from.\n\n\
         Migration name: {name}\n\nDatabase error code: {code}\n\nDatabase error:\nERROR: {} {what}",
        stop.object
    )
}
