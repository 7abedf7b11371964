//! What is coupled to the targets: when it is looked at, and what a person must have typed before a
//! revert goes past it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::app::action::Pane;
use crate::app::effect::{Effect, Look};
use crate::app::overlay::Overlay;
use crate::app::past::Past;
use crate::app::state::State;
use crate::app::{change, forecast, preflight, releases};
use crate::domain::candidate::{self, Candidate};
use crate::domain::change::{Change, ChangeKind};
use crate::domain::cluster::WorkloadRef;
use crate::domain::coupled::{Aim, ConfigFile, Coupled, Doubt, Doubts, Drift, MountedConfig, drifted};
use crate::domain::incident::{Goal, Stepped};
use crate::domain::live::Live;
use crate::domain::release::Trial;
use crate::domain::rollback::Rollback;
use crate::domain::runbook::NodeKind;
use crate::domain::salt::{Opened, Outlook, outlook};
use crate::domain::trouble::Trouble;
use crate::domain::workload::Workload;
use crate::text::Clean;

/// How often it is looked at again.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// How often a rollback that the API server stopped is tried again: somebody repairs it meanwhile.
const STOPPED_AGAIN: SignedDuration = SignedDuration::from_secs(15);
/// How many candidates are looked at before one is chosen.
const CANDIDATES: usize = 2;

/// What is known of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// What it leans on.
    pub coupled: Live<Coupled>,
    /// Which salt key opens what is stored.
    pub opened: Live<Opened>,
    /// The rollback to it as the API server tried it, where it is a revision of a Helm release.
    pub tried: Option<(Rollback, Live<Trial>)>,
    asked: Timestamp,
}

/// What is known of every target that was looked at.
#[derive(Clone, Debug, Default)]
pub struct Coupling(BTreeMap<(WorkloadRef, Goal), About>);

impl Coupling {
    /// What is known of a target of a workload.
    pub fn about(&self, workload: &WorkloadRef, target: &Goal) -> Option<&About> {
        self.0.get(&(workload.clone(), target.clone()))
    }
}

/// The candidates for last good of a workload, the best first. One whose configuration changed
/// since it ran loses against one that finds everything as it was.
pub fn ranked(state: &State, workload: &Workload) -> Vec<Candidate> {
    let mut ranked = candidate::rank(workload, &forecast::shown(state), state.now);
    for candidate in &mut ranked {
        let Some(target) = workload.revision(&candidate.uid).map(|revision| Aim::template(workload, revision)) else {
            continue;
        };
        let coupled = state.coupling.about(&workload.reference, &target.goal).and_then(|about| about.coupled.last());
        let changed = coupled.into_iter().flat_map(|coupled| standing(state, coupled, &target));
        let changed: Vec<Clean> = changed.map(|drift| say!("{}", drift.leaning.source)).collect();
        if !changed.is_empty() {
            let names = changed.into_iter().reduce(|all, name| say!("{}, {}", all, name)).unwrap_or_default();
            candidate.warn(40, say!("{} changed after it was replaced, and a revert does not bring that back", names));
        }
    }
    ranked.sort_by_key(|candidate| std::cmp::Reverse((candidate.score, candidate.number)));
    ranked
}

/// The configuration file of a target that was looked at, as it is now.
pub fn configuration(state: &State) -> Option<&MountedConfig> {
    let abouts = state.setting.workloads.iter().flat_map(|reference| {
        state.coupling.0.iter().filter(move |((workload, _), _)| workload == reference).map(|(_, about)| about)
    });
    abouts.filter_map(|about| about.coupled.last()).find_map(|coupled| match &coupled.config {
        ConfigFile::Mounted(file) => Some(file),
        ConfigFile::Unseen(_) => None,
    })
}

/// How far the clocks of this machine and of the API server may differ.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

/// The step by which a person put a source back: its last write falls into it.
pub fn put_back<'a>(state: &'a State, drift: &Drift<'_>) -> Option<&'a Stepped> {
    let steps = state.incident.stepped.iter().rev();
    let mut repairs = steps.filter(|step| {
        let node = state.runbooks.node(&step.node);
        node.is_some_and(|node| matches!(node.kind, NodeKind::Manual { puts_back: true, .. }))
    });
    repairs.find(|step| {
        let early = step.entered.duration_since(drift.at) > CLOCKS;
        let late = drift.at.duration_since(step.left) > CLOCKS;
        !early && !late
    })
}

