//! Changing Deployments: dry run, schema guard, review, and the act.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use tui_input::Input;

use crate::app::action::Pane;
use crate::app::coupling;
use crate::app::effect::{Act, Effect, Look, LookId};
use crate::app::forecast;
use crate::app::migrations;
use crate::app::overlay::{Overlay, Purpose, Refused, Review};
use crate::app::past::Past;
use crate::app::releases;
use crate::app::state::{Asking, State, Told, Tone};
use crate::domain::acceptance::{Acceptance, Undertaking};
use crate::domain::change::{Change, ChangeKind, Preview, clear};
use crate::domain::cluster::{Ask, WorkloadRef};
use crate::domain::confirm::{Answer, Confirm, Confirmed};
use crate::domain::coupled::Doubts;
use crate::domain::forecast::{Newest, gateway_containers};
use crate::domain::image::Image;
use crate::domain::incident::{Goal, Target};
use crate::domain::name::Name;
use crate::domain::record::Entry;
use crate::domain::runbook::NodeRef;
use crate::domain::step::StepKind;
use crate::domain::trouble::Trouble;
use crate::domain::workload::Workload;
use crate::text::Clean;

/// How long a dry run is trusted.
const TRUSTED: SignedDuration = SignedDuration::from_secs(120);

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

/// The workload of the selected line of the pane in focus, else the first one.
fn selected_workload(state: &State) -> Option<WorkloadRef> {
    let workload = match state.view.focus {
        Pane::Revisions => selected_revision(state).map(|past| past.workload().reference.clone()),
        Pane::Pods => {
            let pods = state.pods();
            pods.get(state.view.selected(Pane::Pods, pods.len())).map(|pod| pod.workload.clone())
        }
        _ => None,
    };
    workload.or_else(|| state.setting.workloads.first().cloned())
}

/// The selected line of the revisions pane.
pub fn selected_revision(state: &State) -> Option<Past<'_>> {
    let revisions = state.revisions();
    revisions.get(state.view.selected(Pane::Revisions, revisions.len())).copied()
}

/// Reverts to the selected revision.
pub fn revert_selected(state: &mut State) -> Vec<Effect> {
    let Some(past) = selected_revision(state) else { return Vec::new() };
    let (reference, goal, number) = (past.workload().reference.clone(), past.goal(), past.number());
    match goal {
        Goal::Template(to) => ask(state, &reference, ChangeKind::Revert { to, revision: number }),
        Goal::Release(_, to) => releases::ask(state, &reference, to, None),
    }
}

/// Restarts the selected workload.
pub fn restart_selected(state: &mut State) -> Vec<Effect> {
    let at = state.now;
    match selected_workload(state) {
        Some(reference) => ask(state, &reference, ChangeKind::Restart { at }),
        None => Vec::new(),
    }
}

fn ask_text(state: &mut State, purpose: impl FnOnce(WorkloadRef, Name) -> Purpose) -> Vec<Effect> {
    let found = selected_workload(state).and_then(|reference| {
        let container = state.workload(&reference)?.template.main()?.name.clone();
        Some((reference, container))
    });
    match found {
        Some((workload, container)) => state.overlays.push(Overlay::text(purpose(workload, container))),
        None => state.tell(Tone::Warn, Clean::ours("the workload is not known yet")),
    }
    Vec::new()
}

/// Asks for an image.
pub fn ask_image(state: &mut State) -> Vec<Effect> {
    ask_text(state, |workload, container| Purpose::Image { workload, container })
}

/// Asks for a variable.
pub fn ask_variable(state: &mut State) -> Vec<Effect> {
    ask_text(state, |workload, container| Purpose::Variable { workload, container })
}

