//! What a decision needs to know of a message, whichever form it came in.
//!
//! [`duis`](crate::duis) and [`gbcs`](crate::gbcs) produce a [`Message`] from the bytes of the real
//! formats; [`Structured::message`] from fields that a caller has read itself.

use mesh_types::DeviceId;

use crate::codes::{AlertCode, DccAlertCode, MessageCode, Srv};
use crate::error::ReadError;
use crate::policy::Policy;

/// Why a message is about to be dispatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A User sent the request, to be carried out at once.
    OnDemand,
    /// The DSP carries out a schedule.
    Scheduled,
    /// The DSP carries out a request that was set for this time.
    FutureDated,
    /// The answer of a Device or of the DCC.
    Response,
    /// A Device or the DCC reports an event.
    Alert,
}

/// The types of Device that a rule can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceType {
    /// Electricity meter.
    Esme,
    /// Gas meter.
    Gsme,
    /// Gas Proxy Function, which holds a copy of what the gas meter measured.
    Gpf,
    /// Every other type, and a type that is not known.
    Other,
}

/// The Devices that a message is to or from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Devices {
    /// None: the message is between a User and the DCC.
    #[default]
    None,
    /// One.
    One(DeviceId),
    /// Several, each once, in the order of the message.
    Many(Box<[DeviceId]>),
}

impl Devices {
    /// The Devices of `list`, each once; [`Devices::One`] where there is only one.
    #[must_use]
    pub fn of(list: Vec<DeviceId>) -> Self {
        match list.as_slice() {
            [] => Self::None,
            [device] => Self::One(*device),
            _ => {
                let mut seen = hashbrown::HashSet::with_capacity(list.len());
                let each: Vec<DeviceId> = list
                    .into_iter()
                    .filter(|device| seen.insert(*device))
                    .collect();
                match each.as_slice() {
                    [device] => Self::One(*device),
                    _ => Self::Many(each.into()),
                }
            }
        }
    }

    /// The Devices, in the order of the message.
    #[must_use]
    pub fn as_slice(&self) -> &[DeviceId] {
        match self {
            Self::None => &[],
            Self::One(device) => std::slice::from_ref(device),
            Self::Many(devices) => devices,
        }
    }
}

/// The codes of a GBCS message: all of it that a decision needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GbcsCodes {
    /// The message code.
    pub message: MessageCode,
    /// The alert code, where the message is an alert whose content is clear.
    pub alert: Option<AlertCode>,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A Service Request, or an answer of which only its Service Request Variant is known.
    Service(Srv),
    /// A request to create a schedule (5.1) of this variant.
    Schedule {
        /// The variant that the schedule orders again and again.
        nested: Srv,
    },
    /// A GBCS message: as it is, in a DUIS response, or in a signed Pre-Command.
    Gbcs {
        /// Its codes.
        codes: GbcsCodes,
        /// The Service Request Variant that it belongs to, where the message says it.
        srv: Option<Srv>,
    },
    /// A GBCS response that was collected in the home and is handed in by 8.13.
    Returned(GbcsCodes),
    /// A Device alert of which only the alert code is known.
    Alert(AlertCode),
    /// A DUIS response with nothing from a Device in it: an acknowledgement or a refusal.
    Receipt {
        /// The Service Request Variant that it answers, where the response says it.
        srv: Option<Srv>,
    },
    /// An alert that the DCC makes itself.
    DccAlert(DccAlertCode),
}

impl Subject {
    /// The Service Request Variant that the message is or belongs to, where it says so.
    #[must_use]
    pub const fn srv(self) -> Option<Srv> {
        match self {
            Self::Service(srv) => Some(srv),
            Self::Schedule { .. } => Some(Srv::CREATE_SCHEDULE),
            Self::Returned(_) => Some(Srv::RETURN_LOCAL_COMMAND_RESPONSE),
            Self::Gbcs { srv, .. } | Self::Receipt { srv } => srv,
            Self::Alert(_) | Self::DccAlert(_) => None,
        }
    }
}

/// A message as a decision sees it. It holds nothing of the message's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Why it is dispatched.
    pub origin: Origin,
    /// Whose it is.
    pub devices: Devices,
    /// What it is about.
    pub subject: Subject,
}

/// The fields of a message that its caller has read itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structured {
    /// Why it is dispatched; told from the other fields if absent.
    pub origin: Option<Origin>,
    /// The Devices; for 5.1 and 8.13 the one in the body.
    pub devices: Devices,
    /// The Service Request Variant.
    pub srv: Option<Srv>,
    /// For 5.1, the variant that the schedule orders.
    pub nested: Option<Srv>,
    /// The GBCS message code; for 8.13, of the response that is handed in.
    pub message: Option<MessageCode>,
    /// The Device's alert code.
    pub alert: Option<AlertCode>,
    /// The code of the DCC's own alert.
    pub dcc_alert: Option<DccAlertCode>,
}

