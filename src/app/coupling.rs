//! What is coupled to the targets: when it is looked at, and what a person must have typed before a
//! revert goes past it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::app::effect::{Effect, Look};
use crate::app::forecast;
use crate::app::overlay::Overlay;
use crate::app::preflight;
use crate::app::state::State;
use crate::domain::candidate::{self, Candidate};
use crate::domain::change::{Change, ChangeKind};
use crate::domain::cluster::WorkloadRef;
use crate::domain::coupled::{Coupled, Doubt, Doubts, drifted};
use crate::domain::live::Live;
use crate::domain::name::Uid;
use crate::domain::salt::{Opened, Outlook, outlook};
use crate::domain::trouble::Trouble;
use crate::domain::workload::Workload;
use crate::text::Clean;

/// How often it is looked at again.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// How many candidates are looked at before one is chosen.
const CANDIDATES: usize = 2;

/// What is known of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// What it leans on.
    pub coupled: Live<Coupled>,
    /// Which salt key opens what is stored.
    pub opened: Live<Opened>,
    asked: Timestamp,
}

/// What is known of every target that was looked at.
#[derive(Clone, Debug, Default)]
pub struct Coupling(BTreeMap<(WorkloadRef, Uid), About>);

impl Coupling {
    /// What is known of a target of a workload.
    pub fn about(&self, workload: &WorkloadRef, target: &Uid) -> Option<&About> {
        self.0.get(&(workload.clone(), target.clone()))
    }
}

/// The candidates for last good of a workload, the best first. One whose configuration changed
/// since it ran loses against one that finds everything as it was.
pub fn ranked(state: &State, workload: &Workload) -> Vec<Candidate> {
    let mut ranked = candidate::rank(workload, &forecast::facts(state), state.now);
    for candidate in &mut ranked {
        let coupled = state.coupling.about(&workload.reference, &candidate.uid).and_then(|about| about.coupled.last());
        let changed = coupled.into_iter().flat_map(|coupled| drifted(coupled, workload));
        let changed: Vec<Clean> = changed.map(|(leaning, _)| say!("{}", leaning.source)).collect();
        if !changed.is_empty() {
            let names = changed.into_iter().reduce(|all, name| say!("{}, {}", all, name)).unwrap_or_default();
            candidate.warn(40, say!("{} changed after it was replaced, and a revert does not bring that back", names));
        }
    }
    ranked.sort_by_key(|candidate| std::cmp::Reverse((candidate.score, candidate.number)));
    ranked
}

/// The targets that are worth a look: the chosen one, else the best candidates, and whatever is
/// being asked for.
fn wanted(state: &State) -> BTreeSet<(WorkloadRef, Uid)> {
    let mut wanted = BTreeSet::new();
    for (reference, watched) in &state.watched {
        let Some(workload) = watched.workload.fresh() else { continue };
        if let Some((target, chosen)) = preflight::target(state, workload) {
            wanted.insert((reference.clone(), target.uid.clone()));
            if !chosen {
                let best = ranked(state, workload).into_iter().take(CANDIDATES);
                wanted.extend(best.map(|candidate| (reference.clone(), candidate.uid)));
            }
        }
    }
    for overlay in &state.overlays {
        if let Overlay::Asking { change, .. } = overlay
            && let ChangeKind::Revert { to, .. } = &change.kind
        {
            wanted.insert((change.workload.clone(), to.clone()));
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
        let (coupled, opened) = match about {
            Some(about) => (about.coupled.clone(), about.opened.clone()),
            None => (Live::Waiting, state.setting.missing.database.clone().map_or(Live::Waiting, Live::Absent)),
        };
        let (reference, uid) = key.clone();
        if !matches!(opened, Live::Absent(_)) {
            effects.push(state.look(Look::Opened(reference.clone(), uid.clone())));
        }
        effects.push(state.look(Look::Coupled(reference, uid)));
        state.coupling.0.insert(key, About { coupled, opened, asked: state.now });
    }
    effects
}

/// A look at what a target leans on came back.
pub fn seen(state: &mut State, workload: &WorkloadRef, target: &Uid, result: Result<Box<Coupled>, Trouble>) {
    let now = state.now;
    let Some(about) = state.coupling.0.get_mut(&(workload.clone(), target.clone())) else { return };
    match result {
        Ok(coupled) => about.coupled.see(*coupled, now),
        Err(why) => about.coupled.lose(why, now),
    }
}

/// A look at what the salt keys open came back.
pub fn opened(state: &mut State, workload: &WorkloadRef, target: &Uid, result: Result<Opened, Trouble>) {
    let now = state.now;
    let Some(about) = state.coupling.0.get_mut(&(workload.clone(), target.clone())) else { return };
    match result {
        Ok(opened) => about.opened.see(opened, now),
        Err(why) => about.opened.lose(why, now),
    }
}

/// What the salt keys mean for a target; `None` while that is not known.
pub fn salt(state: &State, workload: &WorkloadRef, target: &Uid) -> Option<Outlook> {
    let about = state.coupling.about(workload, target)?;
    Some(outlook(&about.coupled.last()?.salt, about.opened.last()))
}

/// Whether a target is still being looked at for the first time.
pub fn waits(state: &State, workload: &WorkloadRef, target: &Uid) -> bool {
    let Some(about) = state.coupling.about(workload, target) else { return true };
    matches!(about.coupled, Live::Waiting) || matches!(about.opened, Live::Waiting)
}

/// What a person must have read before a revert to this target; `None` when nothing is in doubt.
pub fn doubts(state: &State, workload: &WorkloadRef, target: &Uid) -> Option<Doubts> {
    let mut all = Vec::new();
    if let Some(Outlook::Blind(why)) = salt(state, workload, target) {
        all.push(Doubt::salt(why));
    }
    let about = state.coupling.about(workload, target).and_then(|about| about.coupled.last());
    if let (Some(coupled), Some(seen)) = (about, state.workload(workload)) {
        all.extend(drifted(coupled, seen).into_iter().filter_map(|(leaning, written)| Doubt::drift(leaning, written)));
    }
    Doubts::of(all)
}

/// The same for a change: only a revert brings an old template back.
pub fn doubts_about(state: &State, change: &Change) -> Option<Doubts> {
    match &change.kind {
        ChangeKind::Revert { to, .. } => doubts(state, &change.workload, to),
        _ => None,
    }
}
