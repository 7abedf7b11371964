//! Dialogs as a stack: the top one gets the key, the bottom one is drawn first.

use std::fmt;

use jiff::Timestamp;
use tui_input::{Input, InputRequest};

use crate::app::action::Action;
use crate::app::cache::Clearing;
use crate::app::effect::Effect;
use crate::app::key::{Code, Key};
use crate::app::releases::{RefusedRollback, RollbackReview};
use crate::app::restore::Restoring;
use crate::app::state::{Asking, State, Tone};
use crate::app::{acts, arming, backup, cache, change, checks, logs, migrations, releases, restore, runbook, update};
use crate::domain::acceptance::Acceptance;
use crate::domain::change::{Change, ChangeKind, Cleared, Preview, Refusal};
use crate::domain::cluster::{WorkloadRef, is_shown_variable};
use crate::domain::confirm::{Confirm, Confirmed};
use crate::domain::coupled::Doubts;
use crate::domain::migration::{Deletion, Kept, Resolution};
use crate::domain::name::{Name, VarName};
use crate::domain::record::{ActId, Entry};
use crate::domain::runbook::NodeRef;
use crate::domain::workload::FieldChange;
use crate::text::{Clean, Secret};

/// What a line of text is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// The environment's name, to arm.
    Arm,
    /// A filter for the log.
    Filter,
    /// Something to search in the log.
    Search,
    /// A file for the lines of the log.
    Save {
        /// All that is kept, not only what is shown.
        all: bool,
    },
    /// A note for the journal.
    Note,
    /// What came of a manual step.
    Record {
        /// The step.
        node: NodeRef,
        /// What to write down; empty when nothing is asked.
        what: Clean,
    },
    /// Why a step is left without being done.
    Reason {
        /// The step.
        node: NodeRef,
    },
    /// An image for a container.
    Image {
        /// Of which workload.
        workload: WorkloadRef,
        /// Which container.
        container: Name,
    },
    /// `NAME=value` to set, `NAME-` to remove, for a container.
    Variable {
        /// Of which workload.
        workload: WorkloadRef,
        /// Which container.
        container: Name,
    },
}

/// A change that was previewed and let through, waiting for the operator's yes.
#[derive(Clone, Debug, PartialEq)]
pub struct Review {
    /// What came of the dry run.
    pub preview: Preview,
    /// The proof that the schema guard let it through.
    pub cleared: Cleared,
    /// The step that it belongs to, and its node.
    pub asking: Asking,
    /// When the dry run came back. What it says is not trusted for long.
    pub at: Timestamp,
    /// How far the diff is scrolled.
    pub scroll: usize,
    /// The doubts that were typed away.
    pub heeded: Option<Confirmed<Doubts>>,
}

/// A change that was refused, with the step that would make it pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The change.
    pub change: Change,
    /// Why.
    pub refusal: Refusal,
    /// The step that it belongs to, and its node.
    pub asking: Asking,
    /// How far what is at stake is scrolled.
    pub scroll: usize,
}

