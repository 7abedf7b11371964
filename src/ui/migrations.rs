//! The migration table: failed rows first, rows of one name together, the selected one's error below.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::text::Line;

use crate::app::action::Pane;
use crate::app::state::RowFilter;
use crate::app::{learn, migrations};
use crate::domain::ledger::Finding;
use crate::domain::live::Live;
use crate::domain::migration::Row as Migration;
use crate::domain::migration::{MigrationTable, RowState};
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, Sheet, Standing, first, standing, told, wrapped};
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
    let mut sheet = Sheet { count: counts(scene, table), note, ..Sheet::default() };
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
    sheet.lines.extend(beside(scene, room));
    sheet.lines.extend(images(scene, room));
    sheet.lines.push(head(scene, room));
    let shown = migrations::shown(scene.state);
    if shown.is_empty() {
        sheet.wrap(scene, room, "no row passes the filter", " ", Role::Muted);
        return sheet;
    }
    let cursor = scene.state.view.selected(Pane::Migrations, shown.len());
    let detail = shown.get(cursor).map(|row| detail(scene, room, row)).unwrap_or_default();
    let detail = told(scene, room, sheet.lines.len() + shown.len(), detail);
    let rows = room.height.saturating_sub(sheet.lines.len() + detail.len()).max(1);
    let from = first(cursor, shown.len(), rows);
    for i in from..shown.len().min(from + rows) {
        sheet.lines.push(line(scene, room, &shown, i, i == cursor, fresh));
    }
    sheet.lines.extend(detail);
    sheet
}

fn counts(scene: &Scene<'_>, table: &MigrationTable) -> String {
    let shown = migrations::shown(scene.state).len();
    let attention = scene.state.ledger.rows.iter().filter(|row| row.attention()).count();
    let (all, failed) = (table.rows.len(), table.failed().count());
    let mut words = match scene.state.view.rows {
        RowFilter::All => format!("{all} rows"),
        RowFilter::Ahead => format!("{shown} of {all} rows: ahead of the target"),
        RowFilter::Attention => format!("{shown} of {all} rows: to look at"),
    };
    if failed > 0 {
        words.push_str(&format!(", {failed} failed"));
    }
    if attention > failed && scene.state.view.rows != RowFilter::Attention {
        words.push_str(&format!(", {attention} to look at"));
    }
    words
}

/// What running pods told of their images, and where what they logged is not what was published.
fn images<'a>(scene: &Scene<'a>, room: Room) -> Vec<Line<'a>> {
    let state = scene.state;
    let told = state.learnt.all().map(|told| (learn::words(told), told.agreement.whole()));
    let logged = learn::counted(state).into_iter().filter(|(_, agrees)| !agrees);
    let lines = told.chain(logged).take(3).flat_map(|(words, agrees)| {
        let sign = if agrees { Sign::Yes } else { Sign::Warn };
        let role = if agrees { Role::Muted } else { Role::Warn };
        wrapped(scene, room.width, &format!("{} {words}", scene.sign(sign)), "", role).into_iter().take(2)
    });
    lines.collect()
}

/// What is to be known beside the rows: that they are not compared, and what has no row.
fn beside<'a>(scene: &Scene<'a>, room: Room) -> Vec<Line<'a>> {
    let plain = |words: &str, role| Row::plain(scene, room.width).rest(words, role).line();
    let mut lines = Vec::new();
    if let Some(version) = migrations::claim(scene.state) {
        let words = format!("that the target is {version} is what its label claims; its image is named by digest");
        lines.push(plain(&words, Role::Muted));
    }
    match &scene.state.schema {
        Live::Lost { why, .. } => {
            let words = format!("{} rows are not compared: {}", scene.sign(Sign::Warn), why.what);
            lines.push(plain(&words, Role::Warn));
        }
        Live::Waiting => lines.push(plain("rows are not compared with the database yet", Role::Muted)),
        Live::Seen { .. } | Live::Absent(_) => {}
    }
    let whole = scene.state.view.rows != RowFilter::All;
    let counsel = scene.state.ledger.counsel();
    for words in counsel.iter().take(if whole { counsel.len() } else { 1 }) {
        let lines_of = wrapped(scene, room.width, words.as_str(), "", Role::Text);
        lines.extend(lines_of.into_iter().take(if whole { 3 } else { 1 }));
    }
    let mut pending = scene.state.ledger.pending.iter().filter(|pending| pending.attention());
    if let Some(first) = pending.next() {
        let more = pending.count();
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let words = format!("{} {}: {}{more}", scene.sign(Sign::Warn), first.name, first.sentence());
        lines.extend(wrapped(scene, room.width, &words, "", Role::Warn).into_iter().take(3));
    }
    lines
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

/// Wide enough for when it started, for what it does, for when it finished, and for its checksum.
const STARTED: usize = 84;
const WEIGHT: usize = 98;
const FINISHED: usize = 114;
const CHECKSUM: usize = 124;

