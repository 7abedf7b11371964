//! The sandbox as a server on which a backup is restored: the dump is really read and compared with
//! its sidecar, the new database is a name that the drill's world remembers.

use std::path::PathBuf;

use futures::FutureExt as _;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::Sandbox;
use super::memory::Deed;
use super::model::Model;
use super::staged::staged;
use crate::domain::backup::BackupProof;
use crate::domain::name::DatabaseName;
use crate::domain::restore::{
    Difference, Dump, Remnant, RestoreItem, RestoreOrder, RestorePlan, RestoreProgress, RestoreWish, Restored, Since,
    name_beside, remnant,
};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;
use crate::world::{Feed, Reply, sidecar};

/// Parts of checking, filling, counting and comparing.
const STAGES: [u64; 4] = [2, 6, 2, 2];
/// The live database of a drill.
const LIVE: &str = "litellm";
/// The table that goes on growing in a drill while one looks away, and by how many rows a minute.
const GROWS: (&str, i64) = ("public.LiteLLM_SpendLogs", 40);
/// Bytes that a restored row is said to take.
const ROW_BYTES: u64 = 1_024;

impl Sandbox {
    pub(super) fn plan_of(&self, wish: &RestoreWish, folders: &[PathBuf]) -> Reply<RestorePlan> {
        let plan = || {
            let dumps = match &wish.dump {
                Some(dump) => vec![sidecar::read(dump, &self.gate)?],
                None => sidecar::found(folders, &self.gate),
            };
            if dumps.is_empty() {
                return Err(Trouble::new(TroubleKind::NotFound, Clean::ours("this drill has no proved backup yet"))
                    .remedy(Clean::ours("back the database up first (B), as one does before anything goes wrong")));
            }
            let into = wish.into.clone().unwrap_or_else(|| name_beside(LIVE, wish.at));
            self.look(|model, _| is_free(model, &into))?;
            let version = self.scenario.database.version.clone();
            let rows: u64 = self.scenario.database.tables.values().sum();
            Ok(RestorePlan {
                dumps,
                beside: Clean::ours("the sandbox's database"),
                server_version: version.clone(),
                pg_restore: version,
                live_bytes: rows * ROW_BYTES,
                into,
                left: self.remnants().into_iter().filter(Remnant::is_incomplete).collect(),
            })
        };
        let plan = plan();
        async { plan }.boxed()
    }

    pub(super) fn remnant_of(&self, name: &DatabaseName) -> Reply<Option<Remnant>> {
        let remnant = self.remnants().into_iter().find(|remnant| remnant.name == *name);
        async { Ok(remnant) }.boxed()
    }

    /// The databases that restores made.
    fn remnants(&self) -> Vec<Remnant> {
        let bytes = self.scenario.database.tables.values().sum::<u64>() * ROW_BYTES;
        let file = Clean::ours("the drill's backup");
        self.look(|model, now| {
            let remnant = |(name, whole): (&DatabaseName, &bool)| {
                // Half of it, as far as a drill can tell.
                let bytes = if *whole { bytes } else { bytes / 2 };
                let comment = if *whole { remnant::complete(&file, now) } else { remnant::incomplete(&file) };
                Remnant { name: name.clone(), bytes, comment, sessions: 0 }
            };
            model.databases.iter().map(remnant).collect()
        })
    }

    pub(super) fn restoring(&self, order: RestoreOrder, stop: CancellationToken) -> Feed<RestoreItem> {
        let restoring = Restoring { sandbox: self.clone(), order, stop: stop.clone() };
        let item = move |stage| restoring.at_stage(stage).unwrap_or_else(RestoreItem::Failed);
        staged(stop, |item| matches!(item, RestoreItem::Progress(_)), item)
    }
}

fn is_free(model: &Model, name: &DatabaseName) -> Result<(), Trouble> {
    if name.as_str() != LIVE && !model.databases.contains_key(name) {
        return Ok(());
    }
    Err(Trouble::new(TroubleKind::Refused, say!("a database {} is there already; it was left alone", name))
        .remedy(Clean::ours("choose another name; nothing is ever restored into a database that exists")))
}

struct Restoring {
    sandbox: Sandbox,
    order: RestoreOrder,
    stop: CancellationToken,
}

