//! When the next frame may be drawn: at most so many a second, and over a far line at most so many
//! bytes a second for what nobody asked for.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::screen::Manners;

/// Why a frame is wanted. What somebody did with the terminal is answered sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The world changed.
    Fed,
    /// A key, a paste, a new size.
    Asked,
}

/// Frames that were asked for may come before their time: so many of them at once,
const AT_ONCE: u32 = 2;
/// and each later one waits for this part of what it is too early. So a few keys in a row are answered
/// at once, keys that come a little faster than frames wait a little each, and somebody who leans on a
/// key gets as many frames as everybody.
const PART: u32 = 6;
/// How long everything counts as asked for: whoever starts the console asks for what it shows first.
const OPENING: Duration = Duration::from_millis(500);

/// Two leaky buckets, one of frames and one of bytes (the generic cell rate algorithm of ITU-T
/// I.371). Frames that were asked for come early and do not wait for bytes; what they take is missing
/// to the others.
pub(super) struct Pace {
    every: Duration,
    bytes: Option<u32>,
    opened: Instant,
    frame: Instant,
    room: Instant,
    /// When the frame that is wanted may be drawn.
    due: Option<Instant>,
}

impl Pace {
    pub fn new(manners: Manners) -> Self {
        let now = Instant::now();
        let every = Duration::from_secs(1) / manners.frames.max(1);
        Self { every, bytes: manners.bytes, opened: now, frame: now, room: now, due: None }
    }

    /// A frame is wanted.
    pub fn want(&mut self, cause: Cause) {
        let now = Instant::now();
        let at = match cause {
            Cause::Fed if now >= self.opened + OPENING => self.frame.max(self.room),
            Cause::Fed | Cause::Asked => {
                let early = self.frame.saturating_duration_since(now).saturating_sub(self.every * AT_ONCE);
                now + early / PART
            }
        };
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Waits until a frame may be drawn; without end when none is wanted.
    pub async fn due(&self) {
        match self.due {
            None => std::future::pending().await,
            Some(due) => tokio::time::sleep_until(due).await,
        }
    }

    /// The frame that was wanted was drawn, of this many bytes. One without any costs no time on the
    /// line.
    pub fn drew(&mut self, bytes: usize) {
        let now = Instant::now();
        self.due = None;
        self.frame = self.frame.max(now) + self.every;
        if let Some(rate) = self.bytes {
            let takes = Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1)));
            self.room = self.room.max(now) + takes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far() -> Pace {
        Pace::new(Manners { mouse: false, frames: 10, bytes: Some(16 * 1024) })
    }

    /// Waits for a frame of this size, and answers how long that took.
    async fn drawn(pace: &mut Pace, cause: Cause, bytes: usize) -> Duration {
        let before = Instant::now();
        pace.want(cause);
        pace.due().await;
        pace.drew(bytes);
        before.elapsed()
    }

    /// How many frames of this size come in ten seconds.
    async fn frames(pace: &mut Pace, cause: Cause, bytes: usize) -> u32 {
        let end = Instant::now() + Duration::from_secs(10);
        let mut frames = 0;
        while Instant::now() < end {
            drawn(pace, cause, bytes).await;
            frames += 1;
        }
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn a_far_line_gets_ten_frames_and_16_kib_a_second() {
        assert_eq!(frames(&mut far(), Cause::Fed, 100).await, 101);
        assert_eq!(frames(&mut far(), Cause::Fed, 4096).await, 41);
        let leaning = frames(&mut far(), Cause::Asked, 4096).await;
        assert!(leaning <= 101 + AT_ONCE + PART, "{leaning}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_does_not_wait_for_the_flood() {
        let mut pace = far();
        frames(&mut pace, Cause::Fed, 8192).await;
        for _ in 0..AT_ONCE {
            assert_eq!(drawn(&mut pace, Cause::Asked, 300).await, Duration::ZERO);
        }
        let waited = drawn(&mut pace, Cause::Asked, 300).await;
        assert!(waited < Duration::from_millis(20), "{waited:?}");
    }

    /// As one types and moves while lines pour in: a key 30 to 130 ms after the one before is seen.
    #[tokio::test(start_paused = true)]
    async fn keys_that_come_faster_than_frames_wait_a_little_each() {
        let (mut pace, mut random) = (far(), fastrand::Rng::with_seed(4711));
        tokio::time::advance(OPENING).await;
        let (begin, mut frames, mut waits) = (Instant::now(), 0_u32, Vec::new());
        while waits.len() < 1_000 {
            let key = Instant::now() + Duration::from_millis(random.u64(30..130));
            pace.want(Cause::Fed);
            while tokio::time::timeout_at(key, pace.due()).await.is_ok() {
                pace.drew(300);
                pace.want(Cause::Fed);
                frames += 1;
            }
            waits.push(drawn(&mut pace, Cause::Asked, 300).await);
            frames += 1;
        }
        let longest = waits.iter().max().unwrap();
        assert!(*longest < Duration::from_millis(45), "{longest:?}");
        let rate = f64::from(frames) / begin.elapsed().as_secs_f64();
        assert!(rate < 10.2, "{rate}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answers_do_not_wait_for_the_frame_that_says_they_are_waited_for() {
        let mut pace = far();
        for _ in 0..=AT_ONCE {
            assert_eq!(drawn(&mut pace, Cause::Fed, 4096).await, Duration::ZERO);
        }
        tokio::time::advance(OPENING).await;
        assert!(drawn(&mut pace, Cause::Fed, 100).await > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_saved_up_is_not_spent_at_once() {
        let mut pace = far();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(frames(&mut pace, Cause::Fed, 100).await <= 101);
    }
}
