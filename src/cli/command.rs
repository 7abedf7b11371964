//! What was asked for on the command line, fully parsed: nothing after this reads an argument.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::image::Version;
use crate::domain::name::{
    CacheNamespace, ContextName, DatabaseName, EnvName, IncidentId, MigrationId, Name, Slug, Uid,
};
use crate::text::Clean;

/// One start of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Where to work.
    pub place: Place,
    /// How to look.
    pub look: Look,
    /// What to do.
    pub command: Command,
}

/// Which environment is meant. The flags select one; they never change what one says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--env`
    pub environment: Option<EnvName>,
    /// `--context`
    pub context: Option<ContextName>,
    /// `--namespace`
    pub namespace: Option<Name>,
}

/// How the screen looks, as far as the operator said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// False with `--no-color`, and with a `NO_COLOR` that is not empty (no-color.org).
    pub color: bool,
    /// Only ASCII characters.
    pub ascii: bool,
    /// Take the mouse.
    pub mouse: bool,
}

/// Who reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A person.
    Text,
    /// A program.
    Json,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The console, for an environment.
    Console,
    /// The names of the drills.
    DrillList(Format),
    /// A drill.
    Drill(Drill),
    /// Who am I, what may I do, what is there, what is in flight.
    Preflight(Format),
    /// The plan and its forecasts; without a target the candidates for last good.
    Plan {
        /// The target.
        to: Option<Targets>,
        /// Protect the schema in the same patch.
        protect: bool,
        /// Who reads it.
        format: Format,
    },
    /// Carry the plan out.
    Run(Run),
    /// The checklist.
    Verify {
        /// How long to wait for it to be complete. Zero looks once.
        timeout: Duration,
        /// Checks may call real models.
        spend_money: bool,
        /// Who reads it.
        format: Format,
    },
    /// The migration table.
    Migrations(Migrations),
    /// The keys of Redis.
    Cache(Cache),
    /// Restore a proved backup into a new database.
    Restore(Restore),
    /// The journals of this machine.
    Incidents(Format),
    /// Go on with an incident: this one, or the newest that is not closed.
    Resume(Option<IncidentId>),
    /// Write an incident down: this one, or the newest.
    Export {
        /// Which one.
        incident: Option<IncidentId>,
        /// As what.
        document: Document,
        /// Into which file; standard output without one.
        output: Option<PathBuf>,
    },
    /// Prove runbook files, together.
    RunbookLint {
        /// The files. Never empty.
        files: Vec<PathBuf>,
        /// Who reads the faults.
        format: Format,
    },
    /// Build the catalog from the published packages, into this file.
    CatalogBuild(PathBuf),
    /// List the migrations in a running pod, and compare them with the catalog.
    CatalogLearn {
        /// The pod.
        pod: Name,
        /// Who reads it.
        format: Format,
    },
    /// Add to the catalog what was published since.
    CatalogRefresh,
    /// Show what the catalog knows, in all or of one version.
    CatalogShow {
        /// Which version.
        version: Option<Asked>,
        /// Who reads it.
        format: Format,
    },
    /// Read which settings each version knows from the published packages, into this file.
    CatalogSettings(PathBuf),
    /// Say which settings of a configuration file a version does not know.
    Lint {
        /// LiteLLM's `config.yaml`.
        file: PathBuf,
        /// The version.
        version: Version,
        /// Who reads it.
        format: Format,
    },
    /// Write a configuration file from what is found.
    Init(InitTo),
    /// Print completions for a shell.
    Completions(clap_complete::Shell),
    /// Print a manual page: of the program, or of one command.
    Man(Vec<String>),
}

/// A version of LiteLLM as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The version.
    pub version: Version,
    /// How it was spelled: a version, a tag, or an image with a tag.
    pub words: Clean,
}

/// A drill to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// Which scenario; the operator is asked, or the first one is taken, where none is named.
    pub scenario: Option<Slug>,
    /// How it is walked.
    pub walk: Walk,
}

/// Who walks a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// The operator, in the console.
    Console,
    /// The suggested path, without a screen, on a clock that does not wait.
    Auto(Format),
}

/// A plan to be carried out without a screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where to go back to.
    pub to: Targets,
    /// The environment's name, as it was typed to arm.
    pub arm: EnvName,
    /// The typed confirmations, in order. Compared letter by letter and never shown.
    pub confirm: Vec<String>,
    /// Protect the schema in the same patch.
    pub protect: bool,
    /// Objects of the database that may be lost, as the schema guard spells them.
    pub may_drop: Vec<String>,
    /// What stands between us and lost data.
    pub backup: BackupChoice,
    /// Checks may call real models.
    pub spend_money: bool,
    /// How long the checklist may take.
    pub timeout: Duration,
    /// Who reads the answer.
    pub format: Format,
}

/// What is done about a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupChoice {
    /// A dump, proved.
    Dump {
        /// Leave out the rows of `"LiteLLM_SpendLogs"`.
        without_spend_logs: bool,
    },
    /// A snapshot was taken elsewhere: its identifier, for the journal.
    Snapshot(Clean),
    /// None, and why, for the journal.
    Skip(Clean),
}

