//! The log: one ring of shared segments, and a view over it that never fetches anything again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::app::action::Action;
use crate::app::state::{State, Tone};
use crate::domain::checks::{LagoLine, lago_line};
use crate::domain::log::{LogItem, LogLine, LogSource, Segment};
use crate::domain::name::{Name, Slug, Uid};
use crate::domain::runbook::NodeRef;
use crate::domain::signature::Severity;
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// Memory that the ring may take, in bytes of text. The oldest segments go first.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Matched lines that are remembered on their own, so that counting them needs no walk.
const MOST_HITS: usize = 20_000;
/// Lines in one segment after a merge; larger ones are split.
const SEGMENT: usize = 4_096;

/// Lines of history that are asked for when a stream is opened.
pub const TAIL: u32 = 1_000;

/// How a stream stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Stream {
    /// Open since then.
    Following(Timestamp),
    /// The container ended, and its log with it.
    Ended,
    /// Lost since then, and why; it is opened again.
    Lost(Timestamp, Trouble),
}

/// A line that matched a signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// When.
    pub at: Timestamp,
    /// Which signature.
    pub signature: u16,
    /// Whose line.
    pub source: Arc<LogSource>,
    /// The line.
    pub text: Clean,
}

/// How often each signature matched in each pod, by second. Never evicted: a check that asks
/// "since the revert" must not depend on how much was logged meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<(Uid, u16), BTreeMap<i64, u32>>);

impl Tally {
    fn add(&mut self, pod: &Uid, signature: u16, at: Timestamp) {
        let seconds = self.0.entry((pod.clone(), signature)).or_default();
        *seconds.entry(at.as_second()).or_default() += 1;
        // An hour of seconds a pod and signature; older ones are added up in the first of them.
        while seconds.len() > 3_600 {
            let Some((_, count)) = seconds.pop_first() else { break };
            if let Some(mut first) = seconds.first_entry() {
                *first.get_mut() = first.get().saturating_add(count);
            }
        }
    }

    /// What was seen in one pod since a time: signature, count, last time.
    pub fn of_pod(&self, pod: &Uid, since: Timestamp) -> Vec<(u16, u64, Timestamp)> {
        let of = self.0.range((pod.clone(), 0)..=(pod.clone(), u16::MAX));
        of.filter_map(|((_, signature), seconds)| {
            let (count, last) = count_since(seconds, since)?;
            Some((*signature, count, last))
        })
        .collect()
    }

    /// What was seen in all pods since a time: how often each signature matched.
    pub fn counts(&self, since: Timestamp) -> BTreeMap<u16, u64> {
        let mut counts = BTreeMap::new();
        for ((_, signature), seconds) in &self.0 {
            if let Some((count, _)) = count_since(seconds, since) {
                *counts.entry(*signature).or_default() += count;
            }
        }
        counts
    }
}

fn count_since(seconds: &BTreeMap<i64, u32>, since: Timestamp) -> Option<(u64, Timestamp)> {
    // The lines of the second in which something was changed belong to before it.
    let from = if since.subsec_nanosecond() > 0 { since.as_second() + 1 } else { since.as_second() };
    let range = seconds.range(from..);
    let last = range.clone().next_back().map(|(second, _)| *second)?;
    Some((range.map(|(_, count)| u64::from(*count)).sum(), Timestamp::from_second(last).ok()?))
}

