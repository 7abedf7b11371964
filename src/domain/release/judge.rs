//! What stands against a rollback of a release, and what must be known before it: pure judgement
//! over the current record, the target's record and what is live. The rules are Helm's own
//! (`pkg/action/rollback.go` of v3.21.4 and v4.2.4) and those of its known traps.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::domain::change::unreadable_remedy;
use crate::domain::cluster::Field;
use crate::domain::encrypted::{self, Newer, Reads};
use crate::domain::forecast::{self, DISABLE_SCHEMA_UPDATE, Forecast, forecast, forecast_job};
use crate::domain::image::Image;
use crate::domain::name::ContextName;
use crate::domain::release::candidate::never;
use crate::domain::release::{
    ApplyMethod, History, Hook, ManifestObject, ObjectChange, Release, ReleaseStatus, Writer, disagreements,
    manifest_diff,
};
use crate::domain::rollback;
use crate::domain::span;
use crate::domain::workload::{FieldChange, Template, Workload};
use crate::text::Clean;

/// A pending operation younger than this may belong to a client that lives: five minutes are
/// Helm's own default for `--timeout`.
const MAY_LIVE: SignedDuration = SignedDuration::from_mins(5);

/// How much a concern weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gravity {
    /// The rollback is refused.
    Refuses,
    /// It must be known before the rollback.
    Warns,
}

/// One thing to know before a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Concern {
    /// Which rule, in one word for programs.
    pub id: &'static str,
    /// How much it weighs.
    pub gravity: Gravity,
    /// What was found.
    pub what: Clean,
    /// What it leads to.
    pub consequence: Clean,
    /// What to do.
    pub remedy: Clean,
}

/// What the judgement rests on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The release's revisions.
    pub history: &'a History,
    /// The record of the newest one.
    pub current: &'a Release,
    /// The record to go back to.
    pub target: &'a Release,
    /// The Deployment that is to be well again.
    pub workload: &'a Workload,
    /// What a forecast of pods and Jobs rests on.
    pub forecast: &'a forecast::Facts<'a>,
    /// The kube context, for commands.
    pub context: Option<&'a ContextName>,
    /// Now.
    pub now: Timestamp,
}

fn refuses(id: &'static str, what: Clean, consequence: Clean, remedy: Clean) -> Concern {
    Concern { id, gravity: Gravity::Refuses, what, consequence, remedy }
}

fn warns(id: &'static str, what: Clean, consequence: Clean, remedy: Clean) -> Concern {
    Concern { id, gravity: Gravity::Warns, what, consequence, remedy }
}

/// Everything that is known against going back to the target: what refuses it first.
pub fn concerns(facts: &Facts<'_>) -> Vec<Concern> {
    let mut found = Vec::new();
    found.extend(of_status(facts));
    found.extend(pending(facts));
    found.extend(unserved(facts));
    found.extend(deployment(facts));
    found.extend(paused(facts));
    found.extend(running_job(facts));
    found.extend(pods_may_drop(facts));
    found.extend(unreadable(facts));
    found.extend(facts.target.jobs().filter_map(|job| of_job(facts, job)));
    found.extend(facts.target.hooks.iter().filter(|hook| hook.at_rollback()).map(|hook| of_hook(facts, hook)));
    found.extend(replicas(facts));
    found.extend(deleted(facts));
    found.extend(server_side(facts));
    found.extend(drift(facts));
    found.sort_by_key(|concern| concern.gravity);
    found
}

/// Only a revision that was rolled out to its end once is gone back to.
fn of_status(facts: &Facts<'_>) -> Option<Concern> {
    let (target, current) = (facts.target, facts.current);
    if target.revision == current.revision {
        return Some(refuses(
            "target-status",
            say!("revision {} is the newest of {}", target.revision, target.name),
            Clean::ours("there would be nothing to go back from"),
            Clean::ours("choose an older one"),
        ));
    }
    let failed = target.status.was_good() && target.never_came_through();
    (!target.status.was_good() || failed).then(|| {
        refuses(
            "target-status",
            match failed {
                true => say!("revision {} of {}: {}", target.revision, target.name, never(target)),
                false => say!("revision {} of {} is {}", target.revision, target.name, target.status.word()),
            },
            Clean::ours("it was never rolled out to its end, so nobody knows that it works"),
            Clean::ours("choose one that is superseded or deployed"),
        )
    })
}

