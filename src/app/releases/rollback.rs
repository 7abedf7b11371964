//! The rollback of a release: judged, reviewed, sent.

use jiff::{SignedDuration, Timestamp};
use tui_input::Input;

use super::facts;
use crate::app::effect::{Act, Effect};
use crate::app::overlay::Overlay;
use crate::app::state::{State, Told, Tone};
use crate::app::{coupling, forecast, migrations};
use crate::domain::acceptance::{Acceptance, Undertaking};
use crate::domain::change::Refusal;
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::{Answer, Confirm, Confirmed};
use crate::domain::coupled::Doubts;
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::record::{ActKind, Entry};
use crate::domain::release::{Concern, ReleaseRevision, concerns, review_lines};
use crate::domain::rollback::{ClearedRollback, clear, plan};
use crate::domain::runbook::NodeRef;
use crate::domain::workload::FieldChange;
use crate::text::Clean;

/// How long a review is trusted.
const TRUSTED: SignedDuration = SignedDuration::from_secs(120);

/// A rollback that the guard let through, waiting for the operator's yes.
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackReview {
    /// The proof that the guard let it through.
    pub cleared: ClearedRollback,
    /// What must be known before.
    pub concerns: Vec<Concern>,
    /// What changes, line by line.
    pub lines: Vec<FieldChange>,
    /// The node that it belongs to.
    pub node: Option<NodeRef>,
    /// When it was judged.
    pub at: Timestamp,
    /// How far the diff is scrolled.
    pub scroll: usize,
    /// The doubts that were typed away.
    pub heeded: Option<Confirmed<Doubts>>,
    /// The losses that were accepted by typing.
    pub accepted: Option<Box<Confirmed<Acceptance>>>,
}

/// A rollback that was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedRollback {
    /// What was asked for.
    pub asked: Clean,
    /// Why not.
    pub refusal: Refusal,
    /// The node that it belongs to.
    pub node: Option<NodeRef>,
    /// How far what is at stake is scrolled.
    pub scroll: usize,
}

/// Judges a rollback on what is known now, and shows it or refuses it.
pub fn ask(state: &mut State, reference: &WorkloadRef, to: ReleaseRevision, node: Option<NodeRef>) -> Vec<Effect> {
    ask_with(state, reference, to, node, None)
}

/// The same with the losses that were accepted for it.
fn ask_with(
    state: &mut State,
    reference: &WorkloadRef,
    to: ReleaseRevision,
    node: Option<NodeRef>,
    accepted: Option<Box<Confirmed<Acceptance>>>,
) -> Vec<Effect> {
    match judged(state, reference, to, accepted.as_deref()) {
        Err(why) => {
            state.tell(Tone::Warn, why);
            Vec::new()
        }
        Ok(Err((asked, refusal))) => {
            let refused = RefusedRollback { asked, refusal, node, scroll: 0 };
            let (asked, why) =
                (refused.asked.to_string(), say!("{}; {}", refused.refusal.what, refused.refusal.remedy));
            state.tell(Tone::Bad, why.clone());
            state.overlays.push(Overlay::RefusedRollback(Box::new(refused)));
            vec![state.commit(Entry::Refused { asked, why: why.to_string() })]
        }
        Ok(Ok((cleared, concerns, lines))) => {
            let at = state.now;
            let review = RollbackReview { cleared, concerns, lines, node, at, scroll: 0, heeded: None, accepted };
            match doubts(state, &review) {
                Some(doubts) => doubt(state, review, doubts),
                None => {
                    state.overlays.push(Overlay::Rollback(Box::new(review)));
                    Vec::new()
                }
            }
        }
    }
}

/// What a person must have read before the rollback, beside what Helm itself does: what the target
/// leans on is in no manifest of the release, or its salt key opens nothing.
fn doubts(state: &State, review: &RollbackReview) -> Option<Doubts> {
    let rollback = review.cleared.rollback();
    coupling::doubts(state, &rollback.workload, &Goal::Release(rollback.release.clone(), rollback.to))
}

/// Something speaks against the rollback: it is named, and goes on only by typing its name.
fn doubt(state: &mut State, review: RollbackReview, doubts: Doubts) -> Vec<Effect> {
    let why = doubts.each().iter().map(|doubt| say!("{}; {}", doubt.why, doubt.remedy));
    let why = why.reduce(|all, one| say!("{}; {}", all, one)).unwrap_or_default();
    state.tell(Tone::Bad, why.clone());
    let asked = review.cleared.rollback().sentence().to_string();
    let confirm = Box::new(Confirm::new(doubts));
    state.overlays.push(Overlay::RollbackDoubts { review: Box::new(review), confirm, input: Input::default() });
    vec![state.commit(Entry::Refused { asked, why: why.to_string() })]
}

/// The name of what speaks against a rollback was typed.
pub fn doubts_typed(state: &mut State, review: RollbackReview, confirm: Confirm<Doubts>, typed: &str) -> Vec<Effect> {
    let confirm = match confirm.answer(typed.trim()) {
        Answer::Yes(heeded) => {
            let review = RollbackReview { heeded: Some(heeded), ..review };
            state.overlays.push(Overlay::Rollback(Box::new(review)));
            return Vec::new();
        }
        Answer::More(confirm) => confirm,
        Answer::No(confirm) => {
            state.tell(Tone::Bad, say!("that does not match; type {}", confirm.wanted()));
            confirm
        }
    };
    let (confirm, input) = (Box::new(confirm), Input::default());
    state.overlays.push(Overlay::RollbackDoubts { review: Box::new(review), confirm, input });
    Vec::new()
}

