//! Is the message delivered: the pure function of (message, flags, policy).
//!
//! [`Policy::judge`] answers at once where no flag can change the verdict, which is so for protected
//! classes, critical messages and whatever no row suppresses. Only for the rest does it ask for the
//! flags of the message's Devices: [`Pending::decide`].

use std::sync::Arc;

use mesh_types::DeviceId;

use crate::codes::{AlertCode, DccAlertCode, MessageCode, Srv};
use crate::error::ReadError;
use crate::message::{DeviceType, Devices, GbcsCodes, Message, Subject};
use crate::policy::{ByDeviceType, Class, Entry, Policy, Rule, Treatment};

/// What happens to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It goes on.
    Deliver,
    /// It is not sent.
    Suppress,
}

/// Why, as a stable code. A refused request is answered with it, so that it is never a time-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Suppressed: it is about the consumption of a flagged Device.
    ConsumptionOfFlaggedDevice,
    /// Suppressed: an unknown variant of the read service, for a flagged Device.
    UnknownReadOfFlaggedDevice,
    /// Delivered: none of its Devices is flagged.
    NotFlagged,
    /// Delivered: the Device is flagged, but on a Device of its type this is not consumption.
    NotConsumptionOnDeviceType,
    /// Delivered: its class always is.
    ProtectedClass,
    /// Delivered: it carries consumption, but it is critical.
    CriticalConsumption,
    /// Delivered: the policy delivers this consumption.
    PolicyDelivers,
    /// Delivered: it manages schedules and orders no consumption.
    ScheduleManagement,
    /// Delivered: a response with nothing from a Device in it.
    Receipt,
    /// Delivered: the DCC made it, and the DCC holds no readings.
    DccAlert,
    /// Delivered: it stays in the home and is not expected here.
    HanOnly,
    /// Delivered: the tables do not know its code.
    UnknownCode,
    /// Delivered: a DUIS document of a kind that is not known.
    UnknownKind,
    /// Delivered although a rule says otherwise: the rule goes beyond what may be suppressed.
    RuleOutOfBounds,
}

/// What is not known of a message, to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnknownCode {
    /// A Service Request Variant.
    ServiceRequest(Srv),
    /// A GBCS message code.
    Message(MessageCode),
    /// A Device alert code.
    Alert(AlertCode),
    /// A DCC alert code.
    DccAlert(DccAlertCode),
    /// The kind of a DUIS document.
    Kind,
}

/// The decision about one message, with the rule that it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'p> {
    /// What happens.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What the content of the message is.
    pub class: Class,
    /// The id of the policy's row, such as `srv/4.8.1` or `alert/0x8F0A`.
    pub row: &'p Arc<str>,
    /// The rule that the row names.
    pub rule: &'p Rule,
    /// The flagged Device that the verdict rests on.
    pub flagged_device: Option<DeviceId>,
    /// Whether a flag could have changed the verdict.
    pub depends_on_flag: bool,
    /// Whether it is a critical message that carries consumption: these are counted apart.
    pub critical_consumption: bool,
    /// A code that the tables do not know.
    pub unknown_code: Option<UnknownCode>,
}

/// What a decision needs of a Device that is flagged. A Device without an entry is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// The type of the Device; [`DeviceType::Other`] if it is not known.
    pub device_type: DeviceType,
}

/// What can be said of a message before any flag is looked up.
#[derive(Debug, Clone, Copy)]
pub enum Judgement<'p, 'm> {
    /// The decision: no flag can change it.
    Final(Decision<'p>),
    /// The flags of the Devices decide.
    DependsOnFlag(Pending<'p, 'm>),
}

/// A decision that waits for the flags of the message's Devices.
#[derive(Debug, Clone, Copy)]
pub struct Pending<'p, 'm> {
    policy: &'p Policy,
    devices: &'m [DeviceId],
    found: Found<'p>,
}

/// What the tables say about a message.
#[derive(Debug, Clone, Copy)]
struct Found<'p> {
    entry: &'p Entry,
    by_device_type: Option<&'p ByDeviceType>,
    unknown_code: Option<UnknownCode>,
}

