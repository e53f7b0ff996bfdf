//! The short way of reading and the long one agree; a comment in the body forces the long one.

use super::*;

fn long_way(document: &str) -> Result<Message, ReadError> {
    read_text(&with(document, "</sr:Body>", "<!-- --></sr:Body>"))
}

#[test]
fn on_documents_that_hide_a_second_body() {
    let plain = request("4.8.1");
    let second = "<sr:Body><sr:ReadSupplyStatus/></sr:Body>";
    let names = format!("<o:Body xmlns:o=\"{}\"/>", xml::DUIS);
    for insert in [
        second,
        &names,
        "<sr:Body />",
        "<sr:Header/>",
        "<sr:Body\n/>",
    ] {
        for place in ["</sr:Request>", "<ds:Signature>"] {
            let document = with(&plain, place, &format!("{insert}{place}"));
            assert_eq!(reason(&document), "FIELD_DUPLICATED", "{insert}");
            assert_eq!(long_way(&document), read_text(&document));
        }
    }
    for insert in [
        "<o:Body xmlns:o=\"urn:other\"/>",
        "<!-- <sr:Body> -->",
        "<Body/>",
    ] {
        let document = with(&plain, "</sr:Request>", &format!("{insert}</sr:Request>"));
        assert_eq!(read_text(&document), read_text(&plain), "{insert}");
        assert_eq!(long_way(&document), read_text(&plain), "{insert}");
    }
}

proptest! {
    #[test]
    fn on_documents_with_pieces_put_in(
        piece in proptest::sample::select(vec![
            "<sr:Body>", "</sr:Body>", "<sr:Body/>", "<sr:Header/>", "<x/>", "<!-- x -->",
            "</sr:ReadActiveImportProfileData>", "<sr:ReadActiveImportProfileData>", "<?x y?>",
            "<sr:ReadActiveImportProfileData/>", "<sr:ExecutionDateTime/>", "&amp;", "&x;", "Body",
            "</sr:Request>", "<sr:Request>", "<![CDATA[</sr:Body>]]>", "<!DOCTYPE x>", "\n",
        ]),
        at in any::<proptest::sample::Index>(),
    ) {
        let plain = request("4.8.1");
        let places: Vec<usize> = plain.match_indices('<').map(|(at, _)| at).collect();
        let mut document = plain;
        document.insert_str(places[at.index(places.len())], piece);
        // What the long way takes, the short way takes too, and says the same of it.
        if let (Ok(long), true) = (long_way(&document), document.contains("</sr:Body>")) {
            prop_assert_eq!(read_text(&document), Ok(long));
        }
    }
}
