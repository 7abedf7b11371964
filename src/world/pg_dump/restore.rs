//! `pg_restore` into a database that was made for it, counted against the sidecar, and compared
//! with the live one. Until every table is counted, the new database goes again when something
//! fails or is cancelled; nothing else on the server is ever touched.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::admin::{self, Live, Made};
use super::child::{self, Running};
use super::program::{self, Program};
use super::{Inner, LOOK, LOOK_LIMIT, compare, failure, readback, tables};
use crate::domain::backup::BackupProof;
use crate::domain::restore::{
    Dump, Remnant, RestoreOrder, RestorePlan, RestoreProgress, RestoreWish, Restored, name_beside, remnant,
};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate, Many};
use crate::world::postgres::connect::Connector;
use crate::world::sidecar;

/// How many differing tables a sentence names.
const NAMED: usize = 3;

impl Inner {
    /// What a restore would take. Reads sidecars and asks the server; changes nothing.
    pub(super) async fn plan_restore(&self, wish: &RestoreWish, folders: &[PathBuf]) -> Result<RestorePlan, Trouble> {
        let dumps = match &wish.dump {
            Some(dump) => vec![sidecar::read(dump, &self.gate)?],
            None => sidecar::found(folders, &self.gate),
        };
        if dumps.is_empty() {
            return Err(nothing_proved(folders, &self.gate));
        }
        let mut connection = self.connector.connect("lastgood").await?;
        let live = Live::look(&mut connection, &self.connector).await?;
        let name = name_beside(self.connector.url().database().as_str(), wish.at);
        let into = wish.into.clone().unwrap_or(name);
        live.permits(&mut connection, &self.connector, &into).await?;
        let left = admin::remnants(&mut connection, &self.connector, None).await?;
        let program = self.programs.for_server(live.major, &self.gate).await?;
        Ok(RestorePlan {
            dumps,
            beside: self.connector.url().display(),
            server_version: live.version,
            pg_restore: program.restore_version,
            live_bytes: live.bytes,
            into,
            left,
        })
    }

    /// What stands on the server under this name.
    pub(super) async fn remnant(&self, name: &crate::domain::name::DatabaseName) -> Result<Option<Remnant>, Trouble> {
        admin::remnant(&self.connector, name).await
    }

    /// Restores. `stop` ends it; what had been made by then is taken away again.
    pub(super) async fn restore(
        &self,
        order: &RestoreOrder,
        stop: &CancellationToken,
        report: &(dyn Fn(RestoreProgress) + Send + Sync),
    ) -> Result<Restored, Trouble> {
        let Dump { path, proof } = sidecar::read(&order.dump, &self.gate)?;
        let mut connection = self.connector.connect("lastgood").await?;
        let live = Live::look(&mut connection, &self.connector).await?;
        live.permits(&mut connection, &self.connector, &order.into).await?;
        may_hold(&live, &proof)?;
        let program = self.programs.for_server(live.major.max(version(&proof.pg_dump_version)), &self.gate).await?;
        unless(stop, Clean::ours("nothing was made"), self.unchanged(&path, &proof, report)).await?;

        let made = live.create(&mut connection, &self.connector, &order.into).await?;
        let target = self.connector.to_database(&made.name);
        let words = remnant::incomplete(&proof.file);
        let work = async {
            made.say(&mut connection, &self.connector, &words).await?;
            let owners = live.foreign_owners.is_empty();
            unless(stop, Clean::default(), self.fill(&program, &path, &proof, &target, owners, report)).await?;
            unless(stop, Clean::default(), counted(&target, report)).await
        };
        let rows = match work.await {
            Ok(rows) => rows,
            Err(why) => {
                let left = made.take_away(&self.connector).await;
                return Err(Trouble { what: say!("{}; {}", why.what, left), ..why });
            }
        };
        as_proved(&made, &proof, &rows)?;

        // From here on it is complete, and stays whatever happens.
        let words = remnant::complete(&proof.file, proof.taken_at);
        let mut notes = notes(&live, &proof);
        if let Err(why) = made.say(&mut connection, &self.connector, &words).await {
            notes.push(why.what);
        }
        let comparing = compare::differences(&self.connector, &rows, proof.taken_at, |tables, of| {
            report(RestoreProgress::Comparing { tables, of });
        });
        let differences = match unless(stop, Clean::ours("it was not compared"), comparing).await {
            Ok(differences) => Some(differences),
            Err(why) => {
                notes.push(say!("what it lacks of the live database is not known: {}", why.what));
                None
            }
        };
        let bytes = match self.remnant(&made.name).await {
            Ok(Some(remnant)) => remnant.bytes,
            _ => 0,
        };
        Ok(Restored {
            into: made.name,
            file: proof.file,
            taken_at: proof.taken_at,
            tables: proof.rows.len() as u64,
            rows: proof.rows.values().sum(),
            bytes,
            differences,
            notes,
        })
    }

