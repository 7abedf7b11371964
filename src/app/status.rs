//! Words for people: the status for chat, the welcome to a drill, the end, and what is known of
//! an act whose outcome is not.

use crate::app::action::{Action, Pane};
use crate::app::effect::Effect;
use crate::app::setting::Briefing;
use crate::app::state::{State, Tone};
use crate::app::{coupling, releases, restore};
use crate::domain::coupled::{ConfigFile, Coupled, MountedConfig};
use crate::domain::environment::Kind;
use crate::domain::record::{ActId, ActKind};
use crate::domain::runbook::{Placeholder, fill};
use crate::domain::span;
use crate::domain::workload::Owner;
use crate::text::{Clean, Many};

/// The time within which a drill should end.
pub const DRILL_TARGET: jiff::SignedDuration = jiff::SignedDuration::from_mins(2);

fn lines(parts: impl IntoIterator<Item = Clean>) -> Clean {
    parts.into_iter().reduce(|all, line| say!("{}\n{}", all, line)).unwrap_or_default()
}

/// The status for chat: at most fifteen lines.
pub fn fifteen_lines(state: &State) -> Clean {
    let setting = &state.setting;
    let incident = &state.incident;
    let id = incident.id.as_ref().map_or(Clean::ours("no incident"), |id| say!("{}", id));
    let mut status = vec![
        say!("{} {} ({})", id, setting.environment, setting.kind.word()),
        say!(
            "since {}, {} ago",
            state.gate.clean(&incident.opened_at.strftime("%H:%M:%S UTC").to_string()),
            span::short(incident.lasted(state.now))
        ),
    ];
    if let Some(node) = state.node() {
        status.push(say!("now: {}", node.title));
    }
    for reference in setting.workloads.iter().take(2) {
        let Some(workload) = state.workload(reference) else { continue };
        let live = workload.current().map_or(Clean::ours("no revision"), |revision| {
            let image = revision.image().map_or(Clean::default(), |image| say!(", {}", image));
            say!("revision {}{}", revision.number, image)
        });
        let target = incident
            .targets
            .get(reference)
            .map_or(Clean::default(), |target| say!(", target revision {}", target.revision));
        status.push(say!("{}: {}{}", reference, live, target));
    }
    let pods = state.pods();
    status.push(say!("pods: {} of {} ready", pods.iter().filter(|pod| pod.ready()).count(), pods.len()));
    if let Some(table) = state.migrations.last() {
        status.push(say!("migrations: {}, {} failed", Many(table.rows.len(), "row"), table.failed().count()));
    }
    let (settled, all) = state.checks.list.tally();
    let open: Vec<Clean> = state
        .checks
        .list
        .checks()
        .iter()
        .filter(|check| !check.verdict.mark.settled())
        .map(|check| say!("{} {}", check.id.slug(), check.verdict.mark.word()))
        .collect();
    let open = open
        .into_iter()
        .reduce(|all, check| say!("{}, {}", all, check))
        .map_or(Clean::default(), |open| say!(" ({})", open));
    status.push(say!("checks: {} of {}{}", settled, all, open));
    for moment in incident.timeline.iter().rev().take(4).rev() {
        status.push(say!("{} ago: {}", span::short(state.now.duration_since(moment.at)), moment.words));
    }
    status.push(if state.armed() { Clean::ours("armed") } else { Clean::ours("read-only") });
    status.truncate(15);
    lines(status)
}

fn key(state: &State, pane: Option<Pane>, action: Action) -> Clean {
    state.keymap.key(pane, action).map_or(Clean::ours("(no key)"), |key| state.gate.clean(&key.to_string()))
}

