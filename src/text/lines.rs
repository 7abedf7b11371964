//! The gate for a stream of lines: remembers that a private key is open.

use super::shapes::pem::{self, Body};
use super::{Clean, Gate, MASK};

/// The gate for one stream of lines.
#[derive(Clone, Debug)]
pub struct LineGate {
    gate: Gate,
    /// How many more lines the open private key may have; 0 when none is open.
    open: u8,
}

impl LineGate {
    pub(super) fn new(gate: Gate) -> Self {
        Self { gate, open: 0 }
    }

    /// Cleans the next line of this stream.
    pub fn clean(&mut self, line: &str) -> Clean {
        if self.open > 0 {
            match pem::body(line) {
                Body::End(after) => {
                    self.open = 0;
                    let after = self.clean(&line[after..]);
                    return self.gate.clean(&format!("{MASK}{after}"));
                }
                // Lines of a key are of one length; a shorter one is its last.
                Body::Short if self.open > 1 => {
                    self.open = 1;
                    return Clean::ours(MASK);
                }
                Body::Full => {
                    self.open -= 1;
                    return Clean::ours(MASK);
                }
                Body::Short | Body::Other => self.open = 0,
            }
        }
        // Another thread's lines come between, or the stream begins in the middle of a key.
        if pem::is_stray(line) {
            return Clean::ours(MASK);
        }
        if pem::left_open(line) {
            self.open = pem::LONGEST;
        }
        self.gate.clean(line)
    }
}
