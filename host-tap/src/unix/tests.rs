//! UNIX-socket devices, both ends in one process.

use super::*;
use crate::pool::Lease;

fn lease() -> Lease {
    Lease::for_device(Medium::Ethernet, 1_500)
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ringtap-{}-{name}", std::process::id()))
}

fn frame(pool: Pool<'static>, len: usize, fill: u8) -> Frame<'static> {
    let mut frame = pool.take(HEADROOM).expect("a free frame");
    frame.append(len).expect("room").fill(fill);
    frame
}

#[test]
fn frames_of_every_length_cross_a_stream_in_order_however_it_is_cut() {
    let lease = lease();
    let (a, b) = UnixStream::pair().expect("a pair");
    let mut sender = StreamDevice::from_stream(a, 1_500, lease.pool()).expect("a device");
    let mut receiver = StreamDevice::from_stream(b, 1_500, lease.pool()).expect("a device");
    let (mut sent, mut received) = (1usize, 1usize);
    while received <= 1_518 {
        while sent <= 1_518 {
            match sender.transmit(frame(lease.pool(), sent, sent as u8), TxMeta::default()) {
                Ok(()) => sent += 1,
                Err(_) => break,
            }
        }
        sender.flush();
        while let Some((frame, _)) = receiver.receive() {
            assert_eq!(frame.len(), received);
            assert!(frame.iter().all(|&b| b == received as u8));
            received += 1;
        }
    }
    assert!(sender.wants_write().is_none());
}

#[test]
fn a_stream_out_of_step_or_closed_is_a_failure_and_a_wrong_length_is_counted() {
    let lease = lease();
    let (mut a, b) = UnixStream::pair().expect("a pair");
    let mut device = StreamDevice::from_stream(b, 1_500, lease.pool()).expect("a device");
    let mut bytes = vec![0, 0, 0, 0];
    bytes.extend(1_519u32.to_be_bytes());
    bytes.extend([7; 1_519]);
    bytes.extend([0, 0, 0, 1, 9]);
    a.write_all(&bytes).expect("written");
    let (frame, _) = device.receive().expect("the good frame");
    assert_eq!((&frame[..], device.counters().bad_length), (&[9][..], 2));
    a.write_all(&[0xff, 0xff, 0xff, 0xff]).expect("written");
    assert!(device.receive().is_none());
    assert!(device.failure().is_some_and(|f| f.to_string().contains("does not speak this protocol")));

    let (a, b) = UnixStream::pair().expect("a pair");
    let mut device = StreamDevice::from_stream(b, 1_500, lease.pool()).expect("a device");
    drop(a);
    assert!(device.receive().is_none());
    assert!(device.failure().is_some_and(|f| f.to_string().contains("has closed it")));
}

#[test]
fn a_full_stream_gives_the_frame_back_and_takes_it_later() {
    let lease = lease();
    let (a, mut b) = UnixStream::pair().expect("a pair");
    let mut device = StreamDevice::from_stream(a, 1_500, lease.pool()).expect("a device");
    let mut taken = 0;
    while device.transmit(frame(lease.pool(), 1_000, 1), TxMeta::default()).is_ok() {
        taken += 1;
        assert!(taken < 10_000, "a stream that nobody reads fills up");
    }
    assert!(device.wants_write().is_some());
    b.set_nonblocking(true).expect("non-blocking");
    let (mut read, mut buf) = (0, vec![0; 1 << 20]);
    while read < taken * 1_004 {
        read += b.read(&mut buf).unwrap_or(0);
        device.flush();
    }
    assert!(device.wants_write().is_none());
    assert!(device.transmit(frame(lease.pool(), 1_000, 1), TxMeta::default()).is_ok());
}

#[test]
fn the_first_to_open_a_path_listens_and_takes_one_peer_after_another() {
    let lease = lease();
    let path = path("listen");
    // A file left behind by a program that is gone.
    drop(UnixListener::bind(&path).expect("a socket"));
    let mut server = StreamDevice::open(&path, 1_500, lease.pool()).expect("it listens");
    for round in 0..2 {
        let mut client = StreamDevice::open(&path, 1_500, lease.pool()).expect("it connects");
        client.transmit(frame(lease.pool(), 60, round), TxMeta::default()).expect("room");
        client.flush();
        let (got, _) = server.receive().expect("the frame");
        assert_eq!((got.len(), got[0]), (60, round));
        assert_eq!(server.link(), Link::Up);
        drop(client);
        assert!(server.receive().is_none());
        assert_eq!((server.link(), server.failure()), (Link::Down, None));
    }
    drop(server);
    assert!(!path.exists());
}

#[test]
fn datagrams_cross_both_ways_and_a_peer_that_is_not_there_loses_them() {
    let lease = lease();
    let (left, right) = (path("left"), path("right"));
    let mut a = DatagramDevice::open(&left, &right, 1_500, lease.pool()).expect("a device");
    a.transmit(frame(lease.pool(), 60, 1), TxMeta::default()).expect("lost, not refused");
    assert_eq!((a.counters().not_sent, a.link()), (1, Link::Up), "what stopped sending would never find the other end");
    let mut b = DatagramDevice::open(&right, &left, 1_500, lease.pool()).expect("a device");
    for (from, to) in [(&mut a, 2u8), (&mut b, 3)] {
        from.transmit(frame(lease.pool(), 60, to), TxMeta::default()).expect("room");
    }
    assert_eq!(b.receive().map(|(f, _)| f[0]), Some(2));
    assert_eq!(a.receive().map(|(f, _)| f[0]), Some(3));
    assert!(a.receive().is_none());
    let mut taken = 0;
    while a.transmit(frame(lease.pool(), 60, 4), TxMeta::default()).is_ok() {
        taken += 1;
        assert!(taken < 100_000, "a datagram socket that nobody reads fills up");
    }
    assert!(a.wants_write().is_some());
    assert!(DatagramDevice::open(&left, &right, 1_500, lease.pool()).is_err());
    // Another peer at the same path takes the place of one that is gone, and may speak first.
    drop(b);
    let mut b = DatagramDevice::open(&right, &left, 1_500, lease.pool()).expect("a device");
    b.transmit(frame(lease.pool(), 60, 5), TxMeta::default()).expect("room");
    assert_eq!(a.receive().map(|(f, _)| f[0]), Some(5));
    a.transmit(frame(lease.pool(), 60, 6), TxMeta::default()).expect("room");
    assert_eq!(b.receive().map(|(f, _)| f[0]), Some(6));
    drop((a, b));
    assert!(!left.exists() && !right.exists());
}
