//! The built program in live mode, from outside: every command without a screen against a replayed
//! API server, a real PostgreSQL and a gateway on a real socket, with the documented exit codes.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value, json};

mod support {
    #[allow(dead_code, reason = "other tests use the rest")]
    pub mod kube_server;
    #[allow(dead_code, reason = "other tests use the rest")]
    pub mod litellm;
    #[allow(dead_code, reason = "other tests use the rest")]
    pub mod postgres;
    pub mod rollout;
}

use support::litellm::{Age, Fake, KEY, Says};
use support::postgres::TestDatabase;
use support::rollout::{Cluster, OLD, SALT};

const FAILED: &str = "20260224000000_add_budget_window";
const APPLIED: &str = "20260220000000_add_team_alias";
const FAILED_ID: &str = "00000000-0000-4000-8000-000000000001";
const APPLIED_ID: &str = "00000000-0000-4000-8000-000000000002";
const BEARER: &str = "admin-bearer-token";

/// Everything that a live environment consists of, and a folder with its configuration.
struct Place {
    folder: tempfile::TempDir,
    cluster: Cluster,
    database: TestDatabase,
    gateway: Arc<Fake>,
}

/// How one call ended.
struct Told {
    code: i32,
    out: String,
    err: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {}\n{}", self.out, self.err))
    }
}

/// The gateway in the version that is expected after the revert, with these answers instead.
fn gateway(mut instead: Vec<(&'static str, Says)>) -> Vec<(&'static str, Says)> {
    let ready = json!({"status": "healthy", "db": "connected", "litellm_version": "1.81.0", "success_callbacks": []});
    let health = json!({"healthy_endpoints": [{"model": "openai/gpt-4o"}], "unhealthy_endpoints": [], "healthy_count": 1, "unhealthy_count": 0});
    instead.push(("/health/readiness", Says::Json(200, ready.clone())));
    instead.push(("/health/readiness/details", Says::Json(200, ready)));
    instead.push(("/health", Says::Json(200, health)));
    instead.push(("/v1/chat/completions", Says::Json(200, json!({"id": "chatcmpl-live", "choices": []}))));
    instead
}

impl Place {
    async fn start(instead: Vec<(&'static str, Says)>) -> Self {
        let (cluster, database) = tokio::join!(Cluster::start(), TestDatabase::with_table());
        let gateway = Arc::new(Fake::start(Age::Old, gateway(instead)).await);
        let folder = tempfile::tempdir().unwrap();
        database
            .run(&format!(
                "CREATE TABLE \"LiteLLM_SpendLogs\" (request_id text PRIMARY KEY, spend double precision, \
                     total_tokens int, \"startTime\" timestamp(3));
                 CREATE TABLE \"LiteLLM_NewerTable\" (id text PRIMARY KEY);
                 INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, started_at, applied_steps_count)
                     VALUES ('{APPLIED_ID}', repeat('b', 64), '{APPLIED}', now(), now(), 1);
                 INSERT INTO _prisma_migrations (id, checksum, migration_name, logs, started_at)
                     VALUES ('{FAILED_ID}', repeat('a', 64), '{FAILED}', 'cannot reach {}', now())",
                database.url()
            ))
            .await;
        let key = base64::engine::general_purpose::STANDARD.encode(KEY);
        let secret = json!({"metadata": {"name": "litellm"}, "type": "Opaque", "data": {"master": key}});
        cluster.server.put("secrets", "llm", secret);
        cluster.server.kubeconfig(folder.path(), "admin");
        std::fs::write(folder.path().join("db.url"), database.url()).unwrap();
        let configuration = format!(
            "[env.lab]\nkind = \"staging\"\ncontext = \"replay\"\nnamespace = \"llm\"\nworkloads = [\"litellm\"]\n\
             database = {{ file = \"db.url\" }}\ngateway = {{ url = \"{}\" }}\n\
             master_key = {{ secret = \"litellm\", key = \"master\" }}\ntest_model = \"gpt-4o\"\n",
            gateway.url()
        );
        std::fs::write(folder.path().join("lastgood.toml"), configuration).unwrap();
        Self { folder, cluster, database, gateway }
    }

    async fn call(&self, arguments: &[&str]) -> Told {
        call(self.folder.path(), arguments).await
    }

    /// Writes the row of the test completion when it was asked for, as the gateway would.
    fn record_spend(&self) -> tokio::task::JoinHandle<()> {
        let (gateway, url) = (Arc::clone(&self.gateway), self.database.url());
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
            while !gateway.seen().iter().any(|seen| seen.path.starts_with("/v1/chat/completions")) {
                tick.tick().await;
            }
            use sqlx::{ConnectOptions as _, Executor as _};
            let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
            let mut connection = options.ssl_mode(sqlx::postgres::PgSslMode::Disable).connect().await.unwrap();
            connection
                .execute("INSERT INTO \"LiteLLM_SpendLogs\" VALUES ('chatcmpl-live', 1.35e-05, 12, now())")
                .await
                .unwrap();
        })
    }

    /// What was planted, and must not come out anywhere.
    fn planted(&self) -> Vec<String> {
        vec![KEY.to_owned(), BEARER.to_owned(), SALT.to_owned(), support::postgres::login().1]
    }
}

