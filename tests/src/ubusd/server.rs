//! The stand-in as a server: socket, threads and the handle that drives it. Everything that decides is in `core`
//! and `providers`; this file carries it out under one lock.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use whichroom_wire::Mac;

use super::access::Access;
use super::access_point::{AccessPoint, Bss, Heard, Lease, Release, Station};
use super::connection::Outbox;
use super::core::{Call, ClientId, Core, Effect, Process};
use super::frame::{Frame, status};
use super::providers;
use super::value::{self, Fields};

/// How the stand-in starts.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the access point runs.
    pub release: Release,
    /// What clients may do.
    pub access: Access,
    /// A minimal image: neither `iwinfo` nor `luci-rpc`.
    pub without_rpcd: bool,
    /// `usteer` is installed.
    pub usteer: bool,
}

/// How a provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// At once.
    #[default]
    Prompt,
    /// So much later; other calls of the same process wait meanwhile.
    Slow(Duration),
    /// Never.
    Silent,
}

/// What is answered instead of the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Override {
    /// This status, without data.
    Status(u32),
    /// These bytes as `DATA`, whatever they are, then OK.
    Raw(Vec<u8>),
}

/// Whether a notification asks for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// No: the usual case.
    Nothing,
    /// Yes, as after `notify_response 1`.
    Answer,
}

/// How a station goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leave {
    /// It sends a disassociation.
    Disassoc,
    /// It sends a deauthentication.
    Deauth,
    /// The AP sends one.
    LocalDeauth,
    /// The AP gives it up.
    InactiveDeauth,
    /// It is gone from the table, without a word.
    Silent,
}

/// A client's answer to a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The BSS that notified.
    pub ifname: String,
    /// The notification.
    pub method: String,
    /// The answer.
    pub status: u32,
    /// How long it took.
    pub after: Duration,
}

/// A running stand-in. Dropping it ends it.
pub struct Ubusd {
    path: PathBuf,
    without_rpcd: bool,
    usteer: bool,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    core: Core,
    ap: AccessPoint,
    running: bool,
    outboxes: BTreeMap<ClientId, Arc<Outbox>>,
    queues: BTreeMap<Process, Sender<Call>>,
    paces: BTreeMap<Process, Pace>,
    overrides: BTreeMap<(String, String), Override>,
    calls: BTreeMap<(String, String), u32>,
    awaited: BTreeMap<u16, Awaited>,
    answers: Vec<Answered>,
}

struct Awaited {
    ifname: String,
    method: String,
    since: Instant,
}

/// Waits in here are for hangs only.
const HANG: Duration = Duration::from_secs(60);

impl Ubusd {
    /// Starts to listen at `path`.
    pub fn start(path: &Path, options: Options) -> io::Result<Ubusd> {
        let seed = std::process::id() ^ u32::try_from(path.as_os_str().len()).unwrap_or(0) << 20;
        let mut core = Core::new(seed);
        core.set_access(options.access);
        let (queues, receivers): (BTreeMap<_, _>, Vec<_>) = Process::ALL.into_iter().fold(
            (BTreeMap::new(), Vec::new()),
            |(mut queues, mut receivers), process| {
                let (sender, receiver) = channel();
                queues.insert(process, sender);
                receivers.push((process, receiver));
                (queues, receivers)
            },
        );
        let state = State {
            core,
            ap: AccessPoint::new(options.release),
            running: false,
            outboxes: BTreeMap::new(),
            queues,
            paces: BTreeMap::new(),
            overrides: BTreeMap::new(),
            calls: BTreeMap::new(),
            awaited: BTreeMap::new(),
            answers: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        for (process, calls) in receivers {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.provide(process, &calls));
        }
        let mut ubusd = Ubusd {
            path: path.to_owned(),
            without_rpcd: options.without_rpcd,
            usteer: options.usteer,
            shared,
            accepting: None,
        };
        ubusd.start_again()?;
        Ok(ubusd)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts again after [`Ubusd::stop`]; every object has a new id.
    pub fn start_again(&mut self) -> io::Result<()> {
        if self.accepting.is_some() {
            return Ok(());
        }
        // A socket that nobody serves is left over; without one there is nothing to remove.
        let _ = std::fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path)?;
        let (without_rpcd, usteer) = (self.without_rpcd, self.usteer);
        self.change(|state| {
            state.running = true;
            for path in ["system", "network.wireless", "iwinfo", "luci-rpc", "usteer"] {
                let (process, methods) = providers::signature(path);
                let missing =
                    without_rpcd && process == Process::Rpcd || !usteer && process == Process::Usteer;
                if !missing {
                    state.core.provide(process, path, methods);
                }
            }
            let ifnames: Vec<String> = state.ap.bsss.keys().cloned().collect();
            ifnames.iter().for_each(|ifname| state.provide_bss(ifname));
        });
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(std::thread::spawn(move || accept(&listener, &shared)));
        Ok(())
    }

