//! Which pages are there, and what stands on each?

use std::collections::BTreeMap;

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind,
    MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

use crate::rule;
use crate::text::{Reasons, anchor, cell, comment};

const HEAD: &str = "<!-- Generated from the contracts. \
    MP169_WRITE_REFERENCE=1 cargo test -p mesh-api --test reference -->\n\n";

const INTRODUCTION: &str = "\
# API reference

Every service, RPC, message, field and value of the contracts in `proto/mp169`, a page for each package. What to
do with them stands on the pages [for the DSP](../for-the-dsp.md), [for a CSP](../for-a-csp.md),
[for a supplier](../for-a-supplier.md) and [for who runs it](../for-who-runs-it.md); how contracts may change,
in `docs/contracts.md`.

Calls are gRPC over TLS 1.3, and the certificate says who calls. A refusal has a gRPC status code and, as
`google.rpc.ErrorInfo`, a reason of [ErrorReason](mp169.common.v1.md#errorreason) in the domain `mp169.dcc.example`; several
violations at once stand in `google.rpc.PreconditionFailure` or `google.rpc.BadRequest`. Times are UTC; a Device is an
EUI-64 as DUIS writes it, `02-DC-C0-00-00-00-08-E0`, read in either case.

";

/// The path of a file's `package` statement in its source information.
const PACKAGE: [i32; 1] = [2];

/// All pages, by the names of their files.
pub(crate) fn all(pool: &DescriptorPool) -> BTreeMap<String, String> {
    let mut packages: BTreeMap<String, Vec<FileDescriptor>> = BTreeMap::new();
    for file in pool.files() {
        if file.package_name().starts_with("mp169.") {
            let files = packages.entry(file.package_name().to_owned()).or_default();
            files.push(file);
        }
    }
    let reasons = Reasons::of(pool);
    let mut pages = BTreeMap::new();
    let mut index = format!("{HEAD}{INTRODUCTION}| package | what | services |\n|---|---|---|\n");
    for (package, mut files) in packages {
        files.sort_by(|a, b| a.name().cmp(b.name()));
        let page = Page {
            name: format!("{package}.md"),
            package,
            files,
            reasons: &reasons,
        };
        index.push_str(&page.row());
        pages.insert(page.name.clone(), page.text());
    }
    pages.insert("README.md".to_owned(), index);
    pages
}

/// What a message is called in its package.
pub(crate) fn title(message: &MessageDescriptor) -> String {
    within(message.full_name(), message.package_name())
}

fn within(full_name: &str, package: &str) -> String {
    let name = full_name.strip_prefix(package).unwrap_or(full_name);
    name.trim_start_matches('.').to_owned()
}

struct Page<'a> {
    name: String,
    package: String,
    files: Vec<FileDescriptor>,
    reasons: &'a Reasons,
}