/// An operation of Helm that has begun and not ended. Helm keeps no lease: its client is dead, or
/// is a CI job that still works.
fn pending(facts: &Facts<'_>) -> Option<Concern> {
    let row = &facts.history.current;
    if !row.status.pending() {
        return None;
    }
    let age = row.touched().map(|at| facts.now.duration_since(at).max(SignedDuration::ZERO));
    let since = age.map_or(Clean::ours("for nobody knows how long"), |age| say!("for {}", span::short(age)));
    let job = facts.workload.jobs.iter().flatten().find(|job| job.active);
    let job = job.map_or(Clean::default(), |job| say!("; Job {} is active", job.name));
    let what = say!("revision {} has been {} {}{}", row.revision, row.status.word(), since, job);
    if row.status == ReleaseStatus::PendingInstall && facts.history.older.is_empty() {
        return Some(refuses(
            "pending",
            what,
            Clean::ours("there is no revision to go back to"),
            say!("uninstall it by hand: helm uninstall {}", facts.history.release),
        ));
    }
    let young = age.is_none_or(|age| age < MAY_LIVE);
    Some(if young {
        refuses(
            "pending",
            what,
            Clean::ours("its client may still work: two of them at once leave the release in pieces"),
            say!("end the client or the CI job that runs it; from {} on it counts as dead", span::short(MAY_LIVE)),
        )
    } else {
        warns(
            "pending",
            what,
            Clean::ours("`helm upgrade` is refused until a rollback ends it (helm/helm#8987)"),
            Clean::ours("make sure that no CI job works on it; then roll back to the last good revision"),
        )
    })
}

/// Kinds that the server does not serve: Helm stops half way, and the release stays pending.
fn unserved(facts: &Facts<'_>) -> Option<Concern> {
    let [current, target] = [facts.current, facts.target].map(|release| release.unserved.as_deref());
    let (Some(current), Some(target)) = (current, target) else {
        return Some(warns(
            "api-versions",
            Clean::ours("the API server does not tell which kinds it serves"),
            Clean::ours("a removed API version stops Helm half way and leaves the release pending-rollback"),
            Clean::ours("compare the manifest with `kubectl api-resources`"),
        ));
    };
    let first = target.iter().chain(current).next()?;
    Some(refuses(
        "api-versions",
        say!("the API server does not serve {}, which a manifest of the release holds", first),
        Clean::ours("Helm stops with `unable to build kubernetes objects` and leaves the release pending-rollback"),
        Clean::ours("rewrite the stored manifests with the plugin helm-mapkubeapis, or upgrade with a chart of today"),
    ))
}

/// The Deployment must be in the target, or the rollback deletes it.
fn deployment(facts: &Facts<'_>) -> Option<Concern> {
    let reference = &facts.workload.reference;
    let there = facts.target.deployment(reference).is_some_and(|object| object.template.is_some());
    (!there).then(|| {
        refuses(
            "deployment",
            say!("revision {} has no {}", facts.target.revision, reference),
            Clean::ours("the rollback would delete it"),
            Clean::ours("choose a revision that has it"),
        )
    })
}

fn pods_may_drop(facts: &Facts<'_>) -> Option<Concern> {
    let template = facts.target.deployment(&facts.workload.reference)?.template.as_ref()?;
    let why = stopped(&forecast(template, facts.forecast))?;
    Some(refuses(
        "schema",
        say!("the pods of revision {}: {}", facts.target.revision, why),
        Clean::ours("Helm copies the old manifest as it is: nothing can be added to it"),
        upgrade_or_wait(facts),
    ))
}

/// A paused Deployment rolls nothing out, so Helm would wait for its pods in vain.
fn paused(facts: &Facts<'_>) -> Option<Concern> {
    let reference = &facts.workload.reference;
    facts.workload.paused.then(|| {
        refuses(
            "paused",
            say!("{} is paused", reference),
            Clean::ours("helm would wait for its pods in vain, and the release would fail"),
            say!("kubectl -n {} rollout resume {}", reference.namespace, reference),
        )
    })
}

/// A migration Job that runs beside the rollback, or may.
fn running_job(facts: &Facts<'_>) -> Option<Concern> {
    let ignores = || say!("a Job ignores {}", DISABLE_SCHEMA_UPDATE);
    let Some(jobs) = &facts.workload.jobs else {
        return Some(refuses(
            "jobs",
            Clean::ours("migration Jobs could not be listed"),
            ignores(),
            Clean::ours("ask for the permission `list jobs.batch` in this namespace"),
        ));
    };
    let job = jobs.iter().find(|job| job.active)?;
    Some(refuses(
        "jobs",
        say!("the migration Job {} is running", job.name),
        ignores(),
        Clean::ours("wait for it, or suspend it"),
    ))
}

