//! Plain words on standard output: aligned tables, JSON, and a reader that may go away.

use std::io::{self, Write};

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::text::Clean;

/// Which side of its column a cell keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table without lines and colours: headings in capitals, columns two spaces apart. Cells show
/// their first line.
#[derive(Clone, Debug)]
pub struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<[Clean; N]>,
}

impl<const N: usize> Table<N> {
    /// A table of these columns, without a row.
    pub fn new(columns: [(&'static str, Align); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [Clean; N]) {
        self.rows.push(cells);
    }

    /// The lines of the table, each ended by a line feed and none by a space. Empty without rows.
    pub fn render(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let headings = self.columns.map(|(heading, _)| heading.to_uppercase());
        let mut widths = headings.each_ref().map(|heading| heading.width());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.first_line().width());
            }
        }
        let mut lines = self.line(&widths, headings.each_ref().map(String::as_str));
        for row in &self.rows {
            lines.push_str(&self.line(&widths, row.each_ref().map(Clean::first_line)));
        }
        lines
    }

    fn line(&self, widths: &[usize; N], cells: [&str; N]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, align)) in cells.into_iter().zip(widths).zip(self.columns) {
            // The formatter counts characters; a terminal counts cells.
            let gap = " ".repeat(width.saturating_sub(cell.width()));
            match align {
                Align::Left => line.extend([cell, &gap, "  "]),
                Align::Right => line.extend([&gap, cell, "  "]),
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// A value as JSON for people and programs: indented, ended by a line feed.
///
/// # Errors
/// When the value cannot be written as JSON, such as a map whose keys are not strings.
pub fn json<T: Serialize>(value: &T) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}

/// Writes to standard output.
///
/// # Errors
/// As [`write_to`].
pub fn print(text: &str) -> io::Result<()> {
    write_to(&mut io::stdout().lock(), text)
}

/// Writes and flushes. A reader that went away (`lastgood … | head -1`) is content with what it
/// has, so a broken pipe is no error.
///
/// # Errors
/// Everything else that writing can meet, such as a full disk behind a redirection.
pub fn write_to(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_cells_not_by_characters() {
        let mut table = Table::new([("name", Align::Left), ("steps", Align::Right), ("state", Align::Left)]);
        table.row([Clean::ours("数据库"), Clean::ours("1"), Clean::ours("failed")]);
        table.row([Clean::ours("plain"), Clean::ours("12"), Clean::ours("")]);
        table.row([Clean::ours("two\nlines"), Clean::ours("1234567"), Clean::ours("applied")]);
        let expected = "\
NAME      STEPS  STATE
数据库        1  failed
plain        12
two     1234567  applied
";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(Table::new([("name", Align::Left)]).render(), "");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_and_a_full_disk_is() {
        struct Fails(io::ErrorKind);
        impl Write for Fails {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(write_to(&mut Fails(io::ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write_to(&mut Fails(io::ErrorKind::StorageFull), "x").is_err());
    }
}
