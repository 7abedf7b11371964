//! One container's log, followed: opened again after a cut without a lost or repeated line.

mod lines;
mod resume;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::StreamExt as _;
use futures::{AsyncBufRead, AsyncBufReadExt as _, FutureExt as _};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ListParams, LogParams};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::{Link, errors};
use crate::domain::log::{LogItem, LogLine, LogSource};
use crate::domain::span::short;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, LineGate};
use crate::world::Feed;
use lines::Splitter;
use resume::{Line, Resume};

/// Lines are handed on together when they came within this time,
const BATCH_TIME: Duration = Duration::from_millis(50);
/// or when there are this many,
const BATCH_LINES: usize = 1_000;
/// or this many bytes of them.
const BATCH_BYTES: usize = 1024 * 1024;
/// A followed log that says nothing for this long is opened again: a connection can die without
/// a word, and going on costs one request.
const SILENCE: Duration = Duration::from_secs(30);
/// Lines that were written this long before the log was opened again did not come in time.
const LATE: SignedDuration = SignedDuration::from_secs(2);
/// A log that has no line yet gets no answer at all from the kubelet, not even headers; after this
/// long such a wait counts as following.
const QUIET_OPENING: Duration = Duration::from_secs(5);
/// A stream that ends sooner than this is not opened again at once.
const TOO_SHORT: Duration = Duration::from_secs(1);
/// How often an ended container is looked at, to see whether it runs again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The feed. Ends by itself only where no further line can come: the log of a previous run was
/// read, or the pod is gone or finished. After [`LogItem::Ended`] of a container that will be
/// restarted it waits, and goes on with [`LogItem::Following`].
pub(super) fn feed(link: &Link, source: &LogSource, tail: u32) -> Feed<LogItem> {
    let follower = Follower {
        link: link.clone(),
        source: Arc::new(source.clone()),
        tail: i64::from(tail.max(1)),
        gate: link.gate().lines(),
        resume: Resume::default(),
        run: None,
        read_out: false,
        opened: false,
        last: None,
        backoff: Backoff::default(),
        following: false,
        lost: false,
        silent: None,
        state: State::Look,
        out: VecDeque::new(),
    };
    futures::stream::unfold(follower, |mut follower| async move {
        let item = follower.next().await?;
        Some((item, follower))
    })
    .boxed()
}

type Reader = Pin<Box<dyn AsyncBufRead + Send>>;
type Opening = BoxFuture<'static, kube::Result<Reader>>;

enum State {
    /// Look at the pod, then open.
    Look,
    /// The request is on its way.
    Opening(Opening, Purpose, Instant),
    /// Read an open stream.
    Reading(Stream),
    /// The stream ended without an error; what it said after its last line feed.
    Closed(Vec<u8>, Purpose),
    /// Wait before the next look.
    Waiting(Duration),
    /// No further line can come.
    Over,
}

/// What a stream is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The current run.
    Current,
    /// The rest of a run that ended while its stream was cut.
    Drain,
    /// The previous run, because the source says so.
    Previous,
}

/// One open log stream.
struct Stream {
    reader: Reader,
    splitter: Splitter,
    purpose: Purpose,
    opened: Instant,
    lines: usize,
}

/// The container as its pod tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    restarts: i32,
    running: bool,
    /// It was never started, so there is nothing to read.
    unstarted: bool,
    /// The second in which the current run started.
    started: Option<i64>,
    /// It will not run again.
    finished: bool,
}

struct Follower {
    link: Link,
    source: Arc<LogSource>,
    tail: i64,
    gate: LineGate,
    resume: Resume,
    /// The run that is read or was read last.
    run: Option<Run>,
    /// That run ended and was read to its end.
    read_out: bool,
    /// The last lines were asked for and came, so the next request must not skip any.
    opened: bool,
    /// Time of the last stamped line, for the kubelet's own remarks.
    last: Option<Timestamp>,
    backoff: Backoff,
    following: bool,
    lost: bool,
    /// When a stream that said nothing was given up, until its successor brings a line.
    silent: Option<Timestamp>,
    state: State,
    out: VecDeque<LogItem>,
}

