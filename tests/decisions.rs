//! Decisions of the core: given this state and this message, these effects.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/state.rs"]
mod state;

use std::collections::BTreeMap;

use lastgood::app::effect::{Act, Effect, Exit, Feed, Look};
use lastgood::app::msg::{Done, Item, JournalNews, Msg, Sight};
use lastgood::app::overlay::Overlay;
use lastgood::app::pilot::{self, BackupOrders, Confirmations, Move, Orders};
use lastgood::app::preflight::{Severity, findings};
use lastgood::app::runbook::{Progress, progress};
use lastgood::app::state::Arming;
use lastgood::domain::backup::{BackupProof, Server};
use lastgood::domain::change::{Applied, Preview};
use lastgood::domain::incident::Goal;
use lastgood::domain::migration::{Kept, RowState};
use lastgood::domain::record::{ActId, ActKind, End, Entry};
use lastgood::domain::restore::{Difference, Dump, Remnant, RestorePlan, Restored, Since};
use lastgood::domain::schema::LiveSchema;
use lastgood::domain::step::StepKind;
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::domain::workload::{EnvValue, EnvVar, Owner};
use lastgood::text::{Clean, Gate};
use state::{Desk, NEW, OLD, at, coupled, job, pod, reference, reverted, row, template, workload};

/// The change in a look for a dry run, answered as the server would.
fn previewed(desk: &mut Desk, image: &str) -> Vec<Effect> {
    desk.read_sources();
    let id = desk.look(|look| matches!(look, Look::Preview(_)));
    let Some(Look::Preview(change)) = desk.state.looks.get(&id).cloned() else { unreachable!() };
    let protect = change.protect;
    let preview = Preview {
        change: *change,
        template: template(image, protect),
        diff: vec![],
        warnings: vec![],
        jobs: Some(vec![]),
    };
    desk.answer(id, Sight::Preview(Ok(Box::new(preview))))
}

fn acts(effects: &[Effect]) -> Vec<&'static str> {
    let acts = effects.iter().filter_map(|effect| match effect {
        Effect::Act(announced) => Some(match announced.clone().into_parts().2 {
            Act::Apply(_) => "apply",
            Act::Rollback(_) => "rollback",
            Act::Delete(_) => "delete",
            Act::Resolve(_) => "resolve",
            Act::Restore(_) => "restore",
            Act::Backup(_) => "backup",
            Act::RestoreDatabase(_) => "restore-database",
            Act::ClearCache(_) => "clear-cache",
            Act::Complete(_) => "complete",
        }),
        _ => None,
    });
    acts.collect()
}

fn refused(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Record(_, Entry::Refused { .. })))
}

/// A console at the revert, with revision 1 as its target.
fn at_revert() -> Desk {
    let mut desk = Desk::seeing("litellm-rollback:revert");
    desk.send(Msg::Target(reference(), Goal::Template("rs-1".parse().unwrap())));
    desk
}

/// The protected revert in review.
fn in_review() -> Desk {
    let mut desk = at_revert();
    desk.arm();
    desk.press("R <enter>");
    previewed(&mut desk, OLD);
    desk.press("p");
    previewed(&mut desk, OLD);
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Review(_))), "{:?}", desk.state.overlays);
    desk
}

#[test]
fn an_older_image_is_refused_until_it_is_protected() {
    let mut desk = at_revert();
    desk.arm();
    desk.press("R <enter>");
    assert!(refused(&previewed(&mut desk, OLD)));
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Refused(_))));
    assert!(acts(&desk.effects).is_empty());
    desk.press("p");
    previewed(&mut desk, OLD);
    assert_eq!(acts(&desk.press("y")), ["apply"]);
}

#[test]
fn an_act_is_announced_in_the_journal_by_the_same_effect() {
    let mut desk = in_review();
    let effects = desk.press("y");
    let Some(Effect::Act(announced)) = effects.first() else { panic!("{effects:?}") };
    let (id, record, _) = announced.clone().into_parts();
    assert!(matches!(record, Effect::Record(_, Entry::Started { act, .. }) if act == id));
    assert!(desk.state.running.contains_key(&id));
}

#[test]
fn nothing_is_changed_while_read_only() {
    let mut desk = at_revert();
    desk.press("R <enter>");
    previewed(&mut desk, OLD);
    desk.press("p");
    previewed(&mut desk, OLD);
    assert!(acts(&desk.press("y")).is_empty());
    assert!(desk.said().contains("read-only"), "{}", desk.said());
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Review(_))), "the review stays");
}

