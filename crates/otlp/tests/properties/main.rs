//! The crate against prost and opentelemetry-proto: on every request the two must agree.
#![allow(clippy::expect_used)] // clippy.toml allows it in test functions, not in their helpers

mod generate;
mod indexing;
mod json;
mod notes;
mod reference;
mod spelling;
mod splicing;
mod usual;
mod views;

use proptest::prelude::*;

/// Any valid request.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1500)
        .prop_map(|entropy| generate::request(&mut generate::Entropy::new(&entropy)))
}
