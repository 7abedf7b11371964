//! `restore`: a proved backup into a new database without a screen, through the same gates as in
//! the console.

use std::time::Duration;

use color_eyre::eyre;
use jiff::Timestamp;

use crate::app::msg::Msg;
use crate::app::restore;
use crate::app::state::State;
use crate::cli::command::Restore;
use crate::cli::config_file::Chosen;
use crate::cli::engine::Outcome;
use crate::cli::engine::one_act::{act_telling, check_arm, orders};
use crate::cli::output::{Align, Table};
use crate::cli::session::{self, node};
use crate::domain::restore::RestoreWish;
use crate::text::{Clean, Gate};

/// How long a restore may take: databases of a terabyte are restored at some hundred megabytes a
/// minute.
const PATIENCE: Duration = Duration::from_secs(48 * 3600);

/// Restores.
pub(super) async fn run(chosen: &Chosen, wanted: &Restore, gate: &Gate) -> eyre::Result<Outcome> {
    if let Err(trouble) = check_arm(&wanted.arm, chosen) {
        return Ok(Err(trouble));
    }
    let scene = match session::live(chosen, gate).await {
        Ok(scene) => scene,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let dump = wanted.backup.clone().map(|path| std::path::absolute(&path).unwrap_or(path));
    let wish = RestoreWish { dump, into: wanted.into.clone(), at: Timestamp::now() };
    let orders = orders(&wanted.arm, Vec::new());
    let at = node("litellm-rollback", "restore");
    let ask = move |_: &State| Ok(vec![Msg::RestoreDatabase(Box::new(wish.clone()))]);
    act_telling(scene, &orders, wanted.format, PATIENCE, at, ask, lacking).await
}

/// What the new database lacks, below the line that says that it is there.
fn lacking(state: &State) -> String {
    let Some((act, _)) = state.incident.acts.iter().next_back() else { return String::new() };
    let Some((differences, notes)) = restore::lacking(state, *act) else { return String::new() };
    let mut text = String::new();
    if let Some(differences) = differences.filter(|all| !all.is_empty()) {
        let mut table = Table::new([
            ("TABLE", Align::Left),
            ("LIVE", Align::Right),
            ("RESTORED", Align::Right),
            ("MADE SINCE", Align::Right),
            ("CHANGED SINCE", Align::Right),
        ]);
        let count = |rows: Option<u64>| rows.map_or(Clean::ours("-"), |rows| say!("{}", rows));
        for difference in differences {
            table.row([
                difference.table,
                count(difference.live),
                count(difference.restored),
                count(difference.newer.map(|since| since.rows)),
                count(difference.changed.map(|since| since.rows)),
            ]);
        }
        text.push_str(&format!("\nwhat the live database holds besides:\n{}", table.render()));
    }
    notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    text.push_str("\nno URL was switched: `lastgood export --md` has the counts for whoever decides\n");
    text
}
