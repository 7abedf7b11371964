//! A program in a terminal of 80 columns and 24 lines, here or at the end of a far line: every
//! frame is timed, and looked at for the numbers of log lines.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portable_pty::{Child, MasterPty};

use crate::far::{Shape, Way};
use crate::kube_server::Flow;
use crate::pty::Start;
use crate::server::{PODS, Server};

/// The end of a synchronized update (DEC private mode 2026), which is the end of a frame.
const END: &[u8] = b"\x1b[?2026l";
/// A program asks where the cursor is (DSR 6),
const WHERE: &[u8] = b"\x1b[6n";
/// and is told: at the top.
const HERE: &str = "\x1b[1;1R";
pub const SIZE: (u16, u16) = (80, 24);
/// What the environment of a terminal over SSH says.
pub const FAR: [(&str, &str); 1] = [("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")];
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The number of a line: the digits after its `#`.
pub fn number_in(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once('#')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

/// What was seen so far.
pub struct Seen {
    parser: vt100::Parser,
    /// Bytes of a frame that is not complete.
    open: Vec<u8>,
    /// The program says where its frames end.
    framed: bool,
    flow: Flow,
    pub bytes: usize,
    pub frames: usize,
    /// When the last frame was complete.
    at: Instant,
    /// The highest number of a line that was shown.
    pub newest: Option<u64>,
    /// How long lines took from the server to the screen: for each frame that shows new ones, the
    /// one that waited longest.
    pub waits: Vec<Duration>,
    over: bool,
}

impl Seen {
    fn new(flow: Flow, framed: bool) -> Self {
        Self {
            parser: vt100::Parser::new(SIZE.1, SIZE.0, 0),
            open: Vec::new(),
            framed,
            flow,
            bytes: 0,
            frames: 0,
            at: Instant::now(),
            newest: None,
            waits: Vec::new(),
            over: false,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.open.extend_from_slice(bytes);
        while let Some(end) = self.open.windows(END.len()).position(|part| part == END) {
            let frame: Vec<u8> = self.open.drain(..end + END.len()).collect();
            self.show(&frame);
            self.frames += 1;
        }
        if !self.framed {
            let all = std::mem::take(&mut self.open);
            self.show(&all);
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.at = Instant::now();
        let newest = self.parser.screen().rows(0, SIZE.0).filter_map(|row| number_in(&row)).max();
        let Some(newest) = newest.filter(|newest| self.newest.is_none_or(|before| *newest > before)) else { return };
        if let Some(before) = self.newest {
            let waited = Timestamp::now().duration_since(self.flow.at(before + 1));
            self.waits.push(Duration::try_from(waited).unwrap_or_default());
        }
        self.newest = Some(newest);
    }
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

/// The program and its terminal.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    /// What was typed, and when.
    keys: Sender<(Instant, String)>,
    shared: Shared,
    way: Option<Arc<Way>>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// The console in a home of this server, on its log; on a terminal of this machine or behind a line.
    pub fn console(server: &Server, home: &Path, env: &[(&str, &str)], line: Option<Shape>) -> Self {
        let start = Start { env, ..Start::lastgood(home, &[]) };
        let terminal = Self::start(&start, Seen::new(server.flow, true), line);
        terminal.wait("the first question", PATIENCE, |screen| screen.contains("What has to go back?"));
        let following = format!("following {PODS} of {PODS}");
        terminal.press("L", "the log", |screen| screen.contains(&following));
        terminal
    }

    /// Another program on a terminal of this machine.
    pub fn other(program: &str, arguments: &[&str], home: &Path, flow: Flow) -> Self {
        let start = Start { program, arguments, ..Start::lastgood(home, &[]) };
        Self::start(&start, Seen::new(flow, false), None)
    }

    fn start(start: &Start<'_>, seen: Seen, line: Option<Shape>) -> Self {
        let (child, master) = Start { size: SIZE, ..*start }.spawn();
        let (mut reader, mut writer) = (master.try_clone_reader().unwrap(), master.take_writer().unwrap());
        let shared: Shared = Arc::new((Mutex::new(seen), Condvar::new()));
        let way = line.map(|shape| Arc::new(Way::new(shape)));
        let (keys, typed) = std::sync::mpsc::channel::<(Instant, String)>();
        let (to, into, answers) = (Arc::clone(&shared), way.clone(), keys.clone());
        std::thread::spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                // kdash asks where the cursor is before it draws anything.
                if bytes[..count].windows(WHERE.len()).any(|part| part == WHERE) {
                    let _ = answers.send((Instant::now(), HERE.to_owned()));
                }
                match &into {
                    Some(way) => way.put(&bytes[..count]),
                    None => arrived(&to, &bytes[..count]),
                }
            }
            into.iter().for_each(|way| way.end());
            to.0.lock().unwrap().over = true;
            to.1.notify_all();
        });
        if let Some(way) = way.clone() {
            let to = Arc::clone(&shared);
            std::thread::spawn(move || {
                while let Some(bytes) = way.take() {
                    arrived(&to, &bytes);
                }
            });
        }
        let half = line.map_or(Duration::ZERO, |shape| shape.half);
        std::thread::spawn(move || {
            while let Ok((at, text)) = typed.recv() {
                std::thread::sleep((at + half).saturating_duration_since(Instant::now()));
                // Whoever typed to a program that is gone finds out by its screen.
                let _ = writer.write_all(text.as_bytes()).and_then(|()| writer.flush());
            }
        });
        Self { child, keys, shared, way, _master: master }
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

    /// The longest that a byte had to wait in front of the line since this was asked last.
    pub fn longest(&self) -> Duration {
        self.way.as_ref().map_or(Duration::ZERO, |way| way.longest())
    }

    pub fn send(&self, keys: &str) {
        self.keys.send((Instant::now(), keys.to_owned())).unwrap();
    }

    /// Types keys, and answers how long it took until the screen was as it should be.
    #[track_caller]
    pub fn press(&self, keys: &str, what: &str, so: impl Fn(&str) -> bool) -> Duration {
        let begin = Instant::now();
        self.send(keys);
        self.wait(what, Duration::from_secs(20), so).saturating_duration_since(begin)
    }

    /// Waits until the screen is so, and answers when that frame was complete.
    #[track_caller]
    pub fn wait(&self, what: &str, within: Duration, so: impl Fn(&str) -> bool) -> Instant {
        let at = self.comes(within, so);
        at.unwrap_or_else(|| panic!("waited in vain for {what}\n{}", self.screen()))
    }

    /// The same of a program that may never come to that.
    pub fn comes(&self, within: Duration, so: impl Fn(&str) -> bool) -> Option<Instant> {
        let end = Instant::now() + within;
        let mut seen = self.shared.0.lock().unwrap();
        while !so(&seen.parser.screen().contents()) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || seen.over {
                return None;
            }
            seen = self.shared.1.wait_timeout(seen, left).unwrap().0;
        }
        Some(seen.at)
    }
}

fn arrived(shared: &Shared, bytes: &[u8]) {
    shared.0.lock().unwrap().take(bytes);
    shared.1.notify_all();
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.way.iter().for_each(|way| way.end());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
