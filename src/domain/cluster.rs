//! What the console knows of the cluster: who we are there, what we may do, and the pods.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::image::Image;
use crate::domain::name::{ContextName, Name, Uid, VarName};
use crate::text::{Clean, Safe};

/// A Deployment by namespace and name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize, Debug)]
pub struct WorkloadRef {
    /// Namespace; fixed when the console starts.
    pub namespace: Name,
    /// Name of the Deployment.
    pub name: Name,
}

impl std::fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "deployment/{}", self.name)
    }
}

impl Safe for WorkloadRef {}

/// Which cluster this is and who the cluster says we are. Read at start and again before each act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The kubeconfig context that was fixed at start; `None` inside a cluster.
    pub context: Option<ContextName>,
    /// The API server's address.
    pub server: Clean,
    /// The UID of the namespace `kube-system` where readable, else of ours: tells clusters apart
    /// that share an address.
    pub cluster_uid: Option<Uid>,
    /// The server's version, as `v1.34.1`.
    pub version: Clean,
    /// The user name that the server sees (SelfSubjectReview).
    pub user: Clean,
}

/// One thing that the console may have to do in the cluster, asked for with one
/// SelfSubjectAccessReview each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// `get deployments.apps`
    GetDeployment,
    /// `list deployments.apps`: discovery, and the list before every watch.
    ListDeployments,
    /// `watch deployments.apps`
    WatchDeployments,
    /// `list replicasets.apps`
    ListReplicaSets,
    /// `watch replicasets.apps`
    WatchReplicaSets,
    /// `list pods`
    ListPods,
    /// `watch pods`
    WatchPods,
    /// `get pods/log`
    ReadLogs,
    /// `patch deployments.apps`
    PatchDeployment,
    /// `list jobs.batch`
    ListJobs,
    /// `watch jobs.batch`
    WatchJobs,
    /// `get pods/portforward`
    GetPortForward,
    /// `create pods/portforward`: Kubernetes 1.35 asks for it in addition, for WebSockets.
    CreatePortForward,
    /// `get secrets`: secrets that the configuration names, and those that templates lean on, whose
    /// values are read only where they hold a salt key.
    GetSecret,
    /// `get configmaps`: those that templates lean on.
    GetConfigMap,
    /// `list horizontalpodautoscalers.autoscaling`
    ListAutoscalers,
    /// `list secrets`: only where a Helm release owns a workload, for its history. It lets one read
    /// every secret of the namespace; Kubernetes knows no narrower right to list.
    ListSecrets,
    /// `get services`: only to find the pod behind a service for a port-forward.
    GetService,
    /// `get pods/exec`: only to list the migrations inside a running pod, when that is asked for.
    GetExec,
    /// `create pods/exec`: the same; Kubernetes 1.35 asks for it in addition, for WebSockets.
    CreateExec,
}

impl Ask {
    /// Every question, in the order of the permissions page.
    pub const ALL: [Ask; 20] = [
        Ask::GetDeployment,
        Ask::ListDeployments,
        Ask::WatchDeployments,
        Ask::ListReplicaSets,
        Ask::WatchReplicaSets,
        Ask::ListPods,
        Ask::WatchPods,
        Ask::ReadLogs,
        Ask::PatchDeployment,
        Ask::ListJobs,
        Ask::WatchJobs,
        Ask::GetPortForward,
        Ask::CreatePortForward,
        Ask::GetSecret,
        Ask::GetConfigMap,
        Ask::ListAutoscalers,
        Ask::ListSecrets,
        Ask::GetService,
        Ask::GetExec,
        Ask::CreateExec,
    ];

    /// What is asked for before a process is started in a pod.
    pub const EXEC: [Ask; 2] = [Ask::GetExec, Ask::CreateExec];

    /// The questions where nothing of a Helm release is to be read.
    pub fn without_helm() -> Vec<Ask> {
        Self::ALL.into_iter().filter(|ask| *ask != Ask::ListSecrets).collect()
    }

