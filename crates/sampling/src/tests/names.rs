//! Names of root spans against a plain list of who holds which.

use proptest::prelude::*;

use crate::names::{Names, UNNAMED};

proptest! {
    #[test]
    fn names_are_there_for_as_long_as_somebody_has_them(
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0..6_usize), 0..200),
    ) {
        let texts = ["", "task", "plan", "é", "task.plan", "a name of more bytes than the others have"];
        let mut names = Names::new(7);
        let mut held: Vec<(u32, &str)> = Vec::new();
        for (which, releases, text) in steps {
            if releases && !held.is_empty() {
                names.release(held.swap_remove(which.index(held.len())).0);
            } else {
                held.push((names.hold(texts[text]), texts[text]));
            }
            for (at, text) in &held {
                prop_assert_eq!(names.get(*at).map(|name| &**name), Some(*text));
                prop_assert!(held.iter().all(|(other, theirs)| (other == at) == (theirs == text)));
            }
            prop_assert_eq!(names.memory() == 0, held.is_empty());
        }
        names.release(UNNAMED);
        prop_assert!(names.get(UNNAMED).is_none());
        held.into_iter().for_each(|(at, _)| names.release(at));
        prop_assert_eq!(names.memory(), 0);
    }
}
