//! What a revision that was ordered means.

use crate::app::effect::Exit;
use crate::app::pilot::Move;
use crate::app::pilot::orders::Wanted;
use crate::app::releases;
use crate::app::state::State;
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::release::ReleaseRevision;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::{Revision, Workload};

/// What a named revision means for this workload: of its own, or of the Helm release that owns it.
///
/// # Errors
/// What is waited for, or why it cannot be gone back to.
pub fn aimed(state: &State, workload: &Workload, wanted: &Wanted) -> Result<Goal, Move> {
    let Some(release) = releases::release_of(workload) else {
        return chosen(workload, wanted).map(|revision| Goal::Template(revision.uid.clone()));
    };
    let Wanted::Number(number) = wanted else {
        let why =
            say!("{} belongs to Helm release {}: name one of its revisions by number", workload.reference, release);
        return Err(Move::Stop(Exit::Usage, why));
    };
    let history = match releases::known(state, workload).map(|known| &known.history) {
        Some(Live::Seen { value, .. }) => value,
        Some(Live::Lost { why, .. } | Live::Absent(why)) => return Err(lost(why)),
        Some(Live::Waiting) | None => return Err(Move::Wait(say!("the history of Helm release {}", release))),
    };
    let row = ReleaseRevision::new(*number).and_then(|number| history.row(number));
    let Some(row) = row else {
        let why = say!("Helm release {} has no revision {}; `lastgood plan` lists them", release, *number);
        return Err(Move::Stop(Exit::Usage, why));
    };
    if row.revision == history.current.revision {
        return Err(Move::Stop(
            Exit::Refused,
            say!("revision {} is the newest of Helm release {}", row.revision, release),
        ));
    }
    if releases::reading(state, workload) {
        return Err(Move::Wait(say!("the records of Helm release {}", release)));
    }
    Ok(Goal::Release(release, row.revision))
}

/// It ends here, because a part of the world does not answer, or not to us.
pub(super) fn lost(why: &Trouble) -> Move {
    let exit = match why.kind {
        TroubleKind::Missing | TroubleKind::NotFound | TroubleKind::Invalid => Exit::Usage,
        TroubleKind::Forbidden | TroubleKind::Refused => Exit::Refused,
        _ => Exit::Unreachable,
    };
    Move::Stop(exit, why.sentence())
}

/// The revision that is meant, when it can be gone back to.
pub(super) fn chosen<'a>(workload: &'a Workload, wanted: &Wanted) -> Result<&'a Revision, Move> {
    let reference = &workload.reference;
    match wanted.find(workload) {
        None => Err(Move::Stop(Exit::Usage, say!("{} has no such revision; `lastgood plan` lists them", reference))),
        Some(revision) if revision.current() => {
            Err(Move::Stop(Exit::Refused, say!("revision {} of {} is the live one", revision.number, reference)))
        }
        Some(revision) => Ok(revision),
    }
}
