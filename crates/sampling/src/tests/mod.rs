//! The sampler's tests, by what they are about.

mod adversarial;
mod classes;
mod combined;
mod compile;
mod composite;
mod conditions;
mod explain;
mod giants;
mod index;
mod limits;
mod marks;
mod million;
mod model;
mod names;
mod patience;
mod policies;
mod properties;
mod read;
mod retained;
mod sampler;
mod segments;
mod span_ingest;
mod support;
