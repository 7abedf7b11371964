//! States for the tests of the screen, and the screen as text and as marks.

mod restore;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use tui_input::Input;

use crate::app::action::Pane;
use crate::app::effect::{Feed, LookId};
use crate::app::keymap::{self, Keymap};
use crate::app::msg::{Item, Msg, Sight};
use crate::app::overlay::{Overlay, Purpose, Refused, Review};
use crate::app::setting::Setting;
use crate::app::state::{Asking, Running, State};
use crate::app::update::update;
use crate::domain::backup::{Programs, Server};
use crate::domain::cache::{Product, Tally, too_old};
use crate::domain::catalog::Catalog;
use crate::domain::change::{Change, ChangeKind, Cleared, Preview, Refusal, clear};
use crate::domain::checklist::{CheckId, Mark, Verdict};
use crate::domain::cluster::{ContainerStatus, Field, Fingerprint, Identity, Phase, Pod, PodsItem, WorkloadRef};
use crate::domain::confirm::Confirm;
use crate::domain::coupled::{Doubt, Doubts};
use crate::domain::environment::Kind;
use crate::domain::forecast::{Facts, Newest};
use crate::domain::incident::Moment;
use crate::domain::ledger::Course;
use crate::domain::log::{LogItem, LogLine, LogSource, Segment};
use crate::domain::migration::{Deletion, Kept, LockHolder, MigrationTable, Resolution, Row, RowState};
use crate::domain::record::{ActId, ActKind, Changed, Entry};
use crate::domain::runbook::{NodeRef, bundled_runbooks};
use crate::domain::signature::Signatures;
use crate::domain::step::StepKind;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::{
    Container, EnvValue, EnvVar, Owner, Revision, RevisionStatus, RolloutNumbers, Template, Workload,
};
use crate::text::{Clean, Gate};
use crate::ui::draw;
use crate::ui::theme::Theme;

/// The time in every test.
pub fn night() -> Timestamp {
    "2026-03-14T03:07:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    night() - SignedDuration::from_secs(seconds)
}

pub fn words(text: &str) -> Clean {
    Gate::default().clean(text)
}

pub fn workload_ref() -> WorkloadRef {
    WorkloadRef { namespace: "llm".parse().unwrap(), name: "litellm-proxy".parse().unwrap() }
}

/// The console as it is before anything answered.
pub fn empty(kind: Kind) -> State {
    let environment = if kind == Kind::Drill { "failed-migration" } else { "prod-eu" }.parse().unwrap();
    let setting = Setting {
        context: Some("eks-eu-central-1".parse().unwrap()),
        namespace: Some("llm".parse().unwrap()),
        workloads: vec![workload_ref()],
        database: Some(words("db.internal:5432/litellm, schema public")),
        gateway: Some(words("http://litellm.llm:4000")),
        folder: words("~/.local/state/lastgood/prod-eu"),
        catalog: Catalog::default().on(jiff::civil::date(2026, 3, 1), Vec::new()).into(),
        ..Setting::bare(environment, kind)
    };
    let keymap = Keymap::parse(keymap::DEFAULT).unwrap();
    let (library, signatures) = (Arc::new(bundled_runbooks()), Arc::new(Signatures::bundled()));
    let mut state = State::new(setting, Arc::clone(&library), signatures, Arc::new(keymap), Gate::default(), ago(187));
    let start = library.start().clone();
    let opened = Entry::Opened {
        incident: "prod-eu-20260314-030353".parse().unwrap(),
        environment: state.setting.environment.clone(),
        kind: kind.word().to_owned(),
        scenario: None,
        place: vec![],
        runbook: start.runbook.clone(),
        version: 1,
        hash: String::new(),
        start,
    };
    state.incident.apply(ago(187), &opened, &Gate::default());
    state.now = night();
    state
}