/// The first drill explains itself: what happened, the keys, what to look at next.
pub fn welcome(state: &State, briefing: &Briefing) -> Clean {
    let mut text = vec![
        Clean::ours("This is a drill in an embedded sandbox: nothing real can break."),
        Clean::default(),
        briefing.story.clone(),
        Clean::default(),
        Clean::ours("The runbook on the left asks one question at a time. The console gathers the"),
        Clean::ours("evidence and marks the answer that it suggests; you decide."),
        Clean::default(),
        say!(
            "  {}  go on: answer, do the step      {}  take the last answer back",
            key(state, None, Action::GoOn),
            key(state, None, Action::Back)
        ),
        say!(
            "  {}  arm: the console opens read-only; arming asks for the name {}",
            key(state, None, Action::Arm),
            state.setting.environment
        ),
        say!(
            "  {}  next pane    {}  help for where you are    {}  every action",
            key(state, None, Action::NextPane),
            key(state, None, Action::Help),
            key(state, None, Action::Palette)
        ),
        say!("  {}  quit; `lastgood resume` continues where you were", key(state, None, Action::Quit)),
    ];
    if !briefing.hints.is_empty() {
        text.push(Clean::default());
        text.push(Clean::ours("What to look at next:"));
        text.extend(briefing.hints.iter().map(|hint| say!("  - {}", hint)));
    }
    text.push(Clean::default());
    text.push(Clean::ours("The clock runs; two minutes is good. Enter closes this."));
    lines(text)
}

/// The end: how long each stage took, whether the target was met, and where the timeline is.
pub fn ending(state: &State) -> Clean {
    let incident = &state.incident;
    let mut text = Vec::new();
    if let Some((reached, words, _)) = &incident.closed {
        text.push(say!("{}: {}", if *reached { "Goal reached" } else { "Goal not reached" }, words));
        text.push(Clean::default());
    }
    let stage = |at: &crate::domain::runbook::NodeRef| state.runbooks.node(at).map(|node| node.stage);
    for (stage, time) in incident.stage_times(state.now, stage) {
        text.push(say!("  {:<10} {}", stage.word(), span::clock(time)));
    }
    let total = incident.lasted(state.now);
    text.push(say!("  {:<10} {}", "in all", span::clock(total)));
    if state.setting.kind == Kind::Drill {
        let met = if total <= DRILL_TARGET { "met" } else { "not met" };
        text.push(Clean::default());
        text.push(say!("The target of two minutes was {}.", met));
    }
    let (settled, all) = state.checks.list.tally();
    text.push(say!("{} of {} checks are settled.", settled, all));
    if let Some(briefing) = &state.setting.briefing {
        text.push(Clean::default());
        text.push(briefing.debrief.clone());
    }
    if let Some(id) = &incident.id {
        text.push(Clean::default());
        text.push(say!("Timeline: lastgood export {} --md", id));
    }
    lines(text)
}

/// What can be seen now of an act whose outcome is unknown.
pub fn fact_about(state: &State, act: ActId) -> Clean {
    let Some(record) = state.incident.acts.get(&act) else { return Clean::default() };
    match &record.kind {
        ActKind::Change { workload, generation, .. } => {
            match state.watched.get(workload).and_then(|watched| watched.workload.fresh()) {
                None => say!("{} is not seen right now", workload),
                Some(seen) => {
                    let moved = if seen.numbers.generation > *generation {
                        "it was changed since"
                    } else {
                        "it was not changed since"
                    };
                    let live = seen.current().map_or(0, |revision| revision.number);
                    say!(
                        "{} is at generation {} and was at {} before the act: {}; live is revision {}",
                        workload,
                        seen.numbers.generation,
                        *generation,
                        moved,
                        live
                    )
                }
            }
        }
        ActKind::Rollback { workload, from, to, .. } => releases::fact_about(state, workload, *from, *to),
        ActKind::DeleteRow { id, name } | ActKind::ResolveRow { id, name } | ActKind::RestoreRow { id, name } => {
            let name = state.gate.clean(name);
            match state.migrations.fresh() {
                None => Clean::ours("the migration table is not seen right now"),
                Some(table) => match table.rows.iter().find(|row| row.id.as_str() == id) {
                    Some(row) => say!("the row {} is in the table and is {}", name, row.state.word()),
                    None => say!("the row {} is not in the table", name),
                },
            }
        }
        ActKind::Backup { file } => say!("a finished dump would be called {}", state.gate.clean(file)),
        ActKind::RestoreDatabase { into, .. } => restore::fact_about(state, into),
        ActKind::ClearCache { .. } => Clean::ours("clearing again deletes what is left of it"),
        ActKind::Complete => Clean::ours("a completion leaves a row in LiteLLM_SpendLogs"),
    }
}

