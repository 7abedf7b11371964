//! Clean text within commands that people copy: a quote in a name must not end the quoting.

use std::sync::Arc;

use super::Clean;

impl Clean {
    /// As one word of a POSIX shell: quoted where it has to be.
    pub fn shell_word(&self) -> Clean {
        Self(Arc::from(&*shell_words::quote(self.as_str())))
    }

    /// As a part of a shell word in single quotes.
    pub fn in_single_quotes(&self) -> Clean {
        Self(Arc::from(self.as_str().replace('\'', r"'\''")))
    }

    /// As a part of a shell word in double quotes (POSIX.1-2024, Shell & Utilities, 2.2.3).
    pub fn in_double_quotes(&self) -> Clean {
        let mut quoted = String::with_capacity(self.as_str().len());
        for c in self.as_str().chars() {
            if matches!(c, '\\' | '"' | '$' | '`') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        Self(Arc::from(quoted))
    }

    /// As an SQL literal (PostgreSQL manual, 4.1.2.1: a quote inside is doubled).
    pub fn sql_literal(&self) -> Clean {
        Self(Arc::from(format!("'{}'", self.as_str().replace('\'', "''"))))
    }
}

#[cfg(test)]
mod tests {
    use crate::text::Clean;

    #[test]
    fn a_quote_does_not_break_out() {
        let hostile = Clean::ours(r#"it's "$(rm)" \"#);
        assert_eq!(shell_words::split(hostile.shell_word().as_str()).unwrap(), [hostile.as_str()]);
        assert_eq!(shell_words::split(&format!("'{}'", hostile.in_single_quotes())).unwrap(), [hostile.as_str()]);
        assert_eq!(shell_words::split(&format!("\"{}\"", hostile.in_double_quotes())).unwrap(), [hostile.as_str()]);
        assert_eq!(Clean::ours("a'; DROP TABLE x; --").sql_literal().as_str(), "'a''; DROP TABLE x; --'");
        assert_eq!(Clean::ours("plain-word").shell_word().as_str(), "plain-word");
    }
}
