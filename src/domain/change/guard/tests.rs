//! What the guard lets through.

use jiff::Timestamp;

use super::*;
use crate::domain::catalog::Catalog;
use crate::domain::change::ChangeKind;
use crate::domain::cluster::Field;
use crate::domain::confirm::{Confirm, Subject as _};
use crate::domain::forecast::Newest;
use crate::domain::image::Image;
use crate::domain::migration::MigrationTable;
use crate::domain::schema::{Object, Schema};
use crate::domain::settings::SchemaSwitch;
use crate::domain::workload::{Container, EnvValue, EnvVar};

fn container(image: &str, env: &[(&str, &str)], words: &[&'static str]) -> Container {
    Container {
        name: "litellm".parse().unwrap(),
        image: image.parse().unwrap(),
        init: false,
        words: words.iter().map(|w| Clean::ours(w)).collect(),
        env: env
            .iter()
            .map(|(name, value)| EnvVar {
                name: name.parse().unwrap(),
                value: match *value {
                    "<ref>" => EnvValue::From(Clean::ours("secret x")),
                    value => EnvValue::Literal(Field::Shown(crate::text::Gate::default().clean(value))),
                },
            })
            .collect(),
        env_from: vec![],
    }
}

fn preview(container: Container, jobs: Option<Vec<MigrationJob>>) -> Preview {
    Preview {
        change: Change {
            workload: WorkloadRef { namespace: "llm".parse().unwrap(), name: "litellm".parse().unwrap() },
            uid: "u1".parse().unwrap(),
            generation: 7,
            from_image: None,
            kind: ChangeKind::Restart { at: Timestamp::UNIX_EPOCH },
            protect: false,
        },
        template: Template { containers: vec![container], ..Template::default() },
        diff: vec![],
        warnings: vec![],
        jobs,
    }
}

const OLD: &str = "ghcr.io/berriai/litellm:main-v1.74.7-stable";
const NEW: &str = "ghcr.io/berriai/litellm:v1.83.10";

fn judged(preview: &Preview, record: &str) -> Result<Cleared, Refusal> {
    let newest = Newest::of([&record.parse::<Image>().unwrap()]);
    clear(preview, &Facts::without_database(newest, &Catalog::default()), None)
}

#[test]
fn an_older_image_passes_only_with_its_hands_off_the_schema() {
    let job = |active| Some(vec![MigrationJob { name: "litellm-migrations".parse().unwrap(), image: None, active }]);
    let safe: &[(&str, &str)] = &[("DISABLE_SCHEMA_UPDATE", "true")];
    // image, env, words, jobs, newest on record, may it pass
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'static str], Option<Vec<MigrationJob>>, &'a str, bool);
    let rows: Vec<Row<'_>> = vec![
        (NEW, &[], &[], Some(vec![]), NEW, true),
        (NEW, &[], &[], Some(vec![]), OLD, true),
        (OLD, &[], &[], Some(vec![]), NEW, false),
        (OLD, safe, &[], Some(vec![]), NEW, true),
        (OLD, &[("DISABLE_SCHEMA_UPDATE", "True")], &[], Some(vec![]), NEW, true),
        (OLD, &[("DISABLE_SCHEMA_UPDATE", "true"), ("DISABLE_SCHEMA_UPDATE", "false")], &[], Some(vec![]), NEW, false),
        (OLD, &[("DISABLE_SCHEMA_UPDATE", "<ref>")], &[], Some(vec![]), NEW, false),
        (OLD, &[("DISABLE_SCHEMA_UPDATE", "1")], &[], Some(vec![]), NEW, false),
        (OLD, safe, &["--use_prisma_db_push"], Some(vec![]), NEW, false),
        (OLD, safe, &["python", "litellm/proxy/prisma_migration.py"], Some(vec![]), NEW, false),
        (OLD, safe, &[], job(true), NEW, false),
        (OLD, safe, &[], job(false), NEW, true),
        (NEW, &[], &[], job(true), NEW, false),
        (NEW, &[], &[], None, NEW, false),
        ("ghcr.io/berriai/litellm:main-latest", &[], &[], Some(vec![]), NEW, false),
        ("ghcr.io/berriai/litellm:main-latest", safe, &[], Some(vec![]), NEW, true),
        (NEW, &[], &[], Some(vec![]), "ghcr.io/berriai/litellm:main-latest", false),
        ("private.local/llm-gateway:7", &[], &[], Some(vec![]), NEW, false),
    ];
    for (image, env, words, jobs, record, expected) in rows {
        let shown = format!("{image} {env:?} {words:?} {jobs:?} record {record}");
        let cleared = judged(&preview(container(image, env, words), jobs), record);
        assert_eq!(cleared.is_ok(), expected, "{shown}: {cleared:?}");
    }
}

