//! The catalog as a file: JSON, packed with gzip. The same catalog gives the same bytes.
//!
//! What repeats from package to package is written once: a migration's contents and an object of
//! a schema carry the ranges of the packages that have them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use flate2::{Compression, GzBuilder, read::GzDecoder};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::described::{Described, Objects};
use super::startup::Code;
use super::{Absent, Catalog, Edition, Package, PackageVersion, Release};
use crate::domain::effects::Effect;
use crate::domain::name::MigrationName;
use crate::domain::schema::Object;
use crate::text::Safe;

/// The format that this code writes, and the only one that it reads.
const FORMAT: u32 = 2;
/// More than this is no catalog of ours, in bytes, unpacked.
const LARGEST: u64 = 64 << 20;

/// Why a file is not a catalog that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not packed with gzip, cut off, or changed.
    Packing,
    /// Larger than any catalog.
    TooLarge,
    /// Not JSON of this shape: what is wrong where.
    Shape {
        /// Line of the unpacked text, from 1 on.
        line: usize,
        /// Column of that line, from 1 on.
        column: usize,
    },
    /// Another format, written by another version of this program.
    Format(u32),
    /// A range of packages that does not stand in its list of packages.
    Range(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Packing => f.write_str("not packed with gzip, cut off, or changed"),
            Malformed::TooLarge => write!(f, "larger than {} MiB when unpacked", LARGEST >> 20),
            Malformed::Shape { line, column } => write!(f, "not a catalog at line {line}, column {column}"),
            Malformed::Format(format) => write!(f, "written in format {format}; this version reads format {FORMAT}"),
            Malformed::Range(of) => write!(f, "a range of packages that are not in the catalog, of {of}"),
        }
    }
}

impl std::error::Error for Malformed {}
impl Safe for Malformed {}

/// Positions in the list of packages, both included.
type Ranges = Vec<(usize, usize)>;

/// Read of what is no catalog, so that another format is told as such.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asset {
    format: u32,
    made: Date,
    packages: Vec<PackageVersion>,
    releases: Vec<Release>,
    absent: Vec<Absent>,
    codes: Vec<(Code, Ranges)>,
    migrations: BTreeMap<MigrationName, Vec<Content>>,
    objects: Vec<(Object, Ranges)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    checksum: String,
    packages: Ranges,
    effects: Vec<Effect>,
}

/// The ranges of the positions, which come in order.
fn ranges(positions: impl Iterator<Item = usize>) -> Ranges {
    let mut ranges: Ranges = Vec::new();
    for position in positions {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == position => *last = position,
            _ => ranges.push((position, position)),
        }
    }
    ranges
}

fn positions<'a>(
    ranges: &'a Ranges,
    count: usize,
    of: &impl fmt::Display,
) -> Result<impl Iterator<Item = usize> + 'a, Malformed> {
    let stands = ranges.iter().all(|(first, last)| first <= last && *last < count);
    let positions = ranges.iter().flat_map(|(first, last)| *first..=*last);
    stands.then_some(positions).ok_or_else(|| Malformed::Range(of.to_string()))
}

/// The beginning of a day in UTC, as gzip tells times (MTIME, RFC 1952): seconds since 1970, and 0 for
/// days that it cannot tell.
fn seconds(day: Date) -> u32 {
    day.to_zoned(TimeZone::UTC).map_or(0, |day| u32::try_from(day.timestamp().as_second()).unwrap_or_default())
}

/// The day on which a catalog was made, by the header of its file; `None` where that does not tell.
pub(super) fn made(file: &[u8]) -> Option<Date> {
    let seconds = u32::from_le_bytes(*file.get(4..)?.first_chunk()?);
    let day = Timestamp::from_second(seconds.into()).ok()?.to_zoned(TimeZone::UTC).date();
    (seconds > 0).then_some(day)
}

impl Catalog {
    /// The catalog as a file.
    ///
    /// # Errors
    /// None that a catalog can cause; writing into memory has them in its type.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let of = |has: &dyn Fn(&Package) -> bool| {
            ranges(self.packages.values().enumerate().filter(|(_, package)| has(package)).map(|(at, _)| at))
        };
        let content = |name: &MigrationName, (number, edition): (usize, &Edition)| Content {
            checksum: edition.checksum.clone(),
            packages: of(&|package| package.migrations.get(name) == Some(&number)),
            effects: edition.effects.clone(),
        };
        let migrations = self.editions.iter().map(|(name, editions)| {
            (name.clone(), editions.iter().enumerate().map(|numbered| content(name, numbered)).collect())
        });
        let mut objects: BTreeMap<&Object, Vec<usize>> = BTreeMap::new();
        for (at, package) in self.packages.values().enumerate() {
            package.schema.objects().for_each(|object| objects.entry(object).or_default().push(at));
        }
        let codes: BTreeSet<Code> = self.codes.values().copied().collect();
        let asset = Asset {
            format: FORMAT,
            made: self.made,
            packages: self.packages.keys().copied().collect(),
            releases: self.releases.clone(),
            absent: self.absent.clone(),
            codes: codes
                .into_iter()
                .map(|code| (code, of(&|package| self.code(package.version) == Some(code))))
                .collect(),
            migrations: migrations.collect(),
            objects: objects.into_iter().map(|(object, at)| (object.clone(), ranges(at.into_iter()))).collect(),
        };
        // Its day and no file name in the header: the same content gives the same bytes.
        let mut packed = GzBuilder::new().mtime(seconds(self.made)).write(Vec::new(), Compression::best());
        packed.write_all(&serde_json::to_vec(&asset)?)?;
        packed.finish()
    }

    /// Reads a catalog's file.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut text = Vec::new();
        let unpacked = GzDecoder::new(bytes).take(LARGEST + 1).read_to_end(&mut text);
        unpacked.map_err(|_| Malformed::Packing)?;
        if text.len() as u64 > LARGEST {
            return Err(Malformed::TooLarge);
        }
        let shape = |why: serde_json::Error| Malformed::Shape { line: why.line(), column: why.column() };
        match serde_json::from_slice::<Asset>(&text) {
            Ok(asset) if asset.format == FORMAT => asset.catalog(),
            Ok(Asset { format, .. }) => Err(Malformed::Format(format)),
            Err(why) => match serde_json::from_slice(&text) {
                Ok(Head { format }) if format != FORMAT => Err(Malformed::Format(format)),
                _ => Err(shape(why)),
            },
        }
    }
}

