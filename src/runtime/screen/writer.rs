//! Writing to the terminal from a thread of its own: a line that does not take more bytes holds
//! up drawing, never the keys.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::Notify;

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
    pub fn start() -> Self {
        let (frames, queue) = mpsc::channel::<Vec<u8>>();
        let shared = Arc::new(Shared::default());
        let of = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while let Ok(frame) = queue.recv() {
                let mut out = io::stdout().lock();
                // A panic restores the terminal under the same lock: no frame may follow it. Rust's
                // stdout is line-buffered in small pieces; one write a frame goes past it.
                if super::ENTERED.load(Ordering::SeqCst) && write_whole(&mut out, &frame).is_err() {
                    of.lost.store(true, Ordering::SeqCst);
                }
                drop(out);
                of.pending.fetch_sub(1, Ordering::SeqCst);
                of.idle.notify_one();
            }
        });
        Self { frames: Some(frames), shared, thread: Some(thread) }
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

    /// Ends the thread. Waits for what is queued, unless the terminal is gone or stuck.
    pub fn finish(&mut self) {
        self.frames.take();
        let end = std::time::Instant::now() + std::time::Duration::from_millis(500);
        while !self.idle() && !self.lost() && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        if let Some(thread) = self.thread.take()
            && (self.idle() || self.lost())
        {
            let _ = thread.join();
        }
    }
}

/// Writes past the line buffer of Rust's stdout, in as few calls as the terminal takes.
fn write_whole(out: &mut io::StdoutLock<'_>, mut frame: &[u8]) -> io::Result<()> {
    out.flush()?;
    while !frame.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), frame) {
            Ok(written) => frame = frame.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(why) => return Err(why.into()),
        }
    }
    Ok(())
}
