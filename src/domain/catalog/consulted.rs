//! The catalog that a session goes by.

use std::ops::Deref;
use std::sync::Arc;

use jiff::civil::Date;

use super::{Catalog, Told, asset};

/// The catalog that a session goes by. Reads as a [`Catalog`].
#[derive(Clone, Debug)]
pub enum Consulted {
    /// The one that comes with this program. It is read when it is first asked for more than its
    /// day: the first screen waits for no more.
    Embedded,
    /// Another one.
    Other(Arc<Catalog>),
}

impl Consulted {
    /// The day on which it was made.
    pub fn made(&self) -> Date {
        match self {
            Consulted::Embedded => asset::made(Catalog::EMBEDDED).unwrap_or_else(|| Catalog::embedded().made()),
            Consulted::Other(catalog) => catalog.made(),
        }
    }

    /// Takes over what a running pod told of its image.
    pub fn learn(&mut self, told: Told) {
        let mut catalog = match self {
            Consulted::Embedded => Arc::clone(Catalog::embedded()),
            Consulted::Other(catalog) => std::mem::take(catalog),
        };
        Arc::make_mut(&mut catalog).learn(told);
        *self = Consulted::Other(catalog);
    }
}

impl Default for Consulted {
    /// An empty one.
    fn default() -> Self {
        Consulted::Other(Arc::default())
    }
}

impl From<Catalog> for Consulted {
    fn from(catalog: Catalog) -> Self {
        Consulted::Other(Arc::new(catalog))
    }
}

impl Deref for Consulted {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        match self {
            Consulted::Embedded => Catalog::embedded(),
            Consulted::Other(catalog) => catalog,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_the_embedded_catalog_is_told_without_reading_it() {
        assert_eq!(asset::made(Catalog::EMBEDDED), Some(Catalog::embedded().made()));
        assert_eq!(Consulted::Embedded.made(), Catalog::embedded().made());
    }
}
