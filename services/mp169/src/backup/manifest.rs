//! What does a backup hold?

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use mesh_api::convert::timestamp_to_wire;
use mesh_store::log::Head;
use mesh_store::offline::Offline;
use mesh_types::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::exit::NotWhole;
use crate::log::read_stamp;
use crate::output::{instant, json as wire_json};

/// Its name in the folder of a backup.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The columns of a manifest for people.
pub(super) const HEADER: [&str; 5] = ["file", "log", "events", "last recorded", "hash of the last"];

/// The copies of one backup.
#[derive(Debug)]
pub(super) struct Manifest {
    /// When it was begun.
    pub(super) made_time: Timestamp,
    /// Whether the keys of the mesh are in it.
    pub(super) keys: bool,
    /// In the order in which they were made.
    pub(super) copies: Vec<Copied>,
}

/// One copy, which is whole.
#[derive(Debug)]
pub(super) struct Copied {
    file: String,
    octets: u64,
    sha256: [u8; 32],
    heads: Vec<Head>,
}

impl Manifest {
    pub(super) fn json(&self) -> Value {
        json!({
            "made_time": time(self.made_time),
            "keys": self.keys,
            "databases": self.copies.iter().map(Copied::json).collect::<Vec<_>>(),
        })
    }

    /// A row for each log, and one for a database that has none.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for copy in &self.copies {
            if copy.heads.is_empty() {
                let none = ["–"; 4].map(str::to_owned);
                rows.push([vec![copy.file.clone()], none.to_vec()].concat());
            }
            rows.extend(copy.heads.iter().map(|head| {
                vec![
                    copy.file.clone(),
                    head.position.log.to_string(),
                    head.position.sequence.to_string(),
                    instant(Some(&timestamp_to_wire(head.recorded_time))),
                    hex::encode(head.hash),
                ]
            }));
        }
        rows
    }
}

impl Copied {
    /// Checks the copy at `path` as an auditor would: every event of every log, and the file.
    pub(super) async fn read(path: &Path) -> Result<Self> {
        let mut file = Offline::open(path).await?;
        let name = path.file_name().context("a copy is a file")?;
        let name = name.to_string_lossy().into_owned();
        let mut heads = Vec::new();
        for log in file.verify(read_stamp, || {}).await? {
            let not_whole = |misfit| NotWhole(format!("{name}: {} at {misfit}", log.log));
            heads.push(log.found.map_err(not_whole)?);
        }
        if let Some(damage) = file.damage().await? {
            return Err(NotWhole(format!("{name}: {damage}")).into());
        }
        drop(file);
        let (octets, sha256) = digest(path)?;
        Ok(Self {
            file: name,
            octets,
            sha256,
            heads,
        })
    }

    fn json(&self) -> Value {
        let logs = self.heads.iter().map(|head| {
            json!({
                "log": head.position.log.as_str(),
                "epoch": head.position.epoch.get().to_string(),
                "sequence": head.position.sequence.to_string(),
                "hash": hex::encode(head.hash),
                "recorded_time": time(head.recorded_time),
            })
        });
        json!({
            "file": self.file,
            "octets": self.octets.to_string(),
            "sha256": hex::encode(self.sha256),
            "logs": logs.collect::<Vec<_>>(),
        })
    }
}

/// How long a file is, and its SHA-256.
pub(crate) fn digest(path: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(path)?;
    let mut sha256 = Sha256::new();
    let mut octets = 0;
    let mut part = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut part)?;
        let Some(part) = part.get(..read).filter(|part| !part.is_empty()) else {
            return Ok((octets, sha256.finalize().into()));
        };
        sha256.update(part);
        octets += u64::try_from(read).unwrap_or_default();
    }
}

/// As the contracts write it; nothing for a time that they cannot express.
fn time(at: Timestamp) -> Option<Value> {
    wire_json(&timestamp_to_wire(at)).ok()
}
