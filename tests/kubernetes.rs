//! The cluster port over kube: the same promises on a replayed and on a real API server.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use lastgood::domain::catalog::Catalog;
use lastgood::domain::change::{Change, ChangeKind, clear};
use lastgood::domain::cluster::PodsItem;
use lastgood::domain::forecast::{Facts, Newest};
use lastgood::domain::log::{LogItem, LogLine, LogSource, Ours};
use lastgood::domain::trouble::TroubleKind;
use lastgood::text::Gate;
use lastgood::world::kubernetes::{ConnectOptions, ForwardTarget, Kubernetes};
use lastgood::world::{Cluster as _, Feed, Workloads as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

mod support {
    pub mod cluster_contract;
    pub mod coupled_contract;
    pub mod envtest;
    #[allow(dead_code, reason = "other tests use the rest")]
    pub mod kube_server;
}

use support::cluster_contract::{self as contract, NEW, Stage, next_that, reference};
use support::kube_server::{Fault, Flow, KubeServer, until};

/// A replayed cluster with its kubeconfigs.
struct Replay {
    server: KubeServer,
    stage: Stage,
    _folder: tempfile::TempDir,
}

impl Replay {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = KubeServer::start().await;
        for (verb, resource) in [("patch", "deployments"), ("get", "secrets")] {
            server.deny("viewer", verb, resource);
        }
        let kubeconfig = server.kubeconfig(folder.path(), "admin");
        let viewer = server.kubeconfig(folder.path(), "viewer");
        let stage = Stage { admin: support::envtest::client(&kubeconfig).await, kubeconfig, viewer };
        Self { server, stage, _folder: folder }
    }
}

macro_rules! contract_on_replay {
    ($($name:ident),* $(,)?) => { $(
        #[tokio::test]
        async fn $name() {
            contract::$name(&Replay::start().await.stage).await;
        }
    )* };
}
contract_on_replay!(identity_and_permissions, workload_feed, pods_feed, revert_contract, other_changes, secrets);

#[tokio::test]
async fn a_real_api_server_keeps_the_same_promises() {
    let Some(programs) = support::envtest::programs() else {
        eprintln!("SKIPPED: no etcd and kube-apiserver in KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin");
        return;
    };
    let server = support::envtest::Envtest::start(&programs).await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = server.kubeconfig(folder.path(), "admin", "llm");
    let viewer = server.kubeconfig(folder.path(), "viewer", "llm");
    server.let_viewer_read().await;
    let stage = Stage { admin: server.client().await, kubeconfig, viewer };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "llm"}});
    stage.send("POST", "/api/v1/namespaces", "application/json", &namespace).await;
    contract::identity_and_permissions(&stage).await;
    contract::workload_feed(&stage).await;
    contract::pods_feed(&stage).await;
    contract::revert_contract(&stage).await;
    contract::other_changes(&stage).await;
    contract::secrets(&stage).await;
    support::coupled_contract::coupled_items(&stage).await;
}

#[tokio::test]
async fn one_crypto_provider_serves_both_clients() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, PLAIN.replace("http://127.0.0.1:9", "https://127.0.0.1:9")).unwrap();
    contract::connect(path, Gate::default()).await;
    reqwest::Client::builder().use_rustls_tls().build().unwrap();
}

const PLAIN: &str = "{apiVersion: v1, kind: Config, current-context: replay, \
    clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}], users: [{name: u, user: {}}], \
    contexts: [{name: replay, context: {cluster: c, user: u}}]}";

#[tokio::test]
async fn connecting_sends_nothing_and_an_absent_server_is_told_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, PLAIN).unwrap();
    let kubernetes = contract::connect(path.clone(), Gate::default()).await;
    assert_eq!(kubernetes.namespace().as_str(), "default");
    assert_eq!(kubernetes.identity().await.unwrap_err().kind, TroubleKind::Unreachable);
    let connect = |context: Option<&str>, kubeconfig: &Path| {
        let context = context.map(|name| name.parse().unwrap());
        Kubernetes::connect(
            ConnectOptions { context, namespace: None, kubeconfig: Some(kubeconfig.to_owned()) },
            Gate::default(),
        )
    };
    let unknown = connect(Some("elsewhere"), &path).await.err().unwrap();
    assert!(unknown.what.as_str().contains("elsewhere"), "{}", unknown.what);
    assert_eq!(connect(None, &folder.path().join("none")).await.err().unwrap().kind, TroubleKind::Missing);
}

