//! Pieces of clean text that lie side by side in one allocation: a log has so many short lines that
//! one allocation each would cost more memory than the lines.

use std::fmt;
use std::sync::Arc;

use super::Clean;

/// Clean text that may share its memory with its neighbours, and keeps all of it alive: what is to
/// outlive them is taken out with [`Piece::to_clean`]. Cheap to clone.
#[derive(Clone)]
pub struct Piece {
    whole: Arc<str>,
    from: u32,
    to: u32,
}

impl From<Clean> for Piece {
    fn from(text: Clean) -> Self {
        let to = u32::try_from(text.0.len()).unwrap_or(u32::MAX);
        Self { whole: text.0, from: 0, to }
    }
}

impl Piece {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        // Only a text of more than 4 GiB does not end where it says.
        self.whole.get(self.from as usize..self.to as usize).unwrap_or(&self.whole)
    }

    /// The same text in memory of its own.
    pub fn to_clean(&self) -> Clean {
        say!("{}", self)
    }

    /// Lays pieces side by side in one new allocation. Does nothing for a single one.
    pub fn pack<'a>(pieces: impl Iterator<Item = &'a mut Self>) {
        let mut pieces: Vec<&mut Self> = pieces.collect();
        let bytes: usize = pieces.iter().map(|piece| piece.as_str().len()).sum();
        if pieces.len() < 2 || u32::try_from(bytes).is_err() {
            return;
        }
        let mut all = String::with_capacity(bytes);
        let place = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        for piece in &mut pieces {
            let from = place(all.len());
            all.push_str(piece.as_str());
            (piece.from, piece.to) = (from, place(all.len()));
            piece.whole = Arc::default();
        }
        let all: Arc<str> = Arc::from(all);
        pieces.into_iter().for_each(|piece| piece.whole = Arc::clone(&all));
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::Gate;

    proptest! {
        #[test]
        fn packed_pieces_read_as_before(texts in prop::collection::vec("[aä€\n ]{0,9}", 0..20)) {
            let mut pieces: Vec<Piece> = texts.iter().map(|text| Gate::default().clean(text).into()).collect();
            Piece::pack(pieces.iter_mut());
            let read: Vec<&str> = pieces.iter().map(Piece::as_str).collect();
            prop_assert_eq!(&read, &texts);
            let shared = pieces.windows(2).all(|pair| Arc::ptr_eq(&pair[0].whole, &pair[1].whole));
            prop_assert!(shared, "one allocation");
            Piece::pack(pieces.iter_mut().skip(1).step_by(2));
            prop_assert!(pieces.iter().map(Piece::as_str).eq(texts.iter().map(String::as_str)), "again, of some");
        }
    }
}
