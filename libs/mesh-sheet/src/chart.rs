//! Which columns of a table does a chart draw, and as what?
//!
//! A chart has no figures of its own, so it cannot differ from the table under it.

use crate::kind::Kind;
use crate::malformed::Malformed;
use crate::table::Table;

/// The most series that can be told apart without colours; one more may be excepted.
const SERIES: usize = 4;

/// A chart of the table of the same section. Columns are named by their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    pub(crate) title: String,
    pub(crate) along: String,
    pub(crate) form: Form,
}

/// How a chart is drawn, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// A bar for each row, of counts that add up.
    StackedBars(Vec<Series>),
    /// A line of dots for each row.
    Shares {
        rate: String,
        with_exceptions: Option<String>,
    },
    /// A line for each column, of a point for each row.
    OverTime(Vec<Series>),
}

/// A column of counts in a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub(crate) column: String,
    pub(crate) excepted: bool,
}

impl Series {
    /// The counts of a column.
    #[must_use]
    pub fn of(column: impl Into<String>) -> Self {
        Self {
            column: column.into(),
            excepted: false,
        }
    }

    /// The counts of a column that are excepted from something: hatched, and never taken away.
    #[must_use]
    pub fn excepted(column: impl Into<String>) -> Self {
        Self {
            column: column.into(),
            excepted: true,
        }
    }
}

impl Chart {
    /// Horizontal bars, one for each row, of counts that add up. The column `category` says whose they are.
    #[must_use]
    pub fn stacked_bars(
        title: impl Into<String>,
        category: impl Into<String>,
        series: impl Into<Vec<Series>>,
    ) -> Self {
        Self {
            title: title.into(),
            along: category.into(),
            form: Form::StackedBars(series.into()),
        }
    }

    /// A rate for each row, and the same rate with exceptions allowed for.
    #[must_use]
    pub fn shares(
        title: impl Into<String>,
        category: impl Into<String>,
        rate: impl Into<String>,
        with_exceptions: Option<&str>,
    ) -> Self {
        Self {
            title: title.into(),
            along: category.into(),
            form: Form::Shares {
                rate: rate.into(),
                with_exceptions: with_exceptions.map(str::to_owned),
            },
        }
    }

    /// A line for each series. Each row is a period as long as the others, in the order of time, without gaps;
    /// the column `period` names it.
    #[must_use]
    pub fn over_time(
        title: impl Into<String>,
        period: impl Into<String>,
        series: impl Into<Vec<Series>>,
    ) -> Self {
        Self {
            title: title.into(),
            along: period.into(),
            form: Form::OverTime(series.into()),
        }
    }

    /// Whether it can be drawn from this table.
    pub(crate) fn check(&self, table: &Table) -> Result<(), Malformed> {
        holds(table, &self.along, &[Kind::Text, Kind::Instant])?;
        match &self.form {
            Form::StackedBars(series) | Form::OverTime(series) => {
                let excepted = series.iter().filter(|series| series.excepted).count();
                if excepted > 1 {
                    return Err(Malformed::ExceptedTwice);
                }
                if series.is_empty() || series.len() - excepted > SERIES {
                    return Err(Malformed::Series {
                        series: series.len(),
                        most: SERIES,
                    });
                }
                let mut series = series.iter();
                series.try_for_each(|series| holds(table, &series.column, &[Kind::Count]))
            }
            Form::Shares {
                rate,
                with_exceptions,
            } => {
                let mut rates = [rate].into_iter().chain(with_exceptions);
                rates.try_for_each(|rate| holds(table, rate, &[Kind::Share]))
            }
        }
    }
}

fn holds(table: &Table, key: &str, kinds: &[Kind]) -> Result<(), Malformed> {
    let kind = table.columns[table.position(key)?].kind;
    if kinds.contains(&kind) {
        return Ok(());
    }
    Err(Malformed::Undrawable {
        column: key.to_owned(),
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Column;

    #[test]
    fn a_chart_is_of_columns_that_its_table_has_and_that_can_be_drawn() {
        let columns = vec![
            Column::new("name", "", Kind::Text),
            Column::new("count", "", Kind::Count),
            Column::new("share", "", Kind::Share),
        ];
        let table = Table::new(columns, vec![]).unwrap();
        let bars = |series: &[Series]| Chart::stacked_bars("", "name", series).check(&table);
        assert_eq!(
            bars(&[Series::of("count"), Series::excepted("count")]),
            Ok(())
        );
        let none = Malformed::NoColumn("other".to_owned());
        assert_eq!(bars(&[Series::of("other")]), Err(none));
        let share = Malformed::Undrawable {
            column: "share".to_owned(),
            kind: Kind::Share,
        };
        assert_eq!(bars(&[Series::of("share")]), Err(share));
        assert_eq!(bars(&[]), Err(Malformed::Series { series: 0, most: 4 }));
        let five = vec![Series::of("count"); 5];
        assert_eq!(bars(&five), Err(Malformed::Series { series: 5, most: 4 }));
        let twice = [Series::excepted("count"), Series::excepted("count")];
        assert_eq!(bars(&twice), Err(Malformed::ExceptedTwice));
        assert_eq!(
            Chart::shares("", "name", "share", Some("share")).check(&table),
            Ok(())
        );
        let rates = Chart::shares("", "name", "share", Some("count")).check(&table);
        let count = Malformed::Undrawable {
            column: "count".to_owned(),
            kind: Kind::Count,
        };
        assert_eq!(rates, Err(count));
        let over = Chart::over_time("", "count", [Series::of("count")]).check(&table);
        assert!(over.is_err());
    }
}
