use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tempfile::TempDir;
use whichroom_presence::output::LikelyRooms;
use whichroom_roaming::{
    Analysis, Began, Ended, Hearing, Parameters, RadioState, Range, SignalMinute, Site, Span,
};

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn at(ms: i64) -> Time {
    Time::from_ms(ms)
}

fn always() -> Range {
    Range::new(at(0), at(1_000 * DAY))
}

fn mac(n: u8) -> Mac {
    Mac::new([2, 0, 0, 0, 0, n])
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn span(device: u8, begin: i64, end: i64) -> Span {
    Span {
        mac: mac(device),
        ap: id("hall"),
        bssid: mac(200),
        begin: at(begin),
        began: Began::FastTransition,
        end: at(end),
        ended: Some(Ended::PollFailed),
    }
}

fn signal(device: u8, minute: i64, mean_dbm: i8) -> SignalMinute {
    SignalMinute {
        minute: at(minute * MINUTE),
        mac: mac(device),
        ap: id("hall"),
        bssid: mac(200),
        hearing: Hearing::Overheard,
        min_dbm: mean_dbm - 3,
        mean_dbm,
        max_dbm: mean_dbm + 2,
        count: 700,
    }
}

fn radio(at_ms: i64, channel: u32, utilization_permille: u32) -> RadioState {
    RadioState {
        at: at(at_ms),
        ap: id("hall"),
        bssid: mac(200),
        ifname: "phy0-ap0".to_owned(),
        ssid: Some("Home".to_owned()),
        enabled: true,
        freq_mhz: Some(5_180),
        channel: Some(channel),
        width_mhz: None,
        txpower_dbm: Some(20),
        noise_dbm: Some(-95),
        utilization_permille: Some(utilization_permille),
        ft: Some(true),
        rrm: None,
        btm: Some(false),
    }
}

fn spans(spans: &[Span]) -> Vec<Entry> {
    spans.iter().cloned().map(|span| Entry::Row(Row::Span(span))).collect()
}

fn signals(signals: &[SignalMinute]) -> Vec<Entry> {
    signals.iter().cloned().map(|signal| Entry::Row(Row::Signal(signal))).collect()
}

fn file_in(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

struct Bench {
    folder: TempDir,
    writer: Writer,
}

impl Bench {
    fn new() -> Bench {
        let folder = TempDir::new().unwrap();
        let writer = Writer::open(&file_in(folder.path())).unwrap();
        Bench { folder, writer }
    }

    fn path(&self) -> PathBuf {
        file_in(self.folder.path())
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.path()).unwrap()
    }
}

#[test]
fn what_is_written_is_read() {
    let mut bench = Bench::new();
    let written = [span(1, 1_000, 5_000), span(1, 5_000, 9_000), span(2, 0, 20_000)];
    bench.writer.write(&spans(&written)).unwrap();
    let note = Note { at: at(7), text: "power lowered".to_owned() };
    bench.writer.write(&[Entry::Note(note.clone())]).unwrap();
    let reader = bench.reader();
    assert_eq!(reader.spans(always(), None).unwrap(), written);
    assert_eq!(reader.spans(always(), Some(&BTreeSet::from([mac(2)]))).unwrap(), written[2..]);
    assert_eq!(reader.spans(Range::new(at(5_000), at(6_000)), None).unwrap(), written[1..]);
    assert_eq!(reader.notes(always()).unwrap(), [note]);
}

#[test]
fn a_span_that_is_written_again_replaces_itself() {
    let mut bench = Bench::new();
    bench.writer.write(&spans(&[Span { ended: None, ..span(1, 0, 10) }])).unwrap();
    bench.writer.write(&spans(&[span(1, 0, 50)])).unwrap();
    assert_eq!(bench.reader().spans(always(), None).unwrap(), [span(1, 0, 50)]);
}

#[test]
fn who_thrashed_when_we_stopped_is_found_again() {
    let mut bench = Bench::new();
    let clock = crate::clock::Clock::start();
    let now = clock.unix_ms(clock.now());
    let bounces = (0..10_i64).map(|number| {
        let begin = now - (11 - number) * 30_000;
        let ap = id(if number % 2 == 0 { "hall" } else { "attic" });
        let bssid = mac(200 + u8::try_from(number % 2).unwrap());
        Span { ap, bssid, ended: Some(Ended::Roamed), ..span(1, begin, begin + 30_000) }
    });
    bench.writer.write(&spans(&bounces.collect::<Vec<_>>())).unwrap();
    let text = "[[person]]\nname = \"Ada\"\ndevices = [\"02:00:00:00:00:01\"]\n";
    let found = |text: &str| {
        let setup = crate::config::parse(text, Path::new("/nonexistent")).0.unwrap().setup;
        let options = Options { path: bench.path(), keep: Keep::default() };
        let mut keeping = Keeping::start(&options, &setup, None, clock.clone(), |_| {}).unwrap();
        keeping.settle(clock.now());
        keeping.poll_thrashing(clock.now()).and_then(|(_, state)| state)
    };
    let state = found(text).unwrap();
    assert_eq!((state.changes, state.since), (9, at(now - 10 * 30_000)));
    assert_eq!(found(&text.replace("devices", "detail = \"home-only\"\ndevices")), None);
}

#[test]
fn where_a_device_may_have_been_is_read_from_the_last_word_before() {
    let mut bench = Bench::new();
    let likely = |minute: i64, rooms: &[(&str, u8)]| Likely {
        mac: mac(1),
        minute: at(minute * MINUTE),
        rooms: rooms.iter().map(|(room, percent)| (id(room), *percent)).collect(),
    };
    let told = [likely(3, &[("kitchen", 70), ("hall", 25)]), likely(9, &[]), likely(20, &[("hall", 100)])];
    bench.writer.write(&told.clone().map(Entry::Likely)).unwrap();
    let read = |from, to| {
        bench
            .reader()
            .likely(Range::new(at(from * MINUTE), at(to * MINUTE)), Some(&BTreeSet::from([mac(1)])))
            .unwrap()
    };
    assert_eq!(read(0, 30), told);
    assert_eq!(read(5, 12), told[..2]);
    assert_eq!(read(9, 12), told[1..2]);
    assert_eq!(read(0, 2), []);
    let erase = Entry::Erase { people: BTreeSet::new(), macs: BTreeSet::from([mac(1)]) };
    bench.writer.write(&[erase]).unwrap();
    assert_eq!(bench.reader().likely(always(), None).unwrap(), []);
}

#[test]
fn a_file_of_the_release_before_is_brought_up_to_date() {
    let folder = TempDir::new().unwrap();
    let file = file_in(folder.path());
    drop(Writer::open(&file).unwrap());
    let older = rusqlite::Connection::open(&file).unwrap();
    older.execute_batch("DROP TABLE likely; PRAGMA user_version = 1").unwrap();
    older.execute("INSERT INTO note (at_ms, text) VALUES (7, 'kept')", []).unwrap();
    drop(older);
    let mut writer = Writer::open(&file).unwrap();
    let likely = Likely { mac: mac(1), minute: at(0), rooms: vec![(id("hall"), 100)] };
    writer.write(&[Entry::Likely(likely)]).unwrap();
    let reader = Reader::open(&file).unwrap();
    assert_eq!((reader.likely(always(), None).unwrap().len(), reader.notes(always()).unwrap().len()), (1, 1));
}

#[test]
fn associations_of_the_first_release_read_as_they_were_written() {
    let folder = TempDir::new().unwrap();
    let file = file_in(folder.path());
    drop(Writer::open(&file).unwrap());
    let older = rusqlite::Connection::open(&file).unwrap();
    for table in
        ["device", "bss", "span", "signal_minute", "signal_hour", "radio", "air", "stay", "note", "likely"]
    {
        older.execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    older.execute_batch(schema::MIGRATIONS[0]).unwrap();
    older
        .execute_batch("PRAGMA user_version = 1; INSERT INTO bss VALUES (1, 'hall', 2199023255752)")
        .unwrap();
    let key = mac_number(mac(1));
    older.execute("INSERT INTO device VALUES (1, ?1)", [key]).unwrap();
    let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let mut written = Vec::new();
    for (n, ended) in schema::ENDED.into_iter().map(Some).chain([None]).enumerate() {
        let n = i64::try_from(n).unwrap();
        let began = schema::BEGAN[usize::try_from(n).unwrap() % 3];
        let (begun_as, ended_as) = (serde_json::json!(began), serde_json::json!(ended));
        let row = rusqlite::params![n * 100, n * 100 + 50, word(&begun_as), word(&ended_as)];
        older.execute("INSERT INTO span VALUES (1, ?1, 1, ?2, ?3, ?4)", row).unwrap();
        written.push(Span { began, ended, ..span(1, n * 100, n * 100 + 50) });
    }
    drop(older);
    drop(Writer::open(&file).unwrap());
    assert_eq!(Reader::open(&file).unwrap().spans(always(), None).unwrap(), written);
}

#[test]
fn where_devices_may_be_is_kept_when_it_changes_and_never_of_somebody_home_only() {
    let text = "[[person]]\nname = \"Ada\"\ndevices = [\"02:00:00:00:00:01\"]\n\
        [[person]]\nname = \"Guest\"\ndetail = \"home-only\"\ndevices = [\"02:00:00:00:00:02\"]\n";
    let setup = crate::config::parse(text, Path::new("/nonexistent")).0.unwrap().setup;
    let mut chronicle = Chronicle::new(&setup, None, at(0));
    chronicle.take_entries();
    let rooms = |percent| vec![(id("hall"), percent)];
    let mut told = |minute: i64, likely: &[(u8, u8)]| {
        let likely = likely.iter().map(|(n, percent)| LikelyRooms { mac: mac(*n), rooms: rooms(*percent) });
        chronicle.handle_likely_rooms(|| likely.collect(), at(minute * MINUTE + 7_000));
        chronicle.take_entries()
    };
    let entry =
        |minute: i64, rooms| Entry::Likely(Likely { mac: mac(1), minute: at(minute * MINUTE), rooms });
    assert_eq!(told(0, &[(1, 70), (2, 90)]), [entry(0, rooms(70))]);
    assert_eq!(told(1, &[(1, 70), (2, 80)]), []);
    assert_eq!(told(2, &[(1, 75)]), [entry(2, rooms(75))]);
    assert_eq!(told(3, &[]), [entry(3, vec![])]);
    assert_eq!(told(4, &[]), []);
    assert_eq!(told(4, &[(1, 75)]), [], "asked once a minute");
}

#[test]
fn minutes_read_alike_before_and_after_their_hour_is_packed() {
    let mut bench = Bench::new();
    let hour: Vec<SignalMinute> = (0..60).step_by(7).map(|minute| signal(1, minute, -60)).collect();
    bench.writer.write(&signals(&hour)).unwrap();
    assert_eq!(bench.reader().signals(always(), None, None).unwrap(), hour);
    let later = signal(1, 61, -70);
    // One of the hour before comes late, after it was packed.
    let late = signal(1, 59, -65);
    bench.writer.write(&signals(std::slice::from_ref(&later))).unwrap();
    bench.writer.write(&signals(std::slice::from_ref(&late))).unwrap();
    bench.writer.write(&signals(&[signal(1, 125, -50)])).unwrap();
    let mut all = hour;
    all.extend([late, later, signal(1, 125, -50)]);
    assert_eq!(bench.reader().signals(always(), None, None).unwrap(), all);
    let part = Range::new(at(7 * MINUTE), at(8 * MINUTE));
    assert_eq!(bench.reader().signals(part, None, None).unwrap(), all[1..2]);
}

#[test]
fn a_timeline_is_the_same_without_what_others_overheard() {
    let mut bench = Bench::new();
    let ended = Some(Ended::Roamed);
    // To and fro, and what it gains is told by the signals of its associations alone.
    let to_and_fro = (0..30).map(|n| {
        let (ap, bssid) = if n % 2 == 0 { ("hall", 200) } else { ("attic", 201) };
        let (begin, end) = (n * 5 * MINUTE, (n + 1) * 5 * MINUTE);
        Span { ap: id(ap), bssid: mac(bssid), ended, ..span(1, begin, end) }
    });
    bench.writer.write(&spans(&to_and_fro.collect::<Vec<_>>())).unwrap();
    let all = (0..150).flat_map(|minute| {
        let (ap, bssid) = if minute / 5 % 2 == 0 { ("hall", 200) } else { ("attic", 201) };
        let on = SignalMinute { ap: id(ap), bssid: mac(bssid), ..signal(1, minute, -70) };
        let heard = |hearing| SignalMinute { hearing, ..signal(1, minute, -50) };
        [
            SignalMinute { hearing: Hearing::Associated, ..on },
            heard(Hearing::Overheard),
            heard(Hearing::Reported),
        ]
    });
    bench.writer.write(&signals(&all.collect::<Vec<_>>())).unwrap();
    let (reader, range) = (bench.reader(), Range::new(at(0), at(3 * HOUR)));
    let timeline = |material: &Material| {
        let (site, parameters) = (Site::default(), Parameters::default());
        Analysis::new(material.rows(), &site, range, &parameters).timeline(100, MINUTE.unsigned_abs())
    };
    let read = Material::of_timeline(&reader, range, None).unwrap();
    let everything = Material { signals: reader.signals(range, None, None).unwrap(), ..read.clone() };
    assert!(read.signals.len() * 3 == everything.signals.len() && read.signals.len() == 150);
    let drawn = timeline(&read);
    assert_eq!(drawn, timeline(&everything));
    assert!(!drawn.rows[0].episodes.is_empty() && drawn.rows[0].signal.len() >= 75);
}

#[test]
fn busy_air_makes_no_new_state_of_a_radio_and_is_not_lost() {
    let mut bench = Bench::new();
    let states = [radio(0, 36, 100), radio(HOUR, 36, 300), radio(2 * HOUR, 44, 300)];
    let entries = states.iter().cloned().map(|radio| Entry::Row(Row::Radio(radio)));
    bench.writer.write(&entries.collect::<Vec<_>>()).unwrap();
    let reader = bench.reader();
    assert_eq!(reader.radios(always()).unwrap(), states);
    // The state before a range is the state at its beginning.
    assert_eq!(reader.radios(Range::new(at(HOUR + 1), at(3 * HOUR))).unwrap(), states[1..]);
}

#[test]
fn a_stay_ends_when_the_next_begins() {
    let mut bench = Bench::new();
    let stay = |begin, room: Option<&str>| Stay {
        person: id("ada"),
        begin: at(begin),
        home: room.is_some(),
        room: room.map(id),
    };
    let stays = [stay(0, Some("hall")), stay(100, Some("kitchen")), stay(500, None)];
    bench.writer.write(&stays.clone().map(Entry::Stay)).unwrap();
    let rows = bench.reader().stays(always()).unwrap();
    assert_eq!(rows.iter().map(|row| row.end).collect::<Vec<_>>(), [Some(at(100)), Some(at(500)), None]);
    assert_eq!(rows.into_iter().map(|row| row.stay).collect::<Vec<_>>(), stays);
}

#[test]
fn a_stay_that_is_told_again_after_a_restart_goes_on() {
    let mut bench = Bench::new();
    let stay = |begin| Stay { person: id("ada"), begin: at(begin), home: true, room: Some(id("hall")) };
    bench.writer.write(&[Entry::Stay(stay(100)), Entry::Stay(stay(107))]).unwrap();
    let rows = bench.reader().stays(always()).unwrap();
    assert_eq!(rows, [StayRow { stay: stay(100), end: None }]);
}

#[test]
fn of_whom_nothing_is_to_be_kept_nothing_is_left() {
    let mut bench = Bench::new();
    bench.writer.write(&spans(&[span(1, 0, 10), span(2, 0, 10)])).unwrap();
    bench.writer.write(&signals(&[signal(1, 1, -60), signal(1, 70, -60), signal(2, 70, -60)])).unwrap();
    let stay = |person: &str| Entry::Stay(Stay { person: id(person), begin: at(0), home: false, room: None });
    bench.writer.write(&[stay("ada"), stay("guest")]).unwrap();
    let erase = Entry::Erase { people: BTreeSet::from([id("guest")]), macs: BTreeSet::from([mac(1)]) };
    bench.writer.write(&[erase]).unwrap();
    let reader = bench.reader();
    assert_eq!(reader.spans(always(), None).unwrap(), [span(2, 0, 10)]);
    assert_eq!(reader.signals(always(), None, None).unwrap(), [signal(2, 70, -60)]);
    assert_eq!(reader.stays(always()).unwrap().len(), 1);
}

#[test]
fn what_is_too_old_goes_and_what_lasts_stays() {
    let mut bench = Bench::new();
    let now = 100 * DAY;
    bench.writer.write(&spans(&[span(1, 0, DAY), span(1, now - 80 * DAY, now - 79 * DAY)])).unwrap();
    let minutes = [now - 15 * DAY, now - 13 * DAY, now].map(|ms| signal(1, ms / MINUTE, -60));
    bench.writer.write(&signals(&minutes)).unwrap();
    let states = [radio(0, 36, 1), radio(DAY, 40, 2)].map(|radio| Entry::Row(Row::Radio(radio)));
    bench.writer.write(&states).unwrap();
    bench.writer.tidy(&Keep::default(), at(now)).unwrap();
    let reader = bench.reader();
    assert_eq!(reader.spans(always(), None).unwrap().len(), 1);
    assert_eq!(reader.signals(always(), None, None).unwrap(), minutes[1..]);
    let radios = reader.radios(always()).unwrap();
    assert_eq!(
        radios.iter().map(|radio| radio.channel).collect::<Vec<_>>(),
        [Some(40)],
        "the last state is kept"
    );
}

#[test]
fn a_file_that_grows_too_big_loses_its_oldest_days() {
    let mut bench = Bench::new();
    for day in 0..10 {
        let minutes = (0..1_440).flat_map(|minute| (0..4).map(move |device| (device, day * 1_440 + minute)));
        let of_day: Vec<SignalMinute> = minutes.map(|(device, minute)| signal(device, minute, -60)).collect();
        bench.writer.write(&signals(&of_day)).unwrap();
    }
    let keep = Keep { max_bytes: 200 << 10, ..Keep::default() };
    bench.writer.tidy(&keep, at(10 * DAY)).unwrap();
    assert!(fs::metadata(bench.path()).unwrap().len() <= keep.max_bytes + (64 << 10));
    let left = bench.reader().signals(always(), None, None).unwrap();
    assert!(left.first().is_some_and(|first| first.minute > at(3 * DAY)), "the oldest went");
    assert!(left.last().is_some_and(|last| last.minute > at(9 * DAY)), "the newest stayed");
}

#[test]
fn a_file_of_something_else_or_of_later_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = file_in(folder.path());
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE song (name TEXT)").unwrap();
    let refused = Writer::open(&path).err().map(|error| error.to_string()).unwrap();
    assert!(refused.contains("no history of WhichRoom"), "{refused}");
    drop(other);
    fs::remove_file(&path).unwrap();
    let writer = Writer::open(&path).unwrap();
    drop(writer);
    let later = rusqlite::Connection::open(&path).unwrap();
    later.pragma_update(None, "user_version", 99).unwrap();
    let refused = Writer::open(&path).err().map(|error| error.to_string()).unwrap();
    assert!(refused.contains("later release (version 99"), "{refused}");
}

#[test]
fn an_unreadable_file_is_kept_aside_and_a_new_one_begun() {
    let folder = TempDir::new().unwrap();
    let path = file_in(folder.path());
    fs::write(&path, "this is no database at all, but it is long enough to look at".repeat(100)).unwrap();
    let mut writer = open(&path).unwrap();
    writer.write(&spans(&[span(1, 0, 5)])).unwrap();
    assert_eq!(Reader::open(&path).unwrap().spans(always(), None).unwrap().len(), 1);
    assert!(path.with_extension("sqlite3.unreadable").exists());
}

#[test]
fn a_disk_that_takes_nothing_is_said_and_holds_nobody_up() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("nowhere");
    let said = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&said);
    let mut history = History::start(file_in(&missing), Keep::default(), move |health| {
        tell.lock().unwrap().push(health);
    })
    .unwrap();
    for begin in 0..10_000 {
        history.keep(spans(&[span(1, begin * 10, begin * 10 + 5)]));
    }
    drop(history);
    let said = said.lock().unwrap();
    let [Health::Failing { why, .. }] = said.as_slice() else { panic!("{said:?}") };
    assert!(why.contains("nowhere"), "{why}");
}

