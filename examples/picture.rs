//! Draws the picture of the README: plays a drill up to its most telling moment, on a clock that
//! does not wait, and writes the real screen as an SVG. `cargo run --example picture` renews it.

use std::error::Error;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use lastgood::app::msg::Msg;
use lastgood::app::overlay::Overlay;
use lastgood::app::pilot::{self, Move};
use lastgood::app::state::State;
use lastgood::cli::engine::drills::suggestions;
use lastgood::cli::session::Scene;
use lastgood::domain::scenario::bundled_scenarios;
use lastgood::runtime::Runtime;
use lastgood::runtime::folder::StateFolder;
use lastgood::text::Gate;
use lastgood::ui;
use lastgood::ui::theme::{Charset, Palette, Theme};
use lastgood::world::clock::Clock;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// The drill that is played.
const SCENARIO: &str = "bad-image";
/// When it begins, so that the same picture comes of it every day.
const BEGINS: &str = "2026-03-14T03:12:00Z";
/// Its incident, which is otherwise named by the time and by chance.
const INCIDENT: &str = "20260314-031200-drill-bad-image-4a1f";
/// How long the operator in the picture looks before each key.
const PACE: SignedDuration = SignedDuration::from_secs(7);
/// Columns and rows of the screen.
const SIZE: (u16, u16) = (120, 36);
/// Messages after which the moment should long have come.
const PATIENCE: usize = 5_000;

fn main() -> Result<(), Box<dyn Error>> {
    std::fs::write(place(), picture()?)?;
    println!("{} is written", place().display());
    Ok(())
}

/// The file that the README shows.
pub fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/screen.svg")
}

/// The picture, drawn anew.
///
/// # Errors
/// The drill does not come to the moment that the picture shows.
pub fn picture() -> Result<String, Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(drawn())
}

async fn drawn() -> Result<String, Box<dyn Error>> {
    let scenario = bundled_scenarios().into_iter().find(|s| s.id.as_str() == SCENARIO).ok_or("no such drill")?;
    let folder = tempfile::tempdir()?;
    let clock = Clock::starting_at(BEGINS.parse()?);
    let mut scene = Scene::drill(&scenario, StateFolder::at(folder.path()), clock, None, &Gate::default())
        .map_err(|why| why.sentence().to_string())?;
    scene.setting.newcomer = false;
    let mut runtime = scene.peek(None);
    runtime.state.incident.id = Some(INCIDENT.parse()?);
    runtime.dispatch(Msg::Size(SIZE.0, SIZE.1));

    let orders = suggestions(&scenario);
    let mut tick = Runtime::ticker();
    let mut ready_at = runtime.state.now;
    for _ in 0..PATIENCE {
        if telling(&runtime.state) {
            let theme = Theme::bundled(Palette::Dark, Charset::Unicode);
            let mut terminal = Terminal::new(TestBackend::new(SIZE.0, SIZE.1))?;
            terminal.draw(|frame| ui::draw(frame, &runtime.state, &theme))?;
            return Ok(ui::picture::svg(terminal.backend().buffer(), &theme));
        }
        match pilot::next(&runtime.state, &orders) {
            Move::Send(messages) if runtime.state.now >= ready_at => {
                messages.into_iter().for_each(|msg| runtime.dispatch(msg));
                ready_at = runtime.state.now + PACE;
            }
            Move::Send(_) | Move::Wait(_) => {
                let msg = runtime.next(&mut tick).await;
                runtime.dispatch(msg);
            }
            Move::Stop(_, why) => return Err(format!("the drill ended before the moment came: {why}").into()),
        }
    }
    Err("the moment did not come".into())
}

/// The revert stands there to be agreed to, with the guard's protection in the same patch.
fn telling(state: &State) -> bool {
    matches!(state.overlays.last(), Some(Overlay::Review(review)) if review.preview.change.protect)
}
