//! Connections that send anything but MQTT, so many a second.

use std::{
    fmt,
    io::Write,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Garbage being thrown.
pub(super) struct Garbage {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    throwers: Vec<JoinHandle<()>>,
}

/// What was thrown.
pub(super) struct Thrown {
    opened: u64,
    failed: u64,
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections; {} could not be opened", self.opened, self.failed)
    }
}

impl Garbage {
    /// Throws so many a second at most: each tick a part of them, and a tick that took longer is not made up for.
    pub(super) fn start(port: u16, a_second: u32) -> Garbage {
        let stop = Arc::new(AtomicBool::new(false));
        let (opened, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let a_tick = a_second / TICKS_A_SECOND / THROWERS;
        let throwers = (0..THROWERS)
            .map(|number| {
                let (stop, opened, failed) =
                    (Arc::clone(&stop), Arc::clone(&opened), Arc::clone(&failed));
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        for turn in 0..a_tick {
                            let is_open = throw(port, number.wrapping_mul(31).wrapping_add(turn));
                            let count = if is_open { &opened } else { &failed };
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        thread::sleep(TICK);
                    }
                })
            })
            .collect();
        Garbage { stop, opened, failed, throwers }
    }

    pub(super) fn end(self) -> Thrown {
        self.stop.store(true, Ordering::Relaxed);
        for thrower in self.throwers {
            // A thrower that has failed has thrown less, which shows.
            let _joined = thrower.join();
        }
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Thrown { opened: count(&self.opened), failed: count(&self.failed) }
    }
}

/// A listener that accepts and closes as long as this process lives. Gives its port.
pub(super) fn sink() -> std::io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || listener.incoming().for_each(drop));
    Ok(port)
}

fn throw(port: u16, kind: u32) -> bool {
    let Ok(mut link) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let garbage: &[u8] = match kind % 4 {
        0 => b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        1 => &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc],
        2 => &[0x10, 0xff, 0xff, 0xff, 0xff, 0x7f],
        _ => &[0x30, 0x0a, 0, 3, b'a', b'/', b'b', 1, 2, 3, 4, 5],
    };
    // The broker may have closed already: that is what it is for.
    let _written = link.write_all(garbage);
    true
}

const THROWERS: u32 = 2;
/// With a pause of 8 ms between them, and the time that throwing takes.
const TICKS_A_SECOND: u32 = 100;
const TICK: Duration = Duration::from_millis(8);