/// Stored values that the target's image cannot read.
fn unreadable(facts: &Facts<'_>) -> Option<Concern> {
    let image = facts.target.image(&facts.workload.reference)?;
    let live = facts.workload.template.main().map(|container| &container.image);
    if live == Some(image) || encrypted::reads(image) == Reads::Yes {
        return None;
    }
    let places = facts.forecast.newer.iter().map(Newer::words).reduce(|all, each| say!("{}, {}", all, each))?;
    Some(refuses(
        "unreadable",
        say!("values are encrypted as {} ({})", Clean::ours(encrypted::MARK), places),
        say!("{} cannot read them, or nobody knows whether it can", image),
        unreadable_remedy(),
    ))
}

/// What the guard stops, in one sentence.
fn stopped(forecast: &Forecast) -> Option<Clean> {
    forecast.stopped().map(|_| forecast.sentence())
}

/// What a Job with this template may do: nothing in its environment counts. A Job without the
/// gateway's image does nothing to its schema.
fn job_stopped(template: &Template, facts: &Facts<'_>) -> Option<Clean> {
    stopped(&forecast_job(gateway_image(template)?, facts.forecast))
}

fn gateway_image(template: &Template) -> Option<&Image> {
    forecast::gateway_containers(template).next().map(|container| &container.image)
}

/// A Job that is no hook, as the migration Job of LiteLLM's chart is by default: it collides with
/// the one that is there (`field is immutable`, BerriAI/litellm#8593), or runs again with the old
/// image. It sets `DISABLE_SCHEMA_UPDATE=false` for itself.
fn of_job(facts: &Facts<'_>, job: &ManifestObject) -> Option<Concern> {
    let template = job.template.as_ref()?;
    let revision = facts.target.revision;
    let jobs = facts.workload.jobs.as_ref();
    let there = jobs.map(|jobs| jobs.iter().any(|live| live.name.as_str() == job.key.name.as_str()));
    let before = facts.current.jobs().find(|other| other.key == job.key);
    let same = before.is_some_and(|other| other.template == job.template);
    match (there, job_stopped(template, facts)) {
        (Some(true), _) if same => None,
        (Some(true), _) => Some(refuses(
            "migration-job",
            say!("{} of revision {} differs from the Job that is there", job.key, revision),
            Clean::ours("Kubernetes answers `field is immutable`, and the rollback fails half way"),
            upgrade_or_wait(facts),
        )),
        (_, Some(why)) => Some(refuses(
            "migration-job",
            say!("Helm creates {} of revision {} again: {}", job.key, revision, why),
            say!("a Job of the chart forces {}=false", DISABLE_SCHEMA_UPDATE),
            upgrade_or_wait(facts),
        )),
        (_, None) => Some(warns(
            "migration-job",
            say!("Helm creates {} of revision {} again, with its image", job.key, revision),
            Clean::ours("it migrates the database beside the pods"),
            Clean::ours("watch its log"),
        )),
    }
}

/// A hook of the target: it runs with the old image and knows nothing of newer migrations.
fn of_hook(facts: &Facts<'_>, hook: &Hook) -> Concern {
    let events = hook.events.iter().cloned().reduce(|all, event| say!("{}, {}", all, event)).unwrap_or_default();
    let image = hook.template.as_ref().and_then(Template::main).map(|container| &container.image);
    let with = image.map_or(Clean::default(), |image| say!(" with {}", image));
    let what = say!(
        "{}/{} of revision {} runs at the rollback{} ({})",
        hook.kind,
        hook.name,
        facts.target.revision,
        with,
        events
    );
    match hook.template.as_ref().and_then(|template| job_stopped(template, facts)) {
        Some(why) => refuses("hooks", what, why, upgrade_or_wait(facts)),
        None => warns(
            "hooks",
            what,
            Clean::ours("when it fails, Helm stops and the release stays pending-rollback"),
            Clean::ours("read what it does before you send the rollback"),
        ),
    }
}

