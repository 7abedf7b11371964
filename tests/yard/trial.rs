//! What the API server finds when a rollback is tried, against what Helm then does.

use serde_json::{Value, json};

use lastgood::domain::release::{Does, Gravity, ReleaseStatus, Verdict};
use lastgood::domain::trouble::TroubleKind;

use crate::{NEW, Yard, chart, send};

/// A ConfigMap that was made immutable: Helm would patch what comes before it, and fail.
pub async fn what_the_server_refuses_is_found_before(yard: Yard) {
    yard.roll("install", &[]).await;
    yard.roll("upgrade", &[&format!("image.tag={NEW}"), "proxy_config.model_list[0].model_name=x"]).await;
    let before = yard.seen().await.numbers.generation;
    let judged = yard.judge(1, jiff::SignedDuration::ZERO).await;
    assert!(judged.cleared.is_ok(), "{:#?}", judged.concerns);
    let path = format!("/api/v1/namespaces/{}/configmaps/gw-config?fieldManager=kubectl-edit", yard.namespace);
    send(&yard.client, "PATCH", &path, "application/merge-patch+json", &json!({"immutable": true})).await;
    // What was judged before is not what is there now: nothing is sent.
    let late = yard.send(judged).await.unwrap_err();
    assert_eq!(late.kind, TroubleKind::Changed);
    assert!(late.what.as_str().contains("ConfigMap/gw-config"), "{}", late.what);
    assert_eq!(yard.history().await.current.revision.get(), 2, "no record was made");
    let judged = yard.judge(1, jiff::SignedDuration::ZERO).await;
    assert!(judged.refused("dry-run"), "{:#?}", judged.concerns);
    let said = judged.says("dry-run");
    assert!(said.contains("the API server refuses ConfigMap/gw-config of revision 1"), "{said}");
    assert!(said.contains("field is immutable when `immutable` is set"), "{said}");
    assert_eq!(yard.seen().await.numbers.generation, before, "a trial changes nothing");
    // What would have come of it.
    let failed = yard.helm(&["rollback", "gw", "1", "--wait", "--timeout", "30s"]).await;
    assert!(String::from_utf8_lossy(&failed.stderr).contains("immutable"), "{failed:?}");
    assert_eq!(yard.status(3).await, Some(ReleaseStatus::Failed));
}

/// An object of the target that somebody made: Helm before 4.2 stops there, half way.
pub async fn a_foreign_object_is_found_before(yard: Yard) {
    yard.roll("install", &["budget=gw"]).await;
    yard.roll("upgrade", &[&format!("image.tag={NEW}")]).await;
    let spec = json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "other"}}});
    let budget =
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "gw"}, "spec": spec});
    yard.create("/apis/policy/v1/namespaces/NS/poddisruptionbudgets", &budget).await;
    let judged = yard.judge(1, jiff::SignedDuration::ZERO).await;
    assert!(judged.refused("foreign-object"), "{:#?}", judged.concerns);
    let said = judged.says("foreign-object");
    assert!(
        said.contains("PodDisruptionBudget/gw is in the cluster and in revision 1, and not in revision 2"),
        "{said}"
    );
    assert!(said.contains(&format!("kubectl -n {} delete PodDisruptionBudget/gw", yard.namespace)), "{said}");
    let failed = yard.helm(&["rollback", "gw", "1"]).await;
    let words = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(words.contains("PodDisruptionBudget with the name \"gw\""), "{words}");
    assert_eq!(yard.status(3).await, Some(ReleaseStatus::Failed));
    // The remedy is one.
    let path = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets/gw", yard.namespace);
    send(&yard.client, "DELETE", &path, "application/json", &Value::Null).await;
    let judged = yard.judge(1, jiff::SignedDuration::ZERO).await;
    assert!(!judged.ids().iter().any(|(id, _)| *id == "foreign-object"), "{:#?}", judged.concerns);
    yard.send(judged).await.unwrap();
}