impl Policy {
    /// Judges a message as far as that can be done without knowing which Devices are flagged.
    #[must_use]
    pub fn judge<'p, 'm>(&'p self, message: &'m Message) -> Judgement<'p, 'm> {
        let found = self.find(message.subject);
        let open = match found.entry.treatment {
            Treatment::Suppress => found.entry.may_be_suppressed(),
            Treatment::ByDeviceType => found.by_device_type.is_some(),
            _ => false,
        };
        if open {
            let devices = message.devices.as_slice();
            Judgement::DependsOnFlag(Pending {
                policy: self,
                devices,
                found,
            })
        } else {
            let reason = delivered_whatever_the_flag(message.subject, &found);
            Judgement::Final(decision(self, found.entry, &found, reason, None, false))
        }
    }

    /// The decision about a message; `flag` finds the flag of a Device, if it is set.
    pub fn decide(
        &self,
        message: &Message,
        flag: impl FnMut(DeviceId) -> Option<Flag>,
    ) -> Decision<'_> {
        match self.judge(message) {
            Judgement::Final(decision) => decision,
            Judgement::DependsOnFlag(pending) => pending.decide(flag),
        }
    }

    /// The message, if it names a Device or needs none: what could be suppressed must say whose it is.
    pub(crate) fn complete(&self, message: Message) -> Result<Message, ReadError> {
        let nobody = message.devices == Devices::None;
        if nobody && matches!(self.judge(&message), Judgement::DependsOnFlag(_)) {
            return Err(ReadError::Missing {
                element: "the Device ID",
            });
        }
        Ok(message)
    }

    fn find(&self, subject: Subject) -> Found<'_> {
        match subject {
            Subject::Service(srv) => self.find_service(srv),
            Subject::UnknownRead(srv) => self.find_unknown_read(srv),
            Subject::Schedule { nested } => {
                self.find_inside(Srv::CREATE_SCHEDULE, Treatment::BySchedule, || {
                    self.find_service(nested)
                })
            }
            Subject::Returned(codes) => self.find_inside(
                Srv::RETURN_LOCAL_COMMAND_RESPONSE,
                Treatment::ByPayload,
                || self.find_gbcs(codes, None),
            ),
            Subject::Gbcs { codes, srv } => self.find_gbcs(codes, srv),
            Subject::Alert(code) => self.find_alert(code),
            Subject::Receipt { .. } => Found::known(self.receipt()),
            Subject::DccAlert(code) => match self.dcc_alert(code) {
                Some(row) => Found::known(&row.entry),
                None => self.find_nothing(UnknownCode::DccAlert(code)),
            },
            Subject::UnknownKind => self.find_nothing(UnknownCode::Kind),
        }
    }

    fn find_service(&self, srv: Srv) -> Found<'_> {
        match self.service_request(srv) {
            Some(row) => Found {
                entry: &row.entry,
                by_device_type: row.by_device_type.as_ref(),
                unknown_code: None,
            },
            None if srv.reads_meters() => self.find_unknown_read(srv),
            None => self.find_nothing(UnknownCode::ServiceRequest(srv)),
        }
    }

    const fn find_unknown_read(&self, srv: Srv) -> Found<'_> {
        Found::known(self.unknown_read()).with(UnknownCode::ServiceRequest(srv))
    }

    /// A request that is judged by what is in it: by the inner message where that can be suppressed,
    /// and by its own rule otherwise.
    fn find_inside<'p>(
        &'p self,
        outer: Srv,
        conditional: Treatment,
        inner: impl FnOnce() -> Found<'p>,
    ) -> Found<'p> {
        let outer = self.find_service(outer);
        if outer.entry.treatment != conditional {
            return outer;
        }
        let inner = inner();
        match inner.entry.treatment {
            Treatment::Suppress | Treatment::ByDeviceType => inner,
            _ => Found {
                unknown_code: inner.unknown_code,
                ..outer
            },
        }
    }

    fn find_gbcs(&self, codes: GbcsCodes, srv: Option<Srv>) -> Found<'_> {
        let alert = codes.alert.map(|code| self.find_alert(code));
        let Some(row) = self.message(codes.message) else {
            let unknown = UnknownCode::Message(codes.message);
            return match (alert, srv) {
                (Some(alert), _) => alert.with(unknown),
                (None, Some(srv)) => self.find_service(srv).with(unknown),
                (None, None) => self.find_nothing(unknown),
            };
        };
        match alert {
            Some(alert) if row.entry.treatment == Treatment::ByAlertCode => alert,
            // The alert code may say what the message code does not: that this is consumption.
            Some(alert) if alert.entry.class == Class::Consumption => alert,
            _ => Found::known(&row.entry),
        }
    }

    fn find_alert(&self, code: AlertCode) -> Found<'_> {
        match self.alert(code) {
            Some(row) => Found::known(&row.entry),
            None => self.find_nothing(UnknownCode::Alert(code)),
        }
    }

    const fn find_nothing(&self, unknown: UnknownCode) -> Found<'_> {
        Found::known(self.unknown_code()).with(unknown)
    }
}

