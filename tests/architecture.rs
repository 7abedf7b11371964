//! The promises of the source: who may name whom, what each floor must not know, who may make
//! what. Each rule is shown planted text that breaks it, so that it is seen to fail.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/source.rs"]
mod source;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use source::{Fact, Found, facts};

/// Each floor and the floors it may name.
const FLOORS: [(&str, &[&str]); 8] = [
    ("text", &[]),
    ("domain", &["text"]),
    ("app", &["domain", "text"]),
    ("world", &["domain", "text"]),
    ("ui", &["app", "domain", "text"]),
    ("runtime", &["ui", "app", "world", "domain", "text"]),
    ("cli", &["runtime", "ui", "app", "world", "domain", "text"]),
    ("main", &["cli"]),
];

/// Macros at the root of the crate, and what a test build adds there.
const AT_ROOT: [&str; 1] = ["say"];

const CLIENTS: [&str; 8] = ["tokio", "ratatui", "crossterm", "kube", "k8s_openapi", "sqlx", "reqwest", "redis"];
const CLOCKS_AND_FILES: [&[&str]; 6] = [
    &["std", "fs"],
    &["std", "env"],
    &["std", "net"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["Timestamp", "now"],
];

/// Where a secret leaves for its destination, outside `world`, each with its reason.
const EXPOSE: [(&str, &str); 4] = [
    ("src/cli/secret.rs", "a value from a Kubernetes Secret is put together, and what is inside a URL is learnt"),
    ("src/cli/wiring.rs", "a database or gateway URL is parsed before a port is made of it"),
    ("src/app/update.rs", "pasted text goes into the line that is typed, letter by letter"),
    ("src/text/gate.rs", "the gate has to know what it masks"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of a folder, with its path from the project's root.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut open = vec![root().join(folder)];
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// `src/app/acts.rs` is `["app", "acts"]`; `main.rs` and `lib.rs` are the root.
fn module(file: &str) -> Vec<&str> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    if inner == "main" || inner == "lib" { Vec::new() } else { inner.split('/').collect() }
}

fn floor(file: &str) -> &str {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    inner.split('/').next().unwrap()
}

/// Files that only tests have: `#[cfg(test)] mod name;` in their parent.
fn test_files(sources: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in sources {
        for one in facts(text, &module(file)) {
            if let Fact::TestModule(name) = one.fact {
                let folder = [vec!["src"], module(file)].concat().join("/");
                found.push(format!("{folder}/{name}.rs"));
            }
        }
    }
    found
}

/// A broken rule: file, line, and what is wrong.
type Fault = String;

/// The facts of every file of `src` that ships, read once.
static SHIPPED: LazyLock<Vec<(String, Vec<Found>)>> = LazyLock::new(|| {
    let sources = files("src");
    let tests = test_files(&sources);
    let shipped = sources.iter().filter(|(file, _)| !tests.contains(file));
    shipped.map(|(file, text)| (file.clone(), facts(text, &module(file)))).collect()
});

/// Applies a rule to all of `src`, without test code.
fn check(rule: impl Fn(&str, &Found) -> Option<String>) -> Vec<Fault> {
    SHIPPED.iter().flat_map(|(file, found)| judged(file, found, &rule)).collect()
}

fn apply(file: &str, text: &str, rule: &impl Fn(&str, &Found) -> Option<String>) -> Vec<Fault> {
    judged(file, &facts(text, &module(file)), rule)
}

fn judged(file: &str, found: &[Found], rule: &impl Fn(&str, &Found) -> Option<String>) -> Vec<Fault> {
    let shipped = found.iter().filter(|found| !found.test);
    shipped.filter_map(|found| Some(format!("{file}:{}: {}", found.line, rule(file, found)?))).collect()
}

/// Planted text in a file must break the rule.
#[track_caller]
fn breaks(file: &str, text: &str, rule: impl Fn(&str, &Found) -> Option<String>) {
    assert!(!apply(file, text, &rule).is_empty(), "the rule does not see `{text}` in {file}");
}

#[track_caller]
fn keeps(file: &str, text: &str, rule: impl Fn(&str, &Found) -> Option<String>) {
    assert_eq!(apply(file, text, &rule), Vec::<Fault>::new(), "`{text}` in {file}");
}

#[track_caller]
fn none(faults: Vec<Fault>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

// -------------------------------------------------------------------------------- floors

fn floors(file: &str, found: &Found) -> Option<String> {
    let Fact::Path(path) = &found.fact else { return None };
    if path.first().map(String::as_str) != Some("crate") || file == "src/lib.rs" {
        return None;
    }
    let from = floor(file);
    let shown = path.join("::");
    let to = match path.get(1).map(String::as_str) {
        None | Some("*") => return Some(format!("{shown} takes the whole crate; name what is needed")),
        Some(to) => to,
    };
    if to == from || AT_ROOT.contains(&to) {
        return None;
    }
    let may = FLOORS.iter().find(|(name, _)| *name == from).map(|(_, may)| *may);
    let Some(may) = may else { return Some(format!("{from} is no floor")) };
    (!may.contains(&to)).then(|| format!("{from} must not name {to} ({shown})"))
}

#[test]
fn no_floor_names_one_above_it() {
    none(check(floors));
}

#[test]
fn the_floors_are_seen_to_fail() {
    for (file, text) in [
        ("src/app/x.rs", "use crate::world::World;"),
        ("src/app/x.rs", "use crate::{domain::name::Name, world::{self, World}};"),
        ("src/app/x.rs", "use crate::{text::Clean, domain::{live::Live, name::{Name, Uid}}, runtime};"),
        ("src/app/x.rs", "fn f() { let _ = crate::world::missing(); }"),
        ("src/app/x.rs", "fn f() -> Option<crate::runtime::Runtime> { None }"),
        ("src/app/x.rs", "fn f() { vec![crate::world::tls::install_provider()]; }"),
        ("src/app/x/y.rs", "use super::super::super::world::World;"),
        ("src/app/x.rs", "use super::super::cli;"),
        ("src/app/x.rs", "mod inner { fn f() { super::super::super::ui::draw() } }"),
        ("src/app/x.rs", "pub use crate::world::Reply;"),
        ("src/app/x.rs", "use crate as all; fn f() { all::world::missing() }"),
        ("src/app/x.rs", "use crate::*;"),
        ("src/app/x.rs", "use crate::World;"),
        ("src/world/x.rs", "use crate::app::state::State;"),
        ("src/world.rs", "use self::super::app::msg::Msg;"),
        ("src/ui/x.rs", "use crate::world::World;"),
        ("src/ui/x.rs", "use crate::runtime::Runtime;"),
        ("src/ui.rs", "use crate::cli::exit::Exit;"),
        ("src/domain/x.rs", "use crate::app::state::State;"),
        ("src/text.rs", "use crate::domain::name::Name;"),
        ("src/runtime/x.rs", "use crate::cli::exit::Exit;"),
        ("src/main.rs", "fn main() { lastgood::runtime::screen::hangup(); }"),
    ] {
        breaks(file, text, floors);
    }
    for (file, text) in [
        ("src/app/x.rs", "//! crate::world in words\nuse crate::{domain::name::Name, text::Clean};"),
        ("src/app/x.rs", "fn f() { let _ = \"crate::world\"; say!(\"{}\", 1); super::state::f(); }"),
        ("src/app/x.rs", "#[cfg(test)] mod tests { use crate::world::World; }"),
        ("src/runtime/x.rs", "use crate::{app::state::State, ui::draw, world::World};"),
        ("src/main.rs", "fn main() { lastgood::cli::main(lastgood::cli::engine::run) }"),
    ] {
        keeps(file, text, floors);
    }
}

// -------------------------------------------------------------------------------- forbidden words

fn names(path: &[String], forbidden: &[&str]) -> bool {
    let within = path.windows(forbidden.len()).any(|part| part.iter().zip(forbidden).all(|(a, b)| a == b));
    // A glob brings everything below it in.
    let glob = path.last().is_some_and(|last| last == "*")
        && path.len() <= forbidden.len()
        && path[..path.len() - 1].iter().zip(forbidden).all(|(a, b)| a == b);
    within || glob
}

fn pure(file: &str, found: &Found) -> Option<String> {
    let core = ["text", "domain", "app"].contains(&floor(file));
    let ui = floor(file) == "ui";
    if !core && !ui {
        return None;
    }
    match &found.fact {
        Fact::Path(path) if path[0] != "crate" => {
            let clients: &[&str] = if ui { &["tokio", "crossterm", "kube", "sqlx", "reqwest"] } else { &CLIENTS };
            let client = clients.iter().find(|client| path.iter().any(|part| part == *client));
            let other = CLOCKS_AND_FILES.iter().find(|forbidden| names(path, forbidden));
            let shown = path.join("::");
            (client.is_some() || other.is_some()).then(|| format!("{} must not name {shown}", floor(file)))
        }
        Fact::Method(name, true) | Fact::Called(name, true) if name == "now" => {
            Some(format!("{} must not ask for the time", floor(file)))
        }
        _ => None,
    }
}

#[test]
fn the_core_knows_no_clock_no_file_and_no_client() {
    none(check(pure));
}

#[test]
fn the_forbidden_words_are_seen_to_fail() {
    for (file, text) in [
        ("src/domain/x.rs", "use std::fs;"),
        ("src/domain/x.rs", "use std::{collections::BTreeMap, fs::{self, File}};"),
        ("src/domain/x.rs", "use std::*;"),
        ("src/domain/x.rs", "use std::time::*;"),
        ("src/domain/x.rs", "use std::time; fn f() { time::Instant::now(); }"),
        ("src/domain/x.rs", "fn f() { std::env::var(\"X\"); }"),
        ("src/domain/x.rs", "fn f() { ::std::fs::read(\"x\"); }"),
        ("src/app/x.rs", "use std as s; fn f() { s::fs::read(\"x\"); }"),
        ("src/app/x.rs", "fn f() { jiff::Timestamp::now(); }"),
        ("src/app/x.rs", "use jiff::Timestamp as T; fn f() { T::now(); }"),
        ("src/app/x.rs", "use tokio::spawn;"),
        ("src/app/x.rs", "fn f(frame: ratatui::Frame<'_>) {}"),
        ("src/text.rs", "fn f() { say!(\"{}\", std::env::args().count()) }"),
        ("src/ui/x.rs", "use ratatui::crossterm::event::Event;"),
        ("src/ui/x.rs", "fn f(c: Clock) { c.now(); }"),
        ("src/ui/x.rs", "fn f() { std::fs::read(\"x\"); }"),
        ("src/ui/x.rs", "use tokio::time::Instant;"),
    ] {
        breaks(file, text, pure);
    }
    for (file, text) in [
        ("src/app/x.rs", "fn f(state: &State) { state.now; state.logs.at(state.now); }"),
        ("src/domain/x.rs", "/// like std::fs and tokio\nfn f() { \"std::fs\"; }"),
        ("src/domain/x.rs", "#[cfg(test)] mod tests { use std::fs; }"),
        ("src/ui/x.rs", "use ratatui::Frame;"),
        ("src/world/x.rs", "use std::fs; use tokio::spawn;"),
    ] {
        keeps(file, text, pure);
    }
}

// -------------------------------------------------------------------------------- who makes what

/// A value, how it is made, and the files that may.
const MAKERS: [(&str, char, &[&str]); 4] = [
    ("Confirmed", '(', &["src/domain/confirm.rs"]),
    ("Clean", '(', &["src/text.rs", "src/text/gate.rs"]),
    ("Cleared", '{', &["src/domain/change/guard.rs"]),
    ("Announced", '{', &["src/app/effect.rs", "src/app/state.rs"]),
];

fn makers(file: &str, found: &Found) -> Option<String> {
    let Fact::Made(name, how) = &found.fact else { return None };
    let (_, _, may) = MAKERS.iter().find(|(made, by, _)| made == name && by == how)?;
    (!may.contains(&file)).then(|| format!("{name} is made here; only {} may", may.join(" and ")))
}

#[test]
fn proofs_are_made_where_they_are_proved() {
    none(check(makers));
    for (file, text) in [
        ("src/app/x.rs", "fn f() { Confirmed(row) }"),
        ("src/app/x.rs", "fn f() { crate::domain::confirm::Confirmed(row) }"),
        ("src/ui/x.rs", "fn f() { Clean(text.into()) }"),
        ("src/world/x.rs", "fn f() { Cleared { change, template, why } }"),
        ("src/runtime/x.rs", "fn f() { Announced { id, at, started, act } }"),
    ] {
        breaks(file, text, makers);
    }
    keeps("src/world/x.rs", "fn f(a: Cleared) -> Cleared { a }\nimpl Cleared { }\nimpl Safe for Cleared { }", makers);
    keeps("src/domain/confirm.rs", "pub struct Confirmed<T>(T); fn f() { Confirmed(row) }", makers);
}

fn secrets(file: &str, found: &Found) -> Option<String> {
    let (name, own) = match &found.fact {
        Fact::Method(name, true) => (name.as_str(), true),
        Fact::Path(path) if path.len() > 1 => {
            let of = path[path.len() - 2].as_str();
            (path[path.len() - 1].as_str(), matches!(of, "Secret" | "Sealed"))
        }
        _ => return None,
    };
    if !own || file.starts_with("src/world/") {
        return None;
    }
    match name {
        "expose" if !EXPOSE.iter().any(|(may, _)| *may == file) => {
            Some("a secret is exposed outside a port".to_owned())
        }
        "open" => Some("a sealed value is opened outside a port".to_owned()),
        _ => None,
    }
}

#[test]
fn secrets_are_opened_in_ports_only() {
    none(check(secrets));
    breaks("src/app/x.rs", "fn f(s: &Secret) { s.expose(); }", secrets);
    breaks("src/app/x.rs", "use crate::text::Secret; fn f(s: &[Secret]) { s.iter().map(Secret::expose); }", secrets);
    breaks("src/runtime/x.rs", "fn f(s: &Sealed<String>) { s.open(); }", secrets);
    keeps("src/runtime/x.rs", "fn f() { File::open(path); OpenOptions::new().open(&path); }", secrets);
    keeps("src/world/x.rs", "fn f(s: &Sealed<String>) { s.open(); }", secrets);
    let justified: Vec<&str> = EXPOSE.iter().map(|(file, _)| *file).collect();
    for file in justified {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let needed =
            facts(&text, &module(file)).iter().any(|f| !f.test && f.fact == Fact::Method("expose".into(), true));
        assert!(needed, "{file} does not expose a secret any more: take it off the list");
    }
}

fn shown_secrets(file: &str, found: &Found) -> Option<String> {
    let (shows, name) = match &found.fact {
        Fact::Derived(shows, name) | Fact::Impl(shows, name) => (shows.as_str(), name.as_str()),
        _ => return None,
    };
    let ours = match &found.fact {
        // It prints the word `Secret` and nothing else; a unit test of the type says so.
        Fact::Impl(..) => file == "src/text.rs" && (shows, name) == ("Debug", "Secret"),
        _ => false,
    };
    let shows = ["Debug", "Display", "Serialize", "ToString"].contains(&shows);
    (shows && ["Secret", "Sealed"].contains(&name) && !ours).then(|| format!("{name} must not be shown"))
}

#[test]
fn secrets_cannot_be_printed() {
    none(check(shown_secrets));
    breaks("src/text.rs", "#[derive(Clone, Debug)] pub struct Secret(Arc<str>);", shown_secrets);
    breaks("src/text.rs", "#[derive(Clone)]\n#[derive(Serialize)]\npub struct Sealed<T>(T);", shown_secrets);
    breaks("src/world/x.rs", "impl<T> fmt::Debug for Sealed<T> { }", shown_secrets);
    breaks("src/domain/x.rs", "impl std::fmt::Display for crate::text::Secret { }", shown_secrets);
    keeps("src/text.rs", "#[derive(Clone, PartialEq, Eq)] pub struct Secret(Arc<str>);", shown_secrets);
    assert_eq!(format!("{:?}", lastgood::text::Secret::new("hunter22")), "Secret");
}

// -------------------------------------------------------------------------------- files and tests

/// The first paragraph of a file's documentation is whole sentences.
fn opening(text: &str) -> Result<(), &'static str> {
    let lines = text.lines().take_while(|line| line.starts_with("//! "));
    let paragraph: String = lines.map(|line| line.trim_start_matches("//! ")).collect::<Vec<_>>().join(" ");
    match paragraph.chars().next() {
        None => Err("the first line is not a `//!` sentence"),
        Some(c) if c.is_lowercase() && !paragraph.starts_with("lastgood") => Err("the sentence begins in the middle"),
        _ if !paragraph.ends_with('.') && !paragraph.ends_with(':') => Err("the sentence has no end"),
        _ => Ok(()),
    }
}

#[test]
fn every_file_opens_with_a_sentence() {
    let all = [files("src"), files("tests")].concat();
    assert!(all.len() > 100, "{}", all.len());
    none(all.iter().filter_map(|(file, text)| Some(format!("{file}:1: {}", opening(text).err()?))).collect());
    for bad in
        ["use std::fs;", "// A comment.", "//! no beginning.", "//! No end", "\n//! Late.", "#![allow(x)]\n//! Late."]
    {
        assert!(opening(bad).is_err(), "{bad}");
    }
}

/// A test waits for something to happen, with a deadline; it does not sleep and hope.
fn patient(_: &str, found: &Found) -> Option<String> {
    let waits = ["wait", "until", "poll", "ready", "soon"].iter().any(|word| found.function.contains(word));
    match &found.fact {
        Fact::Attribute(name) if name == "ignore" || name == "should_panic" => Some(format!("#[{name}] hides a test")),
        Fact::Path(path)
            if !waits && (names(path, &["thread", "sleep"]) || names(path, &["tokio", "time", "sleep"])) =>
        {
            Some(format!("{} sleeps and hopes; wait for something in a helper named for it", found.function))
        }
        _ => None,
    }
}

#[test]
fn tests_do_not_sleep_and_none_is_ignored() {
    let sources = files("src");
    let only_tests = test_files(&sources);
    let mut faults = Vec::new();
    for (file, text) in sources.iter().chain(&files("tests")) {
        let whole = file.starts_with("tests/") || only_tests.contains(file);
        let found = facts(text, &module(file));
        let tests = found.iter().filter(|found| whole || found.test);
        faults.extend(tests.filter_map(|found| Some(format!("{file}:{}: {}", found.line, patient(file, found)?))));
    }
    none(faults);
    breaks("tests/x.rs", "fn f() { std::thread::sleep(Duration::from_secs(1)); }", patient);
    breaks("tests/x.rs", "use std::thread; fn f() { thread::sleep(Duration::from_secs(1)); }", patient);
    breaks("tests/x.rs", "use tokio::time::sleep; async fn f() { sleep(SECOND).await; }", patient);
    breaks("tests/x.rs", "async fn f() { tokio::time::sleep(SECOND).await; }", patient);
    breaks("tests/x.rs", "#[ignore] fn f() {}", patient);
    breaks("tests/x.rs", "#[ignore = \"slow\"] fn f() {}", patient);
    keeps("tests/x.rs", "async fn wait_until_ready() { tokio::time::sleep(SECOND).await; }", patient);
}
