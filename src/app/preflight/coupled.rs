//! What a rollback of the template does not bring back: configuration, keys, replicas, the image
//! behind a tag.

use crate::app::coupling;
use crate::app::preflight::{self, Finding, Severity};
use crate::app::state::State;
use crate::domain::cluster::WorkloadRef;
use crate::domain::coupled::{
    self, Aim, Coupled, Disable, Drift, Found, Leaning, Pull, Pulled, ScalerKind, SourceKind, Written, drifted, pin,
};
use crate::domain::image::Image;
use crate::domain::live::Live;
use crate::domain::salt::{Comparison, Outlook, Verdict, outlook};
use crate::domain::settings::{DISABLE_PRISMA_SCHEMA_UPDATE, Knows, SchemaSwitch, Settings, Unknown};
use crate::domain::step::StepKind;
use crate::domain::workload::Workload;
use crate::text::Clean;

pub(super) fn findings(state: &State, found: &mut Vec<Finding>) {
    for reference in &state.setting.workloads {
        let Some(workload) = state.workload(reference) else { continue };
        let Some((target, _)) = preflight::aim(state, workload) else { continue };
        let Some(about) = state.coupling.about(reference, &target.goal) else {
            found.push(waiting(&target));
            continue;
        };
        match &about.coupled {
            Live::Waiting => found.push(waiting(&target)),
            Live::Seen { value, .. } => all(state, workload, &target, value, found),
            Live::Lost { why, .. } | Live::Absent(why) => found.push(Finding::unknown(
                "coupled",
                say!("what revision {} leans on could not be read: {}", target.number, why.what),
                Clean::ours("a ConfigMap, a Secret or a key may have changed since it ran"),
                why.remedy.clone(),
            )),
        }
    }
}

fn waiting(target: &Aim<'_>) -> Finding {
    Finding::waiting("coupled", say!("what revision {} leans on is not read yet", target.number))
}

fn all(state: &State, workload: &Workload, target: &Aim<'_>, coupled: &Coupled, found: &mut Vec<Finding>) {
    sources(state, target, coupled, found);
    scalers(workload, coupled, found);
    found.extend(tag(workload, target, coupled));
    found.push(salt(state, &workload.reference, target, &coupled.salt));
    found.extend(settings(target, coupled));
    found.push(disable(target, coupled));
}

/// `DISABLE_SCHEMA_UPDATE` of the target: where it is set, and what follows for its migrations.
fn disable(target: &Aim<'_>, coupled: &Coupled) -> Finding {
    let Disable { from, set } = &coupled.disable;
    let found = |what: Clean, consequence| Finding { consequence, ..Finding::fine("disable-schema-update", what) };
    let migrates = Clean::ours(
        "its pods migrate when they start, as the forecast says: each of them takes Prisma's lock and applies what is pending",
    );
    match (coupled::switch(&coupled.settings), set) {
        (SchemaSwitch::Off(place), _) => found(
            say!(
                "revision {} keeps its hands off the schema: {} ({})",
                target.number,
                Clean::ours(DISABLE_PRISMA_SCHEMA_UPDATE),
                place
            ),
            by_hand(),
        ),
        (SchemaSwitch::On(place), set) => {
            let void = if *set == Ok(Some(true)) { "; the variable, which says otherwise, is void" } else { "" };
            let setting = Clean::ours(DISABLE_PRISMA_SCHEMA_UPDATE);
            found(say!("revision {} may migrate: {} is not true ({}){}", target.number, setting, place, void), migrates)
        }
        (_, Ok(Some(true))) => {
            found(say!("revision {} keeps its hands off the schema: {} is true", target.number, from), by_hand())
        }
        (_, Ok(Some(false))) => found(say!("revision {} may migrate: {} is not true", target.number, from), migrates),
        (_, Ok(None)) => found(say!("revision {} may migrate: {}", target.number, from), migrates),
        (_, Err(why)) => Finding::unknown(
            "disable-schema-update",
            say!("whether revision {} keeps its hands off the schema cannot be told: {}", target.number, from),
            migrates,
            Clean::ours("set it to true in the template itself: the guard counts on nothing else"),
        )
        .because(why.clone()),
    }
}

fn by_hand() -> Clean {
    Clean::ours(
        "its pods apply no migration: what is pending for it stays pending until a migration Job or a person applies it",
    )
}

