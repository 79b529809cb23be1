//! The access point behind the bus: its BSSs, the stations on them, and the names the router knows. The providers
//! answer from this.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use whichroom_wire::Mac;

/// OpenWrt releases whose answers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
pub enum Release {
    /// No `sta-authorized`, no `mbo`, rates in kbit/s.
    #[serde(rename = "22.03")]
    R22_03,
    /// `sta-authorized`, `mbo`, rates a hundred times as large.
    #[serde(rename = "23.05")]
    R23_05,
    /// `ifname` in notifications.
    #[default]
    #[serde(rename = "24.10")]
    R24_10,
    /// `driver` in `get_status`.
    #[serde(rename = "25.12")]
    R25_12,
}

impl Release {
    /// As in `DISTRIB_RELEASE`.
    pub const fn version(self) -> &'static str {
        match self {
            Release::R22_03 => "22.03.7",
            Release::R23_05 => "23.05.5",
            Release::R24_10 => "24.10.1",
            Release::R25_12 => "25.12.0",
        }
    }
}

/// A BSS.
#[derive(Debug, Clone)]
pub struct Bss {
    /// Interface name.
    pub ifname: String,
    /// Its address.
    pub bssid: Mac,
    /// Bytes of the network's name; may be no UTF-8.
    pub ssid: Vec<u8>,
    /// Centre of the primary channel.
    pub freq_mhz: u32,
    /// hostapd's state.
    pub status: String,
    /// Noise floor; 0 for unknown.
    pub noise_dbm: i32,
    /// Transmit power.
    pub txpower_dbm: u32,
    /// The stations.
    pub stations: BTreeMap<Mac, Station>,
}

impl Bss {
    /// An enabled BSS without stations.
    pub fn new(ifname: &str, bssid: Mac, ssid: impl AsRef<[u8]>, freq_mhz: u32) -> Bss {
        Bss {
            ifname: ifname.to_owned(),
            bssid,
            ssid: ssid.as_ref().to_vec(),
            freq_mhz,
            status: "ENABLED".to_owned(),
            noise_dbm: -95,
            txpower_dbm: 20,
            stations: BTreeMap::new(),
        }
    }

    /// Channel number of the frequency (IEEE 802.11 annex E).
    pub const fn channel(&self) -> u32 {
        match self.freq_mhz {
            2484 => 14,
            freq @ 2412..2484 => (freq - 2407) / 5,
            freq @ 5000..5900 => (freq - 5000) / 5,
            freq @ 5955..=7115 => (freq - 5950) / 5,
            _ => 0,
        }
    }
}

/// An associated station.
#[derive(Debug, Clone)]
pub struct Station {
    /// The key handshake is over.
    pub authorized: bool,
    /// Signal; 0 for unknown.
    pub signal_dbm: i32,
    /// Packets received from it.
    pub rx_packets: u32,
    /// Bytes received from it.
    pub rx_bytes: u64,
    /// RM enabled capabilities.
    pub rrm: [u8; 5],
    /// Association id.
    pub aid: u32,
    /// Associated since.
    pub since: Instant,
    /// Last seen by the driver.
    pub active: Instant,
    /// The driver fails to say anything about it: its counters are left out.
    pub without_driver_data: bool,
}

impl Station {
    /// An authorised station that associated just now.
    pub const fn new(signal_dbm: i32, now: Instant) -> Station {
        Station {
            authorized: true,
            signal_dbm,
            rx_packets: 20,
            rx_bytes: 4_000,
            rrm: [115, 0, 0, 0, 0],
            aid: 0,
            since: now,
            active: now,
            without_driver_data: false,
        }
    }

    /// Traffic came from it: the counters move and it is active now.
    pub fn receive(&mut self, packets: u32, now: Instant) {
        self.rx_packets = self.rx_packets.wrapping_add(packets);
        self.rx_bytes = self.rx_bytes.wrapping_add(u64::from(packets) * 160);
        self.active = now;
    }

    /// Says that nothing came from it for so long.
    pub fn set_inactive(&mut self, silence: Duration, now: Instant) {
        self.active = now.checked_sub(silence).unwrap_or(now);
    }
}

/// A DHCP lease of the router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The device.
    pub mac: Mac,
    /// Its IPv4 address.
    pub address: String,
    /// Its host name, if it gave one.
    pub hostname: Option<String>,
}

/// How a station hears another BSS, for its beacon report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The BSS.
    pub bssid: Mac,
    /// Received channel power indicator: twice (dBm + 110).
    pub rcpi: u8,
}

/// The access point.
#[derive(Debug, Clone, Default)]
pub struct AccessPoint {
    /// What it runs.
    pub release: Release,
    /// Its BSSs, by interface name.
    pub bsss: BTreeMap<String, Bss>,
    /// Leases, on a router.
    pub leases: Vec<Lease>,
    /// What stations answer to a beacon request; a station without an entry stays silent.
    pub beacon_reports: BTreeMap<Mac, Vec<Heard>>,
    /// What usteer heard of stations that are not connected where it heard them, in dBm: by the station and the node,
    /// which is hostapd's object here and `ADDRESS#OBJECT` on another access point.
    pub overheard: BTreeMap<Mac, BTreeMap<String, i32>>,
    next_aid: u32,
}

impl AccessPoint {
    /// An access point without BSSs.
    pub fn new(release: Release) -> AccessPoint {
        AccessPoint { release, ..AccessPoint::default() }
    }

    /// Puts a station on a BSS; `None` if there is no such BSS.
    pub fn place(&mut self, ifname: &str, mac: Mac, mut station: Station) -> Option<()> {
        self.next_aid = self.next_aid % 2007 + 1;
        station.aid = self.next_aid;
        self.bsss.get_mut(ifname)?.stations.insert(mac, station);
        Some(())
    }

    /// A station.
    pub fn station(&mut self, ifname: &str, mac: Mac) -> Option<&mut Station> {
        self.bsss.get_mut(ifname)?.stations.get_mut(&mac)
    }

    /// Lets half a minute of home life happen: signals wander by up to 3 dB, most stations send something.
    pub fn stir(&mut self, random: &mut u32, now: Instant) {
        for station in self.bsss.values_mut().flat_map(|bss| bss.stations.values_mut()) {
            *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let roll = *random >> 16;
            let step = i32::try_from(roll % 7).unwrap_or(0) - 3;
            station.signal_dbm = (station.signal_dbm + step).clamp(-90, -30);
            if roll % 10 < 7 {
                station.receive(roll % 50 + 1, now);
            }
        }
    }
}
