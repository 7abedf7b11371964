//! The judges of the checklist: raw findings in, a verdict with its evidence out.
//!
//! Pure and strict: a tick needs proof, a failure needs proof of the contrary, and everything
//! between is *unknown* with the reason. The rules that are not obvious come from what LiteLLM
//! 1.74 to 1.106 does and are told where they are applied.

mod admin_ui;
mod billing;
mod cache;
mod health;
mod logs;
mod spend;

pub use admin_ui::admin_ui;
pub use billing::{BillingFindings, LagoLine, billing, lago_line};
pub use cache::cache;
pub use health::health;
pub use logs::{Hits, LogFindings, PodLog, QUIET, Since, Stream, logs};
pub use spend::{LONGEST_WAIT, SpendFindings, spend, waits_for};

use crate::domain::checklist::{Mark, Verdict};
use crate::domain::trouble::{Trouble, TroubleKind};

/// The verdict on a part that could not be asked: not there, or nobody can tell.
fn unasked(trouble: &Trouble) -> Verdict {
    let mark = if trouble.kind == TroubleKind::Missing { Mark::NotConfigured } else { Mark::Unknown };
    Verdict::new(mark, trouble.sentence())
}

/// Findings that the tests of all judges share.
#[cfg(test)]
mod testing {
    use super::*;
    use crate::text::Clean;

    /// The mark, and all evidence in one line.
    pub fn told(verdict: &Verdict) -> (Mark, String) {
        let evidence: Vec<_> = verdict.evidence.iter().map(Clean::as_str).collect();
        (verdict.mark, evidence.join(" | "))
    }

    /// A row of a table: the verdict has this mark and says these words.
    #[track_caller]
    pub fn expect(name: &str, verdict: &Verdict, mark: Mark, words: &str) {
        let (found, evidence) = told(verdict);
        assert_eq!(found, mark, "{name}: {evidence}");
        assert!(evidence.contains(words), "{name}: {evidence:?} lacks {words:?}");
        for sentence in &verdict.evidence {
            assert!(!sentence.is_empty() && !sentence.as_str().ends_with('.'), "{name}: {sentence}");
        }
    }

    pub fn trouble(kind: TroubleKind) -> Trouble {
        Trouble::new(kind, Clean::ours("it broke")).remedy(Clean::ours("mend it"))
    }
}
