//! The last two lines: the console's last message, and the keys that do something now.

use jiff::SignedDuration;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::action::{Action, Pane};
use crate::app::logs::ring::Sieve;
use crate::app::state::Tone;
use crate::app::update::allowed;
use crate::app::{migrations, runbook};
use crate::domain::runbook::NodeKind;
use crate::domain::step::StepKind;
use crate::ui::scene::Scene;
use crate::ui::theme::{Role, Sign};
use crate::ui::{fit, headway, next, overlay};

/// A message stays this long.
const LASTS: SignedDuration = SignedDuration::from_secs(30);

/// Draws both lines.
pub fn draw(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    notice(buf, Rect { height: 1, ..area }, scene);
    let line = keys(scene, usize::from(area.width));
    buf.set_line(area.x, area.y + 1, &line, area.width);
}

/// How a tone is drawn.
fn tone(tone: Tone) -> (Sign, Role) {
    match tone {
        Tone::Good => (Sign::Yes, Role::Good),
        Tone::Plain => (Sign::Dot, Role::Text),
        Tone::Warn => (Sign::Warn, Role::Warn),
        Tone::Bad => (Sign::No, Role::Danger),
    }
}

/// What runs and takes long, at the right end. Returns what is left of the line.
fn long_act(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) -> Rect {
    let Some(words) = headway::brief(scene) else { return area };
    let (words, width) = fit::start(&words, usize::from(area.width));
    let width = u16::try_from(width).unwrap_or(area.width).min(area.width);
    buf.set_string(area.right() - width, area.y, words, scene.style(Role::Warn));
    Rect { width: area.width - width, ..area }
}

fn notice(buf: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let state = scene.state;
    let area = long_act(buf, area, scene);
    let Some(notice) = state.notice.as_ref().filter(|notice| state.now.duration_since(notice.at) < LASTS) else {
        return;
    };
    let (sign, role) = tone(notice.tone);
    let words = format!(" {} {}", scene.sign(sign), notice.words);
    let words = fit::line(&words, usize::from(area.width), scene.sign(Sign::Cut), scene.sign(Sign::Feed));
    buf.set_string(area.x, area.y, words, scene.style(role));
}