#[tokio::test]
async fn a_credential_plugin_gets_no_terminal_and_its_output_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let plugin = |script: &str| {
        let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script]});
        let mut config: serde_json::Value = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c"});
        config["clusters"] = json!([{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}]);
        config["users"] = json!([{"name": "u", "user": {"exec": exec}}]);
        config["contexts"] = json!([{"name": "c", "context": {"cluster": "c", "user": "u"}}]);
        std::fs::write(&path, config.to_string()).unwrap();
        ConnectOptions { kubeconfig: Some(path.clone()), ..ConnectOptions::default() }
    };
    let interactive = r#"case "$KUBERNETES_EXEC_INFO" in *'"interactive":true'*) exit 0;; esac"#;
    let failing = format!("{interactive}; echo the-token-on-stdout; echo log in first >&2; exit 3");
    let trouble = Kubernetes::connect(plugin(&failing), Gate::default()).await.err().unwrap();
    assert_eq!(trouble.kind, TroubleKind::Unauthenticated);
    assert!(trouble.what.as_str().contains("log in first"), "{}", trouble.what);
    assert!(!trouble.sentence().as_str().contains("the-token-on-stdout"), "{}", trouble.what);
    let token =
        r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t0ken-value"}}"#;
    let login = format!(
        "test \"$KUBERNETES_EXEC_INFO\" && case \"$KUBERNETES_EXEC_INFO\" in *true*) echo '{token}';; *) exit 1;; esac"
    );
    Kubernetes::login(plugin(&login), &Gate::default()).await.unwrap();
    assert!(
        Kubernetes::connect(plugin(&login), Gate::default()).await.is_err(),
        "without a terminal it must not be told that it has one"
    );
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_a_busy_one_is_asked_once() {
    let replay = Replay::start().await;
    let kubernetes = replay.stage.connect().await;
    let begun = Instant::now();
    replay.server.plan("GET", "/version", 9, Fault::Hang);
    assert_eq!(kubernetes.identity().await.unwrap_err().kind, TroubleKind::Unreachable);
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
    replay.server.plan("GET", "deployments", 1, Fault::Status(429, Some(30)));
    assert_eq!(kubernetes.discover().await.unwrap_err().kind, TroubleKind::Busy);
    assert_eq!(replay.server.requests("GET", "deployments").len(), 1);
}

#[tokio::test]
async fn another_cluster_behind_the_same_address_is_not_changed() {
    let replay = Replay::start().await;
    let [_, old, _] = replay.stage.deploy("moved", &json!({})).await;
    let kubernetes = replay.stage.connect().await;
    kubernetes.identity().await.unwrap();
    let cleared = cleared_revert(&kubernetes, "moved", &old).await;
    let path = "/api/v1/namespaces/kube-system";
    replay.stage.send("DELETE", path, "application/json", &json!({})).await;
    replay.server.put("namespaces", "", json!({"metadata": {"name": "kube-system"}}));
    let trouble = kubernetes.apply(cleared).await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Changed);
    assert!(trouble.what.as_str().contains("another cluster"), "{}", trouble.what);
    assert!(real_patches(&replay.server).is_empty());
}

async fn cleared_revert(
    kubernetes: &Kubernetes,
    name: &str,
    to: &lastgood::domain::name::Uid,
) -> lastgood::domain::change::Cleared {
    let mut feed = kubernetes.workload(&reference(name));
    let workload = next_that(&mut feed, "the workload", Result::is_ok).await.unwrap();
    let change = Change::on(&workload, ChangeKind::Revert { to: to.clone(), revision: 1 }, true);
    let preview = kubernetes.preview(change).await.unwrap();
    clear(&preview, &Facts::without_database(Newest::Known(NEW.parse().unwrap()), &Catalog::default()), None).unwrap()
}

fn real_patches(server: &KubeServer) -> Vec<String> {
    server.requests("PATCH", "deployments").into_iter().filter(|path| !path.contains("dryRun")).collect()
}

