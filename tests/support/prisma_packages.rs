//! LiteLLM's published migrations, and the ledger that Prisma writes when it applies them.
//!
//! The package `litellm-proxy-extras` is fetched with pip into `target/test-packages/`, once. A
//! test that needs it fails with a clear message where it cannot be fetched.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use sha2::Digest as _;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

/// One migration of the package.
pub struct PublishedMigration {
    /// The name of its folder.
    pub name: String,
    /// SHA-256 of its file, hexadecimal: what Prisma writes into the row.
    pub sha256: String,
    /// The file.
    pub sql: String,
}

/// One fetch at a time: pip and the unpacked folder are shared by the tests of a binary.
static FETCHING: Mutex<()> = Mutex::new(());

/// The folder of the migrations of one published version, as `prisma migrate deploy` takes it.
#[allow(dead_code)]
pub fn folder(version: &str) -> PathBuf {
    let _one = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    unpacked(version).join("litellm_proxy_extras/migrations")
}

/// The migrations of one published version, in the order in which Prisma applies them.
pub fn migrations(version: &str) -> Vec<PublishedMigration> {
    let folder = folder(version);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let bytes = std::fs::read(entry.path().join("migration.sql")).ok()?;
            Some(PublishedMigration {
                name: entry.file_name().into_string().ok()?,
                sha256: sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
                sql: String::from_utf8(bytes).ok()?,
            })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// `schema.prisma` of one published version.
#[allow(dead_code)]
pub fn schema(version: &str) -> String {
    let _one = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let file = unpacked(version).join("litellm_proxy_extras/schema.prisma");
    std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
}

/// The folder of one published version, as pip unpacks it among a Python's packages.
#[allow(dead_code)]
pub fn package(version: &str) -> PathBuf {
    let _one = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    unpacked(version)
}

fn unpacked(version: &str) -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-packages");
    let done = packages.join(format!("litellm_proxy_extras-{version}"));
    if done.exists() {
        return done;
    }
    std::fs::create_dir_all(&packages).unwrap();
    // Unpacked under a name of this process's own and renamed when whole: test binaries of one
    // run may do this at the same time.
    let own = packages.join(format!("{version}.{}", std::process::id()));
    let wheels = own.join("wheel");
    let pip = ["-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "-q", "-d"];
    run(Command::new("python3").args(pip).arg(&wheels).arg(format!("litellm-proxy-extras=={version}")), version);
    let wheel = std::fs::read_dir(&wheels).unwrap().flatten().map(|entry| entry.path()).next();
    let wheel = wheel.unwrap_or_else(|| panic!("pip brought no file for litellm-proxy-extras {version}"));
    let content = own.join("content");
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).args([&wheel, &content]), version);
    if std::fs::rename(&content, &done).is_err() {
        assert!(done.exists(), "{} cannot be created", done.display());
    }
    let _ = std::fs::remove_dir_all(&own);
    done
}

fn run(command: &mut Command, version: &str) {
    let need = format!(
        "these tests need LiteLLM's package litellm-proxy-extras {version}: python3 with pip and a package index, \
         or the unpacked wheel in target/test-packages/litellm_proxy_extras-{version}"
    );
    let output = command.output().unwrap_or_else(|why| panic!("{need}: {why}"));
    assert!(output.status.success(), "{need}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What Prisma does on `migrate deploy`: for each migration a row, the file as one simple query,
/// then the row's end (prisma-engines, `apply_migrations` and `sql_migration_persistence`).
pub async fn deploy(connection: &mut PgConnection, migrations: &[PublishedMigration]) {
    connection.execute("SELECT pg_advisory_lock(72707369)").await.unwrap();
    for migration in migrations {
        let id = started(connection, migration).await;
        if let Err(why) = connection.execute(AssertSqlSafe(migration.sql.clone())).await {
            panic!("{}: {why}", migration.name);
        }
        let ended = "UPDATE _prisma_migrations SET applied_steps_count = applied_steps_count + 1, finished_at = now() \
                     WHERE id = $1";
        sqlx::query(ended).bind(id).execute(&mut *connection).await.unwrap();
    }
    connection.execute("SELECT pg_advisory_unlock(72707369)").await.unwrap();
}

/// A migration whose file fails: its row stays unfinished, with the error in `logs`.
pub async fn fail(connection: &mut PgConnection, migration: &PublishedMigration) -> String {
    let id = started(connection, migration).await;
    let why = connection.execute(AssertSqlSafe(migration.sql.clone())).await.expect_err("the migration applied");
    let logs = format!(
        "A migration failed to apply. New migrations cannot be applied before the error is recovered from.\n\n\
         Migration name: {}\n\nDatabase error:\n{why}",
        migration.name
    );
    let update = sqlx::query("UPDATE _prisma_migrations SET logs = $2 WHERE id = $1").bind(&id).bind(logs);
    update.execute(connection).await.unwrap();
    id
}

async fn started(connection: &mut PgConnection, migration: &PublishedMigration) -> String {
    use sqlx::Row as _;
    let insert = "INSERT INTO _prisma_migrations (id, checksum, migration_name) \
                  VALUES (gen_random_uuid()::text, $1, $2) RETURNING id";
    let row = sqlx::query(insert).bind(&migration.sha256).bind(&migration.name).fetch_one(connection).await.unwrap();
    row.get(0)
}
