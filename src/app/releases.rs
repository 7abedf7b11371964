//! Helm releases: their histories and records, and what a rollback to one of their revisions is
//! judged on.

mod progress;
mod rollback;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

pub use progress::{debt, fact_about, progress};
pub use rollback::{RefusedRollback, RollbackReview, acceptance_typed, ask, ask_acceptance, doubts_typed, roll_back};

use crate::app::effect::{Effect, Look};
use crate::app::forecast;
use crate::app::state::State;
use crate::domain::acceptance::Acceptance;
use crate::domain::cluster::WorkloadRef;
use crate::domain::forecast::{Facts as Forecasting, Forecast};
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::name::ReleaseName;
use crate::domain::release::{
    Concern, Facts, Gravity, History, Release, ReleaseCandidate, ReleaseRevision, ReleaseRow, Trial, concerns,
    disagreements, lost, rank, review_lines,
};
use crate::domain::rollback::{HelmProgram, Rollback};
use crate::domain::trouble::Trouble;
use crate::domain::workload::{FieldChange, Owner, Revision, Workload};
use crate::text::Clean;

/// How many records are read in full, newest first. Each may have a megabyte.
const MOST_RECORDS: usize = 15;
/// How often the program is looked for.
const PROGRAM_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// What is known of Helm.
#[derive(Clone, Debug)]
pub struct Releases {
    /// The release of each workload that one owns.
    pub known: BTreeMap<WorkloadRef, Known>,
    /// The program that rolls back.
    pub program: Live<HelmProgram>,
    /// When the program was looked for last.
    asked: Option<Timestamp>,
}

impl Default for Releases {
    fn default() -> Self {
        Self { known: BTreeMap::new(), program: Live::Waiting, asked: None }
    }
}

/// What is known of one release.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub release: ReleaseName,
    /// Its revisions.
    pub history: Live<History>,
    /// The records that were read.
    pub records: BTreeMap<ReleaseRevision, Release>,
    /// The records that cannot be read, and why.
    pub unreadable: BTreeMap<ReleaseRevision, Trouble>,
    /// The row that each record was read under: another one means reading it again.
    read_as: BTreeMap<ReleaseRevision, ReleaseRow>,
}

impl Known {
    fn new(release: ReleaseName) -> Self {
        Self {
            release,
            history: Live::Waiting,
            records: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            read_as: BTreeMap::new(),
        }
    }

    /// The newest record that has not been read as it stands now.
    fn unread(&self) -> Option<&ReleaseRow> {
        let mut rows = self.history.fresh()?.rows().take(MOST_RECORDS);
        rows.find(|row| self.read_as.get(&row.revision) != Some(row))
    }
}

/// The release that owns a workload. Argo CD and Flux come before it: what they apply is theirs.
pub fn release_of(workload: &Workload) -> Option<ReleaseName> {
    match &workload.owner {
        Owner::Helm { release } => release.as_str().parse().ok(),
        _ => None,
    }
}

/// What is known of the release that owns a workload.
pub fn known<'a>(state: &'a State, workload: &Workload) -> Option<&'a Known> {
    let release = release_of(workload)?;
    state.releases.known.get(&workload.reference).filter(|known| known.release == release)
}

/// The releases whose history is to be followed.
pub fn followed(state: &State) -> Vec<(WorkloadRef, ReleaseName)> {
    if state.setting.missing.releases.is_some() {
        return Vec::new();
    }
    let workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    workloads.filter_map(|workload| Some((workload.reference.clone(), release_of(workload)?))).collect()
}

/// A history came.
pub fn seen(state: &mut State, workload: &WorkloadRef, release: &ReleaseName, result: Result<History, Trouble>) {
    let now = state.now;
    let known = state.releases.known.entry(workload.clone()).or_insert_with(|| Known::new(release.clone()));
    if known.release != *release {
        *known = Known::new(release.clone());
    }
    match result {
        Ok(history) => {
            known.records.retain(|revision, _| history.row(*revision).is_some());
            known.unreadable.retain(|revision, _| history.row(*revision).is_some());
            known.history.see(history, now);
        }
        Err(why) => known.history.lose(why, now),
    }
}

