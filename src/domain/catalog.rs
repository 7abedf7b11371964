//! The catalog: which migrations belong to which version of LiteLLM, what each does, what each
//! version knows of the schema, and what its pods do to the schema when they start.
//!
//! LiteLLM pins a version of `litellm-proxy-extras`, the package that carries the migrations and
//! the code that applies them. The published images are built from the repository and may differ
//! from the published package, so what the catalog says of an image is what its version published.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::effects::Effect;
use crate::domain::image::Version;
use crate::domain::name::{BadName, MigrationName};
use crate::domain::schema::Schema;
use crate::text::Safe;

/// A version of `litellm-proxy-extras`: three numbers, and the number of a post-release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageVersion {
    numbers: [u32; 3],
    post: Option<u32>,
}

impl FromStr for PackageVersion {
    type Err = BadName;
    fn from_str(raw: &str) -> Result<Self, BadName> {
        let read = || {
            let (numbers, post) = match raw.split_once(".post") {
                Some((numbers, post)) => (numbers, Some(post.parse().ok()?)),
                None => (raw, None),
            };
            let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
            let numbers = [parts.next()??, parts.next()??, parts.next()??];
            parts.next().is_none().then_some(Self { numbers, post })
        };
        read().ok_or(BadName { what: "a package version", rule: "like 0.4.110 or 0.4.84.post1" })
    }
}

impl TryFrom<String> for PackageVersion {
    type Error = BadName;
    fn try_from(raw: String) -> Result<Self, BadName> {
        raw.parse()
    }
}

impl From<PackageVersion> for String {
    fn from(version: PackageVersion) -> String {
        version.to_string()
    }
}

impl fmt::Display for PackageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        self.post.map_or(Ok(()), |post| write!(f, ".post{post}"))
    }
}

impl Safe for PackageVersion {}

/// Which version of the package a version of LiteLLM asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pin {
    /// Exactly this one.
    Exactly(PackageVersion),
    /// At least `from` and below `below`: which one an image has depends on the day it was built.
    Range {
        /// The oldest that it takes.
        from: PackageVersion,
        /// The oldest that it does not take any more.
        below: PackageVersion,
    },
    /// None: the version is older than the package.
    Nothing,
}

/// How something in the catalog is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Read in the version's own package.
    Read,
    /// Concluded: it lies between two versions that were read and say the same.
    Between(Version, Version),
}

/// What code does to the schema when it starts, unless `DISABLE_SCHEMA_UPDATE` is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Startup {
    /// `prisma migrate deploy`, and nothing after it: pending migrations only.
    Deploys,
    /// Deploys, then executes the difference between the database and its own schema, unless
    /// there was nothing pending.
    DeploysThenSyncsIfPending,
    /// Deploys, then executes the difference between the database and its own schema: drops
    /// every table and column that it does not know.
    DeploysThenSyncs,
    /// `prisma db push --accept-data-loss`: drops every table and column that it does not know.
    Pushes,
}

/// A version of LiteLLM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The version.
    pub version: Version,
    /// The package that it asks for.
    pub pin: Pin,
    /// What its pods do to the schema when they start with no argument and no variable about it.
    pub pods: Startup,
    /// What its migration Job (`litellm/proxy/prisma_migration.py`) does.
    pub job: Startup,
    /// How `pods` and `job` are known.
    pub reading: Reading,
}

/// One content of a migration's file. The same name has had several: most have been rewritten once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// SHA-256 of the file, in hexadecimal: the checksum that Prisma writes into the row.
    pub checksum: String,
    /// The oldest package with this content.
    pub first: PackageVersion,
    /// The newest package with this content.
    pub last: PackageVersion,
    /// What its statements do, in order.
    pub effects: Vec<Effect>,
}

/// A version of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The version.
    pub version: PackageVersion,
    /// Its migrations, each with the index of its edition in [`Catalog::editions`].
    pub migrations: BTreeMap<MigrationName, usize>,
    /// What its `schema.prisma` knows: tables, columns, indexes, enumerated types.
    pub schema: Schema,
}

/// What is known of a version of LiteLLM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known<'a> {
    /// It is in the catalog.
    Exactly(&'a Release),
    /// It is not; the nearest ones that are.
    Unknown {
        /// The newest one below it.
        below: Option<&'a Release>,
        /// The oldest one above it.
        above: Option<&'a Release>,
    },
}

/// The catalog. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    releases: Vec<Release>,
    packages: BTreeMap<PackageVersion, Package>,
    editions: BTreeMap<MigrationName, Vec<Edition>>,
}

impl Catalog {
    /// Puts a catalog together. Releases may come in any order.
    pub fn new(
        mut releases: Vec<Release>,
        packages: Vec<Package>,
        editions: BTreeMap<MigrationName, Vec<Edition>>,
    ) -> Self {
        releases.sort_by(|a, b| order(&a.version, &b.version));
        let packages = packages.into_iter().map(|package| (package.version, package)).collect();
        Self { releases, packages, editions }
    }

