//! A server on a real socket that answers as LiteLLM does, in an old and a new version, well and ill.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The key that the server takes.
pub const KEY: &str = "sk-master-0123456789";

/// A secret that the server plants into bodies.
pub const PLANTED: &str = "sk-ant-planted-9876543210";

/// Answers of one endpoint, in place of the ordinary one.
#[derive(Clone)]
pub enum Says {
    Json(u16, Value),
    Text(u16, &'static str, String),
    /// Never answers.
    Hangs,
    /// Sends headers and then nothing more.
    Stalls,
    /// A body without end.
    Floods,
    Redirects(String),
}

/// Which version it imitates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Age {
    /// 1.74: readiness tells the version, no `/health/readiness/details`, no page of teams.
    Old,
    /// 1.106
    New,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub authorization: Option<String>,
    pub body: String,
}

struct Inner {
    age: Age,
    instead: Vec<(&'static str, Says)>,
    seen: Mutex<Vec<Seen>>,
}

/// A running server.
pub struct Fake {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Fake {
    pub async fn start(age: Age, instead: Vec<(&'static str, Says)>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let inner = Arc::new(Inner { age, instead, seen: Mutex::default() });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, app) => served.expect("serves"),
                _ = stopped => {}
            }
        });
        Self { address, inner, _stop: stop }
    }

    pub fn url(&self) -> url::Url {
        format!("http://{}", self.address).parse().expect("a URL")
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().expect("no panic").clone()
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().expect("text").to_owned());
    let allowed = authorization.as_deref() == Some(&format!("Bearer {KEY}"));
    inner.seen.lock().expect("no panic").push(Seen {
        method,
        path: uri.to_string(),
        authorization,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    if let Some((_, says)) = inner.instead.iter().find(|(at, _)| *at == path) {
        return spoken(says.clone()).await;
    }
    let public = path.starts_with("/ui")
        || path.starts_with("/litellm-asset-prefix")
        || matches!(path.as_str(), "/health/liveliness" | "/health/readiness");
    if !public && !allowed {
        let error = json!({"error": {"message": format!("Authentication Error, Invalid proxy server token passed. Received API Key = {PLANTED}"), "type": "auth_error", "param": "None", "code": "401"}});
        return (StatusCode::UNAUTHORIZED, axum::Json(error)).into_response();
    }
    well(inner.age, &path)
}

fn well(age: Age, path: &str) -> Response {
    let version = match age {
        Age::Old => "1.74.15",
        Age::New => "1.106.2",
    };
    let full = json!({"status": "healthy", "db": "connected", "cache": null, "litellm_version": version,
        "success_callbacks": ["lago"], "use_aiohttp_transport": true});
    let body = match (path, age) {
        ("/health/liveliness", _) => json!("I'm alive!"),
        ("/health/readiness", Age::Old) | ("/health/readiness/details", Age::New) => full,
        ("/health/readiness", Age::New) => json!({"status": "healthy", "db": "connected"}),
        ("/health", _) => json!({
            "healthy_endpoints": [{"model": "openai/gpt-4o"}],
            "unhealthy_endpoints": [{"model": "azure/x", "error": format!("litellm.AuthenticationError: bad key {PLANTED}\nstack trace: …")}],
            "healthy_count": 1, "unhealthy_count": 1}),
        ("/v1/models", _) => json!({"object": "list", "data": [
            {"id": "gpt-4o", "object": "model"}, {"id": "openai/*", "object": "model"}, {"id": "bad\u{202e}name"}]}),
        ("/active/callbacks", _) => json!({"alerting": "None", "num_callbacks": 3, "all_litellm_callbacks": [
            "lago", "<litellm.integrations.lago.LagoLogger object at 0x7f0>", "lago"]}),
        ("/v1/chat/completions", _) => {
            let body = json!({"id": "chatcmpl-7d1", "object": "chat.completion", "choices": []});
            let headers = [
                (HeaderName::from_static("x-litellm-version"), version),
                (HeaderName::from_static("x-litellm-response-cost"), "1.35e-05"),
                (header::DATE, "Sat, 21 Nov 2026 01:42:23 GMT"),
            ];
            return (headers, axum::Json(body)).into_response();
        }
        ("/key/list", _) => json!({"keys": ["abc"], "total_count": 41, "current_page": 1, "total_pages": 41}),
        ("/v2/team/list", Age::New) => json!({"teams": [], "total": 7, "page": 1, "page_size": 1, "total_pages": 7}),
        ("/team/list", Age::Old) => json!([{"team_id": "a", "keys": []}, {"team_id": "b", "keys": []}]),
        ("/ui", _) => return spoken_redirect("/ui/"),
        ("/ui/", _) => {
            let html = "<html><link href=\"/litellm-asset-prefix/_next/static/css/a.css\"/><script src=\"/litellm-asset-prefix/_next/static/chunks/webpack-1.js\"></script></html>";
            return ([(header::CONTENT_TYPE, "text/html")], html).into_response();
        }
        ("/litellm-asset-prefix/_next/static/chunks/webpack-1.js", _) => return "void 0;".into_response(),
        _ => return (StatusCode::NOT_FOUND, axum::Json(json!({"detail": "Not Found"}))).into_response(),
    };
    axum::Json(body).into_response()
}

async fn spoken(says: Says) -> Response {
    match says {
        Says::Json(status, body) => (StatusCode::from_u16(status).expect("a status"), axum::Json(body)).into_response(),
        Says::Text(status, kind, body) => {
            (StatusCode::from_u16(status).expect("a status"), [(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Says::Hangs => std::future::pending().await,
        Says::Stalls => Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>()).into_response(),
        Says::Floods => {
            let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1 << 16])));
            Body::from_stream(chunks).into_response()
        }
        Says::Redirects(to) => spoken_redirect(&to),
    }
}

fn spoken_redirect(to: &str) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
}

/// A short patience, so that a hang costs a test little.
pub fn hasty() -> lastgood::world::litellm::Patience {
    let short = Duration::from_millis(400);
    lastgood::world::litellm::Patience { look: short, health: short, completion: short }
}
