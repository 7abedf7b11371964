//! Dialogs that ask: with everything that must be known before the key is pressed.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::text::Line;
use tui_input::Input;

use super::{Dialog, lists};
use crate::app::overlay::{Purpose, Refused, Review};
use crate::app::releases::{RefusedRollback, RollbackReview};
use crate::app::status::fact_about;
use crate::domain::acceptance::Acceptance;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::confirm::{Confirm, Subject as _};
use crate::domain::coupled::Doubts;
use crate::domain::environment::Kind;
use crate::domain::migration::{Deletion, Kept, Resolution, Row};
use crate::domain::record::ActId;
use crate::text::Clean;
use crate::ui::releases;
use crate::ui::scene::Scene;
use crate::ui::sheet::{fact, wrapped};
use crate::ui::theme::{Role, Sign};

/// A line of text.
pub fn text<'a>(scene: &Scene<'a>, width: usize, purpose: &Purpose, input: &'a Input) -> Dialog<'a> {
    let title = match purpose {
        Purpose::Arm => "Arm: allow changes",
        Purpose::Filter => "Filter the log",
        Purpose::Search => "Search the log",
        Purpose::Save { all: false } => "Save the lines that are shown",
        Purpose::Save { all: true } => "Save all lines that are kept",
        Purpose::Note => "Note for the journal",
        Purpose::Record { .. } => "The step is done",
        Purpose::Reason { .. } => "The step is left undone",
        Purpose::Image { .. } => "Set an image",
        Purpose::Variable { .. } => "Set or remove a variable",
    };
    let mut dialog = Dialog { input: Some(input), ..Dialog::new(title) };
    match purpose {
        Purpose::Arm => arm(scene, width, &mut dialog),
        Purpose::Filter => {
            dialog.say(scene, width, "Only lines that have all of this are shown; empty shows all.", Role::Text);
            query(scene, width, &mut dialog);
        }
        Purpose::Search => {
            dialog.say(scene, width, "Lines that have all of this are marked and jumped to.", Role::Text);
            query(scene, width, &mut dialog);
        }
        Purpose::Save { .. } => {
            let words = "A new file, readable by you alone; nothing is overwritten, secrets stay masked. \
                A name alone goes beside the journal of this incident, a path where it leads.";
            dialog.say(scene, width, words, Role::Text);
        }
        Purpose::Note => {
            dialog.say(scene, width, "It goes into the journal and the timeline as you write it.", Role::Text)
        }
        Purpose::Record { what, .. } if what.is_empty() => {
            dialog.say(scene, width, "What came of it? It goes into the journal; it may stay empty.", Role::Text);
        }
        Purpose::Record { what, .. } => {
            dialog.say(scene, width, &format!("Write down {what}. It goes into the journal."), Role::Text);
        }
        Purpose::Reason { .. } => dialog.say(scene, width, "Why is this step left without being done?", Role::Text),
        Purpose::Image { container, .. } => {
            dialog.say(
                scene,
                width,
                &format!("The image for container {container}. A dry run follows; nothing is sent yet."),
                Role::Text,
            );
        }
        Purpose::Variable { container, .. } => {
            let words = format!(
                "For container {container}: NAME=value sets, NAME- removes. A dry run follows; nothing is sent yet."
            );
            dialog.say(scene, width, &words, Role::Text);
        }
    }
    dialog.bottom = vec![Line::default(), Line::default()];
    dialog
}

/// What a filter and a search may be made of.
fn query<'a>(scene: &Scene<'a>, width: usize, dialog: &mut Dialog<'a>) {
    dialog.blank();
    for (what, words) in [
        ("words", "prisma \"two words\" /regex|expression/"),
        ("whose", "pod:x7k2p container:litellm"),
        ("level", "level:warning, and what is worse"),
        ("time", "since:10m after:03:06 before:03:07:30 (UTC)"),
        ("not", "! before any of them: !health !pod:x7k2p"),
    ] {
        dialog.fact(scene, width, what, words, Role::Muted);
    }
}

/// A change whose dry run is under way.
pub fn asking<'a>(scene: &Scene<'a>, width: usize, change: &Change) -> Dialog<'a> {
    let mut dialog = Dialog::new("Asking the API server");
    dialog.say(scene, width, &format!("What would come of it, by a dry run: {}", change.sentence()), Role::Text);
    dialog.say(scene, width, "Nothing is sent yet.", Role::Muted);
    dialog
}

