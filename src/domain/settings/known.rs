//! The catalog of settings: which of LiteLLM's versions know which, as read out of their code.
//!
//! Not every version was read: those on both sides of each change were. What lies between two
//! that were read, and that agree, is concluded.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::OnceLock;

use flate2::{Compression, GzBuilder, read::GzDecoder};
use serde::{Deserialize, Serialize};

use super::{Config, Named, Section, Vocabulary};
use crate::domain::image::Version;
use crate::text::Clean;

/// The format that this code writes, and the only one that it reads.
const FORMAT: u32 = 1;
/// More than this is no catalog of ours, in bytes, unpacked.
const LARGEST: u64 = 16 << 20;

/// Positions in the list of versions that were read, both included.
type Ranges = Vec<(usize, usize)>;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    format: u32,
    /// Oldest first.
    read: Vec<Version>,
    names: BTreeMap<Section, BTreeMap<String, Ranges>>,
}

/// Whether a version knows a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knows {
    /// It does.
    Yes,
    /// It does not; others do.
    No {
        /// The oldest later one that does.
        since: Option<Version>,
        /// The newest earlier one that did.
        until: Option<Version>,
    },
    /// One of the two that were read around it does, the other does not.
    Perhaps {
        /// The nearest older one that was read.
        below: Version,
        /// The nearest newer one that was read.
        above: Version,
    },
    /// No version that was read knows it: it is misspelt, or read in a way that was not seen.
    Nowhere,
    /// The version cannot be placed among those that were read.
    Untold,
}

impl Knows {
    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Knows::Yes => "yes",
            Knows::No { .. } => "no",
            Knows::Perhaps { .. } => "perhaps",
            Knows::Nowhere => "nowhere",
            Knows::Untold => "untold",
        }
    }
}

/// A setting that a version does not know, or perhaps not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Which, and on which line.
    pub named: Named,
    /// Who knows it.
    pub knows: Knows,
}

impl Unknown {
    /// `general_settings.x (line 12, known since 1.85.0)`
    pub fn words(&self) -> Clean {
        let Named { section, name, line } = &self.named;
        let knows = match &self.knows {
            Knows::No { since: Some(since), .. } => say!("known since {}", since),
            Knows::No { since: None, until: Some(until) } => say!("known until {}", until),
            Knows::Perhaps { below, above } => say!("{} and {} differ about it", below, above),
            Knows::Nowhere => Clean::ours("no version is seen to know it"),
            Knows::Yes | Knows::No { .. } | Knows::Untold => Clean::ours("not known"),
        };
        say!("{}.{} (line {}, {})", section, name, line, knows)
    }
}

impl Settings {
    /// Puts it together from what was read of each version, oldest first.
    pub fn of(read: &[(Version, Vocabulary)]) -> Self {
        let mut names: BTreeMap<Section, BTreeMap<String, Ranges>> = BTreeMap::new();
        for (at, (_, vocabulary)) in read.iter().enumerate() {
            for (section, known) in vocabulary {
                for name in known {
                    let ranges = names.entry(*section).or_default().entry(name.clone()).or_default();
                    match ranges.last_mut() {
                        Some((_, last)) if *last + 1 == at => *last = at,
                        _ => ranges.push((at, at)),
                    }
                }
            }
        }
        Self { format: FORMAT, read: read.iter().map(|(version, _)| version.clone()).collect(), names }
    }

