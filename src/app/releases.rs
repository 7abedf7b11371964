//! Helm releases: their histories and records, and the rollback: judged, reviewed, sent, proved.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tui_input::Input;

use crate::app::coupling;
use crate::app::effect::{Act, Effect, Look};
use crate::app::forecast;
use crate::app::overlay::Overlay;
use crate::app::runbook::Progress;
use crate::app::state::{State, Told, Tone};
use crate::domain::change::Refusal;
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::{Answer, Confirm, Confirmed};
use crate::domain::coupled::Doubts;
use crate::domain::forecast::Facts as Forecasting;
use crate::domain::incident::{ActRecord, Goal};
use crate::domain::live::Live;
use crate::domain::name::ReleaseName;
use crate::domain::record::{ActId, ActKind, End, Entry, Made};
use crate::domain::release::{
    Concern, Extra, Facts, Gravity, History, Release, ReleaseCandidate, ReleaseRevision, ReleaseRow, concerns,
    disagreements, extras, rank, review_lines,
};
use crate::domain::rollback::{ClearedRollback, HelmProgram, Outcome, clear, outcome, plan};
use crate::domain::runbook::NodeRef;
use crate::domain::trouble::Trouble;
use crate::domain::workload::{FieldChange, Owner, Revision, Rollout, Workload};
use crate::text::Clean;

/// How many records are read in full, newest first. Each may have a megabyte.
const MOST_RECORDS: usize = 15;
/// How often the program is looked for.
const PROGRAM_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// How long a review is trusted.
const TRUSTED: SignedDuration = SignedDuration::from_secs(120);

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
    rank(history, &known.records, &workload.reference, &forecast::facts(state), state.now)
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
        forecast,
        context: state.setting.context.as_ref(),
        now: state.now,
    })
}

/// What is known against going back to a revision, as far as it can be told.
///
/// # Errors
/// What is not known yet, or cannot be.
pub fn against(state: &State, workload: &Workload, to: ReleaseRevision) -> Result<Vec<Concern>, Clean> {
    let forecast = forecast::facts(state);
    facts(state, workload, to, &forecast).map(|facts| concerns(&facts))
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
    let forecast = forecast::facts(state);
    let facts = facts(state, workload, to, &forecast)?;
    Ok((facts.current.revision, review_lines(facts.current, facts.target)))
}

/// A rollback that the guard let through, waiting for the operator's yes.
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackReview {
    /// The proof that the guard let it through.
    pub cleared: ClearedRollback,
    /// What must be known before.
    pub concerns: Vec<Concern>,
    /// What changes, line by line.
    pub lines: Vec<FieldChange>,
    /// The node that it belongs to.
    pub node: Option<NodeRef>,
    /// When it was judged.
    pub at: Timestamp,
    /// How far the diff is scrolled.
    pub scroll: usize,
    /// The doubts that were typed away.
    pub heeded: Option<Confirmed<Doubts>>,
}

/// A rollback that was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedRollback {
    /// What was asked for.
    pub asked: Clean,
    /// Why not.
    pub refusal: Refusal,
}

/// Judges a rollback on what is known now, and shows it or refuses it.
pub fn ask(state: &mut State, reference: &WorkloadRef, to: ReleaseRevision, node: Option<NodeRef>) -> Vec<Effect> {
    match judged(state, reference, to) {
        Err(why) => {
            state.tell(Tone::Warn, why);
            Vec::new()
        }
        Ok(Err(refused)) => {
            let (asked, why) =
                (refused.asked.to_string(), say!("{}; {}", refused.refusal.what, refused.refusal.remedy));
            state.tell(Tone::Bad, why.clone());
            state.overlays.push(Overlay::RefusedRollback(Box::new(refused)));
            vec![state.commit(Entry::Refused { asked, why: why.to_string() })]
        }
        Ok(Ok((cleared, concerns, lines))) => {
            let review = RollbackReview { cleared, concerns, lines, node, at: state.now, scroll: 0, heeded: None };
            match doubts(state, &review) {
                Some(doubts) => doubt(state, review, doubts),
                None => {
                    state.overlays.push(Overlay::Rollback(Box::new(review)));
                    Vec::new()
                }
            }
        }
    }
}

/// What a person must have read before the rollback, beside what Helm itself does: what the target
/// leans on is in no manifest of the release, or its salt key opens nothing.
fn doubts(state: &State, review: &RollbackReview) -> Option<Doubts> {
    let rollback = review.cleared.rollback();
    coupling::doubts(state, &rollback.workload, &Goal::Release(rollback.release.clone(), rollback.to))
}

/// Something speaks against the rollback: it is named, and goes on only by typing its name.
fn doubt(state: &mut State, review: RollbackReview, doubts: Doubts) -> Vec<Effect> {
    let why = doubts.each().iter().map(|doubt| say!("{}; {}", doubt.why, doubt.remedy));
    let why = why.reduce(|all, one| say!("{}; {}", all, one)).unwrap_or_default();
    state.tell(Tone::Bad, why.clone());
    let asked = review.cleared.rollback().sentence().to_string();
    let confirm = Box::new(Confirm::new(doubts));
    state.overlays.push(Overlay::RollbackDoubts { review: Box::new(review), confirm, input: Input::default() });
    vec![state.commit(Entry::Refused { asked, why: why.to_string() })]
}

