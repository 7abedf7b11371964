//! The console without a screen: what an operator with these orders would do next. It drives the
//! same state by the same messages as a person does, and passes the same gates.

mod aim;
mod forestall;
mod orders;

use jiff::SignedDuration;

pub use aim::aimed;
pub use forestall::forestalled;
pub use orders::{BackupOrders, Confirmations, Orders, Wanted};

use crate::app::action::{Action, Pane};
use crate::app::effect::Exit;
use crate::app::evidence::evidence;
use crate::app::key::{Code, Key};
use crate::app::msg::Msg;
use crate::app::overlay::{Overlay, Purpose};
use crate::app::runbook::{self, Progress};
use crate::app::state::{Arming, State};
use crate::app::{backup, coupling, migrations, preflight, releases};
use crate::domain::cache::Clearance;
use crate::domain::change::Refusal;
use crate::domain::checklist::{Check, Mark};
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::Confirm;
use crate::domain::record::End;
use crate::domain::runbook::NodeKind;
use crate::domain::step::{Fact, StepKind};
use crate::text::{Clean, Secret};

/// The next move.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Send these.
    Send(Vec<Msg>),
    /// Nothing to do until something happens; what is waited for.
    Wait(Clean),
    /// It ends here, and why.
    Stop(Exit, Clean),
}

/// How long a check must have failed before a step is left because of it.
const PERSISTENT: SignedDuration = SignedDuration::from_secs(20);

/// How long a question waits for evidence to change, once all of it is known.
const UNDECIDED: SignedDuration = SignedDuration::from_secs(60);

const ENTER: Msg = Msg::Key(Key::plain(Code::Enter));

fn press(c: char) -> Move {
    Move::Send(vec![Msg::Key(Key::plain(Code::Char(c)))])
}

fn typed(text: &str) -> Move {
    Move::Send(vec![Msg::Paste(Secret::new(text)), ENTER])
}

fn act(action: Action) -> Move {
    Move::Send(vec![Msg::Do(action)])
}

/// Enter in the runbook, wherever the focus is.
fn go_on() -> Move {
    Move::Send(vec![Msg::Do(Action::PaneRunbook), Msg::Do(Action::GoOn)])
}

/// What to do next.
pub fn next(state: &State, orders: &Orders) -> Move {
    if let Some(why) = &state.journal.broken {
        return Move::Stop(Exit::Unreachable, why.sentence());
    }
    if let Some((_, act)) = state.unknown().first() {
        return Move::Stop(
            Exit::Unknown,
            say!("the outcome of `{}` is unknown; `lastgood resume` settles it", act.words),
        );
    }
    if let Some(overlay) = state.overlays.last() {
        return answer(state, orders, overlay);
    }
    if let Some((reached, words, _)) = &state.incident.closed {
        return Move::Stop(if *reached { Exit::Reached } else { Exit::NotReached }, words.clone());
    }
    if !state.running.is_empty() {
        return Move::Wait(Clean::ours("an act to end"));
    }
    // What a doubt stopped is repaired first, where the orders allow that.
    if let Some(why) = state.incident.refused.as_ref().filter(|_| !repairs(state, orders)) {
        return Move::Stop(Exit::Refused, why.clone());
    }
    let Some(node) = state.node() else {
        return Move::Stop(Exit::NotReached, Clean::ours("there is no runbook here"));
    };
    match &node.kind {
        NodeKind::Ask { .. } => match runbook::suggested(state) {
            Some(choice) => Action::ALL.iter().find(|action| action.choice() == Some(choice)).map_or_else(
                || Move::Stop(Exit::NotReached, Clean::ours("more answers than keys")),
                |action| act(*action),
            ),
            None if undecided(state) => Move::Stop(
                Exit::NotReached,
                say!(
                    "a person decides: {} Nothing that is known suggests an answer; `lastgood resume` asks",
                    node.title
                ),
            ),
            None => Move::Wait(say!("evidence that suggests an answer to: {}", node.title)),
        },
        NodeKind::Do { step, .. } => step_on(state, orders, *step),
        NodeKind::Manual { record, .. } => match &orders.manual {
            Some(words) => Move::Send(vec![
                Msg::Do(Action::PaneRunbook),
                Msg::Do(Action::GoOn),
                Msg::Paste(Secret::new(words.as_str())),
                ENTER,
            ]),
            None => Move::Stop(Exit::NotReached, say!("a person is needed: {} {}", node.title, record)),
        },
        NodeKind::End { reached: true } if !state.checks.list.complete() => open_check(state),
        NodeKind::End { .. } => go_on(),
    }
}