/// A dialog that is open. One that is not open does not exist. What is typed into it is nobody's
/// business, so its `Debug` says only which dialog it is.
#[derive(Clone)]
pub enum Overlay {
    /// The keys of the pane in focus.
    Help {
        /// How far it is scrolled.
        scroll: usize,
    },
    /// All actions, filtered by what is typed.
    Palette {
        /// What is typed.
        input: Input,
        /// The selected line.
        selected: usize,
    },
    /// A line of text.
    Text {
        /// What for.
        purpose: Purpose,
        /// What is typed.
        input: Input,
    },
    /// A change whose dry run is under way. It opens with the key that asked for it and turns into
    /// the review or the refusal where it stands, so no dialog comes up under somebody's fingers.
    Asking {
        /// What is asked for.
        change: Box<Change>,
        /// The step that it belongs to, and its node.
        asking: Asking,
    },
    /// A change to say yes to.
    Review(Box<Review>),
    /// A change that something speaks against, to go on with by typing.
    Doubts {
        /// The change, as it is shown afterwards.
        review: Box<Review>,
        /// The question.
        confirm: Box<Confirm<Doubts>>,
        /// What is typed.
        input: Input,
    },
    /// A change that was refused.
    Refused(Box<Refused>),
    /// Losses to accept, by typing the name of each object.
    Accept {
        /// The question.
        confirm: Box<Confirm<Acceptance>>,
        /// The step that the change belongs to, and its node.
        asking: Asking,
        /// What is typed.
        input: Input,
        /// How far what is at stake is scrolled.
        scroll: usize,
    },
    /// A rollback of a Helm release to say yes to.
    Rollback(Box<RollbackReview>),
    /// A rollback of a Helm release that something speaks against, to go on with by typing.
    RollbackDoubts {
        /// The rollback, as it is shown afterwards.
        review: Box<RollbackReview>,
        /// The question.
        confirm: Box<Confirm<Doubts>>,
        /// What is typed.
        input: Input,
    },
    /// A rollback of a Helm release that was refused.
    RefusedRollback(Box<RefusedRollback>),
    /// Losses of a rollback to accept, by typing the name of each object.
    AcceptRollback {
        /// The question.
        confirm: Box<Confirm<Acceptance>>,
        /// The node that the rollback belongs to.
        node: Option<NodeRef>,
        /// What is typed.
        input: Input,
        /// How far what is at stake is scrolled.
        scroll: usize,
    },
    /// A row to delete, by typing.
    Delete {
        /// The question.
        confirm: Box<Confirm<Deletion>>,
        /// What is typed.
        input: Input,
    },
    /// A row to mark as rolled back, by typing.
    Resolve {
        /// The question.
        confirm: Box<Confirm<Resolution>>,
        /// What is typed.
        input: Input,
    },
    /// A kept row to put back: yes or no.
    Restore(Kept),
    /// An act whose outcome nobody knows.
    Unknown(ActId),
    /// How to back up.
    Backup {
        /// Leave out the rows of the spend log.
        without_spend_logs: bool,
    },
    /// A backup to restore into a new database: which, and what it takes.
    RestoreDatabase(Box<Restoring>),
    /// What the database that an act restored lacks of the live one.
    Lacking {
        /// The act.
        act: ActId,
        /// How far the list is scrolled.
        scroll: usize,
    },
    /// Answers to delete from Redis, by typing.
    Clear(Box<Clearing>),
    /// Checks want to call real models: yes or no.
    Consent,
    /// The differences between two templates.
    Diff {
        /// What is compared.
        title: Clean,
        /// Line by line.
        lines: Vec<FieldChange>,
        /// How far it is scrolled.
        scroll: usize,
    },
    /// Words to read, and to copy.
    Words {
        /// The heading.
        title: Clean,
        /// The words.
        text: Clean,
        /// How far they are scrolled.
        scroll: usize,
    },
    /// Leaving while an act runs: yes or no.
    Leave,
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Overlay::Help { .. } => "Help",
            Overlay::Palette { .. } => "Palette",
            Overlay::Text { .. } => "Text",
            Overlay::Asking { .. } => "Asking",
            Overlay::Review(_) => "Review",
            Overlay::Doubts { .. } => "Doubts",
            Overlay::Refused(_) => "Refused",
            Overlay::Accept { .. } => "Accept",
            Overlay::Rollback(_) => "Rollback",
            Overlay::RollbackDoubts { .. } => "RollbackDoubts",
            Overlay::RefusedRollback(_) => "RefusedRollback",
            Overlay::AcceptRollback { .. } => "AcceptRollback",
            Overlay::Delete { .. } => "Delete",
            Overlay::Resolve { .. } => "Resolve",
            Overlay::Restore(_) => "Restore",
            Overlay::Unknown(_) => "Unknown",
            Overlay::Backup { .. } => "Backup",
            Overlay::RestoreDatabase(_) => "RestoreDatabase",
            Overlay::Lacking { .. } => "Lacking",
            Overlay::Clear(_) => "Clear",
            Overlay::Consent => "Consent",
            Overlay::Diff { .. } => "Diff",
            Overlay::Words { .. } => "Words",
            Overlay::Leave => "Leave",
        })
    }
}