/// A failed migration in the middle of a rollout: everything has something to show.
pub fn normal() -> State {
    let mut state = empty(Kind::Production);
    state.identity.see(
        Identity {
            context: state.setting.context.clone(),
            server: words("https://api.eks-eu-central-1.example:443"),
            cluster_uid: None,
            version: words("v1.34.1"),
            user: words("arn:oncall/jane"),
        },
        night(),
    );
    feed(&mut state, Feed::Workload(workload_ref()), Item::Workload(Ok(Box::new(workload()))));
    let pods = (0..6).map(|i| Arc::new(pod(i))).collect();
    feed(&mut state, Feed::Pods(workload_ref()), Item::Pods(Ok(PodsItem::Listed(pods))));
    feed(&mut state, Feed::Migrations, Item::Migrations(Ok(migrations())));
    let programs = Programs { folder: words("/usr/bin"), pg_dump: words("16.4"), pg_restore: words("16.4") };
    let place = words("db.internal:5432/litellm (schema public)");
    state.server.see(Server { place, version: words("16.2"), programs: Ok(programs) }, night());
    for i in 0..6 {
        feed(&mut state, Feed::Logs(source(i)), Item::Logs(LogItem::Following));
    }
    log(&mut state);
    let mut judge = |id, mark, evidence: &str, age| {
        state.checks.list.judge(id, Verdict::new(mark, words(evidence)), ago(age), ago(age));
    };
    judge(CheckId::Health, Mark::Failed, "readiness answers 503: database not connected", 4);
    judge(CheckId::Logs, Mark::Failed, "3 lines since the start: migrate found failed migrations (P3009)", 32);
    judge(CheckId::Spend, Mark::NeedsConsent, "a test completion costs money", 32);
    judge(CheckId::Billing, Mark::NotConfigured, "Lago is not configured here", 32);
    judge(CheckId::Cache, Mark::Ticked, "Redis 7.2.4 answers in 2 ms", 32);
    told(&mut state);
    state
}

/// Everything was seen and is lost now.
pub fn stale() -> State {
    let mut state = normal();
    let why = || {
        Trouble::new(TroubleKind::Unreachable, words("the API server at api.eks-eu-central-1.example did not answer"))
            .remedy(words("check the VPN"))
    };
    let database = Trouble::new(TroubleKind::Unreachable, words("the database at db.internal refused the connection"));
    state.now = ago(40);
    feed(&mut state, Feed::Workload(workload_ref()), Item::Workload(Err(why())));
    feed(&mut state, Feed::Pods(workload_ref()), Item::Pods(Err(why())));
    state.server.lose(database.clone(), state.now);
    feed(&mut state, Feed::Migrations, Item::Migrations(Err(database)));
    for i in 0..2 {
        feed(&mut state, Feed::Logs(source(i)), Item::Logs(LogItem::Lost(why())));
    }
    state.identity.lose(why(), state.now);
    state.now = night();
    told(&mut state);
    state
}

/// Nothing was ever seen.
pub fn error() -> State {
    let mut state = empty(Kind::Production);
    let why = Trouble::new(
        TroubleKind::Unauthenticated,
        words("the API server did not accept the token of eks-eu-central-1"),
    )
    .remedy(words("log in again: `aws sso login`"));
    state.now = ago(25);
    feed(&mut state, Feed::Workload(workload_ref()), Item::Workload(Err(why.clone())));
    feed(&mut state, Feed::Pods(workload_ref()), Item::Pods(Err(why.clone())));
    let database = Trouble::new(TroubleKind::Unauthenticated, words("password authentication failed for user litellm"))
        .remedy(words("check `database` in lastgood.toml"));
    state.server.lose(database.clone(), state.now);
    feed(&mut state, Feed::Migrations, Item::Migrations(Err(database)));
    state.identity.lose(why, state.now);
    state.now = night();
    told(&mut state);
    state
}

/// The same timeline whatever the judges wrote into it while the state was built.
fn told(state: &mut State) {
    let moments = [
        (187, "incident opened on prod-eu (production)"),
        (180, "check health is failed: readiness answers 503: database not connected"),
        (100, "chose \"Yes: users are affected right now\" at llm-rollback-strategy:emergency"),
    ];
    state.incident.timeline = moments.map(|(age, said)| Moment { at: ago(age), words: words(said) }).to_vec();
}

pub fn feed(state: &mut State, feed: Feed, item: Item) {
    let _ = update(state, Msg::Feed(feed, item));
}

/// Goes to a node as if its runbook had led there.
pub fn go(state: &mut State, node: &str) {
    let (runbook, node) = node.split_once(':').unwrap();
    let to = NodeRef { runbook: runbook.parse().unwrap(), node: node.parse().unwrap() };
    assert!(state.runbooks.node(&to).is_some(), "{to}");
    let from = state.incident.at().unwrap().clone();
    let entry = Entry::Chose {
        node: from,
        choice: 1,
        label: "Yes: users are affected right now".to_owned(),
        suggested: Some(1),
        evidence: vec![],
        to,
    };
    state.incident.apply(ago(100), &entry, &Gate::default());
}

/// Chooses revision 13 as the target.
pub fn target(state: &mut State) {
    let chosen = revision(13, OLD, 0, RevisionStatus::Superseded);
    let entry = Entry::Targeted {
        workload: workload_ref(),
        uid: chosen.uid,
        revision: 13,
        image: OLD.to_owned(),
        reasons: vec![],
    };
    state.incident.apply(ago(50), &entry, &Gate::default());
}