/// The name of what speaks against a rollback was typed.
pub fn doubts_typed(state: &mut State, review: RollbackReview, confirm: Confirm<Doubts>, typed: &str) -> Vec<Effect> {
    let confirm = match confirm.answer(typed.trim()) {
        Answer::Yes(heeded) => {
            let review = RollbackReview { heeded: Some(heeded), ..review };
            state.overlays.push(Overlay::Rollback(Box::new(review)));
            return Vec::new();
        }
        Answer::More(confirm) => confirm,
        Answer::No(confirm) => {
            state.tell(Tone::Bad, say!("that does not match; type {}", confirm.wanted()));
            confirm
        }
    };
    let (confirm, input) = (Box::new(confirm), Input::default());
    state.overlays.push(Overlay::RollbackDoubts { review: Box::new(review), confirm, input });
    Vec::new()
}

type Judged = Result<(ClearedRollback, Vec<Concern>, Vec<FieldChange>), RefusedRollback>;

fn judged(state: &State, reference: &WorkloadRef, to: ReleaseRevision) -> Result<Judged, Clean> {
    if let Some(why) = &state.setting.missing.releases {
        return Err(why.sentence());
    }
    if let Live::Lost { why, .. } | Live::Absent(why) = &state.releases.program {
        return Err(why.sentence());
    }
    let seen = state.watched.get(reference).and_then(|watched| watched.workload.fresh());
    let workload = seen.ok_or_else(|| say!("{} is not seen right now", reference))?;
    let forecast = forecast::facts(state);
    let facts = facts(state, workload, to, &forecast)?;
    if coupling::waits(state, reference, &Goal::Release(facts.target.name.clone(), to)) {
        return Err(say!("what revision {} leans on is being read; ask again in a moment", to));
    }
    Ok(match clear(&facts) {
        Ok(cleared) => Ok((cleared, concerns(&facts), review_lines(facts.current, facts.target))),
        Err(refusal) => Err(RefusedRollback { asked: plan(&facts).sentence(), refusal }),
    })
}

/// The operator said yes. What was judged is judged again, on what is known now.
pub fn roll_back(state: &mut State, review: RollbackReview) -> Vec<Effect> {
    if let Err(why) = state.may_change() {
        state.tell(Tone::Warn, why);
        state.overlays.push(Overlay::Rollback(Box::new(review)));
        return Vec::new();
    }
    // What was learnt since the review opened counts as well.
    if let Some(doubts) = doubts(state, &review)
        && review.heeded.as_ref().is_none_or(|heeded| heeded.subject() != &doubts)
    {
        return doubt(state, review, doubts);
    }
    let rollback = review.cleared.rollback();
    let (reference, to) = (rollback.workload.clone(), rollback.to);
    let fresh = state.now.duration_since(review.at).abs() <= TRUSTED;
    match judged(state, &reference, to) {
        Ok(Ok((cleared, concerns, _))) if fresh && cleared == review.cleared && same(&concerns, &review.concerns) => {
            let mut told = told(&cleared, &concerns, state);
            let heeded = review.heeded.iter().flat_map(|heeded| heeded.subject().each());
            told.notes.extend(heeded.map(|doubt| say!("gone past, with {} typed: {}", doubt.phrase, doubt.why)));
            vec![state.announce(Act::Rollback(Box::new(cleared)), review.node, told)]
        }
        // Something is different from what was read: it is shown again.
        _ => ask(state, &reference, to, review.node),
    }
}

/// Whether the same rules speak: the words of some hold an age.
fn same(now: &[Concern], before: &[Concern]) -> bool {
    now.iter().map(|concern| concern.id).eq(before.iter().map(|concern| concern.id))
}

fn told(cleared: &ClearedRollback, concerns: &[Concern], state: &State) -> Told {
    let rollback = cleared.rollback();
    let mut notes = vec![say!("guard: {}", cleared.why())];
    notes.extend(concerns.iter().map(|concern| say!("{}: {}; {}", concern.id, concern.what, concern.consequence)));
    Told {
        kind: ActKind::Rollback {
            workload: rollback.workload.clone(),
            release: rollback.release.clone(),
            from: rollback.from,
            to: rollback.to,
        },
        words: rollback.sentence(),
        command: rollback.command(state.setting.context.as_ref()),
        notes,
    }
}