impl Follower {
    async fn next(&mut self) -> Option<LogItem> {
        loop {
            if let Some(item) = self.out.pop_front() {
                return Some(item);
            }
            match std::mem::replace(&mut self.state, State::Look) {
                State::Over => {
                    self.state = State::Over;
                    return None;
                }
                State::Waiting(wait) => tokio::time::sleep(wait).await,
                State::Look => self.look().await,
                State::Opening(opening, purpose, since) => self.opening(opening, purpose, since).await,
                State::Reading(stream) => self.read(stream).await,
                State::Closed(rest, purpose) => self.closed(rest, purpose).await,
            }
        }
    }

    /// Words for failures.
    fn attempt(&self) -> Clean {
        let which = if self.source.previous { "the previous log" } else { "the log" };
        say!("read {} of container {} in pod/{}", which, self.source.container, self.source.pod)
    }

    fn lose(&mut self, trouble: Trouble, asked: Option<Duration>) {
        self.state = State::Waiting(self.backoff.next(trouble.kind, asked));
        self.following = false;
        if !std::mem::replace(&mut self.lost, true) {
            self.out.push_back(LogItem::Lost(trouble));
        }
    }

    fn end(&mut self) {
        self.following = false;
        self.out.push_back(LogItem::Ended);
        self.state = State::Over;
    }

    /// A mark of ours between the lines.
    fn mark(&mut self, text: Clean) {
        let at = self.last.unwrap_or_else(Timestamp::now);
        self.out.push_back(LogItem::Lines(vec![LogLine::mark(at, &self.source, text)].into()));
    }

    /// Decides what to open next.
    async fn look(&mut self) {
        if self.source.previous {
            return self.open(Purpose::Previous);
        }
        let now = match self.container().await {
            Ok(Some(run)) => run,
            Ok(None) => return self.end(),
            Err(why) => return self.lose(why, None),
        };
        if now.unstarted && now.finished {
            return self.end();
        }
        if now.unstarted {
            let why = say!("container {} of pod/{} has not started", self.source.container, self.source.pod);
            let remedy = Clean::ours("look at the pod's state to see what it waits for");
            self.backoff.reset();
            return self.lose(Trouble::new(TroubleKind::Busy, why).remedy(remedy), None);
        }
        let Some(before) = self.run else {
            self.run = Some(now);
            return self.open(Purpose::Current);
        };
        let same = now.restarts == before.restarts || self.reads_already(now);
        match (same, self.read_out) {
            (true, true) if now.finished => self.state = State::Over,
            (true, true) => self.state = State::Waiting(LOOK_AGAIN),
            (true, false) => {
                self.run = Some(now);
                self.open(Purpose::Current);
            }
            (false, false) if now.restarts == before.restarts + 1 && self.resume.since().is_some() => {
                self.open(Purpose::Drain);
            }
            (false, _) => self.start_over(before, now),
        }
    }

    /// The lines of the run that is current now have been arriving: it started between the look
    /// at the pod and the opening of its log.
    fn reads_already(&self, now: Run) -> bool {
        now.started.zip(self.resume.newest()).is_some_and(|(started, newest)| newest > started)
    }

    /// Another run of the container, to be read from its first line on.
    fn start_over(&mut self, before: Run, now: Run) {
        let unseen = now.restarts - before.restarts - 1;
        self.mark(match unseen {
            ..=0 => say!("container {} was restarted", self.source.container),
            _ => say!("container {} was restarted; {} runs in between were not seen", self.source.container, unseen),
        });
        self.resume.restarted();
        self.run = Some(now);
        self.read_out = false;
        self.opened = true;
        self.open(Purpose::Current);
    }

    fn open(&mut self, purpose: Purpose) {
        let since = self.resume.since();
        let params = LogParams {
            container: Some(self.source.container.to_string()),
            follow: purpose == Purpose::Current,
            previous: purpose != Purpose::Current,
            // Whole seconds: kube would round them up, over lines that were not seen yet.
            since_time: since,
            tail_lines: (since.is_none() && !self.opened).then_some(self.tail),
            timestamps: true,
            ..LogParams::default()
        };
        let api: Api<core::Pod> = Api::namespaced(self.link.streams.clone(), self.link.namespace.as_str());
        let pod = self.source.pod.clone();
        let opening = async move {
            let reader = api.log_stream(pod.as_str(), &params).await?;
            Ok(Box::pin(reader) as Reader)
        };
        self.state = State::Opening(opening.boxed(), purpose, Instant::now());
    }

