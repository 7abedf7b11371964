//! From a TOML file to a scenario.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::SignedDuration;
use serde::Deserialize;

use crate::domain::cache::Protected;
use crate::domain::catalog::{Catalog, PackageVersion};
use crate::domain::coupled::{Scaler, ScalerKind, SourceKind};
use crate::domain::document::{Fault, Fields, Page, Source};
use crate::domain::migration::RowState;
use crate::domain::name::{CacheNamespace, MigrationName, VarName};
use crate::domain::release::{ReleaseRevision, ReleaseStatus};
use crate::domain::runbook::{NodeRef, Stage};
use crate::domain::scenario::proof;
use crate::domain::scenario::{
    Before, Clash, Condition, Crash, DatabasePlan, GatewayPlan, HelmPlan, ImagePlan, Leant, Need, Place, RecordPlan,
    RedisPlan, RevisionPlan, RowPlan, Scenario, Setting, SourcePlan,
};
use crate::domain::schema::Object;
use crate::text::{Clean, Gate, Secret};

/// How fast a drill should go where its file does not say.
const TARGET: SignedDuration = SignedDuration::from_secs(120);

/// Reads and proves one file.
pub(super) fn scenario(source: Source<'_>, gate: &Gate) -> Result<Scenario, Vec<Fault>> {
    let (page, root) = Page::open(source, gate);
    let top = Fields::new(&page, root.get_ref(), 0..0, None);
    let read = read(&page, &top);
    top.finish();
    let faults = page.into_faults();
    match read {
        Some(scenario) if faults.is_empty() => Ok(scenario),
        _ => Err(faults),
    }
}

fn read(page: &Page<'_>, top: &Fields<'_, '_>) -> Option<Scenario> {
    let (id, title) = (top.parsed("id"), top.text("title"));
    let (briefing, debrief) = (top.text("briefing"), top.text("debrief"));
    let target = duration(page, top, "target");
    let hints = hints(page, top);
    let place = section(top, "place").and_then(place);
    let secrets = secrets(top, "secrets");
    let common = settings(page, top);
    let (revisions, images, rows) = (revisions(page, top, &common), images(page, top), rows(page, top));
    let (sources, scalers) = (sources(page, top), scalers(top));
    let helm = top.table("helm").map(|fields| helm(page, fields));
    let database = section(top, "database").and_then(database);
    let gateway = section(top, "gateway").and_then(|fields| gateway(page, fields));
    let well = conditions(top);
    let scenario = Scenario {
        id: id?,
        title: title?,
        briefing: briefing?,
        debrief: debrief?,
        hints,
        target: target.unwrap_or(TARGET),
        place: place?,
        secrets,
        revisions,
        images,
        sources,
        scalers,
        helm: match helm {
            Some(helm) => Some(helm?),
            None => None,
        },
        rows,
        database: database?,
        gateway: gateway?,
        well,
    };
    proof::prove(top, &scenario);
    Some(scenario)
}

/// A table that must be there.
fn section<'p, 'd>(top: &Fields<'p, 'd>, key: &'static str) -> Option<Fields<'p, 'd>> {
    if !top.has(key) {
        top.fault(None, say!("`{}` is missing", key), say!("add a `[{}]` table", key));
    }
    top.table(key)
}

fn secrets(fields: &Fields<'_, '_>, key: &'static str) -> Vec<Secret> {
    fields.strings(key).into_iter().map(|(raw, _)| Secret::new(raw)).collect()
}

fn hints(page: &Page<'_>, top: &Fields<'_, '_>) -> BTreeMap<Stage, Vec<Clean>> {
    let Some(fields) = section(top, "hints") else { return BTreeMap::new() };
    let stages = Stage::ALL.map(|stage| {
        let words = fields.strings(stage.word()).into_iter().map(|(raw, _)| page.clean(raw)).collect();
        (stage, words)
    });
    fields.finish();
    stages.into_iter().collect()
}

