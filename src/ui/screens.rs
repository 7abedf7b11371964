//! What the screen shows, as text.
