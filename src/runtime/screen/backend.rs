//! A ratatui backend that gathers a whole frame into one buffer, and nothing when nothing changed.

use std::io;

use crossterm::{QueueableCommand as _, cursor, terminal};
use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect, Size};
use unicode_width::UnicodeWidthStr as _;

use crate::runtime::screen::encode::Pen;

/// What the terminal shows, and what it is to show.
#[derive(Default)]
pub(super) struct FrameBackend {
    shown: Buffer,
    next: Buffer,
    pen: Pen,
    /// Everything is written anew.
    anew: bool,
    /// Where the cursor is seen on the terminal. It is hidden when the screen is entered.
    cursor: Option<Position>,
    wanted: Position,
    visible: bool,
}

impl FrameBackend {
    /// Over a terminal of which nothing is known but its size.
    ///
    /// # Errors
    /// There is no terminal.
    pub fn new() -> io::Result<Self> {
        let mut this = Self::default();
        this.clear()?;
        Ok(this)
    }

    /// The bytes of the frame inside a synchronized-update bracket (DEC private mode 2026); `None`
    /// when nothing changed.
    pub fn take_frame(&mut self) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        frame.queue(terminal::BeginSynchronizedUpdate).ok()?;
        let empty = frame.len();
        if std::mem::take(&mut self.anew) {
            self.pen.erase(&mut frame);
            self.shown = Buffer::empty(self.next.area);
        }
        self.pen.change(&mut self.shown, &self.next, &mut frame);
        self.shown.clone_from(&self.next);
        let moved = frame.len() > empty;
        let wanted = self.visible.then_some(self.wanted);
        if let Some(at) = wanted.filter(|at| moved || self.cursor != Some(*at)) {
            self.pen.to(at.x, at.y, &mut frame);
        }
        match (self.cursor.is_some(), wanted.is_some()) {
            (false, true) => _ = frame.queue(cursor::Show),
            (true, false) => _ = frame.queue(cursor::Hide),
            _ => {}
        }
        self.cursor = wanted;
        // Whoever else writes to this terminal leaves the cursor elsewhere.
        self.pen.lift();
        if frame.len() == empty {
            return None;
        }
        frame.queue(terminal::EndSynchronizedUpdate).ok()?;
        Some(frame)
    }
}

impl Backend for FrameBackend {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        for (x, y, cell) in content {
            // The terminal may have become smaller while this was drawn; the next frame is of its size.
            let Some(place) = self.next.cell_mut((x, y)) else { continue };
            place.clone_from(cell);
            for behind in 1..u16::try_from(cell.symbol().width()).unwrap_or(1) {
                if let Some(covered) = self.next.cell_mut((x + behind, y)) {
                    covered.reset();
                }
            }
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.visible = false;
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.visible = true;
        Ok(())
    }

    /// The cursor is never asked for: late answers of a terminal over SSH would be read as keys.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.wanted)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.wanted = position.into();
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        let size = self.size()?;
        self.next = Buffer::empty(Rect::new(0, 0, size.width, size.height));
        self.anew = true;
        Ok(())
    }

    /// The screen is ours as a whole, so it is only ever cleared as a whole.
    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        let (width, height) = terminal::size()?;
        Ok(Size { width, height })
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::default() })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
