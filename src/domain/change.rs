//! A change of a Deployment, and the schema guard that every such change must pass: no change may
//! start a pod that may drop columns of the database. See [`crate::domain::forecast`].

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::cluster::WorkloadRef;
use crate::domain::forecast::{DISABLE_SCHEMA_UPDATE, Forecast, Newest, forecast};
use crate::domain::image::Image;
use crate::domain::name::{Name, Uid, VarName};
use crate::domain::workload::{FieldChange, MigrationJob, Template, Workload};
use crate::text::{Clean, Secret};

/// What is to be done to a Deployment's template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Back to the template of this ReplicaSet.
    Revert {
        /// UID of the ReplicaSet.
        to: Uid,
        /// Its revision number, for people.
        revision: u64,
    },
    /// One container's image.
    SetImage {
        /// Which container.
        container: Name,
        /// The image.
        image: Image,
    },
    /// One variable of one container; `None` removes it.
    SetVariable {
        /// Which container.
        container: Name,
        /// Which variable.
        name: VarName,
        /// The value. A secret, because nobody knows what is in it.
        value: Option<Secret>,
    },
    /// Restart every pod with kubectl's annotation.
    Restart {
        /// The time that the annotation says.
        at: Timestamp,
    },
}

/// A planned change, tied to the object that it was planned on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which Deployment.
    pub workload: WorkloadRef,
    /// Its UID: a deleted and re-created Deployment is another one.
    pub uid: Uid,
    /// Its generation when the change was planned: any change of its spec since then stops us.
    pub generation: i64,
    /// The main container's image that is to go, tested by the patch.
    pub from_image: Option<Image>,
    /// What is to be done.
    pub kind: ChangeKind,
    /// Also set `DISABLE_SCHEMA_UPDATE=true` on every container with a gateway image, in the same patch.
    pub protect: bool,
}

impl Change {
    /// A change planned on what was last seen of a workload.
    pub fn on(workload: &Workload, kind: ChangeKind, protect: bool) -> Self {
        Self {
            workload: workload.reference.clone(),
            uid: workload.uid.clone(),
            generation: workload.numbers.generation,
            from_image: workload.template.main().map(|container| container.image.clone()),
            kind,
            protect,
        }
    }

    /// What it does, in one sentence.
    pub fn sentence(&self) -> Clean {
        let protection = if self.protect { ", with DISABLE_SCHEMA_UPDATE=true in the same patch" } else { "" };
        match &self.kind {
            ChangeKind::Revert { revision, .. } => {
                say!("revert {} to revision {}{}", self.workload, revision, protection)
            }
            ChangeKind::SetImage { container, image } => {
                say!("set the image of {} in {} to {}{}", container, self.workload, image, protection)
            }
            ChangeKind::SetVariable { container, name, value: Some(_) } => {
                say!("set {} on {} in {}{}", name, container, self.workload, protection)
            }
            ChangeKind::SetVariable { container, name, value: None } => {
                say!("remove {} from {} in {}{}", name, container, self.workload, protection)
            }
            ChangeKind::Restart { .. } => say!("restart {}{}", self.workload, protection),
        }
    }

    /// The nearest kubectl command line, for the plan and the journal. kubectl tests nothing, so
    /// this is what it amounts to, not what is sent. Pasting it must do no harm: a `rollout undo`
    /// would take a variable that was set before it away again, so a protected revert is one patch.
    pub fn command(&self, context: Option<&crate::domain::name::ContextName>) -> Clean {
        let context =
            context.map_or(Clean::default(), |context| say!(" --context '{}'", say!("{}", context).in_single_quotes()));
        let place = say!("kubectl{} -n {}", context, self.workload.namespace);
        let main = match &self.kind {
            ChangeKind::Revert { revision, .. } if self.protect => {
                return say!(
                    "{} rollout history {} --revision={} -o json | jq '[{{op:\"replace\",path:\"/spec/template\",value:(.spec.template|del(.metadata.labels[\"pod-template-hash\"])|.spec.containers[].env+=[{{name:\"{}\",value:\"true\"}}])}}]' | {} patch {} --type=json --patch-file=/dev/stdin",
                    place,
                    self.workload,
                    revision,
                    DISABLE_SCHEMA_UPDATE,
                    place,
                    self.workload
                );
            }
            ChangeKind::Revert { revision, .. } => {
                say!("{} rollout undo {} --to-revision={}", place, self.workload, revision)
            }
            ChangeKind::SetImage { container, image } => {
                say!("{} set image {} {}={}", place, self.workload, container, image)
            }
            ChangeKind::SetVariable { container, name, value } => {
                let value = if value.is_some() { "=VALUE" } else { "-" };
                say!("{} set env {} -c {} {}{}", place, self.workload, container, name, value)
            }
            ChangeKind::Restart { .. } => say!("{} rollout restart {}", place, self.workload),
        };
        if self.protect {
            say!("{} set env {} {}=true && {}", place, self.workload, DISABLE_SCHEMA_UPDATE, main)
        } else {
            main
        }
    }
}

