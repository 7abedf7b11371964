//! One row of `"LiteLLM_SpendLogs"`, by primary key only: the table may hold millions of rows.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::connect::Connector;
use super::refused;
use super::trouble::Stop;
use crate::domain::gateway::SpendRow;
use crate::domain::name::RequestId;
use crate::domain::trouble::TroubleKind;
use crate::text::Clean;

pub(super) async fn read(
    connection: &mut PgConnection,
    connector: Connector,
    id: RequestId,
) -> Result<Option<SpendRow>, Stop> {
    // "startTime" is a timestamp without time zone that holds UTC.
    let sql = format!(
        "SELECT spend::text, total_tokens::int8, \
                CASE WHEN isfinite(\"startTime\") THEN (extract(epoch FROM \"startTime\") * 1000000)::int8 END \
         FROM {} WHERE request_id = $1",
        connector.table("LiteLLM_SpendLogs")
    );
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.as_str()).persistent(false).fetch_optional(connection).await;
    let row = match row {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
            return Err(refused(
                TroubleKind::NotFound,
                say!("there is no table \"LiteLLM_SpendLogs\" in {}", connector.url().display()),
                Clean::ours(
                    "check database and `?schema=` of the URL; if they are right, the table was dropped: restore it from the backup or run LiteLLM's migrations",
                ),
            ));
        }
        row => row?,
    };
    let Some(row) = row else { return Ok(None) };
    let spend: Option<String> = row.try_get(0)?;
    let started: Option<i64> = row.try_get(2)?;
    Ok(Some(SpendRow {
        id,
        spend: connector.gate().clean(&spend.unwrap_or_default()),
        total_tokens: row.try_get::<Option<i64>, _>(1)?.unwrap_or_default(),
        started: started.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
    }))
}
