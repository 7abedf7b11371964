//! A ratatui backend that gathers a whole frame into one buffer, and nothing when no cell changed.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crossterm::{QueueableCommand as _, terminal};
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};

/// A buffer that two can hold: crossterm's backend does not give its writer back.
#[derive(Clone, Default)]
struct Gathered(Arc<Mutex<Vec<u8>>>);

impl Gathered {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// crossterm's backend over a buffer in memory.
pub(super) struct FrameBackend {
    inner: CrosstermBackend<Gathered>,
    gathered: Gathered,
    changed: bool,
}

impl Default for FrameBackend {
    fn default() -> Self {
        let gathered = Gathered::default();
        Self { inner: CrosstermBackend::new(gathered.clone()), gathered, changed: false }
    }
}

impl FrameBackend {
    /// The bytes of the frame inside a synchronized-update bracket; `None` when no cell changed.
    pub fn take_frame(&mut self) -> Option<Vec<u8>> {
        let bytes = self.gathered.take();
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut frame = Vec::with_capacity(bytes.len() + 16);
        frame.queue(terminal::BeginSynchronizedUpdate).ok()?;
        frame.extend_from_slice(&bytes);
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
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        self.changed = true;
        self.inner.draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.inner.hide_cursor()
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.inner.show_cursor()
    }

    /// The cursor is never asked for: late answers of a terminal over SSH would be read as keys.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.inner.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.changed = true;
        self.inner.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.changed = true;
        self.inner.clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        self.inner.size()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.inner.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