    /// Verb, API group, resource and subresource, as the authorizer knows them.
    pub fn attributes(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Ask::GetDeployment => ("get", "apps", "deployments", ""),
            Ask::ListDeployments => ("list", "apps", "deployments", ""),
            Ask::WatchDeployments => ("watch", "apps", "deployments", ""),
            Ask::ListReplicaSets => ("list", "apps", "replicasets", ""),
            Ask::WatchReplicaSets => ("watch", "apps", "replicasets", ""),
            Ask::ListPods => ("list", "", "pods", ""),
            Ask::WatchPods => ("watch", "", "pods", ""),
            Ask::ReadLogs => ("get", "", "pods", "log"),
            Ask::PatchDeployment => ("patch", "apps", "deployments", ""),
            Ask::ListJobs => ("list", "batch", "jobs", ""),
            Ask::WatchJobs => ("watch", "batch", "jobs", ""),
            Ask::GetPortForward => ("get", "", "pods", "portforward"),
            Ask::CreatePortForward => ("create", "", "pods", "portforward"),
            Ask::GetSecret => ("get", "", "secrets", ""),
            Ask::GetConfigMap => ("get", "", "configmaps", ""),
            Ask::ListAutoscalers => ("list", "autoscaling", "horizontalpodautoscalers", ""),
            Ask::ListSecrets => ("list", "", "secrets", ""),
            Ask::GetService => ("get", "", "services", ""),
            Ask::GetExec => ("get", "", "pods", "exec"),
            Ask::CreateExec => ("create", "", "pods", "exec"),
        }
    }

    /// What is impossible without it.
    pub fn blocks(self) -> &'static str {
        match self {
            Ask::GetDeployment
            | Ask::ListDeployments
            | Ask::WatchDeployments
            | Ask::ListReplicaSets
            | Ask::WatchReplicaSets => "revisions and the revert",
            Ask::ListPods | Ask::WatchPods => "the pods pane and the rollout watch",
            Ask::ReadLogs => "the logs pane and the log check",
            Ask::PatchDeployment => "the revert, the image, the variable and the restart",
            Ask::ListJobs | Ask::WatchJobs => "knowing whether a migration Job runs, and so every revert",
            Ask::GetPortForward | Ask::CreatePortForward => "reaching the gateway or the database by port-forward",
            Ask::GetSecret => {
                "reading the configured secrets and Helm's records, comparing salt keys, seeing which Secrets changed"
            }
            Ask::GetConfigMap => "seeing which ConfigMaps changed since the target ran, and config.yaml",
            Ask::ListAutoscalers => "knowing which autoscaler sets the replicas",
            Ask::ListSecrets => "the history of a Helm release, and so its rollback",
            Ask::GetService => "finding the pod behind a service for a port-forward",
            Ask::GetExec | Ask::CreateExec => "listing the migrations in a running pod, which nothing else needs",
        }
    }
}

/// The answer to one [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Permission {
    /// What was asked.
    pub ask: Ask,
    /// Whether it is allowed. `None` when the question itself failed: unknown is not allowed.
    pub allowed: Option<bool>,
    /// The authorizer's reason, where it gives one.
    pub reason: Clean,
}

/// One container of a pod as it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerStatus {
    /// Container name.
    pub name: Name,
    /// Image as the pod's spec names it.
    pub image: Image,
    /// The digest that the node pulled (`sha256:…`), from `imageID`.
    pub digest: Option<Clean>,
    /// Passed its readiness probe.
    pub ready: bool,
    /// Times it was restarted.
    pub restarts: u32,
    /// Why it waits (`CrashLoopBackOff`, `ImagePullBackOff`, …), when it waits.
    pub waiting: Option<Clean>,
    /// How its last run ended (`Error`, `OOMKilled`, exit code), when it did.
    pub last_exit: Option<Clean>,
    /// When its current run started. Changes with every restart.
    pub started: Option<Timestamp>,
    /// True for a container that ran to completion.
    pub terminated: bool,
    /// An init container.
    pub init: bool,
}

/// A pod's phase as Kubernetes reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

impl Phase {
    /// The word that kubectl uses.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
            Phase::Unknown => "Unknown",
        }
    }
}

/// One pod of a watched workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// Its UID: the key of every change.
    pub uid: Uid,
    /// Its name.
    pub name: Name,
    /// The Deployment that it belongs to.
    pub workload: WorkloadRef,
    /// Its phase.
    pub phase: Phase,
    /// Being deleted.
    pub terminating: bool,
    /// When it was created.
    pub created: Timestamp,
    /// The ReplicaSet that owns it, which leads to its revision.
    pub replica_set: Option<Uid>,
    /// The revision number, once the ReplicaSet is known.
    pub revision: Option<u64>,
    /// The node.
    pub node: Option<Clean>,
    /// Its containers, init containers first.
    pub containers: Vec<ContainerStatus>,
    /// Why it cannot be scheduled or was evicted, when so.
    pub reason: Option<Clean>,
}

