//! Identifiers: validated once, compared raw, and free of anything that could repaint a screen.
//!
//! Identity is not text. A pod name used in an API call must not be altered by the gate, so it
//! is a type that refuses malformed input instead of cleaning it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::{Safe, without_shapes};

/// Why a string is not the identifier it was taken for. Names the rule, never the raw input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName {
    /// Which identifier was expected.
    pub what: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.what, self.rule)
    }
}

impl std::error::Error for BadName {}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        identifier!($(#[$doc])* $name, $what, $rule, $valid, std::convert::identity);
    };
    // `$shown` is what a person gets to see of it.
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr, $shown:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as the outside world spells it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(raw: &str) -> Result<Self, BadName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(raw) { Ok(Self(Arc::from(raw))) } else { Err(BadName { what: $what, rule: $rule }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(raw: String) -> Result<Self, BadName> {
                raw.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&$shown(&*self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&$shown(&*self.0))
            }
        }

        impl Safe for $name {}
    };
}

fn dns_subdomain(raw: &str) -> bool {
    (1..=253).contains(&raw.len())
        && raw.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn printable(raw: &str, longest: usize) -> bool {
    !raw.is_empty() && raw.len() <= longest && !raw.chars().any(|c| c.is_control() || crate::text::is_invisible(c))
}

identifier!(
    /// A Kubernetes object name: a DNS-1123 subdomain, as the API server accepts it.
    Name, "a Kubernetes name", "lower case letters, digits, '-' and '.', at most 253 characters", dns_subdomain
);
identifier!(
    /// A Helm release name (Helm `chartutil.ValidateReleaseName`).
    ReleaseName, "a Helm release name", "lower case letters, digits, '-' and '.', at most 53 characters",
    |raw| raw.len() <= 53 && dns_subdomain(raw)
);
identifier!(
    /// A Kubernetes UID, which tells an object from a later one of the same name.
    Uid, "a Kubernetes UID", "letters, digits and '-', at most 64 characters",
    |raw| (1..=64).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
);
identifier!(
    /// The name of an environment variable (C identifier, with the dots and dashes Kubernetes allows).
    VarName, "an environment variable name", "letters, digits, '_', '-' and '.', not starting with a digit",
    |raw| (1..=253).contains(&raw.len())
        && raw.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !raw.starts_with(|c: char| c.is_ascii_digit())
);
identifier!(
    /// A key in the data of a Kubernetes Secret (Kubernetes API reference, `Secret.data`).
    DataKey, "a key of a Kubernetes Secret", "letters, digits, '-', '_' and '.', at most 253 characters",
    |raw| (1..=253).contains(&raw.len())
        && raw.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
);
identifier!(
    /// The name of an `[env.NAME]` table: what an operator types to arm the console.
    EnvName, "an environment name", "letters, digits, '-' and '_', at most 63 characters",
    |raw| (1..=63).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
);
identifier!(
    /// A kubeconfig context name. Free text by Kubernetes' rules, so only control characters are refused.
    ContextName, "a kube context name", "printable characters, at most 253", |raw| printable(raw, 253),
    without_shapes
);
identifier!(
    /// The primary key of a `_prisma_migrations` row (`varchar(36)`, normally a UUID).
    MigrationId, "a migration row id", "printable characters, at most 36", |raw| printable(raw, 36),
    without_shapes
);
identifier!(
    /// A migration's name, which is the name of its folder. LiteLLM has published names with spaces
    /// and with 8-digit dates, so nothing but printability is assumed.
    MigrationName, "a migration name", "printable characters, at most 255", |raw| printable(raw, 1020),
    without_shapes
);
identifier!(
    /// The name of a table, a column, an index or another object of PostgreSQL, without quotes.
    SqlName, "a PostgreSQL name", "printable characters, at most 63 bytes", |raw| printable(raw, 63),
    without_shapes
);
identifier!(
    /// The name of a database that is made: one that means the same in SQL, in a URL and in a shell.
    DatabaseName, "a database name", "letters, digits, '_' and '-', not starting with a digit or '-', at most 63",
    |raw| (1..=63).contains(&raw.len())
        && raw.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && !raw.starts_with(|c: char| c.is_ascii_digit() || c == '-')
);
identifier!(
    /// The id of a runbook, a node, a scenario or a check: kebab case.
    Slug, "an id", "lower case letters, digits and '-', at most 64 characters",
    |raw| (1..=64).contains(&raw.len())
        && raw.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !raw.starts_with('-')
);
identifier!(
    /// The id of an incident, which is also the stem of its journal file.
    IncidentId, "an incident id", "letters, digits and '-', at most 80 characters",
    |raw| (1..=80).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
);
identifier!(
    /// A model's public name on the gateway.
    ModelName, "a model name", "printable characters, at most 255", |raw| printable(raw, 255),
    without_shapes
);
identifier!(
    /// What stands before the keys of LiteLLM's response cache (`cache_params.namespace`), without
    /// its colon.
    CacheNamespace, "a namespace of the response cache", "printable characters, at most 200", |raw| printable(raw, 200),
    without_shapes
);
identifier!(
    /// The id of one completion (`chatcmpl-…`), the primary key of its row in `"LiteLLM_SpendLogs"`.
    RequestId, "a request id", "printable characters without spaces, at most 255",
    |raw| printable(raw, 255) && !raw.contains(' '),
    without_shapes
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_not_repaired() {
        for bad in ["", "Api", "api_1", "-api", "api-", "a..b", "api\n", "\u{1b}[2J"] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        assert_eq!(
            "litellm-6d4cf56db6-x7x2p".parse::<Name>().map(|n| n.to_string()).as_deref(),
            Ok("litellm-6d4cf56db6-x7x2p")
        );
    }

    #[test]
    fn free_text_is_compared_raw_and_shown_without_secrets() {
        let name: ModelName = "gpt for password=hunter2".parse().unwrap();
        assert_eq!(name.as_str(), "gpt for password=hunter2");
        assert_eq!(format!("{name} {name:?}"), "gpt for password=[masked] gpt for password=[masked]");
    }

    #[test]
    fn litellm_names_with_spaces_are_names() {
        assert!("20251122125322_Add organization_id to spend logs".parse::<MigrationName>().is_ok());
        assert!("a\u{202e}b".parse::<MigrationName>().is_err());
    }
}
