//! How are all processes of a server stopped, continued and killed at once?

use std::fs;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// A server whose processes do not run, until this is dropped.
#[derive(Debug)]
#[must_use = "it goes on when this is dropped"]
pub struct Paused(Vec<Pid>);

impl Paused {
    pub(super) fn new(stopped: Vec<Pid>) -> Self {
        for process in &stopped[1..] {
            let _ = kill_process(*process, Signal::STOP);
        }
        // A signal is only on its way when it is sent.
        while stopped.iter().any(|process| runs(*process)) {
            std::thread::yield_now();
        }
        Self(stopped)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        for process in &self.0 {
            let _ = kill_process(*process, Signal::CONT);
        }
    }
}

/// Stops `server`, so that it starts no others, and gives it and all that it has started.
pub(super) fn with_children(server: Pid) -> Vec<Pid> {
    kill_process(server, Signal::STOP).expect("the server runs");
    let id = server.as_raw_pid();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.expect("the kernel tells a process's children");
    let children = children.split_whitespace().map(|child| child.parse().ok());
    let children = children.map(|child| child.and_then(Pid::from_raw).expect("a process"));
    std::iter::once(server).chain(children).collect()
}

/// Kills `server` and all that it has started, and waits until they are gone.
pub(super) fn kill(server: Pid) {
    let all = with_children(server);
    // Held open, these mean the same processes when the numbers already mean others.
    let handles: Vec<_> = all
        .iter()
        .filter_map(|process| pidfd_open(*process, PidfdFlags::empty()).ok())
        .collect();
    for process in all {
        let _ = kill_process(process, Signal::KILL);
    }
    for handle in &handles {
        let mut ended = [PollFd::new(handle, PollFlags::IN)];
        while poll(&mut ended, None) == Err(rustix::io::Errno::INTR) {}
    }
}

/// Whether a process is neither stopped nor gone.
fn runs(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid()));
    // The state follows the name, which may hold anything.
    let state = stat.as_deref().unwrap_or_default().rsplit_once(") ");
    state.is_some_and(|(_, state)| !state.starts_with(['T', 'Z', 'X']))
}