/// What drifted, was not put back by hand in this incident, and is not written back by Helm.
pub fn standing<'a>(state: &State, coupled: &'a Coupled, target: &Aim<'_>) -> Vec<Drift<'a>> {
    let stands = |drift: &Drift<'_>| !drift.leaning.restored && put_back(state, drift).is_none();
    drifted(coupled, target).into_iter().filter(stands).collect()
}

/// What stops a revert to the target of each workload until it is put back: the workload, the
/// target, what is known of it. Nothing where no target is known.
pub fn stopping(state: &State) -> Vec<(&Workload, Aim<'_>, &Coupled, Drift<'_>)> {
    let mut all = Vec::new();
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        let Some((target, _)) = preflight::aim(state, workload) else { continue };
        let about = state.coupling.about(reference, &target.goal).and_then(|about| about.coupled.last());
        let Some(coupled) = about else { continue };
        let stops = standing(state, coupled, &target).into_iter().filter(Drift::stops);
        all.extend(stops.map(|drift| (workload, target.clone(), coupled, drift)));
    }
    all
}

/// What is known was true before a person's hands: it is looked at again before it counts.
pub fn forget(state: &mut State) {
    for about in state.coupling.0.values_mut() {
        about.coupled = Live::Waiting;
        about.asked = Timestamp::MIN;
    }
}

/// The targets that are worth a look: the chosen one, else the best candidates, and whatever is
/// being asked for.
fn wanted(state: &State) -> BTreeSet<(WorkloadRef, Goal)> {
    let mut wanted = BTreeSet::new();
    for (reference, watched) in &state.watched {
        let Some(workload) = watched.workload.fresh() else { continue };
        if let Some((aim, chosen)) = preflight::aim(state, workload) {
            wanted.insert((reference.clone(), aim.goal));
            if !chosen && releases::release_of(workload).is_none() {
                let best = ranked(state, workload).into_iter().take(CANDIDATES);
                wanted.extend(best.map(|candidate| (reference.clone(), Goal::Template(candidate.uid))));
            }
        }
    }
    // A rollback of a release is asked for without a dry run that would give time to look.
    if state.view.focus == Pane::Revisions
        && let Some(past @ Past::Release(workload, known, row, Some(_))) = change::selected_revision(state)
        && known.history.last().is_some_and(|history| history.current.revision != row.revision)
    {
        wanted.insert((workload.reference.clone(), past.goal()));
    }
    for overlay in &state.overlays {
        let change = match overlay {
            Overlay::Asking { change, .. } => change,
            Overlay::Review(review) => &review.preview.change,
            _ => continue,
        };
        if let ChangeKind::Revert { to, .. } = &change.kind {
            wanted.insert((change.workload.clone(), Goal::Template(to.clone())));
        }
    }
    wanted
}

/// The looks that are due.
pub fn due(state: &mut State) -> Vec<Effect> {
    let mut effects = Vec::new();
    for key in wanted(state) {
        let about = state.coupling.0.get(&key);
        if about.is_some_and(|about| state.now.duration_since(about.asked).abs() < AGAIN) {
            continue;
        }
        let (coupled, opened, tried) = match about {
            Some(about) => (about.coupled.clone(), about.opened.clone(), about.tried.clone()),
            None => (Live::Waiting, state.setting.missing.database.clone().map_or(Live::Waiting, Live::Absent), None),
        };
        let (reference, goal) = key.clone();
        if !matches!(opened, Live::Absent(_)) {
            effects.push(state.look(Look::Opened(reference.clone(), goal.clone())));
        }
        effects.push(state.look(Look::Coupled(reference, goal)));
        state.coupling.0.insert(key, About { coupled, opened, tried, asked: state.now });
    }
    effects.extend(trials_due(state));
    effects
}

/// The rollbacks that are to be tried: those that were not yet, that were planned on another newest
/// revision, and after a while those that could not be, or that the API server stopped.
fn trials_due(state: &mut State) -> Vec<Effect> {
    // While something runs, the objects change.
    if !state.running.is_empty() || state.setting.missing.releases.is_some() || state.incident.closed.is_some() {
        return Vec::new();
    }
    let planned = wanted(state).into_iter().filter_map(|(reference, goal)| {
        let rollback = releases::planned(state, &reference, &goal)?;
        let again = match &state.coupling.about(&reference, &goal)?.tried {
            Some((of, _)) if *of != rollback => true,
            Some((_, Live::Lost { since, .. })) => state.now.duration_since(*since).abs() >= AGAIN,
            Some((_, Live::Seen { value, at, .. })) => {
                value.stopped().is_some() && state.now.duration_since(*at).abs() >= STOPPED_AGAIN
            }
            Some((_, Live::Waiting | Live::Absent(_))) => false,
            None => true,
        };
        (again && !state.looking(&Look::Trial(Box::new(rollback.clone())))).then_some((reference, goal, rollback))
    });
    let planned: Vec<_> = planned.collect();
    let mut effects = Vec::new();
    for (reference, goal, rollback) in planned {
        effects.push(state.look(Look::Trial(Box::new(rollback.clone()))));
        if let Some(about) = state.coupling.0.get_mut(&(reference, goal))
            && about.tried.as_ref().is_none_or(|(of, _)| *of != rollback)
        {
            about.tried = Some((rollback, Live::Waiting));
        }
    }
    effects
}

