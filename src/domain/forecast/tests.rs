//! What is forecast, on small catalogs and databases made by hand.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::domain::catalog::startup::{Baseline, Code, Migrating};
use crate::domain::catalog::{Edition, Found, Listing, Package, PackageVersion, Pin, Reading, Release, Startup, Told};
use crate::domain::cluster::{Field, Fingerprint};
use crate::domain::effects::Effect;
use crate::domain::migration::{Row, RowState};
use crate::domain::schema::Object;
use crate::domain::workload::{EnvValue, EnvVar};
use crate::text::Gate;

fn object(raw: &str) -> Object {
    match (raw.strip_prefix("index "), raw.split_once('.')) {
        (Some(index), _) => Object::Index(index.parse().unwrap()),
        (None, Some((table, column))) => Object::Column(table.parse().unwrap(), column.parse().unwrap()),
        (None, None) => Object::Table(raw.parse().unwrap()),
    }
}

fn schema(objects: &[&str]) -> Schema {
    objects.iter().map(|raw| object(raw)).collect()
}

fn rows(states: &[(&str, RowState)]) -> MigrationTable {
    let row = |(name, state): &(&str, RowState)| Row {
        id: format!("id-{name}").parse().unwrap(),
        name: name.parse().unwrap(),
        state: *state,
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: None,
        rolled_back_at: None,
        steps: 1,
        checksum: Clean::default(),
        logs: None,
        content: Fingerprint::new(&[0; 32], b""),
    };
    MigrationTable { rows: states.iter().map(row).collect(), exists: true, ..MigrationTable::default() }
}

fn applied(names: &[&str]) -> MigrationTable {
    rows(&names.iter().map(|name| (*name, RowState::Applied)).collect::<Vec<_>>())
}

/// The older package knows `a`, `a.x` and an index; the newer one `a.y` and `b` beside them, and
/// not the migration `2_lost` any more, which drops `a.y`.
fn catalog() -> Catalog {
    let version = |raw: &str| raw.parse::<PackageVersion>().unwrap();
    let package = |raw: &str, names: &[&str], objects: &[&str]| Package {
        version: version(raw),
        migrations: names.iter().map(|name| (name.parse().unwrap(), 0)).collect(),
        schema: schema(objects).into(),
    };
    let release = |raw: &str, pin: Pin, pods: Startup, job: Startup| Release {
        version: raw.parse().unwrap(),
        pin,
        pods,
        job,
        reading: Reading::Read,
    };
    let (old, lost, new) = ("0.2.11", "0.4.60", "0.4.110");
    let exactly = |raw: &str| Pin::Exactly(version(raw));
    let range = Pin::Range { from: version(lost), below: version("0.4.111") };
    let edition =
        |effects: Vec<Effect>| vec![Edition { checksum: "c".into(), first: version(old), last: version(new), effects }];
    let add = |raw: &str| Effect::Create { object: object(raw), guarded: true };
    let drop = |raw: &str| Effect::Drop { object: object(raw), guarded: true };
    let editions = BTreeMap::from([
        ("1_first".parse().unwrap(), edition(vec![add("a")])),
        ("2_lost".parse().unwrap(), edition(vec![drop("a.y"), drop("index a_y")])),
        ("3_newer".parse().unwrap(), edition(vec![add("a.y"), add("b")])),
        ("4_unread".parse().unwrap(), edition(vec![Effect::Unread])),
    ]);
    use Startup::{Deploys, DeploysThenSyncs, DeploysThenSyncsIfPending, Pushes};
    Catalog::new(
        vec![
            release("1.74.7", exactly(old), Pushes, Deploys),
            release("1.77.2", exactly(old), Deploys, Deploys),
            release("1.81.0", exactly(old), DeploysThenSyncs, DeploysThenSyncs),
            release("1.82.0", exactly(lost), Deploys, Deploys),
            release("1.82.6", range, DeploysThenSyncs, DeploysThenSyncs),
            release("1.83.10", exactly(old), DeploysThenSyncsIfPending, DeploysThenSyncsIfPending),
            release("1.108.10", exactly(new), Deploys, Deploys),
            release("1.109.0", exactly("0.4.111"), Deploys, Deploys),
        ],
        vec![
            package(old, &["1_first"], &["a", "a.x"]),
            package(lost, &["1_first", "2_lost"], &["a", "a.x"]),
            package(new, &["1_first", "3_newer"], &["a", "a.x", "a.y", "b", "b.z", "index a_y"]),
            package("0.4.111", &["1_first", "3_newer", "4_unread"], &["a", "a.x", "a.y", "b", "b.z", "index a_y"]),
        ],
        editions,
    )
    .with_codes(BTreeMap::from([(
        version(new),
        Code {
            older: Migrating { startup: DeploysThenSyncsIfPending, baseline: Baseline::Syncs },
            newer: Some(Migrating { startup: Deploys, baseline: Baseline::IfEqual }),
        },
    )]))
}

