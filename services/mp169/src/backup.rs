//! `mp169 backup`: copies of the databases, each checked, and a list of what they hold.

pub(crate) mod manifest;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mesh_store::StoreError;
use mesh_types::{Clock as _, SystemClock};

use crate::cli::backup::BackupArgs;
use crate::cli::connection::Output;
use crate::denied::DENIED_FILE;
use crate::exit::NotWhole;
use crate::home::Folder;
use crate::output::{complain, print_line, print_table};
use crate::replace::replace;
use crate::service::Service;
use manifest::{Copied, MANIFEST, Manifest};

/// Only the owner may look into a folder of copies.
const MODE: u32 = 0o700;
/// What holds the private keys of a mesh.
pub(crate) const KEYS: [&str; 2] = ["authority", "certificates"];

/// Carries out the command.
pub(crate) async fn run(args: BackupArgs) -> Result<()> {
    let databases = if args.database.is_empty() {
        Folder::open(&args.home)?;
        followers_first(&args.home)?
    } else {
        args.database.clone()
    };
    make(&args.to)?;
    let made_time = SystemClock.now();
    let mut copies = Vec::new();
    for database in &databases {
        copies.push(copy(database, &args.to).await?);
    }
    if args.keys {
        for folder in KEYS {
            copy_folder(&args.home.join(folder), &args.to.join(folder))?;
        }
        fs::copy(args.home.join(DENIED_FILE), args.to.join(DENIED_FILE))?;
    }
    let manifest = Manifest {
        made_time,
        keys: args.keys,
        copies,
    };
    let text = serde_json::to_string_pretty(&manifest.json())?;
    replace(&args.to.join(MANIFEST), &text)?;
    match args.output {
        Output::Json => print_line(&manifest.json())?,
        Output::Table => print_table(&manifest::HEADER, manifest.rows())?,
    }
    if !args.keys {
        complain(
            &"Not in it: authority/, certificates/ and denied.toml, which hold keys. Keep them elsewhere, or give --keys.",
        );
    }
    Ok(())
}

/// The databases of a home: each follower before the services that it follows.
fn followers_first(home: &Path) -> Result<Vec<PathBuf>> {
    let rank = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default();
        let service = Service::ALL
            .iter()
            .position(|service| name == service.name());
        // An audit's follows nobody and is followed by nobody.
        std::cmp::Reverse(service.unwrap_or(Service::ALL.len()))
    };
    let mut databases = Vec::new();
    for entry in fs::read_dir(home).with_context(|| format!("cannot read {}", home.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "db") {
            databases.push(path);
        }
    }
    databases.sort_by_key(|path| (rank(path), path.clone()));
    if databases.is_empty() {
        bail!("there is no database in {}", home.display());
    }
    Ok(databases)
}

/// Makes the folder, or takes one that is empty.
fn make(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(MODE).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))?;
    if fs::read_dir(folder)?.next().is_some() {
        bail!(
            "{} is not empty: name another folder with --to, so that no backup is overwritten",
            folder.display()
        );
    }
    Ok(())
}

async fn copy(database: &Path, to: &Path) -> Result<Copied> {
    let name = database.file_name().context("--database names a file")?;
    let to = to.join(name);
    if to.exists() {
        bail!("two databases have the name {}", name.display());
    }
    let explain = |error| match error {
        StoreError::Inconsistent { table, what } => {
            anyhow::Error::new(NotWhole(format!("{}: {table}: {what}", database.display())))
        }
        other => anyhow::Error::new(other).context(format!("cannot copy {}", database.display())),
    };
    mesh_store::backup(database, &to).await.map_err(explain)?;
    let copied = Copied::read(&to).await;
    copied.with_context(|| format!("{} was copied to {}", database.display(), to.display()))
}

pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    make(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &copy)?;
        } else {
            // With its mode.
            fs::copy(entry.path(), &copy)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
