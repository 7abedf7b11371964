//! The pods of one Deployment, by UID, joined with the revision that they belong to.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use kube::api::{Api, DynamicObject};

use super::slim::Slim;
use super::watch::{Seen, Watch};
use super::{Link, objects};
use crate::domain::cluster::{Pod, PodsItem, WorkloadRef};
use crate::domain::name::Uid;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::world::Feed;

/// One thing that one of the watches saw.
enum Event {
    Deployment(Result<Seen<Selected>, Trouble>),
    ReplicaSet(Result<Seen<Owned>, Trouble>),
    Pod(Result<Seen<Pod>, Trouble>),
}

/// Which pods are meant.
#[derive(Clone, PartialEq, Eq)]
struct Selected {
    uid: Uid,
    selector: String,
}

/// What a pod's ReplicaSet tells about it.
struct Owned {
    uid: Uid,
    deployment: Option<String>,
    number: u64,
}

/// The feed: a list, then changes.
pub(super) fn feed(link: &Link, workload: &WorkloadRef) -> Feed<Result<PodsItem, Trouble>> {
    let pods = Pods {
        link: link.clone(),
        workload: workload.clone(),
        deployments: deployment_watch(link, workload),
        dependents: SelectAll::new(),
        selected: None,
        sets: HashMap::new(),
        pods: HashMap::new(),
        listed: false,
        lost: Lost::default(),
        out: VecDeque::new(),
    };
    futures::stream::unfold(pods, |mut pods| async move {
        let item = pods.next().await?;
        Some((item, pods))
    })
    .boxed()
}

fn deployment_watch(link: &Link, workload: &WorkloadRef) -> BoxStream<'static, Event> {
    let reader = link.reader.clone();
    let keep = move |object: DynamicObject| {
        let deployed = objects::deployment(&reader, &object).ok()?;
        Some(Selected { uid: deployed.uid, selector: deployed.selector })
    };
    link.watch_deployment(workload, keep).map(Event::Deployment).boxed()
}

struct Pods {
    link: Link,
    workload: WorkloadRef,
    deployments: BoxStream<'static, Event>,
    /// The watches that need the Deployment's selector.
    dependents: SelectAll<BoxStream<'static, Event>>,
    selected: Option<Selected>,
    /// ReplicaSets by UID.
    sets: HashMap<Uid, Owned>,
    /// Every pod of the selector that no Job owns, with the revision that was last told.
    pods: HashMap<Uid, Arc<Pod>>,
    /// The pods were listed once.
    listed: bool,
    lost: Lost,
    out: VecDeque<Result<PodsItem, Trouble>>,
}

