//! The page that somebody holds: it stays as it is, while its lines make room for newer ones.

use crate::app::logs::ring::{Pick, Place, Ring};
use crate::domain::log::LogLine;

/// Lines of a page above the held one, and that one,
const ABOVE: usize = 400;
/// and after it.
const AFTER: usize = 100;
/// Bytes of text that a page takes at most, besides that of its longest line.
const MOST_BYTES: usize = 1024 * 1024;

/// A held line and its neighbours that pass the filter, in memory of their own.
#[derive(Clone, Debug)]
pub struct Page {
    at: Place,
    lines: Vec<(Place, LogLine)>,
}

impl Page {
    /// The page around a line.
    pub(super) fn around(ring: &Ring, at: Place) -> Self {
        let mut room = MOST_BYTES;
        let mut fits = |(_, line): &(Place, &LogLine)| {
            let fits = room > 0;
            room = room.saturating_sub(line.text.as_str().len());
            fits
        };
        let above = ring.backwards(at.next(), Pick::Shown).take(ABOVE).take_while(&mut fits);
        let mut lines: Vec<_> = above.map(copied).collect();
        lines.reverse();
        lines.extend(ring.forwards(at.next(), Pick::Shown).take(AFTER).take_while(&mut fits).map(copied));
        Self { at, lines }
    }

    /// The same page, with another of its lines held; `None` when it is not on the page.
    pub(super) fn moved(mut self, to: Place) -> Option<Self> {
        self.at = to;
        self.lines.binary_search_by_key(&to, |(place, _)| *place).is_ok().then_some(self)
    }

    /// Where the held line stands.
    pub fn at(&self) -> Place {
        self.at
    }

    /// Some of its lines made room.
    pub(super) fn outlived(&self, ring: &Ring) -> bool {
        self.lines.iter().any(|(place, _)| !ring.keeps(*place))
    }

    /// Its lines that made room.
    pub(super) fn gone<'a>(&'a self, ring: &Ring) -> impl Iterator<Item = &'a LogLine> {
        self.lines.iter().filter(|(place, _)| !ring.keeps(*place)).map(|(_, line)| line)
    }

    /// Its lines before a place, newest first.
    pub(super) fn backwards(&self, from: Place) -> impl Iterator<Item = (Place, &LogLine)> {
        let lines = &self.lines[..self.lines.partition_point(|(place, _)| *place < from)];
        lines.iter().rev().map(|(place, line)| (*place, line))
    }

    /// Its lines from a place on, oldest first.
    pub(super) fn forwards(&self, from: Place) -> impl Iterator<Item = (Place, &LogLine)> {
        let lines = &self.lines[self.lines.partition_point(|(place, _)| *place < from)..];
        lines.iter().map(|(place, line)| (*place, line))
    }
}

/// The line in memory of its own: it keeps none of its neighbours alive.
fn copied((place, line): (Place, &LogLine)) -> (Place, LogLine) {
    (place, LogLine { text: line.text.to_clean().into(), ..line.clone() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::domain::log::LogSource;
    use crate::text::Gate;

    #[test]
    fn a_page_is_bounded_and_always_has_its_line() {
        let source = LogSource {
            uid: "u".parse().unwrap(),
            pod: "litellm-proxy-7f9c-x7k2p".parse().unwrap(),
            container: "litellm".parse().unwrap(),
            previous: false,
        };
        let (gate, source) = (Gate::default(), Arc::new(source));
        let words = |row: usize| if row == 50 { "long ".repeat(MOST_BYTES) } else { format!("line {row}") };
        let line = |row| LogLine::new(Timestamp::UNIX_EPOCH, &source, gate.clean(&words(row)));
        let mut ring = Ring::default();
        ring.push((0..100).map(line).collect::<Vec<_>>().into());
        let place = |row: usize| ring.forwards(Place::START, Pick::Shown).nth(row).unwrap().0;
        let page = Page::around(&ring, place(50));
        assert_eq!(page.lines.len(), 1);
        assert_eq!(page.backwards(Place::END).next().unwrap().0, place(50));
        assert_eq!(Page::around(&ring, place(49)).lines.len(), 51, "up to the long one");
        assert_eq!(Page::around(&ring, place(99)).lines.len(), 50, "down to the long one");
    }
}