    async fn opening(&mut self, mut opening: Opening, purpose: Purpose, since: Instant) {
        let limit = if self.following { SILENCE } else { QUIET_OPENING };
        match tokio::time::timeout_at(since + limit, &mut opening).await {
            Ok(Ok(reader)) => {
                self.resume.reopened();
                self.now_following(purpose);
                let opened = Instant::now();
                self.state =
                    State::Reading(Stream { reader, splitter: Splitter::default(), purpose, opened, lines: 0 });
            }
            Ok(Err(why)) => self.not_opened(&why, purpose),
            Err(_) if !self.following && purpose == Purpose::Current => {
                self.now_following(purpose);
                self.state = State::Opening(opening, purpose, since);
            }
            Err(_) if purpose == Purpose::Current => {
                self.silent = Some(Timestamp::now());
                self.state = State::Look;
            }
            Err(_) => self.lose(errors::timed_out(&self.attempt(), limit), None),
        }
    }

    fn now_following(&mut self, purpose: Purpose) {
        if purpose == Purpose::Current && !std::mem::replace(&mut self.following, true) {
            self.lost = false;
            self.out.push_back(LogItem::Following);
        }
    }

    fn not_opened(&mut self, why: &kube::Error, purpose: Purpose) {
        // 400: there is no such previous run, or the container was replaced under our hands.
        let absent = matches!(errors::code(why), Some(400 | 404));
        let trouble = errors::trouble(self.link.gate(), &self.attempt(), why);
        match purpose {
            Purpose::Previous if absent => {
                self.out.push_back(LogItem::Lost(trouble));
                self.end();
            }
            Purpose::Drain if absent => {
                self.mark(say!("the end of a run of container {} could not be read", self.source.container));
                self.read_out = true;
            }
            _ => self.lose(trouble, errors::retry_after(why)),
        }
    }

    /// Reads until a batch is full or old enough, or the stream is over.
    async fn read(&mut self, mut stream: Stream) {
        let mut batch: Vec<LogLine> = Vec::new();
        let mut bytes = 0;
        let mut due = Instant::now() + SILENCE;
        loop {
            let chunk = match tokio::time::timeout_at(due, stream.reader.fill_buf()).await {
                Ok(chunk) => chunk,
                Err(_) => {
                    // Either the batch is due, or nothing came for a long time.
                    if batch.is_empty() {
                        self.opened = true;
                        self.silent = Some(Timestamp::now());
                        self.state = State::Look;
                    } else {
                        self.state = State::Reading(stream);
                    }
                    return self.hand_on(batch);
                }
            };
            match chunk {
                Ok([]) => {
                    self.state = State::Closed(stream.splitter.rest(), stream.purpose);
                    self.over(&stream, true);
                    return self.hand_on(batch);
                }
                Ok(chunk) => {
                    let read = chunk.len();
                    let before = batch.len();
                    stream.splitter.take(chunk, |line| self.line(line, &mut batch));
                    stream.reader.consume_unpin(read);
                    bytes += read;
                    stream.lines += batch.len() - before;
                    if before == 0 && !batch.is_empty() {
                        due = Instant::now() + BATCH_TIME;
                        self.backoff.reset();
                    }
                    if batch.len() >= BATCH_LINES || (bytes >= BATCH_BYTES && !batch.is_empty()) {
                        self.state = State::Reading(stream);
                        return self.hand_on(batch);
                    }
                }
                Err(why) => {
                    let words = self.link.gate().clean(&why.to_string());
                    self.hand_on(batch);
                    self.over(&stream, false);
                    let what = say!("could not {}: the stream was cut: {}", self.attempt(), words);
                    return self.lose(Trouble::new(TroubleKind::Unreachable, what), None);
                }
            }
        }
    }

    /// Keeps the books on a stream that is over. One that was cut at once may not have brought the
    /// last lines yet, so they are asked for again.
    fn over(&mut self, stream: &Stream, clean: bool) {
        let lived = stream.lines > 0 || stream.opened.elapsed() > TOO_SHORT;
        self.opened |= clean || lived;
        if lived {
            self.backoff.reset();
        }
    }

