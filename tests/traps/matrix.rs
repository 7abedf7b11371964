//! The matrix: each trap of a rollback, and the tests that walk into it.
//!
//! A row names the tests that see the console stop, warn, or come through. They are looked up by
//! `every_row_is_held_by_a_test_that_exists`, so a row cannot outlive its test.

use std::path::Path;

/// One trap: what it is about, what happens to whoever walks into it, and where that is tried.
pub struct Trap {
    about: &'static str,
    trap: &'static str,
    held: &'static [&'static str],
}

/// `file::test`, with the file below the root of the project.
const MATRIX: &[Trap] = &[
    // ---------------------------------------------------------------- Helm: records
    Trap {
        about: "helm: records",
        trap: "records in ConfigMaps, compressed or not, with empty times and unknown words",
        held: &[
            "src/world/kubernetes/record.rs::records_are_read_in_every_wrapping",
            "src/world/kubernetes/record.rs::what_either_helm_writes_is_read",
            "tests/yard/records.rs::records_are_built_as_helm_writes_them",
            "src/world/kubernetes/record.rs::helm_4_and_unknown_words_are_told",
            "src/world/kubernetes/releases.rs::labels_tell_a_row_and_what_is_no_record_is_none",
            "src/domain/release/tests.rs::helms_words_for_a_status_are_read_and_written",
            "tests/helm.rs::records_are_read",
            "tests/helm.rs::a_large_record_is_read",
        ],
    },
    Trap {
        about: "helm: records",
        trap: "values and manifests hold secrets",
        held: &["src/world/kubernetes/record.rs::a_record_says_what_a_rollback_must_know_and_no_secret"],
    },
    // ---------------------------------------------------------------- Helm: what a rollback does
    Trap {
        about: "helm: rollback",
        trap: "without a revision Helm goes one back, to one that failed",
        held: &[
            "src/domain/release/tests.rs::the_last_good_one_is_not_the_one_before",
            "src/domain/release/tests.rs::only_what_was_good_once_is_gone_back_to",
            "src/domain/release/tests.rs::a_good_target_is_let_through_by_its_number",
            "tests/flows/helm.rs::pending_helm_by_keys",
            "tests/helm.rs::a_rollback_is_sent_once_and_proved",
        ],
    },
    Trap {
        about: "helm: rollback",
        trap: "a rollback that fails marks the upgrade before it, which failed too, as superseded",
        held: &[
            "src/domain/release/tests.rs::only_what_was_good_once_is_gone_back_to",
            "tests/helm.rs::a_failed_rollback_makes_no_revision_good",
        ],
    },
    Trap {
        about: "helm: rollback",
        trap: "a manifest holds its own ConfigMaps, Secrets and keys; what lies outside it stays",
        held: &["tests/helm.rs::what_lies_outside_the_release_is_told"],
    },
    Trap {
        about: "helm: rollback",
        trap: "it says success before the pods are ready, and under a dry run too",
        held: &[
            "src/domain/release/tests.rs::only_the_record_says_that_it_was_done",
            "tests/sandbox.rs::a_rollback_of_the_release_is_pending_until_its_pods_are_ready",
        ],
    },
    Trap {
        about: "helm: rollback",
        trap: "a kind that is not served any more leaves the release pending",
        held: &["src/domain/release/tests.rs::what_goes_what_stays_and_what_is_not_served_is_told"],
    },
    Trap {
        about: "helm: rollback",
        trap: "killing the program leaves the release pending",
        held: &[
            "tests/flows/helm.rs::a_rollback_outlives_the_console",
            "tests/helm.rs::a_rollback_outlives_the_console",
        ],
    },
    Trap {
        about: "helm: pending",
        trap: "a dead client leaves a release pending for ever; a live one only looks dead",
        held: &[
            "src/domain/release/tests.rs::a_pending_operation_is_told_with_its_age_and_refused_while_its_client_may_live",
            "tests/flows/helm.rs::pending_helm_by_keys",
            "tests/helm.rs::a_killed_upgrade_is_taken_back",
            "tests/helm.rs::a_killed_installation_is_left_to_a_person",
        ],
    },
    Trap {
        about: "helm: hooks",
        trap: "hooks of a rollback are those of the target, and run its image",
        held: &[
            "src/domain/release/tests.rs::hooks_of_the_target_run_with_its_image",
            "tests/helm.rs::a_hook_that_fails_leaves_it_pending",
        ],
    },
    Trap {
        about: "helm: hooks",
        trap: "the migration Job is no hook by default: a rollback makes it again, or collides with it",
        held: &[
            "src/domain/release/tests.rs::a_migration_job_collides_or_runs_again",
            "tests/helm.rs::a_migration_job_collides",
        ],
    },
    Trap {
        about: "helm: dry run",
        trap: "Helm's own dry run sends nothing: what admission, quota or an immutable field refuses ends the rollback half way",
        held: &[
            "src/domain/release/tests.rs::what_the_api_server_says_of_a_trial_is_weighed",
            "tests/rollback.rs::a_rollback_that_would_stop_half_way_is_refused_until_it_is_repaired",
            "tests/rollback.rs::a_rollback_waits_for_its_trial",
            "tests/yard/trial.rs::what_the_server_refuses_is_found_before",
            "tests/yard/trial.rs::every_object_is_tried_as_it_will_be_sent",
        ],
    },
    Trap {
        about: "helm: dry run",
        trap: "an object of the target is in the cluster and not in the release: Helm stops there",
        held: &[
            "src/domain/release/tests.rs::an_object_of_somebody_else_stops_helm_until_4_2",
            "tests/yard/trial.rs::a_foreign_object_is_found_before",
        ],
    },
    Trap {
        about: "helm: dry run",
        trap: "an upgrade that failed leaves objects that no later revision knows: an autoscaler goes on",
        held: &["tests/yard/trial.rs::what_a_failed_upgrade_left_is_told"],
    },
    Trap {
        about: "helm: schema",
        trap: "pods or Jobs of the old manifest drop what newer versions made, and nothing can be added to it",
        held: &[
            "tests/flows/helm.rs::a_rollback_that_drops_is_sent_only_by_typing_each_name",
            "tests/flows/helm.rs::a_loss_that_was_not_accepted_to_its_end_is_not_accepted",
            "src/domain/release/tests.rs::pods_that_may_drop_columns_are_refused_with_the_upgrade_that_does_not",
            "src/domain/release/tests.rs::a_migration_job_collides_or_runs_again",
        ],
    },
    Trap {
        about: "helm: schema",
        trap: "the configuration file that a rollback brings makes the variable of its pods void",
        held: &[
            "tests/rollback.rs::the_configuration_file_of_a_target_is_read_by_whoever_judges_it",
            "tests/rollback.rs::a_rollback_waits_for_the_configuration_file",
        ],
    },
    Trap {
        about: "helm: drift",
        trap: "server-side apply keeps fields of other managers, three-way merge keeps what no manifest names",
        held: &[
            "src/domain/release/tests.rs::server_side_apply_and_drift_are_told",
            "tests/helm.rs::what_is_in_no_manifest_survives",
            "tests/helm.rs::a_field_of_somebody_else",
            "tests/yard/trial.rs::a_field_of_somebody_else_on_any_object",
        ],
    },
    Trap {
        about: "helm: drift",
        trap: "replicas that come or go between two manifests end as one pod",
        held: &[
            "src/domain/release/tests.rs::replicas_that_come_or_go_are_told",
            "tests/helm.rs::replicas_that_disappear",
        ],
    },
    Trap {
        about: "helm: drift",
        trap: "a Deployment of a release is patched behind Helm's back",
        held: &[
            "tests/decisions.rs::a_workload_of_helm_is_not_patched",
            "tests/helm.rs::pods_are_restarted_and_nothing_else_is_patched",
        ],
    },
    // ---------------------------------------------------------------- Deployments: the undo
    Trap {
        about: "deployment: undo",
        trap: "the revision before is not the last good one, and two undos end at the bad one",
        held: &[
            "tests/traps.rs::the_last_good_one_is_found_by_what_it_proved",
            "tests/flows.rs::a_revert_that_was_gone_back_from_is_not_repeated",
        ],
    },
    Trap {
        about: "deployment: undo",
        trap: "the number of the target vanishes with the undo: only its UID stays",
        held: &["tests/decisions.rs::a_revert_is_done_only_while_its_template_is_live"],
    },
    Trap {
        about: "deployment: undo",
        trap: "kubectl replaces the Deployment's annotations with those of the old ReplicaSet",
        held: &["tests/support/cluster_contract.rs::revert_contract"],
    },
    Trap {
        about: "deployment: undo",
        trap: "the sources of the target are not read yet, and silence is taken for safety",
        held: &["tests/traps.rs::nothing_is_sent_while_the_sources_of_the_target_are_not_read"],
    },
    Trap {
        about: "deployment: undo",
        trap: "only the template goes back: a ConfigMap stays as it was changed for the newer version",
        held: &[
            "tests/flows/drift.rs::config_drift_by_keys",
            "tests/flows/drift.rs::the_drifted_revert_is_sent_only_by_typing_its_name_and_crashes",
            "tests/flows/drift.rs::a_source_that_nobody_wrote_to_is_not_put_back_by_words",
            "tests/traps.rs::what_changed_since_the_target_ran_is_told_by_when",
            "tests/support/coupled_contract.rs::coupled_items",
        ],
    },
    Trap {
        about: "deployment: undo",
        trap: "a file mounted by subPath never changes in a pod that runs",
        held: &[
            "src/world/kubernetes/references.rs::every_way_to_take_from_a_source_is_found",
            "tests/traps.rs::what_changed_since_the_target_ran_is_told_by_when",
        ],
    },
    Trap {
        about: "deployment: undo",
        trap: "what the target needs is gone, or lacks a key: its pods do not start",
        held: &["tests/traps.rs::what_the_target_needs_and_is_not_there_blocks"],
    },
    Trap {
        about: "deployment: undo",
        trap: "no old ReplicaSet is kept (revisionHistoryLimit)",
        held: &["tests/traps.rs::without_an_older_revision_there_is_nothing_to_go_back_to"],
    },
    Trap {
        about: "deployment: undo",
        trap: "somebody changes the Deployment between the plan and the patch",
        held: &[
            "tests/kubernetes.rs::what_becomes_of_a_patch_is_never_guessed",
            "tests/kubernetes.rs::a_template_that_is_not_the_cleared_one_is_not_sent",
            "tests/sandbox.rs::a_change_that_was_planned_on_another_generation_is_refused",
        ],
    },
    Trap {
        about: "deployment: undo",
        trap: "a paused Deployment takes the patch and rolls nothing",
        held: &[
            "tests/support/cluster_contract.rs::other_changes",
            "tests/traps.rs::a_paused_deployment_is_left_alone",
        ],
    },
    Trap {
        about: "deployment: undo",
        trap: "a webhook that declares side effects refuses every dry run",
        held: &[
            "src/world/kubernetes/errors.rs::refusals_lead_to_different_moves",
            "tests/decisions.rs::the_preflight_dry_runs_what_is_planned_and_says_what_came_of_it",
        ],
    },
    Trap {
        about: "deployment: undo",
        trap: "Argo CD or Flux puts the bad version back",
        held: &[
            "src/world/kubernetes/objects.rs::the_strongest_owner_is_found",
            "tests/traps.rs::what_git_owns_is_not_patched",
        ],
    },
    // ---------------------------------------------------------------- Deployments: image and restart
    Trap {
        about: "deployment: image",
        trap: "the same tag leads to another image now, at worst to the bad one",
        held: &[
            "tests/traps.rs::a_tag_that_moved_is_told_and_stops_where_it_leads_to_the_live_image",
            "tests/flows/drift.rs::config_drift_by_keys",
            "tests/support/coupled_contract.rs::coupled_items",
        ],
    },
    Trap {
        about: "deployment: image",
        trap: "an image that is gone from its registry",
        held: &[
            "tests/traps.rs::an_image_that_no_pod_runs_may_be_gone",
            "tests/sandbox.rs::an_unknown_image_is_not_pulled_and_the_old_pods_stay",
        ],
    },
    // ---------------------------------------------------------------- Deployments: rollout
    Trap {
        about: "deployment: rollout",
        trap: "a rollout is called done before the controller has seen it, or while old pods are left",
        held: &[
            "src/domain/workload.rs::rollout_status_is_kubectls",
            "tests/support/cluster_contract.rs::workload_feed",
        ],
    },
    Trap {
        about: "deployment: rollout",
        trap: "a rollout that passed its deadline stays there: nothing rolls back by itself",
        held: &["tests/traps.rs::a_rollout_past_its_deadline_is_a_failure_with_a_way_out"],
    },
    Trap {
        about: "deployment: rollout",
        trap: "a quota lets no pod be made, and no pod tells of it",
        held: &["tests/traps.rs::pods_that_cannot_be_made_are_told_by_the_deployment"],
    },
    Trap {
        about: "deployment: rollout",
        trap: "an autoscaler sets the replicas, is paused, stands at its most, or leaves none",
        held: &[
            "tests/traps.rs::who_sets_the_replicas_is_told",
            "tests/flows/drift.rs::config_drift_by_keys",
            "tests/support/coupled_contract.rs::coupled_items",
        ],
    },
    // ---------------------------------------------------------------- Deployments: watching
    Trap {
        about: "deployment: watching",
        trap: "a watch ends with 410 or is cut, and the screen goes on showing yesterday",
        held: &["tests/kubernetes.rs::pods_come_back_after_every_kind_of_loss"],
    },
    Trap {
        about: "deployment: watching",
        trap: "a log is cut and lines are lost or come twice; the crash is in the run before",
        held: &[
            "tests/kubernetes.rs::a_log_that_is_cut_again_and_again_is_delivered_once",
            "tests/kubernetes.rs::a_previous_log_just_ends",
            "tests/kubernetes.rs::a_restarted_container_is_followed_into_its_next_run",
        ],
    },
    Trap {
        about: "deployment: permissions",
        trap: "a permission is missing half way, or port forwarding needs `create` beside `get`",
        held: &[
            "tests/support/cluster_contract.rs::identity_and_permissions",
            "tests/readme.rs::the_permissions_are_those_that_the_program_asks_for",
            "tests/traps.rs::a_missing_permission_is_told_with_what_it_blocks",
        ],
    },
    // ---------------------------------------------------------------- Schema: what an old image does
    Trap {
        about: "schema: start",
        trap: "1.74 and 1.75 push their own schema at every start and drop the rest",
        held: &[
            "tests/flows.rs::schema_trap_by_keys",
            "tests/flows.rs::the_trap_is_walked_into_only_by_typing_each_name",
            "tests/forecast.rs::from_1_81_0_to_versions_that_push_and_that_only_deploy",
            "src/domain/forecast/tests.rs::what_a_version_does_to_a_newer_database_follows_from_its_code_and_its_schema",
        ],
    },
    Trap {
        about: "schema: start",
        trap: "1.78.5 to 1.83.8 make the database equal to what they know, after every deploy",
        held: &[
            "tests/forecast.rs::from_the_newest_published_schema_to_older_versions",
            "src/domain/forecast/tests.rs::what_a_version_does_to_a_newer_database_follows_from_its_code_and_its_schema",
        ],
    },
    Trap {
        about: "schema: start",
        trap: "from 1.83.10 on that code sleeps, until something is pending",
        held: &["src/domain/forecast/tests.rs::something_pending_wakes_the_code_that_otherwise_sleeps"],
    },
    Trap {
        about: "schema: start",
        trap: "a database without a migration table is taken for an empty one",
        held: &["src/domain/forecast/tests.rs::without_a_migration_table_the_older_code_makes_the_database_its_own"],
    },
    Trap {
        about: "schema: start",
        trap: "an argument or a variable wakes the push on any version, or the older resolver",
        held: &[
            "src/domain/forecast/tests.rs::what_a_version_does_to_a_newer_database_follows_from_its_code_and_its_schema",
        ],
    },
    Trap {
        about: "schema: start",
        trap: "tables of other programs in the same schema go as well",
        held: &["tests/traps.rs::tables_of_other_programs_are_at_stake_too"],
    },
    Trap {
        about: "schema: guard",
        trap: "the variable must be in the template of the target, and the charts' Job sets it to false",
        held: &[
            "src/domain/change/guard/tests.rs::an_older_image_passes_only_with_its_hands_off_the_schema",
            "src/domain/forecast/tests.rs::the_worst_container_decides_and_what_helps_one_must_help_all",
            "src/domain/release/tests.rs::pods_that_may_drop_columns_are_refused_with_the_upgrade_that_does_not",
            "tests/decisions.rs::an_older_image_is_refused_until_it_is_protected",
        ],
    },
    Trap {
        about: "schema: guard",
        trap: "a later command takes the variable away again",
        held: &["src/domain/change.rs::no_command_takes_the_protection_away_again"],
    },
    Trap {
        about: "schema: guard",
        trap: "a fact is missing, and silence is taken for safety",
        held: &[
            "src/domain/forecast/tests.rs::a_missing_fact_is_no_good_news",
            "tests/decisions.rs::the_newest_image_is_unknown_while_something_that_shares_the_database_is_not_seen",
            "tests/decisions.rs::the_newest_image_is_remembered_after_its_revision_is_pruned",
            "tests/traps.rs::two_builds_without_an_order_are_both_named",
        ],
    },
    Trap {
        about: "schema: guard",
        trap: "a migration Job starts while the revert is being judged",
        held: &[
            "tests/traps.rs::a_migration_job_that_runs_stops_the_revert",
            "tests/decisions.rs::what_was_judged_is_judged_again_before_it_is_sent",
        ],
    },
    Trap {
        about: "schema: rows",
        trap: "a failed row stops every later start (P3009)",
        held: &["tests/flows.rs::failed_migration_by_keys", "tests/traps.rs::a_failed_row_is_told_before_the_revert"],
    },
    Trap {
        about: "schema: rows",
        trap: "newer rows stay after a rollback, and deleting them stops the next upgrade",
        held: &["src/domain/ledger/tests.rs::deleting_all_newer_rows_is_told_with_where_the_next_upgrade_stops"],
    },
    Trap {
        about: "schema: rows",
        trap: "the line about a schema out of sync is expected, and what it prints must not be run",
        held: &["src/domain/signature.rs::what_is_expected_after_a_rollback_never_counts"],
    },
    Trap {
        about: "schema: values",
        trap: "values in the newer encryption are lost on an older version, and the gateway stays green",
        held: &[
            "src/domain/change/guard/tests.rs::values_that_the_target_cannot_read_are_typed_as_well",
            "tests/forecast.rs::values_of_the_newer_encryption_are_counted_where_their_columns_are",
        ],
    },
    Trap {
        about: "schema: proof",
        trap: "readiness without its details names no version, and 503 means the database",
        held: &[
            "tests/gateway.rs::both_ages_tell_their_vitals_and_version",
            "tests/gateway.rs::ill_vitals_are_facts_not_troubles",
        ],
    },
];

