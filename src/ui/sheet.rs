//! What a pane draws on: a ruled heading, lines in a window, and cells of a fixed width.

use std::borrow::Cow;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::action::{Action, Pane};
use crate::domain::live::Live;
use crate::domain::trouble::Trouble;
use crate::text::Clean;
use crate::ui::fit;
use crate::ui::scene::Scene;
use crate::ui::theme::{Role, Sign};

/// The cells that a pane may fill, without its heading.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Cells across.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// The pane gets the keys.
    pub focused: bool,
}

/// A pane, ready to be put on the screen.
#[derive(Default)]
pub struct Sheet<'a> {
    /// What stands beside the pane's name: counts.
    pub count: String,
    /// What stands at the right end of the heading: age, loss.
    pub note: Option<Span<'a>>,
    /// The lines, no more than there is room for.
    pub lines: Vec<Line<'a>>,
}

impl<'a> Sheet<'a> {
    /// A pane that has nothing to show, and why.
    pub fn says(scene: &Scene<'a>, room: Room, words: &str, role: Role) -> Self {
        let mut sheet = Self::default();
        sheet.wrap(scene, room, words, "", role);
        sheet
    }

    /// Adds why a connection is lost and what to do, above the last value that is kept.
    pub fn loss(&mut self, scene: &Scene<'a>, room: Room, why: &Trouble) {
        let words = why.sentence();
        self.lines.extend(wrapped(scene, room.width, words.as_str(), "", Role::Danger).into_iter().take(2));
    }

    /// Adds words on as many lines as they take, each after `indent`.
    pub fn wrap(&mut self, scene: &Scene<'a>, room: Room, words: &str, indent: &str, role: Role) {
        self.lines.extend(wrapped(scene, room.width, words, indent, role));
    }
}

/// Words on as many lines as they take, each after `indent`.
pub fn wrapped<'a>(scene: &Scene<'a>, width: usize, words: &str, indent: &str, role: Role) -> Vec<Line<'a>> {
    let style = scene.style(role);
    let lines = fit::wrapped(words, width.saturating_sub(indent.len()));
    lines.into_iter().map(|line| Line::from(Span::styled(format!("{indent}{line}"), style))).collect()
}

/// A sign, and words that hang beside it.
pub fn hanging<'a>(scene: &Scene<'a>, width: usize, sign: Sign, words: &str, role: Role) -> Vec<Line<'a>> {
    let style = scene.style(role);
    let lines = fit::wrapped(words, width.saturating_sub(3));
    let hung = lines.into_iter().enumerate().map(|(i, line)| {
        let head = if i == 0 { scene.sign(sign) } else { " " };
        Line::from(Span::styled(format!(" {head} {line}"), style))
    });
    hung.collect()
}

/// Cells that the name of a fact takes.
const NAME: usize = 10;

/// A name, and words that belong to it wrapped beside it.
pub fn fact<'a>(scene: &Scene<'a>, width: usize, name: &'static str, words: &str, role: Role) -> Vec<Line<'a>> {
    let style = scene.style(role);
    let lines = fit::wrapped(words, width.saturating_sub(NAME));
    let named = lines.into_iter().enumerate().map(|(i, line)| {
        let head = if i == 0 { format!("{name:<NAME$}") } else { " ".repeat(NAME) };
        Line::from(vec![Span::styled(head, scene.style(Role::Muted)), Span::styled(line.into_owned(), style)])
    });
    named.collect()
}

/// What is told of the selected line, below a list that would take `listed` lines: in the pane that
/// gets the keys as much as the list leaves free, at least half of it, and what does not fit is
/// counted; elsewhere a few lines.
pub fn told<'a>(scene: &Scene<'a>, room: Room, listed: usize, mut lines: Vec<Line<'a>>) -> Vec<Line<'a>> {
    if !room.focused {
        lines.truncate((room.height / 3).min(3));
        return lines;
    }
    let most = room.height.saturating_sub(listed).max(room.height / 2);
    if lines.len() > most {
        lines.truncate(most.saturating_sub(1));
        let zoom = scene.key(Pane::Runbook, Action::Zoom).filter(|_| scene.overview);
        let zoom = zoom.map_or(String::new(), |key| format!(": {key} makes room"));
        let words = format!("{} there is more{zoom}", scene.sign(Sign::Cut));
        lines.push(Row::plain(scene, room.width).rest(&words, Role::Warn).line());
    }
    lines
}

