//! What the screen shows, as text.

use crate::app::action::Pane;
use crate::domain::environment::Kind;
use crate::ui::testing::{self, screen};

#[test]
fn look() {
    let state = testing::normal();
    for pane in Pane::ALL {
        println!("{}\n{}", screen(&state, pane, 80, 24), "=".repeat(80));
    }
    println!("{}", screen(&state, Pane::Runbook, 120, 36));
    println!("{}", screen(&testing::stale(), Pane::Migrations, 120, 36));
    println!("{}", screen(&testing::empty(Kind::Drill), Pane::Runbook, 80, 24));
    println!("{}", screen(&testing::error(), Pane::Runbook, 120, 36));
    println!("{}", screen(&state, Pane::Runbook, 200, 50));
}