/// How many settings are named in one finding.
const NAMED: usize = 5;

/// The settings of the target's configuration file that its version does not know, with where
/// the file lies, and how many it may misspell. `None` where its pods name no file.
///
/// # Errors
/// Why nobody knows.
pub(in crate::app) fn unknown_settings(
    target: &Aim<'_>,
    coupled: &Coupled,
) -> Result<Option<(Clean, Vec<Unknown>)>, Clean> {
    let Some(read) = coupled.settings.as_ref().map_err(Clean::clone)? else { return Ok(None) };
    let version = target
        .template
        .main()
        .map(|container| &container.image)
        .filter(|image| image.is_litellm())
        .and_then(Image::version);
    let version = version.ok_or_else(|| Clean::ours("its image does not tell its version"))?;
    let mut all = Settings::embedded().unknown(&read.config, &version);
    all.retain(|one| matches!(one.knows, Knows::No { .. } | Knows::Perhaps { .. }));
    Ok(Some((read.place.clone(), all)))
}

/// Settings of the configuration file that the target's version does not know.
fn settings(target: &Aim<'_>, coupled: &Coupled) -> Option<Finding> {
    let (place, wrong) = match unknown_settings(target, coupled) {
        Ok(found) => found?,
        Err(why) => {
            return Some(Finding::unknown(
                "settings",
                say!("the settings of revision {} are not judged: {}", target.number, why),
                Clean::ours("a setting that the older version does not know is ignored, and nothing says so"),
                Clean::ours("`lastgood lint config.yaml --for VERSION` judges a file"),
            ));
        }
    };
    if wrong.is_empty() {
        let settled = say!("{}: no setting is too new for revision {}", place, target.number);
        return Some(Finding::fine("settings", settled));
    }
    let named = wrong.iter().take(NAMED).map(Unknown::words).reduce(|all, one| say!("{}, {}", all, one));
    let more = match wrong.len().saturating_sub(NAMED) {
        0 => Clean::default(),
        more => say!(" and {} more", more),
    };
    let finding = Finding::warns(
        "settings",
        say!("{}: {} settings that revision {} does not know", place, wrong.len(), target.number),
        Clean::ours("it ignores them without a word: what they limit, protect or switch on is gone after the revert"),
        Clean::ours("take them out, or make sure that it may run without them"),
    );
    Some(finding.because(say!("{}{}", named.unwrap_or_default(), more)))
}

