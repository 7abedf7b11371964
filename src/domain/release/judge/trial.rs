//! What the API server's trial of a rollback means for it.

use super::{Concern, Facts, refuses, warns};
use crate::domain::release::{Does, Tried, Verdict};
use crate::domain::rollback;
use crate::text::Clean;

pub(super) fn concerns(facts: &Facts<'_>) -> Vec<Concern> {
    match &facts.trial {
        None => Vec::new(),
        Some(Err(why)) => vec![warns(
            "dry-run",
            say!("the API server could not be asked to try the rollback: {}", why),
            Clean::ours("what admission, quota or permissions refuse shows only when helm sends it, half way"),
            Clean::ours("look at the objects that change, and be ready to send the rollback a second time"),
        )],
        Some(Ok(_)) => [refused(facts), conflicts(facts), foreign(facts), untold(facts), leftovers(facts)]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// The objects about which something is said, the first one in words and the others by name.
fn said<'a>(facts: &Facts<'a>, words: impl Fn(&'a Tried) -> Option<Clean>) -> Option<(&'a Tried, Clean)> {
    let trial = facts.trial.as_ref().and_then(|trial| trial.as_ref().ok())?;
    let mut found = trial.tried.iter().filter_map(|tried| Some((tried, words(tried)?)));
    let (first, what) = found.next()?;
    let others = found.map(|(tried, _)| say!("{}", tried.object)).reduce(|all, one| say!("{}, {}", all, one));
    Some((first, others.map_or(what.clone(), |others| say!("{} (the same of {})", what, others))))
}

/// What the server does not let through: admission, quota, permissions, fields that cannot change.
fn refused(facts: &Facts<'_>) -> Option<Concern> {
    let revision = facts.target.revision;
    let trial = facts.trial.as_ref().and_then(|trial| trial.as_ref().ok())?;
    let (first, what) = said(facts, |tried| match &tried.verdict {
        Verdict::Refused(why) => Some(match tried.does {
            Does::Deletes => {
                say!(
                    "the API server does not let {} go, which revision {} does not have: {}",
                    tried.object,
                    revision,
                    why
                )
            }
            Does::Creates | Does::Patches | Does::Leaves => {
                say!("the API server refuses {} of revision {}: {}", tried.object, revision, why)
            }
        }),
        _ => None,
    })?;
    // In the order of the manifests what is deleted comes last.
    if !trial.stops_at(first) {
        return Some(warns(
            "dry-run",
            what,
            Clean::ours("helm leaves it where it is, and goes on"),
            Clean::ours("take it away by hand afterwards, where that is wanted"),
        ));
    }
    Some(refuses(
        "dry-run",
        what,
        Clean::ours("helm would stop there, with the objects before it changed already, and the release failed"),
        Clean::ours("repair what the server names, or choose another revision; it is tried again by itself"),
    ))
}

/// Fields that others own. Helm does not force them.
fn conflicts(facts: &Facts<'_>) -> Option<Concern> {
    let revision = facts.target.revision;
    let (_, what) = said(facts, |tried| match &tried.verdict {
        Verdict::Conflicts(clashes) => {
            let clash = clashes.first()?;
            let more = match clashes.len() {
                1 => Clean::default(),
                all => say!(", and {} more fields", all - 1),
            };
            Some(say!(
                "{} has written {} of {}{}, which revision {} sets otherwise",
                clash.by,
                clash.field,
                tried.object,
                more,
                revision
            ))
        }
        _ => None,
    })?;
    Some(refuses(
        "server-side-apply",
        say!("revision {} is sent by server-side apply (Helm 4), and {}", revision, what),
        Clean::ours("Helm answers `conflict occurred while applying object`, and the rollback fails half way"),
        say!(
            "if what they wrote may be overwritten, send it by hand with {} --force-conflicts",
            rollback::plan(facts).command(facts.context)
        ),
    ))
}

/// An object of the target that is there, and that the release does not have now.
fn foreign(facts: &Facts<'_>) -> Option<Concern> {
    let trial = facts.trial.as_ref().and_then(|trial| trial.as_ref().ok())?;
    let (current, target) = (facts.current.revision, facts.target.revision);
    let (first, what) = said(facts, |tried| {
        tried.foreign.then(|| {
            say!("{} is in the cluster and in revision {}, and not in revision {}", tried.object, target, current)
        })
    })?;
    let namespace = first.object.namespace.clone().unwrap_or_else(|| say!("{}", facts.target.namespace));
    Some(if trial.helm.takes_over() {
        warns(
            "foreign-object",
            what,
            say!("helm {} takes it over, and overwrites what is in it", trial.helm.version),
            Clean::ours("see whose it is, and keep a copy of it, before the rollback"),
        )
    } else {
        refuses(
            "foreign-object",
            what,
            say!(
                "helm {} stops there half way, and the release is failed; 4.2 is the first that takes it over",
                trial.helm.version
            ),
            say!(
                "see whose it is; where nobody needs it, keep a copy and take it away: kubectl -n {} get {} -o yaml > {}.yaml && kubectl -n {} delete {}",
                namespace,
                first.object,
                first.object.name,
                namespace,
                first.object
            ),
        )
    })
}

/// What an upgrade that failed brought, and nobody takes away: the next upgrade starts from the
/// revision that was deployed before it.
fn leftovers(facts: &Facts<'_>) -> Option<Concern> {
    let (current, target) = (facts.current.revision, facts.target.revision);
    let (first, what) = said(facts, |tried| {
        (tried.does == Does::Leaves).then(|| {
            say!(
                "{} is left over from an upgrade that failed: neither revision {} nor {} has it",
                tried.object,
                current,
                target
            )
        })
    })?;
    let namespace = first.object.namespace.clone().unwrap_or_else(|| say!("{}", facts.target.namespace));
    Some(warns(
        "leftovers",
        what,
        Clean::ours("Helm leaves it, and it goes on working: an autoscaler goes on setting the replicas"),
        say!(
            "see whether anybody needs it, and take it away by hand: kubectl -n {} delete {}",
            namespace,
            first.object
        ),
    ))
}

fn untold(facts: &Facts<'_>) -> Option<Concern> {
    let trial = facts.trial.as_ref().and_then(|trial| trial.as_ref().ok())?;
    let untold = said(facts, |tried| match &tried.verdict {
        Verdict::Untold(why) => Some(say!("{} could not be tried: {}", tried.object, why)),
        _ => None,
    });
    let many = (trial.left_out > 0).then(|| say!("{} objects more were not tried", trial.left_out));
    let what = match (untold, many) {
        (Some((_, what)), Some(many)) => say!("{}; {}", what, many),
        (Some((_, what)), None) => what,
        (None, Some(many)) => many,
        (None, None) => return None,
    };
    Some(warns(
        "dry-run",
        what,
        Clean::ours("what the API server refuses of them shows only when helm sends it, half way"),
        Clean::ours("compare them with what is in the cluster before you send it"),
    ))
}
