//! A pod template as the API server sends it, turned into the [`Template`] that the domain judges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::domain::cluster::{Field, Fingerprint, is_shown_variable};
use crate::domain::image::Image;
use crate::domain::name::{Name, VarName};
use crate::domain::workload::{Container, EnvValue, EnvVar, Template};
use crate::text::{Clean, Gate, announces_secret};

/// The label that the Deployment controller adds to each ReplicaSet's template.
const HASH_LABEL: &str = "pod-template-hash";

/// Keys of Helm values whose texts are shown: they say what runs, and are no credentials.
const SHOWN_VALUES: [&str; 12] = [
    "repository",
    "tag",
    "digest",
    "pullPolicy",
    "nameOverride",
    "fullnameOverride",
    "type",
    "cpu",
    "memory",
    "existingSecret",
    "masterkeySecretName",
    "storageClass",
];

/// Reads templates: the gate for what may be shown, and the key for what may only be compared.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) gate: Gate,
    pub(super) key: Arc<[u8; 32]>,
}

/// The template without what differs between a Deployment and its ReplicaSets by itself: the
/// hash label, and a `creationTimestamp` that is always null.
pub(super) fn normalized(mut template: Value) -> Value {
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        if metadata.get("creationTimestamp").is_some_and(Value::is_null) {
            metadata.remove("creationTimestamp");
        }
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove(HASH_LABEL);
        }
    }
    template
}

impl Reader {
    /// The domain's view of a normalized template.
    pub(super) fn template(&self, template: &Value) -> Template {
        let spec = &template["spec"];
        let group = |list: &str, init: bool| {
            let items = spec[list].as_array().map(Vec::as_slice).unwrap_or_default();
            items.iter().filter_map(|item| self.container(item, init)).collect::<Vec<_>>()
        };
        let mut containers = group("initContainers", true);
        containers.extend(group("containers", false));
        let mut fields = BTreeMap::new();
        self.flatten(template, "", Place::Ordinary, &mut fields);
        Template { containers, fields, ..Template::default() }
    }

    /// Every field of an object, by path. What a Secret or a ConfigMap holds is hidden: of these
    /// only *same* or *changed* can be told.
    pub(super) fn object(&self, object: &Value) -> BTreeMap<Clean, Field> {
        let mut fields = BTreeMap::new();
        let holds = matches!(object["kind"].as_str(), Some("Secret" | "ConfigMap"));
        for (key, value) in object.as_object().into_iter().flatten() {
            let place = match key.as_str() {
                "data" | "stringData" | "binaryData" if holds => Place::Hidden,
                _ => Place::Ordinary,
            };
            self.flatten(value, key, place, &mut fields);
        }
        fields
    }

    /// The values of a Helm release, by path. Numbers, switches, and texts under harmless keys are
    /// shown, variables by the same list as everywhere; of the others only *same* or *changed* can
    /// be told.
    pub(super) fn values(&self, values: &Value) -> BTreeMap<Clean, Field> {
        let mut fields = BTreeMap::new();
        self.value(values, "", "", &mut fields);
        fields
    }

