//! What went wrong outside, as data: it becomes a message, a notice and a greyed pane.

use serde::Serialize;

use crate::text::Clean;

/// The kinds of failure that lead to different next moves and different exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    /// This environment has no such part, or it is not configured.
    Missing,
    /// No answer: refused, timed out, no route, no such host.
    Unreachable,
    /// Credentials are wrong or absent.
    Unauthenticated,
    /// Known, but not allowed to do this.
    Forbidden,
    /// The object is not there.
    NotFound,
    /// It changed under our feet; nothing was applied.
    Changed,
    /// A gate of ours or of the server refused; nothing was applied.
    Refused,
    /// Somebody else holds a lock, or an operation is in flight.
    Busy,
    /// The request was understood and is impossible as asked.
    Invalid,
    /// A program that we call is missing or too old.
    Program,
    /// This machine has no room, no permission or no such folder.
    Disk,
    /// It was sent and no answer came: nobody knows whether it happened.
    Unknown,
    /// The operator cancelled it.
    Cancelled,
}

impl TroubleKind {
    /// It may go away by itself, without anybody doing anything about it.
    pub fn passing(self) -> bool {
        matches!(self, TroubleKind::Unreachable | TroubleKind::Busy)
    }
}

/// One failure: what happened, to which object, and what to do now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Which kind, for decisions.
    pub kind: TroubleKind,
    /// What happened and to which object, in one sentence without a full stop.
    pub what: Clean,
    /// What the operator can do now. Empty when there is nothing sensible to say.
    pub remedy: Clean,
}

impl Trouble {
    /// A failure without a remedy.
    pub fn new(kind: TroubleKind, what: Clean) -> Self {
        Self { kind, what, remedy: Clean::default() }
    }

    /// Adds what to do now.
    #[must_use]
    pub fn remedy(mut self, remedy: Clean) -> Self {
        self.remedy = remedy;
        self
    }

    /// What happened and what to do, in one line.
    pub fn sentence(&self) -> Clean {
        if self.remedy.is_empty() { self.what.clone() } else { crate::say!("{}; {}", self.what, self.remedy) }
    }
}
