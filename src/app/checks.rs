//! The checklist at work: what is looked at when, and what each answer means for its tick.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::app::action::Pane;
use crate::app::effect::{Act, Effect, Look};
use crate::app::feeds;
use crate::app::logs::Stream as LogStream;
use crate::app::msg::Sight;
use crate::app::overlay::Overlay;
use crate::app::runbook;
use crate::app::state::{State, Told, Tone};
use crate::domain::checklist::{CheckId, Checklist, Mark, Verdict};
use crate::domain::checks::{
    self as judge, BillingFindings, Hits, LagoLine, LogFindings, PodLog, Since, SpendFindings, Stream,
};
use crate::domain::gateway::{AdminUi, CacheInfo, Completion, ModelHealth, Settings, SpendRow, Vitals};
use crate::domain::image::Version;
use crate::domain::name::{Name, RequestId};
use crate::domain::record::{ActKind, Entry};
use crate::domain::step::StepKind;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

/// How often something that costs nothing is looked at again while it is not well, and while it is.
const RETRY: SignedDuration = SignedDuration::from_secs(3);
const CONFIRM: SignedDuration = SignedDuration::from_secs(15);
/// How often a model is called again while it is not well. Money is spent each time.
const RETRY_PAID: SignedDuration = SignedDuration::from_secs(30);
/// Completions that are sent by themselves before a person must ask for another one.
const MOST_COMPLETIONS: u32 = 3;

type Answer<T> = Option<Result<T, Trouble>>;

/// The checklist and what it rests on.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// The six items.
    pub list: Checklist,
    vitals: Answer<Vitals>,
    settings: Answer<Settings>,
    models: Answer<ModelHealth>,
    ui: Answer<AdminUi>,
    cache: Answer<CacheInfo>,
    completion: Answer<Completion>,
    row: Answer<Option<SpendRow>>,
    /// Ids of the completions of this incident: a repeated one proves nothing.
    ids: Vec<RequestId>,
    repeated: bool,
    sent: u32,
    asked: BTreeMap<CheckId, Timestamp>,
    asked_settings: Option<Timestamp>,
    asked_row: Option<Timestamp>,
    asked_models: Option<Timestamp>,
    /// A person asked for these now.
    wanted: Vec<CheckId>,
}

impl Checks {
    /// The gateway's settings, once they were read.
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref().and_then(|settings| settings.as_ref().ok())
    }
}

/// A Deployment was changed: what was found before is about other pods.
pub fn changed(state: &mut State) {
    let checks = &mut state.checks;
    checks.models = None;
    checks.asked_models = None;
    checks.completion = None;
    checks.row = None;
    checks.sent = 0;
    checks.asked.clear();
}

/// Agrees that checks may call real models.
pub fn consent(state: &mut State) -> Vec<Effect> {
    state.tell(Tone::Plain, Clean::ours("checks may call real models from now on"));
    vec![state.commit(Entry::Consented)]
}

/// Looks at the selected check now.
pub fn run_selected(state: &mut State) -> Vec<Effect> {
    let checks = state.checks.list.checks();
    let Some(id) = checks.get(state.view.selected(Pane::Checklist, checks.len())).map(|check| check.id) else {
        return Vec::new();
    };
    if id.costs_money() && !state.incident.consented {
        state.overlays.push(Overlay::Consent);
    }
    state.checks.wanted.push(id);
    state.checks.asked.remove(&id);
    state.checks.sent = 0;
    if id == CheckId::Spend {
        state.checks.completion = None;
        state.checks.row = None;
    }
    if id == CheckId::Health {
        state.checks.models = None;
        state.checks.asked_models = None;
    }
    state.tell(Tone::Plain, say!("looking at {} again", id.title()));
    Vec::new()
}

