//! Every way in which a call is refused before its handler sees it.

use mesh_api::common::v1::ErrorReason;
use mesh_api::status;
use tonic::{Code, Status};

/// Why a call, or one item of it, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No certificate.
    #[error("this method needs a client certificate")]
    CertificateMissing,
    /// The directory does not know the organisation.
    #[error("the party directory does not know the organisation in the certificate")]
    PartyUnknown,
    /// The party is suspended or closed.
    #[error("the party is suspended or closed")]
    PartyNotActive,
    /// No grant admits any role of the caller.
    #[error("none of the caller's roles may call this method")]
    RoleNotPermitted,
    /// Not the Responsible Supplier, or no such Device.
    #[error("the caller is not the Responsible Supplier of this Device")]
    NotResponsibleSupplier,
    /// The directory does not let the caller act for the entity it named.
    #[error("the caller may not act on behalf of the entity it named")]
    NotItsGateway,
    /// The request is about another party or CSP.
    #[error("the request is about another party's or CSP's data")]
    NotOwnData,
    /// A field that the rule needs is missing or malformed.
    #[error("{field}: {problem}")]
    Field {
        /// The field's path.
        field: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// More Devices than a batch may hold.
    #[error("a batch has at most {max} items")]
    TooManyItems {
        /// The limit.
        max: usize,
    },
    /// A batch names a Device twice.
    #[error("{field}: names a Device twice")]
    NamedTwice {
        /// The field's path.
        field: String,
        /// Where it stands first, and where again; of very many the first.
        places: Vec<(usize, usize)>,
    },
    /// A request of a batch is about the Device of one before it.
    #[error("{field}: {problem}")]
    NamedBefore {
        /// The field's path, from the request on.
        field: String,
        /// Whose Device it is.
        problem: String,
    },
    /// The request is not one uncompressed gRPC message.
    #[error("the request is not one uncompressed gRPC message")]
    NotOneMessage,
    /// The method does not exist here.
    #[error("there is no such method")]
    NoSuchMethod,
    /// The directory is not loaded.
    #[error("the party directory has not been loaded yet")]
    DirectoryNotLoaded,
    /// Registration cannot be asked.
    #[error("registration cannot be asked for authority")]
    AuthorityUnreachable,
    /// The layers are wired wrongly.
    #[error("the service failed; its log has the details")]
    Internal,
}

impl Refusal {
    /// The gRPC code and the reason: the one mapping of this crate.
    #[must_use]
    pub const fn code(&self) -> (Code, ErrorReason) {
        match self {
            Self::CertificateMissing => (Code::Unauthenticated, ErrorReason::CertificateMissing),
            Self::PartyUnknown => (Code::Unauthenticated, ErrorReason::PartyUnknown),
            Self::PartyNotActive => (Code::PermissionDenied, ErrorReason::PartyNotActive),
            Self::RoleNotPermitted => (Code::PermissionDenied, ErrorReason::RoleNotPermitted),
            Self::NotResponsibleSupplier => {
                (Code::PermissionDenied, ErrorReason::NotResponsibleSupplier)
            }
            Self::NotItsGateway => (Code::PermissionDenied, ErrorReason::NotItsGateway),
            Self::NotOwnData => (Code::PermissionDenied, ErrorReason::NotOwnData),
            Self::Field { .. } | Self::NamedTwice { .. } | Self::NamedBefore { .. } => {
                (Code::InvalidArgument, ErrorReason::FieldInvalid)
            }
            Self::TooManyItems { .. } => (Code::InvalidArgument, ErrorReason::TooManyItems),
            Self::NotOneMessage | Self::NoSuchMethod => {
                (Code::Unimplemented, ErrorReason::NotSupported)
            }
            Self::DirectoryNotLoaded => (Code::Unavailable, ErrorReason::DirectoryNotLoaded),
            Self::AuthorityUnreachable => (Code::Unavailable, ErrorReason::AuthorityUnreachable),
            Self::Internal => (Code::Internal, ErrorReason::Internal),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, reason) = refusal.code();
        if let Refusal::Field { field, problem } = &refusal {
            let mut errors = mesh_api::convert::FieldErrors::default();
            errors.add(field, *problem);
            return status::invalid_fields(&errors);
        }
        if let Refusal::NamedBefore { field, problem } = &refusal {
            let mut errors = mesh_api::convert::FieldErrors::default();
            errors.add(field, problem.as_str());
            return status::invalid_fields(&errors);
        }
        if let Refusal::NamedTwice { field, places } = &refusal {
            let mut errors = mesh_api::convert::FieldErrors::default();
            for (first, again) in places {
                let same = format!("is the Device of {field}[{first}]");
                errors.add(format!("{field}[{again}]"), same);
            }
            return status::invalid_fields(&errors);
        }
        status::refusal(code, reason, refusal.to_string())
    }
}