#[test]
fn every_row_is_held_by_a_test_that_exists() {
    for row in MATRIX {
        assert!(!row.held.is_empty(), "{}: {} is held by nothing", row.about, row.trap);
        for held in row.held {
            assert!(is_a_test(held), "{}: {}: there is no test {held}", row.about, row.trap);
        }
    }
    assert!(!is_a_test("tests/traps.rs::no_such_test"));
    assert!(!is_a_test("tests/traps.rs::is_a_test"), "a function is not a test");
    assert!(!is_a_test("tests/no_such_file.rs::every_row_is_held_by_a_test_that_exists"));
}

/// Whether `file::name` is a function under `#[test]`, a contract that `tests/kubernetes.rs` runs, or
/// a promise that both versions of Helm keep.
fn is_a_test(held: &str) -> bool {
    let Some((file, name)) = held.split_once("::") else { return false };
    let read = |file: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let Ok(text) = read(file) else { return false };
    let Some(at) = text.find(&format!("fn {name}(")) else { return false };
    if file.starts_with("tests/support/") {
        return read("tests/kubernetes.rs").is_ok_and(|runs| runs.contains(name));
    }
    // What `tests/yard/` promises, `tests/helm.rs` runs.
    let Ok(run) = read(if file.starts_with("tests/yard/") { "tests/helm.rs" } else { file }) else { return false };
    let on_both = run.split_once("on_both!(").and_then(|(_, after)| after.split_once(')'));
    if on_both.is_some_and(|(promises, _)| promises.split(',').any(|promise| promise.trim() == name)) {
        return true;
    }
    let line = text[..at].rfind('\n').unwrap_or(0);
    let before: Vec<&str> = text[..line].lines().rev().take_while(|line| !line.is_empty()).collect();
    before.iter().any(|line| line.trim() == "#[test]" || line.trim().starts_with("#[tokio::test"))
}
