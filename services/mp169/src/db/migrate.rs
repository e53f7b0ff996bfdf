//! `mp169 db migrate`: the schemas of the databases on a server are brought up to date.

use anyhow::{Context as _, Result};
use mesh_store::{DatabaseServer, Migrator};

use crate::cli::audit::asked;
use crate::cli::db::MigrateArgs;
use crate::databases::names_of;
use crate::output::say;
use crate::service::Service;

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
            let migrations = migrations_of(service, &name);
            migrate_one(&server, &name, migrations, args.grant.as_deref())
                .await
                .with_context(|| format!("{name} is not brought up to date"))?;
        }
    }
    Ok(())
}

async fn migrate_one(
    server: &DatabaseServer,
    name: &str,
    migrations: &Migrator,
    role: Option<&str>,
) -> Result<()> {
    match server.migrate(name, migrations, role).await? {
        0 => say(&format_args!("{name}: up to date")),
        1 => say(&format_args!("{name}: up to date after 1 migration")),
        applied => say(&format_args!(
            "{name}: up to date after {applied} migrations"
        )),
    }
    Ok(())
}

/// What makes the tables of one of a service's databases.
fn migrations_of(service: Service, name: &str) -> &'static Migrator {
    if name != service.name() {
        return &mesh_audit::MIGRATIONS;
    }
    match service {
        Service::Registration => &registration::MIGRATIONS,
        Service::FlagRegistry => &flag_registry::MIGRATIONS,
        Service::CspNotification => &csp_notification::MIGRATIONS,
        Service::Reporting => &reporting::MIGRATIONS,
        // It keeps nothing else.
        Service::Classification => &mesh_audit::MIGRATIONS,
    }
}
