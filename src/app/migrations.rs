//! The migration table: selecting a row, asking for its deletion or resolution, and undo.

use jiff::Timestamp;
use tui_input::Input;

use crate::app::action::Pane;
use crate::app::effect::{Act, Effect};
use crate::app::evidence::{compared, evidence};
use crate::app::learn;
use crate::app::overlay::Overlay;
use crate::app::preflight;
use crate::app::state::{Anchor, RowFilter, State, Told, Tone};
use crate::domain::confirm::{Answer, Confirm, Confirmed, Subject as _};
use crate::domain::effects::Effect as Statement;
use crate::domain::image::{Image, Version};
use crate::domain::ledger::{Course, Finding, Ledger, Sources};
use crate::domain::migration::{self, Deletion, Kept, MigrationTable, Resolution, Row, RowState};
use crate::domain::name::MigrationId;
use crate::domain::record::ActKind;
use crate::domain::schema::LiveSchema;
use crate::domain::step::{Fact, StepKind};
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// The selected row.
pub fn selected(state: &State) -> Option<&Row> {
    let rows = shown(state);
    rows.get(state.view.selected(Pane::Migrations, rows.len())).copied()
}

/// The rows that the filter lets through, in the order of the table.
pub fn shown(state: &State) -> Vec<&Row> {
    let rows = state.migrations.last().map_or(&[][..], |table| &table.rows);
    let passes = |row: &&Row| match (state.view.rows, state.ledger.of(&row.id)) {
        (RowFilter::All, _) => true,
        (RowFilter::Ahead, finding) => finding.is_some_and(|finding| finding.target_knows == Some(false)),
        (RowFilter::Attention, finding) => finding.is_none_or(Finding::attention),
    };
    rows.iter().filter(passes).collect()
}

/// Shows other rows of the table; the selection stays with its row where that is still shown.
pub fn filter(state: &mut State) {
    let row = selected(state).map(|row| row.id.clone());
    state.view.rows = state.view.rows.next();
    let line = shown(state).iter().position(|other| Some(&other.id) == row.as_ref()).unwrap_or(0);
    let anchor = shown(state).get(line).map(|row| Anchor::Row(row.id.clone()));
    state.view.select(Pane::Migrations, line, anchor);
}

/// The table was read, or could not be.
pub fn seen(state: &mut State, result: Result<MigrationTable, Trouble>) {
    let now = state.now;
    let same = matches!(&result, Ok(table) if state.migrations.fresh() == Some(table));
    match result {
        Ok(table) => state.migrations.see(table, now),
        Err(why) => state.migrations.lose(why, now),
    }
    compare_unless(state, same);
}

/// What the database holds was read, or could not be.
pub fn seen_schema(state: &mut State, result: Result<LiveSchema, Trouble>) {
    let now = state.now;
    let same = matches!(&result, Ok(schema) if state.schema.fresh() == Some(schema));
    match result {
        Ok(schema) => state.schema.see(schema, now),
        Err(why) => state.schema.lose(why, now),
    }
    compare_unless(state, same);
}

/// Compares again where something is different: it was read again every few seconds, and comparing
/// two hundred rows takes longer than all else that a console does while nothing happens.
fn compare_unless(state: &mut State, same: bool) {
    let image = learn::next(state).and_then(|listing| listing.digest.as_ref());
    if !same || state.ledger.target != target(state) || state.ledger.image.as_ref() != image {
        compare(state);
    }
}

/// Compares the table with the database again.
pub fn compare(state: &mut State) {
    let Some(table) = state.migrations.last() else { return };
    let target = target(state);
    state.ledger = Ledger::compare(Sources {
        table,
        live: state.schema.last(),
        catalog: &state.setting.catalog,
        target: target.as_ref(),
        image: learn::next(state),
    });
}

