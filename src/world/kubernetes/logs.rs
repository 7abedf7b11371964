//! One container's log, followed: opened again after a cut without a lost or repeated line.

mod clock;
mod lines;
mod parking;
mod reading;
mod resume;
mod run;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::StreamExt as _;
use futures::{AsyncBufRead, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ListParams, LogParams};
use tokio::time::Instant;

pub(super) use parking::Parking;

use super::backoff::Backoff;
use super::{Link, errors};
use crate::domain::log::{LogItem, LogLine, LogSource};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, LineGate};
use crate::world::Feed;
use clock::Clock;
use parking::Seat;
use reading::Stream;
use resume::Resume;
use run::Run;

/// A followed log that says nothing for this long is opened again: a connection can die without
/// a word, and going on costs one request.
const SILENCE: Duration = Duration::from_secs(30);
/// A log that has no line yet gets no answer at all from the kubelet, not even headers; after this
/// long such a wait counts as following.
const QUIET_OPENING: Duration = Duration::from_secs(5);
/// How often an ended container is looked at, to see whether it runs again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A server that is busy, and a container that has not started, are left alone for this long.
const BUSY: Duration = Duration::from_secs(1);

/// The feed. Ends by itself only where no further line can come: the log of a previous run was
/// read, or the pod is gone or finished. After [`LogItem::Ended`] of a container that will be
/// restarted it waits, and goes on with [`LogItem::Following`].
///
/// A feed that was dropped goes on where it was when it is asked for again.
pub(super) fn feed(link: &Link, parking: &Arc<Parking>, source: &LogSource, tail: u32) -> Feed<LogItem> {
    let follower = parking.take(source).unwrap_or_else(|| Follower::new(link, source, tail));
    futures::stream::unfold(Seat::new(follower, parking), |mut seat| async move {
        let item = seat.next().await?;
        Some((item, seat))
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
    /// The rest of a run that ended while its stream was cut, or all of one that was not seen.
    Drain,
    /// The previous run, because the source says so.
    Previous,
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
    /// Time of the last stamped line.
    last: Option<Timestamp>,
    /// The node's clock beside this machine's.
    clock: Clock,
    /// Why lines are missing before the next one.
    gap: Option<Clean>,
    /// The kubelet's last remark: it makes the same one each time that a log is opened.
    remark: Vec<u8>,
    backoff: Backoff,
    following: bool,
    lost: bool,
    /// When a stream that said nothing was given up, until its successor brings a line.
    silent: Option<Timestamp>,
    state: State,
    /// Lines that were read and are not handed on yet.
    batch: Vec<LogLine>,
    out: VecDeque<LogItem>,
}

impl Follower {
    fn new(link: &Link, source: &LogSource, tail: u32) -> Self {
        Self {
            link: link.clone(),
            source: Arc::new(source.clone()),
            tail: i64::from(tail.max(1)),
            gate: link.gate().lines(),
            resume: Resume::default(),
            run: None,
            read_out: false,
            opened: false,
            last: None,
            clock: Clock::default(),
            gap: None,
            remark: Vec::new(),
            backoff: Backoff::default(),
            following: false,
            lost: false,
            silent: None,
            state: State::Look,
            batch: Vec::new(),
            out: VecDeque::new(),
        }
    }

    /// Lets the connection go. What was read and nobody took stays, in its order.
    fn park(&mut self) {
        self.hand_on();
        if !matches!(self.state, State::Over) {
            self.state = State::Look;
        }
        (self.following, self.lost) = (false, false);
    }

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
                State::Closed(rest, purpose) => self.closed(&rest, purpose).await,
            }
        }
    }

    /// Words for failures.
    fn attempt(&self) -> Clean {
        let which = if self.source.previous { "the previous log" } else { "the log" };
        say!("read {} of container {} in pod/{}", which, self.source.container, self.source.pod)
    }

    fn lose(&mut self, trouble: Trouble, asked: Option<Duration>) {
        let asked = asked.or((trouble.kind == TroubleKind::Busy).then_some(BUSY));
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
        match (same, self.read_out, now.restarts.saturating_sub(before.restarts)) {
            (true, true, _) if now.finished => self.state = State::Over,
            (true, true, _) => self.state = State::Waiting(LOOK_AGAIN),
            (true, false, _) => {
                self.run = Some(now);
                self.open(Purpose::Current);
            }
            (false, false, 1) => self.open(Purpose::Drain),
            (false, _, 2..) => self.leave_out(before, now),
            (false, ..) => self.start_over(now),
        }
    }

    /// The lines of the run that is current now have been arriving: it started between the look
    /// at the pod and the opening of its log.
    fn reads_already(&self, now: Run) -> bool {
        now.started.zip(self.resume.newest()).is_some_and(|(started, newest)| newest > started)
    }

    /// Several runs since the log was read last: the kubelet serves the last of them before the
    /// current one, whole, and none of those before.
    fn leave_out(&mut self, before: Run, now: Run) {
        let runs = now.restarts.saturating_sub(before.restarts);
        if runs > 2 || !self.read_out {
            self.gap = Some(say!(
                "container {} was restarted {} times meanwhile, and only the last two runs can be read",
                self.source.container,
                runs
            ));
        }
        self.begin(Run { restarts: now.restarts.saturating_sub(1), ..now });
        self.open(Purpose::Drain);
    }

    /// Another run of the container, to be read from its first line on.
    fn start_over(&mut self, now: Run) {
        self.mark(say!("container {} was restarted", self.source.container));
        self.begin(now);
        self.open(Purpose::Current);
    }

    fn begin(&mut self, run: Run) {
        self.resume.restarted();
        self.run = Some(run);
        self.read_out = false;
        self.opened = true;
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
                let resumed = self.resume.since().is_some();
                self.resume.reopened();
                self.now_following(purpose);
                self.state = State::Reading(Stream::new(reader, purpose, resumed));
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
                let gap =
                    say!("the run of container {} before this one cannot be read any more", self.source.container);
                self.gap.get_or_insert(gap);
                self.read_out = true;
            }
            _ => self.lose(trouble, errors::retry_after(why)),
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
            Ok(pod.map(|pod| Run::of(&pod, source.container.as_str())))
        }
    }
}
