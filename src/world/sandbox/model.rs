//! The model of a sandbox: a pure function of the scenario, the acts and the time.
//!
//! Time goes in steps of a fixed grid, so that asking often and asking once lead to the same
//! world. The rules are those of the real systems: a Deployment rolls, a crashed container
//! backs off, a failed row refuses every start, another salt reads no credential.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::memory::{Act, Deed, Patch};
use super::parts::{
    Fate, Millis, Plan, ReplicaSet, Run, SandboxPod, StoredRecord, StoredRow, batch_seconds, hash, length, letters,
    millis_before, millis_between, name, records, replica_set, rows, uid,
};
use super::schema;
use crate::domain::forecast::DISABLE_SCHEMA_UPDATE;
use crate::domain::name::{CacheNamespace, DatabaseName, MigrationId, MigrationName, Name, RequestId};
use crate::domain::release::{ReleaseRevision, ReleaseStatus};
use crate::domain::scenario::{Crash, ImagePlan, Scenario, Setting, SourcePlan, Spending, Strategy};
use crate::domain::schema::{Object, Schema};
use crate::text::{Clean, Secret};

/// The step of the grid.
const STEP: Millis = 250;
/// How long the controller takes to see a change.
const CONTROLLER: Millis = 300;
/// From a pod's creation to its container's start.
const SCHEDULING: Millis = 750;
/// From the signal to the end of a pod.
const TERMINATION: Millis = 2_000;
/// From its start until LiteLLM meets a failed migration and stops.
const REFUSAL: Millis = 1_200;
/// Kubernetes' first back-off of a crashed container and its longest.
const BACK_OFF: (Millis, Millis) = (10_000, 300_000);
/// `progressDeadlineSeconds` of a Deployment.
const PROGRESS_DEADLINE: Millis = 600_000;

/// One test completion.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) at: Millis,
    /// Index of the pod that answered.
    pub(super) pod: usize,
    /// When its spend row is written, if ever.
    pub(super) written: Option<Millis>,
}

/// The world at one moment.
pub(super) struct Model {
    pub(super) scenario: Arc<Scenario>,
    pub(super) start: Timestamp,
    pub(super) now: Millis,
    pub(super) sets: Vec<ReplicaSet>,
    pub(super) current: usize,
    pub(super) generation: i64,
    changed_at: Millis,
    pub(super) pods: Vec<SandboxPod>,
    /// The records of the Helm release, oldest first.
    pub(super) records: Vec<StoredRecord>,
    pub(super) rows: Vec<StoredRow>,
    /// Rows as they were before they were deleted or resolved.
    pub(super) kept: BTreeMap<MigrationId, StoredRow>,
    /// Sources that were put back by hand, and when.
    pub(super) put_back: BTreeMap<Name, Millis>,
    /// Namespaces of the response cache that were cleared.
    pub(super) cleared: BTreeSet<Option<CacheNamespace>>,
    /// Databases that were made for a backup, and whether they hold all of it.
    pub(super) databases: BTreeMap<DatabaseName, bool>,
    /// Migrations whose SQL has run, and since when. Deleting a row does not undo its SQL.
    pub(super) schema: BTreeMap<MigrationName, Millis>,
    /// What the database holds; `None` where the scenario does not say it.
    pub(super) held: Option<Schema>,
    /// When an object came that was not there before.
    pub(super) came: BTreeMap<Object, Millis>,
    pub(super) asked: Vec<Asked>,
}

