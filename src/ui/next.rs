//! The one thing to do next, in a few words, with the key that does it.

use crate::app::action::{Action, Pane};
use crate::app::evidence::evidence;
use crate::app::preflight::Severity;
use crate::app::runbook::{self, Progress};
use crate::app::state::State;
use crate::domain::checklist::Mark;
use crate::domain::runbook::NodeKind;
use crate::domain::step::{Fact, StepKind};
use crate::text::{Clean, Many};
use crate::ui::scene::Scene;

/// What comes next: the key, where a key does it, and what it does or what is waited for.
pub struct Next {
    /// The key; `None` while there is nothing to do but wait.
    pub key: Option<String>,
    /// In words.
    pub words: Clean,
}

/// What comes next at this place of the runbook.
pub fn next(scene: &Scene<'_>) -> Next {
    let state = scene.state;
    let on = |words: Clean| Next { key: go_on(scene), words };
    if let Some((id, act)) = state.unknown().first() {
        return on(say!("settle act {}, whose outcome is unknown: {}", id.0, act.words));
    }
    let Some(node) = state.node() else { return waits(Clean::ours("the incident is not open yet")) };
    match &node.kind {
        NodeKind::Ask { choices } => match runbook::selected(state) {
            Some(choice) => {
                let label = choices.get(usize::from(choice).saturating_sub(1));
                on(say!("answer {}: {}", choice, label.map(|choice| choice.say.clone()).unwrap_or_default()))
            }
            None => Next { key: numbers(scene, choices.len()), words: Clean::ours("choose an answer") },
        },
        NodeKind::Do { step, .. } => of_step(scene, *step),
        NodeKind::Manual { record, .. } if record.is_empty() => on(Clean::ours("it is done: go on")),
        NodeKind::Manual { record, .. } => on(say!("it is done: write down {}", record)),
        NodeKind::End { .. } => on(Clean::ours("how it went, stage by stage")),
    }
}

fn key(scene: &Scene<'_>, action: Action) -> Option<String> {
    scene.key(Pane::Runbook, action)
}

fn waits(words: Clean) -> Next {
    Next { key: None, words }
}

/// The key that goes on. Where it means something else in the pane in focus, the way to the
/// runbook comes first.
fn go_on(scene: &Scene<'_>) -> Option<String> {
    by_way_of_runbook(scene, key(scene, Action::GoOn)?, goes_on(scene.state))
}

/// Whether the key that goes on does so in the pane in focus.
pub fn goes_on(state: &State) -> bool {
    match (state.view.focus, state.step()) {
        (Pane::Runbook, _) | (Pane::Preflight, Some(StepKind::Preflight)) => true,
        (Pane::Revisions, Some(StepKind::ChooseTarget)) => true,
        (Pane::Migrations, Some(step @ (StepKind::CleanMigrations | StepKind::StaleRows))) => {
            crate::app::migrations::done(state, step)
        }
        (Pane::Checklist, Some(StepKind::Verify)) => state.checks.list.complete(),
        _ => false,
    }
}

fn by_way_of_runbook(scene: &Scene<'_>, key: String, here: bool) -> Option<String> {
    if here {
        return Some(key);
    }
    let runbook = scene.key(scene.state.view.focus, Action::PaneRunbook)?;
    Some(format!("{runbook} {key}"))
}

/// The keys of the answers.
pub fn numbers(scene: &Scene<'_>, choices: usize) -> Option<String> {
    let first = key(scene, Action::Choose1)?;
    let keys = if choices > 1 { format!("{first}-{choices}") } else { first };
    by_way_of_runbook(scene, keys, scene.state.view.focus == Pane::Runbook)
}

fn of_step(scene: &Scene<'_>, step: StepKind) -> Next {
    let state = scene.state;
    let on = |words: Clean| Next { key: go_on(scene), words };
    let leave = |words: Clean| Next { key: key(scene, Action::StepFailed), words };
    if !state.running.is_empty() && step != StepKind::Verify {
        return waits(Clean::ours("it runs"));
    }
    match step {
        StepKind::Preflight => preflight(scene),
        StepKind::Backup => match &state.setting.missing.backup {
            Some(why) => leave(say!("leave the step: {}", why.what)),
            None => on(Clean::ours("dump the database; asks how first")),
        },
        StepKind::ChooseTarget => on(match evidence(state, Fact::TargetChosen).holds {
            Some(true) => Clean::ours("every target is chosen: go on"),
            _ if state.view.focus == Pane::Revisions => Clean::ours("make the selected revision the target"),
            _ => Clean::ours("choose a revision"),
        }),
        StepKind::Revert | StepKind::Restart => change(scene, step),
        StepKind::CleanMigrations => migrations(scene),
        StepKind::StaleRows => stale(scene),
        StepKind::Verify => verify(scene),
        StepKind::Restore => match (&state.setting.missing.backup, state.incident.last_act_here()) {
            (Some(why), _) => leave(say!("leave the step: {}", why.what)),
            (None, Some((_, act))) if act.done() => on(Clean::ours("read what the new database lacks")),
            (None, _) => on(Clean::ours("show what a restore takes; asks before it makes anything")),
        },
        StepKind::ClearCache => match &state.setting.missing.cache {
            Some(why) => leave(say!("leave the step: {}", why.what)),
            None => armed_first(scene, Clean::ours("count the keys; asks before it deletes")),
        },
    }
}

