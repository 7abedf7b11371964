//! Preflight: what stands in the way, with evidence, consequence, remedy, and the step it blocks.

use serde::Serialize;

use crate::app::change;
use crate::app::evidence::evidence;
use crate::app::state::State;
use crate::domain::candidate;
use crate::domain::cluster::{Ask, Field, WorkloadRef};
use crate::domain::forecast::{DISABLE_SCHEMA_UPDATE, Newest};
use crate::domain::live::Live;
use crate::domain::step::{Fact, StepKind};
use crate::domain::trouble::Trouble;
use crate::domain::workload::{EnvValue, Rollout, Template, Workload};
use crate::text::Clean;

/// How a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It stands in the way of a step.
    Blocks,
    /// It must be known before going on.
    Warns,
    /// It is not known yet.
    Unknown,
    /// It is as it should be.
    Fine,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was looked at, in one word for programs.
    pub id: &'static str,
    /// How it stands.
    pub severity: Severity,
    /// What was found.
    pub what: Clean,
    /// What it leads to; empty when it is fine.
    pub consequence: Clean,
    /// What to do.
    pub remedy: Clean,
    /// The step that it blocks.
    pub blocks: Option<StepKind>,
}

impl Finding {
    fn fine(id: &'static str, what: Clean) -> Self {
        Self {
            id,
            severity: Severity::Fine,
            what,
            consequence: Clean::default(),
            remedy: Clean::default(),
            blocks: None,
        }
    }

    fn unknown(id: &'static str, what: Clean) -> Self {
        Self { severity: Severity::Unknown, ..Self::fine(id, what) }
    }

    fn warns(id: &'static str, what: Clean, consequence: Clean, remedy: Clean) -> Self {
        Self { id, severity: Severity::Warns, what, consequence, remedy, blocks: None }
    }

    fn blocks(id: &'static str, step: StepKind, what: Clean, remedy: Clean) -> Self {
        let consequence = say!("`{}` cannot be done", step.slug());
        Self { id, severity: Severity::Blocks, what, consequence, remedy, blocks: Some(step) }
    }

    fn trouble(id: &'static str, step: StepKind, why: &Trouble) -> Self {
        Self::blocks(id, step, why.what.clone(), why.remedy.clone())
    }
}

/// Every finding, in the order in which a rollback needs them: who and where, owner, permissions,
/// parts, operations in flight, targets, schema, coupled items, backup.
pub fn findings(state: &State) -> Vec<Finding> {
    let mut found = Vec::new();
    identity(state, &mut found);
    owners(state, &mut found);
    permissions(state, &mut found);
    parts(state, &mut found);
    in_flight(state, &mut found);
    targets(state, &mut found);
    schema(state, &mut found);
    backup(state, &mut found);
    found
}

fn identity(state: &State, found: &mut Vec<Finding>) {
    match &state.identity {
        Live::Absent(why) => found.push(Finding::trouble("identity", StepKind::Revert, why)),
        Live::Waiting => found.push(Finding::unknown("identity", Clean::ours("the cluster has not answered yet"))),
        Live::Lost { why, .. } => found.push(Finding::trouble("identity", StepKind::Revert, why)),
        Live::Seen { value, .. } => {
            let context = value.context.as_ref().map_or(Clean::ours("in-cluster"), |context| say!("{}", context));
            found.push(Finding::fine(
                "identity",
                say!("{} on {} ({}, {})", value.user, context, value.server, value.version),
            ));
        }
    }
}

fn owners(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else {
            if state.setting.missing.cluster.is_none() {
                let lost = state.watched.get(reference).map(|watched| &watched.workload);
                found.push(match lost {
                    Some(Live::Lost { why, .. }) => Finding::trouble("workload", StepKind::Revert, why),
                    _ => Finding::unknown("workload", say!("{} is not known yet", reference)),
                });
            }
            continue;
        };
        match workload.owner.forbids_patch() {
            Some((why, remedy)) => {
                found.push(Finding::blocks("owner", StepKind::Revert, say!("{}: {}", reference, why), remedy))
            }
            None => found.push(Finding::fine("owner", say!("{} is owned by nobody else", reference))),
        }
        if workload.paused {
            let remedy = say!("kubectl -n {} rollout resume {}", reference.namespace, reference);
            found.push(Finding::blocks("paused", StepKind::Revert, say!("{} is paused", reference), remedy));
        }
    }
    if state.setting.workloads.is_empty() {
        found.push(match &state.found {
            Live::Waiting => Finding::unknown("workload", state.no_workload()),
            Live::Lost { why, .. } => Finding::trouble("workload", StepKind::Revert, why),
            // Without a cluster the identity says so already.
            Live::Absent(_) => return,
            Live::Seen { .. } => Finding::blocks(
                "workload",
                StepKind::Revert,
                Clean::ours("no workload is configured, and none was found"),
                Clean::ours("name them in lastgood.toml: workloads = [\"…\"]"),
            ),
        });
    }
}

