//! The revisions of every workload: which is live, which was the last good one and why.

use ratatui::text::Line;

use crate::app::action::Pane;
use crate::app::coupling;
use crate::app::past::Past;
use crate::app::releases::release_of;
use crate::domain::candidate::Candidate;
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::release::ReleaseCandidate;
use crate::domain::workload::{Owner, Revision, RevisionStatus, Workload};
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, Sheet, first, hanging, told, watched, wrapped};
use crate::ui::theme::{Role, Sign};
use crate::ui::{pods, releases};

/// The pane.
pub fn sheet<'a>(scene: &Scene<'a>, room: Room) -> Sheet<'a> {
    let state = scene.state;
    let revisions = state.revisions();
    let (note, gone) = watched(scene, scene.state.watched.values().map(|watched| &watched.workload));
    let fresh = gone.is_none();
    if revisions.is_empty() {
        let (words, role) = empty(scene);
        return Sheet { note, ..Sheet::says(scene, room, words.as_str(), role) };
    }
    let workloads: Vec<&Workload> =
        state.setting.workloads.iter().filter_map(|reference| state.workload(reference)).collect();
    let ranked: Vec<Ranked<'_>> = workloads.into_iter().map(|workload| ranked(scene, workload)).collect();
    let mut sheet = Sheet { count: revisions.len().to_string(), note, ..Sheet::default() };
    if let Some(why) = gone {
        sheet.loss(scene, room, why);
    }
    for of in &ranked {
        sheet.lines.push(of_workload(scene, room, of.workload));
        if let Some(line) = releases::line(scene, room, of.workload) {
            sheet.lines.push(line);
        }
    }
    let best = ranked.iter().find_map(|of| Some((&of.workload.reference, of.best.as_ref()?)));
    let cursor = if room.focused || state.view.cursor.contains_key(&Pane::Revisions) {
        state.view.selected(Pane::Revisions, revisions.len())
    } else {
        // Nobody has selected anything: the best candidate is what is worth telling about.
        let best = best.and_then(|(workload, goal)| revisions.iter().position(|past| past.is(workload, goal)));
        best.unwrap_or(0)
    };
    sheet.lines.push(match revisions.get(cursor) {
        Some(Past::Release(..)) => releases::head(scene, room),
        _ => head(scene, room),
    });
    let detail = revisions.get(cursor).map(|past| {
        let of = ranked.iter().find(|of| of.workload.reference == past.workload().reference);
        match (past, of.map(|of| &of.all)) {
            (Past::Template(_, revision), Some(All::Templates(all))) => reasons(scene, room, revision, all),
            (Past::Release(workload, _, row, _), Some(All::Releases(all))) => {
                releases::reasons(scene, room, workload, row, all)
            }
            _ => Vec::new(),
        }
    });
    let detail = told(scene, room, sheet.lines.len() + revisions.len(), detail.unwrap_or_default());
    let rows = room.height.saturating_sub(sheet.lines.len() + detail.len()).max(1);
    let from = first(cursor, revisions.len(), rows);
    for (i, past) in revisions.iter().enumerate().skip(from).take(rows) {
        let (reference, goal) = (&past.workload().reference, past.goal());
        let best = ranked.iter().any(|of| of.workload.reference == *reference && of.best.as_ref() == Some(&goal));
        let target = state.incident.targets.get(reference).is_some_and(|target| target.goal == goal);
        let marks = Marks { chosen: i == cursor, best, target, fresh };
        sheet.lines.push(match past {
            Past::Template(_, revision) => row(scene, room, revision, marks),
            Past::Release(workload, _, of, record) => releases::row(scene, room, workload, of, *record, marks),
        });
    }
    sheet.lines.extend(detail);
    sheet
}

/// The candidates of a workload, the best first.
enum All {
    Templates(Vec<Candidate>),
    Releases(Vec<ReleaseCandidate>),
}

