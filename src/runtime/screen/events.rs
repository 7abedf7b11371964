//! The terminal's events, read on a thread of their own.
//!
//! crossterm 0.29 reads a terminal that is gone without end, inside the call that asks for events.
//! So it is asked only when there is something to read, and the loss of the terminal is noticed here
//! first: the thread ends, and so does the queue. Where it goes away right after a key, crossterm is
//! in that call already: [`gone`] sees it from outside, and [`let_go`] ends the reading.

use std::io::{self, PipeWriter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::sync::mpsc;

/// How long the thread stays when nobody wants events any more.
const LINGER: Duration = Duration::from_millis(250);

/// Events as they come. A new size is not among them: the signal tells it sooner.
pub(super) struct Events {
    queue: mpsc::UnboundedReceiver<Event>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Events {
    pub fn start() -> Self {
        let (sender, queue) = mpsc::unbounded_channel();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                match readable(LINGER) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(_) => break,
                }
                while let Ok(true) = event::poll(Duration::ZERO) {
                    if !event::read().is_ok_and(|event| sender.send(event).is_ok()) {
                        return;
                    }
                }
            }
        });
        Self { queue, over, thread: Some(thread) }
    }

    /// Waits until nobody reads the terminal any more: what is typed then is somebody else's.
    pub async fn end(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// The next event. `None` when the terminal is gone.
    pub async fn next(&mut self) -> Option<Event> {
        self.queue.recv().await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// Whether the terminal is gone.
pub(super) fn gone() -> bool {
    readable(Duration::ZERO).is_err()
}

/// Puts a pipe that brings nothing in the place of a terminal that is gone: whoever reads it waits.
pub(super) fn let_go() {
    static NOTHING: OnceLock<PipeWriter> = OnceLock::new();
    if let Ok((reader, writer)) = io::pipe() {
        NOTHING.get_or_init(|| writer);
        let _ = rustix::stdio::dup2_stdin(&reader);
    }
}

/// Waits until there is something to read.
///
/// # Errors
/// The terminal is gone. A process that is told nothing of it (the signal is blocked, or went to
/// another one) sees it here, and in a terminal that does not answer for its modes any more.
fn readable(within: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut there = [PollFd::new(&stdin, PollFlags::IN)];
    let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(within.subsec_nanos()) };
    match rustix::event::poll(&mut there, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(why) => return Err(why.into()),
    }
    let seen = there[0].revents();
    if seen.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    rustix::termios::tcgetattr(&stdin)?;
    Ok(seen.contains(PollFlags::IN))
}
