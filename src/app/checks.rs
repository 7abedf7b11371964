//! The checklist at work: what is looked at when, and what each answer means for its tick.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::app::action::{Action, Pane};
use crate::app::effect::{Act, Effect, Look, LookId};
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
use crate::domain::cluster::{Field, Phase, Pod};
use crate::domain::gateway::{AdminUi, CacheInfo, Completion, ModelHealth, Settings, SpendRow, Vitals};
use crate::domain::image::Version;
use crate::domain::incident::ActRecord;
use crate::domain::log::LogSource;
use crate::domain::name::Uid;
use crate::domain::record::{ActKind, Entry, Made};
use crate::domain::step::StepKind;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::EnvValue;
use crate::text::Clean;

/// How often something that costs nothing is looked at again while it is not well, and while it is.
const RETRY: SignedDuration = SignedDuration::from_secs(3);
const CONFIRM: SignedDuration = SignedDuration::from_secs(15);
/// How often a model is called again while it is not well. Money is spent each time.
const RETRY_PAID: SignedDuration = SignedDuration::from_secs(30);
/// Completions that are sent by themselves before a person must ask for another one.
const MOST_COMPLETIONS: usize = 3;

/// An answer and when it came.
type Answer<T> = Option<(Result<T, Trouble>, Timestamp)>;

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
    /// When each look was asked for last.
    asked: BTreeMap<Kind, Timestamp>,
    /// A person asked for these now.
    wanted: Vec<CheckId>,
}

/// What is asked for at intervals of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Vitals,
    Settings,
    Models,
    Ui,
    Cache,
    Completion,
    Row,
}

impl Checks {
    /// The gateway's settings, once they were read.
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref().and_then(|(settings, _)| settings.as_ref().ok())
    }
}

fn result<T>(answer: &Answer<T>) -> Option<&Result<T, Trouble>> {
    answer.as_ref().map(|(result, _)| result)
}

