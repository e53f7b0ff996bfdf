//! Acts 3 and 6: the same messages before and after the flag.

use anyhow::{Context as _, Result};
use classification::codes::{AlertCode, MessageCode};
use classification::policy::Policy;
use classification::samples;
use mesh_api::classification::v1::{self as wire, decision_result, message::Content};
use mesh_types::DeviceId;

use super::{Story, line};
use crate::sample::{ALBION, Home};

/// A message of the story and what must become of it, as told here and not by the policy.
struct Told {
    what: &'static str,
    content: Content,
    while_flagged: &'static str,
}

const DELIVER: &str = "DELIVER";
const SUPPRESS: &str = "SUPPRESS";

/// The number of a home whose meters nobody flags.
const NEIGHBOUR: u16 = 8;

impl Story {
    /// Act 3.
    pub(super) async fn messages_before(&mut self) -> Result<()> {
        self.narrator.act(
            "Act 3: messages before the flag",
            "Requests and alerts in the formats of DUIS and GBCS: everything is delivered.",
        );
        for told in messages(self.stage.town)? {
            self.classify(told.what, told.content, DELIVER).await?;
        }
        Ok(())
    }

    /// Act 6.
    pub(super) async fn messages_after(&mut self) -> Result<()> {
        self.narrator.act(
            "Act 6: the same messages after the flag",
            "Reads are suppressed, on the GPF too. Alerts, firmware, security, prepayment and what\n\
             is not about consumption go, and so does everything for other homes.",
        );
        let messages = messages(self.stage.town)?;
        let batch = wire::BatchClassifyRequest {
            messages: messages
                .iter()
                .map(|told| message(told.content.clone()))
                .collect(),
            at_least: self.flag_position.clone(),
        };
        let answer = self
            .clients("dsp")?
            .classification()?
            .batch_classify(batch)
            .await;
        let results = answer
            .context("the batch was refused")?
            .into_inner()
            .results;
        for (told, result) in messages.into_iter().zip(results) {
            self.step("dsp", told.what, told.while_flagged, say(result.result));
        }
        Ok(())
    }

    /// The end of act 9.
    pub(super) async fn read_is_delivered_again(&mut self) -> Result<()> {
        let profile = request("4.8.1", self.home(0).esme())?;
        self.classify("reads the ESME's half-hours again", profile, DELIVER)
            .await?;
        let gas = request("4.6.1", self.home(0).gpf())?;
        self.classify("reads the gas, whose flag nobody lifted", gas, SUPPRESS)
            .await
    }

    async fn classify(&mut self, what: &str, content: Content, expected: &str) -> Result<()> {
        let mut client = self.clients("dsp")?.classification()?;
        let request = wire::ClassifyRequest {
            message: Some(message(content)),
            at_least: self.flag_position.clone(),
        };
        let answer = client.classify(request).await;
        self.step(
            "dsp",
            what,
            expected,
            line(answer, |answer| {
                say(answer.decision.map(decision_result::Result::Decision))
            }),
        );
        Ok(())
    }
}

fn message(content: Content) -> wire::Message {
    wire::Message {
        content: Some(content),
        origin: wire::Origin::Unspecified.into(),
    }
}

fn request(variant: &str, device: DeviceId) -> Result<Content> {
    let supplier = ALBION.entity().eui64();
    let text = samples::duis_request(
        &Policy::builtin(),
        variant.parse()?,
        supplier,
        device,
        1_000,
    );
    Ok(Content::DuisXml(
        text.context("the variant is in the tables")?.into(),
    ))
}

