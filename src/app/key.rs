//! Keys in the console's own words, so that the core knows no terminal and key files are readable.

use std::fmt;
use std::str::FromStr;

/// A key without modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Code {
    Char(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    F(u8),
}

/// One key press.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which key.
    pub code: Code,
    /// With control held.
    pub ctrl: bool,
    /// With alt held.
    pub alt: bool,
}

impl Key {
    /// A key without modifiers.
    pub const fn plain(code: Code) -> Self {
        Self { code, ctrl: false, alt: false }
    }
}

const NAMED: [(&str, Code); 16] = [
    ("enter", Code::Enter),
    ("esc", Code::Esc),
    ("tab", Code::Tab),
    ("shift-tab", Code::BackTab),
    ("backspace", Code::Backspace),
    ("del", Code::Delete),
    ("up", Code::Up),
    ("down", Code::Down),
    ("left", Code::Left),
    ("right", Code::Right),
    ("home", Code::Home),
    ("end", Code::End),
    ("pgup", Code::PageUp),
    ("pgdn", Code::PageDown),
    ("space", Code::Char(' ')),
    ("lt", Code::Char('<')),
];

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = String::new();
        if self.ctrl {
            name.push_str("ctrl-");
        }
        if self.alt {
            name.push_str("alt-");
        }
        match (self.code, NAMED.iter().find(|(_, code)| *code == self.code)) {
            (_, Some((word, _))) => name.push_str(word),
            (Code::Char(c), None) => name.push(c),
            (Code::F(n), None) => name.push_str(&format!("f{n}")),
            _ => {}
        }
        f.pad(&name)
    }
}

impl FromStr for Key {
    type Err = String;
    fn from_str(raw: &str) -> Result<Self, String> {
        let bad =
            || format!("{raw:?} is not a key; write one character, or a name such as enter, esc, pgup, f5, ctrl-c");
        let mut rest = raw;
        let (mut ctrl, mut alt) = (false, false);
        loop {
            if let Some(after) = rest.strip_prefix("ctrl-").filter(|after| !after.is_empty()) {
                (ctrl, rest) = (true, after);
            } else if let Some(after) = rest.strip_prefix("alt-").filter(|after| !after.is_empty()) {
                (alt, rest) = (true, after);
            } else {
                break;
            }
        }
        let named = NAMED.iter().find(|(word, _)| *word == rest).map(|(_, code)| *code);
        let function =
            || rest.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()).filter(|n| (1..=12).contains(n)).map(Code::F);
        let mut chars = rest.chars();
        let single = match (chars.next(), chars.next()) {
            (Some(c), None) if !c.is_control() => Some(Code::Char(c)),
            _ => None,
        };
        let code = named.or(single).or_else(function).ok_or_else(bad)?;
        Ok(Self { code, ctrl, alt })
    }
}

/// Reads a line of keys as people write them: `d abc <enter> <ctrl-c>`. Spaces separate;
/// `<…>` names a key; other words are typed letter by letter; `<space>` is a space.
pub fn keys(line: &str) -> Result<Vec<Key>, String> {
    let mut found = Vec::new();
    for word in line.split_whitespace() {
        match word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
            Some(name) => found.push(name.parse()?),
            None => found.extend(word.chars().map(|c| Key::plain(Code::Char(c)))),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_as_they_are_read() {
        for name in ["a", "?", "enter", "shift-tab", "ctrl-c", "alt-x", "f5", "space", "-", "ctrl--"] {
            assert_eq!(name.parse::<Key>().map(|key| key.to_string()).as_deref(), Ok(name));
        }
        assert!("".parse::<Key>().is_err());
        assert!("hello".parse::<Key>().is_err());
        assert_eq!(keys("ab <enter>").map(|keys| keys.len()), Ok(3));
    }
}
