//! The drill `pending-helm`: a release that a killed client left pending, and what its older
//! revisions would do.

use std::collections::BTreeMap;

use lastgood::app::effect::Exit;
use lastgood::app::key::{Code, Key};
use lastgood::app::msg::Msg;
use lastgood::app::overlay::Overlay;
use lastgood::app::pilot::{BackupOrders, Confirmations, Move, Orders, Wanted, answer, forestalled};
use lastgood::app::runbook::{Progress, best_target, progress};
use lastgood::app::state::State;
use lastgood::app::status::fact_about;
use lastgood::domain::confirm::Subject as _;
use lastgood::domain::record::{ActId, Entry};
use lastgood::domain::release::ReleaseRevision;
use lastgood::domain::schema::Object;
use lastgood::domain::step::StepKind;
use lastgood::text::Clean;

use crate::console::Console;
use crate::prove;

#[tokio::test(start_paused = true)]
async fn pending_helm_by_keys() {
    let mut c = Console::emergency("pending-helm").await;
    c.wait_at("emergency-target").await;
    let best = |state: &State| best_target(state).is_some();
    c.wait("the records", best).await;
    c.press("V").await;
    c.shows("Helm release litellm");
    c.shows("revision 7 has been pending-upgrade");
    c.shows("revision 5 is the best candidate of 2");
    // The one before, which is what Helm would take by itself.
    c.press("<home> <down> t").await;
    assert!(c.notice().contains("revision 6 cannot be gone back to: it is failed"), "{}", c.notice());
    // An older one, with the migration Job as an ordinary object.
    c.press("<end> t").await;
    c.wait_at("revert").await;
    c.press("A drill-pending-helm <enter> R <enter>").await;
    c.shows("Refused: nothing was changed");
    c.shows("MAY DROP tables or columns");
    c.press("<esc> b").await;
    c.wait_at("emergency-target").await;
    c.press("V <home> <down> <down> t").await;
    c.wait_at("revert").await;
    c.press("R <enter>").await;
    c.shows("Roll the Helm release back: review what will be sent");
    c.shows("helm rollback litellm 5 -n llm-gateway --kube-context 'drill' --wait --timeout 10m");
    c.shows("--history-max 0");
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "a review changes nothing");
    c.press("y").await;
    c.wait_at("migrations").await;
    assert_eq!(c.home.deeds(), ["rolled-back"]);
    c.press("V").await;
    c.wait("the record of revision 8", |state| {
        state.releases.known.values().any(|known| known.records.contains_key(&ReleaseRevision::new(8).unwrap()))
    })
    .await;
    c.shows("Rollback to 5");
    c.press("R").await;
    c.take_suggestion("no row is failed").await;
    prove(&mut c, true).await;
    assert_eq!(c.home.deeds(), ["rolled-back", "completed"]);
}

/// Helm goes on when the console dies; the record tells the next one how it ended.
#[tokio::test(start_paused = true)]
async fn a_rollback_outlives_the_console() {
    let mut c = Console::emergency("pending-helm").await;
    c.wait("the records", |state| best_target(state).is_some()).await;
    c.press("V <home> <down> <down> t").await;
    c.press("A drill-pending-helm <enter> R <enter> y").await;
    assert_eq!(c.home.deeds(), ["rolled-back"]);
    let mut c = c.killed_and_resumed().await;
    assert!(matches!(c.top(), Some(Overlay::Unknown(_))), "{:?}", c.top());
    let told = |state: &State| {
        let words = fact_about(state, ActId(1));
        words.as_str().contains("revision 8 is deployed, Rollback to 5: it happened")
    };
    c.wait("what the record says", told).await;
    c.shows("it happened");
    c.press("h").await;
    c.press("R").await;
    c.wait("the revert to be through", |state| progress(state, StepKind::Revert) == Progress::Done).await;
    assert_eq!(c.home.deeds(), ["rolled-back"], "nothing is sent twice");
}

/// To the rollback to revision 4, armed, which the console refuses: its pods and its Job may drop.
async fn to_the_rollback_that_drops() -> Console {
    let mut c = Console::emergency("pending-helm").await;
    c.wait("the records", |state| best_target(state).is_some()).await;
    c.press("V <end> t").await;
    c.wait_at("revert").await;
    c.press("A drill-pending-helm <enter> R <enter>").await;
    c.shows("Refused: nothing was changed");
    c
}

fn wanted(c: &Console) -> Option<String> {
    match c.top() {
        Some(Overlay::AcceptRollback { confirm, .. }) => Some(confirm.wanted().to_string()),
        _ => None,
    }
}

