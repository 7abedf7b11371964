//! The target: the revision that each workload goes back to.

use crate::app::effect::Effect;
use crate::app::evidence::evidence;
use crate::app::state::{State, Tone};
use crate::app::{change, coupling, migrations, releases, runbook};
use crate::domain::cluster::WorkloadRef;
use crate::domain::incident::Goal;
use crate::domain::name::{ReleaseName, Uid};
use crate::domain::record::Entry;
use crate::domain::release::ReleaseRevision;
use crate::domain::step::{Fact, StepKind};
use crate::text::Clean;

/// Makes the selected revision the target of its workload.
pub fn choose_selected(state: &mut State) -> Vec<Effect> {
    let Some(past) = change::selected_revision(state) else { return Vec::new() };
    let (workload, goal) = (past.workload().reference.clone(), past.goal());
    choose(state, &workload, &goal)
}

/// Makes a revision the target of a workload.
pub fn choose(state: &mut State, reference: &WorkloadRef, goal: &Goal) -> Vec<Effect> {
    let chosen = runbook::open(state).and_then(|()| match goal {
        Goal::Template(uid) => of_template(state, reference, uid),
        Goal::Release(release, to) => of_release(state, reference, release, *to),
    });
    let (entry, number) = match chosen {
        Ok(chosen) => chosen,
        Err(why) => {
            state.tell(Tone::Warn, why);
            return Vec::new();
        }
    };
    let words = say!("target of {}: revision {}", reference, number);
    let mut effects = vec![state.commit(entry)];
    migrations::compare(state);
    state.tell(Tone::Good, words);
    if state.step() == Some(StepKind::ChooseTarget) && evidence(state, Fact::TargetChosen).holds == Some(true) {
        effects.extend(runbook::leave(state, true, Clean::default()));
    } else if state.step() == Some(StepKind::ChooseTarget) {
        runbook::show(state);
    }
    effects
}

fn strings(words: impl IntoIterator<Item = Clean>) -> Vec<String> {
    words.into_iter().map(|words| words.to_string()).collect()
}

fn of_template(state: &State, reference: &WorkloadRef, uid: &Uid) -> Result<(Entry, u64), Clean> {
    let gone = || say!("{} has no such revision any more", reference);
    let workload = state.workload(reference).ok_or_else(gone)?;
    if let Some(release) = releases::release_of(workload) {
        return Err(say!("{} belongs to Helm release {}: choose one of its revisions", reference, release));
    }
    let revision = workload.revision(uid).ok_or_else(gone)?;
    if revision.current() {
        return Err(say!("revision {} is the live one; choose another", revision.number));
    }
    let ranked = coupling::ranked(state, workload);
    let candidate = ranked.into_iter().find(|candidate| &candidate.uid == uid);
    let entry = Entry::Targeted {
        workload: reference.clone(),
        uid: uid.clone(),
        revision: revision.number,
        image: revision.image().map(ToString::to_string).unwrap_or_default(),
        reasons: candidate.map(|found| strings(found.reasons.into_iter().chain(found.warnings))).unwrap_or_default(),
    };
    Ok((entry, revision.number))
}

fn of_release(
    state: &State,
    reference: &WorkloadRef,
    release: &ReleaseName,
    to: ReleaseRevision,
) -> Result<(Entry, u64), Clean> {
    let workload = state.workload(reference).ok_or_else(|| say!("{} is not seen right now", reference))?;
    let ranked = releases::ranked(state, workload);
    let Some(candidate) = ranked.into_iter().find(|candidate| candidate.revision == to) else {
        return Err(say!("revision {} is not an older one of Helm release {}", to, release));
    };
    if let Some(why) = &candidate.refused {
        return Err(say!("revision {} cannot be gone back to: {}; choose another", to, why));
    }
    let record = releases::known(state, workload).and_then(|known| known.records.get(&to));
    let image = record.and_then(|record| record.image(reference));
    let entry = Entry::TargetedRelease {
        workload: reference.clone(),
        release: release.clone(),
        revision: to,
        image: image.map(ToString::to_string).unwrap_or_default(),
        reasons: strings(candidate.reasons.into_iter().chain(candidate.warnings)),
    };
    Ok((entry, to.get().into()))
}
