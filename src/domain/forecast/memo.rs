//! Forecasts that were worked out already: the same few images are asked about many times a second,
//! and each answer compares a catalog, a migration table and a schema.

use std::sync::{Mutex, PoisonError};

use super::start::How;
use super::{Forecast, Newest, Way};
use crate::domain::image::{Image, Version};
use crate::text::Clean;

/// Answers that are kept; more images than that are not on one screen.
const MOST: usize = 64;

/// What was asked, but for what the database and the catalog say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) image: Image,
    pub(super) claim: Option<Version>,
    pub(super) how: How,
    pub(super) open: Clean,
    pub(super) way: Way,
    pub(super) newest: Newest,
}

/// Answers for one state of the database and the catalog. Whoever sees another state takes a new one.
#[derive(Debug, Default)]
pub struct Memo(Mutex<Vec<(Asked, Forecast)>>);

/// A clone knows nothing yet, and finds the same.
impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Memo {
    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Nothing was asked yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn answer(&self, asked: Asked, work: impl FnOnce() -> Forecast) -> Forecast {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, forecast)) = known.iter().find(|(before, _)| *before == asked) {
            return forecast.clone();
        }
        let forecast = work();
        if known.len() >= MOST {
            known.clear();
        }
        known.push((asked, forecast.clone()));
        forecast
    }
}
