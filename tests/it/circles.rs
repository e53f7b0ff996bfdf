//! Do files of a crate need each other? What they share then wants a file of its own.
//!
//! A module with its folder is one thing among its siblings; an arrow leads from the module that names an
//! item to the module that has it, through re-exports as well. What only tests name does not count. A folder
//! may use what its own file has, as a crate uses what its root has.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{Visit, visit_item_mod, visit_item_use, visit_macro, visit_path};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, Meta, UseTree};

use crate::tidy::{files, is_test, members, none, text};

/// Where a module stands, or what an item is called, below the crate's root.
type Name = Vec<String>;

/// The modules of a crate, what they name, and what they pass on under another name.
#[derive(Default)]
struct Crate {
    modules: BTreeSet<Name>,
    named: Vec<(Name, Name)>,
    passed_on: BTreeMap<Name, Name>,
    /// Modules that only tests have.
    for_tests: BTreeSet<Name>,
}

/// Reads one file of a crate.
struct Reader<'a> {
    module: Name,
    of: &'a mut Crate,
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

impl Reader<'_> {
    /// The full name behind a path, if it leads into this crate by its first words.
    fn absolute(&self, path: &[String]) -> Option<Name> {
        let first = path.first()?;
        let mut name = match first.as_str() {
            "crate" => Name::new(),
            "self" | "super" => self.module.clone(),
            _ => return None,
        };
        let mut rest = path;
        while let [word, after @ ..] = rest {
            match word.as_str() {
                "crate" | "self" => {}
                "super" => drop(name.pop()),
                _ => break,
            }
            rest = after;
        }
        name.extend_from_slice(rest);
        Some(name)
    }

    fn names(&mut self, path: &[String]) {
        if let Some(name) = self.absolute(path) {
            self.of.named.push((self.module.clone(), name));
        }
    }

    fn uses(&mut self, before: &[String], tree: &UseTree) {
        let with = |word: &syn::Ident| [before, &[word.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.uses(&with(&path.ident), &path.tree),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.uses(before, tree);
                }
            }
            UseTree::Glob(_) => self.names(before),
            UseTree::Name(name) => self.used(&with(&name.ident), &name.ident),
            UseTree::Rename(rename) => self.used(&with(&rename.ident), &rename.rename),
        }
    }

    /// A name without `crate`, `self` or `super` is that of a module below this one, or of another crate.
    fn used(&mut self, path: &[String], known_as: &syn::Ident) {
        self.names(path);
        let below = || [self.module.as_slice(), path].concat();
        let name = self.absolute(path).unwrap_or_else(below);
        let alias = [self.module.as_slice(), &[known_as.to_string()]].concat();
        self.of.passed_on.insert(alias, name);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            syn::visit::visit_item(self, item);
        } else if let Item::Mod(module) = item {
            let name = [self.module.as_slice(), &[module.ident.to_string()]].concat();
            self.of.for_tests.insert(name);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            self.of.modules.insert(self.module.clone());
            visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.uses(&[], &item.tree);
        visit_item_use(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.names(&words.collect::<Vec<_>>());
        visit_path(self, path);
    }

    /// The tokens of a macro are no tree, so paths are found by their form: words joined by `::`.
    fn visit_macro(&mut self, called: &'ast Macro) {
        let tokens = called.tokens.to_string().replace(" :: ", "::");
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for path in tokens.split(|c| !word(c)) {
            let words = path.split("::").map(str::to_owned);
            self.names(&words.collect::<Vec<_>>());
        }
        visit_macro(self, called);
    }
}

