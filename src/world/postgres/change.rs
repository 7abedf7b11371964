//! Deleting and resolving one row, each in one transaction that touches nothing else.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::connect::Connector;
use super::migrations::{TABLE, fingerprint};
use super::trouble::{self, Stop};
use super::{holder, refused};
use crate::domain::confirm::Confirmed;
use crate::domain::migration::{Deletion, Kept, Resolution, Row, may_resolve};
use crate::domain::name::{MigrationId, MigrationName};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Sealed};
use crate::world::clock::Clock;
use crate::world::restore_file::{Act, DatabaseIdentity, Draft, RestoreFile, Sibling};

/// Longest time from BEGIN to just before COMMIT. Running out of it changes nothing.
const WORK_LIMIT: Duration = Duration::from_secs(20);

/// Longest time to wait for the answer to COMMIT. Running out of it leaves the outcome unknown.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);

/// Deletes the confirmed row. What it leaves behind is a restore file.
pub(super) async fn delete(
    connector: &Connector,
    proof: &Confirmed<Deletion>,
    folder: PathBuf,
) -> Result<Kept, Trouble> {
    let row = &proof.subject().row;
    change(connector, row, Act::Deleted, folder).await
}

/// Marks the confirmed row as rolled back, which Prisma allows for failed rows only.
pub(super) async fn resolve(
    connector: &Connector,
    proof: &Confirmed<Resolution>,
    folder: PathBuf,
) -> Result<Kept, Trouble> {
    let row = &proof.subject().row;
    if let Err(why) = may_resolve(row) {
        return Err(Trouble::new(TroubleKind::Refused, say!("nothing was changed: {}", why))
            .remedy(Clean::ours("read the table again; delete the row instead if it must go")));
    }
    change(connector, row, Act::Resolved, folder).await
}

async fn change(connector: &Connector, row: &Row, act: Act, folder: PathBuf) -> Result<Kept, Trouble> {
    let verb = match act {
        Act::Deleted => "delete",
        Act::Resolved => "resolve",
    };
    let doing = say!("could not {} row {} ({}) in {}", verb, row.id, row.name, connector.url().display());
    let mut connection = connector.connect("lastgood").await?;
    let work = prepare(&mut connection, connector, row, act, folder);
    let prepared = match tokio::time::timeout(WORK_LIMIT, work).await {
        Ok(prepared) => prepared,
        Err(_) => return Err(connector.silent(&doing, WORK_LIMIT)),
    };
    match prepared {
        Ok(mut draft) => {
            draft.keep();
            let file = draft.file().to_owned();
            let shown = connector.gate().clean(&file);
            let sent = commit(connector, &mut connection, &doing).await;
            sent.map_err(|failure| failure.with_file(&mut draft, &shown))?;
            Ok(Kept { id: row.id.clone(), name: row.name.clone(), file })
        }
        Err(stop) => Err(with_row_holder(&mut connection, connector, &doing, stop).await),
    }
}

/// Everything up to COMMIT: locks, comparison, restore file, the change itself.
async fn prepare(
    connection: &mut PgConnection,
    connector: &Connector,
    row: &Row,
    act: Act,
    folder: PathBuf,
) -> Result<Draft, Stop> {
    begin(connection, connector).await?;
    let before = stored(connection, connector, &row.id).await?;
    let before = unchanged(row, before)?;
    let siblings = siblings(connection, connector, &row.name, &row.id).await?;
    let database = identity(connection, connector).await?;
    let mut kept = RestoreFile {
        act,
        saved_at: Clock::wall().now(),
        database,
        id: row.id.clone(),
        name: row.name.clone(),
        row: Sealed::new(before),
        after: None,
        siblings,
    };
    let draft = match act {
        Act::Deleted => {
            let draft = write(kept, folder, connector).await?;
            delete_one(connection, connector, &row.id).await?;
            draft
        }
        Act::Resolved => {
            kept.after = Some(resolve_one(connection, connector, &row.id).await?);
            write(kept, folder, connector).await?
        }
    };
    Ok(draft)
}

