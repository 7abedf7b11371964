//! LiteLLM's `DATABASE_URL`: Prisma's spelling of a PostgreSQL address, parsed into its parts.
//!
//! Prisma and libpq share the scheme and disagree about the rest: Prisma's own parameters
//! (`schema`, `connection_limit`, `pgbouncer`, …) make libpq refuse the URL ("invalid URI query
//! parameter"), and `sslcert` is a root certificate to Prisma and a client certificate to libpq.
//! Rules after the PostgreSQL manual, section 34.1.1.2 (connection URIs), and Prisma's reference
//! page of the PostgreSQL connector.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::domain::name::DatabaseName;
use crate::text::{Clean, Safe, Secret};

/// Why a URL was refused. Names the rule and never a part of the URL, which holds a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadDatabaseUrl(&'static str);

impl fmt::Display for BadDatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a PostgreSQL URL: {}", self.0)
    }
}

impl std::error::Error for BadDatabaseUrl {}

impl BadDatabaseUrl {
    /// The rule that the URL breaks, as text that may be shown.
    pub fn words(self) -> Clean {
        say!("not a PostgreSQL URL: {}", self.0)
    }
}

/// A decoded part of the URL that may be shown: printable characters only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part(Arc<str>);

impl Part {
    fn new(raw: &str) -> Result<Self, BadDatabaseUrl> {
        if raw.chars().any(|c| c.is_control() || crate::text::is_invisible(c)) {
            return Err(BadDatabaseUrl("it holds control or invisible characters"));
        }
        Ok(Self(Arc::from(raw)))
    }

    /// The part as the server knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Safe for Part {}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A host name, an IP address without brackets, or the folder of a Unix socket (starts with `/`).
    pub host: Part,
    /// TCP port, or the number in the socket's file name.
    pub port: u16,
}

impl Address {
    /// True for the folder of a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.host.as_str().starts_with('/')
    }
}

/// How much the connection must be protected, as libpq orders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS only if the server insists.
    Allow,
    /// TLS if the server offers it.
    Prefer,
    /// TLS, whoever the server is.
    Require,
    /// TLS with a certificate of a trusted authority.
    VerifyCa,
    /// The same, and the certificate names the host.
    VerifyFull,
}

impl SslMode {
    /// libpq's word.
    pub fn word(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Allow => "allow",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }

    fn parse(word: &str) -> Result<Self, BadDatabaseUrl> {
        let all = [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];
        all.into_iter()
            .find(|mode| mode.word() == word)
            .ok_or(BadDatabaseUrl("sslmode is one of disable, allow, prefer, require, verify-ca, verify-full"))
    }
}

/// Files that TLS needs, as the URL names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SslFiles {
    /// Trusted root certificates. From `sslrootcert`, or Prisma's `sslcert` where no `sslkey` stands beside it.
    pub root: Option<Part>,
    /// Client certificate.
    pub cert: Option<Part>,
    /// Client key.
    pub key: Option<Part>,
}

/// A parsed `DATABASE_URL`. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Servers in the order in which they are tried; never empty.
    addresses: Vec<Address>,
    user: Option<Part>,
    password: Option<Secret>,
    database: Part,
    schema: Part,
    ssl_mode: SslMode,
    ssl_files: SslFiles,
    libpq: Vec<(&'static str, Secret)>,
    says_pgbouncer: bool,
}