/// The first line of a window of `height` lines over `len` lines that keeps `cursor` in sight.
/// Depends on nothing else, so that drawing remembers nothing.
pub fn first(cursor: usize, len: usize, height: usize) -> usize {
    cursor.saturating_sub(height / 2).min(len.saturating_sub(height))
}

/// A line of cells, built from left to right.
pub struct Row<'s, 'a> {
    scene: &'s Scene<'a>,
    spans: Vec<Span<'a>>,
    used: usize,
    width: usize,
    over: Style,
}

impl<'s, 'a> Row<'s, 'a> {
    /// An empty line of `width` cells. A selected one begins with the cursor's sign, and is
    /// reversed while its pane gets the keys.
    pub fn new(scene: &'s Scene<'a>, room: Room, selected: bool) -> Self {
        let over = if selected && room.focused { scene.style(Role::Selected) } else { Style::new() };
        let row = Self { scene, spans: Vec::new(), used: 0, width: room.width, over };
        row.exact(if selected { scene.sign(Sign::Cursor) } else { " " }, 1, Role::Text)
    }

    /// A line without a cursor.
    pub fn plain(scene: &'s Scene<'a>, width: usize) -> Self {
        Self { scene, spans: Vec::new(), used: 0, width, over: Style::new() }
    }

    /// Cells that are still free.
    pub fn left(&self) -> usize {
        self.width - self.used
    }

    fn exact(mut self, text: &str, width: usize, role: Role) -> Self {
        let width = width.min(self.left());
        let text = fit::padded(text, width, self.scene.sign(Sign::Cut), self.scene.sign(Sign::Feed));
        self.spans.push(Span::styled(text, self.scene.style(role).patch(self.over)));
        self.used += width;
        self
    }

    /// A cell of exactly `width` and a blank after it.
    #[must_use]
    pub fn cell(self, text: &str, width: usize, role: Role) -> Self {
        self.exact(text, width, role).exact(" ", 1, Role::Text)
    }

    /// A number at the right edge of its cell.
    #[must_use]
    pub fn right(self, text: &str, width: usize, role: Role) -> Self {
        let blank = width.saturating_sub(unicode_width::UnicodeWidthStr::width(text));
        self.exact(" ", blank, role).exact(text, width - blank, role).exact(" ", 1, Role::Text)
    }

    /// A name that keeps its end where it is shortened.
    #[must_use]
    pub fn name(self, text: &str, width: usize, role: Role) -> Self {
        let short = fit::middle(text, width, self.scene.sign(Sign::Cut)).into_owned();
        self.cell(&short, width, role)
    }

    /// Words as wide as they are, and a blank.
    #[must_use]
    pub fn words(self, text: &str, role: Role) -> Self {
        let width = fit::start(text, self.left()).1;
        let cut = width < unicode_width::UnicodeWidthStr::width(text);
        let width = if cut { self.left() } else { width };
        self.cell(text, width, role)
    }

    /// Whatever is left, cut where it must be.
    #[must_use]
    pub fn rest(self, text: &str, role: Role) -> Self {
        let left = self.left();
        self.exact(text, left, role)
    }

    /// The line.
    pub fn line(mut self) -> Line<'a> {
        let left = self.left();
        if left > 0 && self.over != Style::new() {
            self.spans.push(Span::styled(" ".repeat(left), self.over));
        }
        Line::from(self.spans)
    }
}

/// How a live value stands.
pub enum Standing<'a, T> {
    /// There is something to show: the value, and whether it can still be trusted.
    Shown(&'a T, bool),
    /// There is nothing to show, and why.
    Nothing(Clean, Role),
}

