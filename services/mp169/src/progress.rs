//! How does a person see that something goes on?

use std::cell::Cell;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is over sooner is not shown at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar on standard error, if that is a terminal and it takes a while; gone at the end.
pub(crate) struct Progress {
    bar: ProgressBar,
    shown: Cell<bool>,
}

impl Progress {
    /// Nothing of `length` is done yet.
    pub(crate) fn new(what: &str, length: u64) -> Self {
        let template = "{msg} {bar:30} {human_pos}/{human_len}, {eta} left";
        Self::with(what, Some(length), template)
    }

    /// Nothing of so many octets is done yet; nobody may know how many there are.
    pub(crate) fn of_octets(what: &str, length: Option<u64>) -> Self {
        let template = match length {
            Some(_) => "{msg} {bar:30} {bytes}/{total_bytes}, {eta} left",
            None => "{msg} {bytes}, {bytes_per_sec}",
        };
        Self::with(what, length, template)
    }

    fn with(what: &str, length: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar: bar.with_message(what.to_owned()),
            shown: Cell::new(false),
        }
    }

    /// So many more are done.
    pub(crate) fn step(&self, more: u64) {
        self.bar.inc(more);
        if !self.shown.get() && self.bar.elapsed() > PATIENCE {
            self.shown.set(true);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
