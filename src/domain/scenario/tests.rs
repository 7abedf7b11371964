//! Scenarios are read, and every fault of one is told with its place.

use super::*;

fn faults_of(text: &str) -> Vec<String> {
    let source = Source { file: "s.toml", text };
    let faults = Scenario::parse(source, &Gate::default()).err().unwrap_or_default();
    faults.iter().map(|fault| fault.to_string()).collect()
}

#[test]
fn every_kind_of_fault_names_file_line_and_remedy() {
    let sound = SCENARIOS[1].text;
    assert_eq!(faults_of(sound), Vec::<String>::new());
    // what is replaced, by what, the message
    let rows = [
        (
            "target = \"2m\"",
            "target = \"soon\"",
            "`soon` is no length of time; write a whole number and ms, s, m, h or d",
        ),
        ("target = \"2m\"", "goal = \"2m\"", "unknown key `goal`; use one of briefing,"),
        ("replicas = 3", "replicas = 0", "`replicas` is out of range; write 1 to 50"),
        ("strategy = \"rolling\"", "strategy = \"hope\"", "there is no strategy `hope`; use `recreate` or `rolling`"),
        ("namespace = \"llm-gateway\"", "namespace = \"LLM\"", "`LLM` is not a Kubernetes name"),
        ("[hints]", "[hint]", "`hints` is missing; add a `[hints]` table"),
        ("number = 21", "number = 23", "revisions are out of order; write the oldest first"),
        (
            "v1.100.0\"\nwords",
            "v1.99.0\"\nwords",
            "runs ghcr.io/berriai/litellm:v1.99.0, which no image describes; add an `[[image]]`",
        ),
        ("spend = \"recorded\"", "spend = \"guessed\"", "there is no way of spending `guessed`"),
        (
            "state = \"applied\"",
            "state = \"running\"",
            "there is no state `running`; use one of `applied`, `failed`, `rolled-back`",
        ),
        (
            "with = \"20260831000000_shadow_eval_typed_targets\"",
            "with = \"nothing\"",
            "an image clashes with nothing, which nobody applies",
        ),
        (
            "deleted = \"2026",
            "deleted = \"1926",
            "makes it well, and there is no such row; name the migration of a `[[row]]`",
        ),
        ("restarted = true", "reverted_to = 7", "revision 7 makes it well, and there is no such revision"),
        ("restarted = true", "restarted = true\nreverted_to = 21", "a condition says one thing"),
        ("models = [", "models = []\nmodel = [", "the gateway has no model; name at least one"),
        ("age = \"12d\"\n", "", "`age` is missing; add `age = \"30s\"`, say"),
    ];
    for (from, to, message) in rows {
        let text = sound.replacen(from, to, 1);
        assert_ne!(text, sound, "the row replaces nothing: {from}");
        let faults = faults_of(&text);
        assert!(faults.iter().any(|fault| fault.contains(message)), "wanted {message:?}, got {faults:#?}");
        assert!(faults.iter().all(|fault| fault.starts_with("s.toml:")), "{faults:#?}");
    }
}

#[test]
fn raw_text_of_a_scenario_cannot_be_printed() {
    let text = format!("{:?}", bundled_scenarios());
    for secret in ["correct-horse", "violet-otter", "salt-that-the-rows", "BEGIN PRIVATE", "eyJhbGci"] {
        assert!(!text.contains(secret), "{secret} is in the debug text");
    }
}

proptest::proptest! {
    #[test]
    fn no_mutation_of_a_scenario_panics(at in 0usize..9000, cut in 0usize..60, put in "[a-z\"\\[\\]{}=\\n.:0-9é-]{0,8}") {
        let text = SCENARIOS[0].text;
        let at = (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let end = (at + cut).min(text.len());
        faults_of(&format!("{}{put}{}", &text[..at], text.get(end..).unwrap_or_default()));
    }
}
