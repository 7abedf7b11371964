//! The catalog's commands: built and refreshed from the published packages, and shown.

mod code;
mod learn;
mod refresh;
pub(super) mod settings;
mod show;

pub(super) use learn::{learn, told};
pub(super) use refresh::refresh;
pub(super) use show::show;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use futures::StreamExt as _;

use self::code::By;
use crate::cli::engine::Outcome;
use crate::cli::exit::Exit;
use crate::cli::{catalog_file, complain};
use crate::domain::catalog::draft::{Contents, Draft};
use crate::domain::catalog::pin::PACKAGE;
use crate::domain::catalog::{Absent, Catalog, PackageVersion, Pin};
use crate::domain::image::Version;
use crate::domain::name::MigrationName;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};
use crate::world::pip::{NotBrought, Pip};

/// LiteLLM's package.
const LITELLM: &str = "litellm";
/// The oldest version that is asked about; 1.65.1 was the first to pin the migration package.
const FIRST: [u32; 3] = [1, 64, 0];
/// How many times pip runs at the same time.
const AT_ONCE: usize = 4;

/// What came of fetching.
struct Fetched {
    draft: Draft,
    absent: Vec<Absent>,
    troubles: Vec<Trouble>,
}

/// Builds a catalog from the published packages alone.
pub(super) async fn build(output: &Path, gate: &Gate) -> Outcome {
    let fetched = whole(fetched(Draft::default(), gate).await?, gate)?;
    let absent = fetched.absent.len();
    let there = std::fs::read(output).ok().and_then(|bytes| Catalog::from_bytes(&bytes).ok()).unwrap_or_default();
    let catalog = dated(fetched.draft, fetched.absent, &there);
    catalog_file::write(output, &catalog, gate)?;
    complain(&say!(
        "{}: {} versions of LiteLLM, {} of the package, {} absent",
        gate.clean(&output.display().to_string()),
        catalog.releases().len(),
        catalog.packages().count(),
        absent
    ));
    Ok(Exit::Reached)
}

/// What was fetched, where every version could be read. Says what is listed and cannot be had.
fn whole(fetched: Fetched, gate: &Gate) -> Result<Fetched, Trouble> {
    let troubles = &fetched.troubles;
    if let Some(first) = troubles.first() {
        troubles.iter().for_each(|trouble| complain(&trouble.what));
        return Err(Trouble::new(
            first.kind,
            say!("{} versions could not be read, so nothing was written", troubles.len()),
        )
        .remedy(Clean::ours("repeat the command: what was brought is kept")));
    }
    for one in &fetched.absent {
        complain(&say!("{} {} is listed and cannot be had", gate.clean(&one.package), gate.clean(&one.version)));
    }
    for version in fetched.draft.unread() {
        complain(&say!(
            "what the code of {} {} does is not understood, and the worst is assumed",
            Clean::ours(PACKAGE),
            version
        ));
    }
    Ok(fetched)
}

/// The finished catalog. One that says the same as the one that is there keeps its day: unchanged
/// input gives unchanged bytes.
fn dated(draft: Draft, absent: Vec<Absent>, there: &Catalog) -> Catalog {
    let catalog = draft.finish(jiff::Zoned::now().date(), absent);
    let same = catalog.clone().on(there.made(), catalog.absent().to_vec());
    if same == *there { same } else { catalog }
}

