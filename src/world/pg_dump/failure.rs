//! Why `pg_dump` or `pg_restore` failed: every failure exits with 1, so the words must tell.

use std::os::unix::process::ExitStatusExt as _;

use super::child::Ended;
use crate::domain::database_url::DatabaseUrl;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// One failure that is recognised: a part of the message, what it means, what to do.
struct Sign {
    part: &'static str,
    kind: TroubleKind,
    what: &'static str,
    remedy: &'static str,
}

const fn sign(part: &'static str, kind: TroubleKind, what: &'static str, remedy: &'static str) -> Sign {
    Sign { part, kind, what, remedy }
}

/// Messages of pg_dump 15 and 18 and of their servers; the first that fits wins.
const SIGNS: [Sign; 22] = {
    use TroubleKind::{Busy, Disk, Forbidden, NotFound, Program, Refused, Unauthenticated, Unreachable};
    const ROOM: &str = "free some space or choose another folder; nothing was left behind";
    const LOGIN: &str = "check user and password in the database URL";
    const NETWORK: &str = "check host, port, network and port-forward, then start the backup again";
    const NAMES: &str = "check `?schema=` in the database URL";
    const DIRECT: &str = "use the server's own address (DIRECT_URL) instead of a pooler's";
    [
        sign(
            "server version mismatch",
            Program,
            "pg_dump is older than the server",
            "install the server's version of PostgreSQL's client programs, or a newer one",
        ),
        sign("No space left on device", Disk, "no space left for the dump", ROOM),
        sign("Disk quota exceeded", Disk, "the disk quota is used up", ROOM),
        sign("File too large", Disk, "this user or file system allows no file of that size", ROOM),
        sign("password authentication failed", Unauthenticated, "the password is wrong", LOGIN),
        sign("no password supplied", Unauthenticated, "the server asks for a password and the URL has none", LOGIN),
        sign("no pg_hba.conf entry", Unauthenticated, "the server does not admit this user from here", LOGIN),
        sign(
            "permission denied",
            Forbidden,
            "this user may not read everything",
            "GRANT SELECT to this user, or use the URL that LiteLLM itself uses",
        ),
        sign(
            "row-level security",
            Forbidden,
            "row-level security hides rows from this user",
            "dump as the tables' owner or as a role with BYPASSRLS",
        ),
        sign("no matching tables were found", NotFound, "the named tables are not there", NAMES),
        sign("no matching schemas were found", NotFound, "the schema is not there", NAMES),
        sign(
            "due to lock timeout",
            Busy,
            "somebody holds a lock on a table",
            "wait for the migration or ALTER TABLE that holds it, then try again",
        ),
        sign(
            "due to statement timeout",
            Busy,
            "somebody holds a lock on a table",
            "wait for the migration or ALTER TABLE that holds it, then try again",
        ),
        sign(
            "invalid snapshot identifier",
            Refused,
            "the counted snapshot is not on the server that pg_dump reached",
            DIRECT,
        ),
        sign("snapshot \"", Refused, "the counted snapshot is not on the server that pg_dump reached", DIRECT),
        sign("unsupported startup parameter", Refused, "a connection pooler stands in the way", DIRECT),
        sign("Connection refused", Unreachable, "the server refuses connections", NETWORK),
        sign("could not translate host name", Unreachable, "the host name is not known", NETWORK),
        sign("timeout expired", Unreachable, "the server did not answer", NETWORK),
        sign("terminating connection", Unreachable, "the server ended the session", NETWORK),
        sign("server closed the connection", Unreachable, "the connection was lost", NETWORK),
        sign(
            "certificate",
            Unreachable,
            "no TLS connection",
            "check sslmode, sslrootcert and the host name in the URL",
        ),
    ]
};

/// Messages of pg_restore 15 to 18 and of their servers, for a database that was made empty.
const RESTORE_SIGNS: [Sign; 14] = {
    use TroubleKind::{Disk, Forbidden, NotFound, Program, Refused, Unauthenticated, Unreachable};
    const AGAIN: &str = "check network and server, then start the restore again";
    const ADMIN: &str = "restore as a role that may, for instance the one that owns the live database";
    [
        sign(
            "unsupported version",
            Program,
            "pg_restore is older than the dump",
            "install the version of PostgreSQL's client programs that wrote the dump, or a newer one",
        ),
        sign(
            "unrecognized configuration parameter",
            Program,
            "pg_restore is newer than this server understands",
            "install the server's own version of PostgreSQL's client programs",
        ),
        sign("No space left on device", Disk, "no space left on the server", "make room on the server's disk"),
        sign("could not extend file", Disk, "no space left on the server", "make room on the server's disk"),
        sign("must be superuser", Forbidden, "it takes a superuser", ADMIN),
        sign("must be owner", Forbidden, "this role does not own what the dump changes", ADMIN),
        sign("must be member of role", Forbidden, "this role cannot give objects to their owner", ADMIN),
        sign("must be able to SET ROLE", Forbidden, "this role cannot give objects to their owner", ADMIN),
        sign("permission denied", Forbidden, "this role may not make everything", ADMIN),
        sign("password authentication failed", Unauthenticated, "the password is wrong", "check the database URL"),
        sign("is not available", NotFound, "the server lacks an extension that the dump needs", "install it there"),
        sign("already exists", Refused, "the new database is not empty", "look who else made something in it"),
        sign("terminating connection", Unreachable, "the server ended the session", AGAIN),
        sign("server closed the connection", Unreachable, "the connection was lost", AGAIN),
    ]
};

