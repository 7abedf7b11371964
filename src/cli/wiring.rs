//! From an environment of the configuration to the ports of a live world. Nothing here falls back
//! to the sandbox; a part that is missing says so and leaves the others alone.

mod login;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use url::Url;

use crate::cli::config_file::Chosen;
use crate::cli::init::FoundWorkload;
use crate::cli::secret::{self, resolve_path};
use crate::domain::cluster::WorkloadRef;
use crate::domain::database_url::DatabaseUrl;
use crate::domain::environment::{ClusterConfig, Environment, ForwardTarget, GatewayConfig, SecretSource, StoreConfig};
use crate::domain::name::{DataKey, Name};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::Discovered;
use crate::runtime::screen::ErrandSender;
use crate::text::{Clean, Gate, Secret};
use crate::world::deferred::Deferred;
use crate::world::helm::Helm;
use crate::world::kubernetes::{ConnectOptions, ForwardTarget as KubeTarget, Kubernetes, Plugin};
use crate::world::litellm::LiteLlm;
use crate::world::pg_dump::PgDump;
use crate::world::postgres::Postgres;
use crate::world::redis::Redis;
use crate::world::{Cluster, Part, Releases, Reply, Workloads, World, missing};

/// How long the discovery of workloads may take.
const DISCOVERY: Duration = Duration::from_secs(10);

/// A live world and what is known of it before anything was asked.
pub struct Live {
    /// The ports.
    pub world: World,
    /// The Deployments, in the order in which a plan reverts them.
    pub workloads: Vec<WorkloadRef>,
    /// Where the database is, for people.
    pub database: Option<Clean>,
    /// Where the gateway is, for people.
    pub gateway: Option<Clean>,
}

/// Where secrets come from: this process's environment, files, and the cluster.
#[derive(Clone)]
struct Secrets {
    folder: PathBuf,
    gate: Gate,
    cluster: Reach,
}

/// The way to the cluster.
#[derive(Clone)]
enum Reach {
    /// Made, or not to be had.
    Made(Box<Result<Kubernetes, Trouble>>),
    /// Made beside the screen: certificates are read and a credential plugin takes its time.
    Beside(Deferred<Kubernetes>),
}

impl Reach {
    async fn cluster(&self) -> Result<Kubernetes, Trouble> {
        match self {
            Reach::Made(made) => (**made).clone(),
            Reach::Beside(beside) => beside.port().await.map(|cluster| (*cluster).clone()),
        }
    }
}

impl Secrets {
    async fn fetch(&self, what: &'static str, source: &SecretSource) -> Result<Secret, Trouble> {
        let cluster = self.cluster.clone();
        let from_cluster = move |name: Name, key: DataKey| -> Reply<Secret> {
            async move { cluster.cluster().await?.secret(&name, key.as_str()).await }.boxed()
        };
        let fetched =
            secret::fetch(what, source, &self.folder, &self.gate, |name| std::env::var_os(name), from_cluster);
        fetched.await.map(|fetched| fetched.secret)
    }
}

/// Connects to what the environment names. Over a screen, to which `errands` lead, nothing here
/// waits for anybody; without one, the credential plugin of the kubeconfig is waited for.
pub async fn open(chosen: &Chosen, errands: Option<ErrandSender>, gate: &Gate) -> Live {
    let environment = &chosen.environment;
    let interactive = errands.is_some();
    let cluster = reach(environment, chosen, errands, gate).await;
    let secrets = Secrets { folder: chosen.folder().to_owned(), gate: gate.clone(), cluster: cluster.clone() };
    let workloads = workloads(environment, &cluster, interactive).await;
    let kubeconfig = environment.cluster.as_ref().and_then(|place| place.kubeconfig.as_ref());
    let kubeconfig = kubeconfig.map(|path| resolve_path(chosen.folder(), path));
    let (reading, changing, releases): (Part<dyn Cluster>, Part<dyn Workloads>, Part<dyn Releases>) = match cluster {
        Reach::Made(made) => match *made {
            Err(why) => (Err(why.clone()), Err(why.clone()), Err(why)),
            Ok(cluster) => {
                let port = Arc::new(cluster.clone());
                (Ok(Arc::clone(&port) as _), Ok(port as _), Ok(Arc::new(Helm::new(cluster, kubeconfig)) as _))
            }
        },
        Reach::Beside(beside) => {
            let port = Arc::new(beside.clone());
            let helm = move || {
                let (beside, kubeconfig) = (beside.clone(), kubeconfig.clone());
                async move { Ok(Helm::new((*beside.port().await?).clone(), kubeconfig)) }.boxed()
            };
            (Ok(Arc::clone(&port) as _), Ok(port as _), Ok(Arc::new(Deferred::new(helm)) as _))
        }
    };
    let world = World {
        cluster: reading,
        workloads: changing,
        releases,
        database: store(environment.database.as_ref(), "database", &secrets, |store, secrets| {
            Arc::new(Deferred::new(move || postgres(store.clone(), secrets.clone()))) as _
        }),
        backup: store(environment.database.as_ref(), "database", &secrets, |store, secrets| {
            Arc::new(Deferred::new(move || pg_dump(store.clone(), secrets.clone()))) as _
        }),
        gateway: gateway(environment, &workloads, &secrets),
        cache: store(environment.cache.as_ref(), "redis", &secrets, |store, secrets| {
            Arc::new(Deferred::new(move || redis(store.clone(), secrets.clone()))) as _
        }),
        hands: None,
    };
    let database = environment.database.as_ref().map(|store| say!("the database of {}", store.source.words(gate)));
    let gateway = environment.gateway.as_ref().map(|gateway| gateway_words(gateway, gate));
    Live { world, workloads, database, gateway }
}

