//! What came of an act: written down, told, and followed up.

use crate::app::effect::{Effect, Look};
use crate::app::msg::Done;
use crate::app::overlay::Overlay;
use crate::app::state::{State, Tone};
use crate::app::{checks, migrations, status};
use crate::domain::cache::PODS_REMEMBER;
use crate::domain::record::{ActId, ActKind, End, Entry, Made};
use crate::domain::restore::Differing;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Many};

/// An act ended.
pub fn ended(state: &mut State, id: ActId, result: Result<Done, Trouble>) -> Vec<Effect> {
    if state.running.remove(&id).is_none() {
        return Vec::new();
    }
    match result {
        Ok(done) => succeeded(state, id, done),
        Err(why) => failed(state, id, &why),
    }
}

fn succeeded(state: &mut State, id: ActId, done: Done) -> Vec<Effect> {
    let (words, made) = told(&done);
    let tone = if matches!(done, Done::Completed(_)) { Tone::Plain } else { Tone::Good };
    state.tell(tone, words.clone());
    let mut effects = vec![state.commit(Entry::Finished { act: id, end: End::Done, words: words.to_string(), made })];
    match done {
        Done::Kept(kept) => {
            migrations::row_changed(state, &kept.id);
            effects.push(state.look(Look::Migrations));
        }
        Done::Restored(_) => effects.push(state.look(Look::Migrations)),
        Done::Applied(_) | Done::RolledBack(_) => effects.extend(checks::changed(state)),
        Done::Completed(completion) => checks::completed(state, Ok(*completion)),
        Done::Backup(_) | Done::RestoredDatabase(_) | Done::Emptied(_) => {}
    }
    effects
}

/// What an act made, in words and for the journal.
fn told(done: &Done) -> (Clean, Option<Made>) {
    match done {
        Done::Applied(applied) => (applied.words.clone(), Some(Made::Applied { generation: applied.generation })),
        Done::RolledBack(done) => (done.words.clone(), Some(Made::RolledBack { revision: done.revision })),
        Done::Restored(words) => (words.clone(), None),
        Done::Kept(row) => {
            (say!("{}: done; the row is kept and can be put back", row.name), Some(Made::Kept(row.clone())))
        }
        Done::Backup(proof) => (
            say!(
                "{}: {} bytes, read back in full, {} counted",
                proof.file,
                proof.bytes,
                Many(proof.rows.len(), "table")
            ),
            Some(Made::Backup {
                file: proof.file.to_string(),
                bytes: proof.bytes,
                sha256: proof.sha256.to_string(),
                left_out: proof.left_out.iter().map(Clean::to_string).collect(),
            }),
        ),
        Done::RestoredDatabase(restored) => (
            restored.words(),
            Some(Made::Database {
                into: restored.into.clone(),
                tables: restored.tables,
                rows: restored.rows,
                differences: restored.differences.as_ref().map(|all| all.iter().map(Differing::from).collect()),
                notes: restored.notes.iter().map(Clean::to_string).collect(),
            }),
        ),
        Done::Emptied(emptied) => (
            say!("{} answers deleted, {} there now; {}", emptied.deleted, emptied.left, Clean::ours(PODS_REMEMBER)),
            Some(Made::Emptied { deleted: emptied.deleted, left: emptied.left }),
        ),
        Done::Completed(completion) => (
            say!("{} answered as {}", completion.model, completion.id),
            Some(Made::Completed { id: completion.id.clone() }),
        ),
    }
}

fn failed(state: &mut State, id: ActId, why: &Trouble) -> Vec<Effect> {
    let end = if why.kind == TroubleKind::Unknown { End::Unknown } else { End::Failed };
    let words = why.sentence();
    state.tell(Tone::Bad, words.clone());
    let mut effects = vec![state.commit(Entry::Finished { act: id, end, words: words.to_string(), made: None })];
    match state.incident.acts.get(&id).map(|act| act.kind.clone()) {
        Some(ActKind::Complete) => checks::completed(state, Err(why.clone())),
        Some(kind) if end == End::Unknown && kind.changes() => {
            state.tell(Tone::Bad, say!("{}; enter settles it", words));
            effects.extend(checks::changed(state));
        }
        _ => {}
    }
    if state.setting.missing.database.is_none() {
        effects.push(state.look(Look::Migrations));
    }
    effects
}

/// Opens the question about the first act whose outcome nobody knows. False when there is none.
pub fn ask_unknown(state: &mut State) -> bool {
    let unknown = state.unknown().first().map(|(act, _)| *act);
    if let Some(act) = unknown {
        state.overlays.push(Overlay::Unknown(act));
    }
    unknown.is_some()
}

/// A person says what became of an act whose outcome was unknown.
pub fn settle(state: &mut State, act: ActId, happened: bool) -> Vec<Effect> {
    if !state.unknown().iter().any(|(unknown, _)| *unknown == act) {
        return Vec::new();
    }
    let words = status::fact_about(state, act);
    let mut effects = vec![state.commit(Entry::Settled { act, happened, words: words.to_string() })];
    effects.extend(checks::changed(state));
    ask_unknown(state);
    effects
}

/// The newest act that can be cancelled and was not yet.
fn cancellable(state: &State) -> Option<ActId> {
    state.long_acts().filter(|(_, _, running)| !running.cancelling).map(|(id, ..)| id).last()
}

/// Whether something can be cancelled.
pub fn may_cancel(state: &State) -> Result<(), Clean> {
    cancellable(state).map(|_| ()).ok_or(Clean::ours("nothing that can be cancelled is running"))
}

/// Cancels what takes long.
pub fn cancel(state: &mut State) -> Vec<Effect> {
    let Some(id) = cancellable(state) else { return Vec::new() };
    if let Some(running) = state.running.get_mut(&id) {
        running.cancelling = true;
    }
    vec![Effect::Cancel(id)]
}
