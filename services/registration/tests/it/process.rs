//! The process itself: its settings, and what it says of itself to an orchestrator.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use mesh_testkit::{LIMIT, TempDir, certificates, other_certificates, temp_dir, wait_until};

/// A folder with certificates and a file of settings, and what is set besides.
struct Home {
    folder: TempDir,
    listen: String,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            folder: temp_dir(),
            listen: "0.0.0.0:0".to_owned(),
        };
        let issued = certificates().internal("registration");
        home.write("own.pem", issued.certificate_pem());
        home.write("own.key", issued.key_pem());
        home.write("trust.pem", certificates().trust_pem());
        let database = home.path("registration.db");
        home.write("url", &format!("sqlite://{database}\n"));
        let settings = format!(
            "listen = '127.0.0.1:1'\nlog = 'error'\ntls-certificate = '{}'\ntls-key = '{}'\ntls-trust = '{}'\n",
            home.path("own.pem"),
            home.path("own.key"),
            home.path("trust.pem"),
        );
        home.write("settings.toml", &settings);
        home
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The service with its settings from everywhere, and no others.
    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registration"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MP169_") {
                command.env_remove(name);
            }
        }
        command
            .env("MP169_CONFIG", self.path("settings.toml"))
            .env("MP169_LISTEN", &self.listen)
            .env("MP169_DATABASE_URL_FILE", self.path("url"))
            .args(flags)
            .stdin(Stdio::null());
        command
    }

    fn probe(&self) -> Command {
        self.command(&["--probe"])
    }
}

/// The process while it serves.
struct Running {
    child: Child,
    /// What it logged up to the line that says where it listens.
    log: String,
}

impl Running {
    /// Starts it, and notes in `home` where it listens.
    fn start(home: &mut Home) -> Self {
        let mut command = home.command(&["--create", "--log=info"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        // Reads on to the end, so that the process is never held up.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let log = String::new();
        let mut running = Self { child, log };
        loop {
            let line = told.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("{}", running.log));
            running.log = format!("{}{line}\n", running.log);
            if let Some((_, address)) = line.split_once("listening address=") {
                home.listen = address.trim().to_owned();
                return running;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn told(output: &Output) -> (bool, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.success(), text)
}

async fn comes_to_say(home: &Home, expected: (bool, &str)) {
    let what = format!("the probe to say {expected:?}");
    wait_until(&what, async || {
        let (serves, text) = told(&home.probe().output().unwrap());
        if (serves, text.as_str()) == expected {
            return Ok(());
        }
        Err(text)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_says_whether_the_process_serves_without_its_database() {
    let mut home = Home::new();
    let running = Running::start(&mut home);
    assert!(home.listen.starts_with("0.0.0.0:"), "{}", home.listen);
    comes_to_say(&home, (true, "SERVING\n")).await;

    let mut elsewhere = home.probe();
    elsewhere.env_remove("MP169_DATABASE_URL_FILE");
    assert_eq!(
        told(&elsewhere.output().unwrap()),
        (true, "SERVING\n".to_owned())
    );

    let stranger = home.path("stranger.pem");
    std::fs::write(&stranger, other_certificates().trust_pem()).unwrap();
    let mut distrustful = home.probe();
    distrustful.env("MP169_TLS_TRUST", stranger);
    let (serves, text) = told(&distrustful.output().unwrap());
    assert!(
        !serves && text.starts_with("NOT_SERVING: UNAVAILABLE: "),
        "{text}"
    );
    assert!(text.contains("certificate"), "{text}");

    std::fs::remove_file(home.path("registration.db")).unwrap();
    comes_to_say(&home, (false, "NOT_SERVING: file-gone\n")).await;
    drop(running);
    let (serves, text) = told(&home.probe().output().unwrap());
    assert!(
        !serves && text.starts_with("NOT_SERVING: UNAVAILABLE: "),
        "{text}"
    );
    assert!(text.contains("onnection refused"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");

    let mut lost = home.probe();
    lost.env_remove("MP169_LISTEN").env_remove("MP169_CONFIG");
    let (serves, text) = told(&lost.output().unwrap());
    assert!(!serves && text.contains("`listen` is not set"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn the_settings_in_force_are_printed_and_logged() {
    let mut home = Home::new();
    let checked = home.command(&["--check-config", "--log=warn"]).output();
    let (good, text) = told(&checked.unwrap());
    let (settings, url) = (home.path("settings.toml"), home.path("url"));
    let database = home.path("registration.db");
    for line in [
        "listen = \"0.0.0.0:0\" # environment: MP169_LISTEN".to_owned(),
        "log = \"warn\" # flag".to_owned(),
        format!(
            "tls-key = \"{}\" # file: {settings}:4",
            home.path("own.key")
        ),
        format!("# database-url = \"sqlite://{database}\" # secret: {url}"),
        "create = false # default".to_owned(),
        "# trusted: CN=Test CA, ".to_owned(),
        "# certificate: CN=registration, ".to_owned(),
    ] {
        let is_told = text.lines().any(|told| told.starts_with(&line));
        assert!(is_told, "{line}\nin\n{text}");
    }
    assert!(good, "{text}");
    assert!(!Path::new(&database).exists(), "a check opens no database");
    let running = Running::start(&mut home);
    let logged = r#"log = "info" (flag)"#;
    assert!(running.log.contains(logged), "{}", running.log);
}

#[test]
fn what_is_wrong_with_the_settings_is_told_at_once() {
    let home = Home::new();
    home.write(
        "own.key",
        &certificates().internal("registration").key_pem()[..60],
    );
    home.write("settings.toml", "listten = '127.0.0.1:1'\n");
    for (flags, expected) in [(&["--check-config", "--accept-clock"][..], 2), (&[][..], 2)] {
        let mut command = home.command(flags);
        command
            .env("MP169_TLS_CERTIFICATE", home.path("own.pem"))
            .env("MP169_TLS_KEY", home.path("own.key"))
            .env("MP169_LISTEN", "everywhere")
            .env_remove("MP169_DATABASE_URL_FILE");
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{text}");
        for problem in [
            format!(
                "{}:1: there is no setting `listten`, did you mean `listen`?",
                home.path("settings.toml")
            ),
            "MP169_LISTEN: invalid value 'everywhere'".to_owned(),
            "`tls-trust` is not set".to_owned(),
            "`database-url` is not set".to_owned(),
        ] {
            let problem = format!("registration: {problem}");
            assert!(
                text.lines().any(|line| line.starts_with(&problem)),
                "{problem}\nin\n{text}"
            );
        }
    }
}

#[test]
fn files_of_tls_that_cannot_be_used_are_found_before_a_start() {
    let home = Home::new();
    let refused = |expected: &str| {
        let output = home.command(&["--check-config"]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        let expected = format!("registration: {expected}");
        assert!(
            text.lines().any(|line| line.starts_with(&expected)),
            "{text}"
        );
    };
    for (issued, expected) in [
        (
            certificates().internal("operator"),
            "the certificate is that of operator",
        ),
        (
            certificates().expired("registration"),
            "the certificate would be refused",
        ),
        (
            other_certificates().internal("registration"),
            "the certificate would be refused",
        ),
    ] {
        home.write("own.pem", issued.certificate_pem());
        home.write("own.key", issued.key_pem());
        refused(expected);
    }
    home.write("own.key", certificates().internal("registration").key_pem());
    refused("certificate and key cannot be used");
    home.write("own.pem", "no certificate");
    refused("the certificate file is not PEM");
}
