//! One TOML table with its place and its lines, read key by key; what is wrong becomes a fault.

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::domain::name::BadName;
use crate::domain::runbook::{Fault, Source};
use crate::text::{Clean, Gate, Secret};

/// What messages call the document itself.
const DOCUMENT: &str = "the file";

/// Words that people try, and the keys that are meant.
const OTHER_WORDS: [(&str, &str); 13] = [
    ("cache", "redis"),
    ("cache_namespace", "redis_namespace"),
    ("redis_url", "redis"),
    ("billing", "lago"),
    ("database_url", "database"),
    ("db", "database"),
    ("kube_context", "context"),
    ("cluster", "context"),
    ("deployments", "workloads"),
    ("workload", "workloads"),
    ("gateway_url", "gateway"),
    ("backups", "backup_folder"),
    ("model", "test_model"),
];

/// The known word that an unknown one most likely stands for.
pub(super) fn suggest(unknown: &str, known: &[&'static str]) -> Option<&'static str> {
    let other = OTHER_WORDS.into_iter().find(|(word, key)| *word == unknown && known.contains(key));
    if let Some((_, key)) = other {
        return Some(key);
    }
    let near = known.iter().map(|word| (strsim::osa_distance(&unknown.to_lowercase(), word), *word)).min()?;
    (near.0 <= (near.1.len() / 3).max(1)).then_some(near.1)
}

/// A table: where it is, and the keys that were not read yet.
pub(super) struct Section<'t> {
    place: Clean,
    at: usize,
    table: DeTable<'t>,
}

impl<'t> Section<'t> {
    /// A table that messages call `place`, whose heading stands at byte `at`.
    pub(super) fn new(place: Clean, at: usize, table: DeTable<'t>) -> Self {
        Self { place, at, table }
    }

    /// The whole document.
    pub(super) fn document(table: DeTable<'t>) -> Self {
        Self::new(Clean::ours(DOCUMENT), 0, table)
    }

    /// What messages call a table in it.
    fn within(&self, key: &'static str) -> Clean {
        if self.place.as_str() == DOCUMENT { Clean::ours(key) } else { say!("{}.{}", self.place, key) }
    }

    /// What messages call it.
    pub(super) fn place(&self) -> &Clean {
        &self.place
    }

    /// The byte at which its heading stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The byte at which a key's value stands; the heading when it is not there.
    pub(super) fn at_key(&self, key: &str) -> usize {
        self.table.get(key).map_or(self.at, |value| value.span().start)
    }

    /// The key is there and was not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value as a string, where it is one. Leaves it in place.
    pub(super) fn literal(&self, key: &str) -> Option<String> {
        self.table.get(key).and_then(|value| value.get_ref().as_str()).map(str::to_owned)
    }

    /// Forgets a key that has its fault already.
    pub(super) fn drop_key(&mut self, key: &str) {
        self.table.remove(key);
    }

    /// All entries, in the order of the file.
    pub(super) fn into_entries(self) -> Vec<(Spanned<Cow<'t, str>>, Spanned<DeValue<'t>>)> {
        let mut entries: Vec<_> = self.table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }
}

/// Reads sections and collects faults.
pub(super) struct Reader<'a> {
    text: &'a str,
    file: Clean,
    gate: &'a Gate,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    /// A reader of this file without a fault so far.
    pub(super) fn new(source: Source<'a>, gate: &'a Gate) -> Self {
        Self { text: source.text, file: gate.clean(source.file), gate, faults: Vec::new() }
    }

    /// No fault so far.
    pub(super) fn sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// Every fault, in the order of lines.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| fault.line);
        self.faults
    }

    /// A key or a name of the file, cleaned for a message.
    pub(super) fn clean(&self, raw: &str) -> Clean {
        self.gate.clean(raw)
    }

    /// Teaches the gate a secret that was written where none belongs.
    pub(super) fn learn(&self, secret: &Secret) {
        self.gate.learn(secret);
    }

    /// Records a fault at a byte of the file.
    pub(super) fn fault(&mut self, at: usize, what: Clean, remedy: Clean) {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        self.faults.push(Fault { file: self.file.clone(), line: Some(line), node: None, what, remedy });
    }

    /// Records what the TOML parser refuses. Its messages name the rule, not the text.
    pub(super) fn syntax(&mut self, errors: &[toml::de::Error]) {
        let mut repeated_table = None;
        for error in errors {
            let span = error.span().unwrap_or_default();
            let duplicate = error.message().starts_with("duplicate key");
            // Every key of a table that stands twice would be told again.
            let table = self.text.get(..span.start).unwrap_or_default().rfind("\n[").map_or(0, |line| line + 1);
            if duplicate && repeated_table == Some(table) {
                continue;
            }
            if duplicate && self.text.get(table..span.start).is_some_and(|between| !between.contains('\n')) {
                repeated_table = Some(table);
            }
            self.refused_by_toml(span, error.message(), duplicate);
        }
    }

    fn refused_by_toml(&mut self, span: std::ops::Range<usize>, message: &str, duplicate: bool) {
        if duplicate {
            let key = self.clean(self.text.get(span.clone()).unwrap_or_default().trim());
            self.fault(
                span.start,
                say!("`{}` stands twice", key),
                Clean::ours("keep one; two environments need two names"),
            );
        } else {
            let why = self.clean(message);
            self.fault(span.start, say!("this is not TOML: {}", why), Clean::ours("correct this line; see toml.io"));
        }
    }

    /// One fault for each key that does not exist, with the key that was probably meant.
    pub(super) fn refuse_unknown(&mut self, section: &Section<'_>, known: &[&'static str]) {
        let unknown: Vec<_> = section
            .table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .map(|key| (key.span().start, key.get_ref().to_string()))
            .collect();
        for (at, key) in unknown {
            let remedy = match suggest(&key, known) {
                Some(near) => say!("did you mean `{}`?", near),
                None => say!("remove it; the keys here are {}", self.gate.clean(&known.join(", "))),
            };
            let key = self.clean(&key);
            self.fault(at, say!("unknown key `{}` in {}", key, section.place), remedy);
        }
    }

    /// A table under a key. A fault when it is something else.
    pub(super) fn table<'t>(&mut self, section: &mut Section<'t>, key: &'static str) -> Option<Section<'t>> {
        let (name, value) = section.table.remove_entry(key)?;
        let at = name.span().start;
        match value.into_inner() {
            DeValue::Table(table) => Some(Section::new(section.within(key), at, table)),
            _ => {
                self.wrong(section, key, at, "a table");
                None
            }
        }
    }

    /// A string under a key, and where it stands. A fault when it is something else.
    pub(super) fn string(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<(String, usize)> {
        let value = section.table.remove(key)?;
        let at = value.span().start;
        match value.into_inner() {
            DeValue::String(text) => Some((text.into_owned(), at)),
            _ => {
                self.wrong(section, key, at, "a string in quotes");
                None
            }
        }
    }

    /// `true` or `false` under a key.
    pub(super) fn switch(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<bool> {
        let value = section.table.remove(key)?;
        let answer = value.get_ref().as_bool();
        if answer.is_none() {
            self.wrong(section, key, value.span().start, "true or false");
        }
        answer
    }

    /// A port number under a key.
    pub(super) fn port(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<u16> {
        let value = section.table.remove(key)?;
        let number = value.get_ref().as_integer();
        let port = number.and_then(|number| u16::from_str_radix(number.as_str(), number.radix()).ok());
        let port = port.filter(|port| *port != 0);
        if port.is_none() {
            self.wrong(section, key, value.span().start, "a port from 1 to 65535");
        }
        port
    }

    /// A path under a key.
    pub(super) fn path(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
        let (raw, at) = self.string(section, key)?;
        let path = super::parse::path(&raw);
        if path.is_none() {
            self.learn(&Secret::new(raw));
            self.wrong(section, key, at, "the path of a file or a folder");
        }
        path
    }

    /// An identifier under a key.
    pub(super) fn identifier<T: FromStr<Err = BadName>>(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
    ) -> Option<T> {
        let (raw, at) = self.string(section, key)?;
        self.parsed(section, key, &raw, at)
    }

    /// A list of identifiers under a key, with where each stands. Empty when the key is not there.
    pub(super) fn identifiers<T: FromStr<Err = BadName>>(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
    ) -> Vec<(T, usize)> {
        let Some(value) = section.table.remove(key) else { return Vec::new() };
        let at = value.span().start;
        let DeValue::Array(items) = value.into_inner() else {
            self.wrong(section, key, at, "a list, as [\"…\"]");
            return Vec::new();
        };
        if items.is_empty() {
            self.wrong(section, key, at, "a list with something in it");
        }
        let mut names = Vec::new();
        for item in items {
            let at = item.span().start;
            match item.get_ref().as_str() {
                Some(raw) => names.extend(self.parsed(section, key, raw, at).map(|name| (name, at))),
                None => self.wrong(section, key, at, "a list of strings in quotes"),
            }
        }
        names
    }

    fn parsed<T: FromStr<Err = BadName>>(
        &mut self,
        section: &Section<'_>,
        key: &'static str,
        raw: &str,
        at: usize,
    ) -> Option<T> {
        match raw.parse() {
            Ok(value) => Some(value),
            Err(BadName { what, rule }) => {
                let what = say!("`{}` of {} is not {}", key, section.place, what);
                self.fault(at, what, say!("write {}", rule));
                None
            }
        }
    }

    fn wrong(&mut self, section: &Section<'_>, key: &'static str, at: usize, wanted: &'static str) {
        self.fault(at, say!("`{}` of {} is not {}", key, section.place, wanted), say!("write {}", wanted));
    }
}
