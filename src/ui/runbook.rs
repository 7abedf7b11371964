//! The runbook: the path so far, the question or the step in hand, its evidence, and the next key.

use ratatui::text::{Line, Span};

use crate::app::action::{Action, Pane};
use crate::app::evidence::Evidence;
use crate::app::runbook::{self, Progress};
use crate::app::{plan, status};
use crate::domain::record::ActKind;
use crate::domain::runbook::{Choice, Node, NodeKind};
use crate::domain::step::{Risk, StepKind};
use crate::text::Clean;
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, Sheet, fact, hanging, wrapped};
use crate::ui::theme::{Role, Sign};
use crate::ui::{headway, next};

/// The pane. What does not fit is cut above the next key, never the key itself.
pub fn sheet<'a>(scene: &Scene<'a>, room: Room) -> Sheet<'a> {
    let state = scene.state;
    let Some(node) = state.node() else {
        return Sheet::says(scene, room, "the incident is not open yet", Role::Muted);
    };
    let book = state.runbooks.runbook(&node.at.runbook);
    let count = book.map_or(String::new(), |book| book.title.to_string());
    let mut sheet = Sheet { count, ..Sheet::default() };
    let foot = foot(scene, room);
    let height = room.height.saturating_sub(foot.len());
    let mut words = heading(scene, room, node);
    let title = words.len();
    words.extend(wrapped(scene, room.width, node.say.as_str(), "", Role::Muted));
    let work = work(scene, room, node);
    // The path takes what the rest leaves; then the words are cut, and what is to be done last.
    let spare = height.saturating_sub(words.len() + work.len() + 1);
    sheet.lines.extend(path(scene, room, spare.clamp(2, 6).min(height / 6)));
    let left = height.saturating_sub(sheet.lines.len() + work.len() + 1);
    let most = left.max(title + 1);
    if words.len() > most {
        words.truncate(most);
        if let Some(last) = words.last_mut() {
            last.push_span(Span::styled(scene.sign(Sign::Cut), scene.style(Role::Muted)));
        }
    }
    sheet.lines.extend(words);
    sheet.lines.push(Line::default());
    sheet.lines.extend(work);
    if sheet.lines.len() > height {
        let more = sheet.lines.len() + 1 - height;
        sheet.lines.truncate(height.saturating_sub(1));
        let zoom = scene.key(Pane::Runbook, Action::Zoom).filter(|_| scene.overview);
        let zoom = zoom.map_or(String::new(), |key| format!(": {key} shows them"));
        let words = format!("{} {more} more lines{zoom}", scene.sign(Sign::Cut));
        sheet.lines.push(Row::plain(scene, room.width).rest(&words, Role::Warn).line());
        sheet.lines.truncate(height);
    } else if sheet.lines.len() < height {
        sheet.lines.push(Line::default());
    }
    sheet.lines.extend(foot);
    sheet
}

/// The last answers, one line each, newest last.
fn path<'a>(scene: &Scene<'a>, room: Room, most: usize) -> Vec<Line<'a>> {
    let path = &scene.state.incident.path;
    let left: Vec<_> = path.iter().filter(|visit| visit.answer.is_some()).collect();
    if left.is_empty() || most < 2 {
        return Vec::new();
    }
    // One line stays blank below the path, and one tells what is cut.
    let shown = if left.len() < most { left.len() } else { most.saturating_sub(2) };
    let mut lines = Vec::new();
    if shown < left.len() {
        let words = format!("{} {} answers before", scene.sign(Sign::Cut), left.len() - shown);
        lines.push(Row::plain(scene, room.width).rest(&words, Role::Muted).line());
    }
    for visit in left.iter().skip(left.len() - shown) {
        let title = scene.state.runbooks.node(&visit.node).map(|node| node.title.clone()).unwrap_or_default();
        let answer = visit.answer.clone().unwrap_or_default();
        let words = format!("{title} {} {answer}", scene.sign(Sign::Arrow));
        lines.push(Row::plain(scene, room.width).rest(&words, Role::Muted).line());
    }
    lines.push(Line::default());
    lines
}

fn heading<'a>(scene: &Scene<'a>, room: Room, node: &Node) -> Vec<Line<'a>> {
    let mut lines = wrapped(scene, room.width, node.title.as_str(), "", Role::Title);
    if matches!(node.kind, NodeKind::Manual { .. }) {
        lines.extend(wrapped(scene, room.width, "BY HAND: the console does not do this step", "", Role::Warn));
    }
    lines
}

