//! Dialogs: what is asked, everything needed to answer it, and the keys that answer.
//!
//! A dialog is a fixed part at the top, a part that scrolls, and a fixed part at the bottom. What
//! must be read before a key is pressed (the command, the undo, what must be typed) is fixed.

mod cache;
mod lists;
mod questions;
mod restore;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use tui_input::Input;

use crate::app::overlay::{Overlay, Purpose};
use crate::ui::scene::Scene;
use crate::ui::sheet::{fact, wrapped};
use crate::ui::theme::{Role, Sign};
use crate::ui::{fit, sheet};

/// A dialog, ready to be put on the screen.
struct Dialog<'a> {
    title: String,
    role: Role,
    /// Always in sight.
    top: Vec<Line<'a>>,
    /// Scrolled by as many lines.
    middle: Vec<Line<'a>>,
    scroll: usize,
    /// Always in sight, above the keys.
    bottom: Vec<Line<'a>>,
    /// The line that is typed into, the last one of the bottom.
    input: Option<&'a Input>,
}

impl<'a> Dialog<'a> {
    fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            role: Role::Focus,
            top: Vec::new(),
            middle: Vec::new(),
            scroll: 0,
            bottom: Vec::new(),
            input: None,
        }
    }

    fn dangerous(title: &str) -> Self {
        Self { role: Role::Danger, ..Self::new(title) }
    }

    fn say(&mut self, scene: &Scene<'a>, width: usize, words: &str, role: Role) {
        self.top.extend(wrapped(scene, width, words, "", role));
    }

    fn fact(&mut self, scene: &Scene<'a>, width: usize, name: &'static str, words: &str, role: Role) {
        self.top.extend(fact(scene, width, name, words, role));
    }

    fn blank(&mut self) {
        self.top.push(Line::default());
    }
}

/// Draws the dialogs, the top one last. Returns where the terminal's cursor belongs, when
/// something is typed.
pub fn draw(buf: &mut Buffer, body: Rect, scene: &Scene<'_>) -> Option<Position> {
    let top = scene.state.overlays.last()?;
    let width = body.width.saturating_sub(4).min(100);
    let inner = usize::from(width.saturating_sub(4));
    let mut dialog = dialog(scene, top, inner);
    // Where the fixed part leaves nothing to scroll in, all of it scrolls: nothing is hidden in silence.
    let fixed = dialog.top.len() + dialog.bottom.len() + 3;
    if fixed + dialog.middle.len().min(2) > usize::from(body.height) {
        let middle = std::mem::take(&mut dialog.middle);
        dialog.middle = std::mem::take(&mut dialog.top);
        dialog.middle.extend(middle);
    }
    put(buf, body, width, scene, &dialog, top)
}

fn dialog<'a>(scene: &Scene<'a>, overlay: &'a Overlay, width: usize) -> Dialog<'a> {
    match overlay {
        Overlay::Help { scroll } => lists::help(scene, width, *scroll),
        Overlay::Palette { input, selected } => lists::palette(scene, width, input, *selected),
        Overlay::Diff { title, lines, scroll } => lists::diff(scene, width, title.as_str(), lines, *scroll),
        Overlay::Words { title, text, scroll } => lists::words(scene, width, title.as_str(), text, *scroll),
        Overlay::Text { purpose, input } => questions::text(scene, width, purpose, input),
        Overlay::Asking { change, .. } => questions::asking(scene, width, change),
        Overlay::Review(review) => questions::review(scene, width, review),
        Overlay::Doubts { review, confirm, input } => {
            questions::doubts(scene, width, &review.preview.change.sentence(), confirm, input)
        }
        Overlay::RollbackDoubts { review, confirm, input } => {
            questions::doubts(scene, width, &review.cleared.rollback().sentence(), confirm, input)
        }
        Overlay::Refused(refused) => questions::refused(scene, width, refused),
        Overlay::Accept { confirm, input, scroll, .. } | Overlay::AcceptRollback { confirm, input, scroll, .. } => {
            questions::accept(scene, width, confirm, input, *scroll)
        }
        Overlay::Rollback(review) => questions::rollback(scene, width, review),
        Overlay::RefusedRollback(refused) => questions::refused_rollback(scene, width, refused),
        Overlay::Delete { confirm, input } => questions::delete(scene, width, confirm, input),
        Overlay::Resolve { confirm, input } => questions::resolve(scene, width, confirm, input),
        Overlay::Restore(kept) => questions::restore(scene, width, kept),
        Overlay::Unknown(act) => questions::unknown(scene, width, *act),
        Overlay::Backup { without_spend_logs } => questions::backup(scene, width, *without_spend_logs),
        Overlay::RestoreDatabase(restoring) => restore::restore(scene, width, restoring),
        Overlay::Lacking { act, scroll } => restore::lacking(scene, width, *act, *scroll),
        Overlay::Clear(clearing) => cache::clear(scene, width, clearing),
        Overlay::Consent => questions::consent(scene, width),
        Overlay::Leave => questions::leave(scene, width),
    }
}