/// What the API server's dry run says would come of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The change.
    pub change: Change,
    /// The template that would result.
    pub template: Template,
    /// What differs from the live template.
    pub diff: Vec<FieldChange>,
    /// Warnings of the API server.
    pub warnings: Vec<Clean>,
    /// Migration Jobs that run or may run beside it. `None` when they could not be listed.
    pub jobs: Option<Vec<MigrationJob>>,
}

/// A change that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The Deployment's generation after it.
    pub generation: i64,
    /// What was done, in words.
    pub words: Clean,
}

/// Why a gate refused, and the step that would make it pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What was refused and why.
    pub what: Clean,
    /// What to do now.
    pub remedy: Clean,
    /// True when the same change with [`Change::protect`] would pass.
    pub protect_helps: bool,
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
/// fn forged(change: Change, template: Template, why: Clean) -> Cleared { Cleared { change, template, why } }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared {
    change: Change,
    template: Template,
    why: Clean,
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
}

/// The schema guard. Lets a change through when the forecast for the template that results is
/// that it will not write, and no migration Job runs beside it.
pub fn clear(preview: &Preview, newest: &Newest) -> Result<Cleared, Refusal> {
    let workload = &preview.change.workload;
    migration_job_refusal(workload, preview.jobs.as_deref())?;
    match forecast(&preview.template, newest) {
        Forecast::WillNotWrite(why) => {
            Ok(Cleared { change: preview.change.clone(), template: preview.template.clone(), why })
        }
        Forecast::MayDrop { why, remedy, protect_helps } => Err(Refusal {
            what: say!("{} was not changed: {}; when it starts it may drop newer columns and tables", workload, why),
            remedy: if protect_helps { say!("let this change {}", remedy) } else { remedy },
            protect_helps: protect_helps && !preview.change.protect,
        }),
    }
}

