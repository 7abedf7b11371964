//! What workloads can go back to, line by line: revisions of the Helm release where one owns the
//! workload and its history is known, else the Deployment's own.

use crate::app::releases;
use crate::app::state::State;
use crate::domain::cluster::WorkloadRef;
use crate::domain::image::Image;
use crate::domain::incident::Goal;
use crate::domain::release::{Release, ReleaseRow};
use crate::domain::workload::{Revision, Workload};

/// One line of the revisions pane.
#[derive(Clone, Copy, Debug)]
pub enum Past<'a> {
    /// A revision of a Deployment.
    Template(&'a Workload, &'a Revision),
    /// A revision of the Helm release that owns it; its record, once it was read.
    Release(&'a Workload, &'a releases::Known, &'a ReleaseRow, Option<&'a Release>),
}

impl<'a> Past<'a> {
    /// The workload.
    pub fn workload(self) -> &'a Workload {
        match self {
            Past::Template(workload, _) | Past::Release(workload, ..) => workload,
        }
    }

    /// What going back to it means.
    pub fn goal(self) -> Goal {
        match self {
            Past::Template(_, revision) => Goal::Template(revision.uid.clone()),
            Past::Release(_, known, row, _) => Goal::Release(known.release.clone(), row.revision),
        }
    }

    /// Its number.
    pub fn number(self) -> u64 {
        match self {
            Past::Template(_, revision) => revision.number,
            Past::Release(_, _, row, _) => row.revision.get().into(),
        }
    }

    /// The gateway's image, where it is known.
    pub fn image(self) -> Option<&'a Image> {
        match self {
            Past::Template(_, revision) => revision.image(),
            Past::Release(workload, _, _, record) => record?.image(&workload.reference),
        }
    }

    /// Whether it is this one.
    pub fn is(self, workload: &WorkloadRef, goal: &Goal) -> bool {
        self.workload().reference == *workload && self.goal() == *goal
    }
}

/// The lines of every workload, in the order of the pane: newest first.
pub fn lines(state: &State) -> Vec<Past<'_>> {
    let workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    workloads.flat_map(|workload| of(state, workload)).collect()
}

fn of<'a>(state: &'a State, workload: &'a Workload) -> Vec<Past<'a>> {
    match releases::known(state, workload) {
        Some(known) if known.history.last().is_some() => {
            let rows = known.history.last().into_iter().flat_map(|history| history.rows());
            rows.map(|row| Past::Release(workload, known, row, known.records.get(&row.revision))).collect()
        }
        _ => workload.revisions.iter().map(|revision| Past::Template(workload, revision)).collect(),
    }
}
