//! Ids that look random, are distinct per replay, and tell a checker which span of which trace they belong to.

const TRACE_KEY: u64 = 0x6a09_e667_f3bc_c908;
const SPAN_KEY: u64 = 0xbb67_ae85_84ca_a73b;

/// Which trace of a corpus, in which replay of it: what a corpus trace id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayId {
    /// The number of the replay.
    pub replay: u32,
    /// The trace's index in [`Corpus::traces`](crate::Corpus::traces).
    pub trace: u32,
}

impl ReplayId {
    /// The 16 bytes of the trace id.
    #[inline]
    pub fn to_bytes(self) -> [u8; 16] {
        let low = scramble((u64::from(self.replay) << 32) | u64::from(self.trace));
        let mut id = [0; 16];
        id[..8].copy_from_slice(&scramble(low ^ TRACE_KEY).to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());
        id
    }

    /// What a trace id stands for, or None when it is not one of ours.
    #[inline]
    pub fn from_bytes(id: &[u8]) -> Option<Self> {
        let high = u64::from_be_bytes(*id.first_chunk::<8>()?);
        let low = u64::from_be_bytes(*id.get(8..)?.first_chunk::<8>()?);
        if id.len() != 16 || high != scramble(low ^ TRACE_KEY) {
            return None;
        }
        let plain = unscramble(low);
        Some(Self { replay: (plain >> 32) as u32, trace: plain as u32 })
    }
}

/// Which span of which trace of a corpus: what a corpus span id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanSlot {
    /// The trace's index in [`Corpus::traces`](crate::Corpus::traces).
    pub trace: u32,
    /// The span's number within its trace, the root being 0.
    pub span: u16,
}

impl SpanSlot {
    /// The 8 bytes of the span id; never all zero.
    #[inline]
    pub fn to_bytes(self) -> [u8; 8] {
        scramble(SPAN_KEY ^ ((u64::from(self.trace) << 16) | u64::from(self.span))).to_be_bytes()
    }

    /// What a span id stands for, or None when it is not one of ours.
    #[inline]
    pub fn from_bytes(id: &[u8]) -> Option<Self> {
        let plain = SPAN_KEY ^ unscramble(u64::from_be_bytes(*id.first_chunk::<8>()?));
        (id.len() == 8 && plain >> 48 == 0)
            .then_some(Self { trace: (plain >> 16) as u32, span: plain as u16 })
    }
}

/// A bijection on 64 bits that scatters neighbours (the finaliser of splitmix64).
#[inline]
fn scramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The inverse of [`scramble`]: the multipliers are the modular inverses.
#[inline]
fn unscramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 31) ^ (x >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    x = (x ^ (x >> 27) ^ (x >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    x ^ (x >> 30) ^ (x >> 60)
}
