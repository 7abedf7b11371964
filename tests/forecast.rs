//! What each version would do to databases that LiteLLM's own migrations built, on real PostgreSQL.
//!
//! What is expected is computed from the packages themselves: from `schema.prisma` read here, and
//! from the text of the migrations. The forecast goes by the embedded catalog.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod postgres;
#[allow(dead_code)]
#[path = "support/prisma_packages.rs"]
mod prisma_packages;

use std::collections::{BTreeMap, BTreeSet};

use lastgood::domain::catalog::{Catalog, Pin};
use lastgood::domain::encrypted::Newer;
use lastgood::domain::forecast::{Facts, Forecast, Newest, Stake, forecast, forecast_job};
use lastgood::domain::image::Image;
use lastgood::domain::migration::MigrationTable;
use lastgood::domain::schema::{LiveSchema, Object};
use lastgood::domain::workload::{Container, Template};
use lastgood::text::Gate;
use lastgood::world::Database as _;
use lastgood::world::postgres::Postgres;
use postgres::TestDatabase;

/// A database that a package built, as the console reads it.
struct Seen {
    database: TestDatabase,
    port: Postgres,
    table: MigrationTable,
    live: LiveSchema,
    newest: Image,
}

fn image(version: &str) -> Image {
    format!("ghcr.io/berriai/litellm:v{version}").parse().unwrap()
}

impl Seen {
    /// Built by every migration of a package; `newest` is the LiteLLM that ran it.
    async fn built_by(package: &str, newest: &str) -> Self {
        let database = TestDatabase::with_table().await;
        prisma_packages::deploy(&mut database.connect().await, &prisma_packages::migrations(package)).await;
        let port = Postgres::new(database.parsed(), None, Gate::default());
        let (table, live) = (MigrationTable::default(), LiveSchema::default());
        Self { database, port, table, live, newest: image(newest) }.read().await
    }

    async fn read(self) -> Self {
        let (table, live) = (self.port.migrations().await.unwrap(), self.port.schema().await.unwrap());
        Self { table, live, ..self }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            newest: Newest::Known(self.newest.clone()),
            catalog: Catalog::embedded(),
            rows: Ok(&self.table),
            live: Ok(&self.live.objects),
            newer: &[],
            memo: None,
        }
    }

    /// What pods of a version do that set no variable and no argument about it.
    fn forecast(&self, version: &str) -> Forecast {
        let container = Container {
            name: "litellm".parse().unwrap(),
            image: image(version),
            init: false,
            words: vec![],
            env: vec![],
            env_from: vec![],
        };
        forecast(&Template { containers: vec![container], ..Template::default() }, &self.facts())
    }

    /// Tables and columns that are there and that a package's `schema.prisma` does not mention.
    fn unknown_to(&self, package: &str) -> BTreeSet<String> {
        let known = described(package);
        let unknown = self.live.objects.objects().filter(|object| match object {
            Object::Table(table) => !known.contains_key(table.as_str()),
            Object::Column(table, column) => {
                known.get(table.as_str()).is_some_and(|columns| !columns.contains(column.as_str()))
            }
            _ => false,
        });
        unknown.map(ToString::to_string).collect()
    }
}

/// Tables and their columns, as a package's `schema.prisma` has them.
fn described(package: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = prisma_packages::schema(package);
    let mut models: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(|line| line.split("//").next().unwrap_or_default().trim()) {
        match (&open, line.strip_prefix("model ").and_then(|rest| rest.strip_suffix('{'))) {
            (_, Some(model)) => open = Some(model.trim().to_owned()),
            (Some(_), None) if line == "}" => open = None,
            (Some(model), None) if !line.is_empty() => models.entry(model.clone()).or_default().push(line.to_owned()),
            _ => {}
        }
    }
    let mapped =
        |line: &str, with: &str| line.split_once(with).and_then(|(_, rest)| rest.split('"').nth(1)).map(str::to_owned);
    let columns = |line: &String| {
        let mut words = line.split_whitespace();
        let (field, kind) = (words.next()?, words.next()?);
        let relation = models.contains_key(kind.trim_end_matches(['?', '[', ']']));
        (!field.starts_with('@') && !relation).then(|| mapped(line, "@map(").unwrap_or_else(|| field.to_owned()))
    };
    let table = |(model, lines): (&String, &Vec<String>)| {
        let name = lines.iter().find_map(|line| mapped(line, "@@map(")).unwrap_or_else(|| model.clone());
        (name, lines.iter().filter_map(columns).collect())
    };
    models.iter().map(table).collect()
}

fn data(stake: &Stake) -> BTreeSet<String> {
    stake.data().map(ToString::to_string).collect()
}

#[track_caller]
fn may_drop(forecast: &Forecast, expected: &BTreeSet<String>) {
    assert!(matches!(forecast, Forecast::MayDrop { .. }), "{}", forecast.sentence());
    assert!(!expected.is_empty());
    assert_eq!(&data(&forecast.stake()), expected, "{}", forecast.sentence());
}

#[track_caller]
fn loses_nothing(forecast: &Forecast) {
    let safe = matches!(forecast, Forecast::NotWrite { .. } | Forecast::MayWrite { .. });
    assert!(safe && forecast.stake().data().next().is_none(), "{}", forecast.sentence());
}

