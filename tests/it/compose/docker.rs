//! The command `docker`, about one project of containers.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::Summary;

/// Is set in the container of the load.
pub(super) const WITHIN: &str = "MP169_COMPOSE_WITHIN";
/// What stands before the load's last word.
pub(super) const SUMMARY: &str = "SUMMARY ";
/// What stands before the number of changes that were acknowledged.
pub(super) const ACKNOWLEDGED: &str = "ACKNOWLEDGED ";
/// What stands before what became of a call that was neither answered nor UNAVAILABLE.
pub(super) const FAILED: &str = "FAILED ";
/// How many more changes show that the mesh goes on.
const MORE: usize = 40;
/// The project's own folder.
const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const PATIENCE: Duration = Duration::from_secs(120);
/// How many lines of what the load said last are shown if it fails.
const LINES: &str = "30";

/// A project of its own name, which is taken down at the end.
pub(super) struct Project;

impl Project {
    const NAME: &str = "mp169-test";

    /// Where it shall be tried and can be.
    pub(super) fn to_try() -> Option<Self> {
        if std::env::var("MP169_COMPOSE").as_deref() != Ok("1") {
            println!("not tried: MP169_COMPOSE=1 is not set");
            return None;
        }
        let project = Self;
        project.compose(&["down", "--volumes", "--remove-orphans"]);
        Some(project)
    }

    /// Carries out `docker compose`, which must succeed; gives what it printed.
    pub(super) fn compose(&self, arguments: &[&str]) -> String {
        let with_file = [
            "--file",
            "docker-compose.yml",
            "--file",
            "tests/it/compose/ports.yml",
        ];
        let named = [&["compose", "--project-name", Self::NAME][..], &with_file].concat();
        let mut command = Command::new("docker");
        command.current_dir(TOP).args(named).args(arguments);
        succeeded(&mut command)
    }

    pub(super) fn docker(&self, arguments: &[&str]) -> String {
        succeeded(Command::new("docker").args(arguments))
    }

    /// The containers of a service.
    pub(super) fn containers(&self, service: &str) -> Vec<String> {
        let listed = self.compose(&["ps", "--quiet", service]);
        let all: Vec<_> = listed.lines().map(str::to_owned).collect();
        assert!(!all.is_empty(), "no container of {service}");
        all
    }

    /// What stands in a file of the project.
    pub(super) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(Path::new(TOP).join(path)).unwrap()
    }

    /// Where a port of a container is published.
    pub(super) fn address(&self, service: &str, port: u16) -> String {
        self.compose(&["port", service, &port.to_string()])
            .trim()
            .to_owned()
    }

    pub(super) fn network(&self, name: &str) -> String {
        format!("{}_{name}", Self::NAME)
    }

    /// What its health check says now: the first line, or why it failed.
    pub(super) fn probe(&self, container: &str) -> Result<String, String> {
        let inspect = "{{index .Config.Entrypoint 0}}";
        let program = self.docker(&["inspect", "--format", inspect, container]);
        let mut exec = Command::new("docker");
        let ended = exec
            .args(["exec", container, program.trim(), "--probe"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
        if ended.status.success() {
            Ok(said)
        } else {
            Err(said)
        }
    }

    pub(super) fn is_healthy(&self, container: &str) {
        until("a container to be healthy", || self.probe(container));
    }

    pub(super) fn does_not_serve(&self, container: &str) {
        until("a container not to serve", || match self.probe(container) {
            Ok(said) => Err(said),
            Err(said) => Ok(said),
        });
    }

    /// Starts the load in a container that has nothing but this program.
    pub(super) fn start_load(&self) -> Load {
        let program = std::env::current_exe().unwrap();
        let mounted = format!("{}:/load:ro", program.display());
        let within = format!("{WITHIN}=1");
        let container = self.compose(&[
            "run",
            "--detach",
            "--env",
            &within,
            "--volume",
            &mounted,
            "--entrypoint",
            "/load",
            "mp169",
            "--exact",
            "compose::calls_from_within",
            "--nocapture",
        ]);
        let load = Load(container.trim().to_owned());
        load.goes_on();
        load
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.compose(&["logs", "--no-color", "--tail", "100"]));
        }
        self.compose(&[
            "--profile",
            "client",
            "down",
            "--volumes",
            "--remove-orphans",
        ]);
    }
}

/// The container of the load.
pub(super) struct Load(String);

impl Load {
    fn said(&self) -> String {
        succeeded(Command::new("docker").args(["logs", &self.0]))
    }

    fn acknowledged(&self) -> usize {
        let said = self.said();
        let last = said
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix(ACKNOWLEDGED));
        last.map_or(0, |count| count.trim().parse().unwrap())
    }

    /// Waits until more changes are acknowledged.
    pub(super) fn goes_on(&self) {
        let before = self.acknowledged();
        until("the load to go on", || {
            let acknowledged = self.acknowledged();
            if acknowledged >= before + MORE {
                Ok(acknowledged)
            } else {
                Err(self.last_words())
            }
        });
    }

    /// With what it complained of.
    fn last_words(&self) -> String {
        let mut logs = Command::new("docker");
        let logs = logs
            .args(["logs", "--tail", LINES, &self.0])
            .output()
            .unwrap();
        let both = [logs.stdout, logs.stderr].concat();
        String::from_utf8_lossy(&both).into_owned()
    }

    /// Has it look at what has become of all that it did.
    pub(super) fn end(self) -> Summary {
        succeeded(Command::new("docker").args(["stop", "--time", "300", &self.0]));
        let said = self.said();
        for failed in said.lines().filter(|line| line.starts_with(FAILED)) {
            println!("{failed}");
        }
        let summary = said.lines().find_map(|line| line.strip_prefix(SUMMARY));
        let summary =
            summary.unwrap_or_else(|| panic!("the load has failed:\n{}", self.last_words()));
        serde_json::from_str(summary).unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two looks at a condition"
)]
pub(super) fn until<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(last) => assert!(
                Instant::now() < end,
                "waited {PATIENCE:?} for {what}; last seen: {last}"
            ),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

pub(super) fn succeeded(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(
        status.success(),
        "{command:?}: {status}\n{said}{complained}"
    );
    said.into_owned()
}
