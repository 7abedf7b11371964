//! Restoring a backup beside the live database: looking what it would take, choosing the dump,
//! starting, and reading what the new database lacks before anything is decided.

use jiff::{SignedDuration, Timestamp};

use crate::app::effect::{Act, Effect, Look, LookId};
use crate::app::overlay::Overlay;
use crate::app::runbook;
use crate::app::state::{State, Told, Tone};
use crate::domain::forecast::gateway_containers;
use crate::domain::live::Live;
use crate::domain::name::DatabaseName;
use crate::domain::record::{ActId, ActKind, Made};
use crate::domain::restore::{Difference, Dump, Remnant, RestoreOrder, RestorePlan, RestoreWish};
use crate::domain::runbook::NodeRef;
use crate::domain::step::StepKind;
use crate::domain::trouble::Trouble;
use crate::domain::workload::EnvValue;
use crate::text::Clean;

/// How often the server is asked again what a restore of unknown outcome has left.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// The question: what it would take, and which dump.
#[derive(Clone, Debug)]
pub struct Restoring {
    /// The look that finds out.
    pub look: LookId,
    /// What was found; `None` while it is being looked at.
    pub plan: Option<RestorePlan>,
    /// The chosen dump's place in the plan.
    pub chosen: usize,
    node: Option<NodeRef>,
}

impl Restoring {
    /// The dump that is chosen.
    pub fn dump(&self) -> Option<&Dump> {
        self.plan.as_ref()?.dumps.get(self.chosen)
    }

    /// Chooses the dump before or after this one.
    pub fn select(&mut self, down: bool) {
        let last = self.plan.as_ref().map_or(0, |plan| plan.dumps.len().saturating_sub(1));
        self.chosen = if down { self.chosen + 1 } else { self.chosen.saturating_sub(1) }.min(last);
    }

    /// The chosen dump is of another database than the live one, as far as its sidecar says.
    pub fn foreign(&self) -> Option<&Clean> {
        let (plan, dump) = (self.plan.as_ref()?, self.dump()?);
        let of = &dump.proof.database;
        (!of.is_empty() && *of != plan.beside).then_some(of)
    }
}

/// What is known of databases that restores of unknown outcome were to make.
#[derive(Clone, Debug, Default)]
pub struct Remnants(Vec<(DatabaseName, Timestamp, Live<Option<Remnant>>)>);

impl Remnants {
    fn of(&self, name: &DatabaseName) -> Option<&Live<Option<Remnant>>> {
        self.0.iter().find(|(known, ..)| known == name).map(|(.., remnant)| remnant)
    }
}

/// Opens the question and looks what it would take.
pub fn ask(state: &mut State, wish: RestoreWish) -> Vec<Effect> {
    if let Some(why) = &state.setting.missing.backup {
        let why = why.sentence();
        state.tell(Tone::Warn, why);
        return Vec::new();
    }
    let (look, effect) = state.look_numbered(Look::RestorePlan(Box::new(wish)));
    let node = state.incident.at().cloned();
    state.overlays.push(Overlay::RestoreDatabase(Box::new(Restoring { look, plan: None, chosen: 0, node })));
    vec![effect]
}

/// What it would take was found out, or what speaks against it.
pub fn planned(state: &mut State, id: LookId, result: Result<Box<RestorePlan>, Trouble>) {
    let place =
        state.overlays.iter().position(|overlay| matches!(overlay, Overlay::RestoreDatabase(r) if r.look == id));
    let Some(place) = place else { return };
    match result {
        Ok(plan) => {
            if let Some(Overlay::RestoreDatabase(restoring)) = state.overlays.get_mut(place) {
                restoring.plan = Some(*plan);
            }
        }
        Err(why) => {
            state.overlays.remove(place);
            state.tell(Tone::Bad, say!("nothing is restored: {}", why.sentence()));
        }
    }
}

