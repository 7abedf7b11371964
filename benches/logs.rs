//! The log engine under load: how long lines take through the gate and the signatures, what the
//! ring takes of memory, and how soon a filter is answered: `cargo bench --bench logs`.
//!
//! The lines are made here, from a fixed seed: access lines, lines of Prisma and JSON, with a
//! number each, so that a lost one is seen. Memory is what the system says the whole process has.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends here")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lastgood::app::logs::query::Query;
use lastgood::app::logs::ring::{Pick, Place, Ring, Sieve};
use lastgood::domain::log::{LogLine, LogSource, Segment};
use lastgood::domain::signature::Signatures;
use lastgood::text::Gate;

/// Pods that write.
const PODS: usize = 20;
/// Lines that come together, as the feeds hand them on.
const BATCH: usize = 200;
/// Sizes that are measured, in lines.
const SIZES: [usize; 3] = [200_000, 500_000, 1_000_000];
/// More than any of the sizes takes: what is measured is the filter, not the eviction.
const ROOM: usize = 1 << 30;
/// Lines of the flood that must fit into the ring as it is.
const FLOOD: usize = 3_000_000;

fn sources() -> Vec<Arc<LogSource>> {
    let source = |i: usize| LogSource {
        uid: format!("uid-{i}").parse().unwrap(),
        pod: format!("litellm-proxy-7f9c6d5b8-{i:05}").parse().unwrap(),
        container: "litellm".parse().unwrap(),
        previous: false,
    };
    (0..PODS).map(|i| Arc::new(source(i))).collect()
}

fn raw(number: usize, random: &mut fastrand::Rng) -> String {
    let (port, id) = (random.u16(1024..), random.u32(..));
    match random.u8(..20) {
        0..=13 => format!("{number} INFO:     10.0.12.7:{port} - \"POST /v1/chat/completions HTTP/1.1\" 200 OK"),
        14..=17 => format!(
            "{number} {{\"message\": \"request {id:08x} took {port} ms\", \"level\": \"INFO\", \"model\": \"gpt-4o\"}}"
        ),
        18 => {
            format!("{number} prisma:query SELECT \"public\".\"LiteLLM_SpendLogs\" WHERE request_id = {id:08x} LIMIT 1")
        }
        _ => format!(
            "{number} Traceback (most recent call last): ConnectionError: all {port} attempts failed, id {id:08x}"
        ),
    }
}

/// Resident memory of this process, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a Linux machine");
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Fills a ring as the feeds would. Answers how long the gate and the signatures took.
fn fill(ring: &mut Ring, lines: usize) -> Duration {
    let (gate, signatures, sources) = (Gate::default(), Signatures::bundled(), sources());
    let mut random = fastrand::Rng::with_seed(4711);
    let mut gates: Vec<_> = sources.iter().map(|_| gate.lines()).collect();
    let begin = Timestamp::from_second(1_763_000_000).unwrap();
    let mut took = Duration::ZERO;
    for batch in 0..lines / BATCH {
        let of = batch % PODS;
        let at = begin + Duration::from_millis(batch as u64 * 4);
        let texts: Vec<String> = (0..BATCH).map(|i| raw(batch / PODS * BATCH + i, &mut random)).collect();
        let started = Instant::now();
        let lines: Vec<LogLine> =
            texts.iter().map(|text| LogLine::new(at, &sources[of], gates[of].clean(text))).collect();
        let segment = Segment::from(lines).matched(&signatures);
        took += started.elapsed();
        ring.push(segment);
    }
    took
}

/// Asks for a filter and answers how long the newest lines took, which are on the screen at once,
/// and how long all of them.
fn filter(ring: &mut Ring, typed: &str) -> (Duration, Duration) {
    let query = Query::parse(typed, Timestamp::from_second(1_763_000_000).unwrap(), &Gate::default()).unwrap();
    let started = Instant::now();
    let rest = ring.ask(Sieve::Filter, query);
    let _ = ring.backwards(Place::END, Pick::Shown).take(50).count();
    let first = started.elapsed();
    if let Some(mut rest) = rest {
        while let Some(found) = rest.sift(65_536) {
            ring.sifted(found);
        }
    }
    let all = started.elapsed();
    assert!(ring.found(Sieve::Filter) > 0 && ring.waiting(Sieve::Filter) == 0, "{typed} is found");
    (first, all)
}

/// Counts the numbers of each pod that follow one another up to the last one that was written.
fn without_a_hole(ring: &Ring, each: usize) -> usize {
    let mut next = std::collections::BTreeMap::new();
    let mut kept = 0;
    for (_, line) in ring.forwards(Place::START, Pick::Shown) {
        let number: usize = line.text.as_str().split(' ').next().unwrap().parse().unwrap();
        let expected = next.entry(line.source.pod.clone()).or_insert(number);
        assert_eq!(*expected, number, "a line of {} is missing", line.source.pod);
        *expected += 1;
        kept += 1;
    }
    assert!(next.values().all(|end| *end == each), "the newest lines are there");
    kept
}

fn main() {
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    println!("{PODS} pods, {BATCH} lines together, one thread");
    println!("{:>9}  {:>16} {:>9} {:>9}  filter: first screen, then all", "lines", "gate, per 1M", "ring", "resident");
    for lines in SIZES {
        let mut ring = Ring::bounded(ROOM);
        let gate = fill(&mut ring, lines).as_secs_f64() * 1e6 / lines as f64;
        let mut shown = String::new();
        for typed in ["prisma", "!info", "/took [0-9]{5} ms/", "level:info", "pod:00007 gpt-4o"] {
            let (first, all) = filter(&mut ring, typed);
            let _ = write!(shown, "  {typed}: {}, {}", millis(first), millis(all));
        }
        let _ = ring.ask(Sieve::Filter, None);
        assert_eq!((without_a_hole(&ring, lines / PODS), ring.dropped()), (lines, 0));
        let ring_size = ring.bytes() as f64 / 1048576.0;
        println!("{lines:>9}  {gate:>13.2} s {ring_size:>5.0} MiB {:>5.0} MiB{shown}", resident());
    }
    let mut ring = Ring::default();
    fill(&mut ring, FLOOD);
    let kept = without_a_hole(&ring, FLOOD / PODS);
    println!(
        "{FLOOD} lines into the ring as it is: {kept} kept, {} evicted, {} dropped, {:.0} MiB resident",
        ring.evicted(),
        ring.dropped(),
        resident()
    );
}
