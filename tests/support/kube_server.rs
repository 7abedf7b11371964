//! An HTTP server that replays the Kubernetes protocol on loopback, faults included.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[path = "flow.rs"]
mod flow;

#[allow(unused_imports, reason = "only some tests flood")]
pub use flow::Flow;

/// What a request gets instead of its answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This HTTP status, with a `Status` object; seconds to wait where they are given.
    Status(u16, Option<u32>),
    /// What priority and fairness answers: 429 in plain words, the rest in a header.
    Limited,
    /// No answer at all.
    Hang,
    /// The request is carried out, and the connection breaks in the middle of the answer.
    BreakAnswer,
    /// A watch begins and says at once that its version expired.
    ExpiredInWatch,
    /// Another change comes first: the generation has moved when the request arrives.
    MoveFirst,
}

struct Planned {
    method: &'static str,
    part: String,
    times: usize,
    fault: Fault,
}

/// One container's log, and how its streams behave.
#[derive(Clone, Default)]
pub struct Log {
    /// Lines with their times.
    pub lines: Vec<(Timestamp, String)>,
    /// The container ended: a followed stream ends after the last line.
    pub ended: bool,
    /// Each stream breaks after this many lines, in the middle of the next one.
    pub cut_after: Option<usize>,
    /// Streams of an earlier epoch stay open and bring nothing any more.
    pub epoch: u32,
    /// What a stream that asks from a time on begins with: the rest of a line that began before.
    pub rest: Option<String>,
    /// What the node says without a time when the lines are over; the stream ends then.
    pub remark: Option<String>,
    /// These bytes are the log, before the lines.
    pub raw: Vec<u8>,
}

