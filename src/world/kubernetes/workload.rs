//! One Deployment with its revisions and migration Jobs, whenever any of them changes.

use std::collections::{BTreeMap, HashMap, VecDeque};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams};

use super::objects::{Deployed, Replicas};
use super::pods::Lost;
use super::watch::{Seen, Watch};
use super::{Link, objects};
use crate::domain::cluster::WorkloadRef;
use crate::domain::name::{Name, Uid};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::{Discovered, MigrationJob, Revision, RevisionStatus, Rollout, Workload};
use crate::text::{Clean, Gate};
use crate::world::Feed;

/// Pods of one ReplicaSet that are asked for their digest: all run the same image.
const DIGEST_PODS: u32 = 20;

enum Event {
    Deployment(Result<Seen<Result<Deployed, Clean>>, Trouble>),
    ReplicaSet(Result<Seen<Replicas>, Trouble>),
    Job(Result<Seen<(Name, Option<MigrationJob>)>, Trouble>),
}

/// The feed.
pub(super) fn feed(link: &Link, workload: &WorkloadRef) -> Feed<Result<Box<Workload>, Trouble>> {
    let watcher = Watcher {
        link: link.clone(),
        reference: workload.clone(),
        deployments: deployment_watch(link, workload),
        dependents: SelectAll::new(),
        deployed: None,
        sets: None,
        jobs: Jobs::Waiting,
        digests: HashMap::new(),
        digesting: None,
        digests_outdated: false,
        lost: Lost::default(),
        told: None,
        out: VecDeque::new(),
    };
    futures::stream::unfold(watcher, |mut watcher| async move {
        let item = watcher.next().await?;
        Some((item, watcher))
    })
    .boxed()
}

fn deployment_watch(link: &Link, workload: &WorkloadRef) -> BoxStream<'static, Event> {
    let reader = link.reader.clone();
    let keep = move |object: DynamicObject| Some(objects::deployment(&reader, &object));
    link.watch_deployment(workload, keep).map(Event::Deployment).boxed()
}

/// The migration Jobs, as far as they are known.
enum Jobs {
    Waiting,
    Unknown,
    Known(BTreeMap<Name, MigrationJob>),
}

type Digests = Vec<(Uid, Clean)>;

struct Watcher {
    link: Link,
    reference: WorkloadRef,
    deployments: BoxStream<'static, Event>,
    /// The watches that need the Deployment's selector and labels.
    dependents: SelectAll<BoxStream<'static, Event>>,
    deployed: Option<Deployed>,
    /// ReplicaSets by UID, once listed.
    sets: Option<HashMap<Uid, Replicas>>,
    jobs: Jobs,
    /// Digests by ReplicaSet; kept when the pods that told them are gone.
    digests: HashMap<Uid, Clean>,
    digesting: Option<BoxFuture<'static, Digests>>,
    /// Something changed while pods were asked, so their answer may be too old.
    digests_outdated: bool,
    lost: Lost,
    told: Option<Workload>,
    out: VecDeque<Result<Box<Workload>, Trouble>>,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<Box<Workload>, Trouble>> {
        loop {
            if let Some(item) = self.out.pop_front() {
                return Some(item);
            }
            let digesting = async {
                match &mut self.digesting {
                    Some(asking) => asking.await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                event = self.deployments.next() => event?,
                event = self.dependents.next(), if !self.dependents.is_empty() => event?,
                digests = digesting => {
                    self.digesting = None;
                    self.digests.extend(digests);
                    self.tell();
                    if std::mem::take(&mut self.digests_outdated) {
                        self.ask_for_digests();
                    }
                    continue;
                }
            };
            match event {
                Event::Deployment(seen) => self.on_deployment(seen),
                Event::ReplicaSet(seen) => self.on_replica_set(seen),
                Event::Job(seen) => self.on_job(seen),
            }
            self.tell();
            self.ask_for_digests();
        }
    }

    fn settle<T>(&mut self, watch: &'static str, seen: Result<Seen<T>, Trouble>) -> Option<Seen<T>> {
        match seen {
            // A part of a list is no list.
            Ok(seen @ Seen::Listing(_)) => Some(seen),
            Ok(seen) => {
                if self.lost.found(watch) {
                    // Says it again, unchanged, so that what was lost counts as seen.
                    self.told = None;
                }
                Some(seen)
            }
            Err(why) => {
                if self.lost.lose(watch) {
                    self.out.push_back(Err(why));
                }
                None
            }
        }
    }

    fn on_deployment(&mut self, seen: Result<Seen<Result<Deployed, Clean>>, Trouble>) {
        let found = match self.settle("deployment", seen) {
            Some(Seen::Listed(found)) => found.into_iter().next(),
            Some(Seen::Changed(found)) => Some(found),
            Some(Seen::Gone(_)) => None,
            Some(Seen::Listing(_) | Seen::Back) | None => return,
        };
        match found {
            Some(Ok(deployed)) => self.adopt(deployed),
            Some(Err(why)) => self
                .out
                .push_back(Err(Trouble::new(TroubleKind::Invalid, say!("{} cannot be used: {}", self.reference, why)))),
            None => {
                self.deployed = None;
                self.told = None;
                self.out.push_back(Err(Trouble::new(
                    TroubleKind::NotFound,
                    say!("{} is not in namespace {}", self.reference, self.reference.namespace),
                )
                .remedy(Clean::ours("check the name and the namespace in the configuration"))));
            }
        }
    }

    /// Takes the Deployment over; another one of the same name starts the other watches anew.
    fn adopt(&mut self, deployed: Deployed) {
        let same = self.deployed.as_ref().is_some_and(|before| {
            (&before.uid, &before.selector, &before.instance) == (&deployed.uid, &deployed.selector, &deployed.instance)
        });
        if !same {
            self.sets = None;
            self.jobs = Jobs::Waiting;
            self.dependents = SelectAll::from_iter([self.replica_set_watch(&deployed), self.job_watch(&deployed)]);
        }
        self.deployed = Some(deployed);
    }

    fn replica_set_watch(&self, deployed: &Deployed) -> BoxStream<'static, Event> {
        let (reader, owner) = (self.link.reader.clone(), deployed.uid.clone());
        let keep = move |object: DynamicObject| {
            objects::replica_set(&reader, &object).filter(|set| set.owner.as_deref() == Some(owner.as_str()))
        };
        self.link.watch_replica_sets(&self.reference, &deployed.selector, keep).map(Event::ReplicaSet).boxed()
    }

