//! The four tables that say which rule belongs to which code.

use hashbrown::HashMap;

use super::{Builder, Place, Standing};
use crate::codes::{AlertCode, DccAlertCode, MessageCode, Srv};
use crate::policy::text::{AlertRow, DccAlertRow, MessageRow, ServiceRequestRow};
use crate::policy::violation::Problem;
use crate::policy::{
    ByDeviceType, DccAlert, DeviceAlert, Entry, GbcsMessage, ServiceRequest, Treatment,
};

const SERVICE_REQUESTS: &str = "service_requests.csv";
const MESSAGES: &str = "messages.csv";
const ALERTS: &str = "alerts.csv";
const DCC_ALERTS: &str = "dcc_alerts.csv";

const ROLES: [&str; 8] = ["", "IS", "ES", "GS", "RSA", "ED", "GT", "OU"];

impl Builder {
    pub(super) fn service_requests(&mut self, text: &str) -> Vec<(Srv, ServiceRequest)> {
        let table = SERVICE_REQUESTS;
        let mut by_element: HashMap<String, String> = HashMap::new();
        let mut built = Vec::new();
        for row in self.rows(table, text, |row: &ServiceRequestRow| &row.variant) {
            let place = Place {
                table,
                row: &row.variant,
            };
            self.filled(place, "body_element", &row.body_element);
            if let Some(other) = by_element.insert(row.body_element.clone(), row.variant.clone()) {
                self.fault(place, Problem::BodyElementShared(other));
            }
            built.extend(self.service_request(place, &row));
        }
        built
    }

    fn service_request(
        &mut self,
        place: Place<'_>,
        row: &ServiceRequestRow,
    ) -> Option<(Srv, ServiceRequest)> {
        let future_dated = &row.future_dated;
        self.among(
            place,
            "future_dated",
            future_dated,
            &["no", "dsp", "device"],
        );
        self.among(place, "eligible_roles", &row.eligible_roles, &ROLES);
        let critical = self.yes_or_no(place, "critical", &row.critical);
        let non_device = self.yes_or_no(place, "non_device", &row.non_device);
        let dcc_scheduled = self.yes_or_no(place, "dcc_scheduled", &row.dcc_scheduled);
        let srv: Option<Srv> = self.code(place, "variant", &row.variant);
        let standing = Standing {
            critical: critical?,
            acknowledged: false,
        };
        let entry = self.entry(place, "srv", &row.rule, standing)?;
        let by_device_type = self.by_device_type(place, row, &entry);
        let srv = srv?;
        match entry.treatment {
            Treatment::ByAlertCode | Treatment::NotApplicable => {
                self.misplaced(place, "it is a Service Request");
            }
            Treatment::BySchedule if srv != Srv::CREATE_SCHEDULE => {
                self.misplaced(place, "it creates no schedule");
            }
            Treatment::ByPayload if srv != Srv::RETURN_LOCAL_COMMAND_RESPONSE => {
                self.misplaced(place, "it hands nothing in");
            }
            _ => {}
        }
        let request = ServiceRequest {
            srv,
            name: row.name.as_str().into(),
            body_element: row.body_element.as_str().into(),
            non_device: non_device?,
            dcc_scheduled: dcc_scheduled?,
            target_device_types: row.target_device_types.as_str().into(),
            use_cases: row.use_cases.as_str().into(),
            entry,
            by_device_type,
        };
        Some((srv, request))
    }

    /// `ESME=rule;GSME=rule;GPF=rule;*=rule`, in this order, and only for a rule that asks for it.
    fn by_device_type(
        &mut self,
        place: Place<'_>,
        row: &ServiceRequestRow,
        entry: &Entry,
    ) -> Option<ByDeviceType> {
        let text = &row.rule_by_device_type;
        let asked = entry.treatment == Treatment::ByDeviceType;
        if !asked && text.is_empty() {
            return None;
        }
        let parts: Vec<_> = text.split(';').map(|part| part.split_once('=')).collect();
        let (
            true,
            [
                Some(("ESME", esme)),
                Some(("GSME", gsme)),
                Some(("GPF", gpf)),
                Some(("*", other)),
            ],
        ) = (asked, parts.as_slice())
        else {
            self.value(place, "rule_by_device_type", text);
            return None;
        };
        let standing = Standing {
            critical: entry.critical,
            acknowledged: entry.acknowledged,
        };
        let mut plain = |rule: &str| self.plain_entry(place, "srv", rule, standing);
        Some(ByDeviceType {
            esme: plain(esme)?,
            gsme: plain(gsme)?,
            gpf: plain(gpf)?,
            other: plain(other)?,
        })
    }

