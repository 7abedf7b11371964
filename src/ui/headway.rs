//! How far acts have come that take long: as lines in the runbook, and beside the last message
//! wherever one looks.

use ratatui::text::{Line, Span};

use crate::app::action::{Action, Pane};
use crate::domain::headway::Headway;
use crate::domain::span;
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, wrapped};
use crate::ui::theme::{Role, Sign};

/// What runs now, with the time that it takes and where it stands.
pub fn lines<'a>(scene: &Scene<'a>, room: Room) -> Vec<Line<'a>> {
    let state = scene.state;
    let mut lines = Vec::new();
    for (id, running) in &state.running {
        let words = state.incident.acts.get(id).map(|act| act.words.clone()).unwrap_or_default();
        let time = span::clock(state.now.duration_since(running.since));
        let doing = if running.cancelling { "cancelling" } else { "running" };
        let text = format!("{} {doing} {time}: {words}", scene.sign(Sign::Arrow));
        lines.extend(wrapped(scene, room.width, &text, "", Role::Warn));
        if let Some(headway) = &running.progress {
            lines.extend(bar(scene, room, headway));
            lines.extend(wrapped(scene, room.width, headway.words().as_str(), "  ", Role::Text));
        }
    }
    lines
}

fn bar<'a>(scene: &Scene<'a>, room: Room, headway: &Headway) -> Option<Line<'a>> {
    let percent = headway.percent()?;
    let width = room.width.saturating_sub(8).min(40);
    let full = usize::try_from(percent).unwrap_or(100) * width / 100;
    let bar = format!(
        "  {}{} {percent:>3} %",
        scene.sign(Sign::Full).repeat(full),
        scene.sign(Sign::Empty).repeat(width - full),
    );
    Some(Line::from(Span::styled(bar, scene.style(Role::Warn))))
}

/// The newest act that takes long, in a few cells: what, how long, how far, and the key that
/// cancels it. `None` while there is none.
pub fn brief(scene: &Scene<'_>) -> Option<String> {
    let state = scene.state;
    let (_, act, running) = state.long_acts().last()?;
    let time = span::clock(state.now.duration_since(running.since));
    let percent = running.progress.as_ref().and_then(Headway::percent);
    let percent = percent.map_or(String::new(), |percent| format!(" {percent} %"));
    let key = match scene.key(Pane::Runbook, Action::Cancel) {
        _ if running.cancelling => ", cancelling".to_owned(),
        Some(key) => format!(", {key} cancels"),
        None => String::new(),
    };
    Some(format!("{} {} {time}{percent}{key} ", scene.sign(Sign::Arrow), act.kind.word()))
}
