//! A line between a program and its terminal: it lets so many bytes a second through, each arrives
//! after half the round trip, and up to a megabyte waits in front of it, as in the buffers of a
//! connection that never drops anything.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// What waits in front of the line at most.
const BUFFER: usize = 1 << 20;

/// What a line lets through.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes a second.
    pub rate: f64,
    /// Half a round trip.
    pub half: Duration,
}

/// Bytes on their way to the terminal.
pub struct Way {
    shape: Shape,
    under: Mutex<Under>,
    /// Something came, arrived or ended.
    moved: Condvar,
}

struct Under {
    /// With the time at which each piece arrives.
    queue: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes that have not arrived.
    waiting: usize,
    /// When the line has let everything through.
    free: Instant,
    /// The longest that a byte had to wait in front of the line.
    longest: Duration,
    over: bool,
}

impl Way {
    pub fn new(shape: Shape) -> Self {
        let under =
            Under { queue: VecDeque::new(), waiting: 0, free: Instant::now(), longest: Duration::ZERO, over: false };
        Self { shape, under: Mutex::new(under), moved: Condvar::new() }
    }

    /// Puts bytes on their way, when there is room for them.
    pub fn put(&self, bytes: &[u8]) {
        let full = |under: &mut Under| under.waiting > BUFFER && !under.over;
        let mut under = self.moved.wait_while(self.under.lock().unwrap(), full).unwrap();
        let now = Instant::now();
        under.longest = under.longest.max(under.free.saturating_duration_since(now));
        under.free = under.free.max(now) + Duration::from_secs_f64(bytes.len() as f64 / self.shape.rate);
        let arrives = under.free + self.shape.half;
        under.waiting += bytes.len();
        under.queue.push_back((arrives, bytes.to_vec()));
        self.moved.notify_all();
    }

    /// The bytes that arrive next, at the time at which they do; `None` at the end.
    pub fn take(&self) -> Option<Vec<u8>> {
        let empty = |under: &mut Under| under.queue.is_empty() && !under.over;
        let next = self.moved.wait_while(self.under.lock().unwrap(), empty).unwrap().queue.pop_front();
        let (at, bytes) = next?;
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        self.under.lock().unwrap().waiting -= bytes.len();
        self.moved.notify_all();
        Some(bytes)
    }

    /// The longest that a byte had to wait in front of the line since this was asked last.
    pub fn longest(&self) -> Duration {
        std::mem::take(&mut self.under.lock().unwrap().longest)
    }

    pub fn end(&self) {
        self.under.lock().unwrap().over = true;
        self.moved.notify_all();
    }
}
