//! Does `mp169 up` show the reports to browsers only as it was told to, and does it say to whom?

use std::process::Stdio;

use mesh_testkit::{TempDir, temp_dir};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// `mp169 up` in a folder that goes away.
fn up(home: &TempDir, web: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mp169"));
    for name in ["MP169_HOME", "MP169_AS", "MP169_DATABASE"] {
        command.env_remove(name);
    }
    command
        .args(["up", "--port", "0", "--home"])
        .arg(home.path().join("mesh"));
    command
        .args(web)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Waits until the mesh is up; gives what it said until then.
async fn comes_up(command: &mut Command) -> (Child, String) {
    let mut mesh = command.spawn().unwrap();
    let mut lines = BufReader::new(mesh.stdout.take().unwrap()).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        said.push_str(&line);
        said.push('\n');
        if line.starts_with("The mesh is up") {
            mesh.stdout = Some(lines.into_inner().into_inner());
            return (mesh, said);
        }
    }
    panic!("it did not come up: {said}");
}

/// The `address:port` that a line names after `scheme`.
fn address(said: &str, scheme: &str) -> String {
    let after = said
        .split(scheme)
        .nth(1)
        .unwrap_or_else(|| panic!("{said}"));
    after.split('/').next().unwrap().to_owned()
}

/// What a plain request gets, down to the end of the connection.
async fn get(address: &str, host: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Whoever speaks TLS alone resets it.
    let _ = tcp.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn pages_without_certificates_are_announced_loudly_and_stay_on_this_machine() {
    let home = temp_dir();
    let refused = up(&home, &["--web-without-certificate=0.0.0.0:0"])
        .output()
        .await;
    let refused = refused.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("no loopback address"), "{said}");
    assert!(!home.path().join("mesh").exists(), "nothing was made");

    let (mesh, said) = comes_up(&mut up(&home, &["--web-without-certificate=127.0.0.1:0"])).await;
    assert!(
        said.contains("WARNING") && said.contains("EVERY process"),
        "{said}"
    );
    let address = address(&said, "http://");
    let page = get(&address, &address).await;
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("/performance?month="),
        "{page}"
    );
    let other = get(&address, "evil.example").await;
    assert!(other.starts_with("HTTP/1.1 421"), "{other}");
    drop(mesh);
}

#[tokio::test]
async fn pages_with_certificates_are_announced_and_others_are_not_served() {
    let home = temp_dir();
    let (mesh, said) = comes_up(&mut up(&home, &["--web=127.0.0.1:0"])).await;
    assert!(!said.contains("WARNING"), "{said}");
    let page = get(&address(&said, "https://"), "localhost").await;
    assert!(!page.contains("html"), "{page}");
    drop(mesh);
    let home = temp_dir();
    let (mesh, said) = comes_up(&mut up(&home, &[])).await;
    assert!(!said.contains("http"), "{said}");
    drop(mesh);
}
