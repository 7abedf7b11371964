//! Everything that the screen can show: plain data, changed only by [`crate::app::update`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::app::action::Pane;
use crate::app::checks::Checks;
use crate::app::coupling::Coupling;
use crate::app::effect::{Act, Announced, Effect, Exit, Look, LookId};
use crate::app::keymap::Keymap;
use crate::app::learn::Learnt;
use crate::app::logs::Logs;
use crate::app::overlay::Overlay;
use crate::app::past::{self, Past};
use crate::app::preflight;
use crate::app::releases::Releases;
use crate::app::restore;
use crate::app::setting::Setting;
use crate::domain::acceptance::Acceptance;
use crate::domain::backup::Server;
use crate::domain::change::{ChangeKind, Cleared};
use crate::domain::cluster::{Identity, Permission, Pod, WorkloadRef};
use crate::domain::confirm::Confirmed;
use crate::domain::encrypted::Newer;
use crate::domain::forecast::Memo;
use crate::domain::headway::Headway;
use crate::domain::incident::{ActRecord, Goal, Incident};
use crate::domain::ledger::Ledger;
use crate::domain::live::Live;
use crate::domain::migration::MigrationTable;
use crate::domain::name::{ContextName, MigrationId, Uid};
use crate::domain::record::{ActId, ActKind, Changed, Entry};
use crate::domain::runbook::{Library, Node, NodeRef};
use crate::domain::schema::LiveSchema;
use crate::domain::signature::Signatures;
use crate::domain::step::StepKind;
use crate::domain::trouble::Trouble;
use crate::domain::workload::Workload;
use crate::text::{Clean, Gate};

/// What is known of one Deployment.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The Deployment itself.
    pub workload: Live<Box<Workload>>,
    /// Its pods by UID.
    pub pods: Live<BTreeMap<Uid, Arc<Pod>>>,
    /// How many pods are listed while the first list goes on.
    pub listing: usize,
}

/// An act that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Since when.
    pub since: Timestamp,
    /// Where it stands, of those that take long.
    pub progress: Option<Headway>,
    /// Cancelling was asked for.
    pub cancelling: bool,
}

/// Whether changes are allowed in this process.
#[derive(Clone, Debug, PartialEq)]
pub enum Arming {
    /// As the console opens.
    ReadOnly,
    /// The name was typed; the operator lock is being taken.
    Asking,
    /// The lock is held.
    Armed,
    /// Somebody else holds the lock.
    Refused(Trouble),
}

/// A change that was asked for and what it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// The look that answers.
    pub look: LookId,
    /// The step that it belongs to.
    pub step: StepKind,
    /// The node, when it is a step of the runbook.
    pub node: Option<NodeRef>,
    /// The losses that were accepted by typing.
    pub accepted: Option<Box<Confirmed<Acceptance>>>,
}

/// A message of the console to the operator, on the line above the footer.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// How urgent.
    pub tone: Tone,
    /// The words.
    pub words: Clean,
    /// When it came.
    pub at: Timestamp,
}

/// How a message is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It went well.
    Good,
    /// It is worth knowing.
    Plain,
    /// It needs attention.
    Warn,
    /// It failed or was refused.
    Bad,
}

/// How the journal stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalState {
    /// Entries on disk.
    pub written: u64,
    /// Why nothing can be written any more. Then nothing may change any more.
    pub broken: Option<Trouble>,
}

/// What the panes remember: selections and offsets are numbers here, so drawing changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The pane that gets the keys.
    pub focus: Pane,
    /// The pane alone on the screen.
    pub zoom: bool,
    /// Which migration rows are shown.
    pub rows: RowFilter,
    /// The selected line of each pane.
    pub cursor: BTreeMap<Pane, usize>,
    /// What is on that line: lines move, the selection stays with its object.
    pub anchor: BTreeMap<Pane, Anchor>,
    /// The screen, in cells.
    pub size: (u16, u16),
}

/// Which migration rows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowFilter {
    /// All of them.
    #[default]
    All,
    /// Those that the target's version does not know.
    Ahead,
    /// Those that a person should look at.
    Attention,
}

impl RowFilter {
    /// The one after this one.
    pub fn next(self) -> Self {
        match self {
            RowFilter::All => RowFilter::Ahead,
            RowFilter::Ahead => RowFilter::Attention,
            RowFilter::Attention => RowFilter::All,
        }
    }
}

