//! What LiteLLM's own code says, read out of its packages. They are large, so only those are
//! brought that stand on both sides of a change.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::{LITELLM, Progress};
use crate::domain::catalog::bisect;
use crate::domain::catalog::startup::{self, Asks, Files};
use crate::domain::image::Version;
use crate::domain::settings::{Vocabulary, vocabulary};
use crate::domain::trouble::Trouble;
use crate::text::Gate;
use crate::world::pip::{NotBrought, Pip};

/// What is read of one version is kept under this name; another number reads it anew.
const KEPT: &str = "code-3";
/// How many packages are brought at the same time.
const AT_ONCE: usize = 3;

/// What was read of one version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Read {
    /// What it asks for when it starts, or what is not there that says so.
    pub(super) asks: Result<Asks, String>,
    /// The settings that it knows.
    pub(super) settings: Vocabulary,
}

/// What decides whether two versions differ, and with it how many are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// What they ask for when they start.
    Start,
    /// That, and the settings that they know: nearly every minor number has new ones.
    Settings,
}

/// What was read of several.
#[derive(Default)]
pub(super) struct Code {
    /// Each version that was read, oldest first.
    pub(super) read: Vec<(Version, Read)>,
    /// What went wrong.
    pub(super) troubles: Vec<Trouble>,
}

/// Reads the first version of every minor number, then what lies between two that differ.
/// Candidates and builds of developers are left out: they lie between two that count.
pub(super) async fn code(pip: &Pip, published: &[String], by: By, gate: &Gate) -> Code {
    let finals = published.iter().filter_map(|raw| Some((raw.parse().ok()?, raw.clone())));
    let mut versions: Vec<(Version, String)> =
        finals.filter(|(version, _): &(Version, _)| version.is_final()).collect();
    versions.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let minor = |at: usize| versions.get(at).map(|(version, _)| version.numbers()[1]);
    let mut wanted: Vec<usize> = (0..versions.len()).filter(|at| *at == 0 || minor(*at) != minor(at - 1)).collect();
    wanted.extend(versions.len().checked_sub(1).filter(|last| !wanted.contains(last)));
    let (mut found, mut missing, mut code) = (BTreeMap::new(), BTreeSet::new(), Code::default());
    while !wanted.is_empty() && code.troubles.is_empty() {
        let mut progress = Progress::new("code of LiteLLM", wanted.len());
        let of = |at: usize| {
            let raw = versions.get(at).map(|(_, raw)| raw.as_str()).unwrap_or_default();
            async move { (at, raw, of(pip, raw).await) }
        };
        let mut brought = futures::stream::iter(wanted).map(of).buffered(AT_ONCE);
        while let Some((at, raw, read)) = brought.next().await {
            progress.step(&gate.clean(raw));
            match read {
                Ok(read) => drop(found.insert(at, read)),
                Err(NotBrought::Absent) => drop(missing.insert(at)),
                Err(NotBrought::Trouble(trouble)) => code.troubles.push(trouble),
            }
        }
        drop(brought);
        progress.end();
        let compared = found
            .iter()
            .map(|(at, read): (&usize, &Read)| (*at, (&read.asks, (by == By::Settings).then_some(&read.settings))));
        wanted = bisect::next(&compared.collect(), |at| missing.contains(&at));
    }
    let version = |at: usize| versions.get(at).map(|(version, _)| version.clone());
    code.read = found.into_iter().filter_map(|(at, read)| Some((version(at)?, read))).collect();
    code
}

async fn of(pip: &Pip, raw: &str) -> Result<Read, NotBrought> {
    pip.read(LITELLM, raw, KEPT, vocabulary::wanted, |files| {
        let texts: Vec<(&str, Cow<'_, str>)> =
            files.iter().map(|(path, bytes)| (path.as_str(), String::from_utf8_lossy(bytes))).collect();
        let texts: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (*path, &**text)).collect();
        let of = |wanted: &str| texts.iter().find(|(path, _)| *path == wanted).map_or("", |(_, text)| text);
        let files = Files {
            cli: of("litellm/proxy/proxy_cli.py"),
            job: of("litellm/proxy/prisma_migration.py"),
            client: of("litellm/proxy/db/prisma_client.py"),
        };
        let asks = startup::asks(files).map_err(|missing| missing.to_string());
        Read { asks, settings: vocabulary::vocabulary(&texts) }
    })
    .await
}