const NEWER: [&str; 6] = ["a", "a.x", "a.y", "b", "b.z", "index a_y"];

fn container(version: &str, env: &[(&str, &str)], words: &[&'static str]) -> Container {
    let env = env.iter().map(|(name, value)| EnvVar {
        name: name.parse().unwrap(),
        value: EnvValue::Literal(Field::Shown(crate::text::Gate::default().clean(value))),
    });
    Container {
        name: "litellm".parse().unwrap(),
        image: format!("ghcr.io/berriai/litellm:v{version}").parse().unwrap(),
        init: false,
        words: words.iter().map(|word| Clean::ours(word)).collect(),
        env: env.collect(),
        env_from: vec![],
    }
}

fn with<'a>(catalog: &'a Catalog, rows: &'a MigrationTable, live: &'a Schema) -> Facts<'a> {
    let newest = Newest::Known("ghcr.io/berriai/litellm:v1.108.10".parse().unwrap());
    Facts { newest, catalog, rows: Ok(rows), live: Ok(live), newer: &[], memo: None }
}

fn of(container: Container, facts: &Facts<'_>) -> Forecast {
    forecast(&Template { containers: vec![container], ..Template::default() }, facts)
}

fn at_stake(forecast: &Forecast) -> Vec<String> {
    forecast.stake().objects().map(ToString::to_string).collect()
}

#[test]
fn what_a_version_does_to_a_newer_database_follows_from_its_code_and_its_schema() {
    let (catalog, rows, live) = (catalog(), applied(&["1_first", "3_newer"]), schema(&NEWER));
    let facts = with(&catalog, &rows, &live);
    let all = vec!["b", "a.y", "index a_y"];
    let lost = vec!["a.y", "index a_y"];
    let safe: &[(&str, &str)] = &[("DISABLE_SCHEMA_UPDATE", "true")];
    let migrate: &[(&str, &str)] = &[("USE_PRISMA_MIGRATE", "True")];
    let legacy: &[&'static str] = &["--use_legacy_migration_resolver"];
    // version, env, words, how bad, at stake
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'static str], u8, Vec<&'a str>);
    let rows: Vec<Case<'_>> = vec![
        ("1.74.7", &[], &[], 2, all.clone()),
        ("1.74.7", safe, &[], 0, vec![]),
        ("1.74.7", migrate, &[], 0, vec![]),
        ("1.77.2", &[], &[], 0, vec![]),
        ("1.77.2", &[], &["--use_prisma_db_push"], 2, all.clone()),
        ("1.77.2", safe, &["prisma", "db", "push"], 2, all.clone()),
        ("1.81.0", &[], &[], 2, all.clone()),
        ("1.81.0", &[("DISABLE_SCHEMA_UPDATE", "false")], &[], 2, all.clone()),
        ("1.81.0", safe, &[], 0, vec![]),
        ("1.81.0", safe, &["python", "litellm/proxy/prisma_migration.py"], 2, all.clone()),
        ("1.82.0", &[], &[], 2, lost),
        ("1.82.6", &[], &[], 2, all.clone()),
        ("1.83.10", &[], &[], 0, vec![]),
        ("1.108.10", &[], &[], 0, vec![]),
        ("1.108.10", &[], legacy, 0, vec![]),
        ("1.109.0", &[], &[], 3, vec![]),
        // Nobody knows this one, and it is older than the newest on record.
        ("1.79.0", &[], &[], 3, vec![]),
        // Nobody knows this one either, but it is not older.
        ("1.200.0", &[], &[], 0, vec![]),
    ];
    for (version, env, words, rank, stake) in rows {
        let forecast = of(container(version, env, words), &facts);
        assert_eq!(
            (forecast.rank(), at_stake(&forecast)),
            (rank, stake.iter().map(ToString::to_string).collect()),
            "{version} {env:?} {words:?}: {forecast:?}"
        );
    }
}

#[test]
fn something_pending_wakes_the_code_that_otherwise_sleeps() {
    let (catalog, live) = (catalog(), schema(&NEWER));
    let pending = rows(&[("1_first", RowState::RolledBack), ("3_newer", RowState::Applied)]);
    let forecast = of(container("1.83.10", &[], &[]), &with(&catalog, &pending, &live));
    assert_eq!(at_stake(&forecast), ["b", "a.y", "index a_y"], "{forecast:?}");
    assert_eq!(forecast.pending().len(), 1);
    // A failed row is pending too, an applied one beside it is enough.
    let failed = rows(&[("1_first", RowState::Failed), ("3_newer", RowState::Applied)]);
    assert_eq!(of(container("1.77.2", &[], &[]), &with(&catalog, &failed, &live)).rank(), 1);
    let both = rows(&[("1_first", RowState::Failed), ("1_first", RowState::Applied)]);
    assert_eq!(of(container("1.77.2", &[], &[]), &with(&catalog, &both, &live)).rank(), 0);
}

