//! Names of root spans, each held once for all traces that have it: agents' tasks are of a few kinds.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::contexts::take_slot;

/// No name.
pub(crate) const UNNAMED: u32 = u32::MAX;

#[derive(Debug)]
struct Name {
    text: Arc<str>,
    hash: u64,
    /// How many traces have it.
    traces: u32,
}

/// The names of held traces.
#[derive(Debug)]
pub(crate) struct Names {
    names: Vec<Option<Name>>,
    index: HashTable<u32>,
    free: Vec<u32>,
    hasher: FixedState,
    memory: usize,
}

impl Names {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            names: Vec::new(),
            index: HashTable::new(),
            free: Vec::new(),
            hasher: FixedState::with_seed(seed),
            memory: 0,
        }
    }

    /// The number of a name, held until [`Self::release`].
    pub(crate) fn hold(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let names = &mut self.names;
        let same = |&at: &u32| {
            names.get(at as usize).is_some_and(|name| name.as_ref().is_some_and(|name| *name.text == *text))
        };
        if let Some(&at) = self.index.find(hash, same) {
            if let Some(Some(name)) = names.get_mut(at as usize) {
                name.traces += 1;
            }
            return at;
        }
        let name = Name { text: text.into(), hash, traces: 1 };
        self.memory += size_of_name(&name);
        let at = take_slot(&mut self.free, names);
        names[at as usize] = Some(name);
        let hash_of = |&at: &u32| names.get(at as usize).and_then(Option::as_ref).map_or(0, |name| name.hash);
        self.index.insert_unique(hash, at, hash_of);
        at
    }

    /// A trace with this name is gone; [`UNNAMED`] is nobody's.
    pub(crate) fn release(&mut self, at: u32) {
        let Some(slot) = self.names.get_mut(at as usize) else { return };
        let Some(name) = slot else { return };
        name.traces -= 1;
        if name.traces > 0 {
            return;
        }
        self.memory -= size_of_name(name);
        if let Ok(entry) = self.index.find_entry(name.hash, |&other| other == at) {
            entry.remove();
        }
        *slot = None;
        self.free.push(at);
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Arc<str>> {
        Some(&self.names.get(at as usize)?.as_ref()?.text)
    }

    /// Bytes that the names take.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }
}

/// With its place in the index, and the two counts in front of the text.
fn size_of_name(name: &Name) -> usize {
    size_of::<Option<Name>>() + 8 + 16 + name.text.len()
}
