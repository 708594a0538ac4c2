//! What a component is, and what travels between components.
//!
//! A [`Payload`] is the bytes that arrived, how many items they hold, where they came from, and an [`Ack`] that
//! whichever stage takes responsibility completes. A stage offers a [`Consumer`]; the topology joins them.

mod ack;
mod consumer;
mod fan_out;
mod lifecycle;
mod payload;
mod refusal;
mod stage;
#[cfg(test)]
mod tests;

pub use ack::{Ack, AckFuture, Outcome};
pub use consumer::{Consumer, Refused};
pub use fan_out::{Branch, FanOut};
pub use lifecycle::{
    BuildError, BuildExporter, BuildExtension, BuildProcessor, BuildReceiver, Context, Drained, Exporter,
    ExporterFactory, Extension, ExtensionFactory, Factory, Info, Processor, ProcessorFactory, Receiver,
    ReceiverFactory, StartError,
};
pub use payload::{Origin, Payload, Signal};
pub use refusal::{Reason, Refusal};
pub use stage::deliver;