    /// The catalog that comes with this program.
    ///
    /// A test proves that it can be read; were it not, it would know nothing.
    pub fn embedded() -> &'static Settings {
        static EMBEDDED: OnceLock<Settings> = OnceLock::new();
        EMBEDDED.get_or_init(|| {
            Settings::from_bytes(include_bytes!("../../../assets/settings.json.gz")).unwrap_or_default()
        })
    }

    /// The versions that were read, oldest first.
    pub fn read(&self) -> &[Version] {
        &self.read
    }

    /// Every name of a section that some version knows.
    pub fn names(&self, section: Section) -> impl Iterator<Item = &str> {
        self.names.get(&section).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// As a file: JSON, packed with gzip. The same content gives the same bytes.
    ///
    /// # Errors
    /// None that the content can cause; writing into memory has them in its type.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        packed.write_all(&serde_json::to_vec(self)?)?;
        packed.finish()
    }

    /// Reads such a file; `None` where it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        GzDecoder::new(bytes).take(LARGEST).read_to_end(&mut text).ok()?;
        let read: Self = serde_json::from_slice(&text).ok()?;
        (read.format == FORMAT).then_some(read)
    }

    /// Whether a version knows a setting.
    pub fn knows(&self, section: Section, name: &str, version: &Version) -> Knows {
        let place = |wanted: Ordering| move |read: &Version| read.partial_cmp(version) == Some(wanted);
        let exact = self.read.iter().position(place(Ordering::Equal));
        let below = self.read.iter().rposition(place(Ordering::Less));
        let above = self.read.iter().position(place(Ordering::Greater));
        let Some(ranges) = self.names.get(&section).and_then(|names| names.get(name)) else { return Knows::Nowhere };
        let has = |at: usize| ranges.iter().any(|(first, last)| (*first..=*last).contains(&at));
        let told = |at: usize| self.read.get(at).cloned();
        let here = match (exact, below, above) {
            (Some(exact), ..) => exact,
            (None, Some(below), Some(above)) if has(below) == has(above) => below,
            (None, Some(below), Some(above)) => {
                return told(below)
                    .zip(told(above))
                    .map_or(Knows::Untold, |(below, above)| Knows::Perhaps { below, above });
            }
            (None, Some(nearest), None) | (None, None, Some(nearest)) => nearest,
            (None, None, None) => return Knows::Untold,
        };
        if has(here) {
            return Knows::Yes;
        }
        let since = ranges.iter().map(|(first, _)| *first).find(|first| *first > here).and_then(told);
        let until = ranges.iter().map(|(_, last)| *last).rfind(|last| *last < here).and_then(told);
        Knows::No { since, until }
    }

    /// The settings of a file that a version does not know, or perhaps not, in the order of the
    /// file. A build of somebody's own counts as what it was built on.
    pub fn unknown(&self, config: &Config, version: &Version) -> Vec<Unknown> {
        let version = version.base().unwrap_or_else(|| version.clone());
        let judged = config.settings.iter().map(|named| {
            let knows = self.knows(named.section, named.name.as_str(), &version);
            Unknown { named: named.clone(), knows }
        });
        judged.filter(|unknown| unknown.knows != Knows::Yes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Gate;

    fn version(raw: &str) -> Version {
        raw.parse().unwrap()
    }

    fn sample() -> Settings {
        let read = [("1.1.0", "a"), ("1.2.0", "a b"), ("1.3.0", "a b c"), ("1.4.0", "a c"), ("1.5.0", "a b c")];
        let read = read.map(|(raw, names)| {
            let names = names.split(' ').map(str::to_owned).collect();
            (version(raw), Vocabulary::from([(Section::GeneralSettings, names)]))
        });
        Settings::of(&read)
    }

    #[test]
    fn who_knows_a_setting_is_told_with_the_neighbours() {
        let settings = sample();
        let no = |since: Option<&str>, until: Option<&str>| Knows::No {
            since: since.map(version),
            until: until.map(version),
        };
        let rows = [
            ("a", "1.0.0", Knows::Yes),
            ("a", "1.9.0", Knows::Yes),
            ("b", "1.1.0", no(Some("1.2.0"), None)),
            ("b", "1.1.5", Knows::Perhaps { below: version("1.1.0"), above: version("1.2.0") }),
            ("b", "1.2.5", Knows::Yes),
            ("b", "1.4.0", no(Some("1.5.0"), Some("1.3.0"))),
            ("c", "1.1.5", no(Some("1.3.0"), None)),
            ("c", "1.0.0", no(Some("1.3.0"), None)),
            ("d", "1.3.0", Knows::Nowhere),
        ];
        for (name, raw, expected) in rows {
            assert_eq!(settings.knows(Section::GeneralSettings, name, &version(raw)), expected, "{name} {raw}");
        }
        assert_eq!(settings.knows(Section::RouterSettings, "a", &version("1.3.0")), Knows::Nowhere);
    }

    #[test]
    fn a_file_is_judged_line_by_line() {
        let text = "general_settings:\n  a: 1\n  c: 2\n  d: 3\n";
        let config = Config::read(text, &Clean::ours("config.yaml"), &Gate::default()).unwrap();
        let unknown = sample().unknown(&config, &version("v1.2.0-stable.patch.1"));
        let words: Vec<_> = unknown.iter().map(|one| one.words().to_string()).collect();
        assert_eq!(
            words,
            [
                "general_settings.c (line 3, known since 1.3.0)",
                "general_settings.d (line 4, no version is seen to know it)",
            ]
        );
    }

    #[test]
    fn the_embedded_catalog_is_read_and_written_again_as_it_is() {
        let bytes = include_bytes!("../../../assets/settings.json.gz");
        let settings = Settings::from_bytes(bytes).unwrap();
        assert!(settings.to_bytes().unwrap() == bytes, "the same catalog gives other bytes");
        assert!(bytes.len() < 100 * 1024, "{} bytes", bytes.len());
        assert_eq!(Settings::from_bytes(b"no gzip"), None);
        let master = |raw: &str| settings.knows(Section::GeneralSettings, "master_key", &version(raw));
        assert_eq!((master("1.64.1"), master("1.110.2")), (Knows::Yes, Knows::Yes));
    }
}