/// What there is to run in a container.
#[derive(Clone)]
pub enum Exec {
    /// The command itself, by the `python3` of this machine with the packages of this folder; only
    /// the program of this name is there.
    Runs(&'static str, PathBuf),
    /// Whatever is run prints this, complains so, and fails for this reason.
    Says(String, String, Option<&'static str>),
}

#[derive(Default)]
struct Store {
    version: u64,
    /// By resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    /// Version, type, resource, namespace, object.
    events: Vec<(u64, &'static str, String, String, Value)>,
    faults: Vec<Planned>,
    requests: Vec<(String, String)>,
    denied: BTreeSet<(String, String, String)>,
    logs: BTreeMap<(String, String, bool), Log>,
    /// By pod and container.
    flows: BTreeMap<(String, String), Flow>,
    /// By pod and container.
    execs: BTreeMap<(String, String), Exec>,
    /// Who brings no token is let in.
    open: bool,
}

struct Shared {
    store: Mutex<Store>,
    /// Changes with every change of the store.
    changed: watch::Sender<u64>,
    /// Changes when every open stream is to break.
    cut: watch::Sender<u64>,
}

/// The server; stops when it is dropped.
pub struct KubeServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for KubeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KubeServer {
    pub async fn start() -> Self {
        Self::start_on(0).await
    }

    /// On this port of this machine, again if it was there before; 0 is any that is free.
    pub async fn start_on(port: u16) -> Self {
        let shared = Arc::new(Shared {
            store: Mutex::new(Store { version: 100, ..Store::default() }),
            changed: watch::Sender::new(0),
            cut: watch::Sender::new(0),
        });
        let state = Arc::clone(&shared);
        let app = axum::Router::new().fallback(move |request: Request<Body>| answer(Arc::clone(&state), request));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            axum::serve(listener.tap_io(|stream| stream.set_nodelay(true).unwrap()), app).await.unwrap()
        });
        let server = Self { address, shared, task };
        for name in ["kube-system", "llm"] {
            server.put("namespaces", "", json!({"metadata": {"name": name}}));
        }
        server
    }

    /// A kubeconfig for this user, whose token is `<user>-bearer-token`.
    pub fn kubeconfig(&self, folder: &Path, user: &str) -> PathBuf {
        let path = folder.join(format!("{user}.yaml"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: replay\n\
             clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\n\
             users: [{{name: u, user: {{token: {user}-bearer-token}}}}]\n\
             contexts: [{{name: replay, context: {{cluster: c, user: u, namespace: llm}}}}]\n",
            self.address
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Stores an object as it is.
    pub fn put(&self, resource: &str, namespace: &str, object: Value) -> Value {
        let mut store = self.shared.store.lock().unwrap();
        let stored = store.put(resource, namespace, object);
        drop(store);
        self.tell();
        stored
    }

    /// Stores objects that were there before anybody watched: no event tells of them.
    pub fn fill(&self, resource: &str, namespace: &str, objects: impl IntoIterator<Item = Value>) {
        let mut store = self.shared.store.lock().unwrap();
        for object in objects {
            store.put(resource, namespace, object);
            store.events.pop();
        }
    }

    fn tell(&self) {
        self.shared.changed.send_modify(|n| *n += 1);
    }

    /// The next `times` requests of this method whose path and query contain `part` get this.
    pub fn plan(&self, method: &'static str, part: &str, times: usize, fault: Fault) {
        let planned = Planned { method, part: part.to_owned(), times, fault };
        self.shared.store.lock().unwrap().faults.push(planned);
    }

    /// Takes a right away from a user.
    pub fn deny(&self, user: &str, verb: &str, resource: &str) {
        let right = (user.to_owned(), verb.to_owned(), resource.to_owned());
        self.shared.store.lock().unwrap().denied.insert(right);
    }

    /// Lets in who brings no token: kubectl sends none over plain HTTP.
    pub fn open_to_anybody(&self) {
        self.shared.store.lock().unwrap().open = true;
    }

    /// Breaks every open watch and log stream.
    pub fn cut_streams(&self) {
        self.shared.cut.send_modify(|n| *n += 1);
    }

    /// Requests so far: method, path with query.
    pub fn requests(&self, method: &str, part: &str) -> Vec<String> {
        let store = self.shared.store.lock().unwrap();
        let found = store.requests.iter().filter(|(m, path)| m == method && path.contains(part));
        found.map(|(_, path)| path.clone()).collect()
    }

    /// What there is to run in a container.
    pub fn runs(&self, pod: &str, container: &str, exec: Exec) {
        self.shared.store.lock().unwrap().execs.insert((pod.to_owned(), container.to_owned()), exec);
    }

    /// A container's log is this flow.
    pub fn flow(&self, pod: &str, container: &str, flow: Flow) {
        self.shared.store.lock().unwrap().flows.insert((pod.to_owned(), container.to_owned()), flow);
    }

    /// Changes a container's log.
    pub fn log(&self, pod: &str, container: &str, previous: bool, change: impl FnOnce(&mut Log)) {
        let mut store = self.shared.store.lock().unwrap();
        change(store.logs.entry((pod.to_owned(), container.to_owned(), previous)).or_default());
        drop(store);
        self.tell();
    }
}

impl Store {
    fn put(&mut self, resource: &str, namespace: &str, mut object: Value) -> Value {
        self.version += 1;
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (resource.to_owned(), namespace.to_owned(), name.clone());
        let before = self.objects.get(&key).cloned();
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.version.to_string());
        match &before {
            None => {
                if metadata["uid"].is_null() {
                    metadata["uid"] = json!(format!("uid-{resource}-{name}-{}", self.version));
                }
                metadata["creationTimestamp"] = json!("2026-11-20T10:00:00Z");
                if !namespace.is_empty() {
                    metadata["namespace"] = json!(namespace);
                }
                if metadata["generation"].is_null() {
                    metadata["generation"] = json!(1);
                }
            }
            Some(before) => {
                metadata["uid"] = before["metadata"]["uid"].clone();
                metadata["creationTimestamp"] = before["metadata"]["creationTimestamp"].clone();
                let generation = before["metadata"]["generation"].as_i64().unwrap_or(1);
                let moved = i64::from(before["spec"] != object["spec"]);
                object["metadata"]["generation"] = json!(generation + moved);
            }
        }
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.events.push((self.version, kind, resource.to_owned(), namespace.to_owned(), object.clone()));
        self.objects.insert(key, object.clone());
        object
    }

    /// Somebody else changes the template.
    fn move_on(&mut self, at: &Target) {
        let key = (at.resource.clone(), at.namespace.clone(), at.name.clone().unwrap());
        let mut object = self.objects[&key].clone();
        object["spec"]["template"]["metadata"]["labels"]["moved"] = json!("yes");
        self.put(&at.resource, &at.namespace, object);
    }

    fn fault(&mut self, method: &Method, path: &str) -> Option<Fault> {
        let planned =
            self.faults.iter_mut().find(|p| p.times > 0 && p.method == method.as_str() && path.contains(&p.part))?;
        planned.times -= 1;
        Some(planned.fault.clone())
    }
}

/// A parsed request path.
#[derive(Debug, Default)]
struct Target {
    namespace: String,
    resource: String,
    name: Option<String>,
    subresource: Option<String>,
}

fn target(path: &str) -> Target {
    let mut parts = path.trim_matches('/').split('/').peekable();
    match parts.next() {
        Some("apis") => {
            parts.next();
            parts.next();
        }
        _ => {
            parts.next();
        }
    }
    let rest: Vec<&str> = parts.collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => ((*namespace).to_owned(), rest),
        rest => (String::new(), rest),
    };
    let part = |i: usize| rest.get(i).map(|part| (*part).to_owned());
    Target { namespace, resource: part(0).unwrap_or_default(), name: part(1), subresource: part(2) }
}

fn query(request: &Request<Body>) -> BTreeMap<String, String> {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn failure(code: u16, reason: &str, message: &str, retry: Option<u32>) -> Response {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    if let Some(seconds) = retry {
        status["details"] = json!({"retryAfterSeconds": seconds});
    }
    (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
}

async fn answer(shared: Arc<Shared>, request: Request<Body>) -> Response {
    let path = request.uri().path_and_query().unwrap().to_string();
    let fault = {
        let mut store = shared.store.lock().unwrap();
        store.requests.push((request.method().to_string(), path.clone()));
        store.fault(request.method(), &path)
    };
    match fault {
        None => carry_out(&shared, request).await,
        Some(Fault::Status(code, retry)) => failure(code, "Planned", "a planned refusal", retry),
        Some(Fault::Limited) => {
            let words = "Too many requests, please try again later.\n";
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], words).into_response()
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::ExpiredInWatch) => {
            let status =
                json!({"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"});
            (StatusCode::OK, format!("{}\n", json!({"type": "ERROR", "object": status}))).into_response()
        }
        Some(Fault::MoveFirst) => {
            shared.store.lock().unwrap().move_on(&target(request.uri().path()));
            carry_out(&shared, request).await
        }
        Some(Fault::BreakAnswer) => {
            carry_out(&shared, request).await;
            let pieces = [Ok(Bytes::from_static(b"{\"kind\":")), Err(std::io::Error::other("broken"))];
            Response::new(Body::from_stream(futures::stream::iter(pieces)))
        }
    }
}

async fn carry_out(shared: &Arc<Shared>, request: Request<Body>) -> Response {
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let user = match token.strip_prefix("Bearer ").and_then(|token| token.strip_suffix("-bearer-token")) {
        Some(user) => user.to_owned(),
        None if shared.store.lock().unwrap().open => "anybody".to_owned(),
        None => return failure(401, "Unauthorized", "Unauthorized", None),
    };
    let at = target(request.uri().path());
    let asked = query(&request);
    if request.uri().path() == "/version" {
        let words = ["gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];
        let mut version = json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0-replay"});
        words.iter().for_each(|word| version[*word] = json!(""));
        return axum::Json(version).into_response();
    }
    if let Some(found) = discovery(request.uri().path()) {
        return axum::Json(found).into_response();
    }
    match at.resource.as_str() {
        "selfsubjectreviews" => {
            return axum::Json(json!({"metadata": {}, "status": {"userInfo": {"username": user}}})).into_response();
        }
        "selfsubjectaccessreviews" => return access_review(shared, &user, request).await,
        _ => {}
    }
    let verb = verb(request.method(), &at, &asked);
    let resource = at.subresource.as_ref().map_or(at.resource.clone(), |sub| format!("{}/{sub}", at.resource));
    if shared.store.lock().unwrap().denied.contains(&(user.clone(), verb.to_owned(), resource.clone())) {
        return failure(403, "Forbidden", &format!("{resource} is forbidden: User \"{user}\" cannot {verb}"), None);
    }
    match (verb, at.subresource.as_deref()) {
        ("get", Some("log")) => log(shared, &at, &asked),
        ("get", Some("exec")) => exec(shared, &at, request).await,
        ("get", Some("portforward")) => portforward(request, &asked).await,
        ("watch", _) => watch_objects(shared, &at, &asked),
        ("list", _) => {
            let accept = request.headers().get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            list(shared, &at, &asked, accept.contains("as=Table"))
        }
        ("get", _) => get(shared, &at),
        ("create" | "patch" | "delete", _) => write(shared, verb, &at, &asked, request).await,
        _ => failure(405, "MethodNotAllowed", "not replayed", None),
    }
}

/// What kubectl asks for before it asks for pods.
fn discovery(path: &str) -> Option<Value> {
    let resource = |name: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": "Pod", "verbs": ["get", "list", "watch"]});
    match path {
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
        "/api/v1" => Some(json!({
            "kind": "APIResourceList", "groupVersion": "v1", "resources": [resource("pods"), resource("pods/log")],
        })),
        _ => None,
    }
}

fn verb(method: &Method, at: &Target, asked: &BTreeMap<String, String>) -> &'static str {
    match (method.as_str(), &at.name) {
        ("GET", Some(_)) => "get",
        ("GET", None) if asked.contains_key("watch") => "watch",
        ("GET", None) => "list",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        _ => "",
    }
}

async fn access_review(shared: &Shared, user: &str, request: Request<Body>) -> Response {
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let mut review: Value = serde_json::from_slice(&body).unwrap();
    let asked = review["spec"]["resourceAttributes"].clone();
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let sub = text("subresource");
    let resource = if sub.is_empty() { text("resource") } else { format!("{}/{sub}", text("resource")) };
    let denied = shared.store.lock().unwrap().denied.contains(&(user.to_owned(), text("verb"), resource));
    let reason = if denied { "" } else { "RBAC: allowed by a replayed role" };
    review["status"] = json!({"allowed": !denied, "reason": reason});
    axum::Json(review).into_response()
}

fn selected(object: &Value, asked: &BTreeMap<String, String>) -> bool {
    let labels = asked.get("labelSelector").map(String::as_str).unwrap_or_default();
    let by_label = labels.split(',').filter(|pair| !pair.is_empty()).all(|pair| {
        let (key, value) = pair.split_once('=').unwrap();
        object["metadata"]["labels"][key] == value
    });
    let by_name = asked
        .get("fieldSelector")
        .and_then(|fields| fields.strip_prefix("metadata.name="))
        .is_none_or(|name| object["metadata"]["name"] == name);
    by_label && by_name
}

/// A list of objects that are not copied for it: there may be thousands.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Value,
    items: Vec<&'a Value>,
}

fn list(shared: &Shared, at: &Target, asked: &BTreeMap<String, String>, as_table: bool) -> Response {
    let store = shared.store.lock().unwrap();
    let all: Vec<&Value> = store
        .objects
        .iter()
        .filter(|((resource, namespace, _), _)| *resource == at.resource && *namespace == at.namespace)
        .map(|(_, object)| object)
        .filter(|object| selected(object, asked))
        .collect();
    let from: usize = asked.get("continue").map_or(0, |token| token.parse().unwrap());
    let limit: usize = asked.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    let page: Vec<&Value> = all.iter().skip(from).take(limit).copied().collect();
    let mut metadata = json!({"resourceVersion": store.version.to_string()});
    if from + page.len() < all.len() {
        metadata["continue"] = json!((from + page.len()).to_string());
    }
    if as_table {
        return axum::Json(table(&page, &metadata)).into_response();
    }
    let kind = if at.resource == "pods" { "PodList" } else { "List" };
    axum::Json(List { kind, api_version: "v1", metadata, items: page }).into_response()
}

/// Objects as lines of a table (`meta.k8s.io/v1`, kind `Table`), with the first columns that pods have.
fn table(objects: &[&Value], metadata: &Value) -> Value {
    let column = |name: &str| json!({"name": name, "type": "string", "format": "", "description": "", "priority": 0});
    let columns = ["Name", "Ready", "Status", "Restarts", "Age"].map(column);
    let row = |object: &&Value| {
        let name = object["metadata"]["name"].clone();
        let phase = object["status"]["phase"].clone();
        json!({"cells": [name, "1/1", phase, "0", "6d"], "object": {"metadata": object["metadata"]}})
    };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": columns,
        "rows": objects.iter().map(row).collect::<Vec<_>>(),
    })
}

