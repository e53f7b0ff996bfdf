//! The rules of all methods, read from the contracts' descriptor set at start.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use mesh_api::authorization::v1 as wire;
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value,
};

use crate::extract::{FieldPath, Shape};
use crate::{Role, Roles};

/// The methods of the standard services that any server of the mesh offers. They are no part of our
/// contracts, hence no options. Health answers anybody who completes the handshake, so that an
/// orchestrator without a certificate can probe; reflection is for those who may see everything.
const STANDARD: [(&str, StandardRule); 3] = [
    ("/grpc.health.v1.Health/", StandardRule::Anyone),
    (
        "/grpc.reflection.v1.ServerReflection/",
        StandardRule::Inspectors,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/",
        StandardRule::Inspectors,
    ),
];

#[derive(Debug, Clone, Copy)]
enum StandardRule {
    Anyone,
    Inspectors,
}

/// A contract that no server starts with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The descriptor set cannot be read.
    #[error("the descriptor set cannot be read: {0}")]
    Descriptor(String),
    /// The service is not in the descriptor set.
    #[error("the descriptor set has no service {0}")]
    NoSuchService(String),
    /// A method has no rule.
    #[error("{0} has no authorization rule")]
    NoRule(String),
    /// A grant names no role.
    #[error("a grant of {0} names no role")]
    NoRole(String),
    /// A grant names a field that is not a string field of the request.
    #[error("{method}: the request has no string field {field}")]
    NoSuchField {
        /// The method.
        method: String,
        /// The path that the rule gives.
        field: String,
    },
    /// A condition on a field cannot be checked before a client stream has ended.
    #[error("{0} streams its requests: a rule of it can only name roles")]
    ConditionOnStream(String),
    /// A condition is judged by the request, so the whole of it would be held before anybody knows
    /// whether the caller may send so much.
    #[error("{0} takes large requests: a rule of it can only name roles")]
    ConditionOnLarge(String),
    /// A lease is of registration's own answer.
    #[error("{0} writes: it needs registration's answer")]
    LeaseOfFollowed(String),
    /// Two grants of a method name Device fields, one names a Device and another a party or CSP, or
    /// a batch is scoped to a party or CSP.
    #[error("the grants of {0} do not agree on their fields")]
    Disagreeing(String),
}

/// What a method demands.
#[derive(Debug)]
pub(crate) enum MethodRule {
    /// Everybody, without a certificate too.
    Anyone,
    /// Whoever a grant admits.
    Grants(Grants),
}

#[derive(Debug)]
pub(crate) struct Grants {
    pub(crate) method: Arc<str>,
    pub(crate) by_role: Roles,
    pub(crate) responsible: Option<Responsible>,
    pub(crate) own: Vec<(Roles, Own, FieldPath)>,
}

#[derive(Debug)]
pub(crate) struct Responsible {
    pub(crate) roles: Roles,
    pub(crate) device: FieldPath,
    pub(crate) followed_suffices: bool,
    pub(crate) leased: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    Csp,
    Party,
}

/// The rules of the methods that a server offers.
#[derive(Debug)]
pub struct Rules(HashMap<String, MethodRule, RandomState>);

impl Rules {
    /// Reads the rules of `services`, given by their full names, from the project's contracts.
    /// Fails if a method has no rule, or one that could not be carried out.
    pub fn of_services(services: &[&str]) -> Result<Self, RuleError> {
        Self::read(mesh_api::FILE_DESCRIPTOR_SET, services)
    }

    /// The same from any contracts: an encoded `google.protobuf.FileDescriptorSet`.
    pub fn read(descriptor_set: &[u8], services: &[&str]) -> Result<Self, RuleError> {
        let descriptor_error =
            |error: prost_reflect::DescriptorError| RuleError::Descriptor(error.to_string());
        let pool = DescriptorPool::decode(descriptor_set).map_err(descriptor_error)?;
        let mut rules = HashMap::default();
        for name in services {
            let service = pool
                .get_service_by_name(name)
                .ok_or_else(|| RuleError::NoSuchService((*name).to_owned()))?;
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let grants = grants(&pool, &method, &path)?;
                rules.insert(path, MethodRule::Grants(grants));
            }
        }
        Ok(Self(rules))
    }

    /// The rule of the method at `path`, such as `/mp169.flag_registry.v1.FlagService/AddFlag`.
    pub(crate) fn of(&self, path: &str) -> Option<&MethodRule> {
        if let Some(rule) = self.0.get(path) {
            return Some(rule);
        }
        let (_, standard) = STANDARD
            .iter()
            .find(|(prefix, _)| path.starts_with(prefix))?;
        Some(match standard {
            StandardRule::Anyone => &MethodRule::Anyone,
            StandardRule::Inspectors => inspectors(),
        })
    }
}

