//! The traps of a rollback, and the test that walks into each.
//!
//! A trap is something that looks done and is not, or that destroys while it looks harmless. The
//! matrix says which test walks into which one; here are the walks that have no other home, each
//! with the words that the operator reads.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "traps/matrix.rs"]
mod matrix;
#[path = "support/state.rs"]
mod state;

use jiff::Timestamp;
use lastgood::app::effect::{Effect, Feed, Look};
use lastgood::app::evidence::evidence;
use lastgood::app::msg::{Item, Msg, Sight};
use lastgood::app::overlay::Overlay;
use lastgood::app::preflight::{Finding, Severity, findings};
use lastgood::app::runbook::progress;
use lastgood::domain::candidate::rank;
use lastgood::domain::catalog::Catalog;
use lastgood::domain::change::Preview;
use lastgood::domain::cluster::{Ask, Permission};
use lastgood::domain::coupled::{Coupled, Found, Leaning, Pull, Pulled, Scaler, ScalerKind, Source, SourceKind, Use};
use lastgood::domain::forecast::{Facts, Newest};
use lastgood::domain::incident::Goal;
use lastgood::domain::step::{Fact, StepKind};
use lastgood::domain::workload::{Owner, Revision, Workload};
use lastgood::text::Clean;
use state::{Desk, NEW, OLD, at, coupled, job, node, pod, reference, template, workload};

// ------------------------------------------------------------------------------------ the walks

/// A console that goes back to revision 1, before the revert, armed.
fn at_revert() -> Desk {
    let mut desk = Desk::seeing("litellm-rollback:revert");
    desk.send(Msg::Target(reference(), Goal::Template("rs-1".parse().unwrap())));
    desk.arm();
    desk
}

/// The same, with what revision 1 leans on.
fn leaning(on: Coupled) -> Desk {
    let mut desk = at_revert();
    tell(&mut desk, &on);
    desk.read_sources();
    desk
}

fn tell(desk: &mut Desk, on: &Coupled) {
    let open: Vec<_> = desk.state.looks.iter().filter(|(_, look)| matches!(look, Look::Coupled(..))).collect();
    let open: Vec<_> = open.into_iter().map(|(id, _)| *id).collect();
    assert!(!open.is_empty(), "the sources of the target are looked at");
    for id in open {
        desk.answer(id, Sight::Coupled(Ok(Box::new(on.clone()))));
    }
}

fn old() -> Coupled {
    coupled(Goal::Template("rs-1".parse().unwrap()))
}

/// The only finding of this kind, as an operator reads it: severity, what, evidence, consequence,
/// remedy, and the step that it blocks.
#[track_caller]
fn told(desk: &Desk, id: &str) -> String {
    let found: Vec<Finding> = findings(&desk.state).into_iter().filter(|finding| finding.id == id).collect();
    let [finding] = &found[..] else { panic!("{id}: {found:#?}") };
    let Finding { severity, what, evidence, consequence, remedy, blocks, .. } = finding;
    let blocks = blocks.map_or("nothing", StepKind::slug);
    format!("{} | {what} | {evidence} | {consequence} | {remedy} | {blocks}", severity.word())
}

/// The dry run of the revert comes back. Answers with what the console then wants to be typed.
fn revert(desk: &mut Desk) -> Option<String> {
    desk.press("R <enter>");
    let id = desk.look(|look| matches!(look, Look::Preview(_)));
    let Some(Look::Preview(change)) = desk.state.looks.get(&id).cloned() else { unreachable!() };
    let template = template(OLD, true);
    let preview = Preview { change: *change, template, diff: vec![], warnings: vec![], jobs: Some(vec![]) };
    desk.answer(id, Sight::Preview(Ok(Box::new(preview))));
    match desk.state.overlays.last() {
        Some(Overlay::Doubts { confirm, .. }) => Some(confirm.wanted().to_string()),
        _ => None,
    }
}

