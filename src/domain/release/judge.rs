//! What stands against a rollback of a release, and what must be known before it: pure judgement
//! over the current record, the target's record and what is live. The rules are Helm's own
//! (`pkg/action/rollback.go` of v3.21.4 and v4.2.4) and those of its known traps.

mod objects;
mod starting;
mod trial;
mod upgrade;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub use starting::lost;
pub use upgrade::pods_way;

use crate::domain::forecast;
use crate::domain::name::ContextName;
use crate::domain::release::candidate::never;
use crate::domain::release::{History, Release, ReleaseStatus, Trial};
use crate::domain::settings::SchemaSwitch;
use crate::domain::span;
use crate::domain::workload::{Template, Workload};
use crate::text::Clean;

/// A pending operation younger than this may belong to a client that lives: five minutes are
/// Helm's own default for `--timeout`.
const MAY_LIVE: SignedDuration = SignedDuration::from_mins(5);

/// How much a concern weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gravity {
    /// The rollback is refused.
    Refuses,
    /// The rollback is refused until the name of each object that it may lose was typed.
    Typed,
    /// It must be known before the rollback.
    Warns,
}

/// One thing to know before a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Concern {
    /// Which rule, in one word for programs.
    pub id: &'static str,
    /// How much it weighs.
    pub gravity: Gravity,
    /// What was found.
    pub what: Clean,
    /// What it leads to.
    pub consequence: Clean,
    /// What to do.
    pub remedy: Clean,
}

/// What the judgement rests on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The release's revisions.
    pub history: &'a History,
    /// The record of the newest one.
    pub current: &'a Release,
    /// The record to go back to.
    pub target: &'a Release,
    /// The Deployment that is to be well again.
    pub workload: &'a Workload,
    /// What the configuration file that the target's pods find says about the schema.
    pub switch: SchemaSwitch,
    /// What the API server said when the rollback was tried, or why it could not be; `None` where
    /// it was not tried yet.
    pub trial: Option<Result<&'a Trial, Clean>>,
    /// What a forecast of pods and Jobs rests on.
    pub forecast: &'a forecast::Facts<'a>,
    /// The kube context, for commands.
    pub context: Option<&'a ContextName>,
    /// Now.
    pub now: Timestamp,
}

impl Facts<'_> {
    /// The template that the target's pods start from, with what their configuration file says.
    pub fn pods(&self) -> Option<Template> {
        let template = self.target.deployment(&self.workload.reference)?.template.clone()?;
        Some(template.with_switch(self.switch.clone()))
    }
}

fn refuses(id: &'static str, what: Clean, consequence: Clean, remedy: Clean) -> Concern {
    Concern { id, gravity: Gravity::Refuses, what, consequence, remedy }
}

fn warns(id: &'static str, what: Clean, consequence: Clean, remedy: Clean) -> Concern {
    Concern { id, gravity: Gravity::Warns, what, consequence, remedy }
}

/// Everything that is known against going back to the target: what refuses it first.
pub fn concerns(facts: &Facts<'_>) -> Vec<Concern> {
    let mut found = Vec::new();
    found.extend(of_status(facts));
    found.extend(pending(facts));
    found.extend(unserved(facts));
    found.extend(deployment(facts));
    found.extend(paused(facts));
    found.extend(starting::concerns(facts));
    found.extend(trial::concerns(facts));
    found.extend(objects::concerns(facts));
    found.sort_by_key(|concern| concern.gravity);
    found
}

/// Only a revision that was rolled out to its end once is gone back to.
fn of_status(facts: &Facts<'_>) -> Option<Concern> {
    let (target, current) = (facts.target, facts.current);
    if target.revision == current.revision {
        return Some(refuses(
            "target-status",
            say!("revision {} is the newest of {}", target.revision, target.name),
            Clean::ours("there would be nothing to go back from"),
            Clean::ours("choose an older one"),
        ));
    }
    let failed = target.status.was_good() && target.never_came_through();
    (!target.status.was_good() || failed).then(|| {
        refuses(
            "target-status",
            match failed {
                true => say!("revision {} of {}: {}", target.revision, target.name, never(target)),
                false => say!("revision {} of {} is {}", target.revision, target.name, target.status.word()),
            },
            Clean::ours("it was never rolled out to its end, so nobody knows that it works"),
            Clean::ours("choose one that is superseded or deployed"),
        )
    })
}

