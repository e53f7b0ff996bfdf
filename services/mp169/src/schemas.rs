//! Whose database is it, by its schema?

use mesh_store::Migrator;

/// The schemas of the databases of a mesh, followers before those that they follow.
pub(crate) static SCHEMAS: [(&str, &Migrator); 5] = [
    ("audit", &mesh_audit::MIGRATIONS),
    ("reporting", &reporting::MIGRATIONS),
    ("csp-notification", &csp_notification::MIGRATIONS),
    ("flag-registry", &flag_registry::MIGRATIONS),
    ("registration", &registration::MIGRATIONS),
];

/// What makes the tables of the database of this name.
pub(crate) fn of(name: &str) -> &'static Migrator {
    let own = SCHEMAS.iter().find(|(of, _)| *of == name);
    // Each other is the audit of a service.
    own.map_or(&mesh_audit::MIGRATIONS, |(_, migrations)| migrations)
}

/// What makes the tables of each.
#[must_use]
pub fn all() -> [&'static Migrator; 5] {
    SCHEMAS.map(|(_, migrations)| migrations)
}