pub fn source(i: usize) -> LogSource {
    let pod = pod(i);
    LogSource { uid: pod.uid, pod: pod.name, container: "litellm".parse().unwrap(), previous: false }
}

fn log(state: &mut State) {
    let lines = [
        (0, 41, "INFO:     Started server process [1]"),
        (3, 40, "Starting prisma migrate deploy"),
        (
            3,
            39,
            "Error: P3009 migrate found failed migrations in the target database, new migrations will not be applied. Read more about how to resolve migration issues in a production database",
        ),
        (0, 31, "INFO:     10.0.12.7:51834 - \"POST /v1/chat/completions HTTP/1.1\" 200 OK"),
        (1, 22, "INFO:     10.0.12.9:40112 - \"GET /health/liveliness HTTP/1.1\" 200 OK"),
        (4, 12, "Starting prisma migrate deploy"),
        (
            4,
            11,
            "prisma schema out of sync with db. Consider running these sql_commands to sync the two - ['DROP TABLE \"X\";']",
        ),
        (2, 5, "INFO:     日本語 10.0.12.7:51835 - \"POST /v1/embeddings HTTP/1.1\" 200 OK"),
    ];
    for (pod, seconds, text) in lines {
        let line = LogLine::new(ago(seconds), &Arc::new(source(pod)), words(text));
        let segment = Segment::from(vec![line]).matched(&state.signatures);
        feed(state, Feed::Logs(source(pod)), Item::Logs(LogItem::Lines(segment)));
    }
}

const OLD: &str = "ghcr.io/berriai/litellm:main-v1.77.2-stable";
const NEW: &str = "ghcr.io/berriai/litellm:main-v1.81.0-stable";

pub fn pod(i: usize) -> Pod {
    let broken = (3..5).contains(&i);
    let (hash, image, revision) = if i < 3 { ("7f9c6d5b8", OLD, 13) } else { ("5d8f7c9b4f", NEW, 14) };
    let suffixes = ["x7k2p", "b4n9q", "zz8tw", "c2v6m", "k9d3h", "p5r7s"];
    Pod {
        uid: format!("pod-{i}").parse().unwrap(),
        name: format!("litellm-proxy-{hash}-{}", suffixes[i % 6]).parse().unwrap(),
        workload: workload_ref(),
        phase: if i == 5 { Phase::Pending } else { Phase::Running },
        terminating: i == 2,
        created: ago(if i < 3 { 400_000 } else { 400 }),
        replica_set: None,
        revision: Some(revision),
        node: None,
        containers: vec![ContainerStatus {
            name: "litellm".parse().unwrap(),
            image: image.parse().unwrap(),
            digest: Some(words("sha256:9b2c3d4e5f60718293a4b5c6d7e8f9000102030405060708090a0b0c0d0e0f10")),
            ready: i < 3,
            restarts: if broken { 6 } else { 0 },
            waiting: match i {
                3 | 4 => Some(words("CrashLoopBackOff")),
                5 => Some(words("ContainerCreating")),
                _ => None,
            },
            last_exit: broken.then(|| words("Error 1")),
            started: None,
            terminated: false,
            init: false,
        }],
        reason: None,
    }
}

fn template(image: &str) -> Template {
    let name = "DISABLE_SCHEMA_UPDATE".parse().unwrap();
    let env = vec![EnvVar { name, value: EnvValue::Literal(Field::Shown(words("false"))) }];
    let container = Container {
        name: "litellm".parse().unwrap(),
        image: image.parse().unwrap(),
        init: false,
        words: vec![],
        env,
        env_from: vec![],
    };
    let fields = [(words("spec.containers[litellm].image"), Field::Shown(words(image)))];
    Template { containers: vec![container], fields: fields.into_iter().collect(), ..Template::default() }
}

fn revision(number: u64, image: &str, age: i64, status: RevisionStatus) -> Revision {
    Revision {
        number,
        uid: format!("rs-{number}").parse().unwrap(),
        name: format!("litellm-proxy-rs{number}").parse().unwrap(),
        created: ago(age),
        change_cause: (number == 14).then(|| words("upgrade to 1.81")),
        replicas: if number >= 13 { 3 } else { 0 },
        ready: if number == 13 { 3 } else { 0 },
        digest: None,
        status,
        template: template(image),
    }
}

