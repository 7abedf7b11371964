//! The terminal's events, read on a thread of their own.
//!
//! crossterm 0.29 reads a terminal that is gone without end, inside the call that asks for events.
//! On this thread that holds nobody up: the loop hears of the loss by signal, or by its own look at
//! the terminal, and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{self, Event};
use tokio::sync::mpsc;

/// How long the thread stays when nobody wants events any more.
const LINGER: Duration = Duration::from_millis(250);

/// Events as they come.
pub(super) struct Events {
    queue: mpsc::UnboundedReceiver<Event>,
    over: Arc<AtomicBool>,
}

impl Events {
    pub fn start() -> Self {
        let (sender, queue) = mpsc::unbounded_channel();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let Ok(found) = event::poll(LINGER).and_then(|there| there.then(event::read).transpose()) else {
                    break;
                };
                if found.is_some_and(|event| sender.send(event).is_err()) {
                    break;
                }
            }
        });
        Self { queue, over }
    }

    /// The next event. `None` when the terminal cannot be read any more.
    pub async fn next(&mut self) -> Option<Event> {
        self.queue.recv().await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
