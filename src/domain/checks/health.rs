//! Judges the health endpoints: alive, ready, the right version, and models that answer.

use crate::domain::checklist::{Mark, Verdict};
use crate::domain::checks::unasked;
use crate::domain::gateway::{ModelHealth, Readiness, Vitals};
use crate::domain::image::Version;
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// Judges what the health endpoints said.
///
/// `models` is `None` while `/health` was not asked; `consent` says whether it may be, because it
/// calls every model. `expected` is the version that the target's image names, where it names one.
pub fn health(
    vitals: &Result<Vitals, Trouble>,
    models: Option<&Result<ModelHealth, Trouble>>,
    consent: bool,
    expected: Option<&Version>,
) -> Verdict {
    let vitals = match vitals {
        Ok(vitals) => vitals,
        Err(trouble) => return unasked(trouble),
    };
    let mut evidence = Vec::new();
    let free = [alive(vitals), ready(vitals), version(vitals, expected)];
    let mut failed = false;
    for (good, words) in free {
        // What fails is told first.
        let place = if good { evidence.len() } else { 0 };
        evidence.splice(place..place, words);
        failed |= !good;
    }
    if failed {
        return Verdict { mark: Mark::Failed, evidence };
    }
    let (mark, words) = judged_models(models, consent);
    evidence.splice(0..0, words);
    Verdict { mark, evidence }
}

type Finding = (bool, Vec<Clean>);

fn alive(vitals: &Vitals) -> Finding {
    match &vitals.liveliness {
        Ok(200) => (true, vec![Clean::ours("/health/liveliness answers 200")]),
        Ok(status) => (false, vec![say!("/health/liveliness answers {}", *status)]),
        Err(why) => (false, vec![say!("the gateway does not answer: {}", why)]),
    }
}

/// With a database configured, readiness answers 503 without it, unless
/// `allow_requests_on_db_unavailable` keeps the pod in rotation (LiteLLM 1.106, `_health_endpoints.py`).
fn ready(vitals: &Vitals) -> Finding {
    let readiness = match &vitals.readiness {
        Ok(readiness) => readiness,
        Err(why) => return (false, vec![say!("/health/readiness does not answer: {}", why)]),
    };
    let Readiness { status, word, db } = readiness;
    let database = db.as_ref().map_or("", Clean::as_str);
    let tells = |head: Clean| match db {
        Some(db) => say!("{}, status {}, database {}", head, word, db),
        None => say!("{}, status {}", head, word),
    };
    let line = tells(say!("/health/readiness answers {}", *status));
    if *status != 200 || matches!(database, "disconnected" | "stalled") {
        return (false, vec![line]);
    }
    let mut words = vec![line];
    match (vitals.allows_requests_without_db, database) {
        (_, "Not connected") => words.push(Clean::ours("readiness says that the gateway has no database configured")),
        (Some(true), _) => words.push(Clean::ours(
            "readiness proves nothing about the database: allow_requests_on_db_unavailable is set",
        )),
        (None, _) => words.push(Clean::ours(
            "readiness is proof of the database only where allow_requests_on_db_unavailable is not set, which cannot be read",
        )),
        (Some(false), _) => {}
    }
    (true, words)
}

/// Only the numbers are compared: a `-stable.patch.2` image answers with the plain number.
fn version(vitals: &Vitals, expected: Option<&Version>) -> Finding {
    let Some(told) = &vitals.version else {
        let words = match expected {
            Some(expected) => say!("which version answers cannot be told; {} is expected", expected),
            None => Clean::ours("which version answers cannot be told"),
        };
        return (true, vec![words]);
    };
    let parsed: Option<Version> = told.as_str().parse().ok();
    match (parsed, expected) {
        (Some(answered), Some(expected)) if answered.numbers() == expected.numbers() => {
            (true, vec![say!("version {} answers, as expected", answered)])
        }
        (Some(answered), Some(expected)) => (
            false,
            vec![say!("version {} answers, {} is expected: pods of another revision still serve", answered, expected)],
        ),
        (None, Some(expected)) => {
            (true, vec![say!("version {} answers, which cannot be compared with {}", told, expected)])
        }
        (_, None) => (true, vec![say!("version {} answers; the target's image does not tell its version", told)]),
    }
}

