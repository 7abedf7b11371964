//! Facts: what the evidence in the state says, in words that can be checked.

use crate::app::state::State;
use crate::app::{coupling, feeds, preflight, releases};
use crate::domain::cluster::Pod;
use crate::domain::ledger::{Ledger, Reality};
use crate::domain::live::Live;
use crate::domain::migration::MigrationTable;
use crate::domain::step::Fact;
use crate::domain::workload::Revision;
use crate::text::{Clean, Many};

/// One fact: holds, does not hold, or cannot be told yet; and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// `None`: nobody can tell yet.
    pub holds: Option<bool>,
    /// In words.
    pub words: Clean,
}

impl Evidence {
    fn is(holds: bool, words: Clean) -> Self {
        Self { holds: Some(holds), words }
    }

    fn untold(words: &'static str) -> Self {
        Self { holds: None, words: Clean::ours(words) }
    }
}

/// Looks a fact up in the state.
pub fn evidence(state: &State, fact: Fact) -> Evidence {
    match fact {
        Fact::PodsBroken => pods_broken(state),
        Fact::PodsHealthy => pods_healthy(state),
        Fact::NothingServes => nothing_serves(state),
        Fact::StillServes => {
            let nothing = nothing_serves(state);
            Evidence { holds: nothing.holds.map(|holds| !holds), words: nothing.words }
        }
        Fact::FailedMigration => failed_migration(state),
        Fact::NoFailedMigration => {
            let failed = failed_migration(state);
            // While somebody holds the lock a row is running, and may yet fail.
            let running = state.migrations.fresh().is_some_and(MigrationTable::running);
            let holds = failed.holds.map(|holds| !holds).filter(|_| !running);
            let words = if running { Clean::ours("a migration is running") } else { failed.words };
            Evidence { holds, words }
        }
        Fact::RowWithoutObject => row_without_object(state),
        Fact::ObjectWithoutRow => object_without_row(state),
        Fact::RelationMissing => signature(
            state,
            &["relation-missing", "relation-missing-code", "column-missing", "column-missing-code"],
            "a missing relation or column",
        ),
        Fact::CredentialsUnreadable => signature(state, &["salt-key"], "credentials that cannot be decrypted"),
        Fact::ImageChanged | Fact::OnlyConfigChanged | Fact::TemplateUnchanged => template(state, fact),
        Fact::SettingsTooNew => settings_too_new(state),
        Fact::BackupProved => {
            let done = state
                .incident
                .acts
                .values()
                .find(|act| act.done() && matches!(act.kind, crate::domain::record::ActKind::Backup { .. }));
            match done.and_then(|act| act.end.as_ref()) {
                Some((_, words, _)) => Evidence::is(true, words.clone()),
                None => Evidence::is(false, Clean::ours("no backup was proved in this incident")),
            }
        }
        Fact::TargetChosen => {
            let (chosen, all) = (state.incident.targets.len(), state.setting.workloads.len());
            Evidence::is(
                all > 0 && state.setting.workloads.iter().all(|w| state.incident.targets.contains_key(w)),
                say!("{} of {} workloads have a target", chosen, all),
            )
        }
        Fact::ChecklistComplete => {
            let (settled, all) = state.checks.list.tally();
            Evidence::is(state.checks.list.complete(), say!("{} of {} checks are settled", settled, all))
        }
        Fact::CheckFailed => {
            let failed = state
                .checks
                .list
                .checks()
                .iter()
                .find(|check| check.verdict.mark == crate::domain::checklist::Mark::Failed);
            match failed {
                Some(check) => Evidence::is(true, say!("{} failed", check.id.title())),
                None => Evidence::is(false, Clean::ours("no check failed")),
            }
        }
        Fact::OwnedByHelm => owned_by_helm(state),
        Fact::ConfigDrifted => config_drifted(state),
        Fact::NoDatabase => match &state.setting.missing.database {
            Some(why) => Evidence::is(true, why.what.clone()),
            None => Evidence::is(false, Clean::ours("a database is configured")),
        },
    }
}

/// Until the target's sources were read nobody knows.
fn config_drifted(state: &State) -> Evidence {
    let read = state.setting.workloads.iter().all(|reference| {
        let target = state.workload(reference).and_then(|workload| preflight::aim(state, workload));
        target.is_none_or(|(target, _)| !coupling::waits(state, reference, &target.goal))
    });
    let stopping = coupling::stopping(state);
    match stopping.first() {
        Some((_, target, _, drift)) => Evidence::is(true, say!("{} {}", drift.leaning.source, drift.when(target))),
        None if read => Evidence::is(false, Clean::ours("no ConfigMap of the target changed since it ran")),
        None => Evidence::untold("what the target leans on is not read yet"),
    }
}

