//! The sandbox as Helm: its records, and what a rollback does to them and to the Deployment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::FutureExt as _;

use super::memory::Deed;
use super::model::Model;
use super::parts::{Plan, StoredRecord};
use super::{LOOK, Sandbox};
use crate::domain::cluster::{Field, WorkloadRef};
use crate::domain::forecast::DISABLE_SCHEMA_UPDATE;
use crate::domain::image::Image;
use crate::domain::name::ReleaseName;
use crate::domain::release::{
    ApplyMethod, Chart, Does, History, ManifestObject, ObjectKey, Release, ReleaseRevision, ReleaseRow, Storage, Trial,
    Tried, Verdict,
};
use crate::domain::rollback::{ClearedRollback, HelmProgram, Outcome, Rollback, RolledBack, outcome};
use crate::domain::scenario::{HelmPlan, Setting};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::Template;
use crate::text::{Clean, Secret};
use crate::world::{Releases, Reply};

impl Sandbox {
    /// The release of this world, when it is the one that is asked for.
    fn release(&self, workload: &WorkloadRef, release: &ReleaseName) -> Result<&HelmPlan, Trouble> {
        self.ours(workload)?;
        self.scenario.helm.as_ref().filter(|helm| helm.release == *release).ok_or_else(|| {
            Trouble::new(
                TroubleKind::NotFound,
                say!("namespace {} holds no record of Helm release {}", workload.namespace, release),
            )
        })
    }

    fn see_history(&self, model: &Model, workload: &WorkloadRef, release: &ReleaseName) -> Result<History, Trouble> {
        let helm = self.release(workload, release)?;
        let row = |record: &StoredRecord| ReleaseRow {
            revision: record.number,
            status: record.status.clone(),
            created: Some(model.time(record.created)),
            modified: record.modified.map(|at| model.time(at)),
        };
        let rows = model.records.iter().map(row).collect();
        History::new(helm.release.clone(), Storage::Secrets, rows, Some(vec![]))
            .ok_or_else(|| Trouble::new(TroubleKind::NotFound, say!("Helm release {} has no record", release)))
    }

    fn see_record(&self, model: &Model, helm: &HelmPlan, record: &StoredRecord) -> Release {
        let shown = |words: Clean| Field::Shown(words);
        let tag = record.plan.image.tag().unwrap_or_default();
        let mut values = BTreeMap::from([
            (Clean::ours("image.tag"), shown(self.gate.clean(tag))),
            (Clean::ours("replicaCount"), shown(say!("{}", self.scenario.place.replicas))),
        ]);
        if let Some(value) = record.plan.literal(DISABLE_SCHEMA_UPDATE) {
            values.insert(say!("envVars.{}", DISABLE_SCHEMA_UPDATE), shown(self.gate.clean(value.expose())));
        }
        let mut objects: Vec<ManifestObject> = record
            .config_maps
            .iter()
            .map(|name| object("", "v1", "ConfigMap", name.clone(), None, BTreeMap::new()))
            .collect();
        objects.push(self.deployment(&record.plan));
        objects.extend(record.job.as_ref().map(|image| self.job(image)));
        Release {
            name: helm.release.clone(),
            namespace: self.scenario.place.namespace.clone(),
            revision: record.number,
            status: record.status.clone(),
            description: record.description.clone(),
            deployed_at: Some(model.time(record.created)),
            chart: Chart {
                name: helm.chart.clone(),
                version: record.version.clone(),
                app_version: self.gate.clean(tag),
            },
            apply: ApplyMethod::ClientSide,
            values,
            objects,
            hooks: vec![],
            unserved: Some(vec![]),
        }
    }

    fn deployment(&self, plan: &Plan) -> ManifestObject {
        let template = self.template(&Plan { restarted: None, ..plan.clone() });
        let place = &self.scenario.place;
        let replicas = place.replicas;
        let mut fields = BTreeMap::from([(Clean::ours("spec.replicas"), Field::Shown(say!("{}", replicas)))]);
        fields.extend(template.fields.iter().map(|(path, field)| (say!("spec.template.{}", path), field.clone())));
        let name = say!("{}", place.workload);
        ManifestObject {
            replicas: Some(replicas),
            ..object("apps", "apps/v1", "Deployment", name, Some(template), fields)
        }
    }

    /// The migration Job of LiteLLM's chart as an ordinary object: it sets the variable to false.
    fn job(&self, image: &Image) -> ManifestObject {
        let off = DISABLE_SCHEMA_UPDATE.parse().map(|name| (name, Setting::Literal(Secret::new("false"))));
        let plan = Plan {
            image: image.clone(),
            words: vec![Clean::ours("python"), Clean::ours("litellm/proxy/prisma_migration.py")],
            env: off.into_iter().collect(),
            checksum: None,
            leans: vec![],
            restarted: None,
        };
        let template = self.template(&plan);
        let fields =
            template.fields.iter().map(|(path, field)| (say!("spec.template.{}", path), field.clone())).collect();
        let name = say!("{}-migrations", self.scenario.place.workload);
        object("batch", "batch/v1", "Job", name, Some(template), fields)
    }