    /// Ends as if ubusd had crashed: every connection breaks, the socket is gone.
    pub fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.change(|state| {
            state.running = false;
            state.core.reset();
            std::mem::take(&mut state.outboxes).values().for_each(|outbox| outbox.close());
        });
        // Wakes the accepting thread, which then sees that it is over.
        let _ = UnixStream::connect(&self.path);
        let _ = accepting.join();
        let _ = std::fs::remove_file(&self.path);
    }

    /// Adds a BSS and announces its object. One of that name is replaced.
    pub fn add_bss(&self, bss: Bss) {
        self.change(|state| {
            let ifname = bss.ifname.clone();
            state.ap.bsss.insert(ifname.clone(), bss);
            state.provide_bss(&ifname);
        });
    }

    /// Removes a BSS with its object and stations.
    pub fn remove_bss(&self, ifname: &str) -> Option<Bss> {
        self.change(|state| {
            state.core.withdraw(&object(ifname));
            state.ap.bsss.remove(ifname)
        })
    }

    /// What `wifi reload` does: every BSS goes without its stations and comes back with a new id.
    pub fn wifi_reload(&self) {
        self.change(|state| {
            let ifnames: Vec<String> = state.ap.bsss.keys().cloned().collect();
            ifnames.iter().for_each(|ifname| state.core.withdraw(&object(ifname)));
            state.ap.bsss.values_mut().for_each(|bss| bss.stations.clear());
            ifnames.iter().for_each(|ifname| state.provide_bss(ifname));
        });
    }

    /// Changes the access point itself; nobody is notified.
    pub fn with_ap<T>(&self, change: impl FnOnce(&mut AccessPoint) -> T) -> T {
        self.change(|state| change(&mut state.ap))
    }

    /// A station associates and completes the handshake, with the notifications of the release. A station that is
    /// there already re-associates.
    pub fn join(&self, ifname: &str, mac: Mac, signal_dbm: i32) {
        self.change(|state| {
            let again = state.ap.station(ifname, mac).is_some_and(|station| station.authorized);
            let station = Station::new(signal_dbm, Instant::now());
            if state.ap.place(ifname, mac, station).is_none() {
                return;
            }
            state.station_notification(ifname, "auth", mac, signal_dbm);
            if again {
                state.station_notification(ifname, "disassoc", mac, 0);
            }
            state.station_notification(ifname, "assoc", mac, signal_dbm);
            if state.ap.release >= Release::R23_05 {
                state.station_notification(ifname, "sta-authorized", mac, 0);
            }
        });
    }

    /// Puts a station into the table without a notification.
    pub fn place(&self, ifname: &str, mac: Mac, station: Station) {
        self.with_ap(|ap| ap.place(ifname, mac, station));
    }

    /// A station goes.
    pub fn leave(&self, ifname: &str, mac: Mac, how: Leave) {
        self.change(|state| {
            let gone = state.ap.bsss.get_mut(ifname).and_then(|bss| bss.stations.remove(&mac));
            let frame = match how {
                Leave::Disassoc | Leave::Silent => None,
                Leave::Deauth => Some("deauth"),
                Leave::LocalDeauth => Some("local-deauth"),
                Leave::InactiveDeauth => Some("inactive-deauth"),
            };
            if let Some(frame) = frame {
                state.station_notification(ifname, frame, mac, 0);
            }
            if how != Leave::Silent && gone.is_some_and(|station| station.authorized) {
                state.station_notification(ifname, "disassoc", mac, 0);
            }
        });
    }

    /// Sets a station's signal, as if traffic came with it.
    pub fn set_signal(&self, ifname: &str, mac: Mac, signal_dbm: i32) {
        self.with_ap(|ap| {
            if let Some(station) = ap.station(ifname, mac) {
                station.signal_dbm = signal_dbm;
                station.receive(10, Instant::now());
            }
        });
    }

    /// A notification about a station, with the fields of its kind and release.
    pub fn notify_station(&self, ifname: &str, name: &str, mac: Mac, signal_dbm: i32) {
        self.change(|state| state.station_notification(ifname, name, mac, signal_dbm));
    }

    /// Any notification. Returns how many subscriptions got it.
    pub fn notify(&self, ifname: &str, name: &str, data: &Fields, wanted: Wanted) -> usize {
        self.change(|state| state.notify(ifname, name, data, wanted))
    }

    /// Sends bytes to every client as they are.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.change(|state| state.outboxes.values().for_each(|outbox| outbox.push(bytes.to_vec())));
    }

    /// How a process answers from now on.
    pub fn set_pace(&self, process: Process, pace: Pace) {
        self.change(|state| state.paces.insert(process, pace));
    }

    /// What a method answers from now on; `None` for the truth.
    pub fn set_answer(&self, path: &str, method: &str, answer: Option<Override>) {
        let key = (path.to_owned(), method.to_owned());
        self.change(|state| match answer {
            Some(answer) => state.overrides.insert(key, answer),
            None => state.overrides.remove(&key),
        });
    }

    /// What clients may do from now on.
    pub fn set_access(&self, access: Access) {
        self.change(|state| state.core.set_access(access));
    }

    /// Accept subscriptions and never serve them.
    pub fn set_silent_subscriptions(&self, silent: bool) {
        self.change(|state| state.core.set_silent_subscriptions(silent));
    }

    /// What a station answers to a beacon request.
    pub fn set_beacon_report(&self, mac: Mac, heard: Vec<Heard>) {
        self.with_ap(|ap| ap.beacon_reports.insert(mac, heard));
    }

    /// The router's leases.
    pub fn set_leases(&self, leases: Vec<Lease>) {
        self.with_ap(|ap| ap.leases = leases);
    }

    /// Calls of a method so far.
    pub fn calls(&self, path: &str, method: &str) -> u32 {
        self.look(|state| state.calls_of(path, method))
    }

    /// Every method called so far, and how often.
    pub fn all_calls(&self) -> BTreeMap<(String, String), u32> {
        self.look(|state| state.calls.clone())
    }

    /// Subscriptions to a BSS.
    pub fn subscribers(&self, ifname: &str) -> usize {
        self.look(|state| state.core.subscribers(&object(ifname)))
    }

    /// Connected clients.
    pub fn clients(&self) -> usize {
        self.look(|state| state.core.clients())
    }

    /// Messages dropped because a client did not read.
    pub fn dropped(&self) -> u32 {
        self.look(|state| state.outboxes.values().map(|outbox| outbox.dropped()).sum())
    }

    /// Answers to notifications so far.
    pub fn answers(&self) -> Vec<Answered> {
        self.look(|state| state.answers.clone())
    }

    /// Waits until somebody is subscribed to a BSS.
    pub fn wait_subscribed(&self, ifname: &str) {
        let object = object(ifname);
        self.wait(&format!("a subscription to {object}"), |state| state.core.subscribers(&object) > 0);
    }

    /// Waits until a method was called so often.
    pub fn wait_calls(&self, path: &str, method: &str, count: u32) {
        let what = format!("{count} calls of {path} {method}");
        self.wait(&what, |state| state.calls_of(path, method) >= count);
    }

    /// Waits until so many notifications were answered.
    pub fn wait_answers(&self, count: usize) {
        self.wait(&format!("{count} answers"), |state| state.answers.len() >= count);
    }

    /// Waits until so many clients are connected.
    pub fn wait_clients(&self, count: usize) {
        self.wait(&format!("{count} clients"), |state| state.core.clients() == count);
    }

    fn wait(&self, what: &str, reached: impl Fn(&State) -> bool) {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, HANG, |state| !reached(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(reached(&state), "no {what} within {HANG:?}; calls so far: {:?}", state.calls);
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.lock())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(change)
    }
}

