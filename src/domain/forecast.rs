//! The schema-write forecast: what pods of a template may do to the database when they start.
//!
//! An older LiteLLM may rewrite the database when it starts: versions up to 1.75 push their own
//! schema (`prisma db push --accept-data-loss`), and 1.78.5 to 1.83.8 execute the difference
//! between the live database and their own schema after every migration, which drops newer
//! columns and tables. Read in the published `litellm-proxy-extras` packages 0.2.0 to 0.4.110.

use std::cmp::Ordering;

use crate::domain::cluster::{Field, WorkloadRef};
use crate::domain::image::{Image, Version};
use crate::domain::workload::{Container, EnvValue, Template};
use crate::text::Clean;

/// The variable that keeps a LiteLLM pod from touching the schema when it starts.
pub const DISABLE_SCHEMA_UPDATE: &str = "DISABLE_SCHEMA_UPDATE";

/// The newest gateway image that is known to have run against this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    /// Every image on record has a version, and this is the newest one.
    Known(Image),
    /// At least one image on record does not tell its version.
    Untold(Image),
    /// A workload that shares the database is not seen right now.
    Unseen(WorkloadRef),
    /// Nothing is on record.
    Nothing,
}

impl Newest {
    /// The newest of all the gateway images on record: templates of all revisions, pods, and
    /// whatever else was seen. One image that does not tell makes the answer [`Newest::Untold`].
    pub fn of<'a>(images: impl IntoIterator<Item = &'a Image>) -> Self {
        let mut newest = Newest::Nothing;
        for image in images {
            let Some(version) = told_version(image) else { return Newest::Untold(image.clone()) };
            newest = match newest {
                Newest::Known(before) => match told_version(&before).and_then(|v| v.partial_cmp(&version)) {
                    Some(Ordering::Less) => Newest::Known(image.clone()),
                    Some(_) => Newest::Known(before),
                    None => return Newest::Untold(image.clone()),
                },
                _ => Newest::Known(image.clone()),
            };
        }
        newest
    }
}

/// What pods of a template may do to the schema when they start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// They leave it alone, and why that is certain.
    WillNotWrite(Clean),
    /// They may change it, and may drop newer columns and tables.
    MayDrop {
        /// Why.
        why: Clean,
        /// What makes it safe.
        remedy: Clean,
        /// `DISABLE_SCHEMA_UPDATE=true` in the same patch makes it safe.
        protect_helps: bool,
    },
}

/// Forecasts from the template that would run and the newest image on record.
pub fn forecast(template: &Template, newest: &Newest) -> Forecast {
    match (age(template, newest), hands_off(template)) {
        (Ok(()), _) => Forecast::WillNotWrite(Clean::ours("the image is not older than the newest on record")),
        (Err(old), Ok(())) => Forecast::WillNotWrite(say!(
            "{}, and the template keeps its hands off the schema (unless config.yaml sets disable_prisma_schema_update: false, which overrides the variable)",
            old
        )),
        (Err(old), Err(Gap { why, remedy, protect_helps })) => {
            Forecast::MayDrop { why: say!("{}, and {}", old, why), remedy, protect_helps }
        }
    }
}

/// The version that an image tells. Only LiteLLM's own repositories number their tags by LiteLLM's
/// versions; somebody else's `gateway:2.5.0` tells nothing.
fn told_version(image: &Image) -> Option<Version> {
    if image.is_litellm() { image.version() } else { None }
}

struct Gap {
    why: Clean,
    remedy: Clean,
    protect_helps: bool,
}

/// `Ok` when every gateway image of the template is certainly not older than the newest on record.
fn age(template: &Template, newest: &Newest) -> Result<(), Clean> {
    let newest = match newest {
        Newest::Known(image) => image,
        Newest::Untold(image) => return Err(say!("the age of {} on record cannot be told from its tag", image)),
        Newest::Unseen(workload) => {
            return Err(say!("{} is not seen right now, so the newest image is not known", workload));
        }
        Newest::Nothing => return Err(Clean::ours("no image is on record to compare with")),
    };
    let mut containers = gateway_containers(template).peekable();
    if containers.peek().is_none() {
        return Err(Clean::ours("the template has no container"));
    }
    for container in containers {
        match told_version(&container.image).zip(told_version(newest)).and_then(|(a, b)| a.partial_cmp(&b)) {
            Some(Ordering::Less) => return Err(say!("{} is older than {}", container.image, newest)),
            Some(_) => {}
            None => return Err(say!("the age of {} cannot be told from its tag", container.image)),
        }
    }
    Ok(())
}

/// `Ok` when no container of the template would write to the schema.
fn hands_off(template: &Template) -> Result<(), Gap> {
    for container in &template.containers {
        if words(container, "use_prisma_db_push") {
            return Err(Gap {
                why: say!(
                    "container {} is started with --use_prisma_db_push, which overwrites the schema",
                    container.name
                ),
                remedy: Clean::ours("choose a revision without that argument"),
                protect_helps: false,
            });
        }
        if MIGRATORS.iter().any(|word| words(container, word)) {
            return Err(Gap {
                why: say!(
                    "container {} runs migrations by itself and ignores {}",
                    container.name,
                    DISABLE_SCHEMA_UPDATE
                ),
                remedy: Clean::ours("choose a revision without that container"),
                protect_helps: false,
            });
        }
    }
    gateway_containers(template).try_for_each(disabled)
}

/// Commands that migrate whatever the variable says.
const MIGRATORS: [&str; 5] = ["prisma_migration", "prisma migrate", "prisma db push", "migrate deploy", "db push"];

fn words(container: &Container, word: &str) -> bool {
    let joined: Vec<&str> = container.words.iter().map(Clean::as_str).collect();
    joined.join(" ").contains(word)
}

fn disabled(container: &Container) -> Result<(), Gap> {
    let value = container.variable(DISABLE_SCHEMA_UPDATE);
    let state = match value {
        Some(EnvValue::Literal(Field::Shown(value))) if value.as_str().eq_ignore_ascii_case("true") => return Ok(()),
        None => "does not set DISABLE_SCHEMA_UPDATE",
        Some(EnvValue::From(_)) => "takes DISABLE_SCHEMA_UPDATE from elsewhere, so its value cannot be told",
        Some(EnvValue::Literal(_)) => "sets DISABLE_SCHEMA_UPDATE to something other than true",
    };
    Err(Gap {
        why: say!("container {} {}", container.name, state),
        remedy: Clean::ours("set DISABLE_SCHEMA_UPDATE=true in the same patch"),
        protect_helps: true,
    })
}

/// The containers that run the gateway: those with a LiteLLM image, init containers included.
/// Where no ordinary container looks like one, every ordinary container counts as well, because
/// a private registry may call the image anything.
pub fn gateway_containers(template: &Template) -> impl Iterator<Item = &Container> {
    let named = template.containers.iter().any(|c| !c.init && c.image.is_litellm());
    template.containers.iter().filter(move |c| c.image.is_litellm() || (!named && !c.init))
}
