//! What the ledger advises, followed and not followed, with Prisma's own engine: LiteLLM's own
//! migrations on real PostgreSQL, and the next upgrade as the judge.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/prisma_engine.rs"]
mod prisma_engine;
#[allow(dead_code)]
#[path = "support/prisma_packages.rs"]
mod prisma_packages;

use std::collections::{BTreeMap, BTreeSet};

use lastgood::domain::catalog::{Catalog, PackageVersion, Pin};
use lastgood::domain::confirm::{Confirm, Confirmed, Subject};
use lastgood::domain::forecast::{Facts, Forecast, Newest, forecast};
use lastgood::domain::image::{Image, Version};
use lastgood::domain::ledger::{Course, Finding, Ledger, Sources, Verb};
use lastgood::domain::migration::{Deletion, MigrationTable, Resolution, RowState};
use lastgood::domain::schema::{LiveSchema, Object};
use lastgood::domain::workload::{Container, Template};
use lastgood::text::{Clean, Gate};
use lastgood::world::Database as _;
use lastgood::world::postgres::Postgres;
use postgres::TestDatabase;
use prisma_engine::Engine;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::sync::OnceCell;

/// The newest package that is proved here.
const NEWEST: &str = "0.4.110";

/// The database that Prisma built with every migration of the newest package. Nobody connects to it.
async fn newest() -> &'static str {
    static BUILT: OnceCell<TestDatabase> = OnceCell::const_new();
    let built = BUILT.get_or_init(|| async {
        let database = TestDatabase::empty().await;
        let applied = Engine::start().deploy(&database.url(), &prisma_packages::folder(NEWEST)).unwrap();
        assert_eq!(applied.len(), prisma_packages::migrations(NEWEST).len());
        database
    });
    &built.await.name
}

/// The first published version of LiteLLM that brings a package.
fn version_with(package: &str) -> Version {
    let package: PackageVersion = package.parse().unwrap();
    let mut releases = Catalog::embedded().releases().iter();
    releases.find(|release| release.pin == Pin::Exactly(package)).unwrap().version.clone()
}

/// A database with what the console sees of it.
struct Case {
    database: TestDatabase,
    port: Postgres,
    engine: Engine,
    folder: tempfile::TempDir,
}

impl Case {
    /// A copy of the newest database.
    async fn newest() -> Self {
        Self::on(TestDatabase::copy_of(newest().await).await)
    }

    fn on(database: TestDatabase) -> Self {
        let port = Postgres::new(database.parsed(), None, Gate::default());
        Self { database, port, engine: Engine::start(), folder: tempfile::tempdir().unwrap() }
    }

    async fn read(&self) -> (MigrationTable, LiveSchema) {
        (self.port.migrations().await.unwrap(), self.port.schema().await.unwrap())
    }

    /// What the console says when this version of LiteLLM runs next.
    async fn ledger(&self, target: &Version) -> Ledger {
        let (table, live) = self.read().await;
        let catalog = Catalog::embedded();
        Ledger::compare(Sources { table: &table, live: Some(&live), catalog, target: Some(target), image: None })
    }

    /// Does with each row what the ledger says, through the console's own adapter.
    async fn follow(&mut self, ledger: &Ledger) {
        let table = self.port.migrations().await.unwrap();
        for finding in ledger.rows.iter().filter(|finding| finding.attention()) {
            let row = table.row(&finding.id).unwrap().clone();
            let folder = self.folder.path().to_owned();
            match finding.advice.verb {
                Verb::Delete => {
                    let deletion = confirmed(Deletion { row, again: finding.deleted.clone() });
                    self.port.delete(deletion, folder).await.unwrap();
                }
                Verb::Resolve => {
                    self.port.resolve(confirmed(Resolution { row }), folder).await.unwrap();
                }
                Verb::MarkApplied => {
                    let url = self.database.url();
                    let folder = prisma_packages::folder(NEWEST);
                    self.engine.mark_applied(&url, &folder, finding.name.as_str()).unwrap();
                }
                other => panic!("{}: {} {}", finding.name, other.word(), finding.advice.why),
            }
        }
    }

    /// `prisma migrate deploy` with the newest package.
    fn upgrade(&mut self) -> Result<Vec<String>, String> {
        self.engine.deploy(&self.database.url(), &prisma_packages::folder(NEWEST))
    }

    /// What pods of a version do when they start.
    async fn forecast(&self, version: &Version) -> Forecast {
        let (table, live) = self.read().await;
        let image = |version: &Version| format!("ghcr.io/berriai/litellm:v{version}").parse::<Image>().unwrap();
        let facts = Facts {
            newest: Newest::Known(image(&version_with(NEWEST))),
            catalog: Catalog::embedded(),
            rows: Ok(&table),
            live: Ok(&live.objects),
            newer: &[],
            memo: None,
        };
        let container = Container {
            name: "litellm".parse().unwrap(),
            image: image(version),
            init: false,
            words: vec![],
            env: vec![],
            env_from: vec![],
        };
        forecast(&Template { containers: vec![container], ..Template::default() }, &facts)
    }

