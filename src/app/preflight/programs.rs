//! The parts of the environment, the programs on this machine, and the catalog that is used.

use std::collections::BTreeSet;

use crate::app::learn;
use crate::app::preflight::{self, Finding};
use crate::app::state::State;
use crate::domain::catalog::{Known, Origin};
use crate::domain::live::Live;
use crate::domain::step::StepKind;
use crate::domain::trouble::Trouble;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    let missing = &state.setting.missing;
    found.push(backup(state));
    let gateway = state.setting.gateway.is_some();
    let rows: [(&'static str, StepKind, &Option<Trouble>, &'static str, bool); 2] = [
        ("gateway", StepKind::Verify, &missing.gateway, "the gateway is configured", gateway),
        (
            "workloads",
            StepKind::Revert,
            &missing.workloads,
            "Deployments can be changed",
            preflight::has_cluster(state),
        ),
    ];
    for (id, step, why, fine, configured) in rows {
        found.push(match why {
            Some(why) => Finding::missing(id, step, why, configured),
            None => Finding::fine(id, Clean::ours(fine)),
        });
    }
    if preflight::has_database(state) {
        found.push(catalog(state));
    }
}

/// Which catalog the forecasts and the ledger go by, and whether it knows what runs.
fn catalog(state: &State) -> Finding {
    let (catalog, from) = (&state.setting.catalog, &state.setting.catalog_from);
    let which = say!("the catalog of {}, {}", catalog.made(), from.words());
    if let Origin::InPlaceOf { .. } = from {
        let consequence = Clean::ours("versions that were published since are not known");
        return Finding::warns("catalog", which, consequence, Clean::ours("`lastgood catalog refresh` writes it anew"));
    }
    let live = state.watched.values().filter_map(|watched| watched.workload.last()?.template.main());
    let unknown: BTreeSet<String> = live
        .filter_map(|container| container.image.version())
        .filter(|version| matches!(catalog.release(version), Known::Unknown { below: Some(_), above: None }))
        .map(|version| version.to_string())
        .collect();
    let logged = learn::counted(state);
    let told = state.learnt.all().map(learn::words).chain(logged.keys().cloned());
    let differs = state.learnt.all().any(|told| !told.agreement.whole());
    let told = told.reduce(|all, one| say!("{}; {}", all, one));
    if differs || logged.values().any(|agrees| !agrees) {
        let what = Clean::ours("an image that runs does not hold what its version published");
        let consequence = Clean::ours("what forecasts say of that version may not hold for it");
        let remedy =
            Clean::ours("list what a pod holds: `lastgood catalog learn --pod POD`, or the key of the migrations pane");
        return Finding::warns("catalog", what, consequence, remedy).because(told.unwrap_or_default());
    }
    match unknown.first() {
        None => Finding::fine("catalog", which).because(told.unwrap_or_default()),
        Some(version) => Finding::warns(
            "catalog",
            say!("LiteLLM {} runs, which the catalog does not know", state.gate.clean(version)),
            Clean::ours("what it does to the schema is judged by the age of images alone"),
            Clean::ours("`lastgood catalog refresh` asks for newer versions"),
        )
        .because(which),
    }
}

/// The programs that dump: a `pg_dump` that is older than its server refuses it.
fn backup(state: &State) -> Finding {
    let server = match &state.server {
        Live::Absent(why) => {
            return Finding::missing("backup", StepKind::Backup, why, preflight::has_database(state));
        }
        Live::Waiting => {
            return Finding::waiting("backup", Clean::ours("which pg_dump the server needs is not known yet"));
        }
        Live::Lost { why, .. } => {
            let what = Clean::ours("which pg_dump the server needs cannot be told");
            let consequence = Clean::ours("a dump would have to reach the server first");
            return Finding::unknown("backup", what, consequence, why.remedy.clone()).because(why.what.clone());
        }
        Live::Seen { value, .. } => value,
    };
    match &server.programs {
        Ok(programs) => Finding::fine(
            "backup",
            say!(
                "pg_dump {} and pg_restore {} serve PostgreSQL {}",
                programs.pg_dump,
                programs.pg_restore,
                server.version
            ),
        )
        .because(say!("`--version` of both in {}, and the server's own", programs.folder)),
        Err(why) => Finding {
            consequence: Clean::ours("pg_dump refuses a server that is newer: `backup` cannot be done"),
            ..Finding::blocks("backup", StepKind::Backup, why.what.clone(), why.remedy.clone())
        }
        .because(say!("{} is PostgreSQL {}", server.place, server.version)),
    }
}
