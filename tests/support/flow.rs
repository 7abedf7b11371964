//! A log that is made while it is read: what line a pod wrote when follows from the line's number
//! alone, so a server that is started again serves the same lines, and every line can be counted.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};

use super::tokio_stream;

/// Lines that share one timestamp, as those of a traceback do.
const BURST: u64 = 25;
/// How often the lines that are due are sent.
const TICK: Duration = Duration::from_millis(10);
/// A chunk of an answer is about this long at most, in bytes.
const CHUNK: usize = 32 * 1024;

/// A log of numbered lines at a steady rate. Each line holds `#` and its number, from 0 on.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The time of the first line, as it is stamped.
    pub begin: Timestamp,
    /// Lines a second, as they are stamped.
    pub rate: u64,
    /// When the first line is written.
    pub opens: Timestamp,
    /// How many times faster than that they are written.
    pub speed: u64,
    /// All lines there will be.
    pub count: u64,
    /// Streams end after the last line.
    pub ends: bool,
}

impl Flow {
    /// Lines that are stamped with the time at which they are written, from a moment on.
    pub fn live(opens: Timestamp, rate: u64, count: u64) -> Self {
        Self { begin: opens, rate, opens, speed: 1, count, ends: false }
    }

    /// The time of a line.
    pub fn at(&self, number: u64) -> Timestamp {
        let nanos = u128::from(number / BURST * BURST) * 1_000_000_000 / u128::from(self.rate);
        self.begin + SignedDuration::from_nanos(i64::try_from(nanos).unwrap())
    }

    /// How many lines there are by now.
    fn due(&self, now: Timestamp) -> u64 {
        let Ok(ago) = u128::try_from(now.as_nanosecond() - self.opens.as_nanosecond()) else { return 0 };
        let bursts = ago * u128::from(self.rate * self.speed) / 1_000_000_000 / u128::from(BURST) + 1;
        u64::try_from(bursts).unwrap().saturating_mul(BURST).min(self.count)
    }

    /// The first line that is not older than this.
    fn first_from(&self, since: Timestamp) -> u64 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.at(middle) < since { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Lines from one number to another, as the kubelet gives them.
    fn write(&self, from: u64, to: u64, out: &mut Vec<u8>) {
        let mut stamp = String::new();
        for number in from..to {
            if stamp.is_empty() || number % BURST == 0 {
                stamp = format!("{:.9}", self.at(number));
            }
            text(&stamp, number, out);
        }
    }
}

/// What gateways write: answers, JSON, queries, and now and then an error that is known.
fn text(stamp: &str, number: u64, out: &mut Vec<u8>) {
    let mixed = (number ^ (number >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let (port, id) = (1_024 + mixed % 60_000, mixed);
    let written = match mixed % 200 {
        0 => writeln!(out, "{stamp} #{number} ERROR: cached plan must not change result type, request {id:08x}"),
        1..=30 => writeln!(
            out,
            "{stamp} {{\"message\": \"#{number} request {id:08x} took {port} ms\", \"level\": \"INFO\", \"model\": \"gpt-4o\"}}"
        ),
        31..=45 => writeln!(
            out,
            "{stamp} #{number} prisma:query SELECT \"public\".\"LiteLLM_SpendLogs\" WHERE request_id = {id:08x} LIMIT 1"
        ),
        _ => writeln!(
            out,
            "{stamp} #{number} INFO:     10.0.12.7:{port} - \"POST /v1/chat/completions HTTP/1.1\" 200 OK"
        ),
    };
    written.unwrap();
}

/// The answer to a request for a flow.
pub fn answer(flow: Flow, asked: &BTreeMap<String, String>, mut cut: watch::Receiver<u64>) -> Response {
    // The API server keeps whole seconds of what it is asked.
    let since = asked.get("sinceTime").map(|time| {
        let time: Timestamp = time.parse().unwrap();
        Timestamp::from_second(time.as_second()).unwrap()
    });
    let tail = asked.get("tailLines").map_or(u64::MAX, |tail| tail.parse().unwrap());
    let follow = asked.contains_key("follow");
    let mut next = match since {
        Some(since) => flow.first_from(since),
        None => flow.due(Timestamp::now()).saturating_sub(tail),
    };
    let (tx, rx) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = flow.due(Timestamp::now());
            while next < due {
                let mut chunk = Vec::with_capacity(CHUNK + 256);
                while next < due && chunk.len() < CHUNK {
                    let to = due.min((next / BURST + 1) * BURST);
                    flow.write(next, to, &mut chunk);
                    next = to;
                }
                tokio::select! {
                    sent = tx.send(Ok(chunk.into())) => if sent.is_err() { return },
                    _ = cut.changed() => return drop(tx.send(Err(std::io::Error::other("cut"))).await),
                }
            }
            if !follow || (flow.ends && next == flow.count) {
                return;
            }
            tokio::select! {
                _ = tick.tick() => {}
                () = tx.closed() => return,
                _ = cut.changed() => return drop(tx.send(Err(std::io::Error::other("cut"))).await),
            }
        }
    });
    Response::new(Body::from_stream(tokio_stream(rx)))
}
