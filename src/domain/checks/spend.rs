//! Judges the spend log: a test completion's own row, within the batch interval.

use jiff::{SignedDuration, Timestamp};

use crate::domain::checklist::{Mark, Verdict};
use crate::domain::gateway::{Completion, Settings, SpendRow};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

/// The longest that a row is waited for: LiteLLM's documentation recommends an interval of 60 s.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(90);

/// Rows are written every `proxy_batch_write_at` seconds plus up to this many, which LiteLLM
/// draws at random.
const JITTER: SignedDuration = SignedDuration::from_secs(5);

/// How much older than its completion a row may say it is: the `Date` of an answer has whole
/// seconds, and clocks differ a little.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(10);

/// All that is known of the spend log.
#[derive(Clone, Copy, Debug)]
pub struct SpendFindings<'a> {
    /// Settings of the gateway, once they were read.
    pub settings: Option<&'a Result<Settings, Trouble>>,
    /// The operator agreed that a completion may be paid for.
    pub consent: bool,
    /// The test completion, once it was sent and answered.
    pub completion: Option<&'a Result<Completion, Trouble>>,
    /// An earlier completion had the same id, so a row of it proves nothing.
    pub repeated: bool,
    /// What the database said of its row the last time.
    pub row: Option<&'a Result<Option<SpendRow>, Trouble>>,
    /// The time.
    pub now: Timestamp,
}

/// How long after the completion its row is waited for.
pub fn waits_for(settings: Option<&Settings>) -> SignedDuration {
    match settings.and_then(|settings| settings.batch_write_seconds) {
        Some(seconds) => (SignedDuration::from_secs(i64::from(seconds)) + JITTER).min(LONGEST_WAIT),
        // The API does not show the interval (LiteLLM 1.74 to 1.106), so the default of 10 s
        // cannot be taken for granted.
        None => LONGEST_WAIT,
    }
}

/// Judges the spend log.
pub fn spend(findings: &SpendFindings<'_>) -> Verdict {
    let settings = findings.settings.and_then(|settings| settings.as_ref().ok());
    if settings.and_then(|settings| settings.disable_spend_logs) == Some(true) {
        let why = "disable_spend_logs is set: the gateway writes no row for any completion, so nothing can be proved";
        return Verdict::new(Mark::Unknown, Clean::ours(why));
    }
    match findings.completion {
        None if findings.consent => Verdict::new(Mark::Waiting, Clean::ours("the test completion is being sent")),
        None => Verdict::new(
            Mark::NeedsConsent,
            Clean::ours("a test completion of one token calls a real model: it waits for your consent"),
        ),
        Some(Err(trouble)) => unanswered(trouble),
        Some(Ok(completion)) => {
            let mut verdict = recorded(completion, findings, settings);
            verdict.evidence.extend(about(completion));
            verdict
        }
    }
}

fn unanswered(trouble: &Trouble) -> Verdict {
    let words = say!("the test completion got no answer: {}", trouble.sentence());
    match trouble.kind {
        // The gateway itself said no, or is not there.
        TroubleKind::Refused | TroubleKind::Unreachable | TroubleKind::Busy => Verdict::new(Mark::Failed, words),
        _ => Verdict::new(Mark::Unknown, words),
    }
}

fn recorded(completion: &Completion, findings: &SpendFindings<'_>, settings: Option<&Settings>) -> Verdict {
    let waited = findings.now.duration_since(completion.at);
    let patience = waits_for(settings);
    match findings.row {
        Some(Ok(Some(_))) if findings.repeated => {
            duplicate(say!("an earlier completion had the id {}, too", completion.id))
        }
        Some(Ok(Some(row))) => found(completion, row),
        Some(Err(trouble)) => Verdict::new(
            Mark::Unknown,
            say!("the row of {} cannot be looked up: {}", completion.id, trouble.sentence()),
        ),
        None | Some(Ok(None)) if waited < patience => Verdict::new(
            Mark::Waiting,
            say!(
                "no row of {} yet, after {} s of at most {} s",
                completion.id,
                waited.as_secs().max(0),
                patience.as_secs()
            ),
        ),
        None => Verdict::new(Mark::Unknown, say!("the row of {} was not looked up", completion.id)),
        Some(Ok(None)) => absent(completion, waited, settings),
    }
}