fn place(fields: Fields<'_, '_>) -> Option<Place> {
    let environment = fields.parsed("environment");
    let (context, server) = (fields.parsed("context"), fields.text("server"));
    let (version, user) = (fields.text("version"), fields.text("user"));
    let (namespace, workload) = (fields.parsed("namespace"), fields.parsed("workload"));
    let (container, replicas) = (fields.parsed("container"), fields.number("replicas"));
    let strategy = fields.word("strategy", "strategy");
    fields.finish();
    Some(Place {
        environment: environment?,
        context: context?,
        server: server?,
        version: version?,
        user: user?,
        namespace: namespace?,
        workload: workload?,
        container: container?,
        replicas: replicas?,
        strategy: strategy?,
    })
}

/// The variables under `env` (written in the template) and `from` (taken from elsewhere).
fn settings(page: &Page<'_>, fields: &Fields<'_, '_>) -> Vec<(VarName, Setting)> {
    let mut found = Vec::new();
    for (key, literal) in [("env", true), ("from", false)] {
        let Some(table) = fields.table(key) else { continue };
        for (name, value, at) in table.named_strings() {
            let setting = if literal { Setting::Literal(Secret::new(value)) } else { Setting::From(page.clean(value)) };
            found.extend(table.parse::<VarName>(name, at).map(|name| (name, setting)));
        }
    }
    found
}

fn revisions(page: &Page<'_>, top: &Fields<'_, '_>, common: &[(VarName, Setting)]) -> Vec<RevisionPlan> {
    let revision = |fields: Fields<'_, '_>| {
        let (number, image) = (fields.number("number"), fields.parsed("image"));
        let age = required_duration(page, &fields, "age");
        let cause = fields.text_or_empty("cause");
        let words = fields.strings("words").into_iter().map(|(raw, _)| page.clean(raw)).collect();
        let own = settings(page, &fields);
        let [ran, checksum] = ["ran", "checksum"].map(|key| there(&fields, key));
        let leans = fields.strings("leans").into_iter().filter_map(|(raw, at)| fields.parse(raw, at)).collect();
        fields.finish();
        let shared = common.iter().filter(|(name, _)| own.iter().all(|(other, _)| other != name));
        let env = shared.cloned().chain(own.iter().cloned()).collect();
        let cause = Some(cause).filter(|cause| !cause.is_empty());
        Some(RevisionPlan { number: number?, age: age?, cause, image: image?, words, env, ran, checksum, leans })
    };
    top.tables("revision").into_iter().filter_map(revision).collect()
}

fn images(page: &Page<'_>, top: &Fields<'_, '_>) -> Vec<ImagePlan> {
    let image = |fields: Fields<'_, '_>| {
        let (name, digest) = (fields.parsed("name"), fields.text("digest"));
        let ready_after = required_duration(page, &fields, "ready_after");
        let spend = fields.word("spend", "way of spending");
        let brings = names(&fields, "brings");
        let (boot, running) = (secrets(&fields, "boot"), secrets(&fields, "running"));
        let crash = fields.table("crash").map(|fields| crash(page, fields));
        let clash = fields.table("clash").map(clash);
        let neighbour = fields.parsed_if_there("neighbour");
        let need = fields.table("need").map(need);
        fields.finish();
        Some(ImagePlan {
            name: name?,
            digest: digest?,
            neighbour,
            ready_after: ready_after?,
            crash: match crash {
                Some(crash) => Some(crash?),
                None => None,
            },
            spend: spend?,
            brings,
            clash: match clash {
                Some(clash) => Some(clash?),
                None => None,
            },
            need: match need {
                Some(need) => Some(need?),
                None => None,
            },
            boot,
            running,
        })
    };
    top.tables("image").into_iter().filter_map(image).collect()
}

