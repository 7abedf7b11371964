//! The tables of a database that a dump holds, with their rows counted.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::domain::trouble::Trouble;
use crate::text::{Clean, Gate};
use crate::world::postgres::connect::{Connector, quoted};
use crate::world::postgres::trouble::{self, Stop};

/// The table that grows with every request.
const SPEND_LOGS: &str = "LiteLLM_SpendLogs";

/// A table that may be dumped.
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    /// `r` for a table with rows of its own, `p` for a partitioned one, `S` for a sequence, `x` for
    /// an extension's configuration table, of which the extension decides what is dumped.
    pub(super) kind: String,
    pub(super) readable: bool,
    pub(super) bytes: u64,
    /// The spend log or a partition of it.
    pub(super) spend: bool,
}

impl Table {
    /// `"schema"."table"`, which is also a pattern that pg_dump takes literally.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    pub(super) fn shown(&self, gate: &Gate) -> Clean {
        gate.clean(&format!("{}.{}", self.schema, self.name))
    }

    /// It has rows of its own, which a dump holds.
    pub(super) fn has_rows(&self) -> bool {
        self.kind == "r"
    }

    /// Counts its rows.
    pub(super) async fn count(&self, connection: &mut PgConnection, connector: &Connector) -> Result<u64, Trouble> {
        let sql = format!("SELECT count(*) FROM ONLY {}", self.quoted());
        let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        let counted = async { query.fetch_one(connection).await?.try_get::<i64, _>(0) }.await;
        let shown = self.shown(connector.gate());
        let doing = say!("the rows of {} in {} could not be counted", shown, connector.url().display());
        let rows = counted.map_err(|error| trouble::of(connector, &doing, &error))?;
        Ok(u64::try_from(rows).unwrap_or_default())
    }
}

/// Counts the rows of every table, and tells how many were counted.
pub(super) async fn count(
    connection: &mut PgConnection,
    connector: &Connector,
    tables: &[Table],
    done: impl Fn(u64, u64),
) -> Result<BTreeMap<Clean, u64>, Trouble> {
    let tables: Vec<&Table> = tables.iter().filter(|table| table.has_rows()).collect();
    let mut rows = BTreeMap::new();
    for (place, table) in tables.iter().enumerate() {
        done(place as u64, tables.len() as u64);
        rows.insert(table.shown(connector.gate()), table.count(connection, connector).await?);
    }
    Ok(rows)
}

/// Everything that a dump of this database would hold.
pub(super) async fn all(connection: &mut PgConnection, connector: &Connector) -> Result<Vec<Table>, Stop> {
    // What belongs to an extension comes back with the extension, except its configuration
    // tables. pg_dump reads tables and sequences; of views and the like it needs only the
    // definition.
    let rows = sqlx::query(
        "SELECT n.nspname::text, c.relname::text, CASE WHEN x.config THEN 'x' ELSE c.relkind::text END, \
                pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind \
                    WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') \
                    ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END, \
                CASE c.relkind WHEN 'r' THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END, \
                c.oid = pg_catalog.to_regclass($1) OR EXISTS ( \
                    SELECT FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1)) t WHERE t.relid = c.oid) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         CROSS JOIN LATERAL (SELECT EXISTS ( \
             SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig)) AS config) x \
         WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' \
           AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
           AND (x.config OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
               WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')) \
         ORDER BY 1, 2",
    )
    .bind(connector.table(SPEND_LOGS))
    .persistent(false)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Table {
                schema: row.try_get(0)?,
                name: row.try_get(1)?,
                kind: row.try_get(2)?,
                readable: row.try_get(3)?,
                bytes: row.try_get::<Option<i64>, _>(4)?.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
                spend: row.try_get::<Option<bool>, _>(5)?.unwrap_or_default(),
            })
        })
        .collect()
}
