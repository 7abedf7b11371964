//! The gate itself: removes what repaints a terminal, what is known to be secret, and what looks it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use super::learnt::Learnt;
use super::lines::LineGate;
use super::{Clean, MASK, Secret, shapes};

/// How often a text is looked at again after something in it was masked. Masking only shortens
/// what there is to find, so the first look nearly always finds everything.
const LOOKS: usize = 8;

/// The gate itself. Clones share what they know, so a secret learnt later (from a Kubernetes
/// Secret, say) is masked everywhere from then on.
#[derive(Clone, Default)]
pub struct Gate {
    known: Arc<RwLock<Arc<Learnt>>>,
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

    /// Adds a secret in every form it may come back in: plain, percent-encoded, escaped, base64.
    /// A word of the trade (`postgres`) is no secret by itself: it is masked only where its place
    /// gives it away, in URLs and assignments.
    pub fn learn(&self, secret: &Secret) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = known.with(&plain(secret.expose())) {
            *known = Arc::new(more);
        }
    }

    /// The one door: text from outside becomes text that may be shown and stored.
    pub fn clean(&self, outside: &str) -> Clean {
        Clean(Arc::from(&*self.look(outside)))
    }

    /// The same as a `String`, for sinks that print by themselves (the panic hook).
    pub fn scrub(&self, outside: &str) -> String {
        self.look(outside).into_owned()
    }

    /// The words of a command line. After `--master_key` comes a master key, though nothing in
    /// the word itself says so.
    pub fn clean_words<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Vec<Clean> {
        let mut follows = false;
        let clean = |word: &str| {
            let secret = follows && !word.starts_with('-');
            follows = announces_secret(word);
            if secret { Clean::ours(MASK) } else { self.clean(word) }
        };
        words.into_iter().map(clean).collect()
    }

    /// A cleaner for a stream of lines, which also masks secrets that span lines.
    pub fn lines(&self) -> LineGate {
        LineGate::new(self.clone())
    }

    fn look<'a>(&self, outside: &'a str) -> Cow<'a, str> {
        let known = Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        let mut text = plain(outside);
        for _ in 0..LOOKS {
            let mut found = known.spans(&text);
            found.extend(shapes::spans(&text));
            match masked(&text, found) {
                Some(less) => text = Cow::Owned(less),
                None => return text,
            }
        }
        // Made to confuse: nothing of it is worth the risk.
        Cow::Borrowed(MASK)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// Whether a word of a command line says that the next word is a secret.
pub fn announces_secret(word: &str) -> bool {
    word.starts_with('-') && !word.contains('=') && shapes::names_secret(word.trim_start_matches('-'))
}

/// Text without the secrets that its shape gives away, for identifiers that are free text and
/// are shown where no gate is at hand.
pub(crate) fn without_shapes(text: &str) -> Cow<'_, str> {
    masked(text, shapes::spans(text)).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The text with these ranges masked; `None` when there is nothing to mask.
fn masked(text: &str, mut found: Vec<Range<usize>>) -> Option<String> {
    for range in &mut found {
        while !text.is_char_boundary(range.start) {
            range.start -= 1;
        }
        while !text.is_char_boundary(range.end) {
            range.end += 1;
        }
    }
    found.retain(|range| !range.is_empty() && text[range.clone()] != *MASK);
    if found.is_empty() {
        return None;
    }
    found.sort_by_key(|range| range.start);
    let mut less = String::with_capacity(text.len());
    let mut done = 0;
    let mut ranges = found.into_iter().peekable();
    while let Some(mut range) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start <= range.end) {
            range.end = range.end.max(next.end);
        }
        less.push_str(&text[done..range.start]);
        less.push_str(MASK);
        done = range.end;
    }
    less.push_str(&text[done..]);
    Some(less)
}

/// Removes escape sequences whole, then every other control character and the invisible
/// characters that reorder text. Line feeds stay; tabs become spaces.
fn plain(outside: &str) -> Cow<'_, str> {
    let ordinary = |byte: u8| (0x20..0x7f).contains(&byte) || byte == b'\n';
    if outside.bytes().all(ordinary) {
        return Cow::Borrowed(outside);
    }
    let suspicious = |c: char| (c.is_control() && c != '\n') || is_invisible(c);
    if !outside.chars().any(suspicious) {
        return Cow::Borrowed(outside);
    }
    let visible = anstream::adapter::strip_str(outside)
        .to_string()
        .chars()
        .filter_map(|c| match c {
            '\n' => Some(c),
            '\t' => Some(' '),
            c if c.is_control() || is_invisible(c) => None,
            c => Some(c),
        })
        .collect();
    Cow::Owned(visible)
}

/// Zero-width and direction-changing characters: they make one name look like another.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}
