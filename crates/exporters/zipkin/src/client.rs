//! An HTTP client that posts to one URL, and what the answers mean.

use bytes::{Bytes, BytesMut};
use forebay_component::Reason;
use forebay_exporter_queue::{Delivered, SendFailure};
use forebay_net::{ClientTlsConfig, ClientTlsError, Compression, Headers, parse_retry_after};
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Url};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What this agent calls itself.
const AGENT: &str = concat!("Forebay/", env!("CARGO_PKG_VERSION"));
/// A connection that takes longer has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// So much of an answer is read; the rest, if there is any, costs the connection.
const MAX_RESPONSE: usize = 64 << 10;
/// An answer's body that takes longer is not waited for.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// So much of a backend's words goes into messages.
const MAX_WORDS: usize = 500;

/// How to talk to the backend.
pub(crate) struct HttpOptions<'c> {
    pub(crate) tls: &'c ClientTlsConfig,
    /// What the user wants sent: wins over what we would send.
    pub(crate) headers: &'c Headers,
    pub(crate) content_type: &'static str,
    /// How the bodies are compressed that [`HttpClient::post`] gets.
    pub(crate) compression: Compression,
    /// A proxy instead of what the environment says.
    pub(crate) proxy: Option<Url>,
    /// Idle connections kept.
    pub(crate) max_idle: usize,
    pub(crate) idle_timeout: Option<Duration>,
    /// Whether HTTP/2 is offered over TLS.
    pub(crate) http2: bool,
    pub(crate) ping_after: Option<Duration>,
    pub(crate) ping_timeout: Option<Duration>,
}

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    #[error("the TLS settings do not fit together: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("the HTTP client cannot be set up: {0}")]
    Http(String),
}

/// Posts to one URL. Follows no redirects: a POST that becomes a GET would look delivered.
pub(crate) struct HttpClient {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

impl HttpClient {
    pub(crate) fn new(url: Url, options: HttpOptions<'_>) -> Result<Self, ClientError> {
        let secure =
            url.scheme() == "https" || options.proxy.as_ref().is_some_and(|url| url.scheme() == "https");
        let alpn: &[&[u8]] = if options.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        // In plaintext the certificates to trust, which this host may not have, are not looked for.
        let tls = if secure { options.tls.build(alpn)? } else { no_tls()? };
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(options.max_idle)
            .pool_idle_timeout(options.idle_timeout)
            .http2_keep_alive_interval(options.ping_after)
            .http2_keep_alive_while_idle(true);
        if !options.http2 {
            builder = builder.http1_only();
        }
        if let Some(timeout) = options.ping_timeout {
            builder = builder.http2_keep_alive_timeout(timeout);
        }
        builder = match options.proxy {
            Some(proxy) => {
                builder.proxy(Proxy::all(proxy).map_err(|error| ClientError::Http(describe(&error)))?)
            }
            // As in Go, the environment's proxy is not asked for this host itself.
            None if is_loopback(&url) => builder.no_proxy(),
            None => builder,
        };
        let client = builder.build().map_err(|error| ClientError::Http(describe(&error)))?;

        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(options.content_type));
        if options.max_idle == 0 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if options.compression != Compression::Identity {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(options.compression.as_str()));
        }
        for (name, value) in &options.headers.to_map() {
            headers.insert(name, value.clone());
        }
        Ok(Self { client, url, headers })
    }

    /// Posts a body and reads the answer.
    pub(crate) async fn post(&self, body: Bytes) -> Result<Delivered, SendFailure> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let mut response = request.send().await.map_err(|error| self.unreachable("cannot reach", &error))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut answer = BytesMut::new();
        // The status says what became of the request: what follows, or fails to, are words.
        let read = async {
            while answer.len() < MAX_RESPONSE
                && let Ok(Some(chunk)) = response.chunk().await
            {
                answer.extend_from_slice(chunk.get(..MAX_RESPONSE - answer.len()).unwrap_or(&chunk));
            }
        };
        let _ = tokio::time::timeout(READ_TIMEOUT, read).await;
        classify(status, &headers, &answer)
    }

    fn unreachable(&self, what: &str, error: &reqwest::Error) -> SendFailure {
        let place = self.url.host_str().unwrap_or_default();
        let place = match self.url.port_or_known_default() {
            Some(port) => format!("{place}:{port}"),
            None => place.to_owned(),
        };
        let message = format!("{what} {place}: {}", describe(error));
        match error.is_builder() {
            true => SendFailure::permanent(Reason::Internal, message),
            false => SendFailure::retryable(Reason::Unavailable, message),
        }
    }
}

/// Taken, retryable or permanent (OTLP/HTTP, failures; other backends mean the same).
pub(crate) fn classify(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Delivered, SendFailure> {
    if status.is_success() {
        return Ok(Delivered::default());
    }
    let mut message = format!("the backend answered HTTP {status}");
    let words = words(&String::from_utf8_lossy(body));
    if !words.is_empty() {
        message = format!("{message}: {words}");
    }
    let advice = match status.as_u16() {
        300..=399 => "redirects are not followed: set `endpoint` to where the backend is",
        401 | 403 => "check `headers` and `tls`",
        404 | 405 => "check the path of `endpoint`: Zipkin's is /api/v2/spans",
        413 => "lower `send_batch_max_size` of the batch processor, or raise the backend's limit",
        415 => "the backend does not take this `compression`",
        _ => "",
    };
    if !advice.is_empty() {
        message = format!("{message} ({advice})");
    }
    Err(match status.as_u16() {
        429 | 502 | 503 | 504 => {
            let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let wait = wait.and_then(|value| parse_retry_after(value, SystemTime::now()));
            SendFailure::retryable(Reason::Unavailable, message).after(wait.filter(|wait| !wait.is_zero()))
        }
        401 | 403 => SendFailure::permanent(Reason::Unauthenticated, message),
        _ => SendFailure::permanent(Reason::Rejected, message),
    })
}

/// A backend's words, cut to a length that a log line bears and without control characters.
fn words(text: &str) -> String {
    let clean = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut words: String = clean.take(MAX_WORDS).collect();
    if text.trim().chars().nth(MAX_WORDS).is_some() {
        words.push_str("...");
    }
    words
}

fn no_tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// An error with its causes, each said once.
fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}
