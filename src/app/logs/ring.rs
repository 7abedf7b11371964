//! The ring: immutable segments of each source side by side, read as one log in the order of time.
//!
//! Nothing is moved when lines come late: each source has a lane of its own, and the lanes are
//! merged while they are read. So a line keeps its place as long as it is kept, and what a filter
//! found in a segment stays true.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::app::logs::query::Query;
use crate::domain::log::{LogLine, LogSource, Segment};

/// Memory that the lines may take, in bytes. The oldest segments go first.
const MOST_BYTES: usize = 60 * 1024 * 1024;
/// Small segments of a lane are joined up to this many lines,
const MOST_JOINED: usize = 4_096;
/// and this many bytes.
const MOST_JOINED_BYTES: usize = 1024 * 1024;
/// Lines that are looked through at once, newest first; the rest is looked through beside the loop.
const AT_ONCE: usize = 8_192;

/// Where a line stands in the whole log. Ordered; a line has the same place as long as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    at: Timestamp,
    lane: u32,
    number: u64,
}

impl Place {
    /// Before the first line.
    pub const START: Self = Self { at: Timestamp::MIN, lane: 0, number: 0 };
    /// After the last line.
    pub const END: Self = Self { at: Timestamp::MAX, lane: u32::MAX, number: u64::MAX };

    /// Just after this line.
    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number.saturating_add(1), ..self }
    }
}

/// Which lines are meant. All of them pass the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Every one.
    Shown,
    /// Those that the search finds.
    Found,
    /// Those whose signature counts as an error.
    Errors,
}

/// Who looks through the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sieve {
    /// The filter.
    Filter,
    /// The search.
    Search,
}

/// Rows of a segment that a query matches, in their order.
pub type Rows = Arc<[u32]>;

/// Segments to look through beside the loop.
#[derive(Clone, Debug)]
pub struct Sifting {
    /// For whom.
    pub sieve: Sieve,
    /// Which of its questions: an answer to an older one is of no use.
    pub generation: u64,
    query: Arc<Query>,
    parts: Vec<(u64, Segment)>,
}

/// Two are the same when they answer the same question.
impl PartialEq for Sifting {
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

/// What was found in some of the segments.
#[derive(Clone, Debug, PartialEq)]
pub struct Sifted {
    sieve: Sieve,
    generation: u64,
    found: Vec<(u64, Rows)>,
}

impl Sifting {
    /// Looks through the next segments, at least `lines` lines where there are as many. `None`
    /// when nothing is left.
    pub fn sift(&mut self, lines: usize) -> Option<Sifted> {
        let mut looked = 0;
        let mut found = Vec::new();
        while looked < lines {
            let Some((id, segment)) = self.parts.pop() else { break };
            looked += segment.len();
            found.push((id, rows(&self.query, &segment)));
        }
        (!found.is_empty()).then_some(Sifted { sieve: self.sieve, generation: self.generation, found })
    }
}

fn rows(query: &Query, segment: &Segment) -> Rows {
    (0..).zip(segment.iter()).filter(|(_, line)| query.matches(line)).map(|(row, _)| row).collect()
}

/// A segment in its lane.
#[derive(Clone, Debug)]
struct Part {
    id: u64,
    /// Number of its first line in the lane.
    first: u64,
    lines: Segment,
    /// Times that never run backwards, where the lines' own do.
    times: Option<Arc<[Timestamp]>>,
    /// What filter and search found here, as far as they have looked.
    found: [Option<Rows>; 2],
}

impl Part {
    fn time(&self, row: usize) -> Timestamp {
        self.times.as_ref().map_or(self.lines[row].at, |times| times[row])
    }

    fn last_time(&self) -> Timestamp {
        self.time(self.lines.len() - 1)
    }

    fn found(&self, sieve: Sieve) -> &[u32] {
        self.found[sieve as usize].as_deref().unwrap_or_default()
    }

    /// The rows of a kind; `None` is all of them.
    fn rows(&self, pick: Pick, filtered: bool) -> Option<&[u32]> {
        match pick {
            Pick::Shown if filtered => Some(self.found(Sieve::Filter)),
            Pick::Shown => None,
            Pick::Found => Some(self.found(Sieve::Search)),
            Pick::Errors => Some(self.lines.errors()),
        }
    }

