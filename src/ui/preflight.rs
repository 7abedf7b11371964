//! The preflight: what stands in the way, what it leads to, and what to do about it.

use ratatui::text::Line;

use crate::app::preflight::{Finding, Severity, selected};
use crate::ui::scene::Scene;
use crate::ui::sheet::{Room, Row, Sheet, fact, first, told, wrapped};
use crate::ui::theme::{Role, Sign};

fn drawn(severity: Severity) -> (Sign, Role) {
    match severity {
        Severity::Blocks => (Sign::No, Role::Danger),
        Severity::Warns => (Sign::Warn, Role::Warn),
        Severity::Unknown | Severity::Waiting => (Sign::Unknown, Role::Unknown),
        Severity::Absent => (Sign::Unknown, Role::Muted),
        Severity::Fine => (Sign::Yes, Role::Good),
    }
}

/// The pane.
pub fn sheet<'a>(scene: &Scene<'a>, room: Room) -> Sheet<'a> {
    let findings = scene.findings();
    let of = |wanted| findings.iter().filter(|finding| finding.severity == wanted).count();
    let counts: Vec<String> = Severity::ALL
        .into_iter()
        .map(|severity| (of(severity), severity.word()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {}", word.trim_end_matches('s')))
        .collect();
    let mut sheet = Sheet { count: counts.join(", "), ..Sheet::default() };
    if findings.is_empty() {
        sheet.wrap(scene, room, "nothing was looked at yet", "", Role::Muted);
        return sheet;
    }
    let cursor = selected(scene.state, findings);
    let detail = findings.get(cursor).filter(|_| room.focused).map(|finding| detail(scene, room, finding));
    let detail = told(scene, room, findings.len(), detail.unwrap_or_default());
    let rows = room.height.saturating_sub(detail.len());
    let from = first(cursor, findings.len(), rows);
    for (i, finding) in findings.iter().enumerate().skip(from).take(rows) {
        let (sign, role) = drawn(finding.severity);
        let row = Row::new(scene, room, i == cursor && room.focused).cell(scene.sign(sign), 1, role).cell(
            finding.severity.word(),
            7,
            role,
        );
        let text = if finding.remedy.is_empty() || room.focused {
            finding.what.clone()
        } else {
            say!("{}; {}", finding.what, finding.remedy)
        };
        sheet.lines.push(row.rest(text.as_str(), Role::Text).line());
    }
    sheet.lines.extend(detail);
    sheet
}

/// What there is to know of the selected finding, below the list.
fn detail<'a>(scene: &Scene<'a>, room: Room, finding: &Finding) -> Vec<Line<'a>> {
    let mut lines = wrapped(scene, room.width, finding.what.as_str(), "", Role::Title);
    if !finding.evidence.is_empty() {
        lines.extend(fact(scene, room.width, "evidence", finding.evidence.as_str(), Role::Text));
    }
    if !finding.consequence.is_empty() {
        lines.extend(fact(scene, room.width, "leads to", finding.consequence.as_str(), Role::Text));
    }
    if !finding.remedy.is_empty() {
        lines.extend(fact(scene, room.width, "remedy", finding.remedy.as_str(), Role::Text));
    }
    if let Some(step) = finding.blocks {
        lines.extend(fact(scene, room.width, "step", step.title(), Role::Text));
    }
    lines
}
