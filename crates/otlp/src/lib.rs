//! The OTLP wire format, read and written in place: borrowed views, validation, slicing, splicing, JSON. No I/O.
//!
//! A request is [validated](traces::validate) once where it enters; from then on [`traces`] views read only the
//! fields somebody asks for, and [`splice`] moves spans as byte slices, so nothing that is only carried is decoded.

pub mod json;
pub mod response;
pub mod splice;
pub mod traces;
mod wire;

pub use wire::{WireError, WireErrorKind};
