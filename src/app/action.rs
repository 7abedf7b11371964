//! Everything an operator can ask for: one registry, read by keys, footer, help, palette and
//! the console without a screen.

use serde::Deserialize;

/// The panes, in the order of the tab key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Pane {
    Runbook,
    Checklist,
    Pods,
    Logs,
    Revisions,
    Migrations,
    Preflight,
    Timeline,
}

impl Pane {
    /// All of them.
    pub const ALL: [Pane; 8] = [
        Pane::Runbook,
        Pane::Checklist,
        Pane::Pods,
        Pane::Logs,
        Pane::Revisions,
        Pane::Migrations,
        Pane::Preflight,
        Pane::Timeline,
    ];

    /// The title on its border.
    pub fn title(self) -> &'static str {
        match self {
            Pane::Runbook => "Runbook",
            Pane::Checklist => "Checklist",
            Pane::Pods => "Pods",
            Pane::Logs => "Logs",
            Pane::Revisions => "Revisions",
            Pane::Migrations => "Migrations",
            Pane::Preflight => "Preflight",
            Pane::Timeline => "Timeline",
        }
    }
}

/// Whether an action can change the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// It looks, moves or remembers.
    None,
    /// It changes the world: the console must be armed.
    Changes,
    /// It destroys: armed, and confirmed by typing.
    Destroys,
}

macro_rules! actions {
    ($($name:ident, $slug:literal, $label:literal, $danger:ident;)*) => {
        /// One thing that an operator can ask for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $(#[doc = $label] $name,)*
        }

        impl Action {
            /// Every action, in the order of the palette.
            pub const ALL: &'static [Action] = &[$(Action::$name,)*];

            /// The word in the key file.
            pub fn slug(self) -> &'static str {
                match self { $(Action::$name => $slug,)* }
            }

            /// The words in footer, help and palette.
            pub fn label(self) -> &'static str {
                match self { $(Action::$name => $label,)* }
            }

            /// Whether it can change the world.
            pub fn danger(self) -> Danger {
                match self { $(Action::$name => Danger::$danger,)* }
            }
        }
    };
}

actions! {
    GoOn, "go-on", "go on: answer, do the step, choose", None;
    Choose1, "choose-1", "answer 1", None;
    Choose2, "choose-2", "answer 2", None;
    Choose3, "choose-3", "answer 3", None;
    Choose4, "choose-4", "answer 4", None;
    Choose5, "choose-5", "answer 5", None;
    Choose6, "choose-6", "answer 6", None;
    Choose7, "choose-7", "answer 7", None;
    Choose8, "choose-8", "answer 8", None;
    Choose9, "choose-9", "answer 9", None;
    Back, "back", "take the last answer back", None;
    StepFailed, "step-failed", "leave this step: it failed or cannot be done", None;
    Cancel, "cancel", "cancel what runs", None;
    Arm, "arm", "arm: allow changes", None;
    Disarm, "disarm", "disarm: read-only again", None;
    Revert, "revert", "revert to this revision", Changes;
    SetImage, "set-image", "set an image", Changes;
    SetVariable, "set-variable", "set or remove a variable", Changes;
    Restart, "restart", "restart the pods", Changes;
    Target, "target", "make this revision the target", None;
    Diff, "diff", "diff the live template with this one", None;
    Backup, "backup", "back up the database", None;
    ClearCache, "clear-cache", "clear the response cache", None;
    DeleteRow, "delete-row", "delete this migration row", Destroys;
    ResolveRow, "resolve-row", "mark this failed row as rolled back", Destroys;
    UndoRow, "undo-row", "undo the last change of a row", Changes;
    FilterRows, "filter-rows", "all rows, rows ahead of the target, rows to look at", None;
    Learn, "learn", "list the migrations in a running pod", None;
    RunCheck, "run-check", "run this check now", None;
    Consent, "consent", "allow checks that call real models", None;
    Filter, "filter", "filter the log", None;
    Search, "search", "search the log", None;
    SearchNext, "search-next", "next match", None;
    SearchBack, "search-back", "previous match", None;
    ErrorNext, "error-next", "next error", None;
    ErrorBack, "error-back", "previous error", None;
    Follow, "follow", "follow or hold the log", None;
    Previous, "previous", "log of the previous container", None;
    Timestamps, "timestamps", "timestamps", None;
    Wrap, "wrap", "wrap lines", None;
    Unfold, "unfold", "JSON lines field by field", None;
    SaveShown, "save-shown", "save the lines that are shown", None;
    SaveAll, "save-all", "save all lines that are kept", None;
    OpenSignature, "open-signature", "go to the remedy of this error", None;
    Copy, "copy", "copy the selected line", None;
    Status, "status", "status for chat, fifteen lines", None;
    Note, "note", "write a note into the journal", None;
    NextPane, "next-pane", "next pane", None;
    PreviousPane, "previous-pane", "previous pane", None;
    PaneRunbook, "pane-runbook", "runbook", None;
    PaneChecklist, "pane-checklist", "checklist", None;
    PanePods, "pane-pods", "pods", None;
    PaneLogs, "pane-logs", "logs", None;
    PaneRevisions, "pane-revisions", "revisions", None;
    PaneMigrations, "pane-migrations", "migrations", None;
    PanePreflight, "pane-preflight", "preflight", None;
    PaneTimeline, "pane-timeline", "timeline", None;
    Up, "up", "up", None;
    Down, "down", "down", None;
    PageUp, "page-up", "page up", None;
    PageDown, "page-down", "page down", None;
    Top, "top", "to the top", None;
    Bottom, "bottom", "to the bottom", None;
    Zoom, "zoom", "this pane alone, or all of them", None;
    Help, "help", "help", None;
    Palette, "palette", "all actions", None;
    Redraw, "redraw", "draw the screen again", None;
    Suspend, "suspend", "suspend to the shell", None;
    Quit, "quit", "quit; `lastgood resume` continues", None;
}

impl Action {
    /// The action with this word.
    pub fn named(slug: &str) -> Option<Action> {
        Self::ALL.iter().copied().find(|action| action.slug() == slug)
    }

    /// The answer that it gives, from 1.
    pub fn choice(self) -> Option<u8> {
        let first = Action::Choose1 as u8;
        (Action::Choose1..=Action::Choose9).contains(&self).then(|| self as u8 - first + 1)
    }

    /// The pane that it goes to.
    pub fn pane(self) -> Option<Pane> {
        match self {
            Action::PaneRunbook => Some(Pane::Runbook),
            Action::PaneChecklist => Some(Pane::Checklist),
            Action::PanePods => Some(Pane::Pods),
            Action::PaneLogs => Some(Pane::Logs),
            Action::PaneRevisions => Some(Pane::Revisions),
            Action::PaneMigrations => Some(Pane::Migrations),
            Action::PanePreflight => Some(Pane::Preflight),
            Action::PaneTimeline => Some(Pane::Timeline),
            _ => None,
        }
    }
}
