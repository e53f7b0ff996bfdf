//! Which records are asked for?

use mesh_api::audit::v1 as wire;
use mesh_api::audit::v1::audit_record::Record;
use mesh_api::common::v1::{Actor, ErrorReason};
use mesh_api::convert::{FieldErrors, timestamp_from_wire};
use mesh_api::status;
use mesh_rpc::code_name;
use mesh_store::{Fingerprint, fingerprint};
use mesh_types::{DeviceId, Timestamp};
use tonic::{Code, Status};

use crate::pseudonym::Pseudonyms;

/// What stands before the names of reasons.
const REASON: &str = "ERROR_REASON_";

/// What a record must match.
#[derive(Debug)]
pub(super) struct Filter {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    caller: String,
    rpc: String,
    refused_only: bool,
    answer: Option<Answer>,
    device: Option<(DeviceId, Vec<u8>)>,
}

/// What calls were answered.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Code(Code),
    Reason(ErrorReason),
}

/// Where a time lies beside those that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Earlier,
    Within,
    Later,
}

impl Filter {
    /// Reads what is asked for, and how many records a page has.
    pub(super) fn read(
        request: &wire::ListAuditRecordsRequest,
        pseudonyms: &Pseudonyms,
    ) -> Result<(Self, usize), Status> {
        let mut errors = FieldErrors::default();
        let mut time = |field, at: Option<&prost_types::Timestamp>| {
            errors.keep(field, at.map(timestamp_from_wire).transpose())?
        };
        let from = time("from_time", request.from_time.as_ref());
        let until = time("until_time", request.until_time.as_ref());
        let device: Option<DeviceId> = match request.device_id.as_str() {
            "" => None,
            text => errors.parse("device_id", text),
        };
        let answer = match request.answer.as_str() {
            "" => None,
            text => errors.keep(
                "answer",
                Answer::read(text).ok_or("is no code and no reason"),
            ),
        };
        let limit = errors.page_size(request.page_size);
        let filter = Self {
            from,
            until,
            caller: request.caller.clone(),
            rpc: request.rpc.clone(),
            refused_only: request.refused_only,
            answer,
            device: device.map(|device| (device, pseudonyms.of(device))),
        };
        match limit {
            Some(limit) if errors.is_empty() => Ok((filter, limit.into())),
            _ => Err(status::invalid_fields(&errors)),
        }
    }

    /// What must stay the same from page to page.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let time = |at: Option<Timestamp>| at.map_or([0; 8], |at| at.micros().to_be_bytes());
        let device = self.device.as_ref().map_or(&[][..], |(_, name)| name);
        fingerprint([
            &time(self.from)[..],
            &time(self.until),
            self.caller.as_bytes(),
            self.rpc.as_bytes(),
            &[self.refused_only.into()],
            self.answer.map_or("", Answer::name).as_bytes(),
            device,
        ])
    }

    /// The Device that is asked about.
    pub(super) fn device(&self) -> Option<DeviceId> {
        self.device.as_ref().map(|(device, _)| *device)
    }

    /// Where a time lies beside those that are asked for.
    pub(super) fn span(&self, at: Timestamp) -> Span {
        if self.from.is_some_and(|from| at < from) {
            Span::Earlier
        } else if self.until.is_some_and(|until| at >= until) {
            Span::Later
        } else {
            Span::Within
        }
    }

    /// Whether a record matches all that is asked for.
    pub(super) fn admits(&self, record: &wire::AuditRecord) -> bool {
        match &record.record {
            Some(Record::Call(call)) => {
                self.is_of(call.caller.as_ref(), &call.rpc)
                    && self.was_answered(call.code, call.reason)
                    && self.device.as_ref().is_none_or(|(_, name)| {
                        let mut devices = call.device_pseudonyms.iter();
                        devices.any(|device| device == name)
                    })
            }
            Some(Record::Count(count)) => {
                self.device.is_none()
                    && self.is_of(count.caller.as_ref(), &count.rpc)
                    && self.was_answered(count.code, count.reason)
            }
            Some(Record::Service(_)) => {
                let of_calls = !self.caller.is_empty() || !self.rpc.is_empty();
                let of_answers = self.refused_only || self.answer.is_some();
                !of_calls && !of_answers && self.device.is_none()
            }
            None => false,
        }
    }

    fn is_of(&self, caller: Option<&Actor>, rpc: &str) -> bool {
        let by_caller = self.caller.is_empty()
            || caller.is_some_and(|caller| {
                let names = [
                    &caller.party_id,
                    &caller.entity_id,
                    &caller.internal_role,
                    &caller.gateway_entity_id,
                ];
                names.contains(&&self.caller)
            });
        let method = rpc.rsplit('/').next().unwrap_or_default();
        let by_rpc = self.rpc.is_empty() || self.rpc == rpc || self.rpc == method;
        by_caller && by_rpc
    }

    fn was_answered(&self, code: i32, reason: i32) -> bool {
        let so = match self.answer {
            Some(Answer::Code(asked)) => code == i32::from(asked),
            Some(Answer::Reason(asked)) => reason == i32::from(asked),
            None => true,
        };
        so && !(self.refused_only && code == 0)
    }
}

impl Answer {
    /// Reads `PERMISSION_DENIED` or `NOT_RESPONSIBLE_SUPPLIER`.
    fn read(text: &str) -> Option<Self> {
        let mut codes = (0..=16).map(Code::from);
        let code = codes.find(|code| code_name(*code) == text);
        let reason = || ErrorReason::from_str_name(&format!("{REASON}{text}"));
        code.map(Self::Code).or_else(|| reason().map(Self::Reason))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Code(code) => code_name(code),
            Self::Reason(reason) => reason.as_str_name(),
        }
    }
}