fn settings_too_new(state: &State) -> Evidence {
    let seen = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    let targets = seen.filter_map(|workload| Some((workload, preflight::aim(state, workload)?.0)));
    let mut judged = None;
    for (workload, target) in targets {
        let about = state.coupling.about(&workload.reference, &target.goal).and_then(|about| about.coupled.last());
        match about.map(|coupled| preflight::unknown_settings(&target, coupled)) {
            Some(Ok(Some((place, unknown)))) => match unknown.first() {
                Some(first) => return Evidence::is(true, say!("{}: {}", place, first.words())),
                None => judged = Some(Evidence::is(false, say!("every setting of {} is known", place))),
            },
            Some(Ok(None)) => judged = Some(Evidence::is(false, Clean::ours("the target's pods name no config.yaml"))),
            Some(Err(why)) => return Evidence { holds: None, words: why },
            None => return Evidence::untold("what the target leans on is not read yet"),
        }
    }
    judged.unwrap_or_else(|| Evidence::untold("no target is known yet"))
}

fn owned_by_helm(state: &State) -> Evidence {
    let seen: Option<Vec<_>> = state.setting.workloads.iter().map(|reference| state.workload(reference)).collect();
    let Some(seen) = seen.filter(|seen| !seen.is_empty()) else {
        return Evidence::untold("the workloads are not known yet");
    };
    let owned = seen.iter().find_map(|workload| Some((&workload.reference, releases::release_of(workload)?)));
    match owned {
        Some((reference, release)) => Evidence::is(true, say!("{} belongs to Helm release {}", reference, release)),
        None => Evidence::is(false, Clean::ours("no workload belongs to a Helm release")),
    }
}

fn current_pods(state: &State) -> Option<Vec<&Pod>> {
    let mut all = Vec::new();
    for watched in state.watched.values() {
        all.extend(watched.pods.fresh()?.values().map(|pod| &**pod).filter(|pod| !pod.terminating));
    }
    (!state.watched.is_empty()).then_some(all)
}

/// No pods are seen yet, or none ever will be.
fn pods_untold(state: &State) -> Evidence {
    match &state.setting.missing.cluster {
        Some(why) => Evidence { holds: None, words: why.what.clone() },
        None => Evidence::untold("the pods are not known yet"),
    }
}

fn pods_broken(state: &State) -> Evidence {
    let Some(pods) = current_pods(state) else { return pods_untold(state) };
    let broken: Vec<&&Pod> = pods.iter().filter(|pod| pod.broken()).collect();
    let Some(first) = broken.first() else {
        return Evidence::is(false, say!("none of {} pods crashes", pods.len()));
    };
    let why = first.waiting().cloned().unwrap_or_else(|| Clean::ours("failed"));
    let revision = first.revision.map_or(Clean::default(), |revision| say!(", revision {}", revision));
    Evidence::is(true, say!("{} of {} pods are broken ({}{})", broken.len(), pods.len(), why, revision))
}

fn pods_healthy(state: &State) -> Evidence {
    let Some(pods) = current_pods(state) else { return pods_untold(state) };
    let ready = pods.iter().filter(|pod| pod.ready()).count();
    Evidence::is(!pods.is_empty() && ready == pods.len(), say!("{} of {} pods are ready", ready, pods.len()))
}

fn nothing_serves(state: &State) -> Evidence {
    let Some(pods) = current_pods(state) else { return pods_untold(state) };
    let ready = pods.iter().filter(|pod| pod.ready()).count();
    Evidence::is(ready == 0, say!("{} of {} pods are ready", ready, pods.len()))
}

fn failed_migration(state: &State) -> Evidence {
    let Some(table) = state.migrations.fresh() else { return Evidence::untold("the migration table is not known yet") };
    let failed: Vec<_> = table.failed().collect();
    match failed.first() {
        Some(row) => Evidence::is(true, say!("{}, first {}", Many(failed.len(), "failed row"), row.name)),
        None => Evidence::is(false, say!("none of {} rows is failed", table.rows.len())),
    }
}

