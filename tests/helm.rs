//! Helm releases as the real programs make them, versions 3 and 4, on a real API server with real
//! controllers: what we read of their records, what our rollback does, and every trap that the
//! judgement warns of, walked into.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use lastgood::domain::catalog::Catalog;
use lastgood::domain::change::{Change, ChangeKind, clear as clear_change};
use lastgood::domain::cluster::WorkloadRef;
use lastgood::domain::coupled::{Aim, Coupled, Found, Written, drifted, switch};
use lastgood::domain::forecast::{Facts as Forecasting, Newest};
use lastgood::domain::incident::Goal;
use lastgood::domain::name::ReleaseName;
use lastgood::domain::release::{
    ApplyMethod, Concern, Facts, Gravity, History, Release, ReleaseRevision, ReleaseStatus, Storage, Trial, Writer,
    concerns, extras,
};
use lastgood::domain::rollback::{Outcome, Rollback, RolledBack, clear, outcome};
use lastgood::domain::salt::Verdict;
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::domain::workload::{Rollout, Workload};
use lastgood::text::Gate;
use lastgood::world::helm::Helm;
use lastgood::world::kubernetes::{ConnectOptions, Kubernetes};
use lastgood::world::{Cluster as _, Releases as _, Workloads as _};
use serde_json::{Value, json};

#[path = "yard/records.rs"]
mod records;
#[path = "yard/trial.rs"]
mod trial;

mod support {
    pub mod controllers;
    pub mod envtest;
    pub mod helm_programs;
    #[allow(dead_code, reason = "other tests use the rest")]
    pub mod helm_records;
}

use records::records_are_built_as_helm_writes_them;
use support::controllers::{Controllers, installed};
use support::envtest::{Envtest, programs};
use support::helm_programs::helm;
use trial::{
    a_field_of_somebody_else_on_any_object, a_foreign_object_is_found_before, every_object_is_tried_as_it_will_be_sent,
    what_a_failed_upgrade_left_is_told, what_the_server_refuses_is_found_before,
};

const OLD: &str = "v1.81.0";
const NEW: &str = "v1.81.9";

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts/gateway")
}

async fn connect(kubeconfig: PathBuf, gate: Gate) -> Kubernetes {
    let options = ConnectOptions { kubeconfig: Some(kubeconfig), ..ConnectOptions::default() };
    Kubernetes::connect(options, gate).await.unwrap()
}

fn revision(number: u64) -> ReleaseRevision {
    ReleaseRevision::new(number).unwrap()
}

/// A namespace of its own on the server, and one Helm.
struct Yard {
    major: u32,
    program: PathBuf,
    namespace: &'static str,
    kubeconfig: PathBuf,
    client: kube::Client,
    kubernetes: Kubernetes,
    releases: Helm,
    gate: Gate,
    folder: tempfile::TempDir,
}