fn review_title(review: &Review) -> &'static str {
    match review.preview.change.kind {
        ChangeKind::Revert { .. } => "Revert: review what will be sent",
        ChangeKind::Restart { .. } => "Restart: review what will be sent",
        ChangeKind::SetImage { .. } | ChangeKind::SetVariable { .. } => "Change: review what will be sent",
    }
}

fn arm<'a>(scene: &Scene<'a>, width: usize, dialog: &mut Dialog<'a>) {
    let setting = &scene.state.setting;
    let role = match setting.kind {
        Kind::Production => Role::Production,
        Kind::Staging => Role::Staging,
        Kind::Drill => Role::Drill,
    };
    dialog.say(scene, width, &format!(" {} {} ", setting.kind.word().to_uppercase(), setting.environment), role);
    dialog.blank();
    let context = setting.context.as_ref().map_or("in-cluster".to_owned(), ToString::to_string);
    dialog.fact(scene, width, "context", &context, Role::Text);
    if let Some(identity) = scene.state.identity.last() {
        dialog.fact(scene, width, "server", identity.server.as_str(), Role::Text);
        dialog.fact(scene, width, "as", identity.user.as_str(), Role::Text);
    }
    if let Some(namespace) = &setting.namespace {
        dialog.fact(scene, width, "namespace", namespace.as_str(), Role::Text);
    }
    for workload in &setting.workloads {
        dialog.fact(scene, width, "workload", &workload.to_string(), Role::Text);
    }
    dialog.blank();
    dialog.say(scene, width, "Armed, keys can change these. Each change is still shown before it is sent.", Role::Text);
    dialog.say(scene, width, &format!("Type the environment's name: {}", setting.environment), Role::Title);
}

/// A change that may be sent.
pub fn review<'a>(scene: &Scene<'a>, width: usize, review: &Review) -> Dialog<'a> {
    let change = &review.preview.change;
    let state = scene.state;
    let mut dialog = Dialog { scroll: review.scroll, ..Dialog::dangerous(review_title(review)) };
    dialog.say(scene, width, change.sentence().as_str(), Role::Title);
    dialog.fact(scene, width, "where", &place(scene), Role::Text);
    dialog.fact(scene, width, "command", change.command(state.setting.context.as_ref()).as_str(), Role::Command);
    if scene.old(review.at).is_some() {
        dialog.fact(scene, width, "dry run", &format!("{} ago", scene.span(review.at)), Role::Warn);
    }
    dialog.fact(scene, width, "guard", review.cleared.why().as_str(), Role::Good);
    let live = state.workload(&change.workload).and_then(|workload| workload.current());
    let undo = match (&change.kind, live) {
        (ChangeKind::Restart { .. }, _) => "nothing to undo: the template stays as it is".to_owned(),
        (_, Some(revision)) => format!("revert again, to revision {}, which is live now", revision.number),
        (_, None) => "revert again, to the revision that is live now".to_owned(),
    };
    dialog.fact(scene, width, "undo", &undo, Role::Text);
    if let Some(debt) = state.workload(&change.workload).and_then(|workload| change.debt(&workload.owner)) {
        dialog.fact(scene, width, "drift", debt.as_str(), Role::Text);
    }
    let warnings = &review.preview.warnings;
    let warned = if warnings.is_empty() {
        String::new()
    } else {
        format!("; warnings of the server, below: {}", warnings.len())
    };
    dialog.say(scene, width, &format!("{} fields change{warned}:", review.preview.diff.len()), Role::Muted);
    // The image is what most changes are about.
    let mut diff = review.preview.diff.clone();
    diff.sort_by_key(|change| !change.path.as_str().ends_with(".image"));
    dialog.middle = lists::changes(scene, width, &diff);
    for warning in warnings {
        let words = format!("{} {warning}", scene.sign(Sign::Warn));
        dialog.middle.extend(fact(scene, width, "warning", &words, Role::Warn));
    }
    dialog
}

fn place(scene: &Scene<'_>) -> String {
    let setting = &scene.state.setting;
    let namespace = setting.namespace.as_ref().map_or(String::new(), |name| format!(", namespace {name}"));
    let context = setting.context.as_ref().map_or("in-cluster".to_owned(), |context| format!("context {context}"));
    format!("{} {}: {context}{namespace}", setting.kind.word().to_uppercase(), setting.environment)
}

