//! Tokens that say by themselves what they are: a prefix, a scheme before them, or a JWT's head.

use std::ops::Range;

use base64::Engine as _;

use super::{is_wordlike, skip, skip_back, starts_word};

/// What a token with a prefix is made of.
#[derive(Clone, Copy)]
enum Alphabet {
    /// Letters, digits, `_`, `-` and `.`.
    Free,
    /// Letters and digits.
    Letters,
    /// Capital letters and digits.
    Capitals,
    /// Hexadecimal digits.
    Hex,
}

/// A prefix that its issuer puts before each token, and how long the rest is at least.
pub(super) struct Prefix {
    pub(super) text: &'static str,
    least: usize,
    alphabet: Alphabet,
}

const fn prefix(text: &'static str, least: usize, alphabet: Alphabet) -> Prefix {
    Prefix { text, least, alphabet }
}

/// The prefixes, as their issuers document them. The least length keeps words that begin alike
/// (`hf_hub_download`, `npm_config_cache`, the model `pplx-70b-online`) readable.
pub(super) const PREFIXES: [Prefix; 40] = [
    prefix("sk-", 4, Alphabet::Free),
    prefix("sk_live_", 8, Alphabet::Free),
    prefix("sk_test_", 8, Alphabet::Free),
    prefix("rk_live_", 8, Alphabet::Free),
    prefix("whsec_", 16, Alphabet::Free),
    prefix("pk-lf-", 8, Alphabet::Free),
    prefix("lsv2_", 16, Alphabet::Free),
    prefix("gsk_", 10, Alphabet::Letters),
    prefix("xai-", 20, Alphabet::Letters),
    prefix("pplx-", 24, Alphabet::Letters),
    prefix("nvapi-", 16, Alphabet::Free),
    prefix("r8_", 16, Alphabet::Letters),
    prefix("fw_", 20, Alphabet::Letters),
    prefix("csk-", 16, Alphabet::Letters),
    prefix("tgp_v1_", 16, Alphabet::Free),
    prefix("jina_", 24, Alphabet::Letters),
    prefix("hf_", 20, Alphabet::Letters),
    prefix("dapi", 32, Alphabet::Hex),
    prefix("AIza", 20, Alphabet::Free),
    prefix("ya29.", 10, Alphabet::Free),
    prefix("GOCSPX-", 10, Alphabet::Free),
    prefix("AKIA", 12, Alphabet::Capitals),
    prefix("ASIA", 12, Alphabet::Capitals),
    prefix("ABSK", 40, Alphabet::Letters),
    prefix("ghp_", 16, Alphabet::Letters),
    prefix("gho_", 16, Alphabet::Letters),
    prefix("ghu_", 16, Alphabet::Letters),
    prefix("ghs_", 16, Alphabet::Letters),
    prefix("ghr_", 16, Alphabet::Letters),
    prefix("github_pat_", 16, Alphabet::Free),
    prefix("glpat-", 10, Alphabet::Free),
    prefix("xox", 10, Alphabet::Free),
    prefix("dckr_pat_", 10, Alphabet::Free),
    prefix("npm_", 30, Alphabet::Letters),
    prefix("pypi-", 30, Alphabet::Free),
    prefix("hvs.", 20, Alphabet::Free),
    prefix("dop_v1_", 32, Alphabet::Hex),
    prefix("SG.", 20, Alphabet::Free),
    prefix("AGE-SECRET-KEY-", 20, Alphabet::Capitals),
    prefix("8Q~", 28, Alphabet::Free),
];

/// The index of the prefix that stands in the middle of its token.
pub(super) const ENTRA: usize = PREFIXES.len() - 1;

/// What follows a prefix, or the whole token where the mark is in its middle.
pub(super) fn prefixed(text: &str, hit: Range<usize>, index: usize) -> Option<Range<usize>> {
    let prefix = &PREFIXES[index];
    let fits = |byte: u8| match prefix.alphabet {
        Alphabet::Free => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~'),
        Alphabet::Letters => byte.is_ascii_alphanumeric(),
        Alphabet::Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        Alphabet::Hex => byte.is_ascii_hexdigit(),
    };
    if text[hit.clone()] != *prefix.text {
        return None;
    }
    let mut end = skip(text, hit.end, fits);
    if end - hit.end < prefix.least {
        return None;
    }
    // A dot at the end is a sentence's.
    if text[..end].ends_with('.') {
        end -= 1;
    }
    match index {
        ENTRA => Some(skip_back(text, hit.start, |b| b.is_ascii_alphanumeric() || b == b'_')..end),
        _ => starts_word(text, hit.start).then_some(hit.end..end),
    }
}

/// `eyJ….eyJ….…`: a JSON Web Token (RFC 7519), also one without a signature.
pub(super) fn jwt(text: &str, start: usize) -> Option<Range<usize>> {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let head = skip(text, start, part);
    if !text[start..].starts_with("eyJ") || head - start < 9 || !text[head..].starts_with('.') {
        return None;
    }
    let body = skip(text, head + 1, part);
    if body - head < 5 {
        return None;
    }
    let end = if text[body..].starts_with('.') { skip(text, body + 1, part) } else { body };
    Some(start..end)
}

/// What follows `Bearer` (RFC 6750), unless it is prose: `bearer of bad news`.
pub(super) fn bearer(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let token = separated(text, start, end)?;
    let shown = &text[token.clone()];
    let parameter = ["realm=", "error=", "scope="].iter().any(|name| shown.starts_with(name));
    (token.len() >= 6 && !is_wordlike(shown) && !parameter).then_some(token)
}

/// What follows `Basic` when it is base64 of `user:password` (RFC 7617).
pub(super) fn basic(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let token = separated(text, start, end)?;
    let encoded = text[token.clone()].trim_end_matches('=');
    let decoded = base64::engine::general_purpose::STANDARD_NO_PAD.decode(encoded).ok()?;
    (token.len() >= 4 && decoded.contains(&b':')).then_some(token)
}

fn separated(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let space = |byte: u8| byte == b' ';
    let colon = if text[end..].starts_with(':') { end + 1 } else { end };
    let from = match skip(text, colon, space) {
        at if at > end => at,
        at if text[at..].starts_with("%20") => at + 3,
        _ => return None,
    };
    let to = skip(text, from, |b| b.is_ascii_alphanumeric() || b"._~+/=-".contains(&b));
    starts_word(text, start).then_some(from..to)
}
