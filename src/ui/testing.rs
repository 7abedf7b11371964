//! States for the tests of the screen, and the screen as text.
