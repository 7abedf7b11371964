//! States for decision tests, built by the messages that a real run would bring.

use std::sync::Arc;

use jiff::Timestamp;
use lastgood::app::effect::{Effect, Feed, Look, LookId};
use lastgood::app::key::keys;
use lastgood::app::keymap::{self, Keymap};
use lastgood::app::msg::{Item, Msg, Sight};
use lastgood::app::setting::Setting;
use lastgood::app::state::State;
use lastgood::app::update::update;
use lastgood::domain::cluster::{ContainerStatus, Field, Fingerprint, Phase, Pod, PodsItem, WorkloadRef};
use lastgood::domain::coupled::{ConfigFile, Coupled, Disable, Pull};
use lastgood::domain::environment::Kind;
use lastgood::domain::incident::Goal;
use lastgood::domain::migration::{MigrationTable, Row, RowState};
use lastgood::domain::record::Entry;
use lastgood::domain::release::{Trial, Tried};
use lastgood::domain::rollback::HelmProgram;
use lastgood::domain::runbook::{NodeRef, bundled_runbooks};
use lastgood::domain::salt::{Comparison, Opened, Verdict};
use lastgood::domain::signature::Signatures;
use lastgood::domain::workload::{
    Container, EnvValue, EnvVar, MigrationJob, Owner, Revision, RevisionStatus, RolloutNumbers, Template, Workload,
};
use lastgood::text::{Clean, Gate};

pub const OLD: &str = "ghcr.io/berriai/litellm:v1.81.0";
pub const NEW: &str = "ghcr.io/berriai/litellm:v1.81.9";

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

pub fn reference() -> WorkloadRef {
    WorkloadRef { namespace: "llm".parse().unwrap(), name: "litellm".parse().unwrap() }
}

pub fn node(raw: &str) -> NodeRef {
    let (runbook, node) = raw.split_once(':').unwrap();
    NodeRef { runbook: runbook.parse().unwrap(), node: node.parse().unwrap() }
}

pub fn template(image: &str, protected: bool) -> Template {
    let gate = Gate::default();
    let mut env = Vec::new();
    let mut fields = vec![(gate.clean("spec.containers[litellm].image"), Field::Shown(gate.clean(image)))];
    if protected {
        let value = Field::Shown(Clean::ours("true"));
        env.push(EnvVar { name: "DISABLE_SCHEMA_UPDATE".parse().unwrap(), value: EnvValue::Literal(value.clone()) });
        fields.push((gate.clean("spec.containers[litellm].env[DISABLE_SCHEMA_UPDATE]"), value));
    }
    let container = Container {
        name: "litellm".parse().unwrap(),
        image: image.parse().unwrap(),
        init: false,
        words: vec![],
        env,
        env_from: vec![],
    };
    Template { containers: vec![container], fields: fields.into_iter().collect(), ..Template::default() }
}

fn revision(number: u64, image: &str, status: RevisionStatus) -> Revision {
    Revision {
        number,
        uid: format!("rs-{number}").parse().unwrap(),
        name: format!("litellm-{number}").parse().unwrap(),
        created: at(-200_000 + i64::try_from(number).unwrap() * 90_000),
        change_cause: None,
        replicas: 0,
        ready: 0,
        digest: None,
        status,
        template: template(image, false),
    }
}

/// Two revisions: an old good one, and a new one that is live.
pub fn workload(generation: i64) -> Workload {
    Workload {
        reference: reference(),
        uid: "deployment-1".parse().unwrap(),
        paused: false,
        owner: Owner::Nobody,
        numbers: RolloutNumbers {
            generation,
            observed: generation,
            wanted: Some(1),
            updated: 1,
            total: 1,
            available: 1,
            deadline_exceeded: false,
        },
        template: template(NEW, false),
        revisions: vec![revision(2, NEW, RevisionStatus::Live), revision(1, OLD, RevisionStatus::Superseded)],
        jobs: Some(vec![]),
        conditions: vec![],
    }
}

/// The same after a protected revert.
pub fn reverted(generation: i64) -> Workload {
    let mut workload = workload(generation);
    workload.template = template(OLD, true);
    workload.revisions[0].status = RevisionStatus::Superseded;
    let mut live = revision(3, OLD, RevisionStatus::Live);
    live.template = template(OLD, true);
    workload.revisions.insert(0, live);
    workload
}

pub fn job(active: bool) -> MigrationJob {
    MigrationJob { name: "litellm-migrations".parse().unwrap(), image: None, active }
}

pub fn pod(uid: &str, image: &str, ready: bool) -> Arc<Pod> {
    Arc::new(Pod {
        uid: uid.parse().unwrap(),
        name: format!("litellm-{uid}").parse().unwrap(),
        workload: reference(),
        phase: Phase::Running,
        terminating: false,
        created: at(-100),
        replica_set: None,
        revision: Some(2),
        node: None,
        containers: vec![ContainerStatus {
            name: "litellm".parse().unwrap(),
            image: image.parse().unwrap(),
            digest: None,
            ready,
            restarts: 0,
            waiting: None,
            last_exit: None,
            started: Some(at(-90)),
            terminated: false,
            init: false,
        }],
        reason: None,
    })
}

pub fn row(id: &str, name: &str, state: RowState) -> Row {
    Row {
        id: id.parse().unwrap(),
        name: name.parse().unwrap(),
        state,
        started_at: at(-1_000),
        finished_at: (state == RowState::Applied).then(|| at(-990)),
        rolled_back_at: None,
        steps: 0,
        checksum: Clean::default(),
        logs: None,
        content: Fingerprint::new(&[7; 32], id.as_bytes()),
    }
}

