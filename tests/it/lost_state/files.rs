//! What can be done to a database behind the back of its service?

use std::path::{Path, PathBuf};

use mesh_testkit::{TempDir, temp_dir};
use mp169::service::Service;

/// What SQLite and the store keep beside a file.
const SIDE_FILES: [&str; 3] = ["-wal", "-shm", WITNESS];
const WITNESS: &str = ".witness";

/// The database of a service, and what lies beside it.
pub(super) struct Database(PathBuf);

/// A database as it once was.
pub(super) struct Copy(TempDir);

impl Database {
    pub(super) fn of(home: &Path, service: Service) -> Self {
        Self(home.join(format!("{}.db", service.name())))
    }

    /// That of a service's audit.
    pub(super) fn of_audit(home: &Path, service: Service) -> Self {
        Self(home.join(format!("{}-audit.db", service.name())))
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

    /// Puts a copy of the database file in its place, and leaves the witness of now beside it. The
    /// service must be stopped.
    pub(super) fn put_back_under_the_witness(&self, copy: &Copy) {
        let witness = std::fs::read(beside(&self.0, WITNESS)).unwrap();
        self.put_back(copy);
        std::fs::write(beside(&self.0, WITNESS), witness).unwrap();
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What is in the file with this suffix; `None` if it is not there.
    pub(super) fn read(&self, suffix: &str) -> Option<Vec<u8>> {
        std::fs::read(beside(&self.0, suffix)).ok()
    }

    /// Writes the file with this suffix anew.
    pub(super) fn write(&self, suffix: &str, content: &[u8]) {
        std::fs::write(beside(&self.0, suffix), content).unwrap();
    }

    /// Flips an octet in the middle of the file with this suffix, and gives what was in it.
    pub(super) fn flip_middle(&self, suffix: &str) -> Vec<u8> {
        let whole = self.read(suffix).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        self.write(suffix, &flipped);
        whole
    }

    /// Removes the file with this suffix.
    pub(super) fn remove(&self, suffix: &str) {
        std::fs::remove_file(beside(&self.0, suffix)).unwrap();
    }

    /// All that the next start goes by.
    pub(super) fn evidence(&self) -> [Option<Vec<u8>>; 3] {
        ["", "-wal", WITNESS].map(|suffix| self.read(suffix))
    }

    /// Moves the file away, as one who deletes it and has it still, and gives its place.
    pub(super) fn take_away(&self) -> PathBuf {
        let away = beside(&self.0, ".away");
        std::fs::rename(&self.0, &away).unwrap();
        away
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