#[test]
fn what_is_handed_over_before_the_end_is_on_disk() {
    let folder = TempDir::new().unwrap();
    let mut history = History::start(file_in(folder.path()), Keep::default(), |_| {}).unwrap();
    for begin in 0..500 {
        history.keep(spans(&[span(1, begin * 10, begin * 10 + 5)]));
    }
    drop(history);
    assert_eq!(Reader::open(&file_in(folder.path())).unwrap().spans(always(), None).unwrap().len(), 500);
}

/// A home of 6 APs and 40 devices over 90 days: bytes of its file.
#[test]
fn ninety_days_of_forty_devices_fit_into_thirty_megabytes() {
    let mut bench = Bench::new();
    let days = 90;
    for day in 0..days {
        let of_day = (0..40u8).flat_map(|device| {
            (0..30).map(move |n| span(device, day * DAY + n * 48 * MINUTE, day * DAY + (n + 1) * 48 * MINUTE))
        });
        bench.writer.write(&spans(&of_day.collect::<Vec<_>>())).unwrap();
        if day < days - 14 {
            continue;
        }
        for hour in 0..24 {
            let minutes = (0..60).flat_map(|minute| (0..40).map(move |device| (device, minute)));
            let minute = |(device, minute)| signal(device, (day * 24 + hour) * 60 + minute, -60);
            bench.writer.write(&signals(&minutes.map(minute).collect::<Vec<_>>())).unwrap();
        }
    }
    bench.writer.tidy(&Keep::default(), at(days * DAY)).unwrap();
    let bytes = fs::metadata(bench.path()).unwrap().len();
    println!("90 days: {:.1} MB", bytes as f64 / 1e6);
    assert!(bytes < 30_000_000, "{bytes}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn minutes_in_any_order_are_all_there(minutes in proptest::collection::btree_set((1u8..4, 0i64..600), 1..80), seed in any::<u64>()) {
        let mut bench = Bench::new();
        let mut shuffled: Vec<(u8, i64)> = minutes.iter().copied().collect();
        shuffled.sort_by_key(|(device, minute)| (u64::from(*device) * 31 + minute.unsigned_abs()).wrapping_mul(seed | 1));
        for (device, minute) in shuffled {
            bench.writer.write(&signals(&[signal(device, minute, -60)])).unwrap();
        }
        let read = bench.reader().signals(always(), None, None).unwrap();
        let read: BTreeSet<(u8, i64)> = read.iter().map(|s| (s.mac.octets()[5], s.minute.as_ms() / MINUTE)).collect();
        prop_assert_eq!(read, minutes);
    }
}