/// The version that will run next: that of the first chosen target, or else of what is live.
pub fn target(state: &State) -> Option<Version> {
    let chosen =
        state.incident.targets.values().find_map(|target| target.image.as_str().parse::<Image>().ok()?.version());
    chosen.or_else(|| claim(state)).or_else(|| {
        let workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
        workloads.filter_map(|workload| workload.template.main()?.image.version()).next()
    })
}

/// What a label claims of that version, where the image is named by its digest alone.
pub fn claim(state: &State) -> Option<Version> {
    let mut workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    match workloads.clone().find(|workload| state.incident.targets.contains_key(&workload.reference)) {
        Some(workload) => preflight::aim(state, workload).filter(|(_, chosen)| *chosen)?.0.template.claim(),
        None => workloads.next()?.template.claim(),
    }
}

fn may_touch(state: &State) -> Result<&Row, Clean> {
    unlocked(state)?;
    selected(state).ok_or(Clean::ours("no row is selected"))
}

/// The table is seen right now, and no migration runs.
fn unlocked(state: &State) -> Result<(), Clean> {
    if let Some(why) = &state.setting.missing.database {
        return Err(why.sentence());
    }
    let Some(table) = state.migrations.fresh() else {
        return Err(Clean::ours("the table is not fresh; wait for the database to answer"));
    };
    match table.locks.iter().find(|lock| lock.granted) {
        Some(holder) => {
            Err(say!("a migration holds the lock (pid {}, {}); wait until it ends", holder.pid, holder.application))
        }
        None => Ok(()),
    }
}

/// Whether the selected row may be deleted.
pub fn may_delete(state: &State) -> Result<(), Clean> {
    match may_touch(state)?.state {
        RowState::Running => Err(Clean::ours("this migration runs; wait until it ends")),
        _ => Ok(()),
    }
}

/// Whether the selected row may be marked as rolled back.
pub fn may_resolve(state: &State) -> Result<(), Clean> {
    migration::may_resolve(may_touch(state)?)
}

/// The kept row that an undo would put back: the last one that was changed and not put back since.
pub fn may_undo(state: &State) -> Result<Kept, Clean> {
    let restored = |id: &str| {
        state.incident.acts.iter().rev().find_map(|(act, record)| match &record.kind {
            ActKind::RestoreRow { id: of, .. } if of == id && record.done() => Some(*act),
            _ => None,
        })
    };
    let mut kept = state.incident.acts.iter().rev().filter_map(|(act, record)| record.kept().map(|kept| (*act, kept)));
    kept.find(|(act, kept)| restored(kept.id.as_str()).is_none_or(|later| later < *act))
        .map(|(_, kept)| kept.clone())
        .ok_or(Clean::ours("no row was changed in this incident"))
}

/// A row was deleted or resolved by us: it is not what is shown until the table is read again.
pub fn row_changed(state: &mut State, id: &MigrationId) {
    if let Some(table) = state.migrations.last_mut() {
        table.rows.retain(|row| row.id != *id);
    }
    compare(state);
}

/// The table was read and no row is failed.
pub fn clean(state: &State) -> bool {
    evidence(state, Fact::NoFailedMigration).holds == Some(true)
}

/// The rows that say applied, whose objects are gone, and that are to be deleted; `None` while
/// nobody can tell.
pub fn stale(state: &State) -> Option<Vec<&Finding>> {
    compared(state).map(|ledger| ledger.stale().collect())
}

/// Whether a step that goes through the rows has nothing left to do.
pub fn done(state: &State, step: StepKind) -> bool {
    match step {
        StepKind::CleanMigrations => clean(state),
        StepKind::StaleRows => stale(state).is_some_and(|rows| rows.is_empty()),
        _ => false,
    }
}

/// Selects the first stale row, where the filter lets one through.
pub fn select_stale(state: &mut State) {
    let stale = stale(state).unwrap_or_default();
    let line = shown(state).iter().position(|row| stale.iter().any(|finding| finding.id == row.id));
    if let Some(line) = line {
        let anchor = shown(state).get(line).map(|row| Anchor::Row(row.id.clone()));
        state.view.select(Pane::Migrations, line, anchor);
    }
}