    /// Every version of LiteLLM, oldest first.
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// What is known of a version. A nightly, a candidate or a build of somebody's own is known
    /// only when it was published under that very version.
    pub fn release(&self, version: &Version) -> Known<'_> {
        if let Some(release) =
            self.releases.iter().find(|release| release.version.partial_cmp(version) == Some(Ordering::Equal))
        {
            return Known::Exactly(release);
        }
        let below =
            self.releases.iter().rev().find(|release| release.version.partial_cmp(version) == Some(Ordering::Less));
        let above =
            self.releases.iter().find(|release| release.version.partial_cmp(version) == Some(Ordering::Greater));
        Known::Unknown { below, above }
    }

    /// A version of the package.
    pub fn package(&self, version: PackageVersion) -> Option<&Package> {
        self.packages.get(&version)
    }

    /// The packages that a pin may bring, oldest first.
    pub fn packages_of(&self, pin: Pin) -> impl Iterator<Item = &Package> {
        let (from, below) = match pin {
            Pin::Exactly(version) => (Some(version), None),
            Pin::Range { from, below } => (Some(from), Some(below)),
            Pin::Nothing => (None, None),
        };
        self.packages.values().filter(move |package| match (from, below) {
            (Some(only), None) => package.version == only,
            (Some(from), Some(below)) => (from..below).contains(&package.version),
            (None, _) => false,
        })
    }

    /// Every content that a migration's file has had, oldest first. Empty for a name that no
    /// published package has.
    pub fn editions(&self, name: &MigrationName) -> &[Edition] {
        self.editions.get(name).map_or(&[], Vec::as_slice)
    }

    /// The edition that a row's checksum tells.
    pub fn edition(&self, name: &MigrationName, checksum: &str) -> Option<&Edition> {
        self.editions(name).iter().find(|edition| edition.checksum == checksum)
    }

    /// The oldest version of LiteLLM that pins a package with this migration.
    pub fn brought_by(&self, name: &MigrationName) -> Option<&Release> {
        self.releases.iter().find(|release| {
            self.packages_of(release.pin).next().is_some_and(|package| package.migrations.contains_key(name))
        })
    }
}

/// Versions in a total order: those that cannot be compared stand as their spelling says.
fn order(a: &Version, b: &Version) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.to_string().cmp(&b.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(version: &str, migrations: &[&str]) -> Package {
        Package {
            version: version.parse().unwrap(),
            migrations: migrations.iter().map(|name| (name.parse().unwrap(), 0)).collect(),
            schema: Schema::default(),
        }
    }

    fn release(version: &str, pin: Pin) -> Release {
        let version = version.parse().unwrap();
        Release { version, pin, pods: Startup::Deploys, job: Startup::Deploys, reading: Reading::Read }
    }

    fn exactly(version: &str) -> Pin {
        Pin::Exactly(version.parse().unwrap())
    }

    fn sample() -> Catalog {
        let range = Pin::Range { from: "0.4.60".parse().unwrap(), below: "0.5.0".parse().unwrap() };
        Catalog::new(
            vec![release("1.83.10", exactly("0.4.67")), release("1.82.6", range), release("1.81.0", exactly("0.4.23"))],
            vec![package("0.4.23", &["a"]), package("0.4.60", &["a", "b"]), package("0.4.67", &["a", "b", "c"])],
            BTreeMap::new(),
        )
    }

    #[test]
    fn an_unknown_version_is_told_with_its_neighbours() {
        let catalog = sample();
        assert!(matches!(catalog.release(&"main-v1.81.0-stable".parse().unwrap()), Known::Exactly(_)));
        let Known::Unknown { below, above } = catalog.release(&"v1.82.0".parse().unwrap()) else { panic!() };
        let numbers = |release: Option<&Release>| release.map(|release| release.version.to_string());
        assert_eq!((numbers(below).as_deref(), numbers(above).as_deref()), (Some("1.81.0"), Some("1.82.6")));
    }

    #[test]
    fn a_range_brings_several_packages_and_the_oldest_decides_who_brought_a_migration() {
        let catalog = sample();
        let Known::Exactly(ranged) = catalog.release(&"1.82.6".parse().unwrap()) else { panic!() };
        let brought: Vec<_> = catalog.packages_of(ranged.pin).map(|package| package.version.to_string()).collect();
        assert_eq!(brought, ["0.4.60", "0.4.67"]);
        let by = |name: &str| catalog.brought_by(&name.parse().unwrap()).map(|release| release.version.to_string());
        assert_eq!(by("b").as_deref(), Some("1.82.6"));
        assert_eq!(by("c").as_deref(), Some("1.83.10"));
        assert_eq!(by("d"), None);
    }

    #[test]
    fn package_versions_are_ordered_by_number() {
        let parsed = |raw: &str| raw.parse::<PackageVersion>().unwrap();
        assert!(parsed("0.4.9") < parsed("0.4.84"));
        assert!(parsed("0.4.84") < parsed("0.4.84.post1"));
        assert!(parsed("0.4.84.post1") < parsed("0.4.85"));
        assert!("0.4".parse::<PackageVersion>().is_err());
        assert!("0.4.1.2".parse::<PackageVersion>().is_err());
    }
}
