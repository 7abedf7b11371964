//! The journals of this machine: listed, taken up, written down; and runbooks proved.

mod markdown;

use std::path::{Path, PathBuf};

use color_eyre::eyre;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::command::{Document, Format};
use crate::cli::engine::Outcome;
use crate::cli::exit::Exit;
use crate::cli::output::{self, Align, Table, json};
use crate::domain::document::Fault;
use crate::domain::incident::Incident;
use crate::domain::migration::Kept;
use crate::domain::name::{EnvName, IncidentId, MigrationId, MigrationName, Slug};
use crate::domain::record::Line;
use crate::domain::runbook::{Library, Stage, bundled_runbooks};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::folder::StateFolder;
use crate::runtime::journal;
use crate::text::{Clean, Gate};

/// An incident that is kept on this machine.
pub(super) struct KeptIncident {
    pub id: IncidentId,
    pub folder: PathBuf,
    pub environment: EnvName,
    pub scenario: Option<Slug>,
    incident: Incident,
    lines: Vec<Line>,
}

impl KeptIncident {
    /// Where it was opened.
    pub fn place(&self) -> &[Clean] {
        &self.incident.place
    }
}

fn folded(id: IncidentId, folder: PathBuf, gate: &Gate) -> Result<KeptIncident, Trouble> {
    let lines = journal::read(&folder, gate)?;
    let mut incident = Incident::default();
    for line in &lines {
        incident.apply(line.at, &line.entry, gate);
    }
    let Some(environment) = incident.environment.clone() else {
        return Err(Trouble::new(
            TroubleKind::Invalid,
            say!("the journal of {} does not say what it was opened on", id),
        ));
    };
    Ok(KeptIncident { scenario: incident.scenario.clone(), environment, id, folder, incident, lines })
}

fn all(gate: &Gate) -> Result<Vec<KeptIncident>, Trouble> {
    let state = StateFolder::find()?;
    let kept = state.incidents().into_iter();
    Ok(kept.filter_map(|(shelf, id)| folded(id.clone(), state.incident(shelf, &id), gate).ok()).collect())
}

fn one(wanted: &IncidentId, gate: &Gate) -> Result<KeptIncident, Trouble> {
    let state = StateFolder::find()?;
    let found = state.incidents().into_iter().find(|(_, id)| id == wanted);
    let Some((shelf, id)) = found else {
        return Err(Trouble::new(TroubleKind::NotFound, say!("there is no incident {} on this machine", wanted))
            .remedy(Clean::ours("`lastgood incidents` lists them")));
    };
    let folder = state.incident(shelf, &id);
    folded(id, folder, gate)
}

/// The incident that `resume` takes up: the one named, or the newest that is not closed.
pub(super) fn resumable(wanted: Option<&IncidentId>, gate: &Gate) -> Result<KeptIncident, Trouble> {
    if let Some(wanted) = wanted {
        return one(wanted, gate);
    }
    all(gate)?.into_iter().find(|kept| kept.incident.closed.is_none()).ok_or_else(|| {
        Trouble::new(TroubleKind::NotFound, Clean::ours("there is no open incident on this machine")).remedy(
            Clean::ours("`lastgood incidents` lists all; `lastgood resume ID` takes up a closed one to look at it"),
        )
    })
}

/// The newest kept copy of a row of this environment, and the folder that it is in.
pub(super) fn kept_row(id: &MigrationId, environment: &EnvName, gate: &Gate) -> Option<(Kept, PathBuf)> {
    all(gate).ok()?.into_iter().filter(|kept| kept.environment == *environment).find_map(|incident| {
        let of_row = |kept: &&Kept| kept.id == *id;
        let kept = incident.incident.acts.values().rev().filter_map(|act| act.kept()).find(of_row)?.clone();
        Some((kept, incident.folder))
    })
}

/// The migration's name in a restore file, for a file that no journal knows.
pub(super) fn name_in(file: &Path, gate: &Gate) -> Result<MigrationName, Trouble> {
    #[derive(serde::Deserialize)]
    struct Named {
        name: MigrationName,
    }
    let shown = gate.clean(&file.display().to_string());
    let bad = || {
        Trouble::new(TroubleKind::Invalid, say!("{} is no restore file", shown))
            .remedy(Clean::ours("name the file that the deletion kept"))
    };
    let text = std::fs::read_to_string(file).map_err(|why| {
        Trouble::new(TroubleKind::NotFound, say!("{} cannot be read: {}", shown, gate.clean(&why.to_string())))
    })?;
    serde_json::from_str::<Named>(&text).map(|named| named.name).map_err(|_| bad())
}

#[derive(Serialize)]
struct Listed {
    id: IncidentId,
    environment: EnvName,
    kind: Clean,
    scenario: Option<Slug>,
    opened_at: Timestamp,
    closed_at: Option<Timestamp>,
    reached: Option<bool>,
    entries: u64,
    folder: Clean,
}

