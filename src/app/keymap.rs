//! Keys to actions, read from a key file; help and footer are printed from it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::app::action::{Action, Pane};
use crate::app::key::Key;

/// The key file that is built in: documentation and default at once.
pub const DEFAULT: &str = include_str!("../../assets/keys.toml");

/// A key file as it is written: a table of `key = "action"` for all panes, and one for each pane.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    all: BTreeMap<String, String>,
    #[serde(default)]
    pane: BTreeMap<Pane, BTreeMap<String, String>>,
}

/// Which key does what in which pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keymap {
    bindings: BTreeMap<(Option<Pane>, Key), Action>,
}

impl Keymap {
    /// The keys that are built in.
    pub fn bundled() -> Self {
        Self::parse(DEFAULT).unwrap_or_else(|why| unreachable!("proved by a test: {why}"))
    }

    /// Reads a key file. Refuses unknown keys and actions, a key given twice, and a map in which
    /// help, quit or going on cannot be reached.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|why| why.to_string())?;
        let mut bindings = BTreeMap::new();
        let tables = std::iter::once((None, &file.all)).chain(file.pane.iter().map(|(pane, keys)| (Some(*pane), keys)));
        for (pane, table) in tables {
            for (key, slug) in table {
                let action = Action::named(slug).ok_or_else(|| format!("{key} = {slug:?}: there is no such action"))?;
                if bindings.insert((pane, key.parse::<Key>()?), action).is_some() {
                    return Err(format!("{key}: given twice"));
                }
            }
        }
        let map = Self { bindings };
        for needed in [Action::Help, Action::Quit, Action::GoOn, Action::Palette] {
            if map.key(None, needed).is_none() {
                return Err(format!("no key for {:?} in the table for all panes", needed.slug()));
            }
        }
        Ok(map)
    }

    /// What a key does in a pane: the pane's own binding first.
    pub fn action(&self, pane: Pane, key: Key) -> Option<Action> {
        self.bindings.get(&(Some(pane), key)).or_else(|| self.bindings.get(&(None, key))).copied()
    }

    /// The key of an action in a pane, for footer, help and palette: the easiest one to press.
    pub fn key(&self, pane: Option<Pane>, action: Action) -> Option<Key> {
        let of = |wanted: Option<Pane>| {
            let keys = self.bindings(wanted).filter(|(_, bound)| *bound == action).map(|(key, _)| key);
            keys.min_by_key(|key| (key.ctrl || key.alt, key.to_string().len()))
        };
        pane.and_then(|pane| of(Some(pane))).or_else(|| of(None))
    }

    /// Every binding of a pane (`None`: of all panes), in key order.
    pub fn bindings(&self, pane: Option<Pane>) -> impl Iterator<Item = (Key, Action)> + '_ {
        self.bindings.iter().filter(move |((of, _), _)| *of == pane).map(|((_, key), action)| (*key, *action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_keys_are_sound() {
        let map = Keymap::parse(DEFAULT).unwrap();
        for action in Action::ALL {
            let reachable =
                std::iter::once(None).chain(Pane::ALL.map(Some)).any(|pane| map.key(pane, *action).is_some());
            let by_palette = matches!(action, Action::Redraw | Action::Disarm);
            assert!(reachable || by_palette, "{} has no key", action.slug());
        }
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(Keymap::parse("[all]\nq = \"quit\"").is_err_and(|why| why.contains("help")));
        assert!(Keymap::parse("[all]\nq = \"fly\"").is_err_and(|why| why.contains("no such action")));
        assert!(Keymap::parse("[all]\nhello = \"quit\"").is_err_and(|why| why.contains("not a key")));
    }
}
