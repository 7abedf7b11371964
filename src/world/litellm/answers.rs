//! The shapes of LiteLLM's answers, as far as the checks need them. Unknown fields are let pass.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::http::shortened;
use crate::domain::name::ModelName;
use crate::text::{Clean, Gate};

/// `/health/readiness` and `/health/readiness/details`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ReadinessBody {
    pub status: Option<String>,
    pub db: Option<String>,
    pub litellm_version: Option<String>,
}

/// `/v1/models`
#[derive(Debug, Deserialize)]
pub(super) struct Models {
    data: Vec<Model>,
}

#[derive(Debug, Deserialize)]
struct Model {
    id: String,
}

impl Models {
    /// Names that can be asked: a pattern (`openai/*`) is no model.
    pub fn names(self) -> Vec<ModelName> {
        self.data
            .into_iter()
            .filter(|model| !model.id.contains('*'))
            .filter_map(|model| model.id.parse().ok())
            .collect()
    }
}

/// `/active/callbacks`
#[derive(Debug, Deserialize)]
pub(super) struct Callbacks {
    all_litellm_callbacks: Vec<String>,
}

impl Callbacks {
    /// Each once: the list joins seven lists that repeat each other.
    pub fn names(self, gate: &Gate) -> Vec<Clean> {
        let names: BTreeSet<Clean> =
            self.all_litellm_callbacks.iter().map(|name| shortened(&gate.clean(plain_name(name)))).collect();
        names.into_iter().collect()
    }
}

/// The name in Python's words for an object: `<litellm.integrations.lago.LagoLogger object at 0x7f>`,
/// `<bound method Router.on_success of …>`, `<function log at 0x7f>`.
fn plain_name(callback: &str) -> &str {
    let Some(words) = callback.strip_prefix('<') else { return callback };
    match words.split_once(' ') {
        Some((class, rest)) if rest.starts_with("object at ") => class.rsplit('.').next().unwrap_or(class),
        Some(("bound", rest)) => rest.split(' ').nth(1).unwrap_or(rest),
        Some(("function", rest)) => rest.split(' ').next().unwrap_or(rest),
        _ => callback,
    }
}

/// `/health`
#[derive(Debug, Deserialize)]
pub(super) struct Health {
    healthy_count: Option<u32>,
    unhealthy_count: Option<u32>,
    healthy_endpoints: Option<Vec<Value>>,
    unhealthy_endpoints: Option<Vec<Value>>,
}

impl Health {
    /// Nothing was counted yet.
    pub fn is_blank(&self) -> bool {
        self.healthy_count.is_none()
            && self.unhealthy_count.is_none()
            && self.healthy_endpoints.is_none()
            && self.unhealthy_endpoints.is_none()
    }

    /// Healthy and unhealthy endpoints.
    pub fn counts(&self) -> (u32, u32) {
        let length =
            |list: &Option<Vec<Value>>| list.as_ref().map_or(0, |list| u32::try_from(list.len()).unwrap_or(u32::MAX));
        let healthy = self.healthy_count.unwrap_or_else(|| length(&self.healthy_endpoints));
        let unhealthy = self.unhealthy_count.unwrap_or_else(|| length(&self.unhealthy_endpoints));
        (healthy, unhealthy)
    }

    /// What the first unhealthy endpoint says, with its model.
    pub fn first_error(&self, gate: &Gate) -> Option<Clean> {
        let endpoint = self.unhealthy_endpoints.as_ref()?.first()?;
        let text = |name: &str| endpoint.get(name).and_then(Value::as_str).unwrap_or_default();
        let error = shortened(&gate.clean(text("error")));
        let model = shortened(&gate.clean(text("model")));
        match (model.is_empty(), error.is_empty()) {
            (true, true) => None,
            (true, false) => Some(error),
            (false, true) => Some(model),
            (false, false) => Some(say!("{}: {}", model, error)),
        }
    }
}

/// `/v1/chat/completions`
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    pub id: String,
}

/// `/key/list`, `/v2/team/list` and the older `/team/list`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Counts {
    Page {
        #[serde(alias = "total")]
        total_count: Option<u64>,
    },
    All(Vec<serde::de::IgnoredAny>),
}

impl Counts {
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Page { total_count } => *total_count,
            Self::All(list) => Some(list.len() as u64),
        }
    }
}

/// A script, or else any file, that a page of the admin UI (a Next.js export) loads.
pub(super) fn first_asset(html: &str) -> Option<String> {
    let links = || {
        html.split(['"', '\'']).filter(|link| {
            (link.starts_with('/') || link.starts_with("http") || link.starts_with("./"))
                && link.contains("/_next/static/")
                && link.len() < 1000
                && !link.contains(['\\', '<', ' '])
        })
    };
    links().find(|link| link.ends_with(".js")).or_else(|| links().next()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_of_the_page_is_found() {
        let rows = [
            (
                r#"<link href="/litellm-asset-prefix/_next/static/a.css"/><script src="/litellm-asset-prefix/_next/static/chunks/w-1.js">"#,
                Some("/litellm-asset-prefix/_next/static/chunks/w-1.js"),
            ),
            (r#"<link rel="preload" href='/ui/_next/static/media/f.woff2'>"#, Some("/ui/_next/static/media/f.woff2")),
            ("<script>self.push([\"I:[\\\"/_next/static/chunks/x.js\\\"\"])</script>", None),
            ("<h1>login</h1>", None),
            ("", None),
        ];
        for (html, expected) in rows {
            assert_eq!(first_asset(html).as_deref(), expected, "{html}");
        }
    }

    #[test]
    fn callbacks_are_told_by_name() {
        let rows = [
            ("lago", "lago"),
            ("<litellm.integrations.lago.LagoLogger object at 0x7f0>", "LagoLogger"),
            ("<bound method Router.on_success of <litellm.router.Router object at 0x7f>>", "Router.on_success"),
            ("<function log_it at 0x7f>", "log_it"),
            ("<lambda>", "<lambda>"),
        ];
        for (callback, name) in rows {
            assert_eq!(plain_name(callback), name);
        }
    }

    #[test]
    fn counts_are_read_from_pages_and_from_lists() {
        let rows = [
            (r#"{"keys": ["a"], "total_count": 12, "current_page": 1}"#, Some(12)),
            (r#"{"teams": [], "total": 3}"#, Some(3)),
            (r#"[{"team_id": "a"}, {"team_id": "b"}]"#, Some(2)),
            (r#"{"keys": []}"#, None),
        ];
        for (json, expected) in rows {
            let counts: Counts = serde_json::from_str(json).unwrap();
            assert_eq!(counts.count(), expected, "{json}");
        }
    }

    #[test]
    fn health_without_counts_is_blank() {
        let blank: Health = serde_json::from_str("{}").unwrap();
        assert!(blank.is_blank());
        let lists: Health = serde_json::from_str(r#"{"healthy_endpoints": [{}], "unhealthy_endpoints": []}"#).unwrap();
        assert!(!lists.is_blank());
        assert_eq!(lists.counts(), (1, 0));
    }
}