fn get(shared: &Shared, at: &Target) -> Response {
    let store = shared.store.lock().unwrap();
    let name = at.name.clone().unwrap();
    match store.objects.get(&(at.resource.clone(), at.namespace.clone(), name.clone())) {
        Some(object) => axum::Json(object).into_response(),
        None => failure(404, "NotFound", &format!("{} \"{name}\" not found", at.resource), None),
    }
}

async fn write(
    shared: &Shared,
    verb: &str,
    at: &Target,
    asked: &BTreeMap<String, String>,
    request: Request<Body>,
) -> Response {
    let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let mut store = shared.store.lock().unwrap();
    let response = match verb {
        "create" => {
            let object: Value = serde_json::from_slice(&body).unwrap();
            let mut created = object;
            created["metadata"].as_object_mut().unwrap().remove("uid");
            axum::Json(store.put(&at.resource, &at.namespace, created)).into_response()
        }
        "delete" => {
            let key = (at.resource.clone(), at.namespace.clone(), at.name.clone().unwrap());
            let Some(mut object) = store.objects.remove(&key) else {
                return failure(404, "NotFound", "not found", None);
            };
            store.version += 1;
            let version = store.version;
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            store.events.push((version, "DELETED", at.resource.clone(), at.namespace.clone(), object.clone()));
            axum::Json(object).into_response()
        }
        _ => patch(&mut store, at, asked, &kind, &body),
    };
    drop(store);
    shared.changed.send_modify(|n| *n += 1);
    response
}

