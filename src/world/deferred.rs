//! Ports that are built when they are first used: their address or password has to be fetched
//! from the cluster, or a credential plugin has to be asked, and nothing on the way to the first
//! screen may wait for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::domain::backup::{BackupItem, BackupOrder, Server};
use crate::domain::cache::{CacheSurvey, ClearItem, Clearance};
use crate::domain::catalog::Listing;
use crate::domain::change::{Applied, Change, Cleared, Preview};
use crate::domain::cluster::{Ask, Identity, Permission, PodsItem, WorkloadRef};
use crate::domain::confirm::Confirmed;
use crate::domain::coupled::Coupled;
use crate::domain::encrypted::Newer;
use crate::domain::gateway::{AdminUi, CacheInfo, Completion, ModelHealth, Settings, SpendRow, Vitals};
use crate::domain::incident::Goal;
use crate::domain::log::{LogItem, LogSource};
use crate::domain::migration::{Deletion, Kept, MigrationTable, Resolution};
use crate::domain::name::{DatabaseName, ModelName, Name, ReleaseName, RequestId};
use crate::domain::release::{History, Release, ReleaseRevision, Storage, Trial};
use crate::domain::restore::{Remnant, RestoreItem, RestoreOrder, RestorePlan, RestoreWish};
use crate::domain::rollback::{ClearedRollback, HelmProgram, Rollback, RolledBack};
use crate::domain::salt::{Keys, Opened};
use crate::domain::schema::LiveSchema;
use crate::domain::trouble::Trouble;
use crate::domain::workload::{Discovered, Workload};
use crate::text::Clean;
use crate::world::{Backup, Cache, Cluster, Database, Feed, Gateway, Releases, Reply, Workloads};

/// How soon a feed asks again for a port that could not be built.
const AGAIN: Duration = Duration::from_secs(3);

type Build<P> = Box<dyn Fn() -> BoxFuture<'static, Result<P, Trouble>> + Send + Sync>;

/// A port and how it is built. What fails is tried again with the next call.
pub struct Deferred<P>(Arc<Inner<P>>);

struct Inner<P> {
    build: Build<P>,
    built: OnceCell<Arc<P>>,
}

impl<P> Clone for Deferred<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Send + Sync + 'static> Deferred<P> {
    /// A port that `build` builds.
    pub fn new(build: impl Fn() -> BoxFuture<'static, Result<P, Trouble>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { build: Box::new(build), built: OnceCell::new() }))
    }

    /// The port, built now where it was not built before.
    pub async fn port(&self) -> Result<Arc<P>, Trouble> {
        self.0.built.get_or_try_init(|| async { (self.0.build)().await.map(Arc::new) }).await.cloned()
    }

    fn ask<T: Send + 'static>(&self, question: impl FnOnce(&P) -> Reply<T> + Send + 'static) -> Reply<T> {
        let this = self.clone();
        async move { question(&*this.port().await?).await }.boxed()
    }

    fn feed<T: Send + 'static>(
        &self,
        failed: fn(Trouble) -> T,
        open: impl FnOnce(&P) -> Feed<T> + Send + 'static,
    ) -> Feed<T> {
        let this = self.clone();
        let opened = async move {
            match this.port().await {
                Ok(port) => open(&port),
                Err(why) => stream::iter([failed(why)]).boxed(),
            }
        };
        stream::once(opened).flatten().boxed()
    }
}

impl<P: Send + Sync + 'static> Deferred<P> {
    /// A feed that never ends by itself: trouble is told, and the port asked for again.
    fn lasting<T: Send + 'static>(
        &self,
        failed: fn(Trouble) -> T,
        open: impl Fn(&P) -> Feed<T> + Clone + Send + 'static,
    ) -> Feed<T> {
        let this = self.clone();
        let step = move |first: bool| {
            let (this, open) = (this.clone(), open.clone());
            async move {
                if !first {
                    tokio::time::sleep(AGAIN).await;
                }
                Some(match this.port().await {
                    Ok(port) => (open(&port), false),
                    Err(why) => (stream::iter([failed(why)]).boxed(), false),
                })
            }
        };
        stream::unfold(true, step).flatten().boxed()
    }
}

impl<P: Cluster + 'static> Cluster for Deferred<P> {
    fn identity(&self) -> Reply<Identity> {
        self.ask(P::identity)
    }

    fn permissions(&self, asks: Vec<Ask>) -> Reply<Vec<Permission>> {
        self.ask(|port| port.permissions(asks))
    }

    fn discover(&self) -> Reply<Vec<Discovered>> {
        self.ask(P::discover)
    }

    fn workload(&self, workload: &WorkloadRef) -> Feed<Result<Box<Workload>, Trouble>> {
        let workload = workload.clone();
        self.lasting(Err, move |port| port.workload(&workload))
    }

    fn pods(&self, workload: &WorkloadRef) -> Feed<Result<PodsItem, Trouble>> {
        let workload = workload.clone();
        self.lasting(Err, move |port| port.pods(&workload))
    }

    fn coupled(&self, workload: &WorkloadRef, target: Goal) -> Reply<Coupled> {
        let workload = workload.clone();
        self.ask(move |port| port.coupled(&workload, target))
    }

    fn salt_keys(&self, workload: &WorkloadRef, target: Goal) -> Reply<Keys> {
        let workload = workload.clone();
        self.ask(move |port| port.salt_keys(&workload, target))
    }

    fn listing(&self, pod: &Name) -> Reply<Listing> {
        let pod = pod.clone();
        self.ask(move |port| port.listing(&pod))
    }

    fn logs(&self, source: &LogSource, tail: u32) -> Feed<LogItem> {
        let source = source.clone();
        self.lasting(LogItem::Lost, move |port| port.logs(&source, tail))
    }
}

