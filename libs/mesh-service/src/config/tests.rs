//! Of the settings of a service, from a file and from flags; what the environment says is shown by the process itself.

use std::fs;

use clap::Parser;
use mesh_testkit::{TempDir, temp_dir};

use super::*;
use crate::DatabaseSettings;

/// The settings of a service.
#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    process: ProcessSettings,
    #[command(flatten)]
    database: DatabaseSettings,
    #[arg(long, default_value_t = 5)]
    quota: u32,
}

/// What a service cannot do without.
const NEEDED: [&str; 4] = [
    "--listen=127.0.0.1:7001",
    "--tls-certificate=a.pem",
    "--tls-key=a.key",
    "--tls-trust=trust.pem",
];

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(temp_dir())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

fn read(flags: &[&str]) -> Configuration {
    let program = std::iter::once(&"service");
    let arguments = program.chain(flags).map(OsString::from).collect();
    Configuration::read(Settings::command(), arguments).unwrap()
}

fn told(configuration: &Configuration) -> Vec<String> {
    let problems = configuration.problems().iter();
    problems.map(ToString::to_string).collect()
}

#[test]
fn a_file_is_weaker_than_flags_and_has_the_same_names() {
    let files = Files::new();
    let file = files.write(
        "service.toml",
        "listen = '127.0.0.1:7005'\n\
         tls-certificate = 'of the file.pem'\n\
         tls-crls = ['a.crl', 'b.crl']\n\
         database-url = 'sqlite:///file.db'\n\
         create = true\n\
         quota = 0x10\n",
    );
    let mut flags = vec!["--config", &file];
    flags.extend(NEEDED);
    let configuration = read(&flags);
    assert_eq!(told(&configuration), [""; 0]);
    let (settings, process) = configuration.settings::<Settings>().unwrap();
    assert_eq!(process.listen, "127.0.0.1:7001".parse().unwrap());
    assert_eq!(process.tls_certificate, Path::new("a.pem"));
    assert_eq!(process.tls_crls, ["a.crl", "b.crl"].map(PathBuf::from));
    assert_eq!(settings.database.database_url, "sqlite:///file.db");
    assert!(settings.database.create);
    assert_eq!(settings.quota, 16);
    assert_eq!(settings.process.telemetry.log, "info");
    // With a flag for each, nothing of the file is left.
    flags.extend([
        "--quota=3",
        "--tls-crls=c.crl",
        "--database-url=sqlite:///flag.db",
    ]);
    let (settings, process) = read(&flags).settings::<Settings>().unwrap();
    assert_eq!(settings.quota, 3);
    assert_eq!(process.tls_crls, [PathBuf::from("c.crl")]);
    assert_eq!(settings.database.database_url, "sqlite:///flag.db");
}

