//! Values that LiteLLM stored encrypted in a form that older versions cannot read.
//!
//! With `general_settings.encryption_algorithm: aes-256-gcm` LiteLLM writes `v2:gcm:` before the
//! ciphertext. Looked for in the packages: `litellm` 1.91.0 has no code for it, 1.92.0 has. An
//! older version takes such a value for damaged: models lose their keys, and the gateway stays
//! healthy.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::domain::image::{Image, Version};
use crate::domain::name::SqlName;
use crate::text::{Clean, Many};

/// What such a value begins with.
pub const MARK: &str = "v2:gcm:";

/// Where LiteLLM stores encrypted values: table and column. Looked for only where they exist.
pub const PLACES: [(&str, &str); 3] = [
    ("LiteLLM_ProxyModelTable", "litellm_params"),
    ("LiteLLM_CredentialsTable", "credential_values"),
    ("LiteLLM_Config", "param_value"),
];

/// The newest version that was looked into and cannot read the form, and the oldest that can.
const BOUNDS: (&str, &str) = ("1.91.0", "1.92.0");

/// How many rows of a column hold such values. The values themselves never leave the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newer {
    /// The table.
    pub table: SqlName,
    /// The column.
    pub column: SqlName,
    /// Rows with at least one such value.
    pub rows: u64,
}

impl Newer {
    /// As a person reads and types it.
    pub fn words(&self) -> Clean {
        say!("{} of {}.{}", Many(self.rows, "row"), self.table, self.column)
    }
}

/// Whether an image reads the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reads {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody looked: its version is not told, or lies between two that were looked into.
    Unknown(Clean),
}

/// Whether an image reads the form, by its version.
pub fn reads(image: &Image) -> Reads {
    let version = if image.is_litellm() { image.version() } else { None };
    let Some(version) = version else { return Reads::Unknown(say!("{} does not tell its version", image)) };
    let against = |bound: &str| bound.parse::<Version>().ok().and_then(|bound| version.partial_cmp(&bound));
    let (without, with) = BOUNDS;
    if matches!(against(with), Some(Ordering::Equal | Ordering::Greater)) {
        Reads::Yes
    } else if matches!(against(without), Some(Ordering::Equal | Ordering::Less)) {
        Reads::No
    } else {
        Reads::Unknown(say!(
            "{} lies between {}, which does not read it, and {}, which does",
            version,
            Clean::ours(without),
            Clean::ours(with)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_looked_into_is_said_to_read_the_form_or_not() {
        let of = |image: &str| reads(&image.parse().unwrap());
        assert_eq!(of("ghcr.io/berriai/litellm:v1.92.0"), Reads::Yes);
        assert_eq!(of("ghcr.io/berriai/litellm:v1.109.1"), Reads::Yes);
        assert_eq!(of("ghcr.io/berriai/litellm:v1.91.0"), Reads::No);
        assert_eq!(of("ghcr.io/berriai/litellm:main-v1.74.7-stable"), Reads::No);
        for unknown in
            ["ghcr.io/berriai/litellm:v1.91.2", "ghcr.io/berriai/litellm:v1.92.0-nightly", "private/gateway:1.0"]
        {
            assert!(matches!(of(unknown), Reads::Unknown(_)), "{unknown}");
        }
    }
}
