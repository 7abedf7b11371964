//! The rules of a rollback of a release, trap by trap.

use super::*;
use crate::domain::catalog::Catalog;
use crate::domain::forecast::{Facts as Forecasting, Newest};
use crate::domain::rollback::{HelmProgram, Outcome, clear, outcome};
use crate::domain::settings::SchemaSwitch;
use crate::domain::workload::{Container, EnvValue, EnvVar, MigrationJob, Owner, RolloutNumbers, Workload};
use crate::text::Gate;

const OLD: &str = "ghcr.io/berriai/litellm:v1.81.0";
const NEW: &str = "ghcr.io/berriai/litellm:v1.81.9";

/// A catalog that knows no version: images are judged by their age.
fn catalog() -> &'static Catalog {
    static NONE: std::sync::OnceLock<Catalog> = std::sync::OnceLock::new();
    NONE.get_or_init(Catalog::default)
}

fn revision(number: u64) -> ReleaseRevision {
    ReleaseRevision::new(number).unwrap()
}

fn reference() -> WorkloadRef {
    WorkloadRef { namespace: "llm".parse().unwrap(), name: "litellm".parse().unwrap() }
}

fn template(image: &str, env: &[(&str, &str)]) -> Template {
    let gate = Gate::default();
    let literal = |value: &str| EnvValue::Literal(Field::Shown(gate.clean(value)));
    let container = Container {
        name: "litellm".parse().unwrap(),
        image: image.parse().unwrap(),
        init: false,
        words: vec![],
        env: env.iter().map(|(name, value)| EnvVar { name: name.parse().unwrap(), value: literal(value) }).collect(),
        env_from: vec![],
    };
    let fields = BTreeMap::from([(Clean::ours("spec.containers[litellm].image"), Field::Shown(gate.clean(image)))]);
    Template { containers: vec![container], fields, ..Template::default() }
}

const OFF: &[(&str, &str)] = &[("DISABLE_SCHEMA_UPDATE", "true")];

fn object(kind: &'static str, name: &'static str, template: Option<Template>) -> ManifestObject {
    let group = match kind {
        "Deployment" => "apps",
        "Job" => "batch",
        _ => "",
    };
    let fields = template.iter().flat_map(|template| template.fields.clone()).collect();
    ManifestObject {
        key: ObjectKey { group: Clean::ours(group), kind: Clean::ours(kind), namespace: None, name: Clean::ours(name) },
        api_version: Clean::ours("v1"),
        keep: false,
        replicas: (kind == "Deployment").then_some(3),
        template,
        fields,
    }
}

fn release(number: u64, status: ReleaseStatus, image: &str, env: &[(&str, &str)]) -> Release {
    Release {
        name: "llm".parse().unwrap(),
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
        objects: vec![object("Deployment", "litellm", Some(template(image, env)))],
        hooks: vec![],
        unserved: Some(vec![]),
    }
}

fn row(number: u64, status: ReleaseStatus, minutes: i64) -> ReleaseRow {
    let at = Timestamp::from_second(1_795_000_000 - minutes * 60).unwrap();
    ReleaseRow { revision: revision(number), status, created: Some(at), modified: None }
}

fn helm(version: &'static str) -> HelmProgram {
    HelmProgram { path: Clean::ours("helm"), version: Clean::ours(version), major: 3 }
}

/// A world that may be rolled back: 5 was good, 6 failed, 7 is the newest.
struct World {
    history: History,
    current: Release,
    target: Release,
    workload: Workload,
    switch: SchemaSwitch,
    trial: Trial,
    forecast: Forecasting<'static>,
}

impl World {
    fn new() -> Self {
        let rows = vec![
            row(5, ReleaseStatus::Superseded, 9 * 24 * 60),
            row(6, ReleaseStatus::Failed, 60),
            row(7, ReleaseStatus::Deployed, 30),
        ];
        Self {
            history: History::new("llm".parse().unwrap(), Storage::Secrets, rows, Some(vec![])).unwrap(),
            current: release(7, ReleaseStatus::Deployed, NEW, OFF),
            target: release(5, ReleaseStatus::Superseded, OLD, OFF),
            workload: Workload {
                reference: reference(),
                uid: "u".parse().unwrap(),
                paused: false,
                owner: Owner::Helm { release: Clean::ours("llm") },
                numbers: RolloutNumbers { wanted: Some(3), ..RolloutNumbers::default() },
                template: template(NEW, OFF),
                revisions: vec![],
                jobs: Some(vec![]),
                conditions: vec![],
            },
            switch: SchemaSwitch::Unset,
            trial: Trial { helm: helm("v3.18.0"), tried: vec![], left_out: 0 },
            forecast: Forecasting::without_database(Newest::Known(NEW.parse().unwrap()), catalog()),
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            history: &self.history,
            current: &self.current,
            target: &self.target,
            workload: &self.workload,
            switch: self.switch.clone(),
            trial: Some(Ok(&self.trial)),
            forecast: &self.forecast,
            context: None,
            now: Timestamp::from_second(1_795_000_000).unwrap(),
        }
    }

