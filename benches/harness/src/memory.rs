//! Memory for the agent to grow into.
//!
//! A virtual machine gets its memory from its host when it is first written to, which costs whoever does so up to twenty times
//! what clearing it does, and gives it back a few seconds after it was freed: that would be measured with the agent.

use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use forebay_memory::{HugePages, HugeVec, append};
use tokio::time::sleep;

use crate::agent::{Agent, parse_kib};

/// Memory is let go of in pieces of this size, so that this much more is free than the agent has taken.
pub const PIECE: usize = 64 << 20;
pub const AHEAD: u64 = 1 << 30;
/// So much is written to at least: what one processor frees it keeps for itself, hundreds of MiB of it.
pub const LEAST: u64 = 2 * AHEAD;
/// How often that is seen to: an agent grows by some tens of MiB meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Memory that has been written to, and is let go of while the agent grows.
pub struct Memory {
    pub(crate) pieces: Vec<HugeVec<u8>>,
    pub(crate) let_go: u64,
}

impl Memory {
    /// Writes to so many bytes, or two thirds of what there is.
    pub fn touch(bytes: u64) -> Self {
        let available = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| parse_kib(&text, "MemAvailable:"))
            .unwrap_or_default();
        let pieces = bytes.min(available * 1024 / 3 * 2) / PIECE as u64;
        Self { pieces: (0..pieces).map(|_| touched()).collect(), let_go: 0 }
    }

    /// Keeps ahead of the agent for as long as it is polled.
    pub async fn keep_ahead_of(&mut self, agent: &Agent) -> Infallible {
        loop {
            self.let_go_for(agent.resident_bytes().unwrap_or_default());
            sleep(LOOK).await;
        }
    }

    /// Lets go of memory for an agent of so many bytes.
    pub fn let_go_for(&mut self, resident: u64) {
        while self.let_go < resident + AHEAD && self.pieces.pop().is_some() {
            self.let_go += PIECE as u64;
        }
    }
}

/// A piece in huge pages. Not of zeros, for which nothing would be written.
fn touched() -> HugeVec<u8> {
    let mut piece = HugeVec::with_capacity_in(PIECE, HugePages);
    for _ in 0..PIECE / (64 << 10) {
        append(&mut piece, &[1; 64 << 10]);
    }
    piece
}