/// Shows what differs between the live template and the selected revision's.
pub fn diff_selected(state: &mut State) -> Vec<Effect> {
    let Some(past) = selected_revision(state) else { return Vec::new() };
    let (title, lines) = match past {
        Past::Template(workload, revision) => (
            say!("{}: live template against revision {}", workload.reference, revision.number),
            workload.template.diff(&revision.template),
        ),
        Past::Release(workload, known, row, _) => match releases::diff(state, workload, row.revision) {
            Ok((current, lines)) => {
                (say!("Helm release {}: revision {} against revision {}", known.release, current, row.revision), lines)
            }
            Err(why) => {
                state.tell(Tone::Warn, why);
                return Vec::new();
            }
        },
    };
    state.overlays.push(Overlay::Diff { title, lines, scroll: 0 });
    Vec::new()
}

/// Asks for a change outside the runbook.
pub fn ask(state: &mut State, reference: &WorkloadRef, kind: ChangeKind) -> Vec<Effect> {
    let step = match kind {
        ChangeKind::Restart { .. } => StepKind::Restart,
        ChangeKind::Revert { .. } | ChangeKind::SetImage { .. } | ChangeKind::SetVariable { .. } => StepKind::Revert,
    };
    preview_on(state, reference, kind, step, None)
}

/// The next change of a step of the runbook.
pub fn next(state: &mut State, reference: &WorkloadRef, step: StepKind, node: Option<NodeRef>) -> Vec<Effect> {
    let kind = match (step, state.incident.targets.get(reference).cloned()) {
        (StepKind::Restart, _) => ChangeKind::Restart { at: state.now },
        (_, Some(Target { goal: Goal::Template(to), revision, .. })) => ChangeKind::Revert { to, revision },
        (_, Some(Target { goal: Goal::Release(_, to), .. })) => return releases::ask(state, reference, to, node),
        (_, None) => return Vec::new(),
    };
    preview_on(state, reference, kind, step, node)
}

fn preview_on(
    state: &mut State,
    reference: &WorkloadRef,
    kind: ChangeKind,
    step: StepKind,
    node: Option<NodeRef>,
) -> Vec<Effect> {
    match state.workload(reference) {
        Some(workload) => {
            let change = Change::on(workload, kind, false);
            preview(state, change, step, node, None)
        }
        None => {
            state.tell(Tone::Warn, say!("{} is not known yet", reference));
            Vec::new()
        }
    }
}

/// Why a workload must not be changed by us: its owner, or that it is paused.
fn hands_off(workload: &Workload, forbidden: Option<(Clean, Clean)>) -> Option<Clean> {
    let reference = &workload.reference;
    if let Some((why, instead)) = forbidden {
        return Some(say!("{} is not patched: {}; {}", reference, why, instead));
    }
    workload.paused.then(|| {
        say!(
            "{} is paused; resume it first: kubectl -n {} rollout resume {}",
            reference,
            reference.namespace,
            reference
        )
    })
}

/// Whether the template of a workload may be patched by us, as far as is known.
///
/// # Errors
/// Who owns it, that it is paused, or the permission that is missing.
pub fn may_touch(state: &State, workload: &Workload) -> Result<(), Clean> {
    hands_off(workload, workload.owner.forbids_patch()).map_or_else(|| permitted(state), Err)
}

/// Asks for the dry run of a change, with the losses that were accepted for it.
pub fn preview(
    state: &mut State,
    change: Change,
    step: StepKind,
    node: Option<NodeRef>,
    accepted: Option<Box<Confirmed<Acceptance>>>,
) -> Vec<Effect> {
    if let Some(why) = &state.setting.missing.workloads {
        let words = why.sentence();
        state.tell(Tone::Warn, words);
        return Vec::new();
    }
    let owned = state.workload(&change.workload);
    if let Some(why) = owned.and_then(|workload| hands_off(workload, change.forbidden_by(&workload.owner))) {
        return refused(state, &change.sentence(), &why);
    }
    let (look, effect) = state.look_numbered(Look::Preview(Box::new(change.clone())));
    let asking = Asking { look, step, node, accepted };
    state.overlays.push(Overlay::Asking { change: Box::new(change), asking });
    vec![effect]
}

