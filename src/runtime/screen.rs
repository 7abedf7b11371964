//! The terminal: entered, drawn in one write a frame, restored whatever happens, and given back
//! to the shell while suspended.

mod backend;
mod clipboard;
mod encode;
mod errand;
mod events;
mod pace;
mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind};
use crossterm::{cursor, event, style, terminal};
use futures::FutureExt as _;
use ratatui::Terminal;
use tokio::signal::unix::{SignalKind, signal};

pub use errand::{Errand, ErrandSender, Errands};

use crate::app::action::Action;
use crate::app::effect::Exit;
use crate::app::key::{Code, Key};
use crate::app::msg::Msg;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::screen::backend::FrameBackend;
use crate::runtime::screen::events::Events;
use crate::runtime::screen::pace::{Cause, Pace};
use crate::runtime::screen::writer::{Writer, write_last};
use crate::runtime::{Runtime, ScreenRequest};
use crate::text::{Clean, Secret};
use crate::ui::draw;
use crate::ui::theme::Theme;

/// Messages that are taken together before a frame is drawn.
const BATCH: usize = 256;
/// Terminal modes are on and must be taken back.
static ENTERED: AtomicBool = AtomicBool::new(false);
/// A task panicked; the screen was restored by the hook.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// How the screen is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Take the mouse: wheel scrolls. The terminal's own selection then needs a modifier.
    pub mouse: bool,
    /// Frames a second: few over SSH, more on a local terminal.
    pub frames: u32,
    /// Bytes a second for what nobody pressed a key for; `None` on a local terminal.
    pub bytes: Option<u32>,
}

impl Manners {
    /// The manners for this session: ten frames and 16 KiB a second over SSH, thirty frames on a
    /// local terminal. tmux keeps `SSH_CONNECTION` up to date when somebody attaches, which it does
    /// not do for `SSH_TTY`.
    pub fn here(mouse: bool) -> Self {
        let far = std::env::var_os("SSH_CONNECTION").is_some();
        Self { mouse, frames: if far { 10 } else { 30 }, bytes: far.then_some(16 * 1024) }
    }
}

/// The screen while it is ours.
struct Screen {
    terminal: Terminal<FrameBackend>,
    writer: Writer,
    manners: Manners,
}

impl Screen {
    fn enter(manners: Manners) -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        ENTERED.store(true, Ordering::SeqCst);
        let writer = Writer::start()?;
        let mut bytes = Vec::new();
        crossterm::queue!(bytes, terminal::EnterAlternateScreen, cursor::Hide, event::EnableBracketedPaste)?;
        if manners.mouse {
            crossterm::queue!(bytes, event::EnableMouseCapture)?;
        }
        writer.write(bytes);
        Ok(Self { terminal: Terminal::new(FrameBackend::new()?)?, writer, manners })
    }

    /// Gives the terminal back. False when it did not take the bytes for that.
    fn leave(mut self) -> bool {
        let takes = self.writer.finish();
        restore(takes)
    }

    /// Takes the terminal again after it was given back.
    fn again(&mut self) {
        if let Ok(again) = Self::enter(self.manners) {
            *self = again;
        }
    }

    /// Gives the terminal back for an errand, and takes it again.
    async fn lend(&mut self, errand: Errand) {
        let takes = self.writer.finish();
        let _ = restore(takes);
        let _ = write_last(format!("{}\n", errand.words).into_bytes());
        errand.work.await;
        self.again();
    }

    /// How large it is now; a terminal that does not know is gone.
    fn size(&self) -> Msg {
        terminal::size().map_or(Msg::Hangup, |(width, height)| Msg::Size(width, height))
    }

    /// Draws what changed: how many bytes that took.
    fn draw(&mut self, runtime: &Runtime, theme: &Theme) -> io::Result<usize> {
        self.terminal.draw(|frame| draw(frame, &runtime.state, theme))?;
        let frame = self.terminal.backend_mut().take_frame();
        let bytes = frame.as_ref().map_or(0, Vec::len);
        if let Some(frame) = frame {
            self.writer.write(frame);
        }
        Ok(bytes)
    }
}

/// Takes every mode back. Safe to call twice and from a panic hook. A terminal that takes no bytes
/// gets at least its line editing back; false then.
fn restore(takes: bool) -> bool {
    if !ENTERED.swap(false, Ordering::SeqCst) {
        return true;
    }
    let mut bytes = Vec::new();
    let _ = crossterm::queue!(
        bytes,
        terminal::EndSynchronizedUpdate,
        event::DisableMouseCapture,
        event::DisableBracketedPaste,
        style::ResetColor,
        cursor::Show,
        terminal::LeaveAlternateScreen
    );
    let written = takes && write_last(bytes);
    let _ = terminal::disable_raw_mode();
    written
}

/// Restores the screen before a panic is printed, in whichever task it happens.
fn install_panic_hook() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = restore(true);
        PANICKED.store(true, Ordering::SeqCst);
        print(panic);
    }));
}

/// Waits for a signal that asks us to end.
pub async fn hangup() {
    let kinds = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()];
    let waits = kinds
        .into_iter()
        .filter_map(|kind| signal(kind).ok())
        .map(|mut signal| Box::pin(async move { signal.recv().await }));
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        std::future::pending::<()>().await;
    }
    futures::future::select_all(waits).await;
}

/// How the screen was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// How the console ended.
    pub exit: Exit,
    /// The terminal took the bytes that restore it. One that did not would hold up whoever writes
    /// to it next.
    pub restored: bool,
}

