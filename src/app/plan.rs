//! The plan: the steps ahead, each with what it does, its exact command, its risk, its undo, and
//! what it waits for. Read off the runbook by following what happens when every step is done.

use serde::Serialize;

use crate::app::cache;
use crate::app::evidence::evidence;
use crate::app::forecast::{self, Foreseen};
use crate::app::preflight::{self, Finding, Severity};
use crate::app::releases;
use crate::app::state::State;
use crate::app::status;
use crate::domain::backup::BackupOrder;
use crate::domain::cache::{Clearance, PODS_REMEMBER};
use crate::domain::change::{Change, ChangeKind};
use crate::domain::forecast::{Forecast, Stake};
use crate::domain::incident::{Goal, Target};
use crate::domain::name::MigrationId;
use crate::domain::release::{ReleaseRevision, concerns, lost, review_lines};
use crate::domain::rollback;
use crate::domain::runbook::{Node, NodeKind, NodeRef};
use crate::domain::step::{Risk, StepKind};
use crate::domain::workload::Workload;
use crate::text::{Clean, Many};

/// One step ahead.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// Its number, from 1.
    pub number: usize,
    /// The node of the runbook.
    pub node: NodeRef,
    /// Its title.
    pub title: Clean,
    /// A step kind, `manual` or `question`.
    pub kind: &'static str,
    /// What it does, a sentence each.
    pub does: Vec<Clean>,
    /// The exact equivalent commands.
    pub commands: Vec<Clean>,
    /// What it can do to the world.
    pub risk: Risk,
    /// How it is taken back.
    pub undo: &'static str,
    /// What it waits for.
    pub waits_for: &'static str,
    /// What its pods do to the schema when they start, where it starts any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forecasts: Vec<Foreseen>,
    /// What blocks it now.
    pub blocked_by: Vec<Clean>,
}

/// The steps from a node on, through every question whose answer the evidence suggests now, up to
/// one that it leaves open, or the end. `protect`: whether the guard's variable is ordered.
pub fn ahead(state: &State, from: &NodeRef, protect: bool) -> Vec<Planned> {
    let findings = preflight::findings(state);
    let mut steps: Vec<Planned> = Vec::new();
    let mut at = from.clone();
    while let Some(node) = state.runbooks.node(&at) {
        if steps.iter().any(|step| step.node == at) {
            break;
        }
        let Some(mut step) = here(state, node, &findings) else { break };
        if let NodeKind::Do { step: kind, .. } = &node.kind {
            step.blocked_by.extend(unprotected(state, *kind, protect));
        }
        let suggested = node.suggested(|fact| evidence(state, fact).holds);
        if let Some(does) = suggested.and_then(|answer| step.does.get_mut(answer)) {
            *does = say!("{} (suggested now: the plan goes on here)", does.clone());
        }
        steps.push(Planned { number: steps.len() + 1, ..step });
        match (&node.kind, suggested) {
            (NodeKind::Do { done, .. } | NodeKind::Manual { done, .. }, _) => at = done.clone(),
            (NodeKind::Ask { choices }, Some(answer)) if answer < choices.len() => at = choices[answer].goto.clone(),
            (NodeKind::Ask { .. } | NodeKind::End { .. }, _) => break,
        }
    }
    steps
}

/// One node as the first step of a plan, with the findings of the preflight; `None` for an end.
pub fn here(state: &State, node: &Node, findings: &[Finding]) -> Option<Planned> {
    match &node.kind {
        NodeKind::Do { step, .. } => Some(planned(state, node, *step, findings)),
        NodeKind::Manual { commands, .. } => Some(manual(state, node, commands)),
        NodeKind::Ask { choices } => {
            let does = choices.iter().map(|choice| choice.say.clone()).collect();
            let question = Planned { kind: "question", risk: Risk::Reads, ..manual(state, node, &[]) };
            Some(Planned { does, undo: "take the answer back", waits_for: "your answer", ..question })
        }
        NodeKind::End { .. } => None,
    }
}

fn manual(state: &State, node: &Node, commands: &[Clean]) -> Planned {
    Planned {
        number: 1,
        node: node.at.clone(),
        title: node.title.clone(),
        kind: "manual",
        does: vec![node.say.clone()],
        commands: commands.iter().map(|command| status::filled(state, command)).collect(),
        risk: Risk::Reversible,
        undo: "by hand",
        waits_for: "your record of what came of it",
        forecasts: Vec::new(),
        blocked_by: Vec::new(),
    }
}

fn planned(state: &State, node: &Node, step: StepKind, findings: &[Finding]) -> Planned {
    let blocking =
        findings.iter().filter(|f| matches!(f.severity, Severity::Blocks | Severity::Absent) && f.blocks == Some(step));
    let (does, commands) = details(state, step, findings);
    Planned {
        number: 1,
        node: node.at.clone(),
        title: node.title.clone(),
        kind: step.slug(),
        does,
        commands,
        risk: step.risk(),
        undo: step.undo(),
        waits_for: step.waits_for(),
        forecasts: forecasts(state, step),
        blocked_by: blocking.map(|finding| say!("{}; {}", finding.what, finding.remedy)).collect(),
    }
}

