//! lastgood.
#[macro_use]
pub mod text;
pub mod cli;
pub mod domain;
pub mod world;