async fn reach(environment: &Environment, chosen: &Chosen, errands: Option<ErrandSender>, gate: &Gate) -> Reach {
    let Some(cluster) = &environment.cluster else {
        let why = Trouble::new(TroubleKind::Missing, Clean::ours("no cluster is configured for this environment"))
            .remedy(Clean::ours("name `context` and `namespace` in lastgood.toml"));
        return Reach::Made(Box::new(Err(why)));
    };
    let options = ConnectOptions {
        context: Some(cluster.context.clone()),
        namespace: Some(cluster.namespace.clone()),
        kubeconfig: cluster.kubeconfig.as_ref().map(|path| resolve_path(chosen.folder(), path)),
    };
    let Some(errands) = errands else {
        return Reach::Made(Box::new(Kubernetes::connect(options, gate.clone()).await));
    };
    match Kubernetes::plugin(&options, gate).await {
        Ok(plugin) => {
            let errands = (plugin == Some(Plugin::MayAsk)).then_some(errands);
            Reach::Beside(login::beside_the_screen(options, errands, gate.clone()))
        }
        // A kubeconfig that cannot be used says so here.
        Err(why) => Reach::Made(Box::new(Err(why))),
    }
}

/// The configured Deployments, else those that are found. The console looks for them itself, because
/// its screen waits for nobody.
async fn workloads(environment: &Environment, cluster: &Reach, interactive: bool) -> Vec<WorkloadRef> {
    if let Some(place) = environment.cluster.as_ref().filter(|_| !environment.workloads.is_empty()) {
        let reference = |name: &Name| WorkloadRef { namespace: place.namespace.clone(), name: name.clone() };
        return environment.workloads.iter().map(reference).collect();
    }
    if interactive {
        return Vec::new();
    }
    let Ok(cluster) = cluster.cluster().await else { return Vec::new() };
    discovered(&cluster).await.into_iter().map(|found| found.reference).collect()
}

/// What `init` finds in a cluster: the Deployments that look like LiteLLM, with their templates.
pub async fn found(cluster: &ClusterConfig, gate: &Gate) -> Vec<FoundWorkload> {
    let options = ConnectOptions {
        context: Some(cluster.context.clone()),
        namespace: Some(cluster.namespace.clone()),
        kubeconfig: cluster.kubeconfig.clone(),
    };
    let Ok(cluster) = Kubernetes::connect(options, gate.clone()).await else { return Vec::new() };
    let mut found = Vec::new();
    for discovered in discovered(&cluster).await {
        let seen = tokio::time::timeout(DISCOVERY, cluster.workload(&discovered.reference).next()).await;
        let template = match seen {
            Ok(Some(Ok(workload))) => Some(workload.template),
            _ => None,
        };
        found.push(FoundWorkload { discovered, template });
    }
    found
}

/// Deployments that look like LiteLLM; none when the cluster does not answer in time, which the
/// panes then say.
pub async fn discovered(cluster: &Kubernetes) -> Vec<Discovered> {
    match tokio::time::timeout(DISCOVERY, cluster.discover()).await {
        Ok(Ok(found)) => found,
        _ => Vec::new(),
    }
}

fn store<P: ?Sized>(
    store: Option<&StoreConfig>,
    what: &'static str,
    secrets: &Secrets,
    build: impl FnOnce(StoreConfig, Secrets) -> Arc<P>,
) -> Part<P> {
    match store {
        Some(store) => Ok(build(store.clone(), secrets.clone())),
        None => missing(
            say!("no {} is configured for this environment", what),
            say!("name it in lastgood.toml: {} = {{ env = \"NAME\" }}", what),
        ),
    }
}

fn postgres(store: StoreConfig, secrets: Secrets) -> BoxFuture<'static, Result<Postgres, Trouble>> {
    async move {
        let (url, via) = database(&store, &secrets).await?;
        Ok(Postgres::new(url, via, secrets.gate))
    }
    .boxed()
}

fn pg_dump(store: StoreConfig, secrets: Secrets) -> BoxFuture<'static, Result<PgDump, Trouble>> {
    async move {
        let (url, via) = database(&store, &secrets).await?;
        Ok(PgDump::new(url, via, secrets.gate))
    }
    .boxed()
}

