//! The one loop: keys, frames, messages. Everything slow is an effect, done in a task.

pub mod folder;
pub mod headless;
pub mod journal;
mod logs;
pub mod perform;
pub mod screen;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Interval;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::app::effect::{Act, Effect, Exit, Feed, LookId};
use crate::app::feeds::feeds;
use crate::app::msg::{JournalNews, Msg};
use crate::app::state::State;
use crate::app::update::{begin, update};
use crate::domain::name::EnvName;
use crate::domain::record::{ActId, Entry};
use crate::domain::runbook::NodeRef;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::folder::OperatorLock;
use crate::runtime::journal::{Journal, JournalTask};
use crate::text::Clean;
use crate::world::World;
use crate::world::clock::Clock;

/// How often the time is told when nothing else happens.
const TICK: Duration = Duration::from_secs(1);
/// Messages that wait before feeds are held up. Each may bring two hundred log lines.
const QUEUE: usize = 16;
/// How long an act may take to end after the console was left.
const LAST_CALL: Duration = Duration::from_secs(30);

/// One thing to do, and the update that asked for it.
struct Waiting {
    update: u64,
    step: Step,
}

enum Step {
    Effect(Effect),
    /// An act whose announcement is on disk.
    Start(ActId, Act),
}

/// What only a screen can do.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::runtime) enum ScreenRequest {
    Copy(Clean),
    Redraw,
    Suspend,
}

/// Where a runtime keeps its files.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of this incident: journal, restore files.
    pub incident: PathBuf,
    /// The folder for dumps.
    pub backups: PathBuf,
    /// Folders in which proved dumps of this environment are looked for, that one first.
    pub dumps: Vec<PathBuf>,
    /// The folder of the operator locks of this machine.
    pub locks: PathBuf,
}

/// The runtime: the state, the world, and the tasks between them.
pub struct Runtime {
    /// Everything that can be shown.
    pub state: State,
    world: World,
    clock: Clock,
    journal: JournalTask,
    places: Places,
    lock: Option<OperatorLock>,
    queue: VecDeque<Waiting>,
    /// The update whose record is being written; everything else waits for it.
    writing: Option<u64>,
    /// The step that this record says to be done.
    stepped: Option<NodeRef>,
    updates: u64,
    urgent: (mpsc::UnboundedSender<Msg>, mpsc::UnboundedReceiver<Msg>),
    fed: (mpsc::Sender<Msg>, mpsc::Receiver<Msg>),
    /// What ends each feed that runs.
    feeds: BTreeMap<Feed, DropGuard>,
    looks: BTreeMap<LookId, AbortOnDrop>,
    /// What cancels each act that runs, where it can be cancelled; none goes on without its console.
    acts: BTreeMap<ActId, (CancellationToken, AbortOnDrop)>,
    /// What is looked through in the log: for the filter, and for the search.
    sifts: [Option<AbortOnDrop>; 2],
    screen_requests: Vec<ScreenRequest>,
    exit: Option<Exit>,
}

