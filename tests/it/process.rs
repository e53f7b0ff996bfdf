//! The mesh as a process of its own, so that it can be killed.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use mesh_store::faults::{self, Fault};
use mesh_types::SystemClock;
use mp169::mesh::{Listen, Mesh};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::engine::{Databases, folder};

/// The folder of the mesh.
const HOME: &str = "MP169_TEST_HOME";
/// The server on which its databases are, if it is one.
const SERVER: &str = "MP169_TEST_SERVER";
/// Whether commits go wrong.
const FAULTS: &str = "MP169_TEST_FAULTS";

/// Starts the mesh of `home` in a new process, which ends with the value or with this process. It
/// runs `test`, whose first line is [`is_the_mesh`].
pub(crate) fn start(test: &str, home: &Path, databases: &Databases, faulty: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]);
    if let Some(server) = databases.url() {
        command.env(SERVER, server);
    }
    command.env(HOME, home).env(FAULTS, faulty.to_string());
    command.stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

/// Whether this process is one that [`start`] started; then it has been the mesh.
pub(crate) async fn is_the_mesh() -> bool {
    let Some(home) = std::env::var_os(HOME) else {
        return false;
    };
    if std::env::var(FAULTS).as_deref() == Ok("true") {
        faults::inject(fault);
    }
    // The first of these processes makes the databases.
    let server = std::env::var(SERVER).ok();
    let folder = folder(home.as_ref(), server.as_deref()).with_new_databases();
    let clock = Arc::new(SystemClock);
    let mesh = Mesh::start(&folder, &Listen::default(), clock).await;
    let mesh = mesh.unwrap();
    let mut input = tokio::io::stdin();
    tokio::select! {
        failed = mesh.failed() => panic!("{failed:?}"),
        // Whoever started this process is gone.
        _ = input.read_u8() => true,
    }
}

/// Three in ten commits go wrong, each in its own way.
fn fault(commit: u64) -> Option<Fault> {
    match commit % 10 {
        3 => Some(Fault::Fail),
        6 => Some(Fault::Panic),
        9 => Some(Fault::Stall(Duration::from_millis(30))),
        _ => None,
    }
}