/// Goes on from the verification step: only when everything that is configured is ticked.
pub fn go_on(state: &mut State) -> Vec<Effect> {
    if state.checks.list.complete() {
        return runbook::leave(state, true, Clean::ours("every configured check is ticked"));
    }
    let marks: Vec<(CheckId, Mark)> =
        state.checks.list.checks().iter().map(|check| (check.id, check.verdict.mark)).collect();
    if !state.incident.consented && marks.iter().any(|(_, mark)| *mark == Mark::NeedsConsent) {
        state.overlays.push(Overlay::Consent);
        return Vec::new();
    }
    if let Some((id, mark)) = marks.iter().find(|(_, mark)| !mark.settled()) {
        let words = say!("{} is {}; the checks go on by themselves", id.title(), mark.word());
        state.tell(Tone::Plain, words);
    }
    Vec::new()
}

/// Paid looks happen while the incident stands at its verification, or when a person asks.
fn paid(state: &State, id: CheckId) -> bool {
    state.incident.consented && (state.step() == Some(StepKind::Verify) || state.checks.wanted.contains(&id))
}

fn elapsed(state: &State, since: Option<Timestamp>) -> SignedDuration {
    since.map_or(SignedDuration::MAX, |since| state.now.duration_since(since))
}

/// What is due to be looked at now, and the judgement of everything that is known. Called after
/// every message.
pub fn due(state: &mut State) -> Vec<Effect> {
    if state.incident.closed.is_some() || state.incident.id.is_none() {
        return Vec::new();
    }
    let mut effects = Vec::new();
    if state.setting.missing.gateway.is_none() {
        look_when_due(state, CheckId::Health, Look::Vitals, &mut effects);
        look_when_due(state, CheckId::AdminUi, Look::AdminUi, &mut effects);
        settings_when_due(state, &mut effects);
        models_when_due(state, &mut effects);
        completion_when_due(state, &mut effects);
    }
    if state.setting.missing.cache.is_none() {
        look_when_due(state, CheckId::Cache, Look::Cache, &mut effects);
    }
    row_when_due(state, &mut effects);
    effects.extend(judge_all(state));
    effects
}

fn look_when_due(state: &mut State, id: CheckId, look: Look, effects: &mut Vec<Effect>) {
    let interval = if state.checks.list.get(id).verdict.mark.settled() { CONFIRM } else { RETRY };
    if !state.looking(&look) && elapsed(state, state.checks.asked.get(&id).copied()) >= interval {
        state.checks.asked.insert(id, state.now);
        effects.push(state.look(look));
    }
}

fn settings_when_due(state: &mut State, effects: &mut Vec<Effect>) {
    let interval = if state.checks.settings().is_some() { CONFIRM * 4 } else { RETRY };
    if !state.looking(&Look::Settings) && elapsed(state, state.checks.asked_settings) >= interval {
        state.checks.asked_settings = Some(state.now);
        effects.push(state.look(Look::Settings));
    }
}

fn models_when_due(state: &mut State, effects: &mut Vec<Effect>) {
    let healthy = matches!(&state.checks.models, Some(Ok(models)) if models.healthy > 0);
    if !paid(state, CheckId::Health) || healthy || state.looking(&Look::ModelHealth) {
        return;
    }
    if elapsed(state, state.checks.asked_models) >= RETRY_PAID {
        state.checks.asked_models = Some(state.now);
        effects.push(state.look(Look::ModelHealth));
    }
}

fn completion_when_due(state: &mut State, effects: &mut Vec<Effect>) {
    let running =
        state.incident.acts.iter().any(|(id, act)| act.kind == ActKind::Complete && state.running.contains_key(id));
    let settled = state.checks.list.get(CheckId::Spend).verdict.mark;
    let again = matches!(settled, Mark::Failed | Mark::Unknown)
        && elapsed(state, state.checks.asked.get(&CheckId::Spend).copied()) >= RETRY_PAID;
    let first = state.checks.completion.is_none();
    let disabled = state.checks.settings().and_then(|settings| settings.disable_spend_logs) == Some(true);
    if !paid(state, CheckId::Spend) || running || disabled || !(first || again) || state.checks.sent >= MOST_COMPLETIONS
    {
        return;
    }
    if state.may_send().is_err() {
        return;
    }
    let Some(model) = state.checks.settings().and_then(|settings| settings.models.first().cloned()) else { return };
    state.checks.asked.insert(CheckId::Spend, state.now);
    state.checks.sent += 1;
    let told = Told {
        kind: ActKind::Complete,
        words: say!("send a test completion of one token to {}", model),
        command: say!("POST /v1/chat/completions {{\"model\": \"{}\", \"max_tokens\": 1}}", model),
        notes: Vec::new(),
    };
    let node = state.incident.at().cloned();
    effects.push(state.announce(Act::Complete(model), node, told));
}

