//! An incident, folded from its entries: the same fold serves the running console and `resume`,
//! so both come to the same end.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::domain::checklist::{CheckId, Mark};
use crate::domain::cluster::WorkloadRef;
use crate::domain::image::Image;
use crate::domain::migration::Kept;
use crate::domain::name::{EnvName, IncidentId, ReleaseName, Slug, Uid};
use crate::domain::record::{ActId, ActKind, End, Entry, Made};
use crate::domain::release::ReleaseRevision;
use crate::domain::runbook::{NodeRef, Stage};
use crate::text::{Clean, Gate};

/// What a workload can go back to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// The template of the ReplicaSet with this UID.
    Template(Uid),
    /// A revision of the Helm release that owns it.
    Release(ReleaseName, ReleaseRevision),
}

/// The revision that a workload is to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which one.
    pub goal: Goal,
    /// Its number when it was chosen.
    pub revision: u64,
    /// Its image.
    pub image: Clean,
}

/// One act of this incident.
#[derive(Clone, Debug, PartialEq)]
pub struct ActRecord {
    /// The number of the entry that announced it: the order of things, whatever clocks say.
    pub seq: u64,
    /// The node that it belongs to.
    pub node: Option<NodeRef>,
    /// What it is, in machine words.
    pub kind: ActKind,
    /// What it is, in words.
    pub words: Clean,
    /// The equivalent command.
    pub command: Clean,
    /// When it was announced.
    pub started_at: Timestamp,
    /// How it ended, in words and when. `None`: it runs, or the console died while it ran.
    pub end: Option<(End, Clean, Timestamp)>,
    /// What it made.
    pub made: Option<Made>,
}

impl ActRecord {
    /// The row that it changed and kept.
    pub fn kept(&self) -> Option<&Kept> {
        match &self.made {
            Some(Made::Kept(kept)) => Some(kept),
            _ => None,
        }
    }

    /// It is known to have happened.
    pub fn done(&self) -> bool {
        matches!(self.end, Some((End::Done, ..)))
    }
}

/// A node that was visited.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// Which one.
    pub node: NodeRef,
    /// When it was entered.
    pub entered_at: Timestamp,
    /// What was answered there, in words, once it was left.
    pub answer: Option<Clean>,
}

/// A step that was left as done.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// Which node.
    pub node: NodeRef,
    /// When it was entered.
    pub entered: Timestamp,
    /// When it was said to be done.
    pub left: Timestamp,
    /// What was written down, which may be nothing.
    pub words: Clean,
}

/// One line of the timeline: when, what, in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub words: Clean,
}

/// The facts of one incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Its id; `None` until [`Entry::Opened`] was folded.
    pub id: Option<IncidentId>,
    /// The environment it was opened on.
    pub environment: Option<EnvName>,
    /// `production`, `staging` or `drill`.
    pub kind: Clean,
    /// The scenario, in a drill.
    pub scenario: Option<Slug>,
    /// Where: context, server, namespace, workloads.
    pub place: Vec<Clean>,
    /// Runbook and version that it was opened with.
    pub runbook: Option<(Slug, u32)>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The path through the runbooks; the last one is where we are.
    pub path: Vec<Visit>,
    /// Every node entered, in order, also those taken back: for the clock of the stages.
    pub trail: Vec<(NodeRef, Timestamp)>,
    /// The number of the entry that entered the current node.
    pub entered: u64,
    /// The number of the entry with which this process took the incident up; 0 when it opened it.
    pub resumed: u64,
    /// Chosen targets.
    pub targets: BTreeMap<WorkloadRef, Target>,
    /// Acts by number.
    pub acts: BTreeMap<ActId, ActRecord>,
    /// The last mark of each check.
    pub marks: BTreeMap<CheckId, Mark>,
    /// The newest gateway image seen in this incident, while a revision of it may be gone by now.
    pub newest: Option<Image>,
    /// The last thing that a gate refused, until something was done.
    pub refused: Option<Clean>,
    /// The operator agreed that checks may call real models.
    pub consented: bool,
    /// The steps that were left as done, in order.
    pub stepped: Vec<Stepped>,
    /// The timeline.
    pub timeline: Vec<Moment>,
    /// How it ended: reached or not, in words, when.
    pub closed: Option<(bool, Clean, Timestamp)>,
    /// How many entries were folded.
    pub entries: u64,
}

