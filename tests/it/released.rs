//! Do the contracts still hold what each release promised? The part of `buf breaking` that matters on the
//! wire, for machines without buf.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

/// What a set of contracts promises, a line for each promise. A contract that only grows loses none.
#[derive(Default)]
struct Promises(BTreeSet<String>);

impl Promises {
    fn of(set: &FileDescriptorSet) -> Self {
        let mut promises = Self::default();
        for file in &set.file {
            let package = file.package();
            if !package.starts_with("mp169.") {
                continue;
            }
            for message in &file.message_type {
                promises.message(&format!("{package}.{}", message.name()), message);
            }
            for r#enum in &file.enum_type {
                promises.r#enum(&format!("{package}.{}", r#enum.name()), r#enum);
            }
            for service in &file.service {
                promises.service(&format!("{package}.{}", service.name()), service);
            }
            for extension in &file.extension {
                promises.field(extension.extendee(), extension, &[]);
            }
        }
        promises
    }

    fn promise(&mut self, promise: String) {
        self.0.insert(promise);
    }

    fn message(&mut self, name: &str, message: &DescriptorProto) {
        self.promise(format!("message {name}"));
        let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name());
        let oneofs: Vec<_> = oneofs.collect();
        for field in &message.field {
            self.field(name, field, &oneofs);
        }
        for nested in &message.nested_type {
            self.message(&format!("{name}.{}", nested.name()), nested);
        }
        for nested in &message.enum_type {
            self.r#enum(&format!("{name}.{}", nested.name()), nested);
        }
    }

    fn field(&mut self, of: &str, field: &FieldDescriptorProto, oneofs: &[&str]) {
        let oneof = field
            .oneof_index
            .and_then(|at| oneofs.get(usize::try_from(at).unwrap()));
        self.promise(format!(
            "field {} of {of}: {} ({}), {:?} {:?} {}, one of {oneof:?}",
            field.number(),
            field.name(),
            field.json_name(),
            field.label(),
            field.r#type(),
            field.type_name(),
        ));
    }

    fn r#enum(&mut self, name: &str, r#enum: &EnumDescriptorProto) {
        for value in &r#enum.value {
            self.promise(format!(
                "value {} of {name}: {}",
                value.number(),
                value.name()
            ));
        }
    }

    fn service(&mut self, name: &str, service: &ServiceDescriptorProto) {
        for method in &service.method {
            let stream = |is: bool| if is { "stream " } else { "" };
            self.promise(format!(
                "rpc {name}/{}: {}{} to {}{}",
                method.name(),
                stream(method.client_streaming()),
                method.input_type(),
                stream(method.server_streaming()),
                method.output_type(),
            ));
        }
    }

    /// The promises that `present` does not hold.
    fn broken_by<'p>(&'p self, present: &'p Self) -> Vec<&'p str> {
        self.0.difference(&present.0).map(String::as_str).collect()
    }
}

fn present() -> FileDescriptorSet {
    FileDescriptorSet::decode(mesh_api::FILE_DESCRIPTOR_SET).unwrap()
}

#[test]
fn the_contracts_hold_what_every_release_promised() {
    let present = Promises::of(&present());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/released");
    let mut releases = 0;
    for release in fs::read_dir(folder).unwrap() {
        let file = release.unwrap().path();
        let set = FileDescriptorSet::decode(fs::read(&file).unwrap().as_slice()).unwrap();
        let promises = Promises::of(&set);
        assert!(
            promises.0.len() > 600,
            "{}: {}",
            file.display(),
            promises.0.len()
        );
        let broken = promises.broken_by(&present);
        assert!(
            broken.is_empty(),
            "{}:\n{}",
            file.display(),
            broken.join("\n")
        );
        releases += 1;
    }
    assert!(releases > 0, "no release promised anything");
}

/// The one thing of a list that has a name.
fn named<'t, T: Debug>(list: &'t mut [T], name: &str, of: impl Fn(&T) -> &str) -> &'t mut T {
    list.iter_mut().find(|thing| of(thing) == name).unwrap()
}

/// What is broken when the contracts of the flag registry were changed.
fn broken(change: impl FnOnce(&mut prost_types::FileDescriptorProto)) -> String {
    let mut changed = present();
    let name = "mp169/flag_registry/v1/flag.proto";
    change(named(&mut changed.file, name, |file| file.name()));
    let (before, after) = (Promises::of(&present()), Promises::of(&changed));
    before.broken_by(&after).join("\n")
}

fn request(file: &mut prost_types::FileDescriptorProto) -> &mut DescriptorProto {
    named(&mut file.message_type, "GetFlagRequest", |message| {
        message.name()
    })
}

#[test]
fn whatever_is_taken_away_or_changed_is_found() {
    const FIELD: &str = "field 1 of mp169.flag_registry.v1.GetFlagRequest: device_id (deviceId), \
                         Optional String , one of None";
    const RPC: &str = "rpc mp169.flag_registry.v1.FlagService/GetFlag: \
                       .mp169.flag_registry.v1.GetFlagRequest to .mp169.flag_registry.v1.GetFlagResponse";
    assert_eq!(broken(|file| drop(request(file).field.remove(0))), FIELD);
    assert_eq!(
        broken(|file| request(file).field[0].number = Some(100)),
        FIELD
    );
    assert_eq!(
        broken(|file| request(file).field[0].name = Some("device".to_owned())),
        FIELD
    );
    let as_octets = |field: &mut FieldDescriptorProto| {
        field.set_type(prost_types::field_descriptor_proto::Type::Bytes);
    };
    assert_eq!(broken(|file| as_octets(&mut request(file).field[0])), FIELD);
    let service = |file: &mut prost_types::FileDescriptorProto| file.service.swap_remove(0);
    assert!(broken(|file| drop(service(file))).contains(RPC));
    let rpcs = |file: &mut prost_types::FileDescriptorProto, streams: Option<bool>| {
        let methods = &mut file.service[0].method;
        match streams {
            None => methods.retain(|method| method.name() != "GetFlag"),
            streams => named(methods, "GetFlag", |method| method.name()).server_streaming = streams,
        }
    };
    assert_eq!(broken(|file| rpcs(file, None)), RPC);
    assert_eq!(broken(|file| rpcs(file, Some(true))), RPC);
    let mut gone = String::new();
    let found = broken(|file| {
        let r#enum = &mut file.enum_type[0];
        let value = r#enum.value.pop().unwrap();
        gone = format!("{}: {}", r#enum.name(), value.name());
    });
    assert!(
        found.starts_with("value ") && found.ends_with(&gone),
        "{found}"
    );
}

#[test]
fn what_is_added_breaks_nothing() {
    let added = broken(|file| {
        let message = request(file);
        let mut field = message.field[0].clone();
        field.name = Some("more".to_owned());
        field.number = Some(100);
        message.field.push(field);
        let mut rpc = file.service[0].method[0].clone();
        rpc.name = Some("More".to_owned());
        file.service[0].method.push(rpc);
    });
    assert_eq!(added, "");
}
