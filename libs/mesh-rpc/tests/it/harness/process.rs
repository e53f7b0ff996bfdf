//! A server in a process of its own, for what is the process's: its files and its log.
//!
//! It is this test program again, with one test alone, which finds out by [`folder`] that it is to
//! be the server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use mesh_testkit::{TempDir, certificates, temp_dir, wait_until};
use tokio::process::{Child, Command};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::{SERVICE, TestServer};

/// Names the folder in which the server tells about itself.
const FOLDER: &str = "MESH_RPC_TEST_FOLDER";

/// The other process.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    pub(crate) trust: String,
    folder: TempDir,
    child: Child,
}

/// Where to tell, if this is the server's process.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Tells where `server` listens, and waits until it may end.
pub(crate) async fn until_told(folder: &Path, server: &TestServer) {
    tell(folder, "trust", certificates().trust_pem());
    tell(folder, "address", &server.address.to_string());
    tell(folder, "ready", "");
    let line = || std::io::stdin().read_line(&mut String::new());
    tokio::task::spawn_blocking(line).await.unwrap().unwrap();
}

/// Tells something else.
pub(crate) fn tell(folder: &Path, what: &str, text: &str) {
    std::fs::write(folder.join(what), text).unwrap();
}

impl Process {
    /// Has `test` serve, in a process that may open so many files.
    pub(crate) async fn start(test: &str, files: u32) -> Self {
        let folder = temp_dir();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let run = format!(r#"ulimit -n {files} && exec "$0" --exact "$1""#);
        let mut command = Command::new("sh");
        let command = command.arg("-c").arg(run);
        let child = command
            .arg(std::env::current_exe().unwrap())
            .arg(test)
            .env(FOLDER, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let read = async |name: &str| std::fs::read_to_string(folder.path().join(name));
        wait_until("the other process", async || read("ready").await).await;
        let (address, trust) = (read("address").await, read("trust").await);
        Self {
            address: address.unwrap().parse().unwrap(),
            trust: trust.unwrap(),
            folder,
            child,
        }
    }

    /// A channel to the server, without a certificate.
    pub(crate) fn channel(&self) -> Channel {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.trust))
            .domain_name(SERVICE);
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls).unwrap().connect_lazy()
    }

    /// What the server, once it has ended, has told of this, or has logged.
    pub(crate) async fn ended(mut self, what: &str) -> [String; 2] {
        drop(self.child.stdin.take());
        assert!(self.child.wait().await.unwrap().success());
        [what, "log"].map(|name| {
            let octets = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            String::from_utf8(octets).unwrap()
        })
    }
}
