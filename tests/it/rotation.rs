//! All certificates of a mesh that runs, and its authority, are exchanged while everybody calls: does a call
//! fail, and is what cannot be used told?
//!
//! The mesh is a process of its own and reads its files as any service does; what exchanges them are the
//! commands that operators give.

mod load;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser as _;
use mesh_api::operations::v1 as operations;
use mesh_pki::IssuedPaths;
use mesh_rpc::CertificateId;
use mesh_testkit::{temp_dir, wait_until};
use mp169::Cli;
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::sample::{ALBION, Home};
use mp169::service::Service;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::downstream::{Read, classify};
use crate::engine::Databases;
use crate::mesh::{everybody_knows, serves};
use crate::process;
use crate::requests::{add, rows};

use load::Load;

const TEST: &str =
    "rotation::certificates_and_the_authority_are_exchanged_under_load_without_a_failed_call";
/// New files are in use within this time.
const TAKEN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_the_authority_are_exchanged_under_load_without_a_failed_call() {
    if process::is_the_mesh().await {
        return;
    }
    let home = temp_dir();
    let mesh = process::start(TEST, home.path(), &Databases::Files, false);
    let town = Town::of(home.path()).await;
    let load = Load::begin(&town.folder);

    load.goes_on().await;
    let first = town.certificates().await;
    town.renew().await;
    town.are_shown(&load, 1).await;
    let second = town.certificates().await;
    for (first, second) in first.iter().zip(&second) {
        assert_ne!(first.serial, second.serial);
        assert_eq!(first.issuer, second.issuer);
    }

    town.half_a_key_is_told(&load).await;

    town.run(&["certificate", "authority", "add"]).await;
    town.trust(&load, 2).await;
    town.run(&["certificate", "authority", "use"]).await;
    town.renew().await;
    town.are_shown(&load, 2).await;
    let third = town.certificates().await;
    assert!(third.iter().all(|of| of.issuer != second[0].issuer));
    town.run(&["certificate", "authority", "drop", "--yes"])
        .await;
    town.trust(&load, 1).await;
    load.goes_on().await;
    let calls = load.end().await;
    println!("{calls} calls, none of which failed");
    for of in town.certificates().await {
        assert_eq!(of.authorities[0].subject, of.issuer, "the new one alone");
    }

    // Those who follow have come along.
    let flagged = Home::new(9);
    let mut flags = town.clients(ALBION.id).flags().unwrap();
    let set = flags.add_flag(add(flagged.esme(), flagged.electricity().id));
    set.await.unwrap();
    wait_until("classification to know of the flag", async || {
        let device = flagged.esme().to_string();
        let decided = classify(&town.folder, [device], None).await;
        match decided.map_err(|status| format!("{status:?}"))?[0].0 {
            Read::Suppress => Ok(()),
            Read::Deliver => Err("not yet".to_owned()),
        }
    })
    .await;
    drop(mesh);
}

struct Town {
    folder: Folder,
    home: String,
}

impl Town {
    async fn of(home: &Path) -> Self {
        let folder = wait_until("the mesh to note its addresses", async || {
            let folder = Folder::open(home).map_err(|error| format!("{error:#}"))?;
            let last = folder.address(Service::Reporting);
            last.map_err(|error| format!("{error:#}")).map(|_| folder)
        })
        .await;
        for service in Service::ALL {
            serves(&folder, service).await;
        }
        let loaded = load(&folder, rows(12), |_| {}).await.unwrap();
        assert_eq!(loaded.refused, 0, "{loaded}");
        everybody_knows(&folder, ALBION.id).await;
        Self {
            folder,
            home: home.display().to_string(),
        }
    }

    fn clients(&self, identity: &str) -> Clients {
        Clients::of(&self.folder, identity).unwrap()
    }

    /// Gives a command of the operator's.
    async fn run(&self, words: &[&str]) {
        let line = [&["mp169"], words, &["--home", &self.home]].concat();
        let cli = Cli::try_parse_from(&line).unwrap();
        assert_eq!(mp169::run(cli).await, ExitCode::SUCCESS, "{line:?}");
    }

