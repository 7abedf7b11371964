//! Secrets that the gate was told, found in whatever encoding they come back in.
//!
//! Encoders disagree about which characters they escape and how, so no list of encoded forms is
//! complete. A text with escapes in it is therefore also searched as it reads with them undone,
//! and what is found is masked where it stands. Base64 has no escapes to undo; its forms are kept.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Shortest secret that is masked wherever it occurs. A shorter one would blank out ordinary
/// words; it is still masked where its shape gives it away (`password=abc`).
const SHORTEST: usize = 5;
/// From this length on a secret is also masked within a longer word.
const LONG: usize = 8;
/// How many layers of escapes are undone: a URL in JSON in JSON has three.
const LAYERS: usize = 3;

/// Words of the trade that are also poor passwords. Blanking them out everywhere would destroy
/// what the operator came to read.
const ORDINARY: &[&str] = &[
    "admin",
    "administrator",
    "authentication",
    "cache",
    "connection",
    "container",
    "database",
    "default",
    "deployment",
    "docker",
    "error",
    "example",
    "false",
    "gateway",
    "guest",
    "healthy",
    "kubernetes",
    "litellm",
    "llmproxy",
    "localhost",
    "login",
    "master",
    "masked",
    "migration",
    "model",
    "models",
    "openai",
    "password",
    "postgres",
    "postgresql",
    "prisma",
    "production",
    "proxy",
    "public",
    "redis",
    "schema",
    "secret",
    "server",
    "staging",
    "token",
    "warning",
];

/// One form of a secret.
#[derive(Clone, PartialEq, Eq)]
struct Form {
    text: String,
    reach: Reach,
}

/// What an occurrence must look like, and how far it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Wherever it stands.
    Anywhere,
    /// Only as a word: letters and digits on neither side.
    Word,
    /// Within base64, all of which is masked: its ends hold bits of the secret.
    Base64,
}

/// The secrets that are known.
#[derive(Default)]
pub(super) struct Learnt {
    forms: Vec<Form>,
    matcher: Option<AhoCorasick>,
}

impl Learnt {
    /// These and one more; `None` when it is known already or too ordinary.
    pub(super) fn with(&self, secret: &str) -> Option<Self> {
        let mut forms = self.forms.clone();
        // A key file comes back line by line.
        let lines = secret.lines().map(str::trim).filter(|line| secret.contains('\n') && line.len() >= 16);
        for part in std::iter::once(secret).chain(std::iter::once(secret.trim())).chain(lines) {
            for form in forms_of(part) {
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        if forms.len() == self.forms.len() {
            return None;
        }
        // Longest first: a secret that contains another one is masked whole.
        forms.sort_by_key(|form| std::cmp::Reverse(form.text.len()));
        let matcher = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(forms.iter().map(|form| form.text.as_bytes()))
            .ok();
        Some(Self { forms, matcher })
    }

    /// Where known secrets stand in the text, as byte ranges in no order.
    pub(super) fn spans(&self, text: &str) -> Vec<Range<usize>> {
        let Some(matcher) = &self.matcher else { return Vec::new() };
        let mut found = self.within(matcher, text.as_bytes());
        let [percent, slash] = [b'%', b'\\'].map(|mark| memchr::memchr(mark, text.as_bytes()).is_some());
        let undo: &[Undo] = match (percent, slash) {
            (false, false) => &[],
            (true, false) => &[Undo::Percent],
            (false, true) => &[Undo::Backslash],
            (true, true) => &[Undo::Percent, Undo::Backslash, Undo::Both],
        };
        for undo in undo {
            let mut view = View::of(text);
            for _ in 0..LAYERS {
                let Some(undone) = view.undone(*undo) else { break };
                view = undone;
                found.extend(self.within(matcher, &view.bytes).into_iter().map(|range| view.source(range)));
            }
        }
        found
    }

    fn within(&self, matcher: &AhoCorasick, bytes: &[u8]) -> Vec<Range<usize>> {
        if !matcher.is_match(bytes) {
            return Vec::new();
        }
        let hits = matcher.find_overlapping_iter(bytes);
        hits.filter_map(|hit| self.forms[hit.pattern().as_usize()].reach.of(bytes, hit.range())).collect()
    }
}

impl Reach {
    fn of(self, bytes: &[u8], hit: Range<usize>) -> Option<Range<usize>> {
        let before = bytes[..hit.start].iter().rev();
        let behind = bytes[hit.end..].iter();
        match self {
            Reach::Anywhere => Some(hit),
            Reach::Word => {
                let joined = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
                (!joined(before.clone().next()) && !joined(behind.clone().next())).then_some(hit)
            }
            Reach::Base64 => {
                let fits = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
                Some(hit.start - before.take_while(fits).count()..hit.end + behind.take_while(fits).count())
            }
        }
    }
}

fn forms_of(secret: &str) -> Vec<Form> {
    if secret.len() < SHORTEST || ORDINARY.contains(&secret.to_ascii_lowercase().as_str()) {
        return Vec::new();
    }
    let reach = if secret.len() < LONG { Reach::Word } else { Reach::Anywhere };
    let plain = |text: String| Form { text, reach };
    let mut forms = vec![
        plain(secret.to_owned()),
        plain(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string()),
        plain(serde_json::to_string(secret).unwrap_or_default().trim_matches('"').to_owned()),
        plain(secret.replace(' ', "+")),
        plain(html(secret)),
    ];
    let base64 = |text: String| Form { text, reach: Reach::Base64 };
    forms.extend([STANDARD.encode(secret), STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)].map(base64));
    if secret.len() >= LONG {
        forms.extend((0..3).flat_map(|shift| shifted(secret, shift)).map(base64));
        forms.push(plain(secret.bytes().map(|byte| format!("{byte:02x}")).collect()));
        forms.push(plain(secret.bytes().map(|byte| format!("{byte:02X}")).collect()));
    }
    forms.retain(|form| form.text.len() >= SHORTEST);
    forms
}

/// What the secret looks like within the base64 of a longer text, `shift` bytes into a group of
/// three: without the characters that its neighbours have a share in.
fn shifted(secret: &str, shift: usize) -> [String; 2] {
    let padded = [&[0; 2][..shift], secret.as_bytes()].concat();
    let first = (shift * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)].map(|text| text[first..last].to_owned())
}