#[test]
fn all_problems_are_told_at_once_with_their_lines() {
    let files = Files::new();
    let file = files.write(
        "service.toml",
        "listen = 'nowhere'\n\
         tls_certificat = 'a.pem'\n\
         MP169_TLS_KEY = 'a.key'\n\
         weather = 'fine'\n\
         probe = true\n\
         quota = [1]\n\
         create = 'yes'\n\
         log = 'info'\n\
         log = 'debug'\n",
    );
    let configuration = read(&["--config", &file, "--quota=many"]);
    let told = told(&configuration);
    for expected in [
        format!(
            "{file}:1: invalid value 'nowhere' for '--listen <LISTEN>': invalid socket address syntax"
        ),
        format!("{file}:2: there is no setting `tls_certificat`, did you mean `tls-certificate`?"),
        format!("{file}:3: there is no setting `MP169_TLS_KEY`, did you mean `tls-key`?"),
        format!("{file}:4: there is no setting `weather`"),
        format!("{file}:5: there is no setting `probe`"),
        format!("{file}:6: `quota` has to be a text or a number"),
        format!("{file}:7: `create` has to be true or false"),
        format!("{file}:9: duplicate key"),
        "invalid value 'many' for '--quota <QUOTA>': invalid digit found in string".to_owned(),
        "`database-url` is not set: by --database-url, MP169_DATABASE_URL, --database-url-file, \
         or in the file of --config"
            .to_owned(),
        "`tls-key` is not set: by --tls-key, MP169_TLS_KEY, or in the file of --config".to_owned(),
    ] {
        assert!(told.contains(&expected), "{expected}\nin {told:#?}");
    }
    let Err(SettingsError::Problems(problems)) = configuration.settings::<Settings>() else {
        panic!("it can be used");
    };
    assert_eq!(problems, configuration.problems());
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_a_problem() {
    let files = Files::new();
    let missing = files.0.path().join("missing.toml").display().to_string();
    let told_of = |file: &str| told(&read(&["--config", file])).join("\n");
    assert!(told_of(&missing).contains(&format!("{missing}: No such file")));
    let broken = files.write("broken.toml", "log = 'info'\nlisten = \n");
    assert!(
        told_of(&broken).contains(&format!("{broken}:2: ")),
        "{}",
        told_of(&broken)
    );
}

#[test]
fn a_secret_comes_from_a_file_or_from_elsewhere_and_not_from_both() {
    let files = Files::new();
    let secret = files.write("url", "postgres://mesh:s3cret@db/flags\n");
    let mut flags = NEEDED.to_vec();
    flags.extend(["--database-url-file", &secret]);
    let configuration = read(&flags);
    let (settings, _) = configuration.settings::<Settings>().unwrap();
    assert_eq!(
        settings.database.database_url,
        "postgres://mesh:s3cret@db/flags"
    );
    let shown = configuration.effective().unwrap();
    for shown in [
        shown.to_string(),
        shown.in_one_line(),
        format!("{settings:?}"),
    ] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    let wrong = files.write("wrong", "mysql://mesh:s3cret@db/flags");
    let told_of = told(&read(
        &[&NEEDED[..], &["--database-url-file", &wrong]].concat(),
    ));
    let [told_of] = &told_of[..] else {
        panic!("{told_of:?}");
    };
    let expected = format!("{wrong}: the value of --database-url cannot be used: ");
    assert!(told_of.starts_with(&expected), "{told_of}");
    assert!(
        told_of.contains("mysql") && !told_of.contains("s3cret"),
        "{told_of}"
    );
    flags.push("--database-url=sqlite:///a.db");
    assert_eq!(
        told(&read(&flags)),
        ["--database-url and --database-url-file are both given: one of them has to go"]
    );
    let named = files.write("service.toml", &format!("database-url-file = '{secret}'\n"));
    let mut flags = NEEDED.to_vec();
    flags.extend(["--config", &named]);
    let (settings, _) = read(&flags).settings::<Settings>().unwrap();
    assert_eq!(
        settings.database.database_url,
        "postgres://mesh:s3cret@db/flags"
    );
    let gone = files.0.path().join("gone").display().to_string();
    flags.extend(["--database-url-file", &gone]);
    let told = told(&read(&flags)).join("\n");
    assert!(told.contains(&format!("{gone}: No such file")), "{told}");
}

#[test]
fn what_is_in_force_is_a_file_of_settings_again() {
    let files = Files::new();
    let file = files.write(
        "service.toml",
        "quota = 7\ncreate = true\ntls-deny-list = 'a=\"b\\c'\n",
    );
    let secret = files.write("url", "postgres://mesh:s3cret@db/flags");
    let mut flags = NEEDED.to_vec();
    flags.extend([
        "--config",
        &file,
        "--database-url-file",
        &secret,
        "--tls-crls=a,b",
    ]);
    let shown = read(&flags).effective().unwrap().to_string();
    for line in [
        "listen = \"127.0.0.1:7001\" # flag".to_owned(),
        "tls-crls = [\"a\", \"b\"] # flag".to_owned(),
        format!("quota = 7 # file: {file}:1"),
        format!("create = true # file: {file}:2"),
        "accept-clock = false # default".to_owned(),
        "# metrics-listen # not set".to_owned(),
        format!(r#"tls-deny-list = "a=\"b\\c" # file: {file}:3"#),
        format!("# database-url = \"postgres://mesh:<hidden>@db/flags\" # secret: {secret}"),
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "{line}\nin\n{shown}"
        );
    }
    let again = files.write("again.toml", &shown);
    let again = read(&["--config", &again]);
    let (settings, process) = again.settings::<Settings>().unwrap();
    assert_eq!(settings.quota, 7);
    assert_eq!(
        settings.database.database_url,
        "postgres://mesh:s3cret@db/flags"
    );
    let list = process.tls_deny_list.as_deref();
    assert_eq!(list, Some(Path::new("a=\"b\\c")));
    assert_eq!(process.tls_crls, ["a", "b"].map(PathBuf::from));
}

#[test]
fn a_probe_needs_no_settings_of_the_database() {
    let mut flags = NEEDED.to_vec();
    flags.extend(["--probe", "--quota=many"]);
    let configuration = read(&flags);
    assert_eq!(configuration.way(), Way::Probe);
    assert_eq!(told(&configuration).len(), 2);
    let settings = configuration.process_settings().unwrap();
    assert_eq!(settings.listen, "127.0.0.1:7001".parse().unwrap());
    let Err(SettingsError::Problems(problems)) = read(&["--probe"]).process_settings() else {
        panic!("it does not know whom to ask");
    };
    assert_eq!(problems.len(), 4, "{problems:#?}");
}
