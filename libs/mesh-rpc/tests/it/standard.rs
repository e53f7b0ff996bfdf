//! What every server offers besides its own services: health and reflection.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_rpc::{NotReady, health_api};
use mesh_testkit::LIMIT;
use tokio::time::timeout;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::harness::{SERVED, TestServer};

/// A service that no server has.
const OTHER: &str = "mp169.flag_registry.v1.OtherService";
/// Says why a server is not serving.
const REASON: &str = "mp169-health-reason";

fn unready() -> Result<(), NotReady> {
    Err(NotReady::because("log-went-back: flags"))
}

async fn watch(server: &TestServer, service: &str) -> Streaming<HealthCheckResponse> {
    let mut health = HealthClient::new(server.foreign(None));
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    health.watch(request).await.unwrap().into_inner()
}

async fn told(watch: &mut Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let answer = timeout(LIMIT, watch.message()).await.unwrap().unwrap();
    answer.map(|answer| answer.status())
}

#[tokio::test]
async fn a_watch_of_an_unknown_name_says_so_and_stays_open() {
    let server = TestServer::start().await;
    let mut other = watch(&server, OTHER).await;
    assert_eq!(told(&mut other).await, Some(ServingStatus::ServiceUnknown));
    // Nobody can be made to remember a name of any length.
    let mut long = watch(&server, &"x".repeat(1 << 20)).await;
    assert_eq!(told(&mut long).await, Some(ServingStatus::ServiceUnknown));
    server.health.set(unready());
    let ended = server.stop();
    // What the server's own health does is nothing to a name that it does not have.
    assert_eq!(
        (told(&mut other).await, told(&mut long).await),
        (None, None)
    );
    assert!(
        ended.await.unwrap().clean,
        "no watch is in the way of an end"
    );
}

#[tokio::test]
async fn a_check_of_an_unknown_name_is_not_found() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.foreign(None));
    for service in [SERVED[0], SERVED[1], ""] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    for service in [OTHER, "grpc", " "] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let status = health.check(request).await.unwrap_err();
        let told = (status.code(), reason_of(&status));
        assert_eq!(told, (Code::NotFound, Some(ErrorReason::NotFound)));
    }
}

#[tokio::test]
async fn a_check_says_why_the_server_is_not_serving() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.foreign(None));
    let mut check = async |service: &str| {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        let reason = answer.metadata().get(REASON);
        let reason = reason.map(|reason| reason.to_str().unwrap().to_owned());
        (answer.into_inner().status(), reason)
    };
    assert_eq!(check("").await, (ServingStatus::Serving, None));
    for reason in ["log-went-back: flags", "directory-not-loaded"] {
        server.health.set(Err(NotReady::because(reason)));
        for service in [SERVED[0], ""] {
            let told = check(service).await;
            assert_eq!(told, (ServingStatus::NotServing, Some(reason.to_owned())));
        }
    }
    // What cannot stand in metadata does not keep the answer itself back.
    server.health.set(Err(NotReady::because("two\nlines")));
    assert_eq!(check("").await, (ServingStatus::NotServing, None));
    server.health.set(Ok(()));
    assert_eq!(check("").await, (ServingStatus::Serving, None));
}

#[tokio::test]
async fn all_that_is_served_is_listed_with_its_health() {
    let server = TestServer::start().await;
    let mut health = health_api::health_client::HealthClient::new(server.foreign(None));
    let mut list = async || {
        let answer = health.list(health_api::HealthListRequest {}).await.unwrap();
        let reason = answer.metadata().get(REASON);
        let reason = reason.map(|reason| reason.to_str().unwrap().to_owned());
        let statuses = answer.into_inner().statuses.into_iter();
        let statuses = statuses.map(|(name, answer)| (name, answer.status()));
        (BTreeMap::from_iter(statuses), reason)
    };
    let all = |status: health_api::health_check_response::ServingStatus| {
        let names = [SERVED[0], SERVED[1], ""].into_iter();
        BTreeMap::from_iter(names.map(|name| (name.to_owned(), status)))
    };
    use health_api::health_check_response::ServingStatus::{NotServing, Serving};
    assert_eq!(list().await, (all(Serving), None));
    server.health.set(unready());
    let why = Some("log-went-back: flags".to_owned());
    assert_eq!(list().await, (all(NotServing), why));
}