/// A change that was refused, and the step that would let it pass.
pub fn refused<'a>(scene: &Scene<'a>, width: usize, refused: &Refused) -> Dialog<'a> {
    let mut dialog = Dialog { scroll: refused.scroll, ..Dialog::dangerous("Refused: nothing was changed") };
    dialog.fact(scene, width, "asked", refused.change.sentence().as_str(), Role::Title);
    dialog.fact(scene, width, "why", refused.refusal.what.as_str(), Role::Danger);
    dialog.fact(scene, width, "remedy", refused.refusal.remedy.as_str(), Role::Text);
    if refused.refusal.protect_helps {
        let words = "p asks for the same change with DISABLE_SCHEMA_UPDATE=true in the same patch; it is shown again before it is sent";
        dialog.fact(scene, width, "offer", words, Role::Suggested);
    }
    if let Some(lost) = &refused.refusal.acceptance {
        at_stake(scene, width, lost, &mut dialog);
    }
    dialog
}

/// Every object that may be lost, a line each.
fn at_stake<'a>(scene: &Scene<'a>, width: usize, lost: &Acceptance, dialog: &mut Dialog<'a>) {
    let lines = lost.lines();
    let words = if lost.stake.is_empty() { say!("{} places", lines.len()) } else { lost.stake.counted() };
    dialog.fact(scene, width, "at stake", words.as_str(), Role::Danger);
    let objects = lines.iter().flat_map(|words| wrapped(scene, width, words.as_str(), "  ", Role::Warn));
    dialog.middle = objects.collect();
}

/// Losses to accept, each by its name.
pub fn accept<'a>(
    scene: &Scene<'a>,
    width: usize,
    confirm: &Confirm<Acceptance>,
    input: &'a Input,
    scroll: usize,
) -> Dialog<'a> {
    let mut dialog = Dialog { scroll, ..Dialog::dangerous("Accept a loss of data") };
    let lost = confirm.subject();
    dialog.fact(scene, width, "asked", lost.of.sentence().as_str(), Role::Title);
    at_stake(scene, width, lost, &mut dialog);
    let undo = "none: what is dropped comes back only from a backup";
    dialog.bottom = fact(scene, width, "undo", undo, Role::Danger);
    let (given, all) = (confirm.given(), lost.phrases().len());
    dialog.bottom.extend(fact(scene, width, "typed", &format!("{given} of {all}"), Role::Text));
    ask(scene, width, &confirm.wanted(), input, &mut dialog);
    dialog
}

/// A rollback of a Helm release that may be sent.
pub fn rollback<'a>(scene: &Scene<'a>, width: usize, review: &RollbackReview) -> Dialog<'a> {
    let title = "Roll the Helm release back: review what will be sent";
    let mut dialog = Dialog { scroll: review.scroll, ..Dialog::dangerous(title) };
    dialog.say(scene, width, review.cleared.rollback().sentence().as_str(), Role::Title);
    dialog.fact(scene, width, "where", &place(scene), Role::Text);
    for (name, words, role) in releases::review(scene, review) {
        dialog.fact(scene, width, name, &words, role);
    }
    let warned = if review.concerns.is_empty() {
        String::new()
    } else {
        format!("; {} things to know first", review.concerns.len())
    };
    dialog.say(scene, width, &format!("{} fields change{warned}:", review.lines.len()), Role::Muted);
    dialog.middle = releases::concerns(scene, width, review);
    dialog.middle.extend(lists::changes(scene, width, &review.lines));
    dialog
}

/// A rollback of a Helm release that was refused.
pub fn refused_rollback<'a>(scene: &Scene<'a>, width: usize, refused: &RefusedRollback) -> Dialog<'a> {
    let mut dialog = Dialog { scroll: refused.scroll, ..Dialog::dangerous("Refused: nothing was changed") };
    for (name, words, role) in releases::refused(refused) {
        dialog.fact(scene, width, name, &words, role);
    }
    if let Some(lost) = &refused.refusal.acceptance {
        at_stake(scene, width, lost, &mut dialog);
    }
    dialog
}

