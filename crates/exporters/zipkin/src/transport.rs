//! Arrays of spans, posted one by one.

use crate::config::Config;
use crate::span::encode;
use async_trait::async_trait;
use bytes::Bytes;
use forebay_component::{Reason, Refusal};
use forebay_exporter_queue::{Delivered, Request, SendFailure, Transport};
use forebay_net::{Compression, HttpClient, HttpClientError, HttpVerdict, compress_at};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

const USER_AGENT: &str = concat!("Forebay/", env!("CARGO_PKG_VERSION"));
/// Zipkin's server takes 10 MiB by default, uncompressed; a span that crosses the line still fits.
const MAX_BODY: usize = 4 << 20;
/// So many characters of an answer go into messages.
const MAX_WORDS: usize = 500;

/// Posts to one URL.
pub(crate) struct ZipkinTransport {
    client: HttpClient,
    default_service: String,
    compression: Compression,
    level: Option<i32>,
    headers: HeaderMap,
}

impl ZipkinTransport {
    pub(crate) fn new(config: &Config) -> Result<Self, HttpClientError> {
        let keys = config.keys();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let compression = config.compression.0;
        if compression != Compression::Identity {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(compression.as_str()));
        }
        Ok(Self {
            client: HttpClient::new(&config.endpoint, keys.settings(USER_AGENT))?,
            default_service: config.default_service_name.clone(),
            compression,
            level: keys.level(),
            headers,
        })
    }

    fn compress(&self, json: Vec<u8>) -> Result<Bytes, Refusal> {
        if self.compression == Compression::Identity {
            return Ok(json.into());
        }
        compress_at(self.compression, self.level, &json).map(Bytes::from).map_err(|error| {
            Refusal::permanent(Reason::Internal, format!("compressing the request failed: {error}"))
        })
    }
}

#[async_trait]
impl Transport for ZipkinTransport {
    fn encode(&self, body: Bytes, _: usize) -> Result<Vec<Request>, Refusal> {
        let chunks = encode(&body, &self.default_service, MAX_BODY).into_iter();
        chunks.map(|chunk| Ok(Request { body: self.compress(chunk.json)?, items: chunk.spans })).collect()
    }

    async fn send(&self, request: &Request) -> Result<Delivered, SendFailure> {
        let answer = self.client.post(self.headers.clone(), request.body.clone()).await;
        let answer = answer.map_err(|failure| SendFailure::retryable(Reason::Unavailable, failure.0))?;
        let said = String::from_utf8_lossy(&answer.body);
        let said = said.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
        let said: String = said.take(MAX_WORDS).collect();
        let colon = if said.is_empty() { "" } else { ": " };
        let text = format!("Zipkin answered HTTP {}{colon}{said}", answer.status);
        match answer.verdict() {
            HttpVerdict::Success => Ok(Delivered::default()),
            HttpVerdict::Retryable => {
                Err(SendFailure::retryable(Reason::Unavailable, text).after(answer.retry_after))
            }
            HttpVerdict::Unauthenticated => {
                let advice = "check `headers` and `tls`";
                Err(SendFailure::permanent(Reason::Unauthenticated, format!("{text} ({advice})")))
            }
            HttpVerdict::Permanent if matches!(answer.status.as_u16(), 404 | 405) => {
                let advice = "is the endpoint's path /api/v2/spans?";
                Err(SendFailure::permanent(Reason::Rejected, format!("{text} ({advice})")))
            }
            HttpVerdict::Permanent => Err(SendFailure::permanent(Reason::Rejected, text)),
        }
    }
}
