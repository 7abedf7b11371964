//! What a rollback does to the objects of the release, and what it leaves as it is.

use super::{Concern, Facts, warns};
use crate::domain::release::{ApplyMethod, ObjectChange, Release, disagreements, manifest_diff};
use crate::text::Clean;

pub(super) fn concerns(facts: &Facts<'_>) -> Vec<Concern> {
    [replicas(facts), deleted(facts), server_side(facts), drift(facts)].into_iter().flatten().collect()
}

/// `spec.replicas` in one of the two manifests only: Helm sends `replicas: null`, which is one
/// pod, or takes the number away from an autoscaler (helm/helm#12650, #12486).
fn replicas(facts: &Facts<'_>) -> Option<Concern> {
    let of = |release: &Release| release.deployment(&facts.workload.reference).map(|object| object.replicas);
    let live = facts.workload.numbers.wanted.unwrap_or(1);
    let scale = say!(
        "kubectl -n {} scale {} --replicas={}",
        facts.workload.reference.namespace,
        facts.workload.reference,
        live
    );
    match (of(facts.current)?, of(facts.target)?) {
        (Some(_), None) => Some(warns(
            "replicas",
            say!(
                "revision {} sets no replicas, because it has an autoscaler; the current one does",
                facts.target.revision
            ),
            say!("Helm sends `replicas: null`: {} pods become 1 until the autoscaler acts", live),
            say!("be ready to scale: {}", scale),
        )),
        (None, Some(wanted)) if wanted != live => Some(warns(
            "replicas",
            say!(
                "revision {} sets {} replicas; the current one leaves them to an autoscaler",
                facts.target.revision,
                wanted
            ),
            say!("{} pods become {}", live, wanted),
            say!("be ready to scale: {}", scale),
        )),
        (Some(_), Some(wanted)) if wanted != live => Some(warns(
            "replicas",
            say!("revision {} sets {} replicas, and {} are wanted now", facts.target.revision, wanted, live),
            say!("{} pods become {}", live, wanted),
            say!("be ready to scale: {}", scale),
        )),
        _ => None,
    }
}

/// Objects of the current revision that the target does not have are deleted.
fn deleted(facts: &Facts<'_>) -> Option<Concern> {
    let gone = manifest_diff(facts.current, facts.target).into_iter().filter_map(|change| match change {
        ObjectChange::Deletes { object, keeps: false } => Some(say!("{}", object)),
        _ => None,
    });
    let names = gone.reduce(|all, name| say!("{}, {}", all, name))?;
    Some(warns(
        "deletes",
        say!("not in revision {}: {}", facts.target.revision, names),
        Clean::ours("Helm deletes them"),
        Clean::ours("annotate what must stay in the release with helm.sh/resource-policy: keep first"),
    ))
}

/// Server-side apply: what other managers own stays as it is (rancher/fleet#4879). Where the target
/// sets it otherwise, the trial tells (microsoft/Docker-Provider#1667).
fn server_side(facts: &Facts<'_>) -> Option<Concern> {
    let what = match &facts.target.apply {
        ApplyMethod::ClientSide => return None,
        ApplyMethod::ServerSide => say!("revision {} is sent by server-side apply (Helm 4)", facts.target.revision),
        ApplyMethod::Unknown(word) => say!("nobody knows how revision {} is sent: {}", facts.target.revision, word),
    };
    let writers = facts.history.writers.as_ref().map_or(Clean::ours("(not known)"), |all| {
        let names = all.iter().map(|writer| match &writer.fields[..] {
            [] => writer.who.clone(),
            [field] => say!("{}: {}", writer.who, field),
            [first, more @ ..] => say!("{}: {} and {} more", writer.who, first, more.len()),
        });
        names.reduce(|all, one| say!("{}, {}", all, one)).unwrap_or(Clean::ours("nobody else"))
    });
    Some(warns(
        "server-side-apply",
        say!("{}; fields of the template are also written by: {}", what, writers),
        Clean::ours("fields of others stay as they are, or the rollback fails with a conflict"),
        Clean::ours("compare the live template afterwards; the console never forces a conflict"),
    ))
}

/// What is live and in no manifest survives.
fn drift(facts: &Facts<'_>) -> Option<Concern> {
    let manifest = facts.current.deployment(&facts.workload.reference)?.template.as_ref()?;
    let found = disagreements(&facts.workload.template, manifest);
    let first = found.first()?;
    let more = if found.len() > 1 { say!(", and {} more", found.len() - 1) } else { Clean::default() };
    Some(warns(
        "drift",
        say!("{} is not what revision {} says: {}{}", facts.workload.reference, facts.current.revision, first, more),
        Clean::ours("what is in no manifest survives a rollback (helm/helm#13346)"),
        Clean::ours(
            "the live template is compared with the target after the rollback, and what is left is written down",
        ),
    ))
}