#[tokio::test]
async fn what_becomes_of_a_patch_is_never_guessed() {
    // The planned fault of the real patch, the expected kind, and whether the template changed.
    let rows = [
        (Fault::BreakAnswer, TroubleKind::Unknown, true),
        (Fault::Status(503, None), TroubleKind::Unknown, false),
        (Fault::Status(504, None), TroubleKind::Unknown, false),
        (Fault::Status(409, None), TroubleKind::Changed, false),
        (Fault::Status(403, None), TroubleKind::Forbidden, false),
        (Fault::Status(422, None), TroubleKind::Invalid, false),
        (Fault::Status(429, Some(1)), TroubleKind::Busy, false),
        (Fault::MoveFirst, TroubleKind::Changed, false),
    ];
    for (fault, expected, changed) in rows {
        let replay = Replay::start().await;
        let [_, old, _] = replay.stage.deploy("doubt", &json!({})).await;
        let kubernetes = replay.stage.connect().await;
        let cleared = cleared_revert(&kubernetes, "doubt", &old).await;
        let warned = kubernetes.preview(cleared.change().clone()).await.unwrap().warnings;
        assert_eq!(warned.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a replayed warning"]);
        replay.server.plan("PATCH", "doubt?&fieldManager", 1, fault.clone());
        let trouble = kubernetes.apply(cleared).await.unwrap_err();
        assert_eq!(trouble.kind, expected, "{fault:?}: {}", trouble.what);
        assert_eq!(real_patches(&replay.server).len(), 1, "{fault:?} is sent once");
        let now =
            next_that(&mut kubernetes.workload(&reference("doubt")), "the workload", Result::is_ok).await.unwrap();
        assert_eq!(now.template.main().unwrap().image.as_str() != NEW, changed, "{fault:?}");
    }
}

#[tokio::test]
async fn a_template_that_is_not_the_cleared_one_is_not_sent() {
    let replay = Replay::start().await;
    let [_, old, _] = replay.stage.deploy("swap", &json!({})).await;
    let kubernetes = replay.stage.connect().await;
    let cleared = cleared_revert(&kubernetes, "swap", &old).await;
    let path = format!("{}/swap-old", contract::of("replicasets"));
    let label = json!({"spec": {"template": {"metadata": {"labels": {"slipped": "in"}}}}});
    replay.stage.merge(&path, &label).await;
    assert_eq!(kubernetes.apply(cleared).await.unwrap_err().kind, TroubleKind::Changed);
    assert!(real_patches(&replay.server).is_empty());
}

#[tokio::test]
async fn pods_come_back_after_every_kind_of_loss() {
    let replay = Replay::start().await;
    let [_, _, new] = replay.stage.deploy("loss", &json!({})).await;
    let owner = Some(("apps/v1", "ReplicaSet", &new));
    replay.stage.pod("loss-new-1", "loss", owner).await;
    let kubernetes = replay.stage.connect().await;
    let mut feed = kubernetes.pods(&reference("loss"));
    next_that(&mut feed, "the first list", |item| listed(item, 1)).await.unwrap();

    // 410 in the stream of a watch, and as the status of one: a fresh list, and no trouble.
    for (number, fault) in [(2, Fault::ExpiredInWatch), (3, Fault::Status(410, None))] {
        replay.server.plan("GET", "pods?&watch", 1, fault);
        replay.server.cut_streams();
        replay.stage.pod(&format!("loss-new-{number}"), "loss", owner).await;
        next_that(&mut feed, "a fresh list after 410", |item| listed(item, number)).await.unwrap();
    }
    // A server that is gone for a while: one trouble, then the list again without a change.
    replay.server.plan("GET", "pods?", 3, Fault::Status(503, None));
    replay.server.cut_streams();
    let trouble = next_that(&mut feed, "the loss", Result::is_err).await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Unreachable);
    let back = next_that(&mut feed, "anything", |_| true).await;
    assert!(listed(&back, 3), "one trouble for one loss, then the pods: {back:?}");
    // A list in pages is one list.
    replay.stage.delete("pods", "loss-new-1").await;
    next_that(&mut feed, "a pod to go", |item| matches!(item, Ok(PodsItem::Gone(_)))).await.unwrap();
}

fn listed(item: &Result<PodsItem, lastgood::domain::trouble::Trouble>, count: usize) -> bool {
    matches!(item, Ok(PodsItem::Listed(pods)) if pods.len() == count)
}

