//! The built program from outside: its words, its exit codes, and what it keeps to itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the program in an empty world: no kubeconfig, no configuration but what `folder` holds.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder, arguments).output().unwrap()
}

fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastgood"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .stdin(Stdio::null());
    command
}

/// Exit code, standard output, standard error.
fn told(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = run(folder, arguments);
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn help_has_examples_and_exit_codes_and_every_command_has_help() {
    let folder = tempfile::tempdir().unwrap();
    let (code, help, errors) = told(folder.path(), &["--help"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    for part in ["Examples:", "Exit codes:", "drill", "preflight", "migrations", "runbook", "--env", "--no-color"] {
        assert!(help.contains(part), "{part} is missing in\n{help}");
    }
    for command in [
        &["drill"][..],
        &["preflight"],
        &["plan"],
        &["run"],
        &["verify"],
        &["migrations"],
        &["migrations", "list"],
        &["migrations", "show"],
        &["migrations", "delete"],
        &["migrations", "resolve"],
        &["migrations", "restore"],
        &["incidents"],
        &["resume"],
        &["export"],
        &["runbook", "lint"],
        &["lint"],
        &["init"],
        &["completions"],
        &["man"],
    ] {
        let (code, help, _) = told(folder.path(), &[command, &["--help"]].concat());
        assert!(code == 0 && help.contains("Usage: lastgood"), "{command:?}: {help}");
    }
    let (code, version, _) = told(folder.path(), &["--version"]);
    assert_eq!((code, version), (0, format!("lastgood {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn bad_lines_end_with_2_and_say_nothing_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    for line in [&["--no-such-flag"][..], &["fly"], &["run"], &["plan", "--to", "previous"], &["man", "fly"]] {
        let (code, output, errors) = told(folder.path(), line);
        assert_eq!((code, output.as_str()), (2, ""), "{line:?}");
        assert!(!errors.is_empty(), "{line:?}");
    }
}

#[test]
fn a_secret_typed_in_the_wrong_place_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        &["--env", "postgres://u:hunter22@h/d", "preflight"][..],
        &["--config", "postgres://u:hunter22@h/d", "preflight"],
        &["plan", "--to", "password=hunter22"],
        &["man", "sk-hunter22"],
    ] {
        let (code, output, errors) = told(folder.path(), line);
        assert_eq!(code, 2, "{line:?}: {errors}");
        assert!(!(output + &errors).contains("hunter22"), "{line:?}: {errors}");
    }
}

#[test]
fn completions_and_manual_pages_come_from_the_program() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, part) in [("bash", "_lastgood()"), ("zsh", "#compdef lastgood"), ("fish", "complete -c lastgood")] {
        let (code, script, _) = told(folder.path(), &["completions", shell]);
        assert!(code == 0 && script.contains(part), "{shell}");
    }
    let (code, page, _) = told(folder.path(), &["man"]);
    assert!(code == 0 && page.contains(".TH lastgood 1") && page.contains("Exit codes"), "{page}");
    let (code, page, _) = told(folder.path(), &["man", "migrations", "delete"]);
    assert!(code == 0 && page.contains("\\-\\-confirm") && page.contains("\\-\\-arm"), "{page}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = program(folder.path(), &["completions", "bash"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn every_fault_of_a_configuration_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[env.x]\nknd = 'drill'\ndatabase = 'postgres://u:hunter22@h/d'\nmaster_key = { env = 'sk-hunter22' }\n";
    std::fs::write(folder.path().join("bad.toml"), text).unwrap();
    let (code, output, errors) = told(folder.path(), &["preflight", "--config", "bad.toml"]);
    assert_eq!((code, output.as_str()), (2, ""));
    assert!(errors.starts_with("bad.toml:2: "), "editors jump to it: {errors}");
    for part in ["bad.toml:2: unknown key `knd` in env.x; did you mean `kind`?", "bad.toml:3: ", "bad.toml:4: "] {
        assert!(errors.contains(part), "{part} is missing in\n{errors}");
    }
    assert!(!errors.contains("hunter22"), "{errors}");
}

#[test]
fn without_a_configuration_the_remedy_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, errors) = told(folder.path(), &["preflight"]);
    assert!(code == 2 && errors.contains("lastgood init"), "{errors}");
    let (code, _, errors) = told(folder.path(), &["preflight", "--config", "gone.toml"]);
    assert!(code == 2 && errors.contains("gone.toml cannot be read"), "{errors}");
}

