//! Tests by what they look at.

mod errors;
mod expressions;
mod fixture;
mod properties;
mod tree;
