//! Ports that are built when they are first used: their address or password has to be fetched
//! from the cluster, and nothing on the way to the first screen may wait for that.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::domain::backup::{BackupItem, BackupOrder, Server};
use crate::domain::cache::{CacheSurvey, ClearItem, Clearance};
use crate::domain::confirm::Confirmed;
use crate::domain::encrypted::Newer;
use crate::domain::gateway::{AdminUi, CacheInfo, Completion, ModelHealth, Settings, SpendRow, Vitals};
use crate::domain::migration::{Deletion, Kept, MigrationTable, Resolution};
use crate::domain::name::{DatabaseName, ModelName, RequestId};
use crate::domain::restore::{Remnant, RestoreItem, RestoreOrder, RestorePlan, RestoreWish};
use crate::domain::salt::{Keys, Opened};
use crate::domain::schema::LiveSchema;
use crate::domain::trouble::Trouble;
use crate::text::Clean;
use crate::world::{Backup, Cache, Database, Feed, Gateway, Reply};

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

    async fn port(&self) -> Result<Arc<P>, Trouble> {
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