    pub(super) fn messages(&mut self, text: &str) -> Vec<(MessageCode, GbcsMessage)> {
        let table = MESSAGES;
        let mut built = Vec::new();
        for row in self.rows(table, text, |row: &MessageRow| &row.code) {
            let place = Place {
                table,
                row: &row.code,
            };
            built.extend(self.message(place, &row));
        }
        built
    }

    fn message(
        &mut self,
        place: Place<'_>,
        row: &MessageRow,
    ) -> Option<(MessageCode, GbcsMessage)> {
        let kinds = ["command", "response", "alert", "han"];
        self.among(place, "kinds", &row.kinds, &kinds);
        let code: Option<MessageCode> = self.code(place, "code", &row.code);
        let criticality = self.criticality(place, &row.criticality);
        let mut carried = None;
        if !row.alert.is_empty() {
            carried = self.code::<AlertCode>(place, "alert", &row.alert);
        }
        let mut service_requests = Vec::new();
        for part in row
            .service_requests
            .split(';')
            .filter(|part| !part.is_empty())
        {
            service_requests.extend(self.code::<Srv>(place, "service_requests", part));
        }
        let codes = [code.map(|code| code.0), carried.map(|code| code.0)];
        let standing = self.standing(criticality.is_critical(), codes);
        let entry = self.entry(place, "gbcs", &row.rule, standing)?;
        match entry.treatment {
            Treatment::ByDeviceType | Treatment::BySchedule | Treatment::ByPayload => {
                self.misplaced(place, "it is a GBCS message");
            }
            Treatment::NotApplicable if row.kinds != "han" => {
                self.misplaced(place, "it reaches the DCC");
            }
            _ => {}
        }
        let code = code?;
        let message = GbcsMessage {
            code,
            use_case: row.use_case.as_str().into(),
            title: row.title.as_str().into(),
            message_type: row.message_type.as_str().into(),
            target: row.target.as_str().into(),
            criticality,
            service_requests: service_requests.into(),
            entry,
        };
        Some((code, message))
    }

    pub(super) fn alerts(&mut self, text: &str) -> Vec<(AlertCode, DeviceAlert)> {
        let table = ALERTS;
        let mut built = Vec::new();
        for row in self.rows(table, text, |row: &AlertRow| &row.code) {
            let place = Place {
                table,
                row: &row.code,
            };
            self.among(place, "family", &row.family, &["0x80", "0x81", "0x8F"]);
            let code: Option<AlertCode> = self.code(place, "code", &row.code);
            let criticality = self.criticality(place, &row.criticality);
            let standing =
                self.standing(criticality.is_critical(), [code.map(|code| code.0), None]);
            let entry = self.plain_entry(place, "alert", &row.rule, standing);
            let (Some(code), Some(entry)) = (code, entry) else {
                continue;
            };
            let alert = DeviceAlert {
                code,
                name: row.name.into(),
                criticality,
                entry,
            };
            built.push((code, alert));
        }
        built
    }

    pub(super) fn dcc_alerts(&mut self, text: &str) -> Vec<(DccAlertCode, DccAlert)> {
        let table = DCC_ALERTS;
        let mut built = Vec::new();
        for row in self.rows(table, text, |row: &DccAlertRow| &row.code) {
            let place = Place {
                table,
                row: &row.code,
            };
            self.among(place, "evidence", &row.evidence, &["published", "recalled"]);
            let code = self.code(place, "code", &row.code);
            let entry = self.plain_entry(place, "dcc", &row.rule, Standing::ORDINARY);
            let (Some(code), Some(entry)) = (code, entry) else {
                continue;
            };
            if entry.treatment != Treatment::Deliver {
                self.misplaced(place, "the DCC holds no readings");
            }
            let name = row.name.into();
            built.push((code, DccAlert { code, name, entry }));
        }
        built
    }
}