#[test]
fn the_configuration_file_comes_before_the_variable() {
    let place = || Clean::ours("line 3 of config.yaml of configmap/litellm-config");
    let safe: &[(&str, &str)] = &[("DISABLE_SCHEMA_UPDATE", "true")];
    let rows = [
        (safe, SchemaSwitch::Unset, Ok("sets DISABLE_SCHEMA_UPDATE=true")),
        (safe, SchemaSwitch::Off(place()), Ok("disable_prisma_schema_update is true (line 3")),
        (&[], SchemaSwitch::Off(place()), Ok("disable_prisma_schema_update is true (line 3")),
        (&[("DISABLE_SCHEMA_UPDATE", "false")], SchemaSwitch::Off(place()), Ok("is true (line 3")),
        (safe, SchemaSwitch::On(place()), Err("which makes DISABLE_SCHEMA_UPDATE=true void")),
        (&[], SchemaSwitch::On(place()), Err("disable_prisma_schema_update is not true (line 3")),
        (safe, SchemaSwitch::Unknown(Clean::ours("no permission")), Err("is not known: no permission")),
        (&[], SchemaSwitch::Unknown(Clean::ours("no permission")), Err("could say more: no permission")),
        (&[], SchemaSwitch::Unset, Err("does not set DISABLE_SCHEMA_UPDATE")),
    ];
    for (env, switch, expected) in rows {
        let mut preview = preview(container(OLD, env, &[]), Some(vec![]));
        preview.template.switch = switch.clone();
        match (judged(&preview, NEW), expected) {
            (Ok(cleared), Ok(why)) => assert!(cleared.why().as_str().contains(why), "{}", cleared.why()),
            (Err(refusal), Err(why)) => {
                assert!(refusal.what.as_str().contains(why), "{}", refusal.what);
                // Only where nobody said anything the variable is a way out.
                assert_eq!(refusal.protect_helps, switch == SchemaSwitch::Unset, "{switch:?}");
            }
            (other, _) => panic!("{env:?} {switch:?}: {other:?}"),
        }
    }
    // An image that is not older passes all the same, and what migrates by itself asks nobody.
    let mut new = preview(container(NEW, safe, &[]), Some(vec![]));
    new.template.switch = SchemaSwitch::On(place());
    assert!(judged(&new, NEW).is_ok());
    let mut push = preview(container(OLD, safe, &["--use_prisma_db_push"]), Some(vec![]));
    push.template.switch = SchemaSwitch::Off(place());
    assert!(judged(&push, NEW).is_err());
}

#[test]
fn the_refusal_says_why_and_offers_the_step() {
    let refusal = judged(&preview(container(OLD, &[], &[]), Some(vec![])), NEW).unwrap_err();
    assert!(refusal.protect_helps);
    assert!(refusal.what.as_str().contains("is older than"), "{}", refusal.what);
    assert!(refusal.remedy.as_str().contains("DISABLE_SCHEMA_UPDATE=true"));
}

/// A version that pushes its own schema, which knows the table `a` and nothing else.
fn pushing() -> Catalog {
    use crate::domain::catalog::{Package, Pin, Reading, Release, Startup};
    let version = "0.2.11".parse().unwrap();
    let (pods, job) = (Startup::Pushes, Startup::Deploys);
    let release =
        Release { version: "1.74.7".parse().unwrap(), pin: Pin::Exactly(version), pods, job, reading: Reading::Read };
    let schema = [Object::Table("a".parse().unwrap())].into_iter().collect::<Schema>().into();
    Catalog::new(vec![release], vec![Package { version, migrations: Default::default(), schema }], Default::default())
}

fn column(name: &str) -> Object {
    Object::Column("a".parse().unwrap(), name.parse().unwrap())
}

