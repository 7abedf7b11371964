//! The cache port over Redis (or Valkey, which answers alike).

mod keys;
mod nodes;

use std::time::Duration;

use futures::FutureExt as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, ServerErrorKind};

use tokio_util::sync::CancellationToken;

use crate::domain::cache::{CacheSurvey, ClearItem, Clearance, Product};
use crate::domain::confirm::Confirmed;
use crate::domain::gateway::CacheInfo;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate, Secret};
use crate::world::{Cache, Feed, Reply, tls};

/// Time to connect, and again for each answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The Redis that a gateway uses.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    place: Clean,
    gate: Gate,
    patience: Duration,
    /// The address is a port-forward's: what the server calls its other nodes is not reached.
    forwarded: bool,
}

impl Redis {
    /// A Redis by its URL: `redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://` for
    /// TLS. Nothing is sent yet; the password is taught to the gate.
    ///
    /// # Errors
    /// [`TroubleKind::Invalid`] when it is no such URL.
    pub fn new(url: Secret, gate: Gate) -> Result<Self, Trouble> {
        gate.learn(&url);
        tls::install_provider();
        let client = Client::open(url.expose()).map_err(|_| {
            // The library's words may repeat the URL, so they are left out.
            Trouble::new(TroubleKind::Invalid, Clean::ours("the URL of Redis cannot be read"))
                .remedy(Clean::ours("write it as redis://[USER]:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS"))
        })?;
        if let Some(password) = client.get_connection_info().redis_settings().password() {
            gate.learn(&Secret::new(password));
        }
        let place = gate.clean(&client.get_connection_info().addr().to_string());
        Ok(Self { client, place, gate, patience: PATIENCE, forwarded: false })
    }

    /// The same with another time limit for the connection and for each answer.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same behind a port-forward.
    #[must_use]
    pub fn forwarded(self) -> Self {
        Self { forwarded: true, ..self }
    }

    async fn look(&self) -> RedisResult<CacheInfo> {
        let mut connection = self.connect(&self.client).await?;
        let pong: String = redis::cmd("PING").query_async(&mut connection).await?;
        // Managed services may forbid INFO and DBSIZE to ordinary users: an answer to PING is enough.
        let server = self.server(&mut connection).await?;
        let keys = optional(redis::cmd("DBSIZE").query_async(&mut connection).await)?;
        Ok(CacheInfo { product: server.product, version: server.version, keys, pong: pong == "PONG" })
    }

    async fn connect(&self, client: &Client) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(Some(self.patience));
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn server(&self, connection: &mut MultiplexedConnection) -> RedisResult<Server> {
        let info: Option<String> = optional(redis::cmd("INFO").arg("server").query_async(connection).await)?;
        let info = info.unwrap_or_default();
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let (product, version) = match field("valkey_version") {
            Some(version) => (Product::Valkey, Some(version)),
            None => (Product::Redis, field("redis_version")),
        };
        Ok(Server {
            product,
            version: version.map_or(Clean::ours("of unknown version"), |version| self.gate.clean(version)),
            cluster: field("redis_mode") == Some("cluster"),
        })
    }

    fn trouble(&self, error: &RedisError) -> Trouble {
        let words = self.gate.clean(&error.to_string());
        let (kind, what, remedy) = match error.kind() {
            _ if error.is_timeout() => (
                TroubleKind::Unreachable,
                say!("no answer within {} s", self.patience.as_secs_f64()),
                "check the network path, and whether the port speaks TLS (rediss://)",
            ),
            _ if error.is_connection_refusal() => {
                (TroubleKind::Unreachable, Clean::ours("connection refused"), "check that it runs, and host and port")
            }
            ErrorKind::AuthenticationFailed => {
                (TroubleKind::Unauthenticated, words, "check user and password in the URL of Redis")
            }
            ErrorKind::Server(ServerErrorKind::NoPerm) => (
                TroubleKind::Forbidden,
                words,
                "this user needs PING; INFO and DBSIZE help; counting needs SCAN, and clearing UNLINK",
            ),
            ErrorKind::Server(ServerErrorKind::BusyLoading) => {
                (TroubleKind::Busy, words, "it is loading its data: wait")
            }
            ErrorKind::Io => (TroubleKind::Unreachable, words, "check host, port, TLS and the network path"),
            _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => {
                (TroubleKind::Unauthenticated, words, "check user and password in the URL of Redis")
            }
            _ => (TroubleKind::Refused, words, "look at the log of Redis, and whether this is a Redis at all"),
        };
        Trouble::new(kind, say!("Redis at {}: {}", self.place, what)).remedy(Clean::ours(remedy))
    }
}

/// What INFO says of a server.
struct Server {
    product: Product,
    version: Clean,
    /// It is one node of a cluster.
    cluster: bool,
}

/// `None` where the server answers and says no.
fn optional<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Cache for Redis {
    fn info(&self) -> Reply<CacheInfo> {
        let this = self.clone();
        async move { this.look().await.map_err(|error| this.trouble(&error)) }.boxed()
    }

    fn survey(&self) -> Reply<CacheSurvey> {
        let this = self.clone();
        async move { keys::survey(&this).await }.boxed()
    }

    fn clear(&self, proof: Confirmed<Clearance>, stop: CancellationToken) -> Feed<ClearItem> {
        keys::clear(self.clone(), proof, stop)
    }
}
