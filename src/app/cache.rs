//! Clearing the response cache: counting first, choosing the namespace, typing, deleting.

use tui_input::Input;

use crate::app::coupling;
use crate::app::effect::{Act, Effect, Look, LookId};
use crate::app::overlay::Overlay;
use crate::app::runbook;
use crate::app::state::{State, Told, Tone};
use crate::domain::cache::{CacheSurvey, Clearance, configured};
use crate::domain::confirm::{Answer, Confirm, Confirmed};
use crate::domain::name::CacheNamespace;
use crate::domain::record::ActKind;
use crate::domain::runbook::NodeRef;
use crate::domain::step::StepKind;
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// The question: what lies there, what is chosen, what is typed.
#[derive(Clone)]
pub struct Clearing {
    /// The look that counts.
    pub look: LookId,
    /// What was counted; `None` while it is being counted.
    pub survey: Option<CacheSurvey>,
    /// The namespace that is chosen; `None` for answers without one.
    pub namespace: Option<CacheNamespace>,
    /// Where that namespace is known from; empty where it was named by hand, or none is known.
    pub from: Clean,
    /// What is typed.
    pub input: Input,
    /// The node that it belongs to.
    node: Option<NodeRef>,
}

impl Clearing {
    /// What is chosen, and how much it is.
    pub fn clearance(&self) -> Clearance {
        let keys = self.survey.as_ref().map_or(0, |survey| survey.answers_in(self.namespace.as_ref()));
        Clearance { namespace: self.namespace.clone(), keys }
    }

    /// Everything that can be chosen: what was seen, and what is chosen though it was not.
    pub fn choices(&self) -> Vec<Clearance> {
        let answers = self.survey.iter().flat_map(|survey| &survey.answers);
        let seen = answers.map(|answers| Clearance { namespace: answers.namespace.clone(), keys: answers.keys });
        let mut choices: Vec<_> = seen.collect();
        if choices.iter().all(|choice| choice.namespace != self.namespace) {
            choices.insert(0, self.clearance());
        }
        choices
    }

    /// Chooses the namespace before or after this one.
    pub fn select(&mut self, down: bool) {
        let choices = self.choices();
        let at = choices.iter().position(|choice| choice.namespace == self.namespace).unwrap_or(0);
        let to = if down { at + 1 } else { at.saturating_sub(1) };
        if let Some(choice) = choices.into_iter().nth(to) {
            self.namespace = choice.namespace;
            self.from = Clean::default();
            self.input.reset();
        }
    }
}

/// The namespace of the gateway's answers, as far as anybody wrote it down, and where.
pub fn known(state: &State) -> Option<(CacheNamespace, Clean)> {
    if let Some(namespace) = &state.setting.cache_namespace {
        return Some((namespace.clone(), Clean::ours("redis_namespace of this environment")));
    }
    let file = coupling::configuration(state)?;
    let from = say!("cache_params of {} in configmap/{}", file.path, file.config_map);
    Some((configured(&file.lines)?, from))
}

/// Opens the question about the gateway's own answers.
pub fn ask_own(state: &mut State) -> Vec<Effect> {
    let (namespace, from) = known(state).map_or((None, Clean::default()), |(name, from)| (Some(name), from));
    open(state, namespace, from)
}

/// Opens the question about a namespace that was named.
pub fn ask(state: &mut State, namespace: Option<CacheNamespace>) -> Vec<Effect> {
    open(state, namespace, Clean::default())
}

fn open(state: &mut State, namespace: Option<CacheNamespace>, from: Clean) -> Vec<Effect> {
    if let Some(why) = &state.setting.missing.cache {
        let why = why.sentence();
        state.tell(Tone::Warn, why);
        return Vec::new();
    }
    let (look, effect) = state.look_numbered(Look::CacheSurvey);
    let node = state.incident.at().cloned();
    let clearing = Clearing { look, survey: None, namespace, from, input: Input::default(), node };
    state.overlays.push(Overlay::Clear(Box::new(clearing)));
    vec![effect]
}

