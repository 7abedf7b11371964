//! HTTP with a gateway that may be ill: bounded in time and size, never redirected with the key.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url};

use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate, Secret};
use crate::world::tls;

/// Time to get a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Most redirects that are followed for a page.
const HOPS: usize = 3;

/// Longest message of the gateway that is passed on, in bytes.
const MESSAGE: usize = 300;

/// Most of a body that is searched for a message.
const SEARCHED: usize = 64 * 1024;

/// What one request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// From the first byte sent to the last received.
    pub time: Duration,
    /// Largest body, in bytes.
    pub size: usize,
}

/// A whole answer, of any status.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Method and path, for sentences.
    asked: Clean,
}

/// One gateway.
#[derive(Clone)]
pub(super) struct Http {
    client: Client,
    base: Url,
    key: Option<Secret>,
    gate: Gate,
    place: Clean,
}

impl Http {
    /// A client for the gateway at `base`, which may have a path (`SERVER_ROOT_PATH`).
    pub fn new(base: Url, key: Option<Secret>, gate: Gate) -> Result<Self, Trouble> {
        let refuse = |what: Clean, remedy| Err(Trouble::new(TroubleKind::Invalid, what).remedy(Clean::ours(remedy)));
        let place = gate.clean(base.as_str().trim_end_matches('/'));
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return refuse(
                say!("{} is no address of a gateway", place),
                "write it as https://HOST or http://HOST:PORT",
            );
        }
        if !base.username().is_empty() || base.password().is_some() {
            return refuse(
                say!("the gateway's URL {} carries credentials", place),
                "name the key as `master_key` instead",
            );
        }
        if key.as_ref().is_some_and(|key| http::HeaderValue::from_str(key.expose()).is_err()) {
            return refuse(
                Clean::ours("the master key holds characters that no HTTP header can carry"),
                "look for a line feed at the end of its file or Secret",
            );
        }
        if let Some(key) = &key {
            gate.learn(key);
        }
        tls::install_provider();
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("lastgood/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            // A port-forward is never behind a proxy.
            builder = builder.no_proxy();
        }
        match builder.build() {
            Ok(client) => Ok(Self { client, base, key, gate, place }),
            Err(why) => refuse(
                say!("no HTTP client can be made: {}", gate.clean(&innermost(&why))),
                "check the TLS roots of this machine",
            ),
        }
    }

    /// The gate that all text passes.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// A key is configured.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// GET without the key, for what is public.
    pub async fn peek(&self, path: &'static str, bounds: Bounds) -> Result<Answer, Trouble> {
        self.send(self.client.get(self.at(path)), &Method::GET, Clean::ours(path), bounds).await
    }

    /// GET with the key. Any status is an answer.
    pub async fn get(&self, path: &'static str, bounds: Bounds) -> Result<Answer, Trouble> {
        let request = self.signed(self.client.get(self.at(path)));
        self.send(request, &Method::GET, Clean::ours(path), bounds).await
    }

    /// POST of JSON with the key. Once it may have left, no answer is [`TroubleKind::Unknown`].
    pub async fn post(&self, path: &'static str, body: &Value, bounds: Bounds) -> Result<Answer, Trouble> {
        let request = self.signed(self.client.post(self.at(path))).json(body);
        self.send(request, &Method::POST, Clean::ours(path), bounds).await
    }

    /// GET of a page without the key, redirects followed on this host. Also tells where it ended.
    pub async fn page(&self, path: &'static str, bounds: Bounds) -> Result<(Url, Answer), Trouble> {
        let mut at = self.at(path);
        for _ in 0..HOPS {
            let asked = self.gate.clean(at.path());
            let answer = self.send(self.client.get(at.clone()), &Method::GET, asked, bounds).await?;
            let target = answer.headers.get(http::header::LOCATION).and_then(|to| to.to_str().ok());
            match target.filter(|_| answer.status.is_redirection()).map(|to| at.join(to)) {
                Some(Ok(next)) if next.origin() == self.base.origin() => at = next,
                Some(_) => return Err(self.elsewhere(&answer)),
                None => return Ok((at, answer)),
            }
        }
        let what = say!("GET {} on {} redirects in circles", path, self.place);
        Err(Trouble::new(TroubleKind::Invalid, what).remedy(Clean::ours("check the ingress in front of the gateway")))
    }

    /// GET of an address that a page named, without the key. `None` when it lies on another host.
    pub async fn asset(&self, page: &Url, link: &str, bounds: Bounds) -> Option<(Clean, Result<Answer, Trouble>)> {
        let url = page.join(link).ok().filter(|url| url.origin() == self.base.origin())?;
        let path = self.gate.clean(url.path());
        let answer = self.send(self.client.get(url), &Method::GET, path.clone(), bounds).await;
        Some((path, answer))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        url.set_fragment(None);
        url
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    async fn send(
        &self,
        request: RequestBuilder,
        method: &Method,
        path: Clean,
        bounds: Bounds,
    ) -> Result<Answer, Trouble> {
        let changes = method != Method::GET;
        let asked = if changes { say!("POST {}", path) } else { say!("GET {}", path) };
        let mut response =
            request.timeout(bounds.time).send().await.map_err(|why| self.broken(&asked, &why, bounds.time, changes))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|why| self.broken(&asked, &why, bounds.time, changes))? {
            if body.len() + chunk.len() > bounds.size {
                let what = say!("{} on {} answers with more than {} bytes", asked, self.place, bounds.size);
                let remedy = Clean::ours("check that the URL leads to LiteLLM");
                return Err(Trouble::new(TroubleKind::Invalid, what).remedy(remedy));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body, asked })
    }

    /// A request without a whole answer.
    fn broken(&self, asked: &Clean, why: &reqwest::Error, time: Duration, changes: bool) -> Trouble {
        let (what, remedy) = match Cause::of(why) {
            Cause::Refused => (
                Clean::ours("connection refused"),
                "check that it runs, the port, and that a port-forward is still open",
            ),
            Cause::Timeout => (
                say!("no answer within {} s", time.as_secs_f64()),
                "check the network path; a gateway that hangs may wait for its database",
            ),
            Cause::Tls => (
                say!("TLS failed: {}", self.gate.clean(&innermost(why))),
                "check the certificate, the host name, and whether the port speaks https at all",
            ),
            Cause::Name => (Clean::ours("no such host name"), "check the host name and this machine's DNS"),
            Cause::Other => (
                say!("{}", shortened(&self.gate.clean(&innermost(why)))),
                "check the network path and what is in front of the gateway",
            ),
        };
        if changes && !why.is_connect() {
            let what = say!("{} on {} was sent and not answered: {}", asked, self.place, what);
            return Trouble::new(TroubleKind::Unknown, what)
                .remedy(Clean::ours("it may have been carried out: look before you send it again"));
        }
        Trouble::new(TroubleKind::Unreachable, say!("{} on {}: {}", asked, self.place, what))
            .remedy(Clean::ours(remedy))
    }

    fn elsewhere(&self, answer: &Answer) -> Trouble {
        let what = say!("{} on {} redirects to another host", answer.asked, self.place);
        let remedy =
            Clean::ours("a login page may stand before the gateway: use a URL or port-forward that leads to it");
        Trouble::new(TroubleKind::Invalid, what).remedy(remedy)
    }

    /// The JSON of a 200, or the trouble that any other answer means.
    pub fn json<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Trouble> {
        if answer.status != StatusCode::OK {
            return Err(self.refusal(answer));
        }
        serde_json::from_slice(&answer.body).map_err(|why| {
            let place = say!("line {} column {}", why.line(), why.column());
            let what =
                say!("{} on {} answers 200 with what LiteLLM does not answer ({})", answer.asked, self.place, place);
            Trouble::new(TroubleKind::Invalid, what)
                .remedy(Clean::ours("check that the URL leads to LiteLLM and not to a page before it"))
        })
    }

    /// What an answer other than 200 means.
    pub fn refusal(&self, answer: &Answer) -> Trouble {
        if answer.status.is_redirection() {
            return self.elsewhere(answer);
        }
        let message = self.message(answer);
        let (kind, remedy) = match answer.status.as_u16() {
            // LiteLLM wraps failures of its own database in "Authentication Error, …", too.
            401 | 400 if blames_database(message.as_str()) => (
                TroubleKind::Refused,
                "the gateway has no working database, and without one takes the master key only: check DATABASE_URL and `master_key`",
            ),
            401 if self.key.is_none() => (TroubleKind::Unauthenticated, "name the gateway's key as `master_key`"),
            401 => (TroubleKind::Unauthenticated, "check `master_key`: the gateway does not take this key"),
            403 => (TroubleKind::Forbidden, "use the master key or an admin's key"),
            404 | 405 => (TroubleKind::NotFound, "check the URL's path, and which version answers"),
            429 => (TroubleKind::Busy, "a rate limit, or no healthy deployment of the model: wait, then try again"),
            400..=499 => (TroubleKind::Invalid, "read the gateway's words"),
            _ => (TroubleKind::Refused, "look at the gateway's logs"),
        };
        let what = say!("{} on {} answers {}", answer.asked, self.place, answer.status.as_u16());
        let what = if message.is_empty() { what } else { say!("{}: {}", what, message) };
        Trouble::new(kind, what).remedy(Clean::ours(remedy))
    }

    /// The gateway's own words in an error's body, cleaned and shortened.
    pub fn message(&self, answer: &Answer) -> Clean {
        let body = &answer.body[..answer.body.len().min(SEARCHED)];
        let words = serde_json::from_slice::<Value>(body).ok().and_then(|value| words(&value, 0));
        let text =
            words.unwrap_or_else(|| match answer.headers.get(http::header::CONTENT_TYPE).map(|kind| kind.as_bytes()) {
                Some(kind) if kind.starts_with(b"text/html") => String::new(),
                _ => String::from_utf8_lossy(body).into_owned(),
            });
        shortened(&self.gate.clean(&text))
    }
}