fn name_width(room: Room) -> usize {
    let beyond = |threshold, width| if room.width >= threshold { width } else { 0 };
    let wide = beyond(STARTED, 15) + beyond(WEIGHT, 13) + beyond(FINISHED, 15) + beyond(CHECKSUM, 9);
    room.width.saturating_sub(1 + 14 + 10 + 14 + wide + 1)
}

fn head<'a>(scene: &Scene<'a>, room: Room) -> Line<'a> {
    let muted = Role::Muted;
    let mut row = Row::new(scene, Room { focused: false, ..room }, false)
        .cell("state", 13, muted)
        .cell("migration", name_width(room), muted)
        .cell("from", 9, muted)
        .cell("do", 13, muted);
    if room.width >= STARTED {
        row = row.cell("started UTC", 14, muted);
    }
    if room.width >= WEIGHT {
        row = row.cell("does", 12, muted);
    }
    if room.width >= FINISHED {
        row = row.cell("finished", 14, muted);
    }
    if room.width >= CHECKSUM { row.cell("checksum", 8, muted).line() } else { row.line() }
}

fn line<'a>(scene: &Scene<'a>, room: Room, rows: &[&Migration], at: usize, chosen: bool, fresh: bool) -> Line<'a> {
    let row = rows[at];
    let finding = scene.state.ledger.of(&row.id);
    let (sign, role) = state(row.state);
    let (role, usual) = if fresh { (role, Role::Text) } else { (Role::Stale, Role::Stale) };
    let width = name_width(room);
    // Rows of one name stand together, so counting the neighbours tells which one this is.
    let same = |other: &&&Migration| other.name == row.name;
    let before = rows[..at].iter().rev().take_while(same).count();
    let after = rows[at + 1..].iter().take_while(same).count();
    let twin = if before + after > 0 { format!(" {} of {}", before + 1, before + after + 1) } else { String::new() };
    let name = crate::ui::fit::middle(row.name.as_str(), width.saturating_sub(twin.len()), scene.sign(Sign::Cut));
    let mut line = Row::new(scene, room, chosen)
        .cell(&format!("{} {}", scene.sign(sign), row.state.word()), 13, role)
        .cell(&format!("{name}{twin}"), width, if row.state == RowState::Failed { role } else { usual })
        .cell(&from(finding), 9, usual);
    let attention = finding.is_some_and(Finding::attention);
    let verb = finding.map_or("-", |finding| finding.advice.verb.word());
    let verb = if attention { format!("{}{verb}", scene.sign(Sign::Warn)) } else { verb.to_owned() };
    line = line.cell(&verb, 13, if attention && fresh { Role::Warn } else { usual });
    if room.width >= STARTED {
        line = line.cell(&moment(Some(row.started_at)), 14, usual);
    }
    if room.width >= WEIGHT {
        line = line.cell(finding.map_or("-", |finding| finding.weight.word()), 12, usual);
    }
    if room.width >= FINISHED {
        line = line.cell(&moment(row.finished_at), 14, usual);
    }
    if room.width >= CHECKSUM {
        line = line.cell(row.checksum.as_str().get(..8).unwrap_or(row.checksum.as_str()), 8, Role::Muted);
    }
    line.line()
}

/// The number of the version that brought a row; `+` when the target does not know it.
fn from(finding: Option<&Finding>) -> String {
    let Some(finding) = finding else { return "-".to_owned() };
    let version = finding.brought_by.as_ref().map_or("-".to_owned(), ToString::to_string);
    let number = version.split_once('-').map_or(version.as_str(), |(number, _)| number);
    let number = if number.is_empty() { "-" } else { number };
    format!("{number}{}", if finding.target_knows == Some(false) { "+" } else { "" })
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| at.to_zoned(TimeZone::UTC).strftime("%m-%d %H:%M:%S").to_string())
}

/// What there is to say about the selected row, and its error.
fn detail<'a>(scene: &Scene<'a>, room: Room, row: &Migration) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let mut say = |words: &str, role| lines.extend(wrapped(scene, room.width, words, "  ", role));
    if let Some(at) = row.rolled_back_at {
        say(&format!("rolled back at {}", moment(Some(at))), Role::Muted);
    }
    if let Some(finding) = scene.state.ledger.of(&row.id) {
        let role = if finding.attention() { Role::Warn } else { Role::Text };
        say(&format!("{}: {}", finding.advice.verb.word(), finding.advice.why), role);
    }
    if let Some(logs) = &row.logs {
        say(logs.as_str(), Role::Warn);
    }
    if let Some(finding) = scene.state.ledger.of(&row.id) {
        say(finding.origin(scene.state.ledger.target.as_ref()).as_str(), Role::Muted);
        if !finding.effects.is_empty() {
            say(finding.does().as_str(), Role::Muted);
        }
    }
    lines
}