#[test]
fn a_broken_kubeconfig_is_told_without_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    for broken in ["users: [{name: u, user: {client-key-data: aHVudGVyMjI=", "users: 'aHVudGVyMjI='\n"] {
        std::fs::write(folder.path().join("kubeconfig"), broken).unwrap();
        let (code, _, errors) = told(folder.path(), &["preflight"]);
        assert!(code == 2 && errors.contains("not well-formed"), "{errors}");
        assert!(!errors.contains("aHVudGVyMjI"), "{errors}");
    }
}

#[test]
fn several_environments_have_to_be_chosen_from() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[env.a]\ndatabase = { env = 'A' }\n[env.b]\ndatabase = { env = 'B' }\n";
    let xdg = folder.path().join(".config/lastgood");
    std::fs::create_dir_all(&xdg).unwrap();
    std::fs::write(xdg.join("lastgood.toml"), text).unwrap();
    for arguments in [&["preflight"][..], &["preflight", "--env", "c"], &[]] {
        let (code, _, errors) = told(folder.path(), arguments);
        assert!(code == 2 && errors.contains("choose one with --env: a, b"), "{arguments:?}: {errors}");
    }
}

#[test]
fn init_writes_a_file_that_reads_again_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = "{current-context: kind-test, contexts: [{name: kind-test, context: {cluster: c, user: u}}]}";
    std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
    let (code, printed, _) = told(folder.path(), &["init", "--output", "-"]);
    assert!(code == 0 && printed.contains("context = \"kind-test\""), "{printed}");
    let (code, said, _) = told(folder.path(), &["init"]);
    assert!(code == 0 && said.contains("lastgood.toml is written"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.path().join("lastgood.toml")).unwrap(), printed);
    let (code, _, errors) = told(folder.path(), &["init"]);
    assert!(code == 3 && errors.contains("was not changed"), "{errors}");
    // The written file names one environment, so another name is refused with its name.
    let (code, _, errors) = told(folder.path(), &["preflight", "--env", "other"]);
    assert!(code == 2 && errors.contains("choose one with --env: kind-test"), "{errors}");
}

#[test]
fn a_configuration_is_judged_by_line_and_no_value_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let text = "general_settings:\n  master_key: sk-hunter2-master\n  password_policy_min_length: 77123\n  \
                my_own_thing: 1\nlitellm_settings:\n  drop_params: true\n";
    std::fs::write(folder.path().join("config.yaml"), text).unwrap();
    let (code, out, errors) = told(folder.path(), &["lint", "config.yaml", "--for", "main-v1.81.0-stable"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len(), errors.as_str()), (1, 2, ""), "{out}{errors}");
    let expected =
        "config.yaml:3: general_settings.password_policy_min_length: LiteLLM 1.81.0 does not know it; known since 1.";
    assert!(lines[0].starts_with(expected), "{out}");
    assert_eq!(lines[1], "config.yaml:4: general_settings.my_own_thing: hint: no version is seen to know it");
    let (code, json, _) = told(folder.path(), &["lint", "config.yaml", "--for", "1.106.2", "--json"]);
    assert_eq!(code, 0, "{json}");
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1, "{json}");
    assert_eq!((&found[0]["name"], &found[0]["known"]), (&"my_own_thing".into(), &"nowhere".into()), "{json}");
    for shown in [&out, &json] {
        assert!(!shown.contains("hunter2") && !shown.contains("77123"), "{shown}");
    }
    let (code, _, errors) = told(folder.path(), &["lint", "nowhere.yaml", "--for", "1.81.0"]);
    assert!(code == 2 && errors.contains("nowhere.yaml cannot be read"), "{code} {errors}");
}
