//! Where was it measured, and how much of the machine had others?

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// What a figure cannot be read without.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    commit: String,
    build: &'static str,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        let cores = std::thread::available_parallelism();
        Self {
            cpu: cpu().unwrap_or_else(unknown),
            cores: cores.map_or(1, usize::from),
            commit: commit().unwrap_or_else(unknown),
            build: if cfg!(debug_assertions) {
                "not optimised: the figures mean nothing"
            } else {
                "release"
            },
        }
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let Self {
            cpu,
            cores,
            commit,
            build,
        } = self;
        format!("{cpu}, {cores} cores; commit {commit}; {build}")
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The commit of the sources, marked if they differ from it.
fn commit() -> Option<String> {
    let describe = ["describe", "--always", "--dirty", "--abbrev=10"];
    let told = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR")])
        .args(describe)
        .output()
        .ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    (told.status.success() && !text.is_empty()).then(|| text.trim().to_owned())
}

/// Linux counts the time of processors so often in a second.
const TICKS: u32 = 100;

/// The time that the processors have spent, as Linux counts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processors {
    all: u64,
    idle: u64,
    ours: u64,
}

impl Processors {
    /// Up to now; `None` on other systems.
    pub(crate) fn now() -> Option<Self> {
        let all = fs::read_to_string("/proc/stat").ok()?;
        let all = numbers(all.lines().next()?);
        Some(Self {
            all: all.iter().take(8).sum(),
            idle: all.get(3)? + all.get(4)?,
            ours: spent_by("self")? + peers(),
        })
    }

    /// What this process, those that it has started and peers have had since `start`.
    pub(crate) fn ours_since(start: Option<Self>) -> Option<Duration> {
        let ticks = Self::now()?.ours.saturating_sub(start?.ours);
        Some(Duration::from_secs(ticks) / TICKS)
    }

    /// The share, from 0 to 1, that other processes and machines have had since `start`.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn others_since(start: Option<Self>) -> Option<f64> {
        let (start, now) = (start?, Self::now()?);
        let all = now.all - start.all;
        let taken = (now.idle - start.idle) + now.ours.saturating_sub(start.ours);
        Some(all.saturating_sub(taken) as f64 / all.max(1) as f64)
    }
}

/// Servers of others whose work is part of what is measured, by the numbers of their processes.
static PEERS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Counts a server of others in, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct CountedIn(i32);

impl CountedIn {
    pub(crate) fn new(process: i32) -> Self {
        let mut peers = PEERS.lock().unwrap_or_else(PoisonError::into_inner);
        peers.push(process);
        Self(process)
    }
}

impl Drop for CountedIn {
    fn drop(&mut self) {
        let mut peers = PEERS.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|peer| *peer != self.0);
    }
}

/// What the peers have had, and what they have started.
fn peers() -> u64 {
    let peers = PEERS.lock().unwrap_or_else(PoisonError::into_inner);
    let families = peers.iter().map(|peer| {
        let children = fs::read_to_string(format!("/proc/{peer}/task/{peer}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(spent_by);
        spent_by(&peer.to_string()).unwrap_or_default() + children.sum::<u64>()
    });
    families.sum()
}

/// What a process has had, and those of its children that have ended.
fn spent_by(process: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the process is in brackets and may hold anything.
    let stat = numbers(stat.rsplit_once(')')?.1);
    Some(stat.get(10..14)?.iter().sum())
}

fn numbers(line: &str) -> Vec<u64> {
    let words = line.split_ascii_whitespace().skip(1);
    words.map(|word| word.parse().unwrap_or_default()).collect()
}
