//! What a pod template leans on and a rollback of the template does not bring back: ConfigMaps,
//! Secrets, autoscalers, the image behind a tag. A rollback of a Helm release brings back what is
//! in its manifest, and leaves everything else as it is just the same.
//!
//! `kubectl rollout undo` and every patch like it replace the pod template and nothing else. A
//! ConfigMap stays as it is now; mounted by `subPath` it does not even reach pods that run
//! (Kubernetes documentation, "ConfigMaps", mounted ConfigMaps are updated automatically; argo-rollouts
//! issues 1297 and 2669).

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::domain::confirm::Subject;
use crate::domain::image::Image;
use crate::domain::incident::Goal;
use crate::domain::name::{Name, Uid, VarName};
use crate::domain::salt::{Comparison, LITELLM_SALT_KEY};
use crate::domain::settings::{Config, SchemaSwitch};
use crate::domain::workload::{Revision, Template, Workload};
use crate::text::{Clean, Safe};

/// Which kind of object a template takes something from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret. Its values are never read for a comparison, except a salt key's.
    Secret,
}

impl SourceKind {
    /// The kind as manifests write it.
    pub fn word(self) -> &'static str {
        match self {
            SourceKind::ConfigMap => "ConfigMap",
            SourceKind::Secret => "Secret",
        }
    }
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
    /// It is an object of the Helm release's manifest: a rollback writes back what it held.
    pub restored: bool,
    /// Whether it is there.
    pub found: Found,
    /// Keys that the target needs and that it does not have.
    pub lacks: Vec<Clean>,
}

impl Leaning {
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

/// A pod of the namespace that runs the target's image reference, and what that led to on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The pod.
    pub pod: Name,
    /// The digest that its node runs.
    pub digest: Clean,
    /// When the pod was created.
    pub created: Timestamp,
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
    /// The target.
    pub target: Goal,
    /// What the target's template leans on, by source.
    pub leanings: Vec<Leaning>,
    /// `checksum/…` annotations of the two templates that differ: charts hash a ConfigMap into
    /// them, so the target ran with another content.
    pub checksums: Vec<Clean>,
    /// Autoscalers of the Deployment, or why they are not known.
    pub scalers: Result<Vec<Scaler>, Clean>,
    /// How the target's gateway image is pulled; `None` where the template does not say.
    pub pull: Option<Pull>,
    /// Pods of the namespace that run the target's image reference, or why they are not known.
    pub pulled: Result<Vec<Pulled>, Clean>,
    /// The salt keys of the live template and of the target's.
    pub salt: Comparison,
    /// The configuration file of the target's gateway container.
    pub config: ConfigFile,
    /// What is read of the file that `--config` leads to, in a ConfigMap or a Secret; `None`
    /// without that argument. An error says why nobody knows.
    pub settings: Result<Option<ReadConfig>, Clean>,
    /// `DISABLE_SCHEMA_UPDATE` as the target's gateway will see it.
    pub disable: Disable,
}

/// `DISABLE_SCHEMA_UPDATE` of a container, wherever it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disable {
    /// Where it is set, or would be.
    pub from: Clean,
    /// Whether it is true; `None` where it is not set. An error says why nobody knows.
    pub set: Result<Option<bool>, Clean>,
}

/// What was read of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadConfig {
    /// Where it lies, for people.
    pub place: Clean,
    /// Its settings.
    pub config: Config,
}

/// What a configuration file says about the schema.
pub fn switch(settings: &Result<Option<ReadConfig>, Clean>) -> SchemaSwitch {
    match settings {
        Ok(Some(read)) => read.config.switch.clone(),
        Ok(None) => SchemaSwitch::Unset,
        Err(why) => SchemaSwitch::Unknown(why.clone()),
    }
}

impl Workload {
    /// When a revision stopped being the current one: when the next one came. A ReplicaSet that
    /// is used again keeps its old age, so this is never too late; where it is the current one
    /// again, this is when it was replaced before. `None` for one that was never replaced.
    pub fn left(&self, uid: &Uid) -> Option<Timestamp> {
        let revision = self.revision(uid)?;
        let others = self.revisions.iter();
        if revision.current() {
            return others.map(|other| other.created).filter(|came| *came > revision.created).min();
        }
        let next = others.filter(|other| other.number > revision.number).min_by_key(|next| next.number)?;
        Some(next.created.max(revision.created))
    }
}

/// The target of a rollback, as far as what it leans on is judged by it: a revision of a Deployment,
/// or of the Helm release that owns it.
#[derive(Clone, Debug)]
pub struct Aim<'a> {
    /// Which one.
    pub goal: Goal,
    /// Its number, for people.
    pub number: u64,
    /// Its pod template.
    pub template: &'a Template,
    /// The digest that its pods ran, where one of them is still there to tell.
    pub digest: Option<&'a Clean>,
    /// It is what is live.
    pub current: bool,
    /// When it came.
    pub created: Timestamp,
    /// When it was replaced; `None` where it never was, and where nobody knows.
    pub left: Option<Timestamp>,
}

impl<'a> Aim<'a> {
    /// A revision of a Deployment.
    pub fn template(workload: &Workload, revision: &'a Revision) -> Self {
        Self {
            goal: Goal::Template(revision.uid.clone()),
            number: revision.number,
            template: &revision.template,
            digest: revision.digest.as_ref(),
            current: revision.current(),
            created: revision.created,
            left: workload.left(&revision.uid),
        }
    }

    /// The gateway's image.
    pub fn image(&self) -> Option<&'a Image> {
        self.template.main().map(|container| &container.image)
    }
}

