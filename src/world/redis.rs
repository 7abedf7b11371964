//! The cache port over Redis (or Valkey, which answers alike).

use std::time::Duration;

use futures::FutureExt as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, ServerErrorKind};

use crate::domain::gateway::CacheInfo;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate, Secret};
use crate::world::{Cache, Reply, tls};

/// Time to connect, and again for each answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The Redis that a gateway uses.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    place: Clean,
    gate: Gate,
    patience: Duration,
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
        Ok(Self { client, place, gate, patience: PATIENCE })
    }

    /// The same with another time limit for the connection and for each answer.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn look(&self) -> RedisResult<CacheInfo> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(Some(self.patience));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let pong: String = redis::cmd("PING").query_async(&mut connection).await?;
        // Managed services may forbid INFO and DBSIZE to ordinary users: an answer to PING is enough.
        let version = self.version(&mut connection).await?;
        let keys = optional(redis::cmd("DBSIZE").query_async(&mut connection).await)?;
        Ok(CacheInfo { version, keys, pong: pong == "PONG" })
    }

    async fn version(&self, connection: &mut MultiplexedConnection) -> RedisResult<Clean> {
        let info: Option<String> = optional(redis::cmd("INFO").arg("server").query_async(connection).await)?;
        let version =
            info.as_deref().and_then(|info| info.lines().find_map(|line| line.strip_prefix("redis_version:")));
        Ok(version.map_or(Clean::ours("of unknown version"), |version| self.gate.clean(version.trim())))
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
            ErrorKind::Server(ServerErrorKind::NoPerm) => {
                (TroubleKind::Forbidden, words, "this user needs PING; INFO and DBSIZE help")
            }
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
}
