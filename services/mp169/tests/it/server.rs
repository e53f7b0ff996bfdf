//! Does the mesh keep its databases on a server, and only there?

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use mesh_testkit::postgres::{self, Databases};
use mesh_testkit::temp_dir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The command, in an environment that names no mesh and no server.
fn mp169() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mp169"));
    for name in ["MP169_HOME", "MP169_AS", "MP169_DATABASE"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// How a command ended, and all that it said.
async fn run(command: &mut Command) -> (ExitStatus, String) {
    let ended = command.output().await.unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status, String::from_utf8(said).unwrap())
}

fn up(home: &Path) -> Command {
    let mut command = mp169();
    command.args(["up", "--port", "0", "--home"]).arg(home);
    command
}

/// Waits until the mesh is up, and ends it in good order.
async fn comes_up(command: &mut Command) {
    ends_well(is_up(command).await).await;
}

/// Waits until the mesh is up.
async fn is_up(command: &mut Command) -> Child {
    let mut mesh = command.spawn().unwrap();
    let mut lines = BufReader::new(mesh.stdout.take().unwrap()).lines();
    loop {
        match lines.next_line().await.unwrap() {
            Some(line) if line.starts_with("The mesh is up") => break,
            Some(_) => {}
            None => panic!("it did not come up: {}", told(&mut mesh).await),
        }
    }
    mesh.stdout = Some(lines.into_inner().into_inner());
    mesh
}

async fn ends_well(mut mesh: Child) {
    let process = mesh.id().unwrap().to_string();
    let told_to_stop = Command::new("kill").arg(&process).status().await;
    assert!(told_to_stop.unwrap().success());
    let said = told(&mut mesh).await;
    assert!(mesh.wait().await.unwrap().success(), "{said}");
}

async fn told(mesh: &mut Child) -> String {
    let mut said = String::new();
    let mut stderr = mesh.stderr.take().unwrap();
    stderr.read_to_string(&mut said).await.unwrap();
    said
}

