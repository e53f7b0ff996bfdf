//! `mp169 certificate issue`: another certificate for an internal role.

use std::time::Duration;

use anyhow::Result;
use mesh_api::convert::timestamp_to_wire;
use mesh_pki::Validity;
use mesh_types::SystemClock;

use crate::cli::certificate::IssueArgs;
use crate::cli::connection::Output;
use crate::home::Folder;
use crate::output::{instant, print_fields, print_line};
use crate::p12::Wanted;

/// Issues it and keeps it, where a running service finds it by itself.
pub(super) fn issue(args: &IssueArgs) -> Result<()> {
    let home = Folder::open(&args.home)?;
    let p12 = Wanted::read(&args.p12)?;
    let day = Duration::from_secs(86_400);
    let validity = Validity::starting_now(&SystemClock, day.saturating_mul(args.days));
    let name = args.role.as_str();
    let issued = home.issue_internal(&home.authority()?, args.role, validity)?;
    let folder = match &args.out {
        Some(out) => home.make_client(out, args.host.as_deref())?,
        None => home,
    };
    let paths = folder.keep(name, &issued)?;
    let until = instant(Some(&timestamp_to_wire(validity.not_after())));
    let p12 = p12.as_ref().map(|p12| p12.write(name, &issued));
    let p12 = p12.transpose()?.map(|path| path.display().to_string());
    let certificate = paths.certificate.display().to_string();
    let key = paths.key.display().to_string();
    if args.output == Output::Json {
        return print_line(&serde_json::json!({
            "role": name,
            "notAfter": until,
            "certificate": certificate,
            "key": key,
            "p12": p12,
        }));
    }
    let mut fields = vec![
        ("role", name.to_owned()),
        ("holds until", until),
        ("certificate", certificate),
        ("key", key),
    ];
    fields.extend(p12.map(|path| ("for a browser", path)));
    print_fields(&fields)
}