#[test]
fn what_was_judged_is_judged_again_before_it_is_sent() {
    let mut desk = in_review();
    desk.see(lastgood::domain::workload::Workload { jobs: Some(vec![job(true)]), ..workload(7) });
    let effects = desk.press("y");
    assert!(acts(&effects).is_empty() && refused(&effects), "a migration Job started meanwhile");

    let mut desk = in_review();
    let owner = Owner::ArgoCd { application: Clean::ours("llm") };
    desk.see(lastgood::domain::workload::Workload { owner, ..workload(7) });
    let effects = desk.press("y");
    assert!(acts(&effects).is_empty() && refused(&effects), "Argo CD adopted it meanwhile");

    let mut desk = in_review();
    desk.tick(600);
    let effects = desk.press("y");
    assert!(acts(&effects).is_empty());
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Look(_, Look::Preview(_)))),
        "an old dry run is asked again"
    );
}

#[test]
fn the_newest_image_is_unknown_while_something_that_shares_the_database_is_not_seen() {
    let mut desk = at_revert();
    desk.arm();
    let lost = Trouble::new(TroubleKind::Unreachable, Clean::ours("gone"));
    let feed = lastgood::app::effect::Feed::Pods(reference());
    desk.send(Msg::Feed(feed, lastgood::app::msg::Item::Pods(Err(lost))));
    desk.press("P r");
    previewed(&mut desk, NEW);
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Refused(_))), "a restart of the newest image");
    desk.press("<esc>");
    desk.pods(vec![pod("a", NEW, true)]);
    desk.press("P r");
    previewed(&mut desk, NEW);
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Review(_))));
}

#[test]
fn the_newest_image_is_remembered_after_its_revision_is_pruned() {
    let mut desk = Desk::seeing("litellm-rollback:revert");
    let mut pruned = reverted(8);
    pruned.revisions.retain(|revision| revision.number != 2);
    desk.see(pruned);
    desk.pods(vec![pod("b", OLD, true)]);
    assert_eq!(
        lastgood::app::change::newest(&desk.state),
        lastgood::domain::forecast::Newest::Known(NEW.parse().unwrap())
    );
}

#[test]
fn a_workload_of_helm_is_not_patched() {
    let mut desk = at_revert();
    desk.arm();
    let owner = Owner::Helm { release: Clean::ours("llm") };
    desk.see(lastgood::domain::workload::Workload { owner, ..workload(7) });
    let effects = desk.press("R <enter>");
    assert!(refused(&effects) && desk.state.looks.values().all(|look| !matches!(look, Look::Preview(_))));
    assert!(desk.said().contains("helm rollback"), "{}", desk.said());
}

#[test]
fn a_dry_run_that_comes_back_opens_no_dialog_under_the_fingers() {
    let mut desk = at_revert();
    desk.press("R <enter>");
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Asking { .. })));
    desk.press("<esc>");
    assert!(desk.state.looks.values().all(|look| !matches!(look, Look::Preview(_))), "nobody waits for it any more");
    desk.press("n");
    desk.press("tr");
    assert_eq!(desk.state.overlays.len(), 1);
}

#[test]
fn a_revert_is_done_only_while_its_template_is_live() {
    let mut desk = in_review();
    desk.press("y");
    assert_eq!(progress(&desk.state, StepKind::Revert), Progress::Acting);
    desk.send(Msg::Acted(ActId(1), Ok(Done::Applied(Applied { generation: 8, words: Clean::ours("patched") }))));
    assert!(matches!(progress(&desk.state, StepKind::Revert), Progress::Rolling(..)), "the change is not seen yet");
    // Somebody rolls forward again before the rollout was seen as complete.
    desk.see(workload(9));
    assert_eq!(progress(&desk.state, StepKind::Revert), Progress::Next(reference()));
    desk.see(reverted(10));
    assert_eq!(desk.state.incident.at().unwrap().node.as_str(), "migrations", "and moves on by itself");
}

#[test]
fn an_answer_can_be_taken_back_past_a_finished_step() {
    let mut desk = in_review();
    desk.press("y");
    desk.send(Msg::Acted(ActId(1), Ok(Done::Applied(Applied { generation: 8, words: Clean::ours("patched") }))));
    desk.see(reverted(8));
    assert_eq!(desk.state.incident.at().unwrap().node.as_str(), "migrations");
    desk.press("b");
    desk.tick(5);
    assert_eq!(desk.state.incident.at().unwrap().node.as_str(), "revert", "it stays where it was taken back to");
}

#[test]
fn an_unknown_outcome_stops_every_change_until_it_is_settled() {
    let mut desk = in_review();
    desk.press("y");
    let lost = Trouble::new(TroubleKind::Unknown, Clean::ours("no answer came"));
    let effects = desk.send(Msg::Acted(ActId(1), Err(lost)));
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Record(_, Entry::Finished { end: End::Unknown, .. })))
    );
    assert!(desk.state.overlays.is_empty(), "no dialog comes up by itself");
    assert!(desk.state.may_change().is_err());
    desk.press("R <enter>");
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Unknown(ActId(1)))));
    desk.press("n");
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Unknown(_))), "n is no answer here");
    let effects = desk.press("d");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Record(_, Entry::Settled { happened: false, .. }))));
    assert!(desk.state.may_change().is_ok());
    assert!(lastgood::app::acts::settle(&mut desk.state, ActId(1), true).is_empty(), "settled once");
}