/// A record came, or why it did not.
pub fn read(state: &mut State, workload: &WorkloadRef, row: &ReleaseRow, result: Result<Box<Release>, Trouble>) {
    let Some(known) = state.releases.known.get_mut(workload) else { return };
    match result {
        Ok(record) => {
            known.read_as.insert(row.revision, row.clone());
            known.unreadable.remove(&row.revision);
            known.records.insert(row.revision, *record);
        }
        // Asked again with the next history.
        Err(why) if why.kind.passing() => known.history.lose(why, state.now),
        Err(why) => {
            known.read_as.insert(row.revision, row.clone());
            known.records.remove(&row.revision);
            known.unreadable.insert(row.revision, why);
        }
    }
}

/// The program was found, or why not.
pub fn program(state: &mut State, result: Result<HelmProgram, Trouble>) {
    match result {
        Ok(program) => state.releases.program.see(program, state.now),
        Err(why) => state.releases.program.lose(why, state.now),
    }
}

/// The next record to read, one at a time, and the program from time to time.
pub fn due(state: &mut State) -> Vec<Effect> {
    let mut effects = Vec::new();
    let reading = state.looks.values().any(|look| matches!(look, Look::Record(..)));
    let next = state.releases.known.iter().find_map(|(workload, known)| {
        let history = known.history.fresh()?;
        Some((workload.clone(), known.release.clone(), known.unread()?.clone(), history.storage))
    });
    if let Some((workload, release, row, storage)) = next.filter(|_| !reading) {
        effects.push(state.look(Look::Record(workload, release, Box::new(row), storage)));
    }
    let stale = state.releases.asked.is_none_or(|at| state.now.duration_since(at).abs() >= PROGRAM_EVERY);
    if stale && !followed(state).is_empty() && !state.looking(&Look::Helm) {
        state.releases.asked = Some(state.now);
        effects.push(state.look(Look::Helm));
    }
    effects
}

/// The history of the release that owns a workload, or a record of it, is on its way.
pub fn reading(state: &State, workload: &Workload) -> bool {
    match known(state, workload) {
        Some(known) => matches!(known.history, Live::Waiting) || known.unread().is_some(),
        None => state.setting.missing.releases.is_none(),
    }
}

/// The older revisions of the release, ranked. Empty while its history is not known.
pub fn ranked(state: &State, workload: &Workload) -> Vec<ReleaseCandidate> {
    let Some(known) = known(state, workload) else { return Vec::new() };
    let Some(history) = known.history.last() else { return Vec::new() };
    let reference = &workload.reference;
    let switch = |revision| forecast::switch(state, reference, &Goal::Release(known.release.clone(), revision));
    rank(history, &known.records, reference, &forecast::shown(state), switch, state.now)
}

/// The best revision to go back to, once every record that decides it was read.
pub fn best(state: &State, workload: &Workload) -> Option<ReleaseRevision> {
    if known(state, workload)?.unread().is_some() {
        return None;
    }
    ranked(state, workload).into_iter().find(|candidate| candidate.refused.is_none()).map(|best| best.revision)
}

/// The ReplicaSet that has the template of a revision's manifest, where it is still there.
pub fn replica_set<'a>(state: &State, workload: &'a Workload, revision: ReleaseRevision) -> Option<&'a Revision> {
    let record = known(state, workload)?.records.get(&revision)?;
    let manifest = record.deployment(&workload.reference)?.template.as_ref()?;
    workload.revisions.iter().find(|set| disagreements(&set.template, manifest).is_empty())
}

