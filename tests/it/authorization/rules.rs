//! Can a server run with an RPC that nobody has made a rule for? Each RPC in turn loses its rule in a
//! copy of the contracts, and the server that offers it does not start.

use std::collections::BTreeSet;
use std::error::Error;

use mesh_authz::{RuleError, Rules};
use mesh_rpc::Drained;
use mesh_service::OPERATIONS;
use mesh_testkit::temp_dir;
use mp169::home::Folder;
use mp169::service::Service;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use tokio::net::TcpListener;

use super::call::{Rpc, rpcs};

/// The contracts' services that each server reads the rules of.
fn ruled_by(service: Service) -> Vec<&'static str> {
    let own = match service {
        Service::Registration => registration::SERVICES.to_vec(),
        Service::FlagRegistry => vec![flag_registry::SERVICE],
        Service::Classification => vec![classification::SERVICE],
        Service::CspNotification => vec![csp_notification::SERVICE],
        Service::Reporting => vec![reporting::SERVICE],
    };
    [own, vec![OPERATIONS, mesh_audit::SERVICE]].concat()
}

/// The contracts, in which `rpc` has lost its rule and everything else is as it was.
fn contracts_without_the_rule_of(rpc: &Rpc) -> Vec<u8> {
    let pool = DescriptorPool::decode(mesh_api::FILE_DESCRIPTOR_SET).unwrap();
    let set = pool.get_message_by_name("google.protobuf.FileDescriptorSet");
    let mut set = DynamicMessage::decode(set.unwrap(), mesh_api::FILE_DESCRIPTOR_SET).unwrap();
    let mut stripped = 0;
    for file in inner(&mut set, "file") {
        // Comments take most of the room and say nothing to a server.
        file.clear_field_by_name("source_code_info");
        let package = file.get_field_by_name("package").unwrap().into_owned();
        for service in inner(file, "service") {
            let name = service.get_field_by_name("name").unwrap().into_owned();
            let name = format!("{}.{}", package.as_str().unwrap(), name.as_str().unwrap());
            for method in inner(service, "method") {
                let method_name = method.get_field_by_name("name").unwrap().into_owned();
                if name == rpc.service() && method_name.as_str() == Some(rpc.name()) {
                    method.clear_field_by_name("options");
                    stripped += 1;
                }
            }
        }
    }
    assert_eq!(stripped, 1, "{}", rpc.name());
    prost::Message::encode_to_vec(&set)
}

/// The messages in a repeated field.
fn inner<'m>(
    message: &'m mut DynamicMessage,
    field: &str,
) -> impl Iterator<Item = &'m mut DynamicMessage> {
    let values = message.get_field_by_name_mut(field).unwrap();
    let values = values.as_list_mut().unwrap().iter_mut();
    values.filter_map(Value::as_message_mut)
}

fn path(rpc: &Rpc) -> String {
    format!("/{}/{}", rpc.service(), rpc.name())
}

#[test]
fn no_server_takes_contracts_in_which_an_rpc_has_no_rule() {
    let mut ruled = BTreeSet::new();
    for service in Service::ALL {
        Rules::of_services(&ruled_by(service)).unwrap();
        ruled.extend(ruled_by(service));
    }
    for rpc in rpcs() {
        assert!(ruled.contains(rpc.service().as_str()), "{}", rpc.service());
        let contracts = contracts_without_the_rule_of(&rpc);
        let refused = Rules::read(&contracts, &ruled_by(rpc.served_by()));
        assert_eq!(refused.unwrap_err(), RuleError::NoRule(path(&rpc)));
    }
    // The copy lacks nothing else: the servers of other contracts take it.
    let mut of_one = rpcs().into_iter();
    let of_one = of_one
        .find(|rpc| rpc.service() != mesh_audit::SERVICE)
        .unwrap();
    let contracts = contracts_without_the_rule_of(&of_one);
    for service in Service::ALL {
        let taken = Rules::read(&contracts, &ruled_by(service)).is_ok();
        assert_eq!(taken, service != of_one.served_by(), "{service:?}");
    }
}

/// Starts a server with `contracts` as its own; says why it did not serve.
async fn start(service: Service, folder: &Folder, contracts: &'static [u8]) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (nowhere, database) = ("127.0.0.1:1", folder.database(service));
    let tls = folder.tls(service.name()).unwrap();
    // A server that starts is told to stop at once, and ends well.
    let stop = std::future::ready(());
    match service {
        Service::Registration => {
            let mut deps = registration::Deps::new(database, tls);
            deps.contracts = contracts;
            ended(registration::run(deps, listener, stop).await)
        }
        Service::FlagRegistry => {
            let mut deps = flag_registry::Deps::new(database, nowhere, tls);
            deps.contracts = contracts;
            ended(flag_registry::run(deps, listener, stop).await)
        }
        Service::Classification => {
            let mut deps =
                classification::Deps::new(folder.audit_database(service), nowhere, nowhere, tls);
            deps.contracts = contracts;
            ended(classification::run(deps, listener, stop).await)
        }
        Service::CspNotification => {
            let mut deps = csp_notification::Deps::new(database, nowhere, nowhere, tls);
            deps.contracts = contracts;
            ended(csp_notification::run(deps, listener, stop).await)
        }
        Service::Reporting => {
            let mut deps = reporting::Deps::new(database, nowhere, nowhere, tls);
            deps.contracts = contracts;
            ended(reporting::run(deps, listener, stop).await)
        }
    }
}

/// How a server ended: the last cause, if it did not start.
fn ended(how: Result<Drained, impl Error>) -> Result<(), String> {
    how.map(|_| ()).map_err(|error| {
        let cause = error.source().map(ToString::to_string);
        cause.unwrap_or_else(|| error.to_string())
    })
}

#[tokio::test]
async fn a_server_with_an_rpc_without_a_rule_does_not_start() {
    let home = temp_dir();
    let folder = Folder::open_or_make(home.path()).unwrap();
    for service in Service::ALL {
        let mut rpcs = rpcs().into_iter();
        let last = rpcs.rfind(|rpc| rpc.served_by() == service);
        let last = last.expect("each server has RPCs");
        let stripped: &'static [u8] = contracts_without_the_rule_of(&last).leak();
        let refused = start(service, &folder, stripped).await.unwrap_err();
        let why = RuleError::NoRule(path(&last)).to_string();
        assert!(refused.ends_with(&why), "{service:?}: {refused}");
        let started = start(service, &folder, mesh_api::FILE_DESCRIPTOR_SET).await;
        assert_eq!(started, Ok(()), "{service:?}");
    }
}
