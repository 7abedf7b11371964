//! Environments: what `lastgood.toml` says about the places that the console works in.
//!
//! Parsing is proving: a [`Configuration`] is made only by [`Configuration::parse`], so a
//! port-forward always has a cluster, a secret always has exactly one source, and no two
//! environments share a name. The file never holds a secret, only where to find one.

mod parse;
mod section;

use std::path::PathBuf;

use serde::Serialize;
use url::Url;

use crate::domain::name::{CacheNamespace, ContextName, DataKey, EnvName, ModelName, Name, VarName};
use crate::domain::runbook::{Fault, Source};
use crate::text::{Clean, Gate};

/// The port that LiteLLM listens on unless it is told otherwise (LiteLLM proxy, `--port`).
pub const LITELLM_PORT: u16 = 4000;

/// How much care a place asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// People depend on it. Also every place of which nothing is known.
    Production,
    /// Nobody outside depends on it.
    Staging,
    /// Made for practice.
    Drill,
}

impl Kind {
    /// All three, in the order in which messages name them.
    pub const ALL: [Kind; 3] = [Kind::Production, Kind::Staging, Kind::Drill];

    /// The word in the file, the header and the journal.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Production => "production",
            Kind::Staging => "staging",
            Kind::Drill => "drill",
        }
    }
}

/// Where in which cluster the workloads run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The kubeconfig context. Never left to the current one: that one changes behind our back.
    pub context: ContextName,
    /// The namespace. Namespaces are never listed.
    pub namespace: Name,
    /// Another kubeconfig than the usual ones.
    pub kubeconfig: Option<PathBuf>,
}

/// Where a secret is to be had. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of this process.
    Env(VarName),
    /// A file on this machine. A relative path starts at the configuration file's folder.
    File(PathBuf),
    /// A Kubernetes Secret in the environment's namespace.
    Secret {
        /// Its name.
        name: Name,
        /// The key in its data.
        key: DataKey,
    },
}

/// How to reach something that is reached by a URL with a password in it: PostgreSQL or Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Where the URL is.
    pub source: SecretSource,
    /// The URL's host is a Service of the cluster, reached by a port-forward.
    pub via_port_forward: bool,
}

/// How to reach the gateway's HTTP interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayConfig {
    /// `http` or `https`, with a host and without a user or a password.
    Url(Url),
    /// Through the cluster.
    PortForward {
        /// What to forward to.
        target: ForwardTarget,
        /// The port of the Service, or of the container.
        port: u16,
    },
}

/// What a port-forward ends at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardTarget {
    /// A pod behind this Service.
    Service(Name),
    /// A pod of this Deployment.
    Workload(Name),
}

/// One `[env.NAME]` table. It may have only some parts; what can work with those, works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its name: what is typed to arm the console.
    pub name: EnvName,
    /// How much care it asks for. [`Kind::Production`] when the file does not say.
    pub kind: Kind,
    /// The cluster (`context`, `namespace`, `kubeconfig`).
    pub cluster: Option<ClusterConfig>,
    /// The Deployments that one plan reverts, in this order. Empty: they have to be found.
    pub workloads: Vec<Name>,
    /// LiteLLM's database.
    pub database: Option<StoreConfig>,
    /// The gateway.
    pub gateway: Option<GatewayConfig>,
    /// The gateway's master key.
    pub master_key: Option<SecretSource>,
    /// The Redis that the gateway uses (`redis`).
    pub cache: Option<StoreConfig>,
    /// What stands before the keys of LiteLLM's response cache in it (`redis_namespace`, LiteLLM's
    /// `cache_params.namespace`).
    pub cache_namespace: Option<CacheNamespace>,
    /// Usage events for Lago are expected (`lago`).
    pub billing: bool,
    /// A runbook file in place of the embedded one. Relative to the configuration file's folder.
    pub runbook: Option<PathBuf>,
    /// A file of log signatures besides the embedded ones. Relative like the runbook.
    pub signatures: Option<PathBuf>,
    /// Where dumps go (`backup_folder`). Relative to the configuration file's folder.
    pub backup_folder: Option<PathBuf>,
    /// The model that the test completion asks (`test_model`). `None`: the gateway's first one.
    pub test_model: Option<ModelName>,
}

/// A configuration file, proved sound: one environment or more, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    environments: Vec<Environment>,
}

impl Configuration {
    /// Reads a `lastgood.toml`.
    ///
    /// # Errors
    /// Every fault of the file, in the order of its lines. A fault names keys, never values. A
    /// literal where a secret's source belongs is taught to the gate and refused.
    pub fn parse(source: Source<'_>, gate: &Gate) -> Result<Self, Vec<Fault>> {
        parse::configuration(source, gate).map(|environments| Self { environments })
    }

    /// All of them, in the order of the file. Never empty.
    pub fn environments(&self) -> &[Environment] {
        &self.environments
    }

    /// The one of this name.
    pub fn find(&self, name: &EnvName) -> Option<&Environment> {
        self.environments.iter().find(|environment| &environment.name == name)
    }
}

impl Environment {
    /// An environment that knows nothing but where it stands: what is worked with when no file
    /// describes it. Unknown is treated as production.
    pub fn unknown(name: EnvName, cluster: ClusterConfig) -> Self {
        Self {
            name,
            kind: Kind::Production,
            cluster: Some(cluster),
            workloads: Vec::new(),
            database: None,
            gateway: None,
            master_key: None,
            cache: None,
            cache_namespace: None,
            billing: false,
            runbook: None,
            signatures: None,
            backup_folder: None,
            test_model: None,
        }
    }

    /// Every secret that this environment names, with what it is for.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretSource)> {
        let database = self.database.as_ref().map(|store| ("database", &store.source));
        let key = self.master_key.as_ref().map(|source| ("master_key", source));
        let cache = self.cache.as_ref().map(|store| ("redis", &store.source));
        database.into_iter().chain(key).chain(cache)
    }
}

impl SecretSource {
    /// Where it is, in words.
    pub fn words(&self, gate: &Gate) -> Clean {
        match self {
            SecretSource::Env(name) => say!("environment variable {}", name),
            SecretSource::File(path) => say!("file {}", gate.clean(&path.to_string_lossy())),
            SecretSource::Secret { name, key } => say!("secret {} key {}", name, key),
        }
    }
}

#[cfg(test)]
mod tests;
