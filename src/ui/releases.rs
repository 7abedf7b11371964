//! Helm releases: the lines of the revisions pane, and the dialogs of a rollback.

use ratatui::text::Line;

use crate::app::releases::{self as app, RefusedRollback, RollbackReview};
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::release::{Does, Gravity, Release, ReleaseCandidate, ReleaseRow, ReleaseStatus, Verdict};
use crate::domain::workload::Workload;
use crate::ui::revisions::Marks;
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, hanging, wrapped};
use crate::ui::theme::{Role, Sign};

/// How the history of the release stands, where it needs a word.
pub(super) fn line<'a>(scene: &Scene<'a>, room: Room, workload: &Workload) -> Option<Line<'a>> {
    let known = app::known(scene.state, workload)?;
    let row = Row::plain(scene, room.width);
    match &known.history {
        Live::Lost { why, .. } | Live::Absent(why) => {
            Some(row.words(&format!("{} {}", scene.sign(Sign::No), why.sentence()), Role::Danger).line())
        }
        Live::Waiting => Some(row.words("the history of the release is read", Role::Muted).line()),
        Live::Seen { value, .. } if value.current.status.pending() => {
            let since = value.current.touched().map_or(String::new(), |at| format!(" for {}", scene.span(at)));
            let words = format!(
                "{} revision {} has been {}{since}: helm upgrade is refused",
                scene.sign(Sign::Warn),
                value.current.revision,
                value.current.status.word()
            );
            Some(row.words(&words, Role::Warn).line())
        }
        Live::Seen { .. } => None,
    }
}

struct Columns {
    image: usize,
    chart: usize,
    rest: bool,
}

fn columns(room: Room) -> Columns {
    // Signs, number, status and age take 31 cells with their blanks.
    let left = room.width.saturating_sub(33);
    if left >= 70 {
        Columns { image: 24, chart: 22, rest: true }
    } else if left >= 40 {
        Columns { image: 18, chart: 0, rest: true }
    } else {
        Columns { image: left, chart: 0, rest: false }
    }
}

pub(super) fn head<'a>(scene: &Scene<'a>, room: Room) -> Line<'a> {
    let columns = columns(room);
    let muted = Role::Muted;
    let mut row = Row::new(scene, Room { focused: false, ..room }, false)
        .cell("", 2, muted)
        .right("rev", 4, muted)
        .cell("status", 16, muted)
        .right("age", 5, muted)
        .cell("image", columns.image, muted);
    if columns.chart > 0 {
        row = row.cell("chart", columns.chart, muted);
    }
    if columns.rest { row.rest("description", muted).line() } else { row.line() }
}

pub(super) fn row<'a>(
    scene: &Scene<'a>,
    room: Room,
    workload: &Workload,
    of: &ReleaseRow,
    record: Option<&Release>,
    marks: Marks,
) -> Line<'a> {
    let columns = columns(room);
    let usual = if marks.fresh { Role::Text } else { Role::Stale };
    let role = match &of.status {
        _ if !marks.fresh => Role::Stale,
        ReleaseStatus::Deployed => Role::Good,
        ReleaseStatus::Superseded => Role::Muted,
        ReleaseStatus::Failed => Role::Danger,
        _ => Role::Warn,
    };
    let sign = |shown: bool, sign: Sign| if shown { scene.sign(sign) } else { " " };
    let signs = format!("{}{}", sign(marks.target, Sign::Target), sign(marks.best, Sign::Star));
    let age = of.created.map_or("-".to_owned(), |at| scene.age(at).as_str().to_owned());
    let image = record.and_then(|record| record.image(&workload.reference));
    let tag = match (image, record) {
        (Some(image), _) => image.tag().unwrap_or(image.as_str()),
        (None, Some(_)) => "no such Deployment",
        (None, None) => "...",
    };
    let mut row = Row::new(scene, room, marks.chosen)
        .cell(&signs, 2, Role::Suggested)
        .right(&of.revision.to_string(), 4, usual)
        .cell(of.status.word().as_str(), 16, role)
        .right(&age, 5, usual)
        .name(tag, columns.image, usual);
    if columns.chart > 0 {
        let chart = record.map_or(String::new(), |record| format!("{}-{}", record.chart.name, record.chart.version));
        row = row.name(&chart, columns.chart, Role::Muted);
    }
    let description = record.map_or("", |record| record.description.first_line());
    if columns.rest { row.rest(description, usual).line() } else { row.line() }
}