/// `/health` answers 200 even when no model is healthy, so the counts are the evidence.
fn judged_models(models: Option<&Result<ModelHealth, Trouble>>, consent: bool) -> (Mark, Vec<Clean>) {
    let health = match models {
        None if consent => return (Mark::Waiting, vec![Clean::ours("/health is calling the models")]),
        None => {
            let why = "/health calls every model, which may cost money: it waits for your consent";
            return (Mark::NeedsConsent, vec![Clean::ours(why)]);
        }
        Some(Err(trouble)) => {
            return (Mark::Unknown, vec![say!("whether the models answer is unknown: {}", trouble.sentence())]);
        }
        Some(Ok(health)) => health,
    };
    let total = health.healthy + health.unhealthy;
    let counts = say!("{} of {} models are healthy", health.healthy, total);
    let error = health.first_error.as_ref().map(|why| say!("the first unhealthy model says: {}", why));
    if health.status != 200 {
        let line = say!("/health answers {}", health.status);
        return (Mark::Failed, std::iter::once(line).chain(error).collect());
    }
    if total == 0 {
        let why = if health.from_background == Some(true) {
            "the background health checks have not looked at any model yet"
        } else {
            "/health knows no model"
        };
        return (Mark::Unknown, vec![Clean::ours(why)]);
    }
    let mark = if health.healthy == 0 { Mark::Failed } else { Mark::Ticked };
    let source = (health.from_background == Some(true)).then(|| Clean::ours("counted by background health checks"));
    (mark, std::iter::once(counts).chain(error).chain(source).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::checks::testing::{expect, trouble};
    use crate::domain::trouble::TroubleKind;

    fn vitals() -> Vitals {
        Vitals {
            liveliness: Ok(200),
            readiness: Ok(Readiness { status: 200, word: Clean::ours("healthy"), db: Some(Clean::ours("connected")) }),
            version: Some(Clean::ours("1.81.0")),
            allows_requests_without_db: Some(false),
        }
    }

    fn counted(healthy: u32, unhealthy: u32) -> ModelHealth {
        let first_error = (unhealthy > 0).then(|| Clean::ours("no such key"));
        ModelHealth { status: 200, healthy, unhealthy, first_error, from_background: None }
    }

    fn with_readiness(status: u16, word: &'static str, db: Option<&'static str>) -> Vitals {
        let readiness = Readiness { status, word: Clean::ours(word), db: db.map(Clean::ours) };
        Vitals { readiness: Ok(readiness), ..vitals() }
    }

    #[test]
    fn what_costs_nothing_is_judged_first() {
        let expected: Version = "v1.81.0-stable.patch.2".parse().unwrap();
        let rows = [
            ("ready", vitals(), Mark::NeedsConsent, "consent"),
            ("dead", Vitals { liveliness: Ok(503), ..vitals() }, Mark::Failed, "/health/liveliness answers 503"),
            (
                "silent",
                Vitals { liveliness: Err(Clean::ours("connection refused")), ..vitals() },
                Mark::Failed,
                "does not answer: connection refused",
            ),
            ("draining", with_readiness(503, "shutting_down", None), Mark::Failed, "answers 503, status shutting_down"),
            (
                "no database",
                with_readiness(503, "healthy", Some("disconnected")),
                Mark::Failed,
                "503, status healthy, database disconnected",
            ),
            ("kept in rotation", with_readiness(200, "healthy", Some("stalled")), Mark::Failed, "database stalled"),
            (
                "without a database",
                with_readiness(200, "healthy", Some("Not connected")),
                Mark::NeedsConsent,
                "no database configured",
            ),
            (
                "readiness proves nothing",
                Vitals { allows_requests_without_db: Some(true), ..vitals() },
                Mark::NeedsConsent,
                "proves nothing about the database",
            ),
            (
                "flag unknown",
                Vitals { allows_requests_without_db: None, ..vitals() },
                Mark::NeedsConsent,
                "which cannot be read",
            ),
            (
                "other version",
                Vitals { version: Some(Clean::ours("1.83.14")), ..vitals() },
                Mark::Failed,
                "version 1.83.14 answers, 1.81.0-patch.2 is expected",
            ),
            ("patch of the same number", vitals(), Mark::NeedsConsent, "1.81.0 answers, as expected"),
            ("silent version", Vitals { version: None, ..vitals() }, Mark::NeedsConsent, "cannot be told"),
            (
                "odd version",
                Vitals { version: Some(Clean::ours("dev")), ..vitals() },
                Mark::NeedsConsent,
                "cannot be compared",
            ),
        ];
        for (name, vitals, mark, words) in rows {
            expect(name, &health(&Ok(vitals), None, false, Some(&expected)), mark, words);
        }
        let untold = health(&Ok(vitals()), None, false, None);
        expect("target unknown", &untold, Mark::NeedsConsent, "the target's image does not tell its version");
    }

    #[test]
    fn counts_of_models_are_the_evidence() {
        let background = ModelHealth { from_background: Some(true), ..counted(0, 0) };
        let rows = [
            ("all", Ok(counted(3, 0)), Mark::Ticked, "3 of 3 models are healthy"),
            ("some", Ok(counted(1, 2)), Mark::Ticked, "1 of 3 models are healthy | the first unhealthy model says: no"),
            ("none, though 200", Ok(counted(0, 2)), Mark::Failed, "0 of 2 models are healthy"),
            ("nothing counted", Ok(counted(0, 0)), Mark::Unknown, "/health knows no model"),
            ("too early", Ok(background), Mark::Unknown, "have not looked at any model yet"),
            ("error", Ok(ModelHealth { status: 500, ..counted(3, 0) }), Mark::Failed, "/health answers 500"),
            ("key refused", Err(trouble(TroubleKind::Unauthenticated)), Mark::Unknown, "it broke; mend it"),
            ("no answer", Err(trouble(TroubleKind::Unreachable)), Mark::Unknown, "it broke; mend it"),
        ];
        for (name, models, mark, words) in rows {
            expect(name, &health(&Ok(vitals()), Some(&models), true, None), mark, words);
            let dead = Vitals { liveliness: Ok(503), ..vitals() };
            expect(name, &health(&Ok(dead), Some(&models), true, None), Mark::Failed, "liveliness answers 503");
        }
    }

    #[test]
    fn money_is_spent_with_consent_only() {
        expect("asked", &health(&Ok(vitals()), None, false, None), Mark::NeedsConsent, "may cost money");
        expect("allowed", &health(&Ok(vitals()), None, true, None), Mark::Waiting, "is calling the models");
        let background = Ok(ModelHealth { from_background: Some(true), ..counted(2, 0) });
        expect(
            "free",
            &health(&Ok(vitals()), Some(&background), false, None),
            Mark::Ticked,
            "background health checks",
        );
    }

    #[test]
    fn a_gateway_that_cannot_be_asked_is_no_failure() {
        let missing = health(&Err(trouble(TroubleKind::Missing)), None, true, None);
        expect("missing", &missing, Mark::NotConfigured, "it broke");
        expect("other", &health(&Err(trouble(TroubleKind::Forbidden)), None, true, None), Mark::Unknown, "mend it");
    }
}
