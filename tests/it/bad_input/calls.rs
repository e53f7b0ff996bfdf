//! Calls in one line each, for the tables.

use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_api::reporting::v1 as reporting;
use tonic::Status;

use crate::mesh::TestMesh;
use mp169::sample::ALBION;

pub(super) async fn add(
    mesh: &TestMesh,
    request: flags::AddFlagRequest,
) -> Result<flags::AddFlagResponse, Status> {
    let mut client = mesh.clients(ALBION.id).flags().unwrap();
    client
        .add_flag(request)
        .await
        .map(tonic::Response::into_inner)
}

pub(super) async fn get(
    mesh: &TestMesh,
    who: &str,
    request: flags::GetFlagRequest,
) -> Result<flags::GetFlagResponse, Status> {
    let mut client = mesh.clients(who).flags().unwrap();
    client
        .get_flag(request)
        .await
        .map(tonic::Response::into_inner)
}

pub(super) async fn put_device(
    mesh: &TestMesh,
    request: registration::PutDeviceRequest,
) -> Result<registration::PutDeviceResponse, Status> {
    let mut client = mesh.clients("registration-data").devices().unwrap();
    client
        .put_device(request)
        .await
        .map(tonic::Response::into_inner)
}

pub(super) async fn put_party(
    mesh: &TestMesh,
    request: registration::PutPartyRequest,
) -> Result<registration::PutPartyResponse, Status> {
    let mut client = mesh.clients("registration-data").parties().unwrap();
    client
        .put_party(request)
        .await
        .map(tonic::Response::into_inner)
}

pub(super) async fn import(
    mesh: &TestMesh,
    rows: Vec<registration::InventoryRow>,
) -> Result<Vec<registration::RowResult>, Status> {
    let mut client = mesh.clients("registration-data").devices().unwrap();
    let request = registration::ImportInventoryRequest {
        rows,
        validate_only: false,
    };
    let mut answers = client
        .import_inventory(tokio_stream::once(request))
        .await?
        .into_inner();
    Ok(answers.message().await?.unwrap_or_default().results)
}

pub(super) async fn record(
    mesh: &TestMesh,
    producer: &str,
    outcomes: Vec<reporting::Outcome>,
) -> Result<reporting::RecordOutcomesResponse, Status> {
    let mut client = mesh.clients("dsp").reporting().unwrap();
    let request = reporting::RecordOutcomesRequest {
        producer: producer.into(),
        outcomes,
        batch_number: 0,
    };
    let answer = client.record_outcomes(tokio_stream::once(request)).await;
    answer.map(tonic::Response::into_inner)
}
