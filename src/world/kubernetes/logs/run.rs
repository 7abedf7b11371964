//! One run of a container, as its pod tells.

use k8s_openapi::api::core::v1 as core;

/// The container as its pod tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) restarts: i32,
    pub(super) running: bool,
    /// It was never started, so there is nothing to read.
    pub(super) unstarted: bool,
    /// The second in which the current run started.
    pub(super) started: Option<i64>,
    /// It will not run again.
    pub(super) finished: bool,
}

impl Run {
    /// How this container of the pod stands.
    pub(super) fn of(pod: &core::Pod, container: &str) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let found = all.into_iter().find(|status| status.name == container).cloned().unwrap_or_default();
        let state = found.state.unwrap_or_default();
        let ended = state.terminated.as_ref();
        let is_init = status.init_container_statuses.iter().flatten().any(|status| status.name == container);
        let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
        let stays_ended = ended.is_some_and(|ended| match policy {
            "Never" => true,
            "OnFailure" => ended.exit_code == 0,
            _ => is_init && ended.exit_code == 0,
        });
        let past = found.last_state.unwrap_or_default().terminated.is_some();
        Self {
            restarts: found.restart_count,
            running: state.running.is_some(),
            unstarted: state.running.is_none() && ended.is_none() && !past,
            started: state.running.and_then(|run| run.started_at).map(|time| time.0.as_second()),
            finished: stays_ended || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        }
    }
}
