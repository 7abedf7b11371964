//! Writing to the terminal from a thread of its own: a line that does not take more bytes holds
//! up drawing, never the keys.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use tokio::sync::Notify;

/// The name of the thread.
const THREAD: &str = "terminal";
/// How long a terminal that takes nothing is waited for at the end.
const LAST_WORDS: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Shared {
    pending: AtomicUsize,
    lost: AtomicBool,
    idle: Notify,
}

/// The thread and its queue. One frame at a time is handed over: see [`Writer::idle`].
pub(super) struct Writer {
    frames: Option<mpsc::Sender<Vec<u8>>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start() -> io::Result<Self> {
        let (frames, queue) = mpsc::channel::<Vec<u8>>();
        let shared = Arc::new(Shared::default());
        let of = Arc::clone(&shared);
        // Named, so that its writes can be told from others by whoever measures them.
        let thread = std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            while let Ok(frame) = queue.recv() {
                let taken = TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
                // A panic restores the terminal behind the same lock: no frame may follow it.
                if super::ENTERED.load(Ordering::SeqCst) && write_whole(&frame).is_err() {
                    of.lost.store(true, Ordering::SeqCst);
                }
                drop(taken);
                of.pending.fetch_sub(1, Ordering::SeqCst);
                of.idle.notify_one();
            }
        })?;
        Ok(Self { frames: Some(frames), shared, thread: Some(thread) })
    }

    /// Hands bytes over.
    pub fn write(&self, frame: Vec<u8>) {
        self.shared.pending.fetch_add(1, Ordering::SeqCst);
        if self.frames.as_ref().is_none_or(|frames| frames.send(frame).is_err()) {
            self.shared.pending.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Everything that was handed over is written.
    pub fn idle(&self) -> bool {
        self.shared.pending.load(Ordering::SeqCst) == 0
    }

    /// Waits until a frame is written.
    pub async fn wait_idle(&self) {
        self.shared.idle.notified().await;
    }

    /// The terminal does not take bytes any more.
    pub fn lost(&self) -> bool {
        self.shared.lost.load(Ordering::SeqCst)
    }

    /// Ends the thread. Waits for what is queued, unless the terminal is gone or stuck: false then.
    pub fn finish(&mut self) -> bool {
        self.frames.take();
        let end = Instant::now() + LAST_WORDS;
        while !self.idle() && !self.lost() && Instant::now() < end {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if let Some(thread) = self.thread.take()
            && (self.idle() || self.lost())
        {
            let _ = thread.join();
        }
        self.idle() && !self.lost()
    }
}

/// Whoever holds this writes. Not the lock of Rust's stdout: a terminal that takes nothing would
/// hold up everybody who prints.
static TERMINAL: Mutex<()> = Mutex::new(());

/// Writes the last bytes, unless the terminal does not take them in time: one that is stopped
/// (control-S, a dead line) must hold nobody up. False when they were not written.
pub(super) fn write_last(bytes: Vec<u8>) -> bool {
    let (done, wait) = mpsc::channel();
    let write = move || {
        let _taken = TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = done.send(write_whole(&bytes).is_ok());
    };
    let started = std::thread::Builder::new().name(THREAD.to_owned()).spawn(write);
    started.is_ok() && wait.recv_timeout(LAST_WORDS) == Ok(true)
}

/// Writes past the line buffer of Rust's stdout, in as few calls as the terminal takes.
fn write_whole(mut frame: &[u8]) -> io::Result<()> {
    let out = rustix::stdio::stdout();
    while !frame.is_empty() {
        match rustix::io::write(out, frame) {
            Ok(written) => frame = frame.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            // Somebody who shares the terminal made it non-blocking.
            Err(rustix::io::Errno::AGAIN) => {
                let mut room = [PollFd::new(&out, PollFlags::OUT)];
                match rustix::event::poll(&mut room, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(why) => return Err(why.into()),
                }
            }
            Err(why) => return Err(why.into()),
        }
    }
    Ok(())
}
