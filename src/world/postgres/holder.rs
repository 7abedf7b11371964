//! Who holds the advisory locks of migrations, and who sits on the table's rows.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::refused;
use super::trouble::Stop;
use crate::domain::migration::{COORDINATOR_LOCK, LockHolder, PRISMA_LOCK};
use crate::domain::trouble::TroubleKind;
use crate::text::{Clean, Gate};

/// Sessions of this database, other than ours, that hold or await Prisma's lock or LiteLLM's
/// coordinator lock; holders first.
pub(crate) async fn of_migrations(connection: &mut PgConnection, gate: &Gate) -> Result<Vec<LockHolder>, sqlx::Error> {
    // pg_locks shows the two halves of a bigint key as classid and objid, with objsubid 1.
    let rows = sqlx::query(
        "SELECT l.pid, bool_or(l.granted), max(a.application_name), max(a.state), \
                (extract(epoch FROM max(a.query_start)) * 1000000)::int8 \
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.pid <> pg_catalog.pg_backend_pid() \
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
           AND ((l.classid::int8 << 32) | l.objid::int8) IN ($1, $2) \
         GROUP BY l.pid ORDER BY 2 DESC, 1",
    )
    .bind(PRISMA_LOCK)
    .bind(COORDINATOR_LOCK)
    .persistent(false)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| holder(row, gate)).collect()
}

/// Sessions that changed or locked rows of the table and have not ended their transaction.
pub(super) async fn of_table(
    connection: &mut PgConnection,
    gate: &Gate,
    table: &str,
) -> Result<Vec<LockHolder>, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(
        "SELECT l.pid, bool_or(l.granted), max(a.application_name), max(a.state), \
                (extract(epoch FROM max(a.query_start)) * 1000000)::int8 \
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid) \
         WHERE l.relation = pg_catalog.to_regclass($1) AND l.granted AND l.mode <> 'AccessShareLock' \
           AND l.pid <> pg_catalog.pg_backend_pid() \
         GROUP BY l.pid ORDER BY 1",
    ))
    .bind(table)
    .persistent(false)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| holder(row, gate)).collect()
}

fn holder(row: &PgRow, gate: &Gate) -> Result<LockHolder, sqlx::Error> {
    let text = |index: usize| -> Result<Clean, sqlx::Error> {
        // Hidden from users without pg_read_all_stats.
        let value: Option<String> = row.try_get(index)?;
        Ok(value.filter(|value| !value.is_empty()).map_or(Clean::ours("unknown"), |value| gate.clean(&value)))
    };
    let since: Option<i64> = row.try_get(4)?;
    Ok(LockHolder {
        pid: row.try_get::<Option<i32>, _>(0)?.unwrap_or_default(),
        granted: row.try_get(1)?,
        application: text(2)?,
        session: text(3)?,
        since: since.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
    })
}

/// `pid 12 (prisma, active since …)`.
pub(crate) fn words(holder: &LockHolder) -> Clean {
    match holder.since {
        Some(since) => {
            say!("pid {} ({}, {} since {})", holder.pid, holder.application, holder.session, seconds(since))
        }
        None => say!("pid {} ({}, {})", holder.pid, holder.application, holder.session),
    }
}

fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Takes both migration locks for the length of the transaction, so that no migration can start
/// meanwhile. Refused with the holder's name when somebody has one.
pub(super) async fn hold_off_migrations(connection: &mut PgConnection, gate: &Gate) -> Result<(), Stop> {
    let holders = of_migrations(connection, gate).await?;
    if let Some(holder) = holders.iter().find(|holder| holder.granted) {
        return Err(busy(Some(holder)));
    }
    let row =
        sqlx::query("SELECT pg_catalog.pg_try_advisory_xact_lock($1) AND pg_catalog.pg_try_advisory_xact_lock($2)")
            .bind(PRISMA_LOCK)
            .bind(COORDINATOR_LOCK)
            .persistent(false)
            .fetch_one(&mut *connection)
            .await?;
    if row.try_get::<bool, _>(0)? {
        return Ok(());
    }
    let holders = of_migrations(connection, gate).await?;
    Err(busy(holders.iter().find(|holder| holder.granted)))
}

fn busy(holder: Option<&LockHolder>) -> Stop {
    let who = holder.map_or(Clean::ours("another session"), words);
    refused(
        TroubleKind::Busy,
        say!("nothing was changed: the migration lock is held by {}", who),
        Clean::ours("wait until the migration ends; if that session is orphaned, end it with pg_terminate_backend"),
    )
}
