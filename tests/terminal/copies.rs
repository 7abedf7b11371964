//! Copying, by the terminal and by tmux.

use base64::Engine as _;

use super::pty::{SOON, Start, find, wait_until};
use super::{drill, home, opened};

const POD: &str = "litellm-";

#[test]
fn a_copy_goes_to_the_terminal_as_osc_52() {
    let home = home();
    let mut session = drill(home.path());
    session.send("Py");
    session.wait_for("sent to the terminal's clipboard", SOON);
    let raw = session.raw();
    let at = find(&raw, b"\x1b]52;c;").expect("OSC 52") + 7;
    let end = at + find(&raw[at..], b"\x07").expect("its end");
    let copied = base64::engine::general_purpose::STANDARD.decode(&raw[at..end]).unwrap();
    assert!(String::from_utf8(copied).unwrap().starts_with(POD));
}

/// tmux ignores OSC 52 of programs by default (`set-clipboard external`), so its own command copies.
#[test]
fn a_copy_in_tmux_is_in_its_buffer() {
    if !std::path::Path::new("/usr/bin/tmux").exists() {
        return eprintln!("SKIPPED: no /usr/bin/tmux on this machine");
    }
    let home = home();
    let socket = home.path().join("tmux.socket");
    let socket = socket.to_str().unwrap();
    let program = env!("CARGO_BIN_EXE_lastgood");
    let inside = ["-u", "-S", socket, "-f", "/dev/null", "new-session", program, "drill", "bad-image"];
    let mut session = opened(Start { program: "/usr/bin/tmux", ..Start::lastgood(home.path(), &inside) });
    session.send("P");
    session.send("y");
    session.wait_for("copied into tmux's buffer", SOON);
    let tmux =
        |command: &str| std::process::Command::new("/usr/bin/tmux").args(["-S", socket, command]).output().unwrap();
    wait_until("the buffer", SOON, || tmux("show-buffer").stdout.starts_with(POD.as_bytes()));
    session.send("q");
    assert_eq!(session.wait_end(SOON).0, 0, "{}", session.screen());
}
