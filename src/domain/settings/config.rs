//! Reads the configuration file as LiteLLM does: with PyYAML, which keeps to YAML 1.1.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::{DISABLE_PRISMA_SCHEMA_UPDATE, SchemaSwitch, Section};
use crate::text::{Clean, Gate};

/// A name in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// In which section.
    pub section: Section,
    /// The name.
    pub name: Clean,
    /// On which line, from 1 on.
    pub line: u64,
}

/// What is read of a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The names in its sections, in the order of the file.
    pub settings: Vec<Named>,
    /// What it says about the schema.
    pub switch: SchemaSwitch,
    /// It takes in other files (`include`), which may say more.
    pub includes: bool,
}

#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    general_settings: Option<Entries>,
    #[serde(default)]
    litellm_settings: Option<Entries>,
    #[serde(default)]
    router_settings: Option<Entries>,
    #[serde(default)]
    include: Option<IgnoredAny>,
}

/// The names of a mapping and where each value begins, in order.
struct Entries(Vec<(Spanned<String>, Spanned<Option<IgnoredAny>>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of settings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(All)
    }
}

impl Config {
    /// Reads the text of a file; `place` says where it lies, for people.
    ///
    /// # Errors
    /// Why it is not such a file, with the line. No text of the file is in it.
    pub fn read(text: &str, place: &Clean, gate: &Gate) -> Result<Self, Clean> {
        let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins, with_snippet: false };
        // An empty file is one without settings.
        let file: Option<File> = serde_saphyr::from_str_with_options(text, options).map_err(|why| {
            let at = why.location().map_or(Clean::default(), |at| say!(" at line {}", at.line()));
            say!("{} is not a configuration file that can be read{}", place, at)
        })?;
        let Some(file) = file else { return Ok(Self::default()) };
        let sections = [
            (Section::GeneralSettings, file.general_settings),
            (Section::LitellmSettings, file.litellm_settings),
            (Section::RouterSettings, file.router_settings),
        ];
        let mut config = Self { includes: file.include.is_some(), ..Self::default() };
        for (section, entries) in sections {
            for (name, value) in entries.into_iter().flat_map(|Entries(all)| all) {
                let line = name.referenced.line();
                if section == Section::GeneralSettings && name.value == DISABLE_PRISMA_SCHEMA_UPDATE {
                    let at = (value.defined.line(), value.defined.column());
                    // Nothing has no place of its own.
                    let said = value.value.map(|_| switch(text, at, &say!("line {} of {}", line, place)));
                    config.switch = said.unwrap_or_default();
                }
                config.settings.push(Named { section, name: gate.clean(&name.value), line });
            }
        }
        if config.includes {
            config.switch = SchemaSwitch::Unknown(say!("{} takes in other files (include)", place));
        }
        Ok(config)
    }
}

/// The plain words that PyYAML takes for true (`resolver.py`).
const TRUE: [&str; 9] = ["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"];

/// What the value at this place says (PyYAML, `resolver.py`; LiteLLM, `str_to_bool`: a text that
/// is neither true nor false counts as false).
fn switch(text: &str, (line, column): (u64, u64), place: &Clean) -> SchemaSwitch {
    let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    let rest: String = text.lines().nth(at(line)).unwrap_or_default().chars().skip(at(column)).collect();
    let (value, quoted) = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => (rest[1..].split(quote).next().unwrap_or_default(), true),
        _ => {
            let plain = rest.split(" #").next().unwrap_or_default();
            (plain.split([',', '}']).next().unwrap_or_default().trim(), false)
        }
    };
    if value.starts_with(['*', '&', '!', '|', '>', '{', '[']) && !quoted || value.starts_with("os.environ/") {
        return SchemaSwitch::Unknown(say!("{} takes it from elsewhere", place));
    }
    let truth = value.trim().eq_ignore_ascii_case("true") || (!quoted && TRUE.contains(&value));
    // A number other than nothing is true.
    let number = !quoted && value.parse::<i64>().is_ok_and(|number| number != 0);
    if truth || number { SchemaSwitch::Off(place.clone()) } else { SchemaSwitch::On(place.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Clean> {
        Config::read(text, &Clean::ours("config.yaml"), &Gate::default())
    }

    #[test]
    fn names_stand_on_their_lines_and_values_stay_outside() {
        let text = "model_list:\n  - model_name: a\ngeneral_settings:\n  master_key: sk-secret\n\n  # about alerts\n  \
                    alerting_args:\n    daily: 1\nrouter_settings: {num_retries: 2, 'timeout': 3}\nlitellm_settings:\n";
        let config = read(text).unwrap();
        let told: Vec<_> =
            config.settings.iter().map(|named| format!("{} {} {}", named.section, named.name, named.line)).collect();
        assert_eq!(
            told,
            [
                "general_settings master_key 4",
                "general_settings alerting_args 7",
                "router_settings num_retries 9",
                "router_settings timeout 9",
            ]
        );
        assert!(!format!("{config:?}").contains("sk-secret"));
    }

    #[test]
    fn what_the_file_says_about_the_schema_is_read_as_pyyaml_reads_it() {
        use SchemaSwitch::{Off, On, Unknown, Unset};
        let place = || Clean::ours("line 2 of config.yaml");
        let rows = [
            ("true", Off(place())),
            ("True", Off(place())),
            ("yes # for now", Off(place())),
            ("ON", Off(place())),
            ("\"true\"", Off(place())),
            ("' TRUE '", Off(place())),
            ("1", Off(place())),
            ("false", On(place())),
            ("no", On(place())),
            ("0", On(place())),
            ("\"yes\"", On(place())),
            ("y", On(place())),
            ("tRUE", Off(place())),
            ("nan", On(place())),
            ("\"\"", On(place())),
            ("", Unset),
            ("null", Unset),
            ("~", Unset),
            ("# later", Unset),
            ("os.environ/SCHEMA", Unknown(Clean::ours("line 2 of config.yaml takes it from elsewhere"))),
            ("\"os.environ/SCHEMA\"", Unknown(Clean::ours("line 2 of config.yaml takes it from elsewhere"))),
        ];
        for (value, expected) in rows {
            let text = format!("general_settings:\n  disable_prisma_schema_update: {value}\n  other: 1\n");
            assert_eq!(read(&text).unwrap().switch, expected, "{value}");
        }
        let flow = read("general_settings: {disable_prisma_schema_update: true, other: 1}").unwrap();
        assert!(matches!(flow.switch, Off(_)));
        let twice = "general_settings:\n  disable_prisma_schema_update: true\n  disable_prisma_schema_update: false\n";
        assert!(matches!(read(twice).unwrap().switch, On(_)));
        // In another section it says nothing.
        assert_eq!(read("litellm_settings:\n  disable_prisma_schema_update: true\n").unwrap().switch, Unset);
        assert!(matches!(read("include:\n  - more.yaml\n").unwrap().switch, Unknown(_)));
    }

    #[test]
    fn a_file_that_cannot_be_read_says_where_and_shows_nothing() {
        for (text, expected) in [
            ("general_settings:\n  a: [sk-secret\n", "config.yaml is not a configuration file that can be read"),
            ("general_settings: sk-secret\n", "config.yaml is not a configuration file that can be read at line 1"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.as_str().starts_with(expected) && !why.as_str().contains("sk-secret"), "{why}");
        }
        for empty in ["", "# nothing\n", "general_settings:\n", "general_settings: {}\n"] {
            assert_eq!(read(empty), Ok(Config::default()), "{empty:?}");
        }
    }
}
