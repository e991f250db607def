use super::*;

/// A client's frame.
fn frame(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = header(0, payload.len()).as_slice().to_vec();
    frame[0] = first;
    frame[1] |= MASKED;
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The stream and the answers, when the frames come in portions of this size.
fn decoded(frames: &[Vec<u8>], portion: usize) -> Result<(Vec<u8>, Vec<u8>), Violation> {
    let (mut decoder, mut stream, mut replies) = (Decoder::default(), Vec::new(), Vec::new());
    for part in frames.concat().chunks(portion) {
        let mut part = part.to_vec();
        let filled = decoder.decode(&mut part, &mut replies)?;
        stream.extend_from_slice(&part[..filled]);
    }
    Ok((stream, replies))
}

#[track_caller]
fn check(frames: &[Vec<u8>], stream: &[u8], replies: &[u8]) {
    for portion in [1, 2, 3, 7, 64, 100_000] {
        assert_eq!(decoded(frames, portion), Ok((stream.to_vec(), replies.to_vec())), "{portion}");
    }
}

#[track_caller]
fn check_refused(frames: &[Vec<u8>], code: u16) {
    for portion in [1, 2, 3, 7, 100_000] {
        let refused = decoded(frames, portion).expect_err("it is refused");
        assert_eq!(refused.code, code, "{refused}");
    }
}

#[test]
fn mqtt_6_0_0_2_packets_span_frames_and_frames_hold_packets() {
    let long: Vec<u8> = (0..70_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    check(
        &[frame(0x82, MASK, b"ab"), frame(0x82, MASK, b""), frame(0x82, MASK, b"c")],
        b"abc",
        &[],
    );
    check(&[frame(0x82, MASK, &long)], &long, &[]);
    check(&[frame(0x82, MASK, &long[..300]), frame(0x82, [0; 4], &long[300..])], &long, &[]);
}

#[test]
fn fragments_of_a_message_are_one_stream_and_control_frames_may_come_between() {
    let frames = [
        frame(0x02, MASK, b"ab"),
        frame(0x89, MASK, b"hi"),
        frame(0x00, MASK, b"c"),
        frame(0x80, MASK, b"d"),
    ];
    check(&frames, b"abcd", b"\x8a\x02hi");
    check(&[frame(0x8a, MASK, b"unasked")], b"", b"");
}

#[test]
fn a_close_is_answered_with_its_code_and_ends_the_stream() {
    check(
        &[frame(0x88, MASK, &[0x03, 0xe9]), frame(0x82, MASK, b"late")],
        b"",
        &[0x88, 2, 0x03, 0xe9],
    );
    check(&[frame(0x88, MASK, b"")], b"", &[0x88, 2, 0x03, 0xe8]);
}

#[test]
fn mqtt_6_0_0_1_a_text_frame_is_refused() {
    check_refused(&[frame(0x81, MASK, b"text")], 1003);
    check_refused(&[frame(0x82, MASK, b"ok"), frame(0x01, MASK, b"text")], 1003);
}

#[test]
fn what_breaks_rfc_6455_is_refused() {
    let unmasked = vec![0x82, 1, b'x'];
    for bad in [
        unmasked,
        frame(0xc2, MASK, b"reserved bit"),
        frame(0x83, MASK, b"unknown opcode"),
        frame(0x8b, MASK, b"unknown control opcode"),
        frame(0x80, MASK, b"continuation of nothing"),
        frame(0x09, MASK, b"fragmented ping"),
        frame(0x89, MASK, &[0; 126]),
        frame(0x88, MASK, b"x"),
        frame(0x88, MASK, &[0, 1]),
        frame(0x88, MASK, &[0x03, 0xe8, 0xff]),
        vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        [frame(0x02, MASK, b"begun"), frame(0x82, MASK, b"another")].concat(),
    ] {
        check_refused(&[bad], 1002);
    }
}

#[test]
fn rule_36_a_frame_of_any_length_and_any_number_of_pings_cost_no_memory() {
    let (mut decoder, mut replies) = (Decoder::default(), Vec::new());
    let mut huge = vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert_eq!(decoder.decode(&mut huge, &mut replies), Ok(0));
    let mut part = vec![7; 5000];
    assert_eq!(decoder.decode(&mut part, &mut replies), Ok(5000));
    let (mut decoder, ping) = (Decoder::default(), frame(0x89, MASK, &[1; 125]));
    for _ in 0..1000 {
        decoder.decode(&mut ping.clone(), &mut replies).unwrap();
    }
    assert!(replies.len() < REPLIES_BYTES_MAX + 200, "{}", replies.len());
}

#[test]
fn headers_of_the_server_say_the_length() {
    let check = |length, expected: &[u8]| {
        assert_eq!(OutgoingHeader::binary(length).as_slice(), expected);
    };
    check(0, &[0x82, 0]);
    check(125, &[0x82, 125]);
    check(126, &[0x82, 126, 0, 126]);
    check(65_535, &[0x82, 126, 0xff, 0xff]);
    check(65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn the_same_comes_out_however_bytes_are_cut_be_they_sense_or_not() {
    let mut state = 7_u64;
    let mut random = |bound: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let (mut refused, mut passed) = (0, 0);
    for _ in 0..20_000 {
        let frames: Vec<_> = (0..random(4))
            .map(|_| {
                // Mostly what is allowed, so that much of it gets far.
                let first = [0x82, 0x82, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x81, 0xff]
                    [usize::try_from(random(10)).unwrap()];
                let length = usize::try_from(random(140)).unwrap();
                frame(first, MASK, &vec![u8::try_from(random(256)).unwrap(); length])
            })
            .collect();
        let portion = usize::try_from(random(20)).unwrap() + 1;
        match (decoded(&frames, usize::MAX), decoded(&frames, portion)) {
            (Ok(whole), Ok(parts)) => {
                assert_eq!(whole, parts, "{frames:?} {portion}");
                passed += 1;
            }
            (Err(whole), Err(parts)) => {
                assert_eq!(whole, parts, "{frames:?} {portion}");
                refused += 1;
            }
            (whole, parts) => panic!("{frames:?} {portion}: {whole:?} {parts:?}"),
        }
    }
    assert!(refused > 1000 && passed > 1000, "{refused} {passed}");
}