/// The last rollback of a release in this incident. A release may own several workloads: one
/// rollback is theirs all.
fn last_rollback<'a>(state: &'a State, place: &WorkloadRef, release: &ReleaseName) -> Option<(ActId, &'a ActRecord)> {
    let of = |act: &ActRecord| {
        matches!(&act.kind, ActKind::Rollback { workload, release: other, .. }
            if other == release && workload.namespace == place.namespace)
    };
    let acts = state.incident.acts.iter().rev();
    let mut acts = acts.filter(|(_, act)| of(act) && !matches!(act.end, Some((End::Failed, ..))));
    acts.next().map(|(id, act)| (*id, act))
}

/// How far the rollback of a workload's release has come: done when the record, the rollout and
/// the live template agree with the target.
pub fn progress(state: &State, reference: &WorkloadRef, release: &ReleaseName, to: ReleaseRevision) -> Progress {
    let next = || Progress::Next(reference.clone());
    let rolling = |why: Clean| Progress::Rolling(reference.clone(), why);
    let Some((id, act)) = last_rollback(state, reference, release) else { return next() };
    let ActKind::Rollback { from, to: went, .. } = &act.kind else { return next() };
    if *went != to {
        return next();
    }
    if state.running.contains_key(&id) {
        return Progress::Acting;
    }
    if !act.done() {
        return next();
    }
    let made = match act.made {
        Some(Made::RolledBack { revision }) => revision,
        _ => from.next(),
    };
    let seen = state.watched.get(reference).and_then(|watched| watched.workload.fresh());
    let Some(workload) = seen else { return rolling(Clean::ours("the connection to the cluster is lost")) };
    let Some(known) = known(state, workload) else { return rolling(Clean::ours("the release is not seen yet")) };
    let Some(history) = known.history.fresh() else { return rolling(Clean::ours("the history is not seen right now")) };
    if history.current.revision < made {
        return rolling(say!("the record of revision {} is not seen yet", made));
    }
    // Somebody upgraded or rolled back again since.
    if history.current.revision > made {
        return next();
    }
    let Some(record) = known.records.get(&made).filter(|record| record.status == history.current.status) else {
        return rolling(say!("the record of revision {} is being read", made));
    };
    match outcome(to, Some((&record.status, &record.description))) {
        Outcome::Done => {}
        Outcome::Running => return rolling(say!("revision {} is still pending-rollback", made)),
        Outcome::NotBegun => return next(),
        Outcome::Failed(why) | Outcome::Another(why) => return Progress::Failed(reference.clone(), why),
    }
    match workload.numbers.status() {
        Rollout::Waiting(why) => return rolling(why),
        Rollout::Failed(why) => return Progress::Failed(reference.clone(), why),
        Rollout::Done => {}
    }
    let manifest = record.deployment(reference).and_then(|object| object.template.as_ref());
    let Some(manifest) = manifest else { return rolling(say!("revision {} is being read", made)) };
    let left: Vec<Clean> = extras(&workload.template, manifest).iter().map(Extra::words).collect();
    let mut differs = disagreements(&workload.template, manifest);
    // What only the live template has was there before, and Helm leaves it: a debt, no failure.
    differs.retain(|words| !left.contains(words));
    match differs.first() {
        None => Progress::Done,
        Some(first) => Progress::Failed(
            reference.clone(),
            say!("helm calls it a success, and {} things are not as revision {} says: {}", differs.len(), to, first),
        ),
    }
}

/// What a rollback has left behind in a live template that no manifest of the release knows, and
/// how a person takes it away. `None` where nothing is.
pub fn debt(state: &State, workload: &Workload, to: ReleaseRevision) -> Option<Clean> {
    let manifest = known(state, workload)?.records.get(&to)?.deployment(&workload.reference)?.template.as_ref()?;
    let each = extras(&workload.template, manifest);
    let words = each.iter().map(|extra| say!("{} ({})", extra.words(), extra.remedy(&workload.reference)));
    words.reduce(|all, one| say!("{}; {}", all, one))
}

/// What can be seen now of a rollback whose outcome is unknown.
pub fn fact_about(state: &State, workload: &WorkloadRef, from: ReleaseRevision, to: ReleaseRevision) -> Clean {
    let Some(known) = state.releases.known.get(workload) else {
        return Clean::ours("the records of the release are not seen right now");
    };
    let Some(history) = known.history.fresh() else {
        return say!("the records of {} are not seen right now", known.release);
    };
    let made = from.next();
    let record = known.records.get(&made);
    match (history.row(made), record) {
        (None, _) => say!("{} has no revision {}: it has not begun", known.release, made),
        (Some(row), None) => say!("revision {} is {}", made, row.status.word()),
        (Some(row), Some(record)) => match outcome(to, Some((&row.status, &record.description))) {
            Outcome::Done => say!("revision {} is deployed, {}: it happened", made, record.description),
            Outcome::Running => {
                say!("revision {} is pending-rollback: helm still works on it, or was ended on the way", made)
            }
            _ => say!("revision {} is {}: {}", made, row.status.word(), record.description),
        },
    }
}

/// What refuses, first of all.
pub fn refusal(concerns: &[Concern]) -> Option<&Concern> {
    concerns.iter().find(|concern| concern.gravity == Gravity::Refuses)
}
