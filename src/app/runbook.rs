//! Walking the runbook: questions, steps, ends, and the way back.

use crate::app::action::Pane;
use crate::app::effect::Effect;
use crate::app::evidence::{Evidence, evidence};
use crate::app::overlay::{Overlay, Purpose};
use crate::app::preflight::{self, Severity};
use crate::app::state::{Anchor, State, Tone};
use crate::app::{acts, backup, cache, change, checks, coupling, logs, migrations, releases, restore, status};
use crate::domain::cluster::WorkloadRef;
use crate::domain::incident::Goal;

use crate::domain::record::{ActKind, Changed, Entry, Made};

use crate::domain::runbook::{Choice, NodeKind, NodeRef, Show};
use crate::domain::step::{Fact, StepKind};
use crate::domain::trouble::Trouble;
use crate::domain::workload::Rollout;
use crate::text::{Clean, Many};

/// The answers at the current node; empty when it asks nothing.
pub fn choices(state: &State) -> &[Choice] {
    match state.node().map(|node| &node.kind) {
        Some(NodeKind::Ask { choices }) => choices,
        _ => &[],
    }
}

/// The answer that the evidence suggests, from 1: the first whose facts all hold. Marked on the
/// screen, never chosen by itself.
pub fn suggested(state: &State) -> Option<u8> {
    let entered = state.incident.path.last().map(|visit| visit.entered_at);
    let patient = entered.is_some_and(|at| state.now.duration_since(at) < PATIENCE);
    let holds = |fact| evidence(state, fact).holds.or((!patient).then_some(false));
    state.node()?.suggested(holds).and_then(|i| u8::try_from(i + 1).ok())
}

/// How long an answer further up, whose evidence is not known yet, holds back one below it.
const PATIENCE: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// The evidence behind the facts of the current question, each fact once.
pub fn gathered(state: &State) -> Vec<(Fact, Evidence)> {
    let mut facts: Vec<Fact> = choices(state).iter().flat_map(|choice| choice.when.iter().copied()).collect();
    facts.sort_unstable();
    facts.dedup();
    facts.into_iter().map(|fact| (fact, evidence(state, fact))).collect()
}

/// The answer that Enter gives, from 1: the one selected, else the one suggested.
pub fn selected(state: &State) -> Option<u8> {
    let cursor = state.view.cursor.get(&Pane::Runbook).and_then(|at| u8::try_from(at + 1).ok());
    cursor.or_else(|| suggested(state))
}

/// The incident is not closed.
pub(in crate::app) fn open(state: &State) -> Result<(), Clean> {
    match &state.incident.closed {
        Some(_) => Err(Clean::ours("the incident is closed")),
        None => Ok(()),
    }
}

/// Whether this answer can be given.
pub fn may_choose(state: &State, choice: u8) -> Result<(), Clean> {
    open(state)?;
    let count = choices(state).len();
    if count == 0 {
        Err(Clean::ours("there is no question here"))
    } else if usize::from(choice) > count {
        Err(say!("there are {} answers", count))
    } else {
        Ok(())
    }
}

/// Gives an answer.
pub fn choose(state: &mut State, choice: u8) -> Vec<Effect> {
    let Some(at) = state.incident.at().cloned() else { return Vec::new() };
    let Some(chosen) = choices(state).get(usize::from(choice).saturating_sub(1)).cloned() else { return Vec::new() };
    let suggested = suggested(state);
    let words = gathered(state).into_iter().filter(|(fact, _)| chosen.when.contains(fact));
    let evidence = words.map(|(_, evidence)| evidence.words.to_string()).collect();
    let label = chosen.say.to_string();
    let entry = Entry::Chose { node: at, choice, label, suggested, evidence, to: chosen.goto };
    let effect = state.commit(entry);
    show(state);
    vec![effect]
}

/// The node that `back` leads to.
pub fn may_go_back(state: &State) -> Result<NodeRef, Clean> {
    open(state)?;
    if !state.running.is_empty() {
        return Err(Clean::ours("something is running; wait for it or cancel it"));
    }
    state.incident.before().cloned().ok_or(Clean::ours("this is where the incident began"))
}

