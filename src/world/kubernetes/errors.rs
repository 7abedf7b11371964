//! What the API server and the way to it can answer, turned into [`Trouble`].

use std::error::Error as _;
use std::time::Duration;

use kube::core::Status;

use super::connect::CONNECT_TIMEOUT;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// Longest explanation taken over from a server; a proxy's HTML page explains nothing.
const LONGEST: usize = 400;

/// What the API server says where an admission webhook may have side effects (apiserver,
/// `admission/plugin/webhook/errors`, `NewDryRunUnsupportedErr`).
const NO_DRY_RUN: &str = "does not support dry run";

/// What was attempted, on which object: `read deployment/litellm`.
pub(super) fn trouble(gate: &Gate, attempt: &Clean, error: &kube::Error) -> Trouble {
    match error {
        kube::Error::Api(status) => from_status(gate, attempt, status),
        kube::Error::Auth(why) => {
            let why = auth_words(gate, why);
            Trouble::new(TroubleKind::Unauthenticated, say!("could not {}: {}", attempt, why))
                .remedy(Clean::ours("log in to the cluster again, as its kubeconfig entry wants it"))
        }
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Trouble::new(
            TroubleKind::Unreachable,
            say!("could not {}: the answer is not the API server's: {}", attempt, chain(gate, error)),
        )
        .remedy(Clean::ours("see whether a proxy stands between here and the API server")),
        _ if distrusts(error) => unreachable_server(attempt, &chain(gate, error)).remedy(Clean::ours(
            "check the server's address and the certificate-authority of the kubeconfig; a proxy may stand in between",
        )),
        _ if never_sent(error) && took_too_long(error) => {
            let why = say!("no connection to the API server within {} s", CONNECT_TIMEOUT.as_secs());
            unreachable_server(attempt, &why)
                .remedy(Clean::ours("check the network, the VPN, and whether the server's name can be looked up"))
        }
        _ => unreachable_server(attempt, &chain(gate, error)),
    }
}

/// A kubeconfig entry of which no client can be made: its certificates or its key.
pub(super) fn unusable(gate: &Gate, error: &kube::Error) -> Trouble {
    Trouble::new(
        TroubleKind::Invalid,
        say!("no connection can be made of the kubeconfig entry: {}", chain(gate, error)),
    )
    .remedy(Clean::ours("check its certificate-authority, client-certificate, client-key and server"))
}

/// No answer came in time.
pub(super) fn timed_out(attempt: &Clean, limit: Duration) -> Trouble {
    unreachable_server(attempt, &say!("no answer within {} s", limit.as_secs()))
}

fn unreachable_server(attempt: &Clean, why: &Clean) -> Trouble {
    Trouble::new(TroubleKind::Unreachable, say!("could not {}: {}", attempt, why))
        .remedy(Clean::ours("check the network and the VPN to the API server"))
}

/// A refusal that the server explained.
pub(super) fn from_status(gate: &Gate, attempt: &Clean, status: &Status) -> Trouble {
    let words = gate.clean(shortened(&status.message));
    let (kind, remedy) = match status.code {
        401 => (TroubleKind::Unauthenticated, "log in to the cluster again"),
        403 => (TroubleKind::Forbidden, "ask for this permission in this namespace"),
        404 => (TroubleKind::NotFound, "check the namespace and the name"),
        409 => (TroubleKind::Changed, "look at the object again and plan again"),
        400 if no_dry_run(status) => (
            TroubleKind::Invalid,
            "its owner has to declare sideEffects: None or NoneOnDryRun; nothing is sent that was not tried before",
        ),
        400 | 405 | 406 | 413 | 415 | 422 => (TroubleKind::Invalid, ""),
        429 => (TroubleKind::Busy, "the API server limits requests; wait a moment"),
        _ => (TroubleKind::Unreachable, "the API server has trouble of its own; try again"),
    };
    Trouble::new(kind, say!("could not {}: {} (HTTP {})", attempt, words, status.code)).remedy(Clean::ours(remedy))
}

/// The server's own words of a refusal.
pub(super) fn words(gate: &Gate, status: &Status) -> Clean {
    gate.clean(shortened(&status.message))
}

