//! Reading a request before any sampler sees it: its spans by scope and trace, and what each such run says.
//!
//! Nothing here needs a trace, so whoever has a request reads it while its bytes are in the cache, and samplers only
//! take in what was found.

use std::ops::Range;
use std::sync::Arc;

use forebay_otlp::traces::{SpanIndex, SpanView, TracesView};

use crate::config::{PriorityClasses, SamplerConfig};
use crate::facts::Facts;
use crate::index::{Hasher, Shard};
use crate::policy::PolicySet;
use crate::predicate::MatchCache;
use crate::traces::UNRANKED;
use crate::walk::{self, Asking, Seen, SpanFacts};

/// No span, no run.
const NONE: u32 = u32::MAX;

/// How many entries' memory one request leaves to the next.
const MOST_KEPT: usize = 8 << 10;

/// A table up to this size is emptied and used as it is: most scopes then never let it grow.
const REUSED: usize = 512;

/// Reads requests for samplers. Each thread that reads needs one of its own.
#[derive(Debug)]
pub struct Reader {
    policies: Arc<PolicySet>,
    priorities: PriorityClasses,
    hasher: Hasher,
    caches: Vec<MatchCache>,
    seen: Seen,
    found: Found,
    /// Places in the runs of a scope by hash, open addressing; as large as a power of two.
    table: Vec<u32>,
}

/// A request as it was read: what samplers take in.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    pub(crate) request: &'a [u8],
    pub(crate) found: &'a Found,
}

/// What was found in a request.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The scopes in order.
    pub(crate) groups: Vec<Group>,
    /// The runs of all scopes: within a scope in the order in which their first spans lie.
    pub(crate) runs: Vec<Run>,
    spans: Vec<Span>,
    /// What resources and scopes hold beside spans.
    headers: Vec<u8>,
    /// Spans whose trace id has not 16 bytes.
    pub(crate) invalid: u64,
}

/// A scope of a request.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Which resource and scope of the request it is.
    pub(crate) resource: u32,
    pub(crate) scope: u32,
    resource_header: Range<usize>,
    scope_header: Range<usize>,
    pub(crate) runs: Range<usize>,
}

/// The spans of one trace in one scope, and what they say together.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: [u8; 16],
    pub(crate) hash: u64,
    first: u32,
    last: u32,
    /// How many spans, their bytes, and their fields' bytes.
    pub(crate) spans: u32,
    pub(crate) bytes: u32,
    pub(crate) fields: u32,
    pub(crate) facts: Facts,
    /// The highest priority, and where the first one that is not in the order lies.
    pub(crate) rank: u8,
    odd_priority: Option<Place>,
    /// Where the name of the first span without a parent lies.
    root_name: Option<Place>,
}

/// Where something lies in the request.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    len: u32,
}

impl Place {
    fn of(part: &[u8], request: &[u8]) -> Self {
        // What is not there at all lies nowhere.
        if part.is_empty() {
            return Self { start: 0, len: 0 };
        }
        Self { start: (part.as_ptr() as usize - request.as_ptr() as usize) as u32, len: part.len() as u32 }
    }

