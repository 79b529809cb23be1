//! The stand-in by hand: one JSON command a line on standard input.

use std::time::{Duration, Instant};

use serde::Deserialize;
use whichroom_wire::Mac;

use super::access::{Access, Rules};
use super::access_point::{Bss, Heard, Release, Station};
use super::core::Process;
use super::server::{Leave, Pace, Ubusd, Wanted};
use super::value::fields_from_json;

/// The commands, for `--help`.
pub const HELP: &str = r#"Commands on standard input, one JSON object a line:
  {"do":"add-bss","ifname":"phy0-ap0","bssid":"02:aa:00:00:00:01","ssid":"home","freq_mhz":5180}
  {"do":"remove-bss","ifname":"phy0-ap0"}
  {"do":"bss-status","ifname":"phy0-ap0","status":"DFS"}
  {"do":"wifi-reload"}
  {"do":"join","ifname":"phy0-ap0","mac":"02:00:00:00:00:07","signal_dbm":-55}
  {"do":"leave","ifname":"phy0-ap0","mac":"02:00:00:00:00:07","how":"disassoc"}
       how: disassoc, deauth, local-deauth, inactive-deauth, silent
  {"do":"signal","ifname":"phy0-ap0","mac":"02:00:00:00:00:07","signal_dbm":-71}
  {"do":"inactive","ifname":"phy0-ap0","mac":"02:00:00:00:00:07","seconds":120}
  {"do":"notify","ifname":"phy0-ap0","name":"probe","data":{"address":"02:00:00:00:00:07","signal":-70},"answer":false}
  {"do":"beacon-report","mac":"02:00:00:00:00:07","heard":[{"bssid":"02:aa:00:00:00:02","rcpi":90}]}
  {"do":"overheard","mac":"02:00:00:00:00:07","node":"hostapd.phy0-ap0","signal_dbm":-74}     by usteer
  {"do":"pace","process":"rpcd","delay_ms":3000}     process: hostapd, rpcd, netifd, procd, usteer; without delay_ms: never answers
  {"do":"prompt","process":"rpcd"}
  {"do":"silent-subscriptions","on":true}
  {"do":"access","rules":{"access":{"hostapd.*":{"methods":["get_clients"]}},"subscribe":["hostapd.*"]}}   null: root
  {"do":"stop"}  {"do":"start"}
  {"do":"calls"}
"#;

/// A command.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the help text says what each is")]
pub enum Command {
    AddBss {
        ifname: String,
        bssid: Mac,
        ssid: String,
        freq_mhz: u32,
    },
    RemoveBss {
        ifname: String,
    },
    BssStatus {
        ifname: String,
        status: String,
    },
    WifiReload,
    Join {
        ifname: String,
        mac: Mac,
        signal_dbm: i32,
    },
    Leave {
        ifname: String,
        mac: Mac,
        how: Leave,
    },
    Signal {
        ifname: String,
        mac: Mac,
        signal_dbm: i32,
    },
    Inactive {
        ifname: String,
        mac: Mac,
        seconds: u64,
    },
    Notify {
        ifname: String,
        name: String,
        data: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        answer: bool,
    },
    BeaconReport {
        mac: Mac,
        heard: Vec<HeardText>,
    },
    Overheard {
        mac: Mac,
        node: String,
        signal_dbm: i32,
    },
    Pace {
        process: ProcessName,
        delay_ms: Option<u64>,
    },
    Prompt {
        process: ProcessName,
    },
    SilentSubscriptions {
        on: bool,
    },
    Access {
        rules: Option<Rules>,
    },
    Stop,
    Start,
    Calls,
}

/// How a station hears a BSS.
#[derive(Debug, Deserialize)]
pub struct HeardText {
    /// The BSS.
    pub bssid: Mac,
    /// Twice (dBm + 110).
    pub rcpi: u8,
}

/// A process by name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of the processes")]
pub enum ProcessName {
    Hostapd,
    Rpcd,
    Netifd,
    Procd,
    Usteer,
}

impl From<ProcessName> for Process {
    fn from(name: ProcessName) -> Process {
        match name {
            ProcessName::Hostapd => Process::Hostapd,
            ProcessName::Rpcd => Process::Rpcd,
            ProcessName::Netifd => Process::Netifd,
            ProcessName::Procd => Process::Procd,
            ProcessName::Usteer => Process::Usteer,
        }
    }
}