fn patch(store: &mut Store, at: &Target, asked: &BTreeMap<String, String>, kind: &str, body: &[u8]) -> Response {
    let key = (at.resource.clone(), at.namespace.clone(), at.name.clone().unwrap());
    let Some(mut object) = store.objects.get(&key).cloned() else {
        return failure(404, "NotFound", "not found", None);
    };
    if kind.contains("json-patch") {
        let operations: json_patch::Patch = serde_json::from_slice(body).unwrap();
        if json_patch::patch(&mut object, &operations).is_err() {
            // Word for word what the API server says of a failed test.
            return failure(422, "Invalid", "the server rejected our request due to an error in our request", None);
        }
    } else {
        json_patch::merge(&mut object, &serde_json::from_slice(body).unwrap());
    }
    let containers = object["spec"]["template"]["spec"]["containers"].as_array();
    if containers.is_some_and(|all| all.iter().any(|c| c["image"].as_str().unwrap_or_default().is_empty())) {
        return failure(422, "Invalid", "spec.template.spec.containers[0].image: Required value", None);
    }
    let mut response = if asked.contains_key("dryRun") {
        let moved = i64::from(store.objects[&key]["spec"] != object["spec"]);
        object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(1) + moved);
        axum::Json(object).into_response()
    } else {
        axum::Json(store.put(&at.resource, &at.namespace, object)).into_response()
    };
    if at.resource == "deployments" {
        response.headers_mut().append("warning", "299 - \"a replayed warning\"".parse().unwrap());
    }
    response
}