#[tokio::test]
async fn from_the_newest_published_schema_to_older_versions() {
    let catalog = Catalog::embedded();
    let published: Vec<_> =
        catalog.releases().iter().filter(|release| catalog.packages_of(release.pin).next().is_some()).collect();
    let [.., before, newest] = &published[..] else { panic!("the catalog is empty") };
    let Pin::Exactly(package) = newest.pin else { panic!("{} pins no package", newest.version) };
    let seen = Seen::built_by(&package.to_string(), &newest.version.to_string()).await;

    // The newest one itself, the one before it, and the first that leaves a newer schema alone.
    loses_nothing(&seen.forecast(&newest.version.to_string()));
    loses_nothing(&seen.forecast(&before.version.to_string()));
    loses_nothing(&seen.forecast("1.83.10"));

    // 1.81.0 compares after every start: 59 tables and 158 columns of tables that stay, seen with
    // its own code (102 to 43 tables, with Prisma's; 1,273 to 564 columns).
    let gone = seen.unknown_to("0.4.23");
    let tables = gone.iter().filter(|object| !object.contains('.')).count();
    if package.to_string() == "0.4.110" {
        assert_eq!((tables, gone.len() - tables), (59, 158));
    }
    may_drop(&seen.forecast("1.81.0"), &gone);
    may_drop(&forecast_job(&image("1.81.0"), &seen.facts()), &gone);
    let columns: usize = seen
        .live
        .objects
        .objects()
        .filter(|object| matches!(object, Object::Column(table, _) if gone.contains(table.as_str())))
        .count();
    assert_eq!(columns + gone.len() - tables, 1_265 - 556, "columns that go, with those of the tables");

    // A migration whose name was taken back drops six columns when an older version meets it as pending.
    let sync = prisma_packages::migrations("0.4.60")
        .into_iter()
        .find(|file| file.name == "20260311180521_schema_sync")
        .unwrap();
    let dropped: BTreeSet<String> = sync
        .sql
        .split("DROP COLUMN IF EXISTS")
        .skip(1)
        .map(|rest| format!("LiteLLM_MCPServerTable.{}", rest.split('"').nth(1).unwrap()))
        .collect();
    assert_eq!(dropped.len(), 6, "{dropped:?}");
    let ranged = catalog.releases().iter().find(|release| release.version.to_string() == "1.82.6").unwrap();
    assert!(matches!(ranged.pin, Pin::Range { .. }));
    let forecast = seen.forecast("1.82.6");
    assert!(dropped.is_subset(&data(&forecast.stake())), "{}", forecast.sentence());
    assert!(forecast.pending().iter().any(|each| each.name.as_str() == sync.name), "{:?}", forecast.pending());

    // A database that Prisma never migrated: the older code makes it its own schema (P3005).
    seen.database.run("DROP TABLE _prisma_migrations").await;
    let seen = seen.read().await;
    assert!(!seen.table.exists);
    may_drop(&seen.forecast("1.81.0"), &gone);
    may_drop(&seen.forecast("1.77.2"), &seen.unknown_to("0.2.18"));
    may_drop(&seen.forecast("1.74.7"), &seen.unknown_to("0.2.11"));
    loses_nothing(&seen.forecast(&newest.version.to_string()));
}

#[tokio::test]
async fn from_1_81_0_to_versions_that_push_and_that_only_deploy() {
    let seen = Seen::built_by("0.4.23", "1.81.0").await;
    // 1.74.7 pushes its own schema; 1.77.2 only applies what is pending.
    may_drop(&seen.forecast("1.74.7"), &seen.unknown_to("0.2.11"));
    loses_nothing(&seen.forecast("1.77.2"));
    loses_nothing(&seen.forecast("1.81.0"));
    loses_nothing(&forecast_job(&image("1.74.7"), &seen.facts()));

    // One row taken back, and 1.83.10 finds something to do: then it compares as well.
    let row = "UPDATE _prisma_migrations SET rolled_back_at = now() WHERE migration_name = '20250326162113_baseline'";
    seen.database.run(row).await;
    let seen = seen.read().await;
    assert_eq!(seen.forecast("1.77.2").pending().len(), 1);
}

#[tokio::test]
async fn values_of_the_newer_encryption_are_counted_where_their_columns_are() {
    let database = TestDatabase::empty().await;
    let port = Postgres::new(database.parsed(), None, Gate::default());
    assert_eq!(port.newer().await.unwrap(), []);
    database
        .run(
            r#"CREATE TABLE "LiteLLM_ProxyModelTable" (model_id text, litellm_params jsonb);
               CREATE TABLE "LiteLLM_Config" (param_name text, param_value jsonb);
               CREATE TABLE "LiteLLM_CredentialsTable" (credential_id text);
               INSERT INTO "LiteLLM_ProxyModelTable" VALUES
                 ('a', '{"api_key": "v2:gcm:AAAA", "model": "v2:gcm:BBBB"}'), ('b', '{"api_key": "c2VjcmV0"}'), ('c', NULL);
               INSERT INTO "LiteLLM_Config" VALUES ('environment_variables', '{"A": {"b": "v2:gcm:CCCC"}}'), ('x', '"v1"')"#,
        )
        .await;
    let words: Vec<_> = port.newer().await.unwrap().iter().map(Newer::words).map(|words| words.to_string()).collect();
    assert_eq!(words, ["1 row of LiteLLM_ProxyModelTable.litellm_params", "1 row of LiteLLM_Config.param_value"]);
}
