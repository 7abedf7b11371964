//! The catalog: which migrations belong to which version of LiteLLM, what each does, what each
//! version knows of the schema, and what its pods do to the schema when they start.
//!
//! LiteLLM pins a version of `litellm-proxy-extras`, the package that carries the migrations and
//! the code that applies them. The published images are built from the repository and may differ
//! from the published package, so what the catalog says of an image is what its version published.

mod asset;
pub mod bisect;
mod consulted;
mod described;
pub mod draft;
mod listing;
mod origin;
pub mod pin;
pub mod startup;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::domain::effects::Effect;
use crate::domain::image::{Image, Version};
use crate::domain::name::{BadName, MigrationName};
use crate::domain::schema::Schema;
use crate::text::Safe;

pub use asset::Malformed;
pub use consulted::Consulted;
pub use described::Described;
pub use listing::{Agreement, Checksum, Found, Listing, SCRIPT, Told};
pub use origin::Origin;
use startup::Code;

/// A version of `litellm-proxy-extras`: three numbers, and which build of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageVersion {
    numbers: [u32; 3],
    build: Build,
}

/// In the order in which they are published (PEP 440).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Build {
    Dev(u32),
    Final,
    Post(u32),
}

impl FromStr for PackageVersion {
    type Err = BadName;
    fn from_str(raw: &str) -> Result<Self, BadName> {
        let read = || {
            let (numbers, build) = if let Some((numbers, post)) = raw.split_once(".post") {
                (numbers, Build::Post(post.parse().ok()?))
            } else if let Some((numbers, dev)) = raw.split_once(".dev") {
                (numbers, Build::Dev(dev.parse().ok()?))
            } else {
                (raw, Build::Final)
            };
            let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
            let numbers = [parts.next()??, parts.next()??, parts.next()??];
            parts.next().is_none().then_some(Self { numbers, build })
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
        match self.build {
            Build::Dev(dev) => write!(f, ".dev{dev}"),
            Build::Final => Ok(()),
            Build::Post(post) => write!(f, ".post{post}"),
        }
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

impl Pin {
    /// Whether it is content with this version.
    pub fn takes(self, version: PackageVersion) -> bool {
        match self {
            Pin::Exactly(only) => version == only,
            Pin::Range { from, below } => (from..below).contains(&version),
            Pin::Nothing => false,
        }
    }
}

/// How something in the catalog is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Read in the version's own package.
    Read,
    /// Concluded: it lies between two versions that were read. Where these differ, the more
    /// dangerous one is said.
    Between(Version, Version),
    /// Assumed: it lies beyond the last version that was read, on either side.
    Beyond(Version),
    /// Nothing near it was read: the most dangerous is said.
    Nothing,
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

impl Startup {
    /// In words, after "when it starts, it".
    pub fn words(self) -> &'static str {
        match self {
            Startup::Deploys => "applies pending migrations only (prisma migrate deploy)",
            Startup::DeploysThenSyncsIfPending => {
                "applies pending migrations, and after that makes the database equal to its own schema"
            }
            Startup::DeploysThenSyncs => {
                "applies pending migrations, and always makes the database equal to its own schema"
            }
            Startup::Pushes => "makes the database equal to its own schema (prisma db push --accept-data-loss)",
        }
    }
}

/// A version of LiteLLM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub schema: Described,
}

/// What is known of a version of LiteLLM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known<'a> {
    /// It is in the catalog.
    Exactly(&'a Release),
    /// It is not, but its name says what it was built on: a build of somebody's own, a nightly, a
    /// patch of the image alone. What differs is unknown.
    BuiltOn(&'a Release),
    /// It is not; the nearest ones that are.
    Unknown {
        /// The newest one below it.
        below: Option<&'a Release>,
        /// The oldest one above it.
        above: Option<&'a Release>,
    },
}

/// A published version that could not be read when the catalog was built: withdrawn, or missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// Of which package.
    pub package: String,
    /// Which version, as the index spells it.
    pub version: String,
}

/// The catalog. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    made: Date,
    absent: Vec<Absent>,
    releases: Vec<Release>,
    packages: BTreeMap<PackageVersion, Package>,
    codes: BTreeMap<PackageVersion, Code>,
    editions: BTreeMap<MigrationName, Vec<Edition>>,
    /// What running pods told of their images in this session; never written to a file.
    told: Vec<Told>,
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
        Self { releases, packages, editions, ..Self::default() }
    }

    /// The same, with what the code of each package does.
    pub fn with_codes(self, codes: BTreeMap<PackageVersion, Code>) -> Self {
        Self { codes, ..self }
    }

    /// The same, as it was published on this day, without what could not be read.
    pub fn on(self, made: Date, absent: Vec<Absent>) -> Self {
        Self { made, absent, ..self }
    }

    /// The file of the catalog that comes with this program.
    const EMBEDDED: &'static [u8] = include_bytes!("../../assets/catalog.json.gz");

    /// The catalog that comes with this program.
    ///
    /// A test proves that it can be read; were it not, it would know nothing.
    pub fn embedded() -> &'static Arc<Catalog> {
        static EMBEDDED: OnceLock<Arc<Catalog>> = OnceLock::new();
        let read = || Catalog::from_bytes(Catalog::EMBEDDED).unwrap_or_default();
        EMBEDDED.get_or_init(|| Arc::new(read()))
    }

    /// Takes over what a running pod told of its image.
    pub fn learn(&mut self, told: Told) {
        self.told.retain(|before| {
            (&before.listing.image, &before.listing.digest) != (&told.listing.image, &told.listing.digest)
        });
        self.told.push(told);
    }

    /// What running pods told of the image that a template names. `None` for a tag that can mean
    /// another image tomorrow, and where two pods told different things of one name.
    pub fn told_of(&self, image: &Image) -> Option<&Told> {
        let mut told = self.told.iter().filter(|told| told.listing.image == *image && !image.floats());
        let first = told.next()?;
        told.all(|other| other.listing.found.migrations == first.listing.found.migrations).then_some(first)
    }

    /// The day on which the list of published versions was read.
    pub fn made(&self) -> Date {
        self.made
    }

    /// Published versions that could not be read.
    pub fn absent(&self) -> &[Absent] {
        &self.absent
    }

    /// Every version of the package, oldest first.
    pub fn packages(&self) -> impl DoubleEndedIterator<Item = &Package> {
        self.packages.values()
    }

    /// Every version of LiteLLM, oldest first.
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// What is known of a version. A candidate is known only when it was published under that very
    /// version.
    pub fn release(&self, version: &Version) -> Known<'_> {
        let published = |version: &Version| {
            self.releases.iter().find(|release| release.version.partial_cmp(version) == Some(Ordering::Equal))
        };
        if let Some(release) = published(version) {
            return Known::Exactly(release);
        }
        if let Some(release) = std::iter::successors(version.base(), Version::base).find_map(|base| published(&base)) {
            return Known::BuiltOn(release);
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

    /// What a package's migrations make of an empty database: as far as names tell, what is there
    /// once they ran.
    pub fn built(&self, package: &Package) -> Schema {
        let editions = package.migrations.iter().filter_map(|(name, number)| self.editions.get(name)?.get(*number));
        draft::replayed(editions.flat_map(|edition| &edition.effects))
    }

    /// What is in one migration of a package.
    pub fn edition_of(&self, package: &Package, name: &MigrationName) -> Option<&Edition> {
        self.editions.get(name)?.get(*package.migrations.get(name)?)
    }

    /// The packages that a pin may bring, oldest first.
    pub fn packages_of(&self, pin: Pin) -> impl DoubleEndedIterator<Item = &Package> {
        self.packages.values().filter(move |package| pin.takes(package.version))
    }

    /// Every content that a migration's file has had, oldest first. Empty for a name that no
    /// published package has.
    pub fn editions(&self, name: &MigrationName) -> &[Edition] {
        self.editions.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every name, with every content that its file has had.
    pub fn all_editions(&self) -> impl Iterator<Item = (&MigrationName, &[Edition])> {
        self.editions.iter().map(|(name, editions)| (name, editions.as_slice()))
    }

    /// The edition that a row's checksum tells.
    pub fn edition(&self, name: &MigrationName, checksum: &str) -> Option<&Edition> {
        self.editions(name).iter().find(|edition| edition.checksum == checksum)
    }

    /// What the code of a version of the package does, where it was read.
    pub fn code(&self, version: PackageVersion) -> Option<Code> {
        self.codes.get(&version).copied()
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
    use crate::domain::effects::{Weight, weight};

    fn package(version: &str, migrations: &[&str]) -> Package {
        Package {
            version: version.parse().unwrap(),
            migrations: migrations.iter().map(|name| (name.parse().unwrap(), 0)).collect(),
            schema: crate::domain::schema::Schema::default().into(),
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
    fn a_build_of_somebodys_own_is_known_by_what_it_was_built_on() {
        let catalog = sample();
        for tag in ["main-v1.81.0-stable-custom", "v1.81.0-nightly", "v1.81.0-stable.patch.1-acme"] {
            let known = catalog.release(&tag.parse().unwrap());
            assert!(matches!(known, Known::BuiltOn(release) if release.version.to_string() == "1.81.0"), "{tag}");
        }
        assert!(matches!(catalog.release(&"v1.81.0-rc.1".parse().unwrap()), Known::Unknown { .. }));
    }

    #[test]
    fn the_embedded_catalog_knows_every_published_version() {
        let catalog = Catalog::embedded();
        assert!(catalog.packages().count() >= 171 && catalog.releases().len() >= 430);
        let of = |version: &str| catalog.package(version.parse().unwrap()).unwrap().migrations.len();
        assert_eq!(["0.1.0", "0.4.23", "0.4.60", "0.4.110"].map(of), [4, 66, 109, 220]);
        let unread = catalog.editions.values().flatten().filter(|edition| edition.effects.contains(&Effect::Unread));
        assert_eq!(unread.count(), 0, "statements of published migrations that are not read");
        let newest = catalog.package("0.4.110".parse().unwrap()).unwrap();
        let effects = |(name, number): (&MigrationName, &usize)| &catalog.editions(name)[*number].effects;
        let heavy = newest.migrations.iter().filter(|one| weight(effects(*one)) > Weight::Additive);
        assert_eq!(heavy.count(), 27, "migrations of 0.4.110 that do not only add");
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