    fn shows(&self, row: u32, filtered: bool) -> bool {
        !filtered || self.found(Sieve::Filter).binary_search(&row).is_ok()
    }

    fn last_below(&self, below: u32, pick: Pick, filtered: bool) -> Option<u32> {
        let Some(rows) = self.rows(pick, filtered) else { return below.checked_sub(1) };
        let before = &rows[..rows.partition_point(|row| *row < below)];
        before.iter().rev().copied().find(|row| self.shows(*row, filtered))
    }

    fn first_from(&self, from: u32, pick: Pick, filtered: bool) -> Option<u32> {
        let Some(rows) = self.rows(pick, filtered) else { return ((from as usize) < self.lines.len()).then_some(from) };
        let after = &rows[rows.partition_point(|row| *row < from)..];
        after.iter().copied().find(|row| self.shows(*row, filtered))
    }
}

/// The lines of one source.
#[derive(Clone, Debug)]
struct Lane {
    id: u32,
    parts: VecDeque<Part>,
    /// Number of the line that comes next.
    next: u64,
}

impl Lane {
    fn at(&self, number: u64) -> Option<(&Part, usize)> {
        let part = self.parts.get(self.parts.partition_point(|part| part.first <= number).checked_sub(1)?)?;
        let row = usize::try_from(number - part.first).ok().filter(|row| *row < part.lines.len())?;
        Some((part, row))
    }

    fn place(&self, number: u64) -> Option<(Place, &LogLine)> {
        let (part, row) = self.at(number)?;
        Some((Place { at: part.time(row), lane: self.id, number }, &part.lines[row]))
    }

    /// Number of the first line that is not before a place.
    fn bound(&self, place: Place) -> u64 {
        if place.lane == self.id {
            return place.number.min(self.next);
        }
        let before = |at: Timestamp| (at, self.id) < (place.at, place.lane);
        let after = self.parts.partition_point(|part| before(part.last_time()));
        let Some(part) = self.parts.get(after) else { return self.next };
        let (mut low, mut high) = (0, part.lines.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(part.time(middle)) { low = middle + 1 } else { high = middle }
        }
        part.first + low as u64
    }

    /// The last line of a kind before a number.
    fn before(&self, number: u64, pick: Pick, filtered: bool) -> Option<(Place, &LogLine)> {
        let parts = self.parts.partition_point(|part| part.first < number);
        let found = self.parts.range(..parts).rev().find_map(|part| {
            let below = (number - part.first).min(part.lines.len() as u64);
            let row = part.last_below(u32::try_from(below).unwrap_or(u32::MAX), pick, filtered)?;
            Some(part.first + u64::from(row))
        });
        self.place(found?)
    }

    /// The first line of a kind from a number on.
    fn from(&self, number: u64, pick: Pick, filtered: bool) -> Option<(Place, &LogLine)> {
        let parts = self.parts.partition_point(|part| part.first + (part.lines.len() as u64) <= number);
        let found = self.parts.range(parts..).find_map(|part| {
            let from = number.saturating_sub(part.first);
            let row = part.first_from(u32::try_from(from).unwrap_or(u32::MAX), pick, filtered)?;
            Some(part.first + u64::from(row))
        });
        self.place(found?)
    }
}

/// The ring. Cloning it shares the segments.
#[derive(Clone, Debug)]
pub struct Ring {
    lanes: BTreeMap<LogSource, Lane>,
    most_bytes: usize,
    bytes: usize,
    lines: usize,
    received: u64,
    evicted: u64,
    /// Numbers that were given out: lanes, segments, questions.
    numbers: (u32, u64, u64),
    queries: [Option<(u64, Arc<Query>)>; 2],
}

impl Default for Ring {
    fn default() -> Self {
        Self::bounded(MOST_BYTES)
    }
}

impl Ring {
    /// A ring that takes as many bytes of memory.
    pub fn bounded(most_bytes: usize) -> Self {
        Self {
            lanes: BTreeMap::new(),
            most_bytes,
            bytes: 0,
            lines: 0,
            received: 0,
            evicted: 0,
            numbers: (0, 0, 0),
            queries: [None, None],
        }
    }

    /// Lines that are kept.
    pub fn len(&self) -> usize {
        self.lines
    }

    /// Nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Lines that were read and had to make room for newer ones.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Whether the line of a place is kept.
    pub fn keeps(&self, place: Place) -> bool {
        self.lanes.values().any(|lane| lane.id == place.lane && lane.at(place.number).is_some())
    }

