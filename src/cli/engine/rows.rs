//! `migrations`: the migration table without a screen. Changes pass the same gates as on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use color_eyre::eyre;

use crate::app::action::{Action, Pane};
use crate::app::effect;
use crate::app::learn;
use crate::app::migrations::in_full;
use crate::app::msg::Msg;
use crate::app::pilot::Move;
use crate::app::state::Anchor;
use crate::cli::command::{Format, Migrations, Next, RowChange};
use crate::cli::config_file::Chosen;
use crate::cli::engine::one_act::{act, check_arm, orders};
use crate::cli::engine::{Outcome, catalog, journals, looking, reports};
use crate::cli::exit::Exit;
use crate::cli::output::{self, json};
use crate::cli::session::{self, Scene, node};
use crate::domain::catalog::{Listing, Origin, Told};
use crate::domain::image::Version;
use crate::domain::ledger::{Ledger, Sources};
use crate::domain::migration::{Kept, MigrationTable};
use crate::domain::name::{EnvName, MigrationId, Name};
use crate::domain::runbook::NodeRef;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// How long a change of one row may take in all.
const PATIENCE: Duration = Duration::from_secs(60);

/// One of the `migrations` commands.
pub(super) async fn run(chosen: &Chosen, migrations: &Migrations, gate: &Gate) -> eyre::Result<Outcome> {
    match migrations {
        Migrations::List { next, format } => {
            let seen = match seen(chosen, next, gate).await {
                Ok(seen) => seen,
                Err(trouble) => return Ok(Err(trouble)),
            };
            match format {
                Format::Json => output::print(&json(&reports::listed(&seen.table, &seen.ledger))?)?,
                Format::Text => output::print(&reports::rows(&seen.table, &seen.ledger))?,
            }
            Ok(Ok(Exit::Reached))
        }
        Migrations::Show { id, next, format } => {
            let seen = match seen(chosen, next, gate).await {
                Ok(seen) => seen,
                Err(trouble) => return Ok(Err(trouble)),
            };
            let Some(row) = seen.table.row(id) else { return Ok(Err(no_row(id))) };
            let finding = seen.ledger.of(id);
            match format {
                Format::Json => output::print(&json(&reports::RowLine::new(row, finding, true))?)?,
                Format::Text => output::print(&format!("{}\n", in_full(row, finding, seen.next.as_ref())))?,
            }
            Ok(Ok(Exit::Reached))
        }
        Migrations::Delete(change) => changed(chosen, change, Action::DeleteRow, gate).await,
        Migrations::Resolve(change) => changed(chosen, change, Action::ResolveRow, gate).await,
        Migrations::Restore { id, arm, file, format } => {
            restored(chosen, id, arm, file.as_deref(), *format, gate).await
        }
    }
}

fn no_row(id: &MigrationId) -> Trouble {
    Trouble::new(TroubleKind::NotFound, say!("there is no migration row {}", id))
        .remedy(Clean::ours("`lastgood migrations list` shows the ids"))
}

/// The table, and how it agrees with the database.
struct Seen {
    table: MigrationTable,
    ledger: Ledger,
    /// What will run next.
    next: Option<Version>,
}

async fn seen(chosen: &Chosen, next: &Next, gate: &Gate) -> Result<Seen, Trouble> {
    let scene = looking(chosen, gate).await?;
    let database = scene.world.database.clone()?;
    let told = match &next.pod {
        Some(pod) => Some(told(&scene, pod, next.version.as_ref()).await?),
        None => None,
    };
    let image = told.as_ref().map(|told| &told.listing);
    let version = next.version.clone().or_else(|| image.and_then(Listing::version));
    let (table, live) = (database.migrations().await?, database.schema().await);
    let origin = &scene.setting.catalog_from;
    if !matches!(origin, Origin::Embedded) {
        super::complain(&say!("by the catalog of {}, {}", scene.setting.catalog.made(), origin.words()));
    }
    // The rows are worth reading without it: then the ledger says that nobody can tell.
    if let Err(why) = &live {
        super::complain(&say!("lastgood: {}; rows are not compared with it", why.sentence()));
    }
    let (live, catalog) = (live.as_ref().ok(), &scene.setting.catalog);
    let ledger = Ledger::compare(Sources { table: &table, live, catalog, target: version.as_ref(), image });
    Ok(Seen { table, ledger, next: version })
}

