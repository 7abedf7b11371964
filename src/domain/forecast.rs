//! The schema-write forecast: what pods of a template may do to the database when they start.
//!
//! An older LiteLLM may rewrite the database when it starts: the pods of versions up to 1.74.9 push
//! their own schema (`prisma db push --accept-data-loss`), and 1.78.2 to 1.83.9 execute the
//! difference between the live database and their own schema after every migration, which drops
//! newer columns and tables. What each version does is read in its own package and kept in the
//! [catalog](crate::domain::catalog); here it meets the live database. Where the catalog cannot
//! speak, an image that is older than the newest on record is taken for dangerous.

mod age;
mod memo;
mod stake;
mod start;

use serde::Serialize;

pub use age::{Newest, unordered};
pub use memo::Memo;
pub use stake::{Pending, Stake, ahead};
pub use start::{DISABLE_SCHEMA_UPDATE, gateway_containers};

use crate::domain::catalog::Catalog;
use crate::domain::encrypted::Newer;
use crate::domain::image::{Image, Version};
use crate::domain::migration::MigrationTable;
use crate::domain::schema::Schema;
use crate::domain::settings::SchemaSwitch;
use crate::domain::workload::{Container, Template};
use crate::text::Clean;
use start::{How, Start};

/// What a forecast rests on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The newest gateway image that has run against this database.
    pub newest: Newest,
    /// What is known of the versions.
    pub catalog: &'a Catalog,
    /// The migration table, or why it is not known right now.
    pub rows: Result<&'a MigrationTable, Clean>,
    /// What the database holds, or why it is not known right now.
    pub live: Result<&'a Schema, Clean>,
    /// Stored values that only newer versions can read; empty where nobody could count them.
    pub newer: &'a [Newer],
    /// What was worked out from this same table, schema and catalog before.
    pub memo: Option<&'a Memo>,
}

impl<'a> Facts<'a> {
    /// What is known where there is no database: the age of the images.
    pub fn without_database(newest: Newest, catalog: &'a Catalog) -> Self {
        let none = || Clean::ours("there is no database to ask");
        Self { newest, catalog, rows: Err(none()), live: Err(none()), newer: &[], memo: None }
    }
}

/// What pods of a template may do to the schema when they start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "will", rename_all = "kebab-case")]
pub enum Forecast {
    /// They leave it alone.
    NotWrite {
        /// Why that is certain.
        why: Clean,
    },
    /// They may change it, and no row is lost.
    MayWrite {
        /// Why.
        why: Clean,
        /// The migrations that they apply.
        pending: Vec<Pending>,
        /// What goes away and holds no data: indexes, types.
        stake: Stake,
    },
    /// They may drop tables or columns, with what these hold.
    MayDrop {
        /// Why.
        why: Clean,
        /// What is at stake: at least one table or column.
        stake: Stake,
        /// The migrations that they apply.
        pending: Vec<Pending>,
        /// The way around.
        way: Way,
    },
    /// Nobody can say what they do; treated like the worst.
    Unknown {
        /// Why.
        why: Clean,
        /// The way around.
        way: Way,
    },
}

/// What makes a dangerous start safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// What to do.
    pub remedy: Clean,
    /// `DISABLE_SCHEMA_UPDATE=true` in the same patch does it.
    pub protect_helps: bool,
}

impl Forecast {
    /// The words for people: `will not write`, `may write`, `MAY DROP`, `unknown`.
    pub fn word(&self) -> &'static str {
        match self {
            Forecast::NotWrite { .. } => "will not write to the schema",
            Forecast::MayWrite { .. } => "may write to the schema",
            Forecast::MayDrop { .. } => "MAY DROP tables or columns",
            Forecast::Unknown { .. } => "UNKNOWN, may drop newer columns and tables",
        }
    }

    /// Why.
    pub fn why(&self) -> &Clean {
        match self {
            Forecast::NotWrite { why }
            | Forecast::MayWrite { why, .. }
            | Forecast::MayDrop { why, .. }
            | Forecast::Unknown { why, .. } => why,
        }
    }

    /// The way around, when the guard stops it.
    pub fn stopped(&self) -> Option<&Way> {
        match self {
            Forecast::MayDrop { way, .. } | Forecast::Unknown { way, .. } => Some(way),
            Forecast::NotWrite { .. } | Forecast::MayWrite { .. } => None,
        }
    }

    /// What may go away; empty where nothing may, or where nobody can say.
    pub fn stake(&self) -> Stake {
        match self {
            Forecast::MayWrite { stake, .. } | Forecast::MayDrop { stake, .. } => stake.clone(),
            Forecast::NotWrite { .. } | Forecast::Unknown { .. } => Stake::default(),
        }
    }

    /// The migrations that are applied.
    pub fn pending(&self) -> &[Pending] {
        match self {
            Forecast::MayWrite { pending, .. } | Forecast::MayDrop { pending, .. } => pending,
            Forecast::NotWrite { .. } | Forecast::Unknown { .. } => &[],
        }
    }

    /// In one sentence: the verdict, what is at stake as far as fits, and why.
    pub fn sentence(&self) -> Clean {
        let stake = self.stake();
        let at_stake = if stake.is_empty() { Clean::default() } else { say!(" ({})", stake.first(3)) };
        say!("{}{}: {}", self.word(), at_stake, self.why())
    }

    /// How much it has to be feared, for the worst of several.
    fn rank(&self) -> u8 {
        match self {
            Forecast::NotWrite { .. } => 0,
            Forecast::MayWrite { .. } => 1,
            Forecast::MayDrop { .. } => 2,
            Forecast::Unknown { .. } => 3,
        }
    }

    /// The worse one of two that both happen: what is at stake in either is at stake.
    fn and(self, other: Self) -> Self {
        let (mut worse, milder) = if other.rank() > self.rank() { (other, self) } else { (self, other) };
        let helps = milder.stopped().is_none_or(|way| way.protect_helps);
        if let Forecast::MayDrop { way, .. } | Forecast::Unknown { way, .. } = &mut worse
            && way.protect_helps
            && !helps
        {
            *way = milder.stopped().cloned().unwrap_or_else(|| way.clone());
        }
        if let Forecast::MayWrite { stake, pending, .. } | Forecast::MayDrop { stake, pending, .. } = &mut worse {
            stake.extend(milder.stake());
            let more: Vec<_> = milder.pending().iter().filter(|each| !pending.contains(each)).cloned().collect();
            pending.extend(more);
        }
        worse
    }
}

