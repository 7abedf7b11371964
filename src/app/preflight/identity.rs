//! Who we are, on which cluster, in which namespace, and at which database.

use crate::app::preflight::{self, Finding};
use crate::app::state::State;
use crate::domain::live::Live;
use crate::domain::step::StepKind;
use crate::text::{Clean, Many};

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    match &state.identity {
        Live::Absent(why) => {
            found.push(Finding::missing("identity", StepKind::Revert, why, preflight::has_cluster(state)));
        }
        Live::Waiting => found.push(Finding::waiting("identity", Clean::ours("the cluster has not answered yet"))),
        Live::Lost { why, .. } => found.push(Finding::trouble("identity", StepKind::Revert, why)),
        Live::Seen { value, .. } => {
            let context = value.context.as_ref().map_or(Clean::ours("in-cluster"), |context| say!("{}", context));
            found.push(Finding::fine(
                "identity",
                say!("{} on {} ({}, {})", value.user, context, value.server, value.version),
            ));
        }
    }
    found.push(database(state));
}

fn database(state: &State) -> Finding {
    match (&state.setting.missing.database, &state.migrations) {
        (Some(why), _) | (None, Live::Absent(why)) => {
            Finding::missing("database", StepKind::CleanMigrations, why, preflight::has_database(state))
        }
        (None, Live::Lost { why, .. }) => Finding::trouble("database", StepKind::CleanMigrations, why),
        (None, Live::Waiting) => Finding::waiting("database", Clean::ours("the database has not answered yet")),
        (None, Live::Seen { value, .. }) => {
            let rows = value.rows.len();
            Finding::fine(
                "database",
                match state.server.last() {
                    Some(server) => say!(
                        "{} answers as PostgreSQL {}; {} in its migration table",
                        server.place,
                        server.version,
                        Many(rows, "row")
                    ),
                    None => say!("the database answers; {} in its migration table", Many(rows, "row")),
                },
            )
        }
    }
}
