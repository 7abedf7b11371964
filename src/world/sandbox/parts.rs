//! The parts of a sandbox's world: templates, ReplicaSets, pods, rows, and names made of seeds.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::catalog::Catalog;
use crate::domain::forecast::DISABLE_SCHEMA_UPDATE;
use crate::domain::image::Image;
use crate::domain::migration::RowState;
use crate::domain::name::{MigrationId, MigrationName, Name, Uid, VarName};
use crate::domain::release::{ReleaseRevision, ReleaseStatus};
use crate::domain::scenario::{RecordPlan, RowPlan, Scenario, Setting};
use crate::text::{Clean, Secret};

/// Milliseconds since the drill began; negative before.
pub(super) type Millis = i64;

/// The pod template of one revision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) image: Image,
    pub(super) words: Vec<Clean>,
    pub(super) env: Vec<(VarName, Setting)>,
    /// The annotation `checksum/config`.
    pub(super) checksum: Option<Clean>,
    /// The sources that it mounts.
    pub(super) leans: Vec<Name>,
    /// The annotation that a restart sets.
    pub(super) restarted: Option<Timestamp>,
}

impl Plan {
    /// The value of a variable that is written in the template.
    pub(super) fn literal(&self, name: &str) -> Option<&Secret> {
        self.env.iter().rev().find(|(var, _)| var.as_str() == name).and_then(|(_, setting)| match setting {
            Setting::Literal(value) => Some(value),
            Setting::From(_) => None,
        })
    }

    pub(super) fn set(&mut self, name: VarName, value: Option<Setting>) {
        let place = self.env.iter().position(|(var, _)| *var == name);
        match (place, value) {
            (Some(at), Some(value)) => self.env[at].1 = value,
            (Some(at), None) => drop(self.env.remove(at)),
            (None, Some(value)) => self.env.push((name, value)),
            (None, None) => {}
        }
    }

    /// True when pods of this template leave the schema alone.
    pub(super) fn hands_off(&self) -> bool {
        self.literal(DISABLE_SCHEMA_UPDATE).is_some_and(|value| value.expose().eq_ignore_ascii_case("true"))
    }
}

/// A ReplicaSet.
#[derive(Clone, Debug)]
pub(super) struct ReplicaSet {
    pub(super) uid: Uid,
    pub(super) name: Name,
    pub(super) number: u64,
    pub(super) created: Millis,
    pub(super) cause: Option<Clean>,
    pub(super) plan: Plan,
    /// The digest that its pods ran before the drill began.
    pub(super) ran: Option<Clean>,
}

/// What becomes of one run of a container.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// It is ready from then on.
    Up { ready_at: Millis },
    /// It crashes as its image does, or as the image does with what lies in a source.
    Crash { at: Millis, exit: Clean, on: Option<Name> },
    /// It met a failed migration: which one, and when that had started.
    Refused { at: Millis, migration: MigrationName, started: Timestamp },
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) started: Millis,
    pub(super) fate: Fate,
    pub(super) ended: Option<Millis>,
}

/// A pod.
#[derive(Clone, Debug)]
pub(super) struct SandboxPod {
    pub(super) uid: Uid,
    pub(super) name: Name,
    /// Index of its ReplicaSet.
    pub(super) set: usize,
    pub(super) created: Millis,
    pub(super) runs: Vec<Run>,
    /// The node does not know its image.
    pub(super) unpullable: bool,
    /// When its container starts next.
    pub(super) next_start: Option<Millis>,
    pub(super) terminating: Option<Millis>,
    pub(super) gone: Option<Millis>,
    /// Makes its log differ from the others'.
    pub(super) seed: u64,
}

impl SandboxPod {
    /// Not deleted and not being deleted.
    pub(super) fn alive(&self) -> bool {
        self.gone.is_none() && self.terminating.is_none()
    }

    /// The run that goes on now.
    pub(super) fn running(&self) -> Option<&Run> {
        self.runs.last().filter(|run| run.ended.is_none())
    }

    /// Passed its readiness probe by `now`.
    pub(super) fn ready(&self, now: Millis) -> bool {
        self.alive() && self.running().is_some_and(|run| matches!(run.fate, Fate::Up { ready_at } if ready_at <= now))
    }
}

/// A record of the Helm release as it is stored.
#[derive(Clone, Debug)]
pub(super) struct StoredRecord {
    pub(super) number: ReleaseRevision,
    pub(super) created: Millis,
    pub(super) modified: Option<Millis>,
    pub(super) status: ReleaseStatus,
    pub(super) description: Clean,
    pub(super) version: Clean,
    pub(super) plan: Plan,
    pub(super) job: Option<Image>,
    pub(super) config_maps: Vec<Clean>,
}

/// The records as the scenario leaves them. Proved: each template is there.
pub(super) fn records(scenario: &Scenario, sets: &[ReplicaSet]) -> Vec<StoredRecord> {
    let plans = scenario.helm.iter().flat_map(|helm| &helm.revisions);
    let record = |plan: &RecordPlan| {
        let set = sets.iter().find(|set| set.number == plan.template)?;
        Some(StoredRecord {
            number: plan.number,
            created: millis_before(plan.age),
            modified: None,
            status: plan.status.clone(),
            description: plan.description.clone(),
            version: plan.version.clone(),
            plan: set.plan.clone(),
            job: plan.job.clone(),
            config_maps: plan.config_maps.clone(),
        })
    };
    plans.filter_map(record).collect()
}

