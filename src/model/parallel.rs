//! Work that does not depend on its order, on all processors. A hundred thousand findings have texts to look through and lines to look up.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Below this, threads cost more than they bring.
const WORTH_IT: usize = 2_000;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}

/// What each item comes to, in their order.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if items.len() < WORTH_IT || threads() == 1 {
        return items.iter().map(work).collect();
    }
    let work = &work;
    in_threads(items.chunks(items.len().div_ceil(threads())).map(|part| move || part.iter().map(work).collect()))
}

/// Makes something of each item and hands it on in their order; of a long list only so much is there at a time.
///
/// # Errors
/// The first one, of either.
pub fn in_order<T: Sync, R: Send, E: Send>(
    items: &[T],
    make: impl Fn(&T) -> Result<R, E> + Sync,
    mut hand_on: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    for batch in items.chunks(4 * WORTH_IT) {
        map(batch, &make).into_iter().try_for_each(|made| hand_on(made?))?;
    }
    Ok(())
}

/// Does something to each item.
pub fn for_each<T: Send>(items: &mut [T], work: impl Fn(&mut T) + Sync) {
    if items.len() < WORTH_IT || threads() == 1 {
        return items.iter_mut().for_each(work);
    }
    let (share, work) = (items.len().div_ceil(threads()), &work);
    in_threads(items.chunks_mut(share).map(|part| {
        move || {
            part.iter_mut().for_each(work);
            Vec::<()>::new()
        }
    }));
}

/// What pieces of work of very different length come to, in no particular order.
pub fn each<T: Sync, R: Send>(pieces: &[T], work: impl Fn(&T, &mut Vec<R>) + Sync) -> Vec<R> {
    let (next, work) = (AtomicUsize::new(0), &work);
    let next = &next;
    in_threads((0..threads().min(pieces.len())).map(|_| {
        move || {
            let mut results = Vec::new();
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                work(piece, &mut results);
            }
            results
        }
    }))
}

fn in_threads<R: Send, F: FnOnce() -> Vec<R> + Send>(parts: impl Iterator<Item = F>) -> Vec<R> {
    let mut results = Vec::new();
    std::thread::scope(|scope| {
        let handles: Vec<_> = parts.map(|part| scope.spawn(part)).collect();
        for handle in handles {
            match handle.join() {
                Ok(mut part) => results.append(&mut part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_in_order() {
        let items: Vec<usize> = (0..10_001).collect();
        assert_eq!(map(&items, |item| item + 1), (1..=10_001).collect::<Vec<_>>());
        let mut items = items;
        for_each(&mut items, |item| *item *= 2);
        assert!(items.iter().enumerate().all(|(index, item)| *item == 2 * index));
        let mut doubled = each(&[1, 2, 3], |piece, results| results.extend([*piece, *piece]));
        doubled.sort_unstable();
        assert_eq!(doubled, [1, 1, 2, 2, 3, 3]);
        let mut seen = Vec::new();
        let made = in_order(
            &items,
            |item| if *item < 20_000 { Ok(*item) } else { Err("large") },
            |item| {
                seen.push(item);
                Ok(())
            },
        );
        assert_eq!((made, seen.len(), seen.is_sorted()), (Err("large"), 10_000, true));
        assert_eq!(each(&[0; 0], |_, results: &mut Vec<()>| results.push(())), []);
    }
}