    /// Lines that came and are neither kept nor evicted: a loss of ours, which must stay 0.
    pub fn dropped(&self) -> u64 {
        self.received.saturating_sub(self.evicted + self.lines as u64)
    }

    /// Bytes of memory that the lines take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The question of a sieve.
    pub fn query(&self, sieve: Sieve) -> Option<&Query> {
        self.queries[sieve as usize].as_ref().map(|(_, query)| &**query)
    }

    /// Lines that a sieve has found so far; all where nothing is asked.
    pub fn found(&self, sieve: Sieve) -> usize {
        match self.query(sieve) {
            None => self.lines,
            Some(_) => self.parts().map(|part| part.found(sieve).len()).sum(),
        }
    }

    /// Lines that a sieve has not looked at yet.
    pub fn waiting(&self, sieve: Sieve) -> usize {
        let asked = self.query(sieve).is_some();
        let open = |part: &&Part| asked && part.found[sieve as usize].is_none();
        self.parts().filter(open).map(|part| part.lines.len()).sum()
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.lanes.values().flat_map(|lane| &lane.parts)
    }

    /// Takes new lines of a source in, and lets the oldest go where memory ends.
    pub fn push(&mut self, lines: Segment) {
        let Some(first) = lines.first() else { return };
        let source = &*first.source;
        self.received += lines.len() as u64;
        self.lines += lines.len();
        self.bytes += lines.weight();
        self.numbers.1 += 1;
        let found = [Sieve::Filter, Sieve::Search].map(|sieve| Some(rows(self.query(sieve)?, &lines)));
        if !self.lanes.contains_key(source) {
            self.numbers.0 += 1;
            self.lanes.insert(source.clone(), Lane { id: self.numbers.0, parts: VecDeque::new(), next: 0 });
        }
        let Some(lane) = self.lanes.get_mut(source) else { return };
        let times = monotone(&lines, lane.parts.back().map(Part::last_time));
        let part = Part { id: self.numbers.1, first: lane.next, lines, times, found };
        lane.next += part.lines.len() as u64;
        lane.parts.push_back(part);
        while lane.parts.len() > 1 {
            let (Some(late), Some(early)) = (lane.parts.pop_back(), lane.parts.pop_back()) else { break };
            if small(&early, &late) {
                lane.parts.push_back(joined(&early, &late, &self.queries));
            } else {
                lane.parts.extend([early, late]);
                break;
            }
        }
        while self.bytes > self.most_bytes && self.evict() {}
    }

    /// Lets the segment go whose last line is the oldest. Not the only one there is.
    fn evict(&mut self) -> bool {
        if self.parts().nth(1).is_none() {
            return false;
        }
        let oldest = self.lanes.iter().min_by_key(|(_, lane)| lane.parts.front().map(Part::last_time));
        let Some(source) = oldest.map(|(source, _)| source.clone()) else { return false };
        let Some(lane) = self.lanes.get_mut(&source) else { return false };
        let part = lane.parts.pop_front();
        if lane.parts.is_empty() {
            self.lanes.remove(&source);
        }
        let Some(part) = part else { return false };
        self.bytes -= part.lines.weight();
        self.lines -= part.lines.len();
        self.evicted += part.lines.len() as u64;
        true
    }

    /// Asks another question. The newest lines are looked through at once; what is left is to be
    /// looked through beside the loop.
    pub fn ask(&mut self, sieve: Sieve, query: Option<Query>) -> Option<Sifting> {
        self.numbers.2 += 1;
        let generation = self.numbers.2;
        let query = query.map(Arc::new);
        self.queries[sieve as usize] = query.clone().map(|query| (generation, query));
        let mut parts: Vec<&mut Part> = self.lanes.values_mut().flat_map(|lane| &mut lane.parts).collect();
        parts.iter_mut().for_each(|part| part.found[sieve as usize] = None);
        let query = query?;
        parts.sort_by_key(|part| part.last_time());
        let mut looked = 0;
        while looked < AT_ONCE {
            let Some(part) = parts.pop() else { break };
            looked += part.lines.len();
            part.found[sieve as usize] = Some(rows(&query, &part.lines));
        }
        let parts: Vec<_> = parts.into_iter().map(|part| (part.id, part.lines.clone())).collect();
        (!parts.is_empty()).then_some(Sifting { sieve, generation, query, parts })
    }

