//! Secrets planted in a world appear nowhere: not on the screen, not on disk, not in what is printed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lastgood::app::action::Pane;
use lastgood::app::keymap::{self, Keymap};
use lastgood::app::pilot::{self, BackupOrders, Confirmations, Orders};
use lastgood::app::setting::Setting;
use lastgood::app::state::State;
use lastgood::domain::cluster::WorkloadRef;

use lastgood::domain::environment::Kind;
use lastgood::domain::record::Entry;
use lastgood::domain::runbook::{Source, bundled_runbooks};
use lastgood::domain::scenario::{SCENARIOS, Scenario};
use lastgood::domain::signature::Signatures;
use lastgood::runtime::folder::{Shelf, StateFolder};
use lastgood::runtime::journal::{FILE, Journal};
use lastgood::runtime::{Places, Runtime, headless};
use lastgood::text::{Clean, Gate};
use lastgood::ui::theme::{Charset, Palette, Theme};
use lastgood::world::clock::Clock;
use lastgood::world::sandbox::Sandbox;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// Secrets that nobody told the gate: only their shape gives them away. What is searched for
/// afterwards, and the line that carries it.
const PLANTED: [(&str, &str); 14] = [
    ("masterplant0001", "LITELLM_MASTER_KEY=masterplant0001"),
    ("dbplant0002", "cannot reach postgresql://llmproxy:dbplant0002@litellm-db:5432/litellm"),
    ("bearerplant0003", "request failed, header Authorization: Bearer bearerplant0003"),
    ("eyJzdWIiOiJwbGFudDQifQ", "session eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudDQifQ.c2lnbmF0dXJl expired"),
    ("PLANTAWS0005ABCD", "using AKIAPLANTAWS0005ABCD"),
    ("plantAwsSecret0006", "aws_secret_access_key = plantAwsSecret0006/K7MDENG+bPxRfiCYEXAMP"),
    ("SyPlantGcp0007", "gemini says AIzaSyPlantGcp0007abcdefghijklmnopqr"),
    ("plantAzure0008", "DefaultEndpointsProtocol=https;AccountKey=plantAzure0008abc==;EndpointSuffix=core"),
    ("sasplant0009", "upload to https://x.blob.core.windows.net/c?sv=2022&sig=sasplant0009%3D failed"),
    ("envplant0010", "core.EnvVar{Name:\\\"DB_PASSWORD\\\", Value:\\\"envplant0010\\\", ValueFrom:nil}"),
    ("flagplant0011", "argv: litellm --master_key flagplant0011 --port 4000"),
    ("pemplant0012", "-----BEGIN PRIVATE KEY-----"),
    ("pemplant0012", "pemplant0012AQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKjMzEfYyjiWA4R"),
    ("pemplant0012", "-----END PRIVATE KEY-----"),
];

/// The drill of the failed migration with the secrets planted in its logs and in its failed row.
fn planted(gate: &Gate) -> Scenario {
    let source = SCENARIOS.iter().find(|source| source.text.contains("id = \"failed-migration\"")).unwrap();
    let lines: String = PLANTED.iter().map(|(_, line)| format!("  \"{line}\",\n")).collect();
    let logs: String = PLANTED.iter().map(|(_, line)| format!("{line}\n")).collect();
    let text = source
        .text
        .replace("boot = [\n", &format!("boot = [\n{lines}"))
        .replace("running = [\n", &format!("running = [\n{lines}"))
        .replace("ERROR: canceling statement", &format!("{logs}ERROR: canceling statement"));
    assert!(text.matches("pemplant0012AQ").count() >= 5, "planted where each image logs, and in the row");
    Scenario::parse(Source { file: source.file, text: &text }, gate).unwrap()
}

fn state(scenario: &Scenario, gate: &Gate, now: Timestamp) -> State {
    let place = &scenario.place;
    let setting = Setting {
        context: Some(place.context.clone()),
        namespace: Some(place.namespace.clone()),
        workloads: vec![WorkloadRef { namespace: place.namespace.clone(), name: place.workload.clone() }],
        billing: scenario.gateway.billing,
        database: Some(Clean::ours("the sandbox's database")),
        gateway: Some(Clean::ours("the sandbox's gateway")),
        ..Setting::bare(place.environment.clone(), Kind::Drill)
    };
    let keymap = Arc::new(Keymap::parse(keymap::DEFAULT).unwrap());
    State::new(setting, Arc::new(bundled_runbooks()), Arc::new(Signatures::bundled()), keymap, gate.clone(), now)
}

fn opened(scenario: &Scenario, state: &State) -> Entry {
    let start = state.runbooks.start().clone();
    let runbook = state.runbooks.runbook(&start.runbook).unwrap();
    Entry::Opened {
        incident: "planted-1".parse().unwrap(),
        environment: scenario.place.environment.clone(),
        kind: "drill".to_owned(),
        scenario: Some(scenario.id.clone()),
        place: vec![],
        runbook: start.runbook.clone(),
        version: runbook.version,
        hash: runbook.hash.to_string(),
        start,
    }
}

fn orders(scenario: &Scenario) -> Orders {
    Orders {
        arm: Some(scenario.place.environment.to_string()),
        confirm: Confirmations::Any,
        consent: true,
        protect: true,
        may_drop: Vec::new(),
        backup: BackupOrders::Full,
        targets: BTreeMap::new(),
        manual: Some("carried out; the key was password='manual plant 13', sent".to_owned()),
        explore: true,
    }
}

