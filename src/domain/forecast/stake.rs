//! What a start takes away, computed: what the version knows against what the database holds.

use std::collections::BTreeSet;

use serde::Serialize;

use super::age::told_version;
use super::start::How;
use super::{Facts, Forecast, Way};
use crate::domain::catalog::startup::{Baseline, Migrating};
use crate::domain::catalog::{Catalog, Known, Package, Pin, Reading, Release, Startup, Told};
use crate::domain::effects::{Alteration, Effect, Weight, weight};
use crate::domain::image::{Image, Version};
use crate::domain::migration::{MigrationTable, RowState};
use crate::domain::name::{MigrationName, SqlName};
use crate::domain::schema::{Object, Schema};
use crate::text::{Clean, Many};

/// A migration that a start applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// Its name.
    pub name: MigrationName,
    /// How dangerous it is.
    pub weight: Weight,
}

/// Objects that may go away, in the order of lists: tables, columns, then what holds no data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stake(BTreeSet<Object>);

impl Stake {
    /// Nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every object.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.0.iter()
    }

    /// The tables that go altogether.
    pub fn tables(&self) -> impl Iterator<Item = &SqlName> {
        self.0.iter().filter_map(|object| match object {
            Object::Table(table) => Some(table),
            _ => None,
        })
    }

    /// The columns that go from tables that stay.
    pub fn columns(&self) -> impl Iterator<Item = &Object> {
        self.0.iter().filter(|object| matches!(object, Object::Column(..)))
    }

    /// Tables and columns: what holds data.
    pub fn data(&self) -> impl Iterator<Item = &Object> {
        self.0.iter().filter(|object| object.holds_data())
    }

    /// Whether everything of another one is here too; a table covers its columns. The first
    /// object that is not.
    ///
    /// # Errors
    /// That object.
    pub fn covers<'a>(&self, other: &'a Stake) -> Result<(), &'a Object> {
        let covered = |object: &Object| {
            self.0.contains(object)
                || matches!(object, Object::Column(table, _) if self.0.contains(&Object::Table(table.clone())))
        };
        other.0.iter().find(|object| !covered(object)).map_or(Ok(()), Err)
    }

    /// How many of each kind: `59 tables, 72 columns and 12 others`.
    pub fn counted(&self) -> Clean {
        let (tables, columns) = (self.tables().count(), self.columns().count());
        let rest = self.0.len() - tables - columns;
        let of = |count: usize, one: &'static str, more: &'static str| {
            (count > 0).then(|| say!("{} {}", count, if count == 1 { one } else { more }))
        };
        let parts = [
            of(tables, "table", "tables"),
            of(columns, "column", "columns"),
            of(rest, "index or type", "indexes and types"),
        ];
        parts.into_iter().flatten().reduce(|all, part| say!("{}, {}", all, part)).unwrap_or_default()
    }

    /// The first few by name, then how many more.
    pub fn first(&self, most: usize) -> Clean {
        let named = self.0.iter().take(most).map(|object| say!("{}", object));
        let named = named.reduce(|all, object| say!("{}, {}", all, object)).unwrap_or_default();
        match self.0.len().saturating_sub(most) {
            0 => named,
            more => say!("{} and {} more", named, more),
        }
    }

    pub(in crate::domain) fn extend(&mut self, other: Stake) {
        self.0.extend(other.0);
        self.settle();
    }

    /// The table speaks for its columns.
    fn settle(&mut self) {
        let tables: BTreeSet<SqlName> = self.tables().cloned().collect();
        self.0.retain(|object| !matches!(object, Object::Column(table, _) if tables.contains(table)));
    }
}

/// As people read and type them.
impl Serialize for Stake {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl FromIterator<Object> for Stake {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        let mut stake = Self(objects.into_iter().collect());
        stake.settle();
        stake
    }
}

