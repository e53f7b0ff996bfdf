//! What a decision needs to know of a message, whichever form it came in.
//!
//! [`duis`](crate::duis) and [`gbcs`](crate::gbcs) produce a [`Message`] from the bytes of the real
//! formats; [`Structured::message`](crate::structured::Structured::message) from fields that a caller
//! has read itself.

use mesh_types::DeviceId;

use crate::codes::{AlertCode, DccAlertCode, MessageCode, Srv};

/// The most Devices of one message: a `DeviceIDList` of DUIS 5.4 has room for so many, 23 characters
/// each and commas between them.
pub const MAX_DEVICES: usize = 50_000;

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
    /// A request of the read service whose body is not the one that the tables give its variant, nor
    /// that of any other, or a schedule of such a read: it may read anything.
    UnknownRead(Srv),
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
    /// A DUIS response whose body is of a kind that is not known here.
    UnknownKind,
}

impl Subject {
    /// The Service Request Variant that the message is or belongs to, where it says so.
    #[must_use]
    pub const fn srv(self) -> Option<Srv> {
        match self {
            Self::Service(srv) | Self::UnknownRead(srv) => Some(srv),
            Self::Schedule { .. } => Some(Srv::CREATE_SCHEDULE),
            Self::Returned(_) => Some(Srv::RETURN_LOCAL_COMMAND_RESPONSE),
            Self::Gbcs { srv, .. } | Self::Receipt { srv } => srv,
            Self::Alert(_) | Self::DccAlert(_) | Self::UnknownKind => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_named_twice_is_one_device() {
        let [a, b]: [DeviceId; 2] = ["00-DB-12-34-56-78-90-A0", "00-DB-12-34-56-78-90-A1"]
            .map(|text| text.parse().unwrap());
        assert_eq!(Devices::of(vec![]), Devices::None);
        assert_eq!(Devices::of(vec![a, a]), Devices::One(a));
        assert_eq!(Devices::of(vec![b, a, b]).as_slice(), [b, a]);
    }
}
