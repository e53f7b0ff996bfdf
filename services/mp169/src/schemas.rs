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

/// What makes the tables of each.
#[must_use]
pub fn all() -> [&'static Migrator; 5] {
    SCHEMAS.map(|(_, migrations)| migrations)
}
