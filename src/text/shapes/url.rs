//! Passwords and tokens before the `@` of a URL (RFC 3986, 3.2.1).

use std::ops::Range;

use super::{skip, skip_back};

/// No password in a URL is longer. Bounds the work that one line can ask for.
const LONGEST: usize = 1024;

/// The secret of the URL whose scheme is separated by `start..end`.
pub(super) fn secret(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let scheme = &text[skip_back(text, start, |b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))..start];
    let rest = rest(text, end);
    match rest.find([':', '/', '?', '#']) {
        Some(colon) if rest.as_bytes()[colon] == b':' && !rest.starts_with('[') => {
            let password = colon + 1;
            if colon > 0 && is_port(&rest[password..]) {
                return None;
            }
            // Passwords are often written raw, with `/` and `@` in them, so the last `@` counts.
            let at = rest[..query(rest)].rfind('@').filter(|at| *at > password)?;
            Some(end + password..end + at)
        }
        // Without a password: on the web it is a token; elsewhere it is a user.
        stop => {
            let authority = &rest[..stop.unwrap_or(rest.len())];
            let at = authority.rfind('@').filter(|at| *at > 0)?;
            is_web(scheme).then_some(end..end + at)
        }
    }
}

fn is_web(scheme: &str) -> bool {
    ["http", "https", "git+https", "git+http"].iter().any(|web| scheme.eq_ignore_ascii_case(web))
}

/// The same where the whole URL is percent-encoded; `end` is behind `%3A%2F%2F`.
pub(super) fn encoded_secret(text: &str, end: usize) -> Option<Range<usize>> {
    let rest = rest(text, end);
    let lower = rest.to_ascii_lowercase();
    let password = lower.find("%3a")? + "%3a".len();
    let at = lower[..lower.find('&').unwrap_or(lower.len())].rfind("%40").filter(|at| *at > password)?;
    Some(end + password..end + at)
}

/// What may belong to the URL: up to white space, a quote, or an escaped one.
fn rest(text: &str, from: usize) -> &str {
    let bytes = text.as_bytes();
    let mut end = from;
    while end < bytes.len() && end - from < LONGEST {
        let next = bytes.get(end + 1);
        match bytes[end] {
            b' ' | b'\n' | b'"' | b'\'' | b'`' | b'<' | b'>' => break,
            b'\\' if next.is_none_or(|b| matches!(b, b'"' | b'\'' | b'\\' | b'n' | b'r' | b't')) => break,
            _ => end += 1,
        }
    }
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[from..end]
}

/// `5000/mirror/litellm@sha256:…`: what follows the colon is a port and no password.
fn is_port(after: &str) -> bool {
    let digits = skip(after, 0, |b| b.is_ascii_digit());
    (1..=5).contains(&digits) && after[digits..].chars().next().is_none_or(|c| matches!(c, '/' | '?' | '#' | ','))
}

/// Where `?name=` begins a query, in which an `@` means nothing.
fn query(rest: &str) -> usize {
    let begins = |at: usize| {
        let name = skip(rest, at + 1, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        name > at + 1 && rest[name..].starts_with('=')
    };
    rest.match_indices('?').map(|(at, _)| at).find(|at| begins(*at)).unwrap_or(rest.len())
}