impl Model {
    /// The world as the scenario leaves it when the drill begins at `start`.
    pub(super) fn new(scenario: Arc<Scenario>, start: Timestamp) -> Self {
        let sets: Vec<_> = scenario
            .revisions
            .iter()
            .map(|revision| {
                let plan = Plan {
                    image: revision.image.clone(),
                    words: revision.words.clone(),
                    env: revision.env.clone(),
                    checksum: revision.checksum.clone(),
                    leans: revision.leans.clone(),
                    restarted: None,
                };
                let created = millis_before(revision.age);
                let cause = revision.cause.clone();
                let set = replica_set(&scenario.place.workload, plan, revision.number, created, cause);
                ReplicaSet { ran: revision.ran.clone(), ..set }
            })
            .collect();
        let current = sets.len().saturating_sub(1);
        let before = current.saturating_sub(1);
        let began = sets.get(current).map_or(0, |set| set.created);
        let number = sets.get(current).map_or(0, |set| set.number);
        let mut model = Self {
            start,
            now: began.div_euclid(STEP) * STEP,
            sets,
            current,
            generation: i64::try_from(number).unwrap_or(i64::MAX),
            changed_at: began,
            pods: vec![],
            records: vec![],
            rows: rows(&scenario, start),
            kept: BTreeMap::new(),
            put_back: BTreeMap::new(),
            cleared: BTreeSet::new(),
            databases: BTreeMap::new(),
            schema: BTreeMap::new(),
            held: schema::held(&scenario),
            came: BTreeMap::new(),
            asked: vec![],
            scenario,
        };
        model.records = records(&model.scenario, &model.sets);
        for row in model.rows.iter().filter(|row| row.finished_at.is_some()) {
            let since = millis_between(start, row.started_at);
            model.schema.insert(row.migration_name.clone(), since);
        }
        for _ in 0..model.scenario.place.replicas {
            let created = model.sets[before].created;
            let ready_at = created + 10_000;
            let mut pod = model.pod(before, created);
            pod.next_start = None;
            pod.runs.push(Run { started: created + SCHEDULING, fate: Fate::Up { ready_at }, ended: None });
            model.pods.push(pod);
        }
        model.advance(0);
        schema::tamper(&mut model);
        model
    }

    /// Moves the world on to `now`, step by step of the grid. Never back.
    pub(super) fn advance(&mut self, now: Millis) {
        while self.now + STEP <= now {
            self.now += STEP;
            self.step();
        }
    }

    /// A moment as a time of day.
    pub(super) fn time(&self, at: Millis) -> Timestamp {
        self.start.checked_add(SignedDuration::from_millis(at)).unwrap_or(self.start)
    }

    /// When the drill's logs begin: older lines were rotated away.
    pub(super) fn horizon(&self) -> Millis {
        millis_before(self.scenario.live().age) - 120_000
    }

    /// The template that is in force.
    pub(super) fn plan(&self) -> &Plan {
        &self.sets[self.current].plan
    }

    /// How an image behaves.
    pub(super) fn image(&self, pod: &SandboxPod) -> Option<&ImagePlan> {
        self.scenario.image(&self.sets[pod.set].plan.image)
    }

    /// The pod that answers a request now, by index.
    pub(super) fn serving(&self) -> Option<usize> {
        let ready: Vec<_> = (0..self.pods.len()).filter(|i| self.pods[*i].ready(self.now)).collect();
        let turn = usize::try_from(self.now.max(0) / 1000).unwrap_or(0);
        ready.get(turn % ready.len().max(1)).copied()
    }

    /// The stored credentials cannot be read by pods of this template.
    pub(super) fn unreadable(&self, plan: &Plan) -> bool {
        self.scenario.database.salt.as_ref().is_some_and(|salt| plan.literal("LITELLM_SALT_KEY") != Some(salt))
    }

    /// The first failed row.
    pub(super) fn failed_row(&self) -> Option<&StoredRow> {
        self.rows.iter().find(|row| row.failed())
    }

    /// Applied migrations that an image does not know, because a newer one brought them.
    pub(super) fn unknown_to<'a>(&'a self, image: &'a ImagePlan) -> impl Iterator<Item = &'a MigrationName> {
        self.schema.keys().filter(|name| {
            !image.brings.contains(name) && self.scenario.images.iter().any(|other| other.brings.contains(name))
        })
    }

