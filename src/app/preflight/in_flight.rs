//! What is already going on: a rollout, a migration Job, a holder of Prisma's lock.

use crate::app::preflight::Finding;
use crate::app::state::State;
use crate::domain::step::StepKind;
use crate::domain::workload::Rollout;
use crate::text::{Clean, Many};

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
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
        let failure = workload.conditions.iter().find(|condition| condition.as_str().starts_with("ReplicaFailure"));
        if let Some(condition) = failure {
            found.push(
                Finding::warns(
                    "replica-failure",
                    say!("{} cannot make its pods", reference),
                    Clean::ours("the pods of the target cannot be made either, and the rollout waits for ever"),
                    Clean::ours("raise the quota, or remove what refuses them, before the revert"),
                )
                .because(condition.clone()),
            );
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
                say!("{}", Many(failed, "failed migration row")),
                Clean::ours("pods that run migrations refuse to start (P3009) while they are there"),
                Clean::ours("the runbook's migration step deletes or resolves them after the revert"),
            ));
        }
    }
}