/// Opens the transaction and keeps migrations out of it. The connection is used for nothing
/// else: dropping it before COMMIT undoes everything.
pub(super) async fn begin(connection: &mut PgConnection, connector: &Connector) -> Result<(), Stop> {
    let limits = "BEGIN READ WRITE; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'; \
                  SET LOCAL idle_in_transaction_session_timeout = '30s'";
    (&mut *connection).execute(limits).await?;
    holder::hold_off_migrations(connection, connector.gate()).await
}

/// The row's exact text, locked until the transaction ends.
pub(super) async fn stored(
    connection: &mut PgConnection,
    connector: &Connector,
    id: &MigrationId,
) -> Result<Option<String>, Stop> {
    let sql = format!("SELECT row_to_json(m)::text FROM {} m WHERE id = $1 FOR UPDATE", connector.table(TABLE));
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.as_str()).persistent(false).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

fn unchanged(shown: &Row, stored: Option<String>) -> Result<String, Stop> {
    let Some(stored) = stored else {
        return Err(refused(
            TroubleKind::NotFound,
            say!("nothing was changed: row {} ({}) is not there any more", shown.id, shown.name),
            Clean::ours("somebody removed it; read the table again"),
        ));
    };
    if fingerprint(&stored) != shown.content {
        return Err(refused(
            TroubleKind::Changed,
            say!("nothing was changed: row {} ({}) is not as it was shown any more", shown.id, shown.name),
            Clean::ours("somebody changed it, maybe a migration that just ran; read the table again and look"),
        ));
    }
    Ok(stored)
}

/// The other rows of the same name.
pub(super) async fn siblings(
    connection: &mut PgConnection,
    connector: &Connector,
    name: &MigrationName,
    id: &MigrationId,
) -> Result<Vec<Sibling>, Stop> {
    let sql = format!(
        "SELECT id::text, finished_at IS NOT NULL AND rolled_back_at IS NULL, rolled_back_at IS NOT NULL \
         FROM {} WHERE migration_name = $1 AND id <> $2",
        connector.table(TABLE)
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(name.as_str())
        .bind(id.as_str())
        .persistent(false)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok(Sibling { id: row.try_get(0)?, applied: row.try_get(1)?, rolled_back: row.try_get(2)? }))
        .collect()
}

/// Which database this is.
pub(super) async fn identity(connection: &mut PgConnection, connector: &Connector) -> Result<DatabaseIdentity, Stop> {
    let row = sqlx::query(
        "SELECT pg_catalog.current_database()::text, \
                pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await?;
    let system = if row.try_get(1)? {
        let sql = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
        Some(sqlx::query(sql).persistent(false).fetch_one(connection).await?.try_get(0)?)
    } else {
        None
    };
    let url = connector.url();
    let address = url.addresses().iter().map(|address| format!("{}:{}", address.host, address.port));
    Ok(DatabaseIdentity {
        system,
        address: address.collect::<Vec<_>>().join(","),
        database: row.try_get(0)?,
        schema: url.schema().as_str().to_owned(),
    })
}

async fn write(kept: RestoreFile, folder: PathBuf, connector: &Connector) -> Result<Draft, Stop> {
    let gate = connector.gate().clone();
    match tokio::task::spawn_blocking(move || kept.write(&folder, &gate)).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(refused(
            TroubleKind::Disk,
            Clean::ours("nothing was changed: writing the restore file was interrupted"),
            Clean::default(),
        )),
    }
}

async fn delete_one(connection: &mut PgConnection, connector: &Connector, id: &MigrationId) -> Result<(), Stop> {
    let sql = format!("DELETE FROM {} WHERE id = $1", connector.table(TABLE));
    let done = sqlx::query(AssertSqlSafe(sql)).bind(id.as_str()).persistent(false).execute(connection).await?;
    one_row(done.rows_affected(), id)
}

