//! The gateway adapter against LiteLLM itself: `LASTGOOD_TEST_LITELLM` names its program
//! (`pip install 'litellm[proxy]'`), which is started without a database and with mocked models.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]
#![allow(missing_docs, reason = "a test is read from its names")]

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lastgood::domain::checklist::Mark;
use lastgood::domain::checks::{self, LagoLine, lago_line};
use lastgood::domain::signature::Signatures;
use lastgood::domain::trouble::TroubleKind;
use lastgood::text::{Gate, Secret};
use lastgood::world::Gateway;
use lastgood::world::litellm::LiteLlm;

const KEY: &str = "sk-3f9a7c51d2e84b06a1c7";

const CONFIG: &str = "
model_list:
  - model_name: mocked
    litellm_params: { model: openai/gpt-4o-mini, api_key: sk-none-0000000, mock_response: hello }
  - model_name: broken
    litellm_params: { model: openai/gpt-4o-mini, api_key: sk-none-0000000, api_base: 'http://127.0.0.1:1/v1' }
litellm_settings:
  num_retries: 0
  success_callback: [lago]
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
";

struct Proxy {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts LiteLLM. `None`, said loudly, where nobody names its program.
    async fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("LASTGOOD_TEST_LITELLM").map(PathBuf::from) else {
            eprintln!("SKIPPED tests/litellm.rs: LASTGOOD_TEST_LITELLM names no litellm program");
            return None;
        };
        let lago = lago().await;
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, CONFIG).expect("its configuration");
        let log = std::fs::File::create(folder.path().join("log")).expect("its log");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a free port");
        let child = Command::new(program)
            // 1.74 writes Lago's lines with this flag only, whatever LITELLM_LOG says.
            .args(["--detailed_debug", "--host", "127.0.0.1", "--port", &address.port().to_string(), "--config"])
            .arg(&config)
            .current_dir(folder.path())
            .env("LITELLM_MASTER_KEY", KEY)
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("LAGO_API_BASE", format!("http://{lago}"))
            .env("LAGO_API_KEY", "lago-key-0000")
            .env("LAGO_API_EVENT_CODE", "tokens")
            .env("LAGO_API_CHARGE_BY", "end_user_id")
            .env_remove("DATABASE_URL")
            .stdout(Stdio::from(log.try_clone().expect("its log")))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("litellm starts");
        Some(Self { child, address, folder })
    }

    fn gateway(&self, key: Option<&str>) -> LiteLlm {
        let url = format!("http://{}", self.address).parse().expect("a URL");
        LiteLlm::new(url, key.map(Secret::new), Gate::default()).expect("a gateway")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn wait_until_it_is_alive(&mut self) {
        let gateway = self.gateway(Some(KEY));
        let deadline = Instant::now() + Duration::from_secs(180);
        while gateway.vitals().await.expect("vitals").liveliness != Ok(200) {
            let ended = self.child.try_wait().expect("its status");
            assert!(ended.is_none(), "litellm ended: {ended:?}\n{}", self.log());
            assert!(Instant::now() < deadline, "litellm is not alive after 180 s\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

impl Proxy {
    /// The number of the first line of this kind.
    async fn wait_for_line(&self, kind: LagoLine) -> usize {
        let deadline = Instant::now() + Duration::from_secs(30);
        let gate = Gate::default();
        loop {
            let log = self.log();
            let found = log.lines().position(|line| lago_line(gate.clean(line).as_str()) == Some(kind));
            if let Some(number) = found {
                return number;
            }
            assert!(Instant::now() < deadline, "no line that says {kind:?} after 30 s\n{log}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Lago that takes every event.
async fn lago() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let app = axum::Router::new().fallback(|| async { axum::Json(serde_json::json!({"event": {"lago_id": "1a"}})) });
    tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
    address
}

/// One test, because the proxy takes long to start.
#[tokio::test]
async fn the_adapter_understands_litellm_itself() {
    let Some(mut proxy) = Proxy::start().await else { return };
    proxy.wait_until_it_is_alive().await;
    let gateway = proxy.gateway(Some(KEY));

    let vitals = gateway.vitals().await;
    eprintln!("vitals: {vitals:?}");
    let told = vitals.as_ref().expect("vitals");
    let version: lastgood::domain::image::Version =
        told.version.as_ref().expect("a version").as_str().parse().expect("a version that can be compared");
    let readiness = told.readiness.as_ref().expect("readiness");
    assert_eq!((readiness.status, readiness.word.as_str()), (200, "healthy"));
    assert_eq!(readiness.db.as_ref().map(|db| db.as_str()), Some("Not connected"));

    let settings = gateway.settings().await.expect("settings");
    eprintln!("settings: {settings:?}");
    let models: Vec<_> = settings.models.iter().map(|model| model.as_str()).collect();
    assert_eq!(models, ["mocked", "broken"]);
    assert!(settings.callbacks.is_some());

    let health = gateway.model_health().await;
    eprintln!("health: {health:?}");
    let counts = health.as_ref().expect("counts");
    assert_eq!((counts.status, counts.healthy + counts.unhealthy), (200, 2));
    assert!(counts.unhealthy >= 1 && counts.first_error.is_some());
    let verdict = checks::health(&vitals, Some(&health), true, Some(&version));
    eprintln!("verdict: {verdict:?}");

    let completion = gateway.complete("mocked".parse().expect("a name")).await.expect("an answer");
    eprintln!("completion: {completion:?}");
    assert!(completion.id.as_str().starts_with("chatcmpl-"), "{completion:?}");
    assert_eq!(completion.version, told.version);
    assert!(completion.cost.is_some() && completion.dated.is_some());
    let again = gateway.complete("mocked".parse().expect("a name")).await.expect("an answer");
    assert_ne!(completion.id, again.id);
    let broken = gateway.complete("broken".parse().expect("a name")).await.unwrap_err();
    eprintln!("broken model: {broken:?}");
    assert_eq!(broken.kind, TroubleKind::Refused);
    let unknown = gateway.complete("nobody".parse().expect("a name")).await.unwrap_err();
    eprintln!("unknown model: {unknown:?}");

    let ui = gateway.admin_ui().await.expect("a finding");
    eprintln!("admin UI: {ui:?}");
    assert_eq!(ui.page, Ok(200));
    assert!(matches!(ui.asset, Some((_, Ok(200)))), "{ui:?}");
    assert_eq!(checks::admin_ui(&Ok(ui)).mark, Mark::Failed, "no database, so no keys");

    for key in [None, Some("sk-some-other-key-1")] {
        let refused = proxy.gateway(key).settings().await.unwrap_err();
        eprintln!("with key {}: {refused:?}", key.is_some());
    }

    let built = proxy.wait_for_line(LagoLine::Built).await;
    let delivered = proxy.wait_for_line(LagoLine::Delivered).await;
    assert!(built < delivered, "the first line comes before the event is sent");
    let callbacks = settings.callbacks.as_deref();
    let seen = Some(("litellm".parse().expect("a name"), jiff::Timestamp::now()));
    let findings = checks::BillingFindings { configured: true, callbacks, delivered: seen, built: None };
    let verdict = checks::billing(&findings);
    assert_eq!(verdict.mark, Mark::Ticked, "{verdict:?}");
    assert!(verdict.evidence[1].as_str().contains("name Lago"), "{verdict:?}");

    let signatures = Signatures::bundled();
    let log = proxy.log();
    for line in log.lines().filter(|line| signatures.find(line).is_some()) {
        let signature = signatures.get(signatures.find(line).expect("found"));
        eprintln!("log: {}: {line}", signature.id);
        assert!(!signature.counts, "a gateway without a database has no schema to be wrong: {line}");
    }
}
