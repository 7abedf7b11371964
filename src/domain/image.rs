//! Container images and the LiteLLM version that an image tag tells, when it tells one.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::name::BadName;
use crate::text::Safe;

/// An image reference as a pod template spells it: `registry/path:tag@digest`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Image(Arc<str>);

impl Image {
    /// The reference as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything before the tag and the digest.
    pub fn repository(&self) -> &str {
        let undigested = self.0.split('@').next().unwrap_or_default();
        match undigested.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => undigested,
        }
    }

    /// The tag, where one is written.
    pub fn tag(&self) -> Option<&str> {
        let undigested = self.0.split('@').next()?;
        let (_, tag) = undigested.rsplit_once(':')?;
        (!tag.contains('/')).then_some(tag)
    }

    /// The digest (`sha256:…`), where one is written.
    pub fn digest(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, digest)| digest)
    }

    /// The LiteLLM version that the tag names. `None` for digests alone and floating tags.
    pub fn version(&self) -> Option<Version> {
        self.tag()?.parse().ok()
    }

    /// True when the repository looks like one of LiteLLM's images, on any registry.
    pub fn is_litellm(&self) -> bool {
        self.repository().to_ascii_lowercase().contains("litellm")
    }

    /// True when the tag can point to another image tomorrow (`main-latest`, `main-stable`, none).
    pub fn floats(&self) -> bool {
        self.digest().is_none() && self.version().is_none()
    }
}

impl FromStr for Image {
    type Err = BadName;
    fn from_str(raw: &str) -> Result<Self, BadName> {
        let valid = (1..=1024).contains(&raw.len())
            && raw
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':' | b'@' | b'+'));
        if valid {
            Ok(Self(Arc::from(raw)))
        } else {
            Err(BadName { what: "an image reference", rule: "letters, digits and ./-_:@+, at most 1024 characters" })
        }
    }
}

impl TryFrom<String> for Image {
    type Error = BadName;
    fn try_from(raw: String) -> Result<Self, BadName> {
        raw.parse()
    }
}

impl From<Image> for String {
    fn from(image: Image) -> String {
        image.0.to_string()
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Safe for Image {}

/// How a build of one version number relates to the others of the same number, oldest first:
/// LiteLLM cuts nightlies and release candidates before the stable tag, and patches after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Channel {
    Nightly,
    Dev(u32),
    Candidate(u32),
    Stable,
    Patch(u32),
    /// A suffix of somebody's own, which says nothing about order.
    Other(Suffix),
}

/// What somebody added to a version number, in the characters that a tag may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Suffix(Arc<str>);

impl Suffix {
    /// `None` for what cannot stand in a tag.
    fn new(raw: &str) -> Option<Self> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
        (raw.len() <= 128 && raw.bytes().all(valid)).then(|| Self(Arc::from(raw)))
    }
}

impl TryFrom<String> for Suffix {
    type Error = BadName;
    fn try_from(raw: String) -> Result<Self, BadName> {
        Self::new(&raw).ok_or(BadName { what: "the end of a version", rule: "letters, digits and .-_+, at most 128" })
    }
}

impl From<Suffix> for String {
    fn from(suffix: Suffix) -> String {
        suffix.0.to_string()
    }
}

/// A LiteLLM version read from an image tag (`main-v1.77.2-stable`, `v1.83.10`, `v1.81.0-nightly`,
/// `main-v1.74.9.rc.1`, `main-v1.81.0-stable.patch.2`) or from an answer of the gateway (`1.81.0`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    numbers: [u32; 3],
    channel: Channel,
}

impl Version {
    /// Major, minor and patch number.
    pub fn numbers(&self) -> [u32; 3] {
        self.numbers
    }

    /// Whether it is neither a candidate nor a build of developers.
    pub fn is_final(&self) -> bool {
        matches!(self.channel, Channel::Stable | Channel::Patch(_))
    }

    /// What its name says it was built on: a nightly and a patch on the stable one, a build of
    /// somebody's own on what its suffix begins with. `None` for what builds on nothing.
    pub fn base(&self) -> Option<Version> {
        let channel = match &self.channel {
            Channel::Nightly | Channel::Patch(_) => Channel::Stable,
            Channel::Other(suffix) => {
                let cuts = suffix.0.rmatch_indices(['-', '.', '+', '_']).map(|(at, _)| &suffix.0[..at]);
                cuts.filter_map(published).next().unwrap_or(Channel::Stable)
            }
            Channel::Dev(_) | Channel::Candidate(_) | Channel::Stable => return None,
        };
        Some(Version { numbers: self.numbers, channel })
    }
}

