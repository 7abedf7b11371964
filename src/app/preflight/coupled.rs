//! What a rollback of the template does not bring back: configuration, keys, replicas, the image
//! behind a tag.

use crate::app::preflight::{self, Finding};
use crate::app::state::State;
use crate::domain::cluster::WorkloadRef;
use crate::domain::coupled::{Coupled, Found, Leaning, Pull, ScalerKind, drifted};
use crate::domain::image::Image;
use crate::domain::live::Live;
use crate::domain::salt::{Comparison, Outlook, Verdict, outlook};
use crate::domain::step::StepKind;
use crate::domain::workload::{Revision, Workload};
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        let Some((target, _)) = preflight::target(state, workload) else { continue };
        let Some(about) = state.coupling.about(reference, &target.uid) else {
            found.push(waiting(target));
            continue;
        };
        match &about.coupled {
            Live::Waiting => found.push(waiting(target)),
            Live::Seen { value, .. } => all(state, workload, target, value, found),
            Live::Lost { why, .. } | Live::Absent(why) => found.push(Finding::unknown(
                "coupled",
                say!("what revision {} leans on could not be read: {}", target.number, why.what),
                Clean::ours("a ConfigMap, a Secret or a key may have changed since it ran"),
                why.remedy.clone(),
            )),
        }
    }
}

fn waiting(target: &Revision) -> Finding {
    Finding::waiting("coupled", say!("what revision {} leans on is not read yet", target.number))
}

fn all(state: &State, workload: &Workload, target: &Revision, coupled: &Coupled, found: &mut Vec<Finding>) {
    sources(workload, target, coupled, found);
    scalers(workload, coupled, found);
    found.extend(tag(workload, target, coupled.pull));
    found.push(salt(state, &workload.reference, target, &coupled.salt));
}

/// ConfigMaps and Secrets: gone, without a key, unknown, or changed since the target ran.
fn sources(workload: &Workload, target: &Revision, coupled: &Coupled, found: &mut Vec<Finding>) {
    let before = found.len();
    for leaning in &coupled.leanings {
        found.extend(absent(target, leaning));
    }
    let unknown: Vec<_> = coupled
        .leanings
        .iter()
        .filter_map(|leaning| match &leaning.found {
            Found::Unknown(why) => Some((&leaning.source, why)),
            _ => None,
        })
        .collect();
    if let Some((source, why)) = unknown.first() {
        found.push(
            Finding::unknown(
                "config-drift",
                say!(
                    "{} of {} objects that revision {} leans on could not be read",
                    unknown.len(),
                    coupled.leanings.len(),
                    target.number
                ),
                Clean::ours("nobody can tell whether they changed since it ran"),
                Clean::ours("ask for `get configmaps` and `get secrets`, or look by hand"),
            )
            .because(say!("{}: {}", source, why)),
        );
    }
    for (leaning, written) in drifted(coupled, workload) {
        found.push(changed(target, leaning, written, &coupled.checksums));
    }
    if found.len() == before {
        found.push(match coupled.checksums.first() {
            Some(name) => Finding::warns(
                "config-drift",
                say!("the annotation {} of revision {} is not the live one", name, target.number),
                Clean::ours("the target ran with another configuration than the one that is there now"),
                Clean::ours("compare the ConfigMap with the one of that release"),
            ),
            None => Finding::fine(
                "config-drift",
                say!(
                    "{} ConfigMaps and Secrets that revision {} leans on are as they were",
                    coupled.leanings.len(),
                    target.number
                ),
            ),
        });
    }
}

