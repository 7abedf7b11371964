//! What is already known to stop orders, before anything is started.

use crate::app::effect::Exit;
use crate::app::msg::Msg;
use crate::app::pilot::Move;
use crate::app::pilot::aim::{aimed, chosen, lost};
use crate::app::pilot::orders::Orders;
use crate::app::state::State;
use crate::app::{change, coupling, forecast, migrations, releases};
use crate::domain::acceptance::{Acceptance, Undertaking};
use crate::domain::change::{Change, ChangeKind};
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::Subject as _;
use crate::domain::forecast::{Forecast, Newest};
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::release::{Concern, Gravity};
use crate::domain::workload::{Revision, Workload};
use crate::text::Clean;

/// What is already known to stop these orders, before anything is started: a plan that ends at a
/// gate must not begin with an hour of backup. `None`: nothing does. The gates themselves stay.
pub fn forestalled(state: &State, orders: &Orders) -> Option<Move> {
    for (reference, wanted) in &orders.targets {
        let workload = match state.watched.get(reference).map(|watched| &watched.workload) {
            Some(Live::Seen { value, .. }) => value,
            Some(Live::Lost { why, .. }) if !why.kind.passing() => return Some(lost(why)),
            Some(Live::Absent(why)) => return Some(lost(why)),
            _ => return Some(Move::Wait(say!("{} to be seen", reference))),
        };
        if matches!(state.permissions, Live::Waiting) {
            return Some(Move::Wait(Clean::ours("the permissions to be known")));
        }
        if let Some(what) = forecast::waits(state) {
            return Some(Move::Wait(what));
        }
        if releases::release_of(workload).is_some() {
            match aimed(state, workload, wanted).and_then(|goal| rollback_forestalled(state, orders, workload, &goal)) {
                Ok(()) => continue,
                Err(stop) => return Some(stop),
            }
        }
        if let Err(why) = change::may_touch(state, workload) {
            return Some(Move::Stop(Exit::Refused, why));
        }
        let revision = match chosen(workload, wanted) {
            Ok(revision) => revision,
            Err(stop) => return Some(stop),
        };
        let newest = change::newest(state);
        if let Newest::Unseen(unseen) = &newest {
            return Some(Move::Wait(say!("{} and its pods to be seen", unseen)));
        }
        // What the configuration file says about the schema is among it.
        let goal = Goal::Template(revision.uid.clone());
        if let Some(first) = unlooked(state, reference, &goal) {
            return Some(first);
        }
        if let Some(why) = stopped(state, orders, workload, revision) {
            return Some(Move::Stop(Exit::Refused, why));
        }
        if let Some(stop) = unheeded(state, orders, reference, &goal) {
            return Some(stop);
        }
    }
    unconfirmed(state, orders)
}

/// Why the schema guard is going to stop these orders, and which flags would not.
fn stopped(state: &State, orders: &Orders, workload: &Workload, revision: &Revision) -> Option<Clean> {
    let forecast = forecast::of_revision(state, &workload.reference, revision);
    let way = forecast.stopped().filter(|way| !(way.protect_helps && orders.protect))?;
    let kind = ChangeKind::Revert { to: revision.uid.clone(), revision: revision.number };
    let change = Change::on(workload, kind, false);
    let lost = Acceptance { of: Undertaking::Change(change), stake: forecast.stake(), unreadable: Vec::new() };
    let missing = orders.unspelt(&lost);
    if missing.is_none() && matches!(forecast, Forecast::MayDrop { .. }) {
        return None;
    }
    let protect = if way.protect_helps { Clean::ours(": --protect does it") } else { Clean::default() };
    let accept = missing.map_or(Clean::default(), spell);
    let sentence = forecast.sentence();
    Some(say!("{} was not changed: {}; {}{}{}", workload.reference, sentence, way.remedy, protect, accept))
}

fn spell(phrase: Clean) -> Clean {
    say!("; to lose it all the same, spell each object: --may-drop '{}'", phrase.in_single_quotes())
}

