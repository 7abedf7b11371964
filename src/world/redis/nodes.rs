//! The servers that hold keys: one, or every master of a cluster.

use redis::aio::MultiplexedConnection;
use redis::{Client, ConnectionAddr, FromRedisValue as _, Value};

use super::{Redis, Server};
use crate::domain::cache::major;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

/// Oldest major version with UNLINK (Redis 4.0 release notes).
const UNLINKS: u32 = 4;

/// Connections to everything that holds keys.
pub(super) struct Nodes {
    pub(super) server: Server,
    pub(super) connections: Vec<MultiplexedConnection>,
}

impl Nodes {
    /// Connects. A server without UNLINK is refused, and so is a cluster behind a port-forward.
    pub(super) async fn connect(redis: &Redis) -> Result<Self, Trouble> {
        let told = |error| redis.trouble(&error);
        let mut first = redis.connect(&redis.client).await.map_err(told)?;
        let server = redis.server(&mut first).await.map_err(told)?;
        if major(server.version.as_str()).is_some_and(|major| major < UNLINKS) {
            let what = say!("Redis at {} is {}, which has no UNLINK", redis.place, server.version);
            return Err(Trouble::new(TroubleKind::Refused, what)
                .remedy(Clean::ours("nothing was deleted; upgrade it, or let the answers expire")));
        }
        if !server.cluster {
            return Ok(Self { server, connections: vec![first] });
        }
        let slots: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut first).await.map_err(told)?;
        let masters = masters(slots);
        if redis.forwarded {
            let what = say!("Redis at {} is a cluster of {} masters", redis.place, masters.len());
            return Err(Trouble::new(TroubleKind::Refused, what).remedy(Clean::ours(
                "through a port-forward only one of them is reached; run this where all of them are",
            )));
        }
        let mut connections = Vec::new();
        for (host, port) in masters {
            let client = redis.at(&host, port).map_err(told)?;
            let connection = redis.connect(&client).await.map_err(|error| {
                let node = redis.gate.clean(&format!("{host}:{port}"));
                let why = redis.trouble(&error);
                Trouble::new(why.kind, say!("node {} of the cluster: {}", node, why.what))
                    .remedy(Clean::ours("run this where every node of the cluster is reached"))
            })?;
            connections.push(connection);
        }
        if connections.is_empty() {
            let what = say!("the cluster at {} has no master with slots", redis.place);
            return Err(Trouble::new(TroubleKind::Busy, what).remedy(Clean::ours("wait until the cluster is well")));
        }
        Ok(Self { server, connections })
    }

    /// How many masters, in a cluster.
    pub(super) fn masters(&self) -> Option<usize> {
        self.server.cluster.then_some(self.connections.len())
    }
}

impl Redis {
    /// A client of another node, with the same login and the same protection.
    fn at(&self, host: &str, port: u16) -> redis::RedisResult<Client> {
        let info = self.client.get_connection_info().clone();
        // A node that does not know its own address is the one that was asked.
        let known = |same: String| if host.is_empty() || host == "?" { same } else { host.to_owned() };
        let address = match info.addr().clone() {
            ConnectionAddr::TcpTls { host, insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host: known(host), port, insecure, tls_params }
            }
            ConnectionAddr::Tcp(host, _) => ConnectionAddr::Tcp(known(host), port),
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        Client::open(info.set_addr(address))
    }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Host and port of each master in the answer to CLUSTER SLOTS, each once: ranges of
/// `[first, last, [host, port, …], replicas…]` (Redis, command reference).
fn masters(slots: Value) -> Vec<(String, u16)> {
    let mut found: Vec<(String, u16)> = Vec::new();
    for range in list(slots) {
        let mut parts = list(range).into_iter().nth(2).map(list).unwrap_or_default().into_iter();
        let host = parts.next().and_then(|host| String::from_redis_value(host).ok()).unwrap_or_default();
        let Some(port) = parts.next().and_then(|port| u16::from_redis_value(port).ok()) else { continue };
        if !found.contains(&(host.clone(), port)) {
            found.push((host, port));
        }
    }
    found
}