/// The change of a step on one workload, and what pods of its template may do; `None` without a
/// target. No forecast where the revision is gone.
fn foreseen(state: &State, workload: &Workload, step: StepKind) -> Option<(ChangeKind, Option<Forecast>)> {
    let kind = match (step, state.incident.targets.get(&workload.reference).cloned()) {
        (StepKind::Restart, _) => ChangeKind::Restart { at: state.now },
        (_, Some(Target { goal: Goal::Template(to), revision, .. })) => ChangeKind::Revert { to, revision },
        (_, Some(Target { goal: Goal::Release(..), .. }) | None) => return None,
    };
    let forecast = match &kind {
        ChangeKind::Revert { to, .. } => {
            workload.revision(to).map(|revision| forecast::of_revision(state, &workload.reference, revision))
        }
        _ => Some(forecast::of(state, &workload.template)),
    };
    Some((kind, forecast))
}

/// Why the schema guard is going to refuse a step that is carried out as ordered. What speaks
/// against the rollback of a Helm release is among the findings.
fn unprotected(state: &State, step: StepKind, protect: bool) -> Vec<Clean> {
    // By the time of the restart the revert has brought the variable.
    if step != StepKind::Revert {
        return Vec::new();
    }
    let workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    let refusal = |workload: &Workload| {
        let forecast = foreseen(state, workload, step)?.1?;
        let way = forecast.stopped().filter(|way| !(way.protect_helps && protect))?;
        let how = if way.protect_helps { Clean::ours(" (--protect)") } else { Clean::default() };
        let (reference, why) = (&workload.reference, forecast.sentence());
        Some(say!("the schema guard refuses {}: {}; {}{}", reference, why, way.remedy, how))
    };
    workloads.filter_map(refusal).collect()
}

fn forecasts(state: &State, step: StepKind) -> Vec<Foreseen> {
    if !matches!(step, StepKind::Revert | StepKind::Restart) {
        return Vec::new();
    }
    let workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    let of = |workload: &Workload| {
        let forecast = match release_goal(state, workload).filter(|_| step == StepKind::Revert) {
            Some(to) => releases::pods(state, workload, to)?,
            None => foreseen(state, workload, step)?.1?,
        };
        Some(Foreseen { workload: workload.reference.clone(), forecast })
    };
    workloads.filter_map(of).collect()
}

/// The forecast of a change for people, with every object at stake.
fn foretold(forecast: Option<&Forecast>, protect: bool) -> Vec<Clean> {
    let Some(forecast) = forecast else { return vec![Clean::ours("forecast: the revision is gone")] };
    let mut lines = Vec::new();
    match forecast.stopped() {
        None => lines.push(say!("forecast: {}: {}", forecast.word(), forecast.why())),
        Some(_) if protect => lines.push(say!(
            "forecast: will not write to the schema, thanks to the variable; without it: {}: {}",
            forecast.word(),
            forecast.why()
        )),
        Some(way) => lines.push(say!("forecast: {}: {}; {}", forecast.word(), forecast.why(), way.remedy)),
    }
    let join = |words: Vec<Clean>| words.into_iter().reduce(|all, each| say!("{}, {}", all, each));
    let pending = forecast.pending().iter().map(|each| say!("{} ({})", each.name, each.weight.word()));
    lines.extend(join(pending.collect()).map(|names| say!("pending: {}", names)));
    lines.extend(staked(&forecast.stake(), if protect { " without the variable" } else { "" }));
    lines
}

/// Every object at stake, for people.
fn staked(stake: &Stake, unless: &'static str) -> Vec<Clean> {
    if stake.is_empty() {
        return Vec::new();
    }
    let join = |words: Vec<Clean>| words.into_iter().reduce(|all, each| say!("{}, {}", all, each));
    let mut lines = vec![say!("at stake{}: {}", unless, stake.counted())];
    let tables = stake.tables().map(|table| say!("{}", table)).collect();
    let columns = stake.columns().map(|column| say!("{}", column)).collect();
    lines.extend(join(tables).map(|names| say!("tables: {}", names)));
    lines.extend(join(columns).map(|names| say!("columns: {}", names)));
    lines
}

/// The release's revision that a workload is to go back to.
fn release_goal(state: &State, workload: &Workload) -> Option<ReleaseRevision> {
    match state.incident.targets.get(&workload.reference)?.goal {
        Goal::Release(_, revision) => Some(revision),
        Goal::Template(_) => None,
    }
}