impl Drop for Ubusd {
    fn drop(&mut self) {
        self.stop();
        // The providers end when nobody can queue calls any more.
        self.change(|state| state.queues.clear());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and carries out what follows, in order.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        state.drain();
        drop(state);
        self.changed.notify_all();
        result
    }

    fn provide(&self, process: Process, calls: &Receiver<Call>) {
        while let Ok(call) = calls.recv() {
            let pace = self.lock().paces.get(&process).copied().unwrap_or_default();
            match pace {
                Pace::Prompt => {}
                Pace::Slow(delay) => std::thread::sleep(delay),
                Pace::Silent => continue,
            }
            self.change(|state| state.answer(&call));
        }
    }

    fn serve(&self, client: ClientId, mut stream: UnixStream) {
        while let Ok(frame) = Frame::read(&mut stream) {
            self.change(|state| state.core.handle_frame(client, &frame));
        }
        self.change(|state| {
            state.core.disconnect(client);
            if let Some(outbox) = state.outboxes.remove(&client) {
                outbox.close();
            }
        });
    }
}

impl State {
    fn provide_bss(&mut self, ifname: &str) {
        let path = object(ifname);
        let (process, methods) = providers::signature(&path);
        if self.running {
            self.core.provide(process, &path, methods);
        }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Send(client, frame) => {
                    if let Some(outbox) = self.outboxes.get(&client) {
                        outbox.push(frame.encode());
                    }
                }
                Effect::Call(process, call) => {
                    *self.calls.entry((call.path.clone(), call.method.clone())).or_default() += 1;
                    if let Some(queue) = self.queues.get(&process) {
                        // Fails only while everything ends.
                        let _ = queue.send(call);
                    }
                }
                Effect::Answered(answer) => {
                    if let Some(Awaited { ifname, method, since }) = self.awaited.get(&answer.seq) {
                        let (ifname, method, after) = (ifname.clone(), method.clone(), since.elapsed());
                        self.answers.push(Answered { ifname, method, status: answer.status, after });
                    }
                }
            }
        }
    }

    fn answer(&mut self, call: &Call) {
        let replaced = self.overrides.get(&(call.path.clone(), call.method.clone())).cloned();
        let reply = match replaced {
            Some(Override::Status(status)) => Err(status),
            Some(Override::Raw(bytes)) => return self.core.reply(call, Some(&bytes), status::OK),
            None => {
                providers::answer(&self.ap, &call.path, &call.method, call.arguments.as_ref(), Instant::now())
            }
        };
        let data = reply.as_ref().ok().and_then(Option::as_ref).map(value::encode);
        let status = reply.as_ref().err().copied().unwrap_or(status::OK);
        self.core.reply(call, data.as_deref(), status);
        if call.method == "rrm_beacon_req" && reply.is_ok() {
            self.report_beacons(call);
        }
    }

    fn report_beacons(&mut self, call: &Call) {
        let ifname = call.path.trim_start_matches("hostapd.");
        let address = call.arguments.as_ref().and_then(|arguments| value::field(arguments, "addr"));
        let mac: Option<Mac> = address.and_then(|address| address.as_text()?.parse().ok());
        let Some(mac) = mac else { return };
        for heard in self.ap.beacon_reports.get(&mac).cloned().unwrap_or_default() {
            let report = providers::beacon_report(&self.ap, ifname, mac, heard);
            self.notify(ifname, "beacon-report", &report, Wanted::Nothing);
        }
    }

    fn station_notification(&mut self, ifname: &str, name: &str, mac: Mac, signal_dbm: i32) {
        let data = providers::station_notification(&self.ap, ifname, name, mac, signal_dbm);
        self.notify(ifname, name, &data, Wanted::Nothing);
    }

    fn notify(&mut self, ifname: &str, name: &str, data: &Fields, wanted: Wanted) -> usize {
        let since = Instant::now();
        let (seq, delivered) = self.core.publish(&object(ifname), name, data, wanted == Wanted::Nothing);
        if wanted == Wanted::Answer {
            let awaited = Awaited { ifname: ifname.to_owned(), method: name.to_owned(), since };
            self.awaited.insert(seq, awaited);
        }
        delivered
    }

    fn calls_of(&self, path: &str, method: &str) -> u32 {
        self.calls.get(&(path.to_owned(), method.to_owned())).copied().unwrap_or(0)
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let Ok(writing) = stream.try_clone() else { return };
        let client = shared.change(|state| {
            if !state.running {
                return Err(());
            }
            let Some(client) = state.core.connect() else { return Ok(None) };
            state.outboxes.insert(client, Outbox::start(writing));
            Ok(Some(client))
        });
        match client {
            Ok(Some(client)) => {
                let shared = Arc::clone(shared);
                std::thread::spawn(move || shared.serve(client, stream));
            }
            Ok(None) => {}
            Err(()) => return,
        }
    }
}

fn object(ifname: &str) -> String {
    format!("hostapd.{ifname}")
}
