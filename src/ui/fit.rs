//! Fitting text into cells: cut, shortened in the middle, wrapped, by width and never by bytes.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Text beyond this is not looked at when it is wrapped: no dialog shows so much.
const MOST_WRAPPED: usize = 64 * 1024;

/// The longest start of `text` that fits into `width` cells, and the cells that it takes. Looks
/// at no more of the text than that, so a line of a megabyte costs what a short one does.
pub fn start(text: &str, width: usize) -> (&str, usize) {
    let (end, taken) = fitting(text.grapheme_indices(true), width);
    (end.and_then(|end| text.get(..end)).unwrap_or(text), taken)
}

/// Where the first letter stands that does not fit any more, and the cells taken before it.
fn fitting<'a>(letters: impl Iterator<Item = (usize, &'a str)>, width: usize) -> (Option<usize>, usize) {
    let mut taken = 0;
    for (at, letter) in letters {
        let next = taken + letter.width();
        if next > width {
            return (Some(at), taken);
        }
        taken = next;
    }
    (None, taken)
}

/// The longest end of `text` that fits into `width` cells.
fn end(text: &str, width: usize) -> &str {
    let mut taken = 0;
    for (at, grapheme) in text.grapheme_indices(true).rev() {
        taken += grapheme.width();
        if taken > width {
            return &text[at + grapheme.len()..];
        }
    }
    text
}

/// One line that fits: cut at the end, with the sign of the cut. Line feeds become `feed`.
pub fn line<'a>(text: &'a str, width: usize, cut: &str, feed: &str) -> Cow<'a, str> {
    let (head, _) = start(text, width);
    let whole = head.len() == text.len();
    let shown: Cow<'a, str> = if whole || width == 0 {
        Cow::Borrowed(head)
    } else {
        Cow::Owned(format!("{}{cut}", start(text, width - 1).0))
    };
    if shown.contains('\n') { Cow::Owned(shown.replace('\n', feed)) } else { shown }
}

/// One line that fits: shortened in the middle, so that the unique end of a name stays.
pub fn middle<'a>(text: &'a str, width: usize, cut: &str) -> Cow<'a, str> {
    if start(text, width).0.len() == text.len() || width == 0 {
        return Cow::Borrowed(start(text, width).0);
    }
    let room = width - 1;
    let tail = end(text, room - room / 3);
    let (head, _) = start(text, room - tail.width());
    Cow::Owned(format!("{head}{cut}{tail}"))
}

/// Exactly `width` cells: cut at the end or filled with blanks.
pub fn padded(text: &str, width: usize, cut: &str, feed: &str) -> String {
    let mut shown = line(text, width, cut, feed).into_owned();
    let taken = shown.width();
    shown.extend(std::iter::repeat_n(' ', width.saturating_sub(taken)));
    shown
}

/// Whole words on as many lines as it takes; longer words are broken. Line feeds are kept.
pub fn wrapped(text: &str, width: usize) -> Vec<Cow<'_, str>> {
    let most = (0..=MOST_WRAPPED.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let options = textwrap::Options::new(width.max(1)).word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(&text[..most], options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_cells_and_not_inside_a_character() {
        assert_eq!(line("abcdef", 4, "…", "|"), "abc…");
        assert_eq!(line("abcd", 4, "…", "|"), "abcd");
        assert_eq!(line("日本語", 4, "…", "|"), "日…");
        assert_eq!(line("a\nb", 4, "…", "|"), "a|b");
        assert_eq!(line("e\u{301}e\u{301}e\u{301}", 2, "…", "|"), "e\u{301}…");
        assert_eq!(line("abc", 0, "…", "|"), "");
        assert_eq!(padded("日本語", 5, "…", "|"), "日本…");
        assert_eq!(padded("日本語", 4, "…", "|"), "日… ");
    }

    #[test]
    fn names_keep_their_end() {
        assert_eq!(middle("litellm-proxy-7f9c6d5b8-x7k2p", 16, "…"), "litel…d5b8-x7k2p");
        assert_eq!(middle("short", 16, "…"), "short");
        for width in 0..40 {
            assert!(middle("litellm-proxy-7f9c6d5b8-x7k2p", width, "…").width() <= width);
            assert!(middle("日本語日本語日本語日本語", width, "…").width() <= width);
        }
    }

    #[test]
    fn no_more_of_a_line_is_looked_at_than_fits() {
        let mut looked = 0;
        let endless = std::iter::repeat((7, "x")).inspect(|_| looked += 1);
        assert_eq!(fitting(endless, 100), (Some(7), 100));
        assert_eq!(looked, 101);
    }

    #[test]
    fn words_are_wrapped_and_line_feeds_kept() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one\n\ntwo", 7), ["one", "", "two"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert!(wrapped(&"long ".repeat(100_000), 80).len() < 1000);
    }
}
