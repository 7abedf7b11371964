//! The ring against a plain list: whatever comes in whatever order, both say the same.

use proptest::prelude::*;

use super::*;
use crate::text::{Clean, Gate};

fn source(i: usize) -> Arc<LogSource> {
    Arc::new(LogSource {
        uid: format!("uid-{i}").parse().unwrap(),
        pod: format!("pod-{i}").parse().unwrap(),
        container: "litellm".parse().unwrap(),
        previous: false,
    })
}

fn at(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(1_763_000_000_000 + millisecond).unwrap()
}

fn query(typed: &str) -> Option<Query> {
    Query::parse(typed, at(0), &Gate::default()).unwrap()
}

fn text(number: usize) -> Clean {
    say!("line {} is {}", number, if number.is_multiple_of(3) { "odd" } else { "even" })
}

/// What was pushed, as it should read: in the order of time, of a source in the order it came.
#[derive(Default)]
struct Plain(Vec<(Timestamp, usize, String)>);

impl Plain {
    fn push(&mut self, source: usize, line: &LogLine) {
        let before = self.0.iter().filter(|(_, of, _)| *of == source).map(|(at, ..)| *at).max();
        self.0.push((before.map_or(line.at, |before| before.max(line.at)), source, line.text.to_string()));
    }

    /// Lines of several sources that share a moment stand in the order in which these appeared.
    fn read(&self, lanes: &[usize]) -> Vec<String> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(at, source, _)| (*at, lanes.iter().position(|lane| lane == source)));
        all.into_iter().map(|(.., text)| text.clone()).collect()
    }
}

