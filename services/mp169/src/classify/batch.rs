//! Which messages are asked about in one request?

use super::file::File;

/// The most messages of a request.
const MESSAGES: usize = 100;

/// The most octets of several messages together. One message may be larger, and goes alone: a request
/// takes more than the largest.
const OCTETS: usize = 4 << 20;

/// The files in their order, as many at a time as one request takes. A file is read when its turn
/// comes.
pub(super) fn batches(files: impl Iterator<Item = File>) -> impl Iterator<Item = Vec<File>> {
    let mut files = files.peekable();
    std::iter::from_fn(move || {
        let first = files.next()?;
        let mut octets = first.octets();
        let mut batch = vec![first];
        while batch.len() < MESSAGES {
            let Some(file) = files.next_if(|file| octets + file.octets() <= OCTETS) else {
                break;
            };
            octets += file.octets();
            batch.push(file);
        }
        Some(batch)
    })
}

#[cfg(test)]
mod tests {
    use mesh_api::classification::v1::message::Content;

    use super::*;

    /// The names of the files of each batch, of files with so many octets.
    fn cut(sizes: &[usize]) -> Vec<Vec<String>> {
        let files = sizes.iter().enumerate().map(|(at, &octets)| File {
            name: at.to_string(),
            content: Ok(Content::DuisXml(vec![b'<'; octets].into())),
        });
        let names = |batch: Vec<File>| batch.into_iter().map(|file| file.name).collect();
        batches(files).map(names).collect()
    }

    #[test]
    fn batches_are_cut_by_octets() {
        // A request has a few octets beside each message.
        const MIB: usize = (1 << 20) - 64;
        assert_eq!(cut(&[]), Vec::<Vec<String>>::new());
        assert_eq!(cut(&[MIB; 5]), [vec!["0", "1", "2", "3"], vec!["4"]]);
        let large = cut(&[1, 16 * MIB, 1, 4 * MIB, 300]);
        assert_eq!(large, [vec!["0"], vec!["1"], vec!["2", "3"], vec!["4"]]);
    }

    #[test]
    fn batches_are_cut_by_count() {
        let lengths: Vec<usize> = cut(&[1; 250]).iter().map(Vec::len).collect();
        assert_eq!(lengths, [100, 100, 50]);
    }
}
