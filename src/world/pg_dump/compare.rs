//! What the live database holds and a restored one does not, table by table, before anyone decides.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::tables::{self, Table};
use crate::domain::restore::{Difference, Since};
use crate::domain::trouble::Trouble;
use crate::text::Clean;
use crate::world::postgres::connect::{Connector, quoted};
use crate::world::postgres::trouble::Stop;

/// Columns that date a row's making, the surest first, as LiteLLM's schema calls them.
const MADE: [&str; 4] = ["created_at", "startTime", "started_at", "createdAt"];

/// Columns that date a row's last change.
const CHANGED: [&str; 2] = ["updated_at", "updatedAt"];

/// A column that holds a time.
struct Dated {
    name: String,
    /// Without a time zone it holds UTC, as Prisma writes it.
    zoned: bool,
}

impl Dated {
    /// True of a row whose column lies after `$1`.
    fn after(&self) -> String {
        let moment = if self.zoned { "$1::timestamptz" } else { "($1::timestamptz AT TIME ZONE 'UTC')" };
        format!("{} > {moment}", quoted(&self.name))
    }
}

/// Every table of the live database that differs from what was restored, in one snapshot of it.
pub(super) async fn differences(
    connector: &Connector,
    restored: &BTreeMap<Clean, u64>,
    taken_at: Timestamp,
    done: impl Fn(u64, u64),
) -> Result<Vec<Difference>, Trouble> {
    let doing = say!("{} could not be compared with what was restored", connector.url().display());
    let mut connection = connector.connect("lastgood").await?;
    let compared = compare(&mut connection, connector, restored, taken_at, done).await;
    compared.map_err(|stop| stop.into_trouble(connector, &doing))
}

async fn compare(
    connection: &mut PgConnection,
    connector: &Connector,
    restored: &BTreeMap<Clean, u64>,
    taken_at: Timestamp,
    done: impl Fn(u64, u64),
) -> Result<Vec<Difference>, Stop> {
    connection
        .execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
             SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = 0",
        )
        .await?;
    let live: Vec<Table> =
        tables::all(connection, connector).await?.into_iter().filter(|table| table.has_rows()).collect();
    let dated = columns(connection).await?;
    let mut differences = Vec::new();
    let mut seen = BTreeSet::new();
    for (place, table) in live.iter().enumerate() {
        done(place as u64, live.len() as u64);
        let shown = table.shown(connector.gate());
        let of = restored.get(&shown).copied();
        differences.push(match table.readable {
            true => one(connection, connector, table, &dated, of, taken_at).await?,
            false => Difference { table: shown.clone(), live: None, restored: of, newer: None, changed: None },
        });
        seen.insert(shown);
    }
    let gone = restored.iter().filter(|(table, _)| !seen.contains(*table));
    differences.extend(gone.map(|(table, rows)| Difference {
        table: table.clone(),
        live: None,
        restored: Some(*rows),
        newer: None,
        changed: None,
    }));
    differences.retain(Difference::any);
    connection.execute("COMMIT").await?;
    Ok(differences)
}

/// The columns of these names that hold a time, by schema and table.
async fn columns(connection: &mut PgConnection) -> Result<BTreeMap<(String, String), Vec<Dated>>, Stop> {
    let names: Vec<&str> = MADE.iter().chain(&CHANGED).copied().collect();
    let rows = sqlx::query(
        "SELECT n.nspname::text, c.relname::text, a.attname::text, a.atttypid = 'timestamptz'::regtype \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY ($1) \
           AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)",
    )
    .bind(names)
    .persistent(false)
    .fetch_all(connection)
    .await?;
    let mut dated: BTreeMap<(String, String), Vec<Dated>> = BTreeMap::new();
    for row in &rows {
        let column = Dated { name: row.try_get(2)?, zoned: row.try_get(3)? };
        dated.entry((row.try_get(0)?, row.try_get(1)?)).or_default().push(column);
    }
    Ok(dated)
}

/// One table in one pass over it.
async fn one(
    connection: &mut PgConnection,
    connector: &Connector,
    table: &Table,
    dated: &BTreeMap<(String, String), Vec<Dated>>,
    restored: Option<u64>,
    taken_at: Timestamp,
) -> Result<Difference, Stop> {
    let columns = dated.get(&(table.schema.clone(), table.name.clone())).map(Vec::as_slice).unwrap_or_default();
    let first = |names: &[&str]| names.iter().find_map(|name| columns.iter().find(|column| column.name == *name));
    let (made, changed) = (first(&MADE), first(&CHANGED));
    let made_after = made.map_or("false".to_owned(), Dated::after);
    let changed_after = changed.map_or("false".to_owned(), Dated::after);
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE {made_after}), \
                count(*) FILTER (WHERE {changed_after} AND ({made_after}) IS NOT TRUE), $1::timestamptz IS NULL \
         FROM ONLY {}",
        table.quoted()
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(taken_at.to_string()).persistent(false);
    let row = query.fetch_one(connection).await?;
    let count =
        |place: usize| -> Result<u64, Stop> { Ok(u64::try_from(row.try_get::<i64, _>(place)?).unwrap_or_default()) };
    let (live, made_rows, changed_rows) = (count(0)?, count(1)?, count(2)?);
    let since = |column: Option<&Dated>, rows: u64| {
        column.map(|column| Since { column: connector.gate().clean(&column.name), rows })
    };
    Ok(Difference {
        table: table.shown(connector.gate()),
        live: Some(live),
        restored,
        newer: since(made, made_rows),
        changed: since(changed, changed_rows),
    })
}