#[test]
fn the_operator_lock_is_given_back() {
    let mut desk = Desk::seeing("litellm-rollback:revert");
    desk.press("A wrong <enter>");
    assert_eq!(desk.state.arming, Arming::ReadOnly);
    assert_eq!(desk.press("A prod <enter>"), [Effect::Lock("prod".parse().unwrap())]);
    let busy = Trouble::new(TroubleKind::Busy, Clean::ours("held by somebody"));
    desk.send(Msg::Locked(Err(busy)));
    assert!(!desk.state.armed() && desk.said().contains("held by somebody"));
    desk.arm();
    assert!(desk.press("D").contains(&Effect::Unlock));
    assert!(desk.send(Msg::Locked(Ok(()))).contains(&Effect::Unlock), "a late lock is given back");
    assert!(!desk.state.armed());
}

#[test]
fn nothing_may_change_once_the_journal_is_broken() {
    let mut desk = in_review();
    desk.send(Msg::Journal(JournalNews::Broken(Trouble::new(TroubleKind::Disk, Clean::ours("no space left")))));
    assert!(acts(&desk.press("y")).is_empty());
    assert!(desk.said().contains("journal"), "{}", desk.said());
    assert!(lastgood::app::backup::may_start(&desk.state).is_err());
}

#[test]
fn an_applied_row_needs_both_phrases_and_a_failed_one_its_name() {
    let mut desk = Desk::seeing("litellm-rollback:clean-migrations");
    desk.arm();
    desk.press("M d");
    assert!(acts(&desk.press("20260101000000_a <enter>")).is_empty());
    desk.send(Msg::Paste(lastgood::text::Secret::new(lastgood::domain::migration::APPLIED_PHRASE)));
    assert_eq!(acts(&desk.press("<enter>")), ["delete"]);

    let mut desk = Desk::seeing("litellm-rollback:clean-migrations");
    desk.arm();
    desk.rows(vec![row("r2", "20260202000000_b", RowState::Failed)]);
    desk.press("M d");
    assert!(acts(&desk.press("20260202000000 <enter>")).is_empty(), "letter by letter");
    assert_eq!(acts(&desk.press("20260202000000_b <enter>")), ["delete"]);
}

#[test]
fn a_deleted_row_can_be_put_back_once() {
    let mut desk = Desk::seeing("litellm-rollback:clean-migrations");
    desk.arm();
    desk.rows(vec![row("r2", "20260202000000_b", RowState::Failed)]);
    desk.press("M d 20260202000000_b <enter>");
    let kept =
        Kept { id: "r2".parse().unwrap(), name: "20260202000000_b".parse().unwrap(), file: "row.json".to_owned() };
    desk.send(Msg::Acted(ActId(1), Ok(Done::Kept(kept))));
    assert!(desk.state.migrations.last().unwrap().rows.is_empty(), "what we deleted is not shown as there");
    desk.press("M u");
    assert_eq!(acts(&desk.press("y")), ["restore"]);
    desk.send(Msg::Acted(ActId(2), Ok(Done::Restored(Clean::ours("put back")))));
    assert!(lastgood::app::migrations::may_undo(&desk.state).is_err());
}

#[test]
fn a_selection_stays_with_its_object() {
    let mut desk = Desk::seeing("litellm-rollback:clean-migrations");
    desk.rows(vec![row("r1", "20260101000000_a", RowState::Applied), row("r2", "20260202000000_b", RowState::Applied)]);
    desk.press("M <home>");
    let before = lastgood::app::migrations::selected(&desk.state).unwrap().id.clone();
    desk.rows(vec![
        row("r1", "20260101000000_a", RowState::Applied),
        row("r2", "20260202000000_b", RowState::Applied),
        row("r3", "20260303000000_c", RowState::Failed),
    ]);
    assert_eq!(lastgood::app::migrations::selected(&desk.state).unwrap().id, before);
}

#[test]
fn a_late_answer_is_ignored() {
    let mut desk = Desk::seeing("litellm-rollback:verify");
    desk.tick(60);
    let id = desk.look(|look| *look == Look::Vitals);
    let mut changed = workload(8);
    changed.template = template(OLD, true);
    desk.see(changed);
    let why = Trouble::new(TroubleKind::Unreachable, Clean::ours("the old pods did not answer"));
    desk.answer(id, Sight::Vitals(Err(why)));
    let health = desk.state.checks.list.get(lastgood::domain::checklist::CheckId::Health);
    assert_eq!(health.verdict.mark, lastgood::domain::checklist::Mark::Waiting, "it was about pods that are gone");
}

