//! `mp169 backup`: copies of the databases, each checked, and a list of what they hold.

pub(crate) mod manifest;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use mesh_store::{DatabaseServer, Location, StoreError, kept};
use mesh_types::{Clock as _, SystemClock};

use crate::cli::backup::BackupArgs;
use crate::cli::connection::Output;
use crate::cli::server::ServerUrl;
use crate::databases;
use crate::denied::DENIED_FILE;
use crate::exit::NotWhole;
use crate::home::Folder;
use crate::output::{complain, print_line, print_table};
use crate::replace::replace;
use crate::schemas::{self, SCHEMAS};
use crate::service::Service;
use manifest::{Copied, MANIFEST, Manifest};

/// Only the owner may look into a folder of copies.
const MODE: u32 = 0o700;
/// What holds the private keys of a mesh.
pub(crate) const KEYS: [&str; 2] = ["authority", "certificates"];

/// A database, the name of its copy, and when its turn is: followers come before those that they follow.
struct Turn {
    at: Location,
    file: String,
    rank: usize,
}

/// Carries out the command.
pub(crate) async fn run(args: BackupArgs) -> Result<()> {
    let mut turns = if let Some(file) = &args.database_file {
        of_server(&ServerUrl::kept_in(file)?.read()?).await?
    } else if args.database.is_empty() {
        Folder::open(&args.home)?;
        of_home(&args.home)?
    } else {
        named(&args.database).await?
    };
    turns.sort_by_key(|turn| turn.rank);
    make(&args.to)?;
    let made_time = SystemClock.now();
    let mut copies = Vec::new();
    for turn in &turns {
        copies.push(copy(turn, &args.to).await?);
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

/// The databases of a home.
fn of_home(home: &Path) -> Result<Vec<Turn>> {
    let mut turns = Vec::new();
    for entry in fs::read_dir(home).with_context(|| format!("cannot read {}", home.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "db") {
            turns.push(of_file(&path)?);
        }
    }
    turns.sort_by(|one, other| one.file.cmp(&other.file));
    if turns.is_empty() {
        match databases::server_of(home)? {
            None => bail!("there is no database in {}", home.display()),
            Some(server) => bail!(
                "the databases of this mesh are on the server {server}: name each with --database URL, or all with \
                 --database-file"
            ),
        }
    }
    Ok(turns)
}

/// Every database of the mesh on a server. One that is missing would be missed when all are put back.
async fn of_server(server: &DatabaseServer) -> Result<Vec<Turn>> {
    let names = databases::names();
    let there = server.present(&names).await?;
    let mut turns = Vec::new();
    for name in names {
        if !there.contains(&name) {
            bail!("there is no database {name} on {server}");
        }
        turns.push(Turn {
            at: server.url(&name).parse()?,
            file: format!("{name}.db"),
            rank: rank(&name),
        });
    }
    Ok(turns)
}

/// The databases that somebody names.
async fn named(databases: &[Location]) -> Result<Vec<Turn>> {
    let mut turns = Vec::new();
    for at in databases {
        turns.push(match at.file() {
            Some(path) => of_file(path)?,
            None => on_server(at).await?,
        });
    }
    Ok(turns)
}

fn of_file(path: &Path) -> Result<Turn> {
    let file = path.file_name().context("--database names a file")?;
    let stem = path.file_stem().unwrap_or_default();
    Ok(Turn {
        at: path.into(),
        file: file.to_string_lossy().into_owned(),
        rank: rank(&stem.to_string_lossy()),
    })
}

/// When the turn of the database of that name is. An audit's follows nobody and is followed by nobody.
fn rank(name: &str) -> usize {
    let rank = SCHEMAS.iter().position(|(service, _)| name == *service);
    rank.unwrap_or(0)
}

/// One on a server has a copy of the name that it would have in a home.
async fn on_server(at: &Location) -> Result<Turn> {
    let kept = kept(at, &schemas::all()).await;
    let kept = kept.with_context(|| format!("cannot read {at}"))?;
    let named = kept
        .logs
        .first()
        .and_then(|log| Service::database_of(log.as_str()));
    let (service, _) = SCHEMAS[kept.schema];
    Ok(Turn {
        at: at.clone(),
        file: named.unwrap_or_else(|| format!("{service}.db")),
        rank: kept.schema,
    })
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

async fn copy(turn: &Turn, to: &Path) -> Result<Copied> {
    let Turn { at, file, .. } = turn;
    let to = to.join(file);
    if to.exists() {
        bail!("two databases have the name {file}");
    }
    let explain = |error| match error {
        StoreError::Inconsistent { table, what } => {
            anyhow::Error::new(NotWhole(format!("{at}: {table}: {what}")))
        }
        other => anyhow::Error::new(other).context(format!("cannot copy {at}")),
    };
    let copied = mesh_store::backup(at, &to, &schemas::all()).await;
    copied.map_err(explain)?;
    let copied = Copied::read(&to).await;
    copied.with_context(|| format!("{at} was copied to {}", to.display()))
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
