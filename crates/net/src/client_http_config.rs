//! The collector's keys that every exporter over HTTP has, beside the ones with a type of their own.
//!
//! Errors of a flattened struct lose their place, so each exporter lists the keys in its own configuration and gives
//! them here as an [`HttpKeys`].

use crate::client_http::HttpClientSettings;
use crate::{ClientCompression, ClientTlsConfig, Compression, Headers};
use forebay_config::{Diagnostics, GoDuration, Node, refuse_unsupported};
use serde::{Deserialize, Serialize};

/// The keys, borrowed from an exporter's configuration.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the collector's own words")]
pub struct HttpKeys<'a> {
    pub tls: &'a ClientTlsConfig,
    pub headers: &'a Headers,
    pub compression: ClientCompression,
    pub compression_params: CompressionParams,
    pub proxy_url: &'a str,
    pub max_idle_conns: usize,
    pub max_idle_conns_per_host: usize,
    pub idle_conn_timeout: GoDuration,
    pub disable_keep_alives: bool,
    pub force_attempt_http2: bool,
    pub http2_read_idle_timeout: GoDuration,
    pub http2_ping_timeout: GoDuration,
}

/// The section `compression_params`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompressionParams {
    /// The compression's own scale; 0 for the default.
    pub level: i32,
}

/// What the collector knows and Forebay does not, for [`HttpKeys::check`].
const UNSUPPORTED: [(&str, &str); 6] = [
    ("auth", "set the credentials in `headers`; authenticator extensions do not exist yet"),
    ("cookies", "remove it: cookies are not kept"),
    ("middlewares", "remove it: middleware extensions do not exist"),
    ("read_buffer_size", "remove it: buffers size themselves"),
    ("write_buffer_size", "remove it: buffers size themselves"),
    ("max_conns_per_host", "bound the requests under way with `sending_queue.num_consumers`"),
];

impl HttpKeys<'_> {
    /// What is wrong with the values; `section` is the exporter's node.
    pub fn check(&self, section: &Node) -> Diagnostics {
        let mut found = refuse_unsupported(section, &UNSUPPORTED);
        found.extend(self.tls.check(section));
        found.extend(self.headers.check(section));
        let levels = match self.compression.0 {
            Compression::Identity => 0..=0,
            Compression::Zstd => 0..=22,
            Compression::Gzip | Compression::Deflate | Compression::Zlib => -1..=9,
        };
        if !levels.contains(&self.compression_params.level) {
            let message = format!("must be from {} to {} for this compression", levels.start(), levels.end());
            found.push(section.error_at(&["compression_params", "level"], message));
        }
        if !self.proxy_url.is_empty()
            && !reqwest::Url::parse(self.proxy_url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        {
            found.push(section.error_at(&["proxy_url"], "must be a URL such as `http://proxy:3128`"));
        }
        found
    }

    /// The level for [`compress_at`](crate::compress_at).
    pub fn level(&self) -> Option<i32> {
        Some(self.compression_params.level).filter(|level| *level > 0)
    }

    /// The settings of the client.
    pub fn settings<'a>(&'a self, user_agent: &'a str) -> HttpClientSettings<'a> {
        // Go's limit per host is 2 unless set, which breaks connections with more workers than that: its limit
        // for all hosts is used instead.
        let idle =
            if self.max_idle_conns_per_host > 0 { self.max_idle_conns_per_host } else { self.max_idle_conns };
        let some = |duration: GoDuration| Some(duration.0).filter(|duration| !duration.is_zero());
        HttpClientSettings {
            tls: self.tls,
            headers: self.headers.to_map(),
            user_agent,
            proxy_url: self.proxy_url,
            max_idle: if self.disable_keep_alives { Some(0) } else { Some(idle).filter(|idle| *idle > 0) },
            idle_timeout: some(self.idle_conn_timeout),
            http2: self.force_attempt_http2,
            http2_ping: some(self.http2_read_idle_timeout).map(|idle| {
                (idle, some(self.http2_ping_timeout).unwrap_or(std::time::Duration::from_secs(15)))
            }),
        }
    }
}

/// What is wrong with an endpoint URL, if anything is.
pub fn check_http_url(url: &str) -> Result<(), String> {
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => Ok(()),
        Ok(_) => Err(format!("`{url}` must begin with `http://` or `https://`")),
        Err(error) => Err(format!("`{url}` is not a URL: {error}")),
    }
}