/// What is to be done here.
fn work<'a>(scene: &Scene<'a>, room: Room, node: &'a Node) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    match &node.kind {
        NodeKind::Ask { choices } => ask(scene, room, choices, &mut lines),
        NodeKind::Do { step, .. } => step_in_hand(scene, room, node, *step, &mut lines),
        NodeKind::Manual { commands, record, .. } => {
            for command in commands {
                let command = status::filled(scene.state, command);
                lines.extend(wrapped(scene, room.width, command.as_str(), "  ", Role::Command));
            }
            if !record.is_empty() {
                lines.extend(fact(scene, room.width, "note", record.as_str(), Role::Text));
            }
        }
        NodeKind::End { reached } => end(scene, room, *reached, &mut lines),
    }
    lines
}

fn ask<'a>(scene: &Scene<'a>, room: Room, choices: &'a [Choice], lines: &mut Vec<Line<'a>>) {
    let state = scene.state;
    let suggested = runbook::suggested(state);
    let selected = runbook::selected(state);
    for (number, choice) in (1u8..).zip(choices) {
        let is = |other: Option<u8>| other == Some(number);
        let role = if is(suggested) { Role::Suggested } else { Role::Text };
        let room = Room { width: room.width, ..room };
        let head = Row::new(scene, room, is(selected))
            .cell(if is(suggested) { scene.sign(Sign::Suggested) } else { " " }, 1, Role::Suggested)
            .cell(&number.to_string(), 1, Role::Key);
        let width = head.left();
        let mut parts = crate::ui::fit::wrapped(choice.say.as_str(), width).into_iter();
        lines.push(head.rest(&parts.next().unwrap_or_default(), role).line());
        lines.extend(parts.map(|part| Line::from(Span::styled(format!("     {part}"), scene.style(role)))));
    }
    let gathered = runbook::gathered(state);
    if gathered.is_empty() {
        return;
    }
    lines.push(Line::default());
    let heading = match suggested {
        Some(number) => format!("the evidence suggests {number}"),
        None => "the evidence suggests none of them".to_owned(),
    };
    lines.extend(wrapped(
        scene,
        room.width,
        &heading,
        "",
        if suggested.is_some() { Role::Suggested } else { Role::Muted },
    ));
    // What does not hold is no failure, so it gets no cross. Several facts may rest on the same words:
    // the one that holds speaks for them.
    let mut told: Vec<(u8, Clean)> = Vec::new();
    for (_, Evidence { holds, words }) in gathered {
        let rank = match holds {
            Some(true) => 0,
            None => 1,
            Some(false) => 2,
        };
        match told.iter_mut().find(|(_, other)| *other == words) {
            Some((known, _)) => *known = rank.min(*known),
            None => told.push((rank, words)),
        }
    }
    told.sort_by_key(|(rank, _)| *rank);
    for (rank, words) in told {
        let (sign, role) =
            [(Sign::Yes, Role::Text), (Sign::Unknown, Role::Unknown), (Sign::Absent, Role::Muted)][usize::from(rank)];
        lines.extend(hanging(scene, room.width, sign, words.as_str(), role));
    }
}

fn step_in_hand<'a>(scene: &Scene<'a>, room: Room, node: &'a Node, step: StepKind, lines: &mut Vec<Line<'a>>) {
    let width = room.width;
    lines.extend(headway::lines(scene, room));
    if let Some(words) = progress(scene, step) {
        lines.extend(
            words.into_iter().flat_map(|(sign, words, role)| hanging(scene, width, sign, words.as_str(), role)),
        );
    }
    let Some(planned) = plan::here(scene.state, node, scene.findings()) else { return };
    for blocked in &planned.blocked_by {
        lines.extend(hanging(scene, width, Sign::No, say!("blocked: {}", blocked).as_str(), Role::Danger));
    }
    if step != StepKind::Verify {
        for (i, does) in planned.does.iter().enumerate() {
            let role = if does.as_str().starts_with("forecast: MAY DROP") { Role::Danger } else { Role::Text };
            lines.extend(fact(scene, width, if i == 0 { "does" } else { "" }, does.as_str(), role));
        }
    }
    let risk = match planned.risk {
        Risk::Reads => Role::Good,
        Risk::Reversible => Role::Warn,
        Risk::Destroys => Role::Danger,
    };
    lines.extend(fact(scene, width, "risk", planned.risk.word(), risk));
    lines.extend(fact(scene, width, "undo", planned.undo, Role::Text));
    lines.extend(fact(scene, width, "waits for", planned.waits_for, Role::Text));
    for (i, command) in planned.commands.iter().enumerate() {
        lines.extend(fact(scene, width, if i == 0 { "command" } else { "" }, command.as_str(), Role::Command));
    }
    let then = then(scene, node);
    if !then.is_empty() {
        lines.extend(fact(scene, width, "then", &then.join(&format!(" {} ", scene.sign(Sign::Arrow))), Role::Muted));
    }
}

/// The titles of what follows while every step is done.
fn then(scene: &Scene<'_>, node: &Node) -> Vec<String> {
    let mut titles = Vec::new();
    let mut at = node;
    while let NodeKind::Do { done, .. } | NodeKind::Manual { done, .. } = &at.kind {
        let Some(next) = scene.state.runbooks.node(done) else { break };
        if titles.len() == 4 {
            break;
        }
        titles.push(next.title.to_string());
        at = next;
    }
    titles
}

