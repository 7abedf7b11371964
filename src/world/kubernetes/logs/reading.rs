//! An open log: its lines in batches, and the marks between them where they do not lead up to each
//! other.

use std::time::Duration;

use futures::AsyncBufReadExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::lines::{self, Splitter};
use super::resume::Line;
use super::{Follower, LOOK_AGAIN, Purpose, Reader, SILENCE, State};
use crate::domain::log::{LogItem, LogLine, Ours};
use crate::domain::span::short;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

/// Lines are handed on together when they came within this time: they wait for it on their way to
/// the screen,
const BATCH_TIME: Duration = Duration::from_millis(20);
/// or when there are this many: batches of many streams are in memory beside what is kept,
const BATCH_LINES: usize = 200;
/// or this many bytes of them.
const BATCH_BYTES: usize = 1024 * 1024;
/// Lines that were written this long before the log was opened again did not come in time.
const LATE: SignedDuration = SignedDuration::from_secs(2);
/// A stream that ends sooner than this is not opened again at once. What comes later than this after
/// the opening comes as it is written.
const TOO_SHORT: Duration = Duration::from_secs(1);

/// One open log stream.
pub(super) struct Stream {
    reader: Reader,
    splitter: Splitter,
    head: Head,
    purpose: Purpose,
    opened: Instant,
    lines: usize,
}

/// How a stream begins.
enum Head {
    /// It was asked for from a time on, and nothing came yet.
    Open,
    /// It begins with a line without a time. When a line with one follows, it is the rest of a long
    /// line that began before what was asked for, and came already; else it is a remark.
    Unstamped(Vec<u8>),
    /// What comes now is what it seems.
    Past,
}

impl Stream {
    pub(super) fn new(reader: Reader, purpose: Purpose, resumed: bool) -> Self {
        let head = if resumed { Head::Open } else { Head::Past };
        Self { reader, splitter: Splitter::default(), head, purpose, opened: Instant::now(), lines: 0 }
    }
}

impl Follower {
    /// Reads until a batch is full or old enough, or the stream is over.
    pub(super) async fn read(&mut self, mut stream: Stream) {
        let mut bytes = 0;
        let mut due = Instant::now() + SILENCE;
        loop {
            let chunk = match tokio::time::timeout_at(due, stream.reader.fill_buf()).await {
                Ok(chunk) => chunk,
                // The batch is due.
                Err(_) if !self.batch.is_empty() => {
                    self.state = State::Reading(stream);
                    return self.hand_on();
                }
                Err(_) => {
                    self.over(&mut stream, true);
                    self.silent = Some(Timestamp::now());
                    return self.hand_on();
                }
            };
            match chunk {
                Ok([]) => {
                    self.over(&mut stream, true);
                    self.state = State::Closed(stream.splitter.rest(), stream.purpose);
                    return self.hand_on();
                }
                Ok(chunk) => {
                    let read = chunk.len();
                    let before = self.batch.len();
                    let heard = (stream.opened.elapsed() > TOO_SHORT).then(Timestamp::now);
                    stream.splitter.take(chunk, |line| {
                        stream.lines += usize::from(self.line(line, &mut stream.head, heard));
                    });
                    stream.reader.consume_unpin(read);
                    bytes += read;
                    if before == 0 && !self.batch.is_empty() {
                        due = Instant::now() + BATCH_TIME;
                    }
                    if self.batch.len() >= BATCH_LINES || (bytes >= BATCH_BYTES && !self.batch.is_empty()) {
                        self.state = State::Reading(stream);
                        return self.hand_on();
                    }
                }
                Err(why) => {
                    let words = self.link.gate().clean(&why.to_string());
                    self.over(&mut stream, false);
                    self.hand_on();
                    let what = say!("could not {}: the stream was cut: {}", self.attempt(), words);
                    return self.lose(Trouble::new(TroubleKind::Unreachable, what), None);
                }
            }
        }
    }

    /// Keeps the books on a stream that is over. One that was cut at once may not have brought the
    /// last lines yet, so they are asked for again. One that ends by itself at once, again and again,
    /// is asked for less and less often: a node that cannot watch files ends every log so.
    fn over(&mut self, stream: &mut Stream, clean: bool) {
        if let Head::Unstamped(raw) = std::mem::replace(&mut stream.head, Head::Past) {
            self.remarked(&raw);
        }
        let long = stream.opened.elapsed() > TOO_SHORT;
        self.opened |= clean || long || stream.lines > 0;
        if long || (!clean && stream.lines > 0) {
            self.backoff.reset();
        }
    }

