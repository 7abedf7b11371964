//! The sandbox as a database: migration rows with their real rules, spend rows, and a dump.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::Sandbox;
use super::memory::Deed;
use super::model::Model;
use super::parts::StoredRow;
use crate::domain::backup::{BackupItem, BackupOrder, BackupProgress, BackupProof, Programs, Server};
use crate::domain::cluster::Fingerprint;
use crate::domain::confirm::Confirmed;
use crate::domain::encrypted::Newer;
use crate::domain::gateway::SpendRow;
use crate::domain::migration::{Deletion, Kept, MigrationTable, Resolution, Row, RowState, may_resolve};
use crate::domain::name::{DatabaseName, RequestId};
use crate::domain::restore::{Remnant, RestoreItem, RestoreOrder, RestorePlan, RestoreWish};
use crate::domain::salt::{Keys, Opened};
use crate::domain::schema::LiveSchema;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;
use crate::world::{Backup, Database, Feed, Reply, sidecar};

/// A kept row as its restore file holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreFile {
    format: u32,
    table: String,
    row: StoredRow,
}

impl Sandbox {
    fn see_row(&self, row: &StoredRow) -> Row {
        Row {
            id: row.id.clone(),
            name: row.migration_name.clone(),
            state: RowState::read(row.finished_at.is_some(), row.rolled_back_at.is_some(), false),
            started_at: row.started_at,
            finished_at: row.finished_at,
            rolled_back_at: row.rolled_back_at,
            steps: row.applied_steps_count,
            checksum: self.gate.clean(&row.checksum),
            logs: row.logs.as_deref().map(|logs| self.gate.clean(logs)),
            content: Fingerprint::new(&self.key, &serde_json::to_vec(row).unwrap_or_default()),
        }
    }

    /// The stored row, when it is still the one that was shown.
    fn same_row<'a>(&self, model: &'a Model, shown: &Row) -> Result<&'a StoredRow, Trouble> {
        let remedy = Clean::ours("read the table again and decide on what it shows now");
        let Some(stored) = model.rows.iter().find(|row| row.id == shown.id) else {
            return Err(Trouble::new(
                TroubleKind::Changed,
                say!("the row of {} is not there any more; nothing was changed", shown.name),
            )
            .remedy(remedy));
        };
        if self.see_row(stored).content != shown.content {
            return Err(Trouble::new(
                TroubleKind::Changed,
                say!("the row of {} was changed since it was shown; it was left alone", shown.name),
            )
            .remedy(remedy));
        }
        Ok(stored)
    }

    /// Writes a row to a file that only its owner reads.
    fn keep(&self, row: &StoredRow, folder: &Path, now: Timestamp) -> Result<Kept, Trouble> {
        let id: String = row.id.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let stem = format!("restore-{id}-{}", now.as_millisecond());
        let names = (1..).map(|n| if n == 1 { format!("{stem}.json") } else { format!("{stem}-{n}.json") });
        let mut free = names.filter(|name| !folder.join(name).exists());
        let file = free.next().unwrap_or_default();
        let content = RestoreFile { format: 1, table: "_prisma_migrations".to_owned(), row: row.clone() };
        let written = serde_json::to_vec_pretty(&content)
            .map_err(std::io::Error::other)
            .and_then(|bytes| write_private(&folder.join(&file), &bytes));
        written.map_err(|why| self.disk("the restore file could not be written, so the row was left alone", &why))?;
        Ok(Kept { id: row.id.clone(), name: row.migration_name.clone(), file })
    }

    pub(super) fn disk(&self, what: &'static str, why: &std::io::Error) -> Trouble {
        Trouble::new(TroubleKind::Disk, say!("{}: {}", what, self.gate.clean(&why.to_string())))
            .remedy(Clean::ours("make room, or choose another folder"))
    }

    fn read_kept(&self, kept: &Kept, folder: &Path) -> Result<StoredRow, Trouble> {
        let damaged = || {
            Trouble::new(TroubleKind::Invalid, say!("the restore file of {} cannot be used", kept.name))
                .remedy(Clean::ours("look for the file of this very row in the incident's folder"))
        };
        if Path::new(&kept.file).file_name() != Some(std::ffi::OsStr::new(&kept.file)) {
            return Err(damaged());
        }
        let bytes = std::fs::read(folder.join(&kept.file))
            .map_err(|why| self.disk("the restore file could not be read", &why))?;
        let file: RestoreFile = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        if file.format != 1 || file.row.id != kept.id || file.row.migration_name != kept.name {
            return Err(damaged());
        }
        Ok(file.row)
    }
}

/// Creates a file of mode 0600 that was not there, and waits until the disk has it.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Refuses to put a row back beside one of its name that counts.
fn may_restore(model: &Model, row: &StoredRow) -> Result<(), Trouble> {
    let refused = |what: Clean| {
        Err(Trouble::new(TroubleKind::Refused, what)
            .remedy(Clean::ours("leave it: the table already tells what happened since")))
    };
    let again = |other: &&StoredRow| {
        other.migration_name == row.migration_name && other.id != row.id && other.rolled_back_at.is_none()
    };
    if model.rows.iter().any(|other| again(&other)) {
        return refused(say!("{} was applied again meanwhile; the old row was not put back", row.migration_name));
    }
    if model.rows.contains(row) {
        return refused(say!("the row of {} is there as it was; there is nothing to put back", row.migration_name));
    }
    if model.kept.get(&row.id) != Some(row) {
        return refused(say!("the row of {} was not taken from this database", row.migration_name));
    }
    Ok(())
}

