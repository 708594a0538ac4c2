//! What servers and clients share on the network: endpoints, TLS, compression, the raw gRPC codec.

mod client_compression;
mod client_headers;
mod client_http;
mod client_http_config;
mod client_tls;
mod compression;
pub mod http2;
mod listen;
mod raw_codec;
mod retry_after;
pub mod server;
mod tls_server;

pub use client_compression::ClientCompression;
pub use client_headers::Headers;
pub use client_http::{
    HttpAnswer, HttpClient, HttpClientError, HttpClientSettings, HttpFailure, HttpVerdict,
};
pub use client_http_config::{CompressionParams, HttpKeys, check_http_url};
pub use client_tls::{ClientTlsConfig, ClientTlsError};
pub use compression::{Compression, DecompressError, UnknownCompression, compress, compress_at, decompress};
pub use listen::{EndpointError, ListenEndpoint, ListenError, Transport};
pub use raw_codec::RawCodec;
pub use retry_after::{parse_retry_after, retry_after_value};
pub use tls_server::{ServerTlsConfig, TlsError, TlsVersion};
