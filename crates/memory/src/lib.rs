//! Memory for what is large and read at random: mapped by itself, in huge pages where there are any.
//!
//! Tables of millions of entries and the segments of a trace store are looked at here and there. With pages of 4 KiB each such
//! look misses the processor's table of pages as well as its cache, and the first touch of every page costs more than
//! filling it; huge pages take both away, and growing moves pages instead of bytes (docs/adr/0008). This is the one crate of the
//! workspace with unsafe code; it is in `pages.rs`, `append.rs`, `prefetch.rs`, `program.rs` and `zeroes.rs`.

mod append;
#[cfg(target_os = "linux")]
mod pages;
mod prefetch;
#[cfg(target_os = "linux")]
mod program;
#[cfg(test)]
mod tests;
mod zeroes;

pub use append::append;
#[cfg(target_os = "linux")]
pub use pages::HugePages;
pub use prefetch::prefetch;
#[cfg(target_os = "linux")]
pub use program::forget_start;
pub use zeroes::zeroes;

/// Without huge pages of its own: the program's allocator.
#[cfg(not(target_os = "linux"))]
pub use allocator_api2::alloc::Global as HugePages;

/// Bytes of a huge page, and from how many on an allocation is made of them.
pub const HUGE_PAGE: usize = 2 << 20;

/// A vector in huge pages as soon as it is large.
pub type HugeVec<T> = allocator_api2::vec::Vec<T, HugePages>;
