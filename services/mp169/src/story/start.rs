//! Acts 1 and 2: the mesh starts and the inventory is loaded.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_api::{csp_notification::v1 as csp, reporting::v1 as reporting};
use mesh_rpc::MeshChannel;
use mesh_types::Clock;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::narrator::{Narrator, Step};
use super::stage::Stage;
use super::{line, until};
use crate::clients::Clients;
use crate::exit::Unwell;
use crate::home::Folder;
use crate::load::load;
use crate::mesh::{Listen, Mesh};
use crate::sample;
use crate::service::Service;

/// How many homes a town has in which the story is told on a mesh that runs.
const HOMES: u16 = 12;

/// What a service says that is ready.
const SERVING: &str = "SERVING";
/// Within what time each service of a mesh that runs must answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What the words mean.
fn words(narrator: &mut Narrator) {
    narrator.remark(
        "ESME: electricity meter. GSME: gas meter. GPF: the gas meter's mirror on the Communications Hub.\n\
         SRV: Service Request Variant, the kind of a request. DSP: the Data Service Provider, which\n\
         asks before it sends. CSP: the communications provider of a hub.",
    );
}

/// Act 1 of a mesh that is made for the story.
pub(super) async fn mesh(
    narrator: &mut Narrator,
    folder: &Folder,
    clock: Arc<dyn Clock>,
) -> Result<Mesh> {
    words(narrator);
    narrator.act(
        "Act 1: the mesh starts",
        "Five services on this machine, each with its own certificate and database.",
    );
    let mesh = Mesh::start(folder, &Listen::default(), clock).await?;
    services_serve(narrator, folder).await?;
    Ok(mesh)
}

/// Act 1 of a mesh that runs. Refused where a service does not serve: the story would wait for it in every act, and
/// leave half of what it tells behind.
pub(super) async fn running(narrator: &mut Narrator, folder: &Folder) -> Result<()> {
    let silent = silent(folder).await?;
    if !silent.is_empty() {
        let silent = silent.join("; ");
        let text = format!(
            "nothing was done, because not all services serve: {silent}. `mp169 doctor` says what to do"
        );
        return Err(Unwell(text).into());
    }
    words(narrator);
    narrator.act(
        "Act 1: the mesh is there",
        "Five services that run already, each with its own certificate. They go on afterwards.",
    );
    services_serve(narrator, folder).await
}

/// The services that do not serve, each with what it says instead.
async fn silent(folder: &Folder) -> Result<Vec<String>> {
    let operator = Clients::of(folder, "operator")?;
    let asked = Service::ALL.map(async |service| {
        let said = tokio::time::timeout(ANSWER_LIMIT, serving(operator.health(service)?)).await;
        let said = said.unwrap_or_else(|_| "no answer".to_owned());
        anyhow::Ok((said != SERVING).then(|| format!("{}: {said}", service.name())))
    });
    let silent = futures::future::try_join_all(asked).await?;
    Ok(silent.into_iter().flatten().collect())
}

/// What a service says of its health, in one line.
async fn serving(mut health: HealthClient<MeshChannel>) -> String {
    let answer = health.check(HealthCheckRequest::default()).await;
    line(answer, |answer| {
        ServingStatus::try_from(answer.status)
            .map_or("?", |status| status.as_str_name())
            .to_owned()
    })
}

async fn services_serve(narrator: &mut Narrator, folder: &Folder) -> Result<()> {
    let operator = Clients::of(folder, "operator")?;
    let bar = narrator.progress(Some(5), "services are getting ready");
    for service in Service::ALL {
        let health = operator.health(service)?;
        let status = until(
            |line: &String| line == SERVING,
            async || serving(health.clone()).await,
        )
        .await;
        bar.inc(1);
        narrator.step(Step {
            who: service.name(),
            what: format!(
                "serves at {} as {}",
                folder.address(service)?,
                mesh_pki::spiffe_uri(service.name())
            ),
            expected: SERVING.into(),
            came_out: status,
        });
    }
    bar.finish_and_clear();
    Ok(())
}

/// Act 2.
pub(super) async fn inventory(
    narrator: &mut Narrator,
    stage: &Stage,
    folder: &Folder,
) -> Result<()> {
    narrator.act(
        "Act 2: the inventory is loaded",
        "Parties, Devices and registrations come in one stream, with a result for each row.",
    );
    let rows = if stage.is_own() {
        sample::rows(sample::SINCE)?
    } else {
        sample::town(stage.town, HOMES, sample::SINCE)?
    };
    let everything = rows.len();
    let known = known_parties(stage, folder).await?;
    let fresh = everything - known;
    let who = "registration-data";
    let first = load_all(narrator, folder, rows.clone()).await?;
    narrator.step(Step {
        who,
        what: format!("loads {everything} rows"),
        expected: format!("{fresh} recorded, {known} unchanged, 0 refused"),
        came_out: first,
    });
    let again = load_all(narrator, folder, rows).await?;
    narrator.step(Step {
        who,
        what: "loads them again, as after a cut".into(),
        expected: format!("0 recorded, {everything} unchanged, 0 refused"),
        came_out: again,
    });
    let recognised = parties_are_known(folder).await?;
    narrator.step(Step {
        who: "every service",
        what: "follows the directory of parties".into(),
        expected: "recognises suppliers and CSPs".into(),
        came_out: recognised,
    });
    Ok(())
}

/// How many of the story's parties the mesh had before.
async fn known_parties(stage: &Stage, folder: &Folder) -> Result<usize> {
    if stage.is_own() {
        return Ok(0);
    }
    let mut parties = Clients::of(folder, "operator")?.parties()?;
    let mut known = 0;
    for party in sample::PARTIES {
        let request = registration::GetPartyRequest {
            party_id: party.id.to_owned(),
            ..Default::default()
        };
        match parties.get_party(request).await {
            Ok(_) => known += 1,
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => return Err(status.into()),
        }
    }
    Ok(known)
}

async fn load_all(
    narrator: &Narrator,
    folder: &Folder,
    rows: Vec<registration::InventoryRow>,
) -> Result<String> {
    let bar = narrator.progress(u64::try_from(rows.len()).ok(), "loading");
    let loaded = load(folder, rows, |count| bar.inc(count)).await;
    bar.finish_and_clear();
    Ok(loaded?.to_string())
}

/// Each service has its own copy of the directory: asks all that parties talk to.
async fn parties_are_known(folder: &Folder) -> Result<String> {
    let albion = Clients::of(folder, sample::ALBION.id)?;
    let north = Clients::of(folder, sample::CSP_NORTH.id)?;
    let (mut flags, mut reporting, mut csp) = (albion.flags()?, albion.reporting()?, north.csp()?);
    let party_id = sample::ALBION.id.to_owned();
    let csp_id = sample::CSP_NORTH.csp.to_owned();
    let known = "recognises suppliers and CSPs";
    let answer = until(
        |line: &String| line == known,
        async || {
            let list = flags::ListFlagsRequest {
                party_id: party_id.clone(),
                ..Default::default()
            };
            let report = reporting::GetObligationReportRequest {
                party_id: party_id.clone(),
                ..Default::default()
            };
            let subscription = csp::GetSubscriptionRequest {
                csp_id: csp_id.clone(),
            };
            let all = async {
                flags.list_flags(list).await?;
                reporting.get_obligation_report(report).await?;
                csp.get_subscription(subscription).await
            };
            line(all.await, |_| known.to_owned())
        },
    )
    .await;
    Ok(answer)
}
