//! Two texts as a unified diff. `similar::TextDiff` would write the same and bring every algorithm of its crate along, each several times:
//! a thirtieth of the binary.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::udiff::UnifiedHunkHeader;
use similar::{DiffOp, group_diff_ops};

/// Lines around a change.
const CONTEXT: usize = 3;

/// Empty where both are equal; `names` stand in the first two lines.
pub fn unified_diff(before: &str, after: &str, names: (&str, &str)) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    // As numbers: equal lines, equal numbers.
    let mut numbers: HashMap<&str, u32, foldhash::fast::RandomState> = HashMap::default();
    let mut number = |line| {
        let next = numbers.len() as u32;
        *numbers.entry(line).or_insert(next)
    };
    let old_numbers: Vec<u32> = old.iter().map(|line| number(*line)).collect();
    let new_numbers: Vec<u32> = new.iter().map(|line| number(*line)).collect();
    let mut capture = Compact::new(Replace::new(Capture::new()), &old_numbers, &new_numbers);
    // Capturing never fails.
    let _ = myers::diff(&mut capture, &old_numbers, 0..old.len(), &new_numbers, 0..new.len());
    let mut text = String::new();
    for hunk in group_diff_ops(capture.into_inner().into_inner().into_ops(), CONTEXT) {
        if text.is_empty() {
            let _ = write!(text, "--- {}\n+++ {}\n", names.0, names.1);
        }
        let _ = writeln!(text, "{}", UnifiedHunkHeader::new(&hunk));
        for change in &hunk {
            if matches!(change, DiffOp::Equal { .. }) {
                lines(&mut text, ' ', &old, change.old_range());
            } else {
                lines(&mut text, '-', &old, change.old_range());
                lines(&mut text, '+', &new, change.new_range());
            }
        }
    }
    text
}

fn lines(text: &mut String, sign: char, all: &[&str], range: Range<usize>) {
    for line in all.get(range).unwrap_or_default() {
        text.push(sign);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use similar::TextDiff;

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(&["a\n", "b\n", "c\n", "\n", "d\n", "e\n", "x y\n", "end"][..]),
            0..40,
        )
        .prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn it_is_what_the_crate_writes(before in text(), after in text()) {
            let expected = TextDiff::from_lines(&before, &after).unified_diff().header("x", "y").to_string();
            prop_assert_eq!(unified_diff(&before, &after, ("x", "y")), expected);
        }
    }
}
