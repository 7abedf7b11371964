//! Puts a catalog together from what was published.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use sha2::Digest as _;

use super::{Absent, Catalog, Edition, Package, PackageVersion, Pin, Release, startup};
use crate::domain::effects::{self, Effect};
use crate::domain::image::Version;
use crate::domain::name::MigrationName;
use crate::domain::schema::{Schema, prisma};

/// What one published version of the package holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The migrations: the bytes of each file.
    pub migrations: BTreeMap<MigrationName, Vec<u8>>,
    /// `schema.prisma`. The three oldest versions came without.
    pub schema: Option<String>,
}

/// Why a published package could not be taken into the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Which one.
    pub package: PackageVersion,
    /// What in its `schema.prisma`.
    pub what: prisma::Unreadable,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema.prisma of {}: {}", self.package, self.what)
    }
}

impl std::error::Error for Unfit {}

/// A catalog that is being put together.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    releases: Vec<Release>,
    packages: Vec<Package>,
    editions: BTreeMap<MigrationName, Vec<Edition>>,
}

impl Draft {
    /// Begins with what is known already.
    pub fn from(known: &Catalog) -> Self {
        Self {
            releases: known.releases.clone(),
            packages: known.packages.values().cloned().collect(),
            editions: known.editions.clone(),
        }
    }

    /// Whether this version of the package is in it.
    pub fn has_package(&self, version: PackageVersion) -> bool {
        self.packages.iter().any(|package| package.version == version)
    }

    /// Whether this version of LiteLLM is in it.
    pub fn has_release(&self, version: &Version) -> bool {
        self.releases.iter().any(|release| release.version == *version)
    }

    /// Adds a version of LiteLLM. What it does when it starts is what was read of its code.
    pub fn release(&mut self, version: Version, pin: Pin) {
        let (pods, job, reading) = startup::of(&version);
        self.releases.push(Release { version, pin, pods, job, reading });
    }

    /// Adds a version of the package.
    ///
    /// # Errors
    /// Its `schema.prisma` could not be read; nothing was added.
    pub fn package(&mut self, version: PackageVersion, contents: &Contents) -> Result<(), Unfit> {
        let described = contents.schema.as_deref().map(prisma::read).transpose();
        let described = described.map_err(|what| Unfit { package: version, what })?;
        let mut migrations = BTreeMap::new();
        for (name, file) in &contents.migrations {
            let number = edition(self.editions.entry(name.clone()).or_default(), version, file);
            migrations.insert(name.clone(), number);
        }
        let schema = described.unwrap_or_else(|| {
            let editions = migrations.iter().filter_map(|(name, number)| self.editions.get(name)?.get(*number));
            replayed(editions.flat_map(|edition| &edition.effects))
        });
        self.packages.push(Package { version, migrations, schema: schema.into() });
        Ok(())
    }

    /// The catalog, as it was published on this day.
    pub fn finish(self, made: Date, mut absent: Vec<Absent>) -> Catalog {
        absent.sort();
        Catalog::new(self.releases, self.packages, self.editions).on(made, absent)
    }
}

/// The number of a file's content among those of its name; a new content is added.
fn edition(editions: &mut Vec<Edition>, version: PackageVersion, file: &[u8]) -> usize {
    let checksum: String = sha2::Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(number) = editions.iter().position(|edition| edition.checksum == checksum) {
        let edition = &mut editions[number];
        (edition.first, edition.last) = (edition.first.min(version), edition.last.max(version));
        return number;
    }
    let effects = std::str::from_utf8(file).map_or_else(|_| vec![Effect::Unread], effects::effects);
    editions.push(Edition { checksum, first: version, last: version, effects });
    editions.len() - 1
}

/// What is there after these statements.
pub(super) fn replayed<'a>(effects: impl Iterator<Item = &'a Effect>) -> Schema {
    let mut schema = Schema::default();
    effects.for_each(|effect| schema.apply(effect));
    schema
}
