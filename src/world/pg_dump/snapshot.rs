//! The moment that is dumped: a transaction that exports its snapshot, with every row counted in it.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::domain::backup::BackupOrder;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};
use crate::world::postgres::connect::{Connector, quoted};
use crate::world::postgres::holder;
use crate::world::postgres::migrations;
use crate::world::postgres::trouble::{self, Stop};

/// The table that grows with every request.
const SPEND_LOGS: &str = "LiteLLM_SpendLogs";

/// A table that may be dumped.
struct Table {
    schema: String,
    name: String,
    /// `r` for a table with rows of its own, `p` for a partitioned one, `S` for a sequence, `x` for
    /// an extension's configuration table, of which the extension decides what is dumped.
    kind: String,
    readable: bool,
    bytes: u64,
    /// The spend log or a partition of it.
    spend: bool,
}

impl Table {
    /// `"schema"."table"`, which is also a pattern that pg_dump takes literally.
    fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    fn shown(&self, gate: &Gate) -> Clean {
        gate.clean(&format!("{}.{}", self.schema, self.name))
    }
}

/// The open transaction and what was learnt in it.
pub(super) struct Snapshot {
    connection: PgConnection,
    tables: Vec<Table>,
    /// What `pg_dump --snapshot` takes.
    pub(super) id: String,
    /// Arguments that limit the dump.
    pub(super) arguments: Vec<String>,
    /// `server_version`
    pub(super) server_version: Clean,
    /// Its major number.
    pub(super) major: u32,
    /// Size of the tables whose rows are dumped, without indexes.
    pub(super) table_bytes: u64,
    /// Rows per table; empty before [`Snapshot::count`].
    pub(super) rows: BTreeMap<Clean, u64>,
    /// Tables whose rows are not in the dump.
    pub(super) left_out: Vec<Clean>,
    /// The newest applied migration.
    pub(super) migration_head: Option<Clean>,
}

impl Snapshot {
    /// Opens the transaction. Refused while a migration runs: the dump would hold it up, and
    /// every reader behind it.
    pub(super) async fn open(connector: &Connector, order: &BackupOrder) -> Result<Self, Trouble> {
        let doing = say!("the backup of {} did not begin", connector.url().display());
        let connection = connector.connect("lastgood").await?;
        Self::begin(connection, connector, order).await.map_err(|stop| {
            let mut trouble = stop.into_trouble(connector, &doing);
            if let Some(why) = connector.url().pooler_suspicion() {
                trouble.remedy = say!("{}; the address looks like a connection pooler ({})", trouble.remedy, why);
            }
            trouble
        })
    }

    async fn begin(mut connection: PgConnection, connector: &Connector, order: &BackupOrder) -> Result<Self, Stop> {
        let gate = connector.gate();
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
                     SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = 0; \
                     SET LOCAL row_security = off";
        connection.execute(begin).await?;
        if let Some(holder) = holder::of_migrations(&mut connection, gate).await?.iter().find(|lock| lock.granted) {
            return Err(Stop::Trouble(
                Trouble::new(
                    TroubleKind::Busy,
                    say!("the backup did not begin: the migration lock is held by {}", holder::words(holder)),
                )
                .remedy(Clean::ours("wait until the migration ends, then start the backup again")),
            ));
        }
        let row = sqlx::query(
            "SELECT pg_catalog.pg_export_snapshot(), current_setting('server_version'), \
                    current_setting('server_version_num')::int4",
        )
        .persistent(false)
        .fetch_one(&mut connection)
        .await?;
        let number: i32 = row.try_get(2)?;
        let tables = tables(&mut connection, connector).await?;
        let migration_head = migration_head(&mut connection, connector).await?;
        let mut snapshot = Self {
            connection,
            tables,
            id: row.try_get(0)?,
            arguments: Vec::new(),
            server_version: gate.clean(row.try_get(1)?),
            major: super::major(number),
            table_bytes: 0,
            rows: BTreeMap::new(),
            left_out: Vec::new(),
            migration_head,
        };
        snapshot.limit(connector, order)?;
        Ok(snapshot)
    }

    /// Decides what is dumped: everything, or LiteLLM's schema alone where the rest may not be read.
    fn limit(&mut self, connector: &Connector, order: &BackupOrder) -> Result<(), Stop> {
        let gate = connector.gate();
        let schema = connector.url().schema().as_str();
        if let Some(table) = self.tables.iter().find(|table| !table.readable && table.schema == schema) {
            return Err(Stop::Trouble(
                Trouble::new(
                    TroubleKind::Forbidden,
                    say!("the backup did not begin: permission denied, this user may not read {}", table.shown(gate)),
                )
                .remedy(Clean::ours("GRANT SELECT to this user, or use the URL that LiteLLM itself uses")),
            ));
        }
        if self.tables.iter().any(|table| !table.readable) {
            self.arguments.push(format!("--schema={}", quoted(schema)));
            let (inside, outside): (Vec<_>, Vec<_>) = self.tables.drain(..).partition(|table| table.schema == schema);
            self.left_out.extend(outside.iter().filter(|table| table.kind == "r").map(|table| table.shown(gate)));
            self.tables = inside;
        }
        if order.without_spend_logs {
            let (spend, rest): (Vec<_>, Vec<_>) = self.tables.drain(..).partition(|table| table.spend);
            self.arguments.extend(spend.iter().map(|table| format!("--exclude-table-data={}", table.quoted())));
            self.left_out.extend(spend.iter().map(|table| table.shown(gate)));
            self.tables = rest;
        }
        self.table_bytes = self.tables.iter().map(|table| table.bytes).sum();
        Ok(())
    }

    /// Counts every row that will be dumped.
    pub(super) async fn count(&mut self, connector: &Connector) -> Result<(), Trouble> {
        for table in self.tables.iter().filter(|table| table.kind == "r") {
            let shown = table.shown(connector.gate());
            let sql = format!("SELECT count(*) FROM ONLY {}", table.quoted());
            let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            let counted = async { query.fetch_one(&mut self.connection).await?.try_get::<i64, _>(0) }.await;
            let doing = say!("the rows of {} in {} could not be counted", shown, connector.url().display());
            let rows = counted.map_err(|error| trouble::of(connector, &doing, &error))?;
            self.rows.insert(shown, u64::try_from(rows).unwrap_or_default());
        }
        Ok(())
    }

    /// Lets go of the snapshot. It ends by itself when the connection drops, so nothing can fail.
    pub(super) async fn close(&mut self) {
        let _ = self.connection.execute("COMMIT").await;
    }
}

async fn tables(connection: &mut PgConnection, connector: &Connector) -> Result<Vec<Table>, Stop> {
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

async fn migration_head(connection: &mut PgConnection, connector: &Connector) -> Result<Option<Clean>, Stop> {
    if !migrations::exists(connection, connector).await? {
        return Ok(None);
    }
    let sql = format!(
        "SELECT migration_name::text FROM {} WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL \
         ORDER BY finished_at DESC, started_at DESC, migration_name DESC LIMIT 1",
        connector.table(migrations::TABLE)
    );
    let row = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_optional(connection).await;
    match row {
        Ok(row) => {
            let name: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
            Ok(name.map(|name| connector.gate().clean(&name)))
        }
        Err(error) => Err(Stop::Sql(error)),
    }
}
