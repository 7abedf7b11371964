//! The command line as people type it: the only file that knows flag names.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::command::{
    Asked, BackupChoice, Cache, Command, Document, Drill, Format, InitTo, Invocation, Look, Migrations, Next, Place,
    Restore, RevisionRef, RowChange, Run, Targets, Walk,
};
use crate::domain::image::{Image, Version};
use crate::domain::name::{
    CacheNamespace, ContextName, DatabaseName, EnvName, IncidentId, MigrationId, Name, Slug, Uid,
};
use crate::text::{Clean, Gate};

const EXIT_CODES: &str = "\
Exit codes:
  0  reached
  1  not reached: a check or a step failed
  2  the command line or the configuration is wrong
  3  refused by a gate; nothing was changed
  4  something that is needed does not answer
  5  outcome unknown: look before you repeat it";

const EXAMPLES: &str = "\
Examples:
  lastgood drill                          practise in the embedded sandbox
  lastgood init                           write lastgood.toml from the current kube context
  lastgood --env staging                  the console
  lastgood plan --to 13                   what a revert to revision 13 would do
  lastgood verify --timeout 5m --json     the checklist, for a pipeline";

/// Takes a failing LLM gateway back to its last good state, and proves that it got there
///
/// Without a command the console opens, read-only, for the configured environment.
#[derive(Parser)]
#[command(name = "lastgood", version, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
struct Arguments {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Args)]
#[command(next_help_heading = "Where")]
struct Globals {
    /// The environment: NAME of a table [env.NAME] in the configuration
    #[arg(long, global = true, value_name = "NAME")]
    env: Option<EnvName>,
    /// The configuration file [default: ./lastgood.toml, then lastgood/lastgood.toml in the XDG configuration folder]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The environment that stands in this kube context; a context that no environment names is treated as production
    #[arg(long, global = true, value_name = "CONTEXT")]
    context: Option<ContextName>,
    /// The environment that stands in this namespace
    #[arg(long, short, global = true, value_name = "NAMESPACE")]
    namespace: Option<Name>,
    /// No colour; NO_COLOR in the environment does the same
    #[arg(long, global = true, help_heading = "Looks")]
    no_color: bool,
    /// Only ASCII characters
    #[arg(long, global = true, help_heading = "Looks")]
    ascii: bool,
    /// Scroll with the mouse wheel; the terminal's own selection then needs a modifier key
    #[arg(long, global = true, help_heading = "Looks")]
    mouse: bool,
}

#[derive(Args)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Practise in the embedded sandbox; nothing outside is touched
    #[command(after_help = "\
Examples:
  lastgood drill                            play the first one, which explains itself
  lastgood drill failed-migration           play this one
  lastgood drill --list                     name them all
  lastgood drill bad-image --auto --json    walk the suggested path without a screen")]
    Drill(DrillArgs),
    /// Say who you are, what you may do, what is missing and what is in flight; changes nothing
    Preflight(Json),
    /// Show the plan and its forecasts; changes nothing
    #[command(after_help = TO_HELP)]
    Plan(PlanArgs),
    /// Carry the plan out without a screen, through the same gates as in the console
    #[command(after_help = "\
Examples:
  lastgood run --to 13 --arm staging --confirm 20251113000000_add_column
  lastgood run --to litellm=13 --to litellm-batch=7 --arm staging --json
  lastgood run --to 13 --arm staging --snapshot snap-0a1b2c3d
  lastgood run --to 13 --arm staging --may-drop LiteLLM_TeamTable.soft_budget

A revision is named by its number or by its ReplicaSet's UID. `lastgood plan` with the same
--to shows every step, and every object that has to be confirmed, in order.")]
    Run(RunArgs),
    /// Go through the checklist and wait until it is complete
    #[command(after_help = "\
Examples:
  lastgood verify                           wait up to five minutes
  lastgood verify --timeout 0 --json        look once, for a program
  lastgood verify --spend-money             let checks call the real models")]
    Verify(VerifyArgs),
    /// Look at the migration table, and repair it row by row
    #[command(subcommand)]
    Migrations(MigrationsVerb),
    /// Look at the response cache in Redis, and clear it without touching anything else
    #[command(subcommand)]
    Cache(CacheVerb),
    /// Restore a proved backup into a new database beside the live one, and list what it lacks
    #[command(after_help = "\
