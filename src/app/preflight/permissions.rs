//! What we may do in the cluster.

use crate::app::preflight::{Finding, Severity};
use crate::app::state::State;
use crate::domain::cluster::Ask;
use crate::domain::step::StepKind;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    let Some(permissions) = state.permissions.last() else {
        if state.setting.missing.cluster.is_none() {
            found.push(Finding::waiting("permissions", Clean::ours("permissions are not known yet")));
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
        let severity = match blocks {
            Some(_) => Severity::Blocks,
            None if Ask::EXEC.contains(&permission.ask) => Severity::Absent,
            None => Severity::Warns,
        };
        found.push(Finding { consequence, remedy, blocks, ..Finding::new("permissions", severity, what) });
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
        | Ask::WatchJobs
        | Ask::ListSecrets => Some(StepKind::Revert),
        Ask::ReadLogs
        | Ask::GetPortForward
        | Ask::CreatePortForward
        | Ask::GetSecret
        | Ask::GetConfigMap
        | Ask::ListAutoscalers
        | Ask::GetService
        | Ask::GetExec
        | Ask::CreateExec => None,
    }
}
