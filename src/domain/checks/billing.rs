//! Judges billing: usage events reach Lago, where it is configured.

use std::sync::LazyLock;

use jiff::{Timestamp, Unit};
use memchr::memmem::Finder;

use crate::domain::checklist::{Mark, Verdict};
use crate::domain::name::Name;
use crate::text::Clean;

/// What a line of LiteLLM's Lago logger says (`integrations/lago.py`, the same from 1.74 to 1.106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LagoLine {
    /// The event was put together. Written before it is sent, so it proves nothing.
    Built,
    /// Lago took it: written after a 2xx answer, with its body in the same line.
    Delivered,
}

/// Reads a cleaned log line. Both lines begin with the same words; only the second goes on with
/// the body of an answer.
pub fn lago_line(line: &str) -> Option<LagoLine> {
    const WORDS: &str = "Logged Lago Object:";
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(WORDS));
    let rest = &line[FINDER.find(line.as_bytes())? + WORDS.len()..];
    // In JSON logs the first line's feed is the two characters `\n`.
    let body = rest.trim();
    let delivered = rest.starts_with(' ') && !body.is_empty() && !body.starts_with("\\n");
    Some(if delivered { LagoLine::Delivered } else { LagoLine::Built })
}

/// All that is known of billing.
#[derive(Clone, Debug, Default)]
pub struct BillingFindings<'a> {
    /// The environment says that usage events are expected.
    pub configured: bool,
    /// The gateway's active callbacks, where they could be read.
    pub callbacks: Option<&'a [Clean]>,
    /// The last [`LagoLine::Delivered`] since the revert: in which pod, and when.
    pub delivered: Option<(Name, Timestamp)>,
    /// The last [`LagoLine::Built`] since the revert.
    pub built: Option<(Name, Timestamp)>,
}

/// Judges billing.
pub fn billing(findings: &BillingFindings<'_>) -> Verdict {
    let lago = findings.callbacks.map(|callbacks| callbacks.iter().any(is_lago));
    let callback = match lago {
        Some(true) => Clean::ours("the gateway's callbacks name Lago"),
        Some(false) => Clean::ours("the gateway's callbacks do not name Lago"),
        None => Clean::ours("the gateway's callbacks could not be read"),
    };
    if !findings.configured {
        let verdict = Verdict::new(Mark::NotConfigured, Clean::ours("this environment has no Lago configured"));
        return if lago == Some(true) { verdict.and(callback) } else { verdict };
    }
    if lago == Some(false) {
        return Verdict::new(Mark::Failed, callback).and(Clean::ours("no usage event is sent"));
    }
    let verdict = match (&findings.delivered, &findings.built) {
        (Some((pod, at)), _) => {
            Verdict::new(Mark::Ticked, say!("{} logged Lago's answer to an event at {}", pod, second(*at)))
        }
        (None, Some((pod, at))) => Verdict::new(
            Mark::Unknown,
            say!("{} put an event together at {}, and no line says that Lago took it", pod, second(*at)),
        ),
        (None, None) => {
            Verdict::new(Mark::Unknown, Clean::ours("no line tells of an event since the revert")).and(Clean::ours(
                "LiteLLM writes that line at level DEBUG only (1.74: with --detailed_debug only), so its absence proves nothing: look in Lago itself",
            ))
        }
    };
    verdict.and(callback)
}

/// `lago`, or an object of the class `LagoLogger` by whatever words Python has for it.
fn is_lago(callback: &Clean) -> bool {
    let name = callback.as_str();
    name.trim().eq_ignore_ascii_case("lago") || name.contains("LagoLogger")
}

fn second(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::checks::testing::expect;
    use crate::text::Gate;

    #[test]
    fn only_the_second_line_proves_delivery() {
        let gate = Gate::default();
        let rows = [
            ("\u{1b}[91mLogged Lago Object:", Some(LagoLine::Built)),
            ("11:20:00 - LiteLLM:DEBUG: lago.py:127 - \u{1b}[91mLogged Lago Object:", Some(LagoLine::Built)),
            ("Logged Lago Object:\n{'event': {}}", Some(LagoLine::Built)),
            ("Logged Lago Object: ", Some(LagoLine::Built)),
            (r#"{"message": "Logged Lago Object:\n{'event': {}}", "level": "DEBUG"}"#, Some(LagoLine::Built)),
            (r#"Logged Lago Object: {"event":{"lago_id":"1"}}"#, Some(LagoLine::Delivered)),
            ("ENTERS LAGO CALLBACK", None),
        ];
        for (line, expected) in rows {
            assert_eq!(lago_line(gate.clean(line).as_str()), expected, "{line}");
        }
    }

    #[test]
    fn absence_is_unknown_and_a_missing_callback_is_a_failure() {
        let named = [Clean::ours("<litellm.integrations.lago.LagoLogger object at 0x7f>")];
        let short = [Clean::ours("langfuse"), Clean::ours("lago")];
        let other = [Clean::ours("langfuse"), Clean::ours("cargo_lagoon")];
        let seen = || Some(("api-1".parse().unwrap(), Timestamp::UNIX_EPOCH));
        let with = |callbacks| BillingFindings { configured: true, callbacks, ..BillingFindings::default() };
        let rows = [
            ("none", BillingFindings::default(), Mark::NotConfigured, "no Lago configured"),
            (
                "unexpected",
                BillingFindings { configured: false, ..with(Some(&named[..])) },
                Mark::NotConfigured,
                "callbacks name Lago",
            ),
            ("gone", with(Some(&other[..])), Mark::Failed, "do not name Lago | no usage event is sent"),
            (
                "delivered",
                BillingFindings { delivered: seen(), built: seen(), ..with(Some(&named[..])) },
                Mark::Ticked,
                "api-1 logged Lago's answer to an event at 1970-01-01T00:00:00Z | the gateway's callbacks name",
            ),
            (
                "delivered, blind",
                BillingFindings { delivered: seen(), ..with(None) },
                Mark::Ticked,
                "could not be read",
            ),
            ("built", BillingFindings { built: seen(), ..with(Some(&short[..])) }, Mark::Unknown, "no line says that"),
            ("silent", with(Some(&short[..])), Mark::Unknown, "level DEBUG only"),
        ];
        for (name, findings, mark, words) in rows {
            expect(name, &billing(&findings), mark, words);
        }
    }
}
