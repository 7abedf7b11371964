//! Driving a sandbox through its ports, as the console would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use lastgood::domain::backup::{BackupItem, BackupOrder, BackupProof};
use lastgood::domain::candidate::rank;
use lastgood::domain::catalog::Catalog;
use lastgood::domain::change::{Change, ChangeKind, Refusal, clear};
use lastgood::domain::checks::{LagoLine, lago_line, waits_for};
use lastgood::domain::cluster::{Pod, PodsItem, WorkloadRef};
use lastgood::domain::confirm::{Confirm, Subject as _};
use lastgood::domain::coupled::{Aim, Drift, drifted, switch};
use lastgood::domain::forecast::{Facts, Newest, gateway_containers};
use lastgood::domain::incident::Goal;
use lastgood::domain::ledger::{Course, Ledger, Sources};
use lastgood::domain::log::{LogItem, LogSource};
use lastgood::domain::migration::{Deletion, Kept, MigrationTable, Row};
use lastgood::domain::release::{self, ReleaseRevision};
use lastgood::domain::runbook::NodeRef;
use lastgood::domain::scenario::{Scenario, bundled_scenarios};
use lastgood::domain::signature::Signatures;
use lastgood::domain::trouble::Trouble;
use lastgood::domain::workload::{Rollout, Workload};
use lastgood::text::{Clean, Gate};
use lastgood::world::World;
use lastgood::world::clock::Clock;
use lastgood::world::sandbox::Sandbox;

/// A scenario's world with a paused clock, and a folder of its own.
pub struct Drill {
    pub scenario: Scenario,
    pub world: World,
    pub clock: Clock,
    pub folder: tempfile::TempDir,
}

/// The bundled scenario of this id.
pub fn scenario(id: &str) -> Scenario {
    bundled_scenarios().into_iter().find(|scenario| scenario.id.as_str() == id).expect("the scenario is bundled")
}

pub fn morning() -> Timestamp {
    "2026-11-20T03:12:00Z".parse().unwrap()
}

/// What a forecast rests on without a database: the images of a workload's revisions.
pub fn facts(workload: &Workload) -> Facts<'static> {
    static EMPTY: std::sync::LazyLock<Catalog> = std::sync::LazyLock::new(Catalog::default);
    let templates = workload.revisions.iter().map(|revision| &revision.template);
    let newest = Newest::of(templates.flat_map(gateway_containers).map(|container| &container.image));
    Facts::without_database(newest, &EMPTY)
}

impl Drill {
    pub fn open(id: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(morning());
        let scenario = scenario(id);
        let world = Sandbox::open(&scenario, clock, &Gate::default(), Some(folder.path().join("world.jsonl"))).unwrap();
        Self { scenario, world, clock, folder }
    }

    /// The same world as a new process finds it.
    pub fn reopen(&mut self) {
        self.world = Sandbox::open(&self.scenario, self.clock, &Gate::default(), Some(self.memory())).unwrap();
    }

    pub fn memory(&self) -> PathBuf {
        self.folder.path().join("world.jsonl")
    }

    pub fn reference(&self) -> WorkloadRef {
        WorkloadRef { namespace: self.scenario.place.namespace.clone(), name: self.scenario.place.workload.clone() }
    }

    pub async fn workload(&self) -> Workload {
        let mut feed = self.world.cluster.as_ref().unwrap().workload(&self.reference());
        *feed.next().await.expect("a feed never ends").unwrap()
    }

    pub async fn pods(&self) -> Vec<Pod> {
        let mut feed = self.world.cluster.as_ref().unwrap().pods(&self.reference());
        match feed.next().await.expect("a feed never ends").unwrap() {
            PodsItem::Listed(pods) => pods.iter().map(|pod| Pod::clone(pod)).collect(),
            other => panic!("the first item is a list, not {other:?}"),
        }
    }

    pub fn source(&self, pod: &Pod, previous: bool) -> LogSource {
        let container = self.scenario.place.container.clone();
        LogSource { uid: pod.uid.clone(), pod: pod.name.clone(), container, previous }
    }