    fn job_watch(&self, deployed: &Deployed) -> BoxStream<'static, Event> {
        let instance = deployed.instance.clone();
        let namespace = self.reference.namespace.as_str();
        Watch {
            requests: Api::namespaced(self.link.requests.clone(), namespace),
            streams: Api::namespaced(self.link.streams.clone(), namespace),
            labels: None,
            fields: None,
            attempt: say!("watch the Jobs of namespace {}", self.reference.namespace),
            gate: self.link.gate().clone(),
            keep: Box::new(move |job: Job| {
                let name = job.metadata.name.as_deref()?.parse().ok()?;
                Some((name, objects::migration_job(instance.as_deref(), &job)))
            }),
        }
        .stream()
        .map(Event::Job)
        .boxed()
    }

    fn on_replica_set(&mut self, seen: Result<Seen<Replicas>, Trouble>) {
        match self.settle("replica sets", seen) {
            Some(Seen::Listed(sets)) => {
                self.sets = Some(sets.into_iter().map(|set| (set.uid.clone(), set)).collect());
            }
            Some(Seen::Changed(set)) => {
                self.sets.get_or_insert_default().insert(set.uid.clone(), set);
            }
            Some(Seen::Gone(set)) => {
                self.sets.get_or_insert_default().remove(&set.uid);
            }
            Some(Seen::Listing(_) | Seen::Back) | None => {}
        }
    }

    /// Jobs that may not be listed are unknown, which is a state and not a loss.
    fn on_job(&mut self, seen: Result<Seen<(Name, Option<MigrationJob>)>, Trouble>) {
        if seen.as_ref().is_err_and(|why| why.kind == TroubleKind::Forbidden) {
            self.lost.found("jobs");
            self.jobs = Jobs::Unknown;
            return;
        }
        match self.settle("jobs", seen) {
            Some(Seen::Listed(jobs)) => {
                self.jobs = Jobs::Known(jobs.into_iter().filter_map(|(name, job)| Some((name, job?))).collect());
            }
            Some(Seen::Changed((name, job))) => {
                if let Jobs::Known(known) = &mut self.jobs {
                    known.remove(&name);
                    known.extend(job.map(|job| (name, job)));
                }
            }
            Some(Seen::Gone((name, _))) => {
                if let Jobs::Known(known) = &mut self.jobs {
                    known.remove(&name);
                }
            }
            Some(Seen::Listing(_) | Seen::Back) | None => {}
        }
    }

    /// Says how it stands, when everything is known and something is new.
    fn tell(&mut self) {
        let (Some(deployed), Some(sets), false) = (&self.deployed, &self.sets, self.lost.any()) else { return };
        let jobs = match &self.jobs {
            Jobs::Waiting => return,
            Jobs::Unknown => None,
            Jobs::Known(jobs) => Some(jobs.values().cloned().collect()),
        };
        let workload = Workload {
            reference: self.reference.clone(),
            uid: deployed.uid.clone(),
            paused: deployed.paused,
            owner: deployed.owner.clone(),
            numbers: deployed.numbers,
            template: deployed.template.clone(),
            revisions: revisions(deployed, sets, &self.digests),
            jobs,
            conditions: deployed.conditions.clone(),
        };
        if self.told.as_ref() != Some(&workload) {
            self.told = Some(workload.clone());
            self.out.push_back(Ok(Box::new(workload)));
        }
    }

    /// Asks a few pods of every ReplicaSet whose digest is not known yet. Only pods know digests.
    fn ask_for_digests(&mut self) {
        self.digests_outdated = self.digesting.is_some();
        if self.digests_outdated || self.lost.any() {
            return;
        }
        let wanted: Vec<(Uid, String, Name)> = self
            .sets
            .iter()
            .flat_map(HashMap::values)
            .filter(|set| set.wanted > 0 && !self.digests.contains_key(&set.uid))
            .filter_map(|set| Some((set.uid.clone(), set.hash.clone()?, main_container(set)?)))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let api: Api<core::Pod> = self.link.api(&self.reference.namespace);
        let link = self.link.clone();
        self.digesting = Some(
            async move {
                let asked = wanted.into_iter().map(|(uid, hash, container)| digest(&link, &api, uid, hash, container));
                futures::future::join_all(asked).await.into_iter().flatten().collect()
            }
            .boxed(),
        );
    }
}