impl Pod {
    /// All its ordinary containers are ready and it is not being deleted.
    pub fn ready(&self) -> bool {
        let mut ordinary = self.containers.iter().filter(|c| !c.init).peekable();
        !self.terminating && self.phase == Phase::Running && ordinary.peek().is_some() && ordinary.all(|c| c.ready)
    }

    /// Ready containers and all of them, without init containers.
    pub fn ready_count(&self) -> (usize, usize) {
        let ordinary = self.containers.iter().filter(|c| !c.init);
        (ordinary.clone().filter(|c| c.ready).count(), ordinary.count())
    }

    /// Restarts of all its containers.
    pub fn restarts(&self) -> u32 {
        self.containers.iter().map(|c| c.restarts).sum()
    }

    /// The first reason for which a container waits.
    pub fn waiting(&self) -> Option<&Clean> {
        self.containers.iter().find_map(|c| c.waiting.as_ref()).or(self.reason.as_ref())
    }

    /// It crashes, or cannot be started or pulled: not merely young.
    pub fn broken(&self) -> bool {
        const BROKEN: [&str; 9] = [
            "CrashLoopBackOff",
            "ImagePullBackOff",
            "ErrImagePull",
            "InvalidImageName",
            "CreateContainerConfigError",
            "CreateContainerError",
            "RunContainerError",
            "ErrImageNeverPull",
            "StartError",
        ];
        self.phase == Phase::Failed
            || self.containers.iter().any(|c| {
                c.waiting.as_ref().is_some_and(|why| BROKEN.contains(&why.as_str()))
                    || (c.terminated && !c.init && c.last_exit.is_some())
            })
    }
}

/// What a pods feed brings. Changes are by UID, so ten thousand pods are not copied for one.
#[derive(Clone, Debug, PartialEq)]
pub enum PodsItem {
    /// The first list goes on, with so many pods so far. Nothing is told of them before all are there.
    Listing(usize),
    /// A fresh list: everything not in it is gone. Sent at start and after a relist (410).
    Listed(Vec<Arc<Pod>>),
    /// One pod is new or changed.
    Changed(Arc<Pod>),
    /// One pod is gone.
    Gone(Uid),
}

/// A value of an environment variable or another template field that may or may not be shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Field {
    /// Harmless by allow-list or by place.
    Shown(Clean),
    /// Possibly secret: only same or different can be told.
    Hidden(Fingerprint),
}

impl Field {
    /// What the screen shows.
    pub fn words(&self) -> Clean {
        match self {
            Field::Shown(value) => value.clone(),
            Field::Hidden(_) => Clean::ours("(hidden)"),
        }
    }
}

/// A keyed digest of a value under a random key that lives as long as the process and is never
/// stored: tells *same* from *different* and nothing else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// HMAC-SHA256 of `value` under `key`.
    pub fn new(key: &[u8; 32], value: &[u8]) -> Self {
        use hmac::{KeyInit as _, Mac as _};
        let Ok(mut mac) = hmac::Hmac::<sha2::Sha256>::new_from_slice(key) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(value);
        Self(mac.finalize().into_bytes().into())
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint")
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

/// Environment variables whose literal values are shown: switches and sizes that decide a
/// rollback, never credentials.
pub const SHOWN_VARIABLES: [&str; 24] = [
    "DISABLE_SCHEMA_UPDATE",
    "USE_PRISMA_MIGRATE",
    "USE_V2_MIGRATION_RESOLVER",
    "ENFORCE_PRISMA_MIGRATION_CHECK",
    "LITELLM_MIGRATION_DIR",
    "LITELLM_LOG",
    "LITELLM_MODE",
    "LITELLM_ENVIRONMENT",
    "STORE_MODEL_IN_DB",
    "STORE_PROMPTS_IN_SPEND_LOGS",
    "PROXY_BATCH_WRITE_AT",
    "CONFIG_FILE_PATH",
    "NUM_WORKERS",
    "HOST",
    "PORT",
    "REDIS_HOST",
    "REDIS_PORT",
    "DATABASE_HOST",
    "DATABASE_NAME",
    "DATABASE_PORT",
    "PRISMA_OFFLINE_MODE",
    "SEPARATE_HEALTH_APP",
    "TZ",
    "JSON_LOGS",
];

/// True when the literal value of this variable may be shown.
pub fn is_shown_variable(name: &VarName) -> bool {
    SHOWN_VARIABLES.contains(&name.as_str())
}
