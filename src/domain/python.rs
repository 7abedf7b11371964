//! As much of Python as reading LiteLLM's own code needs: functions by name, calls, names. Blank
//! space, comments and texts of documentation say nothing here.
//!
//! A parser would be a crate as large as this program, for a handful of places that are found by
//! their names; what is not found is reported, never guessed.

/// The code without comments, and with every text between three quotes left empty.
pub(in crate::domain) fn plain(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find(['#', '"', '\'']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let quote = &rest[..1];
        if quote == "#" {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if let Some(inside) = rest.strip_prefix(&quote.repeat(3)) {
            let text = until(inside, &quote.repeat(3));
            // The lines stay, so that what follows keeps its indentation.
            plain.push_str("\"\"");
            rest = inside.get(text.len() + 3..).unwrap_or_default();
        } else {
            let text = until(&rest[1..], quote);
            let end = (text.len() + 2).min(rest.len());
            plain.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    plain.push_str(rest);
    plain
}

/// What stands before the quotes that end it.
fn until<'a>(text: &'a str, quotes: &str) -> &'a str {
    let mut from = 0;
    while let Some(at) = text[from..].find(quotes).map(|at| from + at) {
        let escapes = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if escapes % 2 == 0 {
            return &text[..at];
        }
        from = at + 1;
    }
    text
}

/// The block that a line like `def NAME(` or `class NAME(` opens, in code that is already plain.
pub(in crate::domain) fn block<'a>(plain: &'a str, opens: &str) -> Option<&'a str> {
    let mut at = 0;
    let mut found: Option<(usize, usize)> = None;
    for line in plain.split_inclusive('\n') {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        match found {
            None if text.strip_prefix("async ").unwrap_or(text).starts_with(opens) => found = Some((at, indent)),
            Some((from, outer)) if indent <= outer && !text.trim_end().is_empty() && !text.starts_with(')') => {
                return Some(&plain[from..at]);
            }
            _ => {}
        }
        at += line.len();
    }
    found.map(|(from, _)| &plain[from..])
}

/// The code without blank space.
pub(in crate::domain) fn squeezed(code: &str) -> String {
    code.split_whitespace().collect()
}

/// What stands in the parentheses of a call in code without blank space.
pub(in crate::domain) fn arguments<'a>(squeezed: &'a str, call: &str) -> Option<&'a str> {
    let called = format!("{call}(");
    let inside = &squeezed[squeezed.find(&called)? + called.len()..];
    let mut open = 1usize;
    let end = inside.find(|c: char| {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open -= 1,
            _ => {}
        }
        open == 0
    })?;
    Some(&inside[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_documentation_are_left_out_and_texts_are_kept() {
        let source = "a = 'it # is' # not\n\"\"\"def no(\n'\"\"\"\nb = \"\\\"#\" # end";
        assert_eq!(plain(source), "a = 'it # is' \n\"\"\nb = \"\\\"#\" ");
        assert_eq!(plain("'''"), "\"\"");
        assert_eq!(plain("x = '"), "x = '");
    }

    #[test]
    fn a_block_ends_where_the_indentation_does() {
        let code = "class A:\n    def one(\n        self,\n    ) -> bool:\n        go(1)\n\n        go(2)\n    def two(self): pass\nend\n";
        assert_eq!(squeezed(block(code, "def one(").unwrap()), "defone(self,)->bool:go(1)go(2)");
        assert_eq!(squeezed(block(code, "def two(").unwrap()), "deftwo(self):pass");
        assert_eq!(block(code, "def three("), None);
        assert!(block("async def four():\n  x", "def four(").is_some());
    }

    #[test]
    fn the_arguments_of_a_call_are_told() {
        assert_eq!(arguments("x=f(a,(b),[c]);f(d)", "f"), Some("a,(b),[c]"));
        assert_eq!(arguments("importf;f()", "f"), Some(""));
        assert_eq!(arguments("f(a", "f"), None);
        assert_eq!(arguments("g", "f"), None);
    }
}
