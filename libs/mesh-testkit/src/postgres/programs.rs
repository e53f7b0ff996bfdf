//! Which PostgreSQL is installed here, and as whom may it run?

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest major version that the mesh works with.
const OLDEST: u32 = 15;
/// Where Debian and those that come from it keep one folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// With this variable a test fails where it would be skipped.
const REQUIRED: &str = "MP169_REQUIRE_POSTGRES";

/// The folder of the newest PostgreSQL that is new enough; `None`, and a printed line, if there is none.
///
/// # Panics
/// If there is none and [`REQUIRED`] is `1`.
pub(super) fn find() -> Option<PathBuf> {
    let found = folders().into_iter().filter_map(|folder| {
        let version = version(&folder)?;
        (version >= OLDEST).then_some((version, folder))
    });
    let newest = found.max_by_key(|(version, _)| *version);
    if newest.is_none() {
        let missing = format!("PostgreSQL {OLDEST} or newer is not installed");
        let required = std::env::var_os(REQUIRED).is_some_and(|value| value == "1");
        assert!(!required, "{missing}, and {REQUIRED} is set");
        eprintln!("not tried: {missing}");
    }
    newest.map(|(_, folder)| folder)
}

/// Every folder that may hold the programs.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(told) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(String::from_utf8_lossy(&told.stdout).trim().into());
    }
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders
}

/// The major version of the server in a folder that holds all programs.
fn version(folder: &Path) -> Option<u32> {
    let all = ["postgres", "initdb", "psql", "pg_isready", "pg_basebackup"];
    if !all.iter().all(|program| folder.join(program).is_file()) {
        return None;
    }
    let mut postgres = Command::new(folder.join("postgres"));
    let told = postgres.arg("--version").output().ok()?;
    major(&String::from_utf8_lossy(&told.stdout))
}

/// From `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `16beta2` or `18devel`.
fn major(told: &str) -> Option<u32> {
    let version = told.split_whitespace().nth(2)?;
    let end = version.find(|c: char| !c.is_ascii_digit());
    version[..end.unwrap_or(version.len())].parse().ok()
}

/// A user of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub(super) id: u32,
    pub(super) group: u32,
}

/// As whom the server runs if not as ourselves: PostgreSQL refuses to be root.
pub(super) fn other_user() -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the users of this machine");
    let user = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| named(&users, name));
    Some(user.expect("a user that is not root: postgres or nobody"))
}

fn named(users: &str, name: &str) -> Option<User> {
    let lines = users.lines().map(|line| line.split(':'));
    let mut line = lines
        .into_iter()
        .find(|line| line.clone().next() == Some(name))?;
    Some(User {
        id: line.nth(2)?.parse().ok()?,
        group: line.next()?.parse().ok()?,
    })
}

/// A new run of one of the programs, without what the environment says about servers elsewhere.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_in_many_ways() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major(debian), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 16beta2"), Some(16));
        assert_eq!(major("postgres (PostgreSQL) 18devel"), Some(18));
        assert_eq!(major("postgres (PostgreSQL)"), None);
        assert_eq!(major("postgres (PostgreSQL) new"), None);
    }

    #[test]
    fn a_user_is_found_by_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        let nobody = named(users, "nobody").unwrap();
        assert_eq!((nobody.id, nobody.group), (65534, 65533));
        assert!(named(users, "body").is_none());
    }
}
