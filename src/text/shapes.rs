//! Secrets that nobody told the gate, found by their shape: one pass over the text for the
//! literals without which no shape can be there, and a closer look where one stands.

mod assignment;
pub(super) mod pem;
mod token;
mod url;

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};

pub(super) use assignment::names_secret;

/// What a literal may be the beginning, or the middle, of.
#[derive(Clone, Copy)]
enum Hint {
    /// A part of the name of something secret: `password`.
    Name,
    /// The `value` of a name and value pair.
    Value,
    /// The end of a URL's scheme.
    Url,
    /// The same, percent-encoded.
    EncodedUrl,
    Bearer,
    Basic,
    Jwt,
    Pem,
    /// A token that says what it is; an index of [`token::PREFIXES`].
    Token(usize),
}

const LITERALS: [(&str, Hint); 23] = [
    ("pass", Hint::Name),
    ("pwd", Hint::Name),
    ("secret", Hint::Name),
    ("token", Hint::Name),
    ("key", Hint::Name),
    ("auth", Hint::Name),
    ("credential", Hint::Name),
    ("cookie", Hint::Name),
    ("license", Hint::Name),
    ("salt", Hint::Name),
    ("sig=", Hint::Name),
    ("sig%3d", Hint::Name),
    ("signature=", Hint::Name),
    ("bearer=", Hint::Name),
    ("value", Hint::Value),
    ("://", Hint::Url),
    (r":\/\/", Hint::Url),
    ("%3a%2f%2f", Hint::EncodedUrl),
    ("bearer", Hint::Bearer),
    ("basic", Hint::Basic),
    ("eyj", Hint::Jwt),
    ("-----begin ", Hint::Pem),
    // An Entra client secret has its mark in the middle (`abc8Q~…`).
    ("8q~", Hint::Token(token::ENTRA)),
];

struct Hints {
    matcher: AhoCorasick,
    kinds: Vec<Hint>,
}

static HINTS: LazyLock<Hints> =
    LazyLock::new(|| hints().unwrap_or_else(|why| unreachable!("the hints are literals: {why}")));

fn hints() -> Result<Hints, BuildError> {
    let prefixes = token::PREFIXES.iter().enumerate().map(|(i, prefix)| (prefix.text, Hint::Token(i)));
    let (literals, kinds): (Vec<&str>, Vec<Hint>) = LITERALS.into_iter().chain(prefixes).unzip();
    let matcher =
        AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(literals)?;
    Ok(Hints { matcher, kinds })
}

/// Where secrets stand in the text, as byte ranges in no order.
pub(super) fn spans(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    // What was looked at already, so that no text is looked at once for each of its literals.
    let mut names = 0;
    let mut covered = 0;
    for hit in HINTS.matcher.find_overlapping_iter(text) {
        let (start, end) = (hit.start(), hit.end());
        if start < covered {
            continue;
        }
        let more = match HINTS.kinds[hit.pattern().as_usize()] {
            Hint::Name if start < names => continue,
            Hint::Name => {
                let name = assignment::name_around(text, start..end);
                names = name.end;
                assignment::secret(text, name)
            }
            Hint::Value => assignment::value_of_pair(text, start..end),
            Hint::Url => url::secret(text, start, end),
            Hint::EncodedUrl => url::encoded_secret(text, end),
            Hint::Bearer => token::bearer(text, start, end),
            Hint::Basic => token::basic(text, start, end),
            Hint::Jwt => token::jwt(text, start),
            Hint::Pem => pem::secret(text, start),
            Hint::Token(prefix) => token::prefixed(text, start..end, prefix),
        };
        if let Some(more) = more {
            covered = covered.max(more.end);
            found.push(more);
        }
    }
    found
}

/// Moves on from `at` while the bytes fit.
fn skip(text: &str, at: usize, fits: impl Fn(u8) -> bool) -> usize {
    at + text.as_bytes()[at..].iter().take_while(|byte| fits(**byte)).count()
}

/// Moves back from `at` while the bytes fit.
fn skip_back(text: &str, at: usize, fits: impl Fn(u8) -> bool) -> usize {
    at - text.as_bytes()[..at].iter().rev().take_while(|byte| fits(**byte)).count()
}

/// True when a word ends or begins between the byte before `at` and the one at `at`.
fn starts_word(text: &str, at: usize) -> bool {
    at == 0 || !(text.as_bytes()[at - 1].is_ascii_alphanumeric() || text.as_bytes()[at - 1] == b'_')
}

/// `word`, `Word`: what prose is made of, and no key that a machine made.
fn is_wordlike(text: &str) -> bool {
    let word = text.trim_end_matches(['.', ',', ':', ';', '!', '?', ')']);
    (1..=15).contains(&word.len())
        && word.bytes().enumerate().all(|(i, b)| b.is_ascii_lowercase() || (i == 0 && b.is_ascii_uppercase()))
}
