//! The first screen waits for nobody: not for a credential plugin, not for a server.

use std::net::TcpListener;
use std::path::Path;

use super::home;
use super::pty::{SOON, Session, Start, find};

const PAINTED: &str = "STAGING  lab";
const PROMPT: &str = "one-time code: ";

/// An environment whose cluster is this server, with this user in its kubeconfig.
fn configure(home: &Path, server: &str, user: &str) {
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: far\n\
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {user}}}]\n\
         contexts: [{{name: far, context: {{cluster: c, user: u, namespace: llm}}}}]\n"
    );
    std::fs::write(home.join("kubeconfig"), kubeconfig).unwrap();
    let text = "[env.lab]\nkind = 'staging'\ncontext = 'far'\nnamespace = 'llm'\nworkloads = ['litellm']\n";
    std::fs::write(home.join("lastgood.toml"), text).unwrap();
}

/// A user whose credential comes from this shell script.
fn plugin(mode: &str, script: &str) -> String {
    let exec = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": mode, "command": "sh", "args": ["-c", script],
    });
    serde_json::json!({ "exec": exec }).to_string()
}

fn start(home: &Path) -> Session {
    let session = Start::lastgood(home, &[]).open();
    session.wait_for(PAINTED, SOON);
    session
}

fn quits(mut session: Session) {
    session.send("q");
    assert_eq!(session.wait_end(SOON).0, 0, "{}", session.screen());
    session.assert_restored();
}

#[test]
fn a_plugin_that_hangs_holds_up_neither_the_screen_nor_the_end() {
    for mode in ["Never", "IfAvailable"] {
        let home = home();
        configure(home.path(), "http://127.0.0.1:1", &plugin(mode, "exec sleep 600"));
        let session = start(home.path());
        session.wait_for("connecting", SOON);
        quits(session);
    }
}

#[test]
fn a_plugin_that_fails_says_why_where_the_pods_would_be() {
    let home = home();
    configure(home.path(), "http://127.0.0.1:1", &plugin("Never", "echo the session is over >&2; exit 1"));
    let session = start(home.path());
    session.wait_for("the session is over", SOON);
    assert!(session.with(vt100::Screen::alternate_screen));
    quits(session);
}

/// It keeps its token in a file, as plugins do.
#[test]
fn a_plugin_that_asks_gets_the_plain_terminal_when_its_cached_token_does_not_serve() {
    let home = home();
    let token =
        r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t0ken"}}"#;
    let cache = home.path().join("cached");
    let cache = cache.to_str().unwrap();
    let script = format!(
        "test -s {cache} || case \"$KUBERNETES_EXEC_INFO\" in *'\"interactive\":true'*) \
         printf '{PROMPT}' >&2; read code; echo \"$code\" > {cache};; esac; test -s {cache} && echo '{token}'"
    );
    configure(home.path(), "http://127.0.0.1:1", &plugin("IfAvailable", &script));
    let mut session = start(home.path());
    session.wait_for(PROMPT, SOON);
    session.assert_restored();
    assert!(session.is_cooked(), "what is typed is not seen");
    // Keys of the console are letters for the plugin.
    session.send("q4711\r");
    session.wait_until("the screen again", SOON, |screen, _| screen.alternate_screen());
    session.wait_for(PAINTED, SOON);
    assert_eq!(std::fs::read_to_string(cache).unwrap(), "q4711\n");
    // The token served: what fails now is the way to the server.
    session.wait_for("Connection refused", SOON);
    quits(session);

    let session = start(home.path());
    session.wait_for("Connection refused", SOON);
    assert!(find(&session.raw(), PROMPT.as_bytes()).is_none(), "asked although the cached token serves");
    quits(session);
}

#[test]
fn a_server_that_accepts_and_never_answers_is_no_reason_to_wait() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = home();
    configure(home.path(), &format!("http://{}", silent.local_addr().unwrap()), "{token: t0ken}");
    let session = start(home.path());
    session.wait_for("connecting", SOON);
    quits(session);
}
