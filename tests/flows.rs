//! The whole console on the sandbox: every drill by keys to its end, wrong turns, and random keys.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/console.rs"]
mod console;
#[path = "flows/drift.rs"]
mod drift;
#[path = "flows/helm.rs"]
mod helm;
#[path = "flows/restore.rs"]
mod restore;

use std::sync::Arc;

use console::{Console, Home};
use lastgood::app::effect::Feed;
use lastgood::app::key::{Code, Key};
use lastgood::app::logs::ring::Sieve;
use lastgood::app::msg::{Item, JournalNews, Msg};
use lastgood::app::overlay::Overlay;
use lastgood::app::state::State;
use lastgood::domain::checklist::Mark;
use lastgood::domain::confirm::Confirm;
use lastgood::domain::log::{LogItem, LogLine, LogSource};
use lastgood::domain::record::{ActKind, Entry};
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::text::Clean;
use proptest::prelude::*;

fn closed(state: &State) -> bool {
    state.incident.closed.is_some()
}

fn asks_to_change(state: &State) -> bool {
    matches!(state.overlays.last(), Some(Overlay::Review(_) | Overlay::Refused(_)))
}

/// From the question about the backup to the proof of the dump, and over the checks.
async fn back_up(c: &mut Console) {
    c.wait_at("backup").await;
    c.take_suggestion("Dump it with pg_dump").await;
    c.press("<enter>").await;
    c.shows("with or without the spend log");
    c.press("<enter>").await;
    c.wait_at("checks").await;
    c.press("<enter>").await;
    c.wait_at("choose-target").await;
}

/// Verification: the consent, the checklist, the end.
async fn prove(c: &mut Console, met: bool) {
    c.wait_at("verify").await;
    c.press("R").await;
    if !c.state().incident.consented {
        c.press("<enter>").await;
        c.shows("Call real models?");
        c.press("y").await;
    }
    c.wait("a complete checklist", |state| state.checks.list.complete()).await;
    c.press("R <enter>").await;
    c.wait("the end", closed).await;
    for words in ["The end", "Goal reached: LiteLLM is well again", "decide", "prove", "in all"] {
        c.shows(words);
    }
    c.shows(if met { "The target of two minutes was met." } else { "The target of two minutes was not met." });
    c.shows("6 of 6 checks are settled.");
    let Some(Entry::Closed { reached: true, .. }) = c.entries().pop() else { panic!("{:?}", c.entries().pop()) };
}

#[tokio::test(start_paused = true)]
async fn bad_image_by_keys() {
    let mut c = Console::drill("bad-image").await;
    c.shows("DRILL  drill-bad-image");
    c.shows("The new image does not start");
    c.shows("read-only");
    c.press("<enter>").await;
    c.take_suggestion("Yes: roll back now").await;
    c.take_suggestion("Code: another image").await;
    c.take_suggestion("EMERGENCY: revert now").await;
    c.shows("revision 13 is the best candidate of 2");
    c.press("<enter>").await;
    c.wait_at("revert").await;
    c.shows("arm first");
    c.press("A drill-bad-image <enter>").await;
    c.shows(" ARMED ");
    c.press("R <enter>").await;
    c.shows("Refused: nothing was changed");
    c.shows("p preview it with DISABLE_SCHEMA_UPDATE=true");
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "a refusal changes nothing");
    c.press("p").await;
    c.shows("review what will be sent");
    c.shows("DISABLE_SCHEMA_UPDATE");
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "a review changes nothing");
    c.press("y").await;
    assert_eq!(c.home.deeds(), ["changed"]);
    c.wait_at("migrations").await;
    c.shows("P Pods 3/3");
    c.take_suggestion("no row is failed").await;
    prove(&mut c, true).await;
    assert_eq!(c.home.deeds(), ["changed", "completed"]);
    c.shows("Image 1.81.9 was built without a module");
    c.press("<enter> q").await;
    assert_eq!(c.runtime.exit(), Some(lastgood::app::effect::Exit::Reached));
}

/// To the revert of the schema trap, armed, where the console has refused the plain one.
async fn into_the_trap() -> Console {
    let mut c = Console::emergency("schema-trap").await;
    c.shows("MAY DROP tables or columns");
    c.press("<enter>").await;
    c.wait_at("revert").await;
    c.press("A drill-schema-trap <enter> R <enter>").await;
    c.shows("Refused: nothing was changed");
    c.shows("pushes its own schema when it starts");
    c.shows("14 tables, 30 columns");
    c
}

fn holds(c: &Console, table: &str) -> bool {
    let table = lastgood::domain::schema::Object::Table(table.parse().unwrap());
    c.state().schema.fresh().is_some_and(|live| live.objects.has(&table))
}

