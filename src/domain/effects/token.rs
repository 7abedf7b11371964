//! SQL cut into tokens, as PostgreSQL's lexical rules say (its manual, section 4.1), without
//! comments. Enough to read the statements of a migration; not a parser of SQL.

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A key word or an unquoted name, as it was written.
    Word(String),
    /// A quoted name, without its quotes.
    Quoted(String),
    /// A string constant. What it says does not matter.
    Text,
    /// A dollar-quoted string, without its quotes: the body of a block or of a function.
    Body(String),
    /// A number. Its value does not matter.
    Number,
    /// Any other character.
    Sign(char),
}

impl Token {
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(own) if own.eq_ignore_ascii_case(word))
    }
}

/// The tokens of a text. `None` where a quote or a comment does not end.
pub(super) fn tokens(sql: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.trim_start();
        } else if let Some(after) = rest.strip_prefix("--") {
            rest = after.split_once('\n').map_or("", |(_, after)| after);
        } else if rest.starts_with("/*") {
            rest = after_comment(rest)?;
        } else {
            let (token, after) = token(rest, first)?;
            found.push(token);
            rest = after;
        }
    }
    Some(found)
}

/// The token at the start of a text that is no space and no comment, and what follows it.
fn token(rest: &str, first: char) -> Option<(Token, &str)> {
    Some(match first {
        '"' => {
            let (name, after) = quoted(&rest[1..], '"', false)?;
            (Token::Quoted(name), after)
        }
        '\'' => (Token::Text, quoted(&rest[1..], '\'', false)?.1),
        'e' | 'E' if rest[1..].starts_with('\'') => (Token::Text, quoted(&rest[2..], '\'', true)?.1),
        '$' => match dollar(rest) {
            Some(quoted) => {
                let (body, after) = quoted?;
                (Token::Body(body.to_owned()), after)
            }
            None => (Token::Sign('$'), &rest[1..]),
        },
        c if c.is_alphabetic() || c == '_' => {
            let (word, after) = split(rest, |c| c.is_alphanumeric() || matches!(c, '_' | '$'));
            (Token::Word(word.to_owned()), after)
        }
        c if c.is_ascii_digit() => {
            (Token::Number, split(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_')).1)
        }
        other => (Token::Sign(other), &rest[other.len_utf8()..]),
    })
}

fn split(text: &str, takes: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !takes(c)).unwrap_or(text.len()))
}

/// What stands before the closing quote, and what follows it. A doubled quote stands for one; a
/// backslash takes the next character along where `escapes` says so.
fn quoted(text: &str, quote: char, escapes: bool) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.next_if(|(_, next)| *next == quote).is_none() {
                return Some((inside, &text[at + 1..]));
            }
        } else if c == '\\' && escapes {
            chars.next();
        }
        inside.push(c);
    }
    None
}

/// A dollar-quoted string. `None` where the dollar begins none; `Some(None)` where it has no end.
fn dollar(text: &str) -> Option<Option<(&str, &str)>> {
    let tag = text[1..].find('$').map(|end| &text[..end + 2])?;
    let inner = &tag[1..tag.len() - 1];
    let named = inner.chars().all(|c| c.is_alphanumeric() || c == '_') && !inner.starts_with(|c: char| c.is_numeric());
    named.then(|| text[tag.len()..].split_once(tag))
}

/// What follows a comment, which may hold others.
fn after_comment(text: &str) -> Option<&str> {
    let mut depth = 0usize;
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, after);
        } else if let Some(after) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, after);
            if depth == 0 {
                return Some(rest);
            }
        } else {
            rest = &rest[rest.chars().next()?.len_utf8()..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Token {
        Token::Word(text.into())
    }

    #[test]
    fn quotes_and_comments_end_where_postgresql_ends_them() {
        let rows = [
            ("a /* b /* c */ ; */ d -- e ; f\n g", Some(vec![word("a"), word("d"), word("g")])),
            (r#""a""b" 'it''s;' E'\';'"#, Some(vec![Token::Quoted("a\"b".into()), Token::Text, Token::Text])),
            ("$$ a; $$ $x$ $$ $x$", Some(vec![Token::Body(" a; ".into()), Token::Body(" $$ ".into())])),
            ("$1 1e5", Some(vec![Token::Sign('$'), Token::Number, Token::Number])),
            ("'open", None),
            ("\"open", None),
            ("/* open /* */", None),
            ("$$ open", None),
        ];
        for (sql, expected) in rows {
            assert_eq!(tokens(sql), expected, "{sql}");
        }
    }
}
