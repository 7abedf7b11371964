//! Which ConfigMaps and Secrets a pod template takes something from, and how. Pure reading of JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::coupled::{Source, SourceKind, Use};
use crate::domain::name::VarName;
use crate::text::{Clean, Gate};

/// What one template takes from one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    pub(super) uses: Vec<Use>,
    /// Keys that must be there for a pod to start.
    pub(super) keys: Vec<String>,
    /// Some use of it does without the object.
    pub(super) optional: bool,
    /// Some use of it needs the object.
    pub(super) needed: bool,
}

/// The ConfigMaps and Secrets that a rollback writes, with their text data: objects of a Helm
/// release's manifest.
pub(super) type Restored = BTreeMap<Source, BTreeMap<String, String>>;

/// Every container of a template with what it mounts, by source.
pub(super) fn references(gate: &Gate, template: &Value) -> BTreeMap<Source, Taken> {
    let mut found = References { gate, found: BTreeMap::new() };
    for container in containers(template) {
        for mount in list(container, "volumeMounts") {
            found.mount(template, mount);
        }
        for variable in list(container, "env") {
            found.variable(variable);
        }
        for whole in list(container, "envFrom") {
            let (kind, reference) = whole_of(whole);
            found.take(kind, &reference["name"], &reference["optional"], None, Use::Variables);
        }
    }
    found.found
}

/// Init containers and ordinary ones.
pub(super) fn containers(template: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|group| list(&template["spec"], group))
}

/// The items of a list; none where there is no list.
pub(super) fn list<'a>(parent: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    parent[key].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// The kind and the reference of an `envFrom` entry.
pub(super) fn whole_of(entry: &Value) -> (SourceKind, &Value) {
    match entry.get("secretRef") {
        Some(secret) => (SourceKind::Secret, secret),
        None => (SourceKind::ConfigMap, &entry["configMapRef"]),
    }
}

/// The volume of a template by name.
pub(super) fn volume<'a>(template: &'a Value, name: &Value) -> Option<&'a Value> {
    list(&template["spec"], "volumes").find(|volume| &volume["name"] == name)
}

/// The sources of a volume: one, or several where it is projected. Each with its kind, its name,
/// and the object that holds `items` and `optional`.
pub(super) fn sources_of(volume: &Value) -> Vec<(SourceKind, &Value, &Value)> {
    let mut found = Vec::new();
    if let Some(map) = volume.get("configMap") {
        found.push((SourceKind::ConfigMap, &map["name"], map));
    }
    if let Some(secret) = volume.get("secret") {
        found.push((SourceKind::Secret, &secret["secretName"], secret));
    }
    for source in list(&volume["projected"], "sources") {
        if let Some(map) = source.get("configMap") {
            found.push((SourceKind::ConfigMap, &map["name"], map));
        }
        if let Some(secret) = source.get("secret") {
            found.push((SourceKind::Secret, &secret["name"], secret));
        }
    }
    found
}

/// The source of a name as it stands in a template; `None` for what cannot be one.
pub(super) fn source(kind: SourceKind, name: &Value) -> Option<Source> {
    Some(Source { kind, name: name.as_str()?.parse().ok()? })
}

struct References<'a> {
    gate: &'a Gate,
    found: BTreeMap<Source, Taken>,
}

