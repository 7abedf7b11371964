//! Followed logs and watches under whatever a cluster does to them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use lastgood::domain::cluster::PodsItem;
use lastgood::domain::log::{LogItem, LogSource};
use lastgood::domain::trouble::TroubleKind;
use lastgood::world::kubernetes::Kubernetes;
use lastgood::world::{Cluster as _, Feed};
use serde_json::{Value, json};

mod support {
    #[allow(dead_code, reason = "other tests use the rest")]
    pub mod cluster_contract;
    #[allow(dead_code, reason = "other tests use the rest")]
    pub mod envtest;
    #[allow(dead_code, reason = "other tests use the rest")]
    pub mod kube_server;
}

use support::cluster_contract::{NEW, Stage, next_that, reference};
use support::kube_server::{Fault, KubeServer, Log};

/// A replayed cluster with one pod whose log is read.
struct Talk {
    server: KubeServer,
    stage: Stage,
    kubernetes: Kubernetes,
    source: LogSource,
    _folder: tempfile::TempDir,
}

impl Talk {
    async fn start(lines: &[(i64, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = KubeServer::start().await;
        let kubeconfig = server.kubeconfig(folder.path(), "admin");
        let stage =
            Stage { admin: support::envtest::client(&kubeconfig).await, viewer: kubeconfig.clone(), kubeconfig };
        let pod = stage.pod("talk", "talk", None).await;
        stage.pod_status("talk", status(0, true)).await;
        server.log("talk", "litellm", false, |log| log.lines = stamped(lines));
        let source = LogSource {
            uid: pod["metadata"]["uid"].as_str().unwrap().parse().unwrap(),
            pod: "talk".parse().unwrap(),
            container: "litellm".parse().unwrap(),
            previous: false,
        };
        let kubernetes = stage.connect().await;
        Self { server, stage, kubernetes, source, _folder: folder }
    }

    fn follow(&self) -> Feed<LogItem> {
        self.kubernetes.logs(&self.source, 100)
    }

    fn log(&self, change: impl FnOnce(&mut Log)) {
        self.server.log("talk", "litellm", false, change);
    }

    /// The container was restarted, so often by now, and wrote this since; and this before.
    async fn restarted(&self, restarts: u32, previous: &[(i64, &str)], current: &[(i64, &str)]) {
        self.server.log("talk", "litellm", true, |log| *log = Log { lines: stamped(previous), ..Log::default() });
        self.stage.pod_status("talk", status(restarts, true)).await;
        self.log(|log| *log = Log { lines: stamped(current), ..Log::default() });
    }

    fn requests(&self, part: &str) -> usize {
        self.server.requests("GET", part).len()
    }
}

/// The second at which lines begin.
const BEGIN: i64 = 1_800_000_000;

fn status(restarts: u32, runs: bool) -> Value {
    let started = Timestamp::from_second(BEGIN + 50 * i64::from(restarts)).unwrap();
    let state = if runs {
        json!({"running": {"startedAt": started.to_string()}, "terminated": null})
    } else {
        json!({"terminated": {"exitCode": 1, "reason": "Error"}, "running": null})
    };
    let status = json!({"name": "litellm", "image": NEW, "imageID": "", "ready": runs, "restartCount": restarts, "state": state});
    json!({"phase": "Running", "containerStatuses": [status]})
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGIN + second).unwrap()
}

fn stamped(lines: &[(i64, &str)]) -> Vec<(Timestamp, String)> {
    lines.iter().map(|(second, text)| (at(*second), (*text).to_owned())).collect()
}

/// The next lines, until there are so many; marks of the console begin with `--`.
async fn lines(feed: &mut Feed<LogItem>, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let what = format!("line {} of {count} after {all:?}", all.len() + 1);
        let LogItem::Lines(segment) = next_that(feed, &what, |item| matches!(item, LogItem::Lines(_))).await else {
            unreachable!()
        };
        all.extend(segment.iter().map(|line| format!("{}{}", if line.ours.is_some() { "-- " } else { "" }, line.text)));
    }
    all
}

/// What comes within a time.
async fn within(feed: &mut Feed<LogItem>, time: Duration) -> Vec<LogItem> {
    let mut all = Vec::new();
    let end = tokio::time::Instant::now() + time;
    while let Ok(Some(item)) = tokio::time::timeout_at(end, feed.next()).await {
        all.push(item);
    }
    all
}