/// A change that something speaks against.
pub fn doubts<'a>(
    scene: &Scene<'a>,
    width: usize,
    asked: &Clean,
    confirm: &Confirm<Doubts>,
    input: &'a Input,
) -> Dialog<'a> {
    let mut dialog = Dialog::dangerous("Stopped: read this before you go on");
    dialog.fact(scene, width, "asked", asked.as_str(), Role::Title);
    for doubt in confirm.subject().each() {
        dialog.fact(scene, width, "why", doubt.why.as_str(), Role::Danger);
        dialog.fact(scene, width, "remedy", doubt.remedy.as_str(), Role::Text);
    }
    ask(scene, width, &confirm.wanted(), input, &mut dialog);
    dialog
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or("never".to_owned(), |at| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// The row in full.
fn row<'a>(scene: &Scene<'a>, width: usize, row: &Row, dialog: &mut Dialog<'a>) {
    let (sign, role) = crate::ui::migrations::state(row.state);
    dialog.fact(scene, width, "row", row.name.as_str(), Role::Title);
    dialog.fact(scene, width, "state", &format!("{} {}", scene.sign(sign), row.state.word()), role);
    dialog.fact(scene, width, "id", row.id.as_str(), Role::Text);
    dialog.fact(scene, width, "started", &moment(Some(row.started_at)), Role::Text);
    dialog.fact(scene, width, "finished", &moment(row.finished_at), Role::Text);
    if row.rolled_back_at.is_some() {
        dialog.fact(scene, width, "rolled bk", &moment(row.rolled_back_at), Role::Text);
    }
    dialog.fact(scene, width, "steps", &row.steps.to_string(), Role::Text);
    dialog.fact(scene, width, "checksum", row.checksum.as_str(), Role::Muted);
    if let Some(logs) = &row.logs {
        dialog.middle = fact(scene, width, "error", logs.as_str(), Role::Warn);
    }
}

/// The phrase to type, and how far it is typed.
pub fn ask<'a>(scene: &Scene<'a>, width: usize, wanted: &Clean, input: &'a Input, dialog: &mut Dialog<'a>) {
    dialog.input = Some(input);
    dialog.bottom.push(Line::default());
    dialog.bottom.extend(wrapped(scene, width, &format!("Type in full: {wanted}"), "", Role::Title));
    let typed = input.value();
    let (words, role) = if typed.is_empty() {
        (" ".to_owned(), Role::Muted)
    } else if typed == wanted.as_str() {
        (format!("{} it matches", scene.sign(Sign::Yes)), Role::Danger)
    } else if wanted.as_str().starts_with(typed) {
        (format!("{} so far it matches", scene.sign(Sign::Waiting)), Role::Muted)
    } else {
        (format!("{} it does not match", scene.sign(Sign::No)), Role::Warn)
    };
    dialog.bottom.extend(wrapped(scene, width, &words, "", role));
    dialog.bottom.push(Line::default());
}

/// A row to delete.
pub fn delete<'a>(scene: &Scene<'a>, width: usize, confirm: &Confirm<Deletion>, input: &'a Input) -> Dialog<'a> {
    let mut dialog = Dialog::dangerous("Delete a migration row");
    row(scene, width, &confirm.subject().row, &mut dialog);
    dialog.bottom = fact(scene, width, "leads to", confirm.subject().consequence().as_str(), Role::Danger);
    let undo = "the row is kept: `u` on it, or `lastgood migrations restore ID`, puts the exact row back";
    dialog.bottom.extend(fact(scene, width, "undo", undo, Role::Text));
    ask(scene, width, &confirm.wanted(), input, &mut dialog);
    dialog
}

/// A row to mark as rolled back.
pub fn resolve<'a>(scene: &Scene<'a>, width: usize, confirm: &Confirm<Resolution>, input: &'a Input) -> Dialog<'a> {
    let mut dialog = Dialog::dangerous("Mark a migration row as rolled back");
    row(scene, width, &confirm.subject().row, &mut dialog);
    let leads = "Prisma counts the migration as pending: the next start that migrates runs it again, as after `prisma migrate resolve --rolled-back`";
    dialog.bottom = fact(scene, width, "leads to", leads, Role::Warn);
    dialog.bottom.extend(fact(scene, width, "undo", "the row is kept: `u` on it puts the exact row back", Role::Text));
    ask(scene, width, &confirm.wanted(), input, &mut dialog);
    dialog
}