impl Crate {
    fn read(folder: &str) -> Self {
        let mut read = Self::default();
        let sources = format!("{folder}/src");
        for file in files(&sources, ".rs") {
            let inner = file[sources.len() + 1..].trim_end_matches(".rs");
            if is_test(&file) || inner == "main" {
                continue;
            }
            read.add(inner, &text(&file))
                .unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        read
    }

    fn add(&mut self, file: &str, source: &str) -> syn::Result<()> {
        let module: Name = match file {
            "lib" => Name::new(),
            _ => file.split('/').map(str::to_owned).collect(),
        };
        self.modules.insert(module.clone());
        Reader { module, of: self }.visit_file(&syn::parse_file(source)?);
        Ok(())
    }

    /// The module that has what is called `name`, behind all re-exports.
    fn home_of(&self, name: &[String]) -> Name {
        let mut name = name.to_vec();
        // A re-export leads to the item itself; a chain of them has no more links than there are modules.
        for _ in 0..self.modules.len() {
            let aliased = (1..=name.len()).find_map(|length| {
                let target = self.passed_on.get(&name[..length])?;
                let is_module = self.modules.contains(&name[..length]);
                (!is_module).then(|| [target, &name[length..]].concat())
            });
            match aliased {
                Some(target) if target != name => name = target,
                _ => break,
            }
        }
        while !self.modules.contains(&name) {
            name.pop();
        }
        name
    }

    /// Per folder, which of its modules need which others.
    fn arrows(&self) -> BTreeMap<Name, BTreeMap<String, BTreeSet<String>>> {
        let mut arrows: BTreeMap<Name, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        let is_for_tests =
            |module: &Name| self.for_tests.iter().any(|test| module.starts_with(test));
        for (from, name) in self.named.iter().filter(|(from, _)| !is_for_tests(from)) {
            let to = self.home_of(name);
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(needing), Some(needed)) = (from.get(shared), to.get(shared)) {
                let folder = arrows.entry(from[..shared].to_vec()).or_default();
                let of = folder.entry(needing.clone()).or_default();
                of.insert(needed.clone());
            }
        }
        arrows
    }

    /// Modules of one folder that need each other, over others or directly.
    fn circles(&self) -> Vec<String> {
        let mut circles = BTreeSet::new();
        for (folder, needs) in self.arrows() {
            let reached: BTreeMap<&String, BTreeSet<&String>> = needs
                .keys()
                .map(|from| (from, reach(&needs, from)))
                .collect();
            for (from, to) in &reached {
                let back =
                    |other: &&&String| reached.get(**other).is_some_and(|r| r.contains(from));
                let circle: BTreeSet<&str> = to.iter().filter(back).map(|m| m.as_str()).collect();
                if !circle.is_empty() {
                    let circle = circle.into_iter().collect::<Vec<_>>().join(", ");
                    circles.insert(format!("{}: {circle}", folder.join("/")));
                }
            }
        }
        circles.into_iter().collect()
    }
}

/// All that is needed by `from`, over any number of others.
fn reach<'a>(needs: &'a BTreeMap<String, BTreeSet<String>>, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = needs.get(from).into_iter().flatten().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(needs.get(module).into_iter().flatten());
        }
    }
    reached
}

#[test]
fn no_files_of_a_crate_need_each_other() {
    // The end-to-end tests have no sources but tests.
    let crates = members().into_iter().filter(|member| member != "tests");
    none(crates.flat_map(|member| {
        let circles = Crate::read(&member).circles().into_iter();
        circles.map(move |circle| format!("{member}: {circle}"))
    }));
}

/// The circles of a crate with these files.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let mut of = Crate::default();
    for (file, source) in files {
        of.add(file, source).unwrap();
    }
    of.circles()
}

#[test]
fn circles_are_found_through_others_re_exports_and_macros() {
    let direct = [
        ("lib", ""),
        ("a", "use crate::b::B;"),
        ("b", "use super::a::A;"),
    ];
    assert_eq!(circles_of(&direct), [": a, b"]);
    let around = [
        ("lib", "mod c; pub use c::C;"),
        ("a", "fn f() { crate::b::f() }"),
        ("b", "fn f() { println!(\"{}\", crate::C::name()) }"),
        ("c", "struct C; impl C { fn g(_: crate::a::A) {} }"),
        ("d", "use crate::a::A;"),
    ];
    assert_eq!(circles_of(&around), [": a, b, c"]);
    let deeper = [
        ("lib", ""),
        ("a", "pub use one::One;"),
        ("a/one", "use super::two::Two;"),
        ("a/two", "use super::One;"),
    ];
    assert_eq!(circles_of(&deeper), ["a: one, two"]);
}

#[test]
fn tests_parents_and_other_crates_make_no_circle() {
    let none = [
        ("lib", "mod a; mod b; pub struct Shared; pub use a::A;"),
        (
            "a",
            "use crate::{Shared, b::B}; #[cfg(test)] mod tests { use crate::b::B; }",
        ),
        (
            "b",
            "use serde::a; use super::Shared; #[cfg(test)] use crate::a::A; #[cfg(test)] mod checks;",
        ),
        ("a/one", "use super::Part;"),
        ("b/checks", "use crate::a::A;"),
    ];
    assert_eq!(circles_of(&none), Vec::<String>::new());
}
