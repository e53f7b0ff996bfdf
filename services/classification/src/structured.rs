//! What a caller says of a message that it has read itself.
//!
//! Fields can contradict each other or leave out what decides; whatever becomes a
//! [`Message`](crate::message::Message) here is one that a document could have said too.

use crate::codes::{AlertCode, DccAlertCode, MessageCode, Srv};
use crate::error::ReadError;
use crate::message::{Devices, GbcsCodes, Message, Origin, Subject};
use crate::policy::Policy;

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
}
