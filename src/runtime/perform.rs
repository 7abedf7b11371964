//! One effect, one task: the looks, acts and feeds of the core, done through the ports.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{BoxStream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::app::effect::{Act, Feed, Look};
use crate::app::msg::{Done, Item, Msg, Sight};
use crate::domain::backup::{BackupItem, BackupOrder};
use crate::domain::cache::{ClearItem, Clearance};
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::Confirmed;
use crate::domain::headway::Headway;
use crate::domain::incident::Goal;
use crate::domain::log::LogItem;
use crate::domain::restore::{RestoreItem, RestoreOrder};
use crate::domain::salt::Opened;
use crate::domain::signature::Signatures;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::Places;
use crate::runtime::folder::private_folder;
use crate::text::{Clean, Gate};
use crate::world::{Part, Releases, World};

/// How often the migration table is read.
const MIGRATIONS_EVERY: Duration = Duration::from_secs(3);

/// How often the labels of a Helm release's records are read: a few hundred bytes each.
const RELEASES_EVERY: Duration = Duration::from_secs(5);

/// How often the catalogue of the database is read: some 2,000 names, which change only with a
/// migration.
const SCHEMA_EVERY: Duration = Duration::from_secs(15);

/// How often encrypted values are counted: they change when somebody saves a model or a credential.
const NEWER_EVERY: Duration = Duration::from_secs(60);

async fn ask<P: ?Sized, T>(part: Part<P>, question: impl FnOnce(&P) -> crate::world::Reply<T>) -> Result<T, Trouble> {
    match part {
        Ok(port) => question(&port).await,
        Err(why) => Err(why),
    }
}

/// A look as a task.
pub(in crate::runtime) fn look(world: &World, places: &Places, look: Look) -> BoxFuture<'static, Sight> {
    let (world, places) = (world.clone(), places.clone());
    async move {
        match look {
            Look::Identity => Sight::Identity(ask(world.cluster, |port| port.identity()).await),
            Look::Permissions(asks) => Sight::Permissions(ask(world.cluster, |port| port.permissions(asks)).await),
            Look::Workloads => Sight::Workloads(ask(world.cluster, |port| port.discover()).await),
            Look::Preview(change) => {
                Sight::Preview(ask(world.workloads, |port| port.preview(*change)).await.map(Box::new))
            }
            Look::Record(workload, release, row, storage) => {
                let read = ask(world.releases, |port| port.record(&workload, &release, row.revision, storage)).await;
                Sight::Record(read)
            }
            Look::Helm => Sight::Helm(ask(world.releases, |port| port.program()).await),
            Look::Trial(rollback) => {
                Sight::Trial(ask(world.releases, |port| port.trial(*rollback)).await.map(Box::new))
            }
            Look::Coupled(workload, target) => {
                Sight::Coupled(ask(world.cluster, |port| port.coupled(&workload, target)).await.map(Box::new))
            }
            Look::Opened(workload, target) => Sight::Opened(opened(world, workload, target).await),
            Look::Listing(pod) => Sight::Listing(ask(world.cluster, |port| port.listing(&pod)).await.map(Box::new)),
            Look::Migrations => Sight::Migrations(ask(world.database, |port| port.migrations()).await),
            Look::Schema => Sight::Schema(ask(world.database, |port| port.schema()).await),
            Look::Vitals => Sight::Vitals(ask(world.gateway, |port| port.vitals()).await),
            Look::Settings => Sight::Settings(ask(world.gateway, |port| port.settings()).await),
            Look::ModelHealth => Sight::ModelHealth(ask(world.gateway, |port| port.model_health()).await),
            Look::AdminUi => Sight::AdminUi(ask(world.gateway, |port| port.admin_ui()).await),
            Look::Server => Sight::Server(ask(world.backup, |port| port.server()).await.map(Box::new)),
            Look::RestorePlan(wish) => {
                let folders = places.dumps;
                Sight::RestorePlan(ask(world.backup, |port| port.plan_restore(*wish, folders)).await.map(Box::new))
            }
            Look::Remnant(name) => Sight::Remnant(ask(world.backup, |port| port.remnant(name)).await),
            Look::Cache => Sight::Cache(ask(world.cache, |port| port.info()).await),
            Look::CacheSurvey => Sight::CacheSurvey(ask(world.cache, |port| port.survey()).await),
            Look::SpendRow(id) => Sight::SpendRow(ask(world.database, |port| port.spend_row(id)).await),
        }
    }
    .boxed()
}

/// The keys go from one port to the other and are forgotten: the core never holds them.
async fn opened(world: World, workload: WorkloadRef, target: Goal) -> Result<Opened, Trouble> {
    let keys = ask(world.cluster, |port| port.salt_keys(&workload, target)).await?;
    ask(world.database, |port| port.opened(keys)).await
}

/// An act as a task. Its announcement is on disk. `stop` cancels those that take long; they say
/// themselves what came of it.
pub(in crate::runtime) fn act(
    world: &World,
    places: &Places,
    act: Act,
    stop: CancellationToken,
    progress: impl Fn(Headway) + Send + Sync + 'static,
) -> BoxFuture<'static, Result<Done, Trouble>> {
    let world = world.clone();
    let (folder, backups) = (places.incident.clone(), places.backups.clone());
    async move {
        match act {
            Act::Apply(cleared) => ask(world.workloads, |port| port.apply(*cleared)).await.map(Done::Applied),
            Act::Rollback(cleared) => {
                ask(world.releases, |port| port.rollback(*cleared, folder)).await.map(Done::RolledBack)
            }
            Act::Delete(proof) => ask(world.database, |port| port.delete(*proof, folder)).await.map(Done::Kept),
            Act::Resolve(proof) => ask(world.database, |port| port.resolve(*proof, folder)).await.map(Done::Kept),
            Act::Restore(kept) => ask(world.database, |port| port.restore(kept, folder)).await.map(Done::Restored),
            Act::Complete(model) => {
                ask(world.gateway, |port| port.complete(model)).await.map(|c| Done::Completed(Box::new(c)))
            }
            Act::Backup(order) => backup(world, order, backups, stop, progress).await,
            Act::RestoreDatabase(order) => restore(world, *order, stop, progress).await,
            Act::ClearCache(proof) => clear(world, *proof, stop, progress).await,
        }
    }
    .boxed()
}

