//! Does a report look as it did when somebody last looked? `UPDATE_GOLDEN=1` writes the files.

use mesh_testkit::assert_golden;

use crate::sample;

#[test]
fn a_report_looks_as_it_did() {
    let report = sample::report();
    let json = format!("{:#}\n", mesh_sheet::json(&report));
    assert_golden("tests/golden/sample.json", &json);
    assert_golden("tests/golden/sample.html", &mesh_sheet::html(&report));
    let text = mesh_sheet::text(&report, Some(110));
    assert_golden("tests/golden/sample.txt", &text);
    let section = report.section("suppliers").unwrap();
    assert_golden("tests/golden/sample.csv", &mesh_sheet::csv(section));
}

#[test]
fn a_terminal_gets_lines_that_fit_and_a_pipe_gets_whole_texts() {
    let report = sample::report();
    for line in mesh_sheet::text(&report, Some(110)).lines() {
        let is_drawn = line.starts_with(['│', '┌', '└', '╞', '├']);
        assert!(!is_drawn || line.chars().count() <= 110, "{line}");
    }
    let piped = mesh_sheet::text(&report, None);
    assert!(piped.contains(sample::RIGHT_TO_LEFT.trim()), "{piped}");
    assert!(!piped.contains('│'));
    let visible = |c: char| c == '\n' || mesh_types::text::is_visible(c);
    assert!(piped.chars().all(visible));
}
