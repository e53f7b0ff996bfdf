//! Is the repository in order? Plain checks over its files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The most lines of a source file; tests may be longer.
const SOURCE_LINES: usize = 500;
/// The most lines of ARCHITECTURE.md.
const ARCHITECTURE_LINES: usize = 200;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn manifest(path: &str) -> toml::Table {
    text(path)
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below `folder` whose names end in `ending`, relative to the root. Build output and
/// hidden folders are left out.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<String> {
    let sources: Vec<String> = ["libs", "services", "tests"]
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
        .collect();
    assert!(sources.len() > 100, "the walk finds only {}", sources.len());
    sources
}

/// The members' folders: every one of `libs`, `services` and `tests` that has a manifest.
pub(crate) fn members() -> Vec<String> {
    let mut members = Vec::new();
    for folder in ["libs", "services", "tests"] {
        let manifests = files(folder, "Cargo.toml");
        members.extend(
            manifests
                .iter()
                .map(|path| path.trim_end_matches("/Cargo.toml").to_owned()),
        );
    }
    assert!(members.len() > 10, "{members:?}");
    members
}

/// Fails with all of `faults`.
pub(crate) fn none<T: std::fmt::Display>(faults: impl IntoIterator<Item = T>) {
    let faults: Vec<String> = faults.into_iter().map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The tables of dependencies of a manifest, those for one platform included.
fn dependencies(manifest: &toml::Table) -> Vec<(String, toml::Value)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let platforms = manifest
        .get("target")
        .and_then(toml::Value::as_table)
        .into_iter();
    let platforms = platforms
        .flat_map(toml::Table::values)
        .filter_map(toml::Value::as_table);
    let tables = std::iter::once(manifest).chain(platforms);
    let tables = tables.flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)));
    let entries = tables.filter_map(toml::Value::as_table).flatten();
    entries
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Whether a value is `{ workspace = true }`, with features or not.
fn inherits(value: Option<&toml::Value>) -> bool {
    value
        .and_then(|value| value.get("workspace"))
        .and_then(toml::Value::as_bool)
        == Some(true)
}

#[test]
fn manifests_inherit_lints_and_versions() {
    let mut faults = Vec::new();
    for member in members() {
        let manifest = manifest(&format!("{member}/Cargo.toml"));
        if !inherits(manifest.get("lints")) {
            faults.push(format!("{member} does not inherit the lints"));
        }
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !inherits(manifest["package"].get(key)) {
                faults.push(format!("{member} has its own {key}"));
            }
        }
        for (name, value) in dependencies(&manifest) {
            if !inherits(Some(&value)) || value.get("version").is_some() {
                faults.push(format!("{member} pins {name} itself"));
            }
        }
    }
    none(faults);
}

