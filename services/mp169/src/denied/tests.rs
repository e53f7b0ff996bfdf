//! Does a list stay what people made of it, whatever is added and taken off?

use mesh_testkit::temp_dir;

use super::*;

const NOW: &str = "2026-11-28T10:00:00.5Z";

fn certificate(serial: &str) -> Denied {
    Denied::Certificate(CertificateId {
        serial: serial.parse().unwrap(),
        issuer: "O=A \\\"quoted\\\" name, CN=Issuer".parse().unwrap(),
    })
}

fn identity(text: &str) -> Denied {
    Denied::Identity(text.parse().unwrap())
}

fn denied(path: &Path, denied: &[Denied]) -> Vec<bool> {
    let reason = "laptop \"stolen\"".parse().unwrap();
    deny(path, denied, Some(&reason), NOW.parse().unwrap()).unwrap()
}

#[test]
fn what_is_denied_is_read_back_once_however_often_it_is_denied() {
    let folder = temp_dir();
    let path = folder.path().join("denied.toml");
    fs::write(&path, HEADER).unwrap();
    let all = [certificate("0abc"), certificate("01"), identity("dsp")];
    assert_eq!(denied(&path, &all[..2]), [true, true]);
    assert_eq!(denied(&path, &all), [false, false, true]);
    assert_eq!(denied(&path, &all), [false, false, false]);
    let list = read(&path).unwrap();
    let entries: Vec<_> = list.entries().iter().map(|entry| &entry.denied).collect();
    assert_eq!(entries, [&all[0], &all[1], &all[2]]);
    let first = &list.entries()[0];
    assert_eq!(first.time.as_deref(), Some("2026-11-28T10:00:00Z"));
    let reason = first.reason.as_ref().unwrap();
    assert_eq!(reason.as_str(), "laptop \"stolen\"");

    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(HEADER), "{text}");

    assert_eq!(accept(&path, &all[1..]).unwrap(), [true, true]);
    assert_eq!(accept(&path, &all[1..]).unwrap(), [false, false]);
    assert_eq!(read(&path).unwrap().entries().len(), 1);
    denied(&path, &all);
    accept(&path, &all[..1]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(HEADER), "{text}");
    accept(&path, &all).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap().trim_end(),
        HEADER.trim_end()
    );
    let names = fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        names.len() == 2 && names.contains(&"denied.toml".into()),
        "{names:?}"
    );
}

#[test]
fn comments_and_spellings_of_people_stay() {
    let folder = temp_dir();
    let path = folder.path().join("denied.toml");
    let written = "# Ours.\n\n[[certificate]] # from the ticket\nserial = \"00:0A:BC\"\n\
        issuer = 'CN = Issuer, O = \"A \\\"quoted\\\" name\"'\n\n[[identity]]\nidentity = \"dsp\" # for a while\n";
    fs::write(&path, written).unwrap();
    assert_eq!(denied(&path, &[certificate("ABC")]), [false]);
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    assert_eq!(denied(&path, &[certificate("2")]), [true]);
    let text = fs::read_to_string(&path).unwrap();
    for kept in ["# Ours.", "# from the ticket", "# for a while", "00:0A:BC"] {
        assert!(text.contains(kept), "{text}");
    }
    accept(&path, &[certificate("ABC"), certificate("2")]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        !text.contains("serial") && text.contains("# for a while"),
        "{text}"
    );
    // The same in the short form of TOML.
    fs::write(&path, "identity = [{ identity = 'dsp' }]\n").unwrap();
    assert_eq!(denied(&path, &[identity("operator")]), [true]);
    assert_eq!(accept(&path, &[identity("dsp")]).unwrap(), [true]);
    let list = read(&path).unwrap();
    assert_eq!(list.entries()[0].denied, identity("operator"));
}

#[test]
fn a_list_that_cannot_be_read_is_left_alone() {
    let folder = temp_dir();
    let path = folder.path().join("denied.toml");
    fs::write(&path, "# Ours.\n[[certificat]]\n").unwrap();
    let error = deny(&path, &[identity("dsp")], None, NOW.parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "# Ours.\n[[certificat]]\n"
    );
}

#[cfg(unix)]
#[test]
fn a_link_stays_one_and_readers_stay_readers() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let folder = temp_dir();
    let (real, link) = (
        folder.path().join("real"),
        folder.path().join("denied.toml"),
    );
    fs::write(&real, "").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, &link).unwrap();
    denied(&link, &[identity("dsp")]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(read(&real).unwrap().entries().len(), 1);
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
}

/// As when somebody else than the services revokes: with sudo, say.
#[cfg(unix)]
#[test]
fn the_owner_and_the_group_of_a_list_stay() {
    use std::os::unix::fs::{MetadataExt as _, chown};

    let folder = temp_dir();
    let path = folder.path().join("denied.toml");
    fs::write(&path, "").unwrap();
    // Only root gives files away; whoever else runs this keeps their own.
    let _ = chown(&path, Some(12_345), Some(54_321));
    let owner = |path: &Path| fs::metadata(path).map(|held| (held.uid(), held.gid()));
    let before = owner(&path).unwrap();
    denied(&path, &[identity("dsp")]);
    assert_eq!(owner(&path).unwrap(), before);
    // So that the owner can give the command, too.
    assert_eq!(owner(&beside(&path, "lock")).unwrap(), before);
}

#[test]
fn commands_at_once_lose_nothing() {
    let folder = temp_dir();
    let path = folder.path().join("denied.toml");
    fs::write(&path, HEADER).unwrap();
    std::thread::scope(|scope| {
        for first in 0..8 {
            let path = &path;
            scope.spawn(move || {
                for second in 0..8 {
                    denied(path, &[certificate(&format!("{first}{second}"))]);
                }
            });
        }
    });
    assert_eq!(read(&path).unwrap().entries().len(), 64);
}
