//! Carries out what was asked for on the command line, over the same runtime as the console.

mod cache;
mod catalog;
pub mod drills;
mod headless;
mod journals;
mod one_act;
mod reports;
mod restore;
mod rows;

pub use drills::suggestions;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre;
use tokio::runtime::{Builder, Runtime as Tokio};

use crate::app::effect;
use crate::app::keymap::Keymap;
use crate::cli::command::{Command, Look, Place};
use crate::cli::config_file::{self, Chosen};
use crate::cli::exit::Exit;
use crate::cli::session::{self, Scene};
use crate::cli::{Start, complain, init, taste, terminal, wiring};
use crate::domain::name::IncidentId;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::screen::{self, Errands, Left, Manners};
use crate::runtime::{Runtime, journal};
use crate::text::{Clean, Gate};
use crate::ui::theme::Theme;

/// How long threads that are busy at the end are waited for.
const LAST_THREADS: Duration = Duration::from_millis(500);

/// What ends a command early: said on standard error, with its exit code.
type Outcome = Result<Exit, Trouble>;

/// Carries one command out.
///
/// # Errors
/// The asynchronous runtime cannot be started, or standard output is gone.
pub fn run(start: Start) -> eyre::Result<Exit> {
    let Start { invocation, chosen, gate } = start;
    crate::world::tls::install_provider();
    let look = invocation.look;
    let outcome = match (invocation.command, chosen) {
        (Command::Console, Some(chosen)) => on_tokio(console(&chosen, look, &gate))?,
        (Command::Drill(drill), _) => drills::drill(&drill, look, &gate)?,
        (Command::DrillList(format), _) => drills::list(format)?,
        (Command::Preflight(format), Some(chosen)) => tokio()?.block_on(headless::preflight(&chosen, format, &gate))?,
        (Command::Plan { to, protect, format }, Some(chosen)) => {
            tokio()?.block_on(headless::plan(&chosen, to.as_ref(), protect, format, &gate))?
        }
        (Command::Run(run), Some(chosen)) => tokio()?.block_on(headless::run(&chosen, &run, &gate))?,
        (Command::Verify { timeout, spend_money, format }, Some(chosen)) => {
            tokio()?.block_on(headless::verify(&chosen, timeout, spend_money, format, &gate))?
        }
        (Command::Migrations(migrations), Some(chosen)) => tokio()?.block_on(rows::run(&chosen, &migrations, &gate))?,
        (Command::Restore(wanted), Some(chosen)) => tokio()?.block_on(restore::run(&chosen, &wanted, &gate))?,
        (Command::Cache(cache), Some(chosen)) => tokio()?.block_on(cache::run(&chosen, &cache, &gate))?,
        (Command::Incidents(format), _) => journals::list(format, &gate)?,
        (Command::Resume(incident), _) => resume(&invocation.place, incident.as_ref(), look, &gate)?,
        (Command::Export { incident, document, output }, _) => {
            journals::export(incident.as_ref(), document, output.as_deref(), &gate)?
        }
        (Command::RunbookLint { files, format }, _) => journals::lint(&files, format, &gate)?,
        (Command::CatalogBuild(output), _) => tokio()?.block_on(catalog::build(&output, &gate)),
        (Command::CatalogLearn { pod, format }, Some(chosen)) => {
            tokio()?.block_on(catalog::learn(&chosen, &pod, format, &gate))?
        }
        (Command::CatalogRefresh, _) => tokio()?.block_on(catalog::refresh(&gate)),
        (Command::CatalogShow { version, format }, _) => catalog::show(version.as_ref(), format, &gate)?,
        (Command::CatalogSettings(output), _) => tokio()?.block_on(catalog::settings::build(&output, &gate)),
        (Command::Lint { file, version, format }, _) => catalog::settings::lint(&file, &version, format, &gate)?,
        (Command::Init(to), _) => Ok(found_and_written(&invocation.place, &to, &gate)?),
        (Command::Completions(_) | Command::Man(_), _) => Ok(Exit::Reached),
        // The command line opens an environment for every command that wants one.
        (_, None) => Ok(Exit::Usage),
    };
    Ok(said(outcome))
}

fn said(outcome: Outcome) -> Exit {
    match outcome {
        Ok(exit) => exit,
        Err(trouble) => {
            complain(&say!("lastgood: {}", trouble.sentence()));
            trouble.kind.into()
        }
    }
}

/// The asynchronous runtime of a live world.
fn tokio() -> eyre::Result<Tokio> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Runs the console over a live world. A credential plugin that never answers does not hold up the
/// end: its thread is left behind.
fn on_tokio<T>(console: impl Future<Output = T>) -> eyre::Result<T> {
    let tokio = tokio()?;
    let outcome = tokio.block_on(console);
    tokio.shutdown_timeout(LAST_THREADS);
    Ok(outcome)
}

