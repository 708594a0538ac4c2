//! Development only: what tests of components share.
//!
//! [`Sink`] is a consumer that keeps what it takes and refuses on command; [`requests`] makes valid trace requests;
//! [`conformance`] is the suite that every component passes.

pub mod conformance;
pub mod requests;
mod sink;

pub use sink::Sink;

use forebay_component::Context;
use forebay_telemetry::{Kind, Telemetry};

/// A build context for a component `id` on fresh telemetry. Call it inside a tokio runtime.
///
/// # Panics
/// When `id` is not a component id, or there is no runtime.
#[allow(clippy::expect_used, reason = "a mistake in a test")]
pub fn context(kind: Kind, id: &str) -> Context {
    let telemetry = Telemetry::default();
    Context {
        id: id.parse().expect("a component id"),
        pipeline: Some("traces".to_owned()),
        status: telemetry.board.register(kind, id, None),
        telemetry,
        runtime: tokio::runtime::Handle::current(),
        edges: std::sync::Arc::default(),
    }
}

/// The value of a metric, summed over the series whose labels include `labels`; zero when there is none.
pub fn metric(telemetry: &Telemetry, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |line: &&str| labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")));
    let text = telemetry.metrics.render();
    text.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(has)
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