    fn line(&mut self, raw: &[u8], batch: &mut Vec<LogLine>) {
        let (at, text) = match lines::stamped(raw) {
            Some((at, text)) => {
                match self.resume.admit(at, raw) {
                    Line::Seen => return,
                    Line::New => {}
                    Line::AfterGap(since) => batch.push(self.gap(since, at)),
                }
                let silent = self.silent.take().filter(|given_up| given_up.duration_since(at) > LATE);
                batch.extend(silent.map(|given_up| self.late(given_up.duration_since(at))));
                self.last = Some(at);
                (at, text)
            }
            None => (self.last.unwrap_or_else(Timestamp::now), raw),
        };
        let text = self.gate.clean(&String::from_utf8_lossy(text));
        batch.push(LogLine::new(at, &self.source, text));
    }

    /// The mark before a line that the delivered ones do not lead up to.
    fn gap(&self, since: Timestamp, until: Timestamp) -> LogLine {
        let length = until.duration_since(since);
        let text = say!(
            "a gap of up to {}: the log of container {} was rotated before it was read; lines between {} and here may be missing",
            short(length),
            self.source.container,
            since
        );
        LogLine::mark(until, &self.source, text)
    }

    /// The mark before lines that a stream which went silent did not bring.
    fn late(&self, late: SignedDuration) -> LogLine {
        let text = say!(
            "the stream of container {} had gone silent while it wrote; opened again, the lines from here on came up to {} late",
            self.source.container,
            short(late)
        );
        LogLine::mark(self.last.unwrap_or_else(Timestamp::now), &self.source, text)
    }

    fn hand_on(&mut self, mut batch: Vec<LogLine>) {
        while batch.len() > BATCH_LINES {
            let rest = batch.split_off(BATCH_LINES);
            self.out.push_back(LogItem::Lines(batch.into()));
            batch = rest;
        }
        if !batch.is_empty() {
            self.out.push_back(LogItem::Lines(batch.into()));
        }
    }

    /// The stream ended without an error: the container ended, or somebody in between closed it.
    async fn closed(&mut self, rest: Vec<u8>, purpose: Purpose) {
        if purpose != Purpose::Current {
            self.last_line(&rest);
            self.read_out = true;
            if purpose == Purpose::Previous {
                self.end();
            }
            return;
        }
        let now = match self.container().await {
            Ok(now) => now,
            Err(why) => return self.lose(why, None),
        };
        let read = self.run.map(|run| run.restarts);
        match now {
            None => {
                self.last_line(&rest);
                self.end();
            }
            Some(now) if Some(now.restarts) == read && !now.running => {
                self.last_line(&rest);
                self.read_out = true;
                self.following = false;
                self.out.push_back(LogItem::Ended);
                self.state = if now.finished { State::Over } else { State::Waiting(LOOK_AGAIN) };
            }
            // It runs, or the pod's state is behind: open again, and what came twice is dropped.
            Some(now) if Some(now.restarts) == read => {
                self.state = State::Waiting(self.backoff.next(TroubleKind::Unreachable, None));
            }
            Some(_) => self.state = State::Look,
        }
    }

    /// The last line of a log need not have a line feed.
    fn last_line(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            let mut batch = Vec::new();
            self.line(rest, &mut batch);
            self.hand_on(batch);
        }
    }

    /// The container now. `None` when the pod is gone or another one has its name. Asked as a
    /// list, because the right to list pods is the one that the console has anyway.
    fn container(&self) -> impl Future<Output = Result<Option<Run>, Trouble>> + Send + use<> {
        let (link, source, attempt) = (self.link.clone(), Arc::clone(&self.source), self.attempt());
        async move {
            let api: Api<core::Pod> = link.api(&link.namespace);
            let named = ListParams::default().fields(&format!("metadata.name={}", source.pod));
            let found = link.ask(&attempt, api.list(&named)).await?;
            let pod = found.items.into_iter().find(|pod| pod.metadata.uid.as_deref() == Some(source.uid.as_str()));
            Ok(pod.map(|pod| run_of(&pod, source.container.as_str())))
        }
    }
}

/// How this container of the pod stands.
fn run_of(pod: &core::Pod, container: &str) -> Run {
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
    Run {
        restarts: found.restart_count,
        running: state.running.is_some(),
        unstarted: state.running.is_none() && ended.is_none() && !past,
        started: state.running.and_then(|run| run.started_at).map(|time| time.0.as_second()),
        finished: stays_ended || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
    }
}