/// How a live value stands, and the note for its heading.
pub fn standing<'a, T>(
    scene: &Scene<'_>,
    live: &'a Live<T>,
    whom: &'static str,
) -> (Standing<'a, T>, Option<Span<'static>>) {
    match live {
        Live::Absent(why) => (Standing::Nothing(why.sentence(), Role::Warn), None),
        Live::Waiting => (Standing::Nothing(say!("waiting for {}", whom), Role::Muted), None),
        Live::Seen { value, at } => (Standing::Shown(value, true), scene.old(*at)),
        Live::Lost { last, since, why } => {
            let note = lost(scene, *since);
            match last {
                Some((value, _)) => (Standing::Shown(value, false), Some(note)),
                None => (Standing::Nothing(why.sentence(), Role::Danger), Some(note)),
            }
        }
    }
}

/// The note of several watched values in one pane, and why the first of them is lost: the newest
/// change of all, or the first loss.
pub fn watched<'a, T: 'a>(
    scene: &Scene<'_>,
    all: impl Iterator<Item = &'a Live<T>> + Clone,
) -> (Option<Span<'static>>, Option<&'a Trouble>) {
    let gone = all.clone().find_map(|live| match live {
        Live::Lost { since, why, .. } => Some((*since, why)),
        _ => None,
    });
    match gone {
        Some((since, why)) => (Some(lost(scene, since)), Some(why)),
        None => (all.filter_map(Live::at).max().and_then(|at| scene.changed(at)), None),
    }
}

/// The note of a lost connection: since when.
pub fn lost(scene: &Scene<'_>, since: Timestamp) -> Span<'static> {
    let words = format!("{} lost {} ago", scene.sign(Sign::No), scene.span(since));
    Span::styled(words, scene.style(Role::Danger))
}

/// Puts a pane on the screen: its heading on the first line, its lines below.
pub fn put(buf: &mut Buffer, area: Rect, scene: &Scene<'_>, pane: Pane, sheet: Sheet<'_>) {
    let focused = scene.state.view.focus == pane;
    heading(buf, area, scene, (pane.title(), &sheet.count), sheet.note, focused);
    lines(buf, below(area), &sheet.lines);
}

/// What a heading leaves of an area.
pub fn below(area: Rect) -> Rect {
    Rect { y: area.y.saturating_add(1).min(area.bottom()), height: area.height.saturating_sub(1), ..area }
}

/// Puts lines on the screen, one below the other, cut at the area's edges.
pub fn lines(buf: &mut Buffer, area: Rect, lines: &[Line<'_>]) {
    let area = area.intersection(buf.area);
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        buf.set_line(area.x, y, line, area.width);
    }
}

fn heading(
    buf: &mut Buffer,
    area: Rect,
    scene: &Scene<'_>,
    title: (&str, &str),
    note: Option<Span<'_>>,
    focused: bool,
) {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return;
    }
    let width = usize::from(area.width);
    let (across, rule) = if focused { (Sign::Thick, Role::Focus) } else { (Sign::Across, Role::Rule) };
    buf.set_string(area.x, area.y, scene.sign(across).repeat(width), scene.style(rule));
    let role = if focused { Role::Focus } else { Role::Title };
    let mut words = vec![Span::styled(format!(" {} ", title.0), scene.style(role))];
    if !title.1.is_empty() {
        words.push(Span::styled(format!("{} ", title.1), scene.style(Role::Text)));
    }
    let (after, _) =
        buf.set_line(area.x + 1.min(area.width - 1), area.y, &Line::from(words), area.width.saturating_sub(2));
    let Some(note) = note else { return };
    let room = usize::from(area.right().saturating_sub(after)).saturating_sub(4);
    if room < 4 {
        return;
    }
    let text: Cow<'_, str> = fit::line(&note.content, room, scene.sign(Sign::Cut), " ");
    let text = format!(" {text} ");
    let taken = u16::try_from(unicode_width::UnicodeWidthStr::width(text.as_str())).unwrap_or(area.width);
    buf.set_string(area.right().saturating_sub(taken + 1).max(area.x), area.y, text, note.style);
}
