//! The gate: the only way to make text that may be shown or stored.
//!
//! Everything that comes from outside (log lines, rows, errors, configuration, HTTP bodies) is
//! untrusted twice over: it may carry secrets, and it may carry control characters that repaint
//! the operator's terminal. [`Gate::clean`] removes both in one pass, and [`Clean`] has no other
//! constructor than the gate and our own literals. Identifiers are not text: see [`crate::domain::name`].

use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use aho_corasick::AhoCorasick;
use regex::{Captures, Regex};
use serde::Serialize;

/// What stands where a secret stood.
pub const MASK: &str = "[masked]";

/// Text that passed the gate: no known secret, no secret-shaped token, no control character
/// other than a line feed. Cheap to clone.
///
/// ```
/// # use lastgood::text::{Clean, Gate};
/// let shown: Clean = Gate::default().clean("password=hunter22");
/// assert_eq!(shown.as_str(), "password=[masked]");
/// ```
/// ```compile_fail,E0423
/// # use lastgood::text::Clean;
/// let forged = Clean("password=hunter22".into());
/// ```
/// Our own words are literals, and nothing that was read at run time is one:
/// ```compile_fail,E0597
/// # use lastgood::text::Clean;
/// let outside = std::env::args().collect::<String>();
/// let forged = Clean::ours(&outside);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Clean(Arc<str>);

impl Clean {
    /// Our own words. A `&'static str` cannot come from outside.
    pub fn ours(words: &'static str) -> Self {
        Self(Arc::from(words))
    }

    /// Builds text out of parts that are all [`Safe`]. Use the [`say!`](crate::say) macro.
    #[doc(hidden)]
    pub fn assemble(parts: fmt::Arguments<'_>) -> Self {
        Self(Arc::from(parts.to_string()))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first line, which is what a one-line cell shows.
    pub fn first_line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// A part of clean text is clean. `None` when the range does not fall on character boundaries.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Option<Clean> {
        self.0.get(range).map(|part| Self(Arc::from(part)))
    }
}

impl fmt::Display for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Default for Clean {
    fn default() -> Self {
        Self::ours("")
    }
}

/// Values that may be printed into a [`Clean`] by [`say!`](crate::say): numbers, our own
/// literals, clean text, and identifiers that were validated character by character.
/// Implemented in this file and for the validated types of the domain, never for `String`.
pub trait Safe: fmt::Display {}

macro_rules! safe {
    ($($t:ty),* $(,)?) => { $(impl Safe for $t {})* };
}
safe!(
    Clean,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i16,
    i32,
    i64,
    i128,
    isize,
    f64,
    bool,
    char,
    &'static str,
    jiff::Timestamp
);
impl<T: Safe> Safe for &T {}

#[doc(hidden)]
pub fn safe_part<T: Safe>(part: &T) -> &T {
    part
}

/// Refuses format strings that capture a variable by name, because a captured variable would
/// bypass the [`Safe`] bound. Evaluated at compile time.
#[doc(hidden)]
pub const fn positional_only(format: &str) {
    let bytes = format.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'{' {
            assert!(i + 1 < bytes.len(), "unclosed brace");
            let next = bytes[i + 1];
            assert!(next == b'{' || next == b'}' || next == b':', "say! takes its values as arguments, not by name");
            i += 1;
        }
        i += 1;
    }
}

/// `format!` for clean text: every argument must be [`Safe`], so a raw `String` from outside
/// does not compile.
///
/// ```
/// use lastgood::{say, text::Clean};
/// assert_eq!(say!("{} of {}", 1, Clean::ours("two")).as_str(), "1 of two");
/// ```
/// ```compile_fail,E0277
/// # use lastgood::say;
/// let outside = String::from("password=hunter22");
/// let forged = say!("{}", outside);
/// ```
/// Nor does one that is captured by its name:
/// ```compile_fail,E0080
/// # use lastgood::say;
/// let outside = String::from("password=hunter22");
/// let forged = say!("{outside}");
/// ```
#[macro_export]
macro_rules! say {
    ($format:literal $(, $part:expr)* $(,)?) => {{
        const _: () = $crate::text::positional_only($format);
        $crate::text::Clean::assemble(format_args!($format $(, $crate::text::safe_part(&$part))*))
    }};
}

