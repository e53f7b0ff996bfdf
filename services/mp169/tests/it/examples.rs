//! Does every example in `--help` do what it says it does?

use clap::{Command, CommandFactory as _};
use mesh_api::csp_notification::v1::GetSubscriptionRequest;
use mesh_api::reporting::v1::GetServiceRequestReportRequest;
use mesh_testkit::{postgres, wait_until};
use mp169::Cli;
use mp169::service::Service;

use crate::world::World;

/// The examples of a command and of those below it, in the order of the help.
fn examples(command: &Command, found: &mut Vec<String>) {
    let help = command.get_after_help().map(ToString::to_string);
    if let Some((_, examples)) = help.as_deref().and_then(|help| help.split_once("Example")) {
        let mut goes_on = false;
        for line in examples.lines().skip(1) {
            let (text, more) = match line.trim().strip_suffix('\\') {
                Some(text) => (text, true),
                None => (line.trim(), false),
            };
            match found.last_mut().filter(|_| goes_on) {
                Some(last) => last.push_str(text),
                None => found.push(text.to_owned()),
            }
            goes_on = more;
        }
    }
    for command in command.get_subcommands() {
        examples(command, found);
    }
}

/// Every command that does something by itself, by the words with which it is called.
fn leaves(command: &Command, words: &str, found: &mut Vec<String>) {
    let words = format!("{words} {}", command.get_name()).trim().to_owned();
    if command.has_subcommands() {
        for below in command.get_subcommands() {
            leaves(below, &words, found);
        }
    } else {
        found.push(words);
    }
}

#[test]
fn every_command_that_asks_the_mesh_has_an_example() {
    let (mut all, mut commands) = (Vec::new(), Vec::new());
    examples(&Cli::command(), &mut all);
    leaves(&Cli::command(), "", &mut commands);
    commands.retain(|command| !["mp169 demo", "mp169 up"].contains(&command.as_str()));
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let shown = all.iter().any(|example| example.starts_with(&command));
        assert!(shown, "{command} has no example");
    }
}

/// One after the other, on a mesh that nobody has touched: they are a walk through the whole.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_work_in_the_order_of_the_help() {
    let world = World::start().await;
    let databases = postgres::databases();
    if let Some(databases) = &databases {
        databases.server().sql("CREATE ROLE mesh");
        // As whoever runs the services apart has them: a password for the role of each.
        let secrets = world.path().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        for service in Service::ALL {
            let password = secrets.join(format!("{}.password", service.name()));
            std::fs::write(password, "of-an-example\n").unwrap();
        }
    }
    let mut all = Vec::new();
    examples(&Cli::command(), &mut all);
    // At the end: the others are about a mesh without it.
    all.sort_by_key(|example| example == "mp169 sample");
    for mut example in all {
        if example.starts_with("mp169 db") {
            // They are about a server.
            let Some(databases) = &databases else {
                continue;
            };
            example = format!("MP169_DATABASE='{}' {example}", databases.url());
        }
        if example.starts_with("mp169 csp") {
            something_was_sent_to_the_csp(&world).await;
        }
        if example.starts_with("mp169 report close") {
            its_flags_are_known(&world).await;
        }
        let ended = world.run(&example).await;
        assert_eq!(ended.code, Some(0), "{example}\n{ended:?}");
    }
    world.stop().await;
}

/// The commands that the README tells a newcomer to give, as one script.
#[tokio::test(flavor = "multi_thread")]
async fn the_walk_in_the_readme_works() {
    let readme = std::fs::read_to_string("../../README.md").unwrap();
    let (_, walk) = readme.split_once("## A mesh of your own").unwrap();
    let script = walk.split("```").nth(1).unwrap();
    let script = script.strip_prefix("sh\n").unwrap();
    assert!(script.lines().count() > 10, "{script}");
    let world = World::start().await;
    world.ok(&format!("set -e\n{script}")).await;
    world.stop().await;
}

async fn its_flags_are_known(world: &World) {
    let mut reporting = world.clients("analyst").reporting().unwrap();
    wait_until("the flags of the month to be known", async || {
        let request = GetServiceRequestReportRequest {
            month: "2025-06".into(),
            ..Default::default()
        };
        let answer = reporting.get_service_request_report(request).await;
        let basis = answer
            .map_err(|status| status.to_string())?
            .into_inner()
            .basis;
        let known = basis.and_then(|basis| basis.settled_until);
        known
            .map(drop)
            .ok_or_else(|| "nothing is settled".to_owned())
    })
    .await;
}

async fn something_was_sent_to_the_csp(world: &World) {
    let mut csp = world.clients("operator").csp().unwrap();
    wait_until("an event in the CSP's log", async || {
        let csp_id = "central".to_owned();
        let answer = csp
            .get_subscription(GetSubscriptionRequest { csp_id })
            .await;
        let subscription = answer
            .map_err(|status| status.to_string())?
            .into_inner()
            .subscription;
        match subscription.and_then(|subscription| subscription.head) {
            Some(head) if head.sequence > 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
