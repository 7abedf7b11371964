//! The gateway port over LiteLLM's HTTP interface, versions 1.74 to 1.106.

mod answers;
mod http;

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use ::http::{HeaderMap, StatusCode};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::Instant;
use url::Url;

use crate::domain::gateway::{AdminUi, Completion, ModelHealth, Readiness, Settings, Vitals};
use crate::domain::name::ModelName;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate, Secret};
use crate::world::{Gateway, Reply};

use answers::{Callbacks, Counts, Health, Models, ReadinessBody, Reply as Body, first_asset};
use http::{Answer, Bounds, Http};

const MEGABYTE: usize = 1 << 20;

/// How long each kind of request may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// What only looks.
    pub look: Duration,
    /// `/health`, which calls every model; LiteLLM gives each 60 s.
    pub health: Duration,
    /// One completion.
    pub completion: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { look: Duration::from_secs(10), health: Duration::from_secs(120), completion: Duration::from_secs(60) }
    }
}

impl Patience {
    fn look(self) -> Bounds {
        Bounds { time: self.look, size: 4 * MEGABYTE }
    }
}

/// A LiteLLM gateway.
#[derive(Clone)]
pub struct LiteLlm {
    http: Http,
    patience: Patience,
}

impl LiteLlm {
    /// A gateway at `base`, with the key that its checks may use. Nothing is sent yet.
    ///
    /// # Errors
    /// [`TroubleKind::Invalid`] when the URL is none of a gateway or carries credentials, or
    /// when the key cannot stand in a header.
    pub fn new(base: Url, key: Option<Secret>, gate: Gate) -> Result<Self, Trouble> {
        Ok(Self { http: Http::new(base, key, gate)?, patience: Patience::default() })
    }

