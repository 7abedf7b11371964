//! The salt key of a template, wherever it comes from: written in it, from a Secret or a ConfigMap
//! by one key or by `envFrom`, or the master key that LiteLLM falls back to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use kube::api::Api;
use serde_json::Value as Json;

use super::references::{Restored, config_flag, config_path, containers, file, list, place, source, whole_of};
use super::{Link, template};
use crate::domain::coupled::{self, Disable, ReadConfig, Source, SourceKind};
use crate::domain::forecast::DISABLE_SCHEMA_UPDATE;
use crate::domain::name::Name;
use crate::domain::salt::{Key, Keys, LITELLM_SALT_KEY, MASTER_KEYS, Value};
use crate::domain::settings::{Config, SchemaSwitch};
use crate::domain::trouble::TroubleKind;
use crate::text::{Clean, Secret};
use crate::world::variable::truth;

/// Where this is set, LiteLLM reads its configuration from a bucket (`proxy_server.py`, `get_config`).
const BUCKET: &str = "LITELLM_CONFIG_BUCKET_NAME";

/// Objects that were read for one comparison, each once. The error says why one could not be.
#[derive(Default)]
struct Read(BTreeMap<Source, Result<Option<BTreeMap<String, String>>, Clean>>);

/// The keys of two raw templates; the target's as it will be once `restored` is written.
pub(super) async fn keys(link: &Link, namespace: &Name, live: &Json, target: &Json, restored: &Restored) -> Keys {
    let mut reading = Reading { link, namespace, read: Read::default(), secret: true };
    let live = reading.key(live).await;
    reading.restore(restored).await;
    Keys { live, target: reading.key(target).await }
}

/// What the configuration file that the gateway of a raw template reads says about the schema.
pub(super) async fn switch(link: &Link, namespace: &Name, template: &Json) -> SchemaSwitch {
    let mut reading = Reading { link, namespace, read: Read::default(), secret: false };
    coupled::switch(&reading.settings(template).await)
}

/// What is read of that file, and `DISABLE_SCHEMA_UPDATE` as that gateway will see it, both as they
/// will be once `restored` is written. What both lie in is read once.
pub(super) async fn settings(
    link: &Link,
    namespace: &Name,
    template: &Json,
    restored: &Restored,
) -> (Result<Option<ReadConfig>, Clean>, Disable) {
    let mut reading = Reading { link, namespace, read: Read::default(), secret: false };
    reading.restore(restored).await;
    (reading.settings(template).await, reading.disable(template).await)
}

/// The gateway's container: the first with a LiteLLM image, else the first.
pub(super) fn gateway(template: &Json) -> Option<&Json> {
    let ordinary = || list(&template["spec"], "containers");
    let image = |container: &&Json| template::image(container["image"].as_str().unwrap_or_default()).is_litellm();
    ordinary().find(image).or_else(|| ordinary().next()).or_else(|| containers(template).next())
}

struct Reading<'a> {
    link: &'a Link,
    namespace: &'a Name,
    read: Read,
    /// What is read is a secret, which the gate has to know.
    secret: bool,
}

