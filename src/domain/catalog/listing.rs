//! What an image really holds, as one of its running pods told it, against what was published.
//!
//! The published images are built from LiteLLM's repository and not from its packages, so that the
//! folder of migrations inside one is the only truth about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Catalog, Known, Package, PackageVersion};
use crate::domain::image::{Image, Version};
use crate::domain::name::{BadName, MigrationName, Name};
use crate::text::{Clean, Gate, Safe};

/// The script that lists the migrations of the Python that runs it: one JSON object on standard
/// output. It imports nothing of LiteLLM's, writes nothing, and leaves the working folder aside,
/// which in LiteLLM's images holds a copy of the repository.
pub const SCRIPT: &str = r#"import sys
sys.path[:] = [p for p in sys.path if p]
sys.dont_write_bytecode = True
import hashlib, importlib.metadata, importlib.util, json, os
def version(of):
    try:
        return importlib.metadata.version(of)
    except Exception:
        return None
found = importlib.util.find_spec("litellm_proxy_extras")
if found is None:
    sys.exit("this Python has no litellm_proxy_extras")
folder = os.path.join(list(found.submodule_search_locations)[0], "migrations")
files = {}
for name in os.listdir(folder):
    file = os.path.join(folder, name, "migration.sql")
    if os.path.isfile(file):
        with open(file, "rb") as sql:
            files[name] = hashlib.sha256(sql.read()).hexdigest()
json.dump({"litellm": version("litellm"), "package": version("litellm-proxy-extras"), "folder": folder, "migrations": files}, sys.stdout)
"#;

/// SHA-256 of a migration's file, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Checksum(String);

impl Checksum {
    /// As it is compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new(raw: &str) -> Option<Self> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (raw.len() == 64 && raw.bytes().all(hex)).then(|| Self(raw.to_owned()))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Safe for Checksum {}

/// What a container of a pod holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The pod.
    pub pod: Name,
    /// The container.
    pub container: Name,
    /// Its image, as the pod's spec names it.
    pub image: Image,
    /// The digest that the node pulled: what the listing holds for, beyond this pod.
    pub digest: Option<Clean>,
    /// What was found in it.
    pub found: Found,
}

/// What the script found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The version of LiteLLM that is installed, as far as its metadata tells.
    pub litellm: Option<Version>,
    /// The version of the migration package, as far as its metadata tells.
    pub package: Option<PackageVersion>,
    /// The folder of the migrations.
    pub folder: Clean,
    /// The migrations, each with its checksum.
    pub migrations: BTreeMap<MigrationName, Checksum>,
    /// How many have a name or a checksum that cannot be used.
    pub unreadable: usize,
}

/// What the script prints.
#[derive(Deserialize)]
struct Printed {
    litellm: Option<String>,
    package: Option<String>,
    folder: String,
    migrations: BTreeMap<String, String>,
}

impl Found {
    /// What an image with exactly this package holds.
    pub fn published(package: &Package, catalog: &Catalog) -> Self {
        let checksum = |(name, number): (&MigrationName, &usize)| {
            let edition = catalog.editions(name).get(*number)?;
            Some((name.clone(), Checksum::new(&edition.checksum)?))
        };
        Self {
            litellm: None,
            package: Some(package.version),
            folder: Clean::ours("site-packages/litellm_proxy_extras/migrations"),
            migrations: package.migrations.iter().filter_map(checksum).collect(),
            unreadable: 0,
        }
    }

    /// Reads what [`SCRIPT`] printed.
    ///
    /// # Errors
    /// It is something else.
    pub fn read(printed: &[u8], gate: &Gate) -> Result<Self, BadName> {
        let bad = BadName { what: "a list of migrations", rule: "one JSON object, as the script prints it" };
        let Printed { litellm, package, folder, migrations } = serde_json::from_slice(printed).map_err(|_| bad)?;
        let all = migrations.len();
        let named = migrations.into_iter().filter_map(|(name, sum)| Some((name.parse().ok()?, Checksum::new(&sum)?)));
        let migrations: BTreeMap<MigrationName, Checksum> = named.collect();
        Ok(Self {
            litellm: litellm.and_then(|raw| raw.parse().ok()),
            package: package.and_then(|raw| raw.parse().ok()),
            folder: gate.clean(&folder),
            unreadable: all - migrations.len(),
            migrations,
        })
    }
}