/// Parameters that libpq of version 12 and later knows and that are passed on, with the
/// environment variable that carries each (PostgreSQL manual, section 34.15).
const LIBPQ: [(&str, &str); 11] = [
    ("channel_binding", "PGCHANNELBINDING"),
    ("gssencmode", "PGGSSENCMODE"),
    ("gsslib", "PGGSSLIB"),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("options", "PGOPTIONS"),
    ("requirepeer", "PGREQUIREPEER"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcrl", "PGSSLCRL"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

const DEFAULT_PORT: u16 = 5432;

/// The port that PgBouncer listens on unless told otherwise.
const POOLER_PORT: u16 = 6432;

impl DatabaseUrl {
    /// Servers in the order in which they are tried; at least one.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The role to log in as.
    pub fn user(&self) -> Option<&Part> {
        self.user.as_ref()
    }

    /// Its password.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The database.
    pub fn database(&self) -> &Part {
        &self.database
    }

    /// The schema that Prisma works in (`?schema=`, default `public`).
    pub fn schema(&self) -> &Part {
        &self.schema
    }

    /// How much the connection must be protected.
    pub fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    /// Files that TLS needs.
    pub fn ssl_files(&self) -> &SslFiles {
        &self.ssl_files
    }

    /// Other parameters that libpq knows, as environment variables for its programs. Values are
    /// secrets because nobody knows what is in them.
    pub fn libpq_variables(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        self.libpq.iter().map(|(variable, value)| (*variable, value))
    }

    /// Why this looks like a connection pooler instead of the server itself; a pooler in
    /// transaction mode breaks session locks, snapshots and dumps.
    pub fn pooler_suspicion(&self) -> Option<&'static str> {
        if self.says_pgbouncer {
            Some("the URL says pgbouncer=true")
        } else if self.addresses.iter().any(|address| address.port == POOLER_PORT) {
            Some("port 6432 is PgBouncer's")
        } else if self.addresses.iter().any(|address| {
            let first = address.host.as_str().split('.').next().unwrap_or_default();
            first.ends_with("-pooler") || first.ends_with("-pgbouncer")
        }) {
            Some("the host name says pooler")
        } else {
            None
        }
    }

    /// The same address with another database.
    #[must_use]
    pub fn with_database(&self, name: &DatabaseName) -> Self {
        Self { database: Part(Arc::from(name.as_str())), ..self.clone() }
    }

    /// The address without user and password: `db.example:5432/litellm (schema public)`.
    pub fn display(&self) -> Clean {
        let mut hosts = Clean::default();
        for (index, address) in self.addresses.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let brackets = address.host.as_str().contains(':');
            let (open, close) = if brackets { ("[", "]") } else { ("", "") };
            hosts = say!("{}{}{}{}{}:{}", hosts, comma, open, address.host, close, address.port);
        }
        say!("{}/{} (schema {})", hosts, self.database, self.schema)
    }
}

impl FromStr for DatabaseUrl {
    type Err = BadDatabaseUrl;

    fn from_str(raw: &str) -> Result<Self, BadDatabaseUrl> {
        let raw = raw.trim();
        let rest = raw
            .strip_prefix("postgresql://")
            .or_else(|| raw.strip_prefix("postgres://"))
            .ok_or(BadDatabaseUrl("it must begin with postgresql:// or postgres://"))?;
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (user, password) = match login {
            None => (None, None),
            Some(login) => match login.split_once(':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(login), None),
            },
        };
        let parameters = Parameters::read(query)?;
        let addresses = addresses(hosts, parameters.get("host"), parameters.get("port"))?;
        let database = match parameters.get("dbname") {
            Some(name) => Part::new(name)?,
            None => Part::new(&decode(database)?)?,
        };
        if database.as_str().is_empty() {
            return Err(BadDatabaseUrl("the database's name must follow the last '/'"));
        }
        let user = match (user.map(decode).transpose()?, parameters.get("user")) {
            (Some(user), _) if !user.is_empty() => Some(Part::new(&user)?),
            (_, Some(user)) => Some(Part::new(user)?),
            _ => None,
        };
        let password = match (password.map(decode).transpose()?, parameters.get("password")) {
            (Some(password), _) if !password.is_empty() => Some(Secret::new(password)),
            (_, Some(password)) => Some(Secret::new(password)),
            _ => None,
        };
        let schema = parameters.get("schema").filter(|schema| !schema.is_empty()).unwrap_or("public");
        Ok(Self {
            addresses,
            user,
            password,
            database,
            schema: Part::new(schema)?,
            ssl_mode: parameters.ssl_mode()?,
            ssl_files: parameters.ssl_files()?,
            libpq: parameters.libpq(),
            says_pgbouncer: parameters.get("pgbouncer") == Some("true"),
        })
    }
}

