//! XML as far as DUIS needs it: elements, their namespace and short texts, within bounds.
//!
//! Neither a stack of calls nor an entity of the document's own: nesting is counted, a document type
//! declaration ends the reading, and of references only those that XML itself defines are resolved.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::error::ReadError;

/// Elements of DUIS requests and responses are in this namespace.
pub(super) const DUIS: &str = "http://www.dccinterface.co.uk/ServiceUserGateway";

/// DUIS nests about ten levels deep.
const MAX_DEPTH: usize = 32;
/// The longest tag, with its attributes.
const MAX_TAG: usize = 4096;
/// The most octets of tags, references, comments and the like together. Only texts can be as long as
/// a document: a firmware image and a list of Devices. They are stepped over by a search, and markup
/// is what costs.
const MAX_MARKUP: usize = 2 * 1024 * 1024;
/// The most prefixes that are bound at a time: each tag is looked up among them.
const MAX_SCOPES: usize = 64;
/// The most characters of a text that is read as a code or an identifier.
pub(super) const MAX_CODE: usize = 256;

/// What every attribute begins with that binds a namespace.
static XMLNS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("xmlns"));

/// A position in a document.
pub(super) struct Cursor<'a> {
    input: &'a str,
    reader: Reader<&'a [u8]>,
    depth: usize,
    markup: u64,
    scopes: Vec<Scope>,
}

/// What a prefix stands for within an element and the elements inside it.
struct Scope {
    depth: usize,
    prefix: Box<str>,
    is_duis: bool,
}

/// A start tag.
pub(super) struct Tag<'a> {
    start: BytesStart<'a>,
    is_duis: bool,
}

/// One step through everything in an element.
pub(super) enum Step<'a> {
    Enter(Tag<'a>),
    Leave,
}

