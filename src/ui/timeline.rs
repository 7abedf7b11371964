//! The timeline: what was seen, decided and done, the newest at the bottom.

use jiff::tz::TimeZone;

use crate::app::action::Pane;
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, Sheet, first, wrapped};
use crate::ui::theme::Role;

/// The pane.
pub fn sheet<'a>(scene: &Scene<'a>, room: Room) -> Sheet<'a> {
    let state = scene.state;
    let moments = &state.incident.timeline;
    let mut sheet = Sheet::default();
    if let Some(why) = &state.journal.broken {
        sheet.wrap(scene, room, why.sentence().as_str(), "", Role::Danger);
    }
    if moments.is_empty() {
        sheet.wrap(scene, room, "nothing is written down yet", "", Role::Muted);
        return sheet;
    }
    sheet.count = format!("{} moments, {} on disk", moments.len(), state.journal.written);
    // The newest one is in sight until somebody moves the cursor.
    let moved = state.view.cursor.contains_key(&Pane::Timeline);
    let last = moments.len() - 1;
    let cursor = if moved { state.view.selected(Pane::Timeline, moments.len()) } else { last };
    let detail = moments.get(cursor).filter(|_| room.focused && moved).map(|moment| {
        let mut lines = wrapped(scene, room.width, moment.words.as_str(), "    ", Role::Text);
        lines.truncate((room.height / 3).max(1));
        lines
    });
    let rows = room.height.saturating_sub(sheet.lines.len() + detail.as_ref().map_or(0, Vec::len));
    let from = if moved { first(cursor, moments.len(), rows) } else { moments.len().saturating_sub(rows) };
    for (i, moment) in moments.iter().enumerate().skip(from).take(rows) {
        let clock = moment.at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string();
        let row = Row::new(scene, room, moved && i == cursor && room.focused).cell(&clock, 8, Role::Muted);
        sheet.lines.push(row.rest(moment.words.as_str(), Role::Text).line());
    }
    sheet.lines.extend(detail.unwrap_or_default());
    sheet
}
