//! The cluster over kube: reading it, changing Deployments, and forwarding ports.

mod backoff;
mod connect;
mod coupled;
mod errors;
mod exec;
mod forward;
mod identity;
mod logs;
mod objects;
mod page;
mod patch;
mod pods;
mod record;
mod references;
mod releases;
mod salt;
mod slim;
mod template;
mod trial;
mod watch;
mod workload;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

pub use connect::{ConnectOptions, Plugin};
pub use forward::ForwardTarget;

use crate::domain::catalog::Listing;
use crate::domain::change::{Applied, Change, Cleared, Preview};
use crate::domain::cluster::{Ask, Identity, Permission, PodsItem, WorkloadRef};
use crate::domain::coupled::Coupled;
use crate::domain::incident::Goal;
use crate::domain::log::{LogItem, LogSource};
use crate::domain::name::{ContextName, Name, Uid};
use crate::domain::salt::Keys;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::{Discovered, Workload};
use crate::text::{Clean, Gate, Secret};
use crate::world::{Cluster, Feed, Reply, Workloads};

/// Permissions asked for at a time: each takes a connection, and the pods come first.
const QUESTIONS: usize = 4;

/// One cluster, one context, one namespace, fixed when it was connected. Cheap to clone.
#[derive(Clone)]
pub struct Kubernetes {
    link: Link,
    shared: Arc<Shared>,
}

struct Shared {
    context: Option<ContextName>,
    server: Clean,
    /// Which cluster the first [`Cluster::identity`] met: no act may meet another one.
    first_seen: OnceLock<Option<Uid>>,
    forwards: forward::Forwards,
    served: releases::Served,
    parking: Arc<logs::Parking>,
}

impl Kubernetes {
    /// Reads the kubeconfig, fixes context and namespace, and prepares the clients. Sends nothing
    /// to the cluster. Runs the kubeconfig's credential plugin where there is one, without a
    /// terminal; when that fails with [`TroubleKind::Unauthenticated`], [`Kubernetes::login`] on
    /// the plain terminal and a second attempt may help.
    pub async fn connect(options: ConnectOptions, gate: Gate) -> Result<Self, Trouble> {
        let connection = connect::connect(options, &gate).await?;
        let link = Link {
            requests: connection.requests,
            streams: connection.streams,
            namespace: connection.namespace,
            reader: template::Reader { gate, key: connect::random_key()? },
        };
        let shared = Shared {
            context: connection.context,
            server: connection.server,
            first_seen: OnceLock::new(),
            forwards: forward::Forwards::default(),
            served: releases::Served::default(),
            parking: Arc::default(),
        };
        Ok(Self { link, shared: Arc::new(shared) })
    }

    /// The credential plugin that [`Kubernetes::connect`] would run, where there is one. Reads the
    /// kubeconfig and runs nothing.
    pub async fn plugin(options: &ConnectOptions, gate: &Gate) -> Result<Option<Plugin>, Trouble> {
        connect::plugin(options, gate).await
    }

    /// Runs the credential plugin of the kubeconfig on this terminal, so that it can ask for a
    /// device code or a password. Call it on the plain terminal, and only when
    /// [`Kubernetes::connect`] failed with [`TroubleKind::Unauthenticated`] or went on in silence.
    pub async fn login(options: ConnectOptions, gate: &Gate) -> Result<(), Trouble> {
        connect::login(options, gate).await
    }

    /// The kubeconfig context; `None` inside a cluster.
    pub fn context(&self) -> Option<&ContextName> {
        self.shared.context.as_ref()
    }

    /// The namespace of everything that is read and changed.
    pub fn namespace(&self) -> &Name {
        &self.link.namespace
    }

    /// The API server's address.
    pub fn server(&self) -> &Clean {
        &self.shared.server
    }

    /// One value of a Kubernetes Secret, taught to the gate before it is returned. A line feed at
    /// its end, which editors leave behind, is not part of it.
    pub fn secret(&self, name: &Name, key: &str) -> Reply<Secret> {
        let (link, name, key) = (self.link.clone(), name.clone(), key.to_owned());
        async move { link.secret(&name, &key).await }.boxed()
    }

