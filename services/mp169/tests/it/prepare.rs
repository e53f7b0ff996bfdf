//! Does `mp169 prepare` make what services need that run apart, once, and anew what ends soon or is denied? Do
//! the client's commands fit such services?

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use mesh_testkit::temp_dir;

/// Gives the command, with everything below `site`, and says what it said.
fn prepare(site: &Path, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mp169"));
    command.arg("prepare").args(more);
    for folder in ["home", "services", "trust", "server"] {
        command.arg(format!("--{folder}")).arg(site.join(folder));
    }
    let ended = command.output().unwrap();
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert!(ended.status.success(), "{said}");
    said
}

/// Gives a command in the home: its exit code and what it said.
fn at_home(site: &Path, line: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mp169"));
    command.args(line.split_whitespace());
    command.env("MP169_HOME", site.join("home"));
    let ended = command.output().unwrap();
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    (ended.status.code(), said)
}

/// Every file, with its mode and what stands in it.
fn files(folder: &Path) -> BTreeMap<String, (u32, String)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let below = files(&path);
            found.extend(
                below
                    .into_iter()
                    .map(|(file, it)| (format!("{name}/{file}"), it)),
            );
        } else {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            found.insert(name, (mode, std::fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

#[test]
fn each_service_gets_its_own_and_nothing_is_made_twice() {
    let site = temp_dir();
    prepare(site.path(), &[]);
    let made = files(site.path());
    let of_services: Vec<_> = made
        .keys()
        .filter_map(|path| path.strip_prefix("services/"))
        .collect();
    assert_eq!(
        of_services,
        [
            "classification/audit-database.url",
            "classification/classification.crt.pem",
            "classification/classification.key.pem",
            "csp-notification/audit-database.url",
            "csp-notification/csp-notification.crt.pem",
            "csp-notification/csp-notification.key.pem",
            "csp-notification/database.url",
            "flag-registry/audit-database.url",
            "flag-registry/database.url",
            "flag-registry/flag-registry.crt.pem",
            "flag-registry/flag-registry.key.pem",
            "registration/audit-database.url",
            "registration/database.url",
            "registration/registration.crt.pem",
            "registration/registration.key.pem",
            "reporting/audit-database.url",
            "reporting/database.url",
            "reporting/reporting.crt.pem",
            "reporting/reporting.key.pem",
        ]
    );
    for (path, (mode, _)) in &made {
        let secret = [".key.pem", ".url", ".password"]
            .iter()
            .any(|ending| path.ends_with(ending));
        assert_eq!(*mode, if secret { 0o600 } else { 0o644 }, "{path}");
    }
    let (_, url) = &made["services/flag-registry/database.url"];
    let (_, password) = &made["server/flag-registry.password"];
    let trust = site.path().join("trust/ca.crt.pem");
    let expected = format!(
        "postgres://flag-registry:{}@postgres/flag-registry?sslmode=verify-full&sslrootcert={}\n",
        password.trim_end(),
        trust.display()
    );
    assert_eq!(*url, expected);
    let (_, addresses) = &made["home/addresses.json"];
    assert!(addresses.contains("\"flag-registry:16170\""), "{addresses}");

    prepare(site.path(), &[]);
    assert_eq!(files(site.path()), made);
}

#[test]
fn a_certificate_that_ends_soon_is_issued_anew() {
    let site = temp_dir();
    prepare(site.path(), &["--days", "20"]);
    let before = files(site.path());
    let said = prepare(site.path(), &[]);
    assert_eq!(
        said.matches("a certificate was issued").count(),
        6,
        "{said}"
    );
    let after = files(site.path());
    let is_old = |path: &str| after[path] == before[path];
    for path in [
        "services/registration/registration.crt.pem",
        "services/registration/registration.key.pem",
        "server/postgres.crt.pem",
    ] {
        assert!(!is_old(path), "{path}");
    }
    for path in [
        "trust/ca.crt.pem",
        "server/registration.password",
        "services/registration/database.url",
    ] {
        assert!(is_old(path), "{path}");
    }
}

#[test]
fn another_authority_is_trusted_and_then_issues() {
    let site = temp_dir();
    prepare(site.path(), &[]);
    let home = site.path().join("home");
    let authority = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mp169"));
        command.args(["certificate", "authority"]).args(arguments);
        let ended = command.arg("--home").arg(&home).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    let issued = |said: &str| said.matches("a certificate was issued").count();
    authority(&["add"]);
    assert_eq!(issued(&prepare(site.path(), &[])), 0);
    let trusted = files(site.path())["trust/ca.crt.pem"]
        .1
        .matches("BEGIN")
        .count();
    assert_eq!(trusted, 2);
    authority(&["use"]);
    assert_eq!(issued(&prepare(site.path(), &[])), 6);
    authority(&["drop", "--yes"]);
    assert_eq!(issued(&prepare(site.path(), &[])), 0);
    let trusted = files(site.path())["trust/ca.crt.pem"]
        .1
        .matches("BEGIN")
        .count();
    assert_eq!(trusted, 1);
}

#[test]
fn what_is_revoked_stands_in_the_one_list_that_all_read() {
    let site = temp_dir();
    prepare(site.path(), &[]);
    let (home, trusted) = (
        site.path().join("home"),
        site.path().join("trust/denied.toml"),
    );
    let mut revoke = Command::new(env!("CARGO_BIN_EXE_mp169"));
    revoke.args(["certificate", "revoke", "ALBION", "--home"]);
    let ended = revoke.arg(&home).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let denied = std::fs::read_to_string(&trusted).unwrap();
    assert!(denied.contains("serial"), "{denied}");
    prepare(site.path(), &[]);
    for list in [home.join("denied.toml"), trusted] {
        assert_eq!(
            std::fs::read_to_string(&list).unwrap(),
            denied,
            "{}",
            list.display()
        );
    }
}

#[test]
fn what_a_home_denied_before_is_denied_by_all() {
    let site = temp_dir();
    prepare(site.path(), &[]);
    let (ours, theirs) = (
        site.path().join("home/denied.toml"),
        site.path().join("trust/denied.toml"),
    );
    std::fs::remove_file(&ours).unwrap();
    std::fs::remove_file(&theirs).unwrap();
    let entry = "[[identity]]\nidentity = \"dsp\"\n";
    std::fs::write(&ours, entry).unwrap();
    prepare(site.path(), &[]);
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), entry);
    assert!(ours.is_symlink());
}

#[test]
fn a_certificate_that_is_denied_is_issued_anew() {
    let site = temp_dir();
    prepare(site.path(), &[]);
    let before = files(site.path());
    let (code, said) = at_home(site.path(), "certificate revoke classification");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("mp169 prepare"), "{said}");
    let (code, said) = at_home(site.path(), "certificate revoke classification --yes");
    assert_eq!(code, Some(0), "{said}");
    let list = site.path().join("trust/denied.toml");
    let list = std::fs::canonicalize(list).unwrap();
    for told in [
        &format!("every process that reads {}", list.display()),
        "mp169 prepare",
        "docker compose run --rm certificates",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let said = prepare(site.path(), &[]);
    assert!(
        said.contains("classification: a certificate was issued"),
        "{said}"
    );
    assert_eq!(
        said.matches("a certificate was issued").count(),
        1,
        "{said}"
    );
    let path = "services/classification/classification.crt.pem";
    assert_ne!(files(site.path())[path], before[path]);
    let said = prepare(site.path(), &[]);
    assert!(!said.contains("a certificate was issued"), "{said}");
}

/// A new certificate would be refused like the one before.
#[test]
fn a_service_that_is_denied_itself_is_named() {
    let site = temp_dir();
    prepare(site.path(), &[]);
    let revoke = "certificate revoke --identity classification --yes";
    let (code, said) = at_home(site.path(), revoke);
    assert_eq!(code, Some(0), "{said}");
    let said = prepare(site.path(), &[]);
    let restore = "certificate restore --identity classification";
    assert!(said.contains(&format!("`mp169 {restore}`")), "{said}");
    assert!(!said.contains("a certificate was issued"), "{said}");
    let (code, said) = at_home(site.path(), restore);
    assert_eq!(code, Some(0), "{said}");
    let said = prepare(site.path(), &[]);
    assert!(!said.contains(restore), "{said}");
}

#[test]
fn no_mesh_on_this_machine_takes_the_place_of_services_that_run_apart() {
    let site = temp_dir();
    prepare(site.path(), &[]);
    let before = files(site.path());
    let (code, said) = at_home(site.path(), "up --port 0");
    assert_eq!(code, Some(2), "{said}");
    for told in ["classification:16171", "docker compose up", "--home"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert_eq!(files(site.path()), before);
}

#[test]
fn whoever_does_not_reach_services_that_run_apart_is_told_which_and_what_to_do() {
    let site = temp_dir();
    prepare(site.path(), &[]);
    let addresses = site.path().join("home/addresses.json");
    let text = std::fs::read_to_string(&addresses).unwrap();
    // Nobody has a name below this one.
    let nowhere = text.replace(":16", ".invalid:16");
    std::fs::write(&addresses, nowhere).unwrap();
    let (code, said) = at_home(site.path(), "flag get 02-DC-C1-00-00-00-01-E0");
    assert_eq!(code, Some(6), "{said}");
    for told in [
        "mp169: UNAVAILABLE",
        "flag-registry is not reached",
        "mp169 doctor",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!said.contains("mp169 up"), "{said}");
    let (code, said) = at_home(site.path(), "doctor");
    assert_eq!(code, Some(6), "{said}");
    for told in [
        "answer       flag-registry: does not answer: it does not run, or its name is not known",
        "docker compose start NAME",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!said.contains("mp169 up"), "{said}");
    let (code, said) = at_home(site.path(), "status");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches(" not reached  ").count(), 5, "{said}");
}