/// Every pane, wide and narrow.
fn screens(state: &State, seen: &mut String) {
    let theme = Theme::bundled(Palette::Mono, Charset::Unicode);
    for (width, height) in [(80, 24), (200, 60)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        for pane in Pane::ALL {
            let mut state = state.clone();
            state.view.focus = pane;
            state.view.zoom = true;
            state.view.size = (width, height);
            terminal.draw(|frame| lastgood::ui::draw(frame, &state, &theme)).unwrap();
            let buffer = terminal.backend().buffer();
            for row in buffer.content().chunks(usize::from(width)) {
                let row: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
                writeln!(seen, "{row}").unwrap();
            }
        }
    }
}

fn holds_no_secret(place: &str, text: &str, more: &[&str]) {
    for secret in PLANTED.iter().map(|(secret, _)| *secret).chain(more.iter().copied()) {
        if let Some(at) = text.find(secret) {
            let before: String = text[..at].chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{place} shows {secret} behind {before}");
        }
    }
}

/// Everything below a folder, name and content.
fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

/// The built program with this home folder: standard output and standard error.
fn told(home: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastgood"));
    command.args(arguments).current_dir(home).env_clear().env("HOME", home).stdin(Stdio::null());
    let output = command.output().unwrap();
    format!("{}\n{}", String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(start_paused = true)]
async fn planted_secrets_are_neither_shown_nor_kept() {
    let home = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let scenario = planted(&gate);
    let clock = Clock::starting_at("2026-11-20T03:12:00Z".parse().unwrap());
    let world = Sandbox::open(&scenario, clock, &gate, None).unwrap();
    let folder = StateFolder::at(home.path().join(".local/state/lastgood"));
    let incident = folder.incident(Shelf::Drills, &"planted-1".parse().unwrap());
    let journal = Journal::create(&incident, &gate).unwrap();
    let state = state(&scenario, &gate, clock.now());
    let opened = opened(&scenario, &state);
    let dumps = vec![incident.clone()];
    let places = Places { incident: incident.clone(), backups: incident.clone(), dumps, locks: folder.locks() };
    let mut runtime = Runtime::new(state, world, clock, journal, places);
    runtime.begin(vec![opened]);

    let orders = orders(&scenario);
    let mut seen = String::new();
    let mut messages = 0;
    let ended = headless::run(
        &mut runtime,
        |state| pilot::next(state, &orders),
        Duration::from_secs(600),
        |state| {
            // Now and then, and whenever a dialog is open.
            if messages % 40 == 0 || !state.overlays.is_empty() {
                screens(state, &mut seen);
                write!(seen, "{state:?}").unwrap();
            }
            messages += 1;
        },
    )
    .await;
    assert!(runtime.state.incident.complete(), "the drill was walked to its end: {}", ended.words);
    for part in ["LITELLM_MASTER_KEY=[masked]", "argv: litellm --master_key [masked] --port", "AKIA[masked]"] {
        assert!(seen.contains(part), "the planted lines were on the screen: {part}");
    }
    let more = ["manual plant 13", "violet-otter-19", "sk-drill-failed-migration-88", "salt-of-the-migration-drill"];
    holds_no_secret("the screen, or Debug of the state,", &seen, &more);

    drop(runtime);
    let mut kept = Vec::new();
    files(home.path(), &mut kept);
    assert!(kept.iter().any(|(name, text)| name.ends_with(FILE) && text.lines().count() > 10), "there is a journal");
    // A restore file holds the row exactly as it was: that is what it is for (mode 0600).
    for (name, text) in kept.iter().filter(|(name, _)| !name.contains("row-") && !name.contains("restore")) {
        holds_no_secret(name, text, &more);
    }
    for format in ["--md", "--json"] {
        let written = told(home.path(), &["export", "planted-1", format]);
        assert!(written.contains("planted-1") && written.len() > 500, "{written}");
        holds_no_secret(format, &written, &more);
    }
}

#[test]
fn what_the_program_prints_of_its_own_drills_holds_no_secret() {
    let home = tempfile::tempdir().unwrap();
    for source in SCENARIOS {
        let scenario = Scenario::parse(Source { file: source.file, text: source.text }, &Gate::default()).unwrap();
        let secrets: Vec<&str> = scenario.secrets.iter().map(|secret| secret.expose()).collect();
        assert!(!secrets.is_empty() && secrets.iter().any(|secret| source.text.matches(secret).count() > 1));
        for arguments in
            [&["drill", scenario.id.as_str(), "--auto"][..], &["drill", scenario.id.as_str(), "--auto", "--json"]]
        {
            let printed = told(home.path(), arguments);
            assert!(printed.len() > 500, "{printed}");
            holds_no_secret(&format!("{arguments:?}"), &printed, &secrets);
        }
        let mut kept = Vec::new();
        files(home.path(), &mut kept);
        for (name, text) in kept.iter().filter(|(name, _)| name.ends_with(FILE)) {
            holds_no_secret(name, text, &secrets);
        }
    }
    let listed = told(home.path(), &["incidents", "--json"]);
    assert!(listed.contains("failed-migration"), "{listed}");
}