#[tokio::test(start_paused = true)]
async fn schema_trap_by_keys() {
    let mut c = into_the_trap().await;
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "a refusal changes nothing");
    c.press("p").await;
    c.shows("review what will be sent");
    c.press("y").await;
    c.wait_at("migrations").await;
    c.take_suggestion("no row is failed").await;
    prove(&mut c, true).await;
    assert_eq!(c.home.deeds(), ["changed", "completed"]);
    assert!(holds(&c, "LiteLLM_AgentsTable"), "the newer tables are still there");
}

#[tokio::test(start_paused = true)]
async fn the_trap_is_walked_into_only_by_typing_each_name() {
    let mut c = into_the_trap().await;
    c.press("t").await;
    c.shows("Accept a loss of data");
    let wanted = |c: &Console| match c.top() {
        Some(Overlay::Accept { confirm, .. }) => Some(confirm.wanted().to_string()),
        _ => None,
    };
    // Nothing that is typed blindly gets through: not an empty line, not the environment's name.
    for blind in ["", "drill-schema-trap", "yes", "LiteLLM_TeamTable"] {
        c.enter(blind).await;
        assert_eq!(wanted(&c).as_deref(), Some("LiteLLM_AgentsTable"), "{blind}");
    }
    let mut typed = Vec::new();
    while let Some(name) = wanted(&c) {
        assert_eq!(c.home.deeds(), Vec::<String>::new());
        c.enter(&name).await;
        typed.push(name);
    }
    assert_eq!(typed.iter().filter(|name| !name.contains(' ')).count(), 14, "{typed:?}");
    assert_eq!(typed.last().map(String::as_str), Some("lose 14 tables and 30 columns for llm-gateway/litellm"));
    c.wait("the review", asks_to_change).await;
    c.shows("MAY DROP tables or columns");
    c.press("y").await;
    assert_eq!(c.home.deeds(), ["changed"]);
    let accepted = c.entries().into_iter().find_map(|entry| match entry {
        Entry::Started { notes, .. } => Some(notes),
        _ => None,
    });
    let accepted = accepted.unwrap();
    let named = |name: &str| accepted.iter().any(|note| note.contains("accepted by typing") && note.contains(name));
    assert!(named("LiteLLM_AgentsTable") && named("LiteLLM_TeamTable.router_settings"), "{accepted:?}");
    c.wait("the loss", |state| {
        let table = lastgood::domain::schema::Object::Table("LiteLLM_AgentsTable".parse().unwrap());
        state.schema.fresh().is_some_and(|live| !live.objects.has(&table))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn failed_migration_by_keys() {
    let row = "20261003000000_add_managed_file_flat_ids_gin_index";
    let mut c = Console::drill("failed-migration").await;
    c.press("<enter>").await;
    c.take_suggestion("No: somebody is still served").await;
    c.take_suggestion("Yes: pods crash").await;
    c.take_suggestion("Schema: a migration failed").await;
    c.take_suggestion("A database migration failed").await;
    c.take_suggestion("Delete the failed row here").await;
    c.wait_at("clean-migrations").await;
    c.press("A drill-failed-migration <enter>").await;
    c.press("<home> d").await;
    c.shows("Delete a migration row");
    c.shows(row);
    c.enter("another_name").await;
    assert!(c.notice().contains("does not match"), "{}", c.notice());
    assert_eq!(c.home.deeds(), Vec::<String>::new());
    c.enter(row).await;
    assert_eq!(c.home.deeds(), ["deleted"]);
    c.wait("the table without a failed row", lastgood::app::migrations::clean).await;
    restart_and_prove(&mut c).await;
}

/// From a table that is clean to the end: the restart is what is sent, and nothing besides.
async fn restart_and_prove(c: &mut Console) {
    c.press("<enter>").await;
    c.wait_at("restart").await;
    c.press("R <enter>").await;
    c.shows("Restart: review what will be sent");
    c.press("y").await;
    prove(c, true).await;
    assert_eq!(c.home.deeds(), ["deleted", "changed", "completed"]);
}

/// To the step that deletes the stale row, armed.
async fn to_the_stale_row() -> Console {
    let mut c = Console::drill("ledger-lies").await;
    c.press("<enter>").await;
    c.take_suggestion("No: somebody is still served").await;
    c.take_suggestion("Yes: a table or a column is missing").await;
    c.take_suggestion("Code: another image is live").await;
    c.take_suggestion("The table says applied, a column is missing").await;
    c.wait_at("stale-row").await;
    c.press("A drill-ledger-lies <enter>").await;
    c
}

#[tokio::test(start_paused = true)]
async fn ledger_lies_by_keys() {
    let mut c = to_the_stale_row().await;
    let row = "20260921000000_add_password_reset_columns";
    let selected = |c: &Console| lastgood::app::migrations::selected(c.state()).unwrap().name.to_string();
    assert_eq!(selected(&c), row, "the step selects it");
    c.shows("1 to look at");
    c.shows("20261015000000_managed_object_end_user_id: not applied, but");
    c.shows("LiteLLM_ManagedObjectTable.end_user_id exists");
    c.shows("delete: applied, but LiteLLM_UserTable.last_breach_check_at and");
    c.shows("LiteLLM_UserTable.password_reset_required are missing: the next");
    c.press("d").await;
    c.shows("Delete a migration row");
    c.enter(row).await;
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "an applied row needs a second phrase");
    c.enter("the next upgrade runs it again").await;
    assert_eq!(c.home.deeds(), ["deleted"]);
    c.wait("no stale row", |state| lastgood::app::migrations::stale(state).is_some_and(|rows| rows.is_empty())).await;
    restart_and_prove(&mut c).await;
    c.shows("Prisma compares names");
}

#[tokio::test(start_paused = true)]
async fn deleting_the_truthful_row_says_where_the_next_upgrade_stops() {
    let mut c = to_the_stale_row().await;
    let truthful = "20260713230852_add_key_type_to_litellm_verification_token";
    c.press("<home>").await;
    let mut line = 0;
    while lastgood::app::migrations::selected(c.state()).unwrap().name.as_str() != truthful {
        c.press("<down>").await;
        line += 1;
        assert!(line < 300, "{truthful} is not in the table");
    }
    c.press("d").await;
    c.shows("runs this migration again and stops at its statement 1:");
    c.shows("LiteLLM_DeletedVerificationToken.key_type is already there. Keep the row");
    c.enter(truthful).await;
    c.shows("the next upgrade stops there");
    c.enter("the next upgrade runs it again").await;
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "only what is true may be typed");
    c.press("<esc>").await;
    assert_eq!(c.home.deeds(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn salt_key_by_keys() {
    let mut c = Console::drill("salt-key").await;
    c.press("<enter>").await;
    c.take_suggestion("No: somebody is still served").await;
    c.take_suggestion("stored credentials cannot be read").await;
    c.take_suggestion("Settings only").await;
    c.take_suggestion("Stored credentials cannot be read").await;
    c.take_suggestion("another key: go back").await;
    back_up(&mut c).await;
    assert_eq!(c.home.deeds(), ["backed-up"]);
    c.press("d").await;
    c.shows("live template against revision 30");
    c.shows("LITELLM_SALT_KEY");
    c.hides("salt-that-the-rows");
    c.press("<esc> <enter>").await;
    c.wait_at("revert").await;
    c.press("A drill-salt-key <enter> R <enter>").await;
    c.shows("Revert: review what will be sent");
    c.hides("salt-that-the-rows");
    c.press("y").await;
    c.wait_at("migrations").await;
    c.take_suggestion("no row is failed").await;
    prove(&mut c, true).await;
    assert_eq!(c.home.deeds(), ["backed-up", "changed", "completed"]);
}

#[tokio::test(start_paused = true)]
async fn slow_burn_by_keys() {
    let mut c = Console::drill("slow-burn").await;
    c.press("<enter>").await;
    c.take_suggestion("No: somebody is still served").await;
    c.take_suggestion("Cannot tell: the pods look well").await;
    c.wait_at("look").await;
    c.press("<enter> y").await;
    let failed = |state: &State| state.checks.list.checks().iter().any(|check| check.verdict.mark == Mark::Failed);
    c.wait("a failed check", failed).await;
    c.shows("✗ failed    Spend is recorded");
    c.press("R F").await;
    c.enter("spend is not recorded").await;
    c.take_suggestion("Code: another image is live").await;
    c.take_suggestion("The application misbehaves").await;
    back_up(&mut c).await;
    c.press("<enter> A drill-slow-burn <enter> R <enter>").await;
    c.wait("the answer of the dry run", asks_to_change).await;
    c.press("p y").await;
    c.wait_at("migrations").await;
    c.take_suggestion("no row is failed").await;
    prove(&mut c, true).await;
    let deeds = c.home.deeds();
    assert_eq!(deeds.iter().filter(|deed| *deed == "changed").count(), 1, "{deeds:?}");
}

/// The same drill in the smallest screen that has panes for everything.
#[tokio::test(start_paused = true)]
async fn a_small_screen_is_enough() {
    let mut c = Console::sized("bad-image", (80, 24)).await;
    c.press("<enter>").await;
    c.shows("[R Run]");
    for (key, words) in [
        ("P", "CrashLoopBack"),
        ("L", "ModuleNotFoundError"),
        ("V", "v1.81.0"),
        ("M", "_to_deleted_teams_table"),
        ("E", "Preflight"),
        ("T", "drill bad-image opened"),
        ("C", "Health endpoint"),
    ] {
        c.press(key).await;
        c.shows(words);
        c.shows("DRILL  drill-bad-image");
    }
    c.press("R").await;
    c.take_suggestion("Yes: roll back now").await;
    c.take_suggestion("Code: another image").await;
    c.take_suggestion("EMERGENCY: revert now").await;
    c.press("<enter> A drill-bad-image <enter> R <enter>").await;
    c.shows("Refused: nothing was changed");
    c.press("p").await;
    c.shows("SEND IT");
    c.press("y").await;
    c.wait_at("migrations").await;
    c.take_suggestion("no row is failed").await;
    prove(&mut c, true).await;
}

// -------------------------------------------------------------------------------- wrong turns

#[tokio::test(start_paused = true)]
async fn nothing_changes_while_it_is_read_only() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> P r").await;
    assert!(c.notice().contains("read-only: arm the console first (A)"), "{}", c.notice());
    c.press("V r").await;
    c.press("M d").await;
    assert!(c.notice().contains("read-only"), "{}", c.notice());
    c.press("A drill-bad <enter>").await;
    assert!(c.notice().contains("that is not drill-bad-image; still read-only"), "{}", c.notice());
    c.shows("read-only");
    c.press("A DRILL-BAD-IMAGE <enter> P r").await;
    assert!(!c.state().armed(), "arming is letter by letter");
    assert_eq!(c.home.deeds(), Vec::<String>::new());
    assert!(!c.entries().iter().any(|entry| matches!(entry, Entry::Armed | Entry::Started { .. })));
    c.press("A drill-bad-image <enter>").await;
    assert!(c.state().armed());
    c.press("D").await;
    c.shows("read-only");
    c.press("P r").await;
    assert!(c.notice().contains("read-only"), "{}", c.notice());
}

#[tokio::test(start_paused = true)]
async fn arming_is_refused_while_somebody_else_holds_the_lock() {
    let mut c = Console::drill("bad-image").await;
    let environment = c.home.scenario.place.environment.clone();
    let gate = lastgood::text::Gate::default();
    let locks = c.home.state().locks();
    let held = lastgood::runtime::folder::OperatorLock::take(&locks, &environment, &gate).unwrap();
    c.press("<enter> A drill-bad-image <enter>").await;
    assert!(c.notice().contains("not armed: drill-bad-image is held by"), "{}", c.notice());
    c.shows("read-only");
    drop(held);
    c.press("A drill-bad-image <enter>").await;
    c.shows(" ARMED ");
}

#[tokio::test(start_paused = true)]
async fn an_applied_row_needs_two_phrases_and_comes_back_by_undo() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> A drill-bad-image <enter> M").await;
    c.wait("the migration table", |state| state.migrations.fresh().is_some()).await;
    let row = lastgood::app::migrations::selected(c.state()).unwrap().clone();
    c.press("d").await;
    c.shows("Delete a migration row");
    c.shows("leads to");
    c.enter(row.name.as_str()).await;
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "one phrase is not enough for an applied row");
    let Some(Overlay::Delete { confirm, .. }) = c.top() else { panic!("{:?}", c.top()) };
    let second = confirm.wanted();
    assert_ne!(second.as_str(), row.name.as_str());
    c.enter(row.name.as_str()).await;
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "the same phrase twice is not the second one");
    c.enter(second.as_str()).await;
    assert_eq!(c.home.deeds(), ["deleted"]);
    let gone = |state: &State| state.migrations.fresh().is_some_and(|table| table.rows.iter().all(|r| r.id != row.id));
    c.wait("the table without the row", gone).await;
    c.press("u").await;
    c.shows(row.name.as_str());
    c.press("n").await;
    assert_eq!(c.home.deeds(), ["deleted"]);
    c.press("u y").await;
    assert_eq!(c.home.deeds(), ["deleted", "restored"]);
    c.wait("the row is back", |state| state.migrations.fresh().is_some_and(|table| table.rows.contains(&row))).await;
    c.press("u").await;
    assert!(c.notice().contains("no row was changed"), "{}", c.notice());
}

