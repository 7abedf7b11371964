//! Judges the logs: no Prisma or schema error in any pod since the revert.

use jiff::{SignedDuration, Timestamp, Unit};

use crate::domain::checklist::{Mark, Verdict};
use crate::domain::name::Name;
use crate::domain::signature::{Severity, Signature};
use crate::text::Clean;

/// How long every pod must have been followed before silence means anything.
pub const QUIET: SignedDuration = SignedDuration::from_secs(20);

/// From when on lines count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The last act that started pods.
    Revert(Timestamp),
    /// Nothing was reverted: the incident's opening.
    Opening(Timestamp),
}

impl Since {
    fn at(self) -> Timestamp {
        match self {
            Since::Revert(at) | Since::Opening(at) => at,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Since::Revert(_) => "since the revert",
            Since::Opening(_) => "since the incident was opened (nothing was reverted yet)",
        }
    }
}

/// What is known of one pod's log stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Followed without a gap since then. A log that is read from its beginning has no gap.
    Following(Timestamp),
    /// Its container ended and its log was read to the end.
    Ended,
    /// Not opened yet.
    Unopened,
    /// Not followed, because this many are followed already.
    Beyond(usize),
    /// Lost, and why.
    Lost(Clean),
}

/// How often one signature was seen in one pod since [`LogFindings::since`].
#[derive(Clone, Debug)]
pub struct Hits<'a> {
    /// Which signature.
    pub signature: &'a Signature,
    /// How many lines.
    pub count: u64,
    /// The last of them.
    pub last: Timestamp,
}

/// One pod of the workload.
#[derive(Clone, Debug)]
pub struct PodLog<'a> {
    /// Its name.
    pub pod: Name,
    /// Its stream.
    pub stream: Stream,
    /// Until when lines of it are missing, where some are since [`LogFindings::since`].
    pub gap: Option<Timestamp>,
    /// What was seen in it.
    pub hits: Vec<Hits<'a>>,
}

/// All that is known of the logs.
#[derive(Clone, Debug)]
pub struct LogFindings<'a> {
    /// From when on.
    pub since: Since,
    /// Every pod of the workload.
    pub pods: Vec<PodLog<'a>>,
    /// The time.
    pub now: Timestamp,
}

/// Judges the logs. An error that was seen is a failure whatever else is unknown; a pod that is
/// not followed, and one whose log has a gap, makes everything else unknown.
pub fn logs(findings: &LogFindings<'_>) -> Verdict {
    let mut evidence: Vec<Clean> = errors(findings).collect();
    let failed = !evidence.is_empty();
    let mut blind: Vec<Clean> = findings.pods.iter().filter_map(blind).collect();
    blind.extend(findings.pods.iter().filter_map(gap));
    blind.extend(beyond(findings));
    let unknown = !blind.is_empty() || findings.pods.is_empty();
    evidence.extend(blind);
    if findings.pods.is_empty() {
        evidence.push(Clean::ours("no pod of the workload is known"));
    }
    let remaining = findings.pods.iter().map(|pod| remaining(pod, findings)).max().unwrap_or(SignedDuration::ZERO);
    let mark = match (failed, unknown) {
        (true, _) => Mark::Failed,
        (false, true) => Mark::Unknown,
        (false, false) if remaining > SignedDuration::ZERO => Mark::Waiting,
        (false, false) => Mark::Ticked,
    };
    match mark {
        Mark::Ticked => evidence.push(say!(
            "no schema error {} in {} {}",
            findings.since.words(),
            findings.pods.len(),
            if findings.pods.len() == 1 { "pod" } else { "pods" }
        )),
        // Whole seconds, rounded up: "0 s more" would be odd.
        Mark::Waiting => evidence.push(say!(
            "no schema error {} so far; every pod is to be followed for {} s more",
            findings.since.words(),
            remaining.as_secs() + i64::from(remaining.subsec_nanos() > 0)
        )),
        _ => {}
    }
    evidence.extend(remarks(findings));
    Verdict { mark, evidence }
}

fn errors<'a>(findings: &'a LogFindings<'_>) -> impl Iterator<Item = Clean> + 'a {
    let words = findings.since.words();
    findings.pods.iter().flat_map(move |pod| {
        pod.hits.iter().filter(|hits| hits.signature.counts && hits.count > 0).map(move |hits| {
            say!(
                "{}: {} x {} {}, last at {}: {}",
                pod.pod,
                hits.count,
                hits.signature.title,
                words,
                hits.last.round(Unit::Second).unwrap_or(hits.last),
                hits.signature.remedy
            )
        })
    })
}

fn blind(pod: &PodLog<'_>) -> Option<Clean> {
    match &pod.stream {
        Stream::Following(_) | Stream::Ended | Stream::Beyond(_) => None,
        Stream::Unopened => Some(say!("{} is not followed yet", pod.pod)),
        Stream::Lost(why) => Some(say!("the log of {} is lost: {}", pod.pod, why)),
    }
}

/// Lines that nobody serves any more: they may have been errors.
fn gap(pod: &PodLog<'_>) -> Option<Clean> {
    Some(say!(
        "lines of {} are missing until {}, and nobody knows what they said: read them where logs are collected, or restart the pod and look again",
        pod.pod,
        pod.gap?.round(Unit::Second).ok()?
    ))
}

