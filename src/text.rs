//! The gate: the only way to make text that may be shown or stored.
//!
//! Everything that comes from outside (log lines, rows, errors, configuration, HTTP bodies) is
//! untrusted twice over: it may carry secrets, and it may carry control characters that repaint
//! the operator's terminal. [`Gate::clean`] removes both in one pass, and [`Clean`] has no other
//! constructor than the gate and our own literals. Identifiers are not text: see [`crate::domain::name`].

#[macro_use]
mod safe;
mod gate;
mod learnt;
mod lines;
mod many;
mod piece;
mod quote;
mod shapes;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub use gate::{Gate, announces_secret};
pub(crate) use gate::{is_invisible, without_shapes};
pub use lines::LineGate;
pub use many::Many;
pub use piece::Piece;
pub use safe::{Safe, positional_only, safe_part};

/// What stands where a secret stood.
pub const MASK: &str = "[masked]";

/// Text that passed the gate: no known secret, no secret-shaped token, no control character
/// other than a line feed. Cheap to clone.
///
/// ```
/// # use lastgood::text::{Clean, Gate};
/// let shown: Clean = Gate::default().clean("password=hunter22");
/// assert_eq!(shown.as_str(), "password=[masked]");
/// ```
/// ```compile_fail,E0423
/// # use lastgood::text::Clean;
/// let forged = Clean("password=hunter22".into());
/// ```
/// Our own words are literals, and nothing that was read at run time is one:
/// ```compile_fail,E0597
/// # use lastgood::text::Clean;
/// let outside = std::env::args().collect::<String>();
/// let forged = Clean::ours(&outside);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Clean(Arc<str>);

impl Clean {
    /// Our own words. A `&'static str` cannot come from outside.
    pub fn ours(words: &'static str) -> Self {
        Self(Arc::from(words))
    }

    /// Builds text out of parts that are all [`Safe`]. Use the [`say!`](crate::say) macro.
    #[doc(hidden)]
    pub fn assemble(parts: fmt::Arguments<'_>) -> Self {
        Self(Arc::from(parts.to_string()))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first line, which is what a one-line cell shows.
    pub fn first_line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// A part of clean text is clean. `None` when the range does not fall on character boundaries.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Option<Clean> {
        self.0.get(range).map(|part| Self(Arc::from(part)))
    }
}

impl fmt::Display for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Default for Clean {
    fn default() -> Self {
        Self::ours("")
    }
}

/// A secret value in memory: no `Display`, no `Serialize`, and a `Debug` that shows nothing.
/// Only adapters call [`Secret::expose`], at the point where it leaves for its destination.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a secret value in. Teach it to the [`Gate`] as well.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A value that an undo must put back exactly, secrets included: a saved row or object. It has
/// no `Display`, `Debug` or `Serialize`; only a port opens it, and only a 0600 restore file
/// holds it.
///
/// ```
/// # use lastgood::text::Sealed;
/// assert_eq!(Sealed::new(1).open(), &1);
/// ```
/// ```compile_fail,E0277
/// # use lastgood::text::Sealed;
/// format!("{:?}", Sealed::new(1));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed<T>(T);

impl<T> Sealed<T> {
    /// Seals a value as it came from its source.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Opens the seal; for ports and for the restore file only.
    pub fn open(&self) -> &T {
        &self.0
    }
}
