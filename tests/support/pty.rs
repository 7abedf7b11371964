//! The real program in a real terminal of a size: bytes in, a screen out. Nothing here waits for a
//! time to pass: it waits for words, for an end, or for a deadline with a description.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

/// How long a word may take to come.
pub const SOON: Duration = Duration::from_secs(10);

/// What came out so far.
struct Seen {
    raw: Vec<u8>,
    parser: vt100::Parser,
    over: bool,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

/// A program in a terminal.
pub struct Session {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn std::io::Write + Send>>,
    shared: Shared,
    closing: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
}

/// What a session starts with.
pub struct Start<'a> {
    pub program: &'a str,
    pub arguments: &'a [&'a str],
    pub home: &'a Path,
    pub size: (u16, u16),
    pub env: &'a [(&'a str, &'a str)],
}

impl<'a> Start<'a> {
    /// The console in an empty home.
    pub fn lastgood(home: &'a Path, arguments: &'a [&'a str]) -> Self {
        Self { program: env!("CARGO_BIN_EXE_lastgood"), arguments, home, size: (120, 36), env: &[] }
    }

    /// The program in its terminal, and the other side of that.
    pub fn spawn(&self) -> (Box<dyn Child + Send + Sync>, Box<dyn MasterPty + Send>) {
        let (cols, rows) = self.size;
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(self.program);
        command.args(self.arguments);
        command.cwd(self.home);
        command.env_clear();
        for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("PATH", "/usr/bin:/bin")] {
            command.env(name, value);
        }
        command.env("HOME", self.home);
        command.env("KUBECONFIG", self.home.join("kubeconfig"));
        for (name, value) in self.env {
            command.env(name, value);
        }
        (pair.slave.spawn_command(command).unwrap(), pair.master)
    }

    pub fn open(self) -> Session {
        let (cols, rows) = self.size;
        let (child, master) = self.spawn();
        let seen = Seen { raw: Vec::new(), parser: vt100::Parser::new(rows, cols, 0), over: false };
        let shared: Shared = Arc::new((Mutex::new(seen), Condvar::new()));
        let (closing, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut reader = master.try_clone_reader().unwrap();
        let (to, stop, stuck) = (Arc::clone(&shared), Arc::clone(&closing), Arc::clone(&held));
        std::thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut bytes)
                && !stop.load(Ordering::SeqCst)
            {
                let mut seen = to.0.lock().unwrap_or_else(PoisonError::into_inner);
                seen.raw.extend_from_slice(&bytes[..count]);
                seen.parser.process(&bytes[..count]);
                to.1.notify_all();
                drop(seen);
                while stuck.load(Ordering::SeqCst) {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
            }
            drop(reader);
            to.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
            to.1.notify_all();
        });
        let writer = master.take_writer().unwrap();
        Session { child, master: Some(master), writer: Some(writer), shared, closing, held }
    }
}

impl Session {
    /// A test that failed while it looked leaves the lock as it is.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Types bytes.
    pub fn send(&mut self, keys: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Pastes text in one piece, as terminals do.
    pub fn paste(&mut self, text: &str) {
        self.send(&format!("\x1b[200~{text}\x1b[201~"));
    }

    pub fn screen(&self) -> String {
        self.seen().parser.screen().contents()
    }

    /// Every byte that came out.
    pub fn raw(&self) -> Vec<u8> {
        self.seen().raw.clone()
    }

    /// Looks at the screen, cells and modes.
    pub fn with<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.seen().parser.screen())
    }

    /// Waits until the screen is as described, or fails with the screen.
    #[track_caller]
    pub fn wait_until(&self, what: &str, within: Duration, so: impl Fn(&vt100::Screen, &[u8]) -> bool) -> Duration {
        let begin = Instant::now();
        let mut seen = self.seen();
        while !so(seen.parser.screen(), &seen.raw) {
            let left = within.saturating_sub(begin.elapsed());
            assert!(!left.is_zero() && !seen.over, "waited in vain for {what}\n{}", seen.parser.screen().contents());
            seen = self.shared.1.wait_timeout(seen, left).unwrap().0;
        }
        begin.elapsed()
    }

    /// Waits until these words are on the screen.
    #[track_caller]
    pub fn wait_for(&self, words: &str, within: Duration) -> Duration {
        self.wait_until(&format!("{words:?}"), within, |screen, _| screen.contents().contains(words))
    }

    pub fn resize(&self, cols: u16, rows: u16) {
        self.seen().parser.screen_mut().set_size(rows, cols);
        self.master.as_ref().unwrap().resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// The id of the process.
    pub fn process(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// From the next bytes on nobody takes what is written, as behind a stopped terminal or a dead
    /// line; with false, everything is taken again.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    /// The letter of the process in `/proc`: `T` is stopped.
    pub fn wait_until_process_is(&self, letter: char) {
        let path = format!("/proc/{}/stat", self.process());
        let state = || std::fs::read_to_string(&path).ok()?.rsplit_once(") ")?.1.chars().next();
        wait_until(&format!("the process to be {letter}"), SOON, || state() == Some(letter));
    }

    /// The terminal goes away, as when an SSH line drops. Answers once nobody holds it.
    pub fn hang_up(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        self.writer = None;
        // The reader lets go with the next byte: the console's clock writes some every second.
        let seen = self.seen();
        let (seen, late) = self.shared.1.wait_timeout_while(seen, SOON, |seen| !seen.over).unwrap();
        assert!(!late.timed_out(), "the clock of the console does not tick");
        drop(seen);
        self.master = None;
    }

    /// Waits for the end. The exit code, and how long it took.
    #[track_caller]
    pub fn wait_end(&mut self, within: Duration) -> (u32, Duration) {
        let begin = Instant::now();
        let mut code = None;
        wait_until("the program to end", within, || {
            code = self.child.try_wait().unwrap().map(|status| status.exit_code());
            code.is_some()
        });
        let took = begin.elapsed();
        if self.master.is_some() {
            // What it wrote at the end is still on its way through the terminal.
            let seen = self.seen();
            let _over = self.shared.1.wait_timeout_while(seen, SOON, |seen| !seen.over).unwrap();
        }
        (code.unwrap(), took)
    }

    /// Echo and line editing are on: the shell can be used.
    pub fn is_cooked(&self) -> bool {
        let name = self.master.as_ref().unwrap().tty_name().unwrap();
        let terminal = std::fs::File::options().read(true).write(true).open(name).unwrap();
        tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }

    /// Primary screen, cursor, plain paste: as a shell wants the terminal.
    #[track_caller]
    pub fn assert_restored(&self) {
        let screen = self.screen();
        self.with(|s| {
            assert!(!s.alternate_screen(), "the alternate screen is still on\n{screen}");
            assert!(!s.hide_cursor(), "the cursor is still hidden\n{screen}");
            assert!(!s.bracketed_paste(), "pastes are still in brackets\n{screen}");
        });
        let raw = self.raw();
        for bytes in ["\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l"] {
            assert!(find(&raw, bytes.as_bytes()).is_some(), "{bytes:?} was not written");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.held.store(false, Ordering::SeqCst);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|part| part == needle)
}

/// Asks again and again until it is so, or fails with what was waited for.
#[track_caller]
pub fn wait_until(what: &str, within: Duration, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + within;
    while !so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