impl Overlay {
    /// A line of text for a purpose.
    pub fn text(purpose: Purpose) -> Self {
        Overlay::Text { purpose, input: Input::default() }
    }

    /// Words to read.
    pub fn words(title: Clean, text: Clean) -> Self {
        Overlay::Words { title, text, scroll: 0 }
    }

    fn scroll_mut(&mut self) -> Option<&mut usize> {
        match self {
            Overlay::Help { scroll }
            | Overlay::Diff { scroll, .. }
            | Overlay::Words { scroll, .. }
            | Overlay::Lacking { scroll, .. } => Some(scroll),
            Overlay::Review(review) => Some(&mut review.scroll),
            Overlay::Refused(refused) => Some(&mut refused.scroll),
            Overlay::Rollback(review) => Some(&mut review.scroll),
            Overlay::RefusedRollback(refused) => Some(&mut refused.scroll),
            _ => None,
        }
    }

    fn input_mut(&mut self) -> Option<&mut Input> {
        match self {
            Overlay::Palette { input, .. }
            | Overlay::Text { input, .. }
            | Overlay::Accept { input, .. }
            | Overlay::AcceptRollback { input, .. }
            | Overlay::Doubts { input, .. }
            | Overlay::RollbackDoubts { input, .. }
            | Overlay::Delete { input, .. }
            | Overlay::Resolve { input, .. } => Some(input),
            Overlay::Clear(clearing) => Some(&mut clearing.input),
            _ => None,
        }
    }
}

/// Gives a key to the top dialog. It is taken off the stack and put back unless it is done.
pub fn press(state: &mut State, key: Key) -> Vec<Effect> {
    let Some(mut overlay) = state.overlays.pop() else { return Vec::new() };
    if key.code == Code::Esc || (key.ctrl && key.code == Code::Char('c')) {
        return dismissed(state, overlay);
    }
    if let Some(scroll) = overlay.scroll_mut()
        && let Some(moved) = scrolled(*scroll, key)
    {
        *scroll = moved;
        state.overlays.push(overlay);
        return Vec::new();
    }
    // Letters belong to the line that is typed, so only the arrows scroll what is above it.
    if let Overlay::Accept { scroll, .. } | Overlay::AcceptRollback { scroll, .. } = &mut overlay
        && !matches!(key.code, Code::Char(_) | Code::Home)
        && let Some(moved) = scrolled(*scroll, key)
    {
        *scroll = moved;
        state.overlays.push(overlay);
        return Vec::new();
    }
    if let Overlay::RestoreDatabase(restoring) = &mut overlay
        && matches!(key.code, Code::Up | Code::Down)
    {
        restoring.select(key.code == Code::Down);
        state.overlays.push(overlay);
        return Vec::new();
    }
    if key.code != Code::Enter
        && let Some(input) = overlay.input_mut()
    {
        if let Some(request) = edit(key) {
            input.handle(request);
        }
        if let Overlay::Palette { input, selected } = &mut overlay {
            *selected = select(*selected, key, palette(input.value()).len());
        }
        if let Overlay::Clear(clearing) = &mut overlay
            && matches!(key.code, Code::Up | Code::Down)
        {
            clearing.select(key.code == Code::Down);
        }
        state.overlays.push(overlay);
        return Vec::new();
    }
    answered(state, overlay, key)
}

