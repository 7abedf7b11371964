//! The sandbox as a cluster: pods, logs, revisions, and changes of the Deployment.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;

use super::Sandbox;
use super::coupled;
use super::memory::{Deed, Patch};
use super::model::Model;
use super::parts::{Fate, Millis, Plan, ReplicaSet, SandboxPod};
use super::script;
use crate::domain::catalog::{Catalog, Found, Known, Listing};
use crate::domain::change::{Applied, Change, Cleared, Preview};
use crate::domain::cluster::{
    Ask, ContainerStatus, Field, Fingerprint, Identity, Permission, Phase, Pod, PodsItem, WorkloadRef,
    is_shown_variable,
};
use crate::domain::coupled::Coupled;
use crate::domain::incident::Goal;
use crate::domain::log::{LogItem, LogLine, LogSource};
use crate::domain::name::{Name, Uid};
use crate::domain::salt::Keys;
use crate::domain::scenario::Setting;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::{
    Container, Discovered, EnvValue, EnvVar, Owner, Revision, RevisionStatus, Rollout, RolloutNumbers, Template,
    Workload,
};
use crate::text::{Clean, Gate, LineGate};
use crate::world::{Cluster, Feed, Reply, Workloads};

impl Sandbox {
    fn reference(&self) -> WorkloadRef {
        WorkloadRef { namespace: self.scenario.place.namespace.clone(), name: self.scenario.place.workload.clone() }
    }

    /// Refuses a Deployment that is not this world's.
    pub(super) fn ours(&self, workload: &WorkloadRef) -> Result<(), Trouble> {
        if *workload == self.reference() {
            return Ok(());
        }
        Err(Trouble::new(TroubleKind::NotFound, say!("there is no {} in namespace {}", workload, workload.namespace))
            .remedy(say!("this drill has {} in {}", self.reference(), self.scenario.place.namespace)))
    }

    /// A template as the console sees it.
    pub(super) fn template(&self, plan: &Plan) -> Template {
        let container = &self.scenario.place.container;
        let place = say!("spec.containers[{}]", container);
        let mut fields = BTreeMap::new();
        fields.insert(say!("{}.image", place), Field::Shown(say!("{}", plan.image)));
        let words = plan.words.iter().fold(Clean::default(), |all, word| say!("{} {}", all, word));
        if !words.is_empty() {
            fields.insert(say!("{}.args", place), Field::Shown(self.gate.clean(words.as_str().trim())));
        }
        if let Some(at) = plan.restarted {
            fields.insert(
                Clean::ours("metadata.annotations[kubectl.kubernetes.io/restartedAt]"),
                Field::Shown(say!("{}", at)),
            );
        }
        if let Some(checksum) = &plan.checksum {
            let path = Clean::ours("metadata.annotations.checksum/config");
            fields.insert(path, Field::Shown(checksum.clone()));
        }
        for source in self.scenario.sources.iter().filter(|source| plan.leans.contains(&source.source.name)) {
            let path = say!("{}.volumeMounts[{}]", place, source.path);
            fields.insert(path, Field::Shown(say!("{} key {}", source.source, source.key)));
        }
        let mut env = Vec::new();
        for (name, setting) in &plan.env {
            let value = match setting {
                Setting::Literal(value) if is_shown_variable(name) => {
                    EnvValue::Literal(Field::Shown(self.gate.clean(value.expose())))
                }
                Setting::Literal(value) => {
                    EnvValue::Literal(Field::Hidden(Fingerprint::new(&self.key, value.expose().as_bytes())))
                }
                Setting::From(place) => EnvValue::From(place.clone()),
            };
            let field = match &value {
                EnvValue::Literal(field) => field.clone(),
                EnvValue::From(place) => Field::Shown(say!("from {}", place)),
            };
            fields.insert(say!("{}.env[{}]", place, name), field);
            env.push(EnvVar { name: name.clone(), value });
        }
        let container = Container {
            name: container.clone(),
            image: plan.image.clone(),
            init: false,
            words: plan.words.clone(),
            env,
            env_from: vec![],
        };
        Template { containers: vec![container], fields, ..Template::default() }
    }

