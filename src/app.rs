//! The state machine: `update` decides, `feeds` says which live streams are wanted, `begin` and
//! `resume` start it. No input, no output, no clock; it cannot fail.

pub mod action;
pub mod acts;
pub mod arming;
pub mod backup;
pub mod cache;
pub mod change;
pub mod checks;
pub mod coupling;
pub mod effect;
pub mod evidence;
pub mod feeds;
pub mod forecast;
pub mod key;
pub mod keymap;
pub mod learn;
pub mod logs;
pub mod migrations;
pub mod msg;
pub mod overlay;
pub mod past;
pub mod pilot;
pub mod plan;
pub mod preflight;
pub mod releases;
pub mod restore;
pub mod runbook;
pub mod setting;
pub mod state;
pub mod status;
pub mod target;
pub mod update;
