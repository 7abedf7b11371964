//! `cache`: the keys of Redis without a screen. Clearing passes the same gates as on it.

use std::time::Duration;

use color_eyre::eyre;

use crate::app::msg::Msg;
use crate::cli::command::{Cache, Format};
use crate::cli::config_file::Chosen;
use crate::cli::engine::one_act::{act, check_arm, orders};
use crate::cli::engine::{Outcome, looking};
use crate::cli::exit::Exit;
use crate::cli::output::{self, Align, Table, json};
use crate::cli::session::{self, node};
use crate::domain::cache::{CacheSurvey, PODS_REMEMBER};
use crate::domain::trouble::Trouble;
use crate::text::{Clean, Gate};

/// How long clearing may go on without a word from Redis.
const PATIENCE: Duration = Duration::from_secs(3600);

/// One of the `cache` commands.
pub(super) async fn run(chosen: &Chosen, cache: &Cache, gate: &Gate) -> eyre::Result<Outcome> {
    match cache {
        Cache::Survey(format) => {
            let survey = match survey(chosen, gate).await {
                Ok(survey) => survey,
                Err(trouble) => return Ok(Err(trouble)),
            };
            match format {
                Format::Json => output::print(&json(&survey)?)?,
                Format::Text => output::print(&table(&survey))?,
            }
            Ok(Ok(Exit::Reached))
        }
        Cache::Clear { namespace, confirm, arm, format } => {
            if let Err(trouble) = check_arm(arm, chosen) {
                return Ok(Err(trouble));
            }
            let scene = match session::live(chosen, gate).await {
                Ok(scene) => scene,
                Err(trouble) => return Ok(Err(trouble)),
            };
            let namespace = namespace.clone().or_else(|| chosen.environment.cache_namespace.clone());
            let orders = orders(arm, vec![confirm.clone()]);
            let at = node("litellm-rollback", "clear-cache");
            act(scene, &orders, *format, PATIENCE, at, move |_| Ok(vec![Msg::Clear(namespace.clone())])).await
        }
    }
}

async fn survey(chosen: &Chosen, gate: &Gate) -> Result<CacheSurvey, Trouble> {
    let scene = looking(chosen, gate).await?;
    scene.world.cache?.survey().await
}

/// The keys by what they are, for people.
fn table(survey: &CacheSurvey) -> String {
    let masters = survey.masters.map_or(String::new(), |masters| format!(", a cluster of {masters} masters"));
    let mut text = format!("{} {}{masters}\n", survey.product.word(), survey.version);
    for warning in &survey.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    let mut table =
        Table::new([("KEYS", Align::Right), ("WHAT", Align::Left), ("CLEARED BY `cache clear`", Align::Left)]);
    for answers in &survey.answers {
        let (what, how) = match &answers.namespace {
            Some(name) => {
                (say!("answers in namespace {}", name), say!("--cache-namespace {}", say!("{}", name).shell_word()))
            }
            None => (Clean::ours("answers without a namespace"), Clean::ours("without --cache-namespace")),
        };
        table.row([say!("{}", answers.keys), what, how]);
    }
    for (kind, keys) in &survey.protected {
        table.row([say!("{}", keys), Clean::ours(kind.words()), Clean::ours("never")]);
    }
    text.push_str(&table.render());
    text.push_str(&format!("{PODS_REMEMBER}\n"));
    text
}
