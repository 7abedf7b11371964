//! Counting keys and deleting answers: SCAN in small steps, UNLINK of exactly what matches.
//!
//! Neither KEYS, which stops a server, nor FLUSHALL or FLUSHDB, which take unwritten spend along,
//! is ever sent.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::unfold;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::nodes::Nodes;
use super::{Redis, optional};
use crate::domain::cache::{CacheSurvey, ClearItem, ClearProgress, Clearance, Emptied, Tally, too_old};
use crate::domain::confirm::Confirmed;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;
use crate::world::Feed;

/// Keys that a server looks at in one step. 500 kept the longest step below 20 ms where it was
/// measured (500 000 keys, Redis 7.0).
const STEP: u32 = 500;

/// Longest time for a survey.
const SURVEY: Duration = Duration::from_secs(120);

/// Goes through all keys of a server, a step at a time.
struct Scan {
    cursor: Option<u64>,
}

impl Scan {
    fn new() -> Self {
        Self { cursor: Some(0) }
    }

    /// The next keys; `None` after the last ones. A key that is there all the time comes at least
    /// once, and may come twice.
    async fn next(&mut self, connection: &mut MultiplexedConnection) -> RedisResult<Option<Vec<Vec<u8>>>> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(STEP);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await?;
        self.cursor = (next != 0).then_some(next);
        Ok(Some(keys))
    }
}

/// Counts every key.
pub(super) async fn survey(redis: &Redis) -> Result<CacheSurvey, Trouble> {
    match tokio::time::timeout(SURVEY, count(redis)).await {
        Ok(counted) => counted,
        Err(_) => {
            let what = say!("the keys of Redis at {} were not counted within {} s", redis.place, SURVEY.as_secs());
            Err(Trouble::new(TroubleKind::Busy, what).remedy(Clean::ours("it is very large or busy; try again later")))
        }
    }
}

async fn count(redis: &Redis) -> Result<CacheSurvey, Trouble> {
    let mut nodes = Nodes::connect(redis).await?;
    let mut tally = Tally::default();
    for connection in &mut nodes.connections {
        let mut scan = Scan::new();
        while let Some(keys) = scan.next(connection).await.map_err(|error| redis.trouble(&error))? {
            keys.iter().for_each(|key| tally.add(key));
        }
    }
    let masters = nodes.masters();
    let server = nodes.server;
    let warnings = too_old(server.product, server.version.as_str()).into_iter().collect();
    Ok(tally.survey(server.product, server.version, masters, warnings))
}

/// Deletes what was confirmed, in a task that reports. Dropping the feed stops it, too.
pub(super) fn clear(redis: Redis, proof: Confirmed<Clearance>, stop: CancellationToken) -> Feed<ClearItem> {
    let (items, received) = mpsc::channel(16);
    let stop = stop.child_token();
    let guard = stop.clone().drop_guard();
    tokio::spawn(async move {
        let mut work = Work { redis, items, stop, progress: NOTHING };
        let end = work.run(proof.subject()).await.map_or_else(ClearItem::Failed, ClearItem::Emptied);
        // Nobody listens any more: the feed was dropped.
        let _ = work.items.send(end).await;
    });
    unfold((received, guard), |(mut received, guard)| async move {
        let item = received.recv().await?;
        Some((item, (received, guard)))
    })
    .boxed()
}

const NOTHING: ClearProgress = ClearProgress { looked_at: 0, of: 0, deleted: 0, counting: false };

struct Work {
    redis: Redis,
    items: mpsc::Sender<ClearItem>,
    stop: CancellationToken,
    progress: ClearProgress,
}

impl Work {
    async fn run(&mut self, clearance: &Clearance) -> Result<Emptied, Trouble> {
        let mut nodes = Nodes::connect(&self.redis).await?;
        for connection in &mut nodes.connections {
            let keys: Option<u64> = optional(redis::cmd("DBSIZE").query_async(connection).await)
                .map_err(|error| self.redis.trouble(&error))?;
            self.progress.of += keys.unwrap_or_default();
        }
        for connection in &mut nodes.connections {
            self.delete(connection, clearance).await?;
        }
        self.progress.counting = true;
        let mut left = 0;
        for connection in &mut nodes.connections {
            let mut scan = Scan::new();
            while let Some(keys) = self.step(&mut scan, connection).await? {
                left += keys.iter().filter(|key| clearance.covers(key)).count() as u64;
            }
        }
        Ok(Emptied { deleted: self.progress.deleted, left })
    }

    async fn delete(&mut self, connection: &mut MultiplexedConnection, clearance: &Clearance) -> Result<(), Trouble> {
        let mut scan = Scan::new();
        while let Some(keys) = self.step(&mut scan, connection).await? {
            self.progress.looked_at += keys.len() as u64;
            // One command a key, all at once: the keys of a cluster's node lie in many slots.
            let mut batch = redis::pipe();
            for key in keys.iter().filter(|key| clearance.covers(key)) {
                batch.cmd("UNLINK").arg(key);
            }
            if !batch.is_empty() {
                let gone: Vec<u64> = batch.query_async(connection).await.map_err(|error| self.broken(&error))?;
                self.progress.deleted += gone.iter().sum::<u64>();
            }
        }
        Ok(())
    }

    /// The next keys, unless it is to stop. Reports where it stands.
    async fn step(
        &mut self,
        scan: &mut Scan,
        connection: &mut MultiplexedConnection,
    ) -> Result<Option<Vec<Vec<u8>>>, Trouble> {
        if self.stop.is_cancelled() {
            let what = say!("cancelled; {} answers are deleted already", self.progress.deleted);
            return Err(Trouble::new(TroubleKind::Cancelled, what).remedy(Clean::ours("clearing again goes on")));
        }
        // Progress is thrown away when nobody takes it; the end is not.
        let _ = self.items.try_send(ClearItem::Progress(self.progress));
        scan.next(connection).await.map_err(|error| self.broken(&error))
    }

    /// Deleting answers twice does no harm, so a broken line is a failure and not a riddle.
    fn broken(&self, error: &RedisError) -> Trouble {
        let why = self.redis.trouble(error);
        let what = say!("{}; at least {} answers are deleted already", why.what, self.progress.deleted);
        Trouble::new(why.kind, what).remedy(say!("{}; clearing again goes on", why.remedy))
    }
}
