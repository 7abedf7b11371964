//! The settings in LiteLLM's configuration file (`config.yaml`): which names stand on which line,
//! and the one of them that decides about the schema. Values stay where they are.

mod config;
mod known;
pub mod vocabulary;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::{Clean, Safe};

pub use config::{Config, Named};
pub use known::{Knows, Settings, Unknown};
pub use vocabulary::Vocabulary;

/// A section of the configuration file whose names LiteLLM knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// What the proxy does.
    GeneralSettings,
    /// What the library does: attributes of the module `litellm`.
    LitellmSettings,
    /// What the router does: arguments of `litellm.Router`.
    RouterSettings,
}

impl Section {
    /// Every section.
    pub const ALL: [Section; 3] = [Section::GeneralSettings, Section::LitellmSettings, Section::RouterSettings];

    /// As the file spells it.
    pub fn key(self) -> &'static str {
        match self {
            Section::GeneralSettings => "general_settings",
            Section::LitellmSettings => "litellm_settings",
            Section::RouterSettings => "router_settings",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl Safe for Section {}

/// The setting that decides whether pods touch the schema, before the variable
/// `DISABLE_SCHEMA_UPDATE` is looked at (`should_update_prisma_schema` in LiteLLM's
/// `proxy/db/prisma_client.py`; every version that was read, 1.64.1 to 1.110.2).
pub const DISABLE_PRISMA_SCHEMA_UPDATE: &str = "disable_prisma_schema_update";

/// What the configuration file says about the schema. When it says something, the variable
/// `DISABLE_SCHEMA_UPDATE` is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SchemaSwitch {
    /// Nothing, or there is no such file, or it was not looked at: the variable decides.
    #[default]
    Unset,
    /// `true`, and where: pods leave the schema alone.
    Off(Clean),
    /// `false` or something that is not true, and where: pods write, whatever the variable says.
    On(Clean),
    /// Nobody knows; why.
    Unknown(Clean),
}
