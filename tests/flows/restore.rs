//! A restore in a drill: its console is killed in the middle, it is settled by what is there, tried
//! again, decided by what it lacks, and written down.

use lastgood::app::migrations;
use lastgood::app::overlay::Overlay;
use lastgood::app::status::fact_about;
use lastgood::domain::record::{ActKind, Entry};

use crate::console::Console;
use crate::to_the_stale_row;

/// To the restore's question, with a proved backup, armed.
async fn to_the_question() -> Console {
    let mut c = to_the_stale_row().await;
    c.press("B <enter>").await;
    c.wait("a backup", |state| state.running.is_empty() && state.incident.acts.len() == 1).await;
    c.press("R F").await;
    c.enter("its table is gone with its rows").await;
    c.wait_at("stale-failed").await;
    c.press("R 4").await;
    c.wait_at("restore").await;
    c.press("R <enter>").await;
    c.wait(
        "the question",
        |state| matches!(state.overlays.last(), Some(Overlay::RestoreDatabase(asked)) if asked.plan.is_some()),
    )
    .await;
    c
}

#[tokio::test(start_paused = true)]
async fn a_restore_whose_console_was_killed_is_settled_and_tried_again() {
    let mut c = to_the_question().await;
    c.hides("left over");
    c.press("<enter>").await;
    c.pass(2).await;
    assert_eq!(c.home.deeds(), ["backed-up", "made-database"], "it is being filled");
    let mut c = c.killed_and_resumed().await;
    c.wait("the look at what is left", |state| {
        state.unknown().first().is_some_and(|(act, _)| fact_about(state, *act).as_str().contains("did not come"))
    })
    .await;
    c.press("R <enter>").await;
    c.shows("Did it happen? Nobody knows");
    c.shows("it did not come to its end: litellm_restore_");
    c.shows("incomplete restore that nobody counted; DROP DATABASE");
    c.press("d").await;
    c.wait_at("restore").await;

    c.press("A drill-ledger-lies <enter> R <enter>").await;
    c.wait(
        "the question",
        |state| matches!(state.overlays.last(), Some(Overlay::RestoreDatabase(asked)) if asked.plan.is_some()),
    )
    .await;
    c.shows("left over");
    c.press("<enter>").await;
    c.wait("its end", |state| state.running.is_empty()).await;
    assert_eq!(c.home.deeds(), ["backed-up", "made-database", "made-database", "restored-database"]);
    let named = |entry: &Entry| match entry {
        Entry::Started { kind: ActKind::RestoreDatabase { into, .. }, notes, .. } => {
            Some((into.to_string(), notes.iter().any(|note| note.starts_with("left by an earlier restore: "))))
        }
        _ => None,
    };
    let tries: Vec<_> = c.entries().iter().filter_map(named).collect();
    assert!(tries.len() == 2 && tries[0].0 != tries[1].0 && !tries[0].1 && tries[1].1, "{tries:?}");

    // What it lacks is read before the decision, and again from there.
    c.press("R <enter>").await;
    c.shows("What the restored database lacks");
    c.shows("public.LiteLLM_SpendLogs: ");
    c.press("<enter>").await;
    c.wait_at("restore-decide").await;
    c.press("R b").await;
    c.wait_at("restore").await;
    c.press("R <enter>").await;
    c.shows("What the restored database lacks");
    c.press("<enter>").await;
    c.wait_at("restore-decide").await;
    assert!(migrations::stale(c.state()).is_some_and(|rows| !rows.is_empty()), "nothing else was touched");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_restore_leaves_nothing() {
    let mut c = to_the_question().await;
    c.press("<enter>").await;
    c.pass(2).await;
    c.press("<ctrl-x>").await;
    c.wait("its end", |state| state.running.is_empty()).await;
    assert_eq!(c.home.deeds(), ["backed-up", "made-database", "dropped-database"]);
    assert!(c.notice().contains("was taken away again"), "{}", c.notice());
}
