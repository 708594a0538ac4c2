//! Distinct resource and scope headers, each held once for all spans under it.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use forebay_otlp::traces::{ResourceSpansView, ScopeSpansView, SpanView};
use forebay_ottl::SpanScope;
use hashbrown::HashTable;

use crate::leaf_set::LeafSet;

/// What a resource says about every span under it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResourceFacts {
    pub(crate) matched: LeafSet,
    pub(crate) service_name: Option<Arc<str>>,
    /// The priority attribute, if the resource carries it: its place in the order, or a value that is not in it.
    pub(crate) priority: Option<Priority>,
}

/// What a priority attribute says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Priority {
    /// By place in the order.
    Ranked(u8),
    /// A value that is not in the order.
    Odd(Arc<str>),
}

#[derive(Debug, Default)]
struct Resource {
    header: Vec<u8>,
    hash: u64,
    facts: ResourceFacts,
    /// Scopes under it, and holders.
    references: u32,
}

#[derive(Debug, Default)]
struct Scope {
    header: Vec<u8>,
    hash: u64,
    resource: u32,
    /// Records under it, and holders.
    references: u32,
    /// Stands in the queue of idle scopes.
    idle: bool,
}

/// How many scopes that nothing refers to any more are remembered, oldest forgotten first: a steady
/// stream of traces then finds its headers even when no trace is held for a moment.
const MAX_IDLE: usize = 256;

/// And how many bytes their headers take at most: room cannot be made of them.
const MAX_IDLE_BYTES: usize = 256 << 10;

/// All headers that held spans need.
#[derive(Debug)]
pub(crate) struct Contexts {
    resources: Vec<Resource>,
    scopes: Vec<Scope>,
    resource_index: HashTable<u32>,
    scope_index: HashTable<u32>,
    free_resources: Vec<u32>,
    free_scopes: Vec<u32>,
    idle: VecDeque<u32>,
    /// Bytes of the idle scopes' headers and of those they are under, which are counted for each.
    idle_bytes: usize,
    hasher: FixedState,
    memory: usize,
}

