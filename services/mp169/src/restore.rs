//! `mp169 restore`: copies put in place of databases that are lost.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use mesh_store::{Location, restore};
use serde_json::Value;

use crate::backup::manifest::{MANIFEST, digest};
use crate::backup::{KEYS, copy_folder};
use crate::cli::restore::RestoreArgs;

use crate::denied::DENIED_FILE;
use crate::exit::{NotWhole, Usage};
use crate::home::Folder;
use crate::loss::{decision, explain, resolve, show};
use crate::schemas;
use crate::service::Service;

/// Carries out the command.
pub(crate) async fn run(args: RestoreArgs) -> Result<()> {
    let files = checked(&args)?;
    for seen in &args.seen {
        let log = &seen.position.log;
        let file = Service::database_of(log.as_str());
        if !file.is_some_and(|file| files.contains(&file)) {
            return Err(Usage(format!("no database that is restored has the log {log}")).into());
        }
    }
    // What goes to a server has no home.
    let _claim = if args.consent.yes && args.into.is_empty() {
        put_keys_back(&args)?;
        Some(Folder::open(&args.home)?.claim()?)
    } else {
        None
    };
    let decision = decision(&args.reason, &args.seen);
    let resolve = resolve(args.consent);
    let mut all = Vec::new();
    for file in files {
        let backup = args.from.join(&file);
        let at = place(&args, &file);
        let accepted = restore(
            &backup,
            &at,
            args.replace,
            &schemas::all(),
            &decision,
            resolve,
        )
        .await;
        let accepted = accepted.map_err(|error| explain(&at, error))?;
        all.push((at, accepted));
    }
    show(
        &all,
        args.output,
        args.consent,
        "Restored. Start the services again (`mp169 up`); followers make everything anew. Tell the suppliers whose flags are lost.",
    )
}

/// Where a file of the backup goes.
fn place(args: &RestoreArgs, file: &str) -> Location {
    let named = args.into.iter().find(|into| into.file == file);
    named.map_or_else(
        || Location::from(&args.home.join(file)),
        |into| into.at.clone(),
    )
}

/// Whether a file of the backup is asked for.
fn is_asked(args: &RestoreArgs, file: &str) -> bool {
    let all = args.database.is_empty() && args.into.is_empty();
    all || asked(args).any(|asked| asked == file)
}

/// The files that are named.
fn asked(args: &RestoreArgs) -> impl Iterator<Item = &str> {
    let files = args.database.iter().map(String::as_str);
    files.chain(args.into.iter().map(|into| into.file.as_str()))
}

/// The files of the backup that are asked for, each as the manifest says.
fn checked(args: &RestoreArgs) -> Result<Vec<String>> {
    let path = args.from.join(MANIFEST);
    let text = fs::read(&path)
        .with_context(|| format!("{} is no finished backup", args.from.display()))?;
    let manifest: Value = serde_json::from_slice(&text)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let copies = manifest["databases"].as_array().into_iter().flatten();
    let mut files = Vec::new();
    for copy in copies {
        let file = copy["file"].as_str().context("a manifest names files")?;
        // A name, and no way to elsewhere.
        if Path::new(file).file_name() != Some(file.as_ref()) {
            bail!("{} names {file}, which is no file's name", path.display());
        }
        if !is_asked(args, file) {
            continue;
        }
        let (_, sha256) = digest(&args.from.join(file))
            .with_context(|| format!("cannot read {file} of the backup"))?;
        if copy["sha256"] != hex::encode(sha256) {
            let what = format!("{file} is not what {} says", path.display());
            return Err(NotWhole(what).into());
        }
        files.push(file.to_owned());
    }
    if let Some(missing) = asked(args).find(|asked| files.iter().all(|file| file != asked)) {
        bail!("{} has no {missing}", path.display());
    }
    Ok(files)
}

/// Where there is no authority, a backup's is put, with all that goes with it.
fn put_keys_back(args: &RestoreArgs) -> Result<()> {
    let there = args.home.join(KEYS[0]).exists();
    if there || !args.from.join(KEYS[0]).exists() {
        return Ok(());
    }
    for folder in KEYS {
        copy_folder(&args.from.join(folder), &args.home.join(folder))?;
    }
    let denied = args.from.join(DENIED_FILE);
    fs::copy(&denied, args.home.join(DENIED_FILE))
        .with_context(|| format!("cannot copy {}", denied.display()))?;
    Ok(())
}
