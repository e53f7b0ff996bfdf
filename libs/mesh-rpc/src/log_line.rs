//! An event of the log takes one line, and all of it can be seen, whatever a peer or an old record
//! put into its fields.

use std::io::{self, Write};

use mesh_types::text::shown;

/// Writes each event, which comes in one piece, as one line.
pub(crate) struct LogLine<W> {
    to: W,
    /// Whether the events are coloured: then escape characters are ours, because
    /// `tracing_subscriber` writes those in fields as text.
    coloured: bool,
}

impl<W: Write> LogLine<W> {
    pub(crate) const fn new(to: W, coloured: bool) -> Self {
        Self { to, coloured }
    }
}

impl<W: Write> Write for LogLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = if self.coloured {
            let parts = text.split('\u{1B}').map(|part| shown(part).to_string());
            parts.collect::<Vec<_>>().join("\u{1B}")
        } else {
            shown(text).to_string()
        };
        self.to.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const HOSTILE: &str = "Evil\u{1B}[2J\r\nWARN forged\u{9B}\u{202E}\u{200B}";

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = LogLine<Self>;

        fn make_writer(&'a self) -> Self::Writer {
            LogLine::new(self.clone(), false)
        }
    }

    fn logged(json: bool) -> String {
        let log = Log::default();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false);
        let lines = lines.with_writer(log.clone());
        let event = || {
            tracing::warn!(shown = %HOSTILE, debugged = ?HOSTILE, text = HOSTILE, "{HOSTILE}");
        };
        if json {
            let lines = tracing_subscriber::registry().with(lines.json());
            tracing::subscriber::with_default(lines, event);
        } else {
            let lines = tracing_subscriber::registry().with(lines);
            tracing::subscriber::with_default(lines, event);
        }
        let octets = log.0.lock().unwrap().clone();
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn an_event_is_one_line_that_can_be_seen() {
        for json in [false, true] {
            let line = logged(json);
            let line = line.strip_suffix('\n').unwrap();
            let hidden = line.chars().find(|&c| !mesh_types::text::is_visible(c));
            assert_eq!(hidden, None, "{}", shown(line));
            assert!(line.contains(r"\u202e"), "{line}");
        }
        let line: serde_json::Value = serde_json::from_str(&logged(true)).unwrap();
        assert_eq!(line["fields"]["text"], HOSTILE, "JSON means what it meant");
    }

    #[test]
    fn colours_are_left_alone() {
        let mut log = LogLine::new(Vec::new(), true);
        log.write_all("\u{1B}[2mWARN\u{1B}[0m a\u{202E}b\n".as_bytes())
            .unwrap();
        let line = String::from_utf8(log.to).unwrap();
        assert_eq!(line, "\u{1B}[2mWARN\u{1B}[0m a\\u202eb\n");
    }
}
