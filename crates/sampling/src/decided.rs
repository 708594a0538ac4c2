//! The memory of verdicts: a bounded map from trace id to decision, the least recently used forgotten first.

use forebay_memory::{HugePages, HugeVec};

use crate::segments::grow_by_an_eighth;

/// No node.
const NONE: u32 = u32::MAX;

/// What is remembered of a decided trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Remembered {
    pub(crate) id: [u8; 16],
    pub(crate) decided_at: u64,
    /// Index in the policy set, `u32::MAX` for none.
    pub(crate) policy: u32,
    /// Kept before `decision_wait`: spans until this time are streamed, not late.
    pub(crate) streams_until: u64,
}

#[derive(Debug)]
struct Node {
    item: Remembered,
    newer: u32,
    older: u32,
}

/// Decided traces in order of last use. The map from id to node lives with the sampler, which asks once
/// per trace for all states.
#[derive(Debug)]
pub(crate) struct Decided {
    nodes: HugeVec<Node>,
    newest: u32,
    oldest: u32,
    capacity: usize,
}

impl Decided {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            nodes: HugeVec::new_in(HugePages),
            newest: NONE,
            oldest: NONE,
            capacity: capacity.clamp(1, NONE as usize - 1),
        }
    }

    /// Remembers `item`. When full, the least recently used makes room and its id is returned.
    pub(crate) fn insert(&mut self, item: Remembered) -> (u32, Option<[u8; 16]>) {
        if self.nodes.len() < self.capacity {
            let at = self.nodes.len() as u32;
            grow_by_an_eighth(&mut self.nodes);
            self.nodes.push(Node { item, newer: NONE, older: NONE });
            self.link_newest(at);
            return (at, None);
        }
        let at = self.oldest;
        self.unlink(at);
        let forgotten = std::mem::replace(&mut self.nodes[at as usize].item, item).id;
        self.link_newest(at);
        (at, Some(forgotten))
    }

    /// Marks as just used and returns it.
    pub(crate) fn touch(&mut self, at: u32) -> Remembered {
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
        self.nodes[at as usize].item
    }

    pub(crate) fn id(&self, at: u32) -> [u8; 16] {
        self.nodes[at as usize].item.id
    }

    /// What is remembered, without marking it as used.
    pub(crate) fn peek(&self, at: u32) -> Remembered {
        self.nodes[at as usize].item
    }

    /// Bytes of memory taken.
    pub(crate) fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, .. } = self.nodes[at as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let previous = std::mem::replace(&mut self.newest, at);
        self.nodes[at as usize].newer = NONE;
        self.nodes[at as usize].older = previous;
        match previous {
            NONE => self.oldest = at,
            previous => self.nodes[previous as usize].newer = at,
        }
    }
}
