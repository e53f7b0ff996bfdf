//! Is the file that is written to still the one that the next start will open?

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sqlite::beside;

/// The files of an open database.
#[derive(Debug)]
pub(crate) struct Files([Place; 2]);

/// A name, and which file it named when the database was opened.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Neither a database nor its `-wal` becomes shorter while it is open.
    longest: AtomicU64,
}

impl Files {
    /// The files of the database at `path`, all of which are open.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let place = |path: PathBuf| {
            let file = path.metadata()?;
            Ok::<_, io::Error>(Place {
                device: file.dev(),
                inode: file.ino(),
                longest: AtomicU64::new(file.len()),
                path,
            })
        };
        Ok(Self([
            place(path.to_owned())?,
            place(beside(path, "-wal"))?,
        ]))
    }

    /// The name of the database.
    pub(crate) fn database(&self) -> &Path {
        &self.0[0].path
    }

    /// Whether the name of the database still names the file that was opened.
    pub(crate) fn database_is_there(&self) -> bool {
        self.0[0].is_there()
    }

    /// Whether each name still names the file that is open, and nobody has cut it off.
    pub(crate) fn are_there(&self) -> bool {
        self.0.iter().all(Place::is_there)
    }
}

impl Place {
    fn is_there(&self) -> bool {
        self.path.metadata().is_ok_and(|file| {
            let longest = self.longest.fetch_max(file.len(), Ordering::Relaxed);
            (file.dev(), file.ino()) == (self.device, self.inode) && file.len() >= longest
        })
    }
}
