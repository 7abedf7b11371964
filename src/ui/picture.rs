//! A drawn screen as a picture: one self-contained SVG, for the documentation and for reports.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use crate::ui::theme::{Palette, Theme};

/// Size of a cell, in the picture's units.
const CELL: (usize, usize) = (9, 19);
/// Room around the screen.
const MARGIN: usize = 12;

/// How a cell is drawn, resolved to what SVG knows.
#[derive(Clone, Copy, PartialEq)]
struct Look {
    ink: &'static str,
    ground: Option<&'static str>,
    weight: Modifier,
}

/// The screen as SVG: text in a monospaced font, colours by style, no link to anything outside.
pub fn svg(buffer: &Buffer, theme: &Theme) -> String {
    let (across, down) = (usize::from(buffer.area.width), usize::from(buffer.area.height));
    let (width, height) = (across * CELL.0 + 2 * MARGIN, down * CELL.1 + 2 * MARGIN);
    let (ink, ground) = defaults(theme);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"{ground}\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"15\" fill=\"{ink}\" xml:space=\"preserve\">\n"
    );
    for y in 0..down {
        line(&mut picture, buffer, theme, y, across);
    }
    picture.push_str("</g>\n</svg>\n");
    picture
}

/// Puts one line down, run by run of cells that look alike.
fn line(picture: &mut String, buffer: &Buffer, theme: &Theme, y: usize, across: usize) {
    let cells = &buffer.content()[y * across..(y + 1) * across];
    let mut from = 0;
    while from < across {
        let look = look(&cells[from], theme);
        let mut run = 0;
        // The cell after a wide letter belongs to it, whatever it looks like itself.
        while from + run < across && self::look(&cells[from + run], theme) == look {
            run += unicode_width::UnicodeWidthStr::width(cells[from + run].symbol()).max(1);
        }
        let run = run.min(across - from);
        let text: String = text(&cells[from..from + run]);
        put(picture, look, (from, y, run), text.trim_end());
        from += run;
    }
}

/// The letters of a run. The cell after a wide letter holds nothing of its own.
fn text(cells: &[Cell]) -> String {
    let mut text = String::new();
    let mut covered = 0;
    for cell in cells {
        if covered > 0 {
            covered -= 1;
            continue;
        }
        covered = unicode_width::UnicodeWidthStr::width(cell.symbol()).saturating_sub(1);
        text.push_str(cell.symbol());
    }
    text
}

fn put(picture: &mut String, look: Look, (x, y, run): (usize, usize, usize), text: &str) {
    let (left, top) = (MARGIN + x * CELL.0, MARGIN + y * CELL.1);
    // Writing to a `String` cannot fail.
    if let Some(ground) = look.ground {
        let _ = writeln!(
            picture,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"{ground}\"/>",
            run * CELL.0,
            CELL.1
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let mut style = String::new();
    for (weight, words) in [
        (Modifier::BOLD, " font-weight=\"bold\""),
        (Modifier::ITALIC, " font-style=\"italic\""),
        (Modifier::UNDERLINED, " text-decoration=\"underline\""),
        (Modifier::DIM, " opacity=\"0.65\""),
    ] {
        if look.weight.contains(weight) {
            style.push_str(words);
        }
    }
    let length = unicode_width::UnicodeWidthStr::width(text) * CELL.0;
    let _ = writeln!(
        picture,
        "<text x=\"{left}\" y=\"{}\" fill=\"{}\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\"{style}>{}</text>",
        top + CELL.1 - 5,
        look.ink,
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn defaults(theme: &Theme) -> (&'static str, &'static str) {
    match theme.palette() {
        Palette::Dark | Palette::Mono => ("#d6d9de", "#14171c"),
        Palette::Light => ("#1f2328", "#ffffff"),
    }
}

fn look(cell: &Cell, theme: &Theme) -> Look {
    let (ink, ground) = (colour(cell.fg), colour(cell.bg));
    let (plain_ink, plain_ground) = defaults(theme);
    let weight = cell.modifier.difference(Modifier::REVERSED);
    if cell.modifier.contains(Modifier::REVERSED) {
        Look { ink: ground.unwrap_or(plain_ground), ground: Some(ink.unwrap_or(plain_ink)), weight }
    } else {
        Look { ink: ink.unwrap_or(plain_ink), ground, weight }
    }
}

/// The sixteen colours as common terminals show them; `None` is the terminal's own.
fn colour(colour: Color) -> Option<&'static str> {
    Some(match colour {
        Color::Black => "#14171c",
        Color::Red => "#c4382f",
        Color::Green => "#2f8f46",
        Color::Yellow => "#b58407",
        Color::Blue => "#3465c0",
        Color::Magenta => "#9a4fb5",
        Color::Cyan => "#1d8f99",
        Color::Gray => "#b4b9c1",
        Color::DarkGray => "#7d8590",
        Color::LightRed => "#ff7b72",
        Color::LightGreen => "#56d364",
        Color::LightYellow => "#e3b341",
        Color::LightBlue => "#79b8ff",
        Color::LightMagenta => "#d2a8ff",
        Color::LightCyan => "#56d4dd",
        Color::White => "#f5f7fa",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn a_screen_becomes_one_picture() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        buffer.set_string(0, 0, "a<b&日本", Style::new().fg(Color::LightRed).add_modifier(Modifier::BOLD));
        buffer.set_string(0, 1, "here", Style::new().add_modifier(Modifier::REVERSED));
        let picture = svg(&buffer, &Theme::default());
        assert!(picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("fill=\"#ff7b72\" textLength=\"72\""), "{picture}");
        assert!(picture.contains("font-weight=\"bold\">a&lt;b&amp;日本</text>"), "{picture}");
        assert!(
            picture.contains("fill=\"#d6d9de\"/>") && picture.contains("fill=\"#14171c\" textLength=\"36\""),
            "{picture}"
        );
        assert!(!picture.contains("href") && !picture.contains("<script"));
    }
}