    /// The same with other time limits.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    async fn look_at_vitals(&self) -> Vitals {
        let look = self.patience.look();
        let (alive, ready) =
            tokio::join!(self.http.peek("/health/liveliness", look), self.http.peek("/health/readiness", look));
        let (readiness, told) = match ready {
            Ok(answer) => self.readiness(&answer),
            Err(trouble) => (Err(trouble.sentence()), None),
        };
        let reached = alive.is_ok();
        let version = match told {
            Some(version) => Some(version),
            None if reached => self.version_from_details().await,
            None => None,
        };
        let allows_requests_without_db = readiness.as_ref().ok().and_then(kept_in_rotation);
        Vitals { liveliness: self.liveliness(alive), readiness, version, allows_requests_without_db }
    }

    fn liveliness(&self, answer: Result<Answer, Trouble>) -> Result<u16, Clean> {
        let answer = answer.map_err(|trouble| trouble.sentence())?;
        let litellms = String::from_utf8_lossy(&answer.body).contains("alive");
        if answer.status == StatusCode::OK && !litellms {
            return Err(Clean::ours(
                "another server answers 200, without LiteLLM's words; check that the URL leads to LiteLLM",
            ));
        }
        Ok(answer.status.as_u16())
    }

    /// What readiness said, and the version where it tells one (up to 1.83, and behind
    /// `allow_public_health_readiness_details` later).
    fn readiness(&self, answer: &Answer) -> (Result<Readiness, Clean>, Option<Clean>) {
        let gate = self.http.gate();
        let status = answer.status.as_u16();
        let body = serde_json::from_slice::<ReadinessBody>(&answer.body).unwrap_or_default();
        let version =
            body.litellm_version.map(|version| gate.clean(&version)).or_else(|| self.version_of(&answer.headers));
        let word = match body.status {
            Some(word) => gate.clean(&word),
            // Up to 1.83: 503 {"detail": "Service Unhealthy (…)"}
            None if answer.status != StatusCode::OK => self.http.message(answer),
            None => {
                let words = say!("it answers {} without LiteLLM's words; check that the URL leads to LiteLLM", status);
                return (Err(words), version);
            }
        };
        (Ok(Readiness { status, word, db: body.db.map(|db| gate.clean(&db)) }), version)
    }

    async fn version_from_details(&self) -> Option<Clean> {
        if !self.http.has_key() {
            return None;
        }
        let answer = self.http.get("/health/readiness/details", self.patience.look()).await.ok()?;
        // 503 without a database, and the version all the same.
        let body = serde_json::from_slice::<ReadinessBody>(&answer.body).ok()?;
        let version = body.litellm_version.map(|version| self.http.gate().clean(&version));
        version.or_else(|| self.version_of(&answer.headers))
    }

    fn version_of(&self, headers: &HeaderMap) -> Option<Clean> {
        self.header(headers, "x-litellm-version")
    }

    fn header(&self, headers: &HeaderMap, name: &str) -> Option<Clean> {
        let text = headers.get(name)?.to_str().ok()?;
        // LiteLLM prints Python's None where it knows nothing.
        (!text.is_empty() && text != "None").then(|| self.http.gate().clean(text))
    }

    /// Neither `disable_spend_logs` nor `proxy_batch_write_at` is shown by any endpoint of 1.74
    /// or 1.106: `/config/list` and `/config/field/info` know neither, `/settings` is another name
    /// of `/active/callbacks`.
    async fn read_settings(&self) -> Result<Settings, Trouble> {
        let look = self.patience.look();
        let (models, callbacks) =
            tokio::join!(self.http.get("/v1/models", look), self.http.get("/active/callbacks", look));
        let models: Models = self.http.json(&models?)?;
        let callbacks: Option<Callbacks> = callbacks.ok().and_then(|answer| self.http.json(&answer).ok());
        Ok(Settings {
            disable_spend_logs: None,
            batch_write_seconds: None,
            callbacks: callbacks.map(|callbacks| callbacks.names(self.http.gate())),
            models: models.names(),
        })
    }

    async fn ask_models(&self) -> Result<ModelHealth, Trouble> {
        let bounds = Bounds { time: self.patience.health, size: 16 * MEGABYTE };
        let answer = self.http.get("/health", bounds).await?;
        let status = answer.status.as_u16();
        if answer.status.is_server_error() {
            let message = self.http.message(&answer);
            let first_error = (!message.is_empty()).then_some(message);
            return Ok(ModelHealth { status, healthy: 0, unhealthy: 0, first_error, from_background: None });
        }
        let health: Health = self.http.json(&answer)?;
        // Background checks that have not run yet answer `{}`; nothing else tells them apart.
        let from_background = health.is_blank().then_some(true);
        let (healthy, unhealthy) = health.counts();
        Ok(ModelHealth {
            status,
            healthy,
            unhealthy,
            first_error: health.first_error(self.http.gate()),
            from_background,
        })
    }

    async fn send_completion(&self, model: ModelName) -> Result<Completion, Trouble> {
        let bounds = Bounds { time: self.patience.completion, size: 4 * MEGABYTE };
        // A number that never comes again keeps a response cache from answering with an old id.
        let nonce = RandomState::new().hash_one(Timestamp::now());
        let body = json!({
            "model": model.as_str(),
            "messages": [{ "role": "user", "content": format!("rollback check {nonce:016x}: answer with one word") }],
            "max_tokens": 1,
            "user": "lastgood-check",
            "metadata": { "lastgood_check": format!("{nonce:016x}") },
        });
        let (at, started) = (Timestamp::now(), Instant::now());
        let answer = self.http.post("/v1/chat/completions", &body, bounds).await?;
        let took = SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::ZERO);
        let reply: Body = self.http.json(&answer)?;
        let id = reply.id.parse().map_err(|why| {
            let why = self.http.gate().clean(&format!("{why}"));
            Trouble::new(TroubleKind::Invalid, say!("the completion's id cannot be looked up: it is {}", why))
                .remedy(Clean::ours("ask another model"))
        })?;
        let dated = date(&answer.headers).and_then(|date| date.checked_sub(took).ok());
        let cost = self.header(&answer.headers, "x-litellm-response-cost");
        Ok(Completion { id, model, at, dated, version: self.version_of(&answer.headers), cost })
    }

    async fn look_at_ui(&self) -> AdminUi {
        let ((page, asset), keys, teams) = tokio::join!(self.page_and_asset(), self.count_keys(), self.count_teams());
        AdminUi { page, asset, keys, teams }
    }

    async fn page_and_asset(&self) -> (Result<u16, Clean>, Option<(Clean, Result<u16, Clean>)>) {
        let bounds = Bounds { time: self.patience.look, size: 16 * MEGABYTE };
        let (url, answer) = match self.http.page("/ui/", bounds).await {
            Ok(found) => found,
            Err(trouble) => return (Err(trouble.sentence()), None),
        };
        let html = String::from_utf8_lossy(&answer.body);
        let asset = match first_asset(&html) {
            Some(link) => self.http.asset(&url, &link, bounds).await,
            None => None,
        };
        let asset = asset.map(|(path, answer)| {
            (path, answer.map(|answer| answer.status.as_u16()).map_err(|trouble| trouble.sentence()))
        });
        (Ok(answer.status.as_u16()), asset)
    }

    async fn count_keys(&self) -> Result<u64, Trouble> {
        let answer = self.http.get("/key/list?page=1&size=1", self.patience.look()).await?;
        self.http.json::<Counts>(&answer)?.count().ok_or_else(|| self.uncounted("keys"))
    }

    /// One page tells the total; the older list holds every team with all its keys.
    async fn count_teams(&self) -> Result<u64, Trouble> {
        let mut answer = self.http.get("/v2/team/list?page=1&page_size=1", self.patience.look()).await?;
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
            let bounds = Bounds { time: self.patience.look, size: 32 * MEGABYTE };
            answer = self.http.get("/team/list", bounds).await?;
        }
        self.http.json::<Counts>(&answer)?.count().ok_or_else(|| self.uncounted("teams"))
    }

    fn uncounted(&self, what: &'static str) -> Trouble {
        let remedy = Clean::ours("look at the admin UI by hand; which version answers?");
        Trouble::new(TroubleKind::Invalid, say!("the list of {} has no count", what)).remedy(remedy)
    }
}

impl Gateway for LiteLlm {
    fn vitals(&self) -> Reply<Vitals> {
        let this = self.clone();
        async move { Ok(this.look_at_vitals().await) }.boxed()
    }

    fn settings(&self) -> Reply<Settings> {
        let this = self.clone();
        async move { this.read_settings().await }.boxed()
    }

    fn model_health(&self) -> Reply<ModelHealth> {
        let this = self.clone();
        async move { this.ask_models().await }.boxed()
    }

    fn complete(&self, model: ModelName) -> Reply<Completion> {
        let this = self.clone();
        async move { this.send_completion(model).await }.boxed()
    }

    fn admin_ui(&self) -> Reply<AdminUi> {
        let this = self.clone();
        async move { Ok(this.look_at_ui().await) }.boxed()
    }
}

/// Only `allow_requests_on_db_unavailable` keeps a pod in rotation that has lost its database
/// (1.106, `_health_endpoints.py`). The contrary, and any other answer, tells nothing about it.
fn kept_in_rotation(readiness: &Readiness) -> Option<bool> {
    let lost = matches!(readiness.db.as_ref().map(Clean::as_str), Some("disconnected" | "stalled"));
    match (readiness.status, lost) {
        (200, true) => Some(true),
        (503, true) => Some(false),
        _ => None,
    }
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(::http::header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}
