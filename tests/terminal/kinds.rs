//! Terminals that can do less.

use super::pty::{SOON, Start, find};
use super::{NEXT, home, is_colour, opened, sgr};

#[test]
fn a_terminal_inside_screen_is_enough() {
    let home = home();
    let mut session =
        opened(Start { env: &[("TERM", "screen")], ..Start::lastgood(home.path(), &["drill", "bad-image"]) });
    session.send("1");
    session.wait_for(NEXT, SOON);
    session.send("q");
    assert_eq!(session.wait_end(SOON).0, 0);
    session.assert_restored();
}

#[test]
fn what_a_terminal_cannot_show_is_not_sent() {
    let few = |term, locale, colours, ascii: bool| {
        let home = home();
        let env = [("TERM", term), ("LANG", locale)];
        let session = opened(Start { env: &env, ..Start::lastgood(home.path(), &["drill", "bad-image"]) });
        let raw = session.raw();
        assert_eq!(sgr(&raw).into_iter().flatten().any(is_colour), colours, "colours on {term} in {locale}");
        let drawn = |c: &char| matches!(*c, '\u{2500}'..='\u{27bf}');
        let sign = String::from_utf8_lossy(&raw).chars().find(drawn);
        assert_eq!(sign.is_none(), ascii, "{sign:?} on {term} in {locale}");
    };
    few("xterm-256color", "C.UTF-8", true, false);
    few("linux", "C.UTF-8", true, true);
    few("vt100", "C.UTF-8", false, true);
    few("xterm", "C", true, true);
}

#[test]
fn a_terminal_without_a_cursor_is_told_so_in_plain_words() {
    let home = home();
    let start = Start::lastgood(home.path(), &["drill", "bad-image"]);
    let mut session = Start { env: &[("TERM", "dumb")], ..start }.open();
    let (code, _) = session.wait_end(SOON);
    assert_eq!(code, 2, "{}", session.screen());
    assert!(session.screen().contains("TERM=dumb"), "{}", session.screen());
    assert!(find(&session.raw(), b"\x1b[").is_none(), "{:?}", session.screen());
    assert!(!home.path().join(".local").exists(), "an incident was opened for a refusal");
}
