//! The running receiver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use forebay_component::{BuildError, Consumer, Context, Origin, Receiver, StartError};
use forebay_net::server::{Server, ServerOptions, Service};
use forebay_net::{ListenEndpoint, Transport};
use forebay_telemetry::{MetricKind, QueueDepth};

use crate::budget::ByteBudget;
use crate::config::Config;
use crate::cors::CorsConfig;
use crate::grpc::GrpcHandler;
use crate::http_server::HttpHandler;
use crate::intake::Intake;
use crate::metrics::TransportMetrics;

/// Takes traces over OTLP/gRPC and OTLP/HTTP and gives them to the next stage.
pub struct OtlpReceiver {
    id: String,
    grpc: Option<Endpoint>,
    http: Option<Endpoint>,
    status: forebay_telemetry::ComponentHandle,
}

/// One protocol, listening or about to.
struct Endpoint {
    protocol: &'static str,
    address: ListenEndpoint,
    transport: Transport,
    options: ServerOptions,
    service: Service,
    server: Option<Server>,
}

impl std::fmt::Debug for OtlpReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OtlpReceiver({}, grpc {:?}, http {:?})", self.id, self.grpc_addr(), self.http_addr())
    }
}

impl OtlpReceiver {
    /// Builds the receiver; its ports are bound by [`Receiver::start`].
    ///
    /// # Errors
    /// When a certificate or a key cannot be loaded.
    pub fn build(config: &Config, context: &Context, next: Arc<dyn Consumer>) -> Result<Self, BuildError> {
        let failed = |error: forebay_net::TlsError| BuildError(format!("receiver {}: {error}", context.id));
        let limit = usize::try_from(config.max_in_flight_bytes.bytes()).unwrap_or(usize::MAX);
        let budget = ByteBudget::new(limit);
        watch(&budget, context);
        let intake =
            |transport| Arc::new(Intake::new(Arc::clone(&next), TransportMetrics::new(context, transport)));
        let grpc = config.protocols.grpc.as_ref().map(|grpc| {
            Ok(Endpoint {
                protocol: "gRPC",
                address: grpc.endpoint.clone(),
                transport: grpc.transport,
                options: ServerOptions {
                    edges: Arc::clone(&context.edges),
                    ..grpc.server_options().map_err(failed)?
                },
                service: Service::Calls(Arc::new(GrpcHandler {
                    intake: intake("grpc"),
                    budget: budget.clone(),
                    max_message: grpc.max_message(),
                    include_metadata: grpc.include_metadata,
                })),
                server: None,
            })
        });
        let http = config.protocols.http.as_ref().map(|http| {
            if http.cors.as_ref().is_some_and(CorsConfig::does_nothing) {
                tracing::warn!(receiver = %context.id, "`cors` does nothing without `allowed_origins`");
            }
            Ok(Endpoint {
                protocol: "HTTP",
                address: http.endpoint.clone(),
                transport: http.transport,
                options: ServerOptions {
                    edges: Arc::clone(&context.edges),
                    ..http.server_options().map_err(failed)?
                },
                service: Service::Http(Arc::new(HttpHandler {
                    intake: intake("http"),
                    budget: budget.clone(),
                    traces_path: http.traces_path(),
                    max_body: http.max_body(),
                    compressions: http.compressions(),
                    cors: http.cors.clone(),
                    response_headers: http.response_headers.to_map(),
                    include_metadata: http.include_metadata,
                    read_timeout: http.read_timeout(),
                    write_timeout: http.write_timeout(),
                })),
                server: None,
            })
        });
        Ok(Self {
            id: context.id.to_string(),
            grpc: grpc.transpose()?,
            http: http.transpose()?,
            status: context.status.clone(),
        })
    }

    /// Where gRPC is listened for, once started.
    pub fn grpc_addr(&self) -> Option<SocketAddr> {
        self.grpc.as_ref()?.server.as_ref().map(Server::local_addr)
    }

    /// Where HTTP is listened for, once started.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref()?.server.as_ref().map(Server::local_addr)
    }

    fn endpoints(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        self.grpc.iter_mut().chain(self.http.iter_mut())
    }
}

/// Shows how much of the budget is in use.
fn watch(budget: &ByteBudget, context: &Context) {
    let receiver = context.id.to_string();
    let shown = budget.clone();
    context.telemetry.metrics.observe(
        "forebay_receiver_in_flight_bytes",
        "Bytes of requests that are being read and decompressed.",
        MetricKind::Gauge,
        &[("receiver", &receiver)],
        move || shown.used() as f64,
    );
    let shown = budget.clone();
    context.status.queue(move || QueueDepth {
        used: shown.used() as u64,
        capacity: shown.limit() as u64,
        unit: "bytes",
        bytes: shown.used() as u64,
    });
}

#[async_trait]
impl Receiver for OtlpReceiver {
    async fn start(&mut self) -> Result<(), StartError> {
        let id = self.id.clone();
        let mut outcome = Ok(());
        for endpoint in self.endpoints() {
            outcome = endpoint.start(&id).await;
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_err() {
            // One port that is listened on and another that is not would look like a receiver that works.
            self.shutdown(Instant::now()).await;
        } else {
            self.status.ok();
        }
        outcome
    }

    async fn shutdown(&mut self, deadline: Instant) {
        let mut servers = self.endpoints().filter_map(|endpoint| endpoint.server.take());
        match (servers.next(), servers.next()) {
            (Some(one), Some(other)) => {
                drop(servers);
                tokio::join!(one.shutdown(deadline), other.shutdown(deadline));
            }
            (Some(one), None) => {
                drop(servers);
                one.shutdown(deadline).await;
            }
            _ => drop(servers),
        }
        self.status.stopped();
    }
}

impl Endpoint {
    async fn start(&mut self, id: &str) -> Result<(), StartError> {
        let failed =
            |error: &dyn std::fmt::Display| StartError(format!("receiver {id}, {}: {error}", self.protocol));
        let listener = self.address.listen(self.transport).await.map_err(|error| failed(&error))?;
        let server = Server::start(listener, self.options.clone(), self.service.clone())
            .map_err(|error| failed(&error))?;
        tracing::info!(receiver = id, endpoint = %server.local_addr(), tls = self.options.tls.is_some(), "OTLP/{} is listened for", self.protocol);
        self.server = Some(server);
        Ok(())
    }
}

/// Where a request came from, with those of its headers that are kept and are plain text.
pub(crate) fn origin<'a>(peer: SocketAddr, headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Origin {
    let headers = headers.filter_map(|(name, value)| {
        let value = std::str::from_utf8(value).ok().filter(|value| value.is_ascii())?;
        Some((Arc::from(name), Arc::from(value)))
    });
    Origin { peer: Some(peer), client: None, headers: headers.collect() }
}
