//! The log: the lines around the place in view, newest at the bottom, and what the selected one means.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::action::{Action, Pane};
use crate::app::feeds;
use crate::app::logs::query::Query;
use crate::app::logs::ring::Sieve;
use crate::app::logs::{Logs, Stream, telling};
use crate::domain::log::LogLine;
use crate::domain::signature::{Severity, Signature};
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, Sheet};
use crate::ui::theme::{Role, Sign};
use crate::ui::{chart, fit};

/// The pane.
pub fn sheet<'a>(scene: &Scene<'a>, room: Room) -> Sheet<'a> {
    let logs = &scene.state.logs;
    let mut sheet = Sheet { count: counts(logs), note: Some(streams(scene)), ..Sheet::default() };
    if logs.ring.is_empty() {
        let (words, role) = empty(scene);
        sheet.wrap(scene, room, words.as_str(), "", role);
        return sheet;
    }
    let meaning = meaning(scene, room);
    let below = usize::from(room.height > 3) + meaning.len();
    let height = room.height.saturating_sub(below);
    sheet.lines = window(scene, room, height);
    let blank = height.saturating_sub(sheet.lines.len());
    sheet.lines.extend(std::iter::repeat_n(Line::default(), blank));
    sheet.lines.extend(meaning);
    if room.height > 3 {
        sheet.lines.push(view(scene, room));
    }
    sheet
}

fn counts(logs: &Logs) -> String {
    let ring = &logs.ring;
    match ring.query(Sieve::Filter) {
        Some(_) => format!("{} of {} lines", ring.found(Sieve::Filter), ring.len()),
        None => format!("{} lines", ring.len()),
    }
}

/// How the streams stand, for the heading.
fn streams(scene: &Scene<'_>) -> Span<'static> {
    let logs = &scene.state.logs;
    let lost: Vec<_> = logs
        .streams()
        .iter()
        .filter_map(|(source, stream)| match stream {
            Stream::Lost(since, why) => Some((source, since, why)),
            _ => None,
        })
        .collect();
    let following = logs.following();
    match lost.first() {
        Some((source, since, why)) => {
            let sign = scene.sign(Sign::No);
            let pod = suffix(source.pod.as_str());
            let ago = scene.span(**since);
            let words =
                format!("{sign} {} of {} lost, {pod} {ago} ago: {}", lost.len(), logs.streams().len(), why.what);
            Span::styled(words, scene.style(Role::Danger))
        }
        None if logs.held().is_some() => {
            Span::styled(format!("held, {following} streams go on"), scene.style(Role::Warn))
        }
        None => match feeds::beyond(scene.state, scene.pods()) {
            0 => Span::styled(format!("following {following} of {}", logs.going_on()), scene.style(Role::Muted)),
            beyond => {
                let words = format!("following {following}, {beyond} more are not followed");
                Span::styled(words, scene.style(Role::Warn))
            }
        },
    }
}

fn empty(scene: &Scene<'_>) -> (crate::text::Clean, Role) {
    let state = scene.state;
    if let Some(why) = &state.setting.missing.cluster {
        return (why.sentence(), Role::Warn);
    }
    let lost = state.logs.streams().values().find_map(|stream| match stream {
        Stream::Lost(_, why) => Some(why),
        _ => None,
    });
    match lost {
        Some(why) => (why.sentence(), Role::Danger),
        None if state.logs.streams().is_empty() => (say!("waiting for the pods: no log is followed yet"), Role::Muted),
        None => (say!("no line yet from {} streams", state.logs.streams().len()), Role::Muted),
    }
}

/// The lines in view: up from the place in view as far as there is room, and down from it where
/// the log begins sooner.
fn window<'a>(scene: &Scene<'a>, room: Room, height: usize) -> Vec<Line<'a>> {
    let logs = &scene.state.logs;
    let below = logs.below();
    // The line that the keys are about, while the log is held: the first one that is met.
    let mut selected = logs.held().is_some();
    let mut upwards: Vec<Vec<Line<'a>>> = Vec::new();
    let mut taken = 0;
    for (_, line) in logs.backwards(below) {
        if taken >= height {
            break;
        }
        let rows = shown(scene, room, line, (std::mem::take(&mut selected), height));
        taken += rows.len();
        upwards.push(rows);
    }
    let mut lines: Vec<Line<'a>> = upwards.into_iter().rev().flatten().collect();
    lines.drain(..lines.len().saturating_sub(height));
    if lines.len() < height {
        for (_, line) in logs.forwards(below) {
            if lines.len() >= height {
                break;
            }
            lines.extend(shown(scene, room, line, (std::mem::take(&mut selected), height)));
        }
        lines.truncate(height);
    }
    if lines.is_empty() {
        let words = if logs.ring.waiting(Sieve::Filter) > 0 {
            "no line passes the filter so far; it goes on"
        } else {
            "no line passes the filter"
        };
        lines = crate::ui::sheet::wrapped(scene, room.width, words, "", Role::Muted);
    }
    lines
}