/// A revision as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevisionRef {
    /// By its number, from 1 on. An undo renumbers.
    Number(u64),
    /// By its ReplicaSet's UID, which stays.
    Uid(Uid),
}

/// Which revisions to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// One revision, for an environment with one workload.
    Only(RevisionRef),
    /// A revision for each named workload, in the order given. No name twice, never empty.
    Each(Vec<(Name, RevisionRef)>),
}

/// What will run next, as far as somebody said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Its version.
    pub version: Option<Version>,
    /// A running pod of it, which is asked what its image holds.
    pub pod: Option<Name>,
}

/// What to do with the migration table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migrations {
    /// All rows.
    List {
        /// What will run next.
        next: Next,
        /// Who reads it.
        format: Format,
    },
    /// One row in full.
    Show {
        /// Which one.
        id: MigrationId,
        /// What will run next.
        next: Next,
        /// Who reads it.
        format: Format,
    },
    /// Delete one row.
    Delete(RowChange),
    /// Mark one failed row as rolled back.
    Resolve(RowChange),
    /// Put one kept row back.
    Restore {
        /// Which one.
        id: MigrationId,
        /// The environment's name, as it was typed to arm.
        arm: EnvName,
        /// The restore file; found by the id where none is named.
        file: Option<PathBuf>,
        /// Who reads the answer.
        format: Format,
    },
}

/// What to do with the response cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Count the keys of Redis by what they are.
    Survey(Format),
    /// Delete kept answers.
    Clear {
        /// Those of this namespace; the configured one where none is named.
        namespace: Option<CacheNamespace>,
        /// The typed phrase.
        confirm: String,
        /// The environment's name, as it was typed to arm.
        arm: EnvName,
        /// Who reads the answer.
        format: Format,
    },
}

/// A backup to be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The dump; the newest proved one where none is named.
    pub backup: Option<PathBuf>,
    /// The new database's name; derived from the live one's and the time where none is given.
    pub into: Option<DatabaseName>,
    /// The environment's name, as it was typed to arm.
    pub arm: EnvName,
    /// Who reads the answer.
    pub format: Format,
}

/// A change of one migration row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// Which row.
    pub id: MigrationId,
    /// The typed phrases, in order: the row's name first. Never empty.
    pub confirm: Vec<String>,
    /// The environment's name, as it was typed to arm.
    pub arm: EnvName,
    /// Who reads the answer.
    pub format: Format,
}

/// How an incident is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// For people.
    Markdown,
    /// For programs.
    Json,
}

/// Where `init` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitTo {
    /// This file, which must not be there yet.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

impl Command {
    /// The environment's name where the command arms by it. It tells which of several
    /// environments is meant when `--env` does not.
    pub fn arm(&self) -> Option<&EnvName> {
        match self {
            Command::Run(run) => Some(&run.arm),
            Command::Restore(restore) => Some(&restore.arm),
            Command::Migrations(Migrations::Delete(change) | Migrations::Resolve(change)) => Some(&change.arm),
            Command::Migrations(Migrations::Restore { arm, .. }) | Command::Cache(Cache::Clear { arm, .. }) => {
                Some(arm)
            }
            _ => None,
        }
    }

    /// Whether it works in an environment of the configuration. Drills and journals need none.
    pub fn wants_environment(&self) -> bool {
        matches!(
            self,
            Command::Console
                | Command::Preflight(_)
                | Command::Plan { .. }
                | Command::Run(_)
                | Command::Verify { .. }
                | Command::Migrations(_)
                | Command::Cache(_)
                | Command::CatalogLearn { .. }
                | Command::Restore(_)
        )
    }

    /// Who reads the answer; a command with a screen answers people.
    pub fn format(&self) -> Format {
        match self {
            Command::DrillList(format)
            | Command::Drill(Drill { walk: Walk::Auto(format), .. })
            | Command::Preflight(format)
            | Command::Plan { format, .. }
            | Command::Run(Run { format, .. })
            | Command::Verify { format, .. }
            | Command::Incidents(format)
            | Command::Cache(Cache::Survey(format) | Cache::Clear { format, .. })
            | Command::CatalogShow { format, .. }
            | Command::CatalogLearn { format, .. }
            | Command::Restore(Restore { format, .. })
            | Command::Lint { format, .. }
            | Command::RunbookLint { format, .. } => *format,
            Command::Migrations(migrations) => match migrations {
                Migrations::List { format, .. }
                | Migrations::Show { format, .. }
                | Migrations::Restore { format, .. } => *format,
                Migrations::Delete(change) | Migrations::Resolve(change) => change.format,
            },
            Command::Console
            | Command::Drill(_)
            | Command::Resume(_)
            | Command::Export { .. }
            | Command::CatalogBuild(_)
            | Command::CatalogRefresh
            | Command::CatalogSettings(_)
            | Command::Init(_)
            | Command::Completions(_)
            | Command::Man(_) => Format::Text,
        }
    }
}
