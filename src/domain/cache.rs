//! The response cache in Redis: which keys are kept answers, and which must never be touched.
//!
//! LiteLLM's answers lie under 64 hexadecimal digits (a SHA-256), behind `NAMESPACE:` where one is
//! set (`Cache._add_namespace_to_cache_key`). The namespace stands before every other key of that
//! Redis too (`RedisCache.check_and_fix_namespace`), so a prefix alone tells nothing: the shape
//! does. Names of the other keys after LiteLLM 1.106.2 (`constants.py`, `auth_checks.py`,
//! `parallel_request_limiter_v3.py`, `cooldown_cache.py`, `pod_lock_manager.py`).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::confirm::Subject;
use crate::domain::name::CacheNamespace;
use crate::text::Clean;

/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// Namespaces that a survey tells apart; more of them are counted together.
const MOST_NAMESPACES: usize = 50;

/// What answers as Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Product {
    /// Redis, or something that does not say otherwise.
    Redis,
    /// Valkey, whose `redis_version` is the version that it is compatible with.
    Valkey,
}

impl Product {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Product::Redis => "Redis",
            Product::Valkey => "Valkey",
        }
    }
}

/// Oldest major version of Redis that LiteLLM's documentation asks for. It works with older ones,
/// too: LiteLLM 1.106.2 falls back where `LPOP` takes no count.
const WANTED: u32 = 7;

/// What to know where a server is older than LiteLLM asks for. Every Valkey is young enough.
pub fn too_old(product: Product, version: &str) -> Option<Clean> {
    let old = product == Product::Redis && major(version).is_some_and(|major| major < WANTED);
    old.then(|| say!("LiteLLM asks for Redis {} or later", WANTED))
}

/// The first number of a version.
pub fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// Keys that are no answers, by what losing them would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protected {
    /// `litellm_*_buffer*`: spend that is not in the database yet.
    SpendBuffer,
    /// `spend:…`, `provider_spend:…`: what budgets are measured by.
    SpendCounter,
    /// `{api_key:…}:requests` and the like: rate limits.
    RateLimit,
    /// `deployment:ID:cooldown`: models that are left alone for a while.
    Cooldown,
    /// `cronjob_lock:…`: which pod does a job.
    Lock,
    /// Everything else: key and team objects, other programs.
    Other,
}

impl Protected {
    /// All of them, the dearest first.
    pub const ALL: [Protected; 6] = [
        Protected::SpendBuffer,
        Protected::SpendCounter,
        Protected::RateLimit,
        Protected::Cooldown,
        Protected::Lock,
        Protected::Other,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Protected::SpendBuffer => "spend buffers, not yet in the database",
            Protected::SpendCounter => "spend counters of budgets",
            Protected::RateLimit => "rate limits",
            Protected::Cooldown => "cooldowns of models",
            Protected::Lock => "locks of cron jobs",
            Protected::Other => "other keys",
        }
    }
}

/// What a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A kept answer, in this namespace or in none.
    Answer(Option<CacheNamespace>),
    /// Something else.
    Protected(Protected),
}

/// Tells what a key is. What cannot be told is [`Protected::Other`].
pub fn sort(key: &[u8]) -> Key {
    let Ok(text) = std::str::from_utf8(key) else { return Key::Protected(Protected::Other) };
    if let Some(kind) = protected(text) {
        return Key::Protected(kind);
    }
    if is_hash(text) {
        return Key::Answer(None);
    }
    let namespace = text.rsplit_once(':').filter(|(_, hash)| is_hash(hash)).and_then(|(name, _)| name.parse().ok());
    match namespace {
        Some(namespace) => Key::Answer(Some(namespace)),
        None => Key::Protected(Protected::Other),
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Known keys that are no answers, wherever a namespace stands before them.
fn protected(key: &str) -> Option<Protected> {
    if key.contains("litellm_") && key.contains("_buffer") {
        return Some(Protected::SpendBuffer);
    }
    let mut segments = key.split(':');
    if segments.clone().any(|part| part == "spend" || part.ends_with("_spend") || part.ends_with("_budget_start_time"))
    {
        return Some(Protected::SpendCounter);
    }
    // `{api_key:HASH}:requests`; a namespace may carry braces too, but no colon within them.
    let tagged =
        key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).is_some_and(|(tag, _)| tag.contains(':'));
    if tagged || segments.clone().any(|part| matches!(part, "tpm" | "rpm" | "request_count")) {
        return Some(Protected::RateLimit);
    }
    if key.ends_with(":cooldown") || key.ends_with(":allowed_fails") {
        return Some(Protected::Cooldown);
    }
    segments.any(|part| part.ends_with("_lock")).then_some(Protected::Lock)
}

/// Answers of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// The namespace; `None` for those without one.
    pub namespace: Option<CacheNamespace>,
    /// How many keys.
    pub keys: u64,
}

/// What lies in a Redis, counted once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CacheSurvey {
    /// What answers.
    pub product: Product,
    /// Its version.
    pub version: Clean,
    /// Masters of the cluster; `None` for a server alone.
    pub masters: Option<usize>,
    /// Kept answers by namespace, those without one first.
    pub answers: Vec<Answers>,
    /// Keys that are never deleted.
    pub protected: Vec<(Protected, u64)>,
    /// Things to know before anything is deleted.
    pub warnings: Vec<Clean>,
}

