//! What a package's schema knows, put together when it is first asked for: the catalog holds some
//! 170 of them, nearly alike, and a session asks for two or three.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::domain::schema::{Object, Schema};

/// Every object of every package, in order, with the ranges of the packages that have it. The
/// ranges hold positions in the list of packages, both ends included.
pub(super) type Objects = Arc<Vec<(Object, Vec<(usize, usize)>)>>;

/// The schema of one package. Reads as a [`Schema`].
#[derive(Clone)]
pub struct Described {
    schema: OnceLock<Schema>,
    all: Objects,
    at: usize,
}

impl Described {
    /// Of the package at this position of the list.
    pub(super) fn at(at: usize, all: &Objects) -> Self {
        Self { schema: OnceLock::new(), all: Arc::clone(all), at }
    }
}

impl From<Schema> for Described {
    fn from(schema: Schema) -> Self {
        Self { schema: OnceLock::from(schema), all: Arc::default(), at: 0 }
    }
}

impl Deref for Described {
    type Target = Schema;

    fn deref(&self) -> &Schema {
        self.schema.get_or_init(|| {
            let has =
                |ranges: &[(usize, usize)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&self.at));
            self.all.iter().filter(|(_, ranges)| has(ranges)).map(|(object, _)| object.clone()).collect()
        })
    }
}

impl PartialEq for Described {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Described {}

impl fmt::Debug for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