/// A text that may be left out.
fn there(fields: &Fields<'_, '_>, key: &'static str) -> Option<Clean> {
    Some(fields.text_or_empty(key)).filter(|text| !text.is_empty())
}

/// The kinds of source that a file may name.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenKind {
    ConfigMap,
    Secret,
}

fn sources(page: &Page<'_>, top: &Fields<'_, '_>) -> Vec<SourcePlan> {
    let source = |fields: Fields<'_, '_>| {
        let kind = fields.word("kind", "kind").map(|kind| match kind {
            WrittenKind::ConfigMap => SourceKind::ConfigMap,
            WrittenKind::Secret => SourceKind::Secret,
        });
        let (name, key, path) = (fields.parsed("name"), fields.text("key"), fields.text("path"));
        let sub_path = fields.flag("sub_path").unwrap_or(false);
        let (written, by) = (required_duration(page, &fields, "written"), there(&fields, "by"));
        let text = fields.raw("text").map(|(raw, _)| Secret::new(raw));
        let breaks = fields.table("breaks").map(|fields| {
            let image = fields.parsed("image");
            Some((image, crash(page, fields)?))
        });
        let before = fields.table("before").and_then(before);
        fields.finish();
        let breaks = match breaks {
            None => None,
            Some(faulty_or_not) => {
                let (image, crash) = faulty_or_not?;
                Some((image?, crash))
            }
        };
        let source = Leant { kind: kind?, name: name? };
        let (key, path, written) = (key?, path?, written?);
        Some(SourcePlan { source, key, path, sub_path, written, by, text, breaks, before })
    };
    top.tables("source").into_iter().filter_map(source).collect()
}

fn before(fields: Fields<'_, '_>) -> Option<Before> {
    let (runbook, node) = (fields.parsed("runbook"), fields.parsed("node"));
    let text = fields.raw("text").map(|(raw, _)| Secret::new(raw));
    fields.finish();
    Some(Before { node: NodeRef { runbook: runbook?, node: node? }, text })
}

/// The kinds of autoscaler that a file may name.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenScaler {
    Hpa,
    ScaledObject,
}

fn scalers(top: &Fields<'_, '_>) -> Vec<Scaler> {
    let scaler = |fields: Fields<'_, '_>| {
        let kind = fields.word("kind", "kind of autoscaler").map(|kind| match kind {
            WrittenScaler::Hpa => ScalerKind::Horizontal,
            WrittenScaler::ScaledObject => ScalerKind::Keda,
        });
        let (name, min, max) = (fields.parsed("name"), fields.number("min"), fields.number("max"));
        let paused = fields.flag("paused").unwrap_or(false);
        fields.finish();
        Some(Scaler { kind: kind?, name: name?, min: min?, max: max?, paused })
    };
    top.tables("scaler").into_iter().filter_map(scaler).collect()
}

fn crash(page: &Page<'_>, fields: Fields<'_, '_>) -> Option<Crash> {
    let after = required_duration(page, &fields, "after");
    let (exit, log) = (fields.text("exit"), secrets(&fields, "log"));
    fields.finish();
    Some(Crash { after: after?, exit: exit?, log })
}

fn clash(fields: Fields<'_, '_>) -> Option<Clash> {
    let (with, log) = (fields.parsed("with"), secrets(&fields, "log"));
    fields.finish();
    Some(Clash { with: with?, log })
}

fn need(fields: Fields<'_, '_>) -> Option<Need> {
    let object = fields.raw("object").and_then(|(raw, at)| object(&fields, raw, at));
    let log = secrets(&fields, "log");
    fields.finish();
    Some(Need { object: object?, log })
}

/// A table, or a column as `table.column`.
fn object(fields: &Fields<'_, '_>, raw: &str, at: Range<usize>) -> Option<Object> {
    Some(match raw.split_once('.') {
        None => Object::Table(fields.parse(raw, at)?),
        Some((table, column)) => Object::Column(fields.parse(table, at.clone())?, fields.parse(column, at)?),
    })
}