/// How long before a new revision comes what it needs may be written: a rollout applies its
/// ConfigMaps and Secrets first, and its Deployment last (Helm, `InstallOrder` in
/// `pkg/release/v1/util/kind_sorter.go`; `kubectl apply -f` of a folder goes by file names).
const ROLLOUT: SignedDuration = SignedDuration::from_mins(15);

/// When a source was written to, seen from the revision that leans on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Written {
    /// While that revision was the current one. Its pods that started earlier kept what they had.
    During,
    /// With the change that replaced it.
    With,
    /// After it was replaced.
    After,
}

/// A source that does not hold any more what the target's pods started with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift<'a> {
    /// The source.
    pub leaning: &'a Leaning,
    /// Its last write.
    pub at: Timestamp,
    /// When that was for the target.
    pub written: Written,
}

impl Drift<'_> {
    /// Whether it stops a revert. A Secret does not: keys are rotated on purpose, and the old ones
    /// are void. Nor does what changed while the target was good with it, nor what the rollback of a
    /// Helm release writes back itself.
    pub fn stops(&self) -> bool {
        let map = self.leaning.source.kind == SourceKind::ConfigMap;
        map && self.written > Written::During && !self.leaning.restored
    }

    /// When it was written to, in words.
    pub fn when(&self, target: &Aim<'_>) -> Clean {
        let number = target.number;
        match self.written {
            Written::During => say!("changed while revision {} was the current one", number),
            _ if target.current => say!("changed since what is revision {} now ran well", number),
            Written::With => say!("changed with the rollout that replaced revision {}", number),
            Written::After => say!("changed after revision {} was replaced", number),
        }
    }
}

/// The sources that were written to since the target's pods started, in the order of the template.
pub fn drifted<'a>(coupled: &'a Coupled, target: &Aim<'_>) -> Vec<Drift<'a>> {
    let Some(left) = target.left else { return Vec::new() };
    let drift = |leaning: &'a Leaning| {
        let Found::There { written: at, .. } = leaning.found else { return None };
        let written = match () {
            () if at > left => Written::After,
            () if at > target.created && left.duration_since(at) <= ROLLOUT => Written::With,
            () if at.duration_since(target.created) > ROLLOUT && leaning.frozen() => Written::During,
            () => return None,
        };
        Some(Drift { leaning, at, written })
    };
    coupled.leanings.iter().filter_map(drift).collect()
}

/// A tag that led to another image when the target ran than it does now.
#[derive(Clone, Debug, PartialEq)]
pub struct TagDrift {
    /// The reference.
    pub image: Image,
    /// The digest that the target's pods ran.
    pub ran: Clean,
    /// The digest that it led to last.
    pub leads: Clean,
    /// Where that was seen.
    pub seen: Clean,
    /// The live revision runs just that: the revert brings the same image again.
    pub kept: bool,
}

impl Coupled {
    /// Where the target's reference led last, by the youngest pod that runs it.
    pub fn leads(&self) -> Option<&Pulled> {
        self.pulled.iter().flatten().max_by_key(|pulled| pulled.created)
    }

    /// What is known of the image behind the target's tag; `None` when nothing shows that it moved.
    pub fn tag_drift(&self, workload: &Workload, target: &Aim<'_>) -> Option<TagDrift> {
        let image = target.image().filter(|image| image.digest().is_none())?;
        let ran = target.digest?;
        let live = workload.current().filter(|live| live.image() == Some(image));
        let runs = live.and_then(|live| live.digest.as_ref());
        let (leads, seen) = match (self.leads(), runs) {
            (Some(pulled), _) => (&pulled.digest, say!("pod {}", pulled.pod)),
            (None, Some(runs)) => (runs, say!("revision {}", live.map_or(0, |live| live.number))),
            (None, None) => return None,
        };
        let drift = |leads: &Clean, seen| TagDrift {
            image: image.clone(),
            ran: ran.clone(),
            leads: leads.clone(),
            seen,
            kept: runs == Some(leads),
        };
        (leads != ran).then(|| drift(leads, seen))
    }
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

    /// A source that changed since the target's pods started, where that stops a revert.
    pub fn drift(drift: &Drift<'_>, target: &Aim<'_>) -> Option<Self> {
        let Drift { leaning: Leaning { source, .. }, at, .. } = drift;
        drift.stops().then(|| Self {
            phrase: say!("{}", source.name),
            why: say!(
                "{} {}, at {}: the revert does not bring it back, and the target's pods start with what is in it now",
                source,
                drift.when(target),
                at
            ),
            remedy: say!(
                "put back what {} held when revision {} ran; left as failed, the step leads there",
                source,
                target.number
            ),
        })
    }

    /// A tag that leads to the very image that is live and bad.
    pub fn tag(drift: &TagDrift, target: &Aim<'_>) -> Option<Self> {
        let TagDrift { image, ran, leads, .. } = drift;
        drift.kept.then(|| Self {
            phrase: say!("{}", image),
            why: say!(
                "revision {} ran {} as {}, and that tag leads to {} now, which is live: the revert brings the same image again",
                target.number,
                image,
                ran,
                leads
            ),
            remedy: pin(image, Some(ran)),
        })
    }
}

/// How an image is had again under a tag that moved.
pub fn pin(image: &Image, digest: Option<&Clean>) -> Clean {
    match digest.zip(image.repository().parse::<Image>().ok()) {
        Some((digest, repository)) => say!("pin it: set the image {}@{}", repository, digest),
        None => Clean::ours("find the digest that ran in the registry, and pin it: set the image by digest"),
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
