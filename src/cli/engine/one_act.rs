//! One act without a screen: armed, asked for, confirmed, waited for, and its incident closed.

use std::time::Duration;

use color_eyre::eyre;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::app::effect;
use crate::app::msg::Msg;
use crate::app::pilot::{self, BackupOrders, Confirmations, Move, Orders};
use crate::app::state::{State, Tone};
use crate::cli::command::Format;
use crate::cli::config_file::Chosen;
use crate::cli::engine::{Outcome, code};
use crate::cli::exit::Exit;
use crate::cli::output::{self, json};
use crate::cli::session::{self, Scene};
use crate::domain::name::EnvName;
use crate::domain::record::{End, Made};
use crate::domain::runbook::NodeRef;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::headless as driver;
use crate::text::Clean;

/// The environment that was armed is the one that was chosen.
pub(super) fn check_arm(arm: &EnvName, chosen: &Chosen) -> Result<(), Trouble> {
    if *arm == chosen.environment.name {
        return Ok(());
    }
    let what = say!("--arm says {}, and this environment is {}", arm, chosen.environment.name);
    Err(Trouble::new(TroubleKind::Refused, what)
        .remedy(Clean::ours("nothing was changed; name the environment that you mean")))
}

/// Orders for one act, with its confirmations.
pub(super) fn orders(arm: &EnvName, confirm: Vec<String>) -> Orders {
    Orders {
        arm: Some(arm.to_string()),
        confirm: Confirmations::Given(confirm),
        consent: false,
        protect: false,
        may_drop: Vec::new(),
        backup: BackupOrders::Skip,
        targets: std::collections::BTreeMap::new(),
        manual: None,
        explore: false,
    }
}

/// Arms, asks by `ask`, answers the dialogs as ordered, and stops when the one act has ended.
fn one_act(
    state: &State,
    orders: &Orders,
    asked: &mut bool,
    ask: impl FnOnce(&State) -> Result<Vec<Msg>, Move>,
) -> Move {
    if let Some(why) = &state.journal.broken {
        return Move::Stop(effect::Exit::NotReached, why.sentence());
    }
    if let Some(act) = state.incident.acts.values().next() {
        return match &act.end {
            None => Move::Wait(act.words.clone()),
            Some((End::Done, words, _)) => Move::Stop(effect::Exit::Reached, words.clone()),
            Some((End::Failed, words, _)) => Move::Stop(effect::Exit::Refused, words.clone()),
            Some((End::Unknown, words, _)) => Move::Stop(effect::Exit::Unknown, words.clone()),
        };
    }
    if let Some(overlay) = state.overlays.last() {
        return pilot::answer(state, orders, overlay);
    }
    if !state.armed() {
        return pilot::arm(state, orders);
    }
    if *asked {
        // It was asked for and no dialog came up: the words say why.
        let words = state.notice.as_ref().filter(|notice| notice.tone != Tone::Good).map(|notice| notice.words.clone());
        return Move::Stop(effect::Exit::Refused, words.unwrap_or_else(|| Clean::ours("nothing was changed")));
    }
    match ask(state) {
        Ok(messages) => {
            *asked = true;
            Move::Send(messages)
        }
        Err(other) => other,
    }
}

#[derive(Serialize)]
struct Changed<'a> {
    done: bool,
    words: &'a Clean,
    incident: Option<&'a crate::domain::name::IncidentId>,
    /// A database that was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<&'a Made>,
}

/// Opens an incident at a node for one act, does it, says what came of it, and closes the incident.
pub(super) async fn act(
    scene: Scene,
    orders: &Orders,
    format: Format,
    patience: Duration,
    at: NodeRef,
    ask: impl Fn(&State) -> Result<Vec<Msg>, Move>,
) -> eyre::Result<Outcome> {
    act_telling(scene, orders, format, patience, at, ask, |_| String::new()).await
}

/// The same, with more to tell people when it is done; how far it is goes to standard error.
pub(super) async fn act_telling(
    scene: Scene,
    orders: &Orders,
    format: Format,
    patience: Duration,
    at: NodeRef,
    ask: impl Fn(&State) -> Result<Vec<Msg>, Move>,
    more: impl Fn(&State) -> String,
) -> eyre::Result<Outcome> {
    let id = session::new_id(&scene.setting.environment);
    let mut runtime = match scene.begin(id, Some(at), &[]) {
        Ok(runtime) => runtime,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let mut told = Headways { format, said: None };
    let mut asked = false;
    let mut closed = None;
    let ended = driver::run(
        &mut runtime,
        |state| match one_act(state, orders, &mut asked, &ask) {
            // The incident of one command is over with it; an unknown outcome stays open.
            Move::Stop(exit, words) if closed.is_none() && exit != effect::Exit::Unknown => {
                closed = Some(());
                stopped(state, exit, words)
            }
            other => other,
        },
        patience,
        |state| told.tell(state),
    )
    .await;
    let exit = code(ended.exit);
    match format {
        Format::Json => {
            let changed = Changed {
                done: exit == Exit::Reached,
                words: &ended.words,
                incident: runtime.state.incident.id.as_ref(),
                restored: runtime.state.incident.acts.values().find_map(|act| match &act.made {
                    made @ Some(Made::Database { .. }) => made.as_ref(),
                    _ => None,
                }),
            };
            output::print(&json(&changed)?)?;
        }
        Format::Text if exit == Exit::Reached => {
            output::print(&format!("{}\n{}", ended.words, more(&runtime.state)))?;
        }
        Format::Text => crate::cli::complain(&say!("lastgood: {}", ended.words)),
    }
    Ok(Ok(exit))
}

/// How often the headway of a long act is told again.
const TELL_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Tells people on standard error how far a long act is: now and then, so that a log of it stays short.
struct Headways {
    format: Format,
    said: Option<Timestamp>,
}

impl Headways {
    fn tell(&mut self, state: &State) {
        let Some(headway) = state.running.values().find_map(|running| running.progress.as_ref()) else { return };
        let recent = self.said.is_some_and(|at| state.now.duration_since(at).abs() < TELL_AGAIN);
        if self.format == Format::Text && !recent {
            self.said = Some(state.now);
            crate::cli::complain(&headway.words());
        }
    }
}

/// Closes the incident before the driver stops at the next turn.
fn stopped(state: &State, exit: effect::Exit, words: Clean) -> Move {
    if state.incident.closed.is_some() {
        Move::Stop(exit, words)
    } else {
        Move::Send(vec![Msg::Close(exit == effect::Exit::Reached, words)])
    }
}