    /// Whether the controller has seen the last change.
    pub(super) fn observed(&self) -> bool {
        self.now >= self.changed_at + CONTROLLER
    }

    /// The rollout took longer than the Deployment allows.
    pub(super) fn deadline_exceeded(&self) -> bool {
        let ready = self.pods.iter().filter(|pod| pod.set == self.current && pod.ready(self.now)).count();
        self.now - self.changed_at > PROGRESS_DEADLINE && ready < self.wanted()
    }

    fn wanted(&self) -> usize {
        self.scenario.place.replicas as usize
    }

    /// The template that a patch leads to. `None` when it names something that is not there.
    pub(super) fn patched(&self, patch: &Patch, protect: bool) -> Option<Plan> {
        let mut plan = self.plan().clone();
        let ours = |container: &Name| *container == self.scenario.place.container;
        match patch {
            Patch::Revert { to } => plan = self.sets.iter().find(|set| &set.uid == to)?.plan.clone(),
            Patch::Image { container, image } if ours(container) => plan.image = image.clone(),
            Patch::Variable { container, name, value } if ours(container) => {
                plan.set(name.clone(), value.as_deref().map(|value| Setting::Literal(Secret::new(value))));
            }
            Patch::Restart { stamp } => plan.restarted = Some(*stamp),
            Patch::Image { .. } | Patch::Variable { .. } => return None,
        }
        if protect && let Ok(name) = DISABLE_SCHEMA_UPDATE.parse() {
            plan.set(name, Some(Setting::Literal(Secret::new("true"))));
        }
        Some(plan)
    }

    /// Lets an act happen. Whether it may was decided before it was written down.
    pub(super) fn apply(&mut self, act: &Act) {
        let at = millis_between(self.start, act.at);
        self.advance(at);
        match &act.deed {
            Deed::Opened { .. } | Deed::BackedUp { .. } => {}
            Deed::Changed { change, protect } => {
                if let Some(plan) = self.patched(change, *protect) {
                    self.roll_to(plan, at);
                }
            }
            Deed::RolledBack { to } => self.roll_back(*to, at),
            Deed::Deleted { id } => {
                if let Some(place) = self.rows.iter().position(|row| &row.id == id) {
                    let row = self.rows.remove(place);
                    self.kept.insert(id.clone(), row);
                }
            }
            Deed::Resolved { id } => {
                if let Some(row) = self.rows.iter_mut().find(|row| &row.id == id) {
                    self.kept.insert(id.clone(), row.clone());
                    row.rolled_back_at = Some(act.at);
                }
            }
            Deed::Restored { id } => {
                if let Some(kept) = self.kept.remove(id) {
                    self.rows.retain(|row| &row.id != id);
                    self.rows.push(kept);
                }
            }
            Deed::Completed { id, .. } => self.ask(id.clone(), at),
            Deed::ByHand { node } => {
                let sources = self.scenario.sources.iter();
                let back = sources.filter(|source| source.before.as_ref().is_some_and(|before| before.node == *node));
                self.put_back.extend(back.map(|source| (source.source.name.clone(), at)));
            }
            Deed::MadeDatabase { into } => drop(self.databases.insert(into.clone(), false)),
            Deed::RestoredDatabase { into } => drop(self.databases.insert(into.clone(), true)),
            Deed::DroppedDatabase { into } => drop(self.databases.remove(into)),
            Deed::ClearedCache { namespace } => drop(self.cleared.insert(namespace.clone())),
        }
    }

    /// As Helm does it: a new record with what the old one holds, then its objects, then the wait.
    fn roll_back(&mut self, to: ReleaseRevision, at: Millis) {
        let Some(target) = self.records.iter().find(|record| record.number == to).cloned() else { return };
        let Some(last) = self.records.last() else { return };
        let record = StoredRecord {
            number: last.number.next(),
            created: at,
            modified: None,
            status: ReleaseStatus::PendingRollback,
            description: say!("Rollback to {}", to),
            ..target
        };
        self.roll_to(record.plan.clone(), at);
        self.records.push(record);
    }