#[tokio::test]
async fn a_thousand_pods_come_in_pages() {
    let replay = Replay::start().await;
    let [_, _, new] = replay.stage.deploy("many", &json!({})).await;
    for number in 0..1_200 {
        let owners = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": new.as_str(), "controller": true}]);
        let metadata = json!({"name": format!("many-{number}"), "labels": {"app": "many"}, "ownerReferences": owners});
        replay.server.put("pods", "llm", json!({"metadata": metadata, "spec": {"containers": []}}));
    }
    let kubernetes = replay.stage.connect().await;
    let mut feed = kubernetes.pods(&reference("many"));
    for so_far in [500, 1_000] {
        assert_eq!(next_that(&mut feed, "a part of the list", |_| true).await, Ok(PodsItem::Listing(so_far)));
    }
    next_that(&mut feed, "all pods in one list", |item| listed(item, 1_200)).await.unwrap();
    let pages = replay.server.requests("GET", "pods?");
    assert_eq!(pages.iter().filter(|path| path.contains("limit=500")).count(), 3, "{pages:?}");
}

#[tokio::test]
async fn a_server_that_limits_requests_is_said_to_and_left_alone_for_a_second() {
    let replay = Replay::start().await;
    let [_, _, new] = replay.stage.deploy("busy", &json!({})).await;
    replay.stage.pod("busy-new-1", "busy", Some(("apps/v1", "ReplicaSet", &new))).await;
    replay.server.plan("GET", "pods?", 1, Fault::Limited);
    let kubernetes = replay.stage.connect().await;
    let mut feed = kubernetes.pods(&reference("busy"));
    let trouble = next_that(&mut feed, "the refusal", |_| true).await.unwrap_err();
    let refused = Instant::now();
    assert_eq!(trouble.kind, TroubleKind::Busy);
    let words = trouble.sentence();
    assert!(words.as_str().contains("Too many requests") && words.as_str().contains("limits requests"), "{words}");
    let back = next_that(&mut feed, "the pods", |_| true).await;
    assert!(listed(&back, 1), "{back:?}");
    // The words arrive a moment after the refusal, from which on the server wants its rest.
    assert!(refused.elapsed() >= Duration::from_millis(900), "{:?}", refused.elapsed());
}

#[tokio::test]
async fn without_the_right_to_list_jobs_they_are_unknown() {
    let replay = Replay::start().await;
    replay.stage.deploy("blind", &json!({})).await;
    replay.server.deny("viewer", "list", "jobs");
    let viewer = contract::connect(replay.stage.viewer.clone(), Gate::default()).await;
    let workload = next_that(&mut viewer.workload(&reference("blind")), "the workload", |_| true).await.unwrap();
    assert_eq!(workload.jobs, None);
}

/// A pod with one container and its log.
async fn logging_pod(replay: &Replay, lines: &[(i64, String)]) -> LogSource {
    let pod = replay.stage.pod("talk", "talk", None).await;
    replay.stage.pod_status("talk", state(0, true)).await;
    replay.server.log("talk", "litellm", false, |log| log.lines = stamped(lines));
    let uid = pod["metadata"]["uid"].as_str().unwrap().parse().unwrap();
    LogSource { uid, pod: "talk".parse().unwrap(), container: "litellm".parse().unwrap(), previous: false }
}

fn state(restarts: u32, runs: bool) -> serde_json::Value {
    let state = if runs {
        // Four seconds after the first line of the run before, see [`stamped`].
        json!({"running": {"startedAt": "2027-01-15T08:00:04Z"}, "terminated": null})
    } else {
        json!({"terminated": {"exitCode": 1, "reason": "Error"}, "running": null})
    };
    let status = json!({"name": "litellm", "image": NEW, "imageID": "", "ready": runs, "restartCount": restarts, "state": state});
    json!({"phase": "Running", "containerStatuses": [status]})
}

fn stamped(lines: &[(i64, String)]) -> Vec<(Timestamp, String)> {
    let at = |nanos: &i64| Timestamp::from_nanosecond(1_800_000_000_000_000_000 + i128::from(*nanos)).unwrap();
    lines.iter().map(|(nanos, text)| (at(nanos), text.clone())).collect()
}

