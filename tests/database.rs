//! The database port against a real PostgreSQL server.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod postgres;

use std::net::IpAddr;

use futures::FutureExt as _;
use lastgood::domain::confirm::{Confirm, Confirmed, Subject};
use lastgood::domain::database_url::DatabaseUrl;
use lastgood::domain::ledger::Course;
use lastgood::domain::migration::{APPLIED_PHRASE, Deletion, Kept, MigrationTable, Resolution, Row, RowState};
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::text::Gate;
use lastgood::world::Database as _;
use lastgood::world::postgres::Postgres;
use postgres::TestDatabase;
use sqlx::{Connection as _, Executor as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ONE: &str = "11111111-1111-1111-1111-111111111111";
const TWO: &str = "22222222-2222-2222-2222-222222222222";
const THREE: &str = "33333333-3333-3333-3333-333333333333";

/// One applied row, one failed one, and an older rolled-back run of the failed one.
const ROWS: &str = "INSERT INTO _prisma_migrations VALUES
    ('11111111-1111-1111-1111-111111111111', 'aa', '2026-11-20 11:14:49.123456+00', '20250326162113_baseline', NULL, NULL, '2026-11-20 11:14:48.441321+00', 1),
    ('22222222-2222-2222-2222-222222222222', 'bb', NULL, '20251122125322_Add organization_id to spend logs', E'ERROR: 42P07\\nwith password=hunter2hunter2 in it', NULL, '2026-11-20 11:15:00.000001+00', 0),
    ('33333333-3333-3333-3333-333333333333', 'bb', NULL, '20251122125322_Add organization_id to spend logs', NULL, '2026-11-20 11:14:58+00', '2026-11-20 11:14:50+00', 0)";

const EVERYTHING: &str =
    "SELECT coalesce(string_agg(row_to_json(m)::text, E'\\n' ORDER BY id), '') FROM _prisma_migrations m";

async fn filled() -> (TestDatabase, Postgres) {
    let database = TestDatabase::with_table().await;
    database.run(ROWS).await;
    let port = port(&database.url());
    (database, port)
}

fn port(url: &str) -> Postgres {
    Postgres::new(url.parse().unwrap(), None, Gate::default())
}

async fn table(port: &Postgres) -> MigrationTable {
    port.migrations().await.unwrap_or_else(|why| panic!("{}", why.sentence()))
}

async fn row(port: &Postgres, id: &str) -> Row {
    table(port).await.row(&id.parse().unwrap()).cloned().unwrap()
}

fn confirmed<T: Subject>(subject: T) -> Confirmed<T> {
    let phrases = subject.phrases();
    Confirm::new(subject).answer_all(phrases.iter().map(lastgood::text::Clean::as_str)).ok().unwrap()
}

async fn deletion(port: &Postgres, id: &str) -> Confirmed<Deletion> {
    confirmed(Deletion { row: row(port, id).await, again: Course::Untold })
}

async fn resolution(port: &Postgres, id: &str) -> Confirmed<Resolution> {
    confirmed(Resolution { row: row(port, id).await })
}

fn kind<T>(answer: Result<T, Trouble>) -> (TroubleKind, String) {
    match answer {
        Ok(_) => panic!("it was done"),
        Err(why) => (why.kind, why.sentence().to_string()),
    }
}

fn files(folder: &tempfile::TempDir) -> usize {
    std::fs::read_dir(folder.path()).unwrap().count()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn rows_are_read_with_state_times_and_masked_logs() {
    let (database, port) = filled().await;
    let table = table(&port).await;
    assert!(table.exists && table.unreadable.is_empty() && table.locks.is_empty());
    let shown: Vec<_> = table.rows.iter().map(|row| (row.id.as_str(), row.state)).collect();
    assert_eq!(shown, [(TWO, RowState::Failed), (THREE, RowState::RolledBack), (ONE, RowState::Applied)]);
    let applied = &table.rows[2];
    assert_eq!(applied.started_at.to_string(), "2026-11-20T11:14:48.441321Z");
    assert_eq!(applied.finished_at.unwrap().to_string(), "2026-11-20T11:14:49.123456Z");
    assert_eq!((applied.steps, applied.checksum.as_str(), &applied.logs), (1, "aa", &None));
    let logs = table.rows[0].logs.as_ref().unwrap().as_str();
    assert!(logs.contains("42P07") && !logs.contains("hunter2hunter2"), "{logs}");
    assert!(!format!("{table:?}{}", serde_json::to_string(&table).unwrap()).contains("hunter2hunter2"));
    // The fingerprint is over the stored row: logs that differ only where they are masked differ.
    let before = table.rows[0].content;
    database.run("UPDATE _prisma_migrations SET logs = replace(logs, 'hunter2hunter2', 'hunter3hunter3')").await;
    assert_ne!(row(&port, TWO).await.content, before);
}

#[tokio::test]
async fn a_missing_table_is_no_error_and_a_missing_database_is() {
    let database = TestDatabase::empty().await;
    let table = table(&port(&database.url())).await;
    assert!(!table.exists && table.rows.is_empty());
    let (kind, words) = kind(port(&format!("{}_gone", database.url())).migrations().await);
    assert_eq!(kind, TroubleKind::NotFound);
    assert!(words.contains("after the last '/'"), "{words}");
}

#[tokio::test]
async fn rows_that_cannot_be_shown_do_not_hide_the_others() {
    let database = TestDatabase::empty().await;
    database
        .run(
            "CREATE TABLE _prisma_migrations (id text, checksum text, finished_at timestamptz, migration_name text,
                 logs text, rolled_back_at timestamptz, started_at timestamptz, applied_steps_count int);
             INSERT INTO _prisma_migrations VALUES
                 (NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-01', NULL),
                 ('a', NULL, 'infinity', 'nulls', NULL, NULL, '2026-01-02', NULL),
                 ('b', 'x', NULL, E'bad\\x1b[2Jname', NULL, NULL, '2026-01-03', 1),
                 ('c', 'x', NULL, 'forever', NULL, NULL, 'infinity', 1)",
        )
        .await;
    let table = table(&port(&database.url())).await;
    assert_eq!(table.rows.len(), 1);
    assert_eq!((table.rows[0].name.as_str(), table.rows[0].state), ("nulls", RowState::Applied));
    let words: Vec<_> = table.unreadable.iter().map(|why| why.what.as_str()).collect();
    assert!(words[0].starts_with("row 1 of") && words[1].starts_with("row 3 of") && words[2].contains("forever"));
    assert!(!words.concat().contains('\u{1b}'));
}

#[tokio::test]
async fn another_schema_and_the_unix_socket_are_found() {
    let database = TestDatabase::empty().await;
    database
        .run(&format!("CREATE SCHEMA \"My \"\"S\"; SET search_path = \"My \"\"S\"; {}; {ROWS}", postgres::PRISMA_TABLE))
        .await;
    let url = format!("{}?schema=My%20%22S&connection_limit=3", database.url());
    let port_here = port(&url);
    assert_eq!(table(&port_here).await.rows.len(), 3);
    let folder = folder();
    let kept = port_here.delete(deletion(&port_here, TWO).await, folder.path().into()).await.unwrap();
    assert_eq!(table(&port_here).await.rows.len(), 2);
    port_here.restore(kept, folder.path().into()).await.unwrap();
    assert_eq!(table(&port_here).await.rows.len(), 3);
    match database.socket_url() {
        Some(socket) => assert!(!table(&port(&socket)).await.exists),
        None => eprintln!("SKIPPED: the given server's Unix socket is not known"),
    }
}

#[tokio::test]
async fn a_row_is_deleted_alone_and_put_back_exactly() {
    let (database, port) = filled().await;
    let folder = folder();
    let before = database.one(EVERYTHING).await;
    let proof = deletion(&port, TWO).await;
    let kept = port.delete(proof.clone(), folder.path().into()).await.unwrap();
    let ids = database.one("SELECT string_agg(left(id, 1), '' ORDER BY id) FROM _prisma_migrations").await;
    assert_eq!(ids.as_deref(), Some("13"));
    assert_eq!(files(&folder), 1);
    let again = port.delete(proof, folder.path().into());
    assert_eq!(kind(again.await).0, TroubleKind::NotFound);
    assert_eq!(files(&folder), 1);

    let words = port.restore(kept.clone(), folder.path().into()).await.unwrap();
    assert!(words.as_str().contains("is back, exactly as it was"));
    assert_eq!(database.one(EVERYTHING).await, before);
    let words = port.restore(kept, folder.path().into()).await.unwrap();
    assert!(words.as_str().contains("already"));
    assert_eq!(database.one(EVERYTHING).await, before);
}

#[tokio::test]
async fn an_applied_row_needs_both_phrases_and_comes_back() {
    let (database, port) = filled().await;
    let folder = folder();
    let before = database.one(EVERYTHING).await;
    let row = row(&port, ONE).await;
    assert!(
        Confirm::new(Deletion { row: row.clone(), again: Course::Untold })
            .answer_all(["20250326162113_baseline"])
            .is_err()
    );
    let proof = Confirm::new(Deletion { row, again: Course::Untold })
        .answer_all(["20250326162113_baseline", APPLIED_PHRASE])
        .ok()
        .unwrap();
    let kept = port.delete(proof, folder.path().into()).await.unwrap();
    port.restore(kept, folder.path().into()).await.unwrap();
    assert_eq!(database.one(EVERYTHING).await, before);
}

#[tokio::test]
async fn a_row_that_changed_since_it_was_shown_is_left_alone() {
    let (database, port) = filled().await;
    let folder = folder();
    let (delete, resolve) = (deletion(&port, TWO).await, resolution(&port, TWO).await);
    database.run(&format!("UPDATE _prisma_migrations SET applied_steps_count = 1 WHERE id = '{TWO}'")).await;
    let before = database.one(EVERYTHING).await;
    for answer in [port.delete(delete, folder.path().into()).await, port.resolve(resolve, folder.path().into()).await] {
        let (kind, words) = kind(answer);
        assert_eq!(kind, TroubleKind::Changed);
        assert!(words.contains("nothing was changed") && words.contains(TWO), "{words}");
    }
    assert_eq!((database.one(EVERYTHING).await, files(&folder)), (before, 0));
}

#[tokio::test]
async fn a_failed_row_is_resolved_as_prisma_does_it_and_undone() {
    let (database, port) = filled().await;
    let folder = folder();
    let before = database.one(EVERYTHING).await;
    let kept = port.resolve(resolution(&port, TWO).await, folder.path().into()).await.unwrap();
    let state = "SELECT (rolled_back_at BETWEEN now() - interval '1 minute' AND now() AND finished_at IS NULL \
                 AND logs LIKE '%42P07%')::text FROM _prisma_migrations WHERE id LIKE '2%'";
    assert_eq!(database.one(state).await.as_deref(), Some("true"));
    assert_eq!(row(&port, TWO).await.state, RowState::RolledBack);
    assert_eq!(kind(port.resolve(resolution(&port, ONE).await, folder.path().into()).await).0, TroubleKind::Refused);
    port.restore(kept.clone(), folder.path().into()).await.unwrap();
    assert_eq!(database.one(EVERYTHING).await, before);

    database.run("UPDATE _prisma_migrations SET rolled_back_at = '2026-11-21' WHERE id LIKE '2%'").await;
    let (kind, words) = kind(port.restore(kept, folder.path().into()).await);
    assert_eq!(kind, TroubleKind::Changed, "{words}");
}

#[tokio::test]
async fn undo_is_refused_when_the_name_was_run_again() {
    let (database, port) = filled().await;
    let folder = folder();
    let kept = port.delete(deletion(&port, TWO).await, folder.path().into()).await.unwrap();
    let again = "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) \
                 SELECT 'again', checksum, migration_name, now(), 1 FROM _prisma_migrations WHERE id LIKE '3%'";
    database.run(again).await;
    let before = database.one(EVERYTHING).await;
    let (refusal, words) = kind(port.restore(kept.clone(), folder.path().into()).await);
    assert_eq!(refusal, TroubleKind::Refused);
    assert!(words.contains("applied again") && words.contains("again)"), "{words}");
    assert_eq!(database.one(EVERYTHING).await, before);
    // A run that was rolled back speaks for nothing.
    database.run("UPDATE _prisma_migrations SET rolled_back_at = now(), finished_at = NULL WHERE id = 'again'").await;
    port.restore(kept.clone(), folder.path().into()).await.unwrap();
    // The id is there, with other content.
    database.run("UPDATE _prisma_migrations SET logs = 'new' WHERE id LIKE '2%'").await;
    assert_eq!(kind(port.restore(kept, folder.path().into()).await).0, TroubleKind::Changed);
}

#[tokio::test]
async fn a_restore_file_of_another_database_or_row_is_refused() {
    let (_database, port_one) = filled().await;
    let (other, port_two) = filled().await;
    let folder = folder();
    let kept = port_one.delete(deletion(&port_one, TWO).await, folder.path().into()).await.unwrap();
    other.run("DELETE FROM _prisma_migrations WHERE id LIKE '2%'").await;
    let (refusal, words) = kind(port_two.restore(kept.clone(), folder.path().into()).await);
    assert_eq!(refusal, TroubleKind::Refused, "{words}");
    let wrong = Kept { id: ONE.parse().unwrap(), ..kept };
    assert_eq!(kind(port_one.restore(wrong, folder.path().into()).await).0, TroubleKind::Invalid);
}

#[tokio::test]
async fn a_session_that_holds_the_row_is_named() {
    let (database, port) = filled().await;
    let folder = folder();
    let proof = deletion(&port, TWO).await;
    let mut other = database.connect().await;
    other
        .execute("SET application_name = 'psql of Bob'; BEGIN; SELECT 1 FROM _prisma_migrations FOR UPDATE")
        .await
        .unwrap();
    let (busy, words) = kind(port.delete(proof, folder.path().into()).await);
    assert_eq!(busy, TroubleKind::Busy);
    assert!(words.contains("psql of Bob") && words.contains("idle in transaction"), "{words}");
    assert_eq!(files(&folder), 0);
    other.execute("ROLLBACK").await.unwrap();
    port.delete(deletion(&port, TWO).await, folder.path().into()).await.unwrap();
}

#[tokio::test]
async fn a_running_migration_is_seen_and_nothing_is_touched_beside_it() {
    let (database, port) = filled().await;
    let folder = folder();
    let before = database.one(EVERYTHING).await;
    for key in ["72707369", "7812739710205912882"] {
        let proof = deletion(&port, TWO).await;
        let mut migration = database.connect().await;
        let lock = format!("SET application_name = 'prisma'; SELECT pg_advisory_lock({key})");
        migration.execute(sqlx::AssertSqlSafe(lock)).await.unwrap();
        let table = table(&port).await;
        assert!(table.running(), "{key}");
        assert_eq!(table.locks[0].application.as_str(), "prisma");
        assert_eq!(table.row(&TWO.parse().unwrap()).unwrap().state, RowState::Running);
        let (busy, words) = kind(port.delete(proof, folder.path().into()).await);
        assert_eq!(busy, TroubleKind::Busy);
        assert!(words.contains("prisma") && words.contains("migration lock"), "{words}");
        migration.close().await.unwrap();
        database
            .wait_until("the lock to be free", "NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')")
            .await;
    }
    // The same key in another database is another lock.
    let elsewhere = TestDatabase::empty().await;
    let mut migration = elsewhere.connect().await;
    migration.execute("SELECT pg_advisory_lock(72707369)").await.unwrap();
    assert!(!table(&port).await.running());
    assert_eq!((database.one(EVERYTHING).await, files(&folder)), (before, 0));
}

#[tokio::test]
async fn a_migration_cannot_start_while_a_row_is_deleted() {
    let (database, port) = filled().await;
    let folder = folder();
    // COMMIT waits in a deferred trigger for a lock that the test holds.
    database.run(&slow_commit("DELETE")).await;
    let mut gate = database.connect().await;
    gate.execute("SELECT pg_advisory_lock(5)").await.unwrap();
    let delete = tokio::spawn(port.delete(deletion(&port, TWO).await, folder.path().into()));
    database.wait_until("COMMIT to wait", WAITING).await;
    assert_eq!(database.one("SELECT pg_try_advisory_lock(72707369)::text").await.as_deref(), Some("false"));
    gate.execute("SELECT pg_advisory_unlock(5)").await.unwrap();
    delete.await.unwrap().unwrap();
    assert_eq!(database.one("SELECT pg_try_advisory_lock(72707369)::text").await.as_deref(), Some("true"));
}

/// A trigger that makes COMMIT wait for advisory lock 5.
fn slow_commit(event: &str) -> String {
    format!(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN SET LOCAL lock_timeout = 0; PERFORM pg_advisory_xact_lock(5); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER slow AFTER {event} ON _prisma_migrations \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()"
    )
}

const WAITING: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'lastgood' \
                       AND datname = current_database() AND wait_event_type = 'Lock')";
const KILL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE application_name = 'lastgood' AND datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn a_session_killed_before_commit_changed_nothing() {
    let (database, port) = filled().await;
    let folder = folder();
    let before = database.one(EVERYTHING).await;
    let proof = deletion(&port, TWO).await;
    let mut other = database.connect().await;
    other.execute("BEGIN; SELECT 1 FROM _prisma_migrations FOR UPDATE").await.unwrap();
    let delete = tokio::spawn(port.delete(proof, folder.path().into()));
    database.wait_until("the delete to wait for the row", WAITING).await;
    database.run(KILL).await;
    let (lost, words) = kind(delete.await.unwrap());
    assert_eq!(lost, TroubleKind::Unreachable, "{words}");
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!((database.one(EVERYTHING).await, files(&folder)), (before, 0));
}

#[tokio::test]
async fn a_session_killed_in_commit_leaves_the_outcome_unknown() {
    let (database, port) = filled().await;
    let folder = folder();
    database.run(&slow_commit("DELETE")).await;
    let mut gate = database.connect().await;
    gate.execute("SELECT pg_advisory_lock(5)").await.unwrap();
    let delete = tokio::spawn(port.delete(deletion(&port, TWO).await, folder.path().into()));
    database.wait_until("COMMIT to wait", WAITING).await;
    database.run(KILL).await;
    let (unknown, words) = kind(delete.await.unwrap());
    assert_eq!(unknown, TroubleKind::Unknown);
    assert!(words.contains("restore file row-deleted-"), "{words}");
    assert_eq!(files(&folder), 1, "the row may be gone: its restore file must stay");
    assert_eq!(row(&port, TWO).await.state, RowState::Failed);
}

#[tokio::test]
async fn a_commit_that_the_server_refuses_is_a_failure_and_no_mystery() {
    let (database, port) = filled().await;
    let folder = folder();
    database
        .run(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not today''; END';
             CREATE CONSTRAINT TRIGGER never AFTER DELETE ON _prisma_migrations DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION no()",
        )
        .await;
    let (refusal, words) = kind(port.delete(deletion(&port, TWO).await, folder.path().into()).await);
    assert_eq!(refusal, TroubleKind::Invalid);
    assert!(words.contains("not today"), "{words}");
    assert_eq!(files(&folder), 0);
}

#[tokio::test]
async fn a_line_cut_after_commit_is_unknown_and_the_row_is_gone() {
    let (database, port) = filled().await;
    let folder = folder();
    let proof = deletion(&port, TWO).await;
    let via = cutting_proxy(database.address()).await;
    // In clear text, so that the proxy sees the COMMIT.
    let url = format!("{}?sslmode=disable", database.url()).parse().unwrap();
    let through = Postgres::new(url, Some(via), Gate::default());
    let (unknown, words) = kind(through.delete(proof, folder.path().into()).await);
    assert_eq!(unknown, TroubleKind::Unknown, "{words}");
    database.wait_until("the commit", "NOT EXISTS (SELECT FROM _prisma_migrations WHERE id LIKE '2%')").await;
    assert_eq!(files(&folder), 1);
    // What the operator does next: the restore file brings the row back.
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().file_name();
    let name = "20251122125322_Add organization_id to spend logs".parse().unwrap();
    let kept = Kept { id: TWO.parse().unwrap(), name, file: file.into_string().unwrap() };
    port.restore(kept, folder.path().into()).await.unwrap();
}

/// Carries one connection to the server and cuts it when COMMIT has gone through.
async fn cutting_proxy(to: (IpAddr, u16)) -> (IpAddr, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
        let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
        loop {
            tokio::select! {
                read = near.read(&mut up) => {
                    let read = read.unwrap();
                    far.write_all(&up[..read]).await.unwrap();
                    if up[..read].windows(6).any(|window| window == b"COMMIT") {
                        // The server's answer is awaited here and never passed on.
                        let _ = far.read(&mut down).await;
                        return;
                    }
                    if read == 0 { return }
                }
                read = far.read(&mut down) => {
                    let read = read.unwrap();
                    if read == 0 { return }
                    near.write_all(&down[..read]).await.unwrap();
                }
            }
        }
    });
    (address.ip(), address.port())
}