/// What a version does when it starts.
///
/// # Errors
/// Why the catalog cannot speak: the version, or what the database holds, is not known.
pub(super) fn computed(
    version: &Version,
    image: &Image,
    how: How,
    open: &Clean,
    way: &Way,
    facts: &Facts<'_>,
) -> Result<Forecast, Clean> {
    let (release, name) = release(version, facts.catalog)?;
    let told = facts.catalog.told_of(image);
    let exactly = told.filter(|told| told.agreement.whole()).and_then(|told| told.agreement.package);
    let brought = |package: &&Package| exactly.is_none_or(|exactly| package.version == exactly);
    let packages: Vec<&Package> = facts.catalog.packages_of(release.pin).filter(brought).collect();
    let (Some(first), Some(last)) = (packages.first(), packages.last()) else {
        return Err(say!("the catalog has no package of LiteLLM {}", release.version));
    };
    let rows = facts.rows.clone()?;
    let live = facts.live.clone()?;
    let startup = startup(release, how);
    let starts: Vec<Begun<'_>> =
        packages.iter().map(|package| Begun::of(package, startup, facts.catalog, rows, live)).collect();
    let mut stake: Stake = starts.iter().flat_map(|begun| begun.gone.iter().copied().cloned()).collect();
    let mut pending: Vec<Pending> = Vec::new();
    for each in starts.iter().flat_map(|begun| &begun.pending) {
        if !pending.contains(each) {
            pending.push(each.clone());
        }
    }
    for (name, effects) in told.into_iter().flat_map(|told| beyond(told, facts.catalog, rows)) {
        let dropped = effects.iter().filter_map(|effect| match effect {
            Effect::Drop { object, .. } => live.objects().find(|there| *there == object),
            _ => None,
        });
        stake.extend(dropped.cloned().collect());
        pending.push(Pending { name: name.clone(), weight: weight(effects) });
    }
    let of = if let Some(told) = told {
        say!("{} ({} in pod/{})", name, told.words, told.listing.pod)
    } else if matches!(release.pin, Pin::Range { .. }) {
        say!("{} takes any package from {} to {}, and the worst of them counts", name, first.version, last.version)
    } else {
        name
    };
    if let Some(unread) = pending.iter().find(|each| each.weight == Weight::Unknown) {
        let why = say!("{}: it would apply {}, and what that does could not be read", of, unread.name);
        return Ok(Forecast::Unknown { why: say!("{}; {}", why, open), way: way.clone() });
    }
    let back = starts.iter().map(|begun| &begun.back).max_by_key(|back| back.columns()).map(Back::words);
    let of_back = back.unwrap_or_default();
    let changes_back = !of_back.is_empty();
    let syncs = starts.iter().any(|begun| begun.syncs);
    let adds = starts.iter().any(|begun| begun.adds);
    let does = does(startup, syncs, rows.exists);
    Ok(if stake.data().next().is_some() {
        Forecast::MayDrop { why: say!("{} {}{}, and {}", of, does, of_back, open), stake, pending, way: way.clone() }
    } else if !pending.is_empty() || adds || changes_back || !stake.is_empty() {
        let applies = match pending.len() {
            0 => Clean::default(),
            pending => say!("; {}", Many(pending, "pending migration")),
        };
        Forecast::MayWrite {
            why: say!("{} {}{}; it drops no table and no column{}", of, does, of_back, applies),
            pending,
            stake,
        }
    } else if syncs {
        Forecast::NotWrite { why: say!("{} {}, and the database holds just what it knows", of, does) }
    } else {
        Forecast::NotWrite { why: say!("{} {}, and nothing is pending for it", of, does) }
    })
}

/// How many applied migrations of the database an image does not know; `None` where the catalog
/// cannot tell. Prisma leaves them alone and says nothing of them.
pub fn ahead(image: &Image, facts: &Facts<'_>) -> Option<usize> {
    let (release, _) = release(&told_version(image)?, facts.catalog).ok()?;
    let rows = facts.rows.as_ref().ok()?;
    let package = facts.catalog.packages_of(release.pin).next()?;
    let applied = rows.rows.iter().filter(|row| row.state == RowState::Applied);
    let ahead: BTreeSet<_> =
        applied.map(|row| &row.name).filter(|name| !package.migrations.contains_key(*name)).collect();
    Some(ahead.len())
}

/// The release of a version, or why it is not known.
fn release<'a>(version: &Version, catalog: &'a Catalog) -> Result<(&'a Release, Clean), Clean> {
    let of = |release: Option<&Release>| release.map(|release| say!("{}", release.version));
    match catalog.release(version) {
        Known::Exactly(release) if release.pin == Pin::Nothing => {
            Err(say!("LiteLLM {} is older than the package that carries the migrations", version))
        }
        Known::Exactly(release) => Ok((release, say!("LiteLLM {}{}", version, by(&release.reading)))),
        Known::BuiltOn(release) => {
            Err(say!("{} is built on LiteLLM {}, and what differs from it is not known", version, release.version))
        }
        // Between two that pin the same package and start alike lies nothing else.
        Known::Unknown { below: Some(below), above: Some(above) }
            if version.base().is_none() && alike(below, above) =>
        {
            let between = say!(" (as {} before it and {} after it)", below.version, above.version);
            Ok((below, say!("LiteLLM {}{}", version, between)))
        }
        Known::Unknown { below, above } => Err(match (of(below), of(above)) {
            (Some(below), Some(above)) => {
                say!("the catalog does not know LiteLLM {}, which lies between {} and {}", version, below, above)
            }
            (Some(below), None) => say!("the catalog does not know LiteLLM {}; its newest is {}", version, below),
            (None, Some(above)) => say!("the catalog does not know LiteLLM {}; its oldest is {}", version, above),
            (None, None) => Clean::ours("the catalog is empty"),
        }),
    }
}

