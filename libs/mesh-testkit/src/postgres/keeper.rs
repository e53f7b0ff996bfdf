//! Who keeps a server, so that it ends when its test does?

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::Pid;
use tempfile::TempDir;

use super::programs::{User, command};

/// What it does.
const SCRIPT: &str = include_str!("keeper.sh");

/// A shell that does as it is told, and cleans up when nobody is left to tell it.
#[derive(Debug)]
pub(super) struct Keeper {
    home: PathBuf,
    shell: Mutex<Shell>,
}

#[derive(Debug)]
struct Shell {
    child: Child,
    /// `None` when the keeper is dropped.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    server: Option<Pid>,
}

// === impl Keeper ===

impl Keeper {
    /// Takes over `home`: the shell removes it.
    pub(super) fn new(programs: &Path, home: TempDir, user: Option<User>) -> Self {
        let mut shell = command("sh");
        shell
            .args(["-c", SCRIPT, "keeper"])
            .arg(programs)
            .arg(home.path());
        shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        shell.stderr(Stdio::null());
        // Ctrl-C in a terminal means the tests; the keeper sees that they ended.
        shell.process_group(0);
        if let Some(user) = user {
            shell.uid(user.id).gid(user.group);
        }
        let mut child = shell.spawn().expect("a shell");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self {
            home: home.keep(),
            shell: Mutex::new(Shell {
                child,
                orders,
                answers,
                server: None,
            }),
        }
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// The process of the server, if it runs.
    pub(super) fn server(&self) -> Option<Pid> {
        self.shell
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .server
    }

    /// Has an order carried out.
    pub(super) fn order(&self, order: &str) {
        if let Err(error) = self.try_order(order) {
            panic!("{error}:\n{}", self.log());
        }
    }

    /// The same for an order that may fail.
    pub(super) fn try_order(&self, order: &str) -> Result<(), String> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let mut orders = shell.orders.as_ref().expect("the keeper works");
        writeln!(orders, "{order}").expect("the keeper listens");
        let mut answer = String::new();
        shell
            .answers
            .read_line(&mut answer)
            .expect("the keeper answers");
        let Some(server) = answer.strip_prefix("done ") else {
            return Err(format!("{order}: {answer}"));
        };
        shell.server = server.trim().parse().ok().and_then(Pid::from_raw);
        Ok(())
    }

    /// What was logged by the server and by what made it.
    pub(super) fn log(&self) -> String {
        let log = fs::read(self.home.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.orders.take());
        let _ = shell.child.wait();
    }
}

/// Writes a file that nobody but the server's user can read.
pub(super) fn write(file: &Path, content: &str, user: Option<User>) {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut written = options.open(file).expect("a new file");
    written.write_all(content.as_bytes()).expect("a file");
    give(file, user);
}

/// Makes a file or folder the server's user's.
pub(super) fn give(path: &Path, user: Option<User>) {
    if let Some(user) = user {
        chown(path, Some(user.id), Some(user.group)).expect("root may do so");
    }
}