#[test]
fn without_a_migration_table_the_older_code_makes_the_database_its_own() {
    let (catalog, live, none) = (catalog(), schema(&NEWER), MigrationTable::default());
    let facts = with(&catalog, &none, &live);
    for version in ["1.77.2", "1.81.0", "1.83.10", "1.74.7"] {
        let forecast = of(container(version, &[], &[]), &facts);
        assert_eq!(at_stake(&forecast), ["b", "a.y", "index a_y"], "{version}: {forecast:?}");
    }
    assert_eq!(of(container("1.108.10", &[], &[]), &facts).rank(), 0);
    // An empty database is simply filled.
    let empty = Schema::default();
    assert_eq!(of(container("1.77.2", &[], &[]), &with(&catalog, &none, &empty)).rank(), 1);
}

#[test]
fn a_missing_fact_is_no_good_news() {
    let (catalog, rows, live) = (catalog(), applied(&["1_first", "3_newer"]), schema(&NEWER));
    let facts = with(&catalog, &rows, &live);
    let old = || container("1.77.2", &[], &[]);
    let blind = Facts { live: Err(Clean::ours("the database is away")), ..facts.clone() };
    let Forecast::Unknown { why, way } = of(old(), &blind) else { panic!() };
    assert!(why.as_str().contains("the database is away") && why.as_str().contains("is older than"), "{why}");
    assert!(way.protect_helps);
    let empty = Catalog::default();
    assert_eq!(of(old(), &Facts { catalog: &empty, ..facts.clone() }).rank(), 3);
    assert_eq!(of(old(), &facts).rank(), 0);
    let Forecast::Unknown { why, .. } = of(container("1.80.0", &[], &[]), &facts) else { panic!() };
    assert!(why.as_str().contains("between 1.77.2 and 1.81.0"), "{why}");
}

#[test]
fn the_worst_container_decides_and_what_helps_one_must_help_all() {
    let (catalog, rows, live) = (catalog(), applied(&["1_first", "3_newer"]), schema(&NEWER));
    let facts = with(&catalog, &rows, &live);
    let init = Container {
        init: true,
        name: "migrate".parse().unwrap(),
        ..container("1.81.0", &[], &["prisma_migration.py"])
    };
    let template = |containers| Template { containers, ..Template::default() };
    let forecast = forecast(&template(vec![init, container("1.81.0", &[], &[])]), &facts);
    let way = forecast.stopped().unwrap();
    assert!(!way.protect_helps, "{forecast:?}");
    // A Job is forecast by its own code, whatever the variable says.
    let image = "ghcr.io/berriai/litellm-database:v1.81.0".parse().unwrap();
    assert_eq!(at_stake(&forecast_job(&image, &facts)), ["b", "a.y", "index a_y"]);
    assert_eq!(forecast_job(&"ghcr.io/berriai/litellm-database:v1.74.7".parse().unwrap(), &facts).rank(), 0);
}

#[test]
fn indexes_alone_are_no_loss_of_data_and_constraints_are_left_alone() {
    let catalog = catalog();
    let rows = applied(&["1_first"]);
    let own = Object::Constraint("a".parse().unwrap(), "a_pkey".parse().unwrap());
    let live: Schema = ["a", "a.x", "index a_y", "index a_pkey"].iter().map(|raw| object(raw)).chain([own]).collect();
    let forecast = of(container("1.81.0", &[], &[]), &with(&catalog, &rows, &live));
    assert!(matches!(forecast, Forecast::MayWrite { .. }), "{forecast:?}");
    assert_eq!(at_stake(&forecast), ["index a_y"]);
    let exact = schema(&["a", "a.x"]);
    assert_eq!(of(container("1.81.0", &[], &[]), &with(&catalog, &rows, &exact)).rank(), 0);
}

