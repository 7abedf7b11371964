//! `preflight`, `plan`, `run` and `verify`: the engine without a screen.

use std::collections::BTreeMap;
use std::time::Duration;

use color_eyre::eyre;
use serde::Serialize;

use crate::app::effect;
use crate::app::forecast;
use crate::app::msg::Msg;
use crate::app::pilot::{self, BackupOrders, Confirmations, Move, Orders, Wanted};
use crate::app::plan::{self, Planned};
use crate::app::preflight::{self, Finding, Severity};
use crate::app::releases;
use crate::app::state::State;
use crate::cli::command::{BackupChoice, Format, RevisionRef, Run, Targets};
use crate::cli::config_file::Chosen;
use crate::cli::engine::{Outcome, code, looking, reports};
use crate::cli::exit::Exit;
use crate::cli::output::{self, json};
use crate::cli::session::{self, Scene, node};
use crate::domain::checklist::Mark;
use crate::domain::cluster::WorkloadRef;
use crate::domain::live::Live;
use crate::domain::name::{Name, ReleaseName};
use crate::domain::record::ActKind;
use crate::domain::release::ReleaseCandidate;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::Workload;
use crate::runtime::headless::{self as driver, Ended};
use crate::text::{Clean, Gate};

/// How long a look may take before what is unknown is printed as unknown.
const LOOK: Duration = Duration::from_secs(20);
/// How long a check of a single look may be unknown before that is its answer.
const SETTLING: Duration = Duration::from_secs(5);
/// How long a step may stand still: a rollout may take ten minutes before Kubernetes calls it failed.
const STEP: Duration = Duration::from_secs(900);

const LITELLM: &str = "litellm-rollback";

/// The exit code of a look: not reachable, blocked, or fine.
fn looked(state: &State, findings: &[Finding]) -> Exit {
    let lost = |trouble: Option<&Trouble>| {
        trouble.is_some_and(|why| matches!(why.kind, TroubleKind::Unreachable | TroubleKind::Unauthenticated))
    };
    let cluster = match &state.identity {
        Live::Lost { why, .. } | Live::Absent(why) => Some(why),
        _ => None,
    };
    let database = match &state.migrations {
        Live::Lost { why, .. } => Some(why),
        _ => None,
    };
    if lost(cluster) || lost(database) {
        Exit::Unreachable
    } else if findings.iter().any(|finding| matches!(finding.severity, Severity::Blocks | Severity::Waiting)) {
        Exit::NotReached
    } else {
        Exit::Reached
    }
}

/// Everything that can be known is known.
fn settled(state: &State) -> Move {
    let cut_off = cut_off(state);
    let open = |finding: &Finding| {
        finding.severity == Severity::Waiting && (!cut_off || matches!(finding.id, "database" | "backup"))
    };
    let unknown = preflight::findings(state).into_iter().find(open);
    match unknown.map(|finding| finding.what).or_else(|| forecast::waits(state)) {
        Some(what) => Move::Wait(what),
        None => Move::Stop(effect::Exit::Reached, Clean::ours("everything is known")),
    }
}

/// The cluster does not answer, or not to us, and nothing that it would have to tell is waited for.
fn cut_off(state: &State) -> bool {
    match &state.identity {
        Live::Absent(_) => true,
        Live::Lost { why, since, .. } => {
            !why.kind.passing() || state.now.duration_since(*since).unsigned_abs() >= SETTLING
        }
        Live::Waiting | Live::Seen { .. } => false,
    }
}

