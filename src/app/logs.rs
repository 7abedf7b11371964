//! The log: one ring of shared segments, and a view over it that never fetches anything again.

pub mod chart;
pub mod page;
pub mod query;
pub mod ring;
pub mod saving;
mod tally;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::app::action::Action;
use crate::app::effect::Effect;
use crate::app::logs::page::Page;
use crate::app::logs::query::Query;
use crate::app::logs::ring::{Pick, Place, Ring, Sieve, Sifted};
use crate::app::state::{State, Tone};
use crate::domain::checks::LagoLine;
use crate::domain::log::{LogItem, LogLine, LogSource, Segment};
use crate::domain::name::{Name, Slug, Uid};
use crate::domain::runbook::NodeRef;
use crate::domain::signature::Severity;
use crate::domain::trouble::Trouble;
use crate::text::Clean;
pub use tally::Tally;

/// Lines of history that are asked for when a stream is opened.
pub const TAIL: u32 = 1_000;

/// How long the last lines of a pod that is gone are waited for: a pod that is deleted by force may
/// write as long as it usually takes to end.
const LAST_LINES: SignedDuration = SignedDuration::from_secs(30);

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

/// When a signature matched last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    /// How many lines had matched anything before it: the order in which lines came.
    order: u64,
    /// The line's time.
    at: Timestamp,
}

/// The ring and the view over it.
#[derive(Clone, Debug)]
pub struct Logs {
    /// The lines.
    pub ring: Ring,
    streams: BTreeMap<LogSource, Stream>,
    /// Followed logs of pods that are gone, and since when: their last lines are still under way.
    leaving: BTreeMap<LogSource, Timestamp>,
    /// The last line of each signature.
    matches: BTreeMap<u16, Match>,
    /// Lines that matched a signature.
    matched: u64,
    tally: Tally,
    /// The last line of each kind that Lago's logger wrote: in which pod, and when.
    lago: [Option<(Name, Timestamp)>; 2],
    /// How many migrations each pod said last that it has, by its UID.
    counted: BTreeMap<Uid, u32>,
    /// Until when lines of each pod are missing, by its UID.
    gaps: BTreeMap<Uid, Timestamp>,
    /// The page around the bottom line while held; `None` follows the end.
    held: Option<Page>,
    /// A jump that waits for the search to find something.
    seeking: bool,
    /// Times are shown.
    pub timestamps: bool,
    /// Long lines are wrapped.
    pub wrap: bool,
    /// JSON lines are shown field by field.
    pub unfold: bool,
    /// The logs of previous containers are read as well.
    pub previous: bool,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            ring: Ring::default(),
            streams: BTreeMap::new(),
            leaving: BTreeMap::new(),
            matches: BTreeMap::new(),
            matched: 0,
            tally: Tally::default(),
            lago: [None, None],
            counted: BTreeMap::new(),
            gaps: BTreeMap::new(),
            held: None,
            seeking: false,
            timestamps: true,
            wrap: false,
            unfold: false,
            previous: false,
        }
    }
}

impl Logs {
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

    /// Some line matched a signature.
    pub fn known(&self) -> bool {
        !self.matches.is_empty()
    }

    /// The signature among these that a line matched last, and that line's time.
    fn last_match(&self, of: impl Fn(u16) -> bool) -> Option<(u16, Timestamp)> {
        let matches = self.matches.iter().filter(|(signature, _)| of(**signature));
        matches.max_by_key(|(_, last)| last.order).map(|(signature, last)| (*signature, last.at))
    }

    /// How often each signature matched, by pod and second.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The logs of pods that are gone and were followed until then. Each is read until it ends.
    pub fn leaving(&self) -> impl Iterator<Item = &LogSource> {
        self.leaving.keys()
    }

    /// Pods are gone: their logs end by themselves, after the last lines.
    pub fn left(&mut self, gone: impl Fn(&Uid) -> bool, now: Timestamp) {
        let followed = self.streams.iter().filter(|(_, stream)| matches!(stream, Stream::Following(_)));
        let left = followed.filter(|(source, _)| gone(&source.uid)).map(|(source, _)| (source.clone(), now));
        self.leaving.extend(left);
    }

    /// Forgets streams that nobody wants any more, and that of a pod which does not exist.
    pub fn keep_streams(&mut self, wanted: impl Fn(&LogSource) -> bool, there: impl Fn(&Uid) -> bool, now: Timestamp) {
        self.leaving.retain(|_, since| now.duration_since(*since).abs() < LAST_LINES);
        let leaving = &self.leaving;
        self.streams.retain(|source, stream| match stream {
            Stream::Ended => there(&source.uid),
            _ => wanted(source) || leaving.contains_key(source),
        });
    }

    /// The last line of a kind that Lago's logger wrote: in which pod, and when.
    pub fn lago(&self, kind: LagoLine) -> Option<(Name, Timestamp)> {
        self.lago[kind as usize].clone()
    }

