//! How the story is told: a table per act for people, one JSON object per step for programs.

use std::path::Path;

use comfy_table::Table;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::output::{fill, new_table, one_line, say};

/// For whom the story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Tables and progress bars.
    People,
    /// One JSON object per line and step.
    Programs,
}

/// Tells the story and counts what did not come out as told.
#[derive(Debug)]
pub(crate) struct Narrator {
    audience: Audience,
    act: String,
    table: Table,
    steps: usize,
    surprises: usize,
}

/// What one step was to show, and what it showed.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    /// Who did it.
    pub(super) who: &'a str,
    /// What was done.
    pub(super) what: String,
    /// What had to come out.
    pub(super) expected: String,
    /// What came out.
    pub(super) came_out: String,
}

impl Narrator {
    /// Nothing told yet.
    #[must_use]
    pub(super) fn new(audience: Audience) -> Self {
        Self {
            audience,
            act: String::new(),
            table: Table::new(),
            steps: 0,
            surprises: 0,
        }
    }

    /// Says something that is no step, to people.
    pub(super) fn remark(&mut self, text: &str) {
        self.end_act();
        if self.audience == Audience::People {
            say(&text);
        }
    }

    /// Begins an act.
    pub(super) fn act(&mut self, title: &str, about: &str) {
        self.end_act();
        title.clone_into(&mut self.act);
        self.table = new_table(&["who", "does what", "what came out", ""]);
        if self.audience == Audience::People {
            say(&format_args!("\n── {title} ──\n{about}"));
        }
    }

    /// Tells a step. It came out as told if what came out is what was expected, to the letter.
    pub(super) fn step(&mut self, step: Step<'_>) {
        self.steps += 1;
        let Step {
            who,
            what,
            expected,
            came_out,
        } = step;
        let as_told = expected == came_out;
        self.surprises += usize::from(!as_told);
        match self.audience {
            Audience::Programs => {
                let line = json!({
                    "act": self.act,
                    "who": who,
                    "what": what,
                    "expected": expected,
                    "came_out": came_out,
                    "ok": as_told,
                });
                say(&line);
            }
            Audience::People => {
                let came_out = one_line(&came_out);
                let (outcome, mark) = if as_told {
                    (came_out, "✓")
                } else {
                    let expected = one_line(&expected);
                    (format!("{came_out}\nexpected: {expected}"), "✗ NOT AS TOLD")
                };
                let what = one_line(&what);
                self.table.add_row([who, &what, &outcome, mark]);
            }
        }
    }

    /// Shows figures that belong to the act.
    pub(super) fn figures(&mut self, header: &[&str], rows: Vec<Vec<String>>) {
        self.end_act();
        if self.audience == Audience::People {
            let mut table = new_table(header);
            fill(&mut table, rows);
            say(&table);
        }
    }

    /// A bar for something that takes a while: `length` steps, or a spinner without one.
    #[must_use]
    pub(super) fn progress(&self, length: Option<u64>, what: &str) -> ProgressBar {
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        if self.audience == Audience::Programs {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else if length.is_some()
            && let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}")
        {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        bar
    }

    fn end_act(&mut self) {
        if self.audience == Audience::People && !self.table.is_empty() {
            say(&self.table);
        }
        self.table = Table::new();
    }

    /// Ends the story, which left a page: how many steps there were, and how many did not come out as told.
    pub(super) fn end(&mut self, page: Option<&Path>) -> (usize, usize) {
        self.end_act();
        match self.audience {
            Audience::People => {
                let told = self.steps - self.surprises;
                say(&format_args!(
                    "\n{told} of {} steps came out as told.",
                    self.steps
                ));
                if let Some(page) = page {
                    say(&format_args!(
                        "The month's report, for a browser: {}",
                        page.display()
                    ));
                }
            }
            Audience::Programs => {
                let (steps, surprises) = (self.steps, self.surprises);
                say(&json!({ "steps": steps, "surprises": surprises, "report": page }));
            }
        }
        (self.steps, self.surprises)
    }
}
