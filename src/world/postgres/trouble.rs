//! What PostgreSQL and the way to it refuse, in the console's words. Codes after the PostgreSQL
//! manual, appendix A (SQLSTATE).

use std::io;

use super::connect::Connector;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

/// Why a piece of work stopped: the database said so, or we did.
pub(crate) enum Stop {
    /// sqlx's error, not yet put into words.
    Sql(sqlx::Error),
    /// A finding of ours.
    Trouble(Trouble),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Stop::Sql(error)
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Stop::Trouble(trouble)
    }
}

impl Stop {
    /// The failure, with what was being done. Only for work of which nothing was committed.
    pub(crate) fn into_trouble(self, connector: &Connector, doing: &Clean) -> Trouble {
        match self {
            Stop::Trouble(trouble) => trouble,
            Stop::Sql(error) => of(connector, doing, &error),
        }
    }
}

/// A failure while the connection was being opened: a session that ends here never began.
pub(crate) fn of_connecting(connector: &Connector, doing: &Clean, error: &sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Trouble::new(TroubleKind::Unreachable, say!("{}: connection refused", doing))
                .remedy(Clean::ours("is the server up, and is this its port?"))
        }
        error => of(connector, doing, error),
    }
}

/// A failure of work of which nothing was committed.
pub(crate) fn of(connector: &Connector, doing: &Clean, error: &sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let (kind, remedy) = meaning(&code);
            let message = connector.gate().clean(error.message());
            Trouble::new(kind, say!("{}: {}", doing, message)).remedy(remedy)
        }
        // rustls reports a certificate that it does not accept as invalid data.
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => no_tls(connector, doing, error),
        sqlx::Error::Tls(error) => no_tls(connector, doing, error),
        sqlx::Error::Io(error) => {
            let why = connector.gate().clean(&error.to_string());
            Trouble::new(TroubleKind::Unreachable, say!("{}: the connection is lost: {}", doing, why))
                .remedy(Clean::ours("check the network and the server; nothing was changed"))
        }
        other => {
            let why = connector.gate().clean(&other.to_string());
            Trouble::new(TroubleKind::Invalid, say!("{}: {}", doing, why))
                .remedy(Clean::ours("check that the URL leads to LiteLLM's PostgreSQL database"))
        }
    }
}

fn no_tls(connector: &Connector, doing: &Clean, why: &impl std::fmt::Display) -> Trouble {
    let why = connector.gate().clean(&why.to_string());
    Trouble::new(TroubleKind::Unreachable, say!("{}: no TLS connection: {}", doing, why)).remedy(say!(
        "the URL asks for sslmode={}; check the server's certificate, sslrootcert and the host name",
        connector.url().ssl_mode().word()
    ))
}

/// What a code means for the operator's next move.
fn meaning(code: &str) -> (TroubleKind, Clean) {
    use TroubleKind::{Busy, Forbidden, Invalid, NotFound, Refused, Unauthenticated, Unreachable};
    let (kind, remedy) = match code {
        "28P01" => (Unauthenticated, "check user and password in the database URL"),
        "28000" => (Unauthenticated, "the server does not admit this user from here (pg_hba.conf), or asks for TLS"),
        "3D000" => (NotFound, "check the database's name after the last '/' of the URL"),
        "3F000" => (NotFound, "check `?schema=` in the database URL"),
        "42P01" => (NotFound, "check the database's name and `?schema=` in the URL"),
        "42501" => (Forbidden, "GRANT the privilege to this user, or use the URL that LiteLLM itself uses"),
        "42703" => (Invalid, "the table has other columns than Prisma's; check `?schema=` in the URL"),
        "57014" => (Busy, "the server took too long: look for a lock or for load, then try again"),
        "55P03" => (Busy, "wait for the session that holds the lock, then try again"),
        "40P01" | "40001" => (Busy, "another transaction was in the way; try again"),
        "25006" => (Refused, "this server only reads (a standby?); use the URL of the primary"),
        "53300" => (Busy, "the server has no free connection; wait, or end idle sessions"),
        "53100" => (Refused, "the server's disk is full"),
        "57P01" | "57P02" | "57P04" | "57P05" => (Unreachable, "the server ended our session; nothing was changed"),
        "57P03" => (Unreachable, "the server is starting or stopping; try again"),
        "08P01" => (Unreachable, "a pooler refused; use the server's own address (DIRECT_URL)"),
        _ if code.starts_with("08") => (Unreachable, "check the network and the server; nothing was changed"),
        _ => (Invalid, ""),
    };
    (kind, Clean::ours(remedy))
}

/// True when the server told us, as its answer to COMMIT, that it did not commit. An ended
/// session or a broken line tells nothing: the commit may have been written before it.
pub(super) fn commit_was_refused(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let code = error.code().unwrap_or_default();
    !(code.starts_with("57P") || code.starts_with("08") || code.is_empty())
}

/// True for `lock_not_available`.
pub(super) fn is_lock_timeout(stop: &Stop) -> bool {
    matches!(stop, Stop::Sql(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03"))
}
