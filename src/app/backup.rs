//! Asking for a backup.

use crate::app::effect::{Act, Effect};
use crate::app::state::{State, Told, Tone};
use crate::domain::backup::BackupOrder;
use crate::domain::record::ActKind;
use crate::text::Clean;

/// Whether a backup may start now.
pub fn may_start(state: &State) -> Result<(), Clean> {
    if let Some(why) = &state.setting.missing.backup {
        return Err(why.sentence());
    }
    state.may_send()?;
    if state.long_acts().any(|(_, act, _)| matches!(act.kind, ActKind::Backup { .. })) {
        return Err(Clean::ours("a backup is running already"));
    }
    match state.migrations.fresh().and_then(|table| table.locks.iter().find(|lock| lock.granted)) {
        Some(holder) => Err(say!(
            "a migration is running (pid {}, {}): a dump would hold it up, and it the dump; wait until it ends",
            holder.pid,
            holder.application
        )),
        None => Ok(()),
    }
}

/// Starts a backup.
pub fn start(state: &mut State, without_spend_logs: bool) -> Vec<Effect> {
    if let Err(why) = may_start(state) {
        state.tell(Tone::Warn, why);
        return Vec::new();
    }
    let order = BackupOrder { without_spend_logs, at: state.now };
    let file = order.file_name();
    let (name, database) = (state.gate.clean(&file), state.setting.database.clone().unwrap_or_default());
    let leave_out = if without_spend_logs { " --exclude-table-data='public.\"LiteLLM_SpendLogs\"'" } else { "" };
    let told = Told {
        kind: ActKind::Backup { file },
        words: say!(
            "back up {} into {}{}",
            database,
            name,
            if without_spend_logs { ", without the rows of LiteLLM_SpendLogs" } else { "" }
        ),
        command: say!("pg_dump -F c -w{} -f {}/{}", leave_out, state.setting.folder, name),
        notes: Vec::new(),
    };
    let node = state.incident.at().cloned();
    vec![state.announce(Act::Backup(order), node, told)]
}