/// Rows and objects are compared only while both are seen.
pub(in crate::app) fn compared(state: &State) -> Option<&Ledger> {
    (state.migrations.fresh().is_some() && state.schema.fresh().is_some()).then_some(&state.ledger)
}

/// No comparison: nobody can tell yet, or this database does not tell at all.
fn uncompared(state: &State) -> Evidence {
    match &state.schema {
        Live::Lost { why, .. } | Live::Absent(why) if !why.kind.passing() => {
            Evidence::is(false, say!("rows are not compared: {}", why.what))
        }
        _ => Evidence::untold("what the database holds is not known yet"),
    }
}

fn row_without_object(state: &State) -> Evidence {
    let Some(ledger) = compared(state) else { return uncompared(state) };
    let stale: Vec<_> = ledger.without_object().collect();
    let unknown = ledger.rows.iter().filter(|row| matches!(row.reality, Reality::Unknown { .. })).count();
    match (stale.first().and_then(|row| Some((row, row.reality.missing().first()?))), unknown) {
        (Some((row, missing)), _) => Evidence::is(
            true,
            say!(
                "{} without what was made, first {}: {} is missing",
                Many(stale.len(), "applied row"),
                row.name,
                missing
            ),
        ),
        (None, 0) => Evidence::is(false, say!("none of {} lacks what it made", Many(ledger.rows.len(), "row"))),
        (None, unknown) => Evidence {
            holds: None,
            words: say!("of {} of {} rows nobody knows what they make", unknown, ledger.rows.len()),
        },
    }
}

fn object_without_row(state: &State) -> Evidence {
    let Some(ledger) = compared(state) else { return uncompared(state) };
    match ledger.object_without_row().next() {
        Some(pending) => Evidence::is(true, say!("{}: {}", pending.name, pending.sentence())),
        None if ledger.pending.is_empty() => Evidence::is(false, Clean::ours("no migration is pending")),
        None => {
            Evidence::is(false, say!("none of {} is there already", Many(ledger.pending.len(), "pending migration")))
        }
    }
}

fn signature(state: &State, slugs: &[&str], what: &'static str) -> Evidence {
    let (mut total, mut first) = (0u64, None);
    let beyond = feeds::beyond(state, &state.pods());
    for (index, hits) in state.logs.tally().counts(state.incident.last_change_at().unwrap_or(jiff::Timestamp::MIN)) {
        let signature = state.signatures.get(index);
        if slugs.contains(&signature.id.as_str()) {
            total += hits;
            first.get_or_insert_with(|| signature.title.clone());
        }
    }
    match first {
        Some(title) => Evidence::is(true, say!("{} log lines: {}", total, title)),
        None if state.logs.following() == 0 => Evidence { holds: None, words: Clean::ours("no log is followed yet") },
        None if beyond > 0 => {
            Evidence { holds: None, words: say!("no log line tells of {}, but {} logs are not followed", what, beyond) }
        }
        None => Evidence::is(false, say!("no log line tells of {}", what)),
    }
}

/// What differs between the live revision and the one before it.
fn template(state: &State, fact: Fact) -> Evidence {
    let Some((live, before)) = state.setting.workloads.iter().find_map(|reference| {
        let workload = state.watched.get(reference)?.workload.fresh()?;
        let mut by_number: Vec<&Revision> = workload.revisions.iter().collect();
        by_number.sort_by_key(|revision| std::cmp::Reverse(revision.number));
        Some((workload.current()?, by_number.into_iter().find(|revision| !revision.current())?))
    }) else {
        return Evidence::untold("there is no revision to compare with yet");
    };
    let changed = before.template.diff(&live.template);
    let image = live.image() != before.image();
    let words = match (image, changed.len()) {
        (true, _) => {
            let shown = |revision: &Revision| revision.image().map_or(Clean::ours("none"), |image| say!("{}", image));
            say!("revision {} changed the image from {} to {}", live.number, shown(before), shown(live))
        }
        (false, 0) => say!("revisions {} and {} have the same template", before.number, live.number),
        (false, n) => say!(
            "revision {} kept the image and changed {} fields, first {}",
            live.number,
            n,
            changed.first().map(|change| change.path.clone()).unwrap_or_default()
        ),
    };
    let holds = match fact {
        Fact::ImageChanged => image,
        Fact::OnlyConfigChanged => !image && !changed.is_empty(),
        _ => changed.is_empty(),
    };
    Evidence::is(holds, words)
}
