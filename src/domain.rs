//! The field's nouns: no input, no output, no clock, no terminal.

pub mod backup;
pub mod candidate;
pub mod change;
pub mod checklist;
pub mod checks;
pub mod cluster;
pub mod confirm;
pub mod database_url;
pub(crate) mod document;
pub mod environment;
pub mod forecast;
pub mod gateway;
pub mod image;
pub mod incident;
pub mod live;
pub mod log;
pub mod migration;
pub mod name;
pub mod record;
pub mod runbook;
pub mod scenario;
pub mod signature;
pub mod span;
pub mod step;
pub mod trouble;
pub mod workload;
