//! Whether the migration table tells the truth about the database.

use crate::app::evidence::{compared, evidence};
use crate::app::preflight::Finding;
use crate::app::state::State;
use crate::domain::live::Live;
use crate::domain::step::Fact;
use crate::domain::trouble::Trouble;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    if state.setting.missing.database.is_some() {
        return;
    }
    let stale = evidence(state, Fact::RowWithoutObject);
    let id = "rows-and-objects";
    match stale.holds {
        Some(true) => {
            let advice = state.ledger.without_object().next().map(|row| row.advice.why.clone()).unwrap_or_default();
            let consequence =
                Clean::ours("no upgrade makes it again while the row is there; LiteLLM asks for it and fails");
            let remedy = say!("the migrations pane says what to do with each row; first: {}", advice);
            found.push(Finding::warns(id, stale.words, consequence, remedy));
        }
        Some(false) => match &state.schema {
            Live::Lost { why, .. } | Live::Absent(why) => found.push(uncompared(id, why)),
            Live::Seen { .. } | Live::Waiting => found.push(Finding::fine(id, stale.words)),
        },
        None => match &state.schema {
            Live::Waiting => found.push(Finding::waiting(id, stale.words)),
            Live::Lost { why, .. } | Live::Absent(why) => found.push(uncompared(id, why)),
            Live::Seen { .. } => found.push(Finding::unknown(
                id,
                stale.words,
                Clean::ours("those rows are not compared with what the database holds"),
                Clean::ours("look for their tables and columns by hand before any of them is deleted"),
            )),
        },
    }
    let mut counsel = state.ledger.counsel().into_iter();
    if compared(state).is_some()
        && let Some(first) = counsel.next()
    {
        let words = counsel.fold(first, |all, words| say!("{}; {}", all, words));
        found.push(Finding::fine("rows-as-a-set", words));
    }
    let pending = evidence(state, Fact::ObjectWithoutRow);
    if pending.holds == Some(true) {
        found.push(Finding::warns(
            "objects-without-row",
            pending.words,
            Clean::ours("pods that run migrations run it again, and may stop at it"),
            Clean::ours("mark it as applied before they start: `prisma migrate resolve --applied NAME`"),
        ));
    }
}

fn uncompared(id: &'static str, why: &Trouble) -> Finding {
    Finding::unknown(
        id,
        why.what.clone(),
        Clean::ours("rows are not compared with what the database holds"),
        Clean::ours("look for the tables and columns by hand before any row is deleted"),
    )
}
