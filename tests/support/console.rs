//! The whole console on a sandbox, with keys and time in and screens out. The clock is paused:
//! an hour passes in a moment, and nothing happens between two keys that was not waited for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use lastgood::app::key::keys;
use lastgood::app::msg::Msg;
use lastgood::app::overlay::Overlay;
use lastgood::app::state::State;
use lastgood::cli::session::{MEMORY, Scene};
use lastgood::domain::name::IncidentId;
use lastgood::domain::record::{Entry, Line};
use lastgood::domain::scenario::{Scenario, bundled_scenarios};
use lastgood::runtime::Runtime;
use lastgood::runtime::folder::{Shelf, StateFolder};
use lastgood::runtime::journal::{self, Journal};
use lastgood::text::Gate;
use lastgood::ui::draw;
use lastgood::ui::theme::{Charset, Palette, Theme};
use lastgood::world::clock::Clock;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tokio::time::{Instant, Interval, timeout, timeout_at};

/// How long a test waits for something, by the paused clock.
const PATIENCE: Duration = Duration::from_secs(300);

/// The bundled scenario of this id.
pub fn scenario(id: &str) -> Scenario {
    bundled_scenarios().into_iter().find(|scenario| scenario.id.as_str() == id).expect("the scenario is bundled")
}

/// The time at which every drill begins.
pub fn morning() -> Timestamp {
    "2026-11-20T03:12:00Z".parse().unwrap()
}

/// A folder in memory where the machine has one: thousands of entries are synced here.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Where a drill is kept: a state folder of its own.
pub struct Home {
    folder: tempfile::TempDir,
    pub scenario: Scenario,
}

impl Home {
    pub fn new(id: &str) -> Self {
        Self { folder: quick_folder(), scenario: scenario(id) }
    }

    pub fn state(&self) -> StateFolder {
        StateFolder::at(self.folder.path())
    }

    /// The only incident kept here.
    pub fn id(&self) -> IncidentId {
        let kept = self.state().incidents();
        assert_eq!(kept.len(), 1, "{kept:?}");
        kept[0].1.clone()
    }

    pub fn incident(&self) -> PathBuf {
        self.state().incident(Shelf::Drills, &self.id())
    }

    pub fn journal(&self) -> Vec<Line> {
        journal::read(&self.incident(), &Gate::default()).unwrap()
    }

    /// What was done to the world, a line each, without the line that opened it.
    pub fn deeds(&self) -> Vec<String> {
        deeds(&self.incident())
    }

    /// A new drill.
    pub fn begin(&self) -> Runtime {
        Scene::begin_drill(&self.scenario, self.state(), Clock::starting_at(morning()), &Gate::default()).unwrap()
    }

    /// The same drill in a new process, which begins at `now`.
    pub fn resume(&self, now: Timestamp) -> Runtime {
        let gate = Gate::default();
        let kept = Journal::open(&self.incident(), &gate).unwrap();
        let clock = Clock::starting_at(now);
        Scene::resume_drill(&self.scenario, self.state(), clock, &self.id(), kept, &gate).unwrap()
    }
}

/// The words of the deeds in a world's memory.
pub fn deeds(incident: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(incident.join(MEMORY)).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|deed| deed["deed"].as_str().unwrap().to_owned()).skip(1).collect()
}

/// A console that is open.
pub struct Console {
    pub home: Home,
    pub runtime: Runtime,
    tick: Interval,
    size: (u16, u16),
}

impl Console {
    /// A new drill on a large screen, not a newcomer's.
    pub async fn drill(id: &str) -> Self {
        Self::sized(id, (120, 36)).await
    }

    /// In a drill where nobody is served: on the way to the revert, before its target is chosen.
    pub async fn emergency(id: &str) -> Self {
        let mut console = Self::drill(id).await;
        console.press("<enter>").await;
        console.take_suggestion("Yes: roll back now").await;
        console.take_suggestion("Code: another image").await;
        console.take_suggestion("EMERGENCY: revert now").await;
        console
    }

    pub async fn sized(id: &str, size: (u16, u16)) -> Self {
        let home = Home::new(id);
        let runtime = home.begin();
        Self::over(home, runtime, size).await
    }

    pub async fn over(home: Home, runtime: Runtime, size: (u16, u16)) -> Self {
        let mut console = Self { home, runtime, tick: Runtime::ticker(), size };
        console.send(Msg::Size(size.0, size.1)).await;
        console
    }