fn watch_objects(shared: &Arc<Shared>, at: &Target, asked: &BTreeMap<String, String>) -> Response {
    let (shared, asked) = (Arc::clone(shared), asked.clone());
    let (resource, namespace) = (at.resource.clone(), at.namespace.clone());
    let (mut changed, mut cut) = (shared.changed.subscribe(), shared.cut.subscribe());
    // Without a version, a watch begins with what there is.
    let mut version: u64 = asked.get("resourceVersion").map_or(0, |version| version.parse().unwrap());
    let bookmarks = asked.contains_key("allowWatchBookmarks");
    let (tx, rx) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(16);
    tokio::spawn(async move {
        loop {
            let mut lines = String::new();
            {
                let store = shared.store.lock().unwrap();
                let from = version;
                for (at, kind, of, within, object) in store.events.iter().filter(|event| event.0 > from) {
                    if *of == resource && *within == namespace && selected(object, &asked) {
                        let object = if resource == "pods" { named(object) } else { object.clone() };
                        lines.push_str(&format!("{}\n", json!({"type": kind, "object": object})));
                    }
                    version = *at;
                }
            }
            let bookmark =
                json!({"apiVersion": "v1", "kind": "X", "metadata": {"resourceVersion": version.to_string()}});
            if bookmarks {
                lines.push_str(&format!("{}\n", json!({"type": "BOOKMARK", "object": bookmark})));
            }
            if tx.send(Ok(lines.into())).await.is_err() {
                return;
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = tx.closed() => return,
                _ = cut.changed() => {
                    let _ = tx.send(Err(std::io::Error::other("cut"))).await;
                    return;
                }
            }
        }
    });
    Response::new(Body::from_stream(tokio_stream(rx)))
}