/// The ring and the view over it.
#[derive(Clone, Debug)]
pub struct Logs {
    segments: VecDeque<Segment>,
    bytes: usize,
    lines: usize,
    evicted: u64,
    streams: BTreeMap<LogSource, Stream>,
    hits: VecDeque<Hit>,
    tally: Tally,
    /// The last line of each kind that Lago's logger wrote: in which pod, and when.
    lago: [Option<(Name, Timestamp)>; 2],
    filter: Option<Clean>,
    matching: usize,
    /// Lines that contain this are marked, and jumped to.
    pub search: Option<Clean>,
    /// Number of the bottom line while held; `None` follows the end.
    pub held: Option<u64>,
    /// Times are shown.
    pub timestamps: bool,
    /// Long lines are wrapped.
    pub wrap: bool,
    /// The logs of previous containers are read as well.
    pub previous: bool,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            segments: VecDeque::new(),
            bytes: 0,
            lines: 0,
            evicted: 0,
            streams: BTreeMap::new(),
            hits: VecDeque::new(),
            tally: Tally::default(),
            lago: [None, None],
            filter: None,
            matching: 0,
            search: None,
            held: None,
            timestamps: true,
            wrap: false,
            previous: false,
        }
    }
}

impl Logs {
    /// Lines in the ring.
    pub fn len(&self) -> usize {
        self.lines
    }

    /// Nothing was read yet.
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Lines that were read and had to make room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How each stream stands.
    pub fn streams(&self) -> &BTreeMap<LogSource, Stream> {
        &self.streams
    }

    /// How many streams there are whose container has not ended.
    pub fn going_on(&self) -> usize {
        self.streams.values().filter(|stream| **stream != Stream::Ended).count()
    }

    /// How many streams are followed right now.
    pub fn following(&self) -> usize {
        self.streams.values().filter(|stream| matches!(stream, Stream::Following(_))).count()
    }

    /// Lines that matched a signature, oldest first.
    pub fn hits(&self) -> impl DoubleEndedIterator<Item = &Hit> {
        self.hits.iter()
    }

    /// How often each signature matched, by pod and second.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Forgets streams that nobody wants any more: what is opened again starts anew.
    pub fn keep_streams(&mut self, wanted: impl Fn(&LogSource) -> bool) {
        self.streams.retain(|source, stream| wanted(source) || *stream == Stream::Ended);
    }

    /// The last line of a kind that Lago's logger wrote: in which pod, and when.
    pub fn lago(&self, kind: LagoLine) -> Option<(Name, Timestamp)> {
        self.lago[kind as usize].clone()
    }

    fn shown(&self, line: &LogLine) -> bool {
        let has = |words: &Clean| {
            contains(line.text.as_str(), words.as_str()) || line.source.pod.as_str().contains(words.as_str())
        };
        self.filter.as_ref().is_none_or(has)
    }

    /// The lines with their numbers, from a number backwards, through the filter.
    pub fn backwards(&self, from: u64) -> impl Iterator<Item = (u64, &LogLine)> {
        let end = self.evicted + self.lines as u64;
        let skip = end.saturating_sub(from.saturating_add(1));
        let lines = self.segments.iter().rev().flat_map(|segment| segment.iter().rev());
        lines
            .enumerate()
            .map(move |(i, line)| (end - 1 - i as u64, line))
            .skip(usize::try_from(skip).unwrap_or(usize::MAX))
            .filter(|(_, line)| self.shown(line))
    }

    /// The lines with their numbers, from a number forwards, through the filter.
    pub fn forwards(&self, from: u64) -> impl Iterator<Item = (u64, &LogLine)> {
        let skip = usize::try_from(from.saturating_sub(self.evicted)).unwrap_or(usize::MAX);
        let lines = self.segments.iter().flat_map(|segment| segment.iter());
        lines
            .enumerate()
            .skip(skip)
            .map(|(i, line)| (self.evicted + i as u64, line))
            .filter(|(_, line)| self.shown(line))
    }

    /// Number of the bottom line in view.
    pub fn bottom(&self) -> u64 {
        let last = (self.evicted + self.lines as u64).saturating_sub(1);
        self.held.unwrap_or(last).clamp(self.evicted, last.max(self.evicted))
    }

    /// The line at the bottom of the view: the one that copy and remedy are about.
    pub fn selected(&self) -> Option<&LogLine> {
        self.backwards(self.bottom()).next().map(|(_, line)| line)
    }

    /// Lines that pass the filter, of all in the ring. Kept up to date as lines come and go.
    pub fn matching(&self) -> usize {
        self.matching
    }

