//! Bytes on the socket, written out by hand from the format: what is sent, and what is understood.

use whichroom_ubus::blobmsg::{Value, Writer};
use whichroom_ubus::message::{Attribute, Decoder, FrameError, Kind, OUTER_MAX};
use whichroom_ubus::{Event, Failure, Reply, Session, Status};

/// Version, type, sequence, peer, outer length; then the attributes.
fn frame(kind: u8, seq: u16, peer: u32, body: &[u8]) -> Vec<u8> {
    let outer = u32::try_from(body.len() + 4).unwrap_or_default();
    [&[0, kind][..], &seq.to_be_bytes(), &peer.to_be_bytes(), &outer.to_be_bytes(), body].concat()
}

fn session() -> Session<&'static str> {
    Session::new(5_000, 0)
}

fn feed(session: &mut Session<&'static str>, bytes: &[u8]) {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    while let Ok(Some(message)) = decoder.next_message() {
        session.handle_message(message);
    }
}

fn events(session: &mut Session<&'static str>) -> Vec<Event<&'static str>> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

#[test]
fn requests_have_the_agreed_bytes() {
    let mut session = session();
    session.lookup("hostapd.*", "", 0);
    session.add_object("", 0);
    session.subscribe(0x0102_0304, 0x0a0b_0c0d, "", 0);
    session.invoke(0x0a0b_0c0d, "get_clients", &Writer::new(), "", 0);
    session.register_event(0x0102_0304, "ubus.object.add", "", 0);
    session.remove_object(0x0102_0304, "", 0);
    session.unsubscribe(0x0102_0304, 0x0a0b_0c0d, "", 0);
    session.ping("", 0);
    let sent: Vec<Vec<u8>> = std::iter::from_fn(|| session.poll_transmit()).collect();
    let own = b"\x03\0\0\x08\x01\x02\x03\x04";
    let target = b"\x08\0\0\x08\x0a\x0b\x0c\x0d";
    let invoke = b"\x03\0\0\x08\x0a\x0b\x0c\x0d\x04\0\0\x10get_clients\0\x07\0\0\x04";
    let register = b"\x03\0\0\x08\0\0\0\x01\x04\0\0\x0dregister\0\0\0\0\
        \x07\0\0\x38\x85\0\0\x14\0\x06object\0\0\0\0\x01\x02\x03\x04\
        \x83\0\0\x20\0\x07pattern\0\0\0ubus.object.add\0";
    assert_eq!(
        sent,
        [
            frame(4, 1, 0, b"\x02\0\0\x0ehostapd.*\0\0\0"),
            frame(6, 2, 0, b""),
            frame(8, 3, 0, &[&own[..], &target[..]].concat()),
            frame(5, 4, 0x0a0b_0c0d, invoke),
            frame(5, 5, 1, register),
            frame(7, 6, 0, own),
            frame(9, 7, 0, &[&own[..], &target[..]].concat()),
            frame(3, 8, 0, b""),
        ]
    );
}

#[test]
fn a_lookup_brings_one_object_a_message_and_ends_with_a_status() {
    let mut session = session();
    feed(&mut session, &frame(0, 0, 77, b""));
    session.lookup("hostapd.*", "all", 0);
    // Attributes in another order than ubusd's, and one we know nothing of.
    let first = b"\x03\0\0\x08\0\0\x10\x01\x02\0\0\x15hostapd.phy0-ap0\0\0\0\0\x7e\0\0\x05x\0\0\0";
    let second = b"\x02\0\0\x12hostapd.wlan1\0\0\0\x03\0\0\x08\0\0\x10\x02\x06\0\0\x04";
    feed(&mut session, &frame(2, 1, 0, first));
    feed(&mut session, &frame(2, 1, 0, second));
    feed(&mut session, &frame(1, 1, 0, b"\x01\0\0\x08\0\0\0\0"));
    let events = events(&mut session);
    let [Event::Connected, Event::Reply("all", Ok(Reply::Objects(objects)))] = &events[..] else {
        panic!("{events:?}");
    };
    let found: Vec<_> = objects.iter().map(|object| (object.path.as_str(), object.id)).collect();
    assert_eq!(found, [("hostapd.phy0-ap0", 0x1001), ("hostapd.wlan1", 0x1002)]);
}

#[test]
fn what_the_access_rules_hide_is_not_found() {
    let mut session = session();
    session.lookup("iwinfo", "hidden", 0);
    session.lookup("iwinfo", "missing", 0);
    feed(&mut session, &frame(1, 1, 0, b"\x01\0\0\x08\0\0\0\0"));
    feed(&mut session, &frame(1, 2, 0, b"\x01\0\0\x08\0\0\0\x04"));
    let not_found = Err(Failure::Status(Status::NOT_FOUND));
    let expected = [Event::Reply("hidden", not_found.clone()), Event::Reply("missing", not_found)];
    assert_eq!(events(&mut session), expected);
}

#[test]
fn an_answer_without_data_is_an_answer() {
    let mut session = session();
    session.invoke(9, "rrm_beacon_req", &Writer::new(), "asked", 0);
    feed(&mut session, &frame(1, 1, 9, b"\x01\0\0\x08\0\0\0\0\x03\0\0\x08\0\0\0\x09"));
    assert_eq!(events(&mut session), [Event::Reply("asked", Ok(Reply::Data(Default::default())))]);
}

#[test]
fn numbers_of_messages_that_ubusd_begins_are_none_of_ours() {
    let mut session = session();
    session.ping("alive", 0);
    // An event and an end of subscription with the very number of the request under way.
    let gone = b"\x03\0\0\x08\0\0\0\x05\x08\0\0\x08\0\0\0\x06";
    feed(&mut session, &frame(5, 1, 0, b"\x03\0\0\x08\0\0\0\x05\x04\0\0\x0aprobe\0\0\0"));
    feed(&mut session, &frame(9, 1, 0, gone));
    feed(&mut session, &frame(10, 1, 0, b"\x03\0\0\x08\0\0\0\x05\x09\0\0\x05\x01\0\0\0"));
    feed(&mut session, &frame(42, 1, 0, b""));
    let seen = events(&mut session);
    assert!(
        matches!(&seen[..], [Event::Notification(probe), Event::TargetGone { own: 5, target: 6 }] if probe.name == "probe"),
        "{seen:?}"
    );
    feed(&mut session, &frame(2, 1, 0, b""));
    feed(&mut session, &frame(1, 1, 0, b"\x01\0\0\x08\0\0\0\0"));
    assert_eq!(events(&mut session), [Event::Reply("alive", Ok(Reply::Done))]);
}

#[test]
fn a_notification_is_read_and_answered_only_where_an_answer_is_wanted() {
    let data = b"\x07\0\0\x3c\x83\0\0\x22\0\x07address\0\0\0aa:bb:cc:dd:ee:ff\0\0\0\
        \x85\0\0\x14\0\x06signal\0\0\0\0\xff\xff\xff\xc1";
    let head = b"\x03\0\0\x08\0\0\0\x05\x04\0\0\x0aassoc\0\0\0\x0c\0\0\x09root\0\0\0\0";
    let wanted = frame(5, 3, 0x94bd_5b81, &[&head[..], &data[..]].concat());
    let unwanted = frame(5, 2, 0x94bd_5b81, &[b"\x0a\0\0\x05\x01\0\0\0", &head[..], &data[..]].concat());
    let mut decoder = Decoder::new();
    decoder.push(&wanted);
    decoder.push(&unwanted);
    let answer = decoder.next_message().unwrap().unwrap().answer();
    assert_eq!(answer, Some(frame(1, 3, 0x94bd_5b81, b"\x01\0\0\x08\0\0\0\0\x03\0\0\x08\0\0\0\x05")));
    let message = decoder.next_message().unwrap().unwrap();
    assert_eq!(message.answer(), None);
    let attributes = message.attributes();
    assert_eq!((attributes.objid(), attributes.method()), (Some(5), Some(&b"assoc"[..])));
    let elements = attributes.data().unwrap();
    assert_eq!(elements.get("address").and_then(Value::bytes), Some(&b"aa:bb:cc:dd:ee:ff"[..]));
    assert_eq!(elements.get("signal").and_then(Value::signed), Some(-63));
}

#[test]
fn an_answer_is_given_even_if_the_rest_is_unreadable() {
    let mut decoder = Decoder::new();
    decoder.push(&frame(5, 3, 1, b"\x03\0\0\x08\0\0\0\x05\x07\0\xff\xffgarbage"));
    assert!(decoder.next_message().unwrap().unwrap().answer().is_some());
}

#[test]
fn the_padding_of_the_last_attribute_counts() {
    let mut session = session();
    for path in ["a", "ab", "abc", "abcd"] {
        session.lookup(path, "", 0);
        let sent = session.poll_transmit().unwrap();
        assert_eq!(sent.len() % 4, 0);
        let outer = u32::from_be_bytes([sent[8], sent[9], sent[10], sent[11]]);
        assert_eq!(sent.len(), 8 + outer as usize);
    }
}

#[test]
fn a_request_ends_at_its_deadline_and_its_late_answer_is_ignored() {
    let mut session = session();
    feed(&mut session, &frame(0, 0, 1, b""));
    session.ping("slow", 1_000);
    assert_eq!(session.poll_timeout(), Some(6_000));
    session.handle_timeout(5_999);
    assert_eq!(events(&mut session), [Event::Connected]);
    session.handle_timeout(6_000);
    assert_eq!(events(&mut session), [Event::Reply("slow", Err(Failure::TimedOut))]);
    feed(&mut session, &frame(1, 1, 0, b"\x01\0\0\x08\0\0\0\0"));
    assert_eq!(events(&mut session), []);
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn a_server_that_does_not_greet_is_noticed() {
    let mut session = session();
    assert_eq!(session.poll_timeout(), Some(5_000));
    session.handle_timeout(5_000);
    assert_eq!(events(&mut session), [Event::Silent]);
}

#[test]
fn a_second_subscription_is_not_sent_and_a_failed_one_may_be_repeated() {
    let mut session = session();
    session.subscribe(5, 6, "first", 0);
    session.subscribe(5, 6, "second", 0);
    assert!(session.poll_transmit().is_some());
    assert_eq!(session.poll_transmit(), None);
    assert_eq!(events(&mut session), [Event::Reply("second", Ok(Reply::Done))]);
    feed(&mut session, &frame(1, 1, 0, b"\x01\0\0\x08\0\0\0\x04"));
    assert_eq!(events(&mut session), [Event::Reply("first", Err(Failure::Status(Status::NOT_FOUND)))]);
    session.subscribe(5, 6, "again", 0);
    assert!(session.poll_transmit().is_some());
}

#[test]
fn numbers_wrap_around_those_still_under_way() {
    let mut session = session();
    session.ping("old", 0);
    for _ in 0..=u16::MAX {
        session.ping("new", 0);
        let sent = session.poll_transmit().unwrap();
        let seq = [sent[2], sent[3]];
        if seq != [0, 1] {
            feed(&mut session, &frame(1, u16::from_be_bytes(seq), 0, b"\x01\0\0\x08\0\0\0\0"));
        }
    }
    assert!(events(&mut session).iter().all(|event| matches!(event, Event::Reply("new", Ok(Reply::Done)))));
    feed(&mut session, &frame(1, 1, 0, b"\x01\0\0\x08\0\0\0\0"));
    assert_eq!(events(&mut session), [Event::Reply("old", Ok(Reply::Done))]);
}

#[test]
fn too_many_requests_fail_instead_of_growing() {
    let mut session = session();
    for _ in 0..1_000 {
        session.ping("", 0);
    }
    let failed = events(&mut session).len();
    assert_eq!(failed, 1_000 - 512);
}

#[test]
fn impossible_lengths_and_versions_end_the_stream() {
    let header =
        |version: u8, outer: u32| [&[version, 2, 0, 0, 0, 0, 0, 0][..], &outer.to_be_bytes()].concat();
    let largest = u32::try_from(OUTER_MAX).unwrap();
    for (bytes, error) in [
        (header(0, 3), FrameError::Length(3)),
        (header(0, 0), FrameError::Length(0)),
        (header(0, largest + 4), FrameError::Length(largest + 4)),
        (header(1, 4), FrameError::Version(1)),
    ] {
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        assert_eq!(decoder.next_message(), Err(error));
    }
    let mut decoder = Decoder::new();
    decoder.push(&header(0, largest));
    assert_eq!(decoder.next_message(), Ok(None));
}

#[test]
fn every_attribute_number_is_its_own() {
    let mut builder = whichroom_ubus::message::Builder::new(Kind::Data, 0, 0);
    builder.number(Attribute::Target, 8).number(Attribute::Status, 1).string(Attribute::ObjPath, "x");
    let mut decoder = Decoder::new();
    decoder.push(&builder.finish());
    let attributes = decoder.next_message().unwrap().unwrap().attributes();
    assert_eq!(
        (attributes.target(), attributes.status(), attributes.objpath()),
        (Some(8), Some(1), Some(&b"x"[..]))
    );
    assert_eq!((attributes.objid(), attributes.method()), (None, None));
}