    /// The dump is byte for byte the one that was read back in full when it was proved.
    async fn unchanged(
        &self,
        path: &Path,
        proof: &BackupProof,
        report: &(dyn Fn(RestoreProgress) + Send + Sync),
    ) -> Result<(), Trouble> {
        let checking = |bytes, of| report(RestoreProgress::Checking { bytes, of });
        let (bytes, sha256) = readback::hashed(path, &self.gate, checking).await?;
        if bytes == proof.bytes && sha256 == proof.sha256.as_str() {
            return Ok(());
        }
        let file = self.gate.clean(&path.display().to_string());
        let how = if bytes == proof.bytes {
            Clean::ours("its SHA-256 is another")
        } else {
            say!("it has {} bytes, and its sidecar says {}", bytes, proof.bytes)
        };
        Err(Trouble::new(
            TroubleKind::Changed,
            say!("{} is not the dump that was proved: {}; nothing was made", file, how),
        )
        .remedy(Clean::ours("look for the dump as it was written, or choose another one")))
    }

    /// Runs `pg_restore` to its end, reporting what it does meanwhile.
    async fn fill(
        &self,
        program: &Program,
        path: &Path,
        proof: &BackupProof,
        target: &Connector,
        owners: bool,
        report: &(dyn Fn(RestoreProgress) + Send + Sync),
    ) -> Result<(), Trouble> {
        let started = |why: &std::io::Error| self.not_started(&program.pg_restore, why);
        let list = contents(&program.pg_restore, path).await.map_err(|why| started(&why))?;
        let mut command = child::command(&program.pg_restore);
        child::reach(&mut command, target, &format!("lastgood pg_restore {}", std::process::id()));
        command.args(["--exit-on-error", "-w", "--use-list=/dev/stdin", "-d", target.url().database().as_str()]);
        if !owners {
            command.arg("--no-owner");
        }
        command.arg(path).stdin(Stdio::piped());
        let mut running = Running::spawn(command, None).map_err(|why| started(&why))?;
        let input = running.input();
        let feed = async {
            if let Some(mut input) = input {
                // A program that ended early says why itself.
                let _ = input.write_all(list.as_bytes()).await;
            }
            std::future::pending::<std::convert::Infallible>().await
        };
        let ended = tokio::select! {
            ended = running.wait() => ended,
            never = feed => match never {},
            never = self.watch_filling(target, proof, report) => match never {},
        };
        match ended {
            Ok(ended) if ended.succeeded() => Ok(()),
            Ok(ended) => Err(failure::of_pg_restore(&ended, &self.gate)),
            Err(why) => Err(started(&why)),
        }
    }

    async fn watch_filling(
        &self,
        target: &Connector,
        proof: &BackupProof,
        report: &(dyn Fn(RestoreProgress) + Send + Sync),
    ) -> std::convert::Infallible {
        let of = proof.rows.values().sum();
        let mut connection = target.connect("lastgood").await.ok();
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let look = async {
                match &mut connection {
                    Some(connection) => filling(connection, &self.gate).await,
                    None => None,
                }
            };
            let (object, rows) = tokio::time::timeout(LOOK_LIMIT, look).await.ok().flatten().unwrap_or_default();
            report(RestoreProgress::Filling { object, rows: rows.min(of), of });
        }
    }
}

/// Waits for the work, unless it is stopped first.
async fn unless<T>(
    stop: &CancellationToken,
    left: Clean,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let cancelled = || {
        let what = if left.is_empty() { Clean::ours("cancelled") } else { say!("cancelled; {}", left) };
        Trouble::new(TroubleKind::Cancelled, what)
    };
    stop.run_until_cancelled(work).await.unwrap_or_else(|| Err(cancelled()))
}

fn version(words: &Clean) -> u32 {
    program::major(words.as_str()).unwrap_or_default()
}

/// No proved dump in these folders.
fn nothing_proved(folders: &[PathBuf], gate: &Gate) -> Trouble {
    let folder = folders.first().map_or(Clean::ours("here"), |folder| gate.clean(&folder.display().to_string()));
    let more = if folders.len() > 1 { " or in an earlier incident of this environment" } else { "" };
    Trouble::new(TroubleKind::NotFound, say!("there is no proved backup in {}{}", folder, more))
        .remedy(Clean::ours("name one by its path: lastgood restore --backup FILE"))
}

