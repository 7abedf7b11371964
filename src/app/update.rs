//! `update`: the one place where the state changes. It routes; decisions live in the noun's file.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tui_input::Input;

use crate::app::action::{Action, Danger, Pane};
use crate::app::effect::{Effect, Exit, Feed, Look, LookId};
use crate::app::key::{Code, Key};
use crate::app::logs::ring::Sieve;
use crate::app::msg::{Item, JournalNews, Msg, Sight};
use crate::app::overlay::{Overlay, Purpose};
use crate::app::state::{Anchor, Arming, State, Tone};
use crate::app::{
    acts, arming, backup, cache, change, checks, coupling, feeds, learn, logs, migrations, overlay, preflight,
    releases, restore, runbook, status, target,
};
use crate::domain::cluster::{Ask, Pod, PodsItem, WorkloadRef};
use crate::domain::forecast::Memo;
use crate::domain::live::Live;
use crate::domain::name::Uid;
use crate::domain::record::Entry;
use crate::domain::step::StepKind;
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// How often the cluster is asked who we are and what we may do.
const QUESTIONS_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// The same while there is no answer.
const QUESTIONS_RETRY: SignedDuration = SignedDuration::from_secs(5);

/// Decides. Takes no time, reads no file, cannot fail.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
    let logs_only = msg.is_log_lines();
    if !keeps_database(state, &msg) {
        state.forecasts = Memo::default();
    }
    let mut effects = match msg {
        Msg::Key(key) => press(state, key),
        Msg::Paste(text) => {
            overlay::paste(state, text.expose());
            Vec::new()
        }
        Msg::Do(action) => act(state, action),
        Msg::Target(workload, goal) => target::choose(state, &workload, &goal),
        Msg::Select(pane, anchor) => {
            state.view.focus = pane;
            state.view.select(pane, 0, Some(anchor));
            follow_anchor(state, pane);
            Vec::new()
        }
        Msg::Undo(kept) => open(state, Overlay::Restore(kept)),
        Msg::Clear(namespace) => cache::ask(state, namespace),
        Msg::RestoreDatabase(wish) => restore::ask(state, *wish),
        Msg::Close(reached, words) => vec![state.commit(Entry::Closed { reached, words: words.to_string() })],
        Msg::Tick(now) => {
            state.now = now;
            feeds::prune(state);
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
        Msg::Acted(id, result) => acts::ended(state, id, result),
        Msg::Locked(result) => arming::locked(state, result),
        Msg::Journal(news) => journal(state, news),
        Msg::Copied(result) => {
            match result {
                Ok(how) => state.tell(Tone::Plain, how),
                Err(why) => state.tell(Tone::Warn, why),
            }
            Vec::new()
        }
        Msg::Sifted(sifted) => {
            logs::sifted(state, sifted);
            Vec::new()
        }
        Msg::Saved(result) => {
            match result {
                Ok(what) => state.tell(Tone::Good, what),
                Err(why) => state.tell(Tone::Bad, why.sentence()),
            }
            Vec::new()
        }
        Msg::Hangup => vec![Effect::Quit(Exit::Left)],
    };
    // Log lines come by the thousand; what they mean for a check is judged with the next tick.
    if !logs_only {
        effects.extend(runbook::walk_on(state));
        effects.extend(checks::due(state));
        effects.extend(releases::due(state));
        effects.extend(questions_due(state));
        effects.extend(coupling::due(state));
        effects.extend(preflight::due(state));
        effects.extend(restore::due(state));
    }
    if let Some(Effect::Quit(exit)) = effects.iter().find(|effect| matches!(effect, Effect::Quit(_))) {
        state.exit = Some(*exit);
    }
    effects
}

/// Whether the database and the catalog say after this message what they said before it: what was
/// forecast from them holds.
fn keeps_database(state: &State, msg: &Msg) -> bool {
    match msg {
        Msg::Feed(_, Item::Migrations(Ok(table))) => state.migrations.fresh() == Some(table),
        Msg::Feed(_, Item::Schema(Ok(schema))) => state.schema.fresh() == Some(schema),
        Msg::Feed(_, Item::Newer(Ok(newer))) => state.newer.fresh() == Some(newer),
        Msg::Feed(_, Item::Workload(_) | Item::Pods(_) | Item::Releases(_) | Item::Logs(_)) => true,
        Msg::Tick(_) | Msg::Size(..) | Msg::Key(_) | Msg::Progress(..) | Msg::Sifted(_) | Msg::Saved(_) => true,
        Msg::Copied(_) | Msg::Journal(_) | Msg::Locked(_) => true,
        Msg::Looked(_, sight) => !matches!(sight, Sight::Migrations(_) | Sight::Schema(_) | Sight::Listing(_)),
        _ => false,
    }
}