/// The object with its kind, without which kubectl and its kin do not read it.
fn named(pod: &Value) -> Value {
    let mut named = pod.clone();
    (named["kind"], named["apiVersion"]) = (json!("Pod"), json!("v1"));
    named
}

fn tokio_stream<T: Send + 'static>(rx: tokio::sync::mpsc::Receiver<T>) -> impl futures::Stream<Item = T> + Send {
    futures::stream::unfold(rx, |mut rx| async move { rx.recv().await.map(|item| (item, rx)) })
}

fn log(shared: &Arc<Shared>, at: &Target, asked: &BTreeMap<String, String>) -> Response {
    let (shared, asked) = (Arc::clone(shared), asked.clone());
    let key = (at.name.clone().unwrap(), asked["container"].clone(), asked.contains_key("previous"));
    let flow = shared.store.lock().unwrap().flows.get(&(key.0.clone(), key.1.clone())).copied();
    if let Some(flow) = flow.filter(|_| !key.2) {
        return flow::answer(flow, &asked, shared.cut.subscribe());
    }
    let Some(start) = shared.store.lock().unwrap().logs.get(&key).cloned() else {
        return failure(400, "BadRequest", "previous terminated container not found", None);
    };
    // The API server keeps whole seconds of what it is asked.
    let since = asked.get("sinceTime").map(|time| {
        let time: Timestamp = time.parse().unwrap();
        Timestamp::from_second(time.as_second()).unwrap()
    });
    let tail = asked.get("tailLines").map_or(usize::MAX, |tail| tail.parse().unwrap());
    let (mut changed, mut cut) = (shared.changed.subscribe(), shared.cut.subscribe());
    let mut next = start.lines.len().saturating_sub(tail);
    let follow = asked.contains_key("follow");
    let (tx, rx) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(16);
    tokio::spawn(async move {
        let mut sent = 0;
        if !start.raw.is_empty() && tx.send(Ok(start.raw.clone().into())).await.is_err() {
            return;
        }
        if let Some(rest) = start.rest.clone().filter(|_| since.is_some()) {
            drop(tx.send(Ok(format!("{rest}\n").into())).await);
        }
        loop {
            let mut text = String::new();
            let mut broken = false;
            let ended = {
                let store = shared.store.lock().unwrap();
                let log = &store.logs[&key];
                while let Some((at, line)) = log.lines.get(next).filter(|_| log.epoch == start.epoch) {
                    if log.cut_after == Some(sent) {
                        text.push_str(&at.to_string());
                        broken = true;
                        break;
                    }
                    next += 1;
                    if since.is_none_or(|since| *at >= since) {
                        text.push_str(&format!("{at:.9} {line}\n"));
                        sent += 1;
                    }
                }
                if let Some(remark) = &log.remark {
                    text.push_str(&format!("{remark}\n"));
                }
                log.ended || !follow || log.remark.is_some()
            };
            if !text.is_empty() && tx.send(Ok(text.into())).await.is_err() {
                return;
            }
            if broken {
                wait_until_flushed().await;
                let _ = tx.send(Err(std::io::Error::other("cut"))).await;
            }
            if broken || ended {
                return;
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = tx.closed() => return,
                _ = cut.changed() => {
                    let _ = tx.send(Err(std::io::Error::other("cut"))).await;
                    return;
                }
            }
        }
    });
    Response::new(Body::from_stream(tokio_stream(rx)))
}

