//! The checklist: what must be true after a rollback, what is known of it, and since when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::text::Clean;

/// The six items of the rollback guide's verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckId {
    /// The gateway answers, is ready, and at least one model is healthy.
    Health,
    /// No Prisma or schema error in any pod's log since the revert.
    Logs,
    /// A test completion's own row appears in `"LiteLLM_SpendLogs"`.
    Spend,
    /// Usage events reach Lago, where it is configured.
    Billing,
    /// Redis answers, where it is configured.
    Cache,
    /// The admin UI loads, and keys and teams are listed.
    AdminUi,
}

impl CheckId {
    /// All six, in the guide's order.
    pub const ALL: [CheckId; 6] =
        [CheckId::Health, CheckId::Logs, CheckId::Spend, CheckId::Billing, CheckId::Cache, CheckId::AdminUi];

    /// The word for `--json` and for the journal.
    pub fn slug(self) -> &'static str {
        match self {
            CheckId::Health => "health",
            CheckId::Logs => "logs",
            CheckId::Spend => "spend",
            CheckId::Billing => "billing",
            CheckId::Cache => "cache",
            CheckId::AdminUi => "admin-ui",
        }
    }

    /// The line on the screen.
    pub fn title(self) -> &'static str {
        match self {
            CheckId::Health => "Health endpoint",
            CheckId::Logs => "No schema errors in logs",
            CheckId::Spend => "Spend is recorded",
            CheckId::Billing => "Billing events (Lago)",
            CheckId::Cache => "Cache (Redis)",
            CheckId::AdminUi => "Admin UI",
        }
    }

    /// Whether running it may call a model and so cost money.
    pub fn costs_money(self) -> bool {
        matches!(self, CheckId::Health | CheckId::Spend)
    }
}

/// What is known of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Not looked at yet.
    Waiting,
    /// It would call a real model: the operator is asked before money is spent.
    NeedsConsent,
    /// True, with evidence.
    Ticked,
    /// Not true, with evidence.
    Failed,
    /// Looked at, and nobody can tell. Never counts as ticked.
    Unknown,
    /// This environment has no such part, as the configuration says.
    NotConfigured,
}

impl Mark {
    /// The word for the screen and for `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Waiting => "waiting",
            Mark::NeedsConsent => "needs-consent",
            Mark::Ticked => "ticked",
            Mark::Failed => "failed",
            Mark::Unknown => "unknown",
            Mark::NotConfigured => "not-configured",
        }
    }

    /// Nothing more is wanted of this item.
    pub fn settled(self) -> bool {
        matches!(self, Mark::Ticked | Mark::NotConfigured)
    }
}

/// A judgement: the mark and what it rests on, most telling first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The mark.
    pub mark: Mark,
    /// Sentences without full stops.
    pub evidence: Vec<Clean>,
}

impl Verdict {
    /// A verdict with one piece of evidence.
    pub fn new(mark: Mark, evidence: Clean) -> Self {
        Self { mark, evidence: vec![evidence] }
    }

    /// The same with one more piece of evidence.
    #[must_use]
    pub fn and(mut self, evidence: Clean) -> Self {
        self.evidence.push(evidence);
        self
    }
}

/// One item of the checklist.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Which item.
    pub id: CheckId,
    /// The last verdict.
    pub verdict: Verdict,
    /// When the oldest answer came that the verdict rests on.
    pub seen_at: Option<Timestamp>,
    /// Since when the mark has been what it is.
    pub since: Option<Timestamp>,
    /// It was ticked before and is not any more.
    pub unticked: bool,
}

/// All six items.
#[derive(Clone, Debug, PartialEq)]
pub struct Checklist {
    checks: [Check; 6],
}

impl Default for Checklist {
    fn default() -> Self {
        let waiting = |id| Check {
            id,
            verdict: Verdict::new(Mark::Waiting, Clean::ours("not looked at yet")),
            seen_at: None,
            since: None,
            unticked: false,
        };
        Self { checks: CheckId::ALL.map(waiting) }
    }
}

impl Checklist {
    /// The items in order.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// One item.
    pub fn get(&self, id: CheckId) -> &Check {
        &self.checks[id as usize]
    }

    /// Records a verdict that rests on answers from `at` on. Returns true when the mark changed, which is worth a journal entry.
    pub fn judge(&mut self, id: CheckId, verdict: Verdict, at: Timestamp, now: Timestamp) -> bool {
        let check = &mut self.checks[id as usize];
        let changed = check.verdict.mark != verdict.mark;
        if changed && check.verdict.mark == Mark::Ticked {
            check.unticked = true;
        }
        if verdict.mark == Mark::Ticked {
            check.unticked = false;
        }
        if changed {
            check.since = Some(now);
        }
        check.seen_at = Some(at);
        check.verdict = verdict;
        changed
    }

    /// Everything that is configured is ticked.
    pub fn complete(&self) -> bool {
        self.checks.iter().all(|check| check.verdict.mark.settled())
    }

    /// How many are settled, of how many.
    pub fn tally(&self) -> (usize, usize) {
        (self.checks.iter().filter(|check| check.verdict.mark.settled()).count(), self.checks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_that_stops_being_true_is_unticked() {
        let mut list = Checklist::default();
        let now = Timestamp::UNIX_EPOCH;
        assert!(list.judge(CheckId::Health, Verdict::new(Mark::Ticked, Clean::ours("yes")), now, now));
        assert!(!list.judge(CheckId::Health, Verdict::new(Mark::Ticked, Clean::ours("yes")), now, now));
        assert!(list.judge(CheckId::Health, Verdict::new(Mark::Unknown, Clean::ours("lost")), now, now));
        assert!(list.get(CheckId::Health).unticked);
        assert!(!list.complete());
    }
}