/// ConfigMaps and Secrets: gone, without a key, unknown, or changed since the target ran.
fn sources(state: &State, target: &Aim<'_>, coupled: &Coupled, found: &mut Vec<Finding>) {
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
    for drift in drifted(coupled, target) {
        found.push(match coupling::put_back(state, &drift) {
            Some(step) => {
                Finding::fine("config-drift", say!("{} was put back by hand at {}", drift.leaning.source, drift.at))
                    .because(step.words.clone())
            }
            None if drift.leaning.restored => Finding::fine(
                "config-drift",
                say!("{} changed, and the rollback of the release brings it back", drift.leaning.source),
            ),
            None => changed(target, &drift, &coupled.checksums),
        });
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
fn absent(target: &Aim<'_>, leaning: &Leaning) -> Option<Finding> {
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

fn changed(target: &Aim<'_>, drift: &Drift<'_>, checksums: &[Clean]) -> Finding {
    let Drift { leaning, at, .. } = drift;
    let by = match &leaning.found {
        Found::There { by: Some(by), .. } => say!(" by {}", by),
        _ => Clean::default(),
    };
    let uses = leaning.uses.iter().map(crate::domain::coupled::Use::words).reduce(|all, one| say!("{}, {}", all, one));
    let secret = leaning.source.kind == SourceKind::Secret;
    let sums = checksums.iter().filter(|_| !secret).map(|name| say!("; {} differs", name));
    let sums = sums.reduce(|all, one| say!("{}{}", all, one));
    let consequence = match (leaning.frozen(), drift.written) {
        _ if secret => "the target's pods start with the new value: well where it was rotated, not where it is wrong",
        (_, Written::During) => {
            "pods of the target that started before kept what it held then; its new pods start with what is in it now"
        }
        (true, _) => {
            "a revert does not bring it back: pods that run keep what they started with, and the target's new pods start with what is in it now"
        }
        (false, _) => "a revert does not bring it back: the target's pods find what is in it now",
    };
    let remedy = match secret {
        true => Clean::ours("see whether it was rotated on purpose; a void key must not come back"),
        false => say!(
            "put back what {} held when revision {} ran, from Git or a backup, or choose another target",
            leaning.source,
            target.number
        ),
    };
    let what = say!("{} {}", leaning.source, drift.when(target));
    let finding = Finding::warns("config-drift", what, Clean::ours(consequence), remedy);
    let stops = drift.stops();
    Finding {
        severity: if stops { Severity::Blocks } else { Severity::Warns },
        blocks: stops.then_some(StepKind::Revert),
        ..finding
    }
    .because(say!("written at {}{}; {}{}", at, by, uses.unwrap_or_default(), sums.unwrap_or_default()))
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
        } else if replicas == scaler.max && scaler.min < scaler.max {
            Finding::warns(
                "autoscaler",
                say!("{} has {} replicas, the most that it may set", name, replicas),
                Clean::ours(
                    "a revert leaves the number alone, and nothing can be added when the load comes back at once",
                ),
                say!("raise maxReplicas of {} for the time of the rollback, or know that it cannot help", name),
            )
            .because(bounds)
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
fn tag(workload: &Workload, target: &Aim<'_>, coupled: &Coupled) -> Option<Finding> {
    let image = target.image()?;
    if image.digest().is_some() {
        return Some(Finding::fine("tag", say!("the target's image is pinned by digest")));
    }
    let again = Clean::ours(match coupled.pull {
        Some(Pull::Always) => {
            "the registry decides at each start: the target's pods may run an image that never proved good"
        }
        Some(Pull::Never) => "a node runs what it has under that tag",
        Some(Pull::IfNotPresent) | None => {
            "nodes that have the tag run what they have, others pull what it leads to now"
        }
    });
    if let Some(drift) = coupled.tag_drift(workload, target) {
        let what = say!("{} leads to another image than the one that revision {} ran", image, target.number);
        let (ran, leads) = (short(&drift.ran), short(&drift.leads));
        let evidence = say!("revision {} ran {}; {} runs {}", target.number, ran, drift.seen, leads);
        let finding = Finding::warns("tag", what, again, pin(image, Some(&drift.ran))).because(evidence);
        return Some(match drift.kept {
            false => finding,
            true => Finding {
                severity: Severity::Blocks,
                blocks: Some(StepKind::Revert),
                consequence: Clean::ours("that is the live image: the revert brings it again"),
                ..finding
            },
        });
    }
    let mut digests: Vec<&Pulled> = coupled.pulled.iter().flatten().collect();
    digests.sort_by(|a, b| a.digest.cmp(&b.digest));
    digests.dedup_by(|a, b| a.digest == b.digest);
    let seen = digests.iter().map(|pulled| say!("pod {} runs {}", pulled.pod, short(&pulled.digest)));
    let seen = seen.reduce(|all, one| say!("{}, {}", all, one));
    let ran = target.digest.map_or(Clean::ours("an unknown digest"), short);
    let evidence = match (seen, &coupled.pulled) {
        (Some(seen), _) => say!("revision {} ran {}; {}", target.number, ran, seen),
        (None, Ok(_)) => say!("revision {} ran {}; no pod runs that tag now", target.number, ran),
        (None, Err(why)) => say!("revision {} ran {}; {}", target.number, ran, why),
    };
    let what = match (digests.len(), image.floats()) {
        (2.., _) => say!("pods run {} different images under {}", digests.len(), image),
        (_, true) => say!("{} is a floating tag", image),
        (_, false) => return Some(Finding::fine("tag", say!("the tag of {} names a version", image))),
    };
    Some(Finding::warns("tag", what, again, pin(image, target.digest)).because(evidence))
}

/// As much of a digest as tells it from another one: twelve digits, as container runtimes show it.
fn short(digest: &Clean) -> Clean {
    digest.slice(0.."sha256:".len() + 12).map_or_else(|| digest.clone(), |start| say!("{}…", start))
}

/// The salt key decides whether stored credentials can be read. Compared, never shown.
fn salt(state: &State, reference: &WorkloadRef, target: &Aim<'_>, keys: &Comparison) -> Finding {
    let about = state.coupling.about(reference, &target.goal);
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
