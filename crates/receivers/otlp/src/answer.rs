//! Why a request is not accepted, and the one place where that becomes a status on the wire.

use std::borrow::Cow;
use std::time::Duration;

use forebay_component::{Reason, Refusal};
use forebay_net::DecompressError;
use http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// How long a client waits before it tries again when whoever refused did not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Spans of a request that were not accepted while the others were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) spans: i64,
    pub(crate) message: String,
}

/// Why a request is not accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The bytes are not what they say they are.
    #[error("{0}")]
    Malformed(String),
    /// The message is too large for the configured limit.
    #[error("{0}")]
    TooLarge(String),
    /// The content encoding or type is not one we read.
    #[error("{0}")]
    Unsupported(String),
    /// The client stopped sending in the middle.
    #[error("the request's body did not arrive in time")]
    Stalled,
    /// The client went away in the middle.
    #[error("the request's body ended early: {0}")]
    Broken(String),
    /// We took too long.
    #[error("the request was not taken within `write_timeout`")]
    TooSlow,
    /// The pipeline did not take it.
    #[error("{0}")]
    Refused(Refusal),
}

/// How a failure looks on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) http: StatusCode,
    /// When the client may try again; none: never with this data.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) message: Cow<'static, str>,
}

impl Failure {
    /// The mapping: OTLP's specification, «Failures» and «OTLP/HTTP Response».
    pub(crate) fn answer(self) -> Answer {
        let message = Cow::from(self.to_string());
        let (code, http, retry_after) = match self {
            Self::Malformed(_) | Self::Broken(_) => (Code::InvalidArgument, StatusCode::BAD_REQUEST, None),
            // Without RetryInfo this code is final.
            Self::TooLarge(_) => (Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE, None),
            Self::Unsupported(_) => (Code::Unimplemented, StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
            Self::Stalled => (Code::DeadlineExceeded, StatusCode::REQUEST_TIMEOUT, None),
            Self::TooSlow => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_AFTER)),
            Self::Refused(refusal) if refusal.retryable => {
                let wait = Some(refusal.retry_after.unwrap_or(RETRY_AFTER));
                match refusal.reason {
                    Reason::QueueFull | Reason::MemoryLimit => {
                        (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, wait)
                    }
                    _ => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, wait),
                }
            }
            Self::Refused(refusal) => match refusal.reason {
                Reason::Unauthenticated => (Code::Unauthenticated, StatusCode::UNAUTHORIZED, None),
                Reason::Internal => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR, None),
                _ => (Code::InvalidArgument, StatusCode::BAD_REQUEST, None),
            },
        };
        Answer { code, http, retry_after, message }
    }

    /// The label of a request that is the client's mistake; none for one that is not.
    pub(crate) fn bad_request(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(_) => Some("malformed"),
            Self::TooLarge(_) => Some("too_large"),
            Self::Unsupported(_) => Some("unsupported"),
            Self::Stalled => Some("stalled"),
            Self::Broken(_) => Some("broken"),
            Self::TooSlow | Self::Refused(_) => None,
        }
    }

    /// There is no memory to read the request now.
    pub(crate) fn no_room() -> Self {
        Self::Refused(Refusal::retryable(
            Reason::MemoryLimit,
            "the receiver reads as many bytes at once as `max_in_flight_bytes` allows: try again",
        ))
    }
}

impl From<DecompressError> for Failure {
    fn from(error: DecompressError) -> Self {
        match error {
            DecompressError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            DecompressError::NoRoom => Self::no_room(),
            DecompressError::Truncated(_) | DecompressError::Malformed(..) => {
                Self::Malformed(error.to_string())
            }
        }
    }
}

impl Answer {
    /// The gRPC status, with RetryInfo where trying again may help.
    pub(crate) fn grpc(self) -> Status {
        match self.retry_after {
            Some(wait) => {
                Status::with_error_details(self.code, self.message, ErrorDetails::with_retry_info(Some(wait)))
            }
            None => Status::new(self.code, self.message),
        }
    }
}