#[test]
fn the_namespace_of_the_cache_is_found_in_the_configuration_file() {
    use lastgood::domain::coupled::{ConfigFile, Coupled, MountedConfig};
    let mut desk = Desk::seeing("litellm-rollback:clear-cache");
    let lines = ["litellm_settings:", "  cache_params:", "    namespace: litellm-eu"];
    let file = MountedConfig {
        config_map: "litellm-config".parse().unwrap(),
        key: Clean::ours("config.yaml"),
        path: Clean::ours("/app/config.yaml"),
        sub_path: true,
        lines: lines.map(Clean::ours).to_vec(),
    };
    let id = desk.look(|look| matches!(look, Look::Coupled(..)));
    let seen = Coupled { config: ConfigFile::Mounted(file), ..coupled(Goal::Template("rs-1".parse().unwrap())) };
    desk.answer(id, Sight::Coupled(Ok(Box::new(seen))));
    desk.press("R <enter>");
    let Some(Overlay::Clear(clearing)) = desk.state.overlays.last() else { panic!("{:?}", desk.state.overlays) };
    assert_eq!(clearing.namespace.as_ref().map(|name| name.as_str()), Some("litellm-eu"));
    assert_eq!(clearing.from.as_str(), "cache_params of /app/config.yaml in configmap/litellm-config");
    // Where nobody wrote it down, the keys tell it, if all answers lie in one.
    let survey = |names: &[Option<&str>]| {
        let mut tally = lastgood::domain::cache::Tally::default();
        let hash = "0123456789abcdef".repeat(4);
        for name in names {
            tally.add(name.map_or(hash.clone(), |name| format!("{name}:{hash}")).as_bytes());
        }
        tally.survey(lastgood::domain::cache::Product::Redis, Clean::ours("7.2.4"), None, vec![])
    };
    for (names, expected) in [
        (&[Some("eu")][..], Some("eu")),
        (&[Some("eu"), None], None),
        (&[Some("eu"), Some("us")], None),
        (&[None], None),
    ] {
        let mut desk = Desk::seeing("litellm-rollback:clear-cache");
        desk.press("R <enter>");
        let id = desk.look(|look| *look == Look::CacheSurvey);
        desk.answer(id, Sight::CacheSurvey(Ok(survey(names))));
        let Some(Overlay::Clear(clearing)) = desk.state.overlays.last() else { panic!("{:?}", desk.state.overlays) };
        assert_eq!(clearing.namespace.as_ref().map(|name| name.as_str()), expected, "{names:?}");
    }
}

#[test]
fn a_stray_digit_does_not_end_the_incident() {
    let mut desk = Desk::seeing("litellm-rollback:still-wrong");
    desk.press("P 7");
    assert_eq!(desk.state.incident.at().unwrap().node.as_str(), "still-wrong", "digits answer in the runbook only");
    desk.press("R 7");
    assert_eq!(desk.state.incident.at().unwrap().node.as_str(), "handover");
    assert!(desk.state.incident.closed.is_none(), "an end is closed by enter");
    desk.press("b");
    assert_eq!(desk.state.incident.at().unwrap().node.as_str(), "still-wrong");
}

#[test]
fn a_stream_that_falls_out_of_the_limit_is_not_said_to_be_followed() {
    use lastgood::app::feeds::{feeds, followed};
    use lastgood::domain::log::LogItem;

    let mut desk = Desk::seeing("litellm-rollback:verify");
    let ready: Vec<_> = (0..50).map(|i| pod(&format!("old-{i}"), NEW, true)).collect();
    desk.pods(ready.clone());
    for source in followed(&desk.state) {
        desk.send(Msg::Feed(Feed::Logs(source), Item::Logs(LogItem::Following)));
    }
    assert_eq!(desk.state.logs.following(), 50);
    // A broken pod is followed first, so one of the ready ones is not followed any more.
    desk.pods(ready.into_iter().chain([pod("broken", NEW, false)]).collect());
    desk.tick(1);
    let wanted = feeds(&desk.state);
    assert!(desk.state.logs.streams().keys().all(|source| wanted.contains(&Feed::Logs(source.clone()))));
    assert_eq!(desk.state.logs.following(), 49);
    let broken = followed(&desk.state).into_iter().find(|source| source.uid.as_str() == "broken").unwrap();
    desk.send(Msg::Feed(Feed::Logs(broken), Item::Logs(LogItem::Following)));
    desk.tick(60);
    let logs = &desk.state.checks.list.get(lastgood::domain::checklist::CheckId::Logs).verdict;
    assert_eq!(logs.mark, lastgood::domain::checklist::Mark::Unknown, "nobody listens to one of them");
    assert!(logs.evidence.iter().any(|line| line.as_str().starts_with("1 of 51 pods are not followed")), "{logs:?}");
}