/// The last part of a pod's name, which tells it from its sisters.
pub(super) fn suffix(pod: &str) -> &str {
    pod.rsplit('-').next().filter(|part| !part.is_empty()).unwrap_or(pod)
}

fn severity(signature: &Signature) -> (Sign, Role) {
    match signature.severity {
        Severity::Error => (Sign::No, Role::Danger),
        Severity::Warning => (Sign::Warn, Role::Warn),
        Severity::Expected => (Sign::Expected, Role::Muted),
    }
}

fn shown<'a>(scene: &Scene<'a>, room: Room, line: &'a LogLine, (selected, most): (bool, usize)) -> Vec<Line<'a>> {
    let logs = &scene.state.logs;
    let signature = line.signature.map(|index| scene.state.signatures.get(index));
    let (sign, role) = match signature {
        Some(signature) => severity(signature),
        None if line.ours.is_some() => (Sign::Dot, Role::Unknown),
        None => (Sign::Dot, Role::Text),
    };
    let over = if selected { Role::Selected } else { Role::Text };
    let mut head = vec![Span::raw(if selected { scene.sign(Sign::Cursor) } else { " " })];
    if logs.timestamps && room.width >= 40 {
        let format = if room.width >= 90 { "%H:%M:%S%.3f " } else { "%H:%M:%S " };
        let clock = line.at.to_zoned(TimeZone::UTC).strftime(format).to_string();
        head.push(Span::styled(clock, scene.style(Role::Muted)));
    }
    let mut source = fit::padded(suffix(line.source.pod.as_str()), 5, "", "");
    if line.source.previous {
        source.push_str(" prev");
    }
    head.push(Span::styled(format!("{source} "), scene.style(Role::Command)));
    let plain = signature.is_none() && line.ours.is_none();
    head.push(Span::styled(if plain { "  ".to_owned() } else { format!("{} ", scene.sign(sign)) }, scene.style(role)));
    if signature.is_some_and(|signature| signature.severity == Severity::Expected) {
        head.push(Span::styled("(expected) ", scene.style(Role::Muted)));
    }
    let taken: usize = head.iter().map(Span::width).sum();
    let width = room.width.saturating_sub(taken).max(1);
    let style = scene.style(role).patch(scene.style(over));
    let fields = if logs.unfold { unfolded(scene, line.text.as_str()) } else { None };
    let pieces = fields.unwrap_or_else(|| vec![Cow::Borrowed(line.text.as_str())]);
    let mut lines = Vec::new();
    for mut rest in pieces.iter().map(Cow::as_ref) {
        let mut broken = 0;
        loop {
            let (part, _) = fit::start(rest, width);
            let after = &rest[part.len()..];
            broken += 1;
            let last = !logs.wrap || after.is_empty() || part.is_empty() || broken >= most.max(1);
            let shown = if last {
                fit::line(rest, width, scene.sign(Sign::Cut), scene.sign(Sign::Feed))
            } else {
                part.replace('\n', scene.sign(Sign::Feed)).into()
            };
            let mut spans =
                if lines.is_empty() { std::mem::take(&mut head) } else { vec![Span::raw(" ".repeat(taken))] };
            spans.extend(marked(scene, &shown, style));
            lines.push(Line::from(spans));
            if last {
                break;
            }
            rest = after;
        }
        if lines.len() >= most.max(1) {
            break;
        }
    }
    lines
}