Examples:
  lastgood restore --arm staging                    the newest proved backup
  lastgood restore --backup backups/litellm_backup_20251114_031502.dump --arm staging --json
  lastgood restore --into litellm_checked --arm staging

A database that exists is never restored into, and no URL is switched.")]
    Restore(RestoreArgs),
    /// List the incidents and drills in this machine's journals
    Incidents(Json),
    /// Go on with an incident after a crash, a lost line or a pause
    Resume {
        /// The incident's id [default: the newest one that is not closed]
        incident: Option<IncidentId>,
    },
    /// Write an incident's timeline down: what was seen, decided, refused and done, by whom, and when
    #[command(after_help = "\
Examples:
  lastgood export --md --output postmortem.md
  lastgood export 20251114-031502-litellm --json")]
    Export(ExportArgs),
    /// Work on runbooks
    #[command(subcommand)]
    Runbook(RunbookVerb),
    /// Which migrations belong to which version of LiteLLM, and what each does
    #[command(subcommand)]
    Catalog(CatalogVerb),
    /// Say which settings of a LiteLLM config.yaml a version does not know; shows no value
    #[command(after_help = "\
Examples:
  lastgood lint config.yaml --for 1.81.0
  lastgood lint config.yaml --for main-v1.77.2-stable --json

It ends with 1 when the version does not know a setting that another one does.")]
    Lint {
        /// LiteLLM's configuration file
        #[arg(value_name = "CONFIG")]
        file: PathBuf,
        /// The version of LiteLLM, or the tag of its image
        #[arg(long = "for", value_name = "VERSION")]
        version: Version,
        #[command(flatten)]
        json: Json,
    },
    /// Write a commented lastgood.toml from what is found; never overwrites
    #[command(after_help = "\
Examples:
  lastgood init                             into ./lastgood.toml
  lastgood init --context kind-test -n llm --output -")]
    Init {
        /// The file to write; `-` prints it
        #[arg(long, short, value_name = "FILE", default_value = "lastgood.toml")]
        output: PathBuf,
    },
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  lastgood completions bash > ~/.local/share/bash-completion/completions/lastgood
  lastgood completions zsh > ~/.zfunc/_lastgood")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    #[command(after_help = "\
Examples:
  lastgood man > ~/.local/share/man/man1/lastgood.1
  lastgood man migrations delete | man -l -")]
    Man {
        /// The command that it is about, as `migrations delete` [default: the whole program]
        #[arg(value_name = "COMMAND")]
        of: Vec<String>,
    },
}

#[derive(Args)]
struct DrillArgs {
    /// The scenario's id, as `--list` shows it [default: the first one]
    scenario: Option<Slug>,
    /// Walk the suggested path without a screen; succeeds only when the checklist is complete
    #[arg(long, group = "headless")]
    auto: bool,
    /// Name the scenarios
    #[arg(long, group = "headless", conflicts_with = "scenario")]
    list: bool,
    /// Print JSON
    #[arg(long, requires = "headless")]
    json: bool,
}

const TO_HELP: &str = "\
Examples:
  lastgood plan                             the candidates for last good, ranked, with reasons
  lastgood plan --to 13                     to revision 13
  lastgood plan --to litellm=13 --to litellm-batch=7
  lastgood plan --to 6d0b3f5e-8a55-4c39-9d0e-3f1f0f6f1a52 --json

A revision is named by its number or by its ReplicaSet's UID, never as \"the previous one\".";

const TO: &str = "Where to go back to: REV, or WORKLOAD=REV once for each workload";

