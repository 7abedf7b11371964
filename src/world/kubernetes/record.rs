//! One record of a Helm release, out of its wrapping (Helm `pkg/storage/driver/util.go`): base64,
//! gzip and JSON, or plain JSON as old versions wrote it.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::references::Restored;
use super::template::{Reader, normalized};
use crate::domain::cluster::WorkloadRef;
use crate::domain::coupled::{Source, SourceKind};
use crate::domain::name::Name;
use crate::domain::release::{
    ApplyMethod, Chart, Hook, ManifestObject, ObjectKey, Release, ReleaseRevision, ReleaseStatus,
};
use crate::domain::workload::Template;
use crate::text::{Clean, Secret};

/// The first bytes of gzip data.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
/// The largest record that is unpacked, in bytes: a Secret holds 1 MiB, and charts are mostly text.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The JSON in a record: what Kubernetes hands out of `data.release`, with one base64 less.
pub(super) fn unwrapped(data: &[u8]) -> Result<Value, Clean> {
    let packed = STANDARD.decode(data.trim_ascii()).map_err(|_| Clean::ours("it is not base64"))?;
    let json = if packed.starts_with(&GZIP) {
        let mut json = Vec::new();
        let mut unpacked = flate2::read::GzDecoder::new(packed.as_slice()).take(LARGEST + 1);
        unpacked.read_to_end(&mut json).map_err(|_| Clean::ours("its gzip data is damaged"))?;
        if json.len() as u64 > LARGEST {
            return Err(say!("it is larger than {} bytes", LARGEST));
        }
        json
    } else {
        packed
    };
    serde_json::from_slice(&json).map_err(|why| say!("it is not JSON: line {}, column {}", why.line(), why.column()))
}

/// The record that this JSON is. Everything that a rollback is judged on must be readable.
pub(super) fn release(reader: &Reader, record: &Value) -> Result<Release, Clean> {
    let text = |value: &Value| reader.gate.clean(value.as_str().unwrap_or_default());
    let name =
        record["name"].as_str().unwrap_or_default().parse().map_err(|_| Clean::ours("it has no release name"))?;
    let namespace: Name =
        record["namespace"].as_str().unwrap_or_default().parse().map_err(|_| Clean::ours("it has no namespace"))?;
    let number = record["version"].as_u64().and_then(ReleaseRevision::new);
    let (info, metadata) = (&record["info"], &record["chart"]["metadata"]);
    Ok(Release {
        name,
        revision: number.ok_or(Clean::ours("it has no version"))?,
        status: ReleaseStatus::of(&text(&info["status"])),
        description: text(&info["description"]),
        deployed_at: time(&info["last_deployed"]).or_else(|| time(&info["first_deployed"])),
        chart: Chart {
            name: text(&metadata["name"]),
            version: text(&metadata["version"]),
            app_version: text(&metadata["appVersion"]),
        },
        apply: match record["apply_method"].as_str() {
            None | Some("" | "csa") => ApplyMethod::ClientSide,
            Some("ssa") => ApplyMethod::ServerSide,
            Some(other) => ApplyMethod::Unknown(reader.gate.clean(other)),
        },
        values: reader.values(&record["config"]),
        objects: objects(reader, &namespace, record["manifest"].as_str().unwrap_or_default())?,
        hooks: record["hooks"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| hook(reader, one))
            .collect::<Result<_, _>>()?,
        unserved: None,
        namespace,
    })
}

/// A time that may be absent or the empty text, as old releases have it.
fn time(value: &Value) -> Option<Timestamp> {
    let at: Timestamp = value.as_str()?.parse().ok()?;
    // Go's zero time stands for no time.
    (at.as_second() > 0).then_some(at)
}

