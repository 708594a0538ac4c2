//! Vectors that are zero without having been written to.

use std::alloc::{Layout, handle_alloc_error};

use allocator_api2::alloc::Allocator;

use crate::{HugePages, HugeVec};

/// So many zeros. A page of them takes memory, and the time to get it, only when it is first touched.
#[must_use]
pub fn zeroes(len: usize) -> HugeVec<u64> {
    let layout = Layout::array::<u64>(len).unwrap_or_else(|_| handle_alloc_error(Layout::new::<u64>()));
    let start = HugePages.allocate_zeroed(layout).unwrap_or_else(|_| handle_alloc_error(layout));
    // SAFETY: it was allocated by this allocator with the layout of `len` numbers, which are all 0.
    unsafe { HugeVec::from_raw_parts_in(start.cast().as_ptr(), len, len, HugePages) }
}