/// Pasted text goes into the top dialog's line, without line feeds.
pub fn paste(state: &mut State, text: &str) {
    if let Some(input) = state.overlays.last_mut().and_then(Overlay::input_mut) {
        for c in text.chars().filter(|c| !c.is_control()) {
            input.handle(InputRequest::InsertChar(c));
        }
    }
}

fn dismissed(state: &mut State, overlay: Overlay) -> Vec<Effect> {
    match overlay {
        Overlay::Review(_)
        | Overlay::Accept { .. }
        | Overlay::Rollback(_)
        | Overlay::Doubts { .. }
        | Overlay::RollbackDoubts { .. }
        | Overlay::Delete { .. }
        | Overlay::Resolve { .. }
        | Overlay::Restore(_) => {
            state.tell(Tone::Plain, Clean::ours("nothing was changed"));
        }
        Overlay::Clear(clearing) => {
            state.tell(Tone::Plain, Clean::ours("nothing was deleted"));
            if state.looks.remove(&clearing.look).is_some() {
                return vec![Effect::Drop(clearing.look)];
            }
        }
        Overlay::RestoreDatabase(restoring) => {
            state.tell(Tone::Plain, Clean::ours("nothing was made"));
            if state.looks.remove(&restoring.look).is_some() {
                return vec![Effect::Drop(restoring.look)];
            }
        }
        // An unknown outcome may be put off, and stays in the way of every change.
        Overlay::Asking { asking, .. } => {
            state.looks.remove(&asking.look);
            state.tell(Tone::Plain, Clean::ours("nothing was changed"));
            return vec![Effect::Drop(asking.look)];
        }
        Overlay::Unknown(_) => state.tell(Tone::Warn, Clean::ours("put off; nothing may change until it is settled")),
        _ => {}
    }
    Vec::new()
}

