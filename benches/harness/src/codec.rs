//! gRPC codecs that neither decode what the sink counts nor encode what the loader replays.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use forebay_generator::Corpus;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// One request of a corpus, in one replay; written straight into the connection's buffer.
#[derive(Clone, Debug)]
pub struct Replayed {
    pub corpus: Arc<Corpus>,
    /// An index into the corpus's requests.
    pub request: usize,
    pub replay: u32,
}

/// The loader's side: a [`Replayed`] goes out, an OTLP response comes back.
#[derive(Clone, Copy, Debug)]
pub struct LoadCodec;

impl Codec for LoadCodec {
    type Encode = Replayed;
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

impl Encoder for LoadCodec {
    type Item = Replayed;
    type Error = Status;

    fn encode(&mut self, item: Replayed, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let request = &item.corpus.requests()[item.request];
        to.reserve(request.wire_len());
        request.write(item.replay, to);
        Ok(())
    }
}

impl Decoder for LoadCodec {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let decoded = ExportTraceServiceResponse::decode(from.copy_to_bytes(from.remaining()));
        decoded.map(Some).map_err(|error| Status::internal(format!("not an OTLP response: {error}")))
    }
}

/// The sink's side: raw bytes come in, an empty response (nothing rejected) goes back.
#[derive(Clone, Copy, Debug)]
pub struct SinkCodec;

impl Codec for SinkCodec {
    type Encode = ();
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for SinkCodec {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for SinkCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