/// The documents of a manifest that hold something.
fn documents(manifest: &str) -> Result<Vec<Value>, Clean> {
    let mut parts = vec![String::new()];
    for line in manifest.lines() {
        match line.strip_prefix("---") {
            Some(rest) if rest.is_empty() || rest.starts_with([' ', '\t']) => parts.push(String::new()),
            _ => {
                if let Some(part) = parts.last_mut() {
                    part.push_str(line);
                    part.push('\n');
                }
            }
        }
    }
    let mut read = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let empty = part.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if empty {
            continue;
        }
        let value: Value = serde_saphyr::from_str(part)
            .map_err(|_| say!("document {} of its manifest is not YAML that can be read", number))?;
        read.push(value);
    }
    Ok(read.into_iter().filter(|value| !value.is_null()).collect())
}

/// What a rollback to a record writes: the raw pod template of a Deployment, and the ConfigMaps and
/// Secrets of its namespace with their text data.
pub(super) fn written(reader: &Reader, record: &Value, workload: &WorkloadRef) -> Result<(Value, Restored), Clean> {
    let home = record["namespace"].as_str().unwrap_or_default();
    let mut template = None;
    let mut restored = Restored::new();
    for object in flat(documents(record["manifest"].as_str().unwrap_or_default())?) {
        learn(reader, &object);
        let (kind, metadata) = (object["kind"].as_str().unwrap_or_default(), &object["metadata"]);
        let ours = metadata["namespace"].as_str().unwrap_or(home) == workload.namespace.as_str();
        let Ok(name) = metadata["name"].as_str().unwrap_or_default().parse::<Name>() else { continue };
        match kind {
            _ if !ours => {}
            "Deployment" if name == workload.name => template = Some(normalized(object["spec"]["template"].clone())),
            "ConfigMap" => {
                restored.insert(Source { kind: SourceKind::ConfigMap, name }, texts(&object, "data").collect());
            }
            "Secret" => {
                let data = packed_texts(&object).chain(texts(&object, "stringData")).collect();
                restored.insert(Source { kind: SourceKind::Secret, name }, data);
            }
            _ => {}
        }
    }
    Ok((template.ok_or_else(|| say!("its manifest has no {}", workload))?, restored))
}

/// The texts of a map in an object.
fn texts<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = (String, String)> + use<'a> {
    let all = object[key].as_object().into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
}

/// The values of a Secret's `data` that are text.
fn packed_texts(object: &Value) -> impl Iterator<Item = (String, String)> + use<'_> {
    texts(object, "data")
        .filter_map(|(key, packed)| Some((key, String::from_utf8(STANDARD.decode(packed.trim()).ok()?).ok()?)))
}

/// The documents with lists taken apart.
fn flat(documents: Vec<Value>) -> Vec<Value> {
    let mut all = Vec::new();
    for mut document in documents {
        let list = document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match document.get_mut("items").and_then(Value::as_array_mut).filter(|_| list) {
            Some(items) => all.append(items),
            None => all.push(document),
        }
    }
    all
}

fn objects(reader: &Reader, namespace: &Name, manifest: &str) -> Result<Vec<ManifestObject>, Clean> {
    Ok(flat(documents(manifest)?).iter().map(|document| object(reader, namespace, document)).collect())
}

fn object(reader: &Reader, namespace: &Name, object: &Value) -> ManifestObject {
    learn(reader, object);
    ManifestObject {
        key: key(reader, namespace, object),
        api_version: reader.gate.clean(object["apiVersion"].as_str().unwrap_or_default()),
        keep: kept(object),
        replicas: object["spec"]["replicas"].as_u64().and_then(|count| u32::try_from(count).ok()),
        template: template(reader, object),
        fields: reader.object(object),
    }
}

/// Which object of a release in this namespace it is.
pub(super) fn key(reader: &Reader, namespace: &Name, object: &Value) -> ObjectKey {
    let text = |value: &Value| reader.gate.clean(value.as_str().unwrap_or_default());
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let metadata = &object["metadata"];
    let elsewhere = metadata["namespace"].as_str().filter(|name| *name != namespace.as_str());
    ObjectKey {
        group: reader.gate.clean(group),
        kind: text(&object["kind"]),
        namespace: elsewhere.map(|name| reader.gate.clean(name)),
        name: text(&metadata["name"]),
    }
}