    /// Ends a rollback whose pods are ready, or whose time is up.
    fn settle_records(&mut self) {
        let now = self.now;
        let (ready, late) = (self.rolled_out(), now - self.changed_at > PROGRESS_DEADLINE);
        let Some((last, before)) = self.records.split_last_mut() else { return };
        if last.status != ReleaseStatus::PendingRollback || now < last.created + CONTROLLER || !(ready || late) {
            return;
        }
        last.modified = Some(now);
        if ready {
            last.status = ReleaseStatus::Deployed;
            for record in before.iter_mut().filter(|record| record.status == ReleaseStatus::Deployed) {
                record.status = ReleaseStatus::Superseded;
                record.modified = Some(now);
            }
        } else {
            last.status = ReleaseStatus::Failed;
            last.description = Clean::ours("Rollback failed: timed out waiting for the condition");
        }
    }

    /// Every replica is the current template's and ready, and no old one is left.
    fn rolled_out(&self) -> bool {
        let ready = self.pods.iter().filter(|pod| pod.set == self.current && pod.ready(self.now)).count();
        let old = self.pods.iter().any(|pod| pod.set != self.current && pod.gone.is_none());
        self.observed() && ready == self.wanted() && !old
    }

    fn roll_to(&mut self, plan: Plan, at: Millis) {
        if plan == *self.plan() {
            return;
        }
        let number = self.sets.iter().map(|set| set.number).max().unwrap_or(0) + 1;
        self.current = match self.sets.iter().position(|set| set.plan == plan) {
            Some(old) => {
                self.sets[old].number = number;
                old
            }
            None => {
                self.sets.push(replica_set(&self.scenario.place.workload, plan, number, at, None));
                self.sets.len() - 1
            }
        };
        self.generation += 1;
        self.changed_at = at;
    }

    fn ask(&mut self, id: RequestId, at: Millis) {
        let Some(pod) = self.serving() else { return };
        let plan = &self.sets[self.pods[pod].set].plan;
        let recorded = self.scenario.image(&plan.image).is_some_and(|image| image.spend == Spending::Recorded);
        let batch = batch_seconds(plan);
        let written = recorded.then(|| at + Millis::from(batch) * 1000 + 1_000);
        self.asked.push(Asked { id, at, pod, written });
    }

    fn step(&mut self) {
        if self.observed() {
            match self.scenario.place.strategy {
                Strategy::Recreate => self.recreate(),
                Strategy::Rolling => self.roll(),
            }
        }
        for at in 0..self.pods.len() {
            self.step_pod(at);
        }
        self.settle_records();
    }

    /// `Recreate`: the old ones go, then all new ones come.
    fn recreate(&mut self) {
        let (now, current) = (self.now, self.current);
        for pod in self.pods.iter_mut().filter(|pod| pod.set != current && pod.alive()) {
            pod.terminating = Some(now);
        }
        if self.pods.iter().any(|pod| pod.set != current && pod.gone.is_none()) {
            return;
        }
        for _ in self.pods.iter().filter(|pod| pod.alive()).count()..self.wanted() {
            let pod = self.pod(current, now);
            self.pods.push(pod);
        }
    }

    /// `RollingUpdate` with one pod more and never one ready pod less; broken old pods go first.
    fn roll(&mut self) {
        let (now, current, wanted) = (self.now, self.current, self.wanted());
        for pod in self.pods.iter_mut().filter(|pod| pod.set != current && pod.alive()) {
            if !pod.ready(now) {
                pod.terminating = Some(now);
            }
        }
        let new_ready = self.pods.iter().filter(|pod| pod.set == current && pod.ready(now)).count();
        let old = self.pods.iter().filter(|pod| pod.set != current && pod.alive()).count();
        if old > 0 && old + new_ready > wanted {
            let oldest = self.pods.iter_mut().find(|pod| pod.set != current && pod.alive());
            if let Some(pod) = oldest {
                pod.terminating = Some(now);
            }
        }
        let alive = self.pods.iter().filter(|pod| pod.alive()).count();
        let new = self.pods.iter().filter(|pod| pod.set == current && pod.alive()).count();
        if new < wanted && alive < wanted + 1 {
            let pod = self.pod(current, now);
            self.pods.push(pod);
        }
    }

