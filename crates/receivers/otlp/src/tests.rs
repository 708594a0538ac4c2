//! The receiver from outside: real clients and raw sockets on ports that the system chose.

mod config;
mod conformance;
mod grpc;
mod hostile;
mod http;
mod lifecycle;
mod support;
mod tls;
