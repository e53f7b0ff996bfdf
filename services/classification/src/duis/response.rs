//! What a Service Response says, or an alert in the form of one.

use mesh_types::DeviceId;

use super::xml::{Cursor, Step, Tag};
use super::{ExchangeId, finish, named_by, once, payload, variant_of};
use crate::codes::{AlertCode, DccAlertCode, Srv};
use crate::error::ReadError;
use crate::gbcs;
use crate::message::{Devices, GbcsCodes, Message, Origin, Subject};
use crate::policy::Policy;

/// Reads a response whose root element was just entered.
pub(super) fn read(cursor: &mut Cursor<'_>, policy: &Policy) -> Result<Message, ReadError> {
    match cursor.child()? {
        Some(tag) if tag.is("Header") => {}
        Some(_) => return Err(ReadError::UnexpectedElement { near: "Header" }),
        None => return Err(ReadError::Missing { element: "Header" }),
    }
    let from = header(cursor)?;
    let body = match cursor.child()? {
        Some(tag) if tag.is("Body") => Body::read(cursor, policy)?,
        Some(_) => return Err(ReadError::UnexpectedElement { near: "Body" }),
        None => return Err(ReadError::Missing { element: "Body" }),
    };
    finish(cursor)?;
    let mut devices: Vec<DeviceId> = body.device.into_iter().collect();
    devices.extend(from);
    Ok(Message {
        origin: body.origin,
        devices: Devices::of(devices),
        subject: body.subject,
    })
}

/// Who answers or reports, as far as the header says it.
fn header(cursor: &mut Cursor<'_>) -> Result<Option<DeviceId>, ReadError> {
    let (mut request, mut response, mut code) = (None, None, None);
    while let Some(tag) = cursor.child()? {
        if tag.is("RequestID") {
            once(
                &mut request,
                cursor.code()?.parse::<ExchangeId>()?,
                "RequestID",
            )?;
        } else if tag.is("ResponseID") {
            once(
                &mut response,
                cursor.code()?.parse::<ExchangeId>()?,
                "ResponseID",
            )?;
        } else if tag.is("ResponseCode") {
            let filled = !cursor.code()?.is_empty();
            once(&mut code, filled, "ResponseCode")?;
        } else if tag.is("CommandVariant") {
            return Err(ReadError::UnexpectedElement { near: "Header" });
        } else {
            cursor.skip()?;
        }
    }
    if code != Some(true) {
        return Err(ReadError::Missing {
            element: "ResponseCode",
        });
    }
    if let (Some(request), Some(response)) = (request, response)
        && (request.originator, request.target, request.counter)
            != (response.target, response.originator, response.counter)
    {
        return Err(ReadError::IdsDisagree);
    }
    let from = response
        .map(|id| id.originator)
        .or(request.map(|id| id.target));
    Ok(from.map(DeviceId::new))
}

/// What a decision needs of the body.
struct Body {
    origin: Origin,
    subject: Subject,
    /// The Device that the GBCS message names.
    device: Option<DeviceId>,
}

impl Body {
    /// Reads the open body and closes it. A body without a message is an acknowledgement.
    fn read(cursor: &mut Cursor<'_>, policy: &Policy) -> Result<Self, ReadError> {
        let mut body = None;
        while let Some(tag) = cursor.child()? {
            let read = if tag.is("ResponseMessage") {
                Self::response(cursor)?
            } else if tag.is("DeviceAlertMessage") {
                Self::device_alert(cursor)?
            } else if tag.is("DCCAlertMessage") {
                Self::dcc_alert(cursor)?
            } else {
                Self::unknown(cursor, &tag, policy)?
            };
            once(&mut body, read, "the message in the body")?;
        }
        Ok(body.unwrap_or(Self {
            origin: Origin::Response,
            subject: Subject::Receipt { srv: None },
            device: None,
        }))
    }