/// What a fresh state asks for first.
pub fn begin(state: &mut State) -> Vec<Effect> {
    let effects = questions_due(state);
    if acts::ask_unknown(state) {
        // Nothing else may come before this question.
    } else if let Some(briefing) = &state.setting.briefing
        && state.incident.entries <= 1
    {
        let text = if state.setting.newcomer { status::welcome(state, briefing) } else { briefing.story.clone() };
        state.overlays.push(Overlay::words(briefing.title.clone(), text));
    }
    runbook::show(state);
    effects
}

/// Who we are and what we may do is asked until it is answered, and again from time to time.
fn questions_due(state: &mut State) -> Vec<Effect> {
    if state.setting.missing.cluster.is_some() {
        return Vec::new();
    }
    let due = |fresh: bool, at: Option<Timestamp>, asked: Option<Timestamp>| {
        let every = if fresh { QUESTIONS_EVERY } else { QUESTIONS_RETRY };
        [at, asked].into_iter().flatten().max().is_none_or(|last| state.now.duration_since(last).abs() >= every)
    };
    let mut wanted = Vec::new();
    let questions = [
        (Look::Identity, state.identity.fresh().is_some(), state.identity.at(), true),
        (Look::Permissions(asks(state)), answered_all(state), state.permissions.at(), true),
        (Look::Workloads, false, state.found.at(), state.setting.workloads.is_empty()),
    ];
    for (place, (look, fresh, at, open)) in questions.into_iter().enumerate() {
        if open && due(fresh, at, state.asked[place]) && !state.looking(&look) {
            wanted.push((place, look));
        }
    }
    wanted
        .into_iter()
        .map(|(place, look)| {
            state.asked[place] = Some(state.now);
            state.look(look)
        })
        .collect()
}

/// Whether every permission that matters now was answered.
fn answered_all(state: &State) -> bool {
    state.permissions.fresh().is_some_and(|answers| answers.len() >= asks(state).len())
}

/// What is to be allowed: the records of a Helm release are asked about only where one is.
fn asks(state: &State) -> Vec<Ask> {
    if releases::followed(state).is_empty() { Ask::without_helm() } else { Ask::ALL.to_vec() }
}

