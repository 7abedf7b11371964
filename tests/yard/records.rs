//! The records that other tests build, held against what the real programs write.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::helm_records::Written;
use crate::{NEW, Yard, chart};

/// An installation, an upgrade with values and a hook, a rollback: each byte.
pub async fn records_are_built_as_helm_writes_them(yard: Yard) {
    yard.roll("install", &[]).await;
    let odd = "envVars.ODD=a<b&c>\"d";
    yard.roll("upgrade", &[&format!("image.tag={NEW}"), "rollbackHook=busybox:1", odd]).await;
    yard.roll_back(1).await.unwrap();
    for version in 1..=3 {
        let real = stored(&yard, version).await;
        let read: Value = serde_json::from_str(&real).unwrap();
        assert_eq!(built(&yard, &read).json(), real, "Helm {}, revision {version}", yard.major);
    }
}

async fn stored(yard: &Yard, version: u64) -> String {
    let path = format!("/api/v1/namespaces/{}/secrets/sh.helm.release.v1.gw.v{version}", yard.namespace);
    let secret = yard.get(&path).await;
    let twice = STANDARD.decode(secret["data"]["release"].as_str().unwrap()).unwrap();
    let packed = STANDARD.decode(twice).unwrap();
    let mut json = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut json).unwrap();
    json
}

/// The same record, with what only the program can know taken over: times, and what it rendered.
fn built(yard: &Yard, real: &Value) -> Written {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (info, of) = (&real["info"], &real["chart"]);
    let templates = of["templates"].as_array().unwrap().iter().map(|template| {
        let path = text(&template["name"]);
        let content = std::fs::read(chart().join(&path)).unwrap();
        (path, content, text(&template["modtime"]))
    });
    let values = std::fs::read_to_string(chart().join("values.yaml")).unwrap();
    let hook = |hook: &Value| {
        let [name, kind, path, manifest] = ["name", "kind", "path", "manifest"].map(|key| text(&hook[key]));
        [name, kind, path, manifest, text(&hook["events"][0]), text(&hook["delete_policies"][0])]
    };
    Written {
        major: yard.major,
        name: "gw".to_owned(),
        namespace: yard.namespace.to_owned(),
        version: real["version"].as_u64().unwrap(),
        status: text(&info["status"]),
        description: text(&info["description"]),
        deployed: ["first_deployed", "last_deployed"].map(|key| text(&info[key])),
        chart: ["gateway", "1.0.0", "v2", "v1.81.0"].map(str::to_owned),
        templates: templates.collect(),
        values: serde_saphyr::from_str(&values).unwrap(),
        modified: text(&of["modtime"]),
        config: real.get("config").cloned(),
        manifest: text(&real["manifest"]),
        hooks: real["hooks"].as_array().into_iter().flatten().map(hook).collect(),
        apply: "ssa",
    }
}
