//! The end of a connection that still has something to say.
//!
//! A socket closed with unread bytes in it makes the kernel send a reset, and the reset may overtake the CONNACK or
//! DISCONNECT that was to tell the client why. So: write, say that no more will come, and read on until the
//! client has closed too, within narrow bounds.

use std::future::poll_fn;
use std::time::Duration;

use super::transport::Transport;

/// Writes `last` and closes the connection gently. Takes no longer than a second.
pub(crate) async fn say(mut transport: Transport, last: &[u8]) {
    let goodbye = async {
        let mut rest = last;
        while !rest.is_empty() {
            match transport.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if poll_fn(|context| transport.poll_write_ready(context)).await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
        while let Err(error) = transport.try_flush() {
            if error.kind() != std::io::ErrorKind::WouldBlock
                || poll_fn(|context| transport.poll_write_ready(context)).await.is_err()
            {
                return;
            }
        }
        transport.shut_down_write();
        let mut scratch = [0; 512];
        for _ in 0..READS_MAX {
            match poll_fn(|context| transport.poll_read(context, &mut scratch)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    // Too slow for its last words: the reset is its own doing.
    tokio::time::timeout(TIME_MAX, goodbye).await.unwrap_or_default();
}

const TIME_MAX: Duration = Duration::from_secs(1);
/// 64 KiB of what the client had already sent.
const READS_MAX: usize = 128;
