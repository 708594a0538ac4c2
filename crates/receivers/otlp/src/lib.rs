//! The otlp receiver: OTLP over gRPC and HTTP.