impl Asset {
    fn catalog(self) -> Result<Catalog, Malformed> {
        let count = self.packages.len();
        let mut migrations: Vec<BTreeMap<MigrationName, usize>> = vec![BTreeMap::new(); count];
        let mut editions: BTreeMap<MigrationName, Vec<Edition>> = BTreeMap::new();
        for (name, contents) in self.migrations {
            let mut own = Vec::new();
            for (number, content) in contents.into_iter().enumerate() {
                let has: Vec<usize> = positions(&content.packages, count, &name)?.collect();
                let (Some(first), Some(last)) = (has.iter().min(), has.iter().max()) else {
                    return Err(Malformed::Range(name.to_string()));
                };
                let (first, last) = (self.packages[*first], self.packages[*last]);
                for at in has {
                    migrations[at].insert(name.clone(), number);
                }
                own.push(Edition { checksum: content.checksum, first, last, effects: content.effects });
            }
            editions.insert(name, own);
        }
        for (object, ranges) in &self.objects {
            positions(ranges, count, object).map(drop)?;
        }
        let mut codes = BTreeMap::new();
        for (code, ranges) in self.codes {
            codes.extend(positions(&ranges, count, &"code")?.map(|at| (self.packages[at], code)));
        }
        let objects: Objects = Arc::new(self.objects);
        let packages = self.packages.into_iter().zip(migrations).enumerate();
        let packages = packages.map(|(at, (version, migrations))| Package {
            version,
            migrations,
            schema: Described::at(at, &objects),
        });
        let catalog = Catalog::new(self.releases, packages.collect(), editions);
        Ok(Catalog { made: self.made, absent: self.absent, codes, ..catalog })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_catalog_is_read_and_written_again_as_it_is() {
        let bytes = Catalog::EMBEDDED;
        let read = Catalog::from_bytes(bytes).unwrap();
        assert_eq!(read, **Catalog::embedded());
        assert!(read.to_bytes().unwrap() == bytes, "the same catalog gives other bytes");
        assert!(bytes.len() < 400 * 1024, "{} bytes", bytes.len());
    }

    #[test]
    fn a_malformed_file_is_refused_with_where_and_why() {
        let packed = |text: &str| {
            let mut packed = GzBuilder::new().write(Vec::new(), Compression::fast());
            packed.write_all(text.as_bytes()).unwrap();
            packed.finish().unwrap()
        };
        let whole = |migrations: &str, objects: &str| {
            packed(&format!(
                r#"{{"format":2,"made":"2026-11-20","packages":["0.4.1"],"releases":[],"absent":[],"codes":[],"migrations":{{{migrations}}},"objects":[{objects}]}}"#
            ))
        };
        assert!(Catalog::from_bytes(&whole("", "")).is_ok());
        let rows = [
            (b"no gzip".to_vec(), "not packed with gzip"),
            (whole("", "")[..20].to_vec(), "not packed with gzip"),
            (packed("{"), "not a catalog at line 1, column 1"),
            (packed(r#"{"format":1,"other":true}"#), "written in format 1; this version reads format 2"),
            (
                whole(r#""a":[{"checksum":"","packages":[[0,1]],"effects":[]}]"#, ""),
                "a range of packages that are not in the catalog, of a",
            ),
            (
                whole(r#""a":[{"checksum":"","packages":[],"effects":[]}]"#, ""),
                "a range of packages that are not in the catalog, of a",
            ),
            (whole("", r#"[{"table":"t"},[[1,0]]]"#), "a range of packages that are not in the catalog, of t"),
            (
                whole("", r#"[{"table":"t"},[[0,18446744073709551615]]]"#),
                "a range of packages that are not in the catalog, of t",
            ),
            (whole("", r#"[{"tabel":"t"},[[0,0]]]"#), "not a catalog at line 1, column"),
        ];
        for (bytes, expected) in rows {
            let why = Catalog::from_bytes(&bytes).unwrap_err().to_string();
            assert!(why.starts_with(expected), "{why}");
        }
    }
}