/// An operation of Helm that has begun and not ended. Helm keeps no lease: its client is dead, or
/// is a CI job that still works.
fn pending(facts: &Facts<'_>) -> Option<Concern> {
    let row = &facts.history.current;
    if !row.status.pending() {
        return None;
    }
    let age = row.touched().map(|at| facts.now.duration_since(at).max(SignedDuration::ZERO));
    let since = age.map_or(Clean::ours("for nobody knows how long"), |age| say!("for {}", span::short(age)));
    let job = facts.workload.jobs.iter().flatten().find(|job| job.active);
    let job = job.map_or(Clean::default(), |job| say!("; Job {} is active", job.name));
    let what = say!("revision {} has been {} {}{}", row.revision, row.status.word(), since, job);
    if row.status == ReleaseStatus::PendingInstall && facts.history.older.is_empty() {
        return Some(refuses(
            "pending",
            what,
            Clean::ours("there is no revision to go back to"),
            say!("uninstall it by hand: helm uninstall {}", facts.history.release),
        ));
    }
    let young = age.is_none_or(|age| age < MAY_LIVE);
    Some(if young {
        refuses(
            "pending",
            what,
            Clean::ours("its client may still work: two of them at once leave the release in pieces"),
            say!("end the client or the CI job that runs it; from {} on it counts as dead", span::short(MAY_LIVE)),
        )
    } else {
        warns(
            "pending",
            what,
            Clean::ours("`helm upgrade` is refused until a rollback ends it (helm/helm#8987)"),
            Clean::ours("make sure that no CI job works on it; then roll back to the last good revision"),
        )
    })
}

/// Kinds that the server does not serve: Helm stops half way, and the release stays pending.
fn unserved(facts: &Facts<'_>) -> Option<Concern> {
    let [current, target] = [facts.current, facts.target].map(|release| release.unserved.as_deref());
    let (Some(current), Some(target)) = (current, target) else {
        return Some(warns(
            "api-versions",
            Clean::ours("the API server does not tell which kinds it serves"),
            Clean::ours("a removed API version stops Helm half way and leaves the release pending-rollback"),
            Clean::ours("compare the manifest with `kubectl api-resources`"),
        ));
    };
    let first = target.iter().chain(current).next()?;
    Some(refuses(
        "api-versions",
        say!("the API server does not serve {}, which a manifest of the release holds", first),
        Clean::ours("Helm stops with `unable to build kubernetes objects` and leaves the release pending-rollback"),
        Clean::ours("rewrite the stored manifests with the plugin helm-mapkubeapis, or upgrade with a chart of today"),
    ))
}

/// The Deployment must be in the target, or the rollback deletes it.
fn deployment(facts: &Facts<'_>) -> Option<Concern> {
    let reference = &facts.workload.reference;
    let there = facts.target.deployment(reference).is_some_and(|object| object.template.is_some());
    (!there).then(|| {
        refuses(
            "deployment",
            say!("revision {} has no {}", facts.target.revision, reference),
            Clean::ours("the rollback would delete it"),
            Clean::ours("choose a revision that has it"),
        )
    })
}

/// A paused Deployment rolls nothing out, so Helm would wait for its pods in vain.
fn paused(facts: &Facts<'_>) -> Option<Concern> {
    let reference = &facts.workload.reference;
    facts.workload.paused.then(|| {
        refuses(
            "paused",
            say!("{} is paused", reference),
            Clean::ours("helm would wait for its pods in vain, and the release would fail"),
            say!("kubectl -n {} rollout resume {}", reference.namespace, reference),
        )
    })
}
