//! A drill that was killed anywhere is taken up and comes to the same end: the journal is cut
//! after every entry, whole and torn, with the world as it was before and after the open act.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/console.rs"]
#[allow(dead_code, reason = "the flows need more of it")]
mod console;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use console::{Console, Home, deeds};
use jiff::{SignedDuration, Timestamp};
use lastgood::app::action::Action;
use lastgood::app::effect::Exit;
use lastgood::app::key::{Code, Key};
use lastgood::app::msg::Msg;
use lastgood::app::overlay::Overlay;
use lastgood::app::pilot::{self, Move, Orders};
use lastgood::app::state::State;
use lastgood::app::status::fact_about;
use lastgood::cli::engine::drills::suggestions;
use lastgood::cli::session::MEMORY;
use lastgood::domain::checklist::Mark;
use lastgood::domain::record::{ActKind, End, Entry, Line};
use lastgood::domain::step::StepKind;
use lastgood::runtime::journal::{self, FILE};
use lastgood::runtime::{Runtime, headless};
use lastgood::text::Gate;

const PATIENCE: Duration = Duration::from_secs(600);

/// What an operator does who follows every suggestion, and settles what is unknown by what the
/// console shows of it.
fn operator(state: &State, orders: &Orders) -> Move {
    let Some((act, _)) = state.unknown().first().map(|(act, record)| (*act, (*record).clone())) else {
        return match pilot::next(state, orders) {
            // What was settled as not having happened is done now; the pilot itself never tries twice.
            Move::Stop(Exit::NotReached, _) if settled_as_not_done(state) => again(state, orders),
            other => other,
        };
    };
    match state.overlays.last() {
        Some(Overlay::Unknown(asked)) => {
            let fact = fact_about(state, *asked);
            let key = match fact.as_str() {
                fact if fact.contains("not seen right now") => return Move::Wait(fact_about(state, *asked)),
                fact if fact.contains("it was not changed since") => 'd',
                fact if fact.contains("it was changed since") => 'h',
                fact if fact.contains("is not in the table") => 'h',
                fact if fact.contains("is in the table") => 'd',
                fact => panic!("what does this say about act {}? {fact}", act.0),
            };
            Move::Send(vec![Msg::Key(Key::plain(Code::Char(key)))])
        }
        Some(_) => Move::Send(vec![Msg::Key(Key::plain(Code::Esc))]),
        None => Move::Send(vec![Msg::Key(Key::plain(Code::Enter))]),
    }
}

fn settled_as_not_done(state: &State) -> bool {
    let last = state.incident.last_act_here().and_then(|(_, act)| act.end.as_ref());
    last.is_some_and(|(end, words, _)| *end == End::Failed && !words.as_str().contains("cancelled"))
}

fn again(state: &State, orders: &Orders) -> Move {
    if !state.armed() {
        return pilot::arm(state, orders);
    }
    Move::Send(match state.step() {
        Some(StepKind::CleanMigrations) => {
            [Action::PaneMigrations, Action::Top, Action::DeleteRow].map(Msg::Do).to_vec()
        }
        // The step selects the next one.
        Some(StepKind::StaleRows) => [Action::PaneRunbook, Action::GoOn, Action::DeleteRow].map(Msg::Do).to_vec(),
        _ => [Action::PaneRunbook, Action::GoOn].map(Msg::Do).to_vec(),
    })
}

async fn walk(runtime: &mut Runtime, home: &Home) -> headless::Ended {
    let orders = suggestions(&home.scenario);
    headless::run(runtime, |state| operator(state, &orders), PATIENCE, |_| {}).await
}

/// How often each kind of deed was done.
fn counted(deeds: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for deed in deeds {
        *counts.entry(deed.clone()).or_default() += 1;
    }
    counts
}

/// A drill that went well, as it is on disk.
struct Walked {
    home: Home,
    lines: Vec<Line>,
    /// The journal's lines as they are in the file.
    raw: Vec<String>,
    /// The memory's lines, the first one opens the world.
    world: Vec<String>,
}

async fn walked(id: &str) -> Walked {
    let home = Home::new(id);
    let mut runtime = home.begin();
    let ended = walk(&mut runtime, &home).await;
    assert_eq!(ended.exit, Exit::Reached, "{id}: {}", ended.words);
    drop(runtime);
    let lines_of = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(home.incident().join(file)).unwrap();
        text.split_inclusive('\n').map(ToOwned::to_owned).collect()
    };
    Walked { lines: home.journal(), raw: lines_of(FILE), world: lines_of(MEMORY), home }
}

/// The steps that a sandbox carries out because a person said to have done them.
fn by_hand(lines: &[Line]) -> usize {
    let put_back =
        |entry: &Entry| matches!(entry, Entry::Stepped { node, done: true, .. } if node.node.as_str() == "put-back");
    lines.iter().filter(|line| put_back(&line.entry)).count()
}

/// A process that died: how much of the journal it wrote, and how many deeds it did.
struct Cut {
    entries: usize,
    torn: bool,
    deeds: usize,
}