/// Takes the last answer back.
pub fn back(state: &mut State) -> Vec<Effect> {
    let (Ok(to), Some(from)) = (may_go_back(state), state.incident.at().cloned()) else { return Vec::new() };
    let effect = state.commit(Entry::TookBack { from, to });
    show(state);
    vec![effect]
}

/// Whether the current step can be left without being done.
pub fn may_leave(state: &State) -> Result<(), Clean> {
    match state.node().map(|node| &node.kind) {
        Some(NodeKind::Do { .. } | NodeKind::Manual { .. }) if !state.running.is_empty() => {
            Err(Clean::ours("something is running; wait for it or cancel it"))
        }
        Some(NodeKind::Do { .. } | NodeKind::Manual { .. }) => Ok(()),
        _ => Err(Clean::ours("this is not a step")),
    }
}

/// Asks why a step is left.
pub fn ask_reason(state: &mut State) -> Vec<Effect> {
    if let Some(node) = state.incident.at().cloned() {
        state.overlays.push(Overlay::text(Purpose::Reason { node }));
    }
    Vec::new()
}

/// Leaves the step that was asked about, unless the incident has moved on meanwhile.
pub fn leave_node(state: &mut State, node: &NodeRef, done: bool, words: Clean) -> Vec<Effect> {
    if state.incident.at() != Some(node) {
        state.tell(Tone::Warn, say!("the incident has moved on from {}; nothing was written", node.node));
        return Vec::new();
    }
    leave(state, done, words)
}

/// Leaves a step, done or not, with what a person wrote down.
pub fn leave(state: &mut State, done: bool, words: Clean) -> Vec<Effect> {
    let Some(node) = state.node() else { return Vec::new() };
    let by_hand = matches!(node.kind, NodeKind::Manual { .. });
    let to = match &node.kind {
        NodeKind::Do { done: yes, failed: no, .. } | NodeKind::Manual { done: yes, failed: no, .. } => {
            if done {
                yes.clone()
            } else {
                no.clone()
            }
        }
        _ => return Vec::new(),
    };
    let entry = Entry::Stepped { node: node.at.clone(), done, words: words.to_string(), to };
    let effect = state.commit(entry);
    if by_hand {
        coupling::forget(state);
    }
    show(state);
    vec![effect]
}

/// After the operator moved on: brings the pane of the node forward. The runbook keeps the keys,
/// but for steps whose work is in a pane.
pub fn show(state: &mut State) {
    state.view.cursor.remove(&Pane::Runbook);
    state.view.focus = match state.step() {
        Some(StepKind::ChooseTarget) => Pane::Revisions,
        Some(StepKind::CleanMigrations) => Pane::Migrations,
        Some(StepKind::StaleRows) => {
            migrations::select_stale(state);
            Pane::Migrations
        }
        _ => Pane::Runbook,
    };
    if let Some((workload, best)) = best_target(state)
        && let Some(line) = state.revisions().iter().position(|past| past.is(&workload, &best))
    {
        state.view.select(Pane::Revisions, line, Some(Anchor::Revision(workload, best)));
    }
}

/// The pane that the current node wants to be seen.
pub fn shown(state: &State) -> Option<Pane> {
    Some(match state.node()?.show? {
        Show::Pods => Pane::Pods,
        Show::Logs => Pane::Logs,
        Show::Revisions => Pane::Revisions,
        Show::Migrations => Pane::Migrations,
        Show::Checklist => Pane::Checklist,
        Show::Preflight => Pane::Preflight,
    })
}

/// The first workload without a target and its best candidate.
pub fn best_target(state: &State) -> Option<(WorkloadRef, Goal)> {
    let open = state.setting.workloads.iter().find(|reference| !state.incident.targets.contains_key(reference))?;
    let workload = state.workload(open)?;
    let goal = match releases::release_of(workload) {
        Some(release) => Goal::Release(release, releases::best(state, workload)?),
        None => Goal::Template(coupling::ranked(state, workload).into_iter().next()?.uid),
    };
    Some((open.clone(), goal))
}

