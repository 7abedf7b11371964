//! Which live streams the state wants: derived, so there is no stop button to forget.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::app::effect::Feed;
use crate::app::releases;
use crate::app::state::State;
use crate::domain::cluster::{ContainerStatus, Pod};
use crate::domain::log::LogSource;

/// How many log streams are followed at once. Pods beyond it are said to be not followed, and
/// a check over every pod's log is unknown then.
pub const MOST_LOGS: usize = 50;

/// The streams wanted now: what the incident and its checks need, whatever has the focus.
pub fn feeds(state: &State) -> BTreeSet<Feed> {
    let mut wanted = BTreeSet::new();
    if state.setting.missing.cluster.is_none() {
        for workload in &state.setting.workloads {
            wanted.insert(Feed::Workload(workload.clone()));
            wanted.insert(Feed::Pods(workload.clone()));
        }
        wanted
            .extend(releases::followed(state).into_iter().map(|(workload, release)| Feed::Releases(workload, release)));
        wanted.extend(followed(state).into_iter().map(Feed::Logs));
    }
    if state.setting.missing.database.is_none() {
        wanted.insert(Feed::Migrations);
        wanted.insert(Feed::Schema);
        wanted.insert(Feed::Newer);
    }
    wanted
}

/// The containers whose log is followed: the first of those whose log can be read.
pub fn followed(state: &State) -> Vec<LogSource> {
    followed_and_beyond(state).0
}

/// The containers whose log is followed, and those whose log could be read and is not followed,
/// because there are too many.
pub fn followed_and_beyond(state: &State) -> (Vec<LogSource>, Vec<LogSource>) {
    let mut sources = log_sources(state);
    let beyond = sources.split_off(sources.len().min(MOST_LOGS));
    (sources, beyond)
}

/// How many logs of these pods could be read and are not followed, because there are too many.
pub fn beyond(state: &State, pods: &[&Arc<Pod>]) -> usize {
    let logs = |container: &&ContainerStatus| {
        usize::from(has_log(container)) + usize::from(state.logs.previous && container.restarts > 0)
    };
    let all: usize = pods.iter().flat_map(|pod| &pod.containers).map(|container| logs(&container)).sum();
    all.saturating_sub(MOST_LOGS)
}

/// It wrote a log, or may.
fn has_log(container: &ContainerStatus) -> bool {
    container.started.is_some() || container.restarts > 0 || container.terminated
}

/// Every container whose log can be read now, ready pods last so that broken ones are followed
/// first, and the log of its previous run where that is asked for.
fn log_sources(state: &State) -> Vec<LogSource> {
    let mut pods = state.pods();
    pods.sort_by_key(|pod| (pod.ready(), std::cmp::Reverse(pod.created)));
    let mut sources = Vec::new();
    for pod in pods {
        for container in &pod.containers {
            let source = LogSource {
                uid: pod.uid.clone(),
                pod: pod.name.clone(),
                container: container.name.clone(),
                previous: false,
            };
            if state.logs.previous && container.restarts > 0 {
                sources.push(LogSource { previous: true, ..source.clone() });
            }
            if has_log(container) {
                sources.push(source);
            }
        }
    }
    sources
}

/// Forgets what was known of streams that are not wanted any more.
pub fn prune(state: &mut State) {
    let wanted = followed(state);
    state.logs.keep_streams(|source| wanted.contains(source));
}
