//! The screen: a pure picture of the state. Drawing takes `&State` and `&Theme`, and changes neither.
//!
//! From 120x36 on, everything at once; from 180x46 on, two panes stand above the logs:
//!
//! ```text
//! PRODUCTION  prod-eu ················ read-only ········ 03:07   banner of the environment
//! context, server, namespace, workloads, user
//! ━ Runbook ━━━━━━━━━━━━━━━━━━ │ [P Pods 4/6] V Revisions 5  M Migrations 1 failed  …
//!   path so far                │ ─ Pods ─────────────────────────────────── 20s ago ─
//!   question or step           │   name  ready  status  restarts  revision  image  age
//!   evidence                   │
//!   next key                   │ ─ Logs  412 lines ──────────────────────────────────
//! ─ Checklist  2 of 6 ──────── │   12:00:01  x7k2p  text
//!   ✓ Health endpoint …        │   what the selected line means
//! notice
//! enter go on   b back   A arm   ? help
//! ```
//!
//! Below that, one pane at a time (also where a pane is zoomed):
//!
//! ```text
//! banner
//! where
//! ✓2 ✗1 of 6 checks   next: enter answers 2
//! [R Runbook] C Checks 2/6  P Pods 4/6  L Logs …
//! ━ Runbook ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
//!   the pane
//! notice
//! footer
//! ```
//!
//! Below 40x10, a sentence that asks for room. Keys work at any size.

mod chart;
mod checklist;
mod fit;
mod footer;
mod header;
mod headway;
mod logs;
mod migrations;
mod next;
mod overlay;
pub mod picture;
mod pods;
mod preflight;
mod releases;
mod revisions;
mod runbook;
mod scene;
mod sheet;
mod tabs;
pub mod theme;
mod timeline;

#[cfg(test)]
mod screens;
#[cfg(test)]
mod testing;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::action::Pane;
use crate::app::state::State;
use crate::domain::step::StepKind;
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Sheet};
use crate::ui::theme::{Role, Sign, Theme};

/// The smallest screen with panes.
const SMALLEST: (u16, u16) = (40, 10);
/// The smallest screen with everything at once.
const OVERVIEW: (u16, u16) = (110, 30);
/// The smallest screen with two panes above the logs.
const LARGE: (u16, u16) = (160, 46);

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, state: &State, theme: &Theme) {
    let area = frame.area();
    let scene = Scene::new(state, theme, fits(area, OVERVIEW) && !state.view.zoom);
    let buf = frame.buffer_mut();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return asks_for_room(buf, area, &scene);
    }
    let (head, body, foot) = parts(area);
    header::draw(buf, head, &scene);
    if scene.overview {
        overview(buf, body, area, &scene);
    } else {
        single(buf, body, &scene);
    }
    footer::draw(buf, foot, &scene);
    if let Some(cursor) = overlay::draw(buf, body, &scene) {
        frame.set_cursor_position(cursor);
    }
}

fn fits(area: Rect, least: (u16, u16)) -> bool {
    area.width >= least.0 && area.height >= least.1
}

/// Header, body and footer, two lines each but the body.
fn parts(area: Rect) -> (Rect, Rect, Rect) {
    let head = Rect { height: 2, ..area };
    let body = Rect { y: area.y + 2, height: area.height - 4, ..area };
    let foot = Rect { y: area.bottom() - 2, height: 2, ..area };
    (head, body, foot)
}

fn asks_for_room(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let words = format!(
        "{} {}: {}x{} is too small, make it 80x24",
        scene.state.setting.kind.word().to_uppercase(),
        scene.state.setting.environment,
        area.width,
        area.height
    );
    let lines = sheet::wrapped(scene, usize::from(area.width), &words, "", Role::Text);
    sheet::lines(buf, area, &lines);
}

fn split_down(area: Rect, top: u16) -> (Rect, Rect) {
    let top = top.min(area.height);
    (Rect { height: top, ..area }, Rect { y: area.y + top, height: area.height - top, ..area })
}

fn overview(buf: &mut Buffer, body: Rect, screen: Rect, scene: &Scene<'_>) {
    let width = (body.width * 2 / 5).clamp(46, 76);
    let left = Rect { width, ..body };
    let right = Rect { x: body.x + width + 2, width: body.width - width - 2, ..body };
    for y in body.y..body.bottom() {
        buf.set_string(body.x + width, y, scene.sign(Sign::Down), scene.style(Role::Rule));
    }
    let focus = scene.state.view.focus;
    let proving = focus == Pane::Checklist || scene.state.step() == Some(StepKind::Verify);
    // A step has more to tell than a question, and the checks matter less while it is carried out.
    let list = match scene.state.step() {
        _ if proving => 16.min(left.height / 2),
        Some(_) => 7.min(left.height / 3),
        None => 10.min(left.height / 3),
    };
    let (runbook, checklist) = split_down(left, left.height - list);
    pane(buf, runbook, scene, Pane::Runbook);
    pane(buf, checklist, scene, Pane::Checklist);

    let (bar, rest) = split_down(right, 1);
    let upper = upper(scene);
    tabs::draw(buf, bar, scene, &tabs::UPPER, upper);
    let share = if focus == Pane::Logs { 2 } else { 3 };
    if fits(screen, LARGE) {
        let (first, rest) = split_down(rest, rest.height * share / 10);
        let (second, logs) = split_down(rest, rest.height * share / 8);
        pane(buf, first, scene, Pane::Pods);
        pane(buf, second, scene, if upper == Pane::Pods { Pane::Revisions } else { upper });
        pane(buf, logs, scene, Pane::Logs);
    } else {
        let (first, logs) = split_down(rest, rest.height * share / 6);
        pane(buf, first, scene, upper);
        pane(buf, logs, scene, Pane::Logs);
    }
}

/// The pane above the logs: the one that gets the keys, else the one that the runbook wants seen.
fn upper(scene: &Scene<'_>) -> Pane {
    let belongs = |pane: &Pane| tabs::UPPER.contains(pane);
    let focus = Some(scene.state.view.focus).filter(belongs);
    focus.or_else(|| crate::app::runbook::shown(scene.state).filter(belongs)).unwrap_or(Pane::Pods)
}

fn single(buf: &mut Buffer, body: Rect, scene: &Scene<'_>) {
    let focus = scene.state.view.focus;
    let (summary, rest) = split_down(body, 1);
    checklist::summary(buf, summary, scene);
    let (bar, rest) = split_down(rest, 1);
    tabs::draw(buf, bar, scene, &Pane::ALL, focus);
    pane(buf, rest, scene, focus);
}

fn pane(buf: &mut Buffer, area: Rect, scene: &Scene<'_>, pane: Pane) {
    let inner = sheet::below(area);
    let room = Room {
        width: usize::from(inner.width).saturating_sub(1),
        height: usize::from(inner.height),
        focused: scene.state.view.focus == pane,
    };
    sheet::put(buf, area, scene, pane, contents(scene, pane, room));
}

fn contents<'a>(scene: &Scene<'a>, pane: Pane, room: Room) -> Sheet<'a> {
    match pane {
        Pane::Runbook => runbook::sheet(scene, room),
        Pane::Checklist => checklist::sheet(scene, room),
        Pane::Pods => pods::sheet(scene, room),
        Pane::Logs => logs::sheet(scene, room),
        Pane::Revisions => revisions::sheet(scene, room),
        Pane::Migrations => migrations::sheet(scene, room),
        Pane::Preflight => preflight::sheet(scene, room),
        Pane::Timeline => timeline::sheet(scene, room),
    }
}
