//! Placeholders in the commands of manual steps: a closed set, filled in when a command is shown.

use crate::text::Clean;

/// What stands between braces in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placeholder {
    /// The namespace.
    Namespace,
    /// The Deployment's name.
    Workload,
    /// The kube context.
    Context,
    /// The Helm release.
    Release,
    /// The database's name.
    Database,
    /// The chosen revision's number.
    Revision,
    /// The chosen revision's image.
    Image,
    /// The dump's file.
    BackupFile,
    /// The migration's name.
    Migration,
    /// The ConfigMap that the target leans on and that changed since.
    ConfigMap,
    /// The key of it that the target's configuration file is.
    ConfigKey,
    /// The path of that file in the container.
    ConfigPath,
    /// The database that a backup was restored into.
    RestoredDatabase,
    /// The Secret that the database's URL is in.
    DatabaseSecret,
    /// The key of that Secret.
    DatabaseKey,
}

/// Every placeholder with its word.
pub const PLACEHOLDERS: [(&str, Placeholder); 15] = [
    ("namespace", Placeholder::Namespace),
    ("workload", Placeholder::Workload),
    ("context", Placeholder::Context),
    ("release", Placeholder::Release),
    ("database", Placeholder::Database),
    ("revision", Placeholder::Revision),
    ("image", Placeholder::Image),
    ("backup-file", Placeholder::BackupFile),
    ("migration", Placeholder::Migration),
    ("config-map", Placeholder::ConfigMap),
    ("config-key", Placeholder::ConfigKey),
    ("config-path", Placeholder::ConfigPath),
    ("restored-database", Placeholder::RestoredDatabase),
    ("database-secret", Placeholder::DatabaseSecret),
    ("database-key", Placeholder::DatabaseKey),
];

/// A piece of a command.
enum Piece<'a> {
    Words(&'a str),
    Braced(&'a str),
}

/// Cuts a command at its placeholders: `{` lower case letters and dashes `}`. Other braces are
/// part of the command.
fn pieces(command: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for (at, _) in command.match_indices('{') {
        let inner = &command[at + 1..];
        let length = inner.bytes().take_while(|b| b.is_ascii_lowercase() || *b == b'-').count();
        if at < from || length == 0 || !inner[length..].starts_with('}') {
            continue;
        }
        pieces.push(Piece::Words(&command[from..at]));
        pieces.push(Piece::Braced(&inner[..length]));
        from = at + length + 2;
    }
    pieces.push(Piece::Words(&command[from..]));
    pieces
}

fn known(word: &str) -> Option<Placeholder> {
    PLACEHOLDERS.iter().find(|(name, _)| *name == word).map(|(_, placeholder)| *placeholder)
}

/// The braced words of a command that are no placeholder.
pub(super) fn unknown(command: &str) -> impl Iterator<Item = &str> {
    pieces(command).into_iter().filter_map(|piece| match piece {
        Piece::Braced(word) if known(word).is_none() => Some(word),
        _ => None,
    })
}

/// Where in a shell command a place is.
#[derive(Clone, Copy)]
enum Quoting {
    Bare,
    Single,
    Double,
}

impl Quoting {
    /// Where these further words lead.
    fn after(self, words: &str) -> Self {
        let mut quoting = self;
        let mut escaped = false;
        for c in words.chars() {
            quoting = match (quoting, c) {
                _ if std::mem::take(&mut escaped) => quoting,
                (Self::Bare | Self::Double, '\\') => {
                    escaped = true;
                    quoting
                }
                (Self::Bare, '\'') => Self::Single,
                (Self::Bare, '"') => Self::Double,
                (Self::Single, '\'') | (Self::Double, '"') => Self::Bare,
                _ => quoting,
            };
        }
        quoting
    }

    /// A value so that it stays within its word, whatever is in it.
    fn quoted(self, value: &Clean) -> Clean {
        match self {
            Self::Bare => value.shell_word(),
            Self::Single => value.in_single_quotes(),
            Self::Double => value.in_double_quotes(),
        }
    }
}

/// The command with its placeholders filled in. What is not known stays visible as `<word>`. A
/// value cannot break out of the word, or the quotes, that its placeholder stands in.
pub fn fill(command: &Clean, value: impl Fn(Placeholder) -> Option<Clean>) -> Clean {
    let mut filled = Clean::default();
    let mut quoting = Quoting::Bare;
    let mut at = 0;
    let mut copy = |filled: &Clean, length: usize| {
        let words = command.slice(at..at + length).unwrap_or_default();
        at += length;
        say!("{}{}", filled, words)
    };
    for piece in pieces(command.as_str()) {
        filled = match piece {
            Piece::Words(words) => {
                quoting = quoting.after(words);
                copy(&filled, words.len())
            }
            Piece::Braced(word) => {
                let written = copy(&Clean::default(), word.len() + 2);
                let name = written.slice(1..word.len() + 1).unwrap_or_default();
                match known(word).and_then(&value) {
                    Some(value) => say!("{}{}", filled, quoting.quoted(&value)),
                    None => say!("{}<{}>", filled, name),
                }
            }
        };
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_within_its_word() {
        let command = Clean::ours(r#"kubectl --context '{context}' -n {context} resolve "{context}" # it's"#);
        let hostile = r#"a'; rm -rf "$HOME"; echo '"#;
        let filled = fill(&command, |_| Some(Clean::ours(r#"a'; rm -rf "$HOME"; echo '"#)));
        let words = shell_words::split(filled.as_str().split(" # ").next().unwrap()).unwrap();
        assert_eq!(words, ["kubectl", "--context", hostile, "-n", hostile, "resolve", hostile]);
    }

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        let command = Clean::ours(r#"kubectl -n {namespace} patch {workload} -p '{"spec":{}}' {x}{"#);
        let filled = fill(&command, |p| (p == Placeholder::Namespace).then(|| Clean::ours("llm")));
        assert_eq!(filled.as_str(), r#"kubectl -n llm patch <workload> -p '{"spec":{}}' <x>{"#);
        assert_eq!(unknown(command.as_str()).collect::<Vec<_>>(), ["x"]);
    }
}