    /// What a fresh log feed brings at once.
    pub async fn log(&self, pod: &Pod, previous: bool) -> Vec<(Timestamp, String)> {
        let mut feed = self.world.cluster.as_ref().unwrap().logs(&self.source(pod, previous), 100_000);
        let mut lines = Vec::new();
        while let Ok(Some(item)) = tokio::time::timeout(Duration::from_millis(1), feed.next()).await {
            if let LogItem::Lines(segment) = item {
                lines.extend(segment.iter().map(|line| (line.at, line.text.to_string())));
            }
        }
        lines
    }

    /// Every line of every pod since a moment.
    pub async fn lines_since(&self, since: Timestamp) -> Vec<String> {
        let mut all = Vec::new();
        for pod in self.pods().await.iter().filter(|pod| !pod.terminating) {
            let lines = self.log(pod, false).await;
            all.extend(lines.into_iter().filter(|(at, _)| *at >= since).map(|(_, text)| text));
        }
        all
    }

    /// Whether a source of the best target stops a revert, unless one of these steps put it back.
    pub async fn drifted(&self, by_hand: &[NodeRef]) -> bool {
        if self.scenario.helm.is_some() {
            return false;
        }
        let workload = self.workload().await;
        let Some(best) = rank(&workload, &facts(&workload), self.clock.now()).into_iter().next() else { return false };
        let cluster = self.world.cluster.as_ref().unwrap();
        let coupled = cluster.coupled(&workload.reference, Goal::Template(best.uid.clone())).await.unwrap();
        let stops = |drift: &Drift<'_>| {
            let plan = self.scenario.sources.iter().find(|plan| plan.source == drift.leaning.source);
            let before = plan.and_then(|plan| plan.before.as_ref());
            drift.stops() && !before.is_some_and(|before| by_hand.contains(&before.node))
        };
        let revision = workload.revision(&best.uid).unwrap();
        drifted(&coupled, &Aim::template(&workload, revision)).iter().any(stops)
    }

    pub async fn table(&self) -> MigrationTable {
        self.world.database.as_ref().unwrap().migrations().await.unwrap()
    }

    /// What the console says about each row; `None` where the drill's database does not tell.
    #[allow(dead_code)]
    pub async fn ledger(&self) -> Option<Ledger> {
        let live = self.world.database.as_ref().unwrap().schema().await.ok()?;
        let (table, workload) = (self.table().await, self.workload().await);
        let target = workload.template.main().and_then(|container| container.image.version());
        let catalog = Catalog::embedded();
        Some(Ledger::compare(Sources {
            table: &table,
            live: Some(&live),
            catalog,
            target: target.as_ref(),
            image: None,
        }))
    }

    pub async fn change(&self, kind: ChangeKind, protect: bool) -> Result<Change, Refusal> {
        let workload = self.workload().await;
        let change = Change::on(&workload, kind, protect);
        let preview = self.world.workloads.as_ref().unwrap().preview(change.clone()).await.unwrap();
        let cleared = clear(&preview, &facts(&workload), None)?;
        self.world.workloads.as_ref().unwrap().apply(cleared).await.unwrap();
        Ok(change)
    }

    /// The change, with the guard's protection when it asks for it.
    pub async fn change_guarded(&self, kind: ChangeKind) {
        if let Err(refusal) = self.change(kind.clone(), false).await {
            assert!(refusal.protect_helps, "{refusal:?}");
            self.change(kind, true).await.expect("the protected change passes the guard");
        }
    }

    pub async fn revert(&self, number: u64) {
        let workload = self.workload().await;
        let target = workload.revisions.iter().find(|r| r.number == number).expect("the revision is there");
        self.change_guarded(ChangeKind::Revert { to: target.uid.clone(), revision: number }).await;
    }

    /// The rollback of the Helm release, as far as the guard lets it through.
    pub async fn roll_back(&self, to: ReleaseRevision) -> Result<(), Refusal> {
        let helm = self.scenario.helm.clone().expect("the scenario has a release");
        let workload = self.workload().await;
        let releases = self.world.releases.as_ref().unwrap();
        let history = releases.history(&workload.reference, &helm.release).await.unwrap();
        let record = async |revision| {
            releases.record(&workload.reference, &helm.release, revision, history.storage).await.unwrap()
        };
        let (current, target) = (record(history.current.revision).await, record(to).await);
        let goal = Goal::Release(helm.release.clone(), to);
        let coupled = self.world.cluster.as_ref().unwrap().coupled(&workload.reference, goal).await.unwrap();
        let forecast = facts(&workload);
        let facts = release::Facts {
            history: &history,
            current: &current,
            target: &target,
            workload: &workload,
            switch: switch(&coupled.settings),
            trial: None,
            forecast: &forecast,
            context: None,
            now: self.clock.now(),
        };
        let cleared = lastgood::domain::rollback::clear(&facts, None)?;
        releases.rollback(cleared, self.folder.path().to_owned()).await.unwrap();
        Ok(())
    }

    pub async fn restart(&self) {
        self.change_guarded(ChangeKind::Restart { at: self.clock.now() }).await;
    }

    pub async fn delete(&self, row: &Row) -> Result<Kept, Trouble> {
        let deletion = Deletion { row: row.clone(), again: Course::Untold };
        let phrases = deletion.phrases();
        let proof = Confirm::new(deletion).answer_all(phrases.iter().map(Clean::as_str)).expect("they confirm");
        self.world.database.as_ref().unwrap().delete(proof, self.folder.path().to_owned()).await
    }

    pub async fn back_up(&self, folder: &Path) -> BackupProof {
        let order = BackupOrder { without_spend_logs: false, at: self.clock.now() };
        let mut feed = self.world.backup.as_ref().unwrap().run(order, folder.to_owned());
        while let Some(item) = feed.next().await {
            match item {
                BackupItem::Progress(_) => {}
                BackupItem::Proved(proof) => return *proof,
                BackupItem::Failed(why) => panic!("the backup failed: {why:?}"),
            }
        }
        panic!("the backup ended without a word")
    }

    /// Lets time pass, and answers how long it took until the rollout is done, if it is.
    pub async fn wait_for_rollout(&self, at_most: u64) -> Option<u64> {
        for second in 0..at_most {
            if self.workload().await.numbers.status() == Rollout::Done {
                return Some(second);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        None
    }

    /// What is not well, as the checklist would find it. Empty when all is.
    pub async fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.wait_for_rollout(60).await.is_none() {
            found.push("the rollout is not done".to_owned());
        }
        if self.table().await.failed().next().is_some() {
            found.push("a migration is failed".to_owned());
        }
        let settled = self.clock.now();
        let gateway = self.world.gateway.as_ref().unwrap();
        match gateway.model_health().await {
            Ok(health) if health.healthy > 0 => {}
            other => found.push(format!("no healthy model: {other:?}")),
        }
        let patience = Duration::try_from(waits_for(gateway.settings().await.ok().as_ref())).unwrap();
        let patience = patience.min(Duration::from_secs(15));
        match gateway.complete(self.scenario.gateway.models[0].clone()).await {
            Ok(completion) => {
                tokio::time::advance(patience).await;
                let row = self.world.database.as_ref().unwrap().spend_row(completion.id).await.unwrap();
                if row.is_none() {
                    found.push("spend is not recorded".to_owned());
                }
            }
            Err(why) => {
                tokio::time::advance(patience).await;
                found.push(format!("no completion: {}", why.sentence()));
            }
        }
        let lines = self.lines_since(settled).await;
        let signatures = Signatures::bundled();
        let wrong = |line: &&String| signatures.find(line).is_some_and(|index| signatures.get(index).counts);
        if let Some(line) = lines.iter().find(wrong) {
            found.push(format!("in the log: {line}"));
        }
        if self.scenario.gateway.billing && !lines.iter().any(|line| lago_line(line) == Some(LagoLine::Delivered)) {
            found.push("no usage event was delivered".to_owned());
        }
        found
    }
}
