//! Changing a Deployment: what would come of a change, and applying exactly that.
//!
//! The patch is a JSON patch that tests UID, generation and the image that is to go, and then
//! replaces the pod template. It is better than `kubectl rollout undo`, which tests nothing and
//! replaces the annotations too (kubectl `polymorphichelpers/rollback.go`). A Deployment's
//! generation grows with its spec and with its annotations (seen on API server 1.33), so the
//! change cause travels in the same patch.

use std::time::Duration;

use http_body_util::BodyExt as _;
use json_patch::PatchOperation;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, Patch, PatchParams};
use kube::client::Body;
use kube::core::{Request, Resource as _, Status};
use serde_json::{Value, json};

use super::objects::{self, Deployed};
use super::template::normalized;
use super::{Link, connect, errors, salt};
use crate::domain::change::{Applied, Change, ChangeKind, Cleared, Preview, RESTARTED_AT};
use crate::domain::cluster::WorkloadRef;
use crate::domain::forecast::{DISABLE_SCHEMA_UPDATE, gateway_containers};
use crate::domain::name::Name;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::{MigrationJob, Template};
use crate::text::{Clean, Secret};

/// Under which name the API server records our changes.
const MANAGER: &str = "lastgood";
/// How long the API server may take to answer a patch that really changes something: longer than
/// other requests, because giving up leaves everybody in doubt.
const PATCH_LIMIT: Duration = Duration::from_secs(30);

/// Asks the server what would come of a change.
pub(super) async fn preview(link: &Link, change: Change) -> Result<Preview, Trouble> {
    let plan = plan(link, &change).await?;
    let (dry_run, jobs) = tokio::join!(plan.dry_run(link), migration_jobs(link, &change.workload, &plan.live));
    let outcome = dry_run?;
    let diff = plan.live.template.diff(&outcome.template);
    Ok(Preview { change, template: outcome.template, diff, warnings: outcome.warnings, jobs })
}

/// Applies a cleared change: the same computation and the same dry run again, and the real patch
/// only when the template that would result is the one that was judged.
pub(super) async fn apply(link: &Link, cleared: Cleared) -> Result<Applied, Trouble> {
    let change = cleared.change();
    let plan = plan(link, change).await?;
    let dry_run = plan.dry_run(link).await?;
    if dry_run.template.switch != cleared.template().switch {
        return Err(changed(
            &change.workload,
            &Clean::ours("what its configuration file says about the schema is not what was judged"),
        ));
    }
    if &dry_run.template != cleared.template() {
        let paths = cleared.template().diff(&dry_run.template).len();
        return Err(changed(
            &change.workload,
            &say!("the template that would result differs in {} places from the one that was cleared", paths),
        ));
    }
    let outcome = plan.send(link).await?;
    let surprise = if outcome.template.fields == dry_run.template.fields {
        Clean::default()
    } else {
        Clean::ours("; the server stored another template than its dry run showed, so look at the diff")
    };
    let words = say!("{} is patched and has generation {}{}", change.workload, outcome.generation, surprise);
    Ok(Applied { generation: outcome.generation, words })
}

fn changed(workload: &WorkloadRef, why: &Clean) -> Trouble {
    Trouble::new(TroubleKind::Changed, say!("{} was not changed: {}", workload, why))
        .remedy(Clean::ours("look at it again and plan again"))
}

fn refused(workload: &WorkloadRef, why: &Clean, remedy: Clean) -> Trouble {
    Trouble::new(TroubleKind::Refused, say!("{} was not changed: {}", workload, why)).remedy(remedy)
}

/// A change worked out against the live object.
struct Plan<'a> {
    change: &'a Change,
    live: Deployed,
    patch: Vec<PatchOperation>,
}

/// What the server made of a patch.
struct Outcome {
    template: Template,
    /// The template as the server has it.
    raw: Value,
    generation: i64,
    warnings: Vec<Clean>,
}

async fn plan<'a>(link: &Link, change: &'a Change) -> Result<Plan<'a>, Trouble> {
    let live = link.deployment(&change.workload).await?;
    check(change, &live)?;
    let target = target(link, change, &live).await?;
    if target == live.raw {
        return Err(refused(
            &change.workload,
            &Clean::ours("there is nothing to do, the template is that one already"),
            Clean::ours("choose another revision, or restart the pods"),
        ));
    }
    let patch = operations(change, &live, target)?;
    Ok(Plan { change, live, patch })
}

