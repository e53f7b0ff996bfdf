//! Writes DUIS documents.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mesh_types::{DeviceId, Eui64};

use super::gbcs::Gbcs;
use crate::codes::{AlertCode, CommandVariant, DccAlertCode, Srv};
use crate::policy::Policy;

/// The DCC's Access Control Broker in the samples: the target of requests to the DCC itself.
const ACCESS_CONTROL_BROKER: Eui64 = Eui64::from_u64(0x90B3_D51F_3000_0002);

/// A request to `device`, to be sent at once; `None` if the policy does not know the variant or if it
/// goes to the DCC itself.
#[must_use]
pub fn duis_request(
    policy: &Policy,
    srv: Srv,
    originator: Eui64,
    device: DeviceId,
    counter: u64,
) -> Option<String> {
    let row = policy.service_request(srv).filter(|row| !row.non_device)?;
    let head = Head {
        originator,
        target: device.eui64(),
        counter,
    };
    let element = format!("<sr:{0}></sr:{0}>", row.body_element);
    Some(head.request(CommandVariant::Send, srv, &element))
}

/// A request to the DCC about several Devices, such as 11.1; `None` if the policy does not know the
/// variant or if it goes to one Device.
#[must_use]
pub fn duis_device_list(
    policy: &Policy,
    srv: Srv,
    originator: Eui64,
    devices: &[DeviceId],
    counter: u64,
) -> Option<String> {
    let row = policy.service_request(srv).filter(|row| row.non_device)?;
    let element = format!(
        "<sr:{0}>{1}</sr:{0}>",
        row.body_element,
        device_list(devices)
    );
    Some(to_dcc(originator, counter).request(CommandVariant::NonDevice, srv, &element))
}

/// A request (11.1) to update the firmware of `devices`; the image's base64 stands in lines with
/// `line_end` between them.
#[must_use]
pub fn duis_firmware(
    originator: Eui64,
    image: &[u8],
    line_end: &str,
    devices: &[DeviceId],
    counter: u64,
) -> String {
    // 76 characters of base64 stand for 57 octets.
    let lines: Vec<String> = image.chunks(57).map(|line| STANDARD.encode(line)).collect();
    let element = format!(
        "<sr:UpdateFirmware>\
           <sr:FirmwareImage>{}</sr:FirmwareImage>\
           <sr:FirmwareVersion>00000001</sr:FirmwareVersion>\
           {}\
         </sr:UpdateFirmware>",
        lines.join(line_end),
        device_list(devices),
    );
    let head = to_dcc(originator, counter);
    head.request(CommandVariant::NonDevice, Srv::UPDATE_FIRMWARE, &element)
}

/// A request to create a schedule (5.1) that reads `nested` from `device` every day; `None` if the
/// policy does not know the nested variant.
#[must_use]
pub fn duis_schedule(
    policy: &Policy,
    nested: Srv,
    originator: Eui64,
    device: DeviceId,
    counter: u64,
) -> Option<String> {
    let row = policy.service_request(nested)?;
    let reference = nested.reference();
    let element = format!(
        "<sr:CreateSchedule>\
           <sr:ScheduleFrequency>Daily</sr:ScheduleFrequency>\
           <sr:ScheduleStartDate>2026-12-01</sr:ScheduleStartDate>\
           <sr:DSPScheduledServiceReference>{reference}</sr:DSPScheduledServiceReference>\
           <sr:DSPScheduledServiceReferenceVariant>{nested}</sr:DSPScheduledServiceReferenceVariant>\
           <sr:DeviceID>{device}</sr:DeviceID>\
           <sr:DSP{0}></sr:DSP{0}>\
         </sr:CreateSchedule>",
        row.body_element
    );
    let head = to_dcc(originator, counter);
    Some(head.request(CommandVariant::NonDevice, Srv::CREATE_SCHEDULE, &element))
}

/// A request (8.13) that hands in a response which was collected in the home.
#[must_use]
pub fn duis_return_local(originator: Eui64, response: &Gbcs, counter: u64) -> String {
    let element = format!(
        "<sr:ReturnLocalCommandResponse>\
           <sr:OriginalRequestID>{}:{}:{}</sr:OriginalRequestID>\
           <sr:DeviceGBCSResponse>{}</sr:DeviceGBCSResponse>\
         </sr:ReturnLocalCommandResponse>",
        response.target,
        response.originator,
        response.counter,
        STANDARD.encode(response.octets()),
    );
    let head = to_dcc(originator, counter);
    head.request(
        CommandVariant::NonDevice,
        Srv::RETURN_LOCAL_COMMAND_RESPONSE,
        &element,
    )
}

/// A request that sends a signed Pre-Command.
#[must_use]
pub fn duis_signed_precommand(srv: Srv, originator: Eui64, command: &Gbcs) -> String {
    let head = Head {
        originator,
        target: command.target,
        counter: command.counter,
    };
    let payload = payload(command);
    let element = format!("<sr:SignedPreCommand>{payload}</sr:SignedPreCommand>");
    head.request(CommandVariant::SendSigned, srv, &element)
}

/// The answer to a request, with the Device's message in it.
#[must_use]
pub fn duis_response(srv: Srv, originator: Eui64, response: &Gbcs) -> String {
    let head = Head {
        originator,
        target: response.originator,
        counter: response.counter,
    };
    head.response("I0", &response_message(srv, &payload(response)))
}