/// An answer that breaks takes along what is still in the server's buffers.
async fn wait_until_flushed() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Runs a command as the kubelet does, over a WebSocket of channels (`v5.channel.k8s.io`).
async fn exec(shared: &Arc<Shared>, at: &Target, request: Request<Body>) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let of = |key: &str| pairs.iter().filter(|(k, _)| k == key).map(|(_, value)| value.clone()).collect::<Vec<_>>();
    let (command, container) = (of("command"), of("container").concat());
    let key = (at.name.clone().unwrap(), container);
    let Some(exec) = shared.store.lock().unwrap().execs.get(&key).cloned() else {
        return failure(404, "NotFound", "there is nothing to run in that container", None);
    };
    let (mut parts, _) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let Ok(upgrade) = upgrade else { return failure(400, "BadRequest", "not a WebSocket", None) };
    upgrade.protocols(["v5.channel.k8s.io"]).on_upgrade(move |socket| ran(socket, command, exec))
}

async fn ran(mut socket: WebSocket, command: Vec<String>, exec: Exec) {
    let (out, err, failed) = match exec {
        Exec::Says(out, err, failed) => (out.into_bytes(), err.into_bytes(), failed.map(str::to_owned)),
        Exec::Runs(program, _) if command[0] != program => {
            let why = format!("exec: \"{}\": executable file not found in $PATH", command[0]);
            (Vec::new(), Vec::new(), Some(why))
        }
        Exec::Runs(_, packages) => {
            // The console's own working folder is no part of the pod; its interpreter stands for the
            // pod's, whatever that is called there.
            let mut run = tokio::process::Command::new("python3");
            run.args(&command[1..]).current_dir("/").env("PYTHONPATH", packages);
            let output = run.output().await.unwrap();
            let code = output.status.code().unwrap();
            let failed = (code != 0).then(|| format!("command terminated with non-zero exit code: {code}"));
            (output.stdout, output.stderr, failed)
        }
    };
    let status = match failed {
        None => json!({"metadata": {}, "status": "Success"}),
        Some(why) => {
            json!({"metadata": {}, "status": "Failure", "message": why, "reason": "InternalError", "code": 500})
        }
    };
    for (channel, bytes) in [(1, out), (2, err), (3, status.to_string().into_bytes())] {
        for part in bytes.chunks(32 * 1024) {
            let message = [&[channel], part].concat();
            if socket.send(Message::Binary(message.into())).await.is_err() {
                return;
            }
        }
    }
    let _ = socket.send(Message::Close(None)).await;
    while socket.recv().await.is_some_and(|message| message.is_ok()) {}
}

/// A pod's port is the same port of this machine.
async fn portforward(request: Request<Body>, asked: &BTreeMap<String, String>) -> Response {
    let port: u16 = asked["ports"].parse().unwrap();
    let (mut parts, _) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let Ok(upgrade) = upgrade else { return failure(400, "BadRequest", "not a WebSocket", None) };
    upgrade.protocols(["v4.channel.k8s.io"]).on_upgrade(move |socket| copy(socket, port))
}

async fn copy(mut socket: WebSocket, port: u16) {
    let [low, high] = port.to_le_bytes();
    for channel in [0, 1] {
        socket.send(Message::Binary(Bytes::from(vec![channel, low, high]))).await.unwrap();
    }
    let mut pod = match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(pod) => pod,
        Err(why) => {
            let mut words = vec![1];
            words.extend(format!("connection refused by the pod: {why}").into_bytes());
            let _ = socket.send(Message::Binary(words.into())).await;
            return;
        }
    };
    let mut buffer = vec![0; 4096];
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&0) => pod.write_all(&bytes[1..]).await.unwrap(),
                Some(Ok(_)) => {}
                _ => return,
            },
            read = pod.read(&mut buffer) => match read {
                Ok(count) if count > 0 => {
                    let mut bytes = vec![0];
                    bytes.extend(&buffer[..count]);
                    if socket.send(Message::Binary(bytes.into())).await.is_err() { return }
                }
                _ => {
                    let _ = socket.send(Message::Close(None)).await;
                    while socket.recv().await.is_some_and(|message| message.is_ok()) {}
                    return;
                }
            },
        }
    }
}

/// Polls until something holds; says what it waited for when it never does.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited ten seconds for: {what}");
}
