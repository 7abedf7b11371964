//! The drill `config-drift`: a revert that meets another ConfigMap, stopped, repaired, and walked into.

use lastgood::app::coupling;
use lastgood::app::evidence::evidence;
use lastgood::app::overlay::Overlay;
use lastgood::app::preflight::findings;
use lastgood::app::status::manual_commands;
use lastgood::domain::record::Entry;
use lastgood::domain::runbook::NodeRef;
use lastgood::domain::step::Fact;

use crate::console::Console;
use crate::prove;

/// Fails unless a finding of the preflight says these words.
#[track_caller]
fn finds(c: &Console, words: &str) {
    let findings = findings(c.state());
    assert!(findings.iter().any(|finding| finding.what.as_str().contains(words)), "{words}: {findings:#?}");
}

/// To the revert of the drifted ConfigMap, armed, in the emergency that looks at no check first.
async fn to_the_drifted_revert() -> Console {
    let mut c = Console::emergency("config-drift").await;
    c.press("<enter>").await;
    c.wait_at("revert").await;
    c.press("A drill-config-drift <enter> R <enter>").await;
    c.shows("Stopped: read this before you go on");
    c.shows("configmap/litellm-config changed with the rollout that replaced revision 20");
    c.shows("Type in full: litellm-config");
    c
}

#[tokio::test(start_paused = true)]
async fn config_drift_by_keys() {
    let mut c = to_the_drifted_revert().await;
    assert_eq!(c.home.deeds(), Vec::<String>::new(), "a stop changes nothing");
    c.press("<esc> R F").await;
    c.enter("the ConfigMap changed").await;
    c.wait_at("revert-failed").await;
    c.press("E").await;
    for words in [
        "configmap/litellm-config changed with the rollout that replaced revision 20",
        "secret/litellm-provider-keys changed after revision 20 was replaced",
        "hpa/litellm has 4 replicas, the most that it may set",
        "leads to another image than the one that revision 20 ran",
    ] {
        finds(&c, words);
    }
    c.take_suggestion("A ConfigMap changed since the target ran").await;
    c.wait_at("put-back").await;
    c.press("R").await;
    c.shows("BY HAND");
    let commands = manual_commands(c.state()).unwrap();
    for exact in [
        "kubectl --context 'drill' -n llm-gateway get configmap litellm-config -o yaml > litellm-config-now.yaml",
        "kubectl --context 'drill' -n llm-gateway exec POD -c litellm -- cat /app/config.yaml > old-config.yaml",
        "kubectl --context 'drill' -n llm-gateway create configmap litellm-config --from-file=config.yaml=old-config.yaml --dry-run=client -o yaml | kubectl --context 'drill' -n llm-gateway apply -f -",
    ] {
        assert!(commands.as_str().contains(exact), "{exact}\n{commands}");
    }
    c.press("<enter>").await;
    c.enter("commit 4f1c22e, from Git").await;
    assert_eq!(c.home.deeds(), ["by-hand"]);
    c.wait_at("checks").await;
    c.wait("the sources to be read again", |state| evidence(state, Fact::ConfigDrifted).holds == Some(false)).await;
    c.press("E").await;
    finds(&c, "configmap/litellm-config was put back by hand");
    c.press("R <enter>").await;
    c.wait_at("choose-target").await;
    c.press("R <enter>").await;
    c.wait_at("revert").await;
    c.press("R <enter>").await;
    c.shows("Revert: review what will be sent");
    c.press("y").await;
    c.wait_at("migrations").await;
    c.take_suggestion("no row is failed").await;
    prove(&mut c, true).await;
    assert_eq!(c.home.deeds(), ["by-hand", "changed", "completed"]);
    c.hides("hunter2-of-the-config-map");
}

/// Whoever types the name gets what was foretold: the old image on the new configuration.
#[tokio::test(start_paused = true)]
async fn the_drifted_revert_is_sent_only_by_typing_its_name_and_crashes() {
    let mut c = to_the_drifted_revert().await;
    for blind in ["", "y", "drill-config-drift"] {
        c.enter(blind).await;
        assert!(matches!(c.top(), Some(Overlay::Doubts { .. })), "{blind}: {:?}", c.top());
    }
    c.enter("litellm-config").await;
    c.shows("Revert: review what will be sent");
    c.press("y").await;
    assert_eq!(c.home.deeds(), ["changed"]);
    let noted = c.entries().into_iter().any(|entry| match entry {
        Entry::Started { notes, .. } => notes.iter().any(|note| note.contains("with litellm-config typed")),
        _ => false,
    });
    assert!(noted, "{:#?}", c.entries());
    c.pass(40).await;
    c.press("L").await;
    c.shows("Could not import budget_guard");
    assert!(c.state().pods().iter().all(|pod| !pod.ready()));
    // The way out is the same: put it back, and the crashing pods find it at their next start.
    c.press("R F").await;
    c.enter("it crashes as foretold").await;
    c.take_suggestion("A ConfigMap changed since the target ran").await;
}

/// A person's word counts only where the object was written to.
#[tokio::test(start_paused = true)]
async fn a_source_that_nobody_wrote_to_is_not_put_back_by_words() {
    let c = to_the_drifted_revert().await;
    let stops = coupling::stopping(c.state()).len();
    assert_eq!(stops, 1);
    // The step is said to be done, and the sandbox' hands did not move.
    let mut state = c.state().clone();
    let node = NodeRef { runbook: "litellm-rollback".parse().unwrap(), node: "put-back".parse().unwrap() };
    let at = state.now;
    let entry = Entry::Stepped { node: node.clone(), done: true, words: "done".to_owned(), to: node };
    let gate = state.gate.clone();
    state.incident.apply(at, &entry, &gate);
    assert_eq!(coupling::stopping(&state).len(), 1, "its last write is older than the step");
}
