//! What the gateway, its spend log and its cache answered: raw findings, judged in [`crate::domain::checks`].

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::cache::Product;
use crate::domain::name::{ModelName, RequestId};
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// Answers of the endpoints that cost nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vitals {
    /// HTTP status of `/health/liveliness`; `None` without an answer, and why.
    pub liveliness: Result<u16, Clean>,
    /// `/health/readiness`.
    pub readiness: Result<Readiness, Clean>,
    /// The version that answered: from readiness (up to 1.83), `/health/readiness/details` (from
    /// 1.90, needs the key) or the `x-litellm-version` header.
    pub version: Option<Clean>,
    /// `general_settings.allow_requests_on_db_unavailable`, where it can be read: readiness then
    /// proves nothing about the database.
    pub allows_requests_without_db: Option<bool>,
}

/// What `/health/readiness` said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// HTTP status: 503 while draining or without its database.
    pub status: u16,
    /// The `status` word in the body.
    pub word: Clean,
    /// The `db` word in the body (`connected`, `disconnected`, `stalled`, `Not connected`).
    pub db: Option<Clean>,
}

/// What `/health` said: 200 even when no model is healthy, so the counts are the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelHealth {
    /// HTTP status.
    pub status: u16,
    /// `healthy_count`
    pub healthy: u32,
    /// `unhealthy_count`
    pub unhealthy: u32,
    /// The first error of an unhealthy endpoint.
    pub first_error: Option<Clean>,
    /// The answer came from `background_health_checks`, so no model was called for it. `None`: cannot be told.
    pub from_background: Option<bool>,
}

/// One test completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// Its id, which is the primary key of its spend row.
    pub id: RequestId,
    /// The model that was asked.
    pub model: ModelName,
    /// When it was sent, by our clock.
    pub at: Timestamp,
    /// The same by the gateway's clock, where its answer tells the date: the row's `startTime` is
    /// by that clock.
    pub dated: Option<Timestamp>,
    /// `x-litellm-version`
    pub version: Option<Clean>,
    /// `x-litellm-response-cost`, as the gateway computed it.
    pub cost: Option<Clean>,
}

/// A row of `"LiteLLM_SpendLogs"`, found by its primary key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpendRow {
    /// `request_id`
    pub id: RequestId,
    /// `spend`, as the text that the database printed, so that equality is exact
    pub spend: Clean,
    /// `total_tokens`
    pub total_tokens: i64,
    /// `startTime`, UTC
    pub started: Option<Timestamp>,
}

/// Settings of the running gateway that decide what a check can prove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// `general_settings.disable_spend_logs`: no row will ever appear.
    pub disable_spend_logs: Option<bool>,
    /// `general_settings.proxy_batch_write_at`, seconds; rows appear that much later, plus up to 5.
    pub batch_write_seconds: Option<u32>,
    /// Names of the active callbacks (`/active/callbacks`).
    pub callbacks: Option<Vec<Clean>>,
    /// Public names of the models (`/v1/models`).
    pub models: Vec<ModelName>,
}

/// What the admin UI and the API behind it answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdminUi {
    /// HTTP status of `/ui/`.
    pub page: Result<u16, Clean>,
    /// One asset named by the page: its path and HTTP status. `None` when the page names none.
    pub asset: Option<(Clean, Result<u16, Clean>)>,
    /// Keys listed through the API: how many, or why not.
    pub keys: Result<u64, Trouble>,
    /// Teams listed through the API: how many, or why not.
    pub teams: Result<u64, Trouble>,
}

/// What Redis answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CacheInfo {
    /// What answers.
    pub product: Product,
    /// `redis_version` of INFO, or `valkey_version`.
    pub version: Clean,
    /// Keys in the selected database.
    pub keys: Option<u64>,
    /// The answer to PING was PONG.
    pub pong: bool,
}
