//! The sampler's tests, by what they are about.

mod compile;
mod policies;
mod sampler;
mod support;
