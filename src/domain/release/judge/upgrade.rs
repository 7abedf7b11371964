//! The way back that keeps its hands off the schema: not a rollback, but an upgrade to the old
//! image and values.

use super::Facts;
use crate::domain::forecast::{DISABLE_SCHEMA_UPDATE, Way};
use crate::domain::image::Image;
use crate::domain::name::ContextName;
use crate::domain::release::Release;
use crate::domain::settings::{DISABLE_PRISMA_SCHEMA_UPDATE, SchemaSwitch};
use crate::text::Clean;

/// What to do about pods of the target that may drop columns: nothing can be added to a manifest
/// that Helm copies, but an upgrade can set what keeps them from it.
pub fn pods_way(facts: &Facts<'_>, way: &Way) -> Clean {
    let by_file = matches!(facts.switch, SchemaSwitch::On(_));
    if way.protect_helps || by_file { upgrade_or_wait(facts) } else { way.remedy.clone() }
}

/// The command, or why Helm would refuse that as well.
pub(super) fn upgrade_or_wait(facts: &Facts<'_>) -> Clean {
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
        hands_off_upgrade(facts)
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
/// the schema. The names of the values are those of LiteLLM's own chart. Only a person sends it: it renders a chart, which the record does not lead to.
fn hands_off_upgrade(facts: &Facts<'_>) -> Clean {
    let (target, workload) = (facts.target, facts.workload);
    let place = place(target, facts.context);
    // Unset, the variable is an empty word: helm refuses it, and nothing is sent.
    let chart = Clean::ours(if published(target) { LITELLM_CHART } else { "\"$CHART\"" });
    let tag = target.image(&workload.reference).and_then(|image| image.tag().map(ToOwned::to_owned));
    let image = match target.image(&workload.reference) {
        Some(image) if tag.is_some() => say!(" --set-string image.tag={}", image_tag(image)),
        _ => Clean::default(),
    };
    // The configuration file comes before the variable.
    let file = match facts.switch {
        SchemaSwitch::Unset | SchemaSwitch::Off(_) => Clean::default(),
        SchemaSwitch::On(_) | SchemaSwitch::Unknown(_) => {
            say!(" --set proxy_config.general_settings.{}=true", Clean::ours(DISABLE_PRISMA_SCHEMA_UPDATE))
        }
    };
    say!(
        "helm get values {} --revision {}{} -o yaml | helm upgrade {} {} --version {}{} -f -{} --set-string envVars.{}=true{} --set migrationJob.enabled=false --wait --timeout 10m --history-max 0",
        target.name,
        target.revision,
        place,
        target.name,
        chart,
        target.chart.version,
        place,
        image,
        DISABLE_SCHEMA_UPDATE,
        file
    )
}

fn image_tag(image: &Image) -> Clean {
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