/// The query, decoded. The last of a name wins, as libpq has it.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(query: &str) -> Result<Self, BadDatabaseUrl> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(BadDatabaseUrl("a parameter has no '='"))?;
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self(pairs))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// libpq's default, raised by Prisma's `sslaccept=strict`, which verifies chain and name.
    fn ssl_mode(&self) -> Result<SslMode, BadDatabaseUrl> {
        let mode = self.get("sslmode").map_or(Ok(SslMode::Prefer), SslMode::parse)?;
        let strict = self.get("sslaccept") == Some("strict");
        Ok(if strict && mode >= SslMode::Prefer { SslMode::VerifyFull } else { mode })
    }

    fn ssl_files(&self) -> Result<SslFiles, BadDatabaseUrl> {
        let part = |name| self.get(name).map(Part::new).transpose();
        let (root, cert, key) = (part("sslrootcert")?, part("sslcert")?, part("sslkey")?);
        Ok(match (root, cert, key) {
            (None, Some(prisma), None) => SslFiles { root: Some(prisma), cert: None, key: None },
            (root, cert, key) => SslFiles { root, cert, key },
        })
    }

    fn libpq(&self) -> Vec<(&'static str, Secret)> {
        LIBPQ.iter().filter_map(|(name, variable)| Some((*variable, Secret::new(self.get(name)?)))).collect()
    }
}

fn addresses(hosts: &str, host: Option<&str>, port: Option<&str>) -> Result<Vec<Address>, BadDatabaseUrl> {
    let default_port = port.map_or(Ok(DEFAULT_PORT), parse_port)?;
    if let Some(folder) = host.filter(|host| !host.is_empty()) {
        return folder.split(',').map(|host| Ok(Address { host: Part::new(host)?, port: default_port })).collect();
    }
    hosts.split(',').map(|one| address(one, default_port)).collect()
}

fn address(raw: &str, default_port: u16) -> Result<Address, BadDatabaseUrl> {
    let (host, port) = if let Some(rest) = raw.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(BadDatabaseUrl("an IPv6 address needs its closing ']'"))?;
        (host, after.strip_prefix(':'))
    } else {
        match raw.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (raw, None),
        }
    };
    let host = decode(host)?;
    if host.is_empty() {
        return Err(BadDatabaseUrl("the host is missing (for a Unix socket, add ?host=/folder)"));
    }
    let port = port.filter(|port| !port.is_empty()).map_or(Ok(default_port), parse_port)?;
    Ok(Address { host: Part::new(&host)?, port })
}

fn parse_port(raw: &str) -> Result<u16, BadDatabaseUrl> {
    raw.parse::<u16>().ok().filter(|port| *port != 0).ok_or(BadDatabaseUrl(
        "the port is not a number from 1 to 65535 (a '/', '?', '#' or '@' in the password must be percent-encoded)",
    ))
}