impl Tag<'_> {
    /// Whether this is the DUIS element `name`.
    pub(super) fn is(&self, name: &str) -> bool {
        self.is_duis && self.name() == name
    }

    /// Whether it is an element of DUIS at all.
    pub(super) const fn is_duis(&self) -> bool {
        self.is_duis
    }

    /// The name without its prefix.
    pub(super) fn name(&self) -> &str {
        self.start.local_name().into_inner()
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &'a str) -> Self {
        let mut reader = Reader::from_str(input);
        reader.config_mut().expand_empty_elements = true;
        Self {
            input,
            reader,
            depth: 0,
            markup: 0,
            scopes: Vec::new(),
        }
    }

    /// How many elements are open.
    pub(super) const fn depth(&self) -> usize {
        self.depth
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a str {
        usize::try_from(self.reader.buffer_position())
            .ok()
            .and_then(|at| self.input.get(at..))
            .unwrap_or_default()
    }

    /// The name of the start tag that was read last, as it stands in the document; `None` if the tag
    /// closes itself.
    pub(super) fn written_name(&self, tag: &Tag<'_>) -> Option<&'a str> {
        let end = usize::try_from(self.reader.buffer_position()).ok()?;
        let from = end.checked_sub(tag.start.len() + 1)?;
        let name = tag.start.name().into_inner();
        self.input
            .get(from..)?
            .get(..name.len())
            .filter(|written| *written == name)
    }

    /// The next element inside the one that is open, which must hold elements only; `None` at its end.
    pub(super) fn child(&mut self) -> Result<Option<Tag<'a>>, ReadError> {
        loop {
            match self.event()? {
                Event::Start(start) => return self.enter(start).map(Some),
                Event::End(_) => {
                    self.leave();
                    return Ok(None);
                }
                Event::Text(text) if is_blank(&text) => {}
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => return Err(ReadError::Xml),
                _ => return Err(ReadError::UnexpectedText),
            }
        }
    }

    /// The next start or end of any element, whatever text stands before it.
    pub(super) fn step(&mut self) -> Result<Step<'a>, ReadError> {
        loop {
            match self.event()? {
                Event::Start(start) => return self.enter(start).map(Step::Enter),
                Event::End(_) => {
                    self.leave();
                    return Ok(Step::Leave);
                }
                Event::GeneralRef(reference) => {
                    resolve(&reference)?;
                }
                Event::Eof => return Err(ReadError::Xml),
                _ => {}
            }
        }
    }

    /// The text of the open element, without white space around it, up to `limit` octets; closes the
    /// element.
    pub(super) fn text(&mut self, limit: usize) -> Result<Cow<'a, str>, ReadError> {
        let mut text: Cow<'a, str> = Cow::Borrowed("");
        loop {
            let piece = match self.event()? {
                Event::End(_) => break,
                Event::Text(piece) => piece.into_inner(),
                Event::CData(piece) => piece.into_inner(),
                Event::GeneralRef(reference) => Cow::Owned(resolve(&reference)?.to_string()),
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Start(_) => return Err(ReadError::UnexpectedElement { near: "a text" }),
                _ => return Err(ReadError::Xml),
            };
            if text.len() + piece.len() > limit {
                return Err(ReadError::TooLong);
            }
            append(&mut text, piece);
        }
        self.leave();
        Ok(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(is_space)),
            Cow::Owned(text) => Cow::Owned(text.trim_matches(is_space).to_owned()),
        })
    }

    /// Steps over the text of the open element, which must hold nothing else, and closes the element;
    /// gives how many characters the text has beside white space.
    pub(super) fn pass_text(&mut self) -> Result<usize, ReadError> {
        let mut characters = 0;
        loop {
            match self.event()? {
                Event::End(_) => break,
                Event::Text(piece) => characters += visible(&piece),
                Event::CData(piece) => characters += visible(&piece),
                Event::Comment(_) | Event::PI(_) => {}
                Event::GeneralRef(reference) => {
                    characters += usize::from(!is_space(resolve(&reference)?));
                }
                Event::Start(_) => return Err(ReadError::UnexpectedElement { near: "a text" }),
                _ => return Err(ReadError::Xml),
            }
        }
        self.leave();
        Ok(characters)
    }

    /// The texts of the open element and of the elements `child` in it, separated by spaces; closes
    /// the element.
    pub(super) fn words(&mut self, child: &str) -> Result<Cow<'a, str>, ReadError> {
        let outside = self.depth.saturating_sub(1);
        let mut words: Cow<'a, str> = Cow::Borrowed("");
        loop {
            let piece = match self.event()? {
                Event::Start(start) => {
                    if !self.enter(start)?.is(child) {
                        return Err(ReadError::UnexpectedElement { near: "a list" });
                    }
                    Cow::Borrowed(" ")
                }
                Event::End(_) => {
                    self.leave();
                    if self.depth == outside {
                        return Ok(words);
                    }
                    Cow::Borrowed(" ")
                }
                Event::Text(piece) => piece.into_inner(),
                Event::CData(piece) => piece.into_inner(),
                Event::GeneralRef(reference) => Cow::Owned(resolve(&reference)?.to_string()),
                Event::Comment(_) | Event::PI(_) => continue,
                _ => return Err(ReadError::Xml),
            };
            append(&mut words, piece);
        }
    }

    /// A text that is read as a code or an identifier.
    pub(super) fn code(&mut self) -> Result<Cow<'a, str>, ReadError> {
        self.text(MAX_CODE)
    }

    /// Steps over the rest of the open element and closes it.
    pub(super) fn skip(&mut self) -> Result<(), ReadError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.step()?;
        }
        Ok(())
    }

    /// The document's root element.
    pub(super) fn root(&mut self) -> Result<Tag<'a>, ReadError> {
        loop {
            match self.event()? {
                Event::Start(start) => return self.enter(start),
                Event::Decl(declaration) => match declaration.encoding() {
                    None => {}
                    Some(Ok(name)) if is_utf8(&name) => {}
                    Some(_) => return Err(ReadError::Encoding),
                },
                Event::Text(text) if is_blank(&text) => {}
                Event::Comment(_) | Event::PI(_) => {}
                _ => return Err(ReadError::Xml),
            }
        }
    }

    /// Checks that nothing follows the root element.
    pub(super) fn end(&mut self) -> Result<(), ReadError> {
        loop {
            match self.event()? {
                Event::Eof => return Ok(()),
                Event::Text(text) if is_blank(&text) => {}
                Event::Comment(_) | Event::PI(_) => {}
                _ => return Err(ReadError::Trailing),
            }
        }
    }

    fn event(&mut self) -> Result<Event<'a>, ReadError> {
        let from = self.reader.buffer_position();
        let event = self.reader.read_event().map_err(|_| ReadError::Xml)?;
        match event {
            Event::DocType(_) => return Err(ReadError::Doctype),
            // A declaration is only one at the very start.
            Event::Decl(_) if self.depth > 0 => return Err(ReadError::Xml),
            Event::Text(_) => {}
            Event::CData(_) => self.markup += "<![CDATA[]]>".len() as u64,
            _ => self.markup += self.reader.buffer_position() - from,
        }
        if self.markup > MAX_MARKUP as u64 {
            return Err(ReadError::TooMuchMarkup { limit: MAX_MARKUP });
        }
        Ok(event)
    }

    fn enter(&mut self, start: BytesStart<'a>) -> Result<Tag<'a>, ReadError> {
        if self.depth == MAX_DEPTH {
            return Err(ReadError::TooDeep { limit: MAX_DEPTH });
        }
        if start.len() > MAX_TAG {
            return Err(ReadError::TooLong);
        }
        self.depth += 1;
        if XMLNS.find(start.attributes_raw().as_bytes()).is_some() {
            self.declare(&start)?;
        }
        let prefix = start.name().prefix();
        let prefix = prefix.as_ref().map_or("", |prefix| prefix.as_ref());
        let scope = self
            .scopes
            .iter()
            .rev()
            .find(|scope| &*scope.prefix == prefix);
        let is_duis = scope.is_some_and(|scope| scope.is_duis);
        Ok(Tag { start, is_duis })
    }

    /// Notes the prefixes that the tag binds, to DUIS or away from it.
    fn declare(&mut self, start: &BytesStart<'_>) -> Result<(), ReadError> {
        // The reader's own check compares each attribute with all before it.
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|_| ReadError::Xml)?;
            let name = attribute.key.into_inner();
            let Some(prefix) = name
                .strip_prefix("xmlns:")
                .or((name == "xmlns").then_some(""))
            else {
                continue;
            };
            let here = self.scopes.iter().rev();
            let mut here = here.take_while(|scope| scope.depth == self.depth);
            if here.any(|scope| &*scope.prefix == prefix) {
                return Err(ReadError::Xml);
            }
            if self.scopes.len() == MAX_SCOPES {
                return Err(ReadError::TooLong);
            }
            let namespace = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| ReadError::Entity)?;
            self.scopes.push(Scope {
                depth: self.depth,
                prefix: prefix.into(),
                is_duis: namespace == DUIS,
            });
        }
        Ok(())
    }

    fn leave(&mut self) {
        while self
            .scopes
            .last()
            .is_some_and(|scope| scope.depth == self.depth)
        {
            self.scopes.pop();
        }
        self.depth = self.depth.saturating_sub(1);
    }
}

/// How many octets are no white space. In pieces that a counter of one octet is enough for, and the
/// compiler counts many at a time.
fn visible(text: &str) -> usize {
    let pieces = text.as_bytes().chunks(255);
    let counts = pieces.map(|piece| {
        piece
            .iter()
            .map(|&octet| u8::from(octet > b' '))
            .sum::<u8>()
    });
    counts.map(usize::from).sum()
}

/// Adds a piece to a text, which is borrowed while it has only one.
fn append<'a>(text: &mut Cow<'a, str>, piece: Cow<'a, str>) {
    if text.is_empty() {
        *text = piece;
    } else {
        text.to_mut().push_str(&piece);
    }
}

/// The character that a reference stands for, if XML itself says so.
fn resolve(reference: &BytesRef<'_>) -> Result<char, ReadError> {
    if reference.is_char_ref() {
        let resolved = reference.resolve_char_ref().map_err(|_| ReadError::Xml)?;
        return resolved.ok_or(ReadError::Xml);
    }
    match &**reference {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err(ReadError::Entity),
    }
}

const fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(is_space)
}

fn is_utf8(name: &str) -> bool {
    ["UTF-8", "UTF8", "US-ASCII"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}
