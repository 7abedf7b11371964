//! Preflight: what stands in the way, with evidence, consequence, remedy, and the step it blocks.
//!
//! One module for each stage, in the order in which a rollback needs to know.

mod backup;
mod coupled;
mod dry_run;
mod identity;
mod in_flight;
mod ledger;
mod looks;
mod owner;
mod permissions;
mod programs;
mod release;
mod schema;
mod target;

use serde::Serialize;

pub(in crate::app) use coupled::unknown_settings;

pub use looks::{DryRun, Looks, dry_run_seen, due};

use crate::app::action::Pane;
use crate::app::state::State;
use crate::app::{coupling, releases};
use crate::domain::coupled::Aim;
use crate::domain::incident::Goal;
use crate::domain::step::StepKind;
use crate::domain::trouble::Trouble;
use crate::domain::workload::{Revision, Workload};
use crate::text::Clean;

/// How a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It stands in the way of a step.
    Blocks,
    /// It must be known before going on.
    Warns,
    /// It was looked at and cannot be told: no permission, no answer, no record. Nothing waits for it.
    Unknown,
    /// It is not known yet, and is being looked at.
    Waiting,
    /// This environment does not have that part, so what needs it is not judged.
    Absent,
    /// It is as it should be.
    Fine,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: [Severity; 6] =
        [Severity::Blocks, Severity::Warns, Severity::Unknown, Severity::Waiting, Severity::Absent, Severity::Fine];

    /// One word for tables.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Blocks => "blocks",
            Severity::Warns => "warns",
            Severity::Unknown => "unknown",
            Severity::Waiting => "waiting",
            Severity::Absent => "absent",
            Severity::Fine => "fine",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was looked at, in one word for programs.
    pub id: &'static str,
    /// How it stands.
    pub severity: Severity,
    /// What was found.
    pub what: Clean,
    /// What that rests on; empty where the finding says it itself.
    pub evidence: Clean,
    /// What it leads to; empty when it is fine.
    pub consequence: Clean,
    /// What to do.
    pub remedy: Clean,
    /// The step that it blocks.
    pub blocks: Option<StepKind>,
}

impl Finding {
    fn new(id: &'static str, severity: Severity, what: Clean) -> Self {
        let none = Clean::default;
        Self { id, severity, what, evidence: none(), consequence: none(), remedy: none(), blocks: None }
    }

    fn fine(id: &'static str, what: Clean) -> Self {
        Self::new(id, Severity::Fine, what)
    }

    fn waiting(id: &'static str, what: Clean) -> Self {
        Self::new(id, Severity::Waiting, what)
    }

    fn unknown(id: &'static str, what: Clean, consequence: Clean, remedy: Clean) -> Self {
        Self { consequence, remedy, ..Self::new(id, Severity::Unknown, what) }
    }

    fn warns(id: &'static str, what: Clean, consequence: Clean, remedy: Clean) -> Self {
        Self { consequence, remedy, ..Self::new(id, Severity::Warns, what) }
    }

    fn blocks(id: &'static str, step: StepKind, what: Clean, remedy: Clean) -> Self {
        let consequence = say!("`{}` cannot be done", step.slug());
        Self { consequence, remedy, blocks: Some(step), ..Self::new(id, Severity::Blocks, what) }
    }

    fn trouble(id: &'static str, step: StepKind, why: &Trouble) -> Self {
        Self::blocks(id, step, why.what.clone(), why.remedy.clone())
    }

    /// A part that is not there: absent where the configuration does not name it, else in the way.
    fn missing(id: &'static str, step: StepKind, why: &Trouble, configured: bool) -> Self {
        let blocks = Self::trouble(id, step, why);
        if configured { blocks } else { Self { severity: Severity::Absent, ..blocks } }
    }

    #[must_use]
    fn because(self, evidence: Clean) -> Self {
        Self { evidence, ..self }
    }
}

/// Every finding, in the order in which a rollback needs them.
pub fn findings(state: &State) -> Vec<Finding> {
    let stages = [
        identity::findings,
        owner::findings,
        permissions::findings,
        programs::findings,
        in_flight::findings,
        ledger::findings,
        target::findings,
        release::findings,
        schema::findings,
        coupled::findings,
        backup::findings,
        dry_run::findings,
    ];
    let mut found = Vec::new();
    for stage in stages {
        stage(state, &mut found);
    }
    found
}

/// The selected finding: until somebody moves, the first of the worst.
pub fn selected(state: &State, findings: &[Finding]) -> usize {
    if state.view.cursor.contains_key(&Pane::Preflight) {
        return state.view.selected(Pane::Preflight, findings.len());
    }
    let worst = findings.iter().enumerate().min_by_key(|(_, finding)| finding.severity);
    worst.map_or(0, |(line, _)| line)
}

/// A goal of one workload, as what it leans on is judged by it. `None` where it is gone, or not
/// read yet.
pub(in crate::app) fn aim_at<'a>(state: &'a State, workload: &'a Workload, goal: &Goal) -> Option<Aim<'a>> {
    let to = match goal {
        Goal::Template(uid) => return workload.revision(uid).map(|revision| Aim::template(workload, revision)),
        Goal::Release(_, to) => *to,
    };
    let known = releases::known(state, workload)?;
    let history = known.history.last()?;
    Some(Aim {
        goal: goal.clone(),
        number: to.get().into(),
        template: known.records.get(&to)?.deployment(&workload.reference)?.template.as_ref()?,
        digest: releases::replica_set(state, workload, to).and_then(|set| set.digest.as_ref()),
        current: history.current.revision == to,
        created: history.row(to)?.created?,
        left: history.left(to),
    })
}

/// What the rollback of a workload goes to: what was chosen (`true`), else the best candidate.
/// `None` where there is none, or where the chosen one is gone.
pub(in crate::app) fn aim<'a>(state: &'a State, workload: &'a Workload) -> Option<(Aim<'a>, bool)> {
    let goal = match state.incident.targets.get(&workload.reference).map(|target| &target.goal) {
        Some(goal) => return Some((aim_at(state, workload, goal)?, true)),
        None => match releases::release_of(workload) {
            Some(release) => Goal::Release(release, releases::best(state, workload)?),
            None => Goal::Template(coupling::ranked(state, workload).into_iter().next()?.uid),
        },
    };
    Some((aim_at(state, workload, &goal)?, false))
}

/// The workload's own revision that the rollback goes to: the one that was chosen (`true`), else
/// the best candidate.
fn target<'a>(state: &State, workload: &'a Workload) -> Option<(&'a Revision, bool)> {
    match state.incident.targets.get(&workload.reference).map(|target| &target.goal) {
        Some(Goal::Template(uid)) => Some((workload.revision(uid)?, true)),
        Some(Goal::Release(..)) => None,
        None => Some((workload.revision(&coupling::ranked(state, workload).first()?.uid)?, false)),
    }
}

/// The configuration names a cluster.
fn has_cluster(state: &State) -> bool {
    state.setting.context.is_some() || state.setting.missing.cluster.is_none()
}

/// The configuration names a database.
fn has_database(state: &State) -> bool {
    state.setting.database.is_some() || state.setting.missing.database.is_none()
}
