//! The share of traces a `probabilistic` policy keeps: the collector's hash and threshold, bit for bit.

/// The salt an empty `hash_salt` stands for.
pub(crate) const DEFAULT_SALT: &str = "default-hash-seed";

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// A compiled `probabilistic` policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Share {
    /// The FNV-1a state after the salt: only the id is left to hash.
    salted: u64,
    threshold: u64,
    percentage: f64,
}

impl Share {
    pub(crate) fn new(salt: &str, percentage: f64) -> Self {
        let salt = if salt.is_empty() { DEFAULT_SALT } else { salt };
        Self {
            salted: fnv1a(FNV_OFFSET, salt.as_bytes()),
            threshold: threshold(percentage / 100.0),
            percentage,
        }
    }

    pub(crate) fn keeps(&self, trace_id: &[u8; 16]) -> bool {
        fnv1a(self.salted, trace_id) <= self.threshold
    }

    pub(crate) fn percentage(&self) -> f64 {
        self.percentage
    }
}

/// FNV-1a 64, continued from `state`.
pub(crate) fn fnv1a(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}

/// `trunc((2^64 - 1) * ratio)` as the collector computes it: the product rounded to a 64-bit significand
/// (ties to even), then truncated; below 0 is 0 and above the largest value is that value.
pub(crate) fn threshold(ratio: f64) -> u64 {
    if ratio.is_nan() || ratio <= 0.0 {
        return 0;
    }
    if ratio >= 1.0 {
        return u64::MAX;
    }
    // ratio = significand * 2^exponent exactly, significand < 2^53; so the product fits 117 bits.
    let bits = ratio.to_bits();
    let biased = i32::try_from(bits >> 52).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let (significand, exponent) =
        if biased == 0 { (fraction, -1074) } else { (fraction | (1 << 52), biased - 1075) };
    let product = u128::from(significand) * u128::from(u64::MAX);
    let excess = (128 - product.leading_zeros()).saturating_sub(64);
    let rounded = if excess == 0 {
        product
    } else {
        let (kept, lost, half) = (product >> excess, product & ((1 << excess) - 1), 1_u128 << (excess - 1));
        let up = lost > half || (lost == half && kept & 1 == 1);
        (kept + u128::from(up)) << excess
    };
    match u32::try_from(-exponent) {
        Ok(shift) if shift < 128 => u64::try_from(rounded >> shift).unwrap_or(u64::MAX),
        _ => 0,
    }
}