    /// The process ends without a word, and another one takes the drill up after a while.
    pub async fn killed_and_resumed(self) -> Self {
        let Self { home, runtime, tick: _, size } = self;
        let now = runtime.state.now + jiff::SignedDuration::from_secs(5);
        drop(runtime);
        let mut locked = true;
        for _ in 0..100 {
            tokio::task::yield_now().await;
            locked = Journal::open(&home.incident(), &Gate::default()).is_err();
            if !locked {
                break;
            }
        }
        assert!(!locked, "the journal of a console that is gone stays locked");
        let runtime = home.resume(now);
        Self::over(home, runtime, size).await
    }

    pub fn state(&self) -> &State {
        &self.runtime.state
    }

    /// Sends a message and lets everything happen that follows from it at once.
    pub async fn send(&mut self, msg: Msg) {
        self.runtime.dispatch(msg);
        self.settle().await;
    }

    /// Types a line of keys as `lastgood::app::key::keys` reads it.
    pub async fn press(&mut self, line: &str) {
        for key in keys(line).expect("these are keys") {
            self.send(Msg::Key(key)).await;
        }
    }

    /// Types words as they are, and enter.
    pub async fn enter(&mut self, words: &str) {
        self.send(Msg::Paste(lastgood::text::Secret::new(words))).await;
        self.press("<enter>").await;
    }

    /// Lets time pass.
    pub async fn pass(&mut self, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while let Ok(msg) = timeout_at(end, self.runtime.next(&mut self.tick)).await {
            self.runtime.dispatch(msg);
        }
    }

    /// The paused clock moves only when every task is idle, so a millisecond without a message
    /// means that nothing is under way.
    async fn settle(&mut self) {
        while let Ok(msg) = timeout(Duration::from_millis(1), self.runtime.next(&mut self.tick)).await {
            self.runtime.dispatch(msg);
        }
    }

    /// Waits until something is so, or fails with what was waited for and the screen.
    pub async fn wait(&mut self, what: &str, so: impl Fn(&State) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !so(&self.runtime.state) {
            match timeout_at(end, self.runtime.next(&mut self.tick)).await {
                Ok(msg) => self.runtime.dispatch(msg),
                Err(_) => panic!("waited in vain for {what}\n{}", self.screen()),
            }
        }
        self.settle().await;
    }

    /// Waits until the runbook is at a node.
    pub async fn wait_at(&mut self, node: &str) {
        let at = |state: &State| state.incident.at().is_some_and(|at| at.node.as_str() == node);
        self.wait(&format!("the node {node}"), at).await;
    }

    /// Waits until the answer with these words is the suggested one, and gives it by Enter.
    pub async fn take_suggestion(&mut self, words: &str) {
        let suggested = |state: &State| {
            let choice = lastgood::app::runbook::suggested(state)?;
            lastgood::app::runbook::choices(state).get(usize::from(choice) - 1).map(|choice| choice.say.to_string())
        };
        self.wait(&format!("the suggestion {words}"), |state| suggested(state).is_some_and(|say| say.contains(words)))
            .await;
        self.press("R <enter>").await;
    }

    /// The screen as text.
    pub fn screen(&self) -> String {
        let mut terminal = Terminal::new(TestBackend::new(self.size.0, self.size.1)).unwrap();
        let theme = Theme::bundled(Palette::Mono, Charset::Unicode);
        terminal.draw(|frame| draw(frame, &self.runtime.state, &theme)).unwrap();
        let buffer = terminal.backend().buffer();
        let cells: Vec<&str> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
        cells.chunks(usize::from(self.size.0)).map(|line| line.concat().trim_end().to_owned() + "\n").collect()
    }

    /// Fails with the screen unless these words are on it.
    #[track_caller]
    pub fn shows(&self, words: &str) {
        let screen = self.screen();
        assert!(screen.contains(words), "{words:?} is not on the screen\n{screen}");
    }

    #[track_caller]
    pub fn hides(&self, words: &str) {
        let screen = self.screen();
        assert!(!screen.contains(words), "{words:?} is on the screen\n{screen}");
    }

    /// The console's last message.
    pub fn notice(&self) -> String {
        self.state().notice.as_ref().map(|notice| notice.words.to_string()).unwrap_or_default()
    }

    pub fn top(&self) -> Option<&Overlay> {
        self.state().overlays.last()
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.home.journal().into_iter().map(|line| line.entry).collect()
    }
}