impl Walked {
    /// Every moment at which the process can have died.
    fn cuts(&self) -> Vec<Cut> {
        let mut cuts = Vec::new();
        for entries in 1..=self.raw.len() {
            let ended =
                self.lines[..entries].iter().filter(|line| matches!(line.entry, Entry::Finished { .. })).count();
            let begun = self.lines[..entries].iter().filter(|line| matches!(line.entry, Entry::Started { .. })).count();
            // What a person does by hand, a sandbox does once that is on disk.
            let (ended, begun) = (ended + by_hand(&self.lines[..entries - 1]), begun + by_hand(&self.lines[..entries]));
            for deeds in ended..=begun {
                cuts.push(Cut { entries, torn: false, deeds });
            }
        }
        cuts
    }

    /// The files as the dead process left them, in a home of their own.
    fn left(&self, cut: &Cut) -> Home {
        let home = Home::new(self.home.scenario.id.as_str());
        let from = self.home.incident();
        let to = home.state().incident(lastgood::runtime::folder::Shelf::Drills, &self.home.id());
        std::fs::create_dir_all(&to).unwrap();
        let mut text = self.raw[..cut.entries].concat();
        if let (true, Some(next)) = (cut.torn, self.raw.get(cut.entries)) {
            text.push_str(&next[..next.len() / 2]);
        }
        std::fs::write(to.join(FILE), text).unwrap();
        std::fs::write(to.join(MEMORY), self.world[..=cut.deeds].concat()).unwrap();
        copy_restore_files(&from, &to);
        home
    }

    fn at(&self, cut: &Cut) -> Timestamp {
        self.lines[cut.entries - 1].at + SignedDuration::from_secs(10)
    }

    /// What the operator sees when they take the drill up.
    fn shown(&self, cut: &Cut) -> String {
        let last = &self.lines[cut.entries - 1].entry;
        format!("{}, entry {} ({last:?}), {} deeds", self.home.scenario.id, cut.entries, cut.deeds)
    }
}

