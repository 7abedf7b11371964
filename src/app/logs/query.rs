//! What a filter or a search asks of a line: terms that must all hold, each of which may be turned
//! round.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use regex::{Regex, RegexBuilder};

use crate::domain::log::{Level, LogLine};
use crate::text::{Clean, Gate};

/// A filter or a search, proved: its expressions compile.
#[derive(Clone, Debug)]
pub struct Query {
    terms: Vec<Term>,
    /// As it was typed.
    pub words: Clean,
}

#[derive(Clone, Debug)]
struct Term {
    test: Test,
    not: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Text(Regex),
    Pod(String),
    Container(String),
    AtLeast(Level),
    From(Timestamp),
    Until(Timestamp),
}

impl Query {
    /// Reads what was typed: words, `"several words"`, `/regex/`, `pod:`, `container:`, `level:`,
    /// `since:10m`, `after:` and `before:` with a time of day (UTC); each with `!` before it for
    /// the opposite. Letters are compared without case. `None` when nothing was typed.
    ///
    /// # Errors
    /// Which term cannot be understood, and what it should look like.
    pub fn parse(typed: &str, now: Timestamp, gate: &Gate) -> Result<Option<Self>, Clean> {
        let mut terms = Vec::new();
        let mut rest = typed.trim();
        while !rest.is_empty() {
            let not = rest.starts_with('!') && rest.len() > 1;
            let (term, after) = split(&rest[usize::from(not)..]);
            terms.push(Term { test: test(&term, now, gate)?, not });
            rest = after.trim_start();
        }
        Ok((!terms.is_empty()).then(|| Self { terms, words: gate.clean(typed.trim()) }))
    }

    /// Whether a line has all that is asked for.
    pub fn matches(&self, line: &LogLine) -> bool {
        self.terms.iter().all(|term| term.test.holds(line) != term.not)
    }

    /// Where a text has what it is asked to have, as byte ranges in order, for marking.
    pub fn places(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        let wanted = self.terms.iter().filter(|term| !term.not).filter_map(|term| match &term.test {
            Test::Text(regex) => Some(regex),
            _ => None,
        });
        let mut places: Vec<_> = wanted.flat_map(|regex| regex.find_iter(text)).map(|found| found.range()).collect();
        places.retain(|range| !range.is_empty());
        places.sort_by_key(|range| (range.start, range.end));
        places
    }
}

impl Test {
    fn holds(&self, line: &LogLine) -> bool {
        match self {
            Test::Text(regex) => regex.is_match(line.text.as_str()),
            Test::Pod(part) => line.source.pod.as_str().contains(part),
            Test::Container(part) => line.source.container.as_str().contains(part),
            Test::AtLeast(level) => line.level.is_some_and(|own| own >= *level),
            Test::From(time) => line.at >= *time,
            Test::Until(time) => line.at < *time,
        }
    }
}

/// A term as it was typed.
enum Typed {
    Word(String),
    Phrase(String),
    Regex(String),
}