/// Which watches are lost: the feed reports the first loss and the end of the last one.
#[derive(Default)]
pub(super) struct Lost(Vec<&'static str>);

impl Lost {
    /// A watch failed. True when the feed was fine until now.
    pub(super) fn lose(&mut self, watch: &'static str) -> bool {
        let first = self.0.is_empty();
        if !self.0.contains(&watch) {
            self.0.push(watch);
        }
        first
    }

    /// A watch works. True when it was the last one missing.
    pub(super) fn found(&mut self, watch: &'static str) -> bool {
        let before = self.0.len();
        self.0.retain(|lost| *lost != watch);
        before > 0 && self.0.is_empty()
    }

    /// Some watch is missing.
    pub(super) fn any(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Pods {
    async fn next(&mut self) -> Option<Result<PodsItem, Trouble>> {
        loop {
            if let Some(item) = self.out.pop_front() {
                return Some(item);
            }
            let event = tokio::select! {
                event = self.deployments.next() => event,
                event = self.dependents.next(), if !self.dependents.is_empty() => event,
            };
            match event? {
                Event::Deployment(seen) => self.on_deployment(seen),
                Event::ReplicaSet(seen) => self.on_replica_set(seen),
                Event::Pod(seen) => self.on_pod(seen),
            }
        }
    }

    fn on_deployment(&mut self, seen: Result<Seen<Selected>, Trouble>) {
        match self.settle("deployment", seen) {
            Some(Seen::Listed(found)) => match found.into_iter().next() {
                Some(selected) => self.select(selected),
                None => self.out.push_back(Err(Trouble::new(
                    TroubleKind::NotFound,
                    say!("{} is not in namespace {}", self.workload, self.workload.namespace),
                )
                .remedy(crate::text::Clean::ours("check the name and the namespace in the configuration")))),
            },
            Some(Seen::Changed(selected)) => self.select(selected),
            Some(Seen::Listing(_) | Seen::Gone(_) | Seen::Back) | None => {}
        }
    }

    /// Watches the pods of this Deployment; nothing to do when it is the one that is watched.
    fn select(&mut self, selected: Selected) {
        if self.selected.as_ref() == Some(&selected) {
            return;
        }
        self.dependents =
            SelectAll::from_iter([self.pod_watch(&selected.selector), self.replica_set_watch(&selected.selector)]);
        self.selected = Some(selected);
        self.sets.clear();
        self.listed = false;
    }

    fn replica_set_watch(&self, selector: &str) -> BoxStream<'static, Event> {
        let reader = self.link.reader.clone();
        let keep = move |object: DynamicObject| {
            let set = objects::replica_set(&reader, &object)?;
            Some(Owned { uid: set.uid, deployment: set.owner, number: set.number })
        };
        self.link.watch_replica_sets(&self.workload, selector, keep).map(Event::ReplicaSet).boxed()
    }

    fn pod_watch(&self, selector: &str) -> BoxStream<'static, Event> {
        let (gate, workload) = (self.link.gate().clone(), self.workload.clone());
        let namespace = self.workload.namespace.as_str();
        Watch {
            requests: Api::namespaced(self.link.requests.clone(), namespace),
            streams: Api::namespaced(self.link.streams.clone(), namespace),
            labels: Some(selector.to_owned()),
            fields: None,
            attempt: say!("watch the pods of {}", self.workload),
            gate: self.link.gate().clone(),
            keep: Box::new(move |Slim(pod)| objects::pod(&gate, &workload, &pod)),
        }
        .stream()
        .map(Event::Pod)
        .boxed()
    }

    /// Keeps the books on losses. Without the right to see ReplicaSets, pods just have no revision.
    fn settle<T>(&mut self, watch: &'static str, seen: Result<Seen<T>, Trouble>) -> Option<Seen<T>> {
        match seen {
            // A part of a list is no list.
            Ok(seen @ Seen::Listing(_)) => Some(seen),
            Ok(seen) => {
                let tells_itself = watch == "pods" && matches!(seen, Seen::Listed(_));
                if self.lost.found(watch) && self.listed && !tells_itself {
                    self.tell_all();
                }
                Some(seen)
            }
            Err(why) if watch == "replica sets" && why.kind == TroubleKind::Forbidden => None,
            Err(why) => {
                if self.lost.lose(watch) {
                    self.out.push_back(Err(why));
                }
                None
            }
        }
    }

    fn on_replica_set(&mut self, seen: Result<Seen<Owned>, Trouble>) {
        match self.settle("replica sets", seen) {
            Some(Seen::Listed(sets)) => {
                self.sets = sets.into_iter().map(|set| (set.uid.clone(), set)).collect();
                self.join();
            }
            Some(Seen::Changed(set)) => {
                let number = set.number;
                let before = self.sets.insert(set.uid.clone(), set);
                if before.map(|set| set.number) != Some(number) {
                    self.join();
                }
            }
            Some(Seen::Gone(set)) => {
                self.sets.remove(&set.uid);
            }
            Some(Seen::Listing(_) | Seen::Back) | None => {}
        }
    }

    /// Brings every pod up to date with the ReplicaSets.
    fn join(&mut self) {
        let all: Vec<Arc<Pod>> = self.pods.values().cloned().collect();
        for pod in all {
            if !self.belongs(&pod) {
                self.pods.remove(&pod.uid);
                self.tell(PodsItem::Gone(pod.uid.clone()));
            } else if self.revision(&pod) != pod.revision {
                let joined = Arc::new(Pod { revision: self.revision(&pod), ..Pod::clone(&pod) });
                self.pods.insert(joined.uid.clone(), Arc::clone(&joined));
                self.tell(PodsItem::Changed(joined));
            }
        }
    }

    fn on_pod(&mut self, seen: Result<Seen<Pod>, Trouble>) {
        match self.settle("pods", seen) {
            Some(Seen::Listed(pods)) => {
                let ours: Vec<Pod> = pods.into_iter().filter(|pod| self.belongs(pod)).collect();
                self.pods = ours.into_iter().map(|pod| (pod.uid.clone(), Arc::new(self.joined(pod)))).collect();
                self.listed = true;
                self.tell_all();
            }
            Some(Seen::Changed(pod)) if self.belongs(&pod) => {
                let pod = Arc::new(self.joined(pod));
                let before = self.pods.insert(pod.uid.clone(), Arc::clone(&pod));
                if before.as_ref() != Some(&pod) {
                    self.tell(PodsItem::Changed(pod));
                }
            }
            Some(Seen::Gone(pod)) => {
                if self.pods.remove(&pod.uid).is_some() {
                    self.tell(PodsItem::Gone(pod.uid));
                }
            }
            Some(Seen::Listing(count)) if !self.listed => self.out.push_back(Ok(PodsItem::Listing(count))),
            Some(Seen::Listing(_) | Seen::Changed(_) | Seen::Back) | None => {}
        }
    }

    fn joined(&self, pod: Pod) -> Pod {
        Pod { revision: self.revision(&pod), ..pod }
    }

    fn revision(&self, pod: &Pod) -> Option<u64> {
        self.sets.get(pod.replica_set.as_ref()?).map(|set| set.number)
    }

    /// False for a pod of another Deployment whose selector overlaps with ours.
    fn belongs(&self, pod: &Pod) -> bool {
        let set = pod.replica_set.as_ref().and_then(|uid| self.sets.get(uid));
        let ours = self.selected.as_ref().map(|selected| selected.uid.as_str());
        set.is_none_or(|set| set.deployment.as_deref() == ours)
    }

    fn tell(&mut self, item: PodsItem) {
        if self.listed {
            self.out.push_back(Ok(item));
        }
    }

    /// The whole list again; oldest first, so that the order does not depend on hashing.
    fn tell_all(&mut self) {
        let mut all: Vec<Arc<Pod>> = self.pods.values().cloned().collect();
        all.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        self.out.push_back(Ok(PodsItem::Listed(all)));
    }
}
