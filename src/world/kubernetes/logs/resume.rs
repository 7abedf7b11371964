//! Going on after a cut: which lines of a reopened log were delivered already.
//!
//! The API server takes `sinceTime` in whole seconds, so a reopened log repeats up to two seconds
//! of lines, and lines of a burst share one timestamp, so timestamps alone cannot tell new from
//! old. What was delivered in the last two seconds is remembered line by line, and the reopened
//! log is laid over it. The container's log may have been rotated meanwhile, so it may start in
//! the middle of what is remembered; and the first request asked for the last lines only, so what
//! is remembered may start in the middle of the reopened log.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;

/// Seconds before the newest one that are remembered and asked for again: standard output and
/// standard error are stamped separately, so a later line may carry an earlier time.
const MARGIN: i64 = 1;
/// Lines that are remembered however old they are: when the node's clock is set back, older lines
/// than the last ones come again.
const LEAST: usize = 1_024;
/// Lines that are remembered at most while a clock that was set back has not caught up.
const MOST: usize = 500_000;

/// One delivered line: when, and what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at: Timestamp,
    print: u64,
}

impl Mark {
    fn of(at: Timestamp, line: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        Self { at, print: hasher.finish() }
    }
}

/// The memory of one container's log stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Resume {
    /// Delivered lines in order: those from [`Self::since`] on, and some before.
    recent: VecDeque<Mark>,
    /// The newest second of a delivered line, since the node's clock was set back last.
    newest: Option<i64>,
    /// The newest second of any delivered line.
    highest: Option<i64>,
    /// The newest second of a delivered line that is not remembered any more.
    forgotten: Option<i64>,
    /// Everything from this second on is asked for and remembered, until the clock is past
    /// [`Self::highest`]: it was set back further than what was remembered.
    floor: Option<i64>,
    /// That was found when the log was opened, and the first line is still to come.
    jumped: bool,
    /// The first delivered line, while [`Self::recent`] still begins with it: what came before it
    /// was left out by the first request and must stay out.
    first: Option<Timestamp>,
    /// Lines of the reopened log that were recognized so far; `None` when all of them were.
    overlay: Option<Overlay>,
}

/// The reopened log laid over the remembered lines.
#[derive(Clone, Copy, Debug)]
struct Overlay {
    /// Where in the memory the reopened log starts.
    start: usize,
    /// How many of its lines were recognized.
    matched: usize,
}

/// What a line of the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It was delivered before, or left out by the first request.
    Seen,
    /// It is to be delivered.
    New,
    /// It is to be delivered, and the reopened log begins with it: the lines that were delivered
    /// last, at this time, are not in it any more, and those in between may be gone with them.
    AfterGap(Timestamp),
    /// It is to be delivered. The node's clock was set back from this time, further than what is
    /// remembered, so this line and the next ones may have been delivered before.
    AfterJump(Timestamp),
}

