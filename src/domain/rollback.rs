//! A rollback of a Helm release, and the guard that it must pass: Helm copies the old manifest as
//! it is, so what may drop columns, or cannot be rolled out, is refused before anything is sent.

use serde::Serialize;

use crate::domain::acceptance::Acceptance;
use crate::domain::change::Refusal;
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::Confirmed;
use crate::domain::name::{ContextName, Name, ReleaseName};
use crate::domain::release::{Facts, Gravity, ReleaseRevision, ReleaseStatus, Storage, concerns, lost};
use crate::domain::workload::Template;
use crate::text::Clean;

/// How long Helm may wait for one of its operations (`--timeout`), in minutes.
pub const TIMEOUT_MINUTES: u64 = 10;

/// A planned rollback, tied to the history that it was planned on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The Deployment that it is about.
    pub workload: WorkloadRef,
    /// The release.
    pub release: ReleaseName,
    /// Where its records are.
    pub storage: Storage,
    /// The newest revision when it was planned: another one by then stops us.
    pub from: ReleaseRevision,
    /// The revision to go back to. Always named, never *the one before*.
    pub to: ReleaseRevision,
}

impl Rollback {
    /// The namespace of the release.
    pub fn namespace(&self) -> &Name {
        &self.workload.namespace
    }

    /// What it does, in one sentence.
    pub fn sentence(&self) -> Clean {
        say!("roll the Helm release {} back from revision {} to revision {}", self.release, self.from, self.to)
    }

    /// The arguments of the program `helm`. `--wait`, because version 4 calls it a success before
    /// a pod is ready; `--history-max 0`, because a rollback prunes older targets otherwise. Never
    /// `--force`, never `--cleanup-on-fail`, which hides the error (helm/helm#32350).
    pub fn arguments(&self, context: Option<&ContextName>) -> Vec<String> {
        let mut words: Vec<String> =
            ["rollback", self.release.as_str(), &self.to.to_string(), "-n", self.namespace().as_str()]
                .map(ToOwned::to_owned)
                .to_vec();
        if let Some(context) = context {
            words.extend(["--kube-context".to_owned(), context.as_str().to_owned()]);
        }
        words.extend(
            ["--wait", "--timeout", &format!("{TIMEOUT_MINUTES}m"), "--history-max", "0"].map(ToOwned::to_owned),
        );
        words
    }

    /// The command that is run, as a line for a shell.
    pub fn command(&self, context: Option<&ContextName>) -> Clean {
        let context = context
            .map_or(Clean::default(), |context| say!(" --kube-context '{}'", say!("{}", context).in_single_quotes()));
        say!(
            "helm rollback {} {} -n {}{} --wait --timeout {}m --history-max 0",
            self.release,
            self.to,
            self.namespace(),
            context,
            TIMEOUT_MINUTES
        )
    }

    /// What Helm writes into the record that it makes.
    pub fn description(&self) -> Clean {
        say!("Rollback to {}", self.to)
    }
}

/// A rollback that the guard let through. The only key to [`crate::world::Releases::rollback`],
/// and only [`clear`] makes one.
///
/// ```compile_fail,E0451
/// # use lastgood::domain::rollback::{ClearedRollback, Rollback};
/// # use lastgood::domain::workload::Template;
/// # use lastgood::text::Clean;
/// fn forged(rollback: Rollback, template: Template, why: Clean) -> ClearedRollback {
///     ClearedRollback { rollback, template, why, accepted: None }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClearedRollback {
    rollback: Rollback,
    template: Template,
    why: Clean,
    accepted: Option<Acceptance>,
}

impl ClearedRollback {
    /// The rollback.
    pub fn rollback(&self) -> &Rollback {
        &self.rollback
    }

    /// The pod template of the target's manifest that was judged, with what the configuration file
    /// says about the schema that its pods find.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Why it was let through: goes into the journal.
    pub fn why(&self) -> &Clean {
        &self.why
    }

    /// What may be lost by it, as of now, every object accepted by typing: goes into the journal.
    pub fn accepted(&self) -> Option<&Acceptance> {
        self.accepted.as_ref()
    }
}

/// The program `helm` on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HelmProgram {
    /// Where it is.
    pub path: Clean,
    /// What it calls itself, as `v3.18.0`.
    pub version: Clean,
    /// 3 or 4.
    pub major: u32,
}