fn html(secret: &str) -> String {
    secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// Which escapes are undone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Undo {
    Percent,
    Backslash,
    Both,
}

/// A text as it reads with escapes undone, and where each of its bytes came from.
struct View {
    bytes: Vec<u8>,
    /// The offset in the text of each byte, and of the end.
    from: Vec<usize>,
}

impl View {
    fn of(text: &str) -> Self {
        Self { bytes: text.as_bytes().to_vec(), from: (0..=text.len()).collect() }
    }

    fn source(&self, range: Range<usize>) -> Range<usize> {
        self.from[range.start]..self.from[range.end]
    }

    /// One layer less; `None` when there is nothing to undo.
    fn undone(&self, undo: Undo) -> Option<Self> {
        let mut next = Self { bytes: Vec::with_capacity(self.bytes.len()), from: Vec::with_capacity(self.from.len()) };
        let mut at = 0;
        let mut changed = false;
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            let escape = match rest[0] {
                b'%' if undo != Undo::Backslash => percent(rest),
                b'\\' if undo != Undo::Percent => backslash(rest),
                _ => None,
            };
            let mut buffer = [0; 4];
            let (read, length) = match escape {
                Some((c, length)) => (c.write(&mut buffer), length),
                None => (&rest[..1], 1),
            };
            changed |= length > 1;
            next.bytes.extend_from_slice(read);
            next.from.extend(std::iter::repeat_n(self.from[at], read.len()));
            at += length;
        }
        next.from.push(self.from[self.bytes.len()]);
        changed.then_some(next)
    }
}

/// What an escape stands for.
enum Unescaped {
    Byte(u8),
    Char(char),
}

impl Unescaped {
    fn write(self, buffer: &mut [u8; 4]) -> &[u8] {
        match self {
            Unescaped::Byte(byte) => {
                buffer[0] = byte;
                &buffer[..1]
            }
            Unescaped::Char(c) => c.encode_utf8(buffer).as_bytes(),
        }
    }
}

fn percent(rest: &[u8]) -> Option<(Unescaped, usize)> {
    Some((Unescaped::Byte(u8::try_from(hex(rest.get(1..3)?)?).ok()?), 3))
}

/// The escapes of JSON, Go, Python and Rust.
fn backslash(rest: &[u8]) -> Option<(Unescaped, usize)> {
    let byte = |byte: u8| Some((Unescaped::Byte(byte), 2));
    match rest.get(1)? {
        b'u' => {
            let first = hex(rest.get(2..6)?)?;
            if let (0xd800..=0xdbff, Some(b"\\u"), Some(second)) =
                (first, rest.get(6..8), rest.get(8..12).and_then(hex))
                && (0xdc00..=0xdfff).contains(&second)
            {
                let c = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
                return Some((Unescaped::Char(c), 12));
            }
            Some((Unescaped::Char(char::from_u32(first)?), 6))
        }
        b'x' => Some((Unescaped::Char(char::from_u32(hex(rest.get(2..4)?)?)?), 4)),
        b'n' => byte(b'\n'),
        b't' => byte(b' '),
        mark @ (b'"' | b'\'' | b'\\' | b'/') => byte(*mark),
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}