impl Page<'_> {
    fn row(&self) -> String {
        let services = self.services().map(|service| {
            let name = service.name();
            format!("[{name}]({}#{})", self.name, anchor(name))
        });
        let services: Vec<_> = services.collect();
        let services = if services.is_empty() {
            "–".to_owned()
        } else {
            services.join(", ")
        };
        let what = cell(&self.summary());
        format!(
            "| [{}]({}) | {what} | {services} |\n",
            self.package, self.name
        )
    }

    /// The comments on the package in its files.
    fn summary(&self) -> String {
        let comments = self.files.iter().map(|file| comment(file, &PACKAGE));
        let comments: Vec<_> = comments.filter(|comment| !comment.is_empty()).collect();
        if comments.is_empty() {
            return "What several packages use.".to_owned();
        }
        comments.join("\n\n")
    }

    fn services(&self) -> impl Iterator<Item = ServiceDescriptor> {
        self.files.iter().flat_map(FileDescriptor::services)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{HEAD}# {}\n\n{}\n\n",
            self.package,
            self.linked(&self.summary())
        );
        let files = self
            .files
            .iter()
            .map(|file| format!("`proto/{}`", file.name()));
        text.push_str(&format!(
            "In {}. [All packages](README.md)\n",
            files.collect::<Vec<_>>().join(", ")
        ));
        for service in self.services() {
            self.service(&service, &mut text);
        }
        let mut messages: Vec<_> = Vec::new();
        for message in self.files.iter().flat_map(FileDescriptor::messages) {
            with_inner(message, &mut messages);
        }
        let inner = messages.iter().flat_map(MessageDescriptor::child_enums);
        let enums = self.files.iter().flat_map(FileDescriptor::enums);
        let enums: Vec<_> = enums.chain(inner).collect();
        if !messages.is_empty() {
            text.push_str("\n## Messages\n");
        }
        messages
            .iter()
            .for_each(|message| self.message(message, &mut text));
        if !enums.is_empty() {
            text.push_str("\n## Enums\n");
        }
        enums.iter().for_each(|one| self.values(one, &mut text));
        self.extensions(&mut text);
        text
    }

    fn service(&self, service: &ServiceDescriptor, text: &mut String) {
        let says = self.comment(&service.parent_file(), service.path());
        text.push_str(&format!("\n## {}\n\n{says}\n", service.name()));
        for method in service.methods() {
            self.method(service, &method, text);
        }
    }

    fn method(&self, service: &ServiceDescriptor, method: &MethodDescriptor, text: &mut String) {
        let says = self.comment(&service.parent_file(), method.path());
        let (name, of) = (method.name(), service.name());
        let sent = |is_stream, message: &MessageDescriptor| {
            let of = self.link(message.full_name(), message.package_name());
            if is_stream {
                format!("a stream of {of}")
            } else {
                of
            }
        };
        let request = sent(method.is_client_streaming(), &method.input());
        let answer = sent(method.is_server_streaming(), &method.output());
        text.push_str(&format!(
            "\n### {of}.{name}\n\n`{}/{name}`: {request} → {answer}\n\n{says}\n\n{}\n",
            service.full_name(),
            rule::lines(method).join("\n")
        ));
    }

    fn message(&self, message: &MessageDescriptor, text: &mut String) {
        let says = self.comment(&message.parent_file(), message.path());
        text.push_str(&format!("\n### {}\n\n{says}\n", title(message)));
        if message.fields().len() == 0 {
            text.push_str("\nIt has no fields.\n");
            return;
        }
        text.push_str("\n| field | number | type | what |\n|---|---|---|---|\n");
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        for field in fields {
            let says = self.comment(&message.parent_file(), field.path());
            let one_of = field
                .containing_oneof()
                .filter(|one_of| !one_of.is_synthetic());
            let one_of = one_of.map_or_else(String::new, |one_of| {
                format!("One of `{}`: ", one_of.name())
            });
            text.push_str(&format!(
                "| `{}` | {} | {} | {one_of}{} |\n",
                field.name(),
                field.number(),
                self.kind(&field),
                cell(&says)
            ));
        }
    }

    fn values(&self, of: &EnumDescriptor, text: &mut String) {
        let says = self.comment(&of.parent_file(), of.path());
        let name = within(of.full_name(), of.package_name());
        text.push_str(&format!(
            "\n### {name}\n\n{says}\n\n| value | number | what |\n|---|---|---|\n"
        ));
        for value in of.values() {
            let says = self.comment(&of.parent_file(), value.path());
            let (name, number) = (value.name(), value.number());
            text.push_str(&format!("| `{name}` | {number} | {} |\n", cell(&says)));
        }
    }

    fn extensions(&self, text: &mut String) {
        let extensions: Vec<_> = self
            .files
            .iter()
            .flat_map(FileDescriptor::extensions)
            .collect();
        if extensions.is_empty() {
            return;
        }
        text.push_str("\n## Options of methods\n\n| option | number | what |\n|---|---|---|\n");
        for option in extensions {
            let says = self.comment(&option.parent_file(), option.path());
            let (name, number) = (option.full_name(), option.number());
            text.push_str(&format!("| `{name}` | {number} | {} |\n", cell(&says)));
        }
    }

    fn comment(&self, file: &FileDescriptor, path: &[i32]) -> String {
        self.linked(&comment(file, path))
    }

    fn linked(&self, comment: &str) -> String {
        // A paragraph of its own, which it is to the eye in the contracts.
        let comment = comment.replace("\nErrors:", "\n\nErrors:");
        self.reasons.link(&comment, &self.name)
    }

    fn kind(&self, field: &FieldDescriptor) -> String {
        let kind = match field.kind() {
            Kind::Message(message) => self.link(message.full_name(), message.package_name()),
            Kind::Enum(one) => self.link(one.full_name(), one.package_name()),
            scalar => format!("{scalar:?}").to_lowercase(),
        };
        let may_be_absent = field.field_descriptor_proto().proto3_optional();
        match field.cardinality() {
            Cardinality::Repeated => format!("repeated {kind}"),
            _ if may_be_absent => format!("optional {kind}"),
            _ => kind,
        }
    }

    /// A message or an enum, wherever it is told of.
    fn link(&self, full_name: &str, package: &str) -> String {
        let name = within(full_name, package);
        if !package.starts_with("mp169.") {
            let anchor = name.to_lowercase();
            return format!(
                "[{full_name}](https://protobuf.dev/reference/protobuf/google.protobuf/#{anchor})"
            );
        }
        let page = if package == self.package {
            String::new()
        } else {
            format!("{package}.md")
        };
        format!("[{name}]({page}#{})", anchor(&name))
    }
}

fn with_inner(message: MessageDescriptor, all: &mut Vec<MessageDescriptor>) {
    let inner: Vec<_> = message.child_messages().collect();
    all.push(message);
    inner
        .into_iter()
        .for_each(|message| with_inner(message, all));
}