/// The journals of this machine.
pub(super) fn list(format: Format, gate: &Gate) -> eyre::Result<Outcome> {
    let kept = match all(gate) {
        Ok(kept) => kept,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let listed = kept.into_iter().map(|kept| Listed {
        environment: kept.environment,
        kind: kept.incident.kind.clone(),
        scenario: kept.scenario,
        opened_at: kept.incident.opened_at,
        closed_at: kept.incident.closed.as_ref().map(|(_, _, at)| *at),
        reached: kept.incident.closed.as_ref().map(|(reached, ..)| *reached),
        entries: kept.incident.entries,
        folder: gate.clean(&kept.folder.display().to_string()),
        id: kept.id,
    });
    match format {
        Format::Json => output::print(&json(&listed.collect::<Vec<_>>())?)?,
        Format::Text => {
            let left = Align::Left;
            let mut table = Table::new([("INCIDENT", left), ("KIND", left), ("OPENED", left), ("STATE", left)]);
            for incident in listed {
                let state = match incident.reached {
                    None => "open",
                    Some(true) => "reached",
                    Some(false) => "not reached",
                };
                table.row([
                    say!("{}", incident.id),
                    incident.kind,
                    say!("{:.0}", incident.opened_at),
                    Clean::ours(state),
                ]);
            }
            output::print(&table.render())?;
        }
    }
    Ok(Ok(Exit::Reached))
}

/// Writes an incident down.
pub(super) fn export(
    wanted: Option<&IncidentId>,
    document: Document,
    to: Option<&Path>,
    gate: &Gate,
) -> eyre::Result<Outcome> {
    let found = match wanted {
        Some(wanted) => one(wanted, gate),
        None => all(gate).and_then(|all| {
            all.into_iter()
                .next()
                .ok_or_else(|| Trouble::new(TroubleKind::NotFound, Clean::ours("there is no incident on this machine")))
        }),
    };
    let kept = match found {
        Ok(kept) => kept,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let text = match document {
        Document::Json => json(&exported(&kept, gate))?,
        Document::Markdown => markdown::written(&kept, gate),
    };
    let Some(to) = to else {
        output::print(&text)?;
        return Ok(Ok(Exit::Reached));
    };
    Ok(std::fs::write(to, text).map(|()| Exit::Reached).map_err(|why| {
        let (to, why) = (gate.clean(&to.display().to_string()), gate.clean(&why.to_string()));
        Trouble::new(TroubleKind::Disk, say!("{} cannot be written: {}", to, why))
    }))
}

#[derive(Serialize)]
struct Exported {
    incident: IncidentId,
    environment: EnvName,
    kind: Clean,
    scenario: Option<Slug>,
    opened_at: Timestamp,
    closed_at: Option<Timestamp>,
    reached: Option<bool>,
    stages: Vec<ExportedStage>,
    timeline: Vec<ExportedLine>,
}

#[derive(Serialize)]
struct ExportedStage {
    stage: &'static str,
    seconds: i64,
}

#[derive(Serialize)]
struct ExportedLine {
    at: Timestamp,
    actor: Clean,
    host: Clean,
    words: Clean,
    entry: serde_json::Value,
}

/// Everything in a journal passes the gate again: a file is outside too.
fn exported(kept: &KeptIncident, gate: &Gate) -> Exported {
    let incident = &kept.incident;
    let timeline = kept.lines.iter().zip(&incident.timeline).map(|(line, moment)| ExportedLine {
        at: line.at,
        actor: gate.clean(&line.actor),
        host: gate.clean(&line.host),
        words: moment.words.clone(),
        entry: masked(serde_json::to_value(&line.entry).unwrap_or_default(), gate),
    });
    Exported {
        incident: kept.id.clone(),
        environment: kept.environment.clone(),
        kind: incident.kind.clone(),
        scenario: kept.scenario.clone(),
        opened_at: incident.opened_at,
        closed_at: incident.closed.as_ref().map(|(_, _, at)| *at),
        reached: incident.closed.as_ref().map(|(reached, ..)| *reached),
        stages: stages(kept)
            .into_iter()
            .map(|(stage, time)| ExportedStage { stage: stage.word(), seconds: time.as_secs() })
            .collect(),
        timeline: timeline.collect(),
    }
}

fn masked(value: serde_json::Value, gate: &Gate) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(gate.scrub(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| masked(item, gate)).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (key, masked(value, gate))).collect())
        }
        other => other,
    }
}

fn stages(kept: &KeptIncident) -> Vec<(Stage, jiff::SignedDuration)> {
    let library = bundled_runbooks();
    let last = kept.lines.last().map_or(kept.incident.opened_at, |line| line.at);
    kept.incident.stage_times(last, |at| library.node(at).map(|node| node.stage))
}

/// Proves runbook files.
pub(super) fn lint(files: &[PathBuf], format: Format, gate: &Gate) -> eyre::Result<Outcome> {
    let mut faults: Vec<Fault> = Vec::new();
    for path in files {
        let shown = gate.clean(&path.display().to_string());
        match std::fs::read_to_string(path) {
            Ok(text) => match Library::lint(shown.as_str(), &text, gate) {
                Ok(runbook) if format == Format::Text => {
                    output::print(&format!("{shown}: sound, {} version {}\n", runbook.id, runbook.version))?
                }
                Ok(_) => {}
                Err(found) => faults.extend(found),
            },
            Err(why) => {
                let why = gate.clean(&why.to_string());
                return Ok(Err(Trouble::new(TroubleKind::NotFound, say!("{} cannot be read: {}", shown, why))));
            }
        }
    }
    match format {
        Format::Json => output::print(&json(&faults)?)?,
        Format::Text => {
            for fault in &faults {
                super::complain(&gate.clean(&fault.to_string()));
            }
        }
    }
    Ok(Ok(if faults.is_empty() { Exit::Reached } else { Exit::NotReached }))
}
