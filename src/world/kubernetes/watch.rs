//! List, then watch, for as long as somebody listens: the one loop under every feed of objects.
//!
//! kube's own watcher is not used for three reasons seen in its version 5.0.0: it waits without
//! end for a server that accepts a list and never answers; it asks for the same expired version
//! for ever when 410 comes as the HTTP status of the watch; and it tells nobody when a watch is
//! back after a loss, so a pane would stay grey until the next change.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::stream::{BoxStream, StreamExt as _};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;

use super::backoff::Backoff;
use super::connect::READ_TIMEOUT;
use super::page::{PAGE, Page, page};
use super::{Link, errors};
use crate::domain::cluster::WorkloadRef;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// How long one watch request lasts at least. A connection that died without a word is noticed
/// soon after this.
const WATCH_SECONDS: u32 = 60;
/// How much longer it may last: watches that were opened together do not all come back together.
const SPREAD: u32 = 15;
/// How much longer than that a silence may be.
const MARGIN: Duration = Duration::from_secs(5);
/// A watch that ends sooner than this is not asked for again at once.
const TOO_SHORT: Duration = Duration::from_secs(1);

/// What a watch saw.
#[derive(Debug)]
pub(super) enum Seen<T> {
    /// A list goes on, with so many objects kept so far.
    Listing(usize),
    /// Everything that there is; what is not in it is gone.
    Listed(Vec<T>),
    /// New or changed.
    Changed(T),
    /// Gone.
    Gone(T),
    /// Reported as lost before, and back now; nothing was missed.
    Back,
}

/// What to watch, and how to keep only what is needed of each object.
pub(super) struct Watch<K, T> {
    /// The API over the client with time limits.
    pub(super) requests: Api<K>,
    /// The API over the client without.
    pub(super) streams: Api<K>,
    /// `key=value,…`
    pub(super) labels: Option<String>,
    /// `metadata.name=…`
    pub(super) fields: Option<String>,
    /// For the words of a failure: `watch the pods of deployment/litellm`.
    pub(super) attempt: Clean,
    /// For what servers say.
    pub(super) gate: Gate,
    /// Keeps what is needed; `None` drops the object. Called at once, so that ten thousand
    /// objects are never held whole.
    pub(super) keep: Box<dyn Fn(K) -> Option<T> + Send + Sync>,
}

impl Link {
    /// The Deployment alone.
    pub(super) fn watch_deployment<T: Send + 'static>(
        &self,
        workload: &WorkloadRef,
        keep: impl Fn(DynamicObject) -> Option<T> + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<Seen<T>, Trouble>> {
        Watch {
            requests: self.raw::<Deployment>(&self.requests, &workload.namespace),
            streams: self.raw::<Deployment>(&self.streams, &workload.namespace),
            labels: None,
            fields: Some(format!("metadata.name={}", workload.name)),
            attempt: say!("watch {}", workload),
            gate: self.gate().clone(),
            keep: Box::new(keep),
        }
        .stream()
    }

    /// The ReplicaSets that a Deployment's selector matches, its own or not.
    pub(super) fn watch_replica_sets<T: Send + 'static>(
        &self,
        workload: &WorkloadRef,
        selector: &str,
        keep: impl Fn(DynamicObject) -> Option<T> + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<Seen<T>, Trouble>> {
        Watch {
            requests: self.raw::<ReplicaSet>(&self.requests, &workload.namespace),
            streams: self.raw::<ReplicaSet>(&self.streams, &workload.namespace),
            labels: Some(selector.to_owned()),
            fields: None,
            attempt: say!("watch the ReplicaSets of {}", workload),
            gate: self.gate().clone(),
            keep: Box::new(keep),
        }
        .stream()
    }
}

enum State<K, T> {
    Unlisted,
    /// What is kept of the pages so far, and where the next one begins.
    Listing {
        kept: Vec<T>,
        next: Option<String>,
    },
    Listed {
        version: String,
    },
    Watching {
        version: String,
        stream: BoxStream<'static, kube::Result<WatchEvent<K>>>,
        since: Instant,
    },
}

struct Loop<K, T> {
    watch: Watch<K, T>,
    state: State<K, T>,
    backoff: Backoff,
    wait: Option<Duration>,
    lost: bool,
}

impl<K, T> Watch<K, T>
where
    K: Clone + DeserializeOwned + Debug + kube::ResourceExt + Send + 'static,
    T: Send + 'static,
{
    /// The endless stream. An error is reported once for each loss.
    pub(super) fn stream(self) -> BoxStream<'static, Result<Seen<T>, Trouble>> {
        let start = Loop { watch: self, state: State::Unlisted, backoff: Backoff::default(), wait: None, lost: false };
        futures::stream::unfold(start, |mut this| async move {
            let seen = this.next().await;
            Some((seen, this))
        })
        .boxed()
    }

    async fn page(&self, next: Option<String>) -> Result<Page<K>, Failure> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector.clone_from(&self.labels);
        params.field_selector.clone_from(&self.fields);
        params.continue_token = next;
        limited(page(&self.requests, &params)).await
    }

    async fn open(&self, version: &str) -> Result<BoxStream<'static, kube::Result<WatchEvent<K>>>, Failure> {
        let mut params = WatchParams::default().timeout(WATCH_SECONDS + fastrand::u32(..=SPREAD));
        params.label_selector.clone_from(&self.labels);
        params.field_selector.clone_from(&self.fields);
        Ok(limited(self.streams.watch(&params, version)).await?.boxed())
    }
}

