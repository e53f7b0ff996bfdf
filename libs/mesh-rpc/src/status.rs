//! How does a layer refuse?
//!
//! A refusal is a finished gRPC response (HTTP 200, trailers only) and never an error of the tower
//! service: the transport would turn that into something else.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use mesh_api::common::v1::ErrorReason;
use tonic::body::Body;
use tonic::{Code, Status};

const GRPC_STATUS: &str = "grpc-status";

/// `status` as a finished response.
#[must_use]
pub fn refuse(status: Status) -> Response<Body> {
    status.into_http()
}

/// `RESOURCE_EXHAUSTED` that says when trying again makes sense.
pub(crate) fn shed(reason: ErrorReason, message: &str, retry_after: Duration) -> Response<Body> {
    refuse(mesh_api::status::try_later(
        Code::ResourceExhausted,
        reason,
        message,
        retry_after,
    ))
}

/// The code of a finished response: it stands in the headers only if nothing else follows.
pub(crate) fn code_in(headers: &HeaderMap) -> Option<Code> {
    let value = headers.get(GRPC_STATUS)?;
    Some(Code::from_bytes(value.as_bytes()))
}

/// `status` as the trailers that end a body which has already started.
pub(crate) fn trailers(status: &Status) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        let code = i32::from(status.code());
        headers.insert(GRPC_STATUS, code.into());
    }
    Frame::trailers(headers)
}

/// The name that the gRPC specification gives to `code`, such as `DEADLINE_EXCEEDED`.
#[must_use]
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shed_call_is_a_finished_response() {
        let second = Duration::from_secs(1);
        let response = shed(ErrorReason::Overloaded, "too many calls", second);
        assert_eq!(response.status(), http::StatusCode::OK);
        assert_eq!(code_in(response.headers()), Some(Code::ResourceExhausted));
        assert_eq!(response.headers()["grpc-retry-pushback-ms"], "1000");
    }

    #[test]
    fn trailers_carry_the_code() {
        let frame = trailers(&Status::deadline_exceeded("late"));
        let headers = frame.into_trailers().unwrap();
        assert_eq!(code_in(&headers), Some(Code::DeadlineExceeded));
    }
}
