//! One line with bars: how often a known error came of late, in which pods, and what went out
//! meanwhile.

use ratatui::text::{Line, Span};

use crate::app::logs::chart::{Chart, chart};
use crate::domain::name::Uid;
use crate::domain::span;
use crate::ui::fit;
use crate::ui::scene::Scene;
use crate::ui::theme::{Role, Sign};

/// Cells of the widest chart, and of the narrowest.
const CELLS: (usize, usize) = (60, 12);
/// Cells that the words beside it may take.
const WORDS: usize = 46;

/// The chart of a signature, where there is room and something to show.
pub fn line<'a>(scene: &Scene<'a>, width: usize, signature: u16, role: Role) -> Option<Line<'a>> {
    let cells = width.saturating_sub(WORDS).clamp(CELLS.1, CELLS.0);
    let chart = chart(scene.state, signature, cells)?;
    let mut spans = vec![Span::styled(format!("  {} ", span::short(chart.span)), scene.style(Role::Muted))];
    let most = chart.counts.iter().max().copied().unwrap_or(1).max(1);
    let bars = scene.theme.bars();
    for (at, count) in chart.counts.iter().enumerate() {
        if chart.events.iter().any(|(place, ..)| *place == at) {
            spans.push(Span::styled(scene.sign(Sign::Down), scene.style(Role::Title)));
        }
        spans.push(match usize::try_from(count * 8 / most).unwrap_or(8) {
            _ if *count == 0 => Span::styled(scene.sign(Sign::Dot), scene.style(Role::Muted)),
            height => Span::styled(bars[height.clamp(1, 8) - 1], scene.style(role)),
        });
    }
    spans.push(Span::styled(format!(" now  {}", words(scene, &chart)), scene.style(Role::Text)));
    if let Some((_, event, at)) = chart.events.last() {
        let words = format!("  {} {} {} ago", scene.sign(Sign::Down), event.word(), scene.span(*at));
        spans.push(Span::styled(words, scene.style(Role::Title)));
    }
    let mut left = width;
    for span in &mut spans {
        if span.width() > left {
            span.content = fit::start(&span.content, left).0.to_owned().into();
        }
        left = left.saturating_sub(span.width());
    }
    Some(Line::from(spans))
}

/// How many lines, in how many pods, and in which of them most.
fn words(scene: &Scene<'_>, chart: &Chart) -> String {
    let name = |uid: &Uid| {
        let pods = scene.pods().iter().find(|pod| pod.uid == *uid);
        pods.map_or_else(|| "one that is gone".to_owned(), |pod| super::logs::suffix(pod.name.as_str()).to_owned())
    };
    match chart.pods.as_slice() {
        [] => String::new(),
        [(uid, _)] => format!("{} in {}", chart.total(), name(uid)),
        [(uid, _), ..] => format!("{} in {} pods, most in {}", chart.total(), chart.pods.len(), name(uid)),
    }
}
