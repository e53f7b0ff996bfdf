//! The conformance suite on SQLite.

use super::conformance::Database;

fn fresh() -> Database {
    let folder = mesh_testkit::temp_dir();
    Database {
        url: format!(
            "sqlite://{}",
            folder.path().join("registration.db").display()
        ),
        keep: Box::new(folder),
    }
}

super::conformance::suite!(super::fresh);