async fn database(store: &StoreConfig, secrets: &Secrets) -> Result<(DatabaseUrl, Option<(IpAddr, u16)>), Trouble> {
    let raw = secrets.fetch("database", &store.source).await?;
    let url: DatabaseUrl = raw.expose().parse().map_err(|why: crate::domain::database_url::BadDatabaseUrl| {
        Trouble::new(TroubleKind::Invalid, say!("the database URL cannot be used: {}", why.words()))
            .remedy(Clean::ours("write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE"))
    })?;
    if !store.via_port_forward {
        return Ok((url, None));
    }
    let host = url.addresses().first().map(|address| (address.host.as_str().to_owned(), address.port));
    let address = forward(host, secrets).await?;
    Ok((url, Some((address.ip(), address.port()))))
}

/// Forwards to the Service that a host inside the cluster names (`db`, `db.ns.svc.cluster.local`).
async fn forward(host: Option<(String, u16)>, secrets: &Secrets) -> Result<SocketAddr, Trouble> {
    let bad = |host: &str| {
        Trouble::new(TroubleKind::Invalid, say!("{} names no Service of the cluster", secrets.gate.clean(host))).remedy(
            Clean::ours("with via = \"port-forward\" the URL's host is a Service, as pods of the cluster name it"),
        )
    };
    let Some((host, port)) = host else { return Err(bad("the URL")) };
    let name: Name = host.split('.').next().unwrap_or_default().parse().map_err(|_| bad(&host))?;
    secrets.cluster.cluster().await?.forward(KubeTarget::Service { name, port })
}

fn redis(store: StoreConfig, secrets: Secrets) -> BoxFuture<'static, Result<Redis, Trouble>> {
    async move {
        let raw = secrets.fetch("redis", &store.source).await?;
        if !store.via_port_forward {
            return Redis::new(raw, secrets.gate);
        }
        let mut url = Url::parse(raw.expose()).map_err(|why| {
            let why = secrets.gate.clean(&why.to_string());
            Trouble::new(TroubleKind::Invalid, say!("the Redis URL cannot be used: {}", why))
        })?;
        let host = url.host_str().map(|host| (host.to_owned(), url.port().unwrap_or(6379)));
        let address = forward(host, &secrets).await?;
        let moved = url.set_ip_host(address.ip()).and_then(|()| url.set_port(Some(address.port())));
        moved.map_err(|()| Trouble::new(TroubleKind::Invalid, Clean::ours("the Redis URL cannot be forwarded")))?;
        Redis::new(Secret::new(url.to_string()), secrets.gate).map(Redis::forwarded)
    }
    .boxed()
}

fn gateway(environment: &Environment, workloads: &[WorkloadRef], secrets: &Secrets) -> Part<dyn crate::world::Gateway> {
    let Some(gateway) = environment.gateway.clone() else {
        return missing(
            Clean::ours("no gateway is configured for this environment"),
            Clean::ours("name it in lastgood.toml: gateway = \"https://…\" or gateway = { workload = \"…\" }"),
        );
    };
    let namespace = workloads.first().map(|workload| workload.namespace.clone());
    let namespace = namespace.or_else(|| environment.cluster.as_ref().map(|cluster| cluster.namespace.clone()));
    let (secrets, key) = (secrets.clone(), environment.master_key.clone());
    Ok(Arc::new(Deferred::new(move || litellm(gateway.clone(), namespace.clone(), key.clone(), secrets.clone()))))
}

fn litellm(
    gateway: GatewayConfig,
    namespace: Option<Name>,
    key: Option<SecretSource>,
    secrets: Secrets,
) -> BoxFuture<'static, Result<LiteLlm, Trouble>> {
    async move {
        let base = match gateway {
            GatewayConfig::Url(url) => url,
            GatewayConfig::PortForward { target, port } => {
                let target = match (target, namespace) {
                    (ForwardTarget::Service(name), _) => KubeTarget::Service { name, port },
                    (ForwardTarget::Workload(name), Some(namespace)) => {
                        KubeTarget::Workload { workload: WorkloadRef { namespace, name }, port }
                    }
                    (ForwardTarget::Workload(name), None) => {
                        return Err(Trouble::new(
                            TroubleKind::Missing,
                            say!("{} cannot be reached without a cluster", name),
                        ));
                    }
                };
                let address = secrets.cluster.cluster().await?.forward(target)?;
                Url::parse(&format!("http://{address}"))
                    .map_err(|_| Trouble::new(TroubleKind::Invalid, Clean::ours("the forwarded address is no URL")))?
            }
        };
        let key = match key {
            Some(source) => Some(secrets.fetch("master_key", &source).await?),
            None => None,
        };
        LiteLlm::new(base, key, secrets.gate)
    }
    .boxed()
}

fn gateway_words(gateway: &GatewayConfig, gate: &Gate) -> Clean {
    match gateway {
        GatewayConfig::Url(url) => gate.clean(url.as_str()),
        GatewayConfig::PortForward { target: ForwardTarget::Service(name), port } => {
            say!("service/{} port {}, forwarded", name, *port)
        }
        GatewayConfig::PortForward { target: ForwardTarget::Workload(name), port } => {
            say!("deployment/{} port {}, forwarded", name, *port)
        }
    }
}