/// One line that says why, and no password.
fn refuses((ended, said): (ExitStatus, String), code: i32, expected: &[&str], secrets: &[&str]) {
    assert_eq!(ended.code(), Some(code), "{said}");
    for expected in expected {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    for secret in secrets {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn the_story_is_told_with_files() {
    let (ended, said) = run(mp169().args(["demo", "--json"])).await;
    assert!(ended.success(), "{said}");
}

#[tokio::test]
async fn the_story_is_told_on_a_mesh_that_goes_on_and_can_be_told_again() {
    let home = temp_dir();
    let mesh = is_up(&mut up(home.path())).await;
    for _ in 0..2 {
        let mut demo = mp169();
        demo.args(["demo", "--json", "--home"]).arg(home.path());
        let (ended, said) = run(&mut demo).await;
        assert!(ended.success(), "{said}");
    }
    ends_well(mesh).await;
}

#[tokio::test]
async fn the_story_is_told_on_a_server_and_leaves_nothing_there() {
    let Some(databases) = postgres::databases() else {
        return;
    };
    let (url, password) = (databases.url(), databases.server().password());
    let demo = || {
        let mut demo = mp169();
        demo.args(["demo", "--json"]).env("MP169_DATABASE", &url);
        demo
    };
    let (ended, said) = run(&mut demo()).await;
    assert!(ended.success(), "{said}");
    assert!(!said.contains(password), "{said}");
    assert_eq!(databases.names(), Vec::<String>::new());

    let there = databases.url_of("reporting");
    let (_, there) = there.rsplit_once('/').unwrap();
    databases
        .server()
        .sql(&format!("CREATE DATABASE \"{there}\""));
    let refused = run(&mut demo()).await;
    refuses(refused, 1, &["reporting"], &[password]);
    assert_eq!(databases.names(), ["reporting"]);
}

#[tokio::test]
async fn a_mesh_stays_on_its_server_and_its_folder_remembers_which_that_is() {
    let Some(databases) = postgres::databases() else {
        return;
    };
    let (url, password) = (databases.url(), databases.server().password());
    let home = temp_dir();
    comes_up(up(home.path()).args(["--database", &url])).await;
    let names = databases.names();
    assert_eq!(names.len(), 9, "{names:?}");
    for name in &names {
        let found = databases.sql(name, "SHOW server_encoding; SHOW lc_collate");
        assert_eq!(found, "UTF8\nC", "{name}");
    }
    let kept = files_below(home.path());
    assert!(kept.iter().all(|(name, _)| !name.ends_with(".db")));
    assert!(kept.iter().all(|(_, text)| !text.contains(password)));

    let forgotten = run(&mut up(home.path())).await;
    refuses(forgotten, 1, &["--database"], &[password]);
    let other = format!("{url}-other");
    let elsewhere = run(up(home.path()).args(["--database", &other])).await;
    refuses(
        elsewhere,
        1,
        &["--database", "database-server"],
        &[password],
    );
    comes_up(up(home.path()).env("MP169_DATABASE", &url)).await;

    // What went missing is not made anew.
    let (_, lost) = url.rsplit_once('/').unwrap();
    databases
        .server()
        .sql(&format!("DROP DATABASE \"{lost}-registration\""));
    let (ended, said) = run(up(home.path()).args(["--database", &url])).await;
    assert_eq!(ended.code(), Some(9), "{said}");
    assert!(
        said.contains("registration") && said.contains("--create"),
        "{said}"
    );
    assert!(!said.contains(password), "{said}");
}

#[tokio::test]
async fn all_databases_on_a_server_are_backed_up_by_the_file_that_names_it() {
    let Some(databases) = postgres::databases() else {
        return;
    };
    let home = temp_dir();
    let mesh = is_up(up(home.path()).args(["--database", &databases.url()])).await;
    let (file, to) = (home.path().join("server.url"), home.path().join("backup"));
    std::fs::write(&file, format!("{}\n", databases.url())).unwrap();
    let backup = || {
        let mut backup = mp169();
        backup.args(["backup", "--keys", "--home"]).arg(home.path());
        backup.arg("--database-file").arg(&file).arg("--to");
        backup
    };
    let (ended, said) = run(backup().arg(&to)).await;
    assert!(ended.success(), "{said}");
    let kept = files_below(&to);
    let mut copies: Vec<_> = kept
        .iter()
        .filter_map(|(path, _)| {
            let (_, name) = path.rsplit_once('/')?;
            name.strip_suffix(".db")
        })
        .collect();
    copies.sort_unstable();
    let mut names = mp169::databases::names();
    names.sort_unstable();
    assert_eq!(copies, names);
    ends_well(mesh).await;

    let password = databases.server().password();
    let url = databases.url_of("reporting");
    let (_, lost) = url.rsplit_once('/').unwrap();
    databases.server().sql(&format!("DROP DATABASE \"{lost}\""));
    let refused = run(backup().arg(home.path().join("second"))).await;
    refuses(refused, 1, &["no database reporting on"], &[password]);
}

#[tokio::test]
async fn a_mesh_with_files_is_not_continued_on_a_server() {
    let Some(databases) = postgres::databases() else {
        return;
    };
    let home = temp_dir();
    comes_up(&mut up(home.path())).await;
    let refused = run(up(home.path()).args(["--database", &databases.url()])).await;
    let password = databases.server().password();
    refuses(refused, 1, &["without --database"], &[password]);
    assert_eq!(databases.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_url_that_names_no_server_is_not_repeated() {
    for url in ["sqlite://s3cret.db", "postgres://clerk:s3cret@host/a/b"] {
        let home = temp_dir();
        let home = home.path().join("mesh");
        let refused = run(up(&home).args(["--database", url])).await;
        refuses(refused, 2, &["postgres://USER@HOST:PORT"], &["s3cret"]);
        assert!(!home.exists());
    }
}

/// The services' role may read and write rows; another makes and alters the tables.
#[tokio::test]
async fn a_role_that_may_not_alter_tables_needs_them_as_they_are_to_be() {
    let Some(databases) = postgres::databases() else {
        return;
    };
    let url = Roles::make(&databases);
    let home = temp_dir();
    let migrate = |arguments: &[&str]| {
        let mut migrate = mp169();
        migrate.args(["db", "migrate"]).args(arguments);
        migrate.env("MP169_DATABASE", &url.owner);
        migrate
    };
    let refused = run(up(home.path()).args(["--database", &url.services])).await;
    refuses(
        refused,
        9,
        &["registration", "may not make databases"],
        &["s3cret"],
    );

    let (ended, said) = run(&mut migrate(&["--create", "--grant", &url.role])).await;
    assert!(ended.success(), "{said}");
    assert!(said.contains("flag-registry: up to date after"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    comes_up(up(home.path()).args(["--database", &url.services])).await;

    // As before an upgrade.
    let last = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations) \
                RETURNING 1";
    databases.sql("classification-audit", last);
    let (ended, said) = run(up(home.path()).args(["--database", &url.services])).await;
    assert_eq!(ended.code(), Some(9), "{said}");
    assert!(said.contains("mp169 db migrate"), "{said}");
    let (ended, said) = run(&mut migrate(&["--service", "registration"])).await;
    assert!(ended.success(), "{said}");
    assert_eq!(
        said,
        "registration: up to date\nregistration-audit: up to date\n"
    );
}

/// One role for each service, which reaches its own databases and no others.
#[tokio::test]
async fn each_service_has_a_role_that_reaches_its_own_databases_alone() {
    let Some(databases) = postgres::databases() else {
        return;
    };
    let secrets = temp_dir();
    let password = |round: &str| {
        for service in mp169::service::Service::ALL {
            let path = secrets.path().join(format!("{}.password", service.name()));
            std::fs::write(path, format!("s3cret-{round}\n")).unwrap();
        }
    };
    let server = secrets.path().join("database-server.url");
    std::fs::write(&server, format!("{}\n", databases.url())).unwrap();
    let migrate = || {
        let mut migrate = mp169();
        migrate.args(["db", "migrate", "--create", "--database-file"]);
        migrate.arg(&server).arg("--roles").arg(secrets.path());
        migrate
    };
    for round in ["first", "second"] {
        password(round);
        let (ended, said) = run(&mut migrate()).await;
        assert!(ended.success(), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    let reach = async |role: &str, password: &str, database: &str| {
        let url = databases.url_of(database);
        let (_, place) = url.split_once('@').unwrap();
        let (_, name) = databases
            .url()
            .rsplit_once('/')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let url = format!("postgres://{name}-{role}:{password}@{place}");
        let mut verify = mp169();
        verify.args(["log", "verify", "--database", &url]);
        run(&mut verify).await
    };
    let (_, said) = reach("registration", "s3cret-second", "registration").await;
    assert!(said.contains("no service has written a log into"), "{said}");
    for (role, password, database) in [
        ("registration", "s3cret-second", "flag-registry"),
        ("classification", "s3cret-second", "reporting-audit"),
        ("registration", "s3cret-first", "registration"),
    ] {
        let (ended, said) = reach(role, password, database).await;
        assert!(!ended.success(), "{role} {database}: {said}");
        assert!(
            !said.contains("no service has written"),
            "{role} {database}: {said}"
        );
    }
}

/// Two roles, and the server as each of them reaches it.
struct Roles {
    owner: String,
    services: String,
    /// The name of the services'.
    role: String,
}

impl Roles {
    fn make(databases: &Databases) -> Self {
        let url = databases.url();
        let (_, place) = url.split_once('@').unwrap();
        let (_, name) = url.rsplit_once('/').unwrap();
        databases.server().sql(&format!(
            "CREATE ROLE {name}_owner LOGIN CREATEDB PASSWORD 's3cret'; \
             CREATE ROLE {name}_services LOGIN PASSWORD 's3cret'"
        ));
        let of = |role: &str| format!("postgres://{name}_{role}:s3cret@{place}");
        Self {
            owner: of("owner"),
            services: of("services"),
            role: format!("{name}_services"),
        }
    }
}

/// Every file in a folder and below it, with what is in it as far as it is text.
fn files_below(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            files.push((path.display().to_string(), text));
        }
    }
    files
}