fn permissions(state: &State, found: &mut Vec<Finding>) {
    let Some(permissions) = state.permissions.last() else {
        if state.setting.missing.cluster.is_none() {
            found.push(Finding::unknown("permissions", Clean::ours("permissions are not known yet")));
        }
        return;
    };
    if let Some(first) = permissions.first().filter(|_| permissions.iter().all(|each| each.allowed.is_none())) {
        // One reason for all of them: a cluster that does not answer, or not to us.
        let what = Clean::ours("the cluster tells no permission");
        let remedy = Clean::ours("reach the cluster first");
        found.push(Finding {
            consequence: first.reason.clone(),
            ..Finding::blocks("permissions", StepKind::Revert, what, remedy)
        });
        return;
    }
    let denied: Vec<_> = permissions.iter().filter(|permission| permission.allowed != Some(true)).collect();
    for permission in &denied {
        let (verb, group, resource, sub) = permission.ask.attributes();
        let dot = if group.is_empty() { "" } else { "." };
        let slash = if sub.is_empty() { "" } else { "/" };
        let what = say!(
            "`{} {}{}{}{}{}` is {}",
            verb,
            resource,
            dot,
            group,
            slash,
            sub,
            if permission.allowed.is_none() { "not known" } else { "not allowed" }
        );
        let consequence = say!("blocks {}", permission.ask.blocks());
        let remedy = Clean::ours("ask for it, or go on without what it blocks");
        let blocks = needed_by(permission.ask);
        let severity = if blocks.is_some() { Severity::Blocks } else { Severity::Warns };
        found.push(Finding { id: "permissions", severity, what, consequence, remedy, blocks });
    }
    if denied.is_empty() {
        found.push(Finding::fine("permissions", say!("all {} permissions are granted", permissions.len())));
    }
}

/// The step that cannot be done at all without a permission. The others only take something away,
/// and some are not needed everywhere.
fn needed_by(ask: Ask) -> Option<StepKind> {
    match ask {
        Ask::GetDeployment
        | Ask::ListDeployments
        | Ask::WatchDeployments
        | Ask::ListReplicaSets
        | Ask::WatchReplicaSets
        | Ask::ListPods
        | Ask::WatchPods
        | Ask::PatchDeployment
        | Ask::ListJobs
        | Ask::WatchJobs => Some(StepKind::Revert),
        Ask::ReadLogs | Ask::GetPortForward | Ask::CreatePortForward | Ask::GetSecret | Ask::GetService => None,
    }
}

fn parts(state: &State, found: &mut Vec<Finding>) {
    let missing = &state.setting.missing;
    found.push(database(state));
    let rows: [(&'static str, StepKind, &Option<Trouble>, &'static str); 3] = [
        ("backup", StepKind::Backup, &missing.backup, "pg_dump and pg_restore are there"),
        ("gateway", StepKind::Verify, &missing.gateway, "the gateway is configured"),
        ("workloads", StepKind::Revert, &missing.workloads, "Deployments can be changed"),
    ];
    for (id, step, why, fine) in rows {
        found.push(match why {
            Some(why) => Finding::trouble(id, step, why),
            None => Finding::fine(id, Clean::ours(fine)),
        });
    }
}

fn database(state: &State) -> Finding {
    match (&state.setting.missing.database, &state.migrations) {
        (Some(why), _) | (None, Live::Lost { why, .. } | Live::Absent(why)) => {
            Finding::trouble("database", StepKind::CleanMigrations, why)
        }
        (None, Live::Waiting) => Finding::unknown("database", Clean::ours("the database has not answered yet")),
        (None, Live::Seen { value, .. }) => {
            Finding::fine("database", say!("the database answers; {} rows in its migration table", value.rows.len()))
        }
    }
}

fn in_flight(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        match workload.numbers.status() {
            Rollout::Done => found.push(Finding::fine("rollout", say!("no rollout of {} is in flight", reference))),
            Rollout::Waiting(why) | Rollout::Failed(why) => found.push(Finding::warns(
                "rollout",
                say!("a rollout of {} is not complete: {}", reference, why),
                Clean::ours("the revert replaces it"),
                Clean::ours("make sure that nobody else is deploying"),
            )),
        }
        match &workload.jobs {
            None => found.push(Finding::blocks(
                "jobs",
                StepKind::Revert,
                Clean::ours("migration Jobs could not be listed"),
                Clean::ours("ask for `list jobs.batch`"),
            )),
            Some(jobs) => {
                for job in jobs.iter().filter(|job| job.active) {
                    let remedy = Clean::ours("wait for it, or suspend it");
                    found.push(Finding::blocks(
                        "jobs",
                        StepKind::Revert,
                        say!("migration Job {} is running", job.name),
                        remedy,
                    ));
                }
            }
        }
    }
    if let Some(table) = state.migrations.last() {
        match table.locks.iter().find(|lock| lock.granted) {
            Some(lock) => found.push(Finding::blocks(
                "migration-lock",
                StepKind::CleanMigrations,
                say!("a migration holds Prisma's lock: pid {}, {}, {}", lock.pid, lock.application, lock.session),
                Clean::ours("wait until it ends; an orphaned session can be ended with pg_terminate_backend"),
            )),
            None => found.push(Finding::fine("migration-lock", Clean::ours("nobody holds the migration lock"))),
        }
        let failed = table.failed().count();
        if failed > 0 {
            found.push(Finding::warns(
                "failed-migrations",
                say!("{} failed migration rows", failed),
                Clean::ours("pods that run migrations refuse to start (P3009) while they are there"),
                Clean::ours("the runbook's migration step deletes or resolves them after the revert"),
            ));
        }
    }
}

