//! Records of Helm releases, built byte for byte as versions 3 and 4 write them (`pkg/release`,
//! `pkg/chart`, Go's `encoding/json`). `tests/helm.rs` holds them against what the real programs
//! wrote; other tests read them where there is no such program.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A record as it is going to be written.
pub struct Written {
    /// Which Helm: 3 or 4.
    pub major: u32,
    /// The release.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The revision.
    pub version: u64,
    /// `info.status`
    pub status: String,
    /// `info.description`
    pub description: String,
    /// `info.first_deployed` and `info.last_deployed`
    pub deployed: [String; 2],
    /// `chart.metadata`: name, version, API version, version of what it installs.
    pub chart: [String; 4],
    /// Its templates: path, content, and the time of the file.
    pub templates: Vec<(String, Vec<u8>, String)>,
    /// `chart.values`
    pub values: Value,
    /// `chart.modtime`
    pub modified: String,
    /// The operator's values, where there are any.
    pub config: Option<Value>,
    /// The rendered objects.
    pub manifest: String,
    /// The hooks, none of which ran: name, kind, path, manifest, event, and when they are deleted.
    pub hooks: Vec<[String; 6]>,
    /// How Helm 4 sends it: `ssa` or `csa`.
    pub apply: &'static str,
}

/// A text as Go writes it: `<`, `>` and `&` by their numbers.
fn text(text: &str) -> String {
    escaped(serde_json::to_string(text).unwrap())
}

fn escaped(json: String) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// A map with its keys in order.
fn value(value: &Value) -> String {
    escaped(serde_json::to_string(&sorted(value)).unwrap())
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<_, _> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            Value::Object(map.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

impl Written {
    /// The record.
    pub fn json(&self) -> String {
        let four = self.major == 4;
        let [first, last] = self.deployed.each_ref().map(|at| text(at));
        // Version 3 writes the empty text for a time that there is not.
        let deleted = if four { "" } else { r#""deleted":"","# };
        let info = format!(
            r#"{{"first_deployed":{first},"last_deployed":{last},{deleted}"description":{},"status":{}}}"#,
            text(&self.description),
            text(&self.status)
        );
        let config = self.config.as_ref().map_or(String::new(), |config| format!(r#""config":{},"#, value(config)));
        let hooks = if self.hooks.is_empty() {
            String::new()
        } else {
            format!(r#""hooks":{},"#, list(self.hooks.iter().map(|hook| self.hook(hook))))
        };
        let apply = if four { format!(r#","apply_method":{}"#, text(self.apply)) } else { String::new() };
        format!(
            r#"{{"name":{},"info":{info},"chart":{},{config}"manifest":{},{hooks}"version":{},"namespace":{}{apply}}}"#,
            text(&self.name),
            self.chart(),
            text(&self.manifest),
            self.version,
            text(&self.namespace)
        )
    }

    fn chart(&self) -> String {
        let [name, version, api, app] = self.chart.each_ref().map(|word| text(word));
        let modified = |at: &str| if self.major == 4 { format!(r#","modtime":{}"#, text(at)) } else { String::new() };
        let templates = list(self.templates.iter().map(|(path, content, at)| {
            format!(r#"{{"name":{},"data":"{}"{}}}"#, text(path), STANDARD.encode(content), modified(at))
        }));
        let schema = if self.major == 4 { r#","schemamodtime":"0001-01-01T00:00:00Z""# } else { "" };
        format!(
            r#"{{"metadata":{{"name":{name},"version":{version},"apiVersion":{api},"appVersion":{app}}},"lock":null,"templates":{templates},"values":{},"schema":null{schema},"files":null{}}}"#,
            value(&self.values),
            modified(&self.modified)
        )
    }

    fn hook(&self, hook: &[String; 6]) -> String {
        let [name, kind, path, manifest, event, policy] = hook.each_ref().map(|word| text(word));
        let run = if self.major == 4 { r#"{"phase":""}"# } else { r#"{"started_at":"","completed_at":"","phase":""}"# };
        format!(
            r#"{{"name":{name},"kind":{kind},"path":{path},"manifest":{manifest},"events":[{event}],"last_run":{run},"delete_policies":[{policy}]}}"#
        )
    }

    /// What `data.release` holds once the API's own base64 is off: base64 of gzip.
    pub fn stored(&self) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(self.json().as_bytes()).unwrap();
        STANDARD.encode(packer.finish().unwrap()).into_bytes()
    }
}