fn texts<'a>(lines: impl Iterator<Item = (Place, &'a LogLine)>) -> Vec<String> {
    lines.map(|(_, line)| line.text.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_ring_reads_like_a_sorted_list(
        batches in prop::collection::vec((0usize..4, prop::collection::vec(0i64..40, 1..30)), 1..40),
        filter_from in 0usize..40,
    ) {
        let (mut ring, mut plain, mut lanes, mut number) = (Ring::default(), Plain::default(), Vec::new(), 0);
        for (i, (of, times)) in batches.iter().enumerate() {
            if i == filter_from {
                prop_assert!(ring.ask(Sieve::Filter, query("even")).is_none(), "so few are looked through at once");
            }
            if !lanes.contains(of) {
                lanes.push(*of);
            }
            let lines: Vec<LogLine> = times.iter().map(|time| {
                number += 1;
                LogLine::new(at(*time + i as i64 * 5), &source(*of), text(number))
            }).collect();
            lines.iter().for_each(|line| plain.push(*of, line));
            ring.push(lines.into());
        }
        ring.ask(Sieve::Search, query("1"));
        let filtered = filter_from < batches.len();
        let all: Vec<String> =
            plain.read(&lanes).into_iter().filter(|text| !filtered || text.contains("even")).collect();
        prop_assert_eq!(texts(ring.forwards(Place::START, Pick::Shown)), all.clone());
        let back: Vec<String> = all.iter().rev().cloned().collect();
        prop_assert_eq!(texts(ring.backwards(Place::END, Pick::Shown)), back);
        let found: Vec<String> = all.iter().filter(|text| text.contains('1')).cloned().collect();
        prop_assert_eq!(texts(ring.forwards(Place::START, Pick::Found)), found);
        prop_assert_eq!(ring.found(Sieve::Filter), all.len());
        prop_assert_eq!((ring.len(), ring.evicted(), ring.dropped()), (number, 0, 0));
        // From any line on, both ways.
        let places: Vec<Place> = ring.forwards(Place::START, Pick::Shown).map(|(place, _)| place).collect();
        for (i, place) in places.iter().enumerate() {
            prop_assert_eq!(ring.forwards(*place, Pick::Shown).next().map(|(at, _)| at), Some(*place));
            let before = i.checked_sub(1).map(|i| places[i]);
            prop_assert_eq!(ring.backwards(*place, Pick::Shown).next().map(|(at, _)| at), before);
        }
    }
}

/// Twenty sources in turn, batches as a feed makes them; the text of each line says which it is.
fn flood(ring: &mut Ring, batches: usize, lines: usize) {
    let sources: Vec<_> = (0..20).map(source).collect();
    for batch in 0..batches {
        let of = batch % sources.len();
        let first = batch / sources.len() * lines;
        let line = |i: usize| {
            let text = say!("{} {} POST /v1/chat/completions 200 OK, {}", of, first + i, "some more words of a line");
            LogLine::new(at((batch * 50 + i / 100) as i64), &sources[of], text)
        };
        ring.push((0..lines).map(line).collect::<Vec<_>>().into());
    }
}

/// The numbers of the lines that are kept, by source: each must be without a hole up to the end.
fn accounted(ring: &Ring, each: usize) -> usize {
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept = 0;
    for (_, line) in ring.forwards(Place::START, Pick::Shown) {
        let mut words = line.text.as_str().split(' ');
        let (of, number) = (words.next().unwrap().to_owned(), words.next().unwrap().parse::<usize>().unwrap());
        let expected = next.entry(of).or_insert(number);
        assert_eq!(*expected, number, "of {}", line.source.pod);
        *expected += 1;
        kept += 1;
    }
    assert!(next.values().all(|end| *end == each), "{next:?}");
    kept
}

#[test]
fn every_line_of_a_flood_is_kept_or_evicted_and_none_is_dropped() {
    let mut ring = Ring::default();
    flood(&mut ring, 200, 1_000);
    assert_eq!((accounted(&ring, 10_000), ring.evicted(), ring.dropped()), (200_000, 0, 0));
    // A smaller ring keeps the newest, and says how many made room.
    let mut ring = Ring::bounded(4 * 1024 * 1024);
    flood(&mut ring, 200, 1_000);
    let kept = accounted(&ring, 10_000);
    assert!(kept > 10_000 && ring.bytes() <= 4 * 1024 * 1024, "{kept} in {} bytes", ring.bytes());
    assert_eq!((ring.evicted() + kept as u64, ring.len(), ring.dropped()), (200_000, kept, 0));
}

#[test]
fn what_is_looked_through_beside_the_loop_comes_out_the_same() {
    let mut ring = Ring::default();
    flood(&mut ring, 100, 1_000);
    let mut sifting = ring.ask(Sieve::Filter, query("/ [47][0-9]* POST/")).unwrap();
    assert!(ring.waiting(Sieve::Filter) > 80_000 && ring.found(Sieve::Filter) > 0, "the newest are there at once");
    // Meanwhile lines come, join those that wait, and another question is asked and taken back.
    let other = ring.ask(Sieve::Search, query("x"));
    assert!(other.is_some_and(|other| other.generation != sifting.generation));
    ring.push(vec![LogLine::new(at(9_000_000), &source(3), say!("3 7 POST late"))].into());
    let mut answers = 0;
    while let Some(sifted) = sifting.sift(20_000) {
        ring.sifted(sifted);
        answers += 1;
    }
    assert!(answers > 3, "{answers}");
    assert_eq!(ring.waiting(Sieve::Filter), 0);
    // Each of 20 sources has 0 to 4999: two numbers of one digit, twenty of two, and so on; and the late one.
    assert_eq!(ring.found(Sieve::Filter), 20 * (2 + 20 + 200 + 1_000) + 1);
    assert_eq!(ring.found(Sieve::Filter), ring.forwards(Place::START, Pick::Shown).count());
    let old = sifting.generation;
    ring.ask(Sieve::Filter, query("late"));
    ring.sifted(Sifted { sieve: Sieve::Filter, generation: old, found: vec![] });
    assert_eq!(ring.found(Sieve::Filter), 1, "an old answer changes nothing");
    ring.ask(Sieve::Filter, None);
    assert_eq!(ring.found(Sieve::Filter), 100_001);
}

#[test]
fn a_line_keeps_its_place() {
    let mut ring = Ring::default();
    let line = |of: usize, time: i64, words: &'static str| {
        Segment::from(vec![LogLine::new(at(time), &source(of), Clean::ours(words))])
    };
    ring.push(line(0, 10, "ten"));
    ring.push(line(0, 30, "thirty"));
    let (place, _) = ring.backwards(Place::END, Pick::Shown).next().unwrap();
    ring.push(line(1, 20, "twenty"));
    ring.push(line(0, 40, "forty"));
    ring.push(line(1, 5, "a clock that was set back"));
    assert_eq!(texts(ring.forwards(place, Pick::Shown)), ["thirty", "forty"]);
    let all = texts(ring.forwards(Place::START, Pick::Shown));
    assert_eq!(all, ["ten", "twenty", "a clock that was set back", "thirty", "forty"]);
    ring.ask(Sieve::Filter, query("ten"));
    assert_eq!(texts(ring.backwards(place.next(), Pick::Shown)), ["ten"], "hidden, the line above it is meant");
    ring.ask(Sieve::Filter, None);
    assert_eq!(texts(ring.backwards(place.next(), Pick::Shown))[0], "thirty");
}

#[test]
fn lines_of_a_megabyte_survive_and_the_only_segment_stays() {
    let mut ring = Ring::bounded(1024 * 1024);
    let long = Gate::default().clean(&"x ".repeat(1_000_000));
    for i in 0..3 {
        ring.push(vec![LogLine::new(at(i), &source(0), long.clone())].into());
    }
    assert_eq!((ring.len(), ring.evicted(), ring.dropped()), (1, 2, 0));
    assert_eq!(ring.forwards(Place::START, Pick::Shown).next().unwrap().1.text.to_clean(), long);
}