fn config_map(written: Timestamp, sub_path: bool) -> Leaning {
    let path = Clean::ours("/app/config.yaml");
    Leaning {
        source: Source { kind: SourceKind::ConfigMap, name: "litellm-config".parse().unwrap() },
        uses: vec![Use::Mounted { path, sub_path }],
        live_too: true,
        optional: false,
        restored: false,
        found: Found::There { written, by: Some(Clean::ours("kubectl-edit")) },
        lacks: vec![],
    }
}

fn secret(written: Timestamp) -> Leaning {
    let source = Source { kind: SourceKind::Secret, name: "provider-keys".parse().unwrap() };
    Leaning { source, uses: vec![Use::Variables], ..config_map(written, false) }
}

/// Revision 1 came at -110 000 s, and revision 2 replaced it at -20 000 s.
const CAME: i64 = -110_000;
const LEFT: i64 = -20_000;

#[test]
fn what_changed_since_the_target_ran_is_told_by_when() {
    // the source, the words, what it blocks, what is typed
    let rows = [
        (config_map(at(LEFT + 60), true), "changed after revision 1 was replaced", "revert", Some("litellm-config")),
        (
            config_map(at(LEFT - 60), true),
            "changed with the rollout that replaced revision 1",
            "revert",
            Some("litellm-config"),
        ),
        (
            config_map(at(LEFT - 60), false),
            "changed with the rollout that replaced revision 1",
            "revert",
            Some("litellm-config"),
        ),
        (config_map(at(LEFT - 40_000), true), "changed while revision 1 was the current one", "nothing", None),
        // The kubelet brought it to the pods, which were good with it.
        (
            config_map(at(LEFT - 40_000), false),
            "1 ConfigMaps and Secrets that revision 1 leans on are as they were",
            "nothing",
            None,
        ),
        (
            config_map(at(CAME - 60), true),
            "1 ConfigMaps and Secrets that revision 1 leans on are as they were",
            "nothing",
            None,
        ),
        // Keys are rotated on purpose.
        (secret(at(LEFT + 60)), "secret/provider-keys changed after revision 1 was replaced", "nothing", None),
    ];
    for (source, words, blocks, typed) in rows {
        let shown = format!("{source:?}");
        let mut desk = leaning(Coupled { leanings: vec![source], ..old() });
        let told = told(&desk, "config-drift");
        assert!(told.contains(words) && told.ends_with(&format!("| {blocks}")), "{shown}: {told}");
        let drifted = evidence(&desk.state, Fact::ConfigDrifted).holds;
        assert_eq!(drifted, Some(typed.is_some()), "{shown}");
        // The plain revert meets the schema guard first; protected, it meets the doubt.
        assert_eq!(revert(&mut desk).as_deref(), typed, "{shown}: {:?}", desk.state.overlays.last());
    }
    let desk = leaning(Coupled { leanings: vec![config_map(at(LEFT + 60), true)], ..old() });
    let told = told(&desk, "config-drift");
    for words in [
        "by kubectl-edit; mounted at /app/config.yaml by subPath",
        "the target's new pods start with what is in it now",
        "put back what configmap/litellm-config held when revision 1 ran, from Git or a backup, or choose another target",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn what_the_target_needs_and_is_not_there_blocks() {
    let gone = Leaning { found: Found::Gone, ..config_map(at(CAME), true) };
    let optional = Leaning { optional: true, ..gone.clone() };
    let lacks = Leaning { lacks: vec![Clean::ours("config.yaml")], ..config_map(at(CAME), true) };
    let rows = [
        (gone, "configmap/litellm-config, which revision 1 needs, is not there"),
        (lacks, "configmap/litellm-config lacks config.yaml, which revision 1 needs"),
    ];
    for (source, words) in rows {
        let desk = leaning(Coupled { leanings: vec![source], ..old() });
        let told = told(&desk, "config-missing");
        assert!(told.starts_with("blocks") && told.contains(words) && told.ends_with("| revert"), "{told}");
        assert!(told.contains("CreateContainerConfigError"), "{told}");
    }
    let desk = leaning(Coupled { leanings: vec![optional], ..old() });
    assert!(findings(&desk.state).iter().all(|finding| finding.id != "config-missing"));
    let unread = Leaning { found: Found::Unknown(Clean::ours("forbidden")), ..config_map(at(CAME), true) };
    let desk = leaning(Coupled { leanings: vec![unread], ..old() });
    let told = told(&desk, "config-drift");
    assert!(told.starts_with("unknown | 1 of 1 objects") && told.contains("ask for `get configmaps`"), "{told}");
}

#[test]
fn nothing_is_sent_while_the_sources_of_the_target_are_not_read() {
    let mut desk = at_revert();
    assert_eq!(revert(&mut desk), None);
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Review(_))), "{:?}", desk.state.overlays.last());
    assert!(!acts(&desk.press("y")) && desk.said().contains("is being read"), "{}", desk.said());
    // What comes then stops it, although the review is open.
    tell(&mut desk, &Coupled { leanings: vec![config_map(at(LEFT + 60), true)], ..old() });
    desk.read_sources();
    assert!(!acts(&desk.press("y")));
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Doubts { .. })), "{:?}", desk.state.overlays.last());
}