impl Yard {
    async fn open(server: &Envtest, major: u32, program: &Path, namespace: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = server.kubeconfig(folder.path(), "admin", namespace);
        let client = server.client().await;
        let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        send(&client, "POST", "/api/v1/namespaces", "application/json", &made).await;
        let gate = Gate::default();
        let kubernetes = connect(kubeconfig.clone(), gate.clone()).await;
        let releases = Helm::new(kubernetes.clone(), Some(kubeconfig.clone())).with_program(program.to_owned());
        let program = program.to_owned();
        Self { major, program, namespace, kubeconfig, client, kubernetes, releases, gate, folder }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).args(["-n", self.namespace]).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        for folder in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{folder}_HOME"), self.folder.path().join(folder));
        }
        command
    }

    /// Helm by hand, as a pipeline would.
    async fn helm(&self, words: &[&str]) -> Output {
        let mut command = self.command(words);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn well(&self, words: &[&str]) {
        let output = self.helm(words).await;
        assert!(output.status.success(), "helm {words:?}: {output:?}");
    }

    /// `helm install` or `upgrade` of the release `gw` with the test's chart.
    async fn roll(&self, verb: &str, sets: &[&str]) {
        let chart = chart().display().to_string();
        let mut words = vec![verb, "gw", &chart, "--wait", "--timeout", "60s"];
        // Without a value of its own an upgrade takes the ones before.
        words.extend((verb == "upgrade").then_some("--reset-values"));
        words.extend(sets.iter().flat_map(|set| ["--set", set]));
        self.well(&words).await;
    }

    fn workload(&self) -> WorkloadRef {
        WorkloadRef { namespace: self.namespace.parse().unwrap(), name: "gw".parse().unwrap() }
    }

    fn release(&self) -> ReleaseName {
        "gw".parse().unwrap()
    }

    async fn seen(&self) -> Workload {
        let mut feed = self.kubernetes.workload(&self.workload());
        loop {
            if let Ok(seen) = feed.next().await.expect("a feed does not end") {
                return *seen;
            }
        }
    }

    async fn history(&self) -> History {
        self.releases.history(&self.workload(), &self.release()).await.unwrap()
    }

    async fn record(&self, number: u64, storage: Storage) -> Release {
        *self.releases.record(&self.workload(), &self.release(), revision(number), storage).await.unwrap()
    }

    async fn coupled(&self, to: u64) -> Coupled {
        let goal = Goal::Release(self.release(), revision(to));
        self.kubernetes.coupled(&self.workload(), goal).await.unwrap()
    }

    /// The rollback, tried at the API server.
    async fn trial(&self, to: u64) -> Trial {
        let history = self.history().await;
        let rollback = Rollback {
            workload: self.workload(),
            release: self.release(),
            storage: history.storage,
            from: history.current.revision,
            to: revision(to),
        };
        self.releases.trial(rollback).await.unwrap()
    }

    /// What is known against a rollback, and how it goes when that is `later` from now.
    async fn judge(&self, to: u64, later: SignedDuration) -> Judged {
        let history = self.history().await;
        let current = self.record(history.current.revision.get().into(), history.storage).await;
        let target = self.record(to, history.storage).await;
        let workload = self.seen().await;
        let trial = self.trial(to).await;
        let catalog = Catalog::default();
        let newest = Newest::Known(format!("ghcr.io/berriai/litellm:{NEW}").parse().unwrap());
        let forecast = Forecasting::without_database(newest, &catalog);
        let now = Timestamp::now() + later;
        let facts = Facts {
            history: &history,
            current: &current,
            target: &target,
            workload: &workload,
            switch: switch(&self.coupled(to).await.settings),
            trial: Some(Ok(&trial)),
            forecast: &forecast,
            context: None,
            now,
        };
        Judged { concerns: concerns(&facts), cleared: clear(&facts, None).map_err(|refusal| refusal.what.to_string()) }
    }

    /// The rollback as the console sends it.
    async fn roll_back(&self, to: u64) -> Result<RolledBack, Trouble> {
        let judged = self.judge(to, SignedDuration::ZERO).await;
        self.send(judged).await
    }

    async fn send(&self, judged: Judged) -> Result<RolledBack, Trouble> {
        let cleared = judged.cleared.unwrap_or_else(|why| panic!("{why}: {:#?}", judged.concerns));
        self.releases.rollback(cleared, self.folder.path().to_owned()).await
    }

    async fn get(&self, path: &str) -> Value {
        send(&self.client, "GET", path, "application/json", &Value::Null).await
    }

    fn deployment(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments/gw", self.namespace)
    }

    /// Somebody changes the Deployment behind Helm's back, under this field manager.
    async fn by_hand(&self, manager: &str, patch: &Value) {
        let path = format!("{}?fieldManager={manager}", self.deployment());
        send(&self.client, "PATCH", &path, "application/strategic-merge-patch+json", patch).await;
    }

    async fn create(&self, path: &str, object: &Value) {
        let path = path.replace("NS", self.namespace);
        send(&self.client, "POST", &path, "application/json", object).await;
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        for _ in 0..300 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Helm {}: waited for {what} in vain", self.major);
    }

    async fn status(&self, number: u64) -> Option<ReleaseStatus> {
        let history = self.releases.history(&self.workload(), &self.release()).await.ok()?;
        history.row(revision(number)).map(|row| row.status.clone())
    }
}

async fn send(client: &kube::Client, method: &str, path: &str, kind: &str, body: &Value) -> Value {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = http::Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
    let text = client.request_text(request).await.unwrap_or_else(|why| panic!("{method} {path}: {why}"));
    serde_json::from_str(&text).unwrap()
}

struct Judged {
    concerns: Vec<Concern>,
    cleared: Result<lastgood::domain::rollback::ClearedRollback, String>,
}

impl Judged {
    fn ids(&self) -> Vec<(&'static str, Gravity)> {
        self.concerns.iter().map(|concern| (concern.id, concern.gravity)).collect()
    }

    fn says(&self, id: &str) -> String {
        let found = self.concerns.iter().find(|concern| concern.id == id);
        let found = found.unwrap_or_else(|| panic!("no {id} in {:#?}", self.concerns));
        format!("{}; {}; {}", found.what, found.consequence, found.remedy)
    }