/// A provider or a mock that repeats an id: LiteLLM inserts with `skip_duplicates`, so the new row
/// is dropped and an old one answers (LiteLLM issues 28376 and 39749).
fn duplicate(how: Clean) -> Verdict {
    let why = "the model repeats its ids, and LiteLLM drops the new row as a duplicate: ask another model, one that is not mocked";
    Verdict::new(Mark::Unknown, how).and(Clean::ours(why))
}

fn found(completion: &Completion, row: &SpendRow) -> Verdict {
    if let Some(started) = row.started
        && completion.dated.unwrap_or(completion.at).duration_since(started) > TOLERANCE
    {
        return duplicate(say!("the row of {} started at {}, before the completion", completion.id, started));
    }
    if amount(completion.cost.as_ref()) > 0.0 && amount(Some(&row.spend)) == 0.0 {
        let cost = completion.cost.clone().unwrap_or_default();
        let words = say!("the row of {} says spend {}, the gateway computed {}", completion.id, row.spend, cost);
        return Verdict::new(Mark::Failed, words);
    }
    let words = say!("the row of {} is there: spend {}, {} tokens", completion.id, row.spend, row.total_tokens);
    let verdict = Verdict::new(Mark::Ticked, words);
    match row.started {
        Some(_) => verdict,
        None => {
            verdict.and(Clean::ours("the row has no startTime, so it cannot be told from an older one of the same id"))
        }
    }
}

fn absent(completion: &Completion, waited: SignedDuration, settings: Option<&Settings>) -> Verdict {
    let seconds = settings.and_then(|settings| settings.batch_write_seconds);
    let words = say!("no row of {} after {} s", completion.id, waited.as_secs());
    match seconds {
        Some(seconds) if SignedDuration::from_secs(i64::from(seconds)) + JITTER > LONGEST_WAIT => {
            let why =
                say!("rows are written every {} s only (proxy_batch_write_at), longer than the check waits", seconds);
            Verdict::new(Mark::Unknown, words).and(why)
        }
        Some(seconds) => {
            Verdict::new(Mark::Failed, words).and(say!("rows are written every {} s (proxy_batch_write_at)", seconds))
        }
        None => Verdict::new(Mark::Failed, words).and(Clean::ours(
            "the API tells neither proxy_batch_write_at nor disable_spend_logs: look for both under general_settings",
        )),
    }
}

fn about(completion: &Completion) -> Option<Clean> {
    let cost = completion.cost.as_ref()?;
    Some(say!("{} answered, at a cost of {}", completion.model, cost))
}

