//! An incident as Markdown: for the report that is written when it is over.

use super::{KeptIncident, stages};
use crate::domain::incident::{ActRecord, Incident};
use crate::domain::record::Made;
use crate::domain::restore::{Differing, Since};
use crate::domain::span;
use crate::text::{Clean, Gate};

/// Words in a cell of a table.
fn cell(words: &Clean) -> String {
    words.as_str().replace('\n', "<br>").replace('|', "\\|")
}

/// The whole of it.
pub(super) fn written(kept: &KeptIncident, gate: &Gate) -> String {
    let incident = &kept.incident;
    let mut text = format!("# Incident {}\n\n", kept.id);
    text.push_str(&format!("- Environment: **{}** ({})\n", kept.environment, incident.kind));
    if let Some(scenario) = &kept.scenario {
        text.push_str(&format!("- Drill: {scenario}\n"));
    }
    for place in &incident.place {
        text.push_str(&format!("- {place}\n"));
    }
    text.push_str(&format!("- Opened: {:.0}\n", incident.opened_at));
    match &incident.closed {
        Some((reached, words, at)) => {
            let word = if *reached { "goal reached" } else { "goal not reached" };
            text.push_str(&format!("- Closed: {at:.0}, {word}: {words}\n"));
        }
        None => text.push_str("- Still open\n"),
    }
    text.push_str("\n## Time\n\n| stage | time |\n|---|---|\n");
    for (stage, time) in stages(kept) {
        text.push_str(&format!("| {} | {} |\n", stage.word(), span::clock(time)));
    }
    let acts: Vec<_> = incident.acts.iter().collect();
    if !acts.is_empty() {
        text.push_str("\n## Acts\n\n| act | what | command | outcome |\n|---|---|---|---|\n");
    }
    for (id, act) in acts {
        let end = match &act.end {
            None => Clean::ours("unknown: the console ended while it ran"),
            Some((_, words, _)) => words.clone(),
        };
        text.push_str(&format!("| {} | {} | `{}` | {} |\n", id.0, cell(&act.words), cell(&act.command), cell(&end)));
    }
    restored(incident, gate).into_iter().for_each(|part| text.push_str(&part));
    text.push_str("\n## Timeline (UTC)\n\n| time | who | what |\n|---|---|---|\n");
    for (line, moment) in kept.lines.iter().zip(&incident.timeline) {
        text.push_str(&format!("| {:.0} | {} | {} |\n", line.at, cell(&gate.clean(&line.actor)), cell(&moment.words)));
    }
    text
}

/// What each restored database lacks of the live one, table by table.
fn restored(incident: &Incident, gate: &Gate) -> Vec<String> {
    let part = |act: &ActRecord| {
        let Some(Made::Database { into, tables, rows, differences, notes }) = &act.made else { return None };
        let mut text = format!("\n## Restored database {into}\n\n");
        if let Some((_, _, at)) = &act.end {
            text.push_str(&format!("{tables} tables and {rows} rows, as the sidecar counts them, at {at:.0}.\n"));
        }
        text.push_str(&lacking(differences.as_deref(), gate));
        notes.iter().for_each(|note| text.push_str(&format!("\n- {}\n", gate.clean(note))));
        Some(text)
    };
    incident.acts.values().filter_map(part).collect()
}

fn lacking(differences: Option<&[Differing]>, gate: &Gate) -> String {
    let differences = match differences {
        None => return "What the live database holds besides was not counted.\n".to_owned(),
        Some([]) => return "The live database held nothing that it lacks.\n".to_owned(),
        Some(differences) => differences,
    };
    let mut text = "What the live database held besides:\n\n| table | rows live | rows restored | made since the backup | changed since |\n|---|---|---|---|---|\n".to_owned();
    let count = |rows: Option<u64>| rows.map_or("-".to_owned(), |rows| rows.to_string());
    let since = |since: &Option<Since>| match since {
        Some(since) => cell(&say!("{} by {}", since.rows, since.column)),
        None => "-".to_owned(),
    };
    for one in differences.iter().map(|one| one.read(gate)) {
        let (table, live, restored) = (cell(&one.table), count(one.live), count(one.restored));
        text.push_str(&format!(
            "| {table} | {live} | {restored} | {} | {} |\n",
            since(&one.newer),
            since(&one.changed)
        ));
    }
    text.push_str("\n`-`: the table is not there, or no column dates its rows.\n");
    text
}
