//! The dialog that clears the response cache: what is counted, what goes, what stays.

use ratatui::text::Line;

use super::Dialog;
use super::questions::ask;
use crate::app::cache::Clearing;
use crate::domain::cache::{CacheSurvey, PODS_REMEMBER};
use crate::domain::confirm::Confirm;
use crate::ui::scene::Scene;
use crate::ui::sheet::fact;
use crate::ui::theme::{Role, Sign};

/// Counting, then the question.
pub fn clear<'a>(scene: &Scene<'a>, width: usize, clearing: &'a Clearing) -> Dialog<'a> {
    let Some(survey) = &clearing.survey else {
        let mut dialog = Dialog::new("Counting the keys of Redis");
        dialog.say(scene, width, "In small steps, names only. Nothing is deleted yet.", Role::Muted);
        return dialog;
    };
    let mut dialog = Dialog::dangerous("Clear the response cache");
    server(scene, width, survey, &mut dialog);
    let chosen = clearing.clearance();
    for (i, choice) in clearing.choices().iter().enumerate() {
        let is = *choice == chosen;
        let sign = if is { scene.sign(Sign::Cursor) } else { " " };
        let words = format!("{sign} {:>7}  {}", choice.keys, choice.which());
        let role = if is { Role::Danger } else { Role::Text };
        dialog.middle.extend(fact(scene, width, if i == 0 { "answers" } else { "" }, &words, role));
    }
    if !clearing.from.is_empty() {
        let words = format!("the namespace is known from {}", clearing.from);
        dialog.middle.extend(fact(scene, width, "", &words, Role::Muted));
    }
    let kept = survey.protected.iter().filter(|(_, keys)| *keys > 0);
    for (i, (kind, keys)) in kept.enumerate() {
        let words = format!("  {keys:>7}  {}", kind.words());
        dialog.middle.extend(fact(scene, width, if i == 0 { "stay" } else { "" }, &words, Role::Good));
    }
    dialog.bottom = fact(scene, width, "leads to", LEADS_TO, Role::Warn);
    dialog.bottom.extend(fact(scene, width, "not", PODS_REMEMBER, Role::Text));
    if chosen.keys == 0 {
        dialog.bottom.push(Line::default());
        let words = format!("There is no key of {}: nothing to clear.", chosen.which());
        dialog.bottom.extend(crate::ui::sheet::wrapped(scene, width, &words, "", Role::Title));
    } else {
        ask(scene, width, &Confirm::new(chosen).wanted(), &clearing.input, &mut dialog);
    }
    dialog
}

/// Cached virtual keys have the same shape where `enable_redis_auth_cache` is on (LiteLLM
/// documentation, "Caching").
const LEADS_TO: &str =
    "the models are asked again, at their price; virtual keys that are cached in this form are read again";

fn server<'a>(scene: &Scene<'a>, width: usize, survey: &CacheSurvey, dialog: &mut Dialog<'a>) {
    let masters = survey.masters.map_or(String::new(), |masters| format!(", a cluster of {masters} masters"));
    let words = format!("{} {}{masters}", survey.product.word(), survey.version);
    dialog.fact(scene, width, "server", &words, Role::Text);
    for warning in &survey.warnings {
        dialog.fact(scene, width, "warning", warning.as_str(), Role::Warn);
    }
}