#[test]
fn services_depend_on_no_other_service() {
    let services: BTreeSet<String> = files("services", "Cargo.toml")
        .iter()
        .map(|path| {
            manifest(path)["package"]["name"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let mut faults = Vec::new();
    for member in members() {
        let manifest = manifest(&format!("{member}/Cargo.toml"));
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        if ["mp169", "mesh-tests", "mesh-bench"].contains(&name.as_str()) {
            continue;
        }
        let others = dependencies(&manifest)
            .into_iter()
            .filter(|(on, _)| services.contains(on));
        faults.extend(others.map(|(on, _)| format!("{name} depends on {on}")));
    }
    none(faults);
}

#[test]
fn a_crate_has_the_name_of_its_folder() {
    none(members().into_iter().filter(|member| {
        let name = manifest(&format!("{member}/Cargo.toml"))["package"]["name"].clone();
        let folder = member.rsplit('/').next();
        !member.starts_with("tests") && folder != name.as_str()
    }));
}

#[test]
fn cargo_run_means_the_command() {
    let workspace = manifest("Cargo.toml")["workspace"].clone();
    let default: Vec<&str> = workspace["default-members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|v| v.as_str())
        .collect();
    assert_eq!(default, ["services/mp169"]);
}

#[test]
fn every_source_file_says_what_it_is() {
    none(sources().into_iter().filter(|path| {
        let source = text(path);
        let first = source.lines().next().unwrap_or_default();
        !first.starts_with("//! ")
    }));
}

/// Files that hold nothing but tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests")
}

#[test]
fn source_files_are_short() {
    none(
        sources()
            .into_iter()
            .filter(|path| !is_test(path))
            .filter_map(|path| {
                let lines = text(&path).lines().count();
                (lines > SOURCE_LINES).then(|| format!("{path} has {lines} lines"))
            }),
    );
}

/// One text of SQL runs on every engine, as long as nobody else asks which one it is. Tests may look into a
/// file behind a service's back.
#[test]
fn only_the_store_knows_an_engine() {
    let own = |path: &&String| {
        let tests = is_test(path) || path.contains("/conformance/") || path.ends_with("testing.rs");
        let knows = path.starts_with("libs/mesh-store/") || path.starts_with("libs/mesh-testkit/");
        path.contains("/src/") && !path.starts_with("tests/") && !tests && !knows
    };
    let sources = sources();
    let faults = sources.iter().filter(own).flat_map(|path| {
        let source = text(path);
        let lines = source.lines().map(|line| {
            let line = line.replace("sqlx::migrate!", "");
            line.replace("sqlx::FromRow", "")
        });
        let named: Vec<_> = lines
            .filter(|line| line.contains("sqlx::"))
            .map(|line| format!("{path}: {line}"))
            .collect();
        named
    });
    none(faults);
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file does not hold them.
    let undone = [
        concat!("to", "do!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[", "ignore"),
        concat!("FIX", "ME"),
    ];
    let sources = sources().into_iter().chain(files("proto", ".proto"));
    none(sources.flat_map(|path| {
        let source = text(&path);
        let found = undone.iter().filter(|mark| source.contains(**mark));
        found
            .map(|mark| format!("{path}: {mark}"))
            .collect::<Vec<_>>()
    }));
}

/// What stands in backticks in a document, outside of its blocks of code.
fn in_backticks(document: &str) -> BTreeSet<String> {
    let prose = document.split("```").step_by(2);
    prose
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

/// Whether a text is a path of this repository: it has the letters of one, and begins with something
/// that stands at the root, or names a file in some folder.
fn looks_like_a_path(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if text.is_empty() || !text.chars().all(letters) {
        return false;
    }
    let (first, rest) = text.split_once('/').unwrap_or((text, ""));
    let at_root = root().join(first).exists();
    let ending = [".rs", ".proto", ".md", ".toml", ".txt", ".csv"];
    (text.contains('/') && at_root)
        || (!rest.is_empty() && ending.iter().any(|e| text.ends_with(e)))
}

#[test]
fn documents_name_only_what_exists() {
    assert!(looks_like_a_path("libs/no/such/file"));
    assert!(looks_like_a_path("lib/mesh-rpc/src/server.rs"));
    assert!(!looks_like_a_path("csp/north"));
    let mut documents = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    documents.extend(files("docs", ".md"));
    none(documents.into_iter().flat_map(|document| {
        let named = in_backticks(&text(&document)).into_iter();
        let missing = named.filter(|path| looks_like_a_path(path) && !root().join(path).exists());
        missing
            .map(|path| format!("{document}: {path}"))
            .collect::<Vec<_>>()
    }));
}

/// Whether `path::name` is a test of this repository, or a case of a suite of tests.
fn is_a_test(named: &str) -> bool {
    let Some((path, name)) = named.split_once("::") else {
        return false;
    };
    let Ok(source) = fs::read_to_string(root().join(path)) else {
        return false;
    };
    let Some((before, after)) = source.split_once(&format!("fn {name}(")) else {
        return false;
    };
    // A case of a suite, or a scenario of every engine: one that nobody ran would be dead code.
    let cases = ["database: &Database", "databases: "];
    if cases
        .iter()
        .any(|case| after.trim_start().starts_with(case))
    {
        return true;
    }
    let attributes = before.lines().rev().take_while(|line| !line.is_empty());
    let mut attributes = attributes.filter(|line| line.trim_start().starts_with("#["));
    attributes.any(|line| line.contains("test"))
}

#[test]
fn security_is_shown_by_tests_that_exist() {
    assert!(is_a_test(
        "tests/it/tidy.rs::security_is_shown_by_tests_that_exist"
    ));
    assert!(!is_a_test("tests/it/tidy.rs::is_a_test"));
    is_shown_by_tests("docs/security.md", "| could", 20);
}

#[test]
fn reliability_is_shown_by_tests_that_exist() {
    is_shown_by_tests("docs/reliability.md", "| what happens", 15);
}

/// Whether the last column of each row of the tables in `document` names tests. The heads of the
/// tables begin with `head`.
fn is_shown_by_tests(document: &str, head: &str, at_least: usize) {
    let document = text(document);
    let rows = document.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<&str> = rows.filter(|row| !row.starts_with(head)).collect();
    assert!(
        rows.len() > at_least,
        "there are only {} rows in the tables",
        rows.len()
    );
    none(rows.into_iter().filter(|row| {
        let shown_by = row.rsplit('|').nth(1).unwrap_or_default();
        let named: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        named.is_empty() || !named.into_iter().all(is_a_test)
    }));
}

#[test]
fn the_architecture_names_every_crate_and_is_short() {
    let architecture = text("ARCHITECTURE.md");
    let named = in_backticks(&architecture);
    none(members().into_iter().filter(|member| {
        let manifest = manifest(&format!("{member}/Cargo.toml"));
        !named.contains(manifest["package"]["name"].as_str().unwrap())
    }));
    assert!(architecture.lines().count() < ARCHITECTURE_LINES);
}

#[test]
fn the_readme_says_how_to_test_and_the_checks_do_it() {
    let command = "cargo test --workspace";
    assert!(text("README.md").contains(command));
    assert!(text(".ci/run").contains(command));
}
