//! The migration table against what a real PostgreSQL holds: LiteLLM's own names and files, rows
//! that do not tell the truth, and what reading both of them costs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod postgres;
#[allow(dead_code)]
#[path = "support/prisma_packages.rs"]
mod prisma_packages;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use lastgood::domain::catalog::Catalog;
use lastgood::domain::image::Version;
use lastgood::domain::ledger::{Finding, Ledger, Reality, Sources, Verb};
use lastgood::text::Gate;
use lastgood::world::Database as _;
use lastgood::world::postgres::Postgres;
use postgres::TestDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;

/// LiteLLM 1.108.0 brings it.
const PACKAGE: &str = "0.4.110";

async fn built() -> TestDatabase {
    static BUILT: OnceCell<TestDatabase> = OnceCell::const_new();
    let built = BUILT.get_or_init(|| async {
        let database = TestDatabase::with_table().await;
        prisma_packages::deploy(&mut database.connect().await, &prisma_packages::migrations(PACKAGE)).await;
        database
    });
    TestDatabase::copy_of(&built.await.name).await
}

async fn ledger(port: &Postgres) -> Ledger {
    let (table, live) = (port.migrations().await.unwrap(), port.schema().await.unwrap());
    let target: Version = "1.108.0".parse().unwrap();
    let catalog = Catalog::embedded();
    Ledger::compare(Sources { table: &table, live: Some(&live), catalog, target: Some(&target), image: None })
}

async fn ledger_of(database: &TestDatabase) -> Ledger {
    ledger(&Postgres::new(database.parsed(), None, Gate::default())).await
}

fn found<'a>(ledger: &'a Ledger, name: &str) -> &'a Finding {
    ledger.rows.iter().find(|row| row.name.as_str() == name).unwrap()
}