/// The first term, and what comes after it.
fn split(text: &str) -> (Typed, &str) {
    let closed = |mark: char| {
        let inner = text.strip_prefix(mark)?;
        let ends = |(at, _): &(usize, &str)| {
            let after = &inner[at + 1..];
            *at > 0 && (after.is_empty() || after.starts_with(char::is_whitespace))
        };
        let (end, _) = inner.match_indices(mark).find(ends)?;
        Some((inner[..end].to_owned(), &inner[end + 1..]))
    };
    if let Some((phrase, after)) = closed('"') {
        return (Typed::Phrase(phrase), after);
    }
    if let Some((regex, after)) = closed('/') {
        return (Typed::Regex(regex), after);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (Typed::Word(text[..end].to_owned()), &text[end..])
}

fn test(term: &Typed, now: Timestamp, gate: &Gate) -> Result<Test, Clean> {
    let word = match term {
        Typed::Regex(regex) => return compiled(regex, gate),
        Typed::Phrase(phrase) => return compiled(&regex::escape(phrase), gate),
        Typed::Word(word) => word,
    };
    let Some((name, value)) = word.split_once(':').filter(|(_, value)| !value.is_empty()) else {
        return compiled(&regex::escape(word), gate);
    };
    let wrong = |rule: &'static str| say!("{} is not understood: {}", gate.clean(word), rule);
    match name {
        "pod" => Ok(Test::Pod(value.to_owned())),
        "container" => Ok(Test::Container(value.to_owned())),
        "level" => Level::named(value).map(Test::AtLeast).ok_or_else(|| wrong("debug, info, warning or error")),
        "since" => {
            let ago = value.parse::<SignedDuration>().ok().filter(|ago| !ago.is_negative());
            let from = ago.and_then(|ago| now.checked_sub(ago).ok());
            from.map(Test::From).ok_or_else(|| wrong("write it like since:90s, since:10m or since:2h"))
        }
        "after" => day_time(value, now).map(Test::From).ok_or_else(|| wrong("write it like after:03:06")),
        "before" => day_time(value, now).map(Test::Until).ok_or_else(|| wrong("write it like before:03:06:30")),
        _ => compiled(&regex::escape(word), gate),
    }
}

fn compiled(regex: &str, gate: &Gate) -> Result<Test, Clean> {
    let built = RegexBuilder::new(regex).case_insensitive(true).build();
    built.map(Test::Text).map_err(|why| {
        let reason = why.to_string();
        let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        say!("/{}/ is no regular expression: {}", gate.clean(regex), gate.clean(last))
    })
}

/// The last moment, up to now, at which the clock (UTC) showed this time of day.
fn day_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let time: Time = if text.matches(':').count() == 1 { format!("{text}:00").parse() } else { text.parse() }.ok()?;
    let today = now.to_zoned(TimeZone::UTC).date();
    let at = |date: jiff::civil::Date| Some(date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp());
    at(today).filter(|at| *at <= now).or_else(|| at(today.yesterday().ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::log::LogSource;

    fn line(at: &str, text: &str) -> LogLine {
        let source = LogSource {
            uid: "u".parse().unwrap(),
            pod: "litellm-proxy-7f9c-x7k2p".parse().unwrap(),
            container: "litellm".parse().unwrap(),
            previous: false,
        };
        LogLine::new(at.parse().unwrap(), &Arc::new(source), Gate::default().clean(text))
    }

    fn query(typed: &str) -> Result<Option<Query>, Clean> {
        Query::parse(typed, "2026-03-14T03:10:00Z".parse().unwrap(), &Gate::default())
    }

    #[test]
    fn terms_hold_or_not() {
        let line = line("2026-03-14T03:06:30Z", "ERROR: Prisma could not reach /v1/chat at db:5432");
        let rows = [
            ("prisma", true),
            ("prisma reach", true),
            ("reach prisma", true),
            ("prisma postgres", false),
            ("!postgres prisma", true),
            ("!prisma", false),
            ("\"not reach\"", true),
            ("\"reach not\"", false),
            ("/could (not|never) reach/", true),
            ("/^prisma/", false),
            ("!/^prisma/ error", true),
            ("/v1/chat", true),
            ("db:5432", true),
            ("pod:x7k2p", true),
            ("!pod:x7k2p", false),
            ("container:litellm level:warn", true),
            ("level:error !level:error", false),
            ("since:4m", true),
            ("since:3m", false),
            ("after:03:06 before:03:07", true),
            ("after:03:06:31", false),
            ("after:23:00", true),
            ("!", false),
            ("pod:", false),
            ("(", false),
        ];
        for (typed, holds) in rows {
            let query = query(typed).unwrap().unwrap();
            assert_eq!(query.matches(&line), holds, "{typed}");
        }
        assert!(query("  ").unwrap().is_none());
    }

    #[test]
    fn what_is_not_understood_says_what_it_should_be() {
        for (typed, part) in [
            ("/a(/", "is no regular expression: unclosed group"),
            ("level:loud", "debug, info, warning or error"),
            ("since:soon", "since:10m"),
            ("since:-3m", "since:10m"),
            ("after:25:00", "after:03:06"),
            ("before:x", "before:03:06:30"),
        ] {
            let why = query(typed).unwrap_err();
            assert!(why.as_str().contains(part), "{typed}: {why}");
        }
    }

    #[test]
    fn places_are_marked_in_order() {
        let query = query("b /a+/ !c pod:x").unwrap().unwrap();
        assert_eq!(query.places("aabcA"), [0..2, 2..3, 4..5]);
        assert!(query.places("").is_empty());
    }
}
