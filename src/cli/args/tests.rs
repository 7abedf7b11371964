//! What may be typed, and what it becomes.

use super::*;

fn parse_line(line: &str) -> Result<Invocation, clap::Error> {
    let words = shell_words::split(line).unwrap();
    parse(words.into_iter().map(OsString::from), false, &Gate::default())
}

fn command(line: &str) -> Command {
    parse_line(line).unwrap_or_else(|error| panic!("{line}: {error}")).command
}

fn refusal(line: &str) -> String {
    match parse_line(line) {
        Ok(invocation) => panic!("{line} was taken for {invocation:?}"),
        Err(error) => {
            assert_eq!(error.exit_code(), 2, "{line}");
            error.to_string()
        }
    }
}

fn name(raw: &str) -> Name {
    raw.parse().unwrap()
}

#[test]
fn the_definition_is_sound() {
    definition().debug_assert();
}

#[test]
fn the_words_fixed_for_pipelines_are_understood() {
    assert_eq!(command("lastgood"), Command::Console);
    assert_eq!(command("lastgood drill --list --json"), Command::DrillList(Format::Json));
    let scenario = Some("bad-image".parse().unwrap());
    let drill = Drill { scenario, walk: Walk::Auto(Format::Json) };
    assert_eq!(command("lastgood drill bad-image --auto --json"), Command::Drill(drill));
    let change = RowChange {
        id: "42".parse().unwrap(),
        confirm: vec!["2025_a b".into()],
        arm: "staging".parse().unwrap(),
        format: Format::Text,
    };
    for line in [
        "lastgood migrations delete 42 --confirm '2025_a b' --arm staging",
        "lastgood migrations delete --confirm '2025_a b' --arm staging 42",
        "lastgood migrations delete --arm staging --confirm '2025_a b' 42 --env staging",
    ] {
        assert_eq!(command(line), Command::Migrations(Migrations::Delete(change.clone())), "{line}");
    }
    let restore = Migrations::Restore {
        id: "42".parse().unwrap(),
        arm: "staging".parse().unwrap(),
        file: None,
        format: Format::Json,
    };
    assert_eq!(command("lastgood migrations restore 42 --arm staging --json"), Command::Migrations(restore));
    let next = Next { version: "1.81.0".parse().ok(), pod: "litellm-a".parse().ok() };
    let list = Migrations::List { next, format: Format::Json };
    let typed = command("lastgood migrations list --next 1.81.0 --learn litellm-a --json");
    assert_eq!(typed, Command::Migrations(list));
    let verify = Command::Verify { timeout: Duration::from_secs(90), spend_money: false, format: Format::Json };
    assert_eq!(command("lastgood verify --timeout 1m30s --json"), verify);
    assert_eq!(command("lastgood verify --timeout 90 --json"), verify);
}

#[test]
fn run_takes_confirmations_in_order_and_one_decision_about_the_backup() {
    let Command::Run(run) = command("lastgood run --to 14 --arm prod --confirm a 'b c' --confirm d --timeout 0") else {
        panic!("not a run")
    };
    assert_eq!(run.confirm, ["a", "b c", "d"]);
    assert_eq!(run.to, Targets::Only(RevisionRef::Number(14)));
    assert_eq!(run.backup, BackupChoice::Dump { without_spend_logs: false });
    assert_eq!(run.timeout, Duration::ZERO);
    assert!(!run.spend_money && !run.protect);
    let Command::Run(run) = command("lastgood run --to 14 --arm prod --skip-backup 'password=hunter22 is lost'") else {
        panic!("not a run")
    };
    assert!(matches!(run.backup, BackupChoice::Skip(why) if why.as_str() == "password=[masked] is lost"));
    refusal("lastgood run --to 14 --arm prod --skip-backup because --snapshot s-1");
    refusal("lastgood run --to 14 --arm prod --skip-backup ' '");
    refusal("lastgood run --to 14");
    refusal("lastgood run --arm prod");
}

