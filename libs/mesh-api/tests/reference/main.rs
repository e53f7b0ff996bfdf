//! Is `docs/api` what the contracts say?
//!
//! The pages are generated here, so that nobody has to keep them: `MP169_WRITE_REFERENCE=1 cargo test -p
//! mesh-api --test reference` writes them anew.

#![cfg(test)]

mod page;
mod rule;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;

/// Writes the pages instead of comparing them.
const WRITE: &str = "MP169_WRITE_REFERENCE";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api")
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(mesh_api::FILE_DESCRIPTOR_SET).unwrap()
}

/// What is there, by the names of the files.
fn present() -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(folder()) else {
        return BTreeMap::new();
    };
    let files = entries.map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read_to_string(entry.path()).unwrap())
    });
    files.collect()
}

#[test]
fn the_reference_is_what_the_contracts_say() {
    let pages = page::all(&pool());
    if std::env::var_os(WRITE).is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        for name in present().keys().filter(|name| !pages.contains_key(*name)) {
            std::fs::remove_file(folder().join(name)).unwrap();
        }
        for (name, page) in &pages {
            std::fs::write(folder().join(name), page).unwrap();
        }
    }
    let present = present();
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&present), names(&pages), "{WRITE}=1 writes the pages");
    for (name, page) in &pages {
        let differs = page
            .lines()
            .zip(present[name].lines())
            .find(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}: {WRITE}=1 writes the pages anew");
        assert_eq!(
            page.len(),
            present[name].len(),
            "{name}: {WRITE}=1 writes the pages anew"
        );
    }
}

/// Every link of a page leads to a heading that is there.
#[test]
fn links_lead_somewhere() {
    let pages = page::all(&pool());
    let anchors = |page: &str| -> Vec<String> {
        let headings = page.lines().filter(|line| line.starts_with('#'));
        headings
            .map(|line| text::anchor(line.trim_start_matches('#').trim()))
            .collect()
    };
    let mut links = 0;
    for (name, page) in &pages {
        for link in page.split("](").skip(1) {
            let (link, _) = link.split_once(')').unwrap();
            if link.starts_with("https://") {
                continue;
            }
            if let Some(beside) = link.strip_prefix("../") {
                assert!(folder().join("..").join(beside).exists(), "{name}: {link}");
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { name } else { file };
            let there = pages.get(file).is_some_and(|page| {
                anchor.is_empty() || anchors(page).iter().any(|heading| heading == anchor)
            });
            assert!(there, "{name}: {link}");
            links += 1;
        }
    }
    assert!(links > 300, "{links}");
}

/// Nothing of the contracts is left out, and nothing is without words.
#[test]
fn everything_has_its_place_and_its_words() {
    let pool = pool();
    let pages = page::all(&pool);
    let page_of = |package: &str| &pages[&format!("{package}.md")];
    let ours = |name: &str| name.starts_with("mp169.");
    for message in pool.all_messages().filter(|one| ours(one.package_name())) {
        let page = page_of(message.package_name());
        assert!(
            page.contains(&format!("\n### {}\n", page::title(&message))),
            "{message:?}"
        );
        for field in message.fields() {
            assert!(
                page.contains(&format!("| `{}` |", field.name())),
                "{field:?}"
            );
        }
    }
    for service in pool.services().filter(|one| ours(one.package_name())) {
        for method in service.methods() {
            let page = page_of(service.package_name());
            let heading = format!("\n### {}.{}\n", service.name(), method.name());
            let (_, part) = page.split_once(&heading).unwrap();
            let part = part.split("\n##").next().unwrap();
            assert!(part.contains("Who may call"), "{method:?}");
            assert!(part.contains("On record"), "{method:?}");
        }
    }
    for (name, page) in &pages {
        assert!(!page.contains("|  |"), "{name} has an empty cell");
    }
}
