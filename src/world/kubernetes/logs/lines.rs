//! A raw log stream cut into lines, and a line cut into its timestamp and its text.

use jiff::Timestamp;

/// The most that is kept of one line, in bytes: a program that never ends its line must not take all
/// memory.
const MOST: usize = 4 * 1024 * 1024;

/// Splits chunks at line feeds. Lines may contain any bytes; what is longer than [`MOST`] is cut, and
/// says by how much.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The line that has no end yet.
    open: Vec<u8>,
    /// How much of it was cut.
    cut: usize,
}

impl Splitter {
    /// Takes the next chunk and calls `line` for each line that it completes.
    pub(super) fn take(&mut self, chunk: &[u8], mut line: impl FnMut(&[u8])) {
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if self.open.is_empty() {
                line(&rest[..end]);
            } else {
                self.keep(&rest[..end]);
                line(&self.rest());
            }
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    fn keep(&mut self, more: &[u8]) {
        let room = MOST.saturating_sub(self.open.len()).min(more.len());
        self.open.extend_from_slice(&more[..room]);
        self.cut += more.len() - room;
    }

    /// The line without an end. It is a line only if the log ended there; after a cut it will
    /// come again, whole.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.open);
        match std::mem::take(&mut self.cut) {
            0 => {}
            cut => line.extend_from_slice(format!(" ({cut} more bytes of this line are not kept)").as_bytes()),
        }
        line
    }
}

/// The RFC 3339 timestamp that the kubelet put before a line, and the rest. `None` for a line
/// without one, which is the kubelet's own remark.
pub(super) fn stamped(line: &[u8]) -> Option<(Timestamp, &[u8])> {
    let space = memchr::memchr(b' ', line.get(..40.min(line.len()))?);
    let (stamp, text) = match space {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, &line[line.len()..]),
    };
    let stamp = std::str::from_utf8(stamp).ok()?.parse().ok()?;
    Some((stamp, text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_do_not_depend_on_chunks(text in "[ab\n]{0,60}", sizes in prop::collection::vec(1usize..7, 1..60)) {
            let mut splitter = Splitter::default();
            let mut lines = Vec::new();
            let mut rest = text.as_bytes();
            for size in sizes.into_iter().cycle() {
                if rest.is_empty() { break }
                let (chunk, after) = rest.split_at(size.min(rest.len()));
                splitter.take(chunk, |line| lines.push(String::from_utf8(line.to_vec()).unwrap()));
                rest = after;
            }
            lines.push(String::from_utf8(splitter.rest()).unwrap());
            prop_assert_eq!(lines, text.split('\n').map(ToOwned::to_owned).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = stamped(&bytes);
        }
    }

    #[test]
    fn a_line_without_an_end_does_not_take_all_memory() {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for _ in 0..MOST / 1_000 + 8 {
            splitter.take(&[b'x'; 1_000], |line| lines.push(line.to_vec()));
        }
        assert!(splitter.open.capacity() <= 2 * MOST);
        splitter.take(b"y\nnext\n", |line| lines.push(line.to_vec()));
        let [long, next] = lines.try_into().unwrap();
        assert!(long.ends_with(b"xxx (7697 more bytes of this line are not kept)"), "{}", long.len());
        assert_eq!(next, b"next");
    }

    #[test]
    fn timestamps_come_off() {
        let rows: [(&str, Option<(&str, &str)>); 6] = [
            ("2026-11-21T01:02:03.123456789Z hello  world", Some(("2026-11-21T01:02:03.123456789Z", "hello  world"))),
            ("2026-11-21T01:02:03.5+01:00 x", Some(("2026-11-21T00:02:03.5Z", "x"))),
            ("2026-11-21T01:02:03Z ", Some(("2026-11-21T01:02:03Z", ""))),
            ("2026-11-21T01:02:03Z", Some(("2026-11-21T01:02:03Z", ""))),
            ("failed to watch file", None),
            ("", None),
        ];
        for (line, expected) in rows {
            let found =
                stamped(line.as_bytes()).map(|(at, text)| (at.to_string(), String::from_utf8_lossy(text).into_owned()));
            assert_eq!(found, expected.map(|(at, text)| (at.to_owned(), text.to_owned())), "{line}");
        }
    }
}