fn numbered(range: std::ops::Range<usize>, nanos: i64) -> Vec<(i64, String)> {
    range.map(|number| (nanos, format!("line {number}"))).collect()
}

/// Collects lines until there are `count` of them.
async fn lines(feed: &mut Feed<LogItem>, count: usize) -> Vec<LogLine> {
    let mut all = Vec::new();
    while all.len() < count {
        let item =
            next_that(feed, &format!("line {} of {count}", all.len() + 1), |item| matches!(item, LogItem::Lines(_)))
                .await;
        let LogItem::Lines(segment) = item else { unreachable!() };
        assert!(segment.len() <= 1_000, "batches are small");
        all.extend(segment.iter().cloned());
    }
    all
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| line.text.to_string()).collect()
}

#[tokio::test]
async fn a_log_that_is_cut_again_and_again_is_delivered_once() {
    let replay = Replay::start().await;
    let burst = numbered(0..3_000, 500_000_000);
    let source = logging_pod(&replay, &burst).await;
    replay.server.log("talk", "litellm", false, |log| log.cut_after = Some(1_100));
    let kubernetes = replay.stage.connect().await;
    let mut feed = kubernetes.logs(&source, 100_000);
    assert_eq!(feed.next().await.unwrap(), LogItem::Following);
    // Every stream brings 1,100 lines of one burst and breaks inside a line: the second one
    // brings nothing new, so the server is let go on.
    let first = lines(&mut feed, 1_100).await;
    next_that(&mut feed, "the loss", |item| matches!(item, LogItem::Lost(_))).await;
    replay.server.log("talk", "litellm", false, |log| log.cut_after = Some(2_000));
    let second = lines(&mut feed, 900).await;
    replay.server.log("talk", "litellm", false, |log| {
        log.cut_after = None;
        log.lines.extend(stamped(&numbered(3_000..3_100, 500_000_000)));
        log.lines.extend(stamped(&numbered(3_100..3_200, 2_700_000_000)));
    });
    let third = lines(&mut feed, 1_200).await;
    replay.server.cut_streams();
    next_that(&mut feed, "the stream to be back", |item| *item == LogItem::Following).await;
    replay
        .server
        .log("talk", "litellm", false, |log| log.lines.extend(stamped(&numbered(3_200..3_201, 2_900_000_000))));
    let fourth = lines(&mut feed, 1).await;
    let all: Vec<String> = [first, second, third, fourth].iter().flat_map(|lines| texts(lines)).collect();
    let expected: Vec<String> = (0..3_201).map(|number| format!("line {number}")).collect();
    assert_eq!(all.len(), expected.len());
    assert!(all == expected, "in order");
    let asked = replay.server.requests("GET", "sinceTime");
    assert!(!asked.is_empty() && asked.iter().all(|path| !path.contains('.')), "whole seconds: {asked:?}");
}

/// A server in a runtime of its own: when that goes, every connection breaks, as when it dies.
async fn flooding(port: u16, flow: Flow) -> (tokio::runtime::Runtime, KubeServer) {
    let started = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(KubeServer::start_on(port));
        let status = state(0, true);
        server.put("pods", "llm", json!({"metadata": {"name": "talk", "uid": "uid-talk"}, "status": status}));
        server.flow("talk", "litellm", flow);
        (runtime, server)
    });
    started.await.unwrap()
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_costs_no_line() {
    const LINES: u64 = 20_000;
    let flow = Flow::live(Timestamp::now(), 10_000, LINES);
    let folder = tempfile::tempdir().unwrap();
    let (mut runtime, mut server) = flooding(0, flow).await;
    let kubernetes = contract::connect(server.kubeconfig(folder.path(), "admin"), Gate::default()).await;
    let source = LogSource {
        uid: "uid-talk".parse().unwrap(),
        pod: "talk".parse().unwrap(),
        container: "litellm".parse().unwrap(),
        previous: false,
    };
    let mut feed = kubernetes.logs(&source, u32::MAX);
    let mut next = 0;
    let mut deaths = [LINES / 4, LINES / 2].into_iter().peekable();
    while next < LINES {
        for line in lines(&mut feed, 1).await {
            let text = line.text.as_str();
            assert!(line.ours.is_none(), "nothing is missing, so nothing is marked: {text}");
            let (_, number) = text.split_once('#').unwrap();
            let digits = number.bytes().take_while(u8::is_ascii_digit).count();
            assert_eq!(number[..digits].parse::<u64>().unwrap(), next, "in order, each once");
            next += 1;
        }
        if deaths.next_if(|death| next >= *death).is_some() {
            let port = server.address.port();
            drop(server);
            let died = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10)));
            died.await.unwrap();
            (runtime, server) = flooding(port, flow).await;
        }
    }
    runtime.shutdown_background();
}