/// The pods were changed: what was found before is about others, and so are the answers under way.
pub fn changed(state: &mut State) -> Vec<Effect> {
    let checks = &mut state.checks;
    checks.vitals = None;
    checks.models = None;
    checks.ui = None;
    checks.completion = None;
    checks.row = None;
    checks.asked.clear();
    let old = |look: &Look| matches!(look, Look::Vitals | Look::ModelHealth | Look::AdminUi | Look::SpendRow(_));
    let dropped: Vec<LookId> = state.looks.iter().filter(|(_, look)| old(look)).map(|(id, _)| *id).collect();
    state.looks.retain(|_, look| !old(look));
    dropped.into_iter().map(Effect::Drop).collect()
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
    let checks = &mut state.checks;
    checks.wanted.push(id);
    match id {
        CheckId::Health => {
            checks.models = None;
            checks.asked.remove(&Kind::Vitals);
            checks.asked.remove(&Kind::Models);
        }
        CheckId::Spend => {
            checks.completion = None;
            checks.row = None;
            checks.asked.remove(&Kind::Completion);
        }
        CheckId::Cache => drop(checks.asked.remove(&Kind::Cache)),
        CheckId::AdminUi => drop(checks.asked.remove(&Kind::Ui)),
        CheckId::Billing => drop(checks.asked.remove(&Kind::Settings)),
        CheckId::Logs => {}
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

/// Paid looks happen while the incident stands at its verification or, taken up again, at its
/// goal; or when a person asks.
fn paid(state: &State, id: CheckId) -> bool {
    let proving = state.step() == Some(StepKind::Verify) || runbook::at_goal(state);
    state.incident.consented && (proving || state.checks.wanted.contains(&id))
}

/// Whether something is due that is looked at again after `interval`.
fn due_again(state: &State, kind: Kind, interval: SignedDuration) -> bool {
    // A clock that was set back makes everything due rather than nothing.
    state.checks.asked.get(&kind).is_none_or(|at| state.now.duration_since(*at).abs() >= interval)
}

/// What is due to be looked at now, and the judgement of everything that is known. Called after
/// every message.
pub fn due(state: &mut State) -> Vec<Effect> {
    if state.incident.closed.is_some() || state.incident.id.is_none() {
        return Vec::new();
    }
    let mut effects = Vec::new();
    if state.setting.missing.gateway.is_none() {
        look_when_due(state, Kind::Vitals, Some(CheckId::Health), Look::Vitals, &mut effects);
        look_when_due(state, Kind::Ui, Some(CheckId::AdminUi), Look::AdminUi, &mut effects);
        look_when_due(state, Kind::Settings, None, Look::Settings, &mut effects);
        models_when_due(state, &mut effects);
        effects.extend(completion_when_due(state));
    }
    if state.setting.missing.cache.is_none() {
        look_when_due(state, Kind::Cache, Some(CheckId::Cache), Look::Cache, &mut effects);
    }
    row_when_due(state, &mut effects);
    effects.extend(judge_all(state));
    effects
}

fn look_when_due(state: &mut State, kind: Kind, check: Option<CheckId>, look: Look, effects: &mut Vec<Effect>) {
    let well = match check {
        Some(id) => state.checks.list.get(id).verdict.mark.settled(),
        None => state.checks.settings().is_some(),
    };
    if due_again(state, kind, if well { CONFIRM } else { RETRY }) && !state.looking(&look) {
        state.checks.asked.insert(kind, state.now);
        effects.push(state.look(look));
    }
}

fn models_when_due(state: &mut State, effects: &mut Vec<Effect>) {
    let healthy = matches!(result(&state.checks.models), Some(Ok(models)) if models.healthy > 0);
    if healthy
        || !paid(state, CheckId::Health)
        || state.looking(&Look::ModelHealth)
        || !due_again(state, Kind::Models, RETRY_PAID)
    {
        return;
    }
    state.checks.asked.insert(Kind::Models, state.now);
    effects.push(state.look(Look::ModelHealth));
}

/// Completions that were sent since the pods were changed last, by this process: the answers to
/// those of the one before are lost.
fn completions(state: &State) -> impl Iterator<Item = &ActRecord> {
    let acts = &state.incident.acts;
    let change = acts.values().filter(|act| act.kind.workload().is_some()).map(|act| act.seq).max();
    let since = change.unwrap_or(0).max(state.incident.resumed);
    acts.values().filter(move |act| act.kind == ActKind::Complete && act.seq > since)
}

/// As many were sent by themselves as may be; the next one is a person's decision.
fn enough(state: &State) -> bool {
    !state.checks.wanted.contains(&CheckId::Spend) && completions(state).count() >= MOST_COMPLETIONS
}

fn sending(state: &State) -> bool {
    state.incident.acts.iter().any(|(id, act)| act.kind == ActKind::Complete && state.running.contains_key(id))
}

fn completion_when_due(state: &mut State) -> Option<Effect> {
    // A row that did not come within its time is an answer; a completion that failed is none.
    let failed = matches!(result(&state.checks.completion), Some(Err(_)));
    let again = failed && due_again(state, Kind::Completion, RETRY_PAID);
    let disabled = state.checks.settings().and_then(|settings| settings.disable_spend_logs) == Some(true);
    let first = state.checks.completion.is_none() && due_again(state, Kind::Completion, RETRY);
    if sending(state)
        || disabled
        || enough(state)
        || !(first || again)
        || !paid(state, CheckId::Spend)
        || state.may_send().is_err()
    {
        return None;
    }
    let named = state.setting.test_model.clone();
    let model = named.or_else(|| state.checks.settings().and_then(|settings| settings.models.first().cloned()))?;
    state.checks.asked.insert(Kind::Completion, state.now);
    let told = Told {
        kind: ActKind::Complete,
        words: say!("send a test completion of one token to {}", model),
        command: say!("POST /v1/chat/completions {{\"model\": \"{}\", \"max_tokens\": 1}}", model),
        notes: Vec::new(),
    };
    let node = state.incident.at().cloned();
    Some(state.announce(Act::Complete(model), node, told))
}

fn row_when_due(state: &mut State, effects: &mut Vec<Effect>) {
    let Some((Ok(completion), at)) = &state.checks.completion else { return };
    let look = Look::SpendRow(completion.id.clone());
    let found = matches!(result(&state.checks.row), Some(Ok(Some(_))));
    let late = state.now.duration_since(*at) > judge::LONGEST_WAIT + CONFIRM;
    if found
        || late
        || state.setting.missing.database.is_some()
        || state.looking(&look)
        || !due_again(state, Kind::Row, RETRY)
    {
        return;
    }
    state.checks.asked.insert(Kind::Row, state.now);
    effects.push(state.look(look));
}

/// A completion was answered, or not. One that was sent before the pods were changed is history.
pub fn completed(state: &mut State, answer: Result<Completion, Trouble>) {
    if completions(state).next().is_none() {
        return;
    }
    state.checks.completion = Some((answer, state.now));
    state.checks.row = None;
    state.checks.asked.remove(&Kind::Row);
}

/// The id of this completion was given to an earlier one of this incident as well.
fn repeated(state: &State) -> bool {
    let Some(Ok(completion)) = result(&state.checks.completion) else { return false };
    let same = |act: &&ActRecord| matches!(&act.made, Some(Made::Completed { id }) if *id == completion.id);
    state.incident.acts.values().filter(same).count() > 1
}

/// An answer came back.
pub fn looked(state: &mut State, look: &Look, sight: Sight) {
    let now = state.now;
    let checks = &mut state.checks;
    match sight {
        Sight::Vitals(answer) => checks.vitals = Some((answer, now)),
        Sight::Settings(answer) => checks.settings = Some((answer, now)),
        Sight::ModelHealth(answer) => checks.models = Some((answer, now)),
        Sight::AdminUi(answer) => checks.ui = Some((answer, now)),
        Sight::Cache(answer) => checks.cache = Some((answer, now)),
        Sight::SpendRow(answer) => {
            let current = matches!((result(&checks.completion), look), (Some(Ok(completion)), Look::SpendRow(id)) if completion.id == *id);
            if current {
                checks.row = Some((answer, now));
            }
        }
        Sight::Identity(_)
        | Sight::Permissions(_)
        | Sight::Workloads(_)
        | Sight::Preview(_)
        | Sight::Record(_)
        | Sight::Helm(_)
        | Sight::Listing(_)
        | Sight::Migrations(_)
        | Sight::Schema(_)
        | Sight::CacheSurvey(_)
        | Sight::Coupled(_)
        | Sight::Opened(_)
        | Sight::Trial(_)
        | Sight::RestorePlan(_)
        | Sight::Remnant(_)
        | Sight::Server(_) => {}
    }
}

fn judge_all(state: &mut State) -> Vec<Effect> {
    CheckId::ALL.into_iter().filter_map(|id| judge_one(state, id)).collect()
}

fn judge_one(state: &mut State, id: CheckId) -> Option<Effect> {
    let (verdict, at) = verdict(state, id)?;
    let check = state.checks.list.get(id);
    if check.verdict == verdict && check.seen_at == Some(at) {
        return None;
    }
    let was = check.verdict.mark;
    let (mark, evidence) = (verdict.mark, verdict.evidence.clone());
    if !state.checks.list.judge(id, verdict, at, state.now) {
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
    // Waiting and unknown come and go while pods roll; neither is worth a line of the journal
    // unless something that was known is not any more. What a resume finds again is on record.
    let idle = |mark: Mark| matches!(mark, Mark::Waiting | Mark::Unknown);
    let recorded = state.incident.marks.get(&id).copied();
    if recorded == Some(mark) || (idle(mark) && recorded.is_none_or(idle)) {
        return None;
    }
    let evidence = evidence.iter().map(Clean::to_string).collect();
    Some(state.commit(Entry::Marked { check: id, mark, evidence }))
}

/// The verdict on one item from everything that is known, and how old the oldest answer is that
/// it rests on. `None` while there is nothing to judge.
fn verdict(state: &State, id: CheckId) -> Option<(Verdict, Timestamp)> {
    let checks = &state.checks;
    let missing = &state.setting.missing;
    let now = state.now;
    let absent = |why: &Trouble| (Verdict::new(Mark::Unknown, why.sentence()), now);
    Some(match id {
        CheckId::Health => match &missing.gateway {
            Some(why) => absent(why),
            None => {
                let (vitals, at) = checks.vitals.as_ref()?;
                let at = checks.models.as_ref().map_or(*at, |(_, models)| *at.min(models));
                let expected = expected(state);
                (judge::health(vitals, result(&checks.models), state.incident.consented, expected.as_ref()), at)
            }
        },
        CheckId::Logs => match &missing.cluster {
            Some(why) => absent(why),
            None => (logs(state), now),
        },
        CheckId::Spend => match missing.gateway.as_ref().or(missing.database.as_ref()) {
            Some(why) => absent(why),
            None => spend(state),
        },
        CheckId::Billing => (billing(state), now),
        CheckId::Cache => match &missing.cache {
            Some(why) if why.kind == TroubleKind::Missing => (Verdict::new(Mark::NotConfigured, why.what.clone()), now),
            Some(why) => absent(why),
            None => {
                let (info, at) = checks.cache.as_ref()?;
                (judge::cache(info), *at)
            }
        },
        CheckId::AdminUi => match &missing.gateway {
            Some(why) => absent(why),
            None => {
                let (ui, at) = checks.ui.as_ref()?;
                (judge::admin_ui(ui), *at)
            }
        },
    })
}

/// The API does not show the batch interval; the live template may.
fn with_template(state: &State, settings: Settings) -> Settings {
    let told = || {
        let workload = state.workload(state.setting.workloads.first()?)?;
        match workload.template.main()?.variable("PROXY_BATCH_WRITE_AT")? {
            EnvValue::Literal(Field::Shown(seconds)) => seconds.as_str().parse().ok(),
            _ => None,
        }
    };
    Settings { batch_write_seconds: settings.batch_write_seconds.or_else(told), ..settings }
}

fn spend(state: &State) -> (Verdict, Timestamp) {
    let checks = &state.checks;
    let settings =
        checks.settings.as_ref().map(|(settings, _)| settings.clone().map(|settings| with_template(state, settings)));
    let mut verdict = judge::spend(&SpendFindings {
        settings: settings.as_ref(),
        consent: state.incident.consented,
        completion: result(&checks.completion),
        repeated: repeated(state),
        row: result(&checks.row),
        now: state.now,
    });
    if verdict.mark == Mark::Waiting && checks.completion.is_none() && enough(state) && !sending(state) {
        let key =
            state.keymap.key(Some(Pane::Checklist), Action::RunCheck).map_or(String::new(), |key| key.to_string());
        let words = say!(
            "{} test completions were sent since the last change of the pods; {} on this line sends another one",
            MOST_COMPLETIONS,
            state.gate.clean(&key)
        );
        verdict = Verdict::new(Mark::Unknown, words);
    }
    let proved = checks.row.as_ref().filter(|(row, _)| matches!(row, Ok(Some(_)))).map(|(_, at)| *at);
    (verdict, proved.unwrap_or(state.now))
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
    let stale = state.watched.values().any(|watched| watched.pods.fresh().is_none());
    if stale {
        return Verdict::new(
            Mark::Unknown,
            Clean::ours("the pods are not seen right now, so nobody knows whether each of them is followed"),
        );
    }
    let all = feeds::followed(state);
    let mut followed: HashMap<&Uid, Vec<&LogSource>> = HashMap::new();
    for source in all.iter().filter(|source| !source.previous) {
        followed.entry(&source.uid).or_default().push(source);
    }
    let current: Vec<_> = state.pods().into_iter().filter(|pod| !pod.terminating).collect();
    let pods = current.into_iter().map(|pod| PodLog {
        pod: pod.name.clone(),
        stream: stream_of(state, pod, followed.get(&pod.uid).map_or(&[], Vec::as_slice)),
        gap: state.logs.gap(&pod.uid).filter(|until| *until >= from),
        hits: hits_of(state, &pod.uid, from),
    });
    judge::logs(&LogFindings { since, pods: pods.collect(), now: state.now })
}

/// The worst of a pod's streams: one that is lost or not open leaves the pod in the dark.
fn stream_of(state: &State, pod: &Pod, followed: &[&LogSource]) -> Stream {
    let mut logs = pod.containers.iter().filter(|container| feeds::has_log(container));
    if logs.any(|container| !followed.iter().any(|source| source.container == container.name)) {
        return Stream::Beyond(feeds::MOST_LOGS);
    }
    let finished = matches!(pod.phase, Phase::Succeeded | Phase::Failed);
    let mut worst: Option<Stream> = None;
    let rank = |stream: &Stream| match stream {
        Stream::Lost(_) => 3,
        Stream::Unopened | Stream::Beyond(_) => 2,
        Stream::Following(_) => 1,
        Stream::Ended => 0,
    };
    for source in followed {
        let stream = match state.logs.streams().get(*source) {
            None => Stream::Unopened,
            Some(LogStream::Following(at)) => Stream::Following(*at),
            Some(LogStream::Ended) if !finished => {
                Stream::Lost(Clean::ours("its container ended and will start again"))
            }
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

fn hits_of<'a>(state: &'a State, pod: &Uid, from: Timestamp) -> Vec<Hits<'a>> {
    let counted = state.logs.tally().of_pod(pod, from);
    counted
        .into_iter()
        .map(|(index, count, last)| Hits { signature: state.signatures.get(index), count, last })
        .collect()
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