impl Default for Incident {
    fn default() -> Self {
        Self {
            id: None,
            environment: None,
            kind: Clean::default(),
            scenario: None,
            place: Vec::new(),
            runbook: None,
            opened_at: Timestamp::UNIX_EPOCH,
            path: Vec::new(),
            trail: Vec::new(),
            entered: 0,
            resumed: 0,
            targets: BTreeMap::new(),
            acts: BTreeMap::new(),
            marks: BTreeMap::new(),
            newest: None,
            refused: None,
            consented: false,
            stepped: Vec::new(),
            timeline: Vec::new(),
            closed: None,
            entries: 0,
        }
    }
}

impl Incident {
    /// Folds one entry. Strings pass the gate here, because a journal file is outside too.
    pub fn apply(&mut self, at: Timestamp, entry: &Entry, gate: &Gate) {
        self.entries += 1;
        self.timeline.push(Moment { at, words: words(entry, gate) });
        match entry {
            Entry::Opened { incident, environment, kind, scenario, place, runbook, version, start, .. } => {
                self.id = Some(incident.clone());
                self.environment = Some(environment.clone());
                self.kind = gate.clean(kind);
                self.scenario = scenario.clone();
                self.place = place.iter().map(|words| gate.clean(words)).collect();
                self.runbook = Some((runbook.clone(), *version));
                self.opened_at = at;
                self.enter(start, at);
            }
            Entry::Chose { label, to, .. } => self.leave(gate.clean(label), to, at),
            Entry::Stepped { node, done, words, to } => {
                if *done {
                    let entered = self.trail.last().map_or(at, |(_, entered)| *entered);
                    self.stepped.push(Stepped { node: node.clone(), entered, left: at, words: gate.clean(words) });
                }
                self.leave(Clean::ours(if *done { "done" } else { "not done" }), to, at);
            }
            Entry::Jumped { to, signature, .. } => self.leave(say!("jumped by signature {}", signature), to, at),
            Entry::TookBack { to, .. } => self.take_back(to, at),
            Entry::Targeted { workload, uid, revision, image, .. } => {
                let goal = Goal::Template(uid.clone());
                let target = Target { goal, revision: *revision, image: gate.clean(image) };
                self.targets.insert(workload.clone(), target);
            }
            Entry::TargetedRelease { workload, release, revision, image, .. } => {
                let goal = Goal::Release(release.clone(), *revision);
                let target = Target { goal, revision: revision.get().into(), image: gate.clean(image) };
                self.targets.insert(workload.clone(), target);
            }
            Entry::Started { act, node, kind, words, command, .. } => {
                self.refused = None;
                let record = ActRecord {
                    seq: self.entries,
                    node: node.clone(),
                    kind: kind.clone(),
                    words: gate.clean(words),
                    command: gate.clean(command),
                    started_at: at,
                    end: None,
                    made: None,
                };
                self.acts.insert(*act, record);
            }
            Entry::Finished { act, end, words, made } => {
                if let Some(record) = self.acts.get_mut(act) {
                    record.end = Some((*end, gate.clean(words), at));
                    record.made.clone_from(made);
                }
            }
            Entry::Settled { act, happened, words } => {
                if let Some(record) = self.acts.get_mut(act) {
                    if *happened {
                        record.made = record.kind.kept().map(Made::Kept);
                    }
                    let end = if *happened { End::Done } else { End::Failed };
                    record.end = Some((end, gate.clean(words), at));
                }
            }
            Entry::Consented => self.consented = true,
            Entry::Marked { check, mark, .. } => drop(self.marks.insert(*check, *mark)),
            Entry::Saw { image } => self.newest = Some(image.clone()),
            Entry::Refused { why, .. } => self.refused = Some(gate.clean(why)),
            Entry::Closed { reached, words } => self.closed = Some((*reached, gate.clean(words), at)),
            Entry::Resumed { .. } => {
                self.resumed = self.entries;
                self.refused = None;
            }
            Entry::Armed | Entry::Disarmed | Entry::Noted { .. } => {}
        }
    }

