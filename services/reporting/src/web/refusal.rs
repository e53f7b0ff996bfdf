//! Why is there no page, and which status of HTTP is that?

use std::time::Duration;

use http::StatusCode;
use mesh_api::status::{item_status, reason_name};
use mesh_sheet::Malformed;
use tonic::{Code, Status};

use super::filter;

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// As the contracts call it; empty if no RPC was called.
    pub(super) reason: &'static str,
    /// In a sentence.
    pub(super) message: String,
    /// What is wrong with which filter.
    pub(super) fields: Vec<(String, String)>,
    /// When trying again makes sense.
    pub(super) retry_after: Option<Duration>,
}

/// Why an RPC refuses, as a page says it.
impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let item = item_status(&status);
        let fields = item.violations.into_iter();
        let fields = fields.map(|wrong| (filter::of(&wrong.subject).to_owned(), wrong.description));
        Self {
            status: http_status(status.code()),
            reason: mesh_api::status::reason_of(&status).map_or("", reason_name),
            message: item.message,
            fields: fields.collect(),
            retry_after: pushback(&status),
        }
    }
}

/// A report that contradicts itself is a defect of ours.
impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Self {
        tracing::error!(%error, "a report cannot be put together");
        mesh_api::status::internal().into()
    }
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: "",
            message: message.into(),
            fields: Vec::new(),
            retry_after: None,
        }
    }

    /// Nobody has said who it is.
    pub(super) fn no_certificate() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "The browser showed no certificate: import one, and choose it when the browser asks.",
        )
    }

    /// The certificate says nothing that the mesh can use.
    pub(super) fn certificate(why: &impl ToString) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, why.to_string())
    }

    /// The request is for a host that is not this machine.
    pub(super) fn other_host() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "Without certificates the pages are for this machine alone: ask for 127.0.0.1 or localhost.",
        )
    }

    /// Another site has the browser ask.
    pub(super) fn other_site() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Pages are not for other sites to load.",
        )
    }

    /// Pages are read and nothing else.
    pub(super) fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Pages are read: GET or HEAD.",
        )
    }

    /// There is nothing to send.
    pub(super) fn body() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "The request for a page has no body.",
        )
    }

    pub(super) fn no_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is no such page.")
    }

    pub(super) fn too_slow() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "The page could not be made in time.",
        )
    }

    pub(super) fn too_many_rows() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "The report has more rows than a page can show: choose a supplier, a variant or a business process.",
        )
    }

    /// A filter that the page itself cannot use.
    pub(super) fn field(why: &str, name: &str) -> Self {
        Self {
            fields: vec![(name.to_owned(), why.to_owned())],
            ..Self::new(StatusCode::BAD_REQUEST, "The address cannot be used.")
        }
    }

    /// Whether it is known who asks, so that the page may say what else there is.
    pub(super) fn knows_the_peer(&self) -> bool {
        !matches!(
            self.status,
            StatusCode::UNAUTHORIZED | StatusCode::MISDIRECTED_REQUEST
        )
    }
}

fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Cancelled | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

fn pushback(status: &Status) -> Option<Duration> {
    let millis = status.metadata().get("grpc-retry-pushback-ms")?;
    millis
        .to_str()
        .ok()?
        .parse()
        .ok()
        .map(Duration::from_millis)
}
