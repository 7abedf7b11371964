//! The environment that the console was opened on.

use serde::{Deserialize, Serialize};

/// How much care an environment needs. Unknown is treated as production.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Real users.
    Production,
    /// A copy for trials.
    Staging,
    /// The embedded sandbox, or a cluster kept for drills.
    Drill,
}

impl Kind {
    /// The word for header, journal and configuration.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Production => "production",
            Kind::Staging => "staging",
            Kind::Drill => "drill",
        }
    }
}