/// An older server does not understand what a newer one wrote.
fn may_hold(live: &Live, proof: &BackupProof) -> Result<(), Trouble> {
    let wrote = version(&proof.server_version);
    if live.major >= wrote {
        return Ok(());
    }
    let what = say!(
        "{} is of PostgreSQL {}, and this server is the older {}; nothing was made",
        proof.file,
        proof.server_version,
        live.version
    );
    Err(Trouble::new(TroubleKind::Refused, what)
        .remedy(Clean::ours("restore it on a server of that version or a newer one, by hand")))
}

/// The list of the archive's contents, without the `CREATE SCHEMA public` that a dump of that
/// schema alone brings: every new database has one.
async fn contents(pg_restore: &Path, dump: &Path) -> std::io::Result<String> {
    let mut command = child::command(pg_restore);
    command.arg("--list").arg(dump).stdout(Stdio::piped()).stderr(Stdio::null());
    let output = command.output().await?;
    let list = String::from_utf8_lossy(&output.stdout);
    let kept = list.lines().filter(|line| !line.contains(" SCHEMA - public ") || line.contains(" ACL "));
    Ok(kept.flat_map(|line| [line, "\n"]).collect())
}

/// What is filled or made now, and how many rows are there.
async fn filling(connection: &mut PgConnection, gate: &Gate) -> Option<(Option<Clean>, u64)> {
    let row = sqlx::query(
        "SELECT coalesce(p.relid, i.index_relid)::regclass::text, \
                coalesce((SELECT sum(n_tup_ins) FROM pg_catalog.pg_stat_user_tables), 0)::int8 \
                + coalesce(p.tuples_processed, 0)::int8 \
         FROM (SELECT) one \
         LEFT JOIN pg_catalog.pg_stat_progress_copy p ON p.datname = current_database() \
         LEFT JOIN pg_catalog.pg_stat_progress_create_index i ON i.datname = current_database() LIMIT 1",
    )
    .persistent(false)
    .fetch_optional(connection)
    .await
    .ok()??;
    let object: Option<String> = row.try_get(0).ok()?;
    let rows: i64 = row.try_get(1).ok()?;
    Some((object.map(|object| gate.clean(&object)), u64::try_from(rows).unwrap_or_default()))
}

/// The rows of every table of the new database.
async fn counted(
    target: &Connector,
    report: &(dyn Fn(RestoreProgress) + Send + Sync),
) -> Result<BTreeMap<Clean, u64>, Trouble> {
    let doing = say!("the tables of {} could not be listed", target.url().display());
    let mut connection = target.connect("lastgood").await?;
    let tables = tables::all(&mut connection, target).await.map_err(|stop| stop.into_trouble(target, &doing))?;
    tables::count(&mut connection, target, &tables, |tables, of| report(RestoreProgress::Counting { tables, of })).await
}

/// Every table holds what the sidecar counts; a database that does not is left to be looked at.
fn as_proved(made: &Made, proof: &BackupProof, rows: &BTreeMap<Clean, u64>) -> Result<(), Trouble> {
    let wrong: Vec<Clean> = proof
        .rows
        .iter()
        .filter(|(table, of)| rows.get(*table) != Some(of))
        .map(|(table, of)| match rows.get(table) {
            Some(rows) => say!("{} has {} instead of {}", table, Many(*rows, "row"), of),
            None => say!("{} is not there", table),
        })
        .collect();
    let named = wrong.iter().take(NAMED).cloned().reduce(|all, one| say!("{}, {}", all, one));
    let Some(named) = named else { return Ok(()) };
    let what = say!(
        "{} tables of the new database {} do not hold what the sidecar counts: {}; it is left on the server",
        wrong.len(),
        made.name,
        named
    );
    let remedy = say!("do not switch to it; {} takes it away", remnant::drop_command(&made.name));
    Err(Trouble::new(TroubleKind::Invalid, what).remedy(remedy))
}

/// What the new database has not, and no count tells.
fn notes(live: &Live, proof: &BackupProof) -> Vec<Clean> {
    let mut notes = Vec::new();
    let left_out = proof.left_out.iter().cloned().reduce(|all, table| say!("{}, {}", all, table));
    notes.extend(left_out.map(|tables| say!("the backup was made without the rows of {}", tables)));
    let owners = live.foreign_owners.iter().cloned().reduce(|all, owner| say!("{}, {}", all, owner));
    notes.extend(owners.map(|owners| {
        say!(
            "its tables belong to {}, which may not give them to {}: grant what LiteLLM's role needs",
            live.user,
            owners
        )
    }));
    if live.set_or_granted {
        let words = "the live database has settings or grants of its own (ALTER DATABASE … SET, GRANT CONNECT), and no dump of one database holds them: repeat them";
        notes.push(Clean::ours(words));
    }
    notes
}
