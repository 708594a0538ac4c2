//! One HTTP POST to a backend: the client that `otlp_http` and `zipkin` share.

use crate::{ClientTlsConfig, ClientTlsError, parse_retry_after};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use std::time::{Duration, SystemTime};

/// Answers are read up to here; a backend has no reason to say more.
const MAX_RESPONSE: usize = 64 << 10;
const MAX_REDIRECTS: usize = 5;

/// The settings of a client, from an exporter's configuration.
#[derive(Clone, Debug)]
pub struct HttpClientSettings<'a> {
    /// `tls`.
    pub tls: &'a ClientTlsConfig,
    /// What to send with every request.
    pub headers: HeaderMap,
    /// `User-Agent`, unless the headers have one.
    pub user_agent: &'a str,
    /// `proxy_url`; empty for what the environment says (`HTTPS_PROXY` and its kin).
    pub proxy_url: &'a str,
    /// Idle connections kept; none for no limit.
    pub max_idle: Option<usize>,
    /// How long an idle connection is kept; none for ever.
    pub idle_timeout: Option<Duration>,
    /// Whether to offer HTTP/2 over TLS.
    pub http2: bool,
    /// How long without traffic before an HTTP/2 ping, and how long to wait for its answer.
    pub http2_ping: Option<(Duration, Duration)>,
}

/// A client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    /// `proxy_url` is no URL.
    #[error("`proxy_url` cannot be used: {0}")]
    Proxy(String),
    /// Anything else.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// A backend's answer.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: StatusCode,
    /// `Content-Type`, without parameters.
    pub content_type: String,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The body, cut at 64 KiB.
    pub body: Bytes,
}

/// No answer came: the backend could not be reached or the connection broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpFailure(pub String);

/// What an answer means for a retry, by the table of the OTLP specification (OTLP/HTTP, failures).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVerdict {
    /// The request was taken.
    Success,
    /// The same request may be taken later.
    Retryable,
    /// The backend asks for other credentials.
    Unauthenticated,
    /// The same request will never be taken.
    Permanent,
}

impl HttpAnswer {
    /// What it means for a retry.
    pub fn verdict(&self) -> HttpVerdict {
        match self.status.as_u16() {
            200..=299 => HttpVerdict::Success,
            429 | 502 | 503 | 504 => HttpVerdict::Retryable,
            401 | 403 | 407 => HttpVerdict::Unauthenticated,
            _ => HttpVerdict::Permanent,
        }
    }
}

/// Posts to one URL over pooled connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    url: reqwest::Url,
}

impl HttpClient {
    /// A client for `url`; reads the TLS files.
    ///
    /// # Errors
    /// When TLS, the proxy or the URL cannot be used.
    pub fn new(url: &str, settings: HttpClientSettings<'_>) -> Result<Self, HttpClientError> {
        let client_error = |error: reqwest::Error| HttpClientError::Client(describe(&error));
        let url =
            reqwest::Url::parse(url).map_err(|error| HttpClientError::Client(format!("{url}: {error}")))?;
        let alpn: &[&[u8]] = if settings.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        let mut builder = reqwest::Client::builder()
            .user_agent(settings.user_agent)
            .default_headers(settings.headers)
            .redirect(redirects())
            .tcp_nodelay(true)
            .pool_idle_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.max_idle.unwrap_or(usize::MAX));
        let tls = match settings.tls.build(alpn) {
            // A machine without CA certificates can still speak plain HTTP.
            Err(ClientTlsError::NoRoots) if url.scheme() == "http" => ClientTlsConfig::trust_nobody()?,
            built => built?,
        };
        builder = builder.tls_backend_preconfigured(tls);
        if let Some((interval, timeout)) = settings.http2_ping {
            builder = builder.http2_keep_alive_interval(interval).http2_keep_alive_timeout(timeout);
        }
        if !settings.proxy_url.is_empty() {
            let proxy = reqwest::Proxy::all(settings.proxy_url)
                .map_err(|error| HttpClientError::Proxy(describe(&error)))?;
            builder = builder.proxy(proxy);
        }
        Ok(Self { client: builder.build().map_err(client_error)?, url })
    }

    /// Posts `body` and reads the answer.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<HttpAnswer, HttpFailure> {
        let failure = |what: &str, error: reqwest::Error| {
            let host = self.url.authority();
            HttpFailure(format!("{what} {host}: {}", describe(&error.without_url())))
        };
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
        let mut response = request.send().await.map_err(|error| failure("cannot reach", error))?;
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let content_type = text("content-type").unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let retry_after = text("retry-after").and_then(|value| parse_retry_after(value, SystemTime::now()));
        let status = response.status();
        let mut body = BytesMut::new();
        while body.len() < MAX_RESPONSE {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    body.extend_from_slice(&chunk[..chunk.len().min(MAX_RESPONSE - body.len())])
                }
                Ok(None) => break,
                // The status line has said what counts; only of a success the body might be needed.
                Err(_) if !status.is_success() => break,
                Err(error) => return Err(failure("lost the connection to", error)),
            }
        }
        Ok(HttpAnswer { status, content_type, retry_after, body: body.freeze() })
    }
}

/// 307 and 308 keep the method and the body; others would turn the POST into a GET.
fn redirects() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let same = matches!(attempt.status().as_u16(), 307 | 308);
        let same =
            same && attempt.previous().last().is_some_and(|from| from.scheme() == attempt.url().scheme());
        if same && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
    })
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
