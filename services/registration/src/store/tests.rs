//! The conformance suite on each engine.

use super::conformance::Database;

fn sqlite() -> Option<Database> {
    let folder = mesh_testkit::temp_dir();
    Some(Database {
        url: format!(
            "sqlite://{}",
            folder.path().join("registration.db").display()
        ),
        keep: Box::new(folder),
    })
}

fn postgres() -> Option<Database> {
    let database = mesh_testkit::postgres::database()?;
    Some(Database {
        url: database.url(),
        keep: Box::new(database),
    })
}

mod on_sqlite {
    super::super::conformance::suite!(super::super::sqlite);
}

mod on_postgres {
    super::super::conformance::suite!(super::super::postgres);
}