    /// Each column with its type, and whether it may be null.
    async fn columns(&self) -> BTreeMap<String, (String, bool)> {
        use sqlx::Row as _;
        let sql = "SELECT table_name || '.' || column_name, data_type::text, is_nullable = 'YES' \
                   FROM information_schema.columns WHERE table_schema = 'public'";
        let rows = self.database.rows(sql).await;
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
    }

    /// The name of the row that the last deploy left unfinished, with PostgreSQL's words.
    async fn stopped_at(&self) -> String {
        let sql = "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL";
        let rows = self.database.rows(sql).await;
        assert_eq!(rows.len(), 1);
        sqlx::Row::get(&rows[0], "migration_name")
    }

    /// The database's name, when the console's own session in it has ended.
    fn closed(&mut self) -> String {
        self.port = Postgres::new(self.database.parsed(), None, Gate::default());
        self.database.name.clone()
    }

    async fn holds(&self) -> BTreeSet<Object> {
        self.read().await.1.objects.objects().cloned().collect()
    }
}

fn confirmed<T: Subject>(subject: T) -> Confirmed<T> {
    let phrases = subject.phrases();
    Confirm::new(subject).answer_all(phrases.iter().map(Clean::as_str)).ok().unwrap()
}

fn verbs(ledger: &Ledger) -> BTreeSet<Verb> {
    ledger.rows.iter().map(|row| row.advice.verb).collect()
}

#[tokio::test]
async fn rows_of_a_schema_that_was_left_alone_are_kept() {
    let mut case = Case::newest().await;
    let whole = case.holds().await;
    for package in ["0.4.109", "0.4.100", "0.4.80", "0.4.50", "0.4.23", "0.2.31"] {
        let ledger = case.ledger(&version_with(package)).await;
        assert_eq!(verbs(&ledger), [Verb::Keep].into(), "{package}");
        let newer = ledger.ahead().count();
        let counsel = ledger.counsel();
        assert_eq!(counsel[0].as_str(), format!("keep the {newer} newer rows: they disturb no older version"));
        assert!(newer > 0 && counsel.len() == 2, "{counsel:?}");
    }
    assert_eq!(case.upgrade(), Ok(vec![]));
    assert_eq!(case.holds().await, whole);
}

/// Every row that the target does not know is deleted all the same, as guides for a rollback say,
/// although what they made is there.
#[tokio::test]
async fn deleting_all_newer_rows_of_such_a_schema_stops_where_it_is_foretold() {
    let stops = [
        ("0.4.109", None),
        ("0.4.100", Some("20261001100000_rename_lens")),
        ("0.4.80", Some("20260811172448_add_shadow_eval")),
        ("0.4.50", Some("20260331000000_add_prompt_environment_and_created_by")),
        ("0.4.23", Some("20260224203854_add_agent_object_permissions_table")),
        ("0.2.31", Some("20260224203854_add_agent_object_permissions_table")),
    ];
    for (package, expected) in stops {
        let mut case = Case::newest().await;
        let ledger = case.ledger(&version_with(package)).await;
        let newer: Vec<_> = ledger.ahead().map(|row| format!("'{}'", row.id)).collect();
        case.database.run(&format!("DELETE FROM _prisma_migrations WHERE id IN ({})", newer.join(","))).await;
        let ran = case.upgrade();
        let foretold = ledger.all_deleted_sentence().unwrap();
        match (expected, &ledger.all_deleted.stops) {
            (None, None) => {
                assert_eq!(ran.map(|applied| applied.len()), Ok(newer.len()), "{package}");
                assert!(ledger.all_deleted.may_stop.is_empty(), "{foretold}");
            }
            (Some(expected), Some((name, stop))) => {
                let why = ran.unwrap_err();
                assert_eq!(case.stopped_at().await, expected, "{foretold}");
                let certain = name.as_str() == expected;
                let said = ledger.all_deleted.may_stop.iter().any(|name| name.as_str() == expected);
                assert!(certain || said, "{foretold}, and it was: {why}");
                let (Object::Table(object) | Object::Column(_, object)) = &stop.object else { panic!("{foretold}") };
                assert!(!certain || why.contains(object.as_str()) && why.contains("exist"), "{foretold}: {why}");
            }
            (_, _) => panic!("{package}: {foretold}, and it was: {ran:?}"),
        }
    }
}

