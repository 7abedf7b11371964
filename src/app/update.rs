//! `update`: the one place where the state changes. It routes; decisions live in the noun's file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::action::{Action, Danger, Pane};
use crate::app::effect::{Effect, Exit, Feed, Look};
use crate::app::key::Key;
use crate::app::msg::{Item, JournalNews, Msg, Sight};
use crate::app::overlay::{Overlay, Purpose};
use crate::app::state::{State, Tone};
use crate::app::{backup, change, checks, logs, migrations, overlay, runbook, status};
use crate::domain::cluster::{Ask, Pod, PodsItem, WorkloadRef};
use crate::domain::live::Live;
use crate::domain::name::Uid;
use crate::domain::record::{ActId, End, Entry};
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// Decides. Takes no time, reads no file, cannot fail.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
    let mut effects = match msg {
        Msg::Key(key) => press(state, key),
        Msg::Paste(text) => {
            overlay::paste(state, &text);
            Vec::new()
        }
        Msg::Do(action) => act(state, action),
        Msg::Target(workload, uid) => runbook::target(state, &workload, &uid),
        Msg::Tick(now) => {
            state.now = state.now.max(now);
            Vec::new()
        }
        Msg::Size(width, height) => {
            state.view.size = (width, height);
            Vec::new()
        }
        Msg::Feed(feed, item) => fed(state, &feed, item),
        Msg::Looked(id, sight) => match state.looks.remove(&id) {
            // An answer that nobody waits for any more is ignored.
            None => Vec::new(),
            Some(look) => looked(state, id, &look, sight),
        },
        Msg::Progress(id, progress) => {
            if let Some(running) = state.running.get_mut(&id) {
                running.progress = Some(progress);
            }
            Vec::new()
        }
        Msg::Acted(id, result) => change::acted(state, id, result),
        Msg::Journal(news) => journal(state, news),
        Msg::Copied(result) => {
            match result {
                Ok(how) => state.tell(Tone::Plain, how),
                Err(why) => state.tell(Tone::Warn, why),
            }
            Vec::new()
        }
        Msg::Hangup => vec![Effect::Quit(Exit::Left)],
    };
    effects.extend(runbook::settle(state));
    effects.extend(checks::due(state));
    if let Some(Effect::Quit(exit)) = effects.iter().find(|effect| matches!(effect, Effect::Quit(_))) {
        state.exit = Some(*exit);
    }
    effects
}

/// What a fresh state asks for first.
pub fn begin(state: &mut State) -> Vec<Effect> {
    let mut effects = Vec::new();
    if state.setting.missing.cluster.is_none() {
        effects.push(state.look(Look::Identity));
        effects.push(state.look(Look::Permissions));
    }
    if let Some((act, _)) = state.unknown().first().copied() {
        state.overlays.push(Overlay::Unknown(act));
    } else if let Some(briefing) = &state.setting.briefing
        && state.incident.entries <= 1
    {
        let text = if state.setting.newcomer { status::welcome(state, briefing) } else { briefing.story.clone() };
        state.overlays.push(Overlay::words(briefing.title.clone(), text));
    }
    runbook::show(state);
    effects
}

fn press(state: &mut State, key: Key) -> Vec<Effect> {
    if !state.overlays.is_empty() {
        return overlay::press(state, key);
    }
    match state.keymap.action(state.view.focus, key) {
        Some(action) => act(state, action),
        None => {
            let help = state.keymap.key(None, Action::Help).map_or(String::new(), |key| key.to_string());
            let (key, help) = (state.gate.clean(&key.to_string()), state.gate.clean(&help));
            state.tell(Tone::Plain, say!("{} does nothing here; {} lists the keys", key, help));
            Vec::new()
        }
    }
}

/// Whether an action does something now; if not, why. Asked by the footer, the palette and the
/// help, and by [`act`] itself, so that a hidden key cannot do what a greyed-out one may not.
pub fn allowed(state: &State, action: Action) -> Result<(), Clean> {
    if action.danger() != Danger::None {
        state.may_change()?;
    }
    let missing = |part: &Option<Trouble>| part.as_ref().map_or(Ok(()), |why| Err(why.sentence()));
    match action {
        Action::Revert | Action::SetImage | Action::SetVariable | Action::Restart => {
            missing(&state.setting.missing.workloads)?;
            change::permitted(state)
        }
        Action::Target | Action::Diff if state.revisions().is_empty() => Err(Clean::ours("no revisions are known yet")),
        Action::DeleteRow => migrations::may_delete(state),
        Action::ResolveRow => migrations::may_resolve(state),
        Action::UndoRow => migrations::may_undo(state).map(|_| ()),
        Action::Backup => missing(&state.setting.missing.backup).and_then(|()| backup::may_start(state)),
        Action::Back => runbook::may_go_back(state).map(|_| ()),
        Action::StepFailed => runbook::may_leave(state),
        Action::Cancel => match state.running.values().any(|running| running.progress.is_some() && !running.cancelling)
        {
            true => Ok(()),
            false => Err(Clean::ours("nothing that can be cancelled is running")),
        },
        Action::Arm if state.armed => Err(Clean::ours("armed already")),
        Action::Disarm if !state.armed => Err(Clean::ours("not armed")),
        Action::Consent if state.incident.consented => Err(Clean::ours("already agreed")),
        Action::OpenSignature => logs::selected_remedy(state).map(|_| ()),
        action => match action.choice() {
            Some(choice) => runbook::may_choose(state, choice),
            None => Ok(()),
        },
    }
}