/// Forecasts what the pods of a template do when they start: the worst that any container does.
pub fn forecast(template: &Template, facts: &Facts<'_>) -> Forecast {
    let claim = template.claim();
    let main = template.main().map(|container| &container.name);
    let each = start::starting(template).map(|container| {
        // Another container reads another file, or none: it is not taken for safe by this one.
        let own = main == Some(&container.name) || matches!(template.switch, SchemaSwitch::On(_));
        of_container(container, if own { &template.switch } else { &SchemaSwitch::Unset }, claim.as_ref(), facts)
    });
    each.reduce(Forecast::and).unwrap_or_else(|| Forecast::Unknown {
        why: Clean::ours("the template has no container"),
        way: Way { remedy: Clean::ours("choose a revision with a gateway in it"), protect_helps: false },
    })
}

/// Forecasts what a migration Job does. LiteLLM's charts force `DISABLE_SCHEMA_UPDATE=false` in
/// it, so nothing in its environment counts (`helm/litellm-helm`, `templates/migrations-job.yaml`);
/// nor does the configuration file, which it does not read (`proxy/prisma_migration.py` starts the
/// proxy without `--config`).
pub fn forecast_job(image: &Image, facts: &Facts<'_>) -> Forecast {
    let why = say!("a migration Job ignores {}", DISABLE_SCHEMA_UPDATE);
    let way = Way {
        remedy: Clean::ours("keep the Job from running: migrationJob.enabled=false, or delete it before it starts"),
        protect_helps: false,
    };
    of_image(image, None, How::Job, why, way, facts)
}

fn of_container(container: &Container, switch: &SchemaSwitch, claim: Option<&Version>, facts: &Facts<'_>) -> Forecast {
    match start::start(container, switch) {
        Start::HandsOff(why) => Forecast::NotWrite { why },
        Start::Writes { how, why, way } => of_image(&container.image, claim, how, why, way, facts),
    }
}

/// What an image does when it starts in this way; worked out once for each memo.
fn of_image(image: &Image, claim: Option<&Version>, how: How, open: Clean, way: Way, facts: &Facts<'_>) -> Forecast {
    let Some(memo) = facts.memo else { return judged(image, claim, how, open, way, facts) };
    let asked = memo::Asked {
        image: image.clone(),
        claim: claim.cloned(),
        how,
        open: open.clone(),
        way: way.clone(),
        newest: facts.newest.clone(),
    };
    memo.answer(asked, || judged(image, claim, how, open, way, facts))
}

/// What an image does when it starts in this way: by the catalog where it can speak, else by age.
fn judged(image: &Image, claim: Option<&Version>, how: How, open: Clean, way: Way, facts: &Facts<'_>) -> Forecast {
    let told = age::told_version(image);
    let computed = match &told {
        Some(version) => stake::computed(version, image, how, &open, &way, facts),
        None => Err(Clean::ours("its version cannot be told, so the catalog cannot say what it does")),
    };
    match (computed, age::not_older(image, &facts.newest)) {
        (Ok(forecast), _) => forecast,
        (Err(_), Ok(why)) => Forecast::NotWrite { why },
        (Err(unspoken), Err(old)) => {
            let claimed = claim.filter(|_| told.is_none() && image.digest().is_some());
            let by_claim = claimed.map(|version| (version, stake::computed(version, image, how, &open, &way, facts)));
            let unknown = |also: Clean| Forecast::Unknown {
                why: say!("{}, and {}; {}{}", old, open, unspoken, also),
                way: way.clone(),
            };
            // A claim is believed where it warns, and not where it reassures.
            match by_claim {
                Some((version, Ok(Forecast::MayDrop { why, stake, pending, way }))) => {
                    let why = say!("its label claims LiteLLM {}, and if so: {}", version, why);
                    Forecast::MayDrop { why, stake, pending, way }
                }
                Some((version, Ok(other))) => unknown(say!(
                    "; its label claims LiteLLM {}, which {}, but nothing proves the claim",
                    version,
                    other.word()
                )),
                Some((version, Err(_))) => unknown(say!("; its label claims LiteLLM {}", version)),
                None => unknown(Clean::default()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
