//! `catalog learn`: what the image of a running pod holds.

use color_eyre::eyre;

use crate::cli::command::Format;
use crate::cli::config_file::Chosen;
use crate::cli::engine::{Outcome, looking};
use crate::cli::exit::Exit;
use crate::cli::output::{self, json};
use crate::cli::session::Scene;
use crate::domain::catalog::{Listing, Told};
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
    let told = async { told(&looking(chosen, gate).await?, pod).await };
    let told = match told.await {
        Ok(told) => told,
        Err(trouble) => return Ok(Err(trouble)),
    };
    match format {
        Format::Json => output::print(&json(&told)?)?,
        Format::Text => output::print(&lines(&told))?,
    }
    Ok(Ok(if told.agreement.whole() { Exit::Reached } else { Exit::NotReached }))
}

/// Asks a pod, once it is known that this is allowed.
pub(in crate::cli::engine) async fn told(scene: &Scene, pod: &Name) -> Result<Told, Trouble> {
    let cluster = scene.world.cluster.clone()?;
    for permission in cluster.permissions(Ask::EXEC.to_vec()).await? {
        if permission.allowed != Some(true) {
            let (verb, _, resource, sub) = permission.ask.attributes();
            let stands = if permission.allowed.is_none() { "not known to be allowed" } else { "not allowed" };
            let what = say!("`{} {}/{}` is {}, so nothing was started in pod/{}", verb, resource, sub, stands, pod);
            return Err(Trouble::new(TroubleKind::Forbidden, what)
                .remedy(Clean::ours("ask for it in this namespace; nothing else needs it")));
        }
    }
    Ok(Told::new(cluster.listing(pod).await?, &scene.setting.catalog))
}

fn lines(told: &Told) -> String {
    let Listing { pod, container, image, digest, found } = &told.listing;
    let unknown = || Clean::ours("unknown");
    let mut lines = vec![
        ("pod", say!("{}, container {}", pod, container)),
        ("image", say!("{}", image)),
        ("digest", digest.clone().unwrap_or_else(unknown)),
        ("LiteLLM", found.litellm.as_ref().map_or_else(unknown, |version| say!("{}, as it says itself", version))),
        ("package", found.package.map_or_else(unknown, |version| say!("{}, as it says itself", version))),
        ("folder", found.folder.clone()),
        ("migrations", told.words.clone()),
    ];
    let named = |names: &[MigrationName], what: &'static str| {
        names.iter().map(|name| ("", say!("  {} {}", what, name))).collect::<Vec<_>>()
    };
    lines.extend(named(&told.agreement.extra, "only here:"));
    lines.extend(named(&told.agreement.lacks, "missing here:"));
    lines.extend(named(&told.agreement.other, "another content:"));
    lines.iter().map(|(head, words)| format!("{head:<13} {words}\n")).collect()
}
