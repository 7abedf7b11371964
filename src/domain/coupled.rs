//! What a pod template leans on and a rollback of the template does not bring back: ConfigMaps,
//! Secrets, autoscalers, the image behind a tag.
//!
//! `kubectl rollout undo` and every patch like it replace the pod template and nothing else. A
//! ConfigMap stays as it is now; mounted by `subPath` it does not even reach pods that run
//! (Kubernetes documentation, "ConfigMaps", mounted ConfigMaps are updated automatically; argo-rollouts
//! issues 1297 and 2669).

use std::fmt;

use jiff::Timestamp;

use crate::domain::confirm::Subject;
use crate::domain::name::{Name, Uid, VarName};
use crate::domain::salt::{Comparison, LITELLM_SALT_KEY};
use crate::domain::workload::Workload;
use crate::text::{Clean, Safe};

/// Which kind of object a template takes something from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret. Its values are never read for a comparison, except a salt key's.
    Secret,
}

/// A ConfigMap or a Secret by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Which kind.
    pub kind: SourceKind,
    /// Its name, in the workload's namespace.
    pub name: Name,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            SourceKind::ConfigMap => "configmap",
            SourceKind::Secret => "secret",
        };
        write!(f, "{kind}/{}", self.name)
    }
}

impl Safe for Source {}

/// How a container takes something from a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// As a file or a folder.
    Mounted {
        /// Where.
        path: Clean,
        /// By `subPath`: a running pod keeps the file that it started with.
        sub_path: bool,
    },
    /// One key as one variable.
    Variable(VarName),
    /// Every key as a variable (`envFrom`).
    Variables,
}

impl Use {
    /// How, in words.
    pub fn words(&self) -> Clean {
        match self {
            Use::Mounted { path, sub_path: true } => say!("mounted at {} by subPath", path),
            Use::Mounted { path, sub_path: false } => say!("mounted at {}", path),
            Use::Variable(name) => say!("as variable {}", name),
            Use::Variables => Clean::ours("as variables (envFrom)"),
        }
    }
}

/// Whether a source is there, and when it was written to.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It is there.
    There {
        /// The last time that its data was written to, by its managed fields, else its creation.
        written: Timestamp,
        /// Who wrote then (the field manager), where that is recorded.
        by: Option<Clean>,
    },
    /// There is no such object.
    Gone,
    /// Nobody knows: no permission, no answer.
    Unknown(Clean),
}

/// One source that the target's template leans on.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaning {
    /// Which object.
    pub source: Source,
    /// How the target's containers take from it.
    pub uses: Vec<Use>,
    /// The live template leans on it too.
    pub live_too: bool,
    /// A pod starts without it as well (`optional: true` wherever it is named).
    pub optional: bool,
    /// Whether it is there.
    pub found: Found,
    /// Keys that the target needs and that it does not have.
    pub lacks: Vec<Clean>,
}

impl Leaning {
    /// The time of its last write, when that was after `since`.
    pub fn written_after(&self, since: Timestamp) -> Option<Timestamp> {
        match self.found {
            Found::There { written, .. } if written > since => Some(written),
            _ => None,
        }
    }

    /// Whether a running pod keeps what it started with: by `subPath` or as variables.
    pub fn frozen(&self) -> bool {
        self.uses.iter().any(|by| !matches!(by, Use::Mounted { sub_path: false, .. }))
    }
}

/// Who else sets the number of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalerKind {
    /// A HorizontalPodAutoscaler (`autoscaling/v2`).
    Horizontal,
    /// A KEDA ScaledObject (`keda.sh/v1alpha1`), with the autoscaler that KEDA makes of it.
    Keda,
}

impl ScalerKind {
    /// The word that kubectl uses.
    pub fn word(self) -> &'static str {
        match self {
            ScalerKind::Horizontal => "hpa",
            ScalerKind::Keda => "scaledobject",
        }
    }
}

/// An autoscaler that targets the Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaler {
    /// Which kind.
    pub kind: ScalerKind,
    /// Its name.
    pub name: Name,
    /// The least replicas that it sets.
    pub min: u32,
    /// The most replicas that it sets.
    pub max: u32,
    /// It is paused (`autoscaling.keda.sh/paused`, `paused-replicas`).
    pub paused: bool,
}

