//! A small OTLP/gRPC client for requests that are already encoded.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

/// The path of OTLP's trace export method.
pub const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Sends encoded `ExportTraceServiceRequest`s; cheap to clone, all clones share one connection.
#[derive(Clone, Debug)]
pub struct ExportClient {
    channel: Channel,
}

impl ExportClient {
    /// A client that connects when it first sends, and again after a connection is lost.
    ///
    /// `endpoint` is `host:port` or `http://host:port`.
    ///
    /// # Errors
    /// When `endpoint` is neither.
    pub fn connect_lazy(endpoint: &str) -> Result<Self, tonic::transport::Error> {
        let uri = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
        let endpoint = Endpoint::from_shared(uri)?
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(10))
            .tcp_nodelay(true);
        Ok(Self { channel: endpoint.connect_lazy() })
    }

    /// Sends one request and returns how many of its spans the receiver rejected (partial success).
    ///
    /// # Errors
    /// The status that the receiver answered, or one that says why it could not be asked.
    pub async fn export(&self, request: Bytes) -> Result<u64, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(EXPORT_PATH);
        let response = grpc.unary(tonic::Request::new(request), path, RawCodec).await?.into_inner();
        let rejected = response.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or(0))
    }
}

/// Requests as raw bytes, responses decoded.
#[derive(Clone, Copy, Debug)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(item.len());
        to.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        ExportTraceServiceResponse::decode(bytes).map(Some).map_err(|error| {
            Status::internal(format!("the receiver's answer is not an OTLP response: {error}"))
        })
    }
}
