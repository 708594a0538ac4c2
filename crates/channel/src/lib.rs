//! Bounded channels between Forebay's stages.
//!
//! A channel is bounded in bytes and in items. Sending never waits unless asked to; what does not fit is handed
//! back, so that a full channel is felt by the caller and nothing is lost in silence. The receiving end may be
//! selected together with other channels (a stage's control lane) through [`Receiver::as_crossbeam`].

mod bounded;
#[cfg(test)]
mod tests;

pub use bounded::{Depth, Limits, Receiver, SendError, Sender, Weigh, bounded};
