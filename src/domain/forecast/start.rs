//! How a container starts: whether it keeps its hands off the schema, and which code of its
//! version runs if not.

use super::Way;
use crate::domain::cluster::Field;
use crate::domain::settings::{DISABLE_PRISMA_SCHEMA_UPDATE, SchemaSwitch};
use crate::domain::workload::{Container, EnvValue, Template};
use crate::text::Clean;

/// The variable that keeps a LiteLLM pod from touching the schema when it starts.
pub const DISABLE_SCHEMA_UPDATE: &str = "DISABLE_SCHEMA_UPDATE";

/// Which code of a version runs against the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// What its pods do with no argument and no variable about it.
    Pods,
    /// The same with `--use_legacy_migration_resolver`, which brings the older code back.
    Legacy,
    /// What its migration Job does (`litellm/proxy/prisma_migration.py`), which is also what its
    /// pods do with `--use_prisma_migrate`.
    Job,
    /// `prisma migrate deploy`, called directly.
    Deploy,
    /// `prisma db push`.
    Push,
}

/// How a container starts.
pub(super) enum Start {
    /// It leaves the schema alone, and why.
    HandsOff(Clean),
    /// It writes.
    Writes {
        /// With which code.
        how: How,
        /// What lets it, after an "and".
        why: Clean,
        /// The way around.
        way: Way,
    },
}

/// Commands that migrate whatever the variable says, the most dangerous one first.
const MIGRATORS: [(&str, How); 5] = [
    ("use_prisma_db_push", How::Push),
    ("db push", How::Push),
    ("prisma_migration", How::Job),
    ("prisma migrate", How::Deploy),
    ("migrate deploy", How::Deploy),
];

/// How a container starts whose configuration file says this about the schema.
pub(super) fn start(container: &Container, switch: &SchemaSwitch) -> Start {
    if let Some((word, how)) = MIGRATORS.iter().find(|(word, _)| says(container, word)) {
        let pushes = *word == "use_prisma_db_push";
        let why = if pushes {
            say!("container {} is started with --use_prisma_db_push, which overwrites the schema", container.name)
        } else {
            say!("container {} runs migrations by itself and ignores {}", container.name, DISABLE_SCHEMA_UPDATE)
        };
        let remedy =
            if pushes { "choose a revision without that argument" } else { "choose a revision without that container" };
        return Start::Writes { how: *how, why, way: Way { remedy: Clean::ours(remedy), protect_helps: false } };
    }
    let writes = |why, remedy, protect_helps| Start::Writes {
        how: resolver(container),
        why,
        way: Way { remedy, protect_helps },
    };
    let protected = matches!(
        container.variable(DISABLE_SCHEMA_UPDATE),
        Some(EnvValue::Literal(Field::Shown(value))) if value.as_str().eq_ignore_ascii_case("true")
    );
    match switch {
        SchemaSwitch::Off(place) => {
            return Start::HandsOff(say!("{} is true ({})", Clean::ours(DISABLE_PRISMA_SCHEMA_UPDATE), place));
        }
        SchemaSwitch::On(place) => {
            let setting = Clean::ours(DISABLE_PRISMA_SCHEMA_UPDATE);
            let why = if protected {
                say!("{} is not true ({}), which makes {}=true void", setting, place, DISABLE_SCHEMA_UPDATE)
            } else {
                say!("{} is not true ({})", setting, place)
            };
            return writes(why, say!("set {} to true there, or take it out", setting), false);
        }
        SchemaSwitch::Unknown(why) if protected => {
            return writes(
                say!(
                    "whether {} in its configuration file makes {}=true void is not known: {}",
                    Clean::ours(DISABLE_PRISMA_SCHEMA_UPDATE),
                    DISABLE_SCHEMA_UPDATE,
                    why
                ),
                Clean::ours("let the console read that file: in a ConfigMap or a Secret, whole, named after --config"),
                false,
            );
        }
        SchemaSwitch::Unknown(_) | SchemaSwitch::Unset => {}
    }
    if protected {
        return Start::HandsOff(say!("container {} sets {}=true", container.name, DISABLE_SCHEMA_UPDATE));
    }
    let state = match container.variable(DISABLE_SCHEMA_UPDATE) {
        None => "does not set DISABLE_SCHEMA_UPDATE",
        Some(EnvValue::From(_)) => "takes DISABLE_SCHEMA_UPDATE from elsewhere, so its value cannot be told",
        Some(EnvValue::Literal(_)) => "sets DISABLE_SCHEMA_UPDATE to something other than true",
    };
    let why = say!("container {} {}", container.name, state);
    match switch {
        SchemaSwitch::Unknown(unread) => writes(
            say!("{}; its configuration file could say more: {}", why, unread),
            say!("set {}=true, and let the console read that file", DISABLE_SCHEMA_UPDATE),
            false,
        ),
        _ => writes(why, say!("set {}=true in the same patch", DISABLE_SCHEMA_UPDATE), true),
    }
}

/// Which code the arguments and variables choose (litellm 1.74.7, 1.106.2: `proxy_cli.py`).
fn resolver(container: &Container) -> How {
    let is = |name: &str, wanted: &str| matches!(container.variable(name), Some(EnvValue::Literal(Field::Shown(value))) if value.as_str().eq_ignore_ascii_case(wanted));
    let newer = container.variable("USE_V2_MIGRATION_RESOLVER").is_none() || is("USE_V2_MIGRATION_RESOLVER", "true");
    if says(container, "use_legacy_migration_resolver") || !newer {
        How::Legacy
    } else if says(container, "use_prisma_migrate") || is("USE_PRISMA_MIGRATE", "true") {
        How::Job
    } else {
        How::Pods
    }
}

fn says(container: &Container, word: &str) -> bool {
    let joined: Vec<&str> = container.words.iter().map(Clean::as_str).collect();
    joined.join(" ").contains(word)
}

/// The containers that run the gateway: those with a LiteLLM image, init containers included.
/// Where no ordinary container looks like one, every ordinary container counts as well, because
/// a private registry may call the image anything.
pub fn gateway_containers(template: &Template) -> impl Iterator<Item = &Container> {
    let named = template.containers.iter().any(|c| !c.init && c.image.is_litellm());
    template.containers.iter().filter(move |c| c.image.is_litellm() || (!named && !c.init))
}

/// Every container that may write when a pod starts: the gateway's, and whatever migrates.
pub(super) fn starting(template: &Template) -> impl Iterator<Item = &Container> {
    let gateway: Vec<_> = gateway_containers(template).map(|container| &container.name).collect();
    template.containers.iter().filter(move |container| {
        gateway.contains(&&container.name) || MIGRATORS.iter().any(|(word, _)| says(container, word))
    })
}