/// The question stood for a while, and everything that could suggest an answer is known.
fn undecided(state: &State) -> bool {
    let entered = state.incident.path.last().map(|visit| visit.entered_at);
    let known = runbook::gathered(state).iter().all(|(_, evidence)| evidence.holds.is_some());
    known && entered.is_some_and(|at| state.now.duration_since(at) >= UNDECIDED)
}

/// The answer to a dialog.
pub fn answer(state: &State, orders: &Orders, overlay: &Overlay) -> Move {
    match overlay {
        Overlay::Text { purpose: Purpose::Arm, .. } => typed(orders.arm.as_deref().unwrap_or_default()),
        Overlay::Text { purpose: Purpose::Record { .. } | Purpose::Reason { .. }, .. } => {
            typed(orders.manual.as_deref().unwrap_or("without a screen"))
        }
        Overlay::Asking { .. } => Move::Wait(Clean::ours("the dry run")),
        Overlay::Review(_) | Overlay::Rollback(_) if !state.armed() => arm(state, orders),
        Overlay::Review(review) => match coupling::unread(state, &review.preview.change) {
            Some(why) => Move::Wait(why),
            None => press('y'),
        },
        Overlay::Rollback(_) | Overlay::Restore(_) => press('y'),
        Overlay::Refused(refused) if refused.refusal.protect_helps && orders.protect => press('p'),
        Overlay::Refused(refused) => accept(orders, &refused.refusal),
        Overlay::RefusedRollback(refused) => accept(orders, &refused.refusal),
        Overlay::Accept { confirm, .. } | Overlay::AcceptRollback { confirm, .. }
            if orders.may_drop(&confirm.wanted()) =>
        {
            typed(confirm.wanted().as_str())
        }
        Overlay::Doubts { .. } if repairs(state, orders) => Move::Send(vec![Msg::Key(Key::plain(Code::Esc))]),
        Overlay::Doubts { confirm, .. } | Overlay::RollbackDoubts { confirm, .. } => phrase(orders, &confirm.wanted()),
        Overlay::Delete { confirm, .. } => phrase(orders, &confirm.wanted()),
        Overlay::Resolve { confirm, .. } => phrase(orders, &confirm.wanted()),
        Overlay::Clear(clearing) if clearing.survey.is_none() => Move::Wait(Clean::ours("the keys to be counted")),
        Overlay::Clear(clearing) => match clearing.clearance() {
            Clearance { keys: 0, .. } => Move::Send(vec![ENTER]),
            clearance => phrase(orders, &Confirm::new(clearance).wanted()),
        },
        Overlay::RestoreDatabase(restoring) if restoring.plan.is_none() => {
            Move::Wait(Clean::ours("what the restore would take"))
        }
        Overlay::RestoreDatabase(_) | Overlay::Lacking { .. } => Move::Send(vec![ENTER]),
        Overlay::Backup { without_spend_logs }
            if *without_spend_logs != (orders.backup == BackupOrders::WithoutSpendLogs) =>
        {
            press('w')
        }
        Overlay::Backup { .. } => Move::Send(vec![ENTER]),
        Overlay::Consent if orders.consent => press('y'),
        Overlay::Consent => Move::Stop(
            Exit::Refused,
            Clean::ours("checks would call real models, which may cost money; allow it with --spend-money"),
        ),
        Overlay::Unknown(_) => {
            Move::Stop(Exit::Unknown, Clean::ours("the outcome of an act is unknown; `lastgood resume` settles it"))
        }
        Overlay::Leave => press('n'),
        _ => Move::Send(vec![Msg::Key(Key::plain(Code::Esc))]),
    }
}

/// A refusal is gone past only where all that is lost was spelled out.
fn accept(orders: &Orders, refusal: &Refusal) -> Move {
    match &refusal.acceptance {
        Some(lost) if orders.unspelt(lost).is_none() => press('t'),
        _ => Move::Stop(Exit::Refused, say!("{}; {}", refusal.what, refusal.remedy)),
    }
}

fn phrase(orders: &Orders, wanted: &Clean) -> Move {
    if orders.confirm.hold(wanted) {
        typed(wanted.as_str())
    } else {
        Move::Stop(Exit::Refused, say!("not confirmed; spell it: --confirm '{}'", wanted.in_single_quotes()))
    }
}

/// Arms, or says why not.
pub fn arm(state: &State, orders: &Orders) -> Move {
    match (&state.arming, &orders.arm) {
        (Arming::Refused(why), _) => Move::Stop(Exit::Refused, why.sentence()),
        (Arming::Asking, _) => Move::Wait(Clean::ours("the operator lock")),
        (_, arm) => arm_with(state, arm.as_deref()),
    }
}

