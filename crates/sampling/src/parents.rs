//! Open parents: spans that others name as their parent and that have not come.

use foldhash::fast::FixedState;
use forebay_otlp::traces::SpanView;
use hashbrown::HashSet;

use crate::sampler::Sampler;
use crate::segments::RecordAt;

/// Traces with more spans than this are not searched: they are complete when they are quiet.
const MOST_SPANS: u32 = 65_536;

type SpanId = [u8; 8];

impl Sampler {
    /// The ids of the parents of a trace's spans that have not come, sorted; none when it has too many spans to tell.
    pub(crate) fn open_parents(&self, at: u32) -> Option<Vec<SpanId>> {
        let trace = self.traces.get(at).filter(|trace| trace.spans <= MOST_SPANS)?;
        let set = || HashSet::<SpanId, _>::with_hasher(FixedState::with_seed(self.seed));
        let (mut come, mut named) = (set(), set());
        let mut record = trace.last_record;
        while record != RecordAt::NONE {
            for span in crate::segments::spans(self.segments.spans(record)).map(SpanView::new) {
                come.extend(SpanId::try_from(span.span_id()).ok());
                let parent = SpanId::try_from(span.parent_span_id()).ok();
                named.extend(parent.filter(|parent| *parent != SpanId::default()));
            }
            record = self.segments.previous(record);
        }
        let mut open: Vec<SpanId> = named.difference(&come).copied().collect();
        open.sort_unstable();
        Some(open)
    }

    /// A span has come that a trace may have waited for; true when it was the last.
    pub(crate) fn close_parent(&mut self, at: u32, span: SpanView<'_>) -> bool {
        let Ok(id) = SpanId::try_from(span.span_id()) else { return false };
        let mut closed_last = false;
        self.traces.change_heap(at, |trace| {
            if let Some(extra) = &mut trace.extra
                && let Ok(found) = extra.open_parents.binary_search(&id)
            {
                extra.open_parents.remove(found);
                closed_last = extra.open_parents.is_empty();
            }
        });
        closed_last
    }
}
