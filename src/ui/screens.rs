//! What the screen shows, as text.

use crate::app::action::Pane;
use crate::ui::testing::{self, screen};

#[test]
fn look() {
    for overlay in [6, 7, 8, 9, 12, 11, 15] {
        let mut state = testing::normal();
        let overlays = testing::overlays(&mut state);
        state.overlays.push(overlays[overlay].clone());
        println!("{}\n{}", screen(&state, Pane::Runbook, 80, 24), "=".repeat(80));
    }
    for node in ["revert", "verify"] {
        let mut state = testing::normal();
        testing::go(&mut state, &format!("litellm-rollback:{node}"));
        println!("{}\n{}", screen(&state, Pane::Runbook, 80, 24), "=".repeat(80));
        println!("{}\n{}", screen(&state, Pane::Runbook, 120, 36), "=".repeat(80));
    }
}
