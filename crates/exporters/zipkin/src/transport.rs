//! An OTLP payload to requests, a request to Zipkin, and what its answer means.

use crate::config::Config;
use crate::mapping::{Body, encode};
use async_trait::async_trait;
use bytes::Bytes;
use forebay_component::{Reason, Refusal};
use forebay_exporter_queue::{Delivered, Request, SendFailure, Transport};
use forebay_net::{Compression, HttpAnswer, HttpClient, HttpClientError, HttpVerdict, compress_at};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// What this agent calls itself.
const USER_AGENT: &str = concat!("Forebay/", env!("CARGO_PKG_VERSION"));
/// The most JSON in one request, before compression: half of what Zipkin takes. One span that has more goes alone.
pub(crate) const MAX_BODY: usize = 5 << 20;
/// So much of a backend's words goes into messages.
const MAX_WORDS: usize = 500;

/// Posts JSON arrays of spans.
pub(crate) struct ZipkinTransport {
    client: HttpClient,
    default_service_name: String,
    compression: Compression,
    level: Option<i32>,
    /// What every request carries beside the user's headers.
    headers: HeaderMap,
    max_body: usize,
}

impl ZipkinTransport {
    /// A transport whose requests have at most `max_body` bytes of JSON. Reads the TLS files.
    pub(crate) fn new(config: &Config, max_body: usize) -> Result<Self, HttpClientError> {
        let keys = config.keys();
        let compression = config.compression.0;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if compression != Compression::Identity {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(compression.as_str()));
        }
        Ok(Self {
            client: HttpClient::new(&config.endpoint, keys.settings(USER_AGENT))?,
            default_service_name: config.default_service_name.clone(),
            compression,
            level: keys.level(),
            headers,
            max_body,
        })
    }

    fn request(&self, body: Body) -> Result<Request, Refusal> {
        let json = match self.compression {
            Compression::Identity => body.json,
            compression => compress_at(compression, self.level, &body.json).map_err(|error| {
                Refusal::permanent(Reason::Internal, format!("compressing the request failed: {error}"))
            })?,
        };
        Ok(Request { body: json.into(), items: body.spans })
    }
}

#[async_trait]
impl Transport for ZipkinTransport {
    fn encode(&self, body: Bytes, _items: usize) -> Result<Vec<Request>, Refusal> {
        let encoded = encode(&body, &self.default_service_name, self.max_body);
        let mut requests =
            encoded.bodies.into_iter().map(|body| self.request(body)).collect::<Result<Vec<_>, _>>()?;
        if encoded.invalid > 0 {
            // Empty, and so never sent: this is how these spans get counted without the others being held up.
            requests.push(Request { body: Bytes::new(), items: encoded.invalid });
        }
        Ok(requests)
    }

    async fn send(&self, request: &Request) -> Result<Delivered, SendFailure> {
        if request.body.is_empty() {
            let message = "spans without a valid trace id and span id cannot be sent to Zipkin";
            return Err(SendFailure::permanent(Reason::Invalid, message));
        }
        let answer = self.client.post(self.headers.clone(), request.body.clone()).await;
        outcome(&answer.map_err(|failure| SendFailure::retryable(Reason::Unavailable, failure.0))?)
    }
}

fn outcome(answer: &HttpAnswer) -> Result<Delivered, SendFailure> {
    let advice = match answer.status.as_u16() {
        300..=399 => "set `endpoint` to where the backend is",
        401 | 403 => "check `headers` and `tls`",
        404 | 405 => "check the path of `endpoint`: Zipkin's is /api/v2/spans",
        413 => "lower `send_batch_max_size` of the batch processor, or raise the backend's limit",
        415 => "the backend may not take this `compression`",
        _ => "",
    };
    let mut message = format!("the backend answered HTTP {}", answer.status);
    let said = words(&answer.body);
    if !said.is_empty() {
        message = format!("{message}: {said}");
    }
    if !advice.is_empty() {
        message = format!("{message} ({advice})");
    }
    match answer.verdict() {
        HttpVerdict::Success => Ok(Delivered::default()),
        HttpVerdict::Retryable => {
            let wait = answer.retry_after.filter(|wait| !wait.is_zero());
            Err(SendFailure::retryable(Reason::Unavailable, message).after(wait))
        }
        HttpVerdict::Unauthenticated => Err(SendFailure::permanent(Reason::Unauthenticated, message)),
        HttpVerdict::Permanent => Err(SendFailure::permanent(Reason::Rejected, message)),
    }
}

/// A backend's words, cut to a length that a log line bears and without control characters.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let clean = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut words: String = clean.take(MAX_WORDS).collect();
    if text.trim().chars().nth(MAX_WORDS).is_some() {
        words.push_str("...");
    }
    words
}
