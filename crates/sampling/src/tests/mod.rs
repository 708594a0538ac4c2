//! The sampler's tests, by what they are about.

mod combined;
mod compile;
mod composite;
mod conditions;
mod explain;
mod giants;
mod limits;
mod marks;
mod million;
mod model;
mod policies;
mod properties;
mod sampler;
mod span_ingest;
mod support;
