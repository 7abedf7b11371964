//! Reading `_prisma_migrations`: every row that can be shown is shown.

use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::connect::Connector;
use super::holder;
use super::trouble::Stop;
use crate::domain::cluster::Fingerprint;
use crate::domain::migration::{MigrationTable, Row, RowState};
use crate::domain::name::{MigrationId, MigrationName};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// Prisma's table.
pub(crate) const TABLE: &str = "_prisma_migrations";

/// The key of this process's fingerprints: random, in memory only.
static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut key = [0; 32];
    getrandom::fill(&mut key).unwrap_or_else(|why| unreachable!("the system gives random bytes: {why}"));
    key
});

/// The digest of a row's exact text.
pub(super) fn fingerprint(row: &str) -> Fingerprint {
    Fingerprint::new(&KEY, row.as_bytes())
}

/// True when the database has Prisma's table in the URL's schema.
pub(crate) async fn exists(connection: &mut PgConnection, connector: &Connector) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p'))",
    )
    .bind(connector.url().schema().as_str())
    .bind(TABLE)
    .persistent(false)
    .fetch_one(connection)
    .await?;
    row.try_get(0)
}

pub(super) async fn read(connection: &mut PgConnection, connector: Connector) -> Result<MigrationTable, Stop> {
    let gate = connector.gate();
    let schema = say!("{}", connector.url().schema());
    let before = holder::of_migrations(connection, gate).await?;
    if !exists(connection, &connector).await? {
        return Ok(MigrationTable { locks: before, schema, ..MigrationTable::default() });
    }
    let sql = format!(
        "SELECT id::text, migration_name::text, checksum::text, logs::text, applied_steps_count::int4, \
                CASE WHEN isfinite(started_at) THEN (extract(epoch FROM started_at) * 1000000)::int8 END, \
                CASE WHEN isfinite(finished_at) THEN (extract(epoch FROM finished_at) * 1000000)::int8 END, \
                CASE WHEN isfinite(rolled_back_at) THEN (extract(epoch FROM rolled_back_at) * 1000000)::int8 END, \
                finished_at IS NOT NULL, rolled_back_at IS NOT NULL, row_to_json(m)::text \
         FROM {} m ORDER BY started_at, id",
        connector.table(TABLE)
    );
    let stored = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut *connection).await?;
    // Looked at on both sides of the rows: a migration that starts or ends in between is running.
    let after = holder::of_migrations(connection, gate).await?;
    let lock_held = before.iter().chain(&after).any(|holder| holder.granted);
    let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
    for (index, row) in stored.iter().enumerate() {
        match read_row(row, gate, lock_held)? {
            Ok(row) => rows.push(row),
            Err(why) => unreadable.push(
                Trouble::new(
                    TroubleKind::Invalid,
                    say!("row {} of {} (by start) cannot be shown: {}", index + 1, TABLE, why),
                )
                .remedy(Clean::ours("look at it with psql; this console does not touch it")),
            ),
        }
    }
    Ok(MigrationTable { rows, locks: after, unreadable, schema, exists: true }.sorted())
}

/// One row, or why it cannot be shown.
fn read_row(row: &PgRow, gate: &Gate, lock_held: bool) -> Result<Result<Row, Clean>, sqlx::Error> {
    let text = |index: usize| row.try_get::<Option<String>, _>(index).map(Option::unwrap_or_default);
    let time = |index: usize| -> Result<Option<Timestamp>, sqlx::Error> {
        let micros: Option<i64> = row.try_get(index)?;
        Ok(micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()))
    };
    let id = match text(0)?.parse::<MigrationId>() {
        Ok(id) => id,
        Err(why) => return Ok(Err(say!("its id is {}", gate.clean(&why.to_string())))),
    };
    let name = match text(1)?.parse::<MigrationName>() {
        Ok(name) => name,
        Err(why) => return Ok(Err(say!("its name is {}", gate.clean(&why.to_string())))),
    };
    let Some(started_at) = time(5)? else {
        return Ok(Err(say!("started_at of {} is not a time", name)));
    };
    Ok(Ok(Row {
        id,
        name,
        state: RowState::read(row.try_get(8)?, row.try_get(9)?, lock_held),
        started_at,
        finished_at: time(6)?,
        rolled_back_at: time(7)?,
        steps: row.try_get::<Option<i32>, _>(4)?.unwrap_or_default(),
        checksum: gate.clean(&text(2)?),
        logs: row.try_get::<Option<String>, _>(3)?.map(|logs| gate.clean(&logs)),
        content: fingerprint(&text(10)?),
    }))
}
