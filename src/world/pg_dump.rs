//! The backup port: `pg_dump` in a snapshot that we counted, read back in full before it gets its
//! name, and `pg_restore` of what was proved into a database that is made for it.
//!
//! The whole database is dumped, not only LiteLLM's schema: a dump that is restored in an
//! emergency must not lack what other schemas hold. Only where this user may not read tables
//! outside LiteLLM's schema, the dump is limited to that schema, and the proof lists what was
//! left out.
//!
//! `pg_restore --list` finds nothing wrong with truncated and bit-flipped dumps, so the proof is
//! `pg_restore -f /dev/null`, which decompresses every block.

mod admin;
mod child;
mod compare;
mod failure;
mod part;
mod program;
mod readback;
mod restore;
mod snapshot;
mod tables;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::unfold;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::backup::{BackupItem, BackupOrder, BackupProgress, BackupProof, Programs as Found, Server};
use crate::domain::database_url::DatabaseUrl;
use crate::domain::name::DatabaseName;
use crate::domain::restore::{Remnant, RestoreItem, RestoreOrder, RestorePlan, RestoreWish};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};
use crate::world::clock::Clock;
use crate::world::postgres::connect::Connector;
use crate::world::postgres::trouble;
use crate::world::{Backup, Feed, Reply};

use self::child::Running;
use self::part::Part;
use self::program::Programs;
use self::snapshot::Snapshot;

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Longest time for one look; a look that takes longer is skipped.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Longest time for the server to say what it is and for the programs to say theirs.
const SERVER_LIMIT: Duration = Duration::from_secs(30);

/// `pg_dump` and `pg_restore` for one database. Runs inside a tokio runtime.
#[derive(Clone)]
pub struct PgDump(Arc<Inner>);

struct Inner {
    connector: Connector,
    programs: Programs,
    gate: Gate,
}

impl PgDump {
    /// Takes the address in; nothing is run or reached before [`Backup::run`]. `via` stands in
    /// for the URL's host and port where a port-forward leads there. Programs are looked for on
    /// `PATH` first and then where distributions keep several versions of them.
    pub fn new(url: DatabaseUrl, via: Option<(IpAddr, u16)>, gate: Gate) -> Self {
        let connector = Connector::new(url, via, gate.clone());
        Self(Arc::new(Inner { connector, programs: Programs::installed(), gate }))
    }

    /// The same with these programs and no others.
    #[must_use]
    pub fn with_programs(self, pg_dump: PathBuf, pg_restore: PathBuf) -> Self {
        let (connector, gate) = (self.0.connector.clone(), self.0.gate.clone());
        Self(Arc::new(Inner { connector, programs: Programs::exactly(pg_dump, pg_restore), gate }))
    }
}

