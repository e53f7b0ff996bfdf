//! What a Service Request says.

use mesh_types::DeviceId;

use super::tail::{self, Open};
use super::xml::{Cursor, Step, Tag};
use super::{ExchangeId, finish, named_by, once, payload, variant_of};
use crate::codes::{CommandVariant, Srv};
use crate::error::ReadError;
use crate::gbcs;
use crate::message::{Devices, MAX_DEVICES, Message, Origin, Subject};
use crate::policy::Policy;

/// The most octets of a firmware image in DUIS 5.4, before they are written in base64.
const MAX_IMAGE: usize = 10_240_000;

/// Reads a request whose root element was just entered.
pub(super) fn read<'a>(
    cursor: &mut Cursor<'a>,
    root: &Tag<'a>,
    policy: &Policy,
) -> Result<Message, ReadError> {
    let root_name = cursor.written_name(root);
    match cursor.child()? {
        Some(tag) if tag.is("Header") => {}
        Some(_) => return Err(ReadError::UnexpectedElement { near: "Header" }),
        None => return Err(ReadError::Missing { element: "Header" }),
    }
    let header = Header::read(cursor)?;
    header.check(policy)?;
    let body = match cursor.child()? {
        Some(tag) if tag.is("Body") => tag,
        Some(_) => return Err(ReadError::UnexpectedElement { near: "Body" }),
        None => return Err(ReadError::Missing { element: "Body" }),
    };
    let body_name = cursor.written_name(&body);
    let Some(element) = cursor.child()? else {
        return Err(ReadError::Missing {
            element: "the request in the body",
        });
    };
    let header = header.with_body(&element, policy)?;
    if header.is_plain() {
        let names = (root_name, body_name, cursor.written_name(&element));
        if let (Some(root), Some(body), Some(element)) = names
            && tail::is_plain(
                cursor.rest(),
                &Open {
                    root,
                    body,
                    element,
                },
            )
        {
            return Ok(header.plain_message(Origin::OnDemand));
        }
    }
    let content = Content::read(cursor, &header, policy)?;
    if cursor.child()?.is_some() {
        return Err(ReadError::Duplicate {
            element: "the request in the body",
        });
    }
    finish(cursor)?;
    header.message(content)
}

struct Header {
    id: ExchangeId,
    command_variant: CommandVariant,
    srv: Srv,
    /// What the request is about, unless something that is nested in it says otherwise.
    subject: Subject,
}