/// Nothing may have changed since the change was planned, and nobody else may own the object.
fn check(change: &Change, live: &Deployed) -> Result<(), Trouble> {
    let workload = &change.workload;
    if live.uid != change.uid {
        return Err(changed(workload, &Clean::ours("it was deleted and created again since the change was planned")));
    }
    if live.numbers.generation != change.generation {
        let (now, then) = (live.numbers.generation, change.generation);
        return Err(changed(
            workload,
            &say!("it is at generation {} now, and the change was planned on {}", now, then),
        ));
    }
    let image = live.template.main().map(|container| &container.image);
    if image != change.from_image.as_ref() {
        return Err(changed(workload, &Clean::ours("it runs another image than when the change was planned")));
    }
    if let Some((why, remedy)) = change.forbidden_by(&live.owner) {
        return Err(refused(workload, &why, remedy));
    }
    if live.paused {
        let resume = say!("kubectl -n {} rollout resume {}", workload.namespace, workload);
        return Err(refused(workload, &Clean::ours("it is paused"), say!("resume it first: {}", resume)));
    }
    Ok(())
}

/// The template that the change asks for.
async fn target(link: &Link, change: &Change, live: &Deployed) -> Result<Value, Trouble> {
    let workload = &change.workload;
    let mut target = live.raw.clone();
    match &change.kind {
        ChangeKind::Revert { to, revision } => {
            let sets = link.replica_sets(workload, live).await?;
            let set = sets.into_iter().find(|set| &set.uid == to).ok_or_else(|| {
                Trouble::new(
                    TroubleKind::NotFound,
                    say!("revision {} of {} is gone: its ReplicaSet was deleted", revision, workload),
                )
                .remedy(Clean::ours("choose another revision; revisionHistoryLimit decides how many are kept"))
            })?;
            target = set.raw;
        }
        ChangeKind::SetImage { container, image } => {
            let found = container_mut(&mut target, container).ok_or_else(|| no_container(workload, container))?;
            found["image"] = json!(image.as_str());
        }
        ChangeKind::SetVariable { container, name, value } => {
            let found = container_mut(&mut target, container).ok_or_else(|| no_container(workload, container))?;
            set_variable(found, name.as_str(), value.as_ref().map(Secret::expose));
        }
        ChangeKind::Restart { at } => {
            let metadata = object_at(&mut target, "metadata");
            object_at(metadata, "annotations")[RESTARTED_AT] = json!(at.to_string());
        }
    }
    if change.protect {
        let template = link.reader.template(&target);
        for container in gateway_containers(&template) {
            if let Some(found) = container_mut(&mut target, &container.name) {
                set_variable(found, DISABLE_SCHEMA_UPDATE, Some("true"));
            }
        }
    }
    Ok(target)
}

fn no_container(workload: &WorkloadRef, container: &Name) -> Trouble {
    Trouble::new(TroubleKind::NotFound, say!("{} has no container {}", workload, container))
        .remedy(Clean::ours("name one of its containers"))
}

fn container_mut<'a>(template: &'a mut Value, name: &Name) -> Option<&'a mut Value> {
    let spec = template.get_mut("spec")?.as_object_mut()?;
    spec.iter_mut()
        .filter(|(list, _)| matches!(list.as_str(), "containers" | "initContainers"))
        .filter_map(|(_, items)| items.as_array_mut())
        .flatten()
        .find(|item| item["name"] == name.as_str())
}

/// The object under a key, made when it is not there.
fn object_at<'a>(parent: &'a mut Value, key: &str) -> &'a mut Value {
    let child = &mut parent[key];
    if !child.is_object() {
        *child = json!({});
    }
    child
}

/// Sets a variable where its first entry stands, or at the end, and removes every other entry of
/// that name: the last one wins in Kubernetes, so one left behind could undo what was set.
fn set_variable(container: &mut Value, name: &str, value: Option<&str>) {
    let entries = container.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
    let at = entries.iter().position(|entry| entry["name"] == name).unwrap_or(entries.len());
    let mut kept: Vec<Value> = entries.into_iter().filter(|entry| entry["name"] != name).collect();
    if let Some(value) = value {
        kept.insert(at.min(kept.len()), json!({"name": name, "value": value}));
    }
    if kept.is_empty() {
        container.as_object_mut().map(|container| container.remove("env"));
    } else {
        container["env"] = Value::Array(kept);
    }
}

