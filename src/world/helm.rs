//! Helm releases: their records are read over kube, and the rollback is the program `helm`'s,
//! because hooks, order and storage are its own and change with its version.

mod program;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use jiff::SignedDuration;

pub use program::Program;

use crate::domain::cluster::WorkloadRef;
use crate::domain::name::ReleaseName;
use crate::domain::release::{History, Release, ReleaseRevision, Storage, Trial};
use crate::domain::rollback::{ClearedRollback, HelmProgram, Outcome, Rollback, RolledBack, TIMEOUT_MINUTES, outcome};
use crate::domain::span;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};
use crate::world::kubernetes::Kubernetes;
use crate::world::{Releases, Reply};

/// How long the program is waited for: each of its operations may take [`TIMEOUT_MINUTES`], and
/// hooks are operations too. It is left alone after that, never killed.
const PATIENCE: Duration = Duration::from_secs(4 * 60 * TIMEOUT_MINUTES);

/// Helm releases of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Helm {
    cluster: Kubernetes,
    program: Program,
}

impl Helm {
    /// The releases of the namespace that the cluster was connected with. `kubeconfig` is the file
    /// that it was connected with, where one was named.
    pub fn new(cluster: Kubernetes, kubeconfig: Option<PathBuf>) -> Self {
        Self { cluster, program: Program::installed(kubeconfig) }
    }

    /// The same with this program and no other.
    #[must_use]
    pub fn with_program(mut self, helm: PathBuf) -> Self {
        self.program = self.program.exactly(helm);
        self
    }

    fn gate(&self) -> &Gate {
        self.cluster.gate()
    }

    async fn roll_back(&self, cleared: ClearedRollback, folder: &Path) -> Result<RolledBack, Trouble> {
        let rollback = cleared.rollback();
        self.cluster.still_the_same().await?;
        let history = self.cluster.history(&rollback.workload, &rollback.release).await?;
        if history.current.revision != rollback.from {
            return Err(changed(say!(
                "{} is at revision {} and was at {} when the rollback was planned; nothing was sent",
                rollback.release,
                history.current.revision,
                rollback.from
            )));
        }
        let switch = self.cluster.switch(&rollback.workload, &rollback.release, rollback.to).await?;
        if switch != cleared.template().switch {
            return Err(changed(say!(
                "what the configuration file of revision {} says about the schema is not what was judged; nothing was sent",
                rollback.to
            )));
        }
        let found = self.program.probe(self.gate()).await?;
        // Where the API server cannot be asked, helm could not be sent off either.
        let trial = self.cluster.trial(rollback, found.clone()).await?;
        if let Some(why) = trial.stopped() {
            return Err(changed(say!("the API server would stop the rollback half way: {}; nothing was sent", why)));
        }
        let began = Instant::now();
        let output = folder.join(format!("helm-{}-v{}.log", rollback.release, rollback.from.next()));
        let running = self.program.start(rollback, self.cluster.context(), &output, self.gate())?;
        let Ok(ended) = tokio::time::timeout(PATIENCE, running.wait(self.gate())).await else {
            return Err(Trouble::new(
                TroubleKind::Unknown,
                say!("`helm rollback` has not ended after {} minutes, and is left alone", PATIENCE.as_secs() / 60),
            )
            .remedy(say!("see `helm history {}`", rollback.release)));
        };
        let took = SignedDuration::try_from(began.elapsed()).unwrap_or_default();
        let said =
            say!("helm {} ended after {} with {}: {}", found.version, span::short(took), ended.status, ended.output);
        self.confirmed(rollback, ended.success, &said).await
    }

    /// What the record says that came of it. The program's exit code alone is no evidence.
    async fn confirmed(&self, rollback: &Rollback, success: bool, said: &Clean) -> Result<RolledBack, Trouble> {
        let made = rollback.from.next();
        let read = self.cluster.record(&rollback.workload, &rollback.release, made, rollback.storage).await;
        let record = match &read {
            Ok(record) => Some((&record.status, &record.description)),
            Err(why) if why.kind == TroubleKind::NotFound => None,
            Err(why) => {
                return Err(Trouble::new(
                    TroubleKind::Unknown,
                    say!("nobody knows what came of it: {}; {}", why.what, said),
                ));
            }
        };
        let failed =
            |kind, what: Clean, remedy: Clean| Err(Trouble::new(kind, say!("{}; {}", what, said)).remedy(remedy));
        match (outcome(rollback.to, record), success) {
            (Outcome::Done, true) => Ok(RolledBack {
                revision: made,
                words: say!("revision {} is deployed: {}; {}", made, rollback.description(), said),
            }),
            (Outcome::Done, false) => failed(
                TroubleKind::Unknown,
                say!("the record of revision {} says deployed, and helm failed", made),
                Clean::ours("compare the live template with the target"),
            ),
            (Outcome::NotBegun, false) => failed(
                TroubleKind::Refused,
                Clean::ours("helm did nothing: no record was made"),
                Clean::ours("helm's own words say why"),
            ),
            (Outcome::NotBegun, true) => failed(
                TroubleKind::Unknown,
                say!("helm says that it succeeded, and there is no record of revision {}", made),
                say!("see `helm history {}`", rollback.release),
            ),
            (Outcome::Failed(why), _) => failed(
                TroubleKind::Invalid,
                say!("revision {} failed: {}", made, why),
                Clean::ours("look at the pods; the next rollback may go to the same revision again"),
            ),
            (Outcome::Running, _) => failed(
                TroubleKind::Invalid,
                say!(
                    "helm ended, and revision {} is still pending-rollback: a hook failed, or a kind is not served",
                    made
                ),
                Clean::ours("helm's own words say which; the rollback may be sent again once that is repaired"),
            ),
            (Outcome::Another(why), _) => failed(
                TroubleKind::Unknown,
                say!("somebody else made revision {} meanwhile: {}", made, why),
                say!("see `helm history {}`", rollback.release),
            ),
        }
    }
}

fn changed(what: Clean) -> Trouble {
    Trouble::new(TroubleKind::Changed, what).remedy(Clean::ours("look at what is live now, and plan again"))
}

impl Releases for Helm {
    fn history(&self, workload: &WorkloadRef, release: &ReleaseName) -> Reply<History> {
        let (this, workload, release) = (self.clone(), workload.clone(), release.clone());
        async move { this.cluster.history(&workload, &release).await }.boxed()
    }

    fn record(
        &self,
        workload: &WorkloadRef,
        release: &ReleaseName,
        revision: ReleaseRevision,
        storage: Storage,
    ) -> Reply<Box<Release>> {
        let (this, workload, release) = (self.clone(), workload.clone(), release.clone());
        async move { this.cluster.record(&workload, &release, revision, storage).await }.boxed()
    }

    fn program(&self) -> Reply<HelmProgram> {
        let this = self.clone();
        async move { this.program.probe(this.gate()).await }.boxed()
    }

    fn trial(&self, rollback: Rollback) -> Reply<Trial> {
        let this = self.clone();
        async move {
            let found = this.program.probe(this.gate()).await?;
            this.cluster.trial(&rollback, found).await
        }
        .boxed()
    }

    fn rollback(&self, cleared: ClearedRollback, folder: PathBuf) -> Reply<RolledBack> {
        let this = self.clone();
        async move { this.roll_back(cleared, &folder).await }.boxed()
    }
}