    fn ids(&self) -> Vec<(&'static str, Gravity)> {
        concerns(&self.facts()).into_iter().map(|concern| (concern.id, concern.gravity)).collect()
    }

    fn says(&self, id: &str) -> String {
        let concerns = concerns(&self.facts());
        let found = concerns.iter().find(|concern| concern.id == id).unwrap_or_else(|| panic!("{id}: {concerns:?}"));
        format!("{}; {}; {}", found.what, found.consequence, found.remedy)
    }
}

use Gravity::{Refuses, Warns};

#[test]
fn a_good_target_is_let_through_by_its_number() {
    let world = World::new();
    assert_eq!(world.ids(), []);
    let cleared = clear(&world.facts(), None).unwrap();
    let context = "prod's".parse().unwrap();
    assert_eq!(
        cleared.rollback().command(Some(&context)).as_str(),
        r"helm rollback llm 5 -n llm --kube-context 'prod'\''s' --wait --timeout 10m --history-max 0"
    );
    let words = cleared.rollback().arguments(Some(&context));
    assert_eq!(
        words,
        [
            "rollback",
            "llm",
            "5",
            "-n",
            "llm",
            "--kube-context",
            "prod's",
            "--wait",
            "--timeout",
            "10m",
            "--history-max",
            "0"
        ]
    );
    assert_eq!(ReleaseRevision::new(0), None, "0 means the one before to Helm");
}

#[test]
fn only_what_was_good_once_is_gone_back_to() {
    let statuses = [
        (ReleaseStatus::Failed, true),
        (ReleaseStatus::PendingUpgrade, true),
        (ReleaseStatus::Uninstalled, true),
        (ReleaseStatus::Unknown(Clean::ours("odd")), true),
        (ReleaseStatus::Superseded, false),
        (ReleaseStatus::Deployed, false),
    ];
    for (status, refused) in statuses {
        let mut world = World::new();
        world.target.status = status.clone();
        assert_eq!(clear(&world.facts(), None).is_err(), refused, "{status:?}");
    }
    // A failed rollback marks the revision before it as superseded, whatever that was.
    for (words, refused) in [
        ("Upgrade \"llm\" failed: conflict occurred while applying object", true),
        ("Rollback \"llm\" failed: no HorizontalPodAutoscaler with the name \"llm\" found", true),
        ("Release \"llm\" failed: timed out", true),
        ("Preparing upgrade", true),
        ("Rollback to 3", false),
        ("the one after it failed: keep", false),
    ] {
        let mut world = World::new();
        world.target.description = Clean::ours(words);
        assert_eq!(clear(&world.facts(), None).is_err(), refused, "{words}");
        let records = BTreeMap::from([(revision(5), world.target.clone())]);
        let ranked =
            rank(&world.history, &records, &reference(), &world.forecast, |_| SchemaSwitch::Unset, world.facts().now);
        let five = ranked.iter().find(|candidate| candidate.revision == revision(5)).unwrap();
        assert_eq!(five.refused.is_some(), refused, "{words}");
    }
    let mut world = World::new();
    world.target = world.current.clone();
    assert_eq!(world.ids(), [("target-status", Refuses)]);
    world.target = release(5, ReleaseStatus::Superseded, OLD, OFF);
    world.target.objects[0].key.name = Clean::ours("another");
    assert_eq!(world.ids().first(), Some(&("deployment", Refuses)));
}

#[test]
fn pods_that_may_drop_columns_are_refused_with_the_upgrade_that_does_not() {
    let mut world = World::new();
    world.target = release(5, ReleaseStatus::Superseded, OLD, &[]);
    assert_eq!(world.ids(), [("schema", Refuses)]);
    let refusal = clear(&world.facts(), None).unwrap_err();
    assert!(!refusal.protect_helps, "a manifest cannot be patched on the way");
    let upgrade = "helm get values llm --revision 5 -n llm -o yaml | helm upgrade llm oci://ghcr.io/berriai/litellm-helm --version 1.81.0 -n llm -f - --set-string image.tag=v1.81.0 --set-string envVars.DISABLE_SCHEMA_UPDATE=true --set migrationJob.enabled=false --wait --timeout 10m --history-max 0";
    assert!(refusal.remedy.as_str().ends_with(upgrade), "{}", refusal.remedy);
    // Helm would refuse the upgrade too while an operation is pending.
    world.history.current.status = ReleaseStatus::PendingUpgrade;
    let refusal = clear(&world.facts(), None).unwrap_err();
    assert!(
        refusal.remedy.as_str().contains("Helm refuses an upgrade while revision 7 is pending"),
        "{}",
        refusal.remedy
    );
}

