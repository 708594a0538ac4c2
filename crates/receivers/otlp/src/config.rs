//! The receiver's configuration: the collector's keys (`otlpreceiver`, `configgrpc`) and its defaults.

use std::sync::Arc;
use std::time::Duration;

use forebay_component::{BuildError, BuildReceiver, Consumer, Context, Info, Receiver, ReceiverFactory};
use forebay_config::{ByteSize, Diagnostics, GoDuration, Node, Unsupported, refuse_unsupported};
use forebay_net::http2::PingPolicy;
use forebay_net::server::ServerOptions;
use forebay_net::{ListenEndpoint, ServerTlsConfig, TlsError, Transport};
use serde::{Deserialize, Serialize};

use crate::http_config::HttpConfig;
use crate::receiver::OtlpReceiver;

/// The `otlp` receiver type.
pub static FACTORY: ReceiverFactory = ReceiverFactory {
    info: Info { kind: "otlp", aliases: &[], description: "Takes traces over OTLP/gRPC and OTLP/HTTP." },
    configure,
};

/// gRPC's own limit where none is configured.
const DEFAULT_MAX_MESSAGE_MIB: u32 = 4;
const MIB: usize = 1 << 20;
/// Streams on one connection where none are configured: the collector sets no limit, but memory is bounded here.
const DEFAULT_STREAMS: u32 = 1000;
const DEFAULT_IN_FLIGHT: u64 = 256 << 20;
/// The least that lets a client's smallest batches in.
const MIN_IN_FLIGHT: u64 = 1 << 20;

/// The receiver's configuration, read and checked.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    pub(crate) protocols: Protocols,
    /// Bytes of all requests that are being read and decompressed at once.
    pub(crate) max_in_flight_bytes: ByteSize,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Protocols {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grpc: Option<GrpcConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<HttpConfig>,
}

/// The keys of the receiver.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    #[serde(rename = "protocols")]
    _protocols: Option<ProtocolKeys>,
    max_in_flight_bytes: ByteSize,
}

impl Default for Keys {
    fn default() -> Self {
        Self { _protocols: None, max_in_flight_bytes: ByteSize(DEFAULT_IN_FLIGHT) }
    }
}

/// The keys of `protocols`; their sections are read on their own, since an empty one counts.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProtocolKeys {
    #[serde(rename = "grpc")]
    _grpc: Unsupported,
    #[serde(rename = "http")]
    _http: Unsupported,
}

/// The `grpc` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GrpcConfig {
    pub(crate) endpoint: ListenEndpoint,
    pub(crate) transport: Transport,
    pub(crate) tls: Option<ServerTlsConfig>,
    /// In MiB; 0 is gRPC's default.
    pub(crate) max_recv_msg_size_mib: u32,
    /// Requests under way on one connection; 0 is [`DEFAULT_STREAMS`].
    pub(crate) max_concurrent_streams: u32,
    /// Bytes fetched by one read; 0: 128 KiB.
    pub(crate) read_buffer_size: usize,
    /// Bytes of answers that may wait to be written before no more is read; 0: 64 KiB.
    pub(crate) write_buffer_size: usize,
    pub(crate) keepalive: Keepalive,
    /// Whether request headers go along with the data.
    pub(crate) include_metadata: bool,
    #[serde(skip_serializing)]
    auth: Unsupported,
    #[serde(skip_serializing)]
    middlewares: Unsupported,
    #[serde(skip_serializing)]
    dialer: Unsupported,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            endpoint: ListenEndpoint { host: "localhost".to_owned(), port: 4317 },
            transport: Transport::Tcp,
            tls: None,
            max_recv_msg_size_mib: 0,
            max_concurrent_streams: 0,
            read_buffer_size: 0,
            write_buffer_size: 0,
            keepalive: Keepalive::default(),
            include_metadata: false,
            auth: Unsupported::default(),
            middlewares: Unsupported::default(),
            dialer: Unsupported::default(),
        }
    }
}

/// The `keepalive` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keepalive {
    pub(crate) server_parameters: ServerParameters,
    pub(crate) enforcement_policy: EnforcementPolicy,
}

/// What the server does about its connections; 0 is gRPC's default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerParameters {
    /// 0: forever.
    pub(crate) max_connection_idle: GoDuration,
    /// 0: forever.
    pub(crate) max_connection_age: GoDuration,
    /// 0: forever.
    pub(crate) max_connection_age_grace: GoDuration,
    /// Silence before a ping; 0: 2 h.
    pub(crate) time: GoDuration,
    /// Wait for its answer; 0: 20 s.
    pub(crate) timeout: GoDuration,
}

/// What clients may do; 0 is gRPC's default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EnforcementPolicy {
    /// The least time between pings; 0: 5 min.
    pub(crate) min_time: GoDuration,
    pub(crate) permit_without_stream: bool,
}

/// `None` for 0, which stands for «no such limit» or «the default».
pub(crate) fn nonzero(duration: GoDuration) -> Option<Duration> {
    (!duration.0.is_zero()).then_some(duration.0)
}

