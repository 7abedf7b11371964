//! The line of pane names with their keys and with what is worth a look in each.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::action::{Action, Pane};
use crate::app::preflight::Severity;
use crate::domain::cluster::Pod;
use crate::ui::pods;
use crate::ui::scene::Scene;
use crate::ui::theme::{Role, Sign};

/// The panes that share the place above the logs.
pub const UPPER: [Pane; 5] = [Pane::Pods, Pane::Revisions, Pane::Migrations, Pane::Preflight, Pane::Timeline];

/// How many words there is room for.
#[derive(Clone, Copy, PartialEq)]
enum Words {
    All,
    FewCounts,
    Few,
}

/// Draws the names, in as many words as fit; the one that is seen stands in brackets.
pub fn draw(buf: &mut Buffer, area: Rect, scene: &Scene<'_>, panes: &[Pane], seen: Pane) {
    let width = usize::from(area.width);
    let fitting = [Words::All, Words::FewCounts].into_iter().map(|words| line(scene, panes, seen, words));
    let line = fitting.into_iter().find(|line| line.width() <= width);
    let line = line.unwrap_or_else(|| self::line(scene, panes, seen, Words::Few));
    buf.set_line(area.x, area.y, &line, area.width);
}

fn line(scene: &Scene<'_>, panes: &[Pane], seen: Pane, words: Words) -> Line<'static> {
    let mut spans = Vec::new();
    for pane in panes {
        let (open, close) = match (*pane == seen, words) {
            (true, _) => ("[", "] "),
            (false, Words::All) => (" ", "  "),
            (false, _) => ("", " "),
        };
        let role = if *pane == seen { Role::Focus } else { Role::Text };
        spans.push(Span::styled(open, scene.style(role)));
        if let Some(key) = scene.key(*pane, to(*pane)) {
            spans.push(Span::styled(format!("{key} "), scene.style(Role::Key)));
        }
        spans.push(Span::styled(name(*pane, words == Words::Few), scene.style(role)));
        if let Some((count, role)) = count(scene, *pane, words != Words::All) {
            spans.push(Span::styled(format!(" {count}"), scene.style(role)));
        }
        spans.push(Span::styled(close, scene.style(role)));
    }
    Line::from(spans)
}

/// The action that goes to a pane.
pub fn to(pane: Pane) -> Action {
    match pane {
        Pane::Runbook => Action::PaneRunbook,
        Pane::Checklist => Action::PaneChecklist,
        Pane::Pods => Action::PanePods,
        Pane::Logs => Action::PaneLogs,
        Pane::Revisions => Action::PaneRevisions,
        Pane::Migrations => Action::PaneMigrations,
        Pane::Preflight => Action::PanePreflight,
        Pane::Timeline => Action::PaneTimeline,
    }
}

fn name(pane: Pane, short: bool) -> &'static str {
    match pane {
        Pane::Runbook if short => "Run",
        Pane::Checklist if short => "Check",
        Pane::Revisions if short => "Revs",
        Pane::Migrations if short => "Migr",
        Pane::Preflight if short => "Pre",
        Pane::Timeline if short => "Time",
        pane => pane.title(),
    }
}

fn count(scene: &Scene<'_>, pane: Pane, short: bool) -> Option<(String, Role)> {
    let state = scene.state;
    match pane {
        Pane::Runbook | Pane::Timeline => None,
        Pane::Checklist => {
            let (settled, all) = state.checks.list.tally();
            let role = if settled == all { Role::Good } else { Role::Muted };
            Some((format!("{settled}/{all}"), role))
        }
        Pane::Pods => {
            let pods = scene.pods();
            let (ready, wanted) = pods::tally(pods);
            let role = if pods.iter().any(|pod| Pod::broken(pod)) { Role::Danger } else { Role::Muted };
            (!pods.is_empty()).then(|| (format!("{ready}/{wanted}"), role))
        }
        Pane::Logs => state.logs.known().then(|| (scene.sign(Sign::Warn).to_owned(), Role::Danger)),
        Pane::Revisions => {
            let known = state.revisions().len();
            (known > 0).then(|| (known.to_string(), Role::Muted))
        }
        Pane::Migrations => {
            let table = state.migrations.last()?;
            Some(match table.failed().count() {
                0 if short => return None,
                0 => (table.rows.len().to_string(), Role::Muted),
                failed if short => (format!("{}{failed}", scene.sign(Sign::No)), Role::Danger),
                failed => (format!("{failed} failed"), Role::Danger),
            })
        }
        Pane::Preflight => {
            let of = |severity| scene.findings().iter().filter(|finding| finding.severity == severity).count();
            match (of(Severity::Blocks), of(Severity::Warns)) {
                (0, 0) => None,
                (0, warns) if short => Some((format!("{}{warns}", scene.sign(Sign::Warn)), Role::Warn)),
                (0, warns) => Some((format!("{warns} warn"), Role::Warn)),
                (blocks, _) if short => Some((format!("{}{blocks}", scene.sign(Sign::No)), Role::Danger)),
                (blocks, _) => Some((format!("{blocks} block"), Role::Danger)),
            }
        }
    }
}