fn row_when_due(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(Ok(completion)) = &state.checks.completion else { return };
    let found = matches!(&state.checks.row, Some(Ok(Some(_))));
    let look = Look::SpendRow(completion.id.clone());
    if found
        || state.setting.missing.database.is_some()
        || state.looking(&look)
        || elapsed(state, state.checks.asked_row) < RETRY
    {
        return;
    }
    if state.now.duration_since(completion.at) > judge::LONGEST_WAIT + CONFIRM {
        return;
    }
    state.checks.asked_row = Some(state.now);
    effects.push(state.look(look));
}

/// A completion was answered, or not.
pub fn completed(state: &mut State, result: Result<Completion, Trouble>) {
    let checks = &mut state.checks;
    if let Ok(completion) = &result {
        checks.repeated = checks.ids.contains(&completion.id);
        checks.ids.push(completion.id.clone());
    }
    checks.completion = Some(result);
    checks.row = None;
    checks.asked_row = None;
}

/// An answer came back.
pub fn looked(state: &mut State, look: &Look, sight: Sight) -> Vec<Effect> {
    let checks = &mut state.checks;
    match sight {
        Sight::Vitals(answer) => checks.vitals = Some(answer),
        Sight::Settings(answer) => checks.settings = Some(answer),
        Sight::ModelHealth(answer) => checks.models = Some(answer),
        Sight::AdminUi(answer) => checks.ui = Some(answer),
        Sight::Cache(answer) => checks.cache = Some(answer),
        Sight::SpendRow(answer) => {
            let current = matches!((&checks.completion, look), (Some(Ok(completion)), Look::SpendRow(id)) if completion.id == *id);
            if current {
                checks.row = Some(answer);
            }
        }
        _ => {}
    }
    Vec::new()
}

fn judge_all(state: &mut State) -> Vec<Effect> {
    CheckId::ALL
        .into_iter()
        .filter_map(|id| {
            let verdict = verdict(state, id)?;
            let now = state.now;
            let check = state.checks.list.get(id);
            if check.verdict == verdict
                && check.seen_at.is_some_and(|at| now.duration_since(at) < SignedDuration::from_secs(1))
            {
                return None;
            }
            let was = check.verdict.mark;
            let (mark, evidence) = (verdict.mark, verdict.evidence.clone());
            if !state.checks.list.judge(id, verdict, now) {
                return None;
            }
            if was == Mark::Ticked {
                state.tell(
                    Tone::Bad,
                    say!("{} is not true any more: {}", id.title(), evidence.first().cloned().unwrap_or_default()),
                );
            }
            if mark != Mark::Waiting {
                state.checks.wanted.retain(|wanted| *wanted != id);
            }
            let evidence = evidence.iter().map(Clean::to_string).collect();
            Some(state.commit(Entry::Marked { check: id, mark, evidence }))
        })
        .collect()
}

/// The verdict on one item from everything that is known. `None` while there is nothing to judge.
fn verdict(state: &State, id: CheckId) -> Option<Verdict> {
    let checks = &state.checks;
    let absent = |why: &Trouble| Verdict::new(Mark::Unknown, why.sentence());
    let gateway = state.setting.missing.gateway.as_ref();
    Some(match id {
        CheckId::Health => match gateway {
            Some(why) => absent(why),
            None => judge::health(
                checks.vitals.as_ref()?,
                checks.models.as_ref(),
                state.incident.consented,
                expected(state).as_ref(),
            ),
        },
        CheckId::Logs => match &state.setting.missing.cluster {
            Some(why) => absent(why),
            None => logs(state),
        },
        CheckId::Spend => match gateway.or(state.setting.missing.database.as_ref()) {
            Some(why) => absent(why),
            None => judge::spend(&SpendFindings {
                settings: checks.settings.as_ref(),
                consent: state.incident.consented,
                completion: checks.completion.as_ref(),
                repeated: checks.repeated,
                row: checks.row.as_ref(),
                now: state.now,
            }),
        },
        CheckId::Billing => billing(state),
        CheckId::Cache => match &state.setting.missing.cache {
            Some(why) if why.kind == TroubleKind::Missing => Verdict::new(Mark::NotConfigured, why.what.clone()),
            Some(why) => absent(why),
            None => judge::cache(checks.cache.as_ref()?),
        },
        CheckId::AdminUi => match gateway {
            Some(why) => absent(why),
            None => judge::admin_ui(checks.ui.as_ref()?),
        },
    })
}

