//! What the API server says of a rollback that is not carried out.
//!
//! Helm's own dry run sends nothing (`pkg/action/rollback.go` of v3.21.4 and v4.2.4: it returns
//! before the first object). So each object is tried the way Helm would send it, with
//! `dryRun=All`: admission, quota, permissions, fields that cannot be changed and fields of other
//! managers are found before the first object is changed.

use serde::Serialize;

use crate::domain::release::ObjectKey;
use crate::domain::rollback::HelmProgram;
use crate::text::Clean;

/// What Helm does with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// It is not there, and is made.
    Creates,
    /// It is there, and is patched.
    Patches,
    /// It is there and not in the target, and is deleted.
    Deletes,
    /// A revision in between that failed brought it. It is there, and in neither of the two: Helm
    /// knows nothing of it.
    Leaves,
}

/// A field of the target that another field manager owns and that is set otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clash {
    /// The field manager.
    pub by: Clean,
    /// The field, as the API server writes it.
    pub field: Clean,
}

/// What the API server says about one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", content = "why", rename_all = "kebab-case")]
pub enum Verdict {
    /// It would let it through.
    Passes,
    /// Fields of others stand in the way of server-side apply.
    Conflicts(Vec<Clash>),
    /// It refuses; its words.
    Refused(Clean),
    /// It could not be tried; why.
    Untold(Clean),
}

/// One object, tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Which one.
    pub object: ObjectKey,
    /// What Helm does with it.
    pub does: Does,
    /// It is in the cluster and in the target, but not in the current revision: somebody else's.
    pub foreign: bool,
    /// What the API server says.
    pub verdict: Verdict,
}

/// A rollback, tried object by object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// The program that would send it.
    pub helm: HelmProgram,
    /// The objects, in the order of the manifests: those of the target, then those that go.
    pub tried: Vec<Tried>,
    /// How many objects were too many to be tried.
    pub left_out: usize,
}

impl Trial {
    /// Whether a refusal of this object ends the rollback. Helm before 4.2 leaves what it may not
    /// delete where it is, and goes on.
    pub fn stops_at(&self, tried: &Tried) -> bool {
        tried.does != Does::Deletes || self.helm.takes_over()
    }

    /// Where the rollback would stop half way: the first object, and why.
    pub fn stopped(&self) -> Option<Clean> {
        self.tried.iter().find_map(|tried| match &tried.verdict {
            Verdict::Refused(_) if !self.stops_at(tried) => None,
            Verdict::Refused(why) => Some(say!("{}: {}", tried.object, why)),
            Verdict::Conflicts(clashes) => {
                let clash = clashes.first()?;
                Some(say!("{}: {} has written {}", tried.object, clash.by, clash.field))
            }
            Verdict::Passes if tried.foreign && !self.helm.takes_over() => {
                Some(say!("{} is in the cluster, and not in the current revision", tried.object))
            }
            Verdict::Passes | Verdict::Untold(_) => None,
        })
    }
}
