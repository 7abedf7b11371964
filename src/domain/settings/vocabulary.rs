//! Reads out of LiteLLM's own code which settings a version knows.
//!
//! What counts, section by section:
//! * `general_settings`: the fields of `ConfigGeneralSettings` (`proxy/_types.py`) and of whatever
//!   else is made of the section, and every name that is looked up in it anywhere;
//! * `litellm_settings`: the names of the module `litellm` (`__init__.py`), because the proxy sets
//!   each entry as an attribute of it, those that `load_config` (`proxy/proxy_server.py`) asks for,
//!   and every name that is looked up in the section or in the module;
//! * `router_settings`: the arguments of `Router` (`router.py`) and every name that is looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::Section;
use crate::domain::python::{block, plain};

/// The names that a version knows, by section.
pub type Vocabulary = BTreeMap<Section, BTreeSet<String>>;

/// Whether a file of the package is read for it.
pub fn wanted(path: &str) -> bool {
    let inside = path.strip_prefix("litellm/").filter(|_| path.ends_with(".py"));
    inside.is_some_and(|inside| !inside.starts_with("llms/"))
}

struct Lookups {
    section: Section,
    reads: [Regex; 3],
    made: Regex,
}

static LOOKUPS: LazyLock<Vec<Lookups>> = LazyLock::new(|| {
    let of = |section: Section| {
        let key = section.key();
        let name = r#"["']([a-z]\w+)["']"#;
        let regex = |text: String| Regex::new(&text).ok();
        Some(Lookups {
            section,
            reads: [
                regex(format!(r"{key}(?:\s+or\s+\{{\}})?\)?\s*\.(?:get|pop|setdefault)\(\s*{name}"))?,
                regex(format!(r"{key}\s*\[\s*{name}\s*\]"))?,
                regex(format!(r"{name}\s+(?:not\s+)?in\s+\(?[\w.]*{key}\b"))?,
            ],
            made: regex(format!(r"\b([A-Z]\w+)(?:\.model_validate\(\s*|\(\s*\*\*){key}\b"))?,
        })
    };
    Section::ALL.into_iter().filter_map(of).collect()
});
static ATTRIBUTE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^([a-z]\w+)[ \t]*(?::|=[^=])").ok());
static IMPORT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?m)^from\s+[\w.]+\s+import\s+(?:\(([^)]*)\)|(.*))$").ok());
static MODULE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"getattr\(\s*litellm,\s*["']([a-z]\w+)["']"#).ok());
static ASKED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"\bkey\s*==\s*["']([a-z]\w+)["']"#).ok());
static FIELD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^    ([a-z]\w+)\s*:").ok());
static ARGUMENT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^        ([a-z]\w+)\s*[:=]").ok());

fn names<'a>(regex: &'a LazyLock<Option<Regex>>, text: &'a str) -> impl Iterator<Item = String> + 'a {
    let found = regex.as_ref().into_iter().flat_map(move |regex| regex.captures_iter(text));
    found.filter_map(|found| Some(found.get(1)?.as_str().to_owned()))
}

