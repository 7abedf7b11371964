//! What each version of LiteLLM does to the schema when it starts, from the versions that were
//! read.

use std::cmp::Ordering;

use super::{Reading, Startup};
use crate::domain::image::Version;

/// The versions whose code was read, oldest first: LiteLLM's own package for what it asks the
/// migration package to do (`proxy_cli.py`, `prisma_migration.py`), and the package that it pins
/// for what is done (`utils.py`). The pods, then the migration Job.
const READ: [(&str, Startup, Startup); 10] = [
    ("1.74.7", Startup::Pushes, Startup::Deploys),
    ("1.75.0", Startup::Pushes, Startup::Deploys),
    ("1.76.0", Startup::Deploys, Startup::Deploys),
    ("1.78.0", Startup::Deploys, Startup::Deploys),
    ("1.78.5", Startup::DeploysThenSyncs, Startup::DeploysThenSyncs),
    ("1.83.8", Startup::DeploysThenSyncs, Startup::DeploysThenSyncs),
    ("1.83.10", Startup::DeploysThenSyncsIfPending, Startup::DeploysThenSyncsIfPending),
    ("1.100.0", Startup::DeploysThenSyncsIfPending, Startup::DeploysThenSyncsIfPending),
    ("1.105.0", Startup::Deploys, Startup::Deploys),
    ("1.109.1", Startup::Deploys, Startup::Deploys),
];

/// What the pods and the migration Job of a version do, and how that is known. Between two
/// versions that differ, the more dangerous is said.
pub(super) fn of(version: &Version) -> (Startup, Startup, Reading) {
    let read = || READ.iter().filter_map(|(read, pods, job)| Some((read.parse::<Version>().ok()?, *pods, *job)));
    let is = |than: Ordering| move |(read, ..): &(Version, Startup, Startup)| read.partial_cmp(version) == Some(than);
    if let Some((_, pods, job)) = read().find(is(Ordering::Equal)) {
        return (pods, job, Reading::Read);
    }
    match (read().rfind(is(Ordering::Less)), read().find(is(Ordering::Greater))) {
        (Some((below, pods, job)), Some((above, later, later_job))) => {
            (pods.max(later), job.max(later_job), Reading::Between(below, above))
        }
        (Some((nearest, pods, job)), None) | (None, Some((nearest, pods, job))) => {
            (pods, job, Reading::Beyond(nearest))
        }
        // A build of somebody's own of a version that was read: nothing is below and nothing above.
        (None, None) => (Startup::Pushes, Startup::Pushes, Reading::Nothing),
    }
}