/// How a listing and the published packages agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Agreement {
    /// The package that is nearest to it, among those that its version pins; where the version is
    /// not known, among all. `None`: there is none to compare with.
    pub package: Option<PackageVersion>,
    /// What that package does not have.
    pub extra: Vec<MigrationName>,
    /// What only that package has.
    pub lacks: Vec<MigrationName>,
    /// What has another content than in that package.
    pub other: Vec<MigrationName>,
    /// Another package that is exactly this, where the nearest is not.
    pub exactly: Option<PackageVersion>,
}

impl Agreement {
    /// Whether the image holds exactly what its version published.
    pub fn whole(&self) -> bool {
        self.package.is_some() && self.differences() == 0
    }

    fn differences(&self) -> usize {
        self.extra.len() + self.lacks.len() + self.other.len()
    }

    /// In one sentence, after the number of migrations.
    pub fn sentence(&self) -> Clean {
        let Some(package) = self.package else { return Clean::ours("no published package to compare them with") };
        if self.whole() {
            return say!("exactly those of package {}", package);
        }
        let of = |names: &[MigrationName], what: &'static str| {
            let (first, more) = (names.first()?, names.len() - 1);
            let more = if more > 0 { say!(" and {} more", more) } else { Clean::default() };
            Some(say!("{} {} ({}{})", names.len(), what, first, more))
        };
        let parts = [
            of(&self.extra, "that it does not have"),
            of(&self.lacks, "of it missing"),
            of(&self.other, "with another content"),
        ];
        let parts = parts.into_iter().flatten().reduce(|all, one| say!("{}, {}", all, one)).unwrap_or_default();
        let exactly =
            self.exactly.map_or(Clean::default(), |other| say!("; they are exactly those of package {}", other));
        say!("not those of package {}: {}{}", package, parts, exactly)
    }
}

/// A listing, compared with what was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The listing.
    #[serde(flatten)]
    pub listing: Listing,
    /// How it agrees.
    pub agreement: Agreement,
    /// How many migrations there are, and how they agree.
    pub words: Clean,
}

impl Told {
    /// Compares a listing.
    pub fn new(listing: Listing, catalog: &Catalog) -> Self {
        let agreement = listing.agreement(catalog);
        let unreadable = match listing.found.unreadable {
            0 => Clean::default(),
            some => say!(" ({} more have names that cannot be used)", some),
        };
        let words = say!("{} migrations{}, {}", listing.found.migrations.len(), unreadable, agreement.sentence());
        Self { listing, agreement, words }
    }
}

impl Listing {
    /// The version of LiteLLM that it is: by its tag, else by its own metadata.
    pub fn version(&self) -> Option<Version> {
        self.image.version().or_else(|| self.found.litellm.clone())
    }

    /// Compares it with the packages of the catalog.
    fn agreement(&self, catalog: &Catalog) -> Agreement {
        let known = self.version().map(|version| catalog.release(&version));
        let mut pinned: Vec<&Package> = match known {
            Some(Known::Exactly(release) | Known::BuiltOn(release)) => catalog.packages_of(release.pin).collect(),
            _ => Vec::new(),
        };
        if pinned.is_empty() {
            pinned = catalog.packages().collect();
        }
        let mut nearest = None;
        for package in pinned {
            let agreement = self.against(package, catalog);
            // Of those that are equally near, the one that calls itself so, else the newest.
            let rank = (agreement.differences(), Some(package.version) != self.found.package);
            if nearest.as_ref().is_none_or(|(best, _)| rank <= *best) {
                nearest = Some((rank, agreement));
            }
        }
        let nothing = Agreement { package: None, extra: vec![], lacks: vec![], other: vec![], exactly: None };
        let nearest = nearest.map_or(nothing, |(_, agreement)| agreement);
        if nearest.whole() {
            return nearest;
        }
        let mut all = catalog.packages().filter(|package| self.against(package, catalog).differences() == 0);
        Agreement { exactly: all.next_back().map(|package| package.version), ..nearest }
    }

