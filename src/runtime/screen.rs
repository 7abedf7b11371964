//! The terminal: entered, drawn in one write a frame, restored whatever happens, and given back
//! to the shell while suspended.

mod backend;
mod clipboard;
mod events;
mod writer;

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind};
use crossterm::{cursor, event, style, terminal};
use futures::FutureExt as _;
use ratatui::Terminal;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::action::Action;
use crate::app::effect::Exit;
use crate::app::key::{Code, Key};
use crate::app::msg::Msg;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::screen::backend::FrameBackend;
use crate::runtime::screen::events::Events;
use crate::runtime::screen::writer::Writer;
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
}

impl Manners {
    /// The manners for this session: ten frames a second over SSH, thirty on a local terminal.
    pub fn here(mouse: bool) -> Self {
        let far = std::env::var_os("SSH_CONNECTION").is_some();
        Self { mouse, frames: if far { 10 } else { 30 } }
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
        // crossterm 0.29 turns every colour command into a full reset under NO_COLOR, which takes
        // bold and reverse with it; the theme leaves colours out by itself.
        style::force_color_output(true);
        terminal::enable_raw_mode()?;
        ENTERED.store(true, Ordering::SeqCst);
        let writer = Writer::start();
        let mut bytes = Vec::new();
        crossterm::queue!(bytes, terminal::EnterAlternateScreen, cursor::Hide, event::EnableBracketedPaste)?;
        if manners.mouse {
            crossterm::queue!(bytes, event::EnableMouseCapture)?;
        }
        writer.write(bytes);
        Ok(Self { terminal: Terminal::new(FrameBackend::default())?, writer, manners })
    }

    fn leave(mut self) {
        self.writer.finish();
        restore();
    }

    fn draw(&mut self, runtime: &Runtime, theme: &Theme) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, &runtime.state, theme))?;
        let frame = self.terminal.backend_mut().take_frame();
        if let Some(frame) = frame {
            self.writer.write(frame);
        }
        Ok(())
    }
}

/// Takes every mode back. Safe to call twice and from a panic hook.
fn restore() {
    if !ENTERED.swap(false, Ordering::SeqCst) {
        return;
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
    let mut out = io::stdout().lock();
    let _ = out.write_all(&bytes).and_then(|()| out.flush());
    let _ = terminal::disable_raw_mode();
}

/// Restores the screen before a panic is printed, in whichever task it happens.
fn install_panic_hook() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
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

/// The terminal is still there. A terminal that is gone makes crossterm spin and never says so.
fn alive() -> bool {
    let stdin = io::stdin();
    let hung_up = || {
        let mut poll = [rustix::event::PollFd::new(&stdin, rustix::event::PollFlags::IN)];
        let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut poll, Some(&zero)).is_ok()
            && poll[0].revents().intersects(rustix::event::PollFlags::HUP | rustix::event::PollFlags::ERR)
    };
    rustix::termios::tcgetattr(&stdin).is_ok() && !hung_up()
}

/// Runs the console on this terminal until it is left. The terminal is restored when this returns.
///
/// # Errors
/// [`TroubleKind::Invalid`] when this is no terminal.
pub async fn run(runtime: &mut Runtime, theme: &Theme, manners: Manners) -> Result<Exit, Trouble> {
    install_panic_hook();
    let no_terminal = |why: io::Error| {
        Trouble::new(TroubleKind::Invalid, say!("the screen cannot be used: {}", runtime_words(&why)))
            .remedy(Clean::ours("run it in a terminal, or use a command without a screen: see `lastgood --help`"))
    };
    let mut screen = Screen::enter(manners).map_err(no_terminal)?;
    let exit = looped(runtime, theme, &mut screen).await;
    screen.leave();
    runtime.finish().await;
    Ok(exit)
}

fn runtime_words(why: &io::Error) -> Clean {
    crate::text::Gate::default().clean(&why.to_string())
}

async fn looped(runtime: &mut Runtime, theme: &Theme, screen: &mut Screen) -> Exit {
    let mut events = Events::start();
    // It happens once; the loop goes on until the journal has what it was given.
    let mut hangup = std::pin::pin!(hangup().fuse());
    let mut stop = signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw())).ok();
    let mut tick = Runtime::ticker();
    let mut frame = tokio::time::interval(Duration::from_secs(1) / screen.manners.frames.max(1));
    frame.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    if let Ok((width, height)) = terminal::size() {
        runtime.dispatch(Msg::Size(width, height));
    }
    let mut dirty = true;
    loop {
        let idle = screen.writer.idle();
        let msg = tokio::select! {
            biased;
            event = next_event(&mut events) => match event {
                Some(msg) => Some(msg),
                None => Some(Msg::Hangup),
            },
            () = &mut hangup => Some(Msg::Hangup),
            Some(()) = async { stop.as_mut()?.recv().await } => Some(Msg::Do(Action::Suspend)),
            () = screen.writer.wait_idle(), if !idle => None,
            _ = frame.tick(), if dirty && idle => {
                if screen.draw(runtime, theme).is_err() || screen.writer.lost() {
                    Some(Msg::Hangup)
                } else {
                    dirty = false;
                    None
                }
            }
            msg = runtime.next(&mut tick) => Some(msg),
        };
        let Some(msg) = msg else { continue };
        let lost = matches!(msg, Msg::Tick(_)) && !alive();
        dirty = true;
        runtime.dispatch(if lost { Msg::Hangup } else { msg });
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
            screen.writer.finish();
            restore();
            // Every thread stops, so nobody here reads the keys that are the shell's.
            let _ = rustix::process::kill_current_process_group(rustix::process::Signal::STOP);
            if let Ok(again) = Screen::enter(screen.manners) {
                *screen = again;
            }
            if let Ok((width, height)) = terminal::size() {
                runtime.dispatch(Msg::Size(width, height));
            }
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
        Event::Resize(width, height) => Some(Msg::Size(width, height)),
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