fn progress(scene: &Scene<'_>, step: StepKind) -> Option<Vec<(Sign, Clean, Role)>> {
    let state = scene.state;
    match step {
        StepKind::Revert | StepKind::Restart => {
            let (sign, words, role) = match runbook::progress(state, step) {
                Progress::Next(_) | Progress::Acting | Progress::Nothing => return None,
                Progress::Rolling(reference, why) => {
                    (Sign::Arrow, say!("{} rolls out: {}", reference, why), Role::Warn)
                }
                Progress::Failed(reference, why) => {
                    (Sign::No, say!("the rollout of {} failed: {}", reference, why), Role::Danger)
                }
                Progress::NoTarget(reference) => (Sign::Unknown, say!("{} has no target yet", reference), Role::Warn),
                Progress::Done => (Sign::Yes, say!("every workload is rolled out"), Role::Good),
            };
            Some(vec![(sign, words, role)])
        }
        StepKind::Restore if state.incident.last_act_here().is_some_and(|(_, act)| act.done()) => {
            let (_, act) = state.incident.last_act_here()?;
            Some(vec![(Sign::Yes, act.end.as_ref()?.1.clone(), Role::Good)])
        }
        StepKind::Backup | StepKind::ClearCache | StepKind::Restore => {
            let own = |kind: &ActKind| match step {
                StepKind::Backup => matches!(kind, ActKind::Backup { .. }),
                StepKind::Restore => matches!(kind, ActKind::RestoreDatabase { .. }),
                _ => matches!(kind, ActKind::ClearCache { .. }),
            };
            let last =
                state.incident.acts.values().rev().find(|act| own(&act.kind) && !act.done() && act.end.is_some());
            let (_, words, _) = last?.end.as_ref()?;
            Some(vec![(Sign::No, words.clone(), Role::Danger)])
        }
        // Where the checklist is in sight, it tells this itself.
        StepKind::Verify if !scene.overview => {
            let open = state.checks.list.checks().iter().filter(|check| !check.verdict.mark.settled());
            let told = open.map(|check| {
                let (sign, role) = crate::ui::checklist::mark(check.verdict.mark);
                let why = check.verdict.evidence.first().cloned().unwrap_or_default();
                (sign, say!("{}: {}", check.id.title(), why), role)
            });
            Some(told.collect())
        }
        _ => None,
    }
}

fn end<'a>(scene: &Scene<'a>, room: Room, reached: bool, lines: &mut Vec<Line<'a>>) {
    let closed = scene.state.incident.closed.as_ref();
    let reached = closed.map_or(reached, |(reached, ..)| *reached);
    let (sign, words, role) = if reached {
        (Sign::Yes, "goal reached: every configured check is ticked", Role::Good)
    } else {
        (Sign::No, "the goal is not reached; the timeline is the handover", Role::Warn)
    };
    lines.extend(wrapped(scene, room.width, &format!("{} {words}", scene.sign(sign)), "", role));
    if let Some(id) = &scene.state.incident.id {
        lines.extend(fact(scene, room.width, "export", &format!("lastgood export {id} --md"), Role::Command));
    }
}

/// The next key, at the bottom of the pane.
fn foot<'a>(scene: &Scene<'a>, room: Room) -> Vec<Line<'a>> {
    let next = next::next(scene);
    let (key, role) = match &next.key {
        Some(key) => (key.as_str(), Role::Key),
        None => ("wait", Role::Muted),
    };
    let head = format!("{} {key} ", scene.sign(Sign::Arrow));
    let taken = unicode_width::UnicodeWidthStr::width(head.as_str());
    let parts = crate::ui::fit::wrapped(next.words.as_str(), room.width.saturating_sub(taken));
    let mut lines: Vec<Line<'a>> = parts
        .into_iter()
        .take(3)
        .enumerate()
        .map(|(i, part)| {
            let first = if i == 0 { head.clone() } else { " ".repeat(taken) };
            Line::from(vec![
                Span::styled(first, scene.style(role)),
                Span::styled(part.into_owned(), scene.style(Role::Title)),
            ])
        })
        .collect();
    if matches!(scene.state.node().map(|node| &node.kind), Some(NodeKind::Manual { commands, .. }) if !commands.is_empty())
        && let Some(copy) = scene.key(Pane::Runbook, Action::Copy)
        && let Some(failed) = scene.key(Pane::Runbook, Action::StepFailed)
    {
        let words = format!("{copy} copies the commands; {failed} it could not be done");
        lines.push(Row::plain(scene, room.width).cell("", 1, Role::Text).rest(&words, Role::Muted).line());
    }
    lines
}
