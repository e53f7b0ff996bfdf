//! What does a browser make of a page? Headless Chromium, which sees the page as it is.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mesh_testkit::{TempDir, temp_dir};
use serde::Deserialize;
use serde_json::Value;

/// Where the pages must not be left out this says so.
const REQUIRE: &str = "MP169_REQUIRE_CHROMIUM";
/// Where somebody wants to look at the pages this names a folder.
const SCREENSHOTS: &str = "MP169_SCREENSHOTS";
/// Looks at a page in a frame of a width, and says what it saw.
const LOOK: &str = include_str!("look.html");

/// A browser, and a folder that goes away.
pub(crate) struct Browser {
    program: &'static str,
    place: TempDir,
}

/// What is seen of a page.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    /// Pairs of texts of which one covers a part of the other.
    pub(crate) overlaps: Vec<[String; 2]>,
    /// Texts that stand out of the page at its right.
    pub(crate) beyond: Vec<String>,
    /// How many texts there are.
    pub(crate) texts: usize,
    /// The bodies of the tables: rows of cells.
    pub(crate) tables: Vec<Vec<Vec<String>>>,
}

impl Browser {
    /// The machine's Chromium, or nothing where there is none and none is required.
    pub(crate) fn find() -> Option<Self> {
        let found = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|program| Command::new(program).arg("--version").output().is_ok());
        let Some(program) = found else {
            assert!(std::env::var_os(REQUIRE).is_none(), "there is no chromium");
            println!("left out: there is no chromium");
            return None;
        };
        Some(Self {
            program,
            place: temp_dir(),
        })
    }

    /// Writes a page to a file.
    pub(crate) fn page(&self, name: &str, html: &str) -> PathBuf {
        let path = self.place.path().join(name);
        std::fs::write(&path, html).unwrap();
        path
    }

    /// What leaves the browser for the page: the addresses that it or anything in it asks for, and what it says on
    /// the console.
    pub(crate) fn opens(&self, page: &Path) -> (Vec<String>, Vec<String>) {
        self.visits(&file(page))
    }

    /// The same of a page at an address.
    pub(crate) fn visits(&self, address: &str) -> (Vec<String>, Vec<String>) {
        let log = self.place.path().join("net.json");
        let netlog = format!("--log-net-log={}", log.display());
        let picture = format!(
            "--screenshot={}",
            self.place.path().join("seen.png").display()
        );
        let output = self.run(address, &["--enable-logging=stderr", &netlog, &picture]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let console = said.lines().filter(|line| line.contains("CONSOLE"));
        (asked_for(&log), console.map(str::to_owned).collect())
    }

    /// What is to be seen of the page on a screen of this width.
    pub(crate) fn looks(&self, page: &Path, width: u32) -> Seen {
        let look = LOOK
            .replace("PAGE", &file(page))
            .replace("WIDTH", &width.to_string());
        let look = self.page("look.html", &look);
        // A page and what looks at it are strangers to each other otherwise.
        let output = self.run(
            &file(&look),
            &[
                "--allow-file-access-from-files",
                "--virtual-time-budget=20000",
                "--dump-dom",
            ],
        );
        let dom = String::from_utf8_lossy(&output.stdout).into_owned();
        let seen = dom.split("<pre>").nth(1);
        let seen = seen.and_then(|seen| seen.split("</pre>").next());
        let seen = seen.unwrap_or_else(|| panic!("nothing was seen: {output:?}"));
        let seen = seen
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&nbsp;", "\u{A0}")
            .replace("&amp;", "&");
        serde_json::from_str(&seen).unwrap()
    }

    /// Keeps pictures of the page for whoever wants to look at it.
    pub(crate) fn pictures(&self, page: &Path) {
        let Some(folder) = std::env::var_os(SCREENSHOTS) else {
            return;
        };
        let name = page.file_stem().unwrap().to_str().unwrap();
        let page = &file(page);
        let to = |view: &str| Path::new(&folder).join(format!("{name}-{view}"));
        let large = "--window-size=1000,4000";
        let light = format!("--screenshot={}", to("light.png").display());
        self.run(page, &[large, &light]);
        let dark = format!("--screenshot={}", to("dark.png").display());
        self.run(
            page,
            &[large, "--blink-settings=preferredColorScheme=0", &dark],
        );
        let print = format!("--print-to-pdf={}", to("print.pdf").display());
        self.run(page, &["--no-pdf-header-footer", &print]);
    }

    fn run(&self, address: &str, arguments: &[&str]) -> Output {
        let profile = format!(
            "--user-data-dir={}",
            self.place.path().join("profile").display()
        );
        let output = Command::new(self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                &profile,
            ])
            .args(arguments)
            .arg(address)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    }
}

fn file(page: &Path) -> String {
    format!("file://{}", page.display())
}

/// The addresses that a page asked for, but for itself. What the browser asks for on its own has no origin.
fn asked_for(log: &Path) -> Vec<String> {
    let log: Value = serde_json::from_slice(&std::fs::read(log).unwrap()).unwrap();
    let started = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    assert!(started.is_number(), "the log has no requests");
    let events = log["events"].as_array().unwrap().iter();
    let requests = events.filter(|event| event["type"] == *started);
    let asked = requests.filter_map(|event| {
        let from = event["params"]["initiator"].as_str()?;
        let url = event["params"]["url"].as_str()?;
        (from != "not an origin").then(|| url.to_owned())
    });
    asked.collect()
}
