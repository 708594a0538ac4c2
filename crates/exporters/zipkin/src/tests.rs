mod config;
mod mapping;
mod properties;
mod server;
mod wire;
