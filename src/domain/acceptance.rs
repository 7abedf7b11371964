//! What may be lost, accepted by typing the name of each object, for one undertaking and no other.

use crate::domain::change::Change;
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::Subject;
use crate::domain::encrypted::Newer;
use crate::domain::forecast::Stake;
use crate::domain::rollback::Rollback;
use crate::text::{Clean, Many};

/// How many names are typed one by one at most, before columns are typed by the table.
const ONE_BY_ONE: usize = 20;

/// What starts pods that may lose data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undertaking {
    /// A change of a Deployment.
    Change(Change),
    /// The rollback of a Helm release.
    Rollback(Rollback),
}

impl Undertaking {
    /// Whose pods start.
    pub fn workload(&self) -> &WorkloadRef {
        match self {
            Undertaking::Change(change) => &change.workload,
            Undertaking::Rollback(rollback) => &rollback.workload,
        }
    }

    /// What it does, in one sentence.
    pub fn sentence(&self) -> Clean {
        match self {
            Undertaking::Change(change) => change.sentence(),
            Undertaking::Rollback(rollback) => rollback.sentence(),
        }
    }
}

/// What is lost when something is sent as it is. Accepting it means typing the name of each object.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// What is sent: accepting one says nothing of another.
    pub of: Undertaking,
    /// What may be dropped.
    pub stake: Stake,
    /// Stored values that the target cannot read.
    pub unreadable: Vec<Newer>,
}

impl Acceptance {
    /// Nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.stake.data().next().is_none() && self.unreadable.is_empty()
    }

    /// Whether everything that is lost now was shown and typed then: the first thing that was not.
    ///
    /// # Errors
    /// The first thing that was not.
    pub fn covers(&self, now: &Acceptance) -> Result<(), Clean> {
        if self.of != now.of {
            return Err(Clean::ours("another change"));
        }
        self.stake.covers(&now.stake).map_err(|object| say!("{}", object))?;
        let fresh = |place: &&Newer| !self.unreadable.contains(place);
        now.unreadable.iter().find(fresh).map_or(Ok(()), |place| Err(place.words()))
    }

    /// Everything that is lost, a line each.
    pub fn lines(&self) -> Vec<Clean> {
        let objects = self.stake.objects().map(|object| say!("{}", object));
        objects.chain(self.unreadable.iter().map(Newer::words)).collect()
    }

    /// The lines of the journal about it.
    pub fn notes(&self) -> impl Iterator<Item = Clean> {
        self.lines().into_iter().map(|object| say!("accepted by typing: {} may be lost", object))
    }
}

/// The name of each table that goes, which covers its columns, and of each column of tables that
/// stay. Where that makes more than twenty, the columns are typed by the table with their number,
/// and at the end the sum and the Deployment, so that nobody gets through by habit.
impl Subject for Acceptance {
    fn phrases(&self) -> Vec<Clean> {
        let (tables, columns) = (self.stake.tables().count(), self.stake.columns().count());
        let mut phrases: Vec<Clean> = self.stake.tables().map(|table| say!("{}", table)).collect();
        if tables + columns <= ONE_BY_ONE {
            phrases.extend(self.stake.columns().map(|column| say!("{}", column)));
        } else {
            let mut of: std::collections::BTreeMap<_, usize> = std::collections::BTreeMap::new();
            self.stake
                .columns()
                .filter_map(|column| column.table())
                .for_each(|table| *of.entry(table).or_default() += 1);
            phrases.extend(of.into_iter().map(|(table, count)| say!("{}: {}", table, Many(count, "column"))));
            let place = self.of.workload();
            phrases.push(say!(
                "lose {} and {} for {}/{}",
                Many(tables, "table"),
                Many(columns, "column"),
                place.namespace,
                place.name
            ));
        }
        phrases.extend(self.unreadable.iter().map(Newer::words));
        phrases
    }
}