/// A row of `_prisma_migrations` as it is stored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredRow {
    pub(super) id: MigrationId,
    pub(super) migration_name: MigrationName,
    pub(super) checksum: String,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) rolled_back_at: Option<Timestamp>,
    pub(super) applied_steps_count: i32,
    pub(super) logs: Option<String>,
}

impl StoredRow {
    pub(super) fn failed(&self) -> bool {
        self.finished_at.is_none() && self.rolled_back_at.is_none()
    }
}

/// `PROXY_BATCH_WRITE_AT` of a template, in seconds; LiteLLM's default is 10.
pub(super) fn batch_seconds(plan: &Plan) -> u32 {
    plan.literal("PROXY_BATCH_WRITE_AT").and_then(|value| value.expose().parse().ok()).unwrap_or(10)
}

/// Milliseconds from one moment to a later one.
pub(super) fn millis_between(from: Timestamp, to: Timestamp) -> Millis {
    to.as_millisecond().saturating_sub(from.as_millisecond())
}

pub(super) fn length(of: SignedDuration) -> Millis {
    Millis::try_from(of.as_millis()).unwrap_or(Millis::MAX / 4)
}

pub(super) fn millis_before(age: SignedDuration) -> Millis {
    -length(age)
}

/// The rows as the scenario leaves them: those that it names, and those of the package that built
/// the database.
pub(super) fn rows(scenario: &Scenario, start: Timestamp) -> Vec<StoredRow> {
    let mut rows = named_rows(scenario, start);
    let built_by = scenario.database.built_by.and_then(|version| Catalog::embedded().package(version));
    let missing = built_by.into_iter().flat_map(|package| &package.migrations);
    let missing: Vec<_> = missing.filter(|(name, _)| scenario.rows.iter().all(|row| row.name != **name)).collect();
    for (place, (name, edition)) in (0..).zip(missing) {
        let Some(id) = uid(hash(&format!("{} {name}", scenario.id))).as_str().parse().ok() else { continue };
        let offset = SignedDuration::from_millis(place * 120);
        let started_at = start.checked_sub(BUILT).and_then(|at| at.checked_add(offset)).unwrap_or(start);
        let checksum = Catalog::embedded().editions(name).get(*edition).map(|edition| edition.checksum.clone());
        rows.push(StoredRow {
            id,
            migration_name: name.clone(),
            checksum: checksum.unwrap_or_default(),
            started_at,
            finished_at: started_at.checked_add(SignedDuration::from_millis(90)).ok(),
            rolled_back_at: None,
            applied_steps_count: 1,
            logs: None,
        });
    }
    rows
}

/// How long ago the package built the database, where the scenario does not say it row by row.
const BUILT: SignedDuration = SignedDuration::from_hours(2);

fn named_rows(scenario: &Scenario, start: Timestamp) -> Vec<StoredRow> {
    let count = i64::try_from(scenario.rows.len()).unwrap_or(0);
    let row = |(place, row): (i64, &RowPlan)| {
        // Rows of one rollout ran one after the other.
        let offset = SignedDuration::from_millis((place - count) * 120);
        let started_at = start.checked_sub(row.age).and_then(|at| at.checked_add(offset)).unwrap_or(start);
        let ended = started_at.checked_add(SignedDuration::from_millis(90)).unwrap_or(started_at);
        StoredRow {
            id: row.id.clone(),
            migration_name: row.name.clone(),
            checksum: row.checksum.to_string(),
            started_at,
            finished_at: (row.state == RowState::Applied).then_some(ended),
            rolled_back_at: (row.state == RowState::RolledBack).then_some(ended),
            applied_steps_count: i32::from(row.state == RowState::Applied),
            logs: row.logs.as_ref().map(|logs| logs.expose().to_owned()),
        }
    };
    (0..).zip(&scenario.rows).map(row).collect()
}

pub(super) fn replica_set(
    workload: &Name,
    plan: Plan,
    number: u64,
    created: Millis,
    cause: Option<Clean>,
) -> ReplicaSet {
    let seed = hash(&format!("{workload} {number} {} {:?}", plan.image, plan.restarted));
    ReplicaSet {
        uid: uid(seed),
        name: name(&format!("{workload}-{}", letters(seed, 9))),
        number,
        created,
        cause,
        plan,
        ran: None,
    }
}

/// FNV-1a with a last stir, so that neighbours differ: stable over releases, unlike the standard hasher.
pub(super) fn hash(text: &str) -> u64 {
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let sum = (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    sum ^ (sum >> 33)
}

/// Letters of the alphabet that Kubernetes makes names of.
pub(super) fn letters(mut seed: u64, count: usize) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..count)
        .map(|_| {
            let letter = ALPHABET[usize::try_from(seed % 27).unwrap_or(0)];
            seed /= 27;
            char::from(letter)
        })
        .collect()
}

pub(super) fn uid(seed: u64) -> Uid {
    let other = hash(&format!("{seed:x}"));
    let (a, b, c) = (seed >> 32, (seed >> 16) & 0xffff, seed & 0xffff);
    let (d, e) = (other >> 48, other & 0xffff_ffff_ffff);
    let text = format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}");
    text.parse().unwrap_or_else(|why| unreachable!("hexadecimal digits and dashes: {why}"))
}

/// Names of pods and ReplicaSets are the workload's with letters of Kubernetes' alphabet.
pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|why| unreachable!("built of a valid name: {why}"))
}
