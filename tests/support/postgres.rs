//! A real PostgreSQL server for tests: one for each test binary, a database of its own for each test.
//!
//! The server runs as an ordinary user from the system's packages. It is a child of a watchdog
//! that reads a pipe held by the test process: when that process ends, however it ends, the pipe
//! closes, and the watchdog stops the server and removes its folder. `LASTGOOD_TEST_DATABASE_URL`
//! (a role that may create databases and roles) uses a server that is there already.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lastgood::domain::database_url::DatabaseUrl;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

/// The password of the superuser of a server that we start.
const PASSWORD: &str = "pl4nted-p4ssw0rd";

/// Columns and types exactly as Prisma's schema engine creates them.
pub const PRISMA_TABLE: &str = r#"CREATE TABLE "_prisma_migrations" (
    id varchar(36) PRIMARY KEY NOT NULL,
    checksum varchar(64) NOT NULL,
    finished_at timestamptz,
    migration_name varchar(255) NOT NULL,
    logs text,
    rolled_back_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(),
    applied_steps_count integer NOT NULL DEFAULT 0
)"#;

const WATCHDOG: &str = r#"
bin=$1; port=$2; password=$3
dir=$(mktemp -d /tmp/lastgood-test-postgres.XXXXXX) || exit 1
stop() { "$bin/pg_ctl" -D "$dir/data" -m immediate -w -t 20 stop >/dev/null 2>&1; rm -rf "$dir"; }
trap stop EXIT
trap '' HUP INT TERM
cd "$dir"
printf '%s' "$password" >"$dir/password"
if ! "$bin/initdb" -D "$dir/data" -U tester --auth=scram-sha-256 --pwfile="$dir/password" -E UTF8 --no-locale --no-sync >"$dir/log" 2>&1; then
    echo "FAILED initdb"; cat "$dir/log"; exit 1
fi
tls=
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=lastgood-test-ca -keyout ca.key -out ca.crt \
        -addext basicConstraints=critical,CA:TRUE >openssl.log 2>&1 &&
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=db.lastgood.test -keyout server.key -out server.csr >>openssl.log 2>&1 &&
    printf 'subjectAltName=DNS:db.lastgood.test\nbasicConstraints=CA:FALSE\n' >server.ext &&
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext \
        -out server.crt >>openssl.log 2>&1 &&
    chmod 600 server.key && chmod 755 . &&
    tls="-c ssl=on -c ssl_cert_file=$dir/server.crt -c ssl_key_file=$dir/server.key"
fi
if ! "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -o "-p $port -k $dir -c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 -c shared_buffers=64MB $tls" start >/dev/null 2>&1; then
    echo "FAILED start"; cat "$dir/log"; exit 1
fi
echo "READY $dir"
read -r _ || true
"#;

struct Server {
    url: String,
    socket_folder: Option<PathBuf>,
    /// Closes when this process ends; that is what stops the server.
    _pipe: Option<(Child, ChildStdin)>,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

fn server() -> &'static Server {
    SERVER.get_or_init(|| match std::env::var("LASTGOOD_TEST_DATABASE_URL") {
        Ok(url) => Server { url: url.split(['?']).next().unwrap().to_owned(), socket_folder: None, _pipe: None },
        Err(_) => start(),
    })
}

/// The role that the tests log in as, and its password: also a planted secret.
pub fn login() -> (String, String) {
    let url: DatabaseUrl = server().url.parse().unwrap();
    (url.user().unwrap().to_string(), url.password().unwrap().expose().to_owned())
}

/// The folder of the newest installed server's programs.
pub fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .unwrap_or_else(|why| panic!("no PostgreSQL server is installed (apt-get install postgresql): {why}"));
    let newest = versions
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            entry.path().join("bin/initdb").exists().then(|| (version, entry.path().join("bin")))
        })
        .max();
    newest.expect("no initdb below /usr/lib/postgresql (apt-get install postgresql)").1
}

fn start() -> Server {
    let mut last = String::new();
    for _ in 0..3 {
        match try_start() {
            Ok(server) => return server,
            Err(why) => last = why,
        }
    }
    panic!("the test server does not start: {last}");
}

