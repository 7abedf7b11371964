//! Log lines of the workload's pods: cleaned, matched and shared in immutable segments.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use memchr::memmem::Finder;

use crate::domain::checks::{LagoLine, lago_line};
use crate::domain::name::{Name, Uid};
use crate::domain::signature::Signatures;
use crate::domain::trouble::Trouble;
use crate::text::{Clean, Piece};

/// One container's stream of one pod.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogSource {
    /// The pod's UID: a later pod of the same name is another source.
    pub uid: Uid,
    /// The pod's name.
    pub pod: Name,
    /// The container's name.
    pub container: Name,
    /// The log of the container's previous run instead of the current one.
    pub previous: bool,
}

/// How loud a line says it is. Ordered: an error is more than a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// How much of a line that is not JSON is looked at for its level.
const HEAD: usize = 256;
/// Keys whose value is the level, in JSON lines.
const KEYS: [&str; 3] = ["\"level\"", "\"levelname\"", "\"severity\""];

impl Level {
    /// The level of this name, in the spellings of Python, Go, JavaScript and Rust loggers.
    pub fn named(word: &str) -> Option<Self> {
        const NAMES: [(&str, Level); 11] = [
            ("debug", Level::Debug),
            ("trace", Level::Debug),
            ("info", Level::Info),
            ("notice", Level::Info),
            ("warn", Level::Warning),
            ("warning", Level::Warning),
            ("error", Level::Error),
            ("err", Level::Error),
            ("critical", Level::Error),
            ("fatal", Level::Error),
            ("panic", Level::Error),
        ];
        NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
    }

    /// The level that a line gives itself: in JSON the value of its key, elsewhere the first name
    /// of a level near the beginning that is in capitals or opens the line before a colon.
    pub fn of(line: &str) -> Option<Self> {
        if line.starts_with('{') {
            return KEYS.iter().find_map(|key| Self::after(line, key));
        }
        let head = &line.as_bytes()[..line.len().min(HEAD)];
        let mut at = 0;
        while at < head.len() {
            let length = head[at..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let word = &head[at..at + length];
            let opens = at == 0 && head.get(length) == Some(&b':');
            if (3..=8).contains(&length)
                && (opens || word.iter().all(u8::is_ascii_uppercase))
                && let Some(level) = std::str::from_utf8(word).ok().and_then(Self::named)
            {
                return Some(level);
            }
            at += length.max(1);
        }
        None
    }

    /// The level in the text after a JSON key.
    fn after(line: &str, key: &str) -> Option<Self> {
        let (_, value) = line.split_once(key)?;
        let value = value.trim_start_matches([' ', ':', '"']);
        let end = value.bytes().take_while(u8::is_ascii_alphabetic).count();
        Self::named(&value[..end])
    }
}

/// One line, or a mark of ours between lines.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// When the kubelet received it. Lines of a burst often share one timestamp.
    pub at: Timestamp,
    /// Whose line it is.
    pub source: Arc<LogSource>,
    /// The text without the timestamp.
    pub text: Piece,
    /// How loud it says it is, where it says so.
    pub level: Option<Level>,
    /// Index of the signature that matched, in the table in force.
    pub signature: Option<u16>,
    /// Set for a mark of the console itself, which is no line of the pod.
    pub ours: Option<Ours>,
}

/// What a mark of the console between lines says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    /// Something about the stream; every line is there.
    Remark,
    /// Lines of the pod are missing before it, and nobody saw them.
    Gap,
}

impl LogLine {
    /// A line of a pod. No signature was looked for yet.
    pub fn new(at: Timestamp, source: &Arc<LogSource>, text: Clean) -> Self {
        let level = Level::of(text.as_str());
        Self { at, source: Arc::clone(source), text: text.into(), level, signature: None, ours: None }
    }

    /// A mark of ours between the lines.
    pub fn mark(at: Timestamp, source: &Arc<LogSource>, ours: Ours, text: Clean) -> Self {
        Self { at, source: Arc::clone(source), text: text.into(), level: None, signature: None, ours: Some(ours) }
    }

