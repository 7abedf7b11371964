//! Exit codes: the whole answer for a pipeline that reads nothing else.

use std::process::ExitCode;

use crate::domain::trouble::TroubleKind;

/// How a run of the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 0: what was asked for is reached.
    Reached,
    /// 1: it is not reached: a check failed, a step failed, or it was cancelled.
    NotReached,
    /// 2: the command line or the configuration is wrong, or names what is not there.
    Usage,
    /// 3: a gate refused, ours or the server's; nothing was changed.
    Refused,
    /// 4: something that is needed does not answer, or does not know us.
    Unreachable,
    /// 5: something was sent and nobody knows whether it happened. Look before you repeat it.
    Unknown,
}

impl Exit {
    /// All of them, by code.
    pub const ALL: [Exit; 6] =
        [Exit::Reached, Exit::NotReached, Exit::Usage, Exit::Refused, Exit::Unreachable, Exit::Unknown];

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Reached => 0,
            Exit::NotReached => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Unreachable => 4,
            Exit::Unknown => 5,
        }
    }
}

impl From<TroubleKind> for Exit {
    fn from(kind: TroubleKind) -> Self {
        match kind {
            TroubleKind::Missing | TroubleKind::NotFound | TroubleKind::Invalid | TroubleKind::Program => Exit::Usage,
            TroubleKind::Unreachable | TroubleKind::Unauthenticated => Exit::Unreachable,
            TroubleKind::Forbidden | TroubleKind::Changed | TroubleKind::Refused | TroubleKind::Busy => Exit::Refused,
            TroubleKind::Disk | TroubleKind::Cancelled => Exit::NotReached,
            TroubleKind::Unknown => Exit::Unknown,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 4, 5]);
        assert_eq!(Exit::from(TroubleKind::Refused).code(), 3);
        assert_eq!(Exit::from(TroubleKind::Unreachable).code(), 4);
        assert_eq!(Exit::from(TroubleKind::Unknown).code(), 5);
    }
}
