//! Stored values that LiteLLM encrypts, tried with the salt keys that were handed in. Neither
//! values nor keys leave this module: the answer is counts.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::connect::{Connector, quoted};
use super::trouble::Stop;
use crate::domain::salt::{Keys, Opened, open};

/// Tables and their columns of JSON whose strings are encrypted (`litellm` 1.109.1, schema.prisma
/// and proxy_server.py). Other tables hold encrypted values too, of features that few use.
const COLUMNS: [(&str, &str); 3] = [
    ("LiteLLM_ProxyModelTable", "litellm_params"),
    ("LiteLLM_CredentialsTable", "credential_values"),
    ("LiteLLM_Config", "param_value"),
];

/// Rows of each table, and strings in all, that are tried: a key that opens these opens the rest.
const ROWS: u32 = 200;
const STRINGS: u32 = 2_000;
/// Longer strings are no credentials.
const LONGEST: u32 = 65_536;

/// Tries both keys. A table that is not there, or that this user may not read, has no part in it.
pub(super) async fn opened(connection: &mut PgConnection, connector: Connector, keys: Keys) -> Result<Opened, Stop> {
    let mut parts = Vec::new();
    for (table, column) in COLUMNS {
        let name = connector.table(table);
        let readable = "SELECT CASE WHEN to_regclass($1) IS NULL THEN false \
                        ELSE has_column_privilege(to_regclass($1), $2, 'SELECT') END";
        let there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute \
                     WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attisdropped)";
        let asked =
            |sql: &'static str| sqlx::query_scalar::<_, bool>(sql).bind(name.clone()).bind(column).persistent(false);
        if asked(there).fetch_one(&mut *connection).await? && asked(readable).fetch_one(&mut *connection).await? {
            let column = quoted(column);
            parts.push(format!("SELECT * FROM (SELECT {column}::jsonb AS doc FROM {name} LIMIT {ROWS}) AS sample"));
        }
    }
    if parts.is_empty() {
        return Ok(tried([], &keys));
    }
    let sql = format!(
        "SELECT found #>> '{{}}' FROM ({}) AS docs, \
         LATERAL jsonb_path_query(doc, 'strict $.** ? (@.type() == \"string\")') AS found \
         WHERE length(found #>> '{{}}') BETWEEN 28 AND {LONGEST} LIMIT {STRINGS}",
        parts.join(" UNION ALL ")
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(connection).await?;
    let strings = rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()?;
    Ok(tried(strings.iter().map(String::as_str), &keys))
}

fn tried<'a>(stored: impl IntoIterator<Item = &'a str>, keys: &Keys) -> Opened {
    let [live, target] = [&keys.live, &keys.target].map(|key| key.known().map(|key| key.expose().as_bytes()));
    open(stored, live, target)
}