#[test]
fn targets_are_revisions_by_number_or_uid() {
    let uid = "6d0b3f5e-8a55-4c39-9d0e-3f1f0f6f1a52";
    let rows = [
        ("--to 14".to_owned(), Targets::Only(RevisionRef::Number(14))),
        (format!("--to {uid}"), Targets::Only(RevisionRef::Uid(uid.parse().unwrap()))),
        ("--to api=3".to_owned(), Targets::Each(vec![(name("api"), RevisionRef::Number(3))])),
        (
            "--to api=3 --to web=4".to_owned(),
            Targets::Each(vec![(name("api"), RevisionRef::Number(3)), (name("web"), RevisionRef::Number(4))]),
        ),
    ];
    for (flags, expected) in rows {
        let Command::Plan { to, .. } = command(&format!("lastgood plan {flags}")) else { panic!("not a plan") };
        assert_eq!(to, Some(expected), "{flags}");
    }
    assert!(matches!(command("lastgood plan"), Command::Plan { to: None, .. }));
    for bad in ["0", "-1", "previous", "last-good", "API=3", "api=", "=3", "3 --to 4", "api=3 --to 4", "a=3 --to a=4"] {
        refusal(&format!("lastgood plan --to {bad}"));
    }
}

#[test]
fn the_place_may_stand_before_and_after_the_command() {
    let before = parse_line("lastgood --env staging -n llm --config c.toml --context 'my ctx' preflight").unwrap();
    let after =
        parse_line("lastgood preflight --context 'my ctx' --config c.toml --namespace llm --env staging").unwrap();
    assert_eq!(before, after);
    assert_eq!(before.place.config, Some("c.toml".into()));
    assert_eq!(before.place.environment, Some("staging".parse().unwrap()));
}

#[test]
fn colour_is_off_by_flag_and_by_environment() {
    let parse_with = |line: &str, no_color| {
        parse(line.split(' ').map(OsString::from), no_color, &Gate::default()).unwrap().look.color
    };
    assert!(parse_with("lastgood", false));
    assert!(!parse_with("lastgood", true));
    assert!(!parse_with("lastgood drill --no-color", false));
}

#[test]
fn bad_lines_are_refused_with_the_rule() {
    assert!(refusal("lastgood --env 'a b'").contains("not an environment name"));
    assert!(refusal("lastgood verify --timeout soon").contains("write 90s, 5m or 1h"));
    assert!(refusal("lastgood verify --timeout 9d").contains("at most 7 days"));
    assert!(refusal("lastgood drill --json").contains("--auto"));
    for line in [
        "lastgood fly",
        "lastgood --fly",
        "lastgood migrations",
        "lastgood migrations delete 42 --arm staging",
        "lastgood migrations delete 42 --confirm x",
        "lastgood migrations restore 42",
        "lastgood drill bad-image --list",
        "lastgood drill --auto --list",
        "lastgood export --md --json",
        "lastgood runbook lint",
        "lastgood completions tcsh",
    ] {
        refusal(line);
    }
}

#[test]
fn export_and_init_know_where_to_write() {
    let export = Command::Export { incident: None, document: Document::Markdown, output: Some("a.md".into()) };
    assert_eq!(command("lastgood export -o a.md"), export);
    assert!(matches!(command("lastgood export x-1 --json"), Command::Export { document: Document::Json, .. }));
    assert_eq!(command("lastgood init"), Command::Init(InitTo::File("lastgood.toml".into())));
    assert_eq!(command("lastgood init -o -"), Command::Init(InitTo::Stdout));
}

#[test]
fn a_version_of_the_catalog_is_named_as_an_image_is() {
    let shown = |line: &str| match command(line) {
        Command::CatalogShow { version, format } => (version.map(|asked| asked.version.to_string()), format),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown("lastgood catalog show"), (None, Format::Text));
    for raw in ["1.74.7", "v1.74.7-stable", "main-v1.74.7-stable", "reg:5000/x/litellm:main-v1.74.7@sha256:ab"] {
        assert_eq!(shown(&format!("lastgood catalog show {raw} --json")), (Some("1.74.7".into()), Format::Json));
    }
    assert_eq!(command("lastgood catalog refresh"), Command::CatalogRefresh);
    for (asked, why) in [
        ("litellm@sha256:ab", "`litellm@sha256:ab` is a digest"),
        ("sha256:ab", "`sha256:ab` is a digest"),
        ("registry.internal:5000/mirror/litellm", "litellm` has no tag"),
        ("main-latest", "`main-latest` does not tell a version, and can mean another image tomorrow"),
        ("litellm:main-stable", "can mean another image tomorrow"),
        ("1.81", "write 1.81.0"),
        ("v1.81.0;x", "is not a version, a tag or an image"),
    ] {
        let told = refusal(&format!("lastgood catalog show {asked}"));
        assert!(told.contains(why), "{asked}: {told}");
    }
    assert!(refusal("lastgood catalog show litellm:main-latest").contains("another image tomorrow"));
    assert!(refusal("lastgood catalog show 'a b'").contains("not a version, a tag or an image"));
    assert!(refusal("lastgood catalog show main-latest").contains("write 1.81.0"));
}