/// The names that the files of a version know: path and text of each that is [wanted].
pub fn vocabulary(files: &[(&str, &str)]) -> Vocabulary {
    let mut known: Vocabulary = Section::ALL.into_iter().map(|section| (section, BTreeSet::new())).collect();
    let mut learn = |section: Section, names: &mut dyn Iterator<Item = String>| {
        known.entry(section).or_default().extend(names);
    };
    let mut made: BTreeSet<(Section, String)> = BTreeSet::new();
    made.insert((Section::GeneralSettings, "ConfigGeneralSettings".to_owned()));
    for (path, text) in files {
        let looks = LOOKUPS.iter().filter(|lookups| text.contains(lookups.section.key()));
        for Lookups { section, reads, made: makes } in looks {
            let found = reads.iter().flat_map(|regex| regex.captures_iter(text));
            learn(*section, &mut found.filter_map(|found| Some(found.get(1)?.as_str().to_owned())));
            made.extend(
                makes.captures_iter(text).filter_map(|found| Some((*section, found.get(1)?.as_str().to_owned()))),
            );
        }
        if text.contains("getattr(") {
            learn(Section::LitellmSettings, &mut names(&MODULE, text));
        }
        match *path {
            "litellm/__init__.py" => learn(Section::LitellmSettings, &mut module(&plain(text)).into_iter()),
            "litellm/proxy/proxy_server.py" => {
                let plain = plain(text);
                let body = block(&plain, "def load_config(").unwrap_or_default();
                learn(Section::LitellmSettings, &mut names(&ASKED, body));
            }
            "litellm/router.py" => {
                let plain = plain(text);
                let class =
                    block(&plain, "class Router:").or_else(|| block(&plain, "class Router(")).unwrap_or_default();
                let signature = class.split_once("def __init__(").map_or("", |(_, rest)| rest);
                let signature = signature.split_once("\n    )").map_or("", |(signature, _)| signature);
                learn(Section::RouterSettings, &mut names(&ARGUMENT, signature));
            }
            _ => {}
        }
    }
    for (section, class) in made {
        let opens = [format!("class {class}("), format!("class {class}:")];
        let defines = files.iter().filter(|(_, text)| opens.iter().any(|opens| text.contains(opens)));
        for (_, text) in defines {
            let plain = plain(text);
            let body = opens.iter().find_map(|opens| block(&plain, opens)).unwrap_or_default();
            learn(section, &mut names(&FIELD, body));
        }
    }
    known
}

/// The names that a module has at its top: assigned, declared or imported.
fn module(plain: &str) -> Vec<String> {
    let imports = IMPORT.as_ref().into_iter().flat_map(|regex| regex.captures_iter(plain));
    let lists = imports.filter_map(|found| found.get(1).or_else(|| found.get(2)));
    let imported = lists.flat_map(|list| list.as_str().split(',')).filter_map(|one| one.split_whitespace().last());
    let small = imported.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned);
    names(&ATTRIBUTE, plain).chain(small).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_a_version_asks_for_them() {
        let files = [
            (
                "litellm/proxy/_types.py",
                "class ConfigGeneralSettings(Base):\n    \"\"\"\n    not_a_field: yes\n    \"\"\"\n    master_key: str | None = None\n\n    \
                 def _own(self):\n        inner: int = 1\n\nclass Other(Base):\n    other: int\n",
            ),
            (
                "litellm/proxy/proxy_cli.py",
                "a = general_settings.get(\n    \"database_url\", None)\nb = (general_settings or {}).get('one')\n\
                 limits = Limits.model_validate(general_settings)\nif \"two\" in proxy.general_settings: pass\n\
                 general_settings[\"three\"]\nuser_settings.get(\"none\")\n",
            ),
            ("litellm/proxy/limits.py", "class Limits(Base):\n    lock_timeout: float\n"),
            (
                "litellm/__init__.py",
                "from .constants import (\n    request_timeout,  # seconds\n    Upper,\n    old as new,\n)\ndrop_params: bool = False\n\
                 def helper():\n    local = 1\ncache = None\nif cache == 1:\n    pass\n",
            ),
            (
                "litellm/proxy/proxy_server.py",
                "    async def load_config(self):\n        for key, value in litellm_settings.items():\n            if key == \"cache_params\":\n                \
                 pass\n    def other(self):\n        if key == \"no\":\n            pass\n",
            ),
            (
                "litellm/router.py",
                "class Router:\n    def __init__(\n        self,\n        num_retries: int | None = None,\n        plain=1,\n    ) -> None:\n        self.x: int = 1\n",
            ),
        ];
        let known = vocabulary(&files);
        let of = |section: Section| known[&section].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of(Section::GeneralSettings), ["database_url", "lock_timeout", "master_key", "one", "three", "two"]);
        assert_eq!(of(Section::LitellmSettings), ["cache", "cache_params", "drop_params", "new", "request_timeout"]);
        assert_eq!(of(Section::RouterSettings), ["num_retries", "plain"]);
    }
}
