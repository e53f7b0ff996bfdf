//! What are verdicts, reasons, classes and origins called in the contract?
//!
//! Answers and metrics say the same of a decision because both ask here.

use mesh_api::classification::v1 as wire;
use mesh_api::common::v1::MessageClass;

use crate::decide::{Reason, Verdict};
use crate::message::Origin;
use crate::policy::Class;

/// What becomes of a message.
#[must_use]
pub const fn verdict(verdict: Verdict) -> wire::Verdict {
    match verdict {
        Verdict::Deliver => wire::Verdict::Deliver,
        Verdict::Suppress => wire::Verdict::Suppress,
    }
}

/// The reason that a User can be answered with: the contract has fewer than the policy.
#[must_use]
pub const fn reason(reason: Reason) -> wire::DecisionReason {
    match reason {
        Reason::ConsumptionOfFlaggedDevice => wire::DecisionReason::ReducedByChoice,
        Reason::UnknownReadOfFlaggedDevice => wire::DecisionReason::UnknownReadVariant,
        Reason::NotFlagged => wire::DecisionReason::NotFlagged,
        Reason::CriticalConsumption => wire::DecisionReason::CriticalCarriesConsumption,
        Reason::UnknownCode => wire::DecisionReason::UnknownCode,
        Reason::UnknownKind => wire::DecisionReason::UnknownKind,
        Reason::NotConsumptionOnDeviceType
        | Reason::ProtectedClass
        | Reason::PolicyDelivers
        | Reason::ScheduleManagement
        | Reason::Receipt
        | Reason::DccAlert
        | Reason::HanOnly
        | Reason::RuleOutOfBounds => wire::DecisionReason::ProtectedClass,
    }
}

/// The class.
#[must_use]
pub const fn message_class(class: Class) -> MessageClass {
    match class {
        Class::Consumption => MessageClass::Consumption,
        Class::Export => MessageClass::Export,
        Class::Prepayment => MessageClass::Prepayment,
        Class::Network => MessageClass::Network,
        Class::Supply => MessageClass::Supply,
        Class::LoadControl => MessageClass::LoadControl,
        Class::Security => MessageClass::Security,
        Class::Firmware => MessageClass::Firmware,
        Class::Configuration => MessageClass::Configuration,
        Class::InventoryHan => MessageClass::InventoryHan,
        Class::Customer => MessageClass::Customer,
        Class::Schedule => MessageClass::Schedule,
        Class::Diagnostic => MessageClass::Diagnostic,
        Class::Unknown => MessageClass::Unspecified,
    }
}

/// Where a message stands in its life.
#[must_use]
pub const fn origin(origin: Origin) -> wire::Origin {
    match origin {
        Origin::OnDemand => wire::Origin::OnDemand,
        Origin::Scheduled => wire::Origin::Scheduled,
        Origin::FutureDated => wire::Origin::FutureDated,
        Origin::Response => wire::Origin::Response,
        Origin::Alert => wire::Origin::Alert,
    }
}
