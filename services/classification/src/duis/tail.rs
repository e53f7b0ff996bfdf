//! Is the rest of a request plainly of the expected shape, so that it need not be walked?
//!
//! Once the header and the name of the body's element are read, the verdict is known, unless the
//! document goes on to hold a second body or a second element in it. Walking the rest (a body, then a
//! signature of about thirty elements) costs more than all that was read before. A few searches for
//! fixed strings settle it for what real senders write. They err on one side only: what they are not
//! sure of is walked. What they do not look at is whether tags match in the part that nobody reads.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr_iter};

/// More tags than a body and a signature have, and fewer than it takes to nest too deep.
const MAX_TAGS: usize = 56;

/// What the body's element may not hold: a comment, a CDATA section or an instruction could hide a tag
/// from the search, and a time of execution matters.
static NOT_INSIDE: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["<!", "<?", "ExecutionDateTime"].map(Finder::new));
/// What may not follow the body.
static NOT_AFTER: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["Body", "Header", "<!D"].map(Finder::new));

/// The names of the open elements as they stand in the document, prefixes included.
pub(super) struct Open<'a> {
    /// The root element.
    pub(super) root: &'a str,
    /// The body.
    pub(super) body: &'a str,
    /// The one element in the body.
    pub(super) element: &'a str,
}

/// Whether `rest`, which follows the start tag of the body's element, closes that element, the body
/// and the root exactly once each, and holds neither a second header or body nor a time of execution.
pub(super) fn is_plain(rest: &str, open: &Open<'_>) -> bool {
    let Some(after_element) = after_only(rest, open.element) else {
        return false;
    };
    let (inside, _) = rest.split_at(rest.len() - after_element.len());
    let Some(after_body) = close_tag(after_element.trim_start(), open.body) else {
        return false;
    };
    let Some(after_root) = after_only(after_body, open.root) else {
        return false;
    };
    after_root.trim().is_empty()
        && holds_none(inside, &*NOT_INSIDE)
        && holds_none(after_body, &*NOT_AFTER)
        && memchr(b'&', rest.as_bytes()).is_none()
        && memchr_iter(b'<', rest.as_bytes())
            .take(MAX_TAGS + 1)
            .count()
            <= MAX_TAGS
}

fn holds_none(text: &str, words: &[Finder<'_>]) -> bool {
    let mut words = words.iter();
    words.all(|word| word.find(text.as_bytes()).is_none())
}

/// What follows the close tag of `name`, if nothing else in `text` names it.
fn after_only<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut places = memmem::find_iter(text.as_bytes(), name.as_bytes());
    let (Some(at), None) = (places.next(), places.next()) else {
        return None;
    };
    close_tag(text.get(at.checked_sub(2)?..)?, name)
}

/// What follows the close tag of `name`, if `text` starts with it.
fn close_tag<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.strip_prefix("</")?
        .strip_prefix(name)?
        .trim_start()
        .strip_prefix('>')
}
