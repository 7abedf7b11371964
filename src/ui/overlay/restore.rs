//! The dialogs of a restore: which backup and what it takes, then what the new database lacks.

use super::Dialog;
use crate::app::restore::{self, Restoring};
use crate::domain::headway::size;
use crate::domain::record::ActId;
use crate::domain::span;
use crate::ui::scene::Scene;
use crate::ui::sheet::fact;
use crate::ui::theme::{Role, Sign};

/// Looking, then the question.
pub fn restore<'a>(scene: &Scene<'a>, width: usize, restoring: &'a Restoring) -> Dialog<'a> {
    let mut dialog = Dialog::new("Restore a backup into a new database");
    let Some(plan) = &restoring.plan else {
        dialog.say(
            scene,
            width,
            "Looking for proved backups, and what the server allows. Nothing is made yet.",
            Role::Muted,
        );
        return dialog;
    };
    for (i, dump) in plan.dumps.iter().enumerate() {
        let chosen = i == restoring.chosen;
        let sign = if chosen { scene.sign(Sign::Cursor) } else { " " };
        let age = span::short(scene.state.now.duration_since(dump.proof.taken_at));
        let words = format!("{sign} {:>5} ago  {}  {}", age.as_str(), dump.proof.file, size(dump.proof.bytes));
        let role = if chosen { Role::Title } else { Role::Text };
        dialog.middle.extend(fact(scene, width, if i == 0 { "backup" } else { "" }, &words, role));
    }
    dialog.scroll = restoring.chosen.saturating_sub(2);
    if let Some(dump) = restoring.dump() {
        let rows: u64 = dump.proof.rows.values().sum();
        let holds = format!("{:.0}: {} tables, {rows} rows", dump.proof.taken_at, dump.proof.rows.len());
        dialog.bottom.extend(fact(scene, width, "holds", &holds, Role::Text));
        if let Some(other) = restoring.foreign() {
            let words = format!("it is a backup of another database: {other}");
            dialog.bottom.extend(fact(scene, width, "but", &words, Role::Danger));
        }
        if let Some(tables) = dump.proof.left_out.iter().cloned().reduce(|all, one| say!("{}, {}", all, one)) {
            let words = format!("it was made without the rows of {tables}");
            dialog.bottom.extend(fact(scene, width, "but", &words, Role::Warn));
        }
    }
    dialog.bottom.extend(fact(scene, width, "beside", plan.beside.as_str(), Role::Text));
    dialog.bottom.extend(fact(scene, width, "into", &format!("{}, which is made for it", plan.into), Role::Title));
    let takes = format!(
        "about {} on that server, as the live one does; its free disk space is not known",
        size(plan.live_bytes)
    );
    dialog.bottom.extend(fact(scene, width, "takes", &takes, Role::Warn));
    for left in &plan.left {
        dialog.bottom.extend(fact(scene, width, "left over", left.words().as_str(), Role::Warn));
    }
    let by = format!("pg_restore {} on PostgreSQL {}", plan.pg_restore, plan.server_version);
    dialog.bottom.extend(fact(scene, width, "by", &by, Role::Text));
    let means = "the live database is only read; no URL is switched";
    dialog.bottom.extend(fact(scene, width, "leads to", means, Role::Good));
    dialog
}

/// What the new database lacks of the live one, table by table.
pub fn lacking<'a>(scene: &Scene<'a>, width: usize, act: ActId, scroll: usize) -> Dialog<'a> {
    let mut dialog = Dialog::new("What the restored database lacks");
    let record = scene.state.incident.acts.get(&act);
    if let Some((_, words, _)) = record.and_then(|record| record.end.as_ref()) {
        dialog.say(scene, width, words.as_str(), Role::Text);
    }
    let Some((differences, notes)) = restore::lacking(scene.state, act) else {
        dialog.say(scene, width, "It is only known to exist: count it by hand before it is used.", Role::Warn);
        return dialog;
    };
    match &differences {
        None => dialog.middle.extend(fact(scene, width, "lacks", "it could not be compared", Role::Danger)),
        Some(none) if none.is_empty() => {
            dialog.middle.extend(fact(scene, width, "lacks", "nothing, when it was compared", Role::Good));
        }
        Some(differences) => {
            for (i, difference) in differences.iter().enumerate() {
                let label = if i == 0 { "lacks" } else { "" };
                dialog.middle.extend(fact(scene, width, label, difference.words().as_str(), Role::Warn));
            }
        }
    }
    for (i, note) in notes.iter().enumerate() {
        dialog.middle.extend(fact(scene, width, if i == 0 { "notes" } else { "" }, note.as_str(), Role::Text));
    }
    dialog.scroll = scroll;
    let words =
        "What was written since is lost to whoever switches, until it is copied by hand. The live database goes on.";
    dialog.bottom.extend(fact(scene, width, "leads to", words, Role::Warn));
    dialog
}