#[test]
fn a_migration_job_collides_or_runs_again() {
    let job = |image| object("Job", "litellm-migrations", Some(template(image, &[("DISABLE_SCHEMA_UPDATE", "false")])));
    let live = |active| vec![MigrationJob { name: "litellm-migrations".parse().unwrap(), image: None, active }];
    let mut world = World::new();
    world.target.objects.push(job(OLD));
    assert_eq!(world.ids(), [("migration-job", Refuses)], "it is created again, with the old image");
    assert!(world.says("migration-job").contains("forces DISABLE_SCHEMA_UPDATE=false"));
    world.workload.jobs = Some(live(false));
    assert!(world.says("migration-job").contains("field is immutable"));
    world.current.objects.push(job(OLD));
    assert_eq!(world.ids(), [], "the Job that is there is the same one: nothing runs");
    world.workload.jobs = None;
    assert_eq!(world.ids(), [("jobs", Refuses), ("migration-job", Refuses)], "unknown is not none");
    let mut world = World::new();
    world.target.objects.push(job(NEW));
    assert_eq!(world.ids(), [("migration-job", Warns)]);
}

#[test]
fn hooks_of_the_target_run_with_its_image() {
    let hook = |events: &[&'static str], image| Hook {
        name: Clean::ours("check"),
        kind: Clean::ours("Job"),
        events: events.iter().map(|event| Clean::ours(event)).collect(),
        template: Some(template(image, &[])),
    };
    let mut world = World::new();
    world.target.hooks = vec![hook(&["pre-install", "pre-upgrade"], OLD)];
    assert_eq!(world.ids(), [], "Helm selects hooks by exact event");
    world.target.hooks = vec![hook(&["pre-upgrade", "post-rollback"], NEW)];
    assert_eq!(world.ids(), [("hooks", Warns)]);
    world.target.hooks = vec![hook(&["pre-rollback"], OLD)];
    assert_eq!(world.ids(), [("hooks", Refuses)]);
    assert!(world.says("hooks").contains("with ghcr.io/berriai/litellm:v1.81.0"));
}

#[test]
fn replicas_that_come_or_go_are_told() {
    let mut world = World::new();
    world.target.objects[0].replicas = None;
    assert!(world.says("replicas").contains("3 pods become 1 until the autoscaler acts"));
    world.current.objects[0].replicas = None;
    assert_eq!(world.ids(), []);
    world.target.objects[0].replicas = Some(2);
    assert!(world.says("replicas").contains("3 pods become 2"));
    assert!(world.says("replicas").contains("kubectl -n llm scale deployment/litellm --replicas=3"));
}

