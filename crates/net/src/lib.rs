//! What servers and clients share on the network: endpoints, TLS, compression, the raw gRPC codec.

mod raw_codec;

pub use raw_codec::RawCodec;
