//! The moment that is dumped: a transaction that exports its snapshot, with every row counted in it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::domain::backup::BackupOrder;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;
use crate::world::pg_dump::tables::{self, Table};
use crate::world::postgres::connect::{Connector, quoted};
use crate::world::postgres::holder;
use crate::world::postgres::migrations;
use crate::world::postgres::trouble::Stop;

/// The open transaction and what was learnt in it.
pub(super) struct Snapshot {
    connection: PgConnection,
    tables: Vec<Table>,
    /// What `pg_dump --snapshot` takes.
    pub(super) id: String,
    /// The moment that it is of, by the server's clock.
    pub(super) taken_at: Timestamp,
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
                    current_setting('server_version_num')::int4, (extract(epoch FROM now()) * 1000000)::int8",
        )
        .persistent(false)
        .fetch_one(&mut connection)
        .await?;
        let number: i32 = row.try_get(2)?;
        let tables = tables::all(&mut connection, connector).await?;
        let migration_head = migration_head(&mut connection, connector).await?;
        let mut snapshot = Self {
            connection,
            tables,
            id: row.try_get(0)?,
            arguments: Vec::new(),
            taken_at: Timestamp::from_microsecond(row.try_get(3)?).unwrap_or_default(),
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
        self.rows = tables::count(&mut self.connection, connector, &self.tables, |_, _| {}).await?;
        Ok(())
    }

    /// Lets go of the snapshot. It ends by itself when the connection drops, so nothing can fail.
    pub(super) async fn close(&mut self) {
        let _ = self.connection.execute("COMMIT").await;
    }
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
