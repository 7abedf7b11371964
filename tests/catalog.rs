//! The catalog: a sample of it computed again from the published packages, what happens to a file
//! that is damaged, and the commands over it.
//!
//! What is expected is read here, by other means than the catalog's own. Without pip and a package
//! index these tests fail and say what they need.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod postgres;
#[allow(dead_code)]
#[path = "support/prisma_packages.rs"]
mod prisma_packages;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lastgood::domain::catalog::draft::{Contents, Draft};
use lastgood::domain::catalog::{Catalog, Edition, Known, Pin};
use lastgood::domain::effects::{Alteration, Effect};
use lastgood::domain::schema::{Object, Schema};
use postgres::TestDatabase;
use proptest::prelude::*;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

// ------------------------------------------------------------------ against the packages

/// Old, new, one with a build of its own, and the ends of ranges.
const PACKAGES: [&str; 6] = ["0.1.0", "0.2.11", "0.4.23", "0.4.60", "0.4.84.post1", "0.4.110"];
/// Older than the package, pinning one, and pinning a range.
const VERSIONS: [&str; 7] = ["1.64.1", "1.65.4", "1.74.7", "1.81.0", "1.82.6", "1.83.10", "1.109.1"];

#[test]
fn a_sample_of_the_packages_is_what_was_published() {
    let catalog = Catalog::embedded();
    for version in PACKAGES {
        let package = catalog.package(version.parse().unwrap()).unwrap_or_else(|| panic!("{version} is missing"));
        let published: BTreeMap<_, _> =
            prisma_packages::migrations(version).into_iter().map(|file| (file.name, file.sha256)).collect();
        let known: BTreeMap<_, _> = package
            .migrations
            .iter()
            .map(|(name, number)| (name.to_string(), catalog.editions(name)[*number].checksum.clone()))
            .collect();
        assert!(!published.is_empty());
        assert_eq!(known, published, "migrations of {version}");
    }
    // The oldest came without `schema.prisma`.
    for version in &PACKAGES[1..] {
        let package = catalog.package(version.parse().unwrap()).unwrap();
        let known: BTreeSet<_> = package
            .schema
            .objects()
            .filter_map(|object| match object {
                Object::Table(table) => Some(table.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(known, tables(&prisma_packages::schema(version)), "tables of {version}");
    }
}

/// The tables of a `schema.prisma`: its models, by `@@map` where there is one.
fn tables(text: &str) -> BTreeSet<String> {
    let models = text.split("\nmodel ").skip(1).map(|rest| {
        let body = rest.split("\n}").next().unwrap();
        let mapped = body.split("@@map(\"").nth(1).and_then(|rest| rest.split('"').next());
        mapped.unwrap_or_else(|| body.split_whitespace().next().unwrap()).to_owned()
    });
    models.collect()
}

#[test]
fn a_sample_of_the_versions_pins_what_was_published() {
    for version in VERSIONS {
        let Known::Exactly(release) = Catalog::embedded().release(&version.parse().unwrap()) else {
            panic!("{version} is missing")
        };
        let known: BTreeSet<String> = match release.pin {
            Pin::Exactly(package) => [format!("=={package}")].into(),
            Pin::Range { from, below } => [format!(">={from}"), format!("<{below}")].into(),
            Pin::Nothing => BTreeSet::new(),
        };
        assert_eq!(known, pinned(version), "what LiteLLM {version} pins");
    }
}

/// The conditions on the migration package in a version's metadata, read by pip.
fn pinned(version: &str) -> BTreeSet<String> {
    let asks = ["-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--ignore-requires-python"];
    let report = Command::new("python3")
        .args(asks)
        .args(["--quiet", "--report", "-", &format!("litellm=={version}")])
        .output()
        .expect("these tests need python3 with pip");
    let need = "these tests need pip and a package index that has LiteLLM";
    assert!(report.status.success(), "{need}: {}", String::from_utf8_lossy(&report.stderr));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let asked = report["install"][0]["metadata"]["requires_dist"].as_array().unwrap();
    let about = asked.iter().map(|one| one.as_str().unwrap()).find(|one| one.starts_with("litellm-proxy-extras"));
    let conditions = about.map(|one| one.split(';').next().unwrap().replace("litellm-proxy-extras", ""));
    let conditions = conditions.unwrap_or_default().replace(['(', ')', ' '], "");
    let each = conditions.split(',').filter(|one| !one.is_empty());
    each.map(|one| if one == "<0.5" { "<0.5.0".to_owned() } else { one.to_owned() }).collect()
}

/// Of each: what every single migration does, seen by PostgreSQL.
const APPLIED: [&str; 4] = ["0.1.0", "0.2.11", "0.4.60", "0.4.110"];

/// Every object of the schema `public`, spelled as [`Object`] spells it, with what an `ALTER COLUMN`
/// can change of it: its type, whether it may be null, its default.
const OBJECTS: &str = r#"
    SELECT c.relname::text, '' FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    UNION ALL SELECT table_name || '.' || column_name, concat_ws('|', udt_name, is_nullable, column_default)
        FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'index ' || indexname, '' FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT format('constraint %s of %s', conname, (SELECT relname FROM pg_class WHERE oid = conrelid)), ''
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f', 'c')
    UNION ALL SELECT 'type ' || typname, '' FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
    UNION ALL SELECT 'function ' || proname, '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT format('trigger %s of %s', tgname, (SELECT relname FROM pg_class WHERE oid = tgrelid)), ''
        FROM pg_trigger WHERE NOT tgisinternal"#;

async fn there(connection: &mut PgConnection) -> BTreeMap<String, String> {
    let rows = connection.fetch_all(OBJECTS).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get::<Option<String>, _>(1).unwrap_or_default())).collect()
}

/// The names of columns that a migration alters without renaming them, in either telling.
fn altered(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> BTreeSet<String> {
    let changed = before.iter().filter(|(name, how)| after.get(*name).is_some_and(|now| now != *how));
    changed.map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn each_migration_of_a_sample_does_what_its_effects_say() {
    let catalog = Catalog::embedded();
    for version in APPLIED {
        let package = catalog.package(version.parse().unwrap()).unwrap();
        let database = TestDatabase::empty().await;
        let mut connection = database.connect().await;
        let (mut told, mut before) = (Schema::default(), there(&mut connection).await);
        for file in prisma_packages::migrations(version) {
            let name = file.name.parse().unwrap();
            let effects = &catalog.edition_of(package, &name).unwrap().effects;
            connection.execute(AssertSqlSafe(file.sql)).await.unwrap_or_else(|why| panic!("{name}: {why}"));
            let after = there(&mut connection).await;

            effects.iter().for_each(|effect| told.apply(effect));
            let told: BTreeSet<String> = told.objects().map(ToString::to_string).collect();
            let seen: BTreeSet<String> = after.keys().cloned().collect();
            assert_eq!(told, seen, "{name} of {version}: {effects:#?}");

            let alters = effects.iter().filter_map(|effect| match effect {
                Effect::Alter { object, .. } => Some(object.to_string()),
                _ => None,
            });
            // What is made and altered in one file has nothing before.
            let alters: BTreeSet<_> = alters.filter(|column| before.contains_key(column)).collect();
            assert_eq!(alters, altered(&before, &after), "{name} of {version}: {effects:#?}");
            for effect in effects {
                let Effect::Alter { object, change } = effect else { continue };
                let how = &after[&object.to_string()];
                let agrees = match change {
                    Alteration::Type(to) => how.starts_with(udt(to.as_str())),
                    Alteration::NotNull => how.contains("|NO"),
                    Alteration::Null => how.contains("|YES"),
                    Alteration::Default => how.split('|').count() == 3,
                };
                assert!(agrees, "{name} of {version}: {object} is {how}: {change:?}");
            }
            before = after;
        }
        assert!(!before.is_empty(), "{version}");
    }
}

/// How PostgreSQL's catalogue spells a type of the migrations (manual, table 8.1).
fn udt(name: &str) -> &str {
    match name.to_ascii_uppercase().as_str() {
        "BIGINT" => "int8",
        "INTEGER" => "int4",
        "TEXT" => "text",
        "JSONB" => "jsonb",
        "DOUBLE PRECISION" => "float8",
        _ => panic!("which type is {name}?"),
    }
}

// ------------------------------------------------------------------ a damaged file

/// A small catalog with everything in it, as text.
fn small() -> String {
    let mut draft = Draft::default();
    for (version, sql) in
        [("0.4.1", "CREATE TABLE \"A\" (\"b\" TEXT);"), ("0.4.2", "ALTER TABLE \"A\" DROP COLUMN \"b\";")]
    {
        let migrations = [("20260101000000_a".parse().unwrap(), sql.as_bytes().to_vec())].into();
        draft.package(version.parse().unwrap(), &Contents { migrations, ..Contents::default() }).unwrap();
    }
    let pin = Pin::Range { from: "0.4.1".parse().unwrap(), below: "0.5.0".parse().unwrap() };
    draft.release("1.82.6-custom".parse().unwrap(), pin);
    let packed = draft.finish("2026-11-20".parse().unwrap(), Vec::new()).to_bytes().unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    text
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

proptest! {
    #[test]
    fn bytes_that_are_no_catalog_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Catalog::from_bytes(&bytes).is_err());
        prop_assert!(Catalog::from_bytes(&packed(&bytes)).is_err());
    }

    #[test]
    fn a_damaged_catalog_is_refused_or_says_what_it_says(
        at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..6), cut in 0usize..6,
    ) {
        let mut text = small().into_bytes();
        let at = at.index(text.len());
        text.splice(at..(at + cut).min(text.len()), with);
        // What can still be read can be asked and written.
        if let Ok(catalog) = Catalog::from_bytes(&packed(&text)) {
            for release in catalog.releases() {
                prop_assert!(!release.version.to_string().contains(char::is_control));
                catalog.packages_of(release.pin).for_each(drop);
            }
            let _ = (catalog.release(&"1.82.6".parse().unwrap()), catalog.to_bytes().unwrap());
        }
    }
}

// ------------------------------------------------------------------ the commands

/// A home folder of its own.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn refreshed(&self) -> PathBuf {
        self.0.path().join("data/lastgood/catalog.json.gz")
    }

    fn put(&self, bytes: &[u8]) {
        std::fs::create_dir_all(self.refreshed().parent().unwrap()).unwrap();
        std::fs::write(self.refreshed(), bytes).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastgood"));
        command.arg("catalog").args(arguments);
        command.env("HOME", self.0.path()).env("XDG_DATA_HOME", self.0.path().join("data"));
        command.env("XDG_CACHE_HOME", self.0.path().join("cache"));
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        told(self.command(arguments).output().unwrap())
    }

    fn shown(&self, arguments: &[&str]) -> Value {
        let (_, stdout, stderr) = self.run(&[&["show"], arguments, &["--json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|why| panic!("{why}: {stdout}{stderr}"))
    }
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_version_is_shown_by_every_form_of_its_tag() {
    let home = Home::new();
    let forms = [
        "1.74.7",
        "v1.74.7",
        "v1.74.7-stable",
        "main-v1.74.7",
        "main-v1.74.7-stable",
        "ghcr.io/berriai/litellm:main-v1.74.7-stable",
        "ghcr.io/berriai/litellm-database:v1.74.7-stable",
        "ghcr.io/berriai/litellm-non_root:v1.74.7",
        "ghcr.io/berriai/litellm-migrations:v1.74.7",
        "registry.internal:5000/mirror/berriai/litellm:main-v1.74.7-stable@sha256:0123",
    ];
    for form in forms {
        let shown = home.shown(&[form]);
        assert_eq!((&shown["version"], &shown["known"]), (&"1.74.7".into(), &"exactly".into()), "{form}");
        assert_eq!(shown["release"]["pin"]["exactly"], "0.2.11", "{form}");
        assert_eq!(shown["release"]["pods"], "pushes", "{form}");
    }
    for (form, known) in [
        ("v1.81.0-nightly", "built-on"),
        ("v1.81.0-stable.patch.2", "built-on"),
        ("v1.80.0-stable.1", "built-on"),
        ("v1.81.0-stable.sonnet-4-6", "built-on"),
        ("v1.81.0.rc.77", "unknown"),
        ("v99.0.0", "unknown"),
    ] {
        assert_eq!(home.shown(&[form])["known"], known, "{form}");
    }
    let (exit, text, _) = home.run(&["show", "v1.81.0.rc.77"]);
    assert_eq!(exit, 1);
    assert!(text.contains("no: it lies between 1.80.17 and 1.81.0"), "{text}");
    let (exit, text, _) = home.run(&["show", "1.82.6"]);
    assert_eq!(exit, 0);
    assert!(text.contains("any from 0.4.60 to below 0.5.0"), "{text}");
    assert!(text.contains("20260311180521_schema_sync (destructive): drops index"), "{text}");
}

#[test]
fn the_catalog_says_where_it_comes_from_and_a_broken_one_is_told() {
    let home = Home::new();
    assert_eq!(home.shown(&[])["from"], "embedded");
    home.put(&Catalog::embedded().to_bytes().unwrap()[..1000]);
    let shown = home.shown(&[]);
    assert_eq!(
        (&shown["from"], &shown["litellm"]["count"]),
        (&"in-place-of".into(), &Catalog::embedded().releases().len().into())
    );
    let (_, text, _) = home.run(&["show"]);
    assert!(text.contains("cannot be used: it is not packed with gzip, cut off, or changed"), "{text}");
}

/// The embedded catalog without its newest package, without the versions that pin it, and without
/// the newest version.
fn without_newest() -> Catalog {
    let catalog = Catalog::embedded();
    let newest = catalog.packages().next_back().unwrap().version;
    let (_, releases) = catalog.releases().split_last().unwrap();
    let releases = releases.iter().filter(|release| release.pin != Pin::Exactly(newest)).cloned().collect();
    let packages: Vec<_> = catalog.packages().filter(|package| package.version != newest).cloned().collect();
    let mut editions: BTreeMap<_, Vec<Edition>> = BTreeMap::new();
    for (name, all) in catalog.all_editions() {
        let used = packages.iter().filter_map(|package| package.migrations.get(name)).max();
        if let Some(last) = used {
            editions.insert(name.clone(), all[..=*last].to_vec());
        }
    }
    Catalog::new(releases, packages, editions).on(catalog.made(), Vec::new())
}

#[test]
fn a_refresh_brings_what_was_published_since_and_says_so() {
    let (home, embedded, old) = (Home::new(), Catalog::embedded(), without_newest());
    home.put(&old.to_bytes().unwrap());
    assert_eq!(home.shown(&[])["from"], "refreshed");
    assert!(old.releases().len() < embedded.releases().len());
    let newest = embedded.releases().last().unwrap().version.to_string();
    assert_eq!(home.shown(&[&newest])["known"], "unknown");

    // What pip brings is kept for the next run of this test.
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-packages/cache");
    let (exit, stdout, stderr) = told(home.command(&["refresh"]).env("XDG_CACHE_HOME", cache).output().unwrap());
    assert_eq!(exit, 0, "this needs pip and a package index that has LiteLLM: {stderr}");
    assert_eq!(stdout, "");
    assert!(stderr.contains(&format!("added LiteLLM {newest}")), "{stderr}");
    let package = embedded.packages().next_back().unwrap().version;
    assert!(stderr.contains(&format!("added package {package}: ")), "{stderr}");
    assert!(stderr.contains("packages 1 of ") && stderr.contains("from now on it is used"), "{stderr}");
    // What was known before is not complained about again.
    assert!(!stderr.contains("is not understood"), "{stderr}");

    let refreshed = Catalog::from_bytes(&std::fs::read(home.refreshed()).unwrap()).unwrap();
    for release in embedded.releases() {
        assert_eq!(refreshed.release(&release.version), Known::Exactly(release));
    }
    for package in embedded.packages() {
        assert_eq!(refreshed.package(package.version), Some(package));
    }
    assert_eq!(home.shown(&[&newest])["known"], "exactly");
}

/// A folder with a `pip` that answers like the real one when the index does not.
fn no_index(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join("pip");
    std::fs::write(
        &file,
        "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'ERROR: No matching distribution found' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.to_owned()
}

#[test]
fn a_refresh_without_an_index_leaves_everything_as_it_was() {
    let home = Home::new();
    let path = no_index(home.0.path());
    let (exit, stdout, stderr) = told(home.command(&["refresh"]).env("PATH", path).output().unwrap());
    assert_eq!((exit, stdout.as_str()), (4, ""), "{stderr}");
    assert!(stderr.contains("pip does not bring the versions of litellm"), "{stderr}");
    assert!(!home.refreshed().exists());
    let (exit, _, stderr) = told(home.command(&["refresh"]).env("PATH", "/nonexistent").output().unwrap());
    assert_eq!(exit, 2, "{stderr}");
    assert!(stderr.contains("pip is not here, neither as a module of python3 nor on the PATH"), "{stderr}");
}
