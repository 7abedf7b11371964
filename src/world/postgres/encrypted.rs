//! Counting stored values that only newer versions of LiteLLM can read. Only counts leave the database.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::connect::{Connector, quoted};
use super::trouble::Stop;
use crate::domain::encrypted::{MARK, Newer, PLACES};
use crate::domain::name::SqlName;

/// Whether the schema `$1` has the column `$3` in the table `$2`.
const THERE: &str = "\
    SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND c.relkind IN ('r', 'p') AND NOT a.attisdropped)";

pub(super) async fn count(connection: &mut PgConnection, connector: Connector) -> Result<Vec<Newer>, Stop> {
    let schema = connector.url().schema();
    let mut found = Vec::new();
    for (table, column) in PLACES {
        let there = sqlx::query(THERE).bind(schema.as_str()).bind(table).bind(column).persistent(false);
        let (Ok(table), Ok(column)) = (table.parse::<SqlName>(), column.parse::<SqlName>()) else { continue };
        if !there.fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
            continue;
        }
        let place = connector.table(table.as_str());
        let sql = format!("SELECT count(*) FROM {place} WHERE strpos({}::text, $1) > 0", quoted(column.as_str()));
        let row = sqlx::query(AssertSqlSafe(sql)).bind(MARK).persistent(false).fetch_one(&mut *connection).await?;
        let rows = u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default();
        if rows > 0 {
            found.push(Newer { table, column, rows });
        }
    }
    Ok(found)
}
