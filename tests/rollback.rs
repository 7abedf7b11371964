//! The rollback of a Helm release as decisions: what the guard lets through, what has to be typed
//! before it, and that everybody who judges a target judges it alike.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/state.rs"]
mod state;

use std::collections::BTreeMap;

use lastgood::app::effect::{Effect, Feed, Look};
use lastgood::app::forecast::of_goal;
use lastgood::app::msg::{Item, Msg, Sight};
use lastgood::app::overlay::Overlay;
use lastgood::app::preflight::findings;
use lastgood::app::releases::{against, ranked};
use lastgood::domain::coupled::ReadConfig;
use lastgood::domain::incident::Goal;
use lastgood::domain::name::ReleaseName;
use lastgood::domain::release::{
    ApplyMethod, Chart, Does, History, ManifestObject, ObjectKey, Release, ReleaseRevision, ReleaseRow, ReleaseStatus,
    Storage, Tried, Verdict,
};
use lastgood::domain::rollback::HelmProgram;
use lastgood::domain::settings::Config;
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::domain::workload::{Owner, Workload};
use lastgood::text::{Clean, Gate};
use state::{Desk, NEW, OLD, at, coupled, passed, reference, template, workload};

fn name() -> ReleaseName {
    "llm".parse().unwrap()
}

fn revision(number: u64) -> ReleaseRevision {
    ReleaseRevision::new(number).unwrap()
}

fn goal() -> Goal {
    Goal::Release(name(), revision(1))
}

fn row(number: u64, status: ReleaseStatus) -> ReleaseRow {
    let created = at(-200_000 + i64::try_from(number).unwrap() * 90_000);
    ReleaseRow { revision: revision(number), status, created: Some(created), modified: None }
}

fn record(number: u64, status: ReleaseStatus, image: &str, protected: bool) -> Release {
    let key = |group, kind, name| ObjectKey {
        group: Clean::ours(group),
        kind: Clean::ours(kind),
        namespace: None,
        name: Clean::ours(name),
    };
    let template = template(image, protected);
    let fields = template.fields.clone();
    Release {
        name: name(),
        namespace: "llm".parse().unwrap(),
        revision: revision(number),
        status,
        description: Clean::ours("Upgrade complete"),
        deployed_at: None,
        chart: Chart {
            name: Clean::ours("litellm-helm"),
            version: Clean::ours("1.81.0"),
            app_version: Clean::ours("v1.81.0"),
        },
        apply: ApplyMethod::ClientSide,
        values: BTreeMap::new(),
        objects: vec![ManifestObject {
            key: key("apps", "Deployment", "litellm"),
            api_version: Clean::ours("apps/v1"),
            keep: false,
            replicas: Some(1),
            template: Some(template),
            fields,
        }],
        hooks: vec![],
        unserved: Some(vec![]),
    }
}

/// A console at the revert of a release whose revision 1 has this image and variable, with what is
/// known of it read; nothing of what it leans on.
fn before_rollback(protected: bool) -> Desk {
    let mut desk = Desk::seeing("litellm-rollback:revert");
    let owner = Owner::Helm { release: Clean::ours("llm") };
    desk.see(Workload { owner, template: template(NEW, protected), ..workload(7) });
    let rows = vec![row(1, ReleaseStatus::Superseded), row(2, ReleaseStatus::Deployed)];
    let history = History::new(name(), Storage::Secrets, rows, Some(vec![])).unwrap();
    desk.send(Msg::Feed(Feed::Releases(reference(), name()), Item::Releases(Ok(history))));
    for (number, image) in [(2, NEW), (1, OLD)] {
        let status = if number == 2 { ReleaseStatus::Deployed } else { ReleaseStatus::Superseded };
        let id = desk.look(|look| matches!(look, Look::Record(..)));
        desk.answer(id, Sight::Record(Ok(Box::new(record(number, status, image, protected)))));
        desk.tick(i64::try_from(3 - number).unwrap());
    }
    let id = desk.look(|look| matches!(look, Look::Helm));
    let program = HelmProgram { path: Clean::ours("helm"), version: Clean::ours("v3.18.0"), major: 3 };
    desk.answer(id, Sight::Helm(Ok(program)));
    desk.send(Msg::Target(reference(), goal()));
    desk.tick(4);
    desk
}

/// What the target leans on is read, with a configuration file that says this.
fn reads_file(desk: &mut Desk, text: &str) {
    let place = Clean::ours("config.yaml of configmap/litellm-config");
    let config = Config::read(text, &place, &Gate::default()).unwrap();
    let mut on = coupled(goal());
    on.settings = Ok(Some(ReadConfig { place, config }));
    let id = desk.look(|look| matches!(look, Look::Coupled(_, target) if *target == goal()));
    desk.answer(id, Sight::Coupled(Ok(Box::new(on))));
    desk.read_sources();
}

/// The rollback was tried at the API server, with this verdict on the Deployment.
fn answer_trial(desk: &mut Desk, verdict: Verdict) {
    let id = desk.look(|look| matches!(look, Look::Trial(_)));
    let object = record(1, ReleaseStatus::Superseded, OLD, true).objects.remove(0).key;
    let tried = Tried { object, does: Does::Patches, foreign: false, verdict };
    desk.answer(id, Sight::Trial(Ok(Box::new(passed(vec![tried])))));
}

fn refused(desk: &Desk) -> Option<String> {
    match desk.state.overlays.last() {
        Some(Overlay::RefusedRollback(refused)) => Some(refused.refusal.what.to_string()),
        _ => None,
    }
}