impl Database for Sandbox {
    fn migrations(&self) -> Reply<MigrationTable> {
        let table = self.look(|model, _| MigrationTable {
            unreadable: Vec::new(),
            rows: model.rows.iter().map(|row| self.see_row(row)).collect(),
            locks: vec![],
            schema: Clean::ours("public"),
            exists: true,
        });
        async { Ok(table.sorted()) }.boxed()
    }

    fn schema(&self) -> Reply<LiveSchema> {
        if let Some(objects) = self.look(|model, _| model.held.clone()) {
            let live = LiveSchema { schema: Clean::ours("public"), objects, ..LiveSchema::default() };
            return async { Ok(live) }.boxed();
        }
        let what = say!("the drill {} does not say what its database holds", self.scenario.id);
        async { Err(Trouble::new(TroubleKind::Missing, what).remedy(Clean::ours("go by the migration table"))) }.boxed()
    }

    fn newer(&self) -> Reply<Vec<Newer>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn delete(&self, proof: Confirmed<Deletion>, folder: PathBuf) -> Reply<Kept> {
        let sandbox = self.clone();
        async move {
            let shown = &proof.subject().row;
            sandbox.act(|model, now| {
                let row = sandbox.same_row(model, shown)?;
                let kept = sandbox.keep(row, &folder, now)?;
                Ok((Deed::Deleted { id: row.id.clone() }, kept))
            })
        }
        .boxed()
    }

    fn resolve(&self, proof: Confirmed<Resolution>, folder: PathBuf) -> Reply<Kept> {
        let sandbox = self.clone();
        async move {
            let shown = &proof.subject().row;
            sandbox.act(|model, now| {
                let row = sandbox.same_row(model, shown)?;
                may_resolve(&sandbox.see_row(row)).map_err(|why| {
                    Trouble::new(TroubleKind::Refused, why).remedy(Clean::ours("delete the row instead, if it must go"))
                })?;
                let kept = sandbox.keep(row, &folder, now)?;
                Ok((Deed::Resolved { id: row.id.clone() }, kept))
            })
        }
        .boxed()
    }

    fn restore(&self, kept: Kept, folder: PathBuf) -> Reply<Clean> {
        let sandbox = self.clone();
        async move {
            sandbox.act(|model, _| {
                let row = sandbox.read_kept(&kept, &folder)?;
                may_restore(model, &row)?;
                Ok((Deed::Restored { id: row.id }, say!("the row of {} is back exactly as it was", kept.name)))
            })
        }
        .boxed()
    }

    fn opened(&self, keys: Keys) -> Reply<Opened> {
        let opened = self.see_opened(&keys);
        async move { Ok(opened) }.boxed()
    }

    fn spend_row(&self, id: RequestId) -> Reply<Option<SpendRow>> {
        let row = self.look(|model, _| {
            let asked = model.asked.iter().find(|asked| asked.id == id)?;
            asked.written.filter(|at| *at <= model.now).map(|_| SpendRow {
                id: asked.id.clone(),
                spend: Clean::ours("0.0000135"),
                total_tokens: 30,
                started: Some(model.time(asked.at)),
            })
        });
        async { Ok(row) }.boxed()
    }
}

/// A file that goes away again unless it was finished.
struct Part(Option<PathBuf>);

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// How long one of a dump's [`STAGES`] takes.
const STAGE: Duration = Duration::from_millis(500);
/// Half seconds of counting, of dumping, and of reading back.
const STAGES: (u32, u32, u32) = (1, 8, 3);
/// Bytes that a dumped row is said to take.
const ROW_BYTES: u64 = 412;

struct Dump {
    sandbox: Sandbox,
    order: BackupOrder,
    folder: PathBuf,
    started: Timestamp,
    stage: u32,
    part: Part,
    over: bool,
}

impl Dump {
    fn tables(&self) -> BTreeMap<Clean, u64> {
        let mut tables = self.sandbox.scenario.database.tables.clone();
        if self.order.without_spend_logs {
            tables.retain(|name, _| !name.as_str().ends_with("LiteLLM_SpendLogs"));
        }
        tables
    }

    async fn next(mut self) -> Option<(BackupItem, Self)> {
        if self.over {
            return None;
        }
        if self.stage > 0 {
            tokio::time::sleep(STAGE).await;
        }
        let stage = self.stage;
        self.stage += 1;
        let item = match self.at_stage(stage) {
            Ok(item) => item,
            Err(trouble) => BackupItem::Failed(trouble),
        };
        self.over = matches!(item, BackupItem::Failed(_) | BackupItem::Proved(_));
        Some((item, self))
    }

