//! The tables, and the raw data as JSON lines.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process;

/// One program under the flood. `None` is what cannot be counted.
#[derive(Default)]
pub struct Row {
    pub what: String,
    /// Lines that it got; those that were written, where it does not say.
    pub lines: u64,
    /// Lines that it should have shown and did not.
    pub lost: Option<u64>,
    pub repeated: Option<u64>,
    pub cpu: Option<Duration>,
    pub peak: Option<f64>,
    /// Bytes a second to the terminal.
    pub bytes: Option<f64>,
    /// Keys that were answered after more than a quarter of a second.
    pub freezes: Option<usize>,
    /// The last line that was written is on its screen in the end.
    pub last: Option<bool>,
}

impl Row {
    /// Processor time for a million lines, in seconds.
    pub fn per_million(&self) -> Option<f64> {
        Some(self.cpu?.as_secs_f64() * 1e6 / self.lines.max(1) as f64)
    }
}

/// What was measured so far.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    goals: Vec<String>,
    absent: Vec<String>,
    raw: Option<File>,
    machine: String,
}

impl Report {
    /// A report whose raw data goes to this file.
    pub fn new(raw: Option<&str>) -> Self {
        let mut report =
            Self { raw: raw.map(|path| File::create(path).unwrap()), machine: process::machine(), ..Self::default() };
        report.raw(&json!({"part": "machine", "machine": report.machine}));
        report
    }

    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// A program that is not installed, or did not come to its log.
    pub fn absent(&mut self, program: &str) {
        self.raw(&json!({"part": program, "measured": false}));
        self.absent.push(program.to_owned());
    }

    /// Processor time beside that of kubectl, where both were measured.
    pub fn ratio(&mut self) {
        let of = |word: &str| self.rows.iter().find(|row| row.what.contains(word))?.per_million();
        let found = |word| Some(of(word)? / of("kubectl")?);
        let (engine, console) = (found("its engine"), found("the console"));
        for (what, ratio) in [("engine", engine), ("console", console)] {
            if let Some(ratio) = ratio {
                self.goal(&format!("processor time, {what} beside kubectl"), ratio, 1.5, "x");
            }
        }
    }

    /// A figure beside its goal: at most `most` of this unit.
    pub fn goal(&mut self, what: &str, found: f64, most: f64, unit: &str) {
        let met = if found <= most { "met" } else { "NOT MET" };
        self.goals.push(format!("| {what} | {} | {} | {met} |", quantity(found, unit), quantity(most, unit)));
    }

    /// Raw data of one part.
    pub fn raw(&mut self, value: &Value) {
        if let Some(raw) = &mut self.raw {
            writeln!(raw, "{value}").unwrap();
        }
        eprintln!("{value}");
    }

    /// Both tables, as Markdown.
    pub fn print(&self) {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        println!("Machine: {}\n", self.machine);
        println!(
            "| program | lines | lost | repeated | processor, s per million lines | peak memory | to the terminal | freezes | last line shown |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for row in &self.rows {
            println!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.what,
                row.lines,
                or_dash(row.lost.map(|lost| lost.to_string())),
                or_dash(row.repeated.map(|repeated| repeated.to_string())),
                or_dash(row.per_million().map(|cpu| format!("{cpu:.2}"))),
                or_dash(row.peak.map(|peak| format!("{peak:.0} MiB"))),
                or_dash(row.bytes.map(|bytes| format!("{:.1} KB/s", bytes / 1e3))),
                or_dash(row.freezes.map(|freezes| freezes.to_string())),
                or_dash(row.last.map(|last| if last { "yes" } else { "no" }.to_owned())),
            );
        }
        if !self.absent.is_empty() {
            println!("\nNot measured, because not installed or not at its log in time: {}.", self.absent.join(", "));
        }
        println!("\n| figure | found | goal | |\n|---|---|---|---|");
        self.goals.iter().for_each(|goal| println!("{goal}"));
    }
}

fn quantity(number: f64, unit: &str) -> String {
    let digits = if number.fract() == 0.0 || number >= 100.0 { 0 } else { 2 };
    format!("{number:.digits$} {unit}").trim_end().to_owned()
}
