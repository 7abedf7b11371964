//! Reading a TOML document by hand, so that every problem is collected with its line and its remedy.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as WordError, StrDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::domain::name::BadName;
use crate::text::{Clean, Gate};

/// One problem in a runbook or scenario file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: Clean,
    /// The line, where the parser knows it.
    pub line: Option<usize>,
    /// The node, where it is about one.
    pub node: Option<Clean>,
    /// What is wrong.
    pub what: Clean,
    /// What to do.
    pub remedy: Clean,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(node) = &self.node {
            write!(f, ": node {node}")?;
        }
        write!(f, ": {}; {}", self.what, self.remedy)
    }
}

/// A file before it is parsed.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file name for messages.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// One document while it is read: what it is called, and what was found wrong with it so far.
pub(crate) struct Page<'a> {
    /// The file's name, for messages.
    pub(crate) file: Clean,
    gate: &'a Gate,
    /// Where its lines end.
    ends: Vec<usize>,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> Page<'a> {
    /// Opens a document and parses its syntax. What cannot be read at all is a fault, and the
    /// rest of the document is read nevertheless.
    pub(crate) fn open(source: Source<'a>, gate: &'a Gate) -> (Self, Spanned<DeTable<'a>>) {
        let ends = memchr::memchr_iter(b'\n', source.text.as_bytes()).collect();
        let page = Self { file: gate.clean(source.file), gate, ends, faults: RefCell::default() };
        let (table, errors) = DeTable::parse_recoverable(source.text);
        for error in errors {
            page.fault(
                error.span(),
                None,
                say!("this is not TOML: {}", gate.clean(error.message())),
                Clean::ours("correct the syntax of this line"),
            );
        }
        (page, table)
    }

    /// The line of a place in the text, from 1.
    pub(crate) fn line(&self, at: &Range<usize>) -> usize {
        self.ends.partition_point(|end| *end < at.start) + 1
    }

    /// Text from the document, through the gate.
    pub(crate) fn clean(&self, raw: &str) -> Clean {
        self.gate.clean(raw)
    }

    /// Notes a problem.
    pub(crate) fn fault(&self, at: Option<Range<usize>>, node: Option<&Clean>, what: Clean, remedy: Clean) {
        let line = at.map(|at| self.line(&at));
        self.faults.borrow_mut().push(Fault { file: self.file.clone(), line, node: node.cloned(), what, remedy });
    }

    /// What was found wrong.
    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }
}

/// One table of a document: values are asked for by key, and the keys that nobody asked for are
/// unknown ones.
pub(crate) struct Fields<'p, 'd> {
    page: &'p Page<'d>,
    table: &'p DeTable<'d>,
    at: Range<usize>,
    node: Option<Clean>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'p, 'd> Fields<'p, 'd> {
    /// The table `table`, which stands at `at` and belongs to `node`.
    pub(crate) fn new(page: &'p Page<'d>, table: &'p DeTable<'d>, at: Range<usize>, node: Option<Clean>) -> Self {
        Self { page, table, at, node, asked: RefCell::default() }
    }

    /// Where the table stands.
    pub(crate) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// Notes a problem at `at`, or at the table itself.
    pub(crate) fn fault(&self, at: Option<Range<usize>>, what: Clean, remedy: Clean) {
        self.page.fault(Some(at.unwrap_or_else(|| self.at())), self.node.as_ref(), what, remedy);
    }

    fn value(&self, key: &'static str) -> Option<&'p Spanned<DeValue<'d>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// Whether the key is there.
    pub(crate) fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    fn missing<T>(&self, key: &'static str) -> Option<T> {
        self.fault(None, say!("`{}` is missing", key), say!("add `{} = …`", key));
        None
    }

    fn wrong(&self, key: &'static str, at: Range<usize>, kind: &'static str) {
        self.fault(Some(at), say!("`{}` is not {}", key, kind), say!("write {}", kind));
    }

    /// A string as it stands in the file, and where.
    pub(crate) fn raw(&self, key: &'static str) -> Option<(&'p str, Range<usize>)> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some((text, value.span())),
            None => {
                self.wrong(key, value.span(), "a string");
                None
            }
        }
    }

    /// A string that must be there and must say something.
    pub(crate) fn text(&self, key: &'static str) -> Option<Clean> {
        if !self.has(key) {
            return self.missing(key);
        }
        let (raw, at) = self.raw(key)?;
        if raw.trim().is_empty() {
            self.fault(Some(at), say!("`{}` is empty", key), Clean::ours("say something"));
        }
        Some(self.page.clean(raw.trim()))
    }

    /// A string that may be absent.
    pub(crate) fn text_or_empty(&self, key: &'static str) -> Clean {
        self.raw(key).map(|(raw, _)| self.page.clean(raw.trim())).unwrap_or_default()
    }

    /// An identifier.
    pub(crate) fn parsed<T: FromStr<Err = BadName>>(&self, key: &'static str) -> Option<T> {
        if !self.has(key) {
            return self.missing(key);
        }
        self.parsed_if_there(key)
    }

    /// An identifier that may be absent.
    pub(crate) fn parsed_if_there<T: FromStr<Err = BadName>>(&self, key: &'static str) -> Option<T> {
        let (raw, at) = self.raw(key)?;
        self.parse(raw, at)
    }

    /// Parses an identifier that was found at `at`.
    pub(crate) fn parse<T: FromStr<Err = BadName>>(&self, raw: &str, at: Range<usize>) -> Option<T> {
        raw.parse().map_err(|bad: BadName| self.bad_name(raw, at, &bad)).ok()
    }

