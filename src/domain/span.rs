//! Lengths of time in the few letters that a cell has room for.

use jiff::SignedDuration;

use crate::text::Clean;

/// `7s`, `4m10s`, `3h05m`, `2d4h`, as kubectl writes ages.
pub fn short(span: SignedDuration) -> Clean {
    let seconds = span.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => say!("{}s", seconds),
        (0, 0, minutes) if minutes < 10 => say!("{}m{:02}s", minutes, seconds % 60),
        (0, 0, minutes) => say!("{}m", minutes),
        (0, hours, _) if hours < 10 => say!("{}h{:02}m", hours, minutes % 60),
        (0, hours, _) => say!("{}h", hours),
        (days, _, _) if days < 10 => say!("{}d{}h", days, hours % 24),
        (days, _, _) => say!("{}d", days),
    }
}

/// `03:07`, or `1:03:07` from an hour on: a running clock.
pub fn clock(span: SignedDuration) -> Clean {
    let seconds = span.as_secs().max(0);
    if seconds >= 3600 {
        say!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    } else {
        say!("{:02}:{:02}", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let rows = [
            (7, "7s"),
            (250, "4m10s"),
            (700, "11m"),
            (11_100, "3h05m"),
            (36_001, "10h"),
            (187_200, "2d4h"),
            (-5, "0s"),
        ];
        for (seconds, words) in rows {
            assert_eq!(short(SignedDuration::from_secs(seconds)).as_str(), words);
        }
        assert_eq!(clock(SignedDuration::from_secs(3787)).as_str(), "1:03:07");
        assert_eq!(clock(SignedDuration::from_secs(187)).as_str(), "03:07");
    }
}