#[tokio::test(start_paused = true)]
async fn back_takes_answers_and_finished_steps_back() {
    let mut c = Console::drill("salt-key").await;
    c.press("<enter>").await;
    let node = |c: &Console| c.state().incident.at().unwrap().node.to_string();
    c.press("b").await;
    assert!(c.notice().contains("this is where the incident began"), "{}", c.notice());
    c.take_suggestion("No: somebody is still served").await;
    assert_eq!(node(&c), "bug");
    c.press("b").await;
    assert_eq!(node(&c), "emergency");
    c.take_suggestion("No: somebody is still served").await;
    c.take_suggestion("stored credentials cannot be read").await;
    c.take_suggestion("Settings only").await;
    c.take_suggestion("Stored credentials cannot be read").await;
    c.take_suggestion("another key: go back").await;
    back_up(&mut c).await;
    // Back over the checks and over the dump: both are done, and stay done.
    c.press("b").await;
    assert_eq!(node(&c), "checks");
    c.press("b").await;
    assert_eq!(node(&c), "backup-dump");
    c.pass(5).await;
    assert_eq!(node(&c), "backup-dump", "a finished step that was gone back to does not run away");
    c.press("b").await;
    assert_eq!(node(&c), "backup");
    c.take_suggestion("the backup of this incident is proved").await;
    assert_eq!(node(&c), "checks");
    assert_eq!(c.home.deeds(), ["backed-up"], "the dump was not taken twice");
    let taken_back = c.entries().iter().filter(|entry| matches!(entry, Entry::TookBack { .. })).count();
    assert_eq!(taken_back, 4);
}