/// Longest line whose fields are looked for.
const MOST_JSON: usize = 64 * 1024;

/// The fields of a JSON line, one after the other, each on lines of its own. What was escaped is
/// text from outside again, so it passes the gate.
fn unfolded(scene: &Scene<'_>, text: &str) -> Option<Vec<Cow<'static, str>>> {
    if !text.starts_with('{') || text.len() > MOST_JSON {
        return None;
    }
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let gate = &scene.state.gate;
    let mut lines = Vec::new();
    for (name, value) in fields {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let field = gate.clean(&format!("{name}: {value}"));
        lines.extend(field.as_str().lines().map(|line| Cow::Owned(line.to_owned())));
    }
    (!lines.is_empty()).then_some(lines)
}

/// The text with what is searched for, and what the filter asks for, marked. Looks only at what is
/// on the screen.
fn marked<'a>(scene: &Scene<'a>, text: &str, style: Style) -> Vec<Span<'a>> {
    let ring = &scene.state.logs.ring;
    let places = |sieve| ring.query(sieve).map_or_else(Vec::new, |query: &Query| query.places(text));
    let mut styles = vec![style; text.len()];
    for (sieve, role) in [(Sieve::Filter, Role::Title), (Sieve::Search, Role::Search)] {
        for place in places(sieve) {
            styles[place].fill(style.patch(scene.style(role)));
        }
    }
    let mut spans = Vec::new();
    let mut from = 0;
    for end in 1..=text.len() {
        if end == text.len() || (styles[end] != styles[from] && text.is_char_boundary(end)) {
            spans.push(Span::styled(text[from..end].to_owned(), styles[from]));
            from = end;
        }
    }
    spans
}

/// What the line in view means and what helps; else what the last known error meant.
fn meaning<'a>(scene: &Scene<'a>, room: Room) -> Vec<Line<'a>> {
    let state = scene.state;
    if room.height < 6 {
        return Vec::new();
    }
    let Some((index, at)) = telling(state) else { return Vec::new() };
    let signature = state.signatures.get(index);
    let ago = if state.logs.held().is_some() {
        String::new()
    } else {
        match scene.age(at) {
            now if now.as_str() == "now" => ", just now".to_owned(),
            age => format!(", last {age} ago"),
        }
    };
    let (sign, role) = severity(signature);
    let to = state.runbooks.for_signature(signature).is_some().then(|| scene.key(Pane::Logs, Action::OpenSignature));
    let title = format!("{} {}{ago}", scene.sign(sign), signature.title);
    let mut row = Row::plain(scene, room.width).words(&title, role);
    if let Some(key) = to.flatten() {
        let there = if room.focused {
            key
        } else {
            format!("{} {key}", scene.key(Pane::Logs, Action::PaneLogs).unwrap_or_default())
        };
        row = row.words(&there, Role::Key).rest("goes to the remedy", Role::Muted);
    }
    let mut lines = vec![row.line()];
    if room.height >= 10 {
        lines.extend(chart::line(scene, room.width, index, role));
        let words = format!("{}; {}", signature.explain, signature.remedy);
        let most = if room.height >= 16 { 3 } else { 2 };
        lines.extend(crate::ui::sheet::wrapped(scene, room.width, &words, "  ", Role::Muted).into_iter().take(most));
    }
    lines
}