impl Header {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let (mut id, mut command_variant, mut reference, mut variant) = (None, None, None, None);
        while let Some(tag) = cursor.child()? {
            if tag.is("RequestID") {
                once(&mut id, cursor.code()?.parse::<ExchangeId>()?, "RequestID")?;
            } else if tag.is("CommandVariant") {
                let value: CommandVariant = cursor.code()?.parse()?;
                once(&mut command_variant, value, "CommandVariant")?;
            } else if tag.is("ServiceReference") {
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
            } else {
                cursor.skip()?;
            }
        }
        let srv = variant_of(
            reference,
            variant,
            ["ServiceReference", "ServiceReferenceVariant"],
        )?;
        Ok(Self {
            id: id.ok_or(ReadError::Missing {
                element: "RequestID",
            })?,
            command_variant: command_variant.ok_or(ReadError::Missing {
                element: "CommandVariant",
            })?,
            srv,
            subject: Subject::Service(srv),
        })
    }

    /// A request to the DCC has Command Variant 8, and no other has: in it the Device is in the body,
    /// so a read that was dressed up as one would be judged for the wrong Device.
    fn check(&self, policy: &Policy) -> Result<(), ReadError> {
        let to_dcc = self.command_variant == CommandVariant::NonDevice;
        match policy.service_request(self.srv) {
            Some(row) if row.non_device != to_dcc => Err(ReadError::CommandVariantMismatch),
            _ => Ok(()),
        }
    }

    /// The body's element and the Service Request Variant are one to one; a signed Pre-Command has
    /// the same element for all. An element that no variant has may be a read.
    fn with_body(self, element: &Tag<'_>, policy: &Policy) -> Result<Self, ReadError> {
        if !element.is_duis() {
            return Err(ReadError::BodyMismatch);
        }
        let signed = element.is("SignedPreCommand");
        if signed || self.command_variant.is_signed() {
            return if signed && self.command_variant.is_signed() {
                Ok(self)
            } else {
                Err(ReadError::BodyMismatch)
            };
        }
        let row = policy.service_request(self.srv);
        if row.is_some_and(|row| element.name() == &*row.body_element) {
            return Ok(self);
        }
        match (named_by(element.name(), policy), row) {
            (None, None) => Ok(self),
            (None, Some(_)) if self.srv.reads_meters() => Ok(Self {
                subject: Subject::UnknownRead(self.srv),
                ..self
            }),
            _ => Err(ReadError::BodyMismatch),
        }
    }

    /// Whether the header says all that a decision needs, if the body has the expected shape.
    fn is_plain(&self) -> bool {
        !self.command_variant.is_signed() && self.command_variant != CommandVariant::NonDevice
    }

    fn plain_message(&self, origin: Origin) -> Message {
        Message {
            origin,
            devices: Devices::One(DeviceId::new(self.id.target)),
            subject: self.subject,
        }
    }

    fn message(&self, content: Content) -> Result<Message, ReadError> {
        let origin = if content.is_future_dated {
            Origin::FutureDated
        } else {
            Origin::OnDemand
        };
        if self.command_variant.is_signed() {
            let header = content.payload.ok_or(ReadError::Missing {
                element: "GBCSPayload",
            })?;
            return Ok(Message {
                origin,
                devices: Devices::of(vec![DeviceId::new(self.id.target), header.device()]),
                subject: Subject::Gbcs {
                    codes: header.codes,
                    srv: Some(self.srv),
                },
            });
        }
        if self.command_variant != CommandVariant::NonDevice {
            return Ok(self.plain_message(origin));
        }
        let (devices, subject) = self.to_dcc(content)?;
        Ok(Message {
            origin,
            devices: Devices::of(devices),
            subject,
        })
    }

    /// Which Devices a request to the DCC itself is about, and what.
    fn to_dcc(&self, mut content: Content) -> Result<(Vec<DeviceId>, Subject), ReadError> {
        match self.srv {
            Srv::CREATE_SCHEDULE => {
                let subject = self.schedule(&content)?;
                Ok((content.devices, subject))
            }
            Srv::RETURN_LOCAL_COMMAND_RESPONSE => {
                let header = content.payload.ok_or(ReadError::Missing {
                    element: "DeviceGBCSResponse",
                })?;
                Ok((vec![header.device()], Subject::Returned(header.codes)))
            }
            // Whoever carries out an unknown read may go by the header.
            srv if srv.reads_meters() && !content.devices.is_empty() => {
                content.devices.push(DeviceId::new(self.id.target));
                Ok((content.devices, self.subject))
            }
            _ => Ok((content.devices, self.subject)),
        }
    }

    /// What a schedule orders: its codes and the element of its read must say the same.
    fn schedule(&self, content: &Content) -> Result<Subject, ReadError> {
        let names = [
            "DSPScheduledServiceReference",
            "DSPScheduledServiceReferenceVariant",
        ];
        let nested = variant_of(content.nested_reference, content.nested_variant, names)?;
        match content.ordered {
            Some(Order::Unknown) => Ok(Subject::UnknownRead(self.srv)),
            Some(Order::Known(ordered)) if ordered != nested => Err(ReadError::BodyMismatch),
            _ => Ok(Subject::Schedule { nested }),
        }
    }
}

