//! The tail_sampling processor: threads and channels around the sans-IO sampler.