#[tokio::test]
async fn what_was_rotated_away_is_a_gap_with_its_length() {
    let replay = Replay::start().await;
    let source = logging_pod(&replay, &numbered(0..2, 500_000_000)).await;
    let mut feed = replay.stage.connect().await.logs(&source, 100);
    lines(&mut feed, 2).await;
    replay.server.log("talk", "litellm", false, |log| log.lines = stamped(&numbered(7..9, 12_500_000_000)));
    replay.server.cut_streams();
    let shown = lines(&mut feed, 3).await;
    assert!(
        shown[0].ours == Some(Ours::Gap) && shown[0].text.as_str().starts_with("a gap of up to 12s:"),
        "{}",
        shown[0].text
    );
    assert_eq!(texts(&shown[1..]), ["line 7", "line 8"]);
}

#[tokio::test]
async fn a_stream_that_went_silent_while_the_pod_writes_is_opened_again() {
    let replay = Replay::start().await;
    let years = 100_000_000_000_000_000;
    let source = logging_pod(&replay, &numbered(0..2, -years)).await;
    let mut feed = replay.stage.connect().await.logs(&source, 100);
    lines(&mut feed, 2).await;
    replay.server.log("talk", "litellm", false, |log| {
        log.epoch += 1;
        log.lines.extend(stamped(&numbered(2..4, 2_000_000_000 - years)));
    });
    // It waits for the next line; then its patience ends.
    assert!(futures::poll!(feed.next()).is_pending());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    let shown = lines(&mut feed, 3).await;
    assert!(
        shown[0].ours == Some(Ours::Remark) && shown[0].text.as_str().contains("had gone silent"),
        "{}",
        shown[0].text
    );
    assert_eq!(texts(&shown[1..]), ["line 2", "line 3"]);
}

#[tokio::test]
async fn secrets_long_lines_and_bad_bytes_pass_the_gate() {
    let replay = Replay::start().await;
    let long = "x".repeat(1_000_000);
    let said = [
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQIBADANBg",
        "-----END PRIVATE KEY-----",
        "\u{1b}[31mred",
        "Bearer abcdef123456",
        &long,
    ];
    let said: Vec<(i64, String)> = said.iter().zip(0..).map(|(text, at)| (at, (*text).to_owned())).collect();
    let source = logging_pod(&replay, &said).await;
    let mut feed = replay.stage.connect().await.logs(&source, 100);
    let shown = texts(&lines(&mut feed, 6).await);
    assert_eq!(&shown[..5], ["[masked]", "[masked]", "[masked]", "red", "Bearer [masked]"]);
    assert_eq!(shown[5].len(), 1_000_000);
}

#[tokio::test]
async fn the_last_lines_come_first_and_no_older_ones_after_a_cut() {
    let replay = Replay::start().await;
    let source = logging_pod(&replay, &numbered(0..500, 500_000_000)).await;
    let mut feed = replay.stage.connect().await.logs(&source, 10);
    assert_eq!(texts(&lines(&mut feed, 10).await)[0], "line 490");
    replay.server.cut_streams();
    next_that(&mut feed, "the stream to be back", |item| *item == LogItem::Following).await;
    replay.server.log("talk", "litellm", false, |log| log.lines.extend(stamped(&numbered(500..501, 600_000_000))));
    assert_eq!(texts(&lines(&mut feed, 1).await), ["line 500"]);
}