/// Digs for words: `{"error": {"message": "…"}}`, `{"detail": {"error": "…"}}`, `{"detail": "…"}`.
fn words(value: &Value, depth: u8) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) if depth < 4 => {
            ["error", "detail", "message"].iter().find_map(|name| words(fields.get(*name)?, depth + 1))
        }
        _ => None,
    }
}

fn blames_database(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "no connected db",
        "db not connected",
        "database not connected",
        "does not exist in the current database",
        "prisma",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// One line of bounded length. Clean text is cut after it was cleaned, so that no half of a
/// secret slips through.
pub(super) fn shortened(text: &Clean) -> Clean {
    let line = text.as_str().trim_start();
    let start = text.as_str().len() - line.len();
    let mut end = start + line.find('\n').unwrap_or(line.len());
    let cut = end - start > MESSAGE;
    end = end.min(start + MESSAGE);
    while !text.as_str().is_char_boundary(end) {
        end -= 1;
    }
    let short = text.slice(start..end).unwrap_or_default();
    if cut { say!("{}…", short) } else { short }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Why a request has no answer, as far as the operator's next move depends on it.
enum Cause {
    Refused,
    Timeout,
    Tls,
    Name,
    Other,
}

impl Cause {
    fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        for cause in causes(error) {
            if cause.is::<rustls::Error>() {
                return Self::Tls;
            }
            match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::ConnectionRefused) => return Self::Refused,
                Some(io::ErrorKind::TimedOut) => return Self::Timeout,
                _ => {}
            }
            // hyper-util tells a failed look-up by its words only.
            if cause.to_string().starts_with("dns error") {
                return Self::Name;
            }
        }
        Self::Other
    }
}

/// The causes of an error, outermost first. An [`io::Error`] gives its inner error, which its own
/// `source` leaves out.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause: &&'a (dyn Error + 'static)| {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => cause.source(),
        }
    })
}

/// The words of the cause that lies deepest; the outer ones repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}
