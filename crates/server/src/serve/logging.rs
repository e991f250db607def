//! The log: structured lines to stderr, written by a thread of their own.
//!
//! A reader of stderr that stands still must not stop traffic, so lines wait in a bounded channel; when it is full,
//! lines are dropped, counted, and the number is told as soon as there is room again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};

/// Keeps the log's thread; dropping it writes what still waits.
pub(crate) struct LogGuard {
    writer: LogWriter,
    thread: Option<JoinHandle<()>>,
}

/// Sets up logging for the whole process.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start(log: &Log) -> io::Result<LogGuard> {
    let (sender, receiver) = sync_channel(LINES_WAITING_MAX);
    let writer = LogWriter { sender, dropped: Arc::new(AtomicU64::new(0)) };
    let dropped = Arc::clone(&writer.dropped);
    let thread = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&receiver, &dropped))?;
    // What the storage engine notices is told by the broker, once and in its own words.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{},fjall=off,lsm_tree=off", log.level)))
        .with_ansi(false)
        .with_target(false)
        .with_writer(writer.clone());
    // Only tests could have set one before, and then theirs is the one to keep.
    let is_set = match log.format {
        LogFormat::Text => builder.try_init().is_ok(),
        LogFormat::Json => builder.json().flatten_event(true).try_init().is_ok(),
    };
    debug_assert!(is_set, "logging is set up once");
    Ok(LogGuard { writer, thread: Some(thread) })
}

impl Drop for LogGuard {
    /// Waits for the last lines, but not for a reader of stderr that stands still.
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // The subscriber lives for ever and keeps its sender, so the end is a line of its own.
        let mut is_told = false;
        for _ in 0..END_LOOKS {
            is_told = is_told || self.writer.sender.try_send(Line::End).is_ok();
            if thread.is_finished() {
                return;
            }
            std::thread::sleep(END_LOOK);
        }
    }
}

enum Line {
    Text(Box<[u8]>),
    End,
}

#[derive(Clone)]
struct LogWriter {
    sender: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

impl Write for LogWriter {
    /// The formatter hands over one whole line a call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.sender.try_send(Line::Text(line.into())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
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

fn write_lines(receiver: &Receiver<Line>, dropped: &AtomicU64) {
    let mut out = io::stderr();
    let mut text = Vec::new();
    while let Ok(Line::Text(line)) = receiver.recv() {
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told =
                format!("{lost} log lines were dropped: stderr is read too slowly\n").into_bytes();
            text.extend_from_slice(&told);
        }
        text.extend_from_slice(&line);
        // What has come meanwhile goes with it.
        let mut is_end = false;
        while text.len() < WRITE_BYTES {
            match receiver.try_recv() {
                Ok(Line::Text(line)) => text.extend_from_slice(&line),
                Ok(Line::End) => is_end = true,
                Err(_) => break,
            }
        }
        // Nobody is left to be told when stderr itself is gone.
        drop(out.write_all(&text));
        text.clear();
        if is_end {
            return;
        }
    }
}

const LINES_WAITING_MAX: usize = 16_384;
/// Lines are written together until there are so many bytes.
const WRITE_BYTES: usize = 64 * 1024;
/// A second in all.
const END_LOOKS: usize = 500;
const END_LOOK: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log shows for a line with this text from a peer in it.
    fn logged(format: LogFormat, text: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let builder =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        let log = || tracing::warn!(user = text, "login refused");
        match format {
            LogFormat::Text => tracing::subscriber::with_default(builder.finish(), log),
            LogFormat::Json => tracing::subscriber::with_default(builder.json().finish(), log),
        }
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
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
