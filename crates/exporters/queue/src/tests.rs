//! The contract of every exporter, against a scripted backend and paused time.

mod config;
mod contract;
mod delivery;
mod drain;
mod script;