/// The version that should answer: the live template's, which after a revert is the target's.
fn expected(state: &State) -> Option<Version> {
    let reference = state.setting.workloads.first()?;
    state.workload(reference)?.template.main()?.image.version()
}

fn since(state: &State) -> Since {
    state.incident.last_change_at().map_or(Since::Opening(state.incident.opened_at), Since::Revert)
}

fn logs(state: &State) -> Verdict {
    let since = since(state);
    let from = match since {
        Since::Revert(at) | Since::Opening(at) => at,
    };
    let sources = feeds::log_sources(state);
    let current: Vec<_> = state.pods().into_iter().filter(|pod| !pod.terminating).collect();
    let pods = current.into_iter().map(|pod| PodLog {
        pod: pod.name.clone(),
        stream: stream_of(state, pod, &sources),
        hits: hits_of(state, &pod.name, from),
    });
    judge::logs(&LogFindings { since, pods: pods.collect(), now: state.now })
}

/// The worst of a pod's streams: one that is lost or not open leaves the pod in the dark.
fn stream_of(state: &State, pod: &crate::domain::cluster::Pod, sources: &[crate::domain::log::LogSource]) -> Stream {
    let mut streams = sources.iter().take(feeds::MOST_LOGS).filter(|source| source.uid == pod.uid && !source.previous);
    let mut worst: Option<Stream> = None;
    let rank = |stream: &Stream| match stream {
        Stream::Lost(_) => 3,
        Stream::Unopened => 2,
        Stream::Following(_) => 1,
        Stream::Ended => 0,
    };
    for source in &mut streams {
        let stream = match state.logs.streams().get(source) {
            None => Stream::Unopened,
            Some(LogStream::Following(at)) => Stream::Following(*at),
            Some(LogStream::Ended) => Stream::Ended,
            Some(LogStream::Lost(_, why)) => Stream::Lost(why.what.clone()),
        };
        let replace = match &worst {
            None => true,
            Some(Stream::Following(old)) => match &stream {
                Stream::Following(new) => new > old,
                other => rank(other) > 1,
            },
            Some(old) => rank(&stream) > rank(old),
        };
        if replace {
            worst = Some(stream);
        }
    }
    worst.unwrap_or(Stream::Unopened)
}

fn hits_of<'a>(state: &'a State, pod: &Name, from: Timestamp) -> Vec<Hits<'a>> {
    let mut counted: BTreeMap<u16, (u64, Timestamp)> = BTreeMap::new();
    for hit in state.logs.hits().rev().take_while(|hit| hit.at >= from).filter(|hit| hit.source.pod == *pod) {
        let entry = counted.entry(hit.signature).or_insert((0, hit.at));
        entry.0 += 1;
        entry.1 = entry.1.max(hit.at);
    }
    let hits = |(index, (count, last))| Hits { signature: state.signatures.get(index), count, last };
    counted.into_iter().map(hits).collect()
}

fn billing(state: &State) -> Verdict {
    let from = match since(state) {
        Since::Revert(at) | Since::Opening(at) => at,
    };
    let mut findings = BillingFindings {
        configured: state.setting.billing,
        callbacks: state.checks.settings().and_then(|settings| settings.callbacks.as_deref()),
        delivered: None,
        built: None,
    };
    let told = |kind| state.logs.lago(kind).filter(|(_, at)| *at >= from);
    findings.delivered = told(LagoLine::Delivered);
    findings.built = told(LagoLine::Built);
    judge::billing(&findings)
}
