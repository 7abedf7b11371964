//! Values whose name gives them away: `DB_PASSWORD=…`, `"api_key": "…"`, `--master_key …`,
//! `x-api-key: …`, `{"name": "DB_PASSWORD", "value": "…"}`.
//!
//! Log lines speak *about* keys and tokens all the time, and signatures match on what they say,
//! so prose, counts, references and the words for nothing stay.

use std::ops::Range;

use super::{is_wordlike, skip, skip_back};
use crate::text::MASK;

/// What kind of secret a name announces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Chosen by a person: may hold any character, spaces included.
    Password,
    /// A number under such a name is a count and no secret.
    Token,
    /// Only what stands behind an equals sign or a quoted name: `pass`, `salt`, `sig`.
    Strict,
    /// The value begins with a scheme.
    Authorization,
    /// The value goes on to the end of the line.
    Cookie,
}

/// How a name and its value are separated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    Equals,
    Colon,
    /// White space, or a comma in a list of words: after a flag.
    Flag,
}

/// What stands between a name and its value.
struct Joint {
    separator: Separator,
    /// The name is in quotes.
    quoted: bool,
    /// Where the value begins, quotes included.
    value: usize,
}

/// A value, without its quotes.
struct Value {
    range: Range<usize>,
    quoted: bool,
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The whole name around a part of one. `api key` is a name as well.
pub(super) fn name_around(text: &str, hit: Range<usize>) -> Range<usize> {
    let mut start = skip_back(text, hit.start, is_name);
    let end = skip(text, hit.start, is_name);
    if text[start..end].eq_ignore_ascii_case("key") && text[..start].ends_with(' ') {
        let before = skip_back(text, start - 1, is_name);
        if COMPOUNDS.iter().any(|word| text[before..start - 1].eq_ignore_ascii_case(word)) {
            start = before;
        }
    }
    start..end
}

/// The secret that this name announces, if it announces one and one follows.
pub(super) fn secret(text: &str, name: Range<usize>) -> Option<Range<usize>> {
    let joint = joint(text, &name)?;
    let kind = kind(text, &name, &joint)?;
    let value = match kind {
        Kind::Cookie | Kind::Authorization => line(text, joint.value),
        _ => value(text, &name, &joint, kind)?,
    };
    let shown = &text[value.range.clone()];
    if kind == Kind::Authorization {
        return credentials(shown, value.quoted || is_loud(&text[name])).map(|within| {
            let from = value.range.start;
            from + within.start..from + within.end
        });
    }
    let keep = says_nothing(shown)
        || (kind != Kind::Password && is_number(shown))
        || (!value.quoted && joint.separator == Separator::Colon && shown.len() < 3)
        || (!value.quoted && !joint.quoted && is_prose(text, &name, &value, joint.separator));
    (!keep).then_some(value.range)
}

/// The value in `{"name": "DB_PASSWORD", "value": "hunter2"}`, as JSON, Go or YAML write it.
pub(super) fn value_of_pair(text: &str, hit: Range<usize>) -> Option<Range<usize>> {
    let key = name_around(text, hit);
    if !text[key.clone()].eq_ignore_ascii_case("value") {
        return None;
    }
    let opening = skip_back(text, skip_back(text, key.start, is_quote), |b| b == b'\\');
    let between = skip_back(text, opening, |b| b.is_ascii_whitespace() || matches!(b, b',' | b'-'));
    let closing = skip_back(text, skip_back(text, between, is_quote), |b| b == b'\\');
    let start = skip_back(text, closing, is_name);
    let before = skip_back(text, start, |b| is_quote(b) || matches!(b, b'\\' | b' ' | b':' | b'='));
    let label = skip_back(text, before, |b| b.is_ascii_alphabetic());
    if between == opening || !text[label..before].eq_ignore_ascii_case("name") || !names_secret(&text[start..closing]) {
        return None;
    }
    let joint = joint(text, &key)?;
    let value = value(text, &(start..closing), &joint, Kind::Password)?;
    (!says_nothing(&text[value.range.clone()])).then_some(value.range)
}

/// Whether whatever is called so is a secret.
pub(in crate::text) fn names_secret(name: &str) -> bool {
    let joint = Joint { separator: Separator::Equals, quoted: false, value: name.len() };
    kind(name, &(0..name.len()), &joint).is_some()
}

/// Words that make a `key` a secret one. An `api key` is; a `partition key` is not.
const COMPOUNDS: [&str; 18] = [
    "api",
    "master",
    "salt",
    "access",
    "secret",
    "private",
    "account",
    "shared",
    "subscription",
    "signing",
    "encryption",
    "auth",
    "storage",
    "license",
    "session",
    "webhook",
    "service",
    "virtual",
];

/// Words behind the telling one that do not change what it tells: `TOKEN_OLD`.
const TAILS: [&str; 11] =
    ["value", "b64", "base64", "old", "new", "previous", "current", "raw", "plain", "hash", "json"];

fn kind(text: &str, name: &Range<usize>, joint: &Joint) -> Option<Kind> {
    let name_text = text[name.clone()].trim_matches(['-', '.']);
    let words = words(name_text);
    let mut telling = words.len();
    while telling > 1
        && (TAILS.contains(&words[telling - 1].as_str()) || words[telling - 1].bytes().all(|b| b.is_ascii_digit()))
    {
        telling -= 1;
    }
    let words = &words[..telling];
    let (last, before) = words.split_last()?;
    let strict = joint.separator == Separator::Equals || joint.quoted;
    let env = strict && is_loud(name_text) && name_text.contains('_');
    let query = joint.separator == Separator::Equals && text[..name.start].ends_with(['?', '&']);
    let any = |endings: &[&str]| endings.iter().any(|ending| last.ends_with(ending));
    if matches!(name_text, "PWD" | "OLDPWD") {
        None
    } else if any(&["password", "passwd", "passphrase", "pwd", "requirepass", "masterauth"]) {
        Some(Kind::Password)
    } else if last == "pass" || (last == "auth" && strict) || any(&["salt"]) {
        strict.then_some(Kind::Strict)
    } else if matches!(last.as_str(), "sig" | "signature" | "bearer") {
        (joint.separator == Separator::Equals).then_some(Kind::Strict)
    } else if any(&["secret"]) || matches!(last.as_str(), "credential" | "credentials") {
        Some(Kind::Password)
    } else if any(&["token"]) {
        let counts = ["cost", "per", "max", "min", "num", "count", "limit", "eos", "bos", "pad", "unk", "stop"];
        (!before.iter().any(|word| counts.contains(&word.as_str()))).then_some(Kind::Token)
    } else if last == "authorization" {
        Some(Kind::Authorization)
    } else if last == "cookie" {
        Some(Kind::Cookie)
    } else if last == "license" {
        env.then_some(Kind::Strict)
    } else if last == "key" {
        let compound = before.last().is_some_and(|word| COMPOUNDS.contains(&word.as_str()));
        (compound || env || query).then_some(Kind::Token)
    } else {
        let joined = last.strip_suffix("key").filter(|word| COMPOUNDS.iter().any(|c| word.ends_with(c)));
        joined.map(|_| Kind::Token)
    }
}

/// `DB_PASSWORD`: the way of the environment, in which no prose is written.
fn is_loud(name: &str) -> bool {
    name.bytes().any(|b| b.is_ascii_uppercase()) && !name.bytes().any(|b| b.is_ascii_lowercase())
}

/// The words of a name, in lower case: `aws_secretAccess-key` has four.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let hump = c.is_ascii_uppercase() && before.is_ascii_lowercase();
        if (matches!(c, '_' | '-' | '.' | ' ') || hump) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

fn joint(text: &str, name: &Range<usize>) -> Option<Joint> {
    let space = |byte: u8| byte == b' ';
    let bytes = text.as_bytes();
    let slashes = skip(text, name.end, |b| b == b'\\');
    let quoted = bytes.get(slashes).copied().is_some_and(is_quote);
    let behind = if quoted { slashes + 1 } else { name.end };
    let closed = skip(text, behind, |b| b == b']');
    let at = skip(text, closed, space);
    let rest = &text[at..];
    let token = |length: usize, separator| Some(Joint { separator, quoted, value: skip(text, at + length, space) });
    let flag = text[name.clone()].starts_with('-');
    if rest.starts_with(":=") || rest.starts_with("=>") || rest.starts_with("==") {
        token(2, Separator::Equals)
    } else if rest.starts_with('=') {
        token(1, Separator::Equals)
    } else if rest.starts_with("%3D") || rest.starts_with("%3d") {
        token(3, Separator::Equals)
    } else if rest.starts_with("%3A") || rest.starts_with("%3a") {
        token(3, Separator::Colon)
    } else if rest.starts_with(':') && !rest.starts_with("::") && !rest.starts_with("://") {
        token(1, Separator::Colon)
    } else if flag && quoted && rest.starts_with(',') {
        token(1, Separator::Flag)
    } else if flag && !quoted && at > name.end && !rest.starts_with('-') {
        token(0, Separator::Flag)
    } else {
        None
    }
}

/// The value at the joint: up to its closing quote, or as far as a bare one goes.
fn value(text: &str, name: &Range<usize>, joint: &Joint, kind: Kind) -> Option<Value> {
    let bytes = text.as_bytes();
    // `b'…'`, `f"…"`: Python's prefixes.
    let from = match &text.as_bytes()[joint.value..] {
        [b'b' | b'u' | b'r' | b'f', quote, ..] if is_quote(*quote) => joint.value + 1,
        _ => joint.value,
    };
    let open = skip(text, from, |b| b == b'\\');
    if bytes.get(open).copied().is_some_and(is_quote) {
        let range = open + 1..closing(text, open, open - from);
        return Some(Value { range, quoted: true });
    }
    let rest = &text[joint.value..];
    if (rest.starts_with(['{', '[', '(']) && !rest.starts_with(MASK)) || rest.starts_with('\n') || rest.is_empty() {
        return None;
    }
    let yaml = kind == Kind::Password && joint.separator == Separator::Colon && !joint.quoted;
    if yaml && first_on_line(text, name.start) && !is_prose_word(first_word(rest)) {
        let line = line(text, joint.value);
        if !text[line.range.clone()].contains(['"', '{', '=', ',']) {
            return Some(line);
        }
    }
    Some(Value { range: joint.value..bare(text, joint.value, is_loud(&text[name.clone()])), quoted: false })
}

/// The closing quote that is escaped as often as the one at `open`; else the end of the line.
fn closing(text: &str, open: usize, depth: usize) -> usize {
    let bytes = text.as_bytes();
    let quote = bytes[open];
    let end = skip(text, open + 1, |b| b != b'\n');
    let closes = |at: &usize| {
        let slashes = *at - skip_back(text, *at, |b| b == b'\\').max(open + 1);
        bytes[*at] == quote && if depth == 0 { slashes.is_multiple_of(2) } else { slashes == depth }
    };
    match (open + 1..end).find(closes) {
        Some(at) => at - depth,
        None => end,
    }
}

/// Where a value without quotes ends. In the style of the environment only white space and
/// closing quotes end it; elsewhere also a `,`, `;` or `&` that another name follows.
fn bare(text: &str, from: usize, loud: bool) -> usize {
    let bytes = text.as_bytes();
    let word = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let mut end = from;
    while end < bytes.len() {
        match bytes[end] {
            b' ' | b'\n' | b'\t' => break,
            b'"' | b'\'' | b'`' if !(end > from && word(end - 1) && word(end + 1)) => break,
            b'\\' if bytes.get(end + 1).is_some_and(|b| is_quote(*b) || *b == b'n') => break,
            b',' | b';' | b'&' if !loud && begins_name(text, end + 1) => break,
            _ => end += 1,
        }
    }
    let value = &text[from..end];
    // A mask is never cut into, and `${NAME}` keeps its brace.
    let least = value.rfind(MASK).map_or(0, |at| at + MASK.len());
    let mut kept = value;
    while kept.len() > least && ends_loosely(kept) {
        kept = &kept[..kept.len() - 1];
    }
    if kept.is_empty() { end } else { from + kept.len() }
}

/// Ends with punctuation, or with a bracket that it did not open.
fn ends_loosely(value: &str) -> bool {
    let unopened = |open: char, close: char| value.matches(open).count() < value.matches(close).count();
    match value.as_bytes().last() {
        Some(b',' | b';' | b'.' | b':') => true,
        Some(b')') => unopened('(', ')'),
        Some(b'}') => unopened('{', '}'),
        Some(b']') => unopened('[', ']'),
        _ => false,
    }
}

fn begins_name(text: &str, at: usize) -> bool {
    let at = skip(text, at, |b| is_quote(b) || b == b'\\');
    let name = skip(text, at, is_name);
    name > at && text[name..].trim_start_matches(['"', '\'', '\\']).starts_with(['=', ':'])
}

fn line(text: &str, from: usize) -> Value {
    let bytes = text.as_bytes();
    if bytes.get(from).copied().is_some_and(is_quote) {
        return Value { range: from + 1..closing(text, from, 0), quoted: true };
    }
    let ends = |b: u8| b == b'\n' || b == b'"';
    let end = skip(text, from, |b| !ends(b));
    let kept = text[from..end].trim_end_matches([' ', '\'', '\\']);
    Value { range: from..from + kept.len(), quoted: false }
}

/// Nothing but white space and list dashes before it on its line.
fn first_on_line(text: &str, at: usize) -> bool {
    let before = skip_back(text, at, |b| b == b' ' || b == b'-');
    before == 0 || text.as_bytes()[before - 1] == b'\n'
}

fn first_word(text: &str) -> &str {
    text.split([' ', '\n']).next().unwrap_or_default()
}

/// The secret part of an `Authorization` header: without its scheme.
fn credentials(value: &str, sure: bool) -> Option<Range<usize>> {
    const SCHEMES: [&str; 12] = [
        "bearer",
        "basic",
        "token",
        "apikey",
        "api-key",
        "key",
        "digest",
        "negotiate",
        "ntlm",
        "sharedkey",
        "aws4-hmac-sha256",
        "splunk",
    ];
    let first = first_word(value);
    let rest = value[first.len()..].trim_start_matches(' ');
    let at = value.len() - rest.len();
    let known = SCHEMES.iter().any(|scheme| first.eq_ignore_ascii_case(scheme));
    if says_nothing(value) || first == MASK || rest.starts_with(MASK) {
        return None;
    }
    if known {
        let second = first_word(rest);
        let about = says_nothing(second) || is_prose_word(second) || second.starts_with("realm=");
        return (!about).then(|| at..at + second.len());
    }
    let second = first_word(rest);
    if !is_wordlike(first) || (sure && second.is_empty()) {
        return Some(0..first.len());
    }
    // A scheme that is not known.
    (second.len() >= 8 && !is_wordlike(second)).then(|| at..at + second.len())
}

/// Literals that mean nothing, references to where the value is, and what is masked already.
fn says_nothing(value: &str) -> bool {
    const NOTHING: [&str; 12] =
        ["", "null", "None", "none", "nil", "true", "false", "True", "False", "undefined", "VALUE", "REDACTED"];
    let starred = value.bytes().all(|b| matches!(b, b'*' | b'.')) || value.bytes().all(|b| b == b'x' || b == b'X');
    let reference = value.starts_with("os.environ/") && value["os.environ/".len()..].bytes().all(is_name);
    let expanded = ["${", "$(", "{{", "<"].iter().zip(["}", ")", "}}", ">"]).any(|(open, close)| {
        value
            .strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
            .is_some_and(|name| name.bytes().all(|b| is_name(b) || b == b' '))
    });
    let variable = value.strip_prefix('$').is_some_and(|name| is_loud(name) && name.bytes().all(is_name));
    let named = value.contains('_') && is_loud(value) && value.bytes().all(is_name) && {
        ["KEY", "TOKEN", "SECRET", "PASSWORD", "LICENSE"].iter().any(|end| value.ends_with(end))
    };
    NOTHING.contains(&value) || value == MASK || starred || reference || variable || expanded || named
}

/// A count, a price, a time.
fn is_number(value: &str) -> bool {
    value.len() <= 12
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b's'))
}

