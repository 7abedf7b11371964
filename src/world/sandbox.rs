//! All ports in process: a world that a scenario describes and that answers by the rules of the
//! real systems. Drills, demos and flow tests use it.
//!
//! The world is a pure function of the scenario, the acts with their times, and the time. Acts
//! are written to the memory file before they happen, so that a killed drill goes on where it
//! was. Nothing here waits for the wall clock: time is the clock's, and waiting is tokio's.

mod cache;
mod cluster;
mod coupled;
mod database;
mod gateway;
mod memory;
mod model;
mod parts;
mod releases;
mod restore;
mod schema;
mod script;
mod staged;

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use jiff::{SignedDuration, Timestamp};

use self::memory::{Act, Deed, Memory};
use self::model::Model;
use self::parts::millis_between;
use crate::domain::scenario::Scenario;
use crate::domain::trouble::Trouble;
use crate::text::{Clean, Gate};
use crate::world::clock::Clock;
use crate::world::{Feed, World, missing};

/// How often a feed looks whether the world has changed.
const LOOK: Duration = Duration::from_millis(250);

/// A world that lives in this process.
#[derive(Clone)]
pub struct Sandbox {
    scenario: Arc<Scenario>,
    clock: Clock,
    gate: Gate,
    /// The key of fingerprints: random, never stored.
    key: [u8; 32],
    state: Arc<Mutex<State>>,
}

struct State {
    memory: Memory,
    model: Model,
    /// Added to the clock, so that a world that is opened again never goes back in time.
    ahead: SignedDuration,
}

impl Sandbox {
    /// Opens the world of a scenario: a new one, or the one that `memory` (a JSONL file, made
    /// when it is not there) holds. The gate learns the scenario's secrets.
    ///
    /// # Errors
    /// [`Disk`](crate::domain::trouble::TroubleKind::Disk) when the memory cannot be read or
    /// written, [`Invalid`](crate::domain::trouble::TroubleKind::Invalid) when it is damaged or
    /// the memory of another scenario.
    pub fn open(scenario: &Scenario, clock: Clock, gate: &Gate, memory: Option<PathBuf>) -> Result<World, Trouble> {
        for secret in &scenario.secrets {
            gate.learn(secret);
        }
        let now = clock.now();
        let scenario = Arc::new(scenario.clone());
        let (memory, acts) = Memory::open(memory.as_deref(), &scenario.id, now, gate)?;
        let start = acts.first().map_or(now, |act| act.at);
        let mut model = Model::new(Arc::clone(&scenario), start);
        for act in &acts {
            model.apply(act);
        }
        let last = acts.last().map_or(now, |act| act.at);
        let ahead = if last > now { last.duration_since(now) } else { SignedDuration::ZERO };
        let state = Arc::new(Mutex::new(State { memory, model, ahead }));
        Ok(Self { scenario, clock, gate: gate.clone(), key: random_key(), state }.world())
    }

    fn world(self) -> World {
        let cache = match &self.scenario.gateway.cache {
            Some(_) => Ok(Arc::new(self.clone()) as _),
            None => missing(Clean::ours("this drill has no Redis"), Clean::default()),
        };
        let all = Arc::new(self);
        World {
            cluster: Ok(all.clone()),
            workloads: Ok(all.clone()),
            releases: Ok(all.clone()),
            database: Ok(all.clone()),
            backup: Ok(all.clone()),
            gateway: Ok(all.clone()),
            cache,
            hands: Some(all),
        }
    }

    /// Looks at the world as it is now.
    fn look<T>(&self, see: impl FnOnce(&Model, Timestamp) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now(&state);
        let at = millis_between(state.model.start, now);
        state.model.advance(at);
        see(&state.model, now)
    }

    /// Does something to the world: decides on what is there now, writes the act down, then lets
    /// it happen.
    fn act<T>(&self, decide: impl FnOnce(&Model, Timestamp) -> Result<(Deed, T), Trouble>) -> Result<T, Trouble> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now(&state);
        let at = millis_between(state.model.start, now);
        state.model.advance(at);
        let (deed, answer) = decide(&state.model, now)?;
        let act = Act { at: now, deed };
        state.memory.append(&act)?;
        state.model.apply(&act);
        Ok(answer)
    }

    /// The time, in whole milliseconds like the acts in the file.
    fn now(&self, state: &State) -> Timestamp {
        let now = self.clock.now();
        let now = now.checked_add(state.ahead).unwrap_or(now);
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// A feed that looks again and again, and sends what `look` finds new.
    fn watch<S, T>(&self, memory: S, look: impl Fn(&Self, &mut S) -> Vec<T> + Send + Sync + 'static) -> Feed<T>
    where
        S: Send + 'static,
        T: Send + 'static,
    {
        let state = (self.clone(), memory, Arc::new(look), VecDeque::new(), true);
        stream::unfold(state, |(sandbox, mut memory, look, mut found, mut first)| async move {
            while found.is_empty() {
                if !std::mem::take(&mut first) {
                    tokio::time::sleep(LOOK).await;
                }
                found.extend(look(&sandbox, &mut memory));
            }
            let next = found.pop_front()?;
            Some((next, (sandbox, memory, look, found, first)))
        })
        .boxed()
    }
}

/// Random bytes from the standard library's hasher seeds: enough to tell same from different.
fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    for (place, part) in key.chunks_mut(8).enumerate() {
        part.copy_from_slice(&RandomState::new().hash_one(place).to_le_bytes());
    }
    key
}