#[tokio::test(start_paused = true)]
async fn a_revert_that_was_gone_back_from_is_not_repeated() {
    let mut c = Console::emergency("bad-image").await;
    c.press("<enter> A drill-bad-image <enter> R <enter> p y").await;
    c.wait_at("migrations").await;
    c.press("R b").await;
    c.wait_at("revert").await;
    c.pass(5).await;
    c.wait_at("revert").await;
    c.press("R <enter>").await;
    c.wait_at("migrations").await;
    assert_eq!(c.home.deeds(), ["changed"]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_do_nothing_say_so_and_help_lists_the_others() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> Q").await;
    c.shows("Q does nothing here; ? lists the keys");
    c.press("<f9>").await;
    c.shows("f9 does nothing here");
    c.press("?").await;
    for words in ["give this answer", "take the last answer back", "arm: allow changes"] {
        c.shows(words);
    }
    c.press("<esc> M ?").await;
    c.shows("delete this migration row");
    c.press("<esc>").await;
    assert!(c.top().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_palette_finds_and_does_what_is_typed() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> : timeline").await;
    c.shows("timeline");
    c.press("<enter>").await;
    assert_eq!(c.state().view.focus, lastgood::app::action::Pane::Timeline);
    c.press(": delete").await;
    c.press("<enter>").await;
    assert!(c.notice().contains("read-only"), "the palette passes the same gates: {}", c.notice());
    c.press(": zzz <enter>").await;
    assert!(c.top().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_note_goes_into_the_journal_without_its_secrets() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> n").await;
    c.enter("called the owner; password=correct-horse-battery").await;
    c.press("T").await;
    c.shows("note: called the owner");
    let journal = std::fs::read_to_string(c.home.incident().join(lastgood::runtime::journal::FILE)).unwrap();
    assert!(journal.contains("called the owner") && !journal.contains("correct-horse"), "{journal}");
    c.press("n <esc>").await;
    assert_eq!(c.entries().iter().filter(|entry| matches!(entry, Entry::Noted { .. })).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_log_is_filtered_searched_and_saved_by_keys() {
    use std::os::unix::fs::PermissionsExt as _;

    let mut c = Console::drill("failed-migration").await;
    c.press("<esc>").await;
    c.pass(5).await;
    let source = c.state().logs.streams().keys().next().cloned().expect("a log is followed");
    let source = Arc::new(source);
    let at = c.state().now;
    // More than is looked through at once, as a feed brings it.
    for batch in 0..40 {
        let line = |i| {
            let text = format!("flood {} of many, api_key=sk-hunter2hunter2hunter2", batch * 1_000 + i);
            LogLine::new(at, &source, c.state().gate.clean(&text))
        };
        let lines: Vec<LogLine> = (0..1_000).map(line).collect();
        c.send(Msg::Feed(Feed::Logs(LogSource::clone(&source)), Item::Logs(LogItem::Lines(lines.into())))).await;
    }
    c.shows("dropped: 0");
    c.press("L f").await;
    c.enter("/flood [0-9]*77 /").await;
    c.wait("all lines to be looked through", |state| state.logs.ring.waiting(Sieve::Filter) == 0).await;
    assert_eq!(c.state().logs.ring.found(Sieve::Filter), 400);
    c.shows("400 of ");
    c.press("k k").await;
    let held = c.state().logs.held();
    assert!(held.is_some());
    c.press("/").await;
    c.enter("\"flood 177 \"").await;
    c.wait("the match", |state| state.logs.held() != held).await;
    assert_eq!(c.state().logs.ring.found(Sieve::Search), 1);
    c.press("S").await;
    c.press("<ctrl-u>").await;
    c.enter("shown.txt").await;
    c.wait("the file", |state| state.notice.as_ref().is_some_and(|notice| notice.words.as_str().contains("saved")))
        .await;
    assert!(c.notice().starts_with("saved 400 lines to "), "{}", c.notice());
    let file = c.home.incident().join("shown.txt");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 400);
    assert!(text.contains("/litellm flood 77 of many, api_key=[masked]"), "{}", text.lines().next().unwrap());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    c.press("W <ctrl-u>").await;
    c.enter("shown.txt").await;
    c.wait("the refusal", |state| {
        state.notice.as_ref().is_some_and(|notice| notice.words.as_str().contains("not over"))
    })
    .await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "it is as it was");
    // A filter that is not understood stays to be corrected; the empty one shows all at the same place.
    let held = c.state().logs.held();
    c.press("f <ctrl-u>").await;
    c.enter("/(/").await;
    assert!(matches!(c.top(), Some(Overlay::Text { .. })) && c.notice().contains("unclosed group"), "{}", c.notice());
    c.press("<ctrl-u> <enter>").await;
    assert_eq!(c.state().logs.held(), held);
    c.shows("flood 177 ");
}

#[tokio::test(start_paused = true)]
async fn the_status_is_fifteen_lines_at_most() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> s").await;
    let Some(Overlay::Words { text, .. }) = c.top() else { panic!("{:?}", c.top()) };
    assert!(text.as_str().lines().count() <= 15, "{text}");
    for words in ["drill-bad-image (drill)", "pods: 0 of 3 ready", "read-only"] {
        assert!(text.as_str().contains(words), "{text}");
    }
}

/// The dialog opens with the key that asked for it, so no later key can fall into it by accident.
#[tokio::test(start_paused = true)]
async fn a_dialog_that_waits_for_its_dry_run_takes_no_other_key() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> A drill-bad-image <enter> V <home> j").await;
    for key in ["r", "y", "p", "q", "D", "A"] {
        c.runtime.dispatch(Msg::Key(key.parse().unwrap()));
    }
    assert!(matches!(c.top(), Some(Overlay::Asking { .. })), "{:?}", c.top());
    c.pass(1).await;
    assert!(matches!(c.top(), Some(Overlay::Refused(_))), "{:?}", c.top());
    assert!(c.state().armed());
    assert_eq!(c.home.deeds(), Vec::<String>::new());
    c.press("<esc>").await;
    c.runtime.dispatch(Msg::Key("r".parse().unwrap()));
    c.press("<esc>").await;
    c.pass(1).await;
    assert!(c.top().is_none(), "a dry run that nobody waits for any more opens nothing: {:?}", c.top());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_that_grew_old_is_asked_again() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> A drill-bad-image <enter> V <home> j r p").await;
    assert!(matches!(c.top(), Some(Overlay::Review(_))), "{:?}", c.top());
    c.pass(180).await;
    c.press("y").await;
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "what was shown three minutes ago is not sent");
    c.wait("another review", |state| matches!(state.overlays.last(), Some(Overlay::Review(_)))).await;
    c.press("y").await;
    assert_eq!(c.home.deeds(), ["changed"]);
}

