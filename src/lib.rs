//! lastgood.
#[macro_use]
pub mod text;
pub mod domain;
pub mod world;