/// How the start-up code is known, where it was not read in this very version.
fn by(reading: &Reading) -> Clean {
    match reading {
        Reading::Read => Clean::default(),
        Reading::Between(below, above) => say!(" (between {} and {}, which were read)", below, above),
        Reading::Beyond(nearest) => say!(" (beyond {}, the nearest that was read)", nearest),
        Reading::Nothing => Clean::ours(" (never read, so the worst is assumed)"),
    }
}

fn alike(a: &Release, b: &Release) -> bool {
    matches!(a.pin, Pin::Exactly(_)) && (a.pin, a.pods, a.job) == (b.pin, b.pods, b.job)
}

fn startup(release: &Release, how: How) -> Startup {
    match how {
        How::Pods => release.pods,
        How::Legacy => release.pods.max(Startup::DeploysThenSyncsIfPending),
        How::Job => release.job,
        How::Deploy => Startup::Deploys,
        How::Push => Startup::Pushes,
    }
}

/// What a start does, as a verb.
fn does(startup: Startup, syncs: bool, managed: bool) -> &'static str {
    match startup {
        Startup::Pushes => "pushes its own schema when it starts (prisma db push --accept-data-loss)",
        _ if !managed && syncs => {
            "finds no migration table, baselines the database (P3005) and makes it equal to its own schema"
        }
        _ if !managed => "finds no migration table, and changes no object of such a database (P3005)",
        Startup::DeploysThenSyncs => "makes the database equal to its own schema after every start",
        Startup::DeploysThenSyncsIfPending if syncs => {
            "makes the database equal to its own schema after migrating, because something is pending for it"
        }
        Startup::DeploysThenSyncsIfPending => "makes the database equal to its own schema only after migrating",
        Startup::Deploys => "only applies pending migrations when it starts",
    }
}

/// What one package's code does to this database.
struct Begun<'a> {
    pending: Vec<Pending>,
    gone: BTreeSet<&'a Object>,
    syncs: bool,
    adds: bool,
    back: Back,
}

/// Columns that newer migrations changed and that are made again what the version knows. Prisma
/// casts a type, and stops half way where a value does not fit; where a null is in the way of a
/// column that may have none, it does not begin (seen with Prisma 6.19.0, `db push
/// --accept-data-loss`).
#[derive(Clone, Debug, Default)]
struct Back {
    types: BTreeSet<Object>,
    nulls: BTreeSet<Object>,
}

impl Back {
    /// What applied migrations changed that a package does not know, of columns that it does know.
    fn of(package: &Package, catalog: &Catalog, rows: &MigrationTable, live: &Schema) -> Self {
        let mut back = Self::default();
        let newer = rows.rows.iter().filter(|row| row.state == RowState::Applied);
        let newer = newer.filter(|row| !package.migrations.contains_key(&row.name));
        for effect in newer.filter_map(|row| catalog.editions(&row.name).last()).flat_map(|edition| &edition.effects) {
            match effect {
                Effect::Alter { object, change } if package.schema.has(object) && live.has(object) => match change {
                    Alteration::Type(_) => drop(back.types.insert(object.clone())),
                    Alteration::Null => drop(back.nulls.insert(object.clone())),
                    Alteration::NotNull | Alteration::Default => {}
                },
                _ => {}
            }
        }
        back
    }

    fn columns(&self) -> usize {
        self.types.len() + self.nulls.len()
    }

    /// `, changes back the type of 21 columns (first …) and stops where …`
    fn words(&self) -> Clean {
        let said = |columns: &BTreeSet<Object>, what: &'static str, where_: &'static str| {
            let first = columns.first()?;
            let count = columns.len();
            let columns = if count == 1 { say!("{}", first) } else { say!("{} columns (first {})", count, first) };
            Some(say!(", {} {} and stops where {}", what, columns, where_))
        };
        let types = said(&self.types, "changes back the type of", "a value does not fit, perhaps half way");
        let nulls = said(&self.nulls, "forbids null again in", "there is one");
        say!("{}{}", types.unwrap_or_default(), nulls.unwrap_or_default())
    }
}