/// The keys of a dialog, for its last line and for the footer.
pub fn keys(scene: &Scene<'_>, overlay: &Overlay) -> Vec<(String, String)> {
    let pairs: &[(&str, &str)] = match overlay {
        Overlay::Help { .. } | Overlay::Diff { .. } => &[("esc", "close"), ("up down pgup pgdn", "scroll")],
        Overlay::Palette { .. } => &[("enter", "do it"), ("up down", "select"), ("esc", "close")],
        Overlay::Text { purpose: Purpose::Arm, .. } => &[("enter", "arm"), ("esc", "stay read-only")],
        Overlay::Text { purpose: Purpose::Image { .. } | Purpose::Variable { .. }, .. } => {
            &[("enter", "preview the change"), ("esc", "change nothing")]
        }
        Overlay::Text { purpose: Purpose::Save { .. }, .. } => &[("enter", "save"), ("esc", "save nothing")],
        Overlay::Text { .. } => &[("enter", "take it"), ("esc", "leave it")],
        Overlay::Asking { .. } => &[("esc", "change nothing")],
        Overlay::Review(_) | Overlay::Rollback(_) if scene.state.armed() => {
            &[("y", "SEND IT"), ("esc", "change nothing"), ("up down", "scroll the diff")]
        }
        Overlay::Review(_) | Overlay::Rollback(_) => {
            &[("A", "arm, then y sends it"), ("esc", "change nothing"), ("up down", "scroll the diff")]
        }
        Overlay::Refused(refused) => match (refused.refusal.protect_helps, refused.refusal.acceptance.is_some()) {
            (true, true) => &[("p", "preview it protected"), ("t", "type each name"), ("esc", "change nothing")],
            (true, false) => &[("p", "preview it with DISABLE_SCHEMA_UPDATE=true"), ("esc", "change nothing")],
            (false, true) => &[("t", "type each name"), ("esc", "change nothing")],
            (false, false) => &[("esc", "close")],
        },
        Overlay::Accept { .. } | Overlay::AcceptRollback { .. } => {
            &[("enter", "take it, when typed in full"), ("up down", "scroll"), ("esc", "change nothing")]
        }
        Overlay::RefusedRollback(refused) if refused.refusal.acceptance.is_some() => {
            &[("y", "copy the remedy"), ("t", "type each name"), ("esc", "change nothing")]
        }
        Overlay::RefusedRollback(_) => &[("esc", "close"), ("y", "copy the remedy")],
        Overlay::Doubts { .. } | Overlay::RollbackDoubts { .. } => {
            &[("enter", "go on, when it is typed in full"), ("esc", "change nothing")]
        }
        Overlay::Delete { .. } => &[("enter", "DELETE, when it is typed in full"), ("esc", "change nothing")],
        Overlay::Resolve { .. } => &[("enter", "mark, when it is typed in full"), ("esc", "change nothing")],
        Overlay::Restore(_) => &[("y", "put the row back"), ("n", "leave it")],
        Overlay::Unknown(_) => &[("h", "it happened"), ("d", "it did not happen"), ("esc", "decide later")],
        Overlay::Backup { .. } => &[("enter", "start"), ("w", "with or without the spend log"), ("esc", "not now")],
        Overlay::RestoreDatabase(restoring) if restoring.plan.is_none() => &[("esc", "never mind")],
        Overlay::RestoreDatabase(_) if scene.state.armed() => {
            &[("enter", "RESTORE"), ("up down", "choose the backup"), ("esc", "make nothing")]
        }
        Overlay::RestoreDatabase(_) => {
            &[("A", "arm, then enter starts it"), ("up down", "choose"), ("esc", "make nothing")]
        }
        Overlay::Lacking { .. } => {
            &[("enter", "read: go on"), ("up down", "scroll"), ("n", "restore once more"), ("esc", "close")]
        }
        Overlay::Clear(clearing) if clearing.survey.is_none() => &[("esc", "never mind")],
        Overlay::Clear(clearing) if clearing.clearance().keys == 0 => {
            &[("enter", "go on"), ("up down", "choose the namespace"), ("esc", "close")]
        }
        Overlay::Clear(_) => {
            &[("enter", "DELETE, when it is typed in full"), ("up down", "choose"), ("esc", "delete nothing")]
        }
        Overlay::Consent => &[("y", "allow it"), ("n", "not now")],
        Overlay::Words { .. } => &[("enter", "close"), ("y", "copy"), ("up down", "scroll")],
        Overlay::Leave => &[("y", "leave"), ("n", "stay")],
    };
    pairs.iter().map(|(key, words)| ((*key).to_owned(), (*words).to_owned())).collect()
}

fn key_line<'a>(scene: &Scene<'a>, overlay: &Overlay, width: usize) -> Line<'a> {
    let mut row = sheet::Row::plain(scene, width);
    for (key, words) in keys(scene, overlay) {
        row = row.words(&key, Role::Key).words(&format!("{words} "), Role::Text);
    }
    row.line()
}

