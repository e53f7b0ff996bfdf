//! Are two answers equal, and if not, where do they differ?

use std::fmt::Debug;

use proptest::test_runner::TestCaseError;

/// How a step, or a case, ends.
pub(super) type Outcome = Result<(), TestCaseError>;

/// Fails with what is different of the two, and a little of what stands around it.
pub(super) fn equal<T: Debug + PartialEq>(what: &str, answered: &T, expected: &T) -> Outcome {
    if answered == expected {
        return Ok(());
    }
    let (answered, expected) = (format!("{answered:#?}"), format!("{expected:#?}"));
    let answered: Vec<&str> = answered.lines().collect();
    let expected: Vec<&str> = expected.lines().collect();
    let same = |(one, other): &(&&str, &&str)| one == other;
    let before = answered.iter().zip(&expected).take_while(same).count();
    let ends = answered[before..].iter().rev();
    let after = ends.zip(expected[before..].iter().rev());
    let after = after.take_while(same).count();
    let part = |lines: &[&str]| {
        let around = 3;
        let end = lines.len() - after.saturating_sub(around);
        lines[before.saturating_sub(around)..end].join("\n")
    };
    let (answered, expected) = (part(&answered), part(&expected));
    let difference = format!("{what}\nanswered\n{answered}\nexpected\n{expected}");
    Err(TestCaseError::fail(difference))
}