struct Ranked<'a> {
    workload: &'a Workload,
    best: Option<Goal>,
    all: All,
}

fn ranked<'a>(scene: &Scene<'a>, workload: &'a Workload) -> Ranked<'a> {
    let state = scene.state;
    match release_of(workload) {
        Some(release) => Ranked {
            workload,
            best: crate::app::releases::best(state, workload).map(|revision| Goal::Release(release, revision)),
            all: All::Releases(crate::app::releases::ranked(state, workload)),
        },
        None => {
            let all = coupling::ranked(state, workload);
            Ranked {
                workload,
                best: all.first().map(|best| Goal::Template(best.uid.clone())),
                all: All::Templates(all),
            }
        }
    }
}

fn empty(scene: &Scene<'_>) -> (crate::text::Clean, Role) {
    let state = scene.state;
    if let Some(why) = state.setting.missing.cluster.as_ref().or(state.setting.missing.workloads.as_ref()) {
        return (why.sentence(), Role::Warn);
    }
    let mut lost = state.watched.values().filter_map(|watched| match &watched.workload {
        Live::Lost { why, .. } => Some(why),
        _ => None,
    });
    match lost.next() {
        Some(why) => (why.sentence(), Role::Danger),
        None if state.setting.workloads.is_empty() => (scene.state.no_workload(), Role::Warn),
        None => (say!("waiting for the cluster"), Role::Muted),
    }
}

/// The workload, who owns it, and how its rollout stands.
fn of_workload<'a>(scene: &Scene<'a>, room: Room, workload: &Workload) -> Line<'a> {
    use crate::domain::workload::Rollout;
    let mut row = Row::plain(scene, room.width).words(&workload.reference.to_string(), Role::Title);
    row = match &workload.owner {
        Owner::Nobody => row,
        Owner::Helm { release } if release_of(workload).is_some() => {
            row.words(&format!("Helm release {release}"), Role::Text)
        }
        owner => match owner.forbids_patch() {
            Some((why, _)) => row.words(&format!("{} {why}", scene.sign(Sign::No)), Role::Danger),
            None => row,
        },
    };
    if workload.paused {
        row = row.words("paused", Role::Warn);
    }
    row = match workload.numbers.status() {
        Rollout::Done => row.words("rolled out", Role::Muted),
        Rollout::Waiting(why) => row.words(why.as_str(), Role::Warn),
        Rollout::Failed(why) => row.words(&format!("{} {why}", scene.sign(Sign::No)), Role::Danger),
    };
    row.line()
}

/// What is known of a line besides what it says.
pub(super) struct Marks {
    pub(super) chosen: bool,
    pub(super) best: bool,
    pub(super) target: bool,
    pub(super) fresh: bool,
}

struct Columns {
    image: usize,
    version: bool,
    digest: bool,
    cause: usize,
}

fn columns(room: Room) -> Columns {
    // Signs, number, status, replicas and age take 30 cells with their blanks.
    let left = room.width.saturating_sub(32);
    let version = left >= 44;
    let digest = left >= 70;
    let left = left.saturating_sub(if version { 13 } else { 0 } + if digest { 13 } else { 0 });
    let image = if left >= 40 { (left / 2).min(40) } else { left };
    Columns { image, version, digest, cause: left.saturating_sub(image + 1) }
}

fn head<'a>(scene: &Scene<'a>, room: Room) -> Line<'a> {
    let columns = columns(room);
    let muted = Role::Muted;
    let mut row = Row::new(scene, Room { focused: false, ..room }, false)
        .cell("", 2, muted)
        .right("rev", 4, muted)
        .cell("status", 9, muted)
        .cell("pods", 5, muted)
        .right("age", 5, muted)
        .cell("image", columns.image, muted);
    if columns.version {
        row = row.cell("version", 12, muted);
    }
    if columns.digest {
        row = row.cell("digest", 12, muted);
    }
    if columns.cause > 0 { row.rest("change cause", muted).line() } else { row.line() }
}