/// What is already known against a rollback of the release.
fn rollback_forestalled(state: &State, orders: &Orders, workload: &Workload, goal: &Goal) -> Result<(), Move> {
    let Goal::Release(release, to) = goal else { return Ok(()) };
    if let Newest::Unseen(unseen) = change::newest(state) {
        return Err(Move::Wait(say!("{} and its pods to be seen", unseen)));
    }
    match &state.releases.program {
        Live::Waiting => return Err(Move::Wait(Clean::ours("the program helm to be found"))),
        Live::Lost { why, .. } | Live::Absent(why) => return Err(lost(why)),
        Live::Seen { .. } => {}
    }
    let refused =
        |why: &Clean| Move::Stop(Exit::Refused, say!("{} was not rolled back: revision {}: {}", release, *to, why));
    let mut ranked = releases::ranked(state, workload).into_iter();
    if let Some(why) = ranked.find(|candidate| candidate.revision == *to).and_then(|candidate| candidate.refused) {
        return Err(refused(&why));
    }
    // What the configuration file says about the schema is among it.
    if let Some(first) = unlooked(state, &workload.reference, goal) {
        return Err(first);
    }
    let concerns = releases::against(state, workload, *to).map_err(|why| Move::Stop(Exit::Refused, why))?;
    if let Some(Concern { gravity, what, consequence, remedy, .. }) = releases::refusal(&concerns) {
        let typed = match gravity {
            Gravity::Typed => releases::at_stake(state, workload, *to).ok().map(|lost| orders.unspelt(&lost)),
            Gravity::Refuses | Gravity::Warns => Some(None),
        };
        // Every object of it was spelled out.
        if !matches!((gravity, &typed), (Gravity::Typed, Some(None))) {
            let accept = typed.flatten().map_or(Clean::default(), spell);
            let why = say!("{} was not rolled back: {}; {}; {}{}", release, what, consequence, remedy, accept);
            return Err(Move::Stop(Exit::Refused, why));
        }
    }
    unheeded(state, orders, &workload.reference, goal).map_or(Ok(()), Err)
}

/// What the target leans on is not read yet. Nobody looks at that before the target is chosen, so
/// that comes first.
fn unlooked(state: &State, reference: &WorkloadRef, goal: &Goal) -> Option<Move> {
    if state.incident.targets.get(reference).is_none_or(|target| &target.goal != goal) {
        return Some(Move::Send(vec![Msg::Target(reference.clone(), goal.clone())]));
    }
    coupling::waits(state, reference, goal).then(|| Move::Wait(Clean::ours("what the target leans on to be read")))
}

/// What speaks against a target, as far as nobody spelled it out.
fn unheeded(state: &State, orders: &Orders, reference: &WorkloadRef, target: &Goal) -> Option<Move> {
    let doubts = coupling::doubts(state, reference, target)?;
    let open = doubts.each().iter().find(|doubt| !orders.confirm.hold(&doubt.phrase))?;
    let words = say!(
        "{} was not changed: {}; {}; to go on all the same: --confirm '{}'",
        reference,
        open.why,
        open.remedy,
        open.phrase
    );
    Some(Move::Stop(Exit::Refused, words))
}

/// The failed rows that the plan deletes, as far as nobody spelled them out.
fn unconfirmed(state: &State, orders: &Orders) -> Option<Move> {
    let table = match &state.migrations {
        Live::Seen { value, .. } => value,
        Live::Waiting => return Some(Move::Wait(Clean::ours("the migration table to be read"))),
        // Without a database the revert still helps; the migration step then says what is missing.
        Live::Absent(_) | Live::Lost { .. } => return None,
    };
    let mut open = table.failed().flat_map(|row| {
        let phrases = migrations::deletion(state, row).phrases();
        phrases.into_iter().map(move |phrase| (row, phrase))
    });
    let (row, phrase) = open.find(|(_, phrase)| !orders.confirm.hold(phrase))?;
    let words = say!(
        "nothing was changed: the plan deletes the failed migration row {}, which is not confirmed; spell it: --confirm '{}'",
        row.name,
        phrase.in_single_quotes()
    );
    Some(Move::Stop(Exit::Refused, words))
}
