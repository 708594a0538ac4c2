//! The `otlp` receiver: OTLP over gRPC (4317) and HTTP (4318), protobuf and JSON.
//!
//! A request stays the bytes that arrived. It is validated once, handed to the next stage, and answered when that
//! stage has taken it.

mod answer;
mod budget;
mod config;
mod cors;
mod grpc;
mod http_config;
mod http_server;
mod intake;
mod metrics;
mod receive;
mod receiver;
#[cfg(test)]
mod tests;

pub use config::{Config, FACTORY};
pub use receiver::OtlpReceiver;