/// Runs the console on this terminal until it is left. The terminal is restored when this returns.
///
/// # Errors
/// [`TroubleKind::Invalid`] when this is no terminal.
pub async fn run(runtime: &mut Runtime, theme: &Theme, manners: Manners, errands: Errands) -> Result<Left, Trouble> {
    install_panic_hook();
    let no_terminal = |why: io::Error| {
        Trouble::new(TroubleKind::Invalid, say!("the screen cannot be used: {}", runtime_words(&why)))
            .remedy(Clean::ours("run it in a terminal, or use a command without a screen: see `lastgood --help`"))
    };
    let mut screen = Screen::enter(manners).map_err(no_terminal)?;
    let exit = looped(runtime, theme, &mut screen, errands).await;
    let restored = screen.leave();
    runtime.finish().await;
    Ok(Left { exit, restored })
}

fn runtime_words(why: &io::Error) -> Clean {
    crate::text::Gate::default().clean(&why.to_string())
}

async fn looped(runtime: &mut Runtime, theme: &Theme, screen: &mut Screen, mut errands: Errands) -> Exit {
    let mut events = Events::start();
    // It happens once; the loop goes on until the journal has what it was given.
    let mut hangup = std::pin::pin!(hangup().fuse());
    let mut stop = signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw())).ok();
    let mut resized = signal(SignalKind::window_change()).ok();
    let mut tick = Runtime::ticker();
    let mut pace = Pace::new(screen.manners);
    runtime.dispatch(screen.size());
    pace.want(Cause::Asked);
    // Said once; the loop goes on until the journal has what it was given.
    let mut gone = false;
    loop {
        let idle = screen.writer.idle();
        let (msg, cause) = tokio::select! {
            biased;
            event = next_event(&mut events), if !gone => {
                gone = event.is_none();
                (event.unwrap_or(Msg::Hangup), Cause::Asked)
            }
            () = &mut hangup => (Msg::Hangup, Cause::Asked),
            Some(()) = async { stop.as_mut()?.recv().await } => (Msg::Do(Action::Suspend), Cause::Asked),
            Some(()) = async { resized.as_mut()?.recv().await } => (screen.size(), Cause::Asked),
            () = screen.writer.wait_idle(), if !idle => continue,
            // A terminal that takes nothing gets nothing: old frames never queue up before new ones.
            // One that is gone is not tried again and again: the journal needs its turn.
            () = pace.due(), if idle && !gone => match screen.draw(runtime, theme) {
                Ok(bytes) if !screen.writer.lost() => {
                    pace.drew(bytes);
                    continue;
                }
                _ => {
                    gone = true;
                    events::let_go();
                    (Msg::Hangup, Cause::Asked)
                }
            },
            errand = errands.next() => {
                events.end().await;
                let done = tokio::select! {
                    () = screen.lend(errand) => true,
                    () = &mut hangup => false,
                };
                events = Events::start();
                (if done { screen.size() } else { Msg::Hangup }, Cause::Asked)
            }
            msg = runtime.next(&mut tick) => match msg {
                Msg::Tick(_) if !gone && events::gone() => {
                    gone = true;
                    events::let_go();
                    (Msg::Hangup, Cause::Asked)
                }
                msg => (msg, Cause::Fed),
            },
        };
        pace.want(cause);
        runtime.dispatch(msg);
        runtime.drain(BATCH);
        if PANICKED.load(Ordering::SeqCst) {
            return Exit::NotReached;
        }
        for request in runtime.take_requests() {
            requested(runtime, screen, request).await;
        }
        if let Some(exit) = runtime.exit() {
            return exit;
        }
    }
}

async fn requested(runtime: &mut Runtime, screen: &mut Screen, request: ScreenRequest) {
    match request {
        ScreenRequest::Copy(text) => {
            let result = clipboard::copy(&text, &screen.writer).await;
            runtime.dispatch(Msg::Copied(result));
        }
        ScreenRequest::Redraw => {
            let _ = screen.terminal.clear();
        }
        ScreenRequest::Suspend => {
            let takes = screen.writer.finish();
            let _ = restore(takes);
            // Every thread stops, so nobody here reads the keys that are the shell's.
            let _ = rustix::process::kill_current_process_group(rustix::process::Signal::STOP);
            screen.again();
            runtime.dispatch(screen.size());
        }
    }
}

/// The next event that means something. `None` when the terminal is gone.
async fn next_event(events: &mut Events) -> Option<Msg> {
    loop {
        if let Some(msg) = meaning(events.next().await?) {
            return Some(msg);
        }
    }
}

fn meaning(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Msg::Key(read_key(key)?)),
        Event::Paste(text) => Some(Msg::Paste(Secret::new(text))),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::ScrollUp => Some(Msg::Do(Action::Up)),
            MouseEventKind::ScrollDown => Some(Msg::Do(Action::Down)),
            _ => None,
        },
        _ => None,
    }
}

fn read_key(key: KeyEvent) -> Option<Key> {
    let code = match key.code {
        KeyCode::Char(c) => Code::Char(c),
        KeyCode::Enter => Code::Enter,
        KeyCode::Esc => Code::Esc,
        KeyCode::Tab => Code::Tab,
        KeyCode::BackTab => Code::BackTab,
        KeyCode::Backspace => Code::Backspace,
        KeyCode::Delete => Code::Delete,
        KeyCode::Up => Code::Up,
        KeyCode::Down => Code::Down,
        KeyCode::Left => Code::Left,
        KeyCode::Right => Code::Right,
        KeyCode::Home => Code::Home,
        KeyCode::End => Code::End,
        KeyCode::PageUp => Code::PageUp,
        KeyCode::PageDown => Code::PageDown,
        KeyCode::F(n) => Code::F(n),
        _ => return None,
    };
    Some(Key {
        code,
        ctrl: key.modifiers.contains(KeyModifiers::CONTROL),
        alt: key.modifiers.contains(KeyModifiers::ALT),
    })
}