impl Backup for PgDump {
    fn plan_restore(&self, wish: RestoreWish, folders: Vec<PathBuf>) -> Reply<RestorePlan> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let doing = say!("a restore beside {} could not be planned", inner.connector.url().display());
            match tokio::time::timeout(SERVER_LIMIT, inner.plan_restore(&wish, &folders)).await {
                Ok(plan) => plan,
                Err(_) => Err(inner.connector.silent(&doing, SERVER_LIMIT)),
            }
        })
    }

    fn restore(&self, order: RestoreOrder, stop: CancellationToken) -> Feed<RestoreItem> {
        let inner = Arc::clone(&self.0);
        let (items, received) = mpsc::channel(16);
        // When nobody listens any more the work is stopped, and still tidies up behind itself.
        let stop = stop.child_token();
        let guard = stop.clone().drop_guard();
        tokio::spawn(async move {
            let report = |progress| drop(items.try_send(RestoreItem::Progress(progress)));
            let end = inner.restore(&order, &stop, &report).await;
            let end = end.map_or_else(RestoreItem::Failed, |restored| RestoreItem::Restored(Box::new(restored)));
            let _ = items.send(end).await;
        });
        unfold((received, guard), |(mut received, guard)| async move {
            let item = received.recv().await?;
            Some((item, (received, guard)))
        })
        .boxed()
    }

    fn remnant(&self, name: DatabaseName) -> Reply<Option<Remnant>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let doing = say!("{} could not be looked for", name);
            match tokio::time::timeout(SERVER_LIMIT, inner.remnant(&name)).await {
                Ok(remnant) => remnant,
                Err(_) => Err(inner.connector.silent(&doing, SERVER_LIMIT)),
            }
        })
    }

    fn server(&self) -> Reply<Server> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let doing = say!("{} did not say which version it is", inner.connector.url().display());
            match tokio::time::timeout(SERVER_LIMIT, inner.server(&doing)).await {
                Ok(server) => server,
                Err(_) => Err(inner.connector.silent(&doing, SERVER_LIMIT)),
            }
        })
    }

    fn run(&self, order: BackupOrder, folder: PathBuf) -> Feed<BackupItem> {
        let inner = Arc::clone(&self.0);
        let (items, received) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let guard = cancel.clone().drop_guard();
        tokio::spawn(async move {
            let work = inner.run(&order, &folder, &items);
            // Dropping the work stops its program and removes its file.
            let end = tokio::select! {
                end = work => end,
                () = cancel.cancelled() => return,
            };
            let end = end.map_or_else(BackupItem::Failed, |proof| BackupItem::Proved(Box::new(proof)));
            // Nobody listens any more: the stream was dropped after the end was reached.
            let _ = items.send(end).await;
        });
        unfold((received, guard), |(mut received, guard)| async move {
            let item = received.recv().await?;
            Some((item, (received, guard)))
        })
        .boxed()
    }
}

impl Inner {
    async fn server(&self, doing: &Clean) -> Result<Server, Trouble> {
        let mut connection = self.connector.connect("lastgood").await?;
        let of = |error| trouble::of(&self.connector, doing, &error);
        let row = sqlx::query("SELECT current_setting('server_version'), current_setting('server_version_num')::int4")
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(of)?;
        let (version, number): (String, i32) = (row.try_get(0).map_err(of)?, row.try_get(1).map_err(of)?);
        let programs = self.programs.for_server(major(number), &self.gate).await.map(|program| Found {
            folder: self.gate.clean(&program.pg_dump.parent().unwrap_or(&program.pg_dump).display().to_string()),
            pg_dump: program.version,
            pg_restore: program.restore_version,
        });
        Ok(Server { place: self.connector.url().display(), version: self.gate.clean(&version), programs })
    }

    async fn run(
        &self,
        order: &BackupOrder,
        folder: &Path,
        items: &mpsc::Sender<BackupItem>,
    ) -> Result<BackupProof, Trouble> {
        let started_at = Clock::wall().now();
        let mut part = Part::create(folder, &order.file_name(), &self.gate)?;
        report(items, BackupProgress::Counting);
        let mut snapshot = Snapshot::open(&self.connector, order).await?;
        let program = self.programs.for_server(snapshot.major, &self.gate).await?;
        part.has_room_for(snapshot.table_bytes, &self.gate)?;
        snapshot.count(&self.connector).await?;
        self.dump(&program.pg_dump, &snapshot, &part, items).await?;
        snapshot.close().await;
        let (bytes, sha256) = readback::read_back(&program.pg_restore, part.path(), &self.gate, |bytes, of| {
            report(items, BackupProgress::ReadingBack { bytes, of });
        })
        .await?;
        let proof = BackupProof {
            file: self.gate.clean(&order.file_name()),
            folder: self.gate.clean(&folder.display().to_string()),
            bytes,
            sha256: self.gate.clean(&sha256),
            database: self.connector.url().display(),
            server_version: snapshot.server_version.clone(),
            pg_dump_version: program.version,
            rows: snapshot.rows,
            left_out: snapshot.left_out,
            migration_head: snapshot.migration_head,
            started_at,
            taken_at: snapshot.taken_at,
            proved_at: Clock::wall().now(),
        };
        part.finish(&proof, &self.gate)?;
        Ok(proof)
    }

