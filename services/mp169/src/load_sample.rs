//! `mp169 sample`, and what `mp169 up --sample` does: the sample inventory into a mesh that runs.

use anyhow::Result;
use mesh_authz::InternalRole;

use crate::cli::connection::{Connection, Output};
use crate::clients::Clients;
use crate::exit::Incomplete;
use crate::load::{Loaded, Mode, load_as};
use crate::output::{print_line, say};
use crate::party::recognised::until_recognised;
use crate::sample::{PARTIES, SINCE, rows};
use crate::session::Session;

/// Who loads inventory.
const USUAL: InternalRole = InternalRole::RegistrationData;

/// Carries out the command. Ends when every service recognises the parties, so that the next command can be given
/// as one of them.
pub(crate) async fn run(connection: Connection) -> Result<()> {
    let session = Session::open(&connection, Some(USUAL))?;
    let loaded = record(&session.clients).await?;
    match connection.output {
        Output::Table => print_line(&said(&loaded))?,
        Output::Json => print_line(&serde_json::json!({
            "recorded": loaded.recorded,
            "unchanged": loaded.unchanged,
            "refused": loaded.refused,
        }))?,
    }
    let all = loaded.recorded + loaded.unchanged + loaded.refused;
    Incomplete::check(loaded.refused, all, "rows were refused")?;
    // Parties become known in the order in which they are loaded.
    let last = PARTIES[PARTIES.len() - 1].id;
    if session.folder.identities()?.iter().any(|name| name == last) {
        until_recognised(&Clients::of(&session.folder, last)?).await?;
    }
    Ok(())
}

/// Loads the sample for `mp169 up`, and says how many rows that were.
pub(crate) async fn at_the_start(clients: &Clients) -> Result<()> {
    say(&said(&record(clients).await?));
    Ok(())
}

/// What is recorded already stays as it is.
async fn record(clients: &Clients) -> Result<Loaded> {
    load_as(clients, rows(SINCE)?, Mode::Record, |_, _| {}).await
}

fn said(loaded: &Loaded) -> String {
    format!("Sample inventory: {loaded}.")
}
