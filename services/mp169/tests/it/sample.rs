//! Does a mesh that runs get the sample inventory, and do the commands of the README work with it?

use crate::world::{World, root};

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_loaded_into_a_mesh_that_runs_and_the_readmes_commands_work_with_it() {
    let world = World::start().await;
    let first = world.ok("mp169 sample").await;
    assert!(first.starts_with("Sample inventory: "), "{first}");
    assert!(
        first.contains(" recorded, 0 unchanged, 0 refused"),
        "{first}"
    );

    // As the next command in a script: nothing waits in between.
    let script = walk();
    assert!(script.matches("mp169 flag ").count() > 3, "{script}");
    let said = world.ok(&format!("set -e\n{script}")).await;
    assert!(said.contains("SUPPRESS"), "{said}");

    let again = world.ok("mp169 sample --output json").await;
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(
        (&again["recorded"], &again["refused"]),
        (&0.into(), &0.into())
    );
    let unchanged = again["unchanged"].as_u64().unwrap();
    assert!(
        first.contains(&format!(": {unchanged} recorded")),
        "{first}"
    );
    world.stop().await;
}

/// What the README tells whoever has a mesh with the sample to type.
fn walk() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, talk) = readme.split_once("## A mesh to talk to").unwrap();
    let walk = talk.split("```").nth(3).unwrap();
    let walk = walk.strip_prefix("sh\n").unwrap();
    walk.replace("target/release/", "")
}
