//! Changing Deployments: dry run, schema guard, review, act, and what came of any act.

use crate::app::action::Pane;
use crate::app::effect::{Act, Effect, Look, LookId};
use crate::app::msg::Done;
use crate::app::overlay::{Overlay, Purpose, Refused, Review};
use crate::app::state::{Asking, State, Told, Tone};
use crate::app::{checks, update};
use crate::domain::change::{Change, ChangeKind, Newest, Preview, Refusal, clear};
use crate::domain::cluster::{Ask, WorkloadRef};
use crate::domain::image::Image;
use crate::domain::record::{ActId, End, Entry};
use crate::domain::runbook::NodeRef;
use crate::domain::step::StepKind;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::Workload;
use crate::text::Clean;

/// Whether the cluster lets us patch; unknown permissions are left to the server.
pub fn permitted(state: &State) -> Result<(), Clean> {
    let denied = state.permissions.last().and_then(|permissions| {
        permissions
            .iter()
            .find(|permission| permission.ask == Ask::PatchDeployment && permission.allowed == Some(false))
    });
    match denied {
        Some(permission) => Err(say!(
            "you may not `patch deployments.apps` here{}; ask for that permission, or hand over to somebody who has it",
            if permission.reason.is_empty() { Clean::default() } else { say!(" ({})", permission.reason) }
        )),
        None => Ok(()),
    }
}

fn selected_workload(state: &State) -> Option<WorkloadRef> {
    let workload = match state.view.focus {
        Pane::Revisions => {
            let revisions = state.revisions();
            revisions
                .get(state.view.selected(Pane::Revisions, revisions.len()))
                .map(|(workload, _)| workload.reference.clone())
        }
        Pane::Pods => {
            let pods = state.pods();
            pods.get(state.view.selected(Pane::Pods, pods.len())).map(|pod| pod.workload.clone())
        }
        _ => None,
    };
    workload.or_else(|| state.setting.workloads.first().cloned())
}

/// Asks for a change of the selected workload, outside the runbook.
pub fn on_selected(state: &mut State, kind: impl FnOnce(&Workload) -> ChangeKind) -> Vec<Effect> {
    let Some(workload) = selected_workload(state).and_then(|reference| state.workload(&reference)) else {
        state.tell(Tone::Warn, Clean::ours("the workload is not known yet"));
        return Vec::new();
    };
    let change = Change::on(workload, kind(workload), false);
    let step = match change.kind {
        ChangeKind::Restart { .. } => StepKind::Restart,
        _ => StepKind::Revert,
    };
    preview(state, change, step, None)
}

/// Reverts to the selected revision.
pub fn revert_selected(state: &mut State) -> Vec<Effect> {
    let revisions = state.revisions();
    let Some((_, revision)) = revisions.get(state.view.selected(Pane::Revisions, revisions.len())) else {
        return Vec::new();
    };
    let kind = ChangeKind::Revert { to: revision.uid.clone(), revision: revision.number };
    on_selected(state, |_| kind)
}

/// Restarts the selected workload.
pub fn restart_selected(state: &mut State) -> Vec<Effect> {
    let at = state.now;
    on_selected(state, |_| ChangeKind::Restart { at })
}

fn main_container(state: &State) -> Option<crate::domain::name::Name> {
    let workload = state.workload(&selected_workload(state)?)?;
    workload.template.main().map(|container| container.name.clone())
}

/// Asks for an image.
pub fn ask_image(state: &mut State) -> Vec<Effect> {
    if let Some(container) = main_container(state) {
        state.overlays.push(Overlay::text(Purpose::Image { container }));
    }
    Vec::new()
}

/// Asks for a variable.
pub fn ask_variable(state: &mut State) -> Vec<Effect> {
    if let Some(container) = main_container(state) {
        state.overlays.push(Overlay::text(Purpose::Variable { container }));
    }
    Vec::new()
}

/// Shows what differs between the live template and the selected revision's.
pub fn diff_selected(state: &mut State) -> Vec<Effect> {
    let revisions = state.revisions();
    let Some((workload, revision)) = revisions.get(state.view.selected(Pane::Revisions, revisions.len())) else {
        return Vec::new();
    };
    let title = say!("{}: live template against revision {}", workload.reference, revision.number);
    let lines = workload.template.diff(&revision.template);
    state.overlays.push(Overlay::Diff { title, lines, scroll: 0 });
    Vec::new()
}

/// The next change of a step of the runbook.
pub fn next(state: &mut State, reference: &WorkloadRef, step: StepKind, node: Option<NodeRef>) -> Vec<Effect> {
    let Some(workload) = state.workload(reference) else {
        state.tell(Tone::Plain, say!("{} is not known yet", reference));
        return Vec::new();
    };
    let kind = match (step, state.incident.targets.get(reference)) {
        (StepKind::Restart, _) => ChangeKind::Restart { at: state.now },
        (_, Some(target)) => ChangeKind::Revert { to: target.uid.clone(), revision: target.revision },
        (_, None) => return Vec::new(),
    };
    let change = Change::on(workload, kind, false);
    preview(state, change, step, node)
}