#[test]
fn a_loss_passes_only_when_each_object_was_typed_for_this_change_and_nothing_came_to_it() {
    let (catalog, rows) = (pushing(), MigrationTable { exists: true, ..MigrationTable::default() });
    let held = |columns: &[&str]| -> Schema {
        let tables = ["a", "b"].map(|table| Object::Table(table.parse().unwrap()));
        tables.into_iter().chain(columns.iter().map(|name| column(name))).collect()
    };
    let (then, now) = (held(&["x", "y"]), held(&["x", "y", "z"]));
    let newest = || Newest::of([&NEW.parse::<Image>().unwrap()]);
    let facts =
        |live| Facts { newest: newest(), catalog: &catalog, rows: Ok(&rows), live: Ok(live), newer: &[], memo: None };
    let preview = preview(container(OLD, &[], &[]), Some(vec![]));

    let refusal = clear(&preview, &facts(&then), None).unwrap_err();
    assert!(refusal.protect_helps && refusal.what.as_str().contains("MAY DROP"), "{}", refusal.what);
    let asked = Confirm::new(*refusal.acceptance.unwrap());
    let phrases: Vec<String> = asked.subject().phrases().iter().map(Clean::to_string).collect();
    assert_eq!(phrases, ["b", "a.x", "a.y"]);
    assert!(asked.clone().answer_all(["b", "a.x"]).is_err());
    let proof = asked.answer_all(["b", "a.x", "a.y"]).unwrap();

    let cleared = clear(&preview, &facts(&then), Some(&proof)).unwrap();
    assert_eq!(cleared.accepted().unwrap().lines().len(), 3);
    // Less may be lost than was accepted, and one object more may not.
    let less = held(&["x"]);
    assert!(clear(&preview, &facts(&less), Some(&proof)).is_ok());
    let refusal = clear(&preview, &facts(&now), Some(&proof)).unwrap_err();
    assert!(refusal.what.as_str().contains("a.z was not shown"), "{}", refusal.what);
    let other = Preview { change: Change { generation: 8, ..preview.change.clone() }, ..preview.clone() };
    assert!(clear(&other, &facts(&then), Some(&proof)).is_err());
    // Nobody can accept what nobody can name.
    let blind = Facts { live: Err(Clean::ours("away")), ..facts(&then) };
    assert!(clear(&preview, &blind, Some(&proof)).unwrap_err().acceptance.is_none());
}

#[test]
fn many_losses_are_typed_by_table_and_summed_up_at_the_end() {
    let columns = (0..30).map(|n| column(&format!("c{n}")));
    let stake: Stake = columns.chain([Object::Table("b".parse().unwrap())]).collect();
    let change = preview(container(OLD, &[], &[]), None).change;
    let phrases = Acceptance { of: Undertaking::Change(change), stake, unreadable: vec![] }.phrases();
    let phrases: Vec<&str> = phrases.iter().map(Clean::as_str).collect();
    assert_eq!(phrases, ["b", "a: 30 columns", "lose 1 table and 30 columns for llm/litellm"]);
}

#[test]
fn values_that_the_target_cannot_read_are_typed_as_well() {
    let newer = [Newer { table: "LiteLLM_Config".parse().unwrap(), column: "param_value".parse().unwrap(), rows: 2 }];
    let empty = Catalog::default();
    let newest = Newest::of([&NEW.parse::<Image>().unwrap()]);
    let facts = Facts { newer: &newer, ..Facts::without_database(newest, &empty) };
    let safe = preview(container(OLD, &[("DISABLE_SCHEMA_UPDATE", "true")], &[]), Some(vec![]));
    let refusal = clear(&safe, &facts, None).unwrap_err();
    assert!(!refusal.protect_helps && refusal.what.as_str().contains("v2:gcm:"), "{}", refusal.what);
    let proof =
        Confirm::new(*refusal.acceptance.unwrap()).answer_all(["2 rows of LiteLLM_Config.param_value"]).unwrap();
    assert!(clear(&safe, &facts, Some(&proof)).is_ok());
    // A restart of what runs already changes nothing about it.
    let same = Change { from_image: Some(OLD.parse().unwrap()), ..safe.change.clone() };
    assert!(clear(&Preview { change: same, ..safe }, &facts, None).is_ok());
}