    fn refused(&self, id: &str) -> bool {
        self.cleared.is_err() && self.ids().contains(&(id, Gravity::Refuses))
    }
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        async fn every_promise(major: u32) {
            let Some(programs) = programs().filter(|programs| installed(programs)) else {
                eprintln!("SKIPPED: no etcd, kube-apiserver and kube-controller-manager in KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin");
                return;
            };
            let Some(helm) = helm(major) else { return };
            let server = Envtest::start(&programs).await;
            let _controllers = Controllers::start(&programs, &server).await;
            let broken = std::sync::Mutex::new(Vec::new());
            tokio::join!($(async {
                let promise = async {
                    let namespace = stringify!($name).replace('_', "-");
                    let namespace: &'static str = Box::leak(namespace.into_boxed_str());
                    $name(Yard::open(&server, major, &helm, namespace).await).await;
                };
                if std::panic::AssertUnwindSafe(promise).catch_unwind().await.is_err() {
                    broken.lock().unwrap().push(stringify!($name));
                }
            }),*);
            let broken = broken.into_inner().unwrap();
            assert!(broken.is_empty(), "Helm {major} broke: {broken:?}; what each said is above");
        }
    };
}
on_both!(
    records_are_read,
    records_are_built_as_helm_writes_them,
    a_large_record_is_read,
    a_killed_upgrade_is_taken_back,
    a_killed_installation_is_left_to_a_person,
    a_rollback_is_sent_once_and_proved,
    a_rollback_outlives_the_console,
    a_hook_that_fails_leaves_it_pending,
    a_failed_rollback_makes_no_revision_good,
    what_is_in_no_manifest_survives,
    a_field_of_somebody_else,
    a_field_of_somebody_else_on_any_object,
    what_the_server_refuses_is_found_before,
    a_foreign_object_is_found_before,
    every_object_is_tried_as_it_will_be_sent,
    what_a_failed_upgrade_left_is_told,
    replicas_that_disappear,
    a_migration_job_collides,
    what_lies_outside_the_release_is_told,
    pods_are_restarted_and_nothing_else_is_patched,
);