/// Where the child of the test below writes.
const VICTIM: &str = "WHICHROOM_TEST_HISTORY_VICTIM";

#[test]
#[ignore = "is run, and killed, by the test below"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let mut writer = Writer::open(Path::new(&path)).unwrap();
    let begin = writer_count(&writer, "note");
    for n in begin..i64::MAX {
        let note = Note { at: at(n), text: "x".repeat(200) };
        let mut entries = spans(&[span(1, n * 10, n * 10 + 5)]);
        entries.extend(signals(&[signal(1, n, -60), signal(2, n, -70)]));
        entries.push(Entry::Note(note));
        writer.write(&entries).unwrap();
    }
}

fn writer_count(writer: &Writer, table: &str) -> i64 {
    writer.query_row(&format!("SELECT count(*) FROM {table}"))
}

#[test]
fn killed_in_the_middle_a_hundred_times_it_opens_clean() {
    let folder = TempDir::new().unwrap();
    let path = file_in(folder.path());
    let mut before = 0;
    for kill in 0..100 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "history::tests::writes_until_it_is_killed", "--ignored"])
            .env(VICTIM, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let grown = || fs::metadata(&path).is_ok_and(|file| file.len() > 0);
        while !grown() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(15 + kill % 20));
        child.kill().unwrap();
        child.wait().unwrap();
        let writer = Writer::open(&path).unwrap();
        assert_eq!(writer.query_row::<String>("PRAGMA integrity_check"), "ok");
        let notes = writer_count(&writer, "note");
        assert_eq!(writer_count(&writer, "span"), notes, "a transaction is there as a whole, or not at all");
        assert!(notes >= before, "what was written stays");
        before = notes;
    }
    assert!(before > 100, "it wrote something: {before}");
    let read = Reader::open(&path).unwrap().signals(always(), None, None).unwrap().len();
    assert_eq!(i64::try_from(read).unwrap(), before * 2);
}