#[tokio::test(start_paused = true)]
async fn the_response_cache_is_counted_chosen_typed_and_cleared() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter>").await;
    // To look is allowed unarmed; to delete is not.
    c.press(": clear <space> the <space> response <enter>").await;
    c.wait("the count", |state| state.looks.is_empty()).await;
    for words in [
        "Redis 7.2.4",
        "3120  litellm-eu:<64 hexadecimal digits>",
        "86  64 hexadecimal digits",
        "Type in full: litellm-eu",
    ] {
        c.shows(words);
    }
    c.shows("2  spend buffers, not yet in the database");
    c.enter("litellm-eu").await;
    assert!(c.notice().contains("read-only"), "{}", c.notice());
    c.press("A drill-bad-image <enter>").await;
    c.press(": clear <space> the <space> response <enter>").await;
    c.pass(1).await;
    c.enter("litellm").await;
    assert!(c.notice().contains("nothing was deleted"), "{}", c.notice());
    c.press("<up>").await;
    c.shows("Type in full: clear");
    c.press("<down>").await;
    c.enter("litellm-eu").await;
    c.pass(1).await;
    c.press("P").await;
    c.shows("→ cache clearance 00:01 40 %, ctrl-x cancels");
    c.press("<ctrl-x>").await;
    c.wait("the end of it", |state| state.running.is_empty()).await;
    assert!(c.notice().contains("cancelled"), "{}", c.notice());
    assert_eq!(c.home.deeds(), Vec::<String>::new());
    c.press(": clear <space> the <space> response <enter>").await;
    c.pass(1).await;
    c.enter("litellm-eu").await;
    c.wait("the end of it", |state| state.running.is_empty()).await;
    assert!(c.notice().starts_with("3120 answers deleted, 0 there now; each pod"), "{}", c.notice());
    assert_eq!(c.home.deeds(), ["cleared-cache"]);
    // Cleared already, the step is done with a word of what else is there.
    let mut acts = c.entries().into_iter().filter_map(|entry| match entry {
        Entry::Started { kind: ActKind::ClearCache { namespace }, command, .. } => Some((namespace, command)),
        _ => None,
    });
    let (namespace, command) = acts.next().unwrap();
    assert_eq!(namespace.unwrap().as_str(), "litellm-eu");
    assert!(command.contains("--pattern 'litellm-eu:*' | grep -E ':[0-9a-f]{64}$'"), "{command}");
}

