//! The sandbox's ConfigMaps, Secrets, autoscalers and salt keys.

use jiff::Timestamp;

use super::Sandbox;
use super::memory::Deed;
use super::model::Model;
use super::parts::{Millis, Plan, millis_before};
use crate::domain::cluster::Fingerprint;
use crate::domain::coupled::{
    self, ConfigFile, Coupled, Disable, Found, Leaning, MountedConfig, Pull, Pulled, ReadConfig, SourceKind, Use,
};
use crate::domain::forecast::DISABLE_SCHEMA_UPDATE;
use crate::domain::incident::Goal;
use crate::domain::name::Name;
use crate::domain::runbook::NodeRef;
use crate::domain::salt::{Key, Keys, LITELLM_SALT_KEY, MASTER_KEYS, Opened, Value};
use crate::domain::scenario::{Setting, SourcePlan};
use crate::domain::settings::{Config, SchemaSwitch};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Secret};
use crate::world::Hands;
use crate::world::variable::truth;

impl Sandbox {
    /// What a revision leans on, as the sources are now.
    pub(super) fn see_coupled(&self, model: &Model, target: Goal) -> Result<Coupled, Trouble> {
        let plan = plan(model, &target)?;
        let live = model.plan();
        let sources = || self.scenario.sources.iter().filter(|source| plan.leans.contains(&source.source.name));
        let leaning = |source: &SourcePlan| Leaning {
            source: source.source.clone(),
            uses: vec![Use::Mounted { path: source.path.clone(), sub_path: source.sub_path }],
            live_too: live.leans.contains(&source.source.name),
            optional: false,
            restored: false,
            found: match model.put_back.get(&source.source.name) {
                Some(at) => {
                    Found::There { written: second(model, *at), by: Some(Clean::ours("kubectl-client-side-apply")) }
                }
                None => Found::There { written: second(model, millis_before(source.written)), by: source.by.clone() },
            },
            lacks: Vec::new(),
        };
        let differs = plan.checksum.is_some() && plan.checksum != live.checksum;
        let path = plan.words.iter().skip_while(|word| word.as_str() != "--config").nth(1);
        let config = match sources().find(|source| Some(&source.path) == path) {
            Some(source) if source.source.kind == SourceKind::ConfigMap => {
                ConfigFile::Mounted(self.config(model, source))
            }
            _ => ConfigFile::Unseen(Clean::ours("this drill keeps no configuration file in a ConfigMap")),
        };
        Ok(Coupled {
            leanings: sources().map(leaning).collect(),
            checksums: if differs { vec![Clean::ours("checksum/config")] } else { vec![] },
            scalers: Ok(self.scenario.scalers.clone()),
            pulled: Ok(self.pulled(model, plan)),
            pull: Some(if plan.image.floats() { Pull::Always } else { Pull::IfNotPresent }),
            salt: keys(model, &target)?.compare(|key| Fingerprint::new(&self.key, key.expose().as_bytes())),
            config,
            settings: self.settings(model, plan),
            disable: disable(plan),
            target,
        })
    }

    /// What the configuration file of a template says about the schema.
    pub(super) fn switch(&self, model: &Model, plan: &Plan) -> SchemaSwitch {
        coupled::switch(&self.settings(model, plan))
    }

    fn settings(&self, model: &Model, plan: &Plan) -> Result<Option<ReadConfig>, Clean> {
        let Some(path) = plan.words.iter().skip_while(|word| word.as_str() != "--config").nth(1) else {
            return Ok(None);
        };
        let leans = |source: &&SourcePlan| plan.leans.contains(&source.source.name) && &source.path == path;
        let Some(source) = self.scenario.sources.iter().find(leans) else {
            return Ok(None);
        };
        let place = say!("{} of {}", source.key, source.source);
        let config = Config::read(self.text(model, source), &place, &self.gate)?;
        Ok(Some(ReadConfig { place, config }))
    }

