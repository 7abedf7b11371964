//! Lines to be written to a file of this machine: what is shown, or all that is kept.

use std::sync::Arc;

use crate::app::effect::Effect;
use crate::app::logs::ring::{Pick, Place, Ring, Sieve};
use crate::app::state::{State, Tone};
use crate::domain::log::LogLine;
use crate::text::Clean;

/// Lines to write, and where. The segments are shared, so nothing that comes later changes them.
#[derive(Clone, Debug)]
pub struct Saving {
    /// The file as it was typed.
    pub path: String,
    /// Lines of the page that is held, where the ring let them go.
    page: Vec<LogLine>,
    ring: Arc<Ring>,
}

/// Two are the same when they write the same file.
impl PartialEq for Saving {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Saving {
    /// The lines in the order of time, each as it is written: time, pod, container, text.
    pub fn lines(&self) -> impl Iterator<Item = Clean> {
        let kept = self.ring.forwards(Place::START, Pick::Shown).map(|(_, line)| line);
        self.page.iter().chain(kept).map(written)
    }
}

fn written(line: &LogLine) -> Clean {
    let previous = if line.source.previous { " (previous)" } else { "" };
    let mark = if line.ours.is_some() { "-- " } else { "" };
    say!("{} {}/{}{} {}{}", line.at, line.source.pod, line.source.container, previous, mark, line.text)
}

/// Starts to write what is shown, or all lines, to a file.
pub fn save(state: &mut State, path: &str, all: bool) -> Vec<Effect> {
    let mut ring = state.logs.ring.clone();
    if all {
        ring.ask(Sieve::Filter, None);
    }
    if path.is_empty() {
        return Vec::new();
    }
    if ring.is_empty() {
        state.tell(Tone::Plain, Clean::ours("no line is kept yet: there is nothing to save"));
        return Vec::new();
    }
    if ring.waiting(Sieve::Filter) > 0 {
        state.tell(Tone::Warn, Clean::ours("not saved: the filter has not seen every line yet; try again in a moment"));
        return Vec::new();
    }
    let page = state.logs.outlived().into_iter().flat_map(|page| page.gone(&ring)).cloned().collect();
    vec![Effect::Save(Box::new(Saving { path: path.to_owned(), page, ring: Arc::new(ring) }))]
}
