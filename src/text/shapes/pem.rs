//! Private keys in PEM (RFC 7468). Certificates and public keys are no secret and stay.

use std::ops::Range;

use super::skip;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Lines that the longest private key may have: RSA with 16384 bits has 205.
pub(in crate::text) const LONGEST: u8 = 220;
/// Bytes in which an end is looked for.
const REACH: usize = 32 * 1024;
/// Shortest full line: RFC 7468 asks for 64 characters, and OpenSSH writes 70.
const FULL: usize = 40;

/// The private key that begins at `start`, as far as it reaches in this text.
pub(super) fn secret(text: &str, start: usize) -> Option<Range<usize>> {
    let label = start + BEGIN.len();
    let body = label_end(text, label)?;
    // Line feeds of another block in between would make this one's end the other one's.
    let reach = floor(text, body.saturating_add(REACH));
    let end = match text[body..reach].find(END) {
        Some(at) => after_end(text, body + at),
        None => body_end(text, body),
    };
    Some(start..end)
}

/// Where the dashes after the label end, when it is a private key's or cannot be told.
fn label_end(text: &str, label: usize) -> Option<usize> {
    let rest = &text[label..floor(text, label + 64)];
    match rest.find(DASHES) {
        Some(at) if rest[..at].contains("PRIVATE") => Some(label + at + DASHES.len()),
        Some(_) => None,
        // Cut off in the middle of the label: nobody knows.
        None => Some(skip(text, label, |b| b.is_ascii_uppercase() || b == b' ')),
    }
}

fn after_end(text: &str, end: usize) -> usize {
    let label = end + END.len();
    let rest = &text[label..floor(text, label + 64)];
    rest.find(DASHES).map_or_else(|| skip(text, label, |b| b.is_ascii_uppercase()), |at| label + at + DASHES.len())
}

/// Without an end: as far as the text looks like a key. Line feeds may be escaped.
fn body_end(text: &str, body: usize) -> usize {
    let mut end = body;
    loop {
        let mut at = skip(text, end, |b| b.is_ascii_whitespace());
        while text[at..].starts_with("\\n") || text[at..].starts_with("\\r") {
            at = skip(text, at + 2, |b| b.is_ascii_whitespace());
        }
        let next = skip(text, at, is_base64);
        let line_ends = text[next..].chars().next().is_none_or(|c| matches!(c, '\n' | '"' | '\'' | '\\'));
        let line = skip(text, at, |b| b != b'\n');
        if next - at >= 16 || (next > at && line_ends) {
            end = next;
        } else if line > at && is_header(&text[at..line]) {
            end = line;
        } else {
            return end;
        }
    }
}

/// Whether a private key begins on this line and does not end on it.
pub(in crate::text) fn left_open(line: &str) -> bool {
    line.rfind(BEGIN).is_some_and(|at| label_end(line, at + BEGIN.len()).is_some() && !line[at..].contains(END))
}

/// What a line within a private key is.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::text) enum Body {
    /// Key material of a whole line, or a header.
    Full,
    /// Key material of less than a line.
    Short,
    /// The key ends on it, and other text begins at this byte.
    End(usize),
    /// Something else: the key was cut off.
    Other,
}

/// What a line within a private key is. Log prefixes before the key material do not matter.
pub(in crate::text) fn body(line: &str) -> Body {
    if let Some(at) = line.find(END) {
        return Body::End(after_end(line, at));
    }
    let words = line.trim();
    let last = words.rsplit(' ').next().unwrap_or_default();
    let material = last.bytes().all(is_base64);
    match last.len() {
        FULL.. if material => Body::Full,
        _ if words.is_empty() || is_header(words) => Body::Full,
        _ if material && last.len() == words.len() => Body::Short,
        _ => Body::Other,
    }
}

/// Whether a line that stands alone is a full line of a PEM block, whatever block it is. The
/// lengths are those that OpenSSL (64), OpenSSH (70) and MIME (76) write.
pub(in crate::text) fn is_stray(line: &str) -> bool {
    let word = line.trim();
    let any = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    matches!(word.len(), 64 | 70 | 76)
        && word.bytes().all(is_base64)
        && any(u8::is_ascii_uppercase)
        && any(u8::is_ascii_lowercase)
        && any(u8::is_ascii_digit)
}

/// Headers of the older format (RFC 1421) and of PGP's armour.
fn is_header(line: &str) -> bool {
    ["Proc-Type:", "DEK-Info:", "Version:", "Comment:", "Hash:"].iter().any(|header| line.starts_with(header))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
