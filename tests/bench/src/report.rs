//! What came out, as a table or as JSON?

use std::fmt;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::engine::Engine;
use crate::machine::Machine;
use crate::readers::IdleReaders;
use crate::turn::{self, Turn};

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) engine: Engine,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) figures: Vec<Comparison>,
    /// Where it was measured, and can be.
    pub(crate) idle_readers: Option<IdleReaders>,
}

/// A figure beside its baseline.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) figure: String,
    pub(crate) unit: &'static str,
    pub(crate) baseline_is: &'static str,
    pub(crate) mesh: Measured,
    pub(crate) baseline: Measured,
    /// Mesh to baseline, of the two turns of each round.
    pub(crate) ratio: Spread,
    /// How much later than at the baseline all but one in a hundred answers have come.
    pub(crate) ratio_of_p99: f64,
    /// The same of the answer that came last.
    pub(crate) ratio_of_worst: f64,
    /// Mesh to baseline of what a second of processors brings: steadier where others use the machine, and
    /// blind for what waits.
    pub(crate) ratio_by_cost: Option<Spread>,
    /// The share of the processors that others had meanwhile, from 0 to 1, where it is known.
    pub(crate) others: Option<f64>,
}

/// One side of a figure.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    per_second: Spread,
    /// Half of the answers came so soon, in milliseconds.
    p50_ms: f64,
    /// All but one in a hundred.
    pub(crate) p99_ms: f64,
    /// All.
    pub(crate) worst_ms: f64,
    /// Microseconds of processors per unit, those of the clients included; where it is known.
    cost_us: Option<Spread>,
}

/// What several rounds gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of one value per round; all zero if there was none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        } else {
            at(middle)
        };
        Self {
            median,
            least: at(0),
            most: values.last().copied().unwrap_or_default(),
        }
    }
}

impl Measured {
    pub(crate) fn of(turns: &[Turn]) -> Self {
        let mut latencies = turn::latencies();
        for turn in turns {
            // All of them have the same bounds.
            latencies += &turn.latencies;
        }
        let costs: Option<Vec<f64>> = turns.iter().map(Turn::cost).collect();
        Self {
            per_second: Spread::of(turns.iter().map(Turn::rate)),
            p50_ms: millis(&latencies, 0.50),
            p99_ms: millis(&latencies, 0.99),
            worst_ms: millis(&latencies, 1.0),
            cost_us: costs.map(Spread::of),
        }
    }

    fn cells(&self) -> [String; 3] {
        let Spread {
            median,
            least,
            most,
        } = self.per_second;
        [
            format!("{}\n{}–{}", Count(median), Count(least), Count(most)),
            format!(
                "{:.2}\n{:.2}\n{:.2}",
                self.p50_ms, self.p99_ms, self.worst_ms
            ),
            spread(self.cost_us.as_ref()),
        ]
    }
}

/// The median, and from the least to the most; a dash where it is not known.
fn spread(spread: Option<&Spread>) -> String {
    let Some(Spread {
        median,
        least,
        most,
    }) = spread
    else {
        return "–".to_owned();
    };
    format!("{median:.2}\n{least:.2}–{most:.2}")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of a minute at most"
)]
fn millis(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1_000.0
}

/// A number that people read: whole, with its thousands apart.
struct Count(f64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:.0}", self.0);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; the mesh on {}", self.machine.line(), self.engine)?;
        let (rounds, seconds) = (self.rounds, self.seconds);
        writeln!(
            f,
            "{rounds} rounds of {seconds} s for each side, in turns. Each first line is the median of the\n\
             rounds and each second one the spread; of ms per request the median, the 99th percentile and\n\
             the worst."
        )?;
        writeln!(f, "{}", self.table())?;
        write!(
            f,
            "Services, clients and bare servers share this process and its cores; PostgreSQL, pgbench and\n\
             etcd have their own. µs is the time of processors per unit, of all of them together. Others is\n\
             the share of the machine that other processes had: where it is not near 0, the ratio by µs says\n\
             more than that by rate."
        )?;
        if let Some(idle) = &self.idle_readers {
            let IdleReaders { readers, mib } = idle;
            write!(
                f,
                "\n{readers} readers that take nothing cost the services {mib:.1} MiB."
            )?;
        }
        Ok(())
    }
}

impl Report {
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header([
            "figure, beside its baseline",
            "mesh, per s",
            "ms",
            "µs",
            "baseline, per s",
            "ms",
            "µs",
            "ratio by rate",
            "by µs",
            "of p99, worst",
            "others",
        ]);
        for figure in &self.figures {
            let names = format!("{}: {}\n{}", figure.figure, figure.unit, figure.baseline_is);
            let ratios = [
                spread(Some(&figure.ratio)),
                spread(figure.ratio_by_cost.as_ref()),
            ];
            let others = figure.others.map(|share| format!("{:.0} %", share * 100.0));
            let cells = [figure.mesh.cells(), figure.baseline.cells()];
            let latest = format!("{:.1}\n{:.1}", figure.ratio_of_p99, figure.ratio_of_worst);
            let cells = cells.into_iter().flatten().chain(ratios).chain([latest]);
            table.add_row(std::iter::once(names).chain(cells).chain(others));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of([5.0, 1.0, 3.0]);
        let (median, least, most) = (3.0, 1.0, 5.0);
        assert_eq!(
            spread,
            Spread {
                median,
                least,
                most
            }
        );
        let (median, least, most) = (2.5, 1.0, 4.0);
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!(
            spread,
            Spread {
                median,
                least,
                most
            }
        );
    }

    #[test]
    fn thousands_stand_apart() {
        let texts = [0.4, 999.0, 1_000.0, 1_234_567.0].map(|count| Count(count).to_string());
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }
}
