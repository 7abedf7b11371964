//! The bytes from one picture to the next, as few as a plain terminal lets us write.
//!
//! crossterm's own encoder names every colour anew, resets at the end of every frame, writes blanks
//! one by one and knows no scrolling: over a slow line a log that moves by one line is a whole
//! screen. ratatui's `scrolling-regions` serves text above an inline viewport, which is no help in a
//! full screen. What is written here is in ECMA-48 and the DEC VT100 manual, which every terminal
//! and multiplexer knows: CUP, CUF, EL, ED, SGR, DECSTBM, line feed and reverse index.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr as _;

/// Unchanged cells that are written again rather than jumped over.
const SMALL_GAP: u16 = 4;
/// Blanks from which on the rest of a line is erased.
const ERASES: usize = 4;
/// Cells that scrolling must save before it is worth its own bytes.
const SCROLLS: usize = 24;
/// Modifiers that are seen on a blank.
const ON_BLANKS: Modifier = Modifier::REVERSED
    .union(Modifier::UNDERLINED)
    .union(Modifier::SLOW_BLINK)
    .union(Modifier::RAPID_BLINK)
    .union(Modifier::CROSSED_OUT);

/// How a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

impl Look {
    const PLAIN: Self = Self { fg: Color::Reset, bg: Color::Reset, modifier: Modifier::empty() };

    fn of(cell: &Cell) -> Self {
        Self { fg: cell.fg, bg: cell.bg, modifier: cell.modifier }
    }

    /// It can be had by adding to this one. Terminals have one weight of letters, and the last one
    /// named is in force, so a second one is never added to a first.
    fn builds_on(self, now: Self) -> bool {
        let weight = Modifier::BOLD | Modifier::DIM;
        let same_weight = (self.modifier & weight) == (now.modifier & weight) || !now.modifier.intersects(weight);
        self.modifier.contains(now.modifier) && same_weight
    }

    /// A blank looks the same in both.
    fn same_blank(self, other: Self) -> bool {
        self.bg == other.bg && !(self.modifier | other.modifier).intersects(ON_BLANKS)
    }
}

/// What the terminal does with the next letter: where it goes, and how it looks. `None` is not known.
#[derive(Debug, Default)]
pub(super) struct Pen {
    look: Option<Look>,
    at: Option<(u16, u16)>,
}

