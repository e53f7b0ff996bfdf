//! How does a file change at once for whoever reads it meanwhile, and stay theirs?

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Writes beside the file and moves that over it; on the disk before it is said to be done. Whoever
/// may read the old one may read the new one: if its owner, group or mode cannot be kept, it stays
/// as it is.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = beside(path, "new");
    write(&fresh, path, text)
        .and_then(|()| fs::rename(&fresh, path))
        .inspect_err(|_| {
            // The first error is the one to report; a leftover file is only untidy.
            let _ = fs::remove_file(&fresh);
        })?;
    match path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn write(fresh: &Path, path: &Path, text: &str) -> io::Result<()> {
    // What an interrupted command left may be another user's.
    absent(fs::remove_file(fresh))?;
    let mut file = File::create_new(fresh)?;
    // It is empty until only its readers can open it.
    if let Some(old) = absent(fs::metadata(path))? {
        give(&file, &old)?;
        file.set_permissions(old.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What was found, or nothing where no such file is.
fn absent<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The path with another ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Gives a file to the owner and group of another.
#[cfg(unix)]
pub(crate) fn give(file: &File, like: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};

    let (uid, gid) = (like.uid(), like.gid());
    let own = file.metadata()?;
    if (own.uid(), own.gid()) == (uid, gid) {
        return Ok(());
    }
    fchown(file, Some(uid), Some(gid)).map_err(|error| {
        let words = format!(
            "its owner and group ({uid}:{gid}) could not be kept, so it was left as it is; give \
             the command as its owner or as root: {error}"
        );
        io::Error::new(error.kind(), words)
    })
}

/// Elsewhere the folder's own permissions apply.
#[cfg(not(unix))]
pub(crate) fn give(_file: &File, _like: &Metadata) -> io::Result<()> {
    Ok(())
}