/// The rollback of the release that owns a workload: what it does, what must be known, its command.
fn rollback(state: &State, workload: &Workload, to: ReleaseRevision, does: &mut Vec<Clean>, commands: &mut Vec<Clean>) {
    let forecast = forecast::shown(state);
    let facts = match releases::facts(state, workload, to, &forecast) {
        Ok(facts) => facts,
        Err(why) => return does.push(why),
    };
    let rollback = rollback::plan(&facts);
    does.push(rollback.sentence());
    does.extend(concerns(&facts).into_iter().map(|concern| say!("{}; {}", concern.what, concern.consequence)));
    does.extend(staked(&lost(&facts).stake, ""));
    does.push(say!("{} fields change", review_lines(facts.current, facts.target).len()));
    commands.push(rollback.command(state.setting.context.as_ref()));
}

/// The statement that deletes one row.
fn deleting(id: &MigrationId) -> Clean {
    say!("DELETE FROM \"_prisma_migrations\" WHERE id = {}", say!("{}", id).sql_literal())
}

fn details(state: &State, step: StepKind, findings: &[Finding]) -> (Vec<Clean>, Vec<Clean>) {
    let context = state.setting.context.as_ref();
    match step {
        StepKind::Revert | StepKind::Restart => {
            let mut does = Vec::new();
            let mut commands = Vec::new();
            for reference in &state.setting.workloads {
                let Some(workload) = state.workload(reference) else { continue };
                if let (StepKind::Revert, Some(to)) = (step, release_goal(state, workload)) {
                    rollback(state, workload, to, &mut does, &mut commands);
                    continue;
                }
                let Some((kind, forecast)) = foreseen(state, workload, step) else {
                    does.push(say!("{}: no target is chosen yet", reference));
                    continue;
                };
                let way = forecast.as_ref().and_then(Forecast::stopped);
                let protect = way.is_some_and(|way| way.protect_helps);
                let change = Change::on(workload, kind, protect);
                does.push(change.sentence());
                does.extend(foretold(forecast.as_ref(), protect));
                commands.push(change.command(context));
            }
            (does, commands)
        }
        StepKind::Backup => {
            let order = BackupOrder { without_spend_logs: false, at: state.now };
            let file = state.gate.clean(&order.file_name());
            let does = vec![say!(
                "dump {} into {} and read it back in full",
                state.setting.database.clone().unwrap_or_default(),
                state.setting.folder
            )];
            (does, vec![say!("pg_dump -F c -w -f {}/{}", state.setting.folder, file)])
        }
        StepKind::CleanMigrations => {
            let failed: Vec<_> = state.migrations.last().map(|table| table.failed().collect()).unwrap_or_default();
            let does = if failed.is_empty() {
                vec![Clean::ours("no failed row is known: nothing to do unless one appears")]
            } else {
                failed.iter().map(|row| say!("delete the failed row {} ({})", row.name, row.id)).collect()
            };
            (does, failed.iter().map(|row| deleting(&row.id)).collect())
        }
        StepKind::StaleRows => {
            let stale: Vec<_> = state.ledger.stale().collect();
            let does = if stale.is_empty() {
                vec![Clean::ours("no stale row is known: nothing to do unless one appears")]
            } else {
                stale.iter().map(|row| say!("delete the row {} ({}): {}", row.name, row.id, row.advice.why)).collect()
            };
            (does, stale.iter().map(|row| deleting(&row.id)).collect())
        }
        StepKind::Preflight => {
            let blocks = findings.iter().filter(|finding| finding.severity == Severity::Blocks).count();
            (
                vec![say!("{}; {} in the way of a step", Many(findings.len(), "finding"), blocks)],
                vec![Clean::ours("lastgood preflight")],
            )
        }
        StepKind::ChooseTarget => {
            let chosen = state
                .incident
                .targets
                .iter()
                .map(|(reference, target)| say!("{}: revision {} ({})", reference, target.revision, target.image));
            (chosen.collect(), Vec::new())
        }
        StepKind::Restore => (
            vec![
                Clean::ours("compare a proved backup with its sidecar, byte by byte"),
                Clean::ours("make a new database on the same server, and fill it"),
                Clean::ours("count it, and list what the live one holds besides"),
            ],
            vec![Clean::ours("lastgood restore --arm ENV")],
        ),
        StepKind::ClearCache => {
            let known = cache::known(state);
            let from = known.as_ref().map_or(Clean::default(), |(_, from)| say!(" ({})", from));
            let namespace = known.as_ref().map(|(namespace, _)| namespace);
            let which = Clearance { namespace: namespace.cloned(), keys: 0 }.which();
            let does = vec![
                say!("count the keys of Redis, then delete those of {}{}", which, from),
                Clean::ours("spend buffers, rate limits, cooldowns and locks stay; FLUSHALL is never sent"),
                Clean::ours(PODS_REMEMBER),
            ];
            (does, vec![cache::command(namespace)])
        }
        StepKind::Verify => {
            let checks = state
                .checks
                .list
                .checks()
                .iter()
                .map(|check| say!("{}: {}", check.id.title(), check.verdict.mark.word()));
            (checks.collect(), vec![Clean::ours("lastgood verify")])
        }
    }
}
