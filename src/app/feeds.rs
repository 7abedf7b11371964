//! Which live streams the state wants: derived, so there is no stop button to forget.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::app::effect::Feed;
use crate::app::logs::Stream;
use crate::app::releases;
use crate::app::state::State;
use crate::domain::cluster::{ContainerStatus, Pod, WorkloadRef};
use crate::domain::log::LogSource;
use crate::domain::name::Name;

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
        wanted.extend(state.logs.leaving().cloned().map(Feed::Logs));
    }
    if state.setting.missing.database.is_none() {
        wanted.insert(Feed::Migrations);
        wanted.insert(Feed::Schema);
        wanted.insert(Feed::Newer);
    }
    wanted
}

/// The containers whose log is followed: the first of those whose log can be read. Asked with every
/// message, so no more pods are put into order than have room.
pub fn followed(state: &State) -> Vec<LogSource> {
    let logs = |pod: &&Arc<Pod>| pod.containers.iter().any(has_log);
    let mut pods: Vec<&Arc<Pod>> = state.each_pod().filter(logs).collect();
    if pods.len() > MOST_LOGS {
        pods.select_nth_unstable_by(MOST_LOGS, |a, b| order(a).cmp(&order(b)));
        pods.truncate(MOST_LOGS);
    }
    let mut sources = log_sources(state, pods);
    sources.truncate(MOST_LOGS);
    sources
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
pub fn has_log(container: &ContainerStatus) -> bool {
    container.started.is_some() || container.restarts > 0 || container.terminated
}

/// Broken pods first, and the youngest of them.
fn order(pod: &Pod) -> (bool, Reverse<Timestamp>, &WorkloadRef, &Name) {
    (pod.ready(), Reverse(pod.created), &pod.workload, &pod.name)
}

/// Every container of these pods whose log can be read now, ready pods last so that broken ones are followed
/// first, and the log of its previous run where that is asked for.
fn log_sources(state: &State, mut pods: Vec<&Arc<Pod>>) -> Vec<LogSource> {
    pods.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    let mut sources = Vec::new();
    for pod in pods {
        for container in &pod.containers {
            let source = LogSource {
                uid: pod.uid.clone(),
                pod: pod.name.clone(),
                container: container.name.clone(),
                previous: false,
            };
            let previous = LogSource { previous: true, ..source.clone() };
            // Once it was read it is kept, and what came after it was followed.
            let read = state.logs.streams().get(&previous) == Some(&Stream::Ended);
            if state.logs.previous && container.restarts > 0 && !read {
                sources.push(previous);
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
    let there = state.watched.values().filter_map(|watched| watched.pods.last());
    let there: Vec<_> = there.collect();
    state.logs.keep_streams(
        |source| wanted.contains(source),
        |uid| there.iter().any(|pods| pods.contains_key(uid)),
        state.now,
    );
}