fn arm_with(state: &State, arm: Option<&str>) -> Move {
    match arm {
        Some(name) if name == state.setting.environment.as_str() => act(Action::Arm),
        Some(_) => Move::Stop(
            Exit::Refused,
            say!("--arm does not name this environment, which is {}", state.setting.environment),
        ),
        None => Move::Stop(Exit::Refused, say!("read-only; allow changes with --arm {}", state.setting.environment)),
    }
}

fn step_on(state: &State, orders: &Orders, step: StepKind) -> Move {
    match step {
        StepKind::Preflight => {
            let open =
                preflight::findings(state).into_iter().find(|finding| finding.severity == preflight::Severity::Waiting);
            match open {
                Some(finding) => Move::Wait(finding.what),
                None if repairs(state, orders) => act(Action::StepFailed),
                None => go_on(),
            }
        }
        StepKind::Backup if orders.backup == BackupOrders::Skip || state.setting.missing.backup.is_some() => {
            act(Action::StepFailed)
        }
        StepKind::Backup => match failed_since_entered(state) {
            Some(why) => Move::Stop(Exit::NotReached, why),
            None => backup::may_start(state).map_or_else(|why| Move::Stop(Exit::Refused, why), |()| go_on()),
        },
        StepKind::ChooseTarget => target(state, orders),
        StepKind::Revert | StepKind::Restart => match runbook::progress(state, step) {
            _ if !state.armed() => arm(state, orders),
            Progress::Next(_) if step == StepKind::Revert && repairs(state, orders) => act(Action::StepFailed),
            Progress::Next(reference) if state.workload(&reference).is_none() => {
                Move::Wait(say!("{} to be seen", reference))
            }
            Progress::Next(reference) if waits_for_records(state, &reference) => {
                Move::Wait(say!("the records of the Helm release of {}", reference))
            }
            Progress::Next(_) => match failed_since_entered(state) {
                Some(why) => Move::Stop(Exit::NotReached, why),
                None => go_on(),
            },
            Progress::Acting => Move::Wait(Clean::ours("the change to be sent")),
            // A failed migration keeps new pods from starting: the rollout cannot end before the
            // row is gone, so the step is left for the one that removes it.
            Progress::Rolling(reference, _)
                if holds(state, Fact::FailedMigration) && new_pods_broken(state, &reference) =>
            {
                act(Action::StepFailed)
            }
            Progress::Rolling(reference, why) => Move::Wait(say!("the rollout of {}: {}", reference, why)),
            Progress::Failed(..) if orders.explore => act(Action::StepFailed),
            Progress::Failed(reference, why) => {
                Move::Stop(Exit::NotReached, say!("the rollout of {} failed: {}", reference, why))
            }
            Progress::NoTarget(reference) => Move::Stop(Exit::NotReached, say!("{} has no target", reference)),
            Progress::Nothing => Move::Stop(Exit::NotReached, Clean::ours("no workload is configured")),
            Progress::Done => go_on(),
        },
        StepKind::CleanMigrations => match evidence(state, Fact::NoFailedMigration).holds {
            None => Move::Wait(Clean::ours("the migration table to be read")),
            Some(true) => go_on(),
            Some(false) if !state.armed() => arm(state, orders),
            Some(false) if state.view.focus != Pane::Migrations => act(Action::PaneMigrations),
            Some(false) => match failed_since_entered(state) {
                Some(why) => Move::Stop(Exit::NotReached, why),
                // Failed rows are the first ones of the table.
                None => Move::Send(vec![Msg::Do(Action::Top), Msg::Do(Action::DeleteRow)]),
            },
        },
        StepKind::StaleRows => stale_rows(state, orders),
        StepKind::Verify => verify(state, orders),
        StepKind::Restore if state.setting.missing.backup.is_some() => act(Action::StepFailed),
        StepKind::Restore if !state.armed() => arm(state, orders),
        StepKind::Restore => match failed_since_entered(state) {
            Some(why) => Move::Stop(Exit::NotReached, why),
            None => go_on(),
        },
        StepKind::ClearCache if state.setting.missing.cache.is_some() => act(Action::StepFailed),
        StepKind::ClearCache if !state.armed() => arm(state, orders),
        StepKind::ClearCache => match failed_since_entered(state) {
            Some(why) => Move::Stop(Exit::NotReached, why),
            None => go_on(),
        },
    }
}

/// A ConfigMap that stops the revert is put back by hand, where the orders allow both the way there
/// and the hand.
fn repairs(state: &State, orders: &Orders) -> bool {
    orders.explore && orders.manual.is_some() && holds(state, Fact::ConfigDrifted)
}