/// An admission webhook that may have side effects is in the way of a dry run, and of nothing else.
pub(super) fn no_dry_run(status: &Status) -> bool {
    status.code == 400 && status.message.contains(NO_DRY_RUN)
}

/// How long the server asks to be left alone. Where it limits requests (priority and fairness), it
/// says so in a header, at least one second, and in no `Status` (apiserver, `server/filters`,
/// `tooManyRequests`); kube 5 does not hand headers of refusals on.
pub(super) fn retry_after(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    let seconds = asked.max(u32::from(status.code == 429));
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// The HTTP status of a refusal.
pub(super) fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// True when the request certainly never left this machine: the connection was not made.
pub(super) fn never_sent(error: &kube::Error) -> bool {
    match error {
        kube::Error::Auth(_) | kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => true,
        kube::Error::Service(why) => {
            why.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|why| why.is_connect())
        }
        _ => false,
    }
}

/// A credential plugin's own words. Its standard output is a credential and is never shown.
fn auth_words(gate: &Gate, error: &kube::client::AuthError) -> Clean {
    match error {
        kube::client::AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said = gate.clean(shortened(said.trim()));
            say!("the credential plugin of the kubeconfig failed: {}", said)
        }
        kube::client::AuthError::AuthExecStart(why) => {
            say!("the credential plugin of the kubeconfig could not be started: {}", gate.clean(&why.to_string()))
        }
        kube::client::AuthError::AuthExecParse(_) => {
            Clean::ours("the credential plugin of the kubeconfig printed no credential")
        }
        other => gate.clean(shortened(&other.to_string())),
    }
}

/// What led to an error, innermost last.
fn causes(error: &kube::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&why| why.source())
}

/// Whether the server was reached and showed a certificate that is not to be trusted.
fn distrusts(error: &kube::Error) -> bool {
    causes(error).any(|why| {
        let wrapped = why.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = wrapped.and_then(|inner| inner.downcast_ref()).or_else(|| why.downcast_ref());
        matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
    })
}

/// Whether it was given up: looking the name up, reaching the server, greeting it.
fn took_too_long(error: &kube::Error) -> bool {
    let timed_out = |why: &std::io::Error| why.kind() == std::io::ErrorKind::TimedOut;
    causes(error).any(|why| why.downcast_ref().is_some_and(timed_out))
}

/// An error with its causes, innermost last, without repeating what the outer one says already.
fn chain(gate: &Gate, error: &kube::Error) -> Clean {
    let mut words = match error {
        kube::Error::Service(_) | kube::Error::HyperError(_) => String::new(),
        other => other.to_string(),
    };
    for why in causes(error) {
        let said = why.to_string();
        if !words.contains(&said) {
            if !words.is_empty() {
                words.push_str(": ");
            }
            words.push_str(&said);
        }
    }
    gate.clean(shortened(&words))
}

fn shortened(words: &str) -> &str {
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => &words[..end],
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_lead_to_different_moves() {
        let rows = [
            (401, TroubleKind::Unauthenticated),
            (403, TroubleKind::Forbidden),
            (404, TroubleKind::NotFound),
            (409, TroubleKind::Changed),
            (422, TroubleKind::Invalid),
            (429, TroubleKind::Busy),
            (500, TroubleKind::Unreachable),
            (503, TroubleKind::Unreachable),
        ];
        for (code, expected) in rows {
            let status = Status::failure("password=hunter22 refused", "Why").with_code(code);
            let trouble = from_status(&Gate::default(), &Clean::ours("read deployment/litellm"), &status);
            assert_eq!(trouble.kind, expected, "{code}");
            assert!(trouble.what.as_str().contains("could not read deployment/litellm"));
            assert!(!trouble.what.as_str().contains("hunter22"), "{}", trouble.what);
        }
        let words =
            "admission webhook \"vet.example\" does not support dry run because the field 'sideEffects' is not set";
        let status = Status::failure(words, "BadRequest").with_code(400);
        let trouble = from_status(&Gate::default(), &Clean::ours("try the revert of deployment/litellm"), &status);
        assert!(trouble.remedy.as_str().starts_with("its owner has to declare sideEffects"), "{trouble:?}");
    }
}
