//! How does a test run the command against a mesh of its own?

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use mesh_api::registration::v1::{InventoryRow, inventory_row::Row};
use mesh_testkit::{TempDir, temp_dir, wait_until};
use mesh_types::SystemClock;
use mp169::home::Folder;
use mp169::load::load;
use mp169::mesh::{Listen, Mesh};
use mp169::sample::{self, Home};

/// A running mesh in a folder of its own.
pub(crate) struct World {
    mesh: Mesh,
    home: TempDir,
}

impl World {
    /// With the sample's parties and its homes 1 to 8.
    pub(crate) async fn start() -> Self {
        let world = Self::again(temp_dir()).await;
        let folder = Folder::open(world.home()).unwrap();
        wait_until("the inventory to be loaded", async || {
            match load(&folder, rows(), |_| {}).await {
                Ok(loaded) if loaded.refused == 0 => Ok(()),
                Ok(loaded) => Err(loaded.to_string()),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
        world
    }

    /// With what the folder holds.
    pub(crate) async fn again(home: TempDir) -> Self {
        let folder = Folder::open_or_make(home.path()).unwrap();
        let clock = Arc::new(SystemClock);
        let mesh = Mesh::start(&folder, &Listen::default(), clock)
            .await
            .unwrap();
        Self { mesh, home }
    }

    /// The folder with the databases.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs the command.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mp169"));
        command.env("MP169_HOME", self.home()).args(args);
        command.output().unwrap()
    }

    /// Runs the command until it ends with `code`, and gives what it printed.
    pub(crate) async fn ends_with(&self, code: i32, args: &[&str]) -> Vec<u8> {
        wait_until(&args.join(" "), async || {
            let output = self.run(args);
            if output.status.code() == Some(code) {
                Ok(output.stdout)
            } else {
                Err(String::from_utf8(output.stderr).unwrap())
            }
        })
        .await
    }

    /// Stops the services; the folder stays.
    pub(crate) async fn stop(self) -> TempDir {
        self.mesh.stop().await;
        self.home
    }
}

fn rows() -> Vec<InventoryRow> {
    let end = Home::new(9).hub().to_string();
    let is_end = |row: &InventoryRow| matches!(&row.row, Some(Row::Device(device)) if device.device_id == end);
    let rows = sample::rows(sample::SINCE).unwrap().into_iter();
    rows.take_while(|row| !is_end(row)).collect()
}