/// Deletes the stale rows, one after the other.
fn stale_rows(state: &State, orders: &Orders) -> Move {
    let first = match migrations::stale(state) {
        None => return Move::Wait(Clean::ours("the rows to be compared with what the database holds")),
        Some(rows) => rows.first().map(|finding| finding.id.clone()),
    };
    let Some(first) = first else { return go_on() };
    if !state.armed() {
        return arm(state, orders);
    }
    if state.view.focus != Pane::Migrations {
        return act(Action::PaneMigrations);
    }
    if let Some(why) = failed_since_entered(state) {
        return Move::Stop(Exit::NotReached, why);
    }
    match migrations::shown(state).iter().position(|row| row.id == first) {
        // Another filter shows it.
        None => act(Action::FilterRows),
        Some(line) => {
            let down = std::iter::repeat_n(Action::Down, line);
            let keys = std::iter::once(Action::Top).chain(down).chain([Action::DeleteRow]);
            Move::Send(keys.map(Msg::Do).collect())
        }
    }
}

fn holds(state: &State, fact: Fact) -> bool {
    evidence(state, fact).holds == Some(true)
}

/// Whether a pod of the live revision cannot start. Those of the revision that is being replaced
/// crash until they are gone, and tell nothing about the new one.
fn new_pods_broken(state: &State, reference: &WorkloadRef) -> bool {
    let Some(watched) = state.watched.get(reference) else { return false };
    let Some(live) = watched.workload.fresh().and_then(|workload| workload.current()) else { return false };
    let mut pods = watched.pods.fresh().into_iter().flat_map(|pods| pods.values());
    pods.any(|pod| !pod.terminating && pod.revision == Some(live.number) && pod.broken())
}

/// The last act of this visit, when it failed: without a screen nothing is tried twice.
fn failed_since_entered(state: &State) -> Option<Clean> {
    let (_, last) = state.incident.last_act_here()?;
    match &last.end {
        Some((End::Failed, words, _)) => Some(say!("{}: {}", last.words, words)),
        _ => None,
    }
}

fn target(state: &State, orders: &Orders) -> Move {
    let Some(open) = state.setting.workloads.iter().find(|reference| !state.incident.targets.contains_key(reference))
    else {
        return go_on();
    };
    let Some(workload) = state.workload(open) else { return Move::Wait(say!("{} to be seen", open)) };
    match orders.targets.get(open) {
        Some(wanted) => match aimed(state, workload, wanted) {
            Ok(goal) => Move::Send(vec![Msg::Target(open.clone(), goal)]),
            Err(stop) => stop,
        },
        None if waits_for_records(state, open) => Move::Wait(say!("the records of the Helm release of {}", open)),
        None => match runbook::best_target(state) {
            Some((reference, goal)) => Move::Send(vec![Msg::Target(reference, goal)]),
            None => Move::Stop(Exit::NotReached, say!("{} has no older revision to go back to", open)),
        },
    }
}

/// The records of the release that owns a workload are on their way.
fn waits_for_records(state: &State, reference: &WorkloadRef) -> bool {
    state
        .workload(reference)
        .is_some_and(|workload| releases::release_of(workload).is_some() && releases::reading(state, workload))
}

fn verify(state: &State, orders: &Orders) -> Move {
    if state.checks.list.complete() {
        return go_on();
    }
    let wants_consent = state.checks.list.checks().iter().any(|check| check.verdict.mark == Mark::NeedsConsent);
    if wants_consent && !state.incident.consented && orders.consent {
        return act(Action::Consent);
    }
    let checks = state.checks.list.checks();
    let failing = |check: &&Check| {
        let long = check.since.is_some_and(|since| state.now.duration_since(since) >= PERSISTENT);
        check.verdict.mark == Mark::Failed && long
    };
    if orders.explore && checks.iter().any(|check| failing(&check)) {
        return act(Action::StepFailed);
    }
    let settled = |mark: Mark| mark.settled() || mark == Mark::NeedsConsent;
    if wants_consent && !state.incident.consented && checks.iter().all(|check| settled(check.verdict.mark)) {
        // Everything before was done; what is left is not for us to allow.
        return Move::Stop(
            Exit::NotReached,
            Clean::ours(
                "every other check is settled; the rest would call real models, which may cost money: allow it with `lastgood verify --spend-money`",
            ),
        );
    }
    open_check(state)
}

/// Waits for the first check that is not settled.
fn open_check(state: &State) -> Move {
    let open = state.checks.list.checks().iter().find(|check| !check.verdict.mark.settled());
    let words = open.map_or(Clean::default(), |check| {
        say!("{}: {}", check.id.title(), check.verdict.evidence.first().cloned().unwrap_or_default())
    });
    Move::Wait(words)
}
