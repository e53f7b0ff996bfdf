//! A disk that is really full.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A small disk of its own, where a test may mount one.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// One of so many MiB; `None` where nothing can be mounted.
    #[must_use]
    pub fn of(mebioctets: u32) -> Option<Self> {
        let folder = crate::temp_dir();
        let size = format!("size={mebioctets}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
        let mounted = mount.arg(folder.path()).output();
        let mounted = mounted.is_ok_and(|mounted| mounted.status.success());
        if !mounted {
            println!("not tried: no tmpfs can be mounted here");
        }
        mounted.then(|| Self(folder))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last octet.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file");
        for length in [1 << 20, 4_096, 1] {
            while ballast.write_all(&vec![0; length]).is_ok() {}
        }
    }

    /// Takes away again what filled it.
    pub fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("a file");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Makes it larger.
    pub fn grow(&self, mebioctets: u32) {
        let size = format!("remount,size={mebioctets}m");
        let mut mount = Command::new("mount");
        let grown = mount.args(["-o", &size]).arg(self.path()).status();
        assert!(grown.is_ok_and(|grown| grown.success()), "a larger disk");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}
