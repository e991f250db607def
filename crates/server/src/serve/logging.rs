//! The log: structured lines to stderr, written by a thread of their own.
//!
//! A reader of stderr that stands still must not stop traffic, so lines wait in a bounded buffer; when it is full,
//! lines are dropped, counted, and the number is told as soon as there is room again. The thread is woken by the first
//! line that waits and lets others gather for some milliseconds: waking it for each would cost more than the lines.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};

/// Keeps the log's thread; dropping it writes what still waits.
pub(crate) struct LogGuard {
    lines: Arc<Lines>,
    thread: Option<JoinHandle<()>>,
}

/// Sets up logging for the whole process.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start(log: &Log) -> io::Result<LogGuard> {
    let lines = Arc::new(Lines::default());
    let writer = LogWriter(Arc::clone(&lines));
    let written = Arc::clone(&lines);
    let thread = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || written.write_to(io::stderr()))?;
    // What the storage engine notices is told by the broker, once and in its own words.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{},fjall=off,lsm_tree=off", log.level)))
        .with_ansi(false)
        .with_target(false)
        .with_writer(writer);
    // Only tests could have set one before, and then theirs is the one to keep.
    let is_set = match log.format {
        LogFormat::Text => builder.try_init().is_ok(),
        LogFormat::Json => builder.json().flatten_event(true).try_init().is_ok(),
    };
    debug_assert!(is_set, "logging is set up once");
    Ok(LogGuard { lines, thread: Some(thread) })
}

impl LogGuard {
    /// Waits until what was logged is written, but not for a reader of stderr that stands still.
    pub(crate) async fn settle(&self) {
        for _ in 0..SETTLE_LOOKS {
            if self.lines.is_written() {
                return;
            }
            tokio::time::sleep(END_LOOK).await;
        }
    }
}

impl Drop for LogGuard {
    /// Waits for the last lines, but not for a reader of stderr that stands still.
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // The subscriber lives for ever and keeps the lines with it, so the end has to be told.
        self.lines.end();
        for _ in 0..END_LOOKS {
            if thread.is_finished() {
                return;
            }
            std::thread::sleep(END_LOOK);
        }
    }
}

/// What waits to be written.
#[derive(Default)]
struct Lines {
    waiting: Mutex<Waiting>,
    /// Something waits that did not before, or it is the end.
    news: Condvar,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    dropped: u64,
    /// Taken from here, and on its way to stderr.
    is_being_written: bool,
    is_ended: bool,
}

impl Lines {
    fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.text.len().saturating_add(line.len()) > WAITING_BYTES_MAX {
            waiting.dropped = waiting.dropped.saturating_add(1);
            return;
        }
        let is_first = waiting.text.is_empty();
        waiting.text.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.news.notify_one();
        }
    }

    fn is_written(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.text.is_empty() && !waiting.is_being_written
    }

    fn end(&self) {
        self.waiting.lock().is_ended = true;
        self.news.notify_one();
    }

    /// Writes what comes until the end.
    fn write_to(&self, mut out: impl Write) {
        let (mut text, mut is_ended) = (Vec::new(), false);
        while !is_ended {
            let mut waiting = self.waiting.lock();
            while waiting.text.is_empty() && !waiting.is_ended {
                self.news.wait(&mut waiting);
            }
            if !waiting.is_ended {
                // Woken before the time is over by the end alone.
                self.news.wait_for(&mut waiting, GATHER);
            }
            std::mem::swap(&mut waiting.text, &mut text);
            let dropped = std::mem::take(&mut waiting.dropped);
            is_ended = waiting.is_ended;
            waiting.is_being_written = true;
            drop(waiting);
            // Nobody is left to be told when stderr itself is gone.
            drop(out.write_all(&text));
            if dropped > 0 {
                drop(writeln!(out, "{dropped} log lines were dropped: stderr is read too slowly"));
            }
            self.waiting.lock().is_being_written = false;
            text.clear();
            text.shrink_to(KEPT_BYTES);
        }
    }
}

#[derive(Clone)]
struct LogWriter(Arc<Lines>);

impl Write for LogWriter {
    /// The formatter hands over one whole line a call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        self.clone()
    }
}

const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Room for lines that is kept when there are none.
const KEPT_BYTES: usize = 64 * 1024;
/// How long the first line waits for others.
const GATHER: Duration = Duration::from_millis(5);
/// A fifth of a second in all.
const SETTLE_LOOKS: usize = 100;
/// A second in all.
const END_LOOKS: usize = 500;
const END_LOOK: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log shows for a line with this text from a peer in it.
    fn logged(format: LogFormat, text: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let builder =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        let log = || tracing::warn!(user = text, "login refused");
        match format {
            LogFormat::Text => tracing::subscriber::with_default(builder.finish(), log),
            LogFormat::Json => tracing::subscriber::with_default(builder.json().finish(), log),
        }
        written.text()
    }

    #[test]
    fn what_was_logged_counts_as_written_only_when_it_is() {
        let lines = Arc::new(Lines::default());
        assert!(lines.is_written());
        lines.push(b"line\n");
        assert!(!lines.is_written());
        let written = Written::default();
        let (writing, out) = (Arc::clone(&lines), written.clone());
        let held = written.0.lock();
        let thread = std::thread::spawn(move || writing.write_to(out));
        while !lines.waiting.lock().is_being_written {
            std::thread::yield_now();
        }
        assert!(!lines.is_written(), "taken over, and not written yet");
        drop(held);
        while !lines.is_written() {
            std::thread::yield_now();
        }
        assert_eq!(written.text(), "line\n");
        lines.end();
        thread.join().unwrap();
    }

    #[test]
    fn lines_are_written_in_order_to_the_last_and_what_is_too_much_is_counted() {
        let lines = Arc::new(Lines::default());
        let (written, line) = (Written::default(), [b'x'; 1023]);
        for number in 0..5_000 {
            lines.push(format!("{number} {}\n", line.escape_ascii()).as_bytes());
        }
        let (theirs, out) = (Arc::clone(&lines), written.clone());
        let thread = std::thread::spawn(move || theirs.write_to(out));
        while !lines.waiting.lock().text.is_empty() {
            std::thread::yield_now();
        }
        lines.push(b"after\n");
        lines.end();
        thread.join().unwrap();
        let text = written.text();
        let numbers = text.lines().map_while(|it| it.split_once(' ')?.0.parse::<usize>().ok());
        let kept = numbers.enumerate().take_while(|(place, number)| place == number).count();
        assert!(kept > 4_000, "{kept} lines");
        let rest: Vec<_> = text.lines().skip(kept).collect();
        let lost = 5_000 - kept;
        let told = format!("{lost} log lines were dropped: stderr is read too slowly");
        assert_eq!(rest, [told.as_str(), "after"]);
    }

    #[test]
    fn text_of_a_peer_cannot_break_or_forge_a_log_line() {
        let check = |text: &str, shown: &str| {
            let line = logged(LogFormat::Text, text);
            assert!(line.ends_with(&format!("user={shown}\n")), "{line}");
            assert_eq!(line.lines().count(), 1);
            let json = logged(LogFormat::Json, text);
            assert_eq!(json.lines().count(), 1);
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value["fields"]["user"], text);
        };
        check("press-7", "\"press-7\"");
        check("", "\"\"");
        check("x user=admin", "\"x user=admin\"");
        check("x\r\nERROR forged", "\"x\\r\\nERROR forged\"");
        check("\u{1b}[31m\u{202e}", "\"\\u{1b}[31m\\u{202e}\"");
        check("a\"b", "\"a\\\"b\"");
    }
}
