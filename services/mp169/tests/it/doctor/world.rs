//! How does a test get a mesh of which single parts can be stopped, cut off, or be wrong?

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use flag_registry::Quotas;
use mesh_pki::{Ca, Validity};
use mesh_testkit::{TempDir, temp_dir, wait_until};
use mesh_types::{Clock, SystemClock, Timestamp};
use mp169::home::Folder;
use mp169::mesh::Site;
use mp169::service::Service;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Ahead of the machine's by so much.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(self.0)
    }
}

/// What is wrong with a mesh from its start.
#[derive(Default)]
pub(crate) struct Trouble {
    /// A service whose clock is ahead, and by how much.
    pub(crate) ahead: Option<(Service, Duration)>,
    /// reporting reaches flag-registry through a way that the test can cut.
    pub(crate) cuttable: bool,
}

/// A running mesh.
pub(crate) struct World {
    folder: Folder,
    home: TempDir,
    running: BTreeMap<Service, (CancellationToken, JoinHandle<()>)>,
    /// The way from reporting to flag-registry.
    way: Option<CancellationToken>,
}

impl World {
    pub(crate) async fn start(trouble: Trouble) -> Self {
        let home = temp_dir();
        let folder = Folder::open_or_make(home.path()).unwrap();
        let mut listeners = BTreeMap::new();
        for service in Service::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listeners.insert(service, listener);
        }
        let address = |service| {
            let listener: &TcpListener = &listeners[&service];
            listener.local_addr().unwrap().to_string()
        };
        let addresses: BTreeMap<_, _> = Service::ALL.map(|one| (one, address(one))).into();
        folder.write_addresses(&addresses).unwrap();
        let mut way = None;
        let mut world = Self {
            folder: folder.clone(),
            home,
            running: BTreeMap::new(),
            way: None,
        };
        for (service, listener) in listeners {
            let mut addresses = addresses.clone();
            if trouble.cuttable && service == Service::Reporting {
                let stop = CancellationToken::new();
                let to = addresses[&Service::FlagRegistry].clone();
                addresses.insert(Service::FlagRegistry, detour(to, stop.clone()).await);
                way = Some(stop);
            }
            let clock: Arc<dyn Clock> = match trouble.ahead {
                Some((ahead, by)) if ahead == service => Arc::new(Ahead(by)),
                _ => Arc::new(SystemClock),
            };
            let site = Site {
                folder: folder.clone(),
                addresses,
                clock,
                quotas: Quotas::default(),
            };
            let stop = CancellationToken::new();
            let tls = folder.tls(service.name()).unwrap();
            let run = site.run(service, tls, listener, stop.clone());
            let run = tokio::spawn(async move {
                run.await.unwrap();
            });
            world.running.insert(service, (stop, run));
        }
        world.way = way;
        world
    }

    /// Stops a service.
    pub(crate) async fn stop(&mut self, service: Service) {
        let (stop, run) = self.running.remove(&service).unwrap();
        stop.cancel();
        run.await.unwrap();
    }

    /// Stops what still runs.
    pub(crate) async fn end(mut self) {
        for service in Service::ALL.into_iter().rev() {
            if self.running.contains_key(&service) {
                self.stop(service).await;
            }
        }
    }

    /// Has everybody ask for a service where somebody listens and never answers.
    pub(crate) async fn lead_astray(&self, service: Service) -> TcpListener {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = |one| match one {
            one if one == service => silent.local_addr().unwrap().to_string(),
            one => self.folder.address(one).unwrap(),
        };
        let addresses = Service::ALL.map(|one| (one, address(one))).into();
        self.folder.write_addresses(&addresses).unwrap();
        silent
    }

    /// The command, to be run in the folder of the mesh.
    pub(crate) fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mp169"));
        command.env("MP169_HOME", self.home.path()).args(args);
        command.kill_on_drop(true);
        command
    }

    /// Cuts the way from reporting to flag-registry.
    pub(crate) fn cut(&self) {
        self.way.as_ref().unwrap().cancel();
    }

    /// Has a service show a certificate that was issued 87 days ago and ends in 3.
    pub(crate) fn let_certificate_near_its_end(&self, service: Service) {
        const DAY: Duration = Duration::from_secs(86_400);
        let now = SystemClock.now();
        let validity = Validity::between(
            now.saturating_sub(87 * DAY),
            now.saturating_add(3 * DAY + DAY / 2),
        );
        let authority = Ca::load(&self.home.path().join("authority")).unwrap();
        let issued = authority.issue_internal(service.name(), &[service.name()], validity);
        let certificates = self.home.path().join("certificates");
        issued
            .unwrap()
            .write_to(&certificates, service.name())
            .unwrap();
    }

    /// Runs the command in the folder of the mesh: exit code, what it printed, what it complained of.
    pub(crate) fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mp169"));
        command.env("MP169_HOME", self.home.path()).args(args);
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// What the doctor says that is not ok, once `expected` accepts its exit code and that.
    pub(crate) async fn diagnosis(
        &self,
        what: &str,
        expected: impl Fn(i32, &[Value]) -> bool,
    ) -> Vec<Value> {
        wait_until(what, async || {
            let (code, said, complaint) = self.run(&["doctor", "--output", "json"]);
            let lines = said.lines().map(serde_json::from_str::<Value>);
            let lines = lines.collect::<Result<Vec<_>, _>>();
            let lines = lines.map_err(|error| format!("{error}: {said}{complaint}"))?;
            let bad: Vec<_> = lines
                .into_iter()
                .filter(|line| line["grade"] != "ok")
                .collect();
            let code = code.ok_or("it was killed")?;
            if expected(code, &bad) {
                Ok(bad)
            } else {
                Err(format!("{code}: {bad:#?}\n{complaint}"))
            }
        })
        .await
    }

    /// Waits until all is well.
    pub(crate) async fn is_well(&self) {
        self.diagnosis("all to be well", |code, bad| code == 0 && bad.is_empty())
            .await;
    }

    /// The folder of the mesh.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }
}

/// An address that leads to `to` until it is cut.
async fn detour(to: String, cut: CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(cut.clone().run_until_cancelled_owned(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let (to, cut) = (to.clone(), cut.clone());
            tokio::spawn(cut.run_until_cancelled_owned(async move {
                let mut to = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut from, &mut to).await
            }));
        }
    }));
    address
}
