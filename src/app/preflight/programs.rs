//! The parts of the environment and the programs on this machine, and whether they are recent enough.

use crate::app::preflight::{self, Finding};
use crate::app::state::State;
use crate::domain::step::StepKind;
use crate::domain::trouble::Trouble;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    let missing = &state.setting.missing;
    let (cluster, database) = (preflight::has_cluster(state), preflight::has_database(state));
    let gateway = state.setting.gateway.is_some();
    let rows: [(&'static str, StepKind, &Option<Trouble>, &'static str, bool); 3] = [
        ("backup", StepKind::Backup, &missing.backup, "pg_dump and pg_restore are there", database),
        ("gateway", StepKind::Verify, &missing.gateway, "the gateway is configured", gateway),
        ("workloads", StepKind::Revert, &missing.workloads, "Deployments can be changed", cluster),
    ];
    for (id, step, why, fine, configured) in rows {
        found.push(match why {
            Some(why) => Finding::missing(id, step, why, configured),
            None => Finding::fine(id, Clean::ours(fine)),
        });
    }
}
