//! A thousand findings of one sort help nobody: the first few are told, and the last of them counts the others.

use std::collections::HashMap;
use std::sync::Arc;

use super::Finding;
use crate::model::provenance::ObjectRef;

/// At most so many findings of one sort for one object.
pub const FEW: usize = 10;

/// The first of many things, each with what its finding says of those that are left out: nothing, but for the last one.
pub fn few<T>(things: &[T]) -> impl Iterator<Item = (&T, String)> {
    let left = things.len().saturating_sub(FEW);
    things.iter().take(FEW).enumerate().map(move |(position, thing)| {
        let more = if left > 0 && position + 1 == FEW { more(left) } else { String::new() };
        (thing, more)
    })
}

/// The same of findings that are there already: of each object the first few stay.
pub fn keep_few(found: Vec<Finding>) -> Vec<Finding> {
    let mut counts: HashMap<Arc<ObjectRef>, (usize, usize), foldhash::fast::RandomState> = HashMap::default();
    let mut kept: Vec<Finding> = Vec::new();
    for finding in found {
        let (count, last) = counts.entry(finding.object.clone()).or_default();
        *count += 1;
        if *count <= FEW {
            *last = kept.len();
            kept.push(finding);
        }
    }
    for (count, last) in counts.into_values().filter(|(count, _)| *count > FEW) {
        if let Some(finding) = kept.get_mut(last) {
            finding.message.push_str(&more(count - FEW));
        }
    }
    kept
}

fn more(left: usize) -> String {
    format!(" (and {left} more like it)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_counts_the_others() {
        for (number, told, last) in
            [(0, 0, None), (1, 1, Some("")), (10, 10, Some("")), (12, 10, Some(" (and 2 more like it)"))]
        {
            let things: Vec<usize> = (0..number).collect();
            let found: Vec<String> = few(&things).map(|(_, more)| more).collect();
            assert_eq!(found.len(), told);
            assert_eq!(found.last().map(String::as_str), last);
        }
    }
}