/// `imagePullPolicy` of the target's gateway container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// At every start of a container: the registry decides.
    Always,
    /// Where the node does not have the tag yet: nodes may differ.
    IfNotPresent,
    /// Never: what the node has decides.
    Never,
}

/// LiteLLM's configuration file as the target's pods will find it.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigFile {
    /// From a ConfigMap, as it is now.
    Mounted(MountedConfig),
    /// It is not in a ConfigMap that can be read; why.
    Unseen(Clean),
}

/// A configuration file that lies in a ConfigMap.
#[derive(Clone, Debug, PartialEq)]
pub struct MountedConfig {
    /// The ConfigMap.
    pub config_map: Name,
    /// Its key.
    pub key: Clean,
    /// The path that the container reads (`--config`).
    pub path: Clean,
    /// Mounted by `subPath`.
    pub sub_path: bool,
    /// The file, line by line through the gate: line `n` of the file is `lines[n - 1]`.
    pub lines: Vec<Clean>,
}

/// Everything that is coupled to one Deployment and one target revision, read at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupled {
    /// UID of the target's ReplicaSet.
    pub target: Uid,
    /// What the target's template leans on, by source.
    pub leanings: Vec<Leaning>,
    /// `checksum/…` annotations of the two templates that differ: charts hash a ConfigMap into
    /// them, so the target ran with another content.
    pub checksums: Vec<Clean>,
    /// Autoscalers of the Deployment, or why they are not known.
    pub scalers: Result<Vec<Scaler>, Clean>,
    /// How the target's gateway image is pulled; `None` where the template does not say.
    pub pull: Option<Pull>,
    /// The salt keys of the live template and of the target's.
    pub salt: Comparison,
    /// The configuration file of the target's gateway container.
    pub config: ConfigFile,
}

impl Workload {
    /// When a revision stopped being the current one: when the next one came. A ReplicaSet that
    /// is used again keeps its old age, so this is never too late. `None` for the current one.
    pub fn left(&self, uid: &Uid) -> Option<Timestamp> {
        let revision = self.revision(uid).filter(|revision| !revision.current())?;
        let next =
            self.revisions.iter().filter(|other| other.number > revision.number).min_by_key(|next| next.number)?;
        Some(next.created.max(revision.created))
    }
}

/// The sources that were written to after the target was the current revision, and when: its pods
/// start with another content than the one that they were good with.
pub fn drifted<'a>(coupled: &'a Coupled, workload: &Workload) -> Vec<(&'a Leaning, Timestamp)> {
    let Some(left) = workload.left(&coupled.target) else { return Vec::new() };
    coupled.leanings.iter().filter_map(|leaning| Some((leaning, leaning.written_after(left)?))).collect()
}

/// Something that a person must have read before a revert, and types the name of to go past it.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubt {
    /// What must be typed.
    pub phrase: Clean,
    /// What stands in the way and what it leads to.
    pub why: Clean,
    /// What makes it go away.
    pub remedy: Clean,
}

impl Doubt {
    /// The target cannot read what is stored.
    pub fn salt(why: Clean) -> Self {
        let remedy = Clean::ours("choose a target with the right key, or put the key back first");
        Self { phrase: Clean::ours(LITELLM_SALT_KEY), why, remedy }
    }

    /// A ConfigMap that changed since the target ran. A Secret that changed is no doubt: keys are
    /// rotated on purpose, and the old ones are void.
    pub fn drift(leaning: &Leaning, written: Timestamp) -> Option<Self> {
        if leaning.source.kind == SourceKind::Secret {
            return None;
        }
        Some(Self {
            phrase: say!("{}", leaning.source.name),
            why: say!(
                "{} was written to at {}, after the target ran: its pods start with what is in it now",
                leaning.source,
                written
            ),
            remedy: say!("put back what {} held when the target ran, from Git or a backup", leaning.source),
        })
    }
}

/// Every doubt about one revert. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubts(Vec<Doubt>);

impl Doubts {
    /// `None` when there is none.
    pub fn of(all: Vec<Doubt>) -> Option<Self> {
        (!all.is_empty()).then_some(Self(all))
    }

    /// Each of them.
    pub fn each(&self) -> &[Doubt] {
        &self.0
    }
}

impl Subject for Doubts {
    fn phrases(&self) -> Vec<Clean> {
        self.0.iter().map(|doubt| doubt.phrase.clone()).collect()
    }
}