#[tokio::test]
async fn a_log_that_nobody_listened_to_for_a_while_goes_on_where_it_was() {
    let talk = Talk::start(&[(1, "a"), (1, "b")]).await;
    let mut feed = talk.follow();
    assert_eq!(lines(&mut feed, 2).await, ["a", "b"]);
    drop(feed);
    talk.log(|log| log.lines.extend(stamped(&[(1, "c"), (2, "d")])));
    let mut feed = talk.follow();
    assert_eq!(lines(&mut feed, 2).await, ["c", "d"]);
    // The end of a log is its end for whoever asks again.
    talk.log(|log| log.ended = true);
    let ended = json!({"phase": "Failed", "containerStatuses": status(0, false)["containerStatuses"]});
    talk.stage.pod_status("talk", ended).await;
    next_that(&mut feed, "the end", |item| *item == LogItem::Ended).await;
    assert_eq!(feed.next().await, None);
    drop(feed);
    assert_eq!(talk.follow().next().await, None);
}

#[tokio::test]
async fn of_several_restarts_what_can_be_read_is_read_and_the_rest_is_a_gap() {
    let talk = Talk::start(&[(1, "one")]).await;
    let mut feed = talk.follow();
    assert_eq!(lines(&mut feed, 1).await, ["one"]);
    talk.restarted(3, &[(101, "three"), (102, "three dies")], &[(151, "four")]).await;
    talk.server.cut_streams();
    let gap = "-- a gap of up to 1m40s: container litellm was restarted 3 times meanwhile, and only the last two runs \
               can be read; lines between 2027-01-15T08:00:01Z and here are missing";
    let restarted = "-- container litellm was restarted";
    assert_eq!(lines(&mut feed, 5).await, [gap, "three", "three dies", restarted, "four"]);
    // A run that was read to its end, and one that nobody looked at: nothing is missing.
    talk.log(|log| log.ended = true);
    talk.stage.pod_status("talk", status(3, false)).await;
    next_that(&mut feed, "the end", |item| *item == LogItem::Ended).await;
    talk.restarted(5, &[(201, "five")], &[(251, "six")]).await;
    assert_eq!(lines(&mut feed, 3).await, ["five", restarted, "six"]);
}

#[tokio::test]
async fn a_run_that_said_nothing_before_the_cut_is_read_when_it_is_over() {
    let talk = Talk::start(&[]).await;
    let mut feed = talk.follow();
    assert_eq!(feed.next().await, Some(LogItem::Following));
    assert_eq!(within(&mut feed, Duration::from_millis(1_100)).await, []);
    talk.restarted(1, &[(1, "Error: P3009")], &[(51, "again")]).await;
    talk.server.cut_streams();
    assert_eq!(lines(&mut feed, 3).await, ["Error: P3009", "-- container litellm was restarted", "again"]);
}

#[tokio::test]
async fn the_end_of_a_run_that_nobody_serves_is_a_gap_with_its_length() {
    let talk = Talk::start(&[(1, "one")]).await;
    let mut feed = talk.follow();
    assert_eq!(lines(&mut feed, 1).await, ["one"]);
    talk.stage.pod_status("talk", status(1, true)).await;
    talk.log(|log| log.lines = stamped(&[(61, "two")]));
    talk.server.cut_streams();
    let shown = lines(&mut feed, 3).await;
    assert_eq!(shown[0], "-- container litellm was restarted");
    assert!(shown[1].starts_with("-- a gap of up to 1m00s: the run of container litellm before this one"), "{shown:?}");
    assert_eq!(shown[2], "two");
}

/// Rotated between two lines of one moment: nobody knows whether there were more of them.
#[tokio::test]
async fn a_log_that_was_rotated_within_a_moment_has_a_short_gap() {
    let talk = Talk::start(&[(1, "a"), (2, "b")]).await;
    let mut feed = talk.follow();
    assert_eq!(lines(&mut feed, 2).await, ["a", "b"]);
    talk.log(|log| log.lines = stamped(&[(2, "k"), (3, "l")]));
    talk.server.cut_streams();
    let shown = lines(&mut feed, 3).await;
    assert!(shown[0].starts_with("-- a gap of less than 1s: the log of container litellm was rotated"), "{shown:?}");
    assert_eq!(shown[1..], ["k", "l"]);
}