impl CacheSurvey {
    /// Answers in a namespace.
    pub fn answers_in(&self, namespace: Option<&CacheNamespace>) -> u64 {
        self.answers.iter().find(|answers| answers.namespace.as_ref() == namespace).map_or(0, |answers| answers.keys)
    }

    /// Namespaces that were seen, with how many answers each, in words; empty when there are none.
    pub fn seen(&self) -> Option<Clean> {
        let words = self.answers.iter().filter(|answers| answers.keys > 0).map(|answers| match &answers.namespace {
            Some(namespace) => say!("{} ({})", namespace, answers.keys),
            None => say!("without a namespace ({})", answers.keys),
        });
        words.reduce(|all, one| say!("{}, {}", all, one))
    }
}

/// Counts keys as they come.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    answers: BTreeMap<Option<CacheNamespace>, u64>,
    protected: BTreeMap<Protected, u64>,
    crowded: bool,
}

impl Tally {
    /// Counts one key.
    pub fn add(&mut self, key: &[u8]) {
        match sort(key) {
            Key::Answer(Some(namespace))
                if self.answers.len() >= MOST_NAMESPACES && !self.answers.contains_key(&Some(namespace.clone())) =>
            {
                self.crowded = true;
                *self.protected.entry(Protected::Other).or_default() += 1;
            }
            Key::Answer(namespace) => *self.answers.entry(namespace).or_default() += 1,
            Key::Protected(kind) => *self.protected.entry(kind).or_default() += 1,
        }
    }

    /// What was counted, with what is known of the server.
    pub fn survey(
        self,
        product: Product,
        version: Clean,
        masters: Option<usize>,
        mut warnings: Vec<Clean>,
    ) -> CacheSurvey {
        if self.crowded {
            warnings.push(say!("more than {} namespaces: the rest is counted as other keys", MOST_NAMESPACES));
        }
        let answers = self.answers.into_iter().map(|(namespace, keys)| Answers { namespace, keys }).collect();
        let protected = Protected::ALL.map(|kind| (kind, self.protected.get(&kind).copied().unwrap_or(0))).to_vec();
        CacheSurvey { product, version, masters, answers, protected, warnings }
    }
}

/// The namespace that a configuration file of LiteLLM sets, at `litellm_settings.cache_params.namespace`
/// (LiteLLM documentation, "Caching"; `ProxyConfig.load_config` passes `cache_params` on to `Cache`).
/// `None` where it sets none, takes it from the environment (`os.environ/NAME`), or cannot be read.
pub fn configured(lines: &[Clean]) -> Option<CacheNamespace> {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let config: serde_json::Value = serde_saphyr::from_str(&text).ok()?;
    let namespace = config["litellm_settings"]["cache_params"]["namespace"].as_str()?;
    if namespace.starts_with("os.environ/") { None } else { namespace.parse().ok() }
}

/// Answers that are to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clearance {
    /// Those of this namespace; without one, those that have none.
    pub namespace: Option<CacheNamespace>,
    /// How many there were when it was asked.
    pub keys: u64,
}

impl Clearance {
    /// Whether a key is one of them.
    pub fn covers(&self, key: &[u8]) -> bool {
        matches!(sort(key), Key::Answer(namespace) if namespace == self.namespace)
    }

    /// Which ones, in words.
    pub fn which(&self) -> Clean {
        match &self.namespace {
            Some(namespace) => say!("{}:<64 hexadecimal digits>", namespace),
            None => Clean::ours("64 hexadecimal digits, without a namespace"),
        }
    }
}

/// What must be typed where no namespace can be named.
const WORD: &str = "clear";

impl Subject for Clearance {
    fn phrases(&self) -> Vec<Clean> {
        vec![self.namespace.as_ref().map_or(Clean::ours(WORD), |namespace| say!("{}", namespace))]
    }
}

/// Where a running clearance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClearProgress {
    /// Keys that were looked at.
    pub looked_at: u64,
    /// Keys that there were in all when it began.
    pub of: u64,
    /// Answers that were deleted.
    pub deleted: u64,
    /// Everything was gone through once; what is left is counted.
    pub counting: bool,
}

/// What came of a clearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Emptied {
    /// Answers that were deleted.
    pub deleted: u64,
    /// Answers that are there now: written since, by pods that go on.
    pub left: u64,
}

/// What a clearance brings: progress, then one end.
#[derive(Clone, Debug, PartialEq)]
pub enum ClearItem {
    /// Still going.
    Progress(ClearProgress),
    /// Gone through and counted again.
    Emptied(Emptied),
    /// It stopped; what was deleted stays deleted, and doing it again goes on.
    Failed(crate::domain::trouble::Trouble),
}