/// The exit code of how the engine ended.
fn code(exit: effect::Exit) -> Exit {
    match exit {
        effect::Exit::Reached | effect::Exit::Left => Exit::Reached,
        effect::Exit::NotReached => Exit::NotReached,
        effect::Exit::Usage => Exit::Usage,
        effect::Exit::Refused => Exit::Refused,
        effect::Exit::Unreachable => Exit::Unreachable,
        effect::Exit::Unknown => Exit::Unknown,
    }
}

/// What the screen needs before an incident is opened for it.
struct Stage {
    keymap: Keymap,
    theme: Theme,
    manners: Manners,
}

/// The terminal, the keys and the colours: looked at first, so that nothing is opened in vain.
fn stage(look: Look, gate: &Gate) -> Result<Stage, Trouble> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(Trouble::new(TroubleKind::Invalid, Clean::ours("the console needs a terminal"))
            .remedy(Clean::ours("run it in one, or use a command without a screen: see `lastgood --help`")));
    }
    let look = terminal::fitting_here(look, gate)?;
    let (keymap, theme) = taste::load(look, gate)?;
    Ok(Stage { keymap, theme, manners: Manners::here(look.mouse) })
}

async fn console(chosen: &Chosen, look: Look, gate: &Gate) -> Outcome {
    let stage = stage(look, gate)?;
    let (scene, errands) = session::live_on_screen(chosen, gate).await?;
    let id = session::new_id(&scene.setting.environment);
    let runtime = scene.begin(id, None, &[])?;
    on_screen(runtime, stage, errands).await
}

/// Shows a runtime on the screen until it is left.
async fn on_screen(mut runtime: Runtime, stage: Stage, errands: Errands) -> Outcome {
    runtime.state.keymap = Arc::new(stage.keymap);
    let Left { exit, restored } = screen::run(&mut runtime, &stage.theme, stage.manners, errands).await?;
    if let (Some(id), None, true) = (&runtime.state.incident.id, &runtime.state.incident.closed, restored) {
        complain(&say!(
            "incident {} is kept: `lastgood resume {}` goes on, `lastgood export {} --md` writes it down",
            id,
            id,
            id
        ));
    }
    let unknown = !runtime.state.unknown().is_empty();
    Ok(if unknown { Exit::Unknown } else { code(exit) })
}

fn resume(place: &Place, incident: Option<&IncidentId>, look: Look, gate: &Gate) -> eyre::Result<Outcome> {
    let stage = match stage(look, gate) {
        Ok(stage) => stage,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let kept = match journals::resumable(incident, gate) {
        Ok(kept) => kept,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let (journal, lines) = match journal::Journal::open(&kept.folder, gate) {
        Ok(opened) => opened,
        Err(trouble) => return Ok(Err(trouble)),
    };
    if let Some(scenario) = &kept.scenario {
        return drills::resume(scenario, &kept, journal, lines, stage, gate);
    }
    let place = Place { environment: Some(kept.environment.clone()), ..place.clone() };
    let chosen = match config_file::open(&place, None, gate) {
        Ok(config_file::Choice::One(chosen)) => *chosen,
        Ok(config_file::Choice::Several(several)) => return Ok(Err(config_file::which(&several))),
        Err(error) => {
            complain(&gate.clean(&error.to_string()));
            return Ok(Ok(error.exit()));
        }
    };
    on_tokio(async {
        let (scene, errands) = session::live_on_screen(&chosen, gate).await?;
        same_place(&kept, &scene)?;
        on_screen(scene.resume(&kept.id, journal, lines), stage, errands).await
    })
}

/// The configuration still leads to where the incident was opened: acts of one cluster must not
/// be gone on with in another.
fn same_place(kept: &journals::KeptIncident, scene: &Scene) -> Result<(), Trouble> {
    let now = scene.place();
    for word in ["context ", "namespace "] {
        let of = |place: &[Clean]| place.iter().find(|line| line.as_str().starts_with(word)).cloned();
        let (then, now) = (of(kept.place()), of(&now));
        if then != now {
            let or_none = |line: Option<Clean>| line.unwrap_or_else(|| say!("no {}", word.trim_end()));
            let what =
                say!("{} was opened on {}, and the configuration now says {}", kept.id, or_none(then), or_none(now));
            return Err(Trouble::new(TroubleKind::Refused, what)
                .remedy(Clean::ours("open a new incident, or put the configuration back")));
        }
    }
    Ok(())
}

/// `init`: what the cluster shows goes into the file; without a cluster it is written all the same.
fn found_and_written(place: &Place, to: &crate::cli::command::InitTo, gate: &Gate) -> eyre::Result<Exit> {
    let current = |config| config_file::current(&config, place.context.as_ref(), place.namespace.as_ref());
    let cluster = config_file::kubeconfig(gate).and_then(current).ok();
    let workloads = match &cluster {
        Some(cluster) => tokio()?.block_on(wiring::found(cluster, gate)),
        None => Vec::new(),
    };
    Ok(said(init::init(to, &init::Found { cluster, workloads }, gate).map(|()| Exit::Reached)))
}

/// A scene that only looks.
async fn looking(chosen: &Chosen, gate: &Gate) -> Result<Scene, Trouble> {
    session::live(chosen, gate).await
}