/// Reads and carries out one line. The result is what to print: what came of it, or what is wrong with the line.
pub fn run(ubusd: &mut Ubusd, line: &str) -> Result<String, String> {
    let command: Command = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let done = || Ok("done".to_owned());
    match command {
        Command::AddBss { ifname, bssid, ssid, freq_mhz } => {
            ubusd.add_bss(Bss::new(&ifname, bssid, ssid, freq_mhz));
            done()
        }
        Command::RemoveBss { ifname } => {
            ubusd.remove_bss(&ifname).map_or_else(|| Err(format!("no BSS {ifname}")), |_| done())
        }
        Command::BssStatus { ifname, status } => {
            let found = ubusd.with_ap(|ap| ap.bsss.get_mut(&ifname).map(|bss| bss.status = status));
            found.map_or_else(|| Err(format!("no BSS {ifname}")), |()| done())
        }
        Command::WifiReload => {
            ubusd.wifi_reload();
            done()
        }
        Command::Join { ifname, mac, signal_dbm } => {
            ubusd.join(&ifname, mac, signal_dbm);
            done()
        }
        Command::Leave { ifname, mac, how } => {
            ubusd.leave(&ifname, mac, how);
            done()
        }
        Command::Signal { ifname, mac, signal_dbm } => {
            ubusd.set_signal(&ifname, mac, signal_dbm);
            done()
        }
        Command::Inactive { ifname, mac, seconds } => {
            let silence = Duration::from_secs(seconds);
            let set = |station: &mut Station| station.set_inactive(silence, Instant::now());
            let found = ubusd.with_ap(|ap| ap.station(&ifname, mac).map(set));
            found.map_or_else(|| Err(format!("no station {mac} on {ifname}")), |()| done())
        }
        Command::Notify { ifname, name, data, answer } => {
            let wanted = if answer { Wanted::Answer } else { Wanted::Nothing };
            let delivered = ubusd.notify(&ifname, &name, &fields_from_json(&data), wanted);
            Ok(format!("delivered to {delivered}"))
        }
        Command::BeaconReport { mac, heard } => {
            let heard = heard.iter().map(|heard| Heard { bssid: heard.bssid, rcpi: heard.rcpi }).collect();
            ubusd.set_beacon_report(mac, heard);
            done()
        }
        Command::Overheard { mac, node, signal_dbm } => {
            ubusd.with_ap(|ap| ap.overheard.entry(mac).or_default().insert(node, signal_dbm));
            done()
        }
        Command::Pace { process, delay_ms } => {
            let pace = delay_ms.map_or(Pace::Silent, |delay_ms| Pace::Slow(Duration::from_millis(delay_ms)));
            ubusd.set_pace(process.into(), pace);
            done()
        }
        Command::Prompt { process } => {
            ubusd.set_pace(process.into(), Pace::Prompt);
            done()
        }
        Command::SilentSubscriptions { on } => {
            ubusd.set_silent_subscriptions(on);
            done()
        }
        Command::Access { rules } => {
            ubusd.set_access(rules.map_or(Access::Root, Access::Limited));
            done()
        }
        Command::Stop => {
            ubusd.stop();
            done()
        }
        Command::Start => ubusd.start_again().map_or_else(|error| Err(error.to_string()), |()| done()),
        Command::Calls => Ok(calls(ubusd)),
    }
}

fn calls(ubusd: &Ubusd) -> String {
    let calls =
        ubusd.all_calls().into_iter().map(|((path, method), count)| format!("{path} {method}: {count}"));
    calls.collect::<Vec<_>>().join("\n")
}

/// A ready-made access point: BSSs on two bands, and stations spread over them.
pub fn furnish(ubusd: &Ubusd, bsss: u8, stations: u16, ap: u8) {
    for index in 0..bsss {
        let freq_mhz = if index % 2 == 0 { 5180 } else { 2412 };
        let bssid = Mac::new([0x02, 0xaa, ap, 0, 0, index]);
        ubusd.add_bss(Bss::new(&ifname(index), bssid, "home", freq_mhz));
    }
    for index in 0..stations {
        let bss = u8::try_from(index % u16::from(bsss.max(1))).unwrap_or(0);
        ubusd.place(&ifname(bss), station_mac(ap, index), Station::new(signal_dbm(index), Instant::now()));
    }
}

/// Interface of a furnished BSS.
pub fn ifname(bss: u8) -> String {
    format!("phy{}-ap{}", bss % 2, bss / 2)
}

/// Signal of a furnished station at the start.
pub fn signal_dbm(index: u16) -> i32 {
    -40 - i32::from(index % 40)
}

/// Address of a furnished station.
pub const fn station_mac(ap: u8, index: u16) -> Mac {
    let [high, low] = index.to_be_bytes();
    Mac::new([0x02, 0x57, ap, 0, high, low])
}

/// Reads a release's name.
pub fn release(text: &str) -> Result<Release, String> {
    let known = "22.03, 23.05, 24.10 or 25.12";
    serde_json::from_value(text.into()).map_err(|_| format!("unknown release {text:?}: {known}"))
}
