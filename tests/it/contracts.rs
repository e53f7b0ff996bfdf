//! Do the contracts keep the rules of their form? What `buf lint` checks (STANDARD and COMMENTS),
//! for machines without buf.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
};

/// The numbers by which source information names the parts of a file.
mod part {
    pub(super) const MESSAGE: i32 = 4;
    pub(super) const ENUM: i32 = 5;
    pub(super) const SERVICE: i32 = 6;
    pub(super) const EXTENSION: i32 = 7;
    pub(super) const FIELD_OF_MESSAGE: i32 = 2;
    pub(super) const MESSAGE_OF_MESSAGE: i32 = 3;
    pub(super) const ENUM_OF_MESSAGE: i32 = 4;
    pub(super) const ONEOF_OF_MESSAGE: i32 = 8;
    pub(super) const VALUE_OF_ENUM: i32 = 2;
    pub(super) const METHOD_OF_SERVICE: i32 = 2;
}

/// What was found in one file.
struct Check<'f> {
    file: &'f FileDescriptorProto,
    /// The places that have a comment before them.
    commented: BTreeSet<&'f [i32]>,
    faults: Vec<String>,
}

/// A part of a file: the place that source information gives it, and its name.
#[derive(Clone)]
struct Place {
    path: Vec<i32>,
    name: String,
}

impl Place {
    fn of(number: i32, index: usize, name: &str) -> Self {
        Self {
            path: vec![number, at(index)],
            name: name.to_owned(),
        }
    }

    fn inner(&self, number: i32, index: usize, name: &str) -> Self {
        let path = [self.path.as_slice(), &[number, at(index)]].concat();
        Self {
            path,
            name: format!("{}.{name}", self.name),
        }
    }
}

fn at(index: usize) -> i32 {
    i32::try_from(index).unwrap()
}

impl<'f> Check<'f> {
    fn new(file: &'f FileDescriptorProto) -> Self {
        let source = file
            .source_code_info
            .as_ref()
            .expect("the set keeps source information");
        let commented = source
            .location
            .iter()
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| location.path.as_slice());
        Self {
            file,
            commented: commented.collect(),
            faults: Vec::new(),
        }
    }

    fn demand(&mut self, holds: bool, place: &str, what: &str) {
        if !holds {
            self.faults
                .push(format!("{}: {place}: {what}", self.file.name()));
        }
    }

    fn documented(&mut self, place: &Place) {
        let commented = self.commented.contains(place.path.as_slice());
        self.demand(commented, &place.name, "has no comment");
    }

    fn whole_file(mut self) -> Vec<String> {
        let file = self.file;
        let package = file.package();
        let (folder, name) = file.name().rsplit_once('/').unwrap();
        self.demand(
            folder == package.replace('.', "/"),
            package,
            "is not the file's folder",
        );
        let version = package.rsplit('.').next().unwrap();
        let number = version
            .strip_prefix('v')
            .and_then(|number| number.parse::<u32>().ok());
        self.demand(number.is_some(), package, "does not end in a version");
        self.demand(
            is_snake(&package.replace('.', "_")),
            package,
            "is not in lower case",
        );
        self.demand(
            is_snake(name.trim_end_matches(".proto")),
            name,
            "is not in lower_snake_case",
        );
        self.demand(file.syntax() == "proto3", name, "is not proto3");
        for (index, message) in file.message_type.iter().enumerate() {
            self.message(&Place::of(part::MESSAGE, index, message.name()), message);
        }
        for (index, r#enum) in file.enum_type.iter().enumerate() {
            self.r#enum(&Place::of(part::ENUM, index, r#enum.name()), r#enum);
        }
        for (index, service) in file.service.iter().enumerate() {
            self.service(&Place::of(part::SERVICE, index, service.name()), service);
        }
        for (index, extension) in file.extension.iter().enumerate() {
            self.documented(&Place::of(part::EXTENSION, index, extension.name()));
        }
        self.faults
    }

    fn message(&mut self, place: &Place, message: &DescriptorProto) {
        self.documented(place);
        self.demand(
            is_pascal(message.name()),
            &place.name,
            "is not in PascalCase",
        );
        for (index, field) in message.field.iter().enumerate() {
            let inner = place.inner(part::FIELD_OF_MESSAGE, index, field.name());
            self.documented(&inner);
            self.demand(
                is_snake(field.name()),
                &inner.name,
                "is not in lower_snake_case",
            );
        }
        for (index, oneof) in message.oneof_decl.iter().enumerate() {
            // A field that is `optional` stands in a oneof that the compiler made up.
            if !oneof.name().starts_with('_') {
                self.documented(&place.inner(part::ONEOF_OF_MESSAGE, index, oneof.name()));
            }
        }
        for (index, nested) in message.nested_type.iter().enumerate() {
            self.message(
                &place.inner(part::MESSAGE_OF_MESSAGE, index, nested.name()),
                nested,
            );
        }
        for (index, nested) in message.enum_type.iter().enumerate() {
            self.r#enum(
                &place.inner(part::ENUM_OF_MESSAGE, index, nested.name()),
                nested,
            );
        }
    }

    fn r#enum(&mut self, place: &Place, r#enum: &EnumDescriptorProto) {
        self.documented(place);
        self.demand(
            is_pascal(r#enum.name()),
            &place.name,
            "is not in PascalCase",
        );
        let prefix = upper_snake(r#enum.name());
        for (index, value) in r#enum.value.iter().enumerate() {
            let inner = place.inner(part::VALUE_OF_ENUM, index, value.name());
            self.documented(&inner);
            let rest = value.name().strip_prefix(&format!("{prefix}_"));
            self.demand(
                rest.is_some(),
                &inner.name,
                "does not begin with the enum's name",
            );
            self.demand(
                (value.number() == 0) == (rest == Some("UNSPECIFIED")),
                &inner.name,
                "the zero value, and no other, is UNSPECIFIED",
            );
        }
        let zero = r#enum
            .value
            .first()
            .is_some_and(|value| value.number() == 0);
        self.demand(zero, &place.name, "does not begin with zero");
        let numbers: BTreeSet<i32> = r#enum.value.iter().map(|value| value.number()).collect();
        let distinct = numbers.len() == r#enum.value.len();
        self.demand(distinct, &place.name, "gives a number twice");
    }

    fn service(&mut self, place: &Place, service: &ServiceDescriptorProto) {
        self.documented(place);
        let named = is_pascal(service.name()) && service.name().ends_with("Service");
        self.demand(
            named,
            &place.name,
            "is not in PascalCase with the suffix Service",
        );
        for (index, method) in service.method.iter().enumerate() {
            let inner = place.inner(part::METHOD_OF_SERVICE, index, method.name());
            self.documented(&inner);
            self.demand(
                is_pascal(method.name()),
                &inner.name,
                "is not in PascalCase",
            );
            let own = |suffix| format!(".{}.{}{suffix}", self.file.package(), method.name());
            let (request, response) = (own("Request"), own("Response"));
            self.demand(
                method.input_type() == request,
                &inner.name,
                "lacks its own request",
            );
            self.demand(
                method.output_type() == response,
                &inner.name,
                "lacks its own response",
            );
        }
    }
}