impl<'p> Found<'p> {
    const fn known(entry: &'p Entry) -> Self {
        Self {
            entry,
            by_device_type: None,
            unknown_code: None,
        }
    }

    /// Marks what is found, unless something in it was unknown already.
    const fn with(self, unknown: UnknownCode) -> Self {
        match self.unknown_code {
            Some(_) => self,
            None => Self {
                unknown_code: Some(unknown),
                ..self
            },
        }
    }
}

impl<'p> Pending<'p, '_> {
    /// The Devices whose flags decide, in the order of the message.
    #[must_use]
    pub const fn devices(&self) -> &[DeviceId] {
        self.devices
    }

    /// The decision; `flag` finds the flag of a Device, if it is set. Of several Devices, one that is
    /// flagged is enough.
    pub fn decide(&self, mut flag: impl FnMut(DeviceId) -> Option<Flag>) -> Decision<'p> {
        let Self {
            policy,
            devices,
            found,
        } = self;
        let mut flagged_but_delivered = None;
        for &device in *devices {
            let Some(flag) = flag(device) else { continue };
            let entry = match found.by_device_type {
                Some(by_type) => by_type.entry(flag.device_type),
                None => found.entry,
            };
            if entry.treatment != Treatment::Suppress {
                flagged_but_delivered = Some((entry, Reason::NotConsumptionOnDeviceType, device));
            } else if !entry.may_be_suppressed() {
                flagged_but_delivered = Some((entry, Reason::RuleOutOfBounds, device));
            } else {
                let reason = match found.unknown_code {
                    Some(UnknownCode::ServiceRequest(_)) => Reason::UnknownReadOfFlaggedDevice,
                    _ => Reason::ConsumptionOfFlaggedDevice,
                };
                return decision(policy, entry, found, reason, Some(device), true);
            }
        }
        match flagged_but_delivered {
            Some((entry, reason, device)) => {
                decision(policy, entry, found, reason, Some(device), true)
            }
            None => decision(policy, found.entry, found, Reason::NotFlagged, None, true),
        }
    }
}

fn delivered_whatever_the_flag(subject: Subject, found: &Found<'_>) -> Reason {
    let Entry {
        class,
        treatment,
        critical,
        ..
    } = found.entry;
    match (subject, treatment) {
        (_, Treatment::Suppress) => Reason::RuleOutOfBounds,
        (Subject::Receipt { .. }, _) => Reason::Receipt,
        (Subject::DccAlert(_), _) => Reason::DccAlert,
        (Subject::UnknownKind, _) => Reason::UnknownKind,
        (_, Treatment::NotApplicable) => Reason::HanOnly,
        _ => match *class {
            Class::Unknown => Reason::UnknownCode,
            Class::Consumption if *critical => Reason::CriticalConsumption,
            Class::Consumption => Reason::PolicyDelivers,
            Class::Schedule => Reason::ScheduleManagement,
            _ => Reason::ProtectedClass,
        },
    }
}

fn decision<'p>(
    policy: &'p Policy,
    entry: &'p Entry,
    found: &Found<'_>,
    reason: Reason,
    flagged_device: Option<DeviceId>,
    depends_on_flag: bool,
) -> Decision<'p> {
    let suppressed = matches!(
        reason,
        Reason::ConsumptionOfFlaggedDevice | Reason::UnknownReadOfFlaggedDevice
    );
    Decision {
        verdict: if suppressed {
            Verdict::Suppress
        } else {
            Verdict::Deliver
        },
        reason,
        class: entry.class,
        row: &entry.id,
        rule: policy.rule(entry),
        flagged_device,
        depends_on_flag,
        critical_consumption: entry.class == Class::Consumption && entry.critical,
        unknown_code: found.unknown_code,
    }
}

#[cfg(test)]
mod tests;