fn try_start() -> Result<Server, String> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = if rustix::process::geteuid().is_root() {
        // The server refuses to run as root.
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let mut watchdog = command
        .args(["-c", WATCHDOG, "watchdog"])
        .arg(programs())
        .args([&port.to_string(), PASSWORD])
        .current_dir("/")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|why| why.to_string())?;
    let pipe = watchdog.stdin.take().unwrap();
    let mut output = BufReader::new(watchdog.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).map_err(|why| why.to_string())?;
    let Some(folder) = line.trim().strip_prefix("READY ") else {
        let mut rest = String::new();
        let _ = output.read_to_string(&mut rest);
        return Err(format!("{line}{rest}"));
    };
    Ok(Server {
        url: format!("postgresql://tester:{PASSWORD}@127.0.0.1:{port}/postgres"),
        socket_folder: Some(PathBuf::from(folder)),
        _pipe: Some((watchdog, pipe)),
    })
}

/// A fresh database.
pub struct TestDatabase {
    /// Its name.
    pub name: String,
}

impl TestDatabase {
    /// Creates an empty database.
    pub async fn empty() -> Self {
        let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut admin = connect(&server().url).await;
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        Self { name }
    }

    /// Creates a copy of a database that nobody is connected to.
    pub async fn copy_of(template: &str) -> Self {
        let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut admin = connect(&server().url).await;
        // Two copies of one template at the same time are fine; a session in it is not.
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template}"))).await.unwrap();
        Self { name }
    }

    /// Creates a database with Prisma's table in `public`.
    pub async fn with_table() -> Self {
        let database = Self::empty().await;
        database.run(PRISMA_TABLE).await;
        database
    }

    /// The URL, as LiteLLM has it.
    pub fn url(&self) -> String {
        format!("{}/{}", server().url.rsplit_once('/').unwrap().0, self.name)
    }

    /// The URL of another user.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let (_, place) = server().url.split_once('@').unwrap();
        format!("postgresql://{user}:{password}@{}/{}", place.rsplit_once('/').unwrap().0, self.name)
    }

    /// The URL through the server's Unix socket; `None` on a server that we did not start.
    pub fn socket_url(&self) -> Option<String> {
        let folder = server().socket_folder.as_ref()?;
        let port = self.address().1;
        let host = folder.display();
        Some(format!("postgresql://tester:{PASSWORD}@localhost/{}?host={host}&port={port}", self.name))
    }

    /// The certificate authority of the server, which speaks TLS as `db.lastgood.test`; `None`
    /// without openssl, or on a server that we did not start.
    pub fn certificate_authority(&self) -> Option<PathBuf> {
        let folder = server().socket_folder.as_ref()?;
        folder.join("server.crt").exists().then(|| folder.join("ca.crt"))
    }

    /// Where the server listens.
    pub fn address(&self) -> (std::net::IpAddr, u16) {
        let url: DatabaseUrl = self.url().parse().unwrap();
        let host = url.addresses()[0].host.as_str().to_owned();
        (host.parse().unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()), url.addresses()[0].port)
    }

    /// The URL, parsed.
    pub fn parsed(&self) -> DatabaseUrl {
        self.url().parse().unwrap()
    }

    /// A connection of the test's own.
    pub async fn connect(&self) -> PgConnection {
        connect(&self.url()).await
    }

    /// Runs statements on a connection of its own, as one simple query.
    pub async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        if let Err(why) = connection.execute(AssertSqlSafe(sql.to_owned())).await {
            panic!("{why}\nin: {sql}");
        }
    }

    /// Rows of one query, on a connection of its own.
    pub async fn rows(&self, sql: &str) -> Vec<PgRow> {
        let mut connection = self.connect().await;
        sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap()
    }

    /// The first column of the first row, as text.
    pub async fn one(&self, sql: &str) -> Option<String> {
        use sqlx::Row as _;
        self.rows(sql).await.first().and_then(|row| row.get::<Option<String>, _>(0))
    }

    /// Asks again and again until the query's first column is `t`, and says what it waited for
    /// when ten seconds have passed.
    pub async fn wait_until(&self, what: &str, sql: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let sql = format!("SELECT ({sql})::boolean::text");
        while self.one(&sql).await.as_deref() != Some("true") {
            assert!(Instant::now() < deadline, "waited 10 s for: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for TestDatabase {
    /// Our own server goes with everything in it; a given one is left as it was found.
    fn drop(&mut self) {
        if server().socket_folder.is_some() {
            return;
        }
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { connect(&server().url).await.execute(AssertSqlSafe(sql)).await.map(drop) })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the test database {} could not be dropped", self.name);
        }
    }
}

async fn connect(url: &str) -> PgConnection {
    use std::str::FromStr as _;
    PgConnectOptions::from_str(url)
        .unwrap()
        .application_name("test")
        .disable_statement_logging()
        .ssl_mode(PgSslMode::Disable)
        .options([("lock_timeout", "20s")])
        .connect()
        .await
        .unwrap_or_else(|why| panic!("cannot connect to the test server: {why}"))
}
