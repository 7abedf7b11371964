//! What the console was opened on.

use crate::domain::catalog::{Consulted, Origin};
use crate::domain::cluster::WorkloadRef;
use crate::domain::environment::Kind;
use crate::domain::name::{CacheNamespace, ContextName, DataKey, EnvName, ModelName, Name, Slug};
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// The story of a drill.
#[derive(Clone, Debug, PartialEq)]
pub struct Briefing {
    /// Id of the scenario.
    pub scenario: Slug,
    /// Its title.
    pub title: Clean,
    /// What the pager said.
    pub story: Clean,
    /// What to look at next, in order, for a newcomer.
    pub hints: Vec<Clean>,
    /// What it was about, for the end screen.
    pub debrief: Clean,
}

/// What the console was opened on. Never changes while it runs.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The environment's name, which is what arming asks for.
    pub environment: EnvName,
    /// How much care it needs.
    pub kind: Kind,
    /// The drill, where it is one.
    pub briefing: Option<Briefing>,
    /// The kube context.
    pub context: Option<ContextName>,
    /// The namespace.
    pub namespace: Option<Name>,
    /// The Deployments, in the order in which a plan reverts them.
    pub workloads: Vec<WorkloadRef>,
    /// Parts of the world that this environment does not have, and why.
    pub missing: Missing,
    /// The model for test completions; `None` takes the first that the gateway names.
    pub test_model: Option<ModelName>,
    /// What stands before the keys of the response cache, as far as it is configured.
    pub cache_namespace: Option<CacheNamespace>,
    /// Usage events to Lago are expected.
    pub billing: bool,
    /// Host, port, database and schema, without credentials.
    pub database: Option<Clean>,
    /// The Kubernetes Secret and the key of it that this console takes the database's URL from.
    pub database_secret: Option<(Name, DataKey)>,
    /// Where the gateway is reached.
    pub gateway: Option<Clean>,
    /// Folder of the dumps, for people.
    pub folder: Clean,
    /// What is known of the versions of LiteLLM.
    pub catalog: Consulted,
    /// Where that comes from.
    pub catalog_from: Origin,
    /// The first drill on this machine: the console explains itself.
    pub newcomer: bool,
}

impl Setting {
    /// An environment of which nothing is known but its name: no cluster, no database, no gateway,
    /// and an empty catalog.
    pub fn bare(environment: EnvName, kind: Kind) -> Self {
        Self {
            environment,
            kind,
            briefing: None,
            context: None,
            namespace: None,
            workloads: Vec::new(),
            missing: Missing::default(),
            test_model: None,
            cache_namespace: None,
            billing: false,
            database: None,
            database_secret: None,
            gateway: None,
            folder: Clean::default(),
            catalog: Consulted::default(),
            catalog_from: Origin::Embedded,
            newcomer: false,
        }
    }
}

/// Why a part is missing; `None` when it is there.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Missing {
    pub cluster: Option<Trouble>,
    pub workloads: Option<Trouble>,
    pub releases: Option<Trouble>,
    pub database: Option<Trouble>,
    pub backup: Option<Trouble>,
    pub gateway: Option<Trouble>,
    pub cache: Option<Trouble>,
}