    fn in_request(self, request: &[u8]) -> &[u8] {
        let start = self.start as usize;
        request.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// A span: where its field lies, how much of that is key and length, and the next span of its run.
#[derive(Clone, Copy, Debug)]
struct Span {
    field: Place,
    head: u16,
    /// Bytes that the collector's encoding has beyond this one.
    unwritten: u16,
    next: u32,
}

impl Reader {
    /// A reader for samplers with this configuration, these policies and this seed.
    #[must_use]
    pub fn new(config: &SamplerConfig, policies: Arc<PolicySet>, seed: u64) -> Self {
        Self {
            priorities: config.priority.clone(),
            hasher: Hasher::new(seed),
            caches: policies.predicates.caches(seed),
            seen: Seen::new(policies.predicates.keys.len()),
            policies,
            found: Found::default(),
            table: Vec::new(),
        }
    }

    /// Reads a request of less than 4 GiB that is valid (`forebay_otlp::traces::validate`); `index` is what validation has
    /// noted of it, if it was asked to.
    pub fn read<'a>(&'a mut self, request: &'a [u8], index: Option<&SpanIndex>) -> Reading<'a> {
        self.forget();
        match index {
            Some(index) => self.look_up(request, index),
            None => self.walk(request),
        }
        self.reading(request)
    }

    /// Forgets what was read. One huge request must not leave its memory to all that come after it.
    pub fn forget(&mut self) {
        self.found.clear();
        if self.table.len() > REUSED {
            self.table = Vec::new();
        }
    }

    /// The request that was read last, once more.
    #[must_use]
    pub fn reading<'a>(&'a self, request: &'a [u8]) -> Reading<'a> {
        Reading { request, found: &self.found }
    }

    fn walk(&mut self, request: &[u8]) {
        let (mut resource, mut scope) = (0, 0);
        for resource_spans in TracesView::new(request).resource_spans() {
            resource += 1;
            let mut resource_header = None;
            for scope_spans in resource_spans.scope_spans() {
                scope += 1;
                let resource_header = resource_header
                    .get_or_insert_with(|| self.found.header(|out| resource_spans.write_header(out)))
                    .clone();
                let mut headers = std::mem::take(&mut self.found.headers);
                let start = headers.len();
                let mut open = self.open_scope();
                scope_spans.read(&mut headers, |span, field| match walk::trace_id(span) {
                    Some(id) => {
                        let number = open.run(id);
                        let matched = open.runs.get_mut(number).map(|run| &mut run.facts.matched);
                        let Some(matched) = matched else { return };
                        let said = open.asking.walk(span, matched);
                        open.add(number, field, span.bytes().len(), said, request);
                    }
                    None => *open.invalid += 1,
                });
                let header = start..headers.len();
                self.found.headers = headers;
                self.found.close_scope(resource, scope, resource_header, header);
            }
        }
    }

    fn look_up(&mut self, request: &[u8], index: &SpanIndex) {
        let (mut resource, mut resource_header) = (0, 0..0);
        for (scope, indexed) in (1..).zip(index.scopes()) {
            if indexed.resource() != resource {
                resource = indexed.resource();
                resource_header = self.found.header(|out| indexed.write_resource_header(request, out));
            }
            let header = self.found.header(|out| indexed.write_header(request, out));
            let mut open = self.open_scope();
            for entry in indexed.spans() {
                let span = entry.view(request);
                let id = if entry.is_usual() { Some(entry.trace_id(request)) } else { walk::trace_id(span) };
                let Some(id) = id else {
                    *open.invalid += 1;
                    continue;
                };
                let number = open.run(id);
                let Some(run) = open.runs.get_mut(number) else { continue };
                let matched = &mut run.facts.matched;
                let said = if entry.is_usual() {
                    open.asking.noted(entry, request, matched)
                } else {
                    open.asking.walk(span, matched)
                };
                open.add(number, entry.field(request), span.bytes().len(), said, request);
            }
            self.found.close_scope(resource, scope, resource_header.clone(), header);
        }
    }

    fn open_scope(&mut self) -> OpenScope<'_> {
        if self.table.len() <= REUSED {
            self.table.fill(NONE);
        } else {
            self.table.clear();
        }
        let Self { policies, priorities, hasher, caches, seen, found, table } = self;
        let Found { runs, spans, invalid, .. } = found;
        let from = runs.len();
        let asking = Asking { policies, priorities, caches, seen };
        OpenScope { asking, from, runs, spans, invalid, table, hasher }
    }

    /// Bytes that what was found takes.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        let Found { groups, runs, spans, headers, .. } = &self.found;
        groups.capacity() * size_of::<Group>()
            + runs.capacity() * size_of::<Run>()
            + spans.capacity() * size_of::<Span>()
            + headers.capacity()
            + self.table.capacity() * size_of::<u32>()
    }
}

/// The scope that is being read.
struct OpenScope<'r> {
    asking: Asking<'r>,
    /// The first of its runs.
    from: usize,
    runs: &'r mut Vec<Run>,
    spans: &'r mut Vec<Span>,
    invalid: &'r mut u64,
    table: &'r mut Vec<u32>,
    hasher: &'r Hasher,
}

impl OpenScope<'_> {
    #[inline]
    fn run(&mut self, id: [u8; 16]) -> usize {
        find_run(self.runs, self.from, self.table, self.hasher, id)
    }

    /// Adds a span of `len` bytes to a run.
    #[inline]
    fn add(&mut self, run: usize, field: &[u8], len: usize, said: SpanFacts<'_>, request: &[u8]) {
        let Some(run) = self.runs.get_mut(run) else { return };
        run.facts.add_times(said.start, said.end);
        run.root_name = run.root_name.or_else(|| Some(Place::of(said.root_name?, request)));
        if let Some(value) = said.priority {
            match self.asking.priorities.rank(value) {
                Some(rank) => run.rank = run.rank.min(rank),
                None => run.odd_priority = run.odd_priority.or_else(|| Some(Place::of(value, request))),
            }
        }
        let at = self.spans.len() as u32;
        self.spans.push(Span {
            field: Place::of(field, request),
            head: (field.len() - len) as u16,
            unwritten: said.unwritten as u16,
            next: NONE,
        });
        match self.spans.get_mut(run.last as usize) {
            Some(before) => before.next = at,
            None => run.first = at,
        }
        run.last = at;
        run.spans += 1;
        run.bytes += len as u32;
        run.fields += field.len() as u32;
    }
}