/// Fields of others on any object: Helm 3 writes over them, Helm 4 stops half way.
pub async fn a_field_of_somebody_else_on_any_object(yard: Yard) {
    yard.roll("install", &["autoscaling.enabled=true"]).await;
    yard.roll("upgrade", &["autoscaling.enabled=true", &format!("image.tag={NEW}")]).await;
    let path = format!("/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers/gw", yard.namespace);
    let by = format!("{path}?fieldManager=kubectl-edit");
    send(&yard.client, "PATCH", &by, "application/merge-patch+json", &json!({"spec": {"maxReplicas": 9}})).await;
    let trial = yard.trial(1).await;
    let conflicts = |verdict: &Verdict| {
        matches!(verdict, Verdict::Conflicts(clashes)
        if clashes.len() == 1 && clashes[0].by.as_str() == "kubectl-edit" && clashes[0].field.as_str() == ".spec.maxReplicas")
    };
    let of = |kind: &str| trial.tried.iter().find(|tried| tried.object.kind.as_str() == kind).unwrap();
    let judged = yard.judge(1, jiff::SignedDuration::ZERO).await;
    if yard.major == 3 {
        assert!(trial.tried.iter().all(|tried| tried.verdict == Verdict::Passes), "{trial:#?}");
        yard.send(judged).await.unwrap();
        assert_eq!(yard.get(&path).await["spec"]["maxReplicas"], 5);
        return;
    }
    assert!(conflicts(&of("HorizontalPodAutoscaler").verdict), "{trial:#?}");
    assert_eq!(of("Deployment").verdict, Verdict::Passes);
    assert!(judged.refused("server-side-apply"), "{:#?}", judged.concerns);
    let said = judged.says("server-side-apply");
    assert!(said.contains("kubectl-edit has written .spec.maxReplicas of HorizontalPodAutoscaler/gw"), "{said}");
    let failed = yard.helm(&["rollback", "gw", "1"]).await;
    assert!(String::from_utf8_lossy(&failed.stderr).contains("conflict"), "{failed:?}");
    assert_eq!(yard.get(&path).await["spec"]["maxReplicas"], 9);
}

/// An upgrade that failed leaves what it brought; the next one starts from the revision before it.
pub async fn what_a_failed_upgrade_left_is_told(yard: Yard) {
    yard.roll("install", &[]).await;
    let chart = chart().display().to_string();
    let bad = ["upgrade", "gw", &chart, "--set", "image.tag=v1.81.8-bad", "--set", "autoscaling.enabled=true"];
    assert!(!yard.helm(&[&bad[..], &["--wait", "--timeout", "3s"]].concat()).await.status.success());
    yard.roll("upgrade", &[&format!("image.tag={NEW}")]).await;
    let judged = yard.judge(1, jiff::SignedDuration::ZERO).await;
    let said = judged.says("leftovers");
    assert!(said.contains("HorizontalPodAutoscaler/gw is left over from an upgrade that failed"), "{said}");
    assert!(said.contains("neither revision 3 nor 1 has it"), "{said}");
    yard.send(judged).await.unwrap();
    let path = format!("/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers/gw", yard.namespace);
    assert_eq!(yard.get(&path).await["spec"]["maxReplicas"], 5, "it is still there");
}

/// The way over from a release that Helm 3 made: what it wrote is no conflict for Helm 4.
pub async fn every_object_is_tried_as_it_will_be_sent(yard: Yard) {
    yard.roll("install", &["budget=gw"]).await;
    let chart = chart().display().to_string();
    let patches: &[&str] = if yard.major == 4 { &["--server-side=false"] } else { &[] };
    let newer =
        ["upgrade", "gw", &chart, "--reset-values", "--set", "image.tag=v1.81.9", "--set", "autoscaling.enabled=true"];
    yard.well(&[&newer[..], patches].concat()).await;
    let trial = yard.trial(1).await;
    let mut tried: Vec<(String, Does)> =
        trial.tried.iter().map(|tried| (tried.object.to_string(), tried.does)).collect();
    tried.sort_by(|a, b| a.0.cmp(&b.0));
    let creates = if yard.major == 3 { Does::Creates } else { Does::Patches };
    let wanted = [
        ("ConfigMap/gw-config", Does::Patches),
        ("Deployment/gw", Does::Patches),
        ("HorizontalPodAutoscaler/gw", Does::Deletes),
        ("PodDisruptionBudget/gw", creates),
        ("Secret/gw-masterkey", Does::Patches),
        ("Secret/sh.helm.release.v1.gw.v3", Does::Creates),
    ];
    assert_eq!(tried, wanted.map(|(name, does)| (name.to_owned(), does)));
    assert!(trial.tried.iter().all(|tried| tried.verdict == Verdict::Passes && !tried.foreign), "{trial:#?}");
    let said = format!("{trial:?}");
    assert!(!said.contains("sk-of-the-chart-1234"), "{said}");
    let judged = yard.judge(1, jiff::SignedDuration::ZERO).await;
    assert!(!judged.ids().contains(&("dry-run", Gravity::Refuses)), "{:#?}", judged.concerns);
    yard.send(judged).await.unwrap();
}