fn acts(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Act(_)))
}

/// A workload whose revisions run these images, the newest last, with the digest of each.
fn running(images: &[(&str, Option<&'static str>)]) -> Workload {
    let mut seen = workload(7);
    let pairs = seen.revisions.iter_mut().rev().zip(images);
    for (revision, (image, digest)) in pairs {
        revision.template = template(image, true);
        revision.digest = digest.map(Clean::ours);
    }
    seen.template = seen.revisions[0].template.clone();
    seen
}

#[test]
fn a_tag_that_moved_is_told_and_stops_where_it_leads_to_the_live_image() {
    const FLOATS: &str = "ghcr.io/berriai/litellm:main-stable";
    let pulled =
        |pod: &str, digest| Pulled { pod: pod.parse().unwrap(), digest: Clean::ours(digest), created: at(-50) };
    let canary = || Ok(vec![pulled("canary", "sha256:bb")]);
    // images with digests, pods under the target's tag, what is said, what is typed
    type Case =
        (Vec<(&'static str, Option<&'static str>)>, Result<Vec<Pulled>, Clean>, &'static str, Option<&'static str>);
    let rows: Vec<Case> = vec![
        (
            vec![(FLOATS, Some("sha256:aa")), (FLOATS, Some("sha256:bb"))],
            Ok(vec![]),
            "blocks | ghcr.io/berriai/litellm:main-stable leads to another image than the one that revision 1 ran | revision 1 ran sha256:aa; revision 2 runs sha256:bb | that is the live image: the revert brings it again | pin it: set the image ghcr.io/berriai/litellm@sha256:aa | revert",
            Some(FLOATS),
        ),
        (
            vec![(FLOATS, Some("sha256:aa")), (NEW, Some("sha256:cc"))],
            canary(),
            "warns | ghcr.io/berriai/litellm:main-stable leads to another image than the one that revision 1 ran | revision 1 ran sha256:aa; pod canary runs sha256:bb | the registry decides at each start",
            None,
        ),
        (
            vec![(FLOATS, None), (NEW, None)],
            Ok(vec![pulled("canary", "sha256:bb"), pulled("other", "sha256:cc")]),
            "warns | pods run 2 different images under ghcr.io/berriai/litellm:main-stable | revision 1 ran an unknown digest; pod canary runs sha256:bb, pod other runs sha256:cc",
            None,
        ),
        (
            vec![(FLOATS, None), (NEW, None)],
            Err(Clean::ours("pods may not be listed")),
            "warns | ghcr.io/berriai/litellm:main-stable is a floating tag | revision 1 ran an unknown digest; pods may not be listed",
            None,
        ),
        // A version's tag that was pushed again.
        (
            vec![(OLD, Some("sha256:aa")), (NEW, None)],
            canary(),
            "warns | ghcr.io/berriai/litellm:v1.81.0 leads to another image",
            None,
        ),
        (
            vec![(OLD, Some("sha256:bb")), (NEW, None)],
            canary(),
            "fine | the tag of ghcr.io/berriai/litellm:v1.81.0 names a version",
            None,
        ),
        (
            vec![("ghcr.io/berriai/litellm@sha256:aa", None), (NEW, None)],
            Ok(vec![]),
            "fine | the target's image is pinned by digest",
            None,
        ),
    ];
    for (images, pulled, words, typed) in rows {
        let mut desk = at_revert();
        desk.see(running(&images));
        tell(&mut desk, &Coupled { pull: Some(Pull::Always), pulled, ..old() });
        desk.read_sources();
        let told = told(&desk, "tag");
        assert!(told.starts_with(words), "{told}\n{words}");
        assert_eq!(revert(&mut desk).as_deref(), typed, "{told}: {:?}", desk.state.overlays.last());
    }
}

#[test]
fn an_image_that_no_pod_runs_may_be_gone() {
    let told = told(&at_revert(), "target-image");
    assert!(told.starts_with("unknown | whether the image of revision 1 can still be pulled"), "{told}");
    assert!(told.contains("ImagePullBackOff") && told.contains("ask the registry"), "{told}");
}

#[test]
fn who_sets_the_replicas_is_told() {
    let scaler = |kind, min, max, paused| Scaler { kind, name: "gw".parse().unwrap(), min, max, paused };
    let (hpa, keda) = (ScalerKind::Horizontal, ScalerKind::Keda);
    // replicas wanted, the autoscaler, what is said
    let rows = [
        (3, scaler(hpa, 2, 6, false), "fine | hpa/gw sets 2 to 6 replicas; 3 are wanted now"),
        (6, scaler(hpa, 2, 6, false), "warns | hpa/gw has 6 replicas, the most that it may set"),
        (1, scaler(hpa, 2, 6, false), "warns | 1 replicas are wanted, and hpa/gw sets 2 to 6"),
        (0, scaler(hpa, 2, 6, false), "warns | deployment/litellm has 0 replicas"),
        (3, scaler(keda, 0, 6, false), "warns | scaledobject/gw may scale to 0 replicas"),
        (3, scaler(keda, 1, 6, true), "warns | scaledobject/gw is paused"),
    ];
    for (wanted, scaler, words) in rows {
        let mut desk = at_revert();
        let mut seen = workload(7);
        seen.numbers.wanted = Some(wanted);
        desk.see(seen);
        tell(&mut desk, &Coupled { scalers: Ok(vec![scaler]), ..old() });
        let told = told(&desk, "autoscaler");
        assert!(told.starts_with(words), "{told}\n{words}");
    }
    let desk = leaning(Coupled { scalers: Err(Clean::ours("forbidden")), ..old() });
    let told = told(&desk, "autoscaler");
    assert!(told.starts_with("unknown") && told.contains("list horizontalpodautoscalers"), "{told}");
}

#[test]
fn the_last_good_one_is_found_by_what_it_proved() {
    let mut seen = workload(7);
    let [live, good] = &seen.revisions[..] else { unreachable!() };
    let revision = |number: u64, image: &str, came: i64, like: &Revision| Revision {
        number,
        uid: format!("rs-{number}").parse().unwrap(),
        created: at(came),
        template: template(image, false),
        ..like.clone()
    };
    // 1 stood for days; 2 crashed and was replaced after five minutes; 3 is live.
    let good = revision(1, OLD, -400_000, good);
    let bad = revision(2, NEW, -1_200, &good);
    let live = revision(3, NEW, -900, live);
    seen.revisions = vec![live, bad, good];
    let catalog = Catalog::default();
    let facts = Facts::without_database(Newest::Known(NEW.parse().unwrap()), &catalog);
    let ranked = rank(&seen, &facts, at(0));
    assert_eq!(ranked.iter().map(|candidate| candidate.number).collect::<Vec<_>>(), [1, 2]);
    assert!(ranked[1].warnings.iter().any(|words| words.as_str() == "it was replaced after 5m00s"), "{ranked:#?}");
    // kubectl's undo toggles: what was reverted away from is not good because it is the one before.
    let cause = Some(Clean::ours("lastgood: revert deployment/litellm to revision 1"));
    seen.revisions[0].change_cause = cause;
    seen.revisions[1].created = at(-300_000);
    let ranked = rank(&seen, &facts, at(0));
    assert_eq!(ranked[0].number, 1, "{ranked:#?}");
    assert!(ranked[1].warnings.iter().any(|words| words.as_str() == "somebody reverted away from it"), "{ranked:#?}");
}

#[test]
fn without_an_older_revision_there_is_nothing_to_go_back_to() {
    let mut desk = Desk::seeing("litellm-rollback:checks");
    let mut alone = workload(7);
    alone.revisions.truncate(1);
    desk.see(alone);
    let told = told(&desk, "target");
    assert!(told.starts_with("blocks | deployment/litellm has no older revision to go back to"), "{told}");
    assert!(told.contains("check revisionHistoryLimit") && told.ends_with("| revert"), "{told}");
    // A target that was pruned meanwhile.
    let mut desk = at_revert();
    let mut pruned = workload(8);
    pruned.revisions.truncate(1);
    desk.see(pruned);
    assert!(self::told(&desk, "target").starts_with("blocks | revision 1 of deployment/litellm is gone"));
}

#[test]
fn a_paused_deployment_is_left_alone() {
    let mut desk = at_revert();
    desk.see(Workload { paused: true, ..workload(7) });
    let told = told(&desk, "paused");
    assert!(told.starts_with("blocks | deployment/litellm is paused"), "{told}");
    assert!(told.contains("kubectl -n llm rollout resume deployment/litellm") && told.ends_with("| revert"), "{told}");
    desk.press("R <enter>");
    assert!(desk.said().contains("is paused; resume it first"), "{}", desk.said());
    assert!(desk.state.looks.values().all(|look| !matches!(look, Look::Preview(_))), "not even a dry run is asked for");
}

#[test]
fn what_git_owns_is_not_patched() {
    let rows = [
        (Owner::ArgoCd { application: Clean::ours("gateway") }, "argo", "git"),
        (Owner::Flux { name: Clean::ours("gateway") }, "flux", "git"),
    ];
    for (owner, who, remedy) in rows {
        let mut desk = at_revert();
        desk.see(Workload { owner, ..workload(7) });
        let told = told(&desk, "owner").to_lowercase();
        assert!(told.starts_with("blocks") && told.contains(who) && told.contains(remedy), "{told}");
        desk.press("R <enter>");
        assert!(desk.said().to_lowercase().contains(who), "{}", desk.said());
        assert!(desk.state.looks.values().all(|look| !matches!(look, Look::Preview(_))));
    }
}

#[test]
fn a_rollout_past_its_deadline_is_a_failure_with_a_way_out() {
    let mut desk = at_revert();
    desk.read_sources();
    revert(&mut desk);
    desk.press("y");
    let applied = lastgood::domain::change::Applied { generation: 8, words: Clean::ours("patched") };
    let done = lastgood::app::msg::Done::Applied(applied);
    desk.send(Msg::Acted(lastgood::domain::record::ActId(1), Ok(done)));
    let mut stuck = state::reverted(8);
    stuck.numbers.available = 0;
    stuck.numbers.deadline_exceeded = true;
    desk.see(stuck);
    assert!(matches!(progress(&desk.state, StepKind::Revert), lastgood::app::runbook::Progress::Failed(..)));
    desk.press("R <enter>");
    assert!(desk.said().contains("leave the step as failed, or choose another target"), "{}", desk.said());
    assert_eq!(desk.state.incident.at(), Some(&node("litellm-rollback:revert")), "nothing moves on by itself");
}

#[test]
fn pods_that_cannot_be_made_are_told_by_the_deployment() {
    let mut desk = at_revert();
    let quota = Clean::ours("ReplicaFailure (FailedCreate): pods \"litellm-x\" is forbidden: exceeded quota");
    let mut seen = workload(7);
    seen.conditions = vec![quota];
    desk.see(seen);
    let told = told(&desk, "replica-failure");
    assert!(
        told.starts_with("warns | deployment/litellm cannot make its pods") && told.contains("exceeded quota"),
        "{told}"
    );
    assert!(told.contains("the pods of the target cannot be made either"), "{told}");
}

#[test]
fn a_missing_permission_is_told_with_what_it_blocks() {
    let mut desk = at_revert();
    let answer = |denied: Ask| {
        let one = move |ask| Permission { ask, allowed: Some(ask != denied), reason: Clean::default() };
        Ask::ALL.into_iter().map(one).collect::<Vec<_>>()
    };
    let rows = [
        (Ask::PatchDeployment, "blocks | `patch deployments.apps` is not allowed", "revert"),
        (Ask::CreatePortForward, "warns | `create pods/portforward` is not allowed", "nothing"),
    ];
    for (denied, words, blocks) in rows {
        desk.state.permissions.see(answer(denied), at(0));
        let told = told(&desk, "permissions");
        assert!(told.starts_with(words) && told.ends_with(&format!("| {blocks}")), "{told}");
    }
    desk.state.permissions.see(answer(Ask::PatchDeployment), at(0));
    desk.read_sources();
    revert(&mut desk);
    desk.press("y");
    assert!(desk.said().contains("you may not `patch deployments.apps` here"), "{}", desk.said());
}

/// What is not LiteLLM's goes with the push as well.
#[test]
fn tables_of_other_programs_are_at_stake_too() {
    use lastgood::domain::forecast::{Forecast, forecast};
    use lastgood::domain::migration::MigrationTable;
    use lastgood::domain::schema::Object;
    let catalog = Catalog::embedded();
    let rows = MigrationTable { exists: true, ..MigrationTable::default() };
    let live = [Object::Table("invoices".parse().unwrap())].into_iter().collect();
    let newest = Newest::Known("ghcr.io/berriai/litellm:v1.81.0".parse().unwrap());
    let facts = Facts { newest, catalog, rows: Ok(&rows), live: Ok(&live), newer: &[], memo: None };
    let forecast = forecast(&template("ghcr.io/berriai/litellm:main-v1.74.7-stable", false), &facts);
    let Forecast::MayDrop { stake, why, .. } = &forecast else { panic!("{forecast:?}") };
    assert_eq!(stake.objects().map(ToString::to_string).collect::<Vec<_>>(), ["invoices"]);
    assert!(why.as_str().contains("prisma db push --accept-data-loss"), "{why}");
}

#[test]
fn two_builds_without_an_order_are_both_named() {
    let own = "ghcr.io/berriai/litellm:v1.81.9-bad";
    let mut desk = Desk::seeing("litellm-rollback:checks");
    let mut seen = workload(7);
    seen.revisions[0].template = template(own, false);
    seen.template = template(own, false);
    seen.revisions[1].template = template("ghcr.io/berriai/litellm:v1.81.9", false);
    desk.see(seen);
    desk.pods(vec![pod("a", own, true)]);
    let told = told(&desk, "newest");
    let words = ["which of ", "litellm:v1.81.9-bad", "litellm:v1.81.9 ", " is newer cannot be told from their tags"];
    assert!(words.iter().all(|words| told.contains(words)), "{told}");
    assert!(told.starts_with("warns") && told.contains("DISABLE_SCHEMA_UPDATE=true"), "{told}");
}

#[test]
fn a_failed_row_is_told_before_the_revert() {
    let mut desk = at_revert();
    desk.rows(vec![state::row("r1", "20260101000000_a", lastgood::domain::migration::RowState::Failed)]);
    let told = told(&desk, "failed-migrations");
    assert!(told.starts_with("warns | 1 failed migration row") && told.contains("P3009"), "{told}");
}

#[test]
fn a_migration_job_that_runs_stops_the_revert() {
    let mut desk = at_revert();
    desk.read_sources();
    revert(&mut desk);
    desk.see(Workload { jobs: Some(vec![job(true)]), ..workload(7) });
    desk.tick(2);
    let told = told(&desk, "jobs");
    assert!(
        told.starts_with("blocks | migration Job litellm-migrations is running") && told.ends_with("| revert"),
        "{told}"
    );
    assert!(!acts(&desk.press("y")), "what was judged without the Job is judged again");
}

/// The form of `preflight --json`, as the README tells it.
#[test]
fn programs_read_the_documented_form() {
    let finding = findings(&at_revert().state).into_iter().next().unwrap();
    let json = serde_json::to_value(&finding).unwrap();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = ["id", "severity", "what", "evidence", "consequence", "remedy", "blocks"];
    let sorted = |mut keys: Vec<&'static str>| {
        keys.sort_unstable();
        keys
    };
    let mut found = keys.clone();
    found.sort_unstable();
    assert_eq!(found, sorted(documented.to_vec()));
    let readme = include_str!("../README.md");
    let severities = Severity::ALL.map(Severity::word);
    for word in documented.iter().chain(&severities) {
        assert!(readme.contains(&format!("`{word}`")), "the README does not tell of `{word}`");
    }
    for severity in Severity::ALL {
        assert_eq!(serde_json::to_value(severity).unwrap(), severity.word());
    }
}

/// Preflight answers in the order in which a rollback needs to know.
#[test]
fn findings_come_in_the_order_of_a_rollback() {
    let mut desk = Desk::seeing("litellm-rollback:checks");
    let schema = Ok(lastgood::domain::schema::LiveSchema::default());
    desk.send(Msg::Feed(Feed::Schema, Item::Schema(schema)));
    desk.read_sources();
    let order: Vec<_> = findings(&desk.state).into_iter().map(|finding| finding.id).collect();
    let place = |id: &str| order.iter().position(|other| *other == id).unwrap_or_else(|| panic!("{id}: {order:?}"));
    let stages = [
        "identity",
        "owner",
        "permissions",
        "workloads",
        "rollout",
        "target",
        "newest",
        "forecast",
        "config-drift",
        "backup-proved",
        "dry-run",
    ];
    let places = stages.map(place);
    assert!(places.is_sorted(), "{order:?}");
}

/// Each finding that is not fine says what it rests on or found, where it leads, and what to do.
#[test]
fn no_finding_leaves_the_operator_alone() {
    let mut desk = leaning(Coupled {
        leanings: vec![config_map(at(LEFT + 60), true), secret(at(LEFT + 60))],
        scalers: Err(Clean::ours("forbidden")),
        ..old()
    });
    let feed = Feed::Workload(reference());
    desk.send(Msg::Feed(feed, Item::Workload(Ok(Box::new(Workload { paused: true, ..workload(7) })))));
    for finding in findings(&desk.state) {
        let Finding { severity, what, consequence, remedy, blocks, .. } = &finding;
        assert!(!what.is_empty(), "{finding:?}");
        if matches!(severity, Severity::Blocks | Severity::Warns | Severity::Unknown) {
            assert!(!consequence.is_empty() && !remedy.is_empty(), "{finding:?}");
        }
        assert_eq!(blocks.is_some(), matches!(severity, Severity::Blocks | Severity::Absent), "{finding:?}");
    }
}
