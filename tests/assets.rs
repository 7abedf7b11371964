//! Every file in `assets/` is sound and listed in the binary.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use lastgood::domain::runbook::{Library, NodeKind, RUNBOOKS, bundled_runbooks};
use lastgood::domain::scenario::{SCENARIOS, Scenario, bundled_scenarios};
use lastgood::domain::signature::Signatures;
use lastgood::text::{Gate, MASK};

fn on_disk(folder: &str) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap_or_else(|why| panic!("{folder}: {why}"))
        .map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect()
}

#[test]
fn every_runbook_and_scenario_file_is_listed() {
    let listed: BTreeSet<_> = RUNBOOKS.iter().map(|source| source.file.to_owned()).collect();
    assert_eq!(on_disk("assets/runbooks"), listed);
    let listed: BTreeSet<_> = SCENARIOS.iter().map(|source| source.file.to_owned()).collect();
    assert_eq!(on_disk("assets/scenarios"), listed);
}

#[test]
fn every_runbook_and_scenario_is_sound() {
    let gate = Gate::default();
    if let Err(faults) = Library::parse(&RUNBOOKS, &gate) {
        panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>());
    }
    for source in SCENARIOS {
        match Scenario::parse(source, &gate) {
            Ok(scenario) => assert_eq!(source.file, format!("assets/scenarios/{}.toml", scenario.id)),
            Err(faults) => panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()),
        }
    }
    for (source, id) in RUNBOOKS.iter().zip(["llm-rollback-strategy", "litellm-rollback"]) {
        assert_eq!(source.file, format!("assets/runbooks/{id}.toml"));
        assert!(bundled_runbooks().runbook(&id.parse().unwrap()).is_some());
    }
}

#[test]
fn nodes_that_other_parts_link_to_are_there() {
    let library = bundled_runbooks();
    for id in [
        "scope",
        "backup",
        "salt-key",
        "trouble-failed-state",
        "trouble-relation-missing",
        "restart-stale-pods",
        "wait-for-lock",
    ] {
        assert!(library.nodes().any(|node| node.at.to_string() == format!("litellm-rollback:{id}")), "{id}");
    }
}

/// A signature's remedy and the node that names the signature lead to the same place.
#[test]
fn signatures_and_runbooks_agree() {
    let library = bundled_runbooks();
    let signatures = Signatures::bundled();
    for (_, signature) in signatures.iter() {
        if let Some(node) = &signature.runbook {
            assert!(library.node(node).is_some(), "signature {} links to {node}, which does not exist", signature.id);
        }
        if let Some(node) = library.for_signature(signature) {
            assert_eq!(Some(node), signature.runbook.as_ref(), "signature {}", signature.id);
        }
    }
    for (node, id) in library.nodes().flat_map(|node| node.signatures.iter().map(move |id| (node, id))) {
        assert!(signatures.by_id(id).is_some(), "{}: no signature {id}", node.at);
    }
}

/// The gate must not take a runbook's own words for a secret.
#[test]
fn the_gate_leaves_the_words_of_runbooks_and_scenarios_alone() {
    for node in bundled_runbooks().nodes() {
        let mut words = vec![node.title.clone(), node.say.clone()];
        match &node.kind {
            NodeKind::Ask { choices } => words.extend(choices.iter().map(|choice| choice.say.clone())),
            NodeKind::Manual { commands, record, .. } => words.extend(commands.iter().chain([record]).cloned()),
            NodeKind::Do { .. } | NodeKind::End { .. } => {}
        }
        for words in words {
            assert!(!words.as_str().contains(MASK), "{}: {words}", node.at);
        }
    }
    for scenario in bundled_scenarios() {
        let hints = scenario.hints.values().flatten();
        for words in hints.chain([&scenario.title, &scenario.briefing, &scenario.debrief]) {
            assert!(!words.as_str().contains(MASK), "{}: {words}", scenario.id);
        }
        assert!(
            scenario.hints.values().all(|hints| !hints.is_empty()),
            "{} leaves a stage without a hint",
            scenario.id
        );
    }
}

/// What a drill's person puts back by hand, a step of the runbook asks for.
#[test]
fn hands_of_drills_have_their_steps() {
    let library = bundled_runbooks();
    for scenario in bundled_scenarios() {
        for before in scenario.sources.iter().filter_map(|source| source.before.as_ref()) {
            let node = library.node(&before.node).map(|node| &node.kind);
            assert!(matches!(node, Some(NodeKind::Manual { puts_back: true, .. })), "{}: {}", scenario.id, before.node);
        }
    }
}

/// A manual step without commands must at least ask what came of it.
#[test]
fn manual_steps_leave_a_trace() {
    for node in bundled_runbooks().nodes() {
        if let NodeKind::Manual { record, .. } = &node.kind {
            assert!(!record.is_empty(), "{} asks for nothing to write down", node.at);
        }
    }
}
