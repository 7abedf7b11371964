//! Arming: the console opens read-only, and changes are allowed once the environment's name was
//! typed and the operator lock is held.

use crate::app::effect::Effect;
use crate::app::state::{Arming, State, Tone};
use crate::domain::record::Entry;
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// The environment's name was typed.
pub fn typed(state: &mut State, name: &str) -> Vec<Effect> {
    if name != state.setting.environment.as_str() {
        state.tell(Tone::Bad, say!("that is not {}; still read-only", state.setting.environment));
        return Vec::new();
    }
    state.arming = Arming::Asking;
    vec![Effect::Lock(state.setting.environment.clone())]
}

/// The lock was taken, or somebody else holds it. An answer that nobody waits for any more gives
/// the lock back.
pub fn locked(state: &mut State, result: Result<(), Trouble>) -> Vec<Effect> {
    match result {
        Ok(()) if state.arming != Arming::Asking => vec![Effect::Unlock],
        Ok(()) => {
            state.arming = Arming::Armed;
            state.tell(Tone::Warn, say!("ARMED on {}: changes are allowed", state.setting.environment));
            vec![state.commit(Entry::Armed)]
        }
        Err(why) => {
            state.tell(Tone::Bad, say!("not armed: {}", why.sentence()));
            state.arming = Arming::Refused(why);
            Vec::new()
        }
    }
}

/// Read-only again.
pub fn disarm(state: &mut State) -> Vec<Effect> {
    state.arming = Arming::ReadOnly;
    state.tell(Tone::Plain, Clean::ours("read-only again"));
    vec![state.commit(Entry::Disarmed), Effect::Unlock]
}
