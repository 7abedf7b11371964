//! The banner: which environment this is, drawn so that nobody mistakes it, and what it is open on.
//!
//! The kind of environment shows three times over: by its word at both ends, by its style over the
//! whole width, and by the ground between the words. None of them is a colour alone.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use crate::app::state::Arming;
use crate::domain::environment::Kind;
use crate::domain::live::Live;
use crate::domain::span;
use crate::ui::fit;
use crate::ui::scene::Scene;
use crate::ui::theme::{Role, Sign};

/// Draws both lines.
pub fn draw(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    banner(buf, Rect { height: 1, ..area }, scene);
    place(buf, Rect { y: area.y + 1, height: 1, ..area }, scene);
}

fn banner(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let state = scene.state;
    let (role, ground) = match state.setting.kind {
        Kind::Production => (Role::Production, " "),
        Kind::Staging => (Role::Staging, " "),
        Kind::Drill => (Role::Drill, scene.sign(Sign::Hatch)),
    };
    let style = scene.style(role);
    let width = usize::from(area.width);
    buf.set_string(area.x, area.y, ground.repeat(width), style);
    let word = state.setting.kind.word().to_uppercase();
    let begin = format!("{}{word}  {} ", if ground == " " { " " } else { "/ " }, state.setting.environment);
    let begin = begin.replacen('/', ground, 1);
    let (begin, taken) = fit::start(&begin, width);
    buf.set_string(area.x, area.y, begin, style);

    let mut end = vec![Span::styled(" ", style)];
    end.push(armed(scene));
    if let Some(id) = &state.incident.id
        && width >= 100
    {
        end.push(Span::styled(format!("  {id}"), style));
    }
    if state.incident.id.is_some() {
        let clock = span::clock(state.incident.lasted(state.now));
        end.push(Span::styled(format!("  {clock}"), style));
    }
    if width >= 60 {
        end.push(Span::styled(format!("  {word} "), style));
    }
    let end = Line::from(end);
    let x = width.saturating_sub(end.width()).max(taken);
    let x = u16::try_from(x).unwrap_or(area.width).min(area.width);
    buf.set_line(area.x + x, area.y, &end, area.width - x);
}

fn armed(scene: &Scene<'_>) -> Span<'static> {
    let state = scene.state;
    if state.journal.broken.is_some() {
        Span::styled(" JOURNAL BROKEN: no changes ", scene.style(Role::Armed))
    } else if state.armed() {
        Span::styled(" ! ARMED ! ", scene.style(Role::Armed))
    } else {
        let words = match state.arming {
            Arming::Asking => "taking the lock",
            Arming::Refused(_) => "read-only: somebody else holds the lock",
            Arming::ReadOnly | Arming::Armed => "read-only",
        };
        Span::styled(words, scene.style(Role::ReadOnly))
    }
}

/// Context, server, namespace, workloads, user: what the keys would act on.
fn place(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let setting = &scene.state.setting;
    let identity = scene.state.identity.last();
    let context = setting.context.as_ref().map_or("in-cluster".to_owned(), ToString::to_string);
    let server = match (&scene.state.identity, identity) {
        (Live::Absent(_), _) => "no cluster".to_owned(),
        (Live::Lost { .. }, Some(identity)) => format!("{} (lost)", identity.server),
        (Live::Lost { .. }, None) => "cluster not reached".to_owned(),
        (_, Some(identity)) => identity.server.to_string(),
        (_, None) => "connecting".to_owned(),
    };
    let server = server.trim_start_matches("https://").trim_end_matches('/').to_owned();
    let workloads: Vec<&str> = setting.workloads.iter().map(|reference| reference.name.as_str()).collect();
    let workloads = if workloads.is_empty() { "none".to_owned() } else { workloads.join(", ") };
    let namespace = setting.namespace.as_ref().map_or("none".to_owned(), ToString::to_string);
    let mut facts = vec![("context", context), ("ns", namespace), ("workloads", workloads), ("server", server)];
    if let Some(identity) = identity {
        facts.push(("as", identity.user.to_string()));
    }
    if matches!(scene.state.identity, Live::Absent(_)) {
        let database = setting.database.as_ref().map_or("none".to_owned(), ToString::to_string);
        facts = vec![("cluster", "none".to_owned()), ("database", database)];
    }
    let mut spans = vec![Span::raw(" ")];
    let mut left = usize::from(area.width).saturating_sub(1);
    for (name, value) in facts {
        let most = left.saturating_sub(name.width() + 3);
        if most < 10.min(value.width()) {
            continue;
        }
        let value = fit::middle(&value, most.min(44), scene.sign(Sign::Cut)).into_owned();
        let needed = name.width() + value.width() + 3;
        left -= needed;
        spans.push(Span::styled(format!("{name} "), scene.style(Role::Muted)));
        spans.push(Span::styled(format!("{value}  "), scene.style(Role::Text)));
    }
    buf.set_line(area.x, area.y, &Line::from(spans), area.width);
}