    fn value(&self, value: &Value, path: &str, key: &str, fields: &mut BTreeMap<Clean, Field>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, inner) in map {
                    let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.value(inner, &at, key, fields);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, &format!("{path}[{index}]"), key, fields);
                }
            }
            leaf => {
                let raw = leaf.as_str().map_or_else(|| leaf.to_string(), ToOwned::to_owned);
                let harmless = SHOWN_VALUES.contains(&key) || key.parse().is_ok_and(|name| is_shown_variable(&name));
                let telling = announces_secret(&format!("--{key}"));
                let shown = !telling && (harmless || !leaf.is_string());
                let field = if shown { self.shown(&raw) } else { Field::Hidden(self.fingerprint(&raw)) };
                fields.insert(self.gate.clean(path), field);
            }
        }
    }

    fn container(&self, item: &Value, init: bool) -> Option<Container> {
        let name: Name = item["name"].as_str()?.parse().ok()?;
        let words = ["command", "args"].iter().flat_map(|list| item[*list].as_array().into_iter().flatten());
        let words = self.gate.clean_words(words.filter_map(Value::as_str));
        let env = item["env"].as_array().into_iter().flatten().filter_map(|var| self.variable(var)).collect();
        let env_from = item["envFrom"].as_array().into_iter().flatten().map(|source| self.whole(source)).collect();
        Some(Container { name, image: image(item["image"].as_str().unwrap_or_default()), init, words, env, env_from })
    }

    fn variable(&self, var: &Value) -> Option<EnvVar> {
        let name: VarName = var["name"].as_str()?.parse().ok()?;
        let value = match var.get("valueFrom").and_then(Value::as_object) {
            Some(source) => EnvValue::From(self.reference(source)),
            None => EnvValue::Literal(self.literal(&name, var["value"].as_str().unwrap_or_default())),
        };
        Some(EnvVar { name, value })
    }

    fn literal(&self, name: &VarName, value: &str) -> Field {
        if is_shown_variable(name) { self.shown(value) } else { Field::Hidden(self.fingerprint(value)) }
    }

    /// Shown, unless the gate had to alter it: then only *same* or *different* can be told,
    /// because two secrets look alike once they are masked.
    fn shown(&self, value: &str) -> Field {
        let clean = self.gate.clean(value);
        if clean.as_str() == value { Field::Shown(clean) } else { Field::Hidden(self.fingerprint(value)) }
    }

    fn fingerprint(&self, value: &str) -> Fingerprint {
        Fingerprint::new(&self.key, value.as_bytes())
    }

    fn reference(&self, source: &Map<String, Value>) -> Clean {
        let text = |value: &Value| self.gate.clean(value.as_str().unwrap_or_default());
        let Some((kind, of)) = source.iter().next() else { return Clean::ours("elsewhere") };
        match kind.as_str() {
            "secretKeyRef" => say!("secret {} key {}", text(&of["name"]), text(&of["key"])),
            "configMapKeyRef" => say!("configmap {} key {}", text(&of["name"]), text(&of["key"])),
            "fieldRef" => say!("field {}", text(&of["fieldPath"])),
            "resourceFieldRef" => say!("resource {}", text(&of["resource"])),
            other => self.gate.clean(other),
        }
    }

    fn whole(&self, source: &Value) -> Clean {
        let text = |value: &Value| self.gate.clean(value.as_str().unwrap_or_default());
        match source.get("secretRef") {
            Some(secret) => say!("secret {}", text(&secret["name"])),
            None => say!("configmap {}", text(&source["configMapRef"]["name"])),
        }
    }

    fn flatten(&self, value: &Value, path: &str, place: Place<'_>, fields: &mut BTreeMap<Clean, Field>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let variable = match place {
                    Place::EnvItem => map.get("name").and_then(Value::as_str),
                    _ => None,
                };
                for (key, inner) in map {
                    let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let place = match (key.as_str(), variable) {
                        _ if matches!(place, Place::Hidden) => Place::Hidden,
                        ("env", _) => Place::EnvList,
                        ("value", Some(name)) => Place::EnvLiteral(name),
                        _ => Place::Ordinary,
                    };
                    self.flatten(inner, &at, place, fields);
                }
            }
            Value::Array(items) if !items.is_empty() => self.flatten_list(items, path, place, fields),
            leaf => {
                let raw = leaf.as_str().map_or_else(|| leaf.to_string(), ToOwned::to_owned);
                let field = match place {
                    Place::EnvLiteral(name) => match name.parse::<VarName>() {
                        Ok(name) => self.literal(&name, &raw),
                        Err(_) => Field::Hidden(self.fingerprint(&raw)),
                    },
                    Place::AfterFlag | Place::Hidden => Field::Hidden(self.fingerprint(&raw)),
                    _ => self.shown(&raw),
                };
                fields.insert(self.gate.clean(path), field);
            }
        }
    }

    /// List items by `name` where they have one, else by index. A second item of the same name
    /// (variables, volume mounts) gets a number, so that it does not hide the first.
    fn flatten_list(&self, items: &[Value], path: &str, place: Place<'_>, fields: &mut BTreeMap<Clean, Field>) {
        let mut taken = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let mut label = item.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
            if !taken.insert(label.clone()) {
                label = format!("{label}#{index}");
                taken.insert(label.clone());
            }
            let flag = index.checked_sub(1).and_then(|before| items[before].as_str());
            let place = match place {
                Place::Hidden => Place::Hidden,
                Place::EnvList => Place::EnvItem,
                _ if flag.is_some_and(announces_secret) => Place::AfterFlag,
                _ => Place::Ordinary,
            };
            self.flatten(item, &format!("{path}[{label}]"), place, fields);
        }
    }
}