fn names(fields: &Fields<'_, '_>, key: &'static str) -> Vec<MigrationName> {
    fields.strings(key).into_iter().filter_map(|(raw, at)| fields.parse(raw, at)).collect()
}

/// The states that a file may give to a row: a running one belongs to a session.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenState {
    Applied,
    Failed,
    RolledBack,
}

fn rows(page: &Page<'_>, top: &Fields<'_, '_>) -> Vec<RowPlan> {
    let row = |fields: Fields<'_, '_>| {
        let (id, name) = (fields.parsed("id"), fields.parsed("name"));
        let state = fields.word("state", "state").map(|state| match state {
            WrittenState::Applied => RowState::Applied,
            WrittenState::Failed => RowState::Failed,
            WrittenState::RolledBack => RowState::RolledBack,
        });
        let (age, checksum) = (required_duration(page, &fields, "age"), fields.text("checksum"));
        let logs = fields.raw("logs").map(|(raw, _)| Secret::new(raw));
        fields.finish();
        Some(RowPlan { id: id?, name: name?, state: state?, age: age?, checksum: checksum?, logs })
    };
    top.tables("row").into_iter().filter_map(row).collect()
}

fn helm(page: &Page<'_>, fields: Fields<'_, '_>) -> Option<HelmPlan> {
    let (release, program) = (fields.parsed("release"), fields.text("program"));
    let chart = fields.text("chart");
    let record = |fields: Fields<'_, '_>| {
        let number = fields.number("number").and_then(ReleaseRevision::new);
        let age = required_duration(page, &fields, "age");
        let (status, description) = (fields.text("status"), fields.text("description"));
        let (version, template) = (fields.text("version"), fields.number("template"));
        let job = fields.parsed_if_there("job");
        let config_maps = fields.strings("config_maps").into_iter().map(|(raw, _)| page.clean(raw)).collect();
        fields.finish();
        Some(RecordPlan {
            number: number?,
            age: age?,
            status: ReleaseStatus::of(&status?),
            description: description?,
            version: version?,
            template: template?,
            job,
            config_maps,
        })
    };
    let revisions = fields.tables("revision").into_iter().filter_map(record).collect();
    fields.finish();
    Some(HelmPlan { release: release?, program: program?, chart: chart?, revisions })
}

fn database(fields: Fields<'_, '_>) -> Option<DatabasePlan> {
    let version = fields.text("version");
    let salt = fields.raw("salt").map(|(raw, _)| Secret::new(raw));
    let sealed = fields.number_if_there("sealed").unwrap_or(0);
    let built_by = if fields.has("built_by") { Some(built_by(&fields)?) } else { None };
    let gone = fields.strings("gone").into_iter().filter_map(|(raw, at)| object(&fields, raw, at)).collect();
    let unrecorded = names(&fields, "unrecorded");
    let mut tables = BTreeMap::new();
    for counted in fields.tables("tables") {
        let (name, rows) = (counted.text("name"), counted.number("rows"));
        counted.finish();
        tables.extend(name.zip(rows));
    }
    fields.finish();
    Some(DatabasePlan { version: version?, salt, built_by, gone, unrecorded, sealed, tables })
}

/// A package that the catalog knows.
fn built_by(fields: &Fields<'_, '_>) -> Option<PackageVersion> {
    let version: PackageVersion = fields.parsed("built_by")?;
    if Catalog::embedded().package(version).is_none() {
        let what = say!("the catalog does not know litellm-proxy-extras {}", version);
        fields.fault(None, what, Clean::ours("name a published version"));
        return None;
    }
    Some(version)
}