/// `invalid api key: check that …`: a sentence about a secret.
fn is_prose(text: &str, name: &Range<usize>, value: &Value, separator: Separator) -> bool {
    let word = &text[value.range.clone()];
    if separator == Separator::Equals || is_loud(&text[name.clone()]) {
        return false;
    }
    if is_prose_word(word) {
        return true;
    }
    let behind = text[value.range.end..].trim_start_matches([',', '.', ':']);
    let goes_on = behind.starts_with(' ') && behind[1..].starts_with(|c: char| c.is_ascii_alphabetic());
    separator == Separator::Colon && is_wordlike(word) && goes_on && !first_on_line(text, name.start)
}

/// Words that follow a name in a sentence.
fn is_prose_word(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "a",
        "access",
        "already",
        "an",
        "and",
        "are",
        "argument",
        "authentication",
        "by",
        "cannot",
        "check",
        "could",
        "did",
        "does",
        "empty",
        "expected",
        "expired",
        "failed",
        "failure",
        "flag",
        "for",
        "found",
        "from",
        "given",
        "has",
        "have",
        "header",
        "if",
        "in",
        "incorrect",
        "invalid",
        "is",
        "malformed",
        "missing",
        "must",
        "needed",
        "no",
        "not",
        "of",
        "on",
        "option",
        "or",
        "passed",
        "please",
        "provided",
        "required",
        "revoked",
        "set",
        "should",
        "the",
        "this",
        "to",
        "unauthorized",
        "unknown",
        "unset",
        "was",
        "were",
        "with",
        "wrong",
        "you",
    ];
    let word = word.trim_end_matches(['.', ',', ':', ';', '!', '?', ')']).to_ascii_lowercase();
    WORDS.contains(&word.as_str())
}