/// The tests, then the replacement, then why, where `kubectl rollout history` shows it.
fn operations(change: &Change, live: &Deployed, target: Value) -> Result<Vec<PatchOperation>, Trouble> {
    let mut operations = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": change.uid.as_str()}),
        json!({"op": "test", "path": "/metadata/generation", "value": change.generation}),
    ];
    if let Some(image) = &change.from_image {
        let main = live.template.main().map(|container| container.name.as_str());
        let containers = live.raw["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let index = containers.iter().position(|container| container["name"].as_str() == main).unwrap_or_default();
        let path = format!("/spec/template/spec/containers/{index}/image");
        operations.push(json!({"op": "test", "path": path, "value": image.as_str()}));
    }
    operations.push(json!({"op": "replace", "path": "/spec/template", "value": target}));
    // In the same patch: a change of a Deployment's annotations counts as a generation of its own.
    let cause = say!("lastgood: {}", change.sentence());
    operations.push(if live.annotated {
        let path = format!("/metadata/annotations/{}", objects::CHANGE_CAUSE.replace('/', "~1"));
        json!({"op": "add", "path": path, "value": cause})
    } else {
        json!({"op": "add", "path": "/metadata/annotations", "value": {objects::CHANGE_CAUSE: cause}})
    });
    serde_json::from_value(Value::Array(operations)).map_err(|_| {
        Trouble::new(TroubleKind::Invalid, say!("{} was not changed: its template cannot be patched", change.workload))
    })
}

impl Plan<'_> {
    async fn dry_run(&self, link: &Link) -> Result<Outcome, Trouble> {
        let attempt = say!("try the change of {} without applying it", self.change.workload);
        match self.post(link, true, connect::READ_TIMEOUT).await {
            Ok(mut outcome) => {
                // Judged with the template, and compared with it before the real patch is sent.
                outcome.template.switch = salt::switch(link, &self.change.workload.namespace, &outcome.raw).await;
                Ok(outcome)
            }
            Err(Failed::TimedOut) => Err(errors::timed_out(&attempt, connect::READ_TIMEOUT)),
            Err(Failed::Answered(status)) => Err(self.refusal(link, &attempt, &status).await),
            Err(Failed::Broken(why)) => Err(errors::trouble(link.gate(), &attempt, &why)),
            Err(Failed::Unreadable) => Err(Trouble::new(
                TroubleKind::Unreachable,
                say!("could not {}: the answer is not the API server's", attempt),
            )),
        }
    }

    /// Sends the patch, once. What did not come back with a clear answer is unknown.
    async fn send(&self, link: &Link) -> Result<Outcome, Trouble> {
        let workload = &self.change.workload;
        let attempt = say!("change {}", workload);
        let unknown = |why: Clean| {
            Trouble::new(TroubleKind::Unknown, say!("nobody knows whether {} was changed: {}", workload, why))
                .remedy(Clean::ours("look at its generation and its template before anything else"))
        };
        match self.post(link, false, PATCH_LIMIT).await {
            Ok(outcome) => Ok(outcome),
            Err(Failed::TimedOut) => Err(unknown(say!("no answer came within {} s", PATCH_LIMIT.as_secs()))),
            Err(Failed::Answered(status)) if status.code >= 500 || status.code == 408 => {
                Err(unknown(errors::from_status(link.gate(), &attempt, &status).what))
            }
            Err(Failed::Answered(status)) => Err(self.refusal(link, &attempt, &status).await),
            Err(Failed::Broken(why)) if errors::never_sent(&why) => Err(errors::trouble(link.gate(), &attempt, &why)),
            Err(Failed::Broken(why)) => Err(unknown(errors::trouble(link.gate(), &attempt, &why).what)),
            Err(Failed::Unreadable) => Err(unknown(Clean::ours("the answer is not the API server's"))),
        }
    }

    /// What a refusal means. A failed `test` comes as 422 or 409 with changing words, so the
    /// object is read once more to tell it from a template that the server does not accept.
    async fn refusal(&self, link: &Link, attempt: &Clean, status: &Status) -> Trouble {
        let workload = &self.change.workload;
        let trouble = errors::from_status(link.gate(), attempt, status);
        if !matches!(status.code, 409 | 422) {
            return trouble;
        }
        let test_failed = status.code == 409 || status.message.contains("test");
        let moved = match link.deployment(workload).await {
            Ok(now) => check(self.change, &now).err(),
            Err(why) => (why.kind == TroubleKind::NotFound).then_some(why),
        };
        match moved {
            Some(_) => changed(workload, &Clean::ours("it changed while the patch was on its way")),
            None if test_failed => changed(workload, &say!("the server says {}", trouble.what)),
            None => trouble,
        }
    }

    /// Built by hand instead of with `Api::patch`, because only the response has the warnings.
    async fn post(&self, link: &Link, dry_run: bool, limit: Duration) -> Result<Outcome, Failed> {
        let workload = &self.change.workload;
        let patch: Patch<()> = Patch::Json(json_patch::Patch(self.patch.clone()));
        let params = PatchParams { dry_run, field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let url = Deployment::url_path(&(), Some(workload.namespace.as_str()));
        let request = Request::new(url)
            .patch(workload.name.as_str(), &params, &patch)
            .map_err(|why| Failed::Broken(kube::Error::BuildRequest(why)))?;
        // A silence of ten seconds does not mean that a real patch failed: it gets its own limit.
        let client = if dry_run { &link.requests } else { &link.streams };
        let exchange = async {
            let response = client.send(request.map(Body::from)).await.map_err(Failed::Broken)?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(Failed::Broken)?.to_bytes();
            Ok((parts, body))
        };
        let (parts, body) = tokio::time::timeout(limit, exchange).await.map_err(|_| Failed::TimedOut)??;
        if !parts.status.is_success() {
            let status = serde_json::from_slice(&body).unwrap_or_else(|_| {
                Status::failure(&String::from_utf8_lossy(&body), "Unknown").with_code(parts.status.as_u16())
            });
            return Err(Failed::Answered(Box::new(status)));
        }
        let object: Value = serde_json::from_slice(&body).map_err(|_| Failed::Unreadable)?;
        let raw = normalized(object["spec"]["template"].clone());
        Ok(Outcome {
            template: link.reader.template(&raw),
            raw,
            generation: object["metadata"]["generation"].as_i64().unwrap_or_default(),
            warnings: warnings(link, &parts.headers),
        })
    }
}