impl<P: Workloads + 'static> Workloads for Deferred<P> {
    fn preview(&self, change: Change) -> Reply<Preview> {
        self.ask(|port| port.preview(change))
    }

    fn apply(&self, cleared: Cleared) -> Reply<Applied> {
        self.ask(|port| port.apply(cleared))
    }
}

impl<P: Releases + 'static> Releases for Deferred<P> {
    fn history(&self, workload: &WorkloadRef, release: &ReleaseName) -> Reply<History> {
        let (workload, release) = (workload.clone(), release.clone());
        self.ask(move |port| port.history(&workload, &release))
    }

    fn record(
        &self,
        workload: &WorkloadRef,
        release: &ReleaseName,
        revision: ReleaseRevision,
        storage: Storage,
    ) -> Reply<Box<Release>> {
        let (workload, release) = (workload.clone(), release.clone());
        self.ask(move |port| port.record(&workload, &release, revision, storage))
    }

    fn program(&self) -> Reply<HelmProgram> {
        self.ask(P::program)
    }

    fn trial(&self, rollback: Rollback) -> Reply<Trial> {
        self.ask(|port| port.trial(rollback))
    }

    fn rollback(&self, cleared: ClearedRollback, folder: PathBuf) -> Reply<RolledBack> {
        self.ask(|port| port.rollback(cleared, folder))
    }
}

impl<P: Database + 'static> Database for Deferred<P> {
    fn migrations(&self) -> Reply<MigrationTable> {
        self.ask(P::migrations)
    }

    fn schema(&self) -> Reply<LiveSchema> {
        self.ask(P::schema)
    }

    fn newer(&self) -> Reply<Vec<Newer>> {
        self.ask(P::newer)
    }

    fn delete(&self, proof: Confirmed<Deletion>, folder: PathBuf) -> Reply<Kept> {
        self.ask(|port| port.delete(proof, folder))
    }

    fn resolve(&self, proof: Confirmed<Resolution>, folder: PathBuf) -> Reply<Kept> {
        self.ask(|port| port.resolve(proof, folder))
    }

    fn restore(&self, kept: Kept, folder: PathBuf) -> Reply<Clean> {
        self.ask(|port| port.restore(kept, folder))
    }

    fn opened(&self, keys: Keys) -> Reply<Opened> {
        self.ask(|port| port.opened(keys))
    }

    fn spend_row(&self, id: RequestId) -> Reply<Option<SpendRow>> {
        self.ask(|port| port.spend_row(id))
    }
}

impl<P: Backup + 'static> Backup for Deferred<P> {
    fn server(&self) -> Reply<Server> {
        self.ask(P::server)
    }

    fn run(&self, order: BackupOrder, folder: PathBuf) -> Feed<BackupItem> {
        self.feed(BackupItem::Failed, |port| port.run(order, folder))
    }

    fn plan_restore(&self, wish: RestoreWish, folders: Vec<PathBuf>) -> Reply<RestorePlan> {
        self.ask(|port| port.plan_restore(wish, folders))
    }

    fn restore(&self, order: RestoreOrder, stop: CancellationToken) -> Feed<RestoreItem> {
        self.feed(RestoreItem::Failed, |port| port.restore(order, stop))
    }

    fn remnant(&self, name: DatabaseName) -> Reply<Option<Remnant>> {
        self.ask(|port| port.remnant(name))
    }
}

impl<P: Gateway + 'static> Gateway for Deferred<P> {
    fn vitals(&self) -> Reply<Vitals> {
        self.ask(P::vitals)
    }

    fn settings(&self) -> Reply<Settings> {
        self.ask(P::settings)
    }

    fn model_health(&self) -> Reply<ModelHealth> {
        self.ask(P::model_health)
    }

    fn complete(&self, model: ModelName) -> Reply<Completion> {
        self.ask(|port| port.complete(model))
    }

    fn admin_ui(&self) -> Reply<AdminUi> {
        self.ask(P::admin_ui)
    }
}

impl<P: Cache + 'static> Cache for Deferred<P> {
    fn info(&self) -> Reply<CacheInfo> {
        self.ask(P::info)
    }

    fn survey(&self) -> Reply<CacheSurvey> {
        self.ask(P::survey)
    }

    fn clear(&self, proof: Confirmed<Clearance>, stop: CancellationToken) -> Feed<ClearItem> {
        self.feed(ClearItem::Failed, |port| port.clear(proof, stop))
    }
}