/// An answer of the DCC, with nothing from a Device in it: an acknowledgement or a refusal by `code`.
#[must_use]
pub fn duis_receipt(
    srv: Srv,
    originator: Eui64,
    device: DeviceId,
    counter: u64,
    code: &str,
) -> String {
    let head = Head {
        originator,
        target: device.eui64(),
        counter,
    };
    head.response(code, &response_message(srv, ""))
}

/// A Device alert, with the Device's message in it.
#[must_use]
pub fn duis_device_alert(party: Eui64, code: AlertCode, alert: &Gbcs) -> String {
    let head = Head {
        originator: party,
        target: alert.originator,
        counter: alert.counter,
    };
    let body = format!(
        "<sr:DeviceAlertMessage><sr:AlertCode>{:04X}</sr:AlertCode>{}</sr:DeviceAlertMessage>",
        code.0,
        payload(alert),
    );
    head.alert(&body)
}

/// An alert that the DCC makes itself.
#[must_use]
pub fn duis_dcc_alert(party: Eui64, code: DccAlertCode, counter: u64) -> String {
    to_dcc(party, counter).alert(&format!(
        "<sr:DCCAlertMessage><sr:DCCAlertCode>{code}</sr:DCCAlertCode><sr:DCCAlert/></sr:DCCAlertMessage>"
    ))
}

fn device_list(devices: &[DeviceId]) -> String {
    let ids: Vec<String> = devices.iter().map(ToString::to_string).collect();
    format!("<sr:DeviceIDList>{}</sr:DeviceIDList>", ids.join(","))
}

const fn to_dcc(originator: Eui64, counter: u64) -> Head {
    Head {
        originator,
        target: ACCESS_CONTROL_BROKER,
        counter,
    }
}

fn payload(message: &Gbcs) -> String {
    format!(
        "<sr:GBCSPayload>{}</sr:GBCSPayload>",
        STANDARD.encode(message.octets())
    )
}

fn response_message(srv: Srv, content: &str) -> String {
    format!(
        "<sr:ResponseMessage>\
           <sr:ServiceReference>{}</sr:ServiceReference>\
           <sr:ServiceReferenceVariant>{srv}</sr:ServiceReferenceVariant>{content}\
         </sr:ResponseMessage>",
        srv.reference(),
    )
}

/// Who asks whom: what RequestID and ResponseID are made of.
struct Head {
    originator: Eui64,
    target: Eui64,
    counter: u64,
}

impl Head {
    fn request(&self, variant: CommandVariant, srv: Srv, element: &str) -> String {
        let Self {
            originator,
            target,
            counter,
        } = self;
        let header = format!(
            "    <sr:RequestID>{originator}:{target}:{counter}</sr:RequestID>\n    \
             <sr:CommandVariant>{}</sr:CommandVariant>\n    \
             <sr:ServiceReference>{}</sr:ServiceReference>\n    \
             <sr:ServiceReferenceVariant>{srv}</sr:ServiceReferenceVariant>\n",
            variant.digit(),
            srv.reference(),
        );
        document("Request", &header, element)
    }

    fn response(&self, code: &str, body: &str) -> String {
        let Self {
            originator,
            target,
            counter,
        } = self;
        let header = format!(
            "    <sr:RequestID>{originator}:{target}:{counter}</sr:RequestID>\n    \
             <sr:ResponseID>{target}:{originator}:{counter}</sr:ResponseID>\n    \
             <sr:ResponseCode>{code}</sr:ResponseCode>\n    \
             <sr:ResponseDateTime>2026-11-23T12:00:00.00Z</sr:ResponseDateTime>\n",
        );
        document("Response", &header, body)
    }

    /// An alert answers no request.
    fn alert(&self, body: &str) -> String {
        let Self {
            originator,
            target,
            counter,
        } = self;
        let header = format!(
            "    <sr:ResponseID>{target}:{originator}:{counter}</sr:ResponseID>\n    \
             <sr:ResponseCode>I0</sr:ResponseCode>\n    \
             <sr:ResponseDateTime>2026-11-23T12:00:00.00Z</sr:ResponseDateTime>\n",
        );
        document("Response", &header, body)
    }
}

/// Every document is signed; these carry a signature in shape only.
fn document(root: &str, header: &str, body: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<sr:{root} xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" schemaVersion="5.4">
  <sr:Header>
{header}  </sr:Header>
  <sr:Body>
    {body}
  </sr:Body>
  <ds:Signature>
    <ds:SignedInfo>
      <ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>
      <ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"/>
      <ds:Reference URI="">
        <ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>
        <ds:DigestValue>c2FtcGxl</ds:DigestValue>
      </ds:Reference>
    </ds:SignedInfo>
    <ds:SignatureValue>c2FtcGxl</ds:SignatureValue>
    <ds:KeyInfo>
      <ds:X509Data>
        <ds:X509IssuerSerial>
          <ds:X509IssuerName>CN=sample, OU=07</ds:X509IssuerName>
          <ds:X509SerialNumber>1</ds:X509SerialNumber>
        </ds:X509IssuerSerial>
      </ds:X509Data>
    </ds:KeyInfo>
  </ds:Signature>
</sr:{root}>
"#
    )
}