    /// Whatever it is, it is delivered, so it must not be a request in the form of a response.
    fn unknown(cursor: &mut Cursor<'_>, tag: &Tag<'_>, policy: &Policy) -> Result<Self, ReadError> {
        let is_request = ["Request", "SignedPreCommand"].contains(&tag.name())
            || named_by(tag.name(), policy).is_some();
        if is_request {
            return Err(ReadError::UnexpectedElement { near: "Body" });
        }
        cursor.skip()?;
        Ok(Self {
            origin: Origin::Response,
            subject: Subject::UnknownKind,
            device: None,
        })
    }

    /// The GBCS message stands in the response itself or one level deeper, in an element that says
    /// how it came about (scheduled, for local delivery, a Pre-Command, …).
    fn response(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let (mut reference, mut variant, mut found) = (None, None, None);
        let mut has_content = false;
        while let Some(tag) = cursor.child()? {
            if tag.is("ServiceReference") {
                once(
                    &mut reference,
                    cursor.code()?.parse::<Srv>()?,
                    "ServiceReference",
                )?;
            } else if tag.is("ServiceReferenceVariant") {
                once(
                    &mut variant,
                    cursor.code()?.parse::<Srv>()?,
                    "ServiceReferenceVariant",
                )?;
            } else if tag.is("GBCSPayload") {
                once(&mut found, payload(cursor)?, "GBCSPayload")?;
            } else {
                has_content = true;
                find_payload(cursor, &mut found)?;
            }
        }
        let srv = variant_of(
            reference,
            variant,
            ["ServiceReference", "ServiceReferenceVariant"],
        )?;
        Ok(Self {
            origin: Origin::Response,
            subject: match &found {
                Some(header) => Subject::Gbcs {
                    codes: header.codes,
                    srv: Some(srv),
                },
                None if has_content => Subject::Service(srv),
                None => Subject::Receipt { srv: Some(srv) },
            },
            device: found.map(|header| header.device()),
        })
    }

    fn device_alert(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let (mut alert, mut found) = (None, None);
        while let Some(tag) = cursor.child()? {
            if tag.is("AlertCode") {
                once(
                    &mut alert,
                    cursor.code()?.parse::<AlertCode>()?,
                    "AlertCode",
                )?;
            } else if tag.is("GBCSPayload") {
                once(&mut found, payload(cursor)?, "GBCSPayload")?;
            } else {
                cursor.skip()?;
            }
        }
        let alert = alert.ok_or(ReadError::Missing {
            element: "AlertCode",
        })?;
        let subject = match &found {
            None => Subject::Alert(alert),
            Some(header) if header.codes.alert.is_some_and(|inside| inside != alert) => {
                return Err(ReadError::AlertMismatch);
            }
            Some(header) => Subject::Gbcs {
                codes: GbcsCodes {
                    message: header.codes.message,
                    alert: Some(alert),
                },
                srv: None,
            },
        };
        Ok(Self {
            origin: Origin::Alert,
            subject,
            device: found.map(|header| header.device()),
        })
    }

    fn dcc_alert(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let mut code = None;
        while let Some(tag) = cursor.child()? {
            if tag.is("DCCAlertCode") {
                once(
                    &mut code,
                    cursor.code()?.parse::<DccAlertCode>()?,
                    "DCCAlertCode",
                )?;
            } else {
                cursor.skip()?;
            }
        }
        let code = code.ok_or(ReadError::Missing {
            element: "DCCAlertCode",
        })?;
        Ok(Self {
            origin: Origin::Alert,
            subject: Subject::DccAlert(code),
            device: None,
        })
    }
}

/// Looks through the open element for a GBCS message and closes the element.
fn find_payload(
    cursor: &mut Cursor<'_>,
    found: &mut Option<gbcs::Header>,
) -> Result<(), ReadError> {
    let outside = cursor.depth() - 1;
    while cursor.depth() > outside {
        if let Step::Enter(tag) = cursor.step()?
            && tag.is("GBCSPayload")
        {
            once(found, payload(cursor)?, "GBCSPayload")?;
        }
    }
    Ok(())
}
