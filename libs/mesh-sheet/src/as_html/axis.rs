//! Where on an axis does a figure stand, and at which round values has it ticks?

use maud::{Markup, html};
use mesh_types::text::shown;

use crate::figures::grouped;

/// An axis of counts, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    step: u128,
    pub(super) top: u128,
}

impl Axis {
    /// One that reaches `most`, with a few ticks that leave room for what is written at them.
    pub(super) fn up_to(most: u128) -> Self {
        let intervals = if most < 10_000_000 { 4 } else { 2 };
        let powers = (0..).map(|power| 10_u128.saturating_pow(power));
        let mut steps = powers.flat_map(|power| [1, 2, 5].map(|n| power.saturating_mul(n)));
        let enough = |step: &u128| step.saturating_mul(intervals) >= most;
        let step = steps.find(enough).unwrap_or(u128::MAX);
        Self {
            step,
            top: most.div_ceil(step).max(1) * step,
        }
    }

    /// The ticks' values.
    pub(super) fn ticks(self) -> impl Iterator<Item = u128> {
        (0..=self.top / self.step).map(move |tick| tick * self.step)
    }

    /// Where a count stands, from 0 to 1.
    pub(super) fn place(self, count: u128) -> f64 {
        count as f64 / self.top as f64
    }
}

/// A place from 0 to 1 as a length along the chart.
pub(super) fn percent(place: f64) -> String {
    let hundredths = format!("{:.2}", place * 100.0);
    format!(
        "{}%",
        hundredths.trim_end_matches('0').trim_end_matches('.')
    )
}

/// A tick of an axis that lies along the chart.
pub(super) struct Tick {
    /// From 0 to 1.
    pub(super) place: f64,
    pub(super) says: String,
}

/// The ticks of an axis of counts.
pub(super) fn counts(axis: Axis) -> Vec<Tick> {
    let ticks = axis.ticks().map(|count| Tick {
        place: axis.place(count),
        says: grouped(count),
    });
    ticks.collect()
}

/// The axis at the foot of rows, and the lines of its ticks behind them. `y` is where the rows end.
pub(super) fn foot(ticks: &[Tick], y: u32, unit: &str) -> (Markup, Markup) {
    let lines = html! {
        @for tick in ticks {
            @let x = percent(tick.place);
            line.grid x1=(x) y1="0" x2=(x) y2=(y + 4) {}
        }
    };
    let words = html! {
        line.axis x1="0" y1=(y) x2="100%" y2=(y) {}
        @for tick in ticks {
            text class={ "tick " (anchor(tick.place)) } x=(percent(tick.place)) y=(y + 17) { (tick.says) }
        }
        text.unit x="0" y=(y + 34) { (shown(unit)) }
    };
    (lines, words)
}

/// How high a foot is.
pub(super) const FOOT: u32 = 40;

/// What is written at either end of the chart stays within it.
fn anchor(place: f64) -> &'static str {
    match place {
        ..0.01 => "start",
        0.99.. => "end",
        _ => "middle",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round() {
        for (most, ticks) in [
            (0, vec![0, 1]),
            (1, vec![0, 1]),
            (3, vec![0, 1, 2, 3]),
            (7, vec![0, 2, 4, 6, 8]),
            (1_234, vec![0, 500, 1_000, 1_500]),
            (80_000, vec![0, 20_000, 40_000, 60_000, 80_000]),
        ] {
            assert_eq!(
                Axis::up_to(most).ticks().collect::<Vec<_>>(),
                ticks,
                "{most}"
            );
        }
        for (place, says) in [
            (0.0, "0%"),
            (1.0, "100%"),
            (0.333_333, "33.33%"),
            (0.5, "50%"),
        ] {
            assert_eq!(percent(place), says);
        }
    }

    proptest! {
        #[test]
        fn an_axis_reaches_what_it_is_for(most in 0..u128::from(u64::MAX) * 1_000) {
            let axis = Axis::up_to(most);
            prop_assert!(axis.top >= most && axis.top > 0);
            prop_assert!((2..=5).contains(&axis.ticks().count()));
            prop_assert_eq!(axis.ticks().last(), Some(axis.top));
        }
    }
}