/// The keys were counted, or could not be.
pub fn surveyed(state: &mut State, id: LookId, result: Result<CacheSurvey, Trouble>) {
    let place = state.overlays.iter().position(|overlay| matches!(overlay, Overlay::Clear(c) if c.look == id));
    let Some(place) = place else { return };
    match result {
        Ok(survey) => {
            if let Some(Overlay::Clear(clearing)) = state.overlays.get_mut(place) {
                // Where nobody wrote the namespace down, the keys tell it, if there is but one.
                if let ([only], None) = (&survey.answers[..], &clearing.namespace)
                    && only.namespace.is_some()
                {
                    clearing.namespace.clone_from(&only.namespace);
                    clearing.from = Clean::ours("the keys: every answer lies in it");
                }
                clearing.survey = Some(survey);
            }
        }
        Err(why) => {
            state.overlays.remove(place);
            state.tell(Tone::Bad, say!("the keys were not counted: {}", why.sentence()));
        }
    }
}

/// Enter: nothing to clear, or the phrase.
pub fn typed(state: &mut State, mut clearing: Clearing) -> Vec<Effect> {
    let Some(survey) = &clearing.survey else {
        state.overlays.push(Overlay::Clear(Box::new(clearing)));
        return Vec::new();
    };
    let clearance = clearing.clearance();
    if clearance.keys == 0 {
        let seen = survey.seen().map_or(Clean::default(), |seen| say!("; seen: {}", seen));
        let words = say!("no key of {} is there: nothing to clear{}", clearance.which(), seen);
        state.tell(Tone::Plain, words.clone());
        return match (&clearing.node, state.step()) {
            (Some(node), Some(StepKind::ClearCache)) => runbook::leave_node(state, node, true, words),
            _ => Vec::new(),
        };
    }
    match Confirm::new(clearance).answer(clearing.input.value()) {
        Answer::Yes(proof) => clear(state, proof, clearing.node),
        Answer::More(_) | Answer::No(_) => {
            state.tell(Tone::Warn, Clean::ours("that does not match, letter by letter; nothing was deleted"));
            clearing.input.reset();
            state.overlays.push(Overlay::Clear(Box::new(clearing)));
            Vec::new()
        }
    }
}

/// Deletes answers, once it was confirmed.
fn clear(state: &mut State, proof: Confirmed<Clearance>, node: Option<NodeRef>) -> Vec<Effect> {
    let running = state.long_acts().any(|(_, act, _)| matches!(act.kind, ActKind::ClearCache { .. }));
    let may = if running { Err(Clean::ours("it is being cleared already")) } else { state.may_change() };
    if let Err(why) = may {
        state.tell(Tone::Warn, why);
        return Vec::new();
    }
    let clearance = proof.subject();
    let told = Told {
        kind: ActKind::ClearCache { namespace: clearance.namespace.clone() },
        words: say!("delete {} answers of the response cache: {}", clearance.keys, clearance.which()),
        command: command(clearance.namespace.as_ref()),
        notes: vec![Clean::ours("SCAN and UNLINK of keys of this shape; spend buffers, rate limits and locks stay")],
    };
    vec![state.announce(Act::ClearCache(Box::new(proof)), node, told)]
}

/// The command that does the same.
pub fn command(namespace: Option<&CacheNamespace>) -> Clean {
    match namespace {
        Some(namespace) => {
            let pattern = say!("{}:*", namespace).shell_word();
            say!(
                "redis-cli --scan --pattern {} | grep -E ':[0-9a-f]{{64}}$' | xargs -r -n 500 redis-cli UNLINK",
                pattern
            )
        }
        None => Clean::ours("redis-cli --scan | grep -xE '[0-9a-f]{64}' | xargs -r -n 500 redis-cli UNLINK"),
    }
}