/// The newest gateway image known to have run against this database: all templates, pods and
/// Jobs of all workloads, because they share it, and what was seen before in this incident.
/// Unseen while any of them is not seen.
pub fn newest(state: &State) -> Newest {
    let mut images: Vec<&Image> = state.incident.newest.iter().collect();
    for reference in &state.setting.workloads {
        let Some(watched) = state.watched.get(reference) else { continue };
        let (Some(workload), Some(pods)) = (watched.workload.fresh(), watched.pods.fresh()) else {
            return Newest::Unseen(reference.clone());
        };
        let templates = workload.revisions.iter().map(|revision| &revision.template).chain([&workload.template]);
        images.extend(templates.flat_map(gateway_containers).map(|container| &container.image));
        // Thousands of pods run two or three images.
        let running: BTreeSet<&Image> =
            pods.values().flat_map(|pod| &pod.containers).map(|container| &container.image).collect();
        images.extend(running.into_iter().filter(|image| image.is_litellm()));
        images.extend(workload.jobs.iter().flatten().filter_map(|job| job.image.as_ref()));
    }
    Newest::of(images)
}

/// Remembers the newest image on record, because the revision that names it may be pruned.
pub fn remember_newest(state: &mut State) -> Vec<Effect> {
    match newest(state) {
        Newest::Known(image) if state.incident.id.is_some() && state.incident.newest.as_ref() != Some(&image) => {
            vec![state.commit(Entry::Saw { image })]
        }
        _ => Vec::new(),
    }
}

/// The dry run came back: judged by the schema guard, then shown or refused, in the place of the
/// dialog that waits for it. Without that dialog nobody waits any more.
pub fn previewed(state: &mut State, look: LookId, result: Result<Box<Preview>, Trouble>) -> Vec<Effect> {
    let waits = |overlay: &Overlay| matches!(overlay, Overlay::Asking { asking, .. } if asking.look == look);
    let Some(at) = state.overlays.iter().position(waits) else { return Vec::new() };
    let Overlay::Asking { change, asking } = state.overlays.remove(at) else { return Vec::new() };
    let preview = match result {
        Ok(preview) => *preview,
        Err(why) => return refused(state, &change.sentence(), &say!("nothing was changed: {}", why.sentence())),
    };
    match clear(&preview, &forecast::facts(state), asking.accepted.as_deref()) {
        Ok(cleared) => {
            let review = Review { preview, cleared, asking, at: state.now, scroll: 0, heeded: None };
            match coupling::doubts_about(state, &review.preview.change) {
                None => {
                    state.overlays.insert(at, Overlay::Review(Box::new(review)));
                    Vec::new()
                }
                Some(doubts) => doubt(state, at, review, doubts),
            }
        }
        Err(refusal) => {
            let effects = refused(state, &change.sentence(), &say!("{}; {}", refusal.what, refusal.remedy));
            let refused = Refused { change: preview.change, refusal, asking, scroll: 0 };
            state.overlays.insert(at, Overlay::Refused(Box::new(refused)));
            effects
        }
    }
}

/// Asks for the name of each object that the refused change may lose.
pub fn ask_acceptance(state: &mut State, refused: Refused) {
    if let Some(acceptance) = refused.refusal.acceptance {
        let (confirm, input) = (Box::new(Confirm::new(*acceptance)), Input::default());
        state.overlays.push(Overlay::Accept { confirm, asking: refused.asking, input, scroll: 0 });
    }
}

/// One of these names was typed. After the last one the dry run is asked for again: what the
/// change does is judged anew, and one object more than was typed refuses it.
pub fn acceptance_typed(state: &mut State, confirm: Confirm<Acceptance>, asking: Asking, typed: &str) -> Vec<Effect> {
    match migrations::typed_phrase(state, confirm, typed) {
        Ok(proof) => {
            let Undertaking::Change(change) = proof.subject().of.clone() else { return Vec::new() };
            preview(state, change, asking.step, asking.node, Some(Box::new(proof)))
        }
        Err(asked) => {
            let (confirm, input) = (Box::new(asked), Input::default());
            state.overlays.push(Overlay::Accept { confirm, asking, input, scroll: 0 });
            Vec::new()
        }
    }
}

