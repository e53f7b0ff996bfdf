//! What do readers cost that follow a log and take nothing?
//!
//! They run in a process of their own, so that only the services' memory is measured here.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_api::common::v1::{FollowStart, SnapshotStart, follow_start};
use mesh_api::flag_registry::v1::FollowFlagsRequest;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mp169::service::Service;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::town::{Town, endpoint};

/// Who may follow the log `flags` with so many streams.
const READER: &str = "auditor";
const READERS: usize = 200;
const CONNECTIONS: usize = 4;
/// Between two looks at the memory, which is taken when it has stopped growing.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: usize = 60;

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct IdleReaders {
    pub(crate) readers: usize,
    /// The memory of the services with the readers, less what it was before, in MiB.
    pub(crate) mib: f64,
}

impl IdleReaders {
    /// `None` where the system does not tell how much memory a process has.
    pub(crate) async fn measure(town: &Town) -> Result<Option<Self>> {
        let Some(before) = resident() else {
            return Ok(None);
        };
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--folder")
            .arg(town.path())
            .args(["--read-nothing-from", town.address(Service::FlagRegistry)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = child.stdout.take().context("the readers can speak")?;
        let mut said = BufReader::new(said).lines();
        let line = said.next_line().await?;
        line.context("the readers did not get their streams")?;
        let mut most = before;
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK).await;
            let now = resident().unwrap_or(before);
            if now <= most {
                break;
            }
            most = now;
        }
        drop(child.stdin.take());
        child.wait().await?;
        Ok(Some(Self {
            readers: READERS,
            mib: most - before,
        }))
    }
}

/// The part of the other process: opens the streams, says so, and takes nothing until its input ends.
pub(crate) async fn hold(home: &Path, address: &str) -> Result<()> {
    let endpoint = endpoint(home, Service::FlagRegistry, address, READER)?;
    let channels: Vec<_> = (0..CONNECTIONS).map(|_| endpoint.connect_lazy()).collect();
    let snapshot = follow_start::Start::Snapshot(SnapshotStart::default());
    let mut streams = Vec::new();
    for number in 0..READERS {
        let channel = channels[number % CONNECTIONS].clone();
        let request = FollowFlagsRequest {
            start: Some(FollowStart {
                start: Some(snapshot.clone()),
                seen: None,
            }),
        };
        let stream = FlagServiceClient::new(channel)
            .follow_flags(request)
            .await?;
        streams.push(stream.into_inner());
    }
    println!("reading nothing");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// The memory of this process, in MiB.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52 KiB")]
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib as f64 / 1024.0)
}
