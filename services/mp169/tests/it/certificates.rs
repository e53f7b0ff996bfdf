//! What does `mp169 certificate` do with the folder of a mesh that is not running?

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mesh_pki::{CA_CERTIFICATE_FILE, Ca, Profile, Validity};
use mesh_testkit::{TempDir, temp_dir};
use mesh_types::{EntityId, Eui64, SystemClock};
use mp169::home::Folder;

const FIRST: u64 = 0x02DC_CE00_0000_0002;
const SECOND: u64 = 0x02DC_CE00_0000_0003;

/// A folder as `mp169 up` makes it, below one in which commands are given.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(temp_dir());
        Folder::open_or_make(&home.path("")).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("mp169-data").join(name)
    }

    /// Runs a line for the shell; gives its exit code and all that it said.
    fn run(&self, line: &str) -> (Option<i32>, String) {
        let programs = PathBuf::from(env!("CARGO_BIN_EXE_mp169"));
        let programs = programs.parent().unwrap().display();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(self.0.path())
            .env("PATH", path)
            .env_remove("MP169_HOME")
            .env_remove("MP169_TLS_DENY_LIST")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// Runs a line that must succeed; gives what it said.
    fn ok(&self, line: &str) -> String {
        let (code, said) = self.run(line);
        assert_eq!(code, Some(0), "{line}\n{said}");
        said
    }

    /// Runs a line that must fail; gives what it said.
    fn fails(&self, line: &str) -> String {
        let (code, said) = self.run(line);
        assert_eq!(code, Some(1), "{line}\n{said}");
        said
    }

    /// Keeps a certificate for these EUI-64s as one that was issued to EAGLE.
    fn issue_to_eagle(&self, file: &str, entities: &[u64]) {
        let authority = Ca::load(&self.path("authority")).unwrap();
        let entities = entities.iter().map(|&entity| Eui64::from_u64(entity));
        let profile = Profile {
            common_name: Some("Eagle".to_owned()),
            organisational_unit: Some("02".to_owned()),
            entities: entities.map(EntityId::new).collect(),
            ..Profile::default()
        };
        let issued = authority
            .issue(&profile, Validity::over(&SystemClock))
            .unwrap();
        let path = self.path("authority/issued").join(file);
        fs::write(path, issued.certificate_pem()).unwrap();
    }
}

#[test]
fn all_identities_of_a_name_are_denied_and_restored() {
    let home = Home::new();
    // The first one names nobody, and hides nobody either.
    home.issue_to_eagle("EAGLE.01.crt.pem", &[]);
    home.issue_to_eagle("EAGLE.02.crt.pem", &[FIRST]);
    home.issue_to_eagle("EAGLE.03.crt.pem", &[SECOND]);
    home.issue_to_eagle("EAGLE.04.crt.pem", &[SECOND]);
    home.ok("mp169 certificate revoke --identity EAGLE");
    let listed = home.ok("mp169 certificate list --output json");
    assert_eq!(listed.lines().count(), 2, "{listed}");
    for entity in ["02-DC-CE-00-00-00-00-02", "02-DC-CE-00-00-00-00-03"] {
        assert!(listed.contains(entity), "{listed}");
    }
    home.ok("mp169 certificate restore --identity EAGLE");
    let listed = home.ok("mp169 certificate list");
    assert!(listed.contains("denies nobody"), "{listed}");
}

#[tokio::test]
async fn a_list_that_was_lost_is_not_taken_for_an_empty_one() {
    let home = Home::new();
    home.ok("mp169 certificate revoke ALBION");
    fs::remove_file(home.path("denied.toml")).unwrap();

    // One more entry in a new list would let ALBION in again.
    for line in ["revoke BRIGHT", "restore ALBION", "list"] {
        let said = home.fails(&format!("mp169 certificate {line}"));
        assert!(said.contains("denied.toml"), "{said}");
    }
    // Nor is a file that --list names, which services elsewhere read.
    for line in ["revoke BRIGHT", "restore ALBION", "list"] {
        let said = home.fails(&format!("mp169 certificate {line} --list other.toml"));
        assert!(said.contains("touch 'other.toml'"), "{said}");
    }
    let folder = Folder::open(&home.path("")).unwrap();
    folder.tls("registration").unwrap_err();
    let error = Folder::open_or_make(&home.path("")).unwrap_err();
    assert!(!home.path("denied.toml").exists());

    // What it says to do works.
    let said = error.to_string();
    let told = said.split('`').nth(1).unwrap();
    home.ok(told);
    Folder::open_or_make(&home.path("")).unwrap();
    folder.tls("registration").unwrap();
    let listed = home.ok("mp169 certificate list");
    assert!(listed.contains("denies nobody"), "{listed}");
}