    /// Bytes of memory that it takes: itself and its text.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.text.as_str().len()
    }
}

/// Lines of one source in the order of its stream, never changed after: shared and not copied,
/// with what is wanted of them counted once, where they arrive.
#[derive(Clone, PartialEq)]
pub struct Segment(Arc<Lines>);

#[derive(PartialEq)]
struct Lines {
    all: Box<[LogLine]>,
    /// Rows that matched a signature.
    hits: Box<[u32]>,
    /// Rows that matched a signature that counts as an error.
    errors: Box<[u32]>,
    /// The last row of each kind that Lago's logger wrote.
    lago: [Option<u32>; 2],
    /// The last row that says how many migrations there are.
    counted: Option<u32>,
    /// The last row that marks a gap.
    gap: Option<u32>,
    weight: usize,
}

/// Bytes of memory that a segment takes besides its lines: counters, rows, and what allocations lose.
const SELF_WEIGHT: usize = 256;

impl From<Vec<LogLine>> for Segment {
    fn from(mut lines: Vec<LogLine>) -> Self {
        Piece::pack(lines.iter_mut().map(|line| &mut line.text));
        let weight = SELF_WEIGHT + lines.iter().map(LogLine::weight).sum::<usize>();
        let all = lines.into_boxed_slice();
        Self(Arc::new(Lines {
            all,
            hits: Box::default(),
            errors: Box::default(),
            lago: [None; 2],
            counted: None,
            gap: None,
            weight,
        }))
    }
}

impl Segment {
    /// The same lines, each looked at once for signatures and for what Lago's logger writes.
    #[must_use]
    pub fn matched(self, signatures: &Signatures) -> Self {
        let Lines { mut all, weight, .. } = Arc::try_unwrap(self.0).unwrap_or_else(|shared| shared.copy());
        let (mut hits, mut errors, mut lago, mut counted, mut gap) = (Vec::new(), Vec::new(), [None; 2], None, None);
        for (row, line) in (0..).zip(&mut all) {
            line.signature = signatures.find(line.text.as_str());
            if let Some(signature) = line.signature {
                hits.push(row);
                if signatures.get(signature).counts {
                    errors.push(row);
                }
            }
            if let Some(kind) = lago_line(line.text.as_str()) {
                lago[kind as usize] = Some(row);
            }
            if migrations_counted(line.text.as_str()).is_some() {
                counted = Some(row);
            }
            if line.ours == Some(Ours::Gap) {
                gap = Some(row);
            }
        }
        Self(Arc::new(Lines { all, hits: hits.into(), errors: errors.into(), lago, counted, gap, weight }))
    }

    /// These lines and those that came after them, as one segment.
    #[must_use]
    pub fn with(&self, later: &Self) -> Self {
        let (a, b) = (&self.0, &later.0);
        let rows = u32::try_from(a.all.len()).unwrap_or(u32::MAX);
        let both = |a: &[u32], b: &[u32]| a.iter().copied().chain(b.iter().map(|row| row + rows)).collect();
        Self(Arc::new(Lines {
            all: a.all.iter().chain(&b.all).cloned().collect(),
            hits: both(&a.hits, &b.hits),
            errors: both(&a.errors, &b.errors),
            lago: [0, 1].map(|kind| b.lago[kind].map(|row| row + rows).or(a.lago[kind])),
            counted: b.counted.map(|row| row + rows).or(a.counted),
            gap: b.gap.map(|row| row + rows).or(a.gap),
            weight: a.weight + b.weight,
        }))
    }

    /// The lines that matched a signature.
    pub fn hits(&self) -> impl Iterator<Item = &LogLine> {
        self.0.hits.iter().filter_map(|row| self.0.all.get(*row as usize))
    }

    /// The rows of the lines whose signature counts as an error, in their order.
    pub fn errors(&self) -> &[u32] {
        &self.0.errors
    }

    /// The last line of a kind that Lago's logger wrote.
    pub fn lago(&self, kind: LagoLine) -> Option<&LogLine> {
        self.0.all.get(self.0.lago[kind as usize]? as usize)
    }

