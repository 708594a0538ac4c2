//! Copying into a vector in one go: the vector's own `extend_from_slice` goes byte by byte.

use crate::HugeVec;

/// Appends bytes.
#[inline]
pub fn append(to: &mut HugeVec<u8>, more: &[u8]) {
    to.reserve(more.len());
    let len = to.len();
    // SAFETY: there is room for as many bytes behind those that are there.
    let end = unsafe { to.as_mut_ptr().add(len) };
    // SAFETY: they are valid for reads and, behind `end`, for writes; `more` is borrowed and so no part of `to`.
    unsafe { std::ptr::copy_nonoverlapping(more.as_ptr(), end, more.len()) };
    // SAFETY: so many bytes are written now, and there is room for as many.
    unsafe { to.set_len(len + more.len()) };
}