    /// Listens on a free port of 127.0.0.1, at once; each connection finds a ready pod behind the
    /// target and is copied to it. Stays open as long as this [`Kubernetes`] or a clone of it.
    /// A connection that cannot be forwarded is closed, and [`Kubernetes::forward_trouble`] says why.
    pub fn forward(&self, target: ForwardTarget) -> Result<SocketAddr, Trouble> {
        self.shared.forwards.open(&self.link, target)
    }

    /// Why the last connection to this forwarded address failed; `None` when it worked.
    pub fn forward_trouble(&self, address: SocketAddr) -> Option<Trouble> {
        self.shared.forwards.trouble(address)
    }
}

impl Cluster for Kubernetes {
    fn identity(&self) -> Reply<Identity> {
        let this = self.clone();
        async move { this.read_identity().await }.boxed()
    }

    fn permissions(&self, asks: Vec<Ask>) -> Reply<Vec<Permission>> {
        let link = self.link.clone();
        let answers = futures::stream::iter(asks).map(move |ask| link.clone().permission(ask)).buffered(QUESTIONS);
        answers.collect().map(Ok).boxed()
    }

    fn discover(&self) -> Reply<Vec<Discovered>> {
        let link = self.link.clone();
        async move { link.discover().await }.boxed()
    }

    fn workload(&self, workload: &WorkloadRef) -> Feed<Result<Box<Workload>, Trouble>> {
        workload::feed(&self.link, workload)
    }

    fn pods(&self, workload: &WorkloadRef) -> Feed<Result<PodsItem, Trouble>> {
        pods::feed(&self.link, workload)
    }

    fn coupled(&self, workload: &WorkloadRef, target: Goal) -> Reply<Coupled> {
        let (link, workload) = (self.link.clone(), workload.clone());
        async move { coupled::read(&link, &workload, target).await }.boxed()
    }

    fn salt_keys(&self, workload: &WorkloadRef, target: Goal) -> Reply<Keys> {
        let (link, workload) = (self.link.clone(), workload.clone());
        async move { coupled::keys(&link, &workload, &target).await }.boxed()
    }

    fn listing(&self, pod: &Name) -> Reply<Listing> {
        let (link, pod) = (self.link.clone(), pod.clone());
        async move { exec::listing(&link, &pod).await }.boxed()
    }

    fn logs(&self, source: &LogSource, tail: u32) -> Feed<LogItem> {
        logs::feed(&self.link, &self.shared.parking, source, tail)
    }
}

impl Workloads for Kubernetes {
    fn preview(&self, change: Change) -> Reply<Preview> {
        let link = self.link.clone();
        async move { patch::preview(&link, change).await }.boxed()
    }

    fn apply(&self, cleared: Cleared) -> Reply<Applied> {
        let this = self.clone();
        async move {
            this.same_cluster().await?;
            patch::apply(&this.link, cleared).await
        }
        .boxed()
    }
}

/// What every feed and request needs; cheap to clone.
#[derive(Clone)]
struct Link {
    /// For requests: silent servers are given up after ten seconds.
    requests: Client,
    /// For watches, logs, port-forwards and processes in pods.
    streams: Client,
    namespace: Name,
    reader: template::Reader,
}

impl Link {
    fn gate(&self) -> &Gate {
        &self.reader.gate
    }

