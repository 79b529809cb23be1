//! Recordings as they are written, read, cut and damaged.

use std::borrow::Cow;
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use whichroom_presence::Moment;

use super::line::{HEADER_MAX, LINE_MAX};
use super::reader::{Next, Reader};
use super::writer::{Target, Writer};
use super::*;

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let directory = std::env::temp_dir().join(format!("whichroom-{}", state::random_hex(8).unwrap()));
        fs::create_dir(&directory).unwrap();
        Scratch(directory)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn header() -> Header {
    let setup = config::parse("[[ap]]\nid = \"garden\"\nexit = true\n", Path::new("/nonexistent"));
    let setup = setup.0.unwrap().setup;
    Header::new(&"home".parse().unwrap(), &setup, &Samples::default(), &Clock::start())
}

fn message(topic: &'static str, payload: &'static [u8], retained: bool) -> Given<'static> {
    Given::Message { topic: topic.into(), payload, retained }
}

/// One of every kind, with payloads of every kind.
fn everything() -> Vec<Given<'static>> {
    vec![
        message("ap/garden/status", br#"{"schema":1,"state":"online"}"#, true),
        message("ap/garden/events", br#"{ "a" : [1, 2.50, "\u00e4"] }"#, false),
        message("ap/garden/events", b"{\n\"a\":1}", false),
        message("ap/garden/events", b" {} ", false),
        message("ap/garden/events", b"not JSON", false),
        message("ap/garden/events", b"\xff\x00\n\r", false),
        message("ap/garden/stations", b"", true),
        message("ap/\"odd\\\n/events", b"1", false),
        Given::Timeout,
        Given::Broker { connected: true },
        Given::Broker { connected: false },
        Given::PublishAll,
        Given::Setup(Box::new(header().config)),
    ]
}

/// What a recording says, in owned form: givens as text, and how it ends.
fn read_all(bytes: Vec<u8>) -> Result<(Vec<String>, Vec<u64>, bool), String> {
    let (_, mut reader) = Reader::new(Cursor::new(bytes))?;
    let (mut given, mut bad, mut is_cut) = (Vec::new(), Vec::new(), false);
    loop {
        match reader.next() {
            Next::Given(at, what) => given.push(format!("{} {what:?}", at.as_ms())),
            Next::Bad { number, .. } => bad.push(number),
            Next::Cut { .. } => is_cut = true,
            Next::End => return Ok((given, bad, is_cut)),
        }
    }
}

fn plain(lines: &[&str]) -> Vec<u8> {
    let mut bytes = line::write_header(&header());
    for line in lines {
        bytes.push(b'\n');
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes.push(b'\n');
    bytes
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_written_is_read_to_the_byte() {
    for (ms, given) in everything().into_iter().enumerate() {
        let at = Moment::from_ms(i64::try_from(ms).unwrap());
        let line = line::write(&given, at);
        assert!(!line.contains(&b'\n'), "{given:?}");
        let mut decoded = Vec::new();
        assert_eq!(line::read(&line, &mut decoded), Ok((at, given)));
    }
}

#[test]
fn lines_are_as_the_contract_says() {
    let at = Moment::from_ms(7);
    let status = message("ap/garden/status", br#"{"schema":1}"#, true);
    assert_eq!(
        String::from_utf8(line::write(&status, at)).unwrap(),
        r#"{"t_ms":7,"topic":"ap/garden/status","retained":true,"payload":{"schema":1}}"#
    );
    assert_eq!(line::write(&Given::Timeout, at), br#"{"t_ms":7,"event":"timeout"}"#);
    let text = String::from_utf8(line::write_header(&header())).unwrap();
    assert!(
        text.starts_with(r#"{"schema":1,"site":"home","config":{"access_points":[{"id":"garden","#),
        "{text}"
    );
}

/// As releases wrote it at the beginning: it goes on being read.
#[test]
fn the_first_recordings_are_read() {
    let text = r#"{"schema":1,"site":"home","config":{"access_points":[{"id":"garden","name":"Garden","room":"garden","exit":true},{"id":"hall","name":"Hall"}],"rooms":[{"id":"garden","name":"Garden","adjoins":["hall"],"outdoor":true}],"people":[{"id":"ada","name":"Ada","detail":"home-only","devices":[{"id":"ada-phone","name":"Ada's phone","macs":["02:00:00:00:00:01"],"counts":"room-only"}]}],"devices":[{"id":"watch","name":"Watch","macs":[]}],"ssids":[{"name":"Things","kind":"iot"}],"timing":{"exit_ms":120000}},"started":"2026-11-22T08:00:00Z"}"#;
    let header = line::read_header(text.as_bytes()).unwrap();
    assert_eq!(header.config.access_points.len(), 2);
    assert_eq!(header.config.people[0].devices[0].macs.len(), 1);
    assert_eq!(header.started.to_string(), "2026-11-22T08:00:00Z");
    assert_eq!((header.exact, header.t_ms), (false, 0));
}

#[test]
fn a_recording_is_no_one_elses_to_read_and_never_written_over() {
    let scratch = Scratch::new();
    let target = Target::new(scratch.file("day.jsonl.gz"), 1);
    Writer::start(&target, &header()).unwrap().finish().unwrap();
    assert_eq!(fs::metadata(&target.file).unwrap().permissions().mode() & 0o777, 0o600);
    let Err(why) = Writer::start(&target, &header()) else { panic!("written over") };
    assert!(why.contains("day.jsonl.gz") && why.contains("exists"), "{why}");
    assert_eq!(target.clone().beside().file, scratch.file("day-2.jsonl.gz"));
    fs::write(scratch.file("day-2.jsonl.gz"), "").unwrap();
    assert_eq!(target.beside().file, scratch.file("day-3.jsonl.gz"));
    assert_eq!(Target::new(scratch.file(".hidden"), 1).beside().file, scratch.file(".hidden"));
}

#[test]
fn a_writer_writes_what_a_reader_reads() {
    let scratch = Scratch::new();
    let target = Target::new(scratch.file("a.gz"), 1);
    let writer = Writer::start(&target, &header()).unwrap();
    for given in everything() {
        assert!(writer.write(line::write(&given, Moment::from_ms(5))));
    }
    let written = writer.finish().unwrap();
    let bytes = fs::read(&target.file).unwrap();
    assert_eq!((written.lines, written.bytes), (everything().len() as u64 + 1, bytes.len() as u64));
    let (given, bad, is_cut) = read_all(bytes).unwrap();
    let expected: Vec<String> = everything().iter().map(|given| format!("5 {given:?}")).collect();
    assert_eq!((given, bad, is_cut), (expected, vec![], false));
}

#[test]
fn a_recording_stays_as_small_as_was_allowed() {
    let scratch = Scratch::new();
    let target = Target { file: scratch.file("a.gz"), bytes_max: 20_000 };
    let writer = Writer::start(&target, &header()).unwrap();
    // Noise does not shrink: nobody but the writer keeps the file small.
    let mut noise = 1_u64;
    let mut lines = 0;
    for _ in 0..10_000 {
        let payload: String = (0..40)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'a' + u8::try_from(noise >> 40 & 15).unwrap())
            })
            .collect();
        let given =
            Given::Message { topic: Cow::Borrowed("a"), payload: payload.as_bytes(), retained: false };
        if !writer.write(line::write(&given, Moment::from_ms(0))) {
            break;
        }
        lines += 1;
    }
    let written = writer.finish().unwrap();
    assert!(written.is_full && written.bytes <= 21_000 && written.bytes > 15_000, "{written:?} of {lines}");
    assert!(!read_all(fs::read(&target.file).unwrap()).unwrap().2, "it has a whole end");
}

/// A disk that does not answer.
struct Stalled(mpsc::Receiver<()>);

impl Write for Stalled {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.recv();
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_does_not_answer_ends_the_recording_and_holds_nobody_up() {
    let (_answer, stalled) = mpsc::channel();
    let target = Target { file: "stalled.gz".into(), bytes_max: u64::MAX };
    let writer = Writer::on(Stalled(stalled), &target, &header()).unwrap();
    let mut noise = 7_u64;
    let mut taken = 0;
    // Longer than anything that is kept for a disk; noise, so that it has to be written.
    while taken < 10_000 {
        let line: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u8::try_from(noise >> 56).unwrap_or_default()
        })
        .take(64 << 10)
        .collect();
        if !writer.write(line) {
            break;
        }
        taken += 1;
    }
    assert!(taken < 10_000, "everything is kept in memory");
    assert!(writer.finish().unwrap_err().contains("too slowly"));
}

#[test]
fn a_cut_file_is_read_up_to_the_cut_wherever_it_is() {
    let lines: Vec<String> = (0..60)
        .map(|ms| {
            format!(r#"{{"t_ms":{ms},"topic":"ap/a/events","payload":{{"seq":{}}}}}"#, ms * 7919 % 1000)
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let whole = plain(&lines);
    let (all, ..) = read_all(whole.clone()).unwrap();
    assert_eq!(all.len(), 60);
    let first = line::write_header(&header()).len();
    for (file, start) in [(whole.clone(), first), (compressed(&whole), 0)] {
        let mut read_before = 0;
        for end in start..file.len() {
            let Ok((given, bad, is_cut)) = read_all(file[..end].to_vec()) else {
                assert!(read_before == 0, "less is read of more at {end}");
                continue;
            };
            assert!(all.starts_with(&given), "cut at {end}");
            assert!(given.len() >= read_before && bad.is_empty(), "cut at {end}");
            let is_at_a_line_end = given.len() + 1 == file[..end].split(|byte| *byte == b'\n').count()
                || file[..end].ends_with(b"}")
                || file[..end].ends_with(b"\n");
            assert!(is_cut || (start > 0 && is_at_a_line_end), "a cut at {end} is not said");
            read_before = given.len();
        }
        assert!(read_before >= 58, "only {read_before} lines are read before the last byte is cut");
    }
}

#[test]
fn what_was_written_some_seconds_ago_survives_a_kill() {
    // As the writer does after some seconds: a flush in the middle of the stream.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain(&[r#"{"t_ms":1,"event":"timeout"}"#])).unwrap();
    encoder.flush().unwrap();
    let flushed = encoder.get_ref().clone();
    let (given, bad, is_cut) = read_all(flushed).unwrap();
    assert_eq!((given, bad, is_cut), (vec!["1 Timeout".to_owned()], vec![], true));
}

#[test]
fn a_bad_line_costs_no_other_and_is_named() {
    let long = format!(r#"{{"t_ms":3,"topic":"a","payload":"{}"}}"#, "x".repeat(LINE_MAX));
    let lines = [
        r#"{"t_ms":1,"event":"timeout"}"#,
        "nonsense",
        r#"{"t_ms":2,"event":"explosion"}"#,
        "",
        &long,
        r#"{"t_ms":3,"topic":"a"}"#,
        r#"{"t_ms":3,"topic":"a","payload":1,"base64":"MQ=="}"#,
        r#"{"t_ms":3,"topic":"a","base64":"%"}"#,
        r#"{"t_ms":0,"event":"timeout"}"#,
        r#"{"t_ms":999999999999,"event":"timeout"}"#,
        r#"{"t_ms":4,"topic":"a","event":"timeout","payload":1}"#,
        r#"{"t_ms":4,"event":"config"}"#,
        r#"{"t_ms":4}"#,
        r#"{"t_ms":5,"event":"timeout"}"#,
    ];
    let (given, bad, is_cut) = read_all(plain(&lines)).unwrap();
    assert_eq!(given, ["1 Timeout", "5 Timeout"]);
    assert_eq!((bad, is_cut), ((3..=14).collect(), false));
}

#[test]
fn two_recordings_in_one_file_are_not_taken_for_one() {
    let one = plain(&[r#"{"t_ms":5,"event":"timeout"}"#]);
    let both = [compressed(&one), compressed(&one)].concat();
    assert_eq!(
        read_all(both).unwrap(),
        (vec!["5 Timeout".to_owned(), "5 Timeout".to_owned()], vec![3], false)
    );
    let with_more = [compressed(&one), b"more".to_vec()].concat();
    assert_eq!(read_all(with_more).unwrap(), (vec!["5 Timeout".to_owned()], vec![], true));
}

#[test]
fn what_is_no_recording_is_refused_with_the_reason() {
    let header_text = String::from_utf8(line::write_header(&header())).unwrap();
    for (bytes, because) in [
        (Vec::new(), "nothing is in it"),
        (b"PK\x03\x04".to_vec(), "expected value"),
        (compressed(b"{}\n"), "missing field `schema`"),
        (compressed(b"hello\n")[..12].to_vec(), "no end"),
        (
            header_text.replace(r#""schema":1"#, r#""schema":9"#).into_bytes(),
            "schema is 9, this release knows 1",
        ),
        (header_text.replace(r#""site":"home""#, r#""site":"My home""#).into_bytes(), "1 to 32 characters"),
        (vec![b'x'; HEADER_MAX + 1], "more than"),
    ] {
        let why = read_all(bytes).unwrap_err();
        assert!(why.contains("no recording of whichroom") && why.contains(because), "{because}: {why}");
    }
}

#[test]
fn times_to_record_are_read() {
    for (text, seconds) in [("90", 90), ("90s", 90), ("15m", 900), ("24h", 86_400), ("1h30m", 5_400)] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for text in ["", "-5m", "0s", "soon", "1 fortnight"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

mod any_bytes {
    use std::io::Read as _;

    use flate2::bufread::MultiGzDecoder;
    use proptest::prelude::*;

    use super::*;

    /// A recording with bytes changed, put in and taken out.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let whole = || {
            let lines: Vec<Vec<u8>> =
                everything().iter().map(|given| line::write(given, Moment::from_ms(9))).collect();
            let mut bytes = line::write_header(&header());
            bytes.push(b'\n');
            bytes.extend(lines.join(&b'\n'));
            bytes
        };
        let change = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
        (prop::collection::vec(change, 0..8), any::<bool>()).prop_map(move |(changes, compress)| {
            let mut bytes = if compress { compressed(&whole()) } else { whole() };
            for (at, byte, how) in changes {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            bytes
        })
    }

    /// Line ends and what is after the last one, as far as the bytes can be decompressed.
    fn lines_in(bytes: &[u8]) -> usize {
        let mut text = bytes.to_vec();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            text.clear();
            // What comes before the damage counts.
            let _ = MultiGzDecoder::new(bytes).read_to_end(&mut text);
        }
        text.split(|byte| *byte == b'\n').count()
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_none_read_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = read_all(bytes.clone());
            let mut decoded = Vec::new();
            let _ = line::read(&bytes, &mut decoded);
            let _ = line::read_header(&bytes);
        }

        #[test]
        fn damage_costs_lines_and_nothing_else(bytes in damaged()) {
            let is_plain = !bytes.starts_with(&[0x1f, 0x8b]);
            let lines = lines_in(&bytes);
            if let Ok((given, bad, is_cut)) = read_all(bytes) {
                let read = given.len() + bad.len();
                // Each line is given or named, but for the first, and the last where the file is cut there.
                prop_assert!(read < lines && read + 2 >= lines - usize::from(is_cut), "{read} of {lines}");
                // Damage to a compressed stream may repeat lines, until its checksum tells.
                prop_assert!(!is_plain || read <= everything().len() + 8);
            }
        }

        #[test]
        fn any_payload_is_kept(payload in prop::collection::vec(any::<u8>(), 0..200), topic in ".{0,20}", retained: bool) {
            let given = Given::Message { topic: topic.into(), payload: &payload, retained };
            let line = line::write(&given, Moment::from_ms(-3));
            let mut decoded = Vec::new();
            prop_assert_eq!(line::read(&line, &mut decoded), Ok((Moment::from_ms(-3), given)));
        }
    }
}
