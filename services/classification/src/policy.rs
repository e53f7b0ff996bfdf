//! Which rule belongs to which code, and is the policy safe to use.
//!
//! The policy is data: [`PolicyText`] is what people review, [`Policy`] what decisions read. Only a
//! text without a fault becomes a policy: [`Policy::load`] reports all faults together. Whatever a
//! policy says, a class that must be delivered is delivered: [`decide`](crate::decide) checks again.

mod build;
mod class;
mod table;
mod text;
mod violation;

use std::sync::{Arc, LazyLock};

use hashbrown::HashMap;

pub use self::class::{Class, Criticality, Treatment};
pub use self::text::PolicyText;
pub use self::violation::{PolicyError, Problem, Violation};

use self::table::Table;
use crate::codes::{AlertCode, DccAlertCode, MessageCode, Srv};
use crate::message::DeviceType;

/// Why messages are treated as they are: many codes share one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The stable id, such as `consumption.profile-active`.
    pub id: Arc<str>,
    /// What the content of the messages is.
    pub class: Class,
    /// What is done with them for a flagged Device.
    pub treatment: Treatment,
    /// The reason, in one sentence.
    pub reason: Arc<str>,
}

/// A rule's place in its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RuleRef(u16);

/// What a row of a table says about suppressing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The id of the row: `srv/4.8.1`, `gbcs/0x0061`, `alert/0x8F0A`, `dcc/N24` or `fallback/receipt`.
    pub id: Arc<str>,
    rule: RuleRef,
    /// The class of its rule.
    pub class: Class,
    /// What is done for a flagged Device; differs from the rule's where the manifest names the code.
    pub treatment: Treatment,
    /// Whether GBCS counts the message as critical.
    pub critical: bool,
    /// Whether the manifest names the code in `suppress_critical`.
    pub acknowledged: bool,
}

impl Entry {
    /// Whether suppressing is within bounds at all, whatever the treatment says.
    #[must_use]
    pub const fn may_be_suppressed(&self) -> bool {
        self.class.may_be_suppressed() && (!self.critical || self.acknowledged)
    }
}

/// A Service Request Variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRequest {
    /// The variant.
    pub srv: Srv,
    /// Its name.
    pub name: Box<str>,
    /// Its one element in the body of a request.
    pub body_element: Box<str>,
    /// Whether it goes to the DCC itself (Command Variant 8).
    pub non_device: bool,
    /// Whether the DSP can schedule it.
    pub dcc_scheduled: bool,
    /// The types of Device that it can be sent to, separated by `;`.
    pub target_device_types: Box<str>,
    /// The GBCS use cases that carry it out, separated by `;`.
    pub use_cases: Box<str>,
    /// What is done with it.
    pub entry: Entry,
    /// Where that depends on the type of the Device: what is done for each.
    pub by_device_type: Option<ByDeviceType>,
}

/// What is done with a message for each type of Device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByDeviceType {
    pub(crate) esme: Entry,
    pub(crate) gsme: Entry,
    pub(crate) gpf: Entry,
    pub(crate) other: Entry,
}

impl ByDeviceType {
    /// What is done for a Device of `device_type`.
    #[must_use]
    pub const fn entry(&self, device_type: DeviceType) -> &Entry {
        match device_type {
            DeviceType::Esme => &self.esme,
            DeviceType::Gsme => &self.gsme,
            DeviceType::Gpf => &self.gpf,
            DeviceType::Other => &self.other,
        }
    }
}

/// A GBCS message code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GbcsMessage {
    /// The code.
    pub code: MessageCode,
    /// The use case, such as ECS17b; empty for some alerts.
    pub use_case: Box<str>,
    /// Its title.
    pub title: Box<str>,
    /// Its type in the use case, such as SME.C.NC.
    pub message_type: Box<str>,
    /// The types of Device that it goes to, in the words of the use case.
    pub target: Box<str>,
    /// Whether it is critical.
    pub criticality: Criticality,
    /// The Service Request Variants that it carries out.
    pub service_requests: Box<[Srv]>,
    /// What is done with it.
    pub entry: Entry,
}

/// A Device's alert code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAlert {
    /// The code.
    pub code: AlertCode,
    /// Its name.
    pub name: Box<str>,
    /// Whether it is critical.
    pub criticality: Criticality,
    /// What is done with it.
    pub entry: Entry,
}

/// The code of an alert that the DCC makes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DccAlert {
    /// The code.
    pub code: DccAlertCode,
    /// Its name.
    pub name: Box<str>,
    /// What is done with it.
    pub entry: Entry,
}

/// A row of any of the tables, as it is shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'p> {
    /// The official name of what the row is about.
    pub name: &'p str,
    /// What is done with it.
    pub entry: &'p Entry,
    /// Where that depends on the type of the Device: what is done for each.
    pub by_device_type: Option<&'p ByDeviceType>,
}

/// A policy without fault. Look-ups allocate nothing.
#[derive(Debug, Clone)]
pub struct Policy {
    name: Box<str>,
    version: Arc<str>,
    hash: [u8; 32],
    rules: Vec<Rule>,
    service_requests: Table<Srv, ServiceRequest>,
    by_body_element: HashMap<Box<str>, Srv, foldhash::fast::FixedState>,
    messages: Table<MessageCode, GbcsMessage>,
    alerts: Table<AlertCode, DeviceAlert>,
    dcc_alerts: Table<DccAlertCode, DccAlert>,
    unknown_code: Entry,
    unknown_read: Entry,
    receipt: Entry,
}