/// Copies the selected line of the pane in focus.
pub fn copy_selected(state: &mut State) -> Vec<Effect> {
    let view = &state.view;
    let text = match view.focus {
        Pane::Logs => state.logs.selected().map(|(_, line)| line.text.to_clean()),
        Pane::Pods => state.pods().get(view.selected(Pane::Pods, usize::MAX)).map(|pod| say!("{}", pod.name)),
        Pane::Migrations => crate::app::migrations::selected(state).map(|row| say!("{}", row.name)),
        Pane::Revisions => {
            let revisions = state.revisions();
            revisions
                .get(view.selected(Pane::Revisions, revisions.len()))
                .and_then(|past| past.image().map(|image| say!("{}", image)))
        }
        Pane::Timeline => state
            .incident
            .timeline
            .get(view.selected(Pane::Timeline, state.incident.timeline.len()))
            .map(|moment| moment.words.clone()),
        Pane::Preflight => {
            let findings = crate::app::preflight::findings(state);
            findings
                .get(crate::app::preflight::selected(state, &findings))
                .map(|finding| say!("{}; {}", finding.what, finding.remedy))
        }
        Pane::Checklist => {
            let checks = state.checks.list.checks();
            checks
                .get(view.selected(Pane::Checklist, checks.len()))
                .and_then(|check| check.verdict.evidence.first().cloned())
        }
        Pane::Runbook => manual_commands(state),
    };
    match text.filter(|text| !text.is_empty()) {
        Some(text) => vec![Effect::Copy(text)],
        None => {
            state.tell(Tone::Plain, Clean::ours("there is nothing to copy here"));
            Vec::new()
        }
    }
}

/// The commands of a manual step with their placeholders filled in, a line each.
pub fn manual_commands(state: &State) -> Option<Clean> {
    let crate::domain::runbook::NodeKind::Manual { commands, .. } = &state.node()?.kind else { return None };
    (!commands.is_empty()).then(|| lines(commands.iter().map(|command| filled(state, command))))
}

fn config(coupled: &Coupled) -> Option<&MountedConfig> {
    match &coupled.config {
        ConfigFile::Mounted(file) => Some(file),
        ConfigFile::Unseen(_) => None,
    }
}

/// A command with its placeholders filled in; what is not known stays visible.
pub fn filled(state: &State, command: &Clean) -> Clean {
    let setting = &state.setting;
    let workload = setting.workloads.first();
    let target = workload.and_then(|workload| state.incident.targets.get(workload));
    let drifted = coupling::stopping(state).into_iter().next();
    fill(command, |placeholder| match placeholder {
        Placeholder::Namespace => setting.namespace.as_ref().map(|name| say!("{}", name)),
        Placeholder::Workload => workload.map(|workload| say!("{}", workload.name)),
        Placeholder::Context => setting.context.as_ref().map(|context| say!("{}", context)),
        Placeholder::Release => match &state.workload(workload?)?.owner {
            Owner::Helm { release } => Some(release.clone()),
            _ => None,
        },
        Placeholder::Database => setting.database.clone(),
        Placeholder::Revision => target.map(|target| say!("{}", target.revision)),
        Placeholder::Image => target.map(|target| target.image.clone()),
        Placeholder::BackupFile => state.incident.acts.values().rev().find_map(|act| match &act.kind {
            ActKind::Backup { file } if act.done() => Some(state.gate.clean(file)),
            _ => None,
        }),
        Placeholder::ConfigMap => drifted.as_ref().map(|(_, _, _, drift)| say!("{}", drift.leaning.source.name)),
        Placeholder::ConfigKey => config(drifted.as_ref()?.2).map(|file| file.key.clone()),
        Placeholder::ConfigPath => config(drifted.as_ref()?.2).map(|file| file.path.clone()),
        Placeholder::RestoredDatabase => restore::newest(state).map(|name| say!("{}", name)),
        Placeholder::DatabaseSecret => restore::url_in(state).map(|(name, _)| name),
        Placeholder::DatabaseKey => restore::url_in(state).map(|(_, key)| key),
        Placeholder::Migration => state.migrations.last()?.failed().next().map(|row| say!("{}", row.name)),
    })
}