/// Goes on: the one key that always does the next sensible thing.
pub fn go_on(state: &mut State) -> Vec<Effect> {
    if acts::ask_unknown(state) {
        return Vec::new();
    }
    let Some(kind) = state.node().map(|node| node.kind.clone()) else {
        let at = state.incident.at().map_or(Clean::ours("nowhere"), |at| say!("{}", at));
        state.tell(Tone::Warn, say!("the incident stands at {}, which these runbooks do not have; start with the runbook it was opened with", at));
        return Vec::new();
    };
    match kind {
        NodeKind::Ask { choices } => match selected(state) {
            Some(choice) => choose(state, choice),
            None => {
                state.tell(Tone::Plain, say!("choose an answer: 1 to {}", choices.len()));
                Vec::new()
            }
        },
        NodeKind::Do { step, .. } => step_on(state, step),
        NodeKind::Manual { record, .. } => {
            if let Some(node) = state.incident.at().cloned() {
                state.overlays.push(Overlay::text(Purpose::Record { node, what: record }));
            }
            Vec::new()
        }
        NodeKind::End { reached } => close(state, reached),
    }
}

fn step_on(state: &mut State, step: StepKind) -> Vec<Effect> {
    if !state.running.is_empty() {
        state.tell(Tone::Plain, Clean::ours("still running"));
        return Vec::new();
    }
    match step {
        StepKind::Preflight => preflight_on(state),
        StepKind::Backup => match &state.setting.missing.backup {
            Some(why) => {
                let words = say!("{}; leave the step with `step failed` and record a snapshot by hand", why.sentence());
                state.tell(Tone::Warn, words);
                Vec::new()
            }
            None => {
                if let Err(why) = backup::may_start(state) {
                    state.tell(Tone::Warn, why);
                    return Vec::new();
                }
                state.overlays.push(Overlay::Backup { without_spend_logs: false });
                Vec::new()
            }
        },
        StepKind::ChooseTarget if evidence(state, Fact::TargetChosen).holds == Some(true) => {
            leave(state, true, Clean::default())
        }
        StepKind::ChooseTarget => {
            state.view.focus = Pane::Revisions;
            state.tell(Tone::Plain, Clean::ours("select a revision and press enter"));
            Vec::new()
        }
        StepKind::Revert | StepKind::Restart => change_on(state, step),
        StepKind::CleanMigrations => match evidence(state, Fact::NoFailedMigration) {
            Evidence { holds: Some(true), words } => leave(state, true, words),
            Evidence { words, .. } => {
                state.view.focus = Pane::Migrations;
                state.tell(Tone::Plain, say!("{}: select the row; d deletes it, r marks it as rolled back", words));
                Vec::new()
            }
        },
        StepKind::StaleRows => stale_on(state),
        StepKind::Verify => checks::go_on(state),
        StepKind::Restore if state.setting.missing.backup.is_none() => restore::step_on(state),
        StepKind::Restore => {
            let why = state.setting.missing.backup.as_ref().map(Trouble::sentence).unwrap_or_default();
            state.tell(Tone::Warn, say!("{}; leave the step with `step failed` and restore by hand", why));
            Vec::new()
        }
        StepKind::ClearCache => match &state.setting.missing.cache {
            Some(why) => {
                let words = say!("{}; leave the step with `step failed`", why.sentence());
                state.tell(Tone::Warn, words);
                Vec::new()
            }
            None => cache::ask_own(state),
        },
    }
}

fn stale_on(state: &mut State) -> Vec<Effect> {
    let found = evidence(state, Fact::RowWithoutObject);
    match migrations::stale(state).map(|rows| rows.len()) {
        Some(0) => leave(state, true, found.words),
        Some(_) => {
            migrations::select_stale(state);
            state.view.focus = Pane::Migrations;
            state.tell(Tone::Plain, say!("{}: d deletes the selected row", found.words));
            Vec::new()
        }
        None => {
            state.tell(Tone::Warn, found.words);
            Vec::new()
        }
    }
}

fn preflight_on(state: &mut State) -> Vec<Effect> {
    let findings = preflight::findings(state);
    match findings.iter().find(|finding| finding.severity == Severity::Waiting) {
        Some(open) => {
            let words = say!("not known yet: {}", open.what);
            state.tell(Tone::Plain, words);
            Vec::new()
        }
        None => {
            let blocks = findings.iter().filter(|finding| finding.severity == Severity::Blocks).count();
            let words = say!("{} reviewed; {} in the way of a step", Many(findings.len(), "finding"), blocks);
            leave(state, true, words)
        }
    }
}