#[tokio::test]
async fn the_reading_connection_is_replaced_when_it_dies() {
    let (database, port) = filled().await;
    assert_eq!(table(&port).await.rows.len(), 3);
    database
        .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lastgood' AND datname = current_database()")
        .await;
    assert_eq!(table(&port).await.rows.len(), 3);
    let sessions = "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'lastgood' AND datname = current_database()";
    assert_eq!(table(&port).await.rows.len(), 3);
    assert_eq!(database.one(sessions).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_change_that_is_dropped_half_way_changes_nothing() {
    let (database, port) = filled().await;
    let folder = folder();
    let before = database.one(EVERYTHING).await;
    let proof = deletion(&port, TWO).await;
    let mut other = database.connect().await;
    other.execute("BEGIN; SELECT 1 FROM _prisma_migrations FOR UPDATE").await.unwrap();
    let mut delete = port.delete(proof, folder.path().into());
    let waiting = database.wait_until("the delete to wait for the row", WAITING);
    tokio::select! { _ = &mut delete => panic!("it did not wait"), () = waiting => {} }
    assert!((&mut delete).now_or_never().is_none());
    drop(delete);
    other.execute("ROLLBACK").await.unwrap();
    database
        .wait_until(
            "our session to end",
            "NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 72707369)",
        )
        .await;
    assert_eq!((database.one(EVERYTHING).await, files(&folder)), (before, 0));
}

#[tokio::test]
async fn refusals_of_the_server_say_what_to_do() {
    let (database, full) = filled().await;
    let user = format!("{}_reader", database.name);
    database
        .run(&format!(
            "CREATE ROLE {user} LOGIN PASSWORD 'reader-password'; GRANT SELECT ON _prisma_migrations TO {user}"
        ))
        .await;
    let folder = folder();
    let reader = port(&database.url_of(&user, "reader-password"));
    let proof = deletion(&reader, TWO).await;
    let rows = [
        (kind(reader.delete(proof, folder.path().into()).await), TroubleKind::Forbidden, "GRANT"),
        (
            kind(port(&database.url_of(&user, "wrong-password")).migrations().await),
            TroubleKind::Unauthenticated,
            "password",
        ),
        (kind(port("postgresql://u:p@127.0.0.1:1/x").migrations().await), TroubleKind::Unreachable, "refused"),
        (
            kind(port(&format!("{}?sslmode=verify-full", database.url())).migrations().await),
            TroubleKind::Unreachable,
            "sslmode=verify-full",
        ),
    ];
    for ((kind, words), expected, part) in rows {
        assert_eq!(kind, expected, "{words}");
        assert!(words.contains(part), "{words}");
        assert!(!words.contains("reader-password") && !words.contains("wrong-password"), "{words}");
    }
    database.run(&format!("REVOKE ALL ON _prisma_migrations FROM {user}")).await;
    assert_eq!(kind(reader.migrations().await).0, TroubleKind::Forbidden);
    database.run(&format!("DROP ROLE {user}")).await;
    // A folder that is not there stops the deletion before it begins.
    let before = database.one(EVERYTHING).await;
    let answer = full.delete(deletion(&full, TWO).await, "/nowhere/at/all".into()).await;
    assert_eq!(kind(answer).0, TroubleKind::Disk);
    assert_eq!(database.one(EVERYTHING).await, before);
}

#[tokio::test]
async fn reading_cannot_write() {
    let database = TestDatabase::empty().await;
    // A view that would write when it is read.
    database
        .run(
            "CREATE TABLE touched (n int);
             CREATE FUNCTION touch() RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO touched VALUES (1); RETURN ''r''; END';
             CREATE VIEW \"LiteLLM_SpendLogs\" AS SELECT touch() AS request_id, 0.5::float8 AS spend, 3 AS total_tokens, now()::timestamp AS \"startTime\"",
        )
        .await;
    let (_, words) = kind(port(&database.url()).spend_row("r".parse().unwrap()).await);
    assert!(words.contains("read-only"), "{words}");
    assert_eq!(database.one("SELECT count(*)::text FROM touched").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_spend_row_is_found_by_its_key() {
    let database = TestDatabase::empty().await;
    let port = port(&database.url());
    let id: lastgood::domain::name::RequestId = "chatcmpl-1".parse().unwrap();
    let (missing, words) = kind(port.spend_row(id.clone()).await);
    assert_eq!(missing, TroubleKind::NotFound);
    assert!(words.contains("LiteLLM_SpendLogs"), "{words}");
    database
        .run(
            "CREATE TABLE \"LiteLLM_SpendLogs\" (request_id text PRIMARY KEY, spend double precision, total_tokens int,
                 \"startTime\" timestamp(3));
             INSERT INTO \"LiteLLM_SpendLogs\" VALUES ('chatcmpl-1', 1.35e-05, 30, '2026-11-20 11:14:48.441')",
        )
        .await;
    let row = port.spend_row(id.clone()).await.unwrap().unwrap();
    assert_eq!((row.id, row.spend.as_str(), row.total_tokens), (id, "1.35e-05", 30));
    assert_eq!(row.started.unwrap().to_string(), "2026-11-20T11:14:48.441Z");
    assert_eq!(port.spend_row("chatcmpl-2".parse().unwrap()).await.unwrap(), None);
}

/// Values made with PyNaCl 1.6.2 and cryptography 50.0.2 the way LiteLLM makes them, under
/// `salt-of-the-first-key` and `sk-another-key`.
const STORED: &str = r#"
    CREATE TABLE "LiteLLM_ProxyModelTable" (model_id text PRIMARY KEY, litellm_params jsonb NOT NULL);
    CREATE TABLE "LiteLLM_CredentialsTable" (credential_id text PRIMARY KEY, credential_values jsonb NOT NULL);
    CREATE TABLE "LiteLLM_Config" (param_name text PRIMARY KEY, param_value jsonb);
    INSERT INTO "LiteLLM_ProxyModelTable" VALUES
        ('m1', '{"api_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX4sP0SdUDjKzE4NC9o0RF652scK8-Z_jD15J5-wRUO553",
                 "tags": [{"deep": "v2:gcm:AAECAwQFBgcICQoLkmXRuIXZInb065ibcMmTSX0O9OkSmyXtEX41v6ZtrDfT"}], "rpm": 60,
                 "api_base": "https://example.openai.azure.com/openai/deployments"}'),
        ('m2', '{"api_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGOYXqzwEmL_ZRT00j6TAEm8cWWk_-glPzpKG9aDxJDJj", "model": "gpt-4o"}');
    INSERT INTO "LiteLLM_CredentialsTable" VALUES
        ('c1', '{"api_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXBcPR2Xx6WOqZLEgYr2ZPfYCmnnA6ba5IL2Q="}');
    INSERT INTO "LiteLLM_Config" VALUES
        ('environment_variables', '{"KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXOBQVW+tg/TZ4mSFUpMOaaQ=="}'), ('empty', NULL);
"#;

#[tokio::test]
async fn each_salt_key_opens_what_was_stored_with_it() {
    use lastgood::domain::salt::{Key, Keys, Opened, Value};
    let key = |value: Option<&str>| Key {
        from: lastgood::text::Clean::ours("LITELLM_SALT_KEY"),
        value: value.map_or(Value::Unset, |value| Value::Known(lastgood::text::Secret::new(value))),
    };
    let keys = |live, target| Keys { live: key(live), target: key(target) };
    let (first, second) = (Some("salt-of-the-first-key"), Some("sk-another-key"));
    let database = TestDatabase::with_table().await;
    let port = port(&database.url());
    let empty = port.opened(keys(first, second)).await.unwrap();
    assert_eq!(empty, Opened { tried: 0, live: Some(0), target: Some(0), neither: 0 }, "no such tables yet");
    database.run(STORED).await;
    let rows = [
        (keys(first, second), Opened { tried: 5, live: Some(4), target: Some(1), neither: 0 }),
        (keys(second, first), Opened { tried: 5, live: Some(1), target: Some(4), neither: 0 }),
        (keys(Some("a"), Some("b")), Opened { tried: 5, live: Some(0), target: Some(0), neither: 5 }),
        (keys(first, None), Opened { tried: 5, live: Some(4), target: None, neither: 0 }),
    ];
    for (keys, expected) in rows {
        assert_eq!(port.opened(keys.clone()).await.unwrap(), expected, "{keys:?}");
    }
    let broken = "ALTER TABLE \"LiteLLM_Config\" RENAME COLUMN param_value TO other";
    database.run(broken).await;
    assert_eq!(port.opened(keys(first, second)).await.unwrap().tried, 4, "a column that is not there is left out");
}

#[tokio::test]
async fn a_locked_spend_table_is_reported_in_time() {
    let database = TestDatabase::empty().await;
    database.run("CREATE TABLE \"LiteLLM_SpendLogs\" (request_id text PRIMARY KEY)").await;
    let mut other = database.connect().await;
    other.execute("BEGIN; LOCK TABLE \"LiteLLM_SpendLogs\"").await.unwrap();
    let (busy, words) = kind(port(&database.url()).spend_row("r".parse().unwrap()).await);
    assert_eq!(busy, TroubleKind::Busy, "{words}");
}

#[tokio::test]
async fn several_hosts_are_tried_in_turn() {
    let (database, _) = filled().await;
    let (ip, here) = database.address();
    let url = database.url().replace(&format!("{ip}:{here}"), &format!("127.0.0.1:1,{ip}:{here}"));
    let url: DatabaseUrl = url.parse().unwrap();
    assert_eq!(table(&Postgres::new(url, None, Gate::default())).await.rows.len(), 3);
}

#[tokio::test]
async fn a_certificate_is_checked_against_the_servers_name_through_a_port_forward() {
    let (database, _) = filled().await;
    let Some(authority) = database.certificate_authority() else {
        eprintln!("SKIPPED: no TLS on the test server (openssl makes its certificate)");
        return;
    };
    let via = Some(database.address());
    let (_, place) = database.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let here = place.split_once('/').unwrap().0;
    let url = |name: &str| -> DatabaseUrl {
        let authority = authority.display();
        let url = database.url().replace(here, name);
        format!("{url}?sslmode=verify-full&sslrootcert={authority}").parse().unwrap()
    };
    let port = Postgres::new(url("db.lastgood.test"), via, Gate::default());
    assert_eq!(table(&port).await.rows.len(), 3);
    let (wrong, words) = kind(Postgres::new(url("db.other.test"), via, Gate::default()).migrations().await);
    assert_eq!(wrong, TroubleKind::Unreachable);
    assert!(words.contains("no TLS connection"), "{words}");
}

#[tokio::test]
async fn what_a_schema_holds_is_read_by_name_and_by_kind() {
    let database = TestDatabase::with_table().await;
    database
        .run(
            "CREATE TYPE mood AS ENUM ('sad', 'ok');
             CREATE TABLE \"LiteLLM_A\" (id text PRIMARY KEY, \"Odd name\" mood, gone int, n int CHECK (n > 0));
             ALTER TABLE \"LiteLLM_A\" DROP COLUMN gone;
             CREATE TABLE \"LiteLLM_B\" (a_id text CONSTRAINT b_fk REFERENCES \"LiteLLM_A\"(id), twice int) PARTITION BY RANGE (twice);
             CREATE INDEX b_idx ON \"LiteLLM_B\" (twice);
             CREATE VIEW a_view AS SELECT id FROM \"LiteLLM_A\";
             CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER a_touch BEFORE UPDATE ON \"LiteLLM_A\" FOR EACH ROW EXECUTE FUNCTION touch();
             CREATE TABLE \"bad\u{202e}name\" (id int);
             CREATE SCHEMA other; CREATE TABLE other.elsewhere (id int)",
        )
        .await;
    database.run("INSERT INTO \"LiteLLM_A\" (id, n) VALUES ('1', 5), ('2', 5)").await;
    let mut failing = database.connect().await;
    assert!(failing.execute("CREATE UNIQUE INDEX CONCURRENTLY a_twice ON \"LiteLLM_A\" (n)").await.is_err());
    // A session that holds the tables exclusively does not keep the catalogue from being read.
    let mut holder = database.connect().await;
    holder.execute("BEGIN; LOCK TABLE \"LiteLLM_A\", _prisma_migrations IN ACCESS EXCLUSIVE MODE").await.unwrap();

    let live = port(&database.url()).schema().await.unwrap_or_else(|why| panic!("{}", why.sentence()));
    let shown: Vec<_> = live.objects.objects().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "LiteLLM_A",
            "LiteLLM_B",
            "LiteLLM_A.Odd name",
            "LiteLLM_A.id",
            "LiteLLM_A.n",
            "LiteLLM_B.a_id",
            "LiteLLM_B.twice",
            "index LiteLLM_A_pkey",
            "index a_twice",
            "index b_idx",
            "constraint LiteLLM_A_n_check of LiteLLM_A",
            "constraint LiteLLM_A_pkey of LiteLLM_A",
            "constraint b_fk of LiteLLM_B",
            "type mood",
            "function touch",
            "trigger a_touch of LiteLLM_A",
        ]
    );
    let invalid: Vec<_> = live.invalid.iter().map(|name| name.as_str()).collect();
    assert_eq!((invalid, live.unreadable, live.schema.as_str()), (vec!["a_twice"], 2, "public"));
}
