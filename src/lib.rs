//! lastgood.
#[macro_use]
pub mod text;
pub mod app;
pub mod cli;
pub mod domain;
pub mod runtime;
pub mod ui;
pub mod world;
