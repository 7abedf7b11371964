//! Dialogs to read or to pick from: help, palette, differences, words.

use std::collections::BTreeMap;

use ratatui::text::{Line, Span};
use tui_input::Input;

use super::Dialog;
use crate::app::action::{Action, Danger, Pane};
use crate::app::overlay as app;
use crate::app::update::allowed;
use crate::domain::workload::FieldChange;
use crate::text::Clean;
use crate::ui::scene::Scene;
use crate::ui::sheet::{Row, first, wrapped};
use crate::ui::theme::{Role, Sign};

/// The keys of the pane in focus and of all panes, from the key map.
pub fn help<'a>(scene: &Scene<'a>, width: usize, scroll: usize) -> Dialog<'a> {
    let pane = scene.state.view.focus;
    let mut dialog = Dialog { scroll, ..Dialog::new(&format!("Help: {}", pane.title())) };
    dialog.say(scene, width, about(pane), Role::Text);
    dialog.blank();
    for (title, of) in [(pane.title(), Some(pane)), ("Everywhere", None)] {
        let mut keys: BTreeMap<Action, Vec<String>> = BTreeMap::new();
        for (key, action) in scene.state.keymap.bindings(of) {
            keys.entry(action).or_default().push(key.to_string());
        }
        if keys.is_empty() {
            continue;
        }
        dialog.middle.push(Line::from(Span::styled(title, scene.style(Role::Title))));
        for (action, keys) in keys {
            // The nine answers are one line.
            match action.choice() {
                Some(1) => dialog.middle.push(entry(scene, width, "1-9", "give this answer", None)),
                Some(_) => {}
                None => {
                    let why = allowed(scene.state, action).err();
                    dialog.middle.push(entry(scene, width, &keys.join(" "), action.label(), why.as_ref()));
                }
            }
        }
        dialog.middle.push(Line::default());
    }
    dialog
}

fn about(pane: Pane) -> &'static str {
    match pane {
        Pane::Runbook => {
            "One question or step at a time. The evidence suggests, you decide; every answer can be taken back."
        }
        Pane::Checklist => "What must be true after a rollback. It ticks by itself, and unticks what stops being true.",
        Pane::Pods => "The pods of the workloads, live, with the revision that each belongs to.",
        Pane::Logs => {
            "The logs of all pods merged, newest at the bottom. Known errors are marked and lead to their remedy."
        }
        Pane::Revisions => "What can be gone back to. The star marks the best candidate, with its reasons below.",
        Pane::Migrations => "The rows of _prisma_migrations. A failed one keeps new pods from starting.",
        Pane::Preflight => "What stands in the way of a rollback, what it leads to, and what to do about it.",
        Pane::Timeline => "What was seen, decided and done. It is on disk, and `lastgood export` writes it out.",
    }
}

fn entry<'a>(scene: &Scene<'a>, width: usize, keys: &str, label: &str, why: Option<&Clean>) -> Line<'a> {
    let role = if why.is_some() { Role::Muted } else { Role::Text };
    let row = Row::plain(scene, width).cell("", 1, role).cell(keys, 14, Role::Key).words(label, role);
    match why {
        Some(why) => row.rest(&format!("(not now: {})", why.first_line()), Role::Muted).line(),
        None => row.line(),
    }
}

/// Every action whose words contain what is typed.
pub fn palette<'a>(scene: &Scene<'a>, width: usize, input: &'a Input, selected: usize) -> Dialog<'a> {
    let actions = app::palette(input.value());
    let mut dialog = Dialog { input: Some(input), ..Dialog::new("All actions") };
    let room = usize::from(scene.state.view.size.1).saturating_sub(12).clamp(4, 20);
    let pane = scene.state.view.focus;
    let from = first(selected, actions.len(), room);
    for (i, action) in actions.iter().enumerate().skip(from).take(room) {
        let why = allowed(scene.state, *action).err();
        let role = if why.is_some() { Role::Muted } else { Role::Text };
        let room = crate::ui::sheet::Room { width, height: 1, focused: true };
        let key = scene.key(pane, *action).unwrap_or_default();
        let mut row = Row::new(scene, room, i == selected).cell(&key, 10, Role::Key).words(action.label(), role);
        row = match action.danger() {
            Danger::None => row,
            Danger::Changes => row.words("changes the world", Role::Warn),
            Danger::Destroys => row.words("destroys", Role::Danger),
        };
        if let Some(why) = &why {
            row = row.rest(&format!("(not now: {})", why.first_line()), Role::Muted);
        }
        dialog.middle.push(row.line());
    }
    if actions.is_empty() {
        dialog.middle.extend(wrapped(scene, width, "no action has these words", "", Role::Muted));
    }
    dialog.bottom = vec![Line::default(), Line::default()];
    dialog
}

/// The differences between two templates.
pub fn diff<'a>(scene: &Scene<'a>, width: usize, title: &str, lines: &[FieldChange], scroll: usize) -> Dialog<'a> {
    Dialog { middle: changes(scene, width, lines), scroll, ..Dialog::new(title) }
}

/// Changed fields: the path, what goes, what comes.
pub fn changes<'a>(scene: &Scene<'a>, width: usize, changes: &[FieldChange]) -> Vec<Line<'a>> {
    if changes.is_empty() {
        return wrapped(scene, width, "nothing differs", "", Role::Muted);
    }
    let mut lines = Vec::new();
    for change in changes {
        let (sign, role) = match (&change.before, &change.after) {
            (None, _) => ("+", Role::Added),
            (_, None) => ("-", Role::Removed),
            _ => ("~", Role::Title),
        };
        lines.extend(wrapped(scene, width, &format!("{sign} {}", change.path), "", role));
        if let Some(before) = &change.before {
            lines.extend(wrapped(scene, width, &format!("- {before}"), "    ", Role::Removed));
        }
        if let Some(after) = &change.after {
            lines.extend(wrapped(scene, width, &format!("+ {after}"), "    ", Role::Added));
        }
    }
    lines
}

/// Words to read.
pub fn words<'a>(scene: &Scene<'a>, width: usize, title: &str, text: &Clean, scroll: usize) -> Dialog<'a> {
    let mut dialog = Dialog { scroll, ..Dialog::new(title) };
    dialog.middle = wrapped(scene, width, text.as_str(), "", Role::Text);
    if text.is_empty() {
        dialog.middle = wrapped(scene, width, &format!("{} nothing", scene.sign(Sign::Absent)), "", Role::Muted);
    }
    dialog
}