    /// How many migrations a pod said last that it has.
    pub fn counted(&self, pod: &Uid) -> Option<u32> {
        self.counted.get(pod).copied()
    }

    /// The bottom line while held; `None` follows the end.
    pub fn held(&self) -> Option<Place> {
        self.held.as_ref().map(Page::at)
    }

    /// The end of the last gap in the logs of a pod.
    pub fn gap(&self, pod: &Uid) -> Option<Timestamp> {
        self.gaps.get(pod).copied()
    }

    /// The page that is held and has lines that the ring let go.
    pub fn outlived(&self) -> Option<&Page> {
        self.held.as_ref().filter(|page| page.outlived(&self.ring))
    }

    fn hold(&mut self, at: Option<Place>) {
        let Some(at) = at else {
            self.held = None;
            return;
        };
        let page = self.outlived().cloned().and_then(|page| page.moved(at));
        self.held = Some(page.unwrap_or_else(|| Page::around(&self.ring, at)));
    }

    /// Takes the page anew: other lines of the ring pass the filter.
    fn take_page(&mut self) {
        self.held = self.held().map(|at| Page::around(&self.ring, at));
    }

    /// Just after the bottom line in view.
    pub fn below(&self) -> Place {
        self.held().map_or(Place::END, Place::next)
    }

    /// The lines above a place that are shown, newest first: of the page that is held, once some of
    /// it made room, else of all.
    pub fn backwards(&self, from: Place) -> Box<dyn Iterator<Item = (Place, &LogLine)> + '_> {
        match self.outlived() {
            Some(page) => Box::new(page.backwards(from)),
            None => Box::new(self.ring.backwards(from, Pick::Shown)),
        }
    }

    /// The lines from a place on that are shown, oldest first.
    pub fn forwards(&self, from: Place) -> Box<dyn Iterator<Item = (Place, &LogLine)> + '_> {
        match self.outlived() {
            Some(page) => Box::new(page.forwards(from)),
            None => Box::new(self.ring.forwards(from, Pick::Shown)),
        }
    }

    /// The line at the bottom of the view, and its place: the one that copy and remedy are about.
    pub fn selected(&self) -> Option<(Place, &LogLine)> {
        let above = self.backwards(self.below()).next();
        above.or_else(|| self.forwards(self.below()).next())
    }

    fn push(&mut self, segment: Segment) {
        for line in segment.hits() {
            let Some(signature) = line.signature else { continue };
            self.tally.add(&line.source.uid, signature, line.at);
            self.matched += 1;
            self.matches.insert(signature, Match { order: self.matched, at: line.at });
        }
        for kind in [LagoLine::Delivered, LagoLine::Built] {
            if let Some(line) = segment.lago(kind) {
                self.lago[kind as usize] = Some((line.source.pod.clone(), line.at));
            }
        }
        if let Some((line, count)) = segment.counted() {
            self.counted.insert(line.source.uid.clone(), count);
        }
        if let Some(line) = segment.gap() {
            self.gaps.insert(line.source.uid.clone(), line.at);
        }
        self.ring.push(segment);
    }
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
            state.logs.leaving.remove(source);
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
///
/// # Errors
/// What was typed cannot be understood, and why.
pub fn filter(state: &mut State, typed: &str) -> Result<Vec<Effect>, Clean> {
    ask(state, Sieve::Filter, typed)
}

/// Sets or clears the search, and goes to the last match.
///
/// # Errors
/// What was typed cannot be understood, and why.
pub fn search(state: &mut State, typed: &str) -> Result<Vec<Effect>, Clean> {
    let effects = ask(state, Sieve::Search, typed)?;
    if state.logs.ring.query(Sieve::Search).is_some() {
        state.logs.seeking = true;
        seek(state);
    }
    Ok(effects)
}

fn ask(state: &mut State, sieve: Sieve, typed: &str) -> Result<Vec<Effect>, Clean> {
    let query = Query::parse(typed, state.now, &state.gate)?;
    let rest = state.logs.ring.ask(sieve, query);
    if sieve == Sieve::Filter {
        state.logs.take_page();
    }
    // Whatever was wrong with the one before does not matter any more.
    state.notice = None;
    Ok(rest.map(|rest| Effect::Sift(Box::new(rest))).into_iter().collect())
}

/// More of the ring was looked through.
pub fn sifted(state: &mut State, sifted: Sifted) {
    state.logs.ring.sifted(sifted);
    if state.logs.outlived().is_none() {
        state.logs.take_page();
    }
    seek(state);
}

