//! Which live streams the state wants: derived, so there is no stop button to forget.

use std::collections::BTreeSet;

use crate::app::effect::Feed;
use crate::app::releases;
use crate::app::state::State;
use crate::domain::log::LogSource;

/// How many log streams are followed at once. Pods beyond it are said to be not followed, and
/// a check over every pod's log is unknown then.
const MOST_LOGS: usize = 50;

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
    let mut sources = log_sources(state);
    sources.truncate(MOST_LOGS);
    sources
}

/// Every container whose log can be read now, ready pods last so that broken ones are followed
/// first, and the log of its previous run where that is asked for.
fn log_sources(state: &State) -> Vec<LogSource> {
    let mut pods = state.pods();
    pods.sort_by_key(|pod| (pod.ready(), std::cmp::Reverse(pod.created)));
    let mut sources = Vec::new();
    for pod in pods {
        for container in &pod.containers {
            let has_log = container.started.is_some() || container.restarts > 0 || container.terminated;
            let source = LogSource {
                uid: pod.uid.clone(),
                pod: pod.name.clone(),
                container: container.name.clone(),
                previous: false,
            };
            if state.logs.previous && container.restarts > 0 {
                sources.push(LogSource { previous: true, ..source.clone() });
            }
            if has_log {
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