/// `None` where the order cannot be told: the same number with a suffix that is nobody's standard.
impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let rank = |channel: &Channel| match channel {
            Channel::Nightly => Some((0, 0)),
            Channel::Dev(n) => Some((1, *n)),
            Channel::Candidate(n) => Some((2, *n)),
            Channel::Stable => Some((3, 0)),
            Channel::Patch(n) => Some((4, *n)),
            Channel::Other(_) => None,
        };
        match self.numbers.cmp(&other.numbers) {
            Ordering::Equal if self.channel == other.channel && self.channel != Channel::Nightly => {
                Some(Ordering::Equal)
            }
            Ordering::Equal => Some(rank(&self.channel)?.cmp(&rank(&other.channel)?)),
            unequal => Some(unequal),
        }
    }
}

impl FromStr for Version {
    type Err = BadName;
    fn from_str(raw: &str) -> Result<Self, BadName> {
        parse_version(raw).ok_or(BadName { what: "a LiteLLM version", rule: "like v1.83.10 or main-v1.77.2-stable" })
    }
}

fn parse_version(raw: &str) -> Option<Version> {
    let raw = raw.trim();
    let rest = raw.strip_prefix("main-").unwrap_or(raw);
    let rest = rest.strip_prefix("litellm_stable_release_branch-").unwrap_or(rest);
    let rest = rest.strip_prefix('v').unwrap_or(rest);
    let mut at = 0;
    let mut numbers = [0u32; 3];
    for (i, number) in numbers.iter_mut().enumerate() {
        let digits = rest[at..].bytes().take_while(u8::is_ascii_digit).count();
        *number = rest.get(at..at + digits)?.parse().ok()?;
        at += digits;
        if i < 2 {
            at += rest[at..].starts_with('.').then_some(1)?;
        }
    }
    let suffix = &rest[at..];
    let candidate = suffix.strip_prefix("rc").is_some_and(|number| number.parse::<u32>().is_ok());
    if !suffix.is_empty() && !candidate && !suffix.starts_with(['-', '.', '+']) {
        // `1.81.0abc` could be the start of a commit hash as well as anything else.
        return None;
    }
    let suffix = suffix.trim_start_matches(['-', '.']);
    let channel = published(suffix).or_else(|| Suffix::new(suffix).map(Channel::Other))?;
    Some(Version { numbers, channel })
}

/// The channel whose mark this is; `None` for somebody's own. The marks before 1.84 (`-stable`,
/// `-stable.patch.1`, `.rc.1`, `-nightly`, `.dev.1`) and since (none, `.post1`, `rc1`, `.dev1`):
/// LiteLLM's release notes of 1.84.0.
fn published(suffix: &str) -> Option<Channel> {
    let number = |text: &str| text.trim_start_matches(['.', '-']).parse::<u32>().ok();
    let counted = |text: &str| if text.is_empty() { Some(0) } else { number(text) };
    let known = match suffix {
        "" | "stable" => Some(Channel::Stable),
        "nightly" => Some(Channel::Nightly),
        _ => None,
    };
    known
        .or_else(|| suffix.strip_prefix("rc").and_then(counted).map(Channel::Candidate))
        .or_else(|| suffix.strip_prefix("dev").and_then(counted).map(Channel::Dev))
        .or_else(|| suffix.strip_prefix("stable.patch").and_then(counted).map(Channel::Patch))
        .or_else(|| suffix.strip_prefix("stable.").and_then(number).map(Channel::Patch))
        .or_else(|| suffix.strip_prefix("post").and_then(counted).map(Channel::Patch))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        match &self.channel {
            Channel::Stable => Ok(()),
            Channel::Nightly => f.write_str("-nightly"),
            Channel::Dev(n) => write!(f, "-dev.{n}"),
            Channel::Candidate(n) => write!(f, "-rc.{n}"),
            Channel::Patch(n) => write!(f, "-patch.{n}"),
            Channel::Other(Suffix(suffix)) => write!(f, "-{suffix}"),
        }
    }
}

impl Safe for Version {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(raw: &str) -> Option<Version> {
        raw.parse().ok()
    }