#[test]
fn a_gap_in_a_log_is_no_proof_of_silence() {
    use lastgood::app::feeds::followed;
    use lastgood::domain::checklist::{CheckId, Mark};
    use lastgood::domain::log::{LogItem, LogLine, Ours, Segment};

    let mut desk = Desk::seeing("litellm-rollback:verify");
    desk.pods(vec![pod("a", NEW, true)]);
    let source = followed(&desk.state).into_iter().next().unwrap();
    desk.send(Msg::Feed(Feed::Logs(source.clone()), Item::Logs(LogItem::Following)));
    desk.tick(60);
    let mark = |desk: &Desk| desk.state.checks.list.get(CheckId::Logs).verdict.mark;
    assert_eq!(mark(&desk), Mark::Ticked);
    for (second, ours, expected) in [(61, Ours::Remark, Mark::Ticked), (62, Ours::Gap, Mark::Unknown)] {
        let now = desk.state.now;
        let line = LogLine::mark(now, &source.clone().into(), ours, Clean::ours("between the lines"));
        let lines = Segment::from(vec![line]).matched(&desk.state.signatures);
        desk.send(Msg::Feed(Feed::Logs(source.clone()), Item::Logs(LogItem::Lines(lines))));
        desk.tick(second);
        assert_eq!(mark(&desk), expected);
    }
    // A pod in its place has a log of its own.
    desk.pods(vec![pod("b", NEW, true)]);
    let source = followed(&desk.state).into_iter().next().unwrap();
    desk.send(Msg::Feed(Feed::Logs(source), Item::Logs(LogItem::Following)));
    desk.tick(120);
    assert_eq!(mark(&desk), Mark::Ticked);
}

#[test]
fn what_the_database_says_again_is_not_worked_out_again() {
    let mut desk = Desk::seeing("litellm-rollback:preflight");
    let read = |desk: &mut Desk| {
        desk.send(Msg::Feed(Feed::Schema, Item::Schema(Ok(LiveSchema::default()))));
        desk.rows(vec![row("r1", "20260101000000_a", RowState::Applied)]);
    };
    read(&mut desk);
    desk.tick(1);
    drop(findings(&desk.state));
    let (compared, forecast) = (desk.state.ledger.rows.as_ptr(), desk.state.forecasts.len());
    assert!(forecast > 0);
    read(&mut desk);
    desk.tick(2);
    assert_eq!(desk.state.ledger.rows.as_ptr(), compared, "nothing is different, so nothing is compared");
    assert_eq!(desk.state.forecasts.len(), forecast);
    // Another row, another version, or none of it any more: everything is looked at anew.
    std::sync::Arc::make_mut(&mut desk.state.setting).catalog =
        lastgood::domain::catalog::Consulted::Other(lastgood::domain::catalog::Catalog::embedded().clone());
    desk.rows(vec![row("r1", "20260101000000_a", RowState::Applied), row("r2", "20260102000000_b", RowState::Applied)]);
    assert_eq!(desk.state.ledger.rows.len(), 2);
    let compared = desk.state.ledger.rows.as_ptr();
    let mut other = workload(8);
    other.template = template("ghcr.io/berriai/litellm:v1.80.0", false);
    desk.see(other);
    let rows = desk.state.migrations.last().unwrap().rows.clone();
    desk.rows(rows);
    assert_ne!(desk.state.ledger.rows.as_ptr(), compared);
    assert_eq!(desk.state.ledger.target.as_ref().map(ToString::to_string).as_deref(), Some("1.80.0"));
    let old = template("ghcr.io/berriai/litellm:v1.74.0", false);
    let before = lastgood::app::forecast::of(&desk.state, &old);
    desk.send(Msg::Feed(Feed::Schema, Item::Schema(Err(away()))));
    let after = lastgood::app::forecast::of(&desk.state, &old);
    assert_ne!(after, before, "what is not seen any more is not forecast from");
}

fn away() -> Trouble {
    Trouble::new(TroubleKind::Unreachable, Clean::ours("the database is away"))
}

