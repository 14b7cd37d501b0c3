//! Rows in memory.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use super::{Changes, Direction, Engine, Snapshot, Visit};
use crate::StoreError;
use crate::sync::RwLock;

/// Rows on a page at most; a page with more is split.
const PAGE: usize = 64;

/// An [`Engine`] in memory, gone with its process.
///
/// Rows lie on pages, in order. A commit copies the list of pages and the pages that it changes; the others it shares with the
/// snapshots before it.
#[derive(Default)]
pub struct MemoryEngine(RwLock<Arc<Pages>>);

/// No page is empty.
#[derive(Clone, Default)]
struct Pages(Vec<Arc<Page>>);

/// Rows in the order of their keys.
type Page = Vec<(Arc<[u8]>, Arc<[u8]>)>;

impl MemoryEngine {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn pages(&self) -> Arc<Pages> {
        // The list is swapped whole, whoever panicked.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Engine for MemoryEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(self.pages())
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let mut pages = Pages::clone(&self.pages());
        for range in changes.ranges() {
            pages.remove_range(&range.start, &range.end);
        }
        for (key, value) in changes.entries() {
            pages.set(key, value);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pages);
        Ok(())
    }
}

impl Pages {
    /// The page where a key lies, or would lie: the last one that begins at or before it. 0 when there is none.
    fn page_of(&self, key: &[u8]) -> usize {
        self.0.partition_point(|page| page.first().is_some_and(|(first, _)| **first <= *key)).saturating_sub(1)
    }

    fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let at = self.page_of(key);
        if self.0.is_empty() {
            self.0.push(Arc::default());
        }
        let page = Arc::make_mut(&mut self.0[at]);
        match (page.binary_search_by(|(known, _)| (**known).cmp(key)), value) {
            (Ok(row), Some(value)) => page[row].1 = value.into(),
            (Ok(row), None) => _ = page.remove(row),
            (Err(row), Some(value)) => page.insert(row, (key.into(), value.into())),
            (Err(_), None) => {}
        }
        if page.is_empty() {
            self.0.remove(at);
        } else if page.len() > PAGE {
            // A page that grows at its end, as logs do, stays almost full.
            let upper = page.split_off(PAGE * 7 / 8);
            self.0.insert(at + 1, Arc::new(upper));
        }
    }

    fn remove_range(&mut self, start: &[u8], end: &[u8]) {
        let first = self.page_of(start);
        let last = self.0.partition_point(|page| page.first().is_some_and(|(first, _)| **first < *end));
        for page in self.0.get_mut(first..last).unwrap_or_default() {
            Arc::make_mut(page).retain(|(key, _)| **key < *start || **key >= *end);
        }
        self.0.retain(|page| !page.is_empty());
    }
}

impl Snapshot for Pages {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(page) = self.0.get(self.page_of(key)) else { return Ok(None) };
        let row = page.binary_search_by(|(known, _)| (**known).cmp(key)).ok();
        Ok(row.map(|row| page[row].1.to_vec()))
    }

    fn scan(&self, range: Range<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let first = self.page_of(range.start);
        let last = self.0.partition_point(|page| page.first().is_some_and(|(first, _)| **first < *range.end));
        let rows = self.0.get(first..last).unwrap_or_default().iter().flat_map(|page| page.iter());
        let mut rows = rows.filter(|(key, _)| range.contains(&&**key)).map(|(key, value)| (&**key, &**value));
        while let Some((key, value)) = match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.next_back(),
        } {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
