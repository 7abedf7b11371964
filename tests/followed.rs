//! Which logs are followed, and how long.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/state.rs"]
mod state;

use std::sync::Arc;

use lastgood::app::effect::Feed;
use lastgood::app::feeds::feeds;
use lastgood::app::msg::{Item, Msg};
use lastgood::domain::cluster::{Pod, PodsItem};
use lastgood::domain::log::{LogItem, LogSource};
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::text::Clean;
use state::{Desk, NEW, at, pod, reference};

fn logs(desk: &Desk) -> Vec<LogSource> {
    let sources = feeds(&desk.state).into_iter().filter_map(|feed| match feed {
        Feed::Logs(source) => Some(source),
        _ => None,
    });
    sources.collect()
}

fn fed(desk: &mut Desk, source: &LogSource, item: LogItem) {
    desk.send(Msg::Feed(Feed::Logs(source.clone()), Item::Logs(item)));
}

fn names(desk: &Desk) -> Vec<String> {
    logs(desk)
        .iter()
        .map(|source| format!("{}{}", source.pod, if source.previous { " previous" } else { "" }))
        .collect()
}

/// A pod that is deleted writes its most telling lines last.
#[test]
fn the_log_of_a_pod_that_is_gone_is_read_until_it_ends() {
    let ways: [fn(&mut Desk); 2] = [
        |desk| {
            let gone = PodsItem::Gone("a".parse().unwrap());
            desk.send(Msg::Feed(Feed::Pods(reference()), Item::Pods(Ok(gone))));
        },
        |desk| desk.pods(vec![pod("b", NEW, true)]),
    ];
    for goes in ways {
        let mut desk = Desk::seeing("litellm-rollback:verify");
        desk.pods(vec![pod("a", NEW, true), pod("b", NEW, true)]);
        let [a, b] = logs(&desk).try_into().unwrap();
        fed(&mut desk, &a, LogItem::Following);
        fed(&mut desk, &b, LogItem::Following);
        goes(&mut desk);
        desk.tick(1);
        assert_eq!(names(&desk), ["litellm-a", "litellm-b"], "its last lines are under way");
        assert_eq!(desk.state.logs.following(), 2);
        fed(&mut desk, &a, LogItem::Ended);
        assert_eq!(names(&desk), ["litellm-b"]);
        desk.tick(2);
        assert_eq!(desk.state.logs.streams().len(), 1, "what is gone and over is forgotten");
    }
}

#[test]
fn a_log_that_does_not_end_with_its_pod_is_given_up_after_a_while() {
    let mut desk = Desk::seeing("litellm-rollback:verify");
    let [a] = logs(&desk).try_into().unwrap();
    fed(&mut desk, &a, LogItem::Following);
    desk.tick(1);
    desk.pods(vec![]);
    desk.tick(30);
    assert_eq!(logs(&desk), std::slice::from_ref(&a));
    desk.tick(31);
    assert_eq!(logs(&desk), []);
    assert_eq!(desk.state.logs.following(), 0);
    // A log that was lost already brings no last lines.
    desk.pods(vec![pod("a", NEW, true)]);
    fed(&mut desk, &a, LogItem::Lost(Trouble::new(TroubleKind::Unreachable, Clean::ours("cut"))));
    desk.pods(vec![]);
    assert_eq!(logs(&desk), []);
}

#[test]
fn a_previous_log_is_read_once_however_often_it_is_asked_for() {
    let mut desk = Desk::seeing("litellm-rollback:verify");
    let mut restarted = Pod::clone(&pod("a", NEW, true));
    restarted.containers[0].restarts = 1;
    restarted.created = at(-100);
    desk.pods(vec![Arc::new(restarted)]);
    assert_eq!(names(&desk), ["litellm-a"]);
    desk.press("L p");
    assert_eq!(names(&desk), ["litellm-a", "litellm-a previous"]);
    let previous = logs(&desk).into_iter().find(|source| source.previous).unwrap();
    fed(&mut desk, &previous, LogItem::Following);
    desk.press("p p");
    assert_eq!(names(&desk), ["litellm-a", "litellm-a previous"]);
    fed(&mut desk, &previous, LogItem::Ended);
    desk.press("p p");
    desk.tick(5);
    assert_eq!(names(&desk), ["litellm-a"], "its lines are kept");
}