#[tokio::test]
async fn a_watch_tells_changes_and_keeps_none_for_a_slow_reader() {
    let server = TestServer::start().await;
    let mut watch = watch(&server, SERVED[0]).await;
    assert_eq!(told(&mut watch).await, Some(ServingStatus::Serving));
    // The server's tasks do not run in between: nobody looks at what is over.
    for _ in 0..10_000 {
        server.health.set(unready());
        server.health.set(Ok(()));
    }
    server.health.set(unready());
    assert_eq!(told(&mut watch).await, Some(ServingStatus::NotServing));
    // What changes nothing for the one who watches is not told.
    server.health.set(unready());
    let ended = server.stop();
    assert_eq!(told(&mut watch).await, None);
    assert!(ended.await.unwrap().clean);
}

type Files = HashMap<String, prost_types::FileDescriptorProto>;

/// Asks one question of reflection in one of its versions, which have the same messages.
macro_rules! reflection {
    ($version:ident) => {
        mod $version {
            use mesh_rpc::MeshChannel;
            use prost::Message as _;
            use prost_types::FileDescriptorProto;
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            use super::Files;

            async fn ask(channel: MeshChannel, what: MessageRequest) -> MessageResponse {
                let ask = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(what),
                };
                let mut client = ServerReflectionClient::new(channel);
                let asked = tokio_stream::once(ask);
                let answers = client.server_reflection_info(asked).await.unwrap();
                let answer = answers.into_inner().message().await.unwrap().unwrap();
                answer.message_response.unwrap()
            }

            pub(super) async fn services(channel: MeshChannel) -> Vec<String> {
                match ask(channel, MessageRequest::ListServices(String::new())).await {
                    MessageResponse::ListServicesResponse(list) => {
                        list.service.into_iter().map(|named| named.name).collect()
                    }
                    other => panic!("{other:?}"),
                }
            }

            /// The file of a symbol, and all that it refers to, as a tool gets them.
            pub(super) async fn files_behind(channel: MeshChannel, symbol: &str) -> Files {
                let symbol = MessageRequest::FileContainingSymbol(symbol.into());
                let first = file(ask(channel.clone(), symbol).await);
                let mut missing = first.dependency.clone();
                let mut files = Files::from([(first.name().to_owned(), first)]);
                while let Some(name) = missing.pop() {
                    if !files.contains_key(&name) {
                        let named = MessageRequest::FileByFilename(name.clone());
                        let file = file(ask(channel.clone(), named).await);
                        missing.extend(file.dependency.iter().cloned());
                        files.insert(name, file);
                    }
                }
                files
            }

            fn file(answer: MessageResponse) -> FileDescriptorProto {
                match answer {
                    MessageResponse::FileDescriptorResponse(files) => {
                        FileDescriptorProto::decode(&files.file_descriptor_proto[0][..]).unwrap()
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    };
}

reflection!(v1);
reflection!(v1alpha);

fn all_served() -> BTreeSet<String> {
    let standard = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    SERVED
        .into_iter()
        .chain(standard)
        .map(str::to_owned)
        .collect()
}

fn once(names: Vec<String>) -> BTreeSet<String> {
    let count = names.len();
    let names = BTreeSet::from_iter(names);
    assert_eq!(names.len(), count, "each once");
    names
}

#[tokio::test]
async fn reflection_lists_what_is_served_in_both_versions() {
    let server = TestServer::start().await;
    let listed = v1alpha::services(server.channel("operator")).await;
    assert_eq!(once(listed), all_served());
    let listed = v1::services(server.channel("operator")).await;
    assert_eq!(once(listed), all_served());
}

#[tokio::test]
async fn every_file_behind_a_listed_service_can_be_had_in_both_versions() {
    let server = TestServer::start().await;
    let channel = server.channel("operator");
    for service in all_served() {
        let new = v1::files_behind(channel.clone(), &service).await;
        let old = v1alpha::files_behind(channel.clone(), &service).await;
        assert_eq!(old, new, "{service}");
        let package = service.rsplit_once('.').unwrap().0;
        assert!(new.values().any(|file| file.package() == package));
    }
}