/// What a rollback is judged on.
///
/// # Errors
/// What is not known yet, or cannot be.
pub fn facts<'a>(
    state: &'a State,
    workload: &'a Workload,
    to: ReleaseRevision,
    forecast: &'a Forecasting<'a>,
) -> Result<Facts<'a>, Clean> {
    let reference = &workload.reference;
    let Some(known) = known(state, workload) else {
        return Err(say!("the Helm release of {} is not known yet", reference));
    };
    let history = match &known.history {
        Live::Seen { value, .. } => value,
        Live::Lost { why, .. } | Live::Absent(why) => return Err(why.sentence()),
        Live::Waiting => return Err(say!("the history of Helm release {} is not known yet", known.release)),
    };
    let record = |revision: ReleaseRevision| match (known.records.get(&revision), known.unreadable.get(&revision)) {
        _ if history.row(revision).is_none() => {
            Err(say!("Helm release {} has no revision {}", known.release, revision))
        }
        (Some(record), _) => Ok(record),
        (None, Some(why)) => Err(why.sentence()),
        (None, None) => Err(say!("the record of revision {} is not read yet", revision)),
    };
    Ok(Facts {
        history,
        current: record(history.current.revision)?,
        target: record(to)?,
        workload,
        switch: forecast::switch(state, reference, &Goal::Release(known.release.clone(), to)),
        trial: trial(state, reference, &Goal::Release(known.release.clone(), to)),
        forecast,
        context: state.setting.context.as_ref(),
        now: state.now,
    })
}

/// What the API server said when the rollback was tried; `None` while that is under way.
fn trial<'a>(state: &'a State, workload: &WorkloadRef, goal: &Goal) -> Option<Result<&'a Trial, Clean>> {
    match state.coupling.about(workload, goal)?.tried.as_ref()? {
        (_, Live::Seen { value, .. }) => Some(Ok(value)),
        (_, Live::Lost { why, .. } | Live::Absent(why)) => Some(Err(why.what.clone())),
        (_, Live::Waiting) => None,
    }
}

/// The rollback that leads to a goal, as it would be planned now.
pub fn planned(state: &State, reference: &WorkloadRef, goal: &Goal) -> Option<Rollback> {
    let Goal::Release(release, to) = goal else { return None };
    let known = known(state, state.workload(reference)?).filter(|known| known.release == *release)?;
    let history = known.history.fresh()?;
    (history.current.revision != *to).then(|| Rollback {
        workload: reference.clone(),
        release: release.clone(),
        storage: history.storage,
        from: history.current.revision,
        to: *to,
    })
}

/// What is known against going back to a revision, as far as it can be told.
///
/// # Errors
/// What is not known yet, or cannot be.
pub fn against(state: &State, workload: &Workload, to: ReleaseRevision) -> Result<Vec<Concern>, Clean> {
    let forecast = forecast::shown(state);
    facts(state, workload, to, &forecast).map(|facts| concerns(&facts))
}

/// What the pods of a revision do to the schema when they start; `None` where that is not known yet.
pub fn pods(state: &State, workload: &Workload, to: ReleaseRevision) -> Option<Forecast> {
    let known = known(state, workload)?;
    let template = known.records.get(&to)?.deployment(&workload.reference)?.template.as_ref()?;
    let goal = Goal::Release(known.release.clone(), to);
    Some(forecast::of_goal(state, &workload.reference, &goal, template))
}

/// What would be lost by going back to a revision, and has to be typed before.
///
/// # Errors
/// What is not known yet, or cannot be.
pub fn at_stake(state: &State, workload: &Workload, to: ReleaseRevision) -> Result<Acceptance, Clean> {
    let forecast = forecast::facts(state);
    facts(state, workload, to, &forecast).map(|facts| lost(&facts))
}

/// What the way from the newest revision to this one changes, line by line, and the newest's number.
///
/// # Errors
/// What is not known yet, or cannot be.
pub fn diff(
    state: &State,
    workload: &Workload,
    to: ReleaseRevision,
) -> Result<(ReleaseRevision, Vec<FieldChange>), Clean> {
    let forecast = forecast::shown(state);
    let facts = facts(state, workload, to, &forecast)?;
    Ok((facts.current.revision, review_lines(facts.current, facts.target)))
}

/// What refuses, first of all, whatever is typed; then what has to be typed.
pub fn refusal(concerns: &[Concern]) -> Option<&Concern> {
    concerns.iter().find(|concern| concern.gravity != Gravity::Warns)
}