/// Adds to the draft every published version that it does not have.
async fn fetched(mut draft: Draft, gate: &Gate) -> Result<Fetched, Trouble> {
    let pip = Pip::find(catalog_file::cache()?, gate)?;
    complain(&Clean::ours("asking pip which versions are published"));
    let (packages, releases) = futures::try_join!(pip.versions(PACKAGE), pip.versions(LITELLM))?;
    let (mut absent, mut troubles) = (Vec::new(), Vec::new());
    let packages: Vec<_> = packages
        .into_iter()
        .filter(|raw| !raw.parse().is_ok_and(|version: PackageVersion| draft.has_package(version)))
        .collect();
    let mut brought = BTreeMap::new();
    let mut progress = Progress::new("packages", packages.len());
    let mut contents =
        futures::stream::iter(packages).map(|raw| async { (contents(&pip, &raw, gate).await, raw) }).buffered(AT_ONCE);
    while let Some((contents, raw)) = contents.next().await {
        progress.step(&gate.clean(&raw));
        match contents {
            Ok((version, contents)) => drop(brought.insert(version, contents)),
            Err(NotBrought::Absent) => absent.push(Absent { package: PACKAGE.to_owned(), version: raw }),
            Err(NotBrought::Trouble(trouble)) => troubles.push(trouble),
        }
    }
    drop(contents);
    progress.end();
    for (version, contents) in &brought {
        let added = draft.package(*version, contents);
        troubles.extend(added.err().map(|why| Trouble::new(TroubleKind::Invalid, gate.clean(&why.to_string()))));
    }
    let releases: Vec<(String, Version)> = releases
        .into_iter()
        .filter_map(|raw| raw.parse().ok().map(|version: Version| (raw, version)))
        .filter(|(_, version)| version.numbers() >= FIRST && !draft.has_release(version))
        .collect();
    let published: Vec<String> = releases.iter().map(|(raw, _)| raw.clone()).collect();
    let code = code::code(&pip, &published, By::Start, gate).await;
    troubles.extend(code.troubles);
    for (version, read) in code.read {
        if let Err(missing) = &read.asks {
            let missing = gate.clean(missing);
            complain(&say!(
                "what LiteLLM {} does when it starts is not understood, and the worst is assumed: {}",
                version,
                missing
            ));
        }
        draft.asks(version, read.asks.ok());
    }
    let mut progress = Progress::new("versions of LiteLLM", releases.len());
    let mut pins = futures::stream::iter(releases)
        .map(|(raw, version)| async { (pin(&pip, &raw, gate).await, raw, version) })
        .buffered(AT_ONCE);
    while let Some((pin, raw, version)) = pins.next().await {
        progress.step(&gate.clean(&raw));
        match pin {
            Ok(pin) => draft.release(version, pin),
            Err(NotBrought::Absent) => absent.push(Absent { package: LITELLM.to_owned(), version: raw }),
            Err(NotBrought::Trouble(trouble)) => troubles.push(trouble),
        }
    }
    drop(pins);
    progress.end();
    Ok(Fetched { draft, absent, troubles })
}

/// What one version of the migration package holds.
async fn contents(pip: &Pip, raw: &str, gate: &Gate) -> Result<(PackageVersion, Contents), NotBrought> {
    let invalid = |what: &dyn std::fmt::Display| {
        Trouble::new(
            TroubleKind::Invalid,
            say!("{} {}: {}", Clean::ours(PACKAGE), gate.clean(raw), gate.clean(&what.to_string())),
        )
    };
    let version = raw.parse::<PackageVersion>().map_err(|bad| invalid(&bad))?;
    let mut contents = Contents::default();
    for (path, bytes) in pip.files(PACKAGE, raw, wanted).await? {
        if path.ends_with("/schema.prisma") {
            contents.schema = Some(String::from_utf8(bytes).map_err(|why| invalid(&why))?);
        } else if path.ends_with("/utils.py") {
            contents.utils = String::from_utf8(bytes).map_err(|why| invalid(&why))?;
        } else if let Some(name) = migration(&path) {
            let name = name.parse::<MigrationName>().map_err(|bad| invalid(&bad))?;
            contents.migrations.insert(name, bytes);
        }
    }
    Ok((version, contents))
}

fn wanted(path: &str) -> bool {
    let whole = ["litellm_proxy_extras/schema.prisma", "litellm_proxy_extras/utils.py"];
    migration(path).is_some() || whole.contains(&path)
}

/// The name of the migration whose file this is.
fn migration(path: &str) -> Option<&str> {
    path.strip_prefix("litellm_proxy_extras/migrations/")?.strip_suffix("/migration.sql")
}

/// Which package one version of LiteLLM asks for.
async fn pin(pip: &Pip, raw: &str, gate: &Gate) -> Result<Pin, NotBrought> {
    let requirements = pip.requirements(LITELLM, raw).await?;
    Pin::read(requirements.iter().map(String::as_str)).ok_or_else(|| {
        let what = say!("LiteLLM {} asks for its migrations in a way that is not understood", gate.clean(raw));
        NotBrought::Trouble(Trouble::new(TroubleKind::Invalid, what))
    })
}

/// How far it is, on standard error: one line that changes on a terminal, a line now and then
/// elsewhere.
struct Progress {
    what: &'static str,
    of: usize,
    done: usize,
    terminal: bool,
}

impl Progress {
    fn new(what: &'static str, of: usize) -> Self {
        let progress = Self { what, of, done: 0, terminal: io::stderr().is_terminal() };
        if of > 0 {
            progress.show(&say!("{} 0 of {}", Clean::ours(what), of));
        }
        progress
    }

    fn step(&mut self, which: &Clean) {
        self.done += 1;
        self.show(&say!("{} {} of {}: {}", Clean::ours(self.what), self.done, self.of, which));
    }

    fn show(&self, line: &Clean) {
        if self.terminal {
            let mut stderr = io::stderr().lock();
            // A closed standard error changes nothing.
            let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
        } else if self.done.is_multiple_of(50) || self.done == self.of {
            complain(line);
        }
    }

    fn end(&self) {
        if self.terminal && self.of > 0 {
            let _ = writeln!(io::stderr().lock());
        }
    }
}