/// Why the selected revision ranks where it does, and what is known against it.
pub(super) fn reasons<'a>(
    scene: &Scene<'a>,
    room: Room,
    workload: &Workload,
    row: &ReleaseRow,
    ranked: &[ReleaseCandidate],
) -> Vec<Line<'a>> {
    let good = ranked.iter().filter(|candidate| candidate.refused.is_none()).count();
    let place = ranked.iter().position(|candidate| candidate.revision == row.revision);
    let Some((rank, candidate)) = place.map(|rank| (rank, &ranked[rank])) else {
        let words = format!("revision {} is the newest one, {}", row.revision, row.status.word());
        return wrapped(scene, room.width, &words, " ", Role::Title);
    };
    let title = match (&candidate.refused, rank) {
        (Some(why), _) => format!("revision {} cannot be gone back to: {why}", row.revision),
        (None, 0) => format!("revision {} is the best candidate of {good}", row.revision),
        (None, rank) => format!("revision {} is candidate {} of {good}", row.revision, rank + 1),
    };
    let mut lines = wrapped(scene, room.width, &title, " ", Role::Title);
    if let Some(why) = app::known(scene.state, workload).and_then(|known| known.unreadable.get(&row.revision)) {
        lines.extend(hanging(scene, room.width, Sign::No, why.sentence().as_str(), Role::Danger));
    }
    for words in &candidate.reasons {
        lines.extend(hanging(scene, room.width, Sign::Yes, words.as_str(), Role::Text));
    }
    for words in &candidate.warnings {
        lines.extend(hanging(scene, room.width, Sign::Warn, words.as_str(), Role::Warn));
    }
    for concern in app::against(scene.state, workload, row.revision).unwrap_or_default() {
        let (sign, role) = match concern.gravity {
            Gravity::Refuses | Gravity::Typed => (Sign::No, Role::Danger),
            Gravity::Warns => (Sign::Warn, Role::Warn),
        };
        lines.extend(hanging(scene, room.width, sign, &format!("{}; {}", concern.what, concern.consequence), role));
    }
    lines
}

/// What the dialog of a rollback says above what changes: name, words and role of each line.
pub(super) fn review(scene: &Scene<'_>, review: &RollbackReview) -> Vec<(&'static str, String, Role)> {
    let rollback = review.cleared.rollback();
    let state = scene.state;
    let history = state.workload(&rollback.workload).and_then(|workload| app::known(state, workload));
    let from = history.and_then(|known| known.history.last()?.row(rollback.from));
    let undo = match from {
        Some(row) if row.status.was_good() => {
            format!("helm rollback {} {}, to the revision that is the newest now", rollback.release, rollback.from)
        }
        _ => "upgrade again: the revision that is the newest now cannot be gone back to".to_owned(),
    };
    let mut lines = vec![
        ("command", rollback.command(state.setting.context.as_ref()).to_string(), Role::Command),
        ("guard", review.cleared.why().to_string(), Role::Good),
        ("dry run", dry_run(scene, review), Role::Text),
        ("undo", undo, Role::Text),
        ("note", "helm goes on when the console is left; its record tells how it ended".to_owned(), Role::Text),
    ];
    if let Live::Seen { value, .. } = &state.releases.program {
        lines.insert(1, ("program", format!("{} ({})", value.version, value.path), Role::Text));
    }
    lines
}

/// How the API server's trial went, where it went well; what it found is among the concerns.
fn dry_run(scene: &Scene<'_>, review: &RollbackReview) -> String {
    let rollback = review.cleared.rollback();
    let goal = Goal::Release(rollback.release.clone(), rollback.to);
    let about = scene.state.coupling.about(&rollback.workload, &goal);
    match about.and_then(|about| about.tried.as_ref()).map(|(_, trial)| trial) {
        Some(Live::Seen { value, at }) => {
            let sent = || value.tried.iter().filter(|tried| tried.does != Does::Leaves);
            let passed = sent().filter(|tried| tried.verdict == Verdict::Passes).count();
            let of = sent().count() + value.left_out;
            format!(
                "the API server lets {passed} of {of} objects through, {} ago; once more before helm is started",
                scene.span(*at)
            )
        }
        _ => "the API server was not asked; see below".to_owned(),
    }
}

/// What must be known before the rollback is sent.
pub(super) fn concerns<'a>(scene: &Scene<'a>, width: usize, review: &RollbackReview) -> Vec<Line<'a>> {
    let words = |concern: &crate::domain::release::Concern| {
        format!("{}; {}; {}", concern.what, concern.consequence, concern.remedy)
    };
    let lines =
        review.concerns.iter().flat_map(|concern| hanging(scene, width, Sign::Warn, &words(concern), Role::Warn));
    lines.collect()
}

/// What the dialog of a refused rollback says.
pub(super) fn refused(refused: &RefusedRollback) -> [(&'static str, String, Role); 3] {
    [
        ("asked", refused.asked.to_string(), Role::Title),
        ("why", refused.refusal.what.to_string(), Role::Danger),
        ("remedy", refused.refusal.remedy.to_string(), Role::Command),
    ]
}