/// What the target's pods cannot start without.
fn absent(target: &Revision, leaning: &Leaning) -> Option<Finding> {
    let keys = leaning.lacks.iter().cloned().reduce(|all, key| say!("{}, {}", all, key));
    let what = match (&leaning.found, keys) {
        (Found::Gone, _) if leaning.optional => return None,
        (Found::Gone, _) => say!("{}, which revision {} needs, is not there", leaning.source, target.number),
        (_, Some(keys)) => say!("{} lacks {}, which revision {} needs", leaning.source, keys, target.number),
        (_, None) => return None,
    };
    let uses = leaning.uses.iter().map(crate::domain::coupled::Use::words).reduce(|all, one| say!("{}, {}", all, one));
    let blocks = Finding::blocks(
        "config-missing",
        StepKind::Revert,
        what,
        Clean::ours("put it back first, or choose another target"),
    );
    let consequence = Clean::ours("its pods do not start: CreateContainerConfigError, or they wait for the volume");
    Some(Finding { consequence, ..blocks }.because(uses.unwrap_or_default()))
}

fn changed(target: &Revision, leaning: &Leaning, written: jiff::Timestamp, checksums: &[Clean]) -> Finding {
    let by = match &leaning.found {
        Found::There { by: Some(by), .. } => say!(" by {}", by),
        _ => Clean::default(),
    };
    let uses = leaning.uses.iter().map(crate::domain::coupled::Use::words).reduce(|all, one| say!("{}, {}", all, one));
    let sums = checksums.iter().map(|name| say!("; {} differs", name)).reduce(|all, one| say!("{}{}", all, one));
    let consequence = if leaning.frozen() {
        Clean::ours(
            "a revert does not bring it back: pods that run keep what they started with, and the target's new pods start with what is in it now",
        )
    } else {
        Clean::ours("a revert does not bring it back: the target's pods find what is in it now")
    };
    let remedy = say!("put back what {} held then, from Git or a backup, or choose another target", leaning.source);
    Finding::warns(
        "config-drift",
        say!("{} changed after revision {} was replaced", leaning.source, target.number),
        consequence,
        remedy,
    )
    .because(say!("written at {}{}; {}{}", written, by, uses.unwrap_or_default(), sums.unwrap_or_default()))
}

/// Autoscalers: a revert leaves the number of replicas alone, whoever sets it.
fn scalers(workload: &Workload, coupled: &Coupled, found: &mut Vec<Finding>) {
    let replicas = workload.numbers.wanted.unwrap_or(1);
    let scalers = match &coupled.scalers {
        Ok(scalers) => scalers,
        Err(why) => {
            found.push(
                Finding::unknown(
                    "autoscaler",
                    Clean::ours("whether an autoscaler sets the replicas is not known"),
                    Clean::ours("it may scale during the rollout, or to zero"),
                    Clean::ours("ask for `list horizontalpodautoscalers.autoscaling`, or look by hand"),
                )
                .because(why.clone()),
            );
            return;
        }
    };
    for scaler in scalers {
        let name = say!("{}/{}", scaler.kind.word(), scaler.name);
        let bounds = say!("{} sets {} to {} replicas; {} are wanted now", name, scaler.min, scaler.max, replicas);
        found.push(if replicas == 0 {
            Finding::warns(
                "autoscaler",
                say!("{} has 0 replicas", workload.reference),
                Clean::ours("a revert starts no pod, and an autoscaler leaves 0 replicas alone"),
                Clean::ours("scale it to at least 1 after the revert"),
            )
            .because(bounds)
        } else if scaler.paused {
            Finding::warns(
                "autoscaler",
                say!("{} is paused", name),
                Clean::ours("the number of replicas stays as it is, whatever the load"),
                Clean::ours("unpause it when the rollback is proved"),
            )
            .because(bounds)
        } else if !(scaler.min..=scaler.max).contains(&replicas) {
            Finding::warns(
                "autoscaler",
                say!("{} replicas are wanted, and {} sets {} to {}", replicas, name, scaler.min, scaler.max),
                Clean::ours("the autoscaler changes the number while the rollout runs"),
                Clean::ours("let it settle first"),
            )
        } else if scaler.kind == ScalerKind::Keda && scaler.min == 0 {
            Finding::warns(
                "autoscaler",
                say!("{} may scale to 0 replicas", name),
                Clean::ours("without load no pod of the target starts, and nothing proves it"),
                Clean::ours("hold it at 1 or more until the rollback is proved"),
            )
            .because(bounds)
        } else {
            Finding::fine("autoscaler", bounds)
        });
    }
    if scalers.is_empty() {
        found.push(Finding::fine("autoscaler", say!("no autoscaler; {} replicas are wanted", replicas)));
    }
}

