//! The pods: name, readiness, status, restarts, revision, image, age.

use std::sync::Arc;

use ratatui::text::Line;

use crate::app::action::Pane;
use crate::domain::cluster::{ContainerStatus, Phase, Pod};
use crate::domain::live::Live;
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, Sheet, first, watched};
use crate::ui::theme::{Role, Sign};

/// The pane.
pub fn sheet<'a>(scene: &Scene<'a>, room: Room) -> Sheet<'a> {
    let pods = scene.pods();
    let (note, gone) = watched(scene, scene.state.watched.values().map(|watched| &watched.pods));
    let fresh = gone.is_none();
    if pods.is_empty() {
        let (words, role) = empty(scene);
        return Sheet { note, ..Sheet::says(scene, room, words.as_str(), role) };
    }
    let mut sheet = Sheet { count: counts(pods), note, ..Sheet::default() };
    if let Some(why) = gone {
        sheet.loss(scene, room, why);
    }
    sheet.lines.push(head(scene, room));
    let rows = room.height.saturating_sub(sheet.lines.len());
    let cursor = scene.state.view.selected(Pane::Pods, pods.len());
    let from = first(cursor, pods.len(), rows);
    for (i, pod) in pods.iter().enumerate().skip(from).take(rows) {
        sheet.lines.push(row(scene, room, pod, i == cursor && room.focused, fresh));
    }
    sheet
}

/// How many pods are ready, of how many that are there to stay.
pub fn tally(pods: &[&Arc<Pod>]) -> (usize, usize) {
    let stay = pods.iter().filter(|pod| !pod.terminating);
    (stay.clone().filter(|pod| pod.ready()).count(), stay.count())
}

fn counts(pods: &[&Arc<Pod>]) -> String {
    let (ready, stay) = tally(pods);
    let broken = pods.iter().filter(|pod| pod.broken()).count();
    let some = |count: usize, word: &str| if count > 0 { format!(", {count} {word}") } else { String::new() };
    format!("{ready} of {stay} ready{}{}", some(broken, "broken"), some(pods.len() - stay, "ending"))
}

fn empty(scene: &Scene<'_>) -> (crate::text::Clean, Role) {
    let state = scene.state;
    if let Some(why) = state.setting.missing.cluster.as_ref().or(state.setting.missing.workloads.as_ref()) {
        return (why.sentence(), Role::Warn);
    }
    let mut all = state.watched.values().map(|watched| &watched.pods);
    match all.clone().find_map(|pods| if let Live::Lost { why, .. } = pods { Some(why) } else { None }) {
        Some(why) => (why.sentence(), Role::Danger),
        None if state.setting.workloads.is_empty() => (scene.state.no_workload(), Role::Warn),
        None if all.any(|pods| matches!(pods, Live::Waiting)) => {
            let listing: usize = state.watched.values().map(|watched| watched.listing).sum();
            let words = match listing {
                0 => say!("waiting for the cluster"),
                listing => say!("{} pods listed so far, and more to come", listing),
            };
            (words, Role::Muted)
        }
        None => (say!("no pods: nothing runs, and nobody is served"), Role::Danger),
    }
}

/// Which columns there is room for.
struct Columns {
    name: usize,
    status: usize,
    tag: usize,
    version: bool,
    digest: bool,
}

fn columns(room: Room) -> Columns {
    // Ready, restarts, revision and age take 21 cells with their blanks; the cursor takes one.
    let left = room.width.saturating_sub(23);
    let digest = left >= 96;
    let left = left.saturating_sub(if digest { 13 } else { 0 });
    let status = if left >= 46 { 20 } else { left * 2 / 5 };
    // Where a whole tag does not fit, the version does.
    let version = left < 58;
    let tag = if version { 8.min(left / 5) } else { (left.saturating_sub(status) / 2).min(32) };
    Columns { name: left.saturating_sub(status + tag + 2).min(60), status, tag, version, digest }
}

fn head<'a>(scene: &Scene<'a>, room: Room) -> Line<'a> {
    let columns = columns(room);
    let muted = Role::Muted;
    let row = Row::new(scene, Room { focused: false, ..room }, false)
        .cell("pod", columns.name, muted)
        .cell("ready", 5, muted)
        .cell("status", columns.status, muted)
        .right("rst", 3, muted)
        .right("rev", 4, muted)
        .cell("image", columns.tag, muted);
    let row = if columns.digest { row.cell("digest", 12, muted) } else { row };
    row.right("age", 5, muted).line()
}

fn row<'a>(scene: &Scene<'a>, room: Room, pod: &Pod, chosen: bool, fresh: bool) -> Line<'a> {
    let columns = columns(room);
    let usual = if fresh { Role::Text } else { Role::Stale };
    let (sign, word, role) = status(pod);
    let role = if fresh { role } else { Role::Stale };
    let (ready, all) = pod.ready_count();
    let main = main(pod);
    let version = main.and_then(|container| container.image.version()).filter(|_| columns.version);
    let tag = main.map_or("", |container| container.image.tag().unwrap_or(container.image.as_str()));
    let tag = version.map_or_else(|| tag.to_owned(), |version| version.to_string());
    let restarts = pod.restarts();
    let revision = pod.revision.map_or("-".to_owned(), |number| number.to_string());
    let row = Row::new(scene, room, chosen)
        .name(pod.name.as_str(), columns.name, if role == Role::Danger { role } else { usual })
        .cell(&format!("{ready}/{all}"), 5, if pod.ready() { usual } else { role })
        .cell(&format!("{} {word}", scene.sign(sign)), columns.status, role)
        .right(&restarts.to_string(), 3, if restarts > 0 && fresh { Role::Warn } else { usual })
        .right(&revision, 4, usual)
        .name(&tag, columns.tag, usual);
    let row = if columns.digest {
        let digest = main.and_then(|container| container.digest.as_ref());
        row.cell(digest.map_or("-", |digest| short(digest.as_str())), 12, Role::Muted)
    } else {
        row
    };
    row.right(scene.age(pod.created).as_str(), 5, usual).line()
}

/// The first twelve digits of a digest, which is how people compare them.
pub fn short(digest: &str) -> &str {
    let digits = digest.rsplit_once(':').map_or(digest, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

fn main(pod: &Pod) -> Option<&ContainerStatus> {
    let mut ordinary = pod.containers.iter().filter(|container| !container.init);
    ordinary.clone().find(|container| container.image.is_litellm()).or_else(|| ordinary.next())
}

fn status(pod: &Pod) -> (Sign, &str, Role) {
    if pod.terminating {
        return (Sign::Waiting, "Terminating", Role::Muted);
    }
    let last = || pod.containers.iter().find(|c| c.terminated && !c.init).and_then(|c| c.last_exit.as_ref());
    let why = pod.waiting().or_else(last).map(|why| why.first_line());
    if pod.broken() {
        return (Sign::No, why.unwrap_or(pod.phase.word()), Role::Danger);
    }
    match pod.phase {
        Phase::Running if pod.ready() => (Sign::Yes, "Running", Role::Good),
        Phase::Running => (Sign::Waiting, why.unwrap_or("not ready"), Role::Warn),
        Phase::Succeeded => (Sign::Absent, "Succeeded", Role::Muted),
        Phase::Unknown => (Sign::Unknown, why.unwrap_or("Unknown"), Role::Unknown),
        phase => (Sign::Waiting, why.unwrap_or(phase.word()), Role::Warn),
    }
}
