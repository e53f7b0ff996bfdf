//! How are the rows of services, or of a copy, compared with their logs?

use std::path::Path;

use anyhow::Result;
use mesh_api::operations::v1 as wire;
use mesh_api::operations::v1::check_state_response::Part;
use mesh_service::comparison_to_wire;
use mesh_store::fold::{Folded, compare_copy};
use mesh_store::offline::Offline;
use mesh_store::{Location, StoreError};
use serde_json::json;
use tonic::Status;

use super::file;
use crate::cli::connection::Output;
use crate::clients::Clients;
use crate::output::{json, print_line, print_table, short};
use crate::service::Service;

const HEADER: [&str; 5] = ["rows of", "log", "up to event", "rows that fit", "finding"];

/// What was found out about the rows of each service.
#[derive(Default)]
pub(super) struct States {
    all: Vec<State>,
    /// Why a service could not be asked.
    unanswered: Option<anyhow::Error>,
}

/// What was found out about the rows of a service.
#[derive(Default)]
struct State {
    /// The service's name, or the file's.
    of: String,
    comparisons: Vec<wire::StateComparison>,
    /// Whether the database file is whole, if that was looked at here.
    file_is_whole: Option<bool>,
    /// What there is to say besides.
    remark: Option<&'static str>,
}

/// Has each service compare its rows. One that cannot be asked does not keep the others from saying what
/// they found.
pub(super) async fn served(clients: &Clients) -> States {
    let mut states = States::default();
    for service in Service::ALL {
        match ask(clients, service).await {
            Ok(state) => states.all.push(state),
            Err(error) => {
                states.all.push(State {
                    of: service.name().to_owned(),
                    remark: Some("could not be asked to the end"),
                    ..State::default()
                });
                let whom = format!("the state of {}", service.name());
                states.unanswered.get_or_insert(error.context(whom));
            }
        }
    }
    states
}

async fn ask(clients: &Clients, service: Service) -> Result<State> {
    let mut operations = clients.operations(service)?;
    let asked = operations.check_state(wire::CheckStateRequest {});
    let mut parts = asked.await?.into_inner();
    let mut state = State {
        of: service.name().to_owned(),
        ..State::default()
    };
    let mut is_over = false;
    while let Some(part) = parts.message().await? {
        match part.part {
            Some(Part::Started(started)) if !started.keeps_database => {
                is_over = true;
                state.remark = Some("it keeps no database");
            }
            Some(Part::Started(started)) if !started.compares_rows => {
                state.remark = Some("its rows are not compared with anything");
            }
            Some(Part::Comparison(comparison)) => state.comparisons.push(comparison),
            Some(Part::File(file)) => {
                is_over = true;
                state.file_is_whole = Some(file.whole);
            }
            Some(Part::Started(_)) | None => {}
        }
    }
    if !is_over {
        return Err(Status::unavailable("the answer ended too early").into());
    }
    Ok(state)
}

/// Compares the rows of the database at `at`, which tells by its tables whose it is.
pub(super) async fn of_copy(at: &Location) -> Result<States> {
    let explain = |error| explain(at, error);
    let mut copy = Offline::open(at)
        .await
        .map_err(|error| file::explain(at, error))?;
    let name = at.file().and_then(Path::file_name);
    let mut state = State {
        of: name.map_or_else(
            || at.to_string(),
            |name| name.to_string_lossy().into_owned(),
        ),
        ..State::default()
    };
    let mut unanswered = None;
    match compare(&mut copy).await {
        Ok(Some(all)) => state.comparisons.extend(all.iter().map(comparison_to_wire)),
        Ok(None) => state.remark = Some("its rows are not compared with anything"),
        Err(error @ StoreError::Inconsistent { .. }) => {
            state.comparisons.push(wire::StateComparison {
                unreadable: error.to_string(),
                ..wire::StateComparison::default()
            });
        }
        Err(error) => {
            state.remark = Some("could not be compared to the end");
            unanswered = Some(explain(error));
        }
    }
    Ok(States {
        all: vec![state],
        unanswered,
    })
}

