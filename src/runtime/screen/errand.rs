//! What needs the plain terminal while the screen is up: a login that asks for a password.

use futures::future::{BoxFuture, FutureExt as _};
use tokio::sync::mpsc;

use crate::text::Clean;

/// Something that is done on the plain terminal. The screen is left for it and entered again after.
pub struct Errand {
    /// What the operator is told first.
    pub(super) words: Clean,
    pub(super) work: BoxFuture<'static, ()>,
}

impl Errand {
    /// An errand: what it is for, and the work. Dropped when the console ends first.
    pub fn new(words: Clean, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { words, work: work.boxed() }
    }
}

/// Where errands are sent.
pub type ErrandSender = mpsc::UnboundedSender<Errand>;

/// The errands of one session, one after the other.
pub struct Errands(Option<mpsc::UnboundedReceiver<Errand>>);

impl Errands {
    /// A queue, and where it is filled.
    pub fn queue() -> (ErrandSender, Self) {
        let (sender, queue) = mpsc::unbounded_channel();
        (sender, Self(Some(queue)))
    }

    /// A session without errands.
    pub fn none() -> Self {
        Self(None)
    }

    /// The next one; waits without end when there will be none.
    pub(super) async fn next(&mut self) -> Errand {
        if let Some(queue) = &mut self.0
            && let Some(errand) = queue.recv().await
        {
            return errand;
        }
        self.0 = None;
        std::future::pending().await
    }
}