fn lines_of(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn put(
    buf: &mut Buffer,
    body: Rect,
    width: u16,
    scene: &Scene<'_>,
    dialog: &Dialog<'_>,
    overlay: &Overlay,
) -> Option<Position> {
    let inner_width = usize::from(width.saturating_sub(4));
    // Two lines of frame, a blank one, and the keys.
    let fixed = dialog.top.len() + dialog.bottom.len() + 4;
    let height = lines_of(fixed + dialog.middle.len()).min(body.height);
    let area = Rect { x: body.x + (body.width - width) / 2, y: body.y + (body.height - height) / 3, width, height };
    frame(buf, area, scene, dialog);
    let inner = Rect { x: area.x + 2, y: area.y + 1, width: width.saturating_sub(4), height: height.saturating_sub(2) };
    if inner.is_empty() {
        return None;
    }
    let room = usize::from(inner.height);
    let bottom = dialog.bottom.len().min(room.saturating_sub(1));
    let keys_at = room - 1;
    let bottom_at = keys_at - bottom;
    let top = dialog.top.len().min(bottom_at);
    let middle = bottom_at.saturating_sub(top);
    sheet::lines(buf, part(inner, 0, top), &dialog.top);
    let scroll = dialog.scroll.min(dialog.middle.len().saturating_sub(middle));
    sheet::lines(buf, part(inner, top, middle), &dialog.middle[scroll..]);
    let hidden = dialog.middle.len().saturating_sub(scroll + middle);
    if hidden > 0 && middle > 0 {
        let words = format!(" {} {hidden} more lines ", scene.sign(Sign::Cut));
        let x = area.right().saturating_sub(lines_of(words.len()) + 1).max(area.x);
        buf.set_string(x, inner.y + lines_of(top + middle - 1), words, scene.style(Role::Warn));
    }
    let skip = dialog.bottom.len() - bottom;
    sheet::lines(buf, part(inner, bottom_at, bottom), &dialog.bottom[skip..]);
    sheet::lines(buf, part(inner, keys_at, 1), &[key_line(scene, overlay, inner_width)]);
    let input = dialog.input.filter(|_| bottom > 0)?;
    Some(type_line(buf, part(inner, keys_at - 1, 1), scene, input))
}

fn part(inner: Rect, from: usize, height: usize) -> Rect {
    Rect { y: inner.y + lines_of(from), height: lines_of(height), ..inner }
}

/// The line that is typed into, scrolled so that its cursor is in sight.
fn type_line(buf: &mut Buffer, area: Rect, scene: &Scene<'_>, input: &Input) -> Position {
    let prompt = format!("{} ", scene.sign(Sign::Cursor));
    let room = usize::from(area.width).saturating_sub(3);
    let skip = input.visual_scroll(room.max(1));
    let mut hidden = 0;
    let shown: String = input
        .value()
        .chars()
        .skip_while(|c| {
            let wide = unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0);
            let skipped = hidden + wide <= skip;
            hidden += if skipped { wide } else { 0 };
            skipped && skip > 0
        })
        .collect();
    // What is typed passes the gate before it is drawn, like everything else.
    let shown = scene.state.gate.clean(&shown);
    let line = Line::from(vec![
        Span::styled(prompt, scene.style(Role::Key)),
        Span::styled(fit::start(shown.as_str(), room).0, scene.style(Role::Title)),
    ]);
    buf.set_line(area.x, area.y, &line, area.width);
    let at = lines_of(2 + input.visual_cursor().saturating_sub(skip));
    Position { x: area.x.saturating_add(at).min(area.right().saturating_sub(1)), y: area.y }
}

fn frame(buf: &mut Buffer, area: Rect, scene: &Scene<'_>, dialog: &Dialog<'_>) {
    let area = area.intersection(buf.area);
    if area.width < 2 || area.height < 2 {
        return;
    }
    let style = scene.style(dialog.role);
    let across = scene.sign(Sign::Across).repeat(usize::from(area.width - 2));
    let edge = |left, right| format!("{}{across}{}", scene.sign(left), scene.sign(right));
    for y in area.y..area.bottom() {
        buf.set_string(area.x, y, " ".repeat(usize::from(area.width)), ratatui::style::Style::reset());
        buf.set_string(area.x, y, scene.sign(Sign::Down), style);
        buf.set_string(area.right() - 1, y, scene.sign(Sign::Down), style);
    }
    buf.set_string(area.x, area.y, edge(Sign::TopLeft, Sign::TopRight), style);
    buf.set_string(area.x, area.bottom() - 1, edge(Sign::BottomLeft, Sign::BottomRight), style);
    let title = format!(" {} ", dialog.title);
    let title = fit::line(&title, usize::from(area.width).saturating_sub(4), scene.sign(Sign::Cut), " ");
    buf.set_string(area.x + 1, area.y, title, style);
}