#[tokio::test(start_paused = true)]
async fn the_runbook_leads_to_the_cache_and_back_to_the_checks() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> A drill-bad-image <enter>").await;
    c.take_suggestion("Yes: roll back now").await;
    c.take_suggestion("Code: another image").await;
    c.take_suggestion("EMERGENCY: revert now").await;
    c.press("<enter> R <enter> p y").await;
    c.wait_at("migrations").await;
    c.take_suggestion("no row is failed").await;
    c.wait_at("verify").await;
    c.press("R F").await;
    c.enter("old answers come back").await;
    c.wait_at("still-wrong").await;
    c.press("4").await;
    c.wait_at("clear-cache").await;
    c.shows("count the keys; asks before it deletes");
    c.press("<enter>").await;
    c.pass(1).await;
    c.enter("litellm-eu").await;
    c.wait_at("verify").await;
    assert_eq!(c.home.deeds(), ["changed", "cleared-cache"]);
    c.press("R F <enter>").await;
    c.press("4 <enter>").await;
    c.pass(1).await;
    c.shows("There is no key of litellm-eu:<64 hexadecimal digits>: nothing to clear.");
    c.press("<enter>").await;
    c.wait_at("verify").await;
    assert!(c.notice().contains("seen: without a namespace (86)"), "{}", c.notice());
    prove(&mut c, true).await;
}

