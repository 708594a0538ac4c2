//! Both exporters against servers in the same process.

mod answers;
mod config;
mod server;
mod tls;
mod wire;
