//! How is the witness written so that neither a killed process nor a loss of power takes it away?
//!
//! The file has three places. One is on the disk, one may be on its way there, and one is written
//! after each commit, without waiting for the disk: a process that is killed loses nothing of that,
//! and a loss of power leaves the place that was synced last. [`WitnessFile::turn`] moves on.
//!
//! All places are equally large. One that is too small for all logs makes way for a file with larger ones,
//! which takes its place at once or not at all.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Remembered;
use crate::sqlite::{beside, private, sync_folder};

/// The suffix of its name.
pub(crate) const SUFFIX: &str = ".witness";
const PLACES: u64 = 3;
/// The room of a place at first: for some two hundred logs and followers.
const ROOM: usize = 32 << 10;

/// An open witness.
#[derive(Debug)]
pub(crate) struct WitnessFile {
    file: Arc<File>,
    /// The database file that it lies beside.
    path: PathBuf,
    /// Octets of a place.
    room: usize,
    place: u64,
    generation: u64,
}

/// What stands in the witness beside a database file.
#[derive(Debug)]
pub(crate) enum Beside {
    /// There is none.
    Nothing,
    /// It cannot be read.
    Damaged,
    /// What it remembers.
    Witness(Box<Remembered>),
}

/// Reads the witness of the database file at `path`.
pub(crate) fn read(path: &Path) -> io::Result<Beside> {
    let mut octets = Vec::new();
    match File::open(beside(path, SUFFIX)) {
        Ok(mut file) => file.read_to_end(&mut octets)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Beside::Nothing),
        Err(error) => return Err(error),
    };
    Ok(latest(&octets).map_or(Beside::Damaged, |(_, _, read)| Beside::Witness(read.into())))
}

/// The newest of the places that can be read: its number, its generation and what it says.
fn latest(octets: &[u8]) -> Option<(u64, u64, Remembered)> {
    let read = |(place, octets)| {
        let (generation, read) = Remembered::decode(octets)?;
        Some((place, generation, read))
    };
    let places = (0..PLACES)
        .zip(octets.chunks(room_in(octets.len())))
        .filter_map(read);
    places.max_by_key(|(_, generation, _)| *generation)
}

/// The room of each place in a file of so many octets.
fn room_in(octets: usize) -> usize {
    let places = usize::try_from(PLACES).unwrap_or(usize::MAX);
    (octets / places).max(ROOM)
}

/// Room for a text, and for half as much again that comes later.
fn room_for(text: &str) -> usize {
    (text.len() + text.len() / 2).next_power_of_two().max(ROOM)
}

/// Puts a witness with this text in its first place beside the database file at `path`: it appears with
/// all of that, or not at all. Beside the file: whether its name is on the disk.
fn put(path: &Path, text: String, room: usize) -> io::Result<(File, io::Result<()>)> {
    let new = beside(path, ".witness.new");
    let file = private(&new)?;
    // All of it at once, so that a full disk has room for what is written later.
    let mut octets = text.into_bytes();
    octets.resize(usize::try_from(PLACES).unwrap_or_default() * room, 0);
    file.set_len(0)?;
    file.write_all_at(&octets, 0)?;
    file.sync_all()?;
    std::fs::rename(&new, beside(path, SUFFIX))?;
    let named = sync_folder(path);
    Ok((file, named))
}

impl WitnessFile {
    /// Opens the witness of the database file at `path` and writes `remembered` into it. One that is
    /// made appears with all that it says, or not at all.
    pub(crate) fn open(path: &Path, remembered: &Remembered) -> io::Result<Self> {
        let name = beside(path, SUFFIX);
        if !name.exists() {
            let text = remembered.encode(0);
            let room = room_for(&text);
            put(path, text, room)?.1?;
        }
        let file = private(&name)?;
        let mut octets = Vec::new();
        (&file).read_to_end(&mut octets)?;
        // After a kill the newest may not be on the disk yet.
        file.sync_all()?;
        let (place, generation) = match latest(&octets) {
            // The newest stays as it is until the next one is on the disk.
            Some((place, generation, _)) => ((place + 1) % PLACES, generation),
            None => (0, 0),
        };
        let mut witness = Self {
            file: Arc::new(file),
            path: path.to_owned(),
            room: room_in(octets.len()),
            place,
            generation,
        };
        witness.write(remembered)?;
        Ok(witness)
    }