fn gateway(page: &Page<'_>, fields: Fields<'_, '_>) -> Option<GatewayPlan> {
    let models = fields.strings("models").into_iter().filter_map(|(raw, at)| fields.parse(raw, at)).collect();
    let callbacks = fields.strings("callbacks").into_iter().map(|(raw, _)| page.clean(raw)).collect();
    let billing = fields.flag("billing").unwrap_or(false);
    let (keys, teams) = (fields.number("keys"), fields.number("teams"));
    let cache = Some(fields.text_or_empty("cache")).filter(|cache| !cache.is_empty());
    let answers = answers(&fields);
    fields.finish();
    let cache = cache.map(|version| RedisPlan { version, answers, protected: protected() });
    Some(GatewayPlan { models, callbacks, billing, keys: keys?, teams: teams?, cache })
}

/// The kept answers of `[[gateway.answers]]`; some without a namespace where nothing is said.
fn answers(fields: &Fields<'_, '_>) -> BTreeMap<Option<CacheNamespace>, u64> {
    const USUAL: u64 = 4_187;
    if !fields.has("answers") {
        return BTreeMap::from([(None, USUAL)]);
    }
    let answers = |answers: Fields<'_, '_>| {
        let (namespace, keys) = (answers.parsed_if_there("namespace"), answers.number("keys"));
        answers.finish();
        Some((namespace, keys?))
    };
    fields.tables("answers").into_iter().filter_map(answers).collect()
}

/// The other keys that a drill's Redis holds: few of each kind, like a gateway in service.
fn protected() -> BTreeMap<Protected, u64> {
    BTreeMap::from([
        (Protected::SpendBuffer, 2),
        (Protected::SpendCounter, 6),
        (Protected::RateLimit, 9),
        (Protected::Lock, 1),
        (Protected::Other, 6),
    ])
}

fn conditions(top: &Fields<'_, '_>) -> Vec<Condition> {
    let condition = |fields: Fields<'_, '_>| {
        let reverted = fields.number_if_there("reverted_to").map(Condition::RevertedTo);
        let rolled_back =
            fields.number_if_there("rolled_back_to").and_then(ReleaseRevision::new).map(Condition::RolledBackTo);
        let deleted = fields.parsed_if_there("deleted").map(Condition::Deleted);
        let restarted = fields.flag("restarted").map(|_| Condition::Restarted);
        let put_back = fields.parsed_if_there("put_back").map(Condition::PutBack);
        let mut told: Vec<_> = [reverted, rolled_back, deleted, restarted, put_back].into_iter().flatten().collect();
        if told.len() != 1 {
            fields.fault(
                None,
                Clean::ours("a condition says one thing"),
                Clean::ours(
                    "write exactly one of `reverted_to`, `rolled_back_to`, `deleted`, `restarted` and `put_back`",
                ),
            );
        }
        fields.finish();
        told.pop()
    };
    top.tables("well").into_iter().filter_map(condition).collect()
}

fn required_duration(page: &Page<'_>, fields: &Fields<'_, '_>, key: &'static str) -> Option<SignedDuration> {
    if !fields.has(key) {
        fields.fault(None, say!("`{}` is missing", key), say!("add `{} = \"30s\"`, say", key));
    }
    duration(page, fields, key)
}

fn duration(page: &Page<'_>, fields: &Fields<'_, '_>, key: &'static str) -> Option<SignedDuration> {
    let (raw, at): (&str, Range<usize>) = fields.raw(key)?;
    let length = parse_duration(raw);
    if length.is_none() {
        fields.fault(
            Some(at),
            say!("`{}` is no length of time", page.clean(raw)),
            Clean::ours("write a whole number and ms, s, m, h or d"),
        );
    }
    length
}

/// A whole number and its unit: `250ms`, `90s`, `4m`, `1h`, `9d`.
fn parse_duration(raw: &str) -> Option<SignedDuration> {
    let digits = raw.bytes().take_while(u8::is_ascii_digit).count();
    let number = i64::from(raw.get(..digits)?.parse::<u32>().ok()?);
    let millis = match &raw[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(SignedDuration::from_millis(number * millis))
}