/// Shows the selected row in full.
pub fn show_selected(state: &mut State) -> Vec<Effect> {
    if let Some(row) = selected(state) {
        let (title, text) = (say!("{}", row.name), in_full(row, state.ledger.of(&row.id), target(state).as_ref()));
        state.overlays.push(Overlay::words(title, text));
    }
    Vec::new()
}

/// A row in full, a column a line, and what there is to say about it.
pub fn in_full(row: &Row, finding: Option<&Finding>, target: Option<&Version>) -> Clean {
    let at = |time: Option<Timestamp>| time.map_or(Clean::ours("-"), |time| say!("{}", time));
    let columns = say!(
        "id           {}\nname         {}\nstate        {}\nstarted      {}\nfinished     {}\nrolled back  {}\nsteps        {}\nchecksum     {}\nlogs         {}",
        row.id,
        row.name,
        row.state.word(),
        row.started_at,
        at(row.finished_at),
        at(row.rolled_back_at),
        row.steps,
        row.checksum,
        row.logs.clone().unwrap_or_else(|| Clean::ours("-"))
    );
    let Some(finding) = finding else { return columns };
    // What a file does besides says more than its `SET LOCAL`.
    let inert = finding.effects.iter().all(|effect| *effect == Statement::Nothing);
    let effects = finding.effects.iter().filter(|effect| inert || **effect != Statement::Nothing);
    let effects = effects.map(Statement::sentence).reduce(|all, one| say!("{}\n             {}", all, one));
    let deletion = Deletion { row: row.clone(), again: finding.deleted.clone() };
    let typed = deletion.phrases().into_iter().reduce(|all, one| say!("{}, then: {}", all, one));
    say!(
        "{}\norigin       {}\nweight       {}\ndoes         {}\nreality      {}\nadvice       {}: {}\nif deleted   {}\nto delete    type {}",
        columns,
        finding.origin(target),
        finding.weight.word(),
        effects.unwrap_or_else(|| Clean::ours("-")),
        finding.reality.sentence(),
        finding.advice.verb.word(),
        finding.advice.why,
        deletion.consequence(),
        typed.unwrap_or_default()
    )
}

/// The deletion of a row, with what it leads to as far as that is known.
pub fn deletion(state: &State, row: &Row) -> Deletion {
    let again = state.ledger.of(&row.id).map_or(Course::Untold, |finding| finding.deleted.clone());
    Deletion { row: row.clone(), again }
}

/// Opens the deletion dialog.
pub fn ask_delete(state: &mut State) -> Vec<Effect> {
    if let Some(row) = selected(state) {
        let confirm = Box::new(Confirm::new(deletion(state, row)));
        state.overlays.push(Overlay::Delete { confirm, input: Input::default() });
    }
    Vec::new()
}

/// Opens the resolution dialog.
pub fn ask_resolve(state: &mut State) -> Vec<Effect> {
    if let Some(row) = selected(state).cloned() {
        let confirm = Box::new(Confirm::new(Resolution { row }));
        state.overlays.push(Overlay::Resolve { confirm, input: Input::default() });
    }
    Vec::new()
}

/// Opens the undo dialog.
pub fn ask_undo(state: &mut State) -> Vec<Effect> {
    if let Ok(kept) = may_undo(state) {
        state.overlays.push(Overlay::Restore(kept));
    }
    Vec::new()
}

/// A phrase of the deletion dialog was typed.
pub fn delete_typed(state: &mut State, confirm: Confirm<Deletion>, typed: &str) -> Vec<Effect> {
    match typed_phrase(state, confirm, typed) {
        Ok(proof) => delete(state, proof),
        Err(asked) => {
            state.overlays.push(Overlay::Delete { confirm: Box::new(asked), input: Input::default() });
            Vec::new()
        }
    }
}

