//! Finds where something changes between versions, reading as few of them as possible.

use std::collections::BTreeMap;

/// Which to read next, given what was read: one between any two neighbours that differ. Empty when
/// both sides of each change were read. Two neighbours that are equal are taken for equal in
/// between, so the first readings must be close enough together.
pub fn next<T: PartialEq>(read: &BTreeMap<usize, T>, absent: impl Fn(usize) -> bool) -> Vec<usize> {
    let pairs = read.iter().zip(read.iter().skip(1));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .filter_map(|((from, _), (to, _))| {
            let middle = from + (to - from) / 2;
            // The nearest to the middle that can be had.
            let mut between: Vec<usize> = (from + 1..*to).filter(|at| !absent(*at)).collect();
            between.sort_by_key(|at| at.abs_diff(middle));
            between.first().copied()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_sides_of_each_change_are_read(steps in proptest::collection::vec(0usize..200, 0..6), absent in 0usize..200) {
            // It only ever grows, so equal ends are equal in between.
            let value = |at: usize| steps.iter().filter(|step| **step <= at).count();
            let mut read: BTreeMap<usize, usize> = [(0, value(0)), (199, value(199))].into();
            loop {
                let more = next(&read, |at| at == absent);
                if more.is_empty() {
                    break;
                }
                for at in more {
                    prop_assert!(read.insert(at, value(at)).is_none());
                }
            }
            for ((from, before), (to, after)) in read.iter().zip(read.iter().skip(1)) {
                prop_assert!(before == after || to - from == 1 || (to - from == 2 && from + 1 == absent));
            }
            prop_assert!(read.len() <= 2 + steps.len() * 9);
        }
    }
}
