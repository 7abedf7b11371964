//! A program in a terminal of 80 columns and 24 lines: every frame is timed, and looked at for the
//! numbers of log lines.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portable_pty::{Child, MasterPty};

use crate::kube_server::Flow;
use crate::number_in;
use crate::pty::Start;

/// The end of a synchronized update (DEC private mode 2026), which is the end of a frame.
const END: &[u8] = b"\x1b[?2026l";
const SIZE: (u16, u16) = (80, 24);

/// What was seen so far.
pub struct Seen {
    parser: vt100::Parser,
    /// Bytes of a frame that is not complete.
    open: Vec<u8>,
    pub bytes: usize,
    pub frames: usize,
    /// When the last frame was complete.
    at: Instant,
    /// The highest number of a line that was shown.
    newest: Option<u64>,
    /// How long lines took from the server to the screen: for each frame that shows new ones, the
    /// one that waited longest.
    pub waits: Vec<Duration>,
    over: bool,
}

impl Seen {
    fn take(&mut self, bytes: &[u8], flow: Flow) {
        self.bytes += bytes.len();
        self.open.extend_from_slice(bytes);
        while let Some(end) = self.open.windows(END.len()).position(|part| part == END) {
            let frame: Vec<u8> = self.open.drain(..end + END.len()).collect();
            self.parser.process(&frame);
            self.at = Instant::now();
            self.frames += 1;
            self.look(flow);
        }
    }

    fn look(&mut self, flow: Flow) {
        let newest = self.parser.screen().rows(0, SIZE.0).filter_map(|row| number_in(&row)).max();
        let Some(newest) = newest.filter(|newest| self.newest.is_none_or(|before| *newest > before)) else { return };
        if let Some(before) = self.newest {
            let waited = Timestamp::now().duration_since(flow.at(before + 1));
            self.waits.push(Duration::try_from(waited).unwrap_or_default());
        }
        self.newest = Some(newest);
    }
}

/// The program and its terminal.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    shared: Arc<(Mutex<Seen>, Condvar)>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// The console in this home.
    pub fn open(home: &Path, env: &[(&str, &str)], flow: Flow) -> Self {
        let (cols, rows) = SIZE;
        let (child, master) = Start { size: SIZE, env, ..Start::lastgood(home, &[]) }.spawn();
        let mut reader = master.try_clone_reader().unwrap();
        let keys = master.take_writer().unwrap();
        let seen = Seen {
            parser: vt100::Parser::new(rows, cols, 0),
            open: Vec::new(),
            bytes: 0,
            frames: 0,
            at: Instant::now(),
            newest: None,
            waits: Vec::new(),
            over: false,
        };
        let shared = Arc::new((Mutex::new(seen), Condvar::new()));
        let to = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                to.0.lock().unwrap().take(&bytes[..count], flow);
                to.1.notify_all();
            }
            to.0.lock().unwrap().over = true;
            to.1.notify_all();
        });
        Self { child, keys, shared, _master: master }
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Looks at what was seen, and may change it.
    pub fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.shared.0.lock().unwrap())
    }

    pub fn screen(&self) -> String {
        self.with(|seen| seen.parser.screen().contents())
    }

    pub fn send(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Types keys, and answers how long it took until the screen was as it should be.
    #[track_caller]
    pub fn press(&mut self, keys: &str, what: &str, so: impl Fn(&str) -> bool) -> Duration {
        let begin = Instant::now();
        self.send(keys);
        self.wait(what, Duration::from_secs(20), so).saturating_duration_since(begin)
    }

    /// Waits until the screen is so, and answers when that frame was complete.
    #[track_caller]
    pub fn wait(&self, what: &str, within: Duration, so: impl Fn(&str) -> bool) -> Instant {
        let end = Instant::now() + within;
        let mut seen = self.shared.0.lock().unwrap();
        while !so(&seen.parser.screen().contents()) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !seen.over, "waited in vain for {what}\n{}", seen.parser.screen().contents());
            seen = self.shared.1.wait_timeout(seen, left).unwrap().0;
        }
        seen.at
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