/// The place of a trace's run among those of the scope, which begin at `from`; a new one is added.
#[inline]
fn find_run(runs: &mut Vec<Run>, from: usize, table: &mut Vec<u32>, hasher: &Hasher, id: [u8; 16]) -> usize {
    // Neighbours are often of one trace.
    if runs.len() > from && runs.last().is_some_and(|run| run.id == id) {
        return runs.len() - 1;
    }
    let hash = hasher.hash(&id);
    if table.len() < 2 * (runs.len() - from + 1) {
        grow(runs, from, table);
    }
    let mask = table.len() - 1;
    let mut place = hash as usize & mask;
    while let Some(&number) = table.get(place) {
        match runs.get(number as usize) {
            Some(run) if run.id == id => return number as usize,
            Some(_) => place = (place + 1) & mask,
            None => break,
        }
    }
    if let Some(slot) = table.get_mut(place) {
        *slot = runs.len() as u32;
    }
    runs.push(Run::new(id, hash));
    runs.len() - 1
}

#[inline(never)]
fn grow(runs: &[Run], from: usize, table: &mut Vec<u32>) {
    let size = (4 * (runs.len() - from + 1)).next_power_of_two().max(64);
    table.clear();
    table.resize(size, NONE);
    for (number, run) in runs.iter().enumerate().skip(from) {
        let mut place = run.hash as usize & (size - 1);
        while table[place] != NONE {
            place = (place + 1) & (size - 1);
        }
        table[place] = number as u32;
    }
}

impl Run {
    fn new(id: [u8; 16], hash: u64) -> Self {
        Self {
            id,
            hash,
            first: NONE,
            last: NONE,
            spans: 0,
            bytes: 0,
            fields: 0,
            facts: Facts::default(),
            rank: UNRANKED,
            odd_priority: None,
            root_name: None,
        }
    }
}

impl Found {
    /// What `write` appends to the headers.
    fn header(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.headers.len();
        write(&mut self.headers);
        start..self.headers.len()
    }

    /// All of a scope's spans are read.
    fn close_scope(
        &mut self,
        resource: u32,
        scope: u32,
        resource_header: Range<usize>,
        scope_header: Range<usize>,
    ) {
        let first = self.groups.last().map_or(0, |group| group.runs.end);
        // Of scopes without spans there may be more than would be good to remember.
        if first == self.runs.len() {
            self.headers.truncate(scope_header.start);
            return;
        }
        self.groups.push(Group {
            resource,
            scope,
            resource_header,
            scope_header,
            runs: first..self.runs.len(),
        });
    }

    fn clear(&mut self) {
        self.groups.clear();
        self.runs.clear();
        self.spans.clear();
        self.headers.clear();
        self.invalid = 0;
        self.groups.shrink_to(MOST_KEPT / 8);
        self.runs.shrink_to(MOST_KEPT / 8);
        self.spans.shrink_to(MOST_KEPT);
        self.headers.shrink_to(MOST_KEPT * 16);
    }
}

impl<'a> Reading<'a> {
    /// Whether it has spans of one of a shard's traces.
    #[must_use]
    pub fn concerns(&self, shard: Shard) -> bool {
        self.found.runs.iter().any(|run| shard.owns(run.hash))
    }

    pub(crate) fn runs(&self, group: &Group) -> &'a [Run] {
        self.found.runs.get(group.runs.clone()).unwrap_or_default()
    }

    /// All of the resource but its scopes.
    pub(crate) fn resource_header(&self, group: &Group) -> &'a [u8] {
        self.found.headers.get(group.resource_header.clone()).unwrap_or_default()
    }

    /// All of the scope but its spans.
    pub(crate) fn scope_header(&self, group: &Group) -> &'a [u8] {
        self.found.headers.get(group.scope_header.clone()).unwrap_or_default()
    }

    /// A run's spans in order, each as the field of its scope that it is.
    pub(crate) fn fields(&self, run: &Run) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let request = self.request;
        self.spans_of(run).map(move |span| span.field.in_request(request))
    }

    /// A run's spans in order, and what the collector's encoding of each has beyond it.
    pub(crate) fn spans(&self, run: &Run) -> impl Iterator<Item = (SpanView<'a>, u64)> + use<'a> {
        let request = self.request;
        self.spans_of(run).map(move |span| {
            let field = span.field.in_request(request);
            let body = field.get(usize::from(span.head)..).unwrap_or_default();
            (SpanView::new(body), u64::from(span.unwritten))
        })
    }

    fn spans_of(&self, run: &Run) -> impl Iterator<Item = Span> + Clone + use<'a> {
        let spans = &self.found.spans;
        let at = move |number: u32| spans.get(number as usize).copied();
        std::iter::successors(at(run.first), move |span| at(span.next))
    }

    /// The name of the run's first span without a parent.
    pub(crate) fn root_name(&self, run: &Run) -> Option<&'a [u8]> {
        run.root_name.map(|place| place.in_request(self.request))
    }

    /// The run's first priority that is not in the order.
    pub(crate) fn odd_priority(&self, run: &Run) -> Option<&'a [u8]> {
        run.odd_priority.map(|place| place.in_request(self.request))
    }
}
