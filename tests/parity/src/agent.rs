//! An agent as a process, fed over OTLP/gRPC, and the sink that takes what comes out of it over OTLP/HTTP.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use bytes::Bytes;
use forebay_config::to_yaml;
use forebay_generator::client::ExportClient;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::case::Case;
use crate::corpus::{Scenario, Step};
use crate::replay::waits;

/// Attempts to start an agent.
const STARTS: usize = 4;
const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(60);
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Why a case could not be played to an agent.
#[derive(Debug, Error)]
pub enum AgentError {
    /// Files and sockets.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// It does not take what it should, or does not stop.
    #[error("{0}")]
    Process(String),
    /// A request was not taken for a long time.
    #[error("a request was not taken: {0}")]
    Stuck(String),
    /// The process ended by itself, perhaps at once.
    #[error("{0} is gone: see its log")]
    Gone(String),
    /// The machine was too busy for the times of the case to hold.
    #[error("sending took {0:?}, too long for the decision_wait: run fewer jobs at a time")]
    Late(Duration),
}

impl AgentError {
    /// What it says of the agent, if it is the agent's fault: one of [`FAILURES`](crate::golden::FAILURES).
    #[must_use]
    pub fn failure(&self) -> Option<&'static str> {
        match self {
            Self::Gone(_) => Some("crashes"),
            Self::Stuck(_) => Some("hangs"),
            _ => None,
        }
    }
}

/// Where an agent and its files are.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The program.
    pub binary: &'a Path,
    /// Its configuration and log go there.
    pub folder: &'a Path,
    /// `otelcol` or `forebay`.
    pub name: &'static str,
}

impl Place<'_> {
    fn gone(&self) -> AgentError {
        AgentError::Gone(self.folder.join(self.name).display().to_string())
    }
}

/// Starts the agent on the case's section, plays the scenario, stops it, and returns the requests that came out.
///
/// # Errors
/// When it does not start, take the requests in time, or stop.
pub async fn play(case: &Case, scenario: &Scenario, place: &Place<'_>) -> Result<Vec<Bytes>, AgentError> {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let sink = sink(Arc::clone(&taken)).await?;
    let (mut agent, port) = start(case, place, sink).await?;
    let client = ExportClient::connect_lazy(&format!("127.0.0.1:{port}"))
        .map_err(|error| AgentError::Process(error.to_string()))?;
    let most = case.wait.mul_f64(0.9);
    let may_block = case.section.get("block_on_overflow").is_some();
    let mut since = Instant::now();
    for (step, wait) in waits(case, scenario) {
        if let Step::Send(request) = step {
            send(&client, request, &mut agent, place).await?;
            if since.elapsed() > most && !may_block {
                return Err(AgentError::Late(since.elapsed()));
            }
        } else {
            sleep(wait).await;
            since = Instant::now();
        }
    }
    stop(&mut agent, place).await?;
    let taken = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(taken)
}

/// Sends until taken: an agent that is full says so.
async fn send(
    client: &ExportClient,
    request: &Bytes,
    agent: &mut Child,
    place: &Place<'_>,
) -> Result<(), AgentError> {
    let since = Instant::now();
    loop {
        match client.export(request.clone()).await {
            Ok(0) => return Ok(()),
            Ok(rejected) => return Err(AgentError::Process(format!("{rejected} spans were rejected"))),
            Err(status) if since.elapsed() > TAKEN_WITHIN => {
                return Err(AgentError::Stuck(status.to_string()));
            }
            Err(_) if agent.try_wait().is_ok_and(|exited| exited.is_some()) => return Err(place.gone()),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Starts it on free ports; on others when somebody else was quicker.
async fn start(case: &Case, place: &Place<'_>, sink: SocketAddr) -> Result<(Child, u16), AgentError> {
    let io = |error| AgentError::Io(place.folder.display().to_string(), error);
    fs::create_dir_all(place.folder).map_err(io)?;
    let config = place.folder.join(place.name).with_extension("yaml");
    for _ in 0..STARTS {
        let ports = (free_port().map_err(io)?, free_port().map_err(io)?);
        fs::write(&config, configuration(case, ports, sink)).map_err(io)?;
        if let Some(agent) = start_on(case, place, &config, ports.0).await? {
            return Ok((agent, ports.0));
        }
    }
    let log = place.folder.join(place.name).with_extension("log");
    Err(AgentError::Process(format!("{} does not start: see {}", place.name, log.display())))
}

/// None when it ended before it listened.
async fn start_on(
    case: &Case,
    place: &Place<'_>,
    config: &Path,
    port: u16,
) -> Result<Option<Child>, AgentError> {
    let io = |error| AgentError::Io(place.folder.display().to_string(), error);
    let log = File::create(config.with_extension("log")).map_err(io)?;
    let mut child = Command::new(place.binary)
        .arg("--config")
        .arg(config)
        .args(case.feature_gates.iter().map(|gates| format!("--feature-gates={gates}")))
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(io)?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| AgentError::Io(place.binary.display().to_string(), error))?;
    let since = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        if child.try_wait().map_err(io)?.is_some() {
            return Ok(None);
        }
        if since.elapsed() > START_WITHIN {
            return Err(AgentError::Process(format!("{} does not listen on {port}", place.name)));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(Some(child))
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

async fn stop(agent: &mut Child, place: &Place<'_>) -> Result<(), AgentError> {
    let id = agent.id().ok_or_else(|| place.gone())?;
    let kill = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await;
    kill.map_err(|error| AgentError::Io("kill".to_owned(), error))?;
    match timeout(STOP_WITHIN, agent.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(_) => Err(place.gone()),
        Err(_) => Err(AgentError::Process(format!("{} does not stop", place.name))),
    }
}

fn configuration(case: &Case, (port, metrics): (u16, u16), sink: SocketAddr) -> String {
    let section: String = to_yaml(&case.section).lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:{port}
processors:
  tail_sampling:
{section}  batch:
    timeout: 100ms
exporters:
  otlp_http:
    endpoint: http://{sink}
    compression: none
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [tail_sampling, batch]
      exporters: [otlp_http]
  telemetry:
    metrics:
      readers:
        - pull:
            exporter:
              prometheus:
                host: 127.0.0.1
                port: {metrics}
"
    )
}

/// An OTLP/HTTP server that keeps what it gets; it runs as long as the runtime.
async fn sink(taken: Arc<Mutex<Vec<Bytes>>>) -> Result<SocketAddr, AgentError> {
    let io = |error| AgentError::Io("the sink".to_owned(), error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    let take = |State(taken): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes| async move {
        taken.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        ([(CONTENT_TYPE, "application/x-protobuf")], "")
    };
    let routes =
        Router::new().route("/v1/traces", post(take)).layer(DefaultBodyLimit::disable()).with_state(taken);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}