/// A tag that can lead to another image than the one that the target ran.
fn tag(workload: &Workload, target: &Revision, pull: Option<Pull>) -> Option<Finding> {
    let image = target.image()?;
    if image.digest().is_some() {
        return Some(Finding::fine("tag", say!("the target's image is pinned by digest")));
    }
    let live = workload.current();
    let same = live.and_then(Revision::image) == Some(image);
    let (ran, runs) = (target.digest.as_ref(), live.and_then(|live| live.digest.as_ref()));
    let differ = same && ran.zip(runs).is_some_and(|(ran, runs)| ran != runs);
    let remedy = pin(image, ran);
    let again = match pull {
        Some(Pull::Always) => "the registry decides at each start: the rollback may pull the bad image again",
        Some(Pull::Never) => "a node runs what it has under that tag",
        Some(Pull::IfNotPresent) | None => {
            "nodes that have the tag run what they have, others pull what it leads to now"
        }
    };
    let digests = || {
        let [ran, runs] = [ran, runs].map(|digest| digest.cloned().unwrap_or(Clean::ours("an unknown digest")));
        say!("revision {} ran {}, live runs {}", target.number, ran, runs)
    };
    if differ {
        let what = say!("{} leads to another image than the one that revision {} ran", image, target.number);
        return Some(Finding::warns("tag", what, Clean::ours(again), remedy).because(digests()));
    }
    if !image.floats() {
        return Some(Finding::fine("tag", say!("the tag of {} names a version", image)));
    }
    let what = say!("{} is a floating tag", image);
    Some(Finding::warns("tag", what, Clean::ours(again), remedy).because(digests()))
}

fn pin(image: &Image, digest: Option<&Clean>) -> Clean {
    match digest.zip(image.repository().parse::<Image>().ok()) {
        Some((digest, repository)) => say!("pin it: after the revert set the image {}@{}", repository, digest),
        None => Clean::ours("find the digest that ran in the registry, and pin it: set the image by digest"),
    }
}

/// The salt key decides whether stored credentials can be read. Compared, never shown.
fn salt(state: &State, reference: &WorkloadRef, target: &Revision, keys: &Comparison) -> Finding {
    let about = state.coupling.about(reference, &target.uid);
    let word = match keys.verdict {
        Verdict::Same => "same",
        Verdict::Different => "different",
        Verdict::Unknown(_) => "unknown",
    };
    let what = say!("salt key of the live template and of revision {}: {}", target.number, word);
    let from = if keys.live == keys.target {
        say!("{}", keys.live)
    } else {
        say!("live: {}; target: {}", keys.live, keys.target)
    };
    if about.is_some_and(|about| matches!(about.opened, Live::Waiting)) {
        return Finding::waiting("salt-key", what).because(from);
    }
    let opened = about.and_then(|about| about.opened.last());
    match outlook(keys, opened) {
        Outlook::Reads(why) => Finding::fine("salt-key", say!("{}; {}", what, why)).because(from),
        Outlook::Doubtful(why) => Finding::warns(
            "salt-key",
            what,
            why,
            Clean::ours("look at one stored credential after the revert, by a real completion"),
        )
        .because(from),
        Outlook::Unknown(why) => Finding::unknown(
            "salt-key",
            what,
            Clean::ours("credentials that were stored under one key cannot be read under another"),
            Clean::ours("ask for `get secrets`, or compare the two by hand"),
        )
        .because(say!("{}; {}", from, why)),
        Outlook::Blind(why) => {
            let remedy = Clean::ours("choose a target with the right key, or put the key back first");
            let blocks = Finding::blocks("salt-key", StepKind::Revert, what, remedy);
            let consequence =
                Clean::ours("stored credentials cannot be read after the revert: every model loses its API key");
            Finding { consequence, ..blocks }.because(say!("{}; {}", why, from))
        }
    }
}