    fn at_stage(&mut self, stage: u32) -> Result<BackupItem, Trouble> {
        let (counting, dumping, reading) = STAGES;
        let tables = self.tables();
        let size = 4_096 + tables.values().sum::<u64>() * ROW_BYTES;
        if stage == 0 {
            self.begin()?;
        }
        if stage < counting {
            return Ok(BackupItem::Progress(BackupProgress::Counting));
        }
        let done = u64::from(stage - counting);
        if stage < counting + dumping {
            let share = done * tables.len() as u64 / u64::from(dumping);
            let table = tables.iter().nth(usize::try_from(share).unwrap_or(0));
            return Ok(BackupItem::Progress(BackupProgress::Dumping {
                table: table.map(|(name, _)| name.clone()),
                rows: table.map_or(0, |(_, rows)| *rows),
                of_about: table.map(|(_, rows)| *rows),
                bytes: size * (done + 1) / u64::from(dumping),
            }));
        }
        if stage < counting + dumping + reading {
            let read = done - u64::from(dumping) + 1;
            return Ok(BackupItem::Progress(BackupProgress::ReadingBack {
                bytes: size * read / u64::from(reading),
                of: size,
            }));
        }
        self.finish().map(|proof| BackupItem::Proved(Box::new(proof)))
    }

    fn begin(&mut self) -> Result<(), Trouble> {
        let name = self.order.file_name();
        if self.folder.join(&name).exists() {
            return Err(Trouble::new(
                TroubleKind::Refused,
                say!("{} is already there", self.sandbox.gate.clean(&name)),
            )
            .remedy(Clean::ours("wait a second and ask again")));
        }
        let path = self.folder.join(format!("{name}.part"));
        write_private(&path, self.content().as_bytes())
            .map_err(|why| self.sandbox.disk("the dump could not be written", &why))?;
        self.part = Part(Some(path));
        Ok(())
    }

    /// A drill's dump holds no data: only that it is one, and of what.
    fn content(&self) -> String {
        let rows: Vec<_> = self.tables().iter().map(|(name, rows)| format!("{name} {rows}\n")).collect();
        format!("dump of the drill {}\n{}", self.sandbox.scenario.id, rows.concat())
    }

    fn finish(&mut self) -> Result<BackupProof, Trouble> {
        let name = self.order.file_name();
        let disk = |why: std::io::Error| self.sandbox.disk("the dump could not be finished", &why);
        let part = self.part.0.clone().unwrap_or_default();
        let bytes = std::fs::read(&part).map_err(disk)?;
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let gate = &self.sandbox.gate;
        let head = self.sandbox.look(|model, now| {
            let applied = model.rows.iter().filter(|row| row.finished_at.is_some() && row.rolled_back_at.is_none());
            (applied.max_by_key(|row| row.started_at).map(|row| say!("{}", row.migration_name)), now)
        });
        let left_out =
            if self.order.without_spend_logs { vec![Clean::ours("public.LiteLLM_SpendLogs")] } else { vec![] };
        let proof = BackupProof {
            file: gate.clean(&name),
            folder: gate.clean(&self.folder.display().to_string()),
            bytes: bytes.len() as u64,
            sha256: gate.clean(&sha256),
            database: Clean::ours("the sandbox's database"),
            server_version: self.sandbox.scenario.database.version.clone(),
            pg_dump_version: self.sandbox.scenario.database.version.clone(),
            rows: self.tables(),
            left_out,
            migration_head: head.0,
            started_at: self.started,
            taken_at: self.started,
            proved_at: head.1,
        };
        self.sandbox.act(|_, _| Ok((Deed::BackedUp { file: name.clone() }, ())))?;
        sidecar::write(&self.folder.join(&name), &proof).map_err(disk)?;
        std::fs::rename(&part, self.folder.join(&name)).map_err(disk)?;
        self.part.0 = None;
        Ok(proof)
    }
}

impl Backup for Sandbox {
    fn server(&self) -> Reply<Server> {
        let version = self.scenario.database.version.clone();
        let programs =
            Programs { folder: Clean::ours("the sandbox"), pg_dump: version.clone(), pg_restore: version.clone() };
        let server = Server { place: Clean::ours("the sandbox's database"), version, programs: Ok(programs) };
        async { Ok(server) }.boxed()
    }

    fn run(&self, order: BackupOrder, folder: PathBuf) -> Feed<BackupItem> {
        let started = self.look(|_, now| now);
        let dump = Dump { sandbox: self.clone(), order, folder, started, stage: 0, part: Part(None), over: false };
        stream::unfold(dump, Dump::next).boxed()
    }

    fn plan_restore(&self, wish: RestoreWish, folders: Vec<PathBuf>) -> Reply<RestorePlan> {
        self.plan_of(&wish, &folders)
    }

    fn restore(&self, order: RestoreOrder, stop: CancellationToken) -> Feed<RestoreItem> {
        self.restoring(order, stop)
    }

    fn remnant(&self, name: DatabaseName) -> Reply<Option<Remnant>> {
        self.remnant_of(&name)
    }
}
