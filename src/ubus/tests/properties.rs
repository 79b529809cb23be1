//! What holds for any bytes: nothing panics, what was written reads back, and how a stream is split changes nothing.

use proptest::prelude::*;
use whichroom_ubus::blobmsg::{Elements, Value, Writer};
use whichroom_ubus::message::{Attribute, Builder, Decoder, Kind, OwnedMessage};
use whichroom_ubus::{Event, Session};

#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Unspec,
    String(Vec<u8>),
    I64(i64),
    I32(i32),
    I16(i16),
    I8(i8),
    Double(u64),
    Table(Vec<(Vec<u8>, Tree)>),
    Array(Vec<Tree>),
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Unspec),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Tree::String),
        any::<i64>().prop_map(Tree::I64),
        any::<i32>().prop_map(Tree::I32),
        any::<i16>().prop_map(Tree::I16),
        any::<i8>().prop_map(Tree::I8),
        any::<u64>().prop_map(Tree::Double),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec((prop::collection::vec(any::<u8>(), 0..12), inner.clone()), 0..6)
                .prop_map(Tree::Table),
            prop::collection::vec(inner, 0..6).prop_map(Tree::Array),
        ]
    })
}

fn write(writer: &mut Writer, name: &[u8], tree: &Tree) {
    let value = match tree {
        Tree::Unspec => Value::Unspec,
        Tree::String(bytes) => Value::String(bytes),
        Tree::I64(value) => Value::I64(*value),
        Tree::I32(value) => Value::I32(*value),
        Tree::I16(value) => Value::I16(*value),
        Tree::I8(value) => Value::I8(*value),
        Tree::Double(bits) => Value::Double(*bits),
        Tree::Table(children) => {
            let mut inner = Writer::new();
            children.iter().for_each(|(name, child)| write(&mut inner, name, child));
            writer.put(name, Value::Table(Elements::new(inner.as_bytes())));
            return;
        }
        Tree::Array(children) => {
            let mut inner = Writer::new();
            children.iter().for_each(|child| write(&mut inner, b"", child));
            writer.put(name, Value::Array(Elements::new(inner.as_bytes())));
            return;
        }
    };
    writer.put(name, value);
}

fn read(value: Value<'_>) -> Tree {
    match value {
        Value::Unspec => Tree::Unspec,
        Value::String(bytes) => Tree::String(bytes.to_vec()),
        Value::I64(value) => Tree::I64(value),
        Value::I32(value) => Tree::I32(value),
        Value::I16(value) => Tree::I16(value),
        Value::I8(value) => Tree::I8(value),
        Value::Double(bits) => Tree::Double(bits),
        Value::Table(elements) => Tree::Table(
            elements.into_iter().map(|element| (element.name.to_vec(), read(element.value))).collect(),
        ),
        Value::Array(elements) => {
            Tree::Array(elements.into_iter().map(|element| read(element.value)).collect())
        }
    }
}

/// The messages in `stream` when it arrives in pieces of the given sizes.
fn messages(stream: &[u8], sizes: &[usize]) -> (Vec<OwnedMessage>, bool) {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    let mut rest = stream;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
        let (piece, after) = rest.split_at(size);
        decoder.push(piece);
        rest = after;
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => found.push(message.to_owned()),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

proptest! {
    #[test]
    fn what_is_written_reads_back(tree in trees(), name in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut writer = Writer::new();
        write(&mut writer, &name, &tree);
        let elements = Elements::new(writer.as_bytes());
        let all: Vec<_> = elements.into_iter().collect();
        prop_assert_eq!(all.len(), 1);
        prop_assert_eq!(all[0].name, &name[..]);
        prop_assert_eq!(read(all[0].value), tree);
        prop_assert_eq!(elements.flaws(), 0);
    }

    #[test]
    fn any_bytes_are_walked_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let elements = Elements::new(&bytes);
        let walked: Vec<_> = elements.into_iter().map(|element| read(element.value)).collect();
        prop_assert!(walked.len() <= bytes.len() / 4);
        prop_assert!(elements.flaws() as usize <= bytes.len());
    }

    #[test]
    fn a_damaged_tree_is_walked_without_a_panic(tree in trees(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut writer = Writer::new();
        write(&mut writer, b"x", &tree);
        let mut bytes = writer.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        Elements::new(&bytes).into_iter().for_each(|element| { read(element.value); });
        Elements::new(&bytes).flaws();
    }

    #[test]
    fn the_split_of_a_stream_changes_nothing(
        bodies in prop::collection::vec((0u8..14, any::<u16>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..200)), 1..8),
        sizes in prop::collection::vec(1usize..60, 1..10),
    ) {
        let mut stream = Vec::new();
        for (kind, seq, peer, payload) in &bodies {
            let kind = match kind { 0 => Kind::Hello, 1 => Kind::Status, 2 => Kind::Data, 5 => Kind::Invoke, other => Kind::Unknown(*other) };
            let mut builder = Builder::new(kind, *seq, *peer);
            builder.bytes(Attribute::Data, payload).number(Attribute::ObjId, *peer);
            stream.extend(builder.finish());
        }
        let whole = messages(&stream, &[stream.len()]);
        prop_assert_eq!(whole.0.len(), bodies.len());
        for (message, (_, seq, peer, payload)) in whole.0.iter().zip(&bodies) {
            let message = message.message();
            prop_assert_eq!((message.seq, message.peer), (*seq, *peer));
            prop_assert_eq!(message.attributes().bytes(Attribute::Data), Some(&payload[..]));
        }
        prop_assert_eq!(messages(&stream, &sizes), whole.clone());
        prop_assert_eq!(messages(&stream, &[1]), whole);
    }

    #[test]
    fn any_stream_is_cut_the_same_however_it_is_split(
        bytes in prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..300),
        sizes in prop::collection::vec(1usize..40, 1..10),
    ) {
        prop_assert_eq!(messages(&bytes, &sizes), messages(&bytes, &[bytes.len().max(1)]));
    }

    #[test]
    fn no_message_confuses_a_session(
        bodies in prop::collection::vec((0u8..14, 0u16..6, prop::collection::vec(any::<u8>(), 0..60)), 0..40),
    ) {
        let mut session = Session::new(5_000, 0);
        session.lookup("hostapd.*", 1, 0);
        session.add_object(2, 0);
        session.subscribe(1, 2, 3, 0);
        session.invoke(7, "get_clients", &Writer::new(), 4, 0);
        for (kind, seq, body) in &bodies {
            let outer = u32::try_from(body.len() + 4).unwrap();
            let frame = [&[0, *kind][..], &seq.to_be_bytes(), &[0; 4], &outer.to_be_bytes(), body].concat();
            let mut decoder = Decoder::new();
            decoder.push(&frame);
            while let Ok(Some(message)) = decoder.next_message() {
                message.answer();
                session.handle_message(message);
            }
        }
        session.handle_timeout(u64::MAX);
        // Whatever came, each request ends exactly once.
        let mut ended: Vec<i32> = std::iter::from_fn(|| session.poll_event())
            .filter_map(|event| if let Event::Reply(context, _) = event { Some(context) } else { None })
            .collect();
        ended.sort_unstable();
        prop_assert_eq!(ended, [1, 2, 3, 4]);
    }
}
