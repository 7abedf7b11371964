//! Opening one connection: which address, how protected, how long.

use std::net::IpAddr;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use super::bridge::Bridge;
use super::trouble;
use crate::domain::database_url::{Address, DatabaseUrl, Part, SslMode};
use crate::domain::name::DatabaseName;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// Longest time for one address to answer and log us in.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What it takes to open a connection, any number of times.
#[derive(Clone)]
pub(crate) struct Connector {
    url: DatabaseUrl,
    via: Option<(IpAddr, u16)>,
    gate: Gate,
}

impl Connector {
    pub(crate) fn new(url: DatabaseUrl, via: Option<(IpAddr, u16)>, gate: Gate) -> Self {
        if let Some(password) = url.password() {
            gate.learn(password);
        }
        Self { url, via, gate }
    }

    /// The same server and the same login, another database.
    pub(crate) fn to_database(&self, name: &DatabaseName) -> Self {
        Self { url: self.url.with_database(name), ..self.clone() }
    }

    pub(crate) fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    pub(crate) fn via(&self) -> Option<(IpAddr, u16)> {
        self.via
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// `"schema"."table"`, both quoted.
    pub(crate) fn table(&self, name: &str) -> String {
        format!("{}.{}", quoted(self.url.schema().as_str()), quoted(name))
    }

    /// Opens a connection to the first address that lets us in. A wrong password ends the search:
    /// the next address would refuse it too.
    pub(crate) async fn connect(&self, application: &str) -> Result<PgConnection, Trouble> {
        let doing = say!("could not connect to {}", self.url.display());
        let mut last = None;
        for address in self.targets() {
            let attempt = tokio::time::timeout(CONNECT_LIMIT, self.open(address, application));
            let failure = match attempt.await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => trouble::of_connecting(self, &doing, &error),
                Err(_) => self.silent(&doing, CONNECT_LIMIT),
            };
            let next_may_differ = failure.kind == TroubleKind::Unreachable;
            last = Some(failure);
            if !next_may_differ {
                break;
            }
        }
        Err(last.unwrap_or_else(|| Trouble::new(TroubleKind::Invalid, doing)))
    }

    /// What to say when nothing came back in time.
    pub(crate) fn silent(&self, doing: &Clean, limit: Duration) -> Trouble {
        Trouble::new(TroubleKind::Unreachable, say!("{}: no answer within {} s", doing, limit.as_secs())).remedy(
            if self.via.is_some() {
                Clean::ours("check the port-forward and the pod behind it")
            } else {
                Clean::ours("check host, port, firewall and VPN; `via = \"port-forward\"` goes through the cluster")
            },
        )
    }

    fn targets(&self) -> &[Address] {
        // A port-forward leads to one place, whatever the URL lists.
        if self.via.is_some() { self.url.addresses().get(..1).unwrap_or_default() } else { self.url.addresses() }
    }

    async fn open(&self, address: &Address, application: &str) -> Result<PgConnection, sqlx::Error> {
        let mut options = self.options(address, application);
        let Some((ip, port)) = self.via else { return options.connect().await };
        if self.url.ssl_mode() == SslMode::VerifyFull && !address.is_socket() {
            // sqlx verifies the certificate against the name it connects to, and knows no
            // `hostaddr`: it keeps the name, and reaches the address through a socket of ours.
            let bridge = Bridge::to(ip, port, address.port).await?;
            options = options.host(address.host.as_str()).socket(bridge.folder());
            return options.connect().await;
        }
        options.host(&ip.to_string()).port(port).connect().await
    }

    fn options(&self, address: &Address, application: &str) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(address.host.as_str())
            .port(address.port)
            .database(self.url.database().as_str())
            .application_name(application)
            .ssl_mode(ssl_mode(self.url.ssl_mode()))
            .statement_cache_capacity(0)
            .extra_float_digits(None)
            .disable_statement_logging();
        if let Some(user) = self.url.user() {
            options = options.username(user.as_str());
        }
        if let Some(password) = self.url.password() {
            options = options.password(password.expose());
        }
        let files = self.url.ssl_files();
        let path = |part: &Option<Part>| part.as_ref().map(|part| part.as_str().to_owned());
        if let Some(root) = path(&files.root) {
            options = options.ssl_root_cert(root);
        }
        if let (Some(cert), Some(key)) = (path(&files.cert), path(&files.key)) {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        options
    }
}

/// An SQL identifier in quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn ssl_mode(mode: SslMode) -> PgSslMode {
    match mode {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Allow => PgSslMode::Allow,
        SslMode::Prefer => PgSslMode::Prefer,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    }
}