/// Why the dump was not restored.
pub(super) fn of_pg_restore(ended: &Ended, gate: &Gate) -> Trouble {
    let words = complaint(&ended.complaint, gate);
    if ended.complaint.contains("role \"") && ended.complaint.contains("does not exist") {
        let what = say!("the restore failed: the dump names a role that this server lacks ({})", words);
        return Trouble::new(TroubleKind::NotFound, what).remedy(Clean::ours("create that role, then start again"));
    }
    match RESTORE_SIGNS.iter().find(|sign| ended.complaint.contains(sign.part)) {
        Some(sign) => Trouble::new(sign.kind, say!("the restore failed: {} ({})", sign.what, words))
            .remedy(Clean::ours(sign.remedy)),
        None => {
            let what = say!("the restore failed: pg_restore {}: {}", how_it_ended(ended), words);
            Trouble::new(TroubleKind::Program, what).remedy(Clean::ours("run it by hand to see more"))
        }
    }
}

/// Why the dump was not written.
pub(super) fn of_pg_dump(ended: &Ended, gate: &Gate, url: &DatabaseUrl) -> Trouble {
    let mut trouble = of("the backup failed", ended, gate);
    if let Some(why) = url.pooler_suspicion() {
        trouble.remedy = if trouble.remedy.is_empty() {
            say!("the address looks like a connection pooler ({}): use the server's own (DIRECT_URL)", why)
        } else {
            say!("{}; the address looks like a connection pooler ({})", trouble.remedy, why)
        };
    }
    trouble
}

/// Why the dump could not be read back.
pub(super) fn of_read_back(ended: &Ended, gate: &Gate) -> Trouble {
    let words = complaint(&ended.complaint, gate);
    let how = how_it_ended(ended);
    Trouble::new(TroubleKind::Disk, say!("the dump is damaged: reading it back {}: {}", how, words)).remedy(
        Clean::ours("nothing was kept; check the disk and start the backup again, if need be in another folder"),
    )
}

fn of(what: &'static str, ended: &Ended, gate: &Gate) -> Trouble {
    let words = complaint(&ended.complaint, gate);
    match SIGNS.iter().find(|sign| ended.complaint.contains(sign.part)) {
        Some(sign) => {
            Trouble::new(sign.kind, say!("{}: {} ({})", what, sign.what, words)).remedy(Clean::ours(sign.remedy))
        }
        None => Trouble::new(TroubleKind::Program, say!("{}: pg_dump {}: {}", what, how_it_ended(ended), words))
            .remedy(Clean::ours("nothing was left behind; run it by hand to see more")),
    }
}

fn how_it_ended(ended: &Ended) -> Clean {
    match (ended.status.code(), ended.status.signal()) {
        (Some(code), _) => say!("ended with {}", code),
        (None, Some(signal)) => say!("was ended by signal {}", signal),
        (None, None) => Clean::ours("ended"),
    }
}

/// The first line that says error, or the last line at all, without the program's name.
fn complaint(raw: &str, gate: &Gate) -> Clean {
    let lines = || raw.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| line.contains("error:") || line.contains("FATAL:")).or_else(|| lines().next_back());
    let line = line.map_or("it said nothing", |line| line.split_once("error: ").map_or(line, |(_, rest)| rest));
    gate.clean(line)
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;
    use crate::text::Secret;

    fn ended(complaint: &str) -> Ended {
        Ended { status: ExitStatus::from_raw(256), complaint: complaint.to_owned() }
    }

    fn url(raw: &str) -> DatabaseUrl {
        raw.parse().unwrap()
    }

    #[test]
    fn every_known_failure_is_its_own_finding() {
        use TroubleKind::{Busy, Disk, Forbidden, NotFound, Program, Refused, Unauthenticated, Unreachable};
        let rows = [
            (
                "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 18.4; pg_dump version: 15.18",
                Program,
                "older than the server",
            ),
            ("pg_dump: error: could not write to output file: No space left on device", Disk, "no space left"),
            (
                "pg_dump: error: connection to server at \"db\" (10.0.0.1), port 5432 failed: FATAL:  password authentication failed for user \"app\"",
                Unauthenticated,
                "password is wrong",
            ),
            (
                "pg_dump: error: connection to server at \"db\", port 5432 failed: fe_sendauth: no password supplied",
                Unauthenticated,
                "asks for a password",
            ),
            (
                "pg_dump: error: query failed: ERROR:  permission denied for table _prisma_migrations\npg_dump: detail: Query was: LOCK TABLE public._prisma_migrations IN ACCESS SHARE MODE",
                Forbidden,
                "may not read",
            ),
            ("pg_dump: error: no matching tables were found", NotFound, "not there"),
            (
                "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\npg_dump: detail: Query was: LOCK TABLE",
                Busy,
                "holds a lock",
            ),
            ("pg_dump: error: query failed: ERROR:  invalid snapshot identifier: \"00000003-1\"", Refused, "snapshot"),
            (
                "pg_dump: error: connection to server at \"127.0.0.1\", port 1 failed: Connection refused",
                Unreachable,
                "refuses connections",
            ),
            ("something new", Program, "ended with 1: something new"),
            ("", Program, "said nothing"),
        ];
        for (complaint, kind, part) in rows {
            let why = of_pg_dump(&ended(complaint), &Gate::default(), &url("postgres://u@db/x"));
            assert_eq!(why.kind, kind, "{complaint}");
            assert!(why.what.as_str().contains(part), "{}", why.what);
        }
    }

    #[test]
    fn a_pooler_is_named_and_secrets_are_masked() {
        let gate = Gate::knowing([Secret::new("hunter2hunter2")]);
        let why = of_pg_dump(&ended("pg_dump: error: hunter2hunter2"), &gate, &url("postgres://u@db:6432/x"));
        assert!(why.remedy.as_str().contains("port 6432"), "{}", why.remedy);
        assert!(!why.sentence().as_str().contains("hunter2"));
    }
}
