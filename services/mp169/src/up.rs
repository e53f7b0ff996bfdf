//! `mp169 up`: the five services on this machine until Ctrl-C.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use mesh_rpc::{Telemetry, TelemetryOptions};
use mesh_types::{Clock as _, SystemClock, Timestamp};

use crate::cli::UpArgs;
use crate::home::Folder;
use crate::load::load;
use crate::mesh::{Listen, Mesh, Service};
use crate::output::print_table;
use crate::sample;

/// Carries out the command.
pub(crate) async fn run(args: UpArgs, otlp_endpoint: Option<String>) -> Result<()> {
    let options = TelemetryOptions {
        filter: args.log.clone(),
        otlp_endpoint,
        ..TelemetryOptions::new("mp169")
    };
    let telemetry = Telemetry::install(&options)?;
    let folder = Folder::open_or_make(&args.home)?;
    let listen = Listen {
        host: args.host.clone(),
        first_port: args.port,
    };
    let mesh = Mesh::start(&folder, &listen, Arc::new(SystemClock)).await?;
    let rows = Service::ALL.map(|service| {
        let name = service.name();
        vec![
            name.to_owned(),
            mesh.address(service).to_owned(),
            mesh_pki::spiffe_uri(name),
        ]
    });
    print_table(&["service", "address", "identity"], rows.to_vec());
    if args.sample {
        let since = SystemClock.now().micros() - 365 * 86_400 * 1_000_000;
        let loaded = load(
            &folder,
            sample::rows(Timestamp::from_micros(since))?,
            |_| {},
        )
        .await?;
        println!("Sample inventory: {loaded}.");
    }
    println!(
        "The mesh is up in {}. Stop it with Ctrl-C.",
        args.home.display()
    );
    let failed = tokio::select! {
        signal = tokio::signal::ctrl_c() => signal.context("cannot wait for Ctrl-C").err(),
        failed = mesh.failed() => Some(failed),
    };
    println!("Draining.");
    let clean = mesh.stop().await;
    telemetry.shutdown().await;
    match failed {
        Some(error) => Err(error),
        None if !clean => bail!("some calls had to be cut off"),
        None => Ok(()),
    }
}
