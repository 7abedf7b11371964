//! The field's nouns: no input, no output, no clock, no terminal.

pub mod backup;
pub mod change;
pub mod checklist;
pub mod cluster;
pub mod confirm;
pub mod database_url;
pub mod gateway;
pub mod image;
pub mod live;
pub mod log;
pub mod migration;
pub mod name;
pub mod record;
pub mod runbook;
pub mod step;
pub mod trouble;
pub mod workload;