    /// Shows only lines that contain the words; `None` shows all. Nothing is fetched, and the
    /// place is kept.
    pub fn set_filter(&mut self, words: Option<Clean>) {
        self.filter = words;
        self.matching = self.segments.iter().map(|segment| self.passing(segment)).sum();
    }

    /// The words of the filter.
    pub fn filter(&self) -> Option<&Clean> {
        self.filter.as_ref()
    }

    fn passing(&self, segment: &[LogLine]) -> usize {
        match self.filter {
            None => segment.len(),
            Some(_) => segment.iter().filter(|line| self.shown(line)).count(),
        }
    }

    fn push(&mut self, segment: Segment) {
        if segment.is_empty() {
            return;
        }
        for line in segment.iter() {
            if let Some(signature) = line.signature {
                self.tally.add(&line.source.uid, signature, line.at);
                self.hits.push_back(Hit {
                    at: line.at,
                    signature,
                    source: Arc::clone(&line.source),
                    text: line.text.clone(),
                });
            }
            if let Some(kind) = lago_line(line.text.as_str()) {
                self.lago[kind as usize] = Some((line.source.pod.clone(), line.at));
            }
        }
        while self.hits.len() > MOST_HITS {
            self.hits.pop_front();
        }
        self.lines += segment.len();
        self.matching += self.passing(&segment);
        self.bytes += weight(&segment);
        self.merge(segment);
        while self.bytes > MOST_BYTES && self.segments.len() > 1 {
            if let Some(oldest) = self.segments.pop_front() {
                self.bytes -= weight(&oldest);
                self.lines -= oldest.len();
                self.matching -= self.passing(&oldest);
                self.evicted += oldest.len() as u64;
            }
        }
    }

    /// Keeps the ring in the order of time: a batch that is older than the end of the ring is
    /// merged with the segments that it overlaps.
    fn merge(&mut self, segment: Segment) {
        let first = segment.iter().map(|line| line.at).min();
        let overlaps = |ring: &VecDeque<Segment>| ring.back().and_then(|last| last.last()).map(|line| line.at) > first;
        if !overlaps(&self.segments) && segment.is_sorted_by_key(|line| line.at) {
            self.segments.push_back(segment);
            return;
        }
        let mut parts = vec![segment];
        while overlaps(&self.segments) {
            parts.extend(self.segments.pop_back());
        }
        let mut lines: Vec<LogLine> = parts.into_iter().rev().flat_map(|part| part.to_vec()).collect();
        // Stable: lines of one source that share a timestamp keep the order of their stream.
        lines.sort_by_key(|line| line.at);
        for chunk in lines.chunks(SEGMENT) {
            self.segments.push_back(Arc::from(chunk));
        }
    }
}

fn weight(segment: &Segment) -> usize {
    segment.iter().map(|line| line.text.as_str().len() + size_of::<LogLine>()).sum()
}

/// Whether a line contains the words, without regard to the case of ASCII letters.
pub fn contains(line: &str, words: &str) -> bool {
    words.is_empty() || line.as_bytes().windows(words.len()).any(|part| part.eq_ignore_ascii_case(words.as_bytes()))
}

/// A log feed brought something.
pub fn fed(state: &mut State, source: &LogSource, item: LogItem) {
    let now = state.now;
    match item {
        LogItem::Following => {
            state.logs.streams.insert(source.clone(), Stream::Following(now));
        }
        LogItem::Lines(segment) => state.logs.push(segment),
        LogItem::Ended => {
            state.logs.streams.insert(source.clone(), Stream::Ended);
        }
        LogItem::Lost(why) => {
            let since = match state.logs.streams.get(source) {
                Some(Stream::Lost(since, _)) => *since,
                _ => now,
            };
            state.logs.streams.insert(source.clone(), Stream::Lost(since, why));
        }
    }
}

/// Sets or clears the filter. Nothing is fetched; the place is kept.
pub fn filter(state: &mut State, typed: &str) {
    let words = (!typed.is_empty()).then(|| state.gate.clean(typed));
    state.logs.set_filter(words);
}