/// Enter: starts it, once it is known what it takes and the console is armed.
pub fn start(state: &mut State, restoring: Restoring) -> Vec<Effect> {
    let (Some(plan), Some(dump)) = (&restoring.plan, restoring.dump()) else {
        state.overlays.push(Overlay::RestoreDatabase(Box::new(restoring)));
        return Vec::new();
    };
    if let Err(why) = state.may_change() {
        state.tell(Tone::Warn, why);
        state.overlays.push(Overlay::RestoreDatabase(Box::new(restoring)));
        return Vec::new();
    }
    let order = RestoreOrder { dump: dump.path.clone(), into: plan.into.clone() };
    let (file, folder) = (&dump.proof.file, &dump.proof.folder);
    let path = say!("{}/{}", folder, file).shell_word();
    let told = Told {
        kind: ActKind::RestoreDatabase { file: file.to_string(), into: plan.into.clone() },
        words: say!("restore {} into the new database {}, beside {}", file, plan.into, plan.beside),
        command: say!("createdb -T template0 {} && pg_restore --exit-on-error -w -d {} {}", plan.into, plan.into, path),
        notes: [
            say!("the dump holds {:.0} and {} rows", dump.proof.taken_at, dump.proof.rows.values().sum::<u64>()),
            Clean::ours("the live database is only read; the free disk space of its server is not known"),
        ]
        .into_iter()
        .chain(plan.left.iter().map(|left| say!("left by an earlier restore: {}", left.words())))
        .collect(),
    };
    vec![state.announce(Act::RestoreDatabase(Box::new(order)), restoring.node, told)]
}

/// The restore that is done, while nothing was done after it: whoever comes back to the step wants
/// to read the list once more.
fn done_here(state: &State) -> Option<ActId> {
    let (id, act) = state.incident.acts.iter().next_back()?;
    (act.done() && matches!(act.kind, ActKind::RestoreDatabase { .. })).then_some(*id)
}

/// The step: restore, then read what is lacking, then go on.
pub fn step_on(state: &mut State) -> Vec<Effect> {
    match done_here(state) {
        Some(act) => {
            state.overlays.push(Overlay::Lacking { act, scroll: 0 });
            Vec::new()
        }
        None => once_more(state),
    }
}

/// Asks which backup, also when one was restored already.
pub fn once_more(state: &mut State) -> Vec<Effect> {
    let wish = RestoreWish { dump: None, into: None, at: state.now };
    ask(state, wish)
}

/// What is lacking was read: the step is left, and what it made goes into the record.
pub fn read(state: &mut State, act: ActId) -> Vec<Effect> {
    let here = done_here(state) == Some(act) && state.step() == Some(StepKind::Restore);
    let words = state.incident.acts.get(&act).and_then(|act| act.end.as_ref()).map(|(_, words, _)| words.clone());
    match (here, state.incident.at().cloned(), words) {
        (true, Some(node), Some(words)) => runbook::leave_node(state, &node, true, words),
        _ => Vec::new(),
    }
}

/// What an act that restored has made, as the journal keeps it: the tables that differ from the live
/// database where they were compared, and what else must be known.
pub fn lacking(state: &State, act: ActId) -> Option<(Option<Vec<Difference>>, Vec<Clean>)> {
    let Some(Made::Database { differences, notes, .. }) = &state.incident.acts.get(&act)?.made else { return None };
    let read = |differences: &Vec<_>| -> Vec<Difference> {
        differences.iter().map(|one: &crate::domain::restore::Differing| one.read(&state.gate)).collect()
    };
    Some((differences.as_ref().map(read), notes.iter().map(|note| state.gate.clean(note)).collect()))
}

/// The newest database that was restored in this incident.
pub fn newest(state: &State) -> Option<&DatabaseName> {
    state.incident.acts.values().rev().find_map(|act| match &act.kind {
        ActKind::RestoreDatabase { into, .. } if act.done() => Some(into),
        _ => None,
    })
}