#[tokio::test(start_paused = true)]
async fn handing_over_closes_without_the_goal() {
    let mut c = Console::emergency("bad-image").await;
    c.press("R F").await;
    c.enter("nobody may patch here").await;
    c.wait_at("handover").await;
    c.press("R <enter>").await;
    c.shows("Goal not reached: Hand over");
    c.press("<enter> q").await;
    assert_eq!(c.runtime.exit(), Some(lastgood::app::effect::Exit::NotReached));
}

#[tokio::test(start_paused = true)]
async fn leaving_while_an_act_runs_asks_first() {
    let mut c = Console::drill("salt-key").await;
    c.press("<enter> B <enter>").await;
    c.pass(1).await;
    c.press("q").await;
    assert!(matches!(c.top(), Some(Overlay::Leave)), "{:?}", c.top());
    c.press("n <ctrl-x>").await;
    c.wait("the cancelled backup", |state| state.running.is_empty()).await;
    let left: Vec<_> = std::fs::read_dir(c.home.incident()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("dump")), "{left:?}");
    c.press("q").await;
    assert_eq!(c.runtime.exit(), Some(lastgood::app::effect::Exit::Left));
}

#[tokio::test(start_paused = true)]
async fn a_broken_journal_stops_every_change_and_says_so() {
    let mut c = Console::drill("bad-image").await;
    c.press("<enter> A drill-bad-image <enter>").await;
    let why = Trouble::new(TroubleKind::Disk, Clean::ours("the journal cannot be written: no space left"));
    c.send(Msg::Journal(JournalNews::Broken(why))).await;
    c.shows("JOURNAL BROKEN: no changes");
    assert!(c.notice().contains("no space left"), "{}", c.notice());
    for keys in ["P r", "V r", "M d", "B <enter>", "A drill-bad-image <enter> P r", "V j r y p y"] {
        c.press(keys).await;
        c.press("<esc>").await;
    }
    c.pass(30).await;
    assert_eq!(c.home.deeds(), Vec::<String>::new());
    c.shows("JOURNAL BROKEN: no changes");
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_told_the_keys_once() {
    let home = Home::new("bad-image");
    let runtime = home.begin();
    let mut first = Console::over(home, runtime, (120, 36)).await;
    first.shows("This is a drill in an embedded sandbox");
    first.shows("two minutes is good");
    first.press("<enter>").await;
    let Console { home, runtime, .. } = first;
    drop(runtime);
    let runtime = home.begin();
    let Some(Overlay::Words { text, .. }) = runtime.state.overlays.last() else { panic!("no briefing") };
    assert!(!text.as_str().contains("embedded sandbox"), "{text}");
}

// -------------------------------------------------------------------------------- random keys

/// Keys that people press, with those that matter more often than the others.
fn any_key() -> impl Strategy<Value = Key> {
    // Without S and W, which save the log to any file that is typed.
    let plain = "[a-zA-RT-VX-Z0-9?:$/]".prop_map(|text| Key::plain(Code::Char(text.chars().next().unwrap())));
    let named =
        prop::sample::select(vec![Code::Enter, Code::Esc, Code::Up, Code::Down, Code::Tab, Code::Home, Code::End])
            .prop_map(Key::plain);
    let lively =
        prop::sample::select("ypRMVPrdtAhb1234".chars().collect::<Vec<_>>()).prop_map(|c| Key::plain(Code::Char(c)));
    let control = prop::sample::select("cxuwl".chars().collect::<Vec<_>>()).prop_map(|c| Key {
        code: Code::Char(c),
        ctrl: true,
        alt: false,
    });
    prop_oneof![4 => plain, 6 => named, 6 => lively, 1 => control]
}

#[derive(Clone, Debug)]
enum Move {
    Key(Key),
    /// What the dialog in front asks for.
    Answer,
    Pass(u64),
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![12 => any_key().prop_map(Move::Key), 3 => Just(Move::Answer), 2 => (1u64..8).prop_map(Move::Pass)]
}

/// What the dialog in front wants to read, so that random keys get through to the acts.
fn wanted(state: &State) -> Option<String> {
    match state.overlays.last()? {
        Overlay::Delete { confirm, .. } => Some(confirm.wanted().to_string()),
        Overlay::Resolve { confirm, .. } => Some(confirm.wanted().to_string()),
        Overlay::Doubts { confirm, .. } => Some(confirm.wanted().to_string()),
        Overlay::Clear(clearing) => Some(Confirm::new(clearing.clearance()).wanted().to_string()),
        Overlay::Text { .. } => Some(state.setting.environment.to_string()),
        _ => None,
    }
}

/// Acts that the journal announced, and deeds in the world's memory, as kinds in order.
fn announced(entries: &[Entry]) -> Vec<&'static str> {
    let by_hand = entries.iter().filter(|entry| matches!(entry, Entry::Stepped { done: true, .. }));
    let by_hand = by_hand.map(|_| "by-hand");
    let kinds = entries.iter().filter_map(|entry| match entry {
        Entry::Started { kind, .. } => Some(kind),
        _ => None,
    });
    // A database that is made for a restore is either filled to its end or taken away again.
    let made = kinds.clone().filter(|kind| matches!(kind, ActKind::RestoreDatabase { .. }));
    let made = made.flat_map(|_| ["made-database", "dropped-database"]);
    by_hand
        .chain(made)
        .chain(kinds.map(|kind| match kind {
            ActKind::Change { .. } => "changed",
            ActKind::Rollback { .. } => "rolled-back",
            ActKind::DeleteRow { .. } => "deleted",
            ActKind::ResolveRow { .. } => "resolved",
            ActKind::RestoreRow { .. } => "restored",
            ActKind::Backup { .. } => "backed-up",
            ActKind::RestoreDatabase { .. } => "restored-database",
            ActKind::ClearCache { .. } => "cleared-cache",
            ActKind::Complete => "completed",
        }))
        .collect()
}

