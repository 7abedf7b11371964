//! Acts of a drill that take their time: an item for each stage, until one is the last.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use crate::world::Feed;

/// How long a stage takes.
const STAGE: Duration = Duration::from_millis(400);

/// The items of the stages, which are counted from 0: the first at once, each other after its
/// time, or at once when the act is to stop. The first that does not go on is the last.
pub(super) fn staged<T: 'static>(
    stop: CancellationToken,
    goes_on: fn(&T) -> bool,
    item: impl Fn(u64) -> T + Send + 'static,
) -> Feed<T> {
    let next = move |begun: Option<(u64, _)>| {
        let stop = stop.clone();
        async move {
            let (stage, item) = begun?;
            if stage > 0 {
                tokio::select! {
                    () = tokio::time::sleep(STAGE) => {}
                    () = stop.cancelled() => {}
                }
            }
            Some(at(stage, item, goes_on))
        }
    };
    stream::unfold(Some((0, item)), next).boxed()
}

/// One item, and what comes after it.
fn at<T, F: Fn(u64) -> T>(stage: u64, item: F, goes_on: fn(&T) -> bool) -> (T, Option<(u64, F)>) {
    let now = item(stage);
    let more = goes_on(&now);
    (now, more.then_some((stage + 1, item)))
}