    #[test]
    fn every_published_form_of_tag_tells_its_version() {
        let rows = [
            ("ghcr.io/berriai/litellm:main-v1.74.7-stable", Some("1.74.7")),
            ("ghcr.io/berriai/litellm-database:v1.83.10", Some("1.83.10")),
            ("reg.local:5000/mirror/litellm:main-v1.81.0-stable.patch.2", Some("1.81.0-patch.2")),
            ("litellm:v1.82.3-nightly", Some("1.82.3-nightly")),
            ("litellm:main-v1.74.9.rc.1", Some("1.74.9-rc.1")),
            ("litellm:v1.77.2.post1", Some("1.77.2-patch.1")),
            ("quay.io/x/litellm:main-v1.81.0-stable-custom", Some("1.81.0-stable-custom")),
            ("ghcr.io/berriai/litellm:main-v1.74.7", Some("1.74.7")),
            ("ghcr.io/berriai/litellm:v1.81.0-stable", Some("1.81.0")),
            ("ghcr.io/berriai/litellm-non_root:v1.105.0-rc.2", Some("1.105.0-rc.2")),
            ("ghcr.io/berriai/litellm-migrations:v1.105.0.rc.2", Some("1.105.0-rc.2")),
            ("ghcr.io/berriai/litellm:v1.105.0-dev.1", Some("1.105.0-dev.1")),
            ("ghcr.io/berriai/litellm:v1.81.3-stable.patch.3", Some("1.81.3-patch.3")),
            ("ghcr.io/berriai/litellm:litellm_stable_release_branch-v1.74.3-stable", Some("1.74.3")),
            ("reg.local:5000/a/b/litellm-database:main-v1.74.9-nightly@sha256:abc", Some("1.74.9-nightly")),
            ("docker.litellm.ai/berriai/litellm:v1.80.0-stable.1", Some("1.80.0-patch.1")),
            ("ghcr.io/berriai/litellm:v1.81.3-stable.sonnet-4-6", Some("1.81.3-stable.sonnet-4-6")),
            ("ghcr.io/berriai/litellm:main-1.82.0-stable", Some("1.82.0")),
            ("ghcr.io/berriai/litellm:1.84.0", Some("1.84.0")),
            ("ghcr.io/berriai/litellm:v1.84.0rc1", Some("1.84.0-rc.1")),
            ("ghcr.io/berriai/litellm:v1.84.0.dev3", Some("1.84.0-dev.3")),
            ("ghcr.io/berriai/litellm:v1.84.10@sha256:3f59", Some("1.84.10")),
            ("litellm:main-latest", None),
            ("litellm:main-stable", None),
            ("litellm@sha256:abc", None),
            ("reg.local:5000/litellm", None),
        ];
        for (raw, expected) in rows {
            let image: Image = raw.parse().unwrap();
            assert_eq!(image.version().map(|v| v.to_string()).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn a_name_says_what_it_was_built_on() {
        let rows = [
            ("main-v1.81.0-stable-custom", Some("1.81.0")),
            ("v1.81.0-custom", Some("1.81.0")),
            ("v1.81.0-stable.patch.2-acme.7", Some("1.81.0-patch.2")),
            ("v1.81.0-rc.1-acme", Some("1.81.0-rc.1")),
            ("v1.81.0-nightly-acme", Some("1.81.0-nightly")),
            ("v1.81.0-nightly", Some("1.81.0")),
            ("v1.81.0-stable.patch.2", Some("1.81.0")),
            ("v1.81.0", None),
            ("1.81.0rc1", None),
        ];
        for (raw, expected) in rows {
            let base = version(raw).unwrap().base();
            assert_eq!(base.map(|base| base.to_string()).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn versions_as_python_spells_them_are_the_same() {
        for (python, image) in [
            ("1.105.0rc2", "v1.105.0-rc.2"),
            ("1.105.0.dev1", "v1.105.0-dev.1"),
            ("1.77.2.post1", "v1.77.2-stable.patch.1"),
        ] {
            assert_eq!(version(python), version(image), "{python}");
        }
        assert_eq!(version("1.81.0rcx"), None);
    }

    #[test]
    fn what_cannot_stand_in_a_tag_is_no_version() {
        for raw in ["1.81.0-\u{1b}[31m", "1.81.0-a b", "1.81.0-é", &format!("1.81.0-{}", "x".repeat(129))] {
            assert_eq!(version(raw), None, "{raw:?}");
            let suffix = raw.split_once('-').unwrap().1;
            let kept = serde_json::json!({ "numbers": [1, 81, 0], "channel": { "Other": suffix } });
            assert!(serde_json::from_value::<Version>(kept).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn versions_are_ordered_where_order_is_known() {
        let rows = [
            ("v1.74.7", "v1.81.0", Some(Ordering::Less)),
            ("v1.83.9", "v1.83.10", Some(Ordering::Less)),
            ("v1.83.10-nightly", "v1.83.10-stable", Some(Ordering::Less)),
            ("v1.83.10-rc.2", "v1.83.10", Some(Ordering::Less)),
            ("1.83.10.dev3", "1.83.10rc1", Some(Ordering::Less)),
            ("v1.81.0-stable.patch.1", "v1.81.0-stable", Some(Ordering::Greater)),
            ("v1.81.0", "main-v1.81.0-stable", Some(Ordering::Equal)),
            ("v1.81.0-custom", "v1.81.0", None),
            ("v1.81.0-custom", "v1.82.0", Some(Ordering::Less)),
        ];
        for (a, b, expected) in rows {
            assert_eq!(version(a).zip(version(b)).and_then(|(a, b)| a.partial_cmp(&b)), expected, "{a} {b}");
        }
    }
}