pub fn table(rows: Vec<Row>) -> MigrationTable {
    MigrationTable { rows, exists: true, ..MigrationTable::default() }.sorted()
}

/// A target that leans on nothing.
pub fn coupled(target: Goal) -> Coupled {
    let key = || Clean::ours("LITELLM_SALT_KEY in the template");
    Coupled {
        target,
        leanings: vec![],
        checksums: vec![],
        scalers: Ok(vec![]),
        pull: Some(Pull::IfNotPresent),
        pulled: Ok(vec![]),
        salt: Comparison { live: key(), target: key(), verdict: Verdict::Same },
        config: ConfigFile::Unseen(Clean::ours("this template names none")),
        settings: Ok(None),
        disable: Disable { from: Clean::ours("DISABLE_SCHEMA_UPDATE is not set"), set: Ok(None) },
    }
}

/// A rollback of a release that the API server tried, with these objects.
pub fn passed(tried: Vec<Tried>) -> Trial {
    let helm = HelmProgram { path: Clean::ours("helm"), version: Clean::ours("v3.18.0"), major: 3 };
    Trial { helm, tried, left_out: 0 }
}

/// The console as a test drives it.
pub struct Desk {
    pub state: State,
    /// Every effect so far.
    pub effects: Vec<Effect>,
}

impl Desk {
    /// A console on a live environment named `prod`, standing at a node.
    pub fn at(start: &str) -> Self {
        let setting = Setting {
            context: Some("prod-cluster".parse().unwrap()),
            namespace: Some("llm".parse().unwrap()),
            workloads: vec![reference()],
            ..Setting::bare("prod".parse().unwrap(), Kind::Production)
        };
        let state = State::new(
            setting,
            Arc::new(bundled_runbooks()),
            Arc::new(Signatures::bundled()),
            Arc::new(Keymap::parse(keymap::DEFAULT).unwrap()),
            Gate::default(),
            at(0),
        );
        let mut desk = Self { state, effects: vec![] };
        let start = node(start);
        let opened = Entry::Opened {
            incident: "test-1".parse().unwrap(),
            environment: "prod".parse().unwrap(),
            kind: "production".to_owned(),
            scenario: None,
            place: vec![],
            runbook: start.runbook.clone(),
            version: 1,
            hash: String::new(),
            start,
        };
        desk.state.incident.apply(at(0), &opened, &Gate::default());
        desk
    }

    /// A console that sees its workload, its pods and its rows.
    pub fn seeing(start: &str) -> Self {
        let mut desk = Self::at(start);
        desk.see(workload(7));
        desk.pods(vec![pod("a", NEW, true)]);
        desk.rows(vec![row("r1", "20260101000000_a", RowState::Applied)]);
        desk
    }

    pub fn send(&mut self, msg: Msg) -> Vec<Effect> {
        let effects = update(&mut self.state, msg);
        self.effects.extend(effects.iter().cloned());
        effects
    }

    pub fn see(&mut self, workload: Workload) -> Vec<Effect> {
        self.send(Msg::Feed(Feed::Workload(reference()), Item::Workload(Ok(Box::new(workload)))))
    }

    pub fn pods(&mut self, pods: Vec<Arc<Pod>>) {
        self.send(Msg::Feed(Feed::Pods(reference()), Item::Pods(Ok(PodsItem::Listed(pods)))));
    }

    pub fn rows(&mut self, rows: Vec<Row>) {
        self.send(Msg::Feed(Feed::Migrations, Item::Migrations(Ok(table(rows)))));
    }

    pub fn tick(&mut self, second: i64) -> Vec<Effect> {
        self.send(Msg::Tick(at(second)))
    }

    /// Presses keys written as `R <enter> abc`; returns what the last one led to.
    pub fn press(&mut self, line: &str) -> Vec<Effect> {
        keys(line).unwrap().into_iter().map(|key| self.send(Msg::Key(key))).last().unwrap_or_default()
    }

    /// Arms, as an operator with the lock.
    pub fn arm(&mut self) {
        self.press("A prod <enter>");
        self.send(Msg::Locked(Ok(())));
        assert!(self.state.armed(), "armed");
    }

    /// The look of a kind that is under way.
    pub fn look(&self, wanted: impl Fn(&Look) -> bool) -> LookId {
        *self.state.looks.iter().find(|(_, look)| wanted(look)).expect("the look is under way").0
    }

    /// What the targets lean on is read: nothing that could have changed.
    pub fn read_sources(&mut self) {
        let open: Vec<_> = self.state.looks.iter().map(|(id, look)| (*id, look.clone())).collect();
        for (id, look) in open {
            match look {
                Look::Coupled(_, target) => drop(self.answer(id, Sight::Coupled(Ok(Box::new(coupled(target)))))),
                Look::Trial(_) => drop(self.answer(id, Sight::Trial(Ok(Box::new(passed(vec![])))))),
                Look::Opened(..) => drop(self.answer(id, Sight::Opened(Ok(Opened::default())))),
                _ => {}
            }
        }
    }

    pub fn answer(&mut self, id: LookId, sight: Sight) -> Vec<Effect> {
        self.send(Msg::Looked(id, sight))
    }

    /// The last thing that was said.
    pub fn said(&self) -> String {
        self.state.notice.as_ref().map_or(String::new(), |notice| notice.words.to_string())
    }
}