#[derive(Args)]
struct RestoreArgs {
    /// The dump, with its sidecar beside it [default: the newest proved one of this environment]
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// The name of the new database [default: the live one's, with the time]
    #[arg(long, value_name = "NAME")]
    into: Option<DatabaseName>,
    /// The environment's name, to arm
    #[arg(long, value_name = "ENV")]
    arm: EnvName,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
struct PlanArgs {
    #[arg(long, value_name = "REV", help = TO)]
    to: Vec<To>,
    /// Plan with DISABLE_SCHEMA_UPDATE=true in the same patch, where the guard asks for it
    #[arg(long)]
    protect: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
struct RunArgs {
    #[arg(long, value_name = "REV", required = true, help = TO)]
    to: Vec<To>,
    /// Arm: the environment's name, spelled out
    #[arg(long, value_name = "ENV")]
    arm: EnvName,
    /// Confirm: what will be destroyed, spelled out, in the order in which the plan asks
    #[arg(long, value_name = "OBJECT", num_args = 1..)]
    confirm: Vec<String>,
    /// Set DISABLE_SCHEMA_UPDATE=true in the same patch, where the guard asks for it
    #[arg(long)]
    protect: bool,
    /// Accept a loss: an object that the forecast says may be dropped, spelled out; once for each
    #[arg(long, value_name = "OBJECT")]
    may_drop: Vec<String>,
    /// Leave the rows of "LiteLLM_SpendLogs" out of the backup
    #[arg(long, conflicts_with_all = ["snapshot", "skip_backup"])]
    without_spend_logs: bool,
    /// The identifier of a snapshot taken elsewhere, in place of a dump
    #[arg(long, value_name = "ID", conflicts_with = "skip_backup", value_parser = words)]
    snapshot: Option<String>,
    /// No backup; the reason goes into the journal
    #[arg(long, value_name = "REASON", value_parser = words)]
    skip_backup: Option<String>,
    /// Let checks call real models, which costs money; without it the run stops at those checks
    #[arg(long, visible_alias = "consent")]
    spend_money: bool,
    /// How long the checklist may take, as 90s or 10m
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time)]
    timeout: Duration,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
struct VerifyArgs {
    /// How long to wait, as 90s or 5m; 0 looks once
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    timeout: Duration,
    /// Let checks call real models, which costs money; without it those checks stay open
    #[arg(long, visible_alias = "consent")]
    spend_money: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
struct NextArgs {
    /// The version of LiteLLM that will run next: the target of the rollback
    #[arg(long, value_name = "VERSION")]
    next: Option<Version>,
    /// Ask this running pod of that version which migrations its image holds, as `catalog learn` does
    #[arg(long, value_name = "POD")]
    learn: Option<Name>,
}

impl NextArgs {
    fn chosen(self) -> Next {
        Next { version: self.next, pod: self.learn }
    }
}

#[derive(Subcommand)]
enum MigrationsVerb {
    /// List the rows, failed ones first: what brought each, whether it tells the truth, what to do with it
    #[command(after_help = "\
Examples:
  lastgood migrations list --next 1.81.0    which rows 1.81.0 does not know, and what it would run
  lastgood migrations list --learn litellm-7d9f8c-x2x4p    by what this pod's image really holds

A row of state `pending` is none: that version would run the migration.")]
    List {
        #[command(flatten)]
        next: NextArgs,
        #[command(flatten)]
        json: Json,
    },
    /// Show one row with its logs, what its migration does, and what deleting it leads to
    Show {
        /// The row's id
        id: MigrationId,
        #[command(flatten)]
        next: NextArgs,
        #[command(flatten)]
        json: Json,
    },
    /// Delete one row, and keep it in a restore file
    #[command(after_help = "\
Examples:
  lastgood migrations delete 3f0c… --confirm 20251113000000_add_column --arm staging

An applied row needs a second --confirm, which the refusal of the first one spells out.
`lastgood migrations restore` puts the row back.")]
    Delete(RowArgs),
    /// Mark one failed row as rolled back, as `prisma migrate resolve --rolled-back` does, and keep it in a restore file
    #[command(after_help = "\
Examples:
  lastgood migrations resolve 3f0c… --confirm 20251113000000_add_column --arm staging")]
    Resolve(RowArgs),
    /// Put one deleted or resolved row back exactly as it was
    #[command(after_help = "\
Examples:
  lastgood migrations restore 3f0c… --arm staging")]
    Restore {
        /// The row's id, as the deletion told it; the export has it too
        id: MigrationId,
        /// Arm: the environment's name, spelled out
        #[arg(long, value_name = "ENV")]
        arm: EnvName,
        /// The restore file [default: the newest one of this id]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Subcommand)]
enum CacheVerb {
    /// Count the keys of Redis by what they are; changes nothing
    Survey(Json),
    /// Delete the kept answers of the response cache, and nothing else
    #[command(after_help = "\
Examples:
  lastgood cache clear --confirm litellm-prod --arm staging
  lastgood cache clear --cache-namespace litellm-prod --confirm litellm-prod --arm staging
  lastgood cache clear --confirm clear --arm staging

Without a namespace, here and in the configuration, keys of 64 hexadecimal digits are meant, and the
word to confirm is `clear`. `lastgood cache survey` shows every namespace that holds answers.")]
    Clear {
        /// The namespace of the answers [default: redis_namespace of the configuration]
        #[arg(long, value_name = "NAME")]
        cache_namespace: Option<CacheNamespace>,
        /// Confirm: the namespace, spelled out; `clear` where there is none
        #[arg(long, value_name = "WORD")]
        confirm: String,
        /// Arm: the environment's name, spelled out
        #[arg(long, value_name = "ENV")]
        arm: EnvName,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Args)]
struct RowArgs {
    /// The row's id, as `migrations list` shows it
    id: MigrationId,
    /// Confirm: the migration's name, spelled out
    #[arg(long, value_name = "NAME", required = true)]
    confirm: Vec<String>,
    /// Arm: the environment's name, spelled out
    #[arg(long, value_name = "ENV")]
    arm: EnvName,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
struct ExportArgs {
    /// The incident's id [default: the newest one]
    incident: Option<IncidentId>,
    /// Markdown, for people (the default)
    #[arg(long, conflicts_with = "json")]
    md: bool,
    /// JSON, for programs
    #[arg(long)]
    json: bool,
    /// Into this file in place of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Subcommand)]
enum RunbookVerb {
    /// Prove that runbook files are sound
    #[command(after_help = "\
Examples:
  lastgood runbook lint my-runbook.toml

Several files are proved together, so that one may lead into another.")]
    Lint {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Subcommand)]
enum CatalogVerb {
    /// Build it from the published packages alone, with pip; goes on where it was interrupted
    Build {
        /// The file to write
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// List the migrations in a running pod, and say how they differ from what was published
    #[command(after_help = "\
Examples:
  lastgood catalog learn --pod litellm-7d9f8c-x2x4p --env staging

Starts one short Python process in the pod, which reads the folder of the migrations and writes
nothing. Needs `get` and `create` on `pods/exec`. Exit code 1: they are not those of any package that
the image's version pins.")]
    Learn {
        /// The pod
        #[arg(long, value_name = "POD")]
        pod: Name,
        #[command(flatten)]
        json: Json,
    },
    /// Add what was published since, with pip; the console uses it from then on
    Refresh,
    /// Show what it knows: in all, or of one version and what that does when it starts
    #[command(after_help = "\
Examples:
  lastgood catalog show                     its date, how much it knows, where it comes from
  lastgood catalog show 1.81.0
  lastgood catalog show ghcr.io/berriai/litellm-database:main-v1.74.7-stable --json")]
    Show {
        /// A version, an image's tag, or an image with its tag
        version: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Read which settings each version of LiteLLM knows, from the published packages alone, with pip; goes on where it was interrupted
    Settings {
        /// The file to write
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
}

/// One `--to`.
#[derive(Clone)]
struct To {
    workload: Option<Name>,
    revision: RevisionRef,
}

impl FromStr for To {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        let (workload, revision) = match raw.split_once('=') {
            Some((workload, revision)) => (Some(workload.parse().map_err(|bad| format!("{bad}"))?), revision),
            None => (None, raw),
        };
        Ok(Self { workload, revision: revision_ref(revision)? })
    }
}

fn revision_ref(raw: &str) -> Result<RevisionRef, String> {
    match raw.parse::<u64>() {
        Ok(0) => Err("0 means \"the previous one\" to kubectl; name the revision".into()),
        Ok(number) => Ok(RevisionRef::Number(number)),
        Err(_) => match raw.parse::<Uid>() {
            // A word such as `previous` would pass for a UID.
            Ok(uid) if raw.contains('-') && raw.contains(|c: char| c.is_ascii_digit()) => Ok(RevisionRef::Uid(uid)),
            _ => Err("not a revision: give its number or its ReplicaSet's UID".into()),
        },
    }
}

/// A span of time as kubectl writes it (`90s`, `5m`, `1h30m`); a bare number is seconds.
fn time(raw: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
    let seconds = raw.parse::<u64>().ok().map(Duration::from_secs);
    let parsed = seconds.or_else(|| raw.parse::<jiff::SignedDuration>().ok()?.try_into().ok());
    parsed.filter(|time| *time <= LONGEST).ok_or_else(|| "not a time: write 90s, 5m or 1h, at most 7 days".into())
}

/// Words that somebody will read later.
fn words(raw: &str) -> Result<String, &'static str> {
    if raw.trim().is_empty() { Err("say it in words") } else { Ok(raw.trim().to_owned()) }
}

/// The command line's definition, for completions and manual pages.
pub(super) fn definition() -> clap::Command {
    Arguments::command()
}

/// Reads the arguments. `no_color` is what the environment says about colour.
///
/// # Errors
/// clap's own, which is also how it hands out help and the version.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    no_color: bool,
    gate: &Gate,
) -> Result<Invocation, clap::Error> {
    let matches = definition().try_get_matches_from(arguments)?;
    let Arguments { globals, verb } = Arguments::from_arg_matches(&matches)?;
    let look = Look { color: !globals.no_color && !no_color, ascii: globals.ascii, mouse: globals.mouse };
    let place = Place {
        config: globals.config,
        environment: globals.env,
        context: globals.context,
        namespace: globals.namespace,
    };
    let command = verb.map_or(Ok(Command::Console), |verb| verb.command(gate))?;
    Ok(Invocation { place, look, command })
}

impl Verb {
    fn command(self, gate: &Gate) -> Result<Command, clap::Error> {
        Ok(match self {
            Verb::Drill(drill) if drill.list => Command::DrillList(format(drill.json)),
            Verb::Drill(drill) => {
                let walk = if drill.auto { Walk::Auto(format(drill.json)) } else { Walk::Console };
                Command::Drill(Drill { scenario: drill.scenario, walk })
            }
            Verb::Preflight(json) => Command::Preflight(json.format()),
            Verb::Plan(plan) => {
                let to = if plan.to.is_empty() { None } else { Some(targets(plan.to)?) };
                Command::Plan { to, protect: plan.protect, format: plan.json.format() }
            }
            Verb::Run(run) => Command::Run(run.run(gate)?),
            Verb::Verify(VerifyArgs { timeout, spend_money, json }) => {
                Command::Verify { timeout, spend_money, format: json.format() }
            }
            Verb::Migrations(verb) => Command::Migrations(verb.migrations()),
            Verb::Restore(RestoreArgs { backup, into, arm, json }) => {
                Command::Restore(Restore { backup, into, arm, format: json.format() })
            }
            Verb::Cache(CacheVerb::Survey(json)) => Command::Cache(Cache::Survey(json.format())),
            Verb::Cache(CacheVerb::Clear { cache_namespace, confirm, arm, json }) => {
                Command::Cache(Cache::Clear { namespace: cache_namespace, confirm, arm, format: json.format() })
            }
            Verb::Incidents(json) => Command::Incidents(json.format()),
            Verb::Resume { incident } => Command::Resume(incident),
            Verb::Export(ExportArgs { incident, md: _, json, output }) => {
                let document = if json { Document::Json } else { Document::Markdown };
                Command::Export { incident, document, output }
            }
            Verb::Runbook(RunbookVerb::Lint { files, json }) => Command::RunbookLint { files, format: json.format() },
            Verb::Catalog(CatalogVerb::Build { output }) => Command::CatalogBuild(output),
            Verb::Catalog(CatalogVerb::Learn { pod, json }) => Command::CatalogLearn { pod, format: json.format() },
            Verb::Catalog(CatalogVerb::Refresh) => Command::CatalogRefresh,
            Verb::Catalog(CatalogVerb::Show { version, json }) => {
                let version = version.map(|raw| asked(&raw, gate)).transpose()?;
                Command::CatalogShow { version, format: json.format() }
            }
            Verb::Catalog(CatalogVerb::Settings { output }) => Command::CatalogSettings(output),
            Verb::Lint { file, version, json } => Command::Lint { file, version, format: json.format() },
            Verb::Init { output } if output.as_os_str() == "-" => Command::Init(InitTo::Stdout),
            Verb::Init { output } => Command::Init(InitTo::File(output)),
            Verb::Completions { shell } => Command::Completions(shell),
            Verb::Man { of } => Command::Man(of),
        })
    }
}

impl RunArgs {
    fn run(self, gate: &Gate) -> Result<Run, clap::Error> {
        let backup = match (self.snapshot, self.skip_backup) {
            (Some(id), _) => BackupChoice::Snapshot(gate.clean(&id)),
            (None, Some(reason)) => BackupChoice::Skip(gate.clean(&reason)),
            (None, None) => BackupChoice::Dump { without_spend_logs: self.without_spend_logs },
        };
        Ok(Run {
            to: targets(self.to)?,
            arm: self.arm,
            confirm: self.confirm,
            protect: self.protect,
            may_drop: self.may_drop,
            backup,
            spend_money: self.spend_money,
            timeout: self.timeout,
            format: self.json.format(),
        })
    }
}

impl MigrationsVerb {
    fn migrations(self) -> Migrations {
        match self {
            MigrationsVerb::List { next, json } => Migrations::List { next: next.chosen(), format: json.format() },
            MigrationsVerb::Show { id, next, json } => {
                Migrations::Show { id, next: next.chosen(), format: json.format() }
            }
            MigrationsVerb::Delete(row) => Migrations::Delete(row.change()),
            MigrationsVerb::Resolve(row) => Migrations::Resolve(row.change()),
            MigrationsVerb::Restore { id, arm, file, json } => {
                Migrations::Restore { id, arm, file, format: json.format() }
            }
        }
    }
}

impl RowArgs {
    fn change(self) -> RowChange {
        RowChange { id: self.id, confirm: self.confirm, arm: self.arm, format: self.json.format() }
    }
}

impl Json {
    fn format(&self) -> Format {
        format(self.json)
    }
}

fn format(json: bool) -> Format {
    if json { Format::Json } else { Format::Text }
}

/// A version, a tag, or an image with its tag.
fn asked(raw: &str, gate: &Gate) -> Result<Asked, clap::Error> {
    let words = gate.clean(raw);
    let refuse =
        |why: &'static str| definition().error(ErrorKind::InvalidValue, say!("`{}` {}", words, Clean::ours(why)));
    if let Ok(version) = raw.parse() {
        return Ok(Asked { version, words });
    }
    let image: Image = raw.parse().map_err(|_| refuse("is not a version, a tag or an image"))?;
    let digest = image.digest().is_some() || image.repository() == "sha256";
    match image.version() {
        Some(version) => Ok(Asked { version, words }),
        None if digest => Err(refuse("is a digest, which does not tell a version: name the tag or the version")),
        None if image.tag().is_none() && raw.contains('/') => {
            Err(refuse("has no tag, so that it can mean another image tomorrow: write IMAGE:TAG"))
        }
        None => Err(refuse(
            "does not tell a version, and can mean another image tomorrow: write 1.81.0, main-v1.81.0-stable or IMAGE:TAG",
        )),
    }
}

/// Several `--to` must each name their workload, and none twice.
fn targets(to: Vec<To>) -> Result<Targets, clap::Error> {
    let refuse = |why: &str| Err(definition().error(ErrorKind::ArgumentConflict, why));
    let mut each: Vec<(Name, RevisionRef)> = Vec::new();
    let several = to.len() > 1;
    for To { workload, revision } in to {
        match workload {
            None if several => return refuse("--to is given more than once: write WORKLOAD=REV in each"),
            None => return Ok(Targets::Only(revision)),
            Some(name) if each.iter().any(|(before, _)| *before == name) => {
                return refuse("--to names a workload twice: give each one revision");
            }
            Some(name) => each.push((name, revision)),
        }
    }
    Ok(Targets::Each(each))
}

#[cfg(test)]
mod tests;