fn amount(text: Option<&Clean>) -> f64 {
    text.and_then(|text| text.as_str().trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::checks::testing::{expect, trouble};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn completion() -> Completion {
        Completion {
            id: "chatcmpl-1".parse().unwrap(),
            model: "gpt".parse().unwrap(),
            at: at(0),
            dated: None,
            version: None,
            cost: Some(Clean::ours("1.35e-05")),
        }
    }

    fn row(spend: &'static str, started: Option<i64>) -> SpendRow {
        let id = "chatcmpl-1".parse().unwrap();
        SpendRow { id, spend: Clean::ours(spend), total_tokens: 30, started: started.map(at) }
    }

    fn every(seconds: u32) -> Settings {
        Settings { batch_write_seconds: Some(seconds), ..Settings::default() }
    }

    #[test]
    fn the_row_is_waited_for_as_long_as_the_batch_takes() {
        let rows = [(None, 90), (Some(every(10)), 15), (Some(every(60)), 65), (Some(every(600)), 90)];
        for (settings, seconds) in rows {
            assert_eq!(waits_for(settings.as_ref()), SignedDuration::from_secs(seconds));
        }
    }

    #[test]
    fn only_the_completions_own_row_is_proof() {
        let ours = || Ok(Some(row("1.35e-05", Some(-1))));
        let database = Err(trouble(TroubleKind::Unreachable));
        let rows = [
            (
                "there",
                3,
                every(10),
                Some(ours()),
                Mark::Ticked,
                "the row of chatcmpl-1 is there: spend 1.35e-05, 30 tok",
            ),
            ("no start", 3, every(10), Some(Ok(Some(row("1", None)))), Mark::Ticked, "has no startTime"),
            ("not yet", 14, every(10), Some(Ok(None)), Mark::Waiting, "after 14 s of at most 15 s"),
            ("not asked yet", 1, every(10), None, Mark::Waiting, "no row of chatcmpl-1 yet"),
            ("too late", 15, every(10), Some(Ok(None)), Mark::Failed, "no row of chatcmpl-1 after 15 s"),
            ("recommended", 64, every(60), Some(Ok(None)), Mark::Waiting, "at most 65 s"),
            ("interval unknown", 89, Settings::default(), Some(Ok(None)), Mark::Waiting, "at most 90 s"),
            (
                "interval unknown",
                90,
                Settings::default(),
                Some(Ok(None)),
                Mark::Failed,
                "look for both under general_settings",
            ),
            ("interval too long", 90, every(600), Some(Ok(None)), Mark::Unknown, "every 600 s only"),
            ("never asked", 99, every(10), None, Mark::Unknown, "was not looked up"),
            (
                "duplicate",
                3,
                every(10),
                Some(Ok(Some(row("1", Some(-60))))),
                Mark::Unknown,
                "before the completion | the model repeats its ids",
            ),
            (
                "free of charge",
                3,
                every(10),
                Some(Ok(Some(row("0.0", Some(0))))),
                Mark::Failed,
                "says spend 0.0, the gateway",
            ),
            ("no database", 3, every(10), Some(database), Mark::Unknown, "cannot be looked up: it broke; mend it"),
        ];
        for (name, now, settings, row, mark, words) in rows {
            let findings = SpendFindings {
                settings: Some(&Ok(settings)),
                consent: true,
                completion: Some(&Ok(completion())),
                repeated: false,
                row: row.as_ref(),
                now: at(now),
            };
            expect(name, &spend(&findings), mark, words);
        }
    }

    #[test]
    fn a_completion_that_failed_is_judged_by_who_said_no() {
        let rows = [
            (TroubleKind::Refused, Mark::Failed),
            (TroubleKind::Unreachable, Mark::Failed),
            (TroubleKind::Busy, Mark::Failed),
            (TroubleKind::Unauthenticated, Mark::Unknown),
            (TroubleKind::Forbidden, Mark::Unknown),
            (TroubleKind::Invalid, Mark::Unknown),
            (TroubleKind::Unknown, Mark::Unknown),
        ];
        for (kind, mark) in rows {
            let completion = Err(trouble(kind));
            let findings = SpendFindings {
                settings: None,
                consent: true,
                completion: Some(&completion),
                repeated: false,
                row: None,
                now: at(0),
            };
            expect("failed", &spend(&findings), mark, "got no answer: it broke");
        }
    }

    #[test]
    fn a_rows_age_is_told_by_the_gateways_clock() {
        let row = Ok(Some(row("1.35e-05", Some(299))));
        for (dated, mark) in [(300, Mark::Ticked), (400, Mark::Unknown)] {
            let completion = Ok(Completion { dated: Some(at(dated)), ..completion() });
            let findings = SpendFindings {
                settings: None,
                consent: true,
                completion: Some(&completion),
                repeated: false,
                row: Some(&row),
                now: at(1),
            };
            expect("clock", &spend(&findings), mark, "the row of chatcmpl-1");
        }
    }

    #[test]
    fn an_id_that_came_before_proves_nothing() {
        let (completion, row) = (Ok(completion()), Ok(Some(row("1.35e-05", Some(0)))));
        let findings = SpendFindings {
            settings: None,
            consent: true,
            completion: Some(&completion),
            repeated: true,
            row: Some(&row),
            now: at(1),
        };
        expect("repeated", &spend(&findings), Mark::Unknown, "an earlier completion had the id chatcmpl-1, too");
    }

    #[test]
    fn nothing_is_paid_for_without_consent_or_use() {
        let off = Ok(Settings { disable_spend_logs: Some(true), ..Settings::default() });
        let none =
            SpendFindings { settings: None, consent: false, completion: None, repeated: false, row: None, now: at(0) };
        expect("asked", &spend(&none), Mark::NeedsConsent, "calls a real model");
        expect("allowed", &spend(&SpendFindings { consent: true, ..none }), Mark::Waiting, "is being sent");
        let off = SpendFindings { settings: Some(&off), ..none };
        expect("off", &spend(&off), Mark::Unknown, "disable_spend_logs is set");
    }
}