/// What the second gate of a deletion says, row by row, against PostgreSQL: each file is run again
/// on the whole schema, in a transaction that is taken back.
#[tokio::test]
async fn each_row_by_itself_runs_again_as_its_deletion_foretells() {
    let case = Case::newest().await;
    let ledger = case.ledger(&version_with(NEWEST)).await;
    let files = prisma_packages::migrations(NEWEST);
    let mut connection = case.database.connect().await;
    let (mut stopped, mut untold) = (0, 0);
    for finding in &ledger.rows {
        let file = files.iter().find(|file| file.name == finding.name.as_str()).unwrap();
        // Not possible in a transaction; each of them is guarded.
        if file.sql.contains("CONCURRENTLY") {
            continue;
        }
        let mut transaction = connection.begin().await.unwrap();
        let ran = transaction.execute(AssertSqlSafe(file.sql.clone())).await.map_err(|why| why.to_string());
        transaction.rollback().await.unwrap();
        match (&finding.deleted, ran) {
            (Course::Stops(_), Err(_)) => stopped += 1,
            (Course::Runs { rewrites, lacks, .. }, _) if !(rewrites.is_empty() && lacks.is_empty()) => untold += 1,
            (Course::Runs { .. }, Ok(_)) => {}
            (Course::Untold, _) => untold += 1,
            (foretold, ran) => panic!("{}: {}, and it was: {ran:?}", finding.name, foretold.sentence()),
        }
    }
    assert_eq!((stopped, untold), (16, 4), "rows that stop, and rows of which nobody can tell for certain");
}

/// 1.81.0 made the database equal to its own schema, and left the rows alone.
#[tokio::test]
async fn rows_of_a_schema_that_an_older_version_dropped_are_deleted() {
    let mut case = Case::newest().await;
    let whole = case.holds().await;
    case.engine.push(&case.database.url(), &prisma_packages::schema("0.4.23")).unwrap();
    let dropped = case.holds().await;
    assert!(whole.difference(&dropped).count() > 500);

    // Kept: nothing is pending, and everything stays missing.
    let mut kept = Case::on(TestDatabase::copy_of(&case.closed()).await);
    assert_eq!(kept.upgrade(), Ok(vec![]));
    assert_eq!(kept.holds().await, dropped);

    let ledger = case.ledger(&version_with("0.4.23")).await;
    assert_eq!(verbs(&ledger), [Verb::Keep, Verb::Delete].into());
    let stale = ledger.stale().count();
    assert!(stale > 100);
    let counsel = ledger.counsel();
    assert!(counsel[0].as_str().starts_with(&format!("delete {stale} rows: what they made is gone")), "{counsel:?}");
    case.follow(&ledger).await;
    case.upgrade().unwrap();
    assert_eq!(case.holds().await, whole);
    assert_eq!(verbs(&case.ledger(&version_with(NEWEST)).await), [Verb::Keep].into());
}

/// One row whose table was dropped, beside rows that tell the truth.
#[tokio::test]
async fn the_stale_row_is_deleted_and_the_truthful_one_is_not() {
    let mut case = Case::newest().await;
    let whole = case.holds().await;
    let stale = "20261015000000_managed_object_end_user_id";
    case.database.run("ALTER TABLE \"LiteLLM_ManagedObjectTable\" DROP COLUMN end_user_id").await;
    let ledger = case.ledger(&version_with(NEWEST)).await;
    let deleted: Vec<_> =
        ledger.rows.iter().filter(|row| row.advice.verb == Verb::Delete).map(|row| row.name.as_str()).collect();
    assert_eq!(deleted, [stale]);

    // The wrong one: Prisma stops where the gate of its deletion says, and writes a failed row.
    let mut wrong = Case::on(TestDatabase::copy_of(&case.closed()).await);
    let truthful = ledger.rows.iter().find(|row| matches!(row.deleted, Course::Stops(_))).unwrap();
    let Course::Stops(stop) = &truthful.deleted else { unreachable!() };
    assert_eq!(truthful.advice.verb, Verb::Keep);
    assert!(truthful.advice.why.as_str().contains("deleted, it runs again and stops"), "{}", truthful.advice.why);
    let row = wrong.read().await.0.row(&truthful.id).unwrap().clone();
    let deletion = Deletion { row, again: truthful.deleted.clone() };
    assert!(deletion.consequence().as_str().contains(stop.why().as_str()), "{}", deletion.consequence());
    wrong.port.delete(confirmed(deletion), wrong.folder.path().to_owned()).await.unwrap();
    let why = wrong.upgrade().unwrap_err();
    assert!(why.contains("already exists"), "{why}");
    assert_eq!(wrong.stopped_at().await, truthful.name.as_str());
    // From then on nothing runs: P3009. The ledger says to mark it, and that mends it.
    let why = wrong.upgrade().unwrap_err();
    assert!(why.contains("migrate found failed migrations"), "{why}");
    let ledger_then = wrong.ledger(&version_with(NEWEST)).await;
    let failed = ledger_then.rows.iter().find(|row| row.state == RowState::Failed).unwrap();
    assert_eq!((failed.name.as_str(), failed.advice.verb), (truthful.name.as_str(), Verb::MarkApplied));
    wrong.follow(&only(ledger_then.clone(), failed)).await;
    assert_eq!(wrong.upgrade(), Ok(vec![]));

    // The right one.
    case.follow(&ledger).await;
    assert_eq!(case.upgrade(), Ok(vec![stale.to_owned()]));
    assert_eq!(case.holds().await, whole);
}