    /// What a source holds now.
    fn text<'a>(&self, model: &Model, source: &'a SourcePlan) -> &'a str {
        let back = model.put_back.contains_key(&source.source.name);
        let held = source.before.as_ref().filter(|_| back).and_then(|before| before.text.as_ref());
        held.or(source.text.as_ref()).map(Secret::expose).unwrap_or_default()
    }

    fn config(&self, model: &Model, source: &SourcePlan) -> MountedConfig {
        let mut gate = self.gate.lines();
        let text = self.text(model, source);
        MountedConfig {
            config_map: source.source.name.clone(),
            key: source.key.clone(),
            path: source.path.clone(),
            sub_path: source.sub_path,
            lines: text.lines().map(|line| gate.clean(line)).collect(),
        }
    }

    /// Everybody's pods that run a template's image.
    fn pulled(&self, model: &Model, plan: &Plan) -> Vec<Pulled> {
        let Some(image) = self.scenario.image(&plan.image) else { return Vec::new() };
        let pulled = |pod: &Name, created| Pulled {
            pod: pod.clone(),
            digest: image.digest.clone(),
            created: model.time(created),
        };
        let ours = model.pods.iter().filter(|pod| pod.gone.is_none() && !pod.runs.is_empty());
        let ours = ours.filter(|pod| model.sets[pod.set].plan.image == plan.image);
        let began = model.sets.first().map_or(0, |set| set.created);
        let others = image.neighbour.iter().map(|pod| pulled(pod, began));
        others.chain(ours.map(|pod| pulled(&pod.name, pod.created))).collect()
    }

    /// How many of the scenario's stored values each key opens.
    pub(super) fn see_opened(&self, keys: &Keys) -> Opened {
        let database = &self.scenario.database;
        let tried = if database.salt.is_some() { database.sealed } else { 0 };
        let by = |key: &Key| key.known().map(|key| if Some(key) == database.salt.as_ref() { tried } else { 0 });
        let (live, target) = (by(&keys.live), by(&keys.target));
        let neither = if live == Some(0) && target == Some(0) { tried } else { 0 };
        Opened { tried, live, target, neither }
    }
}

impl Hands for Sandbox {
    fn done(&self, node: &NodeRef) -> Result<(), Trouble> {
        let before = self.scenario.sources.iter().filter_map(|source| source.before.as_ref());
        if before.filter(|before| before.node == *node).count() == 0 {
            return Ok(());
        }
        self.act(|_, _| Ok((Deed::ByHand { node: node.clone() }, ())))
    }
}

/// The API server keeps times to the second (`metav1.Time`).
fn second(model: &Model, at: Millis) -> Timestamp {
    let at = model.time(at);
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn plan<'a>(model: &'a Model, target: &Goal) -> Result<&'a Plan, Trouble> {
    let found = match target {
        Goal::Template(uid) => model.sets.iter().find(|set| &set.uid == uid).map(|set| &set.plan),
        Goal::Release(_, number) => model.records.iter().find(|one| &one.number == number).map(|one| &one.plan),
    };
    found.ok_or_else(|| {
        Trouble::new(TroubleKind::NotFound, Clean::ours("there is no such revision in this drill"))
            .remedy(Clean::ours("choose among what the revisions pane shows"))
    })
}

/// The salt keys of the live template and of a revision's.
pub(super) fn keys(model: &Model, target: &Goal) -> Result<Keys, Trouble> {
    Ok(Keys { live: key(model.plan()), target: key(plan(model, target)?) })
}

/// `DISABLE_SCHEMA_UPDATE` of one template.
fn disable(plan: &Plan) -> Disable {
    let set = plan.env.iter().rev().find(|(var, _)| var.as_str() == DISABLE_SCHEMA_UPDATE);
    let (from, value) = match set {
        None => (say!("{} is not set", DISABLE_SCHEMA_UPDATE), Value::Unset),
        Some((_, Setting::Literal(value))) => {
            (say!("{} in the template", DISABLE_SCHEMA_UPDATE), Value::Known(value.clone()))
        }
        Some((_, Setting::From(place))) => (
            say!("{} from {}", DISABLE_SCHEMA_UPDATE, place),
            Value::Unread(Clean::ours("a drill keeps no such value")),
        ),
    };
    Disable { from, set: truth(&value) }
}

/// The key of one template: the salt key, else a master key.
pub(super) fn key(plan: &Plan) -> Key {
    let variables = [LITELLM_SALT_KEY].into_iter().chain(MASTER_KEYS);
    let set = variables.filter_map(|name| {
        let (_, setting) = plan.env.iter().rev().find(|(var, _)| var.as_str() == name)?;
        Some(match setting {
            Setting::Literal(key) => Key { from: say!("{} in the template", name), value: Value::Known(key.clone()) },
            Setting::From(place) => Key {
                from: say!("{} from {}", name, place),
                value: Value::Unread(Clean::ours("a drill keeps no such value")),
            },
        })
    });
    let none = || Key { from: Clean::ours("no salt key and no master key"), value: Value::Unset };
    set.into_iter().next().unwrap_or_else(none)
}