impl Contexts {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            resources: Vec::new(),
            scopes: Vec::new(),
            resource_index: HashTable::new(),
            scope_index: HashTable::new(),
            free_resources: Vec::new(),
            free_scopes: Vec::new(),
            idle: VecDeque::new(),
            idle_bytes: 0,
            hasher: FixedState::with_seed(seed),
            memory: 0,
        }
    }

    /// Bytes taken by headers and what is known of them.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    pub(crate) fn facts(&self, resource: u32) -> &ResourceFacts {
        &self.resources[resource as usize].facts
    }

    /// The same for a number that may be of no resource.
    pub(crate) fn try_facts(&self, resource: u32) -> Option<&ResourceFacts> {
        self.resources.get(resource as usize).map(|resource| &resource.facts)
    }

    pub(crate) fn resource_of(&self, scope: u32) -> u32 {
        self.scopes[scope as usize].resource
    }

    pub(crate) fn resource_header(&self, resource: u32) -> &[u8] {
        &self.resources[resource as usize].header
    }

    pub(crate) fn scope_header(&self, scope: u32) -> &[u8] {
        &self.scopes[scope as usize].header
    }

    /// A span as conditions see it, under the headers of a scope.
    pub(crate) fn span_scope<'a>(&'a self, scope: u32, span: SpanView<'a>) -> SpanScope<'a> {
        let resource = ResourceSpansView::new(self.resource_header(self.resource_of(scope)));
        SpanScope::new(resource, ScopeSpansView::new(self.scope_header(scope)), span)
    }

    /// The number of a resource, held until [`Self::release_resource`]; `facts` is asked for a new one only.
    pub(crate) fn hold_resource(&mut self, header: &[u8], facts: impl FnOnce() -> ResourceFacts) -> u32 {
        let hash = self.hasher.hash_one(header);
        let found = self.resource_index.find(hash, |&at| self.resources[at as usize].header == header);
        let at = if let Some(&at) = found {
            at
        } else {
            let at = take_slot(&mut self.free_resources, &mut self.resources);
            let resource = Resource { header: header.to_vec(), hash, facts: facts(), references: 0 };
            self.memory += size_of_resource(&resource);
            self.resources[at as usize] = resource;
            let resources = &self.resources;
            self.resource_index.insert_unique(hash, at, |&at| resources[at as usize].hash);
            at
        };
        self.resources[at as usize].references += 1;
        at
    }

    /// The number of a scope under a held resource, held until [`Self::release_scope`].
    pub(crate) fn hold_scope(&mut self, resource: u32, header: &[u8]) -> u32 {
        let hash = self.hasher.hash_one((resource, header));
        let scopes = &self.scopes;
        let same =
            |&at: &u32| scopes[at as usize].resource == resource && scopes[at as usize].header == header;
        let at = if let Some(&at) = self.scope_index.find(hash, same) {
            at
        } else {
            let at = take_slot(&mut self.free_scopes, &mut self.scopes);
            let scope = Scope { header: header.to_vec(), hash, resource, references: 0, idle: false };
            self.memory += size_of::<Scope>() + scope.header.capacity();
            self.scopes[at as usize] = scope;
            self.resources[resource as usize].references += 1;
            let scopes = &self.scopes;
            self.scope_index.insert_unique(hash, at, |&at| scopes[at as usize].hash);
            at
        };
        self.retain_scope(at, 1);
        at
    }

    /// More references to a held scope.
    pub(crate) fn retain_scope(&mut self, scope: u32, count: u32) {
        self.scopes[scope as usize].references += count;
    }

    pub(crate) fn release_scope(&mut self, at: u32) {
        let scope = &mut self.scopes[at as usize];
        scope.references -= 1;
        if scope.references > 0 || std::mem::replace(&mut scope.idle, true) {
            return;
        }
        self.idle.push_back(at);
        self.idle_bytes += self.header_bytes(at);
        while (self.idle.len() > MAX_IDLE || self.idle_bytes > MAX_IDLE_BYTES)
            && let Some(oldest) = self.idle.pop_front()
        {
            self.idle_bytes -= self.header_bytes(oldest);
            let scope = &mut self.scopes[oldest as usize];
            scope.idle = false;
            if scope.references == 0 {
                self.forget_scope(oldest);
            }
        }
    }

    fn header_bytes(&self, scope: u32) -> usize {
        self.scope_header(scope).len() + self.resource_header(self.resource_of(scope)).len()
    }

    pub(crate) fn release_resource(&mut self, at: u32) {
        let resource = &mut self.resources[at as usize];
        resource.references -= 1;
        if resource.references > 0 {
            return;
        }
        let resource = std::mem::take(resource);
        self.memory -= size_of_resource(&resource);
        if let Ok(entry) = self.resource_index.find_entry(resource.hash, |&other| other == at) {
            entry.remove();
        }
        self.free_resources.push(at);
    }

    fn forget_scope(&mut self, at: u32) {
        let scope = std::mem::take(&mut self.scopes[at as usize]);
        self.memory -= size_of::<Scope>() + scope.header.capacity();
        if let Ok(entry) = self.scope_index.find_entry(scope.hash, |&other| other == at) {
            entry.remove();
        }
        self.free_scopes.push(at);
        self.release_resource(scope.resource);
    }
}

/// A slot that is free, or a new one.
pub(crate) fn take_slot<T: Default>(free: &mut Vec<u32>, slots: &mut Vec<T>) -> u32 {
    free.pop().unwrap_or_else(|| {
        slots.push(T::default());
        (slots.len() - 1) as u32
    })
}

fn size_of_resource(resource: &Resource) -> usize {
    size_of::<Resource>() + resource.header.capacity() + resource.facts.matched.heap_bytes()
}