impl HelmProgram {
    /// Whether it takes over an object of the target that is in the cluster and not in the current
    /// revision. Others stop there (Helm `pkg/kube/client.go`: the change came with v4.2.0, and
    /// v3.21.4 does not have it).
    pub fn takes_over(&self) -> bool {
        let mut numbers = self.version.as_str().trim_start_matches('v').split(['.', '-', '+']);
        let mut number = || numbers.next().and_then(|number| number.parse::<u32>().ok());
        (number(), number()) >= (Some(4), Some(2))
    }
}

/// A rollback that was sent, and that its record confirms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The revision that it made.
    pub revision: ReleaseRevision,
    /// What Helm said and how long it took, in words.
    pub words: Clean,
}

/// A rollback to plan on what is known.
pub fn plan(facts: &Facts<'_>) -> Rollback {
    Rollback {
        workload: facts.workload.reference.clone(),
        release: facts.history.release.clone(),
        storage: facts.history.storage,
        from: facts.history.current.revision,
        to: facts.target.revision,
    }
}

/// The guard: lets a rollback through when nothing that is known refuses it; or when the loss of
/// each object was accepted by typing, for exactly this rollback. An acceptance covers what was
/// shown: one object more, and it is refused.
///
/// # Errors
/// The first concern that refuses, with what must be typed where that would do.
pub fn clear(facts: &Facts<'_>, accepted: Option<&Confirmed<Acceptance>>) -> Result<ClearedRollback, Refusal> {
    let rollback = plan(facts);
    let refused = |what: Clean, remedy: Clean, acceptance: Option<Acceptance>| {
        let what = say!("{} was not rolled back: {}", rollback.release, what);
        Err(Refusal { what, remedy, protect_helps: false, acceptance: acceptance.map(Box::new) })
    };
    let concerns = concerns(facts);
    let of = |gravity: Gravity| concerns.iter().find(|concern| concern.gravity == gravity);
    if let Some(concern) = of(Gravity::Refuses) {
        return refused(say!("{}; {}", concern.what, concern.consequence), concern.remedy.clone(), None);
    }
    // The judgement refuses a target without the Deployment.
    let Some(template) = facts.pods() else {
        let what = say!("revision {} has no {}", rollback.to, rollback.workload);
        return refused(what, Clean::ours("choose another revision"), None);
    };
    let good = say!("revision {} is {}", rollback.to, facts.target.status.word());
    let Some(concern) = of(Gravity::Typed) else {
        let why = say!("{}, and neither its pods nor its Jobs may drop columns", good);
        return Ok(ClearedRollback { rollback, template, why, accepted: None });
    };
    let lost = lost(facts);
    let fresh = match accepted.map(|proof| proof.subject().covers(&lost)) {
        Some(Ok(())) => {
            let why = say!("{}; accepted by typing: {}", good, concern.what);
            return Ok(ClearedRollback { rollback, template, why, accepted: Some(lost) });
        }
        Some(Err(object)) => say!("; {} was not shown when the loss was accepted", object),
        None => Clean::default(),
    };
    refused(say!("{}; {}{}", concern.what, concern.consequence, fresh), concern.remedy.clone(), Some(lost))
}

/// How the record that a rollback was to make stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", content = "why", rename_all = "kebab-case")]
pub enum Outcome {
    /// The record is there and says that it was done.
    Done,
    /// It has begun and not ended.
    Running,
    /// It failed; the record's words.
    Failed(Clean),
    /// No record was made: nothing has begun.
    NotBegun,
    /// A record of that number belongs to something else.
    Another(Clean),
}

/// Reads the outcome off the record behind the one that a rollback was planned on. Helm's exit
/// code and its words are no evidence (it prints success for a dry run as well).
pub fn outcome(rollback_to: ReleaseRevision, made: Option<(&ReleaseStatus, &Clean)>) -> Outcome {
    let Some((status, description)) = made else { return Outcome::NotBegun };
    let ours = say!("Rollback to {}", rollback_to);
    match status {
        ReleaseStatus::Deployed if *description == ours => Outcome::Done,
        ReleaseStatus::PendingRollback if *description == ours => Outcome::Running,
        ReleaseStatus::Failed => Outcome::Failed(description.clone()),
        _ => Outcome::Another(say!("it is {}: {}", status.word(), description)),
    }
}
