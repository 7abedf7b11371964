//! Judges the admin UI: the page, one of its assets, and the API that fills it.

use crate::domain::checklist::{Mark, Verdict};
use crate::domain::checks::unasked;
use crate::domain::gateway::AdminUi;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

/// Judges the admin UI. The page alone proves nothing: it has been served with every asset
/// missing (LiteLLM issues 11531, 14975 and 18314).
pub fn admin_ui(found: &Result<AdminUi, Trouble>) -> Verdict {
    let found = match found {
        Ok(found) => found,
        Err(trouble) => return unasked(trouble),
    };
    let mut parts = [page(found), asset(found), listed("keys", &found.keys), listed("teams", &found.teams)];
    // The worst is told first, and decides.
    parts.sort_by_key(|(mark, _)| match mark {
        Mark::Failed => 0,
        Mark::Ticked => 2,
        _ => 1,
    });
    let mark = parts[0].0;
    Verdict { mark, evidence: parts.into_iter().map(|(_, words)| words).collect() }
}

fn page(found: &AdminUi) -> (Mark, Clean) {
    match &found.page {
        Ok(200) => (Mark::Ticked, Clean::ours("/ui/ loads")),
        Ok(status) => (Mark::Failed, say!("/ui/ answers {}", *status)),
        Err(why) => (Mark::Failed, say!("/ui/ does not answer: {}", why)),
    }
}

fn asset(found: &AdminUi) -> (Mark, Clean) {
    match &found.asset {
        None => (Mark::Unknown, Clean::ours("the page names no asset, so whether it works cannot be told")),
        Some((path, Ok(200))) => (Mark::Ticked, say!("its asset {} loads", path)),
        Some((path, Ok(status))) => {
            (Mark::Failed, say!("its asset {} answers {}: the page stays blank", path, *status))
        }
        Some((path, Err(why))) => (Mark::Failed, say!("its asset {} does not answer: {}", path, why)),
    }
}

fn listed(what: &'static str, count: &Result<u64, Trouble>) -> (Mark, Clean) {
    match count {
        Ok(count) => (Mark::Ticked, say!("{} {} listed", *count, what)),
        Err(trouble) => {
            let ours = matches!(
                trouble.kind,
                TroubleKind::Unauthenticated | TroubleKind::Forbidden | TroubleKind::Missing | TroubleKind::Busy
            );
            let mark = if ours { Mark::Unknown } else { Mark::Failed };
            (mark, say!("{} are not listed: {}", what, trouble.sentence()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::checks::testing::{expect, trouble};

    fn whole() -> AdminUi {
        AdminUi { page: Ok(200), asset: Some((Clean::ours("/_next/a.js"), Ok(200))), keys: Ok(3), teams: Ok(0) }
    }

    #[test]
    fn a_page_alone_is_no_proof() {
        let path = || Clean::ours("/_next/a.js");
        let rows = [
            (
                "whole",
                whole(),
                Mark::Ticked,
                "/ui/ loads | its asset /_next/a.js loads | 3 keys listed | 0 teams listed",
            ),
            ("no page", AdminUi { page: Ok(404), ..whole() }, Mark::Failed, "/ui/ answers 404"),
            ("silent", AdminUi { page: Err(Clean::ours("timed out")), ..whole() }, Mark::Failed, "answer: timed out"),
            (
                "blank",
                AdminUi { asset: Some((path(), Ok(404))), ..whole() },
                Mark::Failed,
                "answers 404: the page stays",
            ),
            ("no asset", AdminUi { asset: None, ..whole() }, Mark::Unknown, "names no asset"),
            (
                "no keys",
                AdminUi { keys: Err(trouble(TroubleKind::Refused)), asset: None, ..whole() },
                Mark::Failed,
                "keys are not listed: it broke; mend it",
            ),
            (
                "not allowed",
                AdminUi { teams: Err(trouble(TroubleKind::Forbidden)), ..whole() },
                Mark::Unknown,
                "teams are not listed",
            ),
        ];
        for (name, found, mark, words) in rows {
            expect(name, &admin_ui(&Ok(found)), mark, words);
        }
        expect("missing", &admin_ui(&Err(trouble(TroubleKind::Missing))), Mark::NotConfigured, "it broke");
    }
}
