//! Putting a kept row back, exactly, and only where nothing happened since that speaks against it.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::change::{begin, commit, identity, one_row, siblings, stored, with_row_holder};
use super::connect::Connector;
use super::migrations::{TABLE, exists};
use super::refused;
use super::trouble::Stop;
use crate::domain::migration::Kept;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;
use crate::world::restore_file::{Act, RestoreFile};

/// Longest time from BEGIN to just before COMMIT.
const WORK_LIMIT: Duration = Duration::from_secs(20);

/// What the transaction came to.
enum Found {
    /// The exact row is there already; nothing to commit.
    Already,
    /// It was put back.
    PutBack,
}

/// Puts the row of a restore file back. Doing it twice is doing it once.
pub(super) async fn restore(connector: &Connector, kept: Kept, folder: PathBuf) -> Result<Clean, Trouble> {
    let doing = say!("could not put back row {} ({}) in {}", kept.id, kept.name, connector.url().display());
    let gate = connector.gate().clone();
    let file = {
        let kept = kept.clone();
        tokio::task::spawn_blocking(move || RestoreFile::read(&folder, &kept, &gate)).await
    };
    let Ok(file) = file else {
        return Err(Trouble::new(TroubleKind::Disk, say!("{}: reading the restore file was interrupted", doing)));
    };
    let file = file?;
    let mut connection = connector.connect("lastgood").await?;
    let work = async {
        begin(&mut connection, connector).await?;
        put_back(&mut connection, connector, &file).await
    };
    let found = tokio::time::timeout(WORK_LIMIT, work).await;
    match found {
        Err(_) => Err(connector.silent(&doing, WORK_LIMIT)),
        Ok(Ok(Found::Already)) => Ok(say!("row {} ({}) stands as it was kept already", kept.id, kept.name)),
        Ok(Ok(Found::PutBack)) => {
            let sent = commit(connector, &mut connection, &doing).await;
            sent.map_err(super::change::CommitFailure::into_trouble)?;
            Ok(match file.act {
                Act::Deleted => say!("row {} ({}) is back, exactly as it was", kept.id, kept.name),
                Act::Resolved => say!("row {} ({}) is marked as failed again, as it was", kept.id, kept.name),
            })
        }
        Ok(Err(stop)) => Err(with_row_holder(&mut connection, connector, &doing, stop).await),
    }
}

async fn put_back(connection: &mut PgConnection, connector: &Connector, file: &RestoreFile) -> Result<Found, Stop> {
    let here = identity(connection, connector).await?;
    if !here.is_same(&file.database) {
        let gate = connector.gate();
        let from = gate
            .clean(&format!("{}/{} (schema {})", file.database.address, file.database.database, file.database.schema));
        return Err(refused(
            TroubleKind::Refused,
            say!("nothing was changed: the row was kept from {}, and this is {}", from, connector.url().display()),
            Clean::ours("use the environment that the row came from"),
        ));
    }
    if !exists(connection, connector).await? {
        return Err(refused(
            TroubleKind::NotFound,
            say!("nothing was changed: there is no table {} in {}", TABLE, connector.url().display()),
            Clean::ours("the table went away since; restore it from the backup first"),
        ));
    }
    match (stored(connection, connector, &file.id).await?, file.act) {
        (Some(row), _) if &row == file.row.open() => Ok(Found::Already),
        (None, Act::Deleted) => {
            not_run_again(connection, connector, file).await?;
            insert(connection, connector, file).await
        }
        (Some(row), Act::Resolved) if file.after.as_ref().is_some_and(|after| after.open() == &row) => {
            not_run_again(connection, connector, file).await?;
            unresolve(connection, connector, file).await
        }
        (Some(_), _) => Err(refused(
            TroubleKind::Changed,
            say!("nothing was changed: row {} ({}) is there, with other content than was left", file.id, file.name),
            say!("somebody changed it since {}; read the table again and decide anew", file.saved_at),
        )),
        (None, Act::Resolved) => Err(refused(
            TroubleKind::NotFound,
            say!("nothing was changed: row {} ({}) was deleted since it was resolved", file.id, file.name),
            Clean::ours("put it back from the restore file of that deletion first"),
        )),
    }
}

/// Refuses when the migration was started or applied again since the row was kept: putting the
/// old row back would make the table say two things of one migration.
async fn not_run_again(connection: &mut PgConnection, connector: &Connector, file: &RestoreFile) -> Result<(), Stop> {
    for now in siblings(connection, connector, &file.name, &file.id).await? {
        let then = file.siblings.iter().find(|then| then.id == now.id);
        let inserted = then.is_none() && !now.rolled_back;
        let applied = now.applied && !then.is_some_and(|then| then.applied);
        if inserted || applied {
            let what = if now.applied { "applied again" } else { "started again" };
            let id = connector.gate().clean(&now.id);
            return Err(refused(
                TroubleKind::Refused,
                say!("nothing was changed: {} was {} since {} (row {})", file.name, what, file.saved_at, id),
                Clean::ours("the newer row tells the truth now; leave it as it is"),
            ));
        }
    }
    Ok(())
}

async fn insert(connection: &mut PgConnection, connector: &Connector, file: &RestoreFile) -> Result<Found, Stop> {
    let table = connector.table(TABLE);
    let sql = format!("INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, $1::text::json)");
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(file.row.open().as_str())
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    one_row(done.rows_affected(), &file.id)?;
    exact(connection, connector, file).await
}

async fn unresolve(connection: &mut PgConnection, connector: &Connector, file: &RestoreFile) -> Result<Found, Stop> {
    let table = connector.table(TABLE);
    let sql = format!(
        "UPDATE {table} m SET rolled_back_at = r.rolled_back_at \
         FROM json_populate_record(NULL::{table}, $1::text::json) r WHERE m.id = $2"
    );
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(file.row.open().as_str())
        .bind(file.id.as_str())
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    one_row(done.rows_affected(), &file.id)?;
    exact(connection, connector, file).await
}

/// Reads the row back, inside the transaction, and compares every column.
async fn exact(connection: &mut PgConnection, connector: &Connector, file: &RestoreFile) -> Result<Found, Stop> {
    let sql = format!("SELECT row_to_json(m)::text FROM {} m WHERE id = $1", connector.table(TABLE));
    let row = sqlx::query(AssertSqlSafe(sql)).bind(file.id.as_str()).persistent(false).fetch_one(connection).await?;
    if &row.try_get::<String, _>(0)? == file.row.open() {
        return Ok(Found::PutBack);
    }
    Err(refused(
        TroubleKind::Refused,
        say!("nothing was changed: row {} would not be exactly as it was", file.id),
        Clean::ours(
            "the table's columns changed, or a trigger rewrites the row; put it back by hand from the restore file",
        ),
    ))
}