    /// The typed API of a namespaced kind, for requests.
    fn api<K>(&self, namespace: &Name) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.requests.clone(), namespace.as_str())
    }

    /// The API of a kind without loss: what k8s-openapi does not know stays in the object.
    fn raw<K>(&self, client: &Client, namespace: &Name) -> Api<DynamicObject>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced_with(client.clone(), namespace.as_str(), &ApiResource::erase::<K>(&()))
    }

    /// One request within [`connect::READ_TIMEOUT`]; `attempt` says what it is for.
    async fn ask<T>(&self, attempt: &Clean, request: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
        self.ask_within(connect::READ_TIMEOUT, attempt, request).await
    }

    async fn ask_within<T>(
        &self,
        limit: Duration,
        attempt: &Clean,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Trouble> {
        match tokio::time::timeout(limit, request).await {
            Ok(answer) => answer.map_err(|why| errors::trouble(self.gate(), attempt, &why)),
            Err(_) => Err(errors::timed_out(attempt, limit)),
        }
    }

    /// Every object of a kind that carries these labels, page by page.
    async fn list<K>(&self, attempt: &Clean, api: &Api<K>, labels: Option<&str>) -> Result<Vec<K>, Trouble>
    where
        K: Resource + Clone + DeserializeOwned,
    {
        self.list_kept(attempt, api, labels, Some).await
    }

    /// What is to be kept of the objects of a kind that carry these labels. No more than one page
    /// of them is held whole.
    async fn list_kept<K, T>(
        &self,
        attempt: &Clean,
        api: &Api<K>,
        labels: Option<&str>,
        keep: impl Fn(K) -> Option<T>,
    ) -> Result<Vec<T>, Trouble>
    where
        K: Resource + Clone + DeserializeOwned,
    {
        let mut params = ListParams::default().limit(page::PAGE);
        params.label_selector = labels.map(ToOwned::to_owned);
        let mut all = Vec::new();
        loop {
            let page = self.ask(attempt, page::page(api, &params)).await?;
            all.extend(page.items.into_iter().flatten().filter_map(&keep));
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                return Ok(all);
            }
        }
    }

    /// The Deployment as it stands, with the whole object.
    async fn deployment(&self, workload: &WorkloadRef) -> Result<objects::Deployed, Trouble> {
        let api = self.raw::<Deployment>(&self.requests, &workload.namespace);
        let object = self.ask(&say!("read {}", workload), api.get(workload.name.as_str())).await?;
        objects::deployment(&self.reader, &object)
            .map_err(|why| Trouble::new(TroubleKind::Invalid, say!("{} cannot be used: {}", workload, why)))
    }

    /// The ReplicaSets that this Deployment controls.
    async fn replica_sets(
        &self,
        workload: &WorkloadRef,
        deployed: &objects::Deployed,
    ) -> Result<Vec<objects::Replicas>, Trouble> {
        let api = self.raw::<ReplicaSet>(&self.requests, &workload.namespace);
        let attempt = say!("list the ReplicaSets of {}", workload);
        let all = self.list(&attempt, &api, Some(&deployed.selector)).await?;
        let read = all.iter().filter_map(|object| objects::replica_set(&self.reader, object));
        Ok(read.filter(|set| set.owner.as_deref() == Some(deployed.uid.as_str())).collect())
    }

    async fn discover(&self) -> Result<Vec<Discovered>, Trouble> {
        let api = self.raw::<Deployment>(&self.requests, &self.namespace);
        let attempt = say!("list the Deployments of namespace {}", self.namespace);
        self.list_kept(&attempt, &api, None, |object| workload::discovered(self, &object)).await
    }

    async fn secret(&self, name: &Name, key: &str) -> Result<Secret, Trouble> {
        let api: Api<core::Secret> = self.api(&self.namespace);
        let secret = self.ask(&say!("read secret/{}", name), api.get(name.as_str())).await?;
        let missing = || {
            let shown = self.gate().clean(key);
            Trouble::new(TroubleKind::NotFound, say!("secret/{} has no key {}", name, shown)).remedy(say!(
                "name one that `kubectl -n {} describe secret {}` lists",
                self.namespace,
                name
            ))
        };
        let data = secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(missing)?;
        let text = std::str::from_utf8(&data.0).map_err(|_| {
            let shown = self.gate().clean(key);
            Trouble::new(TroubleKind::Invalid, say!("key {} of secret/{} is not text", shown, name))
        })?;
        let secret = Secret::new(text.trim_end_matches(['\n', '\r']));
        self.gate().learn(&secret);
        Ok(secret)
    }
}