#[tokio::test(flavor = "multi_thread")]
async fn helm_3() {
    every_promise(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_4() {
    every_promise(4).await;
}

/// Secrets and ConfigMaps, statuses, chart, objects, masked values: as Helm itself tells them.
async fn records_are_read(yard: Yard) {
    yard.roll("install", &[]).await;
    yard.roll("upgrade", &[&format!("image.tag={NEW}"), "masterkey=sk-second-1234", "budget=gw"]).await;
    let history = yard.history().await;
    assert_eq!((history.storage, history.current.revision), (Storage::Secrets, revision(2)));
    let rows: Vec<_> = history.rows().map(|row| row.status.clone()).collect();
    assert_eq!(rows, [ReleaseStatus::Deployed, ReleaseStatus::Superseded]);
    assert!(history.rows().all(|row| row.created.is_some()));
    assert_eq!(history.writers, Some(vec![]), "nobody but Helm writes the template");
    assert_eq!(history.left(revision(1)), history.current.created);
    let [one, two] = [yard.record(1, history.storage).await, yard.record(2, history.storage).await];
    let told = yard.helm(&["history", "gw", "-o", "json"]).await;
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    for (record, row) in [&one, &two].into_iter().zip(told.as_array().unwrap()) {
        assert_eq!(row["revision"], record.revision.get());
        assert_eq!(row["status"], record.status.word().as_str());
        assert_eq!(row["description"], record.description.as_str());
        assert_eq!(row["chart"], format!("{}-{}", record.chart.name, record.chart.version));
        assert_eq!(row["app_version"], record.chart.app_version.as_str());
        assert!(record.deployed_at.is_some() && !record.never_came_through());
    }
    let apply = if yard.major == 3 { ApplyMethod::ClientSide } else { ApplyMethod::ServerSide };
    assert_eq!((&one.apply, &two.apply), (&apply, &apply));
    assert_eq!(one.image(&yard.workload()).unwrap().tag(), Some(OLD));
    assert_eq!(two.image(&yard.workload()).unwrap().tag(), Some(NEW));
    assert_eq!(one.unserved, Some(vec![]));
    let mut kinds: Vec<String> = two.objects.iter().map(|object| object.key.to_string()).collect();
    kinds.sort();
    assert_eq!(kinds, ["ConfigMap/gw-config", "Deployment/gw", "PodDisruptionBudget/gw", "Secret/gw-masterkey"]);
    let words = format!("{one:?}{two:?}");
    assert!(!words.contains("sk-second-1234") && !words.contains("sk-of-the-chart-1234"), "{words}");
    assert_eq!(yard.gate.scrub("sk-second-1234"), "[masked]");
    let judged = yard.judge(1, SignedDuration::ZERO).await;
    assert!(judged.cleared.is_ok(), "{:#?}", judged.concerns);
    assert!(judged.says("deletes").contains("PodDisruptionBudget/gw"));

    // The other place where Helm keeps records. Nothing of it is in Secrets.
    let mut command = yard.command(&["install", "maps", &chart().display().to_string(), "--set", "replicaCount=0"]);
    command.env("HELM_DRIVER", "configmap");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let maps: ReleaseName = "maps".parse().unwrap();
    let history = yard.releases.history(&yard.workload(), &maps).await.unwrap();
    assert_eq!((history.storage, history.current.revision), (Storage::ConfigMaps, revision(1)));
    let read = yard.releases.record(&yard.workload(), &maps, revision(1), history.storage).await.unwrap();
    assert_eq!((read.name.as_str(), read.objects.len()), ("maps", 3));
    let reference = WorkloadRef { name: "maps".parse().unwrap(), ..yard.workload() };
    let coupled = yard.kubernetes.coupled(&reference, Goal::Release(maps, revision(1))).await.unwrap();
    assert!(coupled.leanings.iter().all(|leaning| leaning.restored), "{coupled:#?}");
}

/// A chart is in every record of its revisions, with all of its files.
async fn a_large_record_is_read(yard: Yard) {
    let copy = yard.folder.path().join("chart");
    for folder in ["", "templates"] {
        std::fs::create_dir_all(copy.join(folder)).unwrap();
        for entry in std::fs::read_dir(chart().join(folder)).unwrap().flatten() {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), copy.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    let mut noise = vec![0; 700_000];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut noise).unwrap();
    std::fs::write(copy.join("ballast.bin"), noise).unwrap();
    yard.well(&["install", "gw", &copy.display().to_string(), "--set", "replicaCount=0"]).await;
    let path = format!("/api/v1/namespaces/{}/secrets/sh.helm.release.v1.gw.v1", yard.namespace);
    let stored = yard.get(&path).await["data"]["release"].as_str().unwrap().len();
    assert!(stored > 1_000_000, "{stored}");
    assert_eq!(yard.record(1, Storage::Secrets).await.image(&yard.workload()).unwrap().tag(), Some(OLD));
}

/// The client of an upgrade is killed: the release is pending for ever, an upgrade is refused, and
/// a rollback is the way out, once nobody can be at work on it any more.
async fn a_killed_upgrade_is_taken_back(yard: Yard) {
    yard.roll("install", &[]).await;
    let chart = chart().display().to_string();
    let words = ["upgrade", "gw", &chart, "--set", "image.tag=v1.81.9-bad", "--wait"];
    let mut child = yard.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    yard.until("the pending upgrade", async || yard.status(2).await == Some(ReleaseStatus::PendingUpgrade)).await;
    yard.until("its pods", async || yard.seen().await.template.main().unwrap().image.as_str().ends_with("bad")).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(yard.status(2).await, Some(ReleaseStatus::PendingUpgrade));
    let record = yard.record(2, Storage::Secrets).await;
    assert!(record.never_came_through(), "{}", record.description);
    let refused = yard.helm(&["upgrade", "gw", &chart]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another operation"), "{refused:?}");
    let young = yard.judge(1, SignedDuration::ZERO).await;
    assert!(young.refused("pending"), "{:#?}", young.concerns);
    assert!(young.says("pending").contains("its client may still work"));
    let old = yard.judge(1, SignedDuration::from_mins(6)).await;
    assert!(old.says("pending").contains("has been pending-upgrade for 6m"), "{}", old.says("pending"));
    let done = yard.send(old).await.unwrap();
    assert_eq!(done.revision, revision(3));
    assert_eq!(yard.status(3).await, Some(ReleaseStatus::Deployed));
    yard.roll("upgrade", &[]).await;
}

/// Nothing to go back to: the console says what a person has to do.
async fn a_killed_installation_is_left_to_a_person(yard: Yard) {
    let chart = chart().display().to_string();
    let words = ["install", "gw", &chart, "--set", "image.tag=v1.81.9-bad", "--wait"];
    let mut child = yard.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    yard.until("the pending installation", async || yard.status(1).await == Some(ReleaseStatus::PendingInstall)).await;
    yard.until("the Deployment", async || {
        let request = http::Request::get(yard.deployment()).body(Vec::new()).unwrap();
        yard.client.request_text(request).await.is_ok()
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let judged = yard.judge(1, SignedDuration::from_hours(1)).await;
    assert!(judged.refused("pending"), "{:#?}", judged.concerns);
    assert!(judged.says("pending").contains("uninstall it by hand: helm uninstall gw"), "{}", judged.says("pending"));
}

/// Explicit revision, the record as the proof, the output kept, and nothing sent twice.
async fn a_rollback_is_sent_once_and_proved(yard: Yard) {
    let probed = yard.releases.program().await.unwrap();
    assert_eq!(probed.major, yard.major);
    yard.roll("install", &[]).await;
    yard.roll("upgrade", &["image.tag=v1.81.5"]).await;
    yard.roll("upgrade", &[&format!("image.tag={NEW}")]).await;
    let [judged, again] = [yard.judge(1, SignedDuration::ZERO).await, yard.judge(1, SignedDuration::ZERO).await];
    let done = yard.send(judged).await.unwrap();
    assert_eq!(done.revision, revision(4), "to 1, not to the one before");
    let words = done.words.as_str();
    for part in ["revision 4 is deployed: Rollback to 1", probed.version.as_str(), "exit code 0", "Happy Helming"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let log = yard.folder.path().join("helm-gw-v4.log");
    assert!(std::fs::read_to_string(&log).unwrap().contains("Happy Helming"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&log).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let seen = yard.seen().await;
    assert_eq!(seen.template.main().unwrap().image.tag(), Some(OLD));
    // Helm waits for the new pods, and not for the old ones to be gone: that is the console's to see.
    assert!(seen.numbers.available >= 2 && seen.numbers.updated == 2, "{:?}", seen.numbers);
    yard.until("the end of the rollout", async || yard.seen().await.numbers.status() == Rollout::Done).await;
    let twice = yard.send(again).await.unwrap_err();
    assert_eq!(twice.kind, TroubleKind::Changed);
    assert!(twice.what.as_str().contains("nothing was sent"), "{}", twice.what);
    assert_eq!(yard.history().await.current.revision, revision(4));
    assert_eq!(yard.history().await.older.len(), 3, "no older revision is pruned");
}

/// Whoever waited is gone; the program goes on, and the record tells how it ended.
async fn a_rollback_outlives_the_console(yard: Yard) {
    yard.roll("install", &["image.tag=v1.81.0-slow"]).await;
    yard.roll("upgrade", &[&format!("image.tag={NEW}")]).await;
    let judged = yard.judge(1, SignedDuration::ZERO).await;
    let cleared = judged.cleared.unwrap();
    {
        let sent = yard.releases.rollback(cleared, yard.folder.path().to_owned());
        let pending = async || yard.status(3).await == Some(ReleaseStatus::PendingRollback);
        tokio::select! {
            ended = sent => panic!("it ended at once: {ended:?}"),
            () = yard.until("the pending rollback", pending) => {}
        }
    }
    let record = yard.record(3, Storage::Secrets).await;
    assert_eq!(outcome(revision(1), Some((&record.status, &record.description))), Outcome::Running);
    yard.until("its end", async || yard.status(3).await == Some(ReleaseStatus::Deployed)).await;
    let record = yard.record(3, Storage::Secrets).await;
    assert_eq!(outcome(revision(1), Some((&record.status, &record.description))), Outcome::Done);
}

/// Hooks are those of the target; when one fails, Helm stops and leaves the release pending.
async fn a_hook_that_fails_leaves_it_pending(yard: Yard) {
    yard.roll("install", &[]).await;
    yard.roll("upgrade", &["rollbackHook=registry.example/bad/litellm:v1.81.9"]).await;
    yard.roll("upgrade", &[&format!("image.tag={NEW}")]).await;
    let judged = yard.judge(2, SignedDuration::ZERO).await;
    let said = judged.says("hooks");
    assert!(
        said.contains("Job/gw-check of revision 2 runs at the rollback with registry.example/bad/litellm:v1.81.9"),
        "{said}"
    );
    let failed = yard.send(judged).await.unwrap_err();
    assert_eq!(failed.kind, TroubleKind::Invalid);
    assert!(failed.what.as_str().contains("revision 4 is still pending-rollback"), "{}", failed.what);
    assert!(failed.what.as_str().contains("gw-check"), "helm's own words: {}", failed.what);
    assert_eq!(yard.status(4).await, Some(ReleaseStatus::PendingRollback));
    assert_eq!(yard.seen().await.template.main().unwrap().image.tag(), Some(NEW), "nothing was changed");
    let judged = yard.judge(1, SignedDuration::from_mins(6)).await;
    assert_eq!(yard.send(judged).await.unwrap().revision, revision(5));
}

/// Helm marks what a failed rollback left as superseded, also an upgrade that never worked.
async fn a_failed_rollback_makes_no_revision_good(yard: Yard) {
    yard.roll("install", &["migrationJob.enabled=true", "migrationJob.retries=0"]).await;
    yard.roll("upgrade", &[]).await;
    let chart = chart().display().to_string();
    let bad = ["upgrade", "gw", &chart, "--set", "image.tag=v1.81.9-bad", "--wait", "--timeout", "3s"];
    assert!(!yard.helm(&bad).await.status.success());
    assert_eq!(yard.status(3).await, Some(ReleaseStatus::Failed));
    // A Job of the same name that Helm does not know stands in the way of revision 1.
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "x", "image": "other:1"}]}});
    let job = json!({"metadata": {"name": "gw-migrations"}, "spec": {"template": template}});
    yard.create("/apis/batch/v1/namespaces/NS/jobs", &job).await;
    assert!(!yard.helm(&["rollback", "gw", "1"]).await.status.success());
    let [three, four] = [yard.status(3).await, yard.status(4).await];
    assert_eq!((three, four), (Some(ReleaseStatus::Superseded), Some(ReleaseStatus::Failed)));
    let judged = yard.judge(3, SignedDuration::ZERO).await;
    assert!(judged.refused("target-status"), "{:#?}", judged.concerns);
    assert!(judged.says("target-status").contains("it never came through: Upgrade \"gw\" failed"));
    // What stands in the way of revision 2 is at most the Job that still runs.
    let judged = yard.judge(2, SignedDuration::ZERO).await;
    assert!(!judged.ids().contains(&("target-status", Gravity::Refuses)), "{:#?}", judged.concerns);
}

/// An emergency variable and a restart are in no manifest: Helm leaves both, and calls it a success.
async fn what_is_in_no_manifest_survives(yard: Yard) {
    yard.roll("install", &[]).await;
    yard.roll("upgrade", &[&format!("image.tag={NEW}")]).await;
    let env = json!([{"name": "LITELLM_LOG", "value": "DEBUG"}]);
    let patch = json!({"spec": {"template": {
        "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"}},
        "spec": {"containers": [{"name": "litellm", "env": env}]},
    }}});
    yard.by_hand("kubectl-set", &patch).await;
    let judged = yard.judge(1, SignedDuration::ZERO).await;
    let said = judged.says("drift");
    assert!(said.contains("variable LITELLM_LOG of litellm is not in the manifest"), "{said}");
    yard.send(judged).await.unwrap();
    let live = yard.seen().await.template;
    let manifest = yard.record(3, Storage::Secrets).await;
    let manifest = manifest.deployment(&yard.workload()).unwrap().template.clone().unwrap();
    assert_eq!(live.main().unwrap().image.tag(), Some(OLD));
    let left: Vec<String> = extras(&live, &manifest).iter().map(|extra| extra.variable.to_string()).collect();
    assert_eq!(left, ["LITELLM_LOG"]);
    let raw = yard.get(&yard.deployment()).await;
    let annotations = &raw["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["kubectl.kubernetes.io/restartedAt"], "2026-01-02T03:04:05Z");
}

/// An emergency image: Helm 3 writes over it, Helm 4 stops half way and says that it is a conflict.
async fn a_field_of_somebody_else(yard: Yard) {
    yard.roll("install", &[]).await;
    yard.roll("upgrade", &[&format!("image.tag={NEW}")]).await;
    let image = json!([{"name": "litellm", "image": "ghcr.io/berriai/litellm:v1.81.4"}]);
    yard.by_hand("kubectl-set", &json!({"spec": {"template": {"spec": {"containers": image}}}})).await;
    let writers = yard.history().await.writers.unwrap();
    let field = "spec.containers[litellm].image";
    let by = writers.iter().find(|writer| writer.who.as_str() == "kubectl-set (Update)").unwrap();
    assert!(by.fields.iter().any(|at| at.as_str() == field), "{writers:?}");
    let judged = yard.judge(1, SignedDuration::ZERO).await;
    if yard.major == 3 {
        assert!(!judged.ids().iter().any(|(id, _)| *id == "server-side-apply"), "{:#?}", judged.concerns);
        yard.send(judged).await.unwrap();
        assert_eq!(yard.seen().await.template.main().unwrap().image.tag(), Some(OLD));
        return;
    }
    assert!(judged.refused("server-side-apply"), "{:#?}", judged.concerns);
    let said = judged.says("server-side-apply");
    let path = ".spec.template.spec.containers[name=\"litellm\"].image of Deployment/gw";
    assert!(said.contains(&format!("kubectl-set has written {path}")), "{said}");
    // What would have come of it, and that the remedy is one.
    let failed = yard.helm(&["rollback", "gw", "1", "--wait", "--timeout", "30s"]).await;
    assert!(String::from_utf8_lossy(&failed.stderr).contains("conflict"), "{failed:?}");
    assert_eq!(yard.seen().await.template.main().unwrap().image.tag(), Some("v1.81.4"));
    yard.well(&["rollback", "gw", "1", "--wait", "--timeout", "60s", "--history-max", "0", "--force-conflicts"]).await;
    assert_eq!(yard.seen().await.template.main().unwrap().image.tag(), Some(OLD));
    // The same of a number of replicas that somebody scaled to.
    yard.roll("upgrade", &[&format!("image.tag={NEW}")]).await;
    let scale = format!("{}/scale?fieldManager=kubectl", yard.deployment());
    let four = json!({"spec": {"replicas": 4}});
    send(&yard.client, "PATCH", &scale, "application/merge-patch+json", &four).await;
    let writers = yard.history().await.writers.unwrap();
    assert!(writers.iter().any(|writer| writer.fields.iter().any(|at| at.as_str() == Writer::REPLICAS)), "{writers:?}");
    let judged = yard.judge(1, SignedDuration::ZERO).await;
    assert!(judged.refused("server-side-apply"), "{:#?}", judged.concerns);
    let failed = yard.helm(&["rollback", "gw", "1"]).await;
    assert!(String::from_utf8_lossy(&failed.stderr).contains(".spec.replicas"), "{failed:?}");
}

/// From a number of replicas back to an autoscaler's: Helm sends `replicas: null`, which is one.
async fn replicas_that_disappear(yard: Yard) {
    yard.roll("install", &["autoscaling.enabled=true"]).await;
    yard.roll("upgrade", &["replicaCount=4"]).await;
    let judged = yard.judge(1, SignedDuration::ZERO).await;
    let said = judged.says("replicas");
    assert!(said.contains("revision 1 sets no replicas") && said.contains("4 pods become 1"), "{said}");
    yard.send(judged).await.unwrap();
    let left = yard.get(&yard.deployment()).await["spec"]["replicas"].clone();
    assert_eq!(left, 1, "nobody has scaled it yet");
}

/// The chart's migration Job is no hook by default: one that is there stands in the way.
async fn a_migration_job_collides(yard: Yard) {
    yard.roll("install", &["migrationJob.enabled=true"]).await;
    let chart = chart().display().to_string();
    let newer = ["--set", "image.tag=v1.81.9", "--set", "migrationJob.enabled=true"];
    let upgrade = yard.helm(&[&["upgrade", "gw", &chart][..], &newer].concat()).await;
    assert!(String::from_utf8_lossy(&upgrade.stderr).contains("field is immutable"), "{upgrade:?}");
    assert_eq!(yard.status(2).await, Some(ReleaseStatus::Failed));
    yard.roll("upgrade", &["image.tag=v1.81.9"]).await;
    let judged = yard.judge(1, SignedDuration::ZERO).await;
    assert!(judged.refused("migration-job"), "{:#?}", judged.concerns);
    let said = judged.says("migration-job");
    assert!(said.contains("Helm creates Job/gw-migrations of revision 1 again"), "{said}");
    assert!(said.contains("the record names chart gateway 1.0.0, not where it came from"), "{said}");
    assert!(said.contains("| helm upgrade gw \"$CHART\" --version 1.0.0"), "{said}");
}

/// ConfigMaps and Secrets: what the release holds comes back with it, everything else stays.
async fn what_lies_outside_the_release_is_told(yard: Yard) {
    let map = |text: &str| json!({"metadata": {"name": "outside"}, "data": {"rules": text}});
    yard.create("/api/v1/namespaces/NS/configmaps", &map("one")).await;
    let salt = json!({"metadata": {"name": "salts"}, "stringData": {"salt": "salt-outside-the-release"}});
    yard.create("/api/v1/namespaces/NS/secrets", &salt).await;
    let outside = ["external.configMap=outside", "external.salt=salts"];
    yard.roll("install", &outside).await;
    let newer = ["masterkey=sk-second-5678", "proxy_config.model_list[0].model_name=x"];
    yard.roll("upgrade", &[&outside[..], &newer].concat()).await;
    // Written times have whole seconds.
    let before = Timestamp::now().as_second();
    yard.until("the next second", async || Timestamp::now().as_second() > before).await;
    let path = format!("/api/v1/namespaces/{}/configmaps/outside?fieldManager=web-editor", yard.namespace);
    send(&yard.client, "PATCH", &path, "application/merge-patch+json", &map("two")).await;
    let goal = Goal::Release(yard.release(), revision(1));
    let coupled = yard.kubernetes.coupled(&yard.workload(), goal.clone()).await.unwrap();
    let mut sources: Vec<(String, bool)> =
        coupled.leanings.iter().map(|leaning| (leaning.source.to_string(), leaning.restored)).collect();
    sources.sort();
    let wanted = [
        ("configmap/gw-config", true),
        ("configmap/outside", false),
        ("secret/gw-masterkey", true),
        ("secret/salts", false),
    ];
    assert_eq!(sources, wanted.map(|(name, restored)| (name.to_owned(), restored)));
    let (history, target) = (yard.history().await, yard.record(1, Storage::Secrets).await);
    let aim = Aim {
        goal,
        number: 1,
        template: target.deployment(&yard.workload()).unwrap().template.as_ref().unwrap(),
        digest: None,
        current: false,
        created: history.row(revision(1)).unwrap().created.unwrap(),
        left: history.left(revision(1)),
    };
    let changed = drifted(&coupled, &aim);
    let stops: Vec<String> =
        changed.iter().filter(|drift| drift.stops()).map(|drift| drift.leaning.source.to_string()).collect();
    assert_eq!(stops, ["configmap/outside"], "what the release holds is written back: {coupled:#?}");
    let outside = changed.iter().find(|drift| drift.stops()).unwrap();
    assert_eq!(outside.written, Written::After);
    assert!(matches!(&outside.leaning.found, Found::There { by: Some(by), .. } if by.as_str() == "web-editor"));
    assert_eq!(coupled.salt.verdict, Verdict::Same, "both take it from outside: {:?}", coupled.salt);
    assert_eq!(coupled.checksums.len(), 1);
    // Without a salt key it is the master key, and that of the target is in its manifest.
    yard.roll("upgrade", &[]).await;
    yard.roll("upgrade", &["masterkey=sk-third-9012"]).await;
    let third = Goal::Release(yard.release(), revision(3));
    let coupled = yard.kubernetes.coupled(&yard.workload(), third.clone()).await.unwrap();
    assert_eq!(coupled.salt.verdict, Verdict::Different, "{:?}", coupled.salt);
    let keys = yard.kubernetes.salt_keys(&yard.workload(), third).await.unwrap();
    assert_eq!(keys.target.known().map(|key| key.expose()), Some("sk-of-the-chart-1234"));
    assert_eq!(keys.live.known().map(|key| key.expose()), Some("sk-third-9012"));
    assert!(!format!("{coupled:?}").contains("sk-third-9012"));
}

/// A restart adds one annotation, which Helm leaves alone; every other change is Helm's to make.
async fn pods_are_restarted_and_nothing_else_is_patched(yard: Yard) {
    yard.roll("install", &[]).await;
    let workload = yard.seen().await;
    let container = workload.template.main().unwrap().name.clone();
    let at = Timestamp::now();
    let image = ChangeKind::SetImage { container, image: "ghcr.io/berriai/litellm:v1.81.4".parse().unwrap() };
    for change in [Change::on(&workload, image, false), Change::on(&workload, ChangeKind::Restart { at }, true)] {
        assert_eq!(yard.kubernetes.preview(change).await.unwrap_err().kind, TroubleKind::Refused);
    }
    let preview = yard.kubernetes.preview(Change::on(&workload, ChangeKind::Restart { at }, false)).await.unwrap();
    let catalog = Catalog::default();
    let facts = Forecasting::without_database(Newest::Nothing, &catalog);
    let cleared = clear_change(&preview, &facts, None).unwrap_or_else(|why| panic!("{why:?}"));
    yard.kubernetes.apply(cleared).await.unwrap();
    yard.until("the restart", async || yard.seen().await.numbers.status() == Rollout::Done).await;
    yard.roll("upgrade", &[&format!("image.tag={NEW}")]).await;
    yard.roll_back(1).await.unwrap();
    let raw = yard.get(&yard.deployment()).await;
    let annotations = &raw["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["kubectl.kubernetes.io/restartedAt"], at.to_string(), "Helm leaves it");
    assert_eq!(yard.history().await.current.revision, revision(3));
}

/// Programs that are no Helm that is known here.
#[tokio::test]
async fn other_programs_are_told_apart() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}], users: [{name: u, user: {}}], contexts: [{name: c, context: {cluster: c, user: u}}]}").unwrap();
    let kubernetes = connect(config.clone(), Gate::default()).await;
    for (said, told) in [
        ("v3.17.0", Ok(3)),
        ("v4.1.4", Ok(4)),
        ("v4.2.0-rc.1+g1234", Ok(4)),
        ("v2.17.0", Err("is version v2.17.0, and only 3 and 4 are known here")),
        ("v5.0.0", Err("is version v5.0.0, and only 3 and 4 are known here")),
        ("", Err("is version , and only 3 and 4 are known here")),
    ] {
        let program = folder.path().join("helm");
        std::fs::write(&program, format!("#!/bin/sh\necho '{said}'\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let found = Helm::new(kubernetes.clone(), Some(config.clone())).with_program(program).program().await;
        match (found, told) {
            (Ok(found), Ok(major)) => assert_eq!((found.major, found.version.as_str()), (major, said)),
            (Err(why), Err(words)) => assert!(why.what.as_str().contains(words), "{}", why.what),
            (found, told) => panic!("{said}: {found:?}, and not {told:?}"),
        }
    }
}