/// Sets or clears the search, and goes to the last match.
pub fn search(state: &mut State, typed: &str) {
    state.logs.search = (!typed.is_empty()).then(|| state.gate.clean(typed));
    if state.logs.search.is_some() {
        act(state, Action::SearchBack);
    }
}

/// Moves and toggles.
pub fn act(state: &mut State, action: Action) {
    let page = u64::from(state.view.size.1 / 2).max(1);
    let logs = &mut state.logs;
    match action {
        Action::Follow => logs.held = if logs.held.is_some() { None } else { Some(logs.bottom()) },
        Action::Timestamps => logs.timestamps = !logs.timestamps,
        Action::Wrap => logs.wrap = !logs.wrap,
        Action::Previous => logs.previous = !logs.previous,
        Action::Up => step(logs, 1, false),
        Action::Down => step(logs, 1, true),
        Action::PageUp => step(logs, page, false),
        Action::PageDown => step(logs, page, true),
        Action::Top => {
            let first = logs.forwards(0).next().map_or(0, |(number, _)| number);
            logs.held = Some(first);
        }
        Action::Bottom => logs.held = None,
        Action::SearchNext | Action::SearchBack | Action::ErrorNext | Action::ErrorBack => find(state, action),
        _ => {}
    }
}

/// Moves by lines that pass the filter; past the end it follows again.
fn step(logs: &mut Logs, by: u64, forwards: bool) {
    let from = logs.bottom();
    let by = usize::try_from(by).unwrap_or(usize::MAX);
    logs.held = if forwards {
        logs.forwards(from + 1).nth(by - 1).map(|(number, _)| number)
    } else {
        let upwards = logs.backwards(from.saturating_sub(1)).take(by).last().map(|(number, _)| number);
        Some(upwards.unwrap_or(from))
    };
}

fn find(state: &mut State, action: Action) {
    let from = state.logs.bottom();
    let error = |line: &LogLine| line.signature.is_some_and(|signature| state.signatures.get(signature).counts);
    let found = |line: &LogLine| match (&state.logs.search, action) {
        (_, Action::ErrorNext | Action::ErrorBack) => error(line),
        (Some(words), _) => contains(line.text.as_str(), words.as_str()),
        (None, _) => false,
    };
    let number = match action {
        Action::SearchNext | Action::ErrorNext => state.logs.forwards(from + 1).find(|(_, line)| found(line)),
        _ => state.logs.backwards(from.saturating_sub(1)).find(|(_, line)| found(line)),
    };
    match number.map(|(number, _)| number) {
        Some(number) => state.logs.held = Some(number),
        None => state.tell(Tone::Plain, Clean::ours("no further match in that direction")),
    }
}

/// The signature that the log tells of now, and when it matched: that of the selected line, else
/// of the last error, else of the last line that matched anything. While the log is held, only
/// the selected line speaks.
pub fn telling(state: &State) -> Option<(u16, Timestamp)> {
    let logs = &state.logs;
    let selected = logs.selected().and_then(|line| Some((line.signature?, line.at)));
    if selected.is_some() || logs.held.is_some() {
        return selected;
    }
    let error = logs.hits().rev().find(|hit| state.signatures.get(hit.signature).severity == Severity::Error);
    error.or_else(|| logs.hits().next_back()).map(|hit| (hit.signature, hit.at))
}

/// The signature that the log tells of now, and the runbook node that helps.
pub fn selected_remedy(state: &State) -> Result<(Slug, NodeRef), Clean> {
    let (index, _) = telling(state).ok_or(Clean::ours("no line matched a known error"))?;
    let signature = state.signatures.get(index);
    let to = state
        .runbooks
        .for_signature(&signature.id)
        .ok_or_else(|| say!("{} has no entry in the runbook: {}", signature.title, signature.remedy))?;
    Ok((signature.id.clone(), to.clone()))
}