fn targets(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        let ranked = candidate::rank(workload, &change::newest(state), state.now);
        match (state.incident.targets.get(reference), ranked.first()) {
            (Some(target), _) if workload.revision(&target.uid).is_none() => found.push(Finding::blocks(
                "target",
                StepKind::Revert,
                say!("revision {} of {} is gone", target.revision, reference),
                Clean::ours("choose another target"),
            )),
            (Some(target), _) => found.push(Finding::fine(
                "target",
                say!("{} goes back to revision {} ({})", reference, target.revision, target.image),
            )),
            (None, Some(best)) => found.push(Finding::fine(
                "target",
                say!(
                    "best candidate of {}: revision {}; {}",
                    reference,
                    best.number,
                    best.reasons.first().cloned().unwrap_or_default()
                ),
            )),
            (None, None) => found.push(Finding::blocks(
                "target",
                StepKind::Revert,
                say!("{} has no older revision to go back to", reference),
                Clean::ours("set an image by hand (i in the revisions pane); check revisionHistoryLimit"),
            )),
        }
    }
}

fn is_lost(state: &State, reference: &WorkloadRef) -> bool {
    state.watched.get(reference).is_some_and(|watched| matches!(watched.workload, Live::Lost { .. }))
}

fn schema(state: &State, found: &mut Vec<Finding>) {
    let newest = change::newest(state);
    match &newest {
        Newest::Known(image) => found.push(Finding::fine("newest", say!("newest image on record: {}", image))),
        Newest::Untold(image) => found.push(Finding::warns(
            "newest",
            say!("the age of {} cannot be told from its tag", image),
            say!("every change needs {}=true in its template", DISABLE_SCHEMA_UPDATE),
            Clean::ours("pin versioned tags"),
        )),
        // The workload's own finding says what is in the way.
        Newest::Unseen(workload) if is_lost(state, workload) => {}
        Newest::Unseen(workload) => found.push(Finding::unknown("newest", say!("{} is not seen yet", workload))),
        Newest::Nothing if state.setting.missing.cluster.is_some() || state.setting.workloads.is_empty() => {}
        Newest::Nothing => found.push(Finding::unknown("newest", Clean::ours("no image is on record yet"))),
    }
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        let set = workload.template.main().and_then(|container| container.variable(DISABLE_SCHEMA_UPDATE));
        let what = match set {
            None => say!("{} does not set {}", reference, DISABLE_SCHEMA_UPDATE),
            Some(EnvValue::From(from)) => say!("{} takes {} from {}", reference, DISABLE_SCHEMA_UPDATE, from),
            Some(EnvValue::Literal(Field::Shown(value))) => {
                say!("{} sets {}={}", reference, DISABLE_SCHEMA_UPDATE, value)
            }
            Some(EnvValue::Literal(_)) => say!("{} sets {}", reference, DISABLE_SCHEMA_UPDATE),
        };
        found.push(Finding::fine("schema-update", what));
        salt_key(state, workload, found);
    }
}

/// The salt key decides whether stored credentials can be read. Compared, never shown.
fn salt_key(state: &State, workload: &Workload, found: &mut Vec<Finding>) {
    let target = state.incident.targets.get(&workload.reference).and_then(|target| workload.revision(&target.uid));
    let target = target.or_else(|| {
        let best = candidate::rank(workload, &change::newest(state), state.now).into_iter().next()?;
        workload.revision(&best.uid)
    });
    let Some(target) = target else { return };
    let of =
        |template: &Template| template.main().and_then(|container| container.variable("LITELLM_SALT_KEY").cloned());
    let (live, then) = (of(&workload.template), of(&target.template));
    found.push(if live == then {
        let words = if live.is_none() { "neither template sets LITELLM_SALT_KEY" } else { "same" };
        Finding::fine(
            "salt-key",
            say!("LITELLM_SALT_KEY of the live template and of revision {}: {}", target.number, words),
        )
    } else {
        Finding::warns(
            "salt-key",
            say!("LITELLM_SALT_KEY of the live template and of revision {}: different", target.number),
            Clean::ours("credentials that were stored under one key cannot be read under the other"),
            Clean::ours("make sure that the target's key is the one that the stored credentials were written with"),
        )
    });
}

fn backup(state: &State, found: &mut Vec<Finding>) {
    let proved = evidence(state, Fact::BackupProved);
    if proved.holds == Some(true) {
        found.push(Finding::fine("backup-proved", proved.words));
    } else if state.setting.missing.backup.is_none() {
        found.push(Finding::warns(
            "backup-proved",
            proved.words,
            Clean::ours("without one, a change that goes wrong cannot be taken back"),
            Clean::ours("the runbook's backup step, or B"),
        ));
    }
}
