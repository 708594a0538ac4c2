//! The exporters `otlp_grpc` (alias `otlp`) and `otlp_http` (alias `otlphttp`).
//!
//! A payload already is an OTLP request, so its bytes go out as they are, unknown fields included: only compression
//! and JSON make new ones. Queue, retries and counters come from `forebay-exporter-queue`.

mod grpc;
mod http;
mod response;
#[cfg(test)]
mod tests;

use forebay_component::ExporterFactory;

/// `otlp_grpc`: OTLP over gRPC.
pub static GRPC: ExporterFactory = grpc::FACTORY;

/// `otlp_http`: OTLP over HTTP.
pub static HTTP: ExporterFactory = http::FACTORY;

/// What this agent calls itself.
const USER_AGENT: &str = concat!("Forebay/", env!("CARGO_PKG_VERSION"));
