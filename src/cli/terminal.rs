//! What a terminal can show, by its name and the locale. Names are those of term(7) of ncurses.

use crate::cli::command::Look;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// The look that this terminal can show. `term` is `TERM`, `locale` the first of `LC_ALL`,
/// `LC_CTYPE` and `LANG` that says something (locale(7)); a locale that nobody names is taken for
/// UTF-8.
///
/// # Errors
/// [`TroubleKind::Invalid`] for a terminal that cannot move its cursor.
pub fn fitting(look: Look, term: Option<&str>, locale: Option<&str>, gate: &Gate) -> Result<Look, Trouble> {
    let term = term.unwrap_or_default();
    if ["dumb", "unknown"].contains(&term) {
        return Err(Trouble::new(
            TroubleKind::Invalid,
            say!("this terminal cannot show the console: TERM={} has no cursor that moves", gate.clean(term)),
        )
        .remedy(Clean::ours(
            "set TERM to what the terminal is, as in TERM=xterm-256color, or use a command without a screen: \
             see `lastgood --help`",
        )));
    }
    let video_terminal = term.starts_with("vt") && term[2..].starts_with(|c: char| c.is_ascii_digit());
    let monochrome = video_terminal || term.ends_with("-m") || term.ends_with("-mono");
    // The fonts of the Linux console have the lines, but not the signs.
    let few_letters = video_terminal || term == "linux" || term.starts_with("linux-");
    let other_letters = locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        !(locale.contains("utf-8") || locale.contains("utf8"))
    });
    Ok(Look { color: look.color && !monochrome, ascii: look.ascii || few_letters || other_letters, ..look })
}

/// [`fitting`] for the terminal and the locale of this process.
///
/// # Errors
/// As [`fitting`].
pub fn fitting_here(look: Look, gate: &Gate) -> Result<Look, Trouble> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    fitting(look, variable("TERM").as_deref(), locale.as_deref(), gate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(term: &str, locale: Option<&str>) -> (bool, bool) {
        let asked = Look { color: true, ascii: false, mouse: false };
        let look = fitting(asked, Some(term), locale, &Gate::default()).unwrap();
        (look.color, look.ascii)
    }

    #[test]
    fn the_name_and_the_locale_say_what_can_be_shown() {
        let utf8 = Some("de_DE.UTF-8");
        for term in ["xterm-256color", "screen", "tmux-256color", "vte", ""] {
            assert_eq!(seen(term, utf8), (true, false), "{term}");
        }
        assert_eq!(seen("linux", utf8), (true, true));
        assert_eq!(seen("vt100", utf8), (false, true));
        assert_eq!(seen("xterm-mono", utf8), (false, false));
        assert_eq!(seen("xterm", Some("C")), (true, true));
        assert_eq!(seen("xterm", Some("de_DE.ISO-8859-15")), (true, true));
        assert_eq!(seen("xterm", Some("C.utf8")), (true, false));
        assert_eq!(seen("xterm", None), (true, false));
    }

    #[test]
    fn what_was_asked_for_is_never_taken_back() {
        let asked = Look { color: false, ascii: true, mouse: true };
        assert_eq!(fitting(asked, Some("xterm"), Some("C.UTF-8"), &Gate::default()).unwrap(), asked);
    }

    #[test]
    fn a_terminal_without_a_cursor_is_refused() {
        let look = Look { color: true, ascii: false, mouse: false };
        let why = fitting(look, Some("dumb"), None, &Gate::default()).unwrap_err();
        assert!(why.sentence().as_str().contains("TERM=dumb"), "{}", why.sentence());
    }
}