/// A secret value in memory: no `Display`, no `Serialize`, and a `Debug` that shows nothing.
/// Only adapters call [`Secret::expose`], at the point where it leaves for its destination.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a secret value in. Teach it to the [`Gate`] as well.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A value that an undo must put back exactly, secrets included: a saved row or object. It has
/// no `Display`, `Debug` or `Serialize`; only a port opens it, and only a 0600 restore file
/// holds it.
///
/// ```
/// # use lastgood::text::Sealed;
/// assert_eq!(Sealed::new(1).open(), &1);
/// ```
/// ```compile_fail,E0277
/// # use lastgood::text::Sealed;
/// format!("{:?}", Sealed::new(1));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed<T>(T);

impl<T> Sealed<T> {
    /// Seals a value as it came from its source.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Opens the seal; for ports and for the restore file only.
    pub fn open(&self) -> &T {
        &self.0
    }
}

/// Shortest secret that is masked wherever it occurs. A shorter one would blank out ordinary
/// words; it is still masked where its shape gives it away (`password=abc`).
const SHORTEST: usize = 5;

#[derive(Default)]
struct Known {
    secrets: Vec<String>,
    matcher: Option<AhoCorasick>,
}

/// The gate itself. Clones share what they know, so a secret learnt later (from a Kubernetes
/// Secret, say) is masked everywhere from then on.
#[derive(Clone, Default)]
pub struct Gate {
    known: Arc<RwLock<Arc<Known>>>,
}

impl Gate {
    /// A gate that knows these secrets from the start.
    pub fn knowing(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let gate = Self::default();
        for secret in secrets {
            gate.learn(&secret);
        }
        gate
    }