/// `spec.replicas` in one of the two manifests only: Helm sends `replicas: null`, which is one
/// pod, or takes the number away from an autoscaler (helm/helm#12650, #12486).
fn replicas(facts: &Facts<'_>) -> Option<Concern> {
    let of = |release: &Release| release.deployment(&facts.workload.reference).map(|object| object.replicas);
    let live = facts.workload.numbers.wanted.unwrap_or(1);
    let scale = say!(
        "kubectl -n {} scale {} --replicas={}",
        facts.workload.reference.namespace,
        facts.workload.reference,
        live
    );
    match (of(facts.current)?, of(facts.target)?) {
        (Some(_), None) => Some(warns(
            "replicas",
            say!(
                "revision {} sets no replicas, because it has an autoscaler; the current one does",
                facts.target.revision
            ),
            say!("Helm sends `replicas: null`: {} pods become 1 until the autoscaler acts", live),
            say!("be ready to scale: {}", scale),
        )),
        (None, Some(wanted)) if wanted != live => Some(warns(
            "replicas",
            say!(
                "revision {} sets {} replicas; the current one leaves them to an autoscaler",
                facts.target.revision,
                wanted
            ),
            say!("{} pods become {}", live, wanted),
            say!("be ready to scale: {}", scale),
        )),
        (Some(_), Some(wanted)) if wanted != live => Some(warns(
            "replicas",
            say!("revision {} sets {} replicas, and {} are wanted now", facts.target.revision, wanted, live),
            say!("{} pods become {}", live, wanted),
            say!("be ready to scale: {}", scale),
        )),
        _ => None,
    }
}

/// Objects of the current revision that the target does not have are deleted.
fn deleted(facts: &Facts<'_>) -> Option<Concern> {
    let gone = manifest_diff(facts.current, facts.target).into_iter().filter_map(|change| match change {
        ObjectChange::Deletes { object, keeps: false } => Some(say!("{}", object)),
        _ => None,
    });
    let names = gone.reduce(|all, name| say!("{}, {}", all, name))?;
    Some(warns(
        "deletes",
        say!("not in revision {}: {}", facts.target.revision, names),
        Clean::ours("Helm deletes them"),
        Clean::ours("annotate what must stay in the release with helm.sh/resource-policy: keep first"),
    ))
}

/// Server-side apply: what other managers own stays or conflicts (rancher/fleet#4879,
/// microsoft/Docker-Provider#1667).
fn server_side(facts: &Facts<'_>) -> Option<Concern> {
    let what = match &facts.target.apply {
        ApplyMethod::ClientSide => return None,
        ApplyMethod::ServerSide => say!("revision {} is sent by server-side apply (Helm 4)", facts.target.revision),
        ApplyMethod::Unknown(word) => say!("nobody knows how revision {} is sent: {}", facts.target.revision, word),
    };
    let written = || facts.history.writers.iter().flatten().flat_map(|by| by.fields.iter().map(move |at| (by, at)));
    if let Some((by, field)) = written().find(|(_, field)| clashes(facts, field.as_str())) {
        return Some(refuses(
            "server-side-apply",
            say!("{}, and {} has written {}, which it sets otherwise", what, by.who, field),
            Clean::ours("Helm answers `conflict occurred while applying object`, and the rollback fails half way"),
            say!(
                "if what {} wrote may be overwritten, send it by hand with {} --force-conflicts",
                by.who,
                rollback::plan(facts).command(facts.context)
            ),
        ));
    }
    let writers = facts.history.writers.as_ref().map_or(Clean::ours("(not known)"), |all| {
        let names = all.iter().map(|writer| writer.who.clone());
        names.reduce(|all, one| say!("{}, {}", all, one)).unwrap_or(Clean::ours("nobody else"))
    });
    Some(warns(
        "server-side-apply",
        say!("{}; fields of the template are also written by: {}", what, writers),
        Clean::ours("fields of others stay as they are, or the rollback fails with a conflict"),
        Clean::ours("compare the live template afterwards; the console never forces a conflict"),
    ))
}

