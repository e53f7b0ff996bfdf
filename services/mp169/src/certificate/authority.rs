//! `mp169 certificate authority`: another authority for the mesh.

use std::time::Duration;

use anyhow::Result;
use mesh_authz::InternalRole;
use mesh_types::{Clock as _, SystemClock};

use crate::cli::certificate::{AuthorityCommand, DropArgs};
use crate::exit::Usage;
use crate::home::{Change, Folder};
use crate::output::{print_line, print_table};

/// After so long every process has taken new files, which it looks at every second.
const TAKEN: Duration = Duration::from_secs(5);

/// Carries out one of the steps.
pub(super) async fn run(command: &AuthorityCommand) -> Result<()> {
    match command {
        AuthorityCommand::Add(args) => {
            let change = Folder::open(&args.home)?.add_authority()?;
            told(&change)?;
            print_line(
                &"Next: `mp169 certificate authority use`, once whatever runs elsewhere trusts both.",
            )
        }
        AuthorityCommand::Use(args) => {
            let home = Folder::open(&args.home)?;
            settled(&home).await?;
            told(&home.use_authority()?)?;
            print_line(
                &"Next: `mp169 certificate renew`, and `mp169 party certificate` for each party.",
            )
        }
        AuthorityCommand::Drop(args) => drop_old(args).await,
    }
}

async fn drop_old(args: &DropArgs) -> Result<()> {
    let home = Folder::open(&args.of.home)?;
    let left = home.left_behind()?;
    let left: Vec<_> = left.iter().map(|name| renewed(name)).collect();
    if args.dry_run {
        return match &left[..] {
            [] => print_line(&"Nobody would be refused."),
            left => print_line(&format_args!(
                "These would be refused: {}.",
                left.join(", ")
            )),
        };
    }
    if !left.is_empty() && !args.yes {
        let harm = format!(
            "these show no certificate of the new authority yet, and would be refused: {}; give --yes if that is what you want",
            left.join(", ")
        );
        return Err(Usage(harm).into());
    }
    settled(&home).await?;
    told(&home.drop_authorities()?)
}

/// A name, and the command that gives it a new certificate.
fn renewed(name: &str) -> String {
    let command = match InternalRole::from_spiffe_path(name) {
        Some(_) => "certificate renew",
        None => "party certificate",
    };
    format!("{name} (`mp169 {command} {name}`)")
}

/// Waits until every process has taken what was changed last.
async fn settled(home: &Folder) -> Result<()> {
    let taken = home.changed()?.saturating_add(TAKEN);
    tokio::time::sleep(taken.since(SystemClock.now()).min(TAKEN)).await;
    Ok(())
}

fn told(change: &Change) -> Result<()> {
    let does = std::iter::once("issues, trusted").chain(std::iter::repeat("trusted"));
    let rows = change
        .authorities
        .iter()
        .zip(does)
        .map(|(authority, does)| {
            let id = &authority.id;
            vec![
                id.issuer.to_string(),
                id.serial.to_string(),
                does.to_owned(),
            ]
        });
    print_table(&["authority", "serial", "now"], rows.collect())?;
    let (seconds, trust) = (TAKEN.as_secs(), change.trust.display());
    print_line(&format_args!(
        "In effect within {seconds} seconds in every process that reads {trust}."
    ))
}
