//! The settings of LiteLLM's versions: read out of the published packages, and files judged by them.

use std::path::Path;

use color_eyre::eyre;
use serde::Serialize;

use super::code::{self, By};
use super::{FIRST, LITELLM};
use crate::cli::command::Format;
use crate::cli::engine::Outcome;
use crate::cli::exit::Exit;
use crate::cli::{catalog_file, complain, output};
use crate::domain::image::Version;
use crate::domain::settings::{Config, Knows, Section, Settings, Unknown};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};
use crate::world::pip::Pip;

/// Reads which settings each version knows, and writes it down.
pub(in crate::cli::engine) async fn build(file: &Path, gate: &Gate) -> Outcome {
    let pip = Pip::find(catalog_file::cache()?, gate)?;
    let mut published = pip.versions(LITELLM).await?;
    published.retain(|raw| raw.parse().is_ok_and(|version: Version| version.numbers() >= FIRST));
    let code = code::code(&pip, &published, By::Settings, gate).await;
    if let Some(first) = code.troubles.first() {
        return Err(Trouble::new(first.kind, say!("{}; nothing was written", first.what))
            .remedy(Clean::ours("repeat the command: what was brought is kept")));
    }
    let read: Vec<_> = code.read.into_iter().map(|(version, read)| (version, read.settings)).collect();
    let settings = Settings::of(&read);
    catalog_file::written(file, settings.to_bytes(), gate)?;
    complain(&say!("{}: {} versions of LiteLLM were read", gate.clean(&file.display().to_string()), read.len()));
    Ok(Exit::Reached)
}

/// A setting in the answer for programs.
#[derive(Serialize)]
struct Found<'a> {
    section: Section,
    name: &'a Clean,
    line: u64,
    known: &'static str,
    /// The oldest later version that knows it.
    since: Option<Clean>,
    /// The newest earlier version that knew it.
    until: Option<Clean>,
}

impl<'a> Found<'a> {
    fn of(Unknown { named, knows }: &'a Unknown) -> Self {
        let told = |version: &Option<Version>| version.as_ref().map(|version| say!("{}", version));
        let (since, until) = match knows {
            Knows::No { since, until } => (told(since), told(until)),
            _ => (None, None),
        };
        Self { section: named.section, name: &named.name, line: named.line, known: knows.word(), since, until }
    }
}

/// Says which settings of a configuration file a version does not know. One that no version is
/// seen to know is a hint: it may be misspelt, and may be read in a way that was not seen.
pub(in crate::cli::engine) fn lint(
    file: &Path,
    version: &Version,
    format: Format,
    gate: &Gate,
) -> eyre::Result<Outcome> {
    let shown = gate.clean(&file.display().to_string());
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(why) => {
            let why = gate.clean(&why.to_string());
            return Ok(Err(Trouble::new(TroubleKind::NotFound, say!("{} cannot be read: {}", shown, why))));
        }
    };
    let config = match Config::read(&text, &shown, gate) {
        Ok(config) => config,
        Err(why) => return Ok(Err(Trouble::new(TroubleKind::Invalid, why))),
    };
    let unknown = Settings::embedded().unknown(&config, version);
    match format {
        Format::Json => {
            let found: Vec<Found<'_>> = unknown.iter().map(Found::of).collect();
            output::print(&format!("{}\n", serde_json::to_string_pretty(&found)?))?;
        }
        Format::Text => {
            for Unknown { named, knows } in &unknown {
                let what = words(knows, version);
                output::print(&format!("{shown}:{}: {}.{}: {what}\n", named.line, named.section, named.name))?;
            }
        }
    }
    if config.includes {
        complain(&say!("{} takes in other files (include), which were not looked at", shown));
    }
    let wrong = unknown.iter().any(|unknown| matches!(unknown.knows, Knows::No { .. } | Knows::Perhaps { .. }));
    Ok(Ok(if wrong { Exit::NotReached } else { Exit::Reached }))
}

fn words(knows: &Knows, version: &Version) -> Clean {
    match knows {
        Knows::Yes => Clean::ours("known"),
        Knows::No { since: Some(since), .. } => say!("LiteLLM {} does not know it; known since {}", version, since),
        Knows::No { since: None, until: Some(until) } => {
            say!("LiteLLM {} does not know it any more; known until {}", version, until)
        }
        Knows::No { since: None, until: None } => say!("LiteLLM {} does not know it", version),
        Knows::Perhaps { below, above } => {
            say!("LiteLLM {} may not know it: it lies between {} and {}, which differ about it", version, below, above)
        }
        Knows::Nowhere => Clean::ours("hint: no version is seen to know it"),
        Knows::Untold => say!("LiteLLM {} cannot be placed among the versions that were read", version),
    }
}