    async fn renew(&self) {
        self.run(&["certificate", "renew"]).await;
        self.run(&["party", "certificate", ALBION.id]).await;
    }

    /// What each service says of its certificate.
    async fn certificates(&self) -> Vec<operations::CertificateStatus> {
        let mut all = Vec::new();
        for service in Service::ALL {
            all.push(self.certificate(service).await.unwrap());
        }
        all
    }

    async fn certificate(&self, service: Service) -> Result<operations::CertificateStatus, String> {
        let mut asked = self.clients("operator").operations(service).unwrap();
        let status = asked.get_status(operations::GetStatusRequest {}).await;
        let status = status.map_err(|status| format!("{status:?}"))?;
        Ok(status.into_inner().certificate.unwrap())
    }

    /// Fails unless each service, and each caller, shows what its files hold within [`TAKEN`].
    async fn are_shown(&self, load: &Load, exchange: u32) {
        let since = Instant::now();
        for service in Service::ALL {
            let what = format!("{} to show its new certificate", service.name());
            let kept = self.kept(service.name());
            wait_until(&what, async || {
                let shown = self.certificate(service).await?.serial;
                if shown == kept { Ok(()) } else { Err(shown) }
            })
            .await;
        }
        wait_until("the callers to have theirs", async || {
            let shown = load.shown();
            let kept = load.identities().map(|identity| self.kept(identity));
            if shown == kept {
                Ok(())
            } else {
                Err(format!("{shown:?}"))
            }
        })
        .await;
        let took = since.elapsed();
        println!("exchange {exchange} is in use everywhere after {took:?}");
        assert!(took < TAKEN, "{took:?}");
        load.goes_on().await;
    }

    /// Waits until everybody trusts so many authorities.
    async fn trust(&self, load: &Load, authorities: usize) {
        let since = Instant::now();
        for service in Service::ALL {
            let what = format!("{} to trust {authorities}", service.name());
            wait_until(&what, async || {
                match self.certificate(service).await?.authorities.len() {
                    trusted if trusted == authorities => Ok(()),
                    trusted => Err(trusted.to_string()),
                }
            })
            .await;
        }
        assert!(since.elapsed() < TAKEN, "{:?}", since.elapsed());
        load.goes_on().await;
    }

    /// The serial number of the certificate that is kept for a name.
    fn kept(&self, name: &str) -> String {
        let folder = Path::new(&self.home).join("certificates");
        let path = IssuedPaths::of(&folder, name).certificate;
        let der = CertificateDer::from_pem_file(path).unwrap();
        CertificateId::of(&der).unwrap().serial.to_string()
    }

    /// The service goes on with its last good key, says what is wrong, and no call notices.
    async fn half_a_key_is_told(&self, load: &Load) {
        let service = Service::FlagRegistry;
        let folder = Path::new(&self.home).join("certificates");
        let key = IssuedPaths::of(&folder, service.name()).key;
        let whole = std::fs::read_to_string(&key).unwrap();
        std::fs::write(&key, &whole[..whole.len() / 2]).unwrap();
        let told = wait_until("half a key to be told", async || {
            let status = self.certificate(service).await?;
            status.last_failure.clone().ok_or(format!("{status:?}"))
        })
        .await;
        assert_eq!((told.files.as_str(), told.persists), ("certificate", true));
        assert!(told.problem.contains("key"), "{told:?}");
        load.goes_on().await;
        assert_eq!(self.certificate(service).await.unwrap().failed_reloads, 1);
        std::fs::write(&key, whole).unwrap();
        wait_until("the whole key to be taken", async || {
            let status = self.certificate(service).await?;
            let persists = status.last_failure.is_some_and(|last| last.persists);
            if persists {
                Err("it persists".to_owned())
            } else {
                Ok(())
            }
        })
        .await;
    }
}
