//! Puts a catalog together from what was published.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use sha2::Digest as _;

use super::startup::{Asked, Asks, Code};
use super::{Absent, Catalog, Edition, Package, PackageVersion, Pin, Reading, Release, Startup, order, startup};
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
    /// `utils.py`.
    pub utils: String,
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
    /// Known already, and left as they are.
    releases: Vec<Release>,
    fresh: Vec<(Version, Pin)>,
    packages: Vec<Package>,
    codes: BTreeMap<PackageVersion, Code>,
    unread: Vec<PackageVersion>,
    asks: Vec<(Version, Option<Asks>)>,
    editions: BTreeMap<MigrationName, Vec<Edition>>,
}

impl Draft {
    /// Begins with what is known already.
    pub fn from(known: &Catalog) -> Self {
        Self {
            releases: known.releases.clone(),
            packages: known.packages.values().cloned().collect(),
            codes: known.codes.clone(),
            editions: known.editions.clone(),
            ..Self::default()
        }
    }

    /// Whether this version of the package is in it.
    pub fn has_package(&self, version: PackageVersion) -> bool {
        self.packages.iter().any(|package| package.version == version)
    }

    /// Whether this version of LiteLLM is in it.
    pub fn has_release(&self, version: &Version) -> bool {
        let known = self.releases.iter().map(|release| &release.version);
        known.chain(self.fresh.iter().map(|(version, _)| version)).any(|known| known == version)
    }

    /// Adds a version of LiteLLM. What it does when it starts is concluded at the end.
    pub fn release(&mut self, version: Version, pin: Pin) {
        self.fresh.push((version, pin));
    }

    /// Adds what was read of the code of a version of LiteLLM; `None` where it was not understood.
    pub fn asks(&mut self, version: Version, asks: Option<Asks>) {
        self.asks.push((version, asks));
    }

    /// Adds a version of the package.
    ///
    /// # Errors
    /// Its `schema.prisma` could not be read; nothing was added.
    pub fn package(&mut self, version: PackageVersion, contents: &Contents) -> Result<(), Unfit> {
        let described = contents.schema.as_deref().map(prisma::read).transpose();
        let described = described.map_err(|what| Unfit { package: version, what })?;
        // The two oldest have no such code. What is not read is taken for the worst.
        match startup::code(&contents.utils) {
            Ok(code) => drop(self.codes.insert(version, code)),
            Err(_) => self.unread.push(version),
        }
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

    /// Packages that were added and whose code was not understood.
    pub fn unread(&self) -> impl Iterator<Item = PackageVersion> + '_ {
        self.unread.iter().copied()
    }

    /// The catalog, as it was published on this day.
    pub fn finish(mut self, made: Date, mut absent: Vec<Absent>) -> Catalog {
        absent.sort();
        let fresh = self.fresh.iter().map(|(version, pin)| {
            let (pods, job, reading) = self.concluded(version, *pin);
            Release { version: version.clone(), pin: *pin, pods, job, reading }
        });
        let fresh: Vec<_> = fresh.collect();
        self.releases.extend(fresh);
        Catalog::new(self.releases, self.packages, self.editions).with_codes(self.codes).on(made, absent)
    }

    /// What a release does when it starts: as its own code has it, else as the nearest read ones
    /// on both sides have it, with the packages that it pins itself.
    fn concluded(&self, version: &Version, pin: Pin) -> (Startup, Startup, Reading) {
        let worst = (Startup::Pushes, Startup::Pushes);
        if let Some((_, asks)) = self.asks.iter().find(|(read, _)| read == version) {
            let reading = if asks.is_some() { Reading::Read } else { Reading::Nothing };
            let (pods, job) = asks.map_or(worst, |asks| self.with(pin, asks));
            return (pods, job, reading);
        }
        let side = |wanted: Ordering| {
            let asked = self.asks.iter().map(|(read, asks)| (read, asks.map_or(worst, |asks| self.with(pin, asks))));
            let known = self.releases.iter().filter(|known| known.reading == Reading::Read);
            let all = asked.chain(known.map(|known| (&known.version, (known.pods, known.job))));
            all.filter(move |(read, _)| read.partial_cmp(&version) == Some(wanted))
        };
        let nearer = |a: &Version, b: &Version| order(a, b);
        let below = side(Ordering::Less).max_by(|(a, _), (b, _)| nearer(a, b));
        let above = side(Ordering::Greater).min_by(|(a, _), (b, _)| nearer(a, b));
        match (below, above) {
            (Some((below, (pods, job))), Some((above, (later, later_job)))) => {
                (pods.max(later), job.max(later_job), Reading::Between(below.clone(), above.clone()))
            }
            (Some((nearest, (pods, job))), None) | (None, Some((nearest, (pods, job)))) => {
                (pods, job, Reading::Beyond(nearest.clone()))
            }
            (None, None) => (Startup::Pushes, Startup::Pushes, Reading::Nothing),
        }
    }