impl Policy {
    /// Reads, checks and indexes a policy.
    ///
    /// # Errors
    /// Every fault of the text, if it has one.
    pub fn load(text: &PolicyText) -> Result<Self, PolicyError> {
        build::build(text)
    }

    /// The policy that is compiled in.
    #[must_use]
    pub fn builtin() -> Arc<Self> {
        static BUILTIN: LazyLock<Arc<Policy>> = LazyLock::new(|| {
            let policy = Policy::load(&PolicyText::builtin());
            Arc::new(policy.expect("the compiled-in text is checked by this crate's tests"))
        });
        BUILTIN.clone()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, as the manifest says it.
    #[must_use]
    pub const fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The SHA-256 of its text ([`PolicyText::hash`]).
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The rule of a row of this policy.
    ///
    /// # Panics
    /// May, if the row is another policy's.
    #[must_use]
    pub fn rule(&self, entry: &Entry) -> &Rule {
        &self.rules[usize::from(entry.rule.0)]
    }

    /// Every rule.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the table says about a Service Request Variant.
    #[must_use]
    pub fn service_request(&self, srv: Srv) -> Option<&ServiceRequest> {
        self.service_requests.get(srv)
    }

    /// The Service Request Variant whose body has this element.
    #[must_use]
    pub fn by_body_element(&self, element: &str) -> Option<Srv> {
        self.by_body_element.get(element).copied()
    }

    /// What the table says about a GBCS message code.
    #[must_use]
    pub fn message(&self, code: MessageCode) -> Option<&GbcsMessage> {
        self.messages.get(code)
    }

    /// What the table says about a Device's alert code.
    #[must_use]
    pub fn alert(&self, code: AlertCode) -> Option<&DeviceAlert> {
        self.alerts.get(code)
    }

    /// What the table says about a DCC alert.
    #[must_use]
    pub fn dcc_alert(&self, code: DccAlertCode) -> Option<&DccAlert> {
        self.dcc_alerts.get(code)
    }

    /// Every Service Request Variant, in order.
    #[must_use]
    pub fn service_requests(&self) -> &[ServiceRequest] {
        self.service_requests.rows()
    }

    /// Every GBCS message code, in order.
    #[must_use]
    pub fn messages(&self) -> &[GbcsMessage] {
        self.messages.rows()
    }

    /// Every Device alert code, in order.
    #[must_use]
    pub fn alerts(&self) -> &[DeviceAlert] {
        self.alerts.rows()
    }

    /// Every DCC alert that is listed, in order.
    #[must_use]
    pub fn dcc_alerts(&self) -> &[DccAlert] {
        self.dcc_alerts.rows()
    }

    /// Every row of every table, in a fixed order, and at last the fallbacks.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        const fn row<'p>(name: &'p str, entry: &'p Entry) -> Row<'p> {
            Row {
                name,
                entry,
                by_device_type: None,
            }
        }
        let requests = self.service_requests().iter().map(|request| Row {
            by_device_type: request.by_device_type.as_ref(),
            ..row(&request.name, &request.entry)
        });
        requests
            .chain(
                self.messages()
                    .iter()
                    .map(|message| row(&message.title, &message.entry)),
            )
            .chain(
                self.alerts()
                    .iter()
                    .map(|alert| row(&alert.name, &alert.entry)),
            )
            .chain(
                self.dcc_alerts()
                    .iter()
                    .map(|alert| row(&alert.name, &alert.entry)),
            )
            .chain([
                row("A code that no row lists", &self.unknown_code),
                row(
                    "A variant of the read service that no row lists",
                    &self.unknown_read,
                ),
                row("A response with nothing from a Device in it", &self.receipt),
            ])
    }

    pub(crate) const fn unknown_code(&self) -> &Entry {
        &self.unknown_code
    }

    pub(crate) const fn unknown_read(&self) -> &Entry {
        &self.unknown_read
    }

    pub(crate) const fn receipt(&self) -> &Entry {
        &self.receipt
    }
}

#[cfg(test)]
impl Policy {
    /// A policy that no text can make: every row of `class` is suppressed, as by a fault in memory.
    pub(crate) fn tampered(&self, class: Class) -> Self {
        let mut policy = self.clone();
        let mut entries: Vec<&mut Entry> = Vec::new();
        entries.extend(
            policy
                .service_requests
                .rows_mut()
                .iter_mut()
                .map(|row| &mut row.entry),
        );
        entries.extend(
            policy
                .messages
                .rows_mut()
                .iter_mut()
                .map(|row| &mut row.entry),
        );
        entries.extend(
            policy
                .alerts
                .rows_mut()
                .iter_mut()
                .map(|row| &mut row.entry),
        );
        entries.extend(
            policy
                .dcc_alerts
                .rows_mut()
                .iter_mut()
                .map(|row| &mut row.entry),
        );
        for entry in entries.into_iter().filter(|entry| entry.class == class) {
            entry.treatment = Treatment::Suppress;
        }
        policy
    }
}

#[cfg(test)]
mod tests;