/// A task that ends when nobody holds it any more.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Runtime {
    /// A runtime over a state, a world and a journal. Nothing runs until [`Runtime::begin`].
    pub fn new(state: State, world: World, clock: Clock, journal: Journal, places: Places) -> Self {
        let urgent = mpsc::unbounded_channel();
        Self {
            state,
            world,
            clock,
            journal: JournalTask::start(journal, urgent.0.clone()),
            places,
            lock: None,
            queue: VecDeque::new(),
            writing: None,
            stepped: None,
            updates: 0,
            urgent,
            fed: mpsc::channel(QUEUE),
            feeds: BTreeMap::new(),
            looks: BTreeMap::new(),
            acts: BTreeMap::new(),
            sifts: [None, None],
            screen_requests: Vec::new(),
            exit: None,
        }
    }

    /// Starts or takes up the incident: folds and writes its first entries, and asks for what is
    /// needed first.
    pub fn begin(&mut self, first: Vec<Entry>) {
        self.state.now = self.clock.now();
        let mut effects = Vec::new();
        for entry in first {
            self.state.incident.apply(self.state.now, &entry, &self.state.gate);
            effects.push(Effect::Record(self.state.now, entry));
        }
        effects.extend(begin(&mut self.state));
        self.enqueue(effects);
    }

    /// Does effects that did not come from a message: those of a command without a screen.
    pub fn perform_now(&mut self, effect: Effect) {
        self.enqueue(vec![effect]);
    }

    /// Gives the state one message and starts what follows from it.
    pub fn dispatch(&mut self, msg: Msg) {
        match &msg {
            Msg::Journal(JournalNews::Written(_)) => {
                self.writing = None;
                self.lend_hands();
            }
            Msg::Journal(JournalNews::Broken(why)) => self.give_up(&why.clone()),
            Msg::Looked(id, _) => drop(self.looks.remove(id)),
            Msg::Acted(id, _) => drop(self.acts.remove(id)),
            _ => {}
        }
        let lines = msg.is_log_lines();
        let effects = update(&mut self.state, msg);
        if !lines {
            self.enqueue(effects);
        }
    }

    /// How the loop should end, once it should.
    pub fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// The next message from outside: answers first, then feeds, then the time.
    pub async fn next(&mut self, tick: &mut Interval) -> Msg {
        tokio::select! {
            biased;
            Some(msg) = self.urgent.1.recv() => msg,
            Some(msg) = self.fed.1.recv() => msg,
            _ = tick.tick() => Msg::Tick(self.clock.now()),
        }
    }

    /// Takes the messages that are here already, at most `most`, so that a flood is drawn once.
    pub fn drain(&mut self, most: usize) {
        for _ in 0..most {
            let Ok(msg) = self.urgent.1.try_recv().or_else(|_| self.fed.1.try_recv()) else { break };
            self.dispatch(msg);
        }
    }

    /// What only a screen can do, asked for since the last call.
    pub(in crate::runtime) fn take_requests(&mut self) -> Vec<ScreenRequest> {
        std::mem::take(&mut self.screen_requests)
    }

    /// The clock's tick.
    pub fn ticker() -> Interval {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        tick
    }

    /// After the loop: acts that run are given time to end, cancellable ones are cancelled, and
    /// everything is on disk before this returns. What has not ended by then stays without an
    /// end in the journal, and `resume` asks about it.
    pub async fn finish(&mut self) {
        self.feeds.clear();
        self.looks.clear();
        let long: Vec<_> = self.state.long_acts().map(|(id, ..)| id).collect();
        long.into_iter().for_each(|id| self.cancel(id));
        let end = tokio::time::Instant::now() + LAST_CALL;
        while !self.acts.is_empty() || self.writing.is_some() || !self.queue.is_empty() {
            match tokio::time::timeout_at(end, self.urgent.1.recv()).await {
                Ok(Some(msg)) => {
                    self.state.now = self.clock.now();
                    self.dispatch(msg);
                    self.feeds.clear();
                    self.looks.clear();
                }
                _ => break,
            }
        }
    }

    fn enqueue(&mut self, effects: Vec<Effect>) {
        self.updates += 1;
        let update = self.updates;
        self.queue.extend(effects.into_iter().map(|effect| Waiting { update, step: Step::Effect(effect) }));
        self.work_off();
        self.change_feeds();
    }

    /// Does what waits, up to the next record that must be on disk first.
    fn work_off(&mut self) {
        while self.writing.is_none() {
            let Some(Waiting { update, step }) = self.queue.pop_front() else { break };
            match step {
                Step::Effect(Effect::Act(announced)) => {
                    let (id, record, act) = announced.into_parts();
                    self.queue.push_front(Waiting { update, step: Step::Start(id, act) });
                    self.queue.push_front(Waiting { update, step: Step::Effect(record) });
                }
                Step::Effect(Effect::Record(at, entry)) => {
                    self.writing = Some(update);
                    self.stepped = match &entry {
                        Entry::Stepped { node, done: true, .. } => Some(node.clone()),
                        _ => None,
                    };
                    self.journal.write(at, self.actor(), entry);
                }
                Step::Start(id, act) => self.start(id, act),
                Step::Effect(effect) => self.perform(effect),
            }
        }
    }

    /// A manual step is on record as done: in a sandbox, that does it. A disk that refuses the
    /// sandbox's memory refuses the journal as well.
    fn lend_hands(&mut self) {
        let (Some(node), Some(hands)) = (self.stepped.take(), &self.world.hands) else { return };
        if let Err(why) = hands.done(&node) {
            let _ = self.urgent.0.send(Msg::Journal(JournalNews::Broken(why)));
        }
    }

    /// The journal broke: what was to follow the record is not done, and acts among it are said
    /// to have not started.
    fn give_up(&mut self, why: &Trouble) {
        let update = self.writing.take();
        let (dropped, kept): (VecDeque<_>, VecDeque<_>) = self.queue.drain(..).partition(|waiting| {
            Some(waiting.update) == update
                || matches!(waiting.step, Step::Start(..) | Step::Effect(Effect::Record(..) | Effect::Act(_)))
        });
        self.queue = kept;
        for waiting in dropped {
            let id = match waiting.step {
                Step::Start(id, _) => id,
                Step::Effect(Effect::Act(announced)) => announced.id(),
                Step::Effect(_) => continue,
            };
            let why = Trouble::new(TroubleKind::Disk, say!("not started: {}", why.what)).remedy(why.remedy.clone());
            let _ = self.urgent.0.send(Msg::Acted(id, Err(why)));
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Look(id, look) => {
                let task = perform::look(&self.world, &self.places, look);
                let sender = self.urgent.0.clone();
                let handle = tokio::spawn(async move {
                    let _ = sender.send(Msg::Looked(id, task.await));
                });
                self.looks.insert(id, AbortOnDrop(handle.abort_handle()));
            }
            Effect::Drop(id) => drop(self.looks.remove(&id)),
            Effect::Cancel(id) => self.cancel(id),
            Effect::Sift(sifting) => {
                let sender = self.urgent.0.clone();
                let place = sifting.sieve as usize;
                let task = logs::sift(*sifting, move |found| drop(sender.send(Msg::Sifted(found))));
                self.sifts[place] = Some(AbortOnDrop(tokio::spawn(task).abort_handle()));
            }
            Effect::Save(saving) => {
                let sender = self.urgent.0.clone();
                let task = logs::save(*saving, self.places.incident.clone(), self.state.gate.clone());
                tokio::spawn(async move {
                    let _ = sender.send(Msg::Saved(task.await));
                });
            }
            Effect::Copy(text) => self.screen_requests.push(ScreenRequest::Copy(text)),
            Effect::Redraw => self.screen_requests.push(ScreenRequest::Redraw),
            Effect::Suspend => self.screen_requests.push(ScreenRequest::Suspend),
            Effect::Lock(environment) => self.take_lock(environment),
            Effect::Unlock => self.lock = None,
            Effect::Quit(exit) => self.exit = Some(exit),
            Effect::Record(..) | Effect::Act(_) => unreachable!("taken by the queue"),
        }
    }

    /// Taking the lock is one system call on a file of this machine.
    fn take_lock(&mut self, environment: EnvName) {
        let taken = OperatorLock::take(&self.places.locks, &environment, &self.state.gate);
        let _ = self.urgent.0.send(Msg::Locked(taken.map(|lock| self.lock = Some(lock))));
    }

    fn start(&mut self, id: ActId, act: Act) {
        let sender = self.urgent.0.clone();
        let progress = sender.clone();
        let stop = CancellationToken::new();
        let task = tokio::spawn(perform::act(&self.world, &self.places, act, stop.clone(), move |at| {
            let _ = progress.send(Msg::Progress(id, at));
        }));
        self.acts.insert(id, (stop, AbortOnDrop(task.abort_handle())));
        // A second task, so that a bug in the first one is an outcome and not a silence.
        tokio::spawn(async move {
            let result = match task.await {
                Ok(result) => result,
                Err(_) => Err(Trouble::new(
                    TroubleKind::Unknown,
                    Clean::ours("the console failed while it waited for the outcome"),
                )),
            };
            let _ = sender.send(Msg::Acted(id, result));
        });
    }

    fn cancel(&mut self, id: ActId) {
        if let Some((stop, _)) = self.acts.get(&id) {
            stop.cancel();
        }
    }

    /// Starts the feeds that are missing and ends those that nobody wants any more.
    fn change_feeds(&mut self) {
        if self.exit.is_some() {
            return;
        }
        let wanted = feeds(&self.state);
        self.feeds.retain(|feed, _| wanted.contains(feed));
        for feed in wanted {
            if self.feeds.contains_key(&feed) {
                continue;
            }
            let stop = CancellationToken::new();
            let (world, signatures) = (self.world.clone(), Arc::clone(&self.state.signatures));
            tokio::spawn(perform::feed(world, feed.clone(), signatures, self.fed.0.clone(), stop.clone()));
            self.feeds.insert(feed, stop.drop_guard());
        }
    }

    /// Who acts: the local login, and the cluster's user once known.
    fn actor(&self) -> String {
        let login = folder::login();
        match self.state.identity.last() {
            Some(identity) => format!("{login} ({})", identity.user),
            None => login,
        }
    }
}
