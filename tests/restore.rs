//! Restoring a proved backup beside the live database: the real programs on a real PostgreSQL, with
//! the schema that LiteLLM's own published migrations make.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod postgres;
#[allow(dead_code)]
#[path = "support/prisma_packages.rs"]
mod prisma_packages;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use lastgood::domain::backup::{BackupItem, BackupOrder, BackupProof};
use lastgood::domain::name::DatabaseName;
use lastgood::domain::restore::{RestoreItem, RestoreOrder, RestorePlan, RestoreProgress, RestoreWish, Restored};
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::text::{Clean, Gate};
use lastgood::world::Backup as _;
use lastgood::world::pg_dump::PgDump;
use postgres::{TestDatabase, login};
use tokio_util::sync::CancellationToken;

/// A small version of LiteLLM's schema, for tests that are about something else.
const SMALL: &str = r#"
    INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) VALUES ('1', 'a', 'first', '2026-01-01');
    CREATE TABLE "LiteLLM_SpendLogs" (request_id text PRIMARY KEY, payload text, "startTime" timestamp(3) NOT NULL);
    INSERT INTO "LiteLLM_SpendLogs" SELECT n::text, md5(n::text), '2026-01-01' FROM generate_series(1, 5000) n;
    CREATE INDEX by_start ON "LiteLLM_SpendLogs" ("startTime");
    CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, spend float8, created_at timestamp(3), updated_at timestamp(3));
    INSERT INTO "LiteLLM_VerificationToken" SELECT n::text, 0, '2026-01-01', '2026-01-01' FROM generate_series(1, 7) n;
    CREATE SCHEMA other; CREATE TABLE other."odd ""name" AS SELECT 1 AS n"#;