    fn bad_name(&self, raw: &str, at: Range<usize>, bad: &BadName) {
        self.fault(Some(at), say!("`{}` is not {}", self.page.clean(raw), bad.what), say!("write {}", bad.rule));
    }

    /// One word of a closed set.
    pub(crate) fn word<T: DeserializeOwned>(&self, key: &'static str, set: &'static str) -> Option<T> {
        if !self.has(key) {
            return self.missing(key);
        }
        self.word_if_there(key, set)
    }

    /// One word of a closed set, which may be absent.
    pub(crate) fn word_if_there<T: DeserializeOwned>(&self, key: &'static str, set: &'static str) -> Option<T> {
        let (raw, at) = self.raw(key)?;
        self.known(raw, at, set)
    }

    /// Words of a closed set.
    pub(crate) fn words<T: DeserializeOwned>(&self, key: &'static str, set: &'static str) -> Vec<T> {
        self.strings(key).into_iter().filter_map(|(raw, at)| self.known(raw, at, set)).collect()
    }

    fn known<T: DeserializeOwned>(&self, raw: &str, at: Range<usize>, set: &'static str) -> Option<T> {
        match T::deserialize(StrDeserializer::<WordError>::new(raw)) {
            Ok(word) => Some(word),
            Err(why) => {
                let why = why.to_string();
                let known = why.split_once("expected ").map_or("", |(_, known)| known);
                self.fault(
                    Some(at),
                    say!("there is no {} `{}`", set, self.page.clean(raw)),
                    say!("use {}", self.page.clean(known)),
                );
                None
            }
        }
    }

    /// A whole number from `0` up, which may be absent.
    pub(crate) fn number_if_there<T: TryFrom<i64>>(&self, key: &'static str) -> Option<T> {
        let value = self.value(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| *number >= 0).and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.wrong(key, value.span(), "a whole number from 0 up that is not too big");
        }
        number
    }

    /// A whole number from `0` up.
    pub(crate) fn number<T: TryFrom<i64>>(&self, key: &'static str) -> Option<T> {
        if self.has(key) { self.number_if_there(key) } else { self.missing(key) }
    }

    /// `true` or `false`; `None` when absent.
    pub(crate) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                self.wrong(key, value.span(), "true or false");
                None
            }
        }
    }

    /// A list of strings as they stand in the file; empty when absent.
    pub(crate) fn strings(&self, key: &'static str) -> Vec<(&'p str, Range<usize>)> {
        let Some(value) = self.value(key) else { return vec![] };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(key, value.span(), "a list of strings");
            return vec![];
        };
        let string = |item: &'p Spanned<DeValue<'d>>| match item.get_ref().as_str() {
            Some(text) => Some((text, item.span())),
            None => {
                self.wrong(key, item.span(), "a list of strings");
                None
            }
        };
        items.iter().filter_map(string).collect()
    }

    /// A table under this one, which may be absent.
    pub(crate) fn table(&self, key: &'static str) -> Option<Fields<'p, 'd>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Fields::new(self.page, table, value.span(), self.node.clone())),
            _ => {
                self.wrong(key, value.span(), "a table");
                None
            }
        }
    }

    /// A list of tables; empty when absent.
    pub(crate) fn tables(&self, key: &'static str) -> Vec<Fields<'p, 'd>> {
        let Some(value) = self.value(key) else { return vec![] };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(key, value.span(), "a list of tables");
            return vec![];
        };
        let table = |item: &'p Spanned<DeValue<'d>>| match item.get_ref() {
            DeValue::Table(table) => Some(Fields::new(self.page, table, item.span(), self.node.clone())),
            _ => {
                self.wrong(key, item.span(), "a list of tables");
                None
            }
        };
        items.iter().filter_map(table).collect()
    }

    /// Every entry of this table whose value is a table itself, by its key.
    pub(crate) fn named_tables(&self) -> Vec<(&'p str, Range<usize>, Fields<'p, 'd>)> {
        let mut found = Vec::new();
        for (key, value) in self.table {
            match value.get_ref() {
                DeValue::Table(table) => {
                    let node = Some(self.page.clean(key.get_ref()));
                    found.push((key.get_ref().as_ref(), key.span(), Fields::new(self.page, table, key.span(), node)));
                }
                _ => self.fault(
                    Some(value.span()),
                    say!("`{}` is not a table", self.page.clean(key.get_ref())),
                    Clean::ours("write a table here"),
                ),
            }
        }
        found
    }

    /// Every entry of this table as a string, by its key.
    pub(crate) fn named_strings(&self) -> Vec<(&'p str, &'p str, Range<usize>)> {
        let mut found = Vec::new();
        for (key, value) in self.table {
            match value.get_ref().as_str() {
                Some(text) => found.push((key.get_ref().as_ref(), text, value.span())),
                None => self.fault(
                    Some(value.span()),
                    say!("`{}` is not a string", self.page.clean(key.get_ref())),
                    Clean::ours("write a string"),
                ),
            }
        }
        found
    }

    /// Ends the reading: every key that nobody asked for is unknown.
    pub(crate) fn finish(self) {
        let mut asked = self.asked.borrow().clone();
        asked.sort_unstable();
        asked.dedup();
        for key in self.table.keys() {
            if !asked.contains(&key.get_ref().as_ref()) {
                self.fault(
                    Some(key.span()),
                    say!("unknown key `{}`", self.page.clean(key.get_ref())),
                    say!("use one of {}", self.page.clean(&asked.join(", "))),
                );
            }
        }
    }
}