impl Restoring {
    fn at_stage(&self, stage: u64) -> Result<RestoreItem, Trouble> {
        let Dump { proof, .. } = sidecar::read(&self.order.dump, &self.sandbox.gate)?;
        if self.stop.is_cancelled() {
            return Err(self.cancelled());
        }
        if stage == 0 {
            self.unchanged(&proof)?;
            self.sandbox.look(|model, _| is_free(model, &self.order.into))?;
        }
        let (rows, tables) = (proof.rows.values().sum::<u64>(), proof.rows.len() as u64);
        let [checking, filling, counting, comparing] = STAGES;
        let (mut at, share) = (stage, |of: u64, at: u64, all: u64| of * at / all);
        if at < checking {
            let bytes = share(proof.bytes, at, checking);
            return Ok(RestoreItem::Progress(RestoreProgress::Checking { bytes, of: proof.bytes }));
        }
        at -= checking;
        if at == 0 {
            let into = &self.order.into;
            self.sandbox.act(|model, _| {
                is_free(model, into)?;
                Ok((Deed::MadeDatabase { into: into.clone() }, ()))
            })?;
        }
        if at < filling {
            let place = usize::try_from(share(tables, at, filling)).unwrap_or_default();
            let object = proof.rows.keys().nth(place).cloned();
            let rows_now = share(rows, at, filling);
            return Ok(RestoreItem::Progress(RestoreProgress::Filling { object, rows: rows_now, of: rows }));
        }
        at -= filling;
        if at < counting {
            let counted = share(tables, at, counting);
            return Ok(RestoreItem::Progress(RestoreProgress::Counting { tables: counted, of: tables }));
        }
        at -= counting;
        if at < comparing {
            let compared = share(tables, at, comparing);
            return Ok(RestoreItem::Progress(RestoreProgress::Comparing { tables: compared, of: tables }));
        }
        self.finish(proof)
    }

    /// What was made by then is taken away again.
    fn cancelled(&self) -> Trouble {
        let into = &self.order.into;
        let dropped = self.sandbox.act(|model, _| match model.databases.get(into) {
            Some(false) => Ok((Deed::DroppedDatabase { into: into.clone() }, ())),
            _ => Err(Trouble::new(TroubleKind::NotFound, Clean::ours("nothing was made"))),
        });
        let what = match dropped {
            Ok(()) => say!("cancelled; the incomplete database {} was taken away again", into),
            Err(why) => say!("cancelled; {}", why.what),
        };
        Trouble::new(TroubleKind::Cancelled, what)
    }

    fn unchanged(&self, proof: &BackupProof) -> Result<(), Trouble> {
        let file = &self.order.dump;
        let disk = |why| self.sandbox.disk("the dump could not be read", &why);
        let bytes = std::fs::read(file).map_err(disk)?;
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if sha256 == proof.sha256.as_str() {
            return Ok(());
        }
        let file = self.sandbox.gate.clean(&file.display().to_string());
        let what = say!("{} is not the dump that was proved: its SHA-256 is another; nothing was made", file);
        Err(Trouble::new(TroubleKind::Changed, what)
            .remedy(Clean::ours("look for the dump as it was written, or choose another one")))
    }

    fn finish(&self, proof: BackupProof) -> Result<RestoreItem, Trouble> {
        let into = self.order.into.clone();
        let deed = Deed::RestoredDatabase { into: into.clone() };
        self.sandbox.act(|_, now| {
            let (table, a_minute) = GROWS;
            let minutes = now.duration_since(proof.taken_at).as_secs().max(0) / 60 + 1;
            let newer = u64::try_from(minutes * a_minute).unwrap_or_default();
            let live = &self.sandbox.scenario.database.tables;
            let difference = |(name, rows): (&Clean, &u64)| {
                let restored = proof.rows.get(name).copied();
                let grows = name.as_str() == table;
                Difference {
                    table: name.clone(),
                    live: Some(rows + if grows { newer } else { 0 }),
                    restored,
                    newer: grows.then(|| Since { column: Clean::ours("startTime"), rows: newer }),
                    changed: None,
                }
            };
            let differences = live.iter().map(difference).filter(Difference::any).collect();
            let (tables, rows) = (proof.rows.len() as u64, proof.rows.values().sum::<u64>());
            let left_out = proof.left_out.iter().cloned().reduce(|all, table| say!("{}, {}", all, table));
            let restored = Restored {
                into: into.clone(),
                file: proof.file.clone(),
                taken_at: proof.taken_at,
                tables,
                rows,
                bytes: rows * ROW_BYTES,
                differences: Some(differences),
                notes: left_out
                    .map(|tables| say!("the backup was made without the rows of {}", tables))
                    .into_iter()
                    .collect(),
            };
            Ok((deed, RestoreItem::Restored(Box::new(restored))))
        })
    }
}
