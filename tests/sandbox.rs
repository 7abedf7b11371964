//! The sandbox keeps the rules of the real systems, and every drill has exactly one way to be well.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/drill.rs"]
mod drill;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use drill::{Drill, facts, scenario};
use futures::StreamExt as _;
use lastgood::domain::backup::BackupOrder;
use lastgood::domain::candidate::rank;
use lastgood::domain::change::{Change, ChangeKind, clear};
use lastgood::domain::confirm::Confirm;
use lastgood::domain::ledger::{Course, Finding};
use lastgood::domain::log::LogItem;
use lastgood::domain::migration::{Resolution, RowState};
use lastgood::domain::release::{History, ReleaseRevision};
use lastgood::domain::restore::{RestoreItem, RestoreOrder, RestoreWish};
use lastgood::domain::runbook::{Node, NodeKind, NodeRef, bundled_runbooks};
use lastgood::domain::scenario::{Condition, SCENARIOS, bundled_scenarios};
use lastgood::domain::signature::Signatures;
use lastgood::domain::step::{Fact, StepKind};
use lastgood::domain::trouble::TroubleKind;
use lastgood::domain::workload::Rollout;
use lastgood::text::Gate;
use lastgood::world::sandbox::Sandbox;
use tokio_util::sync::CancellationToken;