    fn against(&self, package: &Package, catalog: &Catalog) -> Agreement {
        let here: BTreeSet<&MigrationName> = self.found.migrations.keys().collect();
        let there: BTreeSet<&MigrationName> = package.migrations.keys().collect();
        let names = |names: BTreeSet<&MigrationName>| names.into_iter().cloned().collect();
        let other = here.intersection(&there).filter(|name| {
            let edition = package.migrations.get(**name).and_then(|number| catalog.editions(name).get(*number));
            edition.map(|edition| edition.checksum.as_str()) != self.found.migrations.get(**name).map(Checksum::as_str)
        });
        Agreement {
            package: Some(package.version),
            extra: names(&here - &there),
            lacks: names(&there - &here),
            other: names(other.copied().collect()),
            exactly: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(image: &str, found: Found) -> Listing {
        let digest = Some(Clean::ours("sha256:0123"));
        Listing {
            pod: "a".parse().unwrap(),
            container: "litellm".parse().unwrap(),
            image: image.parse().unwrap(),
            digest,
            found,
        }
    }

    /// What an image with exactly this package holds.
    fn of(version: &str) -> Found {
        let catalog = Catalog::embedded();
        Found { package: None, ..Found::published(catalog.package(version.parse().unwrap()).unwrap(), catalog) }
    }

    #[test]
    fn what_the_script_prints_is_read_and_nothing_else_is() {
        let gate = Gate::default();
        let sum = "0123456789abcdef".repeat(4);
        let printed = format!(
            r#"{{"litellm": "1.81.0", "package": "0.4.23", "folder": "/x/migrations",
                "migrations": {{"20260101000000_a b": "{sum}", "bad\u001b": "{sum}", "c": "short"}}}}"#
        );
        let found = Found::read(printed.as_bytes(), &gate).unwrap();
        assert_eq!((found.migrations.len(), found.unreadable), (1, 2));
        assert_eq!(found.package.map(|package| package.to_string()).as_deref(), Some("0.4.23"));
        for printed in ["", "no json", "[]", r#"{"migrations": {}}"#, r#"{"folder": 1, "migrations": {}}"#] {
            assert!(Found::read(printed.as_bytes(), &gate).is_err(), "{printed}");
        }
    }

    #[test]
    fn an_image_is_compared_with_the_package_that_its_version_pins() {
        let catalog = Catalog::embedded();
        let same = listing("ghcr.io/berriai/litellm:v1.81.0", of("0.4.23"));
        assert!(same.agreement(catalog).whole());
        assert_eq!(Told::new(same, catalog).words.as_str(), "66 migrations, exactly those of package 0.4.23");

        // Built from the repository a little later: what the next package has is there already.
        let later = listing("ghcr.io/berriai/litellm:v1.81.0", of("0.4.27"));
        let agreement = later.agreement(catalog);
        assert_eq!(agreement.package, "0.4.23".parse().ok());
        assert!(!agreement.extra.is_empty());
        assert_eq!(agreement.exactly, "0.4.27".parse().ok());

        // A range: which of its packages it is.
        let ranged = listing("ghcr.io/berriai/litellm:v1.82.6", of("0.4.67"));
        assert_eq!(ranged.agreement(catalog).package, "0.4.67".parse().ok());

        let mut altered = of("0.4.23");
        let (first, second) = {
            let mut names = altered.migrations.keys();
            (names.next().unwrap().clone(), names.next().unwrap().clone())
        };
        altered.migrations.insert("20990101000000_own".parse().unwrap(), Checksum::new(&"a".repeat(64)).unwrap());
        altered.migrations.insert(first.clone(), Checksum::new(&"b".repeat(64)).unwrap());
        altered.migrations.remove(&second);
        let altered = listing("litellm@sha256:0123", Found { litellm: "1.81.0".parse().ok(), ..altered });
        assert_eq!(
            Told::new(altered, catalog).words.to_string(),
            format!(
                "66 migrations, not those of package 0.4.23: 1 that it does not have (20990101000000_own), \
                 1 of it missing ({second}), 1 with another content ({first})"
            )
        );
    }
}