async fn call(folder: &Path, arguments: &[&str]) -> Told {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_lastgood"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:{path}", support::postgres::programs().display()))
        .env("HOME", folder)
        .env("KUBECONFIG", folder.join("admin.yaml"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CONFIG_HOME", folder.join("configuration"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Told { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn marks(report: &Value) -> Vec<(&str, &str)> {
    let rows = report.as_array().unwrap().iter();
    rows.map(|row| (row["id"].as_str().unwrap(), row["mark"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_run_reaches_the_last_good_state_and_keeps_every_secret() {
    let place = Place::start(vec![]).await;
    let spend = place.record_spend();
    let ran = place
        .call(&[
            "run",
            "--to",
            "1",
            "--arm",
            "lab",
            "--protect",
            "--spend-money",
            "--confirm",
            FAILED,
            "--timeout",
            "50s",
            "--json",
        ])
        .await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    spend.await.unwrap();
    let report = ran.json();
    assert_eq!(report["reached"], true);
    for (id, mark) in marks(&report["checks"]) {
        let configured = !matches!(id, "billing" | "cache");
        assert_eq!(mark, if configured { "ticked" } else { "not-configured" }, "{id}: {}", ran.out);
    }
    let container = place.cluster.container().await;
    assert_eq!(container["image"], OLD);
    let variables = container["env"].as_array().unwrap();
    assert!(variables.contains(&json!({"name": "DISABLE_SCHEMA_UPDATE", "value": "true"})), "{container}");
    assert_eq!(place.database.one("SELECT count(*)::text FROM _prisma_migrations").await.as_deref(), Some("1"));

    let export = place.call(&["export", "--json"]).await;
    let markdown = place.call(&["export", "--md"]).await;
    let incidents = place.call(&["incidents", "--json"]).await.json();
    assert_eq!((export.code, markdown.code), (0, 0), "{}{}", export.err, markdown.err);
    assert_eq!(incidents[0]["reached"], true);
    assert_eq!(incidents[0]["id"], report["incident"]);
    let kept = files(&place.folder.path().join("state"));
    // The kept row is restored exactly, so its file holds what the row held.
    let open = |path: &&PathBuf| !path.file_name().unwrap().to_str().unwrap().starts_with("row-");
    let mut shown = vec![ran.out, ran.err, export.out, markdown.out];
    shown.extend(
        kept.iter().filter(open).map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()),
    );
    assert!(shown.len() > 5, "a journal, a dump and its sidecar are kept: {kept:?}");
    for (text, secret) in shown.iter().flat_map(|text| place.planted().into_iter().map(move |secret| (text, secret))) {
        // The dump is the database, and the database holds the failed row's words.
        assert!(text.starts_with("PGDMP") || !text.contains(&secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn signatures_of_ones_own_are_proved_before_anything_starts() {
    let place = Place::start(vec![]).await;
    let file = place.folder.path().join("lastgood.toml");
    let configuration = std::fs::read_to_string(&file).unwrap() + "signatures = \"ours.toml\"\n";
    std::fs::write(&file, configuration).unwrap();
    let entry = |rest: &str| {
        format!(
            "[[signature]]\nid = 'ours'\ntitle = 't'\nseverity = 'error'\ncounts = true\nexplain = 'e'\nremedy = 'r'\n{rest}"
        )
    };
    let rows = [
        (entry("match = ['our own failure']"), 0, ""),
        (entry(""), 2, "ours.toml:1: signature ours: nothing to match"),
        (entry("match = ['x']\nrunbook = 'litellm-rollback:nowhere'"), 2, "leads to litellm-rollback:nowhere"),
    ];
    for (text, code, words) in rows {
        std::fs::write(place.folder.path().join("ours.toml"), &text).unwrap();
        let told = place.call(&["preflight"]).await;
        assert_eq!(told.code, code, "{text}: {}{}", told.out, told.err);
        assert!(told.err.contains(words), "{text}: {}", told.err);
    }
}

#[tokio::test]
async fn gates_close_before_anything_is_started() {
    let place = Place::start(vec![]).await;
    let preflight = place.call(&["preflight", "--json"]).await;
    assert_eq!(preflight.code, 0, "{}", preflight.out);
    assert!(!preflight.out.contains(SALT));
    let plan = place.call(&["plan", "--to", "1", "--json"]).await;
    assert_eq!(plan.code, 3, "{}", plan.out);
    let protected = place.call(&["plan", "--to", "1", "--protect", "--json"]).await;
    assert_eq!(protected.code, 0, "{}", protected.out);
    let kinds: Vec<Value> =
        protected.json()["steps"].as_array().unwrap().iter().map(|step| step["kind"].clone()).collect();
    for kind in ["backup", "revert", "clean-migrations", "restart", "verify"] {
        assert!(kinds.contains(&json!(kind)), "{kind} is missing in {kinds:?}");
    }

    // orders, exit code, what the answer says
    let rows: [(&[&str], i32, &str); 7] = [
        (&["--to", "1", "--arm", "lab", "--confirm", FAILED], 3, "--may-drop 'LiteLLM_NewerTable'"),
        (&["--to", "1", "--arm", "lab", "--confirm", FAILED], 3, "--protect"),
        (&["--to", "1", "--arm", "lab", "--protect"], 3, FAILED),
        (&["--to", "2", "--arm", "lab", "--protect"], 3, "is the live one"),
        (&["--to", "9", "--arm", "lab", "--protect"], 2, "no such revision"),
        (&["--to", "1", "--arm", "prod", "--protect"], 3, "--arm says prod"),
        (&["--to", "other=1", "--arm", "lab", "--protect"], 2, "other is no workload"),
    ];
    for (orders, code, words) in rows {
        let told = place.call(&[&["run"], orders].concat()).await;
        assert_eq!(told.code, code, "{orders:?}: {}{}", told.out, told.err);
        assert!(told.out.contains(words) || told.err.contains(words), "{orders:?}: {}{}", told.out, told.err);
    }
    place.cluster.server.deny("admin", "patch", "deployments");
    let denied = place.call(&["run", "--to", "1", "--arm", "lab", "--protect", "--confirm", FAILED]).await;
    assert_eq!(denied.code, 3, "{}", denied.out);
    assert!(denied.out.contains("`patch deployments.apps`"), "{}", denied.out);

    assert!(!place.gateway.seen().iter().any(|seen| seen.path.contains("completions")), "nothing paid was asked for");
    // A dry run changes nothing.
    let mut patches = place.cluster.server.requests("PATCH", "fieldManager");
    patches.retain(|path| !path.contains("dryRun=All"));
    assert!(patches.is_empty(), "{patches:?}");
    assert!(!files(place.folder.path()).iter().any(|path| path.extension().is_some_and(|end| end == "dump")));
    for incident in place.call(&["incidents", "--json"]).await.json().as_array().unwrap() {
        assert_eq!(incident["reached"], false, "nothing is left open: {incident}");
    }
}

#[tokio::test]
async fn rows_are_deleted_and_restored_behind_their_gates() {
    let place = Place::start(vec![]).await;
    let all = place.call(&["migrations", "list", "--json"]).await;
    let states: Vec<_> = all.json().as_array().unwrap().iter().map(|row| row["state"].clone()).collect();
    assert_eq!(states, ["failed", "applied"]);
    let shown = place.call(&["migrations", "show", FAILED_ID]).await;
    assert!(shown.code == 0 && shown.out.contains("[masked]"), "{}", shown.out);

    let delete = |id, confirm: &'static [&'static str]| {
        let mut words = vec!["migrations", "delete", id, "--arm", "lab", "--json"];
        confirm.iter().for_each(|phrase| words.extend(["--confirm", phrase]));
        words
    };
    let refused = place.call(&delete(FAILED_ID, &["something else"])).await;
    assert_eq!((refused.code, refused.json()["done"].clone()), (3, json!(false)));
    let once = place.call(&delete(APPLIED_ID, &[APPLIED])).await;
    assert_eq!(once.code, 3, "an applied row wants a second phrase: {}", once.out);
    assert_eq!(place.call(&delete("none", &[FAILED])).await.code, 2);
    let count = "SELECT count(*)::text FROM _prisma_migrations";
    assert_eq!(place.database.one(count).await.as_deref(), Some("2"));

    assert_eq!(place.call(&delete(FAILED_ID, &[FAILED])).await.code, 0);
    assert_eq!(place.database.one(count).await.as_deref(), Some("1"));
    let back = place.call(&["migrations", "restore", FAILED_ID, "--arm", "lab"]).await;
    assert_eq!(back.code, 0, "{}", back.err);
    let logs = place.database.one(&format!("SELECT logs FROM _prisma_migrations WHERE id = '{FAILED_ID}'")).await;
    assert_eq!(logs, Some(format!("cannot reach {}", place.database.url())), "exactly as it was");
    let told = [&all, &shown, &refused, &once, &back].map(|told| format!("{}{}", told.out, told.err)).concat();
    assert!(!place.planted().iter().any(|secret| told.contains(secret)), "{told}");
}

#[tokio::test]
async fn preflight_judges_only_what_an_environment_has() {
    let database = TestDatabase::with_table().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db.url"), database.url()).unwrap();
    let text = "[env.lab]\nkind = \"staging\"\ndatabase = { file = \"db.url\" }\n";
    std::fs::write(folder.path().join("lastgood.toml"), text).unwrap();
    let told = call(folder.path(), &["preflight", "--json"]).await;
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    let report = told.json();
    let severity = |id: &str| {
        let found = report.as_array().unwrap().iter().find(|finding| finding["id"] == id);
        found.unwrap_or_else(|| panic!("{id}: {}", told.out))["severity"].clone()
    };
    assert_eq!([severity("identity"), severity("gateway"), severity("database")], ["absent", "absent", "fine"]);
    let plan = call(folder.path(), &["plan", "--to", "1"]).await;
    assert_ne!(plan.code, 0, "there is nothing to revert: {}", plan.out);
}

#[tokio::test]
async fn a_check_that_fails_is_not_reached() {
    let broken = Says::Json(503, json!({"status": "unhealthy", "db": "disconnected"}));
    let place = Place::start(vec![("/health/readiness", broken)]).await;
    let told = place.call(&["verify", "--timeout", "0s", "--json"]).await;
    assert_eq!(told.code, 1, "{}", told.err);
    let report = told.json();
    assert!(marks(&report).contains(&("health", "failed")), "{}", told.out);
    let seen = place.gateway.seen();
    assert!(!seen.iter().any(|seen| seen.path == "/health" || seen.path.contains("completions")), "nothing paid");
}

#[tokio::test]
async fn what_does_not_answer_is_told_by_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kubeconfig = format!(
        "{{apiVersion: v1, kind: Config, current-context: replay, clusters: [{{name: c, cluster: {{server: 'http://{closed}'}}}}], \
         users: [{{name: u, user: {{token: {BEARER}}}}}], contexts: [{{name: replay, context: {{cluster: c, user: u}}}}]}}"
    );
    std::fs::write(folder.path().join("admin.yaml"), kubeconfig).unwrap();
    std::fs::write(folder.path().join("db.url"), format!("postgresql://litellm:hunter2-secret@{closed}/litellm"))
        .unwrap();
    let good = "[env.lab]\ncontext = \"replay\"\nnamespace = \"llm\"\nworkloads = [\"litellm\"]\ndatabase = { file = \"db.url\" }\n";
    std::fs::write(folder.path().join("lastgood.toml"), good).unwrap();
    let bare = "[env.lab]\ncontext = \"replay\"\nnamespace = \"llm\"\nworkloads = [\"litellm\"]\n";
    std::fs::write(folder.path().join("bare.toml"), bare).unwrap();
    let bad = "[env.lab]\ncontxt = \"replay\"\ndatabase = \"postgresql://litellm:hunter2-secret@h/d\"\n";
    std::fs::write(folder.path().join("bad.toml"), bad).unwrap();
    // arguments, exit code, what the answer says
    let rows: [(&[&str], i32, &str); 8] = [
        (&["--config", "bare.toml", "run", "--to", "1", "--arm", "lab"], 2, "--skip-backup 'WHY' goes on without one"),
        (&["preflight"], 4, "onnection refused"),
        (&["plan", "--to", "1"], 4, "deployment/litellm cannot be seen"),
        (&["migrations", "list"], 4, "connection refused"),
        (&["--config", "bad.toml", "preflight"], 2, "bad.toml:2: unknown key `contxt`"),
        (&["--config", "none.toml", "preflight"], 2, "none.toml cannot be read"),
        (&["--env", "other", "preflight"], 2, "other"),
        (&["run", "--arm", "lab"], 2, "--to"),
    ];
    for (arguments, code, words) in rows {
        let told = call(folder.path(), arguments).await;
        assert_eq!(told.code, code, "{arguments:?}: {}{}", told.out, told.err);
        assert!(told.out.contains(words) || told.err.contains(words), "{arguments:?}: {}{}", told.out, told.err);
        for secret in ["hunter2-secret", BEARER] {
            assert!(!told.out.contains(secret) && !told.err.contains(secret), "{arguments:?}");
        }
    }
}
