//! The backup port with the real `pg_dump` against a real PostgreSQL server.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod postgres;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use lastgood::domain::backup::{BackupItem, BackupOrder, BackupProgress, BackupProof};
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::text::{Clean, Gate};
use lastgood::world::Backup as _;
use lastgood::world::pg_dump::PgDump;
use postgres::{TestDatabase, login};
use sqlx::Executor as _;

const NAME: &str = "litellm_backup_20261120_111448.dump";

fn order(without_spend_logs: bool) -> BackupOrder {
    BackupOrder { without_spend_logs, at: "2026-11-20T11:14:48Z".parse().unwrap() }
}

/// LiteLLM's tables in small, with rows that do not compress well.
async fn filled() -> TestDatabase {
    let database = TestDatabase::with_table().await;
    database
        .run(
            r#"INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) VALUES
                   ('1', 'a', 'first', '2026-01-01'), ('2', 'b', 'second', '2026-01-02');
               CREATE TABLE "LiteLLM_SpendLogs" (request_id text PRIMARY KEY, payload text);
               INSERT INTO "LiteLLM_SpendLogs" SELECT n::text, md5(n::text) || md5((n + 1)::text) FROM generate_series(1, 20000) n;
               CREATE TABLE "LiteLLM_VerificationToken" (token text);
               INSERT INTO "LiteLLM_VerificationToken" SELECT n::text FROM generate_series(1, 7) n;
               CREATE SCHEMA other; CREATE TABLE other."odd ""name" AS SELECT 1 AS n"#,
        )
        .await;
    database
}

fn port(database: &TestDatabase) -> PgDump {
    PgDump::new(database.parsed(), None, Gate::default())
}

/// The port with a shell script in place of `pg_dump`. In the script, `$real` is the real one,
/// `$file` the file that is to be written, and `$here` the script's folder.
fn with_script(database: &TestDatabase, folder: &tempfile::TempDir, script: &str) -> PgDump {
    let real = postgres::programs();
    let path = folder.path().join("pg_dump");
    let text = format!(
        "#!/bin/sh\nreal={}/pg_dump\nhere={}\ncase $1 in --version) exec $real --version;; esac\n\
         for file; do :; done\n{script}\n",
        real.display(),
        folder.path().display()
    );
    write_program(&path, &text);
    port(database).with_programs(path, real.join("pg_restore"))
}

/// Writes the script from another process: a program whose file is open for writing in this one
/// cannot be run while some other thread forks.
fn write_program(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}

struct Run {
    progress: Vec<BackupProgress>,
    end: Result<BackupProof, Trouble>,
}

async fn run(port: &PgDump, order: BackupOrder, folder: &Path) -> Run {
    let mut feed = port.run(order, folder.to_owned());
    let mut progress = Vec::new();
    while let Some(item) = feed.next().await {
        match item {
            BackupItem::Progress(step) => progress.push(step),
            BackupItem::Proved(proof) => return Run { progress, end: Ok(*proof) },
            BackupItem::Failed(why) => return Run { progress, end: Err(why) },
        }
    }
    panic!("the feed ended without an end");
}

