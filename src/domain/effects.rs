//! What the statements of a migration do, one effect each.

mod read;
mod token;

use serde::{Deserialize, Serialize};

use crate::domain::name::SqlName;
use crate::domain::schema::Object;
use crate::text::Clean;

pub use read::effects;

/// What one statement does to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Creates it. Repeating the statement fails, unless it is guarded.
    Create {
        /// What.
        object: Object,
        /// `IF NOT EXISTS`, or a block that catches or asks first: repeating it does no harm.
        guarded: bool,
    },
    /// Drops it, with what it holds.
    Drop {
        /// What.
        object: Object,
        /// `IF EXISTS`, or a block that asks first.
        guarded: bool,
    },
    /// Renames it; nothing is lost, and the old name is gone.
    Rename {
        /// What, by its old name.
        object: Object,
        /// The new name.
        to: SqlName,
        /// A block asks first.
        guarded: bool,
    },
    /// Changes the type, the default or the nullability of a column.
    Alter {
        /// Which column.
        object: Object,
        /// What is changed, in SQL's words (`SET DATA TYPE BIGINT`, `DROP NOT NULL`).
        change: Alteration,
    },
    /// Changes rows.
    Data {
        /// Of which table.
        table: SqlName,
    },
    /// Changes neither schema nor rows (`SELECT 1`, `SET LOCAL lock_timeout`).
    Nothing,
    /// Could not be read: what it does is unknown.
    Unread,
}

/// How a column is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alteration {
    /// Another type.
    Type(SqlName),
    /// `SET NOT NULL`
    NotNull,
    /// `DROP NOT NULL`
    Null,
    /// `SET DEFAULT` or `DROP DEFAULT`
    Default,
}

/// How dangerous a migration is, from its effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Does nothing to the schema.
    Inert,
    /// Only adds.
    Additive,
    /// Changes something that is there, and loses no column and no table.
    Changes,
    /// Drops tables or columns.
    Destructive,
    /// At least one statement could not be read.
    Unknown,
}

impl Weight {
    /// The word for the table.
    pub fn word(self) -> &'static str {
        match self {
            Weight::Inert => "does nothing",
            Weight::Additive => "additive",
            Weight::Changes => "changes",
            Weight::Destructive => "destructive",
            Weight::Unknown => "unknown",
        }
    }
}

impl Effect {
    /// How dangerous this statement is.
    pub fn weight(&self) -> Weight {
        match self {
            Effect::Nothing => Weight::Inert,
            Effect::Create { .. } => Weight::Additive,
            Effect::Drop { object, .. } if object.holds_data() => Weight::Destructive,
            Effect::Drop { .. } | Effect::Rename { .. } | Effect::Alter { .. } | Effect::Data { .. } => Weight::Changes,
            Effect::Unread => Weight::Unknown,
        }
    }

    /// In one line for people: `adds LiteLLM_TeamTable.soft_budget`.
    pub fn sentence(&self) -> Clean {
        match self {
            Effect::Create { object, .. } => say!("adds {}", object),
            Effect::Drop { object, .. } => say!("drops {}", object),
            Effect::Rename { object, to, .. } => say!("renames {} to {}", object, to),
            Effect::Alter { object, change } => match change {
                Alteration::Type(to) => say!("changes the type of {} to {}", object, to),
                Alteration::NotNull => say!("forbids null in {}", object),
                Alteration::Null => say!("allows null in {}", object),
                Alteration::Default => say!("changes the default of {}", object),
            },
            Effect::Data { table } => say!("changes rows of {}", table),
            Effect::Nothing => Clean::ours("does nothing"),
            Effect::Unread => Clean::ours("does something that could not be read"),
        }
    }
}

/// How dangerous a migration is: as dangerous as its most dangerous statement.
pub fn weight(effects: &[Effect]) -> Weight {
    effects.iter().map(Effect::weight).max().unwrap_or(Weight::Inert)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_weighs_what_its_heaviest_statement_weighs() {
        let table = || Object::Table("LiteLLM_X".parse().unwrap());
        let index = || Object::Index("LiteLLM_X_idx".parse().unwrap());
        let create = Effect::Create { object: table(), guarded: true };
        let rows = [
            (vec![], Weight::Inert),
            (vec![create.clone()], Weight::Additive),
            (vec![create.clone(), Effect::Drop { object: index(), guarded: false }], Weight::Changes),
            (vec![create.clone(), Effect::Drop { object: table(), guarded: true }], Weight::Destructive),
            (vec![create, Effect::Unread], Weight::Unknown),
        ];
        for (effects, expected) in rows {
            assert_eq!(weight(&effects), expected, "{effects:?}");
        }
    }
}
