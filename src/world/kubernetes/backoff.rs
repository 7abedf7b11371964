//! How long to wait before a lost stream is opened again.

use std::time::Duration;

use crate::domain::trouble::TroubleKind;

/// First wait.
const FIRST: Duration = Duration::from_millis(250);
/// Longest wait while nobody answers: a refused connection costs the server nothing, and the
/// console must be back within two seconds of the server.
const LONGEST_SILENT: Duration = Duration::from_millis(1500);
/// Longest wait while the server answers with refusals.
const LONGEST_REFUSED: Duration = Duration::from_secs(10);

/// Waits that double from 250 ms, with jitter so that twenty streams do not come back at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
    /// The last failure was an answer. A server that starts refuses for a moment what it will
    /// allow, and must not be punished for the time in which it was away.
    refused: bool,
}

impl Backoff {
    /// The stream is fine: the next loss starts from the shortest wait again.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Attempts since the stream was last fine.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts an attempt that is made without a wait.
    pub(super) fn count(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
    }

    /// The wait before the next attempt; never shorter than what the server asked for.
    pub(super) fn next(&mut self, kind: TroubleKind, asked: Option<Duration>) -> Duration {
        let refused = kind != TroubleKind::Unreachable;
        if refused && !self.refused {
            self.attempts = 0;
        }
        self.refused = refused;
        let longest = if refused { LONGEST_REFUSED } else { LONGEST_SILENT };
        let wait = FIRST.saturating_mul(1 << self.attempts.min(10)).min(longest);
        self.attempts = self.attempts.saturating_add(1);
        let jittered = wait.mul_f64(0.75 + 0.25 * fastrand::f64());
        jittered.max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_start_again() {
        let mut backoff = Backoff::default();
        assert!(backoff.next(TroubleKind::Busy, None) <= FIRST);
        for _ in 0..20 {
            assert!(backoff.next(TroubleKind::Busy, None) <= LONGEST_REFUSED);
        }
        assert!(backoff.next(TroubleKind::Busy, None) >= LONGEST_REFUSED.mul_f64(0.75));
        assert!(backoff.next(TroubleKind::Unreachable, None) <= LONGEST_SILENT);
        assert!(backoff.next(TroubleKind::Forbidden, None) <= FIRST, "the first refusal after a silence");
        let asked = Duration::from_secs(30);
        assert_eq!(backoff.next(TroubleKind::Busy, Some(asked)), asked);
        backoff.reset();
        assert!(backoff.next(TroubleKind::Busy, None) <= FIRST);
    }
}
