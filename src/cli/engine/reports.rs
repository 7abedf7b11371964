//! What the commands without a screen print: tables for people, objects for programs.

use std::io;

use jiff::Timestamp;
use serde::Serialize;

use crate::app::plan::Planned;
use crate::app::preflight::{Finding, Severity};
use crate::app::state::State;
use crate::cli::command::Format;
use crate::cli::output::{self, Align, Table};
use crate::domain::checklist::{CheckId, Mark};
use crate::domain::migration::{MigrationTable, Row};
use crate::domain::name::{MigrationId, MigrationName};
use crate::text::Clean;

/// One check, as `verify --json` prints it.
#[derive(Serialize)]
pub(super) struct CheckRow<'a> {
    id: CheckId,
    mark: Mark,
    evidence: &'a [Clean],
    seen_at: Option<Timestamp>,
}

/// The checklist.
pub(super) fn checks(state: &State) -> Vec<CheckRow<'_>> {
    let checks = state.checks.list.checks().iter();
    checks
        .map(|check| CheckRow {
            id: check.id,
            mark: check.verdict.mark,
            evidence: &check.verdict.evidence,
            seen_at: check.seen_at,
        })
        .collect()
}

/// The checklist as a table.
pub(super) fn checks_table(state: &State) -> String {
    let mut table = Table::new([("CHECK", Align::Left), ("MARK", Align::Left), ("EVIDENCE", Align::Left)]);
    for check in state.checks.list.checks() {
        let evidence = check.verdict.evidence.iter().cloned().reduce(|all, words| say!("{}; {}", all, words));
        table.row([Clean::ours(check.id.slug()), Clean::ours(check.verdict.mark.word()), evidence.unwrap_or_default()]);
    }
    table.render()
}

/// The findings of the preflight as lines.
pub(super) fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let sign = match finding.severity {
            Severity::Blocks => "BLOCKS ",
            Severity::Warns => "warning",
            Severity::Unknown | Severity::Waiting => "unknown",
            Severity::Absent => "absent ",
            Severity::Fine => "ok     ",
        };
        text.push_str(&format!("{sign}  {:<18} {}\n", finding.id, finding.what));
        for (word, words) in [("by", &finding.evidence), ("so", &finding.consequence), ("do", &finding.remedy)] {
            if !words.is_empty() {
                text.push_str(&format!("{:<9}{:<18} {word}: {words}\n", "", ""));
            }
        }
    }
    text
}

/// A plan as lines.
pub(super) fn plan(steps: &[Planned]) -> String {
    let mut text = String::new();
    for step in steps {
        text.push_str(&format!("{}. {} [{}; {}]\n", step.number, step.title, step.kind, step.risk.word()));
        for words in &step.does {
            text.push_str(&format!("     {}\n", words.as_str().replace('\n', "\n     ")));
        }
        for command in &step.commands {
            text.push_str(&format!("     $ {command}\n"));
        }
        text.push_str(&format!("     undo: {}\n     waits for: {}\n", step.undo, step.waits_for));
        for words in &step.blocked_by {
            text.push_str(&format!("     BLOCKED: {words}\n"));
        }
    }
    text
}

/// One migration row, as `migrations list --json` prints it.
#[derive(Serialize)]
pub(super) struct RowLine<'a> {
    id: &'a MigrationId,
    name: &'a MigrationName,
    state: crate::domain::migration::RowState,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    rolled_back_at: Option<Timestamp>,
    steps: i32,
    checksum: &'a Clean,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<&'a Clean>,
}

impl<'a> RowLine<'a> {
    pub fn new(row: &'a Row, with_logs: bool) -> Self {
        Self {
            id: &row.id,
            name: &row.name,
            state: row.state,
            started_at: row.started_at,
            finished_at: row.finished_at,
            rolled_back_at: row.rolled_back_at,
            steps: row.steps,
            checksum: &row.checksum,
            logs: row.logs.as_ref().filter(|_| with_logs),
        }
    }
}

/// The migration table for people.
pub(super) fn rows(table: &MigrationTable) -> String {
    let mut lines = Table::new([
        ("ID", Align::Left),
        ("STATE", Align::Left),
        ("STARTED", Align::Left),
        ("FINISHED", Align::Left),
        ("STEPS", Align::Right),
        ("NAME", Align::Left),
    ]);
    let at = |time: Option<Timestamp>| time.map_or(Clean::ours("-"), |time| say!("{:.0}", time));
    for row in &table.rows {
        lines.row([
            say!("{}", row.id),
            Clean::ours(row.state.word()),
            at(Some(row.started_at)),
            at(row.finished_at),
            say!("{}", row.steps),
            say!("{}", row.name),
        ]);
    }
    let mut text = String::new();
    for lock in &table.locks {
        let how = if lock.granted { "holds" } else { "waits for" };
        text.push_str(&format!("process {} ({}) {how} the migration lock\n", lock.pid, lock.application));
    }
    text.push_str(&lines.render());
    text
}

/// Tells the timeline as it grows, for people.
pub(super) struct Telling {
    format: Format,
    told: usize,
}

impl Telling {
    pub fn new(format: Format) -> Self {
        Self { format, told: 0 }
    }

    /// Prints what is new. Programs read the result at the end instead.
    pub fn tell(&mut self, state: &State) -> io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        let timeline = &state.incident.timeline;
        for moment in timeline.iter().skip(self.told) {
            let since = crate::domain::span::clock(moment.at.duration_since(state.incident.opened_at));
            output::print(&format!("{since}  {}\n", moment.words))?;
        }
        self.told = timeline.len();
        Ok(())
    }
}
