//! The database port over sqlx: reads in read-only transactions, changes on a fresh connection each.
//!
//! Every statement runs inside a transaction and nothing is prepared across one, so that a pooler
//! in transaction mode serves as well as the server itself. For the same reason no session
//! parameter is set when connecting: PgBouncer refuses those that it does not track.

mod bridge;
mod change;
pub(crate) mod connect;
mod encrypted;
pub(crate) mod holder;
pub(crate) mod migrations;
mod schema;
mod spend;
mod stored;
pub(crate) mod trouble;
mod undo;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use crate::domain::confirm::Confirmed;
use crate::domain::database_url::DatabaseUrl;
use crate::domain::encrypted::Newer;
use crate::domain::gateway::SpendRow;
use crate::domain::migration::{Deletion, Kept, MigrationTable, Resolution};
use crate::domain::name::RequestId;
use crate::domain::salt::{Keys, Opened};
use crate::domain::schema::LiveSchema;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};
use crate::world::{Database, Reply};

use self::connect::Connector;
use self::trouble::Stop;

/// Longest time for one reading method, connecting included.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// Longest time for an idle connection to prove that it still lives.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// LiteLLM's database, reached when it is first asked something. Clones share one connection.
#[derive(Clone)]
pub struct Postgres(Arc<Inner>);

struct Inner {
    connector: Connector,
    idle: Mutex<Option<PgConnection>>,
}

impl Postgres {
    /// Takes the address in; connects lazily. `via` stands in for the URL's host and port where
    /// a port-forward leads there. The gate learns the password.
    pub fn new(url: DatabaseUrl, via: Option<(IpAddr, u16)>, gate: Gate) -> Self {
        let connector = Connector::new(url, via, gate);
        Self(Arc::new(Inner { connector, idle: Mutex::new(None) }))
    }
}

impl Inner {
    /// Runs one read in a read-only transaction. A connection that lived before and died since is
    /// replaced; a read that breaks half way is reported, and its connection dropped.
    async fn read<T: Send>(
        &self,
        doing: Clean,
        query: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Stop>> + Send,
    ) -> Result<T, Trouble> {
        let work = async {
            let mut connection = self.session().await?;
            let answer = read_only(&mut connection, query).await;
            match answer {
                Ok(value) => {
                    *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
                    Ok(value)
                }
                Err(stop) => Err(stop.into_trouble(&self.connector, &doing)),
            }
        };
        match tokio::time::timeout(READ_LIMIT, work).await {
            Ok(answer) => answer,
            Err(_) => Err(self.connector.silent(&doing, READ_LIMIT)),
        }
    }

    async fn session(&self) -> Result<PgConnection, Trouble> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut connection) = idle
            && matches!(tokio::time::timeout(PING_LIMIT, connection.ping()).await, Ok(Ok(())))
        {
            return Ok(connection);
        }
        self.connector.connect("lastgood").await
    }
}

async fn read_only<T>(
    connection: &mut PgConnection,
    query: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Stop>>,
) -> Result<T, Stop> {
    let mut transaction = connection.begin_with("BEGIN READ ONLY").await?;
    transaction.execute("SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '3s'").await?;
    let value = query(&mut transaction).await?;
    transaction.rollback().await?;
    Ok(value)
}

impl Database for Postgres {
    fn migrations(&self) -> Reply<MigrationTable> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let doing = say!("could not read the migration table of {}", inner.connector.url().display());
            let connector = inner.connector.clone();
            inner.read(doing, move |connection| Box::pin(migrations::read(connection, connector))).await
        })
    }

    fn schema(&self) -> Reply<LiveSchema> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let doing = say!("could not read what {} holds", inner.connector.url().display());
            let connector = inner.connector.clone();
            inner.read(doing, move |connection| Box::pin(schema::read(connection, connector))).await
        })
    }

    fn newer(&self) -> Reply<Vec<Newer>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let doing = say!("could not count encrypted values in {}", inner.connector.url().display());
            let connector = inner.connector.clone();
            inner.read(doing, move |connection| Box::pin(encrypted::count(connection, connector))).await
        })
    }

    fn delete(&self, proof: Confirmed<Deletion>, folder: PathBuf) -> Reply<Kept> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { change::delete(&inner.connector, &proof, folder).await })
    }

    fn resolve(&self, proof: Confirmed<Resolution>, folder: PathBuf) -> Reply<Kept> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { change::resolve(&inner.connector, &proof, folder).await })
    }

    fn restore(&self, kept: Kept, folder: PathBuf) -> Reply<Clean> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { undo::restore(&inner.connector, kept, folder).await })
    }

    fn opened(&self, keys: Keys) -> Reply<Opened> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let doing = say!("could not read stored values of {}", inner.connector.url().display());
            let connector = inner.connector.clone();
            inner.read(doing, move |connection| Box::pin(stored::opened(connection, connector, keys))).await
        })
    }

    fn spend_row(&self, id: RequestId) -> Reply<Option<SpendRow>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let doing = say!("could not read the spend row of {} in {}", id, inner.connector.url().display());
            let connector = inner.connector.clone();
            inner.read(doing, move |connection| Box::pin(spend::read(connection, connector, id))).await
        })
    }
}

/// A refusal of ours before anything was changed.
fn refused(kind: TroubleKind, what: Clean, remedy: Clean) -> Stop {
    Stop::Trouble(Trouble::new(kind, what).remedy(remedy))
}