    /// Takes a line in. True when it is a line of the container that was not delivered before.
    fn line(&mut self, raw: &[u8], head: &mut Head, heard: Option<Timestamp>) -> bool {
        let Some((at, text)) = lines::stamped(raw) else {
            match std::mem::replace(head, Head::Past) {
                Head::Open => *head = Head::Unstamped(raw.to_vec()),
                Head::Unstamped(first) => {
                    self.remarked(&first);
                    self.remarked(raw);
                }
                Head::Past => self.remarked(raw),
            }
            return false;
        };
        *head = Head::Past;
        let mark = match self.resume.admit(at, raw) {
            Line::Seen => return false,
            Line::New => None,
            Line::AfterGap(since) => Some(self.rotated(since, at)),
            Line::AfterJump(since) => Some(self.jumped(since, at)),
        };
        let missing = self.gap.take().map(|why| self.missing(&why, at));
        self.batch.extend(missing.into_iter().chain(mark));
        if let Some(given_up) = self.silent.take() {
            let late = self.clock.before(given_up, at);
            self.batch.extend((late > LATE).then(|| self.late(late)));
        }
        if let Some(now) = heard {
            self.clock.heard(at, now);
        }
        self.last = Some(at);
        self.push(at, text);
        true
    }

    /// A line without a time: the kubelet's own remark. It makes the same one each time that the log
    /// is opened.
    fn remarked(&mut self, raw: &[u8]) {
        if raw.trim_ascii().is_empty() || self.remark == raw {
            return;
        }
        self.remark = raw.to_vec();
        self.push(self.last.unwrap_or_else(Timestamp::now), raw);
    }

    fn push(&mut self, at: Timestamp, text: &[u8]) {
        let text = self.gate.clean(&String::from_utf8_lossy(text));
        self.batch.push(LogLine::new(at, &self.source, text));
    }

    /// A mark of ours between the lines.
    pub(super) fn mark(&mut self, text: Clean) {
        let at = self.last.unwrap_or_else(Timestamp::now);
        self.batch.push(LogLine::mark(at, &self.source, Ours::Remark, text));
        self.hand_on();
    }

    /// The mark before a line that the delivered ones do not lead up to.
    fn rotated(&self, since: Timestamp, until: Timestamp) -> LogLine {
        let text = say!(
            "a gap of {}: the log of container {} was rotated before it was read; lines between {} and here may be missing",
            bounded(until.duration_since(since)),
            self.source.container,
            since
        );
        LogLine::mark(until, &self.source, Ours::Gap, text)
    }

    /// The mark before lines that a clock which was set back keeps from being told from old ones.
    fn jumped(&self, since: Timestamp, until: Timestamp) -> LogLine {
        let text = say!(
            "the clock of the node was set back: lines of container {} between {} and {} may come twice from here on",
            self.source.container,
            until,
            since
        );
        LogLine::mark(until, &self.source, Ours::Remark, text)
    }

    /// The mark before the first line after some that nobody serves any more.
    fn missing(&self, why: &Clean, until: Timestamp) -> LogLine {
        let text = match self.last {
            Some(last) => {
                let length = bounded(until.duration_since(last));
                say!("a gap of {}: {}; lines between {} and here are missing", length, why, last)
            }
            None => say!("a gap: {}", why),
        };
        LogLine::mark(until, &self.source, Ours::Gap, text)
    }

    /// The mark before lines that a stream which went silent did not bring.
    fn late(&self, late: SignedDuration) -> LogLine {
        let text = say!(
            "the stream of container {} had gone silent while it wrote; opened again, the lines from here on came up to {} late",
            self.source.container,
            short(late)
        );
        LogLine::mark(self.last.unwrap_or_else(Timestamp::now), &self.source, Ours::Remark, text)
    }

    /// Hands on what was read so far.
    pub(super) fn hand_on(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
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
    pub(super) async fn closed(&mut self, rest: &[u8], purpose: Purpose) {
        if purpose != Purpose::Current {
            self.last_line(rest);
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
                self.last_line(rest);
                self.end();
            }
            Some(now) if Some(now.restarts) == read && !now.running => {
                self.last_line(rest);
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
            self.line(rest, &mut Head::Past, None);
            self.hand_on();
        }
    }
}

/// How long a gap is at most.
fn bounded(length: SignedDuration) -> Clean {
    if length < SignedDuration::from_secs(1) { Clean::ours("less than 1s") } else { say!("up to {}", short(length)) }
}