impl References<'_> {
    fn mount(&mut self, template: &Value, mount: &Value) {
        let Some(volume) = volume(template, &mount["name"]) else { return };
        let sub_path = mount["subPath"].as_str().or(mount["subPathExpr"].as_str());
        let path = self.gate.clean(mount["mountPath"].as_str().unwrap_or_default());
        let sources = sources_of(volume);
        let single = sources.len() == 1;
        for (kind, name, of) in sources {
            let by = Use::Mounted { path: path.clone(), sub_path: sub_path.is_some() };
            let items: Vec<&str> = list(of, "items").filter_map(|item| item["key"].as_str()).collect();
            for key in &items {
                self.take(kind, name, &of["optional"], Some(key), by.clone());
            }
            if items.is_empty() {
                // Without `items` every key is a file of its name, so the subPath names the key.
                let key = sub_path.filter(|_| single);
                self.take(kind, name, &of["optional"], key, by);
            }
        }
    }

    fn variable(&mut self, variable: &Value) {
        let Ok(name) = variable["name"].as_str().unwrap_or_default().parse::<VarName>() else { return };
        let from = &variable["valueFrom"];
        for (kind, reference) in
            [(SourceKind::Secret, &from["secretKeyRef"]), (SourceKind::ConfigMap, &from["configMapKeyRef"])]
        {
            let key = reference["key"].as_str();
            self.take(kind, &reference["name"], &reference["optional"], key, Use::Variable(name.clone()));
        }
    }

    fn take(&mut self, kind: SourceKind, name: &Value, optional: &Value, key: Option<&str>, by: Use) {
        let Some(source) = source(kind, name) else { return };
        let taken = self.found.entry(source).or_default();
        if optional.as_bool().unwrap_or_default() {
            taken.optional = true;
        } else {
            taken.needed = true;
            taken.keys.extend(key.filter(|key| !taken.keys.iter().any(|known| known == key)).map(str::to_owned));
        }
        if !taken.uses.contains(&by) {
            taken.uses.push(by);
        }
    }
}

/// The arguments after `--config` of the gateway's container, else `CONFIG_FILE_PATH` where it is
/// written in the template.
pub(super) fn config_path(container: &Value) -> Option<&str> {
    let words: Vec<&str> =
        ["command", "args"].iter().flat_map(|group| list(container, group)).filter_map(Value::as_str).collect();
    let flag = words.iter().enumerate().find_map(|(at, word)| match *word {
        "--config" | "-c" if words.get(at + 1).is_some_and(|next| next.starts_with('/')) => words.get(at + 1).copied(),
        word => word.strip_prefix("--config="),
    });
    flag.or_else(|| {
        let named = list(container, "env").filter(|variable| variable["name"] == "CONFIG_FILE_PATH").last()?;
        named["value"].as_str()
    })
}

/// The argument after `--config`, also in one line for a shell. It may be no absolute path.
pub(super) fn config_flag(container: &Value) -> Option<&str> {
    let words = ["command", "args"].iter().flat_map(|group| list(container, group)).filter_map(Value::as_str);
    let words: Vec<&str> = words.flat_map(str::split_whitespace).collect();
    words.iter().enumerate().find_map(|(at, word)| match *word {
        "--config" => Some(words.get(at + 1).copied().unwrap_or_default()),
        // A shell has an option of that name too.
        "-c" => words.get(at + 1).copied().filter(|next| next.ends_with(".yaml") || next.ends_with(".yml")),
        word => word.strip_prefix("--config="),
    })
}

/// Where a file of a container comes from: the source, its key, and whether by `subPath`.
pub(super) fn file<'a>(template: &'a Value, container: &'a Value, path: &'a str) -> Option<(Source, &'a str, bool)> {
    let under = |mount: &&Value| {
        let at = mount["mountPath"].as_str().unwrap_or("/nowhere").trim_end_matches('/');
        path == at || path.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'))
    };
    // The deepest mount hides the ones above it.
    let mount = list(container, "volumeMounts")
        .filter(under)
        .max_by_key(|mount| mount["mountPath"].as_str().map_or(0, str::len))?;
    let at = mount["mountPath"].as_str()?.trim_end_matches('/');
    let inside = path.strip_prefix(at)?.trim_start_matches('/');
    let sub_path = mount["subPath"].as_str();
    let wanted = match (sub_path, inside) {
        (Some(sub_path), "") => sub_path,
        (Some(_), _) => return None,
        (None, inside) => inside,
    };
    let volume = volume(template, &mount["name"])?;
    sources_of(volume).into_iter().find_map(|(kind, name, of)| {
        let item = list(of, "items").find(|item| item["path"] == wanted);
        let key = match item {
            Some(item) => item["key"].as_str()?,
            None if list(of, "items").next().is_none() => wanted,
            None => return None,
        };
        Some((source(kind, name)?, key, sub_path.is_some()))
    })
}