fn inspectors() -> &'static MethodRule {
    static RULE: std::sync::OnceLock<MethodRule> = std::sync::OnceLock::new();
    RULE.get_or_init(|| {
        MethodRule::Grants(Grants {
            method: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".into(),
            by_role: Roles::from_iter([Role::Operator, Role::Auditor]),
            responsible: None,
            own: vec![],
        })
    })
}

fn grants(
    pool: &DescriptorPool,
    method: &MethodDescriptor,
    path: &str,
) -> Result<Grants, RuleError> {
    let rule = rule_option(pool, method).ok_or_else(|| RuleError::NoRule(path.to_owned()))?;
    let mut grants = Grants {
        method: path.into(),
        by_role: Roles::default(),
        responsible: None,
        own: vec![],
    };
    for grant in &rule.allow {
        let roles: Roles = grant.roles().collect();
        if roles.is_empty() {
            return Err(RuleError::NoRole(path.to_owned()));
        }
        let Some(condition) = &grant.condition else {
            grants.by_role = [grants.by_role, roles].into_iter().collect();
            continue;
        };
        if method.is_client_streaming() {
            return Err(RuleError::ConditionOnStream(path.to_owned()));
        }
        if option(pool, method, "mp169.authorization.v1.request_octets").is_some() {
            return Err(RuleError::ConditionOnLarge(path.to_owned()));
        }
        match condition {
            wire::grant::Condition::ResponsibleSupplier(condition) => {
                let device = field(method, path, &condition.device_id)?;
                let (followed_suffices, leased) = (condition.followed_suffices, condition.leased);
                if leased && followed_suffices {
                    return Err(RuleError::LeaseOfFollowed(path.to_owned()));
                }
                if grants.responsible.is_some() {
                    return Err(RuleError::Disagreeing(path.to_owned()));
                }
                grants.responsible = Some(Responsible {
                    roles,
                    device,
                    followed_suffices,
                    leased,
                });
            }
            wire::grant::Condition::OwnCsp(condition) => {
                grants
                    .own
                    .push((roles, Own::Csp, field(method, path, &condition.csp_id)?));
            }
            wire::grant::Condition::OwnParty(condition) => {
                grants
                    .own
                    .push((roles, Own::Party, field(method, path, &condition.party_id)?));
            }
        }
    }
    let mixed = grants.responsible.is_some() && !grants.own.is_empty();
    if mixed
        || grants
            .own
            .iter()
            .any(|(.., field)| field.shape != Shape::One)
    {
        return Err(RuleError::Disagreeing(path.to_owned()));
    }
    if rule.allow.is_empty() {
        Err(RuleError::NoRule(path.to_owned()))
    } else {
        Ok(grants)
    }
}

