//! Which of the known names is meant by one that is not known?

/// How much a name has to be like the one that was meant, where 1 is the same.
const LIKE: f64 = 0.5;

/// The name of `known` that is most like `name`; none if nothing is much like it.
#[must_use]
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let known = known.into_iter();
    let likeness = known.map(|known| (strsim::normalized_damerau_levenshtein(name, known), known));
    let nearest = likeness.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (nearest.0 >= LIKE).then_some(nearest.1)
}