/// The Secret and the key of it that hold the database's URL: as the gateway's template takes it,
/// else as this console is configured to.
pub fn url_in(state: &State) -> Option<(Clean, Clean)> {
    let workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    let containers = workloads.flat_map(|workload| gateway_containers(&workload.template));
    let mut taken = containers.filter_map(|container| match container.variable("DATABASE_URL")? {
        EnvValue::From(words) => secret_words(words),
        EnvValue::Literal(_) => None,
    });
    let configured = || state.setting.database_secret.as_ref().map(|(name, key)| (say!("{}", name), say!("{}", key)));
    taken.next().or_else(configured)
}

/// The two names in `secret NAME key KEY`, which may have a comma between them.
fn secret_words(words: &Clean) -> Option<(Clean, Clean)> {
    let parts: Vec<&str> = words.as_str().split_whitespace().collect();
    let ["secret", name, "key", key] = parts[..] else { return None };
    let name = name.trim_end_matches(',');
    let from = |at: usize, part: &str| words.slice(at..at + part.len());
    Some((from("secret ".len(), name)?, from(words.as_str().len() - key.len(), key)?))
}

/// Databases whose making has an unknown outcome are looked for.
pub fn due(state: &mut State) -> Vec<Effect> {
    let unknown: Vec<DatabaseName> = state
        .unknown()
        .iter()
        .filter_map(|(_, act)| match &act.kind {
            ActKind::RestoreDatabase { into, .. } => Some(into.clone()),
            _ => None,
        })
        .collect();
    let mut effects = Vec::new();
    for name in unknown {
        let recent = state
            .remnants
            .0
            .iter()
            .any(|(known, asked, _)| *known == name && state.now.duration_since(*asked).abs() < AGAIN);
        if recent || state.setting.missing.backup.is_some() {
            continue;
        }
        match state.remnants.0.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, asked, _)) => *asked = state.now,
            None => state.remnants.0.push((name.clone(), state.now, Live::Waiting)),
        }
        effects.push(state.look(Look::Remnant(name)));
    }
    effects
}

/// A database was looked for.
pub fn found(state: &mut State, name: &DatabaseName, result: Result<Option<Remnant>, Trouble>) {
    let now = state.now;
    let Some((.., remnant)) = state.remnants.0.iter_mut().find(|(known, ..)| known == name) else { return };
    match result {
        Ok(seen) => remnant.see(seen, now),
        Err(why) => remnant.lose(why, now),
    }
}

/// What can be seen of a restore whose outcome is unknown.
pub fn fact_about(state: &State, into: &DatabaseName) -> Clean {
    match state.remnants.of(into) {
        Some(Live::Seen { value: None, .. }) => {
            say!("there is no database {}: it did not happen, and nothing is left of it", into)
        }
        Some(Live::Seen { value: Some(remnant), .. }) if remnant.is_complete() => {
            say!("it happened: {}", remnant.words())
        }
        Some(Live::Seen { value: Some(remnant), .. }) if remnant.is_incomplete() => {
            say!("it did not come to its end: {}; another try makes a database of another name", remnant.words())
        }
        Some(Live::Seen { value: Some(remnant), .. }) => remnant.words(),
        Some(Live::Lost { why, .. } | Live::Absent(why)) => say!("whether {} exists is not known: {}", into, why.what),
        Some(Live::Waiting) | None => say!("whether a database {} exists is being looked up", into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_a_url_is_read_from_the_words_of_its_variable() {
        let of = |words: &'static str| secret_words(&Clean::ours(words)).map(|(name, key)| format!("{name}/{key}"));
        assert_eq!(of("secret litellm-db key url").as_deref(), Some("litellm-db/url"));
        assert_eq!(of("secret litellm-db, key url").as_deref(), Some("litellm-db/url"));
        assert_eq!(of("secret a key key").as_deref(), Some("a/key"));
        for other in ["configmap a key b", "secret a", "field status.podIP", ""] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
