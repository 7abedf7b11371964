//! `catalog show`: what is known in all, or of one version of LiteLLM.

use std::collections::BTreeMap;

use color_eyre::eyre;
use jiff::civil::Date;
use serde::Serialize;

use crate::cli::catalog_file::{self, Current};
use crate::cli::command::{Asked, Format};
use crate::cli::engine::Outcome;
use crate::cli::exit::Exit;
use crate::cli::output::{self, json};
use crate::domain::catalog::{Absent, Catalog, Known, Origin, Package, PackageVersion, Pin, Reading, Release, Startup};
use crate::domain::effects::{Effect, Weight, weight};
use crate::domain::name::MigrationName;
use crate::text::{Clean, Gate};

/// All of it, or one version.
pub(in crate::cli::engine) fn show(asked: Option<&Asked>, format: Format, gate: &Gate) -> eyre::Result<Outcome> {
    let current = catalog_file::current(gate);
    let exit = match asked {
        None => {
            let about = About::of(&current);
            match format {
                Format::Json => output::print(&json(&about)?)?,
                Format::Text => output::print(&about.lines(gate))?,
            }
            Exit::Reached
        }
        Some(asked) => {
            let told = Told::of(asked, &current);
            match format {
                Format::Json => output::print(&json(&told)?)?,
                Format::Text => output::print(&told.lines(asked))?,
            }
            if told.known == "unknown" { Exit::NotReached } else { Exit::Reached }
        }
    };
    Ok(Ok(exit))
}

/// The catalog in all.
#[derive(Serialize)]
struct About<'a> {
    made: Date,
    #[serde(flatten)]
    origin: &'a Origin,
    litellm: Counted,
    packages: Counted,
    migrations: usize,
    contents: usize,
    absent: &'a [Absent],
}

/// How many, from which to which.
#[derive(Serialize)]
struct Counted {
    count: usize,
    oldest: Option<Clean>,
    newest: Option<Clean>,
}

impl Counted {
    fn of<T>(versions: impl DoubleEndedIterator<Item = T>, word: fn(T) -> Clean) -> Self {
        let all: Vec<Clean> = versions.map(word).collect();
        Self { count: all.len(), oldest: all.first().cloned(), newest: all.last().cloned() }
    }

    fn words(&self) -> Clean {
        match (&self.oldest, &self.newest) {
            (Some(oldest), Some(newest)) => say!("{}, {} to {}", self.count, oldest, newest),
            _ => Clean::ours("none"),
        }
    }
}

impl<'a> About<'a> {
    fn of(Current { catalog, origin }: &'a Current) -> Self {
        Self {
            made: catalog.made(),
            origin,
            litellm: Counted::of(catalog.releases().iter(), |release| say!("{}", release.version)),
            packages: Counted::of(catalog.packages(), |package| say!("{}", package.version)),
            migrations: catalog.all_editions().count(),
            contents: catalog.all_editions().map(|(_, editions)| editions.len()).sum(),
            absent: catalog.absent(),
        }
    }

    fn lines(&self, gate: &Gate) -> String {
        let mut text = format!(
            "catalog       of {}, {}\nLiteLLM       {}\npackages      {}\nmigrations    {} names, {} contents\n",
            self.made,
            self.origin.words(),
            self.litellm.words(),
            self.packages.words(),
            self.migrations,
            self.contents
        );
        for (at, absent) in self.absent.iter().enumerate() {
            let head = if at == 0 { "absent" } else { "" };
            let (package, version) = (gate.clean(&absent.package), gate.clean(&absent.version));
            text.push_str(&format!("{head:<13} {package} {version} is listed and cannot be had\n"));
        }
        text
    }
}

/// What is known of one version.
#[derive(Serialize)]
struct Told<'a> {
    asked: Clean,
    version: Clean,
    known: &'static str,
    /// The published version that the rest is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<Entry<'a>>,
    /// For an unknown version: the newest known one below it, and the oldest above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<Nearest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    may_differ: Option<Clean>,
    catalog: Date,
}

#[derive(Serialize)]
struct Nearest {
    below: Option<Clean>,
    above: Option<Clean>,
}

/// One published version.
#[derive(Serialize)]
struct Entry<'a> {
    version: Clean,
    pin: Pin,
    /// What the pin brings, oldest first.
    packages: Vec<Brought<'a>>,
    pods: Startup,
    job: Startup,
    reading: &'a Reading,
}

/// One package that it may bring.
#[derive(Serialize)]
struct Brought<'a> {
    package: PackageVersion,
    migrations: usize,
    newest: Option<&'a MigrationName>,
    /// Those that do more than add.
    heavy: Vec<Heavy<'a>>,
}

#[derive(Clone, Serialize)]
struct Heavy<'a> {
    name: &'a MigrationName,
    weight: Weight,
    does: Vec<Clean>,
}

impl<'a> Told<'a> {
    fn of(asked: &Asked, current: &'a Current) -> Self {
        let catalog = &*current.catalog;
        let word = |release: Option<&Release>| release.map(|release| say!("{}", release.version));
        let (known, release, nearest) = match catalog.release(&asked.version) {
            Known::Exactly(release) => ("exactly", Some(release), None),
            Known::BuiltOn(release) => ("built-on", Some(release), None),
            Known::Unknown { below, above } => {
                ("unknown", None, Some(Nearest { below: word(below), above: word(above) }))
            }
        };
        let may_differ = release.map(|release| may_differ(asked, release));
        Self {
            asked: asked.words.clone(),
            version: say!("{}", asked.version),
            known,
            release: release.map(|release| Entry::of(release, catalog)),
            nearest,
            may_differ,
            catalog: catalog.made(),
        }
    }