#[test]
fn what_a_label_claims_of_a_digest_is_believed_where_it_warns() {
    let (catalog, rows) = (catalog(), applied(&["1_first", "3_newer"]));
    let live = schema(&NEWER);
    let facts = with(&catalog, &rows, &live);
    let by_digest = |image: &str, label: &str, claim: &str| {
        let fields = BTreeMap::from([(Clean::ours("x"), Field::Shown(Clean::ours("y")))]);
        let mut template = Template { containers: vec![container("0.0.0", &[], &[])], fields, ..Template::default() };
        template.containers[0].image = image.parse().unwrap();
        let path = Gate::default().clean(&format!("metadata.labels.{label}"));
        template.fields.insert(path, Field::Shown(Gate::default().clean(claim)));
        template
    };
    let digest = "ghcr.io/berriai/litellm@sha256:0123";
    let told = |template: &Template| forecast(template, &facts);
    for label in ["app.kubernetes.io/version", "version"] {
        let drops = told(&by_digest(digest, label, "v1.81.0"));
        assert!(matches!(drops, Forecast::MayDrop { .. }), "{}", drops.sentence());
        assert!(drops.why().as_str().starts_with("its label claims LiteLLM 1.81.0, and if so: "), "{}", drops.why());
    }
    // What would be harmless stays unknown.
    let harmless = told(&by_digest(digest, "app.kubernetes.io/version", "1.108.10"));
    assert!(matches!(harmless, Forecast::Unknown { .. }), "{}", harmless.sentence());
    let words = "its label claims LiteLLM 1.108.10, which will not write to the schema, but nothing proves the claim";
    assert!(harmless.why().as_str().ends_with(words), "{}", harmless.why());
    // A tag speaks for itself, and a chart's version is not LiteLLM's.
    let tagged = by_digest("ghcr.io/berriai/litellm:v1.108.10@sha256:0123", "version", "1.81.0");
    assert_eq!((tagged.claim(), told(&tagged).rank()), (None, 0));
    assert_eq!(by_digest(digest, "helm.sh/chart", "litellm-helm-1.81.0").claim(), None);
    assert_eq!(by_digest("litellm:main-latest", "version", "1.81.0").claim(), None);
    assert_eq!(by_digest(digest, "version", "blue").claim(), None);
}

#[test]
fn what_a_pod_told_of_its_image_counts() {
    let (rows, live) = (applied(&["1_first", "3_newer"]), schema(&NEWER));
    // Contents are known by their checksums, as a pod tells them.
    let known = catalog();
    let sum = |name: &str| format!("{:0>64}", format!("{:x}", u32::from(name.as_bytes()[0])));
    let editions = known.all_editions().map(|(name, editions)| {
        let checksum = sum(name.as_str());
        (
            name.clone(),
            editions.iter().map(|edition| Edition { checksum: checksum.clone(), ..edition.clone() }).collect(),
        )
    });
    let published = Catalog::new(
        known.releases().to_vec(),
        known.packages().cloned().collect(),
        editions.collect::<BTreeMap<_, _>>(),
    );
    let told = |version: &str, names: &[&str], of_name: &dyn Fn(&str) -> String| {
        let files: Vec<_> = names.iter().map(|name| format!("{name:?}: {:?}", of_name(name))).collect();
        let printed =
            format!(r#"{{"litellm": null, "package": null, "folder": "/x", "migrations": {{{}}}}}"#, files.join(", "));
        let found = Found::read(printed.as_bytes(), &Gate::default()).unwrap();
        let image = container(version, &[], &[]).image;
        let pod = "litellm-1".parse().unwrap();
        let listing = Listing { pod, container: "litellm".parse().unwrap(), image, digest: None, found };
        let mut catalog = published.clone();
        catalog.learn(Told::new(listing, &published));
        of(container(version, &[], &[]), &with(&catalog, &rows, &live))
    };
    // A range: whatever it may be, it may drop what its newest package drops. A pod settles it.
    let open = of(container("1.82.6", &[], &[]), &with(&published, &rows, &live));
    assert!(open.why().as_str().contains("the worst of them counts"), "{}", open.why());
    let settled = told("1.82.6", &["1_first", "2_lost"], &sum);
    assert!(
        settled.why().as_str().contains("(2 migrations, exactly those of package 0.4.60 in pod/litellm-1)"),
        "{}",
        settled.why()
    );
    assert_eq!(settled.pending().iter().map(|each| each.name.as_str()).collect::<Vec<_>>(), ["2_lost"]);

    // 1.77.2 only deploys, and its package has nothing to apply; this image has something.
    assert_eq!(told("1.77.2", &["1_first"], &sum).rank(), 0);
    let drops = told("1.77.2", &["1_first", "2_lost"], &sum);
    assert_eq!((drops.rank(), at_stake(&drops)), (2, vec!["a.y".to_owned(), "index a_y".to_owned()]));
    assert_eq!(told("1.77.2", &["1_first", "9_own"], &sum).rank(), 3);
    // Another content of what is pending is not what the package says of it.
    let other = |name: &str| if name == "2_lost" { "f".repeat(64) } else { sum(name) };
    assert_eq!(told("1.82.0", &["1_first", "2_lost"], &other).rank(), 3);
}
