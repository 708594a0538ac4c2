//! The running extension.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use forebay_component::{BuildError, Context, Extension, StartError};
use forebay_config::GoDuration;
use forebay_net::server::{Handler, Reply, ReplyBody, Server, ServerOptions, Service};
use forebay_telemetry::{Board, ComponentHandle, Phase};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;

use crate::clock::{NO_TIME, rfc3339};
use crate::config::Config;

/// Answers 200 while the agent takes data, else 503.
pub struct HealthCheck {
    id: String,
    probe: Arc<Probe>,
    options: ServerOptions,
    server: Option<Server>,
    status: ComponentHandle,
}

struct Probe {
    config: Config,
    board: Board,
}

/// The collector's answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    status: &'static str,
    up_since: String,
    uptime: String,
}

impl HealthCheck {
    /// Builds the extension; its port is bound by [`Extension::start`].
    ///
    /// # Errors
    /// When a certificate or a key cannot be loaded.
    pub fn build(config: Config, context: &Context) -> Result<Self, BuildError> {
        let failed = |error: forebay_net::TlsError| BuildError(format!("extension {}: {error}", context.id));
        if config.wants_ignored_check() {
            tracing::warn!(
                extension = %context.id,
                "check_collector_pipeline has no effect, as in the collector: remove it"
            );
        }
        Ok(Self {
            id: context.id.to_string(),
            options: config.server_options().map_err(failed)?,
            probe: Arc::new(Probe { config, board: context.telemetry.board.clone() }),
            server: None,
            status: context.status.clone(),
        })
    }

    /// Where it listens, once started.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::local_addr)
    }
}

#[async_trait]
impl Extension for HealthCheck {
    async fn start(&mut self) -> Result<(), StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError(format!("extension {}: {error}", self.id));
        let config = &self.probe.config;
        let listener = config.endpoint.listen(config.transport).await.map_err(|error| failed(&error))?;
        let handler = Arc::clone(&self.probe) as Arc<dyn Handler>;
        let server = Server::start(listener, self.options.clone(), Service::Http(handler))
            .map_err(|error| failed(&error))?;
        tracing::info!(extension = self.id, endpoint = %server.local_addr(), "health is answered for");
        self.server = Some(server);
        self.status.ok();
        Ok(())
    }

    async fn shutdown(&mut self, deadline: Instant) {
        if let Some(server) = self.server.take() {
            server.shutdown(deadline).await;
        }
        self.status.stopped();
    }
}

impl Handler for Probe {
    fn handle(self: Arc<Self>, request: Request<Incoming>, _: SocketAddr) -> Reply {
        let reply = self.answer(request.uri().path());
        Box::pin(std::future::ready(reply))
    }
}

impl Probe {
    fn answer(&self, path: &str) -> Response<ReplyBody> {
        if !self.config.serves(path) {
            let known = format!("404 not found: health is answered for at {}", self.config.path);
            return reply(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", known);
        }
        let ready = self.board.phase() == Phase::Ready;
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        match &self.config.response_body {
            Some(body) => {
                let text = if ready { &body.healthy } else { &body.unhealthy };
                reply(status, "text/plain; charset=utf-8", text.clone())
            }
            None => {
                let health = self.health(ready);
                reply(status, "application/json", serde_json::to_string(&health).unwrap_or_default())
            }
        }
    }

    fn health(&self, ready: bool) -> Health {
        match self.board.phase_since().filter(|_| ready) {
            Some(since) => {
                let uptime = SystemTime::now().duration_since(since).unwrap_or_default();
                Health {
                    status: "Server available",
                    up_since: rfc3339(since),
                    uptime: GoDuration(uptime).to_string(),
                }
            }
            None => {
                Health { status: "Server not available", up_since: NO_TIME.to_owned(), uptime: String::new() }
            }
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<ReplyBody> {
    let mut reply = Response::new(ReplyBody::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