    fn lines(&self, asked: &Asked) -> String {
        let mut lines = vec![("LiteLLM", self.version.clone())];
        if asked.words != self.version {
            lines.push(("asked", asked.words.clone()));
        }
        lines.push(("known", self.known_words()));
        if let Some(release) = &self.release {
            lines.extend(release.lines());
        }
        lines.extend(self.may_differ.iter().map(|words| ("images", words.clone())));
        lines.push(("catalog", say!("of {}", self.catalog)));
        lines.iter().map(|(head, words)| format!("{head:<13} {words}\n")).collect()
    }

    fn known_words(&self) -> Clean {
        match (&self.release, &self.nearest) {
            (Some(_), _) if self.known == "exactly" => Clean::ours("published under this very version"),
            (Some(release), _) => {
                say!("not published; its name says that it is built on {}, which follows", release.version)
            }
            (None, nearest) => {
                let near = nearest.as_ref().map(|near| (&near.below, &near.above));
                match near {
                    Some((Some(below), Some(above))) => say!("no: it lies between {} and {}", below, above),
                    Some((Some(below), None)) => {
                        say!("no: the newest known one is {}; `lastgood catalog refresh` asks for newer ones", below)
                    }
                    Some((None, Some(above))) => say!("no: the oldest known one is {}", above),
                    _ => Clean::ours("no: the catalog is empty"),
                }
            }
        }
    }
}

impl<'a> Entry<'a> {
    fn of(release: &'a Release, catalog: &'a Catalog) -> Self {
        Self {
            version: say!("{}", release.version),
            pin: release.pin,
            packages: catalog.packages_of(release.pin).map(|package| Brought::of(package, catalog)).collect(),
            pods: release.pods,
            job: release.job,
            reading: &release.reading,
        }
    }

    fn lines(&self) -> Vec<(&'static str, Clean)> {
        let mut lines = vec![("package", self.pinned())];
        lines.extend([
            ("pods", Clean::ours(self.pods.words())),
            ("job", Clean::ours(self.job.words())),
            ("by", by(self.reading)),
        ]);
        let (Some(oldest), Some(newest)) = (self.packages.first(), self.packages.last()) else { return lines };
        let last = newest.newest.map_or(Clean::ours("none"), |name| say!("{}", name));
        let count = match oldest.migrations == newest.migrations {
            true => say!("{}; newest {}", newest.migrations, last),
            false => say!("{} to {}, as the package is; newest {}", oldest.migrations, newest.migrations, last),
        };
        lines.push(("migrations", count));
        let heavy: BTreeMap<_, _> =
            self.packages.iter().flat_map(|brought| &brought.heavy).map(|heavy| (heavy.name, heavy)).collect();
        let words = match heavy.len() {
            0 => Clean::ours("all of them only add"),
            1 => Clean::ours("1 does more than add:"),
            count => say!("{} do more than add:", count),
        };
        lines.push(("", words));
        for heavy in heavy.values() {
            lines.push(("", say!("  {} ({}): {}", heavy.name, heavy.weight.word(), heavy.first(2))));
        }
        lines
    }

    fn pinned(&self) -> Clean {
        let none = || Clean::ours("; the catalog has none of them");
        match self.pin {
            Pin::Exactly(version) if self.packages.is_empty() => say!("{}{}", version, none()),
            Pin::Exactly(version) => say!("{}", version),
            Pin::Range { from, below } => {
                let known = match (self.packages.first(), self.packages.last()) {
                    (Some(first), Some(last)) => {
                        say!("; {} are known, {} to {}", self.packages.len(), first.package, last.package)
                    }
                    _ => none(),
                };
                say!("any from {} to below {}, as the day of the image's build decided{}", from, below, known)
            }
            Pin::Nothing => Clean::ours("none: it is older than the package that carries the migrations"),
        }
    }
}

impl Heavy<'_> {
    /// Its first few statements, then how many more there are.
    fn first(&self, most: usize) -> Clean {
        let first = self.does.iter().take(most).cloned();
        let first = first.reduce(|all, one| say!("{}; {}", all, one)).unwrap_or_default();
        match self.does.len().saturating_sub(most) {
            0 => first,
            more => say!("{}; and {} more", first, more),
        }
    }
}

impl<'a> Brought<'a> {
    fn of(package: &'a Package, catalog: &'a Catalog) -> Self {
        let heavy = package.migrations.iter().filter_map(|(name, number)| {
            let effects = &catalog.editions(name).get(*number)?.effects;
            let whole = weight(effects);
            let does = || effects.iter().filter(|effect| effect.weight() > Weight::Additive).map(Effect::sentence);
            (whole > Weight::Additive).then(|| Heavy { name, weight: whole, does: does().collect() })
        });
        Self {
            package: package.version,
            migrations: package.migrations.len(),
            newest: package.migrations.keys().next_back(),
            heavy: heavy.collect(),
        }
    }
}

/// How the start-up is known.
fn by(reading: &Reading) -> Clean {
    match reading {
        Reading::Read => Clean::ours("read in its own package"),
        Reading::Between(below, above) => {
            say!("concluded: {} and {} were read; where they differ, the more dangerous is said", below, above)
        }
        Reading::Beyond(nearest) => say!("assumed, as {} does, the nearest that was read", nearest),
        Reading::Nothing => Clean::ours("nothing near it was read, so the most dangerous is said"),
    }
}

/// What may be otherwise in an image of this version.
fn may_differ(asked: &Asked, release: &Release) -> Clean {
    match (release.pin, release.version == asked.version) {
        (_, false) => say!("what differs from {} is unknown", release.version),
        (Pin::Range { .. }, true) => Clean::ours(
            "each has one package of that range; images are built from the repository and may differ from it",
        ),
        (_, true) => Clean::ours("they are built from the repository and may differ from the published package"),
    }
}
