//! One POST: the payload's bytes or their JSON, and what the answer means.

use super::config::{Config, Encoding};
use crate::USER_AGENT;
use crate::response::{delivered, words};
use async_trait::async_trait;
use bytes::Bytes;
use forebay_component::{Reason, Refusal};
use forebay_exporter_queue::{Delivered, Request, SendFailure, Transport};
use forebay_net::{Compression, HttpAnswer, HttpClient, HttpClientError, HttpVerdict, compress_at};
use forebay_otlp::{json, response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

const PROTO: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Posts to one URL.
pub(crate) struct HttpTransport {
    client: HttpClient,
    encoding: Encoding,
    compression: Compression,
    level: Option<i32>,
    headers: HeaderMap,
}

impl HttpTransport {
    pub(crate) fn new(config: &Config, url: &str) -> Result<Self, HttpClientError> {
        let keys = config.keys();
        let mut headers = HeaderMap::new();
        let content_type = if config.encoding == Encoding::Json { JSON } else { PROTO };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let compression = config.compression.0;
        if compression != Compression::Identity {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(compression.as_str()));
        }
        Ok(Self {
            client: HttpClient::new(url, keys.settings(USER_AGENT))?,
            encoding: config.encoding,
            compression,
            level: keys.level(),
            headers,
        })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    fn encode(&self, body: Bytes, items: usize) -> Result<Vec<Request>, Refusal> {
        let body = match self.encoding {
            Encoding::Proto => body,
            Encoding::Json => {
                let mut text = Vec::with_capacity(body.len() * 2);
                json::encode_request(&body, &mut text);
                text.into()
            }
        };
        let body = match self.compression {
            Compression::Identity => body,
            compression => match compress_at(compression, self.level, &body) {
                Ok(compressed) => compressed.into(),
                Err(error) => {
                    let message = format!("compressing the request failed: {error}");
                    return Err(Refusal::permanent(Reason::Internal, message));
                }
            },
        };
        Ok(vec![Request { body, items }])
    }

    async fn send(&self, request: &Request) -> Result<Delivered, SendFailure> {
        let answer = self.client.post(self.headers.clone(), request.body.clone()).await;
        let answer = answer.map_err(|failure| SendFailure::retryable(Reason::Unavailable, failure.0))?;
        let text = || failure_text(&answer);
        match answer.verdict() {
            HttpVerdict::Success => Ok(delivered(partial_success(&answer))),
            HttpVerdict::Retryable => {
                Err(SendFailure::retryable(Reason::Unavailable, text()).after(answer.retry_after))
            }
            HttpVerdict::Unauthenticated => {
                let advice = "check `headers` and `tls`";
                Err(SendFailure::permanent(Reason::Unauthenticated, format!("{} ({advice})", text())))
            }
            HttpVerdict::Permanent => {
                let advice = match answer.status.as_u16() {
                    404 | 405 => " (is the path of the endpoint right?)",
                    413 => {
                        " (lower `send_batch_max_size` of the batch processor, or raise the backend's limit)"
                    }
                    300..=399 => " (set `endpoint` to where this leads)",
                    _ => "",
                };
                Err(SendFailure::permanent(Reason::Rejected, format!("{}{advice}", text())))
            }
        }
    }
}

fn partial_success(answer: &HttpAnswer) -> Option<(i64, String)> {
    match answer.content_type.as_str() {
        JSON => json::decode_response(&answer.body).ok().flatten(),
        PROTO => response::decode(&answer.body).ok().flatten(),
        _ => None,
    }
}

/// The status and the backend's words: a `google.rpc.Status` by the specification, plain text in practice.
fn failure_text(answer: &HttpAnswer) -> String {
    let status = match answer.content_type.as_str() {
        JSON => json::decode_status(&answer.body).ok(),
        PROTO => response::decode_status(&answer.body).ok(),
        _ => None,
    };
    let said = match status {
        Some((_, message)) => message,
        None if answer.content_type == PROTO => String::new(),
        None => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    let said = words(&said);
    let colon = if said.is_empty() { "" } else { ": " };
    format!("the backend answered HTTP {}{colon}{said}", answer.status)
}