    /// Writes the rollback down, when it was planned on what is there.
    fn begin_rollback(&self, cleared: &ClearedRollback) -> Result<(), Trouble> {
        let rollback = cleared.rollback();
        let helm = self.release(&rollback.workload, &rollback.release)?;
        self.act(|model, _| {
            let changed = |what| {
                Trouble::new(TroubleKind::Changed, what).remedy(Clean::ours("look at what is live now, and plan again"))
            };
            let last = model.records.last().map(|record| record.number);
            if last != Some(rollback.from) {
                return Err(changed(say!(
                    "{} is not at revision {} any more; nothing was sent",
                    helm.release,
                    rollback.from
                )));
            }
            let target = model.records.iter().find(|record| record.number == rollback.to);
            let template = target.and_then(|target| {
                let template = self.deployment(&target.plan).template?;
                Some(template.with_switch(self.switch(model, &target.plan)))
            });
            if template.as_ref() != Some(cleared.template()) {
                return Err(changed(say!("revision {} is not what was judged; nothing was sent", rollback.to)));
            }
            Ok((Deed::RolledBack { to: rollback.to }, ()))
        })
    }

    /// A drill's API server lets everything through.
    fn tried(&self, rollback: &Rollback) -> Result<Trial, Trouble> {
        let helm = self.release(&rollback.workload, &rollback.release)?;
        self.look(|model, _| {
            let record = |number| {
                let record = model.records.iter().find(|record| record.number == number);
                let record = record.map(|record| self.see_record(model, helm, record));
                record.ok_or_else(|| {
                    Trouble::new(TroubleKind::NotFound, say!("release {} has no revision {}", helm.release, number))
                })
            };
            let (current, target) = (record(rollback.from)?, record(rollback.to)?);
            let has = |release: &Release, key: &ObjectKey| release.objects.iter().any(|object| object.key == *key);
            let tried =
                |key: &ObjectKey, does| Tried { object: key.clone(), does, foreign: false, verdict: Verdict::Passes };
            let sent = target.objects.iter().map(|object| {
                tried(&object.key, if has(&current, &object.key) { Does::Patches } else { Does::Creates })
            });
            let gone = current.objects.iter().filter(|object| !has(&target, &object.key));
            let tried = sent.chain(gone.map(|object| tried(&object.key, Does::Deletes))).collect();
            Ok(Trial { helm: program(helm), tried, left_out: 0 })
        })
    }

    /// How the record stands that a rollback made.
    fn made(&self, rollback: &Rollback) -> Outcome {
        self.look(|model, _| {
            let record = model.records.iter().find(|record| record.number == rollback.from.next());
            outcome(rollback.to, record.map(|record| (&record.status, &record.description)))
        })
    }
}

fn program(helm: &HelmPlan) -> HelmProgram {
    HelmProgram { path: Clean::ours("helm"), version: helm.program.clone(), major: 3 }
}

fn object(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    name: Clean,
    template: Option<Template>,
    fields: BTreeMap<Clean, Field>,
) -> ManifestObject {
    let key = ObjectKey { group: Clean::ours(group), kind: Clean::ours(kind), namespace: None, name };
    ManifestObject { key, api_version: Clean::ours(version), keep: false, replicas: None, template, fields }
}

impl Releases for Sandbox {
    fn history(&self, workload: &WorkloadRef, release: &ReleaseName) -> Reply<History> {
        let seen = self.look(|model, _| self.see_history(model, workload, release));
        async { seen }.boxed()
    }

    fn record(
        &self,
        workload: &WorkloadRef,
        release: &ReleaseName,
        revision: ReleaseRevision,
        _storage: Storage,
    ) -> Reply<Box<Release>> {
        let seen = self.release(workload, release).and_then(|helm| {
            self.look(|model, _| {
                let record = model.records.iter().find(|record| record.number == revision);
                record.map(|record| Box::new(self.see_record(model, helm, record))).ok_or_else(|| {
                    Trouble::new(TroubleKind::NotFound, say!("release {} has no revision {}", release, revision))
                })
            })
        });
        async { seen }.boxed()
    }

    fn program(&self) -> Reply<HelmProgram> {
        let found = match &self.scenario.helm {
            Some(helm) => Ok(program(helm)),
            None => Err(Trouble::new(TroubleKind::Program, Clean::ours("this drill has no Helm"))),
        };
        async { found }.boxed()
    }

    fn trial(&self, rollback: Rollback) -> Reply<Trial> {
        let tried = self.tried(&rollback);
        async { tried }.boxed()
    }

    fn rollback(&self, cleared: ClearedRollback, _folder: PathBuf) -> Reply<RolledBack> {
        let sandbox = self.clone();
        async move {
            sandbox.begin_rollback(&cleared)?;
            let rollback = cleared.rollback();
            loop {
                match sandbox.made(rollback) {
                    Outcome::Running => tokio::time::sleep(LOOK).await,
                    Outcome::Done => {
                        let revision = rollback.from.next();
                        let words = say!(
                            "revision {} is deployed: {}; helm: Rollback was a success! Happy Helming!",
                            revision,
                            rollback.description()
                        );
                        return Ok(RolledBack { revision, words });
                    }
                    Outcome::Failed(why) => {
                        return Err(Trouble::new(
                            TroubleKind::Invalid,
                            say!("revision {} failed: {}", rollback.from.next(), why),
                        ));
                    }
                    Outcome::NotBegun | Outcome::Another(_) => {
                        return Err(Trouble::new(
                            TroubleKind::Unknown,
                            say!("nobody knows what became of the rollback to {}", rollback.to),
                        ));
                    }
                }
            }
        }
        .boxed()
    }
}