async fn meet(drill: &Drill, condition: &Condition) {
    match condition {
        Condition::RevertedTo(number) => drill.revert(*number).await,
        Condition::RolledBackTo(number) => drill.roll_back(*number).await.unwrap(),
        Condition::Deleted(name) => {
            let table = drill.table().await;
            let row = table.rows.iter().find(|row| row.name == *name).expect("the row is there");
            drill.delete(row).await.unwrap();
        }
        Condition::Restarted => drill.restart().await,
        Condition::PutBack(name) => {
            let source = drill.scenario.sources.iter().find(|source| source.source.name == *name);
            let before = source.and_then(|source| source.before.as_ref()).expect("it can be put back");
            drill.world.hands.as_ref().expect("a sandbox has hands").done(&before.node).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_right_path_heals_within_seconds() {
    for scenario in bundled_scenarios() {
        let drill = Drill::open(scenario.id.as_str());
        assert!(!drill.complaints().await.is_empty(), "{} is well before anything was done", scenario.id);
        for condition in &scenario.well {
            meet(&drill, condition).await;
        }
        let took = drill.wait_for_rollout(60).await;
        assert!(took.is_some_and(|seconds| seconds <= 20), "{}: {took:?}", scenario.id);
        assert_eq!(drill.complaints().await, Vec::<String>::new(), "{}", scenario.id);
    }
}

#[tokio::test(start_paused = true)]
async fn less_than_the_right_path_does_not_heal() {
    for scenario in bundled_scenarios() {
        for left_out in 0..scenario.well.len() {
            let drill = Drill::open(scenario.id.as_str());
            for (place, condition) in scenario.well.iter().enumerate() {
                if place != left_out {
                    meet(&drill, condition).await;
                }
            }
            assert!(!drill.complaints().await.is_empty(), "{} heals without {}", scenario.id, scenario.well[left_out]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_obvious_wrong_ways_do_not_heal() {
    for id in ["bad-image", "salt-key", "slow-burn", "ledger-lies"] {
        let drill = Drill::open(id);
        drill.restart().await;
        assert!(!drill.complaints().await.is_empty(), "{id} is healed by a restart");
    }
    let drill = Drill::open("config-drift");
    drill.revert(20).await;
    let complaints = drill.complaints().await;
    assert!(complaints.contains(&"the rollout is not done".to_owned()), "{complaints:?}");
    let drill = Drill::open("failed-migration");
    drill.revert(21).await;
    let complaints = drill.complaints().await;
    assert!(complaints.iter().any(|c| c.contains("api_key_id")), "{complaints:?}");
    assert!(complaints.contains(&"a migration is failed".to_owned()), "{complaints:?}");
}

/// What a row promises is judged by what the migrations make, not by what `schema.prisma` says.
#[tokio::test(start_paused = true)]
async fn a_database_that_a_package_built_bears_its_rows_out() {
    let ledger = Drill::open("schema-trap").ledger().await.unwrap();
    let told: Vec<_> = ledger.rows.iter().filter(|row| row.attention()).map(|row| row.name.as_str()).collect();
    assert_eq!((told, ledger.pending.len()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn the_ledger_tells_the_row_that_lies_and_the_migration_without_a_row() {
    let (stale, unrecorded) =
        ("20260921000000_add_password_reset_columns", "20261015000000_managed_object_end_user_id");
    let drill = Drill::open("ledger-lies");
    let ledger = drill.ledger().await.unwrap();
    let told: Vec<_> = ledger.stale().map(|row| row.name.as_str()).collect();
    assert_eq!(told, [stale]);
    assert_eq!(ledger.rows.iter().filter(|row| row.attention()).count(), 1);
    let pending: Vec<_> = ledger.object_without_row().map(|pending| pending.name.as_str()).collect();
    assert_eq!(pending, [unrecorded]);
    let row = async |name: &str| drill.table().await.rows.into_iter().find(|row| row.name.as_str() == name);
    drill.delete(&row(stale).await.unwrap()).await.unwrap();
    drill.restart().await;
    drill.wait_for_rollout(30).await.unwrap();
    assert!(row(stale).await.is_some() && row(unrecorded).await.is_some());
    let ledger = drill.ledger().await.unwrap();
    assert!(ledger.pending.is_empty() && !ledger.rows.iter().any(Finding::attention));
}

#[tokio::test(start_paused = true)]
async fn deleting_a_row_that_tells_the_truth_stops_the_next_start() {
    let truthful = "20260713230852_add_key_type_to_litellm_verification_token";
    let drill = Drill::open("ledger-lies");
    let finding = drill.ledger().await.unwrap().rows.into_iter().find(|row| row.name.as_str() == truthful).unwrap();
    let Course::Stops(stop) = &finding.deleted else { panic!("{:?}", finding.deleted) };
    drill.delete(drill.table().await.row(&finding.id).unwrap()).await.unwrap();
    drill.restart().await;
    let complaints = drill.complaints().await;
    assert!(complaints.contains(&"the rollout is not done".to_owned()), "{complaints:?}");
    let table = drill.table().await;
    let failed = table.failed().next().unwrap();
    assert_eq!(failed.name.as_str(), truthful);
    assert!(failed.logs.as_ref().unwrap().as_str().contains(&stop.object.to_string()), "{:?}", failed.logs);
}

#[tokio::test(start_paused = true)]
async fn the_guard_asks_for_protection_where_the_old_image_would_write() {
    let drill = Drill::open("bad-image");
    let workload = drill.workload().await;
    let to = workload.revisions.iter().find(|r| r.number == 13).unwrap().uid.clone();
    let refusal = drill.change(ChangeKind::Revert { to, revision: 13 }, false).await.unwrap_err();
    assert!(refusal.protect_helps, "{refusal:?}");
    assert_eq!(drill.workload().await.numbers.generation, workload.numbers.generation, "nothing was applied");
    drill.revert(13).await;
    drill.wait_for_rollout(30).await.unwrap();
    let lines = drill.lines_since(drill::morning()).await;
    assert!(lines.iter().any(|line| line.contains("prisma schema out of sync with db")), "{lines:#?}");
}

/// What the console would gather, from what the ports show.
async fn holds(drill: &Drill, known: &Known, fact: Fact) -> bool {
    let pods = drill.pods().await;
    let workload = drill.workload().await;
    let current = workload.current().map(|revision| revision.uid.clone());
    let image = |at: usize| workload.revisions.get(at).and_then(|revision| revision.image()).cloned();
    let log = |ids: &'static [&'static str]| async move {
        let signatures = Signatures::bundled();
        let lines = drill.lines_since(jiff::Timestamp::UNIX_EPOCH).await;
        lines.iter().filter_map(|line| signatures.find(line)).any(|at| ids.contains(&signatures.get(at).id.as_str()))
    };
    match fact {
        Fact::PodsBroken => pods.iter().any(|pod| pod.replica_set == current && pod.broken()),
        Fact::PodsHealthy => workload.numbers.status() == Rollout::Done,
        Fact::NothingServes => !pods.iter().any(|pod| pod.ready()),
        Fact::StillServes => pods.iter().any(|pod| pod.ready()),
        Fact::FailedMigration => drill.table().await.failed().next().is_some(),
        Fact::NoFailedMigration => drill.table().await.failed().next().is_none(),
        Fact::RelationMissing => log(&["relation-missing", "column-missing"]).await,
        Fact::CredentialsUnreadable => log(&["salt-key"]).await,
        Fact::ImageChanged => image(0) != image(1),
        Fact::OnlyConfigChanged => image(0) == image(1),
        Fact::TemplateUnchanged | Fact::NoDatabase => false,
        Fact::RowWithoutObject => drill.ledger().await.is_some_and(|ledger| ledger.without_object().next().is_some()),
        Fact::ObjectWithoutRow => {
            drill.ledger().await.is_some_and(|ledger| ledger.object_without_row().next().is_some())
        }
        Fact::SettingsTooNew => false,
        Fact::OwnedByHelm => drill.scenario.helm.is_some(),
        Fact::ConfigDrifted => drill.drifted(&known.by_hand).await,
        Fact::BackupProved => known.backed_up,
        Fact::TargetChosen => known.targeted,
        Fact::ChecklistComplete => known.verified == Some(true),
        Fact::CheckFailed => known.verified == Some(false),
    }
}

#[derive(Default)]
struct Known {
    backed_up: bool,
    targeted: bool,
    /// The nodes whose manual step was done.
    by_hand: Vec<NodeRef>,
    verified: Option<bool>,
}

async fn carry_out(drill: &Drill, known: &mut Known, step: StepKind) -> bool {
    match step {
        StepKind::Preflight => return !drill.drifted(&known.by_hand).await,
        StepKind::Backup => {
            drill.back_up(drill.folder.path()).await;
            known.backed_up = true;
        }
        StepKind::ChooseTarget => {
            known.targeted = true;
            if drill.scenario.helm.is_some() {
                return true;
            }
            let workload = drill.workload().await;
            let best =
                rank(&workload, &facts(&workload), drill.clock.now()).into_iter().next().expect("there is a target");
            assert!(drill.scenario.well.contains(&Condition::RevertedTo(best.number)), "{best:?}");
        }
        StepKind::Revert => {
            if drill.drifted(&known.by_hand).await {
                return false;
            }
            let back =
                |condition: &&Condition| matches!(condition, Condition::RevertedTo(_) | Condition::RolledBackTo(_));
            let back = drill.scenario.well.iter().find(back).expect("this drill is not about reverting");
            meet(drill, back).await;
            return drill.wait_for_rollout(60).await.is_some();
        }
        StepKind::Restart => {
            drill.restart().await;
            return drill.wait_for_rollout(60).await.is_some();
        }
        StepKind::CleanMigrations => {
            for row in drill.table().await.failed() {
                drill.delete(row).await.unwrap();
            }
        }
        StepKind::StaleRows => {
            let (table, ledger) = (drill.table().await, drill.ledger().await.expect("the database tells"));
            for finding in ledger.stale() {
                drill.delete(table.row(&finding.id).unwrap()).await.unwrap();
            }
        }
        StepKind::ClearCache | StepKind::Restore => unreachable!("no drill suggests it"),
        StepKind::Verify => {
            let complaints = drill.complaints().await;
            known.verified = Some(complaints.is_empty());
            return complaints.is_empty();
        }
    }
    true
}

async fn suggested(drill: &Drill, known: &Known, node: &Node) -> Option<usize> {
    let NodeKind::Ask { choices } = &node.kind else { return None };
    let mut true_facts = Vec::new();
    for fact in choices.iter().flat_map(|choice| &choice.when) {
        if holds(drill, known, *fact).await {
            true_facts.push(*fact);
        }
    }
    node.suggested(|fact| Some(true_facts.contains(&fact)))
}

#[tokio::test(start_paused = true)]
async fn following_the_suggestions_reaches_the_end_of_every_drill() {
    let library = bundled_runbooks();
    for scenario in bundled_scenarios() {
        let drill = Drill::open(scenario.id.as_str());
        let began = drill.clock.now();
        let mut known = Known::default();
        let mut at = library.start().clone();
        let mut path = vec![];
        let reached = loop {
            assert!(path.len() < 30, "{} walks in circles: {path:?}", scenario.id);
            path.push(at.to_string());
            let node = library.node(&at).expect("exits are proved");
            at = match &node.kind {
                NodeKind::Ask { choices } => {
                    let choice = suggested(&drill, &known, node).await;
                    let choice = choice.unwrap_or_else(|| panic!("{}: nothing is suggested, {path:?}", scenario.id));
                    choices[choice].goto.clone()
                }
                NodeKind::Do { step, done, failed } => {
                    if carry_out(&drill, &mut known, *step).await {
                        done.clone()
                    } else {
                        failed.clone()
                    }
                }
                NodeKind::Manual { puts_back: true, done, .. } => {
                    drill.world.hands.as_ref().unwrap().done(&at).unwrap();
                    known.by_hand.push(at.clone());
                    done.clone()
                }
                NodeKind::Manual { .. } => panic!("{}: a manual step is suggested, {path:?}", scenario.id),
                NodeKind::End { reached } => break *reached,
            };
        };
        assert!(reached, "{}: {path:?}", scenario.id);
        let took = drill.clock.now().duration_since(began);
        assert!(took < scenario.target, "{} took {took:#}: {path:?}", scenario.id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_of_the_release_is_pending_until_its_pods_are_ready() {
    let drill = Drill::open("pending-helm");
    let workload = drill.workload().await;
    let helm = drill.scenario.helm.clone().unwrap();
    let releases = drill.world.releases.as_ref().unwrap();
    let history = async || releases.history(&workload.reference, &helm.release).await.unwrap();
    let words = |history: History| {
        history.rows().map(|row| format!("{} {}", row.revision, row.status.word())).collect::<Vec<_>>()
    };
    assert_eq!(words(history().await), ["7 pending-upgrade", "6 failed", "5 deployed", "4 superseded"]);
    let to = |number| ReleaseRevision::new(number).unwrap();
    let refusal = drill.roll_back(to(4)).await.unwrap_err();
    assert!(refusal.what.as_str().contains("may drop newer columns"), "{refusal:?}");
    assert!(drill.roll_back(to(6)).await.unwrap_err().what.as_str().contains("is failed"));
    assert_eq!(words(history().await).len(), 4, "a refusal changes nothing");
    let pending = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        words(history().await)
    };
    let (done, during) = tokio::join!(drill.roll_back(to(5)), pending);
    done.unwrap();
    assert_eq!(during[0], "8 pending-rollback");
    assert_eq!(words(history().await)[..4], ["8 deployed", "7 pending-upgrade", "6 failed", "5 superseded"]);
    assert_eq!(drill.complaints().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_killed_world_goes_on_where_it_was() {
    let mut drill = Drill::open("failed-migration");
    let row = drill.table().await.failed().next().unwrap().clone();
    drill.delete(&row).await.unwrap();
    drill.restart().await;
    tokio::time::advance(Duration::from_millis(3_300)).await;
    let before = (drill.workload().await.numbers, names(&drill).await, drill.table().await.rows.len());
    drill.reopen();
    assert_eq!((drill.workload().await.numbers, names(&drill).await, drill.table().await.rows.len()), before);
    assert!(drill.wait_for_rollout(30).await.is_some());
    assert_eq!(drill.complaints().await, Vec::<String>::new());
}

async fn names(drill: &Drill) -> Vec<String> {
    let mut names: Vec<_> = drill.pods().await.iter().map(|pod| format!("{} {}", pod.name, pod.ready())).collect();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn looking_often_and_looking_once_see_the_same_world() {
    for source in SCENARIOS {
        let stem = source.file.rsplit('/').next().unwrap().trim_end_matches(".toml");
        let (often, once) = (Drill::open(stem), Drill::open(stem));
        often.restart().await;
        once.restart().await;
        for _ in 0..97 {
            tokio::time::advance(Duration::from_millis(170)).await;
            often.pods().await;
        }
        assert_eq!(often.pods().await, once.pods().await, "{stem}");
        assert_eq!(often.table().await.rows.len(), once.table().await.rows.len(), "{stem}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_torn_last_act_did_not_happen_and_a_damaged_one_is_refused() {
    let mut drill = Drill::open("failed-migration");
    let row = drill.table().await.failed().next().unwrap().clone();
    drill.delete(&row).await.unwrap();
    let whole = std::fs::read_to_string(drill.memory()).unwrap();
    std::fs::write(drill.memory(), &whole[..whole.len() - 9]).unwrap();
    drill.reopen();
    assert_eq!(drill.table().await.failed().count(), 1, "half an act is no act");
    drill.delete(drill.table().await.failed().next().unwrap()).await.unwrap();
    drill.reopen();
    assert_eq!(drill.table().await.failed().count(), 0, "what follows a cut is read back");

    std::fs::write(drill.memory(), format!("nonsense\n{whole}")).unwrap();
    let open = |id: &str| Sandbox::open(&scenario(id), drill.clock, &Gate::default(), Some(drill.memory()));
    assert_eq!(open("failed-migration").err().map(|why| why.kind), Some(TroubleKind::Invalid));
    std::fs::write(drill.memory(), &whole).unwrap();
    assert_eq!(open("bad-image").err().map(|why| why.kind), Some(TroubleKind::Invalid));
    assert_eq!(std::fs::metadata(drill.memory()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_planned_on_another_generation_is_refused() {
    let drill = Drill::open("salt-key");
    let workload = drill.workload().await;
    let workloads = drill.world.workloads.as_ref().unwrap();
    let change = Change::on(&workload, ChangeKind::Restart { at: drill.clock.now() }, false);
    let preview = workloads.preview(change.clone()).await.unwrap();
    let cleared = clear(&preview, &facts(&workload), None).unwrap();
    workloads.apply(cleared.clone()).await.unwrap();
    assert_eq!(workloads.apply(cleared).await.unwrap_err().kind, TroubleKind::Changed);
    assert_eq!(workloads.preview(change).await.unwrap_err().kind, TroubleKind::Changed);
    assert_eq!(drill.workload().await.numbers.generation, workload.numbers.generation + 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_row_comes_back_exactly_and_a_changed_one_is_left_alone() {
    let drill = Drill::open("failed-migration");
    let database = drill.world.database.as_ref().unwrap();
    let before = drill.table().await;
    let row = before.failed().next().unwrap().clone();
    let kept = drill.delete(&row).await.unwrap();
    let file = drill.folder.path().join(&kept.file);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(drill.delete(&row).await.unwrap_err().kind, TroubleKind::Changed, "it is gone already");
    database.restore(kept.clone(), drill.folder.path().to_owned()).await.unwrap();
    assert_eq!(drill.table().await, before);
    let again = database.restore(kept, drill.folder.path().to_owned()).await;
    assert_eq!(again.unwrap_err().kind, TroubleKind::Refused, "it is there already");

    let proof = Confirm::new(Resolution { row: row.clone() }).answer_all([row.name.as_str()]).unwrap();
    let resolved = database.resolve(proof.clone(), drill.folder.path().to_owned()).await.unwrap();
    assert_eq!(drill.table().await.row(&row.id).unwrap().state, RowState::RolledBack);
    assert_eq!(drill.delete(&row).await.unwrap_err().kind, TroubleKind::Changed, "it is another row now");
    let twice = database.resolve(proof, drill.folder.path().to_owned()).await;
    assert_eq!(twice.unwrap_err().kind, TroubleKind::Changed);
    drill.restart().await;
    drill.wait_for_rollout(30).await.unwrap();
    let late = database.restore(resolved, drill.folder.path().to_owned()).await;
    let late = late.unwrap_err();
    assert_eq!(late.kind, TroubleKind::Refused);
    assert!(late.what.as_str().contains("was applied again meanwhile"), "{}", late.what);
}

#[tokio::test(start_paused = true)]
async fn logs_carry_no_secret_and_no_control_character() {
    let planted = [
        "correct-horse",
        "violet-otter",
        "maple-quartz",
        "paper-lantern",
        "sk-drill-",
        "salt-that-the-rows",
        "salt-of-somebody",
        "salt-of-the",
        "hunter2-of-the",
        "MIIEvQIB",
        "c2FsdC1rZXk",
        "eyJhbGciOi",
        "AKIADRILL",
        "BEGIN PRIVATE",
    ];
    for source in SCENARIOS {
        let stem = source.file.rsplit('/').next().unwrap().trim_end_matches(".toml");
        let drill = Drill::open(stem);
        drill.revert(scenario(stem).revisions.first().unwrap().number).await;
        drill.wait_for_rollout(60).await;
        let mut text = format!("{:?} {:?}", drill.table().await, drill.workload().await);
        for pod in drill.pods().await {
            for previous in [false, true] {
                text.extend(drill.log(&pod, previous).await.into_iter().map(|(_, line)| line + "\n"));
            }
        }
        assert!(text.contains("[masked]"), "{stem} plants no secret that comes to light");
        for secret in planted {
            assert!(!text.contains(secret), "{stem} shows {secret}");
        }
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{stem} shows a control character");
    }
}

#[tokio::test(start_paused = true)]
async fn a_followed_log_has_every_line_once() {
    let drill = Drill::open("slow-burn");
    let pod = drill.pods().await.remove(0);
    let mut feed = drill.world.cluster.as_ref().unwrap().logs(&drill.source(&pod, false), 100_000);
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut followed = Vec::new();
    while let Ok(Some(item)) = tokio::time::timeout_at(end, feed.next()).await {
        if let LogItem::Lines(lines) = item {
            followed.extend(lines.iter().map(|line| (line.at, line.text.to_string())));
        }
    }
    let whole = drill.log(&pod, false).await;
    assert!(whole.len() > 100, "{}", whole.len());
    assert_eq!(followed, whole[..followed.len()]);
    assert!(whole.len() - followed.len() <= 1);
    assert!(whole.is_sorted_by_key(|(at, _)| *at));
}

#[tokio::test(start_paused = true)]
async fn a_crashing_pod_ends_its_log_and_backs_off() {
    let drill = Drill::open("bad-image");
    let pod = drill.pods().await.remove(0);
    assert!(pod.broken() && !pod.ready(), "{pod:?}");
    assert!(pod.restarts() >= 3, "{pod:?}");
    assert!(drill.log(&pod, true).await.iter().any(|(_, line)| line.contains("ModuleNotFoundError")));
    let mut feed = drill.world.cluster.as_ref().unwrap().logs(&drill.source(&pod, false), 10);
    let mut seen = Vec::new();
    let end = tokio::time::Instant::now() + Duration::from_secs(400);
    while let Ok(Some(item)) = tokio::time::timeout_at(end, feed.next()).await {
        seen.push(match item {
            LogItem::Following => 'f',
            LogItem::Lines(_) => 'l',
            LogItem::Ended => 'e',
            LogItem::Lost(_) => '!',
        });
    }
    let seen: String = seen.into_iter().collect();
    assert!(seen.starts_with("fle") && seen.matches('e').count() >= 2 && !seen.contains('!'), "{seen}");
    assert!(drill.pods().await.iter().any(|other| other.uid == pod.uid && other.restarts() > pod.restarts()));
}

#[tokio::test(start_paused = true)]
async fn a_backup_is_proved_or_leaves_nothing() {
    let drill = Drill::open("salt-key");
    let folder = tempfile::tempdir().unwrap();
    let order = BackupOrder { without_spend_logs: true, at: drill.clock.now() };
    let mut feed = drill.world.backup.as_ref().unwrap().run(order, folder.path().to_owned());
    for _ in 0..4 {
        feed.next().await.unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "it is under way");
    drop(feed);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a cancelled dump is gone");
    let began = drill.clock.now();
    let proof = drill.back_up(folder.path()).await;
    assert!(drill.clock.now().duration_since(began).as_secs() <= 8);
    let file = folder.path().join(proof.file.as_str());
    assert_eq!(std::fs::metadata(&file).unwrap().len(), proof.bytes);
    assert!(folder.path().join(format!("{}.json", proof.file)).exists());
    assert_eq!(proof.rows.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_image_is_not_pulled_and_the_old_pods_stay() {
    let drill = Drill::open("slow-burn");
    let container = drill.scenario.place.container.clone();
    let image = "ghcr.io/berriai/litellm:v9.9.9".parse().unwrap();
    drill.change_guarded(ChangeKind::SetImage { container, image }).await;
    assert_eq!(drill.wait_for_rollout(20).await, None);
    let pods = drill.pods().await;
    assert_eq!(pods.iter().filter(|pod| pod.ready()).count(), 3);
    assert!(pods.iter().any(|pod| pod.waiting().is_some_and(|why| why.as_str() == "ImagePullBackOff")));
}

#[tokio::test(start_paused = true)]
async fn a_backup_is_restored_beside_the_drills_database_and_only_once() {
    let drill = Drill::open("schema-trap");
    let folder = tempfile::tempdir().unwrap();
    let port = drill.world.backup.as_ref().unwrap();
    let wish = RestoreWish { dump: None, into: None, at: drill.clock.now() };
    let folders = || vec![folder.path().to_owned()];
    assert_eq!(port.plan_restore(wish.clone(), folders()).await.unwrap_err().kind, TroubleKind::NotFound);
    let proof = drill.back_up(folder.path()).await;
    let plan = port.plan_restore(wish.clone(), folders()).await.unwrap();
    assert_eq!(plan.dumps[0].proof.sha256, proof.sha256);
    let order = RestoreOrder { dump: plan.dumps[0].path.clone(), into: plan.into.clone() };

    let stop = CancellationToken::new();
    let mut feed = port.restore(order.clone(), stop.clone());
    feed.next().await.unwrap();
    stop.cancel();
    let Some(RestoreItem::Failed(why)) = feed.next().await else { panic!("it went on") };
    assert_eq!(why.kind, TroubleKind::Cancelled);
    assert_eq!(port.remnant(plan.into.clone()).await.unwrap(), None);
    // Once it is made, it is incomplete until its end, and goes when the restore is cancelled.
    let stop = CancellationToken::new();
    let mut feed = port.restore(order.clone(), stop.clone());
    while port.remnant(plan.into.clone()).await.unwrap().is_none() {
        feed.next().await.unwrap();
    }
    let other = RestoreWish { into: "other".parse().ok(), ..wish.clone() };
    let left = port.plan_restore(other, folders()).await.unwrap().left;
    assert!(left.len() == 1 && left[0].is_incomplete(), "{left:?}");
    stop.cancel();
    let Some(RestoreItem::Failed(why)) = feed.next().await else { panic!("it went on") };
    assert!(why.what.as_str().contains("was taken away again"), "{}", why.what);
    assert_eq!(port.remnant(plan.into.clone()).await.unwrap(), None);

    let items: Vec<_> = port.restore(order.clone(), CancellationToken::new()).collect().await;
    let Some(RestoreItem::Restored(restored)) = items.last() else { panic!("{items:?}") };
    assert_eq!(restored.tables, proof.rows.len() as u64);
    let newer = restored.differences.as_ref().unwrap();
    assert!(newer.len() == 1 && newer[0].newer.as_ref().unwrap().rows > 0, "{newer:?}");
    assert!(port.remnant(plan.into.clone()).await.unwrap().is_some());
    let wish = RestoreWish { into: Some(plan.into), ..wish };
    assert_eq!(port.plan_restore(wish, folders()).await.unwrap_err().kind, TroubleKind::Refused);
    std::fs::write(&order.dump, "another").unwrap();
    let order = RestoreOrder { into: "other".parse().unwrap(), ..order };
    let Some(RestoreItem::Failed(why)) = port.restore(order, CancellationToken::new()).next().await else {
        panic!("a tampered dump was restored")
    };
    assert_eq!(why.kind, TroubleKind::Changed);
}