#[test]
fn the_chart_of_an_error_shows_where_it_began() {
    use lastgood::app::feeds::followed;
    use lastgood::app::logs::chart::{Event, chart};
    use lastgood::domain::log::{LogItem, LogLine, Segment};

    let mut desk = Desk::seeing("litellm-rollback:scope");
    desk.pods(vec![pod("a", NEW, true), pod("b", NEW, true)]);
    let mut live = workload(8);
    live.revisions[0].created = at(-300);
    desk.see(live);
    let error = "ERROR: relation \"LiteLLM_Lens\" does not exist";
    let signature = desk.state.signatures.find(error).unwrap();
    let mut say = |uid: &str, second: i64, text: &str| {
        let source = followed(&desk.state).into_iter().find(|source| source.uid.as_str() == uid).unwrap();
        let line = LogLine::new(at(second), &source.clone().into(), Gate::default().clean(text));
        let lines = Segment::from(vec![line]).matched(&desk.state.signatures);
        desk.send(Msg::Feed(Feed::Logs(source), Item::Logs(LogItem::Lines(lines))));
    };
    for (uid, second) in [("a", -4_000), ("a", -290), ("b", -200), ("b", -199), ("b", -10), ("b", 3)] {
        say(uid, second, error);
        say(uid, second, "INFO: nothing");
    }
    let seen = chart(&desk.state, signature, 15).unwrap();
    assert_eq!((seen.counts.len(), seen.total()), (15, 5), "one line is older than a quarter of an hour");
    let [(place, Event::Rollout, when)] = seen.events[..] else { panic!("{seen:?}") };
    assert_eq!(when, at(-300));
    assert_eq!(seen.counts[..place].iter().sum::<u64>(), 0, "it began with the rollout: {seen:?}");
    assert_eq!(seen.counts[14], 2, "a clock that is ahead is now");
    let pods: Vec<_> = seen.pods.iter().map(|(uid, count)| (uid.as_str(), *count)).collect();
    assert_eq!(pods, [("b", 4), ("a", 1)]);
    // Half an hour later the rollout is in sight, and with it the hour.
    desk.tick(1_800);
    let later = chart(&desk.state, signature, 15).unwrap();
    assert_eq!((later.span.as_mins(), later.total(), later.events.len()), (60, 5, 1));
    desk.tick(10_000);
    assert_eq!(chart(&desk.state, signature, 15), None, "nothing of late");
}

/// How the preflight finds the dry run of what is planned.
fn dry_run(desk: &Desk) -> Option<(Severity, String)> {
    let found = findings(&desk.state).into_iter().find(|finding| finding.id == "dry-run")?;
    Some((found.severity, format!("{}; {}; {}", found.what, found.evidence, found.remedy)))
}

#[test]
fn the_preflight_dry_runs_what_is_planned_and_says_what_came_of_it() {
    let schema = || Msg::Feed(Feed::Schema, Item::Schema(Ok(LiveSchema::default())));
    let asked = |effects: &[Effect]| {
        effects.iter().filter(|effect| matches!(effect, Effect::Look(_, Look::Preview(_)))).count()
    };
    // A console that only looks around sends nothing to the API server.
    let mut desk = Desk::seeing("litellm-rollback:scope");
    desk.send(schema());
    assert_eq!((asked(&desk.effects), dry_run(&desk)), (0, None));

    let mut desk = Desk::seeing("litellm-rollback:checks");
    assert_eq!(asked(&desk.send(schema())), 1);
    assert_eq!(dry_run(&desk).unwrap().0, Severity::Waiting);
    previewed(&mut desk, OLD);
    let (severity, words) = dry_run(&desk).unwrap();
    assert_eq!(severity, Severity::Fine);
    assert!(words.contains("revert deployment/litellm to revision 1") && words.contains("dryRun=All"), "{words}");
    assert_eq!(asked(&desk.tick(400)), 0, "once is enough");
    // The object that it was planned on is another one now.
    assert_eq!(asked(&desk.see(workload(8))), 1);
    let id = desk.look(|look| matches!(look, Look::Preview(_)));
    let why = Trouble::new(TroubleKind::Refused, Clean::ours("admission webhook \"policy\" denied the request"));
    desk.answer(id, Sight::Preview(Err(why)));
    let found = findings(&desk.state).into_iter().find(|finding| finding.id == "dry-run").unwrap();
    assert_eq!((found.severity, found.blocks), (Severity::Blocks, Some(StepKind::Revert)));
    assert!(found.evidence.as_str().contains("policy") && !found.remedy.is_empty(), "{found:?}");
    assert_eq!(asked(&desk.tick(500)), 0, "a refusal does not pass by itself");
    desk.see(workload(9));
    let id = desk.look(|look| matches!(look, Look::Preview(_)));
    desk.answer(id, Sight::Preview(Err(Trouble::new(TroubleKind::Unreachable, Clean::ours("no answer")))));
    assert_eq!((asked(&desk.tick(505)), asked(&desk.tick(600))), (0, 1), "no answer is asked for again");
    assert_eq!(acts(&desk.effects), Vec::<&str>::new());
}