fn answered(state: &mut State, overlay: Overlay, key: Key) -> Vec<Effect> {
    let enter = key.code == Code::Enter;
    let letter = match key.code {
        Code::Char(c) if !key.ctrl && !key.alt => Some(c),
        _ => None,
    };
    match overlay {
        Overlay::Help { .. } | Overlay::Diff { .. } if enter || matches!(letter, Some('q' | '?')) => Vec::new(),
        Overlay::Words { text, .. } if letter == Some('y') => vec![Effect::Copy(text)],
        Overlay::Words { .. } if enter || letter == Some('q') => Vec::new(),
        Overlay::Palette { input, selected } if enter => match palette(input.value()).get(selected) {
            Some(action) => update::act(state, *action),
            None => Vec::new(),
        },
        Overlay::Text { purpose, input } if enter => text(state, purpose, input.value().trim()),
        Overlay::Review(review) if letter == Some('y') => change::apply(state, *review),
        Overlay::Rollback(review) if letter == Some('y') => releases::roll_back(state, *review),
        Overlay::Rollback(review) if letter == Some('A') && !state.armed() => {
            state.overlays.push(Overlay::Rollback(review));
            state.overlays.push(Overlay::text(Purpose::Arm));
            Vec::new()
        }
        Overlay::Review(review) if letter == Some('A') && !state.armed() => {
            state.overlays.push(Overlay::Review(review));
            state.overlays.push(Overlay::text(Purpose::Arm));
            Vec::new()
        }
        Overlay::Doubts { review, confirm, input } if enter => {
            change::doubts_typed(state, *review, *confirm, input.value())
        }
        Overlay::RollbackDoubts { review, confirm, input } if enter => {
            releases::doubts_typed(state, *review, *confirm, input.value())
        }
        Overlay::Refused(refused) if letter == Some('p') && refused.refusal.protect_helps => {
            let change = Change { protect: true, ..refused.change };
            change::preview(state, change, refused.asking.step, refused.asking.node, None)
        }
        Overlay::Refused(refused) if letter == Some('t') && refused.refusal.acceptance.is_some() => {
            change::ask_acceptance(state, *refused);
            Vec::new()
        }
        Overlay::Accept { confirm, asking, input, .. } if enter => {
            change::acceptance_typed(state, *confirm, asking, input.value())
        }
        Overlay::RefusedRollback(refused) if letter == Some('t') && refused.refusal.acceptance.is_some() => {
            releases::ask_acceptance(state, *refused);
            Vec::new()
        }
        Overlay::AcceptRollback { confirm, node, input, .. } if enter => {
            releases::acceptance_typed(state, *confirm, node, input.value())
        }
        Overlay::Delete { confirm, input } if enter => migrations::delete_typed(state, *confirm, input.value()),
        Overlay::Resolve { confirm, input } if enter => migrations::resolve_typed(state, *confirm, input.value()),
        Overlay::Clear(clearing) if enter => cache::typed(state, *clearing),
        Overlay::RestoreDatabase(restoring) if enter => restore::start(state, *restoring),
        Overlay::RestoreDatabase(restoring) if letter == Some('A') && !state.armed() => {
            state.overlays.push(Overlay::RestoreDatabase(restoring));
            state.overlays.push(Overlay::text(Purpose::Arm));
            Vec::new()
        }
        Overlay::Lacking { act, .. } if enter => restore::read(state, act),
        Overlay::Lacking { .. } if letter == Some('n') => restore::once_more(state),
        Overlay::Restore(kept) if letter == Some('y') => migrations::restore(state, kept),
        Overlay::Unknown(act) if letter == Some('h') => acts::settle(state, act, true),
        Overlay::Unknown(act) if letter == Some('d') => acts::settle(state, act, false),
        Overlay::Backup { without_spend_logs } if letter == Some('w') => {
            state.overlays.push(Overlay::Backup { without_spend_logs: !without_spend_logs });
            Vec::new()
        }
        Overlay::Backup { without_spend_logs } if enter || letter == Some('y') => {
            backup::start(state, without_spend_logs)
        }
        Overlay::Consent if letter == Some('y') => checks::consent(state),
        Overlay::Leave if letter == Some('y') => vec![Effect::Quit(crate::app::effect::Exit::Left)],
        Overlay::Refused(_) | Overlay::RefusedRollback(_) | Overlay::Restore(_) | Overlay::Consent | Overlay::Leave
            if letter == Some('n') =>
        {
            Vec::new()
        }
        Overlay::RefusedRollback(refused) if letter == Some('y') => vec![Effect::Copy(refused.refusal.remedy)],
        Overlay::RefusedRollback(_) if enter => Vec::new(),
        kept => {
            state.overlays.push(kept);
            Vec::new()
        }
    }
}

fn text(state: &mut State, purpose: Purpose, typed: &str) -> Vec<Effect> {
    match purpose {
        Purpose::Arm => arming::typed(state, typed),
        Purpose::Filter => understood(state, Purpose::Filter, typed, logs::filter),
        Purpose::Search => understood(state, Purpose::Search, typed, logs::search),
        Purpose::Save { all } => logs::saving::save(state, typed, all),
        Purpose::Note if typed.is_empty() => Vec::new(),
        Purpose::Note if state.may_send().is_err() => {
            state.tell(Tone::Bad, Clean::ours("not noted: the journal cannot be written"));
            Vec::new()
        }
        Purpose::Note => {
            let words = state.gate.clean(typed).to_string();
            state.tell(Tone::Good, Clean::ours("noted in the journal"));
            vec![state.commit(Entry::Noted { words })]
        }
        Purpose::Record { node, what } if typed.is_empty() && !what.is_empty() => {
            state.tell(Tone::Warn, say!("write down {}", what));
            state.overlays.push(Overlay::text(Purpose::Record { node, what }));
            Vec::new()
        }
        Purpose::Record { node, .. } => {
            let words = state.gate.clean(typed);
            runbook::leave_node(state, &node, true, words)
        }
        Purpose::Reason { node } => {
            let words = state.gate.clean(typed);
            runbook::leave_node(state, &node, false, words)
        }
        Purpose::Image { workload, container } => match typed.parse() {
            Ok(image) => change::ask(state, &workload, ChangeKind::SetImage { container, image }),
            Err(why) => {
                state.tell(Tone::Bad, say!("that is not {}: {}", why.what, why.rule));
                Vec::new()
            }
        },
        Purpose::Variable { workload, container } => variable(state, &workload, container, typed),
    }
}

