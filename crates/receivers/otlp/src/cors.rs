//! Cross-origin requests from browsers (the Fetch standard's CORS protocol), with the collector's rules.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use forebay_net::server::ReplyBody;

/// What a browser's page may always send.
const SAFE_HEADERS: [&str; 4] = ["accept", "accept-language", "content-type", "content-language"];

/// The `cors` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CorsConfig {
    /// Origins whose pages may send; `*` in one stands for any characters. None: no cross-origin requests.
    pub(crate) allowed_origins: Vec<String>,
    /// Headers they may send besides the safe ones; `*` for any. None: `X-Requested-With`.
    pub(crate) allowed_headers: Vec<String>,
    /// Headers of the answer they may read.
    pub(crate) exposed_headers: Vec<String>,
    /// Seconds for which a browser may remember a preflight's answer; 0: as it likes.
    pub(crate) max_age: u32,
}

impl CorsConfig {
    /// Whether it has rules for headers that apply to no origin.
    pub(crate) fn does_nothing(&self) -> bool {
        self.allowed_origins.is_empty() && !self.allowed_headers.is_empty()
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.allowed_origins.iter().any(|allowed| {
            let allowed = allowed.to_ascii_lowercase();
            match allowed.split_once('*') {
                None => allowed == origin,
                Some((before, after)) => {
                    origin.len() >= before.len() + after.len()
                        && origin.starts_with(before)
                        && origin.ends_with(after)
                }
            }
        })
    }

    fn allows_header(&self, name: &str) -> bool {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        let listed = self.allowed_headers.iter().any(|allowed| allowed == "*" || is(allowed));
        listed
            || SAFE_HEADERS.into_iter().any(is)
            || (self.allowed_headers.is_empty() && is("x-requested-with"))
    }

    /// The answer to a preflight, if the request is one.
    pub(crate) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<ReplyBody>> {
        let headers = request.headers();
        let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if self.allowed_origins.is_empty() || request.method() != Method::OPTIONS {
            return None;
        }
        let mut reply = Response::new(ReplyBody::default());
        *reply.status_mut() = StatusCode::NO_CONTENT;
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        reply.headers_mut().insert(VARY, HeaderValue::from_static(vary));
        let requested = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let names = requested.map_or(Some(""), |names| names.to_str().ok()).unwrap_or("?");
        let names_allowed = names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .all(|name| self.allows_header(name));
        let method_allowed = ["POST", "GET", "HEAD"].iter().any(|allowed| method == allowed);
        if names_allowed && method_allowed && self.allow(headers, reply.headers_mut()) {
            let reply_headers = reply.headers_mut();
            reply_headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
            if let Some(requested) = requested {
                reply_headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
            }
            if self.max_age > 0 {
                reply_headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.into());
            }
        }
        Some(reply)
    }

    /// Lets the page that sent `request` read the answer, if its origin is allowed.
    pub(crate) fn mark(&self, request: &HeaderMap, reply: &mut HeaderMap) {
        if self.allowed_origins.is_empty() {
            return;
        }
        reply.append(VARY, HeaderValue::from_static("Origin"));
        if self.allow(request, reply)
            && !self.exposed_headers.is_empty()
            && let Ok(names) = HeaderValue::try_from(self.exposed_headers.join(", "))
        {
            reply.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
        }
    }

    fn allow(&self, request: &HeaderMap, reply: &mut HeaderMap) -> bool {
        let Some(origin) = request.get(ORIGIN) else { return false };
        if !origin.to_str().is_ok_and(|origin| self.allows_origin(origin)) {
            return false;
        }
        let any = self.allowed_origins.iter().any(|allowed| allowed == "*");
        let allowed = if any { HeaderValue::from_static("*") } else { origin.clone() };
        reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        reply.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        true
    }
}