/// Asks for the name of each object that the refused rollback may lose.
pub fn ask_acceptance(state: &mut State, refused: RefusedRollback) {
    if let Some(acceptance) = refused.refusal.acceptance {
        let (confirm, input) = (Box::new(Confirm::new(*acceptance)), Input::default());
        state.overlays.push(Overlay::AcceptRollback { confirm, node: refused.node, input, scroll: 0 });
    }
}

/// One of these names was typed. After the last one the rollback is judged anew: one object more
/// than was typed refuses it.
pub fn acceptance_typed(
    state: &mut State,
    confirm: Confirm<Acceptance>,
    node: Option<NodeRef>,
    typed: &str,
) -> Vec<Effect> {
    match migrations::typed_phrase(state, confirm, typed) {
        Ok(proof) => {
            let Undertaking::Rollback(rollback) = &proof.subject().of else { return Vec::new() };
            let (workload, to) = (rollback.workload.clone(), rollback.to);
            ask_with(state, &workload, to, node, Some(Box::new(proof)))
        }
        Err(asked) => {
            let (confirm, input) = (Box::new(asked), Input::default());
            state.overlays.push(Overlay::AcceptRollback { confirm, node, input, scroll: 0 });
            Vec::new()
        }
    }
}

/// What is let through with what is known of it, or what was asked for and why it is not.
type Judged = Result<(ClearedRollback, Vec<Concern>, Vec<FieldChange>), (Clean, Refusal)>;

fn judged(
    state: &State,
    reference: &WorkloadRef,
    to: ReleaseRevision,
    accepted: Option<&Confirmed<Acceptance>>,
) -> Result<Judged, Clean> {
    if let Some(why) = &state.setting.missing.releases {
        return Err(why.sentence());
    }
    if let Live::Lost { why, .. } | Live::Absent(why) = &state.releases.program {
        return Err(why.sentence());
    }
    let seen = state.watched.get(reference).and_then(|watched| watched.workload.fresh());
    let workload = seen.ok_or_else(|| say!("{} is not seen right now", reference))?;
    let forecast = forecast::facts(state);
    let facts = facts(state, workload, to, &forecast)?;
    if coupling::waits(state, reference, &Goal::Release(facts.target.name.clone(), to)) {
        return Err(say!(
            "what revision {} leans on is being read, and the API server tries the rollback; ask again in a moment",
            to
        ));
    }
    Ok(match clear(&facts, accepted) {
        Ok(cleared) => Ok((cleared, concerns(&facts), review_lines(facts.current, facts.target))),
        Err(refusal) => Err((plan(&facts).sentence(), refusal)),
    })
}

/// The operator said yes. What was judged is judged again, on what is known now.
pub fn roll_back(state: &mut State, review: RollbackReview) -> Vec<Effect> {
    if let Err(why) = state.may_change() {
        state.tell(Tone::Warn, why);
        state.overlays.push(Overlay::Rollback(Box::new(review)));
        return Vec::new();
    }
    // What was learnt since the review opened counts as well.
    if let Some(doubts) = doubts(state, &review)
        && review.heeded.as_ref().is_none_or(|heeded| heeded.subject() != &doubts)
    {
        return doubt(state, review, doubts);
    }
    let rollback = review.cleared.rollback();
    let (reference, to) = (rollback.workload.clone(), rollback.to);
    let fresh = state.now.duration_since(review.at).abs() <= TRUSTED;
    match judged(state, &reference, to, review.accepted.as_deref()) {
        Ok(Ok((cleared, concerns, _))) if fresh && cleared == review.cleared && same(&concerns, &review.concerns) => {
            let mut told = told(&cleared, &concerns, state);
            let heeded = review.heeded.iter().flat_map(|heeded| heeded.subject().each());
            told.notes.extend(heeded.map(|doubt| say!("gone past, with {} typed: {}", doubt.phrase, doubt.why)));
            vec![state.announce(Act::Rollback(Box::new(cleared)), review.node, told)]
        }
        // Something is different from what was read: it is shown again.
        _ => ask_with(state, &reference, to, review.node, review.accepted),
    }
}

/// Whether the same rules speak: the words of some hold an age.
fn same(now: &[Concern], before: &[Concern]) -> bool {
    now.iter().map(|concern| concern.id).eq(before.iter().map(|concern| concern.id))
}

fn told(cleared: &ClearedRollback, concerns: &[Concern], state: &State) -> Told {
    let rollback = cleared.rollback();
    let mut notes = vec![say!("guard: {}", cleared.why())];
    notes.extend(cleared.accepted().into_iter().flat_map(Acceptance::notes));
    notes.extend(concerns.iter().map(|concern| say!("{}: {}; {}", concern.id, concern.what, concern.consequence)));
    Told {
        kind: ActKind::Rollback {
            workload: rollback.workload.clone(),
            release: rollback.release.clone(),
            from: rollback.from,
            to: rollback.to,
        },
        words: rollback.sentence(),
        command: rollback.command(state.setting.context.as_ref()),
        notes,
    }
}