/// A kept row to put back.
pub fn restore<'a>(scene: &Scene<'a>, width: usize, kept: &Kept) -> Dialog<'a> {
    let mut dialog = Dialog::new("Put a migration row back");
    dialog.fact(scene, width, "row", kept.name.as_str(), Role::Title);
    dialog.fact(scene, width, "id", kept.id.as_str(), Role::Text);
    dialog.fact(scene, width, "from", scene.state.gate.clean(&kept.file).as_str(), Role::Text);
    dialog.blank();
    let words = "The exact row comes back as it was. It is refused when the migration ran again meanwhile.";
    dialog.say(scene, width, words, Role::Text);
    dialog
}

/// An act whose outcome nobody knows.
pub fn unknown<'a>(scene: &Scene<'a>, width: usize, act: ActId) -> Dialog<'a> {
    let mut dialog = Dialog::dangerous("Did it happen? Nobody knows");
    let Some(record) = scene.state.incident.acts.get(&act) else { return dialog };
    dialog.fact(scene, width, "act", &format!("{}: {}", act.0, record.words), Role::Title);
    dialog.fact(scene, width, "command", record.command.as_str(), Role::Command);
    dialog.fact(scene, width, "sent", &format!("{} ago", scene.span(record.started_at)), Role::Text);
    if let Some((_, words, _)) = &record.end {
        dialog.fact(scene, width, "answer", words.as_str(), Role::Warn);
    }
    dialog.fact(scene, width, "seen now", fact_about(scene.state, act).as_str(), Role::Suggested);
    dialog.blank();
    dialog.say(scene, width, "It was sent, and no answer came. It is never sent again by itself, and nothing else may change until you settle it.", Role::Text);
    dialog
}

/// How to back up.
pub fn backup<'a>(scene: &Scene<'a>, width: usize, without: bool) -> Dialog<'a> {
    let setting = &scene.state.setting;
    let mut dialog = Dialog::new("Back up the database");
    dialog.fact(scene, width, "database", setting.database.clone().unwrap_or_default().as_str(), Role::Title);
    dialog.fact(scene, width, "into", setting.folder.as_str(), Role::Text);
    dialog.fact(
        scene,
        width,
        "proof",
        "read back in full before it counts, with a sidecar that counts the rows",
        Role::Text,
    );
    let (words, means): (&str, &str) = if without {
        ("without the rows of LiteLLM_SpendLogs", "much smaller and faster; a restore would lose the spend history")
    } else {
        ("everything", "with every row of LiteLLM_SpendLogs, which is often most of the database")
    };
    dialog.fact(scene, width, "takes", words, Role::Title);
    dialog.fact(scene, width, "", means, if without { Role::Warn } else { Role::Muted });
    dialog
}

/// Checks that cost money.
pub fn consent<'a>(scene: &Scene<'a>, width: usize) -> Dialog<'a> {
    let mut dialog = Dialog::new("Call real models?");
    dialog.say(scene, width, "Two checks cannot be done without it:", Role::Text);
    dialog.fact(
        scene,
        width,
        "  health",
        "/health calls every configured model once; its counts are the evidence",
        Role::Text,
    );
    let model = scene.state.checks.settings().and_then(|settings| settings.models.first());
    let model = model.map_or(String::new(), |model| format!(" to {model}"));
    let words = format!("one short completion{model}, whose row must appear in LiteLLM_SpendLogs; at most three");
    dialog.fact(scene, width, "  spend", &words, Role::Text);
    dialog.blank();
    dialog.say(scene, width, "This costs money, normally cents. Without it these checks stay open.", Role::Warn);
    dialog
}

/// Leaving while something runs.
pub fn leave<'a>(scene: &Scene<'a>, width: usize) -> Dialog<'a> {
    let mut dialog = Dialog::dangerous("Leave while something runs?");
    for id in scene.state.running.keys() {
        let words = scene.state.incident.acts.get(id).map_or(Clean::default(), |act| act.words.clone());
        dialog.fact(scene, width, "running", words.as_str(), Role::Warn);
    }
    dialog.blank();
    let long = scene.state.long_acts().count();
    if long > 0 {
        dialog.say(scene, width, "What can be cancelled is cancelled first.", Role::Text);
    }
    if long < scene.state.running.len() || long == 0 {
        let words = "What was sent may still happen. It is recorded as unknown, and `lastgood resume` asks about it.";
        dialog.say(scene, width, words, Role::Text);
    }
    dialog
}
