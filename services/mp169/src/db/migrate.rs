//! `mp169 db migrate`: the schemas of the databases on a server are brought up to date.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use mesh_store::DatabaseServer;

use crate::cli::audit::asked;
use crate::cli::db::MigrateArgs;
use crate::databases::names_of;
use crate::output::say;
use crate::schemas;

/// Brings the schemas of the services' databases up to date, one after the other.
pub(crate) async fn run(args: &MigrateArgs) -> Result<()> {
    let server = args.server.read()?;
    for service in asked(&args.service) {
        let names = names_of(service);
        if args.create {
            for made in server.make(&names).await? {
                say(&format_args!("{made}: made"));
            }
        }
        let mut role = args.grant.clone();
        if let Some(folder) = &args.roles {
            let password = password(folder, service.name())?;
            role = Some(server.admit(service.name(), &password, &names).await?);
        }
        for name in names {
            migrate_one(&server, &name, role.as_deref())
                .await
                .with_context(|| format!("{name} is not brought up to date"))?;
        }
    }
    Ok(())
}

fn password(folder: &Path, role: &str) -> Result<String> {
    let path = folder.join(format!("{role}.password"));
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let password = text.trim_end();
    ensure!(!password.is_empty(), "{} is empty", path.display());
    Ok(password.to_owned())
}

async fn migrate_one(server: &DatabaseServer, name: &str, role: Option<&str>) -> Result<()> {
    match server.migrate(name, schemas::of(name), role).await? {
        0 => say(&format_args!("{name}: up to date")),
        1 => say(&format_args!("{name}: up to date after 1 migration")),
        applied => say(&format_args!(
            "{name}: up to date after {applied} migrations"
        )),
    }
    Ok(())
}