/// A node that has no inotify watches left ends every followed log at once, with these words.
#[tokio::test]
async fn a_node_that_cannot_follow_is_asked_less_often_and_its_remark_is_shown_once() {
    let talk = Talk::start(&[(1, "a")]).await;
    talk.log(|log| log.remark = Some("failed to create fsnotify watcher: too many open files".to_owned()));
    let mut feed = talk.follow();
    assert_eq!(lines(&mut feed, 2).await, ["a", "failed to create fsnotify watcher: too many open files"]);
    let before = talk.requests("/log?");
    let more = within(&mut feed, Duration::from_secs(5)).await;
    assert!(more.iter().all(|item| !matches!(item, LogItem::Lines(_))), "said again: {more:?}");
    let asked = talk.requests("/log?") - before;
    assert!((2..=7).contains(&asked), "asked {asked} times in 5 s");
    talk.log(|log| log.lines.extend(stamped(&[(2, "b")])));
    assert_eq!(lines(&mut feed, 1).await, ["b"]);
}

/// The kubelet leaves out the parts of a long line that are older than what it is asked for.
#[tokio::test]
async fn the_rest_of_a_line_that_came_already_does_not_come_again() {
    let talk = Talk::start(&[(1, "a"), (3, "b")]).await;
    talk.log(|log| log.rest = Some("xxx end of a long line".to_owned()));
    let mut feed = talk.follow();
    assert_eq!(lines(&mut feed, 2).await, ["a", "b"]);
    talk.server.cut_streams();
    next_that(&mut feed, "the stream to be back", |item| *item == LogItem::Following).await;
    talk.log(|log| log.lines.extend(stamped(&[(4, "c")])));
    assert_eq!(lines(&mut feed, 1).await, ["c"]);
}

#[tokio::test]
async fn whatever_bytes_a_container_writes_are_lines() {
    let talk = Talk::start(&[]).await;
    let mut raw = Vec::new();
    let said: [&[u8]; 7] = [
        b"windows\r",
        b"",
        b"\xff\xfe not UTF-8 \xc3",
        b"nul \0 and bell \x07",
        b"\x1b[2J\x1b]0;title\x07\x1b[31mred\x1b[0m",
        b"10%\r50%\r100%",
        b"\xe2\x80\xaeright to left",
    ];
    for line in said {
        raw.extend_from_slice(format!("{} ", at(1)).as_bytes());
        raw.extend_from_slice(line);
        raw.push(b'\n');
    }
    raw.extend_from_slice(b"\n\r\nno time at all\n");
    talk.log(|log| log.raw = raw);
    let mut feed = talk.follow();
    let shown = lines(&mut feed, 8).await;
    assert_eq!(shown[..2], ["windows", ""]);
    assert!(shown[2].contains(" not UTF-8 "), "{shown:?}");
    assert_eq!(shown[3..], ["nul  and bell ", "red", "10%50%100%", "right to left", "no time at all"]);
}

#[tokio::test]
async fn refusals_are_told_once_and_the_server_is_left_alone() {
    // What is refused, its words, and how long it is left alone at least.
    let rows = [
        (Fault::Limited, TroubleKind::Busy, 950),
        (Fault::Status(429, Some(2)), TroubleKind::Busy, 1_900),
        (Fault::Status(403, None), TroubleKind::Forbidden, 0),
        (Fault::Status(400, None), TroubleKind::Invalid, 0),
        (Fault::Status(503, None), TroubleKind::Unreachable, 0),
    ];
    for (fault, kind, wait) in rows {
        let talk = Talk::start(&[(1, "a")]).await;
        talk.server.plan("GET", "/log?", 1, fault.clone());
        let mut feed = talk.follow();
        let Some(LogItem::Lost(why)) = feed.next().await else { panic!("{fault:?}") };
        let refused = Instant::now();
        assert_eq!(why.kind, kind, "{fault:?}: {}", why.what);
        assert_eq!(feed.next().await, Some(LogItem::Following), "{fault:?}");
        assert!(refused.elapsed() >= Duration::from_millis(wait), "{fault:?}: {:?}", refused.elapsed());
        assert_eq!(lines(&mut feed, 1).await, ["a"], "{fault:?}");
    }
}