/// What a pod of the version that will run next holds; said on standard error.
async fn told(scene: &Scene, pod: &Name, next: Option<&Version>) -> Result<Told, Trouble> {
    let told = catalog::told(scene, pod).await?;
    if let (Some(next), Some(runs)) = (next, told.listing.version())
        && runs != *next
    {
        let what =
            say!("pod/{} runs LiteLLM {}, and --next says {}: its listing says nothing about that", pod, runs, next);
        return Err(Trouble::new(TroubleKind::Invalid, what)
            .remedy(Clean::ours("name a pod of that version, or leave out one of the two")));
    }
    super::complain(&learn::words(&told));
    Ok(told)
}

/// Where the incident of such a change begins.
fn at() -> NodeRef {
    node("litellm-rollback", "migrations")
}

async fn changed(chosen: &Chosen, change: &RowChange, action: Action, gate: &Gate) -> eyre::Result<Outcome> {
    if let Err(trouble) = check_arm(&change.arm, chosen) {
        return Ok(Err(trouble));
    }
    let scene = match session::live(chosen, gate).await {
        Ok(scene) => scene,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let orders = orders(&change.arm, change.confirm.clone());
    act(scene, &orders, change.format, PATIENCE, at(), move |state| {
        let table = match &state.migrations {
            crate::domain::live::Live::Seen { value, .. } => value,
            crate::domain::live::Live::Absent(why) => return Err(Move::Stop(effect::Exit::Usage, why.sentence())),
            crate::domain::live::Live::Lost { why, .. } => {
                return Err(Move::Stop(effect::Exit::Unreachable, why.sentence()));
            }
            crate::domain::live::Live::Waiting => return Err(Move::Wait(Clean::ours("the migration table"))),
        };
        if table.row(&change.id).is_none() {
            return Err(Move::Stop(effect::Exit::Usage, no_row(&change.id).sentence()));
        }
        Ok(vec![Msg::Select(Pane::Migrations, Anchor::Row(change.id.clone())), Msg::Do(action)])
    })
    .await
}

async fn restored(
    chosen: &Chosen,
    id: &MigrationId,
    arm: &EnvName,
    file: Option<&Path>,
    format: Format,
    gate: &Gate,
) -> eyre::Result<Outcome> {
    if let Err(trouble) = check_arm(arm, chosen) {
        return Ok(Err(trouble));
    }
    let (kept, folder) = match kept(id, file, &chosen.environment.name, gate) {
        Ok(found) => found,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let scene = match session::live(chosen, gate).await {
        Ok(scene) => scene.keeping_rows_in(folder),
        Err(trouble) => return Ok(Err(trouble)),
    };
    act(scene, &orders(arm, Vec::new()), format, PATIENCE, at(), move |_| Ok(vec![Msg::Undo(kept.clone())])).await
}

/// The kept row and the folder of its file: named on the command line, or found in the journals.
fn kept(id: &MigrationId, file: Option<&Path>, environment: &EnvName, gate: &Gate) -> Result<(Kept, PathBuf), Trouble> {
    let found = journals::kept_row(id, environment, gate);
    let Some(file) = file else {
        return found.ok_or_else(|| {
            Trouble::new(TroubleKind::NotFound, say!("no incident of {} kept the row {}", environment, id))
                .remedy(Clean::ours("name the restore file: --file PATH"))
        });
    };
    let bad = || {
        Trouble::new(TroubleKind::Invalid, say!("{} is no file", gate.clean(&file.display().to_string())))
            .remedy(Clean::ours("name the restore file that the deletion kept"))
    };
    let name = file.file_name().and_then(|name| name.to_str()).ok_or_else(bad)?.to_owned();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let migration = match found {
        Some((kept, _)) => kept.name,
        None => journals::name_in(file, gate)?,
    };
    Ok((Kept { id: id.clone(), name: migration, file: name }, folder))
}