#[tokio::test]
async fn a_restarted_container_is_followed_into_its_next_run() {
    let replay = Replay::start().await;
    let source = logging_pod(&replay, &numbered(0..2, 0)).await;
    let mut feed = replay.stage.connect().await.logs(&source, 100);
    lines(&mut feed, 2).await;
    // The container dies while the stream is cut: its last line is in the previous log by now.
    replay.server.log("talk", "litellm", true, |log| log.lines = stamped(&numbered(0..3, 0)));
    replay.stage.pod_status("talk", state(1, true)).await;
    replay.server.log("talk", "litellm", false, |log| {
        log.lines = stamped(&[(5_000_000_000, "run two".to_owned())]);
    });
    replay.server.cut_streams();
    let shown = lines(&mut feed, 3).await;
    assert_eq!(texts(&shown), ["line 2", "container litellm was restarted", "run two"]);
    assert_eq!(shown.iter().map(|line| line.ours.is_some()).collect::<Vec<_>>(), [false, true, false]);
    // It ends, and the pod goes.
    replay.stage.pod_status("talk", state(1, false)).await;
    replay.server.log("talk", "litellm", false, |log| log.ended = true);
    next_that(&mut feed, "the end", |item| *item == LogItem::Ended).await;
    replay.stage.delete("pods", "talk").await;
    next_that(&mut feed, "the end of the pod", |item| *item == LogItem::Ended).await;
    assert_eq!(feed.next().await, None);
}

#[tokio::test]
async fn a_previous_log_just_ends() {
    let replay = Replay::start().await;
    let source = LogSource { previous: true, ..logging_pod(&replay, &[]).await };
    replay.server.log("talk", "litellm", true, |log| log.lines = stamped(&numbered(0..3, 0)));
    let mut feed = replay.stage.connect().await.logs(&source, 2);
    assert_eq!(texts(&lines(&mut feed, 2).await), ["line 1", "line 2"]);
    assert_eq!(feed.next().await, Some(LogItem::Ended));
    assert_eq!(feed.next().await, None);
}

#[tokio::test]
async fn a_forwarded_port_leads_to_a_ready_pod() {
    let replay = Replay::start().await;
    let [_, _, new] = replay.stage.deploy("door", &json!({})).await;
    let pod = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = pod.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = pod.accept().await {
            let mut word = [0; 4];
            if connection.read_exact(&mut word).await.is_ok() {
                connection.write_all(b"pong").await.unwrap();
            }
        }
    });
    let kubernetes = replay.stage.connect().await;
    let workload = ForwardTarget::Workload { workload: reference("door"), port };
    let service = ForwardTarget::Service { name: "door".parse().unwrap(), port: 80 };
    let [direct, through] = [workload, service].map(|target| kubernetes.forward(target).unwrap());
    assert_eq!(ping(direct).await, None);
    until("the reason to be known", || kubernetes.forward_trouble(direct).is_some()).await;
    let why = kubernetes.forward_trouble(direct).unwrap();
    assert!(why.what.as_str().contains("none of the 0 pods"), "{}", why.what);

    let metadata = json!({"name": "door-new-1", "labels": {"app": "door"}, "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": new.as_str(), "controller": true}]});
    let spec = json!({"containers": [{"name": "litellm", "ports": [{"name": "http", "containerPort": port}]}]});
    let status = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    replay.server.put("pods", "llm", json!({"metadata": metadata, "spec": spec, "status": status}));
    assert_eq!(ping(direct).await.as_deref(), Some("pong"), "{:?}", kubernetes.forward_trouble(direct));
    assert_eq!(ping(through).await, None);
    until("the missing service to be known", || kubernetes.forward_trouble(through).is_some()).await;
    assert_eq!(kubernetes.forward_trouble(through).unwrap().kind, TroubleKind::NotFound);
    let spec = json!({"selector": {"app": "door"}, "ports": [{"port": 80, "targetPort": "http"}]});
    replay.server.put("services", "llm", json!({"metadata": {"name": "door"}, "spec": spec}));
    assert_eq!(ping(through).await.as_deref(), Some("pong"));
    until("the trouble to be over", || kubernetes.forward_trouble(through).is_none()).await;
    drop(kubernetes);
    assert!(tokio::net::TcpStream::connect(direct).await.is_err() || ping(direct).await.is_none());
}

async fn ping(address: std::net::SocketAddr) -> Option<String> {
    let mut connection = tokio::net::TcpStream::connect(address).await.ok()?;
    connection.write_all(b"ping").await.ok()?;
    let mut word = [0; 4];
    tokio::time::timeout(Duration::from_secs(10), connection.read_exact(&mut word)).await.ok()?.ok()?;
    String::from_utf8(word.to_vec()).ok()
}
