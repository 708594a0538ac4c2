//! The zipkin exporter: Zipkin v2 JSON.