impl Resume {
    /// What to ask for: everything from this whole second on. `None` when nothing was delivered.
    pub(super) fn since(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.since_second()?).ok()
    }

    fn since_second(&self) -> Option<i64> {
        let since = self.newest? - MARGIN;
        Some(self.floor.map_or(since, |floor| floor.min(since)))
    }

    /// The time of the newest delivered line, to the second.
    pub(super) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// The log was opened again from [`Self::since`].
    pub(super) fn reopened(&mut self) {
        if let Some(since) = self.since_second() {
            self.forget(since, 0);
            if self.forgotten >= Some(since) {
                (self.floor, self.forgotten, self.jumped) = (Some(since), None, true);
            }
        }
        self.overlay = (!self.recent.is_empty()).then_some(Overlay { start: 0, matched: 0 });
    }

    /// Another run of the container begins: nothing of it was delivered.
    pub(super) fn restarted(&mut self) {
        *self = Self::default();
    }

    /// What this line is. A new one is remembered.
    pub(super) fn admit(&mut self, at: Timestamp, line: &[u8]) -> Line {
        let mark = Mark::of(at, line);
        let unlike = matches!(self.overlay, Some(Overlay { start: 0, matched: 0 }));
        if self.overlay.is_some() && self.recognize(mark) {
            return Line::Seen;
        }
        let before = self.recent.back().filter(|_| unlike).map(|last| last.at);
        let jumped = std::mem::take(&mut self.jumped);
        self.remember(mark);
        match before {
            None => Line::New,
            Some(last) if jumped => Line::AfterJump(self.recent.iter().map(|mark| mark.at).max().unwrap_or(last)),
            Some(last) => Line::AfterGap(last),
        }
    }

    /// True when the line was delivered before, or was left out by the first request.
    fn recognize(&mut self, mark: Mark) -> bool {
        let Some(overlay) = self.overlay else { return false };
        if overlay.matched == 0 && self.first.is_some_and(|first| mark.at < first) {
            return true;
        }
        // The longest overlap that agrees with every line of the reopened log so far.
        let lines = self.recent.len();
        let agrees = |start: usize| {
            let same = |i: usize| self.recent.get(start + i) == self.recent.get(overlay.start + i);
            let moved = start != overlay.start;
            self.recent.get(start + overlay.matched) == Some(&mark) && (!moved || (0..overlay.matched).all(same))
        };
        if let Some(start) = (overlay.start..lines.saturating_sub(overlay.matched)).find(|start| agrees(*start)) {
            let matched = overlay.matched + 1;
            self.overlay = (start + matched < lines).then_some(Overlay { start, matched });
            return true;
        }
        // Among lines of one burst, some of which the first request left out.
        if overlay.start == 0 && self.first.is_some_and(|first| mark.at <= first) {
            self.overlay = Some(Overlay { start: 0, matched: self.restart_of(overlay.matched, mark) });
            return true;
        }
        self.overlay = None;
        false
    }

    /// How many remembered lines the reopened log ends with, after `matched` of them and `mark`.
    fn restart_of(&self, matched: usize, mark: Mark) -> usize {
        let ends_with = |count: usize| {
            self.recent.get(count - 1) == Some(&mark)
                && (0..count - 1).all(|i| self.recent.get(i) == self.recent.get(matched + 1 - count + i))
        };
        (1..=matched).rev().find(|count| ends_with(*count)).unwrap_or(0)
    }

    fn remember(&mut self, mark: Mark) {
        if self.newest.is_none() {
            self.first = Some(mark.at);
        }
        let second = mark.at.as_second();
        let before = self.newest.unwrap_or(i64::MIN);
        self.recent.push_back(mark);
        if self.highest < Some(second) {
            self.highest = Some(second);
            self.floor = None;
        }
        if second > before {
            self.newest = Some(second);
            if self.floor.is_none() || self.recent.len() > MOST {
                self.floor = None;
                self.forget(second - MARGIN, LEAST);
            }
        } else if second < before - MARGIN {
            // What is written from now on is to be asked for by the clock as it is now.
            self.newest = Some(second);
        }
    }

    /// Forgets lines from before a second, but for the last ones.
    fn forget(&mut self, second: i64, last: usize) {
        let before = self.recent.len();
        let mut old = before.saturating_sub(last);
        if old == 0 {
            return;
        }
        let forgotten = &mut self.forgotten;
        self.recent.retain(|mark| {
            let keep = old == 0 || mark.at.as_second() >= second;
            old = old.saturating_sub(1);
            if !keep {
                *forgotten = (*forgotten).max(Some(mark.at.as_second()));
            }
            keep
        });
        if self.recent.len() < before {
            self.first = None;
            self.recent.shrink_to(2 * self.recent.len().max(LEAST));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One container's log as a node keeps it.
    #[derive(Clone, Debug)]
    struct Node(Vec<(Timestamp, String)>);

    impl Node {
        fn since(&self, since: Option<Timestamp>, rotated: usize, end: usize) -> Vec<(Timestamp, String)> {
            // The kubelet drops single lines before `sinceTime`.
            let kept = self.0[rotated.min(end)..end].iter().filter(|(at, _)| since.is_none_or(|since| *at >= since));
            kept.cloned().collect()
        }
    }

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanosecond(1_800_000_000_000_000_000 + i128::from(nanos)).unwrap()
    }

    fn feed(resume: &mut Resume, lines: &[(Timestamp, String)], seen: &mut Vec<String>) {
        for (at, text) in lines {
            if resume.admit(*at, text.as_bytes()) != Line::Seen {
                seen.push(text.clone());
            }
        }
    }

    /// Follows a log with a tail, cut after each of these many lines, and returns what was delivered.
    fn follow(node: &Node, tail: usize, cuts: &[usize]) -> Vec<String> {
        let mut resume = Resume::default();
        let mut seen = Vec::new();
        let mut cuts = cuts.iter().copied().chain([node.0.len()]);
        let first = cuts.next().unwrap();
        let from = first.saturating_sub(tail);
        feed(&mut resume, &node.0[from..first], &mut seen);
        for end in cuts {
            match resume.since() {
                Some(since) => {
                    resume.reopened();
                    feed(&mut resume, &node.since(Some(since), 0, end), &mut seen);
                }
                None => feed(&mut resume, &node.since(None, 0, end), &mut seen),
            }
        }
        seen
    }

    fn numbered(times: &[i64]) -> Node {
        Node(times.iter().enumerate().map(|(i, nanos)| (at(*nanos), format!("line {i}"))).collect())
    }

    #[test]
    fn a_burst_with_one_timestamp_is_neither_lost_nor_repeated() {
        let node = numbered(&vec![500_000_000; 20_000]);
        let expected: Vec<String> = node.0.iter().skip(900).map(|(_, text)| text.clone()).collect();
        assert_eq!(follow(&node, 100, &[1_000, 1_001, 7_000, 7_000, 19_999]), expected);
    }

    #[test]
    fn equal_lines_are_counted() {
        let node = Node(vec![(at(5), "same".to_owned()); 10]);
        assert_eq!(follow(&node, 100, &[3, 4, 9]).len(), 10);
    }

    #[test]
    fn a_rotated_log_that_starts_in_the_middle_is_recognized() {
        let node = numbered(&[1, 2, 3, 3, 3, 4, 5, 6]);
        let mut resume = Resume::default();
        let mut seen = Vec::new();
        feed(&mut resume, &node.since(None, 0, 6), &mut seen);
        resume.reopened();
        let since = resume.since();
        feed(&mut resume, &node.since(since, 4, 8), &mut seen);
        assert_eq!(seen, node.0.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn a_log_that_was_rotated_away_hides_nothing_new() {
        let node = numbered(&[1, 2, 3, 3_000_000_000, 3_000_000_001]);
        let mut resume = Resume::default();
        let mut seen = Vec::new();
        feed(&mut resume, &node.since(None, 0, 3), &mut seen);
        resume.reopened();
        let since = resume.since();
        let rest = node.since(since, 3, 5);
        assert_eq!(resume.admit(rest[0].0, rest[0].1.as_bytes()), Line::AfterGap(at(3)));
        assert_eq!(resume.admit(rest[1].0, rest[1].1.as_bytes()), Line::New);
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_late_line_with_an_earlier_time_arrives() {
        let mut resume = Resume::default();
        for (nanos, line) in [(1_900_000_000, "a"), (2_100_000_000, "b"), (1_950_000_000, "c")] {
            assert_eq!(resume.admit(at(nanos), line.as_bytes()), Line::New, "{line}");
        }
        assert_eq!(resume.since(), Some(at(1_000_000_000)), "whole seconds, with a margin");
        resume.reopened();
        let rows = [
            (1_900_000_000, "a", false),
            (2_100_000_000, "b", false),
            (1_950_000_000, "c", false),
            (1_960_000_000, "d", true),
        ];
        for (nanos, line, new) in rows {
            assert_eq!(resume.admit(at(nanos), line.as_bytes()) == Line::New, new, "{line}");
        }
    }

    #[test]
    fn the_memory_does_not_grow_with_the_log() {
        let mut resume = Resume::default();
        for second in 0..1_000 {
            for line in 0..10 {
                resume.admit(at(second * 1_000_000_000 + line), b"x");
            }
        }
        assert!(resume.recent.len() <= LEAST + 10, "{}", resume.recent.len());
        for _ in 0..100_000 {
            resume.admit(at(1_000_000_000_000), b"y");
        }
        resume.admit(at(1_002_000_000_000), b"z");
        assert!(resume.recent.capacity() <= 4 * LEAST, "{}", resume.recent.capacity());
    }

    #[test]
    fn lines_of_one_moment_that_were_rotated_away_are_a_gap() {
        let mut resume = Resume::default();
        resume.admit(at(1), b"x");
        resume.admit(at(5), b"a");
        resume.reopened();
        assert_eq!(resume.admit(at(5), b"k"), Line::AfterGap(at(5)));
    }

    #[test]
    fn a_time_from_the_future_hides_nothing_of_the_present() {
        let node = numbered(&[1, 2, 3_600_000_000_000, 3, 4, 2_000_000_000]);
        assert_eq!(follow(&node, 100, &[4, 5]).len(), 6);
    }

    #[test]
    fn a_clock_that_was_set_back_further_than_is_remembered_is_told() {
        let second = 1_000_000_000;
        let mut times: Vec<i64> = (0..3_000).map(|line| line * second / 10).collect();
        times.extend([10 * second, 11 * second]);
        let node = numbered(&times);
        let mut resume = Resume::default();
        let mut seen = Vec::new();
        feed(&mut resume, &node.since(None, 0, 3_001), &mut seen);
        for round in 0..2 {
            let since = resume.since();
            resume.reopened();
            let again = node.since(since, 0, 3_002);
            let first = resume.admit(again[0].0, again[0].1.as_bytes());
            assert_eq!(matches!(first, Line::AfterJump(_)), round == 0, "told, and once: {first:?}");
            let mut new = Vec::new();
            feed(&mut resume, &again[1..], &mut new);
            assert_eq!(new.last().is_some_and(|line| line == "line 3001"), round == 0, "nothing is lost");
            assert!(round == 0 || new.is_empty(), "nothing comes a third time: {}", new.len());
        }
    }

    proptest! {
        #[test]
        fn any_cuts_lose_nothing_and_repeat_nothing(
            steps in prop::collection::vec(prop_oneof![6 => Just(0i64), 2 => 1i64..1_000, 2 => 1i64..2_500_000_000], 1..200),
            cuts in prop::collection::vec(0usize..200, 0..8),
            tail in 1usize..50,
        ) {
            let mut nanos = 0;
            let times: Vec<i64> = steps.iter().map(|step| { nanos += step; nanos }).collect();
            let node = numbered(&times);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(times.len())).collect();
            cuts.sort_unstable();
            let first = cuts.first().copied().unwrap_or(times.len());
            let expected: Vec<String> =
                node.0.iter().skip(first.saturating_sub(tail)).map(|(_, text)| text.clone()).collect();
            prop_assert_eq!(follow(&node, tail, &cuts), expected);
        }

        #[test]
        fn equal_lines_in_a_whole_log_are_counted(
            texts in prop::collection::vec(0u8..3, 1..80),
            cuts in prop::collection::vec(0usize..80, 0..5),
        ) {
            let node = Node(texts.iter().map(|text| (at(7), format!("{text}"))).collect());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(texts.len())).collect();
            cuts.sort_unstable();
            let expected: Vec<String> = node.0.iter().map(|(_, text)| text.clone()).collect();
            prop_assert_eq!(follow(&node, 1_000, &cuts), expected);
        }
    }
}