/// The words that tell a person where a variable's value comes from.
pub(super) fn place(gate: &Gate, variable: &str, source: &Source, key: &str) -> Clean {
    say!("{} from {} key {}", gate.clean(variable), source, gate.clean(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> Value {
        json!({"spec": {
            "initContainers": [{"name": "wait", "env": [
                {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}],
            "containers": [{
                "name": "litellm",
                "args": ["--port", "4000", "--config", "/app/config.yaml"],
                "env": [
                    {"name": "LITELLM_SALT_KEY", "valueFrom": {"secretKeyRef": {"name": "salt", "key": "key", "optional": true}}},
                    {"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "region"}}},
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "envFrom": [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "settings"}}],
                "volumeMounts": [
                    {"name": "config", "mountPath": "/app/config.yaml", "subPath": "config.yaml"},
                    {"name": "all", "mountPath": "/etc/all/"},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
            }],
            "volumes": [
                {"name": "config", "configMap": {"name": "gateway-config", "items": [{"key": "proxy.yaml", "path": "config.yaml"}]}},
                {"name": "all", "projected": {"sources": [
                    {"configMap": {"name": "settings"}}, {"secret": {"name": "tls", "items": [{"key": "crt", "path": "a/tls.crt"}]}}]}},
                {"name": "tmp", "emptyDir": {}},
            ],
        }})
    }

    #[test]
    fn every_way_to_take_from_a_source_is_found() {
        let found = references(&Gate::default(), &template());
        let told: Vec<String> = found
            .iter()
            .map(|(source, taken)| {
                let uses: Vec<String> = taken.uses.iter().map(|by| by.words().to_string()).collect();
                format!("{source} {:?} {} {}", taken.keys, taken.needed, uses.join(", "))
            })
            .collect();
        assert_eq!(
            told,
            [
                "configmap/gateway-config [\"proxy.yaml\"] true mounted at /app/config.yaml by subPath",
                "configmap/settings [\"region\"] true mounted at /etc/all/, as variable REGION, as variables (envFrom)",
                "secret/db [\"password\"] true as variable PGPASSWORD",
                "secret/keys [] true as variables (envFrom)",
                "secret/salt [] false as variable LITELLM_SALT_KEY",
                "secret/tls [\"crt\"] true mounted at /etc/all/",
            ]
        );
    }

    #[test]
    fn files_lead_to_their_keys() {
        let template = template();
        let container = &template["spec"]["containers"][0];
        let lies = |path| file(&template, container, path).map(|(from, key, by)| format!("{from} {key} {by}"));
        let rows = [
            ("/app/config.yaml", Some("configmap/gateway-config proxy.yaml true")),
            ("/app/config.yaml.bak", None),
            ("/etc/all/region", Some("configmap/settings region false")),
            ("/etc/all/a/tls.crt", Some("configmap/settings a/tls.crt false")),
            ("/tmp/config.yaml", None),
            ("/elsewhere", None),
        ];
        for (path, expected) in rows {
            assert_eq!(lies(path).as_deref(), expected, "{path}");
        }
        assert_eq!(config_path(container), Some("/app/config.yaml"));
        let other = |args: Value, env: Value| json!({"args": args, "env": env});
        assert_eq!(config_path(&other(json!(["--config=/a.yaml"]), json!([]))), Some("/a.yaml"));
        let by_variable = other(json!(["-c"]), json!([{"name": "CONFIG_FILE_PATH", "value": "/b.yaml"}]));
        assert_eq!(config_path(&by_variable), Some("/b.yaml"));
        assert_eq!(config_path(&other(json!([]), json!([]))), None);
        let rows = [
            (json!(["--config", "/a.yaml"]), Some("/a.yaml")),
            (json!(["--config=a.yaml"]), Some("a.yaml")),
            (json!(["-c", "a.yml", "--port", "1"]), Some("a.yml")),
            (json!(["sh", "-c", "exec litellm --config /a.yaml --port 1"]), Some("/a.yaml")),
            (json!(["--config"]), Some("")),
            (json!(["sh", "-c", "exec litellm"]), None),
            (json!([]), None),
        ];
        for (args, expected) in rows {
            // The variable comes too late for the migrations.
            let container = other(args.clone(), json!([{"name": "CONFIG_FILE_PATH", "value": "/b.yaml"}]));
            assert_eq!(config_flag(&container), expected, "{args}");
        }
    }
}