/// Takes a filter or a search; one that is not understood stays to be corrected.
fn understood(
    state: &mut State,
    purpose: Purpose,
    typed: &str,
    take: fn(&mut State, &str) -> Result<Vec<Effect>, Clean>,
) -> Vec<Effect> {
    take(state, typed).unwrap_or_else(|why| {
        state.tell(Tone::Bad, why);
        state.overlays.push(Overlay::Text { purpose, input: Input::new(typed.to_owned()) });
        Vec::new()
    })
}

fn variable(state: &mut State, workload: &WorkloadRef, container: Name, typed: &str) -> Vec<Effect> {
    let (name, value) = match (typed.split_once('='), typed.strip_suffix('-')) {
        (Some((name, value)), _) => (name.trim(), Some(Secret::new(value))),
        (None, Some(name)) => (name, None),
        // Neither a value nor a dash: nothing was asked for that could be meant by accident.
        (None, None) => ("", None),
    };
    match name.parse::<VarName>() {
        Ok(name) => {
            if let Some(value) = value.as_ref().filter(|_| !is_shown_variable(&name)) {
                state.gate.learn(value);
            }
            change::ask(state, workload, ChangeKind::SetVariable { container, name, value })
        }
        Err(why) => {
            state.tell(
                Tone::Bad,
                say!("that is not {}: {}; write NAME=value to set, NAME- to remove", why.what, why.rule),
            );
            Vec::new()
        }
    }
}

/// The actions whose label or word contains what is typed.
pub fn palette(typed: &str) -> Vec<Action> {
    let typed = typed.to_lowercase();
    let plain = |action: &Action| action.choice().is_none();
    let fits = |action: &Action| action.label().contains(&typed) || action.slug().contains(&typed);
    Action::ALL.iter().copied().filter(plain).filter(fits).collect()
}

fn select(selected: usize, key: Key, len: usize) -> usize {
    let moved = match key.code {
        Code::Up => selected.saturating_sub(1),
        Code::Down => selected + 1,
        Code::Char(_) | Code::Backspace => 0,
        _ => selected,
    };
    moved.min(len.saturating_sub(1))
}

fn scrolled(at: usize, key: Key) -> Option<usize> {
    match key.code {
        Code::Up | Code::Char('k') => Some(at.saturating_sub(1)),
        Code::Down | Code::Char('j') => Some(at + 1),
        Code::PageUp => Some(at.saturating_sub(10)),
        Code::PageDown | Code::Char(' ') => Some(at + 10),
        Code::Home => Some(0),
        _ => None,
    }
}

fn edit(key: Key) -> Option<InputRequest> {
    let request = match (key.code, key.ctrl) {
        (Code::Char('a'), true) | (Code::Home, _) => InputRequest::GoToStart,
        (Code::Char('e'), true) | (Code::End, _) => InputRequest::GoToEnd,
        (Code::Char('u'), true) => InputRequest::DeleteLine,
        (Code::Char('k'), true) => InputRequest::DeleteTillEnd,
        (Code::Char('w'), true) => InputRequest::DeletePrevWord,
        (Code::Char(c), false) if !key.alt => InputRequest::InsertChar(c),
        (Code::Backspace, _) => InputRequest::DeletePrevChar,
        (Code::Delete, _) => InputRequest::DeleteNextChar,
        (Code::Left, _) => InputRequest::GoToPrevChar,
        (Code::Right, _) => InputRequest::GoToNextChar,
        _ => return None,
    };
    Some(request)
}
