//! Drills: listed, walked on the screen, or walked by themselves on a clock that does not wait.

use std::time::Duration;

use color_eyre::eyre;
use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Builder;

use crate::app::pilot::{self, BackupOrders, Confirmations, Orders};
use crate::app::state::State;
use crate::app::status;
use crate::cli::command::{Drill, Format, Look, Walk};
use crate::cli::engine::journals::KeptIncident;
use crate::cli::engine::{Outcome, Stage, on_screen, reports, stage};
use crate::cli::exit::Exit;
use crate::cli::output::{self, json};
use crate::cli::session::{self, Scene};
use crate::domain::name::Slug;
use crate::domain::record::Line;
use crate::domain::scenario::{Scenario, bundled_scenarios};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::folder::StateFolder;
use crate::runtime::headless;
use crate::runtime::journal::Journal;
use crate::runtime::screen::Errands;
use crate::text::{Clean, Gate};
use crate::world::clock::Clock;

/// How long an automatic drill waits, by its own clock, before it gives up.
const PATIENCE: Duration = Duration::from_secs(600);

/// The names of the drills.
pub(super) fn list(format: Format) -> eyre::Result<Outcome> {
    #[derive(Serialize)]
    struct Listed {
        id: Slug,
        title: Clean,
    }
    let scenarios = bundled_scenarios();
    match format {
        Format::Json => {
            let listed: Vec<Listed> = scenarios.into_iter().map(|s| Listed { id: s.id, title: s.title }).collect();
            output::print(&json(&listed)?)?;
        }
        Format::Text => {
            let mut table = output::Table::new([("DRILL", output::Align::Left), ("TITLE", output::Align::Left)]);
            for scenario in scenarios {
                table.row([say!("{}", scenario.id), scenario.title]);
            }
            output::print(&table.render())?;
        }
    }
    Ok(Ok(Exit::Reached))
}

fn find(wanted: Option<&Slug>) -> Result<Scenario, Trouble> {
    let scenarios = bundled_scenarios();
    let Some(wanted) = wanted else {
        // The first one is the easiest; a newcomer should not have to choose.
        return scenarios
            .into_iter()
            .next()
            .ok_or_else(|| Trouble::new(TroubleKind::NotFound, Clean::ours("there are no drills")));
    };
    scenarios.into_iter().find(|scenario| scenario.id == *wanted).ok_or_else(|| {
        Trouble::new(TroubleKind::NotFound, say!("there is no drill {}", wanted))
            .remedy(Clean::ours("`lastgood drill --list` names them"))
    })
}

/// A drill, on the screen or by itself.
pub(super) fn drill(drill: &Drill, look: Look, gate: &Gate) -> eyre::Result<Outcome> {
    let scenario = match find(drill.scenario.as_ref()) {
        Ok(scenario) => scenario,
        Err(trouble) => return Ok(Err(trouble)),
    };
    match drill.walk {
        Walk::Console => Ok(walker(false)?.block_on(async {
            let stage = stage(look, gate)?;
            let runtime = Scene::begin_drill(&scenario, StateFolder::find()?, from_now(), gate)?;
            on_screen(runtime, stage, Errands::none()).await
        })),
        Walk::Auto(format) => walker(true)?.block_on(auto(&scenario, format, gate)),
    }
}

/// Takes a drill up again: its journal and its world.
pub(super) fn resume(
    scenario: &Slug,
    kept: &KeptIncident,
    journal: Journal,
    lines: Vec<Line>,
    stage: Stage,
    gate: &Gate,
) -> eyre::Result<Outcome> {
    let scenario = match find(Some(scenario)) {
        Ok(scenario) => scenario,
        Err(trouble) => return Ok(Err(trouble)),
    };
    Ok(walker(false)?.block_on(async {
        let kept_as = (journal, lines);
        let runtime = Scene::resume_drill(&scenario, StateFolder::find()?, from_now(), &kept.id, kept_as, gate)?;
        on_screen(runtime, stage, Errands::none()).await
    }))
}

/// One thread; with a clock that jumps to the next event when nothing is left to do.
fn walker(jumps: bool) -> eyre::Result<tokio::runtime::Runtime> {
    Ok(Builder::new_current_thread().enable_all().start_paused(jumps).build()?)
}

/// A clock that starts at the time of day and goes on with tokio's.
fn from_now() -> Clock {
    Clock::starting_at(Timestamp::now())
}

/// What an operator who follows every suggestion would order.
pub fn suggestions(scenario: &Scenario) -> Orders {
    Orders {
        arm: Some(scenario.place.environment.to_string()),
        confirm: Confirmations::Any,
        consent: true,
        protect: true,
        may_drop: Vec::new(),
        backup: BackupOrders::Full,
        targets: std::collections::BTreeMap::new(),
        manual: Some("carried out in the drill".to_owned()),
        explore: true,
    }
}

async fn auto(scenario: &Scenario, format: Format, gate: &Gate) -> eyre::Result<Outcome> {
    let opened = StateFolder::find().and_then(|folder| Scene::drill(scenario, folder, from_now(), None, gate));
    let scene = match opened {
        Ok(scene) => scene,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let orders = suggestions(scenario);
    let id = session::new_id(&scenario.place.environment);
    let mut runtime = match scene.begin(id, None, &[]) {
        Ok(runtime) => runtime,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let mut told = reports::Telling::new(format);
    let mut broken = None;
    let ended = headless::run(
        &mut runtime,
        |state| pilot::next(state, &orders),
        PATIENCE,
        |state| {
            if let Err(why) = told.tell(state) {
                broken.get_or_insert(why);
            }
        },
    )
    .await;
    if let Some(why) = broken {
        return Err(why.into());
    }
    let state = &runtime.state;
    let complete = state.incident.complete() && state.checks.list.complete();
    let exit = match super::code(ended.exit) {
        Exit::Reached if !complete => Exit::NotReached,
        exit => exit,
    };
    match format {
        Format::Json => output::print(&json(&result(scenario, state, exit, &ended.words))?)?,
        Format::Text => output::print(&format!("\n{}\n{}\n", ended.words, status::ending(state)))?,
    }
    Ok(Ok(exit))
}

#[derive(Serialize)]
struct Walked<'a> {
    scenario: &'a Slug,
    reached: bool,
    words: &'a Clean,
    seconds: i64,
    target_seconds: i64,
    target_met: bool,
    stages: Vec<StageTime>,
    path: Vec<Clean>,
    checks: Vec<reports::CheckRow<'a>>,
    incident: Option<&'a crate::domain::name::IncidentId>,
}

#[derive(Serialize)]
struct StageTime {
    stage: &'static str,
    seconds: i64,
}

fn result<'a>(scenario: &'a Scenario, state: &'a State, exit: Exit, words: &'a Clean) -> Walked<'a> {
    let incident = &state.incident;
    let lasted = incident.lasted(state.now);
    let stage = |at: &crate::domain::runbook::NodeRef| state.runbooks.node(at).map(|node| node.stage);
    let stages = incident.stage_times(state.now, stage).into_iter();
    Walked {
        scenario: &scenario.id,
        reached: exit == Exit::Reached,
        words,
        seconds: lasted.as_secs(),
        target_seconds: scenario.target.as_secs(),
        target_met: lasted <= scenario.target,
        stages: stages.map(|(stage, time)| StageTime { stage: stage.word(), seconds: time.as_secs() }).collect(),
        path: incident.path.iter().map(|visit| say!("{}", visit.node)).collect(),
        checks: reports::checks(state),
        incident: incident.id.as_ref(),
    }
}
