//! LiteLLM's salt key: where it comes from, whether two are the same, and which one opens what is stored.
//!
//! `LITELLM_SALT_KEY`, else the master key, is hashed with SHA-256 into the 32 bytes that encrypt
//! every stored credential. Two forms are in use: base64 of a NaCl secret box (24 bytes of nonce,
//! then XSalsa20-Poly1305), and `v2:gcm:` with base64 of AES-256-GCM (12 bytes of nonce, then the
//! ciphertext and its tag, without associated data). Read in `litellm` 1.109.1,
//! `proxy/common_utils/encrypt_decrypt_utils.py`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use crypto_secretbox::XSalsa20Poly1305;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

use crate::domain::cluster::Fingerprint;
use crate::text::{Clean, Secret};

/// The variable that holds the salt key.
pub const LITELLM_SALT_KEY: &str = "LITELLM_SALT_KEY";
/// Variables that hold the master key, which encrypts where there is no salt key: LiteLLM's own
/// name, and the one of its Helm charts.
pub const MASTER_KEYS: [&str; 2] = ["LITELLM_MASTER_KEY", "PROXY_MASTER_KEY"];

/// What marks a value that is encrypted with AES-256-GCM.
const GCM: &str = "v2:gcm:";
/// Bytes of a GCM nonce, and of the tag that either form ends or begins with.
const GCM_NONCE: usize = 12;
const TAG: usize = 16;
/// Bytes of a secret box's nonce.
const BOX_NONCE: usize = 24;

/// The key of one template: where it comes from, and the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The variable and where its value comes from; says that there is none, where so.
    pub from: Clean,
    /// The key.
    pub value: Value,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The template sets none.
    Unset,
    /// This one.
    Known(Secret),
    /// It lies where [`Key::from`] says, and could not be read there; why.
    Unread(Clean),
    /// Where it comes from cannot be told; why.
    Untold(Clean),
}

impl Key {
    /// The key, where it is known.
    pub fn known(&self) -> Option<&Secret> {
        match &self.value {
            Value::Known(key) => Some(key),
            _ => None,
        }
    }
}

/// The keys of the live template and of the target's, for one look at the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Of the live template.
    pub live: Key,
    /// Of the target's.
    pub target: Key,
}

/// Whether the two keys are the same. Never shows them, and keeps no hash of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Where the live key comes from.
    pub live: Clean,
    /// Where the target's key comes from.
    pub target: Clean,
    /// What came of the comparison.
    pub verdict: Verdict,
}

/// What came of a comparison of two keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One and the same.
    Same,
    /// Two keys, or one and none.
    Different,
    /// Nobody knows, and why.
    Unknown(Clean),
}

impl Keys {
    /// Compares by `print`, which is an adapter's HMAC under a random key of this process.
    pub fn compare(&self, print: impl Fn(&Secret) -> Fingerprint) -> Comparison {
        let verdict = match (&self.live.value, &self.target.value) {
            (Value::Unset, Value::Unset) => Verdict::Same,
            (Value::Known(live), Value::Known(target)) if print(live) == print(target) => Verdict::Same,
            (Value::Known(_) | Value::Unset, Value::Known(_) | Value::Unset) => Verdict::Different,
            // From one place both get what is there now.
            (Value::Unread(_), Value::Unread(_)) if self.live.from == self.target.from => Verdict::Same,
            (Value::Unread(why) | Value::Untold(why), _) | (_, Value::Unread(why) | Value::Untold(why)) => {
                Verdict::Unknown(why.clone())
            }
        };
        Comparison { live: self.live.from.clone(), target: self.target.from.clone(), verdict }
    }
}

/// Which key opens what the database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Stored values that were tried: those that have the form of a ciphertext.
    pub tried: u32,
    /// Opened by the live key; `None` where that key is not known.
    pub live: Option<u32>,
    /// Opened by the target's key; `None` where that key is not known.
    pub target: Option<u32>,
    /// Opened by neither, though both were tried: another key, or a text that only looks encrypted.
    pub neither: u32,
}