/// A phrase of the resolution dialog was typed.
pub fn resolve_typed(state: &mut State, confirm: Confirm<Resolution>, typed: &str) -> Vec<Effect> {
    match typed_phrase(state, confirm, typed) {
        Ok(proof) => resolve(state, proof),
        Err(asked) => {
            state.overlays.push(Overlay::Resolve { confirm: Box::new(asked), input: Input::default() });
            Vec::new()
        }
    }
}

/// Compares what was typed with what is asked for, and says so where it does not match.
pub(in crate::app) fn typed_phrase<T: crate::domain::confirm::Subject>(
    state: &mut State,
    confirm: Confirm<T>,
    typed: &str,
) -> Result<Confirmed<T>, Confirm<T>> {
    match confirm.answer(typed) {
        Answer::Yes(proof) => Ok(proof),
        Answer::More(asked) => Err(asked),
        Answer::No(asked) => {
            state.tell(Tone::Warn, Clean::ours("that does not match, letter by letter; nothing was changed"));
            Err(asked)
        }
    }
}

/// Deletes a row, once it was confirmed.
pub fn delete(state: &mut State, proof: Confirmed<Deletion>) -> Vec<Effect> {
    // The world went on while the name was typed.
    if let Err(why) = state.may_change().and_then(|()| unlocked(state)) {
        state.tell(Tone::Warn, why);
        return Vec::new();
    }
    let row = &proof.subject().row;
    let told = Told {
        kind: ActKind::DeleteRow { id: row.id.to_string(), name: row.name.to_string() },
        words: say!("delete the {} migration row {} ({})", row.state.word(), row.name, row.id),
        command: say!("DELETE FROM \"_prisma_migrations\" WHERE id = {}", say!("{}", row.id).sql_literal()),
        notes: vec![copy_of(row)],
    };
    let node = state.incident.at().cloned();
    vec![state.announce(Act::Delete(Box::new(proof)), node, told)]
}

/// Marks a row as rolled back, once it was confirmed.
pub fn resolve(state: &mut State, proof: Confirmed<Resolution>) -> Vec<Effect> {
    if let Err(why) = state.may_change().and_then(|()| unlocked(state)) {
        state.tell(Tone::Warn, why);
        return Vec::new();
    }
    let row = &proof.subject().row;
    let told = Told {
        kind: ActKind::ResolveRow { id: row.id.to_string(), name: row.name.to_string() },
        words: say!("mark the failed migration row {} as rolled back", row.name),
        command: say!("prisma migrate resolve --rolled-back \"{}\"", say!("{}", row.name).in_double_quotes()),
        notes: vec![copy_of(row)],
    };
    let node = state.incident.at().cloned();
    vec![state.announce(Act::Resolve(Box::new(proof)), node, told)]
}

/// Puts a kept row back.
pub fn restore(state: &mut State, kept: Kept) -> Vec<Effect> {
    if let Err(why) = state.may_change() {
        state.tell(Tone::Warn, why);
        return Vec::new();
    }
    let told = Told {
        kind: ActKind::RestoreRow { id: kept.id.to_string(), name: kept.name.to_string() },
        words: say!("put back the migration row {}", kept.name),
        command: say!("lastgood migrations restore {}", say!("{}", kept.id).shell_word()),
        notes: Vec::new(),
    };
    let node = state.incident.at().cloned();
    vec![state.announce(Act::Restore(kept), node, told)]
}

/// The masked copy of a row that the journal keeps.
fn copy_of(row: &Row) -> Clean {
    let at = |time: Option<Timestamp>| time.map_or(Clean::ours("null"), |time| say!("{}", time));
    say!(
        "row: id {}, name {}, started {}, finished {}, rolled back {}, steps {}, checksum {}, logs {}",
        row.id,
        row.name,
        row.started_at,
        at(row.finished_at),
        at(row.rolled_back_at),
        row.steps,
        row.checksum,
        row.logs.clone().unwrap_or_else(|| Clean::ours("null"))
    )
}