async fn backup(
    world: World,
    order: BackupOrder,
    folder: PathBuf,
    stop: CancellationToken,
    progress: impl Fn(Headway),
) -> Result<Done, Trouble> {
    private_folder(&folder, &Gate::default())?;
    let mut feed = world.backup?.run(order, folder);
    // Dropping the feed cancels it and leaves no file behind.
    while let Some(item) = stop.run_until_cancelled(feed.next()).await.ok_or_else(cancelled)? {
        match item {
            BackupItem::Progress(at) => progress(Headway::Backup(at)),
            BackupItem::Proved(proof) => return Ok(Done::Backup(proof)),
            BackupItem::Failed(why) => return Err(why),
        }
    }
    Err(silent())
}

async fn restore(
    world: World,
    order: RestoreOrder,
    stop: CancellationToken,
    progress: impl Fn(Headway),
) -> Result<Done, Trouble> {
    let mut feed = world.backup?.restore(order, stop);
    while let Some(item) = feed.next().await {
        match item {
            RestoreItem::Progress(at) => progress(Headway::Restore(at)),
            RestoreItem::Restored(restored) => return Ok(Done::RestoredDatabase(restored)),
            RestoreItem::Failed(why) => return Err(why),
        }
    }
    Err(silent())
}

async fn clear(
    world: World,
    proof: Confirmed<Clearance>,
    stop: CancellationToken,
    progress: impl Fn(Headway),
) -> Result<Done, Trouble> {
    let mut feed = world.cache?.clear(proof, stop);
    while let Some(item) = feed.next().await {
        match item {
            ClearItem::Progress(at) => progress(Headway::Clear(at)),
            ClearItem::Emptied(emptied) => return Ok(Done::Emptied(emptied)),
            ClearItem::Failed(why) => return Err(why),
        }
    }
    Err(silent())
}

fn cancelled() -> Trouble {
    Trouble::new(TroubleKind::Cancelled, Clean::ours("cancelled"))
}

/// A port that ends without an end.
fn silent() -> Trouble {
    Trouble::new(TroubleKind::Unreachable, Clean::ours("it stopped without a result"))
        .remedy(Clean::ours("start it again"))
}

/// A feed as a task: it sends until nobody wants it. What it has by then is sent still: a log that
/// is followed again goes on after it.
pub(in crate::runtime) async fn feed(
    world: World,
    feed: Feed,
    signatures: Arc<Signatures>,
    sender: mpsc::Sender<Msg>,
    stop: CancellationToken,
) {
    let Some(mut items) = items(world, &feed, signatures) else { return };
    while let Some(Some(item)) = stop.run_until_cancelled(items.next()).await {
        if sender.send(Msg::Feed(feed.clone(), item)).await.is_err() {
            break;
        }
    }
}

fn items(world: World, feed: &Feed, signatures: Arc<Signatures>) -> Option<BoxStream<'static, Item>> {
    Some(match feed {
        Feed::Workload(workload) => world.cluster.ok()?.workload(workload).map(Item::Workload).boxed(),
        Feed::Pods(workload) => world.cluster.ok()?.pods(workload).map(Item::Pods).boxed(),
        Feed::Releases(workload, release) => {
            let (workload, release) = (workload.clone(), release.clone());
            let history = move |port: &(dyn Releases + 'static)| port.history(&workload, &release);
            repeated(world.releases.ok()?, RELEASES_EVERY, history, Item::Releases)
        }
        Feed::Logs(source) => {
            let lines = world.cluster.ok()?.logs(source, crate::app::logs::TAIL);
            lines.map(move |item| Item::Logs(matched(item, &signatures))).boxed()
        }
        Feed::Migrations => {
            repeated(world.database.ok()?, MIGRATIONS_EVERY, |port| port.migrations(), Item::Migrations)
        }
        Feed::Newer => repeated(world.database.ok()?, NEWER_EVERY, |port| port.newer(), Item::Newer),
        Feed::Schema => repeated(world.database.ok()?, SCHEMA_EVERY, |port| port.schema(), Item::Schema),
    })
}

/// A question asked again and again: at once, then at this distance.
fn repeated<P: ?Sized + Send + Sync + 'static, T: Send + 'static>(
    port: Arc<P>,
    every: Duration,
    question: impl Fn(&P) -> crate::world::Reply<T> + Clone + Send + Sync + 'static,
    item: fn(Result<T, Trouble>) -> Item,
) -> BoxStream<'static, Item> {
    let ask = move |first: bool| {
        let (port, question) = (Arc::clone(&port), question.clone());
        async move {
            if !first {
                tokio::time::sleep(every).await;
            }
            Some((item(question(&port).await), false))
        }
    };
    futures::stream::unfold(true, ask).boxed()
}

/// Marks the lines that match a signature, before anybody shares them.
fn matched(item: LogItem, signatures: &Signatures) -> LogItem {
    match item {
        LogItem::Lines(segment) => LogItem::Lines(segment.matched(signatures)),
        item => item,
    }
}