#[tokio::test]
async fn a_container_that_has_not_started_is_looked_at_once_a_second() {
    let talk = Talk::start(&[]).await;
    let waiting = json!({"name": "litellm", "image": NEW, "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}, "running": null}});
    talk.stage.pod_status("talk", json!({"phase": "Pending", "containerStatuses": [waiting]})).await;
    let mut feed = talk.follow();
    let Some(LogItem::Lost(why)) = feed.next().await else { panic!() };
    assert!(why.what.as_str().contains("has not started"), "{}", why.what);
    let before = talk.requests("pods?");
    assert!(within(&mut feed, Duration::from_secs(3)).await.is_empty(), "said once");
    let asked = talk.requests("pods?") - before;
    assert!((1..=4).contains(&asked), "asked {asked} times in 3 s");
    talk.stage.pod_status("talk", status(0, true)).await;
    talk.log(|log| log.lines = stamped(&[(1, "a")]));
    assert_eq!(lines(&mut feed, 1).await, ["a"]);
}

#[tokio::test]
async fn a_pod_of_the_same_name_is_another_pod() {
    let talk = Talk::start(&[(1, "a")]).await;
    let mut feed = talk.follow();
    assert_eq!(lines(&mut feed, 1).await, ["a"]);
    talk.stage.delete("pods", "talk").await;
    let pod = talk.stage.pod("talk", "talk", None).await;
    talk.stage.pod_status("talk", status(0, true)).await;
    talk.log(|log| *log = Log { lines: stamped(&[(9, "of the other")]), epoch: 1, ..Log::default() });
    talk.server.cut_streams();
    let rest = within(&mut feed, Duration::from_secs(3)).await;
    assert!(rest.iter().all(|item| !matches!(item, LogItem::Lines(_))), "{rest:?}");
    assert_eq!(rest.last(), Some(&LogItem::Ended));
    let uid = pod["metadata"]["uid"].as_str().unwrap().parse().unwrap();
    let mut other = talk.kubernetes.logs(&LogSource { uid, ..talk.source.clone() }, 100);
    assert_eq!(lines(&mut other, 1).await, ["of the other"]);
}

/// The node's clock is a minute behind: a line that was just written is no late one.
#[tokio::test]
async fn a_clock_that_is_behind_makes_no_line_late() {
    let behind = SignedDuration::from_mins(1);
    let now = || Timestamp::now() - behind;
    let talk = Talk::start(&[]).await;
    talk.log(|log| log.lines.push((now(), "first".to_owned())));
    let mut feed = talk.follow();
    assert_eq!(lines(&mut feed, 1).await, ["first"]);
    assert_eq!(within(&mut feed, Duration::from_millis(1_200)).await, []);
    talk.log(|log| log.lines.push((now(), "as it is written".to_owned())));
    assert_eq!(lines(&mut feed, 1).await, ["as it is written"]);
    assert!(futures::poll!(feed.next()).is_pending());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert!(within(&mut feed, Duration::from_secs(2)).await.is_empty(), "it is opened again without a word");
    assert_eq!(talk.requests("sinceTime"), 1, "it was opened again");
    talk.log(|log| log.lines.push((now(), "and again".to_owned())));
    assert_eq!(lines(&mut feed, 1).await, ["and again"]);
}

#[tokio::test]
async fn half_an_event_and_watches_that_end_at_once_lose_no_change() {
    let talk = Talk::start(&[]).await;
    let [_, _, new] = talk.stage.deploy("half", &json!({})).await;
    let owner = Some(("apps/v1", "ReplicaSet", &new));
    talk.stage.pod("half-1", "half", owner).await;
    let mut feed = talk.kubernetes.pods(&reference("half"));
    next_that(&mut feed, "the list", |item| matches!(item, Ok(PodsItem::Listed(_)))).await.unwrap();
    for (number, fault) in [(2, Fault::BreakAnswer), (3, Fault::Status(429, Some(1))), (4, Fault::Status(500, None))] {
        talk.server.plan("GET", "pods?&watch", 1, fault);
        talk.server.cut_streams();
        let name = format!("half-{number}");
        talk.stage.pod(&name, "half", owner).await;
        next_that(&mut feed, &name, |item| match item {
            Ok(PodsItem::Changed(pod)) => pod.name.as_str() == name,
            Ok(PodsItem::Listed(pods)) => pods.iter().any(|pod| pod.name.as_str() == name),
            _ => false,
        })
        .await
        .unwrap();
    }
    assert_eq!(talk.requests("limit="), 3, "one list of each kind: the watches went on from where they were");
}