    fn enter(&mut self, node: &NodeRef, at: Timestamp) {
        self.path.push(Visit { node: node.clone(), entered_at: at, answer: None });
        self.entered_now(node, at);
    }

    fn entered_now(&mut self, node: &NodeRef, at: Timestamp) {
        self.trail.push((node.clone(), at));
        self.entered = self.entries;
        self.refused = None;
    }

    fn leave(&mut self, answer: Clean, to: &NodeRef, at: Timestamp) {
        if let Some(visit) = self.path.last_mut() {
            visit.answer = Some(answer);
        }
        self.enter(to, at);
    }

    fn take_back(&mut self, to: &NodeRef, at: Timestamp) {
        while self.path.len() > 1 {
            self.path.pop();
            if self.path.last().is_some_and(|visit| &visit.node == to) {
                break;
            }
        }
        if let Some(visit) = self.path.last_mut() {
            visit.answer = None;
        }
        self.entered_now(to, at);
    }

    /// The last act that was announced since the current node was entered, also by taking an
    /// answer back: only such acts move the incident on by themselves.
    pub fn last_act_here(&self) -> Option<(ActId, &ActRecord)> {
        let (id, act) = self.acts.iter().next_back()?;
        (act.seq > self.entered).then_some((*id, act))
    }

    /// Every check was settled when it was marked last.
    pub fn complete(&self) -> bool {
        CheckId::ALL.iter().all(|id| self.marks.get(id).is_some_and(|mark| mark.settled()))
    }

    /// The last act on a Deployment, whatever it changed there, and whoever sent it.
    pub fn last_change(&self, workload: &WorkloadRef) -> Option<(ActId, &ActRecord)> {
        let of = |act: &ActRecord| act.kind.workload() == Some(workload);
        self.acts
            .iter()
            .rev()
            .find(|(_, act)| of(act) && !matches!(act.end, Some((End::Failed, ..))))
            .map(|(id, act)| (*id, act))
    }

    /// Where we are in the runbooks.
    pub fn at(&self) -> Option<&NodeRef> {
        self.path.last().map(|visit| &visit.node)
    }

    /// Where `back` leads: the node before this one.
    pub fn before(&self) -> Option<&NodeRef> {
        self.path.len().checked_sub(2).and_then(|i| self.path.get(i)).map(|visit| &visit.node)
    }

    /// The number for the next act.
    pub fn next_act(&self) -> ActId {
        ActId(self.acts.keys().next_back().map_or(1, |last| last.0 + 1))
    }

    /// When a Deployment was last changed, as far as is known: logs and checks are judged from
    /// here on.
    pub fn last_change_at(&self) -> Option<Timestamp> {
        let changes = self.acts.values().filter(|act| act.done() && act.kind.workload().is_some());
        changes.map(|act| act.started_at).max()
    }

    /// Acts whose outcome nobody knows and that must not be repeated without asking: those
    /// recorded as unknown, and those without an end when `running` does not hold them.
    pub fn unknown(&self, running: impl Fn(ActId) -> bool) -> Vec<(ActId, &ActRecord)> {
        let asks = |act: &ActRecord| act.kind.changes();
        let lost = |id: ActId, act: &ActRecord| match &act.end {
            None => !running(id),
            Some((end, ..)) => *end == End::Unknown,
        };
        self.acts.iter().filter(|(id, act)| asks(act) && lost(**id, act)).map(|(id, act)| (*id, act)).collect()
    }

