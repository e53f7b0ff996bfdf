//! How does a test run the command? As a shell does, in a folder that goes away, against a mesh with
//! nothing loaded.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use mesh_rpc::HandshakeOutcome;
use mesh_testkit::{TempDir, temp_dir, wait_until};
use mesh_types::SystemClock;
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::mesh::{Listen, Mesh, PagesAt};
use mp169::sample;
use mp169::service::Service;
use tokio::process::Command;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

/// A running mesh, and the folder in which commands are given.
pub(crate) struct World {
    mesh: Mesh,
    folder: Folder,
    place: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// Starts the services and waits until all of them serve.
    pub(crate) async fn start() -> Self {
        let place = temp_dir();
        symlink(root().join("examples"), place.path().join("examples")).unwrap();
        let folder = Folder::open_or_make(&place.path().join("mp169-data")).unwrap();
        let nobody_elses = SocketAddr::from(([127, 0, 0, 1], 0));
        let anywhere = Listen {
            pages: Some(PagesAt::WithoutCertificates(nobody_elses)),
            ..Listen::default()
        };
        let mesh = Mesh::start(&folder, &anywhere, Arc::new(SystemClock))
            .await
            .unwrap();
        for service in Service::ALL {
            let clients = Clients::of(&folder, "operator").unwrap();
            let mut health = clients.health(service).unwrap();
            wait_until(
                &format!("{} to serve", service.name()),
                async || match health.check(HealthCheckRequest::default()).await {
                    Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
                    other => Err(format!("{other:?}")),
                },
            )
            .await;
        }
        Self {
            mesh,
            folder,
            place,
        }
    }

    /// The folder in which commands are given.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// The address of one of the pages for browsers, which need no certificate here.
    pub(crate) fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.mesh.pages().unwrap())
    }

    /// The services, as an identity of the mesh's folder sees them.
    pub(crate) fn clients(&self, identity: &str) -> Clients {
        Clients::of(&self.folder, identity).unwrap()
    }

    /// How many handshakes of a service's callers ended so.
    pub(crate) fn handshakes(&self, service: Service, outcome: HandshakeOutcome) -> u64 {
        self.mesh.tls(service).unwrap().handshakes().get(outcome)
    }

    /// A line for the shell, to be run where commands are given.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_mp169")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell
            .args(["-c", line])
            .current_dir(self.path())
            .env("PATH", path)
            .env_remove("MP169_HOME")
            .env_remove("MP169_AS")
            .env_remove("MP169_DATABASE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        shell
    }

    /// Runs a line to its end.
    pub(crate) async fn run(&self, line: &str) -> Ended {
        ended(&mut self.shell(line)).await
    }

    /// Ends the mesh, and then runs a line to its end.
    pub(crate) async fn run_after_the_end(self, line: &str) -> Ended {
        let mut command = self.shell(line);
        assert!(self.mesh.stop().await, "some calls had to be cut off");
        ended(&mut command).await
    }

    /// Runs a line that must succeed; gives what it printed.
    pub(crate) async fn ok(&self, line: &str) -> String {
        let ended = self.run(line).await;
        assert_eq!(ended.code, Some(0), "{line}\n{ended:?}");
        ended.stdout
    }

    /// The demo's inventory, as `mp169 up --sample` loads it, and the contracts beside the examples.
    pub(crate) async fn with_sample() -> Self {
        let world = Self::start().await;
        symlink(root().join("proto"), world.path().join("proto")).unwrap();
        let rows = sample::rows(sample::SINCE).unwrap();
        wait_until("the sample to be loaded", async || {
            match load(&world.folder, rows.clone(), |_| {}).await {
                Ok(loaded) if loaded.refused == 0 => Ok(()),
                Ok(loaded) => Err(loaded.to_string()),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
        world
    }

    /// Two suppliers and a CSP with their certificates, and the ten Devices of the examples.
    pub(crate) async fn with_examples() -> Self {
        let world = Self::start().await;
        for line in [
            "mp169 party add DRAGON --name Dragon --role import-supplier --role gas-supplier",
            "mp169 party add EAGLE --name Eagle --role import-supplier",
            "mp169 party add CSP-CENTRAL --name Central --role csp --csp central",
            "mp169 device load examples/inventory/devices.csv examples/inventory/registrations.csv",
            "mp169 party certificate DRAGON",
            "mp169 party certificate EAGLE",
            "mp169 party certificate CSP-CENTRAL",
        ] {
            world.ok(line).await;
        }
        world
    }

    /// Flags a meter of the examples as DRAGON.
    pub(crate) async fn flag(&self, device: &str) {
        let line = format!(
            "mp169 flag add --as DRAGON {device} --channel online --evidence E-1 \
             --step benefits-explained --contact C-1 \
             --no-economy-7 --no-radio-teleswitch --no-network-managed-without-wan"
        );
        self.ok(&line).await;
    }

    /// Ends the mesh.
    pub(crate) async fn stop(self) {
        assert!(self.mesh.stop().await, "some calls had to be cut off");
    }
}

async fn ended(command: &mut Command) -> Ended {
    let output = command.output().await.unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}