/// How far a step that changes every workload in order has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// This workload is next.
    Next(WorkloadRef),
    /// A change is being sent.
    Acting,
    /// This workload rolls out; what it waits for.
    Rolling(WorkloadRef, Clean),
    /// This workload's rollout failed; why.
    Failed(WorkloadRef, Clean),
    /// This workload has no target yet.
    NoTarget(WorkloadRef),
    /// There is nothing to change: no workload is configured or found.
    Nothing,
    /// Every workload is through.
    Done,
}

/// How far the current step has come; derived from the journal and the cluster, so that it is
/// the same after a resume.
pub fn progress(state: &State, step: StepKind) -> Progress {
    if state.setting.workloads.is_empty() {
        return Progress::Nothing;
    }
    for reference in &state.setting.workloads {
        match of_workload(state, step, reference) {
            Progress::Done => {}
            other => return other,
        }
    }
    Progress::Done
}

fn of_workload(state: &State, step: StepKind, reference: &WorkloadRef) -> Progress {
    let target = state.incident.targets.get(reference);
    if step == StepKind::Revert && target.is_none() {
        return Progress::NoTarget(reference.clone());
    }
    if let (StepKind::Revert, Some(Goal::Release(release, to))) = (step, target.map(|target| &target.goal)) {
        return releases::progress(state, reference, release, *to);
    }
    // Only the last change counts: an earlier revert to the same target is history.
    let Some((id, act)) = state.incident.last_change(reference) else { return Progress::Next(reference.clone()) };
    let ActKind::Change { change, generation, .. } = &act.kind else { return Progress::Next(reference.clone()) };
    let ours = match (step, change) {
        (StepKind::Revert, Changed::Revert { to }) => {
            target.is_some_and(|target| target.goal == Goal::Template(to.clone()))
        }
        (StepKind::Restart, Changed::Restart) => act.seq > state.incident.entered,
        _ => false,
    };
    if !ours {
        return Progress::Next(reference.clone());
    }
    if state.running.contains_key(&id) {
        return Progress::Acting;
    }
    if !act.done() {
        return Progress::Next(reference.clone());
    }
    let Some(workload) = state.watched.get(reference).and_then(|watched| watched.workload.fresh()) else {
        return Progress::Rolling(reference.clone(), Clean::ours("the connection to the cluster is lost"));
    };
    let after = match act.made {
        Some(Made::Applied { generation }) => generation,
        _ => generation + 1,
    };
    if workload.numbers.generation < after {
        return Progress::Rolling(reference.clone(), Clean::ours("the change is not seen yet"));
    }
    // Somebody changed it again since: another image is live than the one that was put back.
    let live = workload.template.main().map(|container| say!("{}", container.image));
    if step == StepKind::Revert
        && workload.numbers.generation > after
        && live.as_ref() != target.map(|target| &target.image)
    {
        return Progress::Next(reference.clone());
    }
    match workload.numbers.status() {
        Rollout::Done => Progress::Done,
        Rollout::Waiting(why) => Progress::Rolling(reference.clone(), why),
        Rollout::Failed(why) => Progress::Failed(reference.clone(), why),
    }
}

fn change_on(state: &mut State, step: StepKind) -> Vec<Effect> {
    let node = state.incident.at().cloned();
    match progress(state, step) {
        Progress::Next(reference) => change::next(state, &reference, step, node),
        Progress::Acting => Vec::new(),
        Progress::Rolling(reference, why) => {
            state.tell(Tone::Plain, say!("{} rolls out: {}", reference, why));
            Vec::new()
        }
        Progress::Failed(reference, why) => {
            state.tell(
                Tone::Bad,
                say!(
                    "the rollout of {} failed: {}; leave the step as failed, or choose another target",
                    reference,
                    why
                ),
            );
            Vec::new()
        }
        Progress::NoTarget(reference) => {
            state.tell(Tone::Warn, say!("{} has no target: choose one in the revisions pane (t)", reference));
            state.view.focus = Pane::Revisions;
            Vec::new()
        }
        Progress::Nothing => {
            let why = state.no_workload();
            state.tell(Tone::Warn, why);
            Vec::new()
        }
        Progress::Done => {
            let words = rolled_out(state, step);
            leave(state, true, words)
        }
    }
}

