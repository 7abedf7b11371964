//! The console without a screen: what an operator with these orders would do next. It drives the
//! same state by the same messages as a person does, and passes the same gates.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::app::action::{Action, Pane};
use crate::app::effect::Exit;
use crate::app::evidence::evidence;
use crate::app::key::{Code, Key};
use crate::app::msg::Msg;
use crate::app::overlay::{Overlay, Purpose};
use crate::app::preflight;
use crate::app::runbook::{self, Progress};
use crate::app::state::{Arming, State};
use crate::app::{backup, change, coupling, forecast, migrations, releases};
use crate::domain::acceptance::{Acceptance, Undertaking};
use crate::domain::cache::Clearance;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::checklist::{Check, Mark};
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::{Confirm, Subject as _};
use crate::domain::forecast::{Forecast, Newest};
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::name::Uid;
use crate::domain::record::End;
use crate::domain::release::ReleaseRevision;
use crate::domain::release::{Concern, Gravity};
use crate::domain::runbook::NodeKind;
use crate::domain::step::{Fact, StepKind};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::{Revision, Workload};
use crate::text::{Clean, Secret};

/// Which phrases were given to confirm with.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirmations {
    /// Whatever is asked for: only in the embedded sandbox.
    Any,
    /// These, spelled out on the command line.
    Given(Vec<String>),
}

/// A revision as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By its number.
    Number(u64),
    /// By its ReplicaSet's UID.
    Uid(Uid),
}

impl Wanted {
    /// The revision of a workload that is meant.
    pub fn find<'a>(&self, workload: &'a Workload) -> Option<&'a Revision> {
        workload.revisions.iter().find(|revision| match self {
            Wanted::Number(number) => revision.number == *number,
            Wanted::Uid(uid) => revision.uid == *uid,
        })
    }
}

/// What is to become of the backup step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupOrders {
    /// Everything.
    Full,
    /// Without the rows of the spend log.
    WithoutSpendLogs,
    /// None; the step is left as not done.
    Skip,
}

/// What the operator ordered before walking away.
#[derive(Clone, Debug, PartialEq)]
pub struct Orders {
    /// The name to arm with; `None` stays read-only.
    pub arm: Option<String>,
    /// Confirmations.
    pub confirm: Confirmations,
    /// Checks may call real models.
    pub consent: bool,
    /// `DISABLE_SCHEMA_UPDATE=true` may go into the patch where the guard asks for it.
    pub protect: bool,
    /// What may be lost, spelled out as the guard asks for it.
    pub may_drop: Vec<String>,
    /// The backup.
    pub backup: BackupOrders,
    /// Targets by workload; where none is given, the best candidate.
    pub targets: BTreeMap<WorkloadRef, Wanted>,
    /// What to write at manual steps; `None` stops there.
    pub manual: Option<String>,
    /// Follow the tree beyond steps that failed; otherwise it ends there.
    pub explore: bool,
}

impl Orders {
    fn may_drop(&self, phrase: &Clean) -> bool {
        self.may_drop.iter().any(|given| given == phrase.as_str())
    }
}

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
    let missing = unspelt(orders, &lost);
    if missing.is_none() && matches!(forecast, Forecast::MayDrop { .. }) {
        return None;
    }
    let protect = if way.protect_helps { Clean::ours(": --protect does it") } else { Clean::default() };
    let accept = missing.map_or(Clean::default(), spell);
    let sentence = forecast.sentence();
    Some(say!("{} was not changed: {}; {}{}{}", workload.reference, sentence, way.remedy, protect, accept))
}

