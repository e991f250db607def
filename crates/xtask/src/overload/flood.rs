//! Five publishers flood a subscriber that has stopped reading.

use std::{
    fmt,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::ensure;

use super::{LOOK, resident_bytes};
use crate::bench::brokers::Broker;

const PUBLISHERS: u8 = 5;
const PAYLOAD_BYTES: usize = 1_000;
const TOPIC: &[u8] = b"bench/flood";

/// A flood under way.
pub(super) struct Flood {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    publishers: Vec<JoinHandle<()>>,
    watch: JoinHandle<u64>,
    _stopped: TcpStream,
}

/// What it came to.
pub(super) struct Most {
    pub(super) resident_bytes: u64,
    messages: u64,
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.resident_bytes >> 20;
        let messages = self.messages;
        write!(
            f,
            "{messages} messages of {PAYLOAD_BYTES} bytes by {PUBLISHERS} publishers to one stopped reader; at most {mib} MiB resident"
        )
    }
}

impl Flood {
    pub(super) fn start(broker: &Broker) -> anyhow::Result<Flood> {
        let mut stopped = log_in(broker, b"stopped")?;
        let mut subscribe = vec![0x82, 0, 0, 1, 0, 0];
        if let (Some(length), Some(topic)) = (subscribe.get_mut(1), u8::try_from(TOPIC.len()).ok())
        {
            *length = 2 + 2 + topic + 1;
        }
        if let (Some(low), Ok(topic)) = (subscribe.get_mut(5), u8::try_from(TOPIC.len())) {
            *low = topic;
        }
        subscribe.extend_from_slice(TOPIC);
        subscribe.push(1);
        stopped.write_all(&subscribe)?;
        stopped.read_exact(&mut [0; 5])?;
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut publishers = Vec::new();
        for number in 0..PUBLISHERS {
            let link = log_in(broker, &[b'f', b'0' + number])?;
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            // Some of each: what is not acknowledged is dropped, what is acknowledged has to be kept or refused.
            let qos = number % 2;
            publishers.push(thread::spawn(move || publish(link, qos, &stop, &written)));
        }
        let (pid, ended) = (broker.pid(), Arc::clone(&stop));
        let watch = thread::spawn(move || {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(resident_bytes(pid).unwrap_or(0));
                thread::sleep(LOOK);
            }
            most
        });
        Ok(Flood { stop, written, publishers, watch, _stopped: stopped })
    }

    pub(super) fn end(self) -> anyhow::Result<Most> {
        self.stop.store(true, Ordering::Relaxed);
        let is_well = self.publishers.into_iter().all(|it| it.join().is_ok());
        let most = self.watch.join();
        ensure!(is_well && most.is_ok(), "a thread of the flood has failed");
        let messages = self.written.load(Ordering::Relaxed);
        Ok(Most { resident_bytes: most.unwrap_or(0), messages })
    }
}

/// Writes as fast as the broker reads. Acknowledgements are read by a clone of the socket, and not looked at.
fn publish(mut link: TcpStream, qos: u8, stop: &Arc<AtomicBool>, written: &AtomicU64) {
    let Ok(mut answers) = link.try_clone() else { return };
    let timeout = std::time::Duration::from_millis(200);
    if link.set_write_timeout(Some(timeout)).and(answers.set_read_timeout(Some(timeout))).is_err() {
        return;
    }
    let ended = Arc::clone(stop);
    let reader = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while !ended.load(Ordering::Relaxed) {
            if matches!(answers.read(&mut buffer), Ok(0)) {
                return;
            }
        }
    });
    let mut batch = Vec::new();
    for id in 1..=BATCH {
        batch.extend_from_slice(&message(qos, id));
    }
    let mut rest = batch.as_slice();
    while !stop.load(Ordering::Relaxed) {
        match link.write(rest) {
            Ok(0) => break,
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if is_passing(&error) => {}
            Err(_) => break,
        }
        if rest.is_empty() {
            written.fetch_add(u64::from(BATCH), Ordering::Relaxed);
            rest = batch.as_slice();
        }
    }
    let _joined = reader.join();
}

fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

fn message(qos: u8, id: u16) -> Vec<u8> {
    let mut body = vec![0];
    body.extend(u8::try_from(TOPIC.len()));
    body.extend_from_slice(TOPIC);
    if qos > 0 {
        body.extend_from_slice(&id.to_be_bytes());
    }
    body.resize(body.len() + PAYLOAD_BYTES, 7);
    let mut packet = vec![0x30 | (qos << 1)];
    // Two bytes are enough for so small a packet.
    packet.extend(u8::try_from(body.len() % 128).map(|low| low | 0x80));
    packet.extend(u8::try_from(body.len() / 128));
    packet.extend(body);
    packet
}

/// An MQTT 3.1.1 client with a clean session, as the user of the bench.
fn log_in(broker: &Broker, client_id: &[u8]) -> anyhow::Result<TcpStream> {
    let password = std::fs::read_to_string(broker.file("password"))?;
    let user = crate::bench::brokers::USER.as_bytes();
    let mut body = b"\0\x04MQTT\x04\xC2\0\0".to_vec();
    for text in [client_id, user, password.trim_end().as_bytes()] {
        body.extend(u16::try_from(text.len())?.to_be_bytes());
        body.extend_from_slice(text);
    }
    let mut packet = vec![0x10, u8::try_from(body.len())?];
    packet.extend(body);
    let mut link = TcpStream::connect(("127.0.0.1", broker.plain_port()))?;
    link.write_all(&packet)?;
    let mut connack = [0; 4];
    link.read_exact(&mut connack)?;
    ensure!(connack == [0x20, 2, 0, 0], "the flood may not log in: {connack:?}");
    Ok(link)
}

/// Messages a batch, and packet ids in use: fewer than a client may have under way.
const BATCH: u16 = 64;