    /// What comes of what is asked for, with the most dangerous of the packages that a pin takes.
    fn with(&self, pin: Pin, asks: Asks) -> (Startup, Startup) {
        let mut codes: Vec<Code> =
            self.codes.iter().filter(|(version, _)| pin.takes(**version)).map(|(_, code)| *code).collect();
        // A package that was never published, or is absent: its neighbours.
        if let (true, Pin::Exactly(wanted)) = (codes.is_empty(), pin) {
            let (below, above) = (self.codes.range(..wanted).next_back(), self.codes.range(wanted..).next());
            codes.extend([below, above].into_iter().flatten().map(|(_, code)| *code));
        }
        let worst =
            |asked: Asked| codes.iter().map(|code| code.startup(asked)).max().unwrap_or(Code::WORST.startup(asked));
        (worst(asks.pods), worst(asks.job))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::startup::{Baseline, Migrating};

    #[test]
    fn what_lies_between_two_that_were_read_is_concluded_from_both_with_its_own_packages() {
        let version = |raw: &str| raw.parse::<Version>().unwrap();
        let package = |raw: &str| raw.parse::<PackageVersion>().unwrap();
        let way = |startup| Migrating { startup, baseline: Baseline::Syncs };
        let mut draft = Draft::default();
        for (raw, startup) in [("0.1.0", Startup::Deploys), ("0.2.0", Startup::DeploysThenSyncs)] {
            let (version, migrations) = (package(raw), BTreeMap::new());
            draft.packages.push(Package { version, migrations, schema: Schema::default().into() });
            draft.codes.insert(version, Code { older: way(startup), newer: None });
        }
        let exactly = |raw: &str| Pin::Exactly(package(raw));
        let range = Pin::Range { from: package("0.1.0"), below: package("0.3.0") };
        let pins = [
            ("1.0.0", exactly("0.1.0")),
            ("1.1.0", exactly("0.1.0")),
            ("1.2.0", exactly("0.1.0")),
            ("1.3.0", exactly("0.2.0")),
            ("1.4.0rc1", range),
            ("1.4.0", exactly("0.1.0")),
            ("1.5.0", exactly("0.1.0")),
            ("1.6.0", exactly("0.9.0")),
        ];
        for (raw, pin) in pins {
            draft.release(version(raw), pin);
        }
        let asks = |asked| Some(Asks { pods: asked, job: Asked::Older });
        draft.asks(version("1.1.0"), asks(Asked::Push));
        draft.asks(version("1.4.0"), asks(Asked::Older));
        draft.asks(version("1.5.0"), None);
        let catalog = draft.finish(Date::default(), vec![]);
        let found: Vec<_> = catalog.releases().iter().map(|one| (one.pods, one.job, one.reading.clone())).collect();
        use Startup::{Deploys, DeploysThenSyncs, Pushes};
        let between = || Reading::Between(version("1.1.0"), version("1.4.0"));
        let expected = [
            (Pushes, Deploys, Reading::Beyond(version("1.1.0"))),
            (Pushes, Deploys, Reading::Read),
            (Pushes, Deploys, between()),
            (Pushes, DeploysThenSyncs, between()),
            (Pushes, DeploysThenSyncs, between()),
            (Deploys, Deploys, Reading::Read),
            (Pushes, Pushes, Reading::Nothing),
            (Pushes, Pushes, Reading::Beyond(version("1.5.0"))),
        ];
        assert_eq!(found, expected);
        // A newer version that comes later is concluded from what is known already.
        let mut later = Draft::from(&catalog);
        later.release(version("1.4.1"), exactly("0.2.0"));
        let catalog = later.finish(Date::default(), vec![]);
        let found = catalog.releases().iter().find(|release| release.version == version("1.4.1")).unwrap();
        assert_eq!((found.pods, found.reading.clone()), (Deploys, Reading::Beyond(version("1.4.0"))));
    }
}
