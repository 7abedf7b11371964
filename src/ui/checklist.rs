//! The checklist: what must be true after a rollback, with sign, word, evidence and age.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::action::Pane;
use crate::domain::checklist::{Check, Mark};
use crate::text::Clean;
use crate::ui::next;
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, Sheet, wrapped};
use crate::ui::theme::{Role, Sign};

/// How a mark is drawn.
pub fn mark(mark: Mark) -> (Sign, Role) {
    match mark {
        Mark::Waiting => (Sign::Waiting, Role::Muted),
        Mark::NeedsConsent => (Sign::Money, Role::Warn),
        Mark::Ticked => (Sign::Yes, Role::Good),
        Mark::Failed => (Sign::No, Role::Danger),
        Mark::Unknown => (Sign::Unknown, Role::Unknown),
        Mark::NotConfigured => (Sign::Absent, Role::Muted),
    }
}

fn word(mark: Mark) -> &'static str {
    match mark {
        Mark::NeedsConsent => "ask first",
        Mark::NotConfigured => "not here",
        mark => mark.word(),
    }
}

/// The pane.
pub fn sheet<'a>(scene: &Scene<'a>, room: Room) -> Sheet<'a> {
    let checks = scene.state.checks.list.checks();
    let (settled, all) = scene.state.checks.list.tally();
    let mut sheet = Sheet { count: format!("{settled} of {all}"), ..Sheet::default() };
    let cursor = scene.state.view.selected(Pane::Checklist, checks.len());
    let mut spare = room.height.saturating_sub(checks.len());
    for (i, check) in checks.iter().enumerate() {
        let chosen = i == cursor && room.focused;
        sheet.lines.push(row(scene, room, check, chosen));
        // The selected check tells all it has; the others what fails, where their line does not.
        let open = matches!(check.verdict.mark, Mark::Failed | Mark::Unknown | Mark::NeedsConsent);
        let most = match (chosen, room.width >= WIDE) {
            (true, _) => spare.min(8),
            (false, true) => 0,
            (false, false) => usize::from(open).min(spare),
        };
        let words = check.verdict.evidence.iter();
        let before = sheet.lines.len();
        if chosen {
            let told = words.flat_map(|words| wrapped(scene, room.width, words.as_str(), "    ", Role::Muted));
            sheet.lines.extend(told.take(most));
        } else {
            let cut = |words: &Clean| {
                Row::plain(scene, room.width).cell("", 3, Role::Text).rest(words.as_str(), Role::Muted).line()
            };
            sheet.lines.extend(words.take(most).map(cut));
        }
        spare -= sheet.lines.len() - before;
    }
    sheet.lines.truncate(room.height);
    sheet
}

/// From here on the first piece of evidence stands on the check's own line.
const WIDE: usize = 66;

fn row<'a>(scene: &Scene<'a>, room: Room, check: &Check, chosen: bool) -> Line<'a> {
    let (sign, role) = mark(check.verdict.mark);
    let age = check.seen_at.map(|at| scene.age(at)).filter(|_| check.verdict.mark != Mark::NotConfigured);
    let row = Row::new(scene, room, chosen).cell(scene.sign(sign), 1, role).cell(word(check.verdict.mark), 9, role);
    let mut row = row.cell(check.id.title(), 24, Role::Text);
    row = row.right(age.as_ref().map_or("", |age| age.as_str()), 4, Role::Muted);
    if check.unticked {
        row = row.words("unticked", Role::Danger);
    }
    match check.verdict.evidence.first() {
        Some(evidence) if room.width >= WIDE => row.rest(evidence.as_str(), Role::Muted).line(),
        _ => row.line(),
    }
}

/// One line for small screens: how the checks stand, and the next key.
pub fn summary(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let checks = scene.state.checks.list.checks();
    let mut spans = vec![Span::styled(" checks", scene.style(Role::Muted))];
    for wanted in [Mark::Ticked, Mark::Failed, Mark::Unknown, Mark::NeedsConsent, Mark::Waiting, Mark::NotConfigured] {
        let count = checks.iter().filter(|check| check.verdict.mark == wanted).count();
        if count > 0 {
            let (sign, role) = mark(wanted);
            spans.push(Span::styled(format!(" {}{count}", scene.sign(sign)), scene.style(role)));
        }
    }
    if scene.state.view.focus == Pane::Runbook {
        // The pane itself tells what comes next.
        let open = checks.iter().filter(|check| matches!(check.verdict.mark, Mark::Failed | Mark::Unknown));
        for check in open {
            let (sign, role) = mark(check.verdict.mark);
            spans.push(Span::styled(format!("  {} {}", scene.sign(sign), check.id.title()), scene.style(role)));
        }
        buf.set_line(area.x, area.y, &Line::from(spans), area.width);
        return;
    }
    let next = next::next(scene);
    spans.push(Span::styled("  next ", scene.style(Role::Muted)));
    match next.key {
        Some(key) => spans.push(Span::styled(format!("{key} "), scene.style(Role::Key))),
        None => spans.push(Span::styled("wait: ", scene.style(Role::Muted))),
    }
    let taken: usize = spans.iter().map(Span::width).sum();
    let left = usize::from(area.width).saturating_sub(taken);
    let words = crate::ui::fit::line(next.words.as_str(), left, scene.sign(Sign::Cut), " ").into_owned();
    spans.push(Span::raw(words));
    buf.set_line(area.x, area.y, &Line::from(spans), area.width);
}
