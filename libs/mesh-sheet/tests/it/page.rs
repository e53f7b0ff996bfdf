//! What does a parser of HTML read in a page?

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// Elements of HTML that have no end.
const VOID: [&str; 3] = ["meta", "br", "hr"];

/// What was read of a page.
#[derive(Default)]
pub(crate) struct Page {
    open: Vec<String>,
    /// What is wrong with it.
    pub(crate) faults: Vec<String>,
    /// The names of all its elements.
    pub(crate) elements: Vec<String>,
    /// Names and values of all attributes.
    pub(crate) attributes: Vec<(String, String)>,
    /// The bodies of its tables: rows of cells.
    pub(crate) tables: Vec<Vec<Vec<String>>>,
    /// All its text, but for the style.
    pub(crate) text: String,
}

impl Page {
    fn tag(&mut self, tag: &Tag) {
        let name = tag.name.to_string();
        if tag.kind == TagKind::EndTag {
            let open = self.open.pop();
            if open.as_ref() != Some(&name) {
                self.faults.push(format!("{open:?} ends with {name}"));
            }
            return;
        }
        for attribute in &tag.attrs {
            let name = attribute.name.local.to_string();
            self.attributes.push((name, attribute.value.to_string()));
        }
        match name.as_str() {
            "tbody" => self.tables.push(Vec::new()),
            "tr" if self.is_in("tbody") => self.table().push(Vec::new()),
            "th" | "td" if self.is_in("tbody") => self.row().push(String::new()),
            _ => {}
        }
        self.elements.push(name.clone());
        if !VOID.contains(&name.as_str()) {
            self.open.push(name);
        }
    }

    fn table(&mut self) -> &mut Vec<Vec<String>> {
        self.tables.last_mut().expect("a tbody is open")
    }

    fn row(&mut self) -> &mut Vec<String> {
        self.table().last_mut().expect("a tr is open")
    }

    fn cell(&mut self) -> &mut String {
        self.row().last_mut().expect("a th or td is open")
    }

    fn is_in(&self, name: &str) -> bool {
        self.open.iter().any(|open| open == name)
    }

    fn text(&mut self, text: &str) {
        if self.is_in("style") {
            return;
        }
        self.text.push_str(text);
        if self.is_in("tbody") && (self.is_in("th") || self.is_in("td")) {
            self.cell().push_str(text);
        }
    }
}

struct Reader(RefCell<Page>);

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut page = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) => page.tag(&tag),
            Token::CharacterTokens(text) => page.text(&text),
            Token::ParseError(fault) => page.faults.push(fault.into_owned()),
            Token::NullCharacterToken => page.faults.push("a null character".to_owned()),
            Token::CommentToken(comment) => page.faults.push(format!("a comment: {comment}")),
            Token::DoctypeToken(_) | Token::EOFToken => {}
        }
        TokenSinkResult::Continue
    }
}

pub(crate) fn read(html: &str) -> Page {
    let tokenizer = Tokenizer::new(
        Reader(RefCell::default()),
        TokenizerOpts {
            exact_errors: true,
            ..TokenizerOpts::default()
        },
    );
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    let mut page = tokenizer.sink.0.into_inner();
    let open = std::mem::take(&mut page.open);
    page.faults
        .extend(open.into_iter().map(|name| format!("{name} has no end")));
    page
}

#[test]
fn a_reader_of_pages_finds_faults() {
    for fault in [
        "<p>",
        "<p></b></p>",
        "</p>",
        "<a b=c d=\"\"e></a>",
        "<p title=\"a\" title=\"b\"></p>",
        "<p>&bogus;</p>",
    ] {
        assert!(!read(fault).faults.is_empty(), "{fault}");
    }
    let page = read("<p title=\"&lt;\">a<br></p><table><tbody><tr><td>1</td></tr></tbody></table>");
    assert!(page.faults.is_empty(), "{:?}", page.faults);
    assert_eq!(page.tables, [[["1"]]]);
}
