//! The policy as people write it: one manifest and six tables.

use std::borrow::Cow;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The text of a whole policy: a TOML manifest and CSV tables, each with a header line.
#[derive(Debug, Clone)]
pub struct PolicyText {
    /// `policy.toml`: name, version, fallbacks, and critical codes that are suppressed all the same.
    pub manifest: Cow<'static, str>,
    /// `classes.csv`: each class, and whether it is protected.
    pub classes: Cow<'static, str>,
    /// `rules.csv`: each rule with its class, treatment and reason.
    pub rules: Cow<'static, str>,
    /// `service_requests.csv`: each Service Request Variant.
    pub service_requests: Cow<'static, str>,
    /// `messages.csv`: each GBCS message code.
    pub messages: Cow<'static, str>,
    /// `alerts.csv`: each Device alert code.
    pub alerts: Cow<'static, str>,
    /// `dcc_alerts.csv`: the DCC's own alerts, so far as their codes are known.
    pub dcc_alerts: Cow<'static, str>,
}

impl PolicyText {
    /// The policy that is compiled in.
    #[must_use]
    pub const fn builtin() -> Self {
        Self {
            manifest: Cow::Borrowed(include_str!("../../policy/policy.toml")),
            classes: Cow::Borrowed(include_str!("../../policy/classes.csv")),
            rules: Cow::Borrowed(include_str!("../../policy/rules.csv")),
            service_requests: Cow::Borrowed(include_str!("../../policy/service_requests.csv")),
            messages: Cow::Borrowed(include_str!("../../policy/messages.csv")),
            alerts: Cow::Borrowed(include_str!("../../policy/alerts.csv")),
            dcc_alerts: Cow::Borrowed(include_str!("../../policy/dcc_alerts.csv")),
        }
    }

    /// SHA-256 over each part's name, its length (8 octets, big-endian) and its bytes, in the order of
    /// the fields.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let parts = [
            ("policy.toml", &self.manifest),
            ("classes.csv", &self.classes),
            ("rules.csv", &self.rules),
            ("service_requests.csv", &self.service_requests),
            ("messages.csv", &self.messages),
            ("alerts.csv", &self.alerts),
            ("dcc_alerts.csv", &self.dcc_alerts),
        ];
        let mut hasher = Sha256::new();
        for (name, text) in parts {
            hasher.update(name.as_bytes());
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.finalize().into()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) suppress_critical: Vec<String>,
    pub(super) fallback: Fallback,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fallback {
    pub(super) unknown_code: String,
    pub(super) unknown_read: String,
    pub(super) receipt: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassRow {
    pub(super) class: String,
    pub(super) protected: String,
    pub(super) meaning: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleRow {
    pub(super) rule: String,
    pub(super) class: String,
    pub(super) treatment: String,
    pub(super) reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceRequestRow {
    pub(super) variant: String,
    pub(super) name: String,
    pub(super) critical: String,
    pub(super) future_dated: String,
    pub(super) dcc_scheduled: String,
    pub(super) non_device: String,
    pub(super) eligible_roles: String,
    pub(super) target_device_types: String,
    pub(super) body_element: String,
    pub(super) use_cases: String,
    pub(super) rule: String,
    pub(super) rule_by_device_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageRow {
    pub(super) code: String,
    pub(super) use_case: String,
    pub(super) title: String,
    pub(super) message_type: String,
    pub(super) criticality: String,
    pub(super) kinds: String,
    pub(super) service_requests: String,
    pub(super) target: String,
    pub(super) alert: String,
    pub(super) rule: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertRow {
    pub(super) code: String,
    pub(super) name: String,
    pub(super) family: String,
    pub(super) criticality: String,
    pub(super) rule: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DccAlertRow {
    pub(super) code: String,
    pub(super) name: String,
    pub(super) evidence: String,
    pub(super) rule: String,
}