fn preflight(scene: &Scene<'_>) -> Next {
    let findings = scene.findings();
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    match (of(Severity::Waiting), of(Severity::Blocks)) {
        (0, 0) => {
            Next { key: go_on(scene), words: say!("nothing blocks, {}: go on", Many(of(Severity::Warns), "warning")) }
        }
        (0, 1) => Next { key: go_on(scene), words: Clean::ours("go on, with one finding that blocks a step") },
        (0, blocks) => Next { key: go_on(scene), words: say!("go on, with {} findings that block a step", blocks) },
        _ => {
            let open = findings.iter().find(|finding| finding.severity == Severity::Waiting);
            waits(open.map_or(Clean::default(), |finding| finding.what.clone()))
        }
    }
}

fn armed_first(scene: &Scene<'_>, words: Clean) -> Next {
    if scene.state.armed() {
        Next { key: go_on(scene), words }
    } else {
        Next { key: key(scene, Action::Arm), words: say!("arm first; then {}", words) }
    }
}

fn change(scene: &Scene<'_>, step: StepKind) -> Next {
    match runbook::progress(scene.state, step) {
        Progress::Next(reference) => armed_first(scene, say!("show what will be sent to {}", reference)),
        Progress::Acting => waits(Clean::ours("it runs")),
        Progress::Rolling(reference, why) => waits(say!("{} rolls out: {}", reference, why)),
        Progress::Failed(reference, why) => Next {
            key: key(scene, Action::StepFailed),
            words: say!("the rollout of {} failed ({}): leave the step", reference, why),
        },
        Progress::NoTarget(reference) => {
            Next { key: key(scene, Action::PaneRevisions), words: say!("choose a target for {}", reference) }
        }
        Progress::Nothing => Next {
            key: key(scene, Action::StepFailed),
            words: Clean::ours("no workload is configured: leave the step"),
        },
        Progress::Done => Next { key: go_on(scene), words: Clean::ours("rolled out: go on") },
    }
}

fn migrations(scene: &Scene<'_>) -> Next {
    let state = scene.state;
    let failed = evidence(state, Fact::NoFailedMigration);
    match failed.holds {
        Some(true) => Next { key: go_on(scene), words: say!("{}: go on", failed.words) },
        None => waits(failed.words),
        Some(false) if !state.armed() => armed_first(scene, Clean::ours("delete or resolve the failed rows")),
        Some(false) if state.view.focus == Pane::Migrations => Next {
            key: scene.key(Pane::Migrations, Action::DeleteRow),
            words: Clean::ours("delete the selected failed row; asks first"),
        },
        Some(false) => {
            Next { key: key(scene, Action::PaneMigrations), words: Clean::ours("to the failed migration rows") }
        }
    }
}

fn stale(scene: &Scene<'_>) -> Next {
    let state = scene.state;
    let found = evidence(state, Fact::RowWithoutObject);
    match crate::app::migrations::stale(state).map(|rows| rows.len()) {
        Some(0) => Next { key: go_on(scene), words: say!("{}: go on", found.words) },
        None if found.holds.is_some() => {
            Next { key: key(scene, Action::StepFailed), words: say!("leave the step: {}", found.words) }
        }
        None => waits(found.words),
        Some(_) if !state.armed() => armed_first(scene, Clean::ours("delete the stale rows")),
        Some(_) if state.view.focus == Pane::Migrations => Next {
            key: scene.key(Pane::Migrations, Action::DeleteRow),
            words: Clean::ours("delete the selected row, where it says delete; asks first"),
        },
        Some(_) => Next { key: key(scene, Action::PaneMigrations), words: Clean::ours("to the stale migration rows") },
    }
}

fn verify(scene: &Scene<'_>) -> Next {
    let state = scene.state;
    let checks = state.checks.list.checks();
    if state.checks.list.complete() {
        return Next { key: go_on(scene), words: Clean::ours("everything is ticked: go on") };
    }
    let needs = checks.iter().any(|check| check.verdict.mark == Mark::NeedsConsent);
    if needs && !state.incident.consented {
        return Next { key: go_on(scene), words: Clean::ours("allow checks that call real models") };
    }
    match checks.iter().find(|check| check.verdict.mark == Mark::Failed) {
        Some(check) => Next {
            key: key(scene, Action::StepFailed),
            words: say!("{} failed; it is tried again, or leave the step", check.id.title()),
        },
        None => {
            let (settled, all) = state.checks.list.tally();
            waits(say!("{} of {} checks; they go on by themselves", settled, all))
        }
    }
}
