//! `catalog learn`: what the image of a running pod holds.

use color_eyre::eyre;
use serde::Serialize;

use crate::cli::command::Format;
use crate::cli::config_file::Chosen;
use crate::cli::engine::{Outcome, looking};
use crate::cli::exit::Exit;
use crate::cli::output::{self, json};
use crate::domain::catalog::{Agreement, Listing};
use crate::domain::cluster::Ask;
use crate::domain::name::{MigrationName, Name};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// Lists the migrations in a pod, and compares them.
pub(in crate::cli::engine) async fn learn(
    chosen: &Chosen,
    pod: &Name,
    format: Format,
    gate: &Gate,
) -> eyre::Result<Outcome> {
    let told = match told(chosen, pod, gate).await {
        Ok(told) => told,
        Err(trouble) => return Ok(Err(trouble)),
    };
    match format {
        Format::Json => output::print(&json(&told)?)?,
        Format::Text => output::print(&told.lines())?,
    }
    Ok(Ok(if told.agreement.whole() { Exit::Reached } else { Exit::NotReached }))
}

/// A listing and how it agrees.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    listing: Listing,
    words: Clean,
    agreement: Agreement,
}

async fn told(chosen: &Chosen, pod: &Name, gate: &Gate) -> Result<Told, Trouble> {
    let scene = looking(chosen, gate).await?;
    let cluster = scene.world.cluster?;
    for permission in cluster.permissions(Ask::EXEC.to_vec()).await? {
        if permission.allowed != Some(true) {
            let (verb, _, resource, sub) = permission.ask.attributes();
            let stands = if permission.allowed.is_none() { "not known to be allowed" } else { "not allowed" };
            let what = say!("`{} {}/{}` is {}, so nothing was started in pod/{}", verb, resource, sub, stands, pod);
            return Err(Trouble::new(TroubleKind::Forbidden, what)
                .remedy(Clean::ours("ask for it in this namespace; nothing else needs it")));
        }
    }
    let (listing, catalog) = (cluster.listing(pod).await?, &scene.setting.catalog);
    let (words, agreement) = (listing.sentence(catalog), listing.agreement(catalog));
    Ok(Told { listing, words, agreement })
}

impl Told {
    fn lines(&self) -> String {
        let Listing { pod, container, image, digest, found } = &self.listing;
        let unknown = || Clean::ours("unknown");
        let mut lines = vec![
            ("pod", say!("{}, container {}", pod, container)),
            ("image", say!("{}", image)),
            ("digest", digest.clone().unwrap_or_else(unknown)),
            ("LiteLLM", found.litellm.as_ref().map_or_else(unknown, |version| say!("{}, as it says itself", version))),
            ("package", found.package.map_or_else(unknown, |version| say!("{}, as it says itself", version))),
            ("folder", found.folder.clone()),
            ("migrations", self.words.clone()),
        ];
        let named = |names: &[MigrationName], what: &'static str| {
            names.iter().map(|name| ("", say!("  {} {}", what, name))).collect::<Vec<_>>()
        };
        lines.extend(named(&self.agreement.extra, "only here:"));
        lines.extend(named(&self.agreement.lacks, "missing here:"));
        lines.extend(named(&self.agreement.other, "another content:"));
        lines.iter().map(|(head, words)| format!("{head:<13} {words}\n")).collect()
    }
}
