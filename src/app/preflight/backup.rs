//! Whether there is a proved backup to fall back to.

use crate::app::evidence::evidence;
use crate::app::preflight::Finding;
use crate::app::state::State;
use crate::domain::step::Fact;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    let proved = evidence(state, Fact::BackupProved);
    if proved.holds == Some(true) {
        found.push(Finding::fine("backup-proved", proved.words));
    } else if state.setting.missing.backup.is_none() {
        found.push(Finding::warns(
            "backup-proved",
            proved.words,
            Clean::ours("without one, a change that goes wrong cannot be taken back"),
            Clean::ours("the runbook's backup step, or B"),
        ));
    }
}
