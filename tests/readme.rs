//! What the README says is so: its example parses, its commands exist, its tables and its picture
//! are those of the program.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]

#[allow(dead_code, reason = "the program's own main is not wanted here")]
#[path = "../examples/picture.rs"]
mod picture;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lastgood::cli;
use lastgood::cli::exit::Exit;
use lastgood::domain::cluster::Ask;
use lastgood::domain::environment::Configuration;
use lastgood::domain::runbook::Source;
use lastgood::text::Gate;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let text = read("README.md");
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Every command line of the program: lines of shell blocks, and code in running text.
fn command_lines() -> Vec<String> {
    let text = read("README.md");
    let prose: String = text.split("```").step_by(2).collect();
    let inline = prose.split('`').skip(1).step_by(2).map(str::to_owned);
    let shell = blocks("sh").into_iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
    let all = shell.chain(inline).map(|line| line.split('#').next().unwrap().trim().to_owned());
    all.filter_map(|line| {
        let drill = line.strip_prefix("cargo run --release --").map(|rest| format!("lastgood{rest}"));
        drill.or_else(|| line.split_whitespace().next().filter(|word| *word == "lastgood").map(|_| line.clone()))
    })
    .collect()
}

fn parses(line: &str) -> bool {
    let words = shell_words::split(line).unwrap().into_iter().map(OsString::from);
    matches!(cli::parse(words, &Gate::default()), Ok(_) | Err(Exit::Reached))
}

#[test]
fn every_command_in_the_readme_exists() {
    let lines = command_lines();
    assert!(lines.len() > 15, "{lines:?}");
    let wrong: Vec<_> = lines.iter().filter(|line| !parses(line)).collect();
    assert!(wrong.is_empty(), "the program does not know {wrong:?}");
    assert!(!parses("lastgood fly"), "this test can tell");
}

#[test]
fn every_command_of_the_program_is_in_the_readme() {
    let page = cli::manual(&[]).unwrap().unwrap();
    let of_page = page.lines().filter_map(|line| line.strip_prefix("lastgood\\-")?.split('(').next());
    let commands: BTreeSet<_> = of_page.filter(|command| *command != "help").collect();
    assert!(commands.contains("drill") && commands.len() > 10, "{commands:?}");
    let lines = command_lines();
    for command in commands {
        let start = format!("lastgood {command}");
        assert!(lines.iter().any(|line| line.starts_with(&start)), "the README does not name `{start}`");
    }
}

#[test]
fn the_example_configuration_parses_and_names_every_key() {
    let [example] = &blocks("toml")[..] else { panic!("one block of TOML") };
    let parsed = Configuration::parse(Source { file: "README.md", text: example }, &Gate::default());
    let configuration = parsed.unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(configuration.environments().len(), 2);

    // The refusal of an unknown key lists the known ones.
    let unknown = Source { file: "x.toml", text: "[env.x]\nqqqqqqqqqqqqqqq = 1\n" };
    let faults = Configuration::parse(unknown, &Gate::default()).unwrap_err();
    let (_, keys) = faults[0].remedy.as_str().split_once("the keys here are ").expect("the known keys");
    for key in keys.split(", ") {
        let at_start = format!("{key} = ");
        assert!(example.lines().any(|line| line.starts_with(&at_start)), "the example does not show `{key}`");
    }
}

#[test]
fn the_permissions_are_those_that_the_program_asks_for() {
    let text = read("README.md");
    let (_, section) = text.split_once("## Permissions").expect("a section");
    let table = section.split("\n## ").next().unwrap();
    let found: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let asked: Vec<_> = Ask::ALL
        .iter()
        .map(|ask| {
            let (verb, group, resource, sub) = ask.attributes();
            let group = if group.is_empty() { "core".to_owned() } else { format!("`{group}`") };
            let resource = if sub.is_empty() { resource.to_owned() } else { format!("{resource}/{sub}") };
            format!("| `{verb}` | `{resource}` | {group} | {} |", ask.blocks())
        })
        .collect();
    assert_eq!(found, asked, "write the table of README.md as\n{}\n", asked.join("\n"));
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let help = Command::new(env!("CARGO_BIN_EXE_lastgood")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, codes) = help.split_once("Exit codes:\n").expect("exit codes");
    let codes: Vec<_> = codes.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let [block] = &blocks("text")[..] else { panic!("one block of text") };
    assert_eq!(block.lines().collect::<Vec<_>>(), codes);
}

#[test]
fn the_two_commands_are_there() {
    let shell = blocks("sh").concat();
    for command in ["cargo run --release -- drill", "./tests/run"] {
        assert!(shell.lines().any(|line| line.starts_with(command)), "{command}");
    }
    for program in ["tests/run", ".ci/run"] {
        let mode = std::fs::metadata(root().join(program)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{program} can be run");
    }
    assert!(read(".ci/run").contains("tests/run"));
}

#[test]
fn every_file_that_the_readme_links_to_is_there() {
    let text = read("README.md");
    let links: Vec<PathBuf> =
        text.split("](").skip(1).map(|rest| root().join(rest.split(')').next().unwrap())).collect();
    assert!(!links.is_empty());
    for link in links {
        assert!(link.exists(), "{}", link.display());
    }
}

#[test]
fn the_picture_is_the_screen_as_it_is_today() {
    let drawn = picture::picture().unwrap();
    let kept = std::fs::read_to_string(picture::place()).unwrap();
    let differs = kept.lines().zip(drawn.lines()).find(|(kept, drawn)| kept != drawn);
    assert!(kept == drawn, "the screen has changed; `cargo run --example picture` draws it anew\n{differs:#?}");
}