/// What is missing, of which rows.
fn missing(ledger: &Ledger) -> Vec<(String, Vec<String>)> {
    let said = |row: &Finding| {
        (row.name.to_string(), row.reality.missing().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    ledger.without_object().map(said).collect()
}

#[tokio::test]
async fn names_with_spaces_and_short_dates_are_names_like_others() {
    let ledger = ledger_of(&built().await).await;
    assert_eq!(ledger.rows.len(), prisma_packages::migrations(PACKAGE).len());
    assert!(ledger.rows.iter().all(|row| row.target_knows == Some(true) && !row.attention()));
    assert!(ledger.pending.is_empty() && ledger.ahead().count() == 0);
    for name in ["20251122125322_Add organization_id to spend logs", "20260108_add_user_email_lower_idx"] {
        let row = found(&ledger, name);
        assert!(row.brought_by.is_some() && row.written_by.is_some(), "{name}");
        assert_eq!(row.reality, Reality::There, "{name}");
    }
}

#[tokio::test]
async fn another_checksum_tells_the_release_and_is_no_alarm() {
    let database = built().await;
    let name = "20251119131227_add_prompt_versioning";
    let older = prisma_packages::migrations("0.4.23").into_iter().find(|file| file.name == name).unwrap();
    let newer = prisma_packages::migrations(PACKAGE).into_iter().find(|file| file.name == name).unwrap();
    assert_ne!(older.sha256, newer.sha256, "its content changed between the two");
    let set = |sum: &str| format!("UPDATE _prisma_migrations SET checksum = '{sum}' WHERE migration_name = '{name}'");
    database.run(&set(&older.sha256)).await;
    let row = found(&ledger_of(&database).await, name).clone();
    let (first, last) = row.written_by.unwrap();
    assert!(first <= "0.4.23".parse().unwrap() && last < PACKAGE.parse().unwrap(), "{first} to {last}");
    assert!(!row.attention(), "{}", row.advice.why);
    database.run(&set(&"0".repeat(64))).await;
    let row = found(&ledger_of(&database).await, name).clone();
    assert!(row.written_by.is_none() && !row.attention(), "{}", row.advice.why);
}

#[tokio::test]
async fn applied_and_missing_is_told_by_table_column_and_index() {
    let database = built().await;
    database
        .run(
            "ALTER TABLE \"LiteLLM_TeamTable\" DROP COLUMN soft_budget;
             DROP INDEX \"LiteLLM_SpendLogs_session_id_idx\";
             DROP TABLE \"LiteLLM_SkillsTable\"",
        )
        .await;
    let ledger = ledger_of(&database).await;
    let told = missing(&ledger);
    let objects: Vec<_> = told.iter().flat_map(|(_, objects)| objects).map(String::as_str).collect();
    for object in ["LiteLLM_TeamTable.soft_budget", "index LiteLLM_SpendLogs_session_id_idx", "LiteLLM_SkillsTable"] {
        assert!(objects.contains(&object), "{object}");
    }
    let column = found(&ledger, "20260205144610_add_soft_budget_to_team_table");
    assert_eq!(column.advice.verb, Verb::Delete, "{}", column.advice.why);
    assert!(column.advice.why.as_str().starts_with("applied, but LiteLLM_TeamTable.soft_budget is missing"));
}

#[tokio::test]
async fn not_applied_and_there_is_told_with_what_the_next_start_does() {
    let database = built().await;
    let (guarded, bare) =
        ("20260205144610_add_soft_budget_to_team_table", "20260331000000_add_prompt_environment_and_created_by");
    database.run(&format!("DELETE FROM _prisma_migrations WHERE migration_name IN ('{guarded}', '{bare}')")).await;
    let ledger = ledger_of(&database).await;
    let told: Vec<_> = ledger.pending.iter().map(|one| (one.name.as_str(), one.sentence().to_string())).collect();
    assert_eq!(told.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [guarded, bare]);
    assert!(told[0].1.starts_with("not applied, but LiteLLM_TeamTable.soft_budget exists"), "{}", told[0].1);
    assert!(told[1].1.contains("stops at its statement"), "{}", told[1].1);
}

/// What a client sends to the server, as it passes.
struct Wire {
    port: u16,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    async fn to(database: &TestDatabase) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (copy, server) = (Arc::clone(&sent), database.address());
        tokio::spawn(async move {
            let (near, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = near.into_split();
            let (mut answers, mut asks) = TcpStream::connect(server).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut write).await });
            let mut buffer = vec![0; 65_536];
            while let Ok(count @ 1..) = read.read(&mut buffer).await {
                copy.lock().unwrap().extend_from_slice(&buffer[..count]);
                if asks.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        });
        Self { port, sent }
    }

    /// Every statement, from the messages Query and Parse (PostgreSQL, "Message Formats").
    fn statements(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        let length = |at: usize| u32::from_be_bytes(sent[at..at + 4].try_into().unwrap()) as usize;
        let text =
            |at: usize| String::from_utf8_lossy(sent[at..].split(|byte| *byte == 0).next().unwrap()).into_owned();
        let mut statements = Vec::new();
        // The first message has no type.
        let mut at = length(0);
        while at + 5 <= sent.len() {
            match sent[at] {
                b'Q' => statements.push(text(at + 5)),
                b'P' => statements.push(text(at + 5 + text(at + 5).len() + 1)),
                _ => {}
            }
            at += 1 + length(at + 1);
        }
        statements
    }
}

#[tokio::test]
async fn the_whole_history_is_read_in_two_queries_and_compared_in_no_time() {
    let database = built().await;
    let wire = Wire::to(&database).await;
    let (host, here) = database.address();
    let url = database.url().replace(&format!("{host}:{here}"), &format!("127.0.0.1:{}", wire.port));
    let port = Postgres::new(format!("{url}?sslmode=disable").parse().unwrap(), None, Gate::default());
    // Unpacked once for each process.
    Catalog::embedded();
    let began = Instant::now();
    let ledger = ledger(&port).await;
    println!("{} rows compared after {:?}", ledger.rows.len(), began.elapsed());
    assert!(ledger.rows.len() > 200);
    let statements = wire.statements();
    let of = |word: &str| statements.iter().filter(|one| one.contains(word)).count();
    // One for the rows and one for the catalogue, however many there are.
    assert_eq!((of("row_to_json"), of("pg_attribute")), (1, 1), "{statements:#?}");
    // Beside them: whether the table is there, and who holds the lock before and after it is read.
    let asked = statements.iter().filter(|one| one.contains("SELECT")).count();
    assert_eq!((asked, of("EXISTS"), of("pg_locks")), (5, 1, 2), "{statements:#?}");
}
