//! What can be done to a database behind the back of its service?

use std::path::{Path, PathBuf};

use mesh_testkit::{TempDir, temp_dir};
use mp169::service::Service;

/// What SQLite and the store keep beside a file.
const SIDE_FILES: [&str; 3] = ["-wal", "-shm", ".witness"];

/// The database of a service, and what lies beside it.
pub(super) struct Database(PathBuf);

/// A database as it once was.
pub(super) struct Copy(TempDir);

impl Database {
    pub(super) fn of(home: &Path, service: Service) -> Self {
        Self(home.join(format!("{}.db", service.name())))
    }

    /// Copies it, as somebody does who knows nothing of backups. The service must be stopped.
    pub(super) fn copy(&self) -> Copy {
        let copy = Copy(temp_dir());
        for file in self.files().filter(|file| file.exists()) {
            std::fs::copy(&file, copy.of(&file)).unwrap();
        }
        copy
    }

    /// Puts a copy in its place. The service must be stopped.
    pub(super) fn put_back(&self, copy: &Copy) {
        for file in self.files() {
            if file.exists() {
                std::fs::remove_file(&file).unwrap();
            }
            if copy.of(&file).exists() {
                std::fs::copy(copy.of(&file), &file).unwrap();
            }
        }
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let sides = SIDE_FILES.iter().chain(&[""]);
        sides.map(|suffix| beside(&self.0, suffix))
    }
}

impl Copy {
    fn of(&self, file: &Path) -> PathBuf {
        self.0.path().join(file.file_name().unwrap())
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
