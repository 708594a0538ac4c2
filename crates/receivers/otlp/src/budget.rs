//! The memory of all requests that are being read, and the cores that large ones may keep busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// A number of bytes shared by all requests; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ByteBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
    /// One for each core.
    heavy: Semaphore,
}

impl ByteBudget {
    pub(crate) fn new(limit: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Inner { limit, used: AtomicUsize::new(0), heavy: Semaphore::new(cores) }))
    }

    /// A share of nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }

    /// Runs work that takes long on a thread of its own, as many at once as there are cores: sockets and small
    /// requests must not wait for it. None when the runtime is stopping.
    pub(crate) async fn heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self.0.heavy.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Bytes there are.
    pub(crate) fn limit(&self) -> usize {
        self.0.limit
    }
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: ByteBudget,
    bytes: usize,
}

impl Share {
    /// The budget it is a share of.
    pub(crate) fn budget(&self) -> ByteBudget {
        self.budget.clone()
    }

    /// Takes `bytes` more, if the budget has them.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        let inner = &self.budget.0;
        let grown = inner.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= inner.limit)
        });
        self.bytes += if grown.is_ok() { bytes } else { 0 };
        grown.is_ok()
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.budget.0.used.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::ByteBudget;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_never_exceed_the_budget_and_come_back(
            steps in prop::collection::vec((0usize..4, 0usize..60, any::<bool>()), 0..50),
        ) {
            let budget = ByteBudget::new(100);
            let mut shares: Vec<_> = (0..4).map(|_| (budget.share(), 0)).collect();
            for (which, bytes, grow) in steps {
                let total: usize = shares.iter().map(|share| share.1).sum();
                let (share, held) = &mut shares[which];
                if grow {
                    let fits = total + bytes <= 100;
                    prop_assert_eq!(share.try_grow(bytes), fits);
                    *held += if fits { bytes } else { 0 };
                } else {
                    share.shrink_to(bytes);
                    *held = (*held).min(bytes);
                }
            }
            prop_assert_eq!(budget.used(), shares.iter().map(|share| share.1).sum::<usize>());
            drop(shares);
            prop_assert_eq!(budget.used(), 0);
        }
    }
}