/// Prisma's statement for `migrate resolve --rolled-back`, for one row and only a failed one.
/// Returns the row as it stands then.
async fn resolve_one(
    connection: &mut PgConnection,
    connector: &Connector,
    id: &MigrationId,
) -> Result<Sealed<String>, Stop> {
    let sql = format!(
        "UPDATE {} m SET rolled_back_at = now() WHERE id = $1 AND finished_at IS NULL AND rolled_back_at IS NULL \
         RETURNING row_to_json(m)::text",
        connector.table(TABLE)
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(id.as_str()).persistent(false).fetch_all(connection).await?;
    one_row(rows.len() as u64, id)?;
    let after: String = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    Ok(Sealed::new(after))
}

pub(super) fn one_row(count: u64, id: &MigrationId) -> Result<(), Stop> {
    if count == 1 {
        return Ok(());
    }
    Err(refused(
        TroubleKind::Refused,
        say!("nothing was changed: the statement would have touched {} rows instead of row {} alone", count, id),
        Clean::ours("look for a trigger or a rule on the table"),
    ))
}

/// How a commit went wrong.
pub(super) enum CommitFailure {
    /// The server said that it did not commit.
    Refused(Trouble),
    /// Nobody knows.
    Unknown(Trouble),
}

impl CommitFailure {
    /// The failure, with what becomes of the restore file.
    fn with_file(self, draft: &mut Draft, file: &Clean) -> Trouble {
        match self {
            CommitFailure::Refused(trouble) => {
                draft.withdraw();
                trouble
            }
            CommitFailure::Unknown(trouble) => {
                let remedy = say!("{}; the restore file {} holds the row", trouble.remedy, file);
                trouble.remedy(remedy)
            }
        }
    }

    /// The failure alone.
    pub(super) fn into_trouble(self) -> Trouble {
        match self {
            CommitFailure::Refused(trouble) | CommitFailure::Unknown(trouble) => trouble,
        }
    }
}

/// Sends COMMIT once. A line that breaks from here on leaves the outcome unknown.
pub(super) async fn commit(
    connector: &Connector,
    connection: &mut PgConnection,
    doing: &Clean,
) -> Result<(), CommitFailure> {
    let unknown = |why: Clean| {
        CommitFailure::Unknown(
            Trouble::new(TroubleKind::Unknown, say!("{}: nobody knows whether it happened: {}", doing, why))
                .remedy(Clean::ours("read the table again: the row itself tells")),
        )
    };
    match tokio::time::timeout(COMMIT_LIMIT, connection.execute("COMMIT")).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if trouble::commit_was_refused(&error) => {
            Err(CommitFailure::Refused(trouble::of(connector, doing, &error)))
        }
        Ok(Err(error)) => {
            let why = connector.gate().clean(&error.to_string());
            Err(unknown(say!("the connection was lost after COMMIT was sent ({})", why)))
        }
        Err(_) => Err(unknown(say!("no answer to COMMIT within {} s", COMMIT_LIMIT.as_secs()))),
    }
}

/// Puts a name to the session that holds the row, where a lock was in the way.
pub(super) async fn with_row_holder(
    connection: &mut PgConnection,
    connector: &Connector,
    doing: &Clean,
    stop: Stop,
) -> Trouble {
    let by_lock = trouble::is_lock_timeout(&stop);
    let mut failure = stop.into_trouble(connector, doing);
    if !by_lock {
        return failure;
    }
    let table = connector.table(TABLE);
    let look = async {
        (&mut *connection).execute("ROLLBACK").await?;
        holder::of_table(connection, connector.gate(), &table).await
    };
    if let Ok(Ok(holders)) = tokio::time::timeout(Duration::from_secs(3), look).await
        && let Some(first) = holders.first()
    {
        failure.what = say!("{}; the row is held by {}", failure.what, holder::words(first));
    }
    failure
}
