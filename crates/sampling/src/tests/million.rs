//! What the collector's `probabilistic` policy keeps of a million random ids, and of the ids of its own test.

use crate::probabilistic::{Share, fnv1a};

/// Number kept, and FNV-1a over the indexes of those kept, each as 8 bytes, the highest first.
fn kept(share: &Share, ids: &[[u8; 16]]) -> (u64, u64) {
    let kept = ids.iter().zip(0_u64..).filter(|(id, _)| share.keeps(id));
    kept.fold((0, fnv1a(0xcbf2_9ce4_8422_2325, b"")), |(count, digest), (_, index)| {
        (count + 1, fnv1a(digest, &index.to_be_bytes()))
    })
}

fn ids(count: usize, mut next: impl FnMut() -> u64) -> Vec<[u8; 16]> {
    let mut id = || (u128::from(next()) << 64 | u128::from(next())).to_be_bytes();
    (0..count).map(|_| id()).collect()
}

/// `SplitMix64`.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// PCG-DXSM, as Go's `math/rand/v2` has it.
fn pcg(high: u64, low: u64) -> impl FnMut() -> u64 {
    const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;
    const INCREMENT: u128 = 0x5851_f42d_4c95_7f2d_1405_7b7e_f767_814f;
    let mut state = u128::from(high) << 64 | u128::from(low);
    move || {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        let (mut high, low) = ((state >> 64) as u64, state as u64);
        high ^= high >> 32;
        high = high.wrapping_mul(0xda94_2042_e4dd_58b5);
        high ^= high >> 48;
        high.wrapping_mul(low | 1)
    }
}

#[test]
fn a_million_random_ids_are_kept_as_by_the_collector() {
    let ids = ids(1_000_000, random(1_000_000));
    for (salt, percentage, count, digest) in include!("million.in") {
        assert_eq!(kept(&Share::new(salt, percentage), &ids), (count, digest), "{salt} {percentage}");
    }
}

#[test]
fn the_ids_of_the_collectors_own_test_are_kept_as_there() {
    let ids = ids(100_000, pcg(123, 456));
    for (salt, percentage, count, digest) in include!("published.in") {
        assert_eq!(kept(&Share::new(salt, percentage), &ids), (count, digest), "{salt} {percentage}");
    }
}