    /// Writes what is to be remembered, and does not wait for the disk.
    pub(crate) fn write(&mut self, remembered: &Remembered) -> io::Result<()> {
        let text = remembered.encode(self.generation + 1);
        if text.len() > self.room {
            return self.grow(text);
        }
        let at = self.place * u64::try_from(self.room).unwrap_or_default();
        self.file.write_all_at(text.as_bytes(), at)?;
        self.generation += 1;
        Ok(())
    }

    /// Writes a text that is longer than a place, into a file with larger ones. It is on the disk then.
    fn grow(&mut self, text: String) -> io::Result<()> {
        let room = room_for(&text);
        let (file, named) = put(&self.path, text, room)?;
        self.file = Arc::new(file);
        self.room = room;
        self.place = 1;
        self.generation += 1;
        named
    }

    /// Leaves what was written as it is: what comes next is written elsewhere. The file that is
    /// returned must be synced before the next turn.
    pub(crate) fn turn(&mut self) -> Arc<File> {
        self.place = (self.place + 1) % PLACES;
        Arc::clone(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{remembered, seen};
    use super::*;

    fn pulse(path: &Path) -> Option<i64> {
        match read(path).unwrap() {
            Beside::Witness(read) => Some(read.pulse),
            Beside::Nothing | Beside::Damaged => None,
        }
    }

    #[test]
    fn the_newest_is_read_and_a_torn_one_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        assert!(matches!(read(&path).unwrap(), Beside::Nothing));
        let mut remembered = remembered();
        let mut file = WitnessFile::open(&path, &remembered).unwrap();
        for pulse_now in 1..=10 {
            remembered.pulse = pulse_now;
            file.write(&remembered).unwrap();
            assert_eq!(pulse(&path), Some(pulse_now));
            if pulse_now % 2 == 0 {
                file.turn().sync_all().unwrap();
                let place = file.place;
                file.write(&Remembered {
                    pulse: 1000,
                    ..remembered.clone()
                })
                .unwrap();
                // The write was cut off by a loss of power.
                let at = place * u64::try_from(file.room).unwrap();
                file.file.write_all_at(&[0; 64], at + 40).unwrap();
                assert_eq!(pulse(&path), Some(pulse_now));
            }
        }
        drop(file);
        assert_eq!(pulse(&path), Some(10));
        remembered.pulse = 11;
        WitnessFile::open(&path, &remembered).unwrap();
        assert_eq!(pulse(&path), Some(11));
    }

    #[test]
    fn the_places_grow_with_the_logs_and_the_newest_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let mut remembered = remembered();
        let mut file = WitnessFile::open(&path, &remembered).unwrap();
        for number in 0..600 {
            let log = seen(&format!("csp/{number}"), 7, 300);
            remembered.logs.insert(log.position.log.clone(), log);
            remembered.pulse = number;
            file.write(&remembered).unwrap();
            if number % 7 == 0 {
                file.turn().sync_all().unwrap();
            }
            if number % 100 == 0 {
                let Beside::Witness(read) = read(&path).unwrap() else {
                    panic!("{number}");
                };
                assert_eq!(*read, remembered);
            }
        }
        assert!(file.room > ROOM);
        // One that was cut off leaves the one before, wherever it lies by now.
        file.turn().sync_all().unwrap();
        let place = file.place;
        remembered.pulse += 1;
        file.write(&remembered).unwrap();
        let at = place * u64::try_from(file.room).unwrap();
        file.file.write_all_at(&[0; 64], at + 40).unwrap();
        assert_eq!(pulse(&path), Some(599));
        drop(file);
        let file = WitnessFile::open(&path, &remembered).unwrap();
        assert_eq!(pulse(&path), Some(600));
        drop(file);
        // Without most of its logs it stays as large as it is.
        let few = super::super::tests::remembered();
        WitnessFile::open(&path, &few).unwrap();
        assert_eq!(pulse(&path), Some(few.pulse));
    }

    #[test]
    fn one_that_cannot_be_read_is_not_the_same_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        std::fs::write(beside(&path, SUFFIX), b"").unwrap();
        assert!(matches!(read(&path).unwrap(), Beside::Damaged));
    }
}