    fn see_workload(&self, model: &Model) -> Workload {
        let updated: Vec<_> = model.pods.iter().filter(|pod| pod.alive() && pod.set == model.current).collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let numbers = RolloutNumbers {
            generation: model.generation,
            observed: if model.observed() { model.generation } else { model.generation - 1 },
            wanted: Some(self.scenario.place.replicas),
            updated: count(updated.len()),
            total: count(model.pods.iter().filter(|pod| pod.alive()).count()),
            available: count(model.pods.iter().filter(|pod| pod.ready(model.now)).count()),
            deadline_exceeded: model.deadline_exceeded(),
        };
        let mut revisions: Vec<_> =
            (0..model.sets.len()).map(|at| self.revision(model, at, numbers.status())).collect();
        revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
        Workload {
            reference: self.reference(),
            uid: self.workload_uid(),
            paused: false,
            owner: self
                .scenario
                .helm
                .as_ref()
                .map_or(Owner::Nobody, |helm| Owner::Helm { release: say!("{}", helm.release) }),
            numbers,
            template: self.template(model.plan()),
            revisions,
            jobs: Some(vec![]),
            conditions: vec![],
        }
    }

    fn revision(&self, model: &Model, at: usize, rollout: Rollout) -> Revision {
        let set = &model.sets[at];
        let pods: Vec<_> = model.pods.iter().filter(|pod| pod.set == at && pod.alive()).collect();
        let status = match rollout {
            _ if at != model.current => RevisionStatus::Superseded,
            Rollout::Done => RevisionStatus::Live,
            Rollout::Waiting(why) => RevisionStatus::Rolling(why),
            Rollout::Failed(why) => RevisionStatus::Failed(why),
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Revision {
            number: set.number,
            uid: set.uid.clone(),
            name: set.name.clone(),
            created: model.time(set.created),
            change_cause: set.cause.clone(),
            replicas: count(pods.len()),
            ready: count(pods.iter().filter(|pod| pod.ready(model.now)).count()),
            digest: pods.iter().find_map(|pod| digest(model, pod)).or_else(|| set.ran.clone()),
            status,
            template: self.template(&set.plan),
        }
    }

    /// What a pod lists: in a drill every image holds what its version published.
    fn listed(&self, model: &Model, name: &Name) -> Result<Listing, Trouble> {
        let there = model.pods.iter().find(|pod| pod.gone.is_none() && pod.name == *name);
        let pod = there.filter(|pod| pod.running().is_some()).ok_or_else(|| {
            Trouble::new(TroubleKind::NotFound, say!("there is no running pod {}", name))
                .remedy(Clean::ours("choose a pod that runs"))
        })?;
        let image = model.sets[pod.set].plan.image.clone();
        let catalog = Catalog::embedded();
        let package = match image.version().map(|version| catalog.release(&version)) {
            Some(Known::Exactly(release)) => catalog.packages_of(release.pin).next_back(),
            _ => None,
        };
        let package = package
            .ok_or_else(|| Trouble::new(TroubleKind::Invalid, say!("this drill does not know what {} holds", image)))?;
        let container = self.scenario.place.container.clone();
        let found = Found::published(package, catalog);
        Ok(Listing { pod: name.clone(), container, digest: digest(model, pod), image, found })
    }

    fn workload_uid(&self) -> Uid {
        let seed = super::parts::hash(self.scenario.id.as_str());
        let text = format!("{seed:016x}");
        text.parse().unwrap_or_else(|why| unreachable!("hexadecimal digits: {why}"))
    }

    fn see_pod(&self, model: &Model, pod: &SandboxPod) -> Pod {
        let set: &ReplicaSet = &model.sets[pod.set];
        let running = pod.running();
        let container = ContainerStatus {
            name: self.scenario.place.container.clone(),
            image: set.plan.image.clone(),
            digest: digest(model, pod),
            ready: pod.ready(model.now),
            restarts: u32::try_from(pod.runs.len().saturating_sub(1)).unwrap_or(u32::MAX),
            waiting: waiting(pod),
            last_exit: last_exit(pod),
            started: running.map(|run| model.time(run.started)),
            terminated: false,
            init: false,
        };
        Pod {
            uid: pod.uid.clone(),
            name: pod.name.clone(),
            workload: self.reference(),
            phase: if pod.runs.is_empty() { Phase::Pending } else { Phase::Running },
            terminating: pod.terminating.is_some(),
            created: model.time(pod.created),
            replica_set: Some(set.uid.clone()),
            revision: Some(set.number),
            node: Some(say!("drill-node-{}", pod.seed % 3 + 1)),
            containers: vec![container],
            reason: None,
        }
    }

    /// Checks that a change was planned on what is there, and says what template it leads to.
    fn planned(&self, model: &Model, change: &Change) -> Result<Plan, Trouble> {
        self.ours(&change.workload)?;
        let changed = |what: Clean| {
            Trouble::new(TroubleKind::Changed, what).remedy(Clean::ours("look at what is live now, and plan again"))
        };
        if change.uid != self.workload_uid() {
            return Err(changed(say!("{} was deleted and created again; nothing was applied", change.workload)));
        }
        if change.generation != model.generation {
            return Err(changed(say!(
                "{} changed from generation {} to {} meanwhile; nothing was applied",
                change.workload,
                change.generation,
                model.generation
            )));
        }
        if change.from_image.as_ref().is_some_and(|image| *image != model.plan().image) {
            return Err(changed(say!("{} runs {} now; nothing was applied", change.workload, model.plan().image)));
        }
        model.patched(&Patch::from(&change.kind), change.protect).ok_or_else(|| {
            Trouble::new(
                TroubleKind::NotFound,
                say!("{} cannot {}: there is no such revision or container", change.workload, change.sentence()),
            )
            .remedy(Clean::ours("choose among what the revisions pane shows"))
        })
    }
}

/// The digest that the node pulled, once a container was started.
fn digest(model: &Model, pod: &SandboxPod) -> Option<Clean> {
    if pod.runs.is_empty() { None } else { model.image(pod).map(|image| image.digest.clone()) }
}

fn waiting(pod: &SandboxPod) -> Option<Clean> {
    if pod.unpullable {
        return Some(Clean::ours("ImagePullBackOff"));
    }
    match pod.runs.last() {
        None => Some(Clean::ours("ContainerCreating")),
        Some(run) if run.ended.is_some() && pod.terminating.is_none() => Some(Clean::ours("CrashLoopBackOff")),
        Some(_) => None,
    }
}

fn last_exit(pod: &SandboxPod) -> Option<Clean> {
    let ended = pod.runs.iter().rev().find(|run| run.ended.is_some())?;
    match &ended.fate {
        Fate::Crash { exit, .. } => Some(exit.clone()),
        Fate::Refused { .. } => Some(Clean::ours("Error (exit code 2)")),
        Fate::Up { .. } => None,
    }
}

/// What a log feed remembers between two looks.
struct Following {
    gate: Gate,
    lines: LineGate,
    /// The run that is followed; `None` before the first.
    run: Option<usize>,
    /// The last moment whose lines were sent.
    seen: Millis,
    /// The end of the run was told.
    ended: bool,
}

impl Following {
    fn look(&mut self, model: &Model, source: &Arc<LogSource>, tail: usize) -> Vec<LogItem> {
        let Some(pod) = model.pods.iter().find(|pod| pod.uid == source.uid) else { return vec![] };
        let mut items = Vec::new();
        let wanted = if source.previous { pod.runs.len().checked_sub(2) } else { pod.runs.len().checked_sub(1) };
        let Some(wanted) = wanted else { return items };
        let first = self.run.is_none();
        if first || (!source.previous && self.ended && self.run != Some(wanted)) {
            self.run = Some(wanted);
            self.lines = self.gate.lines();
            self.seen = Millis::MIN / 2;
            self.ended = false;
            items.push(LogItem::Following);
        }
        let Some(run) = self.run.and_then(|at| pod.runs.get(at)) else { return items };
        if self.ended {
            return items;
        }
        let mut lines: Vec<LogLine> = script::lines(model, pod, run, self.seen, model.now)
            .into_iter()
            .map(|line| LogLine::new(model.time(line.at), source, self.lines.clean(&line.text)))
            .collect();
        if first {
            let spare = lines.len().saturating_sub(tail);
            lines.drain(..spare);
        }
        self.seen = model.now;
        if !lines.is_empty() {
            items.push(LogItem::Lines(lines.into()));
        }
        if run.ended.is_some() {
            self.ended = true;
            items.push(LogItem::Ended);
        }
        items
    }
}

impl Cluster for Sandbox {
    fn identity(&self) -> Reply<Identity> {
        let place = &self.scenario.place;
        let identity = Identity {
            context: Some(place.context.clone()),
            server: place.server.clone(),
            cluster_uid: Some(self.workload_uid()),
            version: place.version.clone(),
            user: place.user.clone(),
        };
        async { Ok(identity) }.boxed()
    }