    /// Takes in what was found beside the loop. An answer to a question that is not asked any
    /// more, and what was found in lines that are gone, is left aside.
    pub fn sifted(&mut self, sifted: Sifted) {
        let Sifted { sieve, generation, found } = sifted;
        if self.queries[sieve as usize].as_ref().map(|(asked, _)| *asked) != Some(generation) {
            return;
        }
        let mut found: BTreeMap<u64, Rows> = found.into_iter().collect();
        for part in self.lanes.values_mut().flat_map(|lane| &mut lane.parts) {
            if let Some(rows) = found.remove(&part.id) {
                part.found[sieve as usize] = Some(rows);
            }
        }
    }

    /// The lines of a kind before a place, newest first.
    pub fn backwards<'a>(&'a self, from: Place, pick: Pick) -> impl Iterator<Item = (Place, &'a LogLine)> {
        let filtered = self.query(Sieve::Filter).is_some();
        let head = |lane: &'a Lane| Some((lane.before(lane.bound(from), pick, filtered)?, lane));
        let mut heads: Vec<_> = self.lanes.values().filter_map(head).collect();
        std::iter::from_fn(move || {
            let (at, _) = heads.iter().enumerate().max_by_key(|(_, ((place, _), _))| *place)?;
            let (taken, lane) = heads[at];
            match lane.before(taken.0.number, pick, filtered) {
                Some(next) => heads[at].0 = next,
                None => drop(heads.swap_remove(at)),
            }
            Some(taken)
        })
    }

    /// The lines of a kind from a place on, oldest first.
    pub fn forwards<'a>(&'a self, from: Place, pick: Pick) -> impl Iterator<Item = (Place, &'a LogLine)> {
        let filtered = self.query(Sieve::Filter).is_some();
        let head = |lane: &'a Lane| Some((lane.from(lane.bound(from), pick, filtered)?, lane));
        let mut heads: Vec<_> = self.lanes.values().filter_map(head).collect();
        std::iter::from_fn(move || {
            let (at, _) = heads.iter().enumerate().min_by_key(|(_, ((place, _), _))| *place)?;
            let (taken, lane) = heads[at];
            match lane.from(taken.0.number + 1, pick, filtered) {
                Some(next) => heads[at].0 = next,
                None => drop(heads.swap_remove(at)),
            }
            Some(taken)
        })
    }
}

/// Times of new lines that never run backwards, where the lines' own do.
fn monotone(lines: &Segment, before: Option<Timestamp>) -> Option<Arc<[Timestamp]>> {
    let mut latest = before.unwrap_or(Timestamp::MIN);
    if lines[0].at >= latest && lines.is_sorted_by_key(|line| line.at) {
        return None;
    }
    let clamped = lines.iter().map(|line| {
        latest = latest.max(line.at);
        latest
    });
    Some(clamped.collect())
}

/// Two neighbours that are worth joining: the later one has caught up with the earlier one.
fn small(early: &Part, late: &Part) -> bool {
    early.lines.len() < 2 * late.lines.len()
        && early.lines.len() + late.lines.len() <= MOST_JOINED
        && early.lines.weight() + late.lines.weight() <= MOST_JOINED_BYTES
}

fn joined(early: &Part, late: &Part, queries: &[Option<(u64, Arc<Query>)>; 2]) -> Part {
    let lines = early.lines.with(&late.lines);
    let found = [Sieve::Filter, Sieve::Search].map(|sieve| {
        let (_, query) = queries[sieve as usize].as_ref()?;
        let (Some(a), Some(b)) = (&early.found[sieve as usize], &late.found[sieve as usize]) else {
            return Some(rows(query, &lines));
        };
        let offset = u32::try_from(early.lines.len()).unwrap_or(u32::MAX);
        Some(a.iter().copied().chain(b.iter().map(|row| row + offset)).collect())
    });
    let times = (early.times.is_some() || late.times.is_some()).then(|| {
        let of = |part: &Part| (0..part.lines.len()).map(|row| part.time(row)).collect::<Vec<_>>();
        [of(early), of(late)].concat().into()
    });
    Part { id: late.id, first: early.first, lines, times, found }
}

#[cfg(test)]
mod tests;
