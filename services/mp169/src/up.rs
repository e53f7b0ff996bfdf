//! `mp169 up`: the five services on this machine until they are told to stop.

use std::time::Duration;

use anyhow::{Result, bail};
use mesh_rpc::Telemetry;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::cli::server::ServerUrl;
use crate::cli::services::UpArgs;
use crate::clients::Clients;
use crate::home::Folder;
use crate::mesh::{Listen, Mesh, PagesAt};
use crate::output::{fill, new_table, one_line, say};
use crate::service::Service;
use crate::{load_sample, signals};

/// How long the services may take until they serve.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Carries out the command.
pub(crate) async fn run(args: UpArgs, otlp_endpoint: Option<String>) -> Result<()> {
    Folder::refuse_apart(&args.home)?;
    let options = args.telemetry.options("mp169", &args.log, otlp_endpoint);
    let telemetry = Telemetry::install(&options)?;
    let server = args.database.as_ref().map(ServerUrl::read).transpose()?;
    let mut folder = Folder::open_or_make(&args.home)?.with_databases(server)?;
    if args.create {
        folder = folder.with_new_databases();
    }
    let listen = Listen {
        host: args.host.clone(),
        first_port: args.port,
        pages: pages(&args),
    };
    let clock = |_| mesh_service::machine_clock(args.accept_clock);
    let mesh = Mesh::start_by(&folder, &listen, clock, args.quotas).await?;
    let ended = tokio::select! {
        stop = signals::told_to_stop() => stop,
        failed = mesh.failed() => Err(failed),
        failed = serve(&folder, &mesh, &args) => Err(failed),
    };
    say(&"Draining.");
    let clean = mesh.stop().await;
    telemetry.shutdown().await;
    ended?;
    if clean {
        Ok(())
    } else {
        bail!("some calls had to be cut off")
    }
}

fn pages(args: &UpArgs) -> Option<PagesAt> {
    let with = args.web.map(PagesAt::WithCertificates);
    with.or_else(|| {
        let without = args.web_without_certificate;
        without.map(PagesAt::WithoutCertificates)
    })
}

/// Says where browsers find the reports, and who can read them there.
fn announce_pages(mesh: &Mesh, args: &UpArgs) {
    let Some(address) = mesh.pages() else {
        return;
    };
    if args.web_without_certificate.is_some() {
        say(&format_args!(
            "WARNING: http://{address}/ shows the reports to EVERY process and user of this machine, without a \
             certificate, as the analyst: also which Devices are flagged. For trying out only."
        ));
        return;
    }
    say(&format_args!(
        "Reports for browsers that have a certificate: https://{address}/ \
         (`mp169 certificate issue analyst --p12 analyst.p12` makes one to import)."
    ));
}

/// Says what is up once all of it is, and then waits; resolves only if that fails.
async fn serve(folder: &Folder, mesh: &Mesh, args: &UpArgs) -> anyhow::Error {
    match announce(folder, mesh, args).await {
        Ok(()) => std::future::pending().await,
        Err(error) => error,
    }
}

async fn announce(folder: &Folder, mesh: &Mesh, args: &UpArgs) -> Result<()> {
    let rows = Service::ALL.map(|service| {
        let name = service.name();
        let identity = mesh_pki::spiffe_uri(name);
        vec![name.to_owned(), mesh.address(service).to_owned(), identity]
    });
    let mut table = new_table(&["service", "address", "identity"]);
    fill(&mut table, rows);
    say(&table);
    for service in Service::ALL {
        until_it_serves(folder, service).await?;
    }
    if args.sample {
        load_sample::at_the_start(&Clients::of(folder, "registration-data")?).await?;
    }
    announce_pages(mesh, args);
    let home = one_line(&args.home.display());
    say(&format_args!(
        "The mesh is up in {home}. Stop it with Ctrl-C."
    ));
    Ok(())
}

async fn until_it_serves(folder: &Folder, service: Service) -> Result<()> {
    let mut health = Clients::of(folder, "operator")?.health(service)?;
    let deadline = tokio::time::Instant::now() + START_LIMIT;
    while tokio::time::Instant::now() < deadline {
        let answer = health.check(HealthCheckRequest::default()).await;
        if answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{} does not serve; --log info says more", service.name())
}