fn press(state: &mut State, key: Key) -> Vec<Effect> {
    if !state.overlays.is_empty() {
        return overlay::press(state, key);
    }
    match state.keymap.action(state.view.focus, key) {
        Some(action) => act(state, action),
        // Escape is pressed to be sure that nothing is open; that is no mistake.
        None if key == Key::plain(Code::Esc) => {
            state.notice = None;
            Vec::new()
        }
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
        Action::Learn => learn::may(state).map(drop),
        Action::ClearCache => missing(&state.setting.missing.cache),
        Action::Backup => missing(&state.setting.missing.backup).and_then(|()| backup::may_start(state)),
        Action::Back => runbook::may_go_back(state).map(|_| ()),
        Action::StepFailed => runbook::may_leave(state),
        Action::Cancel => acts::may_cancel(state),
        Action::Arm if state.armed() => Err(Clean::ours("armed already")),
        Action::Disarm if !state.armed() => Err(Clean::ours("not armed")),
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
        Action::Cancel => acts::cancel(state),
        Action::Arm => open(state, Overlay::text(Purpose::Arm)),
        Action::Disarm => arming::disarm(state),
        Action::Revert => change::revert_selected(state),
        Action::SetImage => change::ask_image(state),
        Action::SetVariable => change::ask_variable(state),
        Action::Restart => change::restart_selected(state),
        Action::Target => target::choose_selected(state),
        Action::Diff => change::diff_selected(state),
        Action::Backup => open(state, Overlay::Backup { without_spend_logs: false }),
        Action::ClearCache => cache::ask_own(state),
        Action::DeleteRow => migrations::ask_delete(state),
        Action::ResolveRow => migrations::ask_resolve(state),
        Action::UndoRow => migrations::ask_undo(state),
        Action::FilterRows => {
            migrations::filter(state);
            Vec::new()
        }
        Action::Learn => learn::ask(state),
        Action::RunCheck => checks::run_selected(state),
        Action::Consent => open(state, Overlay::Consent),
        Action::Filter => ask_line(state, Purpose::Filter, Sieve::Filter),
        Action::Search => ask_line(state, Purpose::Search, Sieve::Search),
        Action::SaveShown => ask_file(state, false),
        Action::SaveAll => ask_file(state, true),
        Action::Note => open(state, Overlay::text(Purpose::Note)),
        Action::OpenSignature => runbook::open_signature(state),
        Action::Copy => status::copy_selected(state),
        Action::Status => {
            let text = status::fifteen_lines(state);
            open(state, Overlay::words(Clean::ours("Status for chat: y copies it"), text))
        }
        Action::Help => open(state, Overlay::Help { scroll: 0 }),
        Action::Palette => open(state, Overlay::Palette { input: Input::default(), selected: 0 }),
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

/// Asks for a filter or a search, with the one in force to change.
fn ask_line(state: &mut State, purpose: Purpose, sieve: Sieve) -> Vec<Effect> {
    let present = state.logs.ring.query(sieve).map_or(String::new(), |query| query.words.to_string());
    open(state, Overlay::Text { purpose, input: Input::new(present) })
}

/// Asks for the file to save log lines to, and offers a name of its own for each second.
fn ask_file(state: &mut State, all: bool) -> Vec<Effect> {
    let name = format!("log-{}.txt", state.now.strftime("%Y%m%d-%H%M%S"));
    open(state, Overlay::Text { purpose: Purpose::Save { all }, input: Input::new(name) })
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

/// Enter: in the runbook the next step of it, elsewhere what the selected line is for.
fn go_on(state: &mut State) -> Vec<Effect> {
    let step = state.step();
    match state.view.focus {
        Pane::Runbook => runbook::go_on(state),
        Pane::Revisions if step == Some(StepKind::ChooseTarget) => target::choose_selected(state),
        Pane::Revisions => change::diff_selected(state),
        Pane::Migrations if step.is_some_and(|step| migrations::done(state, step)) => runbook::go_on(state),
        Pane::Migrations => migrations::show_selected(state),
        Pane::Checklist if step == Some(StepKind::Verify) && state.checks.list.complete() => runbook::go_on(state),
        Pane::Checklist => checks::run_selected(state),
        Pane::Preflight if step == Some(StepKind::Preflight) => runbook::go_on(state),
        Pane::Logs if logs::selected_remedy(state).is_ok() => runbook::open_signature(state),
        Pane::Pods | Pane::Logs | Pane::Preflight | Pane::Timeline => {
            let key = state.keymap.key(None, Action::PaneRunbook).map_or(String::new(), |key| key.to_string());
            let key = state.gate.clean(&key);
            state.tell(Tone::Plain, say!("enter does nothing on this line; {} goes to the runbook", key));
            Vec::new()
        }
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
            let at = match pane {
                Pane::Preflight => preflight::selected(state, &preflight::findings(state)),
                _ => state.view.selected(pane, len),
            };
            let page = usize::from(state.view.size.1 / 2).max(1);
            let line = match action {
                Action::Up => at.saturating_sub(1),
                Action::Down => at + 1,
                Action::PageUp => at.saturating_sub(page),
                Action::PageDown => at + page,
                Action::Top => 0,
                Action::Bottom => usize::MAX,
                _ => at,
            }
            .min(len.saturating_sub(1));
            let anchor = anchor(state, pane, line);
            state.view.select(pane, line, anchor);
        }
    }
}

/// The object on a line of a pane whose lines move.
fn anchor(state: &State, pane: Pane, line: usize) -> Option<Anchor> {
    match pane {
        Pane::Pods => state.pods().get(line).map(|pod| Anchor::Pod(pod.uid.clone())),
        Pane::Revisions => {
            let revisions = state.revisions();
            revisions.get(line).map(|past| Anchor::Revision(past.workload().reference.clone(), past.goal()))
        }
        Pane::Migrations => migrations::shown(state).get(line).map(|row| Anchor::Row(row.id.clone())),
        Pane::Runbook | Pane::Checklist | Pane::Logs | Pane::Preflight | Pane::Timeline => None,
    }
}

/// Lines moved: the selection stays with its object.
fn follow_anchor(state: &mut State, pane: Pane) {
    let line = match state.view.anchor.get(&pane) {
        None => return,
        Some(Anchor::Pod(uid)) => state.pods().iter().position(|pod| pod.uid == *uid),
        Some(Anchor::Revision(reference, goal)) => state.revisions().iter().position(|past| past.is(reference, goal)),
        Some(Anchor::Row(id)) => migrations::shown(state).iter().position(|row| row.id == *id),
    };
    if let Some(line) = line {
        state.view.cursor.insert(pane, line);
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
        Pane::Migrations => migrations::shown(state).len(),
        Pane::Preflight => preflight::findings(state).len(),
        Pane::Timeline => state.incident.timeline.len(),
    }
}

fn journal(state: &mut State, news: JournalNews) -> Vec<Effect> {
    match news {
        JournalNews::Written(seq) => state.journal.written = seq + 1,
        JournalNews::Broken(why) => {
            state.tell(Tone::Bad, say!("{}; nothing may be changed from now on", why.sentence()));
            state.arming = Arming::ReadOnly;
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
            let before = watched.workload.last().map(|workload| workload.numbers.generation);
            match result {
                Ok(workload) => {
                    let changed = before.is_some_and(|before| before != workload.numbers.generation);
                    watched.workload.see(workload, now);
                    follow_anchor(state, Pane::Revisions);
                    let mut effects = change::remember_newest(state);
                    if changed {
                        effects.extend(checks::changed(state));
                    }
                    return effects;
                }
                Err(why) => watched.workload.lose(why, now),
            }
        }
        (Feed::Pods(reference), Item::Pods(result)) => {
            pods(state, reference, result);
            follow_anchor(state, Pane::Pods);
        }
        (Feed::Releases(workload, release), Item::Releases(result)) => {
            releases::seen(state, workload, release, result);
            follow_anchor(state, Pane::Revisions);
        }
        (Feed::Logs(source), Item::Logs(item)) => logs::fed(state, source, item),
        (Feed::Migrations, Item::Migrations(result)) => {
            migrations::seen(state, result);
            follow_anchor(state, Pane::Migrations);
        }
        (Feed::Schema, Item::Schema(result)) => migrations::seen_schema(state, result),
        (Feed::Newer, Item::Newer(Ok(newer))) => state.newer.see(newer, state.now),
        (Feed::Newer, Item::Newer(Err(why))) => state.newer.lose(why, state.now),
        // A feed that brings another one's item does not exist.
        _ => {}
    }
    Vec::new()
}

fn pods(state: &mut State, reference: &WorkloadRef, result: Result<PodsItem, Trouble>) {
    let now = state.now;
    let Some(watched) = state.watched.get_mut(reference) else { return };
    if let Ok(PodsItem::Listing(count)) = result {
        watched.listing = count;
        return;
    }
    let mut known: BTreeMap<Uid, Arc<Pod>> = match &mut watched.pods {
        Live::Seen { value, .. } | Live::Lost { last: Some((value, _)), .. } => std::mem::take(value),
        _ => BTreeMap::new(),
    };
    match result {
        Ok(PodsItem::Listed(pods)) => {
            let before = std::mem::replace(&mut known, pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect());
            state.logs.left(|uid| before.contains_key(uid) && !known.contains_key(uid), now);
        }
        Ok(PodsItem::Changed(pod)) => {
            known.insert(pod.uid.clone(), pod);
        }
        Ok(PodsItem::Gone(uid)) => {
            known.remove(&uid);
            state.logs.left(|gone| *gone == uid, now);
        }
        Ok(PodsItem::Listing(_)) => {}
        Err(why) => {
            if let Some(kept) = watched.pods.last_mut() {
                *kept = known;
            }
            watched.pods.lose(why, now);
            return;
        }
    }
    watched.pods.see(known, now);
}

fn looked(state: &mut State, id: LookId, look: &Look, sight: Sight) -> Vec<Effect> {
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
        Sight::Workloads(Ok(found)) => state.discovered(found.into_iter().map(|found| found.reference).collect()),
        Sight::Workloads(Err(why)) => state.found.lose(why, now),
        Sight::Coupled(result) => {
            if let Look::Coupled(workload, target) = look {
                coupling::seen(state, workload, target, result);
            }
        }
        Sight::Opened(result) => {
            if let Look::Opened(workload, target) = look {
                coupling::opened(state, workload, target, result);
            }
        }
        Sight::Trial(result) => {
            if let Look::Trial(rollback) = look {
                coupling::tried(state, rollback, result);
            }
        }
        Sight::Preview(result) => {
            if !preflight::dry_run_seen(state, id, &result) {
                return change::previewed(state, id, result);
            }
        }
        Sight::Record(result) => {
            if let Look::Record(workload, _, row, _) = look {
                releases::read(state, workload, row, result);
            }
        }
        Sight::Helm(result) => releases::program(state, result),
        Sight::Listing(result) => return learn::seen(state, result),
        Sight::Migrations(result) => migrations::seen(state, result),
        Sight::Schema(result) => migrations::seen_schema(state, result),
        Sight::Server(Ok(server)) => state.server.see(*server, now),
        Sight::Server(Err(why)) => state.server.lose(why, now),
        Sight::RestorePlan(result) => restore::planned(state, id, result),
        Sight::Remnant(result) => {
            if let Look::Remnant(name) = look {
                restore::found(state, name, result);
            }
        }
        Sight::CacheSurvey(result) => cache::surveyed(state, id, result),
        sight => checks::looked(state, look, sight),
    }
    Vec::new()
}
