//! The allocator.
//!
//! What makes it sound: a mapping is private and anonymous, as large as its layout rounded up to whole huge pages, and given
//! back by exactly the allocation it was made for. `madvise(MADV_HUGEPAGE)` changes no contents; `mremap` keeps them. Which of
//! the two ways an allocation was made is told by its layout alone, the same each time.

use std::alloc::Layout;
use std::ffi::c_void;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags};

use crate::HUGE_PAGE;

/// What every mapping is aligned to at least.
const SMALL_PAGE: usize = 4096;

/// Gives allocations of [`HUGE_PAGE`] and more mappings of their own, and asks the system for huge pages; everything smaller
/// goes to the program's allocator. Where there are no huge pages to be had, mappings have ordinary ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct HugePages;

/// The size of the mapping for a layout; none if it is the program's allocator's.
fn mapping(layout: Layout) -> Option<usize> {
    if layout.size() < HUGE_PAGE || layout.align() > SMALL_PAGE {
        return None;
    }
    layout.size().checked_next_multiple_of(HUGE_PAGE)
}

/// Asks for huge pages. A system without them refuses, and nothing is lost.
fn advise(start: *mut c_void, len: usize) {
    // SAFETY: this advice changes neither contents nor protection, whatever the range is.
    let _ = unsafe { rustix::mm::madvise(start, len, Advice::LinuxHugepage) };
}

fn slice(start: *mut c_void, len: usize) -> Result<NonNull<[u8]>, AllocError> {
    let start = NonNull::new(start.cast()).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(start, len))
}

// SAFETY: memory stays where it is until it is given back or grown, whichever copy of the allocator is asked, since all copies
// are the same. A mapping is valid for its rounded size, which is at least the layout's, and aligned to a page, which is at
// least the layout's alignment.
unsafe impl Allocator for HugePages {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let Some(len) = mapping(layout) else { return Global.allocate(layout) };
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping at a place of the system's choice.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, prot, flags) };
        let start = start.map_err(|_| AllocError)?;
        advise(start, len);
        slice(start, len)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // A new mapping is zero.
        if mapping(layout).is_some() { self.allocate(layout) } else { Global.allocate_zeroed(layout) }
    }

    unsafe fn deallocate(&self, start: NonNull<u8>, layout: Layout) {
        match mapping(layout) {
            // SAFETY: the caller has it from `allocate` or `grow` with a layout that rounds to the same size, and uses it no
            // more. Unmapping such a range cannot fail but for want of memory; then it stays mapped.
            Some(len) => drop(unsafe { rustix::mm::munmap(start.as_ptr().cast(), len) }),
            // SAFETY: this layout always goes to `Global`.
            None => unsafe { Global.deallocate(start, layout) },
        }
    }

    unsafe fn grow(&self, start: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        match (mapping(old), mapping(new)) {
            (Some(from), Some(to)) => {
                // SAFETY: the mapping is the caller's, `from` bytes long, and used at its new place only.
                let moved =
                    unsafe { rustix::mm::mremap(start.as_ptr().cast(), from, to, MremapFlags::MAYMOVE) };
                let moved = moved.map_err(|_| AllocError)?;
                advise(moved, to);
                slice(moved, to)
            }
            // SAFETY: both layouts go to `Global`; what it asks of its caller, ours has promised.
            (None, None) => unsafe { Global.grow(start, old, new) },
            _ => {
                let larger = self.allocate(new)?;
                // SAFETY: both are valid for as many bytes as the old layout has, and the new one is nobody else's.
                unsafe { std::ptr::copy_nonoverlapping(start.as_ptr(), larger.cast().as_ptr(), old.size()) };
                // SAFETY: the caller has it from this allocator with this layout, and uses it no more.
                unsafe { self.deallocate(start, old) };
                Ok(larger)
            }
        }
    }
}