    /// How long each stage took until `now` (or until the end), by the stages of the nodes
    /// visited. Nodes without a known stage count for the stage before.
    pub fn stage_times(
        &self,
        now: Timestamp,
        stage: impl Fn(&NodeRef) -> Option<Stage>,
    ) -> Vec<(Stage, SignedDuration)> {
        let end = self.closed.as_ref().map_or(now, |(_, _, at)| *at);
        let mut times: BTreeMap<Stage, SignedDuration> = BTreeMap::new();
        let mut current = Stage::Decide;
        for (i, (node, from)) in self.trail.iter().enumerate() {
            current = stage(node).unwrap_or(current);
            let until = self.trail.get(i + 1).map_or(end, |(_, at)| *at).min(end);
            *times.entry(current).or_default() += until.duration_since(*from).max(SignedDuration::ZERO);
        }
        Stage::ALL.into_iter().filter_map(|stage| times.get(&stage).map(|time| (stage, *time))).collect()
    }

    /// How long it took in all until `now`, or until the end.
    pub fn lasted(&self, now: Timestamp) -> SignedDuration {
        let end = self.closed.as_ref().map_or(now, |(_, _, at)| *at);
        end.duration_since(self.opened_at).max(SignedDuration::ZERO)
    }
}

/// One entry in words, for the timeline and the export.
fn words(entry: &Entry, gate: &Gate) -> Clean {
    match entry {
        Entry::Opened { environment, scenario: Some(scenario), .. } => {
            say!("drill {} opened in {}", scenario, environment)
        }
        Entry::Opened { environment, kind, .. } => say!("incident opened on {} ({})", environment, gate.clean(kind)),
        Entry::Resumed { entries } => say!("taken up again after {} entries", *entries),
        Entry::Chose { node, label, suggested, choice, evidence, .. } => {
            let how = match suggested {
                None => "",
                Some(suggested) if suggested == choice => " (as the evidence suggests)",
                Some(_) => " (against the suggestion)",
            };
            let because = evidence.first().map_or(Clean::default(), |words| say!(": {}", gate.clean(words)));
            say!("decided at {}: {}{}{}", node.node, gate.clean(label), how, because)
        }
        Entry::TookBack { from, to } => say!("took back {}, at {} again", from.node, to.node),
        Entry::Jumped { to, signature, .. } => say!("signature {} led to {}", signature, to.node),
        Entry::Targeted { workload, revision, image, .. } => {
            say!("target of {}: revision {} ({})", workload, *revision, gate.clean(image))
        }
        Entry::TargetedRelease { workload, release, revision, image, .. } => {
            say!("target of {}: revision {} of Helm release {} ({})", workload, *revision, release, gate.clean(image))
        }
        Entry::Armed => Clean::ours("armed"),
        Entry::Disarmed => Clean::ours("disarmed"),
        Entry::Started { act, words, .. } => say!("act {} starts: {}", act.0, gate.clean(words)),
        Entry::Finished { act, end, words, .. } => {
            let end = match end {
                End::Done => "done",
                End::Failed => "FAILED",
                End::Unknown => "OUTCOME UNKNOWN",
            };
            say!("act {} {}: {}", act.0, end, gate.clean(words))
        }
        Entry::Settled { act, happened, words } => {
            let how = if *happened { "happened" } else { "did not happen" };
            say!("act {} settled: it {}; {}", act.0, how, gate.clean(words))
        }
        Entry::Stepped { node, done, words, .. } => {
            let how = if *done { "done" } else { "not done" };
            let words = gate.clean(words);
            if words.is_empty() { say!("{} {}", node.node, how) } else { say!("{} {}: {}", node.node, how, words) }
        }
        Entry::Refused { asked, why } => say!("refused: {}; {}", gate.clean(asked), gate.clean(why)),
        Entry::Marked { check, mark, evidence } => {
            let because = evidence.first().map_or(Clean::default(), |words| gate.clean(words));
            say!("check {} is {}: {}", check.slug(), mark.word(), because)
        }
        Entry::Saw { image } => say!("newest image on record: {}", image),
        Entry::Consented => Clean::ours("agreed that checks may call real models, which may cost money"),
        Entry::Noted { words } => say!("note: {}", gate.clean(words)),
        Entry::Closed { reached, words } => {
            say!("closed, {}: {}", if *reached { "goal reached" } else { "goal not reached" }, gate.clean(words))
        }
    }
}