fn migration_job_refusal(workload: &WorkloadRef, jobs: Option<&[MigrationJob]>) -> Result<(), Refusal> {
    let Some(jobs) = jobs else {
        return Err(Refusal {
            what: say!(
                "{} was not changed: migration Jobs could not be listed, so nobody knows whether one would run",
                workload
            ),
            remedy: Clean::ours("ask for the permission `list jobs.batch` in this namespace"),
            protect_helps: false,
        });
    };
    match jobs.iter().find(|job| job.active) {
        None => Ok(()),
        Some(job) => Err(Refusal {
            what: say!(
                "{} was not changed: the migration Job {} is running, and a Job ignores {}",
                workload,
                job.name,
                DISABLE_SCHEMA_UPDATE
            ),
            remedy: say!(
                "wait for it, or suspend it: kubectl -n {} patch job/{} -p '{{\"spec\":{{\"suspend\":true}}}}'",
                workload.namespace,
                job.name
            ),
            protect_helps: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cluster::Field;
    use crate::domain::workload::{Container, EnvValue, EnvVar};

    fn container(image: &str, env: &[(&str, &str)], words: &[&'static str]) -> Container {
        Container {
            name: "litellm".parse().unwrap(),
            image: image.parse().unwrap(),
            init: false,
            words: words.iter().map(|w| Clean::ours(w)).collect(),
            env: env
                .iter()
                .map(|(name, value)| EnvVar {
                    name: name.parse().unwrap(),
                    value: match *value {
                        "<ref>" => EnvValue::From(Clean::ours("secret x")),
                        value => EnvValue::Literal(Field::Shown(crate::text::Gate::default().clean(value))),
                    },
                })
                .collect(),
            env_from: vec![],
        }
    }

    fn preview(container: Container, jobs: Option<Vec<MigrationJob>>) -> Preview {
        Preview {
            change: Change {
                workload: WorkloadRef { namespace: "llm".parse().unwrap(), name: "litellm".parse().unwrap() },
                uid: "u1".parse().unwrap(),
                generation: 7,
                from_image: None,
                kind: ChangeKind::Restart { at: Timestamp::UNIX_EPOCH },
                protect: false,
            },
            template: Template { containers: vec![container], ..Template::default() },
            diff: vec![],
            warnings: vec![],
            jobs,
        }
    }

    const OLD: &str = "ghcr.io/berriai/litellm:main-v1.74.7-stable";
    const NEW: &str = "ghcr.io/berriai/litellm:v1.83.10";

    fn newest(raw: &str) -> Newest {
        Newest::of([&raw.parse::<Image>().unwrap()])
    }

    #[test]
    fn an_older_image_passes_only_with_its_hands_off_the_schema() {
        let job =
            |active| Some(vec![MigrationJob { name: "litellm-migrations".parse().unwrap(), image: None, active }]);
        let safe: &[(&str, &str)] = &[("DISABLE_SCHEMA_UPDATE", "true")];
        // image, env, words, jobs, newest on record, may it pass
        type Row<'a> =
            (&'a str, &'a [(&'a str, &'a str)], &'a [&'static str], Option<Vec<MigrationJob>>, &'a str, bool);
        let rows: Vec<Row<'_>> = vec![
            (NEW, &[], &[], Some(vec![]), NEW, true),
            (NEW, &[], &[], Some(vec![]), OLD, true),
            (OLD, &[], &[], Some(vec![]), NEW, false),
            (OLD, safe, &[], Some(vec![]), NEW, true),
            (OLD, &[("DISABLE_SCHEMA_UPDATE", "True")], &[], Some(vec![]), NEW, true),
            (
                OLD,
                &[("DISABLE_SCHEMA_UPDATE", "true"), ("DISABLE_SCHEMA_UPDATE", "false")],
                &[],
                Some(vec![]),
                NEW,
                false,
            ),
            (OLD, &[("DISABLE_SCHEMA_UPDATE", "<ref>")], &[], Some(vec![]), NEW, false),
            (OLD, &[("DISABLE_SCHEMA_UPDATE", "1")], &[], Some(vec![]), NEW, false),
            (OLD, safe, &["--use_prisma_db_push"], Some(vec![]), NEW, false),
            (OLD, safe, &["python", "litellm/proxy/prisma_migration.py"], Some(vec![]), NEW, false),
            (OLD, safe, &[], job(true), NEW, false),
            (OLD, safe, &[], job(false), NEW, true),
            (NEW, &[], &[], job(true), NEW, false),
            (NEW, &[], &[], None, NEW, false),
            ("ghcr.io/berriai/litellm:main-latest", &[], &[], Some(vec![]), NEW, false),
            ("ghcr.io/berriai/litellm:main-latest", safe, &[], Some(vec![]), NEW, true),
            (NEW, &[], &[], Some(vec![]), "ghcr.io/berriai/litellm:main-latest", false),
            ("private.local/llm-gateway:7", &[], &[], Some(vec![]), NEW, false),
        ];
        for (image, env, words, jobs, record, expected) in rows {
            let shown = format!("{image} {env:?} {words:?} {jobs:?} record {record}");
            let cleared = clear(&preview(container(image, env, words), jobs), &newest(record));
            assert_eq!(cleared.is_ok(), expected, "{shown}: {cleared:?}");
        }
    }

    #[test]
    fn no_command_takes_the_protection_away_again() {
        let revert = ChangeKind::Revert { to: "u0".parse().unwrap(), revision: 3 };
        let change = Change { kind: revert, protect: true, ..preview(container(OLD, &[], &[]), None).change };
        let command = change.command(None);
        assert!(!command.as_str().contains("rollout undo"), "{command}");
        assert_eq!(command.as_str().matches(" patch deployment/litellm ").count(), 1, "{command}");
        assert!(command.as_str().contains(r#"env+=[{name:"DISABLE_SCHEMA_UPDATE",value:"true"}]"#), "{command}");
    }

    #[test]
    fn the_refusal_says_why_and_offers_the_step() {
        let refusal = clear(&preview(container(OLD, &[], &[]), Some(vec![])), &newest(NEW)).unwrap_err();
        assert!(refusal.protect_helps);
        assert!(refusal.what.as_str().contains("is older than"), "{}", refusal.what);
        assert!(refusal.remedy.as_str().contains("DISABLE_SCHEMA_UPDATE=true"));
    }
}
