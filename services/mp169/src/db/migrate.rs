//! `mp169 db migrate`: the schemas of the databases on a server are brought up to date.

use anyhow::{Context as _, Result};
use mesh_store::DatabaseServer;

use crate::cli::audit::asked;
use crate::cli::db::MigrateArgs;
use crate::databases::names_of;
use crate::output::say;
use crate::schemas;

/// Brings the schemas of the services' databases up to date, one after the other.
pub(crate) async fn run(args: &MigrateArgs) -> Result<()> {
    let server = args.database.read()?;
    for service in asked(&args.service) {
        let names = names_of(service);
        if args.create {
            for made in server.make(&names).await? {
                say(&format_args!("{made}: made"));
            }
        }
        for name in names {
            migrate_one(&server, &name, args.grant.as_deref())
                .await
                .with_context(|| format!("{name} is not brought up to date"))?;
        }
    }
    Ok(())
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