    /// The last line that says how many migrations there are, and how many.
    pub fn counted(&self) -> Option<(&LogLine, u32)> {
        let line = self.0.all.get(self.0.counted? as usize)?;
        Some((line, migrations_counted(line.text.as_str())?))
    }

    /// The last mark of a gap.
    pub fn gap(&self) -> Option<&LogLine> {
        self.0.all.get(self.0.gap? as usize)
    }

    /// Bytes of memory that it takes.
    pub fn weight(&self) -> usize {
        self.0.weight
    }
}

impl Lines {
    fn copy(&self) -> Self {
        Self {
            all: self.all.clone(),
            hits: self.hits.clone(),
            errors: self.errors.clone(),
            lago: self.lago,
            counted: self.counted,
            gap: self.gap,
            weight: self.weight,
        }
    }
}

impl Deref for Segment {
    type Target = [LogLine];

    fn deref(&self) -> &[LogLine] {
        &self.0.all
    }
}

/// Says how many lines it has: they are many, and nobody reads them here.
impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({} lines)", self.len())
    }
}

/// How many migrations a line says that there are: Prisma's when it deploys (`66 migrations found in
/// prisma/migrations`), which LiteLLM logs as it is, and LiteLLM's own (`Found 66 migrations at …`;
/// litellm-proxy-extras 0.4.23, `utils.py`).
fn migrations_counted(line: &str) -> Option<u32> {
    static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(" migration"));
    let at = WORD.find(line.as_bytes())?;
    let (before, after) = (&line[..at], &line[at + " migration".len()..]);
    let words = before.trim_end_matches(|c: char| c.is_ascii_digit());
    let after = after.strip_prefix('s').unwrap_or(after);
    let prisma = after.starts_with(" found in prisma/migrations");
    let own = words.ends_with("Found ") && after.starts_with(" at ");
    before[words.len()..].parse().ok().filter(|_| prisma || own)
}

/// What a log feed brings.
#[derive(Clone, Debug, PartialEq)]
pub enum LogItem {
    /// The stream is open: from here on a silence is a silence.
    Following,
    /// Lines in the order of the stream.
    Lines(Segment),
    /// The stream ended because the container did.
    Ended,
    /// The stream is lost and will be opened again; why.
    Lost(Trouble),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_migrations_there_are() {
        let rows = [
            ("66 migrations found in prisma/migrations", Some(66)),
            ("1 migration found in prisma/migrations", Some(1)),
            (
                r#"{"message": "prisma migrate deploy stdout: ...\n\n220 migrations found in prisma/migrations\n"}"#,
                Some(220),
            ),
            ("Found 66 migrations at /usr/lib/python3.13/site-packages/litellm_proxy_extras/migrations", Some(66)),
            ("Found 66 migrations", None),
            ("found failed migrations in the target database", None),
            ("99999999999 migrations found in prisma/migrations", None),
            (" migrations found in prisma/migrations", None),
            ("", None),
        ];
        for (line, expected) in rows {
            assert_eq!(migrations_counted(line), expected, "{line}");
        }
    }

    #[test]
    fn a_line_says_how_loud_it_is() {
        let rows = [
            ("2026-11-20 11:49:18,208 - litellm_proxy_extras - WARNING - x", Some(Level::Warning)),
            ("INFO:     10.0.12.7:51834 - \"POST /v1/chat HTTP/1.1\" 200 OK", Some(Level::Info)),
            (r#"{"message": "an ERROR", "level": "info"}"#, Some(Level::Info)),
            (r#"{"level": "error", "message": "x"}"#, Some(Level::Error)),
            (r#"{"severity":"warn"}"#, Some(Level::Warning)),
            ("Error: P3009", Some(Level::Error)),
            ("the error of my ways", None),
            ("ERRORS are many", None),
            ("E", None),
            ("", None),
        ];
        for (line, level) in rows {
            assert_eq!(Level::of(line), level, "{line}");
        }
    }
}