/// How a patch can fail.
enum Failed {
    TimedOut,
    Answered(Box<Status>),
    Broken(kube::Error),
    Unreadable,
}

/// The texts of `Warning: 299 - "…"` headers, as the API server sends them.
fn warnings(link: &Link, headers: &http::HeaderMap) -> Vec<Clean> {
    let texts = headers.get_all(http::header::WARNING).iter().filter_map(|value| value.to_str().ok());
    texts
        .map(|text| link.gate().clean(text.split_once('"').map_or(text, |(_, rest)| rest.trim_end_matches('"'))))
        .collect()
}

/// Migration Jobs beside the Deployment. `None` when they cannot be listed: unknown is not none.
async fn migration_jobs(link: &Link, workload: &WorkloadRef, live: &Deployed) -> Option<Vec<MigrationJob>> {
    let api: Api<Job> = link.api(&workload.namespace);
    let attempt = say!("list the Jobs of namespace {}", workload.namespace);
    let migrates = |job: Job| objects::migration_job(live.instance.as_deref(), &job);
    link.list_kept(&attempt, &api, None, migrates).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(container: &Value) -> Vec<(&str, &str)> {
        let entries = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
        entries.iter().map(|e| (e["name"].as_str().unwrap(), e["value"].as_str().unwrap_or("<ref>"))).collect()
    }

    #[test]
    fn setting_a_variable_leaves_no_second_entry_behind() {
        let mut container = json!({"env": [
            {"name": "A", "value": "1"},
            {"name": "X", "value": "false"},
            {"name": "B", "value": "2"},
            {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        ]});
        set_variable(&mut container, "X", Some("true"));
        assert_eq!(env(&container), [("A", "1"), ("X", "true"), ("B", "2")]);
        set_variable(&mut container, "Y", Some("3"));
        assert_eq!(env(&container), [("A", "1"), ("X", "true"), ("B", "2"), ("Y", "3")]);
        for name in ["A", "X", "B", "Y", "Z"] {
            set_variable(&mut container, name, None);
        }
        assert_eq!(container, json!({}));
        set_variable(&mut container, "X", Some("true"));
        assert_eq!(env(&container), [("X", "true")]);
    }
}