/// What the keys mean for a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// The target reads what is stored; why.
    Reads(Clean),
    /// It may not, or there is nothing to read; why.
    Doubtful(Clean),
    /// It does not, or nobody can prove that it does: a red gate.
    Blind(Clean),
    /// Nobody knows; why.
    Unknown(Clean),
}

/// Judges a comparison, with what each key opens where a database was asked.
pub fn outlook(keys: &Comparison, opened: Option<&Opened>) -> Outlook {
    let counts = |key: Option<u32>, whose: &'static str| match (key, opened) {
        (Some(count), Some(opened)) => say!("{} of {} stored values open with {}", count, opened.tried, whose),
        _ => say!("nothing was tried with {}", whose),
    };
    let proof = |opened: &Opened| {
        say!("{}, {}", counts(opened.live, "the live key"), counts(opened.target, "the target's key"))
    };
    match (&keys.verdict, opened) {
        (_, Some(opened)) if opened.tried > 0 && opened.target == Some(opened.tried) => Outlook::Reads(proof(opened)),
        (Verdict::Same, Some(opened)) if opened.tried > 0 && opened.target == Some(0) => {
            Outlook::Doubtful(say!("it opens none of {} stored values; a third key wrote them", opened.tried))
        }
        (Verdict::Same, Some(opened)) if opened.tried > 0 => Outlook::Reads(proof(opened)),
        (Verdict::Same, Some(_)) => Outlook::Reads(Clean::ours("nothing that is stored is encrypted")),
        (Verdict::Same, None) => Outlook::Reads(Clean::ours("whatever can be read now can be read then")),
        (_, Some(opened)) if opened.tried > 0 && opened.target.is_some() => Outlook::Blind(proof(opened)),
        (Verdict::Different, Some(opened)) if opened.tried == 0 => {
            Outlook::Doubtful(Clean::ours("nothing that is stored in the tables that were tried is encrypted"))
        }
        (Verdict::Different, _) => {
            Outlook::Blind(Clean::ours("no database was asked which of them opens what is stored"))
        }
        (Verdict::Unknown(why), _) => Outlook::Unknown(why.clone()),
    }
}

/// A key, ready to open values.
struct Opener {
    nacl: XSalsa20Poly1305,
    gcm: Option<LessSafeKey>,
}

impl Opener {
    /// LiteLLM's derivation: SHA-256 of the key, unsalted.
    fn new(key: &[u8]) -> Self {
        let bytes: [u8; 32] = Sha256::digest(key).into();
        let gcm = UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new);
        Self { nacl: XSalsa20Poly1305::new(&bytes.into()), gcm }
    }

    fn opens(&self, sealed: &Ciphertext) -> bool {
        match sealed {
            Ciphertext::Nacl(bytes) => {
                let (nonce, rest) = bytes.split_at(BOX_NONCE);
                self.nacl.decrypt(crypto_secretbox::Nonce::from_slice(nonce), rest).is_ok()
            }
            Ciphertext::Gcm(bytes) => {
                let (nonce, rest) = bytes.split_at(GCM_NONCE);
                let (Some(key), Ok(nonce)) = (&self.gcm, Nonce::try_assume_unique_for_key(nonce)) else { return false };
                key.open_in_place(nonce, Aad::empty(), &mut rest.to_vec()).is_ok()
            }
        }
    }
}

/// A stored value that has the form of a ciphertext.
enum Ciphertext {
    Nacl(Vec<u8>),
    Gcm(Vec<u8>),
}

impl Ciphertext {
    /// `None` for what is no ciphertext: plain text is stored beside them, and is no failure.
    fn read(stored: &str) -> Option<Self> {
        if let Some(text) = stored.strip_prefix(GCM) {
            let bytes = URL_SAFE.decode(text).ok()?;
            return (bytes.len() >= GCM_NONCE + TAG).then_some(Self::Gcm(bytes));
        }
        // Old releases wrote the standard alphabet.
        let bytes = URL_SAFE.decode(stored).or_else(|_| STANDARD.decode(stored)).ok()?;
        (bytes.len() >= BOX_NONCE + TAG).then_some(Self::Nacl(bytes))
    }
}

