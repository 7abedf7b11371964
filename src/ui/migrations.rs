//! The migration table: failed rows first, rows of one name together, the selected one's error below.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::text::Line;

use crate::app::action::Pane;
use crate::domain::live::Live;
use crate::domain::migration::Row as Migration;
use crate::domain::migration::{MigrationTable, RowState};
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, Sheet, Standing, first, standing, wrapped};
use crate::ui::theme::{Role, Sign};

/// How the state of a row is drawn.
pub fn state(state: RowState) -> (Sign, Role) {
    match state {
        RowState::Failed => (Sign::No, Role::Danger),
        RowState::Running => (Sign::Arrow, Role::Warn),
        RowState::Applied => (Sign::Yes, Role::Good),
        RowState::RolledBack => (Sign::Absent, Role::Muted),
    }
}

/// The pane.
pub fn sheet<'a>(scene: &Scene<'a>, room: Room) -> Sheet<'a> {
    let (stands, note) = standing(scene, &scene.state.migrations, "the database");
    let (table, fresh) = match stands {
        Standing::Shown(table, fresh) => (table, fresh),
        Standing::Nothing(words, role) => return Sheet { note, ..Sheet::says(scene, room, words.as_str(), role) },
    };
    let mut sheet = Sheet { count: counts(table), note, ..Sheet::default() };
    if let Live::Lost { why, .. } = &scene.state.migrations {
        sheet.loss(scene, room, why);
    }
    if !table.exists {
        let words = say!("there is no table _prisma_migrations in schema {}", table.schema);
        sheet.wrap(scene, room, words.as_str(), "", Role::Warn);
        return sheet;
    }
    sheet.lines.push(lock(scene, room, table));
    if let Some(first) = table.unreadable.first() {
        let words =
            format!("{} {} rows cannot be shown: {}", scene.sign(Sign::Warn), table.unreadable.len(), first.what);
        sheet.lines.push(Row::plain(scene, room.width).rest(&words, Role::Warn).line());
    }
    if table.rows.is_empty() {
        sheet.wrap(scene, room, "the table has no rows", "", Role::Muted);
        return sheet;
    }
    sheet.lines.push(head(scene, room));
    let cursor = scene.state.view.selected(Pane::Migrations, table.rows.len());
    let detail = table.rows.get(cursor).map(|row| detail(scene, room, row)).unwrap_or_default();
    let rows = room.height.saturating_sub(sheet.lines.len() + detail.len()).max(1);
    let from = first(cursor, table.rows.len(), rows);
    for (i, row) in table.rows.iter().enumerate().skip(from).take(rows) {
        sheet.lines.push(line(scene, room, table, (i, row), i == cursor, fresh));
    }
    sheet.lines.extend(detail);
    sheet
}

fn counts(table: &MigrationTable) -> String {
    match table.failed().count() {
        0 => format!("{} rows", table.rows.len()),
        failed => format!("{} rows, {failed} failed", table.rows.len()),
    }
}

fn lock<'a>(scene: &Scene<'a>, room: Room, table: &MigrationTable) -> Line<'a> {
    let row = Row::plain(scene, room.width);
    match table.locks.iter().find(|lock| lock.granted) {
        None => row.rest("nobody holds the migration lock", Role::Muted).line(),
        Some(lock) => {
            let since = lock.since.map_or(String::new(), |since| format!(", for {}", scene.span(since)));
            let waiting = table.locks.iter().filter(|lock| !lock.granted).count();
            let waiting = if waiting > 0 { format!("; {waiting} wait for it") } else { String::new() };
            let words = format!(
                "{} a migration holds the lock: pid {}, {}, {}{since}{waiting}",
                scene.sign(Sign::Warn),
                lock.pid,
                lock.application,
                lock.session
            );
            row.rest(&words, Role::Warn).line()
        }
    }
}

/// Wide enough for when it finished, and for its checksum.
const FINISHED: usize = 84;
const CHECKSUM: usize = 100;

fn name_width(room: Room) -> usize {
    let others =
        1 + 14 + 15 + 6 + if room.width >= FINISHED { 15 } else { 0 } + if room.width >= CHECKSUM { 9 } else { 0 };
    room.width.saturating_sub(others + 1)
}

fn head<'a>(scene: &Scene<'a>, room: Room) -> Line<'a> {
    let muted = Role::Muted;
    let mut row = Row::new(scene, Room { focused: false, ..room }, false)
        .cell("state", 13, muted)
        .cell("migration", name_width(room), muted)
        .cell("started UTC", 14, muted);
    if room.width >= FINISHED {
        row = row.cell("finished", 14, muted);
    }
    row = row.right("steps", 5, muted);
    if room.width >= CHECKSUM { row.cell("checksum", 8, muted).line() } else { row.line() }
}

fn line<'a>(
    scene: &Scene<'a>,
    room: Room,
    table: &MigrationTable,
    (at, row): (usize, &Migration),
    chosen: bool,
    fresh: bool,
) -> Line<'a> {
    let (sign, role) = state(row.state);
    let (role, usual) = if fresh { (role, Role::Text) } else { (Role::Stale, Role::Stale) };
    let width = name_width(room);
    // Rows of one name stand together, so counting the neighbours tells which one this is.
    let same = |other: &&Migration| other.name == row.name;
    let before = table.rows[..at].iter().rev().take_while(same).count();
    let after = table.rows[at + 1..].iter().take_while(same).count();
    let twin = if before + after > 0 { format!(" {} of {}", before + 1, before + after + 1) } else { String::new() };
    let name = crate::ui::fit::middle(row.name.as_str(), width.saturating_sub(twin.len()), scene.sign(Sign::Cut));
    let mut line = Row::new(scene, room, chosen)
        .cell(&format!("{} {}", scene.sign(sign), row.state.word()), 13, role)
        .cell(&format!("{name}{twin}"), width, if row.state == RowState::Failed { role } else { usual })
        .cell(&moment(Some(row.started_at)), 14, usual);
    if room.width >= FINISHED {
        line = line.cell(&moment(row.finished_at), 14, usual);
    }
    line = line.right(&row.steps.to_string(), 5, usual);
    if room.width >= CHECKSUM {
        line = line.cell(row.checksum.as_str().get(..8).unwrap_or(row.checksum.as_str()), 8, Role::Muted);
    }
    line.line()
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| at.to_zoned(TimeZone::UTC).strftime("%m-%d %H:%M:%S").to_string())
}

/// The error of the selected row.
fn detail<'a>(scene: &Scene<'a>, room: Room, row: &Migration) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    if let Some(at) = row.rolled_back_at {
        lines.extend(wrapped(scene, room.width, &format!("rolled back at {}", moment(Some(at))), "  ", Role::Muted));
    }
    if row.state == RowState::Applied && row.steps == 0 {
        lines.extend(wrapped(scene, room.width, "no step was run: the row was baselined", "  ", Role::Muted));
    }
    if let Some(logs) = &row.logs {
        lines.extend(wrapped(scene, room.width, logs.as_str(), "  ", Role::Warn));
    }
    let most = if room.focused { room.height / 2 } else { room.height / 4 };
    lines.truncate(most);
    lines
}