/// Does an action, or says why not.
pub fn act(state: &mut State, action: Action) -> Vec<Effect> {
    if let Err(why) = allowed(state, action) {
        state.tell(Tone::Warn, say!("{}: {}", action.label(), why));
        return Vec::new();
    }
    if let Some(pane) = action.pane() {
        state.view.focus = pane;
        return Vec::new();
    }
    if let Some(choice) = action.choice() {
        return runbook::choose(state, choice);
    }
    match action {
        Action::GoOn => go_on(state),
        Action::Back => runbook::back(state),
        Action::StepFailed => runbook::ask_reason(state),
        Action::Cancel => backup::cancel(state),
        Action::Arm => open(state, Overlay::text(Purpose::Arm)),
        Action::Disarm => {
            state.armed = false;
            state.tell(Tone::Plain, Clean::ours("read-only again"));
            vec![state.commit(Entry::Disarmed)]
        }
        Action::Revert => change::revert_selected(state),
        Action::SetImage => change::ask_image(state),
        Action::SetVariable => change::ask_variable(state),
        Action::Restart => change::restart_selected(state),
        Action::Target => runbook::target_selected(state),
        Action::Diff => change::diff_selected(state),
        Action::Backup => open(state, Overlay::Backup { without_spend_logs: false }),
        Action::DeleteRow => migrations::ask_delete(state),
        Action::ResolveRow => migrations::ask_resolve(state),
        Action::UndoRow => migrations::ask_undo(state),
        Action::RunCheck => checks::run_selected(state),
        Action::Consent => open(state, Overlay::Consent),
        Action::Filter => open(state, Overlay::text(Purpose::Filter)),
        Action::Search => open(state, Overlay::text(Purpose::Search)),
        Action::Note => open(state, Overlay::text(Purpose::Note)),
        Action::OpenSignature => runbook::open_signature(state),
        Action::Copy => status::copy_selected(state),
        Action::Status => {
            let text = status::fifteen_lines(state);
            open(state, Overlay::words(Clean::ours("Status for chat: y copies it"), text))
        }
        Action::Help => open(state, Overlay::Help { scroll: 0 }),
        Action::Palette => open(state, Overlay::Palette { input: tui_input::Input::default(), selected: 0 }),
        Action::Redraw => vec![Effect::Redraw],
        Action::Suspend => vec![Effect::Suspend],
        Action::Quit => quit(state),
        Action::Zoom => {
            state.view.zoom = !state.view.zoom;
            Vec::new()
        }
        _ => {
            moved(state, action);
            Vec::new()
        }
    }
}

fn open(state: &mut State, overlay: Overlay) -> Vec<Effect> {
    state.overlays.push(overlay);
    Vec::new()
}

fn quit(state: &mut State) -> Vec<Effect> {
    if state.running.is_empty() {
        let reached = state.incident.closed.as_ref().map(|(reached, ..)| *reached);
        return vec![Effect::Quit(match reached {
            Some(true) => Exit::Reached,
            Some(false) => Exit::NotReached,
            None => Exit::Left,
        })];
    }
    open(state, Overlay::Leave)
}

fn go_on(state: &mut State) -> Vec<Effect> {
    match state.view.focus {
        Pane::Revisions if state.step() == Some(crate::domain::step::StepKind::ChooseTarget) => {
            runbook::target_selected(state)
        }
        Pane::Checklist if state.step() != Some(crate::domain::step::StepKind::Verify) => checks::run_selected(state),
        _ => runbook::go_on(state),
    }
}

fn moved(state: &mut State, action: Action) {
    let pane = state.view.focus;
    let order = Pane::ALL;
    let at = order.iter().position(|other| *other == pane).unwrap_or(0);
    match action {
        Action::NextPane => state.view.focus = order[(at + 1) % order.len()],
        Action::PreviousPane => state.view.focus = order[(at + order.len() - 1) % order.len()],
        _ if pane == Pane::Logs => logs::act(state, action),
        _ => {
            let len = lines(state, pane);
            let cursor = state.view.cursor.entry(pane).or_default();
            let page = usize::from(state.view.size.1 / 2).max(1);
            *cursor = match action {
                Action::Up => cursor.saturating_sub(1),
                Action::Down => *cursor + 1,
                Action::PageUp => cursor.saturating_sub(page),
                Action::PageDown => *cursor + page,
                Action::Top => 0,
                Action::Bottom => usize::MAX,
                _ => *cursor,
            }
            .min(len.saturating_sub(1));
        }
    }
}

