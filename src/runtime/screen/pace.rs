//! When the next frame may be drawn: at most so many a second, and over a far line at most so many
//! bytes a second for what nobody asked for.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::screen::Manners;

/// Why a frame is wanted. What somebody did with the terminal is answered sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The world changed.
    Fed,
    /// A key, a paste, a new size.
    Asked,
}

/// How many frames that were asked for may come before their time: a few keys in a row are answered
/// at once, and somebody who leans on a key gets as many frames as everybody.
const EARLY: u32 = 3;

/// Two leaky buckets, one of frames and one of bytes (the generic cell rate algorithm of ITU-T
/// I.371). Frames that were asked for may come [`EARLY`] and do not wait for bytes; what they take is
/// missing to the others.
pub(super) struct Pace {
    every: Duration,
    bytes: Option<u32>,
    frame: Instant,
    room: Instant,
}

impl Pace {
    pub fn new(manners: Manners) -> Self {
        let now = Instant::now();
        let every = Duration::from_secs(1) / manners.frames.max(1);
        Self { every, bytes: manners.bytes, frame: now, room: now }
    }

    /// Waits until a frame may be drawn; without end when none is wanted.
    pub async fn due(&self, cause: Option<Cause>) {
        match cause {
            None => std::future::pending().await,
            Some(cause) => tokio::time::sleep_until(self.at(cause)).await,
        }
    }

    fn at(&self, cause: Cause) -> Instant {
        match cause {
            Cause::Fed => self.frame.max(self.room),
            Cause::Asked => self.frame.checked_sub(self.every * EARLY).unwrap_or(self.frame),
        }
    }

    /// A frame of this many bytes was drawn. One without any costs no time on the line.
    pub fn drew(&mut self, bytes: usize) {
        let now = Instant::now();
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

    /// How many frames of this size come in ten seconds.
    async fn frames(pace: &mut Pace, cause: Cause, bytes: usize) -> u32 {
        let end = Instant::now() + Duration::from_secs(10);
        let mut frames = 0;
        loop {
            pace.due(Some(cause)).await;
            if Instant::now() >= end {
                return frames;
            }
            pace.drew(bytes);
            frames += 1;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_far_line_gets_ten_frames_and_16_kib_a_second() {
        assert_eq!(frames(&mut far(), Cause::Fed, 100).await, 100);
        assert_eq!(frames(&mut far(), Cause::Fed, 4096).await, 40);
        assert_eq!(frames(&mut far(), Cause::Asked, 4096).await, 100 + EARLY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_does_not_wait_for_the_flood() {
        let mut pace = far();
        frames(&mut pace, Cause::Fed, 8192).await;
        let before = Instant::now();
        for _ in 0..EARLY {
            pace.due(Some(Cause::Asked)).await;
            assert_eq!(before.elapsed(), Duration::ZERO);
            pace.drew(300);
        }
        pace.due(Some(Cause::Asked)).await;
        assert!(before.elapsed() <= Duration::from_millis(100), "{:?}", before.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_saved_up_is_not_spent_at_once() {
        let mut pace = far();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(frames(&mut pace, Cause::Fed, 100).await <= 101);
    }
}