/// Where in the template a value stands, as far as it decides whether the value may be shown.
#[derive(Clone, Copy)]
enum Place<'a> {
    Ordinary,
    EnvList,
    EnvItem,
    EnvLiteral(&'a str),
    /// Behind a word such as `--master_key`.
    AfterFlag,
    /// In what a Secret or a ConfigMap holds.
    Hidden,
}

/// An image reference; one that no registry could have is replaced by a word that tells no
/// version, which every rule treats as *cannot be told*.
pub(super) fn image(raw: &str) -> Image {
    raw.parse()
        .or_else(|_| "unreadable-image-reference".parse())
        .unwrap_or_else(|why: crate::domain::name::BadName| unreachable!("a literal image: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reader() -> Reader {
        Reader { gate: Gate::default(), key: Arc::new([7; 32]) }
    }

    fn template(key: &str) -> Value {
        json!({
            "metadata": {"creationTimestamp": null, "labels": {"app": "litellm", "pod-template-hash": "abc"}},
            "spec": {
                "initContainers": [{"name": "wait", "image": "busybox:1", "command": ["sh", "-c", "true"]}],
                "containers": [{
                    "name": "litellm",
                    "image": "ghcr.io/berriai/litellm:v1.83.10",
                    "args": ["--config", "/app/config.yaml"],
                    "env": [
                        {"name": "DISABLE_SCHEMA_UPDATE", "value": "false"},
                        {"name": "DISABLE_SCHEMA_UPDATE", "value": "true"},
                        {"name": "LITELLM_SALT_KEY", "value": key},
                        {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
                    ],
                    "envFrom": [{"secretRef": {"name": "keys"}}],
                    "ports": [{"containerPort": 4000}],
                }],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            },
        })
    }

    #[test]
    fn every_field_has_a_path_and_values_of_variables_are_hidden() {
        let read = reader().template(&normalized(template("salt-one-value")));
        let paths: Vec<&str> = read.fields.keys().map(Clean::as_str).collect();
        for path in [
            "metadata.labels.app",
            "spec.containers[litellm].args[1]",
            "spec.containers[litellm].env[DISABLE_SCHEMA_UPDATE].value",
            "spec.containers[litellm].env[DISABLE_SCHEMA_UPDATE#1].value",
            "spec.containers[litellm].image",
            "spec.containers[litellm].ports[0].containerPort",
            "spec.initContainers[wait].command[2]",
            "spec.volumes[tmp].emptyDir",
        ] {
            assert!(paths.contains(&path), "{path} is not in {paths:#?}");
        }
        assert!(!paths.iter().any(|path| path.contains("pod-template-hash") || path.contains("creationTimestamp")));
        assert!(!serde_json::to_string(&read).unwrap().contains("salt-one-value"));
        let main = read.main().unwrap();
        assert!(
            matches!(main.variable("DISABLE_SCHEMA_UPDATE"), Some(EnvValue::Literal(Field::Shown(v))) if v.as_str() == "true")
        );
        assert!(
            matches!(main.variable("DATABASE_URL"), Some(EnvValue::From(from)) if from.as_str() == "secret db key url")
        );
        assert_eq!(main.env_from, [Clean::ours("secret keys")]);
        assert!(read.containers[0].init);
    }

    #[test]
    fn two_secrets_differ_though_neither_is_shown() {
        let [one, two] = ["salt-one-value", "salt-two-value"].map(|key| reader().template(&normalized(template(key))));
        let changed: Vec<_> = one.diff(&two).into_iter().map(|change| change.path.to_string()).collect();
        assert_eq!(changed, ["spec.containers[litellm].env[LITELLM_SALT_KEY].value"]);
        let masked =
            |token: &str| reader().template(&json!({"metadata": {"annotations": {"note": format!("Bearer {token}")}}}));
        assert_eq!(masked("abcdef123").diff(&masked("abcdef456")).len(), 1, "a masked value must not hide a change");
    }

    #[test]
    fn what_follows_a_telling_flag_is_hidden() {
        let words = ["--master_key", "hunter2hunter2", "--port", "4000"];
        let read = reader().template(&json!({"spec": {"containers": [{"name": "x", "args": words}]}}));
        let shown: Vec<&str> = read.containers[0].words.iter().map(Clean::as_str).collect();
        assert_eq!(shown, ["--master_key", "[masked]", "--port", "4000"]);
        assert!(!format!("{read:?}{}", serde_json::to_string(&read).unwrap()).contains("hunter2"));
    }

    #[test]
    fn an_impossible_image_tells_no_version() {
        assert_eq!(image("bad image\u{1b}").version(), None);
    }
}