fn copy_restore_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("restore-") {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

async fn resumed_everywhere(id: &str) {
    let walked = walked(id).await;
    let well = counted(&deeds(&walked.home.incident()));
    for cut in walked.cuts() {
        let shown = walked.shown(&cut);
        let home = walked.left(&cut);
        let mut runtime = home.resume(walked.at(&cut));
        let ticked = runtime.state.checks.list.checks().iter().filter(|check| check.verdict.mark == Mark::Ticked);
        assert_eq!(ticked.count(), 0, "{shown}: a tick before anything was looked at");
        assert!(!runtime.state.armed(), "{shown}: a new process is read-only");

        let ended = walk(&mut runtime, &home).await;
        let state = &runtime.state;
        assert_eq!(ended.exit, Exit::Reached, "{shown}: {}", ended.words);
        assert!(matches!(state.incident.closed, Some((true, ..))), "{shown}: {:?}", state.incident.closed);
        assert!(state.incident.complete(), "{shown}: {:?}", state.incident.marks);
        if !matches!(walked.lines[cut.entries - 1].entry, Entry::Closed { .. }) {
            assert!(state.checks.list.complete(), "{shown}: closed on ticks of a process that is gone");
        }
        assert!(state.unknown().is_empty(), "{shown}");
        let path = |lines: &[Line]| -> Vec<String> {
            let stepped = lines.iter().filter_map(|line| match &line.entry {
                Entry::Stepped { node, done: true, .. } => Some(node.to_string()),
                _ => None,
            });
            stepped.collect()
        };
        assert_eq!(path(&home.journal()).last(), path(&walked.lines).last(), "{shown}");
        let after = counted(&home.deeds());
        for kind in ["changed", "deleted", "resolved", "restored"] {
            assert_eq!(after.get(kind), well.get(kind), "{shown}: {kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bad_image_is_taken_up_after_every_entry() {
    resumed_everywhere("bad-image").await;
}

#[tokio::test(start_paused = true)]
async fn failed_migration_is_taken_up_after_every_entry() {
    resumed_everywhere("failed-migration").await;
}

#[tokio::test(start_paused = true)]
async fn salt_key_is_taken_up_after_every_entry() {
    resumed_everywhere("salt-key").await;
}

#[tokio::test(start_paused = true)]
async fn slow_burn_is_taken_up_after_every_entry() {
    resumed_everywhere("slow-burn").await;
}

/// Also where the word is on record and the hands did not move: then the step is asked for again.
#[tokio::test(start_paused = true)]
async fn config_drift_is_taken_up_after_every_entry() {
    resumed_everywhere("config-drift").await;
}

#[tokio::test(start_paused = true)]
async fn a_torn_line_did_not_happen() {
    for id in ["bad-image", "failed-migration"] {
        let walked = walked(id).await;
        for entries in 1..walked.raw.len() {
            let whole = Cut { entries, torn: false, deeds: 0 };
            let torn = Cut { entries, torn: true, deeds: 0 };
            let (whole_home, torn_home) = (walked.left(&whole), walked.left(&torn));
            let (a, b) = (whole_home.resume(walked.at(&whole)), torn_home.resume(walked.at(&torn)));
            assert_eq!(a.state.incident, b.state.incident, "{}", walked.shown(&torn));
            assert_eq!(torn_home.journal().len(), entries, "the torn line is gone from the file");
        }
    }
}

/// Nothing may move on, and nothing may be sent, before the question was answered.
#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_stands_in_the_way_until_it_is_settled() {
    let walked = walked("bad-image").await;
    let started = |line: &Line| matches!(&line.entry, Entry::Started { kind: ActKind::Change { .. }, .. });
    let entries = walked.lines.iter().position(started).unwrap() + 1;
    for (deeds, key, fact) in [(0, "d", "it was not changed since"), (1, "h", "it was changed since")] {
        let cut = Cut { entries, torn: false, deeds };
        let home = walked.left(&cut);
        let runtime = home.resume(walked.at(&cut));
        let mut c = Console::over(home, runtime, (120, 36)).await;
        c.wait("the workload", |state| state.watched.values().all(|watched| watched.workload.fresh().is_some())).await;
        c.shows("Did it happen? Nobody knows");
        let asked = lastgood::domain::record::ActId(1);
        assert!(fact_about(c.state(), asked).as_str().contains(fact), "{}", fact_about(c.state(), asked));
        c.press("<esc> A drill-bad-image <enter> P r").await;
        assert!(c.notice().contains("unknown; settle it first"), "{}", c.notice());
        c.pass(30).await;
        assert_eq!(c.home.deeds().len(), deeds, "nothing was repeated");
        c.press("R <enter>").await;
        c.shows("Did it happen? Nobody knows");
        c.press(key).await;
        assert!(c.state().unknown().is_empty());
        let settled = c.entries().into_iter().rev().find_map(|entry| match entry {
            Entry::Settled { happened, words, .. } => Some((happened, words)),
            _ => None,
        });
        let (happened, words) = settled.expect("it is on record");
        assert_eq!(happened, deeds == 1);
        assert!(words.contains(fact), "{words}");
    }
}

/// The world went on while nobody looked: what the journal had ticked is looked at again before
/// the incident is closed.
#[tokio::test(start_paused = true)]
async fn a_world_that_broke_meanwhile_is_not_called_well() {
    let walked = walked("bad-image").await;
    let verified = |line: &Line| matches!(&line.entry, Entry::Stepped { node, .. } if node.node.as_str() == "verify");
    let entries = walked.lines.iter().position(verified).unwrap() + 1;
    let cut = Cut { entries, torn: false, deeds: walked.world.len() - 1 };
    let home = walked.left(&cut);
    let broken = serde_json::json!({
        "at": walked.at(&cut),
        "deed": "changed",
        "change": { "patch": "image", "container": "litellm", "image": "ghcr.io/berriai/litellm:v1.81.9" },
        "protect": true,
    });
    let memory = home.incident().join(MEMORY);
    let text = std::fs::read_to_string(&memory).unwrap();
    std::fs::write(&memory, format!("{text}{broken}\n")).unwrap();
    let runtime = home.resume(walked.at(&cut) + SignedDuration::from_secs(30));
    let mut c = Console::over(home, runtime, (120, 36)).await;
    c.pass(60).await;
    assert!(c.state().incident.closed.is_none(), "closed on ticks of a process that is gone");
    c.press("R <enter>").await;
    assert!(!matches!(c.state().incident.closed, Some((true, ..))), "{}", c.screen());
}

#[tokio::test(start_paused = true)]
async fn a_closed_incident_can_be_looked_at_and_stays_closed() {
    let walked = walked("bad-image").await;
    let all = Cut { entries: walked.raw.len(), torn: false, deeds: walked.world.len() - 1 };
    let home = walked.left(&all);
    let runtime = home.resume(walked.at(&all));
    let mut c = Console::over(home, runtime, (120, 36)).await;
    c.press("<esc> A drill-bad-image <enter> P r").await;
    assert!(c.notice().contains("closed"), "{}", c.notice());
    c.press("R <enter>").await;
    c.shows("Goal reached: LiteLLM is well again");
    assert_eq!(c.home.deeds().len(), walked.world.len() - 1);
}

#[tokio::test(start_paused = true)]
async fn a_console_that_is_killed_between_two_keys_goes_on_where_it_was() {
    let mut c = Console::drill("failed-migration").await;
    c.press("<enter>").await;
    c = c.killed_and_resumed().await;
    c.take_suggestion("No: somebody is still served").await;
    c = c.killed_and_resumed().await;
    c.shows("Is it a bug of what was deployed?");
    assert_eq!(c.state().incident.path.len(), 2);
    let shown = journal::read(&c.home.incident(), &Gate::default()).unwrap();
    assert!(shown.iter().filter(|line| matches!(line.entry, Entry::Resumed { .. })).count() == 2);
}