/// Whether the target sets a field of somebody else to something else than what is live.
fn clashes(facts: &Facts<'_>, field: &str) -> bool {
    let Some(target) = facts.target.deployment(&facts.workload.reference) else { return false };
    if field == Writer::REPLICAS {
        return target.replicas.is_some() && target.replicas != facts.workload.numbers.wanted;
    }
    let under = |fields: &BTreeMap<Clean, Field>| -> BTreeMap<Clean, Field> {
        let inside = |path: &&Clean| {
            path.as_str().strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        fields.iter().filter(|(path, _)| inside(path)).map(|(path, value)| (path.clone(), value.clone())).collect()
    };
    let wanted = target.template.as_ref().map(|template| under(&template.fields)).unwrap_or_default();
    !wanted.is_empty() && wanted != under(&facts.workload.template.fields)
}

/// What is live and in no manifest survives.
fn drift(facts: &Facts<'_>) -> Option<Concern> {
    let manifest = facts.current.deployment(&facts.workload.reference)?.template.as_ref()?;
    let found = disagreements(&facts.workload.template, manifest);
    let first = found.first()?;
    let more = if found.len() > 1 { say!(", and {} more", found.len() - 1) } else { Clean::default() };
    Some(warns(
        "drift",
        say!("{} is not what revision {} says: {}{}", facts.workload.reference, facts.current.revision, first, more),
        Clean::ours("what is in no manifest survives a rollback (helm/helm#13346)"),
        Clean::ours(
            "the live template is compared with the target after the rollback, and what is left is written down",
        ),
    ))
}

/// The command, or why Helm would refuse that as well.
fn upgrade_or_wait(facts: &Facts<'_>) -> Clean {
    if facts.history.current.status.pending() {
        return say!(
            "choose a revision whose pods have {}=true; Helm refuses an upgrade while revision {} is pending",
            DISABLE_SCHEMA_UPDATE,
            facts.history.current.revision
        );
    }
    say!(
        "upgrade to the old image with the schema left alone; {}; then: {}",
        chart_words(facts.target),
        hands_off_upgrade(facts.target, facts.workload, facts.context)
    )
}

/// Where LiteLLM's own chart is published (LiteLLM documentation, "Docker, Helm, Terraform").
const LITELLM_CHART: &str = "oci://ghcr.io/berriai/litellm-helm";

/// LiteLLM's own chart, by its name: the record holds no more than that.
fn published(target: &Release) -> bool {
    target.chart.name.as_str() == "litellm-helm"
}

/// Which chart the command needs, and that nothing says where it lies: Helm keeps a chart's name
/// and version, and never the folder, repository or registry that it was installed from.
fn chart_words(target: &Release) -> Clean {
    let chart = &target.chart;
    if published(target) {
        return say!(
            "the record names chart {} {}, not where it came from: the command takes the published one, replace it if yours is another",
            chart.name,
            chart.version
        );
    }
    say!(
        "the record names chart {} {}, not where it came from: put its folder, archive or address into CHART first, and see whether its values have the names that the command sets",
        chart.name,
        chart.version
    )
}

/// The `helm upgrade` that goes back to a revision's values and image, and keeps pods and Job off
/// the schema. Only a person sends it: it renders a chart, which the record does not lead to.
pub fn hands_off_upgrade(target: &Release, workload: &Workload, context: Option<&ContextName>) -> Clean {
    let place = place(target, context);
    // Unset, the variable is an empty word: helm refuses it, and nothing is sent.
    let chart = Clean::ours(if published(target) { LITELLM_CHART } else { "\"$CHART\"" });
    let tag = target.image(&workload.reference).and_then(|image| image.tag().map(ToOwned::to_owned));
    let image = match target.image(&workload.reference) {
        Some(image) if tag.is_some() => say!(" --set-string image.tag={}", image_tag(image)),
        _ => Clean::default(),
    };
    say!(
        "helm get values {} --revision {}{} -o yaml | helm upgrade {} {} --version {}{} -f -{} --set-string envVars.{}=true --set migrationJob.enabled=false --wait --timeout 10m --history-max 0",
        target.name,
        target.revision,
        place,
        target.name,
        chart,
        target.chart.version,
        place,
        image,
        DISABLE_SCHEMA_UPDATE
    )
}

fn image_tag(image: &crate::domain::image::Image) -> Clean {
    let whole = say!("{}", image);
    let from =
        image.tag().and_then(|tag| whole.as_str().find(&format!(":{tag}")).map(|at| (at + 1, at + 1 + tag.len())));
    from.and_then(|(from, to)| whole.slice(from..to)).unwrap_or(whole)
}

fn place(release: &Release, context: Option<&ContextName>) -> Clean {
    let context = context
        .map_or(Clean::default(), |context| say!(" --kube-context '{}'", say!("{}", context).in_single_quotes()));
    say!(" -n {}{}", release.namespace, context)
}

/// What a rollback changes, for the review: values first, then objects.
pub fn review_lines(current: &Release, target: &Release) -> Vec<FieldChange> {
    let objects = manifest_diff(current, target);
    let values = super::values_diff(current, target).into_iter();
    let values = values.map(|change| FieldChange { path: say!("values {}", change.path), ..change });
    values.chain(objects.iter().flat_map(ObjectChange::lines)).collect()
}