/// What clearing Redis does not reach.
pub const PODS_REMEMBER: &str = "each pod also keeps answers in memory: restart the pods, or wait until those expire";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_file_names_the_namespace() {
        let rows = [
            (
                "litellm_settings:\n  cache: true\n  cache_params:\n    type: redis\n    namespace: litellm-eu\n",
                Some("litellm-eu"),
            ),
            ("litellm_settings: {cache_params: {namespace: \"a:b\"}}", Some("a:b")),
            ("litellm_settings:\n  cache_params:\n    password: [masked]\n    namespace: eu # comment\n", Some("eu")),
            ("litellm_settings:\n  cache_params:\n    namespace: os.environ/REDIS_NAMESPACE\n", None),
            ("router_settings:\n  namespace: other\nlitellm_settings:\n  cache_params:\n    type: redis\n", None),
            ("model_list: [\n", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let lines: Vec<Clean> = text.lines().map(|line| crate::text::Gate::default().clean(line)).collect();
            assert_eq!(configured(&lines).as_ref().map(CacheNamespace::as_str), expected, "{text}");
        }
    }

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn named(name: &str) -> Key {
        Key::Answer(Some(name.parse().unwrap()))
    }

    #[test]
    fn every_key_of_litellm_is_sorted() {
        use Protected::{Cooldown, Lock, Other, RateLimit, SpendBuffer, SpendCounter};
        let rows = [
            (HASH.to_owned(), Key::Answer(None)),
            (format!("prod:{HASH}"), named("prod")),
            (format!("litellm:eu:1:{HASH}"), named("litellm:eu:1")),
            (format!("{{litellm}}:{HASH}"), named("{litellm}")),
            (HASH.to_uppercase(), Key::Protected(Other)),
            (HASH[1..].to_owned(), Key::Protected(Other)),
            (format!("{HASH}0"), Key::Protected(Other)),
            (format!("prod:{HASH}:x"), Key::Protected(Other)),
            (format!(":{HASH}"), Key::Protected(Other)),
            ("litellm_spend_update_buffer".to_owned(), Key::Protected(SpendBuffer)),
            ("prod:litellm_daily_team_spend_update_buffer".to_owned(), Key::Protected(SpendBuffer)),
            ("litellm_gateway_requests_buffer_v2".to_owned(), Key::Protected(SpendBuffer)),
            ("litellm_tool_discovery_buffer".to_owned(), Key::Protected(SpendBuffer)),
            (format!("spend:key:{HASH}"), Key::Protected(SpendCounter)),
            (format!("prod:spend:key:{HASH}"), Key::Protected(SpendCounter)),
            (format!("spend:key:{HASH}:window:1d"), Key::Protected(SpendCounter)),
            ("provider_spend:openai:1d".to_owned(), Key::Protected(SpendCounter)),
            (format!("{{api_key:{HASH}}}:requests"), Key::Protected(RateLimit)),
            (format!("prod:{{api_key:{HASH}}}:tokens"), Key::Protected(RateLimit)),
            (format!("{HASH}::2026-11-20-03-12::request_count"), Key::Protected(RateLimit)),
            ("global_router:1:gpt-4o:tpm:03-12".to_owned(), Key::Protected(RateLimit)),
            (format!("deployment:{HASH}:cooldown"), Key::Protected(Cooldown)),
            ("cronjob_lock:db_spend_update_job".to_owned(), Key::Protected(Lock)),
            ("prod:health_check_lock:gpt-4o".to_owned(), Key::Protected(Lock)),
            ("team_id:7".to_owned(), Key::Protected(Other)),
            ("mcp:per_user_token:jane:github".to_owned(), Key::Protected(Other)),
            (String::new(), Key::Protected(Other)),
        ];
        for (key, kind) in rows {
            assert_eq!(sort(key.as_bytes()), kind, "{key}");
        }
        assert_eq!(sort(&[0xff; 64]), Key::Protected(Other));
    }

    #[test]
    fn a_clearance_covers_its_own_namespace_only() {
        let keys =
            [HASH.to_owned(), format!("prod:{HASH}"), format!("prod:2:{HASH}"), format!("prod:spend:key:{HASH}")];
        let covered = |namespace: Option<&str>| {
            let clearance = Clearance { namespace: namespace.map(|name| name.parse().unwrap()), keys: 0 };
            keys.iter().map(|key| clearance.covers(key.as_bytes())).collect::<Vec<_>>()
        };
        assert_eq!(covered(None), [true, false, false, false]);
        assert_eq!(covered(Some("prod")), [false, true, false, false]);
        assert_eq!(covered(Some("prod:2")), [false, false, true, false]);
        assert_eq!(covered(Some("prod:spend:key")), [false; 4], "no configuration makes counters answers");
    }

    #[test]
    fn too_many_namespaces_are_counted_together() {
        let mut tally = Tally::default();
        for i in 0..MOST_NAMESPACES + 3 {
            tally.add(format!("ns{i}:{HASH}").as_bytes());
        }
        let survey = tally.survey(Product::Redis, Clean::ours("7.0.15"), None, Vec::new());
        assert_eq!(survey.answers.len(), MOST_NAMESPACES);
        assert_eq!(survey.protected.last(), Some(&(Protected::Other, 3)));
        assert!(survey.warnings[0].as_str().contains("more than 50 namespaces"));
    }
}
