//! What a restore leaves on the server when nobody saw its end: named, with what it is, and with the
//! command that takes it away.

use jiff::Timestamp;

use crate::domain::headway::size;
use crate::domain::name::DatabaseName;
use crate::text::{Clean, Many};

/// How the comment of a database begins that is being filled.
pub const INCOMPLETE: &str = "lastgood: incomplete restore of ";
/// How it begins once every table was counted.
const COMPLETE: &str = "lastgood: restored from ";

/// The comment of a database while it is filled from this dump.
pub fn incomplete(file: &Clean) -> Clean {
    say!("{}{}", Clean::ours(INCOMPLETE), file)
}

/// The comment of a database that holds all of this dump.
pub fn complete(file: &Clean, taken_at: Timestamp) -> Clean {
    say!("{}{}, which holds {:.0}", Clean::ours(COMPLETE), file, taken_at)
}

/// A database that a restore made, as it stands on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remnant {
    /// Its name.
    pub name: DatabaseName,
    /// Bytes that it takes; 0 where the role may not know.
    pub bytes: u64,
    /// What its comment says; a restore of ours says from which dump it is, and whether it is complete.
    pub comment: Clean,
    /// Sessions in it: `pg_restore` outlives a console that was killed, and goes on filling.
    pub sessions: u64,
}

impl Remnant {
    /// Every table was counted against the sidecar.
    pub fn is_complete(&self) -> bool {
        self.comment.as_str().starts_with(COMPLETE)
    }

    /// It was made and never came to its end.
    pub fn is_incomplete(&self) -> bool {
        self.comment.is_empty() || self.comment.as_str().starts_with(INCOMPLETE)
    }

    /// What it is, and how it goes away.
    pub fn words(&self) -> Clean {
        let what = match (self.comment.is_empty(), self.is_incomplete(), self.is_complete()) {
            (true, ..) => Clean::ours("was made and has no comment: nothing was filled in"),
            (_, true, _) => Clean::ours("is an incomplete restore that nobody counted"),
            (.., true) => say!("is complete; its comment says: {}", self.comment),
            _ => say!("is somebody's; its comment says: {}", self.comment),
        };
        let what = say!("{} ({}) {}", self.name, size(self.bytes), what);
        if !self.is_incomplete() {
            return what;
        }
        match self.sessions {
            0 => say!("{}; {} takes it away", what, drop_command(&self.name)),
            some => say!(
                "{}, with {} in it: another console's restore, or a pg_restore whose console was killed; in the \
                 second case {} WITH (FORCE) ends it and takes the database away",
                what,
                Many(some, "session"),
                drop_command(&self.name)
            ),
        }
    }
}

/// The command that takes a database away.
pub fn drop_command(name: &DatabaseName) -> Clean {
    say!("DROP DATABASE \"{}\"", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_with_the_command_that_takes_it_away() {
        let of = |comment: Clean, sessions| Remnant {
            name: "litellm_restore_1".parse().unwrap(),
            bytes: 8 << 20,
            comment,
            sessions,
        };
        let file = Clean::ours("x.dump");
        let at = "2026-11-20T11:14:48Z".parse().unwrap();
        let rows = [
            (
                of(incomplete(&file), 0),
                "incomplete restore that nobody counted; DROP DATABASE \"litellm_restore_1\" takes",
            ),
            (of(incomplete(&file), 2), "with 2 sessions in it"),
            (of(Clean::default(), 0), "nothing was filled in; DROP DATABASE"),
            (of(complete(&file, at), 1), "is complete; its comment says: lastgood: restored from x.dump, which holds"),
            (of(Clean::ours("billing"), 0), "is somebody's; its comment says: billing"),
        ];
        for (remnant, part) in rows {
            let words = remnant.words();
            assert!(words.as_str().starts_with("litellm_restore_1 (") && words.as_str().contains(part), "{words}");
            assert_eq!(words.as_str().contains("DROP DATABASE"), remnant.is_incomplete(), "{words}");
        }
    }
}