/// A trial of a rollback came back.
pub fn tried(state: &mut State, rollback: &Rollback, result: Result<Box<Trial>, Trouble>) {
    let now = state.now;
    let goal = Goal::Release(rollback.release.clone(), rollback.to);
    let about = state.coupling.0.get_mut(&(rollback.workload.clone(), goal));
    let Some((of, trial)) = about.and_then(|about| about.tried.as_mut()) else { return };
    match result {
        _ if of != rollback => {}
        Ok(seen) => trial.see(*seen, now),
        Err(why) => trial.lose(why, now),
    }
}

/// A look at what a target leans on came back.
pub fn seen(state: &mut State, workload: &WorkloadRef, target: &Goal, result: Result<Box<Coupled>, Trouble>) {
    let now = state.now;
    let Some(about) = state.coupling.0.get_mut(&(workload.clone(), target.clone())) else { return };
    match result {
        Ok(coupled) => about.coupled.see(*coupled, now),
        Err(why) => about.coupled.lose(why, now),
    }
}

/// A look at what the salt keys open came back.
pub fn opened(state: &mut State, workload: &WorkloadRef, target: &Goal, result: Result<Opened, Trouble>) {
    let now = state.now;
    let Some(about) = state.coupling.0.get_mut(&(workload.clone(), target.clone())) else { return };
    match result {
        Ok(opened) => about.opened.see(opened, now),
        Err(why) => about.opened.lose(why, now),
    }
}

/// What the salt keys mean for a target; `None` while that is not known.
pub fn salt(state: &State, workload: &WorkloadRef, target: &Goal) -> Option<Outlook> {
    let about = state.coupling.about(workload, target)?;
    Some(outlook(&about.coupled.last()?.salt, about.opened.last()))
}

/// Whether a target is still being looked at for the first time.
pub fn waits(state: &State, workload: &WorkloadRef, target: &Goal) -> bool {
    let Some(about) = state.coupling.about(workload, target) else { return true };
    let untried = |tried: &Option<(Rollback, Live<Trial>)>| match tried {
        Some((_, trial)) => matches!(trial, Live::Waiting),
        None => matches!(target, Goal::Release(..)),
    };
    matches!(about.coupled, Live::Waiting) || matches!(about.opened, Live::Waiting) || untried(&about.tried)
}

/// What a person must have read before a revert to this target; `None` when nothing is in doubt.
pub fn doubts(state: &State, workload: &WorkloadRef, target: &Goal) -> Option<Doubts> {
    let mut all = Vec::new();
    if let Some(Outlook::Blind(why)) = salt(state, workload, target) {
        all.push(Doubt::salt(why));
    }
    let about = state.coupling.about(workload, target).and_then(|about| about.coupled.last());
    if let (Some(coupled), Some(seen)) = (about, state.workload(workload))
        && let Some(aim) = preflight::aim_at(state, seen, target)
    {
        all.extend(standing(state, coupled, &aim).iter().filter_map(|drift| Doubt::drift(drift, &aim)));
        all.extend(coupled.tag_drift(seen, &aim).and_then(|drift| Doubt::tag(&drift, &aim)));
    }
    Doubts::of(all)
}

/// Why a change has to wait: what its target leans on is not read yet.
pub fn unread(state: &State, change: &Change) -> Option<Clean> {
    match &change.kind {
        ChangeKind::Revert { to, revision } if waits(state, &change.workload, &Goal::Template(to.clone())) => {
            Some(say!("what revision {} leans on is being read; wait a moment", *revision))
        }
        _ => None,
    }
}

/// The same for a change: only a revert brings an old template back.
pub fn doubts_about(state: &State, change: &Change) -> Option<Doubts> {
    match &change.kind {
        ChangeKind::Revert { to, .. } => doubts(state, &change.workload, &Goal::Template(to.clone())),
        _ => None,
    }
}