/// Pods that there are too many of: one line for all of them.
fn beyond(findings: &LogFindings<'_>) -> Option<Clean> {
    let limits = findings.pods.iter().filter_map(|pod| match pod.stream {
        Stream::Beyond(most) => Some(most),
        _ => None,
    });
    let (pods, most) = limits.fold((0, None), |(pods, _), most| (pods + 1, Some(most)));
    Some(say!(
        "{} of {} pods are not followed: at most {} logs are followed at once, those of broken pods first",
        pods,
        findings.pods.len(),
        most?
    ))
}

fn remaining(pod: &PodLog<'_>, findings: &LogFindings<'_>) -> SignedDuration {
    match pod.stream {
        Stream::Following(from) => QUIET - findings.now.duration_since(from.max(findings.since.at())),
        Stream::Ended | Stream::Unopened | Stream::Beyond(_) | Stream::Lost(_) => SignedDuration::ZERO,
    }
}

/// Lines that do not count, labelled, so that nobody takes them for the fault.
fn remarks<'a>(findings: &'a LogFindings<'_>) -> impl Iterator<Item = Clean> + 'a {
    findings.pods.iter().flat_map(|pod| {
        pod.hits.iter().filter(|hits| !hits.signature.counts && hits.count > 0).map(|hits| {
            let label = match hits.signature.severity {
                Severity::Expected => "expected after a rollback",
                Severity::Warning | Severity::Error => "not counted here",
            };
            say!("{}: {} x {} ({}): {}", pod.pod, hits.count, hits.signature.title, label, hits.signature.remedy)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::checks::testing::expect;
    use crate::domain::signature::Signatures;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn pod<'a>(name: &str, stream: Stream, hits: Vec<Hits<'a>>) -> PodLog<'a> {
        PodLog { pod: name.parse().unwrap(), stream, gap: None, hits }
    }

    #[test]
    fn silence_is_proof_only_where_every_pod_was_listened_to() {
        let signatures = Signatures::bundled();
        let hits = |line: &str, count| {
            let signature = signatures.get(signatures.find(line).unwrap());
            Hits { signature, count, last: at(5) }
        };
        let quiet = |name: &str| pod(name, Stream::Following(at(-100)), vec![]);
        let lost = || pod("b", Stream::Lost(Clean::ours("connection reset")), vec![]);
        let missing = || hits("ERROR: relation \"X\" does not exist", 3);
        let expected = || hits("prisma schema out of sync with db", 2);
        let salt = || hits("Error decrypting value for key: k", 1);
        let shouting = |hit| pod("a", Stream::Following(at(-100)), vec![hit]);
        let rows = [
            ("quiet", 20, vec![quiet("a"), quiet("b")], Mark::Ticked, "no schema error since the revert in 2 pods"),
            ("too early", 19, vec![quiet("a")], Mark::Waiting, "followed for 1 s more"),
            (
                "a pod that was opened late",
                30,
                vec![quiet("a"), pod("b", Stream::Following(at(25)), vec![])],
                Mark::Waiting,
                "followed for 15 s more",
            ),
            ("ended", 30, vec![quiet("a"), pod("b", Stream::Ended, vec![])], Mark::Ticked, "in 2 pods"),
            ("error", 30, vec![shouting(missing())], Mark::Failed, "a: 3 x A table does not exist since the revert"),
            ("error at once", 1, vec![shouting(missing())], Mark::Failed, "last at 2027-01-15T08:00:05Z"),
            ("error beside a lost pod", 30, vec![shouting(missing()), lost()], Mark::Failed, "the log of b is lost"),
            ("lost", 30, vec![quiet("a"), lost()], Mark::Unknown, "the log of b is lost: connection reset"),
            (
                "unopened",
                30,
                vec![quiet("a"), pod("b", Stream::Unopened, vec![])],
                Mark::Unknown,
                "b is not followed yet",
            ),
            (
                "beyond the limit",
                30,
                vec![quiet("a"), pod("b", Stream::Beyond(1), vec![]), pod("c", Stream::Beyond(1), vec![])],
                Mark::Unknown,
                "2 of 3 pods are not followed: at most 1 logs are followed at once",
            ),
            (
                "a gap",
                30,
                vec![quiet("a"), PodLog { gap: Some(at(7)), ..quiet("b") }],
                Mark::Unknown,
                "lines of b are missing until 2027-01-15T08:00:07Z, and nobody knows what they said",
            ),
            ("no pods", 30, vec![], Mark::Unknown, "no pod of the workload is known"),
            (
                "expected",
                30,
                vec![shouting(expected())],
                Mark::Ticked,
                "2 x Schema is newer than this version (expected after a rollback): leave it; never run the commands",
            ),
            ("salt key", 30, vec![shouting(salt())], Mark::Ticked, "(not counted here)"),
        ];
        for (name, now, pods, mark, words) in rows {
            let findings = LogFindings { since: Since::Revert(at(0)), pods, now: at(now) };
            expect(name, &logs(&findings), mark, words);
        }
    }

    #[test]
    fn before_a_revert_the_incident_is_judged() {
        let pods = vec![pod("a", Stream::Following(at(0)), vec![])];
        let verdict = logs(&LogFindings { since: Since::Opening(at(0)), pods, now: at(60) });
        expect("opening", &verdict, Mark::Ticked, "since the incident was opened (nothing was reverted yet) in 1 pod");
    }
}