impl Structured {
    /// The message that the fields describe.
    ///
    /// # Errors
    /// [`ReadError::Missing`] if no code is given, if 5.1 comes without the variant that it orders
    /// or 8.13 without the message code that it hands in, or if the policy may suppress the message
    /// and no Device is named; [`ReadError::Contradiction`] if a field does not go with the others.
    pub fn message(self, policy: &Policy) -> Result<Message, ReadError> {
        let subject = self.subject()?;
        let origin = self.origin.unwrap_or(match subject {
            Subject::Alert(_) | Subject::DccAlert(_) => Origin::Alert,
            Subject::Gbcs { codes, .. } if codes.alert.is_some() => Origin::Alert,
            Subject::Receipt { .. } => Origin::Response,
            _ => Origin::OnDemand,
        });
        policy.complete(Message {
            origin,
            devices: self.devices,
            subject,
        })
    }

    fn subject(&self) -> Result<Subject, ReadError> {
        if let Some(code) = self.dcc_alert {
            let alone = self.srv.is_none() && self.message.is_none() && self.alert.is_none();
            return if alone && self.nested.is_none() {
                Ok(Subject::DccAlert(code))
            } else {
                Err(ReadError::Contradiction {
                    field: "dcc_alert_code",
                })
            };
        }
        let answered = self.origin == Some(Origin::Response);
        let nests = self.srv == Some(Srv::CREATE_SCHEDULE) && self.message.is_none() && !answered;
        if self.nested.is_some() && !nests {
            return Err(ReadError::Contradiction {
                field: "nested_service_request_variant",
            });
        }
        match (self.srv, self.message) {
            (Some(_), None) if self.alert.is_some() => Err(ReadError::Contradiction {
                field: "alert_code",
            }),
            (Some(_), None) if nests => {
                let nested = self.nested.ok_or(ReadError::Missing {
                    element: "nested_service_request_variant",
                })?;
                Ok(Subject::Schedule { nested })
            }
            (Some(Srv::RETURN_LOCAL_COMMAND_RESPONSE), None) if !answered => {
                Err(ReadError::Missing {
                    element: "message_code",
                })
            }
            (Some(srv), None) => Ok(Subject::Service(srv)),
            (srv, Some(message)) => {
                let codes = GbcsCodes {
                    message,
                    alert: self.alert,
                };
                Ok(match srv {
                    Some(Srv::RETURN_LOCAL_COMMAND_RESPONSE) => Subject::Returned(codes),
                    srv => Subject::Gbcs { codes, srv },
                })
            }
            (None, None) => self.alert.map(Subject::Alert).ok_or(ReadError::Missing {
                element: "service_request_variant, message_code, alert_code or dcc_alert_code",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structured(srv: &str) -> Structured {
        Structured {
            devices: Devices::One("00-DB-12-34-56-78-90-A0".parse().unwrap()),
            srv: srv.parse().ok(),
            ..Structured::default()
        }
    }

    fn subject(fields: Structured) -> Result<Subject, ReadError> {
        let message = fields.message(&Policy::builtin())?;
        Ok(message.subject)
    }

    #[test]
    fn fields_make_a_message() {
        let read = Srv::new(4, 1, 1);
        let message = structured("4.1.1").message(&Policy::builtin()).unwrap();
        assert_eq!(message.subject, Subject::Service(read));
        assert_eq!(message.origin, Origin::OnDemand);

        let mut schedule = structured("5.1");
        schedule.nested = Some(read);
        assert_eq!(subject(schedule), Ok(Subject::Schedule { nested: read }));

        let mut returned = structured("8.13");
        returned.message = Some(MessageCode(0x27));
        assert!(matches!(subject(returned), Ok(Subject::Returned(_))));

        let mut alert = structured("");
        alert.alert = Some(AlertCode(0x8F0A));
        assert_eq!(
            alert.message(&Policy::builtin()).unwrap().origin,
            Origin::Alert
        );

        let mut answer = structured("5.1");
        answer.origin = Some(Origin::Response);
        assert_eq!(subject(answer), Ok(Subject::Service(Srv::CREATE_SCHEDULE)));
    }

    #[test]
    fn fields_that_are_missing_are_named() {
        let mut nobody = structured("4.1.1");
        nobody.devices = Devices::None;
        for fields in [
            nobody,
            structured("5.1"),
            structured("8.13"),
            structured(""),
        ] {
            assert!(matches!(subject(fields), Err(ReadError::Missing { .. })));
        }
        let mut nobody = structured("5.2");
        nobody.devices = Devices::None;
        assert_eq!(subject(nobody), Ok(Subject::Service(Srv::new(5, 2, 0))));
    }

    #[test]
    fn fields_that_do_not_go_together_are_refused() {
        let mut nested = structured("4.1.1");
        nested.nested = nested.srv;
        let mut alert = structured("4.1.1");
        alert.alert = Some(AlertCode(0x8F0A));
        let mut dcc = structured("4.1.1");
        dcc.dcc_alert = "N24".parse().ok();
        for fields in [nested, alert, dcc] {
            assert!(matches!(
                subject(fields),
                Err(ReadError::Contradiction { .. })
            ));
        }
    }

    #[test]
    fn a_device_named_twice_is_one_device() {
        let [a, b]: [DeviceId; 2] = ["00-DB-12-34-56-78-90-A0", "00-DB-12-34-56-78-90-A1"]
            .map(|text| text.parse().unwrap());
        assert_eq!(Devices::of(vec![]), Devices::None);
        assert_eq!(Devices::of(vec![a, a]), Devices::One(a));
        assert_eq!(Devices::of(vec![b, a, b]).as_slice(), [b, a]);
    }
}
