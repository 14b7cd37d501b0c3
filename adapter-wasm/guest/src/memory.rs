//! An allocator that only goes up: an instance serves one run, then all of its memory goes away at once.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::ptr::null_mut;

const PAGE: usize = 65536;

/// What is free of the pages that this allocator added to the memory. It touches no other page.
struct Upwards {
    free: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: the module has one thread.
unsafe impl Sync for Upwards {}

#[global_allocator]
static MEMORY: Upwards = Upwards { free: Cell::new(0), end: Cell::new(0) };

impl Upwards {
    fn take(&self, layout: Layout) -> Option<usize> {
        let at = self.free.get().checked_next_multiple_of(layout.align())?;
        let end = at.checked_add(layout.size())?;
        if end <= self.end.get() {
            self.free.set(end);
            return Some(at);
        }
        let pages = layout.size().checked_add(layout.align())?.div_ceil(PAGE);
        let size = memory_size::<0>() * PAGE;
        if self.end.get() != size {
            // Somebody else's pages lie between: begin behind them.
            self.free.set(size);
        }
        if memory_grow::<0>(pages) == usize::MAX {
            return None;
        }
        self.end.set(size + pages * PAGE);
        let at = self.free.get().checked_next_multiple_of(layout.align())?;
        self.free.set(at + layout.size());
        Some(at)
    }
}

// SAFETY: `take` hands out every byte at most once, of pages that are the allocator's own, aligned as asked.
unsafe impl GlobalAlloc for Upwards {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout).map_or(null_mut(), |at| at as *mut u8)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    /// Pages are zero when they are added, and no byte is handed out twice.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { self.alloc(layout) }
    }
}