    /// Adds a secret in every form it may come back in: plain, URL-encoded, JSON-escaped, base64.
    pub fn learn(&self, secret: &Secret) {
        use base64::Engine as _;
        let plain = secret.expose();
        if plain.len() < SHORTEST {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut secrets = known.secrets.clone();
        let json = serde_json::to_string(plain).unwrap_or_default();
        let forms = [
            plain.to_owned(),
            percent_encoding::utf8_percent_encode(plain, percent_encoding::NON_ALPHANUMERIC).to_string(),
            json.trim_matches('"').to_owned(),
            base64::engine::general_purpose::STANDARD.encode(plain),
        ];
        for form in forms {
            if !secrets.contains(&form) {
                secrets.push(form);
            }
        }
        // Longest first: a secret that contains another one is masked whole.
        secrets.sort_by_key(|form| std::cmp::Reverse(form.len()));
        let matcher = AhoCorasick::builder().match_kind(aho_corasick::MatchKind::LeftmostLongest).build(&secrets).ok();
        *known = Arc::new(Known { secrets, matcher });
    }

    /// The one door: text from outside becomes text that may be shown and stored.
    pub fn clean(&self, outside: &str) -> Clean {
        Clean(Arc::from(self.scrub(outside)))
    }

    /// The same as a `String`, for sinks that print by themselves (the panic hook).
    pub fn scrub(&self, outside: &str) -> String {
        let known = Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        let text = plain(outside);
        let text = match &known.matcher {
            Some(matcher) if matcher.is_match(&text) => matcher.replace_all(&text, &vec![MASK; known.secrets.len()]),
            _ => text,
        };
        if HINTS.is_match(&text) { mask_shapes(text) } else { text }
    }

    /// A cleaner for a stream of lines, which also masks secrets that span lines.
    pub fn lines(&self) -> LineGate {
        LineGate { gate: self.clone(), inside_pem: false }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// The gate for one stream of lines: remembers that a PEM block is open.
#[derive(Clone, Debug)]
pub struct LineGate {
    gate: Gate,
    inside_pem: bool,
}

impl LineGate {
    /// Cleans the next line of this stream.
    pub fn clean(&mut self, line: &str) -> Clean {
        if self.inside_pem {
            let Some(end) = line.find("-----END ") else { return Clean::ours(MASK) };
            self.inside_pem = false;
            let after = line[end + "-----END ".len()..].split_once("-----").map_or("", |(_, rest)| rest);
            return self.gate.clean(&format!("{MASK}{after}"));
        }
        if let Some(begin) = line.rfind("-----BEGIN ")
            && !line[begin..].contains("-----END ")
        {
            self.inside_pem = true;
        }
        self.gate.clean(line)
    }
}

/// Removes escape sequences whole, then every other control character and the invisible
/// characters that reorder text. Line feeds stay; tabs become spaces.
fn plain(outside: &str) -> String {
    let suspicious = |c: char| (c.is_control() && c != '\n') || is_invisible(c);
    if !outside.chars().any(suspicious) {
        return outside.to_owned();
    }
    anstream::adapter::strip_str(outside)
        .to_string()
        .chars()
        .filter_map(|c| match c {
            '\n' => Some(c),
            '\t' => Some(' '),
            c if c.is_control() || is_invisible(c) => None,
            c => Some(c),
        })
        .collect()
}

/// Zero-width and direction-changing characters: they make one name look like another.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Literals without which no shape can match: most log lines stop here.
static HINTS: LazyLock<AhoCorasick> =
    LazyLock::new(|| build_hints().unwrap_or_else(|why| unreachable!("the hints are literals: {why}")));

fn build_hints() -> Result<AhoCorasick, aho_corasick::BuildError> {
    AhoCorasick::builder().ascii_case_insensitive(true).build([
        "bearer",
        "basic ",
        "eyJ",
        "://",
        "-----BEGIN",
        "sk-",
        "akia",
        "asia",
        "aiza",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "xox",
        "ya29.",
        "hf_",
        "password",
        "passwd",
        "pwd",
        "secret",
        "token",
        "key",
        "authorization",
        "credential",
        "sig=",
    ])
}

struct Shape {
    pattern: Regex,
    mask: fn(&Captures<'_>) -> String,
}

/// The shapes of secrets, most specific first. Each rule keeps what identifies the kind of
/// secret and replaces the rest.
static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    fn all(_: &Captures<'_>) -> String {
        MASK.to_owned()
    }
    fn after_first(captures: &Captures<'_>) -> String {
        format!("{}{MASK}", captures.get(1).map_or("", |m| m.as_str()))
    }
    fn assignment(captures: &Captures<'_>) -> String {
        let [whole, name, between, value] = [0, 1, 2, 3].map(|i| captures.get(i).map_or("", |m| m.as_str()));
        let name_lower = name.to_ascii_lowercase();
        // Counts of tokens are evidence, not secrets; nor are the literals that mean "nothing".
        let counts =
            name_lower.ends_with("tokens") || value.chars().all(|c| c.is_ascii_digit()) && name_lower.contains("token");
        let empty = matches!(value, "null" | "None" | "true" | "false" | "none" | "True" | "False");
        // `Authorization: Bearer …`: the scheme is no secret, and its own rule masked what follows.
        let scheme = value.eq_ignore_ascii_case("bearer") || value.eq_ignore_ascii_case("basic");
        if counts || empty || scheme || value == MASK || value.starts_with(MASK) {
            return whole.to_owned();
        }
        format!("{name}{between}{MASK}")
    }
    let rules: [(&str, fn(&Captures<'_>) -> String); 8] = [
        (r"(?s)-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\z)", all),
        (r#"(?i)([a-z][a-z0-9+.-]*://[^\s:/@"'\\]*:)[^\s"'\\]+@"#, |c| {
            format!("{}{MASK}@", c.get(1).map_or("", |m| m.as_str()))
        }),
        (r"(?i)\b((?:bearer|basic)\s+)[a-z0-9._~+/=-]{6,}", after_first),
        (r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?", all),
        (r"\b(sk-|pk-lf-|glpat-|hf_|gh[pousr]_|github_pat_|xox[abprse]-|ya29\.|AIza)[A-Za-z0-9_.-]{4,}", after_first),
        (r"\b(AKIA|ASIA)[A-Z0-9]{12,}", after_first),
        (
            r#"(?i)\b([a-z0-9_.-]*(?:password|passwd|pwd|secret|token|api[_-]?key|salt[_-]?key|master[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|shared[_-]?key|authorization|credentials?)[a-z0-9_-]*)(\\?["']?\s*[:=]\s*\\?["']?)([^\s"',;&\\)}\]]{3,})"#,
            assignment,
        ),
        (r"(?i)([?&]sig=)[^\s&]+", after_first),
    ];
    rules
        .into_iter()
        .map(|(pattern, mask)| Shape {
            pattern: Regex::new(pattern).unwrap_or_else(|why| unreachable!("a literal pattern: {why}")),
            mask,
        })
        .collect()
});

fn mask_shapes(mut text: String) -> String {
    for shape in SHAPES.iter() {
        if shape.pattern.is_match(&text) {
            text = shape.pattern.replace_all(&text, shape.mask).into_owned();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(outside: &str) -> String {
        Gate::default().scrub(outside)
    }

    #[test]
    fn secret_shapes_are_masked_and_the_rest_is_kept() {
        let rows = [
            ("Authorization: Bearer abcdef123456", "Authorization: Bearer [masked]"),
            ("curl -H 'x: Bearer abcdef123456' ok", "curl -H 'x: Bearer [masked]' ok"),
            ("postgresql://llm:p%40ss/w@rd@db:5432/x down", "postgresql://llm:[masked]@db:5432/x down"),
            ("redis://:hunter2@cache:6379", "redis://:[masked]@cache:6379"),
            ("key sk-1234 used", "key sk-[masked] used"),
            ("id AKIAABCDEFGHIJKLMNOP", "id AKIA[masked]"),
            ("jwt eyJhbGciOi.eyJzdWIiOiI.sig-_1", "jwt [masked]"),
            ("LITELLM_SALT_KEY=so-salty end", "LITELLM_SALT_KEY=[masked] end"),
            (r#"{"password": "hunter2", "n": 1}"#, r#"{"password": "[masked]", "n": 1}"#),
            ("usage: total_tokens=30 prompt_tokens: 12", "usage: total_tokens=30 prompt_tokens: 12"),
            ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nafter", "[masked]\nafter"),
            ("plain words stay", "plain words stay"),
        ];
        for (outside, expected) in rows {
            assert_eq!(scrubbed(outside), expected);
        }
    }

    #[test]
    fn control_characters_cannot_reach_the_screen() {
        assert_eq!(scrubbed("\u{1b}[2J\u{1b}]0;title\u{7}red\u{1b}[31m\r\nx\tq\u{9b}31m\u{202e}"), "red\nx q31m");
    }

    #[test]
    fn a_learnt_secret_is_masked_in_every_encoding() {
        let gate = Gate::default();
        let copy = gate.clone();
        gate.learn(&Secret::new("s3cr3t/pass\"word"));
        for form in ["s3cr3t/pass\"word", "s3cr3t%2Fpass%22word", "s3cr3t/pass\\\"word", "czNjcjN0L3Bhc3Mid29yZA=="] {
            assert_eq!(copy.scrub(&format!("<{form}>")), "<[masked]>");
        }
    }

    #[test]
    fn a_pem_block_over_several_lines_is_masked_whole() {
        let mut lines = Gate::default().lines();
        let cleaned: Vec<_> = ["a -----BEGIN PRIVATE KEY-----", "MIIE", "-----END PRIVATE KEY----- b", "c"]
            .into_iter()
            .map(|line| lines.clean(line).to_string())
            .collect();
        assert_eq!(cleaned, ["a [masked]", "[masked]", "[masked] b", "c"]);
    }

    #[test]
    fn say_prints_safe_parts() {
        assert_eq!(say!("{} of {} {{}}", 1, Clean::ours("two")).as_str(), "1 of two {}");
    }
}
