//! Does the mesh answer as a small, obvious reference does, whatever happens in whatever order?
//!
//! A case is a random sequence of steps on a mesh of its own: suppliers change, now, later or as from
//! an earlier time; hubs, GPFs and sites change; flags are set and lifted; tenants and parties come and
//! go; requests come again, services start anew, and time passes. Each step is a call that is put to the
//! running services and to the reference, and both answers must be equal, refusals included. What
//! happens at the same time is not looked at here: each step waits until the mesh has taken it in.
//!
//! `MODEL_CASES` in the environment says how many cases are run on each engine instead of the usual number.

mod calls;
mod case;
mod cast;
mod ending;
mod equal;
mod questions;
mod reference;
mod script;
mod step;

use proptest::test_runner::{Config, TestError, TestRunner};

use crate::engine::Databases;
use case::Case;

/// How many cases are run unless somebody asks for more. The steps of each take longer on a server.
const ON_SQLITE: u32 = 6;
const ON_POSTGRES: u32 = 2;
/// How long a case that failed is made smaller, in milliseconds.
const SHRINKING: u32 = 300_000;

mod the_mesh_answers_as_the_reference_does {
    use crate::engine::Databases;

    #[test]
    fn on_sqlite() {
        super::the_mesh_answers_as_the_reference_does(|| Some(Databases::Files), super::ON_SQLITE);
    }

    #[test]
    fn on_postgres() {
        super::the_mesh_answers_as_the_reference_does(Databases::on_server, super::ON_POSTGRES);
    }
}

/// Each case has databases of its own.
fn the_mesh_answers_as_the_reference_does(databases: fn() -> Option<Databases>, usual: u32) {
    let cases = std::env::var("MODEL_CASES").map_or(usual, |cases| cases.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_time: SHRINKING,
        max_shrink_iters: u32::MAX,
        failure_persistence: None,
        ..Config::default()
    });
    let all_equal = runner.run(&step::steps(), |steps| {
        let Some(databases) = databases() else {
            return Ok(());
        };
        runtime.block_on(async { Case::begin(databases).await.run(steps).await })
    });
    match all_equal {
        Ok(()) => {}
        Err(TestError::Fail(difference, steps)) => {
            let steps: Vec<_> = steps.iter().map(|step| format!("{step:?},")).collect();
            panic!("{difference}\nafter these steps:\n{}", steps.join("\n"));
        }
        Err(error) => panic!("{error}"),
    }
}
