//! What the commands without a screen print: tables for people, objects for programs.

use std::io;

use jiff::Timestamp;
use serde::Serialize;

use crate::app::plan::Planned;
use crate::app::preflight::{self, Severity};
use crate::app::state::State;
use crate::cli::command::Format;
use crate::cli::output::{self, Align, Table};
use crate::domain::catalog::PackageVersion;
use crate::domain::checklist::{CheckId, Mark};
use crate::domain::confirm::Subject as _;
use crate::domain::effects::{Effect, Weight};
use crate::domain::ledger::{Advice, Course, Finding, Ledger, Reality};
use crate::domain::migration::{Deletion, MigrationTable, Row, RowState};
use crate::domain::name::{MigrationId, MigrationName};
use crate::domain::schema::Object;
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
pub(super) fn findings(findings: &[preflight::Finding]) -> String {
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

/// One migration row, as `migrations show --json` prints it.
#[derive(Serialize)]
pub(super) struct RowLine<'a> {
    id: &'a MigrationId,
    name: &'a MigrationName,
    state: RowState,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    rolled_back_at: Option<Timestamp>,
    steps: i32,
    checksum: &'a Clean,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<&'a Clean>,
    ledger: Option<FindingLine<'a>>,
}

/// What there is to say about a row, for programs.
#[derive(Serialize)]
struct FindingLine<'a> {
    brought_by: Option<Clean>,
    written_by: Option<(PackageVersion, PackageVersion)>,
    target_knows: Option<bool>,
    weight: Weight,
    does: Vec<Clean>,
    baselined: bool,
    reality: &'a Reality,
    advice: &'a Advice,
    if_deleted: &'a Course,
    /// What must be typed to delete it.
    to_delete: Vec<Clean>,
}

impl<'a> RowLine<'a> {
    pub fn new(row: &'a Row, finding: Option<&'a Finding>, with_logs: bool) -> Self {
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
            ledger: finding.map(|finding| FindingLine {
                brought_by: finding.brought_by.as_ref().map(|version| say!("{}", version)),
                written_by: finding.written_by,
                target_knows: finding.target_knows,
                weight: finding.weight,
                does: finding.effects.iter().map(Effect::sentence).collect(),
                baselined: finding.baselined,
                reality: &finding.reality,
                advice: &finding.advice,
                if_deleted: &finding.deleted,
                to_delete: Deletion { row: row.clone(), again: finding.deleted.clone() }.phrases(),
            }),
        }
    }
}

/// A migration without a row, as `migrations list --json` prints it.
#[derive(Serialize)]
pub(super) struct PendingLine<'a> {
    name: &'a MigrationName,
    state: &'static str,
    brought_by: Option<Clean>,
    there: &'a [Object],
    runs: &'a Course,
    words: Clean,
}

/// One element of `migrations list --json`: the rows, then what would run.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Listed<'a> {
    Row(Box<RowLine<'a>>),
    Pending(PendingLine<'a>),
}

/// Everything that `migrations list --json` prints.
pub(super) fn listed<'a>(table: &'a MigrationTable, ledger: &'a Ledger) -> Vec<Listed<'a>> {
    let rows = table.rows.iter().map(|row| Listed::Row(Box::new(RowLine::new(row, ledger.of(&row.id), false))));
    let pending = ledger.pending.iter().map(|pending| {
        Listed::Pending(PendingLine {
            name: &pending.name,
            state: "pending",
            brought_by: pending.brought_by.as_ref().map(|version| say!("{}", version)),
            there: &pending.there,
            runs: &pending.course,
            words: pending.sentence(),
        })
    });
    rows.chain(pending).collect()
}

/// The migration table for people.
pub(super) fn rows(table: &MigrationTable, ledger: &Ledger) -> String {
    let mut lines = Table::new([
        ("ID", Align::Left),
        ("STATE", Align::Left),
        ("STARTED", Align::Left),
        ("STEPS", Align::Right),
        ("FROM", Align::Left),
        ("TARGET", Align::Left),
        ("DO", Align::Left),
        ("NAME", Align::Left),
    ]);
    for row in &table.rows {
        let finding = ledger.of(&row.id);
        let from = finding.and_then(|finding| finding.brought_by.as_ref()).map(|version| say!("{}", version));
        let knows = match finding.and_then(|finding| finding.target_knows) {
            Some(true) => "knows",
            Some(false) => "newer",
            None => "-",
        };
        lines.row([
            say!("{}", row.id),
            Clean::ours(row.state.word()),
            say!("{:.0}", row.started_at),
            say!("{}", row.steps),
            from.unwrap_or_else(|| Clean::ours("-")),
            Clean::ours(knows),
            Clean::ours(finding.map_or("-", |finding| finding.advice.verb.word())),
            say!("{}", row.name),
        ]);
    }
    let mut text = String::new();
    for lock in &table.locks {
        let how = if lock.granted { "holds" } else { "waits for" };
        text.push_str(&format!("process {} ({}) {how} the migration lock\n", lock.pid, lock.application));
    }
    text.push_str(&lines.render());
    for finding in ledger.rows.iter().filter(|finding| finding.attention()) {
        text.push_str(&format!("{}: {}: {}\n", finding.name, finding.advice.verb.word(), finding.advice.why));
    }
    for pending in &ledger.pending {
        text.push_str(&format!("{}: {}\n", pending.name, pending.sentence()));
    }
    for words in ledger.counsel() {
        text.push_str(&format!("{words}\n"));
    }
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