#[test]
fn what_goes_what_stays_and_what_is_not_served_is_told() {
    let mut world = World::new();
    let kept = ManifestObject { keep: true, ..object("PersistentVolumeClaim", "data", None) };
    world.current.objects.extend([object("ConfigMap", "new-config", None), kept]);
    assert!(world.says("deletes").contains("not in revision 5: ConfigMap/new-config"));
    let lines: Vec<String> = review_lines(&world.current, &world.target)
        .iter()
        .map(|change| format!("{} {:?}", change.path, change.after))
        .collect();
    assert!(lines.contains(&r#"PersistentVolumeClaim/data Some("kept, without the release")"#.to_owned()), "{lines:?}");
    assert!(lines.contains(&"ConfigMap/new-config None".to_owned()), "{lines:?}");
    world.target.unserved = Some(vec![Clean::ours("batch/v1beta1 CronJob")]);
    assert_eq!(world.ids()[0], ("api-versions", Refuses));
    assert!(world.says("api-versions").contains("pending-rollback"));
    world.target.unserved = None;
    assert!(world.ids().contains(&("api-versions", Warns)));
}

#[test]
fn server_side_apply_and_drift_are_told() {
    let mut world = World::new();
    world.target.apply = ApplyMethod::ServerSide;
    let by = |fields: &[&'static str]| {
        let fields = fields.iter().map(|field| Clean::ours(field)).collect();
        Some(vec![Writer { who: Clean::ours("kubectl-set (Update)"), fields }])
    };
    world.history.writers = by(&["metadata.annotations.kubectl.kubernetes.io/restartedAt", Writer::REPLICAS]);
    assert_eq!(world.ids(), [("server-side-apply", Warns)], "nothing that the target sets otherwise");
    assert!(world.says("server-side-apply").contains("kubectl-set (Update)"));
    let image = "spec.containers[litellm].image";
    world.history.writers = by(&[image, Writer::REPLICAS]);
    let said = world.says("server-side-apply");
    assert!(said.contains("kubectl-set (Update): spec.containers[litellm].image and 1 more"), "{said}");
    world.target.apply = ApplyMethod::ClientSide;
    assert!(!world.ids().iter().any(|(id, _)| *id == "server-side-apply"), "patches of Helm 3 ask nobody");
    let mut world = World::new();
    world.workload.template = template(NEW, &[("DISABLE_SCHEMA_UPDATE", "true"), ("LITELLM_LOG", "DEBUG")]);
    assert!(world.says("drift").contains("variable LITELLM_LOG of litellm is not in the manifest"));
    let left = extras(&world.workload.template, &template(OLD, OFF));
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        left[0].remedy(&reference()).as_str(),
        "kubectl -n llm set env deployment/litellm -c litellm LITELLM_LOG-"
    );
    let found = disagreements(&world.workload.template, &template(OLD, OFF));
    assert!(found.contains(&left[0].words()) && found.len() == 2, "the image is no extra: {found:?}");
    world.workload.template = template(OLD, OFF);
    assert!(world.says("drift").contains("runs ghcr.io/berriai/litellm:v1.81.0"));
}

#[test]
fn a_pending_operation_is_told_with_its_age_and_refused_while_its_client_may_live() {
    let mut world = World::new();
    world.history.current = row(7, ReleaseStatus::PendingUpgrade, 12);
    assert_eq!(world.ids(), [("pending", Warns)]);
    assert!(world.says("pending").contains("revision 7 has been pending-upgrade for 12m"));
    assert!(clear(&world.facts(), None).is_ok(), "a rollback is the accepted recovery");
    world.history.current = row(7, ReleaseStatus::PendingUpgrade, 2);
    assert_eq!(world.ids(), [("pending", Refuses)]);
    world.history.current.modified = Timestamp::from_second(1_795_000_000).ok();
    assert!(world.says("pending").contains("for 0s"));
    world.history.current = ReleaseRow { created: None, modified: None, ..row(7, ReleaseStatus::PendingRollback, 99) };
    assert_eq!(world.ids(), [("pending", Refuses)], "an unknown age is not an old one");
    let alone = vec![row(1, ReleaseStatus::PendingInstall, 99)];
    world.history = History::new("llm".parse().unwrap(), Storage::Secrets, alone, None).unwrap();
    assert!(world.says("pending").contains("helm uninstall llm"));
}

#[test]
fn the_last_good_one_is_not_the_one_before() {
    let world = World::new();
    let mut records = BTreeMap::from([(revision(5), world.target.clone()), (revision(7), world.current.clone())]);
    let now = world.facts().now;
    let ranked = rank(&world.history, &records, &reference(), &world.forecast, |_| SchemaSwitch::Unset, now);
    let shown: Vec<(u32, bool)> = ranked.iter().map(|one| (one.revision.get(), one.refused.is_some())).collect();
    assert_eq!(shown, [(5, false), (6, true)]);
    // Somebody rolled back away from 8: 7 holds the good one again.
    let rows = vec![
        row(5, ReleaseStatus::Superseded, 3000),
        row(6, ReleaseStatus::Superseded, 2000),
        row(7, ReleaseStatus::Superseded, 1000),
        row(8, ReleaseStatus::Deployed, 10),
    ];
    let history = History::new("llm".parse().unwrap(), Storage::Secrets, rows, None).unwrap();
    let back = Release { description: Clean::ours("Rollback to 5"), ..release(7, ReleaseStatus::Superseded, OLD, OFF) };
    records.insert(revision(7), back);
    records.insert(revision(6), release(6, ReleaseStatus::Superseded, NEW, OFF));
    let ranked = rank(&history, &records, &reference(), &world.forecast, |_| SchemaSwitch::Unset, now);
    let order: Vec<u32> = ranked.iter().map(|one| one.revision.get()).collect();
    assert_eq!(order.last(), Some(&6), "{ranked:?}");
}

#[test]
fn only_the_record_says_that_it_was_done() {
    let back = Clean::ours("Rollback to 5");
    let to = revision(5);
    assert_eq!(outcome(to, None), Outcome::NotBegun);
    assert_eq!(outcome(to, Some((&ReleaseStatus::Deployed, &back))), Outcome::Done);
    assert_eq!(outcome(to, Some((&ReleaseStatus::PendingRollback, &back))), Outcome::Running);
    assert!(matches!(outcome(to, Some((&ReleaseStatus::Failed, &back))), Outcome::Failed(_)));
    let other = Clean::ours("Upgrade complete");
    assert!(matches!(outcome(to, Some((&ReleaseStatus::Deployed, &other))), Outcome::Another(_)));
    assert!(matches!(outcome(to, Some((&ReleaseStatus::Superseded, &back))), Outcome::Another(_)));
}

#[test]
fn helms_words_for_a_status_are_read_and_written() {
    for word in [
        "deployed",
        "superseded",
        "failed",
        "uninstalled",
        "uninstalling",
        "pending-install",
        "pending-upgrade",
        "pending-rollback",
        "unknown",
        "something-new",
    ] {
        assert_eq!(ReleaseStatus::of(&Clean::ours(word)).word().as_str(), word);
    }
    assert_eq!(ReleaseStatus::of(&Clean::default()).word().as_str(), "unknown");
}

#[test]
fn what_the_api_server_says_of_a_trial_is_weighed() {
    let key = |kind, name| object(kind, name, None).key;
    let tried = |kind, does, verdict| Tried { object: key(kind, "gw"), does, foreign: false, verdict };
    let mut world = World::new();
    let refused = || Verdict::Refused(Clean::ours("field is immutable"));
    world.trial.tried = vec![
        tried("Deployment", Does::Patches, Verdict::Passes),
        tried("ConfigMap", Does::Patches, refused()),
        tried("Service", Does::Patches, refused()),
    ];
    assert_eq!(world.ids(), [("dry-run", Refuses)]);
    let said = world.says("dry-run");
    let whole = "the API server refuses ConfigMap/gw of revision 5: field is immutable (the same of Service/gw)";
    assert!(said.starts_with(whole), "{said}");
    assert!(world.trial.stopped().unwrap().as_str().starts_with("ConfigMap/gw: "));
    // What Helm may not delete stays: before 4.2 it goes on.
    world.trial.tried = vec![tried("Service", Does::Deletes, refused())];
    assert_eq!((world.ids(), world.trial.stopped()), (vec![("dry-run", Warns)], None));
    world.trial.helm = helm("v4.2.0");
    assert_eq!(world.ids(), [("dry-run", Refuses)]);
    assert!(world.trial.stopped().is_some());
    // Fields of others, on any object.
    let clash = |field| Clash { by: Clean::ours("kubectl-edit"), field: Clean::ours(field) };
    let clashes = Verdict::Conflicts(vec![clash(".spec.maxReplicas"), clash(".spec.minReplicas")]);
    world.trial.tried = vec![tried("HorizontalPodAutoscaler", Does::Patches, clashes)];
    assert_eq!(world.ids(), [("server-side-apply", Refuses)]);
    let said = world.says("server-side-apply");
    assert!(said.contains("kubectl-edit has written .spec.maxReplicas of HorizontalPodAutoscaler/gw"), "{said}");
    assert!(said.ends_with("--force-conflicts"), "{said}");
    // What could not be tried is said, and stops nothing.
    world.trial.tried = vec![tried("Secret", Does::Patches, Verdict::Untold(Clean::ours("no answer within 10 s")))];
    world.trial.left_out = 4;
    assert_eq!((world.ids(), world.trial.stopped()), (vec![("dry-run", Warns)], None));
    assert!(world.says("dry-run").contains("no answer within 10 s; 4 objects more were not tried"));
}

#[test]
fn an_object_of_somebody_else_stops_helm_until_4_2() {
    for (version, refused) in [
        ("v3.17.0", true),
        ("v3.21.4", true),
        ("v4.1.4", true),
        ("v4.2.0-rc.1", false),
        ("v4.2.4", false),
        ("v5.0.0", false),
        ("", true),
    ] {
        let mut world = World::new();
        world.trial.helm = helm(version);
        let object = object("PodDisruptionBudget", "gw", None).key;
        world.trial.tried = vec![Tried { object, does: Does::Patches, foreign: true, verdict: Verdict::Passes }];
        assert_eq!(world.ids(), [("foreign-object", if refused { Refuses } else { Warns })], "{version}");
        assert_eq!(world.trial.stopped().is_some(), refused, "{version}");
    }
}