/// `helm.sh/resource-policy: keep`: Helm never deletes it.
pub(super) fn kept(object: &Value) -> bool {
    let policy = &object["metadata"]["annotations"]["helm.sh/resource-policy"];
    policy.as_str().is_some_and(|policy| policy.trim() == "keep")
}

/// What a record sends, word for word: for the API server alone.
pub(super) struct Raw {
    pub(super) apply: ApplyMethod,
    pub(super) namespace: Name,
    pub(super) objects: Vec<Value>,
    /// The hooks that run at a rollback.
    pub(super) hooks: Vec<Value>,
}

/// The objects and hooks of a record, word for word. The gate learns its secrets first.
pub(super) fn raw(reader: &Reader, record: &Value) -> Result<Raw, Clean> {
    let read = release(reader, record)?;
    let mut hooks = Vec::new();
    for one in record["hooks"].as_array().into_iter().flatten() {
        if hook(reader, one)?.at_rollback() {
            hooks.extend(flat(documents(one["manifest"].as_str().unwrap_or_default())?));
        }
    }
    let objects = flat(documents(record["manifest"].as_str().unwrap_or_default())?);
    Ok(Raw { apply: read.apply, namespace: read.namespace, objects, hooks })
}

/// What a Secret of a manifest holds may come back in anything that Helm or the server says.
fn learn(reader: &Reader, object: &Value) {
    if object["kind"].as_str() != Some("Secret") {
        return;
    }
    let values = texts(object, "stringData").chain(packed_texts(object)).map(|(_, value)| value);
    for value in values.filter(|value| !value.is_empty()) {
        reader.gate.learn(&Secret::new(value));
    }
}

/// The pod template of the kinds that have one.
fn template(reader: &Reader, object: &Value) -> Option<Template> {
    let template = match object["kind"].as_str()? {
        "Pod" => object,
        "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"],
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => &object["spec"]["template"],
        _ => return None,
    };
    template.is_object().then(|| reader.template(&normalized(template.clone())))
}

fn hook(reader: &Reader, hook: &Value) -> Result<Hook, Clean> {
    let text = |value: &Value| reader.gate.clean(value.as_str().unwrap_or_default());
    let objects = documents(hook["manifest"].as_str().unwrap_or_default())?;
    Ok(Hook {
        name: text(&hook["name"]),
        kind: text(&hook["kind"]),
        events: hook["events"].as_array().into_iter().flatten().map(text).collect(),
        template: objects.first().and_then(|object| template(reader, object)),
    })
}