/// What a decision can need of a request's body.
#[derive(Default)]
struct Content {
    is_future_dated: bool,
    devices: Vec<DeviceId>,
    nested_reference: Option<Srv>,
    nested_variant: Option<Srv>,
    ordered: Option<Order>,
    payload: Option<gbcs::Header>,
}

/// What the element of a schedule's read stands for.
#[derive(Clone, Copy)]
enum Order {
    Known(Srv),
    Unknown,
}

impl Order {
    /// `None` for an element that orders nothing, such as `ScheduleFrequency`.
    fn of(element: &str, policy: &Policy) -> Option<Self> {
        let reads = ["DSP", "Read", "Retrieve"].iter();
        let unknown = || {
            let mut reads = reads.filter(|reads| element.starts_with(**reads));
            reads.next().map(|_| Self::Unknown)
        };
        named_by(element, policy).map(Self::Known).or_else(unknown)
    }
}

impl Content {
    /// Reads the open element and closes it.
    fn read(cursor: &mut Cursor<'_>, header: &Header, policy: &Policy) -> Result<Self, ReadError> {
        let mut content = Self::default();
        let outside = cursor.depth() - 1;
        while cursor.depth() > outside {
            if let Step::Enter(tag) = cursor.step()?
                && tag.is_duis()
            {
                let is_child = cursor.depth() == outside + 2;
                content.element(cursor, tag.name(), is_child, header, policy)?;
            }
        }
        Ok(content)
    }

    fn element(
        &mut self,
        cursor: &mut Cursor<'_>,
        name: &str,
        is_child: bool,
        header: &Header,
        policy: &Policy,
    ) -> Result<(), ReadError> {
        let to_dcc = header.command_variant == CommandVariant::NonDevice;
        let signed = header.command_variant.is_signed();
        let schedules = to_dcc && header.srv == Srv::CREATE_SCHEDULE;
        let returns = to_dcc && header.srv == Srv::RETURN_LOCAL_COMMAND_RESPONSE;
        match name {
            "ExecutionDateTime" => self.is_future_dated = true,
            "FirmwareImage" if to_dcc => image(cursor)?,
            name if to_dcc && name.ends_with("DeviceID") => self.device(&cursor.code()?)?,
            name if to_dcc && name.ends_with("DeviceIDList") => {
                let list = cursor.words("DeviceID")?;
                let places = list.split([',', ' ', '\t', '\r', '\n']);
                for place in places.filter(|place| !place.is_empty()) {
                    self.device(place)?;
                }
            }
            "DSPScheduledServiceReference" if schedules => {
                let value = cursor.code()?.parse()?;
                once(
                    &mut self.nested_reference,
                    value,
                    "DSPScheduledServiceReference",
                )?;
            }
            "DSPScheduledServiceReferenceVariant" if schedules => {
                let value = cursor.code()?.parse()?;
                once(
                    &mut self.nested_variant,
                    value,
                    "DSPScheduledServiceReferenceVariant",
                )?;
            }
            "DeviceGBCSResponse" if returns => {
                once(&mut self.payload, payload(cursor)?, "DeviceGBCSResponse")?;
            }
            "GBCSPayload" if signed => once(&mut self.payload, payload(cursor)?, "GBCSPayload")?,
            name if schedules && is_child => {
                if let Some(order) = Order::of(name, policy) {
                    once(&mut self.ordered, order, "the read that a schedule orders")?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn device(&mut self, text: &str) -> Result<(), ReadError> {
        if self.devices.len() == MAX_DEVICES {
            return Err(ReadError::TooManyDevices { limit: MAX_DEVICES });
        }
        self.devices.push(text.parse()?);
        Ok(())
    }
}

/// Steps over the firmware image in the open element.
fn image(cursor: &mut Cursor<'_>) -> Result<(), ReadError> {
    let characters = cursor.pass_text()?;
    if characters > MAX_IMAGE.div_ceil(3) * 4 {
        return Err(ReadError::ImageTooLarge { limit: MAX_IMAGE });
    }
    Ok(())
}