    /// Runs `pg_dump` to its end, reporting what it does meanwhile.
    async fn dump(
        &self,
        pg_dump: &Path,
        snapshot: &Snapshot,
        part: &Part,
        items: &mpsc::Sender<BackupItem>,
    ) -> Result<(), Trouble> {
        let application = format!("lastgood pg_dump {}", std::process::id());
        let mut command = child::command(pg_dump);
        child::reach(&mut command, &self.connector, &application);
        command.args(["-F", "c", "-w", "--lock-wait-timeout=5s"]);
        command.arg(format!("--snapshot={}", snapshot.id));
        command.args(&snapshot.arguments).arg("-f").arg(part.path());
        let mut running = Running::spawn(command, Some(part.path())).map_err(|why| self.not_started(pg_dump, &why))?;
        let ended = tokio::select! {
            ended = running.wait() => ended,
            never = self.watch(&application, part.path(), items) => match never {},
        };
        match ended {
            Ok(ended) if ended.succeeded() => Ok(()),
            Ok(ended) => Err(failure::of_pg_dump(&ended, &self.gate, self.connector.url())),
            Err(why) => Err(self.not_started(pg_dump, &why)),
        }
    }

    /// Reports progress until it is dropped. A second connection asks; without one, the growth of
    /// the file has to do.
    async fn watch(
        &self,
        application: &str,
        file: &Path,
        items: &mpsc::Sender<BackupItem>,
    ) -> std::convert::Infallible {
        let mut connection = self.connector.connect("lastgood").await.ok();
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let bytes = tokio::fs::metadata(file).await.map_or(0, |data| data.len());
            let look = async {
                match &mut connection {
                    Some(connection) => copying(connection, application, &self.gate).await,
                    None => None,
                }
            };
            let (table, rows, of_about) =
                tokio::time::timeout(LOOK_LIMIT, look).await.ok().flatten().unwrap_or_default();
            report(items, BackupProgress::Dumping { table, rows, of_about, bytes });
        }
    }

    fn not_started(&self, program: &Path, why: &std::io::Error) -> Trouble {
        let (program, why) = (self.gate.clean(&program.display().to_string()), self.gate.clean(&why.to_string()));
        Trouble::new(TroubleKind::Program, say!("{} cannot be run: {}", program, why))
            .remedy(Clean::ours("install PostgreSQL's client programs on this machine"))
    }
}

/// Progress is thrown away when nobody takes it; the end is not.
fn report(items: &mpsc::Sender<BackupItem>, progress: BackupProgress) {
    let _ = items.try_send(BackupItem::Progress(progress));
}

/// The major number of `server_version_num` (PostgreSQL 10 and later).
fn major(number: i32) -> u32 {
    u32::try_from(number / 10_000).unwrap_or_default()
}

type Copying = (Option<Clean>, u64, Option<u64>);

/// The table that `pg_dump` copies now (`pg_stat_progress_copy`, PostgreSQL 14 and later).
async fn copying(connection: &mut PgConnection, application: &str, gate: &Gate) -> Option<Copying> {
    let row = sqlx::query(
        "SELECT p.relid::regclass::text, p.tuples_processed::int8, c.reltuples::int8 \
         FROM pg_catalog.pg_stat_progress_copy p JOIN pg_catalog.pg_stat_activity a USING (pid) \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid WHERE a.application_name = $1 LIMIT 1",
    )
    .bind(application)
    .persistent(false)
    .fetch_optional(connection)
    .await
    .ok()??;
    let table: Option<String> = row.try_get(0).ok()?;
    let rows: Option<i64> = row.try_get(1).ok()?;
    // -1 stands for a table that was never analysed.
    let about: Option<i64> = row.try_get(2).ok()?;
    Some((
        table.map(|table| gate.clean(&table)),
        rows.and_then(|rows| u64::try_from(rows).ok()).unwrap_or_default(),
        about.and_then(|about| u64::try_from(about).ok()),
    ))
}