/// Who am I, what may I do, what is there, what is in flight.
pub(super) async fn preflight(chosen: &Chosen, format: Format, gate: &Gate) -> eyre::Result<Outcome> {
    let scene = match looking(chosen, gate).await {
        Ok(scene) => scene,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let mut runtime = scene.peek(Some(node(LITELLM, "checks")));
    driver::run(&mut runtime, settled, LOOK, |_| {}).await;
    let findings = preflight::findings(&runtime.state);
    match format {
        Format::Json => output::print(&json(&findings)?)?,
        Format::Text => output::print(&reports::findings(&findings))?,
    }
    Ok(Ok(looked(&runtime.state, &findings)))
}

#[derive(Serialize)]
struct PlanReport {
    environment: crate::domain::name::EnvName,
    steps: Vec<Planned>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct CandidateRow {
    workload: Name,
    revision: u64,
    /// Of its ReplicaSet.
    uid: Option<crate::domain::name::Uid>,
    /// The Helm release whose revision it is.
    release: Option<ReleaseName>,
    /// Why it cannot be gone back to.
    refused: Option<Clean>,
    image: Option<crate::domain::image::Image>,
    rank: usize,
    reasons: Vec<Clean>,
    warnings: Vec<Clean>,
}

/// The plan and its forecasts; without a target the candidates for last good.
pub(super) async fn plan(
    chosen: &Chosen,
    to: Option<&Targets>,
    protect: bool,
    format: Format,
    gate: &Gate,
) -> eyre::Result<Outcome> {
    let scene = match looking(chosen, gate).await {
        Ok(scene) => scene,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let start = if scene.setting.missing.backup.is_some() { "checks" } else { "backup-dump" };
    let start = node(LITELLM, start);
    let wanted = match to.map(|to| targets(to, &scene)).transpose() {
        Ok(wanted) => wanted,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let mut runtime = scene.peek(Some(start.clone()));
    // What is known of everything first; then the targets are chosen, and what they lean on and
    // their dry runs are waited for as well.
    let mut goals = None;
    driver::run(
        &mut runtime,
        |state| match (settled(state), &wanted) {
            (Move::Stop(..), Some(wanted)) if goals.is_none() => {
                let chosen = aims(state, wanted);
                let messages = chosen.clone().unwrap_or_default();
                goals = Some(chosen);
                Move::Send(messages)
            }
            (other, _) => other,
        },
        LOOK,
        |_| {},
    )
    .await;
    let Some(wanted) = wanted else {
        return candidates(&runtime.state, format);
    };
    match goals {
        Some(Ok(_)) => {}
        Some(Err(trouble)) => return Ok(Err(trouble)),
        None => match aims(&runtime.state, &wanted) {
            Ok(messages) => messages.into_iter().for_each(|msg| runtime.dispatch(msg)),
            Err(trouble) => return Ok(Err(trouble)),
        },
    }
    // What the target leans on is looked at once it is chosen.
    driver::run(&mut runtime, settled, LOOK, |_| {}).await;
    let steps = plan::ahead(&runtime.state, &start, protect);
    let findings = preflight::findings(&runtime.state);
    let blocked = steps.iter().any(|step| !step.blocked_by.is_empty());
    let exit = match looked(&runtime.state, &findings) {
        Exit::Unreachable => Exit::Unreachable,
        _ if blocked => Exit::Refused,
        _ => Exit::Reached,
    };
    match format {
        Format::Json => {
            output::print(&json(&PlanReport { environment: chosen.environment.name.clone(), steps, findings })?)?
        }
        Format::Text => output::print(&reports::plan(&steps))?,
    }
    Ok(Ok(exit))
}

/// Choosing the targets, as far as they can be chosen now.
fn aims(state: &State, wanted: &BTreeMap<WorkloadRef, Wanted>) -> Result<Vec<Msg>, Trouble> {
    let aim = |(reference, wanted): (&WorkloadRef, &Wanted)| {
        let Some(workload) = state.workload(reference) else {
            let why = Trouble::new(TroubleKind::Unreachable, say!("{} cannot be seen, so there is no plan", reference));
            return Err(why.remedy(Clean::ours("`lastgood preflight` says what is in the way")));
        };
        let goal = pilot::aimed(state, workload, wanted).map_err(unplanned)?;
        Ok(Msg::Target(reference.clone(), goal))
    };
    wanted.iter().map(aim).collect()
}

/// Why there is no plan for a revision.
fn unplanned(stop: Move) -> Trouble {
    let (kind, why) = match stop {
        Move::Stop(effect::Exit::Refused, why) => (TroubleKind::Refused, why),
        Move::Stop(effect::Exit::Unreachable, why) => (TroubleKind::Unreachable, why),
        Move::Stop(_, why) => (TroubleKind::NotFound, why),
        Move::Wait(what) => (TroubleKind::Unreachable, say!("gave up waiting for: {}", what)),
        Move::Send(_) => (TroubleKind::Invalid, Clean::default()),
    };
    Trouble::new(kind, why).remedy(Clean::ours("`lastgood plan` without --to lists the revisions"))
}

fn candidates(state: &State, format: Format) -> eyre::Result<Outcome> {
    let mut rows = Vec::new();
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        if releases::release_of(workload).is_some() {
            rows.extend(release_candidates(state, workload));
            continue;
        }
        for (rank, candidate) in crate::app::coupling::ranked(state, workload).into_iter().enumerate() {
            let image = workload.revision(&candidate.uid).and_then(|revision| revision.image().cloned());
            rows.push(CandidateRow {
                workload: reference.name.clone(),
                revision: candidate.number,
                uid: Some(candidate.uid),
                release: None,
                refused: None,
                image,
                rank: rank + 1,
                reasons: candidate.reasons,
                warnings: candidate.warnings,
            });
        }
    }
    match format {
        Format::Json => output::print(&json(&rows)?)?,
        Format::Text => {
            let mut text = String::new();
            for row in &rows {
                let image = row.image.as_ref().map_or(String::new(), ToString::to_string);
                let of = row.release.as_ref().map_or(String::new(), |release| format!(" of Helm release {release}"));
                text.push_str(&format!("{}. {} revision {}{of}  {image}\n", row.rank, row.workload, row.revision));
                row.refused.iter().for_each(|why| text.push_str(&format!("     ! refused: {why}\n")));
                row.reasons.iter().for_each(|words| text.push_str(&format!("     + {words}\n")));
                row.warnings.iter().for_each(|words| text.push_str(&format!("     - {words}\n")));
            }
            if rows.is_empty() {
                text.push_str("no older revision is known; `lastgood preflight` says what is in the way\n");
            }
            output::print(&text)?;
        }
    }
    Ok(Ok(if rows.is_empty() { looked(state, &preflight::findings(state)).max_not_reached() } else { Exit::Reached }))
}

fn release_candidates(state: &State, workload: &Workload) -> Vec<CandidateRow> {
    let known = releases::known(state, workload);
    let row = |(place, candidate): (usize, ReleaseCandidate)| CandidateRow {
        workload: workload.reference.name.clone(),
        revision: candidate.revision.get().into(),
        uid: None,
        release: releases::release_of(workload),
        refused: candidate.refused,
        image: known.and_then(|known| known.records.get(&candidate.revision)?.image(&workload.reference)).cloned(),
        rank: place + 1,
        reasons: candidate.reasons,
        warnings: candidate.warnings,
    };
    releases::ranked(state, workload).into_iter().enumerate().map(row).collect()
}

impl Exit {
    /// Nothing was found: at best not reached.
    fn max_not_reached(self) -> Self {
        if self == Exit::Reached { Exit::NotReached } else { self }
    }
}

/// The revisions that are meant, by workload.
fn targets(to: &Targets, scene: &Scene) -> Result<BTreeMap<WorkloadRef, Wanted>, Trouble> {
    let wanted = |revision: &RevisionRef| match revision {
        RevisionRef::Number(number) => Wanted::Number(*number),
        RevisionRef::Uid(uid) => Wanted::Uid(uid.clone()),
    };
    let (workloads, cluster) = (&scene.setting.workloads, scene.world.cluster.as_ref());
    let named = || Clean::ours("write --to WORKLOAD=REVISION for each workload");
    match to {
        Targets::Only(revision) => {
            match &workloads[..] {
                [only] => Ok(BTreeMap::from([(only.clone(), wanted(revision))])),
                [] => Err(cluster.err().cloned().unwrap_or_else(|| {
                    Trouble::new(TroubleKind::Missing, Clean::ours("no workload is configured, and none was found"))
                        .remedy(Clean::ours("name them in lastgood.toml: workloads = [\"…\"]"))
                })),
                _ => Err(Trouble::new(TroubleKind::Invalid, Clean::ours("one revision for several workloads"))
                    .remedy(named())),
            }
        }
        Targets::Each(each) => {
            let mut found = BTreeMap::new();
            for (name, revision) in each {
                let Some(reference) = workloads.iter().find(|reference| reference.name == *name) else {
                    return Err(Trouble::new(
                        TroubleKind::NotFound,
                        say!("{} is no workload of this environment", name),
                    ));
                };
                found.insert(reference.clone(), wanted(revision));
            }
            match workloads.iter().find(|reference| !found.contains_key(reference)) {
                None => Ok(found),
                Some(left) => {
                    Err(Trouble::new(TroubleKind::Invalid, say!("no revision is named for {}", left)).remedy(named()))
                }
            }
        }
    }
}

#[derive(Serialize)]
struct RunReport<'a> {
    incident: Option<&'a crate::domain::name::IncidentId>,
    reached: bool,
    words: &'a Clean,
    checks: Vec<reports::CheckRow<'a>>,
    timeline: Vec<TimelineRow<'a>>,
}

#[derive(Serialize)]
struct TimelineRow<'a> {
    at: jiff::Timestamp,
    words: &'a Clean,
}

/// Carries the plan out.
pub(super) async fn run(chosen: &Chosen, run: &Run, gate: &Gate) -> eyre::Result<Outcome> {
    let scene = match session::live(chosen, gate).await {
        Ok(scene) => scene,
        Err(trouble) => return Ok(Err(trouble)),
    };
    if run.arm != chosen.environment.name {
        let what = say!("--arm says {}, and this environment is {}", run.arm, chosen.environment.name);
        return Ok(Err(Trouble::new(TroubleKind::Refused, what)
            .remedy(Clean::ours("nothing was changed; name the environment that you mean"))));
    }
    let targets = match targets(&run.to, &scene) {
        Ok(targets) => targets,
        Err(trouble) => return Ok(Err(trouble)),
    };
    if let (BackupChoice::Dump { .. }, Some(why)) = (&run.backup, &scene.setting.missing.backup) {
        return Ok(Err(Trouble::new(why.kind, say!("no backup can be made here: {}", why.what)).remedy(Clean::ours(
            "nothing was changed; --skip-backup 'WHY' goes on without one, --snapshot ID names one that was taken elsewhere",
        ))));
    }
    let (start, backup, notes) = match &run.backup {
        BackupChoice::Dump { without_spend_logs: false } => ("backup-dump", BackupOrders::Full, vec![]),
        BackupChoice::Dump { without_spend_logs: true } => ("backup-dump", BackupOrders::WithoutSpendLogs, vec![]),
        BackupChoice::Snapshot(id) => ("checks", BackupOrders::Skip, vec![say!("snapshot taken elsewhere: {}", id)]),
        BackupChoice::Skip(why) => ("checks", BackupOrders::Skip, vec![say!("no backup: {}", why)]),
    };
    let orders = Orders {
        arm: Some(run.arm.to_string()),
        confirm: Confirmations::Given(run.confirm.clone()),
        consent: run.spend_money,
        protect: run.protect,
        may_drop: run.may_drop.clone(),
        backup,
        targets,
        manual: None,
        explore: false,
    };
    let id = session::new_id(&scene.setting.environment);
    let mut runtime = match scene.begin(id, Some(node(LITELLM, start)), &notes) {
        Ok(runtime) => runtime,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let mut told = reports::Telling::new(run.format);
    let timeout = run.timeout;
    let mut verifying: Option<jiff::Timestamp> = None;
    let ended = driver::run(
        &mut runtime,
        |state| {
            // The checklist has a limit of its own, from when it is all that is left.
            if state.step() == Some(crate::domain::step::StepKind::Verify) {
                let since = *verifying.get_or_insert(state.now);
                let waited = state.now.duration_since(since);
                if waited.unsigned_abs() > timeout && !state.checks.list.complete() {
                    return Move::Stop(effect::Exit::NotReached, Clean::ours("the checklist is not complete"));
                }
            }
            if state.incident.acts.is_empty() && state.running.is_empty() {
                match pilot::forestalled(state, &orders) {
                    None => {}
                    Some(Move::Wait(what)) if late(state) => return closed(state, silent(state, what)),
                    Some(stop) => return closed(state, stop),
                }
            }
            pilot::next(state, &orders)
        },
        STEP,
        |state| drop(told.tell(state)),
    )
    .await;
    let exit = match code(ended.exit) {
        _ if !runtime.state.unknown().is_empty() => Exit::Unknown,
        // A gate that closes half way has not left everything as it was.
        Exit::Refused if changed(&runtime.state) => Exit::NotReached,
        exit => exit,
    };
    report(&runtime.state, run.format, exit, &ended)?;
    Ok(Ok(exit))
}

/// The world should have shown itself by now.
fn late(state: &State) -> bool {
    state.now.duration_since(state.incident.opened_at).unsigned_abs() >= LOOK
}

/// What was waited for did not come: why, where the cluster says so.
fn silent(state: &State, what: Clean) -> Move {
    let why = match &state.identity {
        Live::Lost { why, .. } | Live::Absent(why) => why.sentence(),
        _ => say!("gave up after {} s of waiting for: {}", LOOK.as_secs(), what),
    };
    Move::Stop(effect::Exit::Unreachable, why)
}

/// An incident in which nothing was started is over with its command; nobody should resume it.
fn closed(state: &State, end: Move) -> Move {
    match end {
        Move::Stop(_, words) if state.incident.closed.is_none() => Move::Send(vec![Msg::Close(false, words)]),
        end => end,
    }
}

/// Whether an act of this incident changed the world.
fn changed(state: &State) -> bool {
    let mut acts = state.incident.acts.values();
    acts.any(|act| act.done() && !matches!(act.kind, ActKind::Backup { .. }))
}

fn report(state: &State, format: Format, exit: Exit, ended: &Ended) -> eyre::Result<()> {
    match format {
        Format::Json => {
            let timeline =
                state.incident.timeline.iter().map(|moment| TimelineRow { at: moment.at, words: &moment.words });
            let report = RunReport {
                incident: state.incident.id.as_ref(),
                reached: exit == Exit::Reached,
                words: &ended.words,
                checks: reports::checks(state),
                timeline: timeline.collect(),
            };
            output::print(&json(&report)?)?;
        }
        Format::Text => {
            let id = state.incident.id.as_ref().map_or(String::new(), ToString::to_string);
            let words = if exit == Exit::Reached { "reached" } else { "NOT reached" };
            // Before the first act the checks tell nothing yet.
            let table =
                if state.incident.acts.is_empty() { String::new() } else { reports::checks_table(state) + "\n" };
            output::print(&format!("\n{words}: {}\n\n{table}export: lastgood export {id} --md\n", ended.words))?;
        }
    }
    Ok(())
}

/// The checklist.
pub(super) async fn verify(
    chosen: &Chosen,
    timeout: Duration,
    spend_money: bool,
    format: Format,
    gate: &Gate,
) -> eyre::Result<Outcome> {
    let scene = match looking(chosen, gate).await {
        Ok(scene) => scene,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let start = Some(node(LITELLM, "verify"));
    let mut runtime = if spend_money {
        // A paid call is an act, and an act is journalled.
        let id = session::new_id(&scene.setting.environment);
        match scene.begin(id, start, &[]) {
            Ok(runtime) => runtime,
            Err(trouble) => return Ok(Err(trouble)),
        }
    } else {
        scene.peek(start)
    };
    if spend_money {
        crate::app::checks::consent(&mut runtime.state).into_iter().for_each(|effect| runtime.perform_now(effect));
    }
    let begun = tokio::time::Instant::now();
    let ended = driver::run(
        &mut runtime,
        |state| {
            let checks = state.checks.list.checks();
            // What is unknown only because the pods have not been listed yet gets a moment.
            let settling = begun.elapsed() < SETTLING;
            let open = |mark: Mark| mark == Mark::Waiting || (settling && mark == Mark::Unknown);
            let once = !checks.iter().any(|check| open(check.verdict.mark));
            let late = begun.elapsed() >= timeout.max(LOOK);
            if state.checks.list.complete() {
                Move::Stop(effect::Exit::Reached, Clean::ours("every configured check is ticked"))
            } else if late || (timeout.is_zero() && once) {
                Move::Stop(effect::Exit::NotReached, Clean::ours("not every configured check is ticked"))
            } else {
                Move::Wait(Clean::ours("the checks"))
            }
        },
        timeout.max(LOOK) + LOOK,
        |_| {},
    )
    .await;
    let state = &runtime.state;
    match format {
        Format::Json => output::print(&json(&reports::checks(state))?)?,
        Format::Text => output::print(&format!("{}\n{}\n", reports::checks_table(state), ended.words))?,
    }
    let exit = match code(ended.exit) {
        Exit::NotReached if state.setting.missing.gateway.is_none() && unreachable(state) => Exit::Unreachable,
        exit => exit,
    };
    Ok(Ok(exit))
}

/// Nothing at all answered: neither the cluster nor the gateway nor the database.
fn unreachable(state: &State) -> bool {
    let cluster = !matches!(state.identity, Live::Seen { .. });
    let database = !matches!(state.migrations, Live::Seen { .. });
    let ticked = state.checks.list.checks().iter().any(|check| check.verdict.mark == Mark::Ticked);
    cluster && database && !ticked
}
