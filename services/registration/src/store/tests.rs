//! The conformance suite on each engine.

use super::conformance::Database;

fn sqlite() -> Option<Database> {
    Some(Database::sqlite())
}

mod on_sqlite {
    super::super::conformance::suite!(super::super::sqlite);
}

mod on_postgres {
    super::super::conformance::suite!(super::super::Database::postgres);
}
