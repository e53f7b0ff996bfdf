//! `mp169 certificate renew`: the certificates of internal roles, issued anew.

use std::time::Duration;

use anyhow::Result;
use mesh_api::convert::timestamp_to_wire;
use mesh_authz::InternalRole;
use mesh_pki::Validity;
use mesh_types::SystemClock;

use crate::cli::certificate::RenewArgs;
use crate::cli::connection::Output;
use crate::home::Folder;
use crate::output::{instant, print_line, print_table};

/// Issues them and keeps them, where running services find them by themselves.
pub(super) fn renew(args: &RenewArgs) -> Result<()> {
    let home = Folder::open(&args.home)?;
    let authority = home.authority()?;
    let day = Duration::from_secs(86_400);
    let validity = Validity::starting_now(&SystemClock, day.saturating_mul(args.days));
    let until = instant(Some(&timestamp_to_wire(validity.not_after())));
    let mut rows = Vec::new();
    for role in roles(args, &home)? {
        let issued = home.issue_internal(&authority, role, validity)?;
        let paths = home.keep(role.as_str(), &issued)?;
        let certificate = paths.certificate.display().to_string();
        if args.output == Output::Json {
            print_line(&serde_json::json!({
                "role": role.as_str(),
                "notAfter": until,
                "certificate": certificate,
            }))?;
        }
        rows.push(vec![role.as_str().to_owned(), until.clone(), certificate]);
    }
    match args.output {
        Output::Json => Ok(()),
        Output::Table => print_table(&["role", "holds until", "certificate"], rows),
    }
}

/// Those that are named, or else all whose certificate is kept.
fn roles(args: &RenewArgs, home: &Folder) -> Result<Vec<InternalRole>> {
    if !args.roles.is_empty() {
        return Ok(args.roles.clone());
    }
    let kept = home.identities()?.into_iter();
    Ok(kept
        .filter_map(|name| InternalRole::from_spiffe_path(&name))
        .collect())
}