    fn permissions(&self, asks: Vec<Ask>) -> Reply<Vec<Permission>> {
        let allowed = |ask| Permission { ask, allowed: Some(true), reason: Clean::ours("a drill allows everything") };
        async move { Ok(asks.into_iter().map(allowed).collect()) }.boxed()
    }

    fn discover(&self) -> Reply<Vec<Discovered>> {
        let found = self.look(|model, _| Discovered {
            reference: self.reference(),
            image: Some(model.plan().image.clone()),
            because: Clean::ours("its image is LiteLLM's"),
        });
        async { Ok(vec![found]) }.boxed()
    }

    fn workload(&self, workload: &WorkloadRef) -> Feed<Result<Box<Workload>, Trouble>> {
        let workload = workload.clone();
        self.watch(None, move |sandbox, last: &mut Option<Result<Box<Workload>, Trouble>>| {
            let seen = sandbox.ours(&workload).map(|()| sandbox.look(|model, _| Box::new(sandbox.see_workload(model))));
            if last.as_ref() == Some(&seen) {
                return vec![];
            }
            *last = Some(seen.clone());
            vec![seen]
        })
    }

    fn pods(&self, workload: &WorkloadRef) -> Feed<Result<PodsItem, Trouble>> {
        let workload = workload.clone();
        self.watch(None, move |sandbox, last: &mut Option<BTreeMap<Uid, Arc<Pod>>>| {
            if let Err(trouble) = sandbox.ours(&workload) {
                let first = last.is_none();
                *last = Some(BTreeMap::new());
                return if first { vec![Err(trouble)] } else { vec![] };
            }
            let seen: BTreeMap<Uid, Arc<Pod>> = sandbox.look(|model, _| {
                let there = model.pods.iter().filter(|pod| pod.gone.is_none());
                there.map(|pod| (pod.uid.clone(), Arc::new(sandbox.see_pod(model, pod)))).collect()
            });
            let Some(before) = last.replace(seen.clone()) else {
                return vec![Ok(PodsItem::Listed(seen.into_values().collect()))];
            };
            let gone = before.keys().filter(|uid| !seen.contains_key(*uid)).cloned().map(PodsItem::Gone);
            let changed = seen.iter().filter(|(uid, pod)| before.get(*uid) != Some(*pod));
            gone.chain(changed.map(|(_, pod)| PodsItem::Changed(Arc::clone(pod)))).map(Ok).collect()
        })
    }

