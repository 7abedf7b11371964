//! What may be printed into clean text, and the macro that prints it.

use std::fmt;

use super::{Clean, Piece};

/// Values that may be printed into a [`Clean`] by [`say!`](crate::say): numbers, our own
/// literals, clean text, and identifiers that were validated character by character.
/// Implemented in this file and for the validated types of the domain, never for `String`, and
/// not for `char`, which may be a control character.
pub trait Safe: fmt::Display {}

macro_rules! safe {
    ($($t:ty),* $(,)?) => { $(impl Safe for $t {})* };
}
safe!(
    Clean,
    Piece,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i16,
    i32,
    i64,
    i128,
    isize,
    f64,
    bool,
    &'static str,
    jiff::Timestamp,
    jiff::civil::Date
);
impl<T: Safe> Safe for &T {}

#[doc(hidden)]
pub fn safe_part<T: Safe>(part: &T) -> &T {
    part
}

/// Refuses format strings that capture a variable by name, because a captured variable would
/// bypass the [`Safe`] bound. Evaluated at compile time.
#[doc(hidden)]
pub const fn positional_only(format: &str) {
    let bytes = format.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'{' {
            assert!(i + 1 < bytes.len(), "unclosed brace");
            let next = bytes[i + 1];
            assert!(next == b'{' || next == b'}' || next == b':', "say! takes its values as arguments, not by name");
            i += 1;
        }
        i += 1;
    }
}

/// `format!` for clean text: every argument must be [`Safe`], so a raw `String` from outside
/// does not compile.
///
/// ```
/// use lastgood::{say, text::Clean};
/// assert_eq!(say!("{} of {}", 1, Clean::ours("two")).as_str(), "1 of two");
/// ```
/// ```compile_fail,E0277
/// # use lastgood::say;
/// let outside = String::from("password=hunter22");
/// let forged = say!("{}", outside);
/// ```
/// Nor does one that is captured by its name:
/// ```compile_fail,E0080
/// # use lastgood::say;
/// let outside = String::from("password=hunter22");
/// let forged = say!("{outside}");
/// ```
#[macro_export]
macro_rules! say {
    ($format:literal $(, $part:expr)* $(,)?) => {{
        const _: () = $crate::text::positional_only($format);
        $crate::text::Clean::assemble(format_args!($format $(, $crate::text::safe_part(&$part))*))
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn say_prints_safe_parts() {
        assert_eq!(say!("{} of {} {{}}", 1, Clean::ours("two")).as_str(), "1 of two {}");
    }
}