/// Whatever was done to the world was announced on disk before.
fn assert_announced(c: &Console, deeds: &[String]) {
    let entries = c.entries();
    let mut announced = announced(&entries);
    for deed in deeds {
        let at = announced.iter().position(|kind| kind == deed);
        let at = at.unwrap_or_else(|| panic!("{deed} happened without an announcement: {entries:#?}"));
        announced.remove(at);
    }
}

fn play(scenario: &str, moves: Vec<Move>) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio.block_on(async {
        let mut c = Console::drill(scenario).await;
        let mut done = 0;
        for (number, random) in moves.into_iter().enumerate() {
            match random {
                Move::Key(key) => c.send(Msg::Key(key)).await,
                Move::Answer => match wanted(c.state()) {
                    Some(words) => c.enter(&words).await,
                    None => c.press("<enter>").await,
                },
                Move::Pass(seconds) => c.pass(seconds).await,
            }
            if number % 4 == 0 {
                let _ = c.screen();
            }
            let deeds = c.home.deeds();
            if deeds.len() > done {
                done = deeds.len();
                assert_announced(&c, &deeds);
            }
            if c.runtime.exit().is_some() {
                c.runtime.finish().await;
                c = c.killed_and_resumed().await;
            }
        }
        c.runtime.finish().await;
        assert_announced(&c, &c.home.deeds());
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_keys_never_panic_and_never_act_without_an_announcement(
        scenario in prop::sample::select(vec!["bad-image", "failed-migration", "schema-trap", "ledger-lies", "salt-key", "slow-burn", "pending-helm", "config-drift"]),
        moves in prop::collection::vec(any_move(), 150),
    ) {
        play(scenario, moves);
    }
}