#[test]
fn the_programs_and_the_server_are_findings() {
    let mut desk = Desk::seeing("litellm-rollback:checks");
    let id = desk.look(|look| *look == Look::Server);
    let of = |desk: &Desk, id| findings(&desk.state).into_iter().find(|finding| finding.id == id).unwrap();
    assert_eq!(of(&desk, "backup").severity, Severity::Waiting);
    let old =
        Trouble::new(TroubleKind::Program, Clean::ours("pg_dump 14.1 is older than the server, which is version 16"))
            .remedy(Clean::ours("install postgresql-client-16"));
    let place = Clean::ours("db.internal:5432/litellm (schema public)");
    let server = Server { place, version: Clean::ours("16.2"), programs: Err(old) };
    desk.answer(id, Sight::Server(Ok(Box::new(server))));
    let found = of(&desk, "backup");
    assert_eq!((found.severity, found.blocks), (Severity::Blocks, Some(StepKind::Backup)));
    assert!(found.evidence.as_str().contains("PostgreSQL 16.2") && !found.consequence.is_empty(), "{found:?}");
    let database = of(&desk, "database");
    assert!(database.what.as_str().starts_with("db.internal:5432/litellm (schema public) answers as PostgreSQL 16.2"));
    // It is asked again, in case somebody installed them.
    let again = desk.tick(301);
    assert!(again.iter().any(|effect| matches!(effect, Effect::Look(_, Look::Server))));
}

fn plan() -> RestorePlan {
    let at = state::at(-7_200);
    let proof = BackupProof {
        file: Clean::ours("litellm_backup_20261118_100640.dump"),
        folder: Clean::ours("/var/backups"),
        bytes: 4_096,
        sha256: Clean::ours("f00"),
        database: Clean::ours("db:5432/litellm (schema public)"),
        server_version: Clean::ours("16.2"),
        pg_dump_version: Clean::ours("16.4"),
        rows: [(Clean::ours("public.t"), 7)].into(),
        left_out: vec![],
        migration_head: None,
        started_at: at,
        taken_at: at,
        proved_at: at,
    };
    RestorePlan {
        dumps: vec![Dump { path: "/var/backups/litellm_backup_20261118_100640.dump".into(), proof }],
        beside: Clean::ours("db:5432/litellm (schema public)"),
        server_version: Clean::ours("16.2"),
        pg_restore: Clean::ours("16.4"),
        live_bytes: 1_000_000,
        into: "litellm_restore_1".parse().unwrap(),
        left: vec![],
    }
}

/// A console at the restore whose plan is shown.
fn at_restore() -> Desk {
    let mut desk = Desk::seeing("litellm-rollback:restore");
    desk.press("<enter>");
    let id = desk.look(|look| matches!(look, Look::RestorePlan(_)));
    desk.answer(id, Sight::RestorePlan(Ok(Box::new(plan()))));
    desk
}

