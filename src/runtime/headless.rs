//! The same runtime without a screen: a pilot gives the keys.

use std::time::Duration;

use futures::FutureExt as _;

use crate::app::effect::Exit;
use crate::app::msg::Msg;
use crate::app::pilot::Move;
use crate::app::state::State;
use crate::runtime::Runtime;
use crate::text::Clean;

/// Moves in a row without waiting: more of them is a pilot that runs in circles.
const MOST_MOVES: u32 = 200;

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// For the exit code.
    pub exit: Exit,
    /// Why.
    pub words: Clean,
}

/// Runs until the pilot stops, or has waited for `patience` without being able to move. `seen` is
/// called after every message, for whoever prints what happens.
pub async fn run(
    runtime: &mut Runtime,
    mut pilot: impl FnMut(&State) -> Move,
    patience: Duration,
    mut seen: impl FnMut(&State),
) -> Ended {
    let mut tick = Runtime::ticker();
    let mut hangup = std::pin::pin!(crate::runtime::screen::hangup().fuse());
    let mut waiting_since = tokio::time::Instant::now();
    let mut moves = 0;
    let ended = loop {
        seen(&runtime.state);
        if let Some(exit) = runtime.exit() {
            break Ended { exit, words: Clean::ours("it was ended") };
        }
        match pilot(&runtime.state) {
            Move::Stop(exit, words) => break Ended { exit, words },
            Move::Send(_) if moves >= MOST_MOVES => {
                break Ended { exit: Exit::NotReached, words: Clean::ours("it runs in circles; a person is needed") };
            }
            Move::Send(messages) => {
                moves += 1;
                messages.into_iter().for_each(|msg| runtime.dispatch(msg));
                waiting_since = tokio::time::Instant::now();
                // What is under way comes before the next move.
                runtime.drain(64);
                tokio::task::yield_now().await;
            }
            Move::Wait(what) => {
                moves = 0;
                let until = waiting_since + patience;
                if tokio::time::Instant::now() >= until {
                    break Ended {
                        exit: Exit::NotReached,
                        words: say!("gave up after {} s of waiting for: {}", patience.as_secs(), what),
                    };
                }
                let msg = tokio::select! {
                    biased;
                    () = &mut hangup => Msg::Hangup,
                    msg = runtime.next(&mut tick) => msg,
                    () = tokio::time::sleep_until(until) => continue,
                };
                runtime.dispatch(msg);
                runtime.drain(64);
            }
        }
    };
    runtime.finish().await;
    seen(&runtime.state);
    ended
}