    fn coupled(&self, workload: &WorkloadRef, target: Goal) -> Reply<Coupled> {
        let seen = self.ours(workload).and_then(|()| self.look(|model, _| self.see_coupled(model, target)));
        async { seen }.boxed()
    }

    fn salt_keys(&self, workload: &WorkloadRef, target: Goal) -> Reply<Keys> {
        let keys = self.ours(workload).and_then(|()| self.look(|model, _| coupled::keys(model, &target)));
        async { keys }.boxed()
    }

    fn listing(&self, pod: &Name) -> Reply<Listing> {
        let listed = self.look(|model, _| self.listed(model, pod));
        async { listed }.boxed()
    }

    fn logs(&self, source: &LogSource, tail: u32) -> Feed<LogItem> {
        let source = Arc::new(source.clone());
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        let gate = self.gate.clone();
        let lines = gate.lines();
        let following = Following { gate, lines, run: None, seen: Millis::MIN / 2, ended: false };
        self.watch(following, move |sandbox, following| sandbox.look(|model, _| following.look(model, &source, tail)))
    }
}

impl Workloads for Sandbox {
    fn preview(&self, change: Change) -> Reply<Preview> {
        let preview = self.look(|model, _| {
            let plan = self.planned(model, &change)?;
            let template = self.template(&plan).with_switch(self.switch(model, &plan));
            let diff = self.template(model.plan()).diff(&template);
            Ok(Preview { change, template, diff, warnings: vec![], jobs: Some(vec![]) })
        });
        async { preview }.boxed()
    }

    fn apply(&self, cleared: Cleared) -> Reply<Applied> {
        let sandbox = self.clone();
        async move {
            let change = cleared.change();
            sandbox.act(|model, _| {
                let plan = sandbox.planned(model, change)?;
                if sandbox.template(&plan).with_switch(sandbox.switch(model, &plan)) != *cleared.template() {
                    return Err(Trouble::new(
                        TroubleKind::Changed,
                        say!(
                            "{} would get another template than the one that was judged; nothing was applied",
                            change.workload
                        ),
                    )
                    .remedy(Clean::ours("look at what is live now, and plan again")));
                }
                let unchanged = plan == *model.plan();
                let deed = Deed::Changed { change: Patch::from(&change.kind), protect: change.protect };
                let words = if unchanged {
                    say!("{} has that template already; nothing rolls", change.workload)
                } else {
                    say!("{} is patched and has generation {}", change.workload, model.generation + 1)
                };
                let generation = if unchanged { model.generation } else { model.generation + 1 };
                Ok((deed, Applied { generation, words }))
            })
        }
        .boxed()
    }
}