#[test]
fn a_restore_says_what_it_takes_and_starts_only_armed_and_on_record() {
    let mut desk = Desk::seeing("litellm-rollback:restore");
    desk.press("<enter>");
    let id = desk.look(|look| matches!(look, Look::RestorePlan(_)));
    let why = Trouble::new(TroubleKind::Forbidden, Clean::ours("the role app may not create databases"))
        .remedy(Clean::ours("ALTER ROLE app CREATEDB"));
    desk.answer(id, Sight::RestorePlan(Err(why)));
    assert!(desk.said().contains("may not create databases; ALTER ROLE app CREATEDB"), "{}", desk.said());
    assert!(desk.state.overlays.is_empty());

    let mut desk = at_restore();
    assert!(acts(&desk.press("<enter>")).is_empty() && desk.said().starts_with("read-only"), "{}", desk.said());
    // The dialog itself leads to arming.
    desk.press("A prod <enter>");
    desk.send(Msg::Locked(Ok(())));
    let effects = desk.press("<enter>");
    assert_eq!(acts(&effects), ["restore-database"]);
    let Some(Effect::Act(announced)) = effects.into_iter().find(|effect| matches!(effect, Effect::Act(_))) else {
        unreachable!()
    };
    let (act, Effect::Record(_, Entry::Started { kind, words, command, notes, .. }), _) = announced.into_parts() else {
        panic!("announced otherwise")
    };
    assert_eq!(
        kind,
        ActKind::RestoreDatabase {
            file: "litellm_backup_20261118_100640.dump".to_owned(),
            into: "litellm_restore_1".parse().unwrap()
        }
    );
    assert!(words.contains("new database litellm_restore_1, beside db:5432/litellm"), "{words}");
    assert!(
        command.contains("pg_restore --exit-on-error") && notes.iter().any(|note| note.contains("disk")),
        "{command}"
    );
    assert!(lastgood::app::acts::may_cancel(&desk.state).is_ok());

    // What it lacks is read before the step is left.
    let since = Since { column: Clean::ours("created_at"), rows: 3 };
    let difference = Difference {
        table: Clean::ours("public.t"),
        live: Some(10),
        restored: Some(7),
        newer: Some(since),
        changed: None,
    };
    let restored = Restored {
        into: "litellm_restore_1".parse().unwrap(),
        file: Clean::ours("litellm_backup_20261118_100640.dump"),
        taken_at: state::at(-7_200),
        tables: 1,
        rows: 7,
        bytes: 1_000_000,
        differences: Some(vec![difference.clone()]),
        notes: vec![Clean::ours("a note")],
    };
    let effects = desk.send(Msg::Acted(act, Ok(Done::RestoredDatabase(Box::new(restored)))));
    let made = effects.iter().find_map(|effect| match effect {
        Effect::Record(_, Entry::Finished { made: Some(made), .. }) => Some(made.clone()),
        _ => None,
    });
    let line = serde_json::to_string(&made).unwrap();
    assert!(line.contains(r#""newer":["created_at",3]"#), "{line}");
    assert_eq!(desk.state.step(), Some(StepKind::Restore), "nobody has read it yet");
    desk.press("<enter>");
    assert!(matches!(desk.state.overlays.last(), Some(Overlay::Lacking { .. })));
    let lacking = lastgood::app::restore::lacking(&desk.state, act);
    assert_eq!(lacking, Some((Some(vec![difference]), vec![Clean::ours("a note")])));
    desk.press("<enter>");
    assert_eq!(desk.state.incident.at().unwrap().to_string(), "litellm-rollback:restore-decide");
    assert!(desk.state.overlays.is_empty());

    // The commands of the switch name the new database, the Secret and its key, and no value.
    desk.press("2");
    let commands = lastgood::app::status::manual_commands(&desk.state).unwrap();
    assert!(commands.as_str().contains("DATABASE_NAME=litellm_restore_1"), "{commands}");
    assert!(commands.as_str().contains("get secret <database-secret>"), "what is not known stays visible: {commands}");
    let mut live = workload(8);
    let from = EnvValue::From(Clean::ours("secret litellm-db key url"));
    live.template.containers[0].env.push(EnvVar { name: "DATABASE_URL".parse().unwrap(), value: from });
    desk.see(live);
    let commands = lastgood::app::status::manual_commands(&desk.state).unwrap();
    assert!(commands.as_str().contains("get secret litellm-db -o json | jq '.data[\"url\"] |="), "{commands}");
}

#[test]
fn a_restore_of_unknown_outcome_says_which_database_there_is() {
    let mut desk = Desk::seeing("litellm-rollback:restore");
    let started = Entry::Started {
        act: ActId(1),
        node: None,
        kind: ActKind::RestoreDatabase { file: "x.dump".to_owned(), into: "litellm_restore_1".parse().unwrap() },
        words: "restore x.dump".to_owned(),
        command: String::new(),
        notes: vec![],
    };
    desk.state.incident.apply(state::at(0), &started, &lastgood::text::Gate::default());
    desk.tick(1);
    assert!(desk.state.may_change().unwrap_err().as_str().contains("is unknown"));
    let fact = |desk: &Desk| lastgood::app::status::fact_about(&desk.state, ActId(1)).to_string();
    assert!(fact(&desk).contains("is being looked up"), "{}", fact(&desk));
    let id = desk.look(|look| matches!(look, Look::Remnant(_)));
    let name = "litellm_restore_1".parse().unwrap();
    let comment = Clean::ours("lastgood: incomplete restore of x.dump");
    desk.answer(id, Sight::Remnant(Ok(Some(Remnant { name, bytes: 8_192, comment, sessions: 0 }))));
    for part in ["did not come to its end: litellm_restore_1 (8.0 KiB)", "nobody counted", "DROP DATABASE"] {
        assert!(fact(&desk).contains(part), "{part} in {}", fact(&desk));
    }
    desk.tick(60);
    let id = desk.look(|look| matches!(look, Look::Remnant(_)));
    desk.answer(id, Sight::Remnant(Ok(None)));
    assert!(fact(&desk).contains("there is no database litellm_restore_1"), "{}", fact(&desk));
}

#[test]
fn without_a_screen_nobody_waits_for_ever_at_a_question() {
    let mut desk = Desk::at("litellm-rollback:restore-decide");
    let orders = Orders {
        arm: None,
        confirm: Confirmations::Given(vec![]),
        consent: false,
        protect: false,
        may_drop: vec![],
        backup: BackupOrders::Skip,
        targets: BTreeMap::new(),
        manual: None,
        explore: false,
    };
    desk.tick(59);
    assert!(matches!(pilot::next(&desk.state, &orders), Move::Wait(_)), "evidence may still change");
    desk.tick(60);
    let Move::Stop(exit, words) = pilot::next(&desk.state, &orders) else { panic!("it waits on") };
    assert_eq!(exit, Exit::NotReached);
    assert!(words.as_str().starts_with("a person decides: Switch to the restored database?"), "{words}");

    // What could suggest an answer is not known yet.
    let mut desk = Desk::at("litellm-rollback:backup-failed");
    desk.tick(600);
    assert!(matches!(pilot::next(&desk.state, &orders), Move::Wait(_)));
}