/// The keys of the top dialog, else of the pane, the most useful ones first, as many as fit.
fn keys(scene: &Scene<'_>, width: usize) -> Line<'static> {
    let pairs = match scene.state.overlays.last() {
        Some(top) => overlay::keys(scene, top),
        None => of_pane(scene),
    };
    // The way to help and out is always in sight.
    let (tail, pairs) = match scene.state.overlays.last() {
        Some(_) => (Vec::new(), pairs),
        None => (always(scene), pairs),
    };
    let cells = |(key, words): &(String, String)| fit::start(key, width).1 + fit::start(words, width).1 + 4;
    let mut left = width.saturating_sub(1 + tail.iter().map(cells).sum::<usize>());
    let mut spans = vec![Span::raw(" ")];
    for pair in pairs {
        let needed = cells(&pair);
        if needed <= left {
            left -= needed;
            spans.extend(spelled(scene, pair));
        }
    }
    spans.extend(tail.into_iter().flat_map(|pair| spelled(scene, pair)));
    Line::from(spans)
}

fn spelled(scene: &Scene<'_>, (key, words): (String, String)) -> [Span<'static>; 2] {
    [Span::styled(key, scene.style(Role::Key)), Span::raw(format!(" {words}   "))]
}

fn always(scene: &Scene<'_>) -> Vec<(String, String)> {
    let actions = [(Action::Help, "help"), (Action::Quit, "quit")];
    let pane = scene.state.view.focus;
    actions.iter().filter_map(|(action, words)| Some((scene.key(pane, *action)?, (*words).to_owned()))).collect()
}

fn of_pane(scene: &Scene<'_>) -> Vec<(String, String)> {
    let state = scene.state;
    let pane = state.view.focus;
    let own: &[Action] = match pane {
        Pane::Runbook => &[Action::Back, Action::StepFailed, Action::Copy],
        Pane::Checklist => &[Action::RunCheck, Action::Consent],
        Pane::Pods => &[Action::Restart, Action::Copy],
        Pane::Logs => &[
            Action::OpenSignature,
            Action::Follow,
            Action::Filter,
            Action::Search,
            Action::SearchNext,
            Action::SearchBack,
            Action::ErrorBack,
            Action::ErrorNext,
            Action::Wrap,
            Action::Timestamps,
            Action::Unfold,
            Action::SaveShown,
            Action::Previous,
            Action::Copy,
        ],
        Pane::Revisions => &[Action::Target, Action::Diff, Action::Revert, Action::SetImage, Action::SetVariable],
        Pane::Migrations => &[Action::DeleteRow, Action::ResolveRow, Action::UndoRow, Action::FilterRows],
        Pane::Preflight | Pane::Timeline => &[Action::Copy],
    };
    let general = [
        Action::Arm,
        Action::Zoom,
        Action::NextPane,
        Action::Palette,
        Action::Back,
        Action::Status,
        Action::Note,
        Action::Disarm,
    ];
    let mut pairs: Vec<(String, String)> = Vec::new();
    let choices = runbook::choices(state).len();
    if pane == Pane::Runbook && choices > 1 {
        pairs.extend(next::numbers(scene, choices).map(|keys| (keys, "answer".to_owned())));
    }
    if let (Some(key), Some(words)) = (scene.key(pane, Action::GoOn), enter(scene)) {
        pairs.push((key, words.to_owned()));
    }
    if pane != Pane::Runbook {
        pairs.extend(scene.key(pane, Action::PaneRunbook).map(|key| (key, "runbook".to_owned())));
    }
    // Arming comes first where it is what stands in the way.
    let arm = scene.key(pane, Action::Arm);
    let first: &[Action] =
        if next::next(scene).key == arm { &[Action::Cancel, Action::Arm] } else { &[Action::Cancel] };
    for action in first.iter().chain(own).chain(&general) {
        let Some(key) = scene.key(pane, *action) else { continue };
        let words = short(scene, *action);
        let known = pairs.iter().any(|(other, said)| *other == key || said == words);
        if !known && useful(scene, *action) && allowed(state, *action).is_ok() {
            pairs.push((key, words.to_owned()));
        }
    }
    pairs
}

/// What the key that goes on does in the pane in focus; `None` where it is not the next one to press.
fn enter(scene: &Scene<'_>) -> Option<&'static str> {
    let state = scene.state;
    let pane = state.view.focus;
    if pane == Pane::Revisions && state.step() == Some(StepKind::ChooseTarget) {
        return Some("make it the target");
    }
    if next::goes_on(state) {
        let asks = !runbook::choices(state).is_empty();
        let is_next = next::next(scene).key == scene.key(pane, Action::GoOn);
        return is_next.then_some(if asks { "give the marked answer" } else { "go on" });
    }
    match pane {
        Pane::Revisions if !state.revisions().is_empty() => Some("diff"),
        Pane::Migrations if migrations::selected(state).is_some() => Some("the whole row"),
        Pane::Checklist => Some("run this check"),
        Pane::Logs if allowed(state, Action::OpenSignature).is_ok() => Some("to the remedy"),
        _ => None,
    }
}

/// Keys that are allowed but would do nothing here are left out.
fn useful(scene: &Scene<'_>, action: Action) -> bool {
    let state = scene.state;
    match action {
        Action::SearchNext | Action::SearchBack => state.logs.ring.query(Sieve::Search).is_some(),
        Action::ErrorNext | Action::ErrorBack => state.logs.known(),
        Action::Consent => state.checks.list.checks().iter().any(|check| check.id.costs_money()),
        Action::Copy if state.view.focus == Pane::Runbook => {
            matches!(state.node().map(|node| &node.kind), Some(NodeKind::Manual { commands, .. }) if !commands.is_empty())
        }
        _ => true,
    }
}

/// The words of an action in a footer: the label up to its explanation, or fewer.
fn short(scene: &Scene<'_>, action: Action) -> &'static str {
    let state = scene.state;
    match action {
        Action::Back => "back",
        Action::StepFailed => "step failed",
        Action::Target => "target",
        Action::Diff => "diff",
        Action::Revert => "revert to it",
        Action::SetVariable => "variable",
        Action::DeleteRow => "delete row",
        Action::ResolveRow => "mark rolled back",
        Action::UndoRow => "undo",
        Action::RunCheck => "run now",
        Action::Consent => "allow model calls",
        Action::Filter | Action::FilterRows => "filter",
        Action::Search => "search",
        Action::Follow if state.logs.held().is_some() => "follow",
        Action::Follow => "hold",
        Action::Previous => "previous container",
        Action::Wrap => "wrap",
        Action::Unfold => "unfold JSON",
        Action::SaveShown => "save",
        Action::OpenSignature => "to the remedy",
        Action::Copy => "copy",
        Action::Status => "status",
        Action::Note => "note",
        Action::Zoom if state.view.zoom => "all panes",
        Action::Zoom => "zoom",
        action => action.label().split([':', ';']).next().unwrap_or_default(),
    }
}
