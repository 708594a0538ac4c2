//! From a component's configuration to its running instance.
//!
//! `configure` is pure: it reads a located section of the configuration and returns a plan or located errors. A plan
//! is then built, with side effects, in dependency order: exporters, processors from last to first, receivers.

use crate::consumer::Consumer;
use async_trait::async_trait;
use forebay_config::{ComponentId, Diagnostics, Node};
use forebay_telemetry::{ComponentHandle, Telemetry};
use std::sync::Arc;
use std::time::Instant;

/// What a component type is, for `forebay components`, errors and docs.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// The collector's name of the type.
    pub kind: &'static str,
    /// Other names under which it may be configured.
    pub aliases: &'static [&'static str],
    /// One line for a person.
    pub description: &'static str,
}

impl Info {
    /// Whether the component may be configured under this name.
    pub fn answers_to(&self, kind: &str) -> bool {
        self.kind == kind || self.aliases.contains(&kind)
    }
}

/// A component type: what it is, and how to read its configuration into a plan.
pub struct Factory<Plan: ?Sized> {
    /// What it is.
    pub info: Info,
    /// Reads its section; pure.
    pub configure: fn(&Node) -> Result<Box<Plan>, Diagnostics>,
}

/// A receiver type.
pub type ReceiverFactory = Factory<dyn BuildReceiver>;
/// A processor type.
pub type ProcessorFactory = Factory<dyn BuildProcessor>;
/// An exporter type.
pub type ExporterFactory = Factory<dyn BuildExporter>;
/// An extension type.
pub type ExtensionFactory = Factory<dyn BuildExtension>;

/// What a component is given when it is built.
#[derive(Clone, Debug)]
pub struct Context {
    /// Its id in the configuration.
    pub id: ComponentId,
    /// The pipeline it belongs to, for processors.
    pub pipeline: Option<String>,
    /// Where it registers its metrics and decisions.
    pub telemetry: Telemetry,
    /// Its line on the status board.
    pub status: ComponentHandle,
    /// The runtime that owns the sockets.
    pub runtime: tokio::runtime::Handle,
    /// Runtimes of one thread each, to which a server deals its connections; with none they stay where it listens.
    pub edges: Arc<[tokio::runtime::Handle]>,
}

/// A component could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);

/// A component could not start; the message says what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// What a component did with its items in its whole life, for the final line of a stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Items passed on or delivered.
    pub sent: u64,
    /// Items given up, every one counted with its reason.
    pub dropped: u64,
    /// Items still held when time ran out.
    pub left: u64,
}

/// A plan for a receiver.
pub trait BuildReceiver: Send {
    /// The effective configuration, defaults filled in, secrets redacted.
    fn effective(&self) -> serde_json::Value;
    /// Builds it; sockets are bound by [`Receiver::start`].
    ///
    /// # Errors
    /// When something outside the configuration is missing, such as a key file.
    fn build(
        self: Box<Self>,
        context: Context,
        next: Arc<dyn Consumer>,
    ) -> Result<Box<dyn Receiver>, BuildError>;
}

/// A plan for a processor.
pub trait BuildProcessor: Send {
    /// The effective configuration, defaults filled in, secrets redacted.
    fn effective(&self) -> serde_json::Value;
    /// Builds and starts it.
    ///
    /// # Errors
    /// When something outside the configuration is missing.
    fn build(
        self: Box<Self>,
        context: Context,
        next: Arc<dyn Consumer>,
    ) -> Result<Box<dyn Processor>, BuildError>;
}

/// A plan for an exporter.
pub trait BuildExporter: Send {
    /// The effective configuration, defaults filled in, secrets redacted.
    fn effective(&self) -> serde_json::Value;
    /// Builds and starts it; called inside the runtime. A backend that is down is not an error.
    ///
    /// # Errors
    /// When something outside the configuration is missing, such as a certificate file.
    fn build(self: Box<Self>, context: Context) -> Result<Box<dyn Exporter>, BuildError>;
}

/// A plan for an extension.
pub trait BuildExtension: Send {
    /// The effective configuration, defaults filled in, secrets redacted.
    fn effective(&self) -> serde_json::Value;
    /// Builds it; sockets are bound by [`Extension::start`].
    ///
    /// # Errors
    /// When something outside the configuration is missing.
    fn build(self: Box<Self>, context: Context) -> Result<Box<dyn Extension>, BuildError>;
}

/// A source of payloads, on the async edge.
#[async_trait]
pub trait Receiver: Send {
    /// Binds its sockets and serves them; when it returns, clients can connect.
    async fn start(&mut self) -> Result<(), StartError>;
    /// Stops listening, refuses new requests, and waits until `deadline` for those under way.
    async fn shutdown(&mut self, deadline: Instant);
}

/// A stage on threads of its own.
pub trait Processor: Send {
    /// Its entrance.
    fn consumer(&self) -> Arc<dyn Consumer>;
    /// Takes no more, passes on what it holds until `deadline`, and ends its threads. Blocks.
    fn shutdown(self: Box<Self>, deadline: Instant) -> Drained;
}

/// A sink, on the async edge.
#[async_trait]
pub trait Exporter: Send {
    /// Its entrance.
    fn consumer(&self) -> Arc<dyn Consumer>;
    /// Takes no more and delivers what it holds until `deadline`.
    async fn shutdown(self: Box<Self>, deadline: Instant) -> Drained;
}

/// Something beside the pipelines.
#[async_trait]
pub trait Extension: Send {
    /// Starts it; before the pipelines.
    async fn start(&mut self) -> Result<(), StartError>;
    /// Stops it; after the pipelines.
    async fn shutdown(&mut self, deadline: Instant);
}
