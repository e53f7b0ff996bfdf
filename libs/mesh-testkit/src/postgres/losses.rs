//! In which ways does a server lose what it has acknowledged?

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::programs::{command, other_user};
use super::{Server, keeper};

/// What a server is told that is to be taken back to a moment: it keeps its write-ahead log.
pub const ARCHIVING: &str = "
archive_mode = on
archive_command = 'mkdir -p ../archive && cp %p ../archive/%f'
restore_command = 'cp ../archive/%f %p'
recovery_target_name = 'moment'
recovery_target_action = promote
";

/// The files of a server, as they once were.
#[derive(Debug)]
pub struct Files(PathBuf);

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.0.port).into()
    }

    /// Does in a database of this name what [`Database::sql`](super::Database::sql) does.
    pub fn sql_in(&self, database: &str, statements: &str) -> String {
        self.must(database, statements)
    }

    /// What `pg_dump` makes of one of its databases.
    ///
    /// # Panics
    /// If it fails; so does everything here.
    #[must_use]
    pub fn dump(&self, database: &str) -> Vec<u8> {
        let mut dump = command(self.0.programs.join("pg_dump"));
        dump.args(["--clean", "--if-exists", "--username=postgres"]);
        dump.arg("--host").arg(self.home());
        dump.args(["--port", &self.0.port.to_string(), database]);
        let ended = dump.output().expect("pg_dump runs");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "pg_dump: {told}");
        ended.stdout
    }

    /// Puts a dump back over the database that is there, whoever uses it.
    pub fn put_back(&self, database: &str, dump: &[u8]) {
        let mut psql = command(self.0.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--single-transaction", "--username=postgres", "--host"]);
        psql.arg(self.home())
            .args(["--port", &self.0.port.to_string()]);
        psql.arg(database).stdin(Stdio::piped());
        psql.stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut psql = psql.spawn().expect("psql runs");
        let mut input = psql.stdin.take().expect("a pipe");
        input.write_all(dump).expect("psql reads");
        drop(input);
        assert!(psql.wait().expect("psql ends").success(), "psql failed");
    }

    /// Copies all files of a server that is stopped.
    #[must_use]
    pub fn copy_files(&self) -> Files {
        let files = Files(self.home().join("earlier"));
        copy(self.home().join("data"), &files.0);
        files
    }

    /// Puts earlier files in place of those of now. The server must be stopped.
    pub fn put_files_back(&self, files: &Files) {
        let data = self.home().join("data");
        std::fs::remove_dir_all(&data).expect("its files");
        copy(files.0.clone(), &data);
    }

    /// Names this moment.
    pub fn mark_moment(&self) {
        self.sql("SELECT pg_create_restore_point('moment')");
    }

    /// Has the log written out that is needed to go back to the moment. Then the server may be stopped.
    pub fn close_log(&self) {
        self.sql("SELECT pg_switch_wal()");
    }

    /// Starts a server with earlier files and takes it on from there to the moment that was marked.
    pub fn recover_to_moment(&self, files: &Files) {
        self.put_files_back(files);
        let signal = self.home().join("data/recovery.signal");
        keeper::write(&signal, "", other_user());
        self.start_again();
    }

    /// Has a standby receive nothing more from its primary.
    pub fn cut_off(&self) {
        self.sql("ALTER SYSTEM SET primary_conninfo = ''");
        self.sql("SELECT pg_reload_conf()");
    }

    /// Has a standby take writes from now on, with what it has received.
    pub fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote()"), "t");
    }
}

fn copy(from: PathBuf, to: &PathBuf) {
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(from).arg(to);
    assert!(copy.status().expect("cp runs").success(), "cp failed");
}