fn rule_option(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<wire::Rule> {
    match option(pool, method, "mp169.authorization.v1.rule")? {
        Value::Message(rule) => rule.transcode_to().ok(),
        _ => None,
    }
}

/// An option of the method, if the contract has it.
fn option(pool: &DescriptorPool, method: &MethodDescriptor, name: &str) -> Option<Value> {
    let extension = pool.get_extension_by_name(name)?;
    let options: DynamicMessage = method.options();
    options
        .has_extension(&extension)
        .then(|| options.get_extension(&extension).into_owned())
}

fn field(method: &MethodDescriptor, path: &str, text: &str) -> Result<FieldPath, RuleError> {
    let missing = || RuleError::NoSuchField {
        method: path.to_owned(),
        field: text.to_owned(),
    };
    let mut message: Option<MessageDescriptor> = Some(method.input());
    let mut numbers = Vec::new();
    let mut shape = Shape::One;
    let mut is_string = false;
    for name in text.split('.') {
        let field = message
            .take()
            .and_then(|message| message.get_field_by_name(name));
        let field = field.filter(|_| shape != Shape::List).ok_or_else(missing)?;
        match field.kind() {
            // A list of messages is what the request is: it stands first, and holds no other list.
            Kind::Message(inner) => {
                if field.is_list() && numbers.is_empty() {
                    shape = Shape::Items;
                } else if field.is_list() {
                    return Err(missing());
                }
                message = Some(inner);
            }
            kind => {
                is_string = kind == Kind::String;
                if field.is_list() && shape == Shape::Items {
                    return Err(missing());
                } else if field.is_list() {
                    shape = Shape::List;
                }
            }
        }
        numbers.push(field.number());
    }
    if is_string {
        Ok(FieldPath {
            text: text.to_owned(),
            numbers,
            shape,
        })
    } else {
        Err(missing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: [&str; 8] = [
        "mp169.registration.v1.PartyService",
        "mp169.registration.v1.DeviceService",
        "mp169.registration.v1.AuthorityService",
        "mp169.flag_registry.v1.FlagService",
        "mp169.classification.v1.ClassificationService",
        "mp169.csp_notification.v1.CspNotificationService",
        "mp169.reporting.v1.ReportingService",
        "mp169.operations.v1.OperationsService",
    ];

    #[test]
    fn every_method_of_the_contracts_has_a_rule_that_can_be_carried_out() {
        let rules = Rules::of_services(&SERVICES).unwrap();
        let add = rules
            .of("/mp169.flag_registry.v1.FlagService/AddFlag")
            .unwrap();
        let MethodRule::Grants(add) = add else {
            panic!("open to anyone")
        };
        let responsible = add.responsible.as_ref().unwrap();
        assert!(add.by_role.is_empty() && !responsible.followed_suffices);
        assert_eq!(responsible.device.numbers, [2]);
        assert!(
            rules
                .of("/mp169.flag_registry.v1.FlagService/Nothing")
                .is_none()
        );
        assert!(matches!(
            rules.of("/grpc.health.v1.Health/Check"),
            Some(MethodRule::Anyone)
        ));
    }

    #[test]
    fn a_method_without_a_rule_stops_the_start() {
        let stripped = without_options(mesh_api::FILE_DESCRIPTOR_SET);
        let error = Rules::read(&stripped, &SERVICES).unwrap_err();
        assert!(matches!(error, RuleError::NoRule(_)), "{error}");
        assert_eq!(
            Rules::of_services(&["mp169.Missing"]).unwrap_err(),
            RuleError::NoSuchService("mp169.Missing".into())
        );
    }

    /// A role admitted by one kind of field must not be judged by the other.
    #[test]
    fn a_method_cannot_be_about_a_device_and_about_own_data() {
        let own = wire::grant::Condition::OwnParty(wire::OwnParty {
            party_id: "page_token".into(),
        });
        let grant = wire::Grant {
            roles: vec![Role::RegisteredSupplierAgent.into()],
            condition: Some(own),
        };
        let contracts = with_grant("ListFlagEvents", &grant);
        let error = Rules::read(&contracts, &["mp169.flag_registry.v1.FlagService"]).unwrap_err();
        let path = "/mp169.flag_registry.v1.FlagService/ListFlagEvents";
        assert_eq!(error, RuleError::Disagreeing(path.into()));
    }

    /// Whoever may not call must be refused before a large message is held to find that out.
    #[test]
    fn a_method_that_takes_large_requests_is_open_to_roles_alone() {
        let own = wire::grant::Condition::OwnParty(wire::OwnParty {
            party_id: "page_token".into(),
        });
        let grant = wire::Grant {
            roles: vec![Role::ImportSupplier.into()],
            condition: Some(own),
        };
        let contracts = with_grant("BatchClassify", &grant);
        let service = "mp169.classification.v1.ClassificationService";
        let error = Rules::read(&contracts, &[service]).unwrap_err();
        let path = format!("/{service}/BatchClassify");
        assert_eq!(error, RuleError::ConditionOnLarge(path));
    }

    /// The contracts with one more grant of a method.
    fn with_grant(method: &str, grant: &wire::Grant) -> Vec<u8> {
        use prost::Message;
        use prost_reflect::ReflectMessage;
        let pool = DescriptorPool::decode(mesh_api::FILE_DESCRIPTOR_SET).unwrap();
        let extension = pool
            .get_extension_by_name("mp169.authorization.v1.rule")
            .unwrap();
        let method = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .find(|known| known.name() == method)
            .unwrap();
        let mut rule = rule_option(&pool, &method).unwrap();
        rule.allow.push(grant.clone());
        let set = pool
            .get_message_by_name("google.protobuf.FileDescriptorSet")
            .unwrap();
        let mut set = DynamicMessage::decode(set, mesh_api::FILE_DESCRIPTOR_SET).unwrap();
        let Value::Message(value) = method.options().get_extension(&extension).into_owned() else {
            panic!("the rule is a message")
        };
        let rule = DynamicMessage::decode(value.descriptor(), rule.encode_to_vec().as_slice());
        let options = option_of(&mut set, method.name());
        options.set_extension(&extension, Value::Message(rule.unwrap()));
        set.encode_to_vec()
    }

    fn option_of<'s>(set: &'s mut DynamicMessage, method: &str) -> &'s mut DynamicMessage {
        let is_named = |message: &&mut DynamicMessage| {
            message.get_field_by_name("name").unwrap().as_str() == Some(method)
        };
        let method = messages(set, "file")
            .flat_map(|file| messages(file, "service"))
            .flat_map(|service| messages(service, "method"))
            .find(is_named)
            .unwrap();
        let options = method.get_field_by_name_mut("options").unwrap();
        options.as_message_mut().unwrap()
    }

    fn messages<'m>(
        message: &'m mut DynamicMessage,
        field: &str,
    ) -> impl Iterator<Item = &'m mut DynamicMessage> {
        let list = message.get_field_by_name_mut(field).unwrap();
        list.as_list_mut()
            .unwrap()
            .iter_mut()
            .map(|item| item.as_message_mut().unwrap())
    }

    /// The same contracts through `FileDescriptorSet`, which drops custom options.
    fn without_options(set: &[u8]) -> Vec<u8> {
        use prost::Message;
        prost_types::FileDescriptorSet::decode(set)
            .unwrap()
            .encode_to_vec()
    }
}
