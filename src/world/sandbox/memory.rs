//! What was done in a sandbox, kept on disk: an act is in the file, or it did not happen.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::change::ChangeKind;
use crate::domain::image::Image;
use crate::domain::name::{CacheNamespace, DatabaseName, MigrationId, ModelName, Name, RequestId, Slug, Uid, VarName};
use crate::domain::release::ReleaseRevision;
use crate::domain::runbook::NodeRef;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// One thing that was done to the world, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Act {
    /// When.
    pub(super) at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub(super) deed: Deed,
}

/// What can be done to a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "deed", rename_all = "kebab-case")]
pub(super) enum Deed {
    /// The world began: the first line of every file.
    Opened { scenario: Slug },
    /// The Deployment's template was changed.
    Changed { change: Patch, protect: bool },
    /// The Helm release was rolled back.
    RolledBack { to: ReleaseRevision },
    /// A migration row was deleted.
    Deleted { id: MigrationId },
    /// A migration row was marked as rolled back.
    Resolved { id: MigrationId },
    /// A kept row was put back.
    Restored { id: MigrationId },
    /// A test completion was sent.
    Completed { id: RequestId, model: ModelName },
    /// The database was dumped.
    BackedUp { file: String },
    /// A person did a manual step.
    ByHand { node: NodeRef },
    /// A database was made to restore a backup into.
    MadeDatabase { into: DatabaseName },
    /// A backup was restored into a database that was made for it.
    RestoredDatabase { into: DatabaseName },
    /// A database that a restore made was taken away again.
    DroppedDatabase { into: DatabaseName },
    /// The kept answers of a namespace were deleted.
    ClearedCache { namespace: Option<CacheNamespace> },
}

/// A [`ChangeKind`] that can be written down.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "patch", rename_all = "kebab-case")]
pub(super) enum Patch {
    Revert { to: Uid },
    Image { container: Name, image: Image },
    Variable { container: Name, name: VarName, value: Option<String> },
    Restart { stamp: Timestamp },
}

/// Without the values, which may be secret.
impl std::fmt::Debug for Patch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Patch::Revert { .. } => "Revert",
            Patch::Image { .. } => "Image",
            Patch::Variable { .. } => "Variable",
            Patch::Restart { .. } => "Restart",
        })
    }
}

impl From<&ChangeKind> for Patch {
    fn from(kind: &ChangeKind) -> Self {
        match kind {
            ChangeKind::Revert { to, .. } => Patch::Revert { to: to.clone() },
            ChangeKind::SetImage { container, image } => {
                Patch::Image { container: container.clone(), image: image.clone() }
            }
            ChangeKind::SetVariable { container, name, value } => Patch::Variable {
                container: container.clone(),
                name: name.clone(),
                value: value.as_ref().map(|value| value.expose().to_owned()),
            },
            ChangeKind::Restart { at } => Patch::Restart { stamp: *at },
        }
    }
}

/// The file of acts, or nothing where the world need not outlive the process.
pub(super) struct Memory(Option<File>);

impl Memory {
    /// Opens the file of a world, or begins it at `now`. Answers with the acts so far, the
    /// opening first. A torn last line is an act that did not happen, and is cut off.
    pub(super) fn open(
        path: Option<&Path>,
        scenario: &Slug,
        now: Timestamp,
        gate: &Gate,
    ) -> Result<(Self, Vec<Act>), Trouble> {
        let opening = Act { at: now, deed: Deed::Opened { scenario: scenario.clone() } };
        let Some(path) = path else { return Ok((Self(None), vec![opening])) };
        let shown = gate.clean(&path.display().to_string());
        let disk = |why: std::io::Error| {
            Trouble::new(TroubleKind::Disk, say!("the drill's world {}: {}", shown, gate.clean(&why.to_string())))
                .remedy(Clean::ours("make room, or choose another state folder"))
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(disk)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(disk)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(disk)?;
        file.seek(SeekFrom::End(0)).map_err(disk)?;
        let mut acts = Vec::new();
        for (number, line) in text[..whole].lines().enumerate() {
            let act: Act = serde_json::from_str(line).map_err(|_| {
                Trouble::new(
                    TroubleKind::Invalid,
                    say!("line {} of the drill's world {} cannot be read", number + 1, shown),
                )
                .remedy(Clean::ours("start a new drill"))
            })?;
            acts.push(act);
        }
        let mut memory = Self(Some(file));
        match acts.first().map(|act| &act.deed) {
            Some(Deed::Opened { scenario: other }) if other == scenario => {}
            Some(_) => {
                return Err(Trouble::new(TroubleKind::Invalid, say!("{} is the world of another drill", shown))
                    .remedy(Clean::ours("resume that one, or start a new drill")));
            }
            None => {
                memory.append(&opening)?;
                acts.push(opening);
            }
        }
        Ok((memory, acts))
    }

    /// Writes one act and waits until the disk has it.
    pub(super) fn append(&mut self, act: &Act) -> Result<(), Trouble> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let written = serde_json::to_string(act).map_err(std::io::Error::other).and_then(|line| {
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        });
        written.map_err(|_| {
            Trouble::new(
                TroubleKind::Disk,
                Clean::ours("the act could not be written to the drill's world, so it did not happen"),
            )
            .remedy(Clean::ours("make room on the disk"))
        })
    }
}