fn refused(state: &mut State, asked: &Clean, why: &Clean) -> Vec<Effect> {
    state.tell(Tone::Bad, why.clone());
    vec![state.commit(Entry::Refused { asked: asked.to_string(), why: why.to_string() })]
}

/// Something speaks against the change: it is named, and goes on only by typing its name.
fn doubt(state: &mut State, at: usize, review: Review, doubts: Doubts) -> Vec<Effect> {
    let why = doubts.each().iter().map(|doubt| say!("{}; {}", doubt.why, doubt.remedy));
    let why = why.reduce(|all, one| say!("{}; {}", all, one)).unwrap_or_default();
    let effects = refused(state, &review.preview.change.sentence(), &why);
    let confirm = Box::new(Confirm::new(doubts));
    state.overlays.insert(at, Overlay::Doubts { review: Box::new(review), confirm, input: Input::default() });
    effects
}

/// The name of what speaks against a change was typed.
pub fn doubts_typed(state: &mut State, review: Review, confirm: Confirm<Doubts>, typed: &str) -> Vec<Effect> {
    let (confirm, right) = match confirm.answer(typed.trim()) {
        Answer::Yes(heeded) => {
            state.overlays.push(Overlay::Review(Box::new(Review { heeded: Some(heeded), ..review })));
            return Vec::new();
        }
        Answer::More(confirm) => (confirm, true),
        Answer::No(confirm) => (confirm, false),
    };
    if !right {
        state.tell(Tone::Bad, say!("that does not match; type {}", confirm.wanted()));
    }
    state.overlays.push(Overlay::Doubts {
        review: Box::new(review),
        confirm: Box::new(confirm),
        input: Input::default(),
    });
    Vec::new()
}

/// The operator said yes. What was judged when the dry run came back is judged again now.
pub fn apply(state: &mut State, review: Review) -> Vec<Effect> {
    if let Err(why) = state.may_change().and_then(|()| permitted(state)) {
        state.tell(Tone::Warn, why);
        state.overlays.push(Overlay::Review(Box::new(review)));
        return Vec::new();
    }
    if let Some(why) = coupling::unread(state, &review.preview.change) {
        state.tell(Tone::Warn, why);
        state.overlays.push(Overlay::Review(Box::new(review)));
        return Vec::new();
    }
    // What was learnt since the review opened counts as well.
    if let Some(doubts) = coupling::doubts_about(state, &review.preview.change)
        && review.heeded.as_ref().is_none_or(|heeded| heeded.subject() != &doubts)
    {
        let top = state.overlays.len();
        return doubt(state, top, review, doubts);
    }
    let Review { mut preview, asking, at, heeded, .. } = review;
    let seen = state.watched.get(&preview.change.workload).and_then(|watched| watched.workload.fresh());
    let (Some(workload), true) = (seen, state.now.duration_since(at).abs() <= TRUSTED) else {
        return self::preview(state, preview.change, asking.step, asking.node, asking.accepted);
    };
    if let Some(why) = hands_off(workload, preview.change.forbidden_by(&workload.owner)) {
        return refused(state, &preview.change.sentence(), &why);
    }
    let debt = preview.change.debt(&workload.owner);
    preview.jobs.clone_from(&workload.jobs);
    match clear(&preview, &forecast::facts(state), asking.accepted.as_deref()) {
        Ok(cleared) => {
            let mut told = Told::change(&cleared, state.setting.context.as_ref());
            told.notes.extend(debt.map(|debt| say!("drift: {}", debt)));
            let heeded = heeded.iter().flat_map(|heeded| heeded.subject().each());
            told.notes.extend(heeded.map(|doubt| say!("gone past, with {} typed: {}", doubt.phrase, doubt.why)));
            vec![state.announce(Act::Apply(Box::new(cleared)), asking.node, told)]
        }
        Err(refusal) => refused(state, &preview.change.sentence(), &say!("{}; {}", refusal.what, refusal.remedy)),
    }
}