/// Tries both keys on stored values, as an adapter holds them. Nothing that was opened is kept.
pub fn open<'a>(stored: impl IntoIterator<Item = &'a str>, live: Option<&[u8]>, target: Option<&[u8]>) -> Opened {
    let [live, target] = [live, target].map(|key| key.map(Opener::new));
    let mut opened = Opened { live: live.as_ref().map(|_| 0), target: target.as_ref().map(|_| 0), ..Opened::default() };
    for sealed in stored.into_iter().filter_map(Ciphertext::read) {
        opened.tried += 1;
        let mut either = false;
        for (opener, count) in [(&live, &mut opened.live), (&target, &mut opened.target)] {
            if let (Some(opener), Some(count)) = (opener, count)
                && opener.opens(&sealed)
            {
                *count += 1;
                either = true;
            }
        }
        opened.neither += u32::from(!either && live.is_some() && target.is_some());
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with PyNaCl 1.6.2 (`SecretBox(sha256(key)).encrypt(text, nonce)`) and cryptography 50.0.2
    /// (`AESGCM(sha256(key)).encrypt(nonce, text, None)`), nonces 0, 1, 2, …; the text is
    /// `sk-provider-key-1`, and empty in the second pair.
    const FIRST: [&str; 4] = [
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX4sP0SdUDjKzE4NC9o0RF652scK8-Z_jD15J5-wRUO553",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX4sP0SdUDjKzE4NC9o0RF652scK8+Z/jD15J5+wRUO553",
        "v2:gcm:AAECAwQFBgcICQoLkmXRuIXZInb065ibcMmTSX0O9OkSmyXtEX41v6ZtrDfT",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXOBQVW-tg_TZ4mSFUpMOaaQ==",
    ];
    const SECOND: [&str; 3] = [
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGOYXqzwEmL_ZRT00j6TAEm8cWWk_-glPzpKG9aDxJDJj",
        "v2:gcm:AAECAwQFBgcICQoL32-kE3Pz2Ik6wZkyBtr7EPpLegFSkAoUnzRea4XZ4zKm",
        "v2:gcm:AAECAwQFBgcICQoL6031brvOw2s9uo0jeGjNbw==",
    ];

    const KEYS: [&str; 2] = ["salt-of-the-first-key", "sk-another-key"];

    fn tried<'a>(stored: impl IntoIterator<Item = &'a str>, live: Option<&str>, target: Option<&str>) -> Opened {
        open(stored, live.map(str::as_bytes), target.map(str::as_bytes))
    }

    #[test]
    fn each_value_is_opened_by_the_key_that_it_was_written_with() {
        let [first, second] = KEYS;
        let all = FIRST.into_iter().chain(SECOND);
        let opened = tried(all.clone(), Some(first), Some(second));
        assert_eq!(opened, Opened { tried: 7, live: Some(4), target: Some(3), neither: 0 });
        let alone = tried(all.clone(), None, Some(second));
        assert_eq!(alone, Opened { tried: 7, live: None, target: Some(3), neither: 0 });
        assert_eq!(tried(all, Some("one"), Some("two")).neither, 7);
    }

    #[test]
    fn what_is_no_ciphertext_is_not_counted() {
        let [first, second] = KEYS;
        let damaged = format!("{}A", &FIRST[0][..FIRST[0].len() - 1]);
        let rows = [
            ("", 0),
            ("gpt-4o", 0),
            ("azure/gpt-4o-mini-with-a-long-deployment-name-2024-07-18", 0),
            ("https://example.openai.azure.com/openai/deployments", 0),
            ("v2:gcm:", 0),
            ("v2:gcm:%%%%", 0),
            ("AAECAwQFBgcICQoLDA0ODw==", 0),
            ("\u{1b}[2J", 0),
            (damaged.as_str(), 1),
        ];
        for (stored, count) in rows {
            let opened = tried([stored], Some(first), Some(second));
            assert_eq!((opened.tried, opened.neither), (count, count), "{stored}");
        }
    }

    #[test]
    fn keys_are_compared_without_being_kept() {
        let [first, second] = KEYS.map(Secret::new);
        let key = |from: &'static str, value| Key { from: Clean::ours(from), value };
        let denied = || Value::Unread(Clean::ours("not allowed"));
        let rows = [
            (Value::Known(first.clone()), Value::Known(first.clone()), ["a", "b"], Verdict::Same),
            (Value::Known(first.clone()), Value::Known(second.clone()), ["a", "a"], Verdict::Different),
            (Value::Known(first.clone()), Value::Unset, ["a", "a"], Verdict::Different),
            (Value::Unset, Value::Unset, ["a", "b"], Verdict::Same),
            (denied(), denied(), ["a", "a"], Verdict::Same),
            (denied(), denied(), ["a", "b"], Verdict::Unknown(Clean::ours("not allowed"))),
            (denied(), Value::Known(first), ["a", "a"], Verdict::Unknown(Clean::ours("not allowed"))),
            (
                Value::Untold(Clean::ours("made of")),
                Value::Untold(Clean::ours("made of")),
                ["a", "a"],
                Verdict::Unknown(Clean::ours("made of")),
            ),
        ];
        for (live, target, [from, then], expected) in rows {
            let shown = format!("{live:?} {target:?}");
            let keys = Keys { live: key(from, live), target: key(then, target) };
            let compared = keys.compare(|key| Fingerprint::new(&[7; 32], key.expose().as_bytes()));
            assert_eq!(compared.verdict, expected, "{shown}");
            assert!(!format!("{compared:?}{keys:?}").contains("first-key"), "{keys:?}");
        }
    }

    #[test]
    fn only_a_proof_or_the_same_key_lets_a_target_read() {
        let compared = |verdict| Comparison { live: Clean::ours("a"), target: Clean::ours("b"), verdict };
        let opened = |tried, live, target| Opened { tried, live, target, neither: 0 };
        let unknown = || Verdict::Unknown(Clean::ours("not allowed"));
        // verdict, what the database said, the outlook
        let rows = [
            (Verdict::Same, None, "reads"),
            (Verdict::Same, Some(opened(0, Some(0), Some(0))), "reads"),
            (Verdict::Same, Some(opened(12, Some(12), Some(12))), "reads"),
            (Verdict::Same, Some(opened(12, None, None)), "reads"),
            (Verdict::Same, Some(opened(12, Some(0), Some(0))), "doubtful"),
            (Verdict::Different, None, "blind"),
            (Verdict::Different, Some(opened(12, Some(12), Some(0))), "blind"),
            (Verdict::Different, Some(opened(12, Some(5), Some(7))), "blind"),
            (Verdict::Different, Some(opened(12, Some(12), None)), "blind"),
            (Verdict::Different, Some(opened(12, Some(0), Some(12))), "reads"),
            (Verdict::Different, Some(opened(0, Some(0), Some(0))), "doubtful"),
            (unknown(), None, "unknown"),
            (unknown(), Some(opened(12, None, Some(12))), "reads"),
            (unknown(), Some(opened(12, None, Some(3))), "blind"),
            (unknown(), Some(opened(12, Some(12), None)), "unknown"),
        ];
        for (verdict, opened, expected) in rows {
            let found = match outlook(&compared(verdict.clone()), opened.as_ref()) {
                Outlook::Reads(_) => "reads",
                Outlook::Doubtful(_) => "doubtful",
                Outlook::Blind(_) => "blind",
                Outlook::Unknown(_) => "unknown",
            };
            assert_eq!(found, expected, "{verdict:?} {opened:?}");
        }
    }
}