/// The object on a selected line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// A pod.
    Pod(Uid),
    /// A revision that a workload can go back to.
    Revision(WorkloadRef, Goal),
    /// A migration row.
    Row(MigrationId),
}

impl View {
    /// Selects a line of a pane, and the object on it.
    pub fn select(&mut self, pane: Pane, line: usize, anchor: Option<Anchor>) {
        self.cursor.insert(pane, line);
        match anchor {
            Some(anchor) => drop(self.anchor.insert(pane, anchor)),
            None => drop(self.anchor.remove(&pane)),
        }
    }

    /// The selected line of a pane, held within `len` lines.
    pub fn selected(&self, pane: Pane, len: usize) -> usize {
        self.cursor.get(&pane).copied().unwrap_or(0).min(len.saturating_sub(1))
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct State {
    /// The last tick; nothing else tells the time.
    pub now: Timestamp,
    /// What the console was opened on.
    pub setting: Arc<Setting>,
    /// The runbooks.
    pub runbooks: Arc<Library>,
    /// The error signatures.
    pub signatures: Arc<Signatures>,
    /// The keys.
    pub keymap: Arc<Keymap>,
    /// The gate, for text that is typed here.
    pub gate: Gate,
    /// The facts of the incident; the journal rebuilds them.
    pub incident: Incident,
    /// How the journal stands.
    pub journal: JournalState,
    /// Whether changes are allowed.
    pub arming: Arming,
    /// Who we are in the cluster.
    pub identity: Live<Identity>,
    /// What we may do there.
    pub permissions: Live<Vec<Permission>>,
    /// The Deployments.
    pub watched: BTreeMap<WorkloadRef, Watched>,
    /// Helm releases.
    pub releases: Releases,
    /// The logs.
    pub logs: Logs,
    /// The migration table.
    pub migrations: Live<MigrationTable>,
    /// What the database holds.
    pub schema: Live<LiveSchema>,
    /// The server that the database is on, and the programs that dump it.
    pub server: Live<Server>,
    /// Stored values that only newer versions of LiteLLM can read.
    pub newer: Live<Vec<Newer>>,
    /// How those two agree, as they were last seen.
    pub ledger: Ledger,
    /// What was forecast from what the database says now.
    pub forecasts: Memo,
    /// What running pods told of the migrations in their images.
    pub learnt: Learnt,
    /// What the targets lean on.
    pub coupling: Coupling,
    /// What restores of unknown outcome have left.
    pub remnants: restore::Remnants,
    /// What was looked at for the preflight alone.
    pub preflight: preflight::Looks,
    /// The checklist and what it rests on.
    pub checks: Checks,
    /// Acts that run.
    pub running: BTreeMap<ActId, Running>,
    /// Looks that are under way.
    pub looks: BTreeMap<LookId, Look>,
    /// The number of the next look.
    pub next_look: u64,
    /// How many Deployments were found, where none is configured.
    pub found: Live<usize>,
    /// When the cluster was asked last who we are, what we may do, and which workloads there are.
    pub asked: [Option<Timestamp>; 3],
    /// Panes, selections, size.
    pub view: View,
    /// Dialogs, the top one last.
    pub overlays: Vec<Overlay>,
    /// The last message.
    pub notice: Option<Notice>,
    /// Notices that came lately, newest last; for the console without a screen.
    pub said: VecDeque<Notice>,
    /// How the console ended.
    pub exit: Option<Exit>,
}

impl State {
    /// Takes the Deployments over that were found, where none is configured.
    pub fn discovered(&mut self, found: Vec<WorkloadRef>) {
        self.found.see(found.len(), self.now);
        if !self.setting.workloads.is_empty() {
            return;
        }
        let waiting = || Watched { workload: Live::Waiting, pods: Live::Waiting, listing: 0 };
        self.watched = found.iter().map(|reference| (reference.clone(), waiting())).collect();
        Arc::make_mut(&mut self.setting).workloads = found;
    }

    /// Why there is no workload here.
    pub fn no_workload(&self) -> Clean {
        match &self.found {
            Live::Waiting => Clean::ours("looking for Deployments of LiteLLM in this namespace"),
            Live::Lost { why, .. } | Live::Absent(why) => why.sentence(),
            Live::Seen { .. } => {
                Clean::ours("no workload is configured, and none was found; name them in lastgood.toml")
            }
        }
    }

    /// A state that knows nothing yet.
    pub fn new(
        setting: Setting,
        library: Arc<Library>,
        signatures: Arc<Signatures>,
        keymap: Arc<Keymap>,
        gate: Gate,
        now: Timestamp,
    ) -> Self {
        fn live<T>(missing: Option<&Trouble>) -> Live<T> {
            missing.map_or(Live::Waiting, |why| Live::Absent(why.clone()))
        }
        let missing = &setting.missing;
        let watched = setting.workloads.iter().map(|workload| {
            let missing = missing.cluster.as_ref();
            let watched = Watched { workload: live(missing), pods: live(missing), listing: 0 };
            (workload.clone(), watched)
        });
        Self {
            now,
            watched: watched.collect(),
            identity: live(missing.cluster.as_ref()),
            permissions: live(missing.cluster.as_ref()),
            found: live(missing.cluster.as_ref()),
            migrations: live(missing.database.as_ref()),
            schema: live(missing.database.as_ref()),
            server: live(missing.backup.as_ref()),
            newer: live(missing.database.as_ref()),
            ledger: Ledger::default(),
            forecasts: Memo::default(),
            setting: Arc::new(setting),
            runbooks: library,
            signatures,
            keymap,
            gate,
            incident: Incident::default(),
            journal: JournalState::default(),
            arming: Arming::ReadOnly,
            releases: Releases::default(),
            logs: Logs::default(),
            learnt: Learnt::default(),
            coupling: Coupling::default(),
            remnants: restore::Remnants::default(),
            preflight: preflight::Looks::default(),
            checks: Checks::default(),
            running: BTreeMap::new(),
            looks: BTreeMap::new(),
            next_look: 1,
            asked: [None; 3],
            view: View {
                focus: Pane::Runbook,
                zoom: false,
                rows: RowFilter::default(),
                cursor: BTreeMap::new(),
                anchor: BTreeMap::new(),
                size: (80, 24),
            },
            overlays: Vec::new(),
            notice: None,
            said: VecDeque::new(),
            exit: None,
        }
    }

    /// The node that the incident is at.
    pub fn node(&self) -> Option<&Node> {
        self.incident.at().and_then(|at| self.runbooks.node(at))
    }

    /// The step of that node, when it is one.
    pub fn step(&self) -> Option<StepKind> {
        match self.node()?.kind {
            crate::domain::runbook::NodeKind::Do { step, .. } => Some(step),
            _ => None,
        }
    }

    /// Folds an entry and asks for it to be written. The only way in which the lasting part of
    /// the state changes.
    pub(in crate::app) fn commit(&mut self, entry: Entry) -> Effect {
        self.incident.apply(self.now, &entry, &self.gate);
        Effect::Record(self.now, entry)
    }

    /// Announces an act: folds its entry, marks it as running, and makes the effect that writes
    /// the one and then starts the other.
    pub(in crate::app) fn announce(&mut self, act: Act, node: Option<NodeRef>, told: Told) -> Effect {
        let id = self.incident.next_act();
        let started = Entry::Started {
            act: id,
            node,
            kind: told.kind,
            words: told.words.to_string(),
            command: told.command.to_string(),
            notes: told.notes.iter().map(Clean::to_string).collect(),
        };
        self.incident.apply(self.now, &started, &self.gate);
        self.running.insert(id, Running { since: self.now, progress: None, cancelling: false });
        Effect::Act(Box::new(Announced { id, at: self.now, started, act }))
    }

    /// Starts a look.
    pub(in crate::app) fn look(&mut self, look: Look) -> Effect {
        self.look_numbered(look).1
    }

    /// Starts a look and tells its number.
    pub(in crate::app) fn look_numbered(&mut self, look: Look) -> (LookId, Effect) {
        let id = LookId(self.next_look);
        self.next_look += 1;
        self.looks.insert(id, look.clone());
        (id, Effect::Look(id, look))
    }

    /// True while a look of this kind is under way.
    pub fn looking(&self, look: &Look) -> bool {
        self.looks.values().any(|other| other == look)
    }

    /// Says something to the operator.
    pub(in crate::app) fn tell(&mut self, tone: Tone, words: Clean) {
        let notice = Notice { tone, words, at: self.now };
        self.said.push_back(notice.clone());
        if self.said.len() > 100 {
            self.said.pop_front();
        }
        self.notice = Some(notice);
    }

    /// Whether changes are allowed right now, and if not, why and what to do.
    pub fn may_change(&self) -> Result<(), Clean> {
        if let Some(why) = &self.journal.broken {
            return Err(say!("the journal cannot be written ({}), so nothing may be changed", why.what));
        }
        if let Some((id, act)) = self.unknown().first() {
            return Err(say!("the outcome of act {} ({}) is unknown; settle it first", id.0, act.words));
        }
        if self.incident.closed.is_some() {
            return Err(Clean::ours("the incident is closed; open a new one"));
        }
        if let Some((id, act)) =
            self.incident.acts.iter().find(|(id, act)| self.running.contains_key(id) && act.kind.changes())
        {
            return Err(say!("act {} is still running: {}", id.0, act.words));
        }
        if !self.armed() {
            let key =
                self.keymap.key(None, crate::app::action::Action::Arm).map_or(String::new(), |key| key.to_string());
            return Err(say!("read-only: arm the console first ({})", self.gate.clean(&key)));
        }
        Ok(())
    }

    /// Whether something may be sent that changes nothing but must be on record: the journal works.
    pub(in crate::app) fn may_send(&self) -> Result<(), Clean> {
        self.journal.broken.as_ref().map_or(Ok(()), |why| Err(why.sentence()))
    }

    /// Changes are allowed in this process.
    pub fn armed(&self) -> bool {
        self.arming == Arming::Armed
    }

    /// The acts that run, take long and can be cancelled, oldest first.
    pub fn long_acts(&self) -> impl Iterator<Item = (ActId, &ActRecord, &Running)> {
        let known = |(id, running)| self.incident.acts.get(id).map(|act| (*id, act, running));
        self.running.iter().filter_map(known).filter(|(_, act, _)| act.kind.cancellable())
    }

    /// Acts whose outcome nobody knows.
    pub fn unknown(&self) -> Vec<(ActId, &ActRecord)> {
        self.incident.unknown(|id| self.running.contains_key(&id))
    }

    /// Every pod of every workload, in no order that means anything: ten thousand are not sorted for
    /// each question.
    pub fn each_pod(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.watched.values().filter_map(|watched| watched.pods.last()).flat_map(BTreeMap::values)
    }

    /// Every pod of every workload, by workload and name.
    pub fn pods(&self) -> Vec<&Arc<Pod>> {
        let mut pods: Vec<_> = self.each_pod().collect();
        pods.sort_by(|a, b| (&a.workload, &a.name).cmp(&(&b.workload, &b.name)));
        pods
    }

    /// The revisions of every workload, in the order of the pane: newest first.
    pub fn revisions(&self) -> Vec<Past<'_>> {
        past::lines(self)
    }

    /// The workload as last seen.
    pub fn workload(&self, reference: &WorkloadRef) -> Option<&Workload> {
        self.watched.get(reference)?.workload.last().map(|workload| &**workload)
    }
}

/// How an act is told in the journal.
#[derive(Clone, Debug)]
pub(in crate::app) struct Told {
    pub kind: ActKind,
    pub words: Clean,
    pub command: Clean,
    pub notes: Vec<Clean>,
}

impl Told {
    /// How a change of a Deployment is told, with every object whose loss was accepted.
    pub fn change(cleared: &Cleared, context: Option<&ContextName>) -> Self {
        let change = cleared.change();
        let lost = cleared.accepted().into_iter().flat_map(Acceptance::notes);
        let changed = match &change.kind {
            ChangeKind::Revert { to, .. } => Changed::Revert { to: to.clone() },
            ChangeKind::SetImage { .. } => Changed::Image,
            ChangeKind::SetVariable { .. } => Changed::Variable,
            ChangeKind::Restart { .. } => Changed::Restart,
        };
        Self {
            kind: ActKind::Change { workload: change.workload.clone(), generation: change.generation, change: changed },
            words: change.sentence(),
            command: change.command(context),
            notes: std::iter::once(say!("schema guard: {}", cleared.why())).chain(lost).collect(),
        }
    }
}
