//! What policies say of a trace, and what they may come to say.

/// What a policy, or a part of one, says of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Yes = 1,
    No = 2,
    /// It could not be evaluated.
    Failed = 4,
}

/// What a condition says now, and all that it may come to say once more spans have come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outlook {
    pub(crate) now: Answer,
    /// A bit for each [`Answer`].
    pub(crate) may: u8,
}

impl Outlook {
    pub(crate) const TRUE_FOR_GOOD: Self = Self::new(true, true);
    pub(crate) const FALSE_NOW: Self = Self::new(false, false);

    pub(crate) const fn new(holds: bool, for_good: bool) -> Self {
        let now = if holds { Answer::Yes } else { Answer::No };
        Self { now, may: if for_good { now as u8 } else { Answer::Yes as u8 | Answer::No as u8 } }
    }

    pub(crate) fn inverted(self) -> Self {
        let now = match self.now {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            Answer::Failed => Answer::Failed,
        };
        let [yes, no, failed] =
            [Answer::Yes, Answer::No, Answer::Failed].map(|answer| self.may & answer as u8);
        Self { now, may: yes << 1 | no >> 1 | failed }
    }

    pub(crate) fn holds(self) -> bool {
        self.now == Answer::Yes
    }

    pub(crate) fn may_hold(self) -> bool {
        self.may & Answer::Yes as u8 != 0
    }

    pub(crate) fn holds_for_good(self) -> bool {
        self.may == Answer::Yes as u8
    }
}