impl<K, T> Loop<K, T>
where
    K: Clone + DeserializeOwned + Debug + kube::ResourceExt + Send + 'static,
    T: Send + 'static,
{
    async fn next(&mut self) -> Result<Seen<T>, Trouble> {
        loop {
            if let Some(wait) = self.wait.take() {
                tokio::time::sleep(wait).await;
            }
            match self.step().await {
                Ok(Some(seen)) => return Ok(seen),
                Ok(None) => {}
                Err(failure) => {
                    if let Some(trouble) = self.fail(&failure) {
                        return Err(trouble);
                    }
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Seen<T>>, Failure> {
        match std::mem::replace(&mut self.state, State::Unlisted) {
            State::Unlisted => {
                self.state = State::Listing { kept: Vec::new(), next: None };
                Ok(None)
            }
            // A page that fails begins the list anew: its token may be what was wrong.
            State::Listing { mut kept, next } => {
                let page = self.watch.page(next).await?;
                kept.extend(page.items.into_iter().flatten().filter_map(&self.watch.keep));
                let next = page.metadata.continue_.filter(|token| !token.is_empty());
                if next.is_some() {
                    let count = kept.len();
                    self.state = State::Listing { kept, next };
                    return Ok(Some(Seen::Listing(count)));
                }
                self.state = State::Listed { version: page.metadata.resource_version.unwrap_or_default() };
                self.lost = false;
                Ok(Some(Seen::Listed(kept)))
            }
            State::Listed { version } => {
                let opened = self.watch.open(&version).await;
                match opened {
                    Ok(stream) => {
                        self.state = State::Watching { version, stream, since: Instant::now() };
                        Ok(std::mem::take(&mut self.lost).then_some(Seen::Back))
                    }
                    Err(failure) => {
                        self.state = State::Listed { version };
                        Err(failure)
                    }
                }
            }
            State::Watching { version, mut stream, since } => {
                let silence = Duration::from_secs(u64::from(WATCH_SECONDS + SPREAD)) + MARGIN;
                match tokio::time::timeout(silence, stream.next()).await {
                    Ok(Some(Ok(event))) => self.event(event, version, stream, since),
                    Ok(Some(Err(why))) => {
                        self.state = State::Listed { version };
                        Err(Failure::Api(why))
                    }
                    Ok(None) | Err(_) => {
                        if since.elapsed() < TOO_SHORT {
                            self.wait = Some(self.backoff.next(TroubleKind::Busy, None));
                        } else {
                            self.backoff.reset();
                        }
                        self.state = State::Listed { version };
                        Ok(None)
                    }
                }
            }
        }
    }

    fn event(
        &mut self,
        event: WatchEvent<K>,
        version: String,
        stream: BoxStream<'static, kube::Result<WatchEvent<K>>>,
        since: Instant,
    ) -> Result<Option<Seen<T>>, Failure> {
        let (seen, version) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = object.resource_version().unwrap_or(version);
                ((self.watch.keep)(object).map(Seen::Changed), version)
            }
            WatchEvent::Deleted(object) => {
                let version = object.resource_version().unwrap_or(version);
                ((self.watch.keep)(object).map(Seen::Gone), version)
            }
            WatchEvent::Bookmark(bookmark) => (None, bookmark.metadata.resource_version),
            WatchEvent::Error(status) => {
                self.state = State::Listed { version };
                return Err(Failure::Api(kube::Error::Api(status)));
            }
        };
        self.backoff.reset();
        self.state = State::Watching { version, stream, since };
        Ok(seen)
    }

    /// Decides how to go on; the trouble is for the first failure of a loss only. An expired
    /// version is no loss: the next thing is a fresh list.
    fn fail(&mut self, failure: &Failure) -> Option<Trouble> {
        let expired = matches!(failure, Failure::Api(why) if errors::code(why) == Some(410));
        if expired {
            self.state = State::Unlisted;
            self.wait = (self.backoff.attempts() > 0).then(|| self.backoff.next(TroubleKind::Busy, None));
            self.backoff.count();
            return None;
        }
        let trouble = match failure {
            Failure::Api(why) => errors::trouble(&self.watch.gate, &self.watch.attempt, why),
            Failure::TimedOut => errors::timed_out(&self.watch.attempt, READ_TIMEOUT),
        };
        let asked = match failure {
            Failure::Api(why) => errors::retry_after(why),
            Failure::TimedOut => None,
        };
        self.wait = Some(self.backoff.next(trouble.kind, asked));
        (!std::mem::replace(&mut self.lost, true)).then_some(trouble)
    }
}

enum Failure {
    Api(kube::Error),
    TimedOut,
}

async fn limited<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(READ_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(Failure::Api),
        Err(_) => Err(Failure::TimedOut),
    }
}
