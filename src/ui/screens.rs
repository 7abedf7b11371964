//! What the screen shows, as text; and that it shows something at any size.

use std::fmt::Write as _;

use jiff::SignedDuration;
use ratatui::style::{Color, Modifier};

use crate::app::action::{Action, Pane};
use crate::app::effect::Feed;
use crate::app::msg::{Item, Msg};
use crate::app::state::{Arming, Notice, State, Tone};
use crate::app::update::update;
use crate::domain::backup::BackupProgress;
use crate::domain::checklist::{CheckId, Mark, Verdict};
use crate::domain::cluster::PodsItem;
use crate::domain::environment::Kind;
use crate::domain::headway::Headway;
use crate::domain::log::{LogItem, LogLine};
use crate::domain::record::ActKind;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::ui::testing::{self, buffer, screen, text};
use crate::ui::theme::{Charset, Palette, Role, Theme};

/// The four states that every pane must be able to show.
fn states() -> [(&'static str, State); 4] {
    [
        ("empty", testing::empty(Kind::Staging)),
        ("normal", testing::normal()),
        ("stale", testing::stale()),
        ("error", testing::error()),
    ]
}

#[test]
fn every_pane_shows_every_state() {
    for (width, height) in [(80, 24), (120, 36)] {
        for pane in Pane::ALL {
            let mut shown = String::new();
            for (name, state) in states() {
                let _ = writeln!(shown, "======== {name}\n{}", screen(&state, pane, width, height));
            }
            insta::assert_snapshot!(format!("{}_{width}x{height}", pane.title().to_lowercase()), shown);
        }
    }
}

#[test]
fn a_large_screen_shows_more() {
    insta::assert_snapshot!("overview_200x50", screen(&testing::normal(), Pane::Runbook, 200, 50));
}

#[test]
fn every_kind_of_node_shows_its_next_key() {
    let mut shown = String::new();
    for node in
        ["scope", "checks", "backup-snapshot", "backup-dump", "clean-migrations", "revert", "verify", "handover"]
    {
        let mut state = testing::normal();
        testing::go(&mut state, &format!("litellm-rollback:{node}"));
        let _ = writeln!(shown, "======== {node}\n{}", screen(&state, Pane::Runbook, 80, 24));
    }
    insta::assert_snapshot!("nodes_80x24", shown);
}

#[test]
fn every_dialog_shows_what_it_asks() {
    for (width, height) in [(80, 24), (120, 36)] {
        let mut shown = String::new();
        let mut state = testing::normal();
        for overlay in testing::overlays(&mut state) {
            let mut state = state.clone();
            state.overlays.push(overlay);
            let _ = writeln!(shown, "{}\n", screen(&state, Pane::Revisions, width, height));
        }
        insta::assert_snapshot!(format!("dialogs_{width}x{height}"), shown);
    }
}

#[test]
fn a_backup_shows_how_far_it_is() {
    let mut state = testing::normal();
    testing::go(&mut state, "litellm-rollback:backup-dump");
    let file = "litellm_backup_20260314_030545.dump".to_owned();
    let act = testing::start(&mut state, ActKind::Backup { file }, "back up the database", true);
    let progress = BackupProgress::Dumping {
        table: Some(testing::words("public.LiteLLM_SpendLogs")),
        rows: 400_000,
        of_about: Some(1_000_000),
        bytes: 734_003_200,
    };
    let _ = update(&mut state, Msg::Progress(act, Headway::Backup(progress)));
    let shown = screen(&state, Pane::Runbook, 80, 24);
    for part in
        ["running 01:15: back up the database", " 40 %", "400000 of about 1000000 rows, 700.0 MiB", "ctrl-x cancel"]
    {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    // Wherever one looks, and beside a message.
    state.notice = Some(Notice { tone: Tone::Bad, words: testing::words(&"not armed ".repeat(20)), at: state.now });
    for pane in Pane::ALL {
        let shown = screen(&state, pane, 80, 24);
        assert!(shown.contains("→ backup 01:15 40 %, ctrl-x cancels") && shown.contains("✗ not armed"), "{shown}");
    }
}

#[test]
fn any_size_is_drawn() {
    let theme = Theme::default();
    let mut sizes: Vec<(u16, u16)> = (1..=300).step_by(7).map(|width| (width, 24)).collect();
    sizes.extend((1..=100).step_by(3).flat_map(|height| [(80, height), (130, height)]));
    let edges = [1, 2, 3, 9, 10, 11, 39, 40, 41, 100];
    sizes.extend(edges.iter().flat_map(|width| edges.map(|height| (*width, height))));
    let states = states();
    for (i, (width, height)) in sizes.iter().enumerate() {
        let mut state = states[i % 4].1.clone();
        state.view.focus = Pane::ALL[i % 8];
        state.view.zoom = i % 3 == 0;
        let drawn = buffer(&state, &theme, *width, *height);
        assert!(!text(&drawn).trim().is_empty(), "{width}x{height} shows nothing");
    }
}

#[test]
fn any_dialog_is_drawn_at_any_size() {
    let theme = Theme::default();
    let mut state = testing::normal();
    for overlay in testing::overlays(&mut state) {
        for (width, height) in [(1, 1), (40, 10), (41, 11), (57, 13), (80, 24), (300, 100)] {
            let mut state = state.clone();
            state.overlays.push(overlay.clone());
            buffer(&state, &theme, width, height);
        }
    }
}

#[test]
fn a_small_screen_asks_for_room_and_names_the_environment() {
    let shown = text(&buffer(&testing::normal(), &Theme::default(), 39, 9));
    assert_eq!(shown.trim_end(), "PRODUCTION prod-eu: 39x9 is too small,\nmake it 80x24");
}

/// The banner's letters beside the marks of its cells: `R` reversed, `B` bold, `U` underlined.
fn banner(kind: Kind, armed: bool) -> (String, String) {
    let mut state = testing::empty(kind);
    if armed {
        state.arming = Arming::Armed;
    }
    let drawn = buffer(&state, &Theme::bundled(Palette::Mono, Charset::Unicode), 60, 24);
    let marks = (0..60).map(|x| match drawn[(x, 0)].modifier {
        weight if weight.contains(Modifier::REVERSED) => 'R',
        weight if weight.contains(Modifier::UNDERLINED) => 'U',
        weight if weight.contains(Modifier::BOLD) => 'B',
        _ => '.',
    });
    (text(&drawn).lines().next().unwrap_or_default().to_owned(), marks.collect())
}

#[test]
fn nobody_mistakes_one_environment_for_another() {
    let (word, marks) = banner(Kind::Production, false);
    assert!(word.starts_with(" PRODUCTION  prod-eu ") && word.ends_with("PRODUCTION"), "{word}");
    assert!(marks.chars().all(|mark| mark == 'R'), "over the whole width: {marks}");
    let (word, marks) = banner(Kind::Drill, false);
    assert!(word.starts_with("╱ DRILL  failed-migration ╱╱╱╱") && word.ends_with("DRILL"), "{word}");
    assert!(!marks.contains('R'), "{marks}");
    let (word, marks) = banner(Kind::Staging, false);
    assert!(word.starts_with(" STAGING") && !marks.contains('R'), "{word} {marks}");
    let (word, marks) = banner(Kind::Drill, true);
    assert!(word.contains(" ! ARMED ! ") && marks.contains("RRRRRRR"), "{word} {marks}");
}

#[test]
fn danger_is_marked_by_more_than_colour() {
    let theme = Theme::default();
    let mut state = testing::normal();
    state.view.focus = Pane::Pods;
    let drawn = buffer(&state, &theme, 80, 24);
    let danger = theme.style(Role::Danger);
    let red = (0..24).filter(|y| drawn[(34, *y)].style().fg == danger.fg).collect::<Vec<_>>();
    assert_eq!(red.len(), 2, "two pods are broken");
    for y in red {
        assert_eq!(drawn[(34, y)].symbol(), "✗");
    }
}

#[test]
fn mono_has_no_colour_anywhere() {
    let theme = Theme::bundled(Palette::Mono, Charset::Unicode);
    let mut state = testing::normal();
    let overlays = testing::overlays(&mut state);
    for (i, pane) in Pane::ALL.into_iter().cycle().take(overlays.len() + 8).enumerate() {
        let mut state = if i % 2 == 0 { state.clone() } else { testing::stale() };
        state.view.focus = pane;
        crate::app::logs::search(&mut state, "INFO").unwrap();
        state.overlays.extend(overlays.get(i).cloned());
        let drawn = buffer(&state, &theme, 120, 36);
        let colour = drawn.content().iter().find(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(colour, None, "{pane:?}");
    }
}

#[test]
fn ascii_is_ascii() {
    let theme = Theme::bundled(Palette::Dark, Charset::Ascii);
    let mut state = testing::normal();
    let overlays = testing::overlays(&mut state);
    for (i, pane) in Pane::ALL.into_iter().cycle().take(overlays.len() + 8).enumerate() {
        let mut state = if i % 2 == 0 { state.clone() } else { testing::empty(Kind::Drill) };
        state.view.focus = pane;
        state.overlays.extend(overlays.get(i).cloned());
        let drawn = buffer(&state, &theme, 120, 36);
        // A pod may write what it likes.
        let ours = drawn.content().iter().find(|cell| !cell.symbol().is_ascii() && !"日本語".contains(cell.symbol()));
        assert_eq!(ours, None, "{pane:?}\n{}", text(&drawn));
    }
}

#[test]
fn an_idle_screen_stays_as_it_is() {
    let mut state = testing::normal();
    // A moment at which no age comes to its next step, among young ages and among old ones.
    for seconds in [13, 605] {
        state.now = testing::night() + SignedDuration::from_secs(seconds);
        let before = buffer(&state, &Theme::default(), 200, 50);
        state.now += SignedDuration::from_secs(1);
        let after = buffer(&state, &Theme::default(), 200, 50);
        let changed = before.diff(&after).len();
        assert!((1..=4).contains(&changed), "{changed} cells changed");
    }
}

#[test]
fn messages_fade() {
    let mut state = testing::normal();
    state.notice = Some(Notice { tone: Tone::Bad, words: testing::words("not armed"), at: state.now });
    assert!(screen(&state, Pane::Runbook, 80, 24).contains("✗ not armed"));
    state.now += SignedDuration::from_secs(31);
    assert!(!screen(&state, Pane::Runbook, 80, 24).contains("not armed"));
}

#[test]
fn a_check_that_stopped_being_true_says_so() {
    let mut state = testing::normal();
    let verdict = Verdict::new(Mark::Failed, testing::words("Redis does not answer"));
    state.checks.list.judge(CheckId::Cache, verdict, state.now, state.now);
    assert!(
        screen(&state, Pane::Checklist, 80, 24).contains("✗ failed    Cache (Redis)             now unticked Redis")
    );
}

fn log_screen(state: &State) -> String {
    screen(state, Pane::Logs, 80, 24)
}

#[test]
fn the_log_tells_filter_search_and_place() {
    let mut state = testing::normal();
    state.view.focus = Pane::Logs;
    crate::app::logs::filter(&mut state, "prisma").unwrap();
    let shown = log_screen(&state);
    assert!(
        shown.contains("3 of 8 lines") && shown.contains("filter prisma") && !shown.contains("Started server"),
        "{shown}"
    );
    crate::app::logs::filter(&mut state, "").unwrap();
    let _ = update(&mut state, Msg::Do(Action::Top));
    let shown = log_screen(&state);
    assert!(shown.contains("›03:06:19 x7k2p   INFO:     Started server"), "{shown}");
    assert!(shown.contains("03:06:55") && shown.contains("\nheld"), "the lines after it are there too\n{shown}");
    crate::app::logs::search(&mut state, "POST").unwrap();
    let theme = Theme::default();
    let drawn = buffer(&state, &theme, 80, 24);
    let marked = drawn.content().iter().filter(|cell| cell.bg == Color::LightYellow).count();
    assert!(marked >= "POST".len() * 2, "{marked}");
}

#[test]
fn the_log_is_filtered_searched_and_unfolded() {
    for (width, height) in [(80, 24), (120, 36)] {
        let mut state = testing::normal();
        state.view.focus = Pane::Logs;
        let json = r#"{"message": "could not reach the \u001b[31mdatabase\nTraceback:\n  retry", "level": "ERROR", "password": "hunter2hunter2", "extra": {"try": 3}}"#;
        let line = LogLine::new(testing::night(), &std::sync::Arc::new(testing::source(3)), testing::words(json));
        let lines = LogItem::Lines(vec![line].into());
        testing::feed(&mut state, Feed::Logs(testing::source(3)), Item::Logs(lines));
        let mut shown = String::new();
        for (name, typed, actions) in [
            ("level:warn", "level:warn", &[][..]),
            ("unfolded", "", &[Action::Unfold]),
            ("without times, wrapped", "!pod:x7k2p !/health/", &[Action::Timestamps, Action::Wrap]),
            ("nothing left", "nowhere", &[]),
        ] {
            crate::app::logs::filter(&mut state, typed).unwrap();
            for action in actions {
                let _ = update(&mut state, Msg::Do(*action));
            }
            let _ = writeln!(shown, "======== {name}\n{}", screen(&state, Pane::Logs, width, height));
        }
        crate::app::logs::filter(&mut state, "").unwrap();
        crate::app::logs::search(&mut state, "/prisma (migrate|schema)/").unwrap();
        let _ = writeln!(shown, "======== searched\n{}", screen(&state, Pane::Logs, width, height));
        insta::assert_snapshot!(format!("log_views_{width}x{height}"), shown);
    }
}

#[test]
fn wrapped_lines_are_whole_and_the_last_ones_stay() {
    let mut state = testing::normal();
    state.logs.wrap = true;
    let shown = log_screen(&state);
    assert!(shown.contains("resolve migration issues in a production") && shown.contains("日本語"), "{shown}");
}

#[test]
fn a_line_of_a_megabyte_is_cut() {
    let mut state = testing::normal();
    for wrap in [false, true] {
        state.logs.wrap = wrap;
        let source = std::sync::Arc::new(testing::source(0));
        let line = |i: i64| {
            let at = testing::night() + SignedDuration::from_secs(i);
            LogLine::new(at, &source, testing::words(&"日本 x".repeat(200_000)))
        };
        let lines: Vec<LogLine> = (0..3).map(line).collect();
        testing::feed(&mut state, Feed::Logs(testing::source(0)), Item::Logs(LogItem::Lines(lines.into())));
        let shown = log_screen(&state);
        assert!(shown.contains("日本 x日本"));
    }
}

#[test]
fn ten_thousand_pods_cost_what_is_seen() {
    let mut state = testing::normal();
    let many = (0..10_000).map(|i| {
        let mut pod = testing::pod(i % 6);
        pod.uid = format!("pod-{i}").parse().unwrap();
        pod.name = format!("litellm-proxy-{i:05}-x7k2p").parse().unwrap();
        std::sync::Arc::new(pod)
    });
    testing::feed(&mut state, Feed::Pods(testing::workload_ref()), Item::Pods(Ok(PodsItem::Listed(many.collect()))));
    state.view.cursor.insert(Pane::Pods, 5_000);
    let shown = screen(&state, Pane::Pods, 80, 24);
    assert!(shown.contains("05000-x7k2p") && !shown.contains("04000-x7k2p"), "{shown}");
}

#[test]
fn what_is_missing_says_what_to_do() {
    let mut state = testing::empty(Kind::Production);
    let why = Trouble::new(TroubleKind::Missing, testing::words("no database is configured"))
        .remedy(testing::words("name one in lastgood.toml"));
    state.migrations = crate::domain::live::Live::Absent(why);
    let shown = screen(&state, Pane::Migrations, 80, 24);
    assert!(shown.contains("no database is configured; name one in lastgood.toml"), "{shown}");
}

#[test]
fn the_holder_of_the_migration_lock_is_named() {
    let mut state = testing::normal();
    let mut table = testing::migrations();
    table.locks.push(testing::lock());
    testing::feed(&mut state, Feed::Migrations, Item::Migrations(Ok(table)));
    let shown = screen(&state, Pane::Migrations, 80, 24);
    assert!(shown.contains("! a migration holds the lock: pid 4711, prisma, active, for 1m"), "{shown}");
}

/// The footer must not offer what `update` refuses.
#[test]
fn the_footer_offers_only_what_works() {
    let mut state = testing::normal();
    for pane in Pane::ALL {
        let shown = screen(&state, pane, 200, 24);
        let footer = shown.lines().last().unwrap_or_default();
        assert!(footer.contains("A arm") || pane == Pane::Logs, "{footer}");
        assert!(footer.contains("? help") && footer.contains("q quit"), "{footer}");
        assert!(!footer.contains("delete row") && !footer.contains("revert to it"), "{footer}");
    }
    state.arming = Arming::Armed;
    let shown = screen(&state, Pane::Migrations, 120, 24);
    assert!(shown.lines().last().is_some_and(|footer| footer.contains("d delete row")), "{shown}");
}

#[test]
fn an_armed_revert_says_what_it_does_before_how() {
    let mut state = testing::normal();
    state.arming = Arming::Armed;
    testing::go(&mut state, "litellm-rollback:revert");
    testing::target(&mut state);
    for (width, height) in [(80, 24), (120, 36)] {
        insta::assert_snapshot!(format!("revert_{width}x{height}"), screen(&state, Pane::Runbook, width, height));
    }
}

#[test]
fn a_dialog_that_does_not_fit_says_what_it_hides() {
    let mut state = testing::normal();
    state.overlays.push(testing::review());
    let shown = screen(&state, Pane::Runbook, 60, 14);
    assert!(
        shown.contains("revert deployment/litellm-proxy to revision 13") && shown.contains("more lines"),
        "{shown}"
    );
    let Some(crate::app::overlay::Overlay::Review(review)) = state.overlays.last_mut() else { unreachable!() };
    review.scroll = 99;
    let shown = screen(&state, Pane::Runbook, 60, 14);
    assert!(shown.contains("hides previous") && !shown.contains("more lines"), "{shown}");
}