fn is_snake(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed)
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// `FlagState` as `FLAG_STATE`.
fn upper_snake(name: &str) -> String {
    let mut upper = String::new();
    for (index, c) in name.char_indices() {
        if c.is_ascii_uppercase() && index > 0 {
            upper.push('_');
        }
        upper.push(c.to_ascii_uppercase());
    }
    upper
}

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(mesh_api::FILE_DESCRIPTOR_SET).unwrap();
    let ours = set
        .file
        .into_iter()
        .filter(|file| file.name().starts_with("mp169/"));
    ours.collect()
}

fn methods(files: &[FileDescriptorProto]) -> impl Iterator<Item = &MethodDescriptorProto> {
    files
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method)
}

#[test]
fn every_contract_keeps_the_rules_of_its_form() {
    let files = files();
    let packages: BTreeSet<&str> = files.iter().map(FileDescriptorProto::package).collect();
    assert_eq!(
        packages.len(),
        9,
        "five services, what they share, the rules, the audit and operations: {packages:?}"
    );
    let faults: Vec<String> = files
        .iter()
        .flat_map(|file| Check::new(file).whole_file())
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_two_rpcs_share_a_message() {
    let files = files();
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for method in methods(&files) {
        for message in [method.input_type(), method.output_type()] {
            users.entry(message).or_default().push(method.name());
        }
    }
    users.retain(|_, users| users.len() > 1);
    assert!(users.is_empty(), "{users:?}");
    assert!(methods(&files).count() >= 25);
}

#[test]
fn every_event_says_first_what_its_stamp_says() {
    let files = files();
    let stamp_of = |name: &str| {
        let mut messages = files.iter().flat_map(|file| &file.message_type);
        let message = messages.find(|message| message.name() == name).unwrap();
        let fields = message.field.iter().take(2);
        let kinds = fields.map(|field| (field.name(), field.number(), field.type_name()));
        kinds.collect::<Vec<_>>()
    };
    for event in [
        "PartyEvent",
        "DeviceEvent",
        "FlagEvent",
        "CspFlagChange",
        "AuditEvent",
    ] {
        assert_eq!(stamp_of(event), stamp_of("EventStamp"), "{event}");
    }
}

#[test]
fn the_check_finds_what_it_looks_for() {
    let mut files = files();
    let file = files
        .iter_mut()
        .find(|file| file.name().ends_with("/flag.proto"))
        .unwrap();
    assert_eq!(Check::new(file).whole_file(), [""; 0]);
    file.source_code_info.as_mut().unwrap().location.clear();
    file.service[0].method[0].input_type = Some(".google.protobuf.Empty".into());
    file.enum_type[0].value[0].name = Some("NOTHING".into());
    file.message_type[0].field[0].name = Some("deviceId".into());
    let faults = Check::new(file).whole_file().join("\n");
    for fault in [
        "FlagService.AddFlag: has no comment",
        "FlagService.AddFlag: lacks its own request",
        "Precondition.NOTHING: does not begin with the enum's name",
        "Precondition.NOTHING: the zero value",
        "FlagEntry.deviceId: is not in lower_snake_case",
    ] {
        assert!(faults.contains(fault), "{fault} is not among\n{faults}");
    }
}