impl GrpcConfig {
    /// The largest message, in bytes.
    pub(crate) fn max_message(&self) -> usize {
        let mib = if self.max_recv_msg_size_mib == 0 {
            DEFAULT_MAX_MESSAGE_MIB
        } else {
            self.max_recv_msg_size_mib
        };
        mib as usize * MIB
    }

    pub(crate) fn server_options(&self) -> Result<ServerOptions, TlsError> {
        let server = &self.keepalive.server_parameters;
        let policy = &self.keepalive.enforcement_policy;
        let streams = self.max_concurrent_streams;
        Ok(ServerOptions {
            tls: self.tls.as_ref().map(|tls| tls.load(&[b"h2"])).transpose()?,
            idle_timeout: nonzero(server.max_connection_idle),
            max_age: nonzero(server.max_connection_age),
            max_age_grace: nonzero(server.max_connection_age_grace),
            max_concurrent_streams: if streams == 0 { DEFAULT_STREAMS } else { streams },
            ping_interval: Some(nonzero(server.time).unwrap_or(Duration::from_secs(2 * 60 * 60))),
            ping_timeout: nonzero(server.timeout).unwrap_or(Duration::from_secs(20)),
            ping_policy: Some(PingPolicy {
                min_time: nonzero(policy.min_time).unwrap_or(Duration::from_secs(5 * 60)),
                permit_without_stream: policy.permit_without_stream,
            }),
            read_buffer: (self.read_buffer_size > 0).then_some(self.read_buffer_size),
            write_buffer: (self.write_buffer_size > 0).then_some(self.write_buffer_size),
            ..ServerOptions::default()
        })
    }

    fn check(&self, node: &Node) -> Diagnostics {
        let mut found = refuse_unsupported(node, &UNSUPPORTED);
        if let (Some(tls), Some(section)) = (&self.tls, node.get("tls")) {
            found.extend(tls.check(section));
        }
        // A gRPC message's length has 32 bits.
        if self.max_message() > u32::MAX as usize {
            let message = "a gRPC message has less than 4096 MiB";
            found.push(node.error_at(&["max_recv_msg_size_mib"], message));
        }
        found
    }
}

/// Keys of `configgrpc` and `confighttp` that name extensions or make no sense for a server.
pub(crate) const UNSUPPORTED: [(&str, &str); 3] = [
    ("auth", "no authentication extension exists yet: use `tls.client_ca_file` to admit only known clients"),
    ("middlewares", "remove the key"),
    ("dialer", "a receiver dials nobody: remove the key"),
];

fn configure(node: &Node) -> Result<Box<dyn BuildReceiver>, Diagnostics> {
    Ok(Box::new(Plan(Config::read(node)?)))
}

impl Config {
    /// Reads the receiver's section.
    ///
    /// # Errors
    /// Every key that is unknown, of the wrong type or not supported, where it stands.
    pub fn read(node: &Node) -> Result<Self, Diagnostics> {
        let mut found = Diagnostics::default();
        let keys = node.read::<Keys>().map_err(|errors| found.extend(errors)).ok();
        let protocols = node.get("protocols");
        let section = |name| protocols.and_then(|protocols| protocols.get(name));
        let grpc = section("grpc").map(|node| (node, node.read::<GrpcConfig>()));
        let http = section("http").map(|node| (node, node.read::<HttpConfig>()));
        if grpc.is_none() && http.is_none() && found.0.is_empty() {
            let error = node.error_at(&["protocols"], "the otlp receiver needs at least one protocol");
            found.push(error.with_help("add `grpc:` or `http:` under `protocols:`"));
        }
        let grpc = grpc.and_then(|(node, read)| {
            read.inspect(|grpc| found.extend(grpc.check(node))).map_err(|errors| found.extend(errors)).ok()
        });
        let http = http.and_then(|(node, read)| {
            read.inspect(|http| found.extend(http.check(node))).map_err(|errors| found.extend(errors)).ok()
        });
        let in_flight = keys.map_or(ByteSize(DEFAULT_IN_FLIGHT), |keys| keys.max_in_flight_bytes);
        let largest = grpc.as_ref().map_or(0, GrpcConfig::max_message);
        let largest = largest.max(http.as_ref().map_or(0, HttpConfig::max_body)) as u64;
        if in_flight.bytes() < MIN_IN_FLIGHT {
            found.push(node.error_at(&["max_in_flight_bytes"], "must be at least 1MiB"));
        } else if in_flight.bytes() < largest {
            let message = format!(
                "is less than the largest message ({}), which could never be received: raise it, or lower \
                 `max_recv_msg_size_mib` and `max_request_body_size`",
                ByteSize(largest)
            );
            found.push(node.error_at(&["max_in_flight_bytes"], message));
        }
        let config = Self { protocols: Protocols { grpc, http }, max_in_flight_bytes: in_flight };
        found.into_result(config)
    }
}

struct Plan(Config);

impl BuildReceiver for Plan {
    fn effective(&self) -> serde_json::Value {
        serde_json::to_value(&self.0).unwrap_or_default()
    }

    fn build(
        self: Box<Self>,
        context: Context,
        next: Arc<dyn Consumer>,
    ) -> Result<Box<dyn Receiver>, BuildError> {
        Ok(Box::new(OtlpReceiver::build(&self.0, &context, next)?))
    }
}