impl<'a> Begun<'a> {
    fn of(
        package: &'a Package,
        startup: Startup,
        catalog: &'a Catalog,
        rows: &MigrationTable,
        live: &'a Schema,
    ) -> Self {
        let holds = live.objects().any(|object| matches!(object, Object::Table(_)));
        // Without a migration table and with tables in it, Prisma refuses to deploy (P3005).
        let unmanaged = !rows.exists && holds;
        let code = catalog.code(package.version).map(|code| code.like(startup));
        let Migrating { startup: migrated, baseline } =
            code.unwrap_or(Migrating { startup, baseline: Baseline::Syncs });
        let deploys = startup != Startup::Pushes && !unmanaged;
        let applied: Vec<(&MigrationName, &[Effect])> =
            if deploys { waiting(package, catalog, rows).collect() } else { Vec::new() };
        let syncs = match migrated {
            _ if startup == Startup::Pushes => true,
            _ if unmanaged => baseline == Baseline::Syncs,
            Startup::Pushes | Startup::DeploysThenSyncs => true,
            Startup::DeploysThenSyncsIfPending => !applied.is_empty(),
            Startup::Deploys => false,
        };
        let dropped = applied.iter().flat_map(|(_, effects)| *effects).filter_map(|effect| match effect {
            Effect::Drop { object, .. } => live.objects().find(|there| *there == object),
            _ => None,
        });
        let mut gone: BTreeSet<&Object> = dropped.collect();
        if syncs {
            gone.extend(live.beyond(&package.schema).filter(|object| described(object, live)));
        }
        let back = if syncs { Back::of(package, catalog, rows, live) } else { Back::default() };
        let adds = syncs && package.schema.beyond(live).any(Object::holds_data);
        let pending =
            applied.iter().map(|(name, effects)| Pending { name: (*name).clone(), weight: weight(effects) }).collect();
        Self { pending, gone, syncs, adds, back }
    }
}

/// What an image would apply that its package does not have, or has with another content: each
/// name with what it does.
fn beyond<'a>(
    told: &'a Told,
    catalog: &'a Catalog,
    rows: &'a MigrationTable,
) -> impl Iterator<Item = (&'a MigrationName, &'a [Effect])> {
    let there = |name: &MigrationName| {
        rows.rows.iter().any(|row| row.name == *name && matches!(row.state, RowState::Applied | RowState::Running))
    };
    let names = told.agreement.extra.iter().chain(&told.agreement.other).filter(move |name| !there(name));
    names.map(|name| {
        let checksum = told.listing.found.migrations.get(name);
        let edition = checksum.and_then(|checksum| catalog.edition(name, checksum.as_str()));
        (name, edition.map_or(&[Effect::Unread][..], |edition| &edition.effects))
    })
}

/// Whether `schema.prisma` would mention such an object: an index that serves a constraint, a
/// function or a trigger is never mentioned, and Prisma leaves it alone.
fn described(object: &Object, live: &Schema) -> bool {
    match object {
        Object::Table(_) | Object::Column(..) | Object::Type(_) => true,
        Object::Index(name) => {
            !live.objects().any(|other| matches!(other, Object::Constraint(_, constraint) if constraint == name))
        }
        Object::Constraint(..) | Object::Function(_) | Object::Trigger(..) => false,
    }
}

/// The migrations of a package that `prisma migrate deploy` would apply: by name alone, those
/// without a row that was applied and not rolled back. One that runs right now is somebody else's.
fn waiting<'a>(
    package: &'a Package,
    catalog: &'a Catalog,
    rows: &MigrationTable,
) -> impl Iterator<Item = (&'a MigrationName, &'a [Effect])> {
    let there: BTreeSet<&MigrationName> = rows
        .rows
        .iter()
        .filter(|row| matches!(row.state, RowState::Applied | RowState::Running))
        .map(|row| &row.name)
        .collect();
    let waiting: Vec<_> = package.migrations.iter().filter(|(name, _)| !there.contains(name)).collect();
    waiting.into_iter().map(move |(name, edition)| {
        let effects = catalog.editions(name).get(*edition).map_or(&[Effect::Unread][..], |found| &found.effects);
        (name, effects)
    })
}