fn decode(raw: &str) -> Result<String, BadDatabaseUrl> {
    let bytes = raw.as_bytes();
    let broken = (0..bytes.len())
        .any(|i| bytes[i] == b'%' && !bytes.get(i + 1..i + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)));
    if broken {
        return Err(BadDatabaseUrl("a '%' is not followed by two hexadecimal digits (a plain '%' is written %25)"));
    }
    let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| BadDatabaseUrl("it is not UTF-8"))?;
    if decoded.contains('\0') { Err(BadDatabaseUrl("it holds a NUL character")) } else { Ok(decoded.into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(raw: &str) -> DatabaseUrl {
        raw.parse().unwrap()
    }

    #[test]
    fn prismas_parameters_are_taken_apart() {
        let url = parsed(
            "postgresql://llm%40x:p%2Fw%3A%25@db.example:6000/lite%20llm?schema=My%20Schema&connection_limit=5\
             &sslmode=require&target_session_attrs=read-write&pgbouncer=true",
        );
        assert_eq!(url.user().map(Part::as_str), Some("llm@x"));
        assert_eq!(url.password().map(Secret::expose), Some("p/w:%"));
        assert_eq!(url.display().as_str(), "db.example:6000/lite llm (schema My Schema)");
        assert_eq!(url.ssl_mode(), SslMode::Require);
        let kept: Vec<_> = url.libpq_variables().map(|(name, value)| (name, value.expose().to_owned())).collect();
        assert_eq!(kept, [("PGTARGETSESSIONATTRS", "read-write".to_owned())]);
        assert_eq!(url.pooler_suspicion(), Some("the URL says pgbouncer=true"));
    }

    #[test]
    fn defaults_are_prismas_and_libpqs() {
        let url = parsed("postgres://db/litellm");
        assert_eq!(url.display().as_str(), "db:5432/litellm (schema public)");
        assert_eq!((url.user(), url.password(), url.ssl_mode()), (None, None, SslMode::Prefer));
        assert_eq!(url.pooler_suspicion(), None);
    }

    #[test]
    fn sockets_lists_and_ipv6_are_addresses() {
        let socket = parsed("postgresql://u:p@localhost/x?host=/var/run/postgresql&port=5433");
        assert!(socket.addresses()[0].is_socket());
        assert_eq!(socket.display().as_str(), "/var/run/postgresql:5433/x (schema public)");
        assert_eq!(parsed("postgresql:///x?host=/tmp").display().as_str(), "/tmp:5432/x (schema public)");
        assert_eq!(parsed("postgres://u@%2Ftmp/x").addresses()[0].host.as_str(), "/tmp");
        assert_eq!(parsed("postgres://u@a:1,[::1]:2,b/x").display().as_str(), "a:1,[::1]:2,b:5432/x (schema public)");
    }

    #[test]
    fn poolers_are_suspected_by_port_host_and_parameter() {
        assert!(parsed("postgres://u@db:6432/x").pooler_suspicion().is_some());
        assert!(parsed("postgres://u@ep-cool-1-pooler.eu.example/x").pooler_suspicion().is_some());
        assert!(parsed("postgres://u@pooler-free.example/x").pooler_suspicion().is_none());
    }

    #[test]
    fn prismas_tls_words_become_libpqs() {
        let url = parsed("postgres://u@db/x?sslmode=require&sslaccept=strict&sslcert=/ca.pem");
        assert_eq!(url.ssl_mode(), SslMode::VerifyFull);
        assert_eq!(url.ssl_files().root.as_ref().map(Part::as_str), Some("/ca.pem"));
        let url = parsed("postgres://u@db/x?sslcert=/me.pem&sslkey=/me.key");
        assert_eq!(url.ssl_files().cert.as_ref().map(Part::as_str), Some("/me.pem"));
    }

    #[test]
    fn errors_name_the_rule_and_never_the_url() {
        let rows = [
            ("mysql://u:hunter2@db/x", "must begin with"),
            ("postgres://u:hunter2@db", "name must follow"),
            ("postgres://u:hun/ter2@db/x", "percent-encoded"),
            ("postgres://u:hunter2@db:70000/x", "1 to 65535"),
            ("postgres://u:hunter2%@db/x", "hexadecimal"),
            ("postgres://u:hunter2@/x", "host is missing"),
            ("postgres://u:hunter2@db/x?sslmode=maybe", "sslmode is one of"),
            ("postgres://u:hunter2@db/x?schema", "no '='"),
            ("postgres://u:hunter2@d%1bb/x", "control"),
            ("postgres://u:hunter2@[::1/x", "closing"),
        ];
        for (raw, rule) in rows {
            let why = raw.parse::<DatabaseUrl>().unwrap_err();
            assert!(why.to_string().contains(rule), "{raw}: {why}");
            assert!(!why.to_string().contains("hunter2") && !why.to_string().contains("ter2"));
        }
        assert!(!format!("{:?}", parsed("postgres://u:hunter2@db/x?options=-chunter2")).contains("hunter2"));
    }
}
