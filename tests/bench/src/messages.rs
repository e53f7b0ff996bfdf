//! Which messages are asked about, and what must become of them?

use anyhow::{Context as _, Result, ensure};
use classification::codes::{AlertCode, MessageCode};
use classification::message::MAX_DEVICES;
use classification::policy::Policy;
use classification::samples::{self, AlertEncoding};
use mesh_api::classification::v1 as wire;
use mesh_api::classification::v1::message::Content;
use mesh_api::classification::v1::structured_message::Code;
use mesh_types::{DeviceId, Eui64};
use mp169::sample::ALBION;

/// Message and alert code of a restored supply.
const SUPPLY_RESTORED: (MessageCode, AlertCode) = (MessageCode(0x0067), AlertCode(0x8F36));
/// The response to a read of the registers.
const REGISTERS: MessageCode = MessageCode(0x0027);

/// The most octets of a firmware image in DUIS 5.4.
const IMAGE: usize = 10_240_000;

/// A message, and what must become of it.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) message: wire::Message,
    pub(crate) expected: Expected,
}

/// What must be decided: stated here, not asked of the policy.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    verdict: wire::Verdict,
    devices: Vec<String>,
}

/// The messages of one meter: two about consumption and two that are always delivered; two that come
/// from Devices and two that go to them.
#[derive(Debug, Clone, Copy)]
enum Kind {
    HalfHours,
    TopUp,
    Registers,
    SupplyRestored,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::HalfHours,
        Self::Registers,
        Self::TopUp,
        Self::SupplyRestored,
    ];

    const fn expected(self, is_flagged: bool) -> wire::Verdict {
        match self {
            Self::HalfHours | Self::Registers if is_flagged => wire::Verdict::Suppress,
            _ => wire::Verdict::Deliver,
        }
    }

    /// DUIS for what Users send, GBCS for what Devices send.
    fn raw(self, device: DeviceId) -> Result<wire::Message> {
        let supplier = ALBION.entity().eui64();
        let request = |variant: &str| {
            let (policy, variant) = (Policy::builtin(), variant.parse()?);
            let text = samples::duis_request(&policy, variant, supplier, device, 1_000);
            let text = text.context("the variant is in the tables")?;
            anyhow::Ok(Content::DuisXml(text.into()))
        };
        let content = match self {
            Self::HalfHours => request("4.8.1")?,
            Self::TopUp => request("2.2")?,
            Self::Registers => {
                let response = samples::gbcs_response(REGISTERS, device, supplier, 1_001);
                Content::Gbcs(response.octets().into())
            }
            Self::SupplyRestored => {
                let (code, alert) = SUPPLY_RESTORED;
                let encoding = AlertEncoding::Dlms;
                let alert = samples::gbcs_alert(code, alert, encoding, device, supplier, 2_000);
                Content::Gbcs(alert.octets().into())
            }
        };
        Ok(wire::Message {
            content: Some(content),
            ..wire::Message::default()
        })
    }

    fn structured(self, device: DeviceId) -> wire::Message {
        let variant = |text: &str| Code::ServiceReferenceVariant(text.to_owned());
        let (code, origin) = match self {
            Self::HalfHours => (variant("4.8.1"), wire::Origin::OnDemand),
            Self::TopUp => (variant("2.2"), wire::Origin::OnDemand),
            Self::Registers => {
                let code = Code::GbcsMessageCode(REGISTERS.0.into());
                (code, wire::Origin::Response)
            }
            Self::SupplyRestored => {
                let code = Code::AlertCode(SUPPLY_RESTORED.1.0.into());
                (code, wire::Origin::Alert)
            }
        };
        wire::Message {
            content: Some(Content::Structured(wire::StructuredMessage {
                device_ids: vec![device.to_string()],
                code: Some(code),
                ..wire::StructuredMessage::default()
            })),
            origin: origin.into(),
        }
    }
}

/// The form of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// The documents and octets themselves.
    Raw,
    /// As the caller has read them.
    Structured,
}

/// All kinds of messages of each meter; the meters come with whether they are flagged.
pub(crate) fn exchanges(
    form: Form,
    meters: impl IntoIterator<Item = (DeviceId, bool)>,
) -> Result<Vec<Exchange>> {
    let mut exchanges = Vec::new();
    for (device, is_flagged) in meters {
        for kind in Kind::ALL {
            exchanges.push(Exchange {
                message: match form {
                    Form::Raw => kind.raw(device)?,
                    Form::Structured => kind.structured(device),
                },
                expected: Expected {
                    verdict: kind.expected(is_flagged),
                    devices: vec![device.to_string()],
                },
            });
        }
    }
    Ok(exchanges)
}

/// The largest document of DUIS: a firmware image of 10,240,000 octets for 50,000 Devices. Some of them
/// are flagged, and it is delivered.
pub(crate) fn largest_firmware(flagged: &[DeviceId]) -> Exchange {
    let others = (1_u64..).map(|number| DeviceId::new(Eui64::from_u64(number)));
    let devices = flagged.iter().copied().chain(others);
    let devices: Vec<DeviceId> = devices.take(MAX_DEVICES).collect();
    let supplier = ALBION.entity().eui64();
    let text = samples::duis_firmware(supplier, &vec![0xA5; IMAGE], "\n", &devices, 1_000);
    Exchange {
        message: wire::Message {
            content: Some(Content::DuisXml(text.into())),
            ..wire::Message::default()
        },
        expected: Expected {
            verdict: wire::Verdict::Deliver,
            devices: devices.iter().map(ToString::to_string).collect(),
        },
    }
}

impl Expected {
    /// Fails unless this was decided, about these Devices, and for the flag if it is suppressed.
    pub(crate) fn check(&self, decision: Option<&wire::Decision>) -> Result<()> {
        let by_flag = match self.verdict {
            wire::Verdict::Suppress => self.devices.first().map_or("", String::as_str),
            _ => "",
        };
        let is_right = decision.is_some_and(|decision| {
            decision.verdict() == self.verdict
                && decision.device_ids == self.devices
                && (decision.flagged_device_id == by_flag)
        });
        let (verdict, devices) = (self.verdict, self.devices.len());
        ensure!(
            is_right,
            "expected {verdict:?} about {devices} Devices, answered {decision:?}"
        );
        Ok(())
    }
}