/// The configuration file comes before the variable: the forecast, the ranking, the preflight and
/// the guard of the rollback say the same about it.
#[test]
fn the_configuration_file_of_a_target_is_read_by_whoever_judges_it() {
    let off = "general_settings:\n  disable_prisma_schema_update: true\n";
    let on = "general_settings:\n  disable_prisma_schema_update: false\n";
    // the variable, the file, whether the pods of the target are stopped
    let rows = [
        (true, "litellm_settings: {}\n", false),
        (true, on, true),
        (true, off, false),
        (false, "litellm_settings: {}\n", true),
        (false, on, true),
        (false, off, false),
    ];
    for (protected, text, stopped) in rows {
        let case = format!("variable {protected}, {text}");
        let mut desk = before_rollback(protected);
        reads_file(&mut desk, text);
        let state = &desk.state;
        let seen = state.workload(&reference()).unwrap();
        let pods = template(OLD, protected);
        let forecast = of_goal(state, &reference(), &goal(), &pods);
        assert_eq!(forecast.stopped().is_some(), stopped, "{case}: the forecast");
        let said = against(state, seen, revision(1)).unwrap();
        let schema = said.iter().find(|concern| concern.id == "schema");
        assert_eq!(schema.is_some(), stopped, "{case}: {said:#?}");
        let candidate = ranked(state, seen).remove(0);
        let warned = candidate.warnings.iter().any(|words| words.as_str().starts_with("its pods: "));
        assert_eq!(warned, stopped, "{case}: {candidate:#?}");
        let found = findings(state);
        let blocks = found.iter().any(|finding| finding.id == "schema" && finding.blocks.is_some());
        assert_eq!(blocks, stopped, "{case}: {found:#?}");
        if let Some(schema) = schema {
            let sentence = forecast.sentence();
            assert!(schema.what.as_str().ends_with(sentence.as_str()), "{case}: {} / {sentence}", schema.what);
            let told = found.iter().find(|finding| finding.id == "forecast").unwrap();
            assert_eq!(told.remedy, schema.remedy, "{case}: two ways out");
            let file = "--set proxy_config.general_settings.disable_prisma_schema_update=true";
            assert_eq!(schema.remedy.as_str().contains(file), text == on, "{case}: {}", schema.remedy);
        }
        desk.arm();
        desk.press("R <enter>");
        assert_eq!(refused(&desk).is_some(), stopped, "{case}: the guard");
        assert_eq!(matches!(desk.state.overlays.last(), Some(Overlay::Rollback(_))), !stopped, "{case}");
    }
}

/// Nothing is sent, or refused, before that file was read.
#[test]
fn a_rollback_waits_for_the_configuration_file() {
    let mut desk = before_rollback(false);
    desk.arm();
    let effects = desk.press("R <enter>");
    assert!(desk.state.overlays.is_empty(), "{:?}", desk.state.overlays);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Act(_))));
    assert!(desk.said().contains("what revision 1 leans on is being read"), "{}", desk.said());
}

/// What the API server would stop half way is refused before, and tried again until it is repaired.
#[test]
fn a_rollback_that_would_stop_half_way_is_refused_until_it_is_repaired() {
    let mut desk = before_rollback(true);
    let why = Clean::ours("admission webhook \"policy.example\" denied the request: no image of before May");
    answer_trial(&mut desk, Verdict::Refused(why));
    desk.read_sources();
    desk.arm();
    let effects = desk.press("R <enter>");
    let said = refused(&desk).unwrap();
    assert!(said.contains("the API server refuses Deployment/litellm of revision 1: admission webhook"), "{said}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Act(_))));
    let blocked = |desk: &Desk| findings(&desk.state).iter().any(|one| one.id == "dry-run" && one.blocks.is_some());
    assert!(blocked(&desk));
    desk.press("<esc>");
    let trying = |desk: &Desk| desk.state.looks.values().any(|look| matches!(look, Look::Trial(_)));
    desk.tick(10);
    assert!(!trying(&desk), "not at once");
    desk.tick(25);
    answer_trial(&mut desk, Verdict::Passes);
    assert!(!blocked(&desk));
    desk.tick(90);
    assert!(!trying(&desk), "what passes is not tried over and over");
    desk.press("R <enter>");
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Rollback(_))), "{:?}", desk.state.overlays);
}

/// Without a trial there is no rollback; where it cannot be had, that is said.
#[test]
fn a_rollback_waits_for_its_trial() {
    let mut desk = before_rollback(true);
    let id = desk.look(|look| matches!(look, Look::Trial(_)));
    let open: Vec<_> = desk.state.looks.iter().map(|(id, look)| (*id, look.clone())).collect();
    for (other, look) in open {
        match look {
            Look::Coupled(_, target) => drop(desk.answer(other, Sight::Coupled(Ok(Box::new(coupled(target)))))),
            Look::Opened(..) => drop(desk.answer(other, Sight::Opened(Ok(Default::default())))),
            _ => {}
        }
    }
    desk.arm();
    desk.press("R <enter>");
    assert!(desk.state.overlays.is_empty(), "{:?}", desk.state.overlays);
    assert!(desk.said().contains("ask again in a moment"), "{}", desk.said());
    let why = Trouble::new(TroubleKind::Unreachable, Clean::ours("no answer within 10 s"));
    desk.answer(id, Sight::Trial(Err(why)));
    desk.press("R <enter>");
    let Some(Overlay::Rollback(review)) = desk.state.overlays.last() else { panic!("{:?}", desk.state.overlays) };
    let warned = review.concerns.iter().find(|concern| concern.id == "dry-run").unwrap();
    assert!(warned.what.as_str().contains("no answer within 10 s"), "{}", warned.what);
}