async fn failure(port: &PgDump, folder: &Path) -> (TroubleKind, String) {
    let why = run(port, order(false), folder).await.end.expect_err("the backup succeeded");
    assert_eq!(files(folder), Vec::<String>::new(), "a failed backup leaves nothing");
    assert!(!why.sentence().as_str().contains(&login().1));
    (why.kind, why.sentence().to_string())
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits up to ten seconds.
async fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited 10 s for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Restores the dump into a fresh database with the real `pg_restore`.
async fn restored(dump: &Path) -> TestDatabase {
    let database = TestDatabase::empty().await;
    let done = Command::new(postgres::programs().join("pg_restore"))
        .args(["--exit-on-error", "--no-owner", "-d", &database.url()])
        .arg(dump)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    database
}

async fn count(database: &TestDatabase, table: &str) -> u64 {
    database.one(&format!("SELECT count(*)::text FROM {table}")).await.unwrap().parse().unwrap()
}

fn key(name: &str) -> Clean {
    Gate::default().clean(name)
}

#[tokio::test]
async fn the_dump_holds_exactly_the_counted_rows_although_rows_are_added_meanwhile() {
    let (database, out, scripts) = (filled().await, folder(), folder());
    let psql = postgres::programs().join("psql");
    let script = format!(
        "{} -qc \"INSERT INTO \\\"LiteLLM_VerificationToken\\\" VALUES ('late')\" || exit 9\nexec $real \"$@\"",
        psql.display()
    );
    let run = run(&with_script(&database, &scripts, &script), order(false), out.path()).await;
    let proof = run.end.unwrap_or_else(|why| panic!("{}", why.sentence()));
    assert_eq!(count(&database, "\"LiteLLM_VerificationToken\"").await, 8);
    let copy = restored(&out.path().join(NAME)).await;
    assert_eq!(proof.rows.len(), 4);
    for (name, table) in [
        ("public._prisma_migrations", "_prisma_migrations"),
        ("public.LiteLLM_SpendLogs", "\"LiteLLM_SpendLogs\""),
        ("public.LiteLLM_VerificationToken", "\"LiteLLM_VerificationToken\""),
        ("other.odd \"name", "other.\"odd \"\"name\""),
    ] {
        assert_eq!(proof.rows[&key(name)], count(&copy, table).await, "{name}");
    }
    assert_eq!(proof.rows[&key("public.LiteLLM_VerificationToken")], 7);

    assert_eq!(files(out.path()), [NAME.to_owned(), format!("{NAME}.json")]);
    for name in files(out.path()) {
        let mode = std::fs::metadata(out.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let sum = Command::new("sha256sum").arg(out.path().join(NAME)).output().unwrap().stdout;
    assert!(String::from_utf8(sum).unwrap().starts_with(proof.sha256.as_str()));
    assert_eq!(proof.bytes, std::fs::metadata(out.path().join(NAME)).unwrap().len());
    assert_eq!(proof.migration_head.as_ref().map(Clean::as_str), Some("second"));
    assert!(proof.left_out.is_empty() && proof.proved_at >= proof.started_at);
    let sidecar = std::fs::read_to_string(out.path().join(format!("{NAME}.json"))).unwrap();
    let sidecar: serde_json::Value = serde_json::from_str(&sidecar).unwrap();
    assert_eq!((&sidecar["lastgood_backup"], &sidecar["sha256"]), (&1.into(), &proof.sha256.as_str().into()));
    assert_eq!(sidecar["rows"]["public.LiteLLM_SpendLogs"], 20000);
    assert!(!sidecar.to_string().contains(&login().1));

    assert_eq!(run.progress.first(), Some(&BackupProgress::Counting));
    let read = BackupProgress::ReadingBack { bytes: proof.bytes, of: proof.bytes };
    assert_eq!(run.progress.last(), Some(&read));
    let again = crate::run(&port(&database), order(false), out.path()).await.end.unwrap_err();
    assert_eq!(again.kind, TroubleKind::Disk, "a dump is never written over");
    assert_eq!(files(out.path()).len(), 2);
}

#[tokio::test]
async fn spend_logs_can_be_left_out_whole_or_in_partitions() {
    let (database, out) = (filled().await, folder());
    let proof = run(&port(&database), order(true), out.path()).await.end.unwrap();
    assert_eq!(proof.left_out, [key("public.LiteLLM_SpendLogs")]);
    assert!(!proof.rows.contains_key(&key("public.LiteLLM_SpendLogs")));
    let copy = restored(&out.path().join(NAME)).await;
    assert_eq!(count(&copy, "\"LiteLLM_SpendLogs\"").await, 0);
    assert_eq!(count(&copy, "\"LiteLLM_VerificationToken\"").await, 7);

    let (database, out) = (TestDatabase::empty().await, folder());
    database
        .run(
            r#"CREATE SCHEMA "L"; CREATE TABLE "L"."LiteLLM_SpendLogs" (n int) PARTITION BY RANGE (n);
               CREATE TABLE "L"."p 1" PARTITION OF "L"."LiteLLM_SpendLogs" FOR VALUES FROM (0) TO (10);
               INSERT INTO "L"."LiteLLM_SpendLogs" VALUES (1), (2); CREATE TABLE "L".kept AS SELECT 1"#,
        )
        .await;
    let url = format!("{}?schema=L&connection_limit=5&pool_timeout=3", database.url()).parse().unwrap();
    let proof = run(&PgDump::new(url, None, Gate::default()), order(true), out.path()).await.end.unwrap();
    assert_eq!(proof.left_out, [key("L.LiteLLM_SpendLogs"), key("L.p 1")]);
    assert_eq!(proof.migration_head, None);
    let copy = restored(&out.path().join(NAME)).await;
    assert_eq!(count(&copy, "\"L\".\"LiteLLM_SpendLogs\"").await, 0);
    assert_eq!(count(&copy, "\"L\".kept").await, 1);
}

#[tokio::test]
async fn a_port_forward_stands_in_for_host_and_port() {
    let (database, out) = (filled().await, folder());
    let (ip, port) = database.address();
    let far = database.url().replace(&format!("{ip}:{port}"), "db.cluster.invalid:5432");
    let forwarded = PgDump::new(far.parse().unwrap(), Some((ip, port)), Gate::default());
    let proof = run(&forwarded, order(false), out.path()).await.end.unwrap_or_else(|why| panic!("{}", why.sentence()));
    assert_eq!(proof.rows[&key("public.LiteLLM_SpendLogs")], 20000);
}

#[tokio::test]
async fn pg_dump_checks_the_servers_name_through_a_port_forward() {
    let (database, out) = (filled().await, folder());
    let Some(authority) = database.certificate_authority() else {
        eprintln!("SKIPPED: no TLS on the test server (openssl makes its certificate)");
        return;
    };
    let (ip, port) = database.address();
    let tls = format!("?sslmode=verify-full&sslrootcert={}", authority.display());
    let url = database.url().replace(&format!("{ip}:{port}"), "db.lastgood.test") + &tls;
    let proof =
        run(&PgDump::new(url.parse().unwrap(), Some((ip, port)), Gate::default()), order(false), out.path()).await;
    assert!(proof.end.is_ok(), "{:?}", proof.end);
}

#[tokio::test]
async fn cancelling_ends_the_program_and_leaves_nothing() {
    let database = filled().await;
    for stubborn in ["", "trap '' TERM"] {
        let (out, scripts) = (folder(), folder());
        let script = format!("{stubborn}\nsleep 300 &\necho $! >$here/pid\necho x >>\"$file\"; wait; sleep 300");
        let dump = with_script(&database, &scripts, &script);
        let mut feed = dump.run(order(false), out.path().to_owned());
        let pid_file = scripts.path().join("pid");
        let written = |item: Option<BackupItem>| {
            matches!(item, Some(BackupItem::Progress(BackupProgress::Dumping { bytes: 2.., .. })))
        };
        while !written(feed.next().await) {}
        let pid = std::fs::read_to_string(&pid_file).unwrap().trim().to_owned();
        let process = PathBuf::from(format!("/proc/{pid}/cmdline"));
        assert!(process.exists());
        drop(feed);
        wait_for("the program's whole group to end", || std::fs::read(&process).map_or(true, |line| line.is_empty()))
            .await;
        wait_for("the file to go", || files(out.path()).is_empty()).await;
        let sessions = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'lastgood%' \
                        AND datname = current_database())";
        database.wait_until("our sessions to end", sessions).await;
    }
}

#[tokio::test]
async fn a_damaged_dump_is_never_given_its_name() {
    let database = filled().await;
    let damages = [
        ("cut", "truncate -s $(($(stat -c %s \"$file\") / 2)) \"$file\""),
        (
            "flipped",
            "printf 'XXXX' | dd of=\"$file\" bs=1 seek=$(($(stat -c %s \"$file\") / 2)) conv=notrunc 2>/dev/null",
        ),
        ("empty", ": >\"$file\""),
    ];
    for (what, damage) in damages {
        let (out, scripts) = (folder(), folder());
        let dump = with_script(&database, &scripts, &format!("$real \"$@\" || exit 1\n{damage}"));
        let (kind, words) = failure(&dump, out.path()).await;
        assert_eq!(kind, TroubleKind::Disk, "{what}: {words}");
        assert!(words.contains("the dump is damaged"), "{what}: {words}");
    }
}

#[tokio::test]
async fn the_password_is_in_no_argument_vector() {
    let (database, out, scripts) = (filled().await, folder(), folder());
    let script = "echo $$ >$here/pid\nwhile ! [ -e $here/go ]; do sleep 0.01; done\nexec $real \"$@\"";
    let dump = with_script(&database, &scripts, script);
    let feed = dump.run(order(false), out.path().to_owned());
    let end = tokio::spawn(
        feed.filter(|item| std::future::ready(!matches!(item, BackupItem::Progress(_)))).collect::<Vec<_>>(),
    );
    wait_for("pg_dump to be started", || scripts.path().join("pid").exists()).await;
    // The real program waits behind this lock while it is looked at.
    let lock = lock_behind_the_count(&database).await;
    std::fs::write(scripts.path().join("go"), "").unwrap();
    let waiting = "EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'lastgood pg_dump %' \
                   AND datname = current_database() AND wait_event_type = 'Lock')";
    database.wait_until("pg_dump to wait for the lock", waiting).await;
    let pid = std::fs::read_to_string(scripts.path().join("pid")).unwrap().trim().to_owned();
    let read =
        |name: &str| String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{name}")).unwrap()).into_owned();
    let (arguments, environment) = (read("cmdline"), read("environ"));
    assert!(arguments.contains("--snapshot="), "{arguments}");
    assert!(!arguments.contains(&login().1) && !arguments.contains(&login().0), "{arguments}");
    assert!(environment.contains(&format!("PGPASSWORD={}", login().1)));
    assert!(!environment.contains("CARGO"), "the environment is clean");
    assert!(read("stat").contains(&format!(" {pid} ")), "it leads its own process group");
    database.run(END_LOCK).await;
    lock.await.unwrap();
    let end = end.await.unwrap();
    assert!(matches!(end.as_slice(), [BackupItem::Proved(_)]), "{end:?}");
}

#[tokio::test]
async fn a_lock_on_a_table_ends_the_dump_after_five_seconds() {
    let (database, out, scripts) = (filled().await, folder(), folder());
    let script = "echo >$here/ready\nwhile ! [ -e $here/go ]; do sleep 0.01; done\nexec $real \"$@\"";
    let dump = with_script(&database, &scripts, script);
    let out_path = out.path().to_owned();
    let end = tokio::spawn(async move { failure(&dump, &out_path).await });
    wait_for("pg_dump to be started", || scripts.path().join("ready").exists()).await;
    let lock = lock_behind_the_count(&database).await;
    std::fs::write(scripts.path().join("go"), "").unwrap();
    let (kind, words) = end.await.unwrap();
    assert_eq!(kind, TroubleKind::Busy, "{words}");
    lock.await.unwrap();
}

/// An ALTER TABLE that waits for the counting transaction, and that pg_dump has to wait for.
async fn lock_behind_the_count(database: &TestDatabase) -> tokio::task::JoinHandle<()> {
    let mut other = database.connect().await;
    let lock = tokio::spawn(async move {
        let _ = other.execute("BEGIN; LOCK TABLE \"LiteLLM_VerificationToken\"; ROLLBACK").await;
    });
    database
        .wait_until(
            "the lock to be awaited",
            "EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        )
        .await;
    lock
}

const END_LOCK: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted \
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

#[tokio::test]
async fn a_running_migration_refuses_the_backup_and_is_named() {
    let (database, out) = (filled().await, folder());
    let mut migration = database.connect().await;
    migration.execute("SET application_name = 'prisma'; SELECT pg_advisory_lock(72707369)").await.unwrap();
    let (kind, words) = failure(&port(&database), out.path()).await;
    assert_eq!(kind, TroubleKind::Busy);
    assert!(words.contains("prisma"), "{words}");
}

#[tokio::test]
async fn logins_and_privileges_that_lack_are_findings_of_their_own() {
    let (database, out, scripts) = (filled().await, folder(), folder());
    let user = format!("{}_reader", database.name);
    database.run(&format!("CREATE ROLE {user} LOGIN PASSWORD 'reader-password'")).await;
    let reader = |password: &str| PgDump::new(database.url_of(&user, password).parse().unwrap(), None, Gate::default());
    assert_eq!(failure(&reader("wrong-password"), out.path()).await.0, TroubleKind::Unauthenticated);
    let (kind, words) = failure(&reader("reader-password"), out.path()).await;
    assert_eq!(kind, TroubleKind::Forbidden, "{words}");
    database.run(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}")).await;
    // What lies outside LiteLLM's schema does not stop the backup, and is named.
    let proof = run(&reader("reader-password"), order(false), out.path()).await.end.unwrap();
    assert_eq!(proof.left_out, [key("other.odd \"name")]);
    assert_eq!(proof.rows.len(), 3);
    assert_eq!(count(&restored_public(&out.path().join(NAME)).await, "\"LiteLLM_SpendLogs\"").await, 20000);
    database.run(&format!("DROP OWNED BY {user}; DROP ROLE {user}")).await;
    // The same words from pg_dump itself.
    let out = folder();
    let wrong = with_script(&database, &scripts, "PGPASSWORD=wrong exec $real \"$@\"");
    let (kind, words) = failure(&wrong, out.path()).await;
    assert_eq!(kind, TroubleKind::Unauthenticated, "{words}");
    let gone = with_script(&database, &scripts, "exec $real \"$@\" -t nowhere");
    assert_eq!(failure(&gone, out.path()).await.0, TroubleKind::NotFound);
    let elsewhere = with_script(&database, &scripts, "PGPORT=1 exec $real \"$@\"");
    assert_eq!(failure(&elsewhere, out.path()).await.0, TroubleKind::Unreachable);
}

/// A dump of one schema brings that schema's own CREATE statement.
async fn restored_public(dump: &Path) -> TestDatabase {
    let database = TestDatabase::empty().await;
    database.run("DROP SCHEMA public CASCADE").await;
    let done = Command::new(postgres::programs().join("pg_restore"))
        .args(["--exit-on-error", "--no-owner", "--no-acl", "-d", &database.url()])
        .arg(dump)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    database
}

#[tokio::test]
async fn programs_that_are_missing_too_old_or_killed_are_findings() {
    let (database, out, scripts) = (filled().await, folder(), folder());
    let restore = postgres::programs().join("pg_restore");
    let missing = port(&database).with_programs("/nowhere/pg_dump".into(), restore.clone());
    let (kind, words) = failure(&missing, out.path()).await;
    assert_eq!(kind, TroubleKind::Program);
    assert!(words.contains("not installed") && words.contains("postgresql-client-"), "{words}");
    let old = scripts.path().join("old");
    write_program(&old, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n");
    let (kind, words) = failure(&port(&database).with_programs(old, restore), out.path()).await;
    assert_eq!(kind, TroubleKind::Program);
    assert!(words.contains("pg_dump 9.6.24 is older than the server"), "{words}");
    let killed = with_script(&database, &scripts, "kill -KILL $$");
    let (kind, words) = failure(&killed, out.path()).await;
    assert_eq!(kind, TroubleKind::Program);
    assert!(words.contains("signal 9"), "{words}");
    let talkative = format!("pg_dump: error: {} token=abcdef123456", login().1);
    let leaky = with_script(&database, &scripts, &format!("echo '{talkative}' >&2; exit 1"));
    let (_, words) = failure(&leaky, out.path()).await;
    assert!(words.contains("[masked]") && !words.contains("abcdef123456"), "{words}");
}

#[tokio::test]
async fn no_room_is_a_finding_and_leaves_nothing() {
    let (database, out, scripts) = (filled().await, folder(), folder());
    let limited = with_script(&database, &scripts, "trap '' XFSZ; ulimit -f 100; exec $real \"$@\"");
    let (kind, words) = failure(&limited, out.path()).await;
    assert_eq!(kind, TroubleKind::Disk, "{words}");
    let (kind, _) = {
        let why = run(&port(&database), order(false), Path::new("/nowhere/at/all")).await.end.unwrap_err();
        (why.kind, why)
    };
    assert_eq!(kind, TroubleKind::Disk);
    for (size, part) in [("64k", "would need at least"), ("256k", "No space left on device")] {
        let Some(small) = SmallDisk::mount(size) else {
            eprintln!("SKIPPED: a full disk needs a tmpfs, and this user may not mount one");
            return;
        };
        let (kind, words) = failure(&port(&database), small.0.path()).await;
        assert_eq!(kind, TroubleKind::Disk, "{words}");
        assert!(words.contains(part), "{size}: {words}");
    }
}

/// A file system of a given size; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = folder();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "lastgood-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn the_server_is_named_without_its_password_and_the_programs_are_run() {
    let (database, scripts) = (filled().await, folder());
    let server = port(&database).server().await.unwrap_or_else(|why| panic!("{}", why.sentence()));
    let (ip, number) = database.address();
    assert_eq!(server.place.as_str(), format!("{ip}:{number}/{} (schema public)", database.name));
    assert_eq!(Some(server.version.to_string()), database.one("SHOW server_version").await);
    let programs = server.programs.unwrap();
    for (name, version) in [("pg_dump", &programs.pg_dump), ("pg_restore", &programs.pg_restore)] {
        let said = Command::new(postgres::programs().join(name)).arg("--version").output().unwrap().stdout;
        assert!(String::from_utf8(said).unwrap().contains(version.as_str()), "{name} {version}");
    }
    // A pg_restore that is too old is none, whatever pg_dump is.
    let old = scripts.path().join("old");
    write_program(&old, "#!/bin/sh\necho 'pg_restore (PostgreSQL) 9.6.24'\n");
    let server = port(&database).with_programs(postgres::programs().join("pg_dump"), old).server().await.unwrap();
    let why = server.programs.unwrap_err();
    assert_eq!(why.kind, TroubleKind::Program);
    assert!(why.what.as_str().contains("pg_restore 9.6.24 is older than the server"), "{}", why.what);
    assert!(!why.remedy.is_empty());
    let nobody = PgDump::new("postgresql://a:b@127.0.0.1:1/x".parse().unwrap(), None, Gate::default());
    assert_eq!(nobody.server().await.unwrap_err().kind, TroubleKind::Unreachable);
}