fn row<'a>(scene: &Scene<'a>, room: Room, revision: &Revision, marks: Marks) -> Line<'a> {
    let columns = columns(room);
    let usual = if marks.fresh { Role::Text } else { Role::Stale };
    let (word, role) = match &revision.status {
        RevisionStatus::Live => ("live", Role::Good),
        RevisionStatus::Rolling(_) => ("rolling", Role::Warn),
        RevisionStatus::Failed(_) => ("failed", Role::Danger),
        RevisionStatus::Superseded => ("older", Role::Muted),
    };
    let role = if marks.fresh { role } else { Role::Stale };
    let sign = |shown: bool, sign: Sign| if shown { scene.sign(sign) } else { " " };
    let signs = format!("{}{}", sign(marks.target, Sign::Target), sign(marks.best, Sign::Star));
    let image = revision.image();
    let tag = image.map_or("no image", |image| image.tag().unwrap_or(image.as_str()));
    let mut row = Row::new(scene, room, marks.chosen)
        .cell(&signs, 2, Role::Suggested)
        .right(&revision.number.to_string(), 4, usual)
        .cell(word, 9, role)
        .cell(&format!("{}/{}", revision.ready, revision.replicas), 5, usual)
        .right(scene.age(revision.created).as_str(), 5, usual)
        .name(tag, columns.image, usual);
    if columns.version {
        let version = image.and_then(|image| image.version()).map(|version| version.to_string());
        let version = version.or_else(|| revision.template.claim().map(|claim| format!("{claim}?")));
        row = row.cell(version.as_deref().unwrap_or("not told"), 12, usual);
    }
    if columns.digest {
        let digest = revision.digest.as_ref().map(crate::text::Clean::as_str);
        let digest = digest.or_else(|| image.and_then(|image| image.digest()));
        row = row.cell(digest.map_or("-", pods::short), 12, Role::Muted);
    }
    let cause = revision.change_cause.as_ref().map_or("", |cause| cause.first_line());
    if columns.cause > 0 { row.rest(cause, usual).line() } else { row.line() }
}

/// Why the selected revision ranks where it does.
fn reasons<'a>(scene: &Scene<'a>, room: Room, revision: &Revision, ranked: &[Candidate]) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    match ranked.iter().position(|candidate| candidate.uid == revision.uid) {
        Some(rank) => {
            let of = if rank == 0 { "the best candidate".to_owned() } else { format!("candidate {}", rank + 1) };
            let words = format!("revision {} is {of} of {}", revision.number, ranked.len());
            lines.extend(wrapped(scene, room.width, &words, " ", Role::Title));
            let candidate = &ranked[rank];
            for (words, sign, role) in candidate
                .reasons
                .iter()
                .map(|words| (words, Sign::Yes, Role::Text))
                .chain(candidate.warnings.iter().map(|words| (words, Sign::Warn, Role::Warn)))
            {
                lines.extend(hanging(scene, room.width, sign, words.as_str(), role));
            }
        }
        None => {
            let why = match &revision.status {
                RevisionStatus::Rolling(why) | RevisionStatus::Failed(why) => format!(": {why}"),
                _ => String::new(),
            };
            let words = format!("revision {} is the live one{why}", revision.number);
            lines.extend(wrapped(scene, room.width, &words, " ", Role::Title));
        }
    }
    if let Some(claim) = revision.template.claim() {
        let words = format!("its image is named by digest; that it is {claim} is what a label claims");
        lines.extend(hanging(scene, room.width, Sign::Warn, &words, Role::Warn));
    }
    if let Some(told) = scene.state.learnt.of(revision.digest.as_ref()) {
        let (sign, role) = match told.agreement.whole() {
            true => (Sign::Yes, Role::Text),
            false => (Sign::Warn, Role::Warn),
        };
        let words = format!("its image holds {}", told.words);
        lines.extend(hanging(scene, room.width, sign, &words, role));
    }
    lines
}