/// Goes to the runbook node of the selected log line's signature.
pub fn open_signature(state: &mut State) -> Vec<Effect> {
    if let Err(why) = open(state) {
        state.tell(Tone::Warn, why);
        return Vec::new();
    }
    let Ok((signature, to)) = logs::selected_remedy(state) else { return Vec::new() };
    let Some(from) = state.incident.at().cloned() else { return Vec::new() };
    let effect = state.commit(Entry::Jumped { from, to, signature });
    show(state);
    vec![effect]
}

/// After every message: a step whose act of this visit is through moves on by itself, and a goal
/// that is reached closes the incident. The keys stay where they are unless they were at the
/// runbook.
pub fn walk_on(state: &mut State) -> Vec<Effect> {
    if state.incident.closed.is_some() || !state.running.is_empty() {
        return Vec::new();
    }
    let Some(node) = state.node() else { return Vec::new() };
    let focus = state.view.focus;
    let effects = match node.kind {
        NodeKind::Do { step, .. } => match through(state, step) {
            Some(words) => leave(state, true, words),
            None => return Vec::new(),
        },
        NodeKind::End { reached: true } if proved(state) => return close(state, true),
        _ => return Vec::new(),
    };
    if focus != Pane::Runbook {
        state.view.focus = focus;
    }
    effects
}

/// How a change of every workload ended, with what it left behind: that is the journal's to keep.
fn rolled_out(state: &State, step: StepKind) -> Clean {
    let done = Clean::ours("every replica is updated and available");
    if step != StepKind::Revert {
        return done;
    }
    let debts = state.setting.workloads.iter().filter_map(|reference| {
        let workload = state.workload(reference)?;
        match &state.incident.targets.get(reference)?.goal {
            Goal::Release(_, to) => releases::debt(state, workload, *to),
            Goal::Template(_) => None,
        }
    });
    match debts.reduce(|all, one| say!("{}; {}", all, one)) {
        Some(debts) => say!("{}; drift that Helm leaves: {}", done, debts),
        None => done,
    }
}

/// The words with which a step is done by an act that was announced since the step was entered.
fn through(state: &State, step: StepKind) -> Option<Clean> {
    let (_, act) = state.incident.last_act_here()?;
    match (step, &act.kind) {
        (StepKind::Revert | StepKind::Restart, _) => {
            (progress(state, step) == Progress::Done).then(|| rolled_out(state, step))
        }
        (StepKind::Backup, ActKind::Backup { .. }) | (StepKind::ClearCache, ActKind::ClearCache { .. })
            if act.done() =>
        {
            act.end.as_ref().map(|(_, words, _)| words.clone())
        }
        _ => None,
    }
}

/// Every check is settled on record, and by what this process saw itself: after a resume the ticks
/// of the process before are history.
fn proved(state: &State) -> bool {
    state.incident.complete() && state.checks.list.complete()
}

/// The incident stands where the goal is said to be reached.
pub fn at_goal(state: &State) -> bool {
    matches!(state.node().map(|node| &node.kind), Some(NodeKind::End { reached: true }))
}

fn close(state: &mut State, reached: bool) -> Vec<Effect> {
    let summary = |state: &mut State| {
        let text = status::ending(state);
        state.overlays.push(Overlay::words(Clean::ours("The end"), text));
    };
    if state.incident.closed.is_some() {
        summary(state);
        return Vec::new();
    }
    if reached && !proved(state) {
        let (settled, all) = state.checks.list.tally();
        let words = say!("{} of {} checks are settled; they are looked at again before this is closed", settled, all);
        state.tell(Tone::Plain, words);
        return Vec::new();
    }
    let title = state.node().map(|node| node.title.clone()).unwrap_or_default();
    let effect = state.commit(Entry::Closed { reached, words: title.to_string() });
    summary(state);
    vec![effect]
}