/// Goes to the last match, as soon as the search has one.
fn seek(state: &mut State) {
    let logs = &mut state.logs;
    if !logs.seeking {
        return;
    }
    let last = logs.ring.backwards(logs.below(), Pick::Found).next().map(|(place, _)| place);
    logs.seeking = last.is_none() && logs.ring.waiting(Sieve::Search) > 0;
    match last {
        Some(place) => logs.hold(Some(place)),
        None if logs.seeking => {}
        None => state.tell(Tone::Plain, Clean::ours("no line above matches")),
    }
}

/// Moves and toggles.
pub fn act(state: &mut State, action: Action) {
    let page = usize::from(state.view.size.1 / 2).max(1);
    let logs = &mut state.logs;
    let outlived = logs.outlived().is_some();
    logs.seeking = false;
    match action {
        Action::Follow if logs.held.is_some() => logs.hold(None),
        Action::Follow => logs.hold(logs.selected().map(|(place, _)| place)),
        Action::Timestamps => logs.timestamps = !logs.timestamps,
        Action::Wrap => logs.wrap = !logs.wrap,
        Action::Unfold => logs.unfold = !logs.unfold,
        Action::Previous => logs.previous = !logs.previous,
        Action::Up => up(logs, 1),
        Action::Down => down(logs, 1),
        Action::PageUp => up(logs, page),
        Action::PageDown => down(logs, page),
        Action::Top => {
            let first = logs.ring.forwards(Place::START, Pick::Shown).next().map(|(place, _)| place);
            logs.hold(first);
        }
        Action::Bottom => logs.hold(None),
        Action::SearchNext => find(state, Pick::Found, true),
        Action::SearchBack => find(state, Pick::Found, false),
        Action::ErrorNext => find(state, Pick::Errors, true),
        Action::ErrorBack => find(state, Pick::Errors, false),
        _ => {}
    }
    if outlived && state.logs.held.is_some() && state.logs.outlived().is_none() {
        state.tell(Tone::Plain, Clean::ours("the lines in between have made room for newer ones"));
    }
}

/// Moves up by lines that pass the filter, at most to the first.
fn up(logs: &mut Logs, by: usize) {
    let above = logs.backwards(logs.below()).take(by + 1).last();
    logs.hold(above.or_else(|| logs.selected()).map(|(place, _)| place));
}

/// Moves down by lines that pass the filter, past the end of a page to the oldest that is kept; past
/// the end of all it follows again.
fn down(logs: &mut Logs, by: usize) {
    let below = logs.below();
    let on_page = logs.forwards(below).nth(by - 1);
    let next = on_page.or_else(|| logs.ring.forwards(below, Pick::Shown).nth(by - 1));
    logs.hold(next.map(|(place, _)| place));
}

fn find(state: &mut State, pick: Pick, forwards: bool) {
    let logs = &mut state.logs;
    if pick == Pick::Found && logs.ring.query(Sieve::Search).is_none() {
        return state.tell(Tone::Plain, Clean::ours("nothing was searched for yet"));
    }
    let from = logs.below();
    let found = if forwards {
        logs.ring.forwards(from, pick).next()
    } else {
        // Following, the bottom line itself may be the one; held, it is the one that was found.
        let from = logs.held().unwrap_or(from);
        logs.ring.backwards(from, pick).next()
    };
    match found.map(|(place, _)| place) {
        Some(place) => logs.hold(Some(place)),
        None if pick == Pick::Found && logs.ring.waiting(Sieve::Search) > 0 => {
            state.tell(Tone::Plain, Clean::ours("no match so far; the search goes on"));
        }
        None => {
            let what = if pick == Pick::Errors { "error" } else { "match" };
            let way = if forwards { "below" } else { "above" };
            let of =
                if logs.ring.query(Sieve::Filter).is_some() { ", among the lines that pass the filter" } else { "" };
            state.tell(Tone::Plain, say!("no further {} {}{}", what, way, of));
        }
    }
}

/// The signature that the log tells of now, and when it matched: that of the selected line, else
/// of the last error, else of the last line that matched anything. While the log is held, only
/// the selected line speaks.
pub fn telling(state: &State) -> Option<(u16, Timestamp)> {
    let logs = &state.logs;
    let selected = logs.selected().and_then(|(_, line)| Some((line.signature?, line.at)));
    if selected.is_some() || logs.held.is_some() {
        return selected;
    }
    let error = |signature| state.signatures.get(signature).severity == Severity::Error;
    logs.last_match(error).or_else(|| logs.last_match(|_| true))
}

/// The signature that the log tells of now, and the runbook node that helps.
pub fn selected_remedy(state: &State) -> Result<(Slug, NodeRef), Clean> {
    let (index, _) = telling(state).ok_or(Clean::ours("no line matched a known error"))?;
    let signature = state.signatures.get(index);
    let to = state
        .runbooks
        .for_signature(signature)
        .ok_or_else(|| say!("{} has no entry in the runbook: {}", signature.title, signature.remedy))?;
    Ok((signature.id.clone(), to.clone()))
}