fn main_container(set: &Replicas) -> Option<Name> {
    set.template.main().map(|container| container.name.clone())
}

/// The digest that a pod of this ReplicaSet runs in this container. No pod, no right: no digest.
async fn digest(link: &Link, api: &Api<core::Pod>, set: Uid, hash: String, container: Name) -> Option<(Uid, Clean)> {
    let params = ListParams::default().labels(&format!("pod-template-hash={hash}")).limit(DIGEST_PODS);
    let pods = link.ask(&Clean::ours("list pods for their digests"), api.list(&params)).await.ok()?;
    let owned = |pod: &core::Pod| pod.owner_references().iter().any(|owner| owner.uid == set.as_str());
    let found = pods.items.iter().filter(|pod| owned(pod)).find_map(|pod| running_digest(link.gate(), pod, &container));
    found.map(|digest| (set, digest))
}

fn running_digest(gate: &Gate, pod: &core::Pod, container: &Name) -> Option<Clean> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let status = statuses.iter().find(|status| status.name == container.as_str())?;
    objects::digest(gate, &status.image_id)
}

/// Revisions, newest first. The current one is the newest whose template is the Deployment's.
fn revisions(deployed: &Deployed, sets: &HashMap<Uid, Replicas>, digests: &HashMap<Uid, Clean>) -> Vec<Revision> {
    let mut newest_first: Vec<&Replicas> = sets.values().collect();
    newest_first.sort_by(|a, b| (b.number, b.created, &b.name).cmp(&(a.number, a.created, &a.name)));
    let current = newest_first.iter().position(|set| set.raw == deployed.raw);
    let status = |index: usize| {
        if Some(index) != current {
            return RevisionStatus::Superseded;
        }
        match deployed.numbers.status() {
            _ if deployed.paused => RevisionStatus::Rolling(Clean::ours("the Deployment is paused")),
            Rollout::Done => RevisionStatus::Live,
            Rollout::Waiting(why) => RevisionStatus::Rolling(why),
            Rollout::Failed(why) => RevisionStatus::Failed(why),
        }
    };
    let revision = |(index, set): (usize, &&Replicas)| Revision {
        number: set.number,
        uid: set.uid.clone(),
        name: set.name.clone(),
        created: set.created,
        change_cause: set.change_cause.clone(),
        replicas: set.wanted,
        ready: set.ready,
        digest: digests.get(&set.uid).cloned(),
        status: status(index),
        template: set.template.clone(),
    };
    newest_first.iter().enumerate().map(revision).collect()
}

/// A Deployment that looks like LiteLLM, and why; `None` for any other.
pub(super) fn discovered(link: &Link, object: &DynamicObject) -> Option<Discovered> {
    let deployed = objects::deployment(&link.reader, object).ok()?;
    let name: Name = object.metadata.name.as_deref()?.parse().ok()?;
    let gateway = deployed.template.containers.iter().find(|container| container.image.is_litellm());
    let label = object
        .labels()
        .iter()
        .find(|(key, value)| !key.contains("pod-template-hash") && value.to_ascii_lowercase().contains("litellm"));
    let because = match (gateway, label) {
        (Some(container), _) => say!("its container {} runs {}", container.name, container.image),
        (None, Some((key, value))) => say!("its label {} says {}", link.gate().clean(key), link.gate().clean(value)),
        (None, None) => return None,
    };
    Some(Discovered {
        reference: WorkloadRef { namespace: link.namespace.clone(), name },
        image: gateway.or_else(|| deployed.template.main()).map(|container| container.image.clone()),
        because,
    })
}
