//! lastgood.
#[macro_use]
pub mod text;
pub mod app;
pub mod cli;
pub mod domain;
pub mod ui;
pub mod world;