/// Asks for the dry run of a change.
pub fn preview(state: &mut State, change: Change, step: StepKind, node: Option<NodeRef>) -> Vec<Effect> {
    if let Some(why) = &state.setting.missing.workloads {
        let words = why.sentence();
        state.tell(Tone::Warn, words);
        return Vec::new();
    }
    if let Some((why, instead)) = state.workload(&change.workload).and_then(|workload| workload.owner.forbids_patch()) {
        return refused(state, &change.sentence(), &say!("{} is not patched: {}; {}", change.workload, why, instead));
    }
    if state.workload(&change.workload).is_some_and(|workload| workload.paused) {
        let why = say!(
            "{} is paused; resume it first: kubectl -n {} rollout resume {}",
            change.workload,
            change.workload.namespace,
            change.workload
        );
        return refused(state, &change.sentence(), &why);
    }
    let mut effects: Vec<Effect> = Vec::new();
    if let Some(before) = state.asking.take() {
        state.looks.remove(&before.look);
        effects.push(Effect::Drop(before.look));
    }
    let words = say!("asking the server what would come of it: {}", change.sentence());
    state.tell(Tone::Plain, words);
    let effect = state.look(Look::Preview(Box::new(change)));
    if let Effect::Look(look, _) = &effect {
        state.asking = Some(Asking { look: *look, step, node });
    }
    effects.push(effect);
    effects
}

/// The newest gateway image known to have run against this database: all templates and pods of
/// all workloads, because they share it.
pub fn newest(state: &State) -> Newest {
    let workloads: Vec<&Workload> =
        state.setting.workloads.iter().filter_map(|reference| state.workload(reference)).collect();
    let pods = state.pods();
    let images = pods
        .iter()
        .flat_map(|pod| pod.containers.iter())
        .map(|container| &container.image)
        .filter(|image| image.is_litellm());
    let templates = workloads
        .iter()
        .flat_map(|workload| workload.revisions.iter().map(|revision| &revision.template).chain([&workload.template]));
    let gateways = templates.flat_map(crate::domain::change::gateway_containers).map(|container| &container.image);
    Newest::of(gateways.chain(images).collect::<Vec<&Image>>())
}

/// The dry run came back: judged by the schema guard, then shown or refused.
pub fn previewed(state: &mut State, look: LookId, result: Result<Box<Preview>, Trouble>) -> Vec<Effect> {
    let Some(asking) = state.asking.take_if(|asking| asking.look == look) else { return Vec::new() };
    let preview = match result {
        Ok(preview) => *preview,
        Err(why) => {
            let words = say!("nothing was changed: {}", why.sentence());
            state.tell(Tone::Bad, words.clone());
            return vec![
                state.commit(Entry::Refused { asked: asking.step.title().to_owned(), why: words.to_string() }),
            ];
        }
    };
    match clear(&preview, &newest(state)) {
        Ok(cleared) => {
            state.overlays.push(Overlay::Review(Box::new(Review { preview, cleared, asking, scroll: 0 })));
            Vec::new()
        }
        Err(refusal) => {
            let Refusal { what, remedy, .. } = &refusal;
            let effects = refused(state, &preview.change.sentence(), &say!("{}; {}", what, remedy));
            state.overlays.push(Overlay::Refused(Box::new(Refused { change: preview.change, refusal, asking })));
            effects
        }
    }
}

fn refused(state: &mut State, asked: &Clean, why: &Clean) -> Vec<Effect> {
    state.tell(Tone::Bad, why.clone());
    vec![state.commit(Entry::Refused { asked: asked.to_string(), why: why.to_string() })]
}

/// The operator said yes.
pub fn apply(state: &mut State, review: Review) -> Vec<Effect> {
    if let Err(why) = state.may_change().and_then(|()| permitted(state)) {
        state.tell(Tone::Warn, why);
        state.overlays.push(Overlay::Review(Box::new(review)));
        return Vec::new();
    }
    let told =
        Told::change(&review.preview.change, review.asking.step, review.cleared.why(), state.setting.context.as_ref());
    let node = review.asking.node;
    vec![state.announce(Act::Apply(Box::new(review.cleared)), node, told)]
}

/// An act ended: written down, told, and followed up.
pub fn acted(state: &mut State, id: ActId, result: Result<Done, Trouble>) -> Vec<Effect> {
    if state.running.remove(&id).is_none() {
        return Vec::new();
    }
    match result {
        Ok(done) => succeeded(state, id, done),
        Err(why) => failed(state, id, &why),
    }
}

fn succeeded(state: &mut State, id: ActId, done: Done) -> Vec<Effect> {
    let mut kept = None;
    let words = match &done {
        Done::Applied(words) | Done::Restored(words) => words.clone(),
        Done::Kept(row) => {
            kept = Some(row.clone());
            say!("{}; the row is kept and can be put back", row.name)
        }
        Done::Backup(proof) => {
            say!("{}: {} bytes, read back in full, {} tables counted", proof.file, proof.bytes, proof.rows.len())
        }
        Done::Completed(completion) => say!("{} answered as {}", completion.model, completion.id),
    };
    let tone = if matches!(done, Done::Completed(_)) { Tone::Plain } else { Tone::Good };
    state.tell(tone, words.clone());
    let mut effects = vec![state.commit(Entry::Finished { act: id, end: End::Done, words: words.to_string(), kept })];
    match done {
        Done::Kept(_) | Done::Restored(_) => effects.push(state.look(Look::Migrations)),
        Done::Completed(completion) => checks::completed(state, Ok(*completion)),
        Done::Applied(_) => checks::changed(state),
        Done::Backup(_) => {}
    }
    effects
}

fn failed(state: &mut State, id: ActId, why: &Trouble) -> Vec<Effect> {
    let end = if why.kind == TroubleKind::Unknown { End::Unknown } else { End::Failed };
    let words = why.sentence();
    state.tell(Tone::Bad, words.clone());
    let mut effects = vec![state.commit(update::finished(id, end, &words))];
    if state.incident.acts.get(&id).is_some_and(|act| act.kind == crate::domain::record::ActKind::Complete) {
        checks::completed(state, Err(why.clone()));
    } else if end == End::Unknown {
        state.overlays.push(Overlay::Unknown(id));
    }
    if state.setting.missing.database.is_none() {
        effects.push(state.look(Look::Migrations));
    }
    effects
}