#[test]
fn an_authority_that_is_trusted_is_not_denied_but_trusted_no_more() {
    let home = Home::new();
    let other = Ca::new("Another authority", Validity::over(&SystemClock)).unwrap();
    fs::write(home.path("other.pem"), other.certificate_pem()).unwrap();
    home.ok("mp169 certificate revoke --file mp169-data/other.pem --yes");

    let trusted = home.path("authority").join(CA_CERTIFICATE_FILE);
    let own = fs::read_to_string(&trusted).unwrap();
    let both = format!("{own}{}", other.certificate_pem());
    fs::write(&trusted, both).unwrap();
    // An entry from before is taken off all the same.
    home.ok("mp169 certificate restore --file mp169-data/other.pem");
    for file in ["other.pem", "authority/ca.crt.pem"] {
        let line = format!("mp169 certificate revoke --file mp169-data/{file} --yes");
        let said = home.fails(&line);
        assert!(said.contains("out of the trusted authorities"), "{said}");
    }
    let listed = home.ok("mp169 certificate list");
    assert!(listed.contains("denies nobody"), "{listed}");
}

#[test]
fn an_authority_is_replaced_in_three_steps_that_have_an_order() {
    let home = Home::new();
    let authority = || Ca::load(&home.path("authority")).unwrap();
    let trusted = || fs::read_to_string(home.path("authority/ca.crt.pem")).unwrap();
    let old = authority().certificate_pem().to_owned();
    assert!(
        home.fails("mp169 certificate authority use")
            .contains("authority add")
    );
    home.ok("mp169 certificate authority add");
    assert!(
        home.fails("mp169 certificate authority add")
            .contains("authority use")
    );
    assert!(
        home.fails("mp169 certificate authority drop")
            .contains("authority use")
    );
    assert_eq!(authority().certificate_pem(), old, "it still issues");
    let both = trusted();
    assert!(both.starts_with(&old) && both.len() > old.len());

    home.ok("mp169 certificate authority use");
    let new = authority().certificate_pem().to_owned();
    assert!(new != old && trusted() == format!("{new}{old}"));
    assert!(
        home.fails("mp169 certificate authority add")
            .contains("authority drop")
    );
    let renewed = home.ok("mp169 certificate renew --output json");
    assert_eq!(renewed.lines().count(), mesh_authz::InternalRole::ALL.len());
    let left = home.ok("mp169 certificate authority drop --dry-run");
    assert!(
        left.contains("ALBION (`mp169 party certificate ALBION`)"),
        "{left}"
    );
    assert!(!left.contains("operator"), "{left}");
    let (code, said) = home.run("mp169 certificate authority drop");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ALBION"), "{said}");
    assert_eq!(trusted(), format!("{new}{old}"));
    home.ok("mp169 certificate authority drop --yes");
    assert_eq!(trusted(), new);
    home.ok("mp169 certificate authority add");
}

#[test]
fn a_file_that_cannot_be_read_stops_only_who_asks_for_it() {
    let home = Home::new();
    let bad = home.path("authority/issued/BRIGHT.01.crt.pem");
    fs::write(&bad, "half of a").unwrap();
    for line in ["revoke ALBION", "list", "restore ALBION"] {
        let said = home.ok(&format!("mp169 certificate {line}"));
        assert!(said.contains("BRIGHT.01.crt.pem"), "{said}");
    }
    for line in ["revoke BRIGHT", "revoke --identity BRIGHT"] {
        let said = home.fails(&format!("mp169 certificate {line}"));
        assert!(said.contains("BRIGHT.01.crt.pem"), "{said}");
    }
    let listed = home.ok("mp169 certificate list");
    assert!(listed.contains("denies nobody"), "{listed}");
    fs::remove_file(bad).unwrap();
    home.ok("mp169 certificate revoke BRIGHT");
}

#[cfg(unix)]
#[test]
fn a_certificate_for_a_browser_is_a_file_of_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = Home::new();
    fs::write(home.0.path().join("password"), "correct horse\nbattery\n").unwrap();
    fs::write(home.0.path().join("empty"), "\n").unwrap();
    let issue = "mp169 certificate issue analyst --p12 analyst.p12";
    let said = home.fails(&format!("{issue} --p12-password-file empty"));
    assert!(said.contains("empty"), "{said}");
    let said = home.fails(&format!("{issue} --p12-password-file nowhere"));
    assert!(said.contains("nowhere"), "{said}");
    let before = fs::read(home.path("certificates/analyst.crt.pem")).unwrap();
    let said = home.fails(&format!("setsid --wait {issue} < /dev/null"));
    assert!(said.contains("--p12-password-file"), "{said}");
    let after = fs::read(home.path("certificates/analyst.crt.pem")).unwrap();
    assert_eq!(
        before, after,
        "nothing is issued before there is a password"
    );
    let said = home.ok(&format!("umask 0; {issue} --p12-password-file password"));
    assert!(said.contains("analyst.p12"), "{said}");
    assert!(!said.contains("horse"), "{said}");
    let file = home.0.path().join("analyst.p12");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let said = home.fails(&format!("{issue} --p12-password-file password"));
    assert!(said.contains("is there already"), "{said}");
}