impl Reading<'_> {
    /// Takes what a rollback is going to write for what is there. Keys that it does not name stay
    /// beside those that it does.
    async fn restore(&mut self, restored: &Restored) {
        for (source, written) in restored {
            let mut data = self.object(source).await.ok().flatten().unwrap_or_default();
            data.extend(written.clone());
            self.read.0.insert(source.clone(), Ok(Some(data)));
        }
    }

    /// The salt key, else the master key as LiteLLM finds it: `general_settings.master_key` of the
    /// configuration file, else the variable.
    async fn key(&mut self, template: &Json) -> Key {
        let none = Key { from: Clean::ours("no salt key and no master key"), value: Value::Unset };
        let Some(container) = gateway(template) else { return none };
        let salt = self.variable(container, LITELLM_SALT_KEY).await;
        if salt.value != Value::Unset {
            return salt;
        }
        if let Some(key) = self.configured(template, container).await {
            return key;
        }
        for name in MASTER_KEYS {
            let master = self.variable(container, name).await;
            if master.value != Value::Unset {
                return master;
            }
        }
        none
    }

    /// `general_settings.master_key`: `os.environ/NAME`, or the key itself.
    async fn configured(&mut self, template: &Json, container: &Json) -> Option<Key> {
        let (source, key, _) = file(template, container, config_path(container)?)?;
        // A file that cannot be read leaves the variables, which the charts use.
        let text = self.object(&source).await.ok()??.remove(key)?;
        let settings: Json = serde_saphyr::from_str(&text).ok()?;
        let master = settings["general_settings"]["master_key"].as_str()?.to_owned();
        match master.strip_prefix("os.environ/") {
            Some(name) => Some(self.variable(container, name).await).filter(|key| key.value != Value::Unset),
            None => {
                let from = say!("general_settings.master_key in {} key {}", source, self.link.gate().clean(key));
                Some(Key { from, value: self.known(&master) })
            }
        }
    }

    /// `DISABLE_SCHEMA_UPDATE` of the gateway.
    async fn disable(&mut self, template: &Json) -> Disable {
        match gateway(template) {
            Some(container) => {
                let Key { from, value } = self.variable(container, DISABLE_SCHEMA_UPDATE).await;
                Disable { from, set: truth(&value) }
            }
            None => Disable { from: Clean::ours("the template has no container"), set: Ok(None) },
        }
    }

    /// What the file says; an error says why nobody knows. Without `--config` no file is looked at
    /// before the migrations (LiteLLM's `proxy_cli.py`).
    async fn settings(&mut self, template: &Json) -> Result<Option<ReadConfig>, Clean> {
        let gate = self.link.gate().clone();
        let Some(container) = gateway(template) else { return Ok(None) };
        let Some(path) = config_flag(container) else { return Ok(None) };
        if self.variable(container, BUCKET).await.value != Value::Unset {
            return Err(say!("{} is set, so it comes from a bucket", Clean::ours(BUCKET)));
        }
        // One that lies in the image cannot be read from here, and refusing every image that has one
        // would leave no way back: there the variable is taken at its word.
        let Some((source, key, _)) = file(template, container, path) else { return Ok(None) };
        let place = say!("{} of {}", gate.clean(key), source);
        let data = self.object(&source).await?.ok_or_else(|| say!("{} is not there", source))?;
        let text = data.get(key).ok_or_else(|| say!("{} has no key {}", source, gate.clean(key)))?;
        let config = Config::read(text, &place, &gate)?;
        Ok(Some(ReadConfig { place, config }))
    }

    /// One variable of a container as its process will see it: `env` before `envFrom`, the last
    /// entry of either wins (Kubernetes API reference, `Container`).
    async fn variable(&mut self, container: &Json, name: &str) -> Key {
        let shown = self.link.gate().clean(name);
        if let Some(entry) = list(container, "env").filter(|entry| entry["name"] == name).last() {
            return self.entry(entry, name).await;
        }
        let whole: Vec<&Json> = list(container, "envFrom").collect();
        for entry in whole.into_iter().rev() {
            let (kind, reference) = whole_of(entry);
            let prefix = entry["prefix"].as_str().unwrap_or_default();
            let (Some(source), Some(key)) = (source(kind, &reference["name"]), name.strip_prefix(prefix)) else {
                continue;
            };
            match self.object(&source).await {
                Ok(Some(mut data)) => {
                    if let Some(value) = data.remove(key) {
                        let from = place(self.link.gate(), name, &source, key);
                        return Key { from, value: self.known(&value) };
                    }
                }
                Ok(None) => {}
                Err(why) => {
                    let from = say!("{} perhaps from {} (envFrom)", shown, source);
                    return Key { from, value: Value::Unread(why) };
                }
            }
        }
        Key { from: say!("{} is not set", shown), value: Value::Unset }
    }

    async fn entry(&mut self, entry: &Json, name: &str) -> Key {
        let from = &entry["valueFrom"];
        for (kind, reference) in
            [(SourceKind::Secret, &from["secretKeyRef"]), (SourceKind::ConfigMap, &from["configMapKeyRef"])]
        {
            let (Some(source), Some(key)) = (source(kind, &reference["name"]), reference["key"].as_str()) else {
                continue;
            };
            let from = place(self.link.gate(), name, &source, key);
            let value = match self.object(&source).await {
                Ok(Some(mut data)) => data.remove(key).map_or(Value::Unset, |value| self.known(&value)),
                Ok(None) => Value::Unset,
                Err(why) => Value::Unread(why),
            };
            return Key { from, value };
        }
        let from = say!("{} in the template", self.link.gate().clean(name));
        let value = match entry["value"].as_str() {
            None if entry.get("valueFrom").is_some() => {
                Value::Untold(Clean::ours("it comes from a field or a file of the pod"))
            }
            Some(value) if value.contains("$(") => {
                Value::Untold(Clean::ours("it is put together from other variables ($(NAME))"))
            }
            value => self.known(value.unwrap_or_default()),
        };
        Key { from, value }
    }

    /// A key that was found; the gate learns it before anybody holds it. LiteLLM takes a variable
    /// as it is, a line feed at its end included.
    fn known(&self, value: &str) -> Value {
        let secret = Secret::new(value);
        if self.secret {
            self.link.gate().learn(&secret);
        }
        Value::Known(secret)
    }

    /// The text data of an object; `None` when there is no such object.
    async fn object(&mut self, source: &Source) -> Result<Option<BTreeMap<String, String>>, Clean> {
        if let Some(known) = self.read.0.get(source) {
            return known.clone();
        }
        let found = self.link.texts(self.namespace, source).await;
        self.read.0.insert(source.clone(), found.clone());
        found
    }
}

impl Link {
    /// The text data of a ConfigMap or a Secret; `None` when there is no such object, a sentence
    /// when nobody knows.
    async fn texts(&self, namespace: &Name, source: &Source) -> Result<Option<BTreeMap<String, String>>, Clean> {
        let attempt = say!("read {}", source);
        let name = source.name.as_str();
        let data = match source.kind {
            SourceKind::ConfigMap => {
                let api: Api<core::ConfigMap> = self.api(namespace);
                self.ask(&attempt, api.get(name)).await.map(|map| map.data.unwrap_or_default())
            }
            SourceKind::Secret => {
                let api: Api<core::Secret> = self.api(namespace);
                let texts = |secret: core::Secret| {
                    let all = secret.data.unwrap_or_default().into_iter();
                    all.filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?))).collect()
                };
                self.ask(&attempt, api.get(name)).await.map(texts)
            }
        };
        match data {
            Ok(data) => Ok(Some(data)),
            Err(why) if why.kind == TroubleKind::NotFound => Ok(None),
            Err(why) => Err(why.what),
        }
    }
}
