//! What does a browser get, and what stands above it?

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HOST, REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use super::look;
use super::refusal::Refusal;

/// A browser comes by TLS alone for so long after it has been here: a year.
const TLS_ALONE: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What stands above every answer, whatever it is.
const ALWAYS: [(HeaderName, &str); 8] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    (VARY, "Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest"),
];

/// An answer without what stands above every one.
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    /// A page.
    pub(super) fn page(text: String) -> Self {
        Self::of(StatusCode::OK, "text/html; charset=utf-8", text)
    }

    /// A page that says why there is no other.
    pub(super) fn refusal(refusal: &Refusal, text: String) -> Self {
        let mut answer = Self::page(text);
        answer.status = refusal.status;
        if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
            let read = HeaderValue::from_static("GET, HEAD");
            answer.headers.insert(ALLOW, read);
        }
        if let Some(after) = refusal.retry_after {
            // Whole seconds, and not too soon.
            let seconds = after.as_millis().div_ceil(1_000);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            answer.headers.insert(RETRY_AFTER, seconds.into());
        }
        answer
    }

    /// A table for spreadsheets, to be kept as a file.
    pub(super) fn csv(name: &str, text: String) -> Self {
        let csv = "text/csv; charset=utf-8; header=present";
        Self::of(StatusCode::OK, csv, text).kept_as(name)
    }

    /// An object for programs, to be kept as a file.
    pub(super) fn json(name: &str, value: &impl ToString) -> Self {
        Self::of(StatusCode::OK, "application/json", value.to_string()).kept_as(name)
    }

    fn of(status: StatusCode, media_type: &'static str, text: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self {
            status,
            headers,
            text,
        }
    }

    fn kept_as(mut self, name: &str) -> Self {
        let disposition = format!("attachment; filename=\"{name}\"");
        if let Ok(disposition) = disposition.parse() {
            self.headers.insert(CONTENT_DISPOSITION, disposition);
        }
        self
    }

    /// The answer to a request. `here`: it came without TLS. `head`: the text itself is not wanted.
    pub(super) fn into_response(self, request: &Parts, here: bool, head: bool) -> Response<Body> {
        let Self {
            status,
            mut headers,
            text,
        } = self;
        let always = ALWAYS.into_iter();
        headers.extend(always.map(|(name, value)| (name, HeaderValue::from_static(value))));
        if let Ok(policy) = look::policy().parse() {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        if !here && !is_localhost(request) {
            headers.insert(STRICT_TRANSPORT_SECURITY, TLS_ALONE);
        }
        headers.insert(CONTENT_LENGTH, text.len().into());
        let octets = if head { Bytes::new() } else { text.into() };
        let mut response = Response::new(Body::new(Full::new(octets)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// To a browser `localhost` is one host, whatever the port: it would come by TLS alone to everything else
/// that runs there.
fn is_localhost(request: &Parts) -> bool {
    let host = request.headers.get(HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let host = request.uri.host().or(host).unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost")
}
