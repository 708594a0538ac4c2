//! The nearest known name.

/// The name among `known` that `word` was probably meant to be; `None` when nothing is near enough to say so.
/// Case and `-` against `_` count for nothing.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = normal(word);
    let limit = (word.chars().count() / 3).clamp(1, 4);
    known
        .map(|name| (strsim::osa_distance(&word, &normal(name)), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Help for an unknown `word`: the nearest of `known`, and all of them.
pub(crate) fn help<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    let all: Vec<String> = known.clone().map(|name| format!("`{name}`")).collect();
    if all.is_empty() {
        return None;
    }
    let all = all.join(", ");
    Some(match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`? (known: {all})"),
        None => format!("known: {all}"),
    })
}

fn normal(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}