    fn pod(&self, set: usize, created: Millis) -> SandboxPod {
        let seed = hash(&format!("{} {} {}", self.sets[set].name, self.pods.len(), self.scenario.id));
        let suffix = letters(seed, 5);
        SandboxPod {
            uid: uid(seed),
            name: name(&format!("{}-{suffix}", self.sets[set].name)),
            set,
            created,
            runs: vec![],
            unpullable: self.scenario.image(&self.sets[set].plan.image).is_none(),
            next_start: Some(created + SCHEDULING),
            terminating: None,
            gone: None,
            seed,
        }
    }

    fn step_pod(&mut self, at: usize) {
        let now = self.now;
        let pod = &mut self.pods[at];
        if pod.gone.is_some() {
            return;
        }
        if let Some(since) = pod.terminating {
            if now >= since + TERMINATION {
                pod.gone = Some(now);
            }
            if let Some(run) = pod.runs.last_mut().filter(|run| run.ended.is_none()) {
                run.ended = Some(since);
            }
            return;
        }
        if let Some(run) = pod.runs.last_mut().filter(|run| run.ended.is_none())
            && let Fate::Crash { at, .. } | Fate::Refused { at, .. } = run.fate
            && now >= at
        {
            run.ended = Some(at);
            let crashes = u32::try_from(pod.runs.len()).unwrap_or(u32::MAX);
            let wait = BACK_OFF.0.saturating_mul(1 << (crashes - 1).min(5)).min(BACK_OFF.1);
            pod.next_start = Some(at + wait);
        }
        if pod.next_start.is_some_and(|start| now >= start) && !pod.unpullable {
            pod.next_start = None;
            let run = self.begin(at);
            self.pods[at].runs.push(run);
        }
    }

    /// Starts a container, and decides by the rules what becomes of it.
    fn begin(&mut self, at: usize) -> Run {
        let started = self.now;
        let scenario = Arc::clone(&self.scenario);
        let plan = self.sets[self.pods[at].set].plan.clone();
        let up = |after| Run { started, fate: Fate::Up { ready_at: started + after }, ended: None };
        let Some(image) = scenario.image(&plan.image) else { return up(0) };
        if !plan.hands_off() {
            if self.failed_row().is_none() {
                self.migrate(&plan, image, started);
            }
            if let Some(row) = self.failed_row() {
                let (migration, began) = (row.migration_name.clone(), row.started_at);
                let fate = Fate::Refused { at: started + REFUSAL, migration, started: began };
                return Run { started, fate, ended: None };
            }
        }
        let crash = |crash: &Crash, on| {
            let fate = Fate::Crash { at: started + length(crash.after), exit: crash.exit.clone(), on };
            Run { started, fate, ended: None }
        };
        match (self.broken_by(&plan), &image.crash) {
            (Some((source, how)), _) => crash(how, Some(source.source.name.clone())),
            (None, Some(how)) => crash(how, None),
            (None, None) => up(length(image.ready_after)),
        }
    }

    /// What a template mounts that its image does not start with.
    fn broken_by(&self, plan: &Plan) -> Option<(&SourcePlan, &Crash)> {
        let leant = self.scenario.sources.iter().filter(|source| plan.leans.contains(&source.source.name));
        leant
            .filter(|source| !self.put_back.contains_key(&source.source.name))
            .filter_map(|source| Some((source, source.breaks.as_ref()?)))
            .find_map(|(source, (image, crash))| (*image == plan.image).then_some((source, crash)))
    }
}