/// Each service folds its own log; the copy tells by its tables whose it is.
async fn compare(copy: &mut Offline) -> Result<Option<Vec<Folded>>, StoreError> {
    let is_of = |table| copy.has_table(table);
    let [registration, flags, csps, outcomes] = [
        "registration",
        "flag_entry",
        "reduced_device",
        "outcome_part",
    ]
    .map(is_of);
    let conn = copy.conn();
    let folded = if registration {
        let foldings = registration::foldings(conn).await?;
        compare_copy(conn, foldings).await?
    } else if flags {
        let foldings = flag_registry::foldings(conn).await?;
        compare_copy(conn, foldings).await?
    } else if csps {
        let foldings = csp_notification::foldings(conn).await?;
        compare_copy(conn, foldings).await?
    } else if outcomes {
        compare_copy(conn, reporting::store::ReportFolding::all()).await?
    } else {
        return Ok(None);
    };
    Ok(Some(folded))
}

fn explain(at: &Location, error: StoreError) -> anyhow::Error {
    let advice = match error {
        StoreError::Statement(_) => {
            "its tables are not those of this version: put a copy into another home with \
             `mp169 restore`, and start it there"
        }
        _ => "its rows cannot be read",
    };
    anyhow::Error::new(error).context(format!("{at}: {advice}"))
}

impl States {
    pub(super) fn show(&self, output: Output) -> Result<()> {
        match output {
            Output::Table => self.table(),
            Output::Json => self.lines(),
        }
    }

    fn table(&self) -> Result<()> {
        if self.all.is_empty() {
            return Ok(());
        }
        let rows = self.all.iter().flat_map(State::rows);
        print_table(&HEADER, rows.collect())?;
        for state in &self.all {
            for comparison in &state.comparisons {
                for difference in &comparison.differences {
                    print_line(&format_args!("{}: {}", state.of, said(difference)))?;
                }
            }
        }
        Ok(())
    }

    fn lines(&self) -> Result<()> {
        for state in &self.all {
            for comparison in &state.comparisons {
                let comparison = json(comparison)?;
                print_line(&json!({ "state_of": state.of, "comparison": comparison }))?;
            }
            if let Some(whole) = state.file_is_whole {
                print_line(&json!({ "state_of": state.of, "file_is_whole": whole }))?;
            }
            if let Some(remark) = state.remark {
                print_line(&json!({ "state_of": state.of, "remark": remark }))?;
            }
        }
        Ok(())
    }

    /// Whose rows or file are not as they should be.
    pub(super) fn misfits(&self) -> impl Iterator<Item = String> {
        let unsound = self.all.iter().filter(|state| !state.is_sound());
        unsound.map(|state| format!("the state of {}", state.of))
    }

    /// Why not everybody could be asked.
    pub(super) fn unanswered(self) -> Result<()> {
        self.unanswered.map_or(Ok(()), Err)
    }
}

impl State {
    fn is_sound(&self) -> bool {
        self.file_is_whole != Some(false) && self.comparisons.iter().all(fits)
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let none = || "–".to_owned();
        let compared = self.comparisons.iter().map(|comparison| {
            let finding = if !comparison.unreadable.is_empty() {
                comparison.unreadable.clone()
            } else if fits(comparison) {
                "as they were made".to_owned()
            } else {
                let differ = comparison.differences.len() as u64 + comparison.more;
                format!("{differ} not as they were made")
            };
            vec![
                self.of.clone(),
                comparison.log.clone(),
                comparison.up_to.to_string(),
                comparison.fit.to_string(),
                finding,
            ]
        });
        let besides = |what: &str| vec![self.of.clone(), none(), none(), none(), what.to_owned()];
        let damage = "the database file is damaged; the service's log says how";
        let damaged = (self.file_is_whole == Some(false)).then(|| besides(damage));
        compared
            .chain(self.remark.map(besides))
            .chain(damaged)
            .collect()
    }
}

fn fits(comparison: &wire::StateComparison) -> bool {
    comparison.differences.is_empty() && comparison.unreadable.is_empty()
}

fn said(difference: &wire::StateDifference) -> String {
    use wire::StateDifferenceKind as Kind;
    let wire::StateDifference {
        table,
        key,
        sequence,
        column,
        ..
    } = difference;
    let from = match sequence {
        0 => String::new(),
        sequence => format!(" from event {sequence}"),
    };
    match difference.kind() {
        Kind::Missing => format!("{table}: the row of {key}{from} is missing"),
        Kind::Surplus => format!("{table}: nothing made the row of {key}{from}"),
        Kind::Column => format!("{table}: {column} of {key}{from} is not as it was made"),
        kind @ Kind::Unspecified => {
            let kind = short(kind.as_str_name(), "STATE_DIFFERENCE_KIND_");
            format!("{table}: {kind} of {key}{from}")
        }
    }
}