async fn small() -> TestDatabase {
    let database = TestDatabase::with_table().await;
    database.run(SMALL).await;
    database
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn port(database: &TestDatabase) -> PgDump {
    PgDump::new(database.parsed(), None, Gate::default())
}

/// The same as another role.
fn port_of(database: &TestDatabase, user: &str) -> PgDump {
    PgDump::new(database.url_of(user, "role-password").parse().unwrap(), None, Gate::default())
}

async fn back_up(port: &PgDump, folder: &Path, without_spend_logs: bool) -> BackupProof {
    let order = BackupOrder { without_spend_logs, at: "2026-11-20T11:14:48Z".parse().unwrap() };
    let mut feed = port.run(order, folder.to_owned());
    while let Some(item) = feed.next().await {
        match item {
            BackupItem::Progress(_) => {}
            BackupItem::Proved(proof) => return *proof,
            BackupItem::Failed(why) => panic!("{}", why.sentence()),
        }
    }
    panic!("the backup ended without an end");
}

fn wish(into: Option<&str>) -> RestoreWish {
    let into = into.map(|name| name.parse().unwrap());
    RestoreWish { dump: None, into, at: "2026-11-20T12:00:00Z".parse().unwrap() }
}

async fn planned(port: &PgDump, folder: &Path) -> RestorePlan {
    let plan = port.plan_restore(wish(None), vec![folder.to_owned()]).await;
    plan.unwrap_or_else(|why| panic!("{}", why.sentence()))
}

fn order(plan: &RestorePlan) -> RestoreOrder {
    RestoreOrder { dump: plan.dumps[0].path.clone(), into: plan.into.clone() }
}

struct Run {
    progress: Vec<RestoreProgress>,
    end: Result<Restored, Trouble>,
}

async fn run(port: &PgDump, order: RestoreOrder) -> Run {
    let mut feed = port.restore(order, CancellationToken::new());
    let mut progress = Vec::new();
    while let Some(item) = feed.next().await {
        match item {
            RestoreItem::Progress(step) => progress.push(step),
            RestoreItem::Restored(restored) => return Run { progress, end: Ok(*restored) },
            RestoreItem::Failed(why) => return Run { progress, end: Err(why) },
        }
    }
    panic!("the restore ended without an end");
}

async fn restored(port: &PgDump, order: RestoreOrder) -> Restored {
    run(port, order).await.end.unwrap_or_else(|why| panic!("{}", why.sentence()))
}

async fn failure(port: &PgDump, order: RestoreOrder) -> (TroubleKind, String) {
    let why = run(port, order).await.end.expect_err("it was restored");
    let words = why.sentence().to_string();
    assert!(!words.contains(&login().1), "{words}");
    (why.kind, words)
}

/// The databases of the server whose name begins with this one's.
async fn databases(database: &TestDatabase) -> Vec<String> {
    use sqlx::Row as _;
    let sql = format!("SELECT datname::text FROM pg_database WHERE datname LIKE '{}%' ORDER BY 1", database.name);
    database.rows(&sql).await.iter().map(|row| row.get(0)).collect()
}

/// The new database, for looking into it.
fn copy_of(restored: &Restored) -> TestDatabase {
    TestDatabase { name: restored.into.to_string() }
}

/// Every difference in words.
fn words(restored: &Restored) -> Vec<String> {
    restored.differences.as_ref().unwrap().iter().map(|difference| difference.words().to_string()).collect()
}

#[tokio::test]
async fn litellms_whole_schema_comes_back_counted_and_what_is_newer_is_listed() {
    let database = TestDatabase::with_table().await;
    let published = prisma_packages::migrations("0.4.110");
    let mut prisma = database.connect().await;
    prisma_packages::deploy(&mut prisma, &published).await;
    database
        .run(
            r#"INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime")
                   SELECT n::text, 'acompletion', '2026-01-01', '2026-01-01' FROM generate_series(1, 300) n;
               INSERT INTO "LiteLLM_VerificationToken" (token) SELECT 'old-' || n FROM generate_series(1, 5) n;
               UPDATE "LiteLLM_VerificationToken" SET created_at = '2026-01-01', updated_at = '2026-01-01'"#,
        )
        .await;
    let folder = folder();
    let proof = back_up(&port(&database), folder.path(), false).await;
    assert_eq!(proof.database.as_str(), database.parsed().display().as_str());

    // The gateway goes on working: a new key, two requests, spend on an old key, a table of its own.
    database
        .run(
            r#"INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime")
                   SELECT 'new-' || n, 'acompletion', (now() AT TIME ZONE 'UTC') + interval '1 min', now() FROM generate_series(1, 2) n;
               INSERT INTO "LiteLLM_VerificationToken" (token, created_at)
                   VALUES ('new', (now() AT TIME ZONE 'UTC') + interval '1 min');
               UPDATE "LiteLLM_VerificationToken" SET spend = 1, updated_at = (now() AT TIME ZONE 'UTC') + interval '1 min'
                   WHERE token = 'old-1';
               DELETE FROM "LiteLLM_VerificationToken" WHERE token = 'old-2';
               CREATE TABLE later AS SELECT 1 AS n"#,
        )
        .await;
    let plan = planned(&port(&database), folder.path()).await;
    assert_eq!(plan.into.as_str(), format!("{}_restore_20261120_120000", database.name));
    assert_eq!(plan.dumps.len(), 1);
    assert_eq!(plan.dumps[0].proof, proof, "the sidecar says everything that was proved");
    assert!(plan.live_bytes > 5_000_000 && plan.beside == proof.database, "{plan:?}");

    let run = run(&port(&database), order(&plan)).await;
    let restored = run.end.unwrap_or_else(|why| panic!("{}", why.sentence()));
    let copy = copy_of(&restored);
    assert_eq!((restored.tables, restored.rows), (102, 220 + 300 + 5));
    assert_eq!(copy.one("SELECT count(*)::text FROM \"LiteLLM_SpendLogs\"").await.as_deref(), Some("300"));
    // An index keeps the names that its columns had when it was made, so it is told by its definition.
    let schema = "SELECT md5(string_agg(what, ',' ORDER BY what)) FROM ( \
                      SELECT concat(attrelid::regclass, attname, atttypid::regtype, attnotnull) FROM pg_attribute \
                      WHERE attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace) \
                        AND NOT attisdropped AND attrelid <> coalesce(to_regclass('later')::oid, 0) \
                      UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public') held (what)";
    assert_eq!(copy.one(schema).await, database.one(schema).await, "columns and indexes are the live ones");
    assert_eq!(
        words(&restored),
        [
            "public.LiteLLM_SpendLogs: 302 rows live, 300 restored; 2 made since by created_at",
            "public.LiteLLM_VerificationToken: 5 rows live, 5 restored; 1 made since by created_at; 1 changed since by updated_at",
            "public.later: not in the backup; 1 row live",
        ]
    );
    assert!(restored.notes.is_empty() && restored.bytes > 5_000_000, "{restored:?}");
    let reached = |wanted: fn(&RestoreProgress) -> bool| run.progress.iter().any(wanted);
    assert!(matches!(run.progress[0], RestoreProgress::Checking { .. }), "{:?}", run.progress);
    assert!(reached(|step| matches!(step, RestoreProgress::Filling { of: 525, .. })));
    assert!(reached(|step| matches!(step, RestoreProgress::Counting { of: 102, .. })));
    assert!(reached(|step| matches!(step, RestoreProgress::Comparing { of: 103, .. })));
    // The live database was not touched, and no session of ours is left on either.
    assert_eq!(database.one("SELECT count(*)::text FROM \"LiteLLM_SpendLogs\"").await.as_deref(), Some("302"));
    let remnant = port(&database).remnant(restored.into.clone()).await.unwrap().unwrap();
    let comment = remnant.comment.as_str();
    assert!(
        comment.starts_with("lastgood: restored from litellm_backup_20261120_111448.dump, which holds 2"),
        "{comment}"
    );
    assert_eq!(databases(&database).await, [database.name.clone(), restored.into.to_string()]);
}

#[tokio::test]
async fn nothing_is_restored_into_a_database_that_exists() {
    let (database, folder) = (small().await, folder());
    back_up(&port(&database), folder.path(), false).await;
    let folders = || vec![folder.path().to_owned()];
    for name in [database.name.clone(), "postgres".to_owned()] {
        let why = port(&database).plan_restore(wish(Some(&name)), folders()).await.unwrap_err();
        assert_eq!(why.kind, TroubleKind::Refused);
        assert!(why.what.as_str().contains(&format!("a database {name} is there already")), "{}", why.what);
    }
    // It may appear after the plan was shown.
    let plan = planned(&port(&database), folder.path()).await;
    database.run(&format!("CREATE DATABASE \"{}\"", plan.into)).await;
    let (kind, said) = failure(&port(&database), order(&plan)).await;
    assert_eq!(kind, TroubleKind::Refused, "{said}");
    let there = port(&database).remnant(plan.into.clone()).await.unwrap().unwrap();
    assert_eq!(there.comment.as_str(), "", "it was left alone");
}

#[tokio::test]
async fn a_role_without_createdb_and_a_login_that_fails_are_refused_before_anything() {
    let (database, folder) = (small().await, folder());
    back_up(&port(&database), folder.path(), false).await;
    let user = format!("{}_plain", database.name);
    database.run(&format!("CREATE ROLE {user} LOGIN PASSWORD 'role-password'")).await;
    let why = port_of(&database, &user).plan_restore(wish(None), vec![folder.path().to_owned()]).await.unwrap_err();
    assert_eq!(why.kind, TroubleKind::Forbidden);
    assert!(why.what.as_str().contains(&format!("{user} may not create databases")), "{}", why.what);
    assert!(why.remedy.as_str().contains("CREATEDB"), "{}", why.remedy);
    let nobody = PgDump::new(database.url_of(&user, "wrong").parse().unwrap(), None, Gate::default());
    let why = nobody.plan_restore(wish(None), vec![folder.path().to_owned()]).await.unwrap_err();
    assert_eq!(why.kind, TroubleKind::Unauthenticated);
    assert_eq!(databases(&database).await, std::slice::from_ref(&database.name));
}

#[tokio::test]
async fn a_role_that_is_no_superuser_gets_a_copy_of_its_own_and_is_told_what_is_missing() {
    let (database, folder) = (small().await, folder());
    let user = format!("{}_maker", database.name);
    database
        .run(&format!(
            "CREATE ROLE {user} LOGIN CREATEDB PASSWORD 'role-password'; GRANT pg_read_all_data TO {user}; \
             ALTER DATABASE {} SET work_mem = '8MB'",
            database.name
        ))
        .await;
    back_up(&port_of(&database, &user), folder.path(), true).await;
    let plan = planned(&port_of(&database, &user), folder.path()).await;
    let restored = restored(&port_of(&database, &user), order(&plan)).await;
    let copy = copy_of(&restored);
    let owner = "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname = 'LiteLLM_SpendLogs'";
    assert_eq!(copy.one(owner).await, Some(user.clone()));
    assert_eq!(copy.one("SELECT count(*)::text FROM \"LiteLLM_SpendLogs\"").await.as_deref(), Some("0"));
    let notes: Vec<_> = restored.notes.iter().map(Clean::as_str).collect();
    assert!(notes[0].contains("without the rows of public.LiteLLM_SpendLogs"), "{notes:?}");
    assert!(notes[1].contains(&format!("belong to {user}")) && notes[1].contains(&login().0), "{notes:?}");
    assert!(notes[2].contains("settings or grants of its own"), "{notes:?}");
    assert_eq!(words(&restored), ["public.LiteLLM_SpendLogs: 5000 rows live, 0 restored"]);
}

/// A dump of one schema brings that schema's own CREATE statement, and every new database has one.
#[tokio::test]
async fn a_dump_of_litellms_schema_alone_is_restored_too() {
    let (database, folder) = (small().await, folder());
    let user = format!("{}_reader", database.name);
    database
        .run(&format!(
            "CREATE ROLE {user} LOGIN PASSWORD 'role-password'; \
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}"
        ))
        .await;
    let proof = back_up(&port_of(&database, &user), folder.path(), false).await;
    assert_eq!(proof.left_out.len(), 1, "{proof:?}");
    let plan = planned(&port(&database), folder.path()).await;
    let restored = restored(&port(&database), order(&plan)).await;
    assert_eq!(restored.tables, 3);
    assert_eq!(words(&restored), ["other.odd \"name: not in the backup; 1 row live"]);
}

#[tokio::test]
async fn a_dump_that_is_not_the_one_that_was_proved_is_refused_and_nothing_is_made() {
    let (database, folder) = (small().await, folder());
    let proof = back_up(&port(&database), folder.path(), false).await;
    let dump = folder.path().join(proof.file.as_str());
    let sidecar = folder.path().join(format!("{}.json", proof.file));
    let whole = std::fs::read(&dump).unwrap();
    let plan = planned(&port(&database), folder.path()).await;

    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (what, bytes) in [("SHA-256", flipped.as_slice()), ("bytes", &whole[..middle])] {
        std::fs::write(&dump, bytes).unwrap();
        let (kind, said) = failure(&port(&database), order(&plan)).await;
        assert_eq!(kind, TroubleKind::Changed, "{said}");
        assert!(said.contains(what) && said.contains("nothing was made"), "{said}");
    }
    std::fs::write(&dump, &whole).unwrap();

    // A sidecar that was changed with it counts other rows than the dump brings.
    let text = std::fs::read_to_string(&sidecar).unwrap();
    std::fs::write(&sidecar, text.replace("\"public.LiteLLM_SpendLogs\": 5000", "\"public.LiteLLM_SpendLogs\": 5001"))
        .unwrap();
    let (kind, said) = failure(&port(&database), order(&plan)).await;
    assert_eq!(kind, TroubleKind::Invalid, "{said}");
    assert!(said.contains("public.LiteLLM_SpendLogs has 5000 rows instead of 5001"), "{said}");
    assert!(
        said.contains("left on the server") && said.contains(&format!("DROP DATABASE \"{}\"", plan.into)),
        "{said}"
    );
    assert_eq!(databases(&database).await.len(), 2);
    database.run(&format!("DROP DATABASE \"{}\"", plan.into)).await;

    for (text, part) in
        [("{}", "missing field"), (&text.replace("\"lastgood_backup\": 1", "\"lastgood_backup\": 2"), "format is 2")]
    {
        std::fs::write(&sidecar, text).unwrap();
        let (kind, said) = failure(&port(&database), order(&plan)).await;
        assert_eq!(kind, TroubleKind::Invalid, "{said}");
        assert!(said.contains(part), "{said}");
    }
    std::fs::remove_file(&sidecar).unwrap();
    let (kind, said) = failure(&port(&database), order(&plan)).await;
    assert_eq!(kind, TroubleKind::NotFound, "{said}");
    assert!(said.contains("was not proved"), "{said}");
    let why = port(&database).plan_restore(wish(None), vec![folder.path().to_owned()]).await.unwrap_err();
    assert_eq!(why.kind, TroubleKind::NotFound);
    assert!(why.what.as_str().contains("no proved backup in"), "{}", why.what);
    assert_eq!(databases(&database).await, std::slice::from_ref(&database.name));
}

/// The port with a shell script in place of `pg_restore`; in it, `$real` is the real one.
fn with_script(database: &TestDatabase, folder: &tempfile::TempDir, script: &str) -> PgDump {
    let real = postgres::programs();
    let path = folder.path().join("pg_restore");
    let text = format!(
        "#!/bin/sh\nreal={}/pg_restore\nhere={}\ncase $1 in --version|--list) exec $real \"$@\";; esac\n{script}\n",
        real.display(),
        folder.path().display()
    );
    // From another process: a program that is open for writing in this one cannot be run while some
    // other thread forks.
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    port(database).with_programs(real.join("pg_dump"), path)
}

#[tokio::test]
async fn what_fails_half_way_is_taken_away_and_nothing_else() {
    let (database, folder, scripts) = (small().await, folder(), folder());
    back_up(&port(&database), folder.path(), false).await;
    let plan = planned(&port(&database), folder.path()).await;
    let rows = [
        ("$real \"$@\"; kill -KILL $$", TroubleKind::Program, "signal 9"),
        (
            "echo 'pg_restore: error: could not execute query: ERROR:  could not extend file \"base/1\": No space left on device' >&2; exit 1",
            TroubleKind::Disk,
            "no space left on the server",
        ),
        (
            "echo 'pg_restore: error: unsupported version (1.16) in file header' >&2; exit 1",
            TroubleKind::Program,
            "older than the dump",
        ),
        (
            "echo 'pg_restore: error: could not execute query: ERROR:  role \"ghost\" does not exist' >&2; exit 1",
            TroubleKind::NotFound,
            "names a role",
        ),
    ];
    for (script, kind, part) in rows {
        let (found, said) = failure(&with_script(&database, &scripts, script), order(&plan)).await;
        assert_eq!(found, kind, "{said}");
        assert!(said.contains(part) && said.contains("was taken away again"), "{said}");
        assert_eq!(databases(&database).await, std::slice::from_ref(&database.name), "{script}");
    }
    // Somebody else's session in it keeps it; then the words say what is left.
    let psql = postgres::programs().join("psql");
    let script = format!(
        "PGAPPNAME=somebody {} -qc 'SELECT pg_sleep(60)' >/dev/null 2>&1 &\n\
         until {} -Atc \"SELECT 1 FROM pg_stat_activity WHERE application_name = 'somebody' AND datname = current_database()\" | grep -q 1; do :; done\n\
         echo $! >$here/pid; exit 1",
        psql.display(),
        psql.display()
    );
    let (_, said) = failure(&with_script(&database, &scripts, &script), order(&plan)).await;
    assert!(said.contains("is left on the server"), "{said}");
    assert!(said.contains(&format!("DROP DATABASE \"{}\"", plan.into)), "{said}");
    let remnant = port(&database).remnant(plan.into.clone()).await.unwrap().unwrap();
    assert!(remnant.comment.as_str().starts_with("lastgood: incomplete restore of"), "{remnant:?}");
    database.run(&format!("DROP DATABASE \"{}\" WITH (FORCE)", plan.into)).await;
}

#[tokio::test]
async fn cancelling_takes_the_incomplete_database_away_and_ends_the_program() {
    let (database, folder, scripts) = (small().await, folder(), folder());
    back_up(&port(&database), folder.path(), false).await;
    let plan = planned(&port(&database), folder.path()).await;
    let stubborn = with_script(
        &database,
        &scripts,
        "trap '' TERM\n$real \"$@\"\nsleep 300 &\necho $! >$here/pid\nwait; sleep 300",
    );
    let stop = CancellationToken::new();
    let mut feed = stubborn.restore(order(&plan), stop.clone());
    // Everything is there, and the program does not end.
    let full = |item: Option<RestoreItem>| {
        matches!(item, Some(RestoreItem::Progress(RestoreProgress::Filling { rows: 5009, of: 5009, .. })))
    };
    while !full(feed.next().await) {}
    assert_eq!(databases(&database).await.len(), 2);
    stop.cancel();
    let end = feed.filter(|item| std::future::ready(!matches!(item, RestoreItem::Progress(_)))).next().await;
    let Some(RestoreItem::Failed(why)) = end else { panic!("{end:?}") };
    assert_eq!(why.kind, TroubleKind::Cancelled);
    assert!(why.what.as_str().contains(&format!("{} was taken away again", plan.into)), "{}", why.what);
    assert_eq!(databases(&database).await, std::slice::from_ref(&database.name));
    let pid = std::fs::read_to_string(scripts.path().join("pid")).unwrap().trim().to_owned();
    let process = PathBuf::from(format!("/proc/{pid}/cmdline"));
    wait_for("the program's whole group to end", || std::fs::read(&process).map_or(true, |line| line.is_empty())).await;
    // Before anything was made there is nothing to take away.
    let stop = CancellationToken::new();
    stop.cancel();
    let mut feed = port(&database).restore(order(&plan), stop);
    let Some(RestoreItem::Failed(why)) = feed.next().await else { panic!("it went on") };
    assert!(why.what.as_str().contains("nothing was made"), "{}", why.what);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_console_was_killed_is_named_and_tried_again() {
    let (database, home, scripts) = (small().await, folder(), folder());
    std::fs::write(home.path().join("db.url"), database.url()).unwrap();
    std::fs::create_dir(home.path().join("dumps")).unwrap();
    let text = "[env.lab]\nkind = \"staging\"\ndatabase = { file = \"db.url\" }\nbackup_folder = \"dumps\"\n";
    std::fs::write(home.path().join("lastgood.toml"), text).unwrap();
    back_up(&port(&database), &home.path().join("dumps"), false).await;

    // It fills the database, stays in it as a slow one would, and outlives the console.
    let psql = postgres::programs().join("psql");
    let script = format!(
        "$real \"$@\"; {} -qc \"SELECT pg_sleep(300)\" >/dev/null 2>&1 & echo $! >$here/pid; : >$here/full; wait",
        psql.display()
    );
    with_script(&database, &scripts, &script);
    std::os::unix::fs::symlink(postgres::programs().join("pg_dump"), scripts.path().join("pg_dump")).unwrap();
    let first = format!("{}_first", database.name);
    let path = format!("{}:/usr/bin:/bin", scripts.path().display());
    let mut restore = command(home.path(), &["restore", "--arm", "lab", "--into", &first]);
    let mut console = restore.env("PATH", path).stderr(Stdio::null()).spawn().unwrap();
    let full = scripts.path().join("full");
    wait_for("pg_restore to have filled it", || full.exists()).await;
    let asleep = format!("EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{first}' AND query LIKE '%pg_sleep%')");
    database.wait_until("its session to work", &asleep).await;
    console.kill().unwrap();
    console.wait().unwrap();

    let left = |plan: RestorePlan| plan.left.into_iter().find(|left| left.name.as_str() == first);
    let remnant = left(planned(&port(&database), &home.path().join("dumps")).await).unwrap();
    assert!(remnant.is_incomplete() && remnant.sessions > 0 && remnant.bytes > 1_000_000, "{remnant:?}");
    assert!(remnant.words().as_str().contains("WITH (FORCE)"), "{}", remnant.words());
    let pid = std::fs::read_to_string(scripts.path().join("pid")).unwrap();
    assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());

    let second = format!("{}_second", database.name);
    let (code, out, err) = call(home.path(), &["restore", "--arm", "lab", "--into", &second]);
    assert_eq!(code, 0, "{out}{err}");
    let (_, export, _) = call(home.path(), &["export", "--json"]);
    assert!(export.contains(&format!("left by an earlier restore: {first} ")), "{export}");
    let (_, listed, _) = call(home.path(), &["incidents"]);
    assert_eq!(listed.matches(" open").count(), 1, "the killed one waits for `resume`: {listed}");

    // What the words name takes away what is left, and only that.
    database.run(&format!("DROP DATABASE \"{first}\" WITH (FORCE)")).await;
    assert!(left(planned(&port(&database), &home.path().join("dumps")).await).is_none());
    assert_eq!(databases(&database).await, [database.name.clone(), second]);
}

#[tokio::test]
async fn the_newest_dump_of_several_folders_comes_first() {
    let (database, folders) = (small().await, [folder(), folder(), folder()]);
    for (folder, rows) in folders.iter().zip([1, 2]) {
        database.run(&format!("INSERT INTO \"LiteLLM_VerificationToken\" (token) VALUES ('more-{rows}')")).await;
        back_up(&port(&database), folder.path(), false).await;
    }
    std::fs::write(folders[2].path().join("other.dump"), "by hand").unwrap();
    let paths = folders.iter().map(|folder| folder.path().to_owned()).collect();
    let plan = port(&database).plan_restore(wish(Some("mine")), paths).await.unwrap();
    let tokens: Vec<_> =
        plan.dumps.iter().map(|dump| dump.proof.rows[&key("public.LiteLLM_VerificationToken")]).collect();
    assert_eq!((tokens, plan.into), (vec![9, 8], "mine".parse::<DatabaseName>().unwrap()));
}

/// Waits up to ten seconds.
async fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited 10 s for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn key(name: &str) -> Clean {
    Gate::default().clean(name)
}

/// The built program, with this folder as its home.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastgood"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", postgres::programs().display()))
        .env("HOME", folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CONFIG_HOME", folder.join("configuration"))
        .stdin(Stdio::null());
    command
}

fn call(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = command(folder, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_restores_tells_and_journals() {
    let (database, home) = (small().await, folder());
    std::fs::write(home.path().join("db.url"), database.url()).unwrap();
    std::fs::create_dir(home.path().join("dumps")).unwrap();
    let text = "[env.lab]\nkind = \"staging\"\ndatabase = { file = \"db.url\" }\nbackup_folder = \"dumps\"\n";
    std::fs::write(home.path().join("lastgood.toml"), text).unwrap();

    let (code, out, err) = call(home.path(), &["restore", "--arm", "lab"]);
    assert_eq!(code, 3, "{out}{err}");
    assert!(err.contains("there is no proved backup in") && err.contains("--backup FILE"), "{err}");
    let proof = back_up(&port(&database), &home.path().join("dumps"), false).await;
    database.run("INSERT INTO \"LiteLLM_VerificationToken\" (token) VALUES ('later')").await;
    assert_eq!(call(home.path(), &["restore", "--arm", "another"]).0, 3);
    let (code, out, err) = call(home.path(), &["restore", "--arm", "lab", "--into", &database.name]);
    assert_eq!(code, 3, "{out}");
    assert!(err.contains("is there already; it was left alone"), "{err}");

    let (code, out, err) = call(home.path(), &["restore", "--arm", "lab"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(proof.file.as_str()) && out.contains("as the sidecar counts them"), "{out}");
    assert!(out.contains("public.LiteLLM_VerificationToken     8         7"), "{out}");
    assert!(out.contains("no URL was switched"), "{out}");
    let into = format!("{}_checked", database.name);
    let dump = format!("dumps/{}", proof.file);
    let (code, json, _) = call(home.path(), &["restore", "--arm", "lab", "--backup", &dump, "--into", &into, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &report["restored"]["into"]), (0, &into.as_str().into()), "{json}");
    let differences = report["restored"]["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{json}");
    assert_eq!((&differences[0]["live"], &differences[0]["restored"]), (&8.into(), &7.into()), "{json}");
    assert_eq!(databases(&database).await.len(), 3);

    // The act was announced before it started, and what it made is on record.
    let (_, export, _) = call(home.path(), &["export", "--json"]);
    assert!(export.contains("restore-database") && export.contains(&into), "{export}");
    let (_, report, _) = call(home.path(), &["export", "--md"]);
    assert!(report.contains(&format!("## Restored database {into}")), "{report}");
    let row = "| public.LiteLLM_VerificationToken | 8 | 7 | 0 by created_at | 0 by updated_at |";
    assert!(report.contains(row), "{report}");
    let told = [out, err, json, export].concat();
    assert!(!told.contains(&login().1), "{told}");
}
