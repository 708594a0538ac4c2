//! A report for people.

use crate::report::{
    Change, Counts, Diff, Example, PolicyReport, RecordingReport, Report, SideReport, Total,
};
use std::fmt::{self, Display, Formatter};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.recording)?;
        let how = match self.mode {
            "as_configured" => "on what had come when it was due, as the agent would have",
            _ => "on whole traces",
        };
        writeln!(f, "decided   {how}\n\n{}", self.new)?;
        if let Some(old) = &self.old {
            writeln!(f, "{old}")?;
        }
        self.diff.as_ref().map_or(Ok(()), |diff| write!(f, "{diff}"))
    }
}

impl Display for RecordingReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [records, spans] = [self.records, self.spans].map(count);
        let (size, files) = (size(self.bytes as f64), self.names.len());
        let plural = if files == 1 { "" } else { "s" };
        writeln!(f, "recorded  {spans} spans in {records} requests ({size}) from {files} file{plural}")?;
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            writeln!(f, "          {from} to {to} ({})", span_of(self.seconds))?;
        }
        if self.bad_records > 0 {
            writeln!(f, "          without {} that could not be read", count(self.bad_records))?;
        }
        if self.invalid_spans > 0 {
            writeln!(f, "          without {} spans whose trace id is wrong", count(self.invalid_spans))?;
        }
        Ok(())
    }
}

impl Display for SideReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.config, self.processor)?;
        let mut table =
            Table::new(&["", "traces", "%", "spans", "%", "bytes", "%", "traces/day", "matched", "alone"]);
        let row = |name: String, total: &Total, asked: [String; 2]| {
            let Total { counts, percent, per_day } = total;
            let [matched, alone] = asked;
            vec![
                name,
                count(counts.traces),
                share(percent.traces),
                count(counts.spans),
                share(percent.spans),
                size(counts.bytes as f64),
                share(percent.bytes),
                per_day.map_or_else(|| "-".to_owned(), |daily| short(daily.traces)),
                matched,
                alone,
            ]
        };
        let policy = |policy: &PolicyReport| {
            let drops = if policy.verdict == "dropped" { "-" } else { "+" };
            let alone = policy.alone_traces.map(count).unwrap_or_default();
            row(
                format!("  {drops} {}", policy.policy),
                &policy.decided,
                [count(policy.matched_traces), alone],
            )
        };
        table.rows.extend(self.policies.iter().map(policy));
        table.rows.extend(self.without_policy.iter().map(policy));
        table.rows.push(row("kept".to_owned(), &self.kept, Default::default()));
        table.rows.push(row("dropped".to_owned(), &self.dropped, Default::default()));
        write!(f, "{table}")?;
        if let Some(daily) = self.kept.per_day {
            writeln!(f, "kept a day: {} spans, {}", short(daily.spans), size(daily.bytes))?;
        }
        for policy in self.policies.iter().chain(&self.without_policy).filter(|row| !row.examples.is_empty())
        {
            writeln!(f, "{} {}, such as", policy.verdict, policy.policy)?;
            policy.examples.iter().try_for_each(|example| writeln!(f, "  {example}"))?;
        }
        Ok(())
    }
}

impl Display for Diff {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["what changes", "traces", "spans", "bytes"]);
        let mut row = |name: &str, counts: Counts| {
            let Counts { traces, spans, bytes } = counts;
            table.rows.push(vec![name.to_owned(), count(traces), count(spans), size(bytes as f64)]);
        };
        row("kept by both", self.kept_by_both);
        row("  by another policy than before", self.kept_by_another_policy);
        row("dropped by both", self.dropped_by_both);
        row("newly kept", self.newly_kept);
        row("newly dropped", self.newly_dropped);
        write!(f, "{table}")?;
        for (heading, changes) in
            [("newly kept", &self.newly_kept_by_policy), ("newly dropped", &self.newly_dropped_by_policy)]
        {
            for change in changes {
                let Change { kept_by, dropped_because, dropped_by, counts, examples } = change;
                let by = kept_by.as_deref().unwrap_or("-");
                let why = match dropped_by {
                    Some(policy) => format!("{dropped_because} {policy}"),
                    None => (*dropped_because).to_owned(),
                };
                let words = if heading == "newly kept" {
                    format!("by {by} (before: {why})")
                } else {
                    format!("that {by} kept (now: {why})")
                };
                let Counts { traces, spans, bytes } = *counts;
                let (traces, spans, bytes) = (count(traces), count(spans), size(bytes as f64));
                writeln!(f, "\n{heading} {words}: {traces} traces, {spans} spans, {bytes}")?;
                examples.iter().try_for_each(|example| writeln!(f, "  {example}"))?;
            }
        }
        Ok(())
    }
}

impl Display for Example {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let root = self.root.as_deref().unwrap_or("(no root span)");
        let service = self.service.as_deref().unwrap_or("-");
        let seconds = self.duration_ms / 1e3;
        write!(f, "{}  {root}  service {service}  {} spans  {seconds:.1} s", self.trace_id, self.spans)?;
        if let Some(priority) = &self.priority {
            write!(f, "  priority {priority}")?;
        }
        if let Some(evidence) = &self.evidence {
            write!(f, "  because {evidence}")?;
        }
        match &self.span_id {
            Some(span) => write!(f, " on span {span}"),
            None => Ok(()),
        }
    }
}

/// Columns as wide as what is in them; the first to the left, the others to the right.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let wide = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line += &if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// `1234567` as `1,234,567`.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn share(percent: f64) -> String {
    match percent {
        // What is there should not read as nothing.
        percent if percent > 0.0 && percent < 0.05 => "<0.1".to_owned(),
        percent => format!("{percent:.1}"),
    }
}

/// Three digits and a unit of thousands.
fn scaled(number: f64, units: [&str; 5]) -> String {
    let mut scale = 0;
    let mut number = number;
    while number >= 999.5 && scale < units.len() - 1 {
        number /= 1000.0;
        scale += 1;
    }
    let digits = if scale == 0 || number >= 99.95 { 0 } else { 1 };
    format!("{number:.digits$}{}", units[scale])
}

fn size(bytes: f64) -> String {
    scaled(bytes, [" B", " kB", " MB", " GB", " TB"])
}

fn short(number: f64) -> String {
    scaled(number, ["", "k", "M", "G", "T"])
}

fn span_of(seconds: f64) -> String {
    let whole = seconds as u64;
    let (hours, minutes) = (whole / 3600, whole / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds:.1} s"),
        (0, minutes) => format!("{minutes} min {} s", whole % 60),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