pub fn workload() -> Workload {
    Workload {
        reference: workload_ref(),
        uid: "d-1".parse().unwrap(),
        paused: false,
        owner: Owner::Nobody,
        numbers: RolloutNumbers {
            generation: 14,
            observed: 14,
            wanted: Some(3),
            updated: 3,
            total: 6,
            available: 3,
            deadline_exceeded: true,
        },
        template: template(NEW),
        revisions: vec![
            revision(14, NEW, 400, RevisionStatus::Failed(words("progress deadline exceeded"))),
            revision(13, OLD, 400_000, RevisionStatus::Superseded),
            revision(11, "ghcr.io/berriai/litellm:main-latest", 900_000, RevisionStatus::Superseded),
        ],
        jobs: Some(vec![]),
        conditions: vec![],
    }
}

pub fn migration(id: &str, name: &str, state: RowState, age: i64) -> Row {
    let failed = state == RowState::Failed;
    Row {
        id: id.parse().unwrap(),
        name: name.parse().unwrap(),
        state,
        started_at: ago(age),
        finished_at: (state == RowState::Applied).then(|| ago(age - 2)),
        rolled_back_at: (state == RowState::RolledBack).then(|| ago(age - 2)),
        steps: i32::from(!failed),
        checksum: words("4f5ad1c0b7e2aa10"),
        logs: failed.then(|| words("A migration failed to apply. New migrations cannot be applied before the error is recovered from.\n\nMigration name: 20260301120000_add_budget_index\n\nDatabase error code: 42P07\nERROR: relation \"LiteLLM_BudgetTable_idx\" already exists")),
        content: Fingerprint::new(&[0; 32], id.as_bytes()),
    }
}

pub fn migrations() -> MigrationTable {
    let rows = vec![
        migration("0b0f6e0a-1111-4222-8333-444455556666", "20260301120000_add_budget_index", RowState::Failed, 390),
        migration("2", "20260301120000_add_budget_index", RowState::RolledBack, 4000),
        migration("3", "20260214093000_add_team_metadata_and_a_long_name", RowState::Applied, 400_000),
        migration("4", "20260101120000_baseline", RowState::Applied, 4_000_000),
    ];
    MigrationTable { rows, locks: vec![], unreadable: vec![], schema: words("public"), exists: true }.sorted()
}

pub fn lock() -> LockHolder {
    LockHolder {
        pid: 4711,
        application: words("prisma"),
        session: words("active"),
        since: Some(ago(70)),
        granted: true,
    }
}

fn revert(protect: bool) -> Change {
    Change::on(&workload(), ChangeKind::Revert { to: "rs-13".parse().unwrap(), revision: 13 }, protect)
}

fn asking() -> Asking {
    Asking { look: LookId(7), step: StepKind::Revert, node: None, accepted: None }
}

fn judged(preview: &Preview) -> Result<Cleared, Refusal> {
    let newest = Newest::Known(NEW.parse().unwrap());
    clear(preview, &Facts::without_database(newest, &Catalog::default()), None)
}

/// A change that the guard let through.
pub fn review() -> Overlay {
    let mut after = template(OLD);
    after.containers[0].env[0].value = EnvValue::Literal(Field::Shown(words("true")));
    let env = "spec.containers[litellm].env[DISABLE_SCHEMA_UPDATE]";
    after.fields.insert(words(env), Field::Shown(words("true")));
    let diff = template(NEW).diff(&after);
    let warnings = vec![words("spec.template.spec.containers[0].env[3]: hides previous definition")];
    let preview = Preview { change: revert(true), template: after, diff, warnings, jobs: Some(vec![]) };
    let cleared = judged(&preview).unwrap();
    Overlay::Review(Box::new(Review { preview, cleared, asking: asking(), at: night(), scroll: 0, heeded: None }))
}

/// The same change without the variable, which the guard refuses.
pub fn refused() -> Overlay {
    let template = template(OLD);
    let preview = Preview { change: revert(false), template, diff: vec![], warnings: vec![], jobs: Some(vec![]) };
    let refusal = judged(&preview).unwrap_err();
    Overlay::Refused(Box::new(Refused { change: preview.change, refusal, asking: asking(), scroll: 0 }))
}

/// Starts an act, and loses its answer when it is not to go on running.
pub fn start(state: &mut State, kind: ActKind, said: &str, runs: bool) -> ActId {
    let act = state.incident.next_act();
    let command = "kubectl rollout undo deployment/litellm-proxy --to-revision=13".to_owned();
    let words = said.to_owned();
    let entry = Entry::Started { act, node: None, kind, words, command, notes: vec![] };
    state.incident.apply(ago(75), &entry, &Gate::default());
    if runs {
        state.running.insert(act, Running { since: ago(75), progress: None, cancelling: false });
    }
    act
}