fn held(state: &State, table: &str) -> Option<bool> {
    let table = Object::Table(table.parse().unwrap());
    state.schema.fresh().map(|live| live.objects.has(&table))
}

/// `lastgood run` stops at the same gate, and says which objects are to be spelled.
fn without_a_screen(c: &Console) {
    let Some(Overlay::RefusedRollback(refused)) = c.top() else { panic!("{:?}", c.top()) };
    let phrases = refused.refusal.acceptance.as_ref().unwrap().phrases();
    let reference = c.state().setting.workloads[0].clone();
    let orders = |may_drop: &[Clean]| Orders {
        arm: None,
        confirm: Confirmations::Given(Vec::new()),
        consent: false,
        protect: true,
        may_drop: may_drop.iter().map(Clean::to_string).collect(),
        backup: BackupOrders::Skip,
        targets: BTreeMap::from([(reference.clone(), Wanted::Number(4))]),
        manual: None,
        explore: false,
    };
    let (last, most) = phrases.split_last().unwrap();
    for (given, open) in [(&[][..], &phrases[0]), (most, last)] {
        let stopped = forestalled(c.state(), &orders(given));
        let Some(Move::Stop(Exit::Refused, why)) = &stopped else { panic!("{stopped:?}") };
        assert!(why.as_str().ends_with(&format!("spell each object: --may-drop '{open}'")), "{why}");
        assert!(matches!(answer(c.state(), &orders(given), c.top().unwrap()), Move::Stop(Exit::Refused, _)));
    }
    assert_eq!(forestalled(c.state(), &orders(&phrases)), None);
    let key = Move::Send(vec![Msg::Key(Key::plain(Code::Char('t')))]);
    assert_eq!(answer(c.state(), &orders(&phrases), c.top().unwrap()), key);
}

/// Nothing can be added to a manifest that Helm copies: the way out is another command, and who
/// goes on all the same types the name of each object.
#[tokio::test(start_paused = true)]
async fn a_rollback_that_drops_is_sent_only_by_typing_each_name() {
    let mut c = to_the_rollback_that_drops().await;
    c.shows("MAY DROP tables or columns");
    c.shows("Helm refuses an upgrade");
    c.shows("at stake");
    c.shows("type each name");
    without_a_screen(&c);
    c.press("t").await;
    c.shows("Accept a loss of data");
    c.shows("roll the Helm release litellm back from revision 7 to revision 4");
    let first = wanted(&c).unwrap();
    for blind in ["", "drill-pending-helm", "yes", "litellm"] {
        c.enter(blind).await;
        assert_eq!(wanted(&c).as_ref(), Some(&first), "{blind}");
    }
    let mut typed = Vec::new();
    while let Some(name) = wanted(&c) {
        assert_eq!(c.home.deeds(), Vec::<String>::new());
        c.enter(&name).await;
        typed.push(name);
    }
    assert!(typed.len() > 1 && typed.iter().any(|name| name == "LiteLLM_PolicyTable"), "{typed:?}");
    c.shows("Roll the Helm release back: review what will be sent");
    c.shows("accepted by typing");
    assert_eq!(held(c.state(), "LiteLLM_PolicyTable"), Some(true));
    c.press("y").await;
    assert_eq!(c.home.deeds(), ["rolled-back"]);
    let started = |entry: Entry| match entry {
        Entry::Started { notes, .. } => Some(notes),
        _ => None,
    };
    let notes = c.entries().into_iter().find_map(started).unwrap();
    let named = |name: &str| notes.iter().any(|note| note.contains("accepted by typing") && note.contains(name));
    assert!(typed.iter().filter(|name| !name.contains(' ')).all(|name| named(name)), "{typed:?} {notes:?}");
    c.wait("the loss", |state| held(state, "LiteLLM_PolicyTable") == Some(false)).await;
}

/// What was typed counts for what was shown: leaving the dialog forgets it.
#[tokio::test(start_paused = true)]
async fn a_loss_that_was_not_accepted_to_its_end_is_not_accepted() {
    let mut c = to_the_rollback_that_drops().await;
    c.press("t").await;
    let first = wanted(&c).unwrap();
    c.enter(&first).await;
    assert_ne!(wanted(&c).unwrap(), first);
    c.press("<esc> R <enter>").await;
    c.shows("Refused: nothing was changed");
    c.press("y").await;
    assert_eq!(c.home.deeds(), Vec::<String>::new());
    c.press("<esc> R <enter> t").await;
    assert_eq!(wanted(&c).unwrap(), first, "from the beginning");
}
