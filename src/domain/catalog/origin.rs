//! Which catalog is used: the one that came with the program, or one that was refreshed since.

use jiff::civil::Date;
use serde::Serialize;

use crate::text::Clean;

/// Where the catalog that is used comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Origin {
    /// It came with the program, and there is no other.
    #[default]
    Embedded,
    /// It came with the program, because the refreshed one is older.
    NewerThanRefreshed {
        /// The day of the refreshed one.
        refreshed: Date,
        /// Its file.
        file: Clean,
    },
    /// It came with the program, because the refreshed one cannot be used.
    InPlaceOf {
        /// The refreshed one's file.
        file: Clean,
        /// What is wrong with it.
        why: Clean,
    },
    /// It was refreshed.
    Refreshed {
        /// Its file.
        file: Clean,
    },
}

impl Origin {
    /// In words, after "the catalog of 2026-11-20, ".
    pub fn words(&self) -> Clean {
        match self {
            Origin::Embedded => Clean::ours("which comes with this program"),
            Origin::NewerThanRefreshed { refreshed, file } => {
                say!("which comes with this program and is newer than {} of {}", file, refreshed)
            }
            Origin::InPlaceOf { file, why } => {
                say!("which comes with this program, because {} cannot be used: {}", file, why)
            }
            Origin::Refreshed { file } => say!("refreshed, from {}", file),
        }
    }
}