/// The first object that is lost, and that the orders do not name.
fn unspelt(orders: &Orders, lost: &Acceptance) -> Option<Clean> {
    lost.phrases().into_iter().find(|phrase| !orders.may_drop(phrase))
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
            Gravity::Typed => releases::at_stake(state, workload, *to).ok().map(|lost| unspelt(orders, &lost)),
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

/// What a named revision means for this workload: of its own, or of the Helm release that owns it.
///
/// # Errors
/// What is waited for, or why it cannot be gone back to.
pub fn aimed(state: &State, workload: &Workload, wanted: &Wanted) -> Result<Goal, Move> {
    let Some(release) = releases::release_of(workload) else {
        return chosen(workload, wanted).map(|revision| Goal::Template(revision.uid.clone()));
    };
    let Wanted::Number(number) = wanted else {
        let why =
            say!("{} belongs to Helm release {}: name one of its revisions by number", workload.reference, release);
        return Err(Move::Stop(Exit::Usage, why));
    };
    let history = match releases::known(state, workload).map(|known| &known.history) {
        Some(Live::Seen { value, .. }) => value,
        Some(Live::Lost { why, .. } | Live::Absent(why)) => return Err(lost(why)),
        Some(Live::Waiting) | None => return Err(Move::Wait(say!("the history of Helm release {}", release))),
    };
    let row = ReleaseRevision::new(*number).and_then(|number| history.row(number));
    let Some(row) = row else {
        let why = say!("Helm release {} has no revision {}; `lastgood plan` lists them", release, *number);
        return Err(Move::Stop(Exit::Usage, why));
    };
    if row.revision == history.current.revision {
        return Err(Move::Stop(
            Exit::Refused,
            say!("revision {} is the newest of Helm release {}", row.revision, release),
        ));
    }
    if releases::reading(state, workload) {
        return Err(Move::Wait(say!("the records of Helm release {}", release)));
    }
    Ok(Goal::Release(release, row.revision))
}

/// What speaks against a target, as far as nobody spelled it out.
fn unheeded(state: &State, orders: &Orders, reference: &WorkloadRef, target: &Goal) -> Option<Move> {
    let Confirmations::Given(given) = &orders.confirm else { return None };
    let doubts = coupling::doubts(state, reference, target)?;
    let open = doubts.each().iter().find(|doubt| !given.iter().any(|phrase| phrase == doubt.phrase.as_str()))?;
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
    let Confirmations::Given(given) = &orders.confirm else { return None };
    let table = match &state.migrations {
        Live::Seen { value, .. } => value,
        Live::Waiting => return Some(Move::Wait(Clean::ours("the migration table to be read"))),
        // Without a database the revert still helps; the migration step then says what is missing.
        Live::Absent(_) | Live::Lost { .. } => return None,
    };
    let spelt = |wanted: &Clean| given.iter().any(|phrase| phrase == wanted.as_str());
    let mut open = table.failed().flat_map(|row| {
        let phrases = migrations::deletion(state, row).phrases();
        phrases.into_iter().map(move |phrase| (row, phrase))
    });
    let (row, phrase) = open.find(|(_, phrase)| !spelt(phrase))?;
    let words = say!(
        "nothing was changed: the plan deletes the failed migration row {}, which is not confirmed; spell it: --confirm '{}'",
        row.name,
        phrase.in_single_quotes()
    );
    Some(Move::Stop(Exit::Refused, words))
}

/// It ends here, because a part of the world does not answer, or not to us.
fn lost(why: &Trouble) -> Move {
    let exit = match why.kind {
        TroubleKind::Missing | TroubleKind::NotFound | TroubleKind::Invalid => Exit::Usage,
        TroubleKind::Forbidden | TroubleKind::Refused => Exit::Refused,
        _ => Exit::Unreachable,
    };
    Move::Stop(exit, why.sentence())
}

/// The revision that is meant, when it can be gone back to.
fn chosen<'a>(workload: &'a Workload, wanted: &Wanted) -> Result<&'a Revision, Move> {
    let reference = &workload.reference;
    match wanted.find(workload) {
        None => Err(Move::Stop(Exit::Usage, say!("{} has no such revision; `lastgood plan` lists them", reference))),
        Some(revision) if revision.current() => {
            Err(Move::Stop(Exit::Refused, say!("revision {} of {} is the live one", revision.number, reference)))
        }
        Some(revision) => Ok(revision),
    }
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
        Overlay::RefusedRollback(refused)
            if refused.refusal.acceptance.as_ref().is_some_and(|lost| unspelt(orders, lost).is_none()) =>
        {
            press('t')
        }
        Overlay::RefusedRollback(refused) => {
            Move::Stop(Exit::Refused, say!("{}; {}", refused.refusal.what, refused.refusal.remedy))
        }
        Overlay::Refused(refused) if refused.refusal.protect_helps && orders.protect => press('p'),
        Overlay::Refused(refused)
            if refused.refusal.acceptance.as_ref().is_some_and(|lost| unspelt(orders, lost).is_none()) =>
        {
            press('t')
        }
        // What is lost is never confirmed by a wildcard, not even in a drill.
        Overlay::Accept { confirm, .. } | Overlay::AcceptRollback { confirm, .. }
            if orders.may_drop(&confirm.wanted()) =>
        {
            typed(confirm.wanted().as_str())
        }
        Overlay::Refused(refused) => {
            Move::Stop(Exit::Refused, say!("{}; {}", refused.refusal.what, refused.refusal.remedy))
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

fn phrase(orders: &Orders, wanted: &Clean) -> Move {
    match &orders.confirm {
        Confirmations::Any => typed(wanted.as_str()),
        Confirmations::Given(given) if given.iter().any(|phrase| phrase == wanted.as_str()) => typed(wanted.as_str()),
        Confirmations::Given(_) => {
            Move::Stop(Exit::Refused, say!("not confirmed; spell it: --confirm '{}'", wanted.in_single_quotes()))
        }
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