/// The state of the view, on the last line.
fn view<'a>(scene: &Scene<'a>, room: Room) -> Line<'a> {
    let logs = &scene.state.logs;
    let dot = scene.sign(Sign::Dot);
    let mut row = Row::plain(scene, room.width);
    row = match (logs.held(), logs.outlived()) {
        (Some(_), Some(_)) => row.words("held, older than what is kept", Role::Warn),
        (Some(_), None) => row.words("held", Role::Warn),
        (None, _) => row.words("following", Role::Good),
    };
    let ring = &logs.ring;
    let dropped = ring.dropped();
    let role = if dropped > 0 { Role::Danger } else { Role::Muted };
    row = row.words(&format!("{dot} dropped: {dropped}"), role);
    for (sieve, word, role) in [(Sieve::Filter, "filter", Role::Warn), (Sieve::Search, "search", Role::Search)] {
        let Some(query) = ring.query(sieve) else { continue };
        row = row.words(&format!("{dot} {word} {}", query.words), role);
        if sieve == Sieve::Search {
            let of = if ring.query(Sieve::Filter).is_some() { " in all lines" } else { "" };
            row = row.words(&format!("{} found{of}", ring.found(sieve)), Role::Muted);
        }
        let waiting = ring.waiting(sieve);
        if waiting > 0 {
            let seen = 100 - waiting * 100 / ring.len().max(1);
            row = row.words(&format!("{seen} % looked through"), Role::Warn);
        }
    }
    if logs.previous {
        row = row.words(&format!("{dot} with previous containers"), Role::Text);
    }
    if logs.wrap {
        row = row.words(&format!("{dot} wrapped"), Role::Muted);
    }
    if logs.unfold {
        row = row.words(&format!("{dot} JSON by field"), Role::Muted);
    }
    if ring.evicted() > 0 {
        row = row.words(&format!("{dot} {} older lines made room", ring.evicted()), Role::Muted);
    }
    row.line()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::app::logs::act;
    use crate::app::logs::ring::{Pick, Place, Ring};
    use crate::app::state::State;
    use crate::domain::log::{LogSource, Segment};
    use crate::ui::testing;

    /// A hundred lines of one second.
    fn second(number: i64) -> Segment {
        let source = LogSource {
            uid: "u".parse().unwrap(),
            pod: "litellm-proxy-7f9c-x7k2p".parse().unwrap(),
            container: "litellm".parse().unwrap(),
            previous: false,
        };
        let (at, source) = (Timestamp::from_second(number).unwrap(), Arc::new(source));
        let line = |row: i64| LogLine::new(at, &source, say!("line {} of second {}", row, number));
        (0..100).map(line).collect::<Vec<_>>().into()
    }

    fn flood(state: &mut State, seconds: std::ops::Range<i64>) {
        seconds.for_each(|number| state.logs.ring.push(second(number)));
    }

    /// The part of the screen that shows lines.
    fn lines(state: &State) -> Vec<String> {
        let screen = testing::screen(state, Pane::Logs, 80, 24);
        screen.lines().filter(|line| line.contains("of second")).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn what_is_held_stays_while_it_makes_room() {
        let mut state = testing::normal();
        state.view.focus = Pane::Logs;
        state.logs.ring = Ring::bounded(100 * 1024);
        flood(&mut state, 0..5);
        act(&mut state, Action::Follow);
        let held = lines(&state);
        assert!(held.last().unwrap().contains("line 99 of second 4"), "{held:#?}");
        flood(&mut state, 5..100);
        assert!(state.logs.ring.evicted() > 500);
        assert_eq!(lines(&state), held, "it stays");
        let screen = testing::screen(&state, Pane::Logs, 80, 24);
        assert!(screen.contains("held, older than what is kept"), "{screen}");
        act(&mut state, Action::Up);
        assert!(lines(&state).last().unwrap().contains("line 98 of second 4"), "one moves on it");
        act(&mut state, Action::Down);
        act(&mut state, Action::Down);
        let oldest = state.logs.ring.forwards(Place::START, Pick::Shown).next().unwrap().0;
        assert_eq!(state.logs.held(), Some(oldest), "past its end one comes to what is kept");
        let told = state.notice.as_ref().map(|notice| notice.words.to_string());
        assert_eq!(told.as_deref(), Some("the lines in between have made room for newer ones"));
        act(&mut state, Action::Follow);
        assert!(lines(&state).last().unwrap().contains("line 99 of second 99"));
    }
}