impl Pen {
    /// Empties the screen, whatever was on it.
    pub fn erase(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\x1b[m\x1b[2J");
        *self = Self { look: Some(Look::PLAIN), at: None };
    }

    /// Puts the cursor there. Never fails: a vector takes everything.
    pub fn to(&mut self, x: u16, y: u16, out: &mut Vec<u8>) {
        let _ = write!(out, "\x1b[{};{}H", y + 1, x + 1);
        self.at = Some((x, y));
    }

    /// Forgets where the cursor is.
    pub fn lift(&mut self) {
        self.at = None;
    }

    /// Changes the terminal from `shown` to `next`, which is as large. `shown` may be changed on
    /// the way; it is `next` for the caller from then on.
    pub fn change(&mut self, shown: &mut Buffer, next: &Buffer, out: &mut Vec<u8>) {
        if let Some(scroll) = Scroll::between(shown, next) {
            self.scroll(&scroll, out);
            scroll.apply(shown);
        }
        forget_halves(shown, next);
        let mut row: Vec<(u16, &Cell)> = Vec::new();
        let mut line = 0;
        for (x, y, cell) in shown.diff_iter(next) {
            if y != line {
                self.row(line, &row, next, out);
                row.clear();
                line = y;
            }
            row.push((x, cell));
        }
        self.row(line, &row, next, out);
    }

    /// The cells of one line that change, from left to right.
    fn row(&mut self, y: u16, cells: &[(u16, &Cell)], next: &Buffer, out: &mut Vec<u8>) {
        let tail = blank_from(next, y);
        let inside = cells.partition_point(|(x, _)| *x < tail);
        let (inside, blanks) = cells.split_at(inside);
        let erase = blanks.len() > ERASES;
        for (x, cell) in inside.iter().chain(if erase { &[] } else { blanks }) {
            self.go(*x, y, next, out);
            self.put(*x, y, cell, next.area.width, out);
        }
        if let (true, Some((x, _))) = (erase, blanks.first()) {
            self.look(Look::PLAIN, out);
            self.go(*x, y, next, out);
            out.extend_from_slice(b"\x1b[K");
        }
    }

    fn put(&mut self, x: u16, y: u16, cell: &Cell, width: u16, out: &mut Vec<u8>) {
        let look = Look::of(cell);
        let blank = cell.symbol() == " ";
        if !(blank && self.look.is_some_and(|now| now.same_blank(look))) {
            self.look(look, out);
        }
        out.extend_from_slice(cell.symbol().as_bytes());
        // Past the last column the cursor waits for the next letter, each terminal in its own way;
        // and terminals differ on the width of what is more than one letter.
        self.at = (is_simple(cell) && x + 1 < width).then_some((x + 1, y));
    }

    /// The shortest way to a cell.
    fn go(&mut self, x: u16, y: u16, next: &Buffer, out: &mut Vec<u8>) {
        match self.at {
            Some(at) if at == (x, y) => {}
            Some((from, line)) if line == y && from < x => {
                if x - from > SMALL_GAP || !self.again(from..x, y, next, out) {
                    let _ = write!(out, "\x1b[{}C", x - from);
                }
                self.at = Some((x, y));
            }
            Some((_, line)) if line + 1 == y && x == 0 => {
                out.extend_from_slice(b"\r\n");
                self.at = Some((x, y));
            }
            _ => self.to(x, y, out),
        }
    }

    /// Writes cells again that do not change, where they need no other look.
    fn again(&self, cells: std::ops::Range<u16>, y: u16, next: &Buffer, out: &mut Vec<u8>) -> bool {
        let row = || cells.clone().map(|x| &next[(x, y)]);
        let serves = |cell: &Cell| cell.symbol().len() == 1 && self.look == Some(Look::of(cell));
        if !row().all(serves) {
            return false;
        }
        row().for_each(|cell| out.extend_from_slice(cell.symbol().as_bytes()));
        true
    }

    /// SGR: from the look in force where that is shorter than from nothing.
    fn look(&mut self, look: Look, out: &mut Vec<u8>) {
        if self.look == Some(look) {
            return;
        }
        let anew = parameters(Look::PLAIN, look);
        let anew = if anew.is_empty() { anew } else { format!(";{anew}") };
        let further = self.look.filter(|now| look.builds_on(*now)).map(|now| parameters(now, look));
        let parameters = further.filter(|further| further.len() < anew.len()).unwrap_or(anew);
        let _ = write!(out, "\x1b[{parameters}m");
        self.look = Some(look);
    }

    /// Lines that come in are blank in the look in force, so that one is plain.
    fn scroll(&mut self, scroll: &Scroll, out: &mut Vec<u8>) {
        self.look(Look::PLAIN, out);
        let (top, bottom) = (scroll.top, scroll.bottom);
        let _ = write!(out, "\x1b[{};{}r", top + 1, bottom + 1);
        match scroll.by {
            By::Up(lines) => {
                self.to(0, bottom, out);
                out.extend(std::iter::repeat_n(b'\n', usize::from(lines)));
            }
            By::Down(lines) => {
                self.to(0, top, out);
                out.extend(b"\x1bM".repeat(usize::from(lines)));
            }
        }
        out.extend_from_slice(b"\x1b[r");
        self.at = None;
    }
}

/// A wide letter that goes leaves a half behind, and each terminal blanks that one in a look of its
/// own: it counts as not known, so that it is written.
fn forget_halves(shown: &mut Buffer, next: &Buffer) {
    let width = usize::from(shown.area.width).max(1);
    for at in 0..shown.content.len().min(next.content.len()) {
        let letter = &shown.content[at];
        if letter.symbol().len() == 1 || letter.symbol().width() < 2 || *letter == next.content[at] {
            continue;
        }
        let end = (at + letter.symbol().width()).min(at - at % width + width);
        shown.content[at + 1..end].fill_with(|| {
            let mut unknown = Cell::EMPTY;
            unknown.modifier = Modifier::all();
            unknown
        });
    }
}

/// One letter that every terminal draws in one cell.
fn is_simple(cell: &Cell) -> bool {
    let mut letters = cell.symbol().chars();
    letters.next().is_some() && letters.next().is_none() && cell.symbol().width() == 1
}

/// From where on a line is nothing but plain blanks.
fn blank_from(buffer: &Buffer, y: u16) -> u16 {
    let blank = |x: &u16| {
        let cell = &buffer[(*x, y)];
        cell.symbol() == " " && Look::of(cell).same_blank(Look::PLAIN)
    };
    let width = buffer.area.width;
    let from = width - u16::try_from((0..width).rev().take_while(blank).count()).unwrap_or(width);
    // The second half of a wide letter is no blank.
    let wide = from > 0 && buffer[(from - 1, y)].symbol().width() > 1;
    if wide { (from + 1).min(width) } else { from }
}

/// SGR parameters from one look to another that has at least its modifiers.
fn parameters(from: Look, to: Look) -> String {
    const CODES: [(Modifier, u8); 9] = [
        (Modifier::BOLD, 1),
        (Modifier::DIM, 2),
        (Modifier::ITALIC, 3),
        (Modifier::UNDERLINED, 4),
        (Modifier::SLOW_BLINK, 5),
        (Modifier::RAPID_BLINK, 6),
        (Modifier::REVERSED, 7),
        (Modifier::HIDDEN, 8),
        (Modifier::CROSSED_OUT, 9),
    ];
    let more = to.modifier.difference(from.modifier);
    let mut all: Vec<String> =
        CODES.iter().filter(|(modifier, _)| more.contains(*modifier)).map(|(_, code)| code.to_string()).collect();
    if from.fg != to.fg {
        all.push(colour(to.fg, 30));
    }
    if from.bg != to.bg {
        all.push(colour(to.bg, 40));
    }
    all.join(";")
}

/// A colour's parameter: from 30 on for letters, from 40 on for the ground.
fn colour(colour: Color, base: u8) -> String {
    let (bright, special, default) = (base + 60, base + 8, base + 9);
    match colour {
        Color::Reset => default.to_string(),
        Color::Black => base.to_string(),
        Color::Red => (base + 1).to_string(),
        Color::Green => (base + 2).to_string(),
        Color::Yellow => (base + 3).to_string(),
        Color::Blue => (base + 4).to_string(),
        Color::Magenta => (base + 5).to_string(),
        Color::Cyan => (base + 6).to_string(),
        Color::Gray => (base + 7).to_string(),
        Color::DarkGray => bright.to_string(),
        Color::LightRed => (bright + 1).to_string(),
        Color::LightGreen => (bright + 2).to_string(),
        Color::LightYellow => (bright + 3).to_string(),
        Color::LightBlue => (bright + 4).to_string(),
        Color::LightMagenta => (bright + 5).to_string(),
        Color::LightCyan => (bright + 6).to_string(),
        Color::White => (bright + 7).to_string(),
        Color::Indexed(index) => format!("{special};5;{index}"),
        Color::Rgb(r, g, b) => format!("{special};2;{r};{g};{b}"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Up(u16),
    Down(u16),
}

/// Lines of the whole width, `top` to `bottom`, that move.
#[derive(Debug, PartialEq, Eq)]
struct Scroll {
    top: u16,
    bottom: u16,
    by: By,
}

impl Scroll {
    /// The move that leaves the least to write, where one is worth it.
    fn between(shown: &Buffer, next: &Buffer) -> Option<Self> {
        let height = next.area.height;
        let (before, after) = (hashes(shown), hashes(next));
        let blank = hash(&vec![Cell::EMPTY; usize::from(next.area.width)]);
        let moved = |from: u16, to: u16| {
            let (from, to) = (usize::from(from), usize::from(to));
            after[to] != blank && after[to] != before[to] && after[to] == before[from]
        };
        let candidate = |by: By| {
            let (By::Up(lines) | By::Down(lines)) = by;
            let matching = (0..height - lines).filter(|upper| match by {
                By::Up(_) => moved(upper + lines, *upper),
                By::Down(_) => moved(*upper, upper + lines),
            });
            let (count, top, last) =
                matching.fold((0, height, 0), |(count, top, last), upper| (count + 1, upper.min(top), upper.max(last)));
            (count > 0).then_some((count, Self { top, bottom: last + lines, by }))
        };
        let all = (1..height).flat_map(|lines| [By::Up(lines), By::Down(lines)]).filter_map(candidate);
        let (_, scroll) = all.max_by_key(|(count, _): &(usize, Self)| *count)?;
        let mut moved = shown.clone();
        scroll.apply(&mut moved);
        let (with, without) = (moved.diff_iter(next).count(), shown.diff_iter(next).count());
        (with + SCROLLS < without).then_some(scroll)
    }

    /// Moves the lines in a picture; those that come in are blank.
    fn apply(&self, buffer: &mut Buffer) {
        let width = usize::from(buffer.area.width);
        let rows = &mut buffer.content[usize::from(self.top) * width..(usize::from(self.bottom) + 1) * width];
        match self.by {
            By::Up(lines) => {
                let cells = usize::from(lines) * width;
                rows.rotate_left(cells);
                let kept = rows.len() - cells;
                rows[kept..].fill(Cell::EMPTY);
            }
            By::Down(lines) => {
                let cells = usize::from(lines) * width;
                rows.rotate_right(cells);
                rows[..cells].fill(Cell::EMPTY);
            }
        }
    }
}

fn hashes(buffer: &Buffer) -> Vec<u64> {
    buffer.content.chunks(usize::from(buffer.area.width).max(1)).map(hash).collect()
}

fn hash(row: &[Cell]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for cell in row {
        (cell.symbol(), cell.fg, cell.bg, cell.modifier).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    const WIDTH: u16 = 24;
    const HEIGHT: u16 = 8;

    fn blank() -> Buffer {
        Buffer::empty(Rect::new(0, 0, WIDTH, HEIGHT))
    }

    /// A terminal that holds this picture, and the pen that drew it.
    fn drawn(picture: &Buffer) -> (vt100::Parser, Pen) {
        let (mut terminal, mut pen, mut out) = (vt100::Parser::new(HEIGHT, WIDTH, 0), Pen::default(), Vec::new());
        pen.erase(&mut out);
        pen.change(&mut blank(), picture, &mut out);
        terminal.process(&out);
        (terminal, pen)
    }

    fn attributes(cell: &vt100::Cell) -> (vt100::Color, vt100::Color, [bool; 5]) {
        let weights = [cell.bold(), cell.dim(), cell.italic(), cell.underline(), cell.inverse()];
        // The colour of a letter that is not there is not seen.
        let seen = cell.has_contents() && cell.contents() != " " || cell.inverse() || cell.underline();
        let fg = if seen { cell.fgcolor() } else { vt100::Color::Default };
        let weights = if seen { weights } else { [false; 5] };
        (fg, cell.bgcolor(), weights)
    }

    /// The terminal shows this picture, cell by cell.
    #[track_caller]
    fn assert_shows(terminal: &vt100::Parser, picture: &Buffer) {
        let (fresh, _) = drawn(picture);
        for y in 0..HEIGHT {
            let mut hidden = false;
            for x in 0..WIDTH {
                let (cell, wanted) = (&picture[(x, y)], fresh.screen().cell(y, x).unwrap());
                let found = terminal.screen().cell(y, x).unwrap();
                let letter =
                    |cell: &vt100::Cell| if cell.has_contents() { cell.contents().to_owned() } else { " ".into() };
                if !std::mem::take(&mut hidden) {
                    assert_eq!(letter(found), cell.symbol(), "{x},{y} in\n{}", terminal.screen().contents());
                    hidden = cell.symbol().width() == 2;
                }
                assert_eq!(attributes(found), attributes(wanted), "{x},{y} {:?}", cell.symbol());
            }
        }
    }

    fn looks() -> impl Strategy<Value = Style> {
        prop_oneof![
            4 => Just(Style::new()),
            1 => Just(Style::new().fg(Color::Red)),
            1 => Just(Style::new().fg(Color::DarkGray).bg(Color::LightBlue)),
            1 => Just(Style::new().add_modifier(Modifier::BOLD)),
            1 => Just(Style::new().add_modifier(Modifier::REVERSED)),
            1 => Just(Style::new().fg(Color::Indexed(99)).add_modifier(Modifier::UNDERLINED | Modifier::DIM)),
            1 => Just(Style::new().bg(Color::Rgb(1, 2, 3))),
        ]
    }

    fn texts() -> impl Strategy<Value = Vec<(u16, u16, String, Style)>> {
        let text = prop_oneof![
            4 => "[a-z ]{1,30}".prop_map(|text| text),
            1 => "[日本a ✓─]{1,8}".prop_map(|text| text),
            1 => Just(" ".repeat(usize::from(WIDTH))),
        ];
        prop::collection::vec((0..WIDTH, 0..HEIGHT, text, looks()), 0..14)
    }

    fn written(mut picture: Buffer, texts: &[(u16, u16, String, Style)]) -> Buffer {
        for (x, y, text, style) in texts {
            picture.set_string(*x, *y, text, *style);
        }
        picture
    }

    proptest! {
        #[test]
        fn the_terminal_ends_up_with_the_picture(first in texts(), second in texts(), lines in 0u16..HEIGHT) {
            let before = written(blank(), &first);
            let (mut terminal, mut pen) = drawn(&before);
            assert_shows(&terminal, &before);
            let mut moved = before.clone();
            if lines > 0 {
                Scroll { top: 0, bottom: HEIGHT - 1, by: By::Up(lines) }.apply(&mut moved);
            }
            let after = written(moved, &second[..second.len() / 3]);
            let mut out = Vec::new();
            pen.change(&mut before.clone(), &after, &mut out);
            terminal.process(&out);
            assert_shows(&terminal, &after);
        }
    }

    fn log(from: usize) -> Buffer {
        let mut picture = blank();
        picture.set_string(0, 0, "a heading that stays", Style::new().add_modifier(Modifier::BOLD));
        picture.set_string(0, HEIGHT - 1, "a footer that stays", Style::new());
        for y in 1..HEIGHT - 1 {
            picture.set_string(0, y, format!("line {:06} and more", from + usize::from(y)), Style::new());
        }
        picture
    }

    fn bytes(before: &Buffer, after: &Buffer) -> usize {
        let (mut terminal, mut pen) = drawn(before);
        let mut out = Vec::new();
        pen.change(&mut before.clone(), after, &mut out);
        terminal.process(&out);
        assert_shows(&terminal, after);
        out.len()
    }

    #[test]
    fn a_log_that_moves_scrolls_within_its_pane() {
        assert!(bytes(&log(100), &log(101)) <= 48, "{}", bytes(&log(100), &log(101)));
        assert!(bytes(&log(101), &log(100)) <= 48, "{}", bytes(&log(101), &log(100)));
        assert_eq!(Scroll::between(&log(0), &log(0)), None);
        assert_eq!(Scroll::between(&blank(), &log(0)), None);
    }

    #[test]
    fn the_half_of_a_wide_letter_that_went_is_written() {
        let (mut before, mut after) = (blank(), blank());
        before.set_string(20, 1, "✓日a", Style::new());
        after.set_string(20, 1, "a", Style::new().add_modifier(Modifier::REVERSED));
        after.set_string(21, 1, "a", Style::new().add_modifier(Modifier::REVERSED));
        after.set_string(23, 1, "a", Style::new());
        bytes(&before, &after);
    }

    #[test]
    fn a_letter_costs_a_place_and_itself() {
        let (before, mut after) = (log(100), log(100));
        after[(7, 3)].set_symbol("x");
        assert_eq!(bytes(&before, &after), "\x1b[4;8Hx".len());
        after[(7, 3)].set_style(Style::new().fg(Color::LightRed).add_modifier(Modifier::BOLD));
        assert!(bytes(&before, &after) <= "\x1b[4;8H\x1b[;1;91mx".len());
    }

    #[test]
    fn a_line_that_becomes_shorter_is_erased() {
        let (before, mut after) = (log(100), log(100));
        after.set_string(3, 2, " ".repeat(20), Style::new());
        assert_eq!(bytes(&before, &after), "\x1b[3;4H\x1b[K".len());
    }

    #[test]
    fn nothing_is_written_for_nothing() {
        assert_eq!(bytes(&log(1), &log(1)), 0);
    }
}
