//! A count and its noun.

use std::fmt;

use super::Safe;

/// So many of something, in words that agree: `1 row`, `2 rows`. For nouns that take an `s`.
///
/// ```
/// # use lastgood::text::Many;
/// assert_eq!(Many(1_u64, "failed row").to_string(), "1 failed row");
/// assert_eq!(Many(0_usize, "failed row").to_string(), "0 failed rows");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Many<N>(pub N, pub &'static str);

impl<N: Safe + PartialEq + From<u8>> fmt::Display for Many<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = self;
        write!(f, "{count} {noun}{}", if *count == N::from(1) { "" } else { "s" })
    }
}

impl<N: Safe + PartialEq + From<u8>> Safe for Many<N> {}