/// How many lines a pane has that can be selected.
pub fn lines(state: &State, pane: Pane) -> usize {
    match pane {
        Pane::Runbook => runbook::choices(state).len(),
        Pane::Checklist => state.checks.list.checks().len(),
        Pane::Pods => state.pods().len(),
        Pane::Logs => 0,
        Pane::Revisions => state.revisions().len(),
        Pane::Migrations => state.migrations.last().map_or(0, |table| table.rows.len()),
        Pane::Preflight => crate::app::preflight::findings(state).len(),
        Pane::Timeline => state.incident.timeline.len(),
    }
}

/// Arming: the environment's name was typed.
pub fn arm(state: &mut State, typed: &str) -> Vec<Effect> {
    if typed != state.setting.environment.as_str() {
        state.tell(Tone::Bad, say!("that is not {}; still read-only", state.setting.environment));
        return Vec::new();
    }
    let environment = state.setting.environment.clone();
    vec![state.look(Look::Lock(environment))]
}

/// A person says what became of an act whose outcome was unknown.
pub fn settle(state: &mut State, act: ActId, happened: bool) -> Vec<Effect> {
    let words = status::fact_about(state, act);
    let effect = state.commit(Entry::Settled { act, happened, words: words.to_string() });
    if let Some((next, _)) = state.unknown().first().copied() {
        state.overlays.push(Overlay::Unknown(next));
    }
    vec![effect]
}

fn journal(state: &mut State, news: JournalNews) -> Vec<Effect> {
    match news {
        JournalNews::Written(seq) => state.journal.written = seq + 1,
        JournalNews::Broken(why) => {
            state.tell(Tone::Bad, say!("{}; nothing may be changed from now on", why.sentence()));
            state.armed = false;
            state.journal.broken = Some(why);
        }
    }
    Vec::new()
}

fn fed(state: &mut State, feed: &Feed, item: Item) -> Vec<Effect> {
    let now = state.now;
    match (feed, item) {
        (Feed::Workload(reference), Item::Workload(result)) => {
            let Some(watched) = state.watched.get_mut(reference) else { return Vec::new() };
            match result {
                Ok(workload) => watched.workload.see(workload, now),
                Err(why) => watched.workload.lose(why, now),
            }
        }
        (Feed::Pods(reference), Item::Pods(result)) => pods(state, reference, result),
        (Feed::Logs(source), Item::Logs(item)) => logs::fed(state, source, item),
        (Feed::Migrations, Item::Migrations(result)) => migrations::seen(state, result),
        // A feed that brings another one's item does not exist.
        _ => {}
    }
    Vec::new()
}

fn pods(state: &mut State, reference: &WorkloadRef, result: Result<PodsItem, Trouble>) {
    let now = state.now;
    let Some(watched) = state.watched.get_mut(reference) else { return };
    let mut known: BTreeMap<Uid, Arc<Pod>> = match &mut watched.pods {
        Live::Seen { value, .. } | Live::Lost { last: Some((value, _)), .. } => std::mem::take(value),
        _ => BTreeMap::new(),
    };
    match result {
        Ok(PodsItem::Listed(pods)) => known = pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect(),
        Ok(PodsItem::Changed(pod)) => {
            known.insert(pod.uid.clone(), pod);
        }
        Ok(PodsItem::Gone(uid)) => {
            known.remove(&uid);
        }
        Err(why) => {
            if watched.pods.last().is_some() {
                watched.pods.see(known, watched.pods.at().unwrap_or(now));
            }
            watched.pods.lose(why, now);
            return;
        }
    }
    watched.pods.see(known, now);
}

fn looked(state: &mut State, id: crate::app::effect::LookId, look: &Look, sight: Sight) -> Vec<Effect> {
    let now = state.now;
    match sight {
        Sight::Identity(Ok(identity)) => state.identity.see(identity, now),
        Sight::Identity(Err(why)) => state.identity.lose(why, now),
        Sight::Permissions(Ok(permissions)) => {
            for permission in permissions.iter().filter(|p| p.allowed == Some(false) && p.ask == Ask::PatchDeployment) {
                state.tell(
                    Tone::Warn,
                    say!("not allowed to patch Deployments here: this blocks {}", permission.ask.blocks()),
                );
            }
            state.permissions.see(permissions, now);
        }
        Sight::Permissions(Err(why)) => state.permissions.lose(why, now),
        Sight::Preview(result) => return change::previewed(state, id, result),
        Sight::Migrations(result) => migrations::seen(state, result),
        Sight::Lock(Ok(())) => {
            state.armed = true;
            state.tell(Tone::Warn, say!("ARMED on {}: changes are allowed", state.setting.environment));
            return vec![state.commit(Entry::Armed)];
        }
        Sight::Lock(Err(why)) => state.tell(Tone::Bad, say!("not armed: {}", why.sentence())),
        sight => return checks::looked(state, look, sight),
    }
    Vec::new()
}

/// How an end is written down.
pub(in crate::app) fn finished(act: ActId, end: End, words: &Clean) -> Entry {
    Entry::Finished { act, end, words: words.to_string(), kept: None }
}
