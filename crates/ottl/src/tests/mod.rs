//! Tests by what they look at.

mod agreement;
mod allocations;
mod errors;
mod expressions;
mod fixture;
mod properties;
mod tree;