/// A change whose answer never came.
pub fn unknown(state: &mut State) -> Overlay {
    let kind = ActKind::Change {
        workload: workload_ref(),
        generation: 13,
        change: Changed::Revert { to: "rs-13".parse().unwrap() },
    };
    Overlay::Unknown(start(state, kind, "revert deployment/litellm-proxy to revision 13", false))
}

/// Every dialog, opened on this state.
pub fn overlays(state: &mut State) -> Vec<Overlay> {
    let row = migrations().rows[0].clone();
    let applied = migrations().rows[2].clone();
    let purposes = [
        Purpose::Arm,
        Purpose::Filter,
        Purpose::Save { all: false },
        Purpose::Record { node: state.incident.at().unwrap().clone(), what: words("the snapshot's identifier") },
        Purpose::Image { workload: workload_ref(), container: "litellm".parse().unwrap() },
    ];
    let Overlay::Review(shown) = review() else { unreachable!() };
    let mut all: Vec<Overlay> = purposes.into_iter().map(Overlay::text).collect();
    all.extend([
        Overlay::Help { scroll: 3 },
        Overlay::Palette { input: Input::new("re".to_owned()), selected: 1 },
        Overlay::Asking { change: Box::new(revert(true)), asking: asking() },
        review(),
        refused(),
        doubts(&shown),
        Overlay::Delete {
            confirm: Box::new(Confirm::new(Deletion { row: row.clone(), again: Course::Untold })),
            input: Input::new("2026".to_owned()),
        },
        Overlay::Delete {
            confirm: Box::new(Confirm::new(Deletion { row: applied, again: Course::Untold })),
            input: Input::default(),
        },
        Overlay::Resolve { confirm: Box::new(Confirm::new(Resolution { row: row.clone() })), input: Input::default() },
        Overlay::Restore(Kept { id: row.id, name: row.name, file: "row-1.json".to_owned() }),
        unknown(state),
        Overlay::Backup { without_spend_logs: true },
        counted(state),
        restore::lacking(state),
        Overlay::Consent,
        Overlay::Diff { title: words("litellm-proxy: live and revision 13"), lines: shown.preview.diff, scroll: 0 },
        Overlay::words(words("The end"), words(&"A line of words to read.\n".repeat(60))),
        Overlay::Leave,
    ]);
    all.extend(restore::questions(state));
    all
}

/// A revert that meets another ConfigMap.
fn doubts(review: &Review) -> Overlay {
    let why = words("configmap/litellm-config was written to after the target ran");
    let remedy = words("put back what it held when the target ran");
    let doubt = Doubt { phrase: words("litellm-config"), why, remedy };
    let doubts = Doubts::of(vec![doubt]).unwrap();
    Overlay::Doubts {
        review: Box::new(review.clone()),
        confirm: Box::new(Confirm::new(doubts)),
        input: Input::default(),
    }
}

/// The question about the response cache, counted.
fn counted(state: &State) -> Overlay {
    let mut state = state.clone();
    let before = state.overlays.len();
    let _ = update(&mut state, Msg::Clear(Some("litellm-prod".parse().unwrap())));
    let look = LookId(state.next_look - 1);
    let mut tally = Tally::default();
    let hash = "0123456789abcdef".repeat(4);
    let keys = [
        format!("litellm-prod:{hash}"),
        hash.clone(),
        "litellm_spend_update_buffer".to_owned(),
        format!("{{api_key:{hash}}}:requests"),
    ];
    keys.iter().for_each(|key| tally.add(key.as_bytes()));
    let warnings = too_old(Product::Redis, "6.2.14").into_iter().collect();
    let survey = tally.survey(Product::Redis, words("6.2.14"), None, warnings);
    let _ = update(&mut state, Msg::Looked(look, Sight::CacheSurvey(Ok(survey))));
    state.overlays.remove(before)
}

/// The screen of a state.
pub fn buffer(state: &State, theme: &Theme, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut state = state.clone();
    state.view.size = (width, height);
    terminal.draw(|frame| draw(frame, &state, theme)).unwrap();
    terminal.backend().buffer().clone()
}

/// The screen as text, without blanks at the ends of lines.
pub fn text(buffer: &Buffer) -> String {
    let lines = (0..buffer.area.height).map(|y| {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol).max(1)).unwrap();
        }
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The screen with one pane in focus.
pub fn screen(state: &State, pane: Pane, width: u16, height: u16) -> String {
    let mut state = state.clone();
    state.view.focus = pane;
    text(&buffer(&state, &Theme::default(), width, height))
}
