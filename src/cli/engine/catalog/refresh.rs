//! `catalog refresh`: adds to the catalog what was published since.

use std::collections::BTreeSet;

use crate::cli::catalog_file::{self, Current};
use crate::cli::complain;
use crate::cli::engine::Outcome;
use crate::cli::engine::catalog::{dated, fetched, whole};
use crate::cli::exit::Exit;
use crate::domain::catalog::draft::Draft;
use crate::domain::catalog::{Catalog, Origin, Pin};
use crate::text::{Clean, Gate, Many};

/// Asks for newly published versions and keeps the catalog with them in the data folder.
pub(in crate::cli::engine) async fn refresh(gate: &Gate) -> Outcome {
    let file = catalog_file::refreshed()?;
    let Current { catalog: known, origin } = catalog_file::current(gate);
    complain(&say!("the catalog of {}, {}", known.made(), origin.words()));
    let fetched = whole(fetched(Draft::from(&known), gate).await?, gate)?;
    let catalog = dated(fetched.draft, fetched.absent, &known);
    let added = added(&known, &catalog);
    added.iter().for_each(|line| complain(&say!("added {}", line)));
    let broken = matches!(origin, Origin::InPlaceOf { .. });
    if added.is_empty() && catalog == *known && !broken {
        let whose = if matches!(origin, Origin::Refreshed { .. }) { "the refreshed one" } else { "the embedded one" };
        complain(&say!("nothing newer is published; {} stays as it is", Clean::ours(whose)));
        return Ok(Exit::Reached);
    }
    catalog_file::write(&file, &catalog, gate)?;
    complain(&say!(
        "{}: {} versions of LiteLLM, {} of the package; from now on it is used in place of the embedded one",
        gate.clean(&file.display().to_string()),
        catalog.releases().len(),
        catalog.packages().count()
    ));
    Ok(Exit::Reached)
}

/// What the new catalog knows and the old one does not, a line for each.
fn added(old: &Catalog, new: &Catalog) -> Vec<Clean> {
    let known: BTreeSet<_> = old.packages().map(|package| package.version).collect();
    let packages = new.packages().filter(|package| !known.contains(&package.version));
    let packages = packages.map(|package| {
        let own = package.migrations.keys().filter(|name| old.editions(name).is_empty()).count();
        say!("package {}: {}, {} new", package.version, Many(package.migrations.len(), "migration"), own)
    });
    let releases = new.releases().iter().filter(|release| !old.releases().contains(release));
    let releases = releases.map(|release| match release.pin {
        Pin::Exactly(package) if new.package(package).is_none() => {
            say!("LiteLLM {}, whose package {} is not published: what it does is unknown", release.version, package)
        }
        _ => say!("LiteLLM {}", release.version),
    });
    packages.chain(releases).collect()
}
