//! Do the snippets of the pages work, each page beside a mesh that nobody has touched?
//!
//! The blocks `sh` of a page are one script, then its blocks `python` one program: as somebody would paste
//! them one after the other. Other blocks are not run.

use std::process::Command;

use mesh_api::operations::v1::{GetStatusRequest, GetStatusResponse};
use mesh_testkit::wait_until;
use mp169::service::Service;

use crate::world::{World, root};

/// How Python is set up, in this order and before every page.
const SETUP: &str = "docs/python.md";

/// Where the snippets must not be left out this says so.
const REQUIRE: &str = "MP169_REQUIRE_GRPCIO";

/// The blocks of a page that are marked `language`, one after the other.
fn blocks(page: &str, language: &str) -> String {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let fenced = text.split("```").skip(1).step_by(2);
    let blocks = fenced.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    blocks.collect()
}

/// Whether there is a Python with all that the pages import.
fn has_python() -> bool {
    let imports = "import grpc, grpc_tools, grpc_status, google.rpc";
    let tried = Command::new("python3").args(["-c", imports]).output();
    let there = tried.is_ok_and(|output| output.status.success());
    if !there {
        assert!(
            std::env::var_os(REQUIRE).is_none(),
            "there is no python3 with grpcio, grpcio-tools and grpcio-status"
        );
        println!("left out: there is no python3 with grpcio, grpcio-tools and grpcio-status");
    }
    there
}

async fn works(page: &str) {
    let world = World::with_sample().await;
    let script = blocks(page, "sh");
    assert!(script.contains("mp169 "), "{page} starts with a command");
    world.ok(&format!("set -e\n{script}")).await;
    if has_python() {
        everybody_has_the_flags(&world).await;
        let setup = blocks(SETUP, "sh");
        let program = blocks(page, "python");
        assert!(
            program.contains("import "),
            "{page} has Python beside the command"
        );
        std::fs::write(world.path().join("page.py"), program).unwrap();
        let printed = world.ok(&format!("set -e\n{setup}python3 page.py")).await;
        assert!(!printed.is_empty(), "{page}: the program says nothing");
    }
    world.stop().await;
}

/// What the script changed has reached whoever is asked by the program.
async fn everybody_has_the_flags(world: &World) {
    let clients = world.clients("operator");
    let ask = async |service| -> Result<GetStatusResponse, String> {
        let mut operations = clients.operations(service).unwrap();
        let answer = operations.get_status(GetStatusRequest {}).await;
        Ok(answer.map_err(|status| status.to_string())?.into_inner())
    };
    wait_until("the flags to be followed", async || {
        let owner = ask(Service::FlagRegistry).await?;
        let mut logs = owner.database.iter().flat_map(|database| &database.logs);
        let head = logs.find_map(|log| log.head.clone().filter(|head| head.log == "flags"));
        for service in [Service::Classification, Service::CspNotification] {
            let status = ask(service).await?;
            let mut logs = status.followed_logs.into_iter();
            let flags = logs.find(|log| log.log == "flags");
            let at = flags.and_then(|flags| flags.position);
            if at != head {
                return Err(format!("{}: {at:?} of {head:?}", service.name()));
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_the_dsp_works() {
    works("docs/for-the-dsp.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_a_csp_works() {
    works("docs/for-a-csp.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_a_supplier_works() {
    works("docs/for-a-supplier.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_an_analyst_works() {
    works("docs/for-an-analyst.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_who_runs_it_works() {
    works("docs/for-who-runs-it.md").await;
}