fn messages(town: u32) -> Result<Vec<Told>> {
    let home = Home::in_town(town, 0);
    let neighbour = Home::in_town(town, NEIGHBOUR);
    let supplier = ALBION.entity().eui64();
    let policy = Policy::builtin();
    let told = |what, content, while_flagged| Told {
        what,
        content,
        while_flagged,
    };
    let read = samples::gbcs_response(MessageCode(0x0027), home.esme(), supplier, 1_001);
    let outage = samples::gbcs_alert(
        MessageCode(0x0067),
        AlertCode(0x8F36),
        samples::AlertEncoding::Dlms,
        home.esme(),
        supplier,
        2_000,
    );
    let billing = samples::gbcs_alert(
        MessageCode(0x0061),
        AlertCode(0x8F0A),
        samples::AlertEncoding::Dlms,
        home.esme(),
        supplier,
        2_001,
    );
    let tamper = samples::gbcs_alert(
        MessageCode(0x1000),
        AlertCode(0x8F3F),
        samples::AlertEncoding::Gbz,
        home.gsme(),
        supplier,
        2_002,
    );
    let schedule = samples::duis_schedule(&policy, "4.8.1".parse()?, supplier, home.esme(), 1_002);
    let schedule = schedule.context("the variant is in the tables")?;
    let device_alert = samples::duis_device_alert(supplier, AlertCode(0x8F3F), &tamper);
    Ok(vec![
        told(
            "reads the ESME's half-hours (DUIS 4.8.1)",
            request("4.8.1", home.esme())?,
            SUPPRESS,
        ),
        told(
            "reads the ESME's registers (DUIS 4.1.1)",
            request("4.1.1", home.esme())?,
            SUPPRESS,
        ),
        told(
            "reads the gas day by day from the GPF (DUIS 4.6.1)",
            request("4.6.1", home.gpf())?,
            SUPPRESS,
        ),
        told(
            "reads network data of the GSME: 6-minute consumption (DUIS 4.10)",
            request("4.10", home.gsme())?,
            SUPPRESS,
        ),
        told(
            "schedules half-hourly reads (DUIS 5.1 with 4.8.1)",
            Content::DuisXml(schedule.into()),
            SUPPRESS,
        ),
        told(
            "passes on registers that were read before (GBCS 0x0027)",
            Content::Gbcs(read.octets().into()),
            SUPPRESS,
        ),
        told(
            "reads network data of the ESME: voltage (DUIS 4.10)",
            request("4.10", home.esme())?,
            DELIVER,
        ),
        told(
            "reads exports (DUIS 4.8.3)",
            request("4.8.3", home.esme())?,
            DELIVER,
        ),
        told(
            "tops up a prepayment (DUIS 2.2)",
            request("2.2", home.esme())?,
            DELIVER,
        ),
        told(
            "activates firmware (DUIS 11.3)",
            request("11.3", home.gsme())?,
            DELIVER,
        ),
        told(
            "replaces security credentials (DUIS 6.15.1)",
            request("6.15.1", home.esme())?,
            DELIVER,
        ),
        told(
            "passes on a supply-restored alert (GBCS 0x8F36)",
            Content::Gbcs(outage.octets().into()),
            DELIVER,
        ),
        told(
            "passes on a tamper alert (DUIS, 0x8F3F)",
            Content::DuisXml(device_alert.into()),
            DELIVER,
        ),
        told(
            "passes on a critical alert that carries registers (GBCS 0x8F0A)",
            Content::Gbcs(billing.octets().into()),
            DELIVER,
        ),
        told(
            "reads a neighbour's half-hours (DUIS 4.8.1)",
            request("4.8.1", neighbour.esme())?,
            DELIVER,
        ),
    ])
}

fn say(result: Option<decision_result::Result>) -> String {
    match result {
        Some(decision_result::Result::Decision(decision)) => {
            let verdict = decision.verdict().as_str_name();
            verdict
                .strip_prefix("VERDICT_")
                .unwrap_or(verdict)
                .to_owned()
        }
        Some(decision_result::Result::Status(status)) => status.message,
        None => "nothing".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neighbour_is_nobody_special() {
        assert_eq!(
            Home::new(NEIGHBOUR).special(),
            crate::sample::Special::Ordinary
        );
    }

    #[test]
    fn every_message_of_the_story_can_be_written() {
        assert_eq!(messages(0).unwrap().len(), 15);
    }
}