#[cfg(test)]
#[path = "../../../tests/support/helm_records.rs"]
mod helm_records;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use serde_json::json;

    use super::helm_records::Written;
    use super::*;
    use crate::domain::cluster::Field;
    use crate::text::Gate;

    fn reader() -> Reader {
        Reader { gate: Gate::default(), key: Arc::new([7; 32]) }
    }

    fn packed(json: &[u8], gzip: bool) -> Vec<u8> {
        let bytes = if gzip {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            packer.write_all(json).unwrap();
            packer.finish().unwrap()
        } else {
            json.to_vec()
        };
        STANDARD.encode(bytes).into_bytes()
    }

    const MANIFEST: &str = "---\n# Source: litellm-helm/templates/secret.yaml\napiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\nstringData:\n  masterkey: sk-of-the-manifest-1234\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: litellm\n  annotations:\n    \"helm.sh/resource-policy\": keep\nspec:\n  replicas: 3\n  template:\n    spec:\n      containers:\n        - name: litellm\n          image: \"ghcr.io/berriai/litellm:v1.81.0\"\n          env:\n            - name: DISABLE_SCHEMA_UPDATE\n              value: \"true\"\n            - name: LITELLM_SALT_KEY\n              value: salt-in-the-manifest\n---\n# nothing\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: litellm-migrations}\nspec: {template: {spec: {containers: [{name: prisma-migrations, image: 'ghcr.io/berriai/litellm:v1.81.0'}]}}}\n";

    fn record() -> Value {
        json!({
            "name": "litellm", "namespace": "llm", "version": 5,
            "info": {"first_deployed": "", "last_deployed": "2026-05-01T10:00:00.123456789Z", "deleted": "",
                "description": "Upgrade complete", "status": "superseded", "notes": "hello"},
            "chart": {"metadata": {"name": "litellm-helm", "version": "1.2.3", "appVersion": "v1.81.0"}},
            "config": {"image": {"tag": "v1.81.0"}, "masterkey": "sk-of-the-values-1234", "replicaCount": 3,
                "envVars": {"DISABLE_SCHEMA_UPDATE": "true", "SOME_PASSWORD": "1234"}},
            "manifest": MANIFEST,
            "hooks": [{"name": "check", "kind": "Job", "events": ["pre-rollback"], "manifest": "kind: Job\nspec: {template: {spec: {containers: [{name: a, image: 'b:1'}]}}}"}],
        })
    }

    #[test]
    fn records_are_read_in_every_wrapping() {
        let json = serde_json::to_vec(&record()).unwrap();
        for gzip in [true, false] {
            assert_eq!(unwrapped(&packed(&json, gzip)).unwrap(), record(), "gzip {gzip}");
        }
        assert!(unwrapped(b"not base64 at all!").is_err());
        assert!(unwrapped(&packed(b"{", true)).is_err());
        let mut cut = STANDARD.decode(packed(&json, true)).unwrap();
        cut.truncate(cut.len() / 2);
        assert!(unwrapped(STANDARD.encode(cut).as_bytes()).is_err());
        // A bomb: far more than a record can be, in a few hundred kilobytes.
        let bomb = packed(&vec![b' '; usize::try_from(LARGEST).unwrap() + 1], true);
        assert!(unwrapped(&bomb).unwrap_err().as_str().contains("larger than"));
    }

    #[test]
    fn a_record_says_what_a_rollback_must_know_and_no_secret() {
        let reader = reader();
        let read = release(&reader, &record()).unwrap();
        assert_eq!((read.revision.get(), read.status.word().as_str()), (5, "superseded"));
        assert_eq!(read.deployed_at.unwrap().to_string(), "2026-05-01T10:00:00.123456789Z");
        assert_eq!(read.apply, ApplyMethod::ClientSide);
        let names: Vec<String> = read.objects.iter().map(|object| object.key.to_string()).collect();
        assert_eq!(names, ["Secret/keys", "Deployment/litellm", "Job/litellm-migrations"]);
        let deployment = &read.objects[1];
        assert_eq!((deployment.replicas, deployment.keep), (Some(3), true));
        let main = deployment.template.as_ref().unwrap().main().unwrap();
        assert_eq!(main.image.as_str(), "ghcr.io/berriai/litellm:v1.81.0");
        assert!(read.hooks[0].at_rollback());
        assert!(matches!(&read.values[&Clean::ours("image.tag")], Field::Shown(tag) if tag.as_str() == "v1.81.0"));
        assert!(matches!(&read.values[&Clean::ours("replicaCount")], Field::Shown(_)));
        assert!(matches!(&read.values[&Clean::ours("masterkey")], Field::Hidden(_)));
        let all = format!("{read:?}{}", serde_json::to_string(&read).unwrap());
        for secret in ["sk-of-the-manifest", "salt-in-the-manifest", "sk-of-the-values"] {
            assert!(!all.contains(secret), "{secret}");
        }
        assert_eq!(reader.gate.clean("Error: sk-of-the-manifest-1234").as_str(), "Error: [masked]");
    }

    /// The records of both programs, built as they write them (`tests/helm.rs` holds that).
    #[test]
    fn what_either_helm_writes_is_read() {
        let written = |major, apply| Written {
            major,
            name: "litellm".to_owned(),
            namespace: "llm".to_owned(),
            version: 7,
            status: "superseded".to_owned(),
            description: "Rollback to 5".to_owned(),
            deployed: ["2026-05-01T10:00:00.123456789Z", "2026-05-02T11:00:00.5Z"].map(str::to_owned),
            chart: ["litellm-helm", "1.2.3", "v2", "v1.81.0"].map(str::to_owned),
            templates: vec![(
                "templates/all.yaml".to_owned(),
                b"{{ .Values.x }}".to_vec(),
                "2026-05-01T09:00:00Z".to_owned(),
            )],
            values: json!({"replicaCount": 1, "masterkey": "sk-of-the-chart-1234"}),
            modified: "2026-05-01T09:00:00Z".to_owned(),
            config: Some(json!({"replicaCount": 3, "envVars": {"ODD": "a<b&c>\"d"}})),
            manifest: MANIFEST.to_owned(),
            hooks: vec![["check", "Job", "litellm-helm/templates/hook.yaml",
                "kind: Job\nmetadata: {name: check}\nspec: {template: {spec: {containers: [{name: a, image: 'b:1'}]}}}",
                "pre-rollback", "before-hook-creation"].map(str::to_owned)],
            apply,
        };
        for (major, apply, expected) in
            [(3, "", ApplyMethod::ClientSide), (4, "ssa", ApplyMethod::ServerSide), (4, "csa", ApplyMethod::ClientSide)]
        {
            let case = format!("Helm {major} {apply}");
            let reader = reader();
            let record = unwrapped(&written(major, apply).stored()).unwrap();
            let read = release(&reader, &record).unwrap();
            assert_eq!((read.revision.get(), read.apply), (7, expected), "{case}");
            assert_eq!(read.status, ReleaseStatus::Superseded, "{case}");
            assert_eq!(read.description.as_str(), "Rollback to 5", "{case}");
            assert_eq!(read.deployed_at.unwrap().to_string(), "2026-05-02T11:00:00.5Z", "{case}");
            assert_eq!(read.chart.app_version.as_str(), "v1.81.0", "{case}");
            let odd = &read.values[&Clean::ours("envVars.ODD")];
            assert!(!format!("{odd:?}").contains("u003c"), "{case}: {odd:?}");
            assert_eq!(read.objects.len(), 3, "{case}");
            assert!(read.hooks[0].at_rollback() && read.hooks[0].template.is_some(), "{case}");
            let raw = raw(&reader, &record).unwrap();
            assert_eq!((raw.objects.len(), raw.hooks.len()), (3, 1), "{case}");
            assert_eq!(
                raw.objects[0]["stringData"]["masterkey"], "sk-of-the-manifest-1234",
                "{case}: sent word for word"
            );
            assert_eq!(reader.gate.clean("sk-of-the-manifest-1234").as_str(), "[masked]", "{case}");
        }
    }

    #[test]
    fn helm_4_and_unknown_words_are_told() {
        let mut four = record();
        four["apply_method"] = json!("ssa");
        four["info"]["status"] = json!("half-baked");
        four["info"]["last_deployed"] = json!("");
        let read = release(&reader(), &four).unwrap();
        assert_eq!(read.apply, ApplyMethod::ServerSide);
        assert_eq!(read.status, ReleaseStatus::Unknown(Clean::ours("half-baked")));
        assert_eq!(read.deployed_at, None);
        four["version"] = json!(0);
        assert!(release(&reader(), &four).is_err());
        four["version"] = json!(5);
        four["manifest"] = json!("kind: [unfinished\n");
        assert!(release(&reader(), &four).unwrap_err().as_str().contains("manifest"));
    }
}