/// Failed rows, by what their files left behind.
#[tokio::test]
async fn failed_rows_are_resolved_or_marked() {
    let mut case = Case::newest().await;
    let target = version_with(NEWEST);
    let name = "20261013000000_add_access_group_skill_names";

    // Its SQL was committed, and the process was killed before it wrote that down.
    case.database
        .run(&format!("UPDATE _prisma_migrations SET finished_at = NULL WHERE migration_name = '{name}'"))
        .await;
    let why = case.upgrade().unwrap_err();
    assert!(why.contains("migrate found failed migrations"), "{why}");
    let ledger = case.ledger(&target).await;
    assert_eq!(verbs(&ledger), [Verb::Keep, Verb::MarkApplied].into());
    case.follow(&ledger).await;
    assert_eq!(case.upgrade(), Ok(vec![]));
    case.database
        .run(&format!("DELETE FROM _prisma_migrations WHERE migration_name = '{name}' AND finished_at IS NULL"))
        .await;

    // It never got to its end: nothing of it is there.
    case.database
        .run(&format!(
            "ALTER TABLE \"LiteLLM_AccessGroupTable\" DROP COLUMN access_skill_names;
             UPDATE _prisma_migrations SET finished_at = NULL, applied_steps_count = 0 WHERE migration_name = '{name}'"
        ))
        .await;
    let ledger = case.ledger(&target).await;
    assert_eq!(verbs(&ledger), [Verb::Keep, Verb::Resolve].into());
    case.follow(&ledger).await;
    assert_eq!(case.upgrade(), Ok(vec![name.to_owned()]));
    assert_eq!(verbs(&case.ledger(&target).await), [Verb::Keep].into());
}

/// 1.68.0 pushes its own schema, in which the daily counters were smaller and fewer columns could
/// be null.
#[tokio::test]
async fn types_and_nulls_that_an_older_version_changes_back_are_foretold() {
    let mut case = Case::newest().await;
    let version = version_with("0.1.15");
    let why = case.forecast(&version).await.why().to_string();
    let before = case.columns().await;
    case.closed();
    case.engine.push(&case.database.url(), &prisma_packages::schema("0.1.15")).unwrap();
    let after = case.columns().await;
    let both = || after.iter().filter_map(|(name, now)| Some((before.get(name)?, now)));
    let types = both().filter(|(then, now)| then.0 != now.0).count();
    let nulls = both().filter(|(then, now)| then.1 && !now.1).count();
    assert!(types > 10 && nulls > 3, "{types} {nulls}");
    assert!(why.contains(&format!("changes back the type of {types} columns")), "{types}: {why}");
    assert!(why.contains(&format!("forbids null again in {nulls} columns")), "{nulls}: {why}");

    // It stops half way where a value does not fit, and refuses to begin where there is a null.
    let ways = [("5000000000", "'m'", "out of range", true), ("5", "NULL", "existing NULL values", false)];
    for (tokens, model, words, half_way) in ways {
        let mut case = Case::newest().await;
        let whole = case.holds().await;
        let row = format!(
            "INSERT INTO \"LiteLLM_DailyTagSpend\" (id, tag, date, api_key, model, prompt_tokens, updated_at)
             VALUES ('1', 't', '2026-11-20', 'k', {model}, {tokens}, now())"
        );
        case.database.run(&row).await;
        case.closed();
        let stopped = case.engine.push(&case.database.url(), &prisma_packages::schema("0.1.15")).unwrap_err();
        assert!(stopped.contains(words), "{stopped}");
        let left = case.holds().await;
        assert_eq!((left.is_subset(&whole), left.len() < whole.len()), (true, half_way), "{words}");
    }
}

/// The ledger with one finding alone.
fn only(ledger: Ledger, finding: &Finding) -> Ledger {
    let rows = ledger.rows.iter().filter(|row| row.id == finding.id).cloned().collect();
    Ledger { rows, ..ledger }
}
